//! The verifier accepts the plans that the planner makes, and refuses them with one fault anywhere.

use super::{Directions, Instruction, Operand, Plan};
use crate::recurrence::{Recurrence, Wrt};
use crate::shape::Rate;

const SOURCES: [&str; 4] = [
    "dim H, K\ninput x[K], y: class(H)\nparam W[H,H], U[H,K], b[H], E[K,H]\nstate h[H] = b\nstate c[H]\n\
     c' = sigmoid(W @ h + b) * c + tanh(U @ x)\nh' = c' * tanh(c') + W.T @ h\n\
     loss softmax_cross_entropy(h' + E.T @ x, y)\nfinal loss sum(h'^2)\n",
    "dim H, K\ninput x[K], y: class(K)\nparam A[H,K], v[H]\nstate S[H,K]\nstate s\n\
     S' = outer(v, x) * 0.1 + A * tanh(S)\ns' = s + dot(v, S' @ x) + sum(gather_column(A, y))\n\
     loss logsumexp(S' @ x)\nfinal loss s'^2\noutput f = first(s')\n",
    "dim H\ninput x[H]\nparam w[H], V[H,H]\nstate a[H]\nbackward state b[H]\n\
     a' = tanh(w * a + x)\nb' = tanh(V @ b + a')\nloss sum(concat(a', b)^2) + sum(delay(a') * b')\n",
    "dim N, P\ninput x[N]\nparam A[N,N], B[N,P]\nstate V[N,N] = eye(N)\nV' = A @ V @ A.T + eye(N)\n\
     y = cholesky(V') @ x + solve(V', A) @ x\nW = cumsum(B + outer(x, x @ B), columns)\n\
     loss logdet(V') + trace(inverse(V')) + sum(softmax(W, columns)^2) + largest(cumsum(y)) * smallest(x)\n",
];

fn each(mut test: impl FnMut(&Plan, &dyn Fn(&Plan) -> bool)) {
    for source in SOURCES {
        let recurrence = Recurrence::parse("verified.rec", source).expect("it is well formed");
        let gradient = recurrence.gradient(Wrt::Everything).expect("it has a loss");
        let hessian = recurrence
            .hessian_vector(Wrt::Everything)
            .expect("it has a loss");
        let tangent = recurrence.tangent(Wrt::Everything).expect("it is real");
        for r in [&recurrence, &gradient, &hessian, &tangent] {
            let sizes: Vec<usize> = (3..).take(r.tape().dims().count()).collect();
            let leaves = r.tape().leaves().iter();
            let several = Directions {
                leaves: leaves.map(|l| l.derived().is_some()).collect(),
                outputs: Vec::new(),
            };
            for several in [Directions::default(), several] {
                let plan = Plan::of(r, &sizes, &several);
                let fault = plan.verify(r, &sizes, &several);
                assert_eq!(fault, Ok(()), "{}", plan.describe());
                test(&plan, &|broken| broken.verify(r, &sizes, &several).is_err());
            }
        }
    }
}

/// The plan after a change of one of its instructions, by its position.
fn changed(plan: &Plan, at: usize, change: impl FnOnce(&mut Plan, &mut Instruction)) -> Plan {
    let mut broken = plan.clone();
    let mut instruction = plan.instructions().nth(at).expect("it is there").clone();
    change(&mut broken, &mut instruction);
    let stages = broken.passes.iter_mut().flat_map(|p| &mut p.stages);
    let in_time = stages.flat_map(|s| s.body.iter_mut().map(|w| &mut w.instruction));
    let mut all = broken.once.iter_mut().flatten().chain(in_time);
    *all.nth(at).expect("it is there") = instruction;
    broken
}

