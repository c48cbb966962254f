//! Data that does not fit its recurrence is refused before anything is computed, in words.

use bptt::{Batch, Error, Params, Recurrence};
use ndarray::{Array1, Array2, Array3, ArrayD, IxDyn};
use proptest::prelude::*;

fn model() -> Recurrence {
    Recurrence::define("model", |r| {
        let (h, k) = (r.dim("H"), r.dim("K"));
        let (w, u) = (r.param("W", [h, k]), r.param("U", [h, h]));
        let (x, c) = (r.input("x", [k]), r.class("c", h));
        let s = r.state_from("s", r.sample_input("s0", [h]));
        let s = r.next(s, (u.dot(s) + w.dot(x)).tanh());
        r.loss(s.gather(c));
    })
    .expect("it is sound")
}

/// H = 2, K = 3, T = 4, B = 2.
fn params() -> Params<f64> {
    Params::new()
        .with("W", Array2::from_elem((2, 3), 0.5))
        .with("U", Array2::from_elem((2, 2), 0.1))
}

fn batch() -> Batch<f64> {
    batch_of(4, 2)
}

fn batch_of(t: usize, b: usize) -> Batch<f64> {
    Batch::new(t, b)
        .with("x", Array3::from_elem((t, b, 3), 0.3))
        .with("s0", Array2::from_elem((b, 2), 0.2))
        .with_classes("c", Array2::from_elem((t, b), 1))
}

#[track_caller]
fn refused(p: &Params<f64>, b: &Batch<f64>, words: &[&str]) -> Error {
    let error = model().evaluate(p, b).expect_err("the data does not fit");
    let text = error.to_string();
    assert!(
        words.iter().all(|w| text.contains(w)),
        "{words:?} not in {text}"
    );
    error
}

#[test]
fn good_data_is_accepted() {
    assert!(model().evaluate(&params(), &batch()).is_ok(), "it fits");
}

#[test]
fn shapes_and_names() {
    let (p, b) = (params(), batch());
    refused(
        &p.clone().with("W", Array1::<f64>::zeros(3)),
        &b,
        &["parameter `W`", "[H, K]", "[3]"],
    );
    refused(
        &p,
        &b.clone().with("x", Array2::<f64>::zeros((4, 3))),
        &["`x`", "[T, B, K]", "[4, 3]"],
    );
    refused(
        &p,
        &b.clone().with("x", Array3::<f64>::zeros((5, 2, 3))),
        &["`x`", "T = 4", "[5, 2, 3]"],
    );
    refused(
        &p.clone().with("V", Array1::<f64>::zeros(3)),
        &b,
        &["no parameter named `V`"],
    );
    refused(
        &p,
        &b.clone().with("s00", Array1::<f64>::zeros(3)),
        &["no input named `s00`", "did you mean `s0`"],
    );
    refused(&p, &b.clone().size("J", 3), &["no dimension named `J`"]);
    refused(&Params::new(), &b, &["parameter `W` is missing", "[H, K]"]);
    refused(
        &p,
        &Batch::new(4, 2),
        &["input `x` is missing", "[T, B, K]"],
    );
    let error = refused(
        &p,
        &b.clone().with("x", Array3::<f64>::zeros((4, 2, 5))),
        &["dimension K is 3 in `W` but 5 in `x`"],
    );
    assert!(matches!(error, Error::DimConflict { .. }), "{error:?}");
    refused(
        &p.clone().with("U", Array2::<f64>::zeros((2, 3))),
        &b,
        &["dimension H is 2 in `W` but 3 in `U`"],
    );
    refused(
        &p,
        &b.clone().size("K", 7),
        &["dimension K is 7 in `Batch::size` but 3 in `W`"],
    );
}

#[test]
fn numbers_that_are_not_finite() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut p = params();
        p.get_mut("W").expect("it is there")[[1, 2]] = bad;
        refused(
            &p,
            &batch(),
            &["parameter `W` is not finite", "[1, 2]", &bad.to_string()],
        );
        let mut b = batch();
        b.get_mut("x").expect("it is there")[[3, 1, 0]] = bad;
        refused(&params(), &b, &["input `x` is not finite", "[3, 1, 0]"]);
        let shorter = b.with_lengths([4, 3]);
        assert!(
            model().evaluate(&params(), &shorter).is_ok(),
            "beyond the length nothing is read"
        );
        let mut b = batch().with_lengths([4, 3]);
        b.get_mut("s0").expect("it is there")[[1, 1]] = bad;
        refused(&params(), &b, &["input `s0` is not finite", "[1, 1]"]);
    }
}

