//! The quantities that formulas are about, one row each.

use std::hash::Hash;
use std::ops::RangeInclusive;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::render::Accent;

/// A row of the table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The number of names.
    pub(crate) names: usize,
    /// The number of steps.
    pub(crate) steps: RangeInclusive<usize>,
    pub(crate) form: Form,
    pub(crate) kind: Kind,
    pub(crate) beyond: Beyond,
    /// The same for the state that is carried in the other direction of time.
    pub(crate) reversed: Quantity,
    pub(crate) look: Look,
}

/// The shape of a quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Number,
    /// The shape of its value.
    Value,
    /// A row for each entry of the first value, a column for each entry of the second.
    Matrix,
    /// Not known from the names.
    Other,
}

/// The role of a quantity in a term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A number, a vector or a matrix.
    Plain,
    /// A δ or a differential: terms are linear in it.
    Linear,
}

/// The value of a quantity whose first step is not a step of the sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beyond {
    Zero,
    /// Recorded like any other number.
    Given,
}

/// The notation of a quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) head: Head,
    /// One glyph, or the two of a fraction.
    pub(crate) glyphs: &'static [Glyph],
}

/// The signs before the glyphs of a quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    None,
    /// `d`, or `d⁺`.
    Differential {
        plus: bool,
    },
    /// `∂/∂`, or `∂⁺/∂`.
    Partial {
        plus: bool,
    },
}

/// A letter, the names above it, and the step below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Glyph {
    pub(crate) stem: Stem,
    pub(crate) accent: Option<Accent>,
    /// The number of names in the superscript.
    pub(crate) above: usize,
    pub(crate) stepped: bool,
}

/// A glyph without its accent and scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stem {
    /// The printed form of a value.
    Value,
    /// The name of an abbreviation.
    Abbreviation,
    Letter(Letter),
}

macro_rules! letters {
    ($($(#[doc = $doc:literal])+ $letter:ident $wishes:expr;)+) => {
        /// A letter of the notation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(crate) enum Letter {
            $($(#[doc = $doc])+ $letter,)+
        }

        impl Letter {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$letter),+];

            /// The letters in question, the best one first; the last one for the case that all are taken.
            pub(crate) const fn wishes(self) -> [&'static str; 4] {
                match self { $(Self::$letter => $wishes,)+ }
            }
        }
    };
}

letters! {
    /// `T`.
    Length ["T", "N", "M", "Xi"];
    /// `L`.
    Loss ["L", "E", "Lambda", "loss"];
    /// `δ`.
    Delta ["delta", "lambda", "eta", "delta_"];
    /// `J`.
    Jacobian ["J", "A", "Phi", "Jac"];
    /// `s`, the state vector.
    State ["s", "xi", "eta", "state"];
    /// `λ`, the gradient that a state receives from later steps and the loss.
    Costate ["lambda", "mu", "nu", "costate"];
    /// `e`, the direct gradient of the loss with respect to the state, in the general theorem.
    Direct ["e", "epsilon", "omega", "direct"];
    /// `G`, the immediate derivative of the state with respect to all parameters, in the general theorem.
    Immediate ["G", "Gamma", "Upsilon", "immediate"];
    /// `θ`, all parameters, in the general theorem.
    Parameters ["theta", "phi", "pi", "parameters"];
}

impl Glyph {
    const fn of(stem: Stem, above: usize) -> Self {
        Self {
            stem,
            accent: None,
            above,
            stepped: true,
        }
    }

    const fn with(self, accent: Accent) -> Self {
        Self {
            accent: Some(accent),
            ..self
        }
    }

    const fn without_step(self) -> Self {
        Self {
            stepped: false,
            ..self
        }
    }
}

const VALUE: Glyph = Glyph::of(Stem::Value, 0);
const ABBREVIATION: Glyph = Glyph::of(Stem::Abbreviation, 0);
const LENGTH: Glyph = Glyph::of(Stem::Letter(Letter::Length), 0).without_step();
const LOSS: Glyph = Glyph::of(Stem::Letter(Letter::Loss), 0);
const TOTAL: Glyph = LOSS.without_step();
const DELTA: Glyph = Glyph::of(Stem::Letter(Letter::Delta), 1);
const CUT: Glyph = DELTA.with(Accent::Hat);
const COSTATE: Glyph = Glyph::of(Stem::Letter(Letter::Costate), 1);
const JACOBIAN: Glyph = Glyph::of(Stem::Letter(Letter::Jacobian), 0);
const BACK: Glyph = JACOBIAN.with(Accent::Tilde);
const BLOCK: Glyph = Glyph::of(Stem::Letter(Letter::Jacobian), 2);
const STATE: Glyph = Glyph::of(Stem::Letter(Letter::State), 0);
const BACK_STATE: Glyph = STATE.with(Accent::Tilde);

macro_rules! look {
    ($of:ident) => { look!(Head::None, $of) };
    (d $of:ident) => { look!(Head::Differential { plus: false }, $of) };
    (d+ $of:ident) => { look!(Head::Differential { plus: true }, $of) };
    ($of:ident / $by:ident) => { look!(Head::Partial { plus: false }, $of, $by) };
    (+ $of:ident / $by:ident) => { look!(Head::Partial { plus: true }, $of, $by) };
    ($head:expr, $($of:ident),+) => { Look { head: $head, glyphs: &[$($of),+] } };
}

macro_rules! quantities {
    ($($(#[doc = $doc:literal])+ $quantity:ident [$($look:tt)+]
       $names:literal $steps:expr, $form:ident $kind:ident $beyond:ident $($reversed:ident)?;)+) => {
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
                        form: Form::$form,
                        kind: Kind::$kind,
                        beyond: Beyond::$beyond,
                        reversed: [$(Self::$reversed,)? self][0],
                        look: look!($($look)+),
                    },)+
                }
            }
        }
    };
}

