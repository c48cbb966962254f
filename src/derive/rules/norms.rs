//! Rules about norms: each returns an upper bound, or an equal term.

use super::known::Known;
use crate::derive::algebra::function::{arguments, call, operation};
use crate::derive::algebra::normal::{add, diagonal as diagonal_times, hadamard, product};
use crate::derive::algebra::shapes::{extent, is_number, size};
use crate::derive::algebra::term::{Base, Fold, Index, Quantity, Term, Time, visit};
use crate::derive::record::equation::Equation;
use crate::derive::record::line::Line;
use crate::derive::record::relation::Relation;
use crate::op::Pointwise;

/// The argument of a norm or an absolute value.
fn inside(term: &Term) -> Option<&Term> {
    match term {
        Term::Norm(x) | Term::Frobenius(x) => Some(x),
        term => arguments(term, Pointwise::Abs)?.first(),
    }
}

/// The same norm of another term.
fn of(norm: &Term, x: Term) -> Term {
    match norm {
        Term::Norm(_) => Term::Norm(Box::new(x)),
        Term::Frobenius(_) => Term::Frobenius(Box::new(x)),
        _ => call(Pointwise::Abs, vec![x]),
    }
}

/// Applies a rule to every norm, outermost first, then simplifies numbers.
fn everywhere(term: &Term, rule: &impl Fn(&Term) -> Option<Term>) -> Term {
    numbers(&all(term, rule))
}

fn all(term: &Term, rule: &impl Fn(&Term) -> Option<Term>) -> Term {
    match rule(term) {
        Some(next) => all(&next, rule),
        None if is_size(term) => term.clone(),
        None => term.map(&mut |part| all(part, rule)),
    }
}

/// Returns true if a term is a scalar computed from a matrix or a vector.
fn is_size(term: &Term) -> bool {
    inside(term).is_some() || matches!(term, Term::MaxNorm(_) | Term::Frobenius(_) | Term::Least(_))
}

/// Products and sums of scalars in canonical form.
fn numbers(term: &Term) -> Term {
    if is_size(term) {
        return term.clone();
    }
    match term.map(&mut numbers) {
        Term::Mul(factors) => times(factors),
        Term::Add(parts) => add(parts),
        Term::Over(Fold::Max, _, x) if matches!(*x, Term::Num(_)) => *x,
        Term::Pow(x, n) => match *x {
            Term::Num(x) => Term::Num(x.powi(n)),
            x => Term::Pow(Box::new(x), n),
        },
        other => other,
    }
}

/// `‖A B‖ ≤ ‖A‖ ‖B‖`, factor by factor and step by step.
pub(super) fn factors(term: &Term) -> Term {
    everywhere(term, &|t| match inside(t)? {
        Term::Mul(parts) => Some(Term::Mul(parts.iter().map(|p| of(t, p.clone())).collect())),
        Term::Over(Fold::Prod, index, x) => {
            let body = of(t, (**x).clone());
            Some(Term::over(Fold::Prod, index.clone(), body))
        }
        _ => None,
    })
}

/// The same for the first factor only; for scalars, all factors but the Jacobian together form the first.
pub(super) fn first_factor(term: &Term, known: &Known<'_>) -> Term {
    fn split(term: &Term, known: &Known<'_>) -> Term {
        let jacobian = |p: &Term| match p {
            Term::T(x) => x.is(Quantity::Jacobian),
            p => p.is(Quantity::Jacobian),
        };
        match (inside(term), term) {
            (Some(Term::Mul(parts)), Term::Call(..)) => {
                let (carried, sent): (Vec<_>, Vec<_>) = parts.iter().cloned().partition(jacobian);
                match carried.is_empty() || sent.is_empty() {
                    true => term.clone(),
                    false => Term::Mul(vec![of(term, times(sent)), of(term, times(carried))]),
                }
            }
            (Some(Term::Mul(parts)), _) => {
                let number = |p: &&Term| match p {
                    Term::Num(_) | Term::Before(..) => true,
                    Term::T(_) => false,
                    p => !jacobian(p) && is_number(p, known.tape),
                };
                let count = parts.iter().take_while(number).count();
                let (numbers, factors) = parts.split_at(count);
                match factors {
                    [first, rest @ ..] if !rest.is_empty() => {
                        let rest = times([numbers, rest].concat());
                        Term::Mul(vec![of(term, first.clone()), of(term, rest)])
                    }
                    _ => term.clone(),
                }
            }
            (Some(_), _) => term.clone(),
            (None, term) => term.map(&mut |part| split(part, known)),
        }
    }
    numbers(&split(term, known))
}

