//! State dicts of PyTorch: this crate computes the same loss and gradients as PyTorch 2.
//!
//! `data/pytorch.csv` has the loss and gradients of small models in double precision, T = 3, B = 2, input size
//! 3, state and output size 2. Entry `i` of parameter `j` is `0.6 sin(1.3 i + 0.7 j + 0.2)`, in the order of
//! the state dict; the inputs are `cos(0.9 i + 0.1)`.

use bptt::data::Arrays;
use bptt::{Batch, Params, Recurrence, Wrt};
use indexmap::IndexMap;
use ndarray::{Array2, Array3, ArrayD};

const MODELS: [&str; 6] = [
    "rnn",
    "rnn_relu",
    "lstm",
    "gru_reset_after",
    "lstm_stacked",
    "lstm_bidirectional",
];

/// The loss and the gradient of each parameter, in the order of the state dict.
fn figures(model: &str) -> (f64, IndexMap<String, ArrayD<f64>>) {
    let mut loss = None;
    let mut found: IndexMap<String, (Vec<usize>, Vec<f64>)> = IndexMap::new();
    for line in include_str!("../data/pytorch.csv").lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let value: f64 = fields[3].parse().unwrap();
        if fields[0] != model {
            continue;
        }
        match fields[1].split_once(' ') {
            None => loss = Some(value),
            Some((name, shape)) => {
                let shape = shape.split('x').map(|n| n.parse().unwrap()).collect();
                found
                    .entry(name.into())
                    .or_insert((shape, Vec::new()))
                    .1
                    .push(value);
            }
        }
    }
    let array = |(name, (shape, values))| (name, ArrayD::from_shape_vec(shape, values).unwrap());
    (loss.unwrap(), found.into_iter().map(array).collect())
}

fn library(name: &str) -> Recurrence {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/recurrences");
    let source = std::fs::read_to_string(format!("{folder}/{name}.rec")).unwrap();
    Recurrence::parse(name, &source).unwrap()
}

fn batch(model: &str) -> Batch<f64> {
    let wave = |(t, b, k): (usize, usize, usize)| (0.9 * (6 * t + 3 * b + k) as f64 + 0.1).cos();
    let batch = Batch::new(3, 2).with("x", Array3::from_shape_fn((3, 2, 3), wave));
    if model.starts_with("rnn") {
        let target = |(t, b, o): (usize, usize, usize)| (0.5 * (4 * t + 2 * b + o) as f64).sin();
        return batch.with("y", Array3::from_shape_fn((3, 2, 2), target));
    }
    let class = |(t, b): (usize, usize)| ((2 * t + b).pow(2) + 1) % 3 % 2;
    batch.with_classes("y", Array2::from_shape_fn((3, 2), class))
}

fn state(gradients: &IndexMap<String, ArrayD<f64>>) -> Arrays {
    let mut state = Arrays::new();
    for (j, (name, array)) in gradients.iter().enumerate() {
        let mut i = 0.0;
        let values = array.mapv(|_| {
            let value = 0.6 * (1.3 * i + 0.7 * j as f64 + 0.2).sin();
            i += 1.0;
            value
        });
        state = state.with(name, values);
    }
    state
}

#[test]
fn loss_and_gradient_are_those_of_pytorch() {
    for model in MODELS {
        let recurrence = library(model);
        let (loss, gradients) = figures(model);
        let params: Params<f64> = state(&gradients).pytorch_params(&recurrence).unwrap();
        let gradient = recurrence.gradient(Wrt::Parameters).unwrap();
        let found = gradient.evaluate(&params, &batch(model)).unwrap();
        let off = (found.loss().unwrap() - loss).abs();
        assert!(off < 1e-13 * loss, "{model}: the loss is off by {off:e}");
        // Gradients are converted by the same layout. Where two biases become one, each has the full gradient,
        // so their sum is twice the gradient here.
        let mut theirs = Arrays::new();
        for (name, array) in &gradients {
            theirs = theirs.with(name, array.clone());
        }
        let theirs: Params<f64> = theirs.pytorch_params(&recurrence).unwrap();
        assert_eq!(
            theirs.iter().count(),
            recurrence.parameters().count(),
            "{model}"
        );
        let summed = |name: &str| {
            let gru = model.starts_with("gru");
            name.starts_with("b_") && name != "b_q" && !(gru && ["b_n", "b_u"].contains(&name))
        };
        for (name, theirs) in theirs.iter() {
            let factor = if summed(name) { 2.0 } else { 1.0 };
            let largest = theirs.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
            for (own, theirs) in found[name].iter().zip(theirs) {
                let off = (factor * own - theirs).abs();
                assert!(off <= 1e-13 * largest, "{model}: {name} is off by {off:e}");
            }
        }
    }
}

/// The state dict of every model, given to the recurrence of every other one.
#[test]
fn a_state_dict_of_another_model_is_named() {
    for theirs in MODELS {
        let given = state(&figures(theirs).1);
        for own in MODELS {
            if own.split("_relu").next() == theirs.split("_relu").next() {
                continue;
            }
            let error = given.pytorch_params::<f64>(&library(own)).unwrap_err();
            let name = theirs.replace("_relu", "");
            let expected = format!("; use `{name}`");
            assert!(error.to_string().ends_with(&expected), "{own}: {error}");
        }
    }
}

