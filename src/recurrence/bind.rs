//! Checks data against a recurrence before a run.

use ndarray::{ArrayViewD, Dimension, IxDyn};

use super::{Batch, Given, Params, Recurrence, View};
use crate::error::{Error, Result, counted, number};
use crate::op::{Scalar, Value};
use crate::shape::{Dim, Kind, Rate, Symbol};
use crate::tape::{Leaf, Role};

/// Data that fits its recurrence.
#[derive(Debug)]
pub(crate) struct Bound<'a, F> {
    recurrence: &'a Recurrence,
    given: Given<'a, F>,
    sizes: Vec<usize>,
}

impl<'a, F: Scalar> Bound<'a, F> {
    /// Binds data that was checked before, with the sizes found by that check.
    pub(super) const fn new(
        recurrence: &'a Recurrence,
        given: Given<'a, F>,
        sizes: Vec<usize>,
    ) -> Self {
        Self {
            recurrence,
            given,
            sizes,
        }
    }

    /// The sizes of the named dimensions.
    pub(crate) fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    pub(crate) fn lengths(&self) -> Vec<usize> {
        let samples = 0..self.given.samples;
        samples.map(|b| self.given.length(b)).collect()
    }

    /// The value of a leaf at one sample and step; indices that its rate does not have are ignored.
    pub(crate) fn value(&self, leaf: usize, sample: usize, step: usize) -> Value<F> {
        let is_masked = self
            .recurrence
            .tape
            .is_masked(&self.recurrence.tape.leaves()[leaf]);
        let ty = self.recurrence.tape.leaves()[leaf].ty;
        let index: &[usize] = match ty.rate {
            Rate::Step => &[step, sample],
            Rate::Sample => &[sample],
            Rate::Static => &[],
        };
        let array = self.given.arrays[leaf].as_ref();
        match array.expect("bound data has an array for every leaf") {
            // At an inactive step, an entry that is not finite or out of range reads as zero.
            View::Class(a) => match (a[IxDyn(index)], ty.kind) {
                (class, Kind::Class(n)) if is_masked && class >= n.value(&self.sizes) => {
                    Value::Class(0)
                }
                (class, _) => Value::Class(class),
            },
            View::Real(a) => {
                let view = index
                    .iter()
                    .fold(a.view(), |v, i| v.index_axis_move(ndarray::Axis(0), *i));
                Value::Real(match is_masked {
                    true => view.mapv(|x| if x.is_finite() { x } else { F::zero() }),
                    false => view.to_owned(),
                })
            }
        }
    }
}

