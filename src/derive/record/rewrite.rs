//! The uses of rules, as data: each with what it is used on, the rule that it is a use of, and the lines that
//! it looks up.

use super::relation::Relation;
use super::rule::Rule;
pub(crate) use crate::derive::algebra::term::{Name, Term, Time};

/// A line, at the steps that are put in for its variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// The id of the line.
    pub line: String,
    /// The variables with what they stand for.
    pub steps: Vec<(char, Time)>,
}

/// What a line is linear in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// `δ` of a value at a step.
    Delta(Name, Time),
    /// `λ` of a state at a step.
    Costate(Name, Time),
    /// The differential of a value.
    D(Name, Option<Time>),
    /// The differential of the state at a step, in a stack.
    States(Time),
    /// How a state answers to a state of an earlier step.
    Jacobian(Name, Time, Name, Time),
}

/// One rule with what it is used on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rewrite {
    /// The left side of a line becomes its right side.
    Unfold(At),
    /// The same at a step that may lie beyond the last, where both sides are zero.
    Beyond(At),
    /// The right side of a line becomes its left side.
    Fold(At),
    /// What is linear in something becomes a matrix times that.
    Factor(Argument),
    /// In front of something, the transpose of a line's right side becomes that of its left side.
    Transposed(At, Argument),
    /// All that a differential depends on is held fixed but one thing.
    Alone(Argument),
    /// A matrix times a stack becomes the sum of its columns times the blocks, and rows of a sum a sum of
    /// rows.
    Partition,
    /// The states before the step are held fixed.
    AtOnce,
    /// The differential of a state becomes what it gets from each state before the step, and at once.
    Partials,
    /// A matrix times something becomes the matrix.
    ReadOff(Argument),
    /// An inner product with a sum becomes a sum of inner products.
    InnerSum,
    /// A matrix on one side of an inner product becomes its transpose on the other.
    InnerAdjoint,
    /// What a line says comes from the next step becomes the rest of the line.
    Solved(At),
    /// Rows of what states get from all states become one matrix times the stack of the states.
    StateProduct,
    /// A derivative over steps becomes what all states before the last step pass on.
    LastStep,
    /// How all states answer to one becomes the derivative of the whole state times the answers of
    /// that one's step.
    WholeState,
    /// How a state answers, one step later, to another that it follows within a step becomes what
    /// passes through that other and what passes by it.
    Around(Name, Name),
    /// `δ` of a state becomes its own `λ` and what states of the same step pass on to it.
    Shares(Name),
    /// `λ` of a state becomes what its readers send back; the other states of the step stand still
    /// from here on.
    ByReaders(Name),
    /// States that stand still send nothing back.
    Still,
    /// After the last step nothing is sent back.
    End,
    /// Before the first step nothing is sent by the loss.
    Start,
    /// A variable that is summed over gets another name.
    Rename(char, char),
    /// A value that a line gives by the same value a step on or back becomes a sum over steps.
    Unroll(String),
    /// The same for a line that gives it by that of several steps.
    UnrollLags(String),
    /// The derivative of the only value that is carried for several steps becomes the corner of that
    /// of the state.
    Corner,
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
    /// A matrix of blocks in which one row follows another becomes a sum: the rows as far as they do,
    /// and the rest.
    SplitRows,
    /// Blocks of which one row is a matrix times another row become a product.
    FactorRows,
    /// Norms of blocks become roots of sums of squares of norms.
    NormOfBlocks,
    /// Norms of outer products become products of lengths.
    NormOfOuter,
    /// Inside a norm, a product entry by entry becomes that with a diagonal matrix.
    AsDiagonal,
    /// The length of a vector becomes its largest entry times the root of its size.
    Length,
    /// The largest over the steps of what a function keeps below one becomes one.
    Saturated,
    /// A sum of what does not vary becomes a number of steps times that.
    Repeated,
    /// Largest entries of gates and slopes become the ends of their ranges.
    Ranges,
    /// A product over steps becomes a power of what no factor exceeds.
    Power,
    /// What one line says is at most a sum of a few earlier ones, each with a factor, becomes a power of
    /// what another line says is the most that the factors add up to.
    Shrinks(String, String),
    /// A geometric sum becomes what it is at most without an end.
    Geometric,
    /// A power of smallest values becomes the product of those of each step.
    LeastSteps,
    /// A product of smallest singular values becomes that of the product.
    LeastOfProduct,
}

impl At {
    pub(crate) fn new(line: impl Into<String>, steps: &[(char, Time)]) -> Self {
        Self {
            line: line.into(),
            steps: steps.to_vec(),
        }
    }

