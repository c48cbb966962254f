//! Sequences of different lengths, masks and resets: each is a rewrite of the graph, and is compared with its
//! definition on random recurrences and on the cells.

use crate::support::random::*;
use bptt::cells::Cell;
use bptt::{Batch, Rate, Recurrence};
use bptt_testing::random::{self as strategy, Instance};
use ndarray::{ArrayD, Axis, IxDyn, Slice, concatenate};
use proptest::prelude::*;

/// Maps the data of each input.
fn map_batch(
    i: &Instance,
    mut out: Batch<f64>,
    real: impl Fn(&ArrayD<f64>, Rate) -> ArrayD<f64>,
    class: impl Fn(&ArrayD<usize>, Rate) -> ArrayD<usize>,
) -> Batch<f64> {
    for leaf in i.recurrence.tape().leaves() {
        if let Some(a) = i.batch.get(leaf.name()) {
            out = out.with(leaf.name(), real(a, leaf.ty().rate));
        } else if let Some(a) = i.batch.classes(leaf.name()) {
            out = out.with_classes(leaf.name(), class(a, leaf.ty().rate));
        }
    }
    out
}

fn part<T: Clone>(a: &ArrayD<T>, axis: usize, from: usize, to: usize) -> ArrayD<T> {
    a.slice_axis(Axis(axis), Slice::from(from..to)).to_owned()
}

/// Steps `from .. to` of every sequence.
fn steps(i: &Instance, from: usize, to: usize) -> Batch<f64> {
    let batch = Batch::new(to - from, i.batch.samples());
    let cut = |rate| {
        if rate == Rate::Step {
            Some((from, to))
        } else {
            None
        }
    };
    map_batch(
        i,
        batch,
        |a, rate| cut(rate).map_or(a.clone(), |(f, t)| part(a, 0, f, t)),
        |a, rate| cut(rate).map_or(a.clone(), |(f, t)| part(a, 0, f, t)),
    )
}

fn rate_of(r: &Recurrence, name: &str) -> Rate {
    r.tape()
        .leaves()
        .iter()
        .find(|l| l.name() == name)
        .unwrap()
        .ty()
        .rate
}

/// Compares the gradient of two sequences in one row with the gradients of the separate sequences; returns the
/// error.
fn check_resets(i: &Instance, cut: usize) -> f64 {
    let (total, samples) = (i.batch.steps(), i.batch.samples());
    let first = gradient(&Instance {
        batch: steps(i, 0, cut),
        ..i.clone()
    });
    let second = gradient(&Instance {
        batch: steps(i, cut, total),
        ..i.clone()
    });
    let recurrence = i.recurrence.with_resets("reset").unwrap();
    let mut reset = ArrayD::zeros(IxDyn(&[total, samples]));
    reset.index_axis_mut(Axis(0), cut).fill(1.0);
    let batch = steps(i, 0, total).with("reset", reset);
    let whole = gradient(&Instance {
        recurrence,
        batch,
        params: i.params.clone(),
    });
    let floor = 1e-2 * overall(&whole) + 1e-3;
    let mut worst = (whole["loss"].sum() - first["loss"].sum() - second["loss"].sum()).abs();
    for (name, a) in named(&first) {
        let b = &second[name];
        let sum = match rate_of(&i.recurrence, name) {
            Rate::Step => concatenate(Axis(0), &[a.view(), b.view()]).unwrap(),
            _ => a + b,
        };
        worst = worst.max(norm(&(&sum - &whole[name])) / norm(&sum).max(floor));
    }
    worst
}

#[test]
fn a_reset_separates_two_sequences() {
    for_all(80, "resets", strategy::per_step(), |i, seen| {
        let error = check_resets(i, i.batch.steps() / 2);
        seen.note(0, error);
        prop_assert!(error < 1e-12, "{error:e}");
        Ok(())
    });
}

