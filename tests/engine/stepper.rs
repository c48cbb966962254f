//! Steps one at a time: library cells against long runs, the state by name, errors, allocation and time.

use std::time::Instant;

use bptt::{Batch, Error, Params, Rate, Real, Recurrence, Scalar, Stepper};
use ndarray::{Array2, Array3, Axis, arr0, array};

use crate::support::instance;
use crate::support::library::{SIZES, library, parse as parse_as};

fn parse(text: &str) -> Recurrence {
    Recurrence::parse("test.rec", text).unwrap()
}

fn stepper(text: &str) -> Stepper<f64> {
    let program = parse(text).compile::<f64>(&[]).unwrap();
    program.stepper(&Params::new()).unwrap()
}

/// The inputs of a step, in order of declaration.
pub(crate) fn flat<F: Real>(r: &Recurrence, batch: &Batch<F>, step: usize) -> Vec<F> {
    let leaves = r.tape().leaves().iter();
    let per_step = leaves.filter(|l| l.ty().rate == Rate::Step);
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

#[track_caller]
fn same_as_a_run<F: Real>(r: &Recurrence, params: &Params<F>, batch: &Batch<F>) {
    let program = r.compile_for(params, batch).unwrap();
    let expected = program.evaluate(params, batch).unwrap();
    let mut stepper = program.stepper_of(params, batch).unwrap();
    let bits = |x: &F| Scalar::to_f64(*x).to_bits();
    for step in 0..batch.steps() {
        let places: Vec<_> = stepper.outputs().map(|(n, p)| (n.to_owned(), p)).collect();
        assert!(!places.is_empty(), "{r} has outputs per step");
        let found = stepper.step(&flat(r, batch, step)).unwrap();
        for (name, place) in places {
            let row = expected[&name].index_axis(Axis(0), step);
            let row: Vec<u64> = row.iter().map(bits).collect();
            let found: Vec<u64> = found[place].iter().map(bits).collect();
            assert_eq!(found, row, "`{name}` at step {step} of {r}");
        }
    }
    for state in stepper.states() {
        let last = stepper.state(state).unwrap();
        let name = format!("{state}.final");
        if let Some(expected) = expected.get(&name) {
            assert_eq!(
                last.mapv(|x| bits(&x)),
                expected.mapv(|x| bits(&x)),
                "{name}"
            );
        }
    }
}

/// Narrow and wide values, one sample and several, and final states.
#[test]
fn library_cells_step_by_step() {
    let (mut taken, mut refused) = (0, Vec::new());
    for (name, source) in library() {
        let r = parse_as(&name, &source);
        let r = r.with_final_states().unwrap();
        let is_step = |o: &str| r.output_type(o).unwrap().rate == Rate::Step;
        if !r.outputs().any(is_step) {
            continue;
        }
        for (factor, samples) in [(1, 1), (7, 1), (1, 3)] {
            let sizes: Vec<(&str, usize)> = SIZES.iter().map(|(d, n)| (*d, n * factor)).collect();
            let known = |d: &str| r.tape().dims().any(|own| own == d);
            let sizes: Vec<_> = sizes.into_iter().filter(|(d, _)| known(d)).collect();
            let (params, batch) = instance(&r, &sizes, &vec![5; samples], 1);
            let Ok(program) = r.compile_for::<f64>(&params, &batch) else {
                continue;
            };
            if program.evaluate(&params, &batch).is_err() {
                // Some data lie outside the domain.
                continue;
            }
            match program.stepper_of(&params, &batch) {
                Err(Error::NotCausal { .. }) => refused.push(name.clone()),
                found => {
                    found.unwrap();
                    taken += 1;
                    same_as_a_run::<f64>(&r, &params, &batch);
                    same_as_a_run::<f32>(&r, &params.cast(), &batch.cast());
                }
            }
        }
    }
    refused.dedup();
    // The variance of the first step is a mean over all steps.
    assert_eq!(
        refused,
        ["garch11", "garch_t", "gjr_garch", "lstm_bidirectional"]
    );
    assert!(taken > 25, "{taken}");
}

/// Resets begin a sequence in the middle, masks leave states as they are, and delays read earlier inputs.
#[test]
fn resets_masks_and_delays_step_by_step() {
    let text = "dim H\ninput x[H], c\nparam W[H, H]\nstate h[H] = spread(0.5, [H]), n\n\
                h' = tanh(W @ h + x + delay(delay(x)))\nn' = n + c * delay(n)\noutput h', n'\n";
    let plain = parse(text);
    let variants = [
        plain.clone(),
        plain.with_resets("reset").unwrap(),
        plain.with_mask("m").unwrap(),
        plain.with_mask("m").unwrap().with_resets("reset").unwrap(),
    ];
    for r in variants {
        for (size, samples) in [(3, 1), (9, 1), (70, 1), (3, 2)] {
            let (params, mut batch) = instance(&r, &[("H", size)], &vec![9; samples], 3);
            for (name, every) in [("reset", 4), ("m", 3)] {
                if let Some(a) = batch.get_mut(name) {
                    let at = |(t, b)| f64::from(u8::from((t + b) % every == 0));
                    a.assign(&Array2::from_shape_fn((9, samples), at));
                }
            }
            same_as_a_run::<f64>(&r, &params, &batch);
            same_as_a_run::<f32>(&r, &params.cast(), &batch.cast());
        }
    }
}

#[test]
fn the_state_is_read_set_saved_and_copied() {
    let mut sums =
        stepper("input x, w\nstate s = 1\ns' = s + x\nloss w * s'\noutput s', y = 2 * x\n");
    assert_eq!(
        sums.inputs().collect::<Vec<_>>(),
        [("x", 0..1), ("w", 1..2)]
    );
    assert_eq!(
        sums.outputs().collect::<Vec<_>>(),
        [("s", 0..1), ("y", 1..2)]
    );
    assert_eq!(sums.state("s").unwrap(), array![1.0].into_dyn());
    assert_eq!(sums.step(&[2.0, 1.0]).unwrap(), [3.0, 4.0]);
    assert_eq!(sums.loss().unwrap(), 3.0);
    let saved = sums.save();
    let mut copy = sums.clone();
    sums.set_state("s", &array![10.0]).unwrap();
    assert_eq!(sums.step(&[1.0, 10.0]).unwrap(), [11.0, 2.0]);
    assert_eq!(sums.loss().unwrap(), 113.0);
    assert_eq!((sums.steps(), copy.steps()), (2, 1));
    assert_eq!(copy.step(&[1.0, 10.0]).unwrap(), [4.0, 2.0]);
    assert_eq!(copy.loss().unwrap(), 43.0);
    sums.restore(&saved).unwrap();
    assert_eq!(sums.save(), saved);
    assert_eq!(sums.step(&[1.0, 10.0]).unwrap(), [4.0, 2.0]);
    assert_eq!(sums.loss().unwrap(), 43.0);
    sums.reset();
    assert_eq!(sums.loss().unwrap(), 0.0);
    assert_eq!(sums.step(&[2.0, 1.0]).unwrap(), [3.0, 4.0]);
}

/// Values after the last step do not change the sums that they are made of.
#[test]
fn the_loss_so_far_can_be_asked_for_at_any_step() {
    let text = "input x\nstate s\ns' = s + x\noutput s'\nmean final loss s'\nmean loss x\n";
    let program = parse(text).compile::<f64>(&[]).unwrap();
    let mut sums = program
        .stepper_of(&Params::new(), &Batch::new(1, 2))
        .unwrap();
    for (x, expected) in [([1.0, 3.0], 4.0), ([5.0, 7.0], 12.0), ([0.0, 2.0], 12.0)] {
        sums.step(&x).unwrap();
        for _ in 0..3 {
            assert_eq!(sums.loss().unwrap(), expected);
        }
    }
}

/// The first step differs from later ones, also after a reset and in a saved state.
#[test]
fn values_at_the_first_step_belong_to_it_alone() {
    let text = "input x\nstate s\ns' = s + impulse_first(first(x)) + x\noutput s'\n";
    assert!(
        parse(text)
            .compile::<f64>(&[])
            .unwrap()
            .stepper(&Params::new())
            .is_err()
    );
    let text = "input x\nsample input v\nstate s\ns' = s + impulse_first(v) + x\n\
                output s', all = first(x) + 10 * last(x)\n";
    let program = parse(text).compile::<f64>(&[]).unwrap();
    let batch = Batch::new(1, 2).with("v", array![100.0, 200.0]);
    let mut steps = program.stepper_of(&Params::new(), &batch).unwrap();
    for _ in 0..2 {
        assert_eq!(steps.step(&[1.0, 2.0]).unwrap(), [101.0, 202.0]);
        let saved = steps.save();
        assert_eq!(steps.step(&[3.0, 4.0]).unwrap(), [104.0, 206.0]);
        steps.restore(&saved).unwrap();
        assert_eq!(steps.step(&[5.0, 6.0]).unwrap(), [106.0, 208.0]);
        let all = &steps.so_far().unwrap()["all"];
        assert_eq!(all, &array![51.0, 62.0].into_dyn());
        steps.reset();
    }
}

#[track_caller]
fn told<T>(found: Result<T, Error>, expected: &[&str]) {
    let told = found.err().expect("it is refused").to_string();
    for part in expected {
        assert!(told.contains(part), "expected `{part}` in: {told}");
    }
}

#[test]
fn what_needs_later_steps_is_refused_by_name() {
    let refuse = |text: &str, expected: &[&str]| {
        let program = parse(text).compile::<f64>(&[]).unwrap();
        told(program.stepper(&Params::new()), expected);
    };
    let cure = "run the whole sequence with `Program::run`";
    refuse(
        "input x\nbackward state late\nlate' = late + x\noutput late'\n",
        &[
            "cannot run one step at a time",
            "the state `late` runs from the last step",
            cure,
        ],
    );
    refuse(
        "input x\noutput y = advance(x)\n",
        &["`y` reads the next step"],
    );
    refuse(
        "input x\noutput y = x - total_steps(x)\n",
        &["`total_steps(x)`, a value of the whole sequence, is used at each step"],
    );
    refuse(
        "input x\nstate s = first(x)\ns' = s + x\noutput s'\n",
        &["`s`", "first(x)"],
    );
    refuse(
        "input x\nsample input v\noutput y = x + impulse_last(v)\n",
        &["impulse_last(v)", "which step is the last"],
    );
    refuse("param p\noutput p\n", &["no value varies with the step"]);
}

#[test]
fn bad_inputs_are_refused_and_leave_the_state() {
    let text = "input x[2], c: class(3), r: real class(3)\nstate s\n\
                s' = s + sum(x) + one_hot(c)[1] + r\noutput s', z = 1 / x[0]\n";
    let text = match Recurrence::parse("test.rec", text) {
        Ok(_) => text.to_owned(),
        // Real classes have no notation of their own.
        Err(_) => text
            .replace(", r: real class(3)", "")
            .replace(" + r\n", "\n"),
    };
    let mut steps = stepper(&text);
    let good = [1.0, 2.0, 1.0];
    assert_eq!(steps.step(&good).unwrap(), [4.0, 1.0]);
    told(
        steps.step(&[1.0, 2.0]),
        &["takes 3 numbers, found 2", "2 for `x`, 1 for `c`"],
    );
    told(
        steps.step(&[1.0, f64::NAN, 1.0]),
        &["`x`", "step 1, sample 0, entry [1]", "NaN"],
    );
    told(
        steps.step(&[1.0, 2.0, 3.0]),
        &["`c`", "step 1, sample 0", "3, expected 0 to 2"],
    );
    told(
        steps.step(&[1.0, 2.0, 0.5]),
        &["`c`", "step 1, sample 0", "0.5", "whole number"],
    );
    told(steps.step(&[1.0, 2.0, -1.0]), &["`c`", "expected 0 to 2"]);
    assert_eq!(steps.step(&[1.0, 0.0, 0.0]).unwrap(), [5.0, 1.0]);
    told(
        steps.step(&[0.0, 0.0, 0.0]),
        &["output `z`", "inf", "step 2 of sample 0"],
    );
    told(steps.set_state("t", &array![1.0]), &["`t`", "known: `s`"]);
    told(
        steps.set_state("s", &array![1.0, 2.0]),
        &["`s`", "expected shape [1], found [2]"],
    );
    told(
        steps.set_state("s", &array![f64::INFINITY]),
        &["`s`", "inf"],
    );
    told(steps.restore(&Params::new()), &["state `s` is missing"]);
    let extra = steps.save().with("other", arr0(1.0));
    told(steps.restore(&extra), &["`other`"]);
}

/// At a step that a mask excludes, any data may stand.
#[test]
fn masked_steps_may_lack_data() {
    let r = parse(
        "mask input m\ninput x, c: class(2)\nstate s\ns' = s + x + one_hot(c)[1]\noutput s'\n",
    );
    let mut steps = r
        .compile::<f64>(&[])
        .unwrap()
        .stepper(&Params::new())
        .unwrap();
    assert_eq!(steps.step(&[1.0, 2.0, 1.0]).unwrap(), [3.0]);
    // An output of a masked step is zero.
    assert_eq!(steps.step(&[0.0, f64::NAN, 7.0]).unwrap(), [0.0]);
    told(steps.step(&[1.0, f64::NAN, 0.0]), &["`x`", "step 2"]);
    assert_eq!(steps.step(&[1.0, 1.0, 0.0]).unwrap(), [4.0]);
}

const LSTM: &str = "dim H, K\ninput x[K]\nparam W_i[H, H], W_f[H, H], W_g[H, H], W_o[H, H]\n\
    param U_i[H, K], U_f[H, K], U_g[H, K], U_o[H, K], b_i[H], b_f[H], b_g[H], b_o[H]\n\
    state h[H], c[H]\ni = sigmoid(W_i @ h + U_i @ x + b_i)\nf = sigmoid(W_f @ h + U_f @ x + b_f)\n\
    g = tanh(W_g @ h + U_g @ x + b_g)\no = sigmoid(W_o @ h + U_o @ x + b_o)\n\
    c' = f * c + i * g\nh' = o * tanh(c')\noutput h'\n";

/// The time of a step of an LSTM, beside its time in a long run:
/// `cargo test --release --test engine -- --ignored --nocapture stepper_beside`.
#[test]
#[ignore = "measures time, on a machine without other work"]
fn stepper_beside_a_long_run() {
    const STEPS: usize = 1000;
    let r = parse(LSTM);
    for h in [4, 16, 64, 256] {
        let sizes = [("H", h), ("K", 8)];
        let (params, batch) = instance(&r, &sizes, &[STEPS], 1);
        let (params, batch) = (params.cast::<f32>(), batch.cast::<f32>());
        let program = r.compile::<f32>(&sizes).unwrap();
        let mut workspace = program.workspace();
        let mut steps = program.stepper(&params).unwrap();
        let x: &Array3<f32> = &batch
            .get("x")
            .unwrap()
            .clone()
            .into_dimensionality()
            .unwrap();
        let x = x.as_slice().unwrap();
        let mut least = [f64::INFINITY; 2];
        for _ in 0..(20_000 / h).max(60) {
            let start = Instant::now();
            let found = program.run(&params, &batch, &mut workspace).unwrap();
            std::hint::black_box(found);
            least[0] = least[0].min(start.elapsed().as_secs_f64());
            steps.reset();
            let start = Instant::now();
            for x in x.chunks_exact(8) {
                std::hint::black_box(steps.step(x).unwrap());
            }
            least[1] = least[1].min(start.elapsed().as_secs_f64());
        }
        let [run, step] = least.map(|seconds| seconds / STEPS as f64 * 1e6);
        println!(
            "H = {h}: {step:.3} µs a step, {run:.3} in a run, ratio {:.2}",
            step / run
        );
    }
}
