//! A pointwise op as a function of one entry per argument.

use super::Number;

/// A row as a function of one entry per argument, generic over [`Number`]: it is instantiated for
/// numbers and for vector registers.
pub(crate) trait Entry: Copy {
    /// The number of arguments; if it is 1, the second is ignored.
    const ARITY: usize;
    fn call<N: Number>(self, args: [N; 2]) -> N;
}

/// A visitor of the [`Entry`] of a row.
pub(crate) trait EntryVisitor {
    type Output;
    fn visit<E: Entry>(self, entry: E) -> Self::Output;
}

/// Evaluates the entry.
pub(super) struct Eval<N>(pub(super) [N; 2]);

impl<F: Number> EntryVisitor for Eval<F> {
    type Output = F;
    fn visit<E: Entry>(self, entry: E) -> F {
        entry.call(self.0)
    }
}
