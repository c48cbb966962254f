//! Every instruction set, any length of the chunks of time and any number of workers: the executor
//! computes what the evaluator computes, on random recurrences.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use ndarray::ArrayD;
use proptest::test_runner::{Config, TestRunner};

use super::Real;
use super::kernel::Isa;
use crate::check::strategy::{self, Instance};
use crate::op::Scalar;
use crate::recurrence::{Outputs, Wrt};

fn norm(a: &ArrayD<f64>) -> f64 {
    let larger = |m: f64, x: &f64| if x.abs() <= m { m } else { x.abs() };
    a.iter().fold(0.0, larger)
}

/// The largest difference, relative to the largest entry of each array; what is tiny next to the
/// other arrays is held to the rounding error of those.
fn apart<F: Real>(fast: &Outputs<F>, slow: &Outputs<f64>) -> f64 {
    let floor = 1e-2 * slow.iter().fold(0.0, |m: f64, (_, a)| m.max(norm(a))) + 1e-3;
    slow.iter().fold(0.0, |worst: f64, (name, a)| {
        let b = fast[name].mapv(|x| Scalar::to_f64(x));
        worst.max(norm(&(a - &b)) / norm(a).max(floor))
    })
}

/// Runs in every way there is; the largest distance from the evaluator, and from a run by other
/// workers, which must be the same to the bit.
fn every_way(i: &Instance) -> f64 {
    let slow = i.recurrence.evaluate(&i.params, &i.batch).unwrap();
    let program = i
        .recurrence
        .compile_for::<f64>(&i.params, &i.batch)
        .unwrap();
    let mut worst: f64 = 0.0;
    for isa in Isa::available() {
        for chunk in [1, 2, 3, usize::MAX] {
            let program = program.clone().on(*isa).in_chunks_of(chunk);
            let one = program.evaluate(&i.params, &i.batch).unwrap();
            let error = apart(&one, &slow);
            assert!(
                error <= 1e-12,
                "{} in chunks of {chunk}: {error:e}",
                isa.name()
            );
            worst = worst.max(error);
            for threads in [2, 3] {
                let program = program.clone().threads(threads);
                let shared = program.evaluate(&i.params, &i.batch).unwrap();
                assert_eq!(
                    one,
                    shared,
                    "{threads} threads, {} in chunks of {chunk}",
                    isa.name()
                );
            }
        }
    }
    worst
}

fn for_all(cases: u32, derive: impl Fn(&Instance) -> Instance) {
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    });
    let worst = std::cell::Cell::new(0.0_f64);
    runner
        .run(&strategy::recurrence(), |i| {
            worst.set(worst.get().max(every_way(&derive(&i))));
            Ok(())
        })
        .unwrap();
    println!("the largest distance: {:e}", worst.get());
}

#[test]
fn recurrences_run_in_every_way() {
    for_all(60, Clone::clone);
}

#[test]
fn gradients_run_in_every_way() {
    for_all(60, |i| Instance {
        recurrence: i.recurrence.gradient(Wrt::Everything).unwrap(),
        ..i.clone()
    });
}
