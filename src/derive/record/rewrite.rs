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

/// The rows of [`Rewrite`]: the arguments, the rule, the relation between the term before and the term after (`None` if
/// the rule does not compare them), the lines that are looked up, and the function that applies the rule. The functions
/// belong to the room above, where `rules/apply.rs` calls them; here they are names.
macro_rules! rewrites {
    ($with:ident $before:ident $known:ident) => { $with! {
        /// Replaces the left side of a line by its right side.
        Unfold(at: At): Rule::Substitution, Equal, [at.line.clone()], unfold($before, at, $known);
        /// The same at a step that may be beyond the last, where both sides are zero.
        Beyond(at: At): Rule::Boundary, Equal, [at.line.clone()], beyond($before, at, $known);
        /// Replaces the right side of a line by its left side.
        Fold(at: At): Rule::Substitution, Equal, [at.line.clone()], fold($before, at, $known);
        /// Writes a term that is linear in the argument as a matrix times the argument.
        Factor(of: Argument): of.factoring(), Equal, [], linear::factor($before, of, $known);
        /// In a product with the argument, replaces the transpose of a line's right side by that of its left side.
        Transposed(at: At, of: Argument): Rule::LeftAdjoint, Equal, [at.line.clone()],
            linear::transposed($before, at, of, $known);
        /// Holds all arguments of a differential fixed except one.
        Alone(free: Argument): Rule::Constant, None, [], partial::alone($before, free, $known);
        /// Writes a matrix times a stack as a sum of column blocks times the blocks, and rows of a sum as a sum of
        /// rows.
        Partition: Rule::Stacking, Equal, [], linear::partition($before, $known);
        /// Holds the states before the step fixed.
        AtOnce: Rule::Constant, None, [], partial::at_once($before, $known);
        /// Expands the differential of a state into the contributions of the states before the step and the immediate
        /// one.
        Partials: Rule::Linearity, Equal, [], partial::partials($before, $known);
        /// Takes the matrix out of a product with the argument.
        ReadOff(of: Argument): Rule::ReadOff, None, [], partial::read_off($before, of, $known);
        /// Expands an inner product with a sum into a sum of inner products.
        InnerSum: Rule::InnerLinearity, Equal, [], linear::inner_sum($before);
        /// Moves a matrix from one side of an inner product to the other, transposed.
        InnerAdjoint: Rule::LeftAdjoint, Equal, [], linear::inner_adjoint($before);
        /// Solves a line for the contribution of the next step: it is the left side minus the other terms.
        Solved(at: At): Rule::Substitution, Equal, [at.line.clone()], linear::solved($before, at, $known);
        /// Writes rows of contributions of all states as one matrix times the stacked state.
        StateProduct: Rule::Stacking, Equal, [], stacks::of_states($before, $known);
        /// Expands a derivative over several steps in the states before the last step.
        LastStep: Rule::PathSum, Equal, [], paths::last_step($before, $known);
        /// Writes the derivatives of all states with respect to one as the derivative of the whole state times the
        /// derivatives at the step of that one.
        WholeState: Rule::PathSum, Equal, [], paths::whole_state($before, $known);
        /// Splits the derivative of a state with respect to another state of the previous step, from which it is also
        /// computed within a step, into the path through the other state and the paths around it.
        Around(of: Name, by: Name): Rule::PathSum, Equal, [Line::block(of, of, 1), Line::block(of, by, 1)],
            paths::around($before, of, by, $known);
        /// Writes `δ` of a state as its own `λ` plus the contributions that it passes to other states of the same step.
        Shares(state: Name): Rule::Consumer, Equal, [], paths::shares($before, state, $known);
        /// Writes `λ` of a state as the sum of the contributions of its readers; from here on, the other states of the
        /// step are held fixed.
        ByReaders(state: Name): Rule::Consumer, None, [Line::Delta(Name::clone(state))],
            paths::by_readers($before, state, $known);
        /// Drops the contributions of states that are held fixed.
        Still: Rule::Constant, None, [], paths::still($before, $known);
        /// Drops contributions from beyond the last step.
        End: Rule::Boundary, Equal, [], sums::end($before);
        /// Drops the contribution of the loss before the first step.
        Start: Rule::Boundary, Equal, [Line::Costate], paths::start($before, $known);
        /// Renames the variable of a sum.
        Rename(from: char, to: char): Rule::Substitution, Equal, [], sums::rename($before, *from, *to);
        /// Solves a recursion over one step, forward or backward, as a sum over steps.
        Unroll(line: Line): Rule::Unrolling, Equal, [line.clone()], sums::unroll($before, $known.line(line)?);
        /// Solves a recursion over several lags as a sum over steps.
        UnrollLags(line: Line): Rule::Unrolling, Equal, [line.clone()],
            sums::unroll_lags($before, $known.line(line)?, $known);
        /// For a single value carried for several steps: writes its derivative as the top left block of the derivative
        /// of the state.
        Corner: Rule::PathSum, Equal, [], paths::corner($before, $known);
        /// Writes the derivative of the state over many steps as the product of the derivatives over one step.
        Chain: Rule::OrderedProduct, Equal, [], sums::chain($before, $known);
        /// Separates the first term of a sum, and factors the Jacobian out of the others.
        Horner: Rule::Horner, Equal, [], sums::horner($before, $known);
        /// Exchanges the order of a triangular double sum.
        Exchange: Rule::Exchange, Equal, [], sums::exchange($before);
        /// Moves sums over the same steps out of linear expressions, to the front.
        SumOut: Rule::Linearity, Equal, [], sums::out($before);
        /// Moves a sum up to the given step directly in front of the factors that depend on its variable.
        SumIn(until: Time): Rule::Linearity, Equal, [], sums::inside($before, until);
        /// Expands a sum of sums into several sums.
        SumApart: Rule::Linearity, Equal, [], sums::apart($before);
        /// Restricts a sum over the losses of all steps to the loss of one step.
        OneLoss: Rule::Linearity, None, [], sums::one_loss($before);
        /// Splits a double sum into the part within a window and the rest.
        Window: Rule::Truncation, Equal, [], sums::window($before);
        /// Replaces `δ` by that of a recursion that restarts after every chunk.
        Restart: Rule::Truncation, None, [], sums::restart($before);
        /// Splits a double sum into the part within chunks and the rest.
        Chunks: Rule::Truncation, Equal, [], sums::chunks($before);
        /// Expands `δ` or the gradient of a stack into the stack of those of its parts.
        Unstack(line: Line): Rule::StackingAdjoint, Equal, [line.clone()], stacks::unstack($before, $known.line(line)?);
        /// Merges the stack of all `δ` into `δ` of the stack.
        Restack(line: Line): Rule::StackingAdjoint, Equal, [line.clone()], stacks::restack($before, $known.line(line)?);
        /// Merges rows `Σ_i A_{qi} r_i` into a block matrix times the stack of the `r_i`.
        BlockProduct: Rule::Stacking, Equal, [], stacks::product_of($before);
        /// Merges blocks `δ_q r_iᵀ` into a stack times the transpose of another stack.
        BlockOuter: Rule::StackingAdjoint, Equal, [], stacks::outer($before);
        /// Merges several matrices that multiply `δ` of the same step into one.
        SentBack: Rule::StackingAdjoint, Equal, [], stacks::sent_back($before);
        /// Replaces the left side of a bound by its right side.
        AtMost(at: At): Rule::Substitution, AtMost, [at.line.clone()], at_most($before, at, $known);
        /// Replaces a term by the maximum, defined by a line, that bounds it.
        Below(line: Line): Rule::Extremes, AtMost, [line.clone()], norms::below($before, $known.line(line)?);
        /// Bounds norms of products by products of norms.
        NormOfProduct: Rule::Submultiplicative, AtMost, [], norms::factors($before);
        /// Splits the first factor off a norm of a product, as a norm of its own.
        NormOfFirst: Rule::Submultiplicative, AtMost, [], norms::first_factor($before, $known);
        /// Bounds norms of sums by sums of norms.
        NormOfSum: Rule::Triangle, AtMost, [], norms::triangle($before);
        /// Replaces norms of diagonal matrices by their largest absolute entries.
        NormOfDiagonal: Rule::DiagonalNorm, Equal, [], norms::diagonal($before);
        /// Drops transposes inside norms.
        NormOfTranspose: Rule::OuterNorm, Equal, [], norms::transposes($before);
        /// Splits a block matrix in which one row depends on another into a sum: the dependent part of the rows, and
        /// the rest.
        SplitRows: Rule::Linearity, Equal, [], stacks::split_rows($before);
        /// Factors a block matrix in which one row is a matrix times another row.
        FactorRows: Rule::Stacking, Equal, [], stacks::factor_rows($before);
        /// Bounds norms of block matrices by roots of sums of squared norms.
        NormOfBlocks: Rule::BlockNorm, AtMost, [], norms::blocks($before);
        /// Replaces norms of outer products by products of vector norms.
        NormOfOuter: Rule::OuterNorm, Equal, [], norms::outer($before, $known);
        /// Inside a norm, writes an entrywise product as a product with a diagonal matrix.
        AsDiagonal: Rule::Diagonal, Equal, [], norms::as_diagonal($before, $known);
        /// Bounds the norm of a vector by its largest absolute entry times the root of its size.
        Length: Rule::EntryNorm, AtMost, [], norms::length($before, $known);
        /// Bounds the maximum over steps of a function with values below one by one.
        Saturated: Rule::Ranges, AtMost, [], norms::saturated($before, $known);
        /// Replaces a sum of a constant by a number of steps times the constant.
        Repeated: Rule::Linearity, Equal, [], sums::repeated($before);
        /// Bounds the largest entries of gates and slopes by the ends of their ranges.
        Ranges: Rule::Ranges, AtMost, [], norms::ranges($before, $known);
        /// Bounds a product over steps by a power of an upper bound of the factors.
        Power: Rule::Extremes, AtMost, [], norms::power($before);
        /// A contraction over several lags: the first line bounds a value by a weighted sum of earlier ones, the second
        /// defines an upper bound on the sum of the weights. Replaces the value by a power of that bound.
        Shrinks(step: Line, letter: Line): Rule::Contraction, AtMost, [step.clone(), letter.clone()],
            norms::shrinks($before, $known.line(step)?, $known.line(letter)?);
        /// Bounds a geometric sum by the sum of the infinite series.
        Geometric: Rule::Geometric, AtMost, [], norms::geometric($before);
        /// Bounds a power of minimal factors by the product of the factors of each step.
        LeastSteps: Rule::Extremes, AtMost, [], norms::least_steps($before);
        /// Bounds a product of smallest singular values by that of the product.
        LeastOfProduct: Rule::LowerBound, AtMost, [], norms::least($before);
    } };
}
pub(crate) use rewrites;

