//! Every sentence of a document that depends on the recurrence is true of its numbers.

use bptt::derive::{Derivation, Format, Lang, Level, Line, Part, Reach};
use bptt::{Batch, Params, Recurrence};
use ndarray::ArrayD;

use crate::support::Noise;
use crate::support::library::{library, parse};

type Claim = fn(&Derivation, &Reach) -> Result<(), String>;
type Sign = fn(&Derivation) -> bool;

/// Sentences that are compared with numbers, by the words that only they have.
const CLAIMS: &[(&str, Claim)] = &[
    (
        "exceeds 1 in absolute value, so this path never explodes",
        |_, reach| {
            let logs = reach
                .carousels
                .iter()
                .flat_map(|kept| kept.logs.iter().flatten());
            let most = logs.copied().fold(f64::NEG_INFINITY, f64::max);
            at_most("the product of gates", most, 0.0)
        },
    ),
    ("The factor is the same at every step", |_, reach| {
        powers(reach)
    }),
    ("The Jacobian is the same at every step", |_, reach| {
        same(reach)
    }),
    ("The state is one number: the absolute value", |_, reach| {
        for (t, row) in reach.marks.iter().skip(1).zip(&reach.logs) {
            for (k, log) in reach.marks.iter().zip(row) {
                let sum: f64 = reach.step_logs[*k..*t].iter().sum();
                if log.is_finite() && (log - sum).abs() > 1e-9 * sum.abs().max(1.0) {
                    return Err(format!("{log} is not {sum} from {k} to {t}"));
                }
            }
        }
        Ok(())
    }),
    (
        "the contributions of distant steps are certain to vanish",
        |_, reach| {
            for (t, row) in reach.marks.iter().skip(1).zip(&reach.logs) {
                for (k, log) in reach.marks.iter().zip(row) {
                    at_most("the norm", *log, (t - k) as f64 * reach.ratio.ln())?;
                }
            }
            at_most("the factor", reach.ratio, 1.0)
        },
    ),
];

/// Sentences that are compared with the lines: their words, and a sign that some line has exactly where they are true.
const SIGNS: &[(&str, Sign)] = &[
    ("A use at the next step contributes", |d| shows(d, "ₜ₊")),
    ("A use at the previous step contributes", |d| shows(d, "ₜ₋")),
    ("Where `δ` is split into two sums", |d| {
        has(d, "carousel.cut.")
    }),
    ("A window lets each loss look back", |d| has(d, "window.")),
    ("Most frameworks cut the sequence", |d| {
        has(d, "chunk.delta")
    }),
    ("if it is below 1, a perturbation shrinks", |d| {
        has(d, "bound.lags")
    }),
];

fn has(d: &Derivation, id: &str) -> bool {
    d.equations
        .iter()
        .any(|e| e.id.to_string().replace("back.", "").starts_with(id))
}

/// A line about error terms has one of this step on its right side.
fn shows(d: &Derivation, step: &str) -> bool {
    let lines = d.equations.iter().filter(|e| e.part == Part::Recursion);
    lines.into_iter().any(|e| {
        let formula = d.formula(e).text(bptt::render::Charset::Unicode);
        let right = formula.split_once(" = ").map_or("", |(_, right)| right);
        let mut sent = right.split(|c: char| " ()[]⊙".contains(c));
        sent.any(|word| word.starts_with('δ') && word.contains(step))
    })
}

fn at_most(what: &str, found: f64, most: f64) -> Result<(), String> {
    match found <= most || found <= most + 1e-9 * most.abs().max(1.0) {
        true => Ok(()),
        false => Err(format!("{what}: {found} exceeds {most}")),
    }
}

fn same(reach: &Reach) -> Result<(), String> {
    let first = reach.step_logs[0];
    match reach
        .step_logs
        .iter()
        .find(|log| (*log - first).abs() > 1e-9)
    {
        None => Ok(()),
        Some(other) => Err(format!("norms {first} and {other}")),
    }
}

fn powers(reach: &Reach) -> Result<(), String> {
    same(reach)?;
    let (whole, one) = (reach.logs.last().unwrap()[0], reach.step_logs[0]);
    let power = reach.steps as f64 * one;
    match whole == power || (whole - power).abs() < 1e-9 * power.abs() {
        true => Ok(()),
        false => Err(format!("{whole} is not {power}")),
    }
}

