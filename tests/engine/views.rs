//! A run on views equals a run on arrays bit for bit, for any layout in memory; arrays in standard order are
//! not copied, as inputs or outputs.

use std::sync::Arc;

use crate::support::engines::assert_same_bits;
use crate::support::{Noise, instance};
use bptt::cells::{self, Cell, Start};
use bptt::{
    Batch, Binding, CustomOp, Error, Expr, Outputs, Params, Program, Real, Recurrence,
    ScalarFunction, Wrt,
};
use bptt_testing::random::{self as strategy, Instance};
use ndarray::{Array, ArrayD, ArrayViewD, ArrayViewMutD, Axis, IxDyn, Slice, s};
use proptest::prelude::{ProptestConfig, any, proptest};

/// An array with a random layout: any order of axes, gaps between entries, and axes traversed backwards.
#[derive(Clone)]
struct Scattered<T> {
    memory: ArrayD<T>,
    order: Vec<usize>,
    slices: Vec<Slice>,
}

impl<T: Copy> Scattered<T> {
    /// Memory for an array of this shape, filled with `gap`.
    fn room(shape: &[usize], gap: T, noise: &mut Noise) -> Self {
        let mut below = |n: u64| usize::try_from(noise.bits() % n).unwrap();
        let mut order: Vec<usize> = (0..shape.len()).collect();
        for i in (1..order.len()).rev() {
            order.swap(i, below(i as u64 + 1));
        }
        let mut sizes = vec![0; shape.len()];
        let mut slices = Vec::new();
        for (i, n) in shape.iter().enumerate() {
            let (step, start) = (1 + below(2), below(3));
            // The slice may end directly after the last entry, where an axis traversed backwards starts.
            let end = start + (n - 1) * step + 1;
            sizes[order[i]] = end + below(2);
            let step = isize::try_from(step).unwrap() * if below(2) == 0 { 1 } else { -1 };
            let place = |n: usize| isize::try_from(n).unwrap();
            slices.push(Slice::new(place(start), Some(place(end)), step));
        }
        Self {
            memory: ArrayD::from_elem(sizes, gap),
            order,
            slices,
        }
    }

    fn of(array: &ArrayD<T>, gap: T, noise: &mut Noise) -> Self {
        let mut scattered = Self::room(array.shape(), gap, noise);
        scattered.view_mut().assign(array);
        scattered
    }

    fn view(&self) -> ArrayViewD<'_, T> {
        let mut view = self.memory.view().permuted_axes(self.order.clone());
        view.slice_each_axis_inplace(|axis| self.slices[axis.axis.index()]);
        view
    }

    fn view_mut(&mut self) -> ArrayViewMutD<'_, T> {
        let mut view = self.memory.view_mut().permuted_axes(self.order.clone());
        view.slice_each_axis_inplace(|axis| self.slices[axis.axis.index()]);
        view
    }
}

/// Copies of all arrays of some data, with random layouts.
struct Elsewhere<F> {
    real: Vec<(String, Scattered<F>)>,
    classes: Vec<(String, Scattered<usize>)>,
    extent: (usize, usize),
    lengths: Vec<usize>,
}

impl<F: Real> Elsewhere<F> {
    fn of(r: &Recurrence, params: &Params<F>, batch: &Batch<F>, noise: &mut Noise) -> Self {
        let (mut real, mut classes) = (Vec::new(), Vec::new());
        // Gaps hold NaN or invalid classes, so reading one would be detected.
        for leaf in r.tape().leaves() {
            let name = leaf.name();
            if let Some(a) = batch.classes(name) {
                classes.push((name.into(), Scattered::of(a, usize::MAX, noise)));
            } else {
                let a = params.get(name).or(batch.get(name)).unwrap();
                real.push((name.into(), Scattered::of(a, F::nan(), noise)));
            }
        }
        Self {
            real,
            classes,
            extent: (batch.steps(), batch.samples()),
            lengths: batch.lengths().collect(),
        }
    }

