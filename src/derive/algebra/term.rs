//! Terms of equations: the meaning of a formula, with the time step of each value.
//!
//! Terms are built with the functions of `normal`, which keep one canonical form: numbers first, then scalars, then
//! data, and the linear argument (a δ or a differential) last.

use std::sync::Arc;

pub(crate) use super::fold::Fold;
pub(crate) use super::quantity::{Quantity, Symbol};

use super::quantity::Kind;
use crate::shape::Dim;

/// The name of a value of the recurrence, or of one that the derivation introduces.
pub type Name = Arc<str>;

/// A step: `t + 1`, `k`, `T`, `0`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Time {
    /// The origin.
    pub base: Base,
    /// The number of steps after the origin.
    pub offset: i64,
}

/// The origin of a step.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Base {
    /// Zero: the step is a number.
    Zero,
    /// A variable.
    Var(char),
    /// The difference of two variables.
    Minus(char, char),
    /// The difference of two variables in chunks of `m` steps, rounded up: `⌈(t − k)/m⌉`.
    Lots(char, char, i64),
    /// The last step `T` minus a variable.
    LastMinus(char),
    /// The first step of a window: `max(1, t − τ + 1)`.
    Window(char, char),
    /// The last step `e(k)` of the chunk of `τ` steps that contains `k`.
    ChunkEnd(char),
    /// The last step `T`.
    Last,
}

impl Time {
    /// A fixed step.
    #[must_use]
    pub const fn at(step: i64) -> Self {
        Self {
            base: Base::Zero,
            offset: step,
        }
    }

    /// The step that a variable denotes.
    #[must_use]
    pub const fn var(var: char) -> Self {
        Self {
            base: Base::Var(var),
            offset: 0,
        }
    }

    /// The last step.
    #[must_use]
    pub const fn last() -> Self {
        Self {
            base: Base::Last,
            offset: 0,
        }
    }

    /// The step `steps` later.
    #[must_use]
    pub fn plus(&self, steps: i64) -> Self {
        Self {
            base: self.base.clone(),
            offset: self.offset + steps,
        }
    }
}

/// The variable of a sum, product or maximum, and the steps that it ranges over.
#[derive(Clone, Debug, PartialEq)]
pub struct Index {
    /// The variable.
    pub var: char,
    /// Its first step.
    pub from: Time,
    /// Its last step.
    pub to: Time,
}

impl Index {
    /// The steps `from` to `to`.
    #[must_use]
    pub const fn new(var: char, from: Time, to: Time) -> Self {
        Self { var, from, to }
    }

    /// The steps of the whole sequence.
    #[must_use]
    pub const fn all(var: char) -> Self {
        Self::new(var, Time::at(1), Time::last())
    }
}

/// A term of an equation.
#[derive(Clone, Debug, PartialEq)]
pub enum Term {
    /// A number, broadcast to the shape that a sum needs.
    Num(f64),
    /// The vector or matrix of ones.
    Ones,
    /// The identity matrix.
    Eye,
    /// The identity matrix of a given size, where the context does not determine it.
    EyeOf(Box<Self>),
    /// Zero of any shape.
    Zero,
    /// A named size.
    Size(Name, Dim),
    /// A quantity of the recurrence or of its derivation.
    Symbol(Symbol<Time>),
    /// The differential of an expression, not yet expanded.
    DOf(Box<Self>),
    /// `−x`.
    Neg(Box<Self>),
    /// A sum.
    Add(Vec<Self>),
    /// An entrywise product.
    Had(Vec<Self>),
    /// An entrywise quotient.
    Div(Box<Self>, Box<Self>),
    /// A product of matrices, vectors and numbers.
    Mul(Vec<Self>),
    /// A transpose.
    T(Box<Self>),
    /// The inner product `⟨a, b⟩`.
    Inner(Box<Self>, Box<Self>),
    /// The diagonal matrix of a vector.
    Diag(Box<Self>),
    /// A function.
    Call(Name, Vec<Self>),
    /// An entrywise power.
    Pow(Box<Self>, i32),
    /// A number to the power of a number of steps: `q^{t−k}`.
    PowSteps(Box<Self>, Time),
    /// A number of steps, as a number.
    Steps(Time),
    /// The Euclidean norm of a vector; the largest singular value of a matrix.
    Norm(Box<Self>),
    /// The largest absolute entry of a vector.
    MaxNorm(Box<Self>),
    /// The Frobenius norm.
    Frobenius(Box<Self>),
    /// The smallest singular value.
    Least(Box<Self>),
    /// The Kronecker product.
    Kron(Box<Self>, Box<Self>),
    /// The one-hot vector of a class.
    OneHot(Box<Self>),
    /// Consecutive entries of a vector, rows or columns of a matrix: `x_{a:b}`, `W_{:,a:b}`.
    Part(Span, Box<Self>),
    /// 1 if the first step is before the second, else 0.
    Before(Time, Time),
    /// 1 if the two steps are equal, else 0.
    At(Time, Time),
    /// 0 if a chunk of `τ` steps ends at this step, else 1.
    Uncut(Time),
    /// An operation over a range of steps.
    Over(Fold, Index, Box<Self>),
    /// A block matrix.
    Matrix(Vec<Vec<Self>>),
}

