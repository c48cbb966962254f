//! The ids of lines: the kind of a line with its subjects. An id does not depend on the position of the line.

use std::fmt;

use crate::derive::algebra::term::Name;

macro_rules! lines {
    ($($(#[doc = $doc:literal])+ $line:ident$(($($of:ident: $kind:ty),+))? $text:literal;)+) => {
        /// The id of a line. Its text, such as `delta.h`, is that of
        /// [`Derivation::equation`](crate::derive::Derivation::equation) and of documents.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Line {
            $($(#[doc = $doc])+ $line$(($($kind),+))?,)+
        }

        impl fmt::Display for Line {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self { $(Self::$line$(($($of),+))? => write!(f, $text),)+ }
            }
        }
    };
}

lines! {
    /// The definition of a value.
    Definition(name: Name) "def.{name}";
    /// The initial value of a state: that of step `1 − steps`, or of `T + steps` if it is carried backwards.
    Start(name: Name, steps: u64) "init.{name}.{steps}";
    /// The loss.
    Loss "def.loss";
    /// The loss of one step.
    StepLoss "def.loss.t";
    /// The differential of a value.
    Differential(name: Name) "d.{name}";
    /// `⟨δ, dy⟩` of a value as inner products with the differentials that `dy` depends on.
    Adjoint(name: Name) "adj.{name}";
    /// The differential of the loss as such inner products.
    LossAdjoint "adj.loss";
    /// The differential of the loss of one step as such inner products.
    StepLossAdjoint "adj.loss.t";
    /// `δ` of a value.
    Delta(name: Name) "delta.{name}";
    /// `δ` of a value at the last step.
    LastDelta(name: Name) "last.{name}";
    /// `δ` of a value, with values that have a single reader eliminated.
    CompactDelta(name: Name) "compact.{name}";
    /// The gradient with respect to a parameter or an input.
    Gradient(name: Name) "grad.{name}";
    /// The gradient with respect to a zero initial state.
    StartGradient(name: Name) "grad.{name}.0";
    /// The gradient of the loss of one step with respect to a parameter.
    StepGradient(name: Name) "step.{name}";
    /// The differential of the loss as the sum over all gradients.
    Master "master";
    /// The definition of a letter.
    Letter(letter: Name) "let.{letter}";
    /// Several values of the same form, stacked.
    StackedValue "stack.value";
    /// `δ` of stacked values.
    StackedDelta "stack.delta";
    /// The gradient with respect to the stacked parameters.
    StackedGradient "stack.grad";
    /// A line of `δ` or a gradient in which several matrices are merged into one.
    SentBack(line: Box<Line>) "stacked.{line}";
    /// The Jacobian of the state.
    Jacobian "jac";
    /// The block of the Jacobian of a state with respect to a state of an earlier step.
    Block(of: Name, by: Name, lag: Lag) "jac.{of}.{by}{lag}";
    /// The derivative of the state with respect to an earlier state as a product of Jacobians.
    JacobianProduct "jac.product";
    /// The derivative of a single state with delays as a block of that product.
    JacobianCorner "jac.corner";
    /// The differential of the state.
    StateDifferential "jac.differential";
    /// The differential of the state as a sum over the steps before.
    StateUnrolled "jac.unrolled";
    /// The differential of a state with all states of earlier steps held fixed.
    Immediate(state: Name) "jac.plus.{state}";
    /// The derivative of a state with respect to another one of the same step.
    Within(of: Name, by: Name) "within.{of}.{by}";
    /// The derivative of a state with respect to itself one step before, by every path.
    Total(state: Name) "total.{state}";
    /// The same over two steps.
    TwoSteps(state: Name) "two.{state}";
    /// The derivatives of all states with respect to one of an earlier step.
    ManySteps(state: Name) "many.{state}";
    /// The derivative of the state with respect to a parameter.
    Response(parameter: Name) "map.{parameter}";
    /// The same with the states of earlier steps held fixed.
    ImmediateResponse(parameter: Name) "map.immediate.{parameter}";
    /// The derivative of the state with respect to a parameter as a sum over steps.
    ResponseSum(parameter: Name) "map.sum.{parameter}";
    /// `δ` of the state from that of the next step.
    Recursion "bridge.recursion";
    /// The contribution of one step to the differential of the loss.
    Pairing "bridge.pairing";
    /// `δ` of the state as a sum over later steps.
    Closed "bridge.closed";
    /// That sum in Horner's form.
    Horner "bridge.horner";
    /// The gradient with respect to a parameter as a sum over pairs of steps.
    DoubleSum(parameter: Name) "bridge.double.{parameter}";
    /// That sum in the other order.
    ExchangedSum(parameter: Name) "bridge.exchange.{parameter}";
    /// The terms of that sum that are due to the loss of one step.
    StepSum(parameter: Name) "bridge.step.{parameter}";
    /// `λ` of all states from that of the next step.
    Costate "costate";
    /// `λ` of one state from those of later steps.
    CostateOf(state: Name) "costate.next.{state}";
    /// `δ` of a state as its own `λ` and the contributions of states of the same step.
    Shares(state: Name) "costate.{state}";
    /// The contribution of one step to the differential of the loss, in terms of `λ`.
    CostatePairing "costate.pairing";
    /// `λ` as a sum over later steps.
    CostateClosed "costate.closed";
    /// The gradients with respect to the initial states, in terms of `λ`.
    CostateStart "costate.start";
    /// The gradient with respect to a parameter as a sum within a window, and the remainder.
    Window(parameter: Name) "window.{parameter}";
    /// The gradient with respect to a parameter as a sum within chunks, and the remainder.
    Chunks(parameter: Name) "chunk.{parameter}";
    /// `δ` of the recursion that restarts after every chunk.
    ChunkDelta "chunk.delta";
    /// The same as a sum over the steps of a chunk.
    ChunkClosed "chunk.closed";
    /// A state as a sum along its carousel.
    Carousel(state: Name) "carousel.{state}";
    /// `δ` of a state as a sum along its carousel.
    CarouselDelta(state: Name) "carousel.delta.{state}";
    /// The error along the carousel alone, and the remainder.
    CarouselCut(state: Name) "carousel.cut.{state}";
    /// The norm of the product of the gates of a carousel.
    CarouselNorm(state: Name) "carousel.norm.{state}";
    /// A bound of that product.
    CarouselBound(state: Name) "carousel.bound.{state}";
    /// The bound of a product of Jacobians by the product of their norms.
    ProductBound "bound.product";
    /// The bound of a product of Jacobians by a power.
    PowerBound "bound.power";
    /// A lower bound of a product of Jacobians.
    LeastBound "bound.least";
    /// The bound of the slope of a step.
    SlopeBound "bound.slope";
    /// The bound of the Jacobian of one step.
    StepBound "bound.step";
    /// The bound of the Jacobian of two states, from those of its blocks.
    JointBound "bound.joint";
    /// The bound of a block of the Jacobian.
    BlockBound(of: Name, by: Name, lag: Lag) "bound.block.{of}.{by}{lag}";
    /// The bound of the derivative of a state by every path.
    TotalBound(state: Name) "bound.total.{state}";
    /// The bound of one step of a state with several lags.
    LagsStepBound "bound.lags.step";
    /// The bound of many steps of a state with several lags.
    LagsBound "bound.lags";
    /// The bound of `δ` by the losses of later steps.
    DeltaBound "bound.delta";
    /// The bound of `δ` at every step.
    DeltaBoundOfRun "bound.delta.all";
    /// The bound of the state.
    StateBound "bound.state";
    /// The bound of the remainder of a window.
    WindowBound "bound.window";
    /// A line about the backward chain, the time reversal of a line about a forward chain.
    Back(line: Box<Line>) "back.{line}";
}

/// A number of steps; in an id, one step is not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lag(pub i64);

impl fmt::Display for Lag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => Ok(()),
            lag => write!(f, ".{lag}"),
        }
    }
}

impl Line {
    /// Words that occur in place of a state in the text of an id: `costate.start`, `jac.plus.h`.
    pub(crate) const WORDS_FOR_STATES: &'static [&'static str] =
        &["closed", "pairing", "plus", "start"];

    /// Words that occur in place of a parameter: `chunk.delta`.
    pub(crate) const WORDS_FOR_PARAMETERS: &'static [&'static str] = &["closed", "delta"];

    /// The line about a forward chain, if this one is its time reversal.
    #[must_use]
    pub fn forward(&self) -> &Self {
        match self {
            Self::Back(line) => line,
            line => line,
        }
    }

    /// The block of a Jacobian with respect to a value `lag` steps before.
    pub(crate) fn block(of: &Name, by: &Name, lag: i64) -> Self {
        Self::Block(Name::clone(of), Name::clone(by), Lag(lag))
    }

    /// The derivative of a state with respect to another one of the same step.
    pub(crate) fn within(of: &Name, by: &Name) -> Self {
        Self::Within(Name::clone(of), Name::clone(by))
    }
}
