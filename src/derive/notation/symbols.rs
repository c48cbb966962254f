//! The printed form of names: `W_H` with a subscript, `a_i` at a step with a superscript. The letters of the
//! derivation itself are chosen so that no two symbols look alike.

use crate::derive::algebra::quantity::Letter;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::derive::algebra::term::Name;
use crate::error::{Error, Result};
use crate::op::Pointwise;
use crate::render::{Charset, Dialect, Math, greek, greek_name, greek_names};

/// Returns true for the name of a function.
fn is_function(name: &str) -> bool {
    let mut rows = Pointwise::ALL.iter();
    matches!(name, "arg" | "log" | "tan") || rows.any(|row| row.name() == name)
}

/// The printed form of a name.
#[derive(Clone, Debug)]
struct Shown {
    base: Math,
    label: Option<Math>,
    varies: bool,
}

/// The symbols of a derivation.
#[derive(Clone, Debug)]
pub struct Symbols {
    shown: HashMap<Name, Shown>,
    /// The values that are scalars.
    pub(super) numbers: HashSet<Name>,
    chosen: HashMap<Letter, &'static str>,
    /// The logistic function, `σ` unless a value has that name.
    pub(crate) sigmoid: &'static str,
    /// `σ` for the smallest singular value.
    pub(crate) singular: &'static str,
    /// Letters for abbreviations.
    pub(crate) letters: Letters,
}

/// Letters for the abbreviations of the derivation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Letters {
    /// `γ`, the largest slope of a run.
    pub(crate) slope: &'static str,
    /// `q`, an upper bound on the factor by which a step stretches.
    pub(crate) ratio: &'static str,
    /// `μ`, a lower bound on the factor by which a step stretches.
    pub(crate) least: &'static str,
    /// `M`, the largest direct gradient of the loss with respect to the state.
    pub(crate) sent: &'static str,
    /// `N`, the largest norm of a state.
    pub(crate) size: &'static str,
    /// `R`, the remainder outside a window.
    pub(crate) rest: &'static str,
    /// `Θ`, all matrices of the gates.
    pub(crate) weights: &'static str,
    /// `ξ`, the stack of all inputs of the gates.
    pub(crate) reads: &'static str,
    /// `a`, the arguments of all gates.
    pub(crate) gates: &'static str,
    /// `ρ`, an upper bound on the factor by which all values read by a step stretch together.
    pub(crate) lags: &'static str,
}

