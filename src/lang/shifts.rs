//! Delays and advances: registers that are written as such, and not as states.

use std::collections::HashSet;

use crate::op::RegisterId;
use crate::recurrence::Recurrence;
use crate::tape::Direction;

/// For each node, whether it is read of a register that is written as a delay or an advance: it belongs
/// to no state of the recurrence, and does not depend on itself, at any step.
pub(super) fn shifts(recurrence: &Recurrence) -> Vec<bool> {
    let tape = recurrence.tape();
    let states: HashSet<RegisterId> = recurrence.state_registers().collect();
    let mut shifts = vec![false; tape.len()];
    for component in tape.components().iter().filter(|c| !c.cyclic) {
        for id in &component.nodes {
            let Some(register) = tape.register_read_by(*id) else {
                continue;
            };
            let r = tape.register(register);
            let spelt = r.direction() == Direction::Forward || r.init().is_none();
            shifts[id.index()] = spelt && !states.contains(&register);
        }
    }
    shifts
}
