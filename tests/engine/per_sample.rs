//! Gradients of each sample, and losses with a weight for each sample.

use bptt::cells::{Cell, Loss};
use bptt::{Batch, Error, Params, Rate, Recurrence, Wrt};
use bptt_testing::random as strategy;
use ndarray::{ArrayD, Axis, array};
use proptest::prelude::*;

use crate::support::engines::EveryEngine as _;
use crate::support::random::{bidirectional, for_all, named, norm, overall};
use crate::support::{instance, library};

/// The largest difference of an entry of any gradient, relative to the largest entry of all.
fn apart<'a>(
    pairs: impl Iterator<Item = (&'a str, ArrayD<f64>, ArrayD<f64>)>,
    largest: f64,
) -> f64 {
    let apart = |(name, a, b): (&str, ArrayD<f64>, ArrayD<f64>)| {
        assert_eq!(a.shape(), b.shape(), "`{name}`");
        norm(&(a - b))
    };
    pairs.map(apart).fold(0.0, f64::max) / (largest + 1e-3)
}

/// The factors by which the loss of sample `b` differs from its loss alone: in a sum, in a mean over steps, and in a
/// mean over samples.
fn factors(batch: &Batch<f64>, b: usize) -> [f64; 3] {
    let lengths: Vec<f64> = batch.lengths().map(|l| l as f64).collect();
    let steps: f64 = lengths.iter().sum();
    [1.0, lengths[b] / steps, 1.0 / lengths.len() as f64]
}

/// Compares the gradients of each sample with the gradient, and with runs on single samples.
fn holds(r: &Recurrence, params: &Params<f64>, batch: &Batch<f64>) -> Result<(), TestCaseError> {
    let each = r.gradient_per_sample(Wrt::Parameters).unwrap();
    let each = each.on_every_engine(params, batch).unwrap();
    let gradient = r.gradient(Wrt::Parameters).unwrap();
    let whole = gradient.evaluate(params, batch).unwrap();
    prop_assert_eq!(each.loss().unwrap(), whole.loss().unwrap());
    let largest = overall(&whole).max(overall(&each));
    let sums = named(&whole).map(|(n, g)| (n, each[n].sum_axis(Axis(0)), g.clone()));
    let error = apart(sums, largest);
    prop_assert!(error < 1e-12, "the sum: {:e}", error);
    let mut fits = [true; 3];
    for b in 0..batch.samples() {
        let alone = batch.sequence(r, b).unwrap();
        let alone = gradient.evaluate(params, &alone).unwrap();
        for (fits, factor) in fits.iter_mut().zip(factors(batch, b)) {
            let pairs = named(&alone).map(|(n, g)| {
                let own = each[n].index_axis(Axis(0), b).to_owned();
                (n, own, g * factor)
            });
            *fits &= apart(pairs, largest) < 1e-12;
        }
    }
    prop_assert!(fits.contains(&true), "single samples: {:?}", fits);
    Ok(())
}

#[test]
fn random_recurrences() {
    for_all(150, "per sample", strategy::per_sample(), |i, seen| {
        seen.checked += 1;
        holds(&i.recurrence, &i.params, &i.batch)
    });
}

#[test]
fn the_library() {
    let mut refused = Vec::new();
    for (name, source) in library::library() {
        let r = library::parse(&name, &source);
        let (params, batch) = library::data(&name, &r, 5);
        match r.gradient_per_sample(Wrt::Parameters) {
            Ok(_) => holds(&r, &params, &batch).unwrap_or_else(|e| panic!("{name}: {e}")),
            Err(Error::Definition { mistakes, .. }) => {
                refused.push((name, mistakes[0].message.clone()));
            }
            Err(error) => panic!("{name}: {error}"),
        }
    }
    assert!(refused.is_empty(), "{refused:#?}");
}

/// An embedding of classes, a stack of two cells, one in each direction, and a readout by slices of one matrix.
fn embedded() -> Recurrence {
    Recurrence::define("embedded", |r| {
        let (n, e, h) = (r.dim("N"), r.dim("D"), r.dim("H"));
        let k = r.class("k", n);
        let x = r.param("E", [n, e]).gather(k);
        let below = Cell::lstm().suffix("_1").apply(r, x, h);
        let back = Cell::gru().suffix("_2").backward().apply(r, below, h);
        let w = r.param("W", [n, h * 2]);
        let o = w.slice_columns(0, h).dot(below) + w.slice_columns(h, h).dot(back);
        r.mean_loss(o.softmax_cross_entropy(r.class("y", n)));
    })
    .unwrap()
}

