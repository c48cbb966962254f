//! Derivations: every line of every recurrence holds, every step can be replayed, changes are detected, and
//! false statements are not printed.

use crate::support::lines::{all_hold, all_hold_but};
use crate::support::terms::with_part;
use bptt::cells::{Cell, Loss, Start};
use bptt::derive::{
    Base, Check, Derivation, Equation, Fold, Format, Index, Instance, Lang, Level, Line, Part,
    Quantity, Range, Relation, Term, Time, compare,
};
use bptt::render::{Charset, Dialect};
use bptt::{Expr, Recurrence, ScalarFunction};

fn cells() -> Vec<(&'static str, Cell)> {
    vec![
        ("rnn", Cell::rnn()),
        ("relu rnn", Cell::relu_rnn()),
        ("lstm", Cell::lstm()),
        ("peephole lstm", Cell::peephole_lstm()),
        ("gru", Cell::gru()),
        ("gru reset before", Cell::gru_reset_before()),
        ("backward lstm", Cell::lstm().backward()),
    ]
}

#[test]
fn every_line_of_every_cell_holds() {
    let losses = [
        Loss::SquaredError,
        Loss::SoftmaxCrossEntropy,
        Loss::BinaryCrossEntropy,
    ];
    for (i, (name, cell)) in cells().into_iter().enumerate() {
        for start in [Start::Zero, Start::Parameter, Start::Input] {
            let cell = cell.clone().start(start);
            let mut derivation = cell.model(name, losses[i % 3]).unwrap().derive().unwrap();
            all_hold(&mut derivation, 2);
        }
    }
}

#[test]
fn every_line_of_every_example_holds() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/recurrences");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let source = std::fs::read_to_string(&path).unwrap();
        let recurrence = Recurrence::parse(&path.display().to_string(), &source).unwrap();
        // The steps of a differential equation hardly ever contract a state in all directions.
        let unmet: &[&str] = match path.ends_with("neural_ode.rec") {
            true => &["bound.delta.all"],
            false => &[],
        };
        all_hold_but(&mut recurrence.derive().unwrap(), 1, unmet);
        count += 1;
    }
    assert!(count > 10);
}

/// A recurrence with two lags, a weight used twice, an unnamed gate, a final loss and a custom op.
fn odd_one() -> Recurrence {
    let cube: std::sync::Arc<dyn bptt::CustomOp> = std::sync::Arc::new(ScalarFunction {
        name: "cube",
        eval: |x| x * x * x,
        derivative: |x, _| 3.0 * x.square(),
    });
    Recurrence::define("odd", |r| {
        let (hidden, inputs) = (r.dim("H"), r.dim("K"));
        let (v, w) = (
            r.param("V", [hidden, hidden]),
            r.param("W", [hidden, inputs]),
        );
        let leak = r.param("leak", [hidden]).sigmoid();
        let before = r.state_from("h", r.param("h0", [hidden]));
        let earlier = r.delay(before);
        let x = r.input("x", [inputs]);
        let drive = Expr::custom(&cube, [v.dot(before) + v.dot(earlier) + w.dot(x)]);
        let h = r.next(before, leak * before + (1.0 - leak) * drive);
        r.output("h", h);
        r.final_loss(h.squared_error(r.param("goal", [hidden])));
        r.loss(0.1 * before.square().sum());
    })
    .unwrap()
}

#[test]
fn lags_shared_weights_and_ops_of_ones_own_are_derived() {
    let mut derivation = odd_one().derive().unwrap();
    all_hold(&mut derivation, 3);
    let line = derivation.equation("delta.h").unwrap();
    let text = derivation.formula(line).text(Charset::Unicode);
    assert!(text.contains("Vᵀ δᵃₜ₊₁") || text.contains("ₜ₊₂"), "{text}");
    assert!(text.contains("[t < T]"), "{text}");
}

