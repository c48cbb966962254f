//! Compiles exported code with the C compilers of this machine, and runs it on data.

use std::path::{Path, PathBuf};
use std::process::Command;

use bptt::export::{Exported, Function, Language};
use bptt::{Batch, Kind, Outputs, Params, Program, Rate, Real, Role, Scalar};
use ndarray::ArrayD;

/// The compilers that there are; tests that need one are skipped without it.
pub(crate) fn compilers() -> Vec<&'static str> {
    let is_there = |name: &&str| Command::new(name).arg("--version").output().is_ok();
    let found: Vec<&str> = ["gcc", "clang"].into_iter().filter(is_there).collect();
    if found.is_empty() {
        eprintln!("skipped: neither gcc nor clang is installed");
    }
    found
}

pub(crate) const STRICT: &[&str] = &[
    "-std=c99",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-pedantic",
    "-Wconversion",
];

/// A folder that is removed at the end of a test.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("bptt-export-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn write(&self, exported: &Exported) {
        for (name, text) in &exported.files {
            std::fs::write(self.0.join(name), text).unwrap();
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs a command, which must succeed.
#[track_caller]
pub(crate) fn succeed(command: &mut Command, what: &str) -> Vec<u8> {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{what}: {command:?}: {}\n{text}",
        output.status
    );
    output.stdout
}

/// The arrays of a record, in order, as numbers.
pub(crate) fn params_of<F: Real>(program: &Program<F>, params: &Params<F>) -> Vec<F> {
    let names = program.recurrence().parameters();
    names
        .flat_map(|name| {
            params
                .get(name)
                .unwrap()
                .iter()
                .copied()
                .collect::<Vec<F>>()
        })
        .collect()
}

/// The inputs of the only sample: those that do not vary with the step, then step by step.
pub(crate) fn inputs_of<F: Real>(program: &Program<F>, batch: &Batch<F>) -> (Vec<F>, Vec<Vec<F>>) {
    let mut starts = Vec::new();
    let mut steps = vec![Vec::new(); batch.steps()];
    for leaf in program.recurrence().tape().leaves() {
        if leaf.role() != Role::Input {
            continue;
        }
        let array: ArrayD<F> = match leaf.ty().kind {
            Kind::Class(_) => batch
                .classes(leaf.name())
                .unwrap()
                .mapv(|c| F::of(c as f64)),
            Kind::Real => batch.get(leaf.name()).unwrap().clone(),
        };
        let all: Vec<F> = array.iter().copied().collect();
        match leaf.ty().rate {
            Rate::Step => {
                let own = all.chunks(all.len() / steps.len());
                steps
                    .iter_mut()
                    .zip(own)
                    .for_each(|(step, own)| step.extend(own));
            }
            _ => starts.extend(all),
        }
    }
    (starts, steps)
}

/// The outputs of an exported function: those that do not vary with the step, then step by step.
pub(crate) fn outputs_of<F: Real>(program: &Program<F>, outputs: &Outputs<F>) -> Vec<f64> {
    let r = program.recurrence();
    let by_step = |name: &&str| r.output_type(name).unwrap().rate == Rate::Step;
    let wide = |x: &ArrayD<F>| x.iter().map(|x| Scalar::to_f64(*x)).collect::<Vec<f64>>();
    let fixed = r.outputs().filter(|name| !by_step(name));
    let mut all: Vec<f64> = fixed.flat_map(|name| wide(&outputs[name])).collect();
    let names: Vec<&str> = r.outputs().filter(by_step).collect();
    let steps = names.first().map_or(0, |name| outputs[*name].shape()[0]);
    for t in 0..steps {
        for name in &names {
            let rows = wide(&outputs[*name]);
            let len = rows.len() / steps;
            all.extend(&rows[t * len..(t + 1) * len]);
        }
    }
    all
}

