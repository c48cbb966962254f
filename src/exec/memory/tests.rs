//! Small runs that together reach every use of memory through a pointer. They are small enough for
//! Miri, which checks each use; `docs/architecture.md` has the command.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use ndarray::{Array, ArrayD, ArrayViewD, Axis};

use super::super::kernel::Isa;
use super::super::{Binding, Real};
use crate::check::random_data;
use crate::error::Error;
use crate::op::{CustomOp, Expr, Scalar, ScalarFunction};
use crate::plan::{Memory, Storage};
use crate::recurrence::{Batch, Outputs, Params, Recurrence, Wrt};

/// The same array, with the axes in reversed order and direction in memory.
fn turned<T: Copy + Default>(array: &ArrayD<T>) -> ArrayD<T> {
    let axes = array.shape().iter().rev().copied().collect::<Vec<_>>();
    let mut turned = ArrayD::from_elem(axes, T::default()).reversed_axes();
    (0..turned.ndim()).for_each(|axis| turned.invert_axis(Axis(axis)));
    turned.assign(array);
    turned
}

/// All arrays of some data, reversed by [`turned`].
struct Turned<F> {
    real: Vec<(String, ArrayD<F>)>,
    classes: Vec<(String, ArrayD<usize>)>,
    lengths: Vec<usize>,
    extent: (usize, usize),
}

impl<F: Real> Turned<F> {
    fn of(r: &Recurrence, params: &Params<F>, batch: &Batch<F>) -> Self {
        let (mut real, mut classes) = (Vec::new(), Vec::new());
        for leaf in r.tape().leaves() {
            let name = leaf.name();
            match batch.classes(name) {
                Some(a) => classes.push((name.into(), turned(a))),
                None => {
                    let a = params.get(name).or(batch.get(name)).unwrap();
                    real.push((name.into(), turned(a)));
                }
            }
        }
        Self {
            real,
            classes,
            lengths: batch.lengths().collect(),
            extent: (batch.steps(), batch.samples()),
        }
    }

    fn bind<'w, 'a>(&'a self, mut to: Binding<'w, 'a, F>) -> Binding<'w, 'a, F> {
        for (name, a) in &self.real {
            to = to.with(name, a.view());
        }
        for (name, a) in &self.classes {
            to = to.with_classes(name, a.view());
        }
        let (steps, samples) = self.extent;
        to.lengths(&self.lengths).extent(steps, samples)
    }
}

#[track_caller]
fn close<F: Real>(a: &ArrayViewD<'_, F>, b: &ArrayD<f64>, what: &str) {
    let tolerance = if size_of::<F>() == 4 { 1e-4 } else { 1e-12 };
    let largest = b.iter().fold(1.0, |m: f64, x| m.max(x.abs()));
    assert_eq!(a.shape(), b.shape(), "{what}");
    for (a, b) in a.iter().zip(b) {
        let error = (Scalar::to_f64(*a) - b).abs();
        assert!(error <= tolerance * largest, "{what}: {a} {b}");
    }
}

/// Runs on arrays and on views, with outputs in place and in other arrays.
fn run<F: Real>(
    r: &Recurrence,
    (params, batch): (&Params<F>, &Batch<F>),
    slow: &Outputs<f64>,
    threads: usize,
) {
    let turned = Turned::of(r, params, batch);
    let program = r.compile_for::<F>(params, batch).unwrap().threads(threads);
    let (name, expected) = slow.iter().last().unwrap();
    let chunks: &[usize] = if cfg!(miri) {
        &[2]
    } else {
        &[1, 2, usize::MAX]
    };
    for isa in Isa::available() {
        for chunk in chunks {
            let program = program.clone().on(*isa).in_chunks_of(*chunk);
            let tight = program.clone().memory(Memory::Bytes(0));
            if let Err(Error::MemoryTooSmall { least, .. }) = tight.evaluate(params, batch) {
                let program = program.clone().memory(Memory::Bytes(least));
                let found = program.evaluate(params, batch).unwrap();
                for (name, a) in found.iter() {
                    close(&a.view(), &slow[name], name);
                }
            }
            let mut workspace = program.workspace();
            let found = program.run(params, batch, &mut workspace).unwrap();
            for (name, a) in found.iter() {
                close(&a.view(), &slow[name], name);
            }
            let mut own = Array::zeros(ndarray::ShapeBuilder::f(expected.raw_dim()));
            let binding = turned.bind(program.bind(&mut workspace));
            let found = binding.output(name, own.view_mut()).run_in_place();
            for (name, a) in found.unwrap().iter() {
                close(&a, &slow[name], name);
            }
            close(&own.view(), expected, name);
        }
    }
}

/// Tests double precision with two workers and single precision with one; outside of Miri, both
/// with both.
fn recurrence(r: &Recurrence, sizes: &[(&str, usize)], lengths: &[usize]) {
    let (params, batch) = random_data(r, sizes, lengths, 3).unwrap();
    let slow = r.evaluate(&params, &batch).unwrap();
    let single = (params.cast::<f32>(), batch.cast::<f32>());
    run(r, (&params, &batch), &slow, 2);
    run(r, (&single.0, &single.1), &slow, 1);
    if !cfg!(miri) {
        run(r, (&params, &batch), &slow, 1);
        run(r, (&single.0, &single.1), &slow, 2);
    }
}

