//! A recurrence that is written and parsed keeps its meaning, including masks, final states, roles of
//! derivatives, and initial values of parameters.

use crate::support::Noise;
use crate::support::library::parse;
use bptt::{Batch, Kind, Outputs, Params, Rate, Recurrence, Role, Wrt};
use ndarray::{Array, arr0, array};

const SIZES: &[(&str, usize)] = &[("H", 2), ("C", 3)];
const LENGTHS: &[usize] = &[5, 4];

const TEXTS: &[&str] = &[
    "dim H, C\nparam W[H, H] ~ orthogonal(0.5), E[C, H] = 0.1, leak = 0.3\ninput x[H], c: class(C)\n\
     sample input h0[H]\nstate h[H] = h0\nh' = tanh(W @ h + x + gather(E, c))\noutput h'\n\
     output at = leak * last(h')\nloss sum(h'^2)\nmean final loss sum(h'^2)\n",
    "param a = 0.5\ninput x, y\nstate s, before\nbackward state k = last(s')\ns' = a * s + x + 0.1 * before\n\
     before' = s\nk' = a * k + s' * y\noutput k', u = delay(s' * x) + advance(y)\nmean loss (k' - y)^2\n\
     loss total_steps(x * s') * a\n",
];

type Change = (&'static str, fn(&Recurrence) -> Recurrence);

/// Transformations of a recurrence, including those with effects that are not in the graph.
const CHANGES: &[Change] = &[
    ("", Recurrence::clone),
    ("mask", |r| r.with_mask("active").unwrap()),
    ("resets", |r| r.with_resets("begins").unwrap()),
    ("resets, mask", |r| {
        r.with_resets("begins")
            .unwrap()
            .with_mask("active")
            .unwrap()
    }),
    ("mask, resets", |r| {
        r.with_mask("active")
            .unwrap()
            .with_resets("begins")
            .unwrap()
    }),
    ("finals, resets", |r| {
        let r = r.with_final_states().unwrap();
        r.with_resets("begins").unwrap()
    }),
    ("two masks, reversed", |r| {
        let r = r.with_mask("active").unwrap().reversed().unwrap();
        r.with_mask("also.active").unwrap()
    }),
];

const DERIVATIVES: &[Change] = &[
    ("", Recurrence::clone),
    ("gradient", |r| r.gradient(Wrt::Everything).unwrap()),
    ("tangent", |r| r.tangent(Wrt::Everything).unwrap()),
    ("pullback", |r| {
        let outputs: Vec<&str> = r.outputs().filter(|o| *o != "loss").collect();
        r.pullback(&outputs, Wrt::Everything).unwrap()
    }),
    ("Hessian product", |r| {
        r.hessian_vector(Wrt::Everything).unwrap()
    }),
];

fn is_flag(name: &str) -> bool {
    ["active", "also.active", "begins"].contains(&name)
}

/// Random data; at inactive steps, inputs are NaN or invalid classes.
fn data(r: &Recurrence, seed: u64) -> (Params<f64>, Batch<f64>) {
    let (params, mut batch) = crate::support::instance(r, SIZES, LENGTHS, seed);
    let mut noise = Noise(seed);
    let mut masks = Vec::new();
    for leaf in r.tape().leaves().iter().filter(|l| is_flag(l.name())) {
        let mut flags = batch.get(leaf.name()).unwrap().clone();
        flags.mapv_inplace(|_| f64::from(!noise.bits().is_multiple_of(3)));
        if leaf.name().ends_with("active") {
            masks.push(flags.clone());
        }
        batch = batch.with(leaf.name(), flags);
    }
    let inputs = r.tape().leaves().iter();
    let inputs = inputs.filter(|l| l.role() == Role::Input && l.ty().rate == Rate::Step);
    for leaf in inputs.filter(|l| !l.name().ends_with("active")) {
        let name = leaf.name();
        let inactive = |index: &[usize]| masks.iter().any(|m| m[[index[0], index[1]]] == 0.0);
        batch = match leaf.ty().kind {
            Kind::Real => {
                let mut array = batch.get(name).unwrap().clone();
                for (index, x) in array.indexed_iter_mut() {
                    if inactive(ndarray::Dimension::slice(&index)) {
                        *x = f64::NAN;
                    }
                }
                batch.with(name, array)
            }
            Kind::Class(_) => {
                let mut array = batch.classes(name).unwrap().clone();
                for (index, class) in array.indexed_iter_mut() {
                    if inactive(ndarray::Dimension::slice(&index)) {
                        *class = 99;
                    }
                }
                batch.with_classes(name, array)
            }
        };
    }
    (params, batch)
}

fn assert_equal(found: &Outputs<f64>, expected: &Outputs<f64>, what: &str) {
    assert_eq!(found.iter().count(), expected.iter().count(), "{what}");
    for ((name, found), (own, expected)) in found.iter().zip(expected.iter()) {
        assert_eq!(name, own, "{what}");
        let (a, b) = (found.mapv(f64::to_bits), expected.mapv(f64::to_bits));
        assert_eq!(a, b, "{what}: {name}");
    }
}

/// Writes and parses a recurrence, and compares all results of both.
fn survives(own: &Recurrence, what: &str) {
    let source = own.source().unwrap_or_else(|e| panic!("{what}: {e}"));
    let read = parse("again", &source);
    let what = format!("{what}\n{source}");
    assert_eq!(read.source().unwrap(), source, "{what}");
    let names = |r: &Recurrence| {
        let names = r.parameters().chain(r.inputs()).chain(r.states());
        names
            .chain(r.outputs())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&read), names(own), "{what}");
    for name in own.parameters() {
        assert_eq!(read.initial(name), own.initial(name), "{what}: {name}");
    }
    for output in own.outputs() {
        assert_eq!(read.role(output), own.role(output), "{what}: {output}");
    }
    let leaves = read.tape().leaves().iter().zip(own.tape().leaves());
    for (read, own) in leaves {
        assert_eq!(read.derived(), own.derived(), "{what}: {}", own.name());
    }
    let finals = |r: &Recurrence| r.with_final_states().unwrap();
    for (own, read) in [(own.clone(), read.clone()), (finals(own), finals(&read))] {
        let (params, batch) = data(&own, 3);
        let expected = own.evaluate(&params, &batch).unwrap();
        assert_equal(&read.evaluate(&params, &batch).unwrap(), &expected, &what);
        let run = |r: &Recurrence| {
            let program = r.compile_for(&params, &batch).unwrap();
            program.evaluate(&params, &batch).unwrap()
        };
        assert_equal(&run(&read), &run(&own), &what);
    }
}