    fn bind<'w, 'a>(&'a self, mut to: Binding<'w, 'a, F>) -> Binding<'w, 'a, F> {
        for (name, a) in &self.real {
            to = to.with(name, a.view());
        }
        for (name, a) in &self.classes {
            to = to.with_classes(name, a.view());
        }
        to.extent(self.extent.0, self.extent.1)
            .lengths(&self.lengths)
    }
}

/// Binds views of the data, array by array.
fn views<'w, 'a, F: Real>(
    mut to: Binding<'w, 'a, F>,
    r: &Recurrence,
    (params, batch): (&'a Params<F>, &'a Batch<F>),
    lengths: &'a [usize],
) -> Binding<'w, 'a, F> {
    for leaf in r.tape().leaves() {
        let name = leaf.name();
        to = match batch.classes(name) {
            Some(a) => to.with_classes(name, a.view()),
            None => to.with(name, params.get(name).or(batch.get(name)).unwrap().view()),
        };
    }
    to.extent(batch.steps(), batch.samples()).lengths(lengths)
}

fn same_bits<F: Real>(a: &ArrayViewD<'_, F>, b: &ArrayViewD<'_, F>, what: &str) {
    let bits = |a: &ArrayViewD<'_, F>| a.mapv(|x| bptt::Scalar::to_f64(x).to_bits());
    assert_eq!(bits(a), bits(b), "{what}");
}