macro_rules! data {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident$(($($arg:ident: $kind:ty),+))?: $rule:expr, $relation:ident, [$($line:expr),*], $apply:expr;
    )+) => {
        /// One rule with its arguments.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Rewrite {
            $($(#[doc = $doc])+ $name$(($($kind),+))?,)+
        }

        #[allow(unused_variables, reason = "a row need not mention every argument")]
        impl Rewrite {
            /// The rule that is used.
            #[must_use]
            pub const fn rule(&self) -> Rule {
                match self { $(Self::$name$(($($arg),+))? => $rule,)+ }
            }

            /// The relation between the term before and the term after; `None` if the rule does not compare them.
            #[must_use]
            pub const fn relation(&self) -> Option<Relation> {
                match self { $(Self::$name$(($($arg),+))? => relation!($relation),)+ }
            }

            /// The ids of the lines that are used.
            #[must_use]
            pub fn premises(&self) -> Vec<Line> {
                match self { $(Self::$name$(($($arg),+))? => vec![$($line),*],)+ }
            }
        }
    };
}

macro_rules! relation {
    (None) => {
        None
    };
    ($relation:ident) => {
        Some(Relation::$relation)
    };
}

rewrites!(data before known);

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

impl Argument {
    /// The rule by which the argument is factored out.
    const fn factoring(&self) -> Rule {
        match self {
            Self::Jacobian(..) => Rule::Linearity,
            _ => Rule::Diagonal,
        }
    }
}
