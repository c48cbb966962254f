//! Vectors of AVX2 with FMA, and of AVX-512.

#![allow(
    unsafe_code,
    reason = "intrinsics need features that `Isa` has detected before one of these vectors exists; \
              loads and stores pass on what the trait demands of the caller"
)]
#![allow(
    clippy::cast_possible_truncation,
    reason = "a number of lanes is small, and a mask of them has a bit each"
)]

use std::arch::x86_64::*;
use std::ops::{Add, Div, Mul, Neg, Sub};

use super::x86_partial::*;
use super::{Kernel, Vector};

pub(super) fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

pub(super) fn has_avx512() -> bool {
    has_avx2() && is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq")
}

/// The caller has detected the features.
#[inline(never)]
#[target_feature(enable = "avx2,fma")]
fn run_avx2<V: Vector, K: Kernel<V::Elem>>(kernel: K) -> K::Output {
    kernel.run::<V>()
}

/// The caller has detected the features.
#[inline(never)]
#[target_feature(enable = "avx2,fma,avx512f,avx512dq")]
fn run_avx512<V: Vector, K: Kernel<V::Elem>>(kernel: K) -> K::Output {
    kernel.run::<V>()
}

/// One method per line: `name(arguments) -> result = expression`, compiled with the features.
macro_rules! methods {
    ($($name:ident($($x:ident: $ty:ty),*) -> $result:ty = $e:expr;)+) => {
        $(
            #[inline(always)]
            #[allow(unused_unsafe, reason = "some methods need no intrinsic")]
            fn $name($($x: $ty),*) -> $result {
                // SAFETY: the vector exists, so its features were detected.
                unsafe { $e }
            }
        )+
    };
}

/// The operators, the methods that all instruction sets spell alike, and the other methods.
macro_rules! vector {
    (
        $v:ident($raw:ty): $n:literal of $t:ty, $rows:literal rows, mask $mask:ty, in $run:ident;
        $add:ident $sub:ident $mul:ident $div:ident $splat:ident $load:ident $store:ident
        $fma:ident $fnma:ident $min:ident $max:ident $sqrt:ident;
        load_partial($from:ident, $count:ident) $load_partial:expr;
        store_partial($to:ident, $x:ident, $number:ident) $store_partial:expr;
        in pieces $load_pieces:expr, $store_pieces:expr;
        $($rest:tt)+
    ) => {
        #[derive(Clone, Copy)]
        pub(super) struct $v($raw);

        vector!(@operator $v Add add $add);
        vector!(@operator $v Sub sub $sub);
        vector!(@operator $v Mul mul $mul);
        vector!(@operator $v Div div $div);

        impl Neg for $v {
            type Output = Self;
            #[inline(always)]
            fn neg(self) -> Self {
                self.flip(Self::splat(-0.0))
            }
        }

        impl Vector for $v {
            type Elem = $t;
            type Mask = $mask;
            const LANES: usize = $n;
            const ROWS: usize = $rows;

            #[inline(always)]
            fn outline<K: Kernel<$t>>(kernel: K) -> K::Output {
                // SAFETY: only `Isa` chooses the vector, after it has detected the features.
                unsafe { $run::<Self, K>(kernel) }
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
            unsafe fn load_partial($from: *const $t, $count: usize) -> Self {
                // SAFETY: the caller guarantees `n` elements; no others are accessed.
                Self(unsafe { $load_partial })
            }

            #[inline(always)]
            unsafe fn store_partial(self, $to: *mut $t, $number: usize) {
                let $x = self.0;
                // SAFETY: the caller guarantees `n` elements; no others are accessed.
                unsafe { $store_partial }
            }

            #[inline(always)]
            unsafe fn load_pieces($from: *const $t, $count: usize) -> Self {
                // SAFETY: the caller guarantees `n` elements; no others are accessed.
                Self(unsafe { $load_pieces })
            }

            #[inline(always)]
            unsafe fn store_pieces(self, $to: *mut $t, $number: usize) {
                let $x = self.0;
                // SAFETY: the caller guarantees `n` elements; no others are accessed.
                unsafe { $store_pieces }
            }

            methods! {
                prefetch(ptr: *const $t) -> () = _mm_prefetch::<_MM_HINT_T1>(ptr.cast());
                splat(x: $t) -> Self = Self($splat(x));
                mul_add(self: Self, a: Self, b: Self) -> Self = Self($fma(self.0, a.0, b.0));
                neg_mul_add(self: Self, a: Self, b: Self) -> Self = Self($fnma(self.0, a.0, b.0));
                min(self: Self, other: Self) -> Self = Self($min(self.0, other.0));
                max(self: Self, other: Self) -> Self = Self($max(self.0, other.0));
                sqrt(self: Self) -> Self = Self($sqrt(self.0));
            }

            methods! { $($rest)+ }
        }
    };
    (@operator $v:ident $trait:ident $method:ident $f:ident) => {
        impl $trait for $v {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                // SAFETY: the vector exists, so its features were detected.
                Self(unsafe { $f(self.0, other.0) })
            }
        }
    };
}

