//! Tools shared by several test binaries, and data for a recurrence from a seed.
#![allow(dead_code, reason = "each test binary uses a part of this")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

pub(crate) mod engines;
pub(crate) mod fits;
pub(crate) mod folder;
pub(crate) mod library;
pub(crate) mod lines;
pub(crate) mod names;
pub(crate) mod packing;
pub(crate) mod page;
pub(crate) mod random;
pub(crate) mod rows;
pub(crate) mod shorthand;
pub(crate) mod sources;
pub(crate) mod terms;
pub(crate) mod user;
pub(crate) mod without_steps;

use bptt::{Batch, Kind, Params, Rate, Recurrence, Role};
use ndarray::ArrayD;

/// Numbers from a seed.
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    pub(crate) fn bits(&mut self) -> u64 {
        let mut noise = bptt::Noise(self.0);
        let bits = noise.bits();
        self.0 = noise.0;
        bits
    }

    /// A number in [−1, 1) that is at least 0.1 away from zero.
    pub(crate) fn number(&mut self) -> f64 {
        let x = (self.bits() >> 11) as f64 / (1u64 << 52) as f64 - 1.0;
        x * 0.9 + 0.1f64.copysign(x)
    }

    pub(crate) fn array(&mut self, shape: &[usize]) -> ArrayD<f64> {
        ArrayD::from_shape_simple_fn(shape, || self.number())
    }
}

/// Random parameters and inputs for the given sizes of the named dimensions.
pub(crate) fn instance(
    recurrence: &Recurrence,
    sizes: &[(&str, usize)],
    lengths: &[usize],
    seed: u64,
) -> (Params<f64>, Batch<f64>) {
    let mut noise = Noise(seed);
    let tape = recurrence.tape();
    let dims: Vec<usize> = tape
        .dims()
        .map(|d| {
            sizes
                .iter()
                .find(|(name, _)| *name == d)
                .expect("a size for each dimension")
                .1
        })
        .collect();
    let steps = *lengths.iter().max().expect("a sample");
    let mut params = Params::new();
    let mut batch = Batch::new(steps, lengths.len()).with_lengths(lengths);
    for leaf in tape.leaves() {
        let mut shape = match leaf.ty().rate {
            Rate::Static => vec![],
            Rate::Sample => vec![lengths.len()],
            Rate::Step => vec![steps, lengths.len()],
        };
        shape.extend(leaf.ty().shape.dims().iter().map(|d| d.value_at(&dims)));
        match (leaf.ty().kind, leaf.role()) {
            (Kind::Class(n), _) => {
                let n = n.value_at(&dims) as u64;
                let classes = ArrayD::from_shape_simple_fn(shape, || {
                    usize::try_from(noise.bits() % n).expect("a class fits")
                });
                batch = batch.with_classes(leaf.name(), classes);
            }
            (Kind::Real, Role::Parameter) => params.insert(leaf.name(), noise.array(&shape)),
            (Kind::Real, Role::Input) => {
                let classes = leaf.classes().map(|n| n.value_at(&dims) as u64);
                let array = match classes {
                    Some(n) => noise.array(&shape).mapv(|x| (x.to_bits() % n) as f64),
                    None => noise.array(&shape),
                };
                batch = batch.with(leaf.name(), array);
            }
        }
    }
    (params, batch)
}
