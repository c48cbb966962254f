//! Imported Keras models compute the loss, outputs and gradients of Keras 3; `data/keras/models.py` wrote them, in double precision.

use bptt::data::{Activation, Arrays, Import, Imported, ModelLoss, Nonlinearity};
use bptt::{Batch, Params, Wrt};
use ndarray::{Array1, Array2, ArrayD};

/// The arrays of a model whose names begin with `part/`, without it.
fn part(model: &str, part: &str) -> Arrays {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/keras/models.npz");
    let begin = format!("{model}/{part}/");
    let mut found = Arrays::new();
    for (name, array) in Arrays::read(path).unwrap().iter() {
        if let Some(rest) = name.strip_prefix(&begin) {
            found.insert(rest, array.clone());
        }
    }
    assert!(found.iter().count() > 0, "{begin}");
    found
}

fn choices(model: &str) -> Import {
    match model {
        "tagger" => Import::new().loss(ModelLoss::Softmax),
        "grus" => Import::new()
            .loss(ModelLoss::Squared)
            .activation(Activation::Relu),
        _ => Import::new()
            .loss(ModelLoss::Squared)
            .nonlinearity(Nonlinearity::Tanh),
    }
}

#[test]
fn loss_outputs_and_gradients_are_those_of_keras() {
    for model in ["tagger", "grus", "simple"] {
        let Imported {
            recurrence,
            params,
            source,
            ..
        } = part(model, "weights")
            .import("m.npz", &choices(model))
            .unwrap();
        let params: Params<f64> = params.params(&recurrence).unwrap();
        let batch: Batch<f64> = part(model, "in").batch(&recurrence).unwrap();
        let forward = recurrence.evaluate(&params, &batch).unwrap();
        let found = recurrence.gradient(Wrt::Parameters).unwrap();
        let found = found.evaluate(&params, &batch).unwrap();
        let mut worst = 0f64;
        let mut compare = |what: &str, own: &ArrayD<f64>, theirs: &ArrayD<f64>| {
            assert_eq!(own.shape(), theirs.shape(), "{model}: {what}");
            let size = theirs.iter().fold(1e-3, |a: f64, b| a.max(b.abs()));
            let off = own
                .iter()
                .zip(theirs)
                .map(|(a, b)| (a - b).abs() / size)
                .fold(0.0, f64::max);
            assert!(off < 1e-12, "{model}: {what} {off:e}\n{source}");
            worst = worst.max(off);
        };
        let loss = part(model, "loss").get("").unwrap().real();
        compare(
            "loss",
            &ndarray::arr0(found.loss().unwrap()).into_dyn(),
            &loss,
        );
        compare(
            "o",
            &forward["o"],
            &part(model, "out").get("o").unwrap().real(),
        );
        let theirs = part(model, "of").import("m.npz", &choices(model)).unwrap();
        assert_eq!(theirs.source, source, "{model}");
        let theirs: Params<f64> = theirs.params.params(&recurrence).unwrap();
        assert_eq!(theirs.iter().count(), recurrence.parameters().count());
        for (param, theirs) in theirs.iter() {
            // Two biases have the gradient of their sum each, except those of a gate that keeps both.
            let has_two = model == "grus" && (param == "b_r_1" || param == "b_z_1");
            let theirs = if has_two {
                0.5 * theirs
            } else {
                theirs.clone()
            };
            compare(param, &found[param], &theirs);
        }
        println!("{model}: {worst:.1e}");
    }
}

