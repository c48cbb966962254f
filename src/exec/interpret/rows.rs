//! Operations on rows: small products and sums.

#![allow(unsafe_code, reason = "rows are reached through pointers and strides")]

use crate::exec::kernel::{Columns, Element, Kernel, MAX_LANES, Vector};
use crate::op::{Contract, Scalar};

/// A small product of one row of each operand.
pub(crate) struct Contraction<T> {
    pub(crate) contract: Contract,
    pub(crate) a: *const T,
    /// `None` for the sum of the entries of `a`.
    pub(crate) b: Option<*const T>,
    pub(crate) out: *mut T,
    pub(crate) rows: usize,
    /// The number of entries of a row of `a` and of `b`.
    pub(crate) lens: [usize; 2],
    /// The entries from one row to the next, of `a`, `b` and the result.
    pub(crate) strides: [usize; 3],
}

impl<T: Element> Kernel<T> for Contraction<T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Elem = T>>(self) {
        match self.b {
            Some(b) if self.contract.strong => self.strong::<V>(b),
            _ => {
                for row in 0..self.rows {
                    // SAFETY: guaranteed by the maker of the contraction.
                    unsafe { self.row::<V>(row) };
                }
            }
        }
    }
}

impl<T: Element> Contraction<T> {
    /// Computes the rows of a strong product (zero times infinity is zero). For a row of finite
    /// entries, it is the plain product, bit for bit.
    #[inline(always)]
    fn strong<V: Vector<Elem = T>>(&self, b: *const T) {
        for row in 0..self.rows {
            // SAFETY: guaranteed by the maker of the contraction.
            let (left, right, out) = unsafe {
                (
                    self.a.add(row * self.strides[0]),
                    b.add(row * self.strides[1]),
                    self.out.add(row * self.strides[2]),
                )
            };
            if unsafe { is_finite(left, self.lens[0]) && is_finite(right, self.lens[1]) } {
                V::outline(Self {
                    contract: Contract {
                        strong: false,
                        ..self.contract
                    },
                    a: left,
                    b: Some(right),
                    out,
                    rows: 1,
                    ..*self
                });
            } else {
                unsafe { self.strong_row(left, right, out) };
            }
        }
    }

    #[inline(always)]
    unsafe fn row<V: Vector<Elem = T>>(&self, row: usize) {
        let Contract { m, k, n, a, b, .. } = self.contract;
        let left = unsafe { self.a.add(row * self.strides[0]) };
        let right = self.b.map(|b| unsafe { b.add(row * self.strides[1]) });
        let out = unsafe { self.out.add(row * self.strides[2]) };
        for i in 0..m {
            let left = unsafe { left.add(i * a[0]) };
            let to = unsafe { out.add(i * n) };
            match right {
                None => unsafe { *to = total::<V>(left, a[1], k) },
                Some(right) if n == 1 && a[1] == 1 && b[0] == 1 => unsafe {
                    *to = dot::<V>(left, right, k);
                },
                Some(right) if b[1] == 1 => unsafe {
                    combine::<V>(left, a[1], right, b[0], k, to, n);
                },
                Some(right) => {
                    for j in 0..n {
                        let mut sum = T::ZERO;
                        for l in 0..k {
                            unsafe {
                                sum = sum + *left.add(l * a[1]) * *right.add(l * b[0] + j * b[1]);
                            }
                        }
                        unsafe { *to.add(j) = sum };
                    }
                }
            }
        }
    }
}

impl<T: Element> Contraction<T> {
    /// A row with entries that are not finite: terms with a zero factor are skipped.
    unsafe fn strong_row(&self, left: *const T, right: *const T, out: *mut T) {
        let Contract { m, k, n, a, b, .. } = self.contract;
        for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
            let mut sum = T::ZERO;
            for l in 0..k {
                // SAFETY: guaranteed by the maker of the contraction.
                let (x, y) = unsafe {
                    (
                        *left.add(i * a[0] + l * a[1]),
                        *right.add(l * b[0] + j * b[1]),
                    )
                };
                if x != T::ZERO && y != T::ZERO {
                    sum = sum + x * y;
                }
            }
            unsafe { *out.add(i * n + j) = sum };
        }
    }
}