/// Derives and checks random recurrences. Returns the number that is derived, and prints each line that fails.
fn random_recurrences(seed: u8, count: usize) -> usize {
    use proptest::strategy::{Strategy, ValueTree};
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
    let rng = match seed {
        0 => TestRng::deterministic_rng(RngAlgorithm::ChaCha),
        seed => TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]),
    };
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = bptt_testing::random::recurrence();
    let (mut derived, mut lines, mut unchecked, mut failed) = (0, 0, 0, 0);
    for case in 0..count {
        let recurrence = strategy.new_tree(&mut runner).unwrap().current().recurrence;
        // One case, to look at.
        if std::env::var("CASE").is_ok_and(|only| only.parse() != Ok(case)) {
            continue;
        }
        let checked = recurrence.derive().and_then(|mut derivation| {
            let checks = derivation.check(1)?;
            Ok((derivation, checks))
        });
        let (derivation, checks) = match checked {
            Ok(checked) => checked,
            Err(error @ bptt::Error::NotDerivable { .. }) => {
                println!("case {case}: {error}");
                continue;
            }
            Err(error) => panic!("{error}\n{recurrence}"),
        };
        for line in &derivation.equations {
            if let Check::Failed { reason } = &line.check {
                let formula = derivation.formula(line).text(Charset::Unicode);
                println!("case {case}, {}: {formula}: {reason}", line.id);
            }
        }
        if checks.failed > 0 {
            println!("{recurrence}");
        }
        crate::sentences::check(&derivation);
        derived += 1;
        lines += checks.passed;
        unchecked += checks.unchecked;
        failed += checks.failed;
    }
    println!("{derived} of {count} are derived, {lines} lines hold, {unchecked} are not checkable");
    assert_eq!(failed, 0, "false lines");
    assert!(unchecked * 20 < lines, "{unchecked} of {lines}");
    derived
}

#[test]
fn random_recurrences_are_derived() {
    assert!(random_recurrences(0, 60) > 50);
}

#[test]
#[ignore = "takes a minute"]
fn five_hundred_random_recurrences_are_derived() {
    let seed = std::env::var("SEED").map_or(0, |seed| seed.parse().unwrap());
    assert!(random_recurrences(seed, 500) >= 480);
}

