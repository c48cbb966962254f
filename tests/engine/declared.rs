//! Declared derivatives: values that derivatives take as constant, and values with the derivative of another.

use bptt::check::{Remark, Verdict, random_data};
use bptt::{Batch, Check, Outputs, Params, Recurrence, Wrt};
use ndarray::{arr0, array};

use crate::support::engines::EveryEngine as _;

fn parse(text: &str) -> Recurrence {
    Recurrence::parse("r", text).unwrap()
}

fn close(a: &Outputs<f64>, b: &Outputs<f64>, names: &[&str], tolerance: f64) {
    for name in names {
        let (a, b) = (&a[name], &b[name]);
        let size = a.iter().fold(1e-3, |m: f64, x| m.max(x.abs()));
        for (x, y) in a.iter().zip(b) {
            assert!((x - y).abs() <= tolerance * size, "{name}: {x} {y}");
        }
    }
}

const SIZES: [(&str, usize); 2] = [("H", 3), ("K", 2)];
const LENGTHS: [usize; 2] = [5, 4];

/// A recurrence with `held` as the equation of `v`.
fn with(held: &str) -> String {
    format!(
        "dim H, K\ninput x[K]\nsample input h0[H]\nparam W[H, H], U[H, K], b[H]\nstate h[H] = h0\n\
         z = W @ h + U @ x + b\ng = tanh(W @ x_wide)\nx_wide = U @ x + h\n{held}\n\
         h' = 0.5 * h + v * tanh(z)\noutput z, g, h'\nloss sum(h'^2) + dot(v, z)\n"
    )
}

/// The gradient is that of the recurrence in which the held values are data.
#[test]
fn a_held_value_is_data_to_every_derivative() {
    let cases = [
        ("v = stop_gradient(g * z)", "g * z", "v = c"),
        (
            "v = surrogate(floor(3 * g), sin(z))",
            "floor(3 * g) - sin(z)",
            "v = c + sin(z)",
        ),
        (
            "v = surrogate(g > 0, sigmoid(g))",
            "(g > 0) - sigmoid(g)",
            "v = c + sigmoid(g)",
        ),
        ("v = surrogate(stop_gradient(g), z)", "g - z", "v = c + z"),
        ("v = stop_gradient(surrogate(g, z))", "g", "v = c"),
    ];
    for (held, of, data) in cases {
        let r = parse(&format!("{}output c = {of}\n", with(held)));
        let (params, batch) = random_data(&r, &SIZES, &LENGTHS, 3).unwrap();
        let values = r.evaluate(&params, &batch).unwrap();
        let other = parse(&format!("input c[H]\n{}", with(data)).replacen(
            "input c[H]\ndim H, K\n",
            "dim H, K\ninput c[H]\n",
            1,
        ));
        let known = batch.clone().with("c", values["c"].clone());
        let names = ["loss", "W", "U", "b", "x", "h0"];
        let gradient = r.gradient(Wrt::Names(&names[1..])).unwrap();
        let expected = other.gradient(Wrt::Names(&names[1..])).unwrap();
        let expected = expected.evaluate(&params, &known).unwrap();
        let found = gradient.on_every_engine(&params, &batch).unwrap();
        close(&found, &expected, &names, 1e-12);
        let tape = r.unroll_for(&params, &batch).unwrap();
        let tape = tape
            .gradient(&names[1..])
            .unwrap()
            .evaluate(&params, &batch)
            .unwrap();
        close(&tape, &expected, &names, 1e-12);
        let certificate = bptt::check(&r, &params, &batch).unwrap();
        assert!(certificate.passed(), "{held}: {certificate}");
        // Without the declaration, the gradient is another one.
        let plain = held
            .replace("stop_gradient", "")
            .replace("surrogate(floor(3 * g), ", "(")
            .replace("surrogate(g > 0, ", "(");
        let wrong = parse(&with(
            &plain
                .replace("surrogate((g), z)", "(g)")
                .replace("(surrogate(g, z))", "(g)"),
        ));
        let wrong = wrong.gradient(Wrt::Everything).unwrap();
        let found = Check::new(&r)
            .gradient(&wrong)
            .run(&params, &batch)
            .unwrap();
        assert_eq!(found.verdict(), Verdict::Rejected, "{held}: {found}");
    }
}

#[test]
fn differences_do_not_see_kinks_behind_a_held_value() {
    // Every step has a potential at the threshold.
    let r = parse(
        "input x\nparam a\nstate u\nu' = 0.5 * u + a * x\ns = surrogate(u' > 1, sigmoid(u'))\nloss (s - 0.3)^2\n",
    );
    let batch = Batch::new(3, 1).with("x", array![[1.0], [0.5], [0.5]]);
    let params = Params::new().with("a", arr0(1.0));
    let found = bptt::check(&r, &params, &batch).unwrap();
    assert!(found.passed(), "{found}");
}

