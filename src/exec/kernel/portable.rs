//! Vectors as arrays, for machines without another backend, and for Miri.
//!
//! A fused multiply-add is rounded once here too, so that matrix products have the same bits on
//! every machine. Without an instruction for it, this is slow.

#![allow(
    unsafe_code,
    reason = "the trait loads and stores through pointers; slices are made of them at once"
)]

use std::array::from_fn;
use std::ops::{Add, Div, Mul, Neg, Sub};
use std::slice;

use super::{Kernel, Vector};

/// `N` numbers.
#[derive(Clone, Copy)]
pub(super) struct Lanes<T, const N: usize>([T; N]);

macro_rules! operator {
    ($trait:ident $method:ident) => {
        impl<T: $trait<Output = T> + Copy, const N: usize> $trait for Lanes<T, N> {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                Self(from_fn(|i| $trait::$method(self.0[i], other.0[i])))
            }
        }
    };
}

operator!(Add add);
operator!(Sub sub);
operator!(Mul mul);
operator!(Div div);

impl<T: Neg<Output = T> + Copy, const N: usize> Neg for Lanes<T, N> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Self(self.0.map(|x| -x))
    }
}

macro_rules! portable {
    ($t:ty, $bits:ty, $n:literal, $mantissa:literal, $bias:literal) => {
        impl Vector for Lanes<$t, $n> {
            type Elem = $t;
            type Mask = [bool; $n];
            const LANES: usize = $n;
            const ROWS: usize = 4;

            #[inline(never)]
            fn outline<K: Kernel<$t>>(kernel: K) -> K::Output {
                kernel.run::<Self>()
            }

            #[inline(always)]
            fn splat(x: $t) -> Self {
                Self([x; $n])
            }

            #[inline(always)]
            unsafe fn load(ptr: *const $t) -> Self {
                // SAFETY: the caller guarantees `LANES` elements; an array has the alignment of its
                // elements.
                Self(unsafe { ptr.cast::<[$t; $n]>().read() })
            }

            #[inline(always)]
            unsafe fn store(self, ptr: *mut $t) {
                // SAFETY: the caller guarantees `LANES` elements.
                unsafe { ptr.cast::<[$t; $n]>().write(self.0) }
            }

            #[inline(always)]
            unsafe fn load_partial(ptr: *const $t, n: usize) -> Self {
                let mut lanes = [0.0; $n];
                // SAFETY: the caller guarantees `n` elements.
                lanes[..n].copy_from_slice(unsafe { slice::from_raw_parts(ptr, n) });
                Self(lanes)
            }

            #[inline(always)]
            unsafe fn store_partial(self, ptr: *mut $t, n: usize) {
                // SAFETY: the caller guarantees `n` elements; the lanes are other memory.
                unsafe { ptr.copy_from_nonoverlapping(self.0[..n].as_ptr(), n) }
            }

            #[inline(always)]
            fn mul_add(self, a: Self, b: Self) -> Self {
                Self(from_fn(|i| self.0[i].mul_add(a.0[i], b.0[i])))
            }

            #[inline(always)]
            fn neg_mul_add(self, a: Self, b: Self) -> Self {
                Self(from_fn(|i| (-self.0[i]).mul_add(a.0[i], b.0[i])))
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
                Self(self.0.map(<$t>::abs))
            }

            #[inline(always)]
            fn sqrt(self) -> Self {
                Self(self.0.map(<$t>::sqrt))
            }

            #[inline(always)]
            fn round(self) -> Self {
                Self(self.0.map(<$t>::round_ties_even))
            }

            #[inline(always)]
            fn copysign(self, sign: Self) -> Self {
                Self(from_fn(|i| self.0[i].copysign(sign.0[i])))
            }

            #[inline(always)]
            fn lt(self, other: Self) -> Self::Mask {
                from_fn(|i| self.0[i] < other.0[i])
            }

            #[inline(always)]
            fn le(self, other: Self) -> Self::Mask {
                from_fn(|i| self.0[i] <= other.0[i])
            }

            #[inline(always)]
            fn eq(self, other: Self) -> Self::Mask {
                from_fn(|i| self.0[i] == other.0[i])
            }

            #[inline(always)]
            fn select(mask: Self::Mask, yes: Self, no: Self) -> Self {
                Self(from_fn(|i| if mask[i] { yes.0[i] } else { no.0[i] }))
            }

            #[inline(always)]
            fn any(mask: Self::Mask) -> bool {
                mask.iter().any(|&holds| holds)
            }

            #[inline(always)]
            fn exp2_integer(self) -> Self {
                // The sum with 1.5 · 2^mantissa has the biased exponent in its lowest bits.
                const PUSH: $t = ((3 as $bits) << ($mantissa - 1)) as $t + $bias;
                Self(
                    self.0
                        .map(|n| <$t>::from_bits((n + PUSH).to_bits() << $mantissa)),
                )
            }

            #[inline(always)]
            fn biased_exponent(self) -> Self {
                #[allow(clippy::cast_precision_loss, reason = "an exponent is a small integer")]
                Self(self.0.map(|x| (x.to_bits() >> $mantissa) as $t))
            }

            #[inline(always)]
            fn significand(self) -> Self {
                const KEEP: $bits = (1 << $mantissa) - 1;
                let one = (1.0 as $t).to_bits();
                Self(self.0.map(|x| <$t>::from_bits(x.to_bits() & KEEP | one)))
            }
        }
    };
}

portable!(f32, u32, 4, 23, 127.0);
portable!(f64, u64, 2, 52, 1023.0);
