//! The commands, each run in its own process.

use std::fs;
use std::process::Output;

use crate::command::{bptt, failure, json, success};
use crate::support::folder::Folder;
use crate::support::library::{LENGTHS, data, library, parse};
use bptt::data::Arrays;
use bptt::{Params, Recurrence, Wrt};
use ndarray::{arr0, array};
use serde_json::Value;

const LEAKY: &str = "dim H, K\ninput x[K], y[H]\nparam W[H, K] ~ glorot(), leak[H] = 0.5\n\
                     state h[H]\nh' = leak * h + (1 - leak) * tanh(W @ x)\noutput h'\n\
                     mean loss squared_error(h', y)\n";

fn leaky(folder: &Folder) {
    fs::write(folder.file("leaky.rec"), LEAKY).unwrap();
    let wave = |i: usize| (i as f64 * 0.7).sin();
    let x = ndarray::Array3::from_shape_fn((4, 2, 3), |(t, b, k)| wave(6 * t + 3 * b + k));
    let y = ndarray::Array3::from_shape_fn((4, 2, 2), |(t, b, k)| wave(4 * t + 2 * b + k));
    Arrays::new()
        .with("x", x)
        .with("y", y)
        .write(folder.file("data.npz"))
        .unwrap();
    let w = ndarray::Array2::from_shape_fn((2, 3), |(i, j)| wave(i + 2 * j));
    let params = Arrays::new().with("W", w).with("leak", array![0.25, 0.5]);
    params.write(folder.file("params.npz")).unwrap();
}

/// All numbers in a JSON value, in order.
fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(list) => list.iter().flat_map(numbers).collect(),
        other => other.as_f64().into_iter().collect(),
    }
}

/// For every recurrence of the library, `bptt grad` on a data file agrees with reverse mode on the unrolled
/// program.
#[test]
fn gradients_of_the_library_are_those_of_the_tape() {
    let folder = Folder::new("acceptance");
    for (name, source) in library() {
        let recurrence = parse(&name, &source);
        let (params, batch) = data(&name, &recurrence, 17);
        let mut inputs = Arrays::new();
        for input in recurrence.inputs() {
            inputs = match (batch.get(input), batch.classes(input)) {
                (Some(real), _) => inputs.with(input, real.clone()),
                (_, Some(class)) => inputs.with(input, class.mapv(|c| i64::try_from(c).unwrap())),
                _ => unreachable!("an input is one or the other"),
            };
        }
        let lengths: Vec<i64> = LENGTHS.iter().map(|l| i64::try_from(*l).unwrap()).collect();
        inputs = inputs.with("lengths", ndarray::Array1::from(lengths));
        inputs.write(folder.file("data.npz")).unwrap();
        Arrays::from(&params)
            .write(folder.file("params.npz"))
            .unwrap();
        let arguments = "--data data.npz --params params.npz --wrt all --out gradient.npz --quiet";
        let mut all = vec!["grad", &*name];
        all.extend(arguments.split_whitespace());
        success(&bptt(&folder, &all));

        let found = Arrays::read(folder.file("gradient.npz")).unwrap();
        let unrolled = recurrence.unroll_for(&params, &batch).unwrap();
        let exact = unrolled.gradient(Wrt::Everything).unwrap();
        let exact = exact.evaluate(&params, &batch).unwrap();
        assert_eq!(found.iter().count(), exact.iter().count(), "{name}");
        for (key, exact) in exact.iter() {
            let found = found
                .get(key)
                .unwrap_or_else(|| panic!("{name}: no {key}"))
                .real::<f64>();
            assert_eq!(found.shape(), exact.shape(), "{name}: {key}");
            let largest = exact.iter().fold(1e-3, |m: f64, x| m.max(x.abs()));
            let off = found
                .iter()
                .zip(exact)
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f64::max);
            assert!(off <= 1e-12 * largest, "{name}: {key} is off by {off:e}");
        }
    }
}

