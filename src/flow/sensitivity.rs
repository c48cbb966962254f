//! The norms of `∂s_t/∂s_k`.

use std::f64::consts::LN_2;

use ndarray::{Array2, ArrayViewMut1, ArrayViewMut2};

use super::Flow;
use super::bundle::Bundle;
use super::linear::{Linear, Place};
use super::lyapunov::{CHUNK, SMALL};
use crate::error::{Error, Result};
use crate::limit::check_memory;
use crate::noise::Noise;

/// The directions of one row of a run: the step is linearised once for all of them.
const WIDTH: usize = 8;

/// Power iterations end when the logarithm of a norm changes by less.
const TOLERANCE: f64 = 1e-4;

/// Power iterations end after this many at the latest.
const ITERATIONS: usize = 30;

/// How strongly the state at a step depends on the state at an earlier one, for pairs of steps.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Sensitivity {
    /// The steps that are compared, rising. 0 is the initial state.
    pub steps: Vec<usize>,
    /// `ln ‖∂s_t/∂s_k‖₂` in entry `[i, j]` for `t = steps[i]` and `k = steps[j]`. It is `−∞` where the derivative is zero, as for `t < k`.
    pub log_norms: Array2<f64>,
    /// For a state of at most 32 entries, the spectrum of `JᵀJ` with `J = ∂s_t/∂s_k`.
    pub spectrum: Option<Squares>,
    /// The largest change of a logarithm by the last power iteration of its pair: at most 1e-4 if all have converged. It is 0 for norms from formed products, which are exact to rounding.
    pub change: f64,
}

/// Mean and spread of the eigenvalues of `JᵀJ`, that is of the squared singular values: 1 and 0 for dynamical isometry (Chen, Pennington and Schoenholz 2018).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Squares {
    /// The logarithm of the mean, as [`Sensitivity::log_norms`] has its entries.
    pub log_means: Array2<f64>,
    /// The standard deviation as a share of the mean; 0 where the mean is 0.
    pub spreads: Array2<f64>,
}

impl Flow {
    /// The norms `‖∂s_t/∂s_k‖₂` for pairs of at most `points` steps of a sample, spread evenly from the initial state to the last one: with more points than
    /// steps, all pairs.
    ///
    /// Products of Jacobians are formed for a state of at most 32 entries. For a larger one, power iteration sends one vector per pair forwards by
    /// tangents and back by pullbacks; it approaches the norm from below. All vectors are rescaled on the way: no norm overflows or underflows.
    ///
    /// ```
    /// use bptt::{Batch, Params, Recurrence};
    /// let r = Recurrence::parse("r.rec", "state h = 1\nh' = 0.5 * h\n")?;
    /// let map = r.flow(&Params::new(), &Batch::new(100_000, 1))?.sensitivity(0, 5)?;
    /// assert_eq!(map.steps, [0, 25_000, 50_000, 75_000, 100_000]);
    /// assert!((map.log_norms[[4, 0]] / (100_000.0 * 0.5f64.ln()) - 1.0).abs() < 1e-12);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Batch`] if there is no such sample, it has no step, `points` is below 2, or a Jacobian is not finite; [`Error::OutOfMemory`] if
    /// the vectors of all pairs exceed the limit; otherwise as for [`Program::run`](crate::Program::run).
    pub fn sensitivity(&self, sample: usize, points: usize) -> Result<Sensitivity> {
        let steps = self.steps(sample)?;
        if points < 2 || steps == 0 {
            let reason = format!(
                "a map of sensitivities needs 2 points and a step, but has {points} and {steps}"
            );
            return Err(Error::Batch { reason });
        }
        let intervals = (points - 1).min(steps);
        let place = |i: usize| (i as u128 * steps as u128 / intervals as u128) as usize;
        let steps: Vec<usize> = (0..=intervals).map(place).collect();
        let cells = steps.len() * steps.len();
        check_memory(cells.checked_mul(3 * size_of::<f64>()))?;
        if self.size() <= SMALL {
            self.formed(sample, steps)
        } else {
            self.iterated(sample, steps)
        }
    }

