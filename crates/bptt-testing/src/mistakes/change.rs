//! Mistakes in the use of the data: the right gradient of other data.

use std::fmt;

use bptt::{Params, Rate, Recurrence, Role};
use ndarray::{ArrayD, Axis, Slice, concatenate};

use crate::Case;

/// A change of the data of a case, which foreign code makes by mistake.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Change {
    /// Every step of the batch counts, also beyond the length of a sample.
    IgnoreLengths,
    /// Square parameters are transposed.
    Transpose(Vec<String>),
    /// One is added to a parameter.
    AddOne(String),
    /// Parameters are exchanged: the pairs.
    Exchange(Vec<(String, String)>),
    /// The blocks of rows of these parameters are in another order.
    Reorder(Vec<String>, Vec<usize>),
    /// A per-step input comes this many steps later (1) or earlier (−1); the ends are filled with zeros.
    Shift(String, isize),
    /// A per-step input is read from the last step to the first.
    Reverse(String),
}

impl Change {
    /// The changed data; `None` if the change does not apply to this case.
    #[must_use]
    pub fn apply(&self, case: &Case) -> Option<Case> {
        let mut changed = case.clone();
        match self {
            Self::IgnoreLengths => {
                let steps = case.batch.steps();
                let lengths = vec![steps; case.batch.samples()];
                (lengths != case.lengths()).then_some(())?;
                changed.batch = changed.batch.with_lengths(lengths);
            }
            Self::Transpose(names) => {
                for name in names {
                    let array = square(&case.params, name)?.reversed_axes();
                    changed.params.insert(name, array);
                }
            }
            Self::AddOne(name) => {
                let array = case.params.get(name)? + 1.0;
                changed.params.insert(name, array);
            }
            Self::Exchange(pairs) => {
                for (a, b) in pairs {
                    let (x, y) = (case.params.get(a)?, case.params.get(b)?);
                    changed.params.insert(a, y.clone());
                    changed.params.insert(b, x.clone());
                }
            }
            Self::Reorder(names, order) => {
                for name in names {
                    let array = reordered(case.params.get(name)?, order)?;
                    changed.params.insert(name, array);
                }
            }
            Self::Shift(name, by) => {
                let array = shifted(case.batch.get(name)?, *by)?;
                changed.batch.insert(name, array);
            }
            Self::Reverse(name) => {
                let array = reversed(case.batch.get(name)?, &case.lengths());
                changed.batch.insert(name, array);
            }
        }
        Some(changed)
    }

    /// Carries the gradient of the changed data back to the data of the case.
    #[must_use]
    pub fn pull_back(&self, case: &Case, mut gradients: Params<f64>) -> Option<Params<f64>> {
        match self {
            Self::IgnoreLengths | Self::AddOne(_) => {}
            Self::Transpose(names) => {
                for name in names {
                    let array = square(&gradients, name)?.reversed_axes();
                    gradients.insert(name, array);
                }
            }
            Self::Exchange(pairs) => {
                for (a, b) in pairs {
                    let (x, y) = (gradients.get(a)?.clone(), gradients.get(b)?.clone());
                    gradients.insert(a, y);
                    gradients.insert(b, x);
                }
            }
            Self::Reorder(names, order) => {
                let mut inverse = vec![0; order.len()];
                order.iter().enumerate().for_each(|(i, k)| inverse[*k] = i);
                for name in names {
                    let array = reordered(gradients.get(name)?, &inverse)?;
                    gradients.insert(name, array);
                }
            }
            Self::Shift(name, by) => {
                if let Some(array) = gradients.get(name) {
                    let array = shifted(array, -by)?;
                    gradients.insert(name, array);
                }
            }
            Self::Reverse(name) => {
                if let Some(array) = gradients.get(name) {
                    let array = reversed(array, &case.lengths());
                    gradients.insert(name, array);
                }
            }
        }
        Some(gradients)
    }
}

/// A square matrix.
fn square(params: &Params<f64>, name: &str) -> Option<ArrayD<f64>> {
    let array = params.get(name)?;
    match array.shape() {
        [m, n] if m == n => Some(array.clone()),
        _ => None,
    }
}