#[test]
fn embeddings_stacks_and_slices() {
    let r = embedded();
    for lengths in [&[5, 5][..], &[2, 6, 1, 4], &[3]] {
        let (params, batch) = instance(&r, &[("N", 5), ("D", 2), ("H", 3)], lengths, 1);
        holds(&r, &params, &batch).unwrap();
    }
}

#[test]
fn both_directions() {
    for cell in [Cell::rnn, Cell::lstm, Cell::gru] {
        let i = bidirectional(cell);
        holds(&i.recurrence, &i.params, &i.batch).unwrap();
    }
}

#[test]
fn masks_and_resets() {
    let r = embedded();
    let sizes = [("N", 5), ("D", 2), ("H", 3)];
    let masked = r.with_mask("active").unwrap();
    let (params, mut batch) = instance(&masked, &sizes, &[6, 6, 6], 2);
    let active = array![
        [1., 1., 1.],
        [1., 0., 1.],
        [1., 1., 0.],
        [1., 1., 0.],
        [0., 1., 1.],
        [1., 0., 1.]
    ];
    *batch.get_mut("active").unwrap() = active.into_dyn();
    // The mean is over active steps, which `factors` does not know.
    let weighted = masked.with_sample_weights("weight").unwrap();
    let gradient = weighted.gradient(Wrt::Parameters).unwrap();
    let each = masked.gradient_per_sample(Wrt::Parameters).unwrap();
    let each = each.on_every_engine(&params, &batch).unwrap();
    for b in 0..3 {
        let mut only = vec![0.0; 3];
        only[b] = 1.0;
        let batch = batch.clone().with("weight", ndarray::Array1::from(only));
        let found = gradient.on_every_engine(&params, &batch).unwrap();
        let pairs =
            named(&found).map(|(n, g)| (n, each[n].index_axis(Axis(0), b).to_owned(), g.clone()));
        assert!(apart(pairs, overall(&found)) < 1e-12, "sample {b}");
    }
    let resets = r.with_resets("reset").unwrap();
    let (params, mut batch) = instance(&resets, &sizes, &[6, 4], 3);
    let reset = array![[0., 0.], [0., 1.], [1., 0.], [0., 0.], [1., 0.], [0., 0.]];
    *batch.get_mut("reset").unwrap() = reset.into_dyn();
    holds(&resets, &params, &batch).unwrap();
}

#[test]
fn weights_weigh_the_samples() {
    for_all(100, "weights", strategy::per_sample(), |i, seen| {
        seen.checked += 1;
        let weighted = i
            .recurrence
            .with_sample_weights("weight_of_sample")
            .unwrap();
        let gradient = weighted.gradient(Wrt::Parameters).unwrap();
        let weights = ndarray::Array1::from_shape_fn(i.batch.samples(), |b| 0.5 - b as f64);
        let batch = i.batch.clone().with("weight_of_sample", weights.clone());
        let found = gradient.on_every_engine(&i.params, &batch).unwrap();
        let each = i.recurrence.gradient_per_sample(Wrt::Parameters).unwrap();
        let each = each.evaluate(&i.params, &i.batch).unwrap();
        let pairs = named(&found).map(|(n, g)| {
            let mut sum = ArrayD::zeros(g.raw_dim());
            for (own, weight) in each[n].outer_iter().zip(&weights) {
                sum.scaled_add(*weight, &own);
            }
            (n, sum, g.clone())
        });
        let error = apart(pairs, overall(&each));
        prop_assert!(error < 1e-12, "{:e}", error);
        Ok(())
    });
}

