//! `bptt derive`, run from the command line.

use std::fs;
use std::process::{Command, Output};

use crate::command;
use crate::support::folder::Folder;
use bptt::data::Arrays;
use ndarray::{Array1, Array2, Array3, array};
use serde_json::Value;

fn bptt(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bptt"));
    command
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
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
    let page = fs::read_to_string(&file).unwrap();
    fs::remove_file(&file).unwrap();
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

/// Derives with measurements on parameters and data from files.
fn measured(folder: &Folder, cell: &str, more: &[&str]) -> Value {
    let start = [
        "derive",
        cell,
        "--data",
        "data.npz",
        "--params",
        "params.npz",
    ];
    let arguments = [&start[..], &["--format", "json"], more].concat();
    command::json(&command::success(&command::bptt(folder, &arguments)))
}

/// The logistic map at `r = 4` has Lyapunov exponent `ln 2`; its Jacobian over 2000 steps exceeds the range of
/// floating-point numbers.
#[test]
fn a_long_run_has_its_lyapunov_exponent() {
    const STEPS: usize = 2000;
    let folder = Folder::new("derive-chaos");
    let seen = Array2::<f64>::zeros((STEPS, 1));
    let data = Arrays::new().with("seen", seen);
    data.write(folder.file("data.npz")).unwrap();
    let params = Arrays::new()
        .with("r", ndarray::arr0(4.0))
        .with("start", ndarray::arr0(0.3));
    params.write(folder.file("params.npz")).unwrap();
    let json = measured(&folder, "logistic_map", &[]);
    let run = &json["runs"][0];
    assert_eq!(
        (&run["steps"], &run["origin"]),
        (&STEPS.into(), &"given".into())
    );
    let exponent = run["exponent"].as_f64().unwrap();
    let (mut x, mut total) = (1.0 / (1.0 + f64::exp(-0.3)), 0.0);
    for _ in 0..STEPS {
        total += f64::abs(4.0 * (1.0 - 2.0 * x)).ln();
        x = 4.0 * x * (1.0 - x);
    }
    let sum = total / STEPS as f64;
    assert!((exponent - 2_f64.ln()).abs() < 0.02, "{exponent}");
    // The orbit is chaotic, so it depends on rounding.
    assert!((exponent - sum).abs() < 0.02, "{exponent} {sum}");
    assert!(
        exponent * STEPS as f64 > f64::MAX.ln(),
        "beyond all numbers"
    );
    // The table shows some pairs of steps, including the first and the last.
    let marks = run["marks"].as_array().unwrap();
    assert!(marks.len() < 50, "{}", marks.len());
    assert_eq!(
        (&marks[0], marks.last().unwrap()),
        (&0.into(), &STEPS.into())
    );
    let logs = run["logs"].as_array().unwrap();
    let whole = logs.last().unwrap()[0].as_f64().unwrap();
    assert!((whole / STEPS as f64 - exponent).abs() < 1e-12);
    let text = command::success(&command::bptt(
        &folder,
        &[
            "derive",
            "logistic_map",
            "--data",
            "data.npz",
            "--params",
            "params.npz",
        ],
    ));
    assert!(text.contains("the given run of 2000 steps"), "{text}");
    let last = text
        .lines()
        .rfind(|l| l.trim_start().starts_with("2000 "))
        .unwrap();
    let power: f64 = last
        .split_whitespace()
        .nth(1)
        .unwrap()
        .split_once('e')
        .unwrap()
        .1
        .parse()
        .unwrap();
    assert!((power - whole / 10_f64.ln()).abs() <= 1.0, "{last}");
}

/// Norms of products of 2 × 2 Jacobians, compared with products computed here.
#[test]
fn norms_are_those_of_the_first_sequence() {
    const LONG: usize = 6;
    let (w, wx) = (array![[0.9, -0.6], [0.5, 1.1]], array![[0.7], [-0.4]]);
    let wave = |i: usize| (i as f64 * 1.3).sin();
    let x = Array3::from_shape_fn((LONG, 2, 1), |(t, b, _)| wave(2 * t + b));
    let params = Arrays::new()
        .with("W_H", w.clone())
        .with("W_X", wx.clone())
        .with("b_h", array![0.1, -0.2])
        .with("W_O", Array2::<f64>::ones((1, 2)))
        .with("b_q", Array1::<f64>::zeros(1));
    let data = || {
        Arrays::new()
            .with("x", x.clone())
            .with("y", Array3::<f64>::zeros((LONG, 2, 1)))
    };
    let reset = Array2::from_shape_fn((LONG, 2), |(t, _)| f64::from(u8::from(t == 3 || t == 0)));
    let cases = [
        ("plain", data(), LONG),
        ("lengths", data().with("lengths", array![4_i64, 6]), 4),
        ("reset", data().with("reset", reset), 3),
    ];
    for (name, data, steps) in cases {
        let folder = Folder::new(&format!("derive-norms-{name}"));
        data.write(folder.file("data.npz")).unwrap();
        params.write(folder.file("params.npz")).unwrap();
        let json = measured(&folder, "rnn", &[]);
        let run = &json["runs"][0];
        assert_eq!(run["steps"], steps, "{name}");
        let mut h = Array1::<f64>::zeros(2);
        let mut jacobians = Vec::new();
        for t in 0..steps {
            let input = &wx.column(0) * x[(t, 0, 0)];
            h = (w.dot(&h) + input + array![0.1, -0.2]).mapv(f64::tanh);
            jacobians.push(Array2::from_diag(&h.mapv(|h| 1.0 - h * h)).dot(&w));
        }
        for t in 1..=steps {
            for k in 0..t {
                let start = Array2::<f64>::eye(2);
                let product = jacobians[k..t].iter().fold(start, |p, j| j.dot(&p));
                let square = product.iter().map(|x| x * x).sum::<f64>();
                let det = product[(0, 0)] * product[(1, 1)] - product[(0, 1)] * product[(1, 0)];
                let root = (square * square - 4.0 * det * det).max(0.0).sqrt();
                let norm = f64::midpoint(square, root).sqrt();
                let found = run["logs"][t - 1][k].as_f64().unwrap().exp();
                assert!(
                    (found / norm - 1.0).abs() < 1e-12,
                    "{name} {t} {k}: {found} {norm}"
                );
            }
        }
    }
}

const SLOW: &str = "\
dim N
input push[N], target
param W[N, N], U[N, N]
state fast[N], slow[N]
keep = sigmoid(U @ fast)
slow' = keep * slow + (1 - keep) * push
fast' = tanh(W @ slow')
loss (sum(fast') - target) * (sum(fast') - target)
";

