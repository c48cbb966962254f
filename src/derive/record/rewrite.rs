//! Uses of rules as data: each has its arguments, its rule, and the lines that it looks up.

use super::line::Line;
use super::relation::Relation;
use super::rule::Rule;
pub(crate) use crate::derive::algebra::term::{Name, Term, Time};

/// A line with steps substituted for its variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// The id of the line.
    pub line: Line,
    /// The variables and their values.
    pub steps: Vec<(char, Time)>,
}

/// The variable in which a line is linear.
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
    /// The derivative of a state with respect to a state of an earlier step.
    Jacobian(Name, Time, Name, Time),
}

/// One rule with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rewrite {
    /// Replaces the left side of a line by its right side.
    Unfold(At),
    /// The same at a step that may be beyond the last, where both sides are zero.
    Beyond(At),
    /// Replaces the right side of a line by its left side.
    Fold(At),
    /// Writes a term that is linear in the argument as a matrix times the argument.
    Factor(Argument),
    /// In a product with the argument, replaces the transpose of a line's right side by that of its left side.
    Transposed(At, Argument),
    /// Holds all arguments of a differential fixed except one.
    Alone(Argument),
    /// Writes a matrix times a stack as a sum of column blocks times the blocks, and rows of a sum as a sum of rows.
    Partition,
    /// Holds the states before the step fixed.
    AtOnce,
    /// Expands the differential of a state into the contributions of the states before the step and the immediate
    /// one.
    Partials,
    /// Takes the matrix out of a product with the argument.
    ReadOff(Argument),
    /// Expands an inner product with a sum into a sum of inner products.
    InnerSum,
    /// Moves a matrix from one side of an inner product to the other, transposed.
    InnerAdjoint,
    /// Solves a line for the contribution of the next step: it is the left side minus the other terms.
    Solved(At),
    /// Writes rows of contributions of all states as one matrix times the stacked state.
    StateProduct,
    /// Expands a derivative over several steps in the states before the last step.
    LastStep,
    /// Writes the derivatives of all states with respect to one as the derivative of the whole state times the
    /// derivatives at the step of that one.
    WholeState,
    /// Splits the derivative of a state with respect to another state of the previous step, from which it is also
    /// computed within a step, into the path through the other state and the paths around it.
    Around(Name, Name),
    /// Writes `δ` of a state as its own `λ` plus the contributions that it passes to other states of the same step.
    Shares(Name),
    /// Writes `λ` of a state as the sum of the contributions of its readers; from here on, the other states of the
    /// step are held fixed.
    ByReaders(Name),
    /// Drops the contributions of states that are held fixed.
    Still,
    /// Drops contributions from beyond the last step.
    End,
    /// Drops the contribution of the loss before the first step.
    Start,
    /// Renames the variable of a sum.
    Rename(char, char),
    /// Solves a recursion over one step, forward or backward, as a sum over steps.
    Unroll(Line),
    /// Solves a recursion over several lags as a sum over steps.
    UnrollLags(Line),
    /// For a single value carried for several steps: writes its derivative as the top left block of the derivative of
    /// the state.
    Corner,
    /// Writes the derivative of the state over many steps as the product of the derivatives over one step.
    Chain,
    /// Separates the first term of a sum, and factors the Jacobian out of the others.
    Horner,
    /// Exchanges the order of a triangular double sum.
    Exchange,
    /// Moves sums over the same steps out of linear expressions, to the front.
    SumOut,
    /// Moves a sum up to the given step directly in front of the factors that depend on its variable.
    SumIn(Time),
    /// Expands a sum of sums into several sums.
    SumApart,
    /// Restricts a sum over the losses of all steps to the loss of one step.
    OneLoss,
    /// Splits a double sum into the part within a window and the rest.
    Window,
    /// Replaces `δ` by that of a recursion that restarts after every chunk.
    Restart,
    /// Splits a double sum into the part within chunks and the rest.
    Chunks,
    /// Expands `δ` or the gradient of a stack into the stack of those of its parts.
    Unstack(Line),
    /// Merges the stack of all `δ` into `δ` of the stack.
    Restack(Line),
    /// Merges rows `Σ_i A_{qi} r_i` into a block matrix times the stack of the `r_i`.
    BlockProduct,
    /// Merges blocks `δ_q r_iᵀ` into a stack times the transpose of another stack.
    BlockOuter,
    /// Merges several matrices that multiply `δ` of the same step into one.
    SentBack,
    /// Replaces the left side of a bound by its right side.
    AtMost(At),
    /// Replaces a term by the maximum, defined by a line, that bounds it.
    Below(Line),
    /// Bounds norms of products by products of norms.
    NormOfProduct,
    /// Splits the first factor off a norm of a product, as a norm of its own.
    NormOfFirst,
    /// Bounds norms of sums by sums of norms.
    NormOfSum,
    /// Replaces norms of diagonal matrices by their largest absolute entries.
    NormOfDiagonal,
    /// Drops transposes inside norms.
    NormOfTranspose,
    /// Splits a block matrix in which one row depends on another into a sum: the dependent part of the rows, and the
    /// rest.
    SplitRows,
    /// Factors a block matrix in which one row is a matrix times another row.
    FactorRows,
    /// Bounds norms of block matrices by roots of sums of squared norms.
    NormOfBlocks,
    /// Replaces norms of outer products by products of vector norms.
    NormOfOuter,
    /// Inside a norm, writes an entrywise product as a product with a diagonal matrix.
    AsDiagonal,
    /// Bounds the norm of a vector by its largest absolute entry times the root of its size.
    Length,
    /// Bounds the maximum over steps of a function with values below one by one.
    Saturated,
    /// Replaces a sum of a constant by a number of steps times the constant.
    Repeated,
    /// Bounds the largest entries of gates and slopes by the ends of their ranges.
    Ranges,
    /// Bounds a product over steps by a power of an upper bound of the factors.
    Power,
    /// A contraction over several lags: the first line bounds a value by a weighted sum of earlier ones, the second
    /// defines an upper bound on the sum of the weights. Replaces the value by a power of that bound.
    Shrinks(Line, Line),
    /// Bounds a geometric sum by the sum of the infinite series.
    Geometric,
    /// Bounds a power of minimal factors by the product of the factors of each step.
    LeastSteps,
    /// Bounds a product of smallest singular values by that of the product.
    LeastOfProduct,
}

impl At {
    pub(crate) fn new(line: Line, steps: &[(char, Time)]) -> Self {
        Self {
            line,
            steps: steps.to_vec(),
        }
    }

    /// A side of the line, or a part of one, with these steps substituted.
    pub(crate) fn put(&self, side: &Term) -> Term {
        let steps = self.steps.iter();
        steps.fold(side.clone(), |side, (var, to)| side.at(*var, to))
    }
}

impl From<Line> for At {
    /// The line as it is.
    fn from(line: Line) -> Self {
        Self::new(line, &[])
    }
}

impl Rewrite {
    /// The rule that is used.
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

    /// The relation between the term before and the term after; `None` if the rule does not compare them.
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

    /// The ids of the lines that are used.
    #[must_use]
    pub fn premises(&self) -> Vec<Line> {
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
            Self::Around(of, by) => vec![Line::block(of, of, 1), Line::block(of, by, 1)],
            Self::Shrinks(step, letter) => vec![step.clone(), letter.clone()],
            Self::ByReaders(state) => vec![Line::Delta(Name::clone(state))],
            Self::Start => vec![Line::Costate],
            _ => Vec::new(),
        }
    }
}