#[test]
fn other_variables() {
    let r = embedded();
    let (params, batch) = instance(&r, &[("N", 5), ("D", 2), ("H", 3)], &[4, 2], 1);
    // A value per step or sample has a gradient for each sample anyway.
    let wrt = &["c_1", "E"];
    let each = r
        .gradient_per_sample(wrt)
        .unwrap()
        .evaluate(&params, &batch)
        .unwrap();
    let whole = r.gradient(wrt).unwrap().evaluate(&params, &batch).unwrap();
    assert_eq!(each["c_1"], whole["c_1"]);
    assert_eq!(each["E"].shape(), [2, 5, 2]);
    // A named value of parameters alone.
    let text = "param a\ninput x\nb = exp(a)\noutput b\nloss b * x^2\n";
    let r = Recurrence::parse("r", text).unwrap();
    let each = r.gradient_per_sample(&["a", "b"]).unwrap();
    let batch = Batch::new(2, 2).with("x", array![[1.0, 2.0], [3.0, 0.0]]);
    let each = each
        .evaluate(&Params::new().with("a", ndarray::arr0(0.0)), &batch)
        .unwrap();
    assert_eq!(each["a"], array![10.0, 4.0].into_dyn());
    assert_eq!(each["b"], array![10.0, 4.0].into_dyn());
}

#[test]
fn losses_that_join_samples_are_refused() {
    let define = |loss: &str| {
        let text = format!("param a, b\ninput x\nstate s\ns' = a * s + x\noutput s'\n{loss}");
        Recurrence::parse("r", &text).unwrap()
    };
    for (loss, part) in [
        (
            "loss s' + 0\nloss a^2\n",
            "the term `a^2` of parameters alone",
        ),
        (
            "loss s' * total(s')\n",
            "depends on all samples through `total(s')`",
        ),
        (
            "loss s' - total_samples(s')\n",
            "depends on all samples through `total_samples(s')`",
        ),
        (
            "loss sqrt(total(s'^2))\n",
            "a function of a sum over all samples",
        ),
        (
            "loss a * total(s'^2)\n",
            "a function of a sum over all samples",
        ),
        (
            "loss s' * total(x)\n",
            "depends on all samples through `total(x)`",
        ),
    ] {
        let r = define(loss);
        for error in [
            r.gradient_per_sample(Wrt::Parameters).unwrap_err(),
            r.with_sample_weights("weight").unwrap_err(),
        ] {
            assert!(error.to_string().contains(part), "{loss}: {error}");
        }
    }
    // A term of other parameters has no influence on these.
    let r = define("loss s'\nloss b^2\n");
    assert!(r.gradient_per_sample(&["a"]).is_ok(), "b is held fixed");
    // Numbers of steps and samples join nothing.
    for loss in [
        "mean loss s'^2\n",
        "mean final loss s'^2\n",
        "loss s' / total(hold(1, step))\n",
        "loss total(s'^2) * 3 - total(x)\n",
    ] {
        assert!(
            define(loss).gradient_per_sample(Wrt::Parameters).is_ok(),
            "{loss}"
        );
    }
    let taken = define("loss s'\n").with_sample_weights("x").unwrap_err();
    assert!(
        taken.to_string().contains("the name `x` is used twice"),
        "{taken}"
    );
}

#[test]
fn weights_leave_other_outputs_and_the_text_is_read_again() {
    let text = "param a\ninput x\nsum = total(a * x)\noutput sum\nloss sum\n";
    let r = Recurrence::parse("r", text)
        .unwrap()
        .with_sample_weights("weight")
        .unwrap();
    let params = Params::new().with("a", ndarray::arr0(2.0));
    let batch = Batch::new(1, 2)
        .with("x", array![[1.0, 3.0]])
        .with("weight", array![2.0, 0.0]);
    let again = Recurrence::parse("r", &r.source().unwrap()).unwrap();
    for r in [r, again] {
        let found = r.on_every_engine(&params, &batch).unwrap();
        assert_eq!(found["sum"].sum(), 8.0);
        assert_eq!(found.loss().unwrap(), 4.0);
    }
    let model = Cell::lstm().model("lstm", Loss::SquaredError).unwrap();
    let each = model.gradient_per_sample(Wrt::Parameters).unwrap();
    let again = Recurrence::parse("r", &each.source().unwrap()).unwrap();
    let (params, batch) = instance(&each, &[("H", 3), ("K", 2), ("O", 2)], &[3, 2], 1);
    assert_eq!(
        each.evaluate(&params, &batch).unwrap(),
        again.evaluate(&params, &batch).unwrap()
    );
    assert_eq!(again.output_type("W_i").unwrap().rate, Rate::Sample);
}
