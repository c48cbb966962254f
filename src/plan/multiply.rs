//! The emission of matrix products, and of the matrices that they share.

use super::emit::Emitter;
use super::graph::{Id, Kind, vectors};
use super::instruction::{Instruction, Operand, Pack, PackPart};

impl Emitter<'_> {
    /// Emits products. Products of the same vectors with adjacent results are one product.
    pub(super) fn gemms(&mut self, mut members: Vec<Id>, body: &mut Vec<Instruction>) {
        members.sort_by_key(|id| self.layout.homes[*id]);
        let mut rest = &members[..];
        while let Some(first) = rest.first() {
            let (mut out, mut start) = (self.operand(*first), self.start(*first));
            let mut count = 1;
            while let Some(id) = rest.get(count) {
                let next = self.operand(*id);
                let both = start.as_mut().zip(self.start(*id));
                let start_ends = both.as_ref().is_some_and(|(s, n)| !s.continues_in(n));
                if !out.continues_in(&next) || start_ends {
                    break;
                }
                out.len += next.len;
                if let Some((start, next)) = both {
                    start.len += next.len;
                }
                count += 1;
            }
            body.push(self.gemm(&rest[..count], out, start));
            rest = &rest[count..];
        }
    }

    /// The initial value of a product.
    fn start(&self, id: Id) -> Option<Operand> {
        let common = self.graph.common_start(id);
        let start = common.or_else(|| self.graph.in_place(id).map(|_| id));
        start.map(|start| self.operand(start))
    }

    fn gemm(&mut self, members: &[Id], out: Operand, start: Option<Operand>) -> Instruction {
        let ids = vectors(self.graph, members[0]);
        let vectors: Vec<Operand> = ids.iter().map(|v| self.operand(*v)).collect();
        let places: Vec<_> = ids.iter().map(|v| self.place(*v)).collect();
        let mut order: Vec<usize> = (0..vectors.len()).collect();
        order.sort_by_key(|i| places[*i]);
        let (mut segments, mut parts, mut row): (Vec<Operand>, Vec<PackPart>, usize) =
            (Vec::new(), Vec::new(), 0);
        for i in order {
            let vector = vectors[i];
            match segments.last_mut() {
                Some(last) if last.continues_in(&vector) => last.len += vector.len,
                _ => segments.push(vector),
            }
            let mut column = 0;
            for id in members {
                let node = &self.graph.nodes[*id];
                let Kind::Gemm { init, transposed } = &node.kind else {
                    continue;
                };
                let matrix = node.args[usize::from(*init) + 2 * i];
                parts.push(PackPart {
                    matrix: self.operand(matrix),
                    columns: self.graph.nodes[matrix].extent[1],
                    transposed: transposed[i],
                    at: [row, column],
                    k: vector.len,
                    n: node.len(),
                });
                column += node.len();
            }
            row += vector.len;
        }
        Instruction::Gemm {
            out,
            start,
            segments,
            pack: self.pack(row, out.len, parts),
        }
    }

    /// The place of a vector in memory if there is one direction, where leaves come last.
    fn place(&self, id: Id) -> (usize, i8, usize) {
        let access = self.graph.access(id);
        let (buffer, start) = match self.graph.nodes[access.base].kind {
            Kind::Leaf(leaf) => {
                let others = self.layout.buffers.len();
                (self.one.buffers.len() + self.leaves[&leaf] - others, 0)
            }
            _ => self.one.homes[access.base].map_or((0, 0), |h| (h.buffer, h.start)),
        };
        (buffer, access.shift, start + access.start)
    }

    /// The pack of some matrices.
    fn pack(&mut self, k: usize, n: usize, parts: Vec<PackPart>) -> usize {
        let packs = &mut self.packs;
        let known = self.known_packs.entry(parts);
        *known.or_insert_with_key(|parts| {
            let parts = parts.clone();
            let laned = parts.iter().any(|p| self.buffers[p.matrix.buffer].laned);
            packs.push(Pack { k, n, parts, laned });
            packs.len() - 1
        })
    }
}
