//! Imported ONNX models compute the outputs of the node tests of onnx, and of onnxruntime.
//!
//! `data/onnx/models.py` wrote the models, inputs and outputs, which are in single precision.

use bptt::data::{Arrays, Import, Imported};
use bptt::{Batch, Params};
use indexmap::IndexMap;

/// The largest difference, relative to the largest number or 1.
const SINGLE: f64 = 2e-6;

struct Case {
    model: Vec<u8>,
    inputs: Arrays,
    outputs: IndexMap<String, ndarray::ArrayD<f64>>,
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
        let case = cases.entry(parts[0].into()).or_insert_with(|| Case {
            model: Vec::new(),
            inputs: Arrays::new(),
            outputs: IndexMap::new(),
        });
        match parts[1] {
            "model" => case.model = array.real::<f64>().iter().map(|b| *b as u8).collect(),
            "in" => case.inputs.insert(parts[2], array.clone()),
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
        assert_eq!(own.shape(), theirs.shape(), "{name}: {output}\n{}", imported.source);
        let size = theirs.iter().fold(1f64, |a, b| a.max(b.abs()));
        for (own, theirs) in own.iter().zip(theirs) {
            let off = (own - theirs).abs() / size;
            worst = if off.is_nan() { f64::INFINITY } else { worst.max(off) };
        }
    }
    assert!(!case.outputs.is_empty(), "{name}");
    if worst > SINGLE {
        println!("{name}: {worst:e}\n{}", imported.source);
    }
    worst
}

fn all_agree(cases: &IndexMap<String, Case>, count: usize) {
    assert_eq!(cases.len(), count);
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
    all_agree(&cases("graph_"), 8);
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
    let names = ["node_lstm_with_peepholes", "graph_parts", "graph_scan", "graph_loop", "graph_pooled"];
    let (mut refused, mut read) = (0, 0);
    for name in names {
        let model = &all[name].model;
        let mut try_it = |bytes: &[u8]| match Imported::onnx("m", bytes, &Import::new()) {
            Ok(imported) => {
                read += 1;
                assert!(imported.params.params::<f64>(&imported.recurrence).is_ok(), "{name}");
            }
            Err(error) => {
                refused += 1;
                let text = error.to_string();
                assert!(!text.contains("a mistake of the import"), "{name}: {text}");
                assert!(text.len() < 20_000, "{name}: an error of {} characters", text.len());
            }
        };
        for at in 0..model.len() {
            for change in [1u8, 0x80, 0xff] {
                let mut bytes = model.clone();
                bytes[at] ^= change;
                try_it(&bytes);
            }
        }
        for end in 0..model.len() {
            try_it(&model[..end]);
        }
    }
    println!("{refused} models refused, {read} read");
    assert!(refused > 1000 && read > 1000, "{refused}, {read}");
}
