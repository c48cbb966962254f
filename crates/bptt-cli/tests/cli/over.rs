//! `bptt fit --over`: fits over inputs, and over some of the parameters.

use std::fs;

use bptt::data::Arrays;
use ndarray::{Array2, array};

use crate::command::{bptt, failure, json, success};
use crate::support::folder::Folder;

const PLANT: &str = "dim N, M\ninput u[M], w\nsample input s0[N]\nparam A[N, N], B[N, M], r = 0.1\nstate s[N] = s0\n\
    s' = A @ s + B @ u\noutput s'\nloss 0.5 * sum(s'^2) + 0.5 * r * sum(u^2) + w\n";

fn prepare(folder: &Folder) {
    fs::write(folder.file("plant.rec"), PLANT).unwrap();
    let data = Arrays::new()
        .with("w", Array2::<f64>::zeros((9, 2)))
        .with("s0", array![[1.0, 0.0], [0.5, -2.0]])
        .with("lengths", array![9_i64, 7]);
    data.write(folder.file("data.npz")).unwrap();
    let params = Arrays::new()
        .with("A", array![[1.0, 0.1], [-0.2, 0.9]])
        .with("B", array![[0.0], [0.5]])
        .with("r", ndarray::arr0(0.2));
    params.write(folder.file("params.npz")).unwrap();
}

fn fit<'a>(more: &'a str, out: &'a str) -> Vec<&'a str> {
    let command = "fit plant.rec --data data.npz --params params.npz --dims M=1 --out";
    let words = command.split(' ').chain([out]);
    words.chain(more.split_whitespace()).collect()
}

fn array(folder: &Folder, file: &str, name: &str) -> ndarray::ArrayD<f64> {
    let arrays = Arrays::read(folder.file(file)).unwrap();
    arrays
        .get(name)
        .unwrap_or_else(|| panic!("no `{name}` in {file}"))
        .real()
}

