//! Exported Rust: compiled without the standard library, run and compared with the engine.

use std::path::PathBuf;
use std::process::Command;

use bptt::export::{Exported, Function, Language};
use bptt::{Batch, Error, Params, Program, Real, Recurrence, Wrt};

use super::compiler::{
    Folder, assert_close, bytes, inputs_of, numbers, outputs_of, params_of, succeed,
};
use super::support::library::{SIZES, data_of, folder, library, parse};

/// The library `libm` that this test is linked with.
fn libm() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    let files = std::fs::read_dir(own.parent()?).ok()?;
    let paths = files.filter_map(|file| Some(file.ok()?.path()));
    let is_libm = |path: &PathBuf| {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        name.starts_with("liblibm-") && name.ends_with(".rlib")
    };
    let found = paths.filter(is_libm);
    found.max_by_key(|path| path.metadata().and_then(|m| m.modified()).ok())
}

/// A program that reads numbers, calls the functions and writes the outputs.
fn caller<F: Real>(exported: &Exported, what: &str, sizes: [usize; 3]) -> String {
    let [steps, starts, inputs] = sizes;
    let real = if size_of::<F>() == 4 { "f32" } else { "f64" };
    let (params, results) = (exported.params, exported.outputs);
    let rows = exported.outputs_per_step;
    let run = match what {
        "step" => {
            let finish = match results {
                0 => "",
                _ => "cell::results(&state, &mut outputs).unwrap();",
            };
            format!(
                "let state = cell::start(params, inputs).unwrap();
    for t in 0..steps {{
        let row = &mut outputs[{results} + t * {rows}..];
        cell::step(&state, &inputs[{starts} + t * {inputs}..], row).unwrap();
    }}
    {finish}"
            )
        }
        _ => format!(
            "let mut workspace = vec![1e30; cell::workspace(steps)];
    cell::{what}(params, inputs, steps, &mut outputs, &mut workspace).unwrap();"
        ),
    };
    format!(
        "use std::io::Write;
fn main() {{
    let bytes = std::fs::read(std::env::args().nth(1).unwrap()).unwrap();
    let numbers = bytes.chunks_exact(size_of::<{real}>());
    let numbers: Vec<{real}> = numbers.map(|b| {real}::from_ne_bytes(b.try_into().unwrap())).collect();
    let (params, inputs) = numbers.split_at({params});
    let steps = {steps};
    let mut outputs = vec![0.0; {results} + {rows} * steps];
    {run}
    let bytes: Vec<u8> = outputs.iter().flat_map(|x: &{real}| x.to_ne_bytes()).collect();
    std::io::stdout().write_all(&bytes).unwrap();
}}
"
    )
}

fn rustc() -> Command {
    Command::new(std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into()))
}

/// The outputs of the exported code.
fn run<F: Real>(
    (program, function): (&Program<F>, &Function),
    (params, batch): (&Params<F>, &Batch<F>),
    title: &str,
) -> bptt::Result<Option<Vec<f64>>> {
    let exported = program.export(Language::Rust, "cell", function)?;
    let Some(libm) = libm().filter(|_| rustc().arg("--version").output().is_ok()) else {
        eprintln!("skipped: there is no rustc, or no libm beside this test");
        return Ok(None);
    };
    let what = match function {
        Function::Whole(what) => what.as_str(),
        _ => "step",
    };
    let folder = Folder::new(&format!("rust-{title}-{what}"));
    folder.write(&exported);
    let (starts, steps) = inputs_of(program, batch);
    let sizes = [steps.len(), starts.len(), steps[0].len()];
    std::fs::write(
        folder.0.join("main.rs"),
        caller::<F>(&exported, what, sizes),
    )
    .unwrap();
    let mut command = rustc();
    command.current_dir(&folder.0).args([
        "--edition=2021",
        "--crate-type=rlib",
        "-Dwarnings",
        "-Funsafe-code",
    ]);
    command
        .arg("--extern")
        .arg(format!("libm={}", libm.display()));
    succeed(command.arg("cell.rs"), "compilation");
    let mut command = rustc();
    command
        .current_dir(&folder.0)
        .args(["--edition=2024", "-L."]);
    command.arg("-L").arg(libm.parent().unwrap());
    succeed(
        command.args(["--extern", "cell=libcell.rlib", "main.rs"]),
        "linking",
    );
    let data = [params_of(program, params), starts, steps.concat()].concat();
    std::fs::write(folder.0.join("data"), bytes(&data)).unwrap();
    let mut command = Command::new(folder.0.join("main"));
    Ok(Some(numbers::<F>(&succeed(
        command.arg(folder.0.join("data")),
        title,
    ))))
}

fn agrees(name: &str, r: &Recurrence, function: &Function) {
    let (params, batch) = data_of(name, r, &[5], 7);
    let dims: Vec<&str> = r.tape().dims().collect();
    let sizes: Vec<_> = SIZES
        .iter()
        .copied()
        .filter(|s| dims.contains(&s.0))
        .collect();
    let program = r.compile::<f64>(&sizes).unwrap();
    let expected = outputs_of(&program, &program.evaluate(&params, &batch).unwrap());
    match run((&program, function), (&params, &batch), name) {
        Ok(Some(found)) => assert_close(&found, &expected, 1e-13, name),
        Ok(None) | Err(Error::NotCausal { .. }) => {}
        Err(error) => panic!("{name}: {error}"),
    }
}

#[test]
fn gradients_agree_with_the_engine() {
    for (name, source) in library() {
        let r = parse(&name, &source);
        if r.outputs().any(|o| o == "loss") {
            let gradient = r.gradient(Wrt::Parameters).unwrap();
            agrees(&name, &gradient, &Function::Whole("gradient".into()));
        }
    }
}

#[test]
fn runs_and_steps_agree_with_the_engine() {
    for (name, source) in library() {
        let r = parse(&name, &source);
        agrees(&name, &r, &Function::Step);
        agrees(&name, &r, &Function::Whole("run".into()));
    }
}

#[test]
fn every_op_agrees_with_the_engine() {
    let source = std::fs::read_to_string(folder("tests/golden/every_op.rec")).unwrap();
    let r = parse("every_op", &source);
    let gradient = r.gradient(Wrt::Everything).unwrap();
    agrees("every_op", &r, &Function::Whole("run".into()));
    agrees(
        "every_op-gradient",
        &gradient,
        &Function::Whole("gradient".into()),
    );
    let masked = gradient.with_mask("active").unwrap();
    agrees(
        "every_op-masked",
        &masked,
        &Function::Whole("gradient".into()),
    );
}

#[test]
fn single_precision_agrees_with_the_engine() {
    let (name, source) = library()
        .into_iter()
        .find(|(name, _)| name == "lstm")
        .unwrap();
    let r = parse(&name, &source).gradient(Wrt::Parameters).unwrap();
    let (params, batch) = data_of(&name, &r, &[5], 7);
    let (params, batch) = (params.cast::<f32>(), batch.cast::<f32>());
    let program = r.compile_for::<f32>(&params, &batch).unwrap();
    let expected = outputs_of(&program, &program.evaluate(&params, &batch).unwrap());
    let function = Function::Whole("gradient".into());
    if let Some(found) = run((&program, &function), (&params, &batch), "lstm-f32").unwrap() {
        assert_close(&found, &expected, 1e-4, "lstm in f32");
    }
}
