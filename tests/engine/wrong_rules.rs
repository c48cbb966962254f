//! Wrong derivatives where differences see little: none of them is certified, and no right one is
//! rejected.

use std::sync::Arc;

use bptt::check::Verdict;
use bptt::{
    Batch, Certificate, CustomOp, Definition, Expr, Params, Recurrence, ScalarFunction, Shape,
};
use ndarray::{Array2, ArrayD, ArrayViewD, arr0};

/// A function with a wrong derivative.
type Rule = (
    &'static str,
    fn(f64) -> f64,
    for<'b> fn(Expr<'b>, Expr<'b>) -> Expr<'b>,
);

/// The identity with a wrong derivative.
const RULES: [Rule; 4] = [
    ("dropped", |x| x, |x, _| x.full_like(0.0)),
    ("slightly larger", |x| x, |x, _| x.full_like(1.001)),
    ("of the wrong sign", |x| x, |x, _| x.full_like(-1.0)),
    ("twice as large", |x| x, |x, _| x.full_like(2.0)),
];

fn op((_, eval, derivative): Rule) -> Arc<dyn CustomOp> {
    Arc::new(ScalarFunction {
        name: "wrong",
        eval,
        derivative,
    })
}

fn certify(params: &[(&str, f64)], f: impl FnOnce(&Definition)) -> Certificate {
    let r = Recurrence::define("scalars", f).unwrap();
    let params = params
        .iter()
        .fold(Params::new(), |p, (name, x)| p.with(name, arr0(*x)));
    bptt::check(&r, &params, &Batch::new(1, 1)).unwrap()
}

/// The wrong rules that were certified.
#[derive(Default)]
struct Survivors(Vec<String>);

impl Survivors {
    fn see(&mut self, what: &str, found: &Certificate) {
        if found.verdict() == Verdict::Certified {
            self.0.push(format!("{what}\n{found}"));
        }
    }
    fn none(self) {
        let count = self.0.len();
        assert!(
            self.0.is_empty(),
            "{count} certified:\n{}",
            self.0.join("\n")
        );
    }
}

#[test]
fn a_wrong_rule_beside_a_constant() {
    let mut survivors = Survivors::default();
    for rule in RULES {
        for constant in [0.0, 1.0, 1e6, 1e9] {
            for power in (0..18).step_by(2) {
                let slope = 0.1f64.powi(power);
                let found = certify(&[("p", 0.7)], |r| {
                    r.loss(Expr::custom(&op(rule), [slope * r.param("p", ()).sin()]) + constant);
                });
                survivors.see(&format!("{} {constant:e} {slope:e}", rule.0), &found);
            }
        }
    }
    survivors.none();
}

#[test]
fn a_wrong_rule_near_an_optimum() {
    let (xs, ys) = ([1.0, 2.0, 4.0], [1.1, 1.9, 4.2]);
    let dot = |a: [f64; 3], b: [f64; 3]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let column = |v: [f64; 3]| Array2::from_shape_fn((3, 1), |(t, _)| v[t]);
    let mut survivors = Survivors::default();
    for rule in RULES {
        for size in [1.0, 1e4] {
            for power in (0..18).chain([300]).step_by(2) {
                let away = 0.1f64.powi(power);
                let r = Recurrence::define("line", |r| {
                    let (x, y) = (r.input("x", ()), r.input("y", ()));
                    let w = Expr::custom(&op(rule), [r.param("w", ())]);
                    r.loss((w * x.hold(bptt::Rate::Step)).squared_error(y));
                })
                .unwrap();
                let batch = Batch::new(3, 1)
                    .with("x", size * column(xs))
                    .with("y", size * column(ys));
                let w = dot(xs, ys) / dot(xs, xs) * (1.0 + away);
                let found = bptt::check(&r, &Params::new().with("w", arr0(w)), &batch).unwrap();
                survivors.see(&format!("{} {size:e} {away:e}", rule.0), &found);
            }
        }
    }
    survivors.none();
}

/// A function with its derivative times a factor.
#[derive(Debug)]
struct Scaled {
    family: &'static str,
    factor: f64,
}

