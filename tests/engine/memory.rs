//! The results of a program do not depend on the memory that it is given, for all recurrences of the library and
//! their derivatives.

use crate::support::engines::assert_same_bits;
use crate::support::instance;
use crate::support::library::{SIZES, library, parse};
use bptt::fit::{Truncated, Truncation};
use bptt::{Batch, Error, Memory, Params, Program, Recurrence, Wrt};
use ndarray::Array2;

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

/// Sizes that no run has, and steps that do not fit, are errors.
#[test]
fn sizes_that_are_none() {
    let text = "input x\nparam a\nstate s\ns' = tanh(a * s + x)\nloss s'^2\n";
    let r = Recurrence::parse("decay.rec", text).unwrap();
    let program = r.gradient(Wrt::Parameters).unwrap().compile::<f64>(&[]);
    let program = program.unwrap();
    for (steps, samples) in [(0, 1), (1, 0)] {
        let error = program.legs(steps, samples).unwrap_err().to_string();
        assert!(
            error.contains("at least one step and one sample"),
            "{error}"
        );
    }
    let close = Error::MemoryTooSmall {
        least: 47_821,
        given: 47_820,
    };
    let text = close.to_string();
    assert!(text.contains("47821 bytes needed, 47820 allowed"), "{text}");
    assert!(text.contains("Memory::Bytes(47821)"), "{text}");

    let steps = || vec![vec![1.0]];
    type Shapes = [(&'static str, &'static [usize])];
    let wrong: [(&Shapes, &str); 4] = [
        (
            &[("x", &[usize::MAX]), ("y", &[2])],
            "more numbers than can be counted",
        ),
        (
            &[("x", &[usize::MAX, 3])],
            "more numbers than can be counted",
        ),
        (&[("x", &[]), ("x", &[])], "given twice"),
        (
            &[("x", &[2])],
            "step 0 (counted from 0) has 1 numbers, expected 2",
        ),
    ];
    for (inputs, message) in wrong {
        let error = Batch::<f64>::from_steps(inputs, steps()).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
    }
    let none: [Vec<f64>; 0] = [];
    assert!(Batch::from_steps(&[("x", &[][..])], none).is_err());

    let truncated = Truncated::new(&r, Wrt::Parameters).unwrap();
    let truncated = truncated.compile::<f64>(&[]).unwrap();
    for (rows, message) in [
        (3, "has 3 steps, expected 4"),
        (5, "has 5 steps, expected 4"),
    ] {
        let batch = Batch::new(4, 1).with("x", Array2::ones((rows, 1)));
        let every = Truncation::new(1, 1).unwrap();
        let error = truncated.windows(&batch, every).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    let batch = Batch::new(4, 1).with("q", Array2::ones((4, 1)));
    let every = Truncation::new(1, 1).unwrap();
    let error = truncated.windows(&batch, every).unwrap_err().to_string();
    assert!(error.contains("`q`") && !error.contains("axis"), "{error}");
}
