//! The state `s_t`: all values that registers of one direction carry from one step to the next.

use std::sync::Arc;

use super::term::{Name, Quantity, Term, Time};

/// A part of the state: the value of `name`, `delay` steps before the latest one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Carried {
    pub(crate) name: Name,
    /// 0 for the value of the step itself.
    pub(crate) delay: i64,
}

impl Carried {
    /// The name by which an oracle knows this part at a step; `way` is −1 if the sequence is processed forwards, 1 if
    /// backwards.
    pub(crate) fn observed(&self, way: i64) -> Name {
        match self.delay {
            0 => Arc::clone(&self.name),
            delay => read_of(&self.name, way * delay),
        }
    }

    /// The step of the value that step `step` reads.
    pub(crate) fn read_at(&self, step: &Time) -> Time {
        step.plus(-1 - self.delay)
    }

    /// The name of this value where the next step reads it.
    pub(crate) fn read(&self, way: i64) -> Name {
        read_of(&self.name, way * (self.delay + 1))
    }
}

/// The name of a read of `name`, `shift` steps away.
pub(crate) fn read_of(name: &str, shift: i64) -> Name {
    match shift {
        -1 => format!("{name}.before").into(),
        1 => format!("{name}.after").into(),
        n if n < 0 => format!("{name}.before{}", -n).into(),
        n => format!("{name}.after{n}").into(),
    }
}

/// The distinct names in a state.
pub(crate) fn names(state: &[Carried]) -> Vec<Name> {
    let own = state.iter().filter(|c| c.delay == 0);
    own.map(|c| Arc::clone(&c.name)).collect()
}

/// Returns true if a value is carried for more than one step.
pub(crate) fn is_delayed(state: &[Carried]) -> bool {
    state.iter().any(|c| c.delay > 0)
}

/// `∂s_t/∂s_k`.
pub(crate) fn flow(state: &[Carried], to: Time, from: Time) -> Term {
    match state {
        [one] => Quantity::Jacobian.of([&one.name, &one.name], [to, from]),
        _ => Quantity::StateFlow.of([], [to, from]),
    }
}

/// A block of `J_t`: the derivative of the value `of` with respect to the carried value `by`, with all other carried
/// values held fixed.
pub(crate) fn block(state: &[Carried], of: &Name, by: &Carried, at: &Time) -> Term {
    match is_delayed(state) {
        true => Quantity::Direct.of([of, &by.name], [at.clone(), by.read_at(at)]),
        false => Quantity::Block.of([of, &by.name], [at.clone()]),
    }
}
