//! A cell with readout and loss, by hand: the answer to a case.

use bptt::cells::{Cell, Loss, Start};
use bptt::{Outputs, Params, Recurrence, Wrt};
use bptt_testing::{Answer, Case, Cases, Certificate, Certify, Failure, Quantity};
use ndarray::{Array1, ArrayD, Axis, Ix1};

use super::hand::{Backpropagation, Gradients, Sequence, V, matrix, vector};

/// The certificate of a hand-written backward pass, and those of the engines on the same cases.
pub(crate) fn certificates(cell: Cell, loss: Loss, hand: Backpropagation) -> [Certificate; 4] {
    let recurrence = cell
        .start(Start::Input)
        .model("cell", loss)
        .expect("a cell is well typed");
    let certify = |foreign: &mut dyn FnMut(&Case) -> Result<Answer, Failure>| {
        let certify = Certify::new(Cases::new(&recurrence).steps(3..=8)).trials(48);
        certify
            .run(&mut |case: &Case| foreign(case))
            .expect("the recurrence has a loss")
    };
    let gradient = recurrence
        .gradient(Wrt::Everything)
        .expect("every rule is there");
    [
        certify(&mut |case| Ok(by_hand(case, loss, &recurrence, hand))),
        certify(&mut |case| {
            let program = gradient.compile_for::<f64>(&case.params, &case.batch)?;
            Ok(answer(&program.evaluate(&case.params, &case.batch)?))
        }),
        certify(&mut |case| {
            let program = gradient.compile_for::<f64>(&case.params, &case.batch)?;
            Ok(answer(&program.interpret(&case.params, &case.batch)?))
        }),
        certify(&mut |case| {
            let unrolled = recurrence.unroll_for(&case.params, &case.batch)?;
            let reverse = unrolled.gradient(Wrt::Everything)?;
            Ok(answer(&reverse.evaluate(&case.params, &case.batch)?))
        }),
    ]
}

/// The outputs of a gradient as an answer.
fn answer(found: &Outputs<f64>) -> Answer {
    found.iter().fold(Answer::new(), |answer, (name, array)| {
        let quantity = match name {
            "loss" => Quantity::Loss,
            _ => Quantity::Gradient,
        };
        answer.with(quantity, name, array.clone())
    })
}

/// The loss and its derivatives, under the names used by the gradient.
fn by_hand(case: &Case, loss: Loss, recurrence: &Recurrence, hand: Backpropagation) -> Answer {
    let array = |name: &str| case.batch.get(name).expect("it was drawn");
    let (x, h0) = (array("x"), array("h0"));
    let c0 = case.batch.get("c0").unwrap_or(h0);
    let mut g = Gradients::default();
    let mut total = 0.0;
    let mut dx = ArrayD::zeros(x.shape());
    let mut dy = case.batch.get("y").map(|y| ArrayD::zeros(y.shape()));
    let (mut dh0, mut dc0) = (ArrayD::zeros(h0.shape()), ArrayD::zeros(c0.shape()));
    for (b, length) in case.batch.lengths().enumerate() {
        let sequence = Sequence {
            x: (0..length).map(|t| row(x, &[t, b])).collect(),
            h0: row(h0, &[b]),
            c0: row(c0, &[b]),
        };
        let mut readout = |t: usize, h: &V, g: &mut Gradients| {
            let (step_loss, delta_o) = output(case, loss, (t, b), h);
            total += step_loss;
            // The loss is ½‖o − y‖², so its derivative with respect to y is −(o − y).
            if let Some(dy) = &mut dy {
                set(dy, &[t, b], &-&delta_o);
            }
            g.add_outer("W_O", std::iter::once((&delta_o, h)));
            g.add_sum("b_q", [&delta_o]);
            matrix(&case.params, "W_O").t().dot(&delta_o)
        };
        let start = hand(&case.params, &sequence, &mut readout, &mut g);
        for (t, d) in g.x.iter().enumerate() {
            set(&mut dx, &[t, b], d);
        }
        set(&mut dh0, &[b], &start.h);
        if let Some(c) = &start.c {
            set(&mut dc0, &[b], c);
        }
    }
    let mut answer = Answer::new()
        .loss(total)
        .gradient("x", dx)
        .gradient("h0", dh0);
    for (name, array) in g.parameters {
        answer = answer.gradient(&name, array);
    }
    if let Some(dy) = dy {
        answer = answer.gradient("y", dy);
    }
    match recurrence.inputs().any(|input| input == "c0") {
        true => answer.gradient("c0", dc0),
        false => answer,
    }
}

/// The loss of one step, and its derivative with respect to `o = W_O h + b_q`.
fn output(case: &Case, loss: Loss, (t, b): (usize, usize), h: &V) -> (f64, V) {
    let params: &Params<f64> = &case.params;
    let o = matrix(params, "W_O").dot(h) + vector(params, "b_q");
    match loss {
        Loss::SquaredError => {
            let delta = o - row(case.batch.get("y").expect("it was drawn"), &[t, b]);
            (0.5 * delta.dot(&delta), delta)
        }
        _ => {
            let class = case.batch.classes("y").expect("it was drawn")[[t, b]];
            let exponentials: Array1<f64> = o.mapv(f64::exp);
            let mut delta = &exponentials / exponentials.sum();
            let loss = -delta[class].ln();
            delta[class] -= 1.0;
            (loss, delta)
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

fn set(array: &mut ArrayD<f64>, place: &[usize], values: &V) {
    let mut view = place
        .iter()
        .fold(array.view_mut(), |v, i| v.index_axis_move(Axis(0), *i));
    view.assign(values);
}

/// The answer with `h0` changed by one part in 1e11 is rejected.
#[test]
fn the_comparison_sees_a_wrong_gradient() {
    let tampered: Backpropagation = |p, s, readout, g| {
        let start = super::hand::tanh_rnn(p, s, readout, g);
        super::hand::Start {
            h: &start.h * (1.0 + 1e-11),
            ..start
        }
    };
    let [found, ..] = certificates(Cell::rnn(), Loss::SquaredError, tampered);
    let wrong: Vec<&str> = found
        .findings()
        .iter()
        .filter(|f| !f.agrees())
        .map(|f| &*f.name)
        .collect();
    assert_eq!(wrong, ["h0"], "{found}");
    let error = found.worst().expect("it is wrong").error;
    assert!((0.5e-11..2e-11).contains(&error), "{found}");
}