impl Recurrence {
    /// Checks data against the recurrence and infers the sizes.
    pub(crate) fn bind<'a, F: Scalar>(
        &'a self,
        params: &'a Params<F>,
        batch: &'a Batch<F>,
    ) -> Result<Bound<'a, F>> {
        let given = self.given(params, batch);
        Ok(Bound {
            recurrence: self,
            sizes: self.sizes_fitting(&given)?,
            given,
        })
    }

    /// The inferred sizes of the named dimensions, in order of declaration; an error if the data does not fit.
    pub(crate) fn sizes_fitting<F: Scalar>(&self, given: &Given<'_, F>) -> Result<Vec<usize>> {
        given.check_extent()?;
        given.check_names(self)?;
        let sizes = self.solve(given, false)?.finish()?;
        self.check_extent(&sizes, given.steps, given.samples)?;
        let leaves = || self.tape.leaves().iter().zip(&given.arrays);
        let is_mask = |leaf: &Leaf| self.tape.masks().any(|m| *m == leaf.name);
        let masks = leaves().filter(|(leaf, _)| is_mask(leaf));
        let masks: Vec<_> = masks.filter_map(|(_, array)| array.as_ref()).collect();
        for (leaf, array) in leaves() {
            if let Some(array) = array {
                let masks = match self.tape.is_masked(leaf) {
                    true => &*masks,
                    false => &[],
                };
                check_entries(leaf, array, given, masks, &sizes)?;
            }
        }
        Ok(sizes)
    }

    /// The expected shape of the data of a leaf with this many directions, as text.
    pub(crate) fn expected_directions(&self, leaf: &Leaf, count: usize) -> String {
        let one = expected_shape(self, leaf);
        let own = leaf.ty.shape.dims().len();
        let mut axes: Vec<&str> = one.trim_matches(['[', ']']).split(", ").collect();
        axes.retain(|axis| !axis.is_empty());
        let count = count.to_string();
        axes.insert(axes.len().saturating_sub(own), &count);
        format!("[{}]", axes.join(", "))
    }

    /// The expected shape of the array of a name, as text.
    #[cfg(feature = "data")]
    pub(crate) fn expected_shape(&self, name: &str) -> String {
        let leaf = self.tape.leaf_named(name);
        leaf.map_or_else(String::new, |leaf| expected_shape(self, leaf))
    }

    /// Infers the sizes; if they disagree because a parameter is transposed, the error says so.
    fn solve<F: Scalar>(&self, given: &Given<'_, F>, partial: bool) -> Result<Sizes<'_>> {
        Sizes::solve(self, given, partial).map_err(|error| match error {
            Error::ArrayShape { .. } | Error::DimConflict { .. } => {
                self.transposed(given, partial).unwrap_or(error)
            }
            other => other,
        })
    }

    /// The error for the first of the matrices whose transposes would fit: a single one, or all.
    fn transposed<F: Scalar>(&self, given: &Given<'_, F>, partial: bool) -> Option<Error> {
        let is_oblong = |leaf: &Leaf, array: &View<'_, F>| {
            leaf.role == Role::Parameter
                && leaf.ty.shape.rank() == 2
                && matches!(array.shape(), [rows, columns] if rows != columns)
        };
        let leaves = self.tape.leaves().iter().zip(&given.arrays).enumerate();
        let oblong = leaves.filter_map(|(i, (leaf, array))| {
            array
                .as_ref()
                .is_some_and(|a| is_oblong(leaf, a))
                .then_some(i)
        });
        let oblong: Vec<usize> = oblong.collect();
        let single = oblong.iter().map(|i| vec![*i]);
        single.chain([oblong.clone()]).find_map(|turned| {
            let mut given = given.view();
            for i in &turned {
                if let Some(View::Real(array)) = &mut given.arrays[*i] {
                    array.swap_axes(0, 1);
                }
            }
            Sizes::solve(self, &given, partial).ok()?;
            let leaf = &self.tape.leaves()[*turned.first()?];
            let shape = given.arrays[turned[0]].as_ref()?.shape().to_vec();
            Some(Error::Transposed {
                name: leaf.name.to_string(),
                expected: expected_shape(self, leaf),
                found: shape.iter().rev().copied().collect(),
                shape,
            })
        })
    }

    /// The sizes of the dimensions, in order of declaration, from sizes given by name.
    pub(crate) fn sizes_of(&self, sizes: &[(&str, usize)]) -> Result<Vec<usize>> {
        let known = self.sizes_given(sizes)?;
        let known = self.tape.dims().zip(known);
        let sizes: Vec<usize> = known
            .map(|(dim, size)| size.ok_or_else(|| Error::UnknownSize { dim: dim.into() }))
            .collect::<Result<_>>()?;
        self.check_extent(&sizes, 1, 1)?;
        Ok(sizes)
    }

    /// The sizes given by name, in order of declaration, `None` if not given. Refuses unknown and repeated
    /// names.
    pub(crate) fn sizes_given(&self, sizes: &[(&str, usize)]) -> Result<Vec<Option<usize>>> {
        let mut found: Vec<Option<usize>> = self.tape.dims().map(|_| None).collect();
        for (name, size) in sizes {
            let Some((i, symbol)) = self.tape.dimension(name) else {
                return Err(Error::UnknownName {
                    what: "dimension",
                    name: (*name).into(),
                    known: self.tape.dims().map(Into::into).collect(),
                });
            };
            if found[i].replace(*size).is_some() {
                let (what, name) = ("size", (*name).into());
                return Err(Error::Repeated { what, name });
            }
            large_enough(*size, (name, symbol), "the sizes given")?;
            if Dim::is_too_large(*size) {
                return Err(Error::Batch {
                    reason: format!("dimension {name} is {size}, which is too large"),
                });
            }
        }
        Ok(found)
    }

    /// Infers sizes of named dimensions from data that may be incomplete.
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
        let given = self.given(params, batch);
        given.check_names(self)?;
        let known = self.solve(&given, true)?.known;
        let sizes = self.tape.dims().zip(known);
        Ok(sizes
            .filter_map(|(dim, size)| Some((dim, size?.0)))
            .collect())
    }

    /// Refuses sizes for which a value would have no entries, or more than a `usize` can count.
    fn check_extent(&self, sizes: &[usize], steps: usize, samples: usize) -> Result<()> {
        for (id, node) in self.tape.nodes() {
            let shape = node.ty.shape.values(sizes);
            let places: &[usize] = match node.ty.rate {
                Rate::Static => &[],
                Rate::Sample => &[samples],
                Rate::Step => &[steps, samples],
            };
            if shape.contains(&0) {
                return Err(Error::Batch {
                    reason: format!(
                        "`{}` would have shape {shape:?}: every size must be at least 1",
                        self.tape.expression(id)
                    ),
                });
            }
            let bytes = places
                .iter()
                .chain(&shape)
                .try_fold(size_of::<f64>(), |all, n| all.checked_mul(*n));
            let fits = bytes.is_some_and(|b| isize::try_from(b).is_ok());
            if !fits || shape.iter().any(|n| Dim::is_too_large(*n)) {
                return Err(Error::Batch {
                    reason: format!(
                        "`{}` would have shape {shape:?} at {} of {}, \
                         which is too large",
                        self.tape.expression(id),
                        counted(steps, "step"),
                        counted(samples, "sample"),
                    ),
                });
            }
        }
        Ok(())
    }
}

