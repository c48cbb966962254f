//! `bptt vectors`.

use std::fs;

use crate::command::{bptt, failure, json, success};
use crate::support::folder::Folder;
use bptt::data::{Array, Arrays};

fn run(folder: &Folder, line: &str) -> std::process::Output {
    bptt(folder, &line.split(' ').collect::<Vec<_>>())
}

#[test]
fn the_options_choose_the_vectors() {
    let folder = Folder::new("vectors");
    let written = |options: &str| {
        let line = format!("vectors gru --trials 2 {options} --json -o v.npz");
        let report = json(&success(&run(&folder, line.replace("  ", " ").as_str())));
        let arrays = Arrays::read(folder.file("v.npz")).unwrap();
        assert_eq!(report["vectors"], 2);
        assert_eq!(report["arrays"], arrays.iter().count());
        (arrays, fs::read(folder.file("v.npz")).unwrap())
    };
    let (plain, bytes) = written("");
    assert!(written("").1 == bytes, "the same bytes");
    assert!(written("--seed 2").1 != bytes, "other numbers");
    assert!(plain.get("0/inputs/h0").is_none());
    assert!(matches!(plain.get("1/params/W_n"), Some(Array::F64(_))));
    let (started, _) = written("--start-inputs --dtype f32 --dims H=4,K=3");
    assert!(matches!(started.get("0/inputs/h0"), Some(Array::F32(_))));
    let shape = |name: &str| started.get(name).map(|a| a.shape().to_vec());
    assert_eq!(shape("1/params/W_n"), Some(vec![4, 3]));
    let (theirs, _) = written("--layout keras --equal-lengths");
    let mask = theirs.get("0/inputs/mask").unwrap().real::<f64>();
    assert!(mask.iter().all(|x| *x == 1.0), "{mask}");
}

#[test]
fn what_cannot_be_written_is_refused() {
    let folder = Folder::new("vectors-refused");
    fs::write(
        folder.file("free.rec"),
        "input x\nstate s\ns' = s + x\noutput s'\n",
    )
    .unwrap();
    for (line, code, words) in [
        (
            "vectors garch11 --layout pytorch -o v.npz",
            3,
            "`garch11` has no cell that PyTorch has",
        ),
        (
            "vectors free.rec -o v.npz",
            3,
            "recurrence `free` has no loss",
        ),
        ("vectors rnn -o v.csv", 3, "a .npz or a .safetensors file"),
        (
            "vectors rnn --dims Q=2 -o v.npz",
            3,
            "no dimension named `Q`",
        ),
        (
            "vectors rnn --dims H=2,H=3 -o v.npz",
            2,
            "gives the size H twice",
        ),
        (
            "vectors rnn --layout tensorflow -o v.npz",
            2,
            "[possible values: bptt, pytorch, onnx, keras]",
        ),
        ("vectors rnn --trials 0 -o v.npz", 2, "from 1 on"),
        ("vectors rnn", 2, "--out <FILE>"),
    ] {
        let message = failure(&run(&folder, line), code);
        assert!(
            message.contains(words),
            "{line}: {words} is not in\n{message}"
        );
        assert!(!folder.file("v.npz").exists(), "{line}");
    }
}
