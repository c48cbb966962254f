//! Several directions in one run give the same bits as a run for each.

use crate::support::instance;
use crate::support::library::{data, library, parse};
use crate::support::random::{Numbers, for_all};
use bptt::cells::{Cell, Loss};
use bptt::fit::{Objective, hessian as hessian_of};
use bptt::{Batch, Error, Outputs, Params, Program, Rate, Real, Recurrence, Role, Scalar, Wrt};
use bptt_testing::random::{self as strategy, Instance};
use ndarray::{ArrayD, Axis, arr0, array};

/// The axis of the directions of a value.
const fn axis(rate: Rate) -> Axis {
    Axis(match rate {
        Rate::Static => 0,
        Rate::Sample => 1,
        Rate::Step => 2,
    })
}

/// Data with random arrays, with and without an axis of directions, for the leaves that derivatives have added.
struct Along {
    all: (Params<f64>, Batch<f64>),
    each: Vec<(Params<f64>, Batch<f64>)>,
}

/// Directions for a derived recurrence. The added arrays have the shapes of the parameters, inputs and outputs that
/// they belong to.
fn along(r: &Recurrence, of: &Instance, count: usize) -> Along {
    let (params, batch) = (&of.params, &of.batch);
    let outputs = of.recurrence.evaluate(params, batch).unwrap();
    let mut numbers = Numbers(5);
    let mut all = (params.clone(), batch.clone());
    let mut each = vec![(params.clone(), batch.clone()); count];
    for leaf in r.tape().leaves() {
        let Some(role) = leaf.derived() else {
            continue;
        };
        let axis = axis(leaf.ty().rate);
        // The direction of a direction has the shape of that.
        let mut of = role.of();
        while let Some(inner) = r.tape().leaf_named(of).and_then(|leaf| leaf.derived()) {
            of = inner.of();
        }
        let known = params.get(of).or(batch.get(of));
        let like = known.or(outputs.get(of)).unwrap();
        let mut shape = like.shape().to_vec();
        shape.insert(axis.index(), count);
        let array = numbers.array(&shape);
        let put =
            |(params, batch): &mut (Params<f64>, Batch<f64>), a: ArrayD<f64>| match leaf.role() {
                Role::Parameter => params.insert(leaf.name(), a),
                Role::Input => batch.insert(leaf.name(), a),
            };
        for (lane, data) in each.iter_mut().enumerate() {
            put(data, array.index_axis(axis, lane).to_owned());
        }
        put(&mut all, array);
    }
    Along { all, each }
}

fn bits<F: Real>(a: &ArrayD<F>) -> ArrayD<u64> {
    a.mapv(|x| Scalar::to_f64(x).to_bits())
}

/// Checks that a run in several directions has the results of a run for each.
#[track_caller]
fn assert_same<'a, F: Real>(
    r: &Recurrence,
    all: impl Iterator<Item = (&'a str, ArrayD<F>)>,
    each: &[Outputs<F>],
    what: &str,
) {
    for (name, found) in all {
        let axis = axis(r.output_type(name).unwrap().rate);
        for (lane, one) in each.iter().enumerate() {
            let one = &one[name];
            let own = match found.ndim() > one.ndim() {
                true => found.index_axis(axis, lane).to_owned(),
                false => found.clone(),
            };
            assert_eq!(own.shape(), one.shape(), "{what}: `{name}`");
            assert_eq!(
                bits(&own),
                bits(one),
                "{what}: `{name}` in direction {lane}\n{r}"
            );
        }
    }
}

/// Compares runs in `count` directions with runs in one, on several threads, and in place.
fn compare<F: Real>(program: &Program<F>, found: &Along, what: &str) -> Outputs<F> {
    let cast = |(p, b): &(Params<f64>, Batch<f64>)| (p.cast::<F>(), b.cast::<F>());
    let r = program.recurrence();
    let each = found.each.iter().map(|one| {
        let (params, batch) = cast(one);
        program.evaluate(&params, &batch).unwrap()
    });
    let each: Vec<_> = each.collect();
    let (params, batch) = cast(&found.all);
    let several = program.clone().directions(each.len()).unwrap();
    for threads in [1, 2, 5] {
        let several = several.clone().threads(threads);
        let mut workspace = several.workspace();
        let what = format!("{what}, {threads} threads");
        for _ in 0..2 {
            let all = several.run(&params, &batch, &mut workspace);
            let all = all.unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_same(r, all.iter().map(|(n, a)| (n, a.clone())), &each, &what);
        }
        let views = several.bind(&mut workspace).params(&params).batch(&batch);
        let views = views.run_in_place().unwrap();
        assert_same(
            r,
            views.iter().map(|(n, a)| (n, a.to_owned())),
            &each,
            &what,
        );
    }
    several.evaluate(&params, &batch).unwrap()
}

