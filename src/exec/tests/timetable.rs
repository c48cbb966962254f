//! In any memory, a program gives the bits of a run that keeps all values.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use ndarray::ArrayD;

use super::super::{Program, Real};
use crate::error::Error;
use crate::op::Scalar;
use crate::plan::{Leg, Memory};
use crate::recurrence::{Batch, Outputs, Params};

/// The results, bit by bit.
fn bits<F: Real>(outputs: &Outputs<F>) -> Vec<(String, ArrayD<u64>)> {
    let bits = |a: &ArrayD<F>| a.mapv(|x| Scalar::to_f64(x).to_bits());
    outputs
        .iter()
        .map(|(name, a)| (name.to_owned(), bits(a)))
        .collect()
}

/// The least memory of runs on this data, and that of a run that keeps all.
pub(super) fn bounds<F: Real>(program: &Program<F>, steps: usize, samples: usize) -> [usize; 2] {
    let tight = program.clone().memory(Memory::Bytes(0));
    let Err(Error::MemoryTooSmall { least, .. }) = tight.legs(steps, samples) else {
        panic!("no run needs no memory")
    };
    let is_whole = |bytes: usize| {
        let program = program.clone().memory(Memory::Bytes(bytes));
        let legs = program.legs(steps, samples).unwrap();
        legs.iter().all(|leg| leg.times == (0..steps))
    };
    let (mut low, mut high) = (least, least + 1);
    while !is_whole(high) {
        high *= 2;
    }
    while low < high {
        let middle = low + (high - low) / 2;
        match is_whole(middle) {
            true => high = middle,
            false => low = middle + 1,
        }
    }
    [least, high]
}

/// Runs in several memories; returns the number of legs that ran again.
pub(super) fn in_any_memory<F: Real>(
    program: &Program<F>,
    expected: &Outputs<F>,
    params: &Params<F>,
    batch: &Batch<F>,
) -> usize {
    let expected = bits(expected);
    let [least, all] = bounds(program, batch.steps(), batch.samples());
    let between = (0..5).map(|i| Memory::Bytes(least + (all - least) * i / 5));
    let mut again = 0;
    for memory in between.chain([Memory::Sqrt]) {
        for threads in [1, 3] {
            let program = program.clone().memory(memory).threads(threads);
            let legs = program.legs(batch.steps(), batch.samples());
            let Ok(legs) = legs else {
                assert!(threads > 1, "a worker has memory of its own");
                continue;
            };
            again += legs.iter().filter(|leg| leg.again).count();
            let mut workspace = program.workspace();
            for _ in 0..2 {
                // Copies of inputs are a part of the budget that `legs` does not know.
                let Ok(found) = program.run(params, batch, &mut workspace) else {
                    continue;
                };
                assert_eq!(bits(found), expected, "{memory:?}, {threads} threads");
            }
        }
    }
    again
}

#[test]
fn passes_that_run_again_start_where_they_did() {
    let text = "dim H, K\ninput x[K]\nparam W[H, H], U[H, K], b[H]\nstate h[H], c[H]\n\
        c' = 0.9 * c + tanh(W @ h + U @ x + b)\nh' = tanh(c')\noutput h'\nloss sum(h'^2)\n";
    let r = crate::Recurrence::parse("again.rec", text).unwrap();
    let gradient = r.gradient(crate::Wrt::Everything).unwrap();
    let sizes = [("H", 40), ("K", 2)];
    let program = gradient.compile::<f64>(&sizes).unwrap().in_chunks_of(2);
    let steps = 200;
    let mut counts = Vec::new();
    let [least, all] = bounds(&program, steps, 1);
    for i in 0..10 {
        let program = program
            .clone()
            .memory(Memory::Bytes(least + (all - least) * i / 10));
        let legs: Vec<Leg> = program.legs(steps, 1).unwrap();
        let of = |pass: usize, again: bool| {
            let legs = legs.iter().filter(|l| l.pass == pass && l.again == again);
            legs.map(|leg| leg.times.len()).sum::<usize>()
        };
        assert_eq!([of(0, false), of(1, false), of(1, true)], [steps, steps, 0]);
        counts.push(of(0, true));
    }
    assert!(
        counts.is_sorted_by(|a, b| a >= b),
        "more memory saves time: {counts:?}"
    );
    assert!(counts[0] > steps && counts[9] < steps, "{counts:?}");
}
