//! Fits over inputs: controls of a plant, or a path that nobody has observed.

use ndarray::{ArrayD, Dimension};

use crate::error::{Error, Result};
use crate::op::Scalar;
use crate::recurrence::{Batch, Params, Recurrence, check_room};
use crate::shape::{Dim, Rate};
use crate::tape::{Leaf, Role};

/// The data of a run of which some arrays are unknown, made by [`over`]. [`with`](Self::with) fills them in.
#[derive(Clone, Debug, PartialEq)]
pub struct Known<F> {
    params: Params<F>,
    batch: Batch<F>,
}

/// Divides the data of a recurrence into the arrays that a fit changes and those that it keeps.
///
/// The `names` are those of parameters and of real inputs, per step or per sample. Their arrays are returned as one
/// [`Params`], which any [`Optimizer`](super::Optimizer) and [`Newton`](super::Newton) change; the [`Known`] holds
/// all others. An input that the batch does not have starts at zero.
///
/// ```
/// use bptt::fit::{Adam, over};
/// use bptt::{Batch, Params, Recurrence};
/// use ndarray::{Array2, array};
///
/// // Find the forces that bring a point to rest at 0.
/// let point = Recurrence::parse("point.rec", "
///     input force
///     sample input x0, v0
///     state x = x0, v = v0
///     x' = x + 0.1 * v'
///     v' = v + 0.1 * force
///     loss 0.01 * force^2
///     final loss 100 * (x'^2 + v'^2)
/// ")?;
/// let batch = Batch::new(20, 1).with("x0", array![1.0]).with("v0", array![0.0]);
/// let (mut known, mut forces) = over(&point, &["force"], &Params::new(), &batch)?;
/// assert_eq!(forces["force"], Array2::<f64>::zeros((20, 1)).into_dyn());
///
/// let gradient = point.gradient(&["force"])?;
/// let mut adam = Adam::new(0.1);
/// let mut losses = Vec::new();
/// for _ in 0..200 {
///     let (params, batch) = known.with(&gradient, &forces)?;
///     let found = gradient.evaluate(params, batch)?;
///     losses.push(found.loss()?);
///     adam.step(&mut forces, &found)?;
/// }
/// assert!(losses[199] < 0.05 * losses[0], "{}", losses[199]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// When a name is no parameter and no input, or is given twice; when it is a class or a mask; when an input that
/// the batch does not have has a size that no array determines; when a parameter is missing; when a start is not
/// finite.
pub fn over<F: Scalar>(
    recurrence: &Recurrence,
    names: &[&str],
    params: &Params<F>,
    batch: &Batch<F>,
) -> Result<(Known<F>, Params<F>)> {
    let mut unknown = Params::new();
    for name in names {
        if unknown.get(name).is_some() {
            let (what, name) = ("parameter or input", (*name).into());
            return Err(Error::Repeated { what, name });
        }
        let leaf = leaf(recurrence, name)?;
        let given = match leaf.role() {
            Role::Parameter => params.get(name),
            Role::Input => batch.get(name),
        };
        let array = match (given, leaf.role()) {
            (Some(array), _) => array.clone(),
            (None, Role::Input) => zeros(recurrence, leaf, params, batch)?,
            (None, Role::Parameter) => {
                return Err(Error::Missing {
                    what: "parameter",
                    name: (*name).into(),
                    expected: leaf.ty().shape.text(&recurrence.tape().dim_names()),
                });
            }
        };
        if let Some((index, x)) = array.indexed_iter().find(|(_, x)| !x.is_finite()) {
            return Err(Error::NonFiniteData {
                what: match leaf.role() {
                    Role::Parameter => "parameter",
                    Role::Input => "input",
                },
                name: (*name).into(),
                index: index.as_array_view().to_vec(),
                value: Scalar::to_f64(*x),
            });
        }
        unknown.insert(name, array);
    }
    let known = Known {
        params: params.clone(),
        batch: batch.clone(),
    };
    Ok((known, unknown))
}

impl<F: Scalar> Known<F> {
    /// The data of a run of `recurrence` with these arrays for the unknown ones: parameters and inputs, and also the
    /// directions of a [`hessian_vector`](Recurrence::hessian_vector). The data keep the arrays for the next call, so
    /// each derived recurrence with names of its own needs a clone of `self`.
    ///
    /// # Errors
    /// When an array has the name of no parameter and no input of `recurrence`.
    pub fn with(
        &mut self,
        recurrence: &Recurrence,
        arrays: &Params<F>,
    ) -> Result<(&Params<F>, &Batch<F>)> {
        for (name, array) in arrays.iter() {
            let role = leaf(recurrence, name)?.role();
            let place = match role {
                Role::Parameter => self.params.get_mut(name),
                Role::Input => self.batch.get_mut(name),
            };
            match place {
                Some(place) if place.shape() == array.shape() => place.assign(array),
                _ => match role {
                    Role::Parameter => self.params.insert(name, array.clone()),
                    Role::Input => self.batch.insert(name, array.clone()),
                },
            }
        }
        Ok((&self.params, &self.batch))
    }

    /// The parameters, with the unknown ones as they were last filled in.
    #[must_use]
    pub const fn params(&self) -> &Params<F> {
        &self.params
    }

    /// The inputs, with the unknown ones as they were last filled in.
    #[must_use]
    pub const fn batch(&self) -> &Batch<F> {
        &self.batch
    }

