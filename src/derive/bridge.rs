//! From the double sum over pairs of steps to the recursion, and what truncation leaves out.
//!
//! Written for a recurrence that carries one value, where the sum can be written with matrices.

use std::sync::Arc;

use super::algebra::chain::{Carried, block_line, is_delayed, names};
use super::algebra::normal::add;
use super::algebra::term::{Name, Term, Time, looks_ahead};
use super::costate::pairing;
use super::generate::Writer;
use super::record::part::{Level, Part};
use super::record::relation::Range;
use super::record::rewrite::{Argument, At, Rewrite};
use super::record::rule::Rule;
use super::rules::proof::{Made, Proof};
use super::truncation;

/// The double sum of every parameter, exchanged, factored and truncated.
pub(crate) fn write(writer: &mut Writer<'_>) {
    let [state] = &names(&writer.state)[..] else {
        return;
    };
    let (t, k) = (Time::var('t'), Time::var('k'));
    let lags = lags(writer);
    let Some(made) = recursion(writer, state, &lags) else {
        return;
    };
    // What the loss sends to the state directly: the part that does not look ahead.
    let (ahead, direct): (Vec<Term>, Vec<Term>) =
        made.term.addends().iter().cloned().partition(looks_ahead);
    let direct = add(direct);
    if direct == Term::Zero || ahead.len() != lags.len() {
        return;
    }
    let delta = |at: &Time| Term::Delta(Arc::clone(state), Some(at.clone()));
    let horner = writer.prove("bridge.recursion".into(), Part::Bridge, delta(&t), made);
    horner.range = Range::all();
    horner.premises.insert(0, format!("delta.{state}"));

    pairing(writer, "bridge.recursion", Part::Bridge);

    // Whether what the loss of a step sends is all sent at that step.
    let by_step = writer.recurrence.step_loss().is_some() && of_one_step(writer, &direct);
    let recursion = "bridge.recursion".to_owned();
    let unrolled = Proof::of(writer.known(), delta(&k));
    let closed = match is_delayed(&writer.state) {
        true => unrolled.by(Rewrite::UnrollLags(recursion)),
        false => unrolled
            .by(Rewrite::Unroll(recursion))
            .and_then(|p| p.by(Rewrite::Fold(At::new("jac.product", &[])))),
    };
    let Some(closed) = closed.map(Proof::done) else {
        return;
    };
    let sums = closed.term.clone();
    let of_states = |last: Time| Range {
        vars: vec![('k', Time::at(1), last)],
    };
    let equation = writer.prove("bridge.closed".into(), Part::Bridge, delta(&k), closed);
    equation.range = of_states(Time::last());

    let factored = Proof::of(writer.known(), sums.clone()).by(Rewrite::Horner);
    if let Some(factored) = factored.map(Proof::done) {
        let equation = writer.prove("bridge.horner".into(), Part::Bridge, sums, factored);
        // At the last step nothing is left in the second part.
        equation.range = of_states(Time::last().plus(-1));
        equation.premises = vec!["bridge.closed".into()];
        equation.level = Level::Normal;
    }
    write_sums(writer, state, by_step);
}

/// After how many steps the one value of a state is read again.
fn lags(writer: &Writer<'_>) -> Vec<i64> {
    let read = |part: &&Carried| {
        let line = block_line(&part.name, &part.name, part.delay + 1);
        writer
            .right(&line)
            .is_some_and(|block| *block != Term::Zero)
    };
    let read = writer.state.iter().filter(read);
    read.map(|part| part.delay + 1).collect()
}

