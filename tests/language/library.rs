//! The recurrence language: the library, parsing and printing.

use crate::support::library::{data, folder, library, named, parse};
use bptt::cells::{self, Cell, Loss, Start};
use bptt::ops::{Declared, Dense, Linear, Pointwise, Reduce, Time};
use bptt::{Batch, Op, Outputs, Params, Recurrence, Wrt, concat};

fn same(a: &Outputs<f64>, b: &Outputs<f64>, names: &[&str], tolerance: f64) {
    for name in names {
        let (a, b) = (&a[name], &b[name]);
        assert_eq!(a.shape(), b.shape(), "{name}");
        let largest = a.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
        for (x, y) in a.iter().zip(b) {
            assert!((x - y).abs() <= tolerance * largest, "{name}: {x} {y}");
        }
    }
}

#[test]
fn the_library_is_complete_and_says_what_it_is() {
    let names: Vec<String> = library().into_iter().map(|(n, _)| n).collect();
    let expected = [
        "attention",
        "characters",
        "exponential_smoothing",
        "garch11",
        "garch_t",
        "gjr_garch",
        "gradbench_lstm",
        "gru_reset_after",
        "gru_reset_before",
        "hidden_markov",
        "leapfrog",
        "logistic_map",
        "lqr",
        "lqr_controls",
        "lstm",
        "lstm_bidirectional",
        "lstm_peephole",
        "lstm_stacked",
        "neural_ode",
        "nile_local_level",
        "rnn",
        "rnn_relu",
        "sir_counts",
        "sir_epidemic",
        "spiking",
        "state_space",
        "stochastic_volatility",
        "van_der_pol",
    ];
    assert_eq!(names, expected);
    for (name, source) in library() {
        let header = source.lines().take_while(|l| l.starts_with('#'));
        let header: String = header.collect();
        assert!(header.contains("# Source: "), "{name} has no source");
    }
}

#[test]
fn the_library_is_certified() {
    for (name, source) in library() {
        let recurrence = parse(&name, &source);
        assert_eq!(recurrence.name(), name);
        let (params, batch) = data(&name, &recurrence, 11);
        let certificate = bptt::check(&recurrence, &params, &batch).unwrap();
        assert!(certificate.passed(), "{name}: {certificate}");
    }
}

/// The built-in recurrences whose equations are in the library.
fn built_in() -> Vec<(&'static str, Recurrence)> {
    let cross = Loss::SoftmaxCrossEntropy;
    let stacked = Recurrence::define("lstm_stacked", |r| {
        let x = r.input("x", [r.dim("K")]);
        let first = Cell::lstm().suffix("_1").apply(r, x, r.dim("H"));
        let second = Cell::lstm().suffix("_2").apply(r, first, r.dim("G"));
        let o = cells::readout(r, "", second, r.dim("O"));
        r.output("o", o);
        r.loss(o.softmax_cross_entropy(r.class("y", r.dim("O"))));
    });
    let both = Recurrence::define("lstm_bidirectional", |r| {
        let x = r.input("x", [r.dim("K")]);
        let one = Cell::lstm().suffix("_fw").apply(r, x, r.dim("H"));
        let two = Cell::lstm().suffix("_bw").backward();
        let h = concat([one, two.apply(r, x, r.dim("H"))]);
        let o = cells::readout(r, "", h, r.dim("O"));
        r.output("o", o);
        r.loss(o.softmax_cross_entropy(r.class("y", r.dim("O"))));
    });
    vec![
        ("rnn", Cell::rnn().model("rnn", Loss::SquaredError).unwrap()),
        (
            "rnn_relu",
            Cell::relu_rnn().model("r", Loss::SquaredError).unwrap(),
        ),
        ("lstm", Cell::lstm().model("lstm", cross).unwrap()),
        (
            "lstm_peephole",
            Cell::peephole_lstm().model("p", cross).unwrap(),
        ),
        ("gru_reset_after", Cell::gru().model("g", cross).unwrap()),
        (
            "gru_reset_before",
            Cell::gru_reset_before().model("g", cross).unwrap(),
        ),
        ("lstm_stacked", stacked.unwrap()),
        ("lstm_bidirectional", both.unwrap()),
    ]
}