/// All operands of an instruction.
fn operands<'a>(plan: &'a mut Plan, instruction: &'a mut Instruction) -> Vec<&'a mut Operand> {
    match instruction {
        Instruction::Program(index) => {
            let program = &mut plan.programs[*index];
            let inputs = program.inputs.iter_mut().map(|i| &mut i.operand);
            inputs.chain(&mut program.outputs).collect()
        }
        Instruction::Pack(index) => {
            let parts = plan.packs[*index].parts.iter_mut();
            parts.map(|p| &mut p.matrix).collect()
        }
        Instruction::Gemm {
            out,
            start,
            segments,
            ..
        } => segments.iter_mut().chain(start).chain([out]).collect(),
        Instruction::OuterTotal { out, a, b, .. } => vec![out, a, b],
        Instruction::Total { out, from, .. }
        | Instruction::Pool { out, from }
        | Instruction::Pick { out, from, .. }
        | Instruction::Impulse { out, from, .. }
        | Instruction::Reduce { out, from, .. } => vec![out, from],
        Instruction::MoveTotal {
            out, from, class, ..
        } => [out, from].into_iter().chain(class).collect(),
        Instruction::Move { out, moves, class } => {
            let from = moves.iter_mut().map(|(_, from)| from);
            from.chain(class).chain([out]).collect()
        }
        Instruction::Contract { out, a, b, .. } => [out, a].into_iter().chain(b).collect(),
        Instruction::Dense { out, args, .. } => {
            args.iter_mut().map(|(a, _)| a).chain([out]).collect()
        }
        Instruction::Custom { out, args, .. } => {
            args.iter_mut().map(|(a, _)| a).chain([out]).collect()
        }
    }
}

/// Returns true if an instruction adds to a value that another may have begun.
fn adds(instruction: &Instruction) -> bool {
    let in_place =
        matches!(instruction, Instruction::Gemm { out, start: Some(start), .. } if start == out);
    in_place || instruction.accumulates().is_some()
}

#[test]
fn an_operand_outside_of_its_buffer_is_refused() {
    type Change = fn(&mut Operand, usize);
    let changes: [(&str, Change); 6] = [
        ("another buffer", |o, _| o.buffer = usize::MAX),
        ("a start behind the row", |o, width| o.start = width),
        ("a length beyond the row", |o, width| o.len = width + 1),
        ("a length that overflows", |o, _| {
            (o.start, o.len) = (usize::MAX, 2);
        }),
        ("another rate", |o, _| {
            o.rate = match o.rate {
                Rate::Step => Rate::Sample,
                _ => Rate::Step,
            };
        }),
        ("two steps away", |o, _| o.shift = 2),
    ];
    let mut tried = 0;
    each(|plan, is_refused| {
        for at in 0..plan.instructions().count() {
            let count = changed(plan, at, |_, _| ()).instructions().nth(at).cloned();
            let count = operands(&mut plan.clone(), &mut count.expect("it is there")).len();
            for operand in 0..count {
                for (name, change) in changes {
                    let broken = changed(plan, at, |broken, instruction| {
                        let widths: Vec<usize> = broken.buffers.iter().map(|b| b.width).collect();
                        let operand = operands(broken, instruction).swap_remove(operand);
                        change(operand, widths[operand.buffer]);
                    });
                    assert!(is_refused(&broken), "{name}, operand {operand} of {at}");
                    tried += 1;
                }
            }
        }
    });
    assert!(tried > 5000, "only {tried} changes");
}

#[test]
fn a_function_of_an_array_of_another_size_is_refused() {
    let mut tried = 0;
    each(|plan, is_refused| {
        for (at, instruction) in plan.instructions().enumerate() {
            let Instruction::Dense { args, .. } = instruction else {
                continue;
            };
            for (arg, axis) in (0..args.len()).flat_map(|arg| [(arg, 0), (arg, 1)]) {
                let broken = changed(plan, at, |_, instruction| {
                    if let Instruction::Dense { args, .. } = instruction {
                        args[arg].1[axis] += 1;
                    }
                });
                assert!(is_refused(&broken), "argument {arg} of {instruction:?}");
                tried += 1;
            }
            let broken = changed(plan, at, |_, instruction| {
                if let Instruction::Dense { args, .. } = instruction {
                    args.pop();
                }
            });
            assert!(is_refused(&broken), "an argument less: {instruction:?}");
        }
    });
    assert!(tried > 50, "only {tried} changes");
}

