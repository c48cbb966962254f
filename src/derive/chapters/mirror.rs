//! The lines about a backward chain. It is a forward chain in the recurrence with time reversed; the lines derived
//! there are reversed in time.

use crate::derive::algebra::quantity::{Quantity, Symbol};
use std::collections::{HashMap, HashSet};

use crate::derive::algebra::chain::{Carried, is_delayed};
use crate::derive::algebra::term::{Base, Index, Name, Term, Time};
use crate::derive::notation::symbols::other;
use crate::derive::record::derivation::Derivation;
use crate::derive::record::equation::{Equation, Letter};
use crate::derive::record::line::Line;
use crate::derive::record::part::Part;
use crate::derive::record::relation::{Condition, Range};
use crate::derive::record::step::{Site, Step};

/// The parts of a derivation that are about a chain.
const PARTS: &[Part] = &[
    Part::Jacobian,
    Part::Carousel,
    Part::Bridge,
    Part::Costate,
    Part::Bounds,
];

/// Reverses time in terms: step `t` becomes step `T + 1 − t`. The same map converts lines in both directions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mirror {
    /// True if the chain has delays.
    delayed: bool,
}

impl Mirror {
    pub(crate) fn of(state: &[Carried]) -> Self {
        Self {
            delayed: is_delayed(state),
        }
    }

    /// Converts a line of the reversed recurrence into a line of the recurrence; `None` if it contains an expression
    /// without a name there, such as a window that looks back.
    pub(crate) fn line(self, line: &Equation) -> Option<Equation> {
        if !PARTS.contains(&line.part) {
            return None;
        }
        let vars = line.range.vars.iter().map(|(var, from, to)| {
            let (first, last) = (turned(to)?, turned(from)?);
            Some((*var, first, last))
        });
        let steps: Option<Vec<Step>> = line.steps.iter().map(|s| self.step(s)).collect();
        let given = match &line.given {
            Some(given) => Some(Condition {
                left: self.term(&given.left)?,
                strict: given.strict,
                right: self.term(&given.right)?,
            }),
            None => None,
        };
        Some(Equation {
            id: renamed(line.id.clone(), line.part),
            left: self.term(&line.left)?,
            right: self.term(&line.right)?,
            range: Range {
                vars: vars.collect::<Option<_>>()?,
            },
            given,
            steps: steps.unwrap_or_default(),
            ..line.clone()
        })
    }

    fn step(self, step: &Step) -> Option<Step> {
        let Site::Line(rewrite) = &step.site else {
            return None;
        };
        let site = Site::Mirrored(rewrite.clone());
        let (before, after) = (self.term(&step.before)?, self.term(&step.after)?);
        Some(Step::new(step.rule, site, before, after))
    }

    pub(crate) fn letter(self, name: &Name, letter: &Letter) -> Option<(Name, Letter)> {
        let means = self.term(&letter.means)?;
        let var = letter.var;
        Some((other(name), Letter { var, means }))
    }

    fn symbol(self, symbol: &Symbol<Time>) -> Option<Term> {
        let steps: Option<Vec<Time>> = symbol.steps.iter().map(turned).collect();
        let (names, steps) = (&symbol.names, steps?);
        Some(match (symbol.quantity, &steps[..]) {
            (Quantity::Cut, _) => return None,
            (Quantity::Letter, _) => Quantity::Letter.of(&[other(&names[0])], steps),
            // A block is written with its letter in one direction, as a derivative in the other.
            (Quantity::Block, [t]) => Quantity::Direct.of(names, [t.clone(), t.plus(1)]),
            (Quantity::Direct, [t, k]) if !self.delayed && k.offset == t.offset - 1 => {
                Quantity::Block.of(names, [t.clone()])
            }
            (quantity, _) => quantity.row().reversed.of(names, steps),
        })
    }

