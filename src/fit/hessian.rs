//! The Hessian of a loss, from its products with unit vectors.

use ndarray::{Array1, Array2, ArrayD, Axis};

use super::gradients;
use super::objective::{Objective, pack};
use crate::error::{Error, Result};
use crate::recurrence::{Outputs, Params};

/// The symmetric Hessian of a loss. Its rows and columns are the entries of the parameters in the gradient, one array
/// after the other.
///
/// # Errors
/// If it cannot be evaluated; [`Error::NameClash`] if the direction of one parameter has the name of another
/// parameter.
pub fn hessian(params: &Params<f64>, objective: &mut impl Objective) -> Result<Array2<f64>> {
    let here = objective.gradient(params)?;
    curvature(params, &here, objective)
}

/// The Hessian, with entries in the order of a gradient.
pub(super) fn curvature(
    params: &Params<f64>,
    order: &Outputs<f64>,
    objective: &mut impl Objective,
) -> Result<Array2<f64>> {
    let names: Vec<(String, Vec<usize>)> = gradients(order)
        .map(|(name, a)| (name.to_owned(), a.shape().to_vec()))
        .collect();
    // The array of the direction, and the entry in it, of each column.
    let mut places: Vec<(String, usize)> = Vec::new();
    for (name, shape) in &names {
        let entries = 0..shape.iter().product();
        places.extend(entries.map(|entry| (objective.direction(name), entry)));
    }
    let n = places.len();
    let several = objective.directions(n);
    let block = several.unwrap_or(1).max(1);
    let mut along = params.clone();
    for (name, shape) in &names {
        let direction = objective.direction(name);
        if params.get(&direction).is_some() {
            return Err(Error::NameClash {
                first: "a parameter".into(),
                second: format!("the direction of `{name}`; define `Objective::direction`"),
                name: direction,
            });
        }
        let axes = several.iter().chain(shape).copied();
        along.insert(&direction, ArrayD::<f64>::zeros(axes.collect::<Vec<_>>()));
    }
    let mut columns = Vec::new();
    for some in places.chunks(block) {
        let set = |along: &mut Params<f64>, value: f64| {
            for (lane, (direction, entry)) in some.iter().enumerate() {
                let array = along.get_mut(direction);
                let entry = array.and_then(|a| {
                    let len = a.len() / block;
                    a.iter_mut().nth(lane * len + entry)
                });
                entry.into_iter().for_each(|x| *x = value);
            }
        };
        set(&mut along, 1.0);
        let found = objective.hessian_vector(&along)?;
        set(&mut along, 0.0);
        columns.extend((0..some.len()).map(|lane| column(&found, several.map(|_| lane))));
    }
    // The two triangles agree up to rounding.
    let entry = |(i, j): (usize, usize)| 0.5 * (columns[j][i] + columns[i][j]);
    Ok(Array2::from_shape_fn((n, n), entry))
}

/// A column of the Hessian: a product with it, or one of several.
fn column(products: &Outputs<f64>, lane: Option<usize>) -> Array1<f64> {
    let Some(lane) = lane else {
        return pack(products);
    };
    let own =
        gradients(products).flat_map(|(_, a)| a.index_axis(Axis(0), lane).into_iter().copied());
    own.collect()
}