#[test]
fn the_lines_of_the_textbook() {
    let rnn = Cell::rnn().start(Start::Parameter);
    let rnn = rnn
        .model("rnn", Loss::SoftmaxCrossEntropy)
        .unwrap()
        .derive()
        .unwrap();
    let aliases = [
        ("og", "o"),
        ("a_og", "a_o"),
        ("o", "z"),
        ("W_O", "V"),
        ("b_q", "b_z"),
    ];
    let lstm = Cell::lstm().model("lstm", Loss::SquaredError).unwrap();
    let lstm = lstm.derive_with(&aliases).unwrap();
    let gru = Cell::gru()
        .model("gru", Loss::SquaredError)
        .unwrap()
        .derive()
        .unwrap();
    let expected = [
        (&rnn, "def.a", "aₜ = W_H hₜ₋₁ + W_X xₜ + bₕ"),
        (
            &rnn,
            "d.a",
            "daₜ = dW_H hₜ₋₁ + W_H dhₜ₋₁ + dW_X xₜ + W_X dxₜ + dbₕ",
        ),
        (&rnn, "d.h", "dhₜ = (𝟏 − hₜ ⊙ hₜ) ⊙ daₜ"),
        (&rnn, "delta.o", "δᵒₜ = softmax(oₜ) − 𝐞_yₜ"),
        (&rnn, "delta.h", "δʰₜ = W_Oᵀ δᵒₜ + W_Hᵀ δᵃₜ₊₁"),
        (&rnn, "delta.a", "δᵃₜ = (𝟏 − hₜ ⊙ hₜ) ⊙ δʰₜ"),
        (&rnn, "grad.W_O", "∂L/∂W_O = ∑[t=1..T] δᵒₜ hₜᵀ"),
        (&rnn, "grad.W_H", "∂L/∂W_H = ∑[t=1..T] δᵃₜ hₜ₋₁ᵀ"),
        (&rnn, "grad.W_X", "∂L/∂W_X = ∑[t=1..T] δᵃₜ xₜᵀ"),
        (&rnn, "grad.b_h", "∂L/∂bₕ = ∑[t=1..T] δᵃₜ"),
        (&rnn, "grad.h0", "∂L/∂h₀ = W_Hᵀ δᵃ₁"),
        (&rnn, "grad.x", "∂L/∂xₜ = W_Xᵀ δᵃₜ"),
        (&rnn, "jac.h.h", "Jₜ = diag(𝟏 − hₜ ⊙ hₜ) W_H"),
        (&rnn, "bridge.recursion", "δʰₜ = W_Oᵀ δᵒₜ + Jₜ₊₁ᵀ δʰₜ₊₁"),
        (&lstm, "def.c", "cₜ = fₜ ⊙ cₜ₋₁ + iₜ ⊙ gₜ"),
        (&lstm, "delta.z", ""),
        (
            &lstm,
            "compact.c",
            "δᶜₜ = (𝟏 − mₜ ⊙ mₜ) ⊙ oₜ ⊙ δʰₜ + fₜ₊₁ ⊙ δᶜₜ₊₁",
        ),
        (&lstm, "delta.f", "δᶠₜ = cₜ₋₁ ⊙ δᶜₜ"),
        (&lstm, "delta.a_f", "δ^{aᶠ}ₜ = fₜ ⊙ (𝟏 − fₜ) ⊙ δᶠₜ"),
        (&lstm, "grad.U_f", "∂L/∂U_f = ∑[t=1..T] δ^{aᶠ}ₜ hₜ₋₁ᵀ"),
        (&lstm, "grad.c.0", "∂L/∂c₀ = f₁ ⊙ δᶜ₁"),
        (&lstm, "jac.c.c", "Jᶜᶜₜ = diag(fₜ)"),
        (&lstm, "total.c", "∂cₜ/∂cₜ₋₁ = Jᶜᶜₜ + Jᶜʰₜ ∂hₜ₋₁/∂cₜ₋₁"),
        (&gru, "delta.z", "δᶻₜ = (hₜ₋₁ − nₜ) ⊙ δʰₜ"),
        (&gru, "grad.U_n", "∂L/∂Uₙ = ∑[t=1..T] δᵘₜ hₜ₋₁ᵀ"),
    ];
    for (derivation, id, text) in expected {
        let Some(equation) = derivation.equation(id) else {
            assert!(text.is_empty(), "there is no {id}");
            continue;
        };
        assert_eq!(
            derivation.formula(equation).text(Charset::Unicode),
            text,
            "{id}"
        );
    }
}

/// Wrong versions of a formula, with one change each.
fn text_mutants(latex: &str) -> Vec<String> {
    let changes = [
        ("+", "-"),
        ("-", "+"),
        (r"^{\top}", ""),
        (r"\odot", "+"),
        ("_{t}", "_{t+1}"),
        ("_{t}", "_{t-1}"),
        ("_{t+1}", "_{t}"),
        ("_{t-1}", "_{t}"),
        ("_{k}", "_{k-1}"),
        ("_{t=1}", "_{t=2}"),
        ("^{T}", "^{T-1}"),
        ("{j=k+1}", "{j=k}"),
        (r"\mathbf{1}-", ""),
        (r"\delta^{h}", r"\delta^{a}"),
        (r"\operatorname{diag}", ""),
    ];
    let mut mutants = Vec::new();
    for (from, to) in changes {
        for (at, _) in latex.match_indices(from) {
            let mut mutant = latex.to_owned();
            mutant.replace_range(at..at + from.len(), to);
            mutants.push(mutant);
        }
    }
    mutants
}

