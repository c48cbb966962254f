//! Results do not depend on names: a recurrence, its derivatives, final states and a step of a fit are the same
//! under any valid names.

use crate::support::Noise;
use crate::support::library::parse;
use crate::support::names::{
    LEAVES, Names, OUTPUTS, PARAMETERS, STATES, VALUES, cases, names, plain, text,
};
use bptt::fit::{Adam, Newton, Objective, Sgd, clip_global_norm, hessian};
use bptt::{Batch, Derived, Error, Outputs, Params, Recurrence, Wrt};
use ndarray::ArrayD;
use proptest::prelude::*;

const STEPS: usize = 3;
const SAMPLES: usize = 2;
const SIZE: usize = 2;

/// The same data under these names.
fn data(names: &Names) -> (Params<f64>, Batch<f64>) {
    let mut noise = Noise(5);
    let mut array = |shape: &[usize]| 0.7 * noise.array(shape);
    let params = Params::new()
        .with(&names["W"], array(&[SIZE, SIZE]))
        .with(&names["b"], array(&[SIZE]))
        .with(&names["c"], array(&[]));
    let batch = Batch::new(STEPS, SAMPLES)
        .with(&names["x"], array(&[STEPS, SAMPLES, SIZE]))
        .with(&names["y"], array(&[STEPS, SAMPLES]))
        .with(&names["z0"], array(&[SAMPLES, SIZE]));
    (params, batch)
}

/// Adds directions for these plain names.
fn with_directions(
    derived: &Recurrence,
    names: &Names,
    of: &[&str],
    params: &mut Params<f64>,
    batch: &mut Batch<f64>,
) {
    let mut noise = Noise(8);
    let mut array = |shape: &[usize]| noise.array(shape);
    for plain in of {
        let leaf = derived.leaf_for(&Derived::Tangent((*names[*plain]).into()));
        let leaf = leaf.unwrap_or_else(|| panic!("{} has a direction", names[*plain]));
        match *plain {
            "W" => params.insert(leaf, array(&[SIZE, SIZE])),
            "b" => params.insert(leaf, array(&[SIZE])),
            "c" => params.insert(leaf, array(&[])),
            "x" | "s" | "q" => {
                *batch = batch.clone().with(leaf, array(&[STEPS, SAMPLES, SIZE]));
            }
            "z0" => *batch = batch.clone().with(leaf, array(&[SAMPLES, SIZE])),
            _ => *batch = batch.clone().with(leaf, array(&[STEPS, SAMPLES])),
        }
    }
}

/// The results of a recurrence: arrays by plain name.
type Found = Vec<(String, ArrayD<u64>)>;

fn bits(array: &ArrayD<f64>) -> ArrayD<u64> {
    array.mapv(f64::to_bits)
}

/// Writes and parses a recurrence; checks that the roles are kept.
fn survives(recurrence: &Recurrence) -> Recurrence {
    let source = recurrence.source().unwrap();
    let again = parse("again", &source);
    assert_eq!(again.source().unwrap(), source, "it is a fixed point");
    for output in recurrence.outputs() {
        assert_eq!(
            again.role(output),
            recurrence.role(output),
            "{output}\n{source}"
        );
    }
    let leaves = again.tape().leaves();
    assert_eq!(leaves.len(), recurrence.tape().leaves().len(), "{source}");
    for (found, own) in leaves.iter().zip(recurrence.tape().leaves()) {
        assert_eq!(
            (found.name(), found.derived()),
            (own.name(), own.derived()),
            "{source}"
        );
    }
    again
}

/// The Hessian of the loss, for Newton's method.
struct Loss<'b> {
    gradient: Recurrence,
    hessian: Recurrence,
    batch: &'b Batch<f64>,
}

