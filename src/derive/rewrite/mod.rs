//! Rules as functions on terms. A rule takes a term and gives the next one, or nothing where it does
//! not apply; a line is made by using rules in turn, and its steps are the record of that.

pub(crate) mod blocks;
mod linear;
mod norms;
mod proof;
mod sums;

use std::collections::HashSet;

pub(crate) use proof::{Made, Proof};

use super::canon::tidy;
use super::rules::Rule;
use super::term::{Name, Term, Time};
use super::{Equation, Relation};

/// A line, at the steps that are put in for its variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// The id of the line.
    pub line: String,
    /// The variables with what they stand for.
    pub steps: Vec<(char, Time)>,
}

/// One rule with what it is used on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rewrite {
    /// The left side of a line becomes its right side.
    Unfold(At),
    /// The right side of a line becomes its left side.
    Fold(At),
    /// What is linear in `δ` of a state at a step becomes a matrix times that `δ`.
    Factor(Name, Time),
    /// In front of `δ` of a state at a step, the transpose of a line's right side becomes that of its
    /// left side.
    Transposed(At, Name, Time),
    /// A value that a line gives by the same value a step on or back becomes a sum over steps.
    Unroll(String),
    /// The derivative of the state over many steps becomes the product of those over one.
    Chain,
    /// The first part of a sum is set apart, and the Jacobian that the others share with it.
    Horner,
    /// A triangular double sum is exchanged.
    Exchange,
    /// Sums over the same steps inside linear expressions come to stand in front.
    SumOut,
    /// A sum up to the given step moves in front of the only factors that vary with it.
    SumIn(Time),
    /// A sum of sums becomes several sums.
    SumApart,
    /// A sum over the losses of all steps becomes that of one step.
    OneLoss,
    /// A double sum becomes the part within a window and the rest.
    Window,
    /// `δ` becomes that of a recursion that starts again after every chunk.
    Restart,
    /// A double sum becomes the part within chunks and the rest.
    Chunks,
    /// `δ` or the gradient of a stack becomes the stack of those of its parts.
    Unstack(String),
    /// The stack of every `δ` becomes `δ` of the stack.
    Restack(String),
    /// Rows `Σ_i A_{qi} r_i` become a matrix of blocks times the stack of the `r_i`.
    BlockProduct,
    /// Blocks `δ_q r_iᵀ` become a stack times the transpose of another.
    BlockOuter,
    /// Several matrices that send `δ` of one step back become one.
    SentBack,
    /// What a line says is at most so large becomes that.
    AtMost(At),
    /// What stands below a maximum that a line defines becomes the maximum.
    Below(String),
    /// Norms of products become products of norms.
    NormOfProduct,
    /// The first factor inside a norm gets a norm of its own.
    NormOfFirst,
    /// Norms of sums become sums of norms.
    NormOfSum,
    /// Norms of diagonal matrices become largest entries.
    NormOfDiagonal,
    /// Norms of transposes lose the transpose.
    NormOfTranspose,
    /// Largest entries of gates and slopes become the ends of their ranges.
    Ranges,
    /// A product over steps becomes a power of what no factor exceeds.
    Power,
    /// A geometric sum becomes what it is at most without an end.
    Geometric,
    /// A power of smallest values becomes the product of those of each step.
    LeastSteps,
    /// A product of smallest singular values becomes that of the product.
    LeastOfProduct,
}

/// What rules may look up.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) lines: &'a [Equation],
    /// The values that are numbers.
    pub(crate) scalars: &'a HashSet<Name>,
}

impl Known<'_> {
    fn line(&self, id: &str) -> Option<&Equation> {
        self.lines.iter().find(|e| e.id == id)
    }

    /// Both sides of a line, at its steps; the sides of an inequality are not equal.
    fn sides(&self, at: &At, inequality: bool) -> Option<(Term, Term)> {
        let line = self.line(&at.line)?;
        if (line.relation == Relation::AtMost) != inequality {
            return None;
        }
        let there = |side: &Term| {
            at.steps
                .iter()
                .fold(side.clone(), |side, (var, to)| side.at(*var, to))
        };
        Some((there(&line.left), there(&line.right)))
    }
}

impl At {
    pub(crate) fn new(line: impl Into<String>, steps: &[(char, Time)]) -> Self {
        Self {
            line: line.into(),
            steps: steps.to_vec(),
        }
    }
}

