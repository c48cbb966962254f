//! Notation: every sign is defined before it is used, looks the same everywhere, and is mistaken for no other.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use bptt::Recurrence;
use bptt::cells::{Cell, Loss};
use bptt::derive::{Derivation, Format, Lang, Level, Line, Part, Quantity};
use bptt::render::Dialect;

fn derived(source: &str) -> Derivation {
    let recurrence = Recurrence::parse("small", source).unwrap();
    recurrence.derive().unwrap()
}

fn checked(source: &str) -> Derivation {
    let mut derivation = derived(source);
    let checks = derivation.check(1).unwrap();
    let failed = derivation.equations.iter();
    let failed: Vec<_> = failed
        .filter(|e| matches!(e.check, bptt::derive::Check::Failed { .. }))
        .collect();
    assert!(checks.failed == 0, "{source}{failed:#?}");
    derivation
}

fn library() -> impl Iterator<Item = Derivation> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/recurrences");
    let files = fs::read_dir(folder).unwrap();
    files.map(|file| derived(&fs::read_to_string(file.unwrap().path()).unwrap()))
}

fn rnn() -> Derivation {
    let model = Cell::rnn().model("rnn", Loss::SquaredError).unwrap();
    let mut rnn = model.derive().unwrap();
    rnn.check(1).unwrap();
    rnn
}

#[test]
fn every_document_explains_the_rules_that_it_names() {
    let rnn = rnn();
    let ids = |level: Level| -> BTreeSet<&str> {
        let lines = rnn.equations.iter().filter(|e| e.level <= level);
        let steps = |e: &bptt::derive::Equation| -> Vec<&str> {
            let shown = e.steps.iter().filter(|_| level == Level::Full);
            shown.map(|s| s.rule.id()).collect()
        };
        let of = |e| {
            let e: &bptt::derive::Equation = e;
            e.rules.iter().map(|r| r.id()).chain(steps(e))
        };
        lines.flat_map(of).collect()
    };
    let legend = |format: Format, lang: Lang, level: Level| -> BTreeSet<String> {
        let page = rnn.render(format, lang, level);
        let mark = match format {
            Format::Tex => "\\item[",
            Format::Markdown => "- **",
            _ => "   ",
        };
        let heading = match lang {
            Lang::Zh => "规则\n",
            _ => "Rules\n",
        };
        let from = match format {
            Format::Tex => page.rfind("\\section*").unwrap(),
            _ => page.rfind(heading).unwrap(),
        };
        let lines = page[from..].lines().filter_map(|l| l.strip_prefix(mark));
        let ids = lines.filter(|l| !l.starts_with(' '));
        let word = |l: &str| l.split([' ', ']', '*']).next().unwrap().to_owned();
        ids.map(word).collect()
    };
    for lang in Lang::ALL {
        for level in [Level::Normal, Level::Full] {
            let wanted: BTreeSet<String> = ids(level).into_iter().map(str::to_owned).collect();
            for format in [Format::Text, Format::Ascii, Format::Markdown, Format::Tex] {
                assert_eq!(legend(format, *lang, level), wanted, "{format:?} {level:?}");
            }
        }
        // Markdown and LaTeX name rules at every level, text does not.
        let wanted: BTreeSet<String> = ids(Level::Sheet).into_iter().map(str::to_owned).collect();
        for format in [Format::Markdown, Format::Tex] {
            assert_eq!(legend(format, *lang, Level::Sheet), wanted, "{format:?}");
        }
        let sheet = rnn.render(Format::Text, *lang, Level::Sheet);
        assert!(!sheet.contains("D1"));
    }
}

/// Each sign is explained above the first line that uses it.
#[test]
fn a_sign_is_defined_before_it_is_used() {
    let page = rnn().render(Format::Text, Lang::En, Level::Normal);
    let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
    let place = |text: &str| {
        let found = page.find(text);
        found.unwrap_or_else(|| panic!("there is no `{text}` in {page}"))
    };
    for (definition, use_of_it) in [
        ("d⁺vₜ is the differential", "d⁺hₜ"),
        ("∂⁺vₜ/∂W is the same", "∂⁺hₜ/∂W_H"),
        ("A ⊗ B is the Kronecker product", "ᵀ ⊗ "),
        ("diag(v) is the diagonal matrix", "diag(𝟏"),
        ("differential is zero: yₜ.", "dLₜ = "),
        ("δ̂ is the error term", "δ̂ʰₜ"),
        ("σₘᵢₙ(A) is the smallest", "σₘᵢₙ(W_H)"),
        ("index F denotes", "‖_F"),
        ("index ∞ denotes", "‖_∞"),
    ] {
        assert!(place(definition) < place(use_of_it), "{definition}");
    }
    // Where nothing uses a sign, nothing explains it.
    let number = checked("input x\nparam a\nstate h\nh' = a * h + x\nloss h'^2\n");
    let page = number.render(Format::Text, Lang::En, Level::Normal);
    for sign in [
        "Kronecker product",
        "diag(v)",
        "Frobenius",
        "not differentiated",
        "norm 5",
    ] {
        assert!(!page.contains(sign), "{sign}");
    }
}

