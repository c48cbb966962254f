//! `bptt fit` on real data, run as a user runs it.

use std::fs;

use crate::command::{bptt, failure, json, success};
use crate::support::folder::Folder;

fn garch_oracle(name: &str) -> f64 {
    let table = include_str!("../../../../tests/data/recurrence_oracles.csv");
    let start = "garch11_bollerslev_ghysels,MLE";
    let line = table
        .lines()
        .find(|l| l.starts_with(start) && l.contains(&format!(",{name},")));
    line.unwrap().rsplit(',').next().unwrap().parse().unwrap()
}

/// The benchmark of Fiorentini, Calzolari and Panattoni (1996), from the file of returns to the
/// printed digits: estimates and standard errors.
#[test]
fn garch_is_fitted_to_its_published_digits() {
    let folder = Folder::new("garch");
    let returns = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/dmbp.csv");
    let arguments = ["fit", "garch11", "--data", returns, "--optimizer", "newton"];
    let more = ["--standard-errors", "--out", "garch.npz", "--json"];
    let found = json(&success(&bptt(&folder, &[&arguments[..], &more].concat())));
    let log_likelihood = garch_oracle("loglik");
    assert!(
        (found["loss"].as_f64().unwrap() / -log_likelihood - 1.0).abs() < 1e-13,
        "{found}"
    );
    let printed = [
        ("mu", 0.008_462_12, 5e-9),
        ("omega", 0.002_852_71, 5e-9),
        ("alpha", 0.026_522_8, 5e-8),
        ("beta", 0.033_552_7, 5e-8),
    ];
    for (name, error, half_a_unit) in printed {
        let estimate = found["parameters"][name].as_f64().unwrap();
        let exact = garch_oracle(&format!("theta_hat_{name}"));
        assert!(
            (estimate / exact - 1.0).abs() < 1e-9,
            "{name}: {estimate}, expected {exact}"
        );
        let own = found["standard_errors"][name].as_f64().unwrap();
        assert!(
            (own - error).abs() <= half_a_unit,
            "{name}: {own}, printed {error}"
        );
    }
    let text = success(&bptt(&folder, &[&arguments[..], &more[..3]].concat()));
    assert!(
        text.contains("beta          0.8059736      0.03355269"),
        "{text}"
    );
    // The fitted file is data for the other commands.
    let gradient = [
        "grad",
        "garch11",
        "--data",
        returns,
        "--params",
        "garch.npz",
        "--json",
    ];
    let gradient = json(&success(&bptt(&folder, &gradient)));
    for (name, error, _) in printed {
        let slope = gradient["gradients"][name].as_f64().unwrap();
        assert!((slope * error).abs() < 1e-9, "{name}: {slope}");
    }
}

#[test]
fn a_network_forecasts_sunspots() {
    let folder = Folder::new("sunspots");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/sunspots.csv");
    let fit = |optimizer: &str, lr: &str| {
        let arguments = [
            "fit",
            "sunspots.rec",
            "--data",
            source,
            "--dims",
            "H=6",
            "--steps",
            "150",
        ];
        let more = [
            "--optimizer",
            optimizer,
            "--lr",
            lr,
            "--clip",
            "1",
            "--out",
            "p.npz",
            "--json",
        ];
        json(&success(&bptt(&folder, &[&arguments[..], &more].concat())))
    };
    fs::write(folder.file("sunspots.rec"), SUNSPOTS).unwrap();
    for (optimizer, lr) in [("adam", "0.01"), ("sgd", "0.1")] {
        let found = fit(optimizer, lr);
        // The loss is the mean squared error, in units of 50; that of the naive forecast, the
        // number of the year before, is computed here.
        let table = fs::read_to_string(source).unwrap();
        let numbers: Vec<f64> = table
            .lines()
            .skip(1)
            .map(|l| l.split(',').nth(1).unwrap().parse().unwrap())
            .collect();
        let naive: f64 = numbers
            .windows(2)
            .map(|w| ((w[1] - w[0]) / 50.0).powi(2))
            .sum();
        let naive = naive / numbers.len() as f64;
        let loss = found["loss"].as_f64().unwrap();
        assert!(loss < naive, "{optimizer}: {loss}, naive {naive}");
        assert!(loss < found["loss_before"].as_f64().unwrap(), "{found}");
    }
    assert_eq!(
        fit("adam", "0.01"),
        fit("adam", "0.01"),
        "the same seed, the same fit"
    );
}

const SUNSPOTS: &str = "dim H\ninput sunspots\n\
    param W[H, H] ~ orthogonal(0.9), u[H] ~ uniform(0.5), b[H] = 0\n\
    param w[H] ~ uniform(1/sqrt(H)), c = 0\nstate h[H], forecast\n\
    s = (sunspots - 50) / 50\nh' = tanh(W @ h + u * s + b)\n\
    forecast' = dot(w, h') + c\nmean loss (forecast - s)^2\n";

