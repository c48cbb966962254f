//! Factorisations of small square matrices, stored row by row.

use smallvec::SmallVec;

use super::Scalar;

/// The entries of a matrix of up to eight rows, or more on the heap.
type Entries<F> = SmallVec<[F; 64]>;

/// The factors of a matrix with its rows in another order, `P A = L U` (Golub and Van Loan, algorithm 3.4.1).
pub(super) struct Lu<F> {
    factors: Entries<F>,
    /// The row of the matrix that each row of the factors comes from.
    rows: SmallVec<[usize; 8]>,
    n: usize,
    is_odd: bool,
    pub(super) is_singular: bool,
}

impl<F: Scalar> Lu<F> {
    pub(super) fn of(matrix: &[F], n: usize) -> Self {
        let mut lu = Self {
            factors: matrix.into(),
            rows: (0..n).collect(),
            n,
            is_odd: false,
            is_singular: false,
        };
        let a = &mut lu.factors[..];
        for k in 0..n {
            let larger = |at: usize, i: usize| {
                if a[i * n + k].abs() > a[at * n + k].abs() {
                    i
                } else {
                    at
                }
            };
            let pivot = (k..n).reduce(larger).unwrap_or(k);
            if pivot != k {
                for j in 0..n {
                    a.swap(k * n + j, pivot * n + j);
                }
                lu.rows.swap(k, pivot);
                lu.is_odd = !lu.is_odd;
            }
            if a[k * n + k] == F::zero() {
                lu.is_singular = true;
                break;
            }
            let (above, below) = a.split_at_mut((k + 1) * n);
            let row = &above[k * n..];
            for other in below.chunks_exact_mut(n) {
                let factor = other[k] / row[k];
                other[k] = factor;
                for j in k + 1..n {
                    other[j] -= factor * row[j];
                }
            }
        }
        lu
    }

    /// Writes the solution `X` of `A X = B` to `x`, for `columns` right-hand sides. A zero right-hand side has the
    /// solution zero; another one has none if the matrix is singular.
    pub(super) fn solve(&self, b: &[F], columns: usize, x: &mut [F]) {
        let n = self.n;
        for c in 0..columns {
            if (0..n).all(|i| b[i * columns + c] == F::zero()) {
                (0..n).for_each(|i| x[i * columns + c] = F::zero());
                continue;
            }
            if self.is_singular {
                (0..n).for_each(|i| x[i * columns + c] = F::nan());
                continue;
            }
            for i in 0..n {
                let row = &self.factors[i * n..(i + 1) * n];
                let mut rest = b[self.rows[i] * columns + c];
                for (j, factor) in row[..i].iter().enumerate() {
                    rest -= *factor * x[j * columns + c];
                }
                x[i * columns + c] = rest;
            }
            for i in (0..n).rev() {
                let row = &self.factors[i * n..(i + 1) * n];
                let mut rest = x[i * columns + c];
                for (j, factor) in row.iter().enumerate().skip(i + 1) {
                    rest -= *factor * x[j * columns + c];
                }
                x[i * columns + c] = rest / row[i];
            }
        }
    }

    /// `ln det A`: −∞ for a singular matrix, NaN for a negative determinant.
    pub(super) fn log_det(&self) -> F {
        if self.is_singular {
            return F::neg_infinity();
        }
        let mut is_negative = self.is_odd;
        let mut sum = F::zero();
        for i in 0..self.n {
            let pivot = self.factors[i * self.n + i];
            is_negative ^= pivot < F::zero();
            sum += pivot.abs().ln();
        }
        if is_negative { F::nan() } else { sum }
    }
}

/// Writes the lower triangular `L` with `L Lᵀ = (A + Aᵀ)/2` to `l` (Golub and Van Loan, algorithm 4.2.1); NaN if the matrix
/// is not positive definite.
pub(super) fn cholesky<F: Scalar>(a: &[F], n: usize, l: &mut [F]) {
    let half = F::of(0.5);
    for i in 0..n {
        for j in 0..n {
            if j > i {
                l[i * n + j] = F::zero();
                continue;
            }
            let mut rest = half * (a[i * n + j] + a[j * n + i]);
            for k in 0..j {
                rest -= l[i * n + k] * l[j * n + k];
            }
            l[i * n + j] = if i == j {
                // The root of a negative number is NaN.
                if rest > F::zero() {
                    rest.sqrt()
                } else {
                    F::nan()
                }
            } else {
                rest / l[j * n + j]
            };
        }
    }
}
