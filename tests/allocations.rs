//! After its first run, a program allocates nothing.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/allocator.rs"]
#[allow(dead_code, reason = "a part of it is used")]
mod allocator;
mod support;

use bptt::cells::{Cell, Loss};
use bptt::fit::{SampleClip, SampleNorms};
use bptt::{Batch, Error, Memory, Params, Real, Recurrence, Wrt};
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

/// The norms and the clipped gradient of an LSTM, beside the gradients of each sample and the gradient.
fn norms_take_no_memory_for_matrices_of_samples() {
    let model = Cell::lstm().model("lstm", Loss::SquaredError).unwrap();
    let sizes = [("H", 64), ("K", 64), ("O", 4)];
    let (params, batch) = instance(&model, &sizes, &[20; 24], 1);
    let run = |gradient: &Recurrence| {
        let program = gradient.compile::<f64>(&sizes).unwrap();
        let mut workspace = program.workspace();
        allocator::peak(|| program.run(&params, &batch, &mut workspace).map(drop)).1
    };
    let gradient = run(&model.gradient(Wrt::Parameters).unwrap());
    let made = run(&model.gradient_per_sample(Wrt::Parameters).unwrap());
    let mut norms = SampleNorms::<f64>::new(&model, Wrt::Parameters, &sizes).unwrap();
    let (found, of_norms) = allocator::peak(|| norms.run(&params, &batch));
    found.unwrap();
    let mut clip = SampleClip::<f64>::new(&model, Wrt::Parameters, &sizes).unwrap();
    let (found, of_clip) = allocator::peak(|| clip.run(&params, &batch, 1.0).map(drop));
    found.unwrap();
    println!("gradient {gradient}, made {made}, norms {of_norms}, clip {of_clip} bytes");
    let matrices = 24 * 8 * 64 * 64 * size_of::<f64>();
    assert!(made > matrices, "{made} bytes have all matrices");
    let most = 2 * gradient;
    assert!(of_norms < most, "norms: {of_norms}, gradient: {gradient}");
    assert!(
        of_clip < most + gradient,
        "clip: {of_clip}, gradient: {gradient}"
    );
    assert!(of_clip < made / 3, "clip: {of_clip}, made: {made}");
}

/// The memory of a gradient by forward mode and by backpropagation, beyond that of the data, for this many steps.
fn memory_of_gradients(steps: usize) -> [usize; 2] {
    let model = Cell::gru().model("gru", Loss::SquaredError).unwrap();
    let sizes = [("H", 3), ("K", 2), ("O", 2)];
    let (params, batch) = instance(&model, &sizes, &[steps], 1);
    let tangent = model.loss_tangent(Wrt::Parameters).unwrap();
    let program = tangent
        .compile::<f64>(&sizes)
        .unwrap()
        .directions(16)
        .unwrap();
    let forward = || {
        program
            .forward_gradient(&params, &batch, &mut program.workspace())
            .unwrap()
    };
    let gradient = model.gradient(Wrt::Parameters).unwrap();
    let gradient = gradient.compile::<f64>(&sizes).unwrap();
    let backward = || gradient.evaluate(&params, &batch).unwrap();
    [allocator::peak(forward).1, allocator::peak(backward).1]
}

/// The memory of a gradient with traces, for this many steps.
fn memory_of_traces(steps: usize) -> usize {
    let text = "dim H, K\nparam a[H], W[H, K]\ninput x[K]\nstate h[H]\nh' = tanh(a * h + W @ x)\nmean loss sum(h'^2)\n";
    let r = Recurrence::parse("diagonal", text).unwrap();
    let sizes = [("H", 3), ("K", 2)];
    let (params, batch) = instance(&r, &sizes, &[steps], 1);
    let gradient = r.online_gradient(Wrt::Parameters).unwrap();
    let gradient = gradient.compile::<f64>(&sizes).unwrap();
    allocator::peak(|| gradient.evaluate(&params, &batch).unwrap()).1
}

/// Forward mode keeps no values of the steps.
fn the_memory_of_forward_gradients_does_not_grow() {
    let [few, many] = [20_000, 40_000].map(memory_of_gradients);
    assert_eq!(few[0], many[0], "forward mode");
    assert!(
        many[1] - few[1] > 100 * 20_000,
        "backpropagation: {few:?}, {many:?}"
    );
    let [few, many] = [20_000, 40_000].map(memory_of_traces);
    assert_eq!(few, many, "traces");
}

