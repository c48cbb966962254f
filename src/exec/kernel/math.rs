//! Elementary functions of vectors.
//!
//! Each function reduces its argument to a small interval and sums a Taylor series there. It has no
//! fitted coefficients, and is almost as accurate as a fitted polynomial. The error is at most two
//! units in the last place, mostly one, for all numbers. Infinities, zeros and subnormal numbers
//! are handled; NaN gives NaN.

#![allow(unsafe_code, reason = "`Map` loads from slices and stores to them")]

use super::{Element, Kernel, Vector};

/// The constants of the functions for a number type.
pub(crate) trait Constants: Sized + 'static {
    const HALF: Self;
    const TWO: Self;
    const NAN: Self;
    const INFINITY: Self;
    const LOG2_E: Self;
    /// The sum of this and a moderate number has no fractional bits.
    const INTEGERS: Self;
    /// `ln 2` as a sum of two; the first has trailing zeros, so that its product with an exponent
    /// is exact.
    const LN_2: [Self; 2];
    const SQRT_2: Self;
    /// A little above the overflow of `exp`; below minus this, `exp` is zero.
    const EXP_END: Self;
    /// `tanh` rounds to 1 at this, and `exp` of minus twice this is a normal number.
    const TANH_END: Self;
    /// `(exp(r) - 1 - r) / r²` for `|r| ≤ ln 2 / 2`.
    const EXP: &'static [Self];
    /// `(atanh(s) - s) · 2 / s³` in powers of `s²`, for `|s| ≤ (√2 - 1) / (√2 + 1)`.
    const ATANH: &'static [Self];
    const FRAC_2_PI: Self;
    /// `π / 2` as a sum of three.
    const FRAC_PI_2: [Self; 3];
    /// The largest angle for which the three parts suffice.
    const ANGLE_END: Self;
    /// `(sin(r) - r) / r³` in powers of `r²`, for `|r| ≤ π / 4`.
    const SIN: &'static [Self];
    /// `(cos(r) - 1 + r² / 2) / r⁴` in powers of `r²`, for `|r| ≤ π / 4`.
    const COS: &'static [Self];

    fn sin(self) -> Self;
    fn cos(self) -> Self;
}

macro_rules! constants {
    (
        $t:ident, far $sin_of:ident $cos_of:ident, integers $integers:literal, ln_2 $ln_2:expr, frac_pi_2 $frac_pi_2:expr, ends $exp:literal $tanh:literal $angle:literal,
        exp $($e:literal)+, atanh $($a:literal)+, sin $($s:literal)+, cos $($c:literal)+
    ) => {
        impl Constants for $t {
            const HALF: Self = 0.5;
            const TWO: Self = 2.0;
            const NAN: Self = $t::NAN;
            const INFINITY: Self = $t::INFINITY;
            const LOG2_E: Self = std::$t::consts::LOG2_E;
            const INTEGERS: Self = $integers;
            const LN_2: [Self; 2] = $ln_2;
            const SQRT_2: Self = std::$t::consts::SQRT_2;
            const EXP_END: Self = $exp;
            const TANH_END: Self = $tanh;
            const EXP: &'static [Self] = &[$(1.0 / $e),+];
            const ATANH: &'static [Self] = &[$(2.0 / $a),+];
            const FRAC_2_PI: Self = std::$t::consts::FRAC_2_PI;
            const FRAC_PI_2: [Self; 3] = $frac_pi_2;
            const ANGLE_END: Self = $angle;
            const SIN: &'static [Self] = &[$(1.0 / $s),+];
            const COS: &'static [Self] = &[$(1.0 / $c),+];

            fn sin(self) -> Self {
                libm::$sin_of(self)
            }
            fn cos(self) -> Self {
                libm::$cos_of(self)
            }
        }
    };
}

#[allow(clippy::excessive_precision, reason = "the parts are exact as written")]
mod values {
    use super::Constants;

    constants! {
        f32, far sinf cosf,
        integers 12_582_912.0,
        ln_2 [0.693_359_375, -2.121_944_417_012_855_4e-4],
        frac_pi_2 [1.570_796_370_506_286_6, -4.371_138_828_673_793e-8, -1.715_124_510_005_881_9e-15],
        ends 120.0 20.0 1e4,
        exp 2.0 6.0 24.0 120.0 720.0 5_040.0 40_320.0,
        atanh 3.0 5.0 7.0 9.0,
        sin -6.0 120.0 -5_040.0 362_880.0 -39_916_800.0,
        cos 24.0 -720.0 40_320.0 -3_628_800.0
    }

