//! Data for a recurrence, checked against it before anything is computed.

use indexmap::IndexMap;
use ndarray::{Array, ArrayD, Dimension, IxDyn};

use super::Recurrence;
use crate::error::{Error, Result};
use crate::op::{Scalar, Value};
use crate::shape::{Dim, Kind, Rate};
use crate::tape::{Leaf, Role};

/// Parameters by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Params<F> {
    arrays: IndexMap<String, ArrayD<F>>,
}

impl<F: Scalar> Params<F> {
    /// No parameters yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            arrays: IndexMap::new(),
        }
    }

    /// An array for every parameter of a recurrence, made by `f` from its name and shape; `sizes`
    /// gives the named dimensions.
    ///
    /// ```
    /// use bptt::{Params, cells::{Cell, Loss}};
    /// let rnn = Cell::rnn().model("rnn", Loss::SquaredError)?;
    /// let sizes = [("K", 2), ("H", 4), ("O", 1)];
    /// let params = Params::from_fn(&rnn, &sizes, |name, shape| match name {
    ///     "W_H" => 0.5 * ndarray::Array2::eye(shape[0]).into_dyn(),
    ///     _ => ndarray::ArrayD::zeros(shape),
    /// })?;
    /// assert_eq!(params.get("W_X").map(|w| w.shape()), Some(&[4, 2][..]));
    /// # Ok::<(), bptt::Error>(())
    /// ```
    ///
    /// # Errors
    /// When a size is missing, or is of a dimension that does not exist. The arrays are checked
    /// when they are used.
    pub fn from_fn(
        recurrence: &Recurrence,
        sizes: &[(&str, usize)],
        mut f: impl FnMut(&str, &[usize]) -> ArrayD<F>,
    ) -> Result<Self> {
        let known: Vec<String> = recurrence.tape.dims().map(Into::into).collect();
        if let Some((name, _)) = sizes.iter().find(|(n, _)| !known.iter().any(|k| k == n)) {
            let name = (*name).into();
            return Err(Error::UnknownName {
                what: "dimension",
                name,
                known,
            });
        }
        let size = |dim: &String| sizes.iter().find(|(n, _)| n == dim).map(|(_, size)| *size);
        // Only the dimensions of parameters have to be known here.
        let values: Vec<usize> = known.iter().map(|d| size(d).unwrap_or(0)).collect();
        let mut params = Self::new();
        for leaf in recurrence.leaves(Role::Parameter) {
            let dims = leaf.ty.shape.dims();
            let mut mentioned = dims.iter().flat_map(Dim::named_terms);
            if let Some((symbol, _)) = mentioned.find(|(s, _)| size(&known[s.index()]).is_none()) {
                return Err(Error::UnknownSize {
                    dim: known[symbol.index()].clone(),
                });
            }
            params.insert(&leaf.name, f(&leaf.name, &leaf.ty.shape.values(&values)));
        }
        Ok(params)
    }

    /// Adds or replaces an array; its shape is that of the parameter.
    #[must_use]
    pub fn with<D: Dimension>(mut self, name: &str, array: Array<F, D>) -> Self {
        self.insert(name, array);
        self
    }

    /// Adds or replaces an array.
    pub fn insert<D: Dimension>(&mut self, name: &str, array: Array<F, D>) {
        self.arrays.insert(name.into(), array.into_dyn());
    }

    /// An array.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&ArrayD<F>> {
        self.arrays.get(name)
    }

    /// An array, to be changed in place.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut ArrayD<F>> {
        self.arrays.get_mut(name)
    }

    /// Every array with its name, in order of insertion.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &ArrayD<F>)> {
        self.arrays.iter().map(|(n, a)| (&**n, a))
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Data<F> {
    Real(ArrayD<F>),
    Class(ArrayD<usize>),
}

impl<F> Data<F> {
    fn shape(&self) -> &[usize] {
        match self {
            Self::Real(a) => a.shape(),
            Self::Class(a) => a.shape(),
        }
    }
}