const FAMILIES: [&str; 4] = ["identity", "tanh", "square", "exp"];
/// The first is right.
const FACTORS: [f64; 5] = [1.0, 0.0, -1.0, 1.001, 2.0];
const CONSTANTS: [f64; 5] = [0.0, 1.0, 1e4, 1e6, 1e8];

impl CustomOp for Scaled {
    fn name(&self) -> &str {
        self.family
    }

    fn shape(&self, args: &[Shape]) -> Result<Shape, String> {
        Ok(args[0])
    }

    fn eval(&self, args: &[ArrayViewD<'_, f64>]) -> ArrayD<f64> {
        args[0].mapv(match self.family {
            "identity" => |x| x,
            "tanh" => f64::tanh,
            "square" => |x| x * x,
            _ => f64::exp,
        })
    }

    fn tangent<'b>(
        &self,
        x: &[Expr<'b>],
        y: Expr<'b>,
        x_dot: &[Option<Expr<'b>>],
    ) -> Option<Expr<'b>> {
        let right = match self.family {
            "identity" => y.full_like(1.0),
            "tanh" => 1.0 - y * y,
            "square" => 2.0 * x[0],
            _ => y,
        };
        let scaled = match self.factor {
            0.0 => y.full_like(0.0),
            factor => factor * right,
        };
        x_dot[0].map(|x_dot| scaled * x_dot)
    }
}

/// Where a rule is used: the name, if differences resolve it without a constant, and the loss.
type Place = (
    &'static str,
    bool,
    for<'b> fn(&dyn Fn(Expr<'b>) -> Expr<'b>, Expr<'b>) -> Expr<'b>,
);

const PLACES: [Place; 15] = [
    ("ordinary", true, |f, p| f(p.sin())),
    ("cosine", true, |f, p| f(p.cos()).square()),
    ("slope 1e-4", false, |f, p| f(1e-4 * p.sin())),
    ("slope 1e-10", false, |f, p| f(1e-10 * p.sin())),
    ("slope 1e-14", false, |f, p| f(1e-14 * p.sin())),
    ("at 4", false, |f, p| f(p + 3.3)),
    ("at 8", false, |f, p| f(p + 7.3)),
    ("at 12", false, |f, p| f(p + 11.3)),
    ("at 15", false, |f, p| f(p + 14.3)),
    ("at 17", false, |f, p| f(p + 16.3)),
    ("at 18.5", false, |f, p| f(p + 17.8)),
    ("at -25", false, |f, p| f(p - 25.7)),
    ("loss of 1e-8", true, |f, p| 1e-8 * f(p.sin())),
    ("loss of 1e-20", true, |f, p| (1e-10 * f(p.sin())).square()),
    ("loss of 1e-200", true, |f, p| 1e-200 * f(p.sin())),
];

/// Faults of the certification: wrong rules that were certified, right rules that were rejected.
#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    fn see(&mut self, factor: f64, must_pass: bool, what: &str, found: &Certificate) {
        let fault = match found.verdict() {
            Verdict::Certified => factor != 1.0,
            Verdict::Rejected => factor == 1.0,
            _ => {
                assert!(
                    found.remarks().next().is_some(),
                    "no reason, {what}: {found}"
                );
                factor == 1.0 && must_pass
            }
        };
        if fault {
            self.0.push(format!("{what} times {factor}\n{found}"));
        }
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let count = self.0.len();
            assert!(count == 0, "{count} faults:\n{}", self.0.join("\n"));
        }
    }
}

/// Every rule that only differences can test, everywhere: a wrong one is not certified, a right one
/// not rejected.
#[test]
fn rules_of_custom_ops_at_every_place_beside_every_constant() {
    let mut faults = Faults::default();
    for family in FAMILIES {
        for factor in FACTORS {
            let op: Arc<dyn CustomOp> = Arc::new(Scaled { family, factor });
            for (place, resolved, loss) in PLACES {
                for (i, constant) in CONSTANTS.into_iter().enumerate() {
                    // Every second number is one of `f32`.
                    let p = if i % 2 == 0 { 0.7 } else { f64::from(0.7_f32) };
                    let found = certify(&[("p", p)], |r| {
                        let f = |x| Expr::custom(&op, [x]);
                        r.loss(loss(&f, r.param("p", ())) + constant);
                    });
                    let what = format!("{family} {place} beside {constant:e}");
                    faults.see(factor, resolved && constant == 0.0, &what, &found);
                }
            }
        }
    }
}