/// Runs on arrays, on views and on arrays with random layouts, with outputs left in place or written to arrays
/// of any layout.
fn every_way<F: Real>(r: &Recurrence, params: &Params<F>, batch: &Batch<F>, seed: u64) {
    let mut noise = Noise(seed);
    let lengths = batch.lengths().collect::<Vec<_>>();
    for threads in [1, 2] {
        let program = r.compile_for::<F>(params, batch).unwrap().threads(threads);
        let arrays = program.evaluate(params, batch).unwrap();
        let elsewhere = Elsewhere::of(r, params, batch, &mut noise);
        let mut workspace = program.workspace();
        for round in 0..2 {
            let binding = views(program.bind(&mut workspace), r, (params, batch), &lengths);
            assert_same_bits(&arrays, binding.run().unwrap(), "views");
            let found = elsewhere.bind(program.bind(&mut workspace)).run().unwrap();
            assert_same_bits(&arrays, found, "scattered views");
            let found = elsewhere.bind(program.bind(&mut workspace)).run_in_place();
            let found = found.unwrap();
            assert_eq!(found.iter().count(), arrays.iter().count(), "all are here");
            for ((name, a), (other, view)) in arrays.iter().zip(found.iter()) {
                assert_eq!(name, other, "they are in order");
                same_bits(&a.view(), &view, &format!("`{name}` in place, {round}"));
            }
            // Writes every second output to an array, in standard order or with a random layout.
            for whole in [true, false] {
                let mut places: Vec<(&str, ArrayD<F>, Scattered<F>)> = arrays
                    .iter()
                    .map(|(name, a)| {
                        let room = Scattered::room(a.shape(), F::nan(), &mut noise);
                        (name, ArrayD::zeros(a.raw_dim()), room)
                    })
                    .collect();
                let mut binding = elsewhere.bind(program.bind(&mut workspace));
                for (name, array, scattered) in places.iter_mut().step_by(2) {
                    binding = match whole {
                        true => binding.output(name, array.view_mut()),
                        false => binding.output(name, scattered.view_mut()),
                    };
                }
                let found = binding.run().unwrap();
                for (i, (name, array, scattered)) in places.iter().enumerate() {
                    let expected = arrays[name].view();
                    if i % 2 == 1 {
                        same_bits(&expected, &found[name].view(), name);
                        continue;
                    }
                    assert!(found.get(name).is_none(), "`{name}` is elsewhere");
                    if whole {
                        same_bits(&expected, &array.view(), name);
                        continue;
                    }
                    same_bits(&expected, &scattered.view(), name);
                    let gaps = scattered.memory.iter().filter(|x| x.is_nan()).count();
                    let all = scattered.memory.len() - expected.len();
                    assert_eq!(gaps, all, "between the entries nothing is written");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, failure_persistence: None, ..Default::default() })]
    #[test]
    fn a_run_on_views_has_the_bits_of_a_run_on_arrays(
        i in strategy::recurrence(),
        seed in any::<u64>(),
    ) {
        let Instance { recurrence, params, batch } = i;
        every_way(&recurrence, &params, &batch, seed);
        let gradient = recurrence.gradient(Wrt::Everything).unwrap();
        every_way(&gradient, &params, &batch, seed);
        every_way(&gradient, &params.cast::<f32>(), &batch.cast::<f32>(), seed);
    }
}

/// A classifier with initial states as inputs: parameters, inputs per step and per sample, classes, and outputs
/// of every rate.
fn classifier() -> Recurrence {
    Recurrence::define("classifier", |r| {
        let h = Cell::lstm()
            .start(Start::Input)
            .apply(r, r.input("x", [r.dim("K")]), r.dim("H"));
        let o = cells::readout(r, "", h, r.dim("O"));
        r.loss(o.softmax_cross_entropy(r.class("y", r.dim("O"))));
        r.output("h", h);
        r.output("o", o);
    })
    .unwrap()
}

const SIZES: [(&str, usize); 3] = [("H", 5), ("K", 3), ("O", 4)];

#[test]
fn classes_and_initial_states_may_lie_anywhere() {
    for r in [
        classifier(),
        classifier().gradient(Wrt::Everything).unwrap(),
    ] {
        for lengths in [&[6; 5][..], &[9, 7, 7, 2], &[2, 9, 1], &[8]] {
            let (params, batch) = instance(&r, &SIZES, lengths, 3);
            every_way(&r, &params, &batch, 1);
            every_way(&r, &params.cast::<f32>(), &batch.cast::<f32>(), 2);
        }
    }
}

/// The size of all data in bytes.
fn bytes<F: Real>(r: &Recurrence, params: &Params<F>, batch: &Batch<F>) -> usize {
    let of = |name: &str| match batch.classes(name) {
        Some(a) => a.len() * size_of::<usize>(),
        None => params.get(name).or(batch.get(name)).unwrap().len() * size_of::<F>(),
    };
    r.tape().leaves().iter().map(|l| of(l.name())).sum()
}

/// The workspace grows only for arrays that are not in standard order, and only once for each.
#[test]
fn only_what_is_not_in_standard_order_is_copied() {
    let r = classifier().gradient(Wrt::Everything).unwrap();
    let (params, batch) = instance(&r, &SIZES, &[7; 4], 3);
    let lengths = batch.lengths().collect::<Vec<_>>();
    let program = r.compile::<f64>(&SIZES).unwrap();
    let mut workspace = program.workspace();
    // Allocates all buffers that do not depend on the bindings.
    program.run(&params, &batch, &mut workspace).unwrap();
    let least = workspace.bytes();
    let whole = Array::from_shape_fn((100, 4, 3), |(t, b, i)| (t + 2 * b + 3 * i) as f64 * 1e-3);
    for first in 0..30 {
        let binding = views(
            program.bind(&mut workspace),
            &r,
            (&params, &batch),
            &lengths,
        );
        let x = whole.slice(s![first..first + 7, .., ..]);
        binding.with("x", x).run().unwrap();
        assert_eq!(workspace.bytes(), least, "nothing was copied");
    }
    let elsewhere = Elsewhere::of(&r, &params, &batch, &mut Noise(4));
    elsewhere.bind(program.bind(&mut workspace)).run().unwrap();
    let grown = workspace.bytes() - least;
    let scattered = bytes(&r, &params, &batch);
    // Each copy is aligned to a cache line. An array with a random layout may happen to be in standard order.
    let most = scattered + 2 * 64 * r.tape().leaves().len();
    assert!(
        (scattered / 2..=most).contains(&grown),
        "{grown} bytes more for {scattered} of data"
    );
    let full = workspace.bytes();
    elsewhere.bind(program.bind(&mut workspace)).run().unwrap();
    assert_eq!(workspace.bytes(), full, "there is one copy");
}

/// Outputs stay where they are computed, in every run.
#[test]
fn outputs_in_place_are_not_copied() {
    let r = classifier();
    let program = r.compile::<f32>(&SIZES).unwrap();
    let (params, batch) = instance(&r, &SIZES, &[7; 4], 3);
    let (params, batch) = (params.cast::<f32>(), batch.cast::<f32>());
    let mut workspace = program.workspace();
    let mut places = Vec::new();
    for _ in 0..3 {
        let binding = program.bind(&mut workspace).params(&params).batch(&batch);
        let found = binding.run_in_place().unwrap();
        places.push(found.iter().map(|(_, a)| a.as_ptr()).collect::<Vec<_>>());
        assert_eq!(found.get("h").unwrap().shape(), [7, 4, 5]);
        assert!(found.get("q").is_none(), "there is no `q`");
        assert_eq!(
            found.loss().unwrap(),
            found.get("loss").unwrap()[IxDyn(&[])]
        );
    }
    assert_eq!(places[0].len(), 3, "h, o and the loss");
    assert!(places.iter().all(|p| *p == places[0]), "they do not move");
    assert!(workspace.outputs().iter().next().is_none(), "no copies");
    // With samples of different lengths, outputs are reordered and padded with zeros.
    let ragged = batch.clone().with_lengths([3, 7, 5, 7]);
    let arrays = program.evaluate(&params, &ragged).unwrap();
    let binding = program.bind(&mut workspace).params(&params).batch(&ragged);
    let found = binding.run_in_place().unwrap();
    for (name, a) in arrays.iter() {
        same_bits(&a.view(), &found.get(name).unwrap(), name);
    }
    let mut h = ArrayD::zeros(IxDyn(&[7, 4, 5]));
    let binding = program.bind(&mut workspace).params(&params).batch(&batch);
    let found = binding.output("h", h.view_mut()).run_in_place().unwrap();
    assert!(found.get("h").is_none(), "it went elsewhere");
    assert_eq!(found.iter().count(), 2, "the others are here");
}

/// A long series in pieces, with the state in two arrays that are swapped: nothing is copied.
#[test]
fn a_state_is_carried_in_arrays_of_the_callers() {
    let model = Recurrence::define("carried", |r| {
        let x = r.input("x", [r.dim("K")]);
        let h = Cell::gru().start(Start::Input).apply(r, x, r.dim("H"));
        r.loss(h.square().sum());
    });
    let gradient = model.unwrap().gradient(Wrt::Parameters).unwrap();
    let gradient = gradient.with_final_states().unwrap();
    let sizes = [("H", 5), ("K", 3)];
    let program = gradient.compile::<f64>(&sizes).unwrap();
    let (params, long) = instance(&gradient, &sizes, &[12; 4], 6);
    let whole = program.evaluate(&params, &long).unwrap();
    let (mut before, mut after) = (long.get("h0").unwrap().clone(), ArrayD::zeros(vec![4, 5]));
    let mut workspace = program.workspace();
    for x in long.get("x").unwrap().axis_chunks_iter(Axis(0), 4) {
        let binding = program.bind(&mut workspace).params(&params);
        let binding = binding.with("x", x).with("h0", before.view());
        binding.output("h.final", after.view_mut()).run().unwrap();
        std::mem::swap(&mut before, &mut after);
    }
    assert_eq!(before, whole["h.final"]);
}

/// Errors for data that does not fit are the same for views and arrays.
#[test]
fn views_that_do_not_fit_are_refused_in_the_same_words() {
    let r = classifier().gradient(Wrt::Everything).unwrap();
    let (params, batch) = instance(&r, &SIZES, &[7, 5, 7, 3], 3);
    let program = r.compile::<f64>(&SIZES).unwrap();
    let mut workspace = program.workspace();
    let fresh = program.evaluate(&params, &batch).unwrap();
    let (x, y) = (batch.get("x").unwrap(), batch.classes("y").unwrap());
    let w = params.get("W_i").unwrap();
    let set = |a: &ArrayD<f64>, at: &[usize], value: f64| {
        let mut a = a.clone();
        a[at] = value;
        a
    };
    let mut too_high = y.clone();
    too_high[[4, 1]] = 4;
    let transposed = w.t().to_owned();
    let bad: Vec<(&str, Params<f64>, Batch<f64>)> = vec![
        (
            "NaN",
            params.clone(),
            batch.clone().with("x", set(x, &[4, 1, 2], f64::NAN)),
        ),
        (
            "infinite",
            params.clone().with("W_i", set(w, &[4, 2], f64::INFINITY)),
            batch.clone(),
        ),
        (
            "class",
            params.clone(),
            batch.clone().with_classes("y", too_high),
        ),
        (
            "shape",
            params.clone().with("W_i", transposed),
            batch.clone(),
        ),
        (
            "axes",
            params.clone(),
            batch.clone().with("x", y.mapv(|c| c as f64)),
        ),
        (
            "real",
            params.clone(),
            batch.clone().with("y", y.mapv(|c| c as f64)),
        ),
        ("long", params.clone(), batch.clone().with_lengths([8; 4])),
        (
            "empty",
            params.clone(),
            batch.clone().with_lengths([7, 0, 1, 1]),
        ),
        ("number", params.clone(), batch.clone().with_lengths([7; 3])),
    ];
    for (what, p, b) in &bad {
        let expected = r.evaluate(p, b).map(|_| ()).expect_err(what);
        let elsewhere = Elsewhere::of(&r, p, b, &mut Noise(5));
        let lengths = b.lengths().collect::<Vec<_>>();
        let found = views(program.bind(&mut workspace), &r, (p, b), &lengths);
        let found = found.run().map(|_| ()).expect_err(what);
        // Compare texts, as NaN is not equal to NaN.
        assert_eq!(found.to_string(), expected.to_string(), "{what}");
        let found = elsewhere.bind(program.bind(&mut workspace));
        let found = found.run_in_place().map(|_| ()).expect_err(what);
        assert_eq!(found.to_string(), expected.to_string(), "{what}, scattered");
        let good = program.run(&params, &batch, &mut workspace).unwrap();
        assert_same_bits(&fresh, good, what);
    }
    // Data beyond the length of a sequence is ignored.
    let beyond = batch.clone().with("x", set(x, &[6, 1, 0], f64::NAN));
    let elsewhere = Elsewhere::of(&r, &params, &beyond, &mut Noise(6));
    let found = elsewhere.bind(program.bind(&mut workspace)).run().unwrap();
    assert_same_bits(&fresh, found, "a NaN beyond the end");
}

/// The error of a run with a changed binding to the data.
fn refusal<'a>(
    program: &Program<f64>,
    (params, batch): (&'a Params<f64>, &'a Batch<f64>),
    change: impl for<'w> FnOnce(Binding<'w, 'a, f64>) -> Binding<'w, 'a, f64>,
) -> String {
    let mut workspace = program.workspace();
    let binding = program.bind(&mut workspace).params(params).batch(batch);
    let error = change(binding).run().map(|_| ());
    error.expect_err("it does not fit").to_string()
}

