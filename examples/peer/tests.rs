//! Tests that the protocol answers and that its answers are correct. Every cell has a second implementation of
//! the loss, in plain loops over the shared layout.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::{Value, json};

use crate::data::{self, Tensor, raw};
use crate::serve::Server;

const T: usize = 5;
const B: usize = 2;
const K: usize = 3;
const H: usize = 4;

fn ask(by_hand: bool, cell: &str, dtype: &str, what: &str) -> Value {
    let case = json!({
        "id": "x", "cell": cell, "T": T, "B": B, "K": K, "H": H,
        "dtype": dtype, "threads": 1, "what": what, "min_seconds": 0,
    });
    let answer = Server::new(by_hand).answer(&case.to_string());
    assert_eq!(answer["id"], "x", "{answer}");
    answer
}

fn number(answer: &Value, name: &str) -> f64 {
    let found = answer["checksum"][name].as_f64();
    found.unwrap_or_else(|| panic!("no `{name}` in {answer}"))
}

/// The parameters of a cell, row-major, each changed by `change(tensor, index)`.
struct Weights<'a> {
    columns: usize,
    change: &'a dyn Fn(Tensor, usize) -> f64,
}

impl Weights<'_> {
    fn get(&self, tensor: Tensor, index: usize) -> f64 {
        let scale = match tensor {
            Tensor::InputWeights => 1.0 / (K as f64).sqrt(),
            Tensor::StateWeights => 1.0 / (self.columns as f64).sqrt(),
            Tensor::Projection => 1.0 / (H as f64).sqrt(),
            _ => 0.1,
        };
        raw(tensor.seed(), index) * scale + (self.change)(tensor, index)
    }

    /// Row `row` of a matrix times a vector.
    fn row(&self, tensor: Tensor, row: usize, v: &[f64]) -> f64 {
        let product = |(j, x): (usize, &f64)| x * self.get(tensor, row * v.len() + j);
        v.iter().enumerate().map(product).sum()
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// One step: `[h, second state]`, each of length `H`, from the previous ones.
fn step(cell: &str, w: &Weights<'_>, x: &[f64], [h, c]: &[Vec<f64>; 2]) -> [Vec<f64>; 2] {
    use Tensor::{Bias, InputWeights, StateBias, StateWeights};
    let input = |g: usize, j: usize| w.row(InputWeights, g * H + j, x) + w.get(Bias, g * H + j);
    let state = |g: usize, j: usize, h: &[f64]| w.row(StateWeights, g * H + j, h);
    let a = |g: usize, j: usize| input(g, j) + state(g, j, h);
    let peep = |g: usize, j: usize| w.get(Tensor::Peepholes, g * H + j);
    let each = |f: &dyn Fn(usize) -> f64| (0..H).map(f).collect::<Vec<f64>>();
    match cell {
        "rnn_tanh" => [each(&|j| a(0, j).tanh()), c.clone()],
        "lstm" => {
            let c = each(&|j| sigmoid(a(1, j)) * c[j] + sigmoid(a(0, j)) * a(2, j).tanh());
            [each(&|j| sigmoid(a(3, j)) * c[j].tanh()), c]
        }
        "gru_reset_after" => {
            let u = |g: usize, j: usize| state(g, j, h) + w.get(StateBias, g * H + j);
            let h = each(&|j| {
                let r = sigmoid(input(0, j) + u(0, j));
                let z = sigmoid(input(1, j) + u(1, j));
                (1.0 - z) * (input(2, j) + r * u(2, j)).tanh() + z * h[j]
            });
            [h, c.clone()]
        }
        "custom_peephole" => {
            let next = each(&|j| {
                let i = sigmoid(a(0, j) + peep(0, j) * c[j]);
                let f = sigmoid(a(1, j) + peep(1, j) * c[j]);
                f * c[j] + i * a(2, j).tanh()
            });
            let h = each(&|j| sigmoid(a(3, j) + peep(2, j) * next[j]) * next[j].tanh());
            [h, next]
        }
        "custom_mgu" => {
            let f = each(&|j| sigmoid(a(0, j)));
            let fh = each(&|j| f[j] * h[j]);
            let h = each(&|j| {
                let n = (input(1, j) + state(1, j, &fh)).tanh();
                (1.0 - f[j]) * h[j] + f[j] * n
            });
            [h, c.clone()]
        }
        "custom_cproj" => {
            let next = each(&|j| {
                let f = sigmoid(a(0, j));
                f * c[j] + (1.0 - f) * a(1, j).tanh()
            });
            let m = each(&|j| sigmoid(a(2, j)) * next[j].tanh());
            let project = |j| w.row(Tensor::Projection, j, &m) + w.get(Tensor::ProjectionBias, j);
            [each(&|j| project(j).tanh()), next]
        }
        "custom_cornn" => {
            let both = [&h[..], c].concat();
            let u = each(&|j| (input(0, j) + state(0, j, &both)).tanh());
            let z = each(&|j| c[j] + 0.0625 * (u[j] - 2.75 * h[j] - 4.75 * c[j]));
            [each(&|j| h[j] + 0.0625 * z[j]), z]
        }
        other => panic!("no cell {other}"),
    }
}

/// The loss with parameters moved by `change`.
fn loss(cell: &str, change: &dyn Fn(Tensor, usize) -> f64) -> f64 {
    let columns = if cell == "custom_cornn" { 2 * H } else { H };
    let w = Weights { columns, change };
    let scale = 1.0 / ((T * B * H) as f64).sqrt();
    let mut loss = 0.0;
    for b in 0..B {
        let mut states = [vec![0.0; H], vec![0.0; H]];
        for t in 0..T {
            let place = t * B + b;
            let x: Vec<f64> = (0..K).map(|i| raw(data::INPUTS, place * K + i)).collect();
            states = step(cell, &w, &x, &states);
            for (j, h) in states[0].iter().enumerate() {
                loss += scale * raw(data::LOSS_WEIGHTS, place * H + j) * h;
            }
        }
    }
    loss
}

/// The derivative of the loss along `direction`, by central differences with Richardson extrapolation.
fn slope(cell: &str, direction: &dyn Fn(Tensor, usize) -> f64) -> f64 {
    let difference = |e: f64| {
        let at = |e: f64| loss(cell, &|tensor, i| e * direction(tensor, i));
        (at(e) - at(-e)) / (2.0 * e)
    };
    (4.0 * difference(5e-4) - difference(1e-3)) / 3.0
}

const CELLS: [&str; 7] = [
    "rnn_tanh",
    "lstm",
    "gru_reset_after",
    "custom_peephole",
    "custom_mgu",
    "custom_cproj",
    "custom_cornn",
];

#[test]
fn the_hash_is_the_published_one() {
    let found = [0, 1, 2, 3].map(|i| raw(1, i));
    let expected = [
        0.536_159_992_217_998_6,
        -0.981_759_786_605_835,
        -0.508_234_620_094_299_3,
        0.243_660_569_190_979,
    ];
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-11, "{found} and {expected}");
    }
}