fn written(source: &str, sizes: &[(&str, usize)], lengths: &[usize]) {
    let r = Recurrence::parse("written", source).unwrap();
    recurrence(&r.gradient(Wrt::Everything).unwrap(), sizes, lengths);
}

/// `h' = tanh(W h + U x + b)`: products, sums of outer products, a loop of single rows.
const NETWORK: &str = "dim H, K\ninput x[K]\nsample input h0[H]\nparam W[H,H], U[H,K], b[H]\n\
                       state h[H] = h0\nh' = tanh(W @ h + U @ x + b)\nloss sum(h'^2)";

#[test]
fn a_network_whose_values_fit_a_vector() {
    written(NETWORK, &[("H", 3), ("K", 2)], &[3]);
}

#[test]
fn a_network_whose_values_do_not_fit_a_vector() {
    let h = if cfg!(miri) { 5 } else { 9 };
    written(NETWORK, &[("H", h), ("K", 1)], &[2]);
}

#[test]
fn a_network_on_samples_of_different_lengths() {
    written(NETWORK, &[("H", 2), ("K", 1)], &[1, 3]);
}

#[test]
fn values_of_other_steps() {
    written(
        "input x[2]\nsample input z[2]\nbackward state s[2] = z\ns' = tanh(s + sin(x))\n\
         v = delay(x, z) * s'\nloss sum(advance(v) * v) + sum(first(x) * last(v))",
        &[],
        &[1, 3],
    );
}

#[test]
fn matrices_and_reductions() {
    written(
        "dim H\ninput x[H], c: class(H)\nparam W[H,H], b[H]\nstate h[H]\nstate M[H,H]\n\
         h' = softmax(W @ h + M @ x + b)\nM' = 0.5 * M + outer(h', x)\n\
         u = concat(x, h')[0:H] + gather(M', c) + scatter(sum(x), c)\n\
         loss logsumexp(h' * x) + sum(M' @ u) + sum(M', rows) @ b",
        &[("H", 2)],
        &[2, 1],
    );
}

/// A function that panics for large arguments.
fn delicate() -> Recurrence {
    let op: Arc<dyn CustomOp> = Arc::new(ScalarFunction {
        name: "delicate",
        eval: |x| {
            assert!(x < 100.0, "too large");
            x * x
        },
        derivative: |x, _| 2.0 * x,
    });
    let r = Recurrence::define("delicate", |r| {
        let (h, x) = (r.state("h", [2]), r.input("x", [2]));
        let h = r.next(h, 0.5 * h + Expr::custom(&op, [x]));
        r.loss(h.sum());
    });
    r.unwrap().gradient(Wrt::Everything).unwrap()
}

#[test]
fn an_op_of_a_users_own_that_panics() {
    let r = delicate();
    recurrence(&r, &[], &[1, 2]);
    let (params, good) = random_data(&r, &[], &[2, 1], 3).unwrap();
    let mut x = good.get("x").unwrap().clone();
    x[[1, 0, 1]] = 200.0;
    let bad = good.clone().with("x", x);
    for threads in [1, 2] {
        let program = r.compile::<f64>(&[]).unwrap().threads(threads);
        let mut workspace = program.workspace();
        let fresh = program.evaluate(&params, &good).unwrap();
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let found = program.run(&params, &bad, &mut workspace).map(|_| ());
        std::panic::set_hook(hook);
        found.expect_err("it panics");
        let found = program.run(&params, &good, &mut workspace).unwrap();
        assert_eq!(&fresh, found, "the workspace is usable");
    }
}

/// The workspace gets the address of a C-contiguous array, and has no copy.
#[test]
fn arrays_in_standard_order_are_read_where_they_lie() {
    let source = "dim K\ninput x[K], c: class(K)\nsample input z[K]\nparam w[K]\n\
                  loss gather(w * x + z, c)";
    let r = Recurrence::parse("r", source).unwrap();
    let sizes = [("K", 3)];
    let program = r.compile::<f64>(&sizes).unwrap();
    let (params, batch) = random_data(&r, &sizes, &[2, 2], 3).unwrap();
    let turned = Turned::of(&r, &params, &batch);
    let mut workspace = program.workspace();
    for is_turned in [false, true] {
        let binding = program.bind(&mut workspace);
        let binding = match is_turned {
            false => binding.params(&params).batch(&batch),
            true => turned.bind(binding),
        };
        binding.run().unwrap();
        let mut count = 0;
        for (index, buffer) in program.plan.buffers.iter().enumerate() {
            let Storage::Leaf(leaf) = buffer.storage else {
                continue;
            };
            let name = r.tape().leaves()[leaf].name();
            let found = workspace.workers[0].slots[index].ptr.cast_const();
            let is_there = match batch.classes(name) {
                Some(a) => workspace.class_pointers[index] == a.as_ptr(),
                None => found == params.get(name).or(batch.get(name)).unwrap().as_ptr(),
            };
            assert_eq!(is_there, !is_turned, "{name}");
            count += 1;
        }
        assert_eq!(count, 4, "every array was looked at");
    }
}
