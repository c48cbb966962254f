//! The recurrence language: the library, reading and writing, mistakes, and hostile texts.
//!
//! After a wanted change of a message: `UPDATE_GOLDEN=1 cargo test --test language`, then read the
//! difference.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::path::{Path, PathBuf};

use bptt::cells::{self, Cell, Loss, Start};
use bptt::{Batch, Diagnostics, Outputs, Params, Recurrence, Wrt, concat};
use ndarray::ArrayD;
use proptest::prelude::*;
use support::instance;

const SIZES: &[(&str, usize)] = &[
    ("H", 3),
    ("K", 2),
    ("O", 4),
    ("G", 5),
    ("B", 3),
    ("N", 3),
    ("M", 2),
    ("C", 4),
];
const LENGTHS: &[usize] = &[4, 3];

fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Every recurrence of the library, by name, with its text.
fn library() -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = std::fs::read_dir(folder("examples/recurrences"))
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(&path).unwrap())
        })
        .collect();
    found.sort();
    found
}

fn parse(name: &str, source: &str) -> Recurrence {
    Recurrence::parse(&format!("{name}.rec"), source).unwrap_or_else(|e| panic!("{e}\n{source}"))
}

fn named(name: &str) -> Recurrence {
    let (_, source) = library().into_iter().find(|(n, _)| n == name).unwrap();
    parse(name, &source)
}

/// Random data inside the domain of the recurrence.
fn data(name: &str, recurrence: &Recurrence, seed: u64) -> (Params<f64>, Batch<f64>) {
    let (mut params, mut batch) = instance(recurrence, SIZES, LENGTHS, seed);
    let positive = |n: &str| -> bool {
        match name {
            "garch11" => n != "mu",
            "logistic_map" => n == "r",
            _ => false,
        }
    };
    let names: Vec<String> = recurrence.parameters().map(Into::into).collect();
    for n in names.iter().filter(|n| positive(n)) {
        params.get_mut(n).unwrap().mapv_inplace(f64::abs);
    }
    let first = ArrayD::from_elem(vec![LENGTHS.len()], 0.7);
    if name == "nile_local_level" {
        batch = batch.with("P1", first);
    }
    (params, batch)
}

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
        "characters",
        "exponential_smoothing",
        "garch11",
        "gradbench_lstm",
        "gru_reset_after",
        "gru_reset_before",
        "leapfrog",
        "logistic_map",
        "lqr",
        "lstm",
        "lstm_bidirectional",
        "lstm_peephole",
        "lstm_stacked",
        "nile_local_level",
        "rnn",
        "rnn_relu",
        "sir_epidemic",
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

/// The built-in recurrences of which the library has the equations.
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

/// The likelihood is that of the loop a textbook writes.
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

/// Reading what was written gives the same text and the same bits.
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
        // Of what was written and read again, the gradient is still right.
        let again = parse(&name, &recurrence.source().unwrap());
        let (params, batch) = data(&name, &recurrence, 9);
        let certificate = bptt::check(&again, &params, &batch).unwrap();
        assert!(certificate.passed(), "{name}: {certificate}");
    }
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

/// Every op, in every form, in both directions of time.
#[test]
fn every_op_is_written_and_read() {
    let source = std::fs::read_to_string(folder("tests/golden/every_op.rec")).unwrap();
    let recurrence = parse("every_op", &source);
    round_trip("every_op", &recurrence, 6);
    let ops: Vec<String> = recurrence
        .tape()
        .nodes()
        .map(|(_, n)| n.op().name().to_owned())
        .collect();
    let rows = bptt::ops::Pointwise::ALL.iter().map(|o| o.name());
    let rows = rows.chain(bptt::ops::Reduce::ALL.iter().map(|o| o.name()));
    let others = "matmul dot outer transpose sum broadcast concat slice pad gather scatter select \
                  hold total pick impulse";
    for row in rows.chain(others.split_whitespace()) {
        assert!(ops.iter().any(|o| o == row), "`{row}` does not occur");
    }
}

