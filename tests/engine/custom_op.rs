//! Ops defined outside the crate have gradients, second derivatives, reverse mode on the tape, and printing;
//! ops that break their contract are refused with a message.

use std::sync::Arc;

use crate::support::engines::EveryEngine as _;
use bptt::{Batch, CustomOp, Error, Expr, Params, Recurrence, ScalarFunction, Shape, Wrt};
use ndarray::{Array1, Array2, ArrayD, ArrayViewD, ArrayViewMutD, Axis, Ix1, Ix2, Zip, array};

fn swish() -> Arc<dyn CustomOp> {
    Arc::new(ScalarFunction {
        name: "swish",
        eval: |x| x / (1.0 + (-x).exp()),
        derivative: |x, y| y + x.sigmoid() * (1.0 - y),
    })
}

/// `y = A x`: bilinear, with its own transpose.
#[derive(Debug)]
struct Apply;

impl CustomOp for Apply {
    fn name(&self) -> &str {
        "apply"
    }
    fn shape(&self, args: &[Shape]) -> Result<Shape, String> {
        match args {
            [Shape::Matrix(m, k), Shape::Vector(l)] if k == l => Ok(Shape::Vector(*m)),
            _ => Err("it applies a matrix to a vector".into()),
        }
    }
    fn eval(&self, args: &[ArrayViewD<'_, f64>]) -> ArrayD<f64> {
        let a = args[0]
            .view()
            .into_dimensionality::<Ix2>()
            .expect("a matrix");
        a.dot(
            &args[1]
                .view()
                .into_dimensionality::<Ix1>()
                .expect("a vector"),
        )
        .into_dyn()
    }
    fn tangent<'b>(
        &self,
        x: &[Expr<'b>],
        _: Expr<'b>,
        x_dot: &[Option<Expr<'b>>],
    ) -> Option<Expr<'b>> {
        let op: Arc<dyn CustomOp> = Arc::new(Self);
        let a = x_dot[0].map(|a| Expr::custom(&op, [a, x[1]]));
        let v = x_dot[1].map(|v| Expr::custom(&op, [x[0], v]));
        match (a, v) {
            (Some(a), Some(v)) => Some(a + v),
            (a, v) => a.or(v),
        }
    }
    fn transpose<'b>(&self, i: usize, x: &[Expr<'b>], y_bar: Expr<'b>) -> Option<Expr<'b>> {
        Some(if i == 0 {
            y_bar.outer(x[1])
        } else {
            x[0].t().dot(y_bar)
        })
    }
    fn is_linear_in(&self, active: &[bool]) -> bool {
        active.iter().filter(|a| **a).count() <= 1
    }
}

/// `y = A x |x|²`, with a tangent written by means of [`Apply`].
#[derive(Debug)]
struct Scaled(Arc<dyn CustomOp>);

