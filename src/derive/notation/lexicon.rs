//! The inverse of the notation: from the printed form of a name to the name.

use std::collections::HashMap;
use std::sync::Arc;

use super::show::{is_step, letter};
use super::symbols::Symbols;
use super::tokens::Scripted;
use crate::derive::algebra::term::{Base, Name, Term, Time};
use crate::render::{Dialect, Math};
use crate::shape::Dim;

/// The names of a derivation, by their printed form.
#[derive(Debug)]
pub struct Lexicon {
    /// Values by their LaTeX without a step, and whether they have a step.
    values: HashMap<String, (Name, bool)>,
    /// Names by their LaTeX inside a subscript or superscript.
    small: HashMap<String, Name>,
    pub(super) functions: HashMap<String, Name>,
    /// Abbreviations of the derivation, by their LaTeX.
    letters: HashMap<String, Name>,
    length: String,
    pub(super) loss: String,
    delta: String,
    costate: String,
    pub(super) least: String,
    jacobian: String,
    /// The letter of the whole state.
    state: String,
    sizes: HashMap<String, (Name, Dim)>,
}

impl Lexicon {
    /// The names and functions that may occur.
    pub(crate) fn new<'a>(
        symbols: &Symbols,
        functions: impl IntoIterator<Item = &'a Name>,
        sizes: impl IntoIterator<Item = (Name, Dim)>,
        letters: impl IntoIterator<Item = &'a Name>,
    ) -> Self {
        let tex = |m: &Math| m.latex(Dialect::Plain);
        let values = symbols
            .names()
            .map(|(name, varies)| (tex(&symbols.value(name, None)), (Arc::clone(name), varies)));
        let small = symbols
            .names()
            .map(|(name, _)| (tex(&symbols.small(name)), Arc::clone(name)));
        let functions = functions.into_iter().map(|name| {
            let call = Term::Call(Arc::clone(name), vec![Term::Ones]);
            let shown = tex(&symbols.show(&call));
            let head = shown.strip_suffix(r"(\mathbf{1})").unwrap_or(&shown);
            // The tokenizer drops spaces.
            (head.replace(' ', ""), Arc::clone(name))
        });
        let ident = |name: &str| tex(&Math::ident(name));
        Self {
            values: values.collect(),
            small: small.collect(),
            functions: functions.collect(),
            letters: letters
                .into_iter()
                .map(|name| (tex(&letter(name)), Arc::clone(name)))
                .collect(),
            length: ident(symbols.length),
            loss: ident(symbols.loss),
            delta: ident(symbols.delta),
            costate: ident(symbols.costate),
            least: ident(symbols.singular),
            jacobian: ident(symbols.jacobian),
            state: ident(symbols.state),
            sizes: sizes
                .into_iter()
                .map(|(name, dim)| (ident(&name), (name, dim)))
                .collect(),
        }
    }

    /// A step: a variable, `T` or a number, with an offset.
    pub(super) fn step(&self, tokens: &[String]) -> Option<Time> {
        let tokens: Vec<&str> = tokens.iter().map(|t| &**t).collect();
        let number = |t: &str| t.parse::<i64>().ok();
        // A letter that is the name of a constant value is not a step.
        let variable = |t: &str| variable(t).filter(|_| is_step(t) || !self.is_constant(t));
        let base = |t: &str| match t {
            t if t == self.length => Some(Time::last()),
            t => variable(t).map(Time::var),
        };
        let difference = |a: &str, b: &str| {
            Some(Time {
                base: Base::Minus(variable(a)?, variable(b)?),
                offset: 0,
            })
        };
        match tokens[..] {
            ["-", n] => Some(Time::at(-number(n)?)),
            [t] => number(t).map(Time::at).or_else(|| base(t)),
            [t, "+", n] => Some(base(t)?.plus(number(n)?)),
            [t, "-", n] if number(n).is_some() => Some(base(t)?.plus(-number(n)?)),
            [a, "-", b] if a == self.length => Some(Time {
                base: Base::LastMinus(variable(b)?),
                offset: 0,
            }),
            ["e", "(", k, ")"] => Some(Time {
                base: Base::ChunkEnd(variable(k)?),
                offset: 0,
            }),
            ["e", "(", k, ")", "+", n] => Some(Time {
                base: Base::ChunkEnd(variable(k)?),
                offset: number(n)?,
            }),
            [r"\max", "(", "1", ",", a, "-", b, "+", "1", ")"] => Some(Time {
                base: Base::Window(variable(a)?, variable(b)?),
                offset: 0,
            }),
            [a, "-", b] => difference(a, b),
            [r"\lceil", "(", a, "-", b, ")", "/", many, r"\rceil"] => Some(Time {
                base: Base::Lots(variable(a)?, variable(b)?, number(many)?),
                offset: 0,
            }),
            [a, "-", b, "+", n] => Some(difference(a, b)?.plus(number(n)?)),
            [a, "-", b, "-", n] => Some(difference(a, b)?.plus(-number(n)?)),
            _ => None,
        }
    }

    /// Returns true if the function may occur.
    pub(super) fn knows(&self, function: &str) -> bool {
        self.functions.values().any(|known| **known == *function)
    }

    /// Returns true if this is the LaTeX of a value without a step.
    pub(super) fn is_constant(&self, latex: &str) -> bool {
        self.values.get(latex).is_some_and(|(_, varies)| !varies)
    }

    pub(super) fn is_letter(&self, base: &str) -> bool {
        self.letters.contains_key(base) || *base == self.length || self.sizes.contains_key(base)
    }

    /// Returns true if `base` with the superscript `label` is the name of a value: `a^i` next to the letter `a`.
    pub(super) fn is_labelled(&self, base: &str, label: &str) -> bool {
        self.values.contains_key(&format!("{base}^{{{label}}}"))
    }

    pub(super) fn is_value(&self, base: &str, sub: &Option<Vec<String>>) -> bool {
        let plain = self
            .values
            .get(base)
            .is_some_and(|(_, v)| *v == sub.is_some());
        let label = sub.as_ref().map(|s| format!("{base}_{{{}}}", s.concat()));
        plain || label.is_some_and(|l| self.values.contains_key(&l))
    }

    /// A value of the recurrence with its step.
    pub(super) fn value(&self, s: &Scripted) -> Result<(Name, Option<Time>), String> {
        let Scripted { base, sub, sup } = s;
        let script = |mark: char, s: &Option<Vec<String>>| {
            s.as_ref()
                .map_or(String::new(), |s| format!("{mark}{{{}}}", s.concat()))
        };
        let above = format!("{base}{}", script('^', sup));
        let varying = self.values.get(&above).filter(|(_, varies)| *varies);
        let step = sub.as_ref().and_then(|s| self.step(s));
        if let (Some((name, _)), Some(step)) = (varying, step) {
            return Ok((Arc::clone(name), Some(step)));
        }
        let whole = format!("{above}{}", script('_', sub));
        match self.values.get(&whole) {
            Some((name, false)) => Ok((Arc::clone(name), None)),
            _ if varying.is_some() => Err(format!("`{above}` needs a step")),
            // A parameter called h0 is printed as the state h at step 0, and means it.
            _ => Err(format!("`{whole}` is not known")),
        }
    }

    pub(super) fn symbol(&self, s: Scripted) -> Result<Term, String> {
        let step = |sub: &Option<Vec<String>>| sub.as_ref().map(|s| self.step(s));
        match (&*s.base, &s.sub, &s.sup) {
            (r"\mathbf{1}", None, None) => return Ok(Term::Ones),
            (r"\mathbf{I}", None, None) => return Ok(Term::Eye),
            (base, None, None) if *base == self.length => return Ok(Term::Length),
            (base, None, None) if *base == self.loss => return Ok(Term::Loss),
            (base, sub, Some(sup)) if *base == self.delta => {
                let whole = sup.concat();
                let name = self.small.get(&whole).or(self.letters.get(&whole));
                if let Some(name) = name {
                    let at = match step(sub) {
                        Some(None) => return Err("a δ without a step".into()),
                        at => at.flatten(),
                    };
                    return Ok(Term::Delta(Arc::clone(name), at));
                }
            }
            (base, Some(_), Some(sup)) if *base == self.costate => {
                if let Some(name) = self.small.get(&sup.concat()) {
                    let at = step(sub_of(&s))
                        .flatten()
                        .ok_or("a costate without a step")?;
                    return Ok(Term::Costate(Arc::clone(name), at));
                }
            }
            (base, Some(_), Some(sup)) if *base == format!(r"\hat{{{}}}", self.delta) => {
                if let Some(name) = self.small.get(&sup.concat()) {
                    let at = step(sub_of(&s)).flatten().ok_or("a δ without a step")?;
                    return Ok(Term::Cut(Arc::clone(name), at));
                }
            }
            (base, Some(_), None) if *base == self.loss => {
                let at = step(sub_of(&s)).flatten().ok_or("a loss without a step")?;
                return Ok(Term::StepLoss(at));
            }
            (base, _, None) if self.letters.contains_key(base) && self.value(&s).is_err() => {
                let at = match step(sub_of(&s)) {
                    Some(None) => return Err(format!("`{base}` needs a step")),
                    at => at.flatten(),
                };
                return Ok(Term::Letter(Arc::clone(&self.letters[base]), at));
            }
            (base, Some(_), None) if *base == self.jacobian && self.value(&s).is_err() => {
                let at = step(sub_of(&s))
                    .flatten()
                    .ok_or("a Jacobian without a step")?;
                return Ok(Term::StateJacobian(at));
            }
            (base, Some(_), None) if *base == format!(r"\tilde{{{}}}", self.jacobian) => {
                let at = step(sub_of(&s)).flatten();
                return Ok(Term::BackJacobian(at.ok_or("a Jacobian without a step")?));
            }
            (base, Some(_), Some(sup)) if *base == self.jacobian => {
                let at = step(sub_of(&s))
                    .flatten()
                    .ok_or("a Jacobian without a step")?;
                let whole = sup.concat();
                for (small, of) in &self.small {
                    let rest = whole.strip_prefix(&**small);
                    let rest = rest.map(|rest| rest.strip_prefix(',').unwrap_or(rest));
                    if let Some(by) = rest.and_then(|rest| self.small.get(rest)) {
                        return Ok(Term::Block(Arc::clone(of), Arc::clone(by), at));
                    }
                }
            }
            _ => {}
        }
        if let (Some((name, dim)), None, None) = (self.sizes.get(&s.base), &s.sub, &s.sup)
            && self.value(&s).is_err()
        {
            return Ok(Term::Size(Arc::clone(name), *dim));
        }
        if let (Some(var), None, None, Err(_)) = (variable(&s.base), &s.sub, &s.sup, self.value(&s))
        {
            return Ok(Term::Steps(Time::var(var)));
        }
        let (name, at) = self.value(&s)?;
        Ok(Term::Value(name, at))
    }

    pub(super) fn partial(&self, of: Scripted, by: Scripted) -> Result<Term, String> {
        if of.base == self.loss && of.sub.is_none() {
            if let Some(name) = self.letters.get(&by.base).filter(|_| by.sub.is_none()) {
                return Ok(Term::Gradient(Arc::clone(name), None));
            }
            let (name, at) = self.value(&by)?;
            return Ok(Term::Gradient(name, at));
        }
        if of.base == self.loss {
            let at = of.sub.and_then(|s| self.step(&s));
            let at = at.ok_or("a loss without a step")?;
            return Ok(Term::StepGradient(self.value(&by)?.0, at));
        }
        let known = self.values.contains_key(&self.state);
        if of.base == self.state && by.base == self.state && !known {
            let step = |s: Option<Vec<String>>| s.and_then(|s| self.step(&s));
            let (to, from) = (step(of.sub), step(by.sub));
            let to = to.zip(from).ok_or("a state without a step")?;
            return Ok(Term::StateFlow(to.0, to.1));
        }
        let back = format!(r"\tilde{{{}}}", self.state);
        if of.base == back && by.base == back {
            let step = |s: Option<Vec<String>>| s.and_then(|s| self.step(&s));
            let to = step(of.sub).zip(step(by.sub));
            let (to, from) = to.ok_or("a state without a step")?;
            return Ok(Term::BackFlow(to, from));
        }
        match (self.value(&of)?, self.value(&by)?) {
            ((of, Some(at)), (by, Some(from))) => Ok(Term::Jacobian(of, at, by, from)),
            ((of, Some(at)), (by, None)) => Ok(Term::Response(of, at, by)),
            _ => Err("a Jacobian is of values at steps".into()),
        }
    }
}

fn sub_of(s: &Scripted) -> &Option<Vec<String>> {
    &s.sub
}

/// The step variable that a token denotes.
pub(super) fn variable(token: &str) -> Option<char> {
    if token == r"\tau" {
        return Some('τ');
    }
    let mut chars = token.chars();
    let letter = chars.next().filter(char::is_ascii_lowercase)?;
    chars.next().is_none().then_some(letter)
}

pub(super) fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits.chars().all(|c| c.is_ascii_digit())
}