impl Term {
    /// The quantity with its names and steps, if this is one.
    #[must_use]
    pub fn symbol(&self) -> Option<(Quantity, &[Name], &[Time])> {
        match self {
            Self::Symbol(symbol) => Some((symbol.quantity, &symbol.names, &symbol.steps)),
            _ => None,
        }
    }

    /// Returns true for a quantity of this kind.
    #[must_use]
    pub fn is(&self, quantity: Quantity) -> bool {
        matches!(self, Self::Symbol(symbol) if symbol.quantity == quantity)
    }

    /// An operation over a range of steps.
    #[must_use]
    pub fn over(fold: Fold, index: Index, body: Self) -> Self {
        Self::Over(fold, index, Box::new(body))
    }

    /// Returns true if this contains a δ or a differential and is linear in it.
    #[must_use]
    pub fn is_linear_part(&self) -> bool {
        match self {
            Self::Symbol(symbol) => symbol.quantity.row().kind == Kind::Linear,
            Self::DOf(_) => true,
            Self::Neg(x) | Self::T(x) | Self::Diag(x) | Self::Part(_, x) => x.is_linear_part(),
            Self::Over(fold, _, x) => fold.is_linear() && x.is_linear_part(),
            Self::Add(xs) | Self::Had(xs) | Self::Mul(xs) | Self::Call(_, xs) => {
                xs.iter().any(Self::is_linear_part)
            }
            Self::Inner(a, b) | Self::Div(a, b) => a.is_linear_part() || b.is_linear_part(),
            Self::Matrix(rows) => rows.iter().flatten().any(Self::is_linear_part),
            _ => false,
        }
    }

    /// True if a factor is a δ at a step for which `beyond` holds; the term is then zero.
    pub(crate) fn ends_with_deltas(&self, beyond: &dyn Fn(&Time) -> bool) -> bool {
        let ends = |x: &Self| x.ends_with_deltas(beyond);
        let ends_or_zero = |x: &Self| *x == Self::Zero || ends(x);
        match self {
            Self::Symbol(symbol) if symbol.quantity == Quantity::Delta => {
                symbol.steps.iter().any(beyond)
            }
            Self::Neg(x) | Self::T(x) | Self::Diag(x) | Self::Part(_, x) => ends(x),
            Self::Add(xs) => xs.iter().all(ends),
            Self::Had(xs) | Self::Mul(xs) => xs.iter().any(ends),
            Self::Call(_, xs) => xs.iter().any(ends),
            Self::Div(a, _) => ends(a),
            Self::Inner(a, b) => ends(a) || ends(b),
            Self::Matrix(rows) => rows.iter().flatten().all(ends_or_zero),
            _ => false,
        }
    }

    /// The terms of a sum; any other term is its own single addend.
    #[must_use]
    pub fn addends(&self) -> &[Self] {
        match self {
            Self::Add(parts) => parts,
            one => std::slice::from_ref(one),
        }
    }

    /// The term without a leading minus.
    #[must_use]
    pub fn unsigned(&self) -> &Self {
        match self {
            Self::Neg(x) => x,
            x => x,
        }
    }

    /// If this is an indicator `[x ≠ 0]` or `[x = 0]`: `x`, and whether it tests for zero.
    #[must_use]
    pub fn indicator(&self) -> Option<(&Self, bool)> {
        match self {
            Self::Call(name, xs) if **name == *"select" => match &xs[..] {
                [of, Self::Ones, Self::Zero] => Some((of, false)),
                [of, Self::Zero, Self::Ones] => Some((of, true)),
                _ => None,
            },
            _ => None,
        }
    }

    /// The parts, in order.
    #[must_use]
    pub fn parts(&self) -> Vec<&Self> {
        match self {
            Self::DOf(x)
            | Self::Neg(x)
            | Self::T(x)
            | Self::Diag(x)
            | Self::Pow(x, _)
            | Self::PowSteps(x, _)
            | Self::Norm(x)
            | Self::MaxNorm(x)
            | Self::Frobenius(x)
            | Self::Least(x)
            | Self::OneHot(x)
            | Self::Part(_, x)
            | Self::Over(_, _, x) => vec![x],
            Self::Add(xs) | Self::Had(xs) | Self::Mul(xs) | Self::Call(_, xs) => {
                xs.iter().collect()
            }
            Self::Div(a, b) | Self::Inner(a, b) | Self::Kron(a, b) => vec![a, b],
            Self::Matrix(rows) => rows.iter().flatten().collect(),
            _ => Vec::new(),
        }
    }

