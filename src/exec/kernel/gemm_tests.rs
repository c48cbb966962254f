//! Matrix products compared with a triple loop, to the last bit, on every instruction set.

#![allow(
    unsafe_code,
    reason = "the products take pointers; every operand is made to the size it is used with"
)]

use super::{Columns, Element, Isa, Matrix, OverRows, Panels, Product, Segment, Start, Thin};

/// The value around a result, which must not change.
const GUARD: f64 = -77.25;

/// The number types of the tests.
trait Number: Element {
    fn of(x: f64) -> Self;
    fn fused(self, a: Self, b: Self) -> Self;
}

macro_rules! number {
    ($($t:ty)+) => {
        $(impl Number for $t {
            #[allow(clippy::cast_possible_truncation, reason = "any number will do")]
            fn of(x: f64) -> Self {
                x as $t
            }
            fn fused(self, a: Self, b: Self) -> Self {
                self.mul_add(a, b)
            }
        })+
    };
}
number!(f32 f64);

/// Pseudorandom numbers in `[-1, 1)`, equal for equal seeds.
fn numbers<T: Number>(n: usize, seed: u64) -> Vec<T> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        #[allow(clippy::cast_precision_loss, reason = "rounding is welcome")]
        T::of((state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0)
    };
    std::iter::repeat_with(next).take(n).collect()
}

/// A row-major matrix with gaps between its rows.
#[derive(Clone)]
struct Rows<T> {
    data: Vec<T>,
    stride: usize,
    columns: usize,
}

impl<T: Number> Rows<T> {
    fn new(rows: usize, columns: usize, seed: u64) -> Self {
        let stride = columns + 3;
        let data = numbers(rows * stride + 1, seed);
        Self {
            data,
            stride,
            columns,
        }
    }

    /// A matrix with guards in the gaps.
    fn guarded(rows: usize, columns: usize, seed: u64) -> Self {
        let mut made = Self::new(rows, columns, seed);
        let stride = made.stride;
        for (i, x) in made.data.iter_mut().enumerate() {
            if i / stride == rows || i % stride >= columns {
                *x = T::of(GUARD);
            }
        }
        made
    }

    fn at(&self, i: usize, j: usize) -> T {
        self.data[i * self.stride + j]
    }
}

fn total<T>(sides: &[Rows<T>]) -> usize {
    sides.iter().map(|side| side.columns).sum()
}

/// Entry `(i, j)` of adjacent matrices.
fn beside<T: Number>(sides: &[Rows<T>], i: usize, mut j: usize) -> T {
    for side in sides {
        if j < side.columns {
            return side.at(i, j);
        }
        j -= side.columns;
    }
    unreachable!("the column lies in a matrix")
}

/// `C (+)= A B` in three loops, with one rounding per step.
fn by_hand<T: Number>(
    c: &Rows<T>,
    size: (usize, usize, usize),
    accumulate: bool,
    a: impl Fn(usize, usize) -> T,
    b: impl Fn(usize, usize) -> T,
) -> Vec<T> {
    let (m, k, n) = size;
    let mut result = c.data.clone();
    for i in 0..m {
        for j in 0..n {
            let entry = &mut result[i * c.stride + j];
            let start = if accumulate { *entry } else { T::ZERO };
            *entry = (0..k).fold(start, |sum, l| a(i, l).fused(b(l, j), sum));
        }
    }
    result
}