/// A program that reads numbers from a file, calls the function, and writes the outputs.
pub(crate) fn caller<F: Real>(exported: &Exported, what: &str, outputs: usize) -> String {
    let (name, params) = (&exported.name, exported.params);
    let upper = name.to_ascii_uppercase();
    let real = if size_of::<F>() == 4 {
        "float"
    } else {
        "double"
    };
    format!(
        r#"#include "{name}.h"
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{{
    if (argc != 4) return 100;
    const size_t steps = (size_t)atoi(argv[1]);
    const size_t count = (size_t)atoi(argv[2]);
    {real} *data = malloc((count + {params}) * sizeof({real}) + 1);
    {real} *outputs = calloc({outputs} * sizeof({real}) + 1, 1);
    {real} *workspace = malloc({name}_workspace(steps) * sizeof({real}) + 1);
    FILE *file = fopen(argv[3], "rb");
    if (!data || !outputs || !workspace || !file) return 101;
    if (fread(data, sizeof({real}), count + {params}, file) != count + {params}) return 102;
    fclose(file);
    for (size_t i = 0; i < {name}_workspace(steps); i++) workspace[i] = 1e30f;
    if ({name}_workspace(steps) != {upper}_WORKSPACE(steps)) return 103;
    const int code = {name}_{what}(data, data + {params}, steps, outputs, workspace);
    if (fwrite(outputs, sizeof({real}), {outputs}, stdout) != {outputs}) return 104;
    free(data);
    free(outputs);
    free(workspace);
    return code;
}}
"#
    )
}

pub(crate) fn bytes<F: Real>(numbers: &[F]) -> Vec<u8> {
    let one = |x: &F| {
        let x = Scalar::to_f64(*x);
        match size_of::<F>() {
            4 => f32::of(x).to_ne_bytes().to_vec(),
            _ => x.to_ne_bytes().to_vec(),
        }
    };
    numbers.iter().flat_map(one).collect()
}

pub(crate) fn numbers<F: Real>(bytes: &[u8]) -> Vec<f64> {
    let chunks = bytes.chunks_exact(size_of::<F>());
    let number = |b: &[u8]| match b.len() {
        4 => f64::from(f32::from_ne_bytes(b.try_into().unwrap())),
        _ => f64::from_ne_bytes(b.try_into().unwrap()),
    };
    chunks.map(number).collect()
}

/// Compiles an exported function with a program that calls it.
pub(crate) fn build(compiler: &str, options: &[&str], folder: &Path, name: &str) -> PathBuf {
    let binary = folder.join(format!("{name}-{compiler}"));
    let mut command = Command::new(compiler);
    command.args(STRICT).args(options);
    command.arg(folder.join(format!("{name}.c")));
    succeed(
        command.arg("-c").arg("-o").arg(folder.join("own.o")),
        "compilation",
    );
    let mut command = Command::new(compiler);
    command
        .args(["-std=c99"])
        .args(options)
        .arg(folder.join("main.c"))
        .arg(folder.join("own.o"));
    succeed(command.arg("-lm").arg("-o").arg(&binary), "linking");
    binary
}

/// An exported function on data of one sample, as a command to run.
pub(crate) struct Built {
    pub(crate) folder: Folder,
    pub(crate) exported: Exported,
    binary: PathBuf,
    arguments: [String; 2],
}

impl Built {
    pub(crate) fn new<F: Real>(
        (program, what, options): (&Program<F>, &str, &[&str]),
        (params, batch): (&Params<F>, &Batch<F>),
        compiler: &str,
        title: &str,
    ) -> Self {
        let function = Function::Whole(what.into());
        let exported = program.export(Language::C, "cell", &function).unwrap();
        let folder = Folder::new(&format!("{title}-{what}-{compiler}"));
        folder.write(&exported);
        let outputs = exported.outputs + exported.outputs_per_step * batch.steps();
        std::fs::write(
            folder.0.join("main.c"),
            caller::<F>(&exported, what, outputs),
        )
        .unwrap();
        let binary = build(compiler, options, &folder.0, "cell");
        let (starts, steps) = inputs_of(program, batch);
        let (params, inputs) = (
            params_of(program, params),
            [starts, steps.concat()].concat(),
        );
        std::fs::write(
            folder.0.join("data"),
            [bytes(&params), bytes(&inputs)].concat(),
        )
        .unwrap();
        Self {
            folder,
            exported,
            binary,
            arguments: [batch.steps().to_string(), inputs.len().to_string()],
        }
    }

    /// Tells the function another number of steps.
    pub(crate) fn set_steps(&mut self, steps: usize) {
        self.arguments[0] = steps.to_string();
    }

