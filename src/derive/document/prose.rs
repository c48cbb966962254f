//! The sentences of a document: conventions and introductions, with the symbols of a derivation substituted.

use crate::derive::algebra::chain;
use crate::derive::algebra::quantity::Letter;
use crate::derive::algebra::term::{Base, Fold, Name, Quantity, Term, Time, visit};
use crate::derive::record::derivation::Derivation;
use crate::derive::record::equation::Equation;
use crate::derive::record::line::Line;
use crate::derive::record::part::Part;
use crate::derive::record::words::{Lang, Word};
use crate::op::Pointwise;
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
        let [kept, free] = [true, false].map(|is_bounded| self.gated(is_bounded).join(comma));
        let mut values = vec![
            ("q", &*q),
            ("s", &s),
            ("data", &data),
            ("kept", &kept),
            ("free", &free),
        ];
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

    /// The sentences of a part that are true of this derivation, before and after its lines.
    pub(super) fn said(&self, part: Part, lines: &[&Equation]) -> [Vec<Word>; 2] {
        let facts = Facts { d: self, lines };
        [Place::Before, Place::After].map(|place| {
            let rows = SENTENCES
                .iter()
                .filter(|s| (s.part, s.place) == (part, place));
            rows.filter(|s| (s.holds)(&facts)).map(|s| s.word).collect()
        })
    }

    /// The states with a carousel whose gate is bounded by one, or has no bound, between backquotes.
    fn gated(&self, is_bounded: bool) -> Vec<String> {
        let found = self.equations.iter().filter_map(|e| match e.id.forward() {
            Line::Carousel(state) if self.gate_is_bounded(state) == Some(is_bounded) => {
                let state = self.symbols.show(&Quantity::Value.of([state], []));
                Some(format!("`{}`", state.text(Charset::Unicode)))
            }
            _ => None,
        });
        found.collect()
    }

    /// Returns true if the product of the gates of a carousel is at most one, by their definition; `None` if it has another
    /// bound.
    fn gate_is_bounded(&self, state: &Name) -> Option<bool> {
        let Some(bound) = self.either(&Line::CarouselBound(Name::clone(state))) else {
            return Some(false);
        };
        (bound.right == Term::Num(1.0)).then_some(true)
    }

    /// The line, or that of the chain that runs backwards.
    fn either(&self, line: &Line) -> Option<&Equation> {
        self.equations.iter().find(|e| e.id.forward() == line)
    }

    /// Returns true if the carried values are a single number.
    pub(super) fn is_one_number(&self) -> bool {
        match &self.states[..] {
            [state] => self.back.is_empty() && self.symbols.is_scalar(&state.name),
            _ => false,
        }
    }

    /// Returns true if no block of the Jacobian varies with the step.
    fn has_constant_jacobian(&self) -> bool {
        let varies = |t: &Term| t.symbol().is_some_and(|(_, _, steps)| !steps.is_empty());
        let mut blocks = self
            .equations
            .iter()
            .filter(|e| matches!(e.id.forward(), Line::Block(..)));
        blocks.all(|e| !e.right.any(&varies))
    }
}

/// The place of a sentence: before or after the lines of its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Before,
    After,
}

/// A sentence with the condition under which it is true.
struct Sentence {
    part: Part,
    place: Place,
    word: Word,
    holds: fn(&Facts<'_>) -> bool,
}

const fn row(part: Part, place: Place, word: Word, holds: fn(&Facts<'_>) -> bool) -> Sentence {
    Sentence {
        part,
        place,
        word,
        holds,
    }
}

/// The premises of sentences: the derivation, and the lines of the part that are shown.
struct Facts<'a> {
    d: &'a Derivation,
    lines: &'a [&'a Equation],
}

impl Facts<'_> {
    fn occurs(&self, what: &dyn Fn(&Term) -> bool) -> bool {
        occurs(self.lines.iter().copied(), what)
    }

    /// A line of this kind is shown, for the forward or for the backward chain.
    fn shows(&self, line: fn(&Line) -> bool) -> bool {
        self.lines.iter().any(|e| line(e.id.forward()))
    }

    /// An error term on the right side of a line is that of a step `shift` later.
    fn is_sent(&self, shift: i64) -> bool {
        let sent = |t: &Term| matches!(t.symbol(), Some((Quantity::Delta, _, [at])) if at.offset.signum() == shift);
        self.lines.iter().any(|e| e.right.any(&sent))
    }

    fn has_several_states(&self) -> bool {
        chain::names(&self.d.states).len() > 1 || chain::names(&self.d.back).len() > 1
    }

    /// Some carousel shown has a gate that is a sigmoid.
    fn has_sigmoid(&self) -> bool {
        let d = self.d;
        self.lines.iter().any(|e| {
            let Line::CarouselBound(_) = e.id.forward() else {
                return false;
            };
            let mut gates = Vec::new();
            visit(&e.left, &mut |t| {
                if let Some((Quantity::Value, [gate], [_])) = t.symbol() {
                    gates.push(Line::Definition(Name::clone(gate)));
                }
            });
            let is_sigmoid =
                |t: &Term| matches!(t, Term::Call(name, _) if **name == *Pointwise::Sigmoid.name());
            let definitions = gates.iter().filter_map(|gate| d.either(gate));
            definitions.map(|e| &e.right).any(is_sigmoid)
        })
    }

    /// A state with a carousel depends on earlier states in another way as well.
    fn has_other_paths(&self) -> bool {
        let d = self.d;
        self.lines.iter().any(|e| {
            let Line::Carousel(state) = e.id.forward() else {
                return false;
            };
            let blocks = d.equations.iter().filter_map(|e| match e.id.forward() {
                Line::Block(of, by, _) if of == state => Some((by, &e.right)),
                _ => None,
            });
            let direct = |by: &Name, right: &Term| {
                by == state && matches!(right, Term::Diag(_) | Term::Symbol(_))
            };
            blocks.into_iter().any(|(by, right)| !direct(by, right))
        })
    }
}