/// Wrong versions of a term: a missing part, a sign, a step, a transpose, another order.
fn tree_mutants(term: &Term) -> Vec<Term> {
    if *term == Term::Zero {
        return Vec::new();
    }
    let mut mutants = vec![Term::Neg(Box::new(term.clone()))];
    match term {
        Term::Add(parts) | Term::Had(parts) | Term::Mul(parts) => {
            for i in 0..parts.len() {
                let mut fewer = parts.clone();
                fewer.remove(i);
                mutants.push(match term {
                    Term::Add(_) => Term::Add(fewer),
                    Term::Had(_) => Term::Had(fewer),
                    _ => Term::Mul(fewer),
                });
            }
        }
        Term::T(x) => mutants.push((**x).clone()),
        Term::Over(fold @ (Fold::Sum | Fold::Prod), index, x) => {
            let (from, to) = (index.from.plus(1), index.to.plus(-1));
            let other = |index| Term::Over(*fold, index, x.clone());
            mutants.push(other(Index {
                from,
                ..index.clone()
            }));
            if *fold == Fold::Sum {
                mutants.push(other(Index {
                    to,
                    ..index.clone()
                }));
            }
        }
        term => match term.symbol() {
            Some((Quantity::Value, names, [at])) if at.base != Base::Zero => {
                mutants.push(Quantity::Value.of(names, [at.plus(-1)]));
            }
            Some((Quantity::Delta, names, [at])) => {
                mutants.push(Quantity::Delta.of(names, [at.plus(1)]));
                mutants.push(Quantity::Delta.of(names, [at.plus(-1)]));
            }
            _ => {}
        },
    }
    // Changes inside a part.
    let parts: Vec<Term> = term.parts().into_iter().cloned().collect();
    for (i, part) in parts.iter().enumerate() {
        // A norm and a square ignore the sign of their argument.
        let blind = usize::from(matches!(
            term,
            Term::Norm(_) | Term::MaxNorm(_) | Term::Pow(_, 2)
        ));
        for changed in tree_mutants(part).into_iter().skip(blind) {
            mutants.push(with_part(term, i, &changed));
        }
    }
    mutants
}

fn killed(equation: &Equation, right: &Term, runs: &[Instance]) -> bool {
    !matches!(
        compare(equation, &equation.left, right, runs),
        Ok(Check::Passed { .. })
    )
}

/// The lines on which a change must be detected: equalities except initial values.
fn mutable(derivation: &Derivation) -> impl Iterator<Item = &Equation> {
    let skip = |e: &&Equation| e.relation == Relation::Equal && !matches!(e.id, Line::Start(..));
    derivation.equations.iter().filter(skip)
}

fn models() -> [Derivation; 3] {
    [Cell::rnn(), Cell::lstm(), Cell::gru()].map(|cell| {
        let model = cell.start(Start::Parameter).model("m", Loss::SquaredError);
        model.unwrap().derive().unwrap()
    })
}

/// Returns true if a change has no effect: the transpose of a diagonal derivative within a step, an extra last
/// step at which the next δ is zero, the sign of every factor inside a norm, or an extra term that is zero.
fn is_the_same(equation: &Equation, mutant: &str, original: &str) -> bool {
    let slope = r"\frac{\partial h_{t}}{\partial c_{t}}";
    let transposed = format!(r"\left({slope}\right)^{{\top}}");
    let diagonal = matches!(equation.id, Line::Shares(_))
        && [slope.to_owned(), format!(r"\left({slope}\right)")]
            .iter()
            .any(|plain| mutant != original && original.replace(&transposed, plain) == mutant);
    let second = original.find(r"+\sum").unwrap_or(original.len());
    let beyond = matches!(equation.id, Line::CarouselCut(_))
        && mutant.get(..second) == original.get(..second)
        && mutant.replace("^{T-1}", "^{T}") == original;
    let sign = matches!(equation.id, Line::CarouselNorm(_))
        && original
            .split_once("^{t}")
            .and_then(|(head, rest)| Some((head, rest.split_once(r"\right\rVert")?)))
            .is_some_and(|(head, (factor, tail))| {
                mutant == format!(r"{head}^{{t}}(-{factor})\right\rVert{tail}")
            });
    // A state does not depend on a later one, so the sum may start earlier.
    let earlier = equation.id == Line::Horner && mutant.replace("t=k-1", "t=k+1") == original;
    diagonal || beyond || sign || earlier
}