impl Symbols {
    /// Chooses the printed form of names (`true` if a name varies with the step); `aliases` are preferences.
    pub(crate) fn new(
        recurrence: &str,
        names: &[(Name, bool)],
        aliases: &[(Name, &str)],
        initial: &[(Name, Name)],
        sizes: &[&str],
        numbers: HashSet<Name>,
    ) -> Result<Self> {
        let mut shown = HashMap::new();
        // A size keeps its form; a size `Phi` looks like a value `Φ`.
        let form = |size: &&str| (Math::ident(size).text(Charset::Unicode), Name::from(*size));
        let mut taken: HashMap<String, Name> = sizes.iter().map(form).collect();
        // A typed letter keeps its form; a spelled one can be printed as a word.
        let (typed, spelled): (Vec<_>, Vec<_>) = names.iter().partition(|(n, _)| !n.is_ascii());
        for (name, varies) in typed.into_iter().chain(spelled) {
            let wish = aliases.iter().find(|(from, _)| from == name);
            let look = wish.map_or(&**name, |(_, to)| to);
            let mut entry = Shown::of(look, *varies, sizes);
            // A parameter a1 must not look like the value a at step 1; h0 may look like the state h at step 0 if it
            // is its initial value.
            let step = entry.label.as_ref().is_some_and(is_like_step) && !varies;
            let like = |(other, varies): &&(Name, bool)| {
                let other = Shown::of(other, *varies, sizes);
                *varies && other.label.is_none() && other.base == entry.base
            };
            let starts = |(leaf, state): &(Name, Name)| {
                leaf == name && Shown::of(state, true, sizes).alone() == Some(&entry.base)
            };
            let start = entry.label == Some(Math::number(0)) && initial.iter().any(starts);
            // A value without a step must not look as if it had one.
            let moving = match &entry.label {
                Some(Math::Ident(label)) => matches!(&**label, "t" | "k" | "j") && !varies,
                _ => false,
            };
            // A superscript T would be read as a transpose.
            let moving = moving || *varies && entry.labels().any(is_capital_t);
            if moving || step && !start && names.iter().any(|n| like(&n)) {
                entry = Shown::word(name, *varies);
            }
            // Symbols that differ only in LaTeX look the same to a reader.
            let key = |e: &Shown| e.math().text(Charset::Unicode);
            let like = |e: &Shown| taken.get(&key(e)).cloned();
            if let Some(other) = like(&entry) {
                if wish.is_some() {
                    let reason = format!(
                        "`{name}` and `{other}` would both be shown as `{look}`; show one of them \
                         as another letter"
                    );
                    return Err(Error::NotDerivable {
                        recurrence: recurrence.into(),
                        reason,
                    });
                }
                let numbered = (2..).map(|n| format!("{name}_{n}"));
                let mut words = std::iter::once(name.to_string()).chain(numbered);
                let free = words.find_map(|word| {
                    let word = Shown::word(&word, *varies);
                    like(&word).is_none().then_some(word)
                });
                entry = free.unwrap_or(entry);
            }
            taken.insert(key(&entry), Arc::clone(name));
            shown.insert(Arc::clone(name), entry);
        }
        let mut bases: BTreeSet<String> = shown
            .values()
            .map(|s: &Shown| s.base.latex(Dialect::Plain))
            .collect();
        bases.extend(
            sizes
                .iter()
                .map(|size| Math::ident(size).latex(Dialect::Plain)),
        );
        // Each letter is used once.
        let mut free = |wishes: [&'static str; 4]| {
            let look = |w: &str| Math::ident(w).latex(Dialect::Plain);
            let mut all = wishes.into_iter().chain(greek_names());
            let found = all.find(|w| !bases.contains(&look(w)));
            let found = found.unwrap_or(wishes[3]);
            bases.insert(look(found));
            found
        };
        // Next to a name such as `h_T`, the last step of `h` needs another letter.
        let labelled = |(name, varies): &(Name, bool)| {
            Shown::of(name, *varies, sizes).labels().any(is_capital_t)
        };
        let own = names.iter().any(labelled);
        let sigmoid = free(["sigma", "sigmoid", "sigmoid", "sigmoid"]);
        let chosen = Letter::ALL.iter().map(|letter| {
            let mut wishes = letter.wishes();
            if own && *letter == Letter::Length {
                wishes.rotate_left(1);
                wishes[3] = wishes[2];
            }
            (*letter, free(wishes))
        });
        Ok(Self {
            chosen: chosen.collect(),
            // With `min` as its subscript, it differs from the function.
            singular: match sigmoid {
                "sigma" => sigmoid,
                _ => free(["zeta", "chi", "psi", "sv"]),
            },
            sigmoid,
            letters: Letters {
                slope: free(["gamma", "kappa", "beta", "slope"]),
                ratio: free(["q", "r", "p", "ratio"]),
                least: free(["mu", "nu", "eta", "least"]),
                sent: free(["M", "S", "C", "sent"]),
                size: free(["N", "B", "G", "size"]),
                rest: free(["R", "Q", "E", "rest"]),
                weights: free(["Theta", "Omega", "Psi", "weights"]),
                reads: free(["xi", "zeta", "chi", "reads"]),
                gates: free(["v", "alpha", "beta", "gates"]),
                lags: free(["rho", "omega", "phi", "lags"]),
            },
            shown,
            numbers,
        })
    }

    pub(crate) fn letter(&self, letter: Letter) -> &'static str {
        self.chosen.get(&letter).copied().unwrap_or_default()
    }

    fn look(&self, name: &str) -> Shown {
        let known = self.shown.get(name).cloned();
        known.unwrap_or_else(|| Shown::of(name, true, &[]))
    }

    /// A value, with a step if `at` is given.
    pub(crate) fn value(&self, name: &str, at: Option<Math>) -> Math {
        let shown = self.look(name);
        match at {
            Some(at) => shown.math().with_sub(at),
            None => shown.math(),
        }
    }

    /// Returns true if a value is a scalar.
    pub(crate) fn is_scalar(&self, name: &str) -> bool {
        self.numbers.contains(name)
    }

    /// A name as a superscript. A lone T would be read as a transpose.
    pub(crate) fn small(&self, name: &str) -> Math {
        match self.value(name, None) {
            math if is_capital_t(&math) => math.paren(),
            math => math,
        }
    }

    /// The common letter of names that differ only in their labels: `a` for `a_i` and `a_f`. `None` if another name
    /// is printed as that letter alone.
    pub(crate) fn stem(&self, names: &[Name]) -> Option<Name> {
        let (first, _) = names.first()?.split_once('_')?;
        let labelled = |n: &Name| {
            n.split_once('_')
                .is_some_and(|(s, l)| s == first && !l.is_empty())
        };
        let shared = !first.is_empty() && names.iter().all(labelled);
        let base = Math::ident(first);
        let alone = |s: &Shown| s.label.is_none() && s.base == base;
        let letters = [
            Letter::Length,
            Letter::Loss,
            Letter::Delta,
            Letter::Jacobian,
            Letter::State,
        ]
        .map(|letter| self.letter(letter));
        let free = !self.shown.values().any(alone) && !letters.contains(&first);
        (shared && free).then(|| first.into())
    }

    /// Every name, and whether it varies with the step.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&Name, bool)> {
        self.shown.iter().map(|(n, s)| (n, s.varies))
    }
}

