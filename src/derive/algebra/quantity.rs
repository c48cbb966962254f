//! The quantities that formulas are about, one row each.

use std::hash::Hash;
use std::ops::RangeInclusive;
use std::sync::Arc;

use smallvec::SmallVec;

/// A row of the table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The number of names.
    pub(crate) names: usize,
    /// The number of steps.
    pub(crate) steps: RangeInclusive<usize>,
    /// A δ or a differential: every term is linear in it.
    pub(crate) linear: bool,
}

macro_rules! quantities {
    ($($(#[doc = $doc:literal])+ $quantity:ident $names:literal $steps:expr, $linear:ident;)+) => {
        /// A kind of quantity.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Quantity {
            $($(#[doc = $doc])+ $quantity,)+
        }

        impl Quantity {
            /// Every quantity.
            pub const ALL: &'static [Self] = &[$(Self::$quantity),+];

            pub(crate) const fn row(self) -> Row {
                match self {
                    $(Self::$quantity => Row {
                        names: $names,
                        steps: $steps,
                        linear: $linear,
                    },)+
                }
            }
        }
    };
}

quantities! {
    /// A value, with a step if it varies with time.
    Value 1 0..=1, NO;
    /// An abbreviation introduced by the derivation, with a step if it varies with time: `q`, `ξ_t`.
    Letter 1 0..=1, NO;
    /// The number of steps `T`.
    Length 0 0..=0, NO;
    /// `δ` of a value: the gradient with respect to an injected perturbation.
    Delta 1 0..=1, YES;
    /// The differential of a value.
    D 1 0..=1, YES;
    /// The loss `L`, or the loss `L_t` of a step.
    Loss 0 0..=1, NO;
    /// The differential of the loss, or of the loss of a step.
    DLoss 0 0..=1, YES;
    /// `∂L/∂x`.
    Gradient 1 0..=1, NO;
    /// `∂L_t/∂x` of the loss of a step; `∂L_t/∂x_k`.
    StepGradient 1 1..=2, NO;
    /// `d⁺x_t`: the differential of a state, with all states before it held fixed.
    DPlus 1 1..=1, YES;
    /// `∂x_t/∂W`: a matrix with one column per entry of `W`, in column-major order.
    Response 2 1..=1, NO;
    /// `∂⁺x_t/∂W`: the same, with all states before it held fixed.
    Immediate 2 1..=1, NO;
    /// `λ` of a state: the gradient with respect to a perturbation that the other states of the same step do not see.
    Costate 1 1..=1, YES;
    /// `δ̂` of a state: its δ if the recursion restarts after every `τ` steps.
    Cut 1 1..=1, YES;
    /// `∂x_t/∂y_k`: y is perturbed at step k, x is read at step t.
    Jacobian 2 2..=2, NO;
    /// A block of the state Jacobian `J_t`: the derivative of the first state at t with respect to the second state
    /// before t, with the other states before t held fixed.
    Block 2 1..=1, NO;
    /// `∂⁺x_t/∂y_k`: the derivative of a value with respect to one read from another step, with all other reads from
    /// other steps held fixed.
    Direct 2 2..=2, NO;
    /// The state Jacobian `J_t`.
    StateJacobian 0 1..=1, NO;
    /// `∂s_t/∂s_k` of the whole state.
    StateFlow 0 2..=2, NO;
    /// `J_t` of the state that is carried from the end of the sequence to its beginning.
    BackJacobian 0 1..=1, NO;
    /// `∂s_t/∂s_k` of that state.
    BackFlow 0 2..=2, NO;
}

const NO: bool = false;
const YES: bool = true;

/// A quantity of some values at some steps.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Symbol<Step> {
    /// The kind.
    pub quantity: Quantity,
    /// The names of the values.
    pub names: SmallVec<[Arc<str>; 2]>,
    /// The steps.
    pub steps: SmallVec<[Step; 2]>,
}

impl<Step> Symbol<Step> {
    /// A quantity of some values at some steps.
    pub fn new<'n>(
        quantity: Quantity,
        names: impl IntoIterator<Item = &'n Arc<str>>,
        steps: impl IntoIterator<Item = Step>,
    ) -> Self {
        let symbol = Self {
            quantity,
            names: names.into_iter().cloned().collect(),
            steps: steps.into_iter().collect(),
        };
        debug_assert!(symbol.is_complete(), "a row of {quantity:?} has other parts");
        symbol
    }

    /// Returns true if there are as many names and steps as the row says.
    pub(crate) fn is_complete(&self) -> bool {
        let Row { names, steps, .. } = self.quantity.row();
        self.names.len() == names && steps.contains(&self.steps.len())
    }

    /// The parts, for a pattern.
    #[must_use]
    pub fn parts(&self) -> (Quantity, &[Arc<str>], &[Step]) {
        (self.quantity, &self.names, &self.steps)
    }
}