#[test]
fn a_missing_or_transposed_array_of_a_state_dict_is_named() {
    for model in MODELS {
        let recurrence = library(model);
        let given = state(&figures(model).1);
        let names: Vec<&str> = given.iter().map(|(name, _)| name).collect();
        for name in names {
            let mut fewer = given.clone();
            let array = fewer.remove(name).unwrap();
            let short = name.split_once('.').unwrap().1;
            let sizes: Vec<String> = array.shape().iter().map(ToString::to_string).collect();
            let refused = fewer.pytorch_params::<f64>(&recurrence).unwrap_err();
            let message = refused.to_string();
            // The size of the inputs, and those of the readout, are in no other array.
            let shape = match short {
                _ if short.starts_with("weight_ih") => format!("[{}, K]", sizes[0]),
                "weight" => "[O, H]".into(),
                _ => format!("[{}]", sizes.join(", ")),
            };
            let other_model = message.contains("this is the state dict of");
            assert!(
                other_model || (message.contains(short) && message.contains(&shape)),
                "{model}, {name} {shape}: {message}"
            );
            if let [rows, columns] = array.shape()
                && rows != columns
            {
                let turned = array.real::<f64>().reversed_axes();
                let turned = fewer.with(name, turned.as_standard_layout().into_owned());
                let found = turned.pytorch_params::<f64>(&recurrence).unwrap_err();
                let found = found.to_string();
                assert!(
                    found.contains(&format!("{short}` is transposed")),
                    "{found}"
                );
                assert!(
                    found.contains(&format!("found [{columns}, {rows}]")),
                    "{found}"
                );
            }
        }
    }
}

#[test]
fn gradients_and_back() {
    for model in MODELS {
        let recurrence = library(model);
        let (_, theirs) = figures(model);
        let (_, gradients) = figures(model);
        let params: Params<f64> = state(&gradients).pytorch_params(&recurrence).unwrap();
        let gradient = recurrence.gradient(Wrt::Parameters).unwrap();
        let found = gradient.evaluate(&params, &batch(model)).unwrap();
        let mut own = Params::new();
        for name in recurrence.parameters() {
            own.insert(name, found[name].clone());
        }
        let dict = Arrays::pytorch_state_of_gradients(&own, &recurrence).unwrap();
        for (name, theirs) in &theirs {
            let short = name.split_once('.').unwrap().1;
            let found = dict.get(short).unwrap().real::<f64>();
            let largest = theirs.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
            let off = (&found - theirs)
                .iter()
                .fold(0.0, |m: f64, x| m.max(x.abs()));
            assert!(off <= 1e-13 * largest, "{model}: {name} is off by {off:e}");
        }
        assert_eq!(
            dict.pytorch_gradients::<f64>(&recurrence).unwrap(),
            own,
            "{model}"
        );
        let one = dict.get("bias_hh_l0").unwrap().real::<f64>();
        if !model.starts_with("gru") {
            let wrong = dict.with("bias_hh_l0", one + 1.0);
            let error = wrong.pytorch_gradients::<f64>(&recurrence).unwrap_err();
            assert!(error.to_string().contains("`bias_hh_l0` differ"), "{error}");
        }
    }
}

#[test]
fn and_back() {
    for model in MODELS {
        let recurrence = library(model);
        let (_, gradients) = figures(model);
        let given = state(&gradients);
        let params: Params<f64> = given.pytorch_params(&recurrence).unwrap();
        let back = Arrays::pytorch_state(&params, &recurrence).unwrap();
        assert_eq!(back.iter().count(), given.iter().count(), "{model}");
        for (name, array) in given.iter() {
            let short = name.split_once('.').unwrap().1;
            let found = back
                .get(short)
                .unwrap_or_else(|| panic!("{model}: no {short}"));
            assert_eq!(found.shape(), array.shape(), "{model}: {name}");
            if short.contains("weight") {
                assert_eq!(found, array, "{model}: {name}");
            }
        }
        let again: Params<f64> = back.pytorch_params(&recurrence).unwrap();
        assert_eq!(again, params, "{model}");
    }
}

#[test]
fn a_state_dict_that_does_not_fit_is_refused() {
    let lstm = library("lstm");
    let (_, gradients) = figures("lstm");
    let given = || state(&gradients);
    let refuse = |arrays: Arrays, recurrence: &Recurrence, expected: &str| {
        let error = arrays
            .pytorch_params::<f64>(recurrence)
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
    };
    refuse(
        given(),
        &library("garch11"),
        "no cell of PyTorch named `garch11`",
    );
    refuse(
        given(),
        &library("lstm_peephole"),
        "no cell of PyTorch named `lstm_peephole`",
    );
    refuse(given(), &library("gru_reset_before"), "no cell of PyTorch");
    refuse(
        given(),
        &library("lstm_stacked"),
        "an `nn.LSTM` of 1 layer in 1 direction, and `lstm_stacked` is an `nn.LSTM` of 2 layers in 1 direction; \
         use `lstm`",
    );
    refuse(
        given().with("other", ndarray::array![1.0]),
        &lstm,
        "named `other`",
    );
    refuse(
        given().with("cell.weight_ih_l0", Array2::<f64>::ones((6, 1))),
        &lstm,
        "a multiple of 4 rows",
    );
    refuse(
        given().with("b.weight_ih_l0", Array2::<f64>::ones((4, 1))),
        &lstm,
        "named `weight_ih_l0`",
    );
}