/// Tests a product of `m` rows, with the left-hand side in segments: whole, and divided in several
/// ways.
fn product<T: Number>(isa: Isa, m: usize, segments: &[usize], n: usize, accumulate: bool) {
    let k = segments.iter().sum();
    let left: Vec<Rows<T>> = (1..)
        .zip(segments)
        .map(|(i, &k)| Rows::new(m, k, i))
        .collect();
    let right: Rows<T> = Rows::new(k, n, 20);
    let panels = Panels::new::<T>(isa, k, n);
    let mut packed = vec![T::of(GUARD); panels.len() + 1];
    // Four blocks, of which two are transposed in memory.
    let (k1, n1) = (k / 3, n / 2);
    for (top, rows) in [(0, k1), (k1, k - k1)] {
        for (first, columns) in [(0, n1), (n1, n - n1)] {
            let transposed = top > 0;
            let mut copy = vec![T::ZERO; rows * columns + 1];
            let (row_stride, column_stride) = if transposed { (1, rows) } else { (columns, 1) };
            for i in 0..rows {
                for j in 0..columns {
                    copy[i * row_stride + j * column_stride] = right.at(top + i, first + j);
                }
            }
            let src = Matrix {
                ptr: copy.as_ptr(),
                rows,
                columns,
                row_stride,
                column_stride,
            };
            // SAFETY: the copy has these rows and columns.
            unsafe { panels.pack(isa, &mut packed, (top, first), src) };
        }
    }
    assert_eq!(
        packed[panels.len()],
        T::of(GUARD),
        "packing stays in its space"
    );

    let before: Rows<T> = Rows::guarded(m, n, 30);
    let mut same = before.clone();
    for row in 1..m {
        let (first, rest) = same.data.split_at_mut(row * same.stride);
        rest[..n].copy_from_slice(&first[..n]);
    }
    let a = |i, l| beside(&left, i, l);
    let of = |start: &Rows<T>| by_hand(start, (m, k, n), accumulate, a, |l, j| right.at(l, j));
    let (expected, expected_of_common) = (of(&before), of(&same));
    let count = panels.count();
    let cuts = [(m, count), (1, count), (m, 1), (5, 2)];
    for (common, (row_step, panel_step)) in [false, true].iter().flat_map(|c| cuts.map(|s| (*c, s)))
    {
        let mut c = before.clone();
        for row in (0..m).step_by(row_step) {
            let a: Vec<_> = left
                .iter()
                .map(|s| Segment::columns(s.data[row * s.stride..].as_ptr(), s.stride, s.columns))
                .collect();
            for panel in (0..count).step_by(panel_step) {
                let to = c.data[row * c.stride..].as_mut_ptr();
                let start = if common {
                    Start {
                        ptr: before.data.as_ptr(),
                        stride: 0,
                    }
                } else {
                    Start {
                        ptr: to.cast_const(),
                        stride: c.stride,
                    }
                };
                let product = Product {
                    c: to,
                    c_stride: c.stride,
                    m: row_step.min(m - row),
                    a: &a,
                    b: packed.as_ptr(),
                    panels,
                    start: accumulate.then_some(start),
                    ahead: None,
                };
                // SAFETY: all operands have `m` rows from `row` on.
                unsafe { product.run(isa, panel..(panel + panel_step).min(count)) };
            }
        }
        assert!(
            c.data
                == if common {
                    &expected_of_common
                } else {
                    &expected
                }[..],
            "{} {m} x {segments:?} x {n}, accumulate {accumulate}, a common start {common}, cut into {row_step} rows and \
             {panel_step} panels",
            isa.name()
        );
    }
}

/// Tests a product over common rows: whole, and divided by rows of the result.
fn over_rows<T: Number>(isa: Isa, ms: &[usize], rows: usize, ns: &[usize], accumulate: bool) {
    let left: Vec<Rows<T>> = (1..).zip(ms).map(|(i, &m)| Rows::new(rows, m, i)).collect();
    let right: Vec<Rows<T>> = (11..)
        .zip(ns)
        .map(|(i, &n)| Rows::new(rows, n, i))
        .collect();
    let (m, n) = (total(&left), total(&right));
    let start: Rows<T> = Rows::guarded(m, n, 30);
    let size = (m, rows, n);
    let a = |i, l| beside(&left, l, i);
    let expected = by_hand(&start, size, accumulate, a, |l, j| beside(&right, l, j));
    let columns = |s: &Rows<T>| Columns {
        ptr: s.data.as_ptr(),
        stride: s.stride,
        columns: s.columns,
    };
    let (left, right) = (
        left.iter().map(columns).collect::<Vec<_>>(),
        right.iter().map(columns).collect::<Vec<_>>(),
    );
    let each: Vec<_> = left.chunks(1).collect();
    for parts in [vec![&left[..]], each] {
        let mut c = start.clone();
        let mut row = 0;
        for a in parts {
            let m = a.iter().map(|s| s.columns).sum::<usize>();
            let mut scratch = vec![T::of(GUARD); OverRows::<T>::scratch(m, n)];
            let product = OverRows {
                c: c.data[row * c.stride..].as_mut_ptr(),
                c_stride: c.stride,
                a,
                b: &right,
                rows,
                accumulate,
            };
            let thin = match (a, &right[..]) {
                ([a], [b]) if accumulate => Thin::of((*a, *b), (product.c, c.stride), rows),
                _ => None,
            };
            match thin {
                Some(thin) if row % 2 == 0 => isa.dispatch(thin),
                // SAFETY: the segments have `rows` rows, and the result has a row for each column
                // of `a`.
                _ => unsafe { product.run(isa, &mut scratch) },
            }
            row += m;
        }
        assert!(
            c.data == expected,
            "{} {ms:?} over {rows} rows x {ns:?}, accumulate {accumulate}",
            isa.name()
        );
    }
}

