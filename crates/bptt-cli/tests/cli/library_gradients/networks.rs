//! The networks of the library, as loops.

use super::data::Sample;
use super::dual::{Dual, V, dot, map, plus, product, times, zeros, zip};

/// `W x + U h + b`.
fn affine(s: &Sample<'_>, names: [&str; 3], suffix: &str, x: &V, h: &V) -> V {
    let [w, u, b] = names.map(|n| format!("{n}{suffix}"));
    let inner = plus(&times(&s.matrix(&w), x), &times(&s.matrix(&u), h));
    plus(&inner, &s.vector(&b))
}

fn elman(s: &Sample<'_>, activation: fn(Dual) -> Dual) -> Vec<V> {
    let mut h = zeros(s.vector("b_h").len());
    let mut states = Vec::new();
    for t in s.steps() {
        let a = affine(s, ["W_X", "W_H", "b_h"], "", &s.at("x", t), &h);
        h = map(&a, activation);
        states.push(h.clone());
    }
    states
}

/// Gers, Schmidhuber and Cummins (2000); with peepholes as in Graves (2013).
fn lstm(s: &Sample<'_>, suffix: &str, inputs: &[V], peepholes: bool) -> Vec<V> {
    let size = s.vector(&format!("b_i{suffix}")).len();
    let (mut h, mut c) = (zeros(size), zeros(size));
    let mut states = Vec::new();
    for x in inputs {
        let gate = |q: &str, cell: &V| {
            let [w, u, b, p] = ["W", "U", "b", "p"].map(|n| format!("{n}_{q}"));
            let a = affine(s, [&w, &u, &b], suffix, x, &h);
            match peepholes && q != "g" {
                true => plus(&a, &product(&s.vector(&p), cell)),
                false => a,
            }
        };
        let i = map(&gate("i", &c), Dual::sigmoid);
        let f = map(&gate("f", &c), Dual::sigmoid);
        let g = map(&gate("g", &c), Dual::tanh);
        let after = plus(&product(&f, &c), &product(&i, &g));
        let o = map(&gate("o", &after), Dual::sigmoid);
        h = product(&o, &map(&after, Dual::tanh));
        c = after;
        states.push(h.clone());
    }
    states
}

/// Cho et al. (2014), and the variant of PyTorch, which resets after the product.
fn gru(s: &Sample<'_>, inputs: &[V], reset_after: bool) -> Vec<V> {
    let mut h = zeros(s.vector("b_n").len());
    let mut states = Vec::new();
    for x in inputs {
        let r = map(&affine(s, ["W_r", "U_r", "b_r"], "", x, &h), Dual::sigmoid);
        let z = map(&affine(s, ["W_z", "U_z", "b_z"], "", x, &h), Dual::sigmoid);
        let a = if reset_after {
            let u = plus(&times(&s.matrix("U_n"), &h), &s.vector("b_u"));
            let w = plus(&times(&s.matrix("W_n"), x), &s.vector("b_n"));
            plus(&w, &product(&r, &u))
        } else {
            affine(s, ["W_n", "U_n", "b_n"], "", x, &product(&r, &h))
        };
        let n = map(&a, Dual::tanh);
        let kept = product(&z, &h);
        h = plus(&zip(&z, &n, |z, n| (-z + 1.0) * n), &kept);
        states.push(h.clone());
    }
    states
}

fn readout(s: &Sample<'_>, h: &V) -> V {
    plus(&times(&s.matrix("W_O"), h), &s.vector("b_q"))
}

/// The sum of `½ ‖o − y‖²`.
fn follow(s: &Sample<'_>, states: &[V]) -> Dual {
    let error = |(t, h): (usize, &V)| {
        let e = zip(&readout(s, h), &s.at("y", t), |o, y| o - y);
        dot(&e, &e) * 0.5
    };
    states.iter().enumerate().map(error).sum()
}

