//! All recurrences of the library.

use bptt::{Error, Recurrence, Wrt};

use super::compiler::{assert_close, compilers, outputs_of, run, run_by_steps};
use super::support::library::{SIZES, data_of, folder, library, parse};

fn sizes(r: &Recurrence) -> Vec<(&'static str, usize)> {
    let dims: Vec<&str> = r.tape().dims().collect();
    SIZES
        .iter()
        .copied()
        .filter(|(name, _)| dims.contains(name))
        .collect()
}

#[track_caller]
fn agrees(name: &str, r: &Recurrence, what: &str, compiler: &str) {
    let (params, batch) = data_of(name, r, &[5], 7);
    let program = r.compile::<f64>(&sizes(r)).unwrap();
    let expected = outputs_of(&program, &program.evaluate(&params, &batch).unwrap());
    let title = format!("{name}-{what}");
    let found = run(
        (&program, what, &["-O1"]),
        (&params, &batch),
        compiler,
        &title,
    );
    assert_close(&found, &expected, 1e-13, &title);
}

/// All recurrences, or those with a loss.
fn all(with_loss: bool) -> impl Iterator<Item = (String, Recurrence)> {
    let parsed = library()
        .into_iter()
        .map(|(name, source)| (name.clone(), parse(&name, &source)));
    parsed.filter(move |(_, r)| !with_loss || r.outputs().any(|o| o == "loss"))
}

#[test]
fn runs_agree_with_the_engine() {
    for compiler in compilers() {
        for (name, r) in all(false) {
            agrees(&name, &r, "run", compiler);
        }
    }
}

#[test]
fn gradients_agree_with_the_engine() {
    for compiler in compilers() {
        for (name, r) in all(true) {
            agrees(
                &name,
                &r.gradient(Wrt::Parameters).unwrap(),
                "gradient",
                compiler,
            );
        }
    }
}

#[test]
fn tangents_agree_with_the_engine() {
    for (name, r) in all(false).filter(|(_, r)| r.parameters().next().is_some()) {
        for compiler in compilers().into_iter().take(1) {
            agrees(
                &name,
                &r.tangent(Wrt::Parameters).unwrap(),
                "tangent",
                compiler,
            );
        }
    }
}

#[test]
fn hessian_products_agree_with_the_engine() {
    for (name, r) in all(true).filter(|(_, r)| r.parameters().next().is_some()) {
        for compiler in compilers().into_iter().take(1) {
            agrees(
                &name,
                &r.hessian_vector(Wrt::Parameters).unwrap(),
                "hessian_vector",
                compiler,
            );
        }
    }
}

#[test]
fn steps_agree_with_the_engine() {
    let mut refused = Vec::new();
    for compiler in compilers() {
        refused.clear();
        for (name, r) in all(false) {
            let (params, batch) = data_of(&name, &r, &[5], 7);
            let program = r.compile::<f64>(&sizes(&r)).unwrap();
            let expected = outputs_of(&program, &program.evaluate(&params, &batch).unwrap());
            match run_by_steps((&program, &["-O1"]), (&params, &batch), compiler, &name) {
                Ok(found) => assert_close(&found, &expected, 1e-13, &name),
                Err(Error::NotCausal { .. }) => refused.push(name),
                Err(error) => panic!("{name}: {error}"),
            }
        }
        assert_eq!(
            refused,
            ["garch11", "garch_t", "gjr_garch", "lstm_bidirectional"],
            "the others need no later steps"
        );
    }
}

/// A text in which every op of the table occurs.
#[test]
fn every_op_agrees_with_the_engine() {
    let source = std::fs::read_to_string(folder("tests/golden/every_op.rec")).unwrap();
    let r = parse("every_op", &source);
    let gradient = r.gradient(Wrt::Everything).unwrap();
    for compiler in compilers() {
        agrees("every_op", &r, "run", compiler);
        agrees("every_op", &gradient, "gradient", compiler);
        agrees(
            "every_op",
            &gradient.with_mask("active").unwrap(),
            "masked",
            compiler,
        );
    }
}

/// The gradient so far, with traces, of the recurrences that keep their entries apart.
#[test]
fn online_gradients_agree_with_the_engine() {
    let mut compared = Vec::new();
    for compiler in compilers() {
        compared.clear();
        for (name, r) in all(true) {
            let Ok(online) = r.online_gradient(Wrt::Parameters) else {
                continue;
            };
            let (params, batch) = data_of(&name, &r, &[5], 7);
            let program = online.compile::<f64>(&sizes(&online)).unwrap();
            let expected = outputs_of(&program, &program.evaluate(&params, &batch).unwrap());
            let title = format!("{name}-online");
            if let Ok(found) =
                run_by_steps((&program, &["-O1"]), (&params, &batch), compiler, &title)
            {
                assert_close(&found, &expected, 1e-13, &title);
                compared.push(name);
            }
        }
        assert!(compared.len() > 2, "compared: {compared:?}");
    }
}