#[test]
fn a_recurrence_keeps_its_meaning() {
    for text in TEXTS {
        for (change, changed) in CHANGES {
            let r = changed(&parse("own", text));
            survives(&r, change);
            survives(&r.reversed().unwrap(), &format!("{change}, reversed"));
        }
    }
}

#[test]
fn a_derivative_keeps_its_meaning() {
    for text in TEXTS {
        let plain = parse("own", text);
        for (change, changed) in CHANGES {
            for (derivative, derived) in DERIVATIVES {
                let what = format!("{change}, {derivative}");
                survives(&derived(&changed(&plain)), &what);
                let what = format!("{derivative}, {change}");
                survives(&changed(&derived(&plain)), &what);
            }
        }
    }
}

/// A parsed recurrence can be differentiated and transformed like the original.
#[test]
fn what_is_read_goes_on_like_what_was_written() {
    for text in TEXTS {
        for (change, changed) in CHANGES {
            let own = changed(&parse("own", text));
            let read = parse("again", &own.source().unwrap());
            for (derivative, derived) in DERIVATIVES {
                let what = format!("{change}, {derivative}");
                let (own, read) = (derived(&own), derived(&read));
                let (own, read) = (
                    own.with_final_states().unwrap(),
                    read.with_final_states().unwrap(),
                );
                let (params, batch) = data(&own, 5);
                let expected = own.evaluate(&params, &batch).unwrap();
                let found = read.evaluate(&params, &batch).unwrap();
                assert_eq!(found.iter().count(), expected.iter().count(), "{what}");
                for ((name, found), (_, expected)) in found.iter().zip(expected.iter()) {
                    let size = expected.iter().fold(1.0, |m: f64, x| m.max(x.abs()));
                    let apart = (found - expected).mapv(f64::abs);
                    let apart = apart.iter().fold(0.0, |m: f64, x| m.max(*x));
                    assert!(apart <= 1e-12 * size, "{what}: {name} is off by {apart}");
                }
            }
        }
    }
}