#[test]
fn a_stopped_parameter_is_told_and_never_moved() {
    let r = parse(
        "input x\nparam a, b, c, d\nstate h\nh' = a * h + stop_gradient(b) * x + (x > c)\nloss h'^2 + d * floor(b)\n",
    );
    assert_eq!(r.parameters_without_gradient().unwrap(), ["b", "c"]);
    let (params, batch) = random_data(&r, &[], &[4, 3], 1).unwrap();
    let found = bptt::check(&r, &params, &batch).unwrap();
    assert!(found.passed(), "{found}");
    let remark = |name: &str| found.remarks().find(|r| r.0 == name).map(|r| r.1);
    assert_eq!(remark("b"), Some(Remark::Stopped));
    assert_eq!(remark("c"), Some(Remark::Condition));
    assert_eq!(remark("a"), None);
    let gradient = r.gradient(Wrt::Parameters).unwrap();
    let gradient = gradient.evaluate(&params, &batch).unwrap();
    assert_eq!((gradient["b"].sum(), gradient["c"].sum()), (0.0, 0.0));
}

#[test]
fn a_surrogate_has_the_second_derivative_of_its_second_argument() {
    let r = parse("param a\nloss surrogate(a > 0, a^3) * a\n");
    let params = Params::new().with("a", arr0(2.0)).with("a.dot", arr0(1.0));
    let hessian = r.hessian_vector(Wrt::Parameters).unwrap();
    let found = hessian.on_every_engine(&params, &Batch::new(1, 1)).unwrap();
    // L = s a with s = 1, s' = 3 a², s'' = 6 a: L'' = 2 s' + s'' a.
    assert_eq!(found["a"].sum(), 2.0 * 12.0 + 12.0 * 2.0);
}

#[test]
fn arguments_of_other_shapes_are_refused() {
    for text in [
        "surrogate(x, y)",
        "surrogate(x)",
        "stop_gradient(x, y)",
        "stop_gradient(c)",
    ] {
        let text = format!("dim H, K\ninput x[H], y[K], c: class(H)\nloss sum({text})\n");
        let found = Recurrence::parse("r", &text);
        assert!(found.is_err(), "{text}");
    }
    let spread = parse("dim H\ninput x[H]\nloss sum(surrogate(1, x))\n");
    let (params, batch) = random_data(&spread, &[("H", 3)], &[2], 1).unwrap();
    assert_eq!(
        spread.evaluate(&params, &batch).unwrap().loss().unwrap(),
        6.0
    );
    let gradient = spread.gradient(&["x"]).unwrap();
    let found = gradient.evaluate(&params, &batch).unwrap();
    assert!(found["x"].iter().all(|x| *x == 1.0));
}

#[test]
fn the_position_of_the_largest_entry_is_certified() {
    let r = parse("dim H\ninput x[H]\nparam A[H, H], w[H]\nh = tanh(A @ x)\nB = outer(h, w)\n\
        loss argmax(h) * sum(h) + dot(argmax(B, rows), h) + sum(argmax(B, columns)) * w[0:1] @ w[0:1]\n"
        .replace("dim H", "dim H >= 1").as_str());
    for seed in 0..6 {
        let (params, batch) = random_data(&r, &[("H", 3)], &[4, 3], seed).unwrap();
        let found = bptt::check(&r, &params, &batch).unwrap();
        assert!(found.passed(), "{seed}: {found}");
    }
}

/// Equal entries are a kink, where differences say nothing, and no wrong gradient.
#[test]
fn entries_that_tie_are_not_rejected() {
    for text in [
        "input x[4]\ns = surrogate(x > 0, sigmoid(x))\nloss max(s)\n",
        "input x[4]\ns = surrogate(floor(x), x)\nloss sum(max([s, s], rows)) + min(s)\n",
    ] {
        let r = parse(text);
        for seed in 0..4 {
            let (params, batch) = random_data(&r, &[], &[3], seed).unwrap();
            let found = bptt::check(&r, &params, &batch).unwrap();
            assert_ne!(found.verdict(), Verdict::Rejected, "{text}: {found}");
        }
    }
}

#[test]
fn a_declared_derivative_has_no_standard_errors() {
    let batch = Batch::new(3, 1).with("x", array![[1.0], [2.0], [4.0]]);
    for (text, told) in [
        (
            "input x\nparam mu\nloss 0.5 * (x - surrogate(mu, 2 * mu))^2\n",
            true,
        ),
        (
            "input x\nparam mu\nloss 0.5 * (x - mu)^2 + 0 * stop_gradient(mu)\n",
            true,
        ),
        (
            "input x\nparam mu\nloss 0.5 * (stop_gradient(x) - mu)^2\n",
            false,
        ),
    ] {
        let params = Params::new().with("mu", arr0(7.0 / 3.0));
        let found = bptt::fit::infer(&parse(text), &params, &batch);
        match told {
            true => {
                let text = found.unwrap_err().to_string();
                assert!(text.contains("declares the derivative by `mu`"), "{text}");
            }
            false => drop(found.unwrap()),
        }
    }
}
