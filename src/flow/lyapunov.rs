//! Lyapunov exponents.

use ndarray::{Array1, Array2, ArrayView2, ArrayViewMut2, Axis};

use super::Flow;
use super::bundle::Bundle;
use super::linear::Place;
use crate::error::{Error, Result, counted};
use crate::noise::Noise;

/// The most entries of a state whose Jacobians are formed: many steps of them take one run.
pub(super) const SMALL: usize = 32;

/// The steps whose Jacobians one run forms.
pub(super) const CHUNK: usize = 256;

/// The blocks of steps that the standard errors compare.
const BLOCKS: usize = 20;

/// Lyapunov exponents of a trajectory, and how far they have converged.
///
/// Exponents are per step. For a flow in continuous time that a recurrence integrates with a step `h`, divide them by `h`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Lyapunov {
    /// The exponents: the mean logarithms by which the volumes of 1, 2, … directions grow, each less the one before it. They fall from the first to the last once
    /// the directions have turned to their limits. An exponent is `−∞` where a direction is lost, since the Jacobian of a step is singular.
    pub exponents: Vec<f64>,
    /// The standard error of each exponent, from the means of [`blocks`](Self::blocks) as if these were independent (batch means). It is `∞` for a
    /// single block or an infinite exponent.
    pub errors: Vec<f64>,
    /// The mean growth in each of up to 20 blocks of steps, `[blocks, exponents]`. The blocks follow each other and differ by at most one step.
    pub blocks: Array2<f64>,
    /// The steps of each block.
    pub lengths: Vec<usize>,
}

impl Lyapunov {
    /// The exponents after each block, from all steps up to there, `[blocks, exponents]`: they settle as the estimate converges.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "numbers of steps are small")]
    pub fn running(&self) -> Array2<f64> {
        let mut found = self.blocks.clone();
        let mut sums = Array1::<f64>::zeros(self.exponents.len());
        let mut steps = 0;
        for (mut row, length) in found.outer_iter_mut().zip(&self.lengths) {
            steps += length;
            sums.scaled_add(*length as f64, &row);
            row.assign(&(&sums / steps as f64));
        }
        found
    }

    fn of(sums: Array2<f64>, lengths: Vec<usize>) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "numbers of steps are small")]
        let number = |n: usize| n as f64;
        let steps = number(lengths.iter().sum());
        let exponents: Vec<f64> = (sums.sum_axis(Axis(0)) / steps).to_vec();
        let mut blocks = sums;
        for (mut row, length) in blocks.outer_iter_mut().zip(&lengths) {
            row /= number(*length);
        }
        let count = blocks.nrows();
        let error = |(mean, column): (&f64, ndarray::ArrayView1<'_, f64>)| {
            if count < 2 || !mean.is_finite() {
                return f64::INFINITY;
            }
            let squares: f64 = column.iter().map(|x| (x - mean).powi(2)).sum();
            (squares / number(count * (count - 1))).sqrt()
        };
        let errors = exponents.iter().zip(blocks.columns()).map(error).collect();
        Self {
            exponents,
            errors,
            blocks,
            lengths,
        }
    }
}

