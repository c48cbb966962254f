//! The numbers of `bptt` for a case, with bounds on the rounding errors of foreign code.

use bptt::{Batch, Derived, Noise, Outputs, Params, Rate, Recurrence, Result, Role, Wrt};
use indexmap::IndexMap;
use ndarray::ArrayD;

use crate::answer::LOSS;
use crate::{Case, Precision, Quantity};

/// An array and a bound on the rounding error of its entries.
#[derive(Clone, Debug, PartialEq)]
pub struct Bounded {
    /// The numbers, computed in `f64`.
    pub value: ArrayD<f64>,
    /// A bound on the difference of foreign code whose arithmetic has the [`Precision`] of the case.
    pub bound: f64,
    /// The leading axes: steps and samples, samples, or none.
    pub rate: Rate,
}

/// The numbers of `bptt` for one case.
///
/// # Bounds
///
/// The bound of an array is 64 times the largest rounding error of the evaluator in `f32`, measured as the largest
/// difference from `f64` on the data and on eight sets of data nearby (each number times 1 + 0.01 ν, |ν| ≤ 1), and at
/// least 64 units in the last place of the largest entry; for `f64` it is that divided by 2²⁹. Sums whose terms cancel
/// thus have a larger bound, as have long products. Where less than four digits of `f32` are right, the bound for `f64` is 64
/// times the change of the array when each number of the data changes by a few units in the last place. The factor 64 is for another order of the operations, and for
/// elementary functions that are right to a few units in the last place.
#[derive(Clone, Debug)]
pub struct Expected {
    arrays: IndexMap<(Quantity, String), Bounded>,
}

/// The graphs that give the expected numbers of a recurrence.
///
/// ```
/// use bptt::Recurrence;
/// use bptt_testing::{Cases, Quantity, Reference};
/// let decay = Recurrence::parse("decay.rec", "param a\ninput x\nstate s\ns' = a * s + x\nloss s'^2\n")?;
/// let case = Cases::new(&decay).draw(1)?;
/// let expected = Reference::new(&decay, true)?.expect(&case)?;
/// let product = expected.get(Quantity::HessianVector, "a").expect("`a` has a gradient");
/// assert!(product.value.shape().is_empty() && product.bound < 1e-12);
/// # Ok::<(), bptt::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Reference {
    graphs: Vec<(Quantity, Recurrence)>,
}

/// The factor between the largest rounding error that was seen and the one that is allowed.
const MARGIN: f64 = 64.0;
/// The sets of data nearby on which rounding errors are measured.
const NEARBY: u64 = 8;
/// The rounding error in `f32`, relative to the largest entry, of a graph whose numbers are too large for that type.
const UNKNOWN: f64 = 1e-3;
/// The relative error in `f32` from which on the errors in `f64` are measured in another way.
const LOST: f64 = 1e-4;
/// The ratio of rounding errors in `f32` and in `f64`.
pub(crate) const WIDER: f64 = (1u64 << 29) as f64;

impl Reference {
    /// Differentiates a recurrence: its loss, outputs and gradients, and at second order also tangents and Hessian
    /// products.
    ///
    /// # Errors
    /// If it has no loss.
    pub fn new(recurrence: &Recurrence, second_order: bool) -> Result<Self> {
        let mut graphs = vec![
            (Quantity::Output, recurrence.clone()),
            (Quantity::Gradient, recurrence.gradient(Wrt::Everything)?),
        ];
        if second_order {
            graphs.push((Quantity::Tangent, recurrence.tangent(Wrt::Everything)?));
            let hessian = recurrence.hessian_vector(Wrt::Everything)?;
            graphs.push((Quantity::HessianVector, hessian));
        }
        Ok(Self { graphs })
    }

    /// The recurrence.
    pub(crate) fn recurrence(&self) -> &Recurrence {
        &self.graphs[0].1
    }

    /// The gradient with respect to all that has one.
    pub(crate) fn gradient(&self) -> &Recurrence {
        &self.graphs[1].1
    }

    /// The Hessian product, or the gradient if there is none.
    pub(crate) fn hessian(&self) -> &Recurrence {
        let hessian = self
            .graphs
            .iter()
            .find(|(q, _)| *q == Quantity::HessianVector);
        hessian.map_or_else(|| self.gradient(), |(_, graph)| graph)
    }

    /// The numbers for a case.
    ///
    /// # Errors
    /// If the data does not fit, or a number is not finite.
    pub fn expect(&self, case: &Case) -> Result<Expected> {
        let mut arrays = IndexMap::new();
        for (quantity, graph) in &self.graphs {
            let (params, batch) = with_directions(graph, case);
            let run = Rounding::of(graph, &params, &batch)?;
            for (name, value) in run.exact.iter() {
                let Some(key) = key(*quantity, graph, name) else {
                    continue;
                };
                let bounded = Bounded {
                    value: value.clone(),
                    bound: run.bound(name, case.precision),
                    rate: graph.output_type(name).map_or(Rate::Static, |ty| ty.rate),
                };
                arrays.insert(key, bounded);
            }
            if matches!(quantity, Quantity::Gradient | Quantity::HessianVector) {
                add_constants(*quantity, self.recurrence(), case, &mut arrays);
            }
            bound_zeros(*quantity, case.precision, &mut arrays);
        }
        Ok(Expected { arrays })
    }
}

