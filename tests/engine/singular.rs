//! Zero means zero: a value without influence on the result may be infinite or NaN, and so may its derivative.
//! Every pointwise row is tested at its singular points.

use crate::support::engines::{EveryEngine as _, apart};
use bptt::{Batch, Definition, Expr, Outputs, Params, Recurrence, Scalar, Wrt, ops::Pointwise};
use ndarray::{ArrayD, arr0, arr1, array};

/// The rows of the table, with an example setting for rows that have one.
fn rows() -> impl Iterator<Item = Pointwise> {
    let more = [-1, -2, 0, 1, 2].map(Pointwise::Powi);
    Pointwise::ALL.iter().copied().chain(more)
}

fn row<'d>(op: Pointwise, a: Expr<'d>, b: Expr<'d>) -> Expr<'d> {
    match op {
        Pointwise::Powi(n) => a.powi(n),
        Pointwise::Powf => a.powf(b),
        Pointwise::Div => a / b,
        Pointwise::Recip => a.recip(),
        Pointwise::Exp => a.exp(),
        Pointwise::Ln => a.ln(),
        Pointwise::Sqrt => a.sqrt(),
        Pointwise::Expm1 => a.expm1(),
        Pointwise::Log1p => a.log1p(),
        Pointwise::Lgamma => a.lgamma(),
        Pointwise::Digamma => a.digamma(),
        Pointwise::Polygamma(n) => a.polygamma(n),
        Pointwise::Asin => a.asin(),
        Pointwise::Acos => a.acos(),
        Pointwise::Sinh => a.sinh(),
        Pointwise::Cosh => a.cosh(),
        Pointwise::Atan2 => a.atan2(b),
        other => panic!("{other:?} has poles and no case here"),
    }
}

/// Evaluates on all engines, in both types.
fn run(r: &Recurrence, params: &Params<f64>, batch: &Batch<f64>) -> Outputs<f64> {
    let double = r.on_every_engine(params, batch);
    let double = double.unwrap_or_else(|e| panic!("{e}\n{r}"));
    let (params, batch) = (params.cast::<f32>(), batch.cast::<f32>());
    let program = r.compile_for::<f32>(&params, &batch).expect("it compiles");
    for single in [
        r.evaluate(&params, &batch),
        program.evaluate(&params, &batch),
    ] {
        let single = single.unwrap_or_else(|e| panic!("in single precision: {e}\n{r}"));
        let (error, name) = apart(&single, &double);
        assert!(
            error <= 1e-5,
            "`{name}` is {error:e} off in single precision\n{r}"
        );
    }
    double
}

fn define(f: impl FnOnce(&Definition)) -> Recurrence {
    Recurrence::define("singular", f).expect("it is sound")
}

/// The parameters, with a direction for each.
fn along(r: &Recurrence, params: &Params<f64>) -> Params<f64> {
    let names = r.tape().leaves().iter().map(|l| l.name().to_owned());
    names.fold(params.clone(), |p, name| {
        let Some(of) = name.strip_suffix(".dot") else {
            return p;
        };
        let of = params.get(of).expect("it is there");
        p.with(&name, ArrayD::from_elem(of.shape(), 1.0))
    })
}

/// Checks that the gradient, the tangent and the Hessian-vector product of a loss are finite and equal to those
/// of a loss without the singular part.
fn same_derivatives(singular: &Recurrence, plain: &Recurrence, p: &Params<f64>, b: &Batch<f64>) {
    let each: [fn(&Recurrence) -> bptt::Result<Recurrence>; 3] = [
        |r| r.gradient(Wrt::Parameters),
        |r| r.tangent(Wrt::Parameters),
        |r| r.hessian_vector(Wrt::Parameters),
    ];
    for derivative in each {
        let of = |r: &Recurrence| {
            let d = derivative(r).expect("it has one");
            let p = along(&d, p);
            run(&d, &p, b)
        };
        let (found, expected) = (of(singular), of(plain));
        for (name, array) in expected.iter() {
            assert_eq!(found[name], array, "`{name}`\n{singular}");
        }
    }
}