/// The file of the fit has all data: the next command needs no other.
#[test]
fn the_file_of_a_fit_over_inputs_is_data_and_parameters() {
    let folder = Folder::new("over");
    prepare(&folder);
    let fitted = bptt(&folder, &fit("--over u --optimizer newton --json", "u.npz"));
    let told = String::from_utf8_lossy(&fitted.stderr).into_owned();
    assert!(
        told.contains("there is no `u`, which starts at 0"),
        "{told}"
    );
    let fitted = json(&success(&fitted));
    assert_eq!(fitted["outcome"], "fitted");
    let again = ["--data", "u.npz", "--params", "u.npz", "--json"];
    let run = bptt(&folder, &[&["run", "plant.rec"], &again[..]].concat());
    assert!(
        run.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    let run = json(&success(&run));
    assert_eq!(run["loss"], fitted["loss"]);
    let grad = ["grad", "plant.rec", "--wrt", "u,s"];
    let grad = json(&success(&bptt(&folder, &[&grad[..], &again].concat())));
    let slopes = grad["gradients"]["u"].to_string();
    for slope in slopes.split(['[', ']', ',']).filter(|s| !s.is_empty()) {
        assert!(slope.parse::<f64>().unwrap().abs() < 1e-12, "{slope}");
    }
    // r u + Bᵀ δ = 0.
    let delta = grad["gradients"]["s"][3][0][1].as_f64().unwrap();
    let u = array(&folder, "u.npz", "u")[[3, 0, 0]];
    assert!((0.2 * u + 0.5 * delta).abs() < 1e-12, "{u} {delta}");
    // The parameters are kept, and the second sample ends at its length.
    for name in ["A", "B", "r"] {
        assert_eq!(
            array(&folder, "u.npz", name),
            array(&folder, "params.npz", name),
            "{name}"
        );
    }
    assert_eq!(array(&folder, "u.npz", "u")[[8, 1, 0]], 0.0);
    assert_ne!(array(&folder, "u.npz", "u")[[6, 1, 0]], 0.0);
    // The start is taken from the data: the fit has converged there.
    let start = [
        "fit",
        "plant.rec",
        "--over",
        "u",
        "--optimizer",
        "newton",
        "--out",
        "v.npz",
    ];
    let more = json(&success(&bptt(&folder, &[&start[..], &again].concat())));
    assert_eq!(more["loss_before"], fitted["loss"]);
    let off = array(&folder, "u.npz", "u") - array(&folder, "v.npz", "u");
    assert!(off.iter().all(|x| x.abs() < 1e-14), "{off}");
}

/// Adam and SGD, on inputs of both rates and a parameter.
#[test]
fn every_optimizer_moves_what_is_named_and_nothing_else() {
    let folder = Folder::new("over-all");
    prepare(&folder);
    let start = |name: &str| match name {
        "s0" => array(&folder, "data.npz", name),
        _ => array(&folder, "params.npz", name),
    };
    for (settings, out) in [
        ("--lr 0.01", "p.npz"),
        ("--optimizer sgd --lr 0.01 --momentum 0.5", "p.safetensors"),
        ("--dtype f32", "p.npz"),
        ("--optimizer newton", "p.npz"),
    ] {
        let words = format!("--over u,s0,A --steps 3 {settings} --json");
        let done = bptt(&folder, &fit(&words, out));
        let errors = String::from_utf8_lossy(&done.stderr).into_owned();
        let found = json(&String::from_utf8(done.stdout).unwrap());
        assert!(
            found["loss"].as_f64() < found["loss_before"].as_f64(),
            "{settings}: {errors}"
        );
        for name in ["s0", "A"] {
            assert_ne!(array(&folder, out, name), start(name), "{settings}: {name}");
        }
        let kept = |name: &str| array(&folder, out, name).mapv(|x| (x * 1e6).round());
        for name in ["B", "r"] {
            assert_eq!(
                kept(name),
                start(name).mapv(|x| (x * 1e6).round()),
                "{settings}: {name}"
            );
        }
    }
    // Minibatches are for parameters.
    let controls = Arrays::new().with("u", ndarray::Array3::<f64>::ones((9, 2, 1)));
    controls.write(folder.file("controls.npz")).unwrap();
    let words = "--data controls.npz --over A --batch 1 --steps 4";
    success(&bptt(&folder, &fit(words, "a.npz")));
    assert!(
        Arrays::read(folder.file("a.npz"))
            .unwrap()
            .get("s0")
            .is_none()
    );
    assert_eq!(array(&folder, "a.npz", "r"), start("r"));
}

#[test]
fn a_resumed_fit_over_inputs_gives_the_same_bits() {
    let folder = Folder::new("over-resumed");
    prepare(&folder);
    for settings in ["--lr 0.05", "--optimizer newton"] {
        let words = format!("--over u,A,r {settings} --steps 8 --quiet");
        bptt(&folder, &fit(&words, "whole.npz"));
        let words = format!("--over u,A,r {settings} --steps 3 --save-every 3 --quiet");
        bptt(&folder, &fit(&words, "part.npz"));
        let words = format!(
            "fit plant.rec --data data.npz --dims M=1 --out part.npz --resume part.npz --over u,A,r {settings} --steps 8 --quiet"
        );
        bptt(&folder, &words.split(' ').collect::<Vec<_>>());
        for name in ["u", "A", "B", "r", "s0"] {
            let of = |file: &str| array(&folder, file, name).mapv(f64::to_bits);
            assert_eq!(of("part.npz"), of("whole.npz"), "{settings}: {name}");
        }
    }
    bptt(
        &folder,
        &fit("--over u --steps 3 --save-every 3 --quiet", "part.npz"),
    );
    let other = "fit plant.rec --data data.npz --dims M=1 --out part.npz --resume part.npz --over u,r --steps 8";
    let error = failure(&bptt(&folder, &other.split(' ').collect::<Vec<_>>()), 3);
    assert!(error.contains("--over was u and is u,r"), "{error}");
}

#[test]
fn names_and_options_without_a_meaning_are_refused() {
    let folder = Folder::new("over-refused");
    prepare(&folder);
    fs::write(
        folder.file("bare.rec"),
        "input u, y: class(3)\nloss (u - 1)^2 + one_hot(y)[0]\n",
    )
    .unwrap();
    for (words, code, parts) in [
        (
            "--over u,,A",
            2,
            &["--over has an empty name", "--over u,W"][..],
        ),
        ("--over u,u", 2, &["--over names `u` twice"]),
        ("--over u --batch 1", 2, &["each step needs all samples"]),
        (
            "--over A --errors opg",
            2,
            &["standard errors are those of a fit of all parameters"],
        ),
        ("--over A --standard-errors", 2, &["leave out"]),
        (
            "--over u,s",
            3,
            &["there is no parameter or input named `s`", "`u`", "`A`"],
        ),
    ] {
        let error = failure(&bptt(&folder, &fit(words, "p.npz")), code);
        for part in parts {
            assert!(error.contains(part), "{words}: {error}");
        }
    }
    let bare = |more: &str| {
        let words = format!("fit bare.rec --data bare.npz --out p.npz{more}");
        bptt(&folder, &words.split(' ').collect::<Vec<_>>())
    };
    let data = Arrays::new()
        .with("u", Array2::<f64>::zeros((600, 1)))
        .with("y", Array2::<i64>::zeros((600, 1)));
    data.write(folder.file("bare.npz")).unwrap();
    let error = failure(&bare(""), 3);
    assert!(
        error.contains("has no parameters to fit") && error.contains("--over"),
        "{error}"
    );
    let error = failure(&bare(" --over y"), 3);
    assert!(
        error.contains("`y`") && error.contains("it is a class"),
        "{error}"
    );
    let error = failure(&bare(" --over u --optimizer newton"), 3);
    assert!(
        error.contains("the arrays of --over have 600 numbers"),
        "{error}"
    );
    success(&bare(" --over u --steps 5"));
}

/// The mask of missing values must be an input of the text, so that the file of the fit has it.
#[test]
fn masked_steps_are_masked_in_the_file_too() {
    let folder = Folder::new("over-masked");
    let text =
        "input y, u\nstate s\ns' = 0.9 * s + u\noutput s'\nloss 0.5 * (s' - y)^2 + 0.1 * u^2\n";
    fs::write(folder.file("plain.rec"), text).unwrap();
    fs::write(
        folder.file("masked.rec"),
        format!("mask input observed\n{text}"),
    )
    .unwrap();
    fs::write(folder.file("d.csv"), "y\n1\nNA\n2\n3\n").unwrap();
    let fit = |cell: &str| {
        let words = format!(
            "fit {cell} --over u --data d.csv --missing mask --optimizer newton --out u.npz --json"
        );
        bptt(&folder, &words.split(' ').collect::<Vec<_>>())
    };
    let error = failure(&fit("plain.rec"), 3);
    assert!(error.contains("declare `mask input observed`"), "{error}");
    let fitted = json(&success(&fit("masked.rec")));
    let run = ["run", "masked.rec", "--data", "u.npz", "--json"];
    assert_eq!(json(&success(&bptt(&folder, &run)))["loss"], fitted["loss"]);
}
