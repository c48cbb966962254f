//! `bptt fit --truncate`: truncated backpropagation through time.

use std::fs;

use crate::command::{bptt, failure, json, success};
use crate::support::folder::Folder;

const CELL: &str =
    "input x, y\nparam a = 0.1, b = 0.1\nstate h\nh' = tanh(a * h + b * x)\nmean loss (h' - y)^2\n";

fn folder(name: &str) -> Folder {
    let folder = Folder::new(name);
    fs::write(folder.file("cell.rec"), CELL).unwrap();
    let mut text = "x,y\n".to_owned();
    for t in 0..200 {
        let t = 0.1 * f64::from(t);
        text += &format!("{},{}\n", t.sin(), 0.5 * (t - 0.3).sin());
    }
    fs::write(folder.file("wave.csv"), text).unwrap();
    folder
}

fn fit(folder: &Folder, options: &str, out: &str) -> serde_json::Value {
    let line = format!("fit cell.rec --data wave.csv {options} --json --out {out}");
    json(&success(&bptt(
        folder,
        &line.split(' ').collect::<Vec<_>>(),
    )))
}

#[test]
fn windows_update_the_parameters_many_times_a_step() {
    let folder = folder("truncate");
    let whole = fit(&folder, "--steps 5", "whole.npz");
    let windows = fit(&folder, "--steps 5 --truncate 10", "windows.npz");
    let overlapping = fit(&folder, "--steps 5 --truncate 10,30", "overlapping.npz");
    let after = |found: &serde_json::Value| found["loss"].as_f64().unwrap();
    assert_eq!(whole["loss_before"], windows["loss_before"]);
    assert!(after(&windows) < 0.5 * after(&whole), "{windows}, {whole}");
    assert!(after(&overlapping) < 0.5 * after(&whole), "{overlapping}");
    assert_ne!(windows["loss"], overlapping["loss"]);
}

/// A window of all steps is a fit without windows, bit for bit.
#[test]
fn a_window_of_all_steps_changes_nothing() {
    let folder = folder("truncate-all");
    for options in [
        "--steps 5",
        "--steps 5 --clip 0.01 --optimizer sgd --momentum 0.5",
    ] {
        fit(&folder, options, "plain.npz");
        for all in ["200", "1000", "200,300"] {
            fit(&folder, &format!("{options} --truncate {all}"), "all.npz");
            let [plain, all] = ["plain.npz", "all.npz"].map(|f| fs::read(folder.file(f)).unwrap());
            assert!(plain == all, "{options}");
        }
    }
}

#[test]
fn a_fit_in_windows_resumes() {
    let folder = folder("truncate-resume");
    let options = "--truncate 20,50 --save-every 2";
    fit(&folder, &format!("{options} --steps 6"), "once.npz");
    fit(&folder, &format!("{options} --steps 4"), "first.npz");
    fit(
        &folder,
        &format!("{options} --steps 6 --resume first.npz"),
        "then.npz",
    );
    let [once, then] = ["once.npz", "then.npz"].map(|f| fs::read(folder.file(f)).unwrap());
    assert!(once == then, "a resumed fit has the same bits");
    let line =
        "fit cell.rec --data wave.csv --truncate 20 --steps 9 --resume first.npz --out o.npz";
    let message = failure(&bptt(&folder, &line.split(' ').collect::<Vec<_>>()), 3);
    assert!(
        message.contains("--truncate was 20,50 and is 20,20"),
        "{message}"
    );
}

#[test]
fn windows_that_do_not_fit_are_refused() {
    let folder = folder("truncate-refused");
    let refuse = |options: &str, code: i32, expected: &str| {
        let line = format!("fit cell.rec --data wave.csv --out o.npz {options}");
        let message = failure(&bptt(&folder, &line.split(' ').collect::<Vec<_>>()), code);
        assert!(message.contains(expected), "{options}: {message}");
    };
    refuse(
        "--truncate 0",
        2,
        "expected a number of steps, such as `50`, or two, such as `10,50`, found `0`",
    );
    refuse("--truncate 5,x", 2, "found `5,x`");
    refuse("--truncate 50,10", 2, "such as `50,50`, found `50,10`");
    refuse(
        "--truncate 50 --optimizer newton",
        2,
        "--truncate has no effect with --optimizer newton",
    );
    refuse("--truncate 50 --over x", 2, "leave one of the two out");
    let late = "input x, y\nparam a = 1\nbackward state h\nh' = a * h + x\nloss (h' - y)^2\n";
    fs::write(folder.file("cell.rec"), late).unwrap();
    refuse(
        "--truncate 50",
        3,
        "the state `h` runs from the last step to the first",
    );
}
