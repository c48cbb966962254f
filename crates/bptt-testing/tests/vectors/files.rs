//! Files of test vectors, and what they hold.

use std::fs;

use bptt::data::{Array, Arrays};
use bptt::{Batch, Params, Recurrence};
use bptt_testing::vectors::{Layout, Vectors};
use bptt_testing::{Answer, Cases, Precision, Quantity, with_start_inputs};
use ndarray::{ArrayD, arr0};

use crate::folder::Folder;
use crate::{draw, library};

#[test]
fn a_file_is_read_as_it_was_written() {
    let folder = Folder::new("vectors-written");
    let file = folder.file("v.npz");
    for layout in Layout::ALL {
        let written = draw(&library("lstm"), 2, layout);
        written.write(&file).unwrap();
        let read = Vectors::read(&file).unwrap();
        assert_eq!((read.recurrence.as_str(), read.layout), ("lstm", layout));
        // NaN is not equal to itself.
        assert_eq!(format!("{read:?}"), format!("{written:?}"));
        let again = Recurrence::parse("lstm.rec", &read.source).unwrap();
        assert_eq!(again.source().unwrap(), library("lstm").source().unwrap());
        let bytes = fs::read(&file).unwrap();
        draw(&library("lstm"), 2, layout).write(&file).unwrap();
        assert!(fs::read(&file).unwrap() == bytes, "the same bytes");
    }
}

#[test]
fn other_files_are_refused() {
    let folder = Folder::new("vectors-refused");
    let file = folder.file("v.npz");
    let whole = draw(&library("garch11"), 2, Layout::Bptt).arrays();
    let with = |name: &str, array: ArrayD<i64>| {
        let mut arrays = whole.clone();
        arrays.insert(name, Array::Int(array));
        arrays
    };
    let without = |begin: &str| {
        let mut arrays = Arrays::new();
        for (name, array) in whole.iter().filter(|(n, _)| !n.starts_with(begin)) {
            arrays.insert(name, array.clone());
        }
        arrays
    };
    for (arrays, words) in [
        (without("format"), "has no array `format`"),
        (
            with("format", arr0(2).into_dyn()),
            "of format 2, expected 1",
        ),
        (without("1/"), "has the arrays of 1 test vector"),
        (without("source"), "has no array `source`"),
        (without("layout"), "has no array `layout`"),
        (
            with("a/b", arr0(0).into_dyn()),
            "`a/b`, which begins with no number",
        ),
    ] {
        arrays.write(&file).unwrap();
        let message = Vectors::read(&file).unwrap_err().to_string();
        assert!(message.contains(words), "{words} is not in {message}");
        assert!(message.contains("v.npz"), "{message}");
    }
}

/// The numbers of the file are those of the compiled engine on the data of the file, within the bounds of the file.
#[test]
fn the_compiled_engine_agrees_in_both_precisions() {
    for name in ["rnn", "lstm", "garch11", "state_space", "attention"] {
        let recurrence = library(name);
        let gradient = recurrence.gradient(bptt::Wrt::Everything).unwrap();
        for precision in [Precision::F64, Precision::F32] {
            let cases = Cases::new(&recurrence).precision(precision);
            let vectors = Vectors::draw(&cases, 2, 5, Layout::Bptt).unwrap();
            for vector in vectors.iter() {
                let mut given = Arrays::new();
                for (path, array) in vector.arrays() {
                    let part = path.strip_prefix("inputs/");
                    if let Some(part) = part.or_else(|| path.strip_prefix("params/")) {
                        given.insert(part, array.clone());
                    }
                }
                given.insert("lengths", vector.get("lengths").unwrap().clone());
                let mut params = Arrays::new();
                for name in recurrence.parameters() {
                    params.insert(name, given.remove(name).unwrap());
                }
                let params: Params<f64> = params.params(&recurrence).unwrap();
                let mut batch: Batch<f64> = given.batch(&recurrence).unwrap();
                for (dim, size) in vector
                    .arrays()
                    .filter_map(|(p, a)| Some((p.strip_prefix("sizes/")?, a)))
                {
                    let Array::Int(size) = size else {
                        panic!("{dim} is a whole number");
                    };
                    batch = batch.size(dim, usize::try_from(size.sum()).unwrap());
                }
                let answer = match precision {
                    Precision::F64 => answered(&gradient, &recurrence, &params, &batch),
                    Precision::F32 => {
                        answered::<f32>(&gradient, &recurrence, &params.cast(), &batch.cast())
                    }
                };
                vector.check(&answer, precision).unwrap();
            }
        }
    }
}

