//! Rules about sums over steps.

use super::known::Known;
use crate::derive::algebra::chain::{Carried, flow};
use crate::derive::algebra::normal::{add, neg, product, scale, transpose};
use crate::derive::algebra::shapes::is_number;
use crate::derive::algebra::simplify::{settle, summed, tidy};
use crate::derive::algebra::term::{Base, Fold, Index, Name, Quantity, Term, Time};
use crate::derive::record::equation::Equation;

const fn after(base: Base, offset: i64) -> Time {
    Time { base, offset }
}

const fn range(var: char, from: Time, to: Time) -> Index {
    Index::new(var, from, to)
}

fn sum(index: Index, body: Term) -> Term {
    Term::over(Fold::Sum, index, body)
}

/// The other terms of a sum, and the only term that contains `x`.
fn set_apart(term: &Term, x: &Term) -> Option<(Vec<Term>, Term)> {
    let Term::Add(parts) = term else { return None };
    let (own, rest): (Vec<Term>, Vec<Term>) =
        parts.iter().cloned().partition(|p| p.any(&|t| t == x));
    let [one] = <[Term; 1]>::try_from(own).ok()?;
    Some((rest, one))
}

/// The right side of a line at a step that may be later than the last one: zero there.
pub(super) fn guarded(right: &Term, step: &Time) -> Term {
    let inside = Term::Before(step.plus(-1), Time::last());
    let beyond = |of: &Time| of.base == step.base && of.offset >= step.offset;
    let guarded = |part: &Term| match part.ends_with_deltas(&beyond) {
        true => part.clone(),
        false => match part {
            Term::Neg(x) => neg(product(vec![inside.clone(), (**x).clone()])),
            part => product(vec![inside.clone(), part.clone()]),
        },
    };
    add(right.addends().iter().map(guarded))
}

/// Sets contributions from beyond the last step to zero.
pub(super) fn end(term: &Term) -> Term {
    fn put(term: &Term) -> Term {
        let last = Time::last();
        match (term, term.symbol()) {
            (_, Some((Quantity::Delta, _, [at]))) if at.base == last.base && at.offset > 0 => {
                Term::Zero
            }
            (Term::Before(from, to), _)
                if *to == last && from.base == last.base && from.offset >= 0 =>
            {
                Term::Zero
            }
            _ => term.map(&mut put),
        }
    }
    settle(&put(term))
}

/// Renames the variable of a sum.
pub(super) fn rename(before: &Term, from: char, to: char) -> Option<Term> {
    match before {
        Term::Over(Fold::Sum, index, body) if index.var == from && !varies(body, to) => {
            let body = body.at(from, &Time::var(to));
            let index = index.clone();
            Some(sum(Index { var: to, ..index }, body))
        }
        _ => None,
    }
}

/// Unrolls a recursion `v_t = e_t + A_{t+1} v_{t+1}`, or the same with `v_{t−1}`, into a sum.
pub(super) fn unroll(before: &Term, line: &Equation) -> Option<Term> {
    let (left, right) = (&line.left, &line.right);
    let (t, k, j) = (Time::var('t'), Time::var('k'), Time::var('j'));
    let moved = |to: &Time| left.at('t', to);
    let ahead = moved(&t.plus(1));
    if let Some((direct, later)) = set_apart(right, &ahead) {
        if *before != moved(&k) {
            return None;
        }
        let direct = add(direct);
        return match &later {
            Term::Had(factors) => {
                let [gate, last] = &factors[..] else {
                    return None;
                };
                let gate = (*last == ahead).then(|| gate.at('t', &j.plus(-1)))?;
                let kept = Term::over(Fold::HadProd, range('j', k.plus(1), t), gate);
                let body = tidy(&Term::Had(vec![kept, direct]));
                Some(summed(range('t', k, Time::last()), body))
            }
            Term::Mul(factors) => {
                let (cut, factors) = match &factors[..] {
                    [Term::Uncut(at), rest @ ..] if *at == t => (true, rest),
                    rest => (false, rest),
                };
                let [Term::T(matrix), last] = factors else {
                    return None;
                };
                let matrix = (*last == ahead).then(|| matrix.at('t', &j.plus(-1)))?;
                let steps = Term::over(Fold::Prod, range('j', k.plus(1), t), matrix);
                let end = match cut {
                    true => after(Base::ChunkEnd('k'), 0),
                    false => Time::last(),
                };
                let body = product(vec![transpose(steps), direct]);
                Some(sum(range('t', k, end), body))
            }
            _ => None,
        };
    }
    let carried = moved(&t.plus(-1));
    let (entering, kept) = set_apart(right, &carried)?;
    if before != left {
        return None;
    }
    let (step, acting): (Term, fn(Term, Term) -> Term) = match &kept {
        Term::Had(factors) => match &factors[..] {
            [gate, last] if *last == carried => (gate.clone(), |a, v| tidy(&Term::Had(vec![a, v]))),
            _ => return None,
        },
        Term::Mul(factors) => match &factors[..] {
            [matrix, last] if *last == carried => (matrix.clone(), |a, v| product(vec![a, v])),
            _ => return None,
        },
        _ => return None,
    };
    let step = step.at('t', &j);
    let fold = match &kept {
        Term::Had(_) => Fold::HadProd,
        _ => Fold::Prod,
    };
    let kept_from = |from: Time| Term::over(fold, range('j', from, t.clone()), step.clone());
    // An initial state does not depend on a parameter of the steps.
    let start = match moved(&Time::at(0)) {
        start if start.is(Quantity::Response) => None,
        start => Some(acting(kept_from(Time::at(1)), start)),
    };
    let entered = add(entering).at('t', &k);
    let entered = acting(kept_from(k.plus(1)), entered);
    let entered = summed(range('k', Time::at(1), t.clone()), entered);
    Some(add(start.into_iter().chain([entered])))
}

