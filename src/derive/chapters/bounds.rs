//! Upper and lower bounds of products of Jacobians, and the resulting bounds of δ.

use std::sync::Arc;

use super::writer::Writer;
use crate::derive::algebra::chain::{self, flow};
use crate::derive::algebra::function::call;
use crate::derive::algebra::normal::add;
use crate::derive::algebra::term::{Base, Fold, Index, Name, Quantity, Term, Time};
use crate::derive::record::equation::Equation;
use crate::derive::record::line::{Lag, Line};
use crate::derive::record::part::{Level, Part};
use crate::derive::record::relation::{Condition, Range, Relation, pairs};
use crate::derive::record::rewrite::{At, Rewrite};
use crate::derive::record::step::Step;
use crate::derive::rules::known::line_of;
use crate::derive::rules::proof::{Made, Proof};
use crate::op::Pointwise;

/// Writes the bounds that follow from the printed Jacobian.
pub(crate) fn write(writer: &mut Writer<'_>) {
    let (t, k) = (Time::var('t'), Time::var('k'));
    let state = writer.state.clone();
    let states = &chain::names(&state);
    let alone = match &state[..] {
        [one] => Some(&one.name),
        _ => None,
    };
    let scalar = alone.is_some_and(|one| of_scalar(writer, one));
    let size = |x: Term| norm(x, scalar);
    if scalar {
        writer.function(Pointwise::Abs);
    }
    let jacobian = Quantity::StateJacobian.of([], [Time::var('j')]);
    let whole = size(flow(&state, t, k));
    let product = Rewrite::Unfold(Line::JacobianProduct.into());
    let made = Proof::of(writer.known(), whole.clone())
        .by(product.clone())
        .and_then(|p| p.by(Rewrite::NormOfProduct))
        .map(Proof::done);
    if let Some(made) = made {
        let equation = at_most(writer, Line::ProductBound, whole.clone(), made);
        equation.range = pairs();
    }

    let own = alone.and_then(|one| writer.right(&Line::block(one, one, 1)).cloned());
    let slope = own.as_ref().and_then(slope);
    match alone {
        Some(state) => one_state(writer, state, own.as_ref(), scalar),
        None => several_states(writer, states),
    }
    let ratio = match &slope {
        // `J = diag(v) W`: the bound of Pascanu, Mikolov and Bengio.
        Some((v, w)) => {
            let largest = size(v.at('t', &Time::var('j')));
            let gamma = over_run(largest, true);
            let gamma = writer.define(writer.symbols.letters.slope, None, Part::Bounds, gamma);
            let made = Proof::of(writer.known(), gamma.clone())
                .if_it_applies(Rewrite::Unfold(
                    defined(writer.symbols.letters.slope).into(),
                ))
                .if_it_applies(Rewrite::NormOfDiagonal)
                .if_it_applies(Rewrite::Ranges)
                .done();
            if matches!(made.term, Term::Num(_)) {
                let equation = at_most(writer, Line::SlopeBound, gamma.clone(), made);
                equation.level = Level::Normal;
            }
            Term::Mul(vec![gamma, size(w.clone())])
        }
        None => over_run(size(jacobian), true),
    };
    let q = writer.define(writer.symbols.letters.ratio, None, Part::Bounds, ratio);
    let steps = Time {
        base: Base::Minus('t', 'k'),
        offset: 0,
    };
    let power = |base: &Term| Term::PowSteps(Box::new(base.clone()), steps.clone());
    let letters = writer.symbols.letters;
    let fold = |letter: &str| Rewrite::Fold(defined(letter).into());
    let by_step = match (alone, &slope) {
        (Some(one), Some(_)) => {
            let line = Line::block(one, one, 1);
            Some(At::new(line, &[('t', Time::var('j'))]))
        }
        _ => None,
    };
    let mut proof = Proof::of(writer.known(), whole.clone()).if_it_applies(product);
    if let Some(line) = &by_step {
        proof = proof.if_it_applies(Rewrite::Unfold(line.clone()));
    }
    let made = proof
        .by(Rewrite::NormOfProduct)
        .and_then(|p| p.by(Rewrite::Power))
        .map(|p| p.if_it_applies(fold(letters.slope)))
        .and_then(|p| p.by(fold(letters.ratio)))
        .map(Proof::done);
    if let Some(made) = made {
        let equation = at_most(writer, Line::PowerBound, whole.clone(), made);
        equation.range = pairs();
    }
    if let (Some((v, w)), false) = (&slope, scalar) {
        let least = |x: Term| Term::Least(Box::new(x));
        let smallest = over_run(least(v.at('t', &Time::var('j'))), false);
        let mu = Term::Mul(vec![least(w.clone()), smallest]);
        let mu = writer.define(letters.least, None, Part::Bounds, mu);
        let start = power(&mu);
        let made = Proof::of(writer.known(), start.clone())
            .if_it_applies(Rewrite::Unfold(defined(letters.least).into()))
            .by(Rewrite::LeastSteps)
            .and_then(|p| p.by(Rewrite::LeastOfProduct))
            .and_then(|p| p.by(Rewrite::Fold(by_step?)))
            .and_then(|p| p.by(Rewrite::Fold(Line::JacobianProduct.into())))
            .map(Proof::done);
        if let Some(made) = made {
            let equation = at_most(writer, Line::LeastBound, start, made);
            equation.range = pairs();
            equation.level = Level::Normal;
        }
    }
    if let ([of], None) = (&states[..], alone) {
        delays(writer, of);
    }
    if let Some(state) = alone {
        errors(writer, state, &q, Line::PowerBound, scalar);
        if slope.is_some() && !scalar {
            window(writer, state, below_one(&q));
        }
    }
}