/// The likelihood agrees with a textbook loop.
#[test]
fn garch_is_what_its_source_says() {
    let garch = named("garch11");
    let (params, _) = data("garch11", &garch, 21);
    let of = |name: &str| params.get(name).unwrap().sum();
    let (mu, omega, alpha, beta) = (of("mu"), of("omega"), of("alpha"), of("beta"));
    let returns = [0.3, -1.2, 0.7, 0.1];
    let column = ndarray::Array2::from_shape_vec((4, 1), returns.to_vec()).unwrap();
    let batch = Batch::new(4, 1).with("r", column);
    let squares = returns.map(|r| (r - mu).powi(2));
    let presample = squares.iter().sum::<f64>() / 4.0;
    let (mut last, mut variance, mut expected) = (presample, presample, 0.0);
    for square in squares {
        variance = omega + alpha * last + beta * variance;
        let two_pi = 2.0 * std::f64::consts::PI;
        expected += 0.5 * (two_pi.ln() + variance.ln() + square / variance);
        last = square;
    }
    let found = garch.evaluate(&params, &batch).unwrap();
    let found = found.loss().unwrap();
    assert!((found - expected).abs() < 1e-13, "{found} {expected}");
}

#[test]
fn the_cells_have_the_gradients_of_the_built_in_ones() {
    for (name, cell) in built_in() {
        let read = named(name);
        let (params, batch) = data(name, &cell, 5);
        let of = |r: &Recurrence| {
            let gradient = r.gradient(Wrt::Parameters).unwrap();
            gradient.evaluate(&params, &batch).unwrap()
        };
        let mut outputs = vec!["loss"];
        outputs.extend(cell.parameters());
        assert_eq!(
            outputs.len(),
            read.parameters().count() + 1,
            "{name} has other parameters"
        );
        same(&of(&cell), &of(&read), &outputs, 1e-12);
    }
}

/// Writing and parsing gives the same text and the same bits.
fn round_trip(name: &str, recurrence: &Recurrence, seed: u64) -> Recurrence {
    let source = recurrence.source().unwrap();
    let again = parse(name, &source);
    assert_eq!(again.source().unwrap(), source, "{name}");
    let outputs: Vec<&str> = recurrence.outputs().collect();
    let (params, batch) = data(name, recurrence, seed);
    let one = recurrence.evaluate(&params, &batch).unwrap();
    let two = again.evaluate(&params, &batch).unwrap();
    for output in outputs {
        let bits = |o: &Outputs<f64>| o[output].mapv(f64::to_bits);
        assert_eq!(bits(&one), bits(&two), "{name}: {output}\n{source}");
    }
    again
}

#[test]
fn the_library_is_written_as_it_was_read() {
    for (name, source) in library() {
        round_trip(&name, &parse(&name, &source), 3);
    }
}

#[test]
fn gradients_are_written_as_well() {
    for (name, source) in library() {
        let recurrence = parse(&name, &source);
        let gradient = recurrence.gradient(Wrt::Everything).unwrap();
        round_trip(&name, &gradient, 4);
        // The gradient of a written and parsed recurrence is correct.
        let again = parse(&name, &recurrence.source().unwrap());
        let (params, batch) = data(&name, &recurrence, 9);
        let certificate = bptt::check(&again, &params, &batch).unwrap();
        assert!(certificate.passed(), "{name}: {certificate}");
    }
}

/// A state that carries the same value as another, and outputs that are states or have no name.
#[test]
fn values_with_two_names_are_written_as_they_were_read() {
    let source = "input x\nparam a, b\nstate h, before, twin\nbackward state later\n\
                  h' = tanh(a * h + x)\nbefore' = h'\ntwin' = b\nlater' = x\n\
                  output seen = before\noutput other = later, constant = 2\n\
                  loss (h' - before * twin)^2 + later\n";
    let recurrence = parse("twins", source);
    round_trip("twins", &recurrence, 3);
    round_trip("twins", &recurrence.tangent(Wrt::Everything).unwrap(), 4);
    round_trip("twins", &recurrence.gradient(Wrt::Everything).unwrap(), 5);
    // Two equal losses share one value: an input, a value, two losses and an empty line.
    let double = parse(
        "double",
        "input x\nmean final loss x^2\nmean final loss x^2\n",
    );
    assert_eq!(double.source().unwrap().lines().count(), 5);
    round_trip("double", &double, 6);
    let bare = parse("bare", "input x\nparam a\nloss a * x\n");
    round_trip("bare", &bare.tangent(Wrt::Everything).unwrap(), 6);
}