    /// Reverses time in a term.
    pub(crate) fn term(self, term: &Term) -> Option<Term> {
        let one = |x: &Term| Some(Box::new(self.term(x)?));
        Some(match term {
            Term::Symbol(symbol) => self.symbol(symbol)?,
            Term::Over(fold, Index { var, from, to }, x) => {
                let index = Index::new(*var, turned(to)?, turned(from)?);
                Term::Over(fold.row().reversed, index, one(x)?)
            }
            Term::Before(a, b) => Term::Before(turned(b)?, turned(a)?),
            Term::PowSteps(x, n) => Term::PowSteps(one(x)?, count(n)?),
            Term::Steps(n) => Term::Steps(count(n)?),
            Term::Uncut(_) => return None,
            other => {
                let mut failed = false;
                let mut copy = other.map(&mut |part| {
                    self.term(part).unwrap_or_else(|| {
                        failed = true;
                        Term::Zero
                    })
                });
                for time in copy.times() {
                    match turned(time) {
                        Some(found) => *time = found,
                        None => failed = true,
                    }
                }
                return (!failed).then_some(copy);
            }
        })
    }
}

/// The id of a line about the backward chain. A line about a carousel already has the name of its state in its id.
pub(crate) fn renamed(id: Line, part: Part) -> Line {
    match part {
        Part::Jacobian | Part::Bridge | Part::Costate | Part::Bounds => Line::Back(Box::new(id)),
        _ => id,
    }
}

/// The step with time reversed; `None` if it has no form there.
fn turned(time: &Time) -> Option<Time> {
    let base = match time.base {
        // `τ` is a window width, not a step.
        Base::Var('τ') => return None,
        Base::Var(v) => {
            return Some(Time {
                base: Base::Var(v),
                offset: -time.offset,
            });
        }
        Base::Zero => Base::Last,
        Base::Last => Base::Zero,
        _ => return None,
    };
    Some(Time {
        base,
        offset: 1 - time.offset,
    })
}

/// A number of steps with time reversed.
fn count(time: &Time) -> Option<Time> {
    let base = match time.base {
        Base::Zero | Base::Last => time.base.clone(),
        Base::Minus(a, b) => Base::Minus(b, a),
        Base::Lots(a, b, many) => Base::Lots(b, a, many),
        // The last step minus another one.
        Base::LastMinus(v) if v != 'τ' => {
            return Some(Time::var(v).plus(time.offset - 1));
        }
        _ => return None,
    };
    Some(Time {
        base,
        offset: time.offset,
    })
}

impl Derivation {
    /// Adds the lines about the backward chain, converted from those about the forward chain of the reversed
    /// recurrence.
    pub(crate) fn add_mirrored(&mut self, mirrored: Self) {
        let mirror = Mirror::of(&mirrored.states);
        let moved: HashMap<&Line, Line> = mirrored
            .equations
            .iter()
            .map(|line| (&line.id, renamed(line.id.clone(), line.part)))
            .collect();
        // A letter for a part of the sequence that looks back has no counterpart.
        let mut lost: Vec<&Name> = Vec::new();
        for (name, letter) in &mirrored.letters {
            match mirror.letter(name, letter) {
                Some((name, letter)) => {
                    self.letters.entry(name).or_insert(letter);
                }
                None => lost.push(name),
            }
        }
        for line in &mirrored.equations {
            // The column of identities and zeros is the same in both directions.
            if line.id == Line::JacobianCorner && !self.states.is_empty() {
                continue;
            }
            let unknown = |t: &Term| match t.symbol() {
                Some((Quantity::Letter, [name], _)) => lost.contains(&name),
                _ => false,
            };
            let Some(mut line) = mirror
                .line(line)
                .filter(|_| !line.left.any(&unknown) && !line.right.any(&unknown))
            else {
                continue;
            };
            for premise in &mut line.premises {
                if let Some(id) = moved.get(premise) {
                    premise.clone_from(id);
                }
            }
            self.equations.push(line);
        }
        let ids: HashSet<Line> = self.equations.iter().map(|e| e.id.clone()).collect();
        for line in &mut self.equations {
            line.premises.retain(|premise| ids.contains(premise));
        }
        for (name, function) in mirrored.functions {
            self.functions.entry(name).or_insert(function);
        }
        self.back = mirrored.states;
        self.reversed = mirrored.equations;
    }
}
