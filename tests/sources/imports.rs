//! Which file of a crate uses which, read off the paths in its sources.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A source file: its path below `src`, and its text.
pub(crate) type Source = (String, String);

/// The code of a file, line by line as it stands there: comments and strings are blank, and so is
/// an item that is compiled for tests only.
pub(crate) fn code(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let (own, after) = rest.split_at(silent(rest, out.chars().last()));
        out.extend(own.chars().map(|c| if c == '\n' { c } else { ' ' }));
        rest = after;
        if own.is_empty() {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    without_tests(&out)
}

/// The length of the comment or string that a text begins with.
fn silent(text: &str, before: Option<char>) -> usize {
    let to = |from: usize, end: &str| {
        let found = text[from..].find(end);
        found.map_or(text.len(), |at| from + at + end.len())
    };
    let in_name = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let hashes = text.chars().skip(1).take_while(|c| *c == '#').count();
    let mut letters = text.chars().skip(1);
    match text.chars().next() {
        _ if text.starts_with("//") => text.find('\n').unwrap_or(text.len()),
        _ if text.starts_with("/*") => to(2, "*/"),
        Some('r') if !in_name && text[1 + hashes..].starts_with('"') => {
            to(2 + hashes, &format!("\"{}", "#".repeat(hashes)))
        }
        Some('"') => {
            let mut escaped = false;
            let end = text.char_indices().skip(1).find(|(_, c)| {
                let ends = *c == '"' && !escaped;
                escaped = *c == '\\' && !escaped;
                ends
            });
            end.map_or(text.len(), |(at, _)| at + 1)
        }
        Some('\'') => match (letters.next(), letters.next(), letters.next()) {
            (Some('\\'), Some(c), Some('\'')) => 3 + c.len_utf8(),
            (Some(c), Some('\''), _) if c != '\\' => 2 + c.len_utf8(),
            _ => 0,
        },
        _ => 0,
    }
}

/// The same without the items behind `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut out = String::new();
    let mut rest = code;
    while let Some(at) = rest.find(MARK) {
        out += &rest[..at];
        let item = &rest[at..];
        let mut depth = 0;
        let mut end = item.len();
        for (i, c) in item.char_indices().skip(MARK.len()) {
            depth += match c {
                '{' => 1,
                '}' => -1,
                _ => 0,
            };
            if depth == 0 && matches!(c, '}' | ';') {
                end = i + c.len_utf8();
                break;
            }
        }
        out.extend(
            item[..end]
                .chars()
                .map(|c| if c == '\n' { '\n' } else { ' ' }),
        );
        rest = &item[end..];
    }
    out + rest
}

/// A word or a sign, with the number of its line.
type Token<'a> = (usize, &'a str);

fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    for (line, text) in code.lines().enumerate() {
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            let len = match c {
                _ if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
                ':' if rest.starts_with("::") => 2,
                c => c.len_utf8(),
            };
            let (token, after) = rest.split_at(len);
            if !token.trim().is_empty() {
                found.push((line + 1, token));
            }
            rest = after;
        }
    }
    found
}

/// A path that a file names, and where.
#[derive(Clone, Debug)]
struct Named {
    line: usize,
    path: Vec<String>,
    /// The name under which the file knows it; nothing if it names it in passing.
    alias: Option<String>,
    /// Whether the file hands it on.
    is_public: bool,
}

/// The paths of a `use`, from behind that word; the number of tokens that were read.
fn tree(
    tokens: &[Token<'_>],
    before: &[String],
    found: &mut Vec<(usize, Vec<String>, String)>,
) -> usize {
    let mut path = before.to_vec();
    let mut i = 0;
    let mut line = 0;
    let mut alias = None;
    let mut is_group = false;
    while let Some((at, token)) = tokens.get(i) {
        match *token {
            "{" => {
                is_group = true;
                i += 1;
                while tokens.get(i).is_some_and(|t| t.1 != "}") {
                    i += tree(&tokens[i..], &path, found).max(1);
                    i += usize::from(tokens.get(i).is_some_and(|t| t.1 == ","));
                }
            }
            "::" => {}
            "as" => {
                alias = tokens.get(i + 1).map(|t| t.1.to_owned());
                i += 1;
            }
            "," | ";" | "}" => break,
            name => {
                line = *at;
                path.push(name.to_owned());
            }
        }
        i += 1;
    }
    if !is_group && path.len() > before.len() {
        if path.last().is_some_and(|l| l == "self") && path.len() > 1 {
            path.pop();
        }
        let own = path.last().cloned().unwrap_or_default();
        found.push((line, path, alias.unwrap_or(own)));
    }
    i
}

/// Every path that a file uses: those behind `use`, and those in the code.
fn named(code: &str) -> Vec<Named> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        let (line, token) = tokens[i];
        let before = |n: usize| i.checked_sub(n).map_or("", |at| tokens[at].1);
        if token == "use" && tokens.get(i + 1).is_some_and(|t| t.1 != "<") {
            let mut paths = Vec::new();
            let read = tree(&tokens[i + 1..], &[], &mut paths);
            let is_public = before(1) == "pub" || before(1) == ")";
            found.extend(paths.into_iter().map(|(line, path, alias)| Named {
                line,
                path,
                alias: Some(alias),
                is_public,
            }));
            i += 1 + read;
            continue;
        }
        let begins = tokens.get(i + 1).is_some_and(|t| t.1 == "::") && before(1) != "::";
        if begins && token.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            let mut path = vec![token.to_owned()];
            while let [(_, "::"), (_, next), ..] = tokens[i + 1..]
                && next.starts_with(|c: char| c.is_alphabetic() || c == '_')
            {
                path.push(next.to_owned());
                i += 2;
            }
            found.push(Named {
                line,
                path,
                alias: None,
                is_public: false,
            });
        }
        i += 1;
    }
    found
}