    constants! {
        f64, far sin cos,
        integers 6_755_399_441_055_744.0,
        ln_2 [6.931_471_803_691_238_2e-1, 1.908_214_929_270_587_7e-10],
        frac_pi_2 [
            std::f64::consts::FRAC_PI_2,
            6.123_233_995_736_766e-17,
            -1.497_384_904_859_169_8e-33
        ],
        ends 800.0 40.0 1e5,
        exp 2.0 6.0 24.0 120.0 720.0 5_040.0 40_320.0 362_880.0 3_628_800.0 39_916_800.0
            479_001_600.0 6_227_020_800.0,
        atanh 3.0 5.0 7.0 9.0 11.0 13.0 15.0 17.0 19.0 21.0,
        sin -6.0 120.0 -5_040.0 362_880.0 -39_916_800.0 6_227_020_800.0 -1_307_674_368_000.0
            355_687_428_096_000.0,
        cos 24.0 -720.0 40_320.0 -3_628_800.0 479_001_600.0 -87_178_291_200.0 20_922_789_888_000.0
    }
}

/// A polynomial with coefficients from the lowest power on; even and odd powers are summed in
/// parallel.
#[inline(always)]
fn polynomial<V: Vector>(x: V, coefficients: &[V::Elem]) -> V {
    let square = x * x;
    every_other(square, coefficients, 1).mul_add(x, every_other(square, coefficients, 0))
}

/// The polynomial of every other coefficient, from `first` on.
#[inline(always)]
fn every_other<V: Vector>(x: V, coefficients: &[V::Elem], first: usize) -> V {
    let count = (coefficients.len() - first).div_ceil(2);
    let mut sum = V::splat(coefficients[first + 2 * (count - 1)]);
    let mut i = count - 1;
    while i > 0 {
        i -= 1;
        sum = sum.mul_add(x, V::splat(coefficients[first + 2 * i]));
    }
    sum
}

/// A polynomial of at most 16 coefficients, by halving: more multiplications than Horner's method,
/// but a shorter chain of dependencies.
#[inline(always)]
fn halving<V: Vector>(x: V, coefficients: &[V::Elem]) -> V {
    let x2 = x * x;
    let x4 = x2 * x2;
    let low = eight([x, x2, x4], coefficients, 0);
    if coefficients.len() > 8 {
        eight([x, x2, x4], coefficients, 8).mul_add(x4 * x4, low)
    } else {
        low
    }
}

/// The part of a polynomial with up to eight coefficients, from `first` on.
#[inline(always)]
fn eight<V: Vector>([x, x2, x4]: [V; 3], coefficients: &[V::Elem], first: usize) -> V {
    let low = four([x, x2], coefficients, first);
    if coefficients.len() > first + 4 {
        four([x, x2], coefficients, first + 4).mul_add(x4, low)
    } else {
        low
    }
}

#[inline(always)]
fn four<V: Vector>([x, x2]: [V; 2], coefficients: &[V::Elem], first: usize) -> V {
    let low = two(x, coefficients, first);
    if coefficients.len() > first + 2 {
        two(x, coefficients, first + 2).mul_add(x2, low)
    } else {
        low
    }
}

#[inline(always)]
fn two<V: Vector>(x: V, coefficients: &[V::Elem], first: usize) -> V {
    let low = V::splat(coefficients[first]);
    if coefficients.len() > first + 1 {
        V::splat(coefficients[first + 1]).mul_add(x, low)
    } else {
        low
    }
}

/// `n` and `p` with `exp(k x) - 1 = 2^n (p + 1) - 1`, where `k` is a power of two up to its sign.
/// The result is small, or `n` is nonzero.
#[inline(always)]
fn exp_parts<V: Vector>(x: V, k: V::Elem) -> (V, V) {
    let integers = V::splat(V::Elem::INTEGERS);
    let n = x.mul_add(V::splat(V::Elem::LOG2_E * k), integers) - integers;
    let [high, low] = V::Elem::LN_2;
    let (high, low) = (V::splat(high), V::splat(low));
    let r = n.neg_mul_add(low, n.neg_mul_add(high, x * V::splat(k)));
    (n, (r * r).mul_add(halving(r, V::Elem::EXP), r))
}

/// `eˣ`.
#[inline(always)]
pub(crate) fn exp<V: Vector>(x: V) -> V {
    // `min` returns its second argument if either is NaN, so the argument is second.
    exp_below(V::splat(V::Elem::EXP_END).min(x))
}

