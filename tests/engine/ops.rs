//! The pointwise rows of the op table: value, `f32`, tangent, transpose, second derivatives, printing, and
//! behaviour where there is no derivative or no number; values of the reductions against high precision. For
//! the other rows see `ops_linear.rs`.

use crate::support::engines::EveryEngine as _;
use crate::support::rows::{self, Line, check_derivatives, is_silent, lines, point, printed};
use bptt::{Batch, Definition, Error, Expr, Op, Params, Recurrence, Scalar, Wrt, ops};
use ndarray::arr0;

/// An application of a row, and its text. Panics for a row without a case here.
fn applied<'b>(op: ops::Pointwise, a: Expr<'b>, b: Expr<'b>) -> (Expr<'b>, &'static str) {
    match op.name() {
        "neg" => (-a, "-a"),
        "recip" => (a.recip(), "recip(a)"),
        "exp" => (a.exp(), "exp(a)"),
        "ln" => (a.ln(), "ln(a)"),
        "sqrt" => (a.sqrt(), "sqrt(a)"),
        "square" => (a.square(), "a^2"),
        "powi" => (a.powi(3), "a^3"),
        "expm1" => (a.expm1(), "expm1(a)"),
        "log1p" => (a.log1p(), "log1p(a)"),
        "erf" => (a.erf(), "erf(a)"),
        "erfc" => (a.erfc(), "erfc(a)"),
        "lgamma" => (a.lgamma(), "lgamma(a)"),
        "digamma" => (a.digamma(), "digamma(a)"),
        "polygamma" => (a.polygamma(1), "polygamma(a, 1)"),
        "atan" => (a.atan(), "atan(a)"),
        "asin" => (a.asin(), "asin(a)"),
        "acos" => (a.acos(), "acos(a)"),
        "sinh" => (a.sinh(), "sinh(a)"),
        "cosh" => (a.cosh(), "cosh(a)"),
        "asinh" => (a.asinh(), "asinh(a)"),
        "atan2" => (a.atan2(b), "atan2(a, b)"),
        "floor" => (a.floor(), "floor(a)"),
        "ceil" => (a.ceil(), "ceil(a)"),
        "sin" => (a.sin(), "sin(a)"),
        "cos" => (a.cos(), "cos(a)"),
        "tanh" => (a.tanh(), "tanh(a)"),
        "sigmoid" => (a.sigmoid(), "sigmoid(a)"),
        "relu" => (a.relu(), "relu(a)"),
        "softplus" => (a.softplus(), "softplus(a)"),
        "abs" => (a.abs(), "abs(a)"),
        "sign" => (a.sign(), "sign(a)"),
        "add" => (a + b, "a + b"),
        "sub" => (a - b, "a - b"),
        "mul" => (a * b, "a * b"),
        "strong_mul" => (a.strong_mul(b), "a * b"),
        "div" => (a / b, "a / b"),
        "powf" => (a.powf(b), "pow(a, b)"),
        "max" => (a.max(b), "max(a, b)"),
        "min" => (a.min(b), "min(a, b)"),
        "less" => (a.less(b), "a < b"),
        "less_eq" => (a.less_eq(b), "a <= b"),
        "equal" => (a.equal(b), "a == b"),
        other => panic!("`{other}` has no test"),
    }
}

fn apply<'b>(
    op: ops::Pointwise,
    a: Expr<'b>,
    b: impl Fn() -> Expr<'b>,
) -> (Expr<'b>, &'static str) {
    applied(op, a, if op.arity() == 1 { a } else { b() })
}

/// A row applied to vectors, and its text.
fn vectors(op: ops::Pointwise) -> (Recurrence, &'static str) {
    let mut text = "";
    let r = Recurrence::define(op.name(), |r| {
        let (y, t) = apply(op, r.param("a", [4]), || r.param("b", [4]));
        text = t;
        r.output("y", y);
        r.loss(y.square().sum());
    });
    (r.expect("it is sound"), text)
}

fn scalars(args: &[f64]) -> Params<f64> {
    let named = ["a", "b", "c"].iter().zip(args);
    named.fold(Params::new(), |p, (n, x)| p.with(n, arr0(*x)))
}

/// The derivatives of a scalar expression with respect to the scalars `a`, `b`, … .
fn partials(args: &[f64], f: impl FnOnce(&Definition)) -> Vec<f64> {
    let r = Recurrence::define("row", f).expect("it is sound");
    let g = r.gradient(Wrt::Parameters).expect("it has one");
    let g = g.on_every_engine(&scalars(args), &Batch::new(1, 1));
    let g = g.expect("it runs");
    let names = ["a", "b", "c"].iter().take(args.len());
    names.map(|n| g[n].sum()).collect()
}

