//! The catalogue of mistakes that a [diagnosis](crate::Diagnosis) knows.
//!
//! A row is a mistake in words, the well-known system that once shipped it, and the way to make it: a [`Fault`] of the
//! graph of the recurrence or of its gradient, or a [`Change`] of the data. The numbers of foreign code are compared with
//! those of each mistake, in the order of the rows.
//!
//! ```
//! use bptt_testing::mistakes::CATALOGUE;
//! let reversed = CATALOGUE.iter().find(|m| m.name == "jacobians-reversed");
//! assert_eq!(reversed.and_then(|m| m.seen), Some("Elixir Axon (elixir-nx/axon#644)"));
//! ```

mod change;
mod fault;
mod mutation;
mod relation;
mod sites;

use bptt::Recurrence;

pub use change::Change;
pub use fault::{FAULTS, Fault};
pub use relation::RELATIONS;
pub(crate) use relation::{Relation, allowed, relations, same_within, size};
pub use sites::{Mutant, Site, mutants, sites};

use crate::Case;

/// A mistake.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Mistake {
    /// A short name, as in JSON.
    pub name: &'static str,
    /// The mistake as a sentence, without a full stop.
    pub statement: &'static str,
    /// A well-known system that once shipped it, with its issue.
    pub seen: Option<&'static str>,
    /// The way to make it.
    pub made_by: MadeBy,
}

/// The way to make a mistake.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum MadeBy {
    /// A fault of the recurrence, which is then differentiated without one.
    Forward(Fault),
    /// A fault of the gradient, or of the Hessian product, whose recurrence is right.
    Gradient(Fault),
    /// A fault of the recurrence that is masked beyond the lengths of the samples.
    Masked(Fault),
    /// A change of the data: those that may apply to a case.
    Data(fn(&Recurrence, &Case) -> Vec<Change>),
    /// The same for the gradient alone, where the loss is right.
    GradientOfData(fn(&Recurrence, &Case) -> Vec<Change>),
}

macro_rules! catalogue {
    ($($name:literal, $made:expr, $statement:literal $(, seen $seen:literal)?;)*) => {
        /// Every mistake, in the order in which they are looked for.
        pub const CATALOGUE: &[Mistake] = &[$(Mistake {
            name: $name,
            statement: $statement,
            seen: catalogue!(@seen $($seen)?),
            made_by: $made,
        }),*];
    };
    (@seen) => { None };
    (@seen $seen:literal) => { Some($seen) };
}

use MadeBy::{Data, Forward, Gradient, GradientOfData, Masked};