#[test]
fn every_row_at_its_singular_points_in_a_branch_that_is_not_taken() {
    let mut checked = 0;
    for op in rows() {
        for pole in op.poles() {
            let p = Params::new()
                .with("a", arr0(pole[0]))
                .with("b", arr0(pole[pole.len() - 1]))
                .with("w", arr0(0.5))
                .with("u", arr1(&[0.5, -2.0]));
            let steps = |x: f64| ArrayD::from_elem(vec![2, 1], x);
            let b = Batch::new(2, 1)
                .with("on", steps(0.0))
                .with("one", steps(1.0));
            let loss = |r: &Definition, is_there: bool| {
                let [a, b, w] = ["a", "b", "w"].map(|n| r.param(n, ()));
                let u = r.param("u", [2]);
                let on = r.input("on", ());
                let plain = a * b * w + u.square().sum();
                let one = r.input("one", ());
                let y = row(op, a * one, b * one);
                // Linear functions of the infinite value, and bounded functions of it.
                let many = y.spread([2]);
                let wild = w * y
                    + (y * w).tanh()
                    + u.dot(many)
                    + u.outer(many).dot(u).sum()
                    + many.outer(many).dot(u).sum()
                    + y.select(w, a)
                    + many.softmax().dot(u)
                    + many.log_softmax().dot(u)
                    + many.logsumexp() * w
                    + y.max(w)
                    + y.abs().square();
                let h = r.state("h", ());
                let h = r.next(
                    h,
                    if is_there {
                        on.select(h * wild, plain)
                    } else {
                        plain
                    },
                );
                r.loss(h.square());
            };
            let (singular, plain) = (define(|r| loss(r, true)), define(|r| loss(r, false)));
            same_derivatives(&singular, &plain, &p, &b);
            checked += 1;
        }
    }
    assert!(checked > 10, "{checked} points");
}

/// A row without poles and its partial derivatives are finite for finite arguments.
#[test]
fn rows_without_singular_points_are_finite() {
    let grid: [f64; 11] = [
        0.0, 1e-30, 1.0, -1.0, 2.5, -40.0, 40.0, 800.0, -800.0, 1e30, -1e30,
    ];
    for op in rows().filter(|op| op.poles().is_empty()) {
        for a in grid {
            for b in grid {
                let args = &[a, b][..op.arity()];
                assert!(op.eval(args).is_finite(), "{op:?} at {args:?}");
                let text = ["x", "z"][..op.arity()].join(", ");
                let r = match op {
                    Pointwise::Powi(n) => define(|r| r.loss(r.param("x", ()).powi(n))),
                    op => {
                        let [x, z] = ["x", "z"].map(|n| format!("param {n}\n"));
                        let call = match op.name() {
                            "add" => "x + z".into(),
                            "sub" => "x - z".into(),
                            "mul" => "x * z".into(),
                            "neg" => "-x".into(),
                            "square" => "x^2".into(),
                            "less" => "(x < z) * 1".into(),
                            "less_eq" => "(x <= z) * 1".into(),
                            "equal" => "(x == z) * 1".into(),
                            name => format!("{name}({text})"),
                        };
                        let z = if op.arity() == 2 { z } else { String::new() };
                        Recurrence::parse("row", &format!("{x}{z}loss {call}\n"))
                            .expect("it is sound")
                    }
                };
                let p = [("x", a), ("z", b)].into_iter().take(op.arity());
                let p = p.fold(Params::new(), |p, (n, x)| p.with(n, arr0(x)));
                let g = r.gradient(Wrt::Parameters).expect("it has one");
                let g = g.evaluate(&p, &Batch::new(1, 1));
                assert!(g.is_ok(), "{op:?} at {args:?}: {g:?}");
            }
        }
    }
}

fn of_text(text: &str) -> Recurrence {
    Recurrence::parse("text", text).unwrap_or_else(|e| panic!("{e}"))
}

fn gradient(r: &Recurrence, p: &Params<f64>, b: &Batch<f64>) -> Outputs<f64> {
    let h = r.hessian_vector(Wrt::Parameters).expect("it has one");
    run(&h, &along(&h, p), b);
    let t = r.tangent(Wrt::Parameters).expect("it has one");
    run(&t, &along(&t, p), b);
    run(&r.gradient(Wrt::Parameters).expect("it has one"), p, b)
}

