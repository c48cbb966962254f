//! The square commutes: for random recurrences, every way to a derivative leads to the same numbers.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;

use bptt::cells::{self, Cell, Start};
use bptt::ops::{Linear, Pointwise, Reduce, Time};
use bptt::strategy::{self, Instance};
use bptt::{Batch, Dim, Op, Outputs, Params, Rate, Recurrence, Wrt, concat};
use ndarray::{ArrayD, Axis, Dimension, IxDyn, Slice, concatenate};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, FileFailurePersistence, TestRunner};

fn config(cases: u32) -> Config {
    let failures = FileFailurePersistence::WithSource("regressions");
    Config {
        cases,
        failure_persistence: Some(Box::new(failures)),
        ..Config::default()
    }
}

/// Numbers in [-1, 1] that look random.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        f64::from(u32::try_from(self.0 >> 32).unwrap()) / f64::from(1_u32 << 31) - 1.0
    }

    fn array(&mut self, shape: &[usize]) -> ArrayD<f64> {
        ArrayD::from_shape_simple_fn(IxDyn(shape), || self.next())
    }

    fn like(&mut self, outputs: &Outputs<f64>) -> Vec<(String, ArrayD<f64>)> {
        named(outputs)
            .map(|(n, a)| (n.into(), self.array(a.shape())))
            .collect()
    }
}

/// The derivatives among some outputs.
fn named(outputs: &Outputs<f64>) -> impl Iterator<Item = (&str, &ArrayD<f64>)> {
    outputs.iter().filter(|(n, _)| *n != "loss")
}

fn norm(a: &ArrayD<f64>) -> f64 {
    a.iter().fold(0.0, |m, x| m.max(x.abs()))
}

/// The largest entry of all derivatives.
fn overall(outputs: &Outputs<f64>) -> f64 {
    named(outputs).fold(0.0, |m, (_, a)| m.max(norm(a)))
}

/// The largest difference, relative to the largest entry of each array; what is tiny next to the
/// other arrays is held to the rounding error of those.
fn distance(a: &Outputs<f64>, b: &Outputs<f64>) -> f64 {
    let floor = 1e-2 * overall(a) + 1e-3;
    named(a).fold(0.0, |worst, (name, a)| {
        let b = b.get(name).unwrap_or_else(|| panic!("`{name}` is missing"));
        assert_eq!(a.shape(), b.shape(), "{name}");
        worst.max(norm(&(a - b)) / norm(a).max(floor))
    })
}

fn inner(a: &Outputs<f64>, v: &[(String, ArrayD<f64>)]) -> (f64, f64) {
    v.iter().fold((0.0, 0.0), |(sum, size), (name, v)| {
        let terms = &a[name.as_str()] * v;
        (sum + terms.sum(), size + terms.mapv(f64::abs).sum())
    })
}

fn is_param(r: &Recurrence, name: &str) -> bool {
    r.parameters().any(|p| p == name)
}

/// Adds arrays under names with a suffix, wherever the recurrence wants them.
fn with(i: &Instance, r: &Recurrence, suffix: &str, v: &[(String, ArrayD<f64>)]) -> Instance {
    let mut out = i.clone();
    out.recurrence = r.clone();
    for (name, a) in v {
        let name = format!("{name}{suffix}");
        if is_param(r, &name) {
            out.params.insert(&name, a.clone());
        } else {
            out.batch = out.batch.with(&name, a.clone());
        }
    }
    out
}

fn run(i: &Instance) -> Outputs<f64> {
    let i_ = &i.recurrence;
    i_.evaluate(&i.params, &i.batch).unwrap()
}

fn slot<'a>(
    params: &'a mut Params<f64>,
    batch: &'a mut Batch<f64>,
    name: &str,
) -> &'a mut ArrayD<f64> {
    if params.get(name).is_some() {
        params.get_mut(name).unwrap()
    } else {
        batch.get_mut(name).unwrap()
    }
}