/// With several lags: a bound that can be below one, since it ignores values that are only carried on. If `ρ` bounds
/// the sum of the norms of all terms that a step reads, the largest of `m` successive derivatives shrinks by `ρ` every
/// `m` steps, for `m` lags.
fn delays(writer: &mut Writer<'_>, of: &Name) {
    let (t, k) = (Time::var('t'), Time::var('k'));
    let scalar = of_scalar(writer, of);
    if scalar {
        writer.function(Pointwise::Abs);
    }
    let read = writer.state.iter().filter(|by| {
        let line = Line::block(of, of, by.delay + 1);
        writer.right(&line).is_some_and(|b| *b != Term::Zero)
    });
    let blocks = read.map(|by| norm(chain::block(&writer.state, of, by, &Time::var('j')), scalar));
    let blocks = add(blocks.collect::<Vec<_>>());
    if blocks == Term::Zero {
        return;
    }
    let jacobian = Quantity::Jacobian.of([of, of], [t, k.clone()]);
    let left = norm(jacobian, scalar);
    let made = Proof::of(writer.known(), left.clone())
        .by(Rewrite::LastStep)
        .map(|p| p.if_it_applies(Rewrite::NormOfSum))
        .and_then(|p| p.by(Rewrite::NormOfProduct))
        .map(Proof::done);
    let Some(made) = made else { return };
    let equation = at_most(writer, Line::LagsStepBound, left.clone(), made);
    equation.range = Range {
        vars: vec![
            ('k', Time::at(0), Time::last().plus(-1)),
            ('t', k.plus(1), Time::last()),
        ],
    };
    equation.level = Level::Normal;
    let letter = writer.symbols.letters.lags;
    let rho = writer.define(letter, None, Part::Bounds, over_run(blocks, true));
    let shrinks = Rewrite::Shrinks(Line::LagsStepBound, defined(letter));
    let made = Proof::of(writer.known(), left.clone()).by(shrinks);
    let Some(made) = made.map(Proof::done) else {
        return;
    };
    let equation = at_most(writer, Line::LagsBound, left, made);
    equation.range = pairs();
    equation.given = Some(below_one(&rho));
    errors(writer, of, &rho, Line::LagsBound, scalar);
}

/// The line that defines a letter.
fn defined(letter: &str) -> Line {
    Line::Letter(letter.into())
}

fn below_one(x: &Term) -> Condition {
    Condition {
        left: x.clone(),
        strict: true,
        right: Term::Num(1.0),
    }
}

