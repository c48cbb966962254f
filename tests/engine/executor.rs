//! The executor agrees with the evaluator, for any number of workers, any other samples in the batch, and any
//! workspace. The property tests of the other files use the executor as well.

use std::sync::Arc;

use crate::support::engines::{EveryEngine as _, apart, assert_same_bits};
use crate::support::instance;
use bptt::cells::{self, Cell, Loss, Start};
use bptt::{
    Batch, CustomOp, Dim, Error, Expr, Outputs, Params, Rate, Real, Recurrence, Role,
    ScalarFunction, Wrt, concat,
};
use bptt_testing::random as strategy;
use ndarray::{Array, ArrayD, Axis, Slice};
use proptest::prelude::{ProptestConfig, proptest};

type Named = (&'static str, fn() -> Cell);

const CELLS: [Named; 6] = [
    ("rnn", Cell::rnn),
    ("relu", Cell::relu_rnn),
    ("lstm", Cell::lstm),
    ("peephole", Cell::peephole_lstm),
    ("gru", Cell::gru),
    ("gru_before", Cell::gru_reset_before),
];

/// Runs a recurrence, its gradient and its Hessian-vector product on both engines.
fn all_orders(r: &Recurrence, sizes: &[(&str, usize)], lengths: &[usize], factor: f64) -> bool {
    let gradient = r.gradient(Wrt::Everything).unwrap();
    let hessian = r.hessian_vector(Wrt::Everything).unwrap();
    [r, &gradient, &hessian].into_iter().all(|r| {
        let (params, batch) = instance(r, sizes, lengths, 5);
        let params = scaled(&params, factor);
        r.on_every_engine(&params, &batch).is_ok()
    })
}

fn scaled(params: &Params<f64>, factor: f64) -> Params<f64> {
    params
        .iter()
        .fold(Params::new(), |p, (name, a)| p.with(name, a * factor))
}

#[test]
fn cells_of_every_size() {
    for (name, cell) in CELLS {
        let model = cell().model(name, Loss::SoftmaxCrossEntropy).unwrap();
        for (h, k, o, lengths) in [
            (1, 1, 2, &[3, 1][..]),
            (7, 2, 3, &[4]),
            (8, 9, 4, &[2, 5, 5]),
            (17, 5, 3, &[1, 4, 3, 4, 2, 4, 1]),
            (33, 16, 8, &[6, 6, 6, 6, 6, 6, 6, 6, 6]),
        ] {
            let sizes = [("H", h), ("K", k), ("O", o)];
            assert!(all_orders(&model, &sizes, lengths, 0.4), "{name} {h}");
        }
    }
}

#[test]
fn layers_and_directions() {
    for (name, cell) in CELLS {
        let model = Recurrence::define(name, |r| {
            let (h, g) = (r.dim("H"), r.dim("G"));
            let x = r.input("x", [r.dim("K")]);
            let first = cell().suffix("_1").apply(r, x, h);
            let second = cell().suffix("_2").start(Start::Input);
            let second = second.apply(r, concat([first, x]), g);
            let back = cell().suffix("_b").start(Start::Parameter).backward();
            let back = back.apply(r, second, h);
            let y = cells::readout(r, "", concat([second, back]), Dim::fixed(2));
            r.mean_loss(y.squared_error(r.input("y", [2])));
            r.final_loss(first.square().sum());
        })
        .unwrap();
        let sizes = [("H", 5), ("G", 9), ("K", 3)];
        assert!(all_orders(&model, &sizes, &[2, 6, 4, 6], 0.4), "{name}");
        assert!(all_orders(&model, &sizes, &[5], 0.4), "{name}");
        for rewritten in [model.with_mask("m"), model.with_resets("m")] {
            let rewritten = rewritten.unwrap();
            assert!(all_orders(&rewritten, &sizes, &[3, 5], 0.4), "{name}");
        }
    }
}

/// An LSTM in a common form: all gates in one product, then sliced; a state read two steps later; a matrix used
/// in three places.
#[test]
fn gates_in_one_product() {
    let model = Recurrence::define("stacked gates", |r| {
        let n = r.dim("H");
        let (w, u) = (r.param("W", [n * 4, r.dim("K")]), r.param("U", [n * 4, n]));
        let (v, x) = (r.param("V", [n, n]), r.input("x", [r.dim("K")]));
        let (h, c) = (r.state("h", [n]), r.state("c", [n]));
        let z = w.dot(x) + u.dot(h) + r.param("b", [n * 4]);
        let gate = |i: usize| z.slice(n * i, n);
        let c = r.next(
            c,
            gate(0).sigmoid() * c + gate(1).sigmoid() * gate(2).tanh(),
        );
        let late = r.delay(h);
        let h = r.next(h, gate(3).sigmoid() * c.tanh() + v.dot(v.dot(late)) * 0.1);
        r.loss(v.dot(h).square().sum());
        r.final_loss(h.dot(r.sample_input("s", [n])));
    })
    .unwrap();
    for (h, lengths) in [(3, &[4, 2, 5][..]), (16, &[6, 6]), (9, &[7]), (2, &[8])] {
        let sizes = [("H", h), ("K", 4)];
        assert!(all_orders(&model, &sizes, lengths, 0.3), "{h}");
    }
}

/// Values of a few entries that are swapped, carried as products, read late, in part, and as one entry
/// broadcast to all, and read again after their next value is set.
#[test]
fn short_values() {
    let model = Recurrence::define("short values", |r| {
        let n = r.dim("H");
        let (w, x) = (r.param("W", [n, n]), r.input("x", [n]));
        let (a, b) = (r.state("a", [n]), r.state_from("b", r.param("b0", [n])));
        r.next(a, b + x * 0.5);
        r.next(b, a.tanh());
        let c = r.state_from("c", r.sample_input("c0", [n * 2]));
        let u = r.param("U", [n * 2, n * 2]);
        let next_c = r.next(c, u.dot(c) + concat([x, a]));
        let s = r.state("s", ());
        let next_s = r.next(s, (s * 0.5 + c.slice(n, n).sum()).sigmoid());
        let d = r.state("d", [n]);
        let late = r.delay(r.delay(d));
        let next_d = r.next(d, (w.dot(late + a) + s.spread([n]) * d).tanh());
        let e = r.backward_state("e", [n]);
        let next_e = r.next(e, (w.dot(e) + next_d).sigmoid() + s.spread([n]));
        let before = c.slice(n, n) * next_c.slice(0, n) + d * next_d;
        r.loss((before + next_e * b).square().sum() + next_s * s);
        r.final_loss(next_d.dot(next_c.slice(n, n)));
        r.output("next", next_d);
    })
    .unwrap();
    for (h, lengths) in [
        (2, &[9][..]),
        (3, &[1]),
        (5, &[4]),
        (4, &[2]),
        (4, &[6, 3, 6]),
    ] {
        assert!(all_orders(&model, &[("H", h)], lengths, 0.3), "{h}");
    }
    let (params, batch) = instance(&model, &[("H", 4)], &[5, 9, 1, 9, 3], 7);
    let gradient = model.gradient(Wrt::Everything).unwrap();
    for r in [&model, &gradient] {
        let (params, batch) = (scaled(&params, 0.3), batch.clone());
        any_number_of_workers(r, &params, &batch);
        any_number_of_workers(r, &params.cast::<f32>(), &batch.cast::<f32>());
    }
}

#[test]
fn the_library_of_recurrences() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/recurrences");
    let mut run = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let source = std::fs::read_to_string(&path).unwrap();
        let recurrence = Recurrence::parse(&path.display().to_string(), &source).unwrap();
        let dims: Vec<String> = recurrence.tape().dims().map(Into::into).collect();
        let sizes: Vec<(&str, usize)> = dims.iter().map(String::as_str).zip(3..).collect();
        for factor in [0.3, 0.0] {
            let whole = all_orders(&recurrence, &sizes, &[3, 6, 1, 6], factor);
            let alone = all_orders(&recurrence, &sizes, &[7], factor);
            run += usize::from(whole && alone);
        }
    }
    assert!(run >= 20, "only {run} ran");
}

