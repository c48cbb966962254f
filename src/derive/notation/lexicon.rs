//! The inverse of the notation: from the printed form of a name to the name.

use crate::derive::algebra::quantity::{Glyph, Head, Letter, Look, Quantity, Stem, Symbol};
use std::collections::HashMap;
use std::sync::Arc;

use smallvec::SmallVec;

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
    pub(super) least: String,
    /// The LaTeX of the letters of quantities.
    bases: HashMap<Glyph, String>,
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
            length: ident(symbols.letter(Letter::Length)),
            least: ident(symbols.singular),
            bases: Quantity::ALL
                .iter()
                .flat_map(|quantity| quantity.row().look.glyphs)
                .map(|glyph| (*glyph, tex(&symbols.base(*glyph, ""))))
                .collect(),
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

    /// A letter with its scripts.
    pub(super) fn symbol(&self, s: Scripted) -> Result<Term, String> {
        let bare = s.sub.is_none() && s.sup.is_none();
        match &*s.base {
            r"\mathbf{1}" if bare => return Ok(Term::Ones),
            r"\mathbf{I}" if bare => return Ok(Term::Eye),
            _ => {}
        }
        let parts = [s];
        let found = self.quantity(Head::None, &parts);
        let base = &parts[0].base;
        match (self.sizes.get(base), variable(base)) {
            (Some((name, dim)), _) if bare && found.is_err() => {
                Ok(Term::Size(Arc::clone(name), *dim))
            }
            (None, Some(var)) if bare && found.is_err() => Ok(Term::Steps(Time::var(var))),
            _ => found,
        }
    }

    /// The quantity with this notation.
    pub(super) fn quantity(&self, head: Head, parts: &[Scripted]) -> Result<Term, String> {
        let read = |quantity: &Quantity| self.read(*quantity, head, parts);
        match Quantity::ALL.iter().find_map(read) {
            Some(symbol) => Ok(Term::Symbol(symbol)),
            None => Err(match parts.iter().find_map(|s| self.value(s).err()) {
                Some(reason) => reason,
                None => "no quantity has this notation".into(),
            }),
        }
    }

    fn read(&self, quantity: Quantity, head: Head, parts: &[Scripted]) -> Option<Symbol<Time>> {
        let Look { head: own, glyphs } = quantity.row().look;
        if own != head || glyphs.len() != parts.len() {
            return None;
        }
        let (mut names, mut steps) = (SmallVec::new(), SmallVec::new());
        let mut open = true;
        for (glyph, s) in glyphs.iter().zip(parts) {
            let (of, at) = self.glyph(*glyph, s)?;
            // Steps are left out from the last one on.
            if !open && at.is_some() {
                return None;
            }
            open &= at.is_some() || !glyph.stepped;
            names.extend(of);
            steps.extend(at);
        }
        let symbol = Symbol {
            quantity,
            names,
            steps,
        };
        symbol.is_complete().then_some(symbol)
    }

    /// The names and the step of a glyph.
    fn glyph(&self, glyph: Glyph, s: &Scripted) -> Option<(Vec<Name>, Option<Time>)> {
        let Scripted { base, sub, sup } = s;
        let value = || self.value(s).ok();
        let letter = || self.letters.get(base).filter(|_| sup.is_none()).cloned();
        let at = || match sub {
            Some(step) if glyph.stepped => self.step(step).map(Some),
            Some(_) => None,
            None => Some(None),
        };
        match glyph.stem {
            Stem::Value => match value() {
                Some((name, at)) => Some((vec![name], at)),
                None => letter()
                    .filter(|_| sub.is_none())
                    .map(|name| (vec![name], None)),
            },
            Stem::Abbreviation if value().is_none() => Some((vec![letter()?], at()?)),
            Stem::Abbreviation => None,
            _ if self.bases.get(&glyph) != Some(base) => None,
            _ => Some((self.above(glyph.above, sup.as_deref())?, at()?)),
        }
    }

    /// The names in a superscript.
    fn above(&self, count: usize, sup: Option<&[String]>) -> Option<Vec<Name>> {
        let whole = sup.unwrap_or_default().concat();
        match count {
            0 => sup.is_none().then(Vec::new),
            1 => {
                let name = self.small.get(&whole).or(self.letters.get(&whole));
                name.map(|name| vec![Arc::clone(name)])
            }
            _ => self.small.iter().find_map(|(small, of)| {
                let rest = whole.strip_prefix(&**small)?;
                let by = self.small.get(rest.strip_prefix(',').unwrap_or(rest))?;
                Some(vec![Arc::clone(of), Arc::clone(by)])
            }),
        }
    }
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
