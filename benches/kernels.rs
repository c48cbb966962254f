//! Measures the speed of the kernels: `cargo bench --bench kernels [-- part of a name]`.
//!
//! Every figure is the best of many runs on one thread. Products are also shown as a share of the peak rate of
//! fused multiply-adds, measured by a loop of nothing else.

#![allow(clippy::print_stdout, reason = "it is what a benchmark is for")]
#![allow(unsafe_code, reason = "the kernels take pointers")]

use std::hint::black_box;
use std::time::{Duration, Instant};

/// The kernels are private to the library, and use no other module of it.
#[path = "../src/exec/kernel/mod.rs"]
mod kernel;

use kernel::math::{Function, Map};
use kernel::{Columns, Element, Isa, Kernel, Matrix, OverRows, Panels, Product, Segment, Vector};

/// The seconds of one call: the best of many batches of calls.
fn seconds(mut call: impl FnMut()) -> f64 {
    let clock = |calls: usize, call: &mut dyn FnMut()| {
        let start = Instant::now();
        for _ in 0..calls {
            call();
        }
        start.elapsed()
    };
    let once = clock(1, &mut call).max(Duration::from_nanos(20));
    let calls = (1_000_000 / once.as_nanos().max(1) + 1) as usize;
    let begun = Instant::now();
    let mut best = Duration::MAX;
    let mut batches = 0;
    while batches < 20 || begun.elapsed() < Duration::from_millis(150) {
        best = best.min(clock(calls, &mut call));
        batches += 1;
    }
    best.as_secs_f64() / calls as f64
}

/// A loop of independent chains of fused multiply-adds; returns the number of floating-point operations.
struct Peak;

impl Peak {
    const ROUNDS: usize = 2000;
    const CHAINS: usize = 12;
}

impl<T: Element> Kernel<T> for Peak {
    type Output = usize;

    #[inline(always)]
    fn run<V: Vector<Elem = T>>(self) -> usize {
        let x = V::splat(black_box(T::ZERO));
        let mut sums = [x; Self::CHAINS];
        for _ in 0..Self::ROUNDS {
            for sum in &mut sums {
                *sum = sum.mul_add(x, x);
            }
        }
        for sum in sums {
            black_box(sum.sum());
        }
        2 * Self::ROUNDS * Self::CHAINS * V::LANES
    }
}

fn peak<T: Element>(isa: Isa) -> f64 {
    let mut flops = 0;
    let time = seconds(|| flops = black_box(isa.dispatch::<T, _>(Peak)));
    flops as f64 / time
}

struct Bench<'a> {
    isa: Isa,
    filter: &'a str,
    peak: f64,
}