/// `‖[A_ij]‖ ≤ √(Σ ‖A_ij‖²)`.
pub(super) fn blocks(term: &Term) -> Term {
    everywhere(term, &|t| {
        let Term::Norm(x) = t else { return None };
        let Term::Matrix(rows) = &**x else {
            return None;
        };
        let cells = rows.iter().flatten().filter(|c| **c != Term::Zero);
        let cells: Vec<&Term> = cells.collect();
        if let [one] = cells[..] {
            return Some(of(t, one.clone()));
        }
        let square = |cell: &&Term| match cell {
            Term::Eye => Term::Num(1.0),
            cell => Term::Pow(Box::new(of(t, (*cell).clone())), 2),
        };
        let squares = Term::Add(cells.iter().map(square).collect());
        Some(call(Pointwise::Sqrt, vec![squares]))
    })
}

/// `‖u vᵀ‖_F = ‖u‖ ‖v‖`.
pub(super) fn outer(term: &Term, known: &Known<'_>) -> Term {
    everywhere(term, &|t| {
        let Term::Frobenius(x) = t else { return None };
        let Term::Mul(factors) = &**x else {
            return None;
        };
        let (Term::T(v), rest) = factors.split_last()? else {
            return None;
        };
        let is_vector = matches!(extent(v, known.tape), Some((Some(_), None)));
        let length = |x: Term| Term::Norm(Box::new(x));
        let u = times(rest.to_vec());
        is_vector.then(|| Term::Mul(vec![length(u), length((**v).clone())]))
    })
}

/// `‖v ⊙ u‖ = ‖diag(v) u‖`.
pub(super) fn as_diagonal(term: &Term, known: &Known<'_>) -> Term {
    everywhere(term, &|t| {
        let (numbers, had) = match inside(t)? {
            Term::Mul(factors) => {
                let (last, numbers) = factors.split_last()?;
                let all = numbers.iter().all(|n| is_number(n, known.tape));
                (numbers, all.then_some(last)?)
            }
            had => (&[][..], had),
        };
        let Term::Had(factors) = had else {
            return None;
        };
        let (last, rest) = factors.split_last()?;
        let diagonal = diagonal_times(hadamard(rest.to_vec()), last.clone());
        let all = numbers.iter().cloned().chain([diagonal]);
        Some(of(t, product(all.collect())))
    })
}

/// `‖v‖ ≤ √n ‖v‖_∞`.
pub(super) fn length(term: &Term, known: &Known<'_>) -> Term {
    everywhere(term, &|t| {
        let Term::Norm(x) = t else { return None };
        let Some((Quantity::Value, [name], [_])) = x.symbol() else {
            return None;
        };
        let shape = known.tape.ty(known.tape.named(name)?).shape;
        let [entries] = shape.dims()[..] else {
            return None;
        };
        let entries = size(entries, &known.tape.dim_names());
        let root = call(Pointwise::Sqrt, vec![entries]);
        Some(Term::Mul(vec![root, Term::MaxNorm(x.clone())]))
    })
}

