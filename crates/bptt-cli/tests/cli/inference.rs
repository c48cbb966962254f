//! `bptt run` on data without labels.

use std::fs;

use bptt::data::Arrays;
use ndarray::{Array2, Array3};

use crate::command::{bptt, failure, json, success};
use crate::support::folder::Folder;

fn words(text: &str) -> Vec<&str> {
    text.split(' ').collect()
}

/// Without the labels there is no loss; all other outputs are the same.
#[test]
fn a_network_runs_without_its_labels() {
    let folder = Folder::new("unlabelled");
    let x = Array3::from_shape_fn((5, 2, 3), |(t, b, i)| ((3 * t + 5 * b + i) as f64).sin());
    let y = Array2::from_shape_fn((5, 2), |(t, b)| i64::try_from((t + b) % 4).unwrap());
    let given = Arrays::new().with("x", x.clone());
    given.write(folder.file("x.npz")).unwrap();
    let both = Arrays::new().with("x", x).with("y", y.clone());
    both.write(folder.file("both.npz")).unwrap();
    let run = |data: &str| {
        let command = format!("run lstm --data {data} --dims H=3,O=4 --json");
        bptt(&folder, &words(&command))
    };
    let alone = run("x.npz");
    let told = String::from_utf8_lossy(&alone.stderr).into_owned();
    assert!(
        told.contains("x.npz: there is no `y`: left out: `loss`"),
        "{told}"
    );
    let (alone, labelled) = (json(&success(&alone)), json(&success(&run("both.npz"))));
    assert_eq!(alone["outputs"], labelled["outputs"]);
    assert!(
        alone.get("loss").is_none() && labelled["loss"].is_f64(),
        "{alone}"
    );

    // A gradient needs the loss, and the states need x.
    for (command, missing) in [
        ("grad lstm --data x.npz --dims H=3,O=4", "`y`"),
        ("fit lstm --data x.npz --dims H=3,O=4 --out p.npz", "`y`"),
        ("run lstm --data y.npz --dims H=3,O=4,K=3", "`x`"),
    ] {
        let labels = Arrays::new().with("y", y.clone());
        labels.write(folder.file("y.npz")).unwrap();
        let error = failure(&bptt(&folder, &words(command)), 3);
        let expected = format!("there is no array {missing}, which is an input of `lstm`");
        assert!(error.contains(&expected), "{command}: {error}");
    }
}

#[test]
fn outputs_that_need_an_absent_input_are_named() {
    let folder = Folder::new("left-out");
    let text = "input x, y, z\nstate s\ns' = s + x\noutput s'\noutput far = s' - y\noutput b = z\nloss (s' - y)^2\n";
    fs::write(folder.file("sum.rec"), text).unwrap();
    fs::write(folder.file("d.csv"), "x,z\n1,5\n2,6\n").unwrap();
    let found = bptt(&folder, &words("run sum.rec --data d.csv --json"));
    let told = String::from_utf8_lossy(&found.stderr).into_owned();
    assert!(
        told.contains("there is no `y`: left out: `loss`, `far`"),
        "{told}"
    );
    let found = json(&success(&found));
    assert_eq!(found["outputs"]["s"], serde_json::json!([[1.0], [3.0]]));
    assert_eq!(found["outputs"]["b"], serde_json::json!([[5.0], [6.0]]));
    assert!(found["outputs"].get("far").is_none(), "{found}");
    // A masked recurrence needs its mask.
    fs::write(folder.file("masked.rec"), format!("mask input m\n{text}")).unwrap();
    let error = failure(&bptt(&folder, &words("run masked.rec --data d.csv")), 3);
    assert!(error.contains("there is no array `m`"), "{error}");
}
