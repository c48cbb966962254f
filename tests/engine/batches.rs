//! Batches made of sequences and minibatches, and parameters and outputs as collections.

use bptt::{Batch, Error, Params, Recurrence, Wrt};
use ndarray::{Array1, Array2, Ix2, Ix3, arr0, array};

fn counter() -> Recurrence {
    let source = "
        dim K, N
        input x[K]
        input k: class(N)
        sample input a
        param w[N], v[K]
        state h
        h' = 0.5 * h + gather(w, k) * dot(v, x) + a
        loss h'^2
    ";
    Recurrence::parse("counter.rec", source).unwrap()
}

fn params() -> Params<f64> {
    Params::new()
        .with("w", array![0.5, -1.0, 2.0])
        .with("v", array![1.0, -0.25])
}

/// Sequences of the given lengths; sample `b` is recognised by `a = b`.
fn ragged(lengths: &[usize]) -> Batch<f64> {
    let wave = |b: usize, t: usize, i: usize| ((7 * b + 3 * t + i) as f64).sin();
    let xs = lengths.iter().enumerate();
    let xs = xs.map(|(b, l)| Array2::from_shape_fn((*l, 2), |(t, i)| wave(b, t, i)));
    let ks = lengths.iter().enumerate();
    let ks = ks.map(|(b, l)| Array1::from_shape_fn(*l, |t| (b + t) % 3));
    let (xs, ks): (Vec<_>, Vec<_>) = (xs.collect(), ks.collect());
    let batch = Batch::from_sequences("x", &xs).unwrap();
    let batch = batch.with_class_sequences("k", &ks).unwrap();
    batch.with("a", Array1::from_iter((0..lengths.len()).map(|b| b as f64)))
}

#[test]
fn sequences_of_different_lengths_are_the_sequences_one_by_one() {
    let (r, params) = (counter(), params());
    for lengths in [&[3, 1, 4][..], &[1, 1], &[2]] {
        let batch = ragged(lengths);
        assert!(batch.lengths().eq(lengths.iter().copied()), "{lengths:?}");
        let together = r.evaluate(&params, &batch).unwrap().loss().unwrap();
        let alone = |b| r.evaluate(&params, &batch.sequence(&r, b).unwrap());
        let sum: f64 = (0..lengths.len())
            .map(|b| alone(b).unwrap().loss().unwrap())
            .sum();
        assert!((together - sum).abs() < 1e-12 * sum, "{together} and {sum}");
    }
}

#[test]
fn minibatches_have_every_sample_once() {
    let (r, params) = (counter(), params());
    let batch = ragged(&[2, 5, 1, 3, 4, 1, 2]);
    let gradient = r.gradient(Wrt::Parameters).unwrap();
    let whole = gradient.evaluate(&params, &batch).unwrap();
    for (size, sizes) in [
        (3, &[3, 3, 1][..]),
        (7, &[7]),
        (100, &[7]),
        (1, &[1; 7]),
        (usize::MAX, &[7]),
    ] {
        let parts = batch.minibatches(&r, size, 5).unwrap();
        assert_eq!(
            parts.len(),
            sizes.len(),
            "the number of minibatches of {size}"
        );
        let parts: Vec<_> = parts.collect();
        assert!(
            parts.iter().map(Batch::samples).eq(sizes.iter().copied()),
            "{size}"
        );
        let mut seen: Vec<usize> = Vec::new();
        let mut sum = 0.0;
        for part in &parts {
            let numbers = part.get("a").unwrap().iter();
            let number = |a: &f64| (0..7).find(|b| *b as f64 == *a);
            let chosen: Vec<usize> = numbers.filter_map(number).collect();
            assert_eq!(
                *part,
                batch.samples_of(&r, &chosen).unwrap(),
                "lengths and classes"
            );
            sum += gradient.evaluate(&params, part).unwrap()["w"][[1]];
            seen.extend(chosen);
        }
        assert!(
            (sum - whole["w"][[1]]).abs() < 1e-12,
            "the parts add up for {size}"
        );
        let again = batch.minibatches(&r, size, 5).unwrap();
        assert!(again.eq(parts), "a seed determines the order");
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..7), "every sample once for {size}");
    }
    let order = |seed| batch.minibatches(&r, 7, seed).unwrap().next().unwrap();
    assert_ne!(order(1), order(2), "another seed, another order");
    let refused = |batch: Batch<f64>, sample| {
        let found = batch.samples_of(&r, &[sample]).unwrap_err().to_string();
        found.split(": ").skip(1).collect::<Vec<_>>().join(": ")
    };
    assert_eq!(
        refused(batch.clone(), 7),
        "there is no sample 7, only 0 to 6"
    );
    assert_eq!(
        refused(Batch::new(3, 0), 0),
        "there is no sample 0: the batch has no samples (B = 0)"
    );
}