/// The sizes of the cases; Miri is slow.
const MOST: usize = if cfg!(miri) { 3 } else { 70 };

fn products<T: Number>() {
    for &isa in Isa::available() {
        for n in 1..=MOST {
            let ms: &[usize] = if cfg!(miri) {
                &[2, 5]
            } else {
                &[1, 2, 3, 4, 7, 8, 9, 13]
            };
            for &m in ms {
                product::<T>(isa, m, &[2, 0, 5], n, n % 2 == 0);
            }
        }
        for m in 1..=MOST {
            product::<T>(isa, m, &[m], MOST / 2, m % 2 == 0);
        }
        product::<T>(isa, 3, &[0], 5, false);
        product::<T>(isa, 3, &[0], 5, true);
        if !cfg!(miri) {
            product::<T>(isa, 37, &[300, 1, 260], 70, false);
            product::<T>(isa, 150, &[520], 3, true);
        }
    }
}

fn products_over_rows<T: Number>() {
    for &isa in Isa::available() {
        for n in 1..=MOST {
            over_rows::<T>(isa, &[n / 2 + 1, 3], 7, &[n], n % 2 == 0);
            over_rows::<T>(isa, &[5], n, &[n, 2, 4], n % 2 == 1);
        }
        for n in 1..=MOST {
            for m in 1..=4 {
                over_rows::<T>(isa, &[m], 7, &[n], true);
                over_rows::<T>(isa, &[n], 3, &[m], true);
            }
        }
        over_rows::<T>(isa, &[5], 0, &[6], false);
        over_rows::<T>(isa, &[5], 0, &[6], true);
        if !cfg!(miri) {
            over_rows::<T>(isa, &[20, 9], 600, &[30, 7], false);
            over_rows::<T>(isa, &[40], 513, &[3], true);
            over_rows::<T>(isa, &[3], 5, &[700], false);
            over_rows::<T>(isa, &[530], 5, &[260, 270], true);
        }
    }
}

#[test]
fn a_product_has_the_bits_of_three_loops_however_it_is_cut() {
    products::<f32>();
    products::<f64>();
}

#[test]
fn a_product_over_rows_has_the_bits_of_three_loops_however_it_is_cut() {
    products_over_rows::<f32>();
    products_over_rows::<f64>();
}

#[test]
fn every_part_of_what_is_ahead_is_named_once() {
    let memory = [0.0_f32; 300];
    let mut ahead = super::Ahead::with_capacity(2);
    for round in 0..2 {
        ahead.push(memory.as_ptr(), 100);
        ahead.push(memory[150..].as_ptr(), 96);
        let mut at = Vec::new();
        while let Some(ptr) = ahead.take(48) {
            at.push((ptr as usize - memory.as_ptr() as usize) / size_of::<f32>());
        }
        assert_eq!(at, [0, 48, 96, 150, 198], "round {round}");
        ahead.clear();
        assert!(ahead.take(48).is_none());
    }
}
