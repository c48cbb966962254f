//! The normal form of sums and products: the constructors fold numbers, merge like terms, and put numbers first and
//! linear factors last.

use super::conditions::is_condition;
use super::term::{Term, Time};

/// A sum: flattens nested sums, drops zeros, adds numbers and merges terms with the same last factor:
/// `a ⊙ δ − b ⊙ δ = (a − b) ⊙ δ`.
pub(crate) fn add(terms: impl IntoIterator<Item = Term>) -> Term {
    let mut flat = Vec::new();
    let mut number = None;
    for term in terms {
        open(term, 1.0, &mut flat, &mut number);
    }
    let mut flat = factored(flat);
    if let Some(n) = number.filter(|n| *n != 0.0) {
        let constant = if n < 0.0 {
            neg(Term::Num(-n))
        } else {
            Term::Num(n)
        };
        flat.insert(0, constant);
    }
    // Begin with a term that has no minus, if there is one.
    if let Some(first) = flat.iter().position(|t| !is_negative(t)) {
        let first = flat.remove(first);
        flat.insert(0, first);
    }
    match flat.len() {
        0 => Term::Zero,
        1 => flat.remove(0),
        _ => Term::Add(flat),
    }
}

/// Merges each part of a sum with the first earlier part for which `join` returns a term; terms that cancel are
/// dropped.
pub(crate) fn together(
    parts: impl IntoIterator<Item = Term>,
    join: impl Fn(&Term, &Term) -> Option<Term>,
) -> Vec<Term> {
    let mut out: Vec<Term> = Vec::new();
    for part in parts {
        let mut places = out.iter().enumerate();
        match places.find_map(|(at, first)| Some((at, join(first, &part)?))) {
            Some((at, Term::Zero)) => drop(out.remove(at)),
            Some((at, whole)) => out[at] = whole,
            None => out.push(part),
        }
    }
    out
}

pub(crate) fn is_negative(term: &Term) -> bool {
    matches!(term, Term::Neg(_))
}

fn open(term: Term, sign: f64, flat: &mut Vec<Term>, number: &mut Option<f64>) {
    match term {
        Term::Zero => {}
        Term::Num(n) => *number = Some(number.unwrap_or(0.0) + sign * n),
        Term::Add(parts) => parts.into_iter().for_each(|p| open(p, sign, flat, number)),
        Term::Neg(x) => open(*x, -sign, flat, number),
        term if sign < 0.0 => flat.push(neg(term)),
        term => flat.push(term),
    }
}

/// Merges terms with the same last factor of an entrywise product.
fn factored(terms: Vec<Term>) -> Vec<Term> {
    let last = |t: &Term| -> Option<(Term, Term)> {
        let (negative, body) = match t {
            Term::Neg(x) => (true, &**x),
            t => (false, t),
        };
        match body {
            Term::Had(xs) => {
                let tail = xs.last().filter(|x| x.is_linear_part())?.clone();
                let rest = hadamard(xs[..xs.len() - 1].to_vec());
                Some((if negative { neg(rest) } else { rest }, tail))
            }
            _ => None,
        }
    };
    let mut out: Vec<Term> = Vec::new();
    for term in terms {
        if let Some((at, merged)) = same(&out, &term) {
            out.remove(at);
            // Terms that cancel are dropped.
            if merged != Term::Zero {
                out.insert(at, merged);
            }
            continue;
        }
        if let Some((at, merged)) = either(&out, &term) {
            out[at] = merged;
            continue;
        }
        if let Some((at, merged)) = same_matrix(&out, &term) {
            out[at] = merged;
            continue;
        }
        let same = last(&term).and_then(|(rest, tail)| {
            let at = out
                .iter()
                .position(|o| last(o).is_some_and(|(_, other)| other == tail))?;
            let (other, _) = last(&out[at])?;
            Some((at, hadamard(vec![add([other, rest]), tail])))
        });
        match same {
            Some((at, merged)) => out[at] = merged,
            None => out.push(term),
        }
    }
    out
}