/// Names with several parts, and initial values, are kept.
#[test]
fn tangents_pullbacks_and_hessian_products_are_written() {
    for name in ["rnn", "lstm", "nile_local_level", "lqr"] {
        let recurrence = named(name);
        let tangent = recurrence.tangent(Wrt::Everything).unwrap();
        assert!(tangent.source().unwrap().contains(".dot"), "{name}");
        round_trip(name, &tangent, 5);
        round_trip(
            name,
            &recurrence.hessian_vector(Wrt::Parameters).unwrap(),
            6,
        );
        round_trip(name, &recurrence.with_final_states().unwrap(), 7);
        let outputs: Vec<&str> = recurrence.outputs().filter(|o| *o != "loss").collect();
        let pullback = recurrence.pullback(&outputs, Wrt::Parameters).unwrap();
        assert!(pullback.source().unwrap().contains(".bar"), "{name}");
        round_trip(name, &pullback, 8);
    }
}

#[test]
fn parameters_start_as_the_text_says() {
    let source = "dim H, K\n\
                  param A[H, H] = identity(0.5), B[H, K] ~ glorot(), C[K, H] ~ orthogonal(-2)\n\
                  param d[H] = -1.5, e[K] ~ uniform(1/sqrt(H + K)), f ~ normal(1e-7), g = 0, i\n\n\
                  loss sum(A @ d) + sum(B @ e) + sum(C @ d) + f * g * i\n";
    let recurrence = parse("start", source);
    let heading = |text: &str| text.split("\n\n").next().unwrap().replace('\n', " ");
    assert_eq!(
        heading(&recurrence.source().unwrap()).replace(" param ", ", "),
        heading(source).replace(" param ", ", ")
    );
    let gradient = recurrence.gradient(Wrt::Parameters).unwrap();
    assert!(
        gradient.source().unwrap().contains("~ orthogonal(-2)"),
        "derivatives keep them"
    );
    let sizes = [("H", 4), ("K", 2)];
    let of = |seed| Params::<f64>::initial(&recurrence, &sizes, seed).unwrap();
    let params = of(1);
    assert_eq!(
        params.get("A"),
        Some(&(0.5 * ndarray::Array2::<f64>::eye(4)).into_dyn())
    );
    assert_eq!(
        params.get("d"),
        Some(&ndarray::Array1::from_elem(4, -1.5).into_dyn())
    );
    assert_eq!(params.get("i"), Some(&ndarray::arr0(0.0).into_dyn()));
    let bound = 1.0 / 6f64.sqrt();
    assert!(
        params
            .get("e")
            .unwrap()
            .iter()
            .all(|x| x.abs() <= bound && *x != 0.0),
        "in range"
    );
    assert_eq!(of(1), params, "the same seed, the same numbers");
    assert_ne!(of(2), params, "another seed, other numbers");
}

#[test]
fn masks_resets_and_every_kind_of_cell_are_written() {
    for (name, cell) in built_in() {
        round_trip(name, &cell, 1);
        round_trip(name, &cell.with_mask("active").unwrap(), 2);
        round_trip(name, &cell.with_resets("begins").unwrap(), 3);
    }
    for start in [Start::Zero, Start::Parameter, Start::Input] {
        for cell in [Cell::lstm(), Cell::rnn().backward(), Cell::gru()] {
            let model = cell.start(start).model("cell", Loss::BinaryCrossEntropy);
            round_trip("cell", &model.unwrap(), 4);
        }
    }
}

/// Every op in every form, in both directions of time.
#[test]
fn every_op_is_written_and_read() {
    let source = std::fs::read_to_string(folder("tests/golden/every_op.rec")).unwrap();
    let recurrence = parse("every_op", &source);
    round_trip("every_op", &recurrence, 6);
    assert_every_op_occurs(&[recurrence]);
}

/// Checks that every row of the op table occurs.
fn assert_every_op_occurs(recurrences: &[Recurrence]) {
    let nodes = recurrences.iter().flat_map(|r| r.tape().nodes());
    let used: Vec<&Op> = nodes.map(|(_, n)| n.op()).collect();
    let pointwise = Pointwise::ALL.iter().map(|o| Op::Pointwise(*o));
    let linear = Linear::ALL.iter().map(|o| Op::Linear(*o));
    let reduce = Reduce::ALL.iter().map(|o| Op::Reduce(*o));
    let time = Time::ALL.iter().map(|o| Op::Time(*o));
    let dense = Dense::ALL.iter().map(|o| Op::Dense(*o));
    let declared = Declared::ALL.iter().map(|o| Op::Declared(*o));
    for row in pointwise
        .chain(linear)
        .chain(reduce)
        .chain(dense)
        .chain(declared)
        .chain(time)
    {
        // An alias is written as a name, and has no function.
        let found = used.iter().any(|o| o.name() == row.name());
        assert!(
            found || row.name() == "alias",
            "`{}` does not occur",
            row.name()
        );
    }
}

