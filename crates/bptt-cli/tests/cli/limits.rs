//! Memory limits on the command line: a command is refused at once, with the number of bytes and the option
//! that raises the limit.

use std::fs;
use std::time::{Duration, Instant};

use crate::command::{bptt, failure, success};
use crate::support::folder::Folder;
use bptt::data::Arrays;
use ndarray::Array2;

const ONE_HOT: &str = "dim H, C\ninput x[C], y: class(C)\nparam W[H,H], U[H,C], V[C,H]\nstate h[H]\n\
    h' = tanh(W @ h + U @ x)\nloss softmax_cross_entropy(V @ h', y)\n";

#[test]
fn a_text_without_end_and_one_of_many_characters() {
    let folder = Folder::new("limits-text");
    let cell = folder.path().join("c.rec");
    fs::write(&cell, ONE_HOT).expect("it can be written");
    let fit = |memory: &str, text: &str| {
        let sizes = [
            "--dims", "H=2", "--steps", "1", "--length", "20", "--out", "o.npz",
        ];
        let more = ["fit", "c.rec", "--memory", memory, "--text", text];
        bptt(&folder, &[&more[..], &sizes[..]].concat())
    };
    if cfg!(target_os = "linux") {
        let message = failure(&fit("64M", "/dev/zero"), 3);
        for word in ["/dev/zero", "longer than 2097152 bytes", "--memory"] {
            assert!(message.contains(word), "{word} in {message}");
        }
    }
    let text: String = (0..60_000u32)
        .filter_map(|i| char::from_u32(0x4E00 + i * 7919 % 20_000))
        .collect();
    fs::write(folder.path().join("t.txt"), &text).expect("it can be written");
    let message = failure(&fit("1G", "t.txt"), 3);
    for word in [
        "8.9 GiB needed",
        "1.0 GiB allowed",
        "20000 different",
        "class(C)",
    ] {
        assert!(message.contains(word), "{word} in {message}");
    }
    fs::write(folder.path().join("s.txt"), "abcabcabc".repeat(30)).expect("it can be written");
    success(&fit("64M", "s.txt"));
}

#[test]
fn lengths_of_no_array() {
    let folder = Folder::new("limits-lengths");
    let text = "param p = 0.5\nstate s = p\ns' = 0.5 * s\noutput s'\nloss s'\n";
    fs::write(folder.path().join("l.rec"), text).expect("it can be written");
    let write = |name: &str, length: i64| {
        let mut arrays = Arrays::new();
        let lengths = ndarray::array![length].into_dyn();
        arrays.insert("lengths", bptt::data::Array::Int(lengths));
        arrays
            .write(folder.path().join(name))
            .expect("it can be written");
    };
    write("l.npz", 1_000_000_000);
    let begun = Instant::now();
    for command in ["run", "derive", "check"] {
        let output = bptt(
            &folder,
            &[command, "l.rec", "--data", "l.npz", "--memory", "1G"],
        );
        let message = failure(&output, 3);
        assert!(
            message.contains("not enough memory"),
            "{command}: {message}"
        );
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "at once");
    // A gradient keeps what fits, and computes the rest again.
    write("m.npz", 10_000_000);
    let grad = ["grad", "l.rec", "--data", "m.npz"];
    let all = success(&bptt(&folder, &grad));
    let little = success(&bptt(&folder, &[&grad[..], &["--memory", "8M"]].concat()));
    assert_eq!(all, little);
    let mut with = std::process::Command::new(env!("CARGO_BIN_EXE_bptt"));
    with.current_dir(folder.path()).env("BPTT_MEMORY", "1G");
    let output = with.args(["run", "l.rec", "--data", "l.npz"]).output();
    let message = failure(&output.expect("it can be run"), 3);
    assert!(message.contains("1.0 GiB allowed"), "{message}");
    let message = failure(
        &bptt(
            &folder,
            &["run", "l.rec", "--data", "l.npz", "--memory", "x"],
        ),
        2,
    );
    assert!(message.contains("512M"), "{message}");
}

#[test]
fn a_run_that_is_not_finite_says_where() {
    let folder = Folder::new("limits-where");
    let text = "input x\nparam w = 2\nstate s\ns' = w * s + x\nloss s'\n";
    fs::write(folder.path().join("g.rec"), text).expect("it can be written");
    let arrays = Arrays::new().with("x", Array2::<f64>::ones((3000, 2)));
    arrays
        .write(folder.path().join("x.npz"))
        .expect("it can be written");
    let message = failure(&bptt(&folder, &["grad", "g.rec", "--data", "x.npz"]), 3);
    for word in ["w * s", "inf", "step 1023 of sample 0"] {
        assert!(message.contains(word), "{word} in {message}");
    }
}