#[test]
fn every_cell_is_the_one_asked_for() {
    for cell in CELLS {
        let answer = ask(false, cell, "f64", "gradient");
        let expected = loss(cell, &|_, _| 0.0);
        let close = |found: f64, expected: f64, tolerance: f64| {
            let error = (found - expected).abs() / expected.abs().max(0.1);
            assert!(error < tolerance, "{cell}: {found}, expected {expected}");
        };
        close(number(&answer, "loss"), expected, 1e-14);
        let forward = ask(false, cell, "f64", "forward");
        close(number(&forward, "loss"), expected, 1e-14);
        for (name, tensor, seed) in [
            ("dW_H_dot", Tensor::StateWeights, data::STATE_DIRECTION),
            ("dW_X_dot", Tensor::InputWeights, data::INPUT_DIRECTION),
        ] {
            let along = |t, i| if t == tensor { raw(seed, i) } else { 0.0 };
            close(number(&answer, name), slope(cell, &along), 1e-9);
        }
        let only = |wanted: &dyn Fn(Tensor) -> bool, count: usize| {
            let mut squares = 0.0;
            for tensor in [
                Tensor::Bias,
                Tensor::StateBias,
                Tensor::Peepholes,
                Tensor::Projection,
                Tensor::ProjectionBias,
            ] {
                for entry in (0..count).filter(|_| wanted(tensor)) {
                    let along = |t, i| f64::from(t == tensor && i == entry);
                    squares += slope(cell, &along).powi(2);
                }
            }
            squares.sqrt()
        };
        close(
            number(&answer, "db_norm"),
            only(&|t| t == Tensor::Bias, 4 * H),
            1e-9,
        );
        if !answer["checksum"]["dextra_norm"].is_null() {
            let extra = only(&|t| t != Tensor::Bias, 4 * H);
            close(number(&answer, "dextra_norm"), extra, 1e-9);
        }
    }
}

