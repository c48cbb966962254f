//! Data checked against a recurrence before anything is computed.

use ndarray::{ArrayD, Dimension, IxDyn};

use super::data::Data;
use super::{Batch, Params, Recurrence};
use crate::error::{Error, Result};
use crate::op::{Scalar, Value};
use crate::shape::{Dim, Kind, Rate};
use crate::tape::{Leaf, Role};

/// Data that fits its recurrence.
#[derive(Debug)]
pub(crate) struct Bound<'a, F> {
    recurrence: &'a Recurrence,
    params: &'a Params<F>,
    batch: &'a Batch<F>,
    sizes: Vec<usize>,
}

impl<F: Scalar> Bound<'_, F> {
    /// The sizes of the named dimensions.
    pub(crate) fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    pub(crate) fn lengths(&self) -> Vec<usize> {
        self.batch.lengths()
    }

    /// The value of a leaf for one sample and step, as far as it varies with them.
    pub(crate) fn value(&self, leaf: usize, sample: usize, step: usize) -> Value<F> {
        let leaf = &self.recurrence.tape.leaves()[leaf];
        let missing = "bound data has an array for every leaf";
        if leaf.role == Role::Parameter {
            return Value::Real(self.params.get(&leaf.name).expect(missing).clone());
        }
        let index: &[usize] = match leaf.ty.rate {
            Rate::Step => &[step, sample],
            Rate::Sample => &[sample],
            Rate::Static => &[],
        };
        match self.batch.inputs.get(&*leaf.name).expect(missing) {
            Data::Class(a) => Value::Class(a[IxDyn(index)]),
            Data::Real(a) => {
                let view = index
                    .iter()
                    .fold(a.view(), |v, i| v.index_axis_move(ndarray::Axis(0), *i));
                Value::Real(view.to_owned())
            }
        }
    }
}

impl Recurrence {
    /// Checks data against the recurrence and reads the sizes off it.
    pub(crate) fn bind<'a, F: Scalar>(
        &'a self,
        params: &'a Params<F>,
        batch: &'a Batch<F>,
    ) -> Result<Bound<'a, F>> {
        batch.check()?;
        let unknown = |what, name: &String, known: Vec<&str>| Error::UnknownName {
            what,
            name: name.clone(),
            known: known.into_iter().map(Into::into).collect(),
        };
        if let Some(name) = params
            .arrays
            .keys()
            .find(|n| !self.parameters().any(|p| p == **n))
        {
            return Err(unknown("parameter", name, self.parameters().collect()));
        }
        if let Some(name) = batch
            .inputs
            .keys()
            .find(|n| !self.inputs().any(|p| p == **n))
        {
            return Err(unknown("input", name, self.inputs().collect()));
        }
        if let Some(name) = batch
            .sizes
            .keys()
            .find(|n| !self.tape.dims().any(|d| d == **n))
        {
            return Err(unknown("dimension", name, self.tape.dims().collect()));
        }
        for (dim, size) in &batch.sizes {
            if Dim::is_too_large(*size) {
                return Err(Error::Batch {
                    reason: format!("dimension {dim} is {size}, which is too large"),
                });
            }
        }
        let sizes = Sizes::solve(self, params, batch, false)?.finish()?;
        self.check_extent(&sizes, batch.steps, batch.samples)?;
        let bound = Bound {
            recurrence: self,
            params,
            batch,
            sizes,
        };
        for leaf in self.tape.leaves() {
            bound.check_entries(leaf)?;
        }
        Ok(bound)
    }

    /// The sizes of the dimensions, in order of declaration, from sizes given by name.
    pub(crate) fn sizes_of(&self, sizes: &[(&str, usize)]) -> Result<Vec<usize>> {
        let known = || self.tape.dims().map(Into::into).collect();
        if let Some((name, _)) = sizes
            .iter()
            .find(|(n, _)| !self.tape.dims().any(|d| d == *n))
        {
            return Err(Error::UnknownName {
                what: "dimension",
                name: (*name).into(),
                known: known(),
            });
        }
        let size = |dim: &str| match sizes.iter().find(|(n, _)| *n == dim) {
            None => Err(Error::UnknownSize { dim: dim.into() }),
            Some((_, 0)) => Err(Error::ZeroSize {
                dim: dim.into(),
                array: "the sizes given".into(),
            }),
            Some((_, size)) if Dim::is_too_large(*size) => Err(Error::Batch {
                reason: format!("dimension {dim} is {size}, which is too large"),
            }),
            Some((_, size)) => Ok(*size),
        };
        let sizes: Vec<usize> = self.tape.dims().map(size).collect::<Result<_>>()?;
        self.check_extent(&sizes, 1, 1)?;
        Ok(sizes)
    }

    /// The sizes of the named dimensions that some data determines, be it complete or not.
    ///
    /// ```
    /// use bptt::{Batch, Params, cells::{Cell, Loss}};
    /// let rnn = Cell::rnn().model("rnn", Loss::SquaredError)?;
    /// let batch = Batch::<f64>::new(5, 1).with("x", ndarray::Array3::zeros((5, 1, 2)));
    /// assert_eq!(rnn.known_sizes(&Params::new(), &batch)?, [("K", 2)]);
    /// # Ok::<(), bptt::Error>(())
    /// ```
    ///
    /// # Errors
    /// When an array has the wrong shape, or two disagree.
    pub fn known_sizes<F: Scalar>(
        &self,
        params: &Params<F>,
        batch: &Batch<F>,
    ) -> Result<Vec<(&str, usize)>> {
        let known = Sizes::solve(self, params, batch, true)?.known;
        let sizes = self.tape.dims().zip(known);
        Ok(sizes
            .filter_map(|(dim, size)| Some((dim, size?.0)))
            .collect())
    }

    /// Refuses sizes for which some value would have more entries than can be counted.
    fn check_extent(&self, sizes: &[usize], steps: usize, samples: usize) -> Result<()> {
        for (id, node) in self.tape.nodes() {
            let shape = node.ty.shape.values(sizes);
            let places: &[usize] = match node.ty.rate {
                Rate::Static => &[],
                Rate::Sample => &[samples],
                Rate::Step => &[steps, samples],
            };
            let bytes = places
                .iter()
                .chain(&shape)
                .try_fold(size_of::<f64>(), |all, n| all.checked_mul(*n));
            let fits = bytes.is_some_and(|b| isize::try_from(b).is_ok());
            if !fits || shape.iter().any(|n| Dim::is_too_large(*n)) {
                return Err(Error::Batch {
                    reason: format!(
                        "`{}` would have shape {shape:?} at {steps} steps of {samples} samples, \
                         which is too large",
                        self.tape.expression(id)
                    ),
                });
            }
        }
        Ok(())
    }
}