/// `eˣ` for `x` at most [`Constants::EXP_END`].
#[inline(always)]
fn exp_below<V: Vector>(x: V) -> V {
    let (n, p) = exp_parts((-V::splat(V::Elem::EXP_END)).max(x), V::Elem::ONE);
    (V::splat(V::Elem::ONE) + p).scale(n)
}

/// `1 / (1 + e⁻ˣ)`.
#[inline(always)]
pub(crate) fn sigmoid<V: Vector>(x: V) -> V {
    let one = V::splat(V::Elem::ONE);
    let e = exp_below(-x.abs());
    V::select(x.lt(V::splat(V::Elem::ZERO)), e, one) / (one + e)
}

/// `tanh x`, computed as `-d / (d + 2)` with `d = exp(-2 |x|) - 1`. The rounding errors of `d` and
/// of the quotient are added back, with `1 / (d + 2)` approximated by one half.
#[inline(always)]
pub(crate) fn tanh<V: Vector>(x: V) -> V {
    let half = V::splat(V::Elem::HALF);
    let one = V::splat(V::Elem::ONE);
    let size = V::splat(V::Elem::TANH_END).min(x.abs());
    let (n, p) = exp_parts(size, -V::Elem::TWO);
    let power = n.exp2_integer();
    let less = power - one;
    let d = power.mul_add(p, less);
    let denominator = power.mul_add(p, power + one);
    let quotient = d / denominator;
    let lost = power.mul_add(p, less - d) + quotient.neg_mul_add(denominator, d);
    lost.mul_add(half, quotient).copysign(x)
}

/// `ln(u + correction)` as `ln u + correction / u`, for positive finite `u`. With `near`, it is
/// `ln(1 + near)` where `u` is near 1.
#[inline(always)]
fn ln_parts<V: Vector>(u: V, near: Option<(V, V)>) -> V {
    let zero = V::splat(V::Elem::ZERO);
    let half = V::splat(V::Elem::HALF);
    let one = V::splat(V::Elem::ONE);
    let two = V::splat(V::Elem::TWO);
    let (lift, lifted) = V::Elem::LIFT;
    let tiny = u.lt(V::splat(V::Elem::MIN_POSITIVE));
    let normal = V::select(tiny, u * V::splat(lift), u);
    let bias = V::select(
        tiny,
        V::splat(V::Elem::BIAS + lifted),
        V::splat(V::Elem::BIAS),
    );
    let (k, m) = (normal.biased_exponent() - bias, normal.significand());
    let upper = V::splat(V::Elem::SQRT_2).lt(m);
    let k = V::select(upper, k + one, k);
    let mut f = V::select(upper, m * half, m) - one;
    let [high, low] = V::Elem::LN_2;
    let (high, low) = (V::splat(high), V::splat(low));
    let mut rest = k * low;
    if let Some((x, correction)) = near {
        let unscaled = k.eq(zero);
        f = V::select(unscaled, x, f);
        rest = rest + V::select(unscaled, zero, correction / u);
    }
    // ln(1 + f) = 2 atanh(s) = f - s (f - R), with R = 2 (atanh(s) / s - 1). The rest of f is added
    // together with half its square, so that it is not lost.
    let s = f / (two + f);
    let z = s * s;
    let square = half * f * f;
    let r = z * polynomial(z, V::Elem::ATANH);
    let small = s.mul_add(square + r, rest);
    k.mul_add(high, f - (square - small))
}

/// The natural logarithm.
#[inline(always)]
pub(crate) fn ln<V: Vector>(x: V) -> V {
    ends_of_ln(x, V::splat(V::Elem::ZERO), ln_parts(x, None))
}

/// `ln(1 + x)`.
#[inline(always)]
pub(crate) fn ln_1p<V: Vector>(x: V) -> V {
    let one = V::splat(V::Elem::ONE);
    let u = one + x;
    // The rounding error of the sum.
    let part = u - one;
    let lost = (one - (u - part)) + (x - part);
    let y = ends_of_ln(x, -one, ln_parts(u, Some((x, lost))));
    V::select(x.eq(V::splat(V::Elem::ZERO)), x, y)
}