impl F32x8 {
    methods! {
        flip(self: Self, signs: Self) -> Self = Self(_mm256_xor_ps(self.0, signs.0));
        lanes_below(n: usize) -> __m256i = _mm256_cmpgt_epi32(
            _mm256_set1_epi32(n as i32),
            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7),
        );
    }
}

vector! {
    F32x8(__m256): 8 of f32, 6 rows, mask __m256, in run_avx2;
    _mm256_add_ps _mm256_sub_ps _mm256_mul_ps _mm256_div_ps _mm256_set1_ps _mm256_loadu_ps _mm256_storeu_ps
    _mm256_fmadd_ps _mm256_fnmadd_ps _mm256_min_ps _mm256_max_ps _mm256_sqrt_ps;
    load_partial(ptr, n) _mm256_maskload_ps(ptr, Self::lanes_below(n));
    store_partial(ptr, x, n) _mm256_maskstore_ps(ptr, Self::lanes_below(n), x);
    in pieces load_8_ps(ptr, n), store_8_ps(ptr, x, n);
    abs(self: Self) -> Self = Self(_mm256_andnot_ps(_mm256_set1_ps(-0.0), self.0));
    round(self: Self) -> Self =
        Self(_mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0));
    copysign(self: Self, sign: Self) -> Self = Self(_mm256_or_ps(
        _mm256_andnot_ps(_mm256_set1_ps(-0.0), self.0),
        _mm256_and_ps(_mm256_set1_ps(-0.0), sign.0),
    ));
    lt(self: Self, other: Self) -> Self::Mask = _mm256_cmp_ps::<_CMP_LT_OQ>(self.0, other.0);
    le(self: Self, other: Self) -> Self::Mask = _mm256_cmp_ps::<_CMP_LE_OQ>(self.0, other.0);
    eq(self: Self, other: Self) -> Self::Mask = _mm256_cmp_ps::<_CMP_EQ_OQ>(self.0, other.0);
    select(mask: Self::Mask, yes: Self, no: Self) -> Self =
        Self(_mm256_blendv_ps(no.0, yes.0, mask));
    any(mask: Self::Mask) -> bool = _mm256_movemask_ps(mask) != 0;
    // The sum with 1.5 · 2^mantissa and the bias has the biased exponent in its lowest bits.
    exp2_integer(self: Self) -> Self = Self(_mm256_castsi256_ps(_mm256_slli_epi32::<23>(
        _mm256_castps_si256(_mm256_add_ps(self.0, _mm256_set1_ps(12_583_039.0))),
    )));
    // An integer in the lowest bits of 2^mantissa gives the sum of both.
    biased_exponent(self: Self) -> Self = Self(_mm256_sub_ps(
        _mm256_or_ps(
            _mm256_castsi256_ps(_mm256_srli_epi32::<23>(_mm256_castps_si256(self.0))),
            _mm256_set1_ps(8_388_608.0),
        ),
        _mm256_set1_ps(8_388_608.0),
    ));
    significand(self: Self) -> Self = Self(_mm256_or_ps(
        _mm256_andnot_ps(_mm256_set1_ps(f32::INFINITY), self.0),
        _mm256_set1_ps(1.0),
    ));
}

impl F64x4 {
    methods! {
        flip(self: Self, signs: Self) -> Self = Self(_mm256_xor_pd(self.0, signs.0));
        lanes_below(n: usize) -> __m256i = _mm256_cmpgt_epi64(
            _mm256_set1_epi64x(n as i64),
            _mm256_setr_epi64x(0, 1, 2, 3),
        );
    }
}