/// The shape that data for a leaf should have, in words.
fn expected_shape(recurrence: &Recurrence, leaf: &Leaf) -> String {
    let names = recurrence.tape.dim_names();
    let own: Vec<String> = leaf
        .ty
        .shape
        .dims()
        .iter()
        .map(|d| d.text(&names))
        .collect();
    let outer: &[&str] = match leaf.ty.rate {
        Rate::Static => &[],
        Rate::Sample => &["B"],
        Rate::Step => &["T", "B"],
    };
    let all: Vec<String> = outer.iter().map(|s| (*s).to_owned()).chain(own).collect();
    format!("[{}]", all.join(", "))
}

/// The sizes of the named dimensions, as they become known.
struct Sizes<'a, F> {
    recurrence: &'a Recurrence,
    params: &'a Params<F>,
    batch: &'a Batch<F>,
    /// The size of each dimension and the array that fixed it.
    known: Vec<Option<(usize, String)>>,
    /// Whether arrays may be missing.
    partial: bool,
}

impl<'a, F: Scalar> Sizes<'a, F> {
    fn solve(
        recurrence: &'a Recurrence,
        params: &'a Params<F>,
        batch: &'a Batch<F>,
        partial: bool,
    ) -> Result<Self> {
        let given = |name: &str| Some((*batch.sizes.get(name)?, "Batch::size".to_owned()));
        let known = recurrence.tape.dims().map(given).collect();
        let mut sizes = Self {
            recurrence,
            params,
            batch,
            known,
            partial,
        };
        // A sum of names is solved for its last unknown, so passes repeat until nothing is learnt.
        loop {
            let before = sizes.known.iter().flatten().count();
            for leaf in recurrence.tape.leaves() {
                sizes.learn(leaf)?;
            }
            if sizes.known.iter().flatten().count() == before {
                return Ok(sizes);
            }
        }
    }

    fn finish(self) -> Result<Vec<usize>> {
        let names = self.recurrence.tape.dims();
        self.known
            .into_iter()
            .zip(names)
            .map(|(known, dim)| match known {
                Some((0, array)) => Err(Error::ZeroSize {
                    dim: dim.into(),
                    array,
                }),
                Some((size, _)) => Ok(size),
                None => Err(Error::UnknownSize { dim: dim.into() }),
            })
            .collect()
    }