/// A logarithm: `y` between `pole` and infinity, and the special values elsewhere.
#[inline(always)]
fn ends_of_ln<V: Vector>(x: V, pole: V, y: V) -> V {
    let infinity = V::splat(V::Elem::INFINITY);
    let above = V::select(x.lt(infinity), y, x);
    let below = V::select(x.eq(pole), -infinity, V::splat(V::Elem::NAN));
    V::select(pole.lt(x), above, below)
}

/// `ln(1 + eˣ)`.
#[inline(always)]
pub(crate) fn softplus<V: Vector>(x: V) -> V {
    x.max(V::splat(V::Elem::ZERO)) + ln_1p(exp(-x.abs()))
}

/// `sin x`; a vector with a lane beyond [`Constants::ANGLE_END`] is computed lane by lane.
#[inline(always)]
pub(crate) fn sin<V: Vector>(x: V) -> V {
    if V::any(V::splat(V::Elem::ANGLE_END).lt(x.abs())) {
        return x.map(V::Elem::sin);
    }
    let y = quarter_turns(x, V::splat(V::Elem::ZERO));
    // The reduction loses the sign of minus zero.
    V::select(x.eq(V::splat(V::Elem::ZERO)), x, y)
}

/// `cos x`; a vector with a lane beyond [`Constants::ANGLE_END`] is computed lane by lane.
#[inline(always)]
pub(crate) fn cos<V: Vector>(x: V) -> V {
    if V::any(V::splat(V::Elem::ANGLE_END).lt(x.abs())) {
        return x.map(V::Elem::cos);
    }
    quarter_turns(x, V::splat(V::Elem::ONE))
}

/// `sin(x + turns · π / 2)`.
#[inline(always)]
fn quarter_turns<V: Vector>(x: V, turns: V) -> V {
    let half = V::splat(V::Elem::HALF);
    let one = V::splat(V::Elem::ONE);
    let n = (x * V::splat(V::Elem::FRAC_2_PI)).round();
    let mut r = x;
    let mut part = 0;
    while part < 3 {
        r = n.neg_mul_add(V::splat(V::Elem::FRAC_PI_2[part]), r);
        part += 1;
    }
    let z = r * r;
    let sin = (r * z).mul_add(polynomial(z, V::Elem::SIN), r);
    let cos = (z * z).mul_add(polynomial(z, V::Elem::COS), half.neg_mul_add(z, one));
    // Only the number of quarter turns modulo 4 matters: an odd number swaps sine and cosine, two
    // turns change the sign.
    let turns = n + turns;
    let halves = (turns * half - V::splat(V::Elem::HALF * V::Elem::HALF)).round();
    let odd = turns - (halves + halves);
    let pairs = halves * half;
    let even = pairs.round().eq(pairs);
    let y = V::select(odd.eq(V::splat(V::Elem::ZERO)), sin, cos);
    V::select(even, y, -y)
}

/// The functions of this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Exp,
    Sigmoid,
    Tanh,
    Ln,
    Ln1p,
    Softplus,
    Sin,
    Cos,
}

impl Function {
    pub(crate) const ALL: [Self; 8] = [
        Self::Exp,
        Self::Sigmoid,
        Self::Tanh,
        Self::Ln,
        Self::Ln1p,
        Self::Softplus,
        Self::Sin,
        Self::Cos,
    ];
}

/// A function applied to every element of a slice.
pub(crate) struct Map<'a, T> {
    pub(crate) function: Function,
    pub(crate) x: &'a [T],
    pub(crate) y: &'a mut [T],
}

impl<T: Element> Kernel<T> for Map<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Elem = T>>(self) {
        // A function passed as a value would be compiled separately.
        macro_rules! map {
            ($f:ident) => {{
                let n = self.x.len().min(self.y.len());
                let whole = n - n % V::LANES;
                let (x, y) = (self.x.as_ptr(), self.y.as_mut_ptr());
                // SAFETY: all vectors but the last are inside both slices, and the last in part.
                unsafe {
                    for i in (0..whole).step_by(V::LANES) {
                        $f(V::load(x.add(i))).store(y.add(i));
                    }
                    if whole < n {
                        let last = V::load_partial(x.add(whole), n - whole);
                        $f(last).store_partial(y.add(whole), n - whole);
                    }
                }
            }};
        }
        match self.function {
            Function::Exp => map!(exp),
            Function::Sigmoid => map!(sigmoid),
            Function::Tanh => map!(tanh),
            Function::Ln => map!(ln),
            Function::Ln1p => map!(ln_1p),
            Function::Softplus => map!(softplus),
            Function::Sin => map!(sin),
            Function::Cos => map!(cos),
        }
    }
}
