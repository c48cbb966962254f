//! Differentiation: linearise, then transpose.
//!
//! Both transform graphs. [`linearize`] adds the tangents to a graph (forward mode); [`transpose`]
//! reverses the linear graph, so a delay becomes an advance: this is backpropagation through time.
//! [`reverse`] is textbook reverse mode on a flat tape.

mod linearize;
mod reverse;
mod transpose;

pub(crate) use linearize::{Linearization, Within, linearize, linearize_within};
pub(crate) use reverse::reverse;
pub(crate) use transpose::{Adjoint, transpose};

use crate::op::Expr;

/// Adds a term to a sum; `None` is zero.
fn accumulate<'b>(sum: &mut Option<Expr<'b>>, term: Expr<'b>) {
    *sum = Some(sum.map_or(term, |s| s + term));
}
