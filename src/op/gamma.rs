//! The derivatives of the logarithm of the gamma function.
//!
//! Both functions move the argument up by their recurrence and sum the asymptotic series there
//! (Abramowitz and Stegun 1964, 6.3.18 and 6.4.11).

use std::f64::consts::PI;

use super::Elementary;

/// From this argument on, the asymptotic series has converged.
const FAR: f64 = 16.0;

/// The Bernoulli numbers `B₂, B₄, …`.
const BERNOULLI: [f64; 10] = [
    1.0 / 6.0,
    -1.0 / 30.0,
    1.0 / 42.0,
    -1.0 / 30.0,
    5.0 / 66.0,
    -691.0 / 2730.0,
    7.0 / 6.0,
    -3617.0 / 510.0,
    43867.0 / 798.0,
    -174_611.0 / 330.0,
];

/// The positive zero of digamma, as a sum of two numbers.
const ROOT: [f64; 2] = [1.461_632_144_968_362_2, 9.549_995_429_965_698e-17];

/// The logarithmic derivative of the gamma function.
pub(super) fn digamma(x: f64) -> f64 {
    if x == f64::INFINITY {
        return x;
    }
    if x <= 0.0 {
        // Reflection; at the poles, the tangent is zero.
        return match x == x.floor() {
            true => f64::NAN,
            false => digamma(1.0 - x) - PI / tan_pi(x),
        };
    }
    // Near its zero r, ψ(x) is the sum of (x − r) / ((k + x)(k + r)): the small difference is a factor.
    let away = (x - ROOT[0]) - ROOT[1];
    if away.abs() < 0.5 {
        return away * slope(x);
    }
    let (mut x, mut below) = (x, 0.0);
    while x < FAR {
        below += 1.0 / x;
        x += 1.0;
    }
    let (square, mut power, mut series) = (1.0 / (x * x), 1.0, 0.0);
    for (k, b) in (1i32..).zip(BERNOULLI) {
        power *= square;
        series += b / f64::from(2 * k) * power;
    }
    libm::log(x) - 0.5 / x - series - below
}

/// `ψ(x) / (x − r)` for the positive zero `r`: the sum of `1 / ((k + x)(k + r))`, by Euler and Maclaurin from a large
/// `k` on.
fn slope(x: f64) -> f64 {
    const TERMS: i32 = 40;
    let r = ROOT[0];
    let term = |k: i32| 1.0 / ((f64::from(k) + x) * (f64::from(k) + r));
    let near: f64 = (0..TERMS).rev().map(term).sum();
    let (a, b) = (1.0 / (f64::from(TERMS) + x), 1.0 / (f64::from(TERMS) + r));
    let away = x - r;
    let integral = match away == 0.0 {
        true => b,
        false => libm::log1p(away * b) / away,
    };
    // The derivatives of the term are `−ab (a + b)`, `−6 ab (a + b)(a² + b²)` and the fifth.
    let (ab, sum, squares) = (a * b, a + b, a * a + b * b);
    let powers: i32 = 5;
    let fifth: f64 = (0..=powers)
        .map(|i| Elementary::powi(a, i) * Elementary::powi(b, powers - i))
        .sum();
    let corrections = ab * sum / 12.0 - ab * sum * squares / 120.0 + ab * fifth / 252.0;
    near + integral + 0.5 * ab + corrections
}

/// `tan(π x)`, with the whole part of `x` removed exactly.
fn tan_pi(x: f64) -> f64 {
    libm::tan(PI * (x - x.round()))
}

/// The largest distance below zero of an argument of polygamma; the work grows with it.
const FARTHEST: i32 = 1000;

/// The largest order of polygamma: the factorial of a larger one is infinite.
const MOST_ORDER: f64 = 170.0;

/// The derivative of this order of digamma, for `x` up to [`FARTHEST`] below zero; NaN at the poles.
pub(super) fn polygamma(x: f64, order: f64) -> f64 {
    if order < 1.0 {
        return digamma(x);
    }
    if x.is_nan() || order > MOST_ORDER || x < f64::from(-FARTHEST) || x <= 0.0 && x == x.floor() {
        return f64::NAN;
    }
    // Up to its sign it is the sum of `n! / (x + k)^(n + 1)`.
    let factorial = libm::tgamma(order + 1.0);
    let far = FAR + order;
    let (mut x, mut below) = (x, 0.0);
    while x < far {
        below += factorial * libm::pow(x, -order - 1.0);
        x += 1.0;
    }
    let square = 1.0 / (x * x);
    // `(2k + n − 1)! / ((2k)! x^(2k))`, from `(n − 1)!` on.
    let (mut factor, mut series) = (factorial / order, 0.0);
    for (k, b) in (1i32..).zip(BERNOULLI) {
        let k = f64::from(2 * k);
        factor *= (k + order - 2.0) * (k + order - 1.0) / (k * (k - 1.0)) * square;
        series += b * factor;
    }
    let above = libm::pow(x, -order) * (factorial / order + 0.5 * factorial / x + series);
    let size = above + below;
    if order % 2.0 == 0.0 { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::polygamma;

    /// The work of one number grows with the order and with the distance below zero, so both end.
    #[test]
    fn large_orders_and_distances_are_no_numbers() {
        for (x, order) in [
            (1.5, 171.0),
            (1.5, 2_147_483_647.0),
            (-1e15, 1.0),
            (-1000.5, 1.0),
        ] {
            assert!(polygamma(x, order).is_nan(), "{x}, {order}");
        }
        assert!(polygamma(30.5, 150.0).is_finite());
    }
}
