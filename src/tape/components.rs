//! The strongly connected components of a timed graph: the parts that must run step by step.

use super::{Direction, Tape};
use crate::op::{NodeId, Op};
use crate::shape::Rate;

/// Nodes that depend on each other through registers, or one node outside every cycle.
#[derive(Debug)]
pub(crate) struct Component {
    pub(crate) nodes: Vec<NodeId>,
    /// True if a node of the component depends on itself.
    pub(crate) cyclic: bool,
}

impl Tape {
    /// The components in topological order, dependencies first.
    pub(crate) fn components(&self) -> Vec<Component> {
        let edges: Vec<Vec<usize>> = self.nodes().map(|(id, _)| self.dependencies(id)).collect();
        let component = |mut members: Vec<usize>| {
            members.sort_unstable();
            let cyclic = members.len() > 1 || edges[members[0]].contains(&members[0]);
            let nodes = members.into_iter().map(NodeId::new).collect();
            Component { nodes, cyclic }
        };
        strongly_connected(&edges)
            .into_iter()
            .map(component)
            .collect()
    }

    fn dependencies(&self, id: NodeId) -> Vec<usize> {
        let node = self.node(id);
        let mut on: Vec<NodeId> = node.args.to_vec();
        if let Op::Read(r) = node.op {
            on.extend(self.register(r).init);
            on.extend(self.register(r).def);
        }
        on.into_iter().map(NodeId::index).collect()
    }

    /// The reason why a component cannot run in one direction of time; `None` if it can.
    pub(super) fn obstacle(&self, component: &Component) -> Option<String> {
        if !component.cyclic {
            return None;
        }
        let reads: Vec<_> = component
            .nodes
            .iter()
            .filter_map(|id| match self.node(*id).op {
                Op::Read(r) => Some(self.register(r)),
                _ => None,
            })
            .collect();
        let listed = |direction: Direction| {
            let names: Vec<String> = reads
                .iter()
                .filter(|r| r.direction == direction)
                .map(|r| format!("`{}`", r.name))
                .collect();
            names.join(", ")
        };
        let (forward, backward) = (listed(Direction::Forward), listed(Direction::Backward));
        if let Some(id) = component
            .nodes
            .iter()
            .find(|id| self.ty(**id).rate != Rate::Step)
        {
            return Some(format!(
                "a loop without a delay: {} depends on `{}`, which needs every step of it",
                [&*forward, &*backward]
                    .iter()
                    .find(|s| !s.is_empty())
                    .unwrap_or(&"a value"),
                self.definition(*id),
            ));
        }
        (!forward.is_empty() && !backward.is_empty()).then(|| {
            format!(
                "one loop runs in both directions of time: forward through {forward}, backward \
                 through {backward}"
            )
        })
    }
}

/// The strongly connected components of a graph, dependencies first (Tarjan 1972, with an explicit
/// stack). `edges[i]` lists the nodes that node `i` depends on.
pub(crate) fn strongly_connected(edges: &[Vec<usize>]) -> Vec<Vec<usize>> {
    const UNSEEN: usize = usize::MAX;
    let count = edges.len();
    let mut index = vec![UNSEEN; count];
    let mut low = vec![0; count];
    let mut on_path = vec![false; count];
    let (mut path, mut components, mut next) = (Vec::new(), Vec::new(), 0);
    for root in 0..count {
        if index[root] != UNSEEN {
            continue;
        }
        let mut calls = vec![(root, 0)];
        while let Some((v, edge)) = calls.pop() {
            if edge == 0 {
                (index[v], low[v]) = (next, next);
                next += 1;
                path.push(v);
                on_path[v] = true;
            }
            if let Some(w) = edges[v].get(edge).copied() {
                calls.push((v, edge + 1));
                if index[w] == UNSEEN {
                    calls.push((w, 0));
                } else if on_path[w] {
                    low[v] = low[v].min(index[w]);
                }
                continue;
            }
            if low[v] == index[v] {
                let start = path.iter().rposition(|w| *w == v).unwrap_or(0);
                let members = path.split_off(start);
                members.iter().for_each(|w| on_path[*w] = false);
                components.push(members);
            }
            if let Some((parent, _)) = calls.last() {
                low[*parent] = low[*parent].min(low[v]);
            }
        }
    }
    components
}
