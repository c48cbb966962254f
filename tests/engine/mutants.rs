//! Wrong gradients: the certification must reject each of them.
//!
//! The named tests reproduce bugs of well-known systems; the generated ones apply every applicable fault at
//! every place of a gradient graph. A mutant with the same results as the original counts as equivalent; there
//! must be few of these.

use crate::support::instance;
use bptt::cells::{Cell, Loss, Start};
use bptt::check::Verdict;
use bptt::{Batch, Certificate, Check, Recurrence, Wrt};
use bptt_testing::mistakes::{FAULTS, Fault, mutants};

#[derive(Default)]
struct Tally {
    killed: usize,
    equivalent: usize,
    survivors: Vec<String>,
}

/// Certifies every mutant of the gradient (or of the Hessian-vector product).
fn hunt(recurrence: &Recurrence, second_order: bool) -> Vec<(Fault, Tally)> {
    let sizes = [("H", 3), ("K", 2), ("O", 4)];
    let (params, batch) = instance(recurrence, &sizes, &[4, 4], 5);
    let batch = with_holes(batch);
    let graph = if second_order {
        recurrence.hessian_vector(Wrt::Everything).unwrap()
    } else {
        recurrence.gradient(Wrt::Everything).unwrap()
    };
    let (own_params, own_batch) = instance(&graph, &sizes, &[4, 4], 7);
    let own_batch = with_holes(own_batch);
    let original = graph.evaluate(&own_params, &own_batch).unwrap();
    let mut table = Vec::new();
    for fault in FAULTS {
        let mut tally = Tally::default();
        // Every factor can be every other value: a part of these is enough.
        let stride = if fault == Fault::OtherFactor { 5 } else { 1 };
        for mutant in mutants(&graph, fault).step_by(stride) {
            let place = mutant.place;
            let mutant = mutant.graph;
            let same = mutant.evaluate(&own_params, &own_batch).is_ok_and(|found| {
                original
                    .iter()
                    .filter(|(name, _)| *name != "loss")
                    .all(|(name, a)| {
                        let scale = a.iter().fold(1e-300, |m: f64, x| m.max(x.abs()));
                        (a - &found[name]).iter().all(|d| d.abs() <= 1e-13 * scale)
                    })
            });
            if same {
                tally.equivalent += 1;
                continue;
            }
            let check = Check::new(recurrence).entries(0);
            let check = if second_order {
                check.hessian_vector(&mutant)
            } else {
                check.gradient(&mutant)
            };
            match check.run(&params, &batch) {
                Ok(certificate) if certificate.verdict() != Verdict::Rejected => {
                    tally.survivors.push(format!("{fault:?} at {place}"));
                }
                _ => tally.killed += 1,
            }
        }
        table.push((fault, tally));
    }
    table
}

fn report(name: &str, table: &[(Fault, Tally)]) {
    println!("mutants of {name}");
    println!(
        "  {:18} {:>7} {:>11} {:>10}",
        "fault", "killed", "equivalent", "survived"
    );
    for (fault, tally) in table {
        let fault = format!("{fault:?}");
        println!(
            "  {fault:18} {:>7} {:>11} {:>10}",
            tally.killed,
            tally.equivalent,
            tally.survivors.len()
        );
    }
}

fn all_killed(name: &str, recurrence: &Recurrence, second_order: bool) {
    let table = hunt(recurrence, second_order);
    report(name, &table);
    let survivors: Vec<&String> = table.iter().flat_map(|(_, t)| &t.survivors).collect();
    assert!(survivors.is_empty(), "{name}: not rejected: {survivors:?}");
    let killed: usize = table.iter().map(|(_, t)| t.killed).sum();
    let equivalent: usize = table.iter().map(|(_, t)| t.equivalent).sum();
    assert!(killed >= 20, "{name}: only {killed} mutants were made");
    assert!(
        5 * equivalent <= killed,
        "{name}: {equivalent} mutants equal the original"
    );
}

