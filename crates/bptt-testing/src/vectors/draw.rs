//! Draws test vectors.

use bptt::data::Array;
use bptt::{Error, Rate, Recurrence, Result, Role};
use indexmap::IndexMap;
use ndarray::{Array1, Array2, ArrayD, arr0};

use super::arrangement::{Arrangement, Meaning};
use super::layout::Layout;
use super::vector::{Vector, Vectors, bound_of, path_of};
use crate::expected::WIDER;
use crate::{Case, Cases, Expected, Precision, Quantity, Reference};

impl Vectors {
    /// Draws data and computes the expected numbers: loss, outputs, gradients, tangents and Hessian products, and bounds
    /// on rounding errors. The same arguments give the same bits on every machine.
    ///
    /// # Errors
    /// If the recurrence has no loss or no cell of the layout, or no data was found on which it is finite.
    pub fn draw(cases: &Cases<'_>, count: usize, seed: u64, layout: Layout) -> Result<Self> {
        let recurrence = cases.recurrence();
        let arrangement = Arrangement::of(recurrence, layout)?;
        let reference = Reference::new(recurrence, true)?;
        let draw = |number| {
            let case = cases.draw(seed_of(seed, number))?;
            let expected = reference.expect(&case)?;
            vector(number, recurrence, &arrangement, &case, &expected)
        };
        Ok(Self {
            recurrence: recurrence.name().into(),
            // A custom op has no text.
            source: recurrence.source().unwrap_or_default(),
            layout,
            precision: cases.numbers_in(),
            seed,
            vectors: (0..count).map(draw).collect::<Result<_>>()?,
        })
    }
}

fn vector(
    number: usize,
    recurrence: &Recurrence,
    arrangement: &Arrangement,
    case: &Case,
    expected: &Expected,
) -> Result<Vector> {
    let mut arrays = IndexMap::new();
    for (dim, size) in &case.sizes {
        arrays.insert(
            format!("sizes/{dim}"),
            Array::Int(arr0(whole(*size)).into_dyn()),
        );
    }
    let lengths: Array1<i64> = case.lengths().into_iter().map(whole).collect();
    let lengths = Array::Int(lengths.into_dyn());
    arrays.insert("lengths".into(), lengths.clone());
    let params = arrangement.arrays(Meaning::Part, &|name| case.params.get(name))?;
    one_size(recurrence, arrangement, &params)?;
    for (name, array) in params {
        arrays.insert(format!("params/{name}"), stored(array, case.precision));
    }
    for (name, array) in arrangement.arrays(Meaning::Part, &|name| case.batch.get(name))? {
        arrays.insert(format!("inputs/{name}"), stored(array, case.precision));
    }
    for leaf in recurrence.tape().leaves() {
        let classes = case.batch.classes(leaf.name());
        if let (Role::Input, Some(classes)) = (leaf.role(), classes) {
            let numbers = classes.mapv(whole);
            let array = Array::Int(arrangement.axes(numbers.view(), leaf.ty().rate));
            arrays.insert(format!("inputs/{}", leaf.name()), array);
        }
    }
    if let Some(name) = arrangement.lengths() {
        arrays.insert(format!("inputs/{name}"), lengths);
    }
    if let Some(name) = arrangement.mask() {
        arrays.insert(format!("inputs/{name}"), Array::Bool(mask(case).into_dyn()));
    }
    for (name, array) in arrangement.arrays(Meaning::Part, &|name| case.direction.get(name))? {
        arrays.insert(format!("direction/{name}"), stored(array, case.precision));
    }
    let mut bounds = Vec::new();
    for quantity in Quantity::ALL {
        match quantity {
            Quantity::Gradient | Quantity::HessianVector => {
                let of = |name: &str| expected.get(quantity, name);
                let value = |name: &str| of(name).map(|bounded| &bounded.value);
                for (name, array) in arrangement.arrays(Meaning::Derivative, &value)? {
                    arrays.insert(path_of(quantity, &name), Array::F64(array));
                }
                for (name, bound) in arrangement.bounds(&|name| Some(of(name)?.bound)) {
                    bounds.push((path_of(quantity, &name), bound));
                }
            }
            _ => {
                for (_, name, bounded) in expected.iter().filter(|(q, ..)| *q == quantity) {
                    let defined = defined(&bounded.value, bounded.rate, &case.lengths());
                    let array = arrangement.axes(defined.view(), bounded.rate);
                    arrays.insert(path_of(quantity, name), Array::F64(array));
                    bounds.push((path_of(quantity, name), bounded.bound));
                }
            }
        }
    }
    for (precision, factor) in factors(case.precision) {
        for (path, bound) in &bounds {
            let bound = Array::F64(arr0(bound * factor).into_dyn());
            arrays.insert(bound_of(precision, path), bound);
        }
    }
    Ok(Vector { number, arrays })
}

/// Refuses layers of different sizes where a library has one size for all.
fn one_size(
    recurrence: &Recurrence,
    arrangement: &Arrangement,
    params: &[(String, ArrayD<f64>)],
) -> Result<()> {
    let of_states = params
        .iter()
        .filter(|(name, _)| arrangement.has_one_size(name));
    let mut shapes: Vec<&[usize]> = of_states.map(|(_, array)| array.shape()).collect();
    shapes.dedup();
    match shapes[..] {
        [first, second, ..] => {
            let dims: Vec<&str> = recurrence.tape().dims().collect();
            Err(Error::Array {
                reason: format!(
                    "the layers of `{}` have the sizes {} and {}, expected one size for all layers; fix those sizes among {}, \
                     such as {}=3,{}=3",
                    recurrence.name(),
                    first[1],
                    second[1],
                    dims.join(", "),
                    dims.first().unwrap_or(&"H"),
                    dims.get(1).unwrap_or(&"G"),
                ),
            })
        }
        _ => Ok(()),
    }
}

/// The factors from the bounds of a precision to those of both; they are powers of two.
const fn factors(precision: Precision) -> [(Precision, f64); 2] {
    match precision {
        Precision::F64 => [(Precision::F64, 1.0), (Precision::F32, WIDER)],
        Precision::F32 => [(Precision::F64, 1.0 / WIDER), (Precision::F32, 1.0)],
    }
}

fn whole(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(-1)
}

/// The numbers in the type in which they are exact.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the numbers of a case are exact in its precision"
)]
fn stored(array: ArrayD<f64>, precision: Precision) -> Array {
    match precision {
        Precision::F64 => Array::F64(array),
        Precision::F32 => Array::F32(array.mapv(|x| x as f32)),
    }
}

/// The array with NaN beyond the length of each sample, where outputs are not defined.
fn defined(array: &ArrayD<f64>, rate: Rate, lengths: &[usize]) -> ArrayD<f64> {
    let mut array = array.clone();
    if rate == Rate::Step {
        for (index, x) in array.indexed_iter_mut() {
            if lengths
                .get(index[1])
                .is_some_and(|length| index[0] >= *length)
            {
                *x = f64::NAN;
            }
        }
    }
    array
}

/// `[B, T]`: true at the steps of each sample.
fn mask(case: &Case) -> Array2<bool> {
    let lengths = case.lengths();
    Array2::from_shape_fn((lengths.len(), case.batch.steps()), |(b, t)| t < lengths[b])
}

/// The seed of the case of a vector. It is part of the format.
const fn seed_of(seed: u64, number: usize) -> u64 {
    seed.wrapping_mul(1_000_003).wrapping_add(number as u64)
}