fn at_most<'a>(writer: &'a mut Writer<'_>, id: Line, left: Term, made: Made) -> &'a mut Equation {
    let equal = |s: &Step| s.relation() == Some(Relation::Equal);
    // If every step preserves the value, the line is an equation.
    let relation = match made.steps.iter().all(equal) {
        true => Relation::Equal,
        false => Relation::AtMost,
    };
    let equation = writer.prove(id, Part::Bounds, left, made);
    equation.relation = relation;
    equation
}

fn of_scalar(writer: &Writer<'_>, name: &Name) -> bool {
    let id = writer.tape.named(name);
    id.is_some_and(|id| writer.is_scalar(id))
}

fn norm(x: Term, scalar: bool) -> Term {
    match scalar {
        true => call(Pointwise::Abs, vec![x]),
        false => Term::Norm(Box::new(x)),
    }
}

/// The maximum or minimum over the steps of a run.
fn over_run(body: Term, largest: bool) -> Term {
    let fold = if largest { Fold::Max } else { Fold::Min };
    Term::over(fold, Index::all('j'), body)
}

/// `diag(v)` and `W`, if a Jacobian is their product.
fn slope(jacobian: &Term) -> Option<(Term, Term)> {
    match jacobian {
        Term::Mul(factors) => match &factors[..] {
            [v @ Term::Diag(_), w] if is_fixed(w) => Some((v.clone(), w.clone())),
            _ => None,
        },
        _ => None,
    }
}

/// Returns true if a matrix is a weight or a part of one.
fn is_fixed(matrix: &Term) -> bool {
    match matrix {
        Term::Part(_, whole) => is_fixed(whole),
        matrix => matches!(matrix.symbol(), Some((Quantity::Value, _, []))),
    }
}

/// The bound of one step, a factor for each factor of the Jacobian.
fn one_state(writer: &mut Writer<'_>, state: &Name, own: Option<&Term>, scalar: bool) {
    let Some(own) = own.filter(|_| !scalar) else {
        return;
    };
    let left = norm(Quantity::StateJacobian.of([], [Time::var('t')]), false);
    let line = Line::block(state, state, 1);
    let Some(proof) = Proof::of(writer.known(), left.clone()).by(Rewrite::Unfold(line.into()))
    else {
        return;
    };
    let made = match slope(own) {
        Some(_) => proof.by(Rewrite::NormOfProduct),
        None => largest(proof, &[]),
    };
    // A single factor gives no new line.
    let Some(made) = made.map(Proof::done).filter(|m| m.steps.len() > 1) else {
        return;
    };
    let equation = at_most(writer, Line::StepBound, left, made);
    equation.range = Range::all();
}

/// The bounds of the blocks, of each state that depends on the other within a step, and of the whole Jacobian.
fn several_states(writer: &mut Writer<'_>, states: &[Name]) {
    let (t, state) = (Time::var('t'), writer.state.clone());
    for of in states {
        for by in &state {
            let left = norm(chain::block(&state, of, by, &t), false);
            let line = Line::block(of, &by.name, by.delay + 1);
            let made = Proof::of(writer.known(), left.clone())
                .by(Rewrite::Unfold(line.into()))
                .and_then(|p| largest(p, &[]))
                .map(Proof::done);
            let Some(made) = made.filter(|m| !matches!(m.term, Term::Num(_) | Term::Zero)) else {
                continue;
            };
            let (name, lag) = (Arc::clone, Lag(by.delay + 1));
            let id = Line::BlockBound(name(of), name(&by.name), lag);
            let equation = at_most(writer, id, left, made);
            equation.range = Range::all();
            equation.level = Level::Normal;
        }
    }
    for state in states {
        let id = Line::Total(Arc::clone(state));
        let Some(line) = writer.line(&id) else {
            continue;
        };
        let (left, range) = (norm(line.left.clone(), false), line.range.clone());
        let made = Proof::of(writer.known(), left.clone())
            .by(Rewrite::Unfold(id.into()))
            .and_then(|p| largest(p, states))
            .map(Proof::done);
        let Some(made) = made else { continue };
        let id = Line::TotalBound(Arc::clone(state));
        let equation = at_most(writer, id, left, made);
        equation.range = range;
        equation.level = Level::Normal;
    }
    if !chain::is_delayed(&state) {
        joint(writer, states);
    }
}

