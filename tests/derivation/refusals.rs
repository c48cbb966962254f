//! Premises of rules: each rule is applied to a term that meets its premises, and is refused on one that
//! differs only in the premise.

use crate::support::shorthand::{add, had, mul, neg, turned, w};
use crate::support::sources::PAIR;
use bptt::Recurrence;
use bptt::cells::{Cell, Loss, Start};
use bptt::derive::{
    Argument, Base, Derivation, Fold, Index, Line, Name, Quantity, Rewrite, Site, Step, Term, Time,
};

/// One state with two lags.
const LAGS: &str = "
dim H
input x[H], y[H]
param A[H, H], B[H, H]
state h[H]
a = A @ h + B @ delay(h) + x
h' = tanh(a)
loss 0.5 * sum((h' - y)^2)
";

const SCALAR: &str = "
input x, y
param a, b
state h
h' = tanh(a * h + b * x)
loss 0.5 * (h' - y)^2
";

fn derived(source: &str) -> Derivation {
    Recurrence::parse("m", source).unwrap().derive().unwrap()
}

fn cell(cell: Cell) -> Derivation {
    let model = cell.start(Start::Parameter).model("m", Loss::SquaredError);
    model.unwrap().derive().unwrap()
}

fn t(offset: i64) -> Time {
    Time::var('t').plus(offset)
}

fn k() -> Time {
    Time::var('k')
}

fn after(base: Base, offset: i64) -> Time {
    Time { base, offset }
}

fn loss() -> Term {
    Quantity::Loss.of([], [])
}

fn v(name: &str, at: Time) -> Term {
    Quantity::Value.of([&name.into()], [at])
}

fn d(name: &str, offset: i64) -> Term {
    Quantity::D.of([&name.into()], [t(offset)])
}

fn of_d(name: &str, offset: i64) -> Argument {
    Argument::D(name.into(), Some(t(offset)))
}

fn delta(name: &str, offset: i64) -> Term {
    Quantity::Delta.of([&name.into()], [t(offset)])
}

fn jacobian(of: &str, to: Time, by: &str, from: Time) -> Term {
    Quantity::Jacobian.of([&Name::from(of), &Name::from(by)], [to, from])
}

fn column(cells: impl IntoIterator<Item = Term>) -> Term {
    Term::Matrix(cells.into_iter().map(|c| vec![c]).collect())
}

fn square(a: Term, b: Term, c: Term, d: Term) -> Term {
    Term::Matrix(vec![vec![a, b], vec![c, d]])
}

fn sum(var: char, from: Time, to: Time, body: Term) -> Term {
    Term::over(Fold::Sum, Index::new(var, from, to), body)
}

fn product(from: Time, body: Term) -> Term {
    Term::over(Fold::Prod, Index::new('j', from, t(0)), body)
}

fn norm(x: Term) -> Term {
    Term::Norm(Box::new(x))
}

fn largest(x: Term) -> Term {
    Term::MaxNorm(Box::new(x))
}

fn power(base: Term, steps: Base) -> Term {
    Term::PowSteps(Box::new(base), after(steps, 0))
}

/// The result of replaying a step from one term to another: "it does", or the error.
fn claim(derivation: &Derivation, rewrite: &Rewrite, before: &Term, after: &Term) -> String {
    let site = Site::Line(rewrite.clone());
    let step = Step::new(rewrite.rule(), site, before.clone(), after.clone());
    match derivation.replay(&step) {
        Ok(()) => "it does".into(),
        Err(error) => error.to_string(),
    }
}

/// The rule applies to one term, and not to the other.
fn told_apart(derivation: &Derivation, rewrite: &Rewrite, taken: &Term, refused: &Term) {
    // No rule yields the whole loss, so the error shows if the rule applied.
    let found = |term| claim(derivation, rewrite, term, &loss());
    let (taken_as, refused_as) = (found(taken), found(refused));
    assert!(
        taken_as.ends_with("the rule gives something else"),
        "{rewrite:?} refuses {taken:?}: {taken_as}"
    );
    assert!(
        refused_as.ends_with("no rule is used there"),
        "{rewrite:?} takes {refused:?}: {refused_as}"
    );
}

fn gives(derivation: &Derivation, rewrite: &Rewrite, before: &Term, after: &Term) {
    let found = claim(derivation, rewrite, before, after);
    assert_eq!(found, "it does", "{rewrite:?}: {before:?}");
}

#[test]
fn stacks() {
    let (pair, lags) = (derived(PAIR), derived(LAGS));
    let (a, b, p, q) = (|| w("A"), || w("B"), || w("P"), || w("Q"));
    let (h, s) = (|| d("h", -1), || d("s", -1));
    let state = Rewrite::StateProduct;
    let second = || mul([q(), s()]);
    // A block has one matrix.
    let once = column([mul([a(), h()]), second()]);
    let twice = column([add([mul([a(), h()]), mul([b(), h()])]), second()]);
    told_apart(&pair, &state, &once, &twice);
    let other = column([mul([a(), h()]), mul([b(), d("s", -2)])]);
    told_apart(&pair, &state, &once, &other);
    // Matrices keep their order.
    let before = column([
        add([mul([a(), b(), h()]), mul([p(), s()])]),
        mul([p(), a(), s()]),
    ]);
    let matrix = square(mul([a(), b()]), p(), Term::Zero, mul([p(), a()]));
    gives(&pair, &state, &before, &mul([matrix, column([h(), s()])]));
    // A part of the state that is only copied has no λ.
    let costate = |name: &str| Quantity::Costate.of([&name.into()], [t(0)]);
    let sent = |of: &str| {
        column([
            mul([turned(a()), costate(of)]),
            mul([turned(b()), costate(of)]),
        ])
    };
    told_apart(
        &lags,
        &state,
        &column([mul([a(), h()]), mul([b(), d("h", -2)])]),
        &sent("h"),
    );

    let x = |name: &str, at| v(name, t(at));
    let reads = |second: Term| {
        let first = add([mul([a(), x("h", -1)]), mul([p(), x("s", -1)])]);
        column([first, add([mul([b(), x("h", -1)]), mul([q(), second])])])
    };
    told_apart(
        &pair,
        &Rewrite::BlockProduct,
        &reads(x("s", -1)),
        &reads(x("h", 0)),
    );

    let outer = |second: &str| {
        let cell = |of: &str, read: &str| mul([delta(of, 0), turned(x(read, -1))]);
        let body = Term::Matrix(vec![vec![cell("h", "h"), cell(second, "s")]]);
        sum('t', Time::at(1), Time::last(), body)
    };
    told_apart(&pair, &Rewrite::BlockOuter, &outer("h"), &outer("s"));
}

#[test]
fn rows_that_follow_rows() {
    let pair = derived(PAIR);
    let (a, b, p, q) = (|| w("A"), || w("B"), || w("P"), || w("Q"));
    let by = |m: Term, x: Term| mul([m, x]);
    let factored = Rewrite::FactorRows;
    let good = square(by(q(), a()), by(q(), b()), a(), b());
    let leading = Term::Matrix(vec![vec![a(), b()]]);
    gives(
        &pair,
        &factored,
        &good,
        &mul([column([q(), Term::Eye]), leading.clone()]),
    );
    let below = square(a(), b(), by(q(), a()), by(q(), b()));
    gives(
        &pair,
        &factored,
        &below,
        &mul([column([Term::Eye, q()]), leading]),
    );
    let two = square(by(q(), a()), by(p(), b()), a(), b());
    told_apart(&pair, &factored, &good, &two);
    let more = square(add([by(q(), a()), b()]), by(q(), b()), a(), b());
    told_apart(&pair, &factored, &good, &more);
    let two = square(add([by(q(), a()), b()]), by(p(), b()), a(), b());
    told_apart(&pair, &Rewrite::SplitRows, &norm(more), &norm(two));
}

#[test]
fn paths() {
    let (pair, lags) = (derived(PAIR), derived(LAGS));
    let answer = |of: &str, at: i64| jacobian(of, t(at), "h", k());
    told_apart(
        &pair,
        &Rewrite::WholeState,
        &column([answer("h", 0), answer("s", 0)]),
        &column([answer("h", 0), answer("s", -1)]),
    );
    // A value does not depend on later ones.
    gives(
        &lags,
        &Rewrite::LastStep,
        &jacobian("h", t(0), "h", t(-1)),
        &Quantity::Direct.of([&"h".into(), &"h".into()], [t(0), t(-1)]),
    );
    // The corner block is the whole derivative only for a single state.
    let corner = answer("h", 0);
    assert!(claim(&lags, &Rewrite::Corner, &corner, &loss()).ends_with("something else"));
    assert!(claim(&pair, &Rewrite::Corner, &corner, &loss()).ends_with("no rule is used there"));
    let gradient = |of: &str| Quantity::Gradient.of([&of.into()], [Time::at(0)]);
    told_apart(
        &pair,
        &Rewrite::Start,
        &column([gradient("h"), gradient("s")]),
        &column([gradient("s"), gradient("h")]),
    );
}

#[test]
fn what_is_linear() {
    let (pair, scalar) = (derived(PAIR), derived(SCALAR));
    let (a, b, m) = (|| w("A"), || w("B"), || w("P"));
    // A number can be a factor at any place of a product, once.
    let number = Rewrite::Factor(of_d("h", -1));
    let both = add([mul([w("a"), d("h", -1)]), mul([w("b"), d("h", -1)])]);
    let squared = add([mul([w("a"), d("h", -1)]), mul([d("h", -1), d("h", -1)])]);
    told_apart(&scalar, &number, &both, &squared);
    let halves = |x: Term| Term::Div(Box::new(x), Box::new(w("b")));
    gives(
        &scalar,
        &number,
        &add([mul([w("a"), d("h", -1)]), halves(d("h", -1))]),
        &mul([add([w("a"), halves(Term::Num(1.0))]), d("h", -1)]),
    );
    // A matrix before a vector and a row after it do not make a number.
    let sum_of = add([mul([a(), d("h", -1)]), mul([b(), d("h", -1)])]);
    let outer = mul([turned(a()), d("h", -1), turned(v("x", t(0)))]);
    told_apart(&pair, &number, &sum_of, &outer);

    let read = Rewrite::ReadOff(of_d("h", -1));
    let diagonal = Term::Diag(Box::new(d("h", -1)));
    let (good, squared) = (mul([a(), d("h", -1)]), mul([diagonal, d("h", -1)]));
    told_apart(&pair, &read, &good, &squared);
    let whole = Rewrite::ReadOff(Argument::States(t(-1)));
    let plus = |of: &str| Quantity::DPlus.of([&of.into()], [t(0)]);
    let step = |second: Term| {
        let matrix = square(a(), b(), m(), a());
        let stack = column([d("h", -1), d("s", -1)]);
        add([mul([matrix, stack]), column([plus("h"), second])])
    };
    told_apart(&pair, &whole, &step(plus("s")), &step(Term::Zero));

    let alone = Rewrite::Alone(of_d("h", 0));
    let good = add([mul([a(), d("h", 0)]), mul([b(), d("s", -1)])]);
    let follows = add([mul([a(), d("h", 0)]), mul([b(), d("s", 0)])]);
    told_apart(&pair, &alone, &good, &follows);
    told_apart(&pair, &alone, &good, &had([d("h", 0), d("s", -1)]));
    let at_once = mul([a(), d("h", 0)]);
    told_apart(
        &pair,
        &Rewrite::AtOnce,
        &at_once,
        &add([at_once.clone(), d("a", 0)]),
    );
    told_apart(
        &pair,
        &Rewrite::AtOnce,
        &at_once,
        &had([d("h", 0), d("h", 0)]),
    );
}

/// Replaces every part of a term for which `new` returns a term.
fn put(term: &Term, new: &impl Fn(&Term) -> Option<Term>) -> Term {
    new(term).unwrap_or_else(|| term.map(&mut |part| put(part, new)))
}

/// `δ` is sent back by the transpose of the Jacobian, and by no similar matrix.
#[test]
fn matrices_that_send_back() {
    type Wrong = fn(&Term) -> Option<Term>;
    let untransposed: Wrong = |t| match t {
        Term::T(x) if **x == w("A") => Some(w("A")),
        _ => None,
    };
    let other_order: Wrong = |t| match t {
        Term::T(x) if **x == w("A") => Some(turned(w("B"))),
        Term::T(x) if **x == w("B") => Some(turned(w("A"))),
        _ => None,
    };
    let bare: Wrong = |t| match t {
        Term::Pow(x, _) | Term::Div(x, _) => Some((**x).clone()),
        _ => None,
    };
    let signed: Wrong = |t| match t {
        Term::Mul(_) => Some(neg(t.clone())),
        _ => None,
    };
    for (value, wrong) in [
        ("A @ h", untransposed),
        ("A @ h", signed),
        ("A @ (B @ h)", other_order),
        ("A @ h^4", bare),
        ("A @ (h / (1 + x^2))", bare),
    ] {
        let derivation = derived(&format!(
            "dim H\ninput x[H], y[H]\nparam A[H, H], B[H, H]\nstate h[H]\n\
             h' = {value} + B @ x\nloss 0.5 * sum((h' - y)^2)\n"
        ));
        let line = derivation.equation("bridge.recursion").unwrap();
        let sent = |step: &&Step| matches!(step.site, Site::Line(Rewrite::Transposed(..)));
        let step = line.steps.iter().find(sent).unwrap();
        let Site::Line(rewrite) = &step.site else {
            panic!("{:?}", step.site)
        };
        let changed = put(&step.before, &wrong);
        assert_ne!(changed, step.before, "{value}");
        told_apart(&derivation, rewrite, &step.before, &changed);
    }
}

#[test]
fn sums_over_steps() {
    let rnn = derived(
        "
dim H
input x[H], y[H]
param A[H, H]
state h[H]
h' = tanh(A @ h + x)
loss 0.5 * sum((h' - y)^2)
",
    );
    let (one, last) = (|| Time::at(1), Time::last);
    let h = || v("h", t(0));
    let answer = |from: Time| jacobian("h", t(0), "h", from);
    let over = |from: Time, body: Term| sum('t', from, last(), body);
    let sent = |from: Time| mul([turned(answer(from)), h()]);

    told_apart(
        &rnn,
        &Rewrite::Rename('t', 'k'),
        &over(one(), h()),
        &over(one(), sent(k())),
    );
    told_apart(
        &rnn,
        &Rewrite::Horner,
        &over(k(), sent(k())),
        &over(k(), sent(k().plus(1))),
    );
    let next = k().plus(1);
    let later = mul([turned(answer(next.clone())), h()]);
    let later = sum('t', next.clone(), last(), later);
    gives(
        &rnn,
        &Rewrite::Horner,
        &over(k(), sent(k())),
        &add([
            v("h", k()),
            mul([turned(Quantity::StateJacobian.of([], [next])), later]),
        ]),
    );
    let triangle = |from: Time, low: Time| over(from, sum('k', low, t(0), sent(k())));
    let from_start = triangle(one(), Time::at(0));
    let late = triangle(Time::at(2), one());
    for rewrite in [Rewrite::Exchange, Rewrite::Window] {
        told_apart(&rnn, &rewrite, &triangle(one(), one()), &from_start);
        told_apart(&rnn, &rewrite, &triangle(one(), one()), &late);
    }
    let columns = |from: Time| sum('k', from, last(), over(k(), sent(k())));
    told_apart(
        &rnn,
        &Rewrite::Chunks,
        &columns(one()),
        &columns(Time::at(2)),
    );
    told_apart(
        &rnn,
        &Rewrite::OneLoss,
        &over(one(), h()),
        &over(Time::at(2), h()),
    );
    let x = || over(one(), v("x", t(0)));
    // The other factor must not be a sum, and must not vary with the summation variable.
    let beside = || h().at('t', &k());
    for refused in [over(one(), h()), h()] {
        told_apart(
            &rnn,
            &Rewrite::SumOut,
            &had([beside(), x()]),
            &had([refused, x()]),
        );
    }
    for form in [neg, turned] {
        gives(
            &rnn,
            &Rewrite::SumOut,
            &form(over(one(), h())),
            &over(one(), form(h())),
        );
    }
    told_apart(
        &rnn,
        &Rewrite::SumOut,
        &add([over(one(), h()), x()]),
        &add([over(Time::at(2), h()), x()]),
    );
    let recursion = |step: i64| add([h(), mul([turned(w("A")), delta("h", step)])]);
    told_apart(&rnn, &Rewrite::Restart, &recursion(1), &recursion(2));

    let beyond = |offset: i64| after(Base::Var('τ'), offset);
    let size = || norm(w("A"));
    let good = over(beyond(1), size());
    told_apart(&rnn, &Rewrite::Repeated, &good, &over(beyond(0), size()));
    told_apart(&rnn, &Rewrite::Repeated, &good, &over(beyond(1), norm(h())));
    // A recursion with a lag through another value is not unrolled.
    let lags = derived(LAGS);
    let sent = |line: Line| {
        let unrolled = Rewrite::UnrollLags(line);
        claim(
            &lags,
            &unrolled,
            &Quantity::Delta.of([&"h".into()], [k()]),
            &loss(),
        )
    };
    assert!(sent(Line::Recursion).ends_with("something else"));
    assert!(sent(Line::Delta("h".into())).ends_with("no rule is used there"));
}

#[test]
fn norms() {
    let (pair, lags, scalar) = (derived(PAIR), derived(LAGS), derived(SCALAR));
    let lstm = cell(Cell::lstm());
    let (h, x) = (|| v("h", t(0)), || v("x", t(0)));
    let (one, last) = (|| Time::at(1), Time::last);
    let outer = |a: Term, b: Term| Term::Frobenius(Box::new(mul([a, turned(b)])));
    told_apart(
        &pair,
        &Rewrite::NormOfOuter,
        &outer(h(), x()),
        &outer(w("A"), w("B")),
    );
    let square_of = |x: Term| Term::Pow(Box::new(norm(x)), 2);
    let squares = add([Term::Num(1.0), square_of(w("A")), square_of(w("B"))]);
    gives(
        &pair,
        &Rewrite::NormOfBlocks,
        &norm(square(w("A"), w("B"), Term::Zero, Term::Eye)),
        &Term::Call("sqrt".into(), vec![squares]),
    );
    // A function bounded by one, at every step, times a constant.
    let over = |factor: Term, of: Term| {
        let index = Index::new('t', Time::at(0), last());
        Term::over(Fold::Max, index, mul([factor, largest(of)]))
    };
    let (two, good) = (|| Term::Num(2.0), over(Term::Num(2.0), h()));
    told_apart(&pair, &Rewrite::Saturated, &good, &over(two(), x()));
    told_apart(&pair, &Rewrite::Saturated, &good, &over(norm(x()), h()));

    // Only for a gate are `y ⊙ (1 − y)` and `1 − y` bounded.
    let less = |y: Term| add([Term::Ones, neg(y)]);
    let range = Rewrite::Ranges;
    gives(
        &pair,
        &range,
        &largest(had([h(), less(h())])),
        &largest(less(h())),
    );
    let gate = || v("i", t(0));
    gives(
        &lstm,
        &range,
        &largest(had([gate(), less(gate())])),
        &Term::Num(0.25),
    );
    let both = |a: Term, b: Term| largest(less(had([a, b])));
    told_apart(&pair, &range, &both(h(), h()), &both(h(), x()));
    told_apart(&pair, &range, &both(h(), h()), &largest(less(h())));
    // An initial state is not bounded.
    let before = || v("h", t(-1));
    gives(
        &pair,
        &range,
        &largest(had([before(), x()])),
        &mul([largest(before()), largest(x())]),
    );
    gives(&pair, &range, &largest(had([h(), x()])), &largest(x()));
    let over_steps = |name: &str| {
        let index = Index::new('j', k().plus(1), t(0));
        Term::over(Fold::HadProd, index, v(name, Time::var('j')))
    };
    told_apart(
        &pair,
        &range,
        &largest(had([over_steps("h"), x()])),
        &largest(over_steps("x")),
    );
    assert!(claim(&scalar, &range, &over_steps("h"), &loss()).ends_with("no rule is used there"));
    gives(&scalar, &range, &norm(Term::Num(-2.0)), &Term::Num(2.0));

    let good = product(k().plus(1), norm(w("A")));
    told_apart(&pair, &Rewrite::Power, &good, &product(k(), norm(w("A"))));
    let signed = product(k().plus(1), v("h", Time::var('j')));
    told_apart(&scalar, &Rewrite::Power, &good, &signed);

    let (a, q) = (|| norm(w("A")), || norm(w("B")));
    let lots = || Base::Lots('t', 'k', 2);
    let distance = || Base::Minus('t', 'k');
    for base in [distance, lots] {
        let series =
            |from: Time, rest: Term| sum('t', from, last(), mul([power(q(), base()), rest]));
        let good = series(k(), a());
        told_apart(&lags, &Rewrite::Geometric, &good, &series(one(), a()));
        told_apart(&lags, &Rewrite::Geometric, &good, &series(k(), norm(x())));
    }
    // After the first, each power stands for as many steps as a lot has.
    let gap = || add([Term::Num(1.0), neg(q())]);
    let later = Term::Div(Box::new(mul([two(), q()])), Box::new(gap()));
    gives(
        &lags,
        &Rewrite::Geometric,
        &sum('t', k(), last(), mul([power(q(), lots()), a()])),
        &mul([a(), add([Term::Num(1.0), later])]),
    );
}

/// A bound may use only the letter that denotes its own factors.
#[test]
fn letters() {
    let lags = derived(LAGS);
    let line = lags.equation("bound.lags").unwrap();
    let step = &line.steps[0];
    let Site::Line(Rewrite::Shrinks(by_step, _)) = &step.site else {
        panic!("{:?}", step.site)
    };
    let other = Rewrite::Shrinks(by_step.clone(), Line::Letter("q".into()));
    assert!(lags.equation("let.q").is_some());
    let found = claim(&lags, &other, &step.before, &loss());
    assert!(found.ends_with("no rule is used there"), "{found}");

    // A maximum over the steps of a run is no bound beyond its ends.
    let scalar = derived(SCALAR);
    let below = Rewrite::Below(Line::Letter("M".into()));
    let Term::Over(Fold::Max, index, body) = &scalar.equation("let.M").unwrap().right else {
        panic!("no maximum")
    };
    let at = |step: Time| body.at(index.var, &step);
    for beyond in [t(-1), t(1)] {
        told_apart(&scalar, &below, &at(t(0)), &at(beyond));
    }
}
