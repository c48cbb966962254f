//! Random data for certification.

use ndarray::ArrayD;

use crate::error::Result;
use crate::noise::Noise;
use crate::recurrence::{Batch, Initial, Params, Recurrence, check_room};
use crate::shape::{Kind, Rate};
use crate::tape::Role;

/// Random parameters and inputs for a recurrence: numbers with absolute values between 0.1 and 1, and one sequence of
/// each given length. A parameter that is one number with an initial value in the recurrence is drawn near it; an array near a
/// constant would hide entries that are exchanged.
///
/// ```
/// use bptt::{cells::{Cell, Loss}, check::{check, random_data}};
/// let gru = Cell::gru().model("gru", Loss::SquaredError)?;
/// let sizes = [("H", 3), ("K", 2), ("O", 4)];
/// let (params, batch) = random_data(&gru, &sizes, &[5, 3], 1)?;
/// assert!(check(&gru, &params, &batch)?.passed());
/// # Ok::<(), bptt::Error>(())
/// ```
///
/// # Errors
/// If a size is missing, given twice, of an unknown dimension, or too large for the memory.
pub fn random_data(
    recurrence: &Recurrence,
    sizes: &[(&str, usize)],
    lengths: &[usize],
    seed: u64,
) -> Result<(Params<f64>, Batch<f64>)> {
    let tape = recurrence.tape();
    let values = recurrence.sizes_of(sizes)?;
    let steps = lengths.iter().copied().max().unwrap_or(0);
    let mut noise = Noise(seed);
    let mut away_from_zero =
        |shape: &[usize]| noise.array(shape).mapv(|x| x * 0.9 + 0.1f64.copysign(x));
    let mut params = Params::new();
    let mut batch = Batch::new(steps, lengths.len()).with_lengths(lengths);
    for (dim, size) in tape.dims().zip(&values) {
        batch = batch.size(dim, *size);
    }
    for leaf in tape.leaves() {
        let mut shape = match leaf.ty().rate {
            Rate::Static => vec![],
            Rate::Sample => vec![lengths.len()],
            Rate::Step => vec![steps, lengths.len()],
        };
        shape.extend(leaf.ty().shape.values(&values));
        check_room::<f64>(leaf.name(), &shape)?;
        let mut numbers = away_from_zero(&shape);
        if let Some(count) = leaf.classes() {
            #[expect(clippy::cast_precision_loss, reason = "there are few classes")]
            let number = |class: usize| class as f64;
            numbers = classes(&numbers, count.value(&values)).mapv(number);
        }
        match (leaf.ty().kind, leaf.role(), recurrence.initial(leaf.name())) {
            (Kind::Class(n), ..) => {
                batch = batch.with_classes(leaf.name(), classes(&numbers, n.value(&values)));
            }
            (Kind::Real, Role::Parameter, Some(Initial::Constant(start)))
                if start != 0.0 && numbers.ndim() == 0 =>
            {
                params.insert(leaf.name(), numbers.mapv(|x| start * (1.0 + 0.1 * x)));
            }
            (Kind::Real, Role::Parameter, _) => params.insert(leaf.name(), numbers),
            (Kind::Real, Role::Input, _) => batch = batch.with(leaf.name(), numbers),
        }
    }
    Ok((params, batch))
}

/// Random class indices below `count`, seeded by the bits of each number.
fn classes(numbers: &ArrayD<f64>, count: usize) -> ArrayD<usize> {
    numbers.mapv(|x| Noise(x.to_bits()).below(count))
}