/// Adds zeros for parameters and inputs that have no derivative, such as conditions: other code may answer them.
fn add_constants(
    quantity: Quantity,
    recurrence: &Recurrence,
    case: &Case,
    arrays: &mut IndexMap<(Quantity, String), Bounded>,
) {
    for leaf in recurrence.tape().leaves() {
        let key = (quantity, leaf.name().to_owned());
        let array = case.array(leaf.name()).filter(|_| leaf.ty().is_real());
        if let Some(array) = array.filter(|_| !arrays.contains_key(&key)) {
            let bounded = Bounded {
                value: ArrayD::zeros(array.shape()),
                bound: 0.0,
                rate: leaf.ty().rate,
            };
            arrays.insert(key, bounded);
        }
    }
}

/// Bounds the rounding errors of arrays of zeros, in which terms of the size of the other arrays may cancel.
fn bound_zeros(
    quantity: Quantity,
    precision: Precision,
    arrays: &mut IndexMap<(Quantity, String), Bounded>,
) {
    let own = |key: &(Quantity, String)| key.0 == quantity;
    let entries = arrays.iter().filter(|(key, _)| own(key));
    let largest = entries
        .flat_map(|(_, b)| &b.value)
        .fold(0.0, |m: f64, x| m.max(x.abs()));
    let unit = match precision {
        Precision::F32 => f64::from(f32::EPSILON),
        Precision::F64 => f64::EPSILON,
    };
    for (_, bounded) in arrays.iter_mut().filter(|(key, _)| own(key)) {
        if bounded.value.iter().all(|x| *x == 0.0) {
            bounded.bound = bounded.bound.max(MARGIN * unit * largest);
        }
    }
}

/// The quantity and the name of an output of a graph, unless another graph gives it.
pub(crate) fn key(
    quantity: Quantity,
    graph: &Recurrence,
    output: &str,
) -> Option<(Quantity, String)> {
    let name = match (quantity, graph.role(output)) {
        (Quantity::Output, _) if output == LOSS => return Some((Quantity::Loss, LOSS.into())),
        (Quantity::Output, _) => output.into(),
        (Quantity::Tangent, Some(Derived::Tangent(of)))
        | (Quantity::Gradient | Quantity::HessianVector, Some(Derived::Cotangent(of))) => {
            of.to_string()
        }
        _ => return None,
    };
    Some((quantity, name))
}

impl Expected {
    /// An array.
    #[must_use]
    pub fn get(&self, quantity: Quantity, name: &str) -> Option<&Bounded> {
        self.iter()
            .find(|(q, n, _)| *q == quantity && *n == name)
            .map(|(_, _, bounded)| bounded)
    }

    /// All arrays: loss, outputs, gradients, Hessian products.
    pub fn iter(&self) -> impl Iterator<Item = (Quantity, &str, &Bounded)> {
        self.arrays.iter().map(|((q, n), b)| (*q, &**n, b))
    }
}

/// The data of a case, with the directions that a derivative takes.
pub(crate) fn with_directions(graph: &Recurrence, case: &Case) -> (Params<f64>, Batch<f64>) {
    let (mut params, mut batch) = (case.params.clone(), case.batch.clone());
    for leaf in graph.tape().leaves() {
        let Some(Derived::Tangent(of)) = leaf.derived() else {
            continue;
        };
        let Some(along) = case.direction.get(of) else {
            continue;
        };
        match leaf.role() {
            Role::Parameter => params.insert(leaf.name(), along.clone()),
            Role::Input => batch.insert(leaf.name(), along.clone()),
        }
    }
    (params, batch)
}

/// The outputs of a graph on some data, and bounds on the rounding errors of any other evaluation; see
/// [`Expected`](Expected#bounds).
///
/// ```
/// use bptt::{Batch, Params, Recurrence};
/// use bptt_testing::{Precision, Rounding};
/// use ndarray::array;
/// let sum = Recurrence::parse("sum.rec", "input x\noutput total = sum(x)\nloss x\n")?;
/// let batch = Batch::new(2, 1).with("x", array![[1.0], [2.0]]);
/// let rounding = Rounding::of(&sum, &Params::new(), &batch)?;
/// assert_eq!(rounding.outputs().loss()?, 3.0);
/// assert!(rounding.bound("loss", Precision::F64) < 1e-13);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Rounding {
    exact: Outputs<f64>,
    errors: IndexMap<String, f64>,
    /// The changes in `f64` of outputs that have few correct digits in `f32`.
    spread: IndexMap<String, f64>,
}

