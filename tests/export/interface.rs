//! The interface of exported functions: codes, memory, names, precision, refusals.

use std::process::Command;
use std::sync::Arc;

use bptt::export::{Function, Language};
use bptt::{Batch, CustomOp, Error, Expr, Params, Recurrence, ScalarFunction, Wrt};
use ndarray::{Array2, array};

use super::compiler::{Built, Folder, STRICT, assert_close, compilers, outputs_of, run, succeed};
use super::support::library::{SIZES, data_of, folder, library, named, parse};

const CLASSES: &str = "dim H\nparam W[H, H]\ninput x[H]\ninput c: class(H)\nstate h[H]\n\
                       h' = tanh(W @ h + x)\nloss gather(h', c)\noutput h'\n";

fn data(x: f64, class: usize) -> (Params<f64>, Batch<f64>) {
    let mut inputs = ndarray::Array3::from_elem((3, 1, 2), 0.5);
    inputs[[1, 0, 1]] = x;
    let params = Params::new().with("W", array![[0.1, 0.2], [0.3, 0.4]]);
    let batch = Batch::new(3, 1)
        .with("x", inputs)
        .with_classes("c", array![[0], [class], [1]]);
    (params, batch)
}

fn code(built: &Built) -> i32 {
    built.command(&[]).output().unwrap().status.code().unwrap()
}

#[test]
fn wrong_numbers_have_codes() {
    let Some(compiler) = compilers().first().copied() else {
        return;
    };
    let r = Recurrence::parse("classes.rec", CLASSES).unwrap();
    let program = r.compile::<f64>(&[("H", 2)]).unwrap();
    let run = |(params, batch): (Params<f64>, Batch<f64>), title: &str| {
        code(&Built::new(
            (&program, "run", &["-O1"]),
            (&params, &batch),
            compiler,
            title,
        ))
    };
    assert_eq!(run(data(0.1, 1), "good"), 0);
    assert_eq!(run(data(f64::NAN, 1), "nan"), 3);
    assert_eq!(run(data(0.1, 2), "class"), 3);
    let (_, batch) = data(0.1, 1);
    let infinite = Params::new().with("W", array![[f64::INFINITY, 0.2], [0.3, 0.4]]);
    assert_eq!(run((infinite, batch), "param"), 2);
    let growing =
        Recurrence::parse("g.rec", "input x\nstate s = 1\ns' = exp(s) * x\nloss s'\n").unwrap();
    let program = growing.compile::<f64>(&[]).unwrap();
    let batch = |steps| Batch::new(steps, 1).with("x", Array2::from_elem((steps, 1), 1.0));
    let run = |steps, title| {
        let built = Built::new(
            (&program, "run", &["-O1"]),
            (&Params::new(), &batch(steps)),
            compiler,
            title,
        );
        code(&built)
    };
    assert_eq!(run(2, "finite"), 0);
    assert_eq!(run(9, "overflow"), 4);
    let mut built = Built::new(
        (&program, "run", &["-O1"]),
        (&Params::new(), &batch(1)),
        compiler,
        "none",
    );
    built.set_steps(0);
    assert_eq!(code(&built), 1);
}

#[test]
fn inactive_steps_may_hold_anything() {
    let r = Recurrence::parse("classes.rec", CLASSES).unwrap();
    let masked = r
        .gradient(Wrt::Parameters)
        .unwrap()
        .with_mask("active")
        .unwrap();
    let program = masked.compile::<f64>(&[("H", 2)]).unwrap();
    let (params, batch) = data(f64::NAN, 77);
    let batch = batch.with("active", array![[1.0], [0.0], [1.0]]);
    let expected = outputs_of(&program, &program.evaluate(&params, &batch).unwrap());
    for compiler in compilers() {
        let found = run(
            (&program, "gradient", &["-O1"]),
            (&params, &batch),
            compiler,
            "masked",
        );
        assert_close(&found, &expected, 1e-13, "masked");
    }
}

#[test]
fn resets_are_inputs() {
    let r = named("lstm")
        .gradient(Wrt::Parameters)
        .unwrap()
        .with_resets("start")
        .unwrap();
    let sizes = [("H", 3), ("K", 2), ("O", 4)];
    let program = r.compile::<f64>(&sizes).unwrap();
    let (params, batch) = data_of("lstm", &r, &[5], 3);
    let batch = batch.with("start", array![[0.0], [0.0], [1.0], [0.0], [1.0]]);
    let expected = outputs_of(&program, &program.evaluate(&params, &batch).unwrap());
    for compiler in compilers() {
        let found = run(
            (&program, "gradient", &["-O2"]),
            (&params, &batch),
            compiler,
            "resets",
        );
        assert_close(&found, &expected, 1e-13, "resets");
    }
}

