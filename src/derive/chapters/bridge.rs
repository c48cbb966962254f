//! From the double sum over pairs of steps to the recursion.
//!
//! Written for a recurrence with one state, for which the sum can be written with matrices.

use std::sync::Arc;

use super::deltas::{is_homogeneous, of_one_step};
use super::pairing::pairing;
use super::writer::Writer;
use crate::derive::algebra::chain::{Carried, is_delayed, names};
use crate::derive::algebra::normal::add;
use crate::derive::algebra::term::{Fold, Index, Name, Quantity, Term, Time, looks_ahead};
use crate::derive::record::line::Line;
use crate::derive::record::part::{Level, Part};
use crate::derive::record::relation::Range;
use crate::derive::record::rewrite::{Argument, At, Rewrite};
use crate::derive::record::rule::Rule;
use crate::derive::rules::proof::{Made, Proof};

/// The recursion of one state, from which double sums are derived.
pub(crate) struct Bridge {
    pub(crate) state: Name,
    /// True if the loss of a step contributes only at that step.
    pub(crate) by_step: bool,
    /// True until a main parameter has been chosen.
    main: bool,
}

/// The recursion of a single state, unrolled and factored; `None` if there is no such recursion.
pub(crate) fn write(writer: &mut Writer<'_>) -> Option<Bridge> {
    let [state] = &names(&writer.state)[..] else {
        return None;
    };
    let (t, k) = (Time::var('t'), Time::var('k'));
    let lags = lags(writer);
    let made = recursion(writer, state, &lags)?;
    // The direct contribution of the loss: the terms that do not look ahead.
    let (ahead, direct): (Vec<Term>, Vec<Term>) =
        made.term.addends().iter().cloned().partition(looks_ahead);
    let direct = add(direct);
    if direct == Term::Zero || ahead.len() != lags.len() {
        return None;
    }
    let delta = |at: &Time| Quantity::Delta.of([state], [at.clone()]);
    let horner = writer.prove(Line::Recursion, Part::Bridge, delta(&t), made);
    horner.range = Range::all();
    horner.premises.insert(0, Line::Delta(Arc::clone(state)));

    pairing(writer, Line::Recursion, Line::Pairing, Part::Bridge);

    let by_step = writer.recurrence.step_loss().is_some() && of_one_step(writer, &direct);
    let unrolled = Proof::of(writer.known(), delta(&k));
    let closed = match is_delayed(&writer.state) {
        true => unrolled.by(Rewrite::UnrollLags(Line::Recursion)),
        false => unrolled
            .by(Rewrite::Unroll(Line::Recursion))
            .and_then(|p| p.by(Rewrite::Fold(Line::JacobianProduct.into()))),
    };
    let closed = closed.map(Proof::done)?;
    let sums = closed.term.clone();
    let of_states = |last: Time| Range {
        vars: vec![('k', Time::at(1), last)],
    };
    let equation = writer.prove(Line::Closed, Part::Bridge, delta(&k), closed);
    equation.range = of_states(Time::last());

    let factored = Proof::of(writer.known(), sums.clone()).by(Rewrite::Horner);
    if let Some(factored) = factored.map(Proof::done) {
        let equation = writer.prove(Line::Horner, Part::Bridge, sums, factored);
        // At the last step the second term is empty.
        equation.range = of_states(Time::last().plus(-1));
        equation.premises = vec![Line::Closed];
        equation.level = Level::Normal;
    }
    Some(Bridge {
        state: Arc::clone(state),
        by_step,
        main: true,
    })
}

/// The lags at which the single state is read.
fn lags(writer: &Writer<'_>) -> Vec<i64> {
    let read = |part: &&Carried| {
        let line = Line::block(&part.name, &part.name, part.delay + 1);
        writer
            .right(&line)
            .is_some_and(|block| *block != Term::Zero)
    };
    let read = writer.state.iter().filter(read);
    read.map(|part| part.delay + 1).collect()
}

/// `δ_t = e_t + J_{t+1}ᵀ δ_{t+1}`, with a term for each lag, from the contributions of the readers.
fn recursion(writer: &Writer<'_>, state: &Name, lags: &[i64]) -> Option<Made> {
    let right = writer.right(&Line::Delta(Arc::clone(state)))?.clone();
    let mut proof = Proof::of(writer.known(), right);
    for lag in lags {
        let next = Time::var('t').plus(*lag);
        let line = Line::block(state, state, *lag);
        let jacobian = At::new(line, &[('t', next.clone())]);
        let delta = Argument::Delta(Arc::clone(state), next.clone());
        proof = proof
            .down_to(std::slice::from_ref(state), &next)?
            .if_it_applies(Rewrite::Partition)
            .if_it_applies(Rewrite::Factor(delta.clone()))
            .by(Rewrite::Transposed(jacobian, delta))?;
    }
    (!lags.is_empty()).then(|| proof.done())
}

