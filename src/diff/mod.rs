//! Differentiation: linearise, then transpose.
//!
//! Both are graph-to-graph. [`linearize`] writes forward mode next to a graph; [`transpose`] turns
//! the linear graph around. A delay becomes an advance in the second, and that is all there is to
//! backpropagation through time. [`reverse`] is reverse mode on a flat tape, the textbook way.

mod linearize;
mod reverse;
mod transpose;

pub(crate) use linearize::{Linearization, linearize};
pub(crate) use reverse::reverse;
pub(crate) use transpose::{Adjoint, transpose};

use crate::op::Expr;

/// Adds a term to a sum that may still be zero.
fn accumulate<'b>(sum: &mut Option<Expr<'b>>, term: Expr<'b>) {
    *sum = Some(sum.map_or(term, |s| s + term));
}