/// The maximum over all steps of a scalar times the largest entry of a value that is at most one: the scalar. Valid if
/// the initial state is at most one as well.
pub(super) fn saturated(term: &Term, known: &Known<'_>) -> Option<Term> {
    let Term::Over(Fold::Max, Index { var, from, to }, body) = term else {
        return None;
    };
    let Term::Mul(factors) = &**body else {
        return None;
    };
    let (Term::MaxNorm(v), rest) = factors.split_last()? else {
        return None;
    };
    let now = matches!(v.symbol(), Some((Quantity::Value, _, [at])) if *at == Time::var(*var));
    let all = (from, to) == (&Time::at(0), &Time::last());
    let fixed = !rest.iter().any(|f| super::sums::varies(f, *var));
    (now && all && fixed && is_at_most_one(known, v)).then(|| times(rest.to_vec()))
}

/// `‖A + B‖ ≤ ‖A‖ + ‖B‖`.
pub(super) fn triangle(term: &Term) -> Term {
    everywhere(term, &|t| match inside(t)? {
        Term::Add(parts) => Some(Term::Add(parts.iter().map(|p| of(t, p.clone())).collect())),
        Term::Over(Fold::Sum, index, x) => {
            let body = of(t, (**x).clone());
            Some(Term::over(Fold::Sum, index.clone(), body))
        }
        Term::Neg(x) => Some(of(t, (**x).clone())),
        _ => None,
    })
}

/// `‖diag v‖ = max |v_i|`.
pub(super) fn diagonal(term: &Term) -> Term {
    everywhere(term, &|t| match t {
        Term::Norm(x) => match &**x {
            Term::Diag(v) => Some(Term::MaxNorm(v.clone())),
            _ => None,
        },
        _ => None,
    })
}

/// `‖Aᵀ‖ = ‖A‖`.
pub(super) fn transposes(term: &Term) -> Term {
    everywhere(term, &|t| match inside(t)? {
        Term::T(x) => Some(of(t, (**x).clone())),
        _ => None,
    })
}

/// Applies the known ranges of gates and slopes.
pub(super) fn ranges(term: &Term, known: &Known<'_>) -> Term {
    // A product of scalar gates.
    if let Term::Over(Fold::HadProd, _, x) = term
        && range(known, x).is_some_and(|(least, most)| least >= 0.0 && most <= 1.0)
    {
        return Term::Num(1.0);
    }
    everywhere(term, &|t| match t {
        Term::MaxNorm(v) => Some(entry(known, v)).filter(|bound| bound != t),
        Term::Norm(x) => match **x {
            Term::Num(n) => Some(Term::Num(n.abs())),
            _ => None,
        },
        _ => None,
    })
}

/// A product over steps as a power of an upper bound of its factors.
pub(super) fn power(term: &Term) -> Option<Term> {
    let Term::Over(Fold::Prod, Index { var: j, from, to }, body) = term else {
        return None;
    };
    let (Base::Var(k), Base::Var(t), 1, 0) = (&from.base, &to.base, from.offset, to.offset) else {
        return None;
    };
    let factors = match &**body {
        Term::Mul(factors) => factors.clone(),
        one => vec![one.clone()],
    };
    if !factors.iter().all(is_size) {
        return None;
    }
    let largest = |factor: Term| match super::sums::varies(&factor, *j) {
        true => Term::over(Fold::Max, Index::all(*j), factor),
        false => factor,
    };
    let base = times(factors.into_iter().map(largest).collect());
    let steps = Time {
        base: Base::Minus(*t, *k),
        offset: 0,
    };
    Some(Term::PowSteps(Box::new(base), steps))
}

/// A power of minima as the product of the values of each step, which is as large or larger.
pub(super) fn least_steps(term: &Term) -> Option<Term> {
    let Term::PowSteps(base, steps) = term else {
        return None;
    };
    let (Base::Minus(t, k), 0, Term::Mul(factors)) = (&steps.base, steps.offset, &**base) else {
        return None;
    };
    let of_step = |factor: &Term| match factor {
        Term::Over(Fold::Min, index, x) if *index == Index::all('j') => {
            matches!(**x, Term::Least(_)).then(|| (**x).clone())
        }
        Term::Least(_) => Some(factor.clone()),
        _ => None,
    };
    let mut factors = factors.iter().map(of_step).collect::<Option<Vec<_>>>()?;
    // Scalars commute: those of a step come first, as in the Jacobian.
    factors.sort_by_key(|f| !super::sums::varies(f, 'j'));
    let index = Index::new('j', Time::var(*k).plus(1), Time::var(*t));
    Some(Term::over(Fold::Prod, index, Term::Mul(factors)))
}

