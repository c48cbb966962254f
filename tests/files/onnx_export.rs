//! Exported models are read again with equal numbers, and onnxruntime computes the same; `data/onnx/back.py` wrote its outputs, in
//! single precision.

use bptt::data::{Array, Arrays, Import, Imported, to_onnx, updated_onnx};
use bptt::{Batch, Params, Recurrence};
use indexmap::IndexMap;
use ndarray::{Array2, ArrayD, IxDyn};

const STEPS: usize = 5;
const SAMPLES: usize = 3;

fn figures() -> IndexMap<String, Vec<f64>> {
    let mut found: IndexMap<String, Vec<f64>> = IndexMap::new();
    for line in include_str!("../data/onnx/back.csv").lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let values = found.entry(fields[0].into()).or_default();
        values.push(fields[2].parse().unwrap());
    }
    found
}

fn wave(shape: &[usize], of: impl Fn(f64) -> f64) -> ArrayD<f64> {
    let count = shape.iter().product();
    let numbers = (0..count).map(|i: usize| of(i as f64)).collect();
    ArrayD::from_shape_vec(IxDyn(shape), numbers).unwrap()
}

fn library(cell: &str) -> Recurrence {
    let path = format!(
        "{}/examples/recurrences/{cell}.rec",
        env!("CARGO_MANIFEST_DIR")
    );
    Recurrence::parse(cell, &std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Rounded as in the model.
#[expect(clippy::cast_possible_truncation, reason = "it is rounded")]
fn single(x: f64) -> f64 {
    f64::from(x as f32)
}

const SIZES: [(&str, usize); 5] = [("H", 3), ("G", 2), ("K", 2), ("O", 4), ("C", 4)];

/// The parameters of the script, rounded as in the model.
fn params(recurrence: &Recurrence) -> Params<f64> {
    let sizes: Vec<(&str, usize)> = SIZES
        .into_iter()
        .filter(|(name, _)| recurrence.tape().dims().any(|d| d == *name))
        .collect();
    let mut names: Vec<&str> = recurrence.parameters().collect();
    names.sort_unstable();
    Params::from_fn(recurrence, &sizes, |name, shape| {
        let j = names.iter().position(|n| *n == name).unwrap();
        let of = |i: f64| single(0.8 * (1.3 * i + 0.7 * j as f64 + 0.2).sin());
        wave(shape, of)
    })
    .unwrap()
}

fn batch(recurrence: &Recurrence) -> Batch<f64> {
    let x = wave(&[STEPS, SAMPLES, 2], |i| single((0.9 * i + 0.1).cos()));
    let batch = Batch::new(STEPS, SAMPLES);
    let classes = Array2::from_shape_fn((STEPS, SAMPLES), |(t, b)| (t + 2 * b) % 4);
    match recurrence.name() {
        "characters" => batch
            .with_classes("x", classes.clone())
            .with_classes("y", classes),
        "rnn" | "rnn_relu" => batch
            .with("x", x)
            .with("y", wave(&[STEPS, SAMPLES, 4], |i| i)),
        _ => batch.with("x", x).with_classes("y", classes),
    }
}

#[test]
fn cells_of_the_library_come_back() {
    let figures = figures();
    assert_eq!(figures.len(), 8);
    for (cell, theirs) in &figures {
        let recurrence = library(cell);
        let (params, batch) = (params(&recurrence), batch(&recurrence));
        let own = recurrence.evaluate(&params, &batch).unwrap();
        let bytes = to_onnx(&recurrence, &params).unwrap();
        let back = Imported::onnx("m.onnx", &bytes, &Import::new()).unwrap();
        let again: Params<f64> = back.params.params(&back.recurrence).unwrap();
        let inputs = Batch::new(STEPS, SAMPLES).with("x", batch.get("x").unwrap().clone());
        let found = back.recurrence.evaluate(&again, &inputs).unwrap();
        let (own, found) = (&own["o"], &found["o"]);
        assert_eq!(own.len(), theirs.len(), "{cell}");
        for ((own, found), theirs) in own.iter().zip(found).zip(theirs) {
            assert!(
                (own - found).abs() < 1e-14,
                "{cell}: {own} {found}\n{}",
                back.source
            );
            assert!(
                (own - theirs).abs() < 1e-6,
                "{cell}: {own} {theirs}\n{}",
                back.source
            );
        }
    }
}

#[test]
fn states_of_several_layers_and_directions_come_back() {
    let text = "
dim C, D, H
input x: class(C)
sample input h0_1_fw[H], h0_1_bw[H], h0_2[H]
param E[C, D]
param W_r_1_fw[H, D], U_r_1_fw[H, H], b_r_1_fw[H], W_z_1_fw[H, D], U_z_1_fw[H, H], b_z_1_fw[H]
param W_n_1_fw[H, D], U_n_1_fw[H, H], b_n_1_fw[H]
param W_r_1_bw[H, D], U_r_1_bw[H, H], b_r_1_bw[H], W_z_1_bw[H, D], U_z_1_bw[H, H], b_z_1_bw[H]
param W_n_1_bw[H, D], U_n_1_bw[H, H], b_n_1_bw[H]
param W_X_2[H, 2*H], W_H_2[H, H]
state h_1_fw[H] = h0_1_fw
backward state h_1_bw[H] = h0_1_bw
state h_2[H] = h0_2
e = gather(E, x)
fn new(r, z, n, h) = (1 - z) * n + z * h
r_1_fw = sigmoid(W_r_1_fw @ e + U_r_1_fw @ h_1_fw + b_r_1_fw)
z_1_fw = sigmoid(W_z_1_fw @ e + U_z_1_fw @ h_1_fw + b_z_1_fw)
h_1_fw' = new(r_1_fw, z_1_fw, tanh(W_n_1_fw @ e + U_n_1_fw @ (r_1_fw * h_1_fw) + b_n_1_fw), h_1_fw)
r_1_bw = sigmoid(W_r_1_bw @ e + U_r_1_bw @ h_1_bw + b_r_1_bw)
z_1_bw = sigmoid(W_z_1_bw @ e + U_z_1_bw @ h_1_bw + b_z_1_bw)
h_1_bw' = new(r_1_bw, z_1_bw, tanh(W_n_1_bw @ e + U_n_1_bw @ (r_1_bw * h_1_bw) + b_n_1_bw), h_1_bw)
h_2' = tanh(W_X_2 @ concat(h_1_fw', h_1_bw') + W_H_2 @ h_2)
output h_2'
";
    let recurrence = Recurrence::parse("deep", text).unwrap();
    let params: Params<f64> =
        Params::initial(&recurrence, &[("C", 4), ("D", 2), ("H", 3)], 1).unwrap();
    let bytes = to_onnx(&recurrence, &params).unwrap();
    let back = Imported::onnx("m.onnx", &bytes, &Import::new()).unwrap();
    let states: Vec<&str> = back.recurrence.inputs().collect();
    assert_eq!(
        states,
        ["x", "h0_1_fw", "h0_1_bw", "h0_2"],
        "{}",
        back.source
    );
    assert!(back.source.contains("output h_2'"), "{}", back.source);
}

#[test]
fn other_equations_are_refused() {
    let refuse = |recurrence: &Recurrence, words: &[&str]| {
        let sizes: Vec<(&str, usize)> = SIZES
            .into_iter()
            .filter(|(name, _)| recurrence.tape().dims().any(|d| d == *name))
            .collect();
        let params: Params<f64> = Params::initial(recurrence, &sizes, 1).unwrap();
        let error = to_onnx(recurrence, &params).unwrap_err().to_string();
        for word in words {
            assert!(error.contains(word), "{word}: {error}");
        }
    };
    refuse(&library("garch11"), &["garch11", "lstm_peephole"]);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/recurrences/lstm.rec");
    let text = std::fs::read_to_string(path).unwrap();
    let hard = text.replace("f = sigmoid(", "f = hard_sigmoid(");
    refuse(
        &Recurrence::parse("hard", &hard).unwrap(),
        &["no output of `hard`", "`W_i`"],
    );
    let lstm = Recurrence::parse("lstm", &text).unwrap();
    let error = to_onnx(&lstm, &Params::<f64>::new())
        .unwrap_err()
        .to_string();
    assert!(error.contains("leave a size"), "{error}");
}

fn models(file: &str) -> Vec<(String, Vec<u8>)> {
    let path = format!("{}/tests/data/onnx/{file}", env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for (name, array) in Arrays::read(path).unwrap().iter() {
        let case = name
            .strip_suffix("/model")
            .filter(|case| !case.starts_with("refused_"));
        if let (Some(case), Array::Int(bytes)) = (case, array) {
            let bytes = bytes.iter().map(|b| u8::try_from(*b).unwrap()).collect();
            found.push((case.to_owned(), bytes));
        }
    }
    found
}

/// Parameters that were fitted further go back into the model, whatever is around its recurrent nodes.
#[test]
fn parameters_go_back_into_a_model() {
    let all: Vec<_> = ["models.npz", "exported.npz", "gradients.npz"]
        .iter()
        .flat_map(|f| models(f))
        .collect();
    assert_eq!(all.len(), 80, "the models of three files");
    for (name, bytes) in all {
        let imported = Imported::onnx("m.onnx", &bytes, &Import::new()).unwrap();
        let before: Params<f64> = imported.params.params(&imported.recurrence).unwrap();
        let changed: Params<f64> = before
            .iter()
            .map(|(n, a)| (n, a.map(|x| single(0.9 * x + 0.01))))
            .collect();
        let updated = updated_onnx(&bytes, &changed)
            .unwrap_or_else(|e| panic!("{name}: {e}\n{}", imported.source));
        let again = Imported::onnx("m.onnx", &updated, &Import::new()).unwrap();
        assert_eq!(again.source, imported.source, "{name}");
        for (param, array) in changed.iter() {
            let found = again.params.get(param).unwrap().real::<f64>();
            assert_eq!(found, array, "{name}: {param}");
        }
    }
    let (_, bytes) = models("gradients.npz").remove(0);
    let error = updated_onnx(&bytes, &Params::<f64>::new())
        .unwrap_err()
        .to_string();
    assert!(error.contains("the model has the parameter"), "{error}");
}