#[test]
fn single_precision_agrees_with_the_engine() {
    for (name, source) in library() {
        let r = parse(&name, &source);
        if !r.outputs().any(|o| o == "loss") {
            continue;
        }
        let r = r.gradient(Wrt::Parameters).unwrap();
        let (params, batch) = data_of(&name, &r, &[5], 7);
        let program = r.compile_for::<f64>(&params, &batch).unwrap();
        let expected = outputs_of(&program, &program.evaluate(&params, &batch).unwrap());
        let (params, batch) = (params.cast::<f32>(), batch.cast::<f32>());
        let program = r.compile_for::<f32>(&params, &batch).unwrap();
        for compiler in compilers() {
            let title = format!("{name}-f32");
            let found = run(
                (&program, "gradient", &["-O1"]),
                (&params, &batch),
                compiler,
                &title,
            );
            assert_close(&found, &expected, 1e-4, &title);
        }
    }
}

/// The recurrences whose code has all kinds of instructions, on data that they accept.
fn examples() -> Vec<(String, Recurrence)> {
    let source = std::fs::read_to_string(folder("tests/golden/every_op.rec")).unwrap();
    let every_op = parse("every_op", &source);
    let of = |name: &str| {
        (
            name.to_owned(),
            named(name).gradient(Wrt::Parameters).unwrap(),
        )
    };
    vec![
        ("every_op".into(), every_op.clone()),
        (
            "every_op_gradient".into(),
            every_op.gradient(Wrt::Everything).unwrap(),
        ),
        of("lstm"),
        of("gru_reset_after"),
        of("lstm_bidirectional"),
        of("garch11"),
        of("attention"),
    ]
}

/// Code that reads or writes beside an array, or uses what it has not written, fails here.
#[test]
fn sanitizers_find_nothing() {
    const OPTIONS: &[&str] = &[
        "-O1",
        "-g",
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=all",
    ];
    for compiler in compilers() {
        for (name, r) in examples() {
            let (params, batch) = data_of(&name, &r, &[5], 7);
            let program = r.compile_for::<f64>(&params, &batch).unwrap();
            let built = Built::new(
                (&program, "run", OPTIONS),
                (&params, &batch),
                compiler,
                &format!("{name}-san"),
            );
            succeed(&mut built.command(&[]), &name);
        }
    }
}

#[test]
fn valgrind_finds_nothing() {
    if Command::new("valgrind").arg("--version").output().is_err() {
        eprintln!("skipped: valgrind is not installed");
        return;
    }
    let Some(compiler) = compilers().first().copied() else {
        return;
    };
    for (name, r) in examples() {
        let (params, batch) = data_of(&name, &r, &[5], 7);
        let program = r.compile_for::<f64>(&params, &batch).unwrap();
        let built = Built::new(
            (&program, "run", &["-O1", "-g"]),
            (&params, &batch),
            compiler,
            &format!("{name}-vg"),
        );
        let valgrind = [
            "valgrind",
            "--quiet",
            "--error-exitcode=99",
            "--leak-check=full",
        ];
        succeed(&mut built.command(&valgrind), &name);
    }
}

/// The largest frames of the functions of a file, in bytes, and whether all have a bound.
fn frames(usage: &str) -> Vec<(usize, bool)> {
    let frame = |line: &str| {
        let mut words = line.split('\t').skip(1);
        let bytes = words.next()?.parse().ok()?;
        Some((bytes, words.next()? == "static"))
    };
    usage.lines().filter_map(frame).collect()
}

#[test]
fn the_stack_is_bounded_as_stated() {
    // Saved registers and values that the compiler does not keep in registers: a hundred at once in a text with every op.
    const BESIDE: usize = 1024;
    let examples = || {
        examples()
            .into_iter()
            .filter(|(name, _)| !name.starts_with("every_op"))
    };
    if !compilers().contains(&"gcc") {
        return;
    }
    for (name, r) in examples() {
        let (params, batch) = data_of(&name, &r, &[5], 7);
        let program = r.compile_for::<f64>(&params, &batch).unwrap();
        for options in [["-O2", "-fstack-usage"], ["-Os", "-fstack-usage"]] {
            let built = Built::new(
                (&program, "run", &options),
                (&params, &batch),
                "gcc",
                &format!("{name}-su"),
            );
            let usage = std::fs::read_to_string(built.folder.0.join("own.su")).unwrap();
            let found = frames(&usage);
            assert!(found.iter().all(|f| f.1), "{name}: a frame grows\n{usage}");
            let (all, stated) = (
                found.iter().map(|f| f.0).max().unwrap(),
                built.exported.stack,
            );
            assert!(
                all <= stated + BESIDE,
                "{name}: {all} bytes, stated {stated}\n{usage}"
            );
        }
    }
}

#[test]
fn names_are_kept_where_c_allows() {
    let text = "dim K\nparam double, x_0, σ, while[K]\ninput int.x\nstate h.double\n\
                h.double' = tanh(double * h.double + int.x * σ) + sum(while) * x_0\nloss h.double'^2\n";
    let r = Recurrence::parse("int main.rec", text).unwrap();
    let gradient = r
        .gradient(Wrt::Parameters)
        .unwrap()
        .compile::<f64>(&[("K", 2)])
        .unwrap();
    let exported = gradient
        .export(Language::C, "int", &Function::Whole("state".into()))
        .unwrap();
    assert_eq!(exported.name, "int_2");
    let folder = Folder::new("names");
    folder.write(&exported);
    for compiler in compilers() {
        let mut command = Command::new(compiler);
        command
            .args(STRICT)
            .arg("-c")
            .arg(folder.0.join("int_2.c"))
            .arg("-o")
            .arg(folder.0.join("o"));
        succeed(&mut command, "names");
    }
}

