//! The layouts of other libraries.

use bptt::data::{Array, Arrays, Import, Nonlinearity};
use bptt::{Batch, Params, Recurrence};
use bptt_testing::vectors::{Layout, Vector, Vectors};
use bptt_testing::{Cases, with_start_inputs};
use ndarray::{Array1, Array2, ArrayD, Axis, Ix1, Ix2, Ix3, s};

use crate::{cases, draw, library};

const CELLS: [&str; 7] = [
    "rnn",
    "lstm",
    "lstm_peephole",
    "gru_reset_after",
    "gru_reset_before",
    "lstm_stacked",
    "lstm_bidirectional",
];

fn has(layout: Layout, cell: &str) -> bool {
    match layout {
        Layout::Pytorch => !["lstm_peephole", "gru_reset_before"].contains(&cell),
        Layout::Keras => cell != "lstm_peephole",
        _ => true,
    }
}

/// The sum of the products of entries, over all arrays of two groups with the same names.
fn dot(vector: &Vector, left: &str, right: &str) -> f64 {
    let named = vector
        .arrays()
        .filter_map(|(p, a)| Some((p.strip_prefix(right)?, a)));
    named
        .map(|(name, b)| (vector.real(&format!("{left}{name}")).unwrap() * b.real::<f64>()).sum())
        .sum()
}

/// The derivative of the loss along the direction is the product of the gradient and the direction, also where a bias is
/// the sum of two; and so is the second derivative the same number in every layout.
#[test]
fn derivatives_are_those_along_the_direction() {
    for cell in CELLS {
        let recurrence = with_start_inputs(&library(cell)).0;
        let own = draw(&recurrence, 2, Layout::Bptt);
        for layout in Layout::ALL.into_iter().filter(|l| has(*l, cell)) {
            let vectors = draw(&recurrence, 2, layout);
            for (vector, own) in vectors.iter().zip(own.iter()) {
                let what = format!("{cell} in {}", layout.name());
                assert_eq!(vector.real("loss").unwrap(), own.real("loss").unwrap());
                let slope = dot(vector, "gradient/", "direction/");
                let tangent = vector.number("tangent/loss").unwrap();
                assert!((slope - tangent).abs() < 1e-12, "{what}: {slope} {tangent}");
                let curve = dot(vector, "hessian_vector/", "direction/");
                let right = dot(own, "hessian_vector/", "direction/");
                assert!((curve - right).abs() < 1e-11, "{what}: {curve} {right}");
                for (path, array) in vector.arrays().filter(|(p, _)| p.starts_with("direction/")) {
                    let bound = path.replacen("direction", "bound_f32/gradient", 1);
                    assert!(vector.number(&bound).unwrap() > 0.0, "{what}: {path}");
                    let same = path.replacen("direction", "gradient", 1);
                    assert_eq!(
                        vector.get(&same).unwrap().shape(),
                        array.shape(),
                        "{what}: {path}"
                    );
                }
            }
        }
    }
}

/// The import of state dicts of PyTorch and of models of Keras gives a recurrence with the outputs of the vectors.
#[test]
fn outputs_are_those_of_imported_models() {
    for layout in [Layout::Pytorch, Layout::Keras] {
        for cell in CELLS.into_iter().filter(|c| has(layout, c)) {
            let recurrence = library(cell);
            let cases = cases(&recurrence).equal_lengths();
            for vector in Vectors::draw(&cases, 2, 3, layout).unwrap().iter() {
                let params = group(vector, "params/");
                let choices = Import::new().nonlinearity(Nonlinearity::Tanh);
                // A file has no function of an nn.RNN; the other cells have no choice.
                let choices = if cell == "rnn" {
                    choices
                } else {
                    Import::new()
                };
                let model = params.import("m.npz", &choices).unwrap();
                let given: Params<f64> = model.params.params(&model.recurrence).unwrap();
                let time_first = |path: &str| {
                    let mut array = vector.real(path).unwrap();
                    if layout == Layout::Keras {
                        array.swap_axes(0, 1);
                    }
                    array.as_standard_layout().into_owned()
                };
                let (x, o) = (time_first("inputs/x"), time_first("outputs/o"));
                let batch = Batch::new(x.shape()[0], x.shape()[1]).with("x", x);
                let found = model.recurrence.evaluate(&given, &batch).unwrap();
                let apart = (&found["o"] - &o).fold(0.0, |m: f64, d| m.max(d.abs()));
                assert!(
                    apart < 1e-13,
                    "{cell} in {}: {apart:e}\n{}",
                    layout.name(),
                    model.source
                );
            }
        }
    }
}