    /// The command, or another one that takes it as its argument.
    pub(crate) fn command(&self, inside: &[&str]) -> Command {
        let mut words = inside
            .iter()
            .map(Into::into)
            .chain([self.binary.clone().into_os_string()]);
        let mut command = Command::new(words.next().unwrap());
        command
            .args(words)
            .args(&self.arguments)
            .arg(self.folder.0.join("data"));
        command
    }
}

/// The outputs of an exported function on data of one sample.
pub(crate) fn run<F: Real>(
    function: (&Program<F>, &str, &[&str]),
    data: (&Params<F>, &Batch<F>),
    compiler: &str,
    title: &str,
) -> Vec<f64> {
    let built = Built::new(function, data, compiler, title);
    numbers::<F>(&succeed(&mut built.command(&[]), title))
}

/// A program that takes all steps, one at a time, and writes the outputs.
fn stepper<F: Real>(exported: &Exported, [starts, inputs, results, rows]: [usize; 4]) -> String {
    let (name, params) = (&exported.name, exported.params);
    let real = if size_of::<F>() == 4 {
        "float"
    } else {
        "double"
    };
    let finish = match results {
        0 => "NULL; code = 0".to_owned(),
        _ => format!("outputs; code = {name}_results(&state, outputs)"),
    };
    format!(
        r#"#include "{name}.h"
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{{
    if (argc != 4) return 100;
    const size_t steps = (size_t)atoi(argv[1]);
    const size_t count = (size_t)atoi(argv[2]);
    {real} *data = malloc((count + {params}) * sizeof({real}) + 1);
    {real} *outputs = calloc(({results} + {rows} * steps) * sizeof({real}) + 1, 1);
    FILE *file = fopen(argv[3], "rb");
    if (!data || !outputs || !file) return 101;
    if (fread(data, sizeof({real}), count + {params}, file) != count + {params}) return 102;
    fclose(file);
    {name}_state state;
    for (size_t i = 0; i < sizeof(state); i++) ((unsigned char *)&state)[i] = 0x7f;
    int code = {name}_start(&state, data, data + {params});
    for (size_t t = 0; t < steps && code == 0; t++) {{
        code = {name}_step(&state, data + {params} + {starts} + t * {inputs}, outputs + {results} + t * {rows});
    }}
    if (code != 0) return code;
    {real} *last = {finish};
    (void)last;
    if (fwrite(outputs, sizeof({real}), {results} + {rows} * steps, stdout) != {results} + {rows} * steps) return 104;
    free(data);
    free(outputs);
    return code;
}}
"#
    )
}

/// The outputs of the steps of a sample, one at a time.
pub(crate) fn run_by_steps<F: Real>(
    (program, options): (&Program<F>, &[&str]),
    (params, batch): (&Params<F>, &Batch<F>),
    compiler: &str,
    title: &str,
) -> bptt::Result<Vec<f64>> {
    let exported = program.export(Language::C, "cell", &Function::Step)?;
    let folder = Folder::new(&format!("{title}-step-{compiler}"));
    folder.write(&exported);
    let (starts, steps) = inputs_of(program, batch);
    let sizes = [
        starts.len(),
        steps[0].len(),
        exported.outputs,
        exported.outputs_per_step,
    ];
    std::fs::write(folder.0.join("main.c"), stepper::<F>(&exported, sizes)).unwrap();
    let binary = build(compiler, options, &folder.0, "cell");
    let (params, inputs) = (
        params_of(program, params),
        [starts, steps.concat()].concat(),
    );
    let data = folder.0.join("data");
    std::fs::write(&data, [bytes(&params), bytes(&inputs)].concat()).unwrap();
    let mut command = Command::new(binary);
    command
        .arg(batch.steps().to_string())
        .arg(inputs.len().to_string())
        .arg(data);
    Ok(numbers::<F>(&succeed(&mut command, title)))
}

/// Checks that two runs agree, relative to the largest number.
#[track_caller]
pub(crate) fn assert_close(found: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1e-3_f64, |m, x| m.max(x.abs()));
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        let apart = (a - b).abs() / b.abs().max(1e-2 * scale);
        assert!(
            apart <= tolerance,
            "{what}: number {i} is {a}, expected {b}: {apart:e} apart"
        );
    }
}