/// The size of a dimension, unless it is below its least size.
fn large_enough(found: usize, (dim, symbol): (&str, Symbol), array: &str) -> Result<usize> {
    let (dim, array, least) = (dim.into(), array.into(), usize::from(symbol.least()));
    match found {
        0 => Err(Error::ZeroSize { dim, array }),
        _ if found < least => Err(Error::SmallSize {
            dim,
            least,
            array,
            found,
        }),
        _ => Ok(found),
    }
}

/// The expected shape of the data of a leaf, as text.
pub(super) fn expected_shape(recurrence: &Recurrence, leaf: &Leaf) -> String {
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

/// The sizes of the named dimensions inferred so far.
struct Sizes<'a> {
    recurrence: &'a Recurrence,
    /// The size of each dimension, and the array that determined it.
    known: Vec<Option<(usize, String)>>,
    /// True if arrays may be missing.
    partial: bool,
}

impl<'a> Sizes<'a> {
    fn solve<F>(recurrence: &'a Recurrence, given: &Given<'_, F>, partial: bool) -> Result<Self>
    where
        F: Scalar,
    {
        let by_name = |name: &str| Some((given.size(name)?, "Batch::size".to_owned()));
        let mut sizes = Self {
            recurrence,
            known: recurrence.tape.dims().map(by_name).collect(),
            partial,
        };
        // Each array determines at most one unknown of a sum of names, so repeat until nothing changes.
        loop {
            let before = sizes.known.iter().flatten().count();
            for (leaf, array) in recurrence.tape.leaves().iter().zip(&given.arrays) {
                sizes.learn(leaf, array.as_ref().map(View::shape), given)?;
            }
            if sizes.known.iter().flatten().count() == before {
                return Ok(sizes);
            }
        }
    }

    fn finish(self) -> Result<Vec<usize>> {
        let symbols = self.recurrence.tape.symbols();
        self.known
            .into_iter()
            .zip(symbols)
            .map(|(known, (dim, symbol))| match known {
                Some((size, array)) => large_enough(size, (dim, symbol), &array),
                None => Err(Error::UnknownSize { dim: dim.into() }),
            })
            .collect()
    }

