//! The flow of gradients through recurrences.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod lags;
mod lyapunov;
mod sensitivity;
mod story;
mod trajectory;

use bptt::{Batch, Noise, Params, Rate, Recurrence, Role};
use ndarray::ArrayD;

fn parse(text: &str) -> Recurrence {
    Recurrence::parse("test.rec", text).unwrap_or_else(|e| panic!("{e}"))
}

/// Random data for a recurrence, of this scale.
fn data(
    r: &Recurrence,
    sizes: &[(&str, usize)],
    extent: (usize, usize),
    scale: f64,
    seed: u64,
) -> (Params<f64>, Batch<f64>) {
    let mut noise = Noise(seed);
    let params = Params::from_fn(r, sizes, |_, shape| scale * noise.array(shape)).unwrap();
    let values: Vec<usize> = r
        .tape()
        .dims()
        .map(|d| sizes.iter().find(|(name, _)| *name == d).unwrap().1)
        .collect();
    let (steps, samples) = extent;
    let mut batch = Batch::new(steps, samples);
    for leaf in r
        .tape()
        .leaves()
        .iter()
        .filter(|leaf| leaf.role() == Role::Input)
    {
        let mut shape = match leaf.ty().rate {
            Rate::Step => vec![steps, samples],
            _ => vec![samples],
        };
        shape.extend(leaf.ty().shape.dims().iter().map(|n| n.value_at(&values)));
        let array: ArrayD<f64> = noise.array(&shape);
        match leaf.ty().kind {
            bptt::Kind::Class(n) => {
                let n = n.value_at(&values);
                batch = batch.with_classes(
                    leaf.name(),
                    ArrayD::from_shape_simple_fn(shape, || noise.below(n)),
                );
            }
            bptt::Kind::Real => batch.insert(leaf.name(), array),
        }
    }
    (params, batch)
}
