//! On random recurrences, the executor gives the results of the evaluator for every instruction
//! set, any length of the chunks of time and any number of workers.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::print_stdout, reason = "a long run says what it did")]

use std::sync::Arc;

use ndarray::ArrayD;
use proptest::test_runner::{Config, TestRunner};

use super::Real;
use super::kernel::Isa;
use crate::check::random_data;
use crate::noise::Noise;
use crate::op::{CustomOp, Expr, Scalar, ScalarFunction};
use crate::recurrence::{Batch, Outputs, Params, Recurrence, Wrt};
use crate::shape::{Dim, Rate};
use crate::tape::Role;
use timetable::in_any_memory;

/// Random recurrences, for this build of the library and not for the build that the crate of
/// strategies is linked with.
#[allow(dead_code, unreachable_pub, reason = "it is written as a crate")]
#[path = "../../crates/bptt-testing/src/random/mod.rs"]
mod strategy;

mod directions;
mod steps;
mod timetable;

use strategy::Instance;

/// The ratio of the rounding errors in `f32` and in `f64`.
const WIDER: f64 = (1u64 << 29) as f64;

fn norm(a: &ArrayD<f64>) -> f64 {
    let larger = |m: f64, x: &f64| if x.abs() <= m { m } else { x.abs() };
    a.iter().fold(0.0, larger)
}

/// The largest difference, relative to the largest entry of each array; arrays much smaller than
/// the others are compared relative to those.
fn apart<F: Real>(fast: &Outputs<F>, slow: &Outputs<f64>) -> f64 {
    let floor = 1e-2 * slow.iter().fold(0.0, |m: f64, (_, a)| m.max(norm(a))) + 1e-3;
    slow.iter().fold(0.0, |worst: f64, (name, a)| {
        let b = fast[name].mapv(|x| Scalar::to_f64(x));
        worst.max(norm(&(a - &b)) / norm(a).max(floor))
    })
}

/// The largest difference of each output.
fn by_output<F: Real>(fast: &Outputs<F>, slow: &Outputs<f64>) -> Vec<(String, f64)> {
    let apart = |(name, a): (&str, &ArrayD<f64>)| {
        let b = fast[name].mapv(|x| Scalar::to_f64(x));
        (name.to_owned(), norm(&(a - &b)))
    };
    slow.iter().map(apart).collect()
}

/// The results of the evaluator, and the tolerance of an executor.
struct Truth<'a> {
    instance: &'a Instance,
    slow: Outputs<f64>,
    /// The difference between the evaluator in single and in double precision.
    rounding: f64,
}

impl<'a> Truth<'a> {
    /// `None` if the numbers are too large for single precision.
    fn of(instance: &'a Instance) -> Option<Self> {
        let (r, i) = (&instance.recurrence, instance);
        let slow = r.evaluate(&i.params, &i.batch).unwrap();
        let single = r.evaluate::<f32>(&i.params.cast(), &i.batch.cast()).ok()?;
        let rounding = apart(&single, &slow);
        Some(Self {
            instance,
            slow,
            rounding,
        })
    }

    /// The difference of the results of an executor as a fraction of the tolerance, which is 64
    /// times the rounding error of the evaluator in single precision, scaled to the precision of
    /// the executor.
    fn distance<F: Real>(&self, found: &Outputs<F>, what: &str) -> f64 {
        let single = size_of::<F>() == 4;
        let (least, scale) = if single {
            (1e-5, 1.0)
        } else {
            (1e-13, 1.0 / WIDER)
        };
        let error = apart(found, &self.slow);
        let allowed = f64::max(least, 64.0 * scale * self.rounding);
        if error <= allowed {
            return error / allowed;
        }
        // One rounding error may be small by chance, and rounding may decide the side of a kink.
        let allowed = f64::max(allowed, 64.0 * scale * self.rounding_nearby());
        assert!(
            error <= allowed || self.is_at_a_kink(64.0 * allowed),
            "{what}: {error:e} apart, {allowed:e} is allowed; {:?}",
            by_output(found, &self.slow)
        );
        0.0
    }

