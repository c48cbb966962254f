//! Refuses options without effect, and lists that contain a name twice: ignoring them would hide an error.

use bptt::derive::Format;
use bptt::{Error, Initial, Kind, Recurrence, Role, Wrt};
use clap::ArgMatches;
use clap::parser::ValueSource;

use crate::args::{Command, Dtype, Export, Fit, Optimizer, Picture, Size, Target};
use crate::cell;

/// The message for the first conflict of a command line.
pub(crate) fn find(command: &Command, matches: &ArgMatches) -> Option<String> {
    let given = |option: &str| matches.value_source(option) == Some(ValueSource::CommandLine);
    let dims: &[Size] = match command {
        Command::Check(args) => &args.dims,
        Command::Certify(args) => &args.dims,
        Command::Grad(args) => &args.on.dims,
        Command::Run(args) => &args.on.dims,
        Command::Flow(args) => &args.on.dims,
        Command::Fit(args) => &args.dims,
        Command::Show(args) => &args.dims,
        Command::Derive(args) => &args.dims,
        Command::Vectors(args) => &args.dims,
        Command::Export(args) => &args.dims,
        Command::New(_)
        | Command::Convert(_)
        | Command::Import(_)
        | Command::Completions { .. } => &[],
    };
    if let Some(name) = repeated(dims) {
        return Some(format!("--dims gives the size {name} twice; give it once"));
    }
    if let (files, Some(reading), _) = command.files()
        && let Some(text) = reading.conflict(files)
    {
        return Some(text);
    }
    let without_effect = |option: &str, reason: &str| {
        given(option).then(|| format!("--{option} has no effect {reason}; leave it out"))
    };
    let computes_nothing = match command {
        Command::New(_) => Some("with `bptt new`, which computes nothing"),
        Command::Show(_) => Some("with `bptt show`, which computes nothing"),
        Command::Completions { .. } => Some("with `bptt completions`, which computes nothing"),
        _ => None,
    };
    if let Some(text) = computes_nothing.and_then(|reason| without_effect("memory", reason)) {
        return Some(text);
    }
    match command {
        Command::Check(args) if !args.data.is_empty() && args.params.is_some() => without_effect(
            "trials",
            "with --data and --params: nothing is drawn at random",
        ),
        Command::Grad(args) => named_once("wrt", "W_H,h, or --wrt all", &args.wrt)
            .or_else(|| wrt(&args.on.cell, &args.wrt))
            .or_else(|| seed(&args.on.cell, args.on.params.is_some(), given("seed"))),
        Command::Run(args) => match args.stream {
            true => ["id", "sort", "out", "json"].iter().find_map(|option| {
                without_effect(
                    option,
                    "with --stream, which writes the rows of one sequence as they come",
                )
            }),
            false => None,
        }
        .or_else(|| seed(&args.on.cell, args.on.params.is_some(), given("seed"))),
        Command::Flow(args) => match args.on.dtype {
            Dtype::F32 => without_effect("dtype", "with `bptt flow`, which computes in f64"),
            Dtype::F64 => None,
        }
        .or_else(|| seed(&args.on.cell, args.on.params.is_some(), given("seed"))),
        Command::Derive(args) => match args.format {
            Format::Json => without_effect("lang", "with --format json, which has no sentences"),
            _ => None,
        }
        .or_else(|| seed(&args.cell, args.params.is_some(), given("seed"))),
        Command::Fit(args) => {
            fit(args, given("quiet"), &without_effect).or_else(|| match args.batch {
                Some(_) => None,
                None => seed(&args.cell, args.params.is_some(), given("seed")),
            })
        }
        Command::Show(args) => match &args.cell {
            None => ["format", "dims", "out"]
                .iter()
                .find_map(|o| without_effect(o, "without a CELL, such as `lstm`")),
            Some(_) if args.format != Picture::Stages => {
                without_effect("dims", "without --format stages")
            }
            Some(_) => None,
        },
        Command::Export(args) => export(args, &without_effect),
        _ => None,
    }
}

