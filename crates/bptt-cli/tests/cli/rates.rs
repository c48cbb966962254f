//! `bptt fit` with decay, schedules, groups and frozen parameters.

use std::fs;

use crate::command::{bptt, failure, json, success};
use crate::support::folder::Folder;
use bptt::data::Arrays;

/// Without a slope in `a`, only the decay changes it; the slope of `b` is 1.
const CELL: &str = "input x\nparam a = 1, b = 1, c_1 = 1\nloss 0 * a * x + b * x + 0 * c_1\n";

fn folder(name: &str) -> Folder {
    let folder = Folder::new(name);
    fs::write(folder.file("cell.rec"), CELL).unwrap();
    fs::write(folder.file("x.csv"), "x\n1\n").unwrap();
    folder
}

fn line(options: &str) -> Vec<&str> {
    let line = "fit cell.rec --data x.csv --json --out o.npz".split(' ');
    line.chain(options.split_whitespace()).collect()
}

/// The parameters `a`, `b` and `c_1` after a fit that need not have ended at a minimum.
fn fitted(folder: &Folder, options: &str) -> [f64; 3] {
    let output = bptt(folder, &line(options));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(matches!(output.status.code(), Some(0 | 4)), "{text}");
    let arrays = Arrays::read(folder.file("o.npz")).unwrap();
    ["a", "b", "c_1"].map(|name| arrays.get(name).unwrap().real::<f64>().sum())
}

#[test]
fn the_steps_are_those_of_the_options() {
    let folder = folder("rates");
    let sgd = "--optimizer sgd --lr 0.5";
    for (options, expected) in [
        ("--steps 1", [1.0, 0.5, 1.0]),
        ("--steps 1 --decay 0.5", [0.75, 0.25, 0.75]),
        // Rates of 0.25, 0.5, 0.5 and 0.25.
        (
            "--steps 4 --schedule warm-up:2,constant:1,cosine:1:0.5",
            [1.0, -0.75, 1.0],
        ),
        (
            "--steps 4 --schedule warm-up:2,steps:1:0.5",
            [1.0, -0.5, 1.0],
        ),
        (
            "--steps 1 --decay 0.5 --group b:rate=0.5,decay=0 --group c_*:decay=1",
            [0.75, 0.75, 0.5],
        ),
        ("--steps 1 --decay 0.5 --freeze a,c*", [1.0, 0.25, 1.0]),
        (
            "--steps 1 --decay 0.5 --truncate 1 --freeze a,c*",
            [1.0, 0.25, 1.0],
        ),
    ] {
        assert_eq!(
            fitted(&folder, &format!("{sgd} {options}")),
            expected,
            "{options}"
        );
    }
    // The first step of Adam has the length of its rate.
    let found = fitted(&folder, "--optimizer adamw --lr 0.5 --steps 1 --decay 0.5");
    assert!((found[1] - (0.75 - 0.5)).abs() < 1e-7, "{found:?}");
    assert_eq!([found[0], found[2]], [0.75, 0.75]);
    let default = fitted(&folder, "--optimizer adamw --lr 0.5 --steps 1");
    assert_eq!(default[0], 1.0 - 0.5 * 0.01);
    let adam = fitted(&folder, "--lr 0.5 --steps 1");
    assert_eq!(adam[0], 1.0, "Adam has no decay");
}

/// The fit of a frozen parameter computes no gradient for it: its factor may have an infinite slope.
#[test]
fn no_derivative_of_a_frozen_parameter_is_computed() {
    let folder = folder("frozen");
    let cell = "input x\nparam a = 0, b = 1\nloss sqrt(a) + (b - x)^2\n";
    fs::write(folder.file("cell.rec"), cell).unwrap();
    let message = failure(&bptt(&folder, &line("--steps 3")), 3);
    assert!(message.contains("not finite"), "{message}");
    let report = json(&success(&bptt(&folder, &line("--steps 3 --freeze a"))));
    assert_eq!(report["outcome"], "fitted");
    let newton = line("--freeze a --optimizer newton");
    let report = json(&success(&bptt(&folder, &newton)));
    assert!(report["loss"].as_f64().unwrap() < 1e-20, "{report}");
}

#[test]
fn options_without_a_meaning_are_refused() {
    let folder = folder("rates-refused");
    for (options, code, expected) in [
        (
            "--decay 0.1",
            2,
            "--decay has no effect with Adam: it belongs to --optimizer adamw",
        ),
        (
            "--optimizer adamw --momentum 0.5",
            2,
            "--momentum has no effect with AdamW",
        ),
        (
            "--decay -1 --optimizer adamw",
            2,
            "the decay must be at least 0, such as 0.01, found `-1`",
        ),
        ("--schedule warm-up:0", 2, "expected at least one step"),
        ("--schedule linear:5", 2, "expected `warm-up:100`"),
        (
            "--group b",
            2,
            "expected names and settings, such as `b_*:rate=0.1,decay=0`, found `b`",
        ),
        ("--group b:rate=0", 2, "one of --freeze"),
        ("--group b:rate=2,rate=3", 2, "`rate` is given twice"),
        ("--group b:speed=2", 2, "expected names and settings"),
        (
            "--group d*:rate=2",
            3,
            "--group: the fit of `cell` changes no parameter `d*`; it has `a`, `b`, `c_1`",
        ),
        (
            "--freeze a --group a:rate=2",
            3,
            "changes no parameter `a`; it has `b`, `c_1`",
        ),
        (
            "--freeze d",
            3,
            "--freeze: the fit of `cell` changes no parameter `d`",
        ),
        (
            "--freeze *",
            3,
            "--freeze * keeps all parameters of `cell`, and leaves none to fit",
        ),
        ("--freeze a,a", 2, "--freeze names `a` twice"),
        ("--freeze a --over b", 2, "cannot be used with"),
        (
            "--freeze a --standard-errors",
            2,
            "leave out --freeze, or --errors",
        ),
    ] {
        let message = failure(&bptt(&folder, &line(options)), code);
        assert!(message.contains(expected), "{options}: {message}");
        assert!(!folder.file("o.npz").exists(), "{options}");
    }
}
