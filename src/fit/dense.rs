//! Small dense linear algebra.

use ndarray::{Array1, Array2};

/// The factor of a symmetric positive definite matrix, `A = L Lᵀ`, of a matrix scaled to a unit
/// diagonal, so that parameters of different units do no harm.
pub(super) struct Cholesky {
    lower: Array2<f64>,
    scale: Array1<f64>,
}

impl Cholesky {
    /// `None` where the matrix is not positive definite.
    pub(super) fn of(a: &Array2<f64>) -> Option<Self> {
        let n = a.nrows();
        if a.diag().iter().any(|x| x.is_nan() || *x <= 0.0) {
            return None;
        }
        let scale = a.diag().mapv(|x| x.sqrt().recip());
        let mut lower = Array2::zeros((n, n));
        for i in 0..n {
            for j in 0..=i {
                let known: f64 = (0..j).map(|k| lower[[i, k]] * lower[[j, k]]).sum();
                let rest = a[[i, j]] * scale[i] * scale[j] - known;
                lower[[i, j]] = if i == j {
                    // So little of a unit diagonal is left that it is rounding.
                    if rest.is_nan() || rest <= 1e-14 {
                        return None;
                    }
                    rest.sqrt()
                } else {
                    rest / lower[[j, j]]
                };
            }
        }
        Some(Self { lower, scale })
    }

    /// The `x` with `A x = b`.
    pub(super) fn solve(&self, b: &Array1<f64>) -> Array1<f64> {
        let (l, n) = (&self.lower, b.len());
        let mut x = b * &self.scale;
        for i in 0..n {
            let known: f64 = (0..i).map(|k| l[[i, k]] * x[k]).sum();
            x[i] = (x[i] - known) / l[[i, i]];
        }
        for i in (0..n).rev() {
            let known: f64 = (i + 1..n).map(|k| l[[k, i]] * x[k]).sum();
            x[i] = (x[i] - known) / l[[i, i]];
        }
        x * &self.scale
    }

    /// The diagonal of the inverse.
    pub(super) fn inverse_diagonal(&self) -> Array1<f64> {
        let n = self.scale.len();
        let entry = |i: usize| {
            let mut unit = Array1::zeros(n);
            unit[i] = 1.0;
            self.solve(&unit)[i]
        };
        (0..n).map(entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn it_solves_and_inverts() {
        let a = array![[4e6, 2e3, 0.0], [2e3, 5.0, 1e-3], [0.0, 1e-3, 1e-4]];
        let factors = Cholesky::of(&a).unwrap();
        let x = array![1e-3, -2.0, 300.0];
        let found = factors.solve(&a.dot(&x));
        assert!(
            (&found / &x - 1.0).iter().all(|e| e.abs() < 1e-12),
            "{found}"
        );
        for i in 0..3 {
            let mut unit = Array1::zeros(3);
            unit[i] = 1.0;
            let column = factors.solve(&unit);
            let off = (a.dot(&column) - unit).mapv(f64::abs);
            assert!(off.iter().all(|e| *e < 1e-9), "{off}");
            assert_eq!(factors.inverse_diagonal()[i], column[i]);
        }
    }

    #[test]
    fn what_is_not_positive_definite_is_refused() {
        assert!(
            Cholesky::of(&array![[1.0, 2.0], [2.0, 1.0]]).is_none(),
            "a saddle"
        );
        assert!(
            Cholesky::of(&array![[1.0, 1.0], [1.0, 1.0]]).is_none(),
            "a valley"
        );
        assert!(Cholesky::of(&array![[f64::NAN]]).is_none(), "no number");
    }
}