/// `‖J‖ ≤ √2 √(‖A‖² + ‖F‖²) + ‖B‖` of `J = [B + P A, P F; A, F]` with `‖P‖ ≤ 1`.
fn joint(writer: &mut Writer<'_>, states: &[Name]) {
    let [first, second] = states else { return };
    let left = norm(Quantity::StateJacobian.of([], [Time::var('t')]), false);
    let unfold = |id: Line| Rewrite::Unfold(id.into());
    for (of, by) in [(first, second), (second, first)] {
        let made = Proof::of(writer.known(), left.clone())
            .by(unfold(Line::Jacobian))
            .and_then(|p| p.by(unfold(Line::block(of, of, 1))))
            .and_then(|p| p.by(unfold(Line::block(of, by, 1))))
            .and_then(|p| p.by(Rewrite::SplitRows))
            .and_then(|p| p.by(Rewrite::NormOfSum))
            .and_then(|p| p.by(Rewrite::FactorRows))
            .and_then(|p| p.by(Rewrite::NormOfProduct))
            .and_then(|p| p.by(Rewrite::NormOfBlocks))
            .and_then(|p| largest(p, &[]))
            .map(Proof::done);
        let two = call(Pointwise::Sqrt, vec![Term::Num(2.0)]);
        let Some(made) = made.filter(|m| m.term.any(&|t| *t == two)) else {
            continue;
        };
        writer.function(Pointwise::Sqrt);
        let equation = at_most(writer, Line::JointBound, left, made);
        equation.range = Range::all();
        equation.level = Level::Normal;
        return;
    }
}

/// An upper bound of a norm: sums by the triangle inequality, products by submultiplicativity, diagonal matrices by
/// their largest entry. Blocks between the given states, and derivatives within a step, are replaced by the right sides
/// of their lines.
fn largest<'k>(mut proof: Proof<'k>, open: &[Name]) -> Option<Proof<'k>> {
    while let Some(line) = opened(&proof.term).filter(|_| !open.is_empty()) {
        proof = proof.by(Rewrite::Unfold(line))?;
    }
    let rules = [
        Rewrite::NormOfSum,
        Rewrite::NormOfProduct,
        Rewrite::NormOfTranspose,
        Rewrite::NormOfDiagonal,
        Rewrite::Ranges,
    ];
    loop {
        let before = proof.term.clone();
        for rule in &rules {
            proof = proof.if_it_applies(rule.clone());
        }
        if proof.term == before {
            break;
        }
    }
    let strange = |t: &Term| match t {
        Term::Norm(x) => {
            let blocks = [Quantity::Block, Quantity::Direct, Quantity::Jacobian];
            let block = blocks.iter().any(|q| x.is(*q));
            !block && !is_fixed(x)
        }
        _ => false,
    };
    (!proof.term.any(&strange)).then_some(proof)
}

/// The line of the first block, or derivative within a step, in a term.
fn opened(term: &Term) -> Option<At> {
    line_of(term).or_else(|| term.parts().into_iter().find_map(opened))
}