impl Rounding {
    /// Evaluates the graph, and measures rounding errors.
    ///
    /// # Errors
    /// If the data does not fit, or a number is not finite.
    pub fn of(graph: &Recurrence, params: &Params<f64>, batch: &Batch<f64>) -> Result<Self> {
        let exact = graph.evaluate(params, batch)?;
        let mut errors: IndexMap<String, f64> = IndexMap::new();
        let mut measure = |exact: &Outputs<f64>, params: &Params<f64>, batch: &Batch<f64>| {
            // A number that overflows in `f32` gives no estimate.
            let Ok(narrow) = graph.evaluate::<f32>(&params.cast(), &batch.cast()) else {
                return;
            };
            for (name, array) in exact.iter() {
                let pairs = array.iter().zip(narrow.get(name).into_iter().flatten());
                let error = pairs.fold(0.0, |m: f64, (a, b)| m.max((a - f64::from(*b)).abs()));
                let largest = errors.entry(name.into()).or_default();
                *largest = largest.max(error);
            }
        };
        measure(&exact, params, batch);
        for seed in 0..NEARBY {
            let (params, batch) = nearby(graph, params, batch, seed);
            if let Ok(exact) = graph.evaluate(&params, &batch) {
                measure(&exact, &params, &batch);
            }
        }
        let mut found = Self {
            exact,
            errors,
            spread: IndexMap::new(),
        };
        found.measure_spread(graph, params, batch);
        Ok(found)
    }

    /// The outputs in `f64`.
    #[must_use]
    pub const fn outputs(&self) -> &Outputs<f64> {
        &self.exact
    }

    /// The bound on the rounding error of each entry of an output in arithmetic of this precision.
    #[must_use]
    pub fn bound(&self, name: &str, precision: Precision) -> f64 {
        let largest = self.largest(name);
        let unknown = UNKNOWN * largest;
        let error = self.errors.get(name).copied().unwrap_or(unknown);
        let narrow = MARGIN * error.max(f64::from(f32::EPSILON) * largest);
        match (precision, self.spread.get(name)) {
            (Precision::F32, _) => narrow,
            (Precision::F64, None) => narrow / WIDER,
            (Precision::F64, Some(spread)) => (narrow / WIDER).max(MARGIN * spread),
        }
    }

    fn largest(&self, name: &str) -> f64 {
        let entries = self.exact.get(name).into_iter().flatten();
        entries.fold(0.0, |m: f64, x| m.max(x.abs()))
    }

    /// Where `f32` has few correct digits, as in chaotic systems, its errors say nothing about `f64`. There the change
    /// of the outputs is measured when the data changes by some units in the last place.
    fn measure_spread(&mut self, graph: &Recurrence, params: &Params<f64>, batch: &Batch<f64>) {
        let lost = |name: &str| {
            let error = self.errors.get(name).copied().unwrap_or_default();
            error > LOST * self.largest(name)
        };
        let names: Vec<String> = self.exact.iter().map(|(n, _)| n.to_owned()).collect();
        let lost: Vec<String> = names.into_iter().filter(|n| lost(n)).collect();
        if lost.is_empty() {
            return;
        }
        for seed in 0..NEARBY {
            let (params, batch) = changed(graph, params, batch, (seed, 8.0 * f64::EPSILON));
            let Ok(found) = graph.evaluate(&params, &batch) else {
                continue;
            };
            for name in &lost {
                let pairs = self.exact[name.as_str()].iter().zip(&found[name.as_str()]);
                let change = pairs.fold(0.0, |m: f64, (a, b)| m.max((a - b).abs()));
                let spread = self.spread.entry(name.clone()).or_default();
                *spread = spread.max(change);
            }
        }
    }
}

/// The data with each real number changed by at most one part in a hundred.
fn nearby(
    graph: &Recurrence,
    params: &Params<f64>,
    batch: &Batch<f64>,
    seed: u64,
) -> (Params<f64>, Batch<f64>) {
    changed(graph, params, batch, (seed, 0.01))
}

/// The data with each real number changed by at most this part.
fn changed(
    graph: &Recurrence,
    params: &Params<f64>,
    batch: &Batch<f64>,
    (seed, part): (u64, f64),
) -> (Params<f64>, Batch<f64>) {
    let (mut params, mut batch) = (params.clone(), batch.clone());
    let mut noise = Noise(Noise::mixed(seed));
    let conditions = graph.conditions().unwrap_or_default();
    for leaf in graph.tape().leaves() {
        let array = match leaf.role() {
            Role::Parameter => params.get_mut(leaf.name()),
            Role::Input => batch.get_mut(leaf.name()),
        };
        let varies = leaf.classes().is_none() && !conditions.contains(&leaf.name());
        for x in array.filter(|_| varies).into_iter().flatten() {
            *x *= 1.0 + part * noise.number();
        }
    }
    (params, batch)
}