    fn learn(&mut self, leaf: &Leaf) -> Result<()> {
        let (what, found) = match leaf.role {
            Role::Parameter => ("parameter", self.params.get(&leaf.name).map(ArrayD::shape)),
            Role::Input => ("input", self.batch.inputs.get(&*leaf.name).map(Data::shape)),
        };
        let name = leaf.name.to_string();
        let expected = || expected_shape(self.recurrence, leaf);
        let Some(found) = found else {
            if self.partial {
                return Ok(());
            }
            return Err(Error::Missing {
                what,
                name,
                expected: expected(),
            });
        };
        let outer: &[usize] = match leaf.ty.rate {
            Rate::Static => &[],
            Rate::Sample => &[self.batch.samples],
            Rate::Step => &[self.batch.steps, self.batch.samples],
        };
        let dims = leaf.ty.shape.dims();
        if found.len() != outer.len() + dims.len() || found[..outer.len()] != *outer {
            let expected = match leaf.ty.rate {
                Rate::Static => expected(),
                _ => format!(
                    "{} with T = {}, B = {}",
                    expected(),
                    self.batch.steps,
                    self.batch.samples
                ),
            };
            return Err(Error::ArrayShape {
                what,
                name,
                expected,
                found: found.into(),
            });
        }
        let axes: Vec<(Dim, usize)> = dims
            .iter()
            .copied()
            .zip(found[outer.len()..].iter().copied())
            .collect();
        let whole = found.to_vec();
        for (dim, size) in axes {
            self.unify(dim, size, &name).map_err(|error| match error {
                Error::ArrayShape { .. } => {
                    let expected = expected_shape(self.recurrence, leaf);
                    Error::ArrayShape {
                        what,
                        name: name.clone(),
                        expected,
                        found: whole.clone(),
                    }
                }
                other => other,
            })?;
        }
        Ok(())
    }

    /// Makes one axis agree with what is known.
    fn unify(&mut self, dim: Dim, size: usize, array: &str) -> Result<()> {
        let mismatch = || Error::ArrayShape {
            what: "",
            name: String::new(),
            expected: String::new(),
            found: Vec::new(),
        };
        let mut rest = size.checked_sub(dim.constant());
        let mut unknown = None;
        for (symbol, coefficient) in dim.named_terms() {
            match &self.known[symbol.index()] {
                Some((value, _)) => {
                    let part = value.checked_mul(coefficient);
                    rest = rest.zip(part).and_then(|(r, p)| r.checked_sub(p));
                }
                None if unknown.is_none() => unknown = Some((symbol, coefficient)),
                // With two unknowns, another array has to come first.
                None => return Ok(()),
            }
        }
        match (unknown, rest) {
            (Some((symbol, coefficient)), Some(rest)) if rest % coefficient == 0 => {
                self.known[symbol.index()] = Some((rest / coefficient, array.into()));
                Ok(())
            }
            (None, Some(0)) => Ok(()),
            _ => Err(self.conflict(dim, size, array).unwrap_or_else(mismatch)),
        }
    }

    /// A disagreement about a single name says who said what.
    fn conflict(&self, dim: Dim, size: usize, array: &str) -> Option<Error> {
        let (symbol, 1) = dim.named_terms().next()? else {
            return None;
        };
        if dim != Dim::named(symbol) {
            return None;
        }
        let (first, first_array) = self.known[symbol.index()].clone()?;
        Some(Error::DimConflict {
            dim: dim.text(&self.recurrence.tape.dim_names()),
            first_array,
            first,
            second_array: array.into(),
            second: size,
        })
    }
}

impl<F: Scalar> Bound<'_, F> {
    /// Refuses numbers that are not finite and classes out of range, within the lengths.
    fn check_entries(&self, leaf: &Leaf) -> Result<()> {
        let name = leaf.name.to_string();
        if leaf.role == Role::Parameter {
            let array = self.params.get(&leaf.name);
            return array.map_or(Ok(()), |a| finite("parameter", &name, a, |_| true));
        }
        let lengths = self.lengths();
        let inside = |index: &[usize]| match leaf.ty.rate {
            Rate::Step => index[0] < lengths[index[1]],
            _ => true,
        };
        let Some(data) = self.batch.inputs.get(&*leaf.name) else {
            return Ok(());
        };
        match (leaf.ty.kind, data) {
            (Kind::Real, Data::Real(array)) => finite("input", &name, array, inside),
            (Kind::Class(count), Data::Class(array)) => {
                let classes = count.value(&self.sizes);
                let outside = array.indexed_iter().find(|(i, c)| {
                    **c >= classes && inside(i.as_array_view().as_slice().unwrap_or(&[]))
                });
                match outside {
                    Some((index, value)) => Err(Error::ClassOutOfRange {
                        name,
                        index: index.as_array_view().to_vec(),
                        value: *value,
                        classes,
                    }),
                    None => Ok(()),
                }
            }
            (Kind::Real, Data::Class(_)) => Err(Error::ArrayKind {
                name,
                expected: "real numbers",
                found: "classes",
            }),
            (Kind::Class(_), Data::Real(_)) => Err(Error::ArrayKind {
                name,
                expected: "classes",
                found: "real numbers",
            }),
        }
    }
}

fn finite<F: Scalar>(
    what: &'static str,
    name: &str,
    array: &ArrayD<F>,
    inside: impl Fn(&[usize]) -> bool,
) -> Result<()> {
    let bad = array
        .indexed_iter()
        .map(|(i, x)| (i.as_array_view().to_vec(), *x))
        .find(|(i, x)| !x.is_finite() && inside(i));
    match bad {
        Some((index, value)) => Err(Error::NonFiniteData {
            what,
            name: name.into(),
            index,
            value: value.to_f64(),
        }),
        None => Ok(()),
    }
}
