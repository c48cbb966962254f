//! The results of a program do not depend on the memory that it is given, for all recurrences of the library and
//! their derivatives.

use crate::support::engines::assert_same_bits;
use crate::support::instance;
use crate::support::library::{SIZES, library, parse};
use bptt::{Batch, Error, Memory, Params, Program, Recurrence, Wrt};

/// The least memory of a program, by its error.
fn least(program: &Program<f64>, params: &Params<f64>, batch: &Batch<f64>) -> usize {
    match program
        .clone()
        .memory(Memory::Bytes(1))
        .evaluate(params, batch)
    {
        Err(Error::MemoryTooSmall { least, given: 1 }) => least,
        other => panic!("{other:?}"),
    }
}

/// Runs in several memories; returns true if some pass ran again.
fn in_any_memory(r: &Recurrence, params: &Params<f64>, batch: &Batch<f64>, name: &str) -> bool {
    let program = r.compile_for::<f64>(params, batch).unwrap();
    let all = program.clone().memory(Memory::All);
    let Ok(expected) = all.evaluate(params, batch) else {
        return false;
    };
    let smallest = least(&program, params, batch);
    let mut again = false;
    for (memory, threads) in [
        (Memory::Bytes(smallest), 1),
        (Memory::Bytes(smallest + smallest / 3), 1),
        (Memory::Bytes(3 * smallest), 2),
        (Memory::Sqrt, 1),
        (Memory::Sqrt, 3),
    ] {
        let program = program.clone().memory(memory).threads(threads);
        let found = program.evaluate(params, batch).unwrap();
        assert_same_bits(&found, &expected, &format!("{name}, {memory:?}"));
        let legs = program.legs(batch.steps(), batch.samples()).unwrap();
        again |= legs.iter().any(|leg| leg.again);
    }
    again
}

/// The recurrence and its derivatives to the third order.
fn orders(r: &Recurrence) -> Vec<Recurrence> {
    let gradient = r.gradient(Wrt::Everything);
    let mut all = vec![r.clone()];
    if let Ok(gradient) = gradient {
        all.extend(r.tangent(Wrt::Parameters));
        all.extend(r.hessian_vector(Wrt::Parameters));
        all.extend(
            r.hessian_vector(Wrt::Parameters)
                .and_then(|h| h.tangent(Wrt::Parameters)),
        );
        all.push(gradient);
    }
    all
}

#[test]
fn recurrences_of_the_library() {
    let mut count = 0;
    for (name, source) in library() {
        let r = parse(&name, &source);
        for (order, derived) in orders(&r).into_iter().enumerate() {
            // More steps than a chunk has at these sizes.
            let lengths: &[usize] = match order % 2 {
                0 => &[4000, 4000],
                _ => &[4000, 2500, 123],
            };
            let (params, batch) = instance(&derived, SIZES, lengths, 3);
            count += usize::from(in_any_memory(&derived, &params, &batch, &name));
        }
    }
    assert!(count > 50, "{count}");
}
