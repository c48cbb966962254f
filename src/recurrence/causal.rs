//! The values of a recurrence that are known only after later steps.

use super::Recurrence;
use crate::op::{Edge, NodeId, Op, Time};
use crate::shape::Rate;
use crate::tape::Direction;

impl Recurrence {
    /// The reason why some step of these nodes needs later steps, if one does: a state that runs backwards, or a value of
    /// the whole sequence that is used at each step.
    pub(crate) fn needs_later_steps(
        &self,
        roots: impl IntoIterator<Item = NodeId>,
    ) -> Option<String> {
        let tape = &self.tape;
        let live = tape.live(roots);
        let mut whole: Vec<Option<NodeId>> = vec![None; tape.len()];
        for (id, node) in tape.nodes().filter(|(id, _)| live[id.index()]) {
            match node.op() {
                Op::Read(register) => {
                    let register = tape.register(*register);
                    if register.direction() == Direction::Backward {
                        return Some(match self.states().any(|name| name == register.name()) {
                            true => format!(
                                "the state `{}` runs from the last step to the first",
                                register.name()
                            ),
                            false => format!("`{}` reads the next step", tape.expression(id)),
                        });
                    }
                }
                Op::Time(Time::Impulse(impulse)) if impulse.0 == Edge::Last => {
                    return Some(format!(
                        "`{}` needs to know which step is the last",
                        tape.definition(id)
                    ));
                }
                _ => {}
            }
            let found = match node.op() {
                Op::Time(Time::Total(_) | Time::Pick(_)) if node.ty().rate != Rate::Step => {
                    Some(id)
                }
                _ => node.args().iter().find_map(|arg| whole[arg.index()]),
            };
            if let (Some(of), Rate::Step) = (found, node.ty().rate) {
                return Some(format!(
                    "`{}`, a value of the whole sequence, is used at each step",
                    tape.definition(of)
                ));
            }
            whole[id.index()] = found;
        }
        // An initial value may come after the read in the tape.
        let reads = tape.nodes().filter(|(id, _)| live[id.index()]);
        let mut registers = reads.filter_map(|(id, _)| tape.register_read_by(id));
        registers.find_map(|register| {
            let register = tape.register(register);
            let of = whole[register.init()?.index()]?;
            Some(format!(
                "the start of `{}` depends on `{}`, a value of the whole sequence",
                register.name(),
                tape.definition(of)
            ))
        })
    }
}
