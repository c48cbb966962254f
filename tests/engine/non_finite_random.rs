//! The origin of a value that is not finite, in random recurrences: the compiled program names the same
//! operation, step, sample and entry as the evaluator, which checks every node at every step.

use crate::support::Noise;
use bptt::{Batch, Params, Recurrence, Wrt};
use ndarray::Array2;

fn parse(text: &str) -> Recurrence {
    Recurrence::parse("random.rec", text).unwrap_or_else(|e| panic!("{text}\n{e}"))
}

/// The origin found by both engines, which must agree.
fn found(r: &Recurrence, params: &Params<f64>, batch: &Batch<f64>) -> Option<String> {
    let program = r.compile_for::<f64>(params, batch).unwrap();
    let mut workspace = program.workspace();
    let fails = program.run(params, batch, &mut workspace).is_err();
    let found = program
        .find_non_finite(params, batch, &mut workspace)
        .unwrap();
    let found = found.map(|error| error.to_string());
    let expected = r.evaluate(params, batch).err().map(|e| e.to_string());
    assert_eq!(fails, expected.is_some(), "{r}\n{expected:?}");
    assert_eq!(
        found,
        expected,
        "\n{r}\nlengths {:?}",
        batch.lengths().collect::<Vec<_>>()
    );
    found
}

fn pick<'a>(noise: &mut Noise, choices: &[&'a str]) -> &'a str {
    choices[usize::try_from(noise.bits() % choices.len() as u64).unwrap()]
}

fn below(noise: &mut Noise, n: usize) -> usize {
    usize::try_from(noise.bits() % n as u64).unwrap()
}

/// A recurrence with a few states; only entries of `x` that are not positive produce values that are not
/// finite.
fn recurrence(noise: &mut Noise) -> String {
    let states = 1 + below(noise, 3);
    let backward = below(noise, 3) == 0;
    let mut text = String::from("input x, g\nparam a = 1, c = 0.5\n");
    let names: Vec<String> = (0..states).map(|i| format!("s{i}")).collect();
    text += &format!("state {}\n", names.join(", "));
    if backward {
        text += "backward state k\n";
    }
    let fresh = [
        "ln(a * x)",
        "sqrt(x)",
        "1 / max(x, 0)",
        "ln(delay(x, 1.0))",
        "x",
        "g",
        "exp(400 * (1 - x))",
    ];
    let term = |noise: &mut Noise, known: &[String]| {
        let any = pick(noise, &fresh).to_owned();
        let state = match known.is_empty() {
            true => "g".into(),
            false => known[below(noise, known.len())].clone(),
        };
        match below(noise, 7) {
            0 => format!("c * {state} + {any}"),
            1 => format!("{any} - c * {state}"),
            2 => format!("select(g > 0, {state}, c * g) + {any}"),
            3 => format!("tanh({state}) + {any}"),
            4 => format!("delay({any}, 1.0)"),
            5 => format!("c * {state}"),
            _ => format!("select(g < 0.5, {any}, c) * c + c * {state}"),
        }
    };
    let mut known = names.clone();
    for name in &names {
        text += &format!("{name}' = {}\n", term(noise, &known));
        known.push(format!("{name}'"));
    }
    if backward {
        known.push("k".into());
        text += &format!("k' = {}\n", term(noise, &known));
        known.push("k'".into());
    }
    let after: Vec<String> = known.into_iter().filter(|n| n.ends_with('\'')).collect();
    for _ in 0..=below(noise, 2) {
        let kind = pick(noise, &["loss", "final loss", "mean loss", "output y ="]);
        if kind.starts_with("output") && text.contains(kind) {
            continue;
        }
        let of = &after[below(noise, after.len())];
        let of = pick(
            noise,
            &[
                "V",
                "V^2",
                "tanh(V)",
                "select(g > 0, V, 0)",
                "c * first(V)",
                "c * last(V)",
            ],
        )
        .replace('V', of);
        text += &format!("{kind} {of}\n");
    }
    if !text.contains("loss") {
        text += &format!("loss {}\n", after[below(noise, after.len())]);
    }
    text
}

#[test]
fn a_bad_input_at_a_random_place_is_found() {
    let (mut bad, mut cases) = (0, 0);
    for seed in 0..150 {
        let noise = &mut Noise(seed);
        let text = recurrence(noise);
        let mut r = parse(&text);
        let (steps, samples) = (2 + below(noise, 40), 1 + below(noise, 3));
        let mut x = Array2::from_shape_simple_fn((steps, samples), || 1.0 + 0.1 * noise.number());
        let g = Array2::from_shape_simple_fn((steps, samples), || noise.number());
        for _ in 0..=below(noise, 2) {
            let value = [-1.0, 0.0][below(noise, 2)];
            x[[below(noise, steps), below(noise, samples)]] = value;
        }
        let mut batch = Batch::new(steps, samples).with("x", x).with("g", g);
        if below(noise, 3) == 0 {
            let lengths: Vec<usize> = (0..samples).map(|_| 1 + below(noise, steps)).collect();
            batch = batch.with_lengths(lengths);
        }
        let mut ones = |part: u64| {
            Array2::from_shape_simple_fn((steps, samples), || {
                f64::from(noise.bits().is_multiple_of(part))
            })
        };
        let (resets, mask) = (ones(5), 1.0 - ones(5));
        if seed % 3 != 0 {
            r = r.with_resets("begin").unwrap();
            batch = batch.with("begin", resets);
        }
        if seed % 5 == 0 {
            r = r.with_mask("active").unwrap();
            batch = batch.with("active", mask);
        }
        let params = Params::new()
            .with("a", ndarray::arr0(1.0))
            .with("c", ndarray::arr0(0.5));
        let gradient = r.gradient(Wrt::Parameters).unwrap();
        for r in [r, gradient] {
            cases += 1;
            bad += usize::from(found(&r, &params, &batch).is_some());
        }
    }
    assert!(bad > cases / 4, "{bad} of {cases} are not finite");
}
