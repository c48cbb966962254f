//! Sizes, shapes, rates and kinds: the type of a node.

use std::ops::{Add, Mul};
use std::sync::Arc;

use smallvec::SmallVec;

/// A named dimension of one recurrence: its index, in order of declaration, and its least size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Symbol(
    /// The index above the bits of the least size: a size is in every node, so it is kept small.
    u16,
);

/// The bits of a symbol that are its least size.
const LEAST_BITS: u32 = 6;

impl Symbol {
    pub(crate) const fn new(index: usize, least: u8) -> Option<Self> {
        if index >= MAX_DIMS || least > MAX_LEAST {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "both fit, as compared above"
        )]
        let bits = (index << LEAST_BITS) as u16 | least as u16;
        Some(Self(bits))
    }

    pub(crate) const fn index(self) -> usize {
        (self.0 >> LEAST_BITS) as usize
    }

    /// The least size.
    pub(crate) const fn least(self) -> u8 {
        self.0.to_le_bytes()[0] & MAX_LEAST
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Term {
    symbol: Symbol,
    /// Zero in an unused place; used places come first, sorted by symbol.
    coefficient: u16,
}

const UNUSED: Term = Term {
    symbol: Symbol(0),
    coefficient: 0,
};

/// The largest number of named dimensions of a recurrence.
pub(crate) const MAX_DIMS: usize = 1024;
/// The largest least size of a dimension.
pub(crate) const MAX_LEAST: u8 = 63;

/// The largest number of named dimensions in one sum (`H + K + 1` has two).
pub const MAX_TERMS: usize = 3;

/// A size: a number, a named dimension, or a sum of them (`3`, `H`, `4 H`, `H + K + 1`).
///
/// Two sizes are equal if they are equal for *every* value of the names. So a shape error is found
/// when a recurrence is defined, even if two sizes agree by accident in the data.
///
/// A dimension may have a least size ([`dim_at_least`](crate::Definition::dim_at_least)), so that `H - 1` is a size
/// as well: a size is never negative, whatever the sizes of the names.
///
/// A sum of more than [`MAX_TERMS`] names, or with a number too large, is an invalid size: its use
/// is reported as a mistake of the definition.
///
/// ```
/// use bptt::Recurrence;
/// let r = Recurrence::define("sizes", |r| {
///     let (h, k) = (r.dim("H"), r.dim("K"));
///     assert_eq!(h + k, k + h);
///     assert_ne!(h * 2, h + k);
///     r.output("w", r.param("w", [h + k]));
/// })?;
/// # Ok::<(), bptt::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dim {
    /// The size if every name has its least size.
    constant: u32,
    terms: [Term; MAX_TERMS],
}

impl Dim {
    /// A size that cannot be represented; every use of it is reported as a mistake.
    pub(crate) const INVALID: Self = Self {
        constant: u32::MAX,
        terms: [UNUSED; MAX_TERMS],
    };