#[test]
fn a_header_is_for_cpp_as_well() {
    let r = named("gru_reset_after");
    let step = r.compile::<f64>(&[("H", 2), ("K", 2), ("O", 2)]).unwrap();
    let exported = step.export(Language::C, "gru", &Function::Step).unwrap();
    let folder = Folder::new("cpp");
    folder.write(&exported);
    std::fs::write(
        folder.0.join("main.cpp"),
        "#include \"gru.h\"\ngru_state state;\n",
    )
    .unwrap();
    if Command::new("g++").arg("--version").output().is_ok() {
        let mut command = Command::new("g++");
        command.args(["-std=c++11", "-Wall", "-Wextra", "-Werror", "-c"]);
        command
            .arg(folder.0.join("main.cpp"))
            .arg("-o")
            .arg(folder.0.join("o"));
        succeed(&mut command, "the header in C++");
    }
}

#[test]
fn custom_ops_are_refused_by_name() {
    let swish: Arc<dyn CustomOp> = Arc::new(ScalarFunction {
        name: "swish",
        eval: |x| x / (1.0 + (-x).exp()),
        derivative: |x, y| y + x.sigmoid() * (1.0 - y),
    });
    let r = Recurrence::define("r", |r| {
        let w = r.param("w", ());
        let h = r.state("h", ());
        let h = r.next(h, Expr::custom(&swish, [w * h + r.input("x", ())]));
        r.loss(h);
    });
    let program = r.unwrap().compile::<f64>(&[]).unwrap();
    let error = program
        .export(Language::C, "r", &Function::Step)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "`r` cannot be exported: the custom op `swish` has no formula in C; write it with the ops of docs/functions.md"
    );
}

#[test]
fn programs_that_need_later_steps_or_directions_are_refused() {
    let r = named("lstm_bidirectional");
    let sizes: Vec<_> = SIZES
        .iter()
        .copied()
        .filter(|s| r.tape().dims().any(|d| d == s.0))
        .collect();
    let program = r.compile::<f64>(&sizes).unwrap();
    let error = program
        .export(Language::C, "r", &Function::Step)
        .unwrap_err();
    assert!(matches!(error, Error::NotCausal { .. }), "{error}");
    let decay = Recurrence::parse(
        "d.rec",
        "param a\ninput x\nstate s\ns' = a * s + x\nloss s'\n",
    )
    .unwrap();
    let tangent = decay
        .tangent(Wrt::Parameters)
        .unwrap()
        .compile::<f64>(&[])
        .unwrap();
    let several = tangent.directions(3).unwrap();
    let error = several
        .export(Language::C, "d", &Function::Whole("tangent".into()))
        .unwrap_err();
    assert!(
        error.to_string().contains("before `.directions(…)`"),
        "{error}"
    );
}

/// Warnings depend on how much is inlined.
#[test]
fn code_compiles_without_warnings_at_every_level() {
    for compiler in compilers() {
        for (name, r) in examples() {
            let (params, batch) = data_of(&name, &r, &[5], 7);
            let program = r.compile_for::<f64>(&params, &batch).unwrap();
            for options in [&["-O0"][..], &["-O3", "-march=native"]] {
                let title = format!("{name}{}", options[0]);
                let built = Built::new(
                    (&program, "run", options),
                    (&params, &batch),
                    compiler,
                    &title,
                );
                succeed(&mut built.command(&[]), &title);
            }
        }
    }
}

/// Code for a microcontroller is small.
#[test]
fn the_gradient_of_a_gru_has_less_than_24_kilobytes_of_code() {
    if !compilers().contains(&"gcc") || Command::new("size").arg("--version").output().is_err() {
        return;
    }
    let r = named("gru_reset_after");
    let gradient = r.gradient(Wrt::Parameters).unwrap();
    let program = gradient
        .compile::<f64>(&[("H", 16), ("K", 4), ("O", 3)])
        .unwrap();
    let function = Function::Whole("gradient".into());
    let exported = program.export(Language::C, "gru", &function).unwrap();
    let folder = Folder::new("size");
    folder.write(&exported);
    for options in ["-Os", "-O2"] {
        let object = folder.0.join("gru.o");
        let mut command = Command::new("gcc");
        command
            .args(STRICT)
            .arg(options)
            .arg("-c")
            .arg(folder.0.join("gru.c"));
        succeed(command.arg("-o").arg(&object), "compilation");
        let text = succeed(Command::new("size").arg(&object), "size");
        let text = String::from_utf8(text).unwrap();
        let bytes: usize = text
            .lines()
            .nth(1)
            .unwrap()
            .split_whitespace()
            .next()
            .unwrap()
            .parse()
            .unwrap();
        assert!(bytes < 24 * 1024, "{options}: {text}");
    }
}
