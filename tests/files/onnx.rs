//! Imported ONNX models compute the outputs of the node tests of onnx, and of onnxruntime.
//!
//! `data/onnx/models.py` wrote the models, inputs and outputs, which are in single precision.

use bptt::data::{Array, Arrays, Import, Imported, ModelLoss};
use bptt::{Batch, Params, Wrt};
use indexmap::IndexMap;
use ndarray::ArrayD;

/// The largest difference, relative to the largest number or 1.
const SINGLE: f64 = 2e-6;

#[derive(Default)]
struct Case {
    model: Vec<u8>,
    /// The model with gradients in place of its initializers.
    gradient: Vec<u8>,
    loss: f64,
    inputs: Arrays,
    outputs: IndexMap<String, ArrayD<f64>>,
    /// The gradients of inputs.
    of_inputs: IndexMap<String, ArrayD<f64>>,
}

fn cases(begin: &str) -> IndexMap<String, Case> {
    cases_of("models.npz", begin)
}

fn cases_of(file: &str, begin: &str) -> IndexMap<String, Case> {
    let path = format!("{}/tests/data/onnx/{file}", env!("CARGO_MANIFEST_DIR"));
    let mut cases: IndexMap<String, Case> = IndexMap::new();
    for (name, array) in Arrays::read(path).unwrap().iter() {
        let parts: Vec<&str> = name.split('/').collect();
        if !parts[0].starts_with(begin) {
            continue;
        }
        let case = cases.entry(parts[0].into()).or_default();
        let bytes = || match array {
            Array::Int(bytes) => bytes.iter().map(|b| u8::try_from(*b).unwrap()).collect(),
            _ => panic!("{name}"),
        };
        match parts[1] {
            "model" => case.model = bytes(),
            "gradient" => case.gradient = bytes(),
            "loss" => case.loss = array.real::<f64>()[[]],
            "in" => case.inputs.insert(parts[2], array.clone()),
            "of" => drop(case.of_inputs.insert(parts[2].into(), array.real())),
            _ => drop(case.outputs.insert(parts[2].into(), array.real())),
        }
    }
    assert!(!cases.is_empty(), "{begin}");
    cases
}

/// The largest difference of the outputs that the case has.
fn error(name: &str, case: &Case) -> f64 {
    let imported = Imported::onnx(name, &case.model, &Import::new());
    let imported = imported.unwrap_or_else(|e| panic!("{name}: {e}"));
    let params: Params<f64> = imported.params.params(&imported.recurrence).unwrap();
    let batch: Batch<f64> = case
        .inputs
        .batch(&imported.recurrence)
        .unwrap_or_else(|e| panic!("{name}: {e}\n{}", imported.source));
    let found = imported
        .recurrence
        .evaluate(&params, &batch)
        .unwrap_or_else(|e| panic!("{name}: {e}\n{}", imported.source));
    let mut worst = 0f64;
    for (output, theirs) in &case.outputs {
        // Exporters make names of their own, so that outputs are counted there.
        let own = match output.parse::<usize>() {
            Ok(n) => found.iter().nth(n).unwrap().1,
            Err(_) => &found[output.as_str()],
        };
        assert_eq!(
            own.shape(),
            theirs.shape(),
            "{name}: {output}\n{}",
            imported.source
        );
        let size = theirs.iter().fold(1f64, |a, b| a.max(b.abs()));
        for (own, theirs) in own.iter().zip(theirs) {
            let off = (own - theirs).abs() / size;
            worst = if off.is_nan() {
                f64::INFINITY
            } else {
                worst.max(off)
            };
        }
    }
    assert!(!case.outputs.is_empty(), "{name}");
    if worst > SINGLE {
        println!("{name}: {worst:e}\n{}", imported.source);
    }
    worst
}

