//! What the certification says where it is hard to say: it must not certify what it could not
//! see, and not reject what is right.

use std::sync::Arc;

use bptt::check::{Route, Verdict};
use bptt::{Batch, Certificate, CustomOp, Definition, Expr, Params, Recurrence, ScalarFunction};
use ndarray::{Array2, Array3, arr0};

/// The square with a derivative that is half as large again as it should be.
fn wrong_square() -> Arc<dyn CustomOp> {
    Arc::new(ScalarFunction {
        name: "square",
        eval: |x| x * x,
        derivative: |x, _| 3.0 * x,
    })
}

/// Certifies a recurrence of scalars.
fn certify(params: &[(&str, f64)], f: impl FnOnce(&Definition)) -> Certificate {
    let r = Recurrence::define("scalars", f).unwrap();
    let params = params
        .iter()
        .fold(Params::new(), |p, (name, x)| p.with(name, arr0(*x)));
    bptt::check(&r, &params, &Batch::new(1, 1)).unwrap()
}

#[test]
fn a_wrong_rule_is_seen_beside_a_large_and_rough_term() {
    for (size, offset) in [(1e5, 1e7), (1.0, 1e9), (1e3, 0.0)] {
        let found = certify(&[("w", 1.5), ("u", 0.3)], |r| {
            let (w, u) = (r.param("w", ()), r.param("u", ()));
            r.final_loss(Expr::custom(&wrong_square(), [w]) + size * (u + offset).cos());
        });
        assert_ne!(found.verdict(), Verdict::Certified, "{found}");
    }
}

#[test]
fn a_route_that_could_not_say_anything_is_not_agreement() {
    let found = certify(&[("p", 1.5)], |r| {
        let p = r.param("p", ());
        r.loss(Expr::custom(&wrong_square(), [p]) + (p - 1.5).relu());
    });
    assert_eq!(found.verdict(), Verdict::Incomplete, "{found}");
    assert!(found.to_string().contains("not resolved"), "{found}");
    let found = certify(&[], |r| r.loss(r.constant(1.0)));
    assert_eq!(
        found.verdict(),
        Verdict::Incomplete,
        "nothing was compared: {found}"
    );
}

#[test]
fn a_gradient_that_is_zero_is_right_when_it_should_be() {
    let found = certify(&[("p", 0.3), ("q", -1.2)], |r| {
        let (p, q) = (r.param("p", ()), r.param("q", ()));
        r.loss(bptt::concat([p.spread([1]), q.spread([1])]).softmax().sum());
    });
    assert!(found.passed(), "{found}");
}

#[test]
fn a_gradient_at_an_optimum_is_certified() {
    // The least-squares slope of these points, to rounding: the gradient is a difference of large
    // terms that leaves next to nothing.
    let (xs, ys) = ([1.0, 2.0, 4.0], [1.1, 1.9, 4.2]);
    let dot = |a: [f64; 3], b: [f64; 3]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let r = Recurrence::define("line", |r| {
        let (x, y) = (r.input("x", ()), r.input("y", ()));
        r.loss((r.param("w", ()) * x).squared_error(y));
    })
    .unwrap();
    let column = |v: [f64; 3]| Array2::from_shape_fn((3, 1), |(t, _)| v[t]);
    let batch = Batch::new(3, 1).with("x", column(xs)).with("y", column(ys));
    let params = Params::new().with("w", arr0(dot(xs, ys) / dot(xs, xs)));
    let found = bptt::check(&r, &params, &batch).unwrap();
    assert!(found.passed(), "{found}");
}

#[test]
fn an_offset_of_the_loss_does_not_make_it_wrong() {
    let found = certify(&[("p", 0.7)], |r| r.loss(r.param("p", ()).sin() + 1e6));
    assert_ne!(found.verdict(), Verdict::Rejected, "{found}");
}

#[test]
fn a_mask_is_certified_with_what_it_masks() {
    let r = Recurrence::define("masked", |r| {
        let h = r.state("h", [3]);
        let w = r.param("W", [3, 3]);
        let h = r.next(h, (w.dot(h) + r.input("x", [3])).tanh());
        r.loss(h.square().sum());
    })
    .unwrap();
    let r = r.with_mask("active").unwrap();
    let wave = |i: usize| (f64::from(u32::try_from(i).unwrap()) * 1.7 + 0.4).sin();
    let mut active = Array2::ones((4, 2));
    active[(1, 0)] = 0.0;
    active[(3, 1)] = 0.0;
    let params = Params::new().with("W", Array2::from_shape_fn((3, 3), |(i, j)| wave(3 * i + j)));
    let x = Array3::from_shape_fn((4, 2, 3), |(t, b, i)| wave(6 * t + 3 * b + i + 9));
    let batch = Batch::new(4, 2).with("x", x).with("active", active);
    let found = bptt::Check::new(&r)
        .entries(8)
        .run(&params, &batch)
        .unwrap();
    assert!(found.passed(), "{found}");
    let second = |f: &&bptt::check::Finding| f.route == Route::SecondDifferences;
    assert!(
        found
            .findings()
            .iter()
            .filter(second)
            .all(|f| f.compared > 0),
        "{found}"
    );
}

#[test]
fn the_report_names_the_step_the_sample_and_the_entry() {
    let r = Recurrence::define("report", |r| {
        let x = r.input("x", [2]);
        r.loss(Expr::custom(&wrong_square(), [x]).sum());
    })
    .unwrap();
    let x = Array3::from_shape_fn(
        (3, 2, 2),
        |(t, b, i)| if (t, b, i) == (2, 1, 0) { 2.0 } else { 0.0 },
    );
    let found = bptt::Check::new(&r)
        .entries(12)
        .run(&Params::new(), &Batch::new(3, 2).with("x", x));
    let found = found.unwrap();
    assert_eq!(found.verdict(), Verdict::Rejected, "{found}");
    let differences = |f: &&bptt::check::Finding| f.route == Route::Differences;
    let finding = found.findings().iter().find(differences).unwrap();
    assert_eq!(
        (finding.step, finding.sample),
        (Some(2), Some(1)),
        "{found}"
    );
    assert!(
        found
            .to_string()
            .contains(" at step 2, sample 1, entry [0]"),
        "{found}"
    );
    assert_eq!(finding.entry, [0], "{found}");
}