#[test]
fn a_batch_is_the_sum_of_its_samples() {
    for_all(60, "ragged", strategy::per_sample(), |i, seen| {
        let whole = gradient(i);
        let floor = 1e-2 * overall(&whole) + 1e-3;
        let mut sums: Vec<(String, ArrayD<f64>)> = Vec::new();
        for (b, length) in i.batch.lengths().enumerate() {
            let one = Batch::new(length, 1);
            fn cut<T: Clone>(a: &ArrayD<T>, rate: Rate, b: usize, length: usize) -> ArrayD<T> {
                match rate {
                    Rate::Step => part(&part(a, 1, b, b + 1), 0, 0, length),
                    _ => part(a, 0, b, b + 1),
                }
            }
            let one = map_batch(
                i,
                one,
                |a, r| cut(a, r, b, length),
                |a, r| cut(a, r, b, length),
            );
            let found = gradient(&Instance {
                batch: one,
                ..i.clone()
            });
            for (name, a) in found.iter() {
                if name == "loss" || is_param(&i.recurrence, name) {
                    match sums.iter_mut().find(|(n, _)| n == name) {
                        Some((_, sum)) => *sum += a,
                        None => sums.push((name.into(), a.clone())),
                    }
                } else {
                    let expected = cut(&whole[name], rate_of(&i.recurrence, name), b, length);
                    let error = norm(&(a - &expected)) / norm(a).max(floor);
                    seen.note(0, error);
                    prop_assert!(error < 1e-13, "{name} of sample {b}: {error:e}");
                }
            }
        }
        for (name, sum) in sums {
            let error = norm(&(&sum - &whole[name.as_str()])) / norm(&sum).max(floor);
            seen.note(1, error);
            prop_assert!(error < 1e-12, "{name}: {error:e}");
        }
        Ok(())
    });
}

/// Inserts two inactive steps: one after the first step, one at the end.
fn with_holes<T: Copy>(a: &ArrayD<T>, rate: Rate) -> ArrayD<T> {
    let steps = a.len_of(Axis(0));
    match rate {
        Rate::Step => {
            let parts = [(0, 1), (steps - 1, steps), (1, steps), (0, 1)];
            let parts = parts.map(|(from, to)| part(a, 0, from, to));
            let views: Vec<_> = parts.iter().map(|p| p.view()).collect();
            concatenate(Axis(0), &views).unwrap()
        }
        _ => a.clone(),
    }
}

/// Removes the two inactive steps from a value; also returns the norm of the removed entries.
fn without_holes(a: &ArrayD<f64>, rate: Rate) -> (ArrayD<f64>, f64) {
    if rate != Rate::Step {
        return (a.clone(), 0.0);
    }
    let steps = a.len_of(Axis(0));
    let kept = [part(a, 0, 0, 1), part(a, 0, 2, steps - 1)];
    let holes = norm(&part(a, 0, 1, 2)).max(norm(&part(a, 0, steps - 1, steps)));
    (
        concatenate(Axis(0), &[kept[0].view(), kept[1].view()]).unwrap(),
        holes,
    )
}

#[test]
fn a_masked_step_might_as_well_not_be_there() {
    for_all(80, "masks", strategy::recurrence(), |i, seen| {
        let expected = gradient(i);
        let (lengths, steps) = (i.batch.lengths().collect::<Vec<_>>(), i.batch.steps() + 2);
        let empty = Batch::new(steps, i.batch.samples());
        let batch = map_batch(i, empty, with_holes, with_holes);
        let active = ArrayD::from_shape_fn(IxDyn(&[steps, i.batch.samples()]), |at| {
            let step = match at[0] {
                0 => 0,
                1 => usize::MAX,
                t => t - 1,
            };
            f64::from(u8::from(step < lengths[at[1]]))
        });
        let found = gradient(&Instance {
            recurrence: i.recurrence.with_mask("active").unwrap(),
            batch: batch.with("active", active),
            params: i.params.clone(),
        });
        let floor = 1e-2 * overall(&expected) + 1e-3;
        for (name, a) in expected.iter() {
            let rate = if name == "loss" {
                Rate::Static
            } else {
                rate_of(&i.recurrence, name)
            };
            let (b, holes) = without_holes(&found[name], rate);
            let error = norm(&(a - &b)) / norm(a).max(floor);
            seen.note(0, error);
            prop_assert!(error < 1e-13 && holes == 0.0, "{name}: {error:e}, {holes}");
        }
        Ok(())
    });
}

#[test]
fn a_reset_separates_two_sequences_of_a_bidirectional_cell() {
    for cell in [Cell::rnn, Cell::lstm, Cell::peephole_lstm, Cell::gru] {
        let error = check_resets(&bidirectional(cell), 2);
        assert!(error < 1e-12, "{:?}: {error:e}", cell());
    }
}
