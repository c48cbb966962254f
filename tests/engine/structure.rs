//! Counts of plans: the number of matrix products in a step, products moved out of loops, and values kept
//! between passes.

use bptt::cells::{Cell, Loss};
use bptt::{Counts, Definition, Dim, Direction, Expr, Plan, Recurrence, Wrt};

const K: usize = 24;
const H: usize = 40;

/// A network on an input `x` of size `K`, with the loss `Σ w ⊙ h` of its state.
fn network(
    name: &str,
    write: impl for<'d> Fn(&'d Definition, Expr<'d>, Dim) -> Expr<'d>,
) -> Recurrence {
    Recurrence::define(name, |r| {
        let (inputs, hidden) = (r.dim("K"), r.dim("H"));
        let h = write(r, r.input("x", [inputs]), hidden);
        r.loss(h.inner(r.input("w", [hidden])));
    })
    .unwrap()
}

fn cell(cell: Cell) -> Recurrence {
    network("cell", |r, x, hidden| cell.apply(r, x, hidden))
}

fn plan(recurrence: &Recurrence) -> Plan {
    let program = recurrence.compile::<f32>(&[("K", K), ("H", H)]).unwrap();
    program.plan().clone()
}

fn counts(recurrence: &Recurrence) -> Counts {
    plan(recurrence).counts()
}

fn gradient(recurrence: &Recurrence) -> Counts {
    counts(&recurrence.gradient(Wrt::Parameters).unwrap())
}

/// The direction of each loop, and the number of matrix products in a step of it.
fn loops(counts: &Counts) -> Vec<(Direction, usize)> {
    let loops = counts.loops.iter();
    loops
        .map(|(direction, step)| (*direction, step.products))
        .collect()
}

use Direction::{Backward, Forward};

#[test]
fn one_product_a_step_forward_and_one_backward() {
    // The number of stacked gates of each cell.
    for (name, of, gates) in [
        ("rnn", Cell::rnn(), 1),
        ("relu rnn", Cell::relu_rnn(), 1),
        ("lstm", Cell::lstm(), 4),
        ("peephole lstm", Cell::peephole_lstm(), 4),
        ("gru", Cell::gru(), 3),
    ] {
        let found = gradient(&cell(of));
        assert_eq!(loops(&found), [(Forward, 1), (Backward, 1)], "{name}");
        // The input projection, and one sum of outer products each for W and U.
        let outside = found.outside;
        assert_eq!((outside.products, outside.outer_products), (1, 2), "{name}");
        // Each product of the forward pass has two adjoints, but the one for x is not needed.
        let flops = 3 * 2 * gates * H * H + 2 * 2 * gates * H * K;
        assert_eq!(found.product_flops(1, 1), flops, "{name}");
        assert_eq!(found.product_flops(100, 8), 800 * flops, "{name}");
    }
}

#[test]
fn a_reset_before_the_product_makes_it_two() {
    let found = gradient(&cell(Cell::gru_reset_before()));
    assert_eq!(loops(&found), [(Forward, 2), (Backward, 2)]);
    // U_n is multiplied by another vector than U_r and U_z.
    assert_eq!(
        (found.outside.products, found.outside.outer_products),
        (1, 3)
    );
    assert_eq!(found.product_flops(1, 1), 3 * 6 * H * H + 2 * 6 * H * K);
}

#[test]
fn layers_are_loop_product_loop() {
    let stacked = network("stacked", |r, x, hidden| {
        let first = Cell::lstm().apply(r, x, hidden);
        Cell::lstm().suffix("_2").apply(r, first, hidden)
    });
    let model = counts(&stacked);
    assert_eq!(loops(&model), [(Forward, 1), (Forward, 1)]);
    assert_eq!(model.outside.products, 2);
    let found = gradient(&stacked);
    let expected = [(Forward, 1), (Forward, 1), (Backward, 1), (Backward, 1)];
    assert_eq!(loops(&found), expected);
    // Two input projections and the adjoint of the second.
    assert_eq!(
        (found.outside.products, found.outside.outer_products),
        (3, 4)
    );
}

