//! The norms of sums of outer products, `‖Σ_r a_r b_rᵀ‖`, whose vectors are the rows of matrices.
//!
//! | way | multiplications, for `R` rows of `m` and `n` entries | memory |
//! |---|---|---|
//! | the matrix itself | `R m n` | `m n` |
//! | `Σ_rs (a_r · a_s)(b_r · b_s)`, in blocks of rows | `R² (m + n) / 2` | a few blocks |
//! | sums of the rows of equal classes | `R n` | `n` |

#![allow(
    unsafe_code,
    reason = "the kernels take pointers; the views from which they come guarantee them"
)]

use ndarray::{ArrayView1, ArrayView2, s};

use super::kernel::{Columns, Element, Isa, Matrix, OverRows, Panels, Product, Segment};
use crate::op::Scalar;

/// The vectors of one side of some outer products.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Vectors<'a, F> {
    /// The rows of a matrix.
    Dense(ArrayView2<'a, F>),
    /// The unit vectors of classes, which are whole numbers.
    Classes(ArrayView1<'a, F>),
}

impl<'a, F: Scalar> Vectors<'a, F> {
    /// Some rows from this one on, for dense rows.
    fn block(self, first: usize) -> Option<ArrayView2<'a, F>> {
        match self {
            Self::Dense(rows) => {
                let end = rows.nrows().min(first + BLOCK);
                Some(rows.slice_move(s![first..end, ..]))
            }
            Self::Classes(_) => None,
        }
    }

    fn rows(&self) -> usize {
        match self {
            Self::Dense(rows) => rows.nrows(),
            Self::Classes(classes) => classes.len(),
        }
    }
}

/// The number of rows of a block.
const BLOCK: usize = 64;

/// The sum over pairs of `R` rows is chosen if `R (m + n)` is at most this part of `m n`, a ratio of two numbers (measured by
/// `the_cheaper_way` below; both take as long at 1.2 to 1.6).
const PAIRS: (usize, usize) = (5, 4);

/// The sum over pairs must be at least this part of `(Σ_r ‖a_r‖ ‖b_r‖)²`; below it, too many digits cancel.
const CANCELLED: f64 = 1e-3;

/// The memory of the computation of norms, reused by the next.
#[derive(Debug, Default)]
pub(crate) struct OuterNorms<F> {
    matrix: Vec<F>,
    scratch: Vec<F>,
    panels: [Vec<F>; 2],
    grams: [Vec<F>; 2],
    order: Vec<usize>,
    sums: Vec<f64>,
}

impl<F: Scalar + Element> OuterNorms<F> {
    pub(crate) const fn new() -> Self {
        Self {
            matrix: Vec::new(),
            scratch: Vec::new(),
            panels: [Vec::new(), Vec::new()],
            grams: [Vec::new(), Vec::new()],
            order: Vec::new(),
            sums: Vec::new(),
        }
    }