#[test]
fn what_the_language_cannot_say_is_refused() {
    let infinite = Recurrence::define("infinite", |r| {
        r.output("y", r.input("x", ()) + f64::INFINITY);
    });
    let error = infinite.unwrap().source().unwrap_err().to_string();
    assert!(error.contains("the constant inf is not finite"), "{error}");
    let tangent = named("rnn").tangent(&["W_H"]).unwrap();
    let error = tangent.source().unwrap_err().to_string();
    assert!(error.contains("`W_H.dot` is no name"), "{error}");
}

#[test]
fn every_block_of_the_documentation_is_read() {
    let text = std::fs::read_to_string(folder("docs/language.md")).unwrap();
    let blocks: Vec<&str> = text.split("```rec\n").skip(1).collect();
    assert!(blocks.len() > 10, "the documentation shows the language");
    for block in blocks {
        let source = block.split("```").next().unwrap();
        let recurrence = parse("block", source);
        let again = recurrence.source().unwrap();
        assert_eq!(parse("block", &again).source().unwrap(), again);
    }
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

fn mistakes(source: &str) -> Diagnostics {
    Recurrence::parse("wrong.rec", source).expect_err("this is wrong")
}

/// Each file of `tests/golden/diagnostics/` is a wrong text, a line of dashes, and what is said.
#[test]
fn diagnostics() {
    const RULE: &str = "----\n";
    let mut count = 0;
    for entry in std::fs::read_dir(folder("tests/golden/diagnostics")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let (source, expected) = text.split_once(RULE).unwrap_or((&text, ""));
        let found = mistakes(source).to_string();
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, format!("{source}{RULE}{found}")).unwrap();
        } else {
            assert_eq!(expected, found, "{}", path.display());
        }
        count += 1;
    }
    assert!(count >= 12, "only {count} texts are there");
}

#[test]
fn a_diagnostic_knows_its_place() {
    let found = mistakes("param a\nloss a + bb\nloss tanhh(a)\n");
    let places: Vec<_> = found.iter().map(|d| found.place(d).unwrap()).collect();
    assert_eq!(places, [(2, 10), (3, 6)]);
    let second = found.iter().nth(1).unwrap();
    assert_eq!(second.message(), "there is no function `tanhh`");
    assert_eq!(second.hint(), Some("did you mean `tanh`?"));
}

/// Texts on which a careless parser would overflow its stack or never end.
#[test]
fn deep_and_long_texts_are_refused_in_good_time() {
    let deep = |open: &str, close: &str| {
        let n = 100_000;
        format!("param a\nloss {}a{}\n", open.repeat(n), close.repeat(n))
    };
    mistakes(&deep("(", ")"));
    mistakes(&deep("-", ""));
    mistakes(&deep("tanh(", ")"));
    mistakes(&deep("a^", ""));
    mistakes(&deep("a + ", ""));
    mistakes(&deep("", ".T"));
    mistakes(&deep("", "²"));
    mistakes(&"(".repeat(200_000));
    mistakes(&"x = \n".repeat(20_000));
    // Functions that double, and functions that nest.
    let mut source = String::from("param a\nfn f0(x) = x + x\n");
    for i in 1..60 {
        source += &format!("fn f{i}(x) = f{0}(x) + f{0}(x)\n", i - 1);
    }
    mistakes(&(source.clone() + "loss f59(a)\n"));
    let mut source = String::from("param a\nfn f0(x) = x + 1\n");
    for i in 1..5000 {
        source += &format!("fn f{i}(x) = f{}(x)\n", i - 1);
    }
    mistakes(&(source + "loss f4999(a)\n"));
    mistakes("param a\nfn f(x) = f(x)\nloss f(a)\n");
    mistakes("param a\nfn f(x) = g(x)\nfn g(x) = f(x) + f(x)\nloss f(a)\n");
    // A long chain is no deep recursion, in whichever order it is written.
    let mut lines: Vec<String> = (1..3000)
        .map(|i| format!("a{i} = a{} + x", i - 1))
        .collect();
    lines.extend(["a0 = 1".into(), "input x".into(), "loss a2999".into()]);
    parse("chain", &lines.join("\n"));
    lines.reverse();
    parse("chain", &lines.join("\n"));
}