/// A sum of many numbers. In `f32`, the rounding error of each addition is added to the next number
/// (Kahan 1965), so the error of the sum does not grow with the number of terms.
#[derive(Clone, Copy)]
struct Sum<T> {
    sum: T,
    lost: T,
}

impl<T: Element> Sum<T> {
    /// Adds a number.
    #[inline(always)]
    fn add(self, x: T) -> Self {
        if !T::COMPENSATED {
            return Self {
                sum: self.sum + x,
                ..self
            };
        }
        let x = x + self.lost;
        let sum = self.sum + x;
        let part = sum - self.sum;
        let lost = (self.sum - (sum - part)) + (x - part);
        // An infinity has no rounding error.
        let is_finite = lost * T::ZERO == T::ZERO;
        let lost = if is_finite { lost } else { T::ZERO };
        Self { sum, lost }
    }
}

/// A [`Sum`] in each lane.
#[derive(Clone, Copy)]
struct Sums<V>(Sum<V>);

impl<V: Vector> Sums<V> {
    #[inline(always)]
    fn zero() -> Self {
        let zero = V::splat(V::Elem::ZERO);
        Self(Sum {
            sum: zero,
            lost: zero,
        })
    }

    #[inline(always)]
    fn add(self, x: V) -> Self {
        if !V::Elem::COMPENSATED {
            return Self(Sum {
                sum: self.0.sum + x,
                ..self.0
            });
        }
        let x = x + self.0.lost;
        let sum = self.0.sum + x;
        let part = sum - self.0.sum;
        let lost = (self.0.sum - (sum - part)) + (x - part);
        let lost = V::select(lost.eq(lost), lost, V::splat(V::Elem::ZERO));
        Self(Sum { sum, lost })
    }
}

/// Returns true if all entries are finite: zero times each is then zero.
///
/// # Safety
/// The entries are valid for reading.
unsafe fn is_finite<T: Element>(x: *const T, len: usize) -> bool {
    // SAFETY: guaranteed by the caller.
    (0..len).all(|i| unsafe { *x.add(i) } * T::ZERO == T::ZERO)
}

/// Adds a strong sum of outer products (zero times infinity is zero), if an entry is not finite.
/// Otherwise, it does nothing and returns false, because the plain product is the same. Every
/// element is one chain of fused multiply-adds.
///
/// # Safety
/// `a` and `b` are valid for reading `rows` rows, `c` for reading and writing the result.
pub(crate) unsafe fn strong_outer<T: Element + Scalar>(
    a: Columns<T>,
    b: Columns<T>,
    c: *mut T,
    rows: usize,
) -> bool {
    // SAFETY: guaranteed by the caller.
    let row = |x: Columns<T>, row: usize| unsafe { x.ptr.add(row * x.stride) };
    let is_plain = |x: Columns<T>| (0..rows).all(|r| unsafe { is_finite(row(x, r), x.columns) });
    if is_plain(a) && is_plain(b) {
        return false;
    }
    for r in 0..rows {
        for i in 0..a.columns {
            for j in 0..b.columns {
                unsafe {
                    let (x, y) = (*row(a, r).add(i), *row(b, r).add(j));
                    if x != T::ZERO && y != T::ZERO {
                        let to = c.add(i * b.columns + j);
                        *to = x.mul_add(y, *to);
                    }
                }
            }
        }
    }
    true
}