fn group(vector: &Vector, begin: &str) -> Arrays {
    let mut arrays = Arrays::new();
    for (path, array) in vector.arrays() {
        if let Some(name) = path.strip_prefix(begin) {
            arrays.insert(name, array.clone());
        }
    }
    arrays
}

/// The hidden states `[T, B, H]` of a node of ONNX in one direction, by the equations of its documentation.
fn node(vector: &Vector, cell: &str) -> ndarray::Array3<f64> {
    let part = |name: &str| vector.real(&format!("params/{name}")).unwrap();
    let one = |name: &str| part(name).index_axis(Axis(0), 0).to_owned();
    let matrix = |name: &str| one(name).into_dimensionality::<Ix2>().unwrap();
    let x = vector
        .real("inputs/X")
        .unwrap()
        .into_dimensionality::<Ix3>()
        .unwrap();
    let (w, r, b) = (
        matrix("W"),
        matrix("R"),
        one("B").into_dimensionality::<Ix1>().unwrap(),
    );
    let hidden = r.ncols();
    let gates = r.nrows() / hidden;
    let start = |name: &str| {
        let start = vector.real(&format!("inputs/initial_{name}")).unwrap();
        start
            .index_axis(Axis(0), 0)
            .to_owned()
            .into_dimensionality::<Ix2>()
            .unwrap()
    };
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let (steps, samples) = (x.len_of(Axis(0)), x.len_of(Axis(1)));
    let mut found = ndarray::Array3::zeros((steps, samples, hidden));
    for sample in 0..samples {
        let mut h: Array1<f64> = start("h").row(sample).to_owned();
        let mut c = match cell.starts_with("lstm") {
            true => start("c").row(sample).to_owned(),
            false => h.clone(),
        };
        for t in 0..steps {
            let now = x.slice(s![t, sample, ..]).to_owned();
            let rows = |g: usize| s![g * hidden..(g + 1) * hidden, ..];
            let bias = |g: usize| b.slice(s![g * hidden..(g + 1) * hidden]).to_owned();
            let of_x = |g: usize| w.slice(rows(g)).dot(&now) + bias(g);
            let of_h = |g: usize, h: &Array1<f64>| r.slice(rows(g)).dot(h) + bias(gates + g);
            let sum = |g: usize| of_x(g) + of_h(g, &h);
            h = match cell {
                "rnn" => sum(0).mapv(f64::tanh),
                "lstm" | "lstm_peephole" => {
                    let peep = |n: usize, c: &Array1<f64>| match cell {
                        "lstm" => c * 0.0,
                        _ => &matrix_row(&one("P"), n, hidden) * c,
                    };
                    let i = (sum(0) + peep(0, &c)).mapv(sigmoid);
                    let f = (sum(2) + peep(2, &c)).mapv(sigmoid);
                    c = f * &c + i * sum(3).mapv(f64::tanh);
                    let o = (sum(1) + peep(1, &c)).mapv(sigmoid);
                    o * c.mapv(f64::tanh)
                }
                _ => {
                    let (z, r) = (sum(0).mapv(sigmoid), sum(1).mapv(sigmoid));
                    let n = match cell {
                        "gru_reset_after" => of_x(2) + r * of_h(2, &h),
                        _ => of_x(2) + of_h(2, &(r * &h)),
                    };
                    (1.0 - &z) * n.mapv(f64::tanh) + &z * &h
                }
            };
            found.slice_mut(s![t, sample, ..]).assign(&h);
        }
    }
    found
}

fn matrix_row(all: &ArrayD<f64>, n: usize, hidden: usize) -> Array1<f64> {
    let all = all.view().into_dimensionality::<Ix1>().unwrap();
    all.slice(s![n * hidden..(n + 1) * hidden]).to_owned()
}