impl Objective for Loss<'_> {
    fn gradient(&mut self, params: &Params<f64>) -> Result<Outputs<f64>, Error> {
        self.gradient.evaluate(params, self.batch)
    }
    fn hessian_vector(&mut self, params: &Params<f64>) -> Result<Outputs<f64>, Error> {
        self.hessian.evaluate(params, self.batch)
    }
    fn direction(&self, parameter: &str) -> String {
        let role = Derived::Tangent(parameter.into());
        self.hessian.leaf_for(&role).unwrap().to_owned()
    }
}

/// All results of a recurrence, under plain names.
fn everything(names: &Names) -> Found {
    let recurrence = survives(&parse("names", &text(names)));
    let (params, batch) = data(names);
    let mut found = Found::new();
    let mut add = |what: &str, array: &ArrayD<f64>| found.push((what.to_owned(), bits(array)));

    // Final states beside the outputs, on both engines.
    let last = survives(&recurrence.with_final_states().unwrap());
    assert_eq!(
        last.with_final_states().unwrap().outputs().count(),
        last.outputs().count(),
        "they are there already"
    );
    let out = last.evaluate(&params, &batch).unwrap();
    let run = last
        .compile_for(&params, &batch)
        .unwrap()
        .evaluate(&params, &batch)
        .unwrap();
    for output in OUTPUTS {
        assert_eq!(last.role(&names[*output]), None, "an output keeps its name");
        add(output, &out[&*names[*output]]);
        add(output, &run[&*names[*output]]);
    }
    for state in STATES {
        let output = last.output_for(&Derived::Final((*names[*state]).into()));
        add(state, &out[output.unwrap()]);
        add(state, &run[output.unwrap()]);
    }

    // Gradients with respect to everything with a name.
    let all: Vec<&str> = [LEAVES, STATES, VALUES].concat();
    let wrt: Vec<&str> = all.iter().map(|name| &*names[*name]).collect();
    let gradient = recurrence.gradient(&wrt[..]).unwrap();
    let gradient = survives(&gradient.with_final_states().unwrap());
    let out = gradient.evaluate(&params, &batch).unwrap();
    let run = gradient.compile_for(&params, &batch).unwrap();
    let run = run.evaluate(&params, &batch).unwrap();
    for name in &all {
        let output = gradient.output_for(&Derived::Cotangent((*names[*name]).into()));
        assert_eq!(
            output,
            Some(&*names[*name]),
            "a gradient has the name of what it is of"
        );
        add(name, &out[&*names[*name]]);
        add(name, &run[&*names[*name]]);
    }

    // Tangents, and Hessian products.
    let tangent = survives(&recurrence.tangent(&wrt[..]).unwrap());
    let (mut p, mut b) = (params.clone(), batch.clone());
    with_directions(&tangent, names, &all, &mut p, &mut b);
    let out = tangent.evaluate(&p, &b).unwrap();
    for of in ["loss", &*names["o"], &*names["p"]] {
        let output = tangent.output_for(&Derived::Tangent(of.into())).unwrap();
        add("tangent", &out[output]);
        assert!(tangent.role(of).is_none(), "{of} is still there");
    }
    let product = survives(&recurrence.hessian_vector(&wrt[..]).unwrap());
    let (mut p, mut b) = (params.clone(), batch.clone());
    with_directions(&product, names, &all, &mut p, &mut b);
    let out = product.evaluate(&p, &b).unwrap();
    for name in &all {
        add("hessian", &out[&*names[*name]]);
    }

    // Pullbacks.
    let outputs = [&*names["o"], &*names["p"]];
    let pullback = survives(&recurrence.pullback(&outputs, &wrt[..]).unwrap());
    let bar = |of: &str| pullback.leaf_for(&Derived::Cotangent(of.into())).unwrap();
    let mut noise = Noise(9);
    let b = batch
        .clone()
        .with(bar(outputs[0]), noise.array(&[STEPS, SAMPLES, SIZE]))
        .with(bar(outputs[1]), noise.array(&[STEPS, SAMPLES]));
    let out = pullback.evaluate(&params, &b).unwrap();
    for name in &all {
        add("pullback", &out[&*names[*name]]);
    }

    // A step of each optimiser.
    let gradient = recurrence
        .gradient(Wrt::Parameters)
        .unwrap()
        .with_final_states()
        .unwrap();
    let mut out = gradient.evaluate(&params, &batch).unwrap();
    let (mut adam, mut sgd) = (params.clone(), params.clone());
    Adam::new(0.1).step(&mut adam, &out).unwrap();
    let norm = clip_global_norm(&mut out, 1e-3);
    add("norm", &ndarray::arr0(norm).into_dyn());
    Sgd::new(0.1).step(&mut sgd, &out).unwrap();
    let mut loss = Loss {
        gradient: recurrence.gradient(Wrt::Parameters).unwrap(),
        hessian: recurrence.hessian_vector(Wrt::Parameters).unwrap(),
        batch: &batch,
    };
    add("hessian", &hessian(&params, &mut loss).unwrap().into_dyn());
    let mut newton = params.clone();
    Newton::new().step(&mut newton, &mut loss).unwrap();
    for moved in [&adam, &sgd, &newton] {
        for name in PARAMETERS {
            let array = moved.get(&names[*name]).unwrap();
            assert_ne!(
                Some(array),
                params.get(&names[*name]),
                "{} moves",
                names[*name]
            );
            add(name, array);
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(32), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn names_have_no_meaning(names in names()) {
        let (expected, found) = (everything(&plain()), everything(&names));
        prop_assert_eq!(expected.len(), found.len());
        for (expected, found) in expected.iter().zip(&found) {
            prop_assert_eq!(expected, found, "{:?}", names);
        }
    }
}

fn small(source: &str) -> Recurrence {
    survives(&parse("small", source))
}

const CLASHES: &str = "param w = 0.5, w.dot = 0.2, w.bar = 0.3, w.final\ninput x\nstate s, w.dot2\n\
    s' = w.dot * s + w * x\nw.dot2' = s'\noutput s.final = 2 * s', s.final.dot = s', loss.dot = w.bar\n\
    loss (s' - w.bar + w.final + w.dot2)^2\n";

#[test]
fn what_is_added_has_a_name_of_its_own() {
    let r = small(CLASHES);
    let outputs = |r: &Recurrence| r.outputs().map(str::to_owned).collect::<Vec<_>>();
    let last = survives(&r.with_final_states().unwrap());
    let own = ["loss", "s.final", "s.final.dot", "loss.dot"];
    assert_eq!(outputs(&last)[..4], own);
    assert_eq!(outputs(&last)[4..], ["s.final2", "w.dot2.final"]);
    // The final states of a gradient have names other than those of the parameters.
    let gradient = r
        .gradient(Wrt::Parameters)
        .unwrap()
        .with_final_states()
        .unwrap();
    let names = [
        "loss",
        "w",
        "w.dot",
        "w.bar",
        "w.final",
        "s.final",
        "w.dot2.final",
    ];
    assert_eq!(outputs(&gradient), names);
    assert_eq!(
        gradient.role("w.final"),
        Some(&Derived::Cotangent("w.final".into()))
    );
    let tangent = survives(&r.tangent(Wrt::Parameters).unwrap());
    let leaf = |of: &str| tangent.leaf_for(&Derived::Tangent(of.into())).unwrap();
    assert_eq!((leaf("w"), leaf("w.dot")), ("w.dot3", "w.dot.dot"));
    let output = |of: &str| tangent.output_for(&Derived::Tangent(of.into())).unwrap();
    assert_eq!(
        (output("loss"), output("s.final")),
        ("loss.dot2", "s.final.dot2")
    );
    // A second direction does not replace the first.
    let second = survives(&tangent.tangent(&["w"]).unwrap());
    assert_eq!(
        second.leaf_for(&Derived::Tangent("w".into())),
        Some("w.dot4")
    );
    assert_eq!(
        second.output_for(&Derived::Tangent("loss".into())),
        Some("loss.dot3")
    );
    assert_eq!(second.outputs().count(), 4 * tangent.outputs().count() / 2);
}

#[test]
fn roles_survive_masks_resets_and_reversal() {
    let r = small(CLASHES).with_final_states().unwrap();
    for copy in [
        r.with_mask("mask").unwrap(),
        r.with_resets("reset").unwrap(),
        r.reversed().unwrap(),
        survives(&r),
    ] {
        for output in r.outputs() {
            assert_eq!(copy.role(output), r.role(output), "{output}");
        }
        let again = copy.with_final_states().unwrap();
        assert!(
            again.outputs().eq(r.outputs()),
            "final states are there already"
        );
    }
}

#[test]
fn a_clash_is_told() {
    let r = small("param w = 0.5, w.dot = 0.2\nloss w^2 + w.dot^2\n");
    // An objective without names of directions: `w.dot` would be overwritten.
    struct Silent(Recurrence);
    impl Objective for Silent {
        fn gradient(&mut self, params: &Params<f64>) -> Result<Outputs<f64>, Error> {
            self.0
                .gradient(Wrt::Parameters)?
                .evaluate(params, &Batch::new(1, 1))
        }
        fn hessian_vector(&mut self, params: &Params<f64>) -> Result<Outputs<f64>, Error> {
            self.0
                .hessian_vector(Wrt::Parameters)?
                .evaluate(params, &Batch::new(1, 1))
        }
    }
    let mut params = Params::initial(&r, &[], 1).unwrap();
    let before = params.clone();
    let error = Newton::new()
        .step(&mut params, &mut Silent(r.clone()))
        .unwrap_err();
    let told = error.to_string();
    assert!(told.contains("`w.dot`") && told.contains("`w`"), "{told}");
    assert_eq!(params, before);
    // An output that is not a gradient is refused.
    let values = parse("values", "param w\noutput w = 2 * w\nloss w\n");
    let found = values.evaluate(
        &Params::new().with("w", ndarray::arr0(1.0)),
        &Batch::new(1, 1),
    );
    let error = Adam::new(0.1)
        .step(&mut params, &found.unwrap())
        .unwrap_err();
    assert_eq!(error, Error::NotAGradient { name: "w".into() });
}

#[test]
fn the_words_for_roles_are_words_only_before_declarations() {
    let r = small(
        "param tangent, cotangent, final\ninput x\noutput output = tangent * x\n\
        state mean\nmean' = cotangent * mean + final\nloss output * mean'\n",
    );
    assert_eq!(
        r.parameters().collect::<Vec<_>>(),
        ["tangent", "cotangent", "final"]
    );
    for (source, told) in [
        (
            "tangent param w\nloss w\n",
            "`w` does not say whose tangent it is",
        ),
        (
            "cotangent input y\nloss y\n",
            "`y` does not say whose cotangent it is",
        ),
        (
            "param w\nfinal output w\n",
            "`w` does not say whose final value it is",
        ),
        (
            "tangent state h\n",
            "expected `param`, `input`, `sample input` or `output`",
        ),
    ] {
        let error = Recurrence::parse("wrong.rec", source)
            .unwrap_err()
            .to_string();
        assert!(error.contains(told), "{error}");
    }
}

#[test]
fn a_value_that_is_shifted_twice_is_written_once() {
    // The first delay is written before its argument gets the name of an output, the other after.
    let r = small("input x\nu = delay(2*x)\noutput o = 2*x\noutput u\nloss delay(2*x)\n");
    assert_eq!(r.source().unwrap().matches("delay").count(), 1);
    // The initial value of a backward register depends on the value it carries; only a state can be written so.
    let r =
        small("input x\nparam p\nq = min(p, x)\noutput o = delay(q, total_steps(q)), q\nloss o\n");
    survives(&r.reversed().unwrap());
    let r = small("input x\nparam p\noutput o = delay(advance(advance(p)), 1.0)\nloss o * x\n");
    survives(&r.reversed().unwrap());
    for derived in [r.gradient(Wrt::Everything), r.tangent(Wrt::Everything)] {
        survives(&derived.unwrap());
    }
}
