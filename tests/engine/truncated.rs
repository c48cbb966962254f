//! Truncated backpropagation through time: windows written out by hand give the same bits, and gradients through all steps add up.

use bptt::fit::{Truncated, TruncatedProgram, Truncation};
use bptt::{Batch, Error, Outputs, Params, Real, Recurrence, Scalar, Wrt};
use bptt_testing::random as strategy;
use ndarray::{Array1, Array2, ArrayD, Axis, Slice, arr0, array};
use proptest::prelude::{ProptestConfig, prop_assume, proptest};

use crate::support::instance;

fn parse(text: &str) -> Recurrence {
    Recurrence::parse("test.rec", text).unwrap()
}

fn truncation(every: usize, through: usize) -> Truncation {
    Truncation::new(every, through).unwrap()
}

fn bits<F: Real>(a: &ArrayD<F>) -> ArrayD<u64> {
    a.mapv(|x| Scalar::to_f64(x).to_bits())
}

/// The outputs of all windows.
fn all<F: Real>(
    program: &TruncatedProgram<F>,
    params: impl Fn(usize) -> Params<F>,
    batch: &Batch<F>,
    truncation: Truncation,
) -> Vec<Outputs<F>> {
    let mut windows = program.windows(batch, truncation).unwrap();
    let mut found = Vec::new();
    while let Some(outputs) = windows.next(&params(found.len())).unwrap() {
        found.push(outputs.clone());
    }
    assert_eq!(found.len(), windows.len(), "the number of windows");
    let more = windows.next(&params(0)).unwrap();
    assert!(more.is_none(), "there is none after the last");
    found
}

const PLAIN: &str = "dim H\ninput x[H], y[H]\nparam W[H, H], s0[H]\nstate h[H] = s0\n\
                     h' = tanh(W @ h + x)\nloss sum((h' - y)^2)\n";

/// The same, with a weight for each step and a state that is given.
const BY_HAND: &str = "dim H\ninput x[H], y[H], counts\nsample input begins, start[H]\n\
                       param W[H, H], s0[H]\nstate h[H] = select(begins, s0, start)\n\
                       h' = tanh(W @ h + x)\nloss select(counts, sum((h' - y)^2), 0)\n";

fn by_hand<F: Real>(lengths: &[usize], (every, through): (usize, usize)) {
    let (plain, hand) = (parse(PLAIN), parse(BY_HAND));
    let (params, batch) = instance(&plain, &[("H", 3)], lengths, 4);
    let (params, batch) = (params.cast::<F>(), batch.cast::<F>());
    // Parameters change from window to window.
    let params = |n: usize| {
        let mut now = params.clone();
        let scale = F::of(1.0 + 0.05 * n as f64);
        now.get_mut("W").unwrap().mapv_inplace(|x| x * scale);
        now.get_mut("s0").unwrap().mapv_inplace(|x| x * scale);
        now
    };
    let program = Truncated::new(&plain, Wrt::Parameters).unwrap();
    let program = program.compile_for(&params(0), &batch).unwrap();
    let found = all(&program, params, &batch, truncation(every, through));

    let gradient = hand.gradient(Wrt::Parameters).unwrap();
    let gradient = gradient.compile::<F>(&[("H", 3)]).unwrap();
    let states = format!("{BY_HAND}output h'\n");
    let states = parse(&states).compile::<F>(&[("H", 3)]).unwrap();
    let steps = *lengths.iter().max().unwrap();
    let mut state = ArrayD::<F>::zeros(vec![lengths.len(), 3]);
    for (n, found) in found.iter().enumerate() {
        let end = ((n + 1) * every).min(steps);
        let start = end.saturating_sub(through);
        let chosen: Vec<usize> = (0..lengths.len())
            .filter(|b| lengths[*b] > n * every)
            .collect();
        let own: Vec<usize> = chosen
            .iter()
            .map(|b| lengths[*b].min(end) - start)
            .collect();
        let most = *own.iter().max().unwrap();
        let part = |name: &str| {
            let mut array = batch.get(name).unwrap().clone();
            array.slice_axis_inplace(Axis(0), Slice::from(start..start + most));
            array.select(Axis(1), &chosen)
        };
        let one = |is: bool| F::of(f64::from(u8::from(is)));
        let window = Batch::new(most, chosen.len())
            .with("x", part("x"))
            .with("y", part("y"))
            .with(
                "counts",
                Array2::from_shape_fn((most, chosen.len()), |(t, _)| one(start + t >= n * every)),
            )
            .with("begins", Array1::from_elem(chosen.len(), one(start == 0)))
            .with("start", state.select(Axis(0), &chosen))
            .with_lengths(own);
        let expected = gradient.evaluate(&params(n), &window).unwrap();
        for name in ["loss", "W", "s0"] {
            assert_eq!(
                bits(&found[name]),
                bits(&expected[name]),
                "`{name}` of window {n}"
            );
        }
        let next = ((n + 2) * every).min(steps).saturating_sub(through);
        if next > start {
            let h = &states.evaluate(&params(n), &window).unwrap()["h"];
            let h = h.index_axis(Axis(0), (next - start - 1).min(most - 1));
            for (row, sample) in chosen.iter().enumerate() {
                let mut to = state.index_axis_mut(Axis(0), *sample);
                to.assign(&h.index_axis(Axis(0), row));
            }
        }
    }
}