    /// The median rounding error in single precision for similar data.
    fn rounding_nearby(&self) -> f64 {
        let (r, mut noise) = (&self.instance.recurrence, Noise(5));
        let mut errors: Vec<f64> = (0..9)
            .filter_map(|_| {
                let (params, batch) = self.nearby(1e-2, &mut noise);
                let single = r.evaluate::<f32>(&params.cast(), &batch.cast()).ok()?;
                Some(apart(&single, &r.evaluate(&params, &batch).ok()?))
            })
            .collect();
        errors.sort_unstable_by(f64::total_cmp);
        errors.get(errors.len() / 2).copied().unwrap_or(0.0)
    }

    /// Random data within this relative distance.
    fn nearby(&self, distance: f64, noise: &mut Noise) -> (Params<f64>, Batch<f64>) {
        let i = self.instance;
        let (mut params, mut batch) = (i.params.clone(), i.batch.clone());
        for leaf in i.recurrence.tape().leaves() {
            let array = match leaf.role() {
                Role::Parameter => params.get_mut(leaf.name()),
                Role::Input => batch.get_mut(leaf.name()),
            };
            array
                .into_iter()
                .flatten()
                .for_each(|x| *x *= 1.0 + distance * noise.number());
        }
        (params, batch)
    }

    /// Returns true if data within this distance are on the other side of a kink.
    fn is_at_a_kink(&self, distance: f64) -> bool {
        let Instance {
            recurrence,
            params,
            batch,
        } = self.instance;
        let unrolled = recurrence.unroll_for(params, batch).unwrap();
        let mut noise = Noise(3);
        let mut sides = |distance: f64| {
            let (params, batch) = self.nearby(distance, &mut noise);
            unrolled.kinks(&unrolled.values(&params, &batch).unwrap())
        };
        let here = sides(0.0);
        (0..8).any(|_| sides(distance) != here)
    }
}

/// Runs an instance in all ways; returns the largest difference from the evaluator as a fraction of
/// the tolerance. Runs with other numbers of workers must be equal to the last bit.
fn every_way(i: &Instance) -> f64 {
    let Some(truth) = Truth::of(i) else {
        return 0.0;
    };
    let (params, batch) = (i.params.cast::<f32>(), i.batch.cast::<f32>());
    in_precision(&truth, &i.params, &i.batch).max(in_precision(&truth, &params, &batch))
}

fn in_precision<F: Real>(truth: &Truth<'_>, params: &Params<F>, batch: &Batch<F>) -> f64 {
    let recurrence = &truth.instance.recurrence;
    let program = recurrence.compile_for::<F>(params, batch).unwrap();
    let mut worst: f64 = 0.0;
    for isa in Isa::available() {
        for chunk in [1, 2, 3, 5, usize::MAX] {
            let program = program.clone().on(*isa).in_chunks_of(chunk);
            let one = program.evaluate(params, batch).unwrap();
            let what = format!("{} in chunks of {chunk}", isa.name());
            worst = worst.max(truth.distance(&one, &what));
            if *isa == Isa::detect() && chunk < 4 {
                in_any_memory(&program, &one, params, batch);
            }
            if *isa == Isa::detect() && chunk == 2 {
                let program = program.threads(3);
                let shared = program.evaluate(params, batch).unwrap();
                for (name, a) in one.iter() {
                    let bits = |a: &ArrayD<F>| a.mapv(|x| Scalar::to_f64(x).to_bits());
                    assert_eq!(bits(a), bits(&shared[name]), "`{name}` by three workers");
                }
            }
        }
    }
    worst
}

/// An instance of a derived recurrence, with random data for its additional inputs.
fn derived(i: &Instance, recurrence: Recurrence) -> Instance {
    let mut derived = i.clone();
    let mut noise = Noise(7);
    let sizes = derived.sizes();
    for leaf in recurrence.tape().leaves() {
        let (name, mut shape) = (leaf.name(), leaf.ty().shape.values(&sizes));
        let outer: &[usize] = match leaf.ty().rate {
            Rate::Static => &[],
            Rate::Sample => &[i.batch.samples()],
            Rate::Step => &[i.batch.steps(), i.batch.samples()],
        };
        shape.splice(0..0, outer.iter().copied());
        let known = i
            .recurrence
            .tape()
            .leaves()
            .iter()
            .any(|l| l.name() == name);
        match leaf.role() {
            _ if known => {}
            Role::Parameter => derived.params.insert(name, noise.array(&shape)),
            Role::Input => derived.batch = derived.batch.with(name, noise.array(&shape)),
        }
    }
    derived.recurrence = recurrence;
    derived
}

