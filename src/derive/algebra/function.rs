//! The functions in terms, and the op of each.

use super::term::Term;
use crate::op::{Op, Pointwise};
use crate::tape::Tape;

/// A function that occurs in terms: its op and the ranks of its arguments.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    pub(crate) op: Op,
    pub(crate) ranks: Vec<usize>,
}

/// An entrywise op as a term.
pub(crate) fn call(op: Pointwise, args: Vec<Term>) -> Term {
    Term::Call(op.name().into(), args)
}

/// The arguments, if a term is a call of an entrywise op.
pub(crate) fn arguments(term: &Term, op: Pointwise) -> Option<&[Term]> {
    match term {
        Term::Call(name, args) if **name == *op.name() => Some(args),
        _ => None,
    }
}

/// The op of a function, which may have settings after a colon.
pub(crate) fn operation<'a>(function: &str, tape: &'a Tape) -> Option<&'a Op> {
    let name = function.split(':').next();
    let mut ops = tape.nodes().map(|(_, node)| node.op());
    ops.find(|op| Some(op.name()) == name)
}
