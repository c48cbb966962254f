//! How large a product of Jacobians can be, how small, and what that means for δ.

use std::sync::Arc;

use super::bridge::{in_terms_of, is_homogeneous, looks_ahead, recursions};
use super::canon::add;
use super::generate::Writer;
use super::jacobian::{flow, pairs};
use super::rules::Rule;
use super::term::{Base, Name, Term, Time};
use super::{Condition, Equation, Level, Part, Range, Relation};

/// The bounds that follow from the printed Jacobian.
pub(crate) fn write(writer: &mut Writer<'_>, states: &[Name]) {
    let (t, k) = (Time::var('t'), Time::var('k'));
    let scalar = matches!(states, [one] if of_scalar(writer, one));
    let size = |x: Term| norm(x, scalar);
    if scalar {
        writer.function("abs", crate::op::Pointwise::Abs);
    }
    let jacobian = Term::StateJacobian(Time::var('j'));
    let product = Term::Prod('j', k.plus(1), t.clone(), Box::new(size(jacobian.clone())));
    let whole = size(flow(states, t, k));
    let equation = at_most(writer, "bound.product", whole.clone(), product);
    equation.range = pairs();
    equation.rules = vec![Rule::Submultiplicative];
    equation.premises = vec!["jac.product".into()];

    let own = match states {
        [one] => writer.right(&format!("jac.{one}.{one}")).cloned(),
        _ => None,
    };
    let slope = own.as_ref().and_then(slope);
    match states {
        [state] => one_state(writer, state, own.as_ref(), scalar),
        _ => several_states(writer, states),
    }
    let ratio = match &slope {
        // `J = diag(v) W`: the bound of Pascanu, Mikolov and Bengio.
        Some((v, w)) => {
            let largest = size(v.at('t', &Time::var('j')));
            let gamma = over_run(largest, true);
            let gamma = writer.define(writer.symbols.letters.slope, None, Part::Bounds, gamma);
            if let Some(one) = one_at_most(writer, v) {
                let equation = at_most(writer, "bound.slope", gamma.clone(), one);
                equation.rules = vec![Rule::Ranges];
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
    let equation = at_most(writer, "bound.power", whole.clone(), power(&q));
    equation.range = pairs();
    equation.rules = vec![Rule::Submultiplicative];
    equation.premises = vec!["bound.product".into()];
    if let (Some((v, w)), false) = (&slope, scalar) {
        let least = |x: Term| Term::Least(Box::new(x));
        let smallest = over_run(least(v.at('t', &Time::var('j'))), false);
        let mu = Term::Mul(vec![least(w.clone()), smallest]);
        let mu = writer.define(writer.symbols.letters.least, None, Part::Bounds, mu);
        let least = least(flow(states, Time::var('t'), Time::var('k')));
        let equation = at_most(writer, "bound.least", power(&mu), least);
        equation.range = pairs();
        equation.rules = vec![Rule::LowerBound];
        equation.level = Level::Normal;
    }
    if let [state] = states {
        errors(writer, state, &q, slope.as_ref(), scalar);
    }
}

fn at_most<'a>(writer: &'a mut Writer<'_>, id: &str, left: Term, right: Term) -> &'a mut Equation {
    let equation = writer.push(id.into(), Part::Bounds, left, right);
    equation.relation = Relation::AtMost;
    equation
}

fn of_scalar(writer: &Writer<'_>, name: &Name) -> bool {
    let id = writer.tape.named(name);
    id.is_some_and(|id| writer.is_scalar(id))
}

fn norm(x: Term, scalar: bool) -> Term {
    match scalar {
        true => Term::Call("abs".into(), vec![x]),
        false => Term::Norm(Box::new(x)),
    }
}

/// The largest or smallest over the steps of a run.
fn over_run(body: Term, largest: bool) -> Term {
    let (from, to) = (Time::at(1), Time::last());
    match largest {
        true => Term::Max('j', from, to, Box::new(body)),
        false => Term::Min('j', from, to, Box::new(body)),
    }
}

/// `diag(v)` and `W`, when a Jacobian is their product.
fn slope(jacobian: &Term) -> Option<(Term, Term)> {
    match jacobian {
        Term::Mul(factors) => match &factors[..] {
            [v @ Term::Diag(_), w @ Term::Value(_, None)] => Some((v.clone(), w.clone())),
            _ => None,
        },
        _ => None,
    }
}

/// The bound of one step, factor by factor.
fn one_state(writer: &mut Writer<'_>, state: &Name, own: Option<&Term>, scalar: bool) {
    let Some(own) = own.filter(|_| !scalar) else {
        return;
    };
    // With a single factor nothing is gained.
    let right = match slope(own) {
        Some((v, w)) => Some(Term::Mul(vec![norm(v, false), norm(w, false)])),
        None => largest(writer, own, false),
    };
    let left = norm(Term::StateJacobian(Time::var('t')), false);
    let Some(right) = right.filter(|r| *r != left) else {
        return;
    };
    let equation = at_most(writer, "bound.step", left, right);
    equation.range = Range::all();
    equation.rules = vec![Rule::Submultiplicative, Rule::DiagonalNorm];
    equation.premises = vec![format!("jac.{state}.{state}")];
    if matches!(equation.right, Term::Add(_)) {
        equation.rules.extend([Rule::Triangle, Rule::Ranges]);
    }
}

/// The bounds of the blocks, of one state that the other follows, and of the whole.
fn several_states(writer: &mut Writer<'_>, states: &[Name]) {
    let t = Time::var('t');
    for of in states {
        for by in states {
            let id = format!("jac.{of}.{by}");
            let block = writer.right(&id).cloned();
            let right = block.and_then(|b| largest(writer, &b, false));
            let left = Term::Block(Arc::clone(of), Arc::clone(by), t.clone());
            let Some(right) = right.filter(|r| !matches!(r, Term::Num(_) | Term::Zero)) else {
                continue;
            };
            let name = format!("bound.block.{of}.{by}");
            let equation = at_most(writer, &name, norm(left, false), right);
            equation.range = Range::all();
            equation.rules = vec![Rule::Submultiplicative, Rule::Triangle, Rule::Ranges];
            equation.premises = vec![id];
            equation.level = Level::Normal;
        }
    }
    for state in states {
        let id = format!("total.{state}");
        let Some(line) = writer.equations.iter().find(|e| e.id == id) else {
            continue;
        };
        let (left, right, range) = (line.left.clone(), line.right.clone(), line.range.clone());
        let Some(right) = largest(writer, &right, true) else {
            continue;
        };
        let name = format!("bound.total.{state}");
        let equation = at_most(writer, &name, norm(left, false), right);
        equation.range = range;
        equation.rules = vec![Rule::Submultiplicative, Rule::Triangle, Rule::Ranges];
        equation.premises = vec![id];
        equation.level = Level::Normal;
    }
    joint(writer, states);
}

/// `‖J‖ ≤ √2 √(‖A‖² + ‖F‖²) + ‖B‖` of `J = [B + P A, P F; A, F]` with `‖P‖ ≤ 1`.
fn joint(writer: &mut Writer<'_>, states: &[Name]) {
    let [first, second] = states else { return };
    for (of, by) in [(first, second), (second, first)] {
        let block = |a: &Name, b: &Name| writer.right(&format!("jac.{a}.{b}")).cloned();
        let (Some(mixed), Some(own)) = (block(of, by), block(of, of)) else {
            continue;
        };
        let carried = |b: &Name| Term::Block(Arc::clone(by), Arc::clone(b), Time::var('t'));
        // Both blocks of the one state are the same matrix times those of the other.
        let follows = |t: &Term, b: &Name| match t {
            Term::Mul(factors) => match &factors[..] {
                [p @ Term::Diag(_), last] if *last == carried(b) => Some(p.clone()),
                _ => None,
            },
            _ => None,
        };
        let Some(p) = follows(&mixed, by) else {
            continue;
        };
        let parts = match own {
            Term::Add(parts) => parts,
            one => vec![one],
        };
        let (shared, rest): (Vec<Term>, Vec<Term>) = parts
            .into_iter()
            .partition(|part| follows(part, of).as_ref() == Some(&p));
        let bounded = largest(writer, &p, true) == Some(Term::Num(1.0));
        let rest = largest(writer, &add(rest), true);
        let (1, true, Some(rest)) = (shared.len(), bounded, rest) else {
            continue;
        };
        let square = |b: &Name| Term::Pow(Box::new(norm(carried(b), false)), 2);
        let root = |x: Term| Term::Call("sqrt".into(), vec![x]);
        let both = Term::Add(vec![square(of), square(by)]);
        let right = add([Term::Mul(vec![root(Term::Num(2.0)), root(both)]), rest]);
        let left = norm(Term::StateJacobian(Time::var('t')), false);
        writer.function("sqrt", crate::op::Pointwise::Sqrt);
        let equation = at_most(writer, "bound.joint", left, right);
        equation.range = Range::all();
        equation.rules = vec![Rule::Submultiplicative, Rule::Triangle, Rule::Ranges];
        equation.premises = vec!["jac".into()];
        equation.level = Level::Normal;
        return;
    }
}

/// A number that the norm of a matrix does not exceed: sums by the triangle inequality, products
/// factor by factor, diagonal matrices by their largest entry. With `open`, blocks and derivatives
/// that have a line of their own are replaced by what it says.
fn largest(writer: &Writer<'_>, term: &Term, open: bool) -> Option<Term> {
    let by_line = |id: String| {
        let right = writer.right(&id)?.clone();
        largest(writer, &right, open)
    };
    Some(match term {
        Term::Zero => Term::Zero,
        Term::Num(n) => Term::Num(n.abs()),
        Term::Neg(x) | Term::T(x) => largest(writer, x, open)?,
        Term::Add(parts) => {
            let parts: Option<Vec<Term>> = parts.iter().map(|p| largest(writer, p, open)).collect();
            add(parts?)
        }
        Term::Mul(parts) => {
            let parts: Option<Vec<Term>> = parts.iter().map(|p| largest(writer, p, open)).collect();
            times(parts?)
        }
        Term::Diag(v) => entry(writer, v),
        Term::Block(of, by, _) if open => by_line(format!("jac.{of}.{by}"))?,
        Term::Jacobian(of, a, by, b) if open && a == b => by_line(format!("within.{of}.{by}"))?,
        Term::Block(..) | Term::Jacobian(..) | Term::Value(_, None) => norm(term.clone(), false),
        _ => return None,
    })
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
    // Numbers that came from inside.
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

/// A number that no entry of a vector exceeds: what is known of gates and slopes, and the largest
/// entry of anything else.
fn entry(writer: &Writer<'_>, v: &Term) -> Term {
    let factors = match v {
        Term::Had(factors) => factors.clone(),
        one => vec![one.clone()],
    };
    if let [Term::Value(..)] = &factors[..] {
        return Term::MaxNorm(Box::new(factors[0].clone()));
    }
    let mut left = factors;
    let mut bounds = Vec::new();
    // `y ⊙ (1 − y)` of a gate is a quarter at most.
    let pair = |left: &[Term]| {
        let gate = |y: &Term| range(writer, y) == Some("sigmoid");
        left.iter().enumerate().find_map(|(i, y)| {
            let j = left.iter().position(|f| less_than_one(f) == Some(y))?;
            gate(y).then_some((i, j))
        })
    };
    while let Some((i, j)) = pair(&left) {
        left.remove(i.max(j));
        left.remove(i.min(j));
        bounds.push(Term::Num(0.25));
    }
    for factor in left {
        // `1 − y` of a gate and `1 − y ⊙ y` are one at most, as is what a function keeps there.
        let known = match less_than_one(&factor) {
            Some(Term::Had(ys)) => {
                matches!(&ys[..], [a, b] if a == b && range(writer, a).is_some())
            }
            Some(y) => range(writer, y) == Some("sigmoid"),
            None => range(writer, &factor).is_some(),
        };
        if !known {
            bounds.push(Term::MaxNorm(Box::new(factor)));
        }
    }
    times(bounds)
}

/// The `y` of `1 − y`.
fn less_than_one(term: &Term) -> Option<&Term> {
    match term {
        Term::Add(parts) => match &parts[..] {
            [Term::Ones, Term::Neg(y)] => Some(y),
            [Term::Num(n), Term::Neg(y)] if *n == 1.0 => Some(y),
            _ => None,
        },
        _ => None,
    }
}

/// The function that keeps a value between −1 and 1, if one does.
fn range(writer: &Writer<'_>, value: &Term) -> Option<&'static str> {
    let Term::Value(name, Some(at)) = value else {
        return None;
    };
    // What a state starts from can be anything.
    if at.offset != 0 {
        return None;
    }
    match writer.right(&format!("def.{name}"))? {
        Term::Call(f, _) if **f == *"sigmoid" => Some("sigmoid"),
        Term::Call(f, _) if **f == *"tanh" => Some("tanh"),
        _ => None,
    }
}

fn one_at_most(writer: &Writer<'_>, slope: &Term) -> Option<Term> {
    let Term::Diag(v) = slope else { return None };
    Some(entry(writer, v)).filter(|bound| matches!(bound, Term::Num(_)))
}

/// What the bounds say of δ and of a window.
fn errors(
    writer: &mut Writer<'_>,
    state: &Name,
    q: &Term,
    slope: Option<&(Term, Term)>,
    scalar: bool,
) {
    let Some(Term::Add(parts)) = writer.right("bridge.recursion").cloned() else {
        return;
    };
    let k = Time::var('k');
    let direct = add(parts.into_iter().filter(|p| !looks_ahead(p)));
    let small = Condition {
        left: q.clone(),
        strict: true,
        right: Term::Num(1.0),
    };
    let since = Time {
        base: Base::Minus('t', 'k'),
        offset: 0,
    };
    let weight = Term::PowSteps(Box::new(q.clone()), since);
    let sum = Term::Mul(vec![weight, norm(direct.clone(), scalar)]);
    let sum = Term::Sum('t', k.clone(), Time::last(), Box::new(sum));
    let left = norm(Term::Delta(Arc::clone(state), Some(k)), scalar);
    let of_states = Range {
        vars: vec![('k', Time::at(1), Time::last())],
    };
    let equation = at_most(writer, "bound.delta", left.clone(), sum);
    equation.range = of_states.clone();
    equation.rules = vec![Rule::Triangle, Rule::Submultiplicative];
    equation.premises = vec!["bridge.closed".into(), "bound.power".into()];
    equation.level = Level::Normal;

    let most = Term::Max(
        't',
        Time::at(1),
        Time::last(),
        Box::new(norm(direct, scalar)),
    );
    let most = writer.define(writer.symbols.letters.sent, None, Part::Bounds, most);
    let gap = Term::Add(vec![Term::Num(1.0), Term::Neg(Box::new(q.clone()))]);
    let right = Term::Div(Box::new(most.clone()), Box::new(gap.clone()));
    let equation = at_most(writer, "bound.delta.all", left, right);
    equation.range = of_states;
    equation.given = Some(small.clone());
    equation.rules = vec![Rule::Geometric];
    equation.premises = vec!["bound.delta".into()];
    equation.level = Level::Normal;
    if let (Some(slope), false) = (slope, scalar) {
        window(writer, state, slope, (q, &most, &gap), small);
    }
}

/// What a window leaves out, bounded: `‖R‖ ≤ (T − τ) γ M N q^τ / (1 − q)`.
fn window(
    writer: &mut Writer<'_>,
    state: &Name,
    slope: &(Term, Term),
    (q, most, gap): (&Term, &Term, &Term),
    small: Condition,
) {
    let letters = writer.symbols.letters;
    let rest = Term::Letter(letters.rest.into(), Some(Time::var('τ')));
    if !writer.letters.contains_key(letters.rest) {
        return;
    }
    // One part of the sum has to be `(v ⊙ δ) h_{k−1}ᵀ`.
    let carried = Term::Value(Arc::clone(state), Some(Time::var('t').plus(-1)));
    let lines = recursions(writer);
    let of_parameter = writer.equations.iter().find_map(|e| {
        let (Term::Gradient(..), Term::Sum('t', _, _, body)) = (&e.left, &e.right) else {
            return None;
        };
        let body = in_terms_of(body, state, &lines).filter(|b| is_homogeneous(b, state))?;
        body.any(&|t| *t == carried).then_some(body)
    });
    let Some(Term::Mul(factors)) = of_parameter else {
        return;
    };
    let diagonal = |v: &Term| Term::Diag(Box::new(v.clone())) == slope.0;
    let fits = match &factors[..] {
        [Term::Had(parts), Term::T(h)] => {
            **h == carried && matches!(&parts[..], [v, Term::Delta(..)] if diagonal(v))
        }
        _ => false,
    };
    if !fits {
        return;
    }
    let at = Time::var('k');
    let length = norm(Term::Value(Arc::clone(state), Some(at)), false);
    let length = Term::Max('k', Time::at(0), Time::last(), Box::new(length));
    let longest = writer.define(letters.size, None, Part::Bounds, length);
    let bounded = matches!(
        writer.right(&format!("def.{state}")),
        Some(Term::Call(f, _)) if **f == *"tanh"
    );
    let id = writer.tape.named(state);
    let size = id.and_then(|id| writer.tape.ty(id).shape.dims().first().copied());
    if let (true, Some(size)) = (bounded, size) {
        let names = writer.tape.dim_names();
        let root = Term::Call(
            "sqrt".into(),
            vec![Term::Size(size.text(&names).into(), size)],
        );
        writer.function("sqrt", crate::op::Pointwise::Sqrt);
        let equation = at_most(writer, "bound.state", longest.clone(), root);
        equation.rules = vec![Rule::Ranges];
        equation.level = Level::Normal;
        equation.given = Some(Condition {
            left: Term::MaxNorm(Box::new(Term::Value(Arc::clone(state), Some(Time::at(0))))),
            strict: false,
            right: Term::Num(1.0),
        });
    }
    let kept = Term::Steps(Time {
        base: Base::LastMinus('τ'),
        offset: 0,
    });
    let gamma = Term::Letter(letters.slope.into(), None);
    let power = Term::PowSteps(Box::new(q.clone()), Time::var('τ'));
    let above = Term::Mul(vec![kept, gamma, most.clone(), longest, power]);
    let right = Term::Div(Box::new(above), Box::new(gap.clone()));
    let equation = at_most(
        writer,
        "bound.window",
        Term::Frobenius(Box::new(rest)),
        right,
    );
    equation.range = Range {
        vars: vec![('τ', Time::at(1), Time::last())],
    };
    equation.given = Some(small);
    equation.rules = vec![Rule::Triangle, Rule::OuterNorm, Rule::Geometric];
    equation.premises = vec![format!("let.{}", letters.rest)];
    equation.level = Level::Normal;
}
