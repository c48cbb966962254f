//! Sums over the samples at a step: batch statistics, in the loop over the steps and outside of it.

use bptt::check::random_data;
use bptt::{Batch, Error, Params, Recurrence, Wrt};
use ndarray::{Array2, Array3, array};

use crate::support::engines::EveryEngine as _;

/// A network whose activations are normalised over the samples at each step (Cooijmans et al. 2017), with other sums
/// outside of the loop.
const NORMALISED: &str = "dim H, K\ninput x[K]\nsample input h0[H]\nparam W[H, H], U[H, K], gain[H]\nstate h[H] = h0\n\
    count = total_samples(hold(1, step))\nz = W @ h + U @ x\nd = z - total_samples(z) / count\n\
    v = total_samples(d^2) / count\nh' = tanh(gain * d / sqrt(v + 0.1))\nouter = total_samples(h' * sum(x))\n\
    output h', count, outer\nloss sum(h'^2) + dot(outer, h') + sum(total_samples(last(h') * step))\n";

fn parse(text: &str) -> Recurrence {
    Recurrence::parse("r", text).unwrap_or_else(|e| panic!("{e}"))
}

const SIZES: [(&str, usize); 2] = [("H", 3), ("K", 2)];

/// The outputs by plain loops.
fn by_loops(params: &Params<f64>, batch: &Batch<f64>, lengths: &[usize]) -> Array3<f64> {
    let (w, u, gain) = (&params["W"], &params["U"], &params["gain"]);
    let (x, h0) = (batch.get("x").unwrap(), batch.get("h0").unwrap());
    let mut h = Array2::from_shape_fn((lengths.len(), 3), |(b, i)| h0[[b, i]]);
    let mut found = Array3::zeros((batch.steps(), lengths.len(), 3));
    for t in 0..batch.steps() {
        let running: Vec<usize> = (0..lengths.len()).filter(|b| t < lengths[*b]).collect();
        let z = Array2::from_shape_fn((lengths.len(), 3), |(b, i)| {
            let own: f64 = (0..3).map(|j| w[[i, j]] * h[[b, j]]).sum();
            own + (0..2).map(|k| u[[i, k]] * x[[t, b, k]]).sum::<f64>()
        });
        for i in 0..3 {
            let mean = |f: &dyn Fn(usize) -> f64| {
                running.iter().map(|b| f(*b)).sum::<f64>() / running.len() as f64
            };
            let m = mean(&|b| z[[b, i]]);
            let v = mean(&|b| (z[[b, i]] - m).powi(2));
            for b in &running {
                h[[*b, i]] = (gain[[i]] * (z[[*b, i]] - m) / (v + 0.1).sqrt()).tanh();
                found[[t, *b, i]] = h[[*b, i]];
            }
        }
    }
    found
}

#[test]
fn a_normalised_network_on_every_engine() {
    let r = parse(NORMALISED);
    for (lengths, seed) in [
        (&[5, 5, 5][..], 1),
        (&[3, 6, 2, 6], 2),
        (&[4], 3),
        (&[1, 4], 4),
    ] {
        let (params, batch) = random_data(&r, &SIZES, lengths, seed).unwrap();
        let found = r.on_every_engine(&params, &batch).unwrap();
        let loops = by_loops(&params, &batch, lengths);
        for (a, b) in found["h"].iter().zip(&loops) {
            assert!((a - b).abs() < 1e-13, "{lengths:?}: {a} {b}");
        }
        for (t, row) in found["count"].outer_iter().enumerate() {
            let running = lengths.iter().filter(|length| t < **length).count() as f64;
            let expected = lengths.iter().map(|l| if t < *l { running } else { 0.0 });
            assert!(row.iter().copied().eq(expected), "{lengths:?}: {row}");
        }
        let gradient = r.gradient(Wrt::Everything).unwrap();
        let found = gradient.on_every_engine(&params, &batch).unwrap();
        let tape = r.unroll_for(&params, &batch).unwrap();
        let tape = tape.gradient(Wrt::Everything).unwrap();
        let tape = tape.evaluate(&params, &batch).unwrap();
        for (name, a) in tape.iter() {
            let size = a.iter().fold(1e-3, |m: f64, x| m.max(x.abs()));
            for (a, b) in a.iter().zip(&found[name]) {
                assert!((a - b).abs() < 1e-12 * size, "{lengths:?}, {name}: {a} {b}");
            }
        }
        let certificate = bptt::check(&r, &params, &batch).unwrap();
        assert!(certificate.passed(), "{lengths:?}: {certificate}");
    }
}

#[test]
fn sums_over_samples_do_not_depend_on_the_number_of_workers() {
    let r = parse(NORMALISED).gradient(Wrt::Everything).unwrap();
    let lengths = [40, 37, 40, 12, 40, 33, 40];
    let (params, batch) = random_data(&r, &SIZES, &lengths, 5).unwrap();
    let program = r.compile_for::<f64>(&params, &batch).unwrap();
    let run = |threads: usize| {
        let program = program.clone().threads(threads);
        program.evaluate(&params, &batch).unwrap()
    };
    let one = run(1);
    for threads in [2, 3, 5] {
        let many = run(threads);
        for (name, a) in one.iter() {
            assert!(*a == many[name], "{name} with {threads} workers");
        }
    }
}

#[test]
fn masks_and_resets_refuse_sums_over_samples() {
    let r = parse(NORMALISED);
    for error in [
        r.with_mask("on").unwrap_err(),
        r.with_resets("new").unwrap_err(),
    ] {
        let text = error.to_string();
        assert!(text.contains("`total_samples` has no meaning"), "{text}");
    }
    let text = Recurrence::parse("r", "mask input on\ninput x\nloss total_samples(x)\n");
    assert!(text.unwrap_err().to_string().contains("`total_samples`"));
    let text = Recurrence::parse("r", "param a\nloss total_samples(a)\n")
        .unwrap_err()
        .to_string();
    assert!(text.contains("`total_samples(hold(a, step))`"), "{text}");
    #[cfg(feature = "derive")]
    {
        let text = r.derive().unwrap_err().to_string();
        assert!(text.contains("a sum over samples"), "{text}");
    }
}

#[test]
fn a_value_that_is_not_finite_spreads_to_all_samples_and_is_found() {
    let r = parse("input x\nstate s\ns' = 0.5 * s + total_samples(ln(x))\nloss s'\n");
    let batch = Batch::new(3, 2).with("x", array![[1.0, 2.0], [1.0, -1.0], [2.0, 1.0]]);
    let none = Params::new();
    let program = r.compile_for::<f64>(&none, &batch).unwrap();
    assert!(program.evaluate(&none, &batch).is_err());
    let found = program.find_non_finite(&none, &batch, &mut program.workspace());
    let text = found.unwrap().unwrap().to_string();
    assert!(text.contains("ln(x)"), "{text}");
    let error = r.evaluate(&none, &batch).unwrap_err();
    assert!(matches!(error, Error::NonFiniteValue { .. }), "{error}");
    assert!(error.to_string().contains("ln(x)"), "{error}");
}