vector! {
    F64x4(__m256d): 4 of f64, 6 rows, mask __m256d, in run_avx2;
    _mm256_add_pd _mm256_sub_pd _mm256_mul_pd _mm256_div_pd _mm256_set1_pd _mm256_loadu_pd _mm256_storeu_pd
    _mm256_fmadd_pd _mm256_fnmadd_pd _mm256_min_pd _mm256_max_pd _mm256_sqrt_pd;
    load_partial(ptr, n) _mm256_maskload_pd(ptr, Self::lanes_below(n));
    store_partial(ptr, x, n) _mm256_maskstore_pd(ptr, Self::lanes_below(n), x);
    in pieces load_4_pd(ptr, n), store_4_pd(ptr, x, n);
    abs(self: Self) -> Self = Self(_mm256_andnot_pd(_mm256_set1_pd(-0.0), self.0));
    round(self: Self) -> Self =
        Self(_mm256_round_pd::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0));
    copysign(self: Self, sign: Self) -> Self = Self(_mm256_or_pd(
        _mm256_andnot_pd(_mm256_set1_pd(-0.0), self.0),
        _mm256_and_pd(_mm256_set1_pd(-0.0), sign.0),
    ));
    lt(self: Self, other: Self) -> Self::Mask = _mm256_cmp_pd::<_CMP_LT_OQ>(self.0, other.0);
    le(self: Self, other: Self) -> Self::Mask = _mm256_cmp_pd::<_CMP_LE_OQ>(self.0, other.0);
    eq(self: Self, other: Self) -> Self::Mask = _mm256_cmp_pd::<_CMP_EQ_OQ>(self.0, other.0);
    select(mask: Self::Mask, yes: Self, no: Self) -> Self =
        Self(_mm256_blendv_pd(no.0, yes.0, mask));
    any(mask: Self::Mask) -> bool = _mm256_movemask_pd(mask) != 0;
    // The sum with 1.5 · 2^mantissa and the bias has the biased exponent in its lowest bits.
    exp2_integer(self: Self) -> Self = Self(_mm256_castsi256_pd(_mm256_slli_epi64::<52>(
        _mm256_castpd_si256(_mm256_add_pd(self.0, _mm256_set1_pd(6_755_399_441_056_767.0))),
    )));
    // An integer in the lowest bits of 2^mantissa gives the sum of both.
    biased_exponent(self: Self) -> Self = Self(_mm256_sub_pd(
        _mm256_or_pd(
            _mm256_castsi256_pd(_mm256_srli_epi64::<52>(_mm256_castpd_si256(self.0))),
            _mm256_set1_pd(4_503_599_627_370_496.0),
        ),
        _mm256_set1_pd(4_503_599_627_370_496.0),
    ));
    significand(self: Self) -> Self = Self(_mm256_or_pd(
        _mm256_andnot_pd(_mm256_set1_pd(f64::INFINITY), self.0),
        _mm256_set1_pd(1.0),
    ));
}

impl F32x16 {
    methods! {
        flip(self: Self, signs: Self) -> Self = Self(_mm512_xor_ps(self.0, signs.0));
        lanes_below(n: usize) -> __mmask16 = ((1_u32 << n) - 1) as __mmask16;
    }
}

