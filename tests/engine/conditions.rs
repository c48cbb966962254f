//! Conditions, optima, saturation and unused parameters: the certificate tells them apart.

use bptt::check::{Remark, Route, Verdict, random_data};
use bptt::{Batch, Certificate, Check, Params, Recurrence, Wrt};
use ndarray::{Array2, Array3, arr0, array};

fn parse(text: &str) -> Recurrence {
    Recurrence::parse("r", text).unwrap()
}

fn wave(i: usize) -> f64 {
    (f64::from(u32::try_from(i).unwrap()) * 1.7 + 0.4).sin()
}

fn column(values: &[f64]) -> Array2<f64> {
    Array2::from_shape_vec((values.len(), 1), values.to_vec()).unwrap()
}

fn has(found: &Certificate, name: &str, remark: Remark) -> bool {
    found.remarks().any(|r| r == (name, remark))
}

/// No finding about it by a route that moves it.
fn is_still(found: &Certificate, name: &str) -> bool {
    let mut moved = found.findings().iter().filter(|f| f.name == name);
    moved.all(|f| ![Route::Differences, Route::SecondDifferences].contains(&f.route))
}

/// Resets, masks and thresholds of a user's own, directly and through other operations.
const CONDITIONS: [(&str, &str); 7] = [
    ("select(m, x, 0)", "a mask"),
    ("select(1 - m, 0, x)", "a mask through a difference"),
    ("select(0.5 < m, x, 2 * x)", "a mask that is compared"),
    ("x * (0.5 < m)", "a product with a comparison"),
    ("select(m + m == 2, x, 0)", "an equality"),
    ("x * sign(m)", "a sign"),
    (
        "select(max(m, 0) < 0.5, x, sin(x))",
        "a comparison of a maximum",
    ),
];

/// A mask decides what the other inputs are read as, so it is never moved, even if it is also a number.
#[test]
fn a_mask_is_a_condition() {
    for value in ["m * (x - a)^2", "select(m, x, 0) * a + m"] {
        let r = parse(&format!(
            "applied mask input m\ninput x\nparam a\nloss {value}\n"
        ));
        let batch = Batch::new(4, 1)
            .with("x", column(&[0.5, f64::NAN, 0.7, 0.2]))
            .with("m", column(&[1.0, 0.0, 1.0, 1.0]));
        let params = Params::new().with("a", arr0(0.7));
        let found = bptt::check(&r, &params, &batch).unwrap();
        assert!(found.passed() && is_still(&found, "m"), "{value}: {found}");
        assert!(has(&found, "m", Remark::Condition), "{value}: {found}");
    }
}

#[test]
fn conditions_are_not_perturbed_and_have_no_derivative() {
    for (value, what) in CONDITIONS {
        let text = format!("input x, m\nparam a\nstate h\nh' = tanh(a * h + {value})\nloss h'^2\n");
        let r = parse(&text);
        let outputs = r.gradient(Wrt::Everything).unwrap();
        assert_eq!(
            outputs.outputs().collect::<Vec<_>>(),
            ["loss", "x", "a"],
            "{what}"
        );
        let named = r.gradient(&["m"]).unwrap();
        let x = column(&[0.3, -0.8, 0.7, 0.2, -0.4, 0.9]);
        // Two patterns: half of the steps, and none of them.
        for m in [[1.0, 0.0, 1.0, 1.0, 0.0, 1.0], [0.0; 6]] {
            let batch = Batch::new(6, 1).with("x", x.clone()).with("m", column(&m));
            let params = Params::new().with("a", arr0(0.7));
            let found = bptt::check(&r, &params, &batch).unwrap();
            assert_ne!(found.verdict(), Verdict::Rejected, "{what}: {found}");
            if m[0] == 1.0 {
                assert!(found.passed(), "{what}: {found}");
            }
            assert!(has(&found, "m", Remark::Condition), "{what}: {found}");
            assert!(is_still(&found, "m"), "{what}: {found}");
            let zero = named.evaluate(&params, &batch).unwrap();
            assert!(zero["m"].iter().all(|x| *x == 0.0), "{what}");
        }
    }
}