const WORDS: &[&str] = &[
    "dim", "input", "sample", "param", "state", "backward", "output", "loss", "final", "mean",
    "fn", "class", "H", "K", "x", "h", "W", "a", "f", "tanh", "sum", "slice", "concat", "delay",
    "advance", "hold", "step", "rows", "total", "last", "gather", "spread", "select", "0", "1",
    "2.5", "1e", "1e999", "+", "-", "*", "/", "@", "^", "<", "<=", "==", "=", "'", "(", ")", "[",
    "]", ",", ":", ".T", "²", "ᵀ", "σ", "·", "#", "\n", "\n", "\n", "é", "$",
];

/// Reads a text; what is accepted can be written and read again.
fn survive(source: &str) -> Result<(), TestCaseError> {
    let begun = std::time::Instant::now();
    match Recurrence::parse("fuzz.rec", source) {
        Ok(recurrence) => {
            if let Ok(again) = recurrence.source() {
                let read = Recurrence::parse("fuzz.rec", &again);
                let read = read.map_err(|e| TestCaseError::fail(format!("{e}\n{again}")))?;
                prop_assert_eq!(read.source().unwrap(), again);
            }
        }
        Err(diagnostics) => {
            prop_assert!(diagnostics.iter().count() > 0, "a refusal says why");
            let text = diagnostics.to_string();
            prop_assert!(text.starts_with("error: "), "{}", text);
        }
    }
    let taken = begun.elapsed();
    prop_assert!(taken.as_secs() < 10, "it took {:?}", taken);
    Ok(())
}

/// A vector of size `H`, in many forms.
fn vector() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "x",
        "a",
        "h",
        "k",
        "v",
        "s",
        "p",
        "2",
        "0.5",
        "-1",
        "-3e-7",
        "M @ x",
        "h * a",
        "spread(p, [H])",
    ])
    .prop_map(String::from);
    leaf.prop_recursive(5, 40, 3, |inner| {
        let unary = prop::sample::select(vec![
            "-#",
            "(-(#))^2",
            "(#)^3",
            "(#)²",
            "tanh(#)",
            "σ(#)",
            "M @ (a + #)",
            "(a * (#)) @ M",
            "sum(a * (#))",
            "delay(#)",
            "delay(#, a)",
            "advance(tanh(x) * (#))",
            "concat(x, # + a)[H:2*H]",
            "pad(a + #, 1, H)[1:H + 1]",
            "softmax(x + #)",
            "gather(x + #, c)",
            "total(s + sum(x + #))",
            "last(x + #)",
            "hold(first(x - #), step)",
            "outer(a + #, x) @ (a - #)",
            "exp(-abs(#))",
            "(M.T * (sum(x * #)))[0:H, 0:H] @ x",
            "sum(repeat(x + #, rows, H), columns)",
            "(#)",
        ]);
        let binary = prop::sample::select(vec![
            "# + %",
            "# - %",
            "(#) * (%)",
            "(#) / (2 + (%)^2)",
            "# < %",
            "(#) <= (%)",
            "# == %",
            "max(#, %)",
            "# - (%)",
            "(# - %) * a",
            "select(#, %, x)",
            "select(s < 0, #, %)",
            "dot(a + #, x + %)",
            "-(#) * %",
            "pow(1 + (#)^2, %)",
            "# * % / 2",
            "x + # - % - a",
        ]);
        prop_oneof![
            (unary, inner.clone()).prop_map(|(form, a)| form.replace('#', &a)),
            (binary, inner.clone(), inner).prop_map(|(form, a, b)| {
                let parts: Vec<&str> = form.split('%').collect();
                parts.join("\u{1}").replace('#', &a).replace('\u{1}', &b)
            }),
        ]
    })
}

/// Programs most of which mean something.
fn program() -> impl Strategy<Value = String> {
    prop::collection::vec(vector(), 5).prop_map(|e| {
        format!(
            "dim H\ninput x[H], s, c: class(H)\nparam a[H], M[H, H], p\nsample input h0[H]\n\
             state h[H] = h0\nbackward state k[H]\nv = {}\nw = a + {}\nh' = 0.1 * h + a * ({})\n\
             k' = 0.1 * x + k * 0.5\noutput w, q = {}\noutput h'\nloss sum(a * tanh({}))\n",
            e[0].replace('v', "x"),
            e[1],
            e[2],
            e[3],
            e[4],
        )
    })
}