/// The same with several lags: `v_t = e_t + Σ_l A_{t+l}ᵀ v_{t+l}` and `v_t = e_t + Σ_l A_t v_{t−l}`, where the `A` are
/// all the blocks between one value and its delays.
pub(super) fn unroll_lags(before: &Term, line: &Equation, known: &Known<'_>) -> Option<Term> {
    let (left, right) = (&line.left, &line.right);
    let (t, k) = (Time::var('t'), Time::var('k'));
    let (of, ahead) = match left.symbol() {
        Some((Quantity::Delta, [of], _)) => (of, true),
        Some((Quantity::Response, [of, _], _)) => (of, false),
        _ => return None,
    };
    if !known.state.iter().all(|part| part.name == *of) {
        return None;
    }
    let moved = |to: &Time| left.at('t', to);
    let passed = |part: &Carried| match ahead {
        true => {
            let later = t.plus(1 + part.delay);
            let block = known.block(of, part, &later);
            product(vec![transpose(block), moved(&later)])
        }
        false => product(vec![known.block(of, part, &t), moved(&part.read_at(&t))]),
    };
    let read = known.state.iter().map(passed).filter(|p| *p != Term::Zero);
    let read: Vec<Term> = read.collect();
    let Term::Add(parts) = right else { return None };
    let (own, direct): (Vec<Term>, Vec<Term>) =
        parts.iter().cloned().partition(|p| read.contains(p));
    let name_of = |t: &Term| match t.symbol() {
        Some((Quantity::Delta, [of], [_]) | (Quantity::Response, [of, _], _)) => {
            Some(Name::clone(of))
        }
        _ => None,
    };
    let elsewhere = |p: &Term| p.any(&|t| name_of(t).is_some_and(|name| name == *of));
    if own.len() != read.len() || direct.is_empty() || direct.iter().any(elsewhere) {
        return None;
    }
    let direct = add(direct);
    let through = Quantity::Jacobian.of([of, of], [t.clone(), k.clone()]);
    match ahead {
        true if *before == moved(&k) => {
            let body = product(vec![transpose(through), direct]);
            Some(sum(range('t', k, Time::last()), body))
        }
        false if before == left => {
            let body = product(vec![through, direct.at('t', &k)]);
            Some(sum(range('k', Time::at(1), t), body))
        }
        _ => None,
    }
}

/// The steps `t` and `k` of `∂s_t/∂s_k` of the whole state.
fn many_steps<'t>(term: &'t Term, known: &Known<'_>) -> Option<(&'t Time, &'t Time)> {
    match (term.symbol(), known.state) {
        (Some((Quantity::Jacobian, [of, by], [to, from])), [one])
            if *of == one.name && *by == one.name =>
        {
            Some((to, from))
        }
        (Some((Quantity::StateFlow, [], [to, from])), _) => Some((to, from)),
        _ => None,
    }
}

/// `∂s_t/∂s_k` as a product of Jacobians.
pub(crate) fn chain(term: &Term, known: &Known<'_>) -> Term {
    match many_steps(term, known) {
        Some((to, from)) if *to == from.plus(1) => Quantity::StateJacobian.of([], [to.clone()]),
        Some((to, from)) => {
            let one = Quantity::StateJacobian.of([], [Time::var('j')]);
            Term::over(Fold::Prod, range('j', from.plus(1), to.clone()), one)
        }
        None => term.map(&mut |part| chain(part, known)),
    }
}

