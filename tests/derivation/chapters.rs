//! The chapters and sheets in `docs/` are up to date: every formula after a mark `<!-- equation: … -->` is
//! generated from a derivation, and an outdated page fails.
//!
//! After an intended change: `UPDATE_GOLDEN=1 cargo test --test derivation chapters`, then review the diff.

use std::path::{Path, PathBuf};

use bptt::Recurrence;
use bptt::cells::{Cell, Loss, Start};
use bptt::derive::{Check, Derivation, Format, Lang, Level};
use bptt::render::{Dialect, Math};

fn docs(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs")
        .join(name)
}

fn fresh(name: &str, wanted: &str) {
    let path = docs(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "docs/{name} is stale: UPDATE_GOLDEN=1 cargo test --test derivation chapters"
    );
}

const GATES: &[(&str, &str)] = &[
    ("og", "o"),
    ("a_og", "a_o"),
    ("o", "z"),
    ("W_O", "W_z"),
    ("b_q", "b_z"),
];

/// The network of the chapter with all sizes 1.
const SCALAR: &str = "
    input x, y
    param W_H, W_X, W_O
    state h
    a = W_H * h + W_X * x
    h' = tanh(a)
    o = W_O * h'
    loss squared_error(o, y)
";

/// A network of the exercises: M. I. Jordan, *Serial order* (1986).
const JORDAN: &str = "
    dim H, K, O
    input x[K], y[O]
    param W_H[H, O], W_X[H, K], W_O[O, H]
    state o[O]
    a = W_H @ o + W_X @ x
    h = tanh(a)
    o' = W_O @ h
    loss squared_error(o', y)
";

/// The network with a direct connection from input to output.
const DIRECT: &str = "
    dim H, K, O
    input x[K], y[O]
    param W_H[H, H], W_X[H, K], W_O[O, H], W_S[O, K]
    state h[H]
    a = W_H @ h + W_X @ x
    h' = tanh(a)
    o = W_O @ h' + W_S @ x
    loss squared_error(o, y)
";

fn derived(cell: Cell, name: &str, aliases: &[(&str, &str)]) -> Derivation {
    let model = cell.model(name, Loss::SquaredError).unwrap();
    checked(model.derive_with(aliases).unwrap(), name)
}

fn derived_from(name: &str, text: &str) -> Derivation {
    let model = Recurrence::parse(name, text).unwrap();
    checked(model.derive().unwrap(), name)
}

fn checked(mut derivation: Derivation, name: &str) -> Derivation {
    let checks = derivation.check(2).unwrap();
    assert_eq!((checks.failed, checks.unchecked), (0, 0), "{name}");
    derivation
}

#[test]
fn the_sheets_are_what_the_engine_derives() {
    let cells = [
        ("rnn", Cell::rnn(), &[][..]),
        ("relu-rnn", Cell::relu_rnn(), &[]),
        ("lstm", Cell::lstm(), GATES),
        ("peephole-lstm", Cell::peephole_lstm(), GATES),
        ("gru", Cell::gru(), &[]),
        ("gru-reset-before", Cell::gru_reset_before(), &[]),
    ];
    for (name, cell, aliases) in cells {
        let derivation = derived(cell, name, aliases);
        for lang in Lang::ALL {
            let page = derivation.render(Format::Markdown, *lang, Level::Normal);
            fresh(
                &format!("derivations/{name}.{}.md", lang.code()),
                &stable(&page),
            );
        }
    }
}

/// Removes the measured errors, whose last digits depend on the machine: the sheets say that a line is checked,
/// without its error.
fn stable(page: &str) -> String {
    let mut out = String::new();
    for line in page.lines() {
        // Behind these words stand the count and the error.
        let counted = ["checked in ", "核对 "].into_iter().find_map(|word| {
            let end = line.find(word)? + word.len();
            line[end..]
                .starts_with(|c: char| c.is_ascii_digit())
                .then_some(end - word.trim_start_matches("checked").len())
        });
        let line = match counted {
            Some(end) if line.starts_with("<sub>") => &line[..end],
            _ if line.starts_with('*') => continue,
            _ => line,
        };
        out.push_str(line);
        if line.starts_with("<sub>") && !line.ends_with("</sub>") {
            out.push_str("</sub>");
        }
        out.push('\n');
    }
    out
}

/// Fills equations into a page: replaces the text between `<!-- equation: rnn delta.h -->` and the end of the
/// fenced block after it.
fn filled(page: &str, derivations: &[(&str, Derivation)]) -> String {
    let mut out = String::new();
    let mut lines = page.lines();
    let mut count = 0;
    while let Some(line) = lines.next() {
        out.push_str(line);
        out.push('\n');
        let Some(mark) = line.strip_prefix("<!-- equation: ") else {
            assert!(
                !line.starts_with("```math"),
                "a formula without a mark: {line}"
            );
            continue;
        };
        let names: Vec<&str> = mark.trim_end_matches(" -->").split(' ').collect();
        let (of, ids) = names.split_first().unwrap();
        let (_, derivation) = derivations.iter().find(|(n, _)| n == of).unwrap();
        out.push_str("```math\n");
        let rows: Vec<String> = ids
            .iter()
            .map(|id| row(derivation, id, ids.len() > 1))
            .collect();
        match &rows[..] {
            [one] => out.push_str(&format!("{one}\n")),
            rows => {
                let rows = rows.join("\\\\\n");
                out.push_str(&format!("\\begin{{aligned}}\n{rows}\n\\end{{aligned}}\n"));
            }
        }
        out.push_str("```\n");
        count += ids.len();
        // Skip the old block.
        let mut rest = lines.clone();
        if rest.next() == Some("```math") {
            while lines.next() != Some("```") {}
            // Includes the opening fence.
        }
    }
    assert!(count > 30, "{count} equations");
    out
}

fn row(derivation: &Derivation, id: &str, aligned: bool) -> String {
    let equation = derivation
        .equation(id)
        .unwrap_or_else(|| panic!("there is no {id}"));
    let holds = matches!(
        equation.check,
        Check::Passed { .. } | Check::Bound { .. } | Check::Definition
    );
    assert!(holds, "{id}: {:?}", equation.check);
    let (left, right) = derivation.sides(equation);
    // The sign is joined with the formula after it: `\le` and `q` must not become `\leq`.
    let sign = Math::Sign(equation.relation.sign());
    let mut lines = right.lines(64);
    lines[0] = Math::row([sign, lines[0].clone()]);
    let tex = |m: Math| m.latex(Dialect::GitHub);
    let lines: Vec<String> = lines.into_iter().map(tex).collect();
    let left = tex(left);
    match &lines[..] {
        [one] if !aligned => format!("{left}{one}"),
        lines if aligned => format!("{left}&{}", lines.join("\\\\\n&\\quad ")),
        lines => {
            let lines = lines.join("\\\\\n&\\quad ");
            format!("\\begin{{aligned}}\n{left}&{lines}\n\\end{{aligned}}")
        }
    }
}

#[test]
fn the_chapters_show_what_the_engine_derives() {
    let start = Start::Parameter;
    let derivations = [
        ("scalar", derived_from("scalar", SCALAR)),
        ("rnn", derived(Cell::rnn().start(start), "rnn", &[])),
        ("lstm", derived(Cell::lstm().start(start), "lstm", GATES)),
        ("gru", derived(Cell::gru(), "gru", &[])),
        ("jordan", derived_from("jordan", JORDAN)),
        ("direct", derived_from("direct", DIRECT)),
    ];
    for lang in Lang::ALL {
        let name = format!("rnn-and-lstm.{}.md", lang.code());
        let page = std::fs::read_to_string(docs(&name)).unwrap();
        fresh(&name, &filled(&page, &derivations));
    }
    // Both languages show the same equations in the same order.
    let marks = |lang: &Lang| {
        let page = std::fs::read_to_string(docs(&format!("rnn-and-lstm.{}.md", lang.code())));
        let page = page.unwrap();
        let marks = page.lines().filter(|l| l.starts_with("<!-- equation: "));
        marks.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(marks(&Lang::En), marks(&Lang::Zh));
}

#[test]
fn the_page_on_derivations_lists_every_rule() {
    let page = std::fs::read_to_string(docs("derivation.md")).unwrap();
    for rule in bptt::derive::Rule::ALL {
        let row = format!(
            "| {} | {} | {} |",
            rule.id(),
            rule.english(),
            rule.chinese()
        );
        assert!(
            page.contains(&row),
            "docs/derivation.md lacks the row {row}"
        );
    }
}