/// Compares in both precisions, and with the reference interpreter.
fn compare_all(r: &Recurrence, of: &Instance, count: usize, what: &str) {
    let found = along(r, of, count);
    let (params, batch) = &found.each[0];
    let program = r.compile_for::<f64>(params, batch).unwrap();
    let fast = compare(&program, &found, what);
    let several = program.directions(count).unwrap();
    let slow = several.interpret(&found.all.0, &found.all.1).unwrap();
    for (name, a) in fast.iter() {
        let scale = a.iter().fold(1e-3, |m: f64, x| m.max(x.abs()));
        let apart = (a - &slow[name])
            .iter()
            .fold(0.0, |m: f64, x| m.max(x.abs()));
        assert!(
            apart <= 1e-12 * scale,
            "{what}: `{name}` is {apart:e} apart\n{r}"
        );
    }
    let (params, batch) = (params.cast::<f32>(), batch.cast::<f32>());
    let program = r.compile_for::<f32>(&params, &batch).unwrap();
    compare(&program, &found, &format!("{what}, single precision"));
}

/// The recurrences with directions that are made of a recurrence.
fn derived(r: &Recurrence, wrt: Wrt<'_>) -> Vec<(&'static str, Recurrence)> {
    let mut all = vec![
        ("tangent", r.tangent(wrt).unwrap()),
        ("hessian", r.hessian_vector(wrt).unwrap()),
        (
            "tangent of the gradient",
            r.gradient(wrt).unwrap().tangent(wrt).unwrap(),
        ),
        (
            "second tangent",
            r.tangent(wrt).unwrap().tangent(wrt).unwrap(),
        ),
    ];
    let outputs: Vec<&str> = r.outputs().collect();
    all.push(("pullback", r.pullback(&outputs, wrt).unwrap()));
    all
}

#[test]
fn several_directions_of_random_recurrences_are_as_one() {
    for_all(40, "directions", strategy::recurrence(), |i, seen| {
        let count = [1, 3][i.batch.steps() % 2];
        for (what, r) in derived(&i.recurrence, Wrt::Everything) {
            compare_all(&r, i, count, what);
        }
        seen.checked += 1;
        Ok(())
    });
}

#[test]
fn several_directions_of_the_library_are_as_one() {
    for (name, source) in library() {
        let recurrence = parse(&name, &source);
        if !recurrence.outputs().any(|o| o == "loss") {
            continue;
        }
        let (params, batch) = data(&name, &recurrence, 3);
        let i = Instance {
            recurrence,
            params,
            batch,
        };
        for (what, r) in derived(&i.recurrence, Wrt::Everything) {
            compare_all(&r, &i, 4, &format!("{what} of {name}"));
        }
    }
}