/// The derivative of `f` at 0 by Richardson extrapolation, or `None` where `f` is not smooth.
fn slope(f: &mut dyn FnMut(f64) -> f64, h: f64, tolerance: f64) -> Option<f64> {
    let mut d = |h: f64| (f(h) - f(-h)) / (2.0 * h);
    let d = [d(h), d(h / 2.0), d(h / 4.0), d(h / 8.0)];
    let e = [0, 1, 2].map(|i| (4.0 * d[i + 1] - d[i]) / 3.0);
    let r = [0, 1].map(|i| (16.0 * e[i + 1] - e[i]) / 15.0);
    ((r[0] - r[1]).abs() <= tolerance).then_some((64.0 * r[1] - r[0]) / 63.0)
}

/// What a test has seen.
#[derive(Debug, Default)]
struct Seen {
    checked: usize,
    skipped: usize,
    /// How many derivatives were far from zero.
    curved: usize,
    worst: [f64; 4],
}

impl Seen {
    fn note(&mut self, i: usize, error: f64) {
        self.worst[i] = self.worst[i].max(error);
    }

    fn report(&self, what: &str) {
        println!("{what}: {self:?}");
        assert!(
            self.skipped * 10 <= self.checked + self.skipped,
            "{what}: skips are rare: {self:?}"
        );
    }
}

/// Runs a property on random instances; what it has seen is summed up over all of them.
fn for_all(
    cases: u32,
    what: &str,
    s: impl Strategy<Value = Instance>,
    test: impl Fn(&Instance, &mut Seen) -> Result<(), TestCaseError>,
) {
    let seen = std::cell::RefCell::new(Seen::default());
    let mut config = config(cases);
    config.source_file = Some(file!());
    let mut runner = TestRunner::new(config);
    runner
        .run(&s, |i| test(&i, &mut seen.borrow_mut()))
        .unwrap_or_else(|e| panic!("{what}: {e}"));
    seen.borrow().report(what);
}

#[test]
fn every_op_occurs() {
    let mut runner = TestRunner::deterministic();
    let mut names = BTreeSet::new();
    for _ in 0..400 {
        let i = strategy::recurrence()
            .new_tree(&mut runner)
            .unwrap()
            .current();
        let gradient = i.recurrence.gradient(Wrt::Everything).unwrap();
        for tape in [i.recurrence.tape(), gradient.tape()] {
            names.extend(tape.nodes().map(|(_, n)| n.op().name().to_owned()));
        }
    }
    let table = Pointwise::ALL.iter().map(|o| Op::Pointwise(*o));
    let table = table.chain(Linear::ALL.iter().map(|o| Op::Linear(*o)));
    let table = table.chain(Reduce::ALL.iter().map(|o| Op::Reduce(*o)));
    let table = table.chain(Time::ALL.iter().map(|o| Op::Time(*o)));
    let missing: Vec<_> = table.filter(|o| !names.contains(o.name())).collect();
    assert!(missing.is_empty(), "never drawn: {missing:?}");
    assert!(names.contains("swish"), "custom ops are drawn");
}

#[test]
fn gradients_agree_four_ways() {
    for_all(200, "first order", strategy::recurrence(), |i, seen| {
        let g = run(&Instance {
            recurrence: i.recurrence.gradient(Wrt::Everything).unwrap(),
            ..i.clone()
        });
        let unrolled = i.recurrence.unroll_for(&i.params, &i.batch).unwrap();
        let tape = unrolled
            .gradient(Wrt::Everything)
            .unwrap()
            .evaluate(&i.params, &i.batch)
            .unwrap();
        let error = distance(&g, &tape);
        seen.curved += usize::from(overall(&g) > 1e-3);
        seen.note(0, error);
        prop_assert!(error < 1e-12, "reverse mode on the tape: {error:e}");
        prop_assert!(g["loss"] == tape["loss"], "the losses differ");

        let v = Numbers(7).like(&g);
        let forward = i.recurrence.tangent(Wrt::Everything).unwrap();
        let forward = run(&with(i, &forward, ".dot", &v))["loss.dot"].sum();
        let (sum, size) = inner(&g, &v);
        let error = (forward - sum).abs() / (size + 1e-3);
        seen.note(1, error);
        prop_assert!(error < 1e-12, "forward mode: {forward} {sum} {error:e}");

        let loss = g["loss"].sum().abs();
        for (name, exact) in named(&g) {
            let scale = norm(exact) + 1e-2 * overall(&g) + 1e-6 * loss + 1e-6;
            let Some((at, exact)) = exact.indexed_iter().nth(exact.len() / 3) else {
                continue;
            };
            let t = at.as_array_view().to_vec();
            let (mut params, mut batch) = (i.params.clone(), i.batch.clone());
            let was = slot(&mut params, &mut batch, name)[IxDyn(&t)];
            let mut f = |e: f64| {
                slot(&mut params, &mut batch, name)[IxDyn(&t)] = was + e;
                unrolled.evaluate(&params, &batch).unwrap().loss().unwrap()
            };
            match slope(&mut f, 4e-3, 1e-7 * scale) {
                Some(found) => {
                    seen.checked += 1;
                    let error = (found - exact).abs() / scale;
                    seen.note(2, error);
                    prop_assert!(
                        error < 1e-7,
                        "{name}{t:?}: {exact} but differences give {found}"
                    );
                }
                None => seen.skipped += 1,
            }
        }
        Ok(())
    });
}