fn export(args: &Export, without_effect: &dyn Fn(&str, &str) -> Option<String>) -> Option<String> {
    let (options, reason): (&[&str], _) = match args.to {
        Target::Onnx if args.params.is_none() => {
            return Some("--params FILE is missing: an ONNX model has the parameters in it".into());
        }
        Target::Onnx => (
            &["what", "dims", "dtype", "name"],
            "with --to onnx, whose sizes are those of the parameters",
        ),
        Target::C => (
            &["params", "like"],
            "with --to c: the code takes the parameters as an argument",
        ),
        Target::Rust => (
            &["params", "like"],
            "with --to rust: the code takes the parameters as an argument",
        ),
    };
    options
        .iter()
        .find_map(|option| without_effect(option, reason))
}

/// The options of steps that follow the gradient.
const OF_STEPS: [&str; 9] = [
    "lr",
    "schedule",
    "momentum",
    "decay",
    "group",
    "clip",
    "clip-per-sample",
    "batch",
    "truncate",
];

fn fit(
    args: &Fit,
    quiet: bool,
    without_effect: &dyn Fn(&str, &str) -> Option<String>,
) -> Option<String> {
    let refused = |options: &[&str], reason: &str| {
        options
            .iter()
            .find_map(|option| without_effect(option, reason))
    };
    let precise = || {
        let wide = match (args.optimizer, args.kind_of_errors()) {
            (Optimizer::Newton, _) => "--optimizer newton computes",
            (_, Some(_)) => "standard errors are computed",
            _ => return None,
        };
        (args.dtype == Dtype::F32).then(|| format!("--dtype f32: {wide} in f64; leave --dtype out"))
    };
    let unfed = || match (&args.data[..], &args.text) {
        ([], None) => Some(without_data(&args.cell)),
        _ => None,
    };
    let found = match args.optimizer {
        Optimizer::Newton => refused(&OF_STEPS, "with --optimizer newton"),
        Optimizer::Adam => refused(&["momentum"], "with Adam: it belongs to --optimizer sgd")
            .or_else(|| refused(&["decay"], "with Adam: it belongs to --optimizer adamw")),
        Optimizer::Adamw => refused(&["momentum"], "with AdamW: it belongs to --optimizer sgd"),
        Optimizer::Sgd => None,
    };
    // The file of a fit that may go on has these settings too.
    let is_kept = args.save_every.is_some() || args.resume.is_some();
    let unmoved = || match args.steps {
        Some(0) if !is_kept => refused(&OF_STEPS, "with --steps 0, which moves no parameter"),
        _ => None,
    };
    let unread = || match args.text {
        Some(_) => None,
        None => refused(&["length"], "without --text"),
    };
    let unprinted = || match quiet {
        true => refused(&["covariance"], "with --quiet: it is printed, not saved"),
        false => None,
    };
    named_once("over", "u,W", &args.over)
        .or_else(|| named_once("freeze", "W_H,b_*", &args.freeze))
        .or(found)
        .or_else(|| over(args))
        .or_else(precise)
        .or_else(unfed)
        .or_else(unmoved)
        .or_else(unread)
        .or_else(unprinted)
}

/// Refuses options that have no meaning for a fit over some arrays.
fn over(args: &Fit) -> Option<String> {
    let option = match (&args.over[..], &args.freeze[..]) {
        ([], []) => return None,
        ([], _) => "--freeze",
        _ => "--over",
    };
    if args.kind_of_errors().is_some() {
        return Some(format!(
            "{option} keeps some arrays as they are, and standard errors are those of a fit of all parameters; leave out \
             {option}, or --errors, --standard-errors and --covariance"
        ));
    }
    // The command itself reports a recurrence that cannot be loaded.
    let recurrence = cell::load(&args.cell).ok()?;
    let of_inputs = has_input(&recurrence, &args.over());
    if of_inputs && args.truncate.is_some() {
        return Some(
            "--truncate: a window has a part of the steps, and inputs in --over have all of them; leave one of the two out".into(),
        );
    }
    (of_inputs && args.batch.is_some()).then(|| {
        "--batch: with inputs in --over, each step needs all samples; leave --batch out".into()
    })
}