#[test]
fn wrong_shapes_name_the_axis_of_directions() {
    let text =
        "dim H\nparam W[H, H]\ninput x[H]\nstate h[H]\nh' = tanh(W @ h + x)\nloss sum(h'^2)\n";
    let r = Recurrence::parse("r.rec", text).unwrap();
    let sizes = [("H", 2)];
    let Err(error) = r.compile::<f64>(&sizes).unwrap().directions(2) else {
        panic!("it has none");
    };
    assert!(
        error.to_string().contains("compile its `tangent`"),
        "{error}"
    );
    let tangent = r.tangent(&["W", "x"]).unwrap();
    let program = tangent.compile::<f64>(&sizes).unwrap();
    let Err(error) = program.clone().directions(0) else {
        panic!("it has some");
    };
    assert!(error.to_string().contains("`.directions(8)`"), "{error}");
    let program = program.directions(3).unwrap();
    let (steps, samples) = (4, 2);
    let fill = |shape: &[usize]| ArrayD::<f64>::from_elem(shape, 0.1);
    let run = |weight: &[usize], input: &[usize]| {
        let params = Params::new()
            .with("W", fill(&[2, 2]))
            .with("W.dot", fill(weight));
        let batch = Batch::new(steps, samples).with("x", fill(&[steps, samples, 2]));
        program.evaluate(&params, &batch.with("x.dot", fill(input)))
    };
    let found = run(&[3, 2, 2], &[steps, samples, 3, 2]).unwrap();
    assert_eq!(found["loss.dot"].shape(), [3]);
    for (weight, input, words) in [
        (
            &[2, 2][..],
            &[4, 2, 3, 2][..],
            "`W.dot`: expected shape [3, H, H], found [2, 2]",
        ),
        (
            &[3, 2, 2],
            &[4, 2, 2],
            "`x.dot`: expected shape [T, B, 3, H], found [4, 2, 2]",
        ),
        (
            &[3, 2, 2],
            &[3, 4, 2, 2],
            "expected shape [T, B, 3, H], found [3, 4, 2, 2]",
        ),
        (&[3, 2, 3], &[4, 2, 3, 2], "`W.dot`"),
    ] {
        let error = run(weight, input).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let mut params = Params::new()
        .with("W", fill(&[2, 2]))
        .with("W.dot", fill(&[3, 2, 2]));
    params.get_mut("W.dot").unwrap()[[2, 0, 1]] = f64::NAN;
    let batch = Batch::new(1, 1)
        .with("x", fill(&[1, 1, 2]))
        .with("x.dot", fill(&[1, 1, 3, 2]));
    let error = program.evaluate(&params, &batch).unwrap_err();
    assert!(
        matches!(&error, Error::NonFiniteData { index, .. } if *index == [2, 0, 1]),
        "{error:?}"
    );
}

#[test]
fn the_origin_of_an_infinity_is_found_in_its_direction() {
    let r = Recurrence::parse(
        "r.rec",
        "param a\ninput x\nstate s\ns' = a * s + x\nfinal loss s'\n",
    )
    .unwrap();
    let tangent = r.tangent(Wrt::Parameters).unwrap();
    let program = tangent.compile::<f64>(&[]).unwrap().directions(2).unwrap();
    let params = Params::new()
        .with("a", arr0(1e3))
        .with("a.dot", array![0.0, 1e300]);
    let batch = Batch::new(9, 1).with("x", ArrayD::from_elem(vec![9, 1], 1.0));
    let mut workspace = program.workspace();
    let error = program.run(&params, &batch, &mut workspace).unwrap_err();
    assert!(matches!(error, Error::NonFiniteValue { .. }), "{error}");
    let found = program
        .find_non_finite(&params, &batch, &mut workspace)
        .unwrap();
    let found = found.unwrap().to_string();
    assert!(found.contains("in direction 1"), "{found}");
}

/// The largest difference between two gradients, relative to the largest entry.
fn apart(a: &Outputs<f64>, b: &Outputs<f64>, names: &[&str]) -> f64 {
    let largest = |x: &ArrayD<f64>| x.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
    let all = |f: &dyn Fn(&str) -> f64| names.iter().fold(0.0, |m: f64, n| m.max(f(n)));
    all(&|name| largest(&(&a[name] - &b[name]))) / all(&|name| largest(&a[name]))
}

#[test]
fn forward_gradients_are_those_of_backpropagation() {
    for (name, cell) in [
        ("rnn", Cell::rnn()),
        ("lstm", Cell::lstm()),
        ("peephole lstm", Cell::peephole_lstm()),
        ("gru", Cell::gru()),
        ("relu rnn", Cell::relu_rnn()),
    ] {
        let model = cell.model(name, Loss::SquaredError).unwrap();
        let sizes = [("H", 4), ("K", 3), ("O", 2)];
        let (params, batch) = instance(&model, &sizes, &[6, 9, 4], 1);
        let names: Vec<&str> = model.parameters().collect();
        let gradient = model.gradient(Wrt::Parameters).unwrap();
        let backward = gradient.evaluate(&params, &batch).unwrap();
        let tangent = model.loss_tangent(Wrt::Parameters).unwrap();
        assert_eq!(tangent.outputs().collect::<Vec<_>>(), ["loss", "loss.dot"]);
        let program = tangent.compile::<f64>(&sizes).unwrap();
        for count in [1, 7, 64] {
            let program = program.clone().directions(count).unwrap();
            let mut workspace = program.workspace();
            let forward = program
                .forward_gradient(&params, &batch, &mut workspace)
                .unwrap();
            let error = apart(&backward, &forward, &names);
            assert!(
                error < 1e-13,
                "{name} in {count} directions: {error:e} apart"
            );
            let [loss, same] = [&forward, &backward].map(|found| found.loss().unwrap());
            assert!(
                (loss - same).abs() < 1e-14 * same,
                "{name}: {loss} is not {same}"
            );
            for name in &names {
                assert_eq!(forward.role(name), backward.role(name), "{name}");
            }
        }
    }
    let r = Recurrence::parse("r.rec", "param a\ninput x\nloss a * x\n").unwrap();
    for (tangent, words) in [
        (
            r.tangent(&["a", "x"]).unwrap(),
            "`x.dot` is no direction of a parameter",
        ),
        (
            r.pullback(&["loss"], &["a"]).unwrap(),
            "`loss.bar` is no direction of a parameter",
        ),
    ] {
        let program = tangent.compile::<f64>(&[]).unwrap().directions(2).unwrap();
        let (params, batch) = (Params::new().with("a", arr0(1.0)), Batch::new(1, 1));
        let found = program.forward_gradient(&params, &batch, &mut program.workspace());
        let error = found.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

/// The columns of the Hessian, one by one or a few at a time.
struct Columns {
    gradient: Program<f64>,
    hessian: Program<f64>,
    batch: Batch<f64>,
    block: Option<usize>,
}

impl Objective for Columns {
    fn gradient(&mut self, params: &Params<f64>) -> Result<Outputs<f64>, Error> {
        self.gradient.evaluate(params, &self.batch)
    }

    fn hessian_vector(&mut self, params: &Params<f64>) -> Result<Outputs<f64>, Error> {
        self.hessian.evaluate(params, &self.batch)
    }

    fn directions(&self, _: usize) -> Option<usize> {
        self.block
    }
}

#[test]
fn a_hessian_by_blocks_is_that_by_columns() {
    let model = Cell::gru().model("gru", Loss::SquaredError).unwrap();
    let sizes = [("H", 2), ("K", 2), ("O", 1)];
    let (params, batch) = instance(&model, &sizes, &[5, 7], 1);
    let [gradient, product] = [
        model.gradient(Wrt::Parameters).unwrap(),
        model.hessian_vector(Wrt::Parameters).unwrap(),
    ]
    .map(|r| r.compile::<f64>(&sizes).unwrap());
    let found = [None, Some(1), Some(5), Some(64)].map(|block| {
        let hessian = match block {
            Some(count) => product.clone().directions(count).unwrap(),
            None => product.clone(),
        };
        let mut columns = Columns {
            gradient: gradient.clone(),
            hessian,
            batch: batch.clone(),
            block,
        };
        hessian_of(&params, &mut columns)
            .unwrap()
            .mapv(f64::to_bits)
    });
    assert!(found.iter().all(|h| *h == found[0]), "{found:?}");
}

/// Runs with `cargo test --release --test engine -- --ignored --nocapture directions_beside`.
#[test]
#[ignore = "it measures time"]
fn directions_beside() {
    fn time<F: Real>(cell: Cell, name: &str, hidden: usize) {
        let model = cell.model(name, Loss::SquaredError).unwrap();
        let sizes = [("H", hidden), ("K", hidden), ("O", 8)];
        for (what, r) in [
            ("tangent", model.tangent(Wrt::Parameters).unwrap()),
            ("hessian", model.hessian_vector(Wrt::Parameters).unwrap()),
        ] {
            let (mut params, batch) = instance(&model, &sizes, &[400], 1);
            let names: Vec<String> = model.parameters().map(Into::into).collect();
            for name in &names {
                let scale = 1.0 / (hidden as f64).sqrt();
                params.get_mut(name).unwrap().mapv_inplace(|x| scale * x);
            }
            let i = Instance {
                recurrence: model.clone(),
                params: params.clone(),
                batch,
            };
            let found = along(&r, &i, 8);
            let cast = |(p, b): &(Params<f64>, Batch<f64>)| (p.cast::<F>(), b.cast::<F>());
            let one = r.compile::<F>(&sizes).unwrap();
            let all = one.clone().directions(8).unwrap();
            let seconds = |program: &Program<F>, data: &(Params<f64>, Batch<f64>)| {
                let (params, batch) = cast(data);
                let mut workspace = program.workspace();
                let mut best = f64::INFINITY;
                for _ in 0..60 {
                    let begin = std::time::Instant::now();
                    program.run(&params, &batch, &mut workspace).unwrap();
                    best = best.min(begin.elapsed().as_secs_f64());
                }
                best
            };
            let [one, all] = [seconds(&one, &found.each[0]), seconds(&all, &found.all)];
            println!(
                "{name} {what}, H = {hidden}, f{}: {:.2} µs a step, 8 directions {:.2} µs, {:.2} times",
                8 * size_of::<F>(),
                one * 2.5e3,
                all * 2.5e3,
                all / one
            );
        }
    }
    for hidden in [4, 16, 64] {
        time::<f32>(Cell::rnn(), "rnn", hidden);
        time::<f64>(Cell::rnn(), "rnn", hidden);
        time::<f32>(Cell::lstm(), "lstm", hidden);
        time::<f64>(Cell::lstm(), "lstm", hidden);
    }
}
