//! Identifiers of a target language for the names of a recurrence.

use std::collections::HashSet;

/// Identifiers of one scope, each used once.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    taken: HashSet<String>,
}

impl Names {
    /// A scope in which these words have a meaning.
    pub(super) fn without<'w>(words: impl IntoIterator<Item = &'w str>) -> Self {
        let taken = words.into_iter().map(Into::into).collect();
        Self { taken }
    }

    /// An identifier for a name; it is the name itself if the language allows it and it is free.
    pub(super) fn fresh(&mut self, name: &str) -> String {
        let plain = identifier(name);
        let mut found = plain.clone();
        let mut count = 2;
        while self.taken.contains(&found) {
            found = format!("{plain}_{count}");
            count += 1;
        }
        self.taken.insert(found.clone());
        found
    }
}

/// The names of Greek letters, from alpha to omega with both forms of sigma.
const GREEK: [&str; 25] = [
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa",
    "lambda", "mu", "nu", "xi", "omicron", "pi", "rho", "sigma", "sigma", "tau", "upsilon", "phi",
    "chi", "psi", "omega",
];

/// The name in ASCII letters, digits and `_`, with a letter in front: `h'` is `h_next`, `U.bar` is `U_bar`, `σ₂` is `sigma2`,
/// `%7` is `v7`.
pub(super) fn identifier(name: &str) -> String {
    let mut found = String::new();
    for c in name.chars() {
        let letter = |first: char| (c as usize).checked_sub(first as usize);
        let greek = |first: char| letter(first).and_then(|i| GREEK.get(i));
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' => found.push(c),
            '\'' => found.push_str("_next"),
            '%' if found.is_empty() => found.push('v'),
            '₀'..='₉' => found.extend(char::from_digit(c as u32 - '₀' as u32, 10)),
            _ if c.is_ascii() => {
                if !found.is_empty() && !found.ends_with('_') {
                    found.push('_');
                }
            }
            _ => match (greek('α'), greek('Α')) {
                (Some(name), _) => found.push_str(name),
                (_, Some(name)) => {
                    let mut letters = name.chars();
                    found.extend(letters.next().map(|c| c.to_ascii_uppercase()));
                    found.push_str(letters.as_str());
                }
                _ => found.push_str(&format!("u{:x}", c as u32)),
            },
        }
    }
    let found = found.trim_end_matches('_');
    // Names that begin with `_` are reserved in C.
    let found = found.trim_start_matches('_');
    match found.chars().next() {
        Some('a'..='z' | 'A'..='Z') => found.into(),
        _ => format!("v{found}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_identifiers() {
        let found = [
            "h'",
            "U.bar",
            "σ₂",
            "Σ",
            "%7",
            "output loss",
            "__x__",
            "3d",
            "",
            "ж",
            "a-b",
        ];
        let found = found.map(identifier);
        let expected = [
            "h_next",
            "U_bar",
            "sigma2",
            "Sigma",
            "v7",
            "output_loss",
            "x",
            "v3d",
            "v",
            "u436",
            "a_b",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn equal_identifiers_are_numbered() {
        let mut names = Names::without(["double"]);
        let found = ["double", "a.b", "a_b", "a b"].map(|name| names.fresh(name));
        assert_eq!(found, ["double_2", "a_b", "a_b_2", "a_b_3"]);
    }
}
