//! The search for a mistake of the catalogue that gives the numbers of foreign code.

use std::cell::OnceCell;
use std::time::{Duration, Instant};

use bptt::{Derived, Edit, Expr, NodeId, NodeSite, Op, Recurrence, Wrt};
use indexmap::IndexMap;
use ndarray::{Array2, ArrayD};

use super::NamedMistake;
use crate::expected::{key, with_directions};
use crate::finding::{Evidence, Key};
use crate::mistakes::{CATALOGUE, Change, Fault, MadeBy, Mistake, allowed, sites, size};
use crate::{Case, Quantity, Reference};

/// Arrays by quantity and name.
type Numbers = IndexMap<Key, ArrayD<f64>>;

/// The most places of a mistake that are looked for.
const PLACES: usize = 8;

/// The time after which a search ends.
const BUDGET: Duration = Duration::from_secs(60);

/// The first mistake of the catalogue that gives the answered numbers in every case; `None` if the search took too long,
/// or was stopped.
pub(super) fn search(
    reference: &Reference,
    evidence: &[&Evidence],
    wrong: &[Key],
    is_stopped: &dyn Fn() -> bool,
) -> Option<Vec<NamedMistake>> {
    let second_order = wrong.iter().all(|(q, _)| *q == Quantity::HessianVector);
    let loss_is_wrong = wrong
        .iter()
        .any(|(q, _)| matches!(q, Quantity::Loss | Quantity::Output));
    let end = Instant::now() + BUDGET;
    let is_over = || is_stopped() || Instant::now() > end;
    let search = Search {
        reference,
        evidence,
        second_order,
        annotated: OnceCell::new(),
        absent: absent(evidence, wrong),
        is_over: &is_over,
    };
    let is_of_gradient =
        |m: &&Mistake| matches!(m.made_by, MadeBy::Gradient(_) | MadeBy::GradientOfData(_));
    let of_recurrence = || CATALOGUE.iter().filter(|m| !is_of_gradient(m));
    // A wrong loss comes from a wrong recurrence, even where the gradient is not the gradient of that.
    let found = of_recurrence()
        .find_map(|m| search.places(m, false))
        .or_else(|| match loss_is_wrong {
            true => of_recurrence().find_map(|m| search.places(m, true)),
            false => None,
        })
        .or_else(|| {
            CATALOGUE
                .iter()
                .filter(is_of_gradient)
                .find_map(|m| search.places(m, false))
        });
    match (found, is_over()) {
        (Some(found), _) => Some(vec![found]),
        (None, true) => None,
        (None, false) => Some(Vec::new()),
    }
}

/// The numbers that a change of the data must explain.
#[derive(Clone, Copy)]
enum Scope {
    All,
    Forward,
    Gradient,
}

struct Search<'a> {
    reference: &'a Reference,
    evidence: &'a [&'a Evidence],
    second_order: bool,
    annotated: OnceCell<Recurrence>,
    /// Inputs and starts whose gradient is zero in every case though it should not be. A backward pass that stops early
    /// often leaves them out.
    absent: Vec<String>,
    is_over: &'a dyn Fn() -> bool,
}