/// Adds a mask with inactive steps in the middle and at the end, if the batch has one.
fn with_holes(batch: Batch<f64>) -> Batch<f64> {
    if batch.get("active").is_none() {
        return batch;
    }
    let mut active = ndarray::Array2::ones((batch.steps(), batch.samples()));
    active[(1, 0)] = 0.0;
    active[(batch.steps() - 1, 0)] = 0.0;
    active[(2, 1)] = 0.0;
    batch.with("active", active)
}

fn model(cell: Cell) -> Recurrence {
    cell.start(Start::Input)
        .model("mutated", Loss::SquaredError)
        .unwrap()
}

#[test]
fn every_mutant_of_the_tanh_rnn_is_rejected() {
    all_killed("tanh rnn", &model(Cell::rnn()), false);
}

#[test]
fn every_mutant_of_the_lstm_is_rejected() {
    all_killed("lstm", &model(Cell::lstm()), false);
}

#[test]
fn every_mutant_of_the_gru_is_rejected() {
    all_killed("gru", &model(Cell::gru()), false);
}

#[test]
fn every_mutant_of_a_masked_rnn_with_classes_is_rejected() {
    let rnn = Cell::rnn()
        .start(Start::Parameter)
        .model("masked", Loss::SoftmaxCrossEntropy);
    all_killed(
        "masked rnn",
        &rnn.unwrap().with_mask("active").unwrap(),
        false,
    );
}

#[test]
fn every_mutant_of_the_second_order_of_the_rnn_is_rejected() {
    all_killed("Hessian product of the tanh rnn", &model(Cell::rnn()), true);
}

/// The certificate of a wrong gradient of the model.
fn verdict(recurrence: &Recurrence, wrong: &Recurrence) -> Certificate {
    let (params, batch) = instance(recurrence, &[("H", 3), ("K", 2), ("O", 4)], &[5, 4], 11);
    Check::new(recurrence)
        .gradient(wrong)
        .run(&params, &batch)
        .unwrap()
}

/// The graph with a fault at the place with this description.
fn with_fault(graph: &Recurrence, fault: Fault, place: &str) -> Recurrence {
    let mut found = mutants(graph, fault).filter(|mutant| mutant.place == place);
    found.next().expect("the fault applies").graph
}

/// The gradient of the model with one fault in the register that carries δ of this state.
fn with_fault_in(recurrence: &Recurrence, register: &str, fault: Fault) -> Recurrence {
    let gradient = recurrence.gradient(Wrt::Everything).unwrap();
    with_fault(&gradient, fault, &format!("`{register}`"))
}

/// Elixir Axon/Nx: the Jacobians of the steps were multiplied in forward order.
#[test]
fn jacobians_in_the_wrong_time_order_are_rejected() {
    for cell in [Cell::rnn(), Cell::gru(), Cell::lstm()] {
        let model = model(cell);
        let gradient = model.gradient(Wrt::Everything).unwrap();
        let wrong = with_fault(&gradient, Fault::ReverseTime, "all states");
        let found = verdict(&model, &wrong);
        assert_eq!(found.verdict(), Verdict::Rejected, "{found}");
    }
}

/// Flux: backpropagation through time was truncated to a single step.
#[test]
fn truncation_to_one_step_is_rejected() {
    for (cell, register) in [
        (Cell::rnn(), "h.bar"),
        (Cell::gru(), "h.bar"),
        (Cell::lstm(), "c.bar"),
    ] {
        let model = model(cell);
        let found = verdict(&model, &with_fault_in(&model, register, Fault::CutCarry));
        assert_eq!(found.verdict(), Verdict::Rejected, "{found}");
        let named = found
            .findings()
            .iter()
            .find(|f| !f.agrees() && f.name == "h0" || f.name == "c0");
        assert!(
            named.is_some(),
            "the initial state should be among what is wrong: {found}"
        );
    }
}

/// burn: the GRU ignored the previous state, so every step but the first was wrong.
#[test]
fn ignored_previous_state_is_rejected() {
    for cell in [
        Cell::rnn(),
        Cell::gru(),
        Cell::gru_reset_before(),
        Cell::lstm(),
    ] {
        let model = model(cell);
        let found = verdict(&model, &with_fault_in(&model, "h", Fault::CutCarry));
        assert_eq!(found.verdict(), Verdict::Rejected, "{found}");
    }
}

