//! The values of the losses, and the ranges of their sums and means.

use crate::support::engines::EveryEngine as _;
use bptt::{Batch, Definition, Expr, Params, Rate, Recurrence};
use ndarray::{Array2, Array3, arr0, array};

const FAR: f64 = 99.0;

/// Data of lengths 4 and 2; the entries beyond the second length must not count.
fn x() -> Array2<f64> {
    array![[1.0, 10.0], [2.0, 20.0], [3.0, FAR], [4.0, FAR]]
}

/// Checks the loss with lengths, and with the equivalent mask.
#[track_caller]
fn loss_is(expected: f64, write: impl for<'d> Fn(&'d Definition, [Expr<'d>; 3])) {
    let r = Recurrence::define("losses", |r| {
        let values = [r.input("x", ()), r.sample_input("s", ()), r.param("p", ())];
        write(r, values);
    })
    .expect("it is sound");
    let params = Params::new().with("p", arr0(0.5));
    let batch = Batch::new(4, 2).with("x", x()).with("s", array![7.0, 8.0]);
    let close = |found: f64| (found - expected).abs() <= 1e-14 * expected.abs();

    let lengths = batch.clone().with_lengths([4, 2]);
    let found = r.on_every_engine(&params, &lengths).expect("it fits");
    let found = found.loss().expect("there is a loss");
    assert!(close(found), "lengths: {found}, expected {expected}");

    let masked = r.with_mask("m").expect("it can be masked");
    let mask = x().mapv(|v| f64::from(v < FAR));
    let found = masked
        .on_every_engine(&params, &batch.with("m", mask))
        .expect("it fits");
    let found = found.loss().expect("there is a loss");
    assert!(close(found), "mask: {found}, expected {expected}");
}

#[test]
fn sums() {
    loss_is(40.0, |r, [x, _, _]| r.loss(x));
    loss_is(15.0, |r, [_, s, _]| r.loss(s));
    loss_is(0.5, |r, [_, _, p]| r.loss(p));
    loss_is(20.0, |r, [x, _, p]| r.loss(x * p));
}

#[test]
fn means() {
    loss_is(40.0 / 6.0, |r, [x, _, _]| r.mean_loss(x));
    loss_is(15.0 / 2.0, |r, [_, s, _]| r.mean_loss(s));
    loss_is(0.5, |r, [_, _, p]| r.mean_loss(p));
    loss_is((4.0 * 7.0 + 2.0 * 8.0) / 6.0, |r, [_, s, _]| {
        r.mean_loss(s.hold(Rate::Step));
    });
}

#[test]
fn final_values() {
    loss_is(24.0, |r, [x, _, _]| r.final_loss(x));
    loss_is(15.0, |r, [_, s, _]| r.final_loss(s));
    loss_is(0.5, |r, [_, _, p]| r.final_loss(p));
    loss_is(1.0, |r, [_, _, p]| r.final_loss(p.hold(Rate::Step)));
    loss_is(12.0, |r, [x, _, _]| r.mean_final_loss(x));
    loss_is(7.5, |r, [_, s, _]| r.mean_final_loss(s));
    loss_is(0.5, |r, [_, _, p]| r.mean_final_loss(p));
}

/// `T = 4`, `B = 3`, `p = 2`: the rate of a value alone determines how often it counts.
#[test]
fn a_loss_is_summed_over_what_it_varies_with() {
    let table = [
        // loss, mean loss, final loss, mean final loss
        ("p", [2.0, 2.0, 2.0, 2.0]),
        ("p + 0", [2.0, 2.0, 2.0, 2.0]),
        ("hold(p, sample)", [6.0, 2.0, 6.0, 2.0]),
        ("hold(p, step)", [24.0, 2.0, 6.0, 2.0]),
        ("p * h0", [12.0, 4.0, 12.0, 4.0]),
        ("p + 0 * h0", [6.0, 2.0, 6.0, 2.0]),
        ("hold(p * h0, step)", [48.0, 4.0, 12.0, 4.0]),
        ("p + 0 * x", [24.0, 2.0, 6.0, 2.0]),
        ("p * s'", [60.0, 5.0, 24.0, 8.0]),
        ("p * last(s')", [24.0, 8.0, 24.0, 8.0]),
        ("total(p * x)", [24.0, 24.0, 24.0, 24.0]),
    ];
    let statements = ["loss", "mean loss", "final loss", "mean final loss"];
    let params = Params::new().with("p", arr0(2.0));
    let batch = Batch::new(4, 3)
        .with("x", Array2::from_elem((4, 3), 1.0))
        .with("h0", array![1.0, 2.0, 3.0]);
    for (value, row) in table {
        for (statement, expected) in statements.into_iter().zip(row) {
            let text = format!(
                "input x\nsample input h0\nparam p\nstate s\ns' = s + x\n{statement} {value}\n"
            );
            let r = Recurrence::parse("table.rec", &text).expect("it is sound");
            let found = r.on_every_engine(&params, &batch).expect("it fits");
            let found = found.loss().expect("there is a loss");
            assert_eq!(found, expected, "{statement} {value}");
            // The canonical text has the same value, and is a fixed point of parsing and printing.
            let source = r.source().expect("it can be written");
            let again = Recurrence::parse("table.rec", &source).expect("it is read again");
            assert_eq!(again.source().expect("it can be written"), source);
            let found = again.evaluate(&params, &batch).expect("it fits");
            assert_eq!(found.loss(), Ok(expected), "{source}");
        }
    }
}

#[test]
fn several_losses_add_up() {
    loss_is(40.0 + 7.5 + 24.0 + 12.0, |r, [x, s, _]| {
        r.loss(x);
        r.mean_loss(s);
        r.final_loss(x);
        r.mean_final_loss(x);
    });
    loss_is(0.5 + 0.5, |r, [_, _, p]| {
        r.loss(p);
        r.loss(p);
    });
}

#[test]
fn a_final_state_is_that_of_the_last_active_step() {
    loss_is(10.0 + 30.0, |r, [x, _, _]| {
        let sum = r.state("sum", ());
        r.final_loss(r.next(sum, sum + x));
    });
}

/// The loss at one step of one sample, for two vectors `[3]` and a class.
fn once(f: impl for<'d> Fn(Expr<'d>, Expr<'d>, Expr<'d>) -> Expr<'d>) -> f64 {
    let r = Recurrence::define("once", |r| {
        r.loss(f(r.input("a", [3]), r.input("b", [3]), r.class("c", 3)));
    })
    .expect("it is sound");
    let at = |v: [f64; 3]| Array3::from_shape_fn((1, 1, 3), |(_, _, i)| v[i]);
    let batch = Batch::new(1, 1)
        .with("a", at(A))
        .with("b", at(B))
        .with_classes("c", Array2::from_elem((1, 1), 2));
    let found = r.on_every_engine(&Params::new(), &batch).expect("it fits");
    found.loss().expect("there is a loss")
}

const A: [f64; 3] = [0.3, -1.2, 0.8];
const B: [f64; 3] = [1.0, 0.0, 0.25];

#[track_caller]
fn close(found: f64, expected: f64) {
    assert!(
        (found - expected).abs() < 1e-14,
        "{found}, expected {expected}"
    );
}

#[test]
fn squared_error() {
    let plain: f64 = (0..3).map(|i| 0.5 * (A[i] - B[i]).powi(2)).sum();
    close(once(|a, b, _| a.squared_error(b)), plain);
}

#[test]
fn softmax_cross_entropy() {
    let all: f64 = A.iter().map(|a| a.exp()).sum();
    close(
        once(|a, _, c| a.softmax_cross_entropy(c)),
        -(A[2].exp() / all).ln(),
    );
}

#[test]
fn binary_cross_entropy() {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let one = |a: f64, y: f64| -y * sigmoid(a).ln() - (1.0 - y) * (1.0 - sigmoid(a)).ln();
    let plain: f64 = (0..3).map(|i| one(A[i], B[i])).sum();
    close(once(|a, b, _| a.binary_cross_entropy(b)), plain);
}
