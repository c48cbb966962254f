//! The strongly connected components of a timed graph: what must run step by step.

use super::{Direction, Tape};
use crate::op::{NodeId, Op};
use crate::shape::Rate;

/// Nodes that depend on each other through registers, or one node that stands alone.
#[derive(Debug)]
pub(crate) struct Component {
    pub(crate) nodes: Vec<NodeId>,
    /// Whether some node depends on itself.
    pub(crate) cyclic: bool,
}

impl Tape {
    /// The components, each after those it depends on (Tarjan 1972, with an explicit stack).
    pub(crate) fn components(&self) -> Vec<Component> {
        const UNSEEN: usize = usize::MAX;
        let count = self.len();
        let edges: Vec<Vec<NodeId>> = self.nodes().map(|(id, _)| self.dependencies(id)).collect();
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
                match edges[v].get(edge) {
                    Some(w) => {
                        let w = w.index();
                        calls.push((v, edge + 1));
                        if index[w] == UNSEEN {
                            calls.push((w, 0));
                        } else if on_path[w] {
                            low[v] = low[v].min(index[w]);
                        }
                    }
                    None => {
                        if low[v] == index[v] {
                            let start = path.iter().rposition(|w| *w == v).unwrap_or(0);
                            let members = path.split_off(start);
                            members.iter().for_each(|w| on_path[*w] = false);
                            let cyclic = members.len() > 1 || edges[v].contains(&NodeId::new(v));
                            let mut nodes: Vec<_> = members.into_iter().map(NodeId::new).collect();
                            nodes.sort_unstable();
                            components.push(Component { nodes, cyclic });
                        }
                        if let Some((parent, _)) = calls.last() {
                            low[*parent] = low[*parent].min(low[v]);
                        }
                    }
                }
            }
        }
        components
    }

    fn dependencies(&self, id: NodeId) -> Vec<NodeId> {
        let node = self.node(id);
        let mut on: Vec<NodeId> = node.args.to_vec();
        if let Op::Read(r) = node.op {
            on.extend(self.register(r).init);
            on.extend(self.register(r).def);
        }
        on
    }

    /// Why a component cannot be run in one direction of time, if so.
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
