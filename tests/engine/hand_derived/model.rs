//! A cell with readout and loss: random data, and the comparison of gradients.

use std::collections::BTreeMap;

use bptt::cells::{Cell, Loss, Start};
use bptt::{Batch, Outputs, Params, Recurrence, Wrt};
use ndarray::{Array1, Array2, ArrayD, Axis, Ix1, IxDyn, arr0};
use proptest::prelude::*;

use super::hand::{Backpropagation, Gradients, Sequence, V, matrix, vector};
use crate::support::engines::EveryEngine as _;

/// The tolerance, relative to the largest entry of each array. Both sides are in double precision with
/// different roundings; the sequences are short and the weights of order one.
const TOLERANCE: f64 = 1e-12;

/// The loss after the readout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    SquaredError,
    SoftmaxCrossEntropy,
}

/// The sizes of a test. The numbers of inputs, hidden units and outputs differ, so that a transposed or swapped
/// array is detected.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) k: usize,
    pub(crate) h: usize,
    pub(crate) o: usize,
    pub(crate) steps: usize,
    pub(crate) lengths: Vec<usize>,
    pub(crate) seed: u64,
}

pub(crate) fn case() -> impl Strategy<Value = Case> {
    let sizes = Just(vec![2_usize, 3, 4, 5]).prop_shuffle();
    (sizes, 3..=8_usize, any::<u64>()).prop_flat_map(|(sizes, steps, seed)| {
        let lengths = prop::collection::vec(1..=steps, 1..=3);
        lengths.prop_map(move |lengths| Case {
            k: sizes[0],
            h: sizes[1],
            o: sizes[2],
            steps,
            lengths,
            seed,
        })
    })
}

/// A small generator of pseudo-random numbers (splitmix64).
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in [−1, 1).
    fn number(&mut self) -> f64 {
        let top = u32::try_from(self.bits() >> 32).expect("32 bits are left");
        f64::from(top) / 2_f64.powi(31) - 1.0
    }

    fn array(&mut self, shape: &[usize]) -> ArrayD<f64> {
        ArrayD::from_shape_simple_fn(IxDyn(shape), || self.number())
    }

    /// Data `[T, B, n]`, NaN beyond the lengths, where it must not be read.
    fn sequences(&mut self, case: &Case, n: usize) -> ArrayD<f64> {
        let mut array = self.array(&[case.steps, case.lengths.len(), n]);
        for (b, length) in case.lengths.iter().enumerate() {
            let mut sample = array.index_axis_mut(Axis(1), b);
            sample
                .slice_axis_mut(Axis(0), (*length..).into())
                .fill(f64::NAN);
        }
        array
    }
}

fn parameters(recurrence: &Recurrence, case: &Case, random: &mut Random) -> Params<f64> {
    let &Case { k, h, o, .. } = case;
    let mut params = Params::new();
    // `W_o` is the output gate of the LSTM, `W_O` the readout.
    for name in recurrence.parameters() {
        let shape: &[usize] = match name {
            "W_O" => &[o, h],
            "b_q" => &[o],
            "W_H" => &[h, h],
            _ if name.starts_with("W_") => &[h, k],
            _ if name.starts_with("U_") => &[h, h],
            _ => &[h],
        };
        params.insert(name, random.array(shape));
    }
    params
}

/// Compares the gradient of a cell with readout with a hand-written backward pass.
pub(crate) fn check(
    case: &Case,
    cell: Cell,
    target: Target,
    hand: Backpropagation,
) -> Result<(), TestCaseError> {
    let loss = match target {
        Target::SquaredError => Loss::SquaredError,
        Target::SoftmaxCrossEntropy => Loss::SoftmaxCrossEntropy,
    };
    let recurrence = cell
        .start(Start::Input)
        .model("cell", loss)
        .expect("a cell is well typed");
    let mut random = Random(case.seed);
    let params = parameters(&recurrence, case, &mut random);
    let samples = case.lengths.len();
    let x = random.sequences(case, case.k);
    let y = random.sequences(case, case.o);
    let h0 = random.array(&[samples, case.h]);
    let c0 = random.array(&[samples, case.h]);
    let classes = Array2::from_shape_simple_fn((case.steps, samples), || {
        let outputs = u64::try_from(case.o).expect("it is small");
        usize::try_from(random.bits() % outputs).expect("it is small")
    });

    let data = Data {
        case,
        params: &params,
        target,
        x: &x,
        y: &y,
        classes: &classes,
    };
    let expected = data.by_hand(hand, &h0, &c0);

    let mut batch = Batch::new(case.steps, samples)
        .with_lengths(case.lengths.clone())
        .with("x", x.clone());
    batch = match target {
        Target::SquaredError => batch.with("y", y.clone()),
        Target::SoftmaxCrossEntropy => batch.with_classes("y", classes.clone()),
    };
    for (name, initial) in [("h0", &h0), ("c0", &c0)] {
        if recurrence.inputs().any(|input| input == name) {
            batch = batch.with(name, initial.clone());
        }
    }
    let gradient = recurrence
        .gradient(Wrt::Everything)
        .expect("every rule is there");
    let unrolled = recurrence
        .unroll_for(&params, &batch)
        .expect("the data fits");
    let reverse = unrolled
        .gradient(Wrt::Everything)
        .expect("every rule is there");
    compare(
        "as a recurrence",
        &expected,
        &gradient.on_every_engine(&params, &batch).expect("it fits"),
    )?;
    compare(
        "on the tape",
        &expected,
        &reverse.evaluate(&params, &batch).expect("it fits"),
    )
}

