//! Data that does not fit the recurrence is refused with a message before anything is computed.

use std::sync::Arc;

use crate::support::engines::EveryEngine as _;
use bptt::{Batch, CustomOp, Error, Expr, Params, Recurrence, Shape, Wrt};
use ndarray::{Array1, Array2, Array3, ArrayD, ArrayViewD, IxDyn, arr0};
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

/// Parameters for H = 2, K = 3, T = 4, B = 2.
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
    let error = model()
        .on_every_engine(p, b)
        .expect_err("the data does not fit");
    let text = error.to_string();
    assert!(
        words.iter().all(|w| text.contains(w)),
        "{words:?} not in {text}"
    );
    error
}

#[test]
fn good_data_is_accepted() {
    assert!(
        model().on_every_engine(&params(), &batch()).is_ok(),
        "it fits"
    );
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
        refused(
            &params(),
            &b,
            &["input `x` is not finite", "step 3, sample 1, entry [0]"],
        );
        let shorter = b.with_lengths([4, 3]);
        assert!(
            model().on_every_engine(&params(), &shorter).is_ok(),
            "beyond the length nothing is read"
        );
        let mut b = batch().with_lengths([4, 3]);
        b.get_mut("s0").expect("it is there")[[1, 1]] = bad;
        let words = [
            "sample input `s0` is not finite",
            "sample 1, entry [1]",
            "`select(known, x, 0)`",
        ];
        refused(&params(), &b, &words);
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
    refused(
        &params(),
        &b,
        &["`c`", "step 2, sample 1", "class 2", "0 to 1"],
    );
    assert!(
        model()
            .on_every_engine(&params(), &b.with_lengths([4, 2]))
            .is_ok(),
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
    let p = Params::new().with("p", arr0(1.5));
    let error = r
        .on_every_engine(&p, &Batch::new(1, 1))
        .expect_err("N is not known");
    assert!(
        error.to_string().contains("dimension N cannot be inferred"),
        "{error}"
    );
    assert!(error.to_string().contains("Batch::size"), "{error}");
    let out = r
        .on_every_engine(&p, &Batch::new(1, 1).size("N", 4))
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
        .on_every_engine(&Params::new(), &b)
        .expect_err("it overflows at the second step");
    assert!(matches!(error, Error::NonFiniteValue { .. }), "{error:?}");
    let text = error.to_string();
    for word in ["s^2", "inf", "step 1 of sample 1", "from 0"] {
        assert!(text.contains(word), "{word} in {text}");
    }
}

/// An op that refuses odd sizes, which depend on the data, or returns another shape for them.
#[derive(Debug)]
struct Moody {
    refuses: bool,
}

impl CustomOp for Moody {
    fn name(&self) -> &str {
        "moody"
    }
    fn shape(&self, args: &[Shape]) -> Result<Shape, String> {
        match args[0] {
            Shape::Vector(n) if n.as_fixed().is_some_and(|n| n % 2 == 1) => {
                if self.refuses {
                    Err("the size is odd".into())
                } else {
                    Ok(Shape::Scalar)
                }
            }
            shape => Ok(shape),
        }
    }
    fn eval(&self, args: &[ArrayViewD<'_, f64>]) -> ArrayD<f64> {
        args[0].to_owned()
    }
    fn tangent<'b>(
        &self,
        _: &[Expr<'b>],
        _: Expr<'b>,
        x_dot: &[Option<Expr<'b>>],
    ) -> Option<Expr<'b>> {
        x_dot[0]
    }
}

#[test]
fn a_custom_op_may_refuse_the_sizes_of_the_data() {
    for (refuses, words) in [(true, "the size is odd"), (false, "expected shape [3]")] {
        let op: Arc<dyn CustomOp> = Arc::new(Moody { refuses });
        let r = Recurrence::define("moody", |r| {
            let y = Expr::custom(&op, [r.param("p", [r.dim("H")])]);
            r.output("y", y);
            r.loss(y.sum());
        })
        .expect("it is sound as far as can be seen");
        let batch = Batch::new(1, 1);
        let of = |n: usize| Params::new().with("p", Array1::from_elem(n, 1.5));
        assert!(r.on_every_engine(&of(2), &batch).is_ok(), "2 is even");
        let error = r.on_every_engine(&of(3), &batch).expect_err("3 is odd");
        assert!(matches!(error, Error::CustomOp { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("moody") && text.contains(words), "{text}");
        assert!(
            bptt::check(&r, &of(3), &batch).is_err(),
            "neither can be checked"
        );
    }
}

#[test]
fn sizes_that_are_too_large() {
    let r = Recurrence::define("large", |r| {
        let h = r.dim("H");
        r.output("y", r.param("p", ()).spread([h * 4, h]).sum());
    })
    .expect("it is sound");
    let p = Params::new().with("p", arr0(1.5));
    for size in [5_000_000_000, usize::MAX / 2, usize::MAX, 2_000_000_000] {
        let batch = Batch::new(1, 1).size("H", size);
        let error = r.on_every_engine(&p, &batch).expect_err("too large");
        assert!(matches!(error, Error::Batch { .. }), "{error:?}");
        assert!(error.to_string().contains("too large"), "{error}");
    }
    // Each size is valid, but not the product with T and B.
    let each = Recurrence::define("each", |r| {
        let h = r.dim("H");
        let x = r.input("x", ());
        r.output("y", x.spread([h, h]).sum());
    })
    .expect("it is sound");
    let batch = Batch::new(2, 1)
        .with("x", Array2::<f64>::ones((2, 1)))
        .size("H", 1_000_000_000);
    let error = each
        .on_every_engine(&Params::new(), &batch)
        .expect_err("too large");
    assert!(error.to_string().contains("too large"), "{error}");
    for (steps, samples) in [(usize::MAX, 2), (2, usize::MAX), (70_000, 70_000)] {
        let batch = Batch::new(steps, samples).size("H", 2);
        let error = r.on_every_engine(&p, &batch).expect_err("too many steps");
        assert!(matches!(error, Error::Batch { .. }), "{error:?}");
        assert!(error.to_string().contains("too many steps"), "{error}");
    }
    // A given size is compared with arrays without overflow.
    let w = Recurrence::define("w", |r| {
        r.output("y", r.param("w", [r.dim("H") * 4]));
    })
    .expect("it is sound");
    let p = Params::new().with("w", Array1::from_elem(8, 1.0));
    let batch = Batch::new(1, 1).size("H", usize::MAX / 2);
    let error = w.on_every_engine(&p, &batch).expect_err("too large");
    assert!(error.to_string().contains("too large"), "{error}");
}

#[test]
fn arrays_may_have_room_for_more_steps_than_there_are() {
    let r = Recurrence::define("room", |r| {
        let h = r.state("h", ());
        let h = r.next(h, (r.param("w", ()) * h + r.input("x", ())).tanh());
        r.loss(h.square());
        r.output("h", h);
    })
    .expect("it is sound");
    let params = Params::new().with("w", arr0(0.5));
    let x = Array2::from_shape_fn((5, 2), |(t, b)| if t < 3 - b { 0.3 } else { f64::NAN });
    let batch = Batch::new(5, 2).with("x", x).with_lengths([3, 2]);
    let gradient = r.gradient(Wrt::Everything).expect("it has a loss");
    let routes = [
        gradient.on_every_engine(&params, &batch),
        r.unroll_for(&params, &batch)
            .and_then(|u| u.gradient(Wrt::Everything))
            .and_then(|u| u.evaluate(&params, &batch)),
    ];
    for found in routes {
        let found = found.expect("it fits");
        assert_eq!(found["x"].shape(), [5, 2], "as the input");
        assert_ne!(found["x"][[2, 0]], 0.0, "the last step counts");
        assert_eq!(found["x"][[2, 1]], 0.0, "beyond the second length");
        assert_eq!(found["x"][[4, 0]], 0.0, "beyond both");
    }
    let outputs = r.on_every_engine(&params, &batch).expect("it fits");
    assert_eq!(outputs["h"].shape(), [5, 2], "as the batch");
    let shorter = Batch::new(3, 2)
        .with("x", Array2::from_elem((3, 2), 0.3))
        .with_lengths([3, 2]);
    let error = r
        .unroll_for(&params, &batch)
        .and_then(|u| u.evaluate(&params, &shorter))
        .expect_err("unrolled for another T");
    assert!(error.to_string().contains("T = 5, found T = 3"), "{error}");
    let finite = Batch::new(5, 2)
        .with("x", Array2::from_elem((5, 2), 0.3))
        .with_lengths([3, 2]);
    bptt::check(&r, &params, &finite).expect("it can be certified");
}

#[test]
fn without_a_loss_there_is_no_gradient() {
    let r = Recurrence::define("none", |r| r.output("y", r.param("p", ()))).expect("sound");
    let p = Params::new().with("p", arr0(1.5));
    let b = Batch::new(1, 1);
    let none = |error: Error| assert!(matches!(error, Error::NoLoss { .. }), "{error:?}");
    none(r.gradient(Wrt::Parameters).expect_err("no loss"));
    none(bptt::check(&r, &p, &b).map(|_| ()).expect_err("no loss"));
    let unrolled = r.unroll_for(&p, &b).expect("it fits");
    none(unrolled.gradient(Wrt::Parameters).expect_err("no loss"));
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
        if let Err(error) = model().on_every_engine(&p, &data) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}

/// The message says what to write instead, and each of its remedies works.
#[test]
fn a_missing_number_that_select_would_not_use() {
    let text = "param p\ninput x, known\nloss select(known, p * sqrt(x), 0)\n";
    let r = Recurrence::parse("missing", text).unwrap();
    let column = |x: [f64; 3]| Array2::from_shape_vec((3, 1), x.to_vec()).unwrap();
    let of = |missing: f64| {
        Batch::new(3, 1)
            .with("x", column([4.0, missing, 9.0]))
            .with("known", column([1.0, 0.0, 1.0]))
    };
    let given = |p: f64| Params::new().with("p", arr0(p));
    let gradient = r.gradient(Wrt::Everything).unwrap();
    let run = |r: &Recurrence, p: f64, batch: &Batch<f64>| {
        let slow = r.evaluate(&given(p), batch);
        let fast = r.compile::<f64>(&[]).unwrap().evaluate(&given(p), batch);
        assert_eq!(slow.is_ok(), fast.is_ok());
        fast.map_err(|e| e.to_string())
    };
    let message = run(&gradient, 2.0, &of(f64::NAN)).unwrap_err();
    for part in [
        "input `x`",
        "step 1, sample 0",
        "such as 0",
        "with_mask",
        "mask input",
    ] {
        assert!(message.contains(part), "{message}");
    }
    let message = run(&gradient, f64::NAN, &of(0.0)).unwrap_err();
    assert!(
        message.contains("such as 0") && !message.contains("mask"),
        "{message}"
    );
    let zero = run(&gradient, 2.0, &of(0.0)).unwrap();
    assert_eq!(zero["p"].sum(), 5.0);
    assert_eq!(zero["x"].as_slice().unwrap(), [0.5, 0.0, 1.0 / 3.0]);
    let masked = Recurrence::parse(
        "masked",
        &text.replace("input x, known", "input x\napplied mask input known"),
    );
    let masked = masked.unwrap().gradient(Wrt::Parameters).unwrap();
    assert_eq!(run(&masked, 2.0, &of(f64::NAN)).unwrap()["p"].sum(), 5.0);
}

/// A recurrence with one parameter, and its data.
fn of_one_parameter() -> (Recurrence, Params<f64>, Batch<f64>) {
    let text = "param w\ninput x\nstate s\ns' = tanh(w * s + x)\nloss s'^2\n";
    let recurrence = Recurrence::parse("one.rec", text).unwrap();
    let batch = Batch::new(3, 1).with("x", ndarray::array![[0.1], [0.2], [0.3]]);
    (recurrence, Params::new().with("w", arr0(0.5)), batch)
}

#[test]
fn an_optimizer_refuses_the_outputs_of_a_forward_run() {
    let (recurrence, mut params, batch) = of_one_parameter();
    let forward = recurrence.evaluate(&params, &batch).unwrap();
    for name in ["Adam", "Sgd"] {
        let refused = match name {
            "Adam" => bptt::fit::Adam::new(0.1).step(&mut params, &forward),
            _ => bptt::fit::Sgd::new(0.1).step(&mut params, &forward),
        };
        let expected = Error::NotAGradient {
            name: "loss".into(),
        };
        assert_eq!(refused, Err(expected), "{name}");
    }
    assert_eq!(params.get("w").unwrap(), &arr0(0.5).into_dyn());
}

#[test]
fn a_wrong_name_is_told_before_an_unknown_extent() {
    let (recurrence, params, batch) = of_one_parameter();
    let program = recurrence.compile::<f64>(&[]).unwrap();
    let mut workspace = program.workspace();
    let x = batch.get("x").unwrap();
    let run = program
        .bind(&mut workspace)
        .with("w", params.get("w").unwrap().view())
        .with("X", x.view());
    let told = run.run().map(|_| ()).unwrap_err().to_string();
    assert!(told.contains("`X`") && told.contains("`x`"), "{told}");
}

#[test]
#[should_panic(expected = "no output named `nope`; known: `loss`")]
fn an_unknown_output_is_named_with_the_known_ones() {
    let (recurrence, params, batch) = of_one_parameter();
    let _ = &recurrence.evaluate(&params, &batch).unwrap()["nope"];
}
