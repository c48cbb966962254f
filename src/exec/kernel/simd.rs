//! The vector type of the kernels, and the choice of the instruction set.
//!
//! A [`Kernel`] is generic in the vector. [`Isa::dispatch`] instantiates it for an instruction set,
//! inside a function compiled with the features of that set. All functions between a kernel and a
//! vector operation must be `#[inline(always)]`: a function compiled separately does not have the
//! features, and each of its vector operations becomes a call. Closures and functions passed as
//! values are compiled separately, unless they are small. So are `zip`, `from_fn` and `map` of arrays, which
//! the standard library does not mark for inlining: kernels use loops over indices.

#![allow(
    unsafe_code,
    reason = "loads and stores through pointers; the features of an instruction set are detected \
              before the code that needs them runs"
)]

use std::fmt;
use std::ops::{Add, Div, Mul, Neg, Sub};
use std::sync::OnceLock;

use super::math::Constants;
#[cfg(target_arch = "aarch64")]
use super::neon;
use super::portable;
#[cfg(target_arch = "x86_64")]
use super::x86;

/// The maximum number of lanes of a vector.
pub(crate) const MAX_LANES: usize = 16;

/// The environment variable that names the instruction set of all programs.
pub(crate) const VARIABLE: &str = "BPTT_ISA";

/// The number type of a vector: `f32` or `f64`.
pub(crate) trait Element:
    Copy
    + Default
    + PartialEq
    + PartialOrd
    + fmt::Debug
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + Send
    + Sync
    + Constants
{
    const ZERO: Self;
    const ONE: Self;
    /// The smallest positive normal number.
    const MIN_POSITIVE: Self;
    /// `2^n` and `n`, where the product with `2^n` makes every subnormal number normal.
    const LIFT: (Self, Self);
    /// The stored exponent of 1.
    const BIAS: Self;
    /// True if sums of many numbers are compensated. In `f64`, 10⁷ additions lose at most 10⁻⁹.
    const COMPENSATED: bool;

    /// Runs a kernel on the vectors of an instruction set.
    fn dispatch<K: Kernel<Self>>(isa: Isa, kernel: K) -> K::Output;
}

/// A computation on any vector of `T`; mark `run` with `#[inline(always)]`.
pub(crate) trait Kernel<T> {
    type Output;

    fn run<V: Vector<Elem = T>>(self) -> Self::Output;
}

