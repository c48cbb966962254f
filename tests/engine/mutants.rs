//! Wrong gradients: the certification must reject each of them.
//!
//! The named tests reproduce bugs of well-known systems; the generated ones apply every applicable fault at
//! every place of a gradient graph. A mutant with the same results as the original counts as equivalent; there
//! must be few of these.

use crate::support::instance;
use bptt::cells::{Cell, Loss, Start};
use bptt::check::Verdict;
use bptt::{
    Batch, Certificate, Check, Direction, Edit, Expr, NodeId, NodeSite, Op, Rate, Recurrence,
    Register, RegisterEdit, RegisterId, RegisterSite, Wrt,
};

/// A fault at one place of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    DropFirstTerm,
    DropSecondTerm,
    SwapFactors,
    TransposeFactor,
    DropFactor,
    FlipSign,
    /// `h_t` instead of `h_{t−1}`, or the reverse.
    WrongNeighbour,
    ReverseTime,
    TruncateToOneStep,
    ForgetBoundary,
    WrongEnd,
    OnlyLastStep,
    ForgetMask,
    WrongClass,
}

const FAULTS: [Fault; 14] = [
    Fault::DropFirstTerm,
    Fault::DropSecondTerm,
    Fault::SwapFactors,
    Fault::TransposeFactor,
    Fault::DropFactor,
    Fault::FlipSign,
    Fault::WrongNeighbour,
    Fault::ReverseTime,
    Fault::TruncateToOneStep,
    Fault::ForgetBoundary,
    Fault::WrongEnd,
    Fault::OnlyLastStep,
    Fault::ForgetMask,
    Fault::WrongClass,
];

/// The place of a fault: a node or a register of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Node(NodeId),
    Register(usize),
    /// Every register that carries a cotangent.
    Cotangents,
}

struct Mutation {
    fault: Fault,
    place: Place,
    /// For `WrongNeighbour`: the index of an argument that reads a register, and the definition of the
    /// register.
    carried: Option<(usize, NodeId)>,
    applied: bool,
}

impl<'b> Edit<'b> for Mutation {
    fn node(&mut self, site: NodeSite<'_, 'b>) -> Expr<'b> {
        if self.place != Place::Node(site.id) {
            return site.copy();
        }
        let broken = broken(self.fault, &site, self.carried);
        self.applied = broken.is_some();
        broken.unwrap_or(site.copy())
    }

    fn direction(&mut self, id: RegisterId, register: &Register) -> Direction {
        let here = match self.place {
            Place::Cotangents => register.name().ends_with(".bar"),
            place => place == Place::Register(id.index()),
        };
        if here && self.fault == Fault::ReverseTime {
            self.applied = true;
            return register.direction().reversed();
        }
        register.direction()
    }

    fn register(&mut self, site: RegisterSite<'_, 'b>) -> RegisterEdit<'b> {
        let mut edit = RegisterEdit {
            init: site.init,
            def: site.def,
        };
        if self.place == Place::Register(site.id.index()) {
            match self.fault {
                Fault::TruncateToOneStep => edit.def = site.def.full_like(0.0),
                Fault::ForgetBoundary if edit.init.is_some() => edit.init = None,
                _ => return edit,
            }
            self.applied = true;
        }
        edit
    }
}

/// The node with the fault, if it can be applied there.
fn broken<'b>(
    fault: Fault,
    site: &NodeSite<'_, 'b>,
    carried: Option<(usize, NodeId)>,
) -> Option<Expr<'b>> {
    let name = site.node.op().name();
    let args = &site.args;
    let shape = site.copy().shape();
    let fits = |e: Expr<'b>| (e.shape() == shape && e.rate() == site.copy().rate()).then_some(e);
    match (fault, name) {
        (Fault::DropFirstTerm, "add" | "sub") => fits(args[1]),
        (Fault::DropSecondTerm, "add" | "sub") => fits(args[0]),
        (Fault::DropFactor, "mul") => fits(args[1]),
        (Fault::FlipSign, "neg") => fits(args[0]),
        (Fault::FlipSign, "sub") => Some(args[0] + args[1]),
        (Fault::SwapFactors, "outer") => fits(args[1].outer(args[0])),
        (Fault::TransposeFactor, "transpose") => fits(args[0]),
        (Fault::TransposeFactor, "matmul")
            if args[0].shape()?.dims()[0] == args[0].shape()?.dims()[1] =>
        {
            fits(args[0].t().dot(args[1]))
        }
        (Fault::WrongNeighbour, _) => {
            let (position, def) = carried?;
            let mut args = args.clone();
            args[position] = site.earlier(def)?;
            fits(site.with_args(&args))
        }
        (Fault::WrongEnd, "pick") => match site.node.op().notation() {
            bptt::Notation::Call { text, .. } if text == "first" => Some(args[0].last()),
            _ => Some(args[0].first()),
        },
        (Fault::OnlyLastStep, "total") if args[0].rate() == Some(Rate::Step) => {
            Some(args[0].last().total(site.node.ty().rate))
        }
        (Fault::ForgetMask, "select") => fits(args[1]),
        (Fault::WrongClass, "scatter") => Some(site.copy().full_like(1.0) - site.copy()),
        _ => None,
    }
}

