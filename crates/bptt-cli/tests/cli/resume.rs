//! A fit that is saved on the way and resumed, interrupted, killed, or diverges.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::command::{bptt, failure, json, success};
use crate::support::Noise;
use crate::support::folder::Folder;
use bptt::data::{Array, Arrays, FIT};

/// Written so that steps of every optimiser lead down, and Newton needs several.
const MODEL: &str = "dim H, K\ninput x[K], y\nparam W[H, H] = 0.3, U[H, K] ~ uniform(0.5), w[H] ~ uniform(1)\n\
    param c = 0.1\nstate h[H]\nh' = tanh(W @ h + U @ x)\n\
    mean loss (dot(w, h') + c - y)^2 + 0.01 * (sum(W * W) + sum(U * U) + dot(w, w))\n";

fn prepare(folder: &Folder) {
    fs::write(folder.file("model.rec"), MODEL).unwrap();
    let mut noise = Noise(3);
    let lengths = ndarray::array![4_i64, 6, 6, 2, 5];
    let data = Arrays::new()
        .with("x", noise.array(&[6, 5, 2]))
        .with("y", noise.array(&[6, 5]))
        .with("lengths", lengths);
    data.write(folder.file("data.npz")).unwrap();
}

fn fit<'a>(more: &'a str, out: &'a str) -> Vec<&'a str> {
    let command = "fit model.rec --data data.npz --dims H=3 --json --out";
    let words = command.split(' ').chain([out]);
    words.chain(more.split_whitespace()).collect()
}

/// The parameters of a file, bit for bit.
fn bits(folder: &Folder, name: &str) -> Vec<(String, Vec<u64>)> {
    let arrays = Arrays::read(folder.file(name)).unwrap();
    let parameters = arrays.iter().filter(|(n, _)| !n.starts_with(FIT));
    let bits = |a: &Array| a.real::<f64>().iter().map(|x| x.to_bits()).collect();
    parameters.map(|(n, a)| (n.to_owned(), bits(a))).collect()
}

fn steps_saved(folder: &Folder, name: &str) -> i64 {
    match Arrays::read(folder.file(name)).unwrap().get("fit/steps") {
        Some(Array::Int(steps)) => *steps.first().unwrap(),
        other => panic!("{other:?}"),
    }
}

/// The report of a fit that is done, or, by Newton's method, has not converged yet.
fn reported(output: &std::process::Output) -> serde_json::Value {
    let errors = String::from_utf8_lossy(&output.stderr);
    let early = output.status.code() == Some(4) && errors.contains("has not converged after");
    assert!(output.status.success() || early, "{errors}");
    json(&String::from_utf8(output.stdout.clone()).unwrap())
}

#[test]
fn a_resumed_fit_gives_the_same_bits_as_one_in_one_piece() {
    let folder = Folder::new("resumed");
    prepare(&folder);
    for (settings, file) in [
        ("--optimizer sgd --lr 0.1", "p.npz"),
        (
            "--optimizer sgd --lr 0.05 --momentum 0.9 --clip 0.2",
            "p.npz",
        ),
        ("--lr 0.05", "p.safetensors"),
        ("--lr 0.05 --batch 2 --clip 0.1 --seed 9", "p.npz"),
        ("--lr 0.05 --batch 2 --clip-per-sample 0.1", "p.npz"),
        (
            "--optimizer sgd --momentum 0.5 --batch 3 --dtype f32",
            "p.safetensors",
        ),
        (
            "--optimizer adamw --schedule warm-up:3,cosine:9:0.1 --freeze U --group W:rate=0.5,decay=0",
            "p.npz",
        ),
        ("--optimizer newton", "p.npz"),
    ] {
        // Newton converges after some steps; the others go on.
        let whole = bptt(&folder, &fit(&format!("{settings} --steps 13"), file));
        let whole = (reported(&whole), bits(&folder, file));
        for first in [1, 3, 8] {
            let part = format!("{settings} --steps {first} --save-every 2");
            reported(&bptt(&folder, &fit(&part, file)));
            assert!(steps_saved(&folder, file) <= first, "{settings}");
            let rest = format!("{settings} --steps 13 --resume {file}");
            let rest = bptt(&folder, &fit(&rest, file));
            let rest = (reported(&rest), bits(&folder, file));
            assert_eq!(rest, whole, "{settings}, resumed after {first} steps");
        }
    }
}

