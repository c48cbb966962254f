//! Short constructors of terms.

use bptt::derive::{Quantity, Term};

pub(crate) fn w(name: &str) -> Term {
    Quantity::Value.of([&name.into()], [])
}

pub(crate) fn mul(factors: impl IntoIterator<Item = Term>) -> Term {
    Term::Mul(factors.into_iter().collect())
}

pub(crate) fn had(factors: impl IntoIterator<Item = Term>) -> Term {
    Term::Had(factors.into_iter().collect())
}

pub(crate) fn add(parts: impl IntoIterator<Item = Term>) -> Term {
    Term::Add(parts.into_iter().collect())
}

pub(crate) fn neg(x: Term) -> Term {
    Term::Neg(Box::new(x))
}

pub(crate) fn turned(x: Term) -> Term {
    Term::T(Box::new(x))
}