/// `Π σ(A_j) σ(B) ≤ σ(Π A_j B)` of smallest singular values.
pub(super) fn least(term: &Term) -> Option<Term> {
    let Term::Over(Fold::Prod, index, body) = term else {
        return None;
    };
    let Term::Mul(factors) = &**body else {
        return None;
    };
    let matrix = |factor: &Term| match factor {
        Term::Least(x) => Some((**x).clone()),
        _ => None,
    };
    let matrices: Option<Vec<Term>> = factors.iter().map(matrix).collect();
    let product = Term::over(Fold::Prod, index.clone(), Term::Mul(matrices?));
    Some(Term::Least(Box::new(product)))
}

/// Replaces values below a maximum with the maximum.
pub(super) fn below(term: &Term, line: &Equation) -> Option<Term> {
    let (letter, Term::Over(Fold::Max, Index { var, from, to }, body)) = (&line.left, &line.right)
    else {
        return None;
    };
    let (Base::Zero, true) = (&from.base, *to == Time::last()) else {
        return None;
    };
    // Variables of sums range from the first step to the last.
    let within = |at: &Time| {
        matches!(at.base, Base::Var(_)) && at.offset <= 0 && 1 + at.offset >= from.offset
    };
    let fixed = !super::sums::varies(body, *var);
    Some(put_below(term, letter, &|part| {
        let mut steps = Vec::new();
        visit(part, &mut |t| {
            for at in t.clone().times() {
                // The part may contain a value at an adjacent step only; try both.
                steps.extend([at.clone(), at.plus(-at.offset)]);
            }
        });
        let is_below = |at: &Time| within(at) && *part == body.at(*var, at);
        fixed && *part == **body || steps.iter().any(is_below)
    }))
}

fn put_below(term: &Term, letter: &Term, is_below: &impl Fn(&Term) -> bool) -> Term {
    match is_below(term) {
        true => letter.clone(),
        false => term.map(&mut |part| put_below(part, letter, is_below)),
    }
}

/// `Σ_{t≥k} q^{t−k} M ≤ M / (1 − q)` and `Σ_{k≤t−τ} q^{t−k} M ≤ q^τ M / (1 − q)`, for `q < 1`.
pub(super) fn geometric(term: &Term) -> Option<Term> {
    let Term::Over(Fold::Sum, index, body) = term else {
        return None;
    };
    let Index { var, from, to } = index;
    if matches!(**body, Term::Over(Fold::Sum, ..)) {
        // Bound the inner sum.
        return Some(Term::over(Fold::Sum, index.clone(), geometric(body)?));
    }
    let mut rest = match &**body {
        Term::Mul(factors) => factors.clone(),
        one => vec![one.clone()],
    };
    let is_power = |f: &Term| matches!(f, Term::PowSteps(..));
    let at = rest.iter().position(is_power)?;
    let Term::PowSteps(q, steps) = rest.remove(at) else {
        return None;
    };
    if super::sums::varies(&q, *var) || rest.iter().any(|f| super::sums::varies(f, *var)) {
        return None;
    }
    let gap = Box::new(Term::Add(vec![Term::Num(1.0), Term::Neg(q.clone())]));
    if let (Base::Lots(t, k, many), 0) = (&steps.base, steps.offset) {
        // The first term is one; then each power occurs once for each of `many` steps.
        let all = (t, from, to) == (var, &Time::var(*k), &Time::last());
        let many = Term::Num(f64::from(i32::try_from(*many).ok()?));
        let later = Term::Div(Box::new(times(vec![many, *q])), gap);
        rest.push(Term::Add(vec![Term::Num(1.0), later]));
        return all.then(|| times(rest));
    }
    let (Base::Minus(t, k), 0) = (&steps.base, steps.offset) else {
        return None;
    };
    if (t, *from == Time::var(*k), *to == Time::last()) == (var, true, true) {
        // The first term is one.
    } else if let (Base::Minus(last, width), 0) = (&to.base, to.offset)
        && (k, last) == (var, t)
        && *from == Time::at(1)
    {
        rest.push(Term::PowSteps(q.clone(), Time::var(*width)));
    } else {
        return None;
    }
    Some(Term::Div(Box::new(times(rest)), gap))
}

