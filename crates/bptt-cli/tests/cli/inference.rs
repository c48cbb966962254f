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

/// A long sequence in two pieces: the second starts at the final states of the first.
#[test]
fn a_sequence_goes_on_from_the_states_in_the_data() {
    let folder = Folder::new("pieces");
    let x = Array3::from_shape_fn((7, 2, 3), |(t, b, i)| ((3 * t + 5 * b + i) as f64).sin());
    let piece = |from: usize, to: usize| x.slice(ndarray::s![from..to, .., ..]).to_owned();
    Arrays::new()
        .with("x", x.clone())
        .write(folder.file("whole.npz"))
        .unwrap();
    Arrays::new()
        .with("x", piece(0, 4))
        .write(folder.file("first.npz"))
        .unwrap();
    let run = |data: &str, cell: &str, more: &str| {
        let command = format!("run {cell} --data {data}.npz --dims {more} --out {data}.out.npz");
        let found = bptt(&folder, &words(&command));
        let told = String::from_utf8_lossy(&found.stderr).into_owned();
        success(&found);
        (
            Arrays::read(folder.file(&format!("{data}.out.npz"))).unwrap(),
            told,
        )
    };
    for (cell, dims, states) in [
        ("lstm", "H=3,O=4", [("h", "h0"), ("c", "c0")].as_slice()),
        ("gru", "H=3,O=4", &[("h", "h0")]),
        (
            "lstm_stacked",
            "H=3,G=2,O=4",
            &[
                ("h_1", "h0_1"),
                ("c_1", "c0_1"),
                ("h_2", "h0_2"),
                ("c_2", "c0_2"),
            ],
        ),
    ] {
        let (whole, _) = run("whole", cell, dims);
        let (first, _) = run("first", cell, dims);
        let mut rest = Arrays::new().with("x", piece(4, 7));
        for (state, start) in states {
            rest.insert(start, first.get(&format!("{state}.final")).unwrap().clone());
        }
        rest.write(folder.file("rest.npz")).unwrap();
        let (rest, told) = run("rest", cell, dims);
        for (state, start) in states {
            assert!(
                told.contains(&format!("`{start}` is the start of `{state}`")),
                "{told}"
            );
            let name = format!("{state}.final");
            assert_eq!(rest.get(&name), whole.get(&name), "{cell}: {name}");
        }
        let last = whole.get("o").unwrap().real::<f64>();
        let last = last
            .slice_axis(ndarray::Axis(0), ndarray::Slice::from(4..))
            .to_owned();
        assert_eq!(rest.get("o").unwrap().real::<f64>(), last, "{cell}");
        assert!(!told.contains("not used"), "{told}");
    }
    // A state with a start of its own does not take another.
    fs::write(
        folder.file("own.rec"),
        "input x\nparam a = 2\nstate h = a\nh' = h + x\noutput h'\n",
    )
    .unwrap();
    let data = Arrays::new()
        .with("x", ndarray::array![[1.0]])
        .with("h0", ndarray::array![9.0]);
    data.write(folder.file("own.npz")).unwrap();
    let found = bptt(&folder, &words("run own.rec --data own.npz --json"));
    assert!(String::from_utf8_lossy(&found.stderr).contains("not used by `own`: `h0`"));
    assert_eq!(
        json(&success(&found))["outputs"]["h"],
        serde_json::json!([[3.0]])
    );
    // The start has a gradient like any other input.
    let text = "input x\nstate h\nh' = 2 * h + x\nloss h'\n";
    fs::write(folder.file("twice.rec"), text).unwrap();
    let found = bptt(
        &folder,
        &words("grad twice.rec --data own.npz --wrt h0 --json"),
    );
    assert_eq!(
        json(&success(&found))["gradients"]["h0"],
        serde_json::json!([2.0])
    );
}
