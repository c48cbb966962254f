//! The functions that generated code calls beside those of the language: only those that it needs.

/// The helpers of a language: functions, each after its comment, whose first lines begin with a keyword.
#[derive(Clone, Copy, Debug)]
pub(super) struct Helpers {
    pub(super) text: &'static str,
    pub(super) keyword: &'static str,
}

/// A helper and its text, with its comment.
struct Helper {
    name: &'static str,
    text: &'static str,
}

impl Helpers {
    fn all(self) -> Vec<Helper> {
        let texts = self.text.split_inclusive("\n}\n").map(str::trim);
        let helper = |text: &'static str| {
            let signature = text.lines().find(|line| line.starts_with(self.keyword))?;
            let before = signature.split(['(', '<']).next()?;
            let name = before.rsplit([' ', '*']).next()?;
            Some(Helper { name, text })
        };
        texts.filter_map(helper).collect()
    }

    /// The names of all helpers.
    pub(super) fn names(self) -> Vec<&'static str> {
        self.all().iter().map(|h| h.name).collect()
    }

    /// The helpers that a text calls, and those that they call.
    pub(super) fn needed(self, text: &str) -> String {
        let all = self.all();
        let mut is_needed: Vec<bool> = vec![false; all.len()];
        let mut texts = vec![text];
        while let Some(text) = texts.pop() {
            for name in calls(text) {
                let found = all.iter().position(|h| h.name == name);
                if let Some(index) = found.filter(|index| !is_needed[*index]) {
                    is_needed[index] = true;
                    // Without its comment and its own name.
                    let text = all[index].text;
                    texts.push(text.find('{').map_or("", |at| &text[at..]));
                }
            }
        }
        let needed = all.iter().zip(is_needed).filter(|(_, needed)| *needed);
        needed.map(|(h, _)| format!("{}\n\n", h.text)).collect()
    }
}

/// The names of the functions that a text calls.
fn calls(text: &str) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let opens = text.match_indices('(').map(|(at, _)| &text[..at]);
    let sized = text.match_indices("::<").map(|(at, _)| &text[..at]);
    let opens = opens.chain(sized);
    opens.filter_map(move |before| {
        let name = before.rsplit(|c| !is_part(c)).next()?;
        (!name.is_empty()).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn helpers_bring_what_they_call() {
        let c = Helpers {
            text: include_str!("c/helpers.c"),
            keyword: "static ",
        };
        let found = c.needed("x[0] = softplus(y[0]);");
        let names: Vec<&str> = found.lines().filter(|l| l.starts_with("static")).collect();
        let expected = [
            "static double larger(double a, double b)",
            "static double softplus(double x)",
        ];
        assert_eq!(names, expected);
        assert_eq!(c.needed("x[0] = exp(y[0]);"), "");
    }
}
