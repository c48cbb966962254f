//! Least sizes, sizes as arguments, vectors in brackets, vectors beside a matrix, steps and classes as numbers.

use bptt::check::random_data;
use bptt::{Batch, Error, Outputs, Params, Recurrence, Wrt};
use ndarray::{Array2, Array3, arr0, array};

fn parse(text: &str) -> Recurrence {
    Recurrence::parse("r.rec", text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

fn refused(text: &str) -> String {
    Recurrence::parse("r.rec", text).unwrap_err().to_string()
}

fn wave(i: usize) -> f64 {
    (f64::from(u32::try_from(i).unwrap()) * 1.7 + 0.4).sin()
}

fn matrix(m: usize, n: usize, from: usize) -> Array2<f64> {
    Array2::from_shape_fn((m, n), |(i, j)| wave(from + 7 * i + j))
}

fn first_sample(found: &Outputs<f64>) -> Vec<f64> {
    found["k"]
        .index_axis(ndarray::Axis(1), 0)
        .iter()
        .copied()
        .collect()
}

/// The loss and the gradient of `short` and `long`, which are equal bit for bit.
fn same(declarations: &str, short: &str, long: &str, params: &Params<f64>, batch: &Batch<f64>) {
    let run = |value: &str| -> Outputs<f64> {
        let r = parse(&format!("{declarations}loss {value}\n"));
        let again = parse(&r.source().unwrap());
        let found = r.gradient(Wrt::Parameters).unwrap();
        let found = found.evaluate(params, batch).unwrap();
        assert_eq!(
            again.evaluate(params, batch).unwrap().loss().unwrap(),
            found.loss().unwrap(),
            "{value}"
        );
        found
    };
    let (short_found, long_found) = (run(short), run(long));
    let pairs = short_found.iter().zip(long_found.iter());
    for ((name, a), (_, b)) in pairs {
        assert_eq!(a, b, "{name} of {short} and {long}");
    }
}

#[test]
fn a_least_size_makes_a_difference_a_size() {
    let r = parse(
        "dim H >= 2, K\ninput x[H], z[K]\nparam w[H - 1]\nd = x[1:H] - x[0:H - 1]\noutput d\nloss dot(w, d) + x[0] + x[H - 1] + sum(z) / (H - 1)\n",
    );
    let source = r.source().unwrap();
    assert!(source.starts_with("dim H >= 2, K\n"), "{source}");
    assert!(source.contains("w[H - 1]"), "{source}");
    assert_eq!(parse(&source).source().unwrap(), source);
    let x = Array3::from_shape_fn((2, 1, 3), |(t, _, i)| wave(3 * t + i));
    let batch = Batch::new(2, 1)
        .with("x", x.clone())
        .with("z", Array3::ones((2, 1, 2)));
    let params = Params::new().with("w", array![0.5, -2.0]);
    let gradient = r
        .gradient(&["w"])
        .unwrap()
        .evaluate(&params, &batch)
        .unwrap();
    let steps = |i: usize| (0..2).map(|t| x[[t, 0, i + 1]] - x[[t, 0, i]]).sum::<f64>();
    for i in 0..2 {
        assert!((gradient["w"][[i]] - steps(i)).abs() < 1e-15);
    }
    let loss: f64 = 0.5 * steps(0) - 2.0 * steps(1)
        + (0..2)
            .map(|t| x[[t, 0, 0]] + x[[t, 0, 2]] + 1.0)
            .sum::<f64>();
    assert!((gradient.loss().unwrap() - loss).abs() < 1e-14);
    // The parameter alone decides the size.
    assert_eq!(
        r.known_sizes(&params, &Batch::new(1, 1)).unwrap(),
        [("H", 3)]
    );
}

#[test]
fn a_size_below_the_least_one_is_refused() {
    let r = parse("dim H >= 3\ninput x[H]\nparam w[H - 2]\nloss sum(x) * sum(w)\n");
    let params = Params::new().with("w", array![1.0]);
    let small = Batch::new(1, 1).with("x", Array3::<f64>::zeros((1, 1, 2)));
    let found = r
        .evaluate(&Params::new().with("w", array![1.0]), &small)
        .unwrap_err();
    assert!(!matches!(found, Error::Definition { .. }), "{found}");
    let one = parse("dim H >= 3\ninput x[H]\nloss sum(x)\n");
    let found = one.evaluate(&Params::new(), &small).unwrap_err();
    assert!(
        matches!(
            found,
            Error::SmallSize {
                least: 3,
                found: 2,
                ..
            }
        ),
        "{found}"
    );
    let found = Params::<f64>::initial(&r, &[("H", 2)], 1).unwrap_err();
    assert!(matches!(found, Error::SmallSize { .. }), "{found}");
    let fits = Batch::new(1, 1).with("x", Array3::zeros((1, 1, 3)));
    assert_eq!(r.evaluate(&params, &fits).unwrap().loss().unwrap(), 0.0);
}

#[test]
fn a_difference_without_a_least_size_tells_the_declaration() {
    let text = refused("dim H\nparam w[H - 1]\nloss sum(w)\n");
    assert!(text.contains("dim H >= 2"), "{text}");
    let text = refused("dim H >= 2\nparam w[H - 3]\nloss sum(w)\n");
    assert!(text.contains("dim H >= 4"), "{text}");
    for (wrong, told) in [
        ("dim H >= K\nloss 1\n", "expected a number"),
        ("dim H >= 1.5\nloss 1\n", "a whole number"),
        ("dim H > 2\nloss 1\n", "`dim H >= 3`"),
        ("dim K, H <= 2\nloss 1\n", "`dim H >= 3`"),
        ("dim H >= -1\nloss 1\n", "expected a number"),
        ("dim H >= 64\nloss 1\n", "up to 63"),
    ] {
        let text = refused(wrong);
        assert!(text.contains(told), "{wrong}: {text}");
    }
    let many: Vec<String> = (0..1030).map(|i| format!("N{i}")).collect();
    let text = refused(&format!("dim {}\nloss 1\n", many.join(", ")));
    assert!(text.contains("at most 1024 named sizes"), "{text}");
}

#[test]
fn an_argument_written_as_a_size_is_a_size() {
    let declarations = "dim H, K\nparam u[H + K], A[K, H]\nfn head(v, n) = v[0:n] / n\n\
        fn half(n, m) = sum(spread(2, [n, m])) * sum(head(u, m))\nfn of(M, n) = sum(M @ head(u, n)) + half(n, n)\n";
    let params = Params::new()
        .with("u", array![0.3, -0.4, 0.5, 1.5, -2.0])
        .with("A", matrix(2, 3, 1));
    let batch = Batch::new(1, 1);
    same(
        declarations,
        "of(A, H) + sum(head([1, u[0:H] @ u[0:H], 3], 2))",
        "sum(A @ (u[0:H] / H)) + sum(spread(2, [H, H])) * sum(u[0:H] / H) + sum(concat([1], concat([u[0:H] @ u[0:H]], [3]))[0:2] / 2)",
        &params,
        &batch,
    );
    let text = refused(&format!("{declarations}loss sum(head(u, u[0]))\n"));
    assert!(
        text.contains("the argument `n` is used as a size"),
        "{text}"
    );
    assert!(text.contains("in this call"), "{text}");
}

#[test]
fn brackets_hold_a_vector_or_the_rows_of_a_matrix() {
    let declarations =
        "dim H >= 2\nparam a, b, u[H], v[H], M[2, H]\nfn one(x, rows) = sum(max(x, rows))\n";
    let params = Params::new()
        .with("a", arr0(0.7))
        .with("b", arr0(-1.2))
        .with("u", array![0.1, 0.2, 0.3])
        .with("v", array![-0.5, 0.4, 0.9])
        .with("M", matrix(2, 3, 5));
    let batch = Batch::new(1, 1);
    for (short, long) in [
        (
            "sum([a, b, 2]^2)",
            "sum(concat(spread(a, [1]), spread(b, [1]), spread(2, [1]))^2)",
        ),
        (
            "dot([u, v], M)",
            "dot(concat(reshape(u, [1, H]), reshape(v, [1, H])), M)",
        ),
        ("sum([[a, 2], [0, b]] @ [1, a])", "a + 2 * a + a * b"),
        ("sum(concat([a], u))", "sum(concat(spread(a, [1]), u))"),
        ("sum([H, 2])", "H + 2"),
        (
            "max(u) + min(M, rows) @ u",
            "largest(u) + smallest(M, rows) @ u",
        ),
        (
            "min(M) + sum(max(M, columns))",
            "smallest(M) + sum(largest(M, columns))",
        ),
        ("one(u, a)", "sum(max(u, a))"),
        ("dot(vec(M)[1:3], [a, b])", "M[1, 0] * a + M[0, 1] * b"),
        ("dot(vec(M.T)[0:H], u)", "dot(M[0], u)"),
    ] {
        if short.contains("[[") || short.contains("vec(") {
            let value = |text: &str| {
                let r = parse(&format!("{declarations}loss {text}\n"));
                r.evaluate(&params, &batch).unwrap().loss().unwrap()
            };
            assert!((value(short) - value(long)).abs() < 1e-14, "{short}");
        } else {
            same(declarations, short, long, &params, &batch);
        }
    }
    for (wrong, told) in [
        ("sum([])", "nothing in the brackets"),
        ("sum([a, u])", "`concat([a], u)`"),
        ("sum([M, M])", "`concat(A, B)`"),
        ("sum([u, [a, b]])", "vectors of one length"),
        ("sum([q, a])", "`q` is not defined"),
        ("sum(vec(outer(u, v)))", "a product of two named sizes"),
        ("sum(vec(u))", "expected a matrix, found [H]"),
    ] {
        let text = refused(&format!("{declarations}loss {wrong}\n"));
        assert!(text.contains(told), "{wrong}: {text}");
    }
}

#[test]
fn a_vector_beside_a_matrix_is_repeated() {
    let declarations = "dim H, K\nparam A[H, K], u[H], v[K]\n";
    let params = Params::new()
        .with("A", matrix(3, 2, 2))
        .with("u", array![0.1, 0.2, 0.3])
        .with("v", array![-0.5, 0.4]);
    let batch = Batch::new(1, 1);
    for (short, long) in [
        ("sum((A + rows(v))^2)", "sum((A + repeat(v, rows, H))^2)"),
        (
            "sum((columns(u) * A)^2)",
            "sum((repeat(u, columns, K) * A)^2)",
        ),
        (
            "sum((A - rows(2 * v) / columns(u) * A)^2)",
            "sum((A - rows(2 * v) * A / columns(u))^2)",
        ),
        ("sum(max(A, rows(v)))", "sum(max(A, repeat(v, rows, H)))"),
        (
            "sum(select(A > columns(u), A, 0))",
            "sum(select(A > repeat(u, columns, K), A, 0))",
        ),
    ] {
        if short.contains("/ columns") {
            let text = refused(&format!("{declarations}loss {short}\n"));
            assert!(text.contains("stands beside a matrix"), "{text}");
        } else {
            same(declarations, short, long, &params, &batch);
        }
    }
    for (wrong, told) in [
        ("sum(rows(v))", "`repeat(v, rows, n)`"),
        ("sum(u + rows(v))", "stands beside a matrix"),
        ("sum(A + rows(u))", "this is [H, H]"),
        ("sum(A + rows(A))", "`rows` takes a vector"),
        ("sum(A + rows(v, 2))", "there is no function `rows`"),
        ("sum(rows(v) + columns(u))", "stands beside a matrix"),
    ] {
        let text = refused(&format!("{declarations}loss {wrong}\n"));
        assert!(text.contains(told), "{wrong}: {text}");
    }
}

#[test]
fn step_is_the_number_of_the_step_in_its_sequence() {
    let r = parse(
        "input x\nstate n\nn' = n + 1\noutput k = step\noutput m = n\nloss x * step + step\n",
    );
    let batch = Batch::new(4, 2)
        .with("x", matrix(4, 2, 0))
        .with_lengths([4, 2]);
    let found = r.evaluate(&Params::new(), &batch).unwrap();
    assert_eq!(
        found["k"],
        array![[0.0, 0.0], [1.0, 1.0], [2.0, 0.0], [3.0, 0.0]].into_dyn()
    );
    assert_eq!(found["k"], found["m"]);
    let x = batch.get("x").unwrap();
    let terms = found["k"].iter().zip(x).map(|(k, x)| x * k + k);
    assert!((found.loss().unwrap() - terms.sum::<f64>()).abs() < 1e-14);
    // A reset begins a sequence, and a step that does not count has no number.
    let resets = r.with_resets("new").unwrap();
    let data = batch.clone().with(
        "new",
        array![[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 0.0]],
    );
    let found = resets.evaluate(&Params::new(), &data).unwrap();
    assert_eq!(found["k"], found["m"]);
    assert_eq!(first_sample(&found), [0.0, 1.0, 0.0, 1.0]);
    let masked = r.with_mask("on").unwrap();
    let data = batch.with("on", array![[1.0, 1.0], [0.0, 1.0], [1.0, 1.0], [1.0, 1.0]]);
    let found = masked.evaluate(&Params::new(), &data).unwrap();
    assert_eq!(first_sample(&found), [0.0, 0.0, 1.0, 2.0]);
    // The name may be taken.
    let own = parse(
        "param step\nfn f(x) = x * step + pi\nloss f(2) + sum(spread(hold(step, sample), [2]))\n",
    );
    assert!(own.source().unwrap().contains("param step"));
}

#[test]
fn classes_are_compared_as_numbers() {
    let r = parse(
        "input c: class(4), d: class(6)\noutput same = c == d\noutput other = c != d\noutput two = c == 2\n\
        output less = c < d\noutput n = number(d)\noutput wide = (c == 2) * 3 + (1 <= c and d > 4)\nloss number(c)\n",
    );
    let (c, d) = (
        array![[0_usize], [2], [3], [2]],
        array![[0_usize], [5], [3], [1]],
    );
    let batch = Batch::new(4, 1).with_classes("c", c).with_classes("d", d);
    let found = r.evaluate(&Params::<f64>::new(), &batch).unwrap();
    let column = |name: &str| found[name].iter().copied().collect::<Vec<_>>();
    assert_eq!(column("same"), [1.0, 0.0, 1.0, 0.0]);
    assert_eq!(column("other"), [0.0, 1.0, 0.0, 1.0]);
    assert_eq!(column("two"), [0.0, 1.0, 0.0, 1.0]);
    assert_eq!(column("less"), [0.0, 1.0, 0.0, 0.0]);
    assert_eq!(column("n"), [0.0, 5.0, 3.0, 1.0]);
    assert_eq!(column("wide"), [0.0, 4.0, 0.0, 3.0]);
    assert_eq!(found.loss().unwrap(), 7.0);
    let text = refused("input c: class(4)\nloss c + 1\n");
    assert!(text.contains("a class is not a number"), "{text}");
    let text = refused("input c\nloss number(c)\n");
    assert!(text.contains("a number already"), "{text}");
}

#[test]
fn argmax_is_the_first_largest_entry() {
    let r = parse(
        "dim H, K\nparam x[H], A[H, K]\noutput i = argmax(x)\noutput r = argmax(A, rows)\noutput c = argmax(A, columns)\nloss sum(x) * i + sum(r) + sum(c)\n",
    );
    let params = Params::new().with("x", array![0.5, 2.0, 2.0]).with(
        "A",
        array![[1.0, -3.0, 1.0], [-4.0, -1.0, -3.0], [-4.0, -2.0, 1.0]],
    );
    let batch = Batch::new(1, 1);
    for found in [
        r.evaluate(&params, &batch).unwrap(),
        r.compile_for::<f64>(&params, &batch)
            .unwrap()
            .evaluate(&params, &batch)
            .unwrap(),
    ] {
        assert_eq!(found["i"], arr0(1.0).into_dyn());
        assert_eq!(found["r"], array![0.0, 1.0, 0.0].into_dyn());
        assert_eq!(found["c"], array![0.0, 1.0, 2.0].into_dyn());
    }
    let gradient = r
        .gradient(Wrt::Parameters)
        .unwrap()
        .evaluate(&params, &batch)
        .unwrap();
    assert_eq!(gradient["x"], array![1.0, 1.0, 1.0].into_dyn());
    assert!(gradient["A"].iter().all(|x| *x == 0.0));
    assert_eq!(r.parameters_without_gradient().unwrap(), ["A"]);
    let nan = parse("param x[3]\noutput i = argmax(sqrt(x))\nloss sum(x)\n");
    let params = Params::new().with("x", array![1.0, -1.0, 2.0]);
    let found = nan.evaluate(&params, &batch).unwrap_err();
    assert!(matches!(found, Error::NonFiniteValue { .. }), "{found}");
    let text = refused("param A[2, 2]\nloss sum(argmax(A))\n");
    assert!(text.contains("`argmax(A, rows)`"), "{text}");
}

#[test]
fn an_array_of_classes_chooses_entries_and_rows() {
    let r = parse(
        "dim S, C, K\nsample input label[S]: class(C)\ninput x[C]\nparam E[C, K], A[K, C], w[K]\n\
        output rows_of = gather(E, label)\noutput entries = gather(x, label)\noutput columns_of = gather_column(A, label)\n\
        output hot = one_hot(label)\noutput n = number(label)\noutput two = label == 2\n\
        loss sum(gather(E, label) @ w) + sum(gather(x, label) * (label != 0))\n",
    );
    assert_eq!(
        parse(&r.source().unwrap()).source().unwrap(),
        r.source().unwrap()
    );
    assert!(
        r.source()
            .unwrap()
            .contains("sample input label[S]: class(C)")
    );
    let x = Array3::from_shape_fn((2, 1, 3), |(t, _, i)| wave(3 * t + i));
    let batch = Batch::new(2, 1)
        .with("x", x.clone())
        .with("label", array![[2.0, 0.0, 2.0, 1.0]]);
    let (e, a) = (matrix(3, 2, 0), matrix(2, 3, 9));
    let params = Params::new()
        .with("E", e.clone())
        .with("A", a.clone())
        .with("w", array![0.5, -1.0]);
    let labels = [2, 0, 2, 1];
    for found in [
        r.evaluate(&params, &batch).unwrap(),
        r.compile_for::<f64>(&params, &batch)
            .unwrap()
            .evaluate(&params, &batch)
            .unwrap(),
    ] {
        for (s, c) in labels.into_iter().enumerate() {
            for k in 0..2 {
                assert_eq!(found["rows_of"][[0, s, k]], e[[c, k]]);
                assert_eq!(found["columns_of"][[0, k, s]], a[[k, c]]);
            }
            for t in 0..2 {
                assert_eq!(found["entries"][[t, 0, s]], x[[t, 0, c]]);
            }
            assert_eq!(found["hot"][[0, s, c]], 1.0);
            assert_eq!(found["n"][[0, s]], f64::from(u32::try_from(c).unwrap()));
            assert_eq!(found["two"][[0, s]], f64::from(u8::from(c == 2)));
        }
        assert_eq!(found["hot"].sum(), 4.0);
    }
    assert!(bptt::check(&r, &params, &batch).unwrap().passed());
    let refuse = |labels: Array2<f64>| {
        let data = Batch::new(2, 1).with("x", x.clone()).with("label", labels);
        let program = r.compile_for::<f64>(&params, &batch).unwrap();
        assert!(program.evaluate(&params, &data).is_err());
        r.evaluate(&params, &data).unwrap_err().to_string()
    };
    let text = refuse(array![[2.0, 0.0, 2.0, 3.0]]);
    assert!(
        text.contains("entry [0, 3] is 3, expected a class: a whole number from 0 to 2"),
        "{text}"
    );
    assert!(refuse(array![[2.0, 0.5, 2.0, 1.0]]).contains("is 0.5"));
    assert!(refuse(array![[2.0, -1.0, 2.0, 1.0]]).contains("is -1"));
    assert!(r.gradient(&["label"]).is_err(), "a class has no derivative");
    assert!(
        !r.gradient(Wrt::Everything)
            .unwrap()
            .outputs()
            .any(|name| name == "label")
    );
    let text = refused("dim S, C\nsample input label[S]: class(C)\nloss sum(label + 1)\n");
    assert!(text.contains("`number(label)`"), "{text}");
    let text = refused("dim S, C\nparam label[S]: class(C)\nloss sum(number(label))\n");
    assert!(text.contains("only an input can be a class"), "{text}");
}

#[test]
fn a_number_may_be_a_place() {
    let r = parse(
        "dim C\ninput c: class(C)\nparam E[C, 2]\noutput before = E.T @ one_hot(delay(number(c), -1.0), C)\n\
        output same = delay(gather(E, c))\nloss sum(delay(gather(E, c)))\n",
    );
    let batch = Batch::new(4, 1).with_classes("c", array![[1_usize], [0], [2], [1]]);
    let params = Params::new().with("E", matrix(3, 2, 4));
    let found = r.evaluate(&params, &batch).unwrap();
    assert_eq!(found["before"], found["same"]);
    let text = refused("param x\nloss sum(one_hot(x))\n");
    assert!(text.contains("`one_hot(x, n)`"), "{text}");
}

/// Sizes that turn out to be zero are errors of the data.
#[test]
fn a_value_without_entries_is_refused() {
    for (text, sizes) in [
        ("input x[2]\nloss sum(x[0:0]) + sum(x)\n", &[][..]),
        (
            "dim H >= 1\ninput x[2]\nparam w[H]\nloss sum(x) + sum(w[1:H] - w[0:H - 1])\n",
            &[("H", 1)],
        ),
        (
            "dim H >= 1\ninput x[2], y[H - 1]\nparam p\nloss p * sum(x) + sum(y)\n",
            &[("H", 1)],
        ),
        (
            "input x[2]\nloss sum(eye(0)) + sum(one_hot(1, 0)) + sum(x)\n",
            &[],
        ),
        (
            "input x[2]\nloss sum(concat(x[0:0], x)) + sum(repeat(x, rows, 0))\n",
            &[],
        ),
    ] {
        let r = match Recurrence::parse("r.rec", text) {
            Ok(r) => r,
            Err(_) => continue,
        };
        let found = random_data(&r, sizes, &[3, 2], 1)
            .and_then(|(params, batch)| r.evaluate(&params, &batch));
        let message = found.unwrap_err().to_string();
        assert!(
            message.contains("every size must be at least 1"),
            "{text}: {message}"
        );
        assert!(r.compile::<f64>(sizes).is_err(), "{text}");
    }
}

#[test]
fn a_recurrence_with_an_array_of_classes_is_derived_and_certified() {
    for text in [
        "dim C, H\ninput x[H]\nsample input lab[2]: class(C)\nparam W[C, H]\nstate h[H]\nh' = tanh(h + x + sum(gather(W, lab), rows))\nloss sum(h'^2)\n",
        "dim C\ninput x, tags[3]: class(C)\nparam w[C]\nloss sum(gather(w, tags)) * x\n",
        "dim C\ninput x\nsample input lab[2]: class(C)\nparam a\nloss a * x\n",
    ] {
        let r = parse(text);
        let sizes = [("C", 3), ("H", 2)];
        let sizes = if text.contains('H') {
            &sizes[..]
        } else {
            &sizes[..1]
        };
        let (params, batch) = random_data(&r, sizes, &[4, 3], 1).unwrap();
        let found = bptt::check(&r, &params, &batch).unwrap();
        assert!(found.passed(), "{text}: {found}");
        let mut derivation = r.derive().unwrap();
        let checks = derivation.check(2).unwrap();
        assert_eq!(checks.failed, 0, "{text}");
    }
}