fn row_partials(op: ops::Pointwise, args: &[f64]) -> Vec<f64> {
    partials(args, |r| {
        r.loss(apply(op, r.param("a", ()), || r.param("b", ())).0);
    })
}

#[test]
fn derivatives_of_every_row() {
    for op in ops::Pointwise::ALL {
        check_derivatives(&vectors(*op).0, op.sample());
    }
}

#[test]
fn every_row_is_printed_as_it_is_written() {
    for op in ops::Pointwise::ALL {
        let (r, text) = vectors(*op);
        assert_eq!(printed(&r, "y"), text, "{op:?}");
        assert!(!is_silent(&Op::Pointwise(*op)), "{op:?} can be seen");
    }
}

/// An absolute tolerance for rows whose derivative is computed from the result `y`: `1 - y²` for `tanh`,
/// `y (1 - y)` for the sigmoid. Where `y` is rounded to 1, the subtraction leaves only rounding error.
fn floor(line: &Line) -> f64 {
    match line.op {
        "tanh" | "sigmoid" => 8.0 * f64::EPSILON,
        _ => 0.0,
    }
}

#[test]
fn values_and_partials_against_high_precision() {
    let lines: Vec<Line> = lines().collect();
    for op in ops::Pointwise::ALL {
        let own: Vec<&Line> = lines.iter().filter(|l| l.op == op.name()).collect();
        assert!(own.len() >= 5, "`{}` has {} values", op.name(), own.len());
        for line in own {
            line.assert("value", &[op.eval(&line.args)], &line.value, |_| 0.0);
            let found = row_partials(*op, &line.args);
            line.assert("partials", &found, &line.partials, |_| floor(line));
        }
    }
}

/// Within 4 units of roundoff, at numbers exact in both types. Values above the range of `f32` are infinite,
/// and values below its normal range are small.
#[test]
fn single_precision_is_close_to_double_precision() {
    let mut checked = std::collections::HashSet::new();
    let lines: Vec<Line> = lines().collect();
    for op in ops::Pointwise::ALL {
        let (r, _) = vectors(*op);
        rows::check_single(&r, "y", &point(&r, op.sample()));
        for line in lines.iter().filter(|l| l.op == op.name()) {
            let narrow: Vec<f32> = line.args.iter().map(|x| f32::of(*x)).collect();
            let wide: Vec<f64> = narrow.iter().map(|x| f64::from(*x)).collect();
            let (a, b) = (op.eval(&narrow), op.eval(&wide));
            let tiny = f64::from(f32::MIN_POSITIVE);
            let fits = if b.abs() > f64::from(f32::MAX) {
                a.is_infinite() && f64::from(a.signum()) == b.signum()
            } else {
                let floor = if b.abs() < tiny { tiny } else { 0.0 };
                (f64::from(a) - b).abs() <= 4.0 * f64::from(f32::EPSILON) * b.abs() + floor
            };
            assert!(fits, "{op:?} at {narrow:?}: {a:e}, not {b:e}");
            checked.insert(op.name());
        }
    }
    assert_eq!(
        checked.len(),
        ops::Pointwise::ALL.len(),
        "every row is seen"
    );
}