#[test]
fn a_missing_instruction_is_noticed() {
    let mut tried = 0;
    each(|plan, is_refused| {
        for pass in 0..plan.passes.len() {
            for stage in 0..plan.passes[pass].stages.len() {
                for work in 0..plan.passes[pass].stages[stage].body.len() {
                    let mut broken = plan.clone();
                    let gone = broken.passes[pass].stages[stage].body.remove(work);
                    // One of several terms of a sum is not missed.
                    if !adds(&gone.instruction) {
                        assert!(
                            is_refused(&broken),
                            "{:?}\n{}",
                            gone.instruction,
                            plan.describe()
                        );
                        tried += 1;
                    }
                }
            }
        }
        for carry in 0..plan.carries.len() {
            let mut broken = plan.clone();
            broken.carries.remove(carry);
            assert!(is_refused(&broken), "carry {carry}");
        }
        let is_pack = |i: &Instruction| matches!(i, Instruction::Pack(_));
        for once in 0..plan.once.len() {
            let mut broken = plan.clone();
            let before = broken.once[once].len();
            broken.once[once].retain(|i| !is_pack(i));
            assert!(
                broken.once[once].len() == before || is_refused(&broken),
                "packs"
            );
        }
        tried += plan.carries.len();
    });
    assert!(tried > 100, "only {tried} changes");
}

#[test]
fn a_value_that_is_read_too_early_or_computed_twice_is_refused() {
    let mut tried = 0;
    each(|plan, is_refused| {
        for pass in 0..plan.passes.len() {
            let mut broken = plan.clone();
            broken.passes[pass].forward ^= true;
            let looks_aside = broken.passes[pass].stages.iter().any(|s| s.is_loop);
            assert!(
                !looks_aside || is_refused(&broken),
                "pass {pass} runs backwards"
            );
            for stage in 0..plan.passes[pass].stages.len() {
                let body = &plan.passes[pass].stages[stage].body;
                for work in body {
                    if adds(&work.instruction) {
                        continue;
                    }
                    let mut broken = plan.clone();
                    broken.passes[pass].stages[stage].body.push(work.clone());
                    assert!(is_refused(&broken), "{:?}", work.instruction);
                    tried += 1;
                }
            }
        }
        for program in 0..plan.programs.len() {
            let mut broken = plan.clone();
            broken.programs[program].ops.reverse();
            let is_ordered = plan.programs[program].registers > 0;
            assert!(!is_ordered || is_refused(&broken), "program {program}");
            let mut broken = plan.clone();
            broken.programs[program].ops[0].to = u16::MAX;
            assert!(is_refused(&broken), "program {program}");
        }
    });
    assert!(tried > 100, "only {tried} changes");
}

#[test]
fn a_value_with_another_number_of_directions_is_refused() {
    let mut tried = 0;
    each(|plan, is_refused| {
        for (buffer, spec) in plan.buffers.iter().enumerate() {
            if spec.laned {
                let mut broken = plan.clone();
                broken.buffers[buffer].laned = false;
                assert!(is_refused(&broken), "buffer {buffer}: {}", plan.describe());
                tried += 1;
            }
        }
        for pack in 0..plan.packs.len() {
            let mut broken = plan.clone();
            broken.packs[pack].laned ^= true;
            assert!(is_refused(&broken), "pack {pack}");
        }
        for pass in 0..plan.passes.len() {
            for stage in 0..plan.passes[pass].stages.len() {
                let mut broken = plan.clone();
                broken.passes[pass].stages[stage].laned ^= true;
                assert!(is_refused(&broken), "stage {stage} of pass {pass}");
            }
        }
        for output in 0..plan.outputs.len() {
            let mut broken = plan.clone();
            let output = &mut broken.outputs[output];
            output.laned = false;
            let several = plan.buffers[output.operand.buffer].laned;
            assert!(!several || is_refused(&broken), "an output");
        }
    });
    assert!(tried > 50, "only {tried} changes");
}