#[test]
fn a_file_on_the_way_holds_parameters_for_the_other_commands() {
    let folder = Folder::new("on_the_way");
    prepare(&folder);
    success(&bptt(&folder, &fit("--steps 3 --save-every 2", "p.npz")));
    let grad = "grad model.rec --data data.npz --params p.npz --json";
    success(&bptt(&folder, &grad.split(' ').collect::<Vec<_>>()));
    success(&bptt(&folder, &fit("--params p.npz --steps 2", "q.npz")));
    let arrays = Arrays::read(folder.file("q.npz")).unwrap();
    assert_eq!(arrays.iter().count(), 4, "nothing but the parameters");
}

#[test]
fn a_fit_that_has_no_steps_left_says_so() {
    let folder = Folder::new("no_steps_left");
    prepare(&folder);
    success(&bptt(&folder, &fit("--steps 5 --save-every 5", "p.npz")));
    for (steps, told) in [("3", true), ("5", true), ("6", false)] {
        let resumed = bptt(
            &folder,
            &fit(&format!("--steps {steps} --resume p.npz"), "q.npz"),
        );
        success(&resumed);
        let notes = String::from_utf8(resumed.stderr).unwrap();
        assert_eq!(notes.contains("try --steps 105"), told, "{notes}");
    }
}

#[test]
fn another_fit_is_not_resumed() {
    let folder = Folder::new("another");
    prepare(&folder);
    let settings = "--lr 0.05 --batch 2 --steps 4";
    success(&bptt(
        &folder,
        &fit(&format!("{settings} --save-every 2"), "p.npz"),
    ));
    let refused = |more: &str| failure(&bptt(&folder, &fit(more, "q.npz")), 3);
    for (more, expected) in [
        ("--lr 0.04 --batch 2", "--lr was 0.05 and is 0.04"),
        ("--lr 0.05", "--batch was 2 and is not given"),
        (
            "--lr 0.05 --batch 2 --clip 1",
            "--clip was not given and is 1",
        ),
        ("--lr 0.05 --batch 2 --seed 2", "--seed was 1 and is 2"),
        (
            "--lr 0.05 --batch 2 --dtype f32",
            "--dtype was f64 and is f32",
        ),
        ("--optimizer newton", "--optimizer was adam and is newton"),
    ] {
        let message = refused(&format!("{more} --resume p.npz"));
        assert!(message.contains(expected), "{message}");
        assert!(message.contains("give --params p.npz"), "{message}");
    }
    let resume = format!("{settings} --resume p.npz");
    let data = Arrays::read(folder.file("data.npz")).unwrap();
    let other = data.get("x").unwrap().real::<f64>().mapv(|x| x + 1e-9);
    data.clone()
        .with("x", other)
        .write(folder.file("data.npz"))
        .unwrap();
    let message = refused(&resume);
    assert!(message.contains("input `x` is not the same"), "{message}");
    data.write(folder.file("data.npz")).unwrap();
    fs::write(folder.file("model.rec"), MODEL.replace("0.01", "0.02")).unwrap();
    let message = refused(&resume);
    assert!(
        message.contains("the recurrence is not the same"),
        "{message}"
    );
    // A comment changes nothing.
    fs::write(folder.file("model.rec"), format!("# a comment\n{MODEL}")).unwrap();
    success(&bptt(&folder, &fit(&resume, "q.npz")));
    let message = refused(&format!("{settings} --resume q.npz"));
    assert!(
        message.contains("has no state of a fit to resume"),
        "{message}"
    );
    assert!(message.contains("--save-every N keeps it"), "{message}");
}

#[test]
fn a_damaged_state_is_refused() {
    let folder = Folder::new("damaged_state");
    prepare(&folder);
    success(&bptt(&folder, &fit("--steps 4 --save-every 2", "p.npz")));
    let whole = Arrays::read(folder.file("p.npz")).unwrap();
    let names: Vec<String> = whole.iter().map(|(n, _)| n.to_owned()).collect();
    for name in names.iter().filter(|n| **n != "fit/best/loss") {
        let mut damaged = whole.clone();
        damaged.insert(
            name,
            Array::F64(ndarray::array![[f64::NAN, 1.0]].into_dyn()),
        );
        damaged.write(folder.file("d.npz")).unwrap();
        let output = bptt(&folder, &fit("--steps 6 --resume d.npz", "q.npz"));
        // The losses are only reported.
        if !["fit/loss/recent", "fit/loss/first"].contains(&&**name) {
            assert_eq!(output.status.code(), Some(3), "{name}");
        }
        assert!(
            !String::from_utf8_lossy(&output.stderr).contains("panicked"),
            "{name}"
        );
    }
}

