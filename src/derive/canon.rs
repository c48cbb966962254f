//! The canonical form of terms: constructors that fold numbers and keep the order of factors.

use super::conditions::{always, either, picked};
pub(crate) use super::products::{
    diag, diagonal, divide, hadamard, inner, product, scale, transpose,
};
use super::products::{scaled, split};
use super::term::{Base, Term, Time};

/// A sum: sums inside are opened, zeros dropped, numbers added, and what has the same last factor
/// is put together: `a ⊙ δ − b ⊙ δ = (a − b) ⊙ δ`.
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
    // A sum that can begin without a minus does.
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

/// Parts of a sum, each put together with the first before it with which it can be; what cancels is gone.
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

/// Puts terms with the same last factor of an entry-by-entry product together.
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
            // What cancels is gone.
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

/// `m x + n x = (m + n) x` of numbers `m` and `n`.
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

/// `diag(a) M + diag(b) M = diag(a + b) M`, with what a and b have in common outside their sum.
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

/// The same with products inside products opened.
pub(crate) fn tidy(term: &Term) -> Term {
    match term.map(&mut tidy) {
        Term::Had(parts) => hadamard(parts),
        Term::Add(parts) => add(parts),
        other => other,
    }
}

/// The same after something in it became zero or one: products with a zero are zero.
pub(crate) fn settle(term: &Term) -> Term {
    match term.map(&mut settle) {
        Term::Add(parts) => add(parts),
        Term::Had(parts) => hadamard(parts),
        Term::Mul(parts)
            if parts
                .iter()
                .any(|p| *p == Term::Zero || always(p) == Some(false)) =>
        {
            Term::Zero
        }
        Term::Mul(mut parts) => {
            parts.retain(|p| always(p) != Some(true));
            if parts.iter().all(|p| matches!(p, Term::Num(_))) && !parts.is_empty() {
                return scale(parts, None);
            }
            match parts.last() {
                // Numbers in front of nothing are a multiple of the identity.
                Some(Term::Eye) => {
                    parts.pop();
                    scale(parts, Some(Term::Eye))
                }
                _ => product(parts),
            }
        }
        Term::Neg(x) => neg(*x),
        Term::T(x) => transpose(*x),
        Term::Div(a, b) => divide(*a, *b),
        Term::Inner(a, b) => inner(*a, *b),
        Term::Sum(var, from, to, body) => summed(var, from, to, *body),
        Term::Matrix(rows) if rows.iter().flatten().all(|c| *c == Term::Zero) => Term::Zero,
        Term::Part(_, x) if *x == Term::Zero => Term::Zero,
        other => other,
    }
}

/// A sum over steps; a sign goes in front, and what is zero at all steps but one is what it is there.
pub(crate) fn summed(var: char, from: Time, to: Time, body: Term) -> Term {
    match body {
        Term::Zero => Term::Zero,
        Term::Neg(x) => neg(summed(var, from, to, *x)),
        Term::Add(parts) if parts.iter().any(|p| picked(p, var, &from, &to).is_some()) => {
            let one_step = |p: &Term| picked(p, var, &from, &to).is_some();
            let (ends, rest): (Vec<Term>, Vec<Term>) = parts.into_iter().partition(one_step);
            let ends = ends.into_iter();
            let ends = ends.map(|p| summed(var, from.clone(), to.clone(), p));
            let ends: Vec<Term> = ends.collect();
            add(ends.into_iter().chain([summed(var, from, to, add(rest))]))
        }
        body => match picked(&body, var, &from, &to) {
            Some(there) => there,
            None => Term::Sum(var, from, to, Box::new(body)),
        },
    }
}

/// The right side of a line, with another variable for what is summed over all steps where the left
/// side is at one.
pub(crate) fn beside_step(left: &Term, right: Term) -> Term {
    fn renamed(term: &Term) -> Term {
        match term {
            Term::Sum('t', from, to, body) if (from, to) == (&Time::at(1), &Time::last()) => {
                let body = body.at('t', &Time::var('s'));
                Term::Sum('s', from.clone(), to.clone(), Box::new(body))
            }
            term => term.map(&mut renamed),
        }
    }
    let stepped = |t: &Term| t.clone().times().iter().any(|at| at.base == Base::Var('t'));
    match left.any(&stepped) {
        true => renamed(&right),
        false => right,
    }
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
