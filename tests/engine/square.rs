//! The square commutes: for random recurrences, all ways to compute a derivative give the same numbers.

use std::collections::BTreeSet;

use crate::support::engines::EveryEngine as _;
use crate::support::random::*;
use bptt::cells::Cell;
use bptt::check::Verdict;
use bptt::ops::{Linear, Pointwise, Reduce, Time};
use bptt::{Batch, Op, Params, Recurrence, Wrt};
use bptt_testing::random::{self as strategy, Instance};
use ndarray::{ArrayD, Dimension, IxDyn};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

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
    // Masks and resets, which the random recurrences are given, refuse sums over samples (`pools`).
    let time = Time::ALL.iter().map(|o| Op::Time(*o));
    let table = table.chain(time.filter(|o| o.name() != "pool"));
    let drawn = ["solve", "cumsum", "cumsum_back", "softmax", "largest"];
    assert!(drawn.iter().all(|name| names.contains(*name)), "{names:?}");
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
        // In forward mode, directions beyond the length of a sequence have no effect.
        let (u, v) = (numbers.like(&g), numbers.like(&g));
        let hessian = i.recurrence.hessian_vector(Wrt::Everything).unwrap();
        let hv = run(&with(i, &hessian, ".dot", &v));
        let hu = run(&with(i, &hessian, ".dot", &u));

        let names: Vec<&str> = named(&g).map(|(n, _)| n).collect();
        let twice = gradient.pullback(&names, Wrt::Names(&names)).unwrap();
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

/// Runs `f` on a thread with a small stack.
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
    // ε is added to h at every use; its derivative equals the δ of the recurrence without ε.
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
        .on_every_engine(&params, &batch)
        .unwrap();
    let (injected, zeros) = (write(true), ArrayD::zeros(IxDyn(&[5, 2, 3])));
    for (at, exact) in delta["h"].indexed_iter() {
        let mut f = |e: f64| {
            let mut moved = zeros.clone();
            moved[&at] = e;
            let batch = batch.clone().with("e", moved);
            injected
                .on_every_engine(&params, &batch)
                .unwrap()
                .loss()
                .unwrap()
        };
        let found = slope(&mut f, 1e-2, 1e-7).unwrap();
        assert!((found - exact).abs() < 1e-9, "{at:?}: {found} {exact}");
    }
}

#[test]
fn third_derivatives_agree_with_differences() {
    let i = bidirectional(Cell::rnn);
    let v = Numbers(23).like(&gradient(&i));
    let u = Numbers(29).like(&gradient(&i));
    let hessian = i.recurrence.hessian_vector(Wrt::Everything).unwrap();
    let names: Vec<&str> = v.iter().map(|(n, _)| n.as_str()).collect();
    // The derivative of u · H v with respect to every leaf, by reverse over forward over reverse mode.
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

#[test]
fn certification_raises_no_false_alarm() {
    for_all(60, "certification", strategy::recurrence(), |i, seen| {
        let check = bptt::Check::new(&i.recurrence).entries(1);
        let certificate = check.run(&i.params, &i.batch).unwrap();
        match certificate.verdict() {
            Verdict::Certified => seen.checked += 1,
            Verdict::Incomplete => seen.skipped += 1,
            _ => prop_assert!(false, "{certificate}\n{}", i.recurrence),
        }
        Ok(())
    });
}

/// Equal nodes are one node. A second name for a node is a value defined as the first, with its own δ.
#[test]
fn a_second_name_for_a_value_has_a_derivative_of_its_own() {
    let r = Recurrence::define("twice", |r| {
        let x = r.input("x", ());
        let (a, b) = (x.sin().named("a"), x.sin().named("b"));
        r.loss(a * a + b * 3.0);
        let before = r.state("before", ());
        r.next(before, x);
        r.loss(x * 5.0 + before);
        let (p, q) = (r.state("p", ()), r.state("q", ()));
        let (p, q) = (r.next(p, x.cos()), r.next(q, x.cos()));
        r.loss(p * 2.0 + q * 7.0);
    })
    .unwrap();
    let x = ndarray::array![[0.3], [-0.7], [1.1]];
    let batch = Batch::new(3, 1).with("x", x.clone());
    let names = ["a", "b", "before", "p", "q"];
    let found = r
        .gradient(&names)
        .unwrap()
        .on_every_engine(&Params::new(), &batch)
        .unwrap();
    let expected = [
        x.mapv(|x: f64| 2.0 * x.sin() + 3.0),
        x.mapv(|_| 3.0),
        ndarray::array![[1.0], [1.0], [0.0]],
        x.mapv(|_| 2.0 + 7.0),
        x.mapv(|_| 7.0),
    ];
    for (name, expected) in names.iter().zip(expected) {
        assert_eq!(found[*name], expected.into_dyn(), "{name}");
    }
}