/// `x_t ≤ ρ^{⌈(t−k)/m⌉}` with lags up to `m`, if a line states `x_t ≤ Σ_{l≤m} a_{t,l} x_{t−l}` for `t > k`, `x_k` is
/// one and all earlier `x` are zero. `ρ`, at most one, is the maximum over the steps of `Σ_l a_{t,l}`.
pub(super) fn shrinks(before: &Term, step: &Equation, letter: &Equation) -> Option<Term> {
    let Some((Quantity::Jacobian, [of, by], [to, from])) = inside(before)?.symbol() else {
        return None;
    };
    let (t, k) = (Time::var('t'), Time::var('k'));
    if (of, to, from) != (by, &t, &k) || *before != step.left || step.relation != Relation::AtMost {
        return None;
    }
    let (mut factors, mut longest) = (Vec::new(), 0);
    for part in step.right.addends() {
        let Term::Mul(pair) = part else { return None };
        let [factor, earlier] = &pair[..] else {
            return None;
        };
        let Some((Quantity::Jacobian, _, [read, _])) = inside(earlier)?.symbol() else {
            return None;
        };
        let lag = to.offset - read.offset;
        let same = read.base == to.base && *earlier == before.at('t', read);
        if lag < 1 || !same {
            return None;
        }
        longest = longest.max(lag);
        factors.push(factor.at('t', &Time::var('j')));
    }
    let (Term::Over(Fold::Max, index, most), true) =
        (&letter.right, letter.left.is(Quantity::Letter))
    else {
        return None;
    };
    if *index != Index::all('j') || **most != add(factors) {
        return None;
    }
    let lots = Time {
        base: Base::Lots('t', 'k', longest),
        offset: 0,
    };
    Some(Term::PowSteps(Box::new(letter.left.clone()), lots))
}

fn times(factors: Vec<Term>) -> Term {
    let (mut number, mut rest) = (1.0, Vec::new());
    for factor in factors {
        match factor {
            Term::Num(n) => number *= n,
            Term::Zero => return Term::Zero,
            Term::Mul(inner) => rest.extend(inner),
            other => rest.push(other),
        }
    }
    // The numbers of nested products.
    let (numbers, mut rest): (Vec<Term>, Vec<Term>) =
        rest.into_iter().partition(|t| matches!(t, Term::Num(_)));
    for n in numbers {
        if let Term::Num(n) = n {
            number *= n;
        }
    }
    if number != 1.0 || rest.is_empty() {
        rest.insert(0, Term::Num(number));
    }
    match rest.len() {
        1 => rest.remove(0),
        _ => Term::Mul(rest),
    }
}

/// An upper bound of the entries of a vector: the known ranges of gates and slopes, times the largest entry of the
/// other factors.
fn entry(known: &Known<'_>, v: &Term) -> Term {
    let factors = match v {
        Term::Had(factors) => factors.clone(),
        one => vec![one.clone()],
    };
    if let [one] = &factors[..]
        && one.is(Quantity::Value)
    {
        return Term::MaxNorm(Box::new(one.clone()));
    }
    let (mut left, mut bounds) = (factors, Vec::new());
    // `y ⊙ (1 − y)` of a gate is at most a quarter.
    while let Some((others, most)) = without_slope(known, &left) {
        left = others;
        bounds.push(Term::Num(most));
    }
    for factor in left {
        bounds.push(match largest(known, &factor) {
            Some(most) => Term::Num(most),
            // An entrywise product over steps is at most one if its factors are.
            None => match factor {
                Term::Over(Fold::HadProd, _, x) if is_at_most_one(known, &x) => Term::Num(1.0),
                factor => Term::MaxNorm(Box::new(factor)),
            },
        });
    }
    times(bounds)
}

