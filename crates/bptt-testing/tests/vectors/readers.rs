//! The programs of `docs/test-vectors.md`, in Python, C and Rust, agree with a file of test vectors, and notice a
//! wrong one.

use std::path::Path;
use std::process::Command;

use bptt::data::{Array, Arrays};
use bptt_testing::Cases;
use bptt_testing::vectors::{Layout, Vectors};

use crate::folder::Folder;
use crate::library;

mod rust {
    include!("readers/rnn.rs");

    pub(super) fn run(file: &str) -> Result<String, String> {
        check(file)
            .map(|n| n.to_string())
            .map_err(|e| e.to_string())
    }
}

/// A file of test vectors, and one in which an entry of this array is wrong.
fn files(folder: &Folder, wrong: &str) -> [String; 2] {
    let rnn = library("rnn");
    let vectors = Vectors::draw(&Cases::new(&rnn), 3, 1, Layout::Bptt).unwrap();
    let arrays = vectors.arrays();
    let mut other = Arrays::new();
    for (name, array) in arrays.iter() {
        let mut array = array.clone();
        if let (true, Array::F64(entries)) = (name == wrong, &mut array) {
            *entries.iter_mut().last().unwrap() += 1e-9;
        }
        other.insert(name, array);
    }
    let [right, wrong] = ["right.npz", "wrong.npz"].map(|name| folder.file(name));
    arrays.write(&right).unwrap();
    other.write(&wrong).unwrap();
    [right, wrong].map(|path| path.display().to_string())
}

/// The text that a program prints, or its errors.
fn ran(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|e| e.to_string())?;
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout).unwrap()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

fn reader(name: &str) -> String {
    format!(
        "{}/tests/vectors/readers/{name}",
        env!("CARGO_MANIFEST_DIR")
    )
}

/// 3 losses, and the gradients of `W_H`, `W_X`, `b_h`, `W_O` and `b_q`.
const ALL: &str = " numbers agree\n";

#[test]
fn in_rust() {
    let folder = Folder::new("vectors-rust");
    let [right, wrong] = files(&folder, "2/gradient/W_X");
    assert_eq!(rust::run(&right), Ok("3".into()));
    let message = rust::run(&wrong).unwrap_err();
    assert!(message.contains("vector 2: `gradient/W_X` is"), "{message}");
}

#[test]
fn in_c() {
    let folder = Folder::new("vectors-c");
    let [right, wrong] = files(&folder, "2/gradient/W_H");
    let program = folder.file("rnn");
    let mut compiler = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
    compiler.args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-o"]);
    compiler.arg(&program).arg(reader("rnn.c")).arg("-lm");
    if compiler.get_program() == "cc" && Command::new("cc").arg("--version").output().is_err() {
        eprintln!("skipped: no C compiler `cc`");
        return;
    }
    ran(&mut compiler).unwrap();
    let found = ran(Command::new(&program).arg(&right)).unwrap();
    assert!(found.ends_with(ALL), "{found}");
    let message = ran(Command::new(&program).arg(&wrong)).unwrap_err();
    assert!(message.contains("vector 2: gradient/W_H["), "{message}");
}

#[test]
fn in_python() {
    let folder = Folder::new("vectors-python");
    let [right, wrong] = files(&folder, "2/gradient/b_h");
    if let Err(reason) = ran(Command::new("python3").args(["-c", "import numpy"])) {
        eprintln!("skipped: no Python with numpy: {reason}");
        return;
    }
    let run = |file: &str| ran(Command::new("python3").arg(reader("rnn.py")).arg(file));
    let found = run(&right).unwrap();
    assert!(found.ends_with(ALL), "{found}");
    let message = run(&wrong).unwrap_err();
    assert!(message.contains("vector 2: gradient/b_h is"), "{message}");
}

#[test]
fn the_page_has_these_programs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = std::fs::read_to_string(root.join("docs/test-vectors.md")).unwrap();
    for (language, name) in [("python", "rnn.py"), ("c", "rnn.c"), ("rust", "rnn.rs")] {
        let program = std::fs::read_to_string(reader(name)).unwrap();
        let block = format!("```{language}\n{program}```\n");
        assert!(page.contains(&block), "{name} is not a block of the page");
    }
}
