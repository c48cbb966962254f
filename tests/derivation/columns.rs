//! Broadcasts of columns and rows to the size of their neighbours: `A 𝟏` has the value of `A u uᵀ`, where `u`
//! is a column of ones with a size.

use crate::support::shorthand::{add, had, mul, neg, turned, w};
use bptt::Recurrence;
use bptt::derive::{Check, Instance, Quantity, Term, Time, compare};

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
    let x = || Quantity::Value.of([&"x".into()], [Time::var('t')]);
    let unit = || Term::Div(Box::new(x()), Box::new(x()));
    // Ones without a size, and with one.
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
        (turned(free(a())), turned(sized(a()))),
        (
            mul([turned(free(a())), b()]),
            mul([turned(sized(a())), b()]),
        ),
        (add([power(free(a())), b()]), add([power(sized(a())), b()])),
    ];
    for (free, sized) in same {
        let found = compare(line, &sized, &free, &runs);
        assert!(
            matches!(found, Ok(Check::Passed { .. })),
            "{free:?}: {found:?}"
        );
    }
    // The width must be determined by something.
    let norm = |x: Term| Term::Norm(Box::new(x));
    for open in [norm(free(a())), norm(turned(free(a())))] {
        let found = compare(line, &b(), &open, &runs);
        assert!(
            matches!(&found, Err(e) if e.contains("takes its size")),
            "{open:?}: {found:?}"
        );
    }
}

#[test]
fn rows_have_the_size_of_what_they_meet() {
    let derivation = Recurrence::parse("m", SOURCE).unwrap().derive().unwrap();
    let runs: Vec<Instance> = (1..4).map(|i| derivation.instance(i).unwrap()).collect();
    let line = derivation.equation("def.h").unwrap();
    let (a, b, ones) = (|| w("A"), || w("B"), || Term::Ones);
    let x = || Quantity::Value.of([&"x".into()], [Time::var('t')]);
    let unit = || Term::Div(Box::new(x()), Box::new(x()));
    let free = || mul([ones(), turned(x())]);
    let sized = || mul([unit(), turned(x())]);
    let square = || mul([unit(), turned(unit())]);
    let of_ones = || mul([ones(), turned(ones())]);
    let (two, number) = (
        || Term::Num(2.0),
        || Term::Inner(Box::new(x()), Box::new(x())),
    );
    let power = |x: Term| Term::Pow(Box::new(x), 2);
    let largest = |x: Term| Term::MaxNorm(Box::new(x));
    let same = [
        (add([free(), b()]), add([sized(), b()])),
        (add([b(), neg(free())]), add([b(), neg(sized())])),
        (add([free(), free(), b()]), add([sized(), sized(), b()])),
        (add([free(), ones(), b()]), add([sized(), square(), b()])),
        (
            add([free(), mul([two(), Term::Eye])]),
            add([sized(), mul([two(), Term::Eye])]),
        ),
        (
            add([mul([a(), ones()]), Term::Eye]),
            add([mul([a(), square()]), Term::Eye]),
        ),
        (had([free(), b()]), had([sized(), b()])),
        (
            had([had([free(), ones()]), b()]),
            had([had([sized(), square()]), b()]),
        ),
        (mul([a(), free()]), mul([a(), sized()])),
        (
            add([mul([free(), a()]), b()]),
            add([mul([sized(), a()]), b()]),
        ),
        (
            add([mul([number(), free()]), b()]),
            add([mul([number(), sized()]), b()]),
        ),
        (add([power(free()), b()]), add([power(sized()), b()])),
        (largest(free()), largest(sized())),
        // A matrix of ones is one factor.
        (
            add([mul([two(), of_ones()]), b()]),
            add([mul([two(), square()]), b()]),
        ),
        (mul([of_ones(), b()]), mul([square(), b()])),
        (
            add([mul([a(), of_ones()]), b()]),
            add([mul([a(), square()]), b()]),
        ),
    ];
    for (free, sized) in same {
        let found = compare(line, &sized, &free, &runs);
        assert!(
            matches!(found, Ok(Check::Passed { .. })),
            "{free:?}: {found:?}"
        );
    }
}
