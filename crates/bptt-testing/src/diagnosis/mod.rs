//! The mistake behind wrong numbers.

mod candidates;
mod circumstances;
mod place;

use std::fmt;

use indexmap::IndexMap;

use crate::finding::{Evidence, Key, compare};
use crate::mistakes::{Relation, relations};
use crate::quantity::first_of;
use crate::{Cases, Finding, Foreign, Quantity, Reference};

pub use circumstances::{Circumstance, Outcome};

/// Wrong numbers, and all that is needed to ask for more.
pub(crate) struct Subject<'a> {
    pub(crate) cases: &'a Cases<'a>,
    pub(crate) reference: &'a Reference,
    pub(crate) evidence: &'a [Evidence],
    pub(crate) seed: u64,
}

/// A mistake that gives exactly the numbers of the foreign code.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NamedMistake {
    /// The name in the [catalogue](crate::mistakes::CATALOGUE) or, if the wrong arrays are simple functions of the right
    /// ones, among the [relations](crate::mistakes::RELATIONS).
    pub name: &'static str,
    /// The mistake as a sentence, without a full stop.
    pub statement: String,
    /// The places at which it gives these numbers: values, terms, parameters.
    pub places: Vec<String>,
    /// A well-known system that once shipped it.
    pub seen: Option<&'static str>,
    /// The mistake explains the loss and the outputs alone; the gradients differ from those of this mistake.
    pub forward_only: bool,
}

/// The mistake behind wrong numbers, as far as it was found, and the conditions under which the numbers are right.
///
/// A mistake is named if it gives the numbers of the foreign code in every case that is compared, up to rounding. If none
/// is, the arrays, the gate, the steps and the conditions show where to look.
#[derive(Clone, Debug, Default)]
pub struct Diagnosis {
    mistakes: Vec<NamedMistake>,
    is_incomplete: bool,
    wrong: Vec<Key>,
    right: Vec<Key>,
    gate: Option<String>,
    steps: Vec<(String, Vec<usize>)>,
    circumstances: Vec<Circumstance>,
}

/// The wrong cases that a mistake must explain.
const WRONG: usize = 4;
/// The right cases that a mistake must explain too.
const RIGHT: usize = 2;

impl Diagnosis {
    pub(crate) fn of(subject: &Subject<'_>, foreign: &mut dyn Foreign) -> Self {
        let (wrong, right) = split(subject.evidence);
        let is_wrong = |e: &&Evidence| !compare(e, 0).iter().all(Finding::agrees);
        let (bad, good): (Vec<&Evidence>, Vec<&Evidence>) =
            subject.evidence.iter().partition(is_wrong);
        let evidence: Vec<&Evidence> = bad
            .into_iter()
            .take(WRONG)
            .chain(good.into_iter().take(RIGHT))
            .collect();
        let by_relation = relations(subject.evidence, &wrong).map(|found| named(&found));
        let simple = by_relation.as_ref().is_some_and(|named| named.len() == 1);
        let found = match (&by_relation, simple) {
            (Some(named), true) => Some(named.clone()),
            _ => candidates::search(subject.reference, &evidence, &wrong, &|| {
                foreign.is_stopped()
            }),
        };
        let is_incomplete = found.is_none();
        let mut mistakes = found.unwrap_or_default();
        if mistakes.is_empty() {
            mistakes = by_relation.unwrap_or_default();
        }
        let (circumstances, shortest) = circumstances::ask(subject, foreign);
        // With few steps a mistake has not spread from its gate to the others.
        let near: Vec<&Evidence> = match &shortest {
            Some(shortest) => vec![shortest],
            None => evidence,
        };
        Self {
            mistakes,
            is_incomplete,
            gate: place::gate(subject.reference.recurrence(), &near),
            steps: place::steps(subject.evidence, &wrong),
            circumstances,
            wrong,
            right,
        }
    }

    /// The mistake that gives exactly these numbers, or one for each part of the wrong arrays. None, if it is not in the
    /// catalogue.
    #[must_use]
    pub fn mistakes(&self) -> &[NamedMistake] {
        &self.mistakes
    }

    /// The wrong arrays.
    pub fn wrong(&self) -> impl Iterator<Item = (Quantity, &str)> {
        self.wrong.iter().map(|(q, n)| (*q, &**n))
    }

    /// The right arrays.
    pub fn right(&self) -> impl Iterator<Item = (Quantity, &str)> {
        self.right.iter().map(|(q, n)| (*q, &**n))
    }

