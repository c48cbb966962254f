//! The order in which a model applies its modules, which follows from their sizes or is given.

use super::module::{Body, Module, Origin};
use super::options::Import;
use super::state::refused;
use crate::error::{Error, Result, quoted};

/// The most steps of the search.
const MOST_STEPS: usize = 100_000;

/// The suffix of a prefix in a given order that says that a matrix is an embedding.
const EMBEDDING: &str = ":embedding";

/// A module by its position, and whether it is an embedding.
type Chain = Vec<(usize, bool)>;

/// The modules in their order, and a remark if the sizes allow another one. Recurrent layers come before norms, and
/// these before linear layers, if that is possible in one way.
pub(super) fn ordered(
    modules: Vec<Module>,
    options: &Import,
) -> Result<(Vec<Module>, Option<String>)> {
    let modules = match options.order.is_empty() {
        true => modules,
        false => given(modules, &options.order)?,
    };
    // A file of Keras has the order of the model.
    let is_given = !options.order.is_empty() || in_file_order(&modules);
    let search = |is_usual| Search::of(&modules, is_given, is_usual);
    let shown = |chain: &Chain| {
        let name = |(at, embeds): &(usize, bool)| {
            let end = if *embeds { EMBEDDING } else { "" };
            format!("{}{end}", label(&modules[*at]))
        };
        chain.iter().map(name).collect::<Vec<_>>().join(",")
    };
    let taken = |chain: &Chain| {
        chain
            .iter()
            .map(|(at, embeds)| as_module(&modules[*at], *embeds))
            .collect()
    };
    let all = search(false);
    match (&search(true)[..], &all[..]) {
        ([one], [_]) => Ok((taken(one), None)),
        ([one], all) => {
            let other = all.iter().find(|chain| *chain != one).map(&shown);
            let note = format!(
                "the order of the modules is taken as {}, and their sizes allow {} too: give `Import::order` if that is meant",
                shown(one),
                other.unwrap_or_default()
            );
            Ok((taken(one), Some(note)))
        }
        (_, [one]) => Ok((taken(one), None)),
        (_, []) => Err(refused(format!(
            "the modules do not fit behind each other: {}; each must take as many values as the one before it gives. Give their \
             order with `Import::order`, or leave one out with `Import::ignoring`",
            described(&modules)
        ))),
        (_, several) => {
            let chains: Vec<String> = several.iter().map(shown).collect();
            Err(refused(format!(
                "the sizes of {} leave their order open: give it with `Import::order`, such as {}",
                quoted(modules.iter().map(Module::name)),
                quoted(chains.iter().map(String::as_str))
            )))
        }
    }
}

/// If the modules of Keras fit behind each other as the file has them.
fn in_file_order(modules: &[Module]) -> bool {
    modules.iter().all(|m| m.origin == Origin::Keras)
        && !Search::of(modules, true, false).is_empty()
}

/// A module, as an embedding if `embeds`.
fn as_module(module: &Module, embeds: bool) -> Module {
    let module = module.clone();
    match module.body {
        Body::Linear(weight, None) if embeds => Module {
            body: Body::Embedding(weight),
            ..module
        },
        _ => module,
    }
}

/// The place of a kind in the usual order.
const fn rank(module: &Module, embeds: bool) -> usize {
    match module.body {
        _ if embeds => 0,
        Body::Embedding(_) => 0,
        Body::Recurrent(_) => 1,
        Body::Norm(..) => 2,
        Body::Linear(..) => 3,
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

/// The name of a module in an order: its prefix, or its kind if it has none.
fn label(module: &Module) -> String {
    match module.prefix.is_empty() {
        true => module.kind().replace(' ', "-"),
        false => module.prefix.clone(),
    }
}

/// The modules in the order of their prefixes.
fn given(mut modules: Vec<Module>, order: &[String]) -> Result<Vec<Module>> {
    let known: Vec<String> = modules.iter().map(label).collect();
    let mut found = Vec::new();
    for entry in order {
        let prefix = entry.strip_suffix(EMBEDDING).unwrap_or(entry);
        let Some(at) = modules.iter().position(|m| label(m) == prefix) else {
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
    /// If the kinds come in the usual order.
    is_usual: bool,
    found: Vec<Chain>,
    steps: usize,
}

impl<'m> Search<'m> {
    /// One or two orders that fit; none if the search takes too long.
    fn of(modules: &'m [Module], is_given: bool, is_usual: bool) -> Vec<Chain> {
        let mut search = Self {
            modules,
            is_given,
            is_usual,
            found: Vec::new(),
            steps: 0,
        };
        search.extend(&mut Vec::new());
        match search.steps < MOST_STEPS {
            true => search.found,
            false => Vec::new(),
        }
    }

    /// Finds up to two orders that begin with these modules.
    fn extend(&mut self, chain: &mut Chain) {
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
            let may_embed = module.origin == Origin::PyTorch
                && matches!(module.body, Body::Linear(_, None))
                && gives.is_none();
            let fits = match (gives, module.takes()) {
                (None, _) => true,
                (Some(gives), takes) => takes == Some(gives),
            };
            for embeds in [false, true] {
                let last = chain
                    .last()
                    .map_or(0, |(at, embeds)| rank(&self.modules[*at], *embeds));
                let is_usual = !self.is_usual || last <= rank(module, embeds);
                if fits && is_usual && (!embeds || may_embed) {
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
    (stem.trim_end_matches('_'), name[stem.len()..].parse().ok())
}