catalogue! {
    "lengths-ignored", Data(|_, _| vec![Change::IgnoreLengths]),
        "steps beyond the length of a sample count";
    "jacobians-reversed", Gradient(Fault::ReverseTime),
        "the Jacobians of the steps are multiplied in the reversed order of time",
        seen "Elixir Axon (elixir-nx/axon#644)";
    "state-ignored", Forward(Fault::CutCarry),
        "the previous state is ignored: every step but the first takes zero instead",
        seen "burn's GRU (tracel-ai/burn#2701)";
    "state-from-start", Forward(Fault::StartAtEveryStep),
        "every step takes the initial state instead of the previous one",
        seen "burn's GRU (tracel-ai/burn#2701)";
    "truncated", Gradient(Fault::CutCarry),
        "backpropagation through time is truncated after one step",
        seen "Flux (FluxML/Flux.jl#1209); in second order, PyTensor's scan (pymc-devs/pytensor#1772)";
    "reset-convention", Forward(Fault::MoveFactor),
        "an elementwise factor, such as a reset gate, is on the other side of the matrix product",
        seen "onnxscript's GRU (microsoft/onnxscript#2852)";
    "gate-complement", Forward(Fault::Complement),
        "a gate z stands for 1 − z, as in the other convention of the GRU";
    "gates-exchanged", Data(|r, _| change::exchanges(r)),
        "parameters are exchanged";
    "gates-in-another-order", Data(change::reorders),
        "the gates are stacked in another order: the blocks of rows";
    "one-added-to-a-bias", Data(|r, _| change::offsets(r)),
        "one is added to a bias, as the forget bias of some LSTMs",
        seen "TensorFlow's BasicLSTMCell (its `forget_bias`)";
    "matrix-transposed", Data(|r, _| change::transposes(r)),
        "a square matrix is transposed";
    "condition-ignored", Forward(Fault::IgnoreCondition),
        "a condition, such as a mask or a reset, is ignored";
    "mask-forgotten", Masked(Fault::IgnoreCondition),
        "a step beyond the length of a sample changes a value that should stay";
    "condition-shifted", Data(change::shifted_conditions),
        "a reset or another condition acts one step too early or too late";
    "start-at-zero", Forward(Fault::StartAtZero),
        "a state starts at zero instead of at its initial value";
    "input-shifted", Data(|r, _| change::moves(r)),
        "an input is taken from another step";
    "other-direction", Forward(Fault::ReverseTime),
        "a state runs in the other direction of time";
    "term-left-out", Forward(Fault::DropTerm),
        "a term of the recurrence, such as a bias, is left out";
    "term-counted-twice", Forward(Fault::DoubleTerm),
        "a term of the recurrence, such as a bias, is counted twice";
    "wrong-step-of-a-state", Forward(Fault::NewForPrevious),
        "the new value of a state stands for the previous one";
    "previous-value-of-a-state", Forward(Fault::PreviousForNew),
        "the previous value of a state stands for the new one";
    "other-activation", Forward(Fault::OtherFunction),
        "another activation is used";
    "activation-left-out", Forward(Fault::DropFunction),
        "an activation is left out";
    "factor-left-out", Forward(Fault::DropFactor),
        "a factor of the recurrence is left out";
    "wrong-sign", Forward(Fault::FlipSign),
        "a term of the recurrence has the wrong sign";
    "other-factor", Forward(Fault::OtherFactor),
        "a factor of the recurrence is another value";
    "product-transposed", Forward(Fault::Transpose),
        "a matrix product of the recurrence takes the transpose";
    "last-step-only", Forward(Fault::OnlyLastStep),
        "the loss counts the last step only";
    "first-step-only", Forward(Fault::OnlyFirstStep),
        "the loss counts the first step only";
    "wrong-end", Forward(Fault::WrongEnd),
        "the first and the last value are exchanged";
    "derivative-at-the-argument", Gradient(Fault::ArgumentForValue),
        "the derivative of an activation is written in its value, and gets its argument";
    "derivative-at-the-value", Gradient(Fault::ValueForArgument),
        "the derivative of an activation is taken at its value: the activation is applied twice";
    "gradient-wrong-step-of-a-state", Gradient(Fault::NewForPrevious),
        "the gradient takes the new value of a state for the previous one";
    "gradient-previous-value-of-a-state", Gradient(Fault::PreviousForNew),
        "the gradient takes the previous value of a state for the new one";
    "gradient-start-forgotten", Gradient(Fault::ForgetStart),
        "a product of the gradient leaves out the first step: it takes zero for the initial state";
    "derivative-of-another-function", Gradient(Fault::OtherDerivative),
        "the derivative of tanh stands for that of sigmoid, or the reverse";
    "gradient-factor-left-out", Gradient(Fault::DropFactor),
        "a factor of the gradient, such as the derivative of an activation, is left out";
    "gradient-term-left-out", Gradient(Fault::DropTerm),
        "a path of the gradient is left out";
    "gradient-detached", Gradient(Fault::Detach),
        "no derivative goes through a value";
    "gradient-term-counted-twice", Gradient(Fault::DoubleTerm),
        "a path of the gradient is counted twice";
    "gradient-wrong-sign", Gradient(Fault::FlipSign),
        "a term of the gradient has the wrong sign";
    "gradient-value-of-wrong-sign", Gradient(Fault::Negate),
        "a value of the backward pass has the wrong sign";
    "gradient-other-factor", Gradient(Fault::OtherFactor),
        "a factor of the gradient is another value";
    "gradient-not-transposed", Gradient(Fault::DropTranspose),
        "a matrix is not transposed in the backward pass";
    "gradient-product-transposed", Gradient(Fault::Transpose),
        "a matrix product of the gradient takes the transpose";
    "gradient-factors-exchanged", Gradient(Fault::SwapFactors),
        "the factors of an outer product are exchanged";
    "gradient-last-step-only", Gradient(Fault::OnlyLastStep),
        "the gradient has the last step only: no sum over steps";
    "gradient-first-step-only", Gradient(Fault::OnlyFirstStep),
        "the gradient has the first step only: no sum over steps";
    "gradient-start-at-zero", Gradient(Fault::StartAtZero),
        "the gradient takes zero for the initial state";
    "gradient-state-from-start", Gradient(Fault::StartAtEveryStep),
        "the gradient takes the initial state at every step";
    "gradient-condition-ignored", Gradient(Fault::IgnoreCondition),
        "a condition, such as a mask, is ignored in the gradient";
    "gradient-lengths-ignored", GradientOfData(|_, _| vec![Change::IgnoreLengths]),
        "the loss leaves out steps beyond the length of a sample, its gradient does not";
    "gradient-wrong-end", Gradient(Fault::WrongEnd),
        "the gradient exchanges the first and the last step";
    "gradient-wrong-class", Gradient(Fault::WrongClass),
        "the gradient of an indexed row or entry goes to the wrong places";
    "gradient-function-left-out", Gradient(Fault::DropFunction),
        "a function is left out in the gradient";
    "gradient-other-function", Gradient(Fault::OtherFunction),
        "another function is used in the gradient";
    "gradient-factor-moved", Gradient(Fault::MoveFactor),
        "an elementwise factor of the gradient is on the other side of a matrix";
    "gradient-gate-complement-in-use", Gradient(Fault::ComplementUse),
        "a gate z stands for 1 − z in the backward pass alone, or the reverse";
    "gradient-gate-complement", Gradient(Fault::Complement),
        "a gate z stands for 1 − z in the gradient";
}
