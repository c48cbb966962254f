//! Norms of the gradients of each sample, and gradients clipped for each sample.

use bptt::cells::Cell;
use bptt::fit::{SampleClip, SampleNorms};
use bptt::{Batch, Outputs, Params, Recurrence, Wrt};
use bptt_testing::random as strategy;
use ndarray::{Array1, ArrayD, array};
use proptest::prelude::*;

use crate::support::random::{bidirectional, for_all, named, norm};
use crate::support::{instance, library};

/// The gradients of each sample, and their norms over all parameters together.
fn explicit(
    r: &Recurrence,
    params: &Params<f64>,
    batch: &Batch<f64>,
) -> (Outputs<f64>, Array1<f64>) {
    let each = r.gradient_per_sample(Wrt::Parameters).unwrap();
    let each = each
        .compile_for(params, batch)
        .unwrap()
        .evaluate(params, batch)
        .unwrap();
    let joint = |b| {
        let squares =
            named(&each).map(|(_, g)| size(&g.index_axis(ndarray::Axis(0), b).to_owned()).powi(2));
        squares.sum::<f64>().sqrt()
    };
    let joint = (0..batch.samples()).map(joint).collect();
    (each, joint)
}

/// The Euclidean norm.
fn size(a: &ArrayD<f64>) -> f64 {
    a.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// The sum of the gradients of each sample, scaled to a norm of at most `most`.
fn clipped(each: &ArrayD<f64>, joint: &Array1<f64>, most: f64) -> ArrayD<f64> {
    let mut sum = ArrayD::zeros(each.shape()[1..].to_vec());
    for (own, norm) in each.outer_iter().zip(joint) {
        sum.scaled_add((most / norm).min(1.0), &own);
    }
    sum
}

/// Compares the norms and the clipped gradient with those of the gradients of each sample.
fn holds(r: &Recurrence, params: &Params<f64>, batch: &Batch<f64>) -> Result<(), TestCaseError> {
    let (each, joint) = explicit(r, params, batch);
    let largest = joint.iter().copied().fold(1e-3, f64::max);
    let clip = SampleClip::<f64>::for_data(r, Wrt::Parameters, params, batch).unwrap();
    let mut clip = clip.threads(2);
    // About half of the samples are clipped.
    let mut sorted = joint.to_vec();
    sorted.sort_by(f64::total_cmp);
    let most = sorted[sorted.len() / 2].max(1e-9) * 0.9;
    let found = clip.run(params, batch, most).unwrap().clone();
    for (name, own) in named(&each) {
        let norms = clip.norms().of_parameter(name).unwrap();
        for (norm, own) in norms.iter().zip(own.outer_iter()) {
            let expected = size(&own.to_owned());
            let error = (norm - expected).abs() / largest;
            prop_assert!(error < 1e-13, "`{}`: {} and {}", name, norm, expected);
        }
        let error = norm(&(clipped(own, &joint, most) - &found[name]));
        prop_assert!(error < 1e-12 * (most + 1e-3), "`{}`: {:e}", name, error);
    }
    for (found, joint) in clip.norms().joint().iter().zip(&joint) {
        prop_assert!(
            (found - joint).abs() < 1e-13 * largest,
            "{} and {}",
            found,
            joint
        );
    }
    let loss = each.loss().unwrap();
    prop_assert!((found.loss().unwrap() - loss).abs() <= 1e-12 * loss.abs());
    Ok(())
}

#[test]
fn random_recurrences() {
    for_all(150, "norms", strategy::per_sample(), |i, seen| {
        seen.checked += 1;
        holds(&i.recurrence, &i.params, &i.batch)
    });
}

#[test]
fn the_library() {
    for (name, source) in library::library() {
        let r = library::parse(&name, &source);
        let (params, batch) = library::data(&name, &r, 5);
        holds(&r, &params, &batch).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}

fn parse(text: &str) -> Recurrence {
    Recurrence::parse("r", text).unwrap_or_else(|e| panic!("{e}"))
}

/// The names of the parameters whose gradients are made.
fn made(r: &Recurrence, sizes: &[(&str, usize)]) -> Vec<String> {
    let norms = SampleNorms::<f64>::new(r, Wrt::Parameters, sizes).unwrap();
    norms.made().map(Into::into).collect()
}

#[test]
fn every_form_of_a_matrix_is_a_sum_of_outer_products() {
    let state = "dim H, K, N\ninput x[K], y[H]\ninput k: class(N)\nparam b[H]\n";
    let sizes = [("H", 3), ("K", 4), ("N", 5)];
    for (text, whole) in [
        // Twice the same matrix, and its transpose.
        (
            "param W[H, H]\nstate h[H]\nh' = tanh(W @ h + W.T @ (W @ y) + b)\nloss sum(h'^2)\n",
            &["b"][..],
        ),
        // A sum with signs and factors.
        (
            "param W[H, H]\nstate h[H]\nh' = tanh(-W @ h - 0.5 * W @ y + b)\nloss sum(h'^2)\n",
            &["b"],
        ),
        // Gates as rows of one matrix, inputs and state as its columns.
        (
            "param W[2 * H, K + H]\nstate h[H]\nz = W @ concat(x, h)\nh' = sigmoid(z[0:H]) * tanh(z[H:2 * H] + b)\nloss sum(h'^2)\n",
            &["b"],
        ),
        (
            "param W[H, K + H]\nstate h[H]\nh' = tanh(W[:, 0:K] @ x + W[:, K:K + H] @ h + b)\nloss sum(h'^2)\n",
            &["b"],
        ),
        (
            "param W[2 * H, H]\nstate h[H]\nh' = tanh(W[0:H] @ h + W[H:2 * H] @ y + b)\nloss sum(h'^2)\n",
            &["b"],
        ),
        // A product of two matrices.
        (
            "param A[H, N], B[N, H]\nstate h[H]\nh' = tanh((A @ B) @ h + b)\nloss sum(h'^2)\n",
            &["b"],
        ),
        // Rows and columns by class, alone and in a product as well.
        (
            "param E[N, H]\nstate h[H]\nh' = tanh(0.5 * h + gather(E, k) + b)\nloss sum(h'^2)\n",
            &["b"],
        ),
        (
            "param E[H, N]\nstate h[H]\nh' = tanh(0.5 * h + gather_column(E, k) + b)\nloss sum(h'^2)\n",
            &["b"],
        ),
        (
            "param E[N, H]\nstate h[H]\nh' = tanh(0.5 * h + gather(E, k) + b)\nloss sum((E @ h')^2)\n",
            &["b"],
        ),
        // A product of the last state alone.
        (
            "param W[N, H], U[H, H]\nstate h[H]\nh' = tanh(U @ h + y + b)\nloss sum((W @ last(h'))^2)\n",
            &["b"],
        ),
        // Other functions of a matrix.
        (
            "param W[H, H]\nstate h[H]\nh' = tanh(exp(W) @ h + b)\nloss sum(h'^2)\n",
            &["b", "W"],
        ),
    ] {
        let r = parse(&format!("{state}{text}"));
        assert_eq!(made(&r, &sizes), whole, "{text}");
        for lengths in [&[3, 3][..], &[9, 2, 7]] {
            let (params, batch) = instance(&r, &sizes, lengths, 1);
            let batch = batch.size("N", 5);
            holds(&r, &params, &batch).unwrap_or_else(|e| panic!("{text}: {e}"));
        }
    }
}

#[test]
fn both_ways_and_many_blocks() {
    // Few steps beside the sizes: pairs of steps; many: the matrix. 64 steps are a block.
    let r = parse(
        "dim H, K\ninput x[K]\nparam W[H, H], U[H, K]\nstate h[H]\nh' = tanh(0.1 * W @ h + U @ x)\nloss sum(h'^2)\n",
    );
    for (size, lengths) in [
        (160, &[100, 129, 1, 64, 65][..]),
        (5, &[100, 129, 1]),
        (40, &[39, 40, 41, 20]),
    ] {
        let (mut params, batch) = instance(&r, &[("H", size), ("K", size)], lengths, 1);
        params
            .get_mut("U")
            .unwrap()
            .mapv_inplace(|x| x / size as f64);
        holds(&r, &params, &batch).unwrap();
    }
}

#[test]
fn terms_that_cancel() {
    // The gradient of the first half of the steps is that of the second half with the other sign, but for 1e-9.
    let r = parse("dim H\ninput x[H], y[H]\nparam W[H, H]\nloss dot(W @ x, y)\n");
    let x = ndarray::Array3::from_shape_fn((6, 1, 50), |(t, _, i)| {
        ((t % 3) as f64 * 1.3 + i as f64).sin()
    });
    let y = ndarray::Array3::from_shape_fn((6, 1, 50), |(t, _, i)| {
        let y = ((t % 3) as f64 * 0.7 + 2.0 * i as f64).cos();
        if t < 3 { y } else { -y * (1.0 + 1e-9) }
    });
    let batch = Batch::new(6, 1).with("x", x).with("y", y);
    let params = Params::new().with("W", ndarray::Array2::zeros((50, 50)));
    let (_, joint) = explicit(&r, &params, &batch);
    let mut norms = SampleNorms::<f64>::for_data(&r, Wrt::Parameters, &params, &batch).unwrap();
    norms.run(&params, &batch).unwrap();
    assert!((1e-9..1e-5).contains(&joint[0]), "{joint}");
    assert!(
        (norms.joint()[0] - joint[0]).abs() < 1e-6 * joint[0],
        "{} {joint}",
        norms.joint()
    );
}

#[test]
fn norms_neither_overflow_nor_underflow() {
    let r = parse("dim H\ninput x[H]\nparam W[H, H], b\nloss sum(W @ x) + b * sum(x) / 3\n");
    for scale in [1e200, 1e-200, 0.0] {
        let batch = Batch::new(1, 1).with("x", ndarray::Array3::from_elem((1, 1, 3), scale));
        let params = Params::new()
            .with("W", ndarray::Array2::<f64>::zeros((3, 3)))
            .with("b", ndarray::arr0(0.0));
        let mut norms = SampleNorms::<f64>::for_data(&r, Wrt::Parameters, &params, &batch).unwrap();
        norms.run(&params, &batch).unwrap();
        let expected = scale * 10f64.sqrt();
        assert!(
            (norms.joint()[0] - expected).abs() <= 1e-12 * expected,
            "{} {expected}",
            norms.joint()
        );
    }
}

#[test]
fn single_precision_threads_directions_and_masks() {
    let i = bidirectional(Cell::lstm);
    holds(&i.recurrence, &i.params, &i.batch).unwrap();
    let masked = i.recurrence.with_mask("active").unwrap();
    let active = array![[1., 1.], [0., 1.], [1., 1.], [1., 0.], [1., 0.]];
    let batch = i.batch.clone().with("active", active);
    holds(&masked, &i.params, &batch).unwrap();
    let (params, batch) = (i.params.cast::<f32>(), i.batch.cast::<f32>());
    let clip = |threads| {
        let clip =
            SampleClip::<f32>::for_data(&i.recurrence, Wrt::Parameters, &params, &batch).unwrap();
        let mut clip = clip.threads(threads);
        let found = clip.run(&params, &batch, 0.5).unwrap().clone();
        (found, clip.norms().joint().clone())
    };
    let one = clip(1);
    assert_eq!(one, clip(2));
    assert_eq!(one, clip(5), "more threads than samples");
    let (_, joint) = explicit(&i.recurrence, &i.params, &i.batch);
    for (found, exact) in one.1.iter().zip(&joint) {
        assert!((found - exact).abs() < 1e-5 * exact, "{found} {exact}");
    }
}

#[test]
fn a_threshold_must_be_positive() {
    let r = parse("param a\ninput x\nloss a * x\n");
    let params = Params::new().with("a", ndarray::arr0(1.0));
    let batch = Batch::new(1, 1).with("x", array![[2.0]]);
    let mut clip = SampleClip::<f64>::new(&r, Wrt::Parameters, &[]).unwrap();
    for threshold in [0.0, -1.0, f64::NAN] {
        let error = clip.run(&params, &batch, threshold).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("expected a positive number, such as 1"),
            "{error}"
        );
    }
    assert_eq!(
        clip.run(&params, &batch, f64::INFINITY).unwrap()["a"].sum(),
        2.0
    );
}