#[test]
fn wrong_sequences_are_refused() {
    let r = counter();
    let batch = ragged(&[2, 1]);
    let empty: [Array1<f64>; 0] = [];
    let short = Array1::<f64>::zeros(1);
    let messages = [
        batch.minibatches(&r, 0, 1).err(),
        Batch::from_sequences("x", &empty).err(),
        Batch::from_sequences("x", [&[1.0][..], &[]]).err(),
        Batch::from_sequences("x", [&arr0(1.0)]).err(),
        Batch::from_sequences("x", [&array![[1.0, 2.0]], &array![[1.0]]]).err(),
        batch.clone().with_sequences("y", [&short, &short]).err(),
        batch.clone().with_sequences("y", [&short]).err(),
        batch
            .with("a", Array1::<f64>::zeros(5))
            .minibatches(&r, 1, 1)
            .err(),
    ];
    let parts = [
        "size of at least 1",
        "at least one sequence, found none",
        "sequence 1 (counted from 0) has no steps",
        "sequence 0 (counted from 0) has no steps",
        "sequence 1 (counted from 0) have shape [1], expected [2]",
        "sequence 0 (counted from 0) has 1 step, expected its length 2",
        "expected 2 sequences, found 1",
        "input `a` has no axis of 2 samples",
    ];
    for (error, part) in messages.into_iter().zip(parts) {
        let message = error.map(|e| e.to_string()).unwrap_or_default();
        assert!(
            message.contains(part),
            "expected `{part}`, found `{message}`"
        );
    }
}

#[test]
fn parameters_and_outputs_are_collections() {
    let (r, mut params) = (counter(), params());
    let batch = ragged(&[2, 1]);
    params["v"][[0]] = 3.0;
    assert_eq!(params.to_flat(), array![0.5, -1.0, 2.0, 3.0, -0.25]);
    let same: Params<f64> = params.clone().into_iter().collect();
    assert_eq!(same, params);
    let wrong = params.clone().assign_flat(&array![1.0]).unwrap_err();
    assert!(matches!(wrong, Error::ArrayShape { .. }), "{wrong}");
    assert_eq!(
        wrong.to_string(),
        "vector `of all parameters`: expected shape [5], found [1]"
    );
    params.assign_flat(&Array1::ones(5)).unwrap();
    assert_eq!(params["w"], Array1::<f64>::ones(3).into_dyn());

    // A transposed array is read in the order of its indices, as it is written.
    let mut turned = Params::new().with("m", array![[1.0, 2.0], [3.0, 4.0]].reversed_axes());
    let flat = turned.to_flat();
    assert_eq!(flat, array![1.0, 3.0, 2.0, 4.0]);
    let before = turned.clone();
    turned.assign_flat(&flat).unwrap();
    assert_eq!(turned, before);

    let found = r
        .gradient(&["h", "v"])
        .unwrap()
        .evaluate(&params, &batch)
        .unwrap();
    assert_eq!(found.view::<Ix2>("h").unwrap().dim(), (2, 2));
    let wrong = found.view::<Ix3>("h").unwrap_err().to_string();
    assert_eq!(wrong, "output `h`: expected shape of rank 3, found [2, 2]");
    let wrong = found.view::<Ix2>("g").unwrap_err().to_string();
    assert!(wrong.contains("no output named `g`"), "{wrong}");
    assert!(found.into_iter().any(|(name, _)| &*name == "v"), "by name");
}

#[test]
fn slices_and_arrays_are_bound_without_views() {
    let (r, params, batch) = (counter(), params(), ragged(&[3, 3]));
    let program = r.compile::<f64>(&[("K", 2), ("N", 3)]).unwrap();
    let expected = r.evaluate(&params, &batch).unwrap().loss().unwrap();
    let mut workspace = program.workspace();
    let found = program
        .bind(&mut workspace)
        .with("w", &[0.5, -1.0, 2.0])
        .with("v", &array![1.0, -0.25])
        .with("x", batch.get("x").unwrap())
        .with_classes("k", batch.classes("k").unwrap().view())
        .with("a", &[0.0, 1.0][..])
        .run_in_place()
        .unwrap();
    assert!((found.loss().unwrap() - expected).abs() < 1e-12);
}

/// One error type suffices for a function that makes arrays, parses and runs.
#[test]
fn errors_convert() {
    fn run() -> bptt::Result<f64> {
        let r = Recurrence::parse("r.rec", "input x\nloss x\n")?;
        let x = Array2::from_shape_vec((2, 1), vec![1.0])?;
        r.evaluate(&Params::new(), &Batch::new(2, 1).with("x", x))?
            .loss()
    }
    let error = run().unwrap_err();
    assert!(matches!(error, Error::NdArray(_)), "{error:?}");
    assert!(
        format!("{error:?}").starts_with("an array cannot be made: "),
        "{error:?}"
    );
}