#[test]
fn most_random_programs_mean_something() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let good = (0..100).filter(|_| {
        let source = program().new_tree(&mut runner).unwrap().current();
        Recurrence::parse("random.rec", &source).is_ok()
    });
    let good = good.count();
    assert!(good >= 30, "only {good} of 100");
}

proptest! {
    #[test]
    fn random_programs_are_written_as_they_were_read(source in program()) {
        survive(&source)?;
        if let Ok(recurrence) = Recurrence::parse("random.rec", &source) {
            let text = recurrence.source().unwrap();
            let again = parse("random", &text);
            let (params, batch) = instance(&recurrence, SIZES, LENGTHS, 2);
            let one = recurrence.evaluate(&params, &batch);
            let two = again.evaluate(&params, &batch);
            prop_assert_eq!(one.is_ok(), two.is_ok());
            if let (Ok(one), Ok(two)) = (one, two) {
                for name in recurrence.outputs() {
                    let bits = |o: &Outputs<f64>| o[name].mapv(f64::to_bits);
                    prop_assert_eq!(bits(&one), bits(&two), "{}\n{}", name, text);
                }
            }
            let gradient = recurrence.gradient(Wrt::Everything).unwrap();
            survive(&gradient.source().unwrap())?;
        }
    }

    #[test]
    fn any_text_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        survive(&String::from_utf8_lossy(&bytes))?;
    }

    #[test]
    fn any_words_are_survived(words in prop::collection::vec(prop::sample::select(WORDS), 0..200)) {
        survive(&words.join(" "))?;
    }

    #[test]
    fn any_equations_are_survived(
        lines in prop::collection::vec(
            (prop::sample::select(WORDS), prop::collection::vec(prop::sample::select(WORDS), 1..8)),
            0..20,
        ),
    ) {
        let head = "dim H, K\nparam W[H,H], a[H], f\ninput x[H]\nstate h[H]\nh' = W @ h + x\n";
        let lines: Vec<String> = lines.iter().map(|(n, e)| format!("{n} = {}", e.join(" "))).collect();
        survive(&format!("{head}{}\n", lines.join("\n")))?;
    }

    #[test]
    fn a_changed_library_is_survived(
        file in 0usize..17,
        changes in prop::collection::vec(
            (any::<prop::sample::Index>(), 0usize..3, prop::sample::select(WORDS)),
            1..6,
        ),
    ) {
        let mut chars: Vec<char> = library()[file].1.chars().collect();
        for (at, kind, word) in changes {
            let at = at.index(chars.len());
            match kind {
                0 => {
                    chars.remove(at);
                }
                1 => drop(chars.splice(at..at, word.chars())),
                _ => drop(chars.splice(at..=at, word.chars())),
            }
        }
        survive(&chars.into_iter().collect::<String>())?;
    }
}

proptest! {
    /// Recurrences that no text was the source of.
    #[test]
    fn random_recurrences_are_written_and_read(instance in bptt::check::strategy::recurrence()) {
        // A custom op has no spelling.
        let custom = instance.recurrence.tape().nodes();
        let custom = custom.filter(|(_, n)| matches!(n.op(), bptt::Op::Custom(_))).count() > 0;
        let text = instance.recurrence.source();
        prop_assert!(text.is_ok() || custom, "{:?}", text);
        let Ok(text) = text else { return Ok(()) };
        let again = parse("random", &text);
        prop_assert_eq!(again.source().unwrap(), text.clone());
        let one = instance.recurrence.evaluate(&instance.params, &instance.batch).unwrap();
        let two = again.evaluate(&instance.params, &instance.batch).unwrap();
        for name in instance.recurrence.outputs() {
            let bits = |o: &Outputs<f64>| o[name].mapv(f64::to_bits);
            prop_assert_eq!(bits(&one), bits(&two), "{}\n{}", name, text);
        }
    }
}
