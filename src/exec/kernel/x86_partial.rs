//! Loads and stores of the first few lanes of a vector, in pieces of 1, 2, 4, … elements.
//!
//! Masked loads and stores exist, but a load cannot be forwarded from a masked store before the
//! store has reached the cache. A recurrence of a few entries reads at every step the values
//! written at the previous step, and would wait each time.

#![allow(
    unsafe_code,
    reason = "loads and stores through pointers; the caller runs with the features"
)]

use std::arch::x86_64::*;

#[inline(always)]
unsafe fn load_2_pd(ptr: *const f64, n: usize) -> __m128d {
    unsafe {
        match n {
            0 => _mm_setzero_pd(),
            1 => _mm_load_sd(ptr),
            _ => _mm_loadu_pd(ptr),
        }
    }
}

#[inline(always)]
unsafe fn store_2_pd(ptr: *mut f64, x: __m128d, n: usize) {
    unsafe {
        match n {
            0 => {}
            1 => _mm_store_sd(ptr, x),
            _ => _mm_storeu_pd(ptr, x),
        }
    }
}

/// # Safety
/// `ptr` is valid for reading `n ≤ 4` elements.
#[inline(always)]
pub(super) unsafe fn load_4_pd(ptr: *const f64, n: usize) -> __m256d {
    unsafe {
        match n {
            0..=2 => _mm256_zextpd128_pd256(load_2_pd(ptr, n)),
            3 => {
                let low = _mm256_castpd128_pd256(_mm_loadu_pd(ptr));
                _mm256_insertf128_pd::<1>(low, _mm_load_sd(ptr.add(2)))
            }
            _ => _mm256_loadu_pd(ptr),
        }
    }
}

/// # Safety
/// `ptr` is valid for writing `n ≤ 4` elements.
#[inline(always)]
pub(super) unsafe fn store_4_pd(ptr: *mut f64, x: __m256d, n: usize) {
    unsafe {
        match n {
            0..=2 => store_2_pd(ptr, _mm256_castpd256_pd128(x), n),
            3 => {
                _mm_storeu_pd(ptr, _mm256_castpd256_pd128(x));
                _mm_store_sd(ptr.add(2), _mm256_extractf128_pd::<1>(x));
            }
            _ => _mm256_storeu_pd(ptr, x),
        }
    }
}

/// # Safety
/// `ptr` is valid for reading `n ≤ 8` elements.
#[inline(always)]
pub(super) unsafe fn load_8_pd(ptr: *const f64, n: usize) -> __m512d {
    unsafe {
        match n {
            0..=4 => _mm512_zextpd256_pd512(load_4_pd(ptr, n)),
            5..=7 => {
                let low = _mm512_castpd256_pd512(_mm256_loadu_pd(ptr));
                _mm512_insertf64x4::<1>(low, load_4_pd(ptr.add(4), n - 4))
            }
            _ => _mm512_loadu_pd(ptr),
        }
    }
}

/// # Safety
/// `ptr` is valid for writing `n ≤ 8` elements.
#[inline(always)]
pub(super) unsafe fn store_8_pd(ptr: *mut f64, x: __m512d, n: usize) {
    unsafe {
        match n {
            0..=4 => store_4_pd(ptr, _mm512_castpd512_pd256(x), n),
            5..=7 => {
                _mm256_storeu_pd(ptr, _mm512_castpd512_pd256(x));
                store_4_pd(ptr.add(4), _mm512_extractf64x4_pd::<1>(x), n - 4);
            }
            _ => _mm512_storeu_pd(ptr, x),
        }
    }
}

#[inline(always)]
unsafe fn load_4_ps(ptr: *const f32, n: usize) -> __m128 {
    unsafe {
        match n {
            0 => _mm_setzero_ps(),
            1 => _mm_load_ss(ptr),
            2 => _mm_castpd_ps(_mm_load_sd(ptr.cast())),
            3 => {
                let low = _mm_castpd_ps(_mm_load_sd(ptr.cast()));
                _mm_movelh_ps(low, _mm_load_ss(ptr.add(2)))
            }
            _ => _mm_loadu_ps(ptr),
        }
    }
}

#[inline(always)]
unsafe fn store_4_ps(ptr: *mut f32, x: __m128, n: usize) {
    unsafe {
        match n {
            0 => {}
            1 => _mm_store_ss(ptr, x),
            2 => _mm_store_sd(ptr.cast(), _mm_castps_pd(x)),
            3 => {
                _mm_store_sd(ptr.cast(), _mm_castps_pd(x));
                _mm_store_ss(ptr.add(2), _mm_movehl_ps(x, x));
            }
            _ => _mm_storeu_ps(ptr, x),
        }
    }
}

/// # Safety
/// `ptr` is valid for reading `n ≤ 8` elements.
#[inline(always)]
pub(super) unsafe fn load_8_ps(ptr: *const f32, n: usize) -> __m256 {
    unsafe {
        match n {
            0..=4 => _mm256_zextps128_ps256(load_4_ps(ptr, n)),
            5..=7 => {
                let low = _mm256_castps128_ps256(_mm_loadu_ps(ptr));
                _mm256_insertf128_ps::<1>(low, load_4_ps(ptr.add(4), n - 4))
            }
            _ => _mm256_loadu_ps(ptr),
        }
    }
}

/// # Safety
/// `ptr` is valid for writing `n ≤ 8` elements.
#[inline(always)]
pub(super) unsafe fn store_8_ps(ptr: *mut f32, x: __m256, n: usize) {
    unsafe {
        match n {
            0..=4 => store_4_ps(ptr, _mm256_castps256_ps128(x), n),
            5..=7 => {
                _mm_storeu_ps(ptr, _mm256_castps256_ps128(x));
                store_4_ps(ptr.add(4), _mm256_extractf128_ps::<1>(x), n - 4);
            }
            _ => _mm256_storeu_ps(ptr, x),
        }
    }
}

/// # Safety
/// `ptr` is valid for reading `n ≤ 16` elements.
#[inline(always)]
pub(super) unsafe fn load_16_ps(ptr: *const f32, n: usize) -> __m512 {
    unsafe {
        match n {
            0..=8 => _mm512_zextps256_ps512(load_8_ps(ptr, n)),
            9..=15 => {
                let low = _mm512_castpd256_pd512(_mm256_castps_pd(_mm256_loadu_ps(ptr)));
                let high = _mm256_castps_pd(load_8_ps(ptr.add(8), n - 8));
                _mm512_castpd_ps(_mm512_insertf64x4::<1>(low, high))
            }
            _ => _mm512_loadu_ps(ptr),
        }
    }
}

/// # Safety
/// `ptr` is valid for writing `n ≤ 16` elements.
#[inline(always)]
pub(super) unsafe fn store_16_ps(ptr: *mut f32, x: __m512, n: usize) {
    unsafe {
        match n {
            0..=8 => store_8_ps(ptr, _mm512_castps512_ps256(x), n),
            9..=15 => {
                _mm256_storeu_ps(ptr, _mm512_castps512_ps256(x));
                let high = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(x)));
                store_8_ps(ptr.add(8), high, n - 8);
            }
            _ => _mm512_storeu_ps(ptr, x),
        }
    }
}