/// The factors of an entrywise product without those that are the slope of an op at a step, and the bound of that
/// slope.
fn without_slope(known: &Known<'_>, factors: &[Term]) -> Option<(Vec<Term>, f64)> {
    let mut steps: Vec<Time> = Vec::new();
    for factor in factors {
        visit(factor, &mut |t| {
            let mut t = t.clone();
            let own = t.times().into_iter().map(|at| at.clone());
            steps.extend(own.filter(is_computed));
        });
    }
    let without = |slope: &[Term], step: &Time| {
        slope.iter().try_fold(factors.to_vec(), |mut left, factor| {
            let factor = factor.at('t', step);
            let at = left.iter().position(|other| *other == factor)?;
            left.remove(at);
            Some(left)
        })
    };
    known.lines.iter().find_map(|line| {
        let (Line::Differential(y), Term::Had(parts)) = (&line.id, &line.right) else {
            return None;
        };
        let (differential, slope) = parts.split_last()?;
        let Some((Quantity::D, [x], _)) = differential.symbol() else {
            return None;
        };
        let node = known.tape.node(known.tape.named(y)?);
        let of_argument = node.args() == [known.tape.named(x)?];
        let most = size_of(node.op().slope().filter(|_| of_argument)?)?;
        let left = steps.iter().find_map(|step| without(slope, step))?;
        Some((left, most))
    })
}

/// Returns false for the step of an initial state, which is the value of no op.
fn is_computed(step: &Time) -> bool {
    step.offset == 0 && step.base != Base::Zero
}

/// The largest absolute value of an entry, if the ranges of ops bound it; of a sum, only if it is at most one.
fn largest(known: &Known<'_>, term: &Term) -> Option<f64> {
    let most = size_of(range(known, term)?)?;
    let direct = term.is(Quantity::Value) || matches!(term, Term::Call(..));
    (direct || most <= 1.0).then_some(most)
}

fn is_at_most_one(known: &Known<'_>, term: &Term) -> bool {
    largest(known, term).is_some_and(|most| most <= 1.0)
}

/// The largest absolute value in an interval, if it is finite.
fn size_of((least, most): (f64, f64)) -> Option<f64> {
    Some(least.abs().max(most.abs())).filter(|size| size.is_finite())
}

/// The interval of the entries of a term, if the ranges of ops bound it.
fn range(known: &Known<'_>, term: &Term) -> Option<(f64, f64)> {
    if let Some((Quantity::Value, [name], at)) = term.symbol() {
        let node = known.tape.node(known.tape.named(name)?);
        return node.op().range().filter(|_| at.iter().all(is_computed));
    }
    match term {
        Term::Ones => Some((1.0, 1.0)),
        Term::Num(n) => Some((*n, *n)),
        Term::Call(name, _) => operation(name, known.tape)?.range(),
        Term::Neg(x) => range(known, x).map(|(least, most)| (-most, -least)),
        Term::Add(parts) => parts.iter().try_fold((0.0, 0.0), |(a, b), part| {
            let (least, most) = range(known, part)?;
            Some((a + least, b + most))
        }),
        Term::Had(factors) => match &factors[..] {
            [x, y] if x == y => {
                let (least, most) = range(known, x)?;
                let smallest = if least <= 0.0 && most >= 0.0 {
                    0.0
                } else {
                    least.abs().min(most.abs())
                };
                let size = size_of((least, most))?;
                Some((smallest * smallest, size * size))
            }
            _ => None,
        },
        _ => None,
    }
}