impl Bench<'_> {
    fn line(&self, name: &str, call: impl FnMut(), figures: impl Fn(f64) -> String) {
        let name = format!("{} {name}", self.isa.name());
        if name.contains(self.filter) {
            let time = seconds(call);
            println!("{name:52} {:>11.3} µs  {}", time * 1e6, figures(time));
        }
    }

    fn product<T: Element>(&self, ty: &str, m: usize, k: usize, n: usize) {
        let panels = Panels::new::<T>(self.isa, k, n);
        let source = vec![T::ONE; k * n];
        let mut space = vec![T::ZERO; panels.len() + 64];
        let skip = space.as_ptr().align_offset(64);
        let packed = &mut space[skip..];
        let src = Matrix {
            ptr: source.as_ptr(),
            rows: k,
            columns: n,
            row_stride: n,
            column_stride: 1,
        };
        // SAFETY: the source has `k` rows of `n` entries.
        unsafe { panels.pack(self.isa, packed, (0, 0), src) };
        let a = vec![T::ONE; m * k];
        let mut c = vec![T::ZERO; m * n];
        let segments = [Segment::columns(a.as_ptr(), k, k)];
        let product = Product {
            c: c.as_mut_ptr(),
            c_stride: n,
            m,
            a: &segments,
            b: packed.as_ptr(),
            panels,
            start: None,
            ahead: None,
        };
        let flops = (2 * m * k * n) as f64;
        let bytes = (k * n * size_of::<T>()) as f64;
        self.line(
            &format!("{ty} packed {m} x {k} x {n}"),
            // SAFETY: the operands have these sizes.
            || unsafe { black_box(&product).run(self.isa, 0..panels.count()) },
            |time| {
                format!(
                    "{} {:6.1} GB/s of B",
                    self.share(flops / time),
                    bytes / time / 1e9
                )
            },
        );
    }

    fn over_rows<T: Element>(&self, ty: &str, m: usize, rows: usize, n: usize) {
        let (a, b) = (vec![T::ONE; rows * m], vec![T::ONE; rows * n]);
        let mut c = vec![T::ZERO; m * n];
        let mut scratch = vec![T::ZERO; OverRows::<T>::scratch(m, n) + 64];
        let skip = scratch.as_ptr().align_offset(64);
        let product = OverRows {
            c: c.as_mut_ptr(),
            c_stride: n,
            a: &[Columns {
                ptr: a.as_ptr(),
                stride: m,
                columns: m,
            }],
            b: &[Columns {
                ptr: b.as_ptr(),
                stride: n,
                columns: n,
            }],
            rows,
            accumulate: true,
        };
        let flops = (2 * m * rows * n) as f64;
        self.line(
            &format!("{ty} over rows {m} x {rows} x {n}"),
            // SAFETY: the operands have these sizes.
            || unsafe { black_box(&product).run(self.isa, &mut scratch[skip..]) },
            |time| self.share(flops / time),
        );
    }

    /// An elementary function of 4096 numbers between −4 and 4, or of their magnitudes if it requires positive
    /// arguments.
    fn function<T: Element + From<f32>>(&self, ty: &str, function: Function) {
        let domain = matches!(function, Function::Ln | Function::Ln1p);
        let number = |i: u16| f32::from(i % 4096) / 512.0 - 4.0;
        let x: Vec<T> = (0..4096_u16)
            .map(|i| number(i.wrapping_mul(611)))
            .map(|x| T::from(if domain { x.abs() + 0.01 } else { x }))
            .collect();
        let mut y = vec![T::ZERO; x.len()];
        let count = x.len() as f64;
        self.line(
            &format!("{ty} {function:?}"),
            || {
                self.isa.dispatch(Map {
                    function,
                    x: black_box(&x),
                    y: &mut y,
                });
            },
            |time| format!("{:7.2} G elements/s", count / time / 1e9),
        );
    }

    fn share(&self, rate: f64) -> String {
        format!(
            "{:7.2} Gflop/s {:4.0} % of peak",
            rate / 1e9,
            100.0 * rate / self.peak
        )
    }

    fn all<T: Element + From<f32>>(ty: &str, isa: Isa, filter: &str) {
        let peak = peak::<T>(isa);
        println!("{} {ty}: {:.1} Gflop/s at most", isa.name(), peak / 1e9);
        let bench = Bench { isa, filter, peak };
        for (k, n) in [(2, 2), (4, 8), (14, 56), (32, 128), (128, 512), (64, 256)] {
            bench.product::<T>(ty, 1, k, n);
        }
        for m in [8, 16, 32, 64] {
            for (k, n) in [
                (64, 256),
                (256, 1024),
                (512, 2048),
                (1024, 4096),
                (1024, 256),
            ] {
                bench.product::<T>(ty, m, k, n);
            }
        }
        let shapes = [
            (1024, 4096, 256),
            (256, 4096, 64),
            (2048, 8192, 512),
            (512, 64, 128),
            (16, 1000, 4),
        ];
        for (m, rows, n) in shapes {
            bench.over_rows::<T>(ty, m, rows, n);
        }
        for function in Function::ALL {
            bench.function::<T>(ty, function);
        }
    }
}

fn main() {
    let filter = std::env::args()
        .skip(1)
        .find(|a| !a.starts_with("--"))
        .unwrap_or_default();
    for &isa in Isa::available().iter().rev() {
        if isa == Isa::PORTABLE && !filter.contains("portable") {
            continue;
        }
        Bench::all::<f32>("f32", isa, &filter);
        Bench::all::<f64>("f64", isa, &filter);
    }
}