#[test]
fn a_mask_and_a_final_value_are_declared() {
    let told = |text: &str| {
        Recurrence::parse("wrong.rec", text)
            .unwrap_err()
            .to_string()
    };
    for (text, fragment) in [
        ("mask input m[2]\nloss 1\n", "`mask input m`"),
        ("mask input m\ninput x\nloss m * x\n", "`m` is a mask"),
        ("applied mask m\nloss 1\n", "expected `input`"),
        ("dim C\nmask input m: class(C)\nloss 1\n", "`mask input m`"),
        ("mask param m\nloss m\n", "`mask` begins no statement"),
        ("input x\nfinal state x = x\nloss x\n", "`last(x)`"),
        ("input x\nfinal state s = x\nloss x\n", "`s` is not defined"),
        (
            "input x\nstate s\ns' = s + x\nfinal state s = s', s = s'\nloss x\n",
            "given twice",
        ),
        (
            "dim H\ninput x[H]\nstate s\ns' = s\nfinal state s = x\nloss s\n",
            "`s` is a scalar, found [H]",
        ),
        ("state s\ns' = s\nfinal state s\nloss s\n", "expected `=`"),
    ] {
        let found = told(text);
        assert!(found.contains(fragment), "{fragment} is not in\n{found}");
    }
    // Keywords before declarations are names elsewhere.
    let r = parse(
        "words",
        "applied mask input state\nmask = state + 1\nloss mask\n",
    );
    let batch = Batch::new(1, 1).with("state", ndarray::array![[1.0]]);
    assert_eq!(r.evaluate(&Params::new(), &batch).unwrap().loss(), Ok(2.0));
}

/// A mask that is declared is that of `with_mask`: a step that does not count may hold anything.
#[test]
fn a_declared_mask_leaves_steps_out() {
    let text = "input y\nsample input h0\nparam mu = 1.5, c = 0.3\nstate level = h0\n\
                level' = level + c * (y - level) + 0.1 * delay(y)\n\
                mean loss (y - mu * level')^2\nfinal loss level'^2\noutput seen = 2 * level'\n";
    let own = parse("own", text).with_mask("known").unwrap();
    let declared = parse("own", &format!("mask input known\n{text}"));
    assert_eq!(declared.source(), own.source());
    let again = parse("own", &declared.source().unwrap());
    assert_eq!(again.source(), own.source());
    let params = Params::new().with("mu", arr0(1.5)).with("c", arr0(0.3));
    let holes = [f64::NAN, 1.0, f64::INFINITY, 2.0, 0.5];
    let holes = Batch::new(5, 1)
        .with("y", Array::from_shape_vec((5, 1), holes.to_vec()).unwrap())
        .with("known", array![[0.0], [1.0], [0.0], [1.0], [1.0]])
        .with("h0", array![0.7]);
    let short = Batch::new(3, 1)
        .with("y", array![[1.0], [2.0], [0.5]])
        .with("h0", array![0.7]);
    let of = |r: &Recurrence, batch: &Batch<f64>| {
        let found = r.gradient(Wrt::Parameters).unwrap();
        let found = found.evaluate(&params, batch).unwrap();
        [found["loss"].sum(), found["mu"].sum(), found["c"].sum()]
    };
    for (found, expected) in of(&declared, &holes)
        .iter()
        .zip(of(&parse("own", text), &short))
    {
        assert!((found - expected).abs() < 1e-14, "{found} {expected}");
    }
}

/// A value may have the name of an axis or a rate that its own definition uses as a word.
#[test]
fn words_of_settings_are_no_dependencies() {
    let text = "input x\nparam A[2, 3], v[3]\nrows = sum(A, rows)\ncolumns = mean(A, columns)\n\
                step = hold(v, step)\nsample = hold(v, sample)\nfn means(M) = mean(M, rows)\n\
                output rows, columns, step, sample, all = means(A) + rows\nloss x * sum(rows) + sum(columns)\n";
    let r = parse("words", text);
    assert_eq!(parse("words", &r.source().unwrap()).source(), r.source());
    let spelled =
        "input x\nparam A[2, 3]\nrows = repeat(sum(A, rows), rows, 2)\nloss x * sum(rows)\n";
    let r = parse("words", spelled);
    assert_eq!(parse("words", &r.source().unwrap()).source(), r.source());
}

/// A size that is used as a number is written as such.
#[test]
fn a_size_as_a_number_is_written_by_its_name() {
    let text = "dim H\nparam v[H], W[H, 2 * H]\ninput x\ny = delay(x, 1.0 * H)\nn = H\noutput m = 2 * n, k = H\n\
                loss x * sum(v) / H + mean(W) + y * mean(v) + sum(mean(W, rows))\n";
    let r = parse("size", text);
    let source = r.source().unwrap();
    for written in [
        "v1 = sum(v)\n",
        "v1 / H",
        "delay(x, 1.0 * H)",
        "n = H\n",
        "sum(W, rows) / H",
    ] {
        assert!(source.contains(written), "{written} in\n{source}");
    }
    assert_eq!(parse("size", &source).source().unwrap(), source);
}