/// `m x + n x = (m + n) x` for numbers `m` and `n`.
fn same(terms: &[Term], term: &Term) -> Option<(usize, Term)> {
    let (n, _, rest) = split(term.clone());
    let rest = rest?;
    terms.iter().enumerate().find_map(|(at, other)| {
        let (m, _, found) = split(other.clone());
        let sum = m + n;
        (found.as_ref() == Some(&rest)).then(|| match &rest {
            _ if sum == 0.0 => (at, Term::Zero),
            Term::Inner(a, b) => {
                let a = scale(vec![Term::Num(sum)], Some((**a).clone()));
                (at, inner(a, (**b).clone()))
            }
            rest => (at, scaled(sum, Some(rest.clone()))),
        })
    })
}

/// `diag(a) M + diag(b) M = diag(a + b) M`, with common factors of a and b outside their sum.
fn same_matrix(terms: &[Term], term: &Term) -> Option<(usize, Term)> {
    let parts = |t: &Term| -> Option<(bool, Vec<Term>, Vec<Term>)> {
        let (negative, body) = match t {
            Term::Neg(x) => (true, &**x),
            t => (false, t),
        };
        let Term::Mul(factors) = body else {
            return None;
        };
        let Term::Diag(v) = &factors[0] else {
            return None;
        };
        let v = match &**v {
            Term::Had(xs) => xs.clone(),
            x => vec![x.clone()],
        };
        Some((negative, v, factors[1..].to_vec()))
    };
    let (negative, v, matrix) = parts(term)?;
    terms.iter().enumerate().find_map(|(at, other)| {
        let (other_negative, w, _) = parts(other).filter(|(_, _, m)| *m == matrix)?;
        let common: Vec<Term> = v.iter().filter(|x| w.contains(x)).cloned().collect();
        let rest = |xs: &[Term], negative: bool| {
            let rest: Vec<Term> = xs.iter().filter(|x| !common.contains(x)).cloned().collect();
            let rest = if rest.is_empty() {
                Term::Ones
            } else {
                hadamard(rest)
            };
            if negative { neg(rest) } else { rest }
        };
        let sum = add([rest(&w, other_negative), rest(&v, negative)]);
        let vector = hadamard(std::iter::once(sum).chain(common.clone()).collect());
        let factors = std::iter::once(diag(vector)).chain(matrix.clone());
        Some((at, product(factors.collect())))
    })
}

/// `[t < T] x + [t = T] x = x`: no step is later.
fn either(terms: &[Term], term: &Term) -> Option<(usize, Term)> {
    let parts = |t: &Term| match t.unsigned() {
        Term::Mul(factors) => {
            let at = factors.iter().position(is_condition)?;
            let mut rest = factors.clone();
            let condition = rest.remove(at);
            Some((condition, is_negative(t), rest))
        }
        _ => None,
    };
    let (own, sign, rest) = parts(term)?;
    terms.iter().enumerate().find_map(|(at, other)| {
        let (condition, other_sign, others) = parts(other)?;
        let covers = match (&own, &condition) {
            (Term::Before(a, last), Term::At(b, end))
            | (Term::At(a, last), Term::Before(b, end)) => {
                a == b && last == end && *last == Time::last()
            }
            _ => false,
        };
        (covers && sign == other_sign && rest == others).then(|| {
            let whole = product(others);
            (at, if sign { neg(whole) } else { whole })
        })
    })
}

/// `−x`.
pub(crate) fn neg(term: Term) -> Term {
    match term {
        Term::Zero => Term::Zero,
        Term::Neg(x) => *x,
        Term::Add(parts) => add(parts.into_iter().map(neg)),
        term => Term::Neg(Box::new(term)),
    }
}

/// The numeric coefficient of a term with its sign, its other numeric factors, and the rest.
pub(super) fn split(term: Term) -> (f64, Vec<Term>, Option<Term>) {
    match term {
        Term::Num(n) => (n, Vec::new(), None),
        Term::Neg(x) => {
            let (c, scalars, rest) = split(*x);
            (-c, scalars, rest)
        }
        Term::Mul(mut factors) if matches!(factors[0], Term::Num(_)) => {
            let Term::Num(n) = factors.remove(0) else {
                return (1.0, Vec::new(), Some(Term::Mul(factors)));
            };
            (n, Vec::new(), single(factors, Term::Mul))
        }
        term => (1.0, Vec::new(), Some(term)),
    }
}