/// Within a step, an error term is used below its own line only.
#[test]
fn error_terms_of_a_step_are_derived_before_they_are_used() {
    for derivation in library() {
        let mut known: Vec<&str> = Vec::new();
        let lines = derivation.lines(Part::Recursion, Level::Full);
        for line in lines.filter(|e| matches!(e.id, Line::Delta(_))) {
            let Some((Quantity::Delta, [name], at)) = line.left.symbol() else {
                panic!("{}", line.id);
            };
            let early = line.right.any(&|t| match t.symbol() {
                Some((Quantity::Delta, [of], when)) => when == at && !known.contains(&&**of),
                _ => false,
            });
            assert!(!early, "{}: {}", derivation.name(), line.id);
            known.push(name);
        }
        assert!(!known.is_empty());
    }
}

#[test]
fn a_value_looks_the_same_in_every_place() {
    for derivation in library() {
        for line in &derivation.equations {
            let Some((Quantity::Delta, [name], _)) = line.left.symbol() else {
                continue;
            };
            let value = Quantity::Value.of([name], []);
            let look = derivation.symbols().show(&value).latex(Dialect::Plain);
            let delta = derivation.symbols().show(&line.left).latex(Dialect::Plain);
            let letter = delta.split(['^', '_']).next().unwrap();
            assert!(
                delta.starts_with(&format!("{letter}^{{{look}}}")),
                "{delta} is the error term of {look}"
            );
        }
    }
    let garch = include_str!("../../examples/recurrences/garch11.rec");
    let page = derived(garch).render(Format::Text, Lang::En, Level::Full);
    assert!(page.contains("δ^{e⁽²⁾}ₜ") && !page.contains("e₂"), "{page}");
}

/// A name `T` beside transposes, powers, and last steps.
#[test]
fn a_letter_t_is_not_a_transpose() {
    for source in [
        "dim H, T\ninput x[T], y[H]\nparam W_T[H, T], W_H[H, H], h_T[H], T_0[H]\nstate h[H] = h_T\n\
         a_T = W_H @ h + W_T @ x + T_0\nh' = tanh(a_T)\nloss squared_error(h', y)\n",
        "dim H\ninput x[H], y[H]\nparam T, W[H, H]\nstate h[H]\nT_h = W @ h + x\n\
         h' = sigmoid(T_h) ^ T\nloss squared_error(h', y)\n",
        "dim H\ninput x[H], y[H]\nparam W[H, H]\nstate T[H]\nT' = tanh(W @ T + x)\n\
         loss squared_error(T', y)\n",
        "dim H\ninput x[H], y[H]\nparam W[H, H]\nstate h_T[H]\nh_T' = tanh(W @ h_T + x)\n\
         loss squared_error(h_T', y)\n",
    ] {
        let derivation = checked(source);
        // The rules at the end are general, with letters of their own.
        let show = |format| {
            let page = derivation.render(format, Lang::En, Level::Full);
            let end = page.rfind("Rules").unwrap();
            page[..end].to_owned()
        };
        let (text, latex) = (show(Format::Text), show(Format::Tex));
        assert!(!text.contains("^T"), "{source}{text}");
        for wrong in ["^{T}", r"^{\mathrm{T}}", "=1}^{T}", "h_{T}"] {
            assert!(!latex.contains(wrong), "{source}{wrong}{latex}");
        }
        // In ASCII, `^T` is the transpose alone, with its steps in front of it.
        let plain = show(Format::Ascii);
        for wrong in ["a^T", "delta^T", "^T_", "^T}"] {
            assert!(!plain.contains(wrong), "{source}{wrong}");
        }
        assert!(!show(Format::Html).contains("<mi mathvariant=\"normal\">T</mi></msup>"));
        // Prose uses the letters of this derivation.
        assert!(
            text.contains("N terms instead of N²") && !text.contains("T terms"),
            "{source}"
        );
    }
}

#[test]
fn the_start_of_a_delayed_input_is_an_initial_value() {
    let source = |start: &str| {
        format!(
            "dim H\ninput x[H], y[H]\nparam W[H, H], x0[H]\nstate h[H]\n\
             h' = tanh(W @ h + x + delay(x{start})){}\nloss squared_error(h', y)\n",
            if start.is_empty() { " * x0" } else { "" }
        )
    };
    let zero = checked(&source(""));
    let master = zero.formula(zero.equation("master").unwrap());
    let master = master.latex(Dialect::Plain);
    assert!(!master.contains(r"x_{0}}"), "{master}");
    assert_eq!(zero.equation("grad.x.0").unwrap().part, Part::Inputs);
    let given = checked(&source(", x0"));
    let line = given.equation("grad.x0").unwrap();
    assert_eq!(line.part, Part::Inputs);
    assert_eq!(
        given.formula(line).latex(Dialect::Plain),
        r"\frac{\partial L}{\partial x_{0}}=\delta^{a}_{1}"
    );
}

#[test]
fn a_recurrence_without_values_is_refused_with_the_reason() {
    let source = "input x\nparam a\nstate h\nh' = a * h + sqrt(-1 - x^2)\nloss h'^2\n";
    let error = derived(source).check(1).unwrap_err().to_string();
    assert!(
        error.contains("none of 200 random runs has finite values") && error.contains("sqrt"),
        "{error}"
    );
    let source = "input x\nparam a, b\nstate h\nh' = a * h + b * x\nloss h'^2\n";
    let recurrence = Recurrence::parse("small", source).unwrap();
    let error = recurrence.derive_with(&[("a", "c"), ("b", "c")]);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("another letter"), "{error}");
}