/// True if one of the names is that of an input.
pub(crate) fn has_input(recurrence: &Recurrence, names: &[&str]) -> bool {
    recurrence.inputs().any(|input| names.contains(&input))
}

/// The message for a fit without data; a text is data if `x` is one character and `y` the next.
fn without_data(cell: &str) -> String {
    let of_text = cell::load(cell).is_ok_and(|recurrence| {
        let leaves = recurrence.tape().leaves();
        let class = |name: &str| {
            let mut named = leaves.iter().filter(|l| l.name() == name);
            named.any(|l| matches!(l.ty().kind, Kind::Class(_)))
        };
        let vector = || {
            let mut named = leaves.iter().filter(|l| l.name() == "x");
            named.any(|l| l.ty().shape.rank() == 1)
        };
        class("y") && (class("x") || vector())
    });
    let files = "--data FILE, a .npz, .safetensors or .csv file";
    match of_text {
        true => format!("a fit needs data: give {files}, or --text FILE, a text"),
        false => format!("a fit needs data: give {files}"),
    }
}

/// Refuses `--seed` if nothing is drawn at random.
fn seed(cell: &str, params: bool, given: bool) -> Option<String> {
    if !given {
        return None;
    }
    if params {
        return Some(
            "--seed has no effect with --params: nothing is drawn at random; leave it out".into(),
        );
    }
    // The command itself reports a recurrence that cannot be loaded.
    let recurrence = cell::load(cell).ok()?;
    (!starts_at_random(&recurrence)).then(|| {
        format!(
            "--seed has no effect: no parameter of `{}` starts at random; leave it out",
            recurrence.name()
        )
    })
}

/// If a parameter has a start that a seed determines.
pub(crate) fn starts_at_random(recurrence: &Recurrence) -> bool {
    let leaves = recurrence.tape().leaves().iter();
    leaves.filter(|l| l.role() == Role::Parameter).any(|leaf| {
        match recurrence.initial(leaf.name()) {
            Some(Initial::Constant(_) | Initial::Identity(_)) => false,
            Some(_) => true,
            None => leaf.ty().shape.rank() == 2,
        }
    })
}

fn repeated(dims: &[Size]) -> Option<&str> {
    let twice = |(i, size): &(usize, &Size)| dims[..*i].iter().any(|s| s.name == size.name);
    dims.iter()
        .enumerate()
        .find(twice)
        .map(|(_, size)| &*size.name)
}

/// Refuses names of an option that are empty or given twice.
fn named_once(option: &str, example: &str, names: &[String]) -> Option<String> {
    let names: Vec<&str> = names.iter().map(|name| name.trim()).collect();
    if names.contains(&"") {
        return Some(format!(
            "--{option} has an empty name; give names with commas between them, such as --{option} {example}"
        ));
    }
    let twice = |(i, name): &(usize, &&str)| names[..*i].contains(name);
    let (_, name) = names.iter().enumerate().find(twice)?;
    Some(format!(
        "--{option} names `{}` twice; name it once",
        bptt::printable(name)
    ))
}

/// Refuses `all` of `--wrt` next to other names.
fn wrt(cell: &str, names: &[String]) -> Option<String> {
    let names: Vec<&str> = names.iter().map(|name| name.trim()).collect();
    if names.len() > 1 && names.contains(&EVERYTHING) {
        // The command itself reports a recurrence that cannot be loaded.
        let recurrence = cell::load(cell).ok()?;
        return (!has_everything(&recurrence)).then(|| {
            "--wrt all takes all parameters and inputs, so that no other name has an effect; give --wrt all alone, or \
             leave `all` out"
                .into()
        });
    }
    None
}

/// The word that takes all parameters and inputs.
pub(crate) const EVERYTHING: &str = "all";

/// True if a parameter, an input, a state or a value of the recurrence has the name [`EVERYTHING`].
pub(crate) fn has_everything(recurrence: &Recurrence) -> bool {
    let named = recurrence.gradient(Wrt::Names(&[EVERYTHING]));
    !matches!(named, Err(Error::UnknownName { .. }))
}