pub(super) fn single(mut parts: Vec<Term>, many: impl Fn(Vec<Term>) -> Term) -> Option<Term> {
    match parts.len() {
        0 => None,
        1 => Some(parts.remove(0)),
        _ => Some(many(parts)),
    }
}

/// A number times `rest`, with the sign outside.
pub(super) fn scaled(number: f64, rest: Option<Term>) -> Term {
    let size = number.abs();
    let body = match rest {
        None => Term::Num(size),
        Some(rest) if size == 1.0 => rest,
        Some(Term::Mul(factors)) => {
            Term::Mul(std::iter::once(Term::Num(size)).chain(factors).collect())
        }
        Some(rest) => Term::Mul(vec![Term::Num(size), rest]),
    };
    if number < 0.0 { neg(body) } else { body }
}

/// The entrywise product of values of one shape.
pub(crate) fn hadamard(factors: Vec<Term>) -> Term {
    let mut number = 1.0;
    let (mut flat, mut conditions) = (Vec::new(), Vec::new());
    for factor in factors {
        if matches!(factor, Term::Zero) {
            return Term::Zero;
        }
        let (n, _, rest) = split(factor);
        number *= n;
        match rest {
            Some(Term::Had(inner)) => flat.extend(inner),
            // A condition is a 0/1 factor and goes in front.
            Some(Term::Mul(mut inner)) if is_condition(&inner[0]) => {
                conditions.push(inner.remove(0));
                flat.extend(single(inner, Term::Mul));
            }
            Some(rest) => flat.push(rest),
            None => {}
        }
    }
    if number == 0.0 {
        return Term::Zero;
    }
    if !conditions.is_empty() {
        let rest = hadamard(flat);
        return scaled(
            number,
            Some(product(conditions.into_iter().chain([rest]).collect())),
        );
    }
    // The sort is stable: nonlinear factors keep the order in which they were written.
    flat.sort_by_key(rank);
    scaled(number, single(flat, Term::Had))
}

/// Factors with a δ or a differential come last.
fn rank(term: &Term) -> u8 {
    u8::from(term.is_linear_part())
}

/// A product of scalars with a value of any shape.
pub(crate) fn scale(scalars: Vec<Term>, body: Option<Term>) -> Term {
    let mut number = 1.0;
    let (mut first, mut last) = (Vec::new(), Vec::new());
    // A row and the factors after it are one scalar; a quotient among them may be a vector.
    let (mut whole, mut after_row) = (Vec::new(), false);
    let parts = scalars.into_iter().map(|s| (s, true));
    for (part, scalar) in parts.chain(body.map(|b| (b, false))) {
        if matches!(part, Term::Zero) {
            return Term::Zero;
        }
        let (n, _, rest) = split(part);
        number *= n;
        let Some(rest) = rest else { continue };
        let opened = match rest {
            Term::Mul(inner) => inner,
            rest => vec![rest],
        };
        let linear = opened.iter().any(Term::is_linear_part);
        let (mut in_row, alone) = (false, opened.len() == 1);
        for factor in opened {
            // A row stays next to the column that it multiplies.
            in_row |= linear && matches!(factor, Term::T(_));
            // A number divided by a scalar is a scalar.
            let number = matches!(&factor, Term::Div(a, _) if matches!(**a, Term::Num(_)));
            if in_row || factor.is_linear_part() || !scalar && !number {
                last.push(factor);
            } else if after_row || matches!(factor, Term::T(_)) {
                after_row = true;
                whole.push(factor);
            } else {
                first.push(factor);
            }
        }
        after_row &= alone;
    }
    if number == 0.0 {
        return Term::Zero;
    }
    // Merge quotients: `½ · 1/F · x = x / (2 F)`.
    if first.iter().any(|f| matches!(f, Term::Div(..))) {
        let (mut above, mut below) = (Vec::new(), Vec::new());
        for factor in first {
            match factor {
                Term::Div(a, b) => {
                    let ((n, _, a), (m, _, b)) = (split(*a), split(*b));
                    number *= n / m;
                    above.extend(a);
                    below.extend(b);
                }
                factor => above.push(factor),
            }
        }
        let inverse = 1.0 / number.abs();
        if inverse.fract() == 0.0 {
            below.insert(0, Term::Num(inverse));
            number = number.signum();
        }
        let whole = divide(scale(above, None), scale(powers(below), None));
        let (n, _, rest) = split(whole);
        number *= n;
        first = rest.into_iter().collect();
    }
    first.extend(whole.into_iter().chain(last));
    scaled(number, single(first, Term::Mul))
}