#[test]
fn second_derivatives_agree() {
    for_all(100, "second order", strategy::recurrence(), |i, seen| {
        let gradient = i.recurrence.gradient(Wrt::Everything).unwrap();
        let at = |p: &Params<f64>, b: &Batch<f64>, u: &bptt::Unrolled| u.evaluate(p, b).unwrap();
        let unrolled = gradient.unroll_for(&i.params, &i.batch).unwrap();
        let g = at(&i.params, &i.batch, &unrolled);
        let mut numbers = Numbers(3);
        // Forward mode moves what lies beyond the length of a sequence without effect.
        let (u, v) = (numbers.like(&g), numbers.like(&g));
        let hessian = i.recurrence.hessian_vector(Wrt::Everything).unwrap();
        let hv = run(&with(i, &hessian, ".dot", &v));
        let hu = run(&with(i, &hessian, ".dot", &u));

        let names: Vec<&str> = named(&g).map(|(n, _)| n).collect();
        let twice = gradient.pullback(&names, Wrt::Everything).unwrap();
        let error = distance(&hv, &run(&with(i, &twice, ".bar", &v)));
        seen.curved += usize::from(overall(&hv) > 1e-3);
        seen.note(0, error);
        prop_assert!(error < 1e-11, "reverse over reverse: {error:e}");

        let tangent = with(
            i,
            &i.recurrence.tangent(Wrt::Everything).unwrap(),
            ".dot",
            &v,
        );
        let tape = tangent
            .recurrence
            .unroll_for(&tangent.params, &tangent.batch)
            .unwrap();
        let tape = tape.gradient_of("loss.dot", Wrt::Names(&names)).unwrap();
        let error = distance(
            &hv,
            &tape.evaluate(&tangent.params, &tangent.batch).unwrap(),
        );
        seen.note(1, error);
        prop_assert!(error < 1e-11, "tape reverse over forward: {error:e}");

        let ((a, size), (b, other)) = (inner(&hv, &u), inner(&hu, &v));
        let error = (a - b).abs() / (size + other + 1e-3);
        seen.note(2, error);
        prop_assert!(error < 1e-12, "symmetry: {a} {b}");

        let f = &mut |e: f64| {
            let (mut p, mut b) = (i.params.clone(), i.batch.clone());
            for (name, v) in &v {
                slot(&mut p, &mut b, name).scaled_add(e, v);
            }
            inner(&at(&p, &b, &unrolled), &u).0
        };
        let scale = size + 1e-2 * overall(&hv) + 1e-4 * overall(&g) + 1e-3;
        match slope(f, 1e-3, 1e-6 * scale) {
            Some(found) => {
                seen.checked += 1;
                let error = (found - a).abs() / scale;
                seen.note(3, error);
                prop_assert!(error < 1e-6, "differences of the gradient: {a} {found}");
            }
            None => seen.skipped += 1,
        }
        Ok(())
    });
}

/// What to do with the data of each input that varies with the sample.
fn map_batch(
    i: &Instance,
    mut out: Batch<f64>,
    real: impl Fn(&ArrayD<f64>, Rate) -> ArrayD<f64>,
    class: impl Fn(&ArrayD<usize>, Rate) -> ArrayD<usize>,
) -> Batch<f64> {
    for leaf in i.recurrence.tape().leaves() {
        if let Some(a) = i.batch.get(leaf.name()) {
            out = out.with(leaf.name(), real(a, leaf.ty().rate));
        } else if let Some(a) = i.batch.classes(leaf.name()) {
            out = out.with_classes(leaf.name(), class(a, leaf.ty().rate));
        }
    }
    out
}

