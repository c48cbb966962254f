//! The place of a mistake that has no name: a gate, steps.

use bptt::{NodeId, Op, Recurrence};

use crate::Quantity;
use crate::finding::{Evidence, Key};
use crate::mistakes::{same_within, size};

/// The one named value through which every parameter with a wrong gradient enters, and no parameter with a right one that
/// is not zero.
pub(super) fn gate(recurrence: &Recurrence, evidence: &[&Evidence]) -> Option<String> {
    let (mut wrong, mut right) = (Vec::new(), Vec::new());
    for name in recurrence.parameters() {
        let key = |e: &Evidence| {
            let right = e.expected.get(Quantity::Gradient, name)?;
            let found = e.answer.get(Quantity::Gradient, name)?;
            let apart = size(&(found - &right.value));
            Some((apart > right.bound, size(&right.value) > 0.0))
        };
        let found: Vec<(bool, bool)> = evidence.iter().filter_map(|e| key(e)).collect();
        if found.iter().any(|(is_wrong, _)| *is_wrong) {
            wrong.push(name.to_owned());
        } else if found.iter().any(|(_, matters)| *matters) {
            right.push(name.to_owned());
        }
    }
    if wrong.is_empty() || right.is_empty() {
        return None;
    }
    let tape = recurrence.tape();
    let named = tape.nodes().filter_map(|(id, node)| {
        let name = tape
            .label(id)
            .filter(|_| !matches!(node.op(), Op::Leaf(_)))?;
        Some((name, direct_parameters(recurrence, id)))
    });
    let mut gates = named.filter(|(_, direct)| {
        wrong.iter().all(|name| direct.contains(name))
            && !right.iter().any(|name| direct.contains(name))
    });
    let (name, _) = gates.next()?;
    gates.next().is_none().then(|| name.to_owned())
}

/// The parameters that a named value uses, other than through named values and states.
fn direct_parameters(recurrence: &Recurrence, of: NodeId) -> Vec<String> {
    let tape = recurrence.tape();
    let mut found = Vec::new();
    let mut seen = vec![false; tape.len()];
    let mut stack = tape.node(of).args().to_vec();
    while let Some(id) = stack.pop() {
        if std::mem::replace(&mut seen[id.index()], true) {
            continue;
        }
        let node = tape.node(id);
        match node.op() {
            Op::Leaf(_) => found.extend(tape.label(id).map(str::to_owned)),
            Op::Read(_) => {}
            _ if tape.label(id).is_some() => {}
            _ => stack.extend(node.args()),
        }
    }
    found
}

/// For each per-step input with a wrong gradient, the steps at which it is wrong in the case with the most steps.
pub(super) fn steps(evidence: &[Evidence], wrong: &[Key]) -> Vec<(String, Vec<usize>)> {
    let longest = evidence.iter().max_by_key(|e| e.case.batch.steps());
    let Some(e) = longest else { return Vec::new() };
    let of = |(quantity, name): &Key| {
        let right = e.expected.get(*quantity, name)?;
        if right.rate != bptt::Rate::Step || *quantity != Quantity::Gradient {
            return None;
        }
        let found = e.answer.get(*quantity, name)?;
        let largest = right.value.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
        let allowed = same_within(e.case.precision) * largest;
        let pairs = right.value.outer_iter().zip(found.outer_iter());
        let apart = pairs.map(|(a, b)| {
            let entries = a.iter().zip(b.iter());
            entries.fold(0.0, |m: f64, (a, b)| m.max((a - b).abs()))
        });
        let steps = apart.enumerate().filter(|(_, d)| *d > allowed);
        let steps: Vec<usize> = steps.map(|(t, _)| t).collect();
        (!steps.is_empty() && steps.len() < right.value.shape()[0]).then(|| (name.clone(), steps))
    };
    wrong.iter().filter_map(of).collect()
}