fn texts(output: &std::process::Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

/// Newton's method that does not converge says so, and its last parameters are saved.
#[test]
fn a_fit_that_has_not_converged_is_saved() {
    let folder = Folder::new("early");
    fs::write(folder.file("x.csv"), "x\n1\n2\n4\n").unwrap();
    fs::write(
        folder.file("exp.rec"),
        "input x\nparam a = 1\nloss exp(a * x) - 1000 * a\n",
    )
    .unwrap();
    fs::write(
        folder.file("falls.rec"),
        "input x\nparam a = 1\nloss -(a - x)^2\n",
    )
    .unwrap();
    let fit = |text: &str| bptt(&folder, &text.split(' ').collect::<Vec<_>>());
    for (command, why) in [
        ("falls.rec", "check the sign of the loss"),
        (
            "falls.rec --standard-errors",
            "if it falls without end, check its sign",
        ),
        ("exp.rec --steps 1", "not converged after 1 step;"),
    ] {
        let found = fit(&format!(
            "fit {command} --data x.csv --optimizer newton --out p.npz --json"
        ));
        let (text, message) = texts(&found);
        assert_eq!(found.status.code(), Some(4), "{command}: {message}");
        assert!(message.contains(why), "{command}: {message}");
        let found = json(&text);
        assert_eq!(found["outcome"], "not converged", "{command}");
        assert!(
            !found["problems"][0].as_str().unwrap().is_empty(),
            "{found}"
        );
        let again = fit("run exp.rec --data x.csv --params p.npz");
        let (_, message) = texts(&again);
        assert!(!message.contains("p.npz"), "{message}");
        fs::remove_file(folder.file("p.npz")).unwrap();
    }
    let text = success(&fit(
        "fit exp.rec --data x.csv --optimizer newton --out p.npz",
    ));
    assert!(text.contains("exp  fitted, T = 3"), "{text}");
}

/// Three kinds of standard errors, on the scale of the sum; and none where they would mean nothing.
#[test]
fn standard_errors_need_their_premises() {
    let folder = Folder::new("premises");
    let x: Vec<f64> = (0..400)
        .map(|i| f64::from(i % 7) + f64::from(i % 3))
        .collect();
    let mean = x.iter().sum::<f64>() / 400.0;
    let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 400.0;
    let lines: String = x.iter().map(|x| format!("{x}\n")).collect();
    fs::write(folder.file("x.csv"), format!("x\n{lines}")).unwrap();
    let normal = "input x\nparam m, l\nmean loss 0.5 * (l + (x - m)^2 * exp(-l))\n";
    fs::write(folder.file("normal.rec"), normal).unwrap();
    fs::write(
        folder.file("two.rec"),
        normal
            .replace("m, l", "m, l, a")
            .replace("x - m", "x - m - a"),
    )
    .unwrap();
    fs::write(
        folder.file("sign.rec"),
        "input x\nparam m\nloss -(x - m)^2\n",
    )
    .unwrap();
    let fit = |text: &str| bptt(&folder, &text.split(' ').collect::<Vec<_>>());

    for kind in ["hessian", "opg", "robust"] {
        let command =
            format!("fit normal.rec --data x.csv --optimizer newton --errors {kind} --out p.npz");
        let found = json(&success(&fit(&format!("{command} --json"))));
        let error = found["standard_errors"]["m"].as_f64().unwrap();
        assert_eq!(found["errors"][kind], found["standard_errors"], "{found}");
        assert_eq!(found["entries"], serde_json::json!(["m", "l"]));
        assert_eq!(found["observations"], 400);
        let own = found["covariance"][kind][0][0].as_f64().unwrap();
        assert!((own.sqrt() / error - 1.0).abs() < 1e-14, "{found}");
        for kind in ["hessian", "robust"] {
            let error = found["errors"][kind]["m"].as_f64().unwrap();
            assert!(
                (error / (variance / 400.0).sqrt() - 1.0).abs() < 1e-9,
                "{found}"
            );
        }
        let text = success(&fit(&format!("{command} --covariance")));
        assert!(
            text.contains("covariance") && text.contains(&format!("{own:.6e}")),
            "{text}"
        );
        assert!(
            text.contains(if kind == "hessian" {
                "the inverse Hessian"
            } else {
                "400 observations"
            }),
            "{text}"
        );
    }
    let early = (4, "not converged, T = ");
    for (command, (code, outcome), why) in [
        (
            "normal.rec --steps 3",
            early,
            "the fit has not converged: the loss curves downwards",
        ),
        (
            "normal.rec --steps 700",
            early,
            "standard errors from the minimum, and at most 0.01",
        ),
        (
            "normal.rec --steps 3",
            early,
            "try --optimizer newton --params p.npz",
        ),
        (
            "two.rec --optimizer newton",
            (5, "fitted, T = "),
            "`m` by 1 and `a` by -1 move together",
        ),
        ("sign.rec --steps 3", early, "check its sign"),
    ] {
        let _ = fs::remove_file(folder.file("p.npz"));
        let found = fit(&format!(
            "fit {command} --data x.csv --out p.npz --standard-errors"
        ));
        let (text, message) = texts(&found);
        assert_eq!(found.status.code(), Some(code), "{command}: {message}");
        assert!(text.contains(outcome), "{command}: {text}");
        assert!(message.contains(why), "{command}: {message}");
        assert!(
            text.contains("written to p.npz") && folder.file("p.npz").exists(),
            "{text}"
        );
    }
}

/// Newton's method ends at a kink, where no step leads down and more steps are of no use.
#[test]
fn errors_at_a_kink_need_a_smooth_loss() {
    let folder = Folder::new("kink");
    fs::write(folder.file("x.csv"), "x\n1\n2\n4\n").unwrap();
    fs::write(
        folder.file("kink.rec"),
        "input x\nparam a = 0\nloss (a - x)^2 + 20 * abs(a - 0.3)\n",
    )
    .unwrap();
    let fit = "fit kink.rec --data x.csv --optimizer newton --standard-errors --out p.npz --json";
    let found = bptt(&folder, &fit.split(' ').collect::<Vec<_>>());
    let (text, message) = texts(&found);
    assert_eq!(found.status.code(), Some(4), "{message}");
    assert!(message.contains("no step makes the loss fall"), "{message}");
    let problems = json(&text)["problems"].clone();
    let advice = problems[1].as_str().unwrap();
    assert!(
        advice.contains("the loss has a kink here") && advice.contains("write a smooth loss"),
        "{problems}"
    );
    assert!(!message.contains("more --steps"), "{message}");
}

/// A variance that a step makes negative: the message names it, and how to keep it positive.
#[test]
fn a_fit_that_leaves_the_domain_names_the_parameter() {
    let folder = Folder::new("domain");
    fs::write(folder.file("x.csv"), "x\n0.01\n0.02\n-0.01\n").unwrap();
    fs::write(
        folder.file("normal.rec"),
        "input x\nparam m = 0.1, v = 0.5\nmean loss ln(v) + (x - m)^2 / v\n",
    )
    .unwrap();
    let fit = "fit normal.rec --data x.csv --optimizer sgd --lr 0.5 --out p.npz";
    let found = bptt(&folder, &fit.split(' ').collect::<Vec<_>>());
    let (_, message) = texts(&found);
    assert_eq!(found.status.code(), Some(4), "{message}");
    for part in [
        "after 1 step: ",
        "`v` has moved there: if it must be positive, declare `param ln_v = -0.69` and write `v = exp(ln_v)`; it \
         went from 0.5 to -0.4",
        "try a smaller --lr",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
}

#[test]
fn a_model_learns_a_text() {
    let folder = Folder::new("text");
    let text = "the quick brown fox jumps over the lazy dog; ".repeat(12);
    fs::write(folder.file("fox.txt"), &text).unwrap();
    for cell in ["characters", "lstm"] {
        let arguments = format!(
            "fit {cell} --text fox.txt --length 15 --batch 4 --dims H=12,K=6 --steps 60 --lr 0.03 --out p.npz --json"
        );
        // The inputs of the LSTM are vectors with a place for each character.
        let arguments = if cell == "lstm" {
            arguments.replace(",K=6", "")
        } else {
            arguments
        };
        let found = json(&success(&bptt(
            &folder,
            &arguments.split(' ').collect::<Vec<_>>(),
        )));
        let alphabet = found["alphabet"].as_str().unwrap();
        let all: std::collections::BTreeSet<char> = text.chars().collect();
        assert_eq!(alphabet, all.iter().collect::<String>());
        let mut loss = found["loss"].as_f64().unwrap();
        if cell == "lstm" {
            loss /= 4.0 * 15.0;
        }
        // Guessing among all characters alike costs ln 28 = 3.3.
        assert!(loss < 0.6 * (all.len() as f64).ln(), "{cell}: {loss}");
    }
    let empty = bptt(
        &folder,
        &["fit", "garch11", "--text", "fox.txt", "--out", "p.npz"],
    );
    assert!(
        failure(&empty, 3).contains("cannot read a text: expected `input x: class(C)`"),
        "refused"
    );
}

/// A parameter is fitted under any name, and is what it is called: `w.final` is no final state.
#[test]
fn parameters_are_fitted_whatever_they_are_called() {
    let folder = Folder::new("names");
    fs::write(folder.file("data.csv"), "x\n1\n2\n3\n4\n").unwrap();
    let declared = "param w.final = 0.5, v = 0.5\ninput x\n";
    let cases = [
        (
            "param w.final = 0.5\ninput x\nloss (w.final - x)^2\n".into(),
            5.0,
        ),
        (format!("{declared}loss (w.final + v - x)^2\n"), 5.0),
        // The directions of Newton's method have other names than the parameters.
        (
            "param w = 0.5, w.dot = 0.5, w.dot2 = 0.5\ninput x\n\
             loss (w - x)^2 + (w.dot - 2 * x)^2 + (w.dot2 - w)^2\n"
                .into(),
            25.0,
        ),
    ];
    for (source, least) in cases {
        fs::write(folder.file("names.rec"), source).unwrap();
        for optimizer in ["newton", "sgd", "adam"] {
            let rate: &[&str] = match optimizer {
                "adam" => &["--lr", "0.1"],
                "sgd" => &["--lr", "0.03"],
                _ => &[],
            };
            let fit = [
                "fit",
                "names.rec",
                "--data",
                "data.csv",
                "--optimizer",
                optimizer,
            ];
            let more = ["--steps", "500", "--out", "fit.npz", "--json"];
            let found = json(&success(&bptt(&folder, &[&fit[..], rate, &more].concat())));
            let loss = found["loss"].as_f64().unwrap();
            assert!((loss - least).abs() < 1e-6, "{optimizer}: {found}");
        }
    }
    // The final state of `s` does not take the place of an output.
    let source = "input x\nstate s\ns' = s + x\noutput s.final = 2 * x\n";
    fs::write(folder.file("names.rec"), source).unwrap();
    let run = ["run", "names.rec", "--data", "data.csv", "--json"];
    let found = json(&success(&bptt(&folder, &run)));
    assert_eq!(
        found["outputs"]["s.final"].to_string(),
        "[[2.0],[4.0],[6.0],[8.0]]"
    );
    assert_eq!(found["outputs"]["s.final2"].to_string(), "[10.0]");
}

/// A gradient whose square overflows would make the second moment infinite and the parameter stand still.
#[test]
fn adam_refuses_a_gradient_whose_square_overflows() {
    let folder = Folder::new("overflow");
    fs::write(
        folder.path().join("k.rec"),
        "input x\nparam a = 1\nloss 1e20*(a*x-3)^2\n",
    )
    .unwrap();
    fs::write(folder.path().join("x.csv"), "x\n1\n1\n1\n").unwrap();
    let fit = [
        "fit", "k.rec", "-d", "x.csv", "--dtype", "f32", "--steps", "9", "-o", "o.npz",
    ];
    let found = bptt(&folder, &fit);
    assert_ne!(found.status.code(), Some(0), "{found:?}");
    let errors = String::from_utf8_lossy(&found.stderr);
    assert!(errors.contains("squared gradient `a`"), "{errors}");
    success(&bptt(&folder, &[&fit[..], &["--clip", "1"]].concat()));
}

#[test]
fn the_gradient_of_each_sample_is_clipped() {
    let folder = Folder::new("clip per sample");
    let text = "param a = 2\ninput x\nloss a * x\n";
    fs::write(folder.file("line.rec"), text).unwrap();
    fs::write(folder.file("x.csv"), "id,x\np,0.25\nq,-3\nr,5\n").unwrap();
    let fit = |more: &str| {
        let fit = "fit line.rec --data x.csv --id id --optimizer sgd --lr 0.5 --steps 1 --out p.npz --json";
        let line = format!("{fit} {more}");
        let words: Vec<&str> = line.split_whitespace().collect();
        bptt(&folder, &words);
        let shown = success(&bptt(
            &folder,
            &[
                "run", "line.rec", "--data", "x.csv", "--id", "id", "--params", "p.npz", "--json",
            ],
        ));
        json(&shown)["loss"].as_f64().unwrap() / 2.25
    };
    // The gradient is 0.25 − 3 + 5, or 0.25 − 1 + 1, or 0.25 − 1 + 1 clipped again.
    assert_eq!(fit(""), 2.0 - 0.5 * 2.25);
    assert_eq!(fit("--clip-per-sample 1"), 2.0 - 0.5 * 0.25);
    assert_eq!(fit("--clip-per-sample 1 --clip 0.125"), 2.0 - 0.5 * 0.125);
    // A loss that belongs to no sample.
    fs::write(
        folder.file("line.rec"),
        "param a = 2\ninput x\nloss a * x\nloss a^2\n",
    )
    .unwrap();
    let line = "fit line.rec --data x.csv --id id --steps 1 --out p.npz --clip-per-sample 1";
    let refused = bptt(&folder, &line.split(' ').collect::<Vec<_>>());
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && message.contains("the term `a^2` of parameters alone"),
        "{message}"
    );
}
