//! Replaces names of a definition that would collide with names of the derivation. A derivation makes names of its
//! own, such as `delta.h`, `h.before` and `h.dot`, with a dot between the parts; a name of the definition that
//! contains a dot could equal one of them, so it is replaced by a name without a dot. A name that begins with an
//! underscore is also replaced, since it has no base in front of its label, and so is one with the sign `ᵀ`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::line::Line;
use crate::derive::algebra::term::Name;
use crate::recurrence::{Batch, Params, Recurrence};
use crate::tape::{Leaf, Role};

/// The replacements of names of a definition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Apart {
    replaced: HashMap<Arc<str>, Name>,
}

impl Apart {
    pub(crate) fn new(recurrence: &Recurrence) -> Self {
        let tape = recurrence.tape();
        let leaves = tape.leaves().iter().map(|l| Arc::from(l.name()));
        let own: Vec<Arc<str>> = tape
            .names()
            .map(|(name, _)| Arc::clone(name))
            .chain(leaves)
            .chain(recurrence.outputs().map(Into::into))
            .chain(tape.dims().map(Into::into))
            .collect();
        let states: HashSet<&str> = recurrence.states().collect();
        let parameters = tape.leaves().iter();
        let parameters = parameters.filter(|l| l.role() == Role::Parameter);
        let parameters: HashSet<&str> = parameters.map(Leaf::name).collect();
        let words = [Line::WORDS_FOR_STATES, Line::WORDS_FOR_PARAMETERS].concat();
        let words = words.into_iter().map(Into::into);
        let mut taken: HashSet<Arc<str>> = own.iter().cloned().chain(words).collect();
        let mut replaced = HashMap::new();
        for name in own {
            let word = states.contains(&*name) && Line::WORDS_FOR_STATES.contains(&&*name)
                || parameters.contains(&*name) && Line::WORDS_FOR_PARAMETERS.contains(&&*name);
            // Letters are printed; underscores separate them.
            let bare = name.starts_with('_');
            if !(word || bare || name.contains(['.', 'ᵀ'])) || replaced.contains_key(&name) {
                continue;
            }
            // An underscore at the end is not printed.
            let plain = match word {
                true => format!("{name}_"),
                false => name.replace('.', "_").replace('ᵀ', "_T"),
            };
            let plain = match plain.trim_start_matches('_') {
                rest if rest.starts_with(char::is_alphabetic) => rest.to_owned(),
                rest => format!("blank_{rest}").trim_end_matches('_').to_owned(),
            };
            let numbered = (2..).map(|n| format!("{plain}_{n}"));
            let mut wishes = std::iter::once(plain.clone()).chain(numbered);
            let free = wishes.find(|n| !taken.contains(&**n));
            let free: Name = free.unwrap_or(plain).into();
            taken.insert(Arc::clone(&free));
            replaced.insert(name, free);
        }
        Self { replaced }
    }

    /// The name that the derivation uses for `name`.
    pub(crate) fn name(&self, name: &str) -> Name {
        let known = self.replaced.get(name).cloned();
        known.unwrap_or_else(|| name.into())
    }

    /// The aliases, with the names that the derivation uses.
    pub(crate) fn aliases<'a>(&self, aliases: &[(&str, &'a str)]) -> Vec<(Name, &'a str)> {
        let own = aliases
            .iter()
            .map(|(name, shown)| (self.name(name), *shown));
        own.collect()
    }

    /// A recurrence with these names.
    pub(crate) fn recurrence(&self, recurrence: &Recurrence) -> Recurrence {
        match self.replaced.is_empty() {
            true => recurrence.clone(),
            false => recurrence.renamed(|name| self.name(name)),
        }
    }

    /// Parameters and a batch with these names.
    pub(crate) fn data(
        &self,
        params: &Params<f64>,
        batch: &Batch<f64>,
    ) -> (Params<f64>, Batch<f64>) {
        let rename = |name: &str| self.name(name).to_string();
        (params.renamed(rename), batch.renamed(rename))
    }
}