/// The gradient of a cell with respect to everything, on sequences of different lengths.
fn ragged(cell: fn() -> Cell, h: usize) -> (Recurrence, Params<f64>, Batch<f64>) {
    let model = Recurrence::define("ragged", |r| {
        let x = r.input("x", [r.dim("K")]);
        let h = cell().start(Start::Input).apply(r, x, r.dim("H"));
        let o = cells::readout(r, "", h, r.dim("O"));
        r.loss(o.softmax_cross_entropy(r.class("y", r.dim("O"))));
        r.output("o", o);
    })
    .unwrap();
    let gradient = model
        .gradient(&["x", "h0", "o"])
        .or_else(|_| model.gradient(Wrt::Everything));
    let gradient = gradient.unwrap();
    let sizes = [("H", h), ("K", 6), ("O", 5)];
    let (params, batch) = instance(&gradient, &sizes, &[9, 30, 4, 37, 37, 1, 22], 8);
    (gradient, scaled(&params, 0.3), batch)
}

fn any_number_of_workers<F: Real>(r: &Recurrence, params: &Params<F>, batch: &Batch<F>) {
    let program = r.compile_for::<F>(params, batch).unwrap();
    let one = program.evaluate(params, batch).unwrap();
    for threads in [2, 3, 8] {
        let program = program.clone().threads(threads);
        let found = program.evaluate(params, batch).unwrap();
        assert_same_bits(&one, &found, &format!("{threads} threads"));
    }
}