/// `Σ_{t≥k} (∂s_t/∂s_k)ᵀ e_t = e_k + J_{k+1}ᵀ Σ_{t>k} (∂s_t/∂s_{k+1})ᵀ e_t`.
pub(super) fn horner(before: &Term, known: &Known<'_>) -> Option<Term> {
    if let Term::Neg(sum) = before {
        return horner(sum, known).map(neg);
    }
    let Term::Over(Fold::Sum, Index { var, from, to }, body) = before else {
        return None;
    };
    let Term::Mul(factors) = &**body else {
        return None;
    };
    let number = |f: &&Term| is_number(f, known.tape) && many_steps(turned(f), known).is_none();
    let (numbers, factors) = factors.split_at(factors.iter().take_while(number).count());
    let [Term::T(through), direct @ ..] = factors else {
        return None;
    };
    let direct = [numbers, direct].concat();
    let (later, start) = many_steps(through, known)?;
    if *later != Time::var(*var) || start != from {
        return None;
    }
    let next = from.plus(1);
    let direct = product(direct.to_vec());
    let through = transpose(flow(known.state, later.clone(), next.clone()));
    let rest = product(vec![through, direct.clone()]);
    let rest = sum(range(*var, next.clone(), to.clone()), rest);
    let rest = Term::Mul(vec![
        transpose(Quantity::StateJacobian.of([], [next])),
        rest,
    ]);
    Some(add([direct.at(*var, from), rest]))
}

/// The term under a transpose; a term without a transpose is returned as it is.
fn turned(term: &Term) -> &Term {
    match term {
        Term::T(x) => x,
        x => x,
    }
}

/// `Σ_{t=1}^T Σ_{k=1}^t` as `Σ_{k=1}^T Σ_{t=k}^T`, and the other way round.
pub(super) fn exchange(before: &Term) -> Option<Term> {
    let (outer, inner, body) = double(before)?;
    let (first, last) = (Time::at(1), Time::last());
    let (a, b) = (Time::var(outer.var), Time::var(inner.var));
    let turned = if (&inner.from, &inner.to) == (&first, &a) {
        range(outer.var, b, last)
    } else if (&inner.from, &inner.to) == (&a, &last) {
        range(outer.var, first, b)
    } else {
        return None;
    };
    let all = *outer == Index::all(outer.var);
    all.then(|| sum(Index::all(inner.var), sum(turned, body.clone())))
}

/// The ranges of a double sum, and its summand.
fn double(term: &Term) -> Option<(&Index, &Index, &Term)> {
    let Term::Over(Fold::Sum, outer, rows) = term else {
        return None;
    };
    match &**rows {
        Term::Over(Fold::Sum, inner, body) => Some((outer, inner, body)),
        _ => None,
    }
}

/// Moves the sums in a linear expression in front of the expression.
pub(super) fn out(before: &Term) -> Option<Term> {
    if let Term::Over(Fold::Sum, index, body) = before {
        return Some(sum(index.clone(), out(body)?));
    }
    let (index, body) = pulled(before)?;
    Some(sum(index, tidy(&body)))
}

fn pulled(term: &Term) -> Option<(Index, Term)> {
    match term {
        Term::Over(Fold::Sum, index, body) => Some((index.clone(), (**body).clone())),
        Term::Neg(x) => pulled(x).map(|(index, body)| (index, neg(body))),
        Term::T(x) => pulled(x).map(|(index, body)| (index, transpose(body))),
        Term::Part(span, x) => pulled(x).map(|(index, body)| (index, span.clone().of(body))),
        Term::Had(factors) | Term::Mul(factors) => {
            let is_sum = |f: &Term| f.any(&|t| matches!(t, Term::Over(Fold::Sum, ..)));
            let mut sums = factors.iter().enumerate().filter(|(_, f)| is_sum(f));
            let (at, one) = sums.next()?;
            if sums.next().is_some() {
                return None;
            }
            let (index, body) = pulled(one)?;
            let mut factors = factors.clone();
            factors[at] = body;
            // The other factors must not vary with the variable of the sum.
            let beside = factors.iter().enumerate().filter(|(i, _)| *i != at);
            if beside.into_iter().any(|(_, f)| varies(f, index.var)) {
                return None;
            }
            let body = match term {
                Term::Had(_) => Term::Had(factors),
                _ => product(factors),
            };
            Some((index, body))
        }
        Term::Add(parts) => together(parts.iter()).map(|(index, bodies)| (index, add(bodies))),
        Term::Matrix(rows) => {
            let (index, bodies) = together(rows.iter().flatten())?;
            let mut bodies = bodies.into_iter();
            let rows = rows
                .iter()
                .map(|row| bodies.by_ref().take(row.len()).collect());
            Some((index, Term::Matrix(rows.collect())))
        }
        _ => None,
    }
}

