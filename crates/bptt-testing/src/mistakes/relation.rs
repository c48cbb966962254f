//! Wrong arrays that are simple functions of right ones.

use std::fmt;

use bptt::Rate;
use ndarray::ArrayD;

use super::change::{permutations, reordered, reversed};
use crate::finding::{Evidence, Key};
use crate::{Bounded, Precision, Quantity};

/// The relation of a wrong array to the right ones, the same in every case.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Relation {
    /// The numbers agree to single precision.
    SinglePrecision,
    /// Every entry is zero.
    Zero,
    /// The right array times a number, which the text names.
    Factor(String),
    /// The transpose of the right array.
    Transposed,
    /// The right array of another name.
    Of(String),
    /// The right array with its blocks of rows in this order.
    Blocks(Vec<usize>),
    /// The right array with the steps of each sample reversed.
    Reversed,
    /// The right array plus that of another name.
    With(String),
}

/// The relations of a wrong array to the right ones that a diagnosis knows: the name of the mistake, and the mistake as a
/// sentence about the wrong arrays.
pub const RELATIONS: [(&str, &str); 8] = [
    (
        "single-precision",
        "the numbers agree to about 1e-7 only: some of the arithmetic is in f32, a constant is rounded, or differences are used",
    ),
    ("zero", "no derivative arrives: every number is zero"),
    (
        "constant-factor",
        "the right numbers are multiplied by a constant",
    ),
    (
        "array-transposed",
        "an array is the transpose of the right one",
    ),
    (
        "arrays-exchanged",
        "an array is the right one of another name",
    ),
    (
        "blocks-in-another-order",
        "the blocks of rows, one for each gate, are in another order",
    ),
    ("steps-reversed", "the steps are in the reversed order"),
    ("arrays-added", "another array is added"),
];

impl Relation {
    /// The row of [`RELATIONS`].
    pub(crate) const fn mistake(&self) -> (&'static str, &'static str) {
        RELATIONS[match self {
            Self::SinglePrecision => 0,
            Self::Zero => 1,
            Self::Factor(_) => 2,
            Self::Transposed => 3,
            Self::Of(_) => 4,
            Self::Blocks(_) => 5,
            Self::Reversed => 6,
            Self::With(_) => 7,
        }]
    }
}

impl fmt::Display for Relation {
    /// The relation of an array, if its kind is not all.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Factor(factor) => write!(f, "times {factor}"),
            Self::Of(name) => write!(f, "the numbers of `{name}`"),
            Self::Blocks(order) => write!(f, "the order {order:?}"),
            Self::With(name) => write!(f, "plus the numbers of `{name}`"),
            Self::SinglePrecision | Self::Zero | Self::Transposed | Self::Reversed => Ok(()),
        }
    }
}

/// The difference at which two arrays are the same, relative to the larger of them.
pub(crate) const fn same_within(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 2e-4,
        Precision::F64 => 1e-9,
    }
}

pub(crate) fn size(a: &ArrayD<f64>) -> f64 {
    a.iter().fold(0.0, |m: f64, x| m.max(x.abs()))
}

/// The difference at which the array of a mistake is that of an answer: rounding errors, and far less than the
/// difference of the answer from the right array.
pub(crate) fn allowed(
    right: &Bounded,
    found: &ArrayD<f64>,
    mistaken: &ArrayD<f64>,
    precision: Precision,
) -> f64 {
    /// The part of a wrong number that may remain unexplained.
    const REST: f64 = 0.02;
    let scale = size(&right.value).max(size(found)).max(size(mistaken));
    let apart = match found.shape() == right.value.shape() {
        true => size(&(found - &right.value)),
        false => scale,
    };
    (same_within(precision) * scale)
        .min(REST * apart)
        .max(right.bound)
}

/// Returns true if the array of a mistake is that of an answer.
fn same(e: &Evidence, right: &Bounded, found: &ArrayD<f64>, mistaken: &ArrayD<f64>) -> bool {
    mistaken.shape() == found.shape()
        && size(&(mistaken - found)) <= allowed(right, found, mistaken, e.case.precision)
}

/// The relations of each wrong array, in the order of the answer; `None` if some wrong array has none.
pub(crate) fn relations(evidence: &[Evidence], wrong: &[Key]) -> Option<Vec<(Key, Relation)>> {
    let found = wrong.iter().map(|(quantity, name)| {
        let relation = relation(evidence, *quantity, name)?;
        Some(((*quantity, name.clone()), relation))
    });
    found.collect()
}

/// A test of the right and the answered array of a case.
type Test<'a> = dyn Fn(&Evidence, &Bounded, &ArrayD<f64>) -> bool + 'a;