#[test]
fn no_bit_depends_on_the_workers() {
    for (_, cell) in CELLS {
        for h in [5, 32] {
            let (gradient, params, batch) = ragged(cell, h);
            any_number_of_workers(&gradient, &params, &batch);
            any_number_of_workers(&gradient, &params.cast::<f32>(), &batch.cast::<f32>());
        }
    }
}

/// One sample of a batch by itself.
fn alone<F: Real>(r: &Recurrence, batch: &Batch<F>, sample: usize) -> Batch<F> {
    let length = batch.lengths().nth(sample).unwrap();
    let part = |rate: Rate| match rate {
        Rate::Step => (1, Slice::from(sample..sample + 1)),
        _ => (0, Slice::from(sample..sample + 1)),
    };
    fn cut<T: Clone>(a: &ArrayD<T>, (axis, slice): (usize, Slice), length: usize) -> ArrayD<T> {
        let one = a.slice_axis(Axis(axis), slice);
        let steps = if axis == 1 { length } else { 1 };
        one.slice_axis(Axis(0), Slice::from(0..steps)).to_owned()
    }
    let leaves = r.tape().leaves().iter();
    let inputs = leaves.filter(|l| l.role() == Role::Input);
    inputs.fold(Batch::new(length, 1), |out, leaf| {
        let (name, at) = (leaf.name(), part(leaf.ty().rate));
        match (batch.get(name), batch.classes(name)) {
            (Some(a), _) => out.with(name, cut(a, at, length)),
            (_, Some(a)) => out.with_classes(name, cut(a, at, length)),
            _ => out,
        }
    })
}

/// Compares the outputs of each sample in this batch, in a batch with longer other samples, and by itself;
/// returns the number of comparisons.
fn company_does_not_matter<F: Real>(r: &Recurrence, params: &Params<F>, batch: &Batch<F>) -> usize {
    let program = r.compile_for::<F>(params, batch).unwrap();
    let all = program.evaluate(params, batch).unwrap();
    let lengths = batch.lengths().collect::<Vec<_>>();
    let longer = batch.clone().with_lengths(
        (0..lengths.len())
            .map(|b| if b == 0 { lengths[0] } else { batch.steps() })
            .collect::<Vec<_>>(),
    );
    let others = program.evaluate(params, &longer).unwrap();
    let mut compared = 0;
    for (sample, length) in lengths.into_iter().enumerate() {
        let one = program.evaluate(params, &alone(r, batch, sample)).unwrap();
        for leaf in r.tape().leaves() {
            let (name, rate) = (leaf.name(), leaf.ty().rate);
            let (Some(a), false) = (one.get(name), rate == Rate::Static) else {
                continue;
            };
            let own = |o: &Outputs<F>| -> Vec<F> {
                let axis = usize::from(rate == Rate::Step);
                let own = o[name].index_axis(Axis(axis), sample);
                match rate {
                    Rate::Step => {
                        let own = own.slice_axis(Axis(0), Slice::from(0..length));
                        own.iter().copied().collect()
                    }
                    _ => own.iter().copied().collect(),
                }
            };
            let alone: Vec<F> = a.iter().copied().collect();
            assert_eq!(own(&all), alone, "`{name}` of sample {sample} alone");
            if sample == 0 {
                assert_eq!(own(&others), alone, "`{name}`, the others longer");
            }
            compared += 1;
        }
    }
    compared
}

