//! `bptt import`: a state dict becomes a recurrence that the other commands run.

use std::fs;

use bptt::data::{Array, Arrays};
use ndarray::{Array1, Array2, Array3};

use crate::command::{bptt, failure, json, success};
use crate::support::folder::Folder;

fn run(folder: &Folder, line: &str) -> std::process::Output {
    bptt(folder, &line.split(' ').collect::<Vec<_>>())
}

/// A folder with the state dict of a model of one layer with `gates`, and data.
fn folder(name: &str, gates: usize) -> Folder {
    let folder = Folder::new(name);
    let wave = |shape: (usize, usize)| {
        Array2::from_shape_fn(shape, |(i, j)| (0.3 * (5 * i + j) as f64).sin())
    };
    let state = Arrays::new()
        .with("net.weight_ih_l0", wave((2 * gates, 3)))
        .with("net.weight_hh_l0", wave((2 * gates, 2)))
        .with("net.bias_ih_l0", Array1::<f64>::ones(2 * gates))
        .with("head.weight", wave((4, 2)));
    state.write(folder.file("m.npz")).unwrap();
    state.write(folder.file("m.safetensors")).unwrap();
    let x = Array3::from_shape_fn((5, 2, 3), |(t, b, k)| (t + 2 * b + k) as f64 / 9.0);
    let h0 = Array2::<f64>::ones((2, 2));
    let data = Arrays::new().with("x", x).with("h0", h0);
    data.write(folder.file("d.npz")).unwrap();
    folder
}

#[test]
fn an_imported_model_runs_without_targets() {
    let folder = folder("import", 3);
    for model in ["m.npz", "m.safetensors"] {
        let line = format!("import {model} --states inputs -o c.rec -p c.npz");
        let text = success(&run(&folder, &line));
        assert!(
            text.contains("written to c.npz\nwritten to c.rec"),
            "{text}"
        );
        success(&run(&folder, "run c.rec -d d.npz -p c.npz -o y.npz"));
        let outputs = Arrays::read(folder.file("y.npz")).unwrap();
        assert_eq!(outputs.get("o").unwrap().shape(), [5, 2, 4]);
        success(&run(&folder, "show c.rec --quiet"));
    }
    let told = json(&success(&run(
        &folder,
        "import m.npz --json --loss squared -o c.rec -p c.npz",
    )));
    assert_eq!(told["params"], "c.npz");
    assert_eq!(told["out"], "c.rec");
    assert_eq!(told["arrays"]["W_O"], json("[4, 2]"));
    success(&run(&folder, "check c.rec --quiet --params c.npz"));
}

#[test]
fn an_open_choice_is_told_as_an_option() {
    let folder = folder("import-open", 1);
    let line = "import m.npz -o c.rec -p c.npz";
    let message = failure(&run(&folder, line), 3);
    let words = [
        "m.npz: `net.weight_hh_l0`",
        "`--nonlinearity`, tanh or relu",
    ];
    assert!(words.iter().all(|w| message.contains(w)), "{message}");
    assert!(!folder.file("c.rec").exists() && !folder.file("c.npz").exists());
    success(&run(&folder, &format!("{line} --nonlinearity relu")));
    let message = failure(
        &run(
            &folder,
            &format!("{line} --nonlinearity tanh --activation relu"),
        ),
        3,
    );
    assert!(
        message.contains("`--activation` has no effect"),
        "{message}"
    );
    let message = failure(
        &run(&folder, &format!("{line} --nonlinearity tanh --order head")),
        3,
    );
    assert!(
        message.contains("leaves out `net`") && message.contains("`--ignore`"),
        "{message}"
    );
}

#[test]
fn an_import_keeps_the_model() {
    let folder = folder("import-keeps", 4);
    let before = fs::read(folder.file("m.npz")).unwrap();
    let message = failure(&run(&folder, "import m.npz -o c.rec -p ./m.npz"), 2);
    assert!(
        message.contains("--params ./m.npz would replace the model"),
        "{message}"
    );
    let message = failure(&run(&folder, "import m.npz -o c.txt -p c.npz"), 3);
    assert!(message.contains("ends in .rec"), "{message}");
    assert_eq!(fs::read(folder.file("m.npz")).unwrap(), before);
}

/// A folder with a model of `tests/data/onnx/models.npz`, as `m.onnx`.
fn onnx(name: &str, case: &str) -> Folder {
    let folder = Folder::new(name);
    let root = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/data/onnx/models.npz"
    );
    let models = Arrays::read(root).unwrap();
    let integers = |name: &str| match models.get(&format!("{case}/{name}")) {
        Some(Array::Int(array)) => array.clone(),
        other => panic!("{name}: {other:?}"),
    };
    let bytes = integers("model")
        .into_iter()
        .map(|b| u8::try_from(b).unwrap());
    let bytes: Vec<u8> = bytes.collect();
    fs::write(folder.file("m.onnx"), bytes).unwrap();
    let tokens = integers("in/tokens");
    let mut data = Arrays::new();
    data.insert("y", Array::Int(tokens.mapv(|x| x % 3)));
    data.insert("tokens", Array::Int(tokens));
    data.write(folder.file("d.npz")).unwrap();
    folder
}

