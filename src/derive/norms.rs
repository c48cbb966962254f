//! Singular values, for norms and bounds.

use ndarray::Array2;

/// The singular values from the largest on, by Jacobi rotations of the columns.
pub(crate) fn singular_values(a: &Array2<f64>) -> Vec<f64> {
    // One-sided Jacobi: rotate columns until they are orthogonal.
    let mut u = if a.nrows() < a.ncols() {
        a.t().to_owned()
    } else {
        a.clone()
    };
    let n = u.ncols();
    for _ in 0..60 {
        let mut off: f64 = 0.0;
        for p in 0..n {
            for q in p + 1..n {
                let (x, y) = (u.column(p).to_owned(), u.column(q).to_owned());
                let (aa, bb, ab) = (x.dot(&x), y.dot(&y), x.dot(&y));
                if ab == 0.0 {
                    continue;
                }
                off = off.max(ab.abs() / (aa * bb).sqrt().max(f64::MIN_POSITIVE));
                let zeta = (bb - aa) / (2.0 * ab);
                let t = zeta.signum() / (zeta.abs() + zeta.hypot(1.0));
                let t = if zeta == 0.0 { 1.0 } else { t };
                let c = 1.0 / t.hypot(1.0);
                let s = c * t;
                u.column_mut(p).assign(&(&x * c - &y * s));
                u.column_mut(q).assign(&(&x * s + &y * c));
            }
        }
        if off < 1e-15 {
            break;
        }
    }
    let mut values: Vec<f64> = u.columns().into_iter().map(|c| c.dot(&c).sqrt()).collect();
    values.sort_by(|a, b| b.total_cmp(a));
    values
}

/// The largest singular value.
pub(crate) fn spectral_norm(a: &Array2<f64>) -> f64 {
    singular_values(a).first().copied().unwrap_or(0.0)
}

/// The smallest singular value of a square matrix.
pub(crate) fn least_singular_value(a: &Array2<f64>) -> f64 {
    singular_values(a).last().copied().unwrap_or(0.0)
}