    /// The size `n`; an invalid size if `n` is `u32::MAX` or more.
    #[must_use]
    pub const fn fixed(n: usize) -> Self {
        if Self::is_too_large(n) {
            return Self::INVALID;
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "compared with u32::MAX above"
        )]
        let constant = n as u32;
        Self {
            constant,
            terms: [UNUSED; MAX_TERMS],
        }
    }

    pub(crate) const fn named(symbol: Symbol) -> Self {
        let mut terms = [UNUSED; MAX_TERMS];
        terms[0] = Term {
            symbol,
            coefficient: 1,
        };
        let constant = symbol.least() as u32;
        Self { constant, terms }
    }

    /// Returns true if `value` is too large for a size.
    pub(crate) const fn is_too_large(value: usize) -> bool {
        value >= u32::MAX as usize
    }

    pub(crate) fn is_invalid(self) -> bool {
        self == Self::INVALID
    }

    fn used(&self) -> impl Iterator<Item = Term> + '_ {
        self.terms.iter().copied().filter(|t| t.coefficient > 0)
    }

    /// The number, if the size has no named dimension and is valid.
    #[must_use]
    pub fn as_fixed(self) -> Option<usize> {
        (self.used().next().is_none() && !self.is_invalid()).then_some(self.constant as usize)
    }

    /// The named dimensions with their coefficients, in order of declaration.
    pub(crate) fn named_terms(&self) -> impl Iterator<Item = (Symbol, usize)> + '_ {
        self.used().map(|t| (t.symbol, t.coefficient.into()))
    }

    /// The number that is added to the multiples of the names.
    pub(crate) fn constant(self) -> i64 {
        let signed = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let least = |(symbol, factor): (Symbol, usize)| i64::from(symbol.least()) * signed(factor);
        i64::from(self.constant) - self.named_terms().map(least).sum::<i64>()
    }

    /// The size if every name has its least size.
    pub(crate) const fn least(self) -> usize {
        self.constant as usize
    }

    /// The value of this size if named dimension `i`, in order of declaration, has size `sizes[i]`.
    ///
    /// # Panics
    /// If `sizes` has no entry for a named dimension of this size.
    #[must_use]
    pub fn value_at(self, sizes: &[usize]) -> usize {
        self.value(sizes)
    }

    pub(crate) fn value(self, sizes: &[usize]) -> usize {
        let named: usize = self
            .named_terms()
            .map(|(symbol, coefficient)| {
                let more = sizes[symbol.index()].saturating_sub(symbol.least().into());
                coefficient.saturating_mul(more)
            })
            .fold(0, usize::saturating_add);
        self.least().saturating_add(named)
    }

    /// Applies `f` to each pair of coefficients; `None` if a result is negative or too large.
    fn combine(self, other: Self, f: impl Fn(i64, i64) -> i64) -> Option<Self> {
        if self.is_invalid() || other.is_invalid() {
            return None;
        }
        let mut symbols: SmallVec<[Symbol; 6]> =
            self.used().chain(other.used()).map(|t| t.symbol).collect();
        symbols.sort_unstable();
        symbols.dedup();
        let coefficient = |d: &Self, s: Symbol| {
            d.used()
                .find(|t| t.symbol == s)
                .map_or(0, |t| i64::from(t.coefficient))
        };
        let constant = u32::try_from(f(self.constant.into(), other.constant.into())).ok()?;
        let mut terms = [UNUSED; MAX_TERMS];
        let mut count = 0;
        for symbol in symbols {
            let c = f(coefficient(&self, symbol), coefficient(&other, symbol));
            let coefficient = u16::try_from(c).ok()?;
            if coefficient > 0 {
                *terms.get_mut(count)? = Term {
                    symbol,
                    coefficient,
                };
                count += 1;
            }
        }
        (constant != u32::MAX).then_some(Self { constant, terms })
    }

    /// The size as a multiple of one whose numbers have no common factor.
    pub(crate) fn factored(self) -> (usize, Self) {
        fn common(a: u32, b: u32) -> u32 {
            if b == 0 { a } else { common(b, a % b) }
        }
        let coefficients = self.used().map(|t| u32::from(t.coefficient));
        let factor = coefficients.fold(self.constant, common);
        if factor < 2 || self.is_invalid() {
            return (1, self);
        }
        let mut whole = self;
        whole.constant /= factor;
        for term in &mut whole.terms {
            // A factor of all of the coefficients fits into one of them.
            term.coefficient /= u16::try_from(factor).unwrap_or(1);
        }
        (factor as usize, whole)
    }

    /// `self - other`, if no coefficient of the difference is negative.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.combine(other, |a, b| a - b)
    }

    pub(crate) fn text(self, names: &[Arc<str>]) -> String {
        if self.is_invalid() {
            return format!(
                "(a size that is too large, or a sum of more than {MAX_TERMS} named dimensions)"
            );
        }
        self.sum(names, |coefficient, name| format!("{coefficient} {name}"))
    }

    /// The sum of the names and the number; `multiple` writes a multiple of a name.
    pub(crate) fn sum(
        self,
        names: &[Arc<str>],
        multiple: impl Fn(usize, &str) -> String,
    ) -> String {
        let parts = self.named_terms().map(|(symbol, coefficient)| {
            let name = names.get(symbol.index()).map_or("?", |name| &**name);
            match coefficient {
                1 => name.to_owned(),
                c => multiple(c, name),
            }
        });
        let parts: Vec<String> = parts.collect();
        let named = parts.join(" + ");
        match self.constant() {
            0 if !parts.is_empty() => named,
            n if parts.is_empty() => n.to_string(),
            n if n < 0 => format!("{named} - {}", -n),
            n => format!("{named} + {n}"),
        }
    }
}

impl From<usize> for Dim {
    fn from(n: usize) -> Self {
        Self::fixed(n)
    }
}

impl Add for Dim {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        self.combine(other, |a, b| a + b).unwrap_or(Self::INVALID)
    }
}

impl Add<usize> for Dim {
    type Output = Self;
    fn add(self, n: usize) -> Self {
        self + Self::fixed(n)
    }
}

impl Mul<usize> for Dim {
    type Output = Self;
    fn mul(self, n: usize) -> Self {
        i64::try_from(n)
            .ok()
            .and_then(|n| self.combine(self, |a, _| a.saturating_mul(n)))
            .unwrap_or(Self::INVALID)
    }
}