#[test]
fn empty_batches_and_bad_lengths() {
    refused(&params(), &batch_of(0, 2), &["no steps", "T = 0"]);
    refused(&params(), &batch_of(4, 0), &["no samples", "B = 0"]);
    refused(
        &params(),
        &batch().with_lengths([4]),
        &["expected 2 lengths, found 1"],
    );
    refused(
        &params(),
        &batch().with_lengths([4, 0]),
        &["length of sample 1 is 0", "1 to 4"],
    );
    refused(
        &params(),
        &batch().with_lengths([5, 4]),
        &["length of sample 0 is 5"],
    );
}

#[test]
fn classes() {
    let mut c = Array2::from_elem((4, 2), 1);
    c[[2, 1]] = 2;
    let b = batch().with_classes("c", c);
    refused(&params(), &b, &["`c`", "[2, 1]", "class 2", "0 to 1"]);
    assert!(
        model().evaluate(&params(), &b.with_lengths([4, 2])).is_ok(),
        "it lies beyond"
    );
    let real = batch().with("c", Array2::<f64>::zeros((4, 2)));
    refused(&params(), &real, &["`c`", "expected classes, found real"]);
    let class = batch().with_classes("x", Array3::zeros((4, 2, 3)));
    refused(
        &params(),
        &class,
        &["`x`", "expected real numbers, found classes"],
    );
}

#[test]
fn sizes() {
    let zero = params().with("W", Array2::<f64>::zeros((2, 0)));
    let b = batch().with("x", Array3::<f64>::zeros((4, 2, 0)));
    refused(&zero, &b, &["dimension K is 0", "at least 1"]);
    let r = Recurrence::define("unknown", |r| {
        let one = r.param("p", ()).spread([r.dim("N")]);
        r.loss(one.sum());
    })
    .expect("it is sound");
    let p = Params::new().with("p", ndarray::arr0(1.5));
    let error = r
        .evaluate(&p, &Batch::new(1, 1))
        .expect_err("N is not known");
    assert!(
        error.to_string().contains("dimension N cannot be read off"),
        "{error}"
    );
    assert!(error.to_string().contains("Batch::size"), "{error}");
    let out = r
        .evaluate(&p, &Batch::new(1, 1).size("N", 4))
        .expect("N is given");
    assert_eq!(out.loss(), Ok(6.0), "4 times 1.5");
}

#[test]
fn overflow_is_named() {
    let r = Recurrence::define("growth", |r| {
        let s = r.state_from("s", r.sample_input("s0", ()));
        let s = r.next(s, s.square().named("big"));
        r.loss(s);
    })
    .expect("it is sound");
    let b = Batch::new(4, 2).with("s0", ndarray::array![1.0, 1e100]);
    let error = r
        .evaluate(&Params::new(), &b)
        .expect_err("it overflows at step 2");
    assert!(matches!(error, Error::NonFiniteValue { .. }), "{error:?}");
    let text = error.to_string();
    for word in ["s^2", "inf", "step 2", "sample 1"] {
        assert!(text.contains(word), "{word} in {text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn junk_never_panics(
        t in 0_usize..4,
        b in 0_usize..4,
        shapes in prop::collection::vec(prop::collection::vec(0_usize..4, 0..4), 5),
        lengths in prop::option::of(prop::collection::vec(0_usize..5, 0..4)),
        skip in 0_usize..8,
        class_as_real in any::<bool>(),
    ) {
        let zeros = |i: usize| ArrayD::<f64>::zeros(IxDyn(&shapes[i]));
        let mut p = Params::new().with("W", zeros(0));
        if skip != 0 {
            p.insert("U", zeros(1));
        }
        let mut data = Batch::new(t, b).with("x", zeros(2)).with("s0", zeros(3));
        data = if class_as_real {
            data.with("c", zeros(4))
        } else {
            data.with_classes("c", ArrayD::from_elem(IxDyn(&shapes[4]), skip))
        };
        if let Some(lengths) = lengths {
            data = data.with_lengths(lengths);
        }
        if let Err(error) = model().evaluate(&p, &data) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