fn part<T: Clone>(a: &ArrayD<T>, axis: usize, from: usize, to: usize) -> ArrayD<T> {
    a.slice_axis(Axis(axis), Slice::from(from..to)).to_owned()
}

/// Steps `from .. to` of every sequence.
fn steps(i: &Instance, from: usize, to: usize) -> Batch<f64> {
    let batch = Batch::new(to - from, i.batch.samples());
    let cut = |rate| {
        if rate == Rate::Step {
            Some((from, to))
        } else {
            None
        }
    };
    map_batch(
        i,
        batch,
        |a, rate| cut(rate).map_or(a.clone(), |(f, t)| part(a, 0, f, t)),
        |a, rate| cut(rate).map_or(a.clone(), |(f, t)| part(a, 0, f, t)),
    )
}

fn gradient(i: &Instance) -> Outputs<f64> {
    let recurrence = i.recurrence.gradient(Wrt::Everything).unwrap();
    run(&Instance {
        recurrence,
        ..i.clone()
    })
}

fn rate_of(r: &Recurrence, name: &str) -> Rate {
    r.tape()
        .leaves()
        .iter()
        .find(|l| l.name() == name)
        .unwrap()
        .ty()
        .rate
}

/// The gradient of sequences one after the other, from those of the parts.
fn check_resets(i: &Instance, cut: usize) -> f64 {
    let (total, samples) = (i.batch.steps(), i.batch.samples());
    let first = gradient(&Instance {
        batch: steps(i, 0, cut),
        ..i.clone()
    });
    let second = gradient(&Instance {
        batch: steps(i, cut, total),
        ..i.clone()
    });
    let recurrence = i.recurrence.with_resets("reset").unwrap();
    let mut reset = ArrayD::zeros(IxDyn(&[total, samples]));
    reset.index_axis_mut(Axis(0), cut).fill(1.0);
    let batch = steps(i, 0, total).with("reset", reset);
    let whole = gradient(&Instance {
        recurrence,
        batch,
        params: i.params.clone(),
    });
    let floor = 1e-2 * overall(&whole) + 1e-3;
    let mut worst = (whole["loss"].sum() - first["loss"].sum() - second["loss"].sum()).abs();
    for (name, a) in named(&first) {
        let b = &second[name];
        let sum = match rate_of(&i.recurrence, name) {
            Rate::Step => concatenate(Axis(0), &[a.view(), b.view()]).unwrap(),
            _ => a + b,
        };
        worst = worst.max(norm(&(&sum - &whole[name])) / norm(&sum).max(floor));
    }
    worst
}

#[test]
fn a_reset_separates_two_sequences() {
    for_all(80, "resets", strategy::per_step(), |i, seen| {
        let error = check_resets(i, i.batch.steps() / 2);
        seen.note(0, error);
        prop_assert!(error < 1e-12, "{error:e}");
        Ok(())
    });
}

#[test]
fn a_batch_is_the_sum_of_its_samples() {
    for_all(60, "ragged", strategy::per_sample(), |i, seen| {
        let whole = gradient(i);
        let floor = 1e-2 * overall(&whole) + 1e-3;
        let mut sums: Vec<(String, ArrayD<f64>)> = Vec::new();
        for (b, length) in i.batch.lengths().into_iter().enumerate() {
            let one = Batch::new(length, 1);
            fn cut<T: Clone>(a: &ArrayD<T>, rate: Rate, b: usize, length: usize) -> ArrayD<T> {
                match rate {
                    Rate::Step => part(&part(a, 1, b, b + 1), 0, 0, length),
                    _ => part(a, 0, b, b + 1),
                }
            }
            let one = map_batch(
                i,
                one,
                |a, r| cut(a, r, b, length),
                |a, r| cut(a, r, b, length),
            );
            let found = gradient(&Instance {
                batch: one,
                ..i.clone()
            });
            for (name, a) in found.iter() {
                if name == "loss" || is_param(&i.recurrence, name) {
                    match sums.iter_mut().find(|(n, _)| n == name) {
                        Some((_, sum)) => *sum += a,
                        None => sums.push((name.into(), a.clone())),
                    }
                } else {
                    let expected = cut(&whole[name], rate_of(&i.recurrence, name), b, length);
                    let error = norm(&(a - &expected)) / norm(a).max(floor);
                    seen.note(0, error);
                    prop_assert!(error < 1e-13, "{name} of sample {b}: {error:e}");
                }
            }
        }
        for (name, sum) in sums {
            let error = norm(&(&sum - &whole[name.as_str()])) / norm(&sum).max(floor);
            seen.note(1, error);
            prop_assert!(error < 1e-12, "{name}: {error:e}");
        }
        Ok(())
    });
}