/// The exact values where there is no derivative, as documented in `docs/math.md`.
#[test]
fn derivatives_at_kinks_are_the_documented_ones() {
    use ops::Pointwise::{Abs, Equal, Less, LessEq, Max, Min, Relu, Sign};
    let unary = [
        (Relu, 0.0, 0.0, 0.0),
        (Relu, 1e-300, 1e-300, 1.0),
        (Relu, -1e-300, 0.0, 0.0),
        (Abs, 0.0, 0.0, 0.0),
        (Abs, 1e-300, 1e-300, 1.0),
        (Abs, -1e-300, 1e-300, -1.0),
        (Sign, 0.0, 0.0, 0.0),
        (Sign, 1e-300, 1.0, 0.0),
        (Sign, -1e-300, -1.0, 0.0),
    ];
    for (op, x, value, derivative) in unary {
        assert_eq!(op.eval(&[x]), value, "{op:?} of {x}");
        assert_eq!(row_partials(op, &[x]), [derivative], "{op:?} at {x}");
    }
    let (next, none) = (1.0 + f64::EPSILON, [0.0, 0.0]);
    let binary = [
        (Max, 1.0, 1.0, 1.0, [0.5, 0.5]),
        (Max, 0.0, -0.0, 0.0, [0.5, 0.5]),
        (Max, next, 1.0, next, [1.0, 0.0]),
        (Max, 1.0, next, next, [0.0, 1.0]),
        (Min, 1.0, 1.0, 1.0, [0.5, 0.5]),
        (Min, 0.0, -0.0, 0.0, [0.5, 0.5]),
        (Min, next, 1.0, 1.0, [0.0, 1.0]),
        (Min, 1.0, next, 1.0, [1.0, 0.0]),
        (Less, 1.0, next, 1.0, none),
        (Less, 1.0, 1.0, 0.0, none),
        (Less, next, 1.0, 0.0, none),
        (LessEq, 1.0, next, 1.0, none),
        (LessEq, 1.0, 1.0, 1.0, none),
        (LessEq, next, 1.0, 0.0, none),
        (Equal, 1.0, next, 0.0, none),
        (Equal, 1.0, 1.0, 1.0, none),
        (Equal, 0.0, -0.0, 1.0, none),
    ];
    for (op, a, b, value, derivatives) in binary {
        assert_eq!(op.eval(&[a, b]), value, "{op:?} of {a}, {b}");
        assert_eq!(row_partials(op, &[a, b]), derivatives, "{op:?} at {a}, {b}");
    }
}

#[test]
fn select_is_no_at_zero_only_and_constant_in_its_condition() {
    let select = |r: &Definition| {
        let (yes, no) = (r.param("a", ()), r.param("b", ()));
        r.loss(r.param("c", ()).select(3.0 * yes, 5.0 * no));
    };
    let r = Recurrence::define("select", select).expect("it is sound");
    for (c, value, derivatives) in [
        (0.0, 35.0, [0.0, 5.0, 0.0]),
        (-0.0, 35.0, [0.0, 5.0, 0.0]),
        (1.0, 6.0, [3.0, 0.0, 0.0]),
        (-2.5, 6.0, [3.0, 0.0, 0.0]),
        (5e-324, 6.0, [3.0, 0.0, 0.0]),
    ] {
        let args = [2.0, 7.0, c];
        let y = r.on_every_engine(&scalars(&args), &Batch::new(1, 1));
        let y = y.and_then(|o| o.loss()).expect("it runs");
        assert_eq!(y, value, "select on {c}");
        assert_eq!(partials(&args, select), derivatives, "select on {c}");
    }
}

/// Data is finite, so the NaN is computed; if an op dropped it, the result would be a number.
#[test]
fn nothing_drops_a_nan() {
    type F = for<'b> fn(Expr<'b>, Expr<'b>) -> Expr<'b>;
    let cases: &[(&str, F)] = &[
        ("max on the left", |nan, x| nan.max(x)),
        ("max on the right", |nan, x| x.max(nan)),
        ("min on the left", |nan, x| nan.min(x)),
        ("min on the right", |nan, x| x.min(nan)),
        ("relu", |nan, _| nan.relu()),
        ("abs", |nan, _| nan.abs()),
        ("sign", |nan, _| nan.sign()),
        ("softplus", |nan, _| nan.softplus()),
        ("sigmoid", |nan, _| nan.sigmoid()),
        ("tanh", |nan, _| nan.tanh()),
        ("select, condition", |nan, x| nan.select(x, x)),
        ("select, yes", |nan, x| x.full_like(1.0).select(nan, x)),
        ("select, no", |nan, x| x.full_like(0.0).select(x, nan)),
    ];
    for (what, f) in cases {
        let r = Recurrence::define("nan", |r| {
            r.output("y", f(r.param("a", [2]).sqrt(), r.param("b", [2])));
        });
        let r = r.expect("it is sound");
        for b in [-2.0, 0.0, 2.0] {
            let p = Params::new()
                .with("a", ndarray::array![-1.0, 4.0])
                .with("b", ndarray::array![b, b]);
            let y = r.on_every_engine(&p, &Batch::new(1, 1));
            let is_refused = matches!(y, Err(Error::NonFiniteValue { .. }));
            assert!(is_refused, "{what}: {y:?}");
        }
    }
    for op in ops::Pointwise::ALL {
        use ops::Pointwise::{Equal, Less, LessEq};
        // A comparison with NaN is false.
        let expected = !matches!(op, Less | LessEq | Equal);
        for i in 0..op.arity() {
            let mut args = [2.0, 2.0];
            args[i] = f64::NAN;
            let args = &args[..op.arity()];
            assert_eq!(op.eval(args).is_nan(), expected, "{op:?} {args:?}");
            let args: Vec<f32> = args.iter().map(|x| f32::of(*x)).collect();
            assert_eq!(op.eval(&args).is_nan(), expected, "{op:?} {args:?}");
        }
    }
}

