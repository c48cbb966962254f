//! Unrolls three steps of a recurrent network and shows how reverse mode makes the gradients of its weights,
//! node by node: `cargo run --release --example unrolled`. The gradients are those of the derived recurrence.

use std::fmt::Write;

use bptt::ops::Pointwise;
use bptt::{Batch, NodeId, Op, Params, Recurrence, Tape, Value, Wrt};
use ndarray::array;

/// The terms of a sum, in order.
fn terms(tape: &Tape, node: NodeId) -> Vec<NodeId> {
    match (tape.node(node).op(), tape.node(node).args()) {
        (Op::Pointwise(Pointwise::Add), [a, b]) => [terms(tape, *a), terms(tape, *b)].concat(),
        _ => vec![node],
    }
}

fn report() -> Result<String, Box<dyn std::error::Error>> {
    let rnn = Recurrence::parse(
        "rnn.rec",
        "
        dim H, K, O
        input x[K], y[O]
        param W_X[H,K], W_H[H,H], W_O[O,H]
        state h[H]
        h' = tanh(W_X @ x + W_H @ h)
        o = W_O @ h'
        loss sum((o - y)^2)
        ",
    )?;
    let params = Params::new()
        .with("W_X", array![[1.0], [-0.7]])
        .with("W_H", array![[0.5, -0.3], [0.2, 0.4]])
        .with("W_O", array![[0.6, -0.9]]);
    let batch = Batch::new(3, 1)
        .with("x", array![[[1.0]], [[-0.5]], [[0.25]]])
        .with("y", array![[[0.5]], [[0.0]], [[-0.5]]]);

    let gradient = rnn.unroll_for(&params, &batch)?.gradient(Wrt::Parameters)?;
    let values = gradient.values(&params, &batch)?;
    let derived = rnn.gradient(Wrt::Parameters)?.evaluate(&params, &batch)?;

    // Every node of the loss and of its gradient.
    let mut out = gradient.to_string();
    for name in rnn.parameters() {
        let node = gradient
            .nodes_of(name)
            .ok_or("a parameter has a gradient")?[0];
        let sum = terms(gradient.tape(), node);
        let list: Vec<String> = sum.iter().map(|n| format!("%{}", n.index())).collect();
        writeln!(
            out,
            "\n∂L/∂{name} = %{} = {}",
            node.index(),
            list.join(" + ")
        )?;
        for n in sum.into_iter().chain([node]) {
            let Value::Real(array) = &values[n.index()] else {
                return Err("a gradient is real".into());
            };
            let label = |n: &NodeId| gradient.place(*n).unwrap_or(format!("%{}", n.index()));
            let args = gradient.tape().node(n).args().iter().map(label);
            let op = [gradient.tape().node(n).op().name().into()];
            let made: Vec<String> = op.into_iter().chain(args).collect();
            // The sum with 0 has no negative zero.
            let rows = array
                .rows()
                .into_iter()
                .map(|row| format!("{:+.4}", &row + 0.0));
            let rows: Vec<String> = rows.collect();
            let line = format!("%{} = {}", n.index(), made.join(" "));
            writeln!(out, "  {line:<24} = {}", rows.join(" "))?;
        }
        let Value::Real(found) = &values[node.index()] else {
            return Err("a gradient is real".into());
        };
        let close = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-12;
        assert!(found.iter().zip(&derived[name]).all(close), "∂L/∂{name}");
    }
    Ok(out)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The reader may close the pipe early, as in `| head`.
    let _ = std::io::Write::write_all(&mut std::io::stdout(), report()?.as_bytes());
    Ok(())
}

/// The block of the README is what is printed; `…` stands for lines left out.
#[test]
fn the_readme_shows_what_is_printed() {
    let readme = include_str!("../README.md");
    let (_, rest) = readme
        .split_once("--example unrolled")
        .expect("it is named");
    let (_, rest) = rest.split_once("```text\n").expect("a block follows");
    let (block, _) = rest.split_once("```").expect("the block ends");
    let report = report().expect("it runs");
    let mut rest = &*report;
    for part in block.split("…\n") {
        let (_, after) = rest
            .split_once(part)
            .unwrap_or_else(|| panic!("expected\n{part}in\n{rest}"));
        rest = after;
    }
    assert!(rest.is_empty(), "the block lacks the end: {rest}");
}