/// The array with blocks of rows in this order: block `i` of the result is block `order[i]`.
pub(crate) fn reordered(array: &ArrayD<f64>, order: &[usize]) -> Option<ArrayD<f64>> {
    let rows = *array.shape().first()?;
    let block = rows.checked_div(order.len())?;
    if block == 0 || rows % order.len() != 0 {
        return None;
    }
    let blocks = order.iter().map(|k| {
        let (start, end) = ((k * block).cast_signed(), ((k + 1) * block).cast_signed());
        array.slice_axis(Axis(0), Slice::from(start..end))
    });
    let blocks: Vec<_> = blocks.collect();
    concatenate(Axis(0), &blocks).ok()
}

/// The array `by` steps later; zeros at the end that is free.
fn shifted(array: &ArrayD<f64>, by: isize) -> Option<ArrayD<f64>> {
    let steps = array.shape().first()?.cast_signed();
    let mut moved = ArrayD::zeros(array.shape());
    for t in 0..steps {
        let from = t - by;
        if (0..steps).contains(&from) {
            let source = array.index_axis(Axis(0), from.cast_unsigned());
            moved
                .index_axis_mut(Axis(0), t.cast_unsigned())
                .assign(&source);
        }
    }
    Some(moved)
}

/// The array with the steps of each sample in reversed order.
pub(crate) fn reversed(array: &ArrayD<f64>, lengths: &[usize]) -> ArrayD<f64> {
    let mut turned = array.clone();
    for (b, length) in lengths.iter().enumerate() {
        for t in 0..*length {
            let source = array.index_axis(Axis(0), length - 1 - t);
            let source = source.index_axis(Axis(0), b);
            let mut target = turned.index_axis_mut(Axis(0), t);
            target.index_axis_mut(Axis(0), b).assign(&source);
        }
    }
    turned
}

/// The pairs of groups of parameters that differ in the last part of their names, as `W_i, U_i, b_i` and
/// `W_f, U_f, b_f`.
pub(crate) fn exchanges(recurrence: &Recurrence) -> Vec<Change> {
    let tape = recurrence.tape();
    let leaves = tape.leaves().iter().filter(|l| l.role() == Role::Parameter);
    let parameters: Vec<(&str, _)> = leaves.map(|l| (l.name(), l.ty().shape)).collect();
    let mut groups: Vec<(&str, Vec<(&str, _, &str)>)> = Vec::new();
    for (name, shape) in &parameters {
        let Some((stem, suffix)) = name.rsplit_once('_') else {
            continue;
        };
        let member = (stem, *shape, *name);
        match groups.iter_mut().find(|(s, _)| *s == suffix) {
            Some((_, members)) => members.push(member),
            None => groups.push((suffix, vec![member])),
        }
    }
    let mut found = Vec::new();
    for (i, (_, a)) in groups.iter().enumerate() {
        for (_, b) in &groups[i + 1..] {
            let pairs = a.iter().filter_map(|(stem, shape, name)| {
                let same = |(s, t, _): &&(&str, _, &str)| s == stem && t == shape;
                let partner = b.iter().find(same)?;
                Some(((*name).to_owned(), partner.2.to_owned()))
            });
            let pairs: Vec<(String, String)> = pairs.collect();
            if pairs.len() > 1 {
                found.push(Change::Exchange(pairs));
            }
        }
    }
    for (i, (name, shape)) in parameters.iter().enumerate() {
        let same = parameters[i + 1..].iter().filter(|(_, s)| s == shape);
        found.extend(
            same.map(|(other, _)| {
                Change::Exchange(vec![((*name).to_owned(), (*other).to_owned())])
            }),
        );
    }
    found
}