/// The gradient of GARCH on real data agrees with the table of 30 digits.
#[test]
fn the_gradient_of_garch_is_exact() {
    let folder = Folder::new("exact");
    let theta = [
        ("mu", -0.005),
        ("omega", 0.01),
        ("alpha", 0.15),
        ("beta", 0.8),
    ];
    let params = theta
        .iter()
        .fold(Arrays::new(), |all, (name, x)| all.with(name, arr0(*x)));
    params.write(folder.file("theta.npz")).unwrap();
    let returns = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/dmbp.csv");
    let arguments = [
        "grad",
        "garch11",
        "--data",
        returns,
        "--params",
        "theta.npz",
        "--json",
    ];
    let found = json(&success(&bptt(&folder, &arguments)));
    let exact = |quantity: &str| -> f64 {
        let table = include_str!("../../../../tests/data/recurrence_oracles.csv");
        let fits = |l: &&str| {
            l.contains("theta=(-0.005,0.01,0.15,0.8)") && l.contains(&format!(",{quantity},"))
        };
        table
            .lines()
            .find(fits)
            .unwrap()
            .rsplit(',')
            .next()
            .unwrap()
            .parse()
            .unwrap()
    };
    // The loss is the negative log-likelihood.
    let close = |found: &Value, exact: f64| {
        let found = found.as_f64().unwrap();
        assert!(
            (found + exact).abs() <= 1e-12 * exact.abs(),
            "{found}, expected {}",
            -exact
        );
    };
    close(&found["loss"], exact("loglik"));
    for (name, _) in theta {
        close(&found["gradients"][name], exact(&format!("grad_{name}")));
    }
}

#[test]
fn gradients_go_to_files_and_to_json() {
    let folder = Folder::new("grad");
    leaky(&folder);
    let grad = [
        "grad",
        "leaky.rec",
        "--data",
        "data.npz",
        "--params",
        "params.npz",
    ];
    let with = |more: &[&str]| success(&bptt(&folder, &[&grad[..], more].concat()));
    let text = with(&["--out", "g.npz"]);
    assert!(
        text.contains("leaky  gradients, T = 4, B = 2, f64"),
        "{text}"
    );
    assert!(text.contains("written to g.npz"), "{text}");
    let file = Arrays::read(folder.file("g.npz")).unwrap();
    let names: Vec<&str> = file.iter().map(|(n, _)| n).collect();
    assert_eq!(names, ["loss", "W", "leak"]);

    let spoken = json(&with(&["--json"]));
    assert_eq!(
        spoken["loss"].as_f64(),
        file.get("loss").map(|l| l.real::<f64>().sum())
    );
    let w = file.get("W").unwrap().real::<f64>();
    assert_eq!(
        numbers(&spoken["gradients"]["W"]),
        w.iter().copied().collect::<Vec<_>>()
    );
    let chosen = json(&with(&["--json", "--wrt", "h,x"]));
    let keys: Vec<&String> = chosen["gradients"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["h", "x"]);
    assert_eq!(numbers(&chosen["gradients"]["h"]).len(), 4 * 2 * 2);
    assert_eq!(with(&["--quiet"]), "");

    let single = json(&with(&["--json", "--dtype", "f32"]));
    for (a, b) in numbers(&single["gradients"]["W"]).iter().zip(w.iter()) {
        assert!((a - b).abs() < 1e-6 && a != b, "{a} {b}");
    }
    with(&["--dtype", "f32", "--out", "g.safetensors"]);
    let file = Arrays::read(folder.file("g.safetensors")).unwrap();
    assert_eq!(file.get("W").unwrap().kind(), "f32");
    // Without a parameter file, parameters have their initial values.
    let start = ["grad", "leaky.rec", "--data", "data.npz", "--json"];
    let start = json(&success(&bptt(&folder, &start)));
    assert_ne!(start["loss"], spoken["loss"]);
}

#[test]
fn a_run_has_outputs_and_final_states() {
    let folder = Folder::new("run");
    leaky(&folder);
    let arguments = [
        "run",
        "leaky.rec",
        "-d",
        "data.npz",
        "-p",
        "params.npz",
        "-o",
        "y.npz",
    ];
    success(&bptt(&folder, &arguments));
    let found = Arrays::read(folder.file("y.npz")).unwrap();
    let get = |name: &str| found.get(name).unwrap().real::<f64>();
    assert_eq!(get("h").shape(), [4, 2, 2]);
    let last = get("h").index_axis_move(ndarray::Axis(0), 3);
    assert_eq!(get("h.final"), last);
    assert!(get("loss").sum() > 0.0, "there is a loss");
}

