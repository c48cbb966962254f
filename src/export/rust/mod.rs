//! Rust without the standard library: one file.

use super::Backend;
use super::body::line;
use super::dialect::{Dialect, Problem};
use super::helpers::Helpers;
use super::module::Module;
use super::record::Record;
use super::single::{self, Single};
use crate::exec::Real;

/// The first lines of the helpers of a file.
const TRAITS: &str = "/// An array of zeros.";

const TEXT: &str = include_str!("helpers.txt");

const HELPERS: Helpers = Helpers {
    text: TEXT,
    keyword: "fn ",
};

const SINGLE: Single = Single {
    types: ["f64", "f32"],
    suffix: "",
    infinity: "f32::INFINITY",
};

/// The back end for Rust.
pub(super) struct Rust;

impl<F: Real> Backend<F> for Rust {
    fn reserved(&self) -> Vec<&'static str> {
        reserved()
    }

    fn files(&self, module: &Module<'_, F>) -> Vec<(String, String)> {
        let text = source(module);
        let text = match size_of::<F>() == size_of::<f32>() {
            true => single::in_single_precision(&text, SINGLE),
            false => text,
        };
        vec![(format!("{}.rs", module.name), text)]
    }
}

/// Words of Rust, and the names in generated functions.
const WORDS: &[&str] = &[
    "as",
    "async",
    "await",
    "break",
    "const",
    "continue",
    "crate",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "match",
    "mod",
    "move",
    "mut",
    "pub",
    "ref",
    "return",
    "self",
    "Self",
    "static",
    "struct",
    "super",
    "trait",
    "true",
    "type",
    "union",
    "unsafe",
    "use",
    "where",
    "while",
    "abstract",
    "become",
    "box",
    "do",
    "final",
    "macro",
    "override",
    "priv",
    "try",
    "typeof",
    "unsized",
    "virtual",
    "yield",
    "params",
    "inputs",
    "input",
    "outputs",
    "workspace",
    "steps",
    "state",
    "is_valid",
    "code",
    "libm",
    "core",
    "Ok",
    "Err",
    "Some",
    "None",
    "State",
    "Problem",
    "Numbers",
    "Cell",
    "f64",
    "f32",
    "usize",
    "i32",
    "bool",
    "begin",
];

fn reserved() -> Vec<&'static str> {
    let mut all = WORDS.to_vec();
    all.extend(HELPERS.names());
    all
}

impl Dialect for Rust {
    fn reserved(&self) -> Vec<&'static str> {
        reserved()
    }

    fn array(&self, name: &str, len: usize) -> String {
        format!("let {name}: &[_] = &zeros::<{len}>();")
    }

    fn alias(&self, name: &str, from: &str, _: bool) -> String {
        format!("let {name} = {from};")
    }

    fn from(&self, base: &str, at: Option<&str>) -> String {
        match at {
            Some(at) => format!("&{base}[{at}..]"),
            None if base.contains('.') => format!("&{base}[..]"),
            None => base.into(),
        }
    }

    fn read(&self, name: &str, index: &str) -> String {
        format!("{name}.at({index})")
    }

    fn write(&self, name: &str, index: &str, value: &str, adds: bool) -> String {
        match adds {
            true => format!("{name}[{index}].set({name}.at({index}) + {value});"),
            false => format!("{name}[{index}].set({value});"),
        }
    }

    fn local(&self, name: &str, value: &str) -> String {
        format!("let {name} = {value};")
    }

    fn class(&self, name: &str, entry: &str, masked: Option<usize>) -> String {
        match masked {
            Some(classes) => format!("let {name} = class_or_zero({entry}, {classes}.0);"),
            None => format!("let {name} = {entry} as usize;"),
        }
    }

    fn factors(&self, [factors, order]: &[String; 2], n: usize) -> String {
        let array = self.array(factors, n * n);
        format!("{array}\nlet {order} = &mut [0; {n}];")
    }

    fn over(&self, index: &str, count: &str, forward: bool) -> String {
        match forward {
            true => format!("for {index} in 0..{count}"),
            false => format!("for {index} in (0..{count}).rev()"),
        }
    }

    fn if_so(&self, condition: &str) -> String {
        format!("if {condition}")
    }

    fn state(&self, field: &str) -> String {
        format!("state.{field}")
    }

    fn is_first(&self) -> &'static str {
        "state.steps.get() == 0"
    }

    fn library(&self, name: &str) -> String {
        match HELPERS.names().contains(&name) {
            true => name.into(),
            false => format!("libm::{name}"),
        }
    }

    fn number(&self, x: f64) -> String {
        match x {
            x if x.is_nan() => "f64::NAN".into(),
            x if x.is_infinite() => if x > 0.0 {
                "f64::INFINITY"
            } else {
                "f64::NEG_INFINITY"
            }
            .into(),
            x => format!("{x:?}"),
        }
    }

    fn boolean(&self, answer: bool) -> &'static str {
        if answer { "true" } else { "false" }
    }

    fn answer(&self, condition: &str) -> String {
        condition.into()
    }

    fn count_step(&self) -> &'static str {
        "state.steps.set(state.steps.get() + 1);"
    }

    fn refuse(&self, _: &str, problem: Problem) -> String {
        let problem = match problem {
            Problem::NoSteps => "NoSteps",
            Problem::BadParameter => "BadParameter",
            Problem::BadInput => "BadInput",
        };
        format!("return Err(Problem::{problem});")
    }

    fn finish(&self, _: &str, len: &str) -> String {
        match len {
            "0" => "Ok(())".into(),
            len => format!(
                "if all_finite(outputs, {len}) {{ Ok(()) }} else {{ Err(Problem::NotFinite) }}"
            ),
        }
    }
}