#[test]
fn directions_have_loops_of_their_own() {
    let both = network("bidirectional", |r, x, hidden| {
        let forward = Cell::lstm().suffix("_fw").apply(r, x, hidden);
        let backward = Cell::lstm().suffix("_bw").backward().apply(r, x, hidden);
        forward + backward
    });
    let found = gradient(&both);
    // Independent loops in one direction may be merged.
    let products = |d: Direction| {
        let of = found.loops.iter().filter(|(direction, _)| *direction == d);
        of.map(|(_, step)| step.products).sum::<usize>()
    };
    assert_eq!((products(Forward), products(Backward)), (2, 2));
    assert_eq!(
        gradient(&both).product_flops(1, 1),
        2 * gradient(&cell(Cell::lstm())).product_flops(1, 1)
    );
}

#[test]
fn frozen_parameters_cost_nothing() {
    let lstm = cell(Cell::lstm());
    let only = |names: &[&str]| counts(&lstm.gradient(Wrt::Names(names)).unwrap());
    // Biases need the backward loop, but no sum of outer products.
    let biases = only(&["b_i", "b_f", "b_o", "b_g"]);
    assert_eq!(loops(&biases), [(Forward, 1), (Backward, 1)]);
    assert_eq!(biases.outside.outer_products, 0);
    assert_eq!(biases.product_flops(1, 1), 2 * 8 * H * H + 8 * H * K);
    // One of four gates.
    let output_gate = only(&["U_o"]);
    assert_eq!(
        output_gate.product_flops(1, 1),
        2 * 8 * H * H + 2 * H * H + 8 * H * K
    );
    // The loss is linear in w, whose gradient is h: there is no backward loop.
    let weights = only(&["w"]);
    assert_eq!(loops(&weights), [(Forward, 1)]);
}

fn separate<'d>(r: &'d Definition, x: Expr<'d>, hidden: Dim) -> Expr<'d> {
    let (h, c) = (r.state("h", [hidden]), r.state("c", [hidden]));
    let gate = |q: &str| {
        let w = r.param(&format!("W{q}"), [hidden, r.dim("K")]);
        let u = r.param(&format!("U{q}"), [hidden, hidden]);
        w.dot(x) + u.dot(h) + r.param(&format!("b{q}"), [hidden])
    };
    let (i, f, o) = (
        gate("i").sigmoid(),
        gate("f").sigmoid(),
        gate("o").sigmoid(),
    );
    let c = r.next(c, f * c + i * gate("g").tanh());
    r.next(h, o * c.tanh())
}

fn stacked<'d>(r: &'d Definition, x: Expr<'d>, hidden: Dim) -> Expr<'d> {
    let (h, c) = (r.state("h", [hidden]), r.state("c", [hidden]));
    let rows = hidden * 4;
    let w = r.param("W", [rows, r.dim("K")]);
    let u = r.param("U", [rows, hidden]);
    let all = w.dot(x) + u.dot(h) + r.param("b", [rows]);
    let gate = |n: usize| all.slice(hidden * n, hidden);
    let c = r.next(
        c,
        gate(1).sigmoid() * c + gate(0).sigmoid() * gate(2).tanh(),
    );
    r.next(h, gate(3).sigmoid() * c.tanh())
}

#[test]
fn an_lstm_written_by_a_user_is_planned_like_the_built_in_one() {
    let built_in = gradient(&cell(Cell::lstm()));
    assert_eq!(gradient(&network("separate", separate)), built_in);
    let found = gradient(&network("stacked", stacked));
    assert_eq!(found.loops, built_in.loops);
    assert_eq!(found.saved, built_in.saved);
    assert_eq!(found.product_flops(1, 1), built_in.product_flops(1, 1));
    let shape = |c: &Counts| (c.outside.products, c.outside.outer_products);
    assert_eq!(shape(&found), shape(&built_in));
}

#[test]
fn what_can_be_computed_from_kept_values_is_not_kept() {
    // i, f, g, o, c and h are kept; tanh(c) is recomputed from c.
    assert_eq!(gradient(&cell(Cell::lstm())).saved, 6 * H);
    assert_eq!(gradient(&cell(Cell::rnn())).saved, H);
    // From 128 entries on, h is not kept but recomputed from o and c; the loss of a step is kept.
    let lstm = cell(Cell::lstm()).gradient(Wrt::Parameters).unwrap();
    let large = lstm.compile::<f32>(&[("K", K), ("H", 128)]).unwrap();
    assert_eq!(large.plan().counts().saved, 5 * 128 + 1);
}