/// What a hand has changed in a file is refused: what is wrong, where, and what was expected and found.
#[test]
fn a_state_with_impossible_values_is_refused() {
    let folder = Folder::new("impossible_state");
    prepare(&folder);
    let f = |x: f64| Array::F64(ndarray::arr0(x).into_dyn());
    let n = |n: i64| Array::Int(ndarray::arr0(n).into_dyn());
    for (settings, own) in [
        ("", "adam"),
        ("--optimizer sgd", "sgd"),
        ("--optimizer newton", "newton"),
    ] {
        let first = format!("{settings} --steps 3 --save-every 1");
        reported(&bptt(&folder, &fit(&first, "p.npz")));
        let whole = Arrays::read(folder.file("p.npz")).unwrap();
        let refused = |name: &str, damaged: &Arrays, expected: &str| {
            damaged.write(folder.file("d.npz")).unwrap();
            let more = format!("{settings} --steps 5 --resume d.npz");
            let message = failure(&bptt(&folder, &fit(&more, "q.npz")), 3);
            for word in [name, expected, "is damaged"] {
                assert!(message.contains(word), "{own}: {word} in {message}");
            }
        };
        let mut cases = vec![
            ("c", f(f64::NAN), "found NaN at []"),
            ("fit/steps", n(-1), "found -1"),
            (
                "fit/steps",
                n(i64::MAX),
                "expected a whole number from 0 to 2147483647",
            ),
            ("fit/steps", f(3.0), "found real numbers of shape []"),
            ("fit/converged", n(7), "from 0 to 1, found 7"),
            (
                "fit/loss/first",
                f(f64::INFINITY),
                "expected a finite number, found inf",
            ),
            (
                "fit/loss/highest",
                f(f64::NAN),
                "expected a finite number, found NaN",
            ),
            ("fit/loss/recent", f(1.0), "expected a row of numbers"),
            ("fit/optimizer/steps", n(9), "after 3 steps, found 9"),
        ];
        let state = match own {
            "adam" => ["fit/optimizer/first.W", "fit/optimizer/second.c"],
            "sgd" => ["fit/optimizer/velocity.W", "fit/optimizer/velocity.c"],
            _ => ["fit/optimizer/size", "fit/optimizer/kept"],
        };
        cases.push((state[0], f(1.0), "expected shape"));
        cases.push((
            state[1],
            Array::F64(ndarray::arr1(&[f64::NAN]).into_dyn()),
            "found",
        ));
        if own != "newton" {
            cases.push(("fit/best/loss", f(f64::NAN), "found NaN"));
            cases.push(("fit/best/steps", n(-4), "found -4"));
            cases.push(("fit/best/params/w", f(1.0), "expected shape [3], found []"));
        }
        for (name, array, expected) in cases {
            let mut damaged = whole.clone();
            damaged.insert(name, array);
            refused(name, &damaged, expected);
        }
        for name in state {
            let rest = whole.iter().filter(|(n, _)| *n != name);
            let rest = rest.fold(Arrays::new(), |mut all, (n, a)| {
                all.insert(n, a.clone());
                all
            });
            refused(name, &rest, "is missing");
        }
    }
}

/// A number of steps that nobody can take takes no time.
#[test]
fn a_state_of_very_many_steps_is_at_its_end() {
    let folder = Folder::new("many_steps");
    prepare(&folder);
    let settings = "--batch 2 --steps 4";
    success(&bptt(
        &folder,
        &fit(&format!("{settings} --save-every 2"), "p.npz"),
    ));
    let arrays = Arrays::read(folder.file("p.npz")).unwrap();
    let most = i64::from(i32::MAX);
    let arrays = arrays
        .with("fit/steps", ndarray::arr0(most))
        .with("fit/optimizer/steps", ndarray::arr0(most));
    arrays.write(folder.file("p.npz")).unwrap();
    let before = bits(&folder, "p.npz");
    success(&bptt(
        &folder,
        &fit(&format!("{settings} --resume p.npz"), "p.npz"),
    ));
    assert_eq!(bits(&folder, "p.npz"), before);
}