#[test]
fn what_the_language_cannot_say_is_refused() {
    let infinite = Recurrence::define("infinite", |r| {
        r.output("y", r.input("x", ()) + f64::INFINITY);
    });
    let error = infinite.unwrap().source().unwrap_err().to_string();
    assert!(error.contains("the constant inf is not finite"), "{error}");
}

#[test]
fn every_block_of_the_documentation_is_read() {
    let text = std::fs::read_to_string(folder("docs/language.md")).unwrap();
    let blocks: Vec<&str> = text.split("```rec\n").skip(1).collect();
    let mut shown = Vec::new();
    for block in blocks {
        let source = block.split("```").next().unwrap();
        let recurrence = parse("block", source);
        let again = recurrence.source().unwrap();
        assert_eq!(parse("block", &again).source().unwrap(), again);
        shown.push(recurrence);
    }
    assert_every_op_occurs(&shown);
}

#[test]
fn both_spellings_are_the_same() {
    let head = "dim H\nparam W[H, H], b[H]\ninput x[H], s\nstate h[H]\n";
    let paper = "h' = σ(Wᵀ · h + b ⊙ x − x²) ⊙ (s ≤ 1)\nloss sum(h′³)\n";
    let plain = "h' = sigmoid(W.T @ h + b * x - x^2) * (s <= 1)\nloss sum(h'^3)\n";
    let of = |body: &str| parse("spelled", &format!("{head}{body}")).source().unwrap();
    assert_eq!(of(paper), of(plain));
}

#[test]
fn a_size_is_a_number_in_an_equation() {
    let mean = parse(
        "mean",
        "dim H, K\ninput x[H], y[K]\nloss (sum(x^2) + sum(y)) / (H + 2 * K)\n",
    );
    let sixes = |n| ndarray::Array3::from_elem((1, 1, n), 6.0);
    let batch = Batch::new(1, 1).with("x", sixes(3)).with("y", sixes(2));
    let found = mean.evaluate(&Params::new(), &batch).unwrap();
    assert_eq!(found.loss().unwrap(), (3.0 * 36.0 + 2.0 * 6.0) / 7.0);
    round_trip("mean", &mean, 3);
    let hidden = Recurrence::parse("hidden", "dim H\nparam H, v[H]\nloss H + sum(v)\n");
    let refused = hidden.unwrap_err().to_string();
    assert!(refused.contains("a size and of a value"), "{refused}");
}

/// The text of a mean and a norm is that of sums; the gradient agrees with the tape, with forward mode and with
/// differences.
#[test]
fn means_and_norms_are_sums() {
    let head = "dim H, K\ninput x[K]\nparam W[H, K], g[H]\nstate h[H]\n";
    let of = |body: &str| parse("means", &format!("{head}{body}"));
    let short = of(
        "a = W @ x + h\nd = a - mean(a)\nh' = tanh(g * d / sqrt(mean(d^2) + 1))\n\
         loss norm(h') + mean(W)^2\nloss norm(W) + sum(mean(W, rows)^2 @ x * mean(W, columns))\n",
    );
    let long = of(
        "a = W @ x + h\nd = a - sum(a) / H\nh' = tanh(g * d / sqrt(sum(d^2) / H + 1))\n\
         loss sqrt(sum(strong_mul(h', h'))) + (sum(W) / sum(spread(1, [H, K])))^2\n\
         loss sqrt(sum(strong_mul(W, W))) + sum((sum(W, rows) / H)^2 @ x * (sum(W, columns) / K))\n",
    );
    assert_eq!(short.source().unwrap(), long.source().unwrap());
    round_trip("means", &short, 5);
    let (params, batch) = data("means", &short, 6);
    let certificate = bptt::check(&short, &params, &batch).unwrap();
    assert!(certificate.passed(), "{certificate}");
}

#[test]
fn equations_may_come_in_any_order() {
    let lines = [
        "loss squared_error(y, t)",
        "y = c + a",
        "c = 2 * b",
        "b = a + h",
        "a = x * w",
        "h' = tanh(b)",
        "state h = start",
        "start = w + 1",
        "input x, t",
        "param w",
    ];
    let backwards: Vec<&str> = lines.iter().rev().copied().collect();
    let one = parse("order", &lines.join("\n")).source().unwrap();
    let two = parse("order", &backwards.join("\n")).source().unwrap();
    assert_eq!(one.lines().count(), two.lines().count());
    round_trip("order", &parse("order", &one), 8);
}
