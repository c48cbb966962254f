//! Small dense linear algebra.

use ndarray::{Array1, Array2, Axis};

/// The Cholesky factor `A = L Lᵀ` of a symmetric positive definite matrix. The matrix is first scaled to a unit
/// diagonal, so that different units of the parameters do not matter.
pub(super) struct Cholesky {
    lower: Array2<f64>,
    scale: Array1<f64>,
}

impl Cholesky {
    /// The factor; `None` if the matrix is not positive definite.
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
                    // Relative to the unit diagonal, such a small rest is rounding error.
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

    /// The solution `x` of `A x = b`.
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

    /// The inverse.
    pub(super) fn inverse(&self) -> Array2<f64> {
        let n = self.scale.len();
        let mut inverse = Array2::zeros((n, n));
        for i in 0..n {
            let mut unit = Array1::zeros(n);
            unit[i] = 1.0;
            inverse.column_mut(i).assign(&self.solve(&unit));
        }
        // The two triangles agree up to rounding.
        0.5 * (&inverse + &inverse.t())
    }
}

/// The eigenvalues of a symmetric matrix in ascending order, and its eigenvectors as the columns of an orthogonal
/// matrix.
pub(super) struct Eigen {
    pub(super) values: Array1<f64>,
    pub(super) vectors: Array2<f64>,
}

impl Eigen {
    /// Householder's reduction to a tridiagonal matrix, then QL with implicit shifts: `tred2` and
    /// `tql2` of Bowdler, Martin, Reinsch and Wilkinson (1968).
    ///
    /// `None` if an entry is not finite, or the iteration does not converge.
    pub(super) fn of(a: &Array2<f64>) -> Option<Self> {
        if a.iter().any(|x| !x.is_finite()) {
            return None;
        }
        let mut vectors = a.clone();
        let (mut values, mut beside) = tridiagonal(&mut vectors);
        diagonal(&mut vectors, &mut values, &mut beside)?;
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|i, j| values[*i].total_cmp(&values[*j]));
        Some(Self {
            values: values.select(Axis(0), &order),
            vectors: vectors.select(Axis(1), &order),
        })
    }
}

/// Replaces a symmetric `v` by the orthogonal matrix that makes it tridiagonal; returns the diagonal and, from entry
/// 1 on, the subdiagonal.
fn tridiagonal(v: &mut Array2<f64>) -> (Array1<f64>, Array1<f64>) {
    let n = v.nrows();
    let (mut d, mut e) = (Array1::zeros(n), Array1::zeros(n));
    for i in (1..n).rev() {
        let scale: f64 = (0..i).map(|k| v[[i, k]].abs()).sum();
        if i == 1 || scale == 0.0 {
            e[i] = v[[i, i - 1]];
            continue;
        }
        for k in 0..i {
            v[[i, k]] /= scale;
        }
        let mut h: f64 = (0..i).map(|k| v[[i, k]] * v[[i, k]]).sum();
        let f = v[[i, i - 1]];
        let g = -h.sqrt().copysign(f);
        e[i] = scale * g;
        h -= f * g;
        v[[i, i - 1]] = f - g;
        let mut along = 0.0;
        for j in 0..i {
            v[[j, i]] = v[[i, j]] / h;
            let below: f64 = (0..=j).map(|k| v[[j, k]] * v[[i, k]]).sum();
            let right: f64 = (j + 1..i).map(|k| v[[k, j]] * v[[i, k]]).sum();
            e[j] = (below + right) / h;
            along += e[j] * v[[i, j]];
        }
        let half = along / (h + h);
        for j in 0..i {
            let f = v[[i, j]];
            let g = e[j] - half * f;
            e[j] = g;
            for k in 0..=j {
                v[[j, k]] -= f * e[k] + g * v[[i, k]];
            }
        }
        d[i] = h;
    }
    for i in 0..n {
        if d[i] != 0.0 {
            for j in 0..i {
                let g: f64 = (0..i).map(|k| v[[i, k]] * v[[k, j]]).sum();
                for k in 0..i {
                    v[[k, j]] -= g * v[[k, i]];
                }
            }
        }
        d[i] = v[[i, i]];
        v[[i, i]] = 1.0;
        for j in 0..i {
            v[[j, i]] = 0.0;
            v[[i, j]] = 0.0;
        }
    }
    (d, e)
}