// The name; its notation; the numbers of names and of steps; its shape, its role, and its value beyond the ends.
quantities! {
    /// An abbreviation introduced by the derivation, with a step if it varies with time: `q`, `ξ_t`.
    Letter [ABBREVIATION] 1 0..=1, Other Plain Given;
    /// A value, with a step if it varies with time.
    Value [VALUE] 1 0..=1, Value Plain Given;
    /// The number of steps `T`.
    Length [LENGTH] 0 0..=0, Number Plain Given;
    /// `δ` of a value: the gradient with respect to an injected perturbation.
    Delta [DELTA] 1 0..=1, Value Linear Zero;
    /// The differential of a value.
    D [d VALUE] 1 0..=1, Value Linear Given;
    /// The loss `L`, or the loss `L_t` of a step.
    Loss [LOSS] 0 0..=1, Number Plain Given;
    /// The differential of the loss, or of the loss of a step.
    DLoss [d LOSS] 0 0..=1, Number Linear Given;
    /// `∂L/∂x`.
    Gradient [TOTAL / VALUE] 1 0..=1, Value Plain Given;
    /// `∂L_t/∂x` of the loss of a step, or `∂L_t/∂x_k`.
    StepGradient [LOSS / VALUE] 1 1..=2, Other Plain Given;
    /// `d⁺x_t`: the differential of a state, with all states before it held fixed.
    DPlus [d+ VALUE] 1 1..=1, Value Linear Given;
    /// `∂x_t/∂W`: a matrix with one column per entry of `W`, in column-major order. An initial state does not depend on
    /// `W`.
    Response [VALUE / VALUE] 2 1..=1, Other Plain Zero;
    /// `∂⁺x_t/∂W`: the same, with all states before it held fixed.
    Immediate [+ VALUE / VALUE] 2 1..=1, Other Plain Given;
    /// `λ` of a state: the gradient with respect to a perturbation that the other states of the same step do not see.
    Costate [COSTATE] 1 1..=1, Value Linear Given;
    /// `δ̂` of a state: its δ if the recursion restarts after every `τ` steps.
    Cut [CUT] 1 1..=1, Value Linear Given;
    /// `∂x_t/∂y_k`: y is perturbed at step k, x is read at step t.
    Jacobian [VALUE / VALUE] 2 2..=2, Matrix Plain Given;
    /// A block of the state Jacobian `J_t`: the derivative of the first state at t with respect to the second state
    /// before t, with the other states before t held fixed.
    Block [BLOCK] 2 1..=1, Matrix Plain Zero;
    /// `∂⁺x_t/∂y_k`: the derivative of a value with respect to one read from another step, with all other reads from
    /// other steps held fixed.
    Direct [+ VALUE / VALUE] 2 2..=2, Matrix Plain Zero;
    /// The state Jacobian `J_t`.
    StateJacobian [JACOBIAN] 0 1..=1, Other Plain Zero BackJacobian;
    /// `∂s_t/∂s_k` of the whole state.
    StateFlow [STATE / STATE] 0 2..=2, Other Plain Given BackFlow;
    /// `J_t` of the state that is carried from the end of the sequence to its beginning.
    BackJacobian [BACK] 0 1..=1, Other Plain Zero StateJacobian;
    /// `∂s_t/∂s_k` of that state.
    BackFlow [BACK_STATE / BACK_STATE] 0 2..=2, Other Plain Given StateFlow;
}

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
        debug_assert!(
            symbol.is_complete(),
            "a row of {quantity:?} has other parts"
        );
        symbol
    }

    /// Returns true if there are as many names and steps as the row says.
    pub(crate) fn is_complete(&self) -> bool {
        let Row { names, steps, .. } = self.quantity.row();
        self.names.len() == names && steps.contains(&self.steps.len())
    }
}