#[test]
fn a_binding_says_what_is_wrong_with_it() {
    let r = classifier();
    let (params, batch) = instance(&r, &SIZES, &[7; 4], 3);
    let larger = instance(&r, &[("H", 6), ("K", 3), ("O", 4)], &[7; 4], 3);
    let none = (Params::new(), Batch::new(7, 4));
    let (one, five) = (ndarray::arr1(&[1]), ndarray::Array1::zeros(5));
    let (mut unknown, mut small) = (ndarray::arr1(&[0.0]), ndarray::arr1(&[0.0]));
    let (x, real) = (batch.get("x").unwrap().view(), ndarray::arr1(&[0.0]));
    let program = r.compile::<f64>(&SIZES).unwrap();
    let (p, all) = (&program, (&params, &batch));
    let found: [(String, &[&str]); 10] = [
        (
            refusal(p, all, |b| b.with("h00", real.view())),
            &["no parameter or input named `h00`", "did you mean `h0`"],
        ),
        (
            refusal(p, (&none.0, &batch), |b| b),
            &["parameter `", "` is missing"],
        ),
        (
            refusal(p, (&params, &none.1), |b| b.with("x", x)),
            &["input `", "` is missing"],
        ),
        (
            refusal(p, all, |b| b.extent(8, 4)),
            &["input `", "T = 8, B = 4", "[7, 4"],
        ),
        (refusal(p, all, |b| b.extent(0, 4)), &["no steps"]),
        (
            refusal(p, all, |b| b.with_classes("b_o", one.view())),
            &["dimension H is 5", "but 1 in `b_o`"],
        ),
        (
            refusal(p, all, |b| b.with_classes("b_o", five.view())),
            &["`b_o`: expected real numbers, found classes"],
        ),
        (
            refusal(p, all, |b| b.output("q", unknown.view_mut())),
            &["no output named `q`"],
        ),
        (
            refusal(p, all, |b| b.output("h", small.view_mut())),
            &["output `h`", "[7, 4, 5]", "[1]"],
        ),
        (
            refusal(p, (&larger.0, &larger.1), |b| b),
            &["compiled for sizes", "[3, 6, 4]"],
        ),
    ];
    for (text, words) in found {
        assert!(words.iter().all(|w| text.contains(w)), "{words:?}: {text}");
    }
    let mut workspace = program.workspace();
    let error = program.bind(&mut workspace).params(&params).run();
    let text = error.map(|_| ()).unwrap_err().to_string();
    let words = ["how many steps", "Binding::extent"];
    assert!(words.iter().all(|w| text.contains(w)), "{text}");
}