#[test]
fn outputs_are_those_of_the_equations_of_onnx() {
    for cell in &CELLS[..5] {
        let recurrence = with_start_inputs(&library(cell)).0;
        for vector in draw(&recurrence, 2, Layout::Onnx).iter() {
            assert_eq!(vector.get("inputs/sequence_lens"), vector.get("lengths"));
            let w: Array2<f64> = vector
                .real("params/W_O")
                .unwrap()
                .into_dimensionality()
                .unwrap();
            let b = vector.real("params/b_q").unwrap();
            let o = vector.real("outputs/o").unwrap();
            for ((t, sample), _) in ndarray::indices((o.shape()[0], o.shape()[1]))
                .into_iter()
                .zip(0..)
                .collect::<Vec<_>>()
            {
                let h = node(vector, cell).slice(s![t, sample, ..]).to_owned();
                let expected = o.slice(s![t, sample, ..]).to_owned();
                let found = (w.dot(&h)).into_dyn() + &b;
                let apart = (&found - &expected)
                    .iter()
                    .fold(0.0, |m: f64, d| m.max(d.abs()));
                let is_there = t < vector.lengths()[sample];
                assert_eq!(expected.iter().all(|x| x.is_nan()), !is_there, "{cell}");
                assert!(!is_there || apart < 1e-14, "{cell}: {apart:e}");
            }
        }
    }
}

#[test]
fn names_and_shapes_are_those_of_the_libraries() {
    let shapes = |recurrence: &Recurrence, layout: Layout| {
        let cases = Cases::new(recurrence)
            .size("H", 4)
            .size("K", 3)
            .size("O", 2);
        let cases = cases.steps(5..=5).samples(6..=6);
        let vectors = Vectors::draw(&cases, 1, 1, layout).unwrap();
        let vector = vectors.iter().next().unwrap();
        let named = vector
            .arrays()
            .filter(|(p, _)| p.starts_with("params/") || p.starts_with("inputs/"));
        named
            .map(|(p, a)| format!("{} {:?}", &p[7..], a.shape()))
            .collect::<Vec<_>>()
    };
    let started = |name: &str| with_start_inputs(&library(name)).0;
    assert_eq!(
        shapes(&started("lstm"), Layout::Pytorch).join(", "),
        "weight_ih_l0 [16, 3], weight_hh_l0 [16, 4], bias_ih_l0 [16], bias_hh_l0 [16], weight [2, 4], bias [2], h_0 [1, 6, 4], \
         c_0 [1, 6, 4], x [5, 6, 3], y [5, 6]"
    );
    assert_eq!(
        shapes(&started("lstm_bidirectional"), Layout::Onnx).join(", "),
        "W [2, 16, 3], R [2, 16, 4], B [2, 32], W_O [2, 8], b_q [2], initial_h [2, 6, 4], initial_c [2, 6, 4], X [5, 6, 3], \
         y [5, 6], sequence_lens [6]"
    );
    assert_eq!(
        shapes(&started("gru_reset_after"), Layout::Keras).join(", "),
        "gru/gru_cell/kernel [3, 12], gru/gru_cell/recurrent_kernel [4, 12], gru/gru_cell/bias [2, 12], dense/kernel [4, 2], \
         dense/bias [2], h0 [6, 4], x [6, 5, 3], y [6, 5], mask [6, 5]"
    );
}

#[test]
fn a_recurrence_without_such_a_cell_is_refused() {
    for (name, layout, words) in [
        (
            "garch11",
            Layout::Pytorch,
            "`garch11` has no cell that PyTorch has",
        ),
        ("lstm_peephole", Layout::Keras, "no cell that Keras has"),
        (
            "gru_reset_before",
            Layout::Pytorch,
            "expected those of rnn, lstm or gru_reset_after",
        ),
        ("van_der_pol", Layout::Onnx, "no cell that ONNX has"),
    ] {
        let recurrence = library(name);
        let drawn = Vectors::draw(&Cases::new(&recurrence), 1, 1, layout);
        let message = drawn.unwrap_err().to_string();
        assert!(message.contains(words), "{message}");
    }
    let stacked = library("lstm_stacked");
    let drawn = Vectors::draw(&Cases::new(&stacked), 1, 1, Layout::Pytorch);
    let message = drawn.unwrap_err().to_string();
    assert!(message.contains("such as H=3,G=3"), "{message}");
}

#[test]
fn the_data_has_the_precision_that_was_asked_for() {
    let rnn = library("rnn");
    let cases = Cases::new(&rnn).precision(bptt_testing::Precision::F32);
    let vectors = Vectors::draw(&cases, 1, 1, Layout::Pytorch).unwrap();
    let vector = vectors.iter().next().unwrap();
    for (path, array) in vector.arrays() {
        let given = ["params/", "inputs/", "direction/"];
        let is_given = given.iter().any(|begin| path.starts_with(begin));
        assert_eq!(matches!(array, Array::F32(_)), is_given, "{path}");
    }
}
