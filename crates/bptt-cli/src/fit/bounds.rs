//! Finds parameters that a fit has moved out of the domain of the loss.

use bptt::{Batch, Params, Real, Scalar};

use crate::engine::Program;

/// Numbers that have grown by this factor were carried away by the steps; no domain ends there.
const CARRIED: f64 = 1e6;
/// A positive number that has decreased to less than this part of its value is approaching zero.
const VANISHED: f64 = 1e-6;

/// The end of an error message: a parameter that made values non-finite, with the cause or a remedy. If this parameter alone is
/// reset, all values are finite again. Empty if there is no such parameter.
pub(super) fn told<F: Real>(
    program: &mut Program<'_, F>,
    finite: &Params<F>,
    now: &Params<F>,
    batch: &Batch<F>,
) -> String {
    for (name, array) in now.iter() {
        let Some(was) = finite.get(name).filter(|was| *was != array) else {
            continue;
        };
        if program
            .attempt(&now.clone().with(name, was.clone()), batch)
            .is_err()
        {
            continue;
        }
        let size = |x: &F| Scalar::to_f64(*x).abs();
        let (before, after) = (
            was.iter().map(size).fold(0.0, f64::max),
            array.iter().map(size).fold(0.0, f64::max),
        );
        if after > CARRIED * before.max(1.0) {
            return format!(
                "; the steps have become too large: they carried `{name}` from {} to {}",
                bptt::number(before),
                bptt::number(after)
            );
        }
        let mut pairs = was
            .iter()
            .zip(array)
            .map(|(was, now)| (Scalar::to_f64(*was), Scalar::to_f64(*now)));
        let falls = |(was, now): &(f64, f64)| *was > 0.0 && *now < VANISHED * was;
        let fallen = match pairs.clone().find(falls) {
            Some((was, now)) => format!(
                ": if it must be positive, declare {} and write `{name} = exp(ln_{name})`; it went from {} to {}",
                match (
                    program.recurrence().inputs().any(|i| i == name),
                    array.ndim()
                ) {
                    (true, _) => format!("`ln_{name}` in its place"),
                    (false, 0) => format!("`param ln_{name} = {:.2}`", was.ln()),
                    (false, _) => format!("`param ln_{name}[…] = {:.2}`", was.ln()),
                },
                bptt::number(was),
                bptt::number(now),
            ),
            None if array.ndim() == 0 => match pairs.next() {
                Some((was, now)) => format!(
                    ": it went from {} to {}",
                    bptt::number(was),
                    bptt::number(now)
                ),
                None => String::new(),
            },
            None => String::new(),
        };
        return format!("; `{name}` has moved there{fallen}");
    }
    String::new()
}