#[test]
fn single_precision_and_the_lstm_by_hand_agree() {
    for (by_hand, dtype, tolerance) in [(false, "f32", 1e-5), (true, "f64", 1e-13)] {
        let expected = ask(false, "lstm", "f64", "gradient");
        let found = ask(by_hand, "lstm", dtype, "gradient");
        for name in ["loss", "dW_H_norm", "dW_X_norm", "db_norm", "dW_H_dot"] {
            let error = (number(&found, name) - number(&expected, name)).abs();
            assert!(error < tolerance, "{name} of {dtype}: {error}");
        }
    }
}

#[test]
fn times_are_sorted_and_the_case_is_dropped() {
    let mut server = Server::new(false);
    let case = json!({
        "id": 7, "cell": "lstm", "T": 2, "B": 1, "K": 1, "H": 1, "dtype": "f64",
        "threads": 1, "what": "gradient", "min_seconds": 0.001, "no_checksum": true,
    });
    let answer = server.answer(&case.to_string());
    assert!(answer["runs"].as_u64().unwrap() >= 5, "{answer}");
    assert!(
        answer["min_ns"].as_u64().unwrap() <= answer["median_ns"].as_u64().unwrap(),
        "{answer}"
    );
    assert_eq!(answer["checksum"], json!({}), "{answer}");
    let dropped = server.answer(r#"{"id": 0, "cmd": "drop"}"#);
    assert_eq!(dropped, json!({ "id": 0, "ok": true }), "{dropped}");
}

#[test]
fn what_cannot_be_run_is_answered_with_a_reason() {
    let mut server = Server::new(true);
    let case = |cell: &str, field: &str, value: Value| {
        let mut case = json!({
            "id": 1, "cell": cell, "T": 2, "B": 1, "K": 1, "H": 1, "dtype": "f64",
            "threads": 1, "what": "gradient", "min_seconds": 0,
        });
        case[field] = value;
        case.to_string()
    };
    for (line, reason) in [
        ("{".to_owned(), "no JSON"),
        (case("lstm", "T", json!(0)), "`T` is 0"),
        (case("lstm", "B", json!("two")), "`B` is \"two\""),
        (case("lstm", "dtype", json!("f16")), "`dtype` is `f16`"),
        (case("lstm", "what", json!("all")), "`what` is `all`"),
        (case("garch", "T", json!(10)), "expected T = 1974"),
        (case("lstm", "H", json!(u64::MAX)), "more than 2^32"),
        (case("rnn_tanh", "T", json!(2)), "only the LSTM"),
    ] {
        let answer = server.answer(&line);
        let found = answer["unsupported"].as_str().unwrap();
        assert!(found.contains(reason), "{found}, expected {reason}");
    }
}
