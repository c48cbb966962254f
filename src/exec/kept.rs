//! The values that a stepper keeps from step to step, with their names.

use super::step_actions::place;
use super::workspace::Workspace;
use super::{Program, Real};
use crate::plan::Operand;
use crate::tape::added_name;

/// A value that is kept from step to step.
#[derive(Clone, Debug)]
pub(super) struct Kept<F> {
    /// The name in a saved state.
    pub(super) name: String,
    /// The names of the states with this value.
    pub(super) states: Vec<String>,
    pub(super) shape: Vec<usize>,
    /// The first entry in the first sample.
    pub(super) at: *mut F,
    /// The entries from one sample to the next.
    pub(super) row: usize,
}

impl<F: Real> Kept<F> {
    pub(super) fn all(program: &Program<F>, workspace: &Workspace<F>) -> Vec<Self> {
        let (plan, recurrence) = (&program.plan, &program.recurrence);
        let tape = recurrence.tape();
        let mut all: Vec<Self> = Vec::new();
        for carry in &plan.carries {
            let is_it = |value: &Operand| *value == carry.value;
            let mut nodes = plan
                .values
                .iter()
                .filter(|v| v.is_carried && is_it(&v.operand));
            let Some(found) = nodes.next() else { continue };
            let registers: Vec<_> = std::iter::once(found)
                .chain(nodes)
                .flat_map(|v| tape.carriers(v.node))
                .collect();
            let states = recurrence.contents().states.iter();
            let states = states.filter(|s| !s.inner && registers.contains(&s.register));
            let states: Vec<String> = states.map(|s| s.name.to_string()).collect();
            let other = registers.first().map_or("", |r| tape.register(*r).name());
            let plain = states.first().map_or(other, |name| name);
            let taken = |name: &str| all.iter().any(|kept| kept.name == name);
            let (at, row) = place(workspace, &carry.value);
            all.push(Self {
                name: match states.is_empty() || taken(plain) {
                    true => added_name(plain, "kept", taken).to_string(),
                    false => plain.into(),
                },
                states,
                shape: tape.ty(found.node).shape.values(&program.sizes),
                at,
                row,
            });
        }
        all
    }
}