    /// By products of Jacobians.
    fn formed(&self, sample: usize, steps: Vec<usize>) -> Result<Sensitivity> {
        let (n, points) = (self.size(), steps.len());
        let mut runs = self.jacobians(sample)?;
        // The transposed product over each interval, with the logarithm of its scale.
        let mut products = Vec::with_capacity(points);
        for ends in steps.windows(2) {
            let mut product = Array2::eye(n);
            let mut scale = 0.0;
            let all: Vec<usize> = (ends[0]..ends[1]).collect();
            for chunk in all.chunks(CHUNK) {
                for (step, transposed) in chunk.iter().zip(runs.at(chunk)?.outer_iter()) {
                    product = product.dot(&transposed);
                    scale += rescale(product.iter_mut());
                    finite(sample, *step, product.iter())?;
                }
            }
            products.push((product, scale));
        }
        let empty = || Array2::from_elem((points, points), f64::NEG_INFINITY);
        let (mut log_norms, mut log_means) = (empty(), empty());
        let mut spreads = Array2::zeros((points, points));
        for k in 0..points {
            let mut product = Array2::eye(n);
            let mut scale = 0.0;
            for t in k..points {
                if t > k {
                    product = product.dot(&products[t - 1].0);
                    scale += products[t - 1].1 + rescale(product.iter_mut());
                }
                let squares: Vec<f64> = singular_values(product.clone())
                    .iter()
                    .map(|s| s * s)
                    .collect();
                #[expect(clippy::cast_precision_loss, reason = "the state is small")]
                let mean = squares.iter().sum::<f64>() / n as f64;
                #[expect(clippy::cast_precision_loss, reason = "the state is small")]
                let variance = squares.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / n as f64;
                let largest = squares.iter().fold(0.0, |m: f64, s| m.max(*s));
                log_norms[[t, k]] = scale + largest.ln() / 2.0;
                log_means[[t, k]] = 2.0 * scale + mean.ln();
                if mean > 0.0 {
                    spreads[[t, k]] = variance.sqrt() / mean;
                }
            }
        }
        Ok(Sensitivity {
            steps,
            log_norms,
            spectrum: Some(Squares { log_means, spreads }),
            change: 0.0,
        })
    }

    /// By power iteration.
    fn iterated(&self, sample: usize, steps: Vec<usize>) -> Result<Sensitivity> {
        let (n, points) = (self.size(), steps.len());
        let mut log_norms = Array2::from_elem((points, points), f64::NEG_INFINITY);
        let mut cells = Vec::new();
        for i in 0..points {
            log_norms[[i, i]] = 0.0;
            cells.extend((0..i).map(|j| (i, j)));
        }
        // The vectors, and the bundles of one step.
        let vectors = cells
            .len()
            .checked_mul(n)
            .and_then(|all| all.checked_mul(3 * size_of::<f64>()));
        check_memory(vectors)?;
        let mut noise = Noise(0);
        let mut pairs: Vec<Pair> = cells
            .iter()
            .map(|(i, j)| Pair {
                from: steps[*j],
                to: steps[*i],
                vector: (0..n).map(|_| noise.normal()).collect(),
                scale: 0.0,
            })
            .collect();
        let mut tangents = self.tangents(WIDTH)?;
        let mut pullbacks = self.pullbacks(WIDTH)?;
        let mut open: Vec<usize> = (0..pairs.len()).collect();
        let mut changes = vec![f64::INFINITY; pairs.len()];
        let last = steps.last().copied().unwrap_or_default();
        for _ in 0..ITERATIONS {
            for pair in &open {
                pairs[*pair].normalise();
                pairs[*pair].scale = 0.0;
            }
            for step in 0..last {
                self.through_step(&mut tangents, Place { sample, step }, &mut pairs, &open)?;
            }
            for pair in &open {
                // ‖Pᵀ P v‖ / ‖P v‖ is nearer to the norm than ‖P v‖.
                pairs[*pair].normalise();
                pairs[*pair].scale = 0.0;
            }
            for step in (0..last).rev() {
                self.through_step(&mut pullbacks, Place { sample, step }, &mut pairs, &open)?;
            }
            open.retain(|pair| {
                let found = pairs[*pair].log_norm();
                let known = std::mem::replace(&mut log_norms[cells[*pair]], found);
                // A zero map stays one.
                let moved = if found == known {
                    0.0
                } else {
                    (found - known).abs()
                };
                changes[*pair] = moved;
                moved > TOLERANCE
            });
            if open.is_empty() {
                break;
            }
        }
        Ok(Sensitivity {
            steps,
            log_norms,
            spectrum: None,
            change: changes.into_iter().fold(0.0, f64::max),
        })
    }

