//! A vector of one number, for machines without another backend, and for Miri.
//!
//! Its code is the smallest, and the compiler may combine several numbers. A fused multiply-add is rounded
//! once here too, so that matrix products have the same bits on every machine. Without an instruction for it,
//! this is slow.

#![allow(
    unsafe_code,
    reason = "the trait loads and stores through pointers; a partial vector is a number or none"
)]

use std::ops::{Add, Div, Mul, Neg, Sub};

use super::{Kernel, Vector};

/// One number.
#[derive(Clone, Copy)]
pub(super) struct Lane<T>(T);

macro_rules! operator {
    ($trait:ident $method:ident) => {
        impl<T: $trait<Output = T>> $trait for Lane<T> {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                Self($trait::$method(self.0, other.0))
            }
        }
    };
}

operator!(Add add);
operator!(Sub sub);
operator!(Mul mul);
operator!(Div div);

impl<T: Neg<Output = T>> Neg for Lane<T> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Self(-self.0)
    }
}

macro_rules! portable {
    ($t:ty, $bits:ty, $mantissa:literal, $bias:literal) => {
        impl Vector for Lane<$t> {
            type Elem = $t;
            type Mask = bool;
            const LANES: usize = 1;
            const ROWS: usize = 4;

            #[inline(never)]
            fn outline<K: Kernel<$t>>(kernel: K) -> K::Output {
                kernel.run::<Self>()
            }

            #[inline(always)]
            fn splat(x: $t) -> Self {
                Self(x)
            }

            #[inline(always)]
            unsafe fn load(ptr: *const $t) -> Self {
                // SAFETY: the caller guarantees an element.
                Self(unsafe { ptr.read() })
            }

            #[inline(always)]
            unsafe fn store(self, ptr: *mut $t) {
                // SAFETY: the caller guarantees an element.
                unsafe { ptr.write(self.0) }
            }

            #[inline(always)]
            unsafe fn load_partial(ptr: *const $t, n: usize) -> Self {
                match n {
                    0 => Self(0.0),
                    // SAFETY: the caller guarantees `n` elements.
                    _ => unsafe { Self::load(ptr) },
                }
            }

            #[inline(always)]
            unsafe fn store_partial(self, ptr: *mut $t, n: usize) {
                if n > 0 {
                    // SAFETY: the caller guarantees `n` elements.
                    unsafe { self.store(ptr) }
                }
            }

            #[inline(always)]
            fn mul_add(self, a: Self, b: Self) -> Self {
                Self(self.0.mul_add(a.0, b.0))
            }

            #[inline(always)]
            fn neg_mul_add(self, a: Self, b: Self) -> Self {
                Self((-self.0).mul_add(a.0, b.0))
            }

            #[inline(always)]
            fn min(self, other: Self) -> Self {
                Self::select(self.lt(other), self, other)
            }

            #[inline(always)]
            fn max(self, other: Self) -> Self {
                Self::select(other.lt(self), self, other)
            }

            #[inline(always)]
            fn abs(self) -> Self {
                Self(self.0.abs())
            }

            #[inline(always)]
            fn sqrt(self) -> Self {
                Self(self.0.sqrt())
            }

            #[inline(always)]
            fn round(self) -> Self {
                Self(self.0.round_ties_even())
            }

            #[inline(always)]
            fn copysign(self, sign: Self) -> Self {
                Self(self.0.copysign(sign.0))
            }

            #[inline(always)]
            fn lt(self, other: Self) -> bool {
                self.0 < other.0
            }

            #[inline(always)]
            fn le(self, other: Self) -> bool {
                self.0 <= other.0
            }

            #[inline(always)]
            fn eq(self, other: Self) -> bool {
                self.0 == other.0
            }

            #[inline(always)]
            fn select(mask: bool, yes: Self, no: Self) -> Self {
                if mask { yes } else { no }
            }

            #[inline(always)]
            fn any(mask: bool) -> bool {
                mask
            }

            #[inline(always)]
            fn exp2_integer(self) -> Self {
                // The sum with 1.5 · 2^mantissa has the biased exponent in its lowest bits.
                const PUSH: $t = ((3 as $bits) << ($mantissa - 1)) as $t + $bias;
                Self(<$t>::from_bits((self.0 + PUSH).to_bits() << $mantissa))
            }

            #[inline(always)]
            fn biased_exponent(self) -> Self {
                #[allow(clippy::cast_precision_loss, reason = "an exponent is a small integer")]
                Self((self.0.to_bits() >> $mantissa) as $t)
            }

            #[inline(always)]
            fn significand(self) -> Self {
                const KEEP: $bits = (1 << $mantissa) - 1;
                let one = (1.0 as $t).to_bits();
                Self(<$t>::from_bits(self.0.to_bits() & KEEP | one))
            }
        }
    };
}

portable!(f32, u32, 23, 127.0);
portable!(f64, u64, 52, 1023.0);