/// The gradient of every parameter: its name and both sides of its line.
pub(crate) fn gradients(writer: &Writer<'_>) -> Vec<(Name, Term, Term)> {
    let lines = writer.equations.iter();
    let lines = lines.filter(|e| e.part == Part::Parameters);
    let of = lines.filter_map(|e| match &e.id {
        Line::Gradient(name) => Some((Arc::clone(name), e.left.clone(), e.right.clone())),
        _ => None,
    });
    of.collect()
}

impl Bridge {
    /// `∂L/∂W` as a sum over pairs of steps, if the parameter acts through the state.
    pub(crate) fn double_sum(
        &mut self,
        writer: &mut Writer<'_>,
        (name, left, right): (Name, Term, Term),
    ) -> Option<Sums> {
        let (state, k) = (&self.state, Time::var('k'));
        let known = writer.known();
        let whole = put_fixed(Proof::of(known, right))?.if_it_applies(Rewrite::SumOut);
        let Term::Over(Fold::Sum, Index { var, .. }, _) = whole.term else {
            return None;
        };
        // Express every δ in terms of δ of the state.
        let in_state = whole
            .by(Rewrite::Rename(var, 'k'))
            .and_then(|p| p.down_to(std::slice::from_ref(state), &k))?;
        let Term::Over(Fold::Sum, _, body) = in_state.term.clone() else {
            return None;
        };
        if !is_homogeneous(&body, state) {
            return None;
        }
        let columns = in_state
            .by(Rewrite::Unfold(Line::Closed.into()))
            .and_then(|p| p.by(Rewrite::SumOut))?;
        let exchanged = columns.term.clone();
        let made = columns.by(Rewrite::Exchange)?;
        let double = made.term.clone();
        let back = Proof::of(known, double.clone()).by(Rewrite::Exchange);
        let (made, back) = (made.done(), back.map(Proof::done));
        // Only the first matrix that multiplies the state goes on the sheet.
        let before = |t: &Term| match t.symbol() {
            Some((Quantity::Value, [name], [at])) => name == state && at.offset == -1,
            _ => false,
        };
        let recurrent = body.any(&before);
        let level = if self.main && recurrent {
            Level::Sheet
        } else {
            Level::Full
        };
        self.main &= level == Level::Full;
        let double_id = Line::DoubleSum(Arc::clone(&name));
        let equation = writer.prove(double_id.clone(), Part::Bridge, left.clone(), made);
        equation.level = level;
        equation.rules.push(Rule::WeightTying);
        equation.premises.push(Line::Gradient(Arc::clone(&name)));
        if let Some(back) = back {
            let exchange = Line::ExchangedSum(Arc::clone(&name));
            let equation = writer.prove(exchange, Part::Bridge, double.clone(), back);
            equation.premises = vec![double_id];
            equation.level = level.max(Level::Normal);
        }
        let sums = Sums {
            name,
            double,
            exchanged,
            left,
            main: level == Level::Sheet,
        };
        if self.by_step {
            of_step(writer, &sums, level);
        }
        Some(sums)
    }
}

/// Substitutes every `δ` that does not vary with the step; it depends on parameters only.
fn put_fixed(mut proof: Proof<'_>) -> Option<Proof<'_>> {
    while let Some(name) = fixed(&proof.term) {
        proof = proof.by(Rewrite::Unfold(Line::Delta(name).into()))?;
    }
    Some(proof)
}

/// The first value with a `δ` that does not vary with the step.
fn fixed(term: &Term) -> Option<Name> {
    match term.symbol() {
        Some((Quantity::Delta, [name], [])) => Some(Arc::clone(name)),
        _ => term.parts().into_iter().find_map(fixed),
    }
}

/// The contributions of a parameter to the loss of one step, by the step of use.
fn of_step(writer: &mut Writer<'_>, sums: &Sums, level: Level) {
    let known = writer.known();
    let Some(made) = Proof::of(known, sums.double.clone()).by(Rewrite::OneLoss) else {
        return;
    };
    let made = made.done();
    let left = Quantity::StepGradient.of([&sums.name], [Time::var('t')]);
    let id = Line::StepSum(Arc::clone(&sums.name));
    let equation = writer.prove(id, Part::Bridge, left, made);
    equation.range = Range::all();
    equation.level = level.max(Level::Normal);
    equation.premises = vec![Line::DoubleSum(Arc::clone(&sums.name))];
}

/// A gradient as a sum over pairs of steps.
pub(crate) struct Sums {
    /// The parameter.
    pub(crate) name: Name,
    /// The double sum: outer over the step of the loss, inner over the step of use.
    pub(crate) double: Term,
    /// The double sum with the order exchanged.
    pub(crate) exchanged: Term,
    /// The gradient.
    pub(crate) left: Term,
    /// True for the main parameter, shown in place of all others.
    pub(crate) main: bool,
}
