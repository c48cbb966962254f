//! The recurrence language on random texts and random recurrences.

use crate::support::instance;
use crate::support::library::{LENGTHS, SIZES, library, parse};
use bptt::{Batch, Outputs, Params, Recurrence, Wrt};
use proptest::prelude::*;

const WORDS: &[&str] = &[
    "dim", "input", "sample", "param", "state", "backward", "output", "loss", "final", "mean",
    "fn", "class", "H", "K", "x", "h", "W", "a", "f", "tanh", "sum", "slice", "concat", "delay",
    "advance", "hold", "step", "rows", "total", "last", "gather", "spread", "select", "0", "1",
    "2.5", "1e", "1e999", "+", "-", "*", "/", "@", "^", "<", "<=", "==", "=", "'", "(", ")", "[",
    "]", ",", ":", "~", ".dot", "uniform", "identity", "glorot", "sqrt", ".T", "²", "ᵀ", "σ", "·",
    "#", "\n", "\n", "\n", "é", "$",
];

/// Returns true if a text is parsed quickly. As the machine may be busy, a slow text must be slow twice.
fn is_quick(source: &str) -> bool {
    let quick = || {
        let begun = std::time::Instant::now();
        let _ = Recurrence::parse("fuzz.rec", source);
        begun.elapsed().as_secs() < 10
    };
    quick() || quick()
}

/// Parses a text; if accepted, it can be written and parsed again.
fn survive(source: &str) -> Result<(), TestCaseError> {
    prop_assert!(is_quick(source), "it is slow");
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

/// Random programs, most of which are valid.
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

/// A library text with some characters replaced by words of the language.
fn changed() -> impl Strategy<Value = String> {
    let change = (
        any::<prop::sample::Index>(),
        0usize..3,
        prop::sample::select(WORDS),
    );
    let texts = library()
        .into_iter()
        .map(|(_, source)| source)
        .collect::<Vec<_>>();
    (
        prop::sample::select(texts),
        prop::collection::vec(change, 1..6),
    )
        .prop_map(|(text, changes)| {
            let mut chars: Vec<char> = text.chars().collect();
            for (at, kind, word) in changes {
                let at = at.index(chars.len());
                match kind {
                    0 => drop(chars.remove(at)),
                    1 => drop(chars.splice(at..at, word.chars())),
                    _ => drop(chars.splice(at..=at, word.chars())),
                }
            }
            chars.into_iter().collect()
        })
}

/// Texts of every kind for a chosen time:
/// `BPTT_FUZZ_SECONDS=600 cargo test --release --test language -- --ignored --nocapture random`.
#[test]
#[ignore = "runs for as long as BPTT_FUZZ_SECONDS says"]
fn the_parser_survives_a_long_run() {
    use proptest::strategy::ValueTree;
    let seconds = std::env::var("BPTT_FUZZ_SECONDS")
        .ok()
        .and_then(|s| s.parse().ok());
    let until = std::time::Instant::now() + std::time::Duration::from_secs(seconds.unwrap_or(10));
    let words = prop::collection::vec(prop::sample::select(WORDS), 0..200);
    let bytes = prop::collection::vec(any::<u8>(), 0..400);
    let any_text = prop_oneof![
        3 => changed(),
        2 => program(),
        2 => words.prop_map(|w| w.join(" ")),
        1 => bytes.prop_map(|b| String::from_utf8_lossy(&b).into_owned()),
    ];
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::default());
    let (mut count, mut accepted) = (0u64, 0u64);
    while std::time::Instant::now() < until {
        let source = any_text.new_tree(&mut runner).unwrap().current();
        let survived = std::panic::catch_unwind(|| survive(&source));
        assert!(matches!(survived, Ok(Ok(()))), "{survived:?} on:\n{source}");
        count += 1;
        accepted += u64::from(Recurrence::parse("fuzz.rec", &source).is_ok());
    }
    println!("{count} texts, {accepted} of them recurrences");
    assert!(accepted > 0, "some mean something");
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
    fn a_changed_library_is_survived(source in changed()) {
        survive(&source)?;
    }
}

/// A written recurrence parses to the same text, and computes the same bits.
fn written_and_read(
    recurrence: &Recurrence,
    params: &Params<f64>,
    batch: &Batch<f64>,
) -> Result<(), TestCaseError> {
    // A custom op has no spelling.
    let mut nodes = recurrence.tape().nodes();
    let custom = nodes.any(|(_, n)| matches!(n.op(), bptt::Op::Custom(_)));
    let text = recurrence.source();
    prop_assert!(text.is_ok() || custom, "{:?}", text);
    let Ok(text) = text else { return Ok(()) };
    let again = parse("random", &text);
    prop_assert_eq!(again.source().unwrap(), text.clone());
    let (one, two) = (
        recurrence.evaluate(params, batch),
        again.evaluate(params, batch),
    );
    prop_assert_eq!(one.is_ok(), two.is_ok(), "{}", text);
    let (Ok(one), Ok(two)) = (one, two) else {
        return Ok(());
    };
    for name in recurrence.outputs() {
        let bits = |o: &Outputs<f64>| o[name].mapv(f64::to_bits);
        prop_assert_eq!(bits(&one), bits(&two), "{}\n{}", name, text);
    }
    Ok(())
}

proptest! {
    /// Recurrences that were not parsed from a text.
    #[test]
    fn random_recurrences_are_written_and_read(given in bptt_testing::random::recurrence()) {
        prop_assert!(given.recurrence.evaluate(&given.params, &given.batch).is_ok(), "it has data");
        written_and_read(&given.recurrence, &given.params, &given.batch)?;
    }

    /// Gradients, tangents and Hessian-vector products.
    #[test]
    fn derivatives_of_random_recurrences_are_written_and_read(
        given in bptt_testing::random::recurrence(),
    ) {
        let (recurrence, params, batch) = (&given.recurrence, &given.params, &given.batch);
        let gradient = recurrence.gradient(Wrt::Everything).unwrap();
        prop_assert!(gradient.evaluate(params, batch).is_ok(), "it has the same data");
        written_and_read(&gradient, params, batch)?;
        let sizes = recurrence.known_sizes(params, batch).unwrap();
        for derived in [
            recurrence.tangent(Wrt::Everything),
            recurrence.hessian_vector(Wrt::Parameters),
            recurrence.pullback(&["loss"], Wrt::Everything),
        ] {
            // The directions are additional data.
            let derived = derived.unwrap();
            let (params, batch) = instance(&derived, &sizes, &batch.lengths().collect::<Vec<_>>(), 7);
            written_and_read(&derived, &params, &batch)?;
        }
    }
}
