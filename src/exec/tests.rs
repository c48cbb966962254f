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
            if *isa == Isa::detect() && chunk == 2 {
                let program = program.threads(3);
                let shared = program.evaluate(&i.params, &i.batch).unwrap();
                for (name, a) in one.iter() {
                    let bits = |a: &ArrayD<f64>| a.mapv(f64::to_bits);
                    assert_eq!(bits(a), bits(&shared[name]), "`{name}` by three workers");
                }
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
    assert!(
        worst.get() < 1e-12,
        "the largest distance: {:e}",
        worst.get()
    );
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

#[test]
fn more_steps_than_memory_are_refused_before_anything_is_made() {
    use super::workspace::Extent;
    use crate::error::Error;
    use crate::recurrence::cells::{Cell, Loss};

    let model = Cell::lstm().model("lstm", Loss::SquaredError).unwrap();
    let gradient = model.gradient(Wrt::Parameters).unwrap();
    let sizes = [("H", 8), ("K", 3), ("O", 2)];
    let program = gradient.compile::<f32>(&sizes).unwrap();
    let mut workspace = program.workspace();
    for steps in [1 << 50, usize::MAX / 2, usize::MAX] {
        let extent = Extent {
            steps,
            samples: 4,
            chunk: usize::MAX,
        };
        let found = workspace.prepare(&program.plan, program.isa, extent);
        assert!(
            matches!(found, Err(Error::OutOfMemory { bytes }) if bytes > 1 << 50),
            "{found:?}"
        );
        assert_eq!(workspace.bytes(), 0, "nothing was made");
    }
    let extent = Extent {
        steps: 9,
        samples: 4,
        chunk: usize::MAX,
    };
    workspace
        .prepare(&program.plan, program.isa, extent)
        .unwrap();
    assert!(workspace.bytes() > 0, "it can still be used");
}
