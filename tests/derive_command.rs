//! `bptt derive` from the outside.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::process::{Command, Output};

fn bptt(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bptt"));
    command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(arguments)
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn every_format_of_a_cell() {
    let marks = [
        ("text", "δʰₜ = W_Oᵀ δᵒₜ + W_Hᵀ δᵃₜ₊₁"),
        ("ascii", "delta^h_t = W_O^T delta^o_t + W_H^T delta^a_{t+1}"),
        ("md", "```math"),
        ("html", "<math display=\"block\">"),
        ("tex", "\\begin{document}"),
        ("json", "\"id\": \"delta.h\""),
    ];
    for (format, mark) in marks {
        let output = bptt(&["derive", "rnn", "--format", format]);
        assert!(output.status.success(), "{format}: {output:?}");
        assert!(text(&output).contains(mark), "{format} lacks {mark}");
    }
    let ascii = text(&bptt(&["derive", "lstm_peephole", "--format", "ascii"]));
    let other: String = ascii.chars().filter(|c| !c.is_ascii()).collect();
    assert_eq!(other, "", "only ASCII is written");
}

#[test]
fn a_recurrence_of_ones_own_in_chinese_to_a_file() {
    let file = std::env::temp_dir().join(format!("bptt-derive-{}.md", std::process::id()));
    let path = file.to_str().unwrap();
    let garch = "examples/recurrences/garch11.rec";
    let output = bptt(&[
        "derive", garch, "--lang", "zh", "--format", "md", "-o", path,
    ]);
    assert!(output.status.success(), "{output:?}");
    let said = text(&output);
    assert!(
        said.starts_with("written to") && said.lines().count() == 1,
        "what goes to a file does not go to the terminal: {said}"
    );
    let page = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert!(
        page.contains("误差项") && page.contains(r"\frac{\partial L}{\partial \beta}"),
        "{page}"
    );
}

#[test]
fn mistakes_are_told() {
    let cases: [(&[&str], &str); 4] = [
        (&["derive"], "<CELL>"),
        (&["derive", "gnu"], "`gnu`"),
        (&["derive", "rnn", "--format", "pdf"], "'pdf'"),
        (&["derive", "nowhere.rec"], "nowhere.rec"),
    ];
    for (arguments, words) in cases {
        let output = bptt(arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && error.contains(words),
            "{arguments:?}: {error}"
        );
    }
}