#[test]
fn the_text_names_the_arrays_of_keras() {
    let text = part("grus", "weights")
        .import("m.npz", &choices("grus"))
        .unwrap()
        .source;
    for words in [
        "# sequential_1/gru/gru_cell/kernel, sequential_1/gru/gru_cell/recurrent_kernel,",
        "the columns of z, r, n, where n keeps two biases",
        "n_2 = tanh(W_n_2 @ h_1' + U_n_2 @ (r_2 * h_2) + b_n_2)",
        "backward state h_3_bw[H_3]",
        "default `epsilon` of a LayerNormalization of Keras",
        "+ 1e-3)",
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
}

#[test]
fn an_array_that_does_not_fit_is_named() {
    let refuse = |arrays: &Arrays, words: &[&str]| {
        let error = arrays
            .import("m.npz", &choices("simple"))
            .unwrap_err()
            .to_string();
        for word in words {
            assert!(error.contains(word), "{word}: {error}");
        }
    };
    let simple = || part("simple", "weights");
    let cell = "sequential_2/simple_rnn/simple_rnn_cell";
    let mut fewer = simple();
    fewer.remove(&format!("{cell}/kernel"));
    refuse(&fewer, &["sequential_2/simple_rnn/kernel", "is missing"]);
    let wide = simple().with(
        &format!("{cell}/recurrent_kernel"),
        Array2::<f64>::ones((3, 4)),
    );
    refuse(
        &wide,
        &["simple_rnn_cell/recurrent_kernel", "[3, 4]", "[H, 1 H]"],
    );
    let short = simple().with(&format!("{cell}/bias"), Array1::<f64>::ones(2));
    refuse(&short, &["simple_rnn_cell/bias", "[3]"]);
    let other = simple().with("sequential_2/conv/filter", Array1::<f64>::ones(2));
    refuse(
        &other,
        &[
            "`sequential_2/conv/filter` [2]",
            "LayerNormalization",
            "ignoring",
        ],
    );
    let error = simple()
        .import("m.npz", &Import::new())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("SimpleRNN") && error.contains("tanh or relu"),
        "{error}"
    );
    let gru = Arrays::new()
        .with("gru/gru_cell/kernel", Array2::<f64>::ones((2, 9)))
        .with("gru/gru_cell/recurrent_kernel", Array2::<f64>::ones((3, 9)));
    let imported = gru.import("m.npz", &Import::new()).unwrap();
    assert!(
        imported.notes[0].contains("reset_after=True"),
        "{:?}",
        imported.notes
    );
    let ignored = other.import("m.npz", &choices("simple").ignoring(["sequential_2/conv"]));
    assert!(ignored.is_ok());
    let error = Arrays::read("model.weights.h5").unwrap_err().to_string();
    assert!(
        error.contains("numpy.savez") && error.contains("w.path"),
        "{error}"
    );
}

/// Parameters and gradients return to the paths and shapes of Keras.
#[test]
fn parameters_go_back_to_keras() {
    for model in ["tagger", "grus", "simple"] {
        let weights = part(model, "weights");
        let Imported {
            recurrence, params, ..
        } = weights.import("m.npz", &choices(model)).unwrap();
        let own: Params<f64> = params.params(&recurrence).unwrap();
        let back = weights.updated(&own, &choices(model), false).unwrap();
        let again = back.import("m.npz", &choices(model)).unwrap();
        for (param, array) in own.iter() {
            assert_eq!(
                again.params.get(param).unwrap().real::<f64>(),
                array,
                "{model}: {param}"
            );
        }
        let batch: Batch<f64> = part(model, "in").batch(&recurrence).unwrap();
        let found = recurrence
            .gradient(Wrt::Parameters)
            .unwrap()
            .evaluate(&own, &batch)
            .unwrap();
        let found: Params<f64> = own.iter().map(|(n, _)| (n, found[n].clone())).collect();
        let back = weights.updated(&found, &choices(model), true).unwrap();
        for (path, theirs) in part(model, "of").iter() {
            let (own, theirs) = (back.get(path).unwrap().real::<f64>(), theirs.real::<f64>());
            let size = theirs.iter().fold(1e-3, |a: f64, b| a.max(b.abs()));
            let off = own
                .iter()
                .zip(&theirs)
                .map(|(a, b)| (a - b).abs() / size)
                .fold(0.0, f64::max);
            assert!(off < 1e-12, "{model}: {path} {off:e}");
        }
    }
}