#[test]
fn resets_and_masks_are_conditions_of_the_recurrence() {
    let r = parse("input x\nparam a, s0\nstate s = s0\ns' = tanh(a * s + x)\nmean loss s'^2\n");
    let x = Array2::from_shape_fn((5, 2), |(t, b)| wave(2 * t + b));
    let flags = array![[0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 1.0], [0.0, 0.0]];
    let params = Params::new().with("a", arr0(0.7)).with("s0", arr0(-0.3));
    for (r, name, flags) in [
        (r.with_resets("reset").unwrap(), "reset", flags.clone()),
        (r.with_mask("mask").unwrap(), "mask", 1.0 - flags),
    ] {
        let batch = Batch::new(5, 2).with("x", x.clone()).with(name, flags);
        let found = bptt::check(&r, &params, &batch).unwrap();
        assert!(found.passed(), "{found}");
        assert!(has(&found, name, Remark::Condition), "{found}");
        let gradient = r.gradient(Wrt::Everything).unwrap();
        assert!(gradient.outputs().all(|o| o != name));
    }
}

#[test]
fn a_mask_that_is_also_a_number_moves_where_it_can() {
    let r =
        parse("input x, m\nparam a\nstate h\nh' = select(m, tanh(a * h + x), h)\nloss m * h'^2\n");
    let x = column(&[0.3, -0.8, 0.7, 0.2, -0.4, 0.9]);
    let params = Params::new().with("a", arr0(0.7));
    for m in [[1.0, 0.0, 1.0, 1.0, 0.0, 1.0], [0.0; 6]] {
        let batch = Batch::new(6, 1).with("x", x.clone()).with("m", column(&m));
        let found = bptt::check(&r, &params, &batch).unwrap();
        if m[0] == 1.0 {
            assert!(found.passed(), "{found}");
            assert!(!is_still(&found, "m"), "its ones are moved: {found}");
        } else {
            assert!(has(&found, "m", Remark::Condition), "{found}");
            assert_ne!(found.verdict(), Verdict::Rejected, "{found}");
        }
    }
}

/// Neither a parameter nor an input with other numbers than 0 and 1 is taken for a flag, even where every step to a
/// side of it crosses a kink.
#[test]
fn a_number_at_a_kink_is_not_a_condition() {
    for (text, name, at) in [
        ("input x, m\nparam b\nloss max(b, 0) * m * x\n", "b", 0.0),
        ("input x, m\nparam b\nloss b * max(m, 2) * x\n", "m", 2.0),
    ] {
        let r = parse(text);
        let x = column(&[0.3, -0.8, 0.7]);
        let batch = Batch::new(3, 1).with("x", x).with("m", column(&[at; 3]));
        let found = bptt::check(&r, &Params::new().with("b", arr0(at)), &batch).unwrap();
        assert!(has(&found, name, Remark::Kink), "{text}{found}");
        assert!(!has(&found, name, Remark::Condition), "{text}{found}");
    }
}

#[test]
fn a_real_input_that_decides_a_branch_is_perturbed() {
    let r = parse("input x\nparam a\nloss select(0 < x, a * x, a * (exp(x) - 1))\n");
    let batch = Batch::new(3, 1).with("x", column(&[0.5, -0.3, 1.2]));
    let found = bptt::check(&r, &Params::new().with("a", arr0(0.7)), &batch).unwrap();
    assert!(found.passed(), "{found}");
    assert!(!is_still(&found, "x"), "{found}");
}