#[test]
fn every_change_of_the_printed_text_is_noticed() {
    let (mut count, mut by_parser) = (0, 0);
    for derivation in models() {
        let runs = [derivation.instance(5).unwrap()];
        let lexicon = derivation.lexicon();
        for equation in mutable(&derivation) {
            let latex = derivation.sides(equation).1.latex(Dialect::Plain);
            // A sum that starts where its inner sum is still empty is the same sum, as is one that ends one
            // step beyond the last.
            let same = |m: &String| {
                m.contains(r"=\tau-1")
                    || m.contains(r"^{T+1}\sum_{t=e(k)+1}")
                    || is_the_same(equation, m, &latex)
            };
            for mutant in text_mutants(&latex).into_iter().filter(|m| !same(m)) {
                count += 1;
                match lexicon.parse(&mutant) {
                    Err(_) => by_parser += 1,
                    Ok(right) => {
                        let found = killed(equation, &right, &runs);
                        assert!(found, "{}: {latex}\nsurvives as {mutant}", equation.id);
                    }
                }
            }
        }
    }
    println!("{count} mutants of the text, {by_parser} refused by the grammar, none survived");
    assert!(count > 1000, "{count}");
}

#[test]
fn every_change_of_a_term_is_noticed() {
    let mut count = 0;
    for derivation in models() {
        let runs = [derivation.instance(6).unwrap()];
        for equation in mutable(&derivation) {
            for mutant in tree_mutants(&equation.right) {
                count += 1;
                let show = |t: &Term| derivation.symbols().show(t).latex(Dialect::Plain);
                let latex = show(&mutant);
                if is_the_same(equation, &latex, &show(&equation.right)) {
                    continue;
                }
                let found = killed(equation, &mutant, &runs);
                assert!(found, "{} survives as {latex}", equation.id);
            }
        }
    }
    println!("{count} mutants of terms, none survived");
    assert!(count > 2000, "{count}");
}

/// A claim about an LSTM, as an equation to compare.
fn claim(left: Term, vars: Vec<(char, Time, Time)>) -> Equation {
    Equation {
        id: Line::Letter("claim".into()),
        part: Part::Jacobian,
        left,
        relation: Relation::Equal,
        right: Term::Zero,
        range: Range { vars },
        given: None,
        shape: None,
        rules: Vec::new(),
        premises: Vec::new(),
        steps: Vec::new(),
        level: Level::Sheet,
        check: Check::Pending,
    }
}

#[test]
fn what_is_often_said_and_is_wrong_is_wrong_here() {
    let lstm = Cell::lstm().start(Start::Parameter);
    let lstm = lstm
        .model("lstm", Loss::SquaredError)
        .unwrap()
        .derive()
        .unwrap();
    let runs = [lstm.instance(3).unwrap()];
    let at = |n| Time::at(n);
    let c =
        |to: i64, from: i64| Quantity::Jacobian.of([&"c".into(), &"c".into()], [at(to), at(from)]);

    // The derivative over two steps is not the product of those over one step, which misses the path through
    // the output gate.
    let line = claim(c(4, 2), Vec::new());
    assert!(killed(&line, &Term::Mul(vec![c(4, 3), c(3, 2)]), &runs));
    let one = claim(c(4, 3), Vec::new());
    assert!(!killed(&one, &c(4, 3), &runs));

    // The order of the Jacobians matters.
    let line = claim(Quantity::StateFlow.of([], [at(4), at(2)]), Vec::new());
    let j = |n| Quantity::StateJacobian.of([], [at(n)]);
    assert!(!killed(&line, &Term::Mul(vec![j(4), j(3)]), &runs));
    assert!(killed(&line, &Term::Mul(vec![j(3), j(4)]), &runs));

    // The wrong product is not printed.
    let product = r"\prod_{j=k+1}^{t}\frac{\partial c_{j}}{\partial c_{j-1}}";
    for lang in Lang::ALL {
        let page = lstm.render(Format::Tex, *lang, Level::Full);
        assert!(!page.contains(product));
    }

    // Two matrices of spectral radius 0 have a product of spectral radius 4, so the statement must be about
    // norms.
    let (a, b) = (
        ndarray::array![[0.0, 2.0], [0.0, 0.0]],
        ndarray::array![[0.0, 0.0], [2.0, 0.0]],
    );
    assert_eq!(a.dot(&a).sum() + b.dot(&b).sum(), 0.0);
    assert_eq!(a.dot(&b), ndarray::array![[4.0, 0.0], [0.0, 0.0]]);
}