#[test]
fn steps_that_do_not_count() {
    let r = of_text("param a\ninput x\nstate s\ns' = a * x\nfinal loss -ln(s')\n");
    let p = Params::new().with("a", arr0(2.0));
    let b = Batch::new(3, 1).with("x", array![[0.0], [-1.0], [3.0]]);
    assert_eq!(gradient(&r, &p, &b)["a"].sum(), -0.5);
}

#[test]
fn a_norm_at_a_zero_row() {
    let r = of_text(
        "dim N\nparam k [N]\nparam w [N]\ninput x\nn = k / max(sqrt(dot(k, k)), 1e-12)\n\
         loss dot(w, n + x * k)\n",
    );
    let p = Params::new()
        .with("k", arr1(&[0.0, 0.0]))
        .with("w", arr1(&[1.0, 2.0]));
    let b = Batch::new(1, 1).with("x", array![[1.0]]);
    let g = gradient(&r, &p, &b);
    assert_eq!(g["w"], arr1(&[0.0, 0.0]).into_dyn());
    let found: Vec<f64> = g["k"].iter().copied().collect();
    assert!((found[0] / 1e12 - 1.0).abs() < 1e-9 && (found[1] / 2e12 - 1.0).abs() < 1e-9);
}

#[test]
fn branches_that_are_not_taken() {
    let cases = [
        ("loss select(x < 1, x * a, sqrt(x * a))", 0.0, 0.0),
        ("loss select(x < 1, x * a, sqrt(x * a))", -2.0, -2.0),
        ("z = x * a\nloss select(z > 0, z, exp(z) - 1)", 800.0, 800.0),
        (
            "z = x * a\nloss select(z > 0, z, a * (exp(z) - 1))",
            800.0,
            800.0,
        ),
        ("z = x * a\nloss select(x > 0, 1 / z, a)", 0.0, 1.0),
        ("z = x * a\nloss select(x > 0, a * ln(z) / z, a)", 0.0, 1.0),
        (
            "z = x * a\nloss select(x > 0, select(ln(z), z, a), a)",
            -1.0,
            1.0,
        ),
    ];
    for (text, x, expected) in cases {
        let r = of_text(&format!("param a\ninput x\n{text}\n"));
        let p = Params::new().with("a", arr0(1.0));
        let b = Batch::new(1, 1).with("x", array![[x]]);
        assert_eq!(gradient(&r, &p, &b)["a"].sum(), expected, "{text} at {x}");
    }
}

/// Softmax and its logarithms of infinite values, in a branch that is not taken: reverse mode on the tape too.
#[test]
fn reductions_in_a_branch_that_is_not_taken() {
    let p = Params::new()
        .with("a", arr0(0.7))
        .with("w", arr1(&[0.4, 0.9]));
    let b = Batch::new(2, 1).with("x", array![[0.0], [1.0]]);
    for value in [
        "logsumexp(a * w / x)",
        "sum(softmax(a * w / x) * w)",
        "sum(log_softmax(a * w / x) * w)",
        "dot(softmax(ln(x * w)), w)",
    ] {
        let text = format!("dim H\nparam a, w[H]\ninput x\nloss select(x > 0.5, {value}, a^2)\n");
        let r = of_text(&text);
        let certificate = bptt::check(&r, &p, &b).unwrap_or_else(|e| panic!("{value}: {e}"));
        assert!(certificate.passed(), "{value}: {certificate}");
    }
}

/// An infinite cotangent ends at a derivative that is exactly zero.
#[test]
fn an_infinite_cotangent_of_a_value_that_does_not_move() {
    let constant = [
        ("sqrt(max(x * a, 0))", -1.0),
        ("ln(1 + sqrt(max(x * a, 0)))", -1.0),
        ("sqrt(relu(x * a))", -1.0),
        ("relu(x * a)^0.5", -1.0),
        ("pow(max(0, x * a), 0.5)", -1.0),
        ("sqrt(min(x * a, 0)^2)", 3.0),
        ("sqrt((x * a > 0) * x * a)", -1.0),
        ("sqrt(select(x * a > 0, x * a, 0))", -1.0),
        ("1 / (1 / max(x * a, 0) + 1)", -1.0),
        ("sqrt(sum(max(spread(x * a, [3]), 0)))", -1.0),
    ];
    for (value, x) in constant {
        let r = of_text(&format!(
            "param a\ninput x\nstate s\ns' = 0.5 * s + x * a\nloss {value} + s'^2\nfinal loss {value}\n",
        ));
        let plain = of_text(
            "param a\ninput x\nstate s\ns' = 0.5 * s + x * a\nloss s'^2\nfinal loss 0 * a\n",
        );
        let p = Params::new().with("a", arr0(1.0));
        let b = Batch::new(3, 2).with("x", ndarray::Array2::from_elem((3, 2), x));
        same_derivatives(&r, &plain, &p, &b);
    }
}