    /// The named value, such as a gate, through which all parameters with a wrong gradient enter, in the shortest samples
    /// that are wrong.
    #[must_use]
    pub fn gate(&self) -> Option<&str> {
        self.gate.as_deref()
    }

    /// The conditions that were tried, with their outcomes.
    #[must_use]
    pub fn circumstances(&self) -> &[Circumstance] {
        &self.circumstances
    }
}

/// The arrays that are wrong in some case, and the others.
fn split(evidence: &[Evidence]) -> (Vec<Key>, Vec<Key>) {
    let mut wrong: Vec<Key> = Vec::new();
    let mut all: Vec<Key> = Vec::new();
    for e in evidence {
        for finding in compare(e, 0) {
            let key = (finding.quantity, finding.name.clone());
            if !all.contains(&key) {
                all.push(key.clone());
            }
            if !finding.agrees() && !wrong.contains(&key) {
                wrong.push(key);
            }
        }
    }
    all.retain(|key| !wrong.contains(key));
    (wrong, all)
}

/// Relations as mistakes: arrays with relations of one kind together.
fn named(found: &[(Key, Relation)]) -> Vec<NamedMistake> {
    let mut kinds: IndexMap<&str, Vec<&(Key, Relation)>> = IndexMap::new();
    for entry in found {
        kinds.entry(entry.1.mistake().0).or_default().push(entry);
    }
    let with = |text: String, relation: &Relation| match relation.to_string() {
        detail if detail.is_empty() => text,
        detail => format!("{text}: {detail}"),
    };
    let mistakes = kinds.into_iter().map(|(name, entries)| {
        let first = &entries[0].1;
        let places = match entries.iter().all(|(_, relation)| relation == first) {
            true => {
                let keys: Vec<Key> = entries.iter().map(|(key, _)| key.clone()).collect();
                vec![with(listed(&keys), first)]
            }
            false => {
                let one = |key: &Key| listed(std::slice::from_ref(key));
                entries
                    .iter()
                    .map(|(key, relation)| with(one(key), relation))
                    .collect()
            }
        };
        NamedMistake {
            name,
            statement: first.mistake().1.into(),
            places,
            seen: None,
            forward_only: false,
        }
    });
    mistakes.collect()
}

/// The names of arrays; a gradient has the name of its parameter.
fn listed(keys: &[Key]) -> String {
    const SHOWN: usize = 12;
    let name = |(quantity, name): &Key| match quantity {
        Quantity::Gradient => format!("`{name}`"),
        quantity => quantity.of(name),
    };
    match keys.is_empty() {
        true => "none".into(),
        false => first_of(keys.iter().map(name), SHOWN),
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 4;
        for (i, mistake) in self.mistakes.iter().enumerate() {
            let start = if i == 0 { "the mistake" } else { "and" };
            writeln!(f, "  {start}: {}", mistake.statement)?;
            for place in mistake.places.iter().take(SHOWN) {
                writeln!(f, "    {place}")?;
            }
            if mistake.places.len() > SHOWN {
                let more = mistake.places.len() - SHOWN;
                writeln!(f, "    and {}", bptt::counted(more, "more place"))?;
            }
            if let Some(seen) = mistake.seen {
                writeln!(f, "    seen in {seen}")?;
            }
            if mistake.forward_only {
                writeln!(
                    f,
                    "    this explains the loss; the gradient is not the gradient of that either"
                )?;
            }
        }
        if self.mistakes.is_empty() && self.is_incomplete {
            writeln!(
                f,
                "  the catalogue was not searched to its end: it takes too long for these sizes; give smaller ones"
            )?;
        } else if self.mistakes.is_empty() {
            writeln!(f, "  the mistake is not in the catalogue")?;
        }
        write!(
            f,
            "  wrong: {}; right: {}",
            listed(&self.wrong),
            listed(&self.right)
        )?;
        if let Some(gate) = &self.gate {
            write!(
                f,
                "\n  in the shortest wrong samples, all parameters with a wrong gradient enter through `{gate}`"
            )?;
        }
        for (name, steps) in &self.steps {
            let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
            write!(f, "\n  `{name}` is wrong at the steps {}", steps.join(", "))?;
        }
        for circumstance in &self.circumstances {
            write!(f, "\n  {circumstance}")?;
        }
        Ok(())
    }
}
