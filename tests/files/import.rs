//! Imported models compute the loss, outputs and gradients of PyTorch 2.
//!
//! `data/pytorch_import.csv` has them for small models in double precision, T = 4, B = 2. Entry `i` of parameter `j` is
//! `0.6 sin(1.3 i + 0.7 j + 0.2)`, in the order of the state dict. Inputs are `cos(0.9 i + 0.1)`, or the class
//! `(3 t + 2 b + 1) mod 5`; `h0` is `0.3 sin(0.8 i + 0.4)` and `c0` is `0.4 cos(0.7 i + 0.3)`, in the order of PyTorch.

use bptt::data::{Activation, Arrays, Import, Imported, ModelLoss, Nonlinearity, States};
use bptt::{Batch, Params, Wrt};
use indexmap::IndexMap;
use ndarray::{Array2, Array3, ArrayD, IxDyn, array};

const STEPS: usize = 4;
const SAMPLES: usize = 2;

/// A model: its name in the table, its choices, the size of its output, and of each state array of PyTorch the name
/// and `[layers times directions, size]`.
struct Model {
    name: &'static str,
    import: Import,
    is_classifier: bool,
    outputs: usize,
    /// Layers and directions.
    suffixes: &'static [&'static str],
    states: &'static [(&'static str, usize)],
}

const DEEP: &[&str] = &["_1_fw", "_1_bw", "_2_fw", "_2_bw"];

fn models() -> Vec<Model> {
    let model = |name, import: Import, is_classifier, outputs, suffixes, states| Model {
        name,
        import: import.loss(match is_classifier {
            true => ModelLoss::Softmax,
            false => ModelLoss::Squared,
        }),
        is_classifier,
        outputs,
        suffixes,
        states,
    };
    let given = || Import::new().states(States::Inputs);
    let relu = Import::new().activation(Activation::Relu);
    let order = ["encoder:embedding", "lstm", "decoder"];
    let rnn = given().nonlinearity(Nonlinearity::Relu);
    vec![
        model("lstm", given(), true, 3, DEEP, &[("h0", 2), ("c0", 2)]),
        model("gru", given(), false, 3, DEEP, &[("h0", 2)]),
        model("projected", given(), true, 3, DEEP, &[("h0", 2), ("c0", 4)]),
        model("tagger", relu, true, 3, &[], &[]),
        model("cell", given(), false, 2, &[""], &[("h0", 2)]),
        model("rnn", rnn, false, 2, &["_1", "_2", "_3"], &[("h0", 2)]),
        model("tied", Import::new().order(order), true, 5, &[], &[]),
    ]
}

/// The figures of a model by quantity, in the order of the table.
fn figures(model: &str) -> IndexMap<String, Vec<f64>> {
    let mut found: IndexMap<String, Vec<f64>> = IndexMap::new();
    for line in include_str!("../data/pytorch_import.csv").lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        if fields[0] == model {
            let values = found.entry(fields[1].into()).or_default();
            values.push(fields[3].parse().unwrap());
        }
    }
    assert!(!found.is_empty(), "{model}");
    found
}

/// The gradients of the parameters by their names.
fn gradients(model: &str) -> IndexMap<String, ArrayD<f64>> {
    let of_params = figures(model).into_iter().filter_map(|(quantity, values)| {
        let (name, shape) = quantity.split_once(' ')?;
        let shape: Vec<usize> = shape.split('x').map(|n| n.parse().unwrap()).collect();
        Some((
            name.to_owned(),
            ArrayD::from_shape_vec(shape, values).unwrap(),
        ))
    });
    of_params.collect()
}

fn wave(shape: &[usize], of: impl Fn(f64) -> f64) -> ArrayD<f64> {
    let count = shape.iter().product();
    ArrayD::from_shape_vec(
        IxDyn(shape),
        (0..count).map(|i: usize| of(i as f64)).collect(),
    )
    .unwrap()
}

/// The shared matrix of a tied model is in its state dict twice.
fn tied(mut state: Arrays, model: &str) -> Arrays {
    if model == "tied" {
        let shared = state.get("encoder.weight").unwrap().clone();
        state.insert("decoder.weight", shared);
    }
    state
}

fn state(model: &str) -> Arrays {
    let mut state = Arrays::new();
    for (j, (name, array)) in gradients(model).iter().enumerate() {
        let of = |i: f64| 0.6 * (1.3 * i + 0.7 * j as f64 + 0.2).sin();
        state = state.with(name, wave(array.shape(), of));
    }
    tied(state, model)
}