fn answered<F: bptt::Real>(
    gradient: &Recurrence,
    recurrence: &Recurrence,
    params: &Params<F>,
    batch: &Batch<F>,
) -> Answer {
    let run = |r: &Recurrence| {
        let program = r.compile_for::<F>(params, batch).unwrap();
        program.evaluate(params, batch).unwrap()
    };
    let (forward, backward) = (run(recurrence), run(gradient));
    let mut answer = Answer::new().loss(forward.loss().unwrap());
    for (name, array) in forward.iter().filter(|(name, _)| *name != "loss") {
        answer = answer.with(Quantity::Output, name, array.clone());
    }
    for (name, array) in backward.iter() {
        if let Some(bptt::Derived::Cotangent(of)) = gradient.role(name) {
            answer = answer.gradient(of, array.clone());
        }
    }
    answer
}

#[test]
fn wrong_numbers_are_refused() {
    let text = "param a, b\ninput x\nstate s\ns' = a * s + b * x\noutput s'\nloss s'^2\n";
    let recurrence = Recurrence::parse("leak.rec", text).unwrap();
    let vectors = draw(&recurrence, 1, Layout::Bptt);
    let vector = vectors.iter().next().unwrap();
    let [loss, a, b] = ["loss", "gradient/a", "gradient/b"].map(|p| vector.number(p).unwrap());
    let of = |loss: f64, a: f64| Answer::new().loss(loss).gradient("a", arr0(a));
    let both = of(loss, a).gradient("b", arr0(b));
    let check = |answer: Answer| vector.check(&answer, Precision::F64);
    check(both.clone()).unwrap();
    let outputs = vector.real("outputs/s").unwrap();
    check(
        both.clone()
            .output("s", outputs.mapv(|x| if x.is_nan() { 7.0 } else { x })),
    )
    .unwrap();
    let bound = vector.number("bound/gradient/a").unwrap();
    for (answer, words) in [
        (of(loss, a), "`gradient/b` is not answered"),
        (
            Answer::new().gradient("a", arr0(a)).gradient("b", arr0(b)),
            "`loss` is not answered",
        ),
        (
            both.clone().gradient("a", arr0(a + 2.0 * bound)),
            "`gradient/a` is",
        ),
        (
            both.clone().gradient("a", arr0(f64::NAN)),
            "`gradient/a` is NaN",
        ),
        (
            both.clone().gradient("x", arr0(a)),
            "has the shape [], expected [",
        ),
        (both.clone().gradient("c", arr0(a)), "`gradient/c`"),
        (
            both.clone().output("s", outputs.mapv(|x| x + 1e-9)),
            "`outputs/s` is",
        ),
        (both.hessian_vector("a", arr0(a)), "`hessian_vector/a` is"),
    ] {
        let message = check(answer).unwrap_err().to_string();
        assert!(
            message.contains(words) && message.contains("vector 0"),
            "{words}: {message}"
        );
    }
    let message = vector.number("outputs/s").unwrap_err().to_string();
    assert!(message.contains("expected one number"), "{message}");
    let message = vector.real("params/aa").unwrap_err().to_string();
    assert!(message.contains("params/a"), "{message}");
}

#[test]
fn states_start_at_inputs() {
    let text = "param h0\ninput x\nstate h, s = h0\nh' = x + h\ns' = s * h'\nloss s'^2\n";
    let recurrence = Recurrence::parse("starts.rec", text).unwrap();
    let started = with_start_inputs(&recurrence).0;
    assert_eq!(started.inputs().collect::<Vec<_>>(), ["h00", "x"]);
    let vectors = draw(&started, 1, Layout::Bptt);
    let vector = vectors.iter().next().unwrap();
    let start = vector.real("inputs/h00").unwrap();
    assert!(start.iter().all(|x| x.abs() >= 0.09), "{start}");
    assert_eq!(vector.real("gradient/h00").unwrap().shape(), start.shape());
}