/// The sum of `−ln softmax(o)_y`.
fn classify(s: &Sample<'_>, states: &[V]) -> Dual {
    let surprise = |(t, h): (usize, &V)| {
        let weights = map(&readout(s, h), Dual::exp);
        let all: Dual = weights.iter().copied().sum();
        -(weights[s.class("y", t)] / all).ln()
    };
    states.iter().enumerate().map(surprise).sum()
}

pub(crate) fn rnn(s: &Sample<'_>) -> Dual {
    follow(s, &elman(s, Dual::tanh))
}

pub(crate) fn rnn_relu(s: &Sample<'_>) -> Dual {
    follow(s, &elman(s, Dual::relu))
}

pub(crate) fn lstm_plain(s: &Sample<'_>) -> Dual {
    classify(s, &lstm(s, "", &s.all("x"), false))
}

pub(crate) fn lstm_peephole(s: &Sample<'_>) -> Dual {
    classify(s, &lstm(s, "", &s.all("x"), true))
}

pub(crate) fn lstm_stacked(s: &Sample<'_>) -> Dual {
    let first = lstm(s, "_1", &s.all("x"), false);
    classify(s, &lstm(s, "_2", &first, false))
}

pub(crate) fn lstm_bidirectional(s: &Sample<'_>) -> Dual {
    let mut inputs = s.all("x");
    let mut states = lstm(s, "_fw", &inputs, false);
    inputs.reverse();
    let backward = lstm(s, "_bw", &inputs, false).into_iter().rev();
    for (state, more) in states.iter_mut().zip(backward) {
        state.extend(more);
    }
    classify(s, &states)
}

pub(crate) fn gru_reset_after(s: &Sample<'_>) -> Dual {
    classify(s, &gru(s, &s.all("x"), true))
}

pub(crate) fn gru_reset_before(s: &Sample<'_>) -> Dual {
    classify(s, &gru(s, &s.all("x"), false))
}

pub(crate) fn characters(s: &Sample<'_>) -> Dual {
    let embedding = s.matrix("E");
    let inputs: Vec<V> = s
        .steps()
        .map(|t| embedding[s.class("x", t)].clone())
        .collect();
    classify(s, &gru(s, &inputs, false))
}

/// Srajer, Kukelova and Fitzgibbon (2018), with two layers.
pub(crate) fn gradbench_lstm(s: &Sample<'_>) -> Dual {
    let layer = |l: usize, x: &V, h: &mut V, c: &mut V| {
        let gate = |q: &str, of: &V| {
            let weighted = product(of, &s.vector(&format!("w_{q}_{l}")));
            plus(&weighted, &s.vector(&format!("b_{q}_{l}")))
        };
        let forget = map(&gate("f", x), Dual::sigmoid);
        let ingate = map(&gate("i", h), Dual::sigmoid);
        let change = map(&gate("g", h), Dual::tanh);
        let outgate = map(&gate("o", x), Dual::sigmoid);
        *c = plus(&product(c, &forget), &product(&ingate, &change));
        *h = product(&outgate, &map(c, Dual::tanh));
    };
    let (mut h1, mut c1) = (s.once("h0_1"), s.once("c0_1"));
    let (mut h2, mut c2) = (s.once("h0_2"), s.once("c0_2"));
    let mut loss = Dual::default();
    for t in s.steps() {
        layer(
            1,
            &product(&s.at("x", t), &s.vector("in_weight")),
            &mut h1,
            &mut c1,
        );
        layer(2, &h1, &mut h2, &mut c2);
        let o = plus(
            &product(&h2, &s.vector("out_weight")),
            &s.vector("out_bias"),
        );
        let normaliser = (map(&o, Dual::exp).into_iter().sum::<Dual>() + 2.0).ln();
        let bits = f64::from(u32::try_from(o.len()).expect("they are few"));
        let likelihood: Dual = zip(&o, &s.at("y", t), |o, y| (o - normaliser) * y)
            .into_iter()
            .sum();
        loss = loss - likelihood / bits;
    }
    loss
}