fn all_agree(cases: &IndexMap<String, Case>, count: usize) {
    assert_eq!(cases.len(), count, "the number of models in the file");
    let errors: Vec<(&String, f64)> = cases.iter().map(|(n, c)| (n, error(n, c))).collect();
    let wrong: Vec<_> = errors.iter().filter(|(_, e)| *e > SINGLE).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn the_node_tests_of_onnx_pass() {
    all_agree(&cases("node_"), 12);
}

#[test]
fn random_attributes_are_those_of_onnxruntime() {
    all_agree(&cases("runtime_"), 48);
}

#[test]
fn graphs_around_recurrent_nodes_are_those_of_onnxruntime() {
    all_agree(&cases("graph_"), 9);
}

/// Both exporters of PyTorch 2.15; `data/onnx/exported.py` wrote the models and the outputs of their modules.
#[test]
fn exported_models_are_those_of_pytorch() {
    all_agree(&cases_of("exported.npz", ""), 7);
}

/// No changed byte leads to a panic, and a model that is still one gives parameters that fit its recurrence.
#[test]
fn damaged_models_are_refused() {
    let all = cases("");
    let names = [
        "node_lstm_with_peepholes",
        "graph_parts",
        "graph_scan",
        "graph_loop",
        "graph_pooled",
    ];
    let (mut refused, mut read) = (0, 0);
    for name in names {
        let model = &all[name].model;
        let mut try_it = |bytes: &[u8]| match Imported::onnx("m", bytes, &Import::new()) {
            Ok(imported) => {
                read += 1;
                assert!(
                    imported.params.params::<f64>(&imported.recurrence).is_ok(),
                    "{name}"
                );
            }
            Err(error) => {
                refused += 1;
                let text = error.to_string();
                assert!(!text.contains("a mistake of the import"), "{name}: {text}");
                assert!(
                    text.len() < 20_000,
                    "{name}: an error of {} characters",
                    text.len()
                );
            }
        };
        for at in 0..model.len() {
            let mut bytes = model.clone();
            bytes[at] ^= [1u8, 0x80, 0xff][at % 3];
            try_it(&bytes);
        }
        for end in (0..model.len()).step_by(5) {
            try_it(&model[..end]);
        }
    }
    println!("{refused} models refused, {read} read");
    assert!(refused > 1000 && read > 1000, "{refused}, {read}");
}

/// `data/onnx/gradients.py` computed them with JAX in double precision, from the equations in the documentation of ONNX.
#[test]
fn gradients_are_those_of_jax() {
    let cases = cases_of("gradients.npz", "");
    assert_eq!(cases.len(), 4);
    for (name, case) in &cases {
        let loss = match name.as_str() {
            "stacked" => ModelLoss::Softmax,
            _ => ModelLoss::Squared,
        };
        let import = Import::new().loss(loss);
        let Imported {
            recurrence,
            params,
            source,
            ..
        } = Imported::onnx("m.onnx", &case.model, &import).unwrap();
        let params: Params<f64> = params.params(&recurrence).unwrap();
        let batch: Batch<f64> = case.inputs.batch(&recurrence).unwrap();
        let forward = recurrence.evaluate(&params, &batch).unwrap();
        let found = recurrence.gradient(Wrt::Everything).unwrap();
        let found = found.evaluate(&params, &batch).unwrap();
        let mut worst = (found.loss().unwrap() - case.loss).abs() / case.loss;
        let mut compare = |what: &str, own: &ArrayD<f64>, theirs: &ArrayD<f64>, factor: f64| {
            assert_eq!(own.shape(), theirs.shape(), "{name}: {what}");
            let size = theirs.iter().fold(1e-3, |a: f64, b| a.max(b.abs()));
            let off = own
                .iter()
                .zip(theirs)
                .map(|(a, b)| (a - factor * b).abs() / size);
            let off = off.fold(0.0, f64::max);
            assert!(off < 1e-12, "{name}: {what} {off:e}\n{source}");
            worst = worst.max(off);
        };
        for (output, theirs) in &case.outputs {
            compare(output, &forward[output.as_str()], theirs, 1.0);
        }
        for (input, theirs) in &case.of_inputs {
            compare(input, &found[input.as_str()], theirs, 1.0);
        }
        // Both biases have the gradient of their sum, except those of a gate that keeps both.
        let theirs = Imported::onnx("m.onnx", &case.gradient, &import).unwrap();
        assert_eq!(theirs.source, source, "{name}");
        let theirs: Params<f64> = theirs.params.params(&recurrence).unwrap();
        assert_eq!(theirs.iter().count(), recurrence.parameters().count());
        for (param, theirs) in theirs.iter() {
            let is_sum =
                param.starts_with("b_") && !(param.starts_with("b_n") || param.starts_with("b_u"));
            let is_sum = is_sum || name == "reset_before" && param == "b_n";
            compare(param, &found[param], theirs, if is_sum { 0.5 } else { 1.0 });
        }
        println!("{name}: {worst:.1e}");
        assert!(worst < 1e-12, "{name}: {worst:e}");
    }
}

/// A model of one node, whose messages are written here field by field.
fn message(fields: &[(u8, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (tag, bytes) in fields {
        assert!(bytes.len() < 0x4000, "two bytes of length");
        let [low, high] = [bytes.len() & 0x7f, bytes.len() >> 7];
        out.extend([
            tag << 3 | 2,
            u8::try_from(low).unwrap() | 0x80,
            u8::try_from(high).unwrap(),
        ]);
        out.extend(*bytes);
    }
    out
}

/// An input or output with named axes.
fn value(name: &str, dims: &[&str]) -> Vec<u8> {
    let dims: Vec<Vec<u8>> = dims.iter().map(|d| message(&[(2, d.as_bytes())])).collect();
    let dims: Vec<(u8, &[u8])> = dims.iter().map(|d| (1, &d[..])).collect();
    let tensor = [&[8, 1][..], &message(&[(2, &message(&dims))])].concat();
    message(&[(1, name.as_bytes()), (2, &message(&[(1, &tensor)]))])
}

/// A node with attributes, of integers or texts.
fn node(op: &str, inputs: &[&str], attributes: &[(&str, Result<u8, &str>)]) -> Vec<u8> {
    let attributes: Vec<Vec<u8>> = attributes
        .iter()
        .map(|(name, value)| {
            let name = message(&[(1, name.as_bytes())]);
            match value {
                Ok(i) => [&name[..], &[3 << 3, *i]].concat(),
                Err(text) => [name, message(&[(4, text.as_bytes())])].concat(),
            }
        })
        .collect();
    let mut fields: Vec<(u8, &[u8])> = inputs.iter().map(|i| (1, i.as_bytes())).collect();
    fields.extend([(2, &b"y"[..]), (3, &b"the_node"[..]), (4, op.as_bytes())]);
    fields.extend(attributes.iter().map(|a| (5, &a[..])));
    message(&fields)
}

fn model(node: &[u8]) -> Vec<u8> {
    with_outputs(node, 1)
}

fn with_outputs(node: &[u8], count: usize) -> Vec<u8> {
    let x = value("x", &["seq", "batch", "k"]);
    let y = value("y", &["seq", "batch", "k"]);
    let mut fields = vec![(1, node), (11, &x)];
    fields.extend(vec![(12, &y[..]); count]);
    let graph = message(&fields);
    let opset = [8 << 3 | 2, 2, 2 << 3, 17];
    [message(&[(7, &graph)]), opset.to_vec()].concat()
}

fn refuse(bytes: &[u8], words: &[&str]) {
    let error = Imported::onnx("m.onnx", bytes, &Import::new())
        .unwrap_err()
        .to_string();
    for word in words {
        assert!(error.contains(word), "{word}: {error}");
    }
}

#[test]
fn what_has_no_equation_is_named() {
    refuse(b"", &["no ONNX model", "no graph"]);
    refuse(&[0xff; 40], &["no ONNX model"]);
    let with = |op: &str, inputs: &[&str], attributes: &[(&str, Result<u8, &str>)]| {
        model(&node(op, inputs, attributes))
    };
    refuse(
        &with("Conv", &["x"], &[]),
        &["node `the_node` (Conv)", "known are", "LSTM"],
    );
    refuse(
        &with("Relu", &["z"], &[]),
        &["`the_node` (Relu)", "input 0, `z`"],
    );
    refuse(&with("Relu", &["x", "x"], &[]), &["2 inputs", "1 to 1"]);
    let unknown = [("axes", Ok(1)), ("mode", Err("sum"))];
    refuse(
        &with("Squeeze", &["x"], &unknown),
        &["attribute `mode`", "`axes`"],
    );
    let layout = [("layout", Ok(2))];
    refuse(
        &with("LSTM", &["x", "x", "x"], &layout),
        &["attribute `layout`", "0 (steps first)", "found 2"],
    );
    let coupled = [("input_forget", Ok(1))];
    refuse(
        &with("GRU", &["x", "x", "x"], &coupled),
        &["`input_forget`", "LSTM"],
    );
    let direction = [("direction", Err("sideways"))];
    refuse(
        &with("RNN", &["x", "x", "x"], &direction),
        &["`direction`", "bidirectional", "sideways"],
    );
    refuse(
        &with("RNN", &["x", "x", "x"], &[]),
        &["input 1, the weights W", "expected an initializer"],
    );
    refuse(
        &with_outputs(&node("Tanh", &["x"], &[]), 2),
        &["`y` is an output twice"],
    );
    let open = with("Tanh", &["x"], &[]);
    refuse(&open, &["the number of entries of `x` is not known"]);
    let states = Import::new().order(["x"]);
    let error = Imported::onnx("m", &with("Tanh", &["x"], &[]), &states)
        .unwrap_err()
        .to_string();
    assert!(error.contains("`Import::order` has no effect"), "{error}");
}

#[test]
fn shared_weights_are_noted() {
    let all = cases("graph_shared");
    let imported = Imported::onnx("m", &all["graph_shared"].model, &Import::new()).unwrap();
    let note = |words: &str| imported.notes.iter().any(|n| n.contains(words));
    assert!(
        note("share `W`") && note("equal at first"),
        "{:?}",
        imported.notes
    );
}

#[test]
fn models_without_a_recurrence_say_why() {
    let all = cases("refused_");
    let words: [(&str, &[&str]); 12] = [
        (
            "lengths",
            &["`rnn_of_y` (RNN)", "reads all steps", "give `lens` to both"],
        ),
        (
            "last",
            &[
                "`gather_of_y` (Gather)",
                "behind the end of shorter sequences",
                "Y_h",
            ],
        ),
        (
            "middle",
            &[
                "`slice_of_y` (Slice)",
                "a part of the steps",
                "the first or the last",
            ],
        ),
        ("attention", &["`matmul_of_s` (MatMul)", "an axis of steps"]),
        (
            "weights",
            &[
                "`rnn_of_y` (RNN)",
                "input 1, the weights W",
                "expected an initializer",
            ],
        ),
        (
            "start",
            &[
                "`initial_h`",
                "differs between samples",
                "an input of the graph",
            ],
        ),
        (
            "alphas",
            &["attribute `activation_alpha`", "1 more numbers", "Tanh"],
        ),
        (
            "function",
            &["attribute `activations`", "Sine", "HardSigmoid"],
        ),
        (
            "integers",
            &["`add_of_sum` (Add)", "the integers `t`", "Cast"],
        ),
        ("size", &["`rnn_of_y` (RNN)", "5 entries", "2 are expected"]),
        (
            "growth",
            &["(Concat)", "grow to more than", "16 for each byte"],
        ),
        ("step", &["`steps`: expected 1, found 2"]),
    ];
    assert_eq!(all.len(), words.len());
    for (name, words) in words {
        refuse(&all[&format!("refused_{name}")].model, words);
    }
}

/// `Cast` of a number to a truth value tells zero from the others.
#[test]
fn a_number_becomes_a_truth_value() {
    let axis = |name: &str| message(&[(2, name.as_bytes())]);
    let sizes = message(&[(1, &axis("seq")), (1, &axis("batch")), (1, &[8, 2])]);
    let tensor = [&[8, 1][..], &message(&[(2, &sizes)])].concat();
    let end = |name: &str| message(&[(1, name.as_bytes()), (2, &message(&[(1, &tensor)]))]);
    let to = |bits: u8| [("to", Ok(bits))];
    let cast = node("Cast", &["x"], &to(9));
    let graph = message(&[(1, &cast), (11, &end("x")), (12, &end("y"))]);
    let opset = [8 << 3 | 2, 2, 2 << 3, 17];
    let bytes = [message(&[(7, &graph)]), opset.to_vec()].concat();
    let found = Imported::onnx("m.onnx", &bytes, &Import::new()).unwrap();
    let x = ndarray::array![[[0.0, 0.5]], [[-2.0, 0.0]]];
    let batch = Batch::new(2, 1).with("x", x);
    let found = found.recurrence.evaluate(&Params::new(), &batch).unwrap();
    assert_eq!(
        found["y"],
        ndarray::array![[[0.0, 1.0]], [[1.0, 0.0]]].into_dyn()
    );
}