    /// The norm of the sum of the outer products of all terms, an `m × n` matrix.
    pub(crate) fn norm(
        &mut self,
        isa: Isa,
        [m, n]: [usize; 2],
        terms: &[[Vectors<'_, F>; 2]],
    ) -> f64 {
        let is_class = |side: usize| {
            let classes = |term: &[Vectors<'_, F>; 2]| matches!(term[side], Vectors::Classes(_));
            (terms.iter().all(classes), terms.iter().any(classes))
        };
        let rows: usize = terms.iter().map(|[a, _]| a.rows()).sum();
        let found = match (is_class(0), is_class(1)) {
            ((true, _), (_, false)) => self.grouped(n, terms, 0),
            ((_, false), (true, _)) => self.grouped(m, terms, 1),
            ((_, false), (_, false)) if PAIRS.1 * rows * (m + n) <= PAIRS.0 * m * n => {
                self.pairs(isa, [m, n], terms)
            }
            _ => None,
        };
        found.unwrap_or_else(|| self.made(isa, [m, n], terms))
    }

    /// The norm of the matrix, which is made.
    fn made(&mut self, isa: Isa, [m, n]: [usize; 2], terms: &[[Vectors<'_, F>; 2]]) -> f64 {
        self.matrix.clear();
        self.matrix.resize(m * n, F::zero());
        let scratch = OverRows::<F>::scratch(m, n);
        self.scratch
            .resize(scratch.max(self.scratch.len()), F::zero());
        for term in terms {
            match term {
                [Vectors::Dense(a), Vectors::Dense(b)] => {
                    assert!(
                        a.dim() == (b.nrows(), m) && b.ncols() == n,
                        "both sides have the same rows"
                    );
                    let [a, b] = [columns(a), columns(b)];
                    let product = OverRows {
                        c: self.matrix.as_mut_ptr(),
                        c_stride: n,
                        a: &[a],
                        b: &[b],
                        rows: term[0].rows(),
                        accumulate: true,
                    };
                    // SAFETY: the views have these rows and columns, and the matrix has `m × n` entries of its own.
                    unsafe { product.run(isa, &mut self.scratch) };
                }
                [a, b] => {
                    for row in 0..a.rows() {
                        self.add(n, row, a, b);
                    }
                }
            }
        }
        norm(self.matrix.iter().copied())
    }

    /// Adds the outer product of a row of which one side at least is a class.
    fn add(&mut self, n: usize, row: usize, a: &Vectors<'_, F>, b: &Vectors<'_, F>) {
        match (a, b) {
            (Vectors::Classes(a), Vectors::Dense(b)) => {
                let first = class(a[row]) * n;
                for (to, x) in self.matrix[first..first + n].iter_mut().zip(b.row(row)) {
                    *to += *x;
                }
            }
            (Vectors::Dense(a), Vectors::Classes(b)) => {
                let column = class(b[row]);
                for (i, x) in a.row(row).iter().enumerate() {
                    self.matrix[i * n + column] += *x;
                }
            }
            (Vectors::Classes(a), Vectors::Classes(b)) => {
                let at = class(a[row]) * n + class(b[row]);
                self.matrix[at] += F::one();
            }
            (Vectors::Dense(_), Vectors::Dense(_)) => {}
        }
    }

    /// The norm if one side has classes: that of the sums of the vectors of each class, of `n` entries; `None` if its
    /// square is out of range.
    fn grouped(&mut self, n: usize, terms: &[[Vectors<'_, F>; 2]], side: usize) -> Option<f64> {
        let row_of = |at: usize| {
            let mut at = at;
            for term in terms {
                let rows = term[0].rows();
                if at < rows {
                    return (term, at);
                }
                at -= rows;
            }
            unreachable!("a row of the terms")
        };
        let class_of = |at: usize| {
            let (term, row) = row_of(at);
            match term[side] {
                Vectors::Classes(classes) => class(classes[row]),
                Vectors::Dense(_) => 0,
            }
        };
        self.order.clear();
        self.order
            .extend(0..terms.iter().map(|[a, _]| a.rows()).sum());
        // The order within a class is that of the rows, so that the result does not depend on the sort.
        self.order.sort_unstable_by_key(|at| (class_of(*at), *at));
        let mut total = 0.0;
        for group in self.order.chunk_by(|a, b| class_of(*a) == class_of(*b)) {
            self.sums.clear();
            self.sums.resize(n, 0.0);
            for at in group {
                let (term, row) = row_of(*at);
                if let Vectors::Dense(rows) = term[1 - side] {
                    for (sum, x) in self.sums.iter_mut().zip(rows.row(row)) {
                        *sum += Scalar::to_f64(*x);
                    }
                }
            }
            total += self.sums.iter().map(|x| x * x).sum::<f64>();
        }
        is_plain(total).then(|| total.sqrt())
    }

    /// The norm by a sum over pairs of rows; `None` if digits cancel in it, or it is out of range.
    fn pairs(&mut self, isa: Isa, sizes: [usize; 2], terms: &[[Vectors<'_, F>; 2]]) -> Option<f64> {
        let blocks = || {
            terms.iter().flat_map(|[a, b]| {
                let starts = (0..a.rows()).step_by(BLOCK);
                starts.filter_map(move |first| Some([a.block(first)?, b.block(first)?]))
            })
        };
        for grams in &mut self.grams {
            grams.resize(BLOCK * BLOCK, F::zero());
        }
        // The sum, and that of the norms of its terms, whose square bounds the sum.
        let (mut sum, mut bound) = (0.0, 0.0);
        for (at, right) in blocks().enumerate() {
            let count = right[0].nrows();
            for (side, size) in sizes.into_iter().enumerate() {
                let panels = Panels::new::<F>(isa, size, count);
                let space = &mut self.panels[side];
                space.resize(panels.len().max(space.len()), F::zero());
                let rows = &right[side];
                assert_eq!(rows.dim(), (count, size), "both sides have the same rows");
                let matrix = Matrix {
                    ptr: rows.as_ptr(),
                    rows: size,
                    columns: count,
                    row_stride: 1,
                    column_stride: columns(rows).stride,
                };
                // SAFETY: the matrix is the transpose of the view.
                unsafe { panels.pack(isa, space, (0, 0), matrix) };
            }
            for (other, left) in blocks().enumerate().skip(at) {
                let rows = left[0].nrows();
                for (side, size) in sizes.into_iter().enumerate() {
                    let panels = Panels::new::<F>(isa, size, count);
                    let from = columns(&left[side]);
                    let product = Product {
                        c: self.grams[side].as_mut_ptr(),
                        c_stride: count,
                        m: rows,
                        a: &[Segment::columns(from.ptr, from.stride, size)],
                        b: self.panels[side].as_ptr(),
                        panels,
                        start: None,
                        ahead: None,
                    };
                    // SAFETY: the views have these rows and columns, the panels are packed, and the result has room for a block.
                    unsafe { product.run(isa, 0..panels.count()) };
                }
                let pairs = self.grams[0].iter().zip(&self.grams[1]);
                let products = pairs.map(|(a, b)| Scalar::to_f64(*a) * Scalar::to_f64(*b));
                let block: f64 = products.take(rows * count).sum();
                sum += if other == at { block } else { 2.0 * block };
                if other == at {
                    let entry = |gram: &[F], i: usize| Scalar::to_f64(gram[i * count + i]);
                    let both = |i| entry(&self.grams[0], i) * entry(&self.grams[1], i);
                    bound += (0..count).map(|i| both(i).sqrt()).sum::<f64>();
                }
            }
        }
        (is_plain(sum) && sum >= CANCELLED * bound * bound).then(|| sum.sqrt())
    }
}

/// The columns of a view whose rows are contiguous.
fn columns<F>(view: &ArrayView2<'_, F>) -> Columns<F> {
    let [stride, step] = [view.strides()[0], view.strides()[1]];
    assert!(
        step == 1 || view.ncols() <= 1,
        "the entries of a row are adjacent"
    );
    Columns {
        ptr: view.as_ptr(),
        stride: usize::try_from(stride).unwrap_or(0),
        columns: view.ncols(),
    }
}

fn class<F: Scalar>(x: F) -> usize {
    x.to_usize().unwrap_or(0)
}

/// The Euclidean norm of some numbers, of any magnitude.
pub(crate) fn norm<F: Scalar>(entries: impl Iterator<Item = F> + Clone) -> f64 {
    let sizes = || entries.clone().map(|x| Scalar::to_f64(x).abs());
    let sum: f64 = sizes().map(|x| x * x).sum();
    if is_plain(sum) {
        return sum.sqrt();
    }
    let largest = sizes().fold(0.0, f64::max);
    if largest == 0.0 || !largest.is_finite() {
        return largest;
    }
    largest * sizes().map(|x| (x / largest).powi(2)).sum::<f64>().sqrt()
}

/// True for a sum of squares that has neither overflowed nor lost digits to underflow.
fn is_plain(sum: f64) -> bool {
    (1e-280..=f64::MAX).contains(&sum)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use ndarray::Array2;

    use super::*;

    fn rows(count: usize, size: usize, seed: u64) -> Array2<f64> {
        let mut noise = crate::noise::Noise(seed);
        Array2::from_shape_simple_fn((count, size), || {
            (noise.bits() >> 11) as f64 / (1u64 << 52) as f64 - 1.0
        })
    }

    #[test]
    fn both_ways_agree_and_no_bit_depends_on_the_instruction_set() {
        for (count, m, n) in [
            (1, 1, 1),
            (5, 3, 40),
            (64, 9, 8),
            (65, 17, 33),
            (200, 70, 5),
        ] {
            let [a, b] = [rows(count, m, 1), rows(count, n, 2)];
            let [c, d] = [rows(3, m, 3), rows(3, n, 4)];
            let terms = [
                [Vectors::Dense(a.view()), Vectors::Dense(b.view())],
                [Vectors::Dense(c.view()), Vectors::Dense(d.view())],
            ];
            let exact = norm((a.t().dot(&b) + c.t().dot(&d)).iter().copied());
            let mut found = Vec::new();
            for isa in Isa::available() {
                let mut norms = OuterNorms::<f64>::new();
                let pairs = norms.pairs(*isa, [m, n], &terms).unwrap();
                let made = norms.made(*isa, [m, n], &terms);
                for norm in [pairs, made] {
                    assert!((norm - exact).abs() < 1e-12 * exact, "{norm} {exact}");
                }
                found.push([pairs.to_bits(), made.to_bits()]);
            }
            assert!(found.iter().all(|bits| *bits == found[0]), "{found:?}");
        }
    }

    #[test]
    #[ignore = "a measurement: cargo test --release --lib -- --ignored --nocapture the_cheaper_way"]
    #[allow(clippy::print_stdout, reason = "it is what a measurement is for")]
    fn the_cheaper_way() {
        let isa = Isa::detect();
        println!("microseconds for one sample in f64, {}", isa.name());
        println!(
            "{:>6} {:>6} {:>6} {:>9} {:>9}  R (m + n) / m n",
            "R", "m", "n", "pairs", "matrix"
        );
        for (m, n) in [
            (16, 16),
            (64, 64),
            (128, 128),
            (512, 128),
            (512, 512),
            (1024, 32),
        ] {
            for count in [16, 32, 64, 128, 256, 512, 1024] {
                let [a, b] = [rows(count, m, 1), rows(count, n, 2)];
                let terms = [[Vectors::Dense(a.view()), Vectors::Dense(b.view())]];
                let mut norms = OuterNorms::<f64>::new();
                let mut time = |way: &dyn Fn(&mut OuterNorms<f64>)| {
                    let once = |norms: &mut OuterNorms<f64>| {
                        let start = Instant::now();
                        way(norms);
                        start.elapsed().as_secs_f64() * 1e6
                    };
                    (0..20)
                        .map(|_| once(&mut norms))
                        .fold(f64::INFINITY, f64::min)
                };
                let pairs = time(&|norms| assert!(norms.pairs(isa, [m, n], &terms).is_some()));
                let made = time(&|norms| assert!(norms.made(isa, [m, n], &terms) > 0.0));
                let ratio = (count * (m + n)) as f64 / (m * n) as f64;
                println!("{count:>6} {m:>6} {n:>6} {pairs:>9.1} {made:>9.1}  {ratio:.2}");
            }
        }
    }
}
