//! Vectors of NEON, which all 64-bit ARM processors have.

#![allow(
    unsafe_code,
    reason = "intrinsics need a feature that every machine of this architecture has; loads and \
              stores pass on what the trait demands of the caller"
)]
#![allow(
    unused_unsafe,
    reason = "whether an intrinsic is safe to call changed between compilers"
)]

use std::arch::aarch64::*;
use std::ops::{Add, Div, Mul, Neg, Sub};

use super::{Kernel, Vector};

/// One method per line: `name(arguments) -> result = expression`.
macro_rules! methods {
    ($($name:ident($($x:ident: $ty:ty),*) -> $result:ty = $e:expr;)+) => {
        $(
            #[inline(always)]
            fn $name($($x: $ty),*) -> $result {
                // SAFETY: the architecture has the feature.
                unsafe { $e }
            }
        )+
    };
}

macro_rules! operator {
    ($v:ident $trait:ident $method:ident $f:ident) => {
        impl $trait for $v {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                // SAFETY: the architecture has the feature.
                Self(unsafe { $f(self.0, other.0) })
            }
        }
    };
}

macro_rules! vector {
    (
        $v:ident($raw:ty): $n:literal of $t:ty, bits $bits:ty, mantissa $mantissa:literal, bias $bias:literal;
        $add:ident $sub:ident $mul:ident $div:ident $neg:ident $splat:ident $load:ident $store:ident
        $fma:ident $fms:ident $abs:ident $sqrt:ident $round:ident $lt:ident $le:ident $eq:ident
        $blend:ident $any_lane:ident $splat_bits:ident $shl:ident $shr:ident
        $to_bits:ident $of_bits:ident $convert:ident
    ) => {
        #[derive(Clone, Copy)]
        pub(super) struct $v($raw);

        operator!($v Add add $add);
        operator!($v Sub sub $sub);
        operator!($v Mul mul $mul);
        operator!($v Div div $div);

        impl Neg for $v {
            type Output = Self;
            #[inline(always)]
            fn neg(self) -> Self {
                // SAFETY: the architecture has the feature.
                Self(unsafe { $neg(self.0) })
            }
        }

        impl Vector for $v {
            type Elem = $t;
            type Mask = $bits;
            const LANES: usize = $n;
            const ROWS: usize = 8;

            #[inline(never)]
            fn outline<K: Kernel<$t>>(kernel: K) -> K::Output {
                kernel.run::<Self>()
            }

            #[inline(always)]
            unsafe fn load(ptr: *const $t) -> Self {
                // SAFETY: the caller guarantees `LANES` elements.
                Self(unsafe { $load(ptr) })
            }

            #[inline(always)]
            unsafe fn store(self, ptr: *mut $t) {
                // SAFETY: the caller guarantees `LANES` elements.
                unsafe { $store(ptr, self.0) }
            }

            #[inline(always)]
            unsafe fn load_partial(ptr: *const $t, n: usize) -> Self {
                let mut lanes = [0.0; $n];
                // SAFETY: the caller guarantees `n ≤ LANES` elements; the lanes are other memory.
                unsafe {
                    ptr.copy_to_nonoverlapping(lanes.as_mut_ptr(), n);
                    Self::load(lanes.as_ptr())
                }
            }

            #[inline(always)]
            unsafe fn store_partial(self, ptr: *mut $t, n: usize) {
                let mut lanes = [0.0; $n];
                // SAFETY: the caller guarantees `n ≤ LANES` elements; the lanes are other memory.
                unsafe {
                    self.store(lanes.as_mut_ptr());
                    ptr.copy_from_nonoverlapping(lanes.as_ptr(), n);
                }
            }

            methods! {
                splat(x: $t) -> Self = Self($splat(x));
                mul_add(self: Self, a: Self, b: Self) -> Self = Self($fma(b.0, self.0, a.0));
                neg_mul_add(self: Self, a: Self, b: Self) -> Self = Self($fms(b.0, self.0, a.0));
                min(self: Self, other: Self) -> Self = Self::select(self.lt(other), self, other);
                max(self: Self, other: Self) -> Self = Self::select(other.lt(self), self, other);
                abs(self: Self) -> Self = Self($abs(self.0));
                sqrt(self: Self) -> Self = Self($sqrt(self.0));
                round(self: Self) -> Self = Self($round(self.0));
                copysign(self: Self, sign: Self) -> Self =
                    Self($blend($to_bits($splat(-0.0)), sign.0, self.0));
                lt(self: Self, other: Self) -> Self::Mask = $lt(self.0, other.0);
                le(self: Self, other: Self) -> Self::Mask = $le(self.0, other.0);
                eq(self: Self, other: Self) -> Self::Mask = $eq(self.0, other.0);
                select(mask: Self::Mask, yes: Self, no: Self) -> Self =
                    Self($blend(mask, yes.0, no.0));
                any(mask: Self::Mask) -> bool = $any_lane(mask);
                // The sum with 1.5 · 2^mantissa and the bias has the biased exponent in its lowest
                // bits.
                exp2_integer(self: Self) -> Self = Self($of_bits($shl::<$mantissa>($to_bits(
                    $add(self.0, $splat((3_u64 << ($mantissa - 1)) as $t + $bias)),
                ))));
                biased_exponent(self: Self) -> Self =
                    Self($convert($shr::<$mantissa>($to_bits(self.0))));
                significand(self: Self) -> Self = Self($blend(
                    $splat_bits((1 << $mantissa) - 1),
                    self.0,
                    $splat(1.0),
                ));
            }
        }
    };
}

vector! {
    F32x4(float32x4_t): 4 of f32, bits uint32x4_t, mantissa 23, bias 127.0;
    vaddq_f32 vsubq_f32 vmulq_f32 vdivq_f32 vnegq_f32 vdupq_n_f32 vld1q_f32 vst1q_f32
    vfmaq_f32 vfmsq_f32 vabsq_f32 vsqrtq_f32 vrndnq_f32 vcltq_f32 vcleq_f32 vceqq_f32
    vbslq_f32 any_of_4 vdupq_n_u32 vshlq_n_u32 vshrq_n_u32
    vreinterpretq_u32_f32 vreinterpretq_f32_u32 vcvtq_f32_u32
}

vector! {
    F64x2(float64x2_t): 2 of f64, bits uint64x2_t, mantissa 52, bias 1023.0;
    vaddq_f64 vsubq_f64 vmulq_f64 vdivq_f64 vnegq_f64 vdupq_n_f64 vld1q_f64 vst1q_f64
    vfmaq_f64 vfmsq_f64 vabsq_f64 vsqrtq_f64 vrndnq_f64 vcltq_f64 vcleq_f64 vceqq_f64
    vbslq_f64 any_of_2 vdupq_n_u64 vshlq_n_u64 vshrq_n_u64
    vreinterpretq_u64_f64 vreinterpretq_f64_u64 vcvtq_f64_u64
}

#[inline(always)]
fn any_of_4(mask: uint32x4_t) -> bool {
    // SAFETY: the architecture has the feature.
    unsafe { vmaxvq_u32(mask) != 0 }
}

#[inline(always)]
fn any_of_2(mask: uint64x2_t) -> bool {
    // SAFETY: the architecture has the feature.
    unsafe { vmaxvq_u32(vreinterpretq_u32_u64(mask)) != 0 }
}