/// A vector of [`LANES`](Self::LANES) numbers; every operation acts on each lane.
///
/// The implementations are private to this folder, and a kernel gets them only through
/// [`Isa::dispatch`]. So a vector exists only on a machine with its instructions, and its
/// operations are safe to call.
pub(crate) trait Vector:
    Copy
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    type Elem: Element;
    /// The result of a comparison, per lane.
    type Mask: Copy;

    const LANES: usize;
    /// The number of rows of two vectors that a matrix product holds in registers, at most 12.
    const ROWS: usize;
    /// The number of elements of a cache line.
    const LINE: usize = 64 / size_of::<Self::Elem>();

    /// Runs a kernel as a separate function, compiled with the features of this vector.
    fn outline<K: Kernel<Self::Elem>>(kernel: K) -> K::Output;

    fn splat(x: Self::Elem) -> Self;

    /// # Safety
    /// `ptr` is valid for reading `LANES` elements; it need not be aligned to the vector.
    unsafe fn load(ptr: *const Self::Elem) -> Self;

    /// # Safety
    /// `ptr` is valid for writing `LANES` elements; it need not be aligned to the vector.
    unsafe fn store(self, ptr: *mut Self::Elem);

    /// Loads the first `n ≤ LANES` lanes; the others are zero.
    ///
    /// # Safety
    /// `ptr` is valid for reading `n` elements.
    unsafe fn load_partial(ptr: *const Self::Elem, n: usize) -> Self;

    /// Stores the first `n ≤ LANES` lanes.
    ///
    /// # Safety
    /// `ptr` is valid for writing `n` elements.
    unsafe fn store_partial(self, ptr: *mut Self::Elem, n: usize);

    /// Prefetches the memory at a pointer, valid or not, into the second-level cache.
    #[inline(always)]
    fn prefetch(_ptr: *const Self::Elem) {}

    /// [`load_partial`](Self::load_partial) in pieces. A later load can be forwarded from the
    /// stores of the pieces: there are more instructions, but no wait.
    ///
    /// # Safety
    /// As for `load_partial`.
    #[inline(always)]
    unsafe fn load_pieces(ptr: *const Self::Elem, n: usize) -> Self {
        unsafe { Self::load_partial(ptr, n) }
    }

    /// [`store_partial`](Self::store_partial) in pieces.
    ///
    /// # Safety
    /// As for `store_partial`.
    #[inline(always)]
    unsafe fn store_pieces(self, ptr: *mut Self::Elem, n: usize) {
        unsafe { self.store_partial(ptr, n) }
    }

    /// `self · a + b`, rounded once.
    fn mul_add(self, a: Self, b: Self) -> Self;

    /// `b - self · a`, rounded once.
    fn neg_mul_add(self, a: Self, b: Self) -> Self;

    /// `self < other ? self : other`; `other` if either is NaN.
    fn min(self, other: Self) -> Self;

    /// `self > other ? self : other`; `other` if either is NaN.
    fn max(self, other: Self) -> Self;

    fn abs(self) -> Self;
    fn sqrt(self) -> Self;

    /// The nearest integer; ties go to the even one.
    fn round(self) -> Self;

    /// The magnitude of `self` with the sign of `sign`.
    fn copysign(self, sign: Self) -> Self;

    fn lt(self, other: Self) -> Self::Mask;
    fn le(self, other: Self) -> Self::Mask;
    fn eq(self, other: Self) -> Self::Mask;

    /// `yes` where the mask is true, `no` elsewhere.
    fn select(mask: Self::Mask, yes: Self, no: Self) -> Self;

    /// Returns true if the mask is true in some lane.
    fn any(mask: Self::Mask) -> bool;

    /// `2^self`, for integers for which the power is a normal number.
    fn exp2_integer(self) -> Self;

    /// `⌊log₂ self⌋` plus [`Element::BIAS`], for positive normal numbers.
    fn biased_exponent(self) -> Self;

    /// `self / 2^⌊log₂ self⌋`, in `[1, 2)`, for positive normal numbers.
    fn significand(self) -> Self;

    /// `self · 2^n` for an integer `n` and `self` near 1, rounded once, also to subnormal numbers,
    /// zero and infinity. `n` is at most twice the largest exponent.
    #[inline(always)]
    fn scale(self, n: Self) -> Self {
        let half = (n * Self::splat(Self::Elem::ONE / (Self::Elem::ONE + Self::Elem::ONE))).round();
        self * half.exp2_integer() * (n - half).exp2_integer()
    }

    /// The lanes, in order, at the start of an array.
    #[inline(always)]
    fn to_array(self) -> [Self::Elem; MAX_LANES] {
        let mut lanes = [Self::Elem::ZERO; MAX_LANES];
        // SAFETY: no vector has more than `MAX_LANES` lanes.
        unsafe { self.store(lanes.as_mut_ptr()) };
        lanes
    }

    /// Applies a scalar function to the lanes, one after the other.
    #[inline(always)]
    fn map(self, f: impl Fn(Self::Elem) -> Self::Elem) -> Self {
        let mut lanes = self.to_array();
        for x in &mut lanes[..Self::LANES] {
            *x = f(*x);
        }
        // SAFETY: no vector has more than `MAX_LANES` lanes.
        unsafe { Self::load(lanes.as_ptr()) }
    }

    /// The sum of the lanes: halves are added until one lane is left.
    #[inline(always)]
    fn sum(self) -> Self::Elem {
        let mut lanes = self.to_array();
        let mut n = Self::LANES;
        while n > 1 {
            n /= 2;
            for i in 0..n {
                lanes[i] = lanes[i] + lanes[i + n];
            }
        }
        lanes[0]
    }
}