/// Writes a factor that occurs twice as a square.
fn powers(factors: Vec<Term>) -> Vec<Term> {
    let mut found: Vec<(Term, i32)> = Vec::new();
    for factor in factors {
        let (base, n) = match factor {
            Term::Pow(base, n) => (*base, n),
            base => (base, 1),
        };
        let number = matches!(base, Term::Num(_));
        match found.iter_mut().find(|(b, _)| *b == base && !number) {
            Some((_, count)) => *count += n,
            None => found.push((base, n)),
        }
    }
    let power = |(base, n): (Term, i32)| match n {
        1 => base,
        n => Term::Pow(Box::new(base), n),
    };
    found.into_iter().map(power).collect()
}

/// Two adjacent factors merged into one: `𝟏ᵀ diag(v) = vᵀ`, `diag(v) 𝟏 = v`, `𝟏ᵀ e_c = 1`.
fn joined(first: &Term, second: &Term) -> Option<Term> {
    let is_row_of_ones = |t: &Term| matches!(t, Term::T(x) if **x == Term::Ones);
    match (first, second) {
        (row, Term::Diag(v)) if is_row_of_ones(row) => Some(transpose((**v).clone())),
        (Term::Diag(v), Term::Ones) => Some((**v).clone()),
        (row, Term::OneHot(_)) if is_row_of_ones(row) => Some(Term::Num(1.0)),
        _ => None,
    }
}

/// A product of matrices and vectors.
pub(crate) fn product(factors: Vec<Term>) -> Term {
    let mut number = 1.0;
    let mut flat: Vec<Term> = Vec::new();
    for factor in factors {
        match factor {
            Term::Zero => return Term::Zero,
            Term::Eye => continue,
            _ => {}
        }
        let (n, _, rest) = split(factor);
        number *= n;
        match rest {
            Some(Term::Mul(inner)) => flat.extend(inner),
            Some(rest) => flat.push(rest),
            None => {}
        }
    }
    let matrix = flat.is_empty().then_some(Term::Eye);
    let mut at = 0;
    while at + 1 < flat.len() {
        let Some(one) = joined(&flat[at], &flat[at + 1]) else {
            at += 1;
            continue;
        };
        flat.remove(at + 1);
        match one {
            Term::Num(n) => {
                number *= n;
                flat.remove(at);
            }
            one => flat[at] = one,
        }
        at = at.saturating_sub(1);
    }
    if number == 0.0 {
        return Term::Zero;
    }
    // A condition is a 0/1 factor and goes in front.
    flat.sort_by_key(|f| !is_condition(f));
    scaled(number, single(flat, Term::Mul).or(matrix))
}

/// A transpose.
pub(crate) fn transpose(term: Term) -> Term {
    match term {
        Term::T(x) => *x,
        Term::Zero => Term::Zero,
        Term::Neg(x) => neg(transpose(*x)),
        own @ (Term::Diag(_) | Term::EyeOf(_)) => own,
        Term::Part(span, eye) if matches!(*eye, Term::EyeOf(_)) => Term::Part(span.turned(), eye),
        Term::Mul(factors) if matches!(factors[0], Term::Num(_)) => {
            let (number, _, rest) = split(Term::Mul(factors));
            scaled(number, rest.map(transpose))
        }
        term => Term::T(Box::new(term)),
    }
}