impl CustomOp for Scaled {
    fn name(&self) -> &str {
        "scaled"
    }
    fn shape(&self, args: &[Shape]) -> Result<Shape, String> {
        self.0.shape(args)
    }
    fn eval(&self, args: &[ArrayViewD<'_, f64>]) -> ArrayD<f64> {
        let norm: f64 = args[1].iter().map(|x| x * x).sum();
        self.0.eval(args) * norm
    }
    fn tangent<'b>(
        &self,
        x: &[Expr<'b>],
        _: Expr<'b>,
        x_dot: &[Option<Expr<'b>>],
    ) -> Option<Expr<'b>> {
        let norm = x[1].square().sum();
        let a = x_dot[0].map(|a| Expr::custom(&self.0, [a, x[1]]) * norm);
        let v = x_dot[1].map(|v| {
            let turned = Expr::custom(&self.0, [x[0], v]) * norm;
            turned + Expr::custom(&self.0, [x[0], x[1]]) * (2.0 * x[1].dot(v))
        });
        match (a, v) {
            (Some(a), Some(v)) => Some(a + v),
            (a, v) => a.or(v),
        }
    }
}

fn model(outer: &Arc<dyn CustomOp>) -> Recurrence {
    let swish = swish();
    Recurrence::define("custom", |r| {
        let (a, x) = (r.param("A", [2, 2]), r.input("x", [2]));
        let h = r.state("h", [2]);
        let z = Expr::custom(outer, [a, h + x]).named("z");
        let h = r.next(h, Expr::custom(&swish, [z]));
        r.loss(h.square().sum());
    })
    .expect("it is sound")
}

fn data() -> (Params<f64>, Batch<f64>) {
    let a = array![[0.4, -0.7], [0.6, 0.3]];
    let x = Array1::from_iter((0..12).map(|i| 0.15 * f64::from((7 * i) % 12) - 0.8));
    let x = x.into_shape_with_order((3, 2, 2)).expect("12 entries");
    (
        Params::new().with("A", a),
        Batch::new(3, 2).with("x", x).with_lengths([3, 2]),
    )
}

fn check(r: &Recurrence) {
    let (p, b) = data();
    let gradient = r.gradient(Wrt::Everything).expect("it has one");
    let g = gradient.on_every_engine(&p, &b).expect("it runs");
    let tape = r.unroll_for(&p, &b).expect("it fits");
    assert!(
        tape.tape().nodes().any(|(_, n)| n.op().name() == "swish"),
        "the op is unrolled"
    );
    let tape = tape
        .gradient(Wrt::Everything)
        .expect("it has one")
        .evaluate(&p, &b)
        .expect("it runs");
    let v = array![[0.3, -0.2], [0.5, 0.9]];
    let hv = r.hessian_vector(Wrt::Parameters).expect("it has one");
    let hv = hv
        .on_every_engine(&p.clone().with("A.dot", v.clone()), &b)
        .expect("it runs");
    for name in ["A", "x"] {
        for (a, b) in g[name].iter().zip(&tape[name]) {
            assert!((a - b).abs() <= 1e-13 * (1.0 + b.abs()), "{name}: {a} {b}");
        }
    }
    let at = |s: f64| {
        p.clone()
            .with("A", p.get("A").expect("set") + &(&v * s).into_dyn())
    };
    let loss = |s: f64| {
        r.on_every_engine(&at(s), &b)
            .and_then(|o| o.loss())
            .expect("it runs")
    };
    let slope = |h: f64| (loss(h) - loss(-h)) / (2.0 * h);
    let found = (&g["A"] * &v.clone().into_dyn()).sum();
    let expected = (4.0 * slope(1e-3) - slope(2e-3)) / 3.0;
    assert!(
        (found - expected).abs() < 1e-8 * (1.0 + expected.abs()),
        "{found} {expected}"
    );
    let grad = |s: f64| gradient.on_every_engine(&at(s), &b).expect("it runs")["A"].clone();
    let second = (grad(1e-4) - grad(-1e-4)) / 2e-4;
    for (a, b) in hv["A"].iter().zip(&second) {
        assert!((a - b).abs() < 1e-7 * (1.0 + b.abs()), "{a} {b}");
    }
}

#[test]
fn custom_ops_are_differentiated() {
    let apply: Arc<dyn CustomOp> = Arc::new(Apply);
    check(&model(&apply));
    let scaled: Arc<dyn CustomOp> = Arc::new(Scaled(Arc::clone(&apply)));
    let r = model(&scaled);
    check(&r);
    let text = r.to_string();
    assert!(
        text.contains("z = scaled(A, h + x)") && text.contains("swish(z)"),
        "{text}"
    );
}

#[test]
fn single_precision_is_rounded_double() {
    let r = Recurrence::define("swish", |r| {
        r.loss(Expr::custom(&swish(), [r.param("x", ())]));
    })
    .expect("it is sound");
    let p = Params::<f32>::new().with("x", ndarray::arr0(0.75));
    let y = r
        .evaluate(&p, &Batch::new(1, 1))
        .and_then(|o| o.loss())
        .expect("it runs");
    assert!(
        (f64::from(y) - 0.75 / (1.0 + (-0.75_f64).exp())).abs() < 1e-7,
        "{y}"
    );
}

#[test]
fn arguments_that_do_not_fit_are_a_mistake_of_the_definition() {
    let apply: Arc<dyn CustomOp> = Arc::new(Apply);
    let error = Recurrence::define("wrong", |r| {
        r.output(
            "y",
            Expr::custom(&apply, [r.param("A", [2, 3]), r.param("x", [2])]),
        );
    })
    .expect_err("the shapes differ");
    let text = error.to_string();
    assert!(
        text.contains("apply(A, x)") && text.contains("applies a matrix"),
        "{text}"
    );
    assert!(text.contains("custom_op.rs:"), "{text}");
}

#[derive(Debug)]
enum Breach {
    NotLinear,
    TangentShape,
    ValueShape,
    NoTranspose,
}

impl CustomOp for Breach {
    fn name(&self) -> &str {
        "breach"
    }
    fn shape(&self, args: &[Shape]) -> Result<Shape, String> {
        Ok(args[0])
    }
    fn eval(&self, args: &[ArrayViewD<'_, f64>]) -> ArrayD<f64> {
        match self {
            Self::ValueShape => Array2::zeros((3, 4)).into_dyn(),
            _ => args[0].to_owned(),
        }
    }
    fn tangent<'b>(
        &self,
        x: &[Expr<'b>],
        _: Expr<'b>,
        x_dot: &[Option<Expr<'b>>],
    ) -> Option<Expr<'b>> {
        let dot = x_dot[0]?;
        Some(match self {
            Self::NotLinear => dot * dot,
            Self::TangentShape => dot.sum(),
            Self::ValueShape => dot,
            Self::NoTranspose => {
                Expr::custom(&(Arc::new(Self::NoTranspose) as _), [dot + x[0] - x[0]])
            }
        })
    }
    fn is_linear_in(&self, _: &[bool]) -> bool {
        matches!(self, Self::NoTranspose)
    }
}

#[test]
fn breaches_of_the_contract_are_errors() {
    let (p, b) = (
        Params::new().with("x", array![0.5, -0.25]),
        Batch::new(2, 1),
    );
    for breach in [
        Breach::NotLinear,
        Breach::TangentShape,
        Breach::ValueShape,
        Breach::NoTranspose,
    ] {
        let what = format!("{breach:?}");
        let op: Arc<dyn CustomOp> = Arc::new(breach);
        let r = Recurrence::define("breach", |r| {
            r.loss(Expr::custom(&op, [r.param("x", [2]).tanh()]).square().sum());
        })
        .expect("the definition itself is sound");
        let whole = r
            .gradient(Wrt::Parameters)
            .and_then(|g| g.on_every_engine(&p, &b));
        assert!(
            matches!(whole, Err(Error::CustomOp { .. })),
            "{what}: {whole:?}"
        );
        let tape = r
            .unroll_for(&p, &b)
            .and_then(|u| u.gradient(Wrt::Parameters));
        let tape = tape.and_then(|g| g.evaluate(&p, &b));
        assert!(
            matches!(tape, Err(Error::CustomOp { .. })),
            "{what} on the tape: {tape:?}"
        );
    }
}

#[test]
fn a_tangent_that_is_not_linear_is_the_fault_of_its_op() {
    let (good, bad): (Arc<dyn CustomOp>, Arc<dyn CustomOp>) =
        (swish(), Arc::new(Breach::NotLinear));
    let r = Recurrence::define("two ops", |r| {
        let x = Expr::custom(&good, [r.param("x", [2])]);
        let h = r.state("h", [2]);
        let h = r.next(h, Expr::custom(&bad, [h + x]));
        r.loss(Expr::custom(&good, [h]).sum());
    })
    .expect("the definition itself is sound");
    let text = r
        .gradient(Wrt::Parameters)
        .expect_err("it cannot be turned");
    let start = "custom op `breach` breaks its contract: its tangent is not linear in the \
                 tangents of its arguments: `";
    let (text, end) = (text.to_string(), "` multiplies or bends them");
    assert!(text.starts_with(start) && text.ends_with(end), "{text}");
    let p = Params::new().with("x", array![0.5, -0.25]);
    let tape = r.unroll_for(&p, &Batch::new(2, 1)).expect("it fits");
    let tape = tape
        .gradient(Wrt::Parameters)
        .expect_err("nor can the tape");
    let tape = tape.to_string();
    assert!(tape.starts_with(start) && tape.ends_with(end), "{tape}");
    assert!(text.contains("dot"), "it shows the tangents: {text}");
}

/// `y = x g / (1 + |x|)`: evaluated row by row, or many rows at once.
#[derive(Debug)]
struct Softsign {
    at_once: bool,
    calls: std::sync::atomic::AtomicUsize,
}

impl Softsign {
    fn op(at_once: bool) -> Arc<dyn CustomOp> {
        let calls = 0.into();
        Arc::new(Self { at_once, calls })
    }