/// The consequences of the bounds for δ and for a window.
fn errors(writer: &mut Writer<'_>, state: &Name, ratio: &Term, power: Line, scalar: bool) {
    let k = Time::var('k');
    let left = norm(Quantity::Delta.of([state], [k]), scalar);
    let of_states = Range {
        vars: vec![('k', Time::at(1), Time::last())],
    };
    let made = Proof::of(writer.known(), left.clone())
        .by(Rewrite::Unfold(Line::Closed.into()))
        .and_then(|p| p.by(Rewrite::NormOfSum))
        .and_then(|p| p.by(Rewrite::NormOfFirst))
        .and_then(|p| p.by(Rewrite::NormOfTranspose))
        .and_then(|p| p.by(Rewrite::AtMost(power.clone().into())))
        .map(Proof::done);
    let Some(made) = made else { return };
    let given = writer.line(&power).and_then(|e| e.given.clone());
    let sum = made.term.clone();
    let equation = at_most(writer, Line::DeltaBound, left.clone(), made);
    equation.range = of_states.clone();
    equation.given = given;
    equation.level = Level::Normal;

    let Term::Over(Fold::Sum, steps, body) = sum else {
        return;
    };
    let mut factors = match *body {
        Term::Mul(factors) => factors,
        one => vec![one],
    };
    factors.retain(|f| !matches!(f, Term::PowSteps(..)));
    let letter = writer.symbols.letters.sent;
    let mut rules = vec![Rewrite::AtMost(Line::DeltaBound.into())];
    match &factors[..] {
        [] => {}
        [sent] => {
            let most = Term::over(Fold::Max, Index::all(steps.var), sent.clone());
            writer.define(letter, None, Part::Bounds, most);
            rules.push(Rewrite::Below(defined(letter)));
        }
        _ => return,
    }
    rules.push(Rewrite::Geometric);
    let start = Some(Proof::of(writer.known(), left.clone()));
    let made = rules.into_iter().fold(start, |p, rule| p?.by(rule));
    let made = made.map(Proof::done);
    let Some(made) = made else { return };
    let equation = at_most(writer, Line::DeltaBoundOfRun, left, made);
    equation.range = of_states;
    equation.given = Some(below_one(ratio));
    equation.level = Level::Normal;
}

/// The bound of the remainder of a window: `‖R‖ ≤ (T − τ) γ M N q^τ / (1 − q)`.
fn window(writer: &mut Writer<'_>, state: &Name, small: Condition) {
    let letters = writer.symbols.letters;
    let left = Quantity::Letter.of([&letters.rest.into()], [Time::var('τ')]);
    let left = Term::Frobenius(Box::new(left));
    // Each pair of steps contributes one outer product, whose second vector is the state.
    let parted = Proof::of(writer.known(), left.clone())
        .by(Rewrite::Unfold(defined(letters.rest).into()))
        .and_then(|p| p.by(Rewrite::NormOfSum))
        .and_then(|p| p.by(Rewrite::NormOfOuter));
    let carried = norm(
        Quantity::Value.of([state], [Time::var('k').plus(-1)]),
        false,
    );
    if !parted.is_some_and(|p| p.term.any(&|t| *t == carried)) {
        return;
    }
    let length = norm(Quantity::Value.of([state], [Time::var('k')]), false);
    let length = Term::over(
        Fold::Max,
        Index::new('k', Time::at(0), Time::last()),
        length,
    );
    let longest = writer.define(letters.size, None, Part::Bounds, length);
    let made = Proof::of(writer.known(), longest.clone())
        .by(Rewrite::Unfold(defined(letters.size).into()))
        .and_then(|p| p.by(Rewrite::Length))
        .and_then(|p| p.by(Rewrite::Saturated))
        .map(Proof::done);
    if let Some(made) = made {
        writer.function(Pointwise::Sqrt);
        let equation = at_most(writer, Line::StateBound, longest, made);
        equation.level = Level::Normal;
        equation.given = Some(Condition {
            left: Term::MaxNorm(Box::new(Quantity::Value.of([state], [Time::at(0)]))),
            strict: false,
            right: Term::Num(1.0),
        });
    }
    let below = |letter: &str| Rewrite::Below(defined(letter));
    let rules = [
        Rewrite::NormOfSum,
        Rewrite::NormOfOuter,
        Rewrite::AsDiagonal,
        Rewrite::NormOfFirst,
        Rewrite::NormOfFirst,
        Rewrite::NormOfTranspose,
        Rewrite::AtMost(Line::PowerBound.into()),
        below(letters.slope),
        below(letters.sent),
        below(letters.size),
        Rewrite::Geometric,
        Rewrite::Repeated,
    ];
    let start =
        Proof::of(writer.known(), left.clone()).by(Rewrite::Unfold(defined(letters.rest).into()));
    let made = rules.into_iter().fold(start, |p, rule| p?.by(rule));
    let Some(made) = made.map(Proof::done) else {
        return;
    };
    let equation = at_most(writer, Line::WindowBound, left, made);
    equation.range = Range {
        vars: vec![('τ', Time::at(1), Time::last())],
    };
    equation.given = Some(small);
    equation.level = Level::Normal;
}