#[test]
fn names_that_look_alike_are_told_apart() {
    let r = Recurrence::define("clash", |r| {
        let (len, loss) = (r.param("T", ()), r.param("L", ()));
        let (delta, sigma) = (r.param("delta", ()), r.param("sigma", ()));
        let start = r.param("a1", ());
        let a = r.state_from("a", start);
        let a = r.next(
            a,
            (len * a + loss * r.input("x", ()) + delta).sigmoid() * sigma,
        );
        r.loss(a.square());
    })
    .unwrap();
    let mut derivation = r.derive().unwrap();
    all_hold(&mut derivation, 2);
    let text = derivation.render(Format::Text, Lang::En, Level::Sheet);
    assert!(text.contains("∂E/∂T = "), "{text}");
    assert!(text.contains("∂E/∂a1 = "), "{text}");
    assert!(text.contains("sigmoid("), "{text}");
    let mut renamed = r.derive_with(&[("T", "L")]).unwrap();
    all_hold(&mut renamed, 2);
    let twice = r
        .derive_with(&[("T", "X"), ("L", "X")])
        .map(|_| ())
        .unwrap_err()
        .to_string();
    assert!(twice.contains("both be shown as"), "{twice}");
}

#[test]
fn ids_are_unique_and_premises_exist() {
    for (name, cell) in cells() {
        let derivation = cell
            .model(name, Loss::SquaredError)
            .unwrap()
            .derive()
            .unwrap();
        let ids = derivation.equations.iter().map(|e| e.id.to_string());
        let ids: Vec<String> = ids.collect();
        for (i, id) in ids.iter().enumerate() {
            assert!(!ids[..i].contains(id), "{name}: {id} stands twice");
        }
        for equation in &derivation.equations {
            for premise in &equation.premises {
                assert!(
                    ids.contains(&premise.to_string()),
                    "{name}: {} needs {premise}",
                    equation.id
                );
            }
        }
    }
}

#[test]
fn a_derivation_without_a_loss_is_refused() {
    let r = Recurrence::define("no loss", |r| {
        let h = r.state("h", ());
        r.output("h", r.next(h, h.tanh() + r.input("x", ())));
    })
    .unwrap();
    assert!(matches!(
        r.derive().unwrap_err(),
        bptt::Error::NoLoss { .. }
    ));
}

/// Each of them is a line, whether the loss depends on it or not.
#[test]
fn named_outputs_count_as_names() {
    let outputs = |count: usize| {
        let lines = (0..count).map(|i| format!("output e_{i} = a * x + {i}\n"));
        let text = format!(
            "input x\nparam a\nloss a * x\n{}",
            lines.collect::<String>()
        );
        Recurrence::parse("outputs", &text).unwrap().derive()
    };
    assert!(outputs(100).is_ok());
    let found = outputs(1001).map(|_| ()).unwrap_err().to_string();
    assert!(
        found.contains("it has 1003 names and functions, expected at most 1000"),
        "{found}"
    );
}

/// Lines of the general theorem are distinguished from lines that could not be checked, and name the lines that
/// state them for this recurrence.
#[test]
fn general_lines_have_a_state_of_their_own() {
    for cell in [Cell::rnn(), Cell::lstm(), Cell::lstm().backward()] {
        let model = cell.model("m", Loss::SquaredError).unwrap();
        let derivation = model.derive().unwrap();
        let page = derivation.render(Format::Json, Lang::En, Level::Full);
        let json: serde_json::Value = serde_json::from_str(&page).unwrap();
        let lines = json["theorem"].as_array().unwrap();
        let mut named = 0;
        for line in lines {
            assert_eq!(line["state"], "general");
            assert!(line["latex"].as_str().is_some_and(|l| !l.is_empty()));
            for id in line["instances"].as_array().unwrap() {
                let id = id.as_str().unwrap();
                assert!(derivation.equation(id).is_some(), "there is no {id}");
                named += 1;
            }
        }
        assert!(lines.len() == 6 && named > 7, "{named}");
    }
}