impl Instance {
    fn sizes(&self) -> Vec<usize> {
        let bound = self.recurrence.bind(&self.params, &self.batch);
        bound.unwrap().sizes().to_vec()
    }

    /// The recurrence, or one of its derivatives.
    fn order(&self, order: usize) -> Self {
        let r = &self.recurrence;
        match order {
            0 => self.clone(),
            1 => derived(self, r.gradient(Wrt::Everything).unwrap()),
            2 => derived(self, r.tangent(Wrt::Everything).unwrap()),
            _ => derived(self, r.hessian_vector(Wrt::Everything).unwrap()),
        }
    }
}

fn for_all(cases: u32, order: usize) {
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    });
    runner
        .run(&strategy::recurrence(), |i| {
            every_way(&i.order(order));
            Ok(())
        })
        .unwrap();
}

#[test]
fn recurrences_run_in_every_way() {
    for_all(60, 0);
}

#[test]
fn gradients_run_in_every_way() {
    for_all(60, 1);
}

#[test]
fn tangents_and_hessian_products_run_in_every_way() {
    for_all(20, 2);
    for_all(20, 3);
}

/// Tests a recurrence in the language, with all its derivatives, on sequences of different lengths.
fn written(source: &str) {
    defined(&Recurrence::parse("written", source).unwrap());
}

fn defined(recurrence: &Recurrence) {
    for lengths in [&[6][..], &[3], &[5, 7, 2], &[1, 4]] {
        let (params, batch) = random_data(recurrence, &[], lengths, 3).unwrap();
        let recurrence = recurrence.clone();
        let instance = Instance {
            recurrence,
            params,
            batch,
        };
        for order in 0..4 {
            every_way(&instance.order(order));
        }
    }
}

/// A vector of one entry and its entry are the same memory, but a custom op gets different shapes.
#[test]
fn an_op_of_a_users_own_on_what_has_two_shapes() {
    let op: Arc<dyn CustomOp> = Arc::new(ScalarFunction {
        name: "swish",
        eval: |x| x / (1.0 + (-x).exp()),
        derivative: |x, y| y + x.sigmoid() * (1.0 - y),
    });
    let recurrence = Recurrence::define("shapes", |r| {
        let (x, h) = (r.input("x", ()), r.state("h", [Dim::fixed(1)]));
        let a = Expr::custom(&op, [x.spread([Dim::fixed(1)])]);
        let h = r.next(h, (h + a).tanh());
        r.loss(h.sum());
    });
    defined(&recurrence.unwrap());
}

/// They cannot be one pass over memory: the value of the other step may not exist yet.
#[test]
fn a_value_beside_itself_at_another_step() {
    written("input x\nv = x + x\nloss (advance(v) - v)^2");
    written("input x\nv = x + x\nloss (delay(v) - v)^2");
    written("input x[3]\nv = exp(x)\nu = advance(v) * v + delay(v)\nloss sum(u * v)");
}

/// The pass that defines the value has the opposite direction to the register.
#[test]
fn a_value_read_against_the_direction_of_its_pass() {
    written(
        "input x\nsample input z\nv = sin(x)\nbackward state s\ns' = tanh(s + v)\n\
         loss delay(v, z) * s'",
    );
    written(
        "input x\nsample input z\nstate h\nh' = tanh(h + x)\nbackward state s = z\n\
         s' = tanh(s * h' + x)\nloss delay(delay(s, z)) * advance(h')",
    );
}

/// The instance with other sizes and lengths, if its sizes are free.
fn resized(mut i: Instance, seed: usize) -> Instance {
    if i.recurrence.tape().dims().count() == 2 {
        let mut noise = Noise(seed as u64);
        let [h, k] = [160, 40].map(|most| 1 + noise.below(most));
        let lengths: Vec<usize> = (0..=noise.below(4)).map(|_| 1 + noise.below(8)).collect();
        let sizes = [("H", h), ("K", k)];
        (i.params, i.batch) = random_data(&i.recurrence, &sizes, &lengths, 1).unwrap();
    }
    i
}