/// The table shows the part of a gradient kept by an entrywise state beside the whole gradient.
#[test]
fn a_carousel_stands_beside_the_whole() {
    let folder = Folder::new("derive-carousel");
    fs::write(folder.file("slow.rec"), SLOW).unwrap();
    let push = Array3::from_shape_fn((5, 1, 3), |(t, _, n)| (t as f64 - n as f64) / 3.0);
    let data = Arrays::new()
        .with("push", push.clone())
        .with("target", Array2::<f64>::ones((5, 1)));
    data.write(folder.file("data.npz")).unwrap();
    let w = Array2::from_shape_fn((3, 3), |(i, j)| (i as f64 - 2.0 * j as f64) * 0.4);
    let u = Array2::from_shape_fn((3, 3), |(i, j)| (1.0 + i as f64 * j as f64) * 0.7);
    let params = Arrays::new().with("W", w.clone()).with("U", u.clone());
    params.write(folder.file("params.npz")).unwrap();
    let json = measured(&folder, "slow.rec", &[]);
    let kept = &json["runs"][0]["carousels"][0];
    assert_eq!(kept["state"], "slow", "{kept}");
    // The gates, computed here.
    let (mut fast, mut slow) = (Array1::<f64>::zeros(3), Array1::<f64>::zeros(3));
    let mut gates = Vec::new();
    for t in 0..5 {
        let keep = u.dot(&fast).mapv(|x| 1.0 / (1.0 + (-x).exp()));
        let push = push.index_axis(ndarray::Axis(0), t).row(0).to_owned();
        slow = &keep * &slow + (1.0 - &keep) * push;
        fast = w.dot(&slow).mapv(f64::tanh);
        gates.push(keep);
    }
    for t in 1..=5 {
        for k in 0..t {
            let product = gates[k..t]
                .iter()
                .fold(Array1::ones(3), |p: Array1<f64>, g| p * g);
            let largest = product.iter().copied().fold(0.0, f64::max);
            let found = kept["logs"][t - 1][k].as_f64().unwrap().exp();
            assert!(
                (found / largest - 1.0).abs() < 1e-12,
                "{t} {k}: {found} {largest}"
            );
        }
    }
    let page = [
        "derive",
        "slow.rec",
        "--data",
        "data.npz",
        "--params",
        "params.npz",
    ];
    let page = command::success(&command::bptt(
        &folder,
        &[&page[..], &["--format", "html"]].concat(),
    ));
    assert!(page.contains("The carousel and the whole") && page.contains("传送带与整个雅可比矩阵"));
    assert_eq!(page.matches("class=\"heat\"").count(), 2);
    // Without a carousel, there is no such table.
    let plain = text(&bptt(&["derive", "rnn", "--format", "html"]));
    assert!(!plain.contains("The carousel and the whole"));
    assert_eq!(plain.matches("class=\"heat\"").count(), 1);
}