/// Names are found in any order, and the last binding of a name counts.
#[test]
fn arrays_may_be_given_in_any_order_and_twice() {
    let r = classifier();
    let (params, batch) = instance(&r, &SIZES, &[7; 4], 3);
    let program = r.compile::<f64>(&SIZES).unwrap();
    let expected = program.evaluate(&params, &batch).unwrap();
    let mut workspace = program.workspace();
    let names: Vec<&str> = r.parameters().collect();
    let (other, _) = instance(&r, &SIZES, &[7; 4], 8);
    let mut binding = program.bind(&mut workspace).params(&other);
    for name in names.iter().rev() {
        binding = binding.with(name, params.get(name).unwrap().view());
    }
    let found: &mut Outputs<f64> = binding.batch(&batch).run().unwrap();
    assert_same_bits(&expected, found, "the last counts");
}

/// A custom op that panics ends the run, not the program; the workspace and the arrays of the caller can be
/// used for the next run.
#[test]
fn after_a_panic_the_workspace_and_the_callers_arrays_are_usable() {
    let op: Arc<dyn CustomOp> = Arc::new(ScalarFunction {
        name: "delicate",
        eval: |x| {
            assert!(x < 100.0, "too large");
            x * x
        },
        derivative: |x, _| 2.0 * x,
    });
    let r = Recurrence::define("delicate", |r| {
        let (h, x) = (r.state("h", [3]), r.input("x", [3]));
        let h = r.next(h, 0.5 * h + Expr::custom(&op, [x]));
        r.loss(h.sum());
    });
    let r = r.unwrap().gradient(Wrt::Everything).unwrap();
    let (params, good) = instance(&r, &[], &[5, 3, 4, 5], 1);
    let mut bad = good.get("x").unwrap().clone();
    bad[[2, 3, 1]] = 200.0;
    let x = Scattered::of(&bad, f64::NAN, &mut Noise(7));
    for threads in [1, 2, 3] {
        let program = r.compile::<f64>(&[]).unwrap().threads(threads);
        let fresh = program.evaluate(&params, &good).unwrap();
        let (mut workspace, mut own) = (program.workspace(), ArrayD::zeros(bad.raw_dim()));
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let binding = program.bind(&mut workspace).batch(&good);
        let binding = binding.with("x", x.view()).output("x", own.view_mut());
        let found = binding.run_in_place().map(|_| ());
        std::panic::set_hook(hook);
        assert!(matches!(found, Err(Error::CustomOp { .. })), "{found:?}");
        let binding = program.bind(&mut workspace).batch(&good);
        let found = binding.output("x", own.view_mut()).run().unwrap();
        assert_eq!(found.loss().unwrap(), fresh.loss().unwrap());
        same_bits(&fresh["x"].view(), &own.view(), "after a panic");
    }
}