fn batch(model: &Model) -> Batch<f64> {
    let batch = Batch::new(STEPS, SAMPLES);
    let mut batch = match model.name {
        "tagger" | "tied" => {
            let class = |(t, b)| (3 * t + 2 * b + 1) % 5;
            batch.with_classes("x", Array2::from_shape_fn((STEPS, SAMPLES), class))
        }
        _ => batch.with("x", wave(&[STEPS, SAMPLES, 3], |i| (0.9 * i + 0.1).cos())),
    };
    for (name, size) in model.states {
        let of = |i: f64| match *name {
            "h0" => 0.3 * (0.8 * i + 0.4).sin(),
            _ => 0.4 * (0.7 * i + 0.3).cos(),
        };
        let all = wave(&[model.suffixes.len(), SAMPLES, *size], of);
        let all: Array3<f64> = all.into_dimensionality().unwrap();
        for (layer, suffix) in model.suffixes.iter().enumerate() {
            let one = all.index_axis(ndarray::Axis(0), layer).to_owned();
            batch = batch.with(&format!("{name}{suffix}"), one);
        }
    }
    let (classes, shape) = (model.outputs, [STEPS, SAMPLES, model.outputs]);
    match model.is_classifier {
        true => {
            let class = |(t, b): (usize, usize)| (2 * t + b).pow(2) % classes;
            batch.with_classes("y", Array2::from_shape_fn((STEPS, SAMPLES), class))
        }
        false => batch.with("y", wave(&shape, |i| (0.5 * i).sin())),
    }
}

fn distance<'a>(
    own: impl IntoIterator<Item = &'a f64>,
    theirs: impl IntoIterator<Item = &'a f64>,
    factor: f64,
) -> f64 {
    let (mut largest, mut off) = (0f64, 0f64);
    for (own, theirs) in own.into_iter().zip(theirs) {
        largest = largest.max(theirs.abs());
        off = off.max((own - factor * theirs).abs());
    }
    off / largest.max(1e-3)
}

#[test]
fn loss_outputs_and_gradients_are_those_of_pytorch() {
    for model in models() {
        let name = model.name;
        let figures = figures(name);
        let Imported {
            recurrence,
            params,
            source,
            ..
        } = state(name).import("m.npz", &model.import).unwrap();
        let params: Params<f64> = params.params(&recurrence).unwrap();
        let batch = batch(&model);
        let forward = recurrence.evaluate(&params, &batch).unwrap();
        let found = recurrence.gradient(Wrt::Parameters).unwrap();
        let found = found.evaluate(&params, &batch).unwrap();
        let loss = distance([&found.loss().unwrap()], &figures["loss"], 1.0);
        let output = distance(forward["o"].iter(), &figures["output"], 1.0);
        assert_eq!(forward["o"].len(), figures["output"].len(), "{name}");
        // Both biases have the gradient of their sum, so that the sum of the halves is the gradient here.
        let mut theirs = Arrays::new();
        for (name, array) in gradients(name) {
            let factor = if name.contains("bias_") { 0.5 } else { 1.0 };
            theirs = theirs.with(&name, factor * array);
        }
        let theirs = tied(theirs, name).import("m.npz", &model.import).unwrap();
        assert_eq!(theirs.source, source, "{name}");
        let theirs: Params<f64> = theirs.params.params(&recurrence).unwrap();
        assert_eq!(
            theirs.iter().count(),
            recurrence.parameters().count(),
            "{name}"
        );
        let mut worst = 0f64;
        for (param, theirs) in theirs.iter() {
            let is_apart = param.starts_with("b_n") || param.starts_with("b_u");
            let factor = if is_apart { 2.0 } else { 1.0 };
            worst = worst.max(distance(found[param].iter(), theirs.iter(), factor));
        }
        println!("{name}: loss {loss:.1e}, outputs {output:.1e}, gradients {worst:.1e}");
        assert!(
            loss.max(output).max(worst) < 1e-12,
            "{name}: {loss:e}, {output:e}, {worst:e}\n{source}"
        );
    }
}

#[test]
fn the_text_reads_like_one_by_hand() {
    let import = Import::new()
        .loss(ModelLoss::Softmax)
        .activation(Activation::Relu);
    let imported = state("tagger").import("tagger.npz", &import).unwrap();
    assert!(imported.notes.is_empty());
    assert_eq!(imported.source, TAGGER);
    let again = bptt::Recurrence::parse("tagger.npz", TAGGER).unwrap();
    assert_eq!(
        again.source().unwrap(),
        imported.recurrence.source().unwrap()
    );
}