/// A fit that goes on for ever, once it has taken its first step.
fn endless(folder: &Folder, out: &str, more: &str) -> Child {
    let _ = fs::remove_file(folder.file(out));
    let more = format!("--steps 1000000000 --save-every 1 {more}");
    let mut words = fit(&more, out);
    words.retain(|word| *word != "--json");
    let child = Command::new(env!("CARGO_BIN_EXE_bptt"))
        .current_dir(folder.path())
        .args(words)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while !folder.file(out).exists() {
        assert!(Instant::now() < until, "it does not begin");
        std::thread::sleep(Duration::from_millis(1));
    }
    child
}

#[test]
fn a_killed_fit_is_resumed_exactly() {
    let folder = Folder::new("killed_fit");
    prepare(&folder);
    let mut noise = Noise(11);
    let settings = "--lr 0.02 --batch 2";
    for round in 0..4 {
        let mut child = endless(&folder, "p.npz", settings);
        std::thread::sleep(Duration::from_micros(noise.bits() % 30_000));
        child.kill().unwrap();
        child.wait().unwrap();
        let steps = steps_saved(&folder, "p.npz") + 3;
        let rest = format!("{settings} --steps {steps} --resume p.npz");
        success(&bptt(&folder, &fit(&rest, "p.npz")));
        let whole = format!("{settings} --steps {steps}");
        success(&bptt(&folder, &fit(&whole, "q.npz")));
        assert_eq!(
            bits(&folder, "p.npz"),
            bits(&folder, "q.npz"),
            "round {round}"
        );
        let left = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(left, 4, "the model, the data and two files of parameters");
    }
}

/// Where there is no terminal, lines on the standard error tell of a long fit.
#[test]
fn a_long_fit_says_how_far_it_is() {
    use std::io::{BufRead, BufReader, Read};
    let folder = Folder::new("long_fit");
    prepare(&folder);
    let mut quiet = endless(&folder, "q.npz", "--quiet");
    let mut told = endless(&folder, "p.npz", "");
    let mut line = String::new();
    let mut errors = BufReader::new(told.stderr.take().unwrap());
    errors.read_line(&mut line).unwrap();
    for word in [
        "bptt: note: step ",
        " of 1000000000 after 5 seconds, loss ",
        " hours left",
    ] {
        assert!(line.contains(word), "{word} is not in {line}");
    }
    for child in [&mut quiet, &mut told] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let mut line = String::new();
    quiet.stderr.unwrap().read_to_string(&mut line).unwrap();
    assert_eq!(line, "", "a quiet fit tells nothing");
}

#[cfg(unix)]
mod signals {
    use super::*;

    fn send(signal: &str, child: &Child) {
        let sent = Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status();
        assert!(sent.unwrap().success(), "the signal is sent");
    }

    /// Data whose steps take long.
    fn lengthen(folder: &Folder) {
        let steps = 500_000;
        let data = Arrays::new()
            .with("x", ndarray::Array3::<f64>::ones((steps, 1, 2)))
            .with("y", ndarray::Array2::<f64>::ones((steps, 1)));
        data.write(folder.file("data.npz")).unwrap();
    }

    #[test]
    fn an_interrupted_fit_is_saved_and_says_so() {
        let folder = Folder::new("interrupted");
        prepare(&folder);
        for (signal, code) in [("-INT", 130), ("-TERM", 143), ("-HUP", 129)] {
            let settings = "--lr 0.02";
            let child = endless(&folder, "p.npz", settings);
            send(signal, &child);
            let message = failure(&child.wait_with_output().unwrap(), code);
            let steps = steps_saved(&folder, "p.npz");
            let expected = format!(
                "interrupted after step {steps}, saved to p.npz; go on with --resume p.npz"
            );
            assert!(message.contains(&expected), "{message}");
            let rest = format!("{settings} --steps {} --resume p.npz", steps + 2);
            success(&bptt(&folder, &fit(&rest, "p.npz")));
            let whole = format!("{settings} --steps {}", steps + 2);
            success(&bptt(&folder, &fit(&whole, "q.npz")));
            assert_eq!(bits(&folder, "p.npz"), bits(&folder, "q.npz"));
        }
    }