/// The smallest instance found that still fails, in the language.
fn smallest<T>(tree: &mut T, fails: impl Fn(Instance) -> bool) -> String
where
    T: proptest::strategy::ValueTree<Value = Instance>,
{
    let mut i = tree.current();
    while tree.simplify() {
        while !fails(tree.current()) && tree.complicate() {}
        i = tree.current();
    }
    let (sizes, lengths) = (i.sizes(), i.batch.lengths().collect::<Vec<_>>());
    let tape = || i.recurrence.tape().to_string();
    let source = i.recurrence.source().unwrap_or_else(|_| tape());
    format!("sizes {sizes:?}, lengths {lengths:?}\n{source}")
}

/// Its parts are added in another pass than the one that reads it, in the same memory.
#[test]
fn a_sum_of_two_products_that_is_read_in_a_later_pass() {
    written(
        "param p, p_hh[2, 2]\nsample input z[2]\ninput x[2]\nbackward state a[2] = z\nstate b\n\
         a' = tanh(x^2) - 0.25 * sin(p_hh @ a)\nb' = tanh(p * b + 0.75)\n\
         final loss dot(a', a) + b'",
    );
}

/// The previous `h` is recomputed from `o` and `c`, for any initial value.
#[test]
fn a_state_that_is_computed_again() {
    for (kind, start) in [
        ("", ""),
        ("", " = z"),
        ("backward ", ""),
        ("backward ", " = z"),
    ] {
        written(&format!(
            "param W[128, 128], v[128]\nsample input z[128]\ninput x[128], w[128]\n\
             {kind}state h[128]{start}, c[128]{start}\no = sigmoid(x + v * h)\n\
             c' = 0.5 * c + tanh(0.1 * (W @ h) + x)\nh' = o * tanh(c')\nloss dot(w, h')"
        ));
    }
}

/// The recomputed value replaces all reads of the register.
#[test]
fn a_delayed_value_that_is_computed_again() {
    written(
        "param W[128, 128]\ninput x[128], w[128]\nstate h[128]\nh' = tanh(0.1 * (W @ h) + x)\n\
         v = h' * sin(h')\nu = v * sum(w * delay(v))\nloss dot(w, v)",
    );
    written(
        "param W[128, 128]\ninput x[128], w[128]\nstate h[128]\nh' = tanh(0.1 * (W @ h) + x)\n\
         v = h' * h'\nbackward state b[128]\nb' = tanh(0.1 * (W @ b) + h' * delay(v))\n\
         loss dot(w, b')",
    );
}

/// Before the first step `c` is zero and its logarithm is not finite, but the initial `h` is zero.
#[test]
fn a_state_that_is_not_computed_again_from_nothing() {
    for f in ["ln(c')", "(1 / c')"] {
        written(&format!(
            "param W[128, 128], v[128]\ninput x[128], w[128]\nstate h[128], c[128]\n\
             o = sigmoid(x + v * h)\nc' = exp(0.1 * (W @ h) + x) + 0.5 * c\n\
             h' = o * {f}\nloss dot(w, h')"
        ));
    }
}

