//! The last words of a fit, for every way in which it can end.

use std::fs;

use crate::command::{bptt, json};
use crate::support::folder::Folder;

const DATA: &str = "x\n1\n2\n3\n6\n-4\n0.5\n2.5\n";

/// A loss, the arguments of its fit, its exit code, its outcome and words of its message.
type Case<'a> = (&'a str, &'a str, i32, &'a str, &'a [&'a str]);

const SMOOTH: &str = "0.5 * (x - a)^2";
const FITTED: &str = "fitted";
const STRAIGHT: &str = "the loss still falls, in a straight line when `a` moves";
const NOT_CONVERGED: &str = "not converged";

#[test]
fn every_end_of_a_fit_is_told() {
    let folder = Folder::new("endings");
    fs::write(folder.file("x.csv"), DATA).unwrap();
    let cases: &[Case<'_>] = &[
        (SMOOTH, "", 0, FITTED, &[]),
        (SMOOTH, "--optimizer sgd", 0, FITTED, &[]),
        (SMOOTH, "--optimizer newton", 0, FITTED, &[]),
        (SMOOTH, "--steps 0", 0, FITTED, &[]),
        (SMOOTH, "--steps 0 --optimizer newton", 0, FITTED, &[]),
        // Adam is free of scale, but for its constant.
        ("1e20 * (x - a)^2", "", 0, FITTED, &[]),
        ("1e-4 * (x - a)^2", "", 0, FITTED, &[]),
        (
            "1e-20 * (x - a)^2",
            "",
            4,
            NOT_CONVERGED,
            &[
                "the parameters hardly moved",
                "multiply the loss by 1e",
                "--optimizer newton",
            ],
        ),
        (
            "1e-200 * (x - a)^2",
            "",
            4,
            NOT_CONVERGED,
            &["the parameters did not move", "multiply the loss by 1e200"],
        ),
        (
            "1e-20 * (x - a)^2",
            "--dtype f32",
            4,
            NOT_CONVERGED,
            &["the parameters did not move in 1000 steps"],
        ),
        ("1e-20 * (x - a)^2", "--optimizer newton", 0, FITTED, &[]),
        (
            "1e-20 * (x - a)^2",
            "--optimizer sgd",
            4,
            NOT_CONVERGED,
            &[
                "the parameters did not move",
                "--lr 0.01 is too small",
                "try --lr ",
            ],
        ),
        (
            "1e20 * (x - a)^2",
            "--optimizer sgd",
            4,
            "not fitted",
            &["the fit has diverged", "try a smaller --lr"],
        ),
        (
            SMOOTH,
            "--lr 1e-30",
            4,
            NOT_CONVERGED,
            &["did not move", "try --lr 1e-2"],
        ),
        (
            SMOOTH,
            "--lr 1e-30 --optimizer sgd",
            4,
            NOT_CONVERGED,
            &["did not move", "try --lr 3e-3"],
        ),
        (
            SMOOTH,
            "--lr 1e30",
            4,
            "not fitted",
            &["the fit has diverged", "smaller --lr"],
        ),
        (
            SMOOTH,
            "--lr 1e30 --optimizer sgd",
            4,
            "not fitted",
            &["the fit has diverged", "smaller --lr"],
        ),
        (
            SMOOTH,
            "--clip 1e-30",
            4,
            NOT_CONVERGED,
            &["did not move", "try --clip 1"],
        ),
        (
            SMOOTH,
            "--clip 1e-30 --optimizer sgd",
            4,
            NOT_CONVERGED,
            &["did not move", "try --clip 1"],
        ),
        // A few short steps are steps.
        (SMOOTH, "--lr 1e-5 --steps 3", 0, FITTED, &[]),
        (
            "abs(x - a) + 0.1 * a",
            "--optimizer newton",
            4,
            NOT_CONVERGED,
            &[
                "it has a kink there",
                "try another start (--params), or write a smooth loss",
            ],
        ),
        (
            "a",
            "--optimizer newton",
            4,
            NOT_CONVERGED,
            &["the loss falls without end"],
        ),
        (
            "-0.5 * (x - a)^2",
            "--optimizer newton",
            4,
            NOT_CONVERGED,
            &["the loss falls without end", "check the sign of the loss"],
        ),
        (
            "-0.5 * (x - a)^2",
            "--optimizer sgd",
            4,
            NOT_CONVERGED,
            &["the loss falls without end", "check the sign of the loss"],
        ),
        (
            "-0.5 * (x - a)^2",
            "",
            4,
            NOT_CONVERGED,
            &["ever more steeply"],
        ),
        ("a * x", "", 4, NOT_CONVERGED, &[STRAIGHT, "`loss a^2`"]),
        ("a * x", "--dtype f32", 4, NOT_CONVERGED, &[STRAIGHT]),
        ("a * x", "--optimizer sgd", 4, NOT_CONVERGED, &[STRAIGHT]),
        ("abs(x - a)", "", 0, FITTED, &[]),
        ("exp(-a * x)", "", 0, FITTED, &[]),
        (
            "(x - a)^4",
            "--optimizer sgd --lr 1",
            4,
            "not fitted",
            &["the steps have become too large: they carried `a` from 1 to"],
        ),
    ];
    let mut wrong = Vec::new();
    for (loss, options, code, outcome, words) in cases {
        let text = format!("input x\nparam a = 1\nloss {loss}\n");
        fs::write(folder.file("cell.rec"), text).unwrap();
        let mut arguments = vec![
            "fit", "cell.rec", "--data", "x.csv", "--out", "o.npz", "--json",
        ];
        arguments.extend(options.split_whitespace());
        let found = bptt(&folder, &arguments);
        let message = String::from_utf8_lossy(&found.stderr);
        let object = json(&String::from_utf8_lossy(&found.stdout));
        let told = words.iter().all(|word| message.contains(word));
        let silent = !words.is_empty() || message.is_empty();
        if found.status.code() != Some(*code) || object["outcome"] != *outcome || !told || !silent {
            wrong.push(format!(
                "{loss} {options}: {:?} {object} {message}",
                found.status
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A fit that starts at its minimum has nowhere to go.
#[test]
fn a_fit_that_starts_at_its_minimum_is_fitted() {
    let folder = Folder::new("minimum");
    fs::write(folder.file("x.csv"), DATA).unwrap();
    let text = format!("input x\nparam a = 1\nloss {SMOOTH}\n");
    fs::write(folder.file("cell.rec"), text).unwrap();
    let fit = |options: &str| {
        let start = "fit cell.rec --data x.csv --out o.npz ";
        let arguments = format!("{start}{options}");
        let found = bptt(&folder, &arguments.split_whitespace().collect::<Vec<_>>());
        let message = String::from_utf8_lossy(&found.stderr).into_owned();
        assert_eq!((found.status.code(), &*message), (Some(0), ""), "{options}");
    };
    fit("--optimizer newton");
    fs::rename(folder.file("o.npz"), folder.file("start.npz")).unwrap();
    for options in ["", "--optimizer sgd", "--optimizer newton"] {
        fit(&format!("--params start.npz --steps 3 {options}"));
    }
}

/// The verdict on standard errors is the same after every optimiser, for every kind.
#[test]
fn missing_errors_have_a_true_reason() {
    let folder = Folder::new("reasons");
    fs::write(folder.file("x.csv"), DATA).unwrap();
    let cases = [
        ("a, b", "0.5 * (x - a)^2", "the loss does not depend on `b`"),
        (
            "a, b",
            "0.5 * (x - a - b)^2",
            "stays the same when `a` by 1 and `b` by -1",
        ),
        (
            "a",
            "a + 0 * x",
            "changes in a straight line when `a` alone moves",
        ),
        (
            "a, b = 0",
            "0.5 * (x - a)^2 - 0.5 * b^2",
            "curves downwards when `b` alone moves",
        ),
    ];
    for (parameters, loss, reason) in cases {
        let text = format!("input x\nparam {parameters}\nloss {loss}\n");
        fs::write(folder.file("cell.rec"), text).unwrap();
        for optimizer in ["adam", "sgd", "newton"] {
            for kind in ["hessian", "opg", "robust"] {
                let arguments = format!(
                    "fit cell.rec --data x.csv --out o.npz --optimizer {optimizer} --errors {kind}"
                );
                let found = bptt(&folder, &arguments.split_whitespace().collect::<Vec<_>>());
                let message = String::from_utf8_lossy(&found.stderr);
                let code = found.status.code();
                assert!(code == Some(5) || code == Some(4), "{arguments}: {code:?}");
                assert!(message.contains(reason), "{loss}: {arguments}: {message}");
            }
        }
    }
}
