//! Steps give the bits of a long run, on random recurrences and every instruction set.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use ndarray::{ArrayD, Axis};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, TestRunner};

use super::super::kernel::Isa;
use super::super::{Program, Real, Stepper};
use super::strategy::{self, Instance};
use crate::error::Error;
use crate::op::Scalar;
use crate::recurrence::{Batch, Outputs, Params};

/// The inputs of a step in the order in which a step takes them.
fn flat<F: Real>(program: &Program<F>, batch: &Batch<F>, step: usize) -> Vec<F> {
    let leaves = program.recurrence().tape().leaves().iter();
    let per_step = leaves.filter(|l| l.ty().rate == crate::shape::Rate::Step);
    let mut all = Vec::new();
    for leaf in per_step {
        match (batch.get(leaf.name()), batch.classes(leaf.name())) {
            (Some(a), _) => all.extend(a.index_axis(Axis(0), step).iter().copied()),
            (_, Some(a)) => {
                let classes = a.index_axis(Axis(0), step);
                all.extend(classes.iter().map(|c| F::of(*c as f64)));
            }
            _ => unreachable!("there is data for each input"),
        }
    }
    all
}

fn bits<F: Real>(x: F) -> u64 {
    Scalar::to_f64(x).to_bits()
}

/// Takes the steps of a batch and compares each with a run.
fn compare<F: Real>(
    program: &Program<F>,
    stepper: &mut Stepper<F>,
    batch: &Batch<F>,
    (expected, steps): (&Outputs<F>, std::ops::Range<usize>),
) {
    for step in steps {
        let places: Vec<_> = stepper.outputs().map(|(n, r)| (n.to_owned(), r)).collect();
        let found = stepper.step(&flat(program, batch, step)).unwrap();
        for (name, place) in places {
            let row = expected[&name].index_axis(Axis(0), step);
            let row: Vec<u64> = row.iter().map(|x| bits(*x)).collect();
            let found: Vec<u64> = found[place].iter().map(|x| bits(*x)).collect();
            assert_eq!(
                found,
                row,
                "`{name}` at step {step} of {}",
                program.recurrence()
            );
        }
    }
}

/// Returns false if the recurrence cannot run one step at a time.
fn check<F: Real>(i: &Instance, isa: Isa) -> bool {
    let params: Params<F> = i.params.cast();
    let mut batch = Batch::new(i.batch.steps(), i.batch.samples());
    let given: Batch<F> = i.batch.cast();
    for name in given.names() {
        batch = match (given.get(name), given.classes(name)) {
            (Some(a), _) => batch.with(name, a.clone()),
            (_, Some(a)) => batch.with_classes(name, a.clone()),
            _ => batch,
        };
    }
    let program = i
        .recurrence
        .compile_for::<F>(&params, &batch)
        .unwrap()
        .on(isa);
    let mut stepper = match program.stepper_of(&params, &batch) {
        Err(Error::NotCausal { .. }) => return false,
        found => found.unwrap(),
    };
    let Ok(expected) = program.evaluate(&params, &batch) else {
        return true;
    };
    let steps = batch.steps();
    compare(&program, &mut stepper, &batch, (&expected, 0..steps));
    let found = stepper.so_far().unwrap();
    for (name, a) in found.iter() {
        let wide = |a: &ArrayD<F>| a.mapv(|x| Scalar::to_f64(x));
        let (a, b) = (wide(a), wide(&expected[name]));
        let close = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-3 * (1.0 + b.abs());
        assert!(a.iter().zip(&b).all(close), "`{name}`: {a}, not {b}");
    }
    // Again from the start, with a copy and a saved state in the middle.
    stepper.reset();
    let middle = steps / 2;
    compare(&program, &mut stepper, &batch, (&expected, 0..middle));
    let mut copy = stepper.clone();
    let mut restored = program.stepper_of(&params, &batch).unwrap();
    restored.restore(&stepper.save()).unwrap();
    assert_eq!(restored.save(), stepper.save());
    compare(&program, &mut stepper, &batch, (&expected, middle..steps));
    compare(&program, &mut copy, &batch, (&expected, middle..steps));
    compare(&program, &mut restored, &batch, (&expected, middle..steps));
    let (a, b) = (stepper.so_far().unwrap(), restored.so_far().unwrap());
    assert_eq!(a, b, "sums go on from a saved state");
    assert_eq!(a, copy.so_far().unwrap(), "sums go on in a copy");
    true
}

fn for_all(cases: u32, strategy: impl Strategy<Value = Instance>) -> usize {
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        ..Config::default()
    });
    let mut taken = 0;
    for _ in 0..cases {
        let instance = strategy.new_tree(&mut runner).unwrap().current();
        let mut is_taken = true;
        for isa in Isa::available() {
            is_taken = check::<f64>(&instance, *isa);
            assert_eq!(is_taken, check::<f32>(&instance, *isa));
        }
        taken += usize::from(is_taken);
    }
    taken
}

#[test]
fn steps_give_the_bits_of_a_run() {
    let taken = for_all(200, strategy::per_step());
    assert!(
        taken > 60,
        "{taken} of 200 recurrences run one step at a time"
    );
    let taken = for_all(100, strategy::recurrence());
    assert!(
        taken > 20,
        "{taken} of 100 recurrences run one step at a time"
    );
}
