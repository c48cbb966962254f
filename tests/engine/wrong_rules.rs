//! Wrong derivatives where differences see little: none of them is certified. Gradients that are
//! negligible next to the loss are left out: no difference sees them.

use std::sync::Arc;

use bptt::check::Verdict;
use bptt::{Batch, Certificate, CustomOp, Definition, Expr, Params, Recurrence, ScalarFunction};
use ndarray::{Array2, arr0};

/// A function with a wrong derivative.
type Rule = (
    &'static str,
    fn(f64) -> f64,
    for<'b> fn(Expr<'b>, Expr<'b>) -> Expr<'b>,
);

/// The identity with a wrong derivative.
const RULES: [Rule; 3] = [
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
            // A derivative below 1e-10 of the loss is negligible.
            for power in (0..10).step_by(2) {
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
