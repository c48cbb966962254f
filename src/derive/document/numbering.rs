//! The numbers of lines and sections on a page that shows one level at a time: at each level they run without a gap.

use std::collections::HashMap;
use std::fmt::Write;
use std::hash::Hash;

use super::Section;
use crate::derive::record::line::Line;
use crate::derive::record::part::{Level, Part};

/// A number for each level at which a thing is shown.
type PerLevel = [Option<usize>; Level::ALL.len()];

/// The numbers of lines and of sections.
pub(super) struct Numbers<'a> {
    lines: HashMap<&'a Line, PerLevel>,
    parts: HashMap<Part, PerLevel>,
}

impl<'a> Numbers<'a> {
    /// Numbers what is shown at the highest level.
    pub(super) fn new(sections: &[Section<'a>]) -> Self {
        let lines = sections.iter().flat_map(|s| &s.lines);
        Self {
            lines: counted(lines.map(|e| (&e.id, e.level))),
            parts: counted(sections.iter().map(|s| (s.part, s.level))),
        }
    }

    /// The number of a line between parentheses, of which CSS shows that of the level; `tag` is the element of text.
    pub(super) fn line(&self, line: &Line, tag: &str) -> Option<String> {
        Some(shown(self.lines.get(line)?, tag, |n| format!("({n})")))
    }

    /// The number of a section.
    pub(super) fn part(&self, part: Part) -> String {
        let number = self.parts.get(&part);
        number.map_or_else(String::new, |n| shown(n, "span", |n| n.to_string()))
    }

    /// The longest number of a line.
    pub(super) fn widest(&self, line: &Line) -> Option<String> {
        let number = self.lines.get(line)?.iter().flatten().max()?;
        Some(format!("({number})"))
    }
}

fn counted<K: Eq + Hash>(things: impl Iterator<Item = (K, Level)>) -> HashMap<K, PerLevel> {
    let mut last = [0; Level::ALL.len()];
    let number = |(thing, least): (K, Level)| {
        let mut numbers = PerLevel::default();
        let levels = Level::ALL.iter().zip(&mut last).zip(&mut numbers);
        for ((_, last), number) in levels.filter(|((level, _), _)| **level >= least) {
            *last += 1;
            *number = Some(*last);
        }
        (thing, numbers)
    };
    things.map(number).collect()
}

/// One text if the numbers of all levels agree, otherwise one for each level.
fn shown(numbers: &PerLevel, tag: &str, text: impl Fn(usize) -> String) -> String {
    let mut all = numbers.iter().flatten();
    if let Some(first) = all.next()
        && all.all(|n| n == first)
    {
        return text(*first);
    }
    let mut out = String::new();
    for (level, number) in Level::ALL.iter().zip(numbers) {
        if let Some(number) = number {
            let _ = write!(
                out,
                "<{tag} class=\"k-{}\">{}</{tag}>",
                level.name(),
                text(*number)
            );
        }
    }
    out
}