    /// Sends the vectors of the pairs around a step through it.
    fn through_step(
        &self,
        runs: &mut Linear<'_>,
        place: Place,
        pairs: &mut [Pair],
        open: &[usize],
    ) -> Result<()> {
        let step = place.step;
        let active = |pair: &&usize| pairs[**pair].from <= step && step < pairs[**pair].to;
        let active: Vec<usize> = open.iter().filter(active).copied().collect();
        if active.is_empty() {
            return Ok(());
        }
        let rows = active.len().div_ceil(WIDTH);
        let mut from = Bundle::zeros(self.parts(), rows, WIDTH)?;
        let mut matrix = Array2::zeros((WIDTH, self.size()));
        for (row, chunk) in active.chunks(WIDTH).enumerate() {
            for (pair, mut to) in chunk.iter().zip(matrix.outer_iter_mut()) {
                to.assign(&ndarray::aview1(&pairs[*pair].vector));
            }
            from.set_matrix(row, &matrix.view());
        }
        let mut to = from.clone();
        runs.apply(&vec![place; rows], &from, &mut to)?;
        for (row, chunk) in active.chunks(WIDTH).enumerate() {
            for (pair, found) in chunk.iter().zip(to.matrix(row).outer_iter()) {
                let pair = &mut pairs[*pair];
                for (to, from) in pair.vector.iter_mut().zip(&found) {
                    *to = *from;
                }
                finite(place.sample, step, pair.vector.iter())?;
                pair.scale += rescale(pair.vector.iter_mut());
            }
        }
        Ok(())
    }
}

/// A vector that goes from a state to a later one, or back.
#[derive(Debug)]
struct Pair {
    from: usize,
    to: usize,
    vector: Vec<f64>,
    /// The logarithm of the factor by which the vector was larger.
    scale: f64,
}

impl Pair {
    fn log_norm(&self) -> f64 {
        self.scale + self.vector.iter().map(|x| x * x).sum::<f64>().sqrt().ln()
    }

    /// Makes a vector that is not zero one of length 1.
    fn normalise(&mut self) {
        rescale(self.vector.iter_mut());
        let length = self.vector.iter().map(|x| x * x).sum::<f64>().sqrt();
        if length > 0.0 {
            self.vector.iter_mut().for_each(|x| *x /= length);
        }
    }
}

/// Scales entries so that the largest is near 1, by a power of two, which is exact but for entries beyond the range. Returns the logarithm of the factor by
/// which they were larger.
fn rescale<'a>(entries: impl ExactSizeIterator<Item = &'a mut f64>) -> f64 {
    let mut entries: Vec<&mut f64> = entries.collect();
    let most = entries.iter().fold(0.0f64, |m, x| m.max(x.abs()));
    let exponent = most.log2().round();
    if !exponent.is_finite() {
        return 0.0;
    }
    // Two factors, since one may be out of range.
    let half = (-exponent / 2.0).trunc();
    let factors = [half.exp2(), (-exponent - half).exp2()];
    for entry in &mut entries {
        **entry = **entry * factors[0] * factors[1];
    }
    exponent * LN_2
}

fn finite<'a>(
    sample: usize,
    step: usize,
    mut entries: impl Iterator<Item = &'a f64>,
) -> Result<()> {
    if entries.all(|x| x.is_finite()) {
        return Ok(());
    }
    Err(Error::Batch {
        reason: format!(
            "the Jacobian of step {} of sample {sample} is not finite",
            step + 1
        ),
    })
}

/// The singular values of a square matrix, by rotations that make its rows orthogonal (Hestenes 1958). They have high relative accuracy.
fn singular_values(mut a: Array2<f64>) -> Vec<f64> {
    const SWEEPS: usize = 60;
    let n = a.nrows();
    for _ in 0..SWEEPS {
        let mut turned = false;
        for i in 0..n {
            for j in i + 1..n {
                turned |= rotate(a.view_mut(), i, j);
            }
        }
        if !turned {
            break;
        }
    }
    a.outer_iter().map(|row| row.dot(&row).sqrt()).collect()
}

/// Makes two rows orthogonal; false if they are.
fn rotate(mut a: ArrayViewMut2<'_, f64>, i: usize, j: usize) -> bool {
    let (mut x, mut y): (ArrayViewMut1<'_, f64>, ArrayViewMut1<'_, f64>) =
        a.multi_slice_mut((ndarray::s![i, ..], ndarray::s![j, ..]));
    let (xx, yy, xy) = (x.dot(&x), y.dot(&y), x.dot(&y));
    if xy.abs() <= f64::EPSILON * (xx * yy).sqrt() {
        return false;
    }
    let zeta = (yy - xx) / (2.0 * xy);
    let t = zeta.signum() / (zeta.abs() + zeta.hypot(1.0));
    let c = 1.0 / t.hypot(1.0);
    let s = c * t;
    for (x, y) in x.iter_mut().zip(y.iter_mut()) {
        (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
    }
    true
}
