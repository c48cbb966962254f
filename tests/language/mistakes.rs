//! The recurrence language: errors, and texts that would break a careless parser.
//!
//! After an intended change of a message: `UPDATE_GOLDEN=1 cargo test --test language mistakes`, then review
//! the diff.

use crate::support::library::{folder, parse};
use bptt::{Diagnostics, Recurrence};

fn mistakes(source: &str) -> Diagnostics {
    Recurrence::parse("wrong.rec", source).expect_err("this is wrong")
}

/// Each file of `tests/golden/diagnostics/` has a wrong text, a line of dashes, and the expected diagnostics.
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

/// The width in a format string is at most 65 535, and a terminal has about 100 columns.
#[test]
fn long_lines_and_names_are_shortened() {
    let long = "a".repeat(70_000);
    let blank = " ".repeat(70_000);
    let texts = [
        format!("input x\nloss x + {blank}$\n"),
        format!("input x\n{blank}loss x + y{blank}\n"),
        format!("input x\nloss {long} + x + {long}(x)\n"),
        format!("dim {long}\nparam {long}[{long}]\nstate h\nh' = {long}'\nfn {long}(a, a) = a\n"),
        format!("input x\nloss x + {}y\n", "(x + ".repeat(20_000)),
        format!("input x\nloss {} $\n", "x + ".repeat(20_000)),
        (0..30_000)
            .map(|i| format!("a{i} = a{}\n", (i + 1) % 30_000))
            .collect(),
    ];
    for text in texts {
        for file in ["wrong.rec", &format!("{long}\u{1b}[31m.rec")] {
            let found = Recurrence::parse(file, &text).expect_err("this is wrong");
            let shown = found.to_string();
            assert!(shown.len() < 20_000, "{} bytes", shown.len());
            assert!(!shown.contains('\u{1b}'));
            assert_eq!(format!("{found:?}"), shown);
            assert_eq!(bptt::Error::from(found).to_string(), shown);
        }
    }
    let found = mistakes(&format!("input x\nloss x + {}$ + x\n", "x + ".repeat(50)));
    assert!(
        found
            .to_string()
            .contains("2 | …x + x + x + x + x + x + x + x + x + x + $ + x\n")
    );
    assert!(
        found
            .to_string()
            .contains("  |                                          ^\n"),
        "{found}"
    );
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

/// Texts that would overflow the stack of a careless parser, or never end.
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
    // A long sum is not a deep expression.
    parse("sum", &deep("a + ", ""));
    parse("product", &deep("a * ", ""));
    mistakes(&deep("", ".T"));
    mistakes(&deep("", "²"));
    mistakes(&"(".repeat(200_000));
    mistakes(&"x = \n".repeat(20_000));
    // Functions whose expansion doubles, and functions that nest.
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
    // A long chain does not recurse deeply, in any order of its lines.
    let mut lines: Vec<String> = (1..3000)
        .map(|i| format!("a{i} = a{} + x", i - 1))
        .collect();
    lines.extend(["a0 = 1".into(), "input x".into(), "loss a2999".into()]);
    parse("chain", &lines.join("\n"));
    lines.reverse();
    parse("chain", &lines.join("\n"));
}

/// A byte order mark at the start of a file is accepted; other invisible characters are spelled out.
#[test]
fn signs_that_cannot_be_seen() {
    let marked = parse("marked", "\u{feff}param w\nloss w^2\n");
    assert_eq!(
        marked.source(),
        parse("plain", "param w\nloss w^2\n").source()
    );
    for (source, said) in [
        ("param w\u{200b}\nloss w^2\n", "U+200B (zero width space)"),
        ("param w\nloss w\u{feff}^2\n", "U+FEFF (byte order mark)"),
        ("param cafe\u{301}\nloss 1\n", "write `é` as one character"),
        ("param x\u{304}\nloss 1\n", "such as `x_bar`"),
        ("param w\nloss （w）^2\n", "full-width sign: write `(`"),
        (
            "param \u{430}\nloss a\n",
            "`a` is U+0061 here and U+0430 there",
        ),
        ("param \u{b5}\nloss \u{3bc}\n", "only looks like `\u{b5}`"),
    ] {
        let found = mistakes(source).to_string();
        assert!(found.contains(said), "{said} is not in\n{found}");
    }
}

/// A name in an expression is a value, a size or a function; outputs have names of their own.
#[test]
fn a_name_has_one_meaning() {
    let both = "is that of a size and of a value";
    for source in [
        "dim h\nstate h[h]\nh' = h\nloss sum(h')\n",
        "dim a\na = 2\nloss a\n",
    ] {
        let found = mistakes(source);
        assert_eq!(found.iter().count(), 1, "{found}");
        assert!(found.to_string().contains(both), "{found}");
    }
    for first in [true, false] {
        let defined = Recurrence::define("both", |r| {
            let n = first.then(|| r.dim("h"));
            r.output("y", r.param("h", ()));
            let _size = n.unwrap_or_else(|| r.dim("h"));
        });
        let found = defined.unwrap_err().to_string();
        assert!(found.contains(both), "{found}");
    }
    // Names that are chosen by a derivative, by the printer or for an output keep away from sizes.
    let text = "dim w.dot, h.final\nparam w[w.dot]\nstate h\nh' = h + sum(w^2)\nloss h'\noutput h.final = 2 * h'\n";
    let tangent = parse("sizes", text).tangent(bptt::Wrt::Parameters).unwrap();
    let tangent = tangent.with_final_states().unwrap();
    let source = tangent.source().unwrap();
    assert_eq!(parse("again", &source).source().unwrap(), source);
    assert!(parse("mask", text).with_mask("w.dot").is_err());
    let defined = Recurrence::define("named", |r| {
        let x = r.input("x", [r.dim("n")]);
        let y = x.sum().named("n");
        r.output("y", y * y.exp());
    });
    let source = defined.unwrap().source().unwrap();
    assert_eq!(parse("again", &source).source().unwrap(), source);
}