/// Dead rectified linear units have a zero Jacobian, whose logarithm is null in JSON and −∞ in text.
#[test]
fn what_is_dead_has_an_infinite_exponent() {
    let folder = Folder::new("derive-dead");
    let data = Arrays::new()
        .with("x", Array3::<f64>::ones((4, 1, 1)))
        .with("y", Array3::<f64>::zeros((4, 1, 1)));
    data.write(folder.file("data.npz")).unwrap();
    let params = |bias: f64| {
        Arrays::new()
            .with("W_H", Array2::<f64>::eye(2))
            .with("W_X", Array2::<f64>::zeros((2, 1)))
            .with("b_h", array![bias, bias])
            .with("W_O", Array2::<f64>::ones((1, 2)))
            .with("b_q", array![0.0])
    };
    for (bias, log, said) in [(-1.0, Value::Null, "−∞"), (1.0, 0.0.into(), "0.00")] {
        params(bias).write(folder.file("params.npz")).unwrap();
        let json = measured(&folder, "rnn_relu", &[]);
        let run = &json["runs"][0];
        assert_eq!(run["exponent"], log);
        assert_eq!(run["logs"][3][0], log);
        for format in ["text", "md", "tex", "html"] {
            let arguments = [
                "derive",
                "rnn_relu",
                "--data",
                "data.npz",
                "--params",
                "params.npz",
            ];
            let arguments = [&arguments[..], &["--format", format]].concat();
            let page = command::success(&command::bptt(&folder, &arguments));
            let said = match format {
                "md" => format!("is `{said}`."),
                "tex" => format!("is ${}$.", said.replace("−∞", "-\\infty ")),
                "html" => format!("is <span class=\"f\">{said}</span>."),
                _ => format!("is {said}."),
            };
            assert!(page.contains(&said), "{format} lacks {said}");
            assert!(!page.contains("NaN") && !page.contains("inf)"), "{format}");
            assert!(!page.contains("−inf") && !page.contains("-inf"), "{format}");
        }
    }
}

#[test]
fn a_run_that_cannot_be_measured_is_told() {
    let folder = Folder::new("derive-mistakes");
    let classes = Array2::<i64>::zeros((3, 1));
    let data = Arrays::new().with("x", Array3::<f64>::ones((3, 1, 2)));
    data.clone().write(folder.file("x.npz")).unwrap();
    let data = data.with("y", classes);
    data.write(folder.file("xy.npz")).unwrap();
    let cases: [(&str, i32, &str); 6] = [
        ("derive lstm --params p.npz", 2, "--data"),
        ("derive lstm --data none.npz", 3, "none.npz"),
        (
            "derive lstm --data x.npz --dims H=2,O=2",
            3,
            "x.npz: there is no array `y`",
        ),
        ("derive lstm --data xy.npz --dims H=2", 3, "give --dims O="),
        (
            "derive lstm --data xy.npz --dims H=2,O=2 --params x.npz",
            3,
            "x.npz",
        ),
        (
            "derive lstm --data xy.npz --dims H=2,O=2 --out no/such.html",
            3,
            "no/such.html",
        ),
    ];
    for (line, code, words) in cases {
        let arguments: Vec<&str> = line.split(' ').collect();
        let message = command::failure(&command::bptt(&folder, &arguments), code);
        assert!(message.contains(words), "{line}: {message}");
    }
    // A matrix-valued state has no Jacobian matrix to print.
    let source =
        "dim H\ninput x[H]\nparam W[H, H]\nstate m[H, H]\nm' = tanh(W @ m)\nloss sum(m' @ x)\n";
    fs::write(folder.file("matrix.rec"), source).unwrap();
    let data = Arrays::new().with("x", Array3::<f64>::ones((3, 1, 2)));
    data.write(folder.file("only.npz")).unwrap();
    let line = "derive matrix.rec --data only.npz --format json";
    let arguments: Vec<&str> = line.split(' ').collect();
    let output = command::bptt(&folder, &arguments);
    assert_eq!(
        command::json(&command::success(&output))["runs"],
        Value::Array(Vec::new())
    );
    let note = String::from_utf8(output.stderr).unwrap();
    assert!(
        note.contains("note") && note.contains("nothing is measured"),
        "{note}"
    );
}
