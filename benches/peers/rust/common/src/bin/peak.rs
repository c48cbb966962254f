//! The FMA peak of this machine: `peak THREADS` prints GFLOP/s in f32 and f64, as JSON. Independent
//! chains of fused multiply-adds in vector registers; build with `target-cpu=native`.

use std::hint::black_box;
use std::time::Instant;

const REPEATS: usize = 200_000;
const TRIALS: usize = 100;
/// The number of chains: enough to hide the latency of a multiply-add, few enough for the registers.
const CHAINS: usize = 12;

macro_rules! peak {
    ($name:ident, $lanes:expr, $set:expr, $fma:expr) => {
        /// The best of many trials, in floating-point operations per nanosecond.
        pub fn $name() -> f64 {
            // SAFETY: the modules below exist only in builds for processors with the instructions.
            let (x, y) = unsafe { (black_box($set(0.999)), black_box($set(1e-3))) };
            let trial = || {
                let mut sums = [black_box(unsafe { $set(0.5) }); CHAINS];
                let start = Instant::now();
                for _ in 0..REPEATS {
                    sums = sums.map(|sum| unsafe { $fma(sum, x, y) });
                }
                black_box(sums);
                (2 * $lanes * CHAINS * REPEATS) as f64 / start.elapsed().as_nanos() as f64
            };
            (0..TRIALS).map(|_| trial()).fold(0.0, f64::max)
        }
    };
}

#[cfg(all(target_arch = "x86_64", target_feature = "avx512f"))]
mod vector {
    use super::*;
    use std::arch::x86_64::{_mm512_fmadd_pd, _mm512_fmadd_ps, _mm512_set1_pd, _mm512_set1_ps};
    peak!(single, 16, _mm512_set1_ps, _mm512_fmadd_ps);
    peak!(double, 8, _mm512_set1_pd, _mm512_fmadd_pd);
}

#[cfg(all(
    target_arch = "x86_64",
    target_feature = "fma",
    not(target_feature = "avx512f")
))]
mod vector {
    use super::*;
    use std::arch::x86_64::{_mm256_fmadd_pd, _mm256_fmadd_ps, _mm256_set1_pd, _mm256_set1_ps};
    peak!(single, 8, _mm256_set1_ps, _mm256_fmadd_ps);
    peak!(double, 4, _mm256_set1_pd, _mm256_fmadd_pd);
}

#[cfg(target_arch = "aarch64")]
mod vector {
    use super::*;
    use std::arch::aarch64::{vdupq_n_f32, vdupq_n_f64, vfmaq_f32, vfmaq_f64};
    peak!(single, 4, vdupq_n_f32, vfmaq_f32);
    peak!(double, 2, vdupq_n_f64, vfmaq_f64);
}

fn on_threads(threads: usize, peak: fn() -> f64) -> f64 {
    let workers: Vec<_> = (0..threads).map(|_| std::thread::spawn(peak)).collect();
    workers
        .into_iter()
        .map(|w| w.join().expect("nothing panics"))
        .sum()
}

fn main() {
    let threads = std::env::args()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .unwrap_or(1);
    let (single, double) = (
        on_threads(threads, vector::single),
        on_threads(threads, vector::double),
    );
    println!("{{\"f32\": {single:.1}, \"f64\": {double:.1}}}");
}