    /// A copy with every part replaced by `f`; not normalised.
    #[must_use]
    pub fn map(&self, f: &mut impl FnMut(&Self) -> Self) -> Self {
        let mut b = |x: &Self| Box::new(f(x));
        match self {
            Self::DOf(x) => Self::DOf(b(x)),
            Self::Neg(x) => Self::Neg(b(x)),
            Self::T(x) => Self::T(b(x)),
            Self::Diag(x) => Self::Diag(b(x)),
            Self::Pow(x, n) => Self::Pow(b(x), *n),
            Self::PowSteps(x, n) => Self::PowSteps(b(x), n.clone()),
            Self::Norm(x) => Self::Norm(b(x)),
            Self::MaxNorm(x) => Self::MaxNorm(b(x)),
            Self::Frobenius(x) => Self::Frobenius(b(x)),
            Self::Least(x) => Self::Least(b(x)),
            Self::Over(fold, index, x) => Self::Over(*fold, index.clone(), b(x)),
            Self::Kron(x, y) => Self::Kron(b(x), b(y)),
            Self::OneHot(x) => Self::OneHot(b(x)),
            Self::Part(span, x) => Self::Part(span.clone(), b(x)),
            Self::Div(x, y) => Self::Div(b(x), b(y)),
            Self::Inner(x, y) => Self::Inner(b(x), b(y)),
            Self::Add(xs) => Self::Add(xs.iter().map(f).collect()),
            Self::Had(xs) => Self::Had(xs.iter().map(f).collect()),
            Self::Mul(xs) => Self::Mul(xs.iter().map(f).collect()),
            Self::Call(n, xs) => Self::Call(Arc::clone(n), xs.iter().map(f).collect()),
            Self::Matrix(rows) => Self::Matrix(
                rows.iter()
                    .map(|r| r.iter().map(&mut *f).collect())
                    .collect(),
            ),
            leaf => leaf.clone(),
        }
    }

    /// The steps of the term itself, without those of its parts.
    pub fn times(&mut self) -> Vec<&mut Time> {
        match self {
            Self::Symbol(symbol) => symbol.steps.iter_mut().collect(),
            Self::Uncut(t) | Self::PowSteps(_, t) | Self::Steps(t) => vec![t],
            Self::At(a, b)
            | Self::Before(a, b)
            | Self::Over(_, Index { from: a, to: b, .. }, _) => vec![a, b],
            _ => Vec::new(),
        }
    }

    /// Substitutes a step for a variable: every `var + n` becomes `to + n`.
    #[must_use]
    pub fn at(&self, var: char, to: &Time) -> Self {
        // A bound variable of the same name is a different variable.
        let mut copy = match self {
            Self::Over(_, index, _) if index.var == var => self.clone(),
            _ => self.map(&mut |x| x.at(var, to)),
        };
        for time in copy.times() {
            if time.base == Base::Var(var) {
                *time = to.plus(time.offset);
            }
        }
        copy
    }

    /// Returns true if the term or some part of it satisfies `f`.
    #[must_use]
    pub fn any(&self, f: &impl Fn(&Self) -> bool) -> bool {
        f(self) || self.parts().iter().any(|p| p.any(f))
    }
}

impl Quantity {
    /// The quantity of some values at some steps.
    #[must_use]
    pub fn of<'n>(
        self,
        names: impl IntoIterator<Item = &'n Name>,
        steps: impl IntoIterator<Item = Time>,
    ) -> Term {
        Term::Symbol(Symbol::new(self, names, steps))
    }
}

/// The index that a span refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Along {
    /// The entries of a vector.
    Entries,
    /// The rows of a matrix.
    Rows,
    /// The columns of a matrix.
    Columns,
}

/// Consecutive entries, rows or columns, counted from 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Entries, rows or columns.
    pub along: Along,
    /// The first one.
    pub first: Box<Term>,
    /// The last one.
    pub last: Box<Term>,
}

impl Span {
    /// Swaps rows and columns.
    pub(crate) fn turned(self) -> Self {
        let along = match self.along {
            Along::Columns => Along::Rows,
            Along::Rows | Along::Entries => Along::Columns,
        };
        Self { along, ..self }
    }

    /// The span of a matrix for a span of a vector: entries become rows.
    pub(crate) fn of_matrix(self) -> Self {
        let along = match self.along {
            Along::Entries => Along::Rows,
            along => along,
        };
        Self { along, ..self }
    }
}

/// Calls `f` for a term and every part of it.
pub(crate) fn visit<'t>(term: &'t Term, f: &mut impl FnMut(&'t Term)) {
    f(term);
    for part in term.parts() {
        visit(part, f);
    }
}

/// Returns true if a term contains a δ of a later step.
pub(crate) fn looks_ahead(term: &Term) -> bool {
    term.any(&|t| matches!(t.symbol(), Some((Quantity::Delta, _, [at])) if at.offset > 0))
}