/// The shape of one value: a scalar, a column vector or a matrix (`rows × columns`).
///
/// A shape has no batch axis and no time axis; a run adds them to its arrays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// A number, `[]`.
    Scalar,
    /// A column vector, `[n]`.
    Vector(Dim),
    /// A matrix, `[rows, columns]`.
    Matrix(Dim, Dim),
}

impl Shape {
    /// The sizes of the axes: none, `[n]` or `[rows, columns]`.
    #[must_use]
    pub fn dims(self) -> SmallVec<[Dim; 2]> {
        match self {
            Self::Scalar => SmallVec::new(),
            Self::Vector(n) => SmallVec::from_slice(&[n]),
            Self::Matrix(m, n) => SmallVec::from_slice(&[m, n]),
        }
    }

    pub(crate) fn from_dims(dims: &[Dim]) -> Option<Self> {
        match *dims {
            [] => Some(Self::Scalar),
            [n] => Some(Self::Vector(n)),
            [m, n] => Some(Self::Matrix(m, n)),
            _ => None,
        }
    }

    /// The number of axes: 0, 1 or 2.
    #[must_use]
    pub fn rank(self) -> usize {
        self.dims().len()
    }

    pub(crate) fn map(self, f: impl Fn(Dim) -> Dim) -> Self {
        match self {
            Self::Scalar => Self::Scalar,
            Self::Vector(n) => Self::Vector(f(n)),
            Self::Matrix(m, n) => Self::Matrix(f(m), f(n)),
        }
    }

    pub(crate) fn values(self, sizes: &[usize]) -> Vec<usize> {
        self.dims().iter().map(|d| d.value(sizes)).collect()
    }

    /// The sizes, if the shape has no named dimension.
    pub(crate) fn as_fixed(self) -> Option<Vec<usize>> {
        self.dims().iter().map(|d| d.as_fixed()).collect()
    }

    pub(crate) fn text(self, names: &[Arc<str>]) -> String {
        let dims: Vec<String> = self.dims().iter().map(|d| d.text(names)).collect();
        format!("[{}]", dims.join(", "))
    }
}

impl From<()> for Shape {
    fn from((): ()) -> Self {
        Self::Scalar
    }
}

impl<D: Into<Dim>> From<[D; 1]> for Shape {
    fn from([n]: [D; 1]) -> Self {
        Self::Vector(n.into())
    }
}

impl<D: Into<Dim>> From<[D; 2]> for Shape {
    fn from([m, n]: [D; 2]) -> Self {
        Self::Matrix(m.into(), n.into())
    }
}

/// The rate of a value: constant, one for each sequence, or one for each step. Only `hold`,
/// `total`, `first` and `last` change the rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rate {
    /// One value for all sequences and steps, e.g. a parameter.
    Static,
    /// One value for each sequence of the batch, e.g. an initial state.
    Sample,
    /// One value for each sequence and step.
    Step,
}

impl Rate {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Sample => "sample",
            Self::Step => "step",
        }
    }

    /// The rate that `hold(x, word)` gives a value in the recurrence language.
    pub(crate) fn held(word: &str) -> Option<Self> {
        let rates = [Self::Sample, Self::Step];
        rates.into_iter().find(|rate| rate.text() == word)
    }
}

/// The kind of a value: real numbers or a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Real numbers; differentiable.
    Real,
    /// One integer in `0..n`; not differentiable.
    Class(Dim),
}

/// The type of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Type {
    /// The shape of one value.
    pub shape: Shape,
    /// The rate of the value.
    pub rate: Rate,
    /// The kind of the value.
    pub kind: Kind,
}

impl Type {
    /// A real value of the given shape and rate.
    pub fn real(shape: impl Into<Shape>, rate: Rate) -> Self {
        Self {
            shape: shape.into(),
            rate,
            kind: Kind::Real,
        }
    }

    /// A class in `0..classes`, of shape `[]`.
    #[must_use]
    pub const fn class(classes: Dim, rate: Rate) -> Self {
        Self {
            shape: Shape::Scalar,
            rate,
            kind: Kind::Class(classes),
        }
    }

    /// The same type at another rate.
    #[must_use]
    pub const fn at(self, rate: Rate) -> Self {
        Self { rate, ..self }
    }

    /// Returns true if the kind is [`Kind::Real`].
    #[must_use]
    pub fn is_real(self) -> bool {
        self.kind == Kind::Real
    }

    pub(crate) fn text(self, names: &[Arc<str>]) -> String {
        match self.kind {
            Kind::Real => format!("{} {}", self.shape.text(names), self.rate.text()),
            Kind::Class(n) => format!("class({}) {}", n.text(names), self.rate.text()),
        }
    }
}