#[test]
fn a_second_run_allocates_nothing() {
    the_memory_of_forward_gradients_does_not_grow();
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
    norms_take_no_memory_for_matrices_of_samples();
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
    runs_keep_to_their_memory();
    steps_allocate_nothing();
}

/// A run in a given memory has no more in use beside data and results, and its results and later runs allocate nothing.
fn runs_keep_to_their_memory() {
    let lstm = Cell::lstm().model("lstm", Loss::SquaredError).unwrap();
    let garch = Recurrence::parse(
        "garch.rec",
        include_str!("../examples/recurrences/garch11.rec"),
    );
    let both = Recurrence::parse(
        "both.rec",
        include_str!("../examples/recurrences/lstm_bidirectional.rec"),
    );
    let sizes = [("H", 32), ("K", 8), ("O", 2)];
    for (r, lengths) in [
        (lstm, vec![3000; 4]),
        (garch.unwrap(), vec![200_000]),
        (both.unwrap(), vec![2000, 1500]),
    ] {
        for derived in [
            r.gradient(Wrt::Everything).unwrap(),
            r.hessian_vector(Wrt::Parameters).unwrap(),
        ] {
            let sizes: Vec<(&str, usize)> = sizes
                .into_iter()
                .filter(|(name, _)| derived.tape().dims().any(|d| d == *name))
                .collect();
            let (params, batch) = instance(&derived, &sizes, &lengths, 1);
            let program = derived.compile_for::<f64>(&params, &batch).unwrap();
            let tight = program.clone().memory(Memory::Bytes(1));
            let Err(Error::MemoryTooSmall { least, .. }) = tight.evaluate(&params, &batch) else {
                panic!("no run needs no memory");
            };
            let mut whole = 0;
            for bytes in [least, least + least / 4, 2 * least, 8 * least] {
                let program = program.clone().memory(Memory::Bytes(bytes));
                let mut workspace = program.workspace();
                let (results, used) = allocator::peak(|| {
                    let outputs = program.run(&params, &batch, &mut workspace).unwrap();
                    outputs.iter().map(|(_, a)| 8 * a.len()).sum::<usize>()
                });
                let kept = used - results;
                assert!(kept <= bytes, "{}: {kept} of {bytes}", derived.name());
                whole +=
                    usize::from(program.legs(batch.steps(), batch.samples()).unwrap().len() < 9);
                let before = allocator::count();
                let outputs = program.run(&params, &batch, &mut workspace).unwrap();
                assert!(outputs.loss().unwrap().is_finite(), "it has run");
                let again = allocator::count() - before;
                assert_eq!(again, 0, "{} in {bytes} bytes", derived.name());
            }
            assert!(
                whole < 4,
                "some of these memories hold a part of the values only"
            );
        }
    }
}

/// Steps one at a time: on whole vectors, with listed operands, for several samples, of classes.
fn steps_allocate_nothing() {
    for (name, sizes) in [
        ("lstm", &[("H", 4), ("K", 3), ("O", 4)][..]),
        ("lstm", &[("H", 40), ("K", 3), ("O", 4)]),
        ("characters", &[("H", 40), ("K", 3), ("C", 5)]),
        ("state_space", &[("N", 4), ("P", 2)]),
    ] {
        let model = support::library::named(name);
        for samples in [1, 3] {
            let (params, batch) = instance(&model, sizes, &vec![4; samples], 1);
            let program = model.compile_for::<f64>(&params, &batch).unwrap();
            let mut stepper = program.stepper_of(&params, &batch).unwrap();
            let width = stepper.inputs().map(|(_, range)| range.end).max().unwrap();
            let inputs = vec![1.0; width];
            stepper.step(&inputs).unwrap();
            let before = allocator::count();
            for _ in 0..5 {
                stepper.step(&inputs).unwrap();
            }
            assert_eq!(
                allocator::count() - before,
                0,
                "{name}, {sizes:?}, B = {samples}"
            );
        }
    }
}
