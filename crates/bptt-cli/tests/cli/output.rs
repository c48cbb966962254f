//! Output of the commands: as text, as JSON, or none.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Output, Stdio};

use crate::command::{bptt, failure, json, success};
use crate::support::folder::Folder;
use bptt::data::Arrays;
use ndarray::Array2;
use serde_json::Value;

const RETURNS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/dmbp.csv");

/// Every command that can succeed, in an order in which each finds its input files.
const COMMANDS: &[&str] = &[
    "",
    "check garch11",
    "certify decay.rec --run RIGHT",
    "grad garch11 -d RETURNS",
    "grad garch11 -d RETURNS -o g.npz",
    "run garch11 -d RETURNS",
    "run garch11 -d RETURNS -o y.npz",
    "fit garch11 -d RETURNS --steps 3 -o p.npz",
    "fit garch11 -d RETURNS --optimizer newton --standard-errors -o p.npz",
    "fit characters --text text.txt --dims H=2,K=2 --length 5 --steps 2 -o c.npz",
    "show",
    "show rnn",
    "show rnn --format dot",
    "show rnn --format svg",
    "show rnn --format stages",
    "show rnn --format svg -o rnn.svg",
    "derive rnn",
    "derive rnn --format json",
    "derive rnn -o rnn.txt",
    "flow garch11 -d RETURNS --lags 30 --truncate 5",
    "new NEW",
    "convert characters -p c.npz -o c.safetensors",
    "import model.npz --nonlinearity tanh -o imported-NEW --params w.npz",
    "export rnn -p rnn.npz -o rnn.onnx",
    "export rnn --to c --dims H=2,K=3,O=1 -o code",
    "export rnn --to rust --what step --dims H=2,K=3,O=1 -o code",
    "vectors garch11 --trials 2 -o v.npz",
    "completions bash",
];

fn commands(folder: &Folder, variant: &str) -> Vec<Vec<String>> {
    crate::certify::program(folder, "right.sh", 1.0);
    fs::write(folder.file("text.txt"), "what is to be learned, and so on").unwrap();
    let model = Arrays::new()
        .with("rnn.weight_ih_l0", Array2::<f64>::ones((2, 3)))
        .with("rnn.weight_hh_l0", Array2::<f64>::eye(2));
    model.write(folder.file("model.npz")).unwrap();
    let rnn = Arrays::new()
        .with("W_X", Array2::<f64>::ones((2, 3)))
        .with("W_H", Array2::<f64>::eye(2))
        .with("b_h", ndarray::Array1::<f64>::ones(2))
        .with("W_O", Array2::<f64>::ones((1, 2)))
        .with("b_q", ndarray::Array1::<f64>::ones(1));
    rnn.write(folder.file("rnn.npz")).unwrap();
    let words = |command: &&str| {
        let fresh = format!("{variant}.rec");
        let words = command.split_whitespace();
        let words = words.map(|w| w.replace("RETURNS", RETURNS).replace("NEW", &fresh));
        let words = words.map(|w| w.replace("RIGHT", "sh right.sh"));
        words.collect()
    };
    COMMANDS.iter().map(words).collect()
}

fn with(arguments: &[String], more: &str) -> Vec<String> {
    let mut all = arguments.to_vec();
    all.extend(more.split_whitespace().map(String::from));
    all
}

fn run(folder: &Folder, arguments: &[String]) -> Output {
    bptt(folder, &arguments.iter().map(|a| &**a).collect::<Vec<_>>())
}

#[test]
fn people_get_text_without_colours_where_there_is_no_terminal() {
    let folder = Folder::new("text-output");
    // The first command, the demonstration, has tests of its own.
    for arguments in commands(&folder, "text").into_iter().skip(1) {
        let text = success(&run(&folder, &arguments));
        assert!(!text.is_empty(), "{arguments:?}");
        assert!(text.ends_with('\n'), "{arguments:?}");
    }
}

#[test]
fn programs_get_one_object() {
    let folder = Folder::new("json-output");
    let commands = commands(&folder, "json");
    let answer = |arguments: &Vec<String>| {
        let text = success(&run(&folder, &with(arguments, "--json")));
        assert_eq!(text.lines().count(), 1, "{arguments:?}: {text}");
        assert!(json(&text).is_object(), "{arguments:?}: {text}");
        json(&text)
    };
    let answers: Vec<Value> = commands.iter().map(answer).collect();
    fields_are_those_of_the_page(&commands, &answers);
    let of = |command: &str| json(&success(&run(&folder, &with(&[], command))));
    let shown = of("show rnn --json");
    assert_eq!(shown["recurrence"], "rnn");
    assert!(
        shown["text"].as_str().unwrap().contains("h' = tanh(a)"),
        "{shown}"
    );
    assert_eq!(
        of("derive rnn --format json --json")["text"]["recurrence"],
        "rnn"
    );
    let demonstration = &answers[0];
    for network in demonstration["networks"].as_array().unwrap() {
        let naive = demonstration["naive_forecast_error"]["last_year"].as_f64();
        assert!(
            network["forecast_error"].as_f64() < naive,
            "{demonstration}"
        );
        assert_eq!(network["certified"], true);
    }
}

