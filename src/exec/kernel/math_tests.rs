//! Elementary functions compared with references of higher precision: `f64` for `f32`, and sums of
//! two `f64` for `f64`.

#![allow(
    clippy::print_stdout,
    reason = "the largest error is worth seeing beside its bound"
)]

use std::ops::{Add, Mul, Neg, Sub};

use super::Isa;
use super::math::{Function, Map};

/// The unevaluated sum of two numbers, the second below half a unit of the first.
#[derive(Clone, Copy, Debug)]
struct Double(f64, f64);

impl Double {
    const LN_2: Self = Self(std::f64::consts::LN_2, 2.319_046_813_846_299_6e-17);
    const FRAC_PI_2: [f64; 4] = [
        std::f64::consts::FRAC_PI_2,
        6.123_233_995_736_766e-17,
        -1.497_384_904_859_169_8e-33,
        4.320_574_262_296_449e-50,
    ];

    fn sum(a: f64, b: f64) -> Self {
        let s = a + b;
        let part = s - a;
        Self(s, (a - (s - part)) + (b - part))
    }

    fn of(x: f64) -> Self {
        Self(x, 0.0)
    }

    fn times(self, power_of_two: f64) -> Self {
        Self(self.0 * power_of_two, self.1 * power_of_two)
    }

    fn inverse(self) -> Self {
        let y = Self::of(1.0 / self.0);
        let y = y + y * (Self::of(1.0) - y * self);
        y + y * (Self::of(1.0) - y * self)
    }

    fn is_negative(self) -> bool {
        self.0 < 0.0
    }

    fn abs(self) -> Self {
        if self.is_negative() { -self } else { self }
    }

    /// The series `Σ cᵢ xⁱ / i!` with alternating or equal signs, from the power `first` in steps
    /// of `step`, until the terms vanish.
    fn series(self, first: u32, step: u32, alternating: bool) -> Self {
        let mut term = Self::of(1.0);
        for i in 1..=first {
            term = term * self * Self::of(f64::from(i)).inverse();
        }
        let mut sum = term;
        let mut i = first;
        while term.0.abs() > sum.0.abs() * 1e-34 && i < 60 {
            for j in i + 1..=i + step {
                term = term * self * Self::of(f64::from(j)).inverse();
            }
            if alternating {
                term = -term;
            }
            sum = sum + term;
            i += step;
        }
        sum
    }

    /// `n` and `p` with `exp(x) - 1 = 2^n (p + 1) - 1`.
    fn exp_parts(self) -> (i32, Self) {
        let n = (self.0 / std::f64::consts::LN_2).round();
        let r = self - Self::LN_2 * Self::of(n);
        #[allow(clippy::cast_possible_truncation, reason = "the exponents are small")]
        (n as i32, r.series(1, 1, false))
    }

    /// `eˣ` as a number near 1 and an exponent of two.
    fn exp(self) -> (Self, i32) {
        let (n, p) = self.exp_parts();
        (p + Self::of(1.0), n)
    }

    /// `eˣ` for `x` without overflow or underflow.
    fn exp_normal(self) -> Self {
        let (y, n) = self.exp();
        y.times(2_f64.powi(n))
    }

    fn exp_m1(self) -> Self {
        let (n, p) = self.exp_parts();
        if n == 0 {
            p
        } else {
            (p + Self::of(1.0)).times(2_f64.powi(n)) - Self::of(1.0)
        }
    }

    /// The logarithm, by Newton's method from the result in `f64`.
    fn ln(self) -> Self {
        // A power of two is taken out, so that nothing overflows.
        let k = self.0.log2().round().clamp(-1000.0, 1000.0);
        #[allow(clippy::cast_possible_truncation, reason = "the exponent is small")]
        let m = self.times(2_f64.powi(-k as i32));
        let mut y = Self::of(m.0.ln());
        for _ in 0..2 {
            y = y + (m * (-y).exp_normal() - Self::of(1.0));
        }
        y + Self::LN_2 * Self::of(k)
    }

    /// `ln(1 + x)`.
    fn ln_1p(self) -> Self {
        if self.0.abs() < 1e-12 {
            let square = self * self;
            return self - square.times(0.5) + square * self * Self::of(3.0).inverse();
        }
        (self + Self::of(1.0)).ln()
    }

    /// `sin(x + turns · π / 2)`.
    fn sin(x: f64, turns: i32) -> Self {
        let n = (x / std::f64::consts::FRAC_PI_2).round();
        let mut r = Self::of(x);
        for part in Self::FRAC_PI_2 {
            r = r - Self::of(n) * Self::of(part);
        }
        #[allow(clippy::cast_possible_truncation, reason = "the angles are moderate")]
        let quarter = (n as i32 + turns).rem_euclid(4);
        let y = r.series(u32::from(quarter % 2 == 0), 2, true);
        if quarter < 2 { y } else { -y }
    }
}