/// Every sentence of a part, with its condition.
const SENTENCES: &[Sentence] = {
    use Part::*;
    use Place::{After, Before};
    &[
        row(Definition, Before, Word::DefinitionIntro, |_| true),
        row(Differentials, Before, Word::DifferentialsIntro, |_| true),
        row(Adjoints, Before, Word::AdjointsIntro, |_| true),
        row(Recursion, Before, Word::RecursionIntro, |_| true),
        row(Recursion, Before, Word::RecursionLater, |f| f.is_sent(1)),
        row(Recursion, Before, Word::RecursionEarlier, |f| f.is_sent(-1)),
        row(Parameters, Before, Word::ParametersIntro, |f| {
            f.occurs(&|t| matches!(t, Term::Over(Fold::Sum, ..)))
        }),
        row(Inputs, Before, Word::InputsIntro, |f| {
            f.shows(|l| matches!(l, Line::Gradient(_)))
        }),
        row(Inputs, Before, Word::StartsIntro, |f| {
            let is_fixed = |at: &Time| !matches!(at.base, Base::Var(_));
            let starts = |t: &Term| t.symbol().is_some_and(|(_, _, at)| at.iter().any(is_fixed));
            f.shows(|l| matches!(l, Line::StartGradient(_))) || f.occurs(&starts)
        }),
        row(Stacked, Before, Word::StackedIntro, |_| true),
        row(Jacobian, Before, Word::JacobianIntro, |_| true),
        row(Jacobian, Before, Word::JacobianImmediate, |f| {
            f.occurs(&|t| t.is(Quantity::DPlus))
        }),
        row(Jacobian, Before, Word::JacobianMap, |f| {
            f.occurs(&|t| t.is(Quantity::Immediate))
        }),
        row(Jacobian, Before, Word::JacobianKronecker, |f| {
            f.occurs(&|t| matches!(t, Term::Kron(..)))
        }),
        row(Jacobian, After, Word::JacobianCaution, |f| {
            f.has_several_states()
        }),
        row(Carousel, Before, Word::CarouselIntro, |_| true),
        row(Carousel, After, Word::CarouselBounded, |f| {
            !f.d.gated(true).is_empty()
        }),
        row(Carousel, After, Word::CarouselSigmoid, |f| f.has_sigmoid()),
        row(Carousel, After, Word::CarouselFree, |f| {
            !f.d.gated(false).is_empty()
        }),
        row(Carousel, After, Word::CarouselPaths, |f| {
            f.has_other_paths()
        }),
        row(Carousel, After, Word::CarouselSplit, |f| {
            f.shows(|l| matches!(l, Line::CarouselCut(_)))
        }),
        row(Bridge, Before, Word::BridgeIntro, |_| true),
        row(Costate, Before, Word::CostateIntro, |_| true),
        row(Truncation, Before, Word::WindowIntro, |f| {
            f.shows(|l| matches!(l, Line::Window(_)))
        }),
        row(Truncation, Before, Word::ChunksIntro, |f| {
            f.shows(|l| matches!(l, Line::ChunkDelta))
        }),
        row(Truncation, Before, Word::TruncationRest, |f| {
            f.shows(|l| matches!(l, Line::Window(_) | Line::Chunks(_)))
        }),
        row(Bounds, Before, Word::BoundsNumberIntro, |f| {
            f.d.is_one_number()
        }),
        row(Bounds, Before, Word::BoundsIntro, |f| !f.d.is_one_number()),
        row(Bounds, Before, Word::BoundsLeast, |f| {
            f.occurs(&|t| matches!(t, Term::Least(_)))
        }),
        row(Bounds, Before, Word::BoundsNorms, |f| {
            let marked = |t: &Term| matches!(t, Term::Frobenius(_) | Term::MaxNorm(_));
            let given = f.lines.iter().filter_map(|e| e.given.as_ref());
            f.occurs(&marked)
                || given
                    .flat_map(|g| [&g.left, &g.right])
                    .any(|t| t.any(&marked))
        }),
        row(Bounds, After, Word::BoundsSameNumber, |f| {
            f.d.is_one_number() && f.d.has_constant_jacobian()
        }),
        row(Bounds, After, Word::BoundsNumberWords, |f| {
            f.d.is_one_number() && !f.d.has_constant_jacobian()
        }),
        row(Bounds, After, Word::BoundsSameWords, |f| {
            !f.d.is_one_number() && f.d.has_constant_jacobian()
        }),
        row(Bounds, After, Word::BoundsWords, |f| {
            !f.d.is_one_number() && !f.d.has_constant_jacobian()
        }),
        row(Bounds, After, Word::BoundsDelays, |f| {
            f.shows(|l| matches!(l, Line::LagsBound))
        }),
        row(Theorem, Before, Word::TheoremIntro, |_| true),
    ]
};

/// Returns true if some term of the lines is of a kind.
fn occurs<'a>(mut lines: impl Iterator<Item = &'a Equation>, what: &dyn Fn(&Term) -> bool) -> bool {
    lines.any(|e| e.left.any(&what) || e.right.any(&what))
}