#[test]
fn lengths_and_resets_are_heard() {
    let folder = Folder::new("lengths");
    fs::write(
        folder.file("sum.rec"),
        "input x\nstate s\ns' = s + x\noutput s'\nfinal loss s'\n",
    )
    .unwrap();
    let x = array![[1.0, 10.0], [2.0, 20.0], [3.0, f64::NAN]];
    let given = Arrays::new().with("x", x).with("lengths", array![3_i64, 2]);
    let run = || {
        json(&success(&bptt(
            &folder,
            &["run", "sum.rec", "-d", "data.npz", "--json"],
        )))
    };
    given.clone().write(folder.file("data.npz")).unwrap();
    let found = run();
    assert_eq!(numbers(&found["outputs"]["s.final"]), [6.0, 30.0]);
    assert_eq!(found["loss"], 36.0);
    let resets = array![[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]];
    given
        .with("reset", resets)
        .write(folder.file("data.npz"))
        .unwrap();
    // The final value of each sequence, at all its steps; zero beyond the length.
    let found = run();
    let finals = [3.0, 10.0, 3.0, 20.0, 3.0, 0.0];
    assert_eq!(numbers(&found["outputs"]["s.final"]), finals);
    assert_eq!(found["loss"], 3.0 + 3.0 + 10.0 + 20.0);
}

#[test]
fn the_library_is_certified() {
    let folder = Folder::new("check");
    for (name, _) in library() {
        let found = json(&success(&bptt(&folder, &["check", &name, "--json"])));
        assert_eq!(found["certified"], true, "{name}");
        assert_eq!(found["trials"][0]["verdict"], "certified", "{name}");
    }
    let text = success(&bptt(
        &folder,
        &["check", "gru", "--trials", "2", "--dims", "H=2"],
    ));
    assert_eq!(text.matches(": certified").count(), 2, "{text}");
}

#[test]
fn what_is_not_certified_has_its_own_exit_code() {
    let folder = Folder::new("uncertified");
    leaky(&folder);
    // |x| has no derivative at x = 0.
    fs::write(
        folder.file("kink.rec"),
        "input x\nparam a\nloss abs(a * x)\n",
    )
    .unwrap();
    Arrays::new()
        .with("x", array![[0.0]])
        .write(folder.file("zero.npz"))
        .unwrap();
    Arrays::new()
        .with("a", arr0(0.0))
        .write(folder.file("a.npz"))
        .unwrap();
    let output = bptt(
        &folder,
        &["check", "kink.rec", "-d", "zero.npz", "-p", "a.npz"],
    );
    assert_eq!(
        output.status.code(),
        Some(1),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("INCOMPLETE"),
        "it says so"
    );
    let given = ["check", "leaky.rec", "-d", "data.npz", "-p", "params.npz"];
    success(&bptt(&folder, &given));
}

#[test]
fn recurrences_are_shown() {
    let folder = Folder::new("show");
    leaky(&folder);
    let list = success(&bptt(&folder, &["show"]));
    for (name, _) in library() {
        assert!(list.contains(&format!("{name} ")), "{name}");
        let dot = success(&bptt(&folder, &["show", &name, "--format", "dot"]));
        assert!(
            dot.starts_with(&format!("digraph \"{name}\" {{")) && dot.ends_with("}\n"),
            "{dot}"
        );
        let svg = success(&bptt(&folder, &["show", &name, "--format", "svg"]));
        assert!(
            svg.starts_with("<svg ") && svg.ends_with("</svg>\n"),
            "{name}"
        );
        assert_eq!(
            svg.matches("<g>").count(),
            dot.matches(" [label=\"").count()
        );
    }
    let text = success(&bptt(&folder, &["show", "leaky.rec"]));
    assert_eq!(
        text,
        Recurrence::parse("leaky.rec", LEAKY)
            .unwrap()
            .source()
            .unwrap()
    );
    success(&bptt(
        &folder,
        &["show", "leaky.rec", "--format", "svg", "--out", "leaky.svg"],
    ));
    let svg = fs::read_to_string(folder.file("leaky.svg")).unwrap();
    assert!(svg.contains("h&apos;") || svg.contains("h' = "), "{svg}");
    let all = json(&success(&bptt(&folder, &["show", "--json"])));
    assert_eq!(all["library"].as_array().unwrap().len(), library().len());
}