#[test]
fn an_onnx_model_is_fitted_further() {
    let folder = onnx("import-onnx", "graph_tagger");
    let out = run(&folder, "import m.onnx --loss softmax -o c.rec -p c.npz");
    let notes = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(
        notes.contains("input `tokens` is [T, B] here and [B, T] in the model"),
        "{notes}"
    );
    success(&out);
    success(&run(&folder, "check c.rec --quiet --params c.npz"));
    success(&run(
        &folder,
        "fit c.rec -d d.npz -p c.npz --steps 2 --quiet -o f.npz",
    ));
    let export = "export c.rec -p f.npz --like m.onnx -o f.onnx";
    success(&run(&folder, export));
    success(&run(
        &folder,
        "import f.onnx --loss softmax -o back.rec -p back.npz --quiet",
    ));
    let [fitted, back] = ["f.npz", "back.npz"].map(|f| Arrays::read(folder.file(f)).unwrap());
    let head = |a: &Arrays| a.get("W_fc").unwrap().real::<f32>();
    assert_eq!(head(&fitted), head(&back));
    let message = failure(&run(&folder, &export.replace("f.onnx", "m.onnx")), 2);
    assert!(message.contains("would replace the model"), "{message}");
    let message = failure(
        &run(&folder, "import m.onnx --activation relu -o c.rec -p c.npz"),
        3,
    );
    assert!(
        message.contains("m.onnx: `--activation` has no effect"),
        "{message}"
    );
    fs::write(folder.file("m.onnx"), b"{}").unwrap();
    let message = failure(&run(&folder, "import m.onnx -o c.rec -p c.npz"), 3);
    assert!(message.contains("no ONNX model"), "{message}");
}

#[test]
fn a_given_recurrence_is_filled_by_a_mapping() {
    let folder = folder("import-map", 1);
    let cell = "dim H, K\ninput x[K]\nparam W[H, K], U[H, H], b[H]\nstate h[H]\nh' = tanh(W @ x + U @ h + b)\noutput h'\n";
    fs::write(folder.file("cell.rec"), cell).unwrap();
    let map = "W = net.weight_ih_l0 # as it is\nU = net.weight_hh_l0.T\n\nb = net.bias_ih_l0 + head.weight[:2, 0]\n";
    fs::write(folder.file("map.txt"), map).unwrap();
    let line = "import m.npz --cell cell.rec --map-file map.txt -p c.npz";
    success(&run(&folder, line));
    let [own, model] = ["c.npz", "m.npz"].map(|f| Arrays::read(folder.file(f)).unwrap());
    let u = model.get("net.weight_hh_l0").unwrap().real::<f64>();
    assert_eq!(own.get("U").unwrap().real::<f64>(), u.t());
    success(&run(&folder, "run cell.rec -d d.npz -p c.npz --quiet"));
    fs::write(folder.file("map.txt"), map.replace(".T", "[0]")).unwrap();
    let message = failure(&run(&folder, line), 3);
    let words = [
        "map.txt: line 2, `U = net.weight_hh_l0[0]`",
        "shape [2], expected [H, H]",
    ];
    assert!(words.iter().all(|w| message.contains(w)), "{message}");
    let lines = [
        "--map",
        "W = net.weight_ih_l0",
        "--map",
        "U = none",
        "-p",
        "c.npz",
    ];
    let message = failure(
        &bptt(
            &folder,
            &[&["import", "m.npz", "--cell", "cell.rec"], &lines[..]].concat(),
        ),
        3,
    );
    assert!(
        message.contains("--map: line 2") && message.contains("no array `none`"),
        "{message}"
    );
    let message = failure(
        &run(&folder, "import m.npz --cell cell.rec -o c.rec -p c.npz"),
        2,
    );
    assert!(
        message.contains("--out") && message.contains("--cell"),
        "{message}"
    );
    let message = failure(
        &run(
            &folder,
            "import m.npz --cell cell.rec --map-file map.txt -p map.txt",
        ),
        2,
    );
    assert!(
        message.contains("--params map.txt would replace the mapping"),
        "{message}"
    );
}

#[test]
fn an_exported_cell_comes_back() {
    let folder = Folder::new("export");
    fs::write(folder.file("text.txt"), "what is to be learned, and so on").unwrap();
    success(&run(
        &folder,
        "fit lstm --text text.txt --dims H=3 --length 8 --steps 1 --quiet -o p.npz",
    ));
    let text = success(&run(&folder, "export lstm -p p.npz -o m.onnx"));
    assert!(text.contains("written to m.onnx"), "{text}");
    success(&run(
        &folder,
        "import m.onnx --loss softmax -o c.rec -p c.npz",
    ));
    let [own, back] = ["p.npz", "c.npz"].map(|f| Arrays::read(folder.file(f)).unwrap());
    let first = |a: &Arrays| a.get("W_i").unwrap().real::<f32>();
    assert_eq!(first(&own), first(&back));
    success(&run(&folder, "check c.rec -p c.npz --quiet"));
    let message = failure(&run(&folder, "export lstm -p p.npz -o m.pb"), 3);
    assert!(message.contains("ends in .onnx"), "{message}");
    let message = failure(&run(&folder, "export garch11 -p p.npz -o g.onnx"), 3);
    assert!(message.contains("p.npz"), "{message}");
}

#[test]
fn parameters_go_back_to_the_model() {
    let folder = folder("import-back", 4);
    success(&run(&folder, "import m.safetensors -o c.rec -p c.npz"));
    success(&run(
        &folder,
        "convert c.rec -p c.npz --like m.safetensors -o back.npz",
    ));
    let [back, model] = ["back.npz", "m.npz"].map(|f| Arrays::read(folder.file(f)).unwrap());
    assert_eq!(back, model);
    let message = failure(
        &run(
            &folder,
            "convert c.rec -p c.npz --like m.safetensors -o m.safetensors",
        ),
        2,
    );
    assert!(message.contains("would replace the model"), "{message}");
    let message = failure(
        &run(&folder, "convert c.rec -p c.npz --order net -o back.npz"),
        2,
    );
    assert!(message.contains("--like"), "{message}");
}
