//! Inputs added to a recurrence, and taken from it.

use bptt::cells::{Cell, Loss, Start};
use bptt::{Error, Recurrence, Wrt, check};

use crate::support::instance;

const SIZES: &[(&str, usize)] = &[("H", 3), ("K", 2), ("O", 2)];

fn bits(r: &Recurrence, wrt: Wrt<'_>) -> Vec<(String, Vec<u64>)> {
    let gradient = r.gradient(wrt).unwrap();
    // The data do not depend on the order of the inputs.
    let (params, _) = instance(r, SIZES, &[4, 3], 3);
    let mut batch = bptt::Batch::new(4, 2).with_lengths([4, 3]);
    for (i, name) in ["x", "y", "h0", "c0"].into_iter().enumerate() {
        let leaf = r.tape().leaf_named(name).unwrap();
        let size = if ["x", "y"].contains(&name) { 2 } else { 3 };
        let entry = |at: usize| (1.7 * (at + 10 * i) as f64).sin();
        batch = match leaf.ty().rate {
            bptt::Rate::Step => batch.with(
                name,
                ndarray::Array3::from_shape_fn((4, 2, size), |(t, b, k)| entry(t + 5 * b + 11 * k)),
            ),
            _ => batch.with(
                name,
                ndarray::Array2::from_shape_fn((2, size), |(b, k)| entry(b + 3 * k)),
            ),
        };
    }
    let found = gradient.evaluate(&params, &batch).unwrap();
    let mut all: Vec<_> = found
        .iter()
        .map(|(n, a)| (n.to_owned(), a.iter().map(|x| x.to_bits()).collect()))
        .collect();
    all.sort();
    all
}

/// A cell whose states are given inputs is the cell that was defined with them.
#[test]
fn states_may_start_at_inputs() {
    let defined = Cell::lstm()
        .start(Start::Input)
        .model("lstm", Loss::SquaredError)
        .unwrap();
    let plain = Cell::lstm().model("lstm", Loss::SquaredError).unwrap();
    let changed = plain
        .with_start_inputs(&[("h", "h0"), ("c", "c0")])
        .unwrap();
    let wrt = Wrt::Names(&["h0", "c0", "x", "W_f", "U_g", "b_i"]);
    assert_eq!(bits(&changed, wrt), bits(&defined, wrt));
    let (params, batch) = instance(&changed, SIZES, &[4, 3], 5);
    let certificate = check(&changed, &params, &batch).unwrap();
    assert!(certificate.passed(), "{certificate}");
    // The text of the copy says the same.
    let again = Recurrence::parse("lstm.rec", &changed.source().unwrap()).unwrap();
    assert_eq!(again.source().unwrap(), changed.source().unwrap());

    let refused = |r: &Recurrence, starts: &[(&str, &str)]| {
        r.with_start_inputs(starts).unwrap_err().to_string()
    };
    assert!(refused(&plain, &[("k", "k0")]).contains("no state named `k`"));
    assert!(refused(&plain, &[("h", "x")]).contains("`x` is used twice"));
    assert!(refused(&defined, &[("h", "start")]).contains("has a start of its own"));
    assert!(refused(&plain, &[("h", "a b")]).contains("a b"));
}

/// Masks and resets come on top.
#[test]
fn states_that_start_at_inputs_are_masked_and_reset() {
    let plain = Cell::rnn().model("rnn", Loss::SquaredError).unwrap();
    for changed in [
        plain
            .with_start_inputs(&[("h", "h0")])
            .unwrap()
            .with_resets("reset")
            .unwrap(),
        plain
            .with_mask("active")
            .unwrap()
            .with_start_inputs(&[("h", "h0")])
            .unwrap(),
    ] {
        let (params, batch) = instance(&changed, SIZES, &[5], 2);
        let certificate = check(&changed, &params, &batch).unwrap();
        assert!(certificate.passed(), "{certificate}");
    }
}

#[test]
fn outputs_without_their_inputs_are_left_out() {
    let text = "input x, y, z\nparam w\nstate h, s\nh' = tanh(w * h + x)\ns' = s + y\noutput h', s'\noutput both = h' * s'\n\
                loss (h' - y)^2\n";
    let r = Recurrence::parse("r.rec", text).unwrap();
    let of = |names: &[&str]| -> Vec<String> {
        let rest = r.without_inputs(names).unwrap();
        rest.outputs().map(Into::into).collect()
    };
    assert_eq!(of(&[]).len(), 4);
    assert_eq!(of(&["z"]).len(), 4);
    assert_eq!(of(&["y"]), ["h"]);
    assert_eq!(of(&["x", "z"]), ["s"]);
    let error = r.without_inputs(&["x", "y"]).unwrap_err();
    assert!(matches!(error, Error::Missing { .. }), "{error}");
    assert!(error.to_string().contains("[T, B]"), "{error}");
    let error = r.without_inputs(&["w"]).unwrap_err().to_string();
    assert!(error.contains("no input named `w`"), "{error}");
    // The rest has its parameters, and no other inputs.
    let rest = r.without_inputs(&["y"]).unwrap();
    assert_eq!(rest.inputs().collect::<Vec<_>>(), ["x", "z"]);
    assert_eq!(rest.states().collect::<Vec<_>>(), ["h"]);
    assert_eq!(rest.parameters().collect::<Vec<_>>(), ["w"]);
    let masked = r.with_mask("m").unwrap();
    assert!(
        masked.without_inputs(&["m"]).is_err(),
        "a mask is needed by all"
    );
}