impl Shown {
    fn word(name: &str, varies: bool) -> Self {
        let base = match greek(name) {
            Some(_) => Math::upright(name),
            None => Math::ident(name),
        };
        Self {
            base,
            label: None,
            varies,
        }
    }

    fn of(name: &str, varies: bool, sizes: &[&str]) -> Self {
        let name = match name.trim_end_matches('_') {
            "" => name,
            trimmed => trimmed,
        };
        let (base, label) = match name.split_once('_') {
            // With a superscript, it would look like a power of the function.
            Some((base, _)) if is_function(base) => return Self::word(name, varies),
            Some((base, label)) if !base.is_empty() => (base, label),
            _ => {
                let letters = name.trim_end_matches(|c: char| c.is_ascii_digit());
                match letters {
                    "" => (name, ""),
                    _ => (letters, &name[letters.len()..]),
                }
            }
        };
        let parts = label.split('_').filter(|p| !p.is_empty());
        let parts = parts.map(|part| letter(part, sizes));
        let parts: Vec<Math> = parts.collect();
        // A typed letter is printed like a spelled one.
        let mut letters = base.chars();
        let typed = letters.next().filter(|_| letters.next().is_none());
        Self {
            base: Math::ident(typed.and_then(greek_name).unwrap_or(base)),
            label: (!parts.is_empty()).then(|| Math::list(parts)),
            varies,
        }
    }

    /// The letter of a name that has no label.
    fn alone(&self) -> Option<&Math> {
        self.label.is_none().then_some(&self.base)
    }

    /// The parts of the label.
    fn labels(&self) -> impl Iterator<Item = &Math> {
        let parts = match &self.label {
            Some(Math::Row(parts)) => &parts[..],
            label => label.as_slice(),
        };
        parts.iter()
    }

    fn math(&self) -> Math {
        match &self.label {
            None => self.base.clone(),
            Some(label) if !self.varies => self.base.clone().with_sub(label.clone()),
            // A number as a superscript would look like a power.
            Some(label @ Math::Number(_)) => self.base.clone().with_sup(label.clone().paren()),
            Some(label) => self.base.clone().with_sup(label.clone()),
        }
    }
}

/// Returns true for the letter T, which as a superscript looks like a transpose.
pub(super) fn is_capital_t(math: &Math) -> bool {
    matches!(math, Math::Ident(letter) | Math::Upright(letter) if letter == "T")
}

/// Returns true if a label can be read as a step: its name must not look like a value at that step.
fn is_like_step(label: &Math) -> bool {
    match label {
        Math::Number(_) => true,
        Math::Ident(name) => {
            let letter = matches!(name.as_bytes(), [letter] if letter.is_ascii_lowercase());
            letter || matches!(&**name, "tau" | "τ")
        }
        _ => false,
    }
}

/// A label. One that looks like a size (a capital letter, or the name of a size) is set upright, since it is not one.
fn letter(text: &str, sizes: &[&str]) -> Math {
    let capital = matches!(text.as_bytes(), [letter] if letter.is_ascii_uppercase());
    if capital || sizes.contains(&text) {
        Math::upright(text)
    } else if text.chars().all(|c| c.is_ascii_digit()) {
        Math::number(text)
    } else {
        Math::ident(text)
    }
}

/// The corresponding letter of the other chain: with a tilde or without.
pub(crate) fn other(name: &str) -> Name {
    match name.strip_suffix('~') {
        Some(name) => name.into(),
        None => format!("{name}~").into(),
    }
}