/// Runs random recurrences of many sizes in all ways, for a given time:
/// `BPTT_FUZZ_SECONDS=600 cargo test --release --lib -- --ignored --nocapture for_a_while`.
#[test]
#[ignore = "runs for as long as BPTT_FUZZ_SECONDS says"]
fn recurrences_run_in_every_way_for_a_while() {
    use proptest::strategy::{Strategy as _, ValueTree as _};
    let run =
        |i: &Instance| std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| every_way(i)));
    let seconds = std::env::var("BPTT_FUZZ_SECONDS").ok();
    let seconds = seconds.and_then(|s| s.parse().ok()).unwrap_or(10);
    let until = std::time::Instant::now() + std::time::Duration::from_secs(seconds);
    let mut runner = TestRunner::new(Config::default());
    let (mut counts, mut worst, mut noise) = ([0_u64; 4], 0.0_f64, Noise(1));
    while std::time::Instant::now() < until {
        let mut tree = strategy::recurrence().new_tree(&mut runner).unwrap();
        let (order, larger) = (noise.below(4), noise.below(8) == 0);
        let seed = noise.below(usize::MAX);
        let drawn = |i: Instance| if larger { resized(i, seed) } else { i }.order(order);
        let i = drawn(tree.current());
        // Functions of many large terms may overflow.
        if i.recurrence.evaluate(&i.params, &i.batch).is_err() {
            continue;
        }
        let Ok(error) = run(&i) else {
            panic!("{}", smallest(&mut tree, |i| run(&drawn(i)).is_err()));
        };
        worst = worst.max(error);
        counts[order] += 1;
    }
    println!(
        "{counts:?} recurrences, gradients, tangents, Hessian products; {worst:.3} of what is allowed"
    );
}

#[test]
fn more_steps_than_memory_are_refused_before_anything_is_made() {
    use crate::error::Error;
    use crate::plan::Memory;
    use crate::recurrence::cells::{Cell, Loss};

    let model = Cell::lstm().model("lstm", Loss::SquaredError).unwrap();
    let gradient = model.gradient(Wrt::Parameters).unwrap();
    let sizes = [("H", 8), ("K", 3), ("O", 2)];
    let program = gradient.compile::<f32>(&sizes).unwrap();
    let mut workspace = program.workspace();
    for steps in [1 << 50, usize::MAX / 2, usize::MAX] {
        let found = program.make_room(steps, 4, &mut workspace);
        assert!(
            matches!(found, Err(Error::OutOfMemory { bytes, .. }) if bytes > 1 << 30),
            "{found:?}"
        );
        let all = program.clone().memory(Memory::All);
        let found = all.make_room(steps, 4, &mut workspace);
        assert!(
            matches!(found, Err(Error::OutOfMemory { bytes, .. }) if bytes > 1 << 50),
            "{found:?}"
        );
        assert_eq!(workspace.bytes(), 0, "nothing was made");
    }
    program.make_room(9, 4, &mut workspace).unwrap();
    assert!(workspace.bytes() > 0, "it can still be used");
}

/// The sums of a long run have the same bits for every instruction set and any number of workers.
#[test]
fn long_sums_have_the_same_bits_everywhere() {
    let text = "dim H, K, C\nparam W[H, K], E[C, H]\ninput x[K], y[H], c: class(C)\n\
                loss dot(y, W @ x) + dot(y, gather(E, c))\n";
    let r = Recurrence::parse("sums", text).unwrap();
    let r = r.gradient(Wrt::Parameters).unwrap();
    for (rows, columns) in [(1, 1), (2, 1), (1, 5), (7, 9), (19, 2), (40, 70)] {
        let mut next = 1.0;
        let mut number = || {
            next = (next * 1.37 + 0.11_f32) % 1.9;
            next
        };
        let mut array = |dims: &[usize]| ArrayD::from_shape_simple_fn(dims.to_vec(), &mut number);
        let params = Params::new()
            .with("W", array(&[rows, columns]))
            .with("E", array(&[3, rows]));
        let classes = ndarray::Array2::from_shape_fn((150, 3), |(t, b)| (t * t + b) % 3);
        let batch = Batch::new(150, 3)
            .with("x", array(&[150, 3, columns]))
            .with("y", array(&[150, 3, rows]))
            .with_classes("c", classes);
        for batch in [batch.clone(), batch.with_lengths([150, 40, 149])] {
            let program = r.compile_for::<f32>(&params, &batch).unwrap();
            let plain = program.clone().on(Isa::PORTABLE);
            let expected = plain.evaluate(&params, &batch).unwrap();
            for isa in Isa::available() {
                for threads in [1, 2, 5] {
                    let program = program.clone().on(*isa).threads(threads);
                    let found = program.evaluate(&params, &batch).unwrap();
                    for name in ["W", "E"] {
                        assert_eq!(found[name], expected[name], "`{name}` on {}", isa.name());
                    }
                }
            }
        }
    }
}
