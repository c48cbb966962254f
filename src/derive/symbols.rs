//! How names look: `W_H` with a subscript, `a_i` at a step with a superscript, and the letters
//! that the derivation uses itself, chosen so that no two things look alike.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::term::Name;
use crate::error::{Error, Result};
use crate::render::{Dialect, Math};

/// A name as it is shown.
#[derive(Clone, Debug)]
struct Shown {
    base: Math,
    label: Option<Math>,
    varies: bool,
}

/// The letters of a derivation.
#[derive(Clone, Debug)]
pub struct Symbols {
    shown: HashMap<Name, Shown>,
    /// `T`.
    pub(crate) length: &'static str,
    /// `L`.
    pub(crate) loss: &'static str,
    /// `δ`.
    pub(crate) delta: &'static str,
    /// `J`.
    pub(crate) jacobian: &'static str,
    /// `s`, the whole state.
    pub(crate) state: &'static str,
    /// The logistic function, `σ` unless a value is called that.
    pub(crate) sigmoid: &'static str,
}

impl Symbols {
    /// Chooses how to show names (`true` for what varies with the step); `aliases` are wishes.
    pub(crate) fn new(
        recurrence: &str,
        names: &[(Name, bool)],
        aliases: &[(&str, &str)],
        initial: &[Name],
    ) -> Result<Self> {
        let mut shown = HashMap::new();
        let mut taken: HashMap<String, Name> = HashMap::new();
        for (name, varies) in names {
            let wish = aliases.iter().find(|(from, _)| *from == &**name);
            let look = wish.map_or(&**name, |(_, to)| to);
            let mut entry = Shown::of(look, *varies);
            // A parameter a1 must not look like the value a at step 1; h0 may look like the state
            // h at step 0, when that is what it is.
            let step = matches!(entry.label, Some(Math::Number(_))) && !varies;
            let like = |(other, varies): &&(Name, bool)| {
                let other = Shown::of(other, *varies);
                *varies && other.label.is_none() && other.base == entry.base
            };
            let start = initial.contains(name) && entry.label == Some(Math::number(0));
            if step && !start && names.iter().any(|n| like(&n)) {
                entry = Shown::word(name, *varies);
            }
            let key = |e: &Shown| e.math().latex(Dialect::Plain);
            if let Some(other) = taken.get(&key(&entry)) {
                if wish.is_some() {
                    let reason = format!("`{name}` and `{other}` would both be shown as `{look}`");
                    return Err(Error::NotDerivable {
                        recurrence: recurrence.into(),
                        reason,
                    });
                }
                entry = Shown::word(name, *varies);
                if let Some(other) = taken.get(&key(&entry)) {
                    let look = entry.math().text(crate::render::Charset::Unicode);
                    let reason = format!("`{name}` and `{other}` would both be shown as `{look}`");
                    return Err(Error::NotDerivable {
                        recurrence: recurrence.into(),
                        reason,
                    });
                }
            }
            taken.insert(key(&entry), Arc::clone(name));
            shown.insert(Arc::clone(name), entry);
        }
        let bases: BTreeSet<String> = shown
            .values()
            .map(|s: &Shown| s.base.latex(Dialect::Plain))
            .collect();
        let free = |wishes: &[&'static str]| {
            let is_free =
                |w: &&&'static str| !bases.contains(&Math::ident(w).latex(Dialect::Plain));
            wishes.iter().find(is_free).or(wishes.last()).copied()
        };
        Ok(Self {
            length: free(&["T", "N", "M", "length"]).unwrap_or("length"),
            loss: free(&["L", "E", "Lambda", "loss"]).unwrap_or("loss"),
            delta: free(&["delta", "lambda", "eta", "delta_"]).unwrap_or("delta"),
            jacobian: free(&["J", "A", "Phi", "Jac"]).unwrap_or("J"),
            state: free(&["s", "xi", "eta", "state"]).unwrap_or("s"),
            sigmoid: free(&["sigma", "sigmoid"]).unwrap_or("sigmoid"),
            shown,
        })
    }

    fn look(&self, name: &str) -> Shown {
        let known = self.shown.get(name).cloned();
        known.unwrap_or_else(|| Shown::of(name, true))
    }

    /// A value with its step, or without.
    pub(crate) fn value(&self, name: &str, at: Option<Math>) -> Math {
        let shown = self.look(name);
        match at {
            Some(at) => shown.math().with_sub(at),
            None => shown.math(),
        }
    }

    /// A name inside a script: its label is a subscript.
    pub(crate) fn small(&self, name: &str) -> Math {
        let shown = self.look(name);
        match shown.label {
            Some(label) => shown.base.with_sub(label),
            None => shown.base,
        }
    }

    /// Every name, with whether it varies with the step.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&Name, bool)> {
        self.shown.iter().map(|(n, s)| (n, s.varies))
    }
}

impl Shown {
    fn word(name: &str, varies: bool) -> Self {
        Self {
            base: Math::ident(name),
            label: None,
            varies,
        }
    }

    fn of(name: &str, varies: bool) -> Self {
        let (base, label) = match name.trim_end_matches('_').split_once('_') {
            Some((base, label)) if !base.is_empty() => (base, label),
            _ => {
                let letters = name.trim_end_matches(|c: char| c.is_ascii_digit());
                match letters {
                    "" => (name, ""),
                    _ => (letters, &name[letters.len()..]),
                }
            }
        };
        let parts = label.split('_').filter(|p| !p.is_empty()).map(letter);
        let parts: Vec<Math> = parts.collect();
        Self {
            base: Math::ident(base),
            label: (!parts.is_empty()).then(|| Math::list(parts)),
            varies,
        }
    }

    fn math(&self) -> Math {
        match &self.label {
            None => self.base.clone(),
            Some(label) if !self.varies => self.base.clone().with_sub(label.clone()),
            // A number above would look like a power.
            Some(label @ Math::Number(_)) => self.base.clone().with_sup(label.clone().paren()),
            Some(label) => self.base.clone().with_sup(label.clone()),
        }
    }
}

fn letter(text: &str) -> Math {
    if text.chars().all(|c| c.is_ascii_digit()) {
        Math::number(text)
    } else {
        Math::ident(text)
    }
}