/// The inputs of `B` sequences of up to `T` steps, time first: `[T, B, …]` for what varies with
/// the step, `[B, …]` for what is given once per sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch<F> {
    steps: usize,
    samples: usize,
    inputs: IndexMap<String, Data<F>>,
    lengths: Option<Vec<usize>>,
    sizes: IndexMap<String, usize>,
}

impl<F: Scalar> Batch<F> {
    /// A batch of `samples` sequences of `steps` steps, without inputs yet.
    #[must_use]
    pub fn new(steps: usize, samples: usize) -> Self {
        Self {
            steps,
            samples,
            inputs: IndexMap::new(),
            lengths: None,
            sizes: IndexMap::new(),
        }
    }

    /// Adds or replaces real data.
    #[must_use]
    pub fn with<D: Dimension>(mut self, name: &str, array: Array<F, D>) -> Self {
        self.inputs
            .insert(name.into(), Data::Real(array.into_dyn()));
        self
    }

    /// Adds or replaces classes.
    #[must_use]
    pub fn with_classes<D: Dimension>(mut self, name: &str, array: Array<usize, D>) -> Self {
        self.inputs
            .insert(name.into(), Data::Class(array.into_dyn()));
        self
    }

    /// The length of each sequence; what lies beyond is not looked at.
    #[must_use]
    pub fn with_lengths(mut self, lengths: impl Into<Vec<usize>>) -> Self {
        self.lengths = Some(lengths.into());
        self
    }

    /// Fixes a named dimension that no array determines.
    #[must_use]
    pub fn size(mut self, dim: &str, size: usize) -> Self {
        self.sizes.insert(dim.into(), size);
        self
    }

    /// The number of steps `T` of the longest sequence the arrays have room for.
    #[must_use]
    pub const fn steps(&self) -> usize {
        self.steps
    }

    /// The number of sequences `B`.
    #[must_use]
    pub const fn samples(&self) -> usize {
        self.samples
    }

    /// The real data of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&ArrayD<F>> {
        match self.inputs.get(name)? {
            Data::Real(a) => Some(a),
            Data::Class(_) => None,
        }
    }

    /// The real data of that name, to be changed in place.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut ArrayD<F>> {
        match self.inputs.get_mut(name)? {
            Data::Real(a) => Some(a),
            Data::Class(_) => None,
        }
    }

    /// The classes of that name.
    #[must_use]
    pub fn classes(&self, name: &str) -> Option<&ArrayD<usize>> {
        match self.inputs.get(name)? {
            Data::Class(a) => Some(a),
            Data::Real(_) => None,
        }
    }

    /// The length of each sequence.
    #[must_use]
    pub fn lengths(&self) -> Vec<usize> {
        self.lengths
            .clone()
            .unwrap_or_else(|| vec![self.steps; self.samples])
    }

    fn check(&self) -> Result<()> {
        let refuse = |reason: String| Err(Error::Batch { reason });
        if self.steps == 0 {
            return refuse("it has no steps (T = 0)".into());
        }
        if self.samples == 0 {
            return refuse("it has no samples (B = 0)".into());
        }
        let Some(lengths) = &self.lengths else {
            return Ok(());
        };
        if lengths.len() != self.samples {
            let found = lengths.len();
            return refuse(format!("expected {} lengths, found {found}", self.samples));
        }
        match lengths.iter().position(|l| *l == 0 || *l > self.steps) {
            Some(i) => refuse(format!(
                "the length of sample {i} is {}, expected 1 to {}",
                lengths[i], self.steps
            )),
            None => Ok(()),
        }
    }
}

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
        let sizes = Sizes::solve(self, params, batch)?.finish()?;
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
}

impl<'a, F: Scalar> Sizes<'a, F> {
    fn solve(
        recurrence: &'a Recurrence,
        params: &'a Params<F>,
        batch: &'a Batch<F>,
    ) -> Result<Self> {
        let given = |name: &str| Some((*batch.sizes.get(name)?, "Batch::size".to_owned()));
        let known = recurrence.tape.dims().map(given).collect();
        let mut sizes = Self {
            recurrence,
            params,
            batch,
            known,
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
                Some((value, _)) => rest = rest.and_then(|r| r.checked_sub(value * coefficient)),
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