/// The common range of several sums, and their summands.
fn together<'a>(parts: impl Iterator<Item = &'a Term>) -> Option<(Index, Vec<Term>)> {
    let mut range = None;
    let mut bodies = Vec::new();
    for part in parts {
        let (own, body) = pulled(part)?;
        if range.get_or_insert_with(|| own.clone()) != &own {
            return None;
        }
        bodies.push(body);
    }
    Some((range?, bodies))
}

/// Returns true if a term varies with a variable.
pub(super) fn varies(term: &Term, var: char) -> bool {
    term.any(&|t| {
        let mut t = t.clone();
        let with = |at: &mut Time| match at.base {
            Base::Var(v) | Base::LastMinus(v) | Base::ChunkEnd(v) => v == var,
            Base::Minus(a, b) | Base::Lots(a, b, _) | Base::Window(a, b) => a == var || b == var,
            Base::Zero | Base::Last => false,
        };
        t.times().into_iter().any(with)
    })
}

/// Moves every sum up to the step `until` inwards, to the factors that vary with its variable.
pub(super) fn inside(term: &Term, until: &Time) -> Term {
    match term {
        Term::Over(Fold::Sum, index, body) if index.to == *until => tidy(&pushed(index, body)),
        term => term.map(&mut |part| inside(part, until)),
    }
}

fn pushed(index: &Index, body: &Term) -> Term {
    let whole = || sum(index.clone(), body.clone());
    match body {
        Term::Neg(x) => neg(pushed(index, x)),
        Term::T(x) => transpose(pushed(index, x)),
        Term::Add(parts) if parts.iter().all(|p| varies(p, index.var)) => {
            add(parts.iter().map(|p| pushed(index, p)))
        }
        Term::Had(factors) | Term::Mul(factors) => {
            let moving: Vec<usize> = (0..factors.len())
                .filter(|i| varies(&factors[*i], index.var))
                .collect();
            let (Some(first), Some(last)) = (moving.first(), moving.last()) else {
                return whole();
            };
            // A numeric factor stays inside the sum, in front of the summand.
            if let (Term::Mul(_), [digits @ Term::Num(_), rest @ ..]) = (body, &factors[..]) {
                let moved = pushed(index, &single(rest.to_vec()));
                return within(&moved, index.var, digits).unwrap_or_else(whole);
            }
            let inner = match (body, first == last) {
                (_, true) => pushed(index, &factors[*first]),
                (Term::Mul(_), false) if last - first + 1 == moving.len() => {
                    let run = Term::Mul(factors[*first..=*last].to_vec());
                    sum(index.clone(), run)
                }
                _ => return whole(),
            };
            let mut parts = factors[..*first].to_vec();
            parts.push(inner);
            parts.extend_from_slice(&factors[last + 1..]);
            match (body, parts.len()) {
                (_, 1) => parts.remove(0),
                (Term::Had(_), _) => Term::Had(parts),
                _ => Term::Mul(parts),
            }
        }
        _ => whole(),
    }
}

fn single(mut factors: Vec<Term>) -> Term {
    match factors.len() {
        1 => factors.remove(0),
        _ => Term::Mul(factors),
    }
}

/// Puts a number in front of the summand of the only sum over a variable.
fn within(term: &Term, var: char, digits: &Term) -> Option<Term> {
    let is_sum = |t: &Term| matches!(t, Term::Over(Fold::Sum, index, _) if index.var == var);
    match term {
        Term::Over(Fold::Sum, index, body) if index.var == var => {
            let body = product(vec![digits.clone(), (**body).clone()]);
            Some(sum(index.clone(), body))
        }
        Term::Neg(_) | Term::T(_) | Term::Mul(_) | Term::Had(_) => {
            let mut sums = 0;
            let found = term.map(&mut |part| match part.any(&is_sum) {
                true => {
                    sums += 1;
                    within(part, var, digits).unwrap_or_else(|| part.clone())
                }
                false => part.clone(),
            });
            (sums == 1).then_some(found)
        }
        _ => None,
    }
}

/// `Σ (a + b) = Σ a + Σ b`, where `b` are the terms that look ahead.
pub(super) fn apart(before: &Term) -> Option<Term> {
    let Term::Over(Fold::Sum, index, body) = before else {
        return None;
    };
    let (now, later) = opened(body)?;
    let sum = |body: Term| summed(index.clone(), tidy(&body));
    Some(add([sum(now), sum(later)]))
}

