//! The demonstration, run from the command line.

use std::process::{Command, Output};

fn bptt(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bptt"));
    command.args(arguments).output().unwrap()
}

fn printed(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The last number in the line of the forecast table that starts with `name`.
fn forecast_error(text: &str, name: &str) -> f64 {
    let table = text.split("forecast error,").nth(1).unwrap();
    let line = table.lines().find(|l| l.trim_start().starts_with(name));
    let number = line.unwrap().split_whitespace().last().unwrap();
    number.parse().unwrap()
}

#[test]
fn the_demonstration_does_what_it_says() {
    let output = bptt(&[]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    assert!(output.stderr.is_empty(), "{errors}");
    let text = printed(&output);
    for section in [
        "1. The data",
        "309 years 1700 to 2008",
        "2. The definitions",
        "h' = tanh(a)",
        "3. The loss and its gradient",
        "4. Is the gradient right?",
        "5. A fit",
        "6. How far back the gradient reaches",
        "LSTM after the fit",
    ] {
        assert!(text.contains(section), "`{section}` is missing:\n{text}");
    }
    for word in text.split(|c: char| !c.is_alphanumeric()) {
        assert!(!["NaN", "inf"].contains(&word), "{text}");
    }
    for line in text.lines() {
        assert!(line.chars().count() <= 100, "too long: {line}");
        assert_eq!(line, line.trim_end(), "spaces at the end");
    }
    let naive = ["same as last year", "same as 11 years ago"];
    let naive = naive.map(|name| forecast_error(&text, name));
    for network in ["tanh RNN", "LSTM"] {
        let error = forecast_error(&text, network);
        assert!(error < naive[0] && error < naive[1], "{network}: {error}");
        let sentence = format!("The {network} beats both naive forecasts");
        assert!(text.contains(&sentence), "{text}");
    }
}

#[test]
fn the_naive_forecasts_are_those_of_the_data() {
    let csv = include_str!("../../../../data/sunspots.csv");
    let numbers = csv.lines().skip(1).map(|l| l.split(',').nth(1).unwrap());
    let numbers: Vec<f64> = numbers.map(|n| n.parse().unwrap()).collect();
    let text = printed(&bptt(&[]));
    for (name, lag) in [("same as last year", 1), ("same as 11 years ago", 11)] {
        let held_out = 1921 - 1700..numbers.len();
        let count = held_out.len() as f64;
        let squares = held_out.map(|i| (numbers[i] - numbers[i - lag]).powi(2));
        let expected = (squares.sum::<f64>() / count).sqrt();
        let found = forecast_error(&text, name);
        assert!((found - expected).abs() < 0.006, "{name}: {found}");
    }
}

#[test]
fn help_and_version() {
    for flag in ["--help", "-h"] {
        let output = bptt(&[flag]);
        assert_eq!(output.status.code(), Some(0), "{flag}");
        assert!(printed(&output).contains("Usage: bptt"), "{flag}");
    }
    let output = bptt(&["--version"]);
    assert_eq!(output.status.code(), Some(0), "--version");
    let expected = format!("bptt {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(printed(&output), expected);
}

#[test]
fn unknown_arguments_are_refused() {
    for arguments in [&["--nonsense"][..], &["check", "--nonsense"]] {
        let output = bptt(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.contains("'--nonsense'"), "{message}");
    }
}
