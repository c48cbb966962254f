//! The sentences of a document: conventions and introductions, with the symbols of a derivation substituted.

use crate::derive::algebra::chain;
use crate::derive::algebra::quantity::Letter;
use crate::derive::algebra::term::{Quantity, Term, Time};
use crate::derive::record::derivation::Derivation;
use crate::derive::record::equation::Equation;
use crate::derive::record::part::Part;
use crate::derive::record::words::{Lang, Word};
use crate::render::{Charset, Math};
use crate::shape::Rate;
use crate::tape::Role;

impl Derivation {
    /// A sentence with the symbols of this derivation substituted.
    pub(super) fn sentence(&self, word: Word, lang: Lang) -> String {
        let letter = |name: &str| Math::ident(name).text(Charset::Unicode);
        let symbols = &self.symbols;
        let of = |own: Letter| letter(symbols.letter(own));
        let (q, s) = (letter(symbols.letters.ratio), of(Letter::State));
        let letters = [
            ("T", of(Letter::Length)),
            ("d", of(Letter::Delta)),
            ("l", of(Letter::Costate)),
            ("S", letter(symbols.singular)),
            ("J", of(Letter::Jacobian)),
            ("G", of(Letter::Immediate)),
            ("e", of(Letter::Direct)),
            ("p", of(Letter::Parameters)),
            ("L", of(Letter::Loss)),
        ];
        let comma = if lang == Lang::Zh { "、" } else { ", " };
        let data = self.constant_data().join(comma);
        let mut values = vec![("q", &*q), ("s", &s), ("data", &data)];
        values.extend(letters.iter().map(|(key, letter)| (*key, &**letter)));
        word.with(lang, &values)
    }

    /// The inputs that are not differentiated, between backquotes.
    fn constant_data(&self) -> Vec<String> {
        let known = |name: &str| {
            let mut all = self.graph.cotangents.iter();
            all.any(|((known, _), _)| **known == *name)
        };
        let tape = self.recurrence.tape();
        let leaves = tape.leaves().iter();
        let data = leaves.filter(|l| l.role == Role::Input && !known(l.name()));
        data.map(|leaf| {
            let varies = tape.ty(leaf.node).rate == Rate::Step;
            let value = Quantity::Value.of([&leaf.name().into()], varies.then(|| Time::var('t')));
            format!("`{}`", self.symbols.show(&value).text(Charset::Unicode))
        })
        .collect()
    }

    /// The conventions that this derivation needs.
    pub(super) fn conventions(&self) -> Vec<Word> {
        let mut words = vec![
            Word::ConventionVectors,
            Word::ConventionLayout,
            Word::ConventionDelta,
            Word::ConventionBoundary,
            Word::ConventionBatch,
        ];
        if !self.constant_data().is_empty() {
            words.insert(3, Word::ConventionData);
        }
        let occurs = |what: &dyn Fn(&Term) -> bool| occurs(self.equations.iter(), what);
        if occurs(&|t| matches!(t, Term::Diag(_))) {
            words.insert(1, Word::ConventionDiagonal);
        }
        if occurs(&|t| matches!(t, Term::Part(..))) {
            words.insert(1, Word::ConventionParts);
        }
        if occurs(&|t| matches!(t, Term::OneHot(_))) {
            words.insert(1, Word::ConventionUnit);
        }
        if !(self.states.is_empty() && self.back.is_empty()) {
            words.push(Word::ConventionProduct);
        }
        if !self.back.is_empty() {
            words.push(Word::ConventionBack);
        }
        if chain::is_delayed(&self.states) || chain::is_delayed(&self.back) {
            words.push(Word::ConventionDelays);
        } else if self.states.len() > 1 {
            words.push(Word::ConventionState);
        }
        if self.is_large {
            words.push(Word::Large);
        }
        if self.kinks {
            words.push(Word::Kinks);
        }
        words.push(Word::ConventionNotes);
        words
    }

    /// The introduction to a part, with the notation that its lines use first.
    pub(super) fn introduction(&self, part: Part, lines: &[&Equation]) -> Vec<Word> {
        let occurs = |what: &dyn Fn(&Term) -> bool| occurs(lines.iter().copied(), what);
        let mut words = vec![part.prose().0];
        let mut add = |word: Word, what: &dyn Fn(&Term) -> bool| {
            if occurs(what) {
                words.push(word);
            }
        };
        match part {
            Part::Jacobian => {
                add(Word::JacobianImmediate, &|t| t.is(Quantity::DPlus));
                add(Word::JacobianMap, &|t| t.is(Quantity::Immediate));
                add(Word::JacobianKronecker, &|t| matches!(t, Term::Kron(..)));
            }
            Part::Bounds => {
                if self.is_one_number() {
                    return vec![Word::BoundsNumberIntro];
                }
                add(Word::BoundsLeast, &|t| matches!(t, Term::Least(_)));
                let marked = |t: &Term| matches!(t, Term::Frobenius(_) | Term::MaxNorm(_));
                let given = lines.iter().filter_map(|e| e.given.as_ref());
                let given = given.flat_map(|g| [&g.left, &g.right]);
                if occurs(&marked) || given.into_iter().any(|t| t.any(&marked)) {
                    words.push(Word::BoundsNorms);
                }
            }
            _ => {}
        }
        words
    }

    /// Returns true if the carried values are a single number.
    pub(super) fn is_one_number(&self) -> bool {
        match &self.states[..] {
            [state] => self.back.is_empty() && self.symbols.is_scalar(&state.name),
            _ => false,
        }
    }
}

/// Returns true if some term of the lines is of a kind.
fn occurs<'a>(mut lines: impl Iterator<Item = &'a Equation>, what: &dyn Fn(&Term) -> bool) -> bool {
    lines.any(|e| e.left.any(&what) || e.right.any(&what))
}