/// The files of one crate, and what each makes of the paths in it.
pub(crate) struct Crate {
    /// The file of each module, by its path from the root.
    modules: BTreeMap<Vec<String>, usize>,
    pub(crate) files: Vec<File>,
}

pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) module: Vec<String>,
    paths: Vec<Named>,
}

/// Where one file uses another: the line and what it names.
type Arrows = BTreeMap<(usize, usize), Vec<(usize, String)>>;

impl Crate {
    pub(crate) fn of(sources: &[Source]) -> Self {
        let (mut modules, mut files) = (BTreeMap::new(), Vec::new());
        for (name, text) in sources {
            let below = name.trim_end_matches(".rs");
            let mut module: Vec<String> = below.split('/').map(Into::into).collect();
            if matches!(
                module.last().map(String::as_str),
                Some("mod" | "lib" | "main")
            ) {
                module.pop();
            }
            modules.insert(module.clone(), files.len());
            files.push(File {
                name: name.clone(),
                module,
                paths: named(&code(text)),
            });
        }
        Self { modules, files }
    }

    /// A path counted from the root; nothing if it leads out of the crate.
    fn absolute(&self, file: &File, path: &[String]) -> Option<Vec<String>> {
        let (first, rest) = path.split_first()?;
        let mut from = file.module.clone();
        let mut rest = rest;
        match first.as_str() {
            "crate" => from.clear(),
            "self" => {}
            "super" => {
                from.pop()?;
                while rest.first().is_some_and(|s| s == "super") {
                    from.pop()?;
                    rest = &rest[1..];
                }
            }
            name => {
                from.push(name.to_owned());
                if !self.modules.contains_key(&from) {
                    // A module that the file has brought in.
                    let brought = file
                        .paths
                        .iter()
                        .find(|n| n.alias.as_deref() == Some(name))?;
                    if brought.path.first().is_some_and(|s| s == name) && brought.path.len() == 1 {
                        return None;
                    }
                    from = self.absolute(file, &brought.path)?;
                    if !self.modules.contains_key(&from) {
                        return None;
                    }
                }
            }
        }
        from.extend(rest.iter().cloned());
        Some(from)
    }

    /// The file that a path counted from the root leads to, by way of what files hand on.
    fn target(&self, path: &[String]) -> Option<usize> {
        let mut seen = BTreeSet::new();
        let mut path = path.to_vec();
        loop {
            let depth = (0..=path.len())
                .rev()
                .find(|n| self.modules.contains_key(&path[..*n]))?;
            let at = self.modules[&path[..depth]];
            let Some(name) = path.get(depth) else {
                return Some(at);
            };
            if !seen.insert(path.clone()) {
                return Some(at);
            }
            let file = &self.files[at];
            let handed = file
                .paths
                .iter()
                .filter(|n| n.is_public)
                .find(|n| n.alias.as_ref() == Some(name));
            let next = handed.and_then(|n| self.absolute(file, &n.path));
            match next {
                Some(next) => path = next.into_iter().chain(path[depth + 1..].to_vec()).collect(),
                None => return Some(at),
            }
        }
    }

    /// Which file uses which. What a file hands on is not used by it, and a module may use its own
    /// parts.
    fn arrows(&self) -> Arrows {
        let mut arrows = Arrows::new();
        for (from, file) in self.files.iter().enumerate() {
            for named in file.paths.iter().filter(|n| !n.is_public) {
                let Some(path) = self.absolute(file, &named.path) else {
                    continue;
                };
                let other = |to: &usize| !self.files[*to].module.starts_with(&file.module);
                if let Some(to) = self.target(&path).filter(other) {
                    let what = (named.line, named.path.join("::"));
                    let places = arrows.entry((from, to)).or_default();
                    if !places.contains(&what) {
                        places.push(what);
                    }
                }
            }
        }
        arrows
    }