#[test]
fn no_bit_depends_on_the_company() {
    for (_, cell) in CELLS {
        for h in [5, 32] {
            let (gradient, params, batch) = ragged(cell, h);
            let single = (params.cast::<f32>(), batch.cast::<f32>());
            for compared in [
                company_does_not_matter(&gradient, &params, &batch),
                company_does_not_matter(&gradient, &single.0, &single.1),
            ] {
                assert!(compared >= 14, "inputs and initial states were compared");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..Default::default() })]
    #[test]
    fn no_bit_of_a_random_gradient_depends_on_the_company(i in strategy::per_sample()) {
        let gradient = i.recurrence.gradient(Wrt::Everything).unwrap();
        company_does_not_matter(&gradient, &i.params, &i.batch);
    }
}

/// A long sequence in pieces: each starts from the final states of the one before.
#[test]
fn states_are_carried_from_run_to_run() {
    for (name, cell) in CELLS {
        let model = Recurrence::define(name, |r| {
            let h = cell()
                .start(Start::Input)
                .apply(r, r.input("x", [r.dim("K")]), r.dim("H"));
            r.loss(h.square().sum());
        })
        .unwrap();
        let gradient = model
            .gradient(Wrt::Parameters)
            .unwrap()
            .with_final_states()
            .unwrap();
        let program = gradient.compile::<f64>(&[("H", 5), ("K", 3)]).unwrap();
        let (params, long) = instance(&gradient, &[("H", 5), ("K", 3)], &[12; 4], 6);
        let whole = program.evaluate(&params, &long).unwrap();
        let (mut loss, mut batch) = (0.0, long.clone());
        let mut workspace = program.workspace();
        for first in (0..12).step_by(4) {
            let x = long
                .get("x")
                .unwrap()
                .slice_axis(Axis(0), Slice::from(first..first + 4));
            let mut piece = Batch::new(4, 4).with("x", x.to_owned());
            let starts = model.tape().leaves().iter().map(|l| l.name());
            for name in starts.filter(|n| n.ends_with('0')) {
                piece = piece.with(name, batch.get(name).unwrap().clone());
            }
            let found = program.run(&params, &piece, &mut workspace).unwrap();
            loss += found.loss().unwrap();
            for state in model.states() {
                let start = batch.get_mut(&format!("{state}0")).unwrap();
                start.assign(&found[format!("{state}.final").as_str()]);
            }
        }
        for state in model.states() {
            let carried = batch.get(&format!("{state}0")).unwrap();
            assert_eq!(
                carried,
                &whole[format!("{state}.final").as_str()],
                "{name}: {state}"
            );
        }
        let expected = whole.loss().unwrap();
        assert!(
            (loss - expected).abs() < 1e-13 * expected,
            "{name}: {loss}, {expected}"
        );
    }
}

#[test]
fn a_workspace_remembers_nothing() {
    for threads in [1, 2] {
        let (gradient, params, _) = ragged(Cell::lstm, 12);
        let sizes = [("H", 12), ("K", 6), ("O", 5)];
        let batches: Vec<Batch<f64>> = [&[4, 9, 2][..], &[20], &[3; 30], &[700, 2], &[4, 9, 2]]
            .into_iter()
            .map(|lengths| instance(&gradient, &sizes, lengths, 3).1)
            .collect();
        let program = gradient.compile::<f64>(&sizes).unwrap().threads(threads);
        let mut workspace = program.workspace();
        for round in 0..2 {
            for batch in &batches {
                let fresh = program.evaluate(&params, batch).unwrap();
                for again in 0..2 {
                    let found = program.run(&params, batch, &mut workspace).unwrap();
                    assert_same_bits(&fresh, found, &format!("round {round}, run {again}"));
                }
            }
        }
    }
}

/// In single precision, a step has at most `2 (H + K) + 32` successive roundings, forward and backward
/// together; steps are sequential, and sums over steps are no longer than the sequence. The maps do not expand,
/// so no rounding error grows.
#[test]
fn single_precision_is_rounded_double() {
    let mut worst: f64 = 0.0;
    for (name, cell) in CELLS {
        let (h, k, steps) = (24, 5, 40);
        let model = cell().model(name, Loss::SquaredError).unwrap();
        let gradient = model.gradient(Wrt::Everything).unwrap();
        let sizes = [("H", h), ("K", k), ("O", 3)];
        let (params, batch) = instance(&gradient, &sizes, &[steps, 7, 33], 2);
        let single = (scaled(&params, 0.2).cast::<f32>(), batch.cast::<f32>());
        let double = (single.0.cast::<f64>(), single.1.cast::<f64>());
        let exact = gradient.evaluate(&double.0, &double.1).unwrap();
        let program = gradient.compile::<f32>(&sizes).unwrap();
        let found = program.evaluate(&single.0, &single.1).unwrap();
        let roundings = u32::try_from(steps * (2 * (h + k) + 32)).unwrap();
        let bound = f64::from(roundings) * f64::from(f32::EPSILON) / 2.0;
        let (error, output) = apart(&found, &exact);
        worst = worst.max(error / bound);
        assert!(error <= bound, "{name}: `{output}` is {error:e} apart");
    }
    println!("the worst error is {worst:.3} of its bound");
}