#[inline(always)]
unsafe fn total<V: Vector>(x: *const V::Elem, stride: usize, n: usize) -> V::Elem {
    let some = |from: usize| {
        let rest = from..n.min(from + TOGETHER);
        rest.fold(V::Elem::ZERO, |sum, i| sum + unsafe { *x.add(i * stride) })
    };
    let mut sum = Sum {
        sum: some(0),
        lost: V::Elem::ZERO,
    };
    for from in (TOGETHER..n).step_by(TOGETHER) {
        sum = sum.add(some(from));
    }
    sum.sum
}

/// The number of chains of an inner product, on any machine: the lanes of the widest vectors.
const fn chains<T>() -> usize {
    64 / size_of::<T>()
}

/// The inner product: entry `i` is in chain `i mod chains`.
#[inline(always)]
unsafe fn dot<V: Vector>(a: *const V::Elem, b: *const V::Elem, n: usize) -> V::Elem {
    if n <= TOGETHER * chains::<V::Elem>() {
        return joined(unsafe { products::<V>(a, b, n) });
    }
    V::outline(LongProduct { a, b, n })
}

/// The inner product of many entries.
struct LongProduct<T> {
    a: *const T,
    b: *const T,
    n: usize,
}

impl<T: Element> Kernel<T> for LongProduct<T> {
    type Output = T;

    #[inline(always)]
    fn run<V: Vector<Elem = T>>(self) -> T {
        let most = TOGETHER * chains::<T>();
        let mut sums = [Sums::<V>::zero(); MAX_LANES];
        for from in (0..self.n).step_by(most) {
            let n = most.min(self.n - from);
            // SAFETY: guaranteed by the maker, for `n` entries.
            let part = unsafe { products::<V>(self.a.add(from), self.b.add(from), n) };
            for j in 0..chains::<T>() / V::LANES {
                sums[j] = sums[j].add(part[j]);
            }
        }
        let mut parts = [V::splat(T::ZERO); MAX_LANES];
        for j in 0..chains::<T>() / V::LANES {
            parts[j] = sums[j].0.sum;
        }
        joined(parts)
    }
}

/// The sum of all chains: halves are added until one is left.
#[inline(always)]
fn joined<V: Vector>(mut parts: [V; MAX_LANES]) -> V::Elem {
    let mut n = chains::<V::Elem>() / V::LANES;
    while n > 1 {
        n /= 2;
        for j in 0..n {
            parts[j] = parts[j] + parts[j + n];
        }
    }
    parts[0].sum()
}

/// The sums of products in each chain, in the lanes of as many vectors as hold them.
///
/// # Safety
/// `a` and `b` are valid for reading `n` entries.
#[inline(always)]
unsafe fn products<V: Vector>(a: *const V::Elem, b: *const V::Elem, n: usize) -> [V; MAX_LANES] {
    let mut sums = [V::splat(V::Elem::ZERO); MAX_LANES];
    let vectors = chains::<V::Elem>() / V::LANES;
    let mut i = 0;
    while i + chains::<V::Elem>() <= n {
        for sum in &mut sums[..vectors] {
            unsafe { *sum = V::load(a.add(i)).mul_add(V::load(b.add(i)), *sum) };
            i += V::LANES;
        }
    }
    if i < n {
        let is_first = i == 0;
        for sum in &mut sums[..vectors] {
            let rest = (n - i).min(V::LANES);
            // A chain that has no entry yet is zero, and stays so.
            if rest == 0 && is_first {
                break;
            }
            unsafe {
                let (a, b) = (
                    V::load_partial(a.add(i), rest),
                    V::load_partial(b.add(i), rest),
                );
                *sum = a.mul_add(b, *sum);
            }
            i += rest;
        }
    }
    sums
}

