//! The application of a rule: the function on terms for each [`Rewrite`].

use super::known::{Known, replaced};
use super::{linear, norms, partial, paths, stacks, sums};
use crate::derive::algebra::numbers::numbers_first;
use crate::derive::algebra::simplify::tidy;
use crate::derive::algebra::term::Term;
use crate::derive::record::line::Line;
use crate::derive::record::rewrite::Rewrite;

impl Rewrite {
    /// Applies the rule; `None` if it does not apply.
    pub(crate) fn apply(&self, before: &Term, known: &Known<'_>) -> Option<Term> {
        let after = match self {
            Self::Unfold(at) => {
                let (left, right) = known.sides(at, false)?;
                tidy(&replaced(before, &left, &right))
            }
            Self::Beyond(at) => {
                let (left, right) = known.sides(at, false)?;
                let (_, step) = at.steps.iter().find(|(var, _)| *var == 't')?;
                tidy(&replaced(before, &left, &sums::guarded(&right, step)))
            }
            Self::AtMost(at) => {
                let (left, right) = known.sides(at, true)?;
                replaced(before, &left, &right)
            }
            Self::Fold(at) => {
                let (left, right) = known.sides(at, false)?;
                tidy(&replaced(before, &right, &left))
            }
            Self::Factor(of) => linear::factor(before, of, known)?,
            Self::Transposed(line, of) => {
                let (left, right) = known.sides(line, false)?;
                linear::transposed(before, &of.term(known), (&left, &right), known)?
            }
            Self::Alone(free) => partial::alone(before, free, known)?,
            Self::Partition => linear::partition(before, known)?,
            Self::AtOnce => partial::at_once(before, known)?,
            Self::Partials => partial::partials(before, known),
            Self::ReadOff(of) => partial::read_off(before, of, known)?,
            Self::InnerSum => linear::inner_sum(before),
            Self::InnerAdjoint => linear::inner_adjoint(before),
            Self::Solved(at) => linear::solved(before, at, known)?,
            Self::StateProduct => stacks::of_states(before, known)?,
            Self::LastStep => paths::last_step(before, known),
            Self::WholeState => paths::whole_state(before, known)?,
            Self::Around(of, by) => paths::around(before, of, by, known)?,
            Self::Shares(state) => paths::shares(before, state, known),
            Self::ByReaders(state) => paths::by_readers(before, state, known)?,
            Self::Still => paths::still(before, known),
            Self::End => sums::end(before),
            Self::Start => {
                let line = known.line(&Line::Costate)?;
                paths::start(before, &line.left, &line.right, known)?
            }
            Self::Rename(from, to) => sums::rename(before, *from, *to)?,
            Self::Unroll(line) => {
                let line = known.line(line)?;
                sums::unroll(before, &line.left, &line.right)?
            }
            Self::UnrollLags(line) => {
                let line = known.line(line)?;
                sums::unroll_lags(before, &line.left, &line.right, known)?
            }
            Self::Corner => paths::corner(before, known)?,
            Self::Chain => sums::chain(before, known),
            Self::Horner => sums::horner(before, known)?,
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
                stacks::unstack(before, &line.left, &line.right)?
            }
            Self::Restack(line) => {
                let line = known.line(line)?;
                stacks::restack(before, &line.left, &line.right)?
            }
            Self::BlockProduct => stacks::product_of(before)?,
            Self::BlockOuter => stacks::outer(before)?,
            Self::SentBack => stacks::sent_back(before)?,
            Self::Below(line) => {
                let line = known.line(line)?;
                norms::below(before, &line.left, &line.right)?
            }
            Self::NormOfProduct => norms::factors(before),
            Self::NormOfFirst => norms::first_factor(before, known),
            Self::NormOfSum => norms::triangle(before),
            Self::NormOfDiagonal => norms::diagonal(before),
            Self::NormOfTranspose => norms::transposes(before),
            Self::SplitRows => stacks::split_rows(before)?,
            Self::FactorRows => stacks::factor_rows(before)?,
            Self::NormOfBlocks => norms::blocks(before),
            Self::NormOfOuter => norms::outer(before, known),
            Self::AsDiagonal => norms::as_diagonal(before, known),
            Self::Length => norms::length(before, known),
            Self::Saturated => norms::saturated(before, known)?,
            Self::Repeated => sums::repeated(before)?,
            Self::Ranges => norms::ranges(before, known),
            Self::Power => norms::power(before)?,
            Self::Shrinks(step, letter) => {
                let (step, letter) = (known.line(step)?, known.line(letter)?);
                norms::shrinks(before, step, letter)?
            }
            Self::Geometric => norms::geometric(before)?,
            Self::LeastSteps => norms::least_steps(before)?,
            Self::LeastOfProduct => norms::least(before)?,
        };
        let after = numbers_first(&after, known.tape);
        (after != *before).then_some(after)
    }
}