/// Neftci, Mostafa and Zenke (2019): a spike has the derivative `1 / (1 + 10 |v|)²`.
pub(crate) fn spiking(s: &Sample<'_>) -> Dual {
    let spike = |v: Dual| Dual {
        value: f64::from(u8::from(v.value > 0.0)),
        slope: v.slope / (1.0 + 10.0 * v.value.abs()).powi(2),
    };
    let [decay, leak] = ["ln_decay", "ln_leak"].map(|n| (-s.number(n).exp()).exp());
    let size = s.matrix("V").len();
    let (mut i, mut u, mut spikes) = (zeros(size), zeros(size), zeros(size));
    let mut o = zeros(s.matrix("W_o").len());
    for t in s.steps() {
        let driven = plus(
            &times(&s.matrix("W"), &s.at("x", t)),
            &times(&s.matrix("V"), &spikes),
        );
        i = zip(&i, &driven, |i, d| decay * i + d);
        let kept = zip(&u, &spikes, |u, s| leak * u * (1.0 - s.value));
        u = zip(&kept, &i, |u, i| u + (-leak + 1.0) * i);
        spikes = map(&u, |u| spike(u - 1.0));
        o = plus(&o, &times(&s.matrix("W_o"), &spikes));
    }
    let all = o.iter().map(|o| o.exp()).sum::<Dual>();
    all.ln() - o[s.class_once("label")]
}

/// Attention over the states of the last 1 + L steps, as a list.
pub(crate) fn attention(s: &Sample<'_>) -> Dual {
    let (queries, keys, lags) = (s.matrix("W_Q"), s.matrix("W_K"), s.vector("lags"));
    let size = f64::from(u32::try_from(keys.len()).expect("it is small"));
    let mut states: Vec<V> = Vec::new();
    for t in s.steps() {
        let x = s.at("x", t);
        let query = times(&queries, &x);
        // The latest comes first.
        let past: Vec<&V> = states.iter().rev().take(lags.len()).collect();
        let score =
            |(h, lag): (&&V, &Dual)| (dot(&times(&keys, h), &query) / size.sqrt() + *lag).exp();
        let scores: V = past.iter().zip(&lags).map(score).collect();
        let all = scores.iter().copied().sum::<Dual>();
        let mut context = zeros(keys.len());
        for (h, score) in past.iter().zip(&scores) {
            context = zip(&context, h, |c, h| c + h * *score / all);
        }
        let a = affine(s, ["W_X", "W_H", "b_h"], "", &x, &context);
        states.push(map(&a, Dual::tanh));
    }
    follow(s, &states)
}

/// A step of Runge and Kutta from each observation to the next.
pub(crate) fn neural_ode(s: &Sample<'_>) -> Dual {
    let (w1, b1, w2, b2) = (
        s.matrix("W_1"),
        s.vector("b_1"),
        s.matrix("W_2"),
        s.vector("b_2"),
    );
    let slope = |z: &V| {
        plus(
            &times(&w2, &map(&plus(&times(&w1, z), &b1), Dual::tanh)),
            &b2,
        )
    };
    let mut z = s.vector("z0");
    let mut loss = Dual::default();
    for t in s.steps() {
        let dt = s.number_at("dt", t);
        let moved = |k: &V, part: f64| zip(&z, k, |z, k| z + dt * k * part);
        let k1 = slope(&z);
        let k2 = slope(&moved(&k1, 0.5));
        let k3 = slope(&moved(&k2, 0.5));
        let k4 = slope(&moved(&k3, 1.0));
        let outer = plus(&k1, &k4);
        let all = zip(&outer, &plus(&k2, &k3), |a, b| a + b * 2.0);
        z = moved(&all, 1.0 / 6.0);
        let e = zip(&z, &s.at("seen", t), |z, y| z - y);
        loss = loss + dot(&e, &e) * 0.5;
    }
    loss
}
