//! The program of the chapter is the example `vanishing`, and prints the block after it.

use std::cell::RefCell;
use std::fmt::Write;

use crate::page;

thread_local! {
    static PRINTED: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Keeps the lines that the program prints.
macro_rules! println {
    ($($argument:tt)*) => {
        super::PRINTED.with_borrow_mut(|text| super::line(text, format_args!($($argument)*)))
    };
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").unwrap();
}

#[path = "../../examples/vanishing.rs"]
mod example;

#[test]
fn the_program_of_the_chapter_prints_what_follows_it() {
    example::main().unwrap();
    let printed = PRINTED.take();
    assert!(printed.lines().count() > 3, "{printed}");
    let source = include_str!("../../examples/vanishing.rs");
    let (_, source) = source.split_once("\n\n").unwrap();
    // It is visible for this test alone.
    let source = source.replace("pub(crate) fn main", "fn main");
    for language in page::LANGUAGES {
        let text = page::text(language);
        assert_eq!(page::block(&text, "rust"), source, "{language}");
        assert_eq!(page::block(&text, "text"), printed, "{language}");
    }
}

#[test]
fn the_recurrences_of_the_chapter_are_the_files() {
    for language in page::LANGUAGES {
        let text = page::text(language);
        let files = [
            (
                "rec rnn.rec",
                include_str!("../../examples/vanishing/rnn.rec"),
            ),
            (
                "rec lstm.rec",
                include_str!("../../examples/vanishing/lstm.rec"),
            ),
        ];
        for (info, file) in files {
            assert_eq!(page::block(&text, info), file, "{language}");
        }
    }
}
