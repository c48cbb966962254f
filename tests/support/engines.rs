//! Runs each test on every engine: a recurrence evaluated on the tape also runs as a program, and both results
//! must agree.

use bptt::{Batch, Outputs, Params, Real, Recurrence, Result, Scalar};
use bptt_testing::{Precision, Rounding};
use ndarray::ArrayD;

/// The tolerance between two computations in double precision. For ill-conditioned numbers it is their rounding
/// error instead, at most [`MOST`].
pub(crate) const TOLERANCE: f64 = 1e-13;
const MOST: f64 = 1e-12;

fn wide<F: Scalar>(a: &ArrayD<F>) -> ArrayD<f64> {
    a.mapv(|x| Scalar::to_f64(x))
}

fn norm(a: &ArrayD<f64>) -> f64 {
    let larger = |m: f64, x: &f64| if x.abs() <= m { m } else { x.abs() };
    a.iter().fold(0.0, larger)
}

/// The largest difference, relative to the largest entry of each array. Arrays that are tiny beside the others
/// are compared relative to those.
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

/// The tolerance for an output, relative to its scale as in [`apart`]: its rounding error, within limits.
fn tolerance(r: &Recurrence, params: &Params<f64>, batch: &Batch<f64>, name: &str) -> f64 {
    // Numbers too large for single precision give no estimate.
    let Ok(rounding) = Rounding::of(r, params, batch) else {
        return MOST;
    };
    let scale = norm(&rounding.outputs()[name]).max(f64::MIN_POSITIVE);
    (rounding.bound(name, Precision::F64) / scale).clamp(TOLERANCE, MOST)
}

/// Checks that two runs gave the same bits.
#[track_caller]
pub(crate) fn assert_same_bits<F: Real>(a: &Outputs<F>, b: &Outputs<F>, what: &str) {
    for (name, x) in a.iter() {
        let bits = |x: &ArrayD<F>| wide(x).mapv(f64::to_bits);
        assert_eq!(bits(x), bits(&b[name]), "{what}: `{name}`");
    }
}

pub(crate) trait EveryEngine {
    /// Evaluates on the tape, as a program with one and with two workers, and with the reference interpreter of
    /// its plan, and compares the results or the errors.
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
                let interpreted = program.as_ref().map_err(Clone::clone);
                let interpreted = interpreted.and_then(|p| p.interpret(params, batch));
                for found in [fast, &interpreted.expect("it ran before")] {
                    let (error, name) = apart(found, slow);
                    assert!(
                        error <= TOLERANCE || error <= tolerance(self, params, batch, &name),
                        "`{name}` is {error:e} apart: {} instead of {}\n{self}",
                        found[name.as_str()],
                        slow[name.as_str()]
                    );
                }
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
