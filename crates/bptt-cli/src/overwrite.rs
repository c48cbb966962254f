//! Refuses an output file that is an input of the same command: the input would be lost.

use std::fs;
use std::path::{Path, PathBuf};

use crate::args::{Command, Import};
use crate::cell;

/// The message for a command whose output would replace one of its inputs.
pub(crate) fn find(command: &Command) -> Option<String> {
    if let Command::Import(args) = command {
        return import(args);
    }
    let out = output(command)?;
    let place = place(out)?;
    let is_same = |(_, file): &(&str, &Path)| self::place(file).as_ref() == Some(&place);
    let (input, file) = inputs(command).into_iter().find(is_same)?;
    let (out, file) = (out.display().to_string(), file.display().to_string());
    let spelled = match out == file {
        true => String::new(),
        false => format!(" `{file}`"),
    };
    let text = format!(
        "--out {out} would replace {input}{spelled}; choose another name, such as --out {}",
        other(command, Path::new(&out)).display()
    );
    Some(bptt::printable(&text).into_owned())
}

/// An import reads up to three files and writes up to two.
fn import(args: &Import) -> Option<String> {
    let cell = args.cell.as_ref().and_then(|cell| cell::file(cell));
    let inputs = [
        ("the model", Some(&*args.model)),
        ("the recurrence", cell),
        ("the mapping", args.map_file.as_deref()),
    ];
    let outputs = [
        ("--out", args.out.as_deref()),
        ("--params", Some(&*args.params)),
    ];
    for (what, input) in inputs {
        let Some(input) = input.and_then(place) else {
            continue;
        };
        let same =
            |(_, file): &(&str, Option<&Path>)| file.and_then(place).as_ref() == Some(&input);
        if let Some((option, Some(file))) = outputs.into_iter().find(same) {
            let text = format!(
                "{option} {} would replace {what}; choose another name",
                file.display()
            );
            return Some(bptt::printable(&text).into_owned());
        }
    }
    None
}

fn output(command: &Command) -> Option<&Path> {
    match command {
        Command::Grad(args) => args.out.as_deref(),
        Command::Run(args) => args.out.as_deref(),
        Command::Fit(args) => Some(&args.out),
        Command::Show(args) => args.out.as_deref(),
        Command::Derive(args) => args.out.as_deref(),
        Command::Convert(args) => Some(&args.out),
        Command::Export(args) => Some(&args.out),
        Command::Vectors(args) => Some(&args.out),
        // The file of `new` must not exist.
        Command::New(_)
        | Command::Check(_)
        | Command::Certify(_)
        | Command::Flow(_)
        | Command::Import(_)
        | Command::Completions { .. } => None,
    }
}

/// The files that a command reads and must not replace. A fit may replace its parameters, which it improves.
fn inputs(command: &Command) -> Vec<(&'static str, &Path)> {
    let (cell, text, improves) = match command {
        Command::Grad(args) => (Some(&args.on.cell), None, false),
        Command::Run(args) => (Some(&args.on.cell), None, false),
        Command::Fit(args) => (Some(&args.cell), args.text.as_deref(), true),
        Command::Show(args) => (args.cell.as_ref(), None, false),
        Command::Derive(args) => (Some(&args.cell), None, false),
        Command::Convert(args) => (Some(&args.cell), None, false),
        Command::Export(args) => (Some(&args.cell), None, false),
        Command::Vectors(args) => (Some(&args.cell), None, false),
        Command::New(_)
        | Command::Check(_)
        | Command::Certify(_)
        | Command::Flow(_)
        | Command::Import(_)
        | Command::Completions { .. } => (None, None, false),
    };
    let (data, _, params) = command.files();
    let cell = cell.and_then(|cell| Some(("the recurrence", cell::file(cell)?)));
    let data = data.iter().map(|file| ("the data", &**file));
    let text = text.map(|file| ("the text", file));
    let like = match command {
        Command::Convert(args) => args.like.as_deref().map(|file| ("the model", file)),
        Command::Export(args) => args.like.as_deref().map(|file| ("the model", file)),
        _ => None,
    };
    let params = params.filter(|_| !improves);
    let params = params.map(|file| ("the parameters", file));
    cell.into_iter()
        .chain(data)
        .chain(text)
        .chain(like)
        .chain(params)
        .collect()
}

/// The place of a file, without links; `None` for a device or a pipe.
fn place(file: &Path) -> Option<PathBuf> {
    fs::canonicalize(file).ok().filter(|file| file.is_file())
}

/// A name beside `out`; that of a document has the extension of its format.
fn other(command: &Command, out: &Path) -> PathBuf {
    let part = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().display().to_string();
    let extension = match command {
        Command::Derive(args) => args.format.name().to_owned(),
        _ => part(out.extension()),
    };
    out.with_file_name(format!("{}-out.{extension}", part(out.file_stem())))
}