impl Search<'_> {
    /// The places at which a mistake gives the answered numbers; `forward` compares the loss and the outputs alone.
    fn places(&self, mistake: &Mistake, forward: bool) -> Option<NamedMistake> {
        let places = match mistake.made_by {
            MadeBy::Gradient(_) | MadeBy::GradientOfData(_) if forward => Vec::new(),
            MadeBy::Gradient(fault) => self.of_gradient(fault),
            _ if self.second_order => Vec::new(),
            MadeBy::Forward(fault) => {
                self.of_recurrence(self.reference.recurrence(), fault, forward, None)
            }
            MadeBy::Masked(fault) => self.of_masked(fault, forward),
            MadeBy::Data(changes) if forward => self.of_data(changes, Scope::Forward),
            MadeBy::Data(changes) => self.of_data(changes, Scope::All),
            MadeBy::GradientOfData(changes) => self.of_data(changes, Scope::Gradient),
        };
        (!places.is_empty()).then(|| NamedMistake {
            name: mistake.name,
            statement: mistake.statement.into(),
            places,
            seen: mistake.seen,
            forward_only: forward,
        })
    }

    /// Faults of the gradient, or of the Hessian product.
    fn of_gradient(&self, fault: Fault) -> Vec<String> {
        let graph = self.annotated.get_or_init(|| match self.second_order {
            true => self.reference.hessian().clone(),
            false => annotated(self.reference),
        });
        let quantity = match self.second_order {
            true => Quantity::HessianVector,
            false => Quantity::Gradient,
        };
        let mutants = sites(graph, fault)
            .into_iter()
            .filter_map(|site| site.mutant(graph));
        let fitting =
            mutants.filter(|mutant| self.explains(|e| run(&mutant.graph, quantity, &e.case)));
        distinct(fitting.map(|mutant| mutant.place))
    }

    /// Faults of a recurrence, which is differentiated afterwards.
    fn of_recurrence(
        &self,
        recurrence: &Recurrence,
        fault: Fault,
        forward: bool,
        data: Option<&dyn Fn(&Case) -> Case>,
    ) -> Vec<String> {
        let case = |e: &Evidence| data.map_or_else(|| e.case.clone(), |data| data(&e.case));
        let mutants = sites(recurrence, fault)
            .into_iter()
            .filter_map(|site| site.mutant(recurrence));
        let fitting = mutants.filter(|mutant| {
            let values = |e: &Evidence| run(&mutant.graph, Quantity::Output, &case(e));
            if !self.explains(values) {
                return false;
            }
            if forward {
                return self.has_loss();
            }
            let Ok(gradient) = mutant.graph.gradient(Wrt::Everything) else {
                return false;
            };
            self.explains(|e| run(&gradient, Quantity::Gradient, &case(e)))
        });
        distinct(fitting.map(|mutant| mutant.place))
    }

    /// Faults of the recurrence with a mask in place of lengths.
    fn of_masked(&self, fault: Fault, forward: bool) -> Vec<String> {
        const MASK: &str = "active_steps_of_the_batch";
        let ragged = |e: &Evidence| e.case.lengths().iter().any(|n| *n < e.case.batch.steps());
        if !self.evidence.iter().any(|e| ragged(e)) {
            return Vec::new();
        }
        let Ok(masked) = self.reference.recurrence().with_mask(MASK) else {
            return Vec::new();
        };
        let data = |case: &Case| {
            let lengths = case.lengths();
            let (steps, samples) = (case.batch.steps(), case.batch.samples());
            let mask = Array2::from_shape_fn((steps, samples), |(t, b)| {
                f64::from(u8::from(t < lengths[b]))
            });
            let mut case = case.clone();
            case.batch = case
                .batch
                .with_lengths(vec![steps; samples])
                .with(MASK, mask);
            case
        };
        let found = self.of_recurrence(&masked, fault, forward, Some(&data));
        let found = found.into_iter().map(|place| place.replace(MASK, "length"));
        found.collect()
    }

    /// Changes of the data.
    fn of_data(&self, changes: fn(&Recurrence, &Case) -> Vec<Change>, scope: Scope) -> Vec<String> {
        let Some(first) = self.evidence.first() else {
            return Vec::new();
        };
        let recurrence = self.reference.recurrence();
        let fitting = changes(recurrence, &first.case)
            .into_iter()
            .filter(|change| {
                // A case that the change does not apply to must be right.
                let applied = self
                    .evidence
                    .iter()
                    .any(|e| change.apply(&e.case).is_some());
                let changed =
                    |e: &Evidence| change.apply(&e.case).unwrap_or_else(|| e.case.clone());
                let forward = || self.explains(|e| run(recurrence, Quantity::Output, &changed(e)));
                let gradient = || self.explains(|e| self.gradient_after(change, e));
                applied
                    && match scope {
                        Scope::All => forward() && gradient(),
                        Scope::Forward => self.has_loss() && forward(),
                        Scope::Gradient => gradient(),
                    }
            });
        distinct(fitting.map(|change| change.to_string()))
    }

    /// The gradient on changed data, with respect to the data before the change.
    fn gradient_after(&self, change: &Change, e: &Evidence) -> Option<Numbers> {
        let changed = change.apply(&e.case);
        let case = changed.as_ref().unwrap_or(&e.case);
        let found = run(self.reference.gradient(), Quantity::Gradient, case)?;
        let mut params = bptt::Params::new();
        let gradients = found.iter().filter(|((q, _), _)| *q == Quantity::Gradient);
        for ((_, name), array) in gradients {
            params.insert(name, array.clone());
        }
        let back = match changed {
            Some(_) => change.pull_back(&e.case, params)?,
            None => params,
        };
        let named = |name: &str| (Quantity::Gradient, name.to_owned());
        Some(back.iter().map(|(n, a)| (named(n), a.clone())).collect())
    }

    /// Returns true if the numbers of a mistake are those of the answer in every case. Quantities that the mistake does
    /// not give are not compared.
    fn explains(&self, numbers: impl Fn(&Evidence) -> Option<Numbers>) -> bool {
        !(self.is_over)()
            && self
                .evidence
                .iter()
                .all(|e| numbers(e).is_some_and(|found| equal(e, &found, &self.absent)))
    }

    /// Returns true if the answers have a loss or an output, so that a forward pass can be compared.
    fn has_loss(&self) -> bool {
        let forward = |q: Quantity| matches!(q, Quantity::Loss | Quantity::Output);
        self.evidence
            .iter()
            .all(|e| e.answer.iter().any(|(q, ..)| forward(q)))
    }
}