    /// A side of the line, or a part of one, at these steps.
    pub(crate) fn put(&self, side: &Term) -> Term {
        let steps = self.steps.iter();
        steps.fold(side.clone(), |side, (var, to)| side.at(*var, to))
    }
}

impl Rewrite {
    /// The rule that this is a use of.
    #[must_use]
    pub const fn rule(&self) -> Rule {
        match self {
            Self::Unfold(_)
            | Self::Fold(_)
            | Self::Solved(_)
            | Self::AtMost(_)
            | Self::Rename(..) => Rule::Substitution,
            Self::NormOfProduct | Self::NormOfFirst => Rule::Submultiplicative,
            Self::Below(_) | Self::Power | Self::LeastSteps => Rule::Extremes,
            Self::NormOfBlocks => Rule::BlockNorm,
            Self::Length => Rule::EntryNorm,
            Self::NormOfSum => Rule::Triangle,
            Self::NormOfDiagonal => Rule::DiagonalNorm,
            Self::NormOfTranspose | Self::NormOfOuter => Rule::OuterNorm,
            Self::Ranges | Self::Saturated => Rule::Ranges,
            Self::Geometric => Rule::Geometric,
            Self::Shrinks(..) => Rule::Contraction,
            Self::LeastOfProduct => Rule::LowerBound,
            Self::Factor(Argument::Jacobian(..)) | Self::Partials => Rule::Linearity,
            Self::Factor(_) | Self::AsDiagonal => Rule::Diagonal,
            Self::Alone(_) | Self::AtOnce | Self::Still => Rule::Constant,
            Self::ReadOff(_) => Rule::ReadOff,
            Self::LastStep | Self::WholeState | Self::Corner | Self::Around(..) => Rule::PathSum,
            Self::Shares(_) | Self::ByReaders(_) => Rule::Consumer,
            Self::Start | Self::End | Self::Beyond(_) => Rule::Boundary,
            Self::Transposed(..) | Self::InnerAdjoint => Rule::LeftAdjoint,
            Self::InnerSum => Rule::InnerLinearity,
            Self::Unroll(_) | Self::UnrollLags(_) => Rule::Unrolling,
            Self::Chain => Rule::OrderedProduct,
            Self::Horner => Rule::Horner,
            Self::Exchange => Rule::Exchange,
            Self::SumOut | Self::SumIn(_) | Self::SumApart | Self::OneLoss => Rule::Linearity,
            Self::SplitRows | Self::Repeated => Rule::Linearity,
            Self::Window | Self::Restart | Self::Chunks => Rule::Truncation,
            Self::Partition | Self::BlockProduct | Self::StateProduct | Self::FactorRows => {
                Rule::Stacking
            }
            Self::Unstack(_) | Self::Restack(_) | Self::BlockOuter | Self::SentBack => {
                Rule::StackingAdjoint
            }
        }
    }

    /// How the term before compares with the term after; `None` where they are not to be compared.
    #[must_use]
    pub const fn relation(&self) -> Option<Relation> {
        Some(match self {
            Self::OneLoss
            | Self::Restart
            | Self::Alone(_)
            | Self::AtOnce
            | Self::ReadOff(_)
            | Self::ByReaders(_)
            | Self::Still => return None,
            Self::AtMost(_)
            | Self::Below(_)
            | Self::NormOfProduct
            | Self::NormOfFirst
            | Self::NormOfSum
            | Self::NormOfBlocks
            | Self::Length
            | Self::Saturated
            | Self::Ranges
            | Self::Power
            | Self::Geometric
            | Self::Shrinks(..)
            | Self::LeastSteps
            | Self::LeastOfProduct => Relation::AtMost,
            _ => Relation::Equal,
        })
    }

    /// The lines that are made use of.
    #[must_use]
    pub fn premises(&self) -> Vec<String> {
        match self {
            Self::Unfold(at)
            | Self::Beyond(at)
            | Self::Fold(at)
            | Self::Solved(at)
            | Self::AtMost(at)
            | Self::Transposed(at, _) => vec![at.line.clone()],
            Self::Below(line)
            | Self::Unroll(line)
            | Self::UnrollLags(line)
            | Self::Unstack(line)
            | Self::Restack(line) => vec![line.clone()],
            Self::Around(of, by) => vec![format!("jac.{of}.{of}"), format!("jac.{of}.{by}")],
            Self::Shrinks(step, letter) => vec![step.clone(), letter.clone()],
            Self::ByReaders(state) => vec![format!("delta.{state}")],
            Self::Start => vec!["costate".into()],
            _ => Vec::new(),
        }
    }
}