#[test]
fn a_new_recurrence_is_certified_and_never_overwrites() {
    let folder = Folder::new("new");
    success(&bptt(&folder, &["new", "cell.rec"]));
    success(&bptt(&folder, &["check", "cell.rec"]));
    assert!(
        failure(&bptt(&folder, &["new", "cell.rec"]), 3).contains("already exists"),
        "kept"
    );
    assert!(
        failure(&bptt(&folder, &["new", "cell.txt"]), 3).contains("ends in .rec"),
        "refused"
    );
}

#[test]
fn state_dicts_are_read_and_written() {
    let folder = Folder::new("convert");
    let recurrence = library().into_iter().find(|(n, _)| n == "lstm").unwrap();
    let recurrence = parse("lstm", &recurrence.1);
    let (params, _) = data("lstm", &recurrence, 3);
    Arrays::from(&params).write(folder.file("p.npz")).unwrap();
    let there = [
        "convert",
        "lstm",
        "-p",
        "p.npz",
        "--layout",
        "pytorch",
        "-o",
        "s.safetensors",
    ];
    success(&bptt(&folder, &there));
    let state = Arrays::read(folder.file("s.safetensors")).unwrap();
    assert_eq!(state.get("weight_ih_l0").unwrap().shape(), [4 * 3, 2]);
    success(&bptt(
        &folder,
        &["convert", "lstm", "-p", "s.safetensors", "-o", "back.npz"],
    ));
    let back: Params<f64> = Arrays::read(folder.file("back.npz"))
        .unwrap()
        .params(&recurrence)
        .unwrap();
    assert_eq!(back, params);
}

#[test]
fn completions_and_help_are_there() {
    let folder = Folder::new("help");
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = success(&bptt(&folder, &["completions", shell]));
        assert!(
            script.contains("garch") || script.contains("check"),
            "{shell}"
        );
    }
    let help = success(&bptt(&folder, &["--help"]));
    for word in [
        "check",
        "grad",
        "run",
        "fit",
        "show",
        "new",
        "convert",
        "Exit codes",
        "--json",
    ] {
        assert!(help.contains(word), "{word} is missing: {help}");
    }
    for command in [
        "check",
        "grad",
        "run",
        "fit",
        "show",
        "derive",
        "new",
        "convert",
        "completions",
    ] {
        let help = success(&bptt(&folder, &[command, "--help"]));
        assert!(help.contains("Example"), "{command}: {help}");
        assert!(
            help.lines().all(|l| l.chars().count() <= 100),
            "{command}: {help}"
        );
    }
}

