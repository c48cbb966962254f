//! Reverse mode on the unrolled tape: the lower side of the square in `docs/architecture.md`.

use std::collections::HashMap;
use std::sync::Arc;

use super::unroll::UnrolledOutput;
use super::{LOSS, Unrolled, Wrt};
use crate::diff::reverse;
use crate::error::{Error, Result};
use crate::limit::check_memory;
use crate::op::{NodeId, Op};
use crate::shape::Rate;
use crate::tape::{Derived, Scope};

/// The size of a flat tape with its gradient, relative to the tape.
const REVERSE: usize = 4;

impl Unrolled {
    /// The gradient of the loss by reverse mode on the flat tape, with respect to parameters and inputs. The
    /// outputs are named as in [`Recurrence::gradient`](super::Recurrence::gradient).
    ///
    /// # Errors
    /// [`Error::NoLoss`], or when a name is not a differentiable leaf.
    pub fn gradient<'a>(&self, wrt: impl Into<Wrt<'a>>) -> Result<Self> {
        self.recurrence.loss()?;
        self.gradient_of(LOSS, wrt)
    }

    /// The gradient of any static scalar output.
    ///
    /// # Errors
    /// When the output does not exist, or a name is not a differentiable leaf.
    pub fn gradient_of<'a>(&self, output: &str, wrt: impl Into<Wrt<'a>>) -> Result<Self> {
        let root = self
            .outputs
            .iter()
            .find(|o| *o.name == *output && o.rate == Rate::Static && o.shape.is_empty())
            .ok_or_else(|| Error::UnknownName {
                what: "static scalar output",
                name: output.into(),
                known: self.recurrence.outputs().map(Into::into).collect(),
            })?;
        let targets = self.recurrence.targets(wrt.into())?;
        let mut wanted = Vec::new();
        for (name, node) in &targets {
            let Op::Leaf(leaf) = self.recurrence.tape.node(*node).op else {
                return Err(Error::NotDifferentiable {
                    name: name.to_string(),
                    reason: "reverse mode on the tape is for parameters and inputs".into(),
                });
            };
            wanted.push((Arc::clone(name), leaf.index()));
        }
        let bytes = self.bytes().and_then(|b| b.checked_mul(REVERSE));
        check_memory(bytes)?;
        let scope = Scope::new(self.tape.clone());
        let nodes: Vec<NodeId> = self.tape.leaves().iter().map(|l| l.node).collect();
        let found = reverse(&scope, root.nodes[0], &nodes)?;
        let positions: HashMap<_, usize> = self
            .leaves
            .iter()
            .enumerate()
            .map(|(i, place)| (*place, i))
            .collect();
        let mut outputs = vec![UnrolledOutput {
            name: LOSS.into(),
            role: None,
            ..root.clone()
        }];
        for (name, leaf) in wanted {
            let ty = self.recurrence.tape.leaves()[leaf].ty;
            let shape = ty.shape.values(&self.sizes);
            let at = |place: (usize, usize)| {
                let flat = positions.get(&(leaf, place.0, place.1));
                flat.and_then(|i| found.get(&nodes[*i]).copied())
                    .or_else(|| {
                        scope
                            .expr(root.nodes[0])
                            .full_like(0.0)
                            .spread(fixed(&shape))
                            .id()
                    })
            };
            let nodes = self
                .leaf_places(ty.rate)
                .into_iter()
                .filter_map(at)
                .collect();
            outputs.push(UnrolledOutput {
                role: Some(Derived::Cotangent(Arc::clone(&name))),
                name,
                rate: ty.rate,
                shape,
                nodes,
            });
        }
        let (tape, _) = scope.finish();
        let mut copy = Self {
            tape,
            outputs,
            ..self.clone()
        };
        copy.origins.resize(copy.tape.len(), None);
        Ok(copy)
    }

    /// The sample and step of each place of a leaf, samples first.
    fn leaf_places(&self, rate: Rate) -> Vec<(usize, usize)> {
        let samples = 0..self.lengths.len();
        match rate {
            Rate::Static => vec![(0, 0)],
            Rate::Sample => samples.map(|b| (b, 0)).collect(),
            Rate::Step => samples
                .flat_map(|b| (0..self.lengths[b]).map(move |t| (b, t)))
                .collect(),
        }
    }
}

fn fixed(shape: &[usize]) -> crate::shape::Shape {
    use crate::shape::{Dim, Shape};
    let dims: Vec<Dim> = shape.iter().map(|n| Dim::fixed(*n)).collect();
    Shape::from_dims(&dims).unwrap_or(Shape::Scalar)
}