/// `out[j] = Σ_l a[l] b[l, j]`.
#[inline(always)]
unsafe fn combine<V: Vector>(
    a: *const V::Elem,
    a_step: usize,
    b: *const V::Elem,
    b_step: usize,
    k: usize,
    out: *mut V::Elem,
    n: usize,
) {
    let mut j = 0;
    while j < n {
        let width = V::LANES.min(n - j);
        let mut sum = V::splat(V::Elem::ZERO);
        for l in 0..k {
            unsafe {
                let factor = V::splat(*a.add(l * a_step));
                let from = b.add(l * b_step + j);
                let entries = if width == V::LANES {
                    V::load(from)
                } else {
                    V::load_partial(from, width)
                };
                sum = factor.mul_add(entries, sum);
            }
        }
        unsafe { sum.store_partial(out.add(j), width) };
        j += width;
    }
}

/// Adds one entry of every row to `out`, one after the other.
///
/// # Safety
/// `from` is valid for reading `rows` entries, `stride` apart; `out` and `lost` are valid for
/// reading and writing one entry.
pub(crate) unsafe fn chain<T: Element>(
    from: *const T,
    stride: usize,
    rows: usize,
    (out, lost): (*mut T, *mut T),
) {
    let mut sum = unsafe {
        Sum {
            sum: *out,
            lost: *lost,
        }
    };
    for row in 0..rows {
        sum = sum.add(unsafe { *from.add(row * stride) });
    }
    unsafe {
        *out = sum.sum;
        *lost = sum.lost;
    }
}

/// The number of rows added at a time.
const TOGETHER: usize = 8;

/// A sum of rows.
pub(crate) struct SumRows<T> {
    pub(crate) from: *const T,
    pub(crate) stride: usize,
    pub(crate) rows: usize,
    pub(crate) len: usize,
    /// True for the terms of one sum, whose rounding must not depend on the distance between them.
    pub(crate) close: bool,
    /// The destination, to which the sum is added.
    pub(crate) out: *mut T,
    /// The rounding error of the sum so far.
    pub(crate) lost: *mut T,
}

impl<T: Element> Kernel<T> for SumRows<T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Elem = T>>(self) {
        // SAFETY: guaranteed by the maker.
        unsafe {
            if self.close {
                self.entries::<V>();
            } else {
                self.columns::<V>();
            }
        }
    }
}

impl<T: Element> SumRows<T> {
    /// Sums single entries: every sixteenth entry in one chain, on any machine.
    #[inline(always)]
    unsafe fn entries<V: Vector<Elem = T>>(&self) {
        const MOST: usize = TOGETHER * MAX_LANES;
        let mut sums = [Sums::<V>::zero(); MAX_LANES];
        let sums = &mut sums[..MAX_LANES / V::LANES];
        let mut apart: [T; MOST];
        for first in (0..self.rows).step_by(MOST) {
            let rows = MOST.min(self.rows - first);
            let mut from = self.from.wrapping_add(first * self.stride);
            if self.stride != 1 {
                apart = [T::ZERO; MOST];
                for (row, x) in apart.iter_mut().take(rows).enumerate() {
                    *x = unsafe { *from.add(row * self.stride) };
                }
                from = apart.as_ptr();
            }
            if rows == MOST {
                for (j, sum) in sums.iter_mut().enumerate() {
                    let from = from.wrapping_add(j * V::LANES);
                    *sum = sum.add(unsafe { some::<V>(from, MAX_LANES, V::LANES) });
                }
                continue;
            }
            let mut i = 0;
            while i < rows {
                for sum in sums.iter_mut() {
                    let n = (rows - i).min(V::LANES);
                    *sum = sum.add(unsafe { load::<V>(from.add(i), n) });
                    i += n;
                }
            }
        }
        let mut both = [[V::splat(T::ZERO); MAX_LANES]; 2];
        for (j, sum) in sums.iter().enumerate() {
            both[0][j] = sum.0.sum;
            both[1][j] = sum.0.lost;
        }
        let [sum, lost] = both.map(|mut x| {
            // Halves are added until one vector is left.
            let mut n = sums.len();
            while n > 1 {
                n /= 2;
                for j in 0..n {
                    x[j] = x[j] + x[j + n];
                }
            }
            x[0].sum()
        });
        let all = sum + lost;
        unsafe { chain(&raw const all, 0, 1, (self.out, self.lost)) };
    }