fn compare(
    road: &str,
    expected: &BTreeMap<String, ArrayD<f64>>,
    found: &Outputs<f64>,
) -> Result<(), TestCaseError> {
    let names: Vec<&str> = found.iter().map(|(name, _)| name).collect();
    prop_assert_eq!(
        names.len(),
        expected.len(),
        "{}: the arrays are {:?}",
        road,
        &names
    );
    for (name, want) in expected {
        let found = found.get(name);
        prop_assert!(
            found.is_some(),
            "{road}: `{name}` is missing among {names:?}"
        );
        let Some(found) = found else { continue };
        prop_assert_eq!(
            found.shape(),
            want.shape(),
            "{}: the shape of `{}`",
            road,
            name
        );
        let scale = want.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
        let error = (found - want).iter().fold(0.0, |m: f64, v| m.max(v.abs()));
        prop_assert!(
            error <= TOLERANCE * scale,
            "{road}: `{name}` is off by {error:e}, its largest entry is {scale:e}"
        );
    }
    Ok(())
}

/// The data of a run.
struct Data<'a> {
    case: &'a Case,
    params: &'a Params<f64>,
    target: Target,
    x: &'a ArrayD<f64>,
    y: &'a ArrayD<f64>,
    classes: &'a Array2<usize>,
}

impl Data<'_> {
    /// The loss and its derivatives, under the names used by the gradient.
    fn by_hand(
        &self,
        hand: Backpropagation,
        h0: &ArrayD<f64>,
        c0: &ArrayD<f64>,
    ) -> BTreeMap<String, ArrayD<f64>> {
        let samples = self.case.lengths.len();
        let steps = self.case.steps;
        let mut g = Gradients::default();
        let mut loss = 0.0;
        let mut dx = ArrayD::zeros(IxDyn(&[steps, samples, self.case.k]));
        let mut dy = ArrayD::zeros(IxDyn(&[steps, samples, self.case.o]));
        let mut dh0 = ArrayD::zeros(h0.raw_dim());
        let mut dc0 = ArrayD::zeros(c0.raw_dim());
        let mut has_c = false;
        for (b, length) in self.case.lengths.iter().enumerate() {
            let sequence = Sequence {
                x: (0..*length).map(|t| row(self.x, &[t, b])).collect(),
                h0: row(h0, &[b]),
                c0: row(c0, &[b]),
            };
            let mut readout = |t: usize, h: &V, g: &mut Gradients| {
                let (step_loss, delta_o) = self.output(t, b, h);
                loss += step_loss;
                // The loss is ½‖o − y‖², so its derivative with respect to y is −(o − y).
                dy.index_axis_mut(Axis(0), t)
                    .index_axis_mut(Axis(0), b)
                    .assign(&-&delta_o);
                g.add_outer("W_O", std::iter::once((&delta_o, h)));
                g.add_sum("b_q", [&delta_o]);
                matrix(self.params, "W_O").t().dot(&delta_o)
            };
            let start = hand(self.params, &sequence, &mut readout, &mut g);
            for (t, d) in g.x.iter().enumerate() {
                dx.index_axis_mut(Axis(0), t)
                    .index_axis_mut(Axis(0), b)
                    .assign(d);
            }
            dh0.index_axis_mut(Axis(0), b).assign(&start.h);
            if let Some(c) = &start.c {
                has_c = true;
                dc0.index_axis_mut(Axis(0), b).assign(c);
            }
        }
        let mut found = g.parameters;
        found.insert("loss".into(), arr0(loss).into_dyn());
        found.insert("x".into(), dx);
        found.insert("h0".into(), dh0);
        if self.target == Target::SquaredError {
            found.insert("y".into(), dy);
        }
        if has_c {
            found.insert("c0".into(), dc0);
        }
        found
    }

    /// The loss of one step, and its derivative with respect to `o = W_O h + b_q`.
    fn output(&self, t: usize, b: usize, h: &V) -> (f64, V) {
        let o = matrix(self.params, "W_O").dot(h) + vector(self.params, "b_q");
        match self.target {
            Target::SquaredError => {
                let delta = o - row(self.y, &[t, b]);
                (0.5 * delta.dot(&delta), delta)
            }
            Target::SoftmaxCrossEntropy => {
                let class = self.classes[[t, b]];
                let exponentials: Array1<f64> = o.mapv(f64::exp);
                let mut delta = &exponentials / exponentials.sum();
                let loss = -delta[class].ln();
                delta[class] -= 1.0;
                (loss, delta)
            }
        }
    }
}

/// The vector along the last axis of an array, at the given index.
fn row(array: &ArrayD<f64>, place: &[usize]) -> V {
    let view = place
        .iter()
        .fold(array.view(), |v, i| v.index_axis_move(Axis(0), *i));
    view.into_dimensionality::<Ix1>()
        .expect("it is a vector")
        .to_owned()
}