    /// Every use between two files that is not allowed.
    pub(crate) fn wrong_uses(&self, allowed: impl Fn(&[String], &[String]) -> bool) -> Vec<String> {
        let mut wrong = Vec::new();
        for ((from, to), places) in self.arrows() {
            let (from, to) = (&self.files[from], &self.files[to]);
            if !allowed(&from.module, &to.module) {
                let told = places.iter().map(|(line, what)| {
                    format!("{}:{line}: uses `{what}` of {}", from.name, to.name)
                });
                wrong.extend(told);
            }
        }
        wrong
    }

    /// Ways from a file back to itself, each with the lines that make it. Files of one of the folders
    /// `knots` may use each other as they like.
    pub(crate) fn circles(&self, knots: &[&str]) -> Vec<String> {
        let knotted = |file: usize| knots.iter().find(|k| self.files[file].name.starts_with(*k));
        let mut arrows = self.arrows();
        arrows.retain(|(from, to), _| knotted(*from).is_none() || knotted(*from) != knotted(*to));
        let mut told = BTreeSet::new();
        let mut found = Vec::new();
        for start in 0..self.files.len() {
            if told.contains(&start) {
                continue;
            }
            let Some(way) = way_back(start, &arrows) else {
                continue;
            };
            told.extend(way.iter().copied());
            let name = |at: &usize| self.files[*at].name.clone();
            let names: Vec<String> = way.iter().map(name).collect();
            let mut text = format!("{} → {}", names.join(" → "), names[0]);
            for (i, from) in way.iter().enumerate() {
                let to = way[(i + 1) % way.len()];
                for (line, what) in &arrows[&(*from, to)] {
                    text += &format!("\n  {}:{line}: uses `{what}`", names[i]);
                }
            }
            found.push(text);
        }
        found
    }
}

/// The files on a shortest way from a file back to it.
fn way_back(start: usize, arrows: &Arrows) -> Option<Vec<usize>> {
    let mut before: BTreeMap<usize, usize> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(at) = queue.pop_front() {
        for (_, to) in arrows.keys().filter(|(from, _)| *from == at) {
            if *to == start {
                let mut way = vec![at];
                while way[way.len() - 1] != start {
                    way.push(before[&way[way.len() - 1]]);
                }
                way.reverse();
                return Some(way);
            }
            if *to != start && !before.contains_key(to) {
                before.insert(*to, at);
                queue.push_back(*to);
            }
        }
    }
    None
}

/// A made-up crate, of names and texts of files.
pub(crate) fn made_up(files: &[(&str, &str)]) -> Crate {
    let own = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
    Crate::of(&files.iter().map(own).collect::<Vec<_>>())
}

#[test]
fn a_circle_is_told_with_its_lines() {
    let three = made_up(&[
        (
            "a.rs",
            "use crate::b::{self, Outer, deep::{self as d, X}};\n\nfn f() { d::g() }\n",
        ),
        ("b/mod.rs", "mod deep;\npub use deep::Outer;\n"),
        (
            "b/deep.rs",
            "\nfn g() {\n    super::super::c::h::<u8>()\n}\n",
        ),
        ("c.rs", "use super::a as other;\nfn h() { other::f() }\n"),
    ]);
    let told = "a.rs → b/deep.rs → c.rs → a.rs
  a.rs:1: uses `crate::b::Outer`
  a.rs:1: uses `crate::b::deep`
  a.rs:1: uses `crate::b::deep::X`
  a.rs:3: uses `d::g`
  b/deep.rs:3: uses `super::super::c::h`
  c.rs:1: uses `super::a`
  c.rs:2: uses `other::f`";
    assert_eq!(three.circles(&[]), [told]);
}

#[test]
fn comments_strings_tests_and_the_parts_of_a_module_make_no_circle() {
    let fine = made_up(&[
        (
            "a.rs",
            "use crate::b::X;\n// use crate::a;\nfn f(c: char) -> bool { c == '\"' }\n",
        ),
        (
            "b.rs",
            "//! See [`crate::a::f`].\nconst X: &str = \"crate::a::f\";\n#[cfg(test)]\nmod tests {\n    use crate::a::f;\n}\n",
        ),
        (
            "c/mod.rs",
            "mod d;\nuse d::y;\nstruct Z;\nfn g() -> impl Sized + use<> { y() }\n",
        ),
        (
            "c/d.rs",
            "use super::Z;\nconst R: &str = r#\"\" crate::c::g\"#;\n",
        ),
    ]);
    assert_eq!(fine.circles(&[]), [""; 0]);
}