/// `δ_t = e_t + J_{t+1}ᵀ δ_{t+1}`, with a part for each lag, from what the readers send back.
fn recursion(writer: &Writer<'_>, state: &Name, lags: &[i64]) -> Option<Made> {
    let right = writer.right(&format!("delta.{state}"))?.clone();
    let mut proof = Proof::of(writer.known(), right);
    for lag in lags {
        let next = Time::var('t').plus(*lag);
        let line = block_line(state, state, *lag);
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

/// `∂L/∂W` as a sum over pairs of steps, for every parameter that is reached through the state.
fn write_sums(writer: &mut Writer<'_>, state: &Name, by_step: bool) {
    let gradients: Vec<(String, Term, Term)> = writer
        .equations
        .iter()
        .filter(|e| e.part == Part::Parameters)
        .map(|e| (e.id.clone(), e.left.clone(), e.right.clone()))
        .collect();
    let k = Time::var('k');
    let mut main = true;
    for (id, left, right) in gradients {
        let known = writer.known();
        let whole = put_fixed(Proof::of(known, right));
        let Some(whole) = whole.map(|p| p.if_it_applies(Rewrite::SumOut)) else {
            continue;
        };
        let Term::Sum(var, ..) = whole.term else {
            continue;
        };
        // Put δ of the state in for every δ that is computed from it.
        let in_state = whole
            .by(Rewrite::Rename(var, 'k'))
            .and_then(|p| p.down_to(std::slice::from_ref(state), &k));
        let Some(in_state) = in_state else {
            continue;
        };
        let Term::Sum(.., body) = in_state.term.clone() else {
            continue;
        };
        if !is_homogeneous(&body, state) {
            continue;
        }
        let columns = in_state
            .by(Rewrite::Unfold(At::new("bridge.closed", &[])))
            .and_then(|p| p.by(Rewrite::SumOut));
        let Some(columns) = columns else { continue };
        let exchanged = columns.term.clone();
        let Some(made) = columns.by(Rewrite::Exchange) else {
            continue;
        };
        let double = made.term.clone();
        let back = Proof::of(known, double.clone()).by(Rewrite::Exchange);
        let (made, back) = (made.done(), back.map(Proof::done));
        // The first matrix that acts on the state stands for all of them.
        let recurrent =
            body.any(&|t| matches!(t, Term::Value(n, Some(at)) if n == state && at.offset == -1));
        let level = if main && recurrent {
            Level::Sheet
        } else {
            Level::Full
        };
        main &= level == Level::Full;
        let name = id.trim_start_matches("grad.").to_owned();
        let double_id = format!("bridge.double.{name}");
        let equation = writer.prove(double_id.clone(), Part::Bridge, left.clone(), made);
        equation.level = level;
        equation.rules.push(Rule::WeightTying);
        equation.premises.push(id.clone());
        if let Some(back) = back {
            let exchange = format!("bridge.exchange.{name}");
            let equation = writer.prove(exchange, Part::Bridge, double.clone(), back);
            equation.premises = vec![double_id];
            equation.level = level.max(Level::Normal);
        }
        let sums = Sums {
            name: &name,
            double: &double,
            exchanged: &exchanged,
            left: &left,
        };
        let main = level == Level::Sheet;
        if by_step {
            of_step(writer, &sums, level);
        }
        truncation::window(writer, &sums, main);
        if by_step {
            truncation::chunks(writer, state, &sums, main);
        }
    }
}

/// With what every `δ` is that does not vary with the step: it is computed from parameters.
fn put_fixed(mut proof: Proof<'_>) -> Option<Proof<'_>> {
    while let Some(name) = fixed(&proof.term) {
        proof = proof.by(Rewrite::Unfold(At::new(format!("delta.{name}"), &[])))?;
    }
    Some(proof)
}

/// The first value with a `δ` that does not vary with the step.
fn fixed(term: &Term) -> Option<Name> {
    match term {
        Term::Delta(name, None) => Some(Arc::clone(name)),
        term => term.parts().into_iter().find_map(fixed),
    }
}

/// What a parameter contributes to the loss of one step, by when it was used.
fn of_step(writer: &mut Writer<'_>, sums: &Sums<'_>, level: Level) {
    let known = writer.known();
    let Some(made) = Proof::of(known, sums.double.clone()).by(Rewrite::OneLoss) else {
        return;
    };
    let made = made.done();
    let left = Term::StepGradient(sums.name.into(), Time::var('t'));
    let id = format!("bridge.step.{}", sums.name);
    let equation = writer.prove(id, Part::Bridge, left, made);
    equation.range = Range::all();
    equation.level = level.max(Level::Normal);
    equation.premises = vec![format!("bridge.double.{}", sums.name)];
}

/// A gradient as a sum over pairs of steps.
pub(crate) struct Sums<'a> {
    /// Of what.
    pub(crate) name: &'a str,
    /// By the step of the loss, then by the step of use.
    pub(crate) double: &'a Term,
    /// The other way round.
    pub(crate) exchanged: &'a Term,
    /// The gradient.
    pub(crate) left: &'a Term,
}

/// The lines of δ, by their ids.
pub(crate) fn recursions(writer: &Writer<'_>) -> Vec<(String, Term)> {
    writer
        .equations
        .iter()
        .filter(|e| e.part == Part::Recursion)
        .map(|e| (e.id.clone(), e.right.clone()))
        .collect()
}

/// Whether every addend has δ of the state as a factor, once.
pub(crate) fn is_homogeneous(term: &Term, state: &Name) -> bool {
    match term {
        Term::Delta(name, _) => name == state,
        Term::Add(parts) => parts.iter().all(|p| is_homogeneous(p, state)),
        Term::Neg(x) | Term::T(x) | Term::Part(_, x) | Term::Div(x, _) => is_homogeneous(x, state),
        Term::Matrix(rows) => rows.iter().flatten().all(|x| is_homogeneous(x, state)),
        Term::Had(parts) | Term::Mul(parts) => {
            let linear: Vec<&Term> = parts.iter().filter(|p| p.is_linear_part()).collect();
            matches!(linear[..], [one] if is_homogeneous(one, state))
        }
        _ => false,
    }
}

/// Whether every δ in a term is computed from values of its own step.
pub(crate) fn of_one_step(writer: &Writer<'_>, term: &Term) -> bool {
    let lines = recursions(writer);
    let mut pending = vec![term.clone()];
    let mut known: Vec<Name> = Vec::new();
    while let Some(term) = pending.pop() {
        let elsewhere = |t: &Term| match t {
            Term::Delta(_, at) => *at != Some(Time::var('t')),
            // The loss of another step may read it with the value of that one.
            Term::Value(_, Some(at)) => *at != Time::var('t'),
            t => matches!(t, Term::Before(..) | Term::At(..) | Term::Sum(..)),
        };
        if term.any(&elsewhere) {
            return false;
        }
        let mut names = Vec::new();
        super::algebra::term::visit(&term, &mut |t| {
            if let Term::Delta(name, _) = t {
                names.push(Arc::clone(name));
            }
        });
        for name in names
            .into_iter()
            .filter(|n| !known.contains(n))
            .collect::<Vec<_>>()
        {
            let id = format!("delta.{name}");
            let Some((_, right)) = lines.iter().find(|(known, _)| *known == id) else {
                return false;
            };
            pending.push(right.clone());
            known.push(name);
        }
    }
    true
}