impl Rewrite {
    /// The rule that this is a use of.
    #[must_use]
    pub const fn rule(&self) -> Rule {
        match self {
            Self::Unfold(_) | Self::Fold(_) | Self::AtMost(_) => Rule::Substitution,
            Self::NormOfProduct | Self::NormOfFirst | Self::Power => Rule::Submultiplicative,
            Self::NormOfSum => Rule::Triangle,
            Self::NormOfDiagonal => Rule::DiagonalNorm,
            Self::NormOfTranspose => Rule::OuterNorm,
            Self::Ranges | Self::Below(_) => Rule::Ranges,
            Self::Geometric => Rule::Geometric,
            Self::LeastSteps | Self::LeastOfProduct => Rule::LowerBound,
            Self::Factor(..) => Rule::Diagonal,
            Self::Transposed(..) => Rule::LeftAdjoint,
            Self::Unroll(_) => Rule::Unrolling,
            Self::Chain => Rule::OrderedProduct,
            Self::Horner => Rule::Horner,
            Self::Exchange => Rule::Exchange,
            Self::SumOut | Self::SumIn(_) | Self::SumApart | Self::OneLoss => Rule::Linearity,
            Self::Window | Self::Restart | Self::Chunks => Rule::Truncation,
            Self::BlockProduct => Rule::Stacking,
            Self::Unstack(_) | Self::Restack(_) | Self::BlockOuter | Self::SentBack => {
                Rule::StackingAdjoint
            }
        }
    }

    /// How the term before compares with the term after; `None` where they are not to be compared.
    #[must_use]
    pub const fn relation(&self) -> Option<Relation> {
        Some(match self {
            Self::OneLoss | Self::Restart => return None,
            Self::AtMost(_)
            | Self::Below(_)
            | Self::NormOfProduct
            | Self::NormOfFirst
            | Self::NormOfSum
            | Self::Ranges
            | Self::Power
            | Self::Geometric
            | Self::LeastSteps
            | Self::LeastOfProduct => Relation::AtMost,
            _ => Relation::Equal,
        })
    }

    /// The line that is made use of.
    #[must_use]
    pub fn premise(&self) -> Option<&str> {
        match self {
            Self::Unfold(at) | Self::Fold(at) | Self::AtMost(at) | Self::Transposed(at, ..) => {
                Some(&at.line)
            }
            Self::Below(line) | Self::Unroll(line) | Self::Unstack(line) | Self::Restack(line) => {
                Some(line)
            }
            _ => None,
        }
    }

    /// Uses the rule; nothing where it does not apply.
    pub(crate) fn apply(&self, before: &Term, known: &Known<'_>) -> Option<Term> {
        let after = match self {
            Self::Unfold(at) => {
                let (left, right) = known.sides(at, false)?;
                tidy(&replaced(before, &left, &right))
            }
            Self::AtMost(at) => {
                let (left, right) = known.sides(at, true)?;
                replaced(before, &left, &right)
            }
            Self::Fold(at) => {
                let (left, right) = known.sides(at, false)?;
                tidy(&replaced(before, &right, &left))
            }
            Self::Factor(state, at) => linear::factor(before, state, at, known)?,
            Self::Transposed(line, state, at) => {
                let (left, right) = known.sides(line, false)?;
                linear::transposed(before, &linear::delta(state, at), (&left, &right), known)?
            }
            Self::Unroll(line) => {
                let line = known.line(line)?;
                sums::unroll(before, &line.left, &line.right)?
            }
            Self::Chain => sums::chain(before),
            Self::Horner => sums::horner(before)?,
            Self::Exchange => sums::exchange(before)?,
            Self::SumOut => sums::out(before)?,
            Self::SumIn(to) => sums::inside(before, to),
            Self::SumApart => sums::apart(before)?,
            Self::OneLoss => sums::one_loss(before)?,
            Self::Window => sums::window(before)?,
            Self::Restart => sums::restart(before)?,
            Self::Chunks => sums::chunks(before)?,
            Self::Unstack(line) => {
                let line = known.line(line)?;
                blocks::unstack(before, &line.left, &line.right)?
            }
            Self::Restack(line) => {
                let line = known.line(line)?;
                blocks::restack(before, &line.left, &line.right)?
            }
            Self::BlockProduct => blocks::product_of(before)?,
            Self::BlockOuter => blocks::outer(before)?,
            Self::SentBack => blocks::sent_back(before)?,
            Self::Below(line) => {
                let line = known.line(line)?;
                norms::below(before, &line.left, &line.right)?
            }
            Self::NormOfProduct => norms::factors(before),
            Self::NormOfFirst => norms::first_factor(before),
            Self::NormOfSum => norms::triangle(before),
            Self::NormOfDiagonal => norms::diagonal(before),
            Self::NormOfTranspose => norms::transposes(before),
            Self::Ranges => norms::ranges(before, known),
            Self::Power => norms::power(before)?,
            Self::Geometric => norms::geometric(before)?,
            Self::LeastSteps => norms::least_steps(before)?,
            Self::LeastOfProduct => norms::least(before)?,
        };
        (after != *before).then_some(after)
    }
}

/// The term with something put in for every occurrence of a part.
fn replaced(term: &Term, from: &Term, to: &Term) -> Term {
    if term == from {
        return to.clone();
    }
    term.map(&mut |part| replaced(part, from, to))
}