impl Flow {
    /// The first `count` Lyapunov exponents of a sample, from the steps after the first `skip`: orthonormal directions are sent through the Jacobian of
    /// each step and made orthonormal again, and the exponents are the mean logarithms of the factors of their lengths (Benettin et al. 1980; Engelken, Wolf
    /// and Abbott 2023 for recurrent networks). The skipped steps turn the directions, so that the start has no influence.
    ///
    /// The sum of all exponents is the mean of `ln |det J_t|`. An inactive step of a mask has `J_t = I` and counts as a step without growth. A state
    /// that is reset has lost its directions: its exponents are `−∞`.
    ///
    /// ```
    /// use bptt::{Batch, Params, Recurrence};
    /// // The logistic map, whose exponent is ln 2.
    /// let map = Recurrence::parse("map.rec", "state x = 0.3\nx' = 4 * x * (1 - x)\n")?;
    /// let flow = map.flow(&Params::new(), &Batch::new(20_000, 1))?;
    /// let found = flow.lyapunov(0, 1, 100)?;
    /// assert!((found.exponents[0] - 2f64.ln()).abs() < 1e-3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Batch`] if there is no such sample, no step is left after `skip`, `count` is not between 1 and [`size`](Self::size),
    /// or a Jacobian is not finite; otherwise as for [`Program::run`](crate::Program::run).
    pub fn lyapunov(&self, sample: usize, count: usize, skip: usize) -> Result<Lyapunov> {
        let steps = self.steps(sample)?;
        let n = self.size();
        if count == 0 || count > n {
            let reason =
                format!("a state of {n} entries has 1 to {n} Lyapunov exponents, not {count}");
            return Err(Error::Batch { reason });
        }
        let Some(measured) = steps.checked_sub(skip).filter(|left| *left > 0) else {
            let reason = format!(
                "no step of sample {sample} is left for Lyapunov exponents: it has {}, of which the first {skip} are skipped",
                counted(steps, "step")
            );
            return Err(Error::Batch { reason });
        };
        let blocks = measured.min(BLOCKS);
        let mut sums = Array2::zeros((blocks, count));
        let mut lengths = vec![0; blocks];
        let mut add = |step: usize, factors: &[f64]| {
            if let Some(at) = step.checked_sub(skip) {
                let block = at * blocks / measured;
                lengths[block] += 1;
                for (sum, factor) in sums.row_mut(block).iter_mut().zip(factors) {
                    *sum += factor.ln();
                }
            }
        };
        let mut noise = Noise(0);
        let mut directions = Array2::from_shape_simple_fn((count, n), || noise.normal());
        orthonormal(&mut directions.view_mut());
        let check = |step: usize, m: &ArrayView2<'_, f64>| {
            if m.iter().all(|x| x.is_finite()) {
                return Ok(());
            }
            Err(Error::Batch {
                reason: format!(
                    "the Jacobian of step {} of sample {sample} is not finite",
                    step + 1
                ),
            })
        };
        if n <= SMALL {
            let mut runs = self.jacobians(sample)?;
            let all: Vec<usize> = (0..steps).collect();
            for chunk in all.chunks(CHUNK) {
                for (step, transposed) in chunk.iter().zip(runs.at(chunk)?.outer_iter()) {
                    check(*step, &transposed)?;
                    directions = directions.dot(&transposed);
                    add(*step, &orthonormal(&mut directions.view_mut()));
                }
            }
        } else {
            let mut runs = self.tangents(count)?;
            let mut from = Bundle::zeros(self.parts(), 1, count)?;
            let mut to = from.clone();
            for step in 0..steps {
                from.set_matrix(0, &directions.view());
                runs.apply(&[Place { sample, step }], &from, &mut to)?;
                directions = to.matrix(0);
                check(step, &directions.view())?;
                add(step, &orthonormal(&mut directions.view_mut()));
            }
        }
        Ok(Lyapunov::of(sums, lengths))
    }
}

/// Makes the rows orthonormal, from the first to the last, and returns the length of each beyond the ones before: Gram and Schmidt's process, applied twice,
/// which is orthogonal to rounding (Giraud et al. 2005). A row that depends on the ones before to rounding becomes zero, of length 0.
fn orthonormal(rows: &mut ArrayViewMut2<'_, f64>) -> Vec<f64> {
    let (count, n) = rows.dim();
    let mut lengths = Vec::with_capacity(count);
    for i in 0..count {
        let (before, mut rest) = rows.view_mut().split_at(Axis(0), i);
        let mut row = rest.row_mut(0);
        // Scaled, so that no square is out of range.
        let largest = row.iter().fold(0.0f64, |m, x| m.max(x.abs()));
        if largest == 0.0 {
            lengths.push(0.0);
            continue;
        }
        row.mapv_inplace(|x| x / largest);
        let length = row.dot(&row).sqrt();
        for _ in 0..2 {
            for earlier in before.outer_iter() {
                let share = earlier.dot(&row);
                row.scaled_add(-share, &earlier);
            }
        }
        let left = row.dot(&row).sqrt();
        #[expect(clippy::cast_precision_loss, reason = "the number of entries is small")]
        let rounding = n as f64 * f64::EPSILON * length;
        if left <= rounding {
            row.fill(0.0);
            lengths.push(0.0);
        } else {
            row.mapv_inplace(|x| x / left);
            lengths.push(left * largest);
        }
    }
    lengths
}
