//! The page of the catalogue, `docs/mistakes.md`, is written from the catalogue. `UPDATE_GOLDEN=1` writes it anew.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fmt::Write;
use std::path::Path;

use bptt_testing::mistakes::{CATALOGUE, MadeBy, Mistake, RELATIONS};

const START: &str = "\
# The catalogue of mistakes

A wrong gradient is compared with the gradients that known mistakes give. If one of them gives the same numbers in every
case, `bptt certify` and `certify_foreign` name it, with the place: the gate, the term, the parameter
([property tests](property-tests.md)). The rows are in the order in which they are tried; this page is written from
`bptt_testing::mistakes` by a test.

If no row fits, the diagnosis says which arrays are wrong, through which named value their parameters enter, at which steps,
and for which data the numbers are right: for samples of one step, of equal length, for a single sample, for states
that start at zero.
";

fn table(
    page: &mut String,
    title: &str,
    about: &str,
    rows: impl Iterator<Item = &'static Mistake>,
) {
    writeln!(
        page,
        "\n## {title}\n\n{about}\n\n| name | mistake | seen in |\n|---|---|---|"
    )
    .unwrap();
    for row in rows {
        let seen = row.seen.unwrap_or("");
        writeln!(page, "| `{}` | {} | {seen} |", row.name, row.statement).unwrap();
    }
}

#[test]
fn the_page_is_the_catalogue() {
    let mut page = START.to_owned();
    writeln!(
        page,
        "\n## Simple functions of the right numbers\n\nThese are tried first, array by array.\n\n| name | mistake |\n|---|---|"
    )
    .unwrap();
    for (name, statement) in RELATIONS {
        writeln!(page, "| `{name}` | {statement} |").unwrap();
    }
    let forward =
        |m: &&Mistake| !matches!(m.made_by, MadeBy::Gradient(_) | MadeBy::GradientOfData(_));
    table(
        &mut page,
        "Mistakes of the recurrence",
        "The foreign code computes another recurrence, and the gradient of that. Its loss is wrong too.",
        CATALOGUE.iter().filter(forward),
    );
    table(
        &mut page,
        "Mistakes of the gradient",
        "The loss is right. In second order, these are mistakes of the Hessian product.",
        CATALOGUE.iter().filter(|m| !forward(m)),
    );
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/mistakes.md");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/mistakes.md is not up to date; write it with UPDATE_GOLDEN=1 cargo test --package bptt-testing --test catalogue"
    );
}

#[test]
fn every_mistake_is_a_sentence_without_a_full_stop() {
    for mistake in CATALOGUE {
        let plain = mistake
            .name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c == '-');
        assert!(plain, "{}", mistake.name);
        assert!(!mistake.statement.ends_with('.'), "{}", mistake.statement);
    }
}