    fn write<F: bptt::Real>(&self, args: &[ArrayViewD<'_, F>], out: ArrayViewMutD<'_, F>) {
        self.calls
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let value = |y: &mut F, x: &F, g: &F| *y = *x * *g / (F::one() + x.abs());
        Zip::from(out).and(&args[0]).and(&args[1]).for_each(value);
    }
}

impl CustomOp for Softsign {
    fn name(&self) -> &str {
        "softsign"
    }
    fn shape(&self, args: &[Shape]) -> Result<Shape, String> {
        Ok(args[0])
    }
    fn eval(&self, args: &[ArrayViewD<'_, f64>]) -> ArrayD<f64> {
        let mut out = ArrayD::zeros(args[0].shape());
        self.write(args, out.view_mut());
        out
    }
    fn eval_f32(&self, args: &[ArrayViewD<'_, f32>]) -> ArrayD<f32> {
        let mut out = ArrayD::zeros(args[0].shape());
        self.write(args, out.view_mut());
        out
    }
    fn eval_rows(
        &self,
        args: &[ArrayViewD<'_, f64>],
        mut out: ArrayViewMutD<'_, f64>,
    ) -> Result<(), String> {
        if self.at_once {
            self.write(args, out);
            return Ok(());
        }
        for (row, out) in out.outer_iter_mut().enumerate() {
            let args: Vec<_> = args.iter().map(|a| a.index_axis(Axis(0), row)).collect();
            self.write(&args, out);
        }
        Ok(())
    }
    fn eval_rows_f32(
        &self,
        args: &[ArrayViewD<'_, f32>],
        out: ArrayViewMutD<'_, f32>,
    ) -> Result<(), String> {
        self.write(args, out);
        Ok(())
    }
    fn tangent<'b>(
        &self,
        x: &[Expr<'b>],
        y: Expr<'b>,
        x_dot: &[Option<Expr<'b>>],
    ) -> Option<Expr<'b>> {
        let size = 1.0 + x[0].abs();
        let by_x = x_dot[0].map(|d| x[1] / size.square() * d);
        let by_g = x_dot[1].map(|d| y / x[1] * d);
        match (by_x, by_g) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        }
    }
}

fn softsign<'b>(op: Option<&Arc<dyn CustomOp>>, x: Expr<'b>, g: Expr<'b>) -> Expr<'b> {
    match op {
        Some(op) => Expr::custom(op, [x, g]),
        None => x * g / (1.0 + x.abs()),
    }
}

fn softsigns(op: Option<&Arc<dyn CustomOp>>) -> Recurrence {
    Recurrence::define("softsigns", |r| {
        let (h, k) = (r.dim("H"), r.dim("K"));
        let (w, u, g) = (
            r.param("W", [h, h]),
            r.param("U", [h, k]),
            r.param("g", [h]),
        );
        // Once in a loop, once for all steps, and once per sample.
        let drive = softsign(op, u.dot(r.input("x", [k])), g);
        let s = r.state_from("s", softsign(op, r.sample_input("s0", [h]), g));
        let s = r.next(s, softsign(op, w.dot(s) + drive, g));
        r.loss(s.square().sum());
    })
    .unwrap()
}

#[test]
fn many_rows_are_evaluated_at_once() {
    let sizes = [("H", 5), ("K", 3)];
    for lengths in [&[7, 7, 7][..], &[4, 9, 2], &[6]] {
        let formula = softsigns(None).gradient(Wrt::Everything).unwrap();
        let (params, batch) = bptt::check::random_data(&formula, &sizes, lengths, 3).unwrap();
        let expected = formula.compile::<f64>(&sizes).unwrap();
        let expected = expected.evaluate(&params, &batch).unwrap();
        for at_once in [true, false] {
            let op = Softsign::op(at_once);
            let custom = softsigns(Some(&op)).gradient(Wrt::Everything).unwrap();
            let found = custom.on_every_engine(&params, &batch).unwrap();
            for (name, a) in expected.iter() {
                let apart = (a - &found[name]).mapv(f64::abs).sum();
                assert!(apart <= 1e-12, "{name}: {apart:e}");
            }
        }
    }
}

#[test]
fn a_loop_over_a_batch_calls_a_custom_op_once_a_step() {
    let op = Arc::new(Softsign {
        at_once: true,
        calls: 0.into(),
    });
    let shared: Arc<dyn CustomOp> = op.clone();
    let model = softsigns(Some(&shared));
    let sizes = [("H", 5), ("K", 3)];
    let (params, batch) = bptt::check::random_data(&model, &sizes, &[7; 11], 3).unwrap();
    let program = model.compile::<f32>(&sizes).unwrap();
    program.evaluate(&params.cast(), &batch.cast()).unwrap();
    let calls = op.calls.load(std::sync::atomic::Ordering::Relaxed);
    // The seven steps of the loop, all inputs, and all starts.
    assert_eq!(calls, 7 + 1 + 1);
}

/// A custom op of simple arithmetic takes at most 1.3 times as long as its formula:
/// `cargo test --release --test engine -- --ignored --nocapture custom_op`.
#[test]
#[ignore = "measures time, on a machine without other work"]
fn a_custom_op_is_as_fast_as_its_formula() {
    let sizes = [("H", 128), ("K", 32)];
    let run = |model: &Recurrence| {
        let gradient = model.gradient(Wrt::Parameters).unwrap();
        let (params, batch) = bptt::check::random_data(&gradient, &sizes, &[200; 32], 3).unwrap();
        let (params, batch) = (params.cast::<f32>(), batch.cast::<f32>());
        let program = gradient.compile::<f32>(&sizes).unwrap();
        let mut workspace = program.workspace();
        move || {
            let start = std::time::Instant::now();
            program.run(&params, &batch, &mut workspace).unwrap();
            start.elapsed().as_secs_f64()
        }
    };
    let mut formula = run(&softsigns(None));
    let mut custom = run(&softsigns(Some(&Softsign::op(true))));
    let pairs: Vec<[f64; 2]> = (0..40).map(|_| [formula(), custom()]).collect();
    let least = |i: usize| pairs.iter().map(|p| p[i]).fold(f64::INFINITY, f64::min);
    println!(
        "formula {:.2e} s, custom {:.2e} s, ratio {:.3}",
        least(0),
        least(1),
        least(1) / least(0)
    );
    assert!(
        least(1) <= 1.3 * least(0),
        "slower than 1.3 times the formula"
    );
}