const TAGGER: &str = "\
# Imported from tagger.npz: embedding, LSTM, layer norm, linear, linear.
# Sizes of the file: C = 5, D = 3, H = 2, N = 4, O = 3.
dim C, D, H, N, O
input x: class(C)
# emb.weight
param E[C, D]
# lstm.weight_ih_l0, lstm.weight_hh_l0, lstm.bias_ih_l0 + lstm.bias_hh_l0: the rows of i, f, g, o
param W_i[H, D], U_i[H, H], b_i[H]
param W_f[H, D], U_f[H, H], b_f[H]
param W_g[H, D], U_g[H, H], b_g[H]
param W_o[H, D], U_o[H, H], b_o[H]
state h[H], c[H]
# norm.weight, norm.bias
param scale[H], shift[H]
# fc1.weight, fc1.bias
param W_1[N, H], b_1[N]
# fc2.weight, fc2.bias
param W_O[O, N], b_q[O]

# The constant is the default `eps` of nn.LayerNorm, which is not in the file.
fn layer_norm(x, scale) = scale * (x - mean(x)) / sqrt(mean((x - mean(x))^2) + 1e-5)
e = gather(E, x)
i = sigmoid(W_i @ e + U_i @ h + b_i)
f = sigmoid(W_f @ e + U_f @ h + b_f)
g = tanh(W_g @ e + U_g @ h + b_g)
og = sigmoid(W_o @ e + U_o @ h + b_o)
c' = f * c + i * g
h' = og * tanh(c')

normed = layer_norm(h', scale) + shift
a = relu(W_1 @ normed + b_1)
output o = W_O @ a + b_q
input y: class(O)
mean loss softmax_cross_entropy(o, y)
";

fn refuse(state: &Arrays, import: &Import, words: &[&str]) {
    let error = state.import("m.npz", import).unwrap_err().to_string();
    for word in words {
        assert!(error.contains(word), "{word}: {error}");
    }
}

#[test]
fn an_open_choice_is_asked_for() {
    refuse(
        &state("rnn"),
        &Import::new(),
        &["`net.weight_hh_l0`", "tanh or relu"],
    );
    refuse(
        &state("tagger"),
        &Import::new(),
        &["`fc1.weight`", "relu, tanh, sigmoid"],
    );
    let both = [
        "`encoder:embedding,lstm,decoder`",
        "`decoder:embedding,lstm,encoder`",
    ];
    let error = state("tied")
        .import("m", &Import::new())
        .unwrap_err()
        .to_string();
    assert!(both.iter().any(|b| error.contains(b)), "{error}");
}

#[test]
fn a_choice_without_effect_is_refused() {
    let tanh = Import::new().nonlinearity(Nonlinearity::Tanh);
    refuse(&state("lstm"), &tanh, &["nonlinearity", "has no effect"]);
    let relu = Import::new().activation(Activation::Relu);
    refuse(&state("gru"), &relu, &["activation", "has no effect"]);
}

#[test]
fn an_array_that_does_not_fit_is_named() {
    let new = Import::new();
    let lstm = || state("lstm");
    let unknown = lstm().with("bn.running_mean", array![1.0]);
    refuse(
        &unknown,
        &new,
        &["`bn.running_mean` [1]", "nn.LayerNorm", "ignoring"],
    );
    assert!(unknown.import("m", &Import::new().ignoring(["bn"])).is_ok());
    let part = unknown.clone().with("bn.weight", array![1.0, 1.0]);
    let options = Import::new().ignoring(["bn.running_mean"]);
    let text = part.import("m", &options).unwrap_err().to_string();
    assert!(
        text.contains("a batch norm") && text.contains("the name `bn`"),
        "{text}"
    );
    refuse(
        &lstm(),
        &Import::new().ignoring(["nothing"]),
        &["`nothing`"],
    );
    for name in [
        "lstm.weight_ih_l0",
        "lstm.weight_hh_l1",
        "lstm.weight_hh_l0_reverse",
    ] {
        let mut fewer = lstm();
        fewer.remove(name);
        refuse(&fewer, &new, &[name, "is missing"]);
    }
    let mut headless = lstm();
    headless.remove("head.weight");
    refuse(&headless, &new, &["`head.weight` is missing"]);
    let wide = lstm().with("lstm.weight_hh_l0", Array2::<f64>::ones((8, 3)));
    refuse(
        &wide,
        &new,
        &["`lstm.weight_hh_l0`", "[8, 3]", "[4 H, H] of an LSTM"],
    );
    let narrow = lstm().with("lstm.weight_ih_l1", Array2::<f64>::ones((8, 3)));
    refuse(&narrow, &new, &["`lstm.weight_ih_l1`", "[8, 4]", "[8, 3]"]);
    let short = lstm().with("lstm.bias_ih_l0", array![1.0]);
    refuse(&short, &new, &["`lstm.bias_ih_l0`", "[8]"]);
    let mut other = lstm();
    other.remove("head.bias");
    let other = other.with("head.weight", Array2::<f64>::ones((5, 9)));
    refuse(
        &other,
        &new,
        &[
            "do not fit",
            "`head` (linear, 9 → 5)",
            "`lstm` (LSTM, 3 → 4)",
        ],
    );
    let order = Import::new().order(["lstm"]);
    refuse(&lstm(), &order, &["leaves out `head`"]);
    refuse(&lstm(), &Import::new().order(["lstm", "tail"]), &["`tail`"]);
    refuse(
        &Arrays::new().with("W", array![[1.0]]),
        &new,
        &["`W` [1, 1]"],
    );
    refuse(&Arrays::new(), &new, &["no recurrent layer"]);
    let empty = Array2::<f64>::ones((0, 0));
    refuse(
        &lstm().with("lstm.weight_hh_l0", empty),
        &new,
        &["`lstm.weight_hh_l0`"],
    );
    let far = lstm().with("lstm.weight_ih_l18446744073709551615", array![[1.0]]);
    refuse(
        &far,
        &new,
        &["no use for `lstm.weight_ih_l18446744073709551615`"],
    );
    let twice = lstm().with("lstm.weight_ih", array![[1.0]]);
    refuse(&twice, &new, &["`lstm.weight_ih_l0` and `lstm.weight_ih`"]);
}

/// Without `bias_ih` or `bias_hh`, the other one is the bias.
#[test]
fn a_missing_bias_is_zero() {
    let mut fewer = state("cell");
    fewer.remove("cell.bias_hh");
    let imported = fewer.import("m", &Import::new()).unwrap();
    assert!(
        imported.source.contains("u = U_n @ h\n"),
        "{}",
        imported.source
    );
    assert!(imported.source.contains("b_n[H]"), "{}", imported.source);
}

/// Parameters and gradients return to the names and shapes of the state dict.
#[test]
fn parameters_go_back_to_the_state_dict() {
    for model in models() {
        let name = model.name;
        let state = state(name);
        let Imported {
            recurrence, params, ..
        } = state.import("m.npz", &model.import).unwrap();
        let own: Params<f64> = params.params(&recurrence).unwrap();
        let back = state.updated(&own, &model.import, false).unwrap();
        let names = |a: &Arrays| {
            a.iter()
                .map(|(n, a)| (n.to_owned(), a.shape().to_vec()))
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&back), names(&state), "{name}");
        let again = back.import("m.npz", &model.import).unwrap();
        for (param, array) in own.iter() {
            let found = again.params.get(param).unwrap().real::<f64>();
            assert_eq!(found, array, "{name}: {param}");
        }
        let batch = batch(&model);
        let found = recurrence.gradient(Wrt::Parameters).unwrap();
        let found: Params<f64> = found
            .evaluate(&own, &batch)
            .unwrap()
            .iter()
            .filter(|(n, _)| own.get(n).is_some())
            .map(|(n, a)| (n, a.clone()))
            .collect();
        let back = state.updated(&found, &model.import, true).unwrap();
        for (array, theirs) in tied_gradients(name) {
            let off = distance(
                back.get(&array).unwrap().real::<f64>().iter(),
                theirs.iter(),
                1.0,
            );
            assert!(off < 1e-12, "{name}: {array} {off:e}");
        }
    }
}