    fn learn<F>(
        &mut self,
        leaf: &Leaf,
        found: Option<&[usize]>,
        given: &Given<'_, F>,
    ) -> Result<()> {
        let what = word(leaf);
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
            Rate::Sample => &[given.samples],
            Rate::Step => &[given.steps, given.samples],
        };
        let dims = leaf.ty.shape.dims();
        if found.len() != outer.len() + dims.len() || found[..outer.len()] != *outer {
            let expected = match leaf.ty.rate {
                Rate::Static => expected(),
                _ => format!(
                    "{} with T = {}, B = {}",
                    expected(),
                    given.steps,
                    given.samples
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

    /// Matches the size of one axis against a dimension; if one name in it is unknown, infers its size.
    fn unify(&mut self, dim: Dim, size: usize, array: &str) -> Result<()> {
        let mismatch = || Error::ArrayShape {
            what: "",
            name: String::new(),
            expected: String::new(),
            found: Vec::new(),
        };
        let signed = |n: usize| i64::try_from(n).ok();
        let mut rest = signed(size).and_then(|n| n.checked_sub(dim.constant()));
        let mut unknown = None;
        for (symbol, coefficient) in dim.named_terms() {
            match &self.known[symbol.index()] {
                Some((value, _)) => {
                    let part = value.checked_mul(coefficient).and_then(signed);
                    rest = rest.zip(part).and_then(|(r, p)| r.checked_sub(p));
                }
                None if unknown.is_none() => unknown = Some((symbol, coefficient)),
                // Two unknowns: wait for another array.
                None => return Ok(()),
            }
        }
        let rest = rest.and_then(|rest| usize::try_from(rest).ok());
        match (unknown, rest) {
            (Some((symbol, coefficient)), Some(rest)) if rest % coefficient == 0 => {
                self.known[symbol.index()] = Some((rest / coefficient, array.into()));
                Ok(())
            }
            (None, Some(0)) => Ok(()),
            _ => Err(self.conflict(dim, size, array).unwrap_or_else(mismatch)),
        }
    }

    /// The error for two arrays that disagree on the size of a single name.
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

/// The kind of a leaf, in words.
const fn word(leaf: &Leaf) -> &'static str {
    match (leaf.role, leaf.ty.rate) {
        (Role::Parameter, _) => "parameter",
        (Role::Input, Rate::Sample) => "sample input",
        (Role::Input, _) => "input",
    }
}

/// Refuses numbers that are not finite and classes out of range, except beyond the length of a sequence and at
/// steps with a zero mask.
fn check_entries<F: Scalar>(
    leaf: &Leaf,
    array: &View<'_, F>,
    given: &Given<'_, F>,
    masks: &[&View<'_, F>],
    sizes: &[usize],
) -> Result<()> {
    let name = || leaf.name.to_string();
    let is_active = |step: usize, sample: usize| {
        masks.iter().all(|mask| match mask {
            View::Real(mask) => mask[IxDyn(&[step, sample])] != F::zero(),
            View::Class(_) => true,
        })
    };
    let inside = |index: &[usize]| match leaf.ty.rate {
        Rate::Step => index[0] < given.length(index[1]) && is_active(index[0], index[1]),
        _ => true,
    };
    if let (Some(count), View::Real(array)) = (leaf.classes, array) {
        let classes = count.value(sizes);
        if let Some((index, value)) = first(array, |x| !is_class(x, classes), inside) {
            return Err(Error::Batch {
                reason: format!(
                    "`{}`: entry {index:?} is {}, expected a class: a whole number from 0 to {}",
                    leaf.name,
                    number(value.to_f64()),
                    classes.saturating_sub(1)
                ),
            });
        }
    }
    match (leaf.ty.kind, array) {
        (Kind::Real, View::Real(array)) => match first(array, |x| !x.is_finite(), inside) {
            None => Ok(()),
            Some((index, value)) => Err(Error::NonFiniteData {
                what: match leaf.ty().rate {
                    Rate::Sample => "sample input",
                    _ => word(leaf),
                },
                name: name(),
                index,
                value: value.to_f64(),
            }),
        },
        (Kind::Class(count), View::Class(array)) => {
            let classes = count.value(sizes);
            match first(array, |class| class >= classes, inside) {
                None => Ok(()),
                Some((index, value)) => Err(Error::ClassOutOfRange {
                    name: name(),
                    index,
                    value,
                    classes,
                }),
            }
        }
        (Kind::Real, View::Class(_)) => Err(Error::ArrayKind {
            name: name(),
            expected: "real numbers",
            found: "classes",
        }),
        (Kind::Class(_), View::Real(_)) => Err(Error::ArrayKind {
            name: name(),
            expected: "classes",
            found: "real numbers",
        }),
    }
}

/// True for the number of one of this many classes.
pub(crate) fn is_class<F: Scalar>(x: F, classes: usize) -> bool {
    let x = x.to_f64();
    x.fract() == 0.0 && x >= 0.0 && x < classes as f64
}

/// The first bad entry, in index order, at an index for which `inside` returns true.
fn first<T: Copy>(
    array: &ArrayViewD<'_, T>,
    is_bad: impl Fn(T) -> bool,
    inside: impl Fn(&[usize]) -> bool,
) -> Option<(Vec<usize>, T)> {
    let bad = array.indexed_iter().find(|(index, x)| {
        is_bad(**x) && inside(index.as_array_view().as_slice().unwrap_or_default())
    });
    bad.map(|(index, x)| (index.as_array_view().to_vec(), *x))
}
