//! After its first run, a program allocates nothing.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/allocator.rs"]
#[allow(dead_code, reason = "a part of it is used")]
mod allocator;
mod support;

use bptt::cells::{Cell, Loss};
use bptt::{Batch, Params, Real, Recurrence, Wrt};
use ndarray::{ArrayD, Axis};
use support::instance;

/// The number of allocations in runs after the first, each followed by a descent step, and in the first run.
fn allocations<F: Real>(
    r: &Recurrence,
    params: &Params<F>,
    batch: &Batch<F>,
    threads: usize,
) -> (usize, usize) {
    let program = r.compile_for::<F>(params, batch).unwrap().threads(threads);
    let (mut workspace, mut params) = (program.workspace(), params.clone());
    let mut counts = [0; 3];
    for n in &mut counts {
        let before = allocator::count();
        let found = program.run(&params, batch, &mut workspace).unwrap();
        for (name, slope) in found.iter() {
            if let Some(array) = params.get_mut(name) {
                array.zip_mut_with(slope, |x, slope| *x -= F::of(1e-3) * *slope);
            }
        }
        *n = allocator::count() - before;
    }
    (counts[1] + counts[2], counts[0])
}

/// The same array with axes in reverse memory order, each traversed backwards.
fn turned<T: Copy + Default>(array: &ArrayD<T>) -> ArrayD<T> {
    let axes = array.shape().iter().rev().copied().collect::<Vec<_>>();
    let mut turned = ArrayD::from_elem(axes, T::default()).reversed_axes();
    (0..turned.ndim()).for_each(|axis| turned.invert_axis(Axis(axis)));
    turned.assign(array);
    turned
}

/// The number of allocations in runs on views after the first of each kind: on arrays as they are and in
/// another memory order; with outputs in place, in arrays of the workspace, or in arrays of the caller.
fn allocations_of_views<F: Real>(
    r: &Recurrence,
    params: &Params<F>,
    batch: &Batch<F>,
    threads: usize,
) -> usize {
    let program = r.compile_for::<F>(params, batch).unwrap().threads(threads);
    let mut workspace = program.workspace();
    let found = program.evaluate(params, batch).unwrap();
    let mut own: Vec<_> = found
        .iter()
        .map(|(n, a)| (n, a.clone(), turned(a)))
        .collect();
    let (mut real, mut classes) = (Vec::new(), Vec::new());
    for leaf in r.tape().leaves() {
        let name = leaf.name();
        match batch.classes(name) {
            Some(a) => classes.push((name, a, turned(a))),
            None => {
                let a = params.get(name).or(batch.get(name)).unwrap();
                real.push((name, a, turned(a)));
            }
        }
    }
    let lengths = batch.lengths().collect::<Vec<_>>();
    let mut again = 0;
    for is_turned in [false, true] {
        for way in 0..3 {
            for round in 0..3 {
                let before = allocator::count();
                let mut binding = program.bind(&mut workspace).lengths(&lengths);
                for (name, a, turned) in &real {
                    binding = binding.with(name, if is_turned { turned } else { a }.view());
                }
                for (name, a, turned) in &classes {
                    let a = if is_turned { turned } else { a };
                    binding = binding.with_classes(name, a.view());
                }
                if way == 2 {
                    for (name, a, turned) in &mut own {
                        let a = if is_turned { turned } else { a };
                        binding = binding.output(name, a.view_mut());
                    }
                }
                if way == 0 {
                    binding.run_in_place().unwrap();
                } else {
                    binding.run().unwrap();
                }
                if round > 0 {
                    again += allocator::count() - before;
                }
            }
        }
    }
    again
}

#[test]
fn a_second_run_allocates_nothing() {
    // The test harness has its own thread, which allocates after starting this one.
    std::thread::sleep(std::time::Duration::from_millis(200));
    for (name, cell) in [
        ("rnn", Cell::rnn()),
        ("lstm", Cell::lstm()),
        ("gru", Cell::gru()),
    ] {
        for loss in [Loss::SquaredError, Loss::SoftmaxCrossEntropy] {
            let model = cell.model(name, loss).unwrap();
            let sizes = [("H", 16), ("K", 3), ("O", 4)];
            for wrt in [Wrt::Parameters, Wrt::Everything] {
                let gradient = model.gradient(wrt).unwrap();
                for lengths in [vec![30; 4], vec![7, 30, 2], (1..40).collect()] {
                    let (params, batch) = instance(&gradient, &sizes, &lengths, 1);
                    let single = (params.cast::<f32>(), batch.cast::<f32>());
                    for threads in [1, 2] {
                        let (again, first) = allocations(&gradient, &params, &batch, threads);
                        assert!(first > 0, "the counter counts");
                        let what = format!("{name}, {loss:?}, {threads} threads, {lengths:?}");
                        assert_eq!(again, 0, "{what}");
                        let (again, _) = allocations(&gradient, &single.0, &single.1, threads);
                        assert_eq!(again, 0, "{what}, in single precision");
                        let again = allocations_of_views(&gradient, &params, &batch, threads);
                        assert_eq!(again, 0, "{what}, on views");
                    }
                }
            }
        }
    }
    // Linear algebra of small matrices, of more samples than are kept without an allocation each.
    let source = include_str!("../examples/recurrences/state_space.rec");
    let model = Recurrence::parse("state_space.rec", source).unwrap();
    let gradient = model.gradient(Wrt::Parameters).unwrap();
    let sizes = [("N", 4), ("P", 2)];
    for lengths in [vec![9; 1], vec![9; 20]] {
        let (params, batch) = instance(&gradient, &sizes, &lengths, 1);
        let (again, first) = allocations(&gradient, &params, &batch, 1);
        assert!(first > 0 && again == 0, "{again}, {lengths:?}");
    }
}
