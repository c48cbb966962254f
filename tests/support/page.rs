//! A strict parser for HTML pages: every element must be closed where it was opened.

/// An element, or a text (with an empty name).
#[derive(Debug, Default)]
pub(crate) struct Node {
    pub(crate) name: String,
    attributes: Vec<(String, String)>,
    pub(crate) children: Vec<Self>,
    pub(crate) text: String,
}

impl Node {
    pub(crate) fn read(page: &str) -> Self {
        let mut open = vec![Self::default()];
        let mut rest = page;
        while let Some(at) = rest.find('<') {
            if at > 0 {
                let text = Self {
                    text: rest[..at].to_owned(),
                    ..Self::default()
                };
                open.last_mut().unwrap().children.push(text);
            }
            let (tag, after) = rest[at + 1..].split_once('>').unwrap();
            rest = after;
            if tag.starts_with('!') {
                continue;
            }
            if let Some(name) = tag.strip_prefix('/') {
                let node = open.pop().unwrap();
                assert_eq!(node.name, name, "closed where it was opened");
                open.last_mut().unwrap().children.push(node);
                continue;
            }
            let node = Self::opened(tag.trim_end_matches('/'));
            let alone = ["meta", "input", "br"].contains(&&*node.name) || tag.ends_with('/');
            match alone {
                true => open.last_mut().unwrap().children.push(node),
                false => open.push(node),
            }
        }
        assert_eq!(open.len(), 1, "{} is closed", open[open.len() - 1].name);
        open.remove(0)
    }

    fn opened(tag: &str) -> Self {
        let (name, mut rest) = tag.split_once(' ').unwrap_or((tag, ""));
        let mut attributes: Vec<(String, String)> = Vec::new();
        while !rest.trim().is_empty() {
            let (key, after) = rest.trim_start().split_once("=\"").unwrap_or((rest, "\""));
            let (value, after) = after.split_once('"').unwrap();
            let twice = attributes.iter().any(|(k, _)| k == key);
            assert!(!twice, "{key} stands twice in <{tag}>");
            attributes.push((key.into(), value.into()));
            rest = after;
        }
        Self {
            name: name.into(),
            attributes,
            ..Self::default()
        }
    }

    pub(crate) fn attribute(&self, key: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(k, _)| k == key);
        found.map(|(_, value)| &**value)
    }

    /// Returns true if the element has all of these classes.
    pub(crate) fn is(&self, classes: &str) -> bool {
        let own = self.attribute("class").unwrap_or("");
        let mut wanted = classes.split(' ');
        wanted.all(|c| own.split(' ').any(|o| o == c))
    }

    /// The element and all its descendants, in order.
    pub(crate) fn all(&self) -> Vec<&Self> {
        let mut found = vec![self];
        for child in &self.children {
            found.extend(child.all());
        }
        found
    }

    pub(crate) fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.all().into_iter().filter(move |n| n.name == name)
    }

    /// The text in one language, with a mark in place of each formula.
    pub(crate) fn spoken(&self, lang: &str) -> String {
        let other = self.attribute("lang").is_some_and(|l| l != lang);
        if other && self.name != "html" || ["style", "svg"].contains(&&*self.name) {
            return String::new();
        }
        if self.name == "math" || self.is("f") {
            return "ℳ".into();
        }
        let block = [
            "p",
            "div",
            "li",
            "h1",
            "h2",
            "h3",
            "dt",
            "dd",
            "figcaption",
            "b",
            "a",
        ];
        let inner: String = self.children.iter().map(|c| c.spoken(lang)).collect();
        let text = self.text.replace('\n', "¶");
        match block.contains(&&*self.name) {
            true => format!("¶{text}{inner}¶"),
            false => text + &inner,
        }
    }
}