impl Add for Double {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        let Self(s, e) = Self::sum(self.0, other.0);
        let Self(t, f) = Self::sum(self.1, other.1);
        let Self(s, e) = Self::sum(s, e + t);
        Self::sum(s, e + f)
    }
}

impl Neg for Double {
    type Output = Self;
    fn neg(self) -> Self {
        Self(-self.0, -self.1)
    }
}

impl Sub for Double {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl Mul for Double {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        let p = self.0 * other.0;
        let e = self.0.mul_add(other.0, -p) + (self.0 * other.1 + self.1 * other.0);
        Self::sum(p, e)
    }
}

/// The reference for a finite `x`, as a number and an exponent of two; `None` outside the domain.
fn reference(function: Function, x: f64) -> Option<(Double, i32)> {
    let one = Double::of(1.0);
    let wide = Double::of(x.clamp(-1100.0, 1100.0));
    let tail = || {
        let (e, n) = (-wide.abs()).exp();
        (
            e,
            n,
            if n < -200 {
                Double::of(0.0)
            } else {
                e.times(2_f64.powi(n))
            },
        )
    };
    let plain = |y: Double| Some((y, 0));
    match function {
        Function::Exp => Some(wide.exp()),
        Function::Sigmoid => {
            let (e, n, small) = tail();
            let rest = (one + small).inverse();
            if x < 0.0 {
                Some((e * rest, n))
            } else {
                plain(rest)
            }
        }
        Function::Tanh => {
            if x.abs() < 1e-9 {
                let cube = Double::of(x) * Double::of(x) * Double::of(x);
                return plain(Double::of(x) - cube * Double::of(3.0).inverse());
            }
            let d = Double::of(-2.0 * x.abs().min(40.0)).exp_m1();
            let y = -d * (d + Double::of(2.0)).inverse();
            plain(if x < 0.0 { -y } else { y })
        }
        Function::Ln => (x > 0.0).then(|| (Double::of(x).ln(), 0)),
        Function::Ln1p => (x > -1.0).then(|| (Double::of(x).ln_1p(), 0)),
        Function::Softplus => {
            let (e, n, small) = tail();
            if n < -200 && x < 0.0 {
                return Some((e, n));
            }
            let y = small.ln_1p();
            plain(if x < 0.0 { y } else { y + Double::of(x) })
        }
        Function::Sin => (x.abs() < 1e5).then(|| (Double::sin(x, 0), 0)),
        Function::Cos => (x.abs() < 1e5).then(|| (Double::sin(x, 1), 0)),
    }
}

/// The distance of `found` from the reference, in units in the last place of `f64`.
fn ulps(found: f64, (y, n): (Double, i32)) -> f64 {
    let halves = [n / 2, n - n / 2].map(|n| 2_f64.powi(n));
    let rounded = y.0 * halves[0] * halves[1];
    if !found.is_finite() || !rounded.is_finite() {
        return if found == rounded { 0.0 } else { f64::INFINITY };
    }
    // Both are compared without the power of two.
    let exponent = (y.0.abs().log2().floor() + f64::from(n)).max(-1022.0) - 52.0;
    #[allow(clippy::cast_possible_truncation, reason = "the exponent is small")]
    let unit = exponent as i32 - n;
    if found == 0.0 && n < -1300 {
        return 0.0;
    }
    let scaled = found * 2_f64.powi(-n / 2) * 2_f64.powi(-n - -n / 2);
    ((Double::of(scaled) - y).0 * 2_f64.powi(-unit / 2) * 2_f64.powi(-unit - -unit / 2)).abs()
}

/// The scalar function of the standard library, more precise than `f32`.
fn standard(function: Function, x: f64) -> f64 {
    match function {
        Function::Exp => x.exp(),
        Function::Sigmoid => {
            if x < 0.0 {
                x.exp() / (1.0 + x.exp())
            } else {
                1.0 / (1.0 + (-x).exp())
            }
        }
        Function::Tanh => x.tanh(),
        Function::Ln => x.ln(),
        Function::Ln1p => x.ln_1p(),
        Function::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
        Function::Sin => x.sin(),
        Function::Cos => x.cos(),
    }
}

/// The error of an `f32`, in units in the last place, compared with a number that is exact enough.
fn ulps_f32(found: f32, exact: f64) -> f64 {
    #[allow(
        clippy::cast_possible_truncation,
        reason = "it is the rounding that is meant"
    )]
    let rounded = exact as f32;
    if !found.is_finite() || !rounded.is_finite() {
        return if found == rounded || found.is_nan() && rounded.is_nan() {
            0.0
        } else {
            f64::INFINITY
        };
    }
    let unit = exact.abs().log2().floor().max(-126.0) - 23.0;
    (f64::from(found) - exact).abs() / unit.exp2()
}