#[test]
fn powers_of_zero() {
    let r = of_text("param n\nparam u\nloss pow(u, n)\n");
    for (u, n, du, dn) in [
        (0.0, 2.0, 0.0, 0.0),
        (0.0, 3.5, 0.0, 0.0),
        (0.0, 1.0, 1.0, 0.0),
    ] {
        let p = Params::new().with("u", arr0(u)).with("n", arr0(n));
        let g = run(&r.gradient(Wrt::Parameters).unwrap(), &p, &Batch::new(1, 1));
        assert_eq!((g["u"].sum(), g["n"].sum()), (du, dn), "u = {u}, n = {n}");
    }
}

#[test]
fn the_product_in_which_zero_wins() {
    let op = Pointwise::StrongMul;
    for other in [f64::INFINITY, f64::NAN, -f64::INFINITY, 3.0] {
        for zero in [0.0, -0.0] {
            assert_eq!(op.eval(&[zero, other]), 0.0);
            assert_eq!(op.eval(&[other, zero]), 0.0);
        }
    }
    assert_eq!(op.eval(&[2.0, 3.5]), 7.0);
    assert!(op.eval(&[f64::NAN, 1.0]).is_nan());
    assert_eq!(f32::of(op.eval(&[f64::INFINITY, -1.0])), f32::NEG_INFINITY);
}

/// The message for a value that reaches an output names the op and the remedy, which is valid text of the
/// language.
#[test]
fn what_remains_is_reported_with_a_remedy() {
    let r = of_text("param a\ninput x\nstate s\ns' = a * x\nloss ln(s')\n");
    let p = Params::new().with("a", arr0(2.0));
    let b = Batch::new(3, 1).with("x", array![[1.0], [0.0], [3.0]]);
    let error = r.evaluate(&p, &b).expect_err("it is infinite").to_string();
    for part in [
        "`ln(s')` is -inf at step 1 of sample 0",
        "`ln(select(x > 0, x, 1))`",
    ] {
        assert!(error.contains(part), "{error}");
    }
    let r = of_text("input x\nloss 3 / x\n");
    let error = r.evaluate(&Params::new(), &b).expect_err("it is infinite");
    assert!(
        error.to_string().contains("`x / select(z == 0, 1, z)`"),
        "{error}"
    );
    // The derivative of a root is a quotient that is not in the user's text.
    let r = of_text("input x\nloss sqrt(x)\n").gradient(&["x"]).unwrap();
    let error = r.evaluate(&Params::new(), &b).expect_err("it is infinite");
    assert!(
        error.to_string().contains("`sqrt(select(x > 0, x, 1))`"),
        "{error}"
    );
    for op in rows().filter(|op| !op.poles().is_empty()) {
        let form = op.safe_form().expect("it has a remedy");
        assert!(form.contains("select("), "{form}");
        if !form.contains(", n)") {
            of_text(&format!("param p\ninput x, z\nloss {form} * p\n"));
        }
    }
}

/// If a factor is a known number, the product is an ordinary one; the text of a derivative preserves the kind
/// of product.
#[test]
fn a_derivative_is_read_again_as_it_was() {
    let r = of_text("param a\ninput x\nstate s\ns' = s + ln(x * a)\nloss s'^2 / 2\n");
    let g = r.gradient(Wrt::Parameters).unwrap();
    let text = g.source().unwrap();
    assert!(text.contains("strong_mul("), "{text}");
    let again = Recurrence::parse("text", &text).unwrap();
    assert_eq!(again.source().unwrap(), text);
}

