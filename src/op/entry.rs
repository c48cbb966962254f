//! A pointwise op as a function of one entry per argument.

use super::Number;

/// A row as a function of one entry per argument, generic over [`Number`]: it is instantiated for
/// numbers and for vector registers.
pub(crate) trait Entry: Copy {
    /// The number of arguments; if it is 1, the second is ignored.
    const ARITY: usize;
    fn call<N: Number>(self, args: [N; 2]) -> N;
}

/// A function of numbers: one instance for all rows of this form. A setting takes the place of the second argument.
#[derive(Clone, Copy)]
pub(crate) struct OfNumbers<const ARGS: usize> {
    pub(super) function: fn([f64; 2]) -> f64,
    pub(super) setting: Option<f64>,
}

impl<const ARGS: usize> Entry for OfNumbers<ARGS> {
    const ARITY: usize = ARGS;
    #[inline(always)]
    fn call<N: Number>(self, [a, b]: [N; 2]) -> N {
        match self.setting {
            Some(setting) => a.with(N::of(setting), self.function),
            None => a.with(b, self.function),
        }
    }
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