/// Checks the largest error over every `step`-th bit pattern, for every function and instruction set.
fn single(step: usize) {
    let mut worst = [(0.0_f64, 0.0_f32); Function::ALL.len()];
    let mut patterns = (0..=u32::MAX).step_by(step).map(f32::from_bits).peekable();
    while patterns.peek().is_some() {
        let x: Vec<f32> = patterns.by_ref().take(1001).collect();
        for (function, worst) in Function::ALL.into_iter().zip(&mut worst) {
            let exact: Vec<f64> = x.iter().map(|&x| standard(function, x.into())).collect();
            for &isa in Isa::available() {
                let mut y = vec![0.0; x.len()];
                isa.dispatch(Map {
                    function,
                    x: &x,
                    y: &mut y,
                });
                for ((&x, &y), &exact) in x.iter().zip(&y).zip(&exact) {
                    let error = ulps_f32(y, exact);
                    assert!(
                        !error.is_nan(),
                        "{function:?}({x:?}) has an error, not {y:?}"
                    );
                    if error > worst.0 {
                        *worst = (error, x);
                    }
                }
            }
        }
    }
    for (function, (error, x)) in Function::ALL.into_iter().zip(worst) {
        println!("f32 {function:?}: {error:.3} units at {x:?}");
        assert!(
            error <= BOUND,
            "{function:?} is off by {error} units at {x:?}"
        );
    }
}

/// The error bound of every function, in units in the last place.
const BOUND: f64 = 2.0;

#[test]
#[cfg_attr(miri, ignore = "there the standard library's functions err on purpose")]
fn single_precision_is_faithful_over_a_sample_of_all_numbers() {
    single(10_007);
}

#[test]
#[ignore = "all 2^32 numbers take many minutes"]
fn single_precision_is_faithful_over_all_numbers() {
    single(1);
}

/// Numbers of all exponents and signs, and many of moderate size.
fn sample(count: usize) -> Vec<f64> {
    let mut state = 0x1234_5678_9abc_def1_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let any = |bits: u64| f64::from_bits(bits);
    let moderate =
        |bits: u64| any((bits & !(0x7ff << 52)) | ((0x3ff - 12 + (bits >> 52) % 22) << 52));
    (0..count)
        .map(|i| {
            if i % 2 == 0 {
                any(next())
            } else {
                moderate(next())
            }
        })
        .collect()
}

#[test]
#[cfg_attr(miri, ignore = "there the standard library's functions err on purpose")]
fn double_precision_is_faithful_over_a_sample_of_all_numbers() {
    let x = sample(60_000);
    for function in Function::ALL {
        let exact: Vec<_> = x
            .iter()
            .map(|&x| {
                if x.is_finite() {
                    reference(function, x)
                } else {
                    None
                }
            })
            .collect();
        let mut worst = (0.0_f64, 0.0_f64);
        for &isa in Isa::available() {
            let mut y = vec![0.0; x.len()];
            isa.dispatch(Map {
                function,
                x: &x,
                y: &mut y,
            });
            for ((&x, &y), &exact) in x.iter().zip(&y).zip(&exact) {
                let Some(exact) = exact else { continue };
                let error = ulps(y, exact);
                assert!(
                    !error.is_nan(),
                    "{function:?}({x:?}) has a reference, not {exact:?}"
                );
                if error > worst.0 {
                    worst = (error, x);
                }
            }
        }
        println!("f64 {function:?}: {:.3} units at {:?}", worst.0, worst.1);
        assert!(
            worst.0 <= BOUND,
            "{function:?} is off by {} units at {:?}",
            worst.0,
            worst.1
        );
    }
}

#[test]
#[cfg_attr(miri, ignore = "there the standard library's functions err on purpose")]
fn ends_and_zeros_are_those_of_the_standard_library() {
    let inf = f64::INFINITY;
    let x = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        inf,
        -inf,
        f64::NAN,
        f64::MAX,
        f64::MIN,
        5e-324,
        -5e-324,
        710.0,
        -746.0,
        -800.0,
        1e22,
    ];
    for function in Function::ALL {
        for &isa in Isa::available() {
            let mut y = x;
            isa.dispatch(Map {
                function,
                x: &x,
                y: &mut y,
            });
            for (x, y) in x.into_iter().zip(y) {
                let expected = standard(function, x);
                let same = y == expected && y.is_sign_negative() == expected.is_sign_negative();
                let near = (y - expected).abs() <= 4e-16 * expected.abs();
                assert!(
                    same || y.is_nan() && expected.is_nan() || near && expected != 0.0,
                    "{function:?}({x:?}) is {expected:?}, not {y:?}, by {}",
                    isa.name()
                );
            }
        }
    }
}