    /// Converts to another type, with rounding if it is narrower.
    #[must_use]
    pub fn cast<G: Scalar>(&self) -> Known<G> {
        Known {
            params: self.params.cast(),
            batch: self.batch.cast(),
        }
    }
}

/// The parameter or the real input of this name.
fn leaf<'r>(recurrence: &'r Recurrence, name: &str) -> Result<&'r Leaf> {
    let tape = recurrence.tape();
    let Some(leaf) = tape.leaf_named(name) else {
        return Err(Error::UnknownName {
            what: "parameter or input",
            name: name.into(),
            known: tape.leaves().iter().map(|l| l.name().into()).collect(),
        });
    };
    let reason = match leaf.ty().is_real() && leaf.classes().is_none() {
        false => "it is a class, not a real number",
        true if tape.masks().any(|mask| **mask == *name) => "it is a mask",
        true => return Ok(leaf),
    };
    Err(Error::NotDifferentiable {
        name: name.into(),
        reason: reason.into(),
    })
}

/// Zeros in the shape of an input.
fn zeros<F: Scalar>(
    recurrence: &Recurrence,
    leaf: &Leaf,
    params: &Params<F>,
    batch: &Batch<F>,
) -> Result<ArrayD<F>> {
    let known = recurrence.known_sizes(params, batch)?;
    let mut sizes = Vec::new();
    for dim in recurrence.tape().dims() {
        sizes.push(known.iter().find(|(name, _)| *name == dim).map(|(_, n)| *n));
    }
    let dims = leaf.ty().shape.dims();
    let mut mentioned = dims.iter().flat_map(Dim::named_terms);
    if let Some((symbol, _)) = mentioned.find(|(s, _)| sizes[s.index()].is_none()) {
        let names = recurrence.tape().dim_names();
        return Err(Error::UnknownSize {
            dim: names[symbol.index()].to_string(),
        });
    }
    let sizes: Vec<usize> = sizes.into_iter().map(|n| n.unwrap_or(0)).collect();
    let outer: &[usize] = match leaf.ty().rate {
        Rate::Step => &[batch.steps(), batch.samples()],
        _ => &[batch.samples()],
    };
    let shape = [outer, &leaf.ty().shape.values(&sizes)].concat();
    check_room::<F>(leaf.name(), &shape)?;
    Ok(ArrayD::zeros(shape))
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, arr0, array};

    use super::*;

    fn plant() -> Recurrence {
        let text = "dim N, M\nparam A[N, N], B[N, M], r\ninput u[M], kind: class(2)\nmask input on\n\
                    sample input s0[N]\nstate s[N] = s0\ns' = A @ s + B @ u\n\
                    loss r * dot(u, u) + dot(s', s') + one_hot(kind)[0]\n";
        Recurrence::parse("plant.rec", text).unwrap_or_else(|e| panic!("{e}"))
    }

    fn data() -> (Params<f64>, Batch<f64>) {
        let params = Params::new()
            .with("A", array![[1.0, 0.1], [0.0, 1.0]])
            .with("B", array![[0.0], [0.1]])
            .with("r", arr0(0.1));
        let batch = Batch::new(3, 1)
            .with("on", array![[1.0], [1.0], [1.0]])
            .with_classes("kind", array![[0_usize], [0], [0]])
            .with("s0", array![[1.0, 0.0]]);
        (params, batch)
    }

    #[test]
    fn inputs_and_parameters_go_where_they_belong() {
        let (plant, (params, batch)) = (plant(), data());
        let (mut known, mut found) = over(&plant, &["u", "r"], &params, &batch).unwrap();
        assert_eq!(found.get("u"), Some(&Array3::zeros((3, 1, 1)).into_dyn()));
        assert_eq!(found.get("r"), params.get("r"));
        found.insert("u", Array3::from_elem((3, 1, 1), 2.0));
        found.insert("r", arr0(0.5));
        let filled = params.clone().with("r", arr0(0.5));
        let driven = batch.clone().with("u", Array3::from_elem((3, 1, 1), 2.0));
        assert_eq!(known.with(&plant, &found).unwrap(), (&filled, &driven));
        // The directions of a product with the Hessian.
        let product = plant.hessian_vector(&["u", "r"]).unwrap();
        found.insert("u.dot", Array3::from_elem((3, 1, 1), 1.0));
        found.insert("r.dot", arr0(0.0));
        let (params, batch) = known.with(&product, &found).unwrap();
        assert_eq!(params.get("r.dot"), Some(&arr0(0.0).into_dyn()));
        assert!(batch.get("u.dot").is_some() && params.get("u.dot").is_none());
        product.evaluate(params, batch).unwrap();
    }

    #[test]
    fn other_names_are_refused() {
        let (plant, (params, batch)) = (plant(), data());
        let refused = |names: &[&str], params: &Params<f64>| {
            over(&plant, names, params, &batch).unwrap_err().to_string()
        };
        for (names, words) in [
            (&["s"][..], "no parameter or input named `s`"),
            (&["kind"], "it is a class"),
            (&["on"], "it is a mask"),
            (&["u", "u"], "`u` is given twice"),
        ] {
            let found = refused(names, &params);
            assert!(found.contains(words), "{found}");
        }
        let found = refused(&["r"], &Params::new());
        assert!(found.contains("parameter `r` is missing"), "{found}");
        let found = refused(&["u"], &Params::new());
        assert!(found.contains("M"), "{found}");
    }
}