/// Comments of the file, then the functions.
fn source<F: Real>(module: &Module<'_, F>) -> String {
    let mut functions = String::new();
    if let Some(body) = module.is_valid(&Rust) {
        let signature = "fn is_valid(inputs: &[f64]) -> bool";
        functions += &function("True if the inputs of a step are valid.", signature, &body);
    }
    functions += &match module.by_step {
        true => by_step(module),
        false => whole(module),
    };
    let mut text = String::new();
    let about = format!(
        "`{}`, generated by bptt {}. Do not edit.\n\n{}\n{}",
        module.program.recurrence().name(),
        env!("CARGO_PKG_VERSION"),
        layout(module),
        module.equations()
    );
    about
        .lines()
        .for_each(|l| line(&mut text, 0, format!("//! {l}").trim_end()));
    text.push_str("#![no_std]\n#![allow(dead_code, non_snake_case, clippy::all)]\n\nuse core::cell::Cell;\n\n");
    text.push_str(PROBLEM);
    let traits = TEXT.find(TRAITS).map_or("", |at| &TEXT[..at]);
    text + traits + &HELPERS.needed(&functions) + &functions
}

const PROBLEM: &str = "/// The reason for a function to end without its outputs, but for the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// There are no steps.
    NoSteps,
    /// A slice is too short.
    TooShort,
    /// A parameter is not finite, or no number of a class.
    BadParameter,
    /// An input is not finite, or no number of a class.
    BadInput,
    /// An output is not finite; all outputs have been written.
    NotFinite,
}

";

/// The order of the data.
fn layout<F: Real>(module: &Module<'_, F>) -> String {
    let records = &module.records;
    let all = [
        ("Parameters", &records.params),
        ("Inputs that do not vary with the step", &records.starts),
        ("Inputs of a step", &records.inputs),
        ("Outputs that do not vary with the step", &records.results),
        ("Outputs of a step", &records.rows),
    ];
    let list = |(title, record): (&str, &Record)| {
        let field = |f: &super::record::Field| {
            let classes = f.classes.map_or(String::new(), |n| {
                format!(", the number of a class below {n}")
            });
            format!(
                "* `{}` {:?} from {} on{classes}\n",
                f.name, f.shape, f.start
            )
        };
        let fields: String = record.fields.iter().map(field).collect();
        match fields.is_empty() {
            true => fields,
            false => format!("{title}, {} numbers:\n{fields}\n", record.len),
        }
    };
    all.into_iter().map(list).collect()
}

fn function(about: &str, signature: &str, body: &str) -> String {
    format!("/// {about}\n{signature} {{\n{body}}}\n\n")
}

/// The check of the lengths of slices.
fn lengths(conditions: &[(&str, String)]) -> String {
    let short = conditions.iter().filter(|(_, len)| len != "0");
    let short: Vec<String> = short
        .map(|(name, len)| format!("{name}.len() < {len}"))
        .collect();
    match short.is_empty() {
        true => String::new(),
        false => format!(
            "    if {} {{\n        return Err(Problem::TooShort);\n    }}\n",
            short.join(" || ")
        ),
    }
}

/// A slice as cells, if a body names it.
fn cells(name: &str, body: &str) -> String {
    match body.contains(name) {
        true => format!("    let {name} = Cell::from_mut({name}).as_slice_of_cells();\n"),
        false => format!("    let _ = {name};\n"),
    }
}