/// Diagonalises a tridiagonal matrix, and applies the same rotations to the columns of `z`.
fn diagonal(z: &mut Array2<f64>, d: &mut Array1<f64>, e: &mut Array1<f64>) -> Option<()> {
    const MOST: usize = 60;
    let n = d.len();
    for i in 1..n {
        e[i - 1] = e[i];
    }
    if n > 0 {
        e[n - 1] = 0.0;
    }
    for l in 0..n {
        for round in 0.. {
            let small = |m: &usize| {
                let size = d[*m].abs() + d[m + 1].abs();
                e[*m].abs() <= f64::EPSILON * size || e[*m].abs() < f64::MIN_POSITIVE
            };
            let m = (l..n - 1).find(small).unwrap_or(n - 1);
            if m == l {
                break;
            }
            if round == MOST {
                return None;
            }
            let mut g = (d[l + 1] - d[l]) / (2.0 * e[l]);
            let r = g.hypot(1.0);
            g = d[m] - d[l] + e[l] / (g + r.copysign(g));
            let (mut s, mut c, mut p) = (1.0, 1.0, 0.0);
            let mut whole = true;
            for i in (l..m).rev() {
                let (f, b) = (s * e[i], c * e[i]);
                let r = f.hypot(g);
                e[i + 1] = r;
                if r == 0.0 {
                    d[i + 1] -= p;
                    e[m] = 0.0;
                    whole = false;
                    break;
                }
                s = f / r;
                c = g / r;
                let shifted = d[i + 1] - p;
                let r = (d[i] - shifted) * s + 2.0 * c * b;
                p = s * r;
                d[i + 1] = shifted + p;
                g = c * r - b;
                for k in 0..z.nrows() {
                    let (x, y) = (z[[k, i]], z[[k, i + 1]]);
                    z[[k, i + 1]] = s * x + c * y;
                    z[[k, i]] = c * x - s * y;
                }
            }
            if whole {
                d[l] -= p;
                e[l] = g;
                e[m] = 0.0;
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::noise::Noise;

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
            assert!(
                (factors.inverse()[[i, i]] / column[i] - 1.0).abs() < 1e-12,
                "the inverse"
            );
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

    #[test]
    fn eigenvectors_make_a_matrix_diagonal() {
        let mut noise = Noise(3);
        for n in 1..8 {
            let mut a = Array2::from_shape_fn((n, n), |_| noise.number());
            a = &a + &a.t();
            if n == 5 {
                // Equal eigenvalues, and blocks that are decoupled.
                a = Array2::eye(n);
                a[[1, 3]] = 0.5;
                a[[3, 1]] = 0.5;
            }
            let Eigen { values, vectors } = Eigen::of(&a).unwrap();
            let again = vectors.dot(&Array2::from_diag(&values)).dot(&vectors.t());
            let unit = vectors.t().dot(&vectors);
            assert!(
                (&again - &a).iter().all(|x| x.abs() < 1e-14),
                "{again} is not {a}"
            );
            assert!(
                (unit - Array2::<f64>::eye(n))
                    .iter()
                    .all(|x| x.abs() < 1e-14),
                "orthogonal"
            );
            assert!(
                values.windows(2).into_iter().all(|w| w[0] <= w[1]),
                "{values}"
            );
        }
        // A graded matrix: rows of very different size.
        let graded = array![[1e8, 2e3, 1.0], [2e3, 3.0, 1e-4], [1.0, 1e-4, 5e-9]];
        let found = Eigen::of(&graded).unwrap();
        let off = graded.dot(&found.vectors) - &found.vectors * &found.values;
        assert!(off.iter().all(|x| x.abs() < 1e-7), "{off}");
        assert!(Eigen::of(&array![[f64::NAN]]).is_none(), "no number");
    }
}