#[test]
fn unused_stationary_and_saturated_parameters_are_told_apart() {
    // `w` is at its optimum, `v` saturates the second output, `u` is not used.
    let r = parse(
        "input x, y\nparam w, v, u\nunused = u * x\noutput unused\n\
         loss 0.5 * (w * x - y)^2 + 1000 + tanh(v)\n",
    );
    let (xs, ys) = ([1.0, 2.0, 4.0], [1.1, 1.9, 4.2]);
    let dot = |a: [f64; 3], b: [f64; 3]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let params = Params::new()
        .with("w", arr0(dot(xs, ys) / dot(xs, xs)))
        .with("v", arr0(25.0))
        .with("u", arr0(0.3));
    let batch = Batch::new(3, 1)
        .with("x", column(&xs))
        .with("y", column(&ys));
    let found = bptt::check(&r, &params, &batch).unwrap();
    assert_ne!(found.verdict(), Verdict::Rejected, "{found}");
    assert!(has(&found, "u", Remark::Unused), "{found}");
    assert!(has(&found, "w", Remark::Stationary), "{found}");
    assert!(has(&found, "v", Remark::Flat), "{found}");
    let text = found.to_string();
    for remark in [Remark::Unused, Remark::Stationary, Remark::Flat] {
        assert!(text.contains(remark.sentence()), "{text}");
    }
    assert!(!text.contains("other data"), "{text}");
}

#[test]
fn a_fit_of_a_large_loss_is_certified_at_its_optimum() {
    // The loss is large and its gradient zero: differences see zero to rounding.
    let r = parse("input x, y\nparam w\nloss 0.5 * (w * x - y)^2\n");
    let x: Vec<f64> = (0..40).map(|i| 100.0 * wave(i)).collect();
    let y: Vec<f64> = (0..40).map(|i| 300.0 * wave(3 * i + 1)).collect();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let params = Params::new().with("w", arr0(dot(&x, &y) / dot(&x, &x)));
    let batch = Batch::new(40, 1)
        .with("x", column(&x))
        .with("y", column(&y));
    let found = bptt::check(&r, &params, &batch).unwrap();
    assert!(found.passed(), "{found}");
    assert!(has(&found, "w", Remark::Stationary), "{found}");
    let text = found.to_string();
    assert!(text.contains("the gradient is zero here"), "{text}");
}

/// From some point on the derivative is below the rounding of the differences, and nowhere is it
/// rejected.
#[test]
fn verdicts_are_monotone_in_saturation() {
    let losses = [
        "loss F(x * p)",
        "loss (F(x * p) - 0.25)^2",
        "loss 1 - F(x * p)",
        "loss 100 + F(x * p)",
        "state h\nh' = F(x * p + 0.5 * h)\nloss h'^2",
    ];
    for function in ["tanh", "sigmoid"] {
        for loss in losses {
            let loss = loss.replace('F', function);
            let r = parse(&format!("input x\nparam p\n{loss}\n"));
            let mut hidden = None;
            for i in 0..=80_u8 {
                let wide = 0.5 * f64::from(i);
                // Every second number is one of `f32`.
                let x = if i % 2 == 0 {
                    wide
                } else {
                    f64::from(0.515 * f32::from(i))
                };
                let params = Params::new().with("p", arr0(1.0));
                let batch = Batch::new(2, 1).with("x", column(&[x; 2]));
                let found = Check::new(&r).entries(1).run(&params, &batch).unwrap();
                match (found.verdict(), hidden) {
                    (Verdict::Certified, None) => {}
                    (Verdict::Incomplete, _) => {
                        let known = [Remark::Faint, Remark::Flat];
                        assert!(found.remarks().any(|(_, r)| known.contains(&r)), "{found}");
                        hidden = hidden.or(Some(x));
                    }
                    (Verdict::Certified, Some(before)) => {
                        panic!("{loss}: incomplete at {before}, certified at {x}: {found}")
                    }
                    (_, _) => panic!("{loss} at {x}: {found}"),
                }
            }
        }
    }
}