/// An instruction set of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Isa(Level);

/// Private, so that an [`Isa`] exists only after detection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl Isa {
    /// One number at a time, available on every machine.
    pub(crate) const PORTABLE: Self = Self(Level::Portable);

    /// The instruction sets of this machine, from the weakest to the best.
    pub(crate) fn available() -> &'static [Self] {
        static FOUND: OnceLock<Vec<Isa>> = OnceLock::new();
        FOUND.get_or_init(|| {
            let mut found = vec![Self::PORTABLE];
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            {
                if x86::has_avx2() {
                    found.push(Self(Level::Avx2));
                }
                if x86::has_avx512() {
                    found.push(Self(Level::Avx512));
                }
            }
            #[cfg(all(target_arch = "aarch64", not(miri)))]
            found.push(Self(Level::Neon));
            found
        })
    }

    /// The best instruction set of this machine.
    pub(crate) fn detect() -> Self {
        Self::available().last().copied().unwrap_or(Self::PORTABLE)
    }

    /// The instruction sets that programs may use, from the weakest to the best: those of this machine, or the one
    /// that the environment variable [`VARIABLE`] names when it is first read.
    ///
    /// # Errors
    /// A message if this machine has no such instruction set.
    pub(crate) fn usable() -> Result<&'static [Self], String> {
        static FOUND: OnceLock<Result<Vec<Isa>, String>> = OnceLock::new();
        let found = FOUND.get_or_init(|| match std::env::var_os(VARIABLE) {
            None => Ok(Self::available().to_vec()),
            Some(name) => match Self::named(&name.to_string_lossy()) {
                Ok(isa) => Ok(vec![isa]),
                Err(reason) => Err(format!("the environment variable {VARIABLE}: {reason}")),
            },
        });
        found.as_deref().map_err(Clone::clone)
    }

    /// The instruction set of this word, if this machine has it.
    ///
    /// # Errors
    /// A message with the words of those that it has.
    pub(crate) fn named(word: &str) -> Result<Self, String> {
        let found = Self::available().iter().find(|isa| isa.word() == word);
        found.copied().ok_or_else(|| {
            let words: Vec<&str> = Self::available().iter().map(|isa| isa.word()).collect();
            let shown: String = word.chars().take(40).collect();
            format!(
                "there is no instruction set `{shown}` on this machine, expected one of {}",
                words.join(", ")
            )
        })
    }

    /// The best of some instruction sets.
    pub(crate) fn best(usable: &[Self]) -> Self {
        usable.last().copied().unwrap_or(Self::PORTABLE)
    }

    /// The best of some instruction sets for rows of at most `longest` entries: the narrowest with vectors
    /// that hold such a row, because narrow vectors have a lower latency.
    pub(crate) fn for_rows<T: Element>(usable: &[Self], longest: usize) -> Self {
        let vectors = &usable[usize::from(usable.len() > 1)..];
        let fits = vectors.iter().find(|isa| longest <= isa.lanes::<T>());
        fits.copied().unwrap_or_else(|| Self::best(usable))
    }

    /// The word by which a user names the instruction set.
    pub(crate) const fn word(self) -> &'static str {
        match self.0 {
            Level::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => "avx512",
            #[cfg(target_arch = "aarch64")]
            Level::Neon => "neon",
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self.0 {
            Level::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => "AVX2",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => "AVX-512",
            #[cfg(target_arch = "aarch64")]
            Level::Neon => "NEON",
        }
    }

    /// Runs a kernel compiled for this instruction set.
    #[inline(always)]
    pub(crate) fn dispatch<T: Element, K: Kernel<T>>(self, kernel: K) -> K::Output {
        T::dispatch(self, kernel)
    }

    /// The number of lanes of a vector of this instruction set.
    pub(crate) fn lanes<T: Element>(self) -> usize {
        struct Lanes;
        impl<T: Element> Kernel<T> for Lanes {
            type Output = usize;
            #[inline(always)]
            fn run<V: Vector<Elem = T>>(self) -> usize {
                V::LANES
            }
        }
        T::dispatch(self, Lanes)
    }
}