/// Splits an expression that is linear in a sum: once with the terms of step t, once with the terms of later steps.
fn opened(term: &Term) -> Option<(Term, Term)> {
    use crate::derive::algebra::term::looks_ahead;
    match term {
        Term::Add(parts) if parts.iter().all(looks_ahead) || !looks_ahead(term) => None,
        Term::Add(parts) if parts.iter().any(|p| !looks_ahead(p)) => {
            let (later, now): (Vec<Term>, Vec<Term>) = parts.iter().cloned().partition(looks_ahead);
            Some((add(now), add(later)))
        }
        Term::Neg(x) => opened(x).map(|(a, b)| (neg(a), neg(b))),
        Term::Had(factors) | Term::Mul(factors) => {
            let at = factors.iter().position(looks_ahead)?;
            let (a, b) = opened(&factors[at])?;
            let with = |x: Term| {
                let mut factors = factors.clone();
                factors[at] = x;
                match term {
                    Term::Had(_) => Term::Had(factors),
                    _ => Term::Mul(factors),
                }
            };
            Some((with(a), with(b)))
        }
        _ => None,
    }
}

/// The summand of a sum over the losses of all steps.
pub(super) fn one_loss(before: &Term) -> Option<Term> {
    match before {
        Term::Over(Fold::Sum, index, body) if *index == Index::all('t') => Some((**body).clone()),
        _ => None,
    }
}

/// Splits a double sum into the pairs of steps less than τ apart, and the others.
pub(super) fn window(before: &Term) -> Option<Term> {
    let (outer, inner, pair) = double(before)?;
    let (first, t) = (Time::at(1), Time::var('t'));
    if (outer, inner) != (&Index::all('t'), &range('k', first.clone(), t.clone())) {
        return None;
    }
    let near = range('k', after(Base::Window('t', 'τ'), 0), t);
    let near = sum(Index::all('t'), sum(near, pair.clone()));
    let far = range('k', first, after(Base::Minus('t', 'τ'), 0));
    let steps = range('t', after(Base::Var('τ'), 1), Time::last());
    let far = sum(steps, sum(far, pair.clone()));
    Some(Term::Add(vec![near, far]))
}

/// The recursion of δ without contributions from beyond a chunk.
pub(super) fn restart(before: &Term) -> Option<Term> {
    let Term::Add(parts) = before else {
        return None;
    };
    let (later, direct) = parts.split_last()?;
    let Term::Mul(factors) = later else {
        return None;
    };
    let (last, matrix) = factors.split_last()?;
    let Some((Quantity::Delta, [state], [at])) = last.symbol() else {
        return None;
    };
    let t = Time::var('t');
    if *at != t.plus(1) || direct.iter().any(crate::derive::algebra::term::looks_ahead) {
        return None;
    }
    let cut = Quantity::Cut.of([state], [at.clone()]);
    let later = product(matrix.iter().cloned().chain([cut]).collect());
    let later = scale(vec![Term::Uncut(t)], Some(later));
    Some(add(direct.iter().cloned().chain([later])))
}

/// Splits a double sum into the pairs of steps within one chunk, and the others.
pub(super) fn chunks(before: &Term) -> Option<Term> {
    let (outer, inner, pair) = double(before)?;
    let (last, k) = (Time::last(), Time::var('k'));
    if (outer, inner) != (&Index::all('k'), &range('t', k.clone(), last.clone())) {
        return None;
    }
    let kept = range('t', k, after(Base::ChunkEnd('k'), 0));
    let kept = sum(Index::all('k'), sum(kept, pair.clone()));
    let lost = range('t', after(Base::ChunkEnd('k'), 1), last.clone());
    // No step follows the last one.
    let lost = sum(
        range('k', Time::at(1), last.plus(-1)),
        sum(lost, pair.clone()),
    );
    Some(add([kept, lost]))
}

/// `Σ_{t=τ+1}^T c = (T − τ) c`.
pub(super) fn repeated(before: &Term) -> Option<Term> {
    let Term::Over(Fold::Sum, Index { var, from, to }, body) = before else {
        return None;
    };
    let (Base::Var(width), 1) = (&from.base, from.offset) else {
        return None;
    };
    if *to != Time::last() || width == var || varies(body, *var) {
        return None;
    }
    let count = Term::Steps(after(Base::LastMinus(*width), 0));
    Some(match &**body {
        Term::Div(above, below) => {
            let above = scale(vec![count], Some((**above).clone()));
            Term::Div(Box::new(above), below.clone())
        }
        body => scale(vec![count], Some(body.clone())),
    })
}