fn places(graph: &Recurrence) -> Vec<(Place, Option<(usize, NodeId)>)> {
    let tape = graph.tape();
    let carried = |id: NodeId| match tape.node(id).op() {
        Op::Read(r) => tape.registers()[r.index()].def(),
        _ => None,
    };
    let mut places = Vec::new();
    for (id, node) in tape.nodes() {
        places.push((Place::Node(id), None));
        let reads = node
            .args()
            .iter()
            .enumerate()
            .filter_map(|(i, arg)| Some((i, carried(*arg)?)));
        places.extend(reads.map(|read| (Place::Node(id), Some(read))));
    }
    places.extend((0..tape.registers().len()).map(|i| (Place::Register(i), None)));
    places.push((Place::Cotangents, None));
    places
}

/// The graph with one fault, if it can be applied there.
fn mutate(
    graph: &Recurrence,
    fault: Fault,
    place: Place,
    carried: Option<(usize, NodeId)>,
) -> Option<Recurrence> {
    // Places with a neighbour are for `WrongNeighbour` only.
    if carried.is_some() != (fault == Fault::WrongNeighbour) {
        return None;
    }
    let mut mutation = Mutation {
        fault,
        place,
        carried,
        applied: false,
    };
    // A mutant that is no valid recurrence is already refused by the check of definitions.
    let mutant = graph.edit(&mut mutation).ok()?;
    mutation.applied.then_some(mutant)
}

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
        for (place, carried) in places(&graph) {
            let Some(mutant) = mutate(&graph, fault, place, carried) else {
                continue;
            };
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
                    tally.survivors.push(format!("{fault:?} at {place:?}"));
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

/// The gradient of the model with one fault in the register that carries δ of this state.
fn with_fault_in(recurrence: &Recurrence, register: &str, fault: Fault) -> Recurrence {
    let gradient = recurrence.gradient(Wrt::Everything).unwrap();
    let mut registers = gradient.tape().registers().iter();
    let place = registers
        .position(|r| r.name() == register)
        .expect("the register exists");
    mutate(&gradient, fault, Place::Register(place), None).expect("the fault applies")
}

/// Elixir Axon/Nx: the Jacobians of the steps were multiplied in forward order.
#[test]
fn jacobians_in_the_wrong_time_order_are_rejected() {
    for cell in [Cell::rnn(), Cell::gru(), Cell::lstm()] {
        let model = model(cell);
        let gradient = model.gradient(Wrt::Everything).unwrap();
        let wrong = mutate(&gradient, Fault::ReverseTime, Place::Cotangents, None).unwrap();
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
        let found = verdict(
            &model,
            &with_fault_in(&model, register, Fault::TruncateToOneStep),
        );
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
        let found = verdict(
            &model,
            &with_fault_in(&model, "h", Fault::TruncateToOneStep),
        );
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
        let place = right
            .tape()
            .registers()
            .iter()
            .position(|r| r.name() == name);
        let place = Place::Register(place.expect("the register exists"));
        let wrong = mutate(&right, Fault::TruncateToOneStep, place, None).unwrap();
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
    for fault in [Fault::ReverseTime, Fault::TruncateToOneStep] {
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
    for (place, carried) in places(&gradient) {
        let Some(mutant) = mutate(&gradient, Fault::ForgetMask, place, carried) else {
            continue;
        };
        rejected += usize::from(!run(&mutant).passed());
    }
    assert!(
        rejected >= 3,
        "only {rejected} forgotten masks were rejected"
    );
}
