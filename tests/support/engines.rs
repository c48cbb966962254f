//! One suite, every engine: what a test evaluates on the tape also runs as a program, and both
//! must say the same.
#![allow(dead_code, reason = "each test file uses a part of this")]

use bptt::{Batch, Outputs, Params, Real, Recurrence, Result, Scalar};
use ndarray::ArrayD;

/// How far two ways to the same numbers in double precision may be apart.
pub(crate) const TOLERANCE: f64 = 1e-12;

fn wide<F: Scalar>(a: &ArrayD<F>) -> ArrayD<f64> {
    a.mapv(|x| Scalar::to_f64(x))
}

fn norm(a: &ArrayD<f64>) -> f64 {
    let larger = |m: f64, x: &f64| if x.abs() <= m { m } else { x.abs() };
    a.iter().fold(0.0, larger)
}

/// The largest difference, relative to the largest entry of each array; what is tiny next to the
/// other arrays is held to the rounding error of those.
pub(crate) fn apart<F: Scalar>(fast: &Outputs<F>, slow: &Outputs<f64>) -> (f64, String) {
    let floor = 1e-2 * slow.iter().fold(0.0, |m: f64, (_, a)| m.max(norm(a))) + 1e-3;
    let names = |n: Vec<&str>| n.join(" ");
    assert_eq!(
        names(fast.iter().map(|o| o.0).collect()),
        names(slow.iter().map(|o| o.0).collect()),
        "both engines have the same outputs"
    );
    slow.iter().fold((0.0, String::new()), |worst, (name, a)| {
        let b = wide(&fast[name]);
        assert_eq!(a.shape(), b.shape(), "the shape of `{name}`");
        let error = norm(&(a - &b)) / norm(a).max(floor);
        if error > worst.0 || error.is_nan() {
            (error, name.into())
        } else {
            worst
        }
    })
}

/// Whether two runs gave the same bits.
#[track_caller]
pub(crate) fn assert_same_bits<F: Real>(a: &Outputs<F>, b: &Outputs<F>, what: &str) {
    for (name, x) in a.iter() {
        let bits = |x: &ArrayD<F>| wide(x).mapv(f64::to_bits);
        assert_eq!(bits(x), bits(&b[name]), "{what}: `{name}`");
    }
}

pub(crate) trait EveryEngine {
    /// Evaluates on the tape and as a program, by one worker and by two, and compares; what one
    /// engine refuses, the other refuses for the same reason.
    fn on_every_engine(&self, params: &Params<f64>, batch: &Batch<f64>) -> Result<Outputs<f64>>;
}

impl EveryEngine for Recurrence {
    #[track_caller]
    fn on_every_engine(&self, params: &Params<f64>, batch: &Batch<f64>) -> Result<Outputs<f64>> {
        let slow = self.evaluate(params, batch);
        let program = self.compile_for::<f64>(params, batch);
        let fast = program.as_ref().map_err(Clone::clone);
        let fast = fast.and_then(|p| p.evaluate(params, batch));
        match (&slow, &fast) {
            (Ok(slow), Ok(fast)) => {
                let (error, name) = apart(fast, slow);
                assert!(
                    error <= TOLERANCE,
                    "`{name}` is {error:e} apart: {} instead of {}\n{self}",
                    fast[name.as_str()],
                    slow[name.as_str()]
                );
                let shared = program.and_then(|p| p.threads(2).evaluate(params, batch));
                assert_same_bits(fast, &shared.expect("it ran before"), "two threads");
            }
            (Err(slow), Err(fast)) => assert_eq!(
                std::mem::discriminant(slow),
                std::mem::discriminant(fast),
                "{slow}\n{fast}"
            ),
            _ => panic!("the engines disagree: {slow:?}\n{fast:?}\n{self}"),
        }
        slow
    }
}