vector! {
    F32x16(__m512): 16 of f32, 12 rows, mask __mmask16, in run_avx512;
    _mm512_add_ps _mm512_sub_ps _mm512_mul_ps _mm512_div_ps _mm512_set1_ps _mm512_loadu_ps _mm512_storeu_ps
    _mm512_fmadd_ps _mm512_fnmadd_ps _mm512_min_ps _mm512_max_ps _mm512_sqrt_ps;
    load_partial(ptr, n) _mm512_maskz_loadu_ps(Self::lanes_below(n), ptr);
    store_partial(ptr, x, n) _mm512_mask_storeu_ps(ptr, Self::lanes_below(n), x);
    in pieces load_16_ps(ptr, n), store_16_ps(ptr, x, n);
    abs(self: Self) -> Self = Self(_mm512_andnot_ps(_mm512_set1_ps(-0.0), self.0));
    round(self: Self) -> Self =
        Self(_mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0));
    copysign(self: Self, sign: Self) -> Self = Self(_mm512_or_ps(
        _mm512_andnot_ps(_mm512_set1_ps(-0.0), self.0),
        _mm512_and_ps(_mm512_set1_ps(-0.0), sign.0),
    ));
    lt(self: Self, other: Self) -> Self::Mask = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(self.0, other.0);
    le(self: Self, other: Self) -> Self::Mask = _mm512_cmp_ps_mask::<_CMP_LE_OQ>(self.0, other.0);
    eq(self: Self, other: Self) -> Self::Mask = _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(self.0, other.0);
    select(mask: Self::Mask, yes: Self, no: Self) -> Self =
        Self(_mm512_mask_blend_ps(mask, no.0, yes.0));
    any(mask: Self::Mask) -> bool = mask != 0;
    exp2_integer(self: Self) -> Self = Self(_mm512_scalef_ps(_mm512_set1_ps(1.0), self.0));
    biased_exponent(self: Self) -> Self =
        Self(_mm512_add_ps(_mm512_getexp_ps(self.0), _mm512_set1_ps(127.0)));
    significand(self: Self) -> Self =
        Self(_mm512_getmant_ps::<_MM_MANT_NORM_1_2, _MM_MANT_SIGN_SRC>(self.0));
    scale(self: Self, n: Self) -> Self = Self(_mm512_scalef_ps(self.0, n.0));
}

impl F64x8 {
    methods! {
        flip(self: Self, signs: Self) -> Self = Self(_mm512_xor_pd(self.0, signs.0));
        lanes_below(n: usize) -> __mmask8 = ((1_u32 << n) - 1) as __mmask8;
    }
}

vector! {
    F64x8(__m512d): 8 of f64, 12 rows, mask __mmask8, in run_avx512;
    _mm512_add_pd _mm512_sub_pd _mm512_mul_pd _mm512_div_pd _mm512_set1_pd _mm512_loadu_pd _mm512_storeu_pd
    _mm512_fmadd_pd _mm512_fnmadd_pd _mm512_min_pd _mm512_max_pd _mm512_sqrt_pd;
    load_partial(ptr, n) _mm512_maskz_loadu_pd(Self::lanes_below(n), ptr);
    store_partial(ptr, x, n) _mm512_mask_storeu_pd(ptr, Self::lanes_below(n), x);
    in pieces load_8_pd(ptr, n), store_8_pd(ptr, x, n);
    abs(self: Self) -> Self = Self(_mm512_andnot_pd(_mm512_set1_pd(-0.0), self.0));
    round(self: Self) -> Self =
        Self(_mm512_roundscale_pd::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0));
    copysign(self: Self, sign: Self) -> Self = Self(_mm512_or_pd(
        _mm512_andnot_pd(_mm512_set1_pd(-0.0), self.0),
        _mm512_and_pd(_mm512_set1_pd(-0.0), sign.0),
    ));
    lt(self: Self, other: Self) -> Self::Mask = _mm512_cmp_pd_mask::<_CMP_LT_OQ>(self.0, other.0);
    le(self: Self, other: Self) -> Self::Mask = _mm512_cmp_pd_mask::<_CMP_LE_OQ>(self.0, other.0);
    eq(self: Self, other: Self) -> Self::Mask = _mm512_cmp_pd_mask::<_CMP_EQ_OQ>(self.0, other.0);
    select(mask: Self::Mask, yes: Self, no: Self) -> Self =
        Self(_mm512_mask_blend_pd(mask, no.0, yes.0));
    any(mask: Self::Mask) -> bool = mask != 0;
    exp2_integer(self: Self) -> Self = Self(_mm512_scalef_pd(_mm512_set1_pd(1.0), self.0));
    biased_exponent(self: Self) -> Self =
        Self(_mm512_add_pd(_mm512_getexp_pd(self.0), _mm512_set1_pd(1023.0)));
    significand(self: Self) -> Self =
        Self(_mm512_getmant_pd::<_MM_MANT_NORM_1_2, _MM_MANT_SIGN_SRC>(self.0));
    scale(self: Self, n: Self) -> Self = Self(_mm512_scalef_pd(self.0, n.0));
}