#[test]
fn a_branch_that_is_not_taken_may_be_anything() {
    let r = Recurrence::define("nan", |r| {
        let a = r.param("a", ());
        let on = a.full_like(0.0).less(a);
        r.output("y", on.select(a, (-a).sqrt()));
    });
    let y = r
        .expect("it is sound")
        .on_every_engine(&scalars(&[4.0]), &Batch::new(1, 1));
    assert_eq!(
        y.expect("it runs")["y"].sum(),
        4.0,
        "the branch that was taken"
    );
}

fn reduce(op: ops::Reduce, a: Expr<'_>) -> Expr<'_> {
    match op {
        ops::Reduce::LogSumExp => a.logsumexp(),
        ops::Reduce::Softmax => a.softmax(),
        ops::Reduce::LogSoftmax => a.log_softmax(),
        _ => panic!("a row without a method: {op:?}"),
    }
}

#[test]
fn reductions_against_high_precision() {
    for op in ops::Reduce::ALL {
        let r = Recurrence::define("row", |r| {
            let y = reduce(*op, r.param("a", [3]));
            r.output("y", y);
            let is_scalar = y.shape() == Some(bptt::Shape::Scalar);
            r.loss(if is_scalar { y } else { y.slice(0, 1).sum() });
        })
        .expect("it is sound");
        let gradient = r.gradient(Wrt::Parameters).expect("it has one");
        let own: Vec<_> = lines().filter(|l| l.op == op.name()).collect();
        assert!(own.len() >= 5, "`{}` has {} values", op.name(), own.len());
        for line in own {
            let p = Params::new().with("a", ndarray::Array1::from(line.args.clone()));
            let run = |r: &Recurrence| r.on_every_engine(&p, &Batch::new(1, 1)).expect("it runs");
            let found: Vec<f64> = run(&r)["y"].iter().copied().collect();
            line.assert("value", &found, &line.value, |_| 0.0);
            let narrow = line.args.iter().map(|x| f32::of(*x)).collect();
            let single = Params::new().with("a", ndarray::Array1::from_vec(narrow));
            let single = r.evaluate(&single, &Batch::<f32>::new(1, 1));
            for (a, b) in single.expect("it runs")["y"].iter().zip(&line.value) {
                let size = b.abs().max(f64::from(f32::MIN_POSITIVE));
                let fits = (f64::from(*a) - b).abs() <= 8.0 * f64::from(f32::EPSILON) * size;
                assert!(fits, "{op:?} at {:?} in f32: {a:e}, not {b:e}", line.args);
            }
            let found: Vec<f64> = run(&gradient)["a"].iter().copied().collect();
            // The tangent of `log_softmax` uses the exponential of its result `y`: a relative error of `y`
            // becomes one of `|y|` times that.
            let slack = |i: usize| match op {
                ops::Reduce::LogSoftmax => f64::EPSILON * (line.value[i] * line.partials[i]).abs(),
                _ => 0.0,
            };
            line.assert("partials", &found, &line.partials, slack);
        }
    }
}

/// Data is finite, so the NaN is computed; if an op dropped it, the result would be a number.
#[test]
fn no_reduction_or_sum_drops_a_nan() {
    type F = for<'b> fn(Expr<'b>) -> Expr<'b>;
    let cases: &[(&str, F)] = &[
        ("logsumexp", |x| x.logsumexp()),
        ("softmax", |x| x.softmax().sum()),
        ("log_softmax", |x| x.log_softmax().sum()),
        ("sum", |x| x.sum()),
        ("dot with zeros", |x| x.dot(x.full_like(0.0))),
        ("outer with zeros", |x| x.outer(x.full_like(0.0)).sum()),
        ("a slice", |x| x.slice(1, 1).sum()),
    ];
    for (what, f) in cases {
        let r = Recurrence::define("nan", |r| r.output("y", f(r.param("a", [3]).sqrt())));
        let r = r.expect("it is sound");
        let p = Params::new().with("a", ndarray::array![4.0, -1.0, 9.0]);
        let y = r.on_every_engine(&p, &Batch::new(1, 1));
        let is_refused = matches!(y, Err(Error::NonFiniteValue { .. }));
        assert!(is_refused, "{what}: {y:?}");
    }
}

