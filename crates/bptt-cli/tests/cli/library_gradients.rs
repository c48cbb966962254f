//! For every recurrence of the library, `bptt grad`, run in its own process on a data file, agrees with a plain
//! loop: the published equations, written here for dual numbers. The loops use no part of this crate.

mod data;
mod dual;
mod models;
mod networks;

use std::collections::BTreeMap;

use bptt::data::Arrays;
use ndarray::{Array1, ArrayD};

use crate::command::{bptt, success};
use crate::support::folder::Folder;
use crate::support::library::{self, LENGTHS, parse};
use data::{Data, Sample};
use dual::Dual;

/// Relative to the largest entry of each array.
const TOLERANCE: f64 = 1e-12;

/// The loss of one sample, as a loop.
type Loop = fn(&Sample<'_>) -> Dual;

#[derive(Clone, Copy, PartialEq)]
enum Loss {
    Sum,
    /// The mean over all steps of all samples.
    Mean,
}

const LOOPS: &[(&str, Loss, Loop)] = &[
    ("attention", Loss::Sum, networks::attention),
    ("characters", Loss::Mean, networks::characters),
    (
        "exponential_smoothing",
        Loss::Mean,
        models::exponential_smoothing,
    ),
    ("garch11", Loss::Sum, models::garch11),
    ("garch_t", Loss::Sum, models::garch_t),
    ("gjr_garch", Loss::Sum, models::gjr_garch),
    ("gradbench_lstm", Loss::Mean, networks::gradbench_lstm),
    ("gru_reset_after", Loss::Sum, networks::gru_reset_after),
    ("gru_reset_before", Loss::Sum, networks::gru_reset_before),
    ("hidden_markov", Loss::Sum, models::hidden_markov),
    ("leapfrog", Loss::Sum, models::leapfrog),
    ("logistic_map", Loss::Mean, models::logistic_map),
    ("lqr", Loss::Sum, models::lqr),
    ("lqr_controls", Loss::Sum, models::lqr_controls),
    ("lstm", Loss::Sum, networks::lstm_plain),
    (
        "lstm_bidirectional",
        Loss::Sum,
        networks::lstm_bidirectional,
    ),
    ("lstm_peephole", Loss::Sum, networks::lstm_peephole),
    ("lstm_stacked", Loss::Sum, networks::lstm_stacked),
    ("neural_ode", Loss::Mean, networks::neural_ode),
    ("nile_local_level", Loss::Sum, models::nile_local_level),
    ("rnn", Loss::Sum, networks::rnn),
    ("rnn_relu", Loss::Sum, networks::rnn_relu),
    ("sir_counts", Loss::Sum, models::sir_counts),
    ("sir_epidemic", Loss::Mean, models::sir_epidemic),
    ("spiking", Loss::Sum, networks::spiking),
    ("state_space", Loss::Sum, models::state_space),
    (
        "stochastic_volatility",
        Loss::Sum,
        models::stochastic_volatility,
    ),
    ("van_der_pol", Loss::Sum, models::van_der_pol),
];

type Named = BTreeMap<String, ArrayD<f64>>;

/// Random data of a recurrence, written to files and returned as dual numbers.
fn write(folder: &Folder, name: &str, source: &str) -> Data {
    let recurrence = parse(name, source);
    let (params, batch) = library::data(name, &recurrence, 23);
    Arrays::from(&params)
        .write(folder.file("params.npz"))
        .unwrap();
    let lengths = LENGTHS.iter().map(|l| i64::try_from(*l).unwrap());
    let mut inputs = Arrays::new().with("lengths", lengths.collect::<Array1<i64>>());
    let mut data = Data {
        lengths: LENGTHS.to_vec(),
        ..Data::default()
    };
    let dual = |a: &ArrayD<f64>| a.mapv(Dual::from);
    for (name, array) in params.iter() {
        data.params.insert(name.into(), dual(array));
    }
    for name in recurrence.inputs() {
        if let Some(array) = batch.get(name) {
            data.inputs.insert(name.into(), dual(array));
            inputs = inputs.with(name, array.clone());
        } else if let Some(classes) = batch.classes(name) {
            data.classes.insert(name.into(), classes.clone());
            inputs = inputs.with(name, classes.mapv(|c| i64::try_from(c).unwrap()));
        }
    }
    inputs.write(folder.file("data.npz")).unwrap();
    data
}

fn evaluate(data: &Data, loss: Loss, of: Loop) -> Dual {
    let samples = 0..data.lengths.len();
    let sum: Dual = samples.map(|b| of(&Sample { data, b })).sum();
    let count: usize = data.lengths.iter().sum();
    match loss {
        Loss::Sum => sum,
        Loss::Mean => sum / f64::from(u32::try_from(count).unwrap()),
    }
}

/// The loss, and its derivatives with respect to every entry of every parameter and input, one at a time.
fn by_hand(data: &Data, loss: Loss, of: Loop) -> Named {
    let value = ndarray::arr0(evaluate(data, loss, of).value).into_dyn();
    let mut found = Named::from([("loss".to_owned(), value)]);
    for group in [&data.params, &data.inputs] {
        for (name, array) in group {
            let slope = |i: usize| {
                let mut seeded = data.clone();
                let params = seeded.params.get_mut(name);
                let array = params.or_else(|| seeded.inputs.get_mut(name)).unwrap();
                array.iter_mut().nth(i).unwrap().slope = 1.0;
                evaluate(&seeded, loss, of).slope
            };
            let slopes = (0..array.len()).map(slope).collect();
            let slopes = ArrayD::from_shape_vec(array.shape(), slopes).unwrap();
            found.insert(name.clone(), slopes);
        }
    }
    found
}

/// The output of `bptt grad`, with respect to every parameter and every real input.
fn by_command(folder: &Folder, cell: &str, data: &Data, dtype: &str) -> Named {
    let names: Vec<&str> = data
        .params
        .keys()
        .chain(data.inputs.keys())
        .map(|n| &**n)
        .collect();
    let names = names.join(",");
    let mut arguments = vec!["grad", cell, "--wrt", &names, "--dtype", dtype];
    let files = "--data data.npz --params params.npz --out gradient.npz --quiet";
    arguments.extend(files.split(' '));
    success(&bptt(folder, &arguments));
    let found = Arrays::read(folder.file("gradient.npz")).unwrap();
    found.iter().map(|(n, a)| (n.into(), a.real())).collect()
}

fn compare(expected: &Named, found: &Named, tolerance: f64) -> Result<(), String> {
    let names = |named: &Named| named.keys().cloned().collect::<Vec<_>>();
    if names(expected) != names(found) {
        return Err(format!(
            "expected {:?}, found {:?}",
            names(expected),
            names(found)
        ));
    }
    for (name, expected) in expected {
        let found = &found[name];
        if expected.shape() != found.shape() {
            return Err(format!("{name} has shape {:?}", found.shape()));
        }
        let largest = expected.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
        let off = (expected - found)
            .iter()
            .fold(0.0, |m: f64, x| m.max(x.abs()));
        if largest == 0.0 || off.is_nan() || off > tolerance * largest {
            return Err(format!(
                "{name} is off by {off:e}, its largest entry is {largest:e}"
            ));
        }
    }
    Ok(())
}

#[test]
fn the_command_has_the_gradients_of_the_loops() {
    let folder = Folder::new("loops");
    let names: Vec<&str> = LOOPS.iter().map(|l| l.0).collect();
    let library = library::library();
    assert_eq!(names, library.iter().map(|l| &*l.0).collect::<Vec<_>>());
    for ((name, loss, of), (_, source)) in LOOPS.iter().zip(&library) {
        let data = write(&folder, name, source);
        let expected = by_hand(&data, *loss, *of);
        for (dtype, tolerance) in [("f64", TOLERANCE), ("f32", 1e-4)] {
            let found = by_command(&folder, name, &data, dtype);
            compare(&expected, &found, tolerance)
                .unwrap_or_else(|e| panic!("{name}, {dtype}: {e}"));
        }
        // A file with the same text gives the same numbers.
        std::fs::write(folder.file("own.rec"), source).unwrap();
        let own = by_command(&folder, "own.rec", &data, "f64");
        assert_eq!(own, by_command(&folder, name, &data, "f64"), "{name}");
    }
}

/// The comparison must detect an error: a constant of the text is changed by one part in 1e10.
#[test]
fn the_comparison_sees_a_wrong_constant() {
    let folder = Folder::new("wrong-loop");
    let (_, source) = library::library()
        .into_iter()
        .find(|l| l.0 == "leapfrog")
        .unwrap();
    let wrong = source.replace("q' = q + dt * half", "q' = q + 1.0000000001 * dt * half");
    assert_ne!(wrong, source, "it was changed");
    std::fs::write(folder.file("wrong.rec"), wrong).unwrap();
    let data = write(&folder, "leapfrog", &source);
    let expected = by_hand(&data, Loss::Sum, models::leapfrog);
    let found = by_command(&folder, "wrong.rec", &data, "f64");
    let error = compare(&expected, &found, TOLERANCE).unwrap_err();
    assert!(error.contains("is off by"), "{error}");
}
