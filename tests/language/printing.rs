//! Texts for display, compared with reviewed files in `tests/golden/`.
//!
//! After an intended change: `UPDATE_GOLDEN=1 cargo test --test language printing`, then review the diff.

use std::path::Path;

use bptt::cells::{Cell, Loss, Start};
use bptt::{Recurrence, Wrt};

fn golden(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(expected, found, "{name} is not what it was");
}

fn rnn() -> Recurrence {
    Cell::rnn()
        .start(Start::Parameter)
        .model("rnn", Loss::SquaredError)
        .unwrap()
}

#[test]
fn definition_and_dump_of_the_rnn() {
    golden("rnn.txt", &format!("{}\n{}", rnn(), rnn().tape()));
}

#[test]
fn gradient_of_the_rnn() {
    golden(
        "rnn_gradient.txt",
        &rnn().gradient(Wrt::Everything).unwrap().to_string(),
    );
}

#[test]
fn definition_of_the_lstm() {
    let lstm = Cell::peephole_lstm()
        .model("peephole lstm", Loss::SoftmaxCrossEntropy)
        .unwrap();
    golden("lstm.txt", &lstm.to_string());
}

#[test]
fn plan_of_the_gradient_of_the_lstm() {
    let lstm = Cell::lstm().model("lstm", Loss::SquaredError).unwrap();
    let gradient = lstm.gradient(Wrt::Parameters).unwrap();
    let sizes = [("H", 128), ("K", 64), ("O", 10)];
    let program = gradient.compile::<f32>(&sizes).unwrap();
    golden("lstm_plan.txt", &program.plan().describe());
}

#[test]
fn parentheses_stand_where_they_are_needed_and_nowhere_else() {
    let r = Recurrence::define("signs", |r| {
        let (a, b, c) = (r.input("a", ()), r.input("b", ()), r.input("c", ()));
        r.output("p", a - (b - c));
        r.output("q", (a - b) - c);
        r.output("s", a * (b + c) / -a);
        r.output("t", (a + b).square() * a.powi(-2));
        r.output("u", a.less(b).select(a, 2.0 * b));
        r.output("v", -(a + b) * c);
    })
    .unwrap();
    let printed = r.to_string();
    let shown: Vec<&str> = printed
        .lines()
        .filter(|l| l.contains(" = "))
        .map(str::trim_start)
        .collect();
    let expected = [
        "p = a - (b - c)",
        "q = a - b - c",
        "s = a * (b + c) / (-a)",
        "t = (a + b)^2 * a^-2",
        "u = select(a < b, a, 2 * b)",
        "v = -(a + b) * c",
    ];
    assert_eq!(shown, expected, "{printed}");
}
