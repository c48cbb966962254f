//! Factorisations of small square matrices, stored row by row.

use smallvec::SmallVec;

use super::{Elementary, Scalar};

/// The entries of a matrix of up to eight rows, or more on the heap.
type Entries<F> = SmallVec<[F; 64]>;

/// The factors of a matrix with its rows in another order, `P A = L U` (Golub and Van Loan, algorithm 3.4.1).
pub(super) struct Lu<F> {
    factors: Entries<F>,
    /// The row of the matrix that each row of the factors comes from.
    rows: SmallVec<[usize; 8]>,
    n: usize,
    is_odd: bool,
    /// True if a pivot is zero or not finite; the factors are incomplete.
    is_singular: bool,
}

/// Subtracts a multiple of a row from another of the same length.
#[inline(always)]
fn subtract<F: Scalar>(row: &mut [F], factor: F, other: &[F]) {
    let other = &other[..row.len()];
    for i in 0..row.len() {
        row[i] -= factor * other[i];
    }
}

/// Calls a function with the number of rows of a small matrix as a constant, so that its loops are unrolled. The order
/// of the operations is the same for every size.
macro_rules! with_size {
    ($n:expr, $size:ident => $call:expr) => {
        match $n {
            1 => {
                let $size = 1;
                $call
            }
            2 => {
                let $size = 2;
                $call
            }
            3 => {
                let $size = 3;
                $call
            }
            4 => {
                let $size = 4;
                $call
            }
            $size => $call,
        }
    };
}

/// Replaces a matrix by its factors, and changes `rows` with its rows; returns true if their order is odd, and true if
/// the matrix is singular.
#[inline(always)]
fn eliminate<F: Scalar>(a: &mut [F], rows: &mut [usize], n: usize) -> (bool, bool) {
    let (a, rows) = (&mut a[..n * n], &mut rows[..n]);
    let mut is_odd = false;
    for k in 0..n {
        let mut largest = k;
        for i in k + 1..n {
            if a[i * n + k].abs() > a[largest * n + k].abs() {
                largest = i;
            }
        }
        if largest != k {
            for j in 0..n {
                a.swap(k * n + j, largest * n + j);
            }
            rows.swap(k, largest);
            is_odd = !is_odd;
        }
        let pivot = a[k * n + k];
        if pivot == F::zero() || !pivot.is_finite() {
            return (is_odd, true);
        }
        let (above, below) = a.split_at_mut((k + 1) * n);
        let row = &above[k * n..];
        for i in 0..n - 1 - k {
            let other = &mut below[i * n..(i + 1) * n];
            let factor = other[k] / pivot;
            other[k] = factor;
            subtract(&mut other[k + 1..], factor, &row[k + 1..]);
        }
    }
    (is_odd, false)
}

/// Writes the solution of `columns` right-hand sides to `x`.
#[inline(always)]
fn substitute<F: Scalar>(
    (factors, rows, n): (&[F], &[usize], usize),
    (b, columns): (&[F], usize),
    x: &mut [F],
) {
    let (factors, rows) = (&factors[..n * n], &rows[..n]);
    let x = &mut x[..n * columns];
    for i in 0..n {
        let (above, rest) = x.split_at_mut(i * columns);
        let (row, factors) = (&mut rest[..columns], &factors[i * n..]);
        let from = rows[i] * columns;
        row.copy_from_slice(&b[from..from + columns]);
        for j in 0..i {
            subtract(row, factors[j], &above[j * columns..]);
        }
    }
    for i in (0..n).rev() {
        let (before, below) = x.split_at_mut((i + 1) * columns);
        let (row, factors) = (&mut before[i * columns..], &factors[i * n + i..]);
        for j in 0..n - 1 - i {
            subtract(row, factors[j + 1], &below[j * columns..]);
        }
        for x in row {
            *x /= factors[0];
        }
    }
}

impl<F: Scalar> Lu<F> {
    pub(super) fn of(matrix: &[F], n: usize) -> Self {
        let mut lu = Self {
            factors: SmallVec::new(),
            rows: SmallVec::new(),
            n,
            is_odd: false,
            is_singular: false,
        };
        lu.factors.extend_from_slice(matrix);
        lu.rows.resize(n, 0);
        for (i, row) in lu.rows.iter_mut().enumerate() {
            *row = i;
        }
        let (a, rows) = (&mut lu.factors[..], &mut lu.rows[..]);
        (lu.is_odd, lu.is_singular) = with_size!(n, size => eliminate(a, rows, size));
        lu
    }

    /// Writes the solution `X` of `A X = B` to `x`, for `columns` right-hand sides. A zero right-hand side has the
    /// solution zero; another one has none if the matrix is singular.
    pub(super) fn solve(&self, b: &[F], columns: usize, x: &mut [F]) {
        if self.is_singular {
            for c in 0..columns {
                let zero = b[c..].iter().step_by(columns).all(|b| *b == F::zero());
                let value = if zero { F::zero() } else { F::nan() };
                x[c..].iter_mut().step_by(columns).for_each(|x| *x = value);
            }
            return;
        }
        let (factors, rows) = (&self.factors[..], &self.rows[..]);
        with_size!(self.n, n => {
            let lu = (factors, rows, n);
            if columns == 1 {
                substitute(lu, (b, 1), x);
            } else if columns == n {
                substitute(lu, (b, n), x);
            } else {
                substitute(lu, (b, columns), x);
            }
        });
    }

    /// `ln det A`: −∞ for a singular matrix, NaN for a negative determinant.
    pub(super) fn log_det(&self) -> F {
        if self.is_singular {
            let is_nan = self.factors.iter().any(|x| !x.is_finite());
            return if is_nan { F::nan() } else { F::neg_infinity() };
        }
        let mut is_negative = self.is_odd;
        let mut sum = F::zero();
        for i in 0..self.n {
            let pivot = self.factors[i * self.n + i];
            is_negative ^= pivot < F::zero();
            sum += Elementary::ln(pivot.abs());
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