    /// The shell and the system both tell that the terminal is closed; that is no second Ctrl-C.
    #[test]
    fn a_closed_terminal_ends_a_fit_once() {
        let folder = Folder::new("closed");
        prepare(&folder);
        lengthen(&folder);
        let child = endless(&folder, "p.npz", "");
        for signal in ["-HUP", "-TERM", "-HUP", "-HUP"] {
            send(signal, &child);
            std::thread::sleep(Duration::from_millis(5));
        }
        let output = child.wait_with_output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(129), "{message}");
        assert!(message.contains("saved to p.npz"), "{message}");
    }

    /// A fit that was started with `nohup` goes on.
    #[test]
    fn a_fit_that_outlives_its_terminal_goes_on() {
        let folder = Folder::new("nohup");
        prepare(&folder);
        let command = fit("--steps 1000000000 --save-every 1", "p.npz").join(" ");
        let script = format!("trap '' HUP; exec {} {command}", env!("CARGO_BIN_EXE_bptt"));
        let mut child = Command::new("sh")
            .current_dir(folder.path())
            .args(["-c", &script])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        while !folder.file("p.npz").exists() {
            assert!(Instant::now() < until, "it does not begin");
            std::thread::sleep(Duration::from_millis(1));
        }
        send("-HUP", &child);
        std::thread::sleep(Duration::from_millis(300));
        assert!(child.try_wait().unwrap().is_none(), "it goes on");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// A step that takes seconds is not waited for after the second Ctrl-C.
    #[test]
    fn the_second_interrupt_ends_at_once() {
        let folder = Folder::new("twice");
        prepare(&folder);
        lengthen(&folder);
        let mut child = endless(&folder, "p.npz", "");
        // Signals that come together count as one.
        while child.try_wait().unwrap().is_none() {
            send("-INT", &child);
            std::thread::sleep(Duration::from_millis(50));
        }
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130));
        assert!(output.stderr.is_empty(), "no step is finished and saved");
    }
}

#[test]
fn a_fit_that_diverges_keeps_its_best_parameters() {
    let folder = Folder::new("diverged");
    prepare(&folder);
    // A quadratic bowl: at this rate each step makes the distance from 1 three times as large.
    fs::write(
        folder.file("model.rec"),
        "input x\nparam a = 2\nmean loss (a - x)^2\n",
    )
    .unwrap();
    Arrays::new()
        .with("x", ndarray::array![[1.0]])
        .write(folder.file("data.npz"))
        .unwrap();
    let run = |more: &str| {
        let command = format!("fit model.rec --data data.npz --out p.npz {more}");
        let output = bptt(&folder, &command.split(' ').collect::<Vec<_>>());
        assert_eq!(output.status.code(), Some(4), "{more}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("not fitted"), "{text}");
        String::from_utf8(output.stderr).unwrap()
    };
    let message = run("--optimizer sgd --lr 2 --steps 5");
    assert!(
        message.contains("the loss has grown from 1 to 59049 in 5 steps"),
        "{message}"
    );
    assert!(
        message.contains("parameters after step 0 are kept, whose loss is the lowest, 1"),
        "{message}"
    );
    assert!(
        message.contains("try a smaller --lr, or --clip 1"),
        "{message}"
    );
    let kept = |expected: f64| {
        let kept = Arrays::read(folder.file("p.npz")).unwrap();
        assert_eq!(kept.iter().count(), 1, "the parameter and nothing else");
        assert_eq!(kept.get("a").unwrap().real::<f64>().sum(), expected);
    };
    kept(2.0);
    let message = run("--optimizer sgd --lr 2 --steps 10000 --save-every 50");
    assert!(
        message.contains("the fit has diverged: after "),
        "{message}"
    );
    assert!(message.contains("not finite"), "{message}");
    kept(2.0);
    // A first step that leads down, after which momentum throws the parameter out.
    fs::write(
        folder.file("model.rec"),
        "input x\nparam a = 2\nmean loss (a - x)^4\n",
    )
    .unwrap();
    let message = run("--optimizer sgd --lr 0.4 --momentum 0.9 --steps 40");
    assert!(message.contains("after step 1 are kept"), "{message}");
    kept(2.0 - 0.4 * 4.0);
}
