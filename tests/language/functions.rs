//! `docs/functions.md` is made of the op table: values in words, derivatives as the engine writes them.

use std::fmt::Write as _;

use crate::support::library::folder;
use bptt::lang::{Function, Subject, functions};
use bptt::ops::Pointwise;
use bptt::{Recurrence, Wrt};

const HEAD: &str = "<!-- UPDATE_GOLDEN=1 cargo test --release --test language the_page_of_functions writes this page. -->\n
# Functions of the recurrence language

[language.md](language.md) explains expressions, shapes and time. A function of a file cannot have one of these names. Arguments of
functions of entries have one shape; a scalar is spread over the others.\n";

/// A heading, the text below it, and the subject.
const PARTS: [(&str, &str, Subject); 5] = [
    (
        "Entry by entry",
        "`y` is the value. A derivative of a function of two arguments is that by `a`, then that by `b`. In derivatives, `n` is 3. A function without a \
         derivative here is written out in those above it. Where a derivative does not exist, [math.md](math.md#points-without-a-derivative) \
         says which number is used. A form for arguments outside of the domain is safe in value and derivative.",
        Subject::Entries,
    ),
    (
        "Vectors and matrices",
        "Derivatives of every order are sums and products of functions of this page.",
        Subject::Arrays,
    ),
    (
        "Declared derivatives",
        "The derivative is not that of the value.",
        Subject::Declarations,
    ),
    ("Steps and samples", "All are linear.", Subject::Time),
    ("Losses", "Numbers for one step.", Subject::Losses),
];

/// The definition of a value in the text of a recurrence.
fn definition(source: &str, name: &str) -> Option<String> {
    let starts = [format!("{name} = "), format!("cotangent output {name} = ")];
    let mut lines = source.lines();
    let line = lines.find_map(|l| starts.iter().find_map(|s| l.strip_prefix(s.as_str())))?;
    Some(line.to_owned())
}

/// The partial derivatives of a row, as the engine writes them.
fn derivatives(op: Pointwise, call: &str) -> String {
    let call = match call.contains(", n)") {
        true => call.replace(", n)", ", 3)"),
        false => call.to_owned(),
    };
    let names: &[&str] = if op.arity() == 1 { &["x"] } else { &["a", "b"] };
    let text = format!("param {}\ny = {call}\nloss y\n", names.join(", "));
    let r = Recurrence::parse("row", &text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let source = r.gradient(Wrt::Parameters).unwrap().source().unwrap();
    let found = names.iter().map(|name| {
        let mut text = definition(&source, name).unwrap_or_else(|| panic!("{name}: {source}"));
        // Values with several uses have names of their own.
        for i in 1..4 {
            let own = format!("v{i}");
            if let Some(value) = definition(&source, &own) {
                text = text.replace(&own, &format!("({value})"));
            }
        }
        format!("`{text}`")
    });
    found.collect::<Vec<_>>().join(", ")
}

fn row(function: &Function) -> String {
    let calls = function.call.replace("), ", ")`, `");
    let mut line = format!("| `{calls}` | {}", function.about);
    if function.subject == Subject::Entries {
        let op = Pointwise::ALL.iter().find(|op| op.name() == function.name);
        let derivative = op.map(|op| derivatives(*op, &function.call));
        let safe = op.and_then(|op| op.safe_form());
        let safe = safe.map(|form| format!("`{form}`"));
        let (derivative, safe) = (derivative.unwrap_or_default(), safe.unwrap_or_default());
        _ = write!(line, " | {derivative} | {safe}");
    }
    line.replace("||", "| |") + " |\n"
}

fn page() -> String {
    let all: Vec<Function> = functions().collect();
    let mut page = HEAD.to_owned();
    for (heading, text, subject) in PARTS {
        _ = write!(page, "\n## {heading}\n\n{text}\n\n");
        page += match subject {
            Subject::Entries => {
                "| function | value | derivative | safe form |\n|---|---|---|---|\n"
            }
            _ => "| function | value |\n|---|---|\n",
        };
        for function in all.iter().filter(|f| f.subject == subject) {
            page += &row(function);
        }
    }
    page
}

#[test]
fn the_page_of_functions_is_that_of_the_table() {
    let (path, page) = (folder("docs/functions.md"), page());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap();
    assert!(found == page, "write it again: {HEAD}");
}

#[test]
fn every_function_says_its_value() {
    let mut names = std::collections::BTreeSet::new();
    for function in functions() {
        assert!(
            names.insert(function.name),
            "{} is there twice",
            function.name
        );
        assert!(
            function.call.starts_with(&format!("{}(", function.name)),
            "{function:?}"
        );
        let about = &function.about;
        assert!(!about.is_empty() && !about.ends_with('.'), "{function:?}");
        assert!(
            !about.contains("self") && !about.contains("other`"),
            "{function:?}"
        );
    }
}

#[test]
fn fuzzing_knows_every_function() {
    for dictionary in ["rec", "printer"] {
        let text = std::fs::read_to_string(folder(&format!("fuzz/dictionaries/{dictionary}")));
        let text = text.unwrap();
        for function in functions() {
            let word = format!("\"{}\"", function.name);
            assert!(
                text.lines().any(|line| line == word),
                "{dictionary} lacks {word}"
            );
        }
    }
}