/// The inputs whose gradient is wrong and zero in every case, unless nothing else is wrong.
fn absent(evidence: &[&Evidence], wrong: &[Key]) -> Vec<String> {
    let is_zero = |e: &Evidence, name: &str| {
        let found = e.answer.get(Quantity::Gradient, name);
        e.case.batch.get(name).is_some() && found.is_some_and(|a| size(a) == 0.0)
    };
    let gradients = wrong.iter().filter(|(q, _)| *q == Quantity::Gradient);
    let zero = gradients.filter(|(_, name)| evidence.iter().all(|e| is_zero(e, name)));
    let zero: Vec<String> = zero.map(|(_, name)| name.clone()).collect();
    match zero.len() == wrong.len() {
        true => Vec::new(),
        false => zero,
    }
}

/// Returns true if each array of the answer that `numbers` has is the same there.
fn equal(e: &Evidence, numbers: &Numbers, absent: &[String]) -> bool {
    let lengths = e.case.lengths();
    e.answer.iter().all(|(quantity, name, found)| {
        if quantity == Quantity::Gradient && absent.iter().any(|a| a == name) {
            return true;
        }
        let Some(other) = numbers.get(&(quantity, name.to_owned())) else {
            return true;
        };
        let Some(right) = e.expected.get(quantity, name) else {
            return false;
        };
        let allowed = allowed(right, found, other, e.case.precision);
        let per_step = right.rate == bptt::Rate::Step;
        let beyond = |index: &[usize]| match (quantity, index) {
            (Quantity::Output | Quantity::Tangent, [t, b, ..]) => {
                per_step && lengths.get(*b).is_some_and(|n| t >= n)
            }
            _ => false,
        };
        found.shape() == other.shape()
            && found.indexed_iter().zip(other).all(|((index, a), b)| {
                let index: Vec<usize> = (0..found.ndim()).map(|axis| index[axis]).collect();
                beyond(&index) || (a - b).abs() <= allowed
            })
    })
}

/// The numbers of a graph for a case.
fn run(graph: &Recurrence, quantity: Quantity, case: &Case) -> Option<Numbers> {
    let (params, batch) = with_directions(graph, case);
    let found = graph.evaluate(&params, &batch).ok()?;
    let mut numbers = Numbers::new();
    for (name, array) in found.iter() {
        let key = match name == crate::answer::LOSS {
            true => Some((Quantity::Loss, name.to_owned())),
            false => key(quantity, graph, name),
        };
        if let Some(key) = key {
            numbers.insert(key, array.clone());
        }
    }
    Some(numbers)
}

fn distinct(places: impl Iterator<Item = String>) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for place in places {
        if !found.contains(&place) {
            found.push(place);
        }
        if found.len() == PLACES {
            break;
        }
    }
    found
}

/// The gradient, in which the derivative with respect to a state or a named value `c` has the name `δc`, so that places are
/// short.
fn annotated(reference: &Reference) -> Recurrence {
    let recurrence = reference.recurrence();
    let plain = || reference.gradient().clone();
    let tape = recurrence.tape();
    let mut names: Vec<&str> = Vec::new();
    let outputs = reference.gradient().outputs();
    names.extend(
        outputs.filter(|name| *name != crate::answer::LOSS && tape.leaf_named(name).is_some()),
    );
    let asked = names.len();
    for (id, node) in tape.nodes() {
        let inner = !matches!(node.op(), Op::Leaf(_)) && node.ty().is_real();
        names.extend(tape.label(id).filter(|_| inner));
    }
    let Ok(gradient) = recurrence.gradient(Wrt::Names(&names)) else {
        return plain();
    };
    let labels = names[asked..].iter().filter_map(|name| {
        let output = gradient.output_for(&Derived::Cotangent((*name).into()))?;
        Some((gradient.output_node(output)?, format!("δ{name}")))
    });
    let mut labels = Labels(labels.collect());
    gradient.edit(&mut labels).unwrap_or_else(|_| plain())
}

struct Labels(Vec<(NodeId, String)>);

impl<'b> Edit<'b> for Labels {
    fn node(&mut self, site: NodeSite<'_, 'b>) -> Expr<'b> {
        match self.0.iter().find(|(id, _)| *id == site.id) {
            Some((_, name)) => site.copy().named(name),
            None => site.copy(),
        }
    }
}