fn whole<F: Real>(module: &Module<'_, F>) -> String {
    use super::body::{sum, times};
    let (records, what) = (&module.records, &module.what);
    let body = module.whole(&Rust);
    let along = |fixed: usize, each: usize| sum(&[fixed.to_string(), times("steps", each)]);
    let checked = lengths(&[
        ("params", records.params.len.to_string()),
        ("inputs", along(records.starts.len, records.inputs.len)),
        ("outputs", along(records.results.len, records.rows.len)),
        ("workspace", module.room()),
    ]);
    let begin = checked + &cells("outputs", &body) + &cells("workspace", &body);
    let room = function(
        "The numbers of the workspace for this many steps.",
        "pub const fn workspace(steps: usize) -> usize",
        &match module.room() {
            room if room.contains("steps") => format!("    {room}\n"),
            room => format!("    let _ = steps;\n    {room}\n"),
        },
    );
    let signature = format!(
        "pub fn {what}(\n    params: &[f64],\n    inputs: &[f64],\n    steps: usize,\n    outputs: &mut [f64],\n    workspace: &mut [f64],\n) -> Result<(), Problem>"
    );
    let unused = ["params", "inputs"]
        .iter()
        .filter(|name| !begin.contains(**name) && !body.contains(**name));
    let unused: String = unused
        .map(|name| format!("    let _ = {name};\n"))
        .collect();
    room + &function(
        "Runs over a sequence and writes the outputs.",
        &signature,
        &(unused + &begin + &body),
    )
}

fn by_step<F: Real>(module: &Module<'_, F>) -> String {
    let records = &module.records;
    let (params, starts) = (records.params.len, records.starts.len);
    let mut text = String::new();
    line(
        &mut text,
        0,
        "/// All that stays from one step to the next.\n#[derive(Clone, Debug)]\npub struct State {\n    /// The parameters; after a change, `renew`.",
    );
    line(
        &mut text,
        1,
        &format!("pub params: [f64; {params}],\ninputs: [f64; {starts}],\nsteps: Cell<usize>,"),
    );
    let mut zeros = String::new();
    for field in module.state(&reserved()) {
        line(
            &mut text,
            1,
            &format!(
                "/// {}\npub {}: [Cell<f64>; {}],",
                field.of, field.name, field.len
            ),
        );
        line(
            &mut zeros,
            2,
            &format!("{}: zeros::<{}>(),", field.name, field.len),
        );
    }
    text.push_str("}\n\n");
    let begin = module.start(&Rust);
    let names = ["params", "inputs"].iter().filter(|name| {
        begin.contains(&format!("({name}, ")) || begin.contains(&format!("(&{name}["))
    });
    let names: String = names
        .map(|name| format!("    let {name} = &state.{name}[..];\n"))
        .collect();
    text += &function(
        "Sets states to their initial values and sums to zero.",
        "fn begin(state: &State) -> Result<(), Problem>",
        &format!("    let _ = state;\n{names}{begin}"),
    );
    let checked = lengths(&[
        ("params", params.to_string()),
        ("inputs", starts.to_string()),
    ]);
    text += &function(
        "Begins a sequence, with these parameters and inputs that do not vary with the step.",
        "pub fn start(params: &[f64], inputs: &[f64]) -> Result<State, Problem>",
        &format!(
            "{checked}    let mut state = State {{\n        params: [0.0; {params}],\n        inputs: [0.0; {starts}],\n        steps: Cell::new(0),\n{zeros}    }};\n    state.params.copy_from_slice(&params[..{params}]);\n    state.inputs.copy_from_slice(&inputs[..{starts}]);\n    begin(&state)?;\n    Ok(state)\n"
        ),
    );
    let step = module.step(&Rust);
    let checked = lengths(&[
        ("inputs", records.inputs.len.to_string()),
        ("outputs", records.rows.len.to_string()),
    ]);
    text += &function(
        "Takes a step.",
        "pub fn step(state: &State, inputs: &[f64], outputs: &mut [f64]) -> Result<(), Problem>",
        &format!(
            "    let _ = inputs;\n{checked}{}{step}",
            cells("outputs", &step)
        ),
    );
    if records.results.len > 0 {
        let so_far = module.so_far(&Rust);
        let checked = lengths(&[("outputs", records.results.len.to_string())]);
        text += &function(
            "The outputs that do not vary with the step, as if the sequence ended here.",
            "pub fn results(state: &State, outputs: &mut [f64]) -> Result<(), Problem>",
            &format!("{checked}{}{so_far}", cells("outputs", &so_far)),
        );
        text += &function(
            "The same of the steps since the last call; then sums over steps begin again.",
            "pub fn take(state: &State, outputs: &mut [f64]) -> Result<(), Problem>",
            &module.take(&Rust, ["let code = results(state, outputs);", "code"]),
        );
    }
    text += &function(
        "Takes over changed parameters: computes again what depends on nothing else.",
        "pub fn renew(state: &State) -> Result<(), Problem>",
        &format!("    let _ = state;\n{}", module.renew(&Rust)),
    );
    text
}