/// Checks the sentences of a derivation of checked lines; returns the numbers of the claims that were made.
pub(crate) fn check(d: &Derivation) -> Vec<usize> {
    let page = d.render(Format::Markdown, Lang::En, Level::Full);
    let mut made = Vec::new();
    for (i, (words, holds)) in CLAIMS
        .iter()
        .enumerate()
        .filter(|(_, (w, _))| page.contains(w))
    {
        assert!(!d.reaches().is_empty(), "{words}");
        made.push(i);
        let chains = match words.starts_with("the contributions") {
            // The sentence is about one of two chains.
            true => d
                .reaches()
                .iter()
                .filter(|r| r.ratio < 1.0)
                .collect::<Vec<_>>(),
            false => d.reaches().iter().collect(),
        };
        for reach in chains {
            holds(d, reach).unwrap_or_else(|why| panic!("{words}: {why}\n{page}"));
        }
    }
    for (words, holds) in SIGNS {
        assert_eq!(page.contains(words), holds(d), "{words}\n{page}");
    }
    made
}

#[test]
fn sentences_about_the_library_are_true() {
    let mut made = vec![0; CLAIMS.len()];
    for (name, text) in library() {
        let Ok(mut d) = parse(&name, &text).derive() else {
            continue;
        };
        d.check(1).unwrap();
        check(&d).into_iter().for_each(|i| made[i] += 1);
    }
    for (name, text) in SPECIAL {
        let mut d = parse(name, text).derive().unwrap();
        d.check(1).unwrap();
        check(&d).into_iter().for_each(|i| made[i] += 1);
    }
    assert!(made.iter().all(|n| *n > 0), "{made:?}");
}

const SPECIAL: &[(&str, &str)] = &[
    (
        "matrix",
        "dim H\nparam A[H, H]\ninput x[H]\nstate h[H]\nh' = A @ h + x\nloss sum(h'^2)\n",
    ),
    ("gain", GAIN),
];

/// A carousel whose gate has no bound.
const GAIN: &str = "dim H\nparam r[H], v[H]\ninput x[H]\nstate c[H]\ng = exp(r * x)\nc' = g * c + v * x\nloss sum(c'^2)\n";

/// The gate of a carousel without a bound does exceed one somewhere, and is not said to be bounded.
#[test]
fn gates_without_a_bound_are_not_said_to_have_one() {
    let gain = parse("gain", GAIN);
    let mut d = gain.derive().unwrap();
    d.check(1).unwrap();
    let page = d.render(Format::Markdown, Lang::En, Level::Normal);
    assert!(
        page.contains("The definitions of the gates of `c` do not keep them within 1"),
        "{page}"
    );
    assert!(!page.contains("never explodes"), "{page}");
    let (params, batch) = ones(&gain);
    let reach = d.measure(&params, &batch).unwrap().unwrap();
    assert!(
        reach.carousels[0]
            .logs
            .iter()
            .flatten()
            .all(|log| *log > 0.5)
    );
}

fn ones(r: &Recurrence) -> (Params<f64>, Batch<f64>) {
    let params = Params::from_fn(r, &[("H", 3)], |_, shape| ArrayD::ones(shape)).unwrap();
    let mut noise = Noise(1);
    let x = ndarray::Array3::from_shape_simple_fn((6, 1, 3), || 1.0 + noise.number().abs());
    (params, Batch::new(6, 1).with("x", x))
}

#[test]
fn a_carousel_of_a_gate_within_one_says_so() {
    let mut d = parse(
        "lstm",
        &library().into_iter().find(|(n, _)| n == "lstm").unwrap().1,
    )
    .derive()
    .unwrap();
    d.check(1).unwrap();
    let page = d.render(Format::Markdown, Lang::En, Level::Normal);
    for words in [
        "No entry of the gates of `c` exceeds 1",
        "For a gate `f = σ(b)`",
        "It is one path of many",
        "The LSTM was introduced in 1997",
    ] {
        assert!(page.contains(words), "{words}");
    }
    assert!(d.line(&Line::Carousel("c".into())).is_some());
    let gru = Recurrence::parse(
        "leak",
        "dim H\nparam z[H]\ninput x[H]\nstate h[H]\nf = sigmoid(z)\nh' = f * h + x\nloss sum(h')\n",
    );
    let mut d = gru.unwrap().derive().unwrap();
    d.check(1).unwrap();
    let page = d.render(Format::Markdown, Lang::En, Level::Normal);
    assert!(!page.contains("It is one path of many"), "{page}");
    assert!(!page.contains("1997"), "{page}");
}
