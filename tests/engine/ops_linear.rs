//! The rows of the op table that are not pointwise: value, `f32`, tangent, transpose, second derivatives and
//! printing. For the pointwise rows and the accuracy of the reductions see `ops.rs`.

mod cases;

use crate::support::Noise;
use crate::support::engines::EveryEngine as _;
use crate::support::rows::{
    self, Data, LENGTHS, check_derivatives, check_single, is_silent, point, printed,
};
use bptt::{Axis, Batch, Definition, Expr, Op, Params, Rate, Recurrence, concat, ops};
use ndarray::{Array4, ArrayD, concatenate};

use cases::CASES;

/// An application of a row.
struct Case {
    /// The row, as named by [`key`].
    row: &'static str,
    /// Defines the output `y` and, for the derivatives, a loss. A row that cannot be written by hand is the
    /// cotangent of `a` when `y` has cotangent `y.bar`.
    define: fn(&Definition),
    /// The printed text.
    text: &'static str,
    /// The value, by plain loops.
    loops: fn(&Data) -> ArrayD<f64>,
}

/// The name of a row in the table; time ops have a row for each setting.
fn key(op: &Op) -> Option<String> {
    match op {
        Op::Linear(_) | Op::Reduce(_) => Some(op.name().to_owned()),
        Op::Time(time) => Some(format!("{time:?}")),
        _ => None,
    }
}

fn y(r: &Definition, y: Expr<'_>) {
    r.output("y", y);
    r.loss(y.square().sum());
}

fn array(shape: &[usize], f: impl Fn(&[usize]) -> f64) -> ArrayD<f64> {
    ArrayD::from_shape_fn(shape, |i| f(ndarray::Dimension::slice(&i)))
}

/// A value at each step of each sample, zero beyond its length.
fn steps(own: &[usize], f: impl Fn(usize, usize, &[usize]) -> f64) -> ArrayD<f64> {
    array(&[&[3, 2], own].concat(), |i| {
        if i[0] < LENGTHS[i[1]] {
            f(i[0], i[1], &i[2..])
        } else {
            0.0
        }
    })
}

fn scalar(x: f64) -> ArrayD<f64> {
    ndarray::arr0(x).into_dyn()
}

fn exp_sum(d: &Data) -> f64 {
    d.array("a").iter().map(|a| a.exp()).sum()
}

fn class(d: &Data, t: usize, b: usize) -> usize {
    d.1.classes("c").expect("it is there")[[t, b]]
}

impl Case {
    fn definition(&self) -> Recurrence {
        Recurrence::define("row", self.define).expect("it is sound")
    }

    /// A recurrence that contains the row, the output that shows it, and data.
    fn shown(&self) -> (Recurrence, &'static str, Data) {
        let r = self.definition();
        let x = point(&r, &[]);
        if !self.text.contains("y.bar") {
            return (r, "y", x);
        }
        let pullback = r.pullback(&["y"], &["a"]).expect("it has one");
        let x = rows::directions(&pullback, x, ".bar", &mut Noise(3));
        (pullback, "a", x)
    }
}

fn every_row() -> impl Iterator<Item = Op> {
    let linear = ops::Linear::ALL.iter().map(|o| Op::Linear(*o));
    let reduce = ops::Reduce::ALL.iter().map(|o| Op::Reduce(*o));
    let time = ops::Time::ALL.iter().map(|o| Op::Time(*o));
    linear.chain(reduce).chain(time)
}

/// The other tests iterate over the cases, so only this test fails for a row without one.
#[test]
fn every_row_has_a_case_in_which_it_occurs() {
    for op in every_row() {
        let row = key(&op).expect("a row");
        assert!(CASES.iter().any(|c| c.row == row), "`{row}` has no case");
    }
    for case in CASES {
        let (r, _, _) = case.shown();
        let occurs = r
            .tape()
            .nodes()
            .any(|(_, n)| key(n.op()).as_deref() == Some(case.row));
        assert!(occurs, "`{}` does not occur in\n{}", case.row, r.tape());
    }
}

#[test]
fn derivatives_of_every_row() {
    for case in CASES {
        check_derivatives(&case.definition(), &[]);
    }
}

/// The tolerance covers sums of at most six terms of size 1.
#[test]
fn values_are_those_of_plain_loops() {
    for case in CASES {
        let (r, output, x) = case.shown();
        let (found, expected) = (x.run(&r)[output].clone(), (case.loops)(&x));
        assert_eq!(found.shape(), expected.shape(), "{r}");
        for (a, b) in found.iter().zip(&expected) {
            assert!((a - b).abs() <= 8.0 * f64::EPSILON, "{r}: {a}, not {b}");
        }
        assert!(expected.iter().any(|y| *y != 0.0), "{r} is not all zeros");
    }
}

#[test]
fn single_precision_is_close_to_double_precision() {
    for case in CASES {
        let (r, output, x) = case.shown();
        check_single(&r, output, &x);
    }
}

#[test]
fn every_row_is_printed_as_it_is_written() {
    for case in CASES {
        let (r, output, _) = case.shown();
        assert_eq!(printed(&r, output), case.text, "{}", case.row);
    }
    // A scalar beside an array, a value beside one of a faster rate, and a second name for a value are printed
    // without a word.
    let silent = |op: &Op| matches!(op.name(), "hold" | "broadcast" | "alias");
    for op in every_row() {
        assert_eq!(is_silent(&op), silent(&op), "{op:?}");
    }
    for case in CASES {
        for (_, node) in case.shown().0.tape().nodes() {
            if key(node.op()).is_some() && is_silent(node.op()) {
                assert!(silent(node.op()), "{:?}", node.op());
            }
        }
    }
}

/// The sum over steps and samples of matrices side by side contains each of them.
#[test]
fn total_of_matrices_side_by_side() {
    let text = "input x[2, 3], y[2, 1]\noutput s = total(concat_columns(x, y))\n";
    let r = Recurrence::parse("joined", text).unwrap();
    let number = |(t, b, i, j): (usize, usize, usize, usize)| (t + 4 * b + 20 * i + 50 * j) as f64;
    let x = Array4::from_shape_fn((4, 2, 2, 3), number);
    let y = Array4::from_shape_fn((4, 2, 2, 1), |at| 0.5 * number(at) - 9.0);
    let all = concatenate![ndarray::Axis(3), x, y];
    let sum = all.sum_axis(ndarray::Axis(0)).sum_axis(ndarray::Axis(0));
    let batch = Batch::new(4, 2).with("x", x).with("y", y);
    let found = r.on_every_engine(&Params::new(), &batch).unwrap();
    assert_eq!(found["s"], sum.into_dyn());
}