/// Functions that are made of rows: value and derivative, from mpmath at 60 digits.
#[test]
fn composed_functions_against_high_precision() {
    let cases: [(&str, f64, f64, f64); 23] = [
        (
            "silu(a)",
            0.75,
            0.509_384_024_381_544_7,
            0.842_599_944_496_753_5,
        ),
        (
            "silu(a)",
            -1.25,
            -0.278_375_173_531_636_07,
            0.006_319_155_084_687_581,
        ),
        (
            "silu(a)",
            -9.5,
            -0.000_711_039_161_350_806_7,
            -0.000_636_139_715_241_356,
        ),
        (
            "gelu(a)",
            0.75,
            0.580_029_485_717_348_9,
            0.999_225_721_739_235_1,
        ),
        (
            "gelu(a)",
            -1.25,
            -0.132_062_217_083_569_07,
            -0.122_661_583_069_422_12,
        ),
        (
            "gelu(a)",
            -9.5,
            -9.969_789_321_594_477e-21,
            -9.469_093_473_831_383e-20,
        ),
        ("elu(a)", 0.0, 0.0, 1.0),
        ("elu(a)", 900.0, 900.0, 1.0),
        ("elu(a)", 0.75, 0.75, 1.0),
        ("silu(a)", 0.0, 0.0, 0.5),
        ("gelu(a)", 0.0, 0.0, 0.5),
        ("softsign(a)", 0.0, 0.0, 1.0),
        (
            "elu(a)",
            -1.25,
            -0.713_495_203_139_809_9,
            0.286_504_796_860_190_1,
        ),
        (
            "elu(a)",
            -9.5,
            -0.999_925_148_170_112_3,
            7.485_182_988_770_06e-5,
        ),
        (
            "softsign(a)",
            -1.25,
            -0.555_555_555_555_555_6,
            0.197_530_864_197_530_87,
        ),
        (
            "hard_sigmoid(a)",
            -1.25,
            0.291_666_666_666_666_7,
            0.166_666_666_666_666_66,
        ),
        ("hard_sigmoid(a)", -9.5, 0.0, 0.0),
        ("clamp(a, -1, 2)", 0.75, 0.75, 1.0),
        ("clamp(a, -1, 2)", -1.25, -1.0, 0.0),
        ("clamp(3 * a, -1, 2)", 0.75, 2.0, 0.0),
        ("mod(a, 3)", -1.25, 1.75, 1.0),
        ("mod(7, a)", 0.75, 0.25, -9.0),
        ("sin(pi * a)", 0.5, 1.0, 0.0),
    ];
    for (call, a, value, derivative) in cases {
        let r = Recurrence::parse("call", &format!("param a\nloss {call}\n")).unwrap();
        let g = r.gradient(Wrt::Parameters).unwrap();
        let found = g.on_every_engine(&scalars(&[a]), &Batch::new(1, 1));
        let found = found.unwrap();
        for (found, expected) in [(found["loss"].sum(), value), (found["a"].sum(), derivative)] {
            let error = (found - expected).abs();
            assert!(
                error <= 1e-14 * expected.abs() + 2e-16,
                "{call} at {a}: {found}, not {expected}"
            );
        }
    }
}

/// `Expr::modulo` has the sign of the divisor; its derivatives are 1 and `−⌊a / b⌋`.
#[test]
fn remainder_of_expressions() {
    fn modulo(r: &Definition) -> Expr<'_> {
        r.param("a", ()).modulo(r.param("b", ()))
    }
    for (a, b, remainder, times) in [
        (7.5, 2.0, 1.5, 3.0),
        (-7.5, 2.0, 0.5, -4.0),
        (7.5, -2.0, -0.5, -4.0),
        (-7.5, -2.0, -1.5, 3.0),
    ] {
        let r = Recurrence::define("modulo", |r| r.loss(modulo(r))).expect("it is sound");
        let found = r.on_every_engine(&scalars(&[a, b]), &Batch::new(1, 1));
        assert_eq!(found.expect("it runs")["loss"].sum(), remainder, "{a} {b}");
        let found = partials(&[a, b], |r| r.loss(modulo(r)));
        assert_eq!(found, [1.0, -times], "{a} {b}");
    }
}