/// The same in a recurrence, whose other parameters and inputs have derivatives that use no rule.
#[test]
fn rules_of_custom_ops_in_a_recurrence() {
    let mut faults = Faults::default();
    let column = |v: [f64; 4]| Array2::from_shape_fn((4, 1), |(t, _)| v[t]);
    let batch = Batch::new(4, 1)
        .with("x", column([0.3, -0.8, 0.5, 0.9]))
        .with("y", column([0.1, 0.2, -0.3, 0.4]));
    let params = Params::new()
        .with("a", arr0(0.6))
        .with("b", arr0(-0.7))
        .with("c", arr0(0.4));
    for family in FAMILIES {
        for factor in FACTORS {
            let op: Arc<dyn CustomOp> = Arc::new(Scaled { family, factor });
            for (size, constant) in CONSTANTS.map(|c| (1.0, c)).into_iter().chain([(1e-9, 0.0)]) {
                let r = Recurrence::define("custom", |r| {
                    let (a, b, c) = (r.param("a", ()), r.param("b", ()), r.param("c", ()));
                    let s = r.state("s", ());
                    let s = r.next(s, Expr::custom(&op, [a * s + b * r.input("x", ())]));
                    r.loss(size * (c * s).squared_error(r.input("y", ())) + constant);
                });
                let found = bptt::check(&r.unwrap(), &params, &batch).unwrap();
                let what = format!("{family} in a recurrence of {size:e} beside {constant:e}");
                faults.see(factor, constant <= 1.0, &what, &found);
            }
        }
    }
}

/// A gradient graph that is wrong, of a loss without custom ops: the exact routes tell at any size.
#[test]
fn wrong_graphs_of_small_gradients() {
    let mut faults = Faults::default();
    for size in [1.0, 1e-6, 1e-10, 1e-14, 1e-17, 1e-30, 1e-150, 1e-300] {
        for constant in CONSTANTS {
            let text = |factor: f64| {
                format!(
                    "param p, q\nloss {:e} * sin(p) + q^2 + {constant:e}\n",
                    factor * size
                )
            };
            let parse = |factor| Recurrence::parse("r", &text(factor)).unwrap();
            let params = Params::new().with("p", arr0(0.7)).with("q", arr0(0.4));
            for factor in FACTORS {
                let wrong = parse(factor).gradient(bptt::Wrt::Everything).unwrap();
                let r = parse(1.0);
                let check = bptt::Check::new(&r).gradient(&wrong);
                let found = check.run(&params, &Batch::new(1, 1)).unwrap();
                let what = format!("a graph of {size:e} beside {constant:e}");
                faults.see(factor, false, &what, &found);
            }
        }
    }
}

/// A rule that only a second derivative uses.
#[test]
fn a_wrong_rule_inside_a_rule() {
    #[derive(Debug)]
    struct Outer(Arc<dyn CustomOp>);
    impl CustomOp for Outer {
        fn name(&self) -> &str {
            "half_square"
        }
        fn shape(&self, args: &[Shape]) -> Result<Shape, String> {
            Ok(args[0])
        }
        fn eval(&self, args: &[ArrayViewD<'_, f64>]) -> ArrayD<f64> {
            args[0].mapv(|x| 0.5 * x * x)
        }
        fn tangent<'b>(
            &self,
            x: &[Expr<'b>],
            _: Expr<'b>,
            x_dot: &[Option<Expr<'b>>],
        ) -> Option<Expr<'b>> {
            x_dot[0].map(|x_dot| Expr::custom(&self.0, [x[0]]) * x_dot)
        }
    }
    let mut faults = Faults::default();
    for factor in FACTORS {
        for size in [1.0, 1e-9] {
            let inner: Arc<dyn CustomOp> = Arc::new(Scaled {
                family: "identity",
                factor,
            });
            let op: Arc<dyn CustomOp> = Arc::new(Outer(inner));
            let found = certify(&[("p", 0.7)], |r| {
                let p = r.param("p", ());
                r.loss(size * Expr::custom(&op, [p]) + p);
            });
            faults.see(factor, size == 1.0, "a rule inside a rule", &found);
        }
    }
}