/// Other orders of the blocks of rows of stacked parameters.
pub(crate) fn reorders(recurrence: &Recurrence, case: &Case) -> Vec<Change> {
    let names: Vec<&str> = recurrence.parameters().collect();
    let rows = |name: &str| {
        case.params
            .get(name)
            .and_then(|a| a.shape().first())
            .copied()
    };
    let mut counts: Vec<usize> = names.iter().filter_map(|n| rows(n)).collect();
    counts.sort_unstable();
    counts.dedup();
    let mut found = Vec::new();
    for count in counts {
        for blocks in 2..=4 {
            if count % blocks != 0 || count / blocks < 2 {
                continue;
            }
            let stacked = names.iter().filter(|n| rows(n) == Some(count));
            let stacked: Vec<String> = stacked.map(|n| (*n).to_owned()).collect();
            let orders = permutations(blocks).into_iter().skip(1);
            found.extend(orders.map(|order| Change::Reorder(stacked.clone(), order)));
        }
    }
    found
}

/// All orders of `0..n`, the given one first.
pub(crate) fn permutations(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![Vec::new()];
    }
    let shorter = permutations(n - 1);
    let inserted = (0..n).rev().flat_map(|at| {
        shorter.iter().map(move |p| {
            let mut p = p.clone();
            p.insert(at, n - 1);
            p
        })
    });
    inserted.collect()
}

/// Shifts and reversals of the inputs that vary with the step.
pub(crate) fn moves(recurrence: &Recurrence) -> Vec<Change> {
    let leaves = recurrence.tape().leaves().iter();
    let moving =
        leaves.filter(|l| l.role() == Role::Input && l.ty().rate == Rate::Step && l.ty().is_real());
    let changes = moving.flat_map(|leaf| {
        let name = leaf.name();
        [
            Change::Shift(name.into(), 1),
            Change::Shift(name.into(), -1),
            Change::Reverse(name.into()),
        ]
    });
    changes.collect()
}

/// Shifts of the inputs that only choose, such as resets and masks.
pub(crate) fn shifted_conditions(recurrence: &Recurrence, _: &Case) -> Vec<Change> {
    let conditions = recurrence.conditions().unwrap_or_default();
    let changes = moves(recurrence).into_iter();
    let is_condition = |change: &Change| match change {
        Change::Shift(name, _) => conditions.contains(&&**name),
        _ => false,
    };
    changes.filter(is_condition).collect()
}

/// Vectors of parameters, each plus one.
pub(crate) fn offsets(recurrence: &Recurrence) -> Vec<Change> {
    let leaves = recurrence.tape().leaves().iter();
    let vectors = leaves.filter(|l| l.role() == Role::Parameter && l.ty().shape.rank() == 1);
    vectors.map(|l| Change::AddOne(l.name().into())).collect()
}

/// The square parameters, transposed: all of them, and each.
pub(crate) fn transposes(recurrence: &Recurrence) -> Vec<Change> {
    let leaves = recurrence.tape().leaves().iter();
    let square = leaves.filter(|l| {
        let dims = l.ty().shape.dims();
        l.role() == Role::Parameter && dims.len() == 2 && dims[0] == dims[1]
    });
    let square: Vec<String> = square.map(|l| l.name().to_owned()).collect();
    let each = square
        .iter()
        .map(|name| Change::Transpose(vec![name.clone()]));
    let all = (square.len() > 1).then(|| Change::Transpose(square.clone()));
    all.into_iter().chain(each).collect()
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |names: &[String]| {
            let names: Vec<String> = names.iter().map(|n| format!("`{n}`")).collect();
            names.join(", ")
        };
        match self {
            Self::IgnoreLengths => f.write_str("the lengths"),
            Self::Transpose(names) => f.write_str(&quoted(names)),
            Self::Reverse(name) | Self::AddOne(name) => {
                write!(f, "`{name}`")
            }
            Self::Exchange(pairs) => {
                let pairs: Vec<String> = pairs
                    .iter()
                    .map(|(a, b)| format!("`{a}` and `{b}`"))
                    .collect();
                f.write_str(&pairs.join(", "))
            }
            Self::Reorder(names, order) => write!(f, "{order:?} in {}", quoted(names)),
            Self::Shift(name, by) => {
                let word = if *by > 0 { "later" } else { "earlier" };
                write!(f, "`{name}`, one step {word}")
            }
        }
    }
}