    /// Sums rows in the order of memory, each column in the same order.
    #[inline(always)]
    unsafe fn columns<V: Vector<Elem = T>>(&self) {
        let whole = self.rows - self.rows % TOGETHER;
        // SAFETY: guaranteed by the maker.
        unsafe {
            if self.len <= V::LANES {
                let mut sums = self.sums::<V>(0, self.len);
                for row in (0..whole).step_by(TOGETHER) {
                    let from = self.from.add(row * self.stride);
                    sums = sums.add(some::<V>(from, self.stride, self.len));
                }
                for row in whole..self.rows {
                    sums = sums.add(load::<V>(self.from.add(row * self.stride), self.len));
                }
                self.keep(sums, 0, self.len);
                return;
            }
            for row in (0..whole).step_by(TOGETHER) {
                self.add::<V, true>(row);
            }
            for row in whole..self.rows {
                self.add::<V, false>(row);
            }
        }
    }

    /// Adds one row, or [`TOGETHER`] rows if `SOME`.
    ///
    /// # Safety
    /// As for the whole; these rows exist.
    #[inline(always)]
    unsafe fn add<V: Vector<Elem = T>, const SOME: bool>(&self, row: usize) {
        for j in (0..self.len).step_by(V::LANES) {
            let n = V::LANES.min(self.len - j);
            unsafe {
                let from = self.from.add(row * self.stride + j);
                let x = if SOME {
                    some::<V>(from, self.stride, n)
                } else {
                    load::<V>(from, n)
                };
                self.keep(self.sums::<V>(j, n).add(x), j, n);
            }
        }
    }

    /// The sums of `n` columns so far.
    ///
    /// # Safety
    /// These columns exist.
    #[inline(always)]
    unsafe fn sums<V: Vector<Elem = T>>(&self, column: usize, n: usize) -> Sums<V> {
        unsafe {
            Sums(Sum {
                sum: load::<V>(self.out.add(column), n),
                lost: load::<V>(self.lost.add(column), n),
            })
        }
    }

    /// Stores the sums of `n` columns.
    ///
    /// # Safety
    /// These columns exist.
    #[inline(always)]
    unsafe fn keep<V: Vector<Elem = T>>(&self, sums: Sums<V>, column: usize, n: usize) {
        let places = [(sums.0.sum, self.out), (sums.0.lost, self.lost)];
        for (x, to) in places.into_iter().take(1 + usize::from(T::COMPENSATED)) {
            unsafe {
                if n == V::LANES {
                    x.store(to.add(column));
                } else {
                    x.store_partial(to.add(column), n);
                }
            }
        }
    }
}

/// The sum of [`TOGETHER`] rows, `stride` apart, of `n` columns.
///
/// # Safety
/// The rows are valid for reading.
#[inline(always)]
unsafe fn some<V: Vector>(from: *const V::Elem, stride: usize, n: usize) -> V {
    let mut sums = [V::splat(V::Elem::ZERO); TOGETHER];
    for (i, sum) in sums.iter_mut().enumerate() {
        *sum = unsafe { load::<V>(from.add(i * stride), n) };
    }
    let mut half = TOGETHER;
    while half > 1 {
        half /= 2;
        for i in 0..half {
            sums[i] = sums[i] + sums[i + half];
        }
    }
    sums[0]
}

/// Loads the first `n` lanes, most often all.
///
/// # Safety
/// As for [`Vector::load_partial`].
#[inline(always)]
unsafe fn load<V: Vector>(ptr: *const V::Elem, n: usize) -> V {
    unsafe {
        if n == V::LANES {
            V::load(ptr)
        } else {
            V::load_partial(ptr, n)
        }
    }
}