#[test]
fn a_mask_is_a_length() {
    for_all(80, "masks", strategy::recurrence(), |i, seen| {
        let expected = gradient(i);
        let (lengths, padded) = (i.batch.lengths(), i.batch.steps() + 1);
        fn pad<T: Copy>(a: &ArrayD<T>, rate: Rate) -> ArrayD<T> {
            match rate {
                Rate::Step => concatenate(Axis(0), &[a.view(), part(a, 0, 0, 1).view()]).unwrap(),
                _ => a.clone(),
            }
        }
        let batch = map_batch(i, Batch::new(padded, i.batch.samples()), pad, pad);
        let active = ArrayD::from_shape_fn(IxDyn(&[padded, i.batch.samples()]), |at| {
            f64::from(u8::from(at[0] < lengths[at[1]]))
        });
        let recurrence = i.recurrence.with_mask("active").unwrap();
        let found = gradient(&Instance {
            recurrence,
            batch: batch.with("active", active),
            params: i.params.clone(),
        });
        let floor = 1e-2 * overall(&expected) + 1e-3;
        for (name, a) in expected.iter() {
            let rate = if name == "loss" {
                Rate::Static
            } else {
                rate_of(&i.recurrence, name)
            };
            let mut padding = 0.0;
            let mut b = found[name].clone();
            if rate == Rate::Step {
                padding = norm(&part(&b, 0, padded - 1, padded));
                b = part(&b, 0, 0, padded - 1);
            }
            let error = norm(&(a - &b)) / norm(a).max(floor);
            seen.note(0, error);
            prop_assert!(
                error < 1e-13 && padding == 0.0,
                "{name}: {error:e}, {padding}"
            );
        }
        Ok(())
    });
}

/// Runs `f` where there is little room for recursion.
fn on_a_small_stack(f: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(2 << 20);
    thread.spawn(f).unwrap().join().unwrap();
}

#[test]
fn a_sequence_may_be_long() {
    on_a_small_stack(|| {
        let recurrence = Recurrence::define("long", |r| {
            let (w, x) = (r.param("w", ()), r.input("x", ()));
            let h = r.state("h", ());
            let h = r.next(h, (w * h + x).tanh());
            r.loss(0.5 * h * h);
        })
        .unwrap();
        let t = 100_000;
        let params = Params::new().with("w", ndarray::arr0(0.9));
        let batch = Batch::new(t, 1).with("x", Numbers(5).array(&[t, 1]));
        let i = Instance {
            recurrence,
            params,
            batch,
        };
        let start = std::time::Instant::now();
        let symbolic = gradient(&i);
        println!("unrolled gradient: {:?}", start.elapsed());
        let tape = i.recurrence.unroll_for(&i.params, &i.batch).unwrap();
        let tape = tape.gradient(Wrt::Everything).unwrap();
        let tape = tape.evaluate(&i.params, &i.batch).unwrap();
        println!("and reverse mode on the tape: {:?}", start.elapsed());
        let error = distance(&symbolic, &tape);
        assert!(error < 1e-12, "{error:e}");
    });
}