macro_rules! element {
    ($t:ty, $lift:expr, $bias:expr, $avx2:ident, $avx512:ident, $neon:ident) => {
        impl Element for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const MIN_POSITIVE: Self = <$t>::MIN_POSITIVE;
            const LIFT: (Self, Self) = $lift;
            const BIAS: Self = $bias;
            const COMPENSATED: bool = size_of::<Self>() == size_of::<f32>();

            #[inline(always)]
            fn dispatch<K: Kernel<Self>>(isa: Isa, kernel: K) -> K::Output {
                match isa.0 {
                    Level::Portable => portable::Lane::<$t>::outline(kernel),
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx2 => x86::$avx2::outline(kernel),
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx512 => x86::$avx512::outline(kernel),
                    #[cfg(target_arch = "aarch64")]
                    Level::Neon => neon::$neon::outline(kernel),
                }
            }
        }
    };
}

element!(f32, (16_777_216.0, 24.0), 127.0, F32x8, F32x16, F32x4);
element!(
    f64,
    (18_014_398_509_481_984.0, 54.0),
    1023.0,
    F64x4,
    F64x8,
    F64x2
);

#[cfg(test)]
mod tests {
    use super::*;

    /// Applies every operation to three vectors of operands.
    struct Operations<'a, T>([&'a [T]; 3]);

    macro_rules! operations {
        ($t:ident, $far:literal) => {
            impl Kernel<$t> for Operations<'_, $t> {
                type Output = ();

                #[inline(always)]
                fn run<V: Vector<Elem = $t>>(self) {
                    // SAFETY: the tests give each operand 16 elements.
                    let [a, b, c] = self.0.map(|x| unsafe { V::load(x.as_ptr()) });
                    let check = |name: &str, found: V, expected: &dyn Fn($t, $t, $t) -> $t| {
                        for i in 0..V::LANES {
                            let [x, y, z] = self.0.map(|v| v[i]);
                            let (found, expected) = (found.to_array()[i], expected(x, y, z));
                            assert!(
                                found.to_bits() == expected.to_bits()
                                    || found.is_nan() && expected.is_nan(),
                                "{name}({x:?}, {y:?}, {z:?}) is {expected:?}, not {found:?}"
                            );
                        }
                    };
                    check("add", a + b, &|x, y, _| x + y);
                    check("sub", a - b, &|x, y, _| x - y);
                    check("mul", a * b, &|x, y, _| x * y);
                    check("div", a / b, &|x, y, _| x / y);
                    check("neg", -a, &|x, _, _| -x);
                    check("mul_add", a.mul_add(b, c), &|x, y, z| x.mul_add(y, z));
                    check("neg_mul_add", a.neg_mul_add(b, c), &|x, y, z| {
                        (-x).mul_add(y, z)
                    });
                    check("min", a.min(b), &|x, y, _| if x < y { x } else { y });
                    check("max", a.max(b), &|x, y, _| if x > y { x } else { y });
                    check("abs", a.abs(), &|x, _, _| x.abs());
                    check("sqrt", a.sqrt(), &|x, _, _| x.sqrt());
                    check("round", a.round(), &|x, _, _| x.round_ties_even());
                    check("copysign", a.copysign(b), &|x, y, _| x.copysign(y));
                    check("lt", V::select(a.lt(b), a, c), &|x, y, z| {
                        if x < y { x } else { z }
                    });
                    check("le", V::select(a.le(b), a, c), &|x, y, z| {
                        if x <= y { x } else { z }
                    });
                    check("eq", V::select(a.eq(b), a, c), &|x, y, z| {
                        if x == y { x } else { z }
                    });
                    check("map", a.map($t::cbrt), &|x, _, _| x.cbrt());

                    let n = c.round();
                    check("exp2_integer", n.exp2_integer(), &|_, _, z| {
                        z.round_ties_even().exp2()
                    });
                    let far = n * V::splat(2.0 * $far);
                    check("scale", V::splat(0.75).scale(far), &|_, _, z| {
                        let half = (z.round_ties_even() * $far).exp2();
                        0.75 * half * half
                    });
                    let positive = V::splat(1.3) * n.exp2_integer();
                    let value = |z: $t| 1.3 * z.round_ties_even().exp2();
                    check("significand", positive.significand(), &|_, _, z| {
                        value(z) / value(z).log2().floor().exp2()
                    });
                    check("biased_exponent", positive.biased_exponent(), &|_, _, z| {
                        value(z).log2().floor() + $t::BIAS
                    });

                    let any = (0..V::LANES).any(|i| self.0[0][i] < self.0[1][i]);
                    assert_eq!(V::any(a.lt(b)), any, "whether some lane is less");
                    let whole: $t = (0..V::LANES).map(|i| self.0[2][i]).sum();
                    assert!((c.sum() - whole).abs() < 1e-4, "{} is not {whole}", c.sum());

                    for n in 0..=V::LANES {
                        let mut memory = [7.0; MAX_LANES + 1];
                        // SAFETY: both arrays have more than `LANES` elements.
                        let part = unsafe {
                            a.store_partial(memory.as_mut_ptr(), n);
                            V::load_partial(memory.as_ptr(), n)
                        };
                        for i in 0..V::LANES {
                            let kept = self.0[0][i].to_bits();
                            let (inside, beyond) = (kept, <$t>::to_bits(7.0));
                            assert_eq!(memory[i].to_bits(), if i < n { inside } else { beyond });
                            let zero = <$t>::to_bits(0.0);
                            assert_eq!(
                                part.to_array()[i].to_bits(),
                                if i < n { kept } else { zero }
                            );
                        }
                    }
                }
            }
        };
    }

    operations!(f32, 8.0);
    operations!(f64, 59.0);

    #[test]
    #[cfg_attr(miri, ignore = "there the standard library's functions err on purpose")]
    fn every_operation_of_every_instruction_set_is_the_scalar_one() {
        let inf = f32::INFINITY;
        let odd = [
            0.0,
            -0.0,
            1.0,
            -1.0,
            0.5,
            1.5,
            2.5,
            -2.5,
            inf,
            -inf,
            f32::NAN,
            1e-40,
            3e38,
        ];
        let wide = |shift: usize| -> Vec<f32> { (0..16).map(|i| odd[(i + shift) % 13]).collect() };
        let small: Vec<f32> = (0..16).map(|i| (i as f32 * 0.77).sin() * 9.0).collect();
        for &isa in Isa::available() {
            for (p, q) in (0..13).flat_map(|p| (0..13).map(move |q| (p, q))) {
                let operands = [wide(p), wide(q), small.clone()];
                isa.dispatch(Operations::<f32>([
                    &operands[0],
                    &operands[1],
                    &operands[2],
                ]));
                let wider = operands.map(|v| v.into_iter().map(f64::from).collect::<Vec<_>>());
                isa.dispatch(Operations::<f64>([&wider[0], &wider[1], &wider[2]]));
            }
        }
    }

    #[test]
    fn a_word_names_an_instruction_set_of_this_machine() {
        for isa in Isa::available() {
            assert_eq!(Isa::named(isa.word()), Ok(*isa));
            // Whatever the length of rows, no other instruction set is used.
            for longest in [0, 1, 5, 1000] {
                assert_eq!(Isa::for_rows::<f32>(&[*isa], longest), *isa);
            }
        }
        for wrong in ["", "AVX2", "sse", "avx1024"] {
            let refused = Isa::named(wrong).unwrap_err();
            assert!(refused.contains("expected one of portable"), "{refused}");
        }
    }

    #[test]
    fn the_best_instruction_set_is_the_last_one() {
        assert_eq!(Isa::available().first(), Some(&Isa::PORTABLE));
        assert_eq!(Isa::available().last(), Some(&Isa::detect()));
        assert!(
            Isa::detect().lanes::<f32>() >= 4,
            "{}",
            Isa::detect().name()
        );
    }
}
