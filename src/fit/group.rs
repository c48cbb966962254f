//! Groups of parameters with settings of their own.

use std::fmt;

/// Parameters, chosen by their names, with a rate and a decay of their own: biases that do not decay, an output layer
/// that learns slowly.
///
/// An optimiser with several groups takes the first that has the name of a parameter. The rate is a factor, so that it
/// keeps its meaning under a [`Schedule`](super::Schedule).
///
/// ```
/// use bptt::fit::{Adam, Group};
/// let group = Group::named("b_*").decay(0.0).rate(0.1);
/// assert!(group.has("b_f") && !group.has("W_b_f"));
/// let adam: Adam<f64> = Adam::new(0.01).decay(0.1).group(group);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    pattern: String,
    pub(super) rate: f64,
    pub(super) decay: Option<f64>,
}

impl Group {
    /// The parameters with this name, in which `*` matches any text.
    #[must_use]
    pub fn named(pattern: impl Into<String>) -> Self {
        Self {
            pattern: pattern.into(),
            rate: 1.0,
            decay: None,
        }
    }

    /// The step size, as a factor of the optimiser's; 1 by default.
    #[must_use]
    pub fn rate(self, factor: f64) -> Self {
        let rate = factor;
        Self { rate, ..self }
    }

    /// The decay, in place of the optimiser's.
    #[must_use]
    pub fn decay(self, decay: f64) -> Self {
        let decay = Some(decay);
        Self { decay, ..self }
    }

    /// The pattern of the names.
    #[must_use]
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// True if a parameter with this name belongs to the group.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        matches(&self.pattern, name)
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:rate={}", self.pattern, self.rate)?;
        self.decay
            .map_or(Ok(()), |decay| write!(f, ",decay={decay}"))
    }
}

/// True if `*` in the pattern can be replaced by texts so that it is the name.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut name) = name.strip_prefix(start) else {
        return false;
    };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return name.ends_with(part);
        }
        // The first place leaves the most for the parts behind it.
        let Some(at) = name.find(part) else {
            return false;
        };
        name = &name[at + part.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_matches_any_text() {
        for (pattern, name, expected) in [
            ("W", "W", true),
            ("W", "W_H", false),
            ("*", "", true),
            ("W*", "W", true),
            ("W_*", "W_H", true),
            ("*_H", "W_H", true),
            ("*_H", "W_HH", false),
            ("*a*a", "a", false),
            ("*a*a", "banana", true),
            ("a*a", "a", false),
            ("l*.b_*", "l0.cell.b_f", true),
            ("l*.b_*", "l0.W_f", false),
            ("*é*", "bébé", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