#[test]
fn delta_is_the_derivative_by_injection() {
    // ε is added to h wherever it is used; the δ of the recurrence without ε is the same number.
    let write = |inject: bool| {
        Recurrence::define("injected", |r| {
            let (w, x) = (r.param("w", [3, 3]), r.input("x", [3]));
            let h = r.state("h", [3]);
            let mut next = (w.dot(h) + x).tanh();
            if inject {
                next = next + r.input("e", [3]);
            }
            let h = r.next(h, next);
            r.loss((h * x).sin().sum());
            r.final_loss(h.square().sum());
        })
        .unwrap()
    };
    let mut numbers = Numbers(11);
    let params = Params::new().with("w", numbers.array(&[3, 3]));
    let batch = Batch::new(5, 2)
        .with("x", numbers.array(&[5, 2, 3]))
        .with_lengths([5, 3]);
    let delta = write(false)
        .gradient(&["h"])
        .unwrap()
        .evaluate(&params, &batch)
        .unwrap();
    let (injected, zeros) = (write(true), ArrayD::zeros(IxDyn(&[5, 2, 3])));
    for (at, exact) in delta["h"].indexed_iter() {
        let mut f = |e: f64| {
            let mut moved = zeros.clone();
            moved[&at] = e;
            let batch = batch.clone().with("e", moved);
            injected.evaluate(&params, &batch).unwrap().loss().unwrap()
        };
        let found = slope(&mut f, 1e-2, 1e-7).unwrap();
        assert!((found - exact).abs() < 1e-9, "{at:?}: {found} {exact}");
    }
}

/// A cell in both directions, with data.
fn bidirectional(cell: fn() -> Cell) -> Instance {
    let recurrence = Recurrence::define("bidirectional", |r| {
        let (hidden, outputs) = (Dim::fixed(3), Dim::fixed(4));
        let x = r.input("x", [2]);
        let forward = cell().suffix("_fw").start(Start::Input);
        let backward = cell().suffix("_bw").start(Start::Parameter).backward();
        let forward = forward.apply(r, x, hidden);
        let backward = backward.apply(r, x, hidden);
        let o = cells::readout(r, "", concat([forward, backward]), outputs);
        r.loss(o.squared_error(r.input("y", [outputs])));
    })
    .unwrap();
    let (steps, samples) = (5, 2);
    let mut numbers = Numbers(17);
    let mut params = Params::new();
    let mut batch = Batch::new(steps, samples);
    for leaf in recurrence.tape().leaves() {
        let mut shape = match leaf.ty().rate {
            Rate::Static => vec![],
            Rate::Sample => vec![samples],
            Rate::Step => vec![steps, samples],
        };
        shape.extend(leaf.ty().shape.dims().iter().map(|d| d.as_fixed().unwrap()));
        let array = numbers.array(&shape);
        if is_param(&recurrence, leaf.name()) {
            params.insert(leaf.name(), array);
        } else {
            batch = batch.with(leaf.name(), array);
        }
    }
    Instance {
        recurrence,
        params,
        batch,
    }
}

#[test]
fn a_reset_separates_two_sequences_of_a_bidirectional_cell() {
    for cell in [Cell::rnn, Cell::lstm, Cell::peephole_lstm, Cell::gru] {
        let error = check_resets(&bidirectional(cell), 2);
        assert!(error < 1e-12, "{:?}: {error:e}", cell());
    }
}

#[test]
fn third_derivatives_agree_with_differences() {
    let i = bidirectional(Cell::rnn);
    let v = Numbers(23).like(&gradient(&i));
    let u = Numbers(29).like(&gradient(&i));
    let hessian = i.recurrence.hessian_vector(Wrt::Everything).unwrap();
    let names: Vec<&str> = v.iter().map(|(n, _)| n.as_str()).collect();
    // The derivative of u · H v in every leaf, by reverse mode over forward over reverse.
    let third = hessian.pullback(&names, Wrt::Names(&names)).unwrap();
    let at = with(&with(&i, &third, ".dot", &v), &third, ".bar", &u);
    let found = run(&at);
    let hessian = with(&i, &hessian, ".dot", &v);
    let unrolled = hessian
        .recurrence
        .unroll_for(&hessian.params, &hessian.batch)
        .unwrap();
    for seed in 0..3 {
        let w = Numbers(seed).like(&found);
        let mut f = |e: f64| {
            let (mut p, mut b) = (hessian.params.clone(), hessian.batch.clone());
            for (name, w) in &w {
                slot(&mut p, &mut b, name).scaled_add(e, w);
            }
            inner(&unrolled.evaluate(&p, &b).unwrap(), &u).0
        };
        let (exact, size) = inner(&found, &w);
        let slope = slope(&mut f, 2e-3, 1e-6 * size).unwrap();
        assert!((exact - slope).abs() < 1e-7 * size, "{exact} {slope}");
    }
}