#[test]
fn long_data_is_certified_on_its_first_steps_and_compared_on_all() {
    let r = parse(
        "dim H, K\ninput x[K], y[H]\nparam A[H, H], W[H, K], b[H], h0[H]\nstate h[H] = h0\n\
         h' = tanh(A @ h + W @ x + b)\nloss 0.5 * sum((h' - y)^2)\n",
    );
    let (h, k, steps) = (3, 2, 20_000);
    let params = Params::new()
        .with(
            "A",
            Array2::from_shape_fn((h, h), |(i, j)| 0.5 * wave(3 * i + j)),
        )
        .with(
            "W",
            Array2::from_shape_fn((h, k), |(i, j)| wave(2 * i + j + 9)),
        )
        .with("b", ndarray::Array1::from_shape_fn(h, wave))
        .with("h0", ndarray::Array1::from_shape_fn(h, |i| wave(i + 4)));
    let batch = Batch::new(steps, 1)
        .with(
            "x",
            Array3::from_shape_fn((steps, 1, k), |(t, _, i)| wave(2 * t + i)),
        )
        .with(
            "y",
            Array3::from_shape_fn((steps, 1, h), |(t, _, i)| wave(3 * t + i)),
        );
    let found = Check::new(&r)
        .entries(1)
        .steps(40)
        .run(&params, &batch)
        .unwrap();
    assert!(found.passed(), "{found}");
    let extent = found.extent();
    assert_eq!(extent.steps, 40);
    assert_eq!(extent.of_steps, steps);
    let all = |f: &&bptt::check::Finding| f.route == Route::AllSteps;
    assert_eq!(found.findings().iter().filter(all).count(), 6, "{found}");
    assert!(found.to_string().contains("of 20000 steps"), "{found}");
}

#[test]
fn the_place_of_a_scalar_and_of_a_direction_is_not_empty_words() {
    let r = parse("param a\ninput x\nloss a^2 + 0 * x\n");
    let wrong = parse("param a\ninput x\nloss a^3 + 0 * x\n")
        .gradient(Wrt::Everything)
        .unwrap();
    let batch = Batch::new(1, 1).with("x", column(&[0.5]));
    let params = Params::new().with("a", arr0(1.5));
    let found = Check::new(&r)
        .gradient(&wrong)
        .run(&params, &batch)
        .unwrap();
    assert_eq!(found.verdict(), Verdict::Rejected, "{found}");
    let text = found.to_string();
    assert!(
        !text
            .lines()
            .any(|l| l.ends_with(" at") || l.ends_with(" at ")),
        "{text}"
    );
}

#[test]
fn the_place_of_a_gradient_that_is_not_finite_is_named() {
    let r = parse("input x\nparam a\nloss sqrt(a * x)\n");
    let batch = Batch::new(3, 2).with("x", array![[1.0, 2.0], [3.0, 0.0], [1.0, 1.0]]);
    let params = Params::new().with("a", arr0(1.0));
    let error = bptt::check(&r, &params, &batch).unwrap_err().to_string();
    let same = r.gradient(Wrt::Everything).unwrap();
    let same = same.evaluate(&params, &batch).unwrap_err().to_string();
    assert_eq!(error, same);
    assert!(error.contains("step 1 of sample 1"), "{error}");
}

/// Many parameters without influence are named and not compared; the others are certified as ever.
#[test]
fn very_many_unused_parameters_are_named_only() {
    let mut text: String = (0..5000).map(|i| format!("param p{i} = 0.1\n")).collect();
    text +=
        "param w[H, H], v[K]\ninput x[H]\nstate h[H]\nh' = tanh(W @ h + x + p3)\nloss sum(h'^2)\n";
    let text = format!("dim H, K\n{text}").replace("w[H, H]", "W[H, H]");
    let r = Recurrence::parse("unused.rec", &text).unwrap();
    let (params, batch) = random_data(&r, &[("H", 2), ("K", 3)], &[4, 3], 1).unwrap();
    let found = bptt::check(&r, &params, &batch).unwrap();
    assert!(found.passed(), "{found}");
    let names: Vec<&str> = found.findings().iter().map(|f| &*f.name).collect();
    for name in ["W", "x", "p3"] {
        assert!(names.contains(&name), "{name} is compared");
    }
    assert!(!names.contains(&"p4"));
    for name in ["p4", "p4999", "v"] {
        assert!(has(&found, name, Remark::Unused), "{name}");
    }
    let missing = Params::new();
    assert!(
        bptt::check(&r, &missing, &batch).is_err(),
        "all data is asked for"
    );
}
