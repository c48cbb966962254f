//! Deeply nested and very long texts on threads with a quarter of the usual stack.

use std::thread::Builder;

use bptt::derive::{Format, Lang, Level};
use bptt::{Error, Recurrence, Wrt};

const STACK: usize = 512 << 10;

fn on_a_small_stack<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> R {
    let thread = Builder::new().stack_size(STACK).spawn(work);
    thread
        .expect("a thread can be started")
        .join()
        .expect("it ends well")
}

/// A recurrence with this loss, and functions before it.
fn with_loss(functions: &str, loss: &str) -> String {
    format!("param w\ninput x\nstate s\ns' = tanh(w * s + x)\n{functions}\nloss {loss} + s'\n")
}

fn nested(open: &str, levels: usize) -> String {
    with_loss(
        "",
        &format!("{}w * x{}", open.repeat(levels), ")".repeat(levels)),
    )
}

/// Parses, prints, differentiates, compiles and derives a text.
fn everything(text: String) {
    on_a_small_stack(move || {
        let recurrence = Recurrence::parse("deep.rec", &text).expect("the text is well formed");
        let printed = recurrence.source().expect("it can be printed");
        Recurrence::parse("again.rec", &printed).expect("the print is well formed");
        let gradient = recurrence
            .gradient(Wrt::Parameters)
            .expect("it has a gradient");
        gradient.compile::<f64>(&[]).expect("it compiles");
        let mut derivation = recurrence.derive().expect("it can be derived");
        let checks = derivation.check(1).expect("it can be checked");
        assert_eq!(checks.failed, 0);
        for format in [Format::Text, Format::Html, Format::Tex, Format::Json] {
            assert!(!derivation.render(format, Lang::En, Level::Full).is_empty());
        }
    });
}

#[test]
fn brackets() {
    everything(nested("(", 125));
    everything(nested("tanh(", 62));
}

#[test]
fn functions() {
    let functions: Vec<String> = (0..90)
        .map(|i| format!("fn f{i}(a) = f{}(a) * 1.01", i + 1))
        .chain(["fn f90(a) = tanh(a)".to_owned()])
        .collect();
    everything(with_loss(&functions.join("\n"), "f0(w)"));
}

#[test]
fn sums() {
    everything(with_loss("", &vec!["w * x"; 3000].join(" + ")));
}

#[test]
fn losses() {
    everything(with_loss("", "x") + &"loss w * x\n".repeat(3000));
}

#[test]
fn texts_that_nest_too_deeply_are_refused() {
    for open in ["(", "tanh(", "- ", "1 - ("] {
        let text = nested(open, 100_000);
        let found = on_a_small_stack(move || Recurrence::parse("deep.rec", &text).map(|_| ()));
        let found = found.expect_err("it nests too deeply").to_string();
        assert!(
            found.contains("nests more than 128 levels"),
            "{open}: {found}"
        );
    }
}

#[test]
fn recurrences_of_too_many_values_are_not_derived() {
    on_a_small_stack(|| {
        let deep = Recurrence::define("deep", |r| {
            let x = r.input("x", ());
            let w = r.param("w", ());
            let mut y = w * x;
            for _ in 0..5_000 {
                y = y.sin();
            }
            r.loss(y);
        });
        let deep = deep.expect("it is well formed");
        let found = deep
            .derive()
            .map(|_| ())
            .expect_err("it has too many values");
        assert!(matches!(found, Error::NotDerivable { .. }), "{found}");
        let found = found.to_string();
        assert!(
            found.contains("at most 1000") && found.contains("`state h[H]`"),
            "{found}"
        );
    });
}
