//! Bounds by the ranges of ops and of their slopes: of the rows of the table, and of custom ops that state them.

use std::sync::Arc;

use crate::support::user::{derived, shown};
use bptt::derive::{Check, Derivation, Line};
use bptt::ops::Pointwise;
use bptt::{CustomOp, Expr, Recurrence, Shape};
use ndarray::{ArrayD, ArrayViewD};

fn grid() -> Vec<f64> {
    let near = (-40..=40).map(|i| 0.1 * f64::from(i) + 0.05);
    near.chain([-1e6, -50.0, 50.0, 1e6, 0.0]).collect()
}

#[test]
fn the_values_of_a_row_are_in_its_range() {
    let mut seen = 0;
    for op in Pointwise::ALL {
        let Some((least, most)) = op.range() else {
            continue;
        };
        for x in grid() {
            for other in grid() {
                let y: f64 = op.eval(&[x, other][..op.arity()]);
                assert!(least <= y && y <= most, "{op:?}({x}, {other}) = {y}");
            }
        }
        seen += 1;
    }
    assert!(seen > 6, "{seen}");
}

/// A difference quotient is a mean of slopes.
#[test]
fn the_slopes_of_a_row_are_in_their_range() {
    let (mut seen, step) = (0, 1e-3);
    for op in Pointwise::ALL {
        let Some((least, most)) = op.slope() else {
            continue;
        };
        assert_eq!(op.arity(), 1, "{op:?}");
        // A quotient across a jump is a mean of none.
        for x in grid().into_iter().filter(|x| *x != 0.0 && x.abs() < 100.0) {
            let y = |x: f64| -> f64 { op.eval(&[x]) };
            let slope = (y(x + step) - y(x)) / step;
            let inside = least - 1e-9 <= slope && slope <= most + 1e-9;
            assert!(inside, "{op:?} at {x}: {slope}");
        }
        seen += 1;
    }
    assert!(seen > 6, "{seen}");
}

#[test]
fn every_op_with_a_bounded_slope_bounds_the_slope_of_its_network() {
    for (function, bound) in [
        ("tanh", "1"),
        ("sigmoid", "1/4"),
        ("relu", "1"),
        ("softplus", "1"),
        ("sin", "1"),
        ("abs", "1"),
    ] {
        let network = derived(&format!(
            "dim H\ninput x[H], y[H]\nparam A[H, H]\nstate h[H]\na = A @ h + x\nh' = {function}(a)\n\
             loss 0.5 * sum((h' - y)^2)\n"
        ));
        assert_eq!(shown(&network, "bound.slope"), format!("γ ≤ {bound}"));
        // Only values that are at most one bound the state.
        let bounded = !matches!(function, "relu" | "softplus" | "abs");
        assert_eq!(
            network.line(&Line::StateBound).is_some(),
            bounded,
            "{function}"
        );
    }
}

/// A gate of any op whose values are at most one keeps no more than the whole.
#[test]
fn a_carousel_with_a_gate_that_is_not_a_sigmoid() {
    let gated = |gate: &str| {
        derived(&format!(
            "dim H\ninput x[H], y[H]\nparam A[H, H]\nstate c[H]\na = A @ x\nf = {gate}(a)\nc' = f * c + x\n\
             loss 0.5 * sum((c' - y)^2)\n"
        ))
    };
    for (gate, bounded) in [
        ("sigmoid", true),
        ("tanh", true),
        ("sin", true),
        ("erf", true),
        ("relu", false),
    ] {
        let line = gated(gate).line(&Line::CarouselBound("c".into())).cloned();
        assert_eq!(line.is_some(), bounded, "{gate}");
    }
}

/// `x / (1 + |x|)`, with the intervals that it states.
#[derive(Debug)]
struct Softsign {
    name: &'static str,
    range: Option<(f64, f64)>,
    slope: Option<(f64, f64)>,
}

impl CustomOp for Softsign {
    fn name(&self) -> &str {
        self.name
    }

    fn shape(&self, args: &[Shape]) -> Result<Shape, String> {
        Ok(args[0])
    }

    fn eval(&self, args: &[ArrayViewD<'_, f64>]) -> ArrayD<f64> {
        args[0].mapv(|x| x / (1.0 + x.abs()))
    }

    fn tangent<'b>(
        &self,
        _: &[Expr<'b>],
        y: Expr<'b>,
        x_dot: &[Option<Expr<'b>>],
    ) -> Option<Expr<'b>> {
        x_dot[0].map(|x_dot| (1.0 - y.abs()).square() * x_dot)
    }

    fn range(&self) -> Option<(f64, f64)> {
        self.range
    }

    fn slope(&self) -> Option<(f64, f64)> {
        self.slope
    }
}

fn network(op: Softsign) -> Derivation {
    let op: Arc<dyn CustomOp> = Arc::new(op);
    let recurrence = Recurrence::define("custom", |r| {
        let hidden = r.dim("H");
        let (a, x) = (r.param("A", [hidden, hidden]), r.input("x", [hidden]));
        let h = r.state("h", [hidden]);
        let h = r.next(h, Expr::custom(&op, [a.dot(h) + x]));
        r.loss(h.squared_error(r.input("y", [hidden])));
    });
    let mut derivation = recurrence.unwrap().derive().unwrap();
    derivation.check(4).unwrap();
    derivation
}

fn failed(derivation: &Derivation) -> Vec<String> {
    let failed = |c: &Check| matches!(c, Check::Failed { .. });
    let lines = derivation.equations.iter().filter(|e| failed(&e.check));
    lines.map(|e| e.id.to_string()).collect()
}

#[test]
fn a_custom_op_is_bounded_by_the_intervals_that_it_states() {
    let name = "softsign";
    let stated = network(Softsign {
        name,
        range: Some((-1.0, 1.0)),
        slope: Some((0.0, 1.0)),
    });
    assert_eq!(shown(&stated, "bound.slope"), "γ ≤ 1");
    assert!(stated.line(&Line::StateBound).is_some());
    assert!(failed(&stated).is_empty(), "{:?}", failed(&stated));
    // A name says nothing about the values.
    for name in ["softsign", "sigmoid"] {
        let silent = network(Softsign {
            name,
            range: None,
            slope: None,
        });
        assert!(silent.line(&Line::SlopeBound).is_none(), "{name}");
        assert!(silent.line(&Line::StateBound).is_none(), "{name}");
    }
    // A false statement fails its check.
    let wrong = network(Softsign {
        name,
        range: None,
        slope: Some((0.0, 0.01)),
    });
    assert_eq!(failed(&wrong), ["bound.slope"]);
}