#[test]
fn arrays_in_another_order_are_the_same_arrays() {
    let (gradient, params, batch) = ragged(Cell::gru, 6);
    let program = gradient.compile_for::<f64>(&params, &batch).unwrap();
    let plain = program.evaluate(&params, &batch).unwrap();
    let turn = |a: &ArrayD<f64>| {
        let mut turned = Array::zeros(ndarray::ShapeBuilder::f(a.raw_dim()));
        turned.assign(a);
        for axis in 0..turned.ndim() {
            turned.invert_axis(Axis(axis));
        }
        let values = a.clone();
        turned.assign(&values);
        turned
    };
    let turned_params = params
        .iter()
        .fold(Params::new(), |p, (name, a)| p.with(name, turn(a)));
    let turned = ["x", "h0"].into_iter().fold(batch.clone(), |b, name| {
        let array = batch.get(name).map(turn);
        array.map_or(b.clone(), |a| b.with(name, a))
    });
    assert!(
        !turned.get("x").unwrap().is_standard_layout(),
        "it is turned"
    );
    let classes = batch.classes("y").unwrap().clone().reversed_axes();
    let classes = classes.as_standard_layout().into_owned().reversed_axes();
    let turned = turned.with_classes("y", classes);
    let mut workspace = program.workspace();
    let found = program
        .run(&turned_params, &turned, &mut workspace)
        .unwrap();
    assert_same_bits(&plain, found, "turned arrays");
    let steps = batch.steps();
    let full = |b: &Batch<f64>| b.clone().with_lengths(vec![steps; b.samples()]);
    let plain = program.evaluate(&params, &full(&batch)).unwrap();
    let found = program.run(&turned_params, &full(&turned), &mut workspace);
    assert_same_bits(&plain, found.unwrap(), "turned arrays of one length");
}

/// A function that panics for large arguments, and is NaN for some others.
fn delicate() -> Recurrence {
    let op: Arc<dyn CustomOp> = Arc::new(ScalarFunction {
        name: "delicate",
        eval: |x| {
            assert!(x < 100.0, "too large");
            if x > 50.0 { f64::NAN } else { x * x }
        },
        derivative: |x, _| 2.0 * x,
    });
    Recurrence::define("delicate", |r| {
        let h = r.state("h", [3]);
        let x = r.input("x", [3]);
        let h = r.next(h, 0.5 * h + Expr::custom(&op, [x]));
        r.loss(h.sum());
    })
    .unwrap()
}

#[test]
fn a_run_that_fails_leaves_the_workspace_usable() {
    let recurrence = delicate().gradient(Wrt::Everything).unwrap();
    let (params, good) = instance(&recurrence, &[], &[5, 3, 4, 5], 1);
    let spoilt = |value: f64| {
        let mut x = good.get("x").unwrap().clone();
        x[[2, 3, 1]] = value;
        good.clone().with("x", x)
    };
    for threads in [1, 2, 3] {
        let program = recurrence.compile::<f64>(&[]).unwrap().threads(threads);
        let fresh = program.evaluate(&params, &good).unwrap();
        let mut workspace = program.workspace();
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let found = program
            .run(&params, &spoilt(200.0), &mut workspace)
            .map(|_| ());
        std::panic::set_hook(hook);
        assert!(matches!(found, Err(Error::CustomOp { .. })), "{found:?}");
        let found = program.run(&params, &good, &mut workspace).unwrap();
        assert_same_bits(&fresh, found, "after a panic");
        let found = program
            .run(&params, &spoilt(70.0), &mut workspace)
            .map(|_| ());
        assert!(
            matches!(found, Err(Error::NonFiniteValue { .. })),
            "{found:?}"
        );
        let found = program.run(&params, &good, &mut workspace).unwrap();
        assert_same_bits(&fresh, found, "after a NaN");
        let found = program.run(&Params::new(), &spoilt(f64::INFINITY), &mut workspace);
        assert!(found.is_err(), "an input that is not finite");
        let found = program.run(&params, &good, &mut workspace).unwrap();
        assert_same_bits(&fresh, found, "after data that was refused");
    }
}

