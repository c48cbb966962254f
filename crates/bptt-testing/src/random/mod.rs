//! Random well-typed recurrences with data, for property tests.
//!
//! A recurrence is built from a list of small instructions. Each adds one value to a pool, and every
//! instruction is legal for every pool, so every list gives a recurrence, including the lists that proptest
//! shrinks to. All values stay of order one, and functions with a limited domain are applied only inside it.
//!
//! ```
//! use proptest::test_runner::TestRunner;
//! let mut runner = TestRunner::deterministic();
//! let gradients = runner.run(&bptt_testing::random::recurrence(), |i| {
//!     let gradient = i.recurrence.gradient(bptt::Wrt::Parameters).expect("it has a loss");
//!     gradient.evaluate(&i.params, &i.batch).expect("the data fits");
//!     Ok(())
//! });
//! gradients.expect("every recurrence has a gradient");
//! ```

mod write;

use std::sync::Arc;

use bptt::{
    Batch, CustomOp, Definition, Dim, Direction, Kind, Noise, Params, Rate, Recurrence, Role,
    ScalarFunction,
};
use ndarray::ArrayD;
use proptest::collection::vec;
use proptest::prelude::{Strategy, any};

use write::Writer;

/// A recurrence with a loss, and data that fits it.
#[derive(Clone, Debug)]
pub struct Instance {
    /// The recurrence.
    pub recurrence: Recurrence,
    /// A value for each of its parameters.
    pub params: Params<f64>,
    /// A value for each of its inputs.
    pub batch: Batch<f64>,
}

/// Any recurrence: up to three states, in one direction, or some in each direction, one after the other.
pub fn recurrence() -> impl Strategy<Value = Instance> {
    program().prop_map(|p| p.instance(Reach::Batch))
}

/// Recurrences whose loss is a sum over independent samples.
pub fn per_sample() -> impl Strategy<Value = Instance> {
    program().prop_map(|p| p.instance(Reach::Sample))
}

/// Recurrences whose loss is a sum over steps that depend on each other only through states and shifts, without
/// first or last values and totals. All sequences have the same length.
pub fn per_step() -> impl Strategy<Value = Instance> {
    program().prop_map(|p| {
        let p = Program { lengths: None, ..p };
        p.instance(Reach::Step)
    })
}

/// The largest scope of dependencies other than through states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    Step,
    Sample,
    Batch,
}

/// An opcode and the choices of its operands.
type Instruction = (u8, u8, u8, u8);

#[derive(Clone, Debug)]
struct Program {
    hidden: usize,
    other: usize,
    steps: usize,
    samples: usize,
    lengths: Option<Vec<usize>>,
    named_sizes: bool,
    backward_first: bool,
    first: (Vec<Instruction>, Vec<Instruction>),
    second: (Vec<Instruction>, Vec<Instruction>),
    after: Vec<Instruction>,
    losses: Vec<Instruction>,
    seed: u64,
}

fn instructions(count: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Vec<Instruction>> {
    vec(any::<Instruction>(), count)
}

fn program() -> impl Strategy<Value = Program> {
    let sizes = (2_usize..=5, 0_usize..3, 3_usize..=6, 1_usize..=3);
    let lengths = proptest::option::of(vec(1_usize..=6, 3));
    let first = (instructions(1..=2), instructions(1..=9));
    let second = (instructions(0..=1), instructions(0..=7));
    let rest = (instructions(0..=4), instructions(1..=3), any::<u64>());
    let choices = (any::<bool>(), any::<bool>());
    (sizes, lengths, choices, first, second, rest).prop_map(
        |(sizes, lengths, choices, first, second, rest)| {
            let (hidden, other, steps, samples) = sizes;
            // A size other than `hidden` in 2..=5.
            let other = (2..=5)
                .filter(|n| *n != hidden)
                .nth(other)
                .unwrap_or(hidden);
            let lengths = lengths.map(|l| {
                let mut l: Vec<usize> = l.iter().take(samples).map(|l| *l.min(&steps)).collect();
                l[0] = steps;
                l
            });
            Program {
                hidden,
                other,
                steps,
                samples,
                lengths,
                named_sizes: choices.0,
                backward_first: choices.1,
                first,
                second,
                after: rest.0,
                losses: rest.1,
                seed: rest.2,
            }
        },
    )
}

impl Program {
    fn instance(&self, reach: Reach) -> Instance {
        let recurrence = Recurrence::define("random", |r| self.write(r, reach))
            .unwrap_or_else(|e| panic!("an instruction list is always a recurrence: {e}"));
        let sizes: Vec<usize> = recurrence
            .tape()
            .dims()
            .map(|d| if d == "H" { self.hidden } else { self.other })
            .collect();
        let mut numbers = Noise(self.seed);
        let mut params = Params::new();
        let mut batch = Batch::new(self.steps, self.samples);
        for leaf in recurrence.tape().leaves() {
            let mut shape = match leaf.ty().rate {
                Rate::Static => vec![],
                Rate::Sample => vec![self.samples],
                Rate::Step => vec![self.steps, self.samples],
            };
            shape.extend(leaf.ty().shape.dims().iter().map(|n| n.value_at(&sizes)));
            match (leaf.role(), leaf.ty().kind) {
                (Role::Parameter, _) => params.insert(leaf.name(), numbers.array(&shape)),
                (Role::Input, Kind::Real) => batch = batch.with(leaf.name(), numbers.array(&shape)),
                (Role::Input, Kind::Class(n)) => {
                    let n = n.value_at(&sizes);
                    let array = ArrayD::from_shape_simple_fn(&shape[..], || numbers.below(n));
                    batch = batch.with_classes(leaf.name(), array);
                }
            }
        }
        if let Some(lengths) = &self.lengths {
            batch = batch.with_lengths(lengths.clone());
        }
        Instance {
            recurrence,
            params,
            batch,
        }
    }

    fn write(&self, r: &Definition, reach: Reach) {
        let dim = |name, size| {
            if self.named_sizes {
                r.dim(name)
            } else {
                Dim::fixed(size)
            }
        };
        let (h, k) = (dim("H", self.hidden), dim("K", self.other));
        let custom: Arc<dyn CustomOp> = Arc::new(ScalarFunction {
            name: "swish",
            eval: |x| x / (1.0 + (-x).exp()),
            derivative: |x, y| y + x.sigmoid() * (1.0 - y),
        });
        let places = f64::from(u32::try_from(self.steps * self.samples).unwrap_or(u32::MAX));
        let mut w = Writer::new(r, [h, k], self.named_sizes, reach, places, custom);
        let directions = if self.backward_first {
            [Direction::Backward, Direction::Forward]
        } else {
            [Direction::Forward, Direction::Backward]
        };
        for ((states, body), direction) in [&self.first, &self.second].into_iter().zip(directions) {
            if !states.is_empty() {
                w.phase(states, body, direction);
            }
        }
        self.after.iter().for_each(|i| w.step(*i));
        self.losses.iter().for_each(|i| w.loss(*i));
        w.outputs();
    }
}