/// The fields of the answers are those in the second column of the table in `docs/cli.md`.
fn fields_are_those_of_the_page(commands: &[Vec<String>], answers: &[Value]) {
    let page =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md")).unwrap();
    let table = page
        .split("| command | fields of the object |")
        .nth(1)
        .unwrap();
    let rows = table.lines().skip(2).take_while(|l| l.starts_with('|'));
    let mut answered = 0;
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let command = cells[1].trim_matches('`').replace("none", "");
        // Words after a colon name inner fields, and words with a dash are options.
        let quoted = cells[2].split(':').next().unwrap().split('`');
        let fields = quoted.skip(1).step_by(2).filter(|w| !w.starts_with('-'));
        let promised: BTreeSet<&str> = fields.chain(["out"]).collect();
        let mut found = BTreeSet::from(["out"]);
        for (arguments, answer) in commands.iter().zip(answers) {
            if arguments.first().map_or("", |a| a) == command {
                found.extend(answer.as_object().unwrap().keys().map(|k| &**k));
                answered += 1;
            }
        }
        assert_eq!(found, promised, "{command}");
    }
    assert_eq!(answered, answers.len(), "every command has a row");
}

#[test]
fn quiet_is_quiet() {
    let folder = Folder::new("quiet-output");
    for arguments in commands(&folder, "quiet") {
        let output = run(&folder, &with(&arguments, "--quiet"));
        assert_eq!(success(&output), "", "{arguments:?}");
        assert!(output.stderr.is_empty(), "{arguments:?}");
    }
    assert!(
        folder.file("quiet.rec").exists(),
        "what is written is written"
    );
    // Errors are printed even with `--quiet`.
    let message = failure(&bptt(&folder, &["show", "lstmm", "--quiet"]), 3);
    assert!(message.contains("did you mean `lstm`?"), "{message}");
    let both = failure(&bptt(&folder, &["show", "--quiet", "--json"]), 2);
    assert!(both.contains("cannot be used with"), "{both}");
}

/// With `--json`, errors are still text on the standard error, and nothing is written to the standard output.
#[test]
fn errors_are_text_for_programs_too() {
    let folder = Folder::new("json-errors");
    let message = failure(
        &bptt(&folder, &["grad", "rnn", "-d", "no.npz", "--json"]),
        3,
    );
    assert!(
        message.starts_with("bptt: error: no.npz: cannot be read"),
        "{message}"
    );
}

#[test]
fn colours_are_there_when_asked_for_and_not_when_refused() {
    let folder = Folder::new("colours");
    let run = |variables: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bptt"));
        command
            .args(["check", "garch11"])
            .current_dir(folder.path());
        command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
        command.envs(variables.iter().copied());
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    assert!(
        run(&[("CLICOLOR_FORCE", "1")]).contains("\u{1b}["),
        "asked for"
    );
    let both = run(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]);
    assert!(!both.contains('\u{1b}'), "NO_COLOR is stronger: {both}");
}

/// The reader closes the pipe, as in `bptt show lstm | head -1`.
#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let folder = Folder::new("pipe");
    let mut command = Command::new(env!("CARGO_BIN_EXE_bptt"));
    command.args(["derive", "rnn", "--level", "full"]);
    command.current_dir(folder.path());
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{message}");
    assert_eq!(message, "");
}

/// The output path of a fit is checked before computing.
#[test]
fn where_results_go_is_looked_at_first() {
    let folder = Folder::new("destination");
    fs::create_dir(folder.file("folder.npz")).unwrap();
    for (out, expected) in [
        (
            "p.txt",
            "arrays are written to a .npz or a .safetensors file",
        ),
        (
            "p.csv",
            "arrays are written to a .npz or a .safetensors file",
        ),
        ("no/p.npz", "cannot be written"),
        ("folder.npz", "it is a folder"),
    ] {
        for command in ["fit", "grad", "run"] {
            // The missing data file is not looked for.
            let arguments = [command, "garch11", "-d", "missing.csv", "-o", out];
            let message = failure(&bptt(&folder, &arguments), 3);
            assert!(message.contains(expected), "{command} {out}: {message}");
        }
    }
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "nothing is left behind"
    );
}

/// A file to which the shell appends under the name `/dev/stdout` is not replaced.
#[cfg(target_os = "linux")]
#[test]
fn a_redirected_output_is_appended_to() {
    let folder = Folder::new("redirected");
    let path = folder.file("notes.dot");
    fs::write(&path, "before\n").unwrap();
    for (arguments, descriptor) in [
        ("show rnn --format dot --out /dev/stdout", 1),
        ("show rnn --format dot --quiet --out /dev/fd/2", 2),
    ] {
        let file = fs::File::options().append(true).open(&path).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_bptt"));
        command.args(arguments.split(' '));
        match descriptor {
            1 => command.stdout(file),
            _ => command.stderr(file),
        };
        assert!(command.status().unwrap().success(), "{arguments}");
    }
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("before\ndigraph"), "{text}");
    assert!(text.contains("written to /dev/stdout"), "{text}");
    assert_eq!(text.matches("digraph").count(), 2, "{text}");
}

/// The completions that bash offers after `bptt ` once they are installed.
#[test]
fn bash_completes_commands_and_options() {
    let folder = Folder::new("completions");
    let script = success(&bptt(&folder, &["completions", "bash"]));
    fs::write(folder.file("bptt.bash"), script).unwrap();
    let offered = |words: &str| {
        let count = words.split(' ').count() - 1;
        let words: Vec<String> = words.split(' ').map(|w| format!("'{w}'")).collect();
        let lines = format!(
            "source bptt.bash; COMP_WORDS=({}); COMP_CWORD={count}; COMPREPLY=(); \
             _bptt bptt \"${{COMP_WORDS[{count}]}}\" \"${{COMP_WORDS[{count} - 1]}}\"; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            words.join(" ")
        );
        let mut bash = Command::new("bash");
        bash.args(["--norc", "-c", &lines])
            .current_dir(folder.path());
        String::from_utf8(bash.output().unwrap().stdout).unwrap()
    };
    assert_eq!(offered("bptt gr").trim(), "grad");
    assert!(
        offered("bptt fit --opt").contains("--optimizer"),
        "an option"
    );
    assert!(
        offered("bptt fit --optimizer ne").contains("newton"),
        "a value"
    );
}
