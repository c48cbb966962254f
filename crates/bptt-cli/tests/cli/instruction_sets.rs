//! The instruction set of the environment variable `BPTT_ISA`.

use std::process::{Command, Output};

use crate::command::{failure, success};
use crate::support::folder::Folder;

fn bptt_on(folder: &Folder, isa: &str, line: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bptt"));
    command.current_dir(folder.path()).env("BPTT_ISA", isa);
    command.args(line.split(' ')).output().unwrap()
}

#[test]
fn no_bit_depends_on_the_instruction_set() {
    let folder = Folder::new("instruction sets");
    std::fs::write(folder.file("cell.rec"), CELL).unwrap();
    let mut rows = String::from("x,y\n");
    for t in 0..40 {
        let t = f64::from(t);
        rows += &format!("{},{}\n", (0.7 * t).sin(), (0.3 * t).cos());
    }
    std::fs::write(folder.file("d.csv"), rows).unwrap();
    let mut found = Vec::new();
    for isa in ["portable", "avx2", "avx512", "neon"] {
        let of = |line: &str, file: &str| {
            let output = bptt_on(&folder, isa, &format!("{line} --out {file} --dims H=37"));
            // A machine has not all of them.
            let is_missing = String::from_utf8_lossy(&output.stderr).contains("no instruction set");
            if is_missing {
                assert!(isa != "portable", "every machine has it");
                return None;
            }
            success(&output);
            let bytes = std::fs::read(folder.file(file)).unwrap();
            std::fs::remove_file(folder.file(file)).unwrap();
            Some(bytes)
        };
        for dtype in ["f64", "f32"] {
            let fit = format!(
                "fit cell.rec --data d.csv --steps 3 --clip-per-sample 0.1 --dtype {dtype}"
            );
            let files = [
                of("grad cell.rec --data d.csv", "g.safetensors"),
                of(&fit, "p.safetensors"),
            ];
            if let [Some(gradient), Some(fitted)] = files {
                found.push((dtype, gradient, fitted, isa));
            }
        }
    }
    for (dtype, gradient, fitted, isa) in &found {
        let (_, first, fit, _) = found.iter().find(|f| f.0 == *dtype).unwrap();
        assert!(gradient == first && fitted == fit, "{isa} in {dtype}");
    }
    assert!(found.len() > 1, "no instruction set");
}

const CELL: &str = "dim H\ninput x, y\nparam W[H, H] ~ orthogonal(0.9), u[H] ~ uniform(0.5), b[H] = 0\n\
    param w[H] ~ uniform(1/sqrt(H))\nstate h[H]\nh' = tanh(W @ h + u * x + b)\nmean loss (dot(w, h') - y)^2\n";

#[test]
fn a_wrong_instruction_set_is_a_wrong_command_line() {
    let folder = Folder::new("wrong instruction set");
    for wrong in ["", "AVX2", "sse9"] {
        let message = failure(&bptt_on(&folder, wrong, "show"), 2);
        let expected = format!(
            "the environment variable BPTT_ISA: there is no instruction set `{wrong}` on this machine, expected one of portable"
        );
        assert!(message.contains(&expected), "{message}");
    }
}
