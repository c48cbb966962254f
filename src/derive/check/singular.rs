//! Singular values.

use ndarray::{Array1, Array2};

use crate::noise::Noise;

/// The singular values in descending order, by Jacobi rotations of the columns.
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

/// From this size on, the Lanczos method computes the largest singular value faster.
const LARGE: usize = 24;

/// The largest singular value.
pub(crate) fn spectral_norm(a: &Array2<f64>) -> f64 {
    if a.nrows().min(a.ncols()) < LARGE {
        return singular_values(a).first().copied().unwrap_or(0.0);
    }
    let scale = a.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
    if scale == 0.0 || !scale.is_finite() {
        return scale;
    }
    scale * lanczos(&(a / scale)).sqrt()
}

/// The largest eigenvalue of `AᵀA`, by the Lanczos method with full orthogonalisation. It stops when the value has
/// converged, or after as many directions as there are columns.
fn lanczos(a: &Array2<f64>) -> f64 {
    let n = a.ncols();
    let mut random = Noise(1);
    let mut next = Array1::from_shape_simple_fn(n, || random.number());
    let mut basis: Vec<Array1<f64>> = Vec::new();
    let (mut diagonal, mut beside) = (Vec::new(), Vec::new());
    let (mut value, mut still) = (0.0, 0);
    while basis.len() < n {
        next /= next.dot(&next).sqrt();
        let mut image = a.t().dot(&a.dot(&next));
        diagonal.push(next.dot(&image));
        basis.push(next);
        // Two passes suffice, whatever rounding error the first leaves.
        for direction in basis.iter().chain(&basis) {
            let share = direction.dot(&image);
            image.scaled_add(-share, direction);
        }
        let found = largest_eigenvalue(&diagonal, &beside);
        still = if found - value <= 1e-15 * found {
            still + 1
        } else {
            0
        };
        value = found;
        let left = image.dot(&image).sqrt();
        if still > 2 || left <= 1e-14 * value {
            break;
        }
        beside.push(left);
        next = image;
    }
    value
}

/// The largest eigenvalue of a symmetric tridiagonal matrix, by bisection: the number of eigenvalues above a point is
/// the number of positive pivots there.
fn largest_eigenvalue(diagonal: &[f64], beside: &[f64]) -> f64 {
    let side = |i: usize| beside.get(i).copied().unwrap_or(0.0);
    let radius = |i: usize| side(i) + if i > 0 { side(i - 1) } else { 0.0 };
    let ends = diagonal
        .iter()
        .enumerate()
        .map(|(i, d)| (d - radius(i), d + radius(i)));
    let (mut low, mut high) =
        ends.fold((f64::MAX, f64::MIN), |(l, h), (a, b)| (l.min(a), h.max(b)));
    let above = |x: f64| {
        let mut pivot = f64::INFINITY;
        diagonal.iter().enumerate().any(|(i, d)| {
            let before = if i > 0 { side(i - 1) } else { 0.0 };
            pivot = d - x - before * before / pivot;
            if pivot == 0.0 {
                pivot = -f64::MIN_POSITIVE;
            }
            pivot > 0.0
        })
    };
    for _ in 0..80 {
        let middle = low + (high - low) / 2.0;
        if middle <= low || middle >= high {
            break;
        }
        match above(middle) {
            true => low = middle,
            false => high = middle,
        }
    }
    low + (high - low) / 2.0
}

/// The smallest singular value of a square matrix.
pub(crate) fn least_singular_value(a: &Array2<f64>) -> f64 {
    singular_values(a).last().copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_the_norm_agree() {
        let mut random = Noise(3);
        for (m, n) in [(24, 24), (40, 31), (31, 40), (60, 60)] {
            let mut a = Array2::from_shape_simple_fn((m, n), || random.number());
            let expected = singular_values(&a)[0];
            for scale in [1.0, 1e-200, 1e200] {
                let found = spectral_norm(&(&a * scale)) / scale;
                assert!((found / expected - 1.0).abs() < 1e-13, "{found} {expected}");
            }
            // Two nearly equal singular values, then rank one.
            a.fill(0.0);
            a.diag_mut().fill(0.5);
            a[(7, 7)] = 2.0;
            a[(8, 8)] = 2.0 - 1e-9;
            assert!((spectral_norm(&a) - 2.0).abs() < 1e-12);
            a.fill(3.0);
            let expected = 3.0 * f64::sqrt((m * n) as f64);
            assert!((spectral_norm(&a) / expected - 1.0).abs() < 1e-13);
            assert_eq!(spectral_norm(&(&a * 0.0)), 0.0);
        }
    }
}