/// An entrywise quotient; a numeric denominator becomes a factor.
pub(crate) fn divide(a: Term, b: Term) -> Term {
    match (a, b) {
        (Term::Zero, _) => Term::Zero,
        (a, Term::Num(n)) => scale(vec![Term::Num(1.0 / n)], Some(a)),
        (Term::Neg(a), b) => neg(divide(*a, b)),
        (a, Term::Neg(b)) => neg(divide(a, *b)),
        // A quotient divided again by the same term: a square in the denominator.
        (Term::Div(a, b), c) if *b == c => Term::Div(a, Box::new(Term::Pow(b, 2))),
        (Term::Mul(factors), c) if matches!(&factors[..], [Term::Num(_), Term::Div(_, b)] if **b == c) =>
        {
            let mut factors = factors.into_iter();
            let (n, quotient) = (factors.next(), factors.next());
            match (n, quotient) {
                (Some(n), Some(quotient)) => scale(vec![n], Some(divide(quotient, c))),
                _ => Term::Zero,
            }
        }
        (a, b) => Term::Div(Box::new(a), Box::new(b)),
    }
}

/// An inner product; a sign is moved outside.
pub(crate) fn inner(a: Term, b: Term) -> Term {
    match (a, b) {
        (Term::Zero, _) | (_, Term::Zero) => Term::Zero,
        (Term::Neg(a), b) => neg(inner(*a, b)),
        (a, Term::Neg(b)) => neg(inner(a, *b)),
        (a, b) => Term::Inner(Box::new(a), Box::new(b)),
    }
}

/// `diag(v) M`; products of diagonal matrices are merged.
pub(crate) fn diagonal(v: Term, m: Term) -> Term {
    match m {
        Term::Zero => Term::Zero,
        Term::Neg(m) => neg(diagonal(v, *m)),
        Term::Add(parts) => add(parts.into_iter().map(|p| diagonal(v.clone(), p))),
        Term::Diag(inner) => diag(hadamard(vec![v, *inner])),
        Term::Mul(mut factors) => {
            if let Term::Diag(inner) = &factors[0] {
                let merged = diag(hadamard(vec![v, (**inner).clone()]));
                factors.remove(0);
                return product(std::iter::once(merged).chain(factors).collect());
            }
            product(std::iter::once(diag(v)).chain(factors).collect())
        }
        Term::Eye => diag(v),
        m => product(vec![diag(v), m]),
    }
}

/// The diagonal matrix of a vector; a sign or a number is moved outside.
pub(crate) fn diag(v: Term) -> Term {
    match v {
        Term::Zero => Term::Zero,
        Term::Ones => Term::Eye,
        Term::Neg(v) => neg(diag(*v)),
        Term::Num(n) => scale(vec![Term::Num(n)], Some(Term::Eye)),
        Term::Mul(mut f) if matches!(f[0], Term::Num(_)) => {
            let n = f.remove(0);
            let rest = single(f, Term::Mul).unwrap_or(Term::Eye);
            scale(vec![n], Some(diag(rest)))
        }
        v => Term::Diag(Box::new(v)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::derive::algebra::term::Quantity;

    #[test]
    fn two_conditions_are_one_only_where_they_cover_every_step() {
        let x = || Quantity::Value.of([&"x".into()], [Time::var('t')]);
        let (now, next) = (Time::var('t'), Time::var('t').plus(1));
        let before = |at: &Time| product(vec![Term::Before(at.clone(), Time::last()), x()]);
        let last = |at: &Time| product(vec![Term::At(at.clone(), Time::last()), x()]);
        assert_eq!(add([before(&now), last(&now)]), x());
        assert_eq!(add([neg(before(&now)), neg(last(&now))]), neg(x()));
        for other in [
            [before(&next), last(&now)],
            [before(&now), last(&next)],
            [neg(before(&now)), last(&now)],
        ] {
            assert!(matches!(add(other), Term::Add(parts) if parts.len() == 2));
        }
    }
}
