//! The text of the chapter.

use std::path::Path;

/// The languages, and a page in each.
pub(crate) const LANGUAGES: [&str; 2] = ["en", "zh"];

pub(crate) fn text(language: &str) -> String {
    let name = format!("docs/rnn-and-lstm.{language}.md");
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The content of the fenced block with this info string.
pub(crate) fn block<'p>(page: &'p str, info: &str) -> &'p str {
    let (_, rest) = page
        .split_once(&format!("\n```{info}\n"))
        .unwrap_or_else(|| panic!("a block `{info}`"));
    rest.split_once("```\n").unwrap().0
}

/// The lines outside of fenced blocks.
pub(crate) fn prose(page: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    page.lines().filter(move |line| {
        let fence = line.starts_with("```");
        inside ^= fence;
        !inside && !fence
    })
}

/// The numbers with a decimal point, in the order of the page.
pub(crate) fn decimals<'p>(lines: impl Iterator<Item = &'p str>) -> Vec<&'p str> {
    let words = lines.flat_map(|l| l.split(|c: char| !c.is_ascii_digit() && c != '.'));
    let words = words.map(|word| word.trim_matches('.'));
    words.filter(|word| word.contains('.')).collect()
}

#[test]
fn decimals_are_found_in_the_prose_only() {
    let page = "a 1.5, b=2.25.\n```text\n3.5\n```\n1. c\n| 4.0 | 5 |\n";
    assert_eq!(decimals(prose(page)), ["1.5", "2.25", "4.0"]);
}
