//! A column side by side with itself, as often as what it meets is wide: `A 𝟏` has the value of
//! `A u uᵀ`, where `u` is a column of ones that has a size.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/shorthand.rs"]
mod shorthand;

use bptt::Recurrence;
use bptt::derive::{Check, Instance, Term, Time, compare};
use shorthand::{add, had, mul, neg, turned, w};

const SOURCE: &str = "
dim H
input x[H], y[H]
param A[H, H], B[H, H]
state h[H]
h' = tanh(A @ h + B @ x)
loss 0.5 * sum((h' - y)^2)
";

#[test]
fn columns_have_the_size_of_what_they_meet() {
    let derivation = Recurrence::parse("m", SOURCE).unwrap().derive().unwrap();
    let runs: Vec<Instance> = (1..4).map(|i| derivation.instance(i).unwrap()).collect();
    let line = derivation.equation("def.h").unwrap();
    let (a, b, ones) = (|| w("A"), || w("B"), || Term::Ones);
    let x = || Term::Value("x".into(), Some(Time::var('t')));
    let unit = || Term::Div(Box::new(x()), Box::new(x()));
    // Without a size of its own, and with it.
    let free = |m: Term| mul([m, ones()]);
    let sized = |m: Term| mul([m, unit(), turned(unit())]);
    let square = || mul([unit(), turned(unit())]);
    let (two, twice) = (|| Term::Num(2.0), |x: Term| add([x.clone(), x]));
    let number = || Term::Inner(Box::new(x()), Box::new(x()));
    let largest = |x: Term| Term::MaxNorm(Box::new(x));
    let power = |x: Term| Term::Pow(Box::new(x), 2);
    let same = [
        (free(a()), sized(a())),
        (add([free(a()), b()]), add([sized(a()), b()])),
        (add([neg(free(a())), b()]), add([neg(sized(a())), b()])),
        (
            add([free(a()), free(b()), b()]),
            add([sized(a()), sized(b()), b()]),
        ),
        (
            add([free(a()), ones(), b()]),
            add([sized(a()), square(), b()]),
        ),
        (had([free(a()), b()]), had([sized(a()), b()])),
        (
            had([had([free(a()), twice(ones())]), b()]),
            mul([two(), had([sized(a()), b()])]),
        ),
        (
            add([mul([a(), twice(ones())]), b()]),
            add([mul([two(), sized(a())]), b()]),
        ),
        (mul([a(), ones(), b()]), mul([sized(a()), b()])),
        (
            add([mul([b(), add([free(a()), ones()])]), b()]),
            add([mul([b(), add([sized(a()), square()])]), b()]),
        ),
        (
            add([mul([twice(Term::Eye), free(a())]), b()]),
            add([mul([two(), sized(a())]), b()]),
        ),
        (
            add([mul([number(), free(a())]), b()]),
            add([mul([number(), sized(a())]), b()]),
        ),
        (
            add([mul([free(a()), number()]), b()]),
            add([mul([number(), sized(a())]), b()]),
        ),
        (mul([twice(ones()), b()]), mul([two(), turned(unit()), b()])),
        (largest(free(a())), largest(sized(a()))),
        (add([power(free(a())), b()]), add([power(sized(a())), b()])),
    ];
    for (free, sized) in same {
        let found = compare(line, &sized, &free, &runs);
        assert!(
            matches!(found, Ok(Check::Passed { .. })),
            "{free:?}: {found:?}"
        );
    }
    // How wide it is must come from somewhere.
    let norm = |x: Term| Term::Norm(Box::new(x));
    for open in [
        turned(free(a())),
        norm(free(a())),
        mul([turned(free(a())), b()]),
    ] {
        let found = compare(line, &b(), &open, &runs);
        assert!(
            matches!(&found, Err(e) if e.contains("takes its size")),
            "{open:?}: {found:?}"
        );
    }
}