fn relation(evidence: &[Evidence], quantity: Quantity, name: &str) -> Option<Relation> {
    let precision = evidence.first()?.case.precision;
    let holds = |test: &Test<'_>| {
        evidence.iter().all(|e| {
            let right = e.expected.get(quantity, name);
            let found = e.answer.get(quantity, name);
            right
                .zip(found)
                .is_some_and(|(right, found)| test(e, right, found))
        })
    };
    let single = f64::from(f32::EPSILON) * 64.0;
    if precision == Precision::F64
        && holds(&|_, right, found| size(&(&right.value - found)) <= single * size(&right.value))
    {
        return Some(Relation::SinglePrecision);
    }
    let is_derivative = !matches!(quantity, Quantity::Loss | Quantity::Output);
    if is_derivative && holds(&|_, _, found| size(found) == 0.0) {
        return Some(Relation::Zero);
    }
    if let Some(factor) = factor(evidence, quantity, name) {
        return Some(Relation::Factor(factor));
    }
    if holds(&|e, right, found| {
        right.value.ndim() == 2 && same(e, right, found, &right.value.t().to_owned().into_dyn())
    }) {
        return Some(Relation::Transposed);
    }
    let others = evidence.first()?.expected.iter();
    let others: Vec<&str> = others
        .filter(|(q, n, _)| *q == quantity && *n != name)
        .map(|(_, n, _)| n)
        .collect();
    for other in others {
        let of = |e: &Evidence| e.expected.get(quantity, other).map(|b| b.value.clone());
        if holds(&|e, right, found| of(e).is_some_and(|a| same(e, right, found, &a))) {
            return Some(Relation::Of(other.into()));
        }
        if holds(&|e, right, found| {
            let fits = |a: &ArrayD<f64>| a.shape() == right.value.shape();
            of(e)
                .filter(fits)
                .is_some_and(|a| same(e, right, found, &(a + &right.value)))
        }) {
            return Some(Relation::With(other.into()));
        }
    }
    for blocks in 2..=4 {
        for order in permutations(blocks).into_iter().skip(1) {
            if holds(&|e, right, found| {
                reordered(&right.value, &order).is_some_and(|a| same(e, right, found, &a))
            }) {
                return Some(Relation::Blocks(order));
            }
        }
    }
    if holds(&|e, right, found| {
        right.rate == Rate::Step
            && same(e, right, found, &reversed(&right.value, &e.case.lengths()))
    }) {
        return Some(Relation::Reversed);
    }
    None
}

/// The number that every case multiplies the right array with: its names, or its digits.
fn factor(evidence: &[Evidence], quantity: Quantity, name: &str) -> Option<String> {
    /// The most names that are given.
    const NAMES: usize = 3;
    // The factor of each case, and the accuracy with which it is known.
    let mut factors = Vec::new();
    for e in evidence {
        let right = e.expected.get(quantity, name)?;
        let found = e.answer.get(quantity, name)?;
        let pairs = right.value.iter().zip(found);
        let (dot, square) = pairs.fold((0.0, 0.0), |(d, s), (r, f)| (d + r * f, s + r * r));
        if square == 0.0 {
            return None;
        }
        let factor = dot / square;
        if factor == 0.0 || !same(e, right, found, &(&right.value * factor)) {
            return None;
        }
        factors.push((factor, 4.0 * right.bound / size(&right.value)));
    }
    let near = |(factor, accuracy): (f64, f64), x: f64| {
        (factor - x).abs() <= accuracy * factor.abs().max(x.abs())
    };
    let named: Vec<Vec<(String, f64)>> = evidence.iter().map(numbers).collect();
    let mut found = Vec::new();
    for i in 0..named.first()?.len() {
        for (sign, minus) in [(1.0, ""), (-1.0, "−")] {
            let mut pairs = factors.iter().zip(&named);
            if pairs.all(|(f, n)| n.get(i).is_some_and(|(_, x)| near(*f, sign * x))) {
                found.push(format!("{minus}{}", named[0][i].0));
            }
        }
    }
    found.truncate(NAMES);
    let (first, _) = *factors.first()?;
    let constant = factors.iter().all(|f| near(*f, first));
    match found.is_empty() {
        true => constant.then(|| bptt::number(first)),
        false => Some(found.join(" or ")),
    }
}

/// The numbers of a case that a loss may be divided by or multiplied with.
fn numbers(e: &Evidence) -> Vec<(String, f64)> {
    #[expect(clippy::cast_precision_loss, reason = "sizes are small")]
    let number = |n: usize| n as f64;
    let samples = number(e.case.batch.samples());
    let steps = number(e.case.batch.steps());
    let all = number(e.case.lengths().iter().sum());
    let mut extents: Vec<(String, f64)> = vec![
        ("1".into(), 1.0),
        ("the number of samples".into(), samples),
        ("the number of steps of the longest sample".into(), steps),
        ("the number of steps of all samples".into(), all),
        (
            "the number of steps of all samples, padded ones too".into(),
            samples * steps,
        ),
    ];
    let sizes = e.case.sizes.iter();
    extents.extend(sizes.map(|(dim, size)| (format!("the size {dim}"), number(*size))));
    let mut found: Vec<(String, f64)> = Vec::new();
    for (text, x) in [("1", 1.0), ("2", 2.0), ("1/2", 0.5)] {
        found.push((text.into(), x));
    }
    for (text, x) in extents.iter().skip(1) {
        found.push((text.clone(), *x));
        found.push((format!("1 / {text}"), 1.0 / x));
    }
    found.push((
        "the steps of all samples / the same with padded ones, as a mean over padded steps".into(),
        all / (samples * steps),
    ));
    for (i, (a, x)) in extents.iter().enumerate().skip(1) {
        for (b, y) in extents.iter().skip(1).filter(|(b, _)| b != a) {
            found.push((format!("{a} / {b}"), x / y));
        }
        for (b, y) in &extents[i + 1..] {
            found.push((format!("1 / ({a} × {b})"), 1.0 / (x * y)));
        }
        for (text, c) in [("2", 2.0), ("1/2", 0.5)] {
            found.push((format!("{text} × {a}"), c * x));
            found.push((format!("{text} / {a}"), c / x));
        }
    }
    found
}