/// onnxscript: a GRU with one reset convention was exported with the other.
#[test]
fn the_other_reset_convention_is_rejected() {
    let after = model(Cell::gru().without_bias());
    let before = model(Cell::gru_reset_before().without_bias());
    let right = after.gradient(Wrt::Everything).unwrap();
    let wrong = before.gradient(Wrt::Everything).unwrap();
    assert!(
        verdict(&after, &right).passed(),
        "the right gradient passes"
    );
    assert!(
        !verdict(&after, &wrong).passed(),
        "the gradient of the other GRU is rejected"
    );
    assert!(
        !verdict(&before, &right).passed(),
        "and the other way round"
    );
}

/// PyTensor: first derivatives of `scan` were right, higher ones wrong.
#[test]
fn wrong_second_derivative_of_a_scan_is_rejected() {
    let model = model(Cell::rnn());
    let right = model.hessian_vector(Wrt::Everything).unwrap();
    let (params, batch) = instance(&model, &[("H", 3), ("K", 2), ("O", 4)], &[5, 4], 13);
    let run = |hessian: &Recurrence| {
        Check::new(&model)
            .hessian_vector(hessian)
            .run(&params, &batch)
            .unwrap()
    };
    assert!(run(&right).passed(), "{}", run(&right));
    let tangents = ["h.dot", "h.bar.dot"];
    for name in tangents {
        let wrong = with_fault(&right, Fault::CutCarry, &format!("`{name}`"));
        let found = run(&wrong);
        assert_eq!(found.verdict(), Verdict::Rejected, "{name}: {found}");
    }
}

/// PyTorch `scan`: wrong gradients for the layers of a stack below the last.
#[test]
fn wrong_gradient_of_a_lower_layer_is_rejected() {
    let stacked = Recurrence::define("stacked", |r| {
        let x = r.input("x", [r.dim("K")]);
        let first = Cell::rnn()
            .suffix("1")
            .start(Start::Input)
            .apply(r, x, r.dim("H"));
        let second = Cell::rnn()
            .suffix("2")
            .start(Start::Input)
            .apply(r, first, r.dim("O"));
        r.loss(second.squared_error(r.input("y", [r.dim("O")])));
    })
    .unwrap();
    let right = stacked.gradient(Wrt::Everything).unwrap();
    assert!(
        verdict(&stacked, &right).passed(),
        "{}",
        verdict(&stacked, &right)
    );
    for fault in [Fault::ReverseTime, Fault::CutCarry] {
        let found = verdict(&stacked, &with_fault_in(&stacked, "h1.bar", fault));
        let wrong: Vec<&str> = found
            .findings()
            .iter()
            .filter(|f| !f.agrees())
            .map(|f| &*f.name)
            .collect();
        assert!(wrong.contains(&"W_H1"), "{found}");
        assert!(
            !wrong.contains(&"W_H2"),
            "the upper layer is right: {found}"
        );
    }
}

/// Keras, MXNet and others: padded steps contributed to the gradient.
#[test]
fn forgotten_mask_is_rejected() {
    let masked = model(Cell::rnn()).with_mask("active").unwrap();
    let (params, batch) = instance(&masked, &[("H", 3), ("K", 2), ("O", 4)], &[5, 5], 17);
    let batch = with_holes(batch);
    let gradient = masked.gradient(Wrt::Everything).unwrap();
    let run = |gradient: &Recurrence| {
        Check::new(&masked)
            .gradient(gradient)
            .run(&params, &batch)
            .unwrap()
    };
    assert!(run(&gradient).passed(), "{}", run(&gradient));
    let mut rejected = 0;
    for mutant in mutants(&gradient, Fault::IgnoreCondition) {
        rejected += usize::from(!run(&mutant.graph).passed());
    }
    assert!(
        rejected >= 3,
        "only {rejected} forgotten masks were rejected"
    );
}