#[test]
fn windows_give_the_bits_of_windows_by_hand() {
    for lengths in [&[11][..], &[11, 11], &[11, 4, 7]] {
        for k in [(1, 1), (2, 5), (3, 3), (4, 9), (5, 11), (1, 20)] {
            by_hand::<f64>(lengths, k);
            by_hand::<f32>(lengths, k);
        }
    }
}

/// The largest entry of the difference, relative to the largest of the arrays and of 1.
fn apart(a: &ArrayD<f64>, b: &ArrayD<f64>) -> f64 {
    let most = |a: &ArrayD<f64>| a.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
    most(&(a - b)) / most(a).max(most(b)).max(1.0)
}

/// Checks that windows whose gradients go through all steps add up to the gradient.
#[track_caller]
fn add_up(r: &Recurrence, params: &Params<f64>, batch: &Batch<f64>, every: usize) {
    let whole = r.gradient(Wrt::Parameters).unwrap();
    let whole = whole.compile_for(params, batch).unwrap();
    let expected = whole.evaluate(params, batch).unwrap();
    let truncated = Truncated::new(r, Wrt::Parameters).unwrap();
    let program = truncated.compile_for(params, batch).unwrap();
    let found = all(&program, |_| params.clone(), batch, truncation(every, 1000));
    for (name, expected) in expected.iter() {
        let mut sum = ArrayD::zeros(expected.raw_dim());
        found.iter().for_each(|found| sum += &found[name]);
        let apart = apart(&sum, expected);
        assert!(
            apart < 1e-10,
            "`{name}`: {sum}, not {expected}, in windows of {every} of {r}"
        );
    }
    let one = all(&program, |_| params.clone(), batch, truncation(1000, 1000));
    assert_eq!(one.len(), 1, "one window has all steps");
    for (name, expected) in expected.iter() {
        assert_eq!(bits(&one[0][name]), bits(expected), "`{name}` of {r}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, ..ProptestConfig::default() })]

    #[test]
    fn gradients_of_windows_add_up(i in strategy::per_step(), every in 1usize..5) {
        let truncated = Truncated::new(&i.recurrence, Wrt::Parameters);
        prop_assume!(!matches!(truncated, Err(Error::NotCausal { .. })));
        let gradient = i.recurrence.gradient(Wrt::Parameters).unwrap();
        prop_assume!(gradient.evaluate(&i.params, &i.batch).is_ok());
        add_up(&i.recurrence, &i.params, &i.batch, every);
    }
}

/// Losses at the end, per sample, with resets, masks, delays and lengths.
#[test]
fn losses_of_every_form_add_up() {
    let state = "dim H\ninput x[H], y\nparam W[H, H], a[H], s0[H]\nstate h[H] = s0\n\
                 h' = tanh(W @ h + x + delay(x, a))\no = sum(h')\n";
    let losses = [
        "loss (o - y)^2\n",
        "final loss (o - y)^2\n",
        "loss last(o)^2 * last(y) + total_steps(o * y)\n",
        "loss o^2\nfinal loss exp(o) + y\n",
        "v = impulse_first(s)\nloss v * o\n",
    ];
    for loss in losses {
        let text = match loss.contains("impulse") {
            true => format!("sample input s\n{state}{loss}"),
            false => format!("{state}{loss}"),
        };
        let r = parse(&text);
        for lengths in [&[9][..], &[9, 3, 6]] {
            let (params, batch) = instance(&r, &[("H", 3)], lengths, 7);
            for every in [1, 2, 4, 9] {
                add_up(&r, &params, &batch, every);
            }
        }
    }
    let plain = parse(&format!("{state}loss (o - y)^2\n"));
    for r in [
        plain.with_resets("r").unwrap(),
        plain.with_mask("r").unwrap(),
    ] {
        let (params, mut batch) = instance(&r, &[("H", 3)], &[9, 9], 8);
        let flags = Array2::from_shape_fn((9, 2), |(t, b)| f64::from(u8::from((t + b) % 4 == 0)));
        batch.get_mut("r").unwrap().assign(&flags);
        for every in [1, 2, 4] {
            add_up(&r, &params, &batch, every);
        }
    }
}

/// A mean is that of the steps that count, and a penalty counts in every window.
#[test]
fn means_and_penalties_are_those_of_a_window() {
    let r = parse("param a\ninput x\nmean loss a * x\nloss a^2\n");
    let batch = Batch::new(4, 1).with("x", array![[1.0], [2.0], [3.0], [6.0]]);
    let params = Params::new().with("a", arr0(2.0));
    let program = Truncated::new(&r, Wrt::Parameters).unwrap();
    let program = program.compile_for(&params, &batch).unwrap();
    let found = all(&program, |_| params.clone(), &batch, truncation(2, 3));
    let losses: Vec<f64> = found.iter().map(|f| f.loss().unwrap()).collect();
    assert_eq!(losses, [2.0 * 1.5 + 4.0, 2.0 * 4.5 + 4.0]);
    assert_eq!(found[1]["a"], arr0(4.5 + 4.0).into_dyn());
}

#[test]
fn a_final_loss_counts_where_the_sample_ends() {
    let r = parse("param a\ninput x\nstate s\ns' = a * s + x\nmean final loss s'\n");
    let x = array![[1.0, 1.0], [1.0, 1.0], [1.0, 0.0]];
    let batch = Batch::new(3, 2).with("x", x).with_lengths([3, 2]);
    let params = Params::new().with("a", arr0(2.0));
    let program = Truncated::new(&r, Wrt::Parameters).unwrap();
    let program = program.compile_for(&params, &batch).unwrap();
    let found = all(&program, |_| params.clone(), &batch, truncation(1, 1));
    let losses: Vec<f64> = found.iter().map(|f| f.loss().unwrap()).collect();
    assert_eq!(losses, [0.0, 1.5, 7.0]);
    let slopes: Vec<f64> = found.iter().map(|f| f["a"].sum()).collect();
    assert_eq!(slopes, [0.0, 0.5, 3.0]);
}

/// A value at the first step is in the window of this step alone.
#[test]
fn a_value_at_the_first_step_counts_once() {
    let r = parse("param a\ninput x\nsample input v\nloss a * x * impulse_first(v)\n");
    let x = array![[1.0], [2.0], [3.0]];
    let batch = Batch::new(3, 1).with("x", x).with("v", array![10.0]);
    let params = Params::new().with("a", arr0(2.0));
    let program = Truncated::new(&r, Wrt::Parameters).unwrap();
    let program = program.compile_for(&params, &batch).unwrap();
    for (k, expected) in [((1, 1), vec![20.0, 0.0, 0.0]), ((2, 2), vec![20.0, 0.0])] {
        let found = all(&program, |_| params.clone(), &batch, truncation(k.0, k.1));
        let losses: Vec<f64> = found.iter().map(|f| f.loss().unwrap()).collect();
        assert_eq!(losses, expected);
    }
}

#[test]
fn losses_that_need_other_steps_are_refused() {
    let refuse = |text: &str, expected: &str| {
        let error = Truncated::new(&parse(text), Wrt::Parameters).unwrap_err();
        assert!(
            error.to_string().contains(expected),
            "expected `{expected}` in: {error}"
        );
    };
    refuse(
        "param a\ninput x\nbackward state late\nlate' = a * late + x\nloss late'\n",
        "cannot run in windows of steps: the state `late` runs from the last step to the first",
    );
    refuse(
        "param a\ninput x\nloss a * (x - total_steps(x))^2\n",
        "`total_steps(x)`, a value of the whole sequence, is used at each step",
    );
    refuse(
        "param a\ninput x\nloss a * first(x)\n",
        "`first(x)` is known to the first window alone",
    );
    refuse("param a\ninput x\noutput y = a * x\n", "has no loss");
    // An output that the loss does not need is no obstacle.
    let text = "param a\ninput x\noutput y = advance(x)\nloss a * x\n";
    Truncated::new(&parse(text), Wrt::Parameters).unwrap();
    let r = parse("param a\ninput x\nloss a * x\n");
    let error = Truncated::new(&r, &["x"]).unwrap_err().to_string();
    assert!(
        error.contains("`x`") && error.contains("those of parameters"),
        "{error}"
    );
    for (every, through) in [(0, 1), (3, 2)] {
        let error = Truncation::new(every, through).unwrap_err().to_string();
        assert!(error.contains("steps"), "{error}");
    }
}