#[test]
fn data_that_does_not_fit_the_program_is_refused() {
    let (gradient, params, batch) = ragged(Cell::rnn, 4);
    let program = gradient.compile_for::<f64>(&params, &batch).unwrap();
    let mut workspace = program.workspace();
    let (x, y) = (batch.get("x").unwrap(), batch.classes("y").unwrap());
    let changed = |at: [usize; 2]| {
        let mut y = y.clone();
        y[at] = 5;
        batch.clone().with_classes("y", y)
    };
    let mut not_finite = x.clone();
    not_finite[[1, 1, 0]] = f64::NAN;
    let mut beyond = x.clone();
    beyond[[36, 0, 0]] = f64::NAN;
    let batches = [
        ("no steps", Batch::new(0, 7)),
        ("no samples", Batch::new(37, 0)),
        ("missing", Batch::new(37, 7)),
        ("extra", batch.clone().with("z", x.clone())),
        ("shape", batch.clone().with("x", y.mapv(|c| c as f64))),
        (
            "real classes",
            batch.clone().with("y", y.mapv(|c| c as f64)),
        ),
        ("no class", changed([0, 3])),
        ("not finite", batch.clone().with("x", not_finite)),
        ("lengths", batch.clone().with_lengths([1, 2])),
        ("too long", batch.clone().with_lengths([38; 7])),
        ("empty", batch.clone().with_lengths([0; 7])),
    ];
    for (what, bad) in &batches {
        let slow = gradient.evaluate(&params, bad).expect_err(what);
        let fast = program.run(&params, bad, &mut workspace);
        let fast = fast.map(|_| ()).expect_err(what);
        // Compare texts, as NaN is not equal to NaN.
        assert_eq!(slow.to_string(), fast.to_string(), "{what}");
    }
    // Data beyond the length of a sequence is ignored.
    for good in [changed([36, 0]), batch.clone().with("x", beyond)] {
        let plain = program.evaluate(&params, &batch).unwrap();
        let found = program.run(&params, &good, &mut workspace).unwrap();
        for (name, a) in plain.iter() {
            assert_eq!(a, &found[name], "`{name}`");
        }
    }
    let (_, others, larger) = ragged(Cell::rnn, 5);
    let found = program.run(&others, &larger, &mut workspace).map(|_| ());
    let error = found.expect_err("compiled for H = 4");
    assert!(matches!(error, Error::Batch { .. }), "{error}");
    let unknown = gradient.compile::<f64>(&[("H", 4), ("Q", 1)]);
    assert!(matches!(unknown, Err(Error::UnknownName { .. })), "Q");
    let missing = gradient.compile::<f64>(&[("H", 4)]);
    assert!(matches!(missing, Err(Error::UnknownSize { .. })), "K");
}

/// A plan with the same but wider buffers: only this check keeps a run inside its memory.
#[test]
#[should_panic(expected = "a workspace is used with the program that made it")]
fn a_workspace_of_the_same_recurrence_at_other_sizes_is_refused() {
    let source = "dim H\ninput x[H]\nstate h[H]\nh' = tanh(h + x)\noutput h'";
    let r = Recurrence::parse("sizes", source).unwrap();
    let (params, batch) = instance(&r, &[("H", 9)], &[5, 5], 1);
    let [narrow, wide] = [2, 9].map(|h| r.compile::<f64>(&[("H", h)]).unwrap());
    let mut workspace = narrow.workspace();
    let (_, small) = instance(&r, &[("H", 2)], &[5, 5], 1);
    narrow.run(&params, &small, &mut workspace).unwrap();
    drop(wide.run(&params, &batch, &mut workspace));
}

/// There is no input whose shape could be checked.
#[test]
fn too_many_steps_are_refused_without_any_input() {
    let source = "param a\nstate h\nh' = tanh(a * h + 1)\nfinal loss h'^2";
    let r = Recurrence::parse("endless", source).unwrap();
    let program = r.compile::<f64>(&[]).unwrap();
    let (params, _) = instance(&r, &[], &[3], 1);
    for (steps, samples) in [(usize::MAX, 1), (1 << 20, 1 << 20), (1 << 40, 1 << 40)] {
        let batch = Batch::new(steps, samples);
        let slow = r.evaluate(&params, &batch).expect_err("by the evaluator");
        let fast = program.evaluate(&params, &batch).expect_err("by a program");
        assert_eq!(slow.to_string(), fast.to_string());
    }
}