/// Products with matrices and of vectors with an infinite or NaN factor; a sum of outer products over time
/// remains a matrix product.
#[test]
fn products_in_a_branch_that_is_not_taken() {
    let text = |wild: &str| {
        format!(
            "dim H, K\ninput x[K], on\nparam W[H, K], V[H, H], A[H, K], a[H]\nstate M[H, H]\n\
             v = ln(x)\nM' = select(spread(on, [H, H]), {wild}, 0.5 * M + V)\n\
             loss sum(M' @ M' @ a)^2 + sum(select(spread(on, [H]), W @ v, A @ x))^2\n"
        )
    };
    let wild = "exp(exp(M @ V + outer(A @ v, a))) @ (M + outer(a, W @ v)) + outer(exp(W @ v), a)";
    let (singular, plain) = (of_text(&text(wild)), of_text(&text("0 * V")));
    let p = Params::new()
        .with("W", array![[0.5, -0.25, 1.0], [0.125, 0.75, 2.0]])
        .with("A", array![[0.25, -0.5, 1.0], [0.5, 0.75, -1.0]])
        .with("V", array![[0.5, 1.0], [-1.0, 0.25]])
        .with("a", arr1(&[0.5, -1.0]));
    let x = ndarray::Array3::from_shape_fn((3, 2, 3), |(t, b, i)| {
        [0.0, -1.0, 2.0, 1e9][(t + b + i) % 4]
    });
    let b = Batch::new(3, 2)
        .with("x", x)
        .with("on", ArrayD::zeros(vec![3, 2]));
    same_derivatives(&singular, &plain, &p, &b);
}

#[test]
fn a_gradient_after_a_quotient_is_one_matrix_product() {
    let r = of_text(
        "dim H, K\ninput x[K]\nparam W[H, K]\nloss sum((W @ (x / sqrt(dot(x, x) + 1e-5)))^2)\n",
    );
    let g = r.gradient(Wrt::Parameters).unwrap();
    let program = g.compile::<f32>(&[("H", 40), ("K", 24)]).unwrap();
    assert_eq!(program.plan().counts().outside.outer_products, 1);
}

/// Data at masked steps may have any value, like data beyond the end of a sequence.
#[test]
fn masked_data() {
    let text = "dim H, K\ninput x[H], y: class(K), z\nparam W[H, H], V[K, H], s\nstate h[H]\n\
                h' = tanh(W @ h + x) * s\nloss softmax_cross_entropy(V @ h', y) + s * ln(z)\n\
                output o = V @ h' + s\n";
    let r = of_text(text).with_mask("m").expect("it can be masked");
    let data = |anything: bool| {
        let (bad, class) = if anything {
            (f64::NAN, usize::MAX)
        } else {
            (0.0, 0)
        };
        let x = ndarray::Array3::from_shape_fn((4, 2, 2), |(t, b, i)| match (t, b) {
            (1, 0) | (3, 1) => bad,
            _ => 0.1 * (t + b + i) as f64,
        });
        let y = array![[0, 1], [class, 2], [2, 0], [1, class]];
        let z = array![
            [0.5, 1.0],
            [if anything { f64::INFINITY } else { 0.0 }, 2.0],
            [2.0, 0.5],
            [1.0, -bad]
        ];
        let m = array![[1.0, 1.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.0]];
        Batch::new(4, 2)
            .with("x", x)
            .with_classes("y", y)
            .with("z", z)
            .with("m", m)
    };
    let p = Params::new()
        .with("W", array![[0.5, -0.25], [0.125, 0.75]])
        .with("V", array![[0.5, 1.0], [-1.0, 0.25], [0.0, -0.5]])
        .with("s", arr0(0.5));
    for lengths in [[4, 4], [2, 4]] {
        let batch = |anything| data(anything).with_lengths(lengths);
        for d in [
            r.clone(),
            r.gradient(Wrt::Parameters).unwrap(),
            r.hessian_vector(Wrt::Parameters).unwrap(),
        ] {
            let p = along(&d, &p);
            assert_eq!(run(&d, &p, &batch(true)), run(&d, &p, &batch(false)));
        }
    }
    // With a mask of ones, the same data is refused.
    let batch = data(true).with("m", ndarray::Array2::ones((4, 2)));
    let error = r.on_every_engine(&p, &batch).expect_err("NaN is refused");
    assert!(
        error
            .to_string()
            .contains("step 1, sample 0, entry [0] (counted from 0) is NaN"),
        "{error}"
    );
}