/// The gradients of a model of PyTorch, also under the second name of a shared matrix.
fn tied_gradients(model: &str) -> Vec<(String, ArrayD<f64>)> {
    let mut all = Arrays::new();
    for (name, array) in gradients(model) {
        all = all.with(&name, array);
    }
    let all = tied(all, model);
    all.iter().map(|(n, a)| (n.to_owned(), a.real())).collect()
}

#[test]
fn other_parameters_do_not_go_back() {
    let state = state("lstm");
    let Imported {
        recurrence, params, ..
    } = state.import("m.npz", &Import::new()).unwrap();
    let own: Params<f64> = params.params(&recurrence).unwrap();
    let refuse = |params: &Params<f64>, words: &[&str]| {
        let error = state
            .updated(params, &Import::new(), false)
            .unwrap_err()
            .to_string();
        for word in words {
            assert!(error.contains(word), "{word}: {error}");
        }
    };
    let mut more = own.clone();
    more.insert("gain", ndarray::arr0(1.0).into_dyn());
    refuse(&more, &["`gain`", "`W_i_1_fw`"]);
    let fewer: Params<f64> = own
        .iter()
        .filter(|(n, _)| *n != "W_O")
        .map(|(n, a)| (n, a.clone()))
        .collect();
    refuse(&fewer, &["the model has the parameter `W_O`"]);
    let mut wide = own.clone();
    wide.insert("b_q", ArrayD::<f64>::zeros(vec![9]));
    refuse(&wide, &["`b_q`", "[3]", "[9]"]);
}
