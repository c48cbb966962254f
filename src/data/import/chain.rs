//! The order in which a model applies its modules, which follows from their sizes or is given.

use super::module::{Body, Module};
use super::options::Import;
use super::state::refused;
use crate::error::{Error, Result, quoted};

/// The most steps of the search.
const MOST_STEPS: usize = 100_000;

/// The suffix of a prefix in a given order that says that a matrix is an embedding.
const EMBEDDING: &str = ":embedding";

/// The modules in their order.
pub(super) fn ordered(modules: Vec<Module>, options: &Import) -> Result<Vec<Module>> {
    let modules = match options.order.is_empty() {
        true => modules,
        false => given(modules, &options.order)?,
    };
    let mut search = Search {
        modules: &modules,
        is_given: !options.order.is_empty(),
        found: Vec::new(),
        steps: 0,
    };
    search.extend(&mut Vec::new());
    let all = || quoted(modules.iter().map(Module::name));
    match &search.found[..] {
        [one] if search.steps < MOST_STEPS => Ok(one
            .iter()
            .map(|(at, embeds)| search.module(*at, *embeds))
            .collect()),
        [] => Err(refused(format!(
            "the modules do not fit behind each other: {}; each must take as many values as the one before it gives. Give their \
             order with `Import::order`, or leave one out with `Import::ignoring`",
            described(&modules)
        ))),
        found => {
            let show = |chain: &Vec<(usize, bool)>| {
                let name = |(at, embeds): &(usize, bool)| {
                    format!(
                        "{}{}",
                        modules[*at].prefix,
                        if *embeds { EMBEDDING } else { "" }
                    )
                };
                chain.iter().map(name).collect::<Vec<_>>().join(",")
            };
            let chains: Vec<String> = found.iter().map(show).collect();
            Err(refused(format!(
                "the sizes of {} leave their order open: give it with `Import::order`, such as {}",
                all(),
                quoted(chains.iter().map(String::as_str))
            )))
        }
    }
}

fn described(modules: &[Module]) -> String {
    let one = |m: &Module| {
        let takes = m
            .takes()
            .map_or_else(|| "a class".into(), |n| n.to_string());
        format!("`{}` ({}, {takes} → {})", m.name(), m.kind(), m.gives())
    };
    modules.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The modules in the order of their prefixes.
fn given(mut modules: Vec<Module>, order: &[String]) -> Result<Vec<Module>> {
    let known: Vec<String> = modules.iter().map(|m| m.prefix.clone()).collect();
    let mut found = Vec::new();
    for entry in order {
        let prefix = entry.strip_suffix(EMBEDDING).unwrap_or(entry);
        let Some(at) = modules.iter().position(|m| m.prefix == prefix) else {
            return Err(Error::UnknownName {
                what: "module of the model, or it is given twice,",
                name: prefix.into(),
                known,
            });
        };
        let mut module = modules.remove(at);
        if prefix != entry {
            module.body = match module.body {
                Body::Linear(weight, None) => Body::Embedding(weight),
                body => body,
            };
        }
        found.push(module);
    }
    match modules.is_empty() {
        true => Ok(found),
        false => Err(refused(format!(
            "the order leaves out {}: name every module once, or leave it out with `Import::ignoring`",
            quoted(modules.iter().map(Module::name))
        ))),
    }
}

struct Search<'m> {
    modules: &'m [Module],
    is_given: bool,
    found: Vec<Vec<(usize, bool)>>,
    steps: usize,
}

impl Search<'_> {
    /// A module, as an embedding if `embeds`.
    fn module(&self, at: usize, embeds: bool) -> Module {
        let module = self.modules[at].clone();
        match module.body {
            Body::Linear(weight, None) if embeds => Module {
                body: Body::Embedding(weight),
                ..module
            },
            _ => module,
        }
    }

    /// Finds up to two orders that begin with these modules.
    fn extend(&mut self, chain: &mut Vec<(usize, bool)>) {
        self.steps += 1;
        if self.found.len() > 1 || self.steps >= MOST_STEPS {
            return;
        }
        if chain.len() == self.modules.len() {
            self.found.push(chain.clone());
            return;
        }
        let gives = chain
            .last()
            .map(|(at, embeds)| match (&self.modules[*at].body, embeds) {
                (Body::Linear(weight, None), true) => weight.columns(),
                _ => self.modules[*at].gives(),
            });
        for at in 0..self.modules.len() {
            let is_next = !self.is_given || at == chain.len();
            if !is_next || chain.iter().any(|(used, _)| *used == at) || self.is_late(at, chain) {
                continue;
            }
            let module = &self.modules[at];
            let may_embed = matches!(module.body, Body::Linear(_, None)) && gives.is_none();
            let fits = match (gives, module.takes()) {
                (None, _) => true,
                (Some(gives), takes) => takes == Some(gives),
            };
            for embeds in [false, true] {
                if fits && (!embeds || may_embed) {
                    chain.push((at, embeds));
                    self.extend(chain);
                    chain.pop();
                }
            }
        }
    }

    /// If a module with the same name and a smaller number is still missing: `fc1` comes before `fc2`.
    fn is_late(&self, at: usize, chain: &[(usize, bool)]) -> bool {
        if self.is_given {
            return false;
        }
        let (stem, number) = numbered(&self.modules[at].prefix);
        self.modules.iter().enumerate().any(|(other, module)| {
            let (other_stem, before) = numbered(&module.prefix);
            other_stem == stem && before < number && !chain.iter().any(|(used, _)| *used == other)
        })
    }
}

/// A name and the number at its end.
fn numbered(name: &str) -> (&str, Option<u64>) {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    (stem, name[stem.len()..].parse().ok())
}