#[test]
fn the_plan_of_a_tall_stack_is_made_of_its_layers() {
    let layers = 12;
    let tall = network("tall", |r, x, hidden| {
        (0..layers).fold(x, |x, n| {
            Cell::rnn().suffix(&format!("_{n}")).apply(r, x, hidden)
        })
    });
    assert_eq!(loops(&counts(&tall)), vec![(Forward, 1); layers]);
}

/// Products in which zero wins are only for factors that can be infinite; the classical cells have none.
#[test]
fn bounded_cells_have_ordinary_products_only() {
    let strong = |r: &Recurrence| {
        let mut nodes = r.tape().nodes();
        nodes.any(|(_, n)| n.op().name() == "strong_mul")
    };
    for loss in [
        Loss::SquaredError,
        Loss::SoftmaxCrossEntropy,
        Loss::BinaryCrossEntropy,
    ] {
        for of in [
            Cell::rnn(),
            Cell::relu_rnn(),
            Cell::lstm(),
            Cell::peephole_lstm(),
            Cell::gru(),
            Cell::gru_reset_before(),
        ] {
            let r = of.model("cell", loss).unwrap();
            assert!(!strong(&r.gradient(Wrt::Parameters).unwrap()), "{r}");
            assert!(!strong(&r.tangent(Wrt::Parameters).unwrap()), "{r}");
            assert!(!strong(&r.hessian_vector(Wrt::Parameters).unwrap()), "{r}");
        }
    }
    // A size is not zero, so a mean is as ordinary as a sum.
    let mean = "dim H, K\nparam W[H, K]\ninput x[K]\na = W @ x\n\
                loss sum((W.T @ (a - mean(a)))^2) + sum(mean(W, rows)^3) + mean(W)^2 / H\n";
    let mean = Recurrence::parse("mean", mean).unwrap();
    assert!(!strong(&mean.gradient(Wrt::Parameters).unwrap()));
    let garch = Recurrence::parse(
        "garch",
        "param a\ninput x\nstate s\ns' = a + s\nloss ln(s')^2\n",
    );
    assert!(strong(&garch.unwrap().gradient(Wrt::Parameters).unwrap()));
}

/// Resets add selects to the reads of a step, but no loops, products or passes.
#[test]
fn resets_cost_a_choice() {
    for of in [Cell::rnn(), Cell::lstm(), Cell::gru()] {
        let plain = cell(of);
        let (plain, packed) = (
            gradient(&plain),
            gradient(&plain.with_resets("begins").unwrap()),
        );
        assert_eq!(loops(&packed), loops(&plain));
        assert_eq!(packed.product_flops(1, 1), plain.product_flops(1, 1));
        // With resets, the value read by a step is not the one left by the previous step, so one more may be
        // kept.
        assert!(packed.saved <= plain.saved + H);
    }
    // A final loss adds a select as well: no loop carries the end of the sequence.
    let last = Recurrence::define("last", |r| {
        let (inputs, hidden) = (r.dim("K"), r.dim("H"));
        let h = Cell::rnn().apply(r, r.input("x", [inputs]), hidden);
        r.final_loss(h.inner(r.input("w", [hidden])));
    })
    .unwrap();
    let found = gradient(&last.with_resets("begins").unwrap());
    assert_eq!(loops(&found).iter().filter(|l| l.1 > 0).count(), 2);
}

#[test]
fn equal_matrices_are_packed_once() {
    let model = cell(Cell::lstm());
    for derived in [
        model.tangent(Wrt::Parameters).unwrap(),
        model.hessian_vector(Wrt::Parameters).unwrap(),
    ] {
        let text = plan(&derived).describe();
        let lines = text.lines().map(str::trim);
        let packs: Vec<&str> = lines.filter(|l| l.starts_with("pack ")).collect();
        let mut different = packs.clone();
        different.sort_unstable();
        different.dedup();
        assert_eq!(packs.len(), different.len(), "{text}");
        let products = counts(&derived).loops;
        let products: usize = products.iter().map(|(_, step)| step.products).sum();
        // A product with the state matrices in each loop: forward for h and ḣ, backward for δ and δ̇.
        let with_state = packs
            .iter()
            .filter(|p| p.contains("U_i") && !p.contains("dot"));
        assert_eq!(2 * with_state.count(), products, "{text}");
    }
}