#[test]
fn mistakes_are_told_with_their_place() {
    let folder = Folder::new("mistakes");
    leaky(&folder);
    fs::write(folder.file("wrong.rec"), "input x\nloss tanhh(x)\n").unwrap();
    fs::write(folder.file("bytes.rec"), b"input x\n\xff\n").unwrap();
    fs::write(folder.file("broken.npz"), "PK, but no archive").unwrap();
    Arrays::new()
        .with("W", array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
        .write(folder.file("few.npz"))
        .unwrap();
    let data = ["--data", "data.npz"];
    let fail = |arguments: &[&str], expected: &str| {
        let message = failure(&bptt(&folder, arguments), 3);
        assert!(message.contains(expected), "{arguments:?}: {message}");
    };
    fail(&["show", "wrong.rec"], " --> wrong.rec:2:6");
    fail(&["show", "wrong.rec"], "did you mean `tanh`?");
    fail(&["show", "bytes.rec"], "byte 8 is not UTF-8");
    fail(&["show", "missing.rec"], "there is no file `missing.rec`");
    fail(
        &["show", "lstmm"],
        "there is no recurrence named `lstmm`; did you mean `lstm`?",
    );
    fail(
        &[&["grad", "leaky.rec", "-p", "few.npz"], &data[..]].concat(),
        "`leak` is missing",
    );
    fail(
        &["grad", "leaky.rec", "-d", "broken.npz"],
        "broken.npz: is not a .npz archive",
    );
    fail(
        &[
            &["grad", "leaky.rec", "-p", "params.npz", "--wrt", "Q"],
            &data[..],
        ]
        .concat(),
        "named `Q`",
    );
    fail(
        &[&["grad", "leaky.rec", "--dims", "Q=2"], &data[..]].concat(),
        "no dimension named `Q`",
    );
    fail(&["grad", "rnn", "-d", "data.npz"], "give --dims");
    let arrays = Arrays::read(folder.file("data.npz")).unwrap();
    let half = arrays
        .clone()
        .with("reset", ndarray::Array2::from_elem((4, 2), 0.5));
    half.write(folder.file("half.npz")).unwrap();
    fail(
        &["grad", "leaky.rec", "-d", "half.npz"],
        "half.npz: array `reset`: expected 0 or 1, found 0.5 at [0, 0]",
    );
    // Behind the end of a sequence it may be anything.
    let mut ended = ndarray::Array2::zeros((4, 2));
    ended[[3, 1]] = f64::NAN;
    let ended = arrays.clone().with("reset", ended);
    let ended = ended.with("lengths", array![4_i64, 3]);
    ended.write(folder.file("ended.npz")).unwrap();
    success(&bptt(&folder, &["run", "leaky.rec", "-d", "ended.npz"]));
    let x = arrays.get("x").unwrap().real::<f64>();
    let alone = Arrays::new().with("x", x.clone()).with("Y", x);
    alone.write(folder.file("alone.npz")).unwrap();
    fail(
        &["grad", "rnn", "-d", "alone.npz"],
        "there is no array `y`, which is an input of `rnn`; the file has: `x`, `Y`",
    );
    fs::write(
        folder.file("class.rec"),
        "dim C\ninput x: class(C)\nparam a\nloss a * gather(one_hot(x), x)\n",
    )
    .unwrap();
    Arrays::new()
        .with("x", array![[0_i64], [1]])
        .write(folder.file("class.npz"))
        .unwrap();
    fail(&["grad", "class.rec", "-d", "class.npz"], "give --dims C=…");
    success(&bptt(&folder, &["check", "class.rec", "-d", "class.npz"]));
    let huge = "H=4000000000";
    fail(&["check", "lstm", "--dims", huge], "is too large");
    fail(
        &["grad", "rnn", "-d", "data.npz", "--dims", huge],
        "is too large",
    );
    fail(
        &["check", "lstm", "--dims", "Q=2"],
        "no dimension named `Q`",
    );
    let grad = [
        "grad",
        "leaky.rec",
        "-p",
        "params.npz",
        "--out",
        "no/folder/g.npz",
    ];
    fail(&[&grad, &data[..]].concat(), "cannot be written");
    for wrong in [
        &["grad"][..],
        &["check", "lstm", "--dims", "H"],
        &["check", "lstm", "--trials", "0"],
    ] {
        let message = failure(&bptt(&folder, wrong), 2);
        assert!(message.contains("error"), "{message}");
    }
}

/// Unused arrays are named, so that a misspelt name is noticed.
#[test]
fn arrays_that_are_not_used_are_named() {
    let folder = Folder::new("unused");
    leaky(&folder);
    let arrays = Arrays::read(folder.file("data.npz")).unwrap();
    arrays
        .with("length", array![1_i64])
        .write(folder.file("data.npz"))
        .unwrap();
    let run = |more: &[&str]| -> Output {
        bptt(
            &folder,
            &[
                &["run", "leaky.rec", "-d", "data.npz", "-p", "params.npz"],
                more,
            ]
            .concat(),
        )
    };
    let said = String::from_utf8(run(&[]).stderr).unwrap();
    assert!(
        said.contains("data.npz: not used by `leaky`: `length`"),
        "{said}"
    );
    assert!(run(&["--quiet"]).stderr.is_empty(), "quiet is quiet");
}

/// Norms of numbers whose squares are beyond the range.
#[test]
fn norms_of_extreme_gradients() {
    let folder = Folder::new("extreme-norms");
    let text = "input x\nparam a = 1e200, b = 1e-200\nloss a * 1e-200 * x + b * 1e200 * x\n";
    fs::write(folder.path().join("e.rec"), text).unwrap();
    fs::write(folder.path().join("x.csv"), "x\n0\n1\n5\n").unwrap();
    let found = success(&bptt(&folder, &["grad", "e.rec", "--data", "x.csv"]));
    for (name, norm) in [("a", "6.000000e-200"), ("b", "6.000000e200")] {
        let row = [name, "number", norm, norm];
        let mut lines = found
            .lines()
            .map(|l| l.split_whitespace().collect::<Vec<_>>());
        assert!(lines.any(|line| line == row), "{row:?} in {found}");
    }
}
