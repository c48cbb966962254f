//! The order in which the values of a recurrence are evaluated.

use super::Recurrence;
use super::place::Place;
use crate::op::{NodeId, Op, Time};
use crate::shape::Rate;
use crate::tape::{Direction, Tape};

/// When a value is evaluated: its phase, what is computed once before a phase, the step in the direction of the
/// phase, the sample, the node.
pub(crate) type Turn = (usize, Option<usize>, usize, NodeId);

/// The phases in which a recurrence is evaluated: forward through all steps, backward, forward again, and so on.
/// A value belongs to the last phase in time for all that use it.
pub(crate) struct Phases(Vec<usize>);

impl Phases {
    pub(crate) fn of(recurrence: &Recurrence) -> Self {
        let tape = &recurrence.tape;
        let components = tape.components();
        let reads = |id: NodeId| match tape.node(id).op {
            Op::Read(r) => Some(tape.register(r)),
            _ => None,
        };
        // From one argument to the next, and from the definition of a register to its reads.
        let needs = |id: NodeId| {
            let register = reads(id).into_iter();
            let register = register.flat_map(|r| r.init.into_iter().chain(r.def));
            let args = tape.node(id).args.iter().copied();
            args.chain(register).collect::<Vec<_>>()
        };
        let gathers = |id: NodeId| {
            let node = tape.node(id);
            let of_steps = node.args.iter().any(|a| tape.ty(*a).rate == Rate::Step);
            usize::from(matches!(node.op, Op::Time(Time::Total(_) | Time::Pick(_))) && of_steps)
        };
        let mut earliest = vec![0; tape.len()];
        for component in &components {
            let mut phase = 0;
            for id in &component.nodes {
                let known = needs(*id).into_iter().map(|n| earliest[n.index()]).max();
                phase = phase.max(known.unwrap_or(0) + gathers(*id));
            }
            let backward = component.nodes.iter().filter_map(|id| reads(*id)).next();
            if let Some(register) = backward {
                let parity = usize::from(register.direction == Direction::Backward);
                phase += (phase + parity) % 2;
            }
            component
                .nodes
                .iter()
                .for_each(|id| earliest[id.index()] = phase);
        }
        let live = tape.live(recurrence.output_nodes().map(|(_, id)| id));
        let mut latest = vec![usize::MAX; tape.len()];
        for (_, output) in recurrence.output_nodes() {
            latest[output.index()] = earliest[output.index()];
        }
        for component in components.iter().rev() {
            let stays = |id: &NodeId| reads(*id).is_some() || gathers(*id) > 0;
            let fixed = component.cyclic || component.nodes.iter().any(stays);
            for id in component.nodes.iter().rev() {
                let at = &mut latest[id.index()];
                if fixed || *at == usize::MAX {
                    *at = earliest[id.index()];
                }
                let phase = (*at).max(earliest[id.index()]);
                *at = phase;
                for need in needs(*id).into_iter().filter(|_| live[id.index()]) {
                    let need = &mut latest[need.index()];
                    *need = (*need).min(phase - gathers(*id));
                }
            }
        }
        Self(latest)
    }

    /// When a value is evaluated.
    pub(super) fn turn(&self, tape: &Tape, place: Place) -> Turn {
        let Place { node, sample, step } = place;
        let phase = self.0[node.index()];
        let step = (tape.ty(node).rate == Rate::Step).then_some(match phase % 2 {
            0 => step,
            _ => usize::MAX - step,
        });
        (phase, step, sample, node)
    }
}
