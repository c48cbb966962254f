//! Messages about files and names of recurrences: the file, the array and the entry, and a remedy that can be typed.

use std::fs;

use crate::command::{bptt, failure, success};
use crate::support::folder::Folder;
use bptt::data::Arrays;
use ndarray::{Array2, Array3};

/// Names of recurrences and of commands that are nearly right.
#[test]
fn of_names_of_recurrences() {
    let folder = Folder::new("names");
    fs::write(folder.file("thr.rec"), "input x\nparam a\nloss a * x\n").unwrap();
    for (code, line, fragment) in [
        (
            3,
            "check lstm.rec",
            "there is no file `lstm.rec`; did you mean `lstm`, of the library?",
        ),
        (3, "show no/gru.rec", "did you mean `gru`"),
        (3, "check thr", "did you mean the file `thr.rec`?"),
        (
            3,
            "check other.rec",
            "there is no file `other.rec`; `bptt new other.rec` writes one",
        ),
        (
            2,
            "thr.rec",
            "`thr.rec` is a recurrence, and a command is missing: try `bptt check thr.rec`",
        ),
        (2, "lstm", "try `bptt check lstm`"),
        (2, "chek", "'check'"),
    ] {
        let arguments: Vec<&str> = line.split(' ').collect();
        let found = failure(&bptt(&folder, &arguments), code);
        assert!(
            found.contains(fragment),
            "{line}: {fragment} is not in\n{found}"
        );
    }
}

/// A path that leads through a file, or a folder without permission, is no missing file.
#[test]
fn of_paths_that_cannot_be_followed() {
    let folder = Folder::new("paths");
    fs::write(folder.file("a.rec"), "input x\nparam a\nloss a * x\n").unwrap();
    let read = |path: &str| failure(&bptt(&folder, &["show", path]), 3);
    if cfg!(unix) {
        let found = read("a.rec/b.rec");
        assert!(
            found.contains("a.rec/b.rec: cannot be read: Not a directory"),
            "{found}"
        );
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::create_dir(folder.file("closed")).unwrap();
        fs::copy(folder.file("a.rec"), folder.file("closed/a.rec")).unwrap();
        let allow =
            |mode| fs::set_permissions(folder.file("closed"), fs::Permissions::from_mode(mode));
        allow(0o000).unwrap();
        // Everything is permitted to the superuser.
        if fs::metadata(folder.file("closed/a.rec")).is_err() {
            let found = read("closed/a.rec");
            assert!(
                found.contains("closed/a.rec: cannot be read: Permission denied"),
                "{found}"
            );
        }
        allow(0o755).unwrap();
    }
}

/// An array that marks the starts of sequences beside something of the same name.
#[test]
fn of_a_recurrence_with_a_name_of_its_own_for_resets() {
    let folder = Folder::new("reset-names");
    let data = Arrays::new()
        .with("x", Array2::<f64>::ones((3, 2)))
        .with("reset", Array2::<f64>::zeros((3, 2)));
    data.write(folder.file("d.npz")).unwrap();
    for (text, kind) in [
        ("state reset\nreset' = x + reset\nloss reset'", "a state"),
        ("param reset\nloss reset * x", "a parameter"),
        ("param a\nreset = a * x\nloss reset", "a value"),
        ("dim reset\nparam a[reset]\nloss sum(a) * x", "a size"),
    ] {
        fs::write(folder.file("r.rec"), format!("input x\n{text}\n")).unwrap();
        let line = "grad r.rec -d d.npz --dims reset=2";
        let found = failure(&bptt(&folder, &line.split(' ').collect::<Vec<_>>()), 3);
        let expected = format!(
            "d.npz: the array `reset` marks the starts of sequences, but `r` has {kind} of that name: rename one of \
             them, such as `reset_2`"
        );
        assert!(found.contains(&expected), "{found}");
    }
}

/// Data that are refused when they are used: the message names the file, the array and the place.
#[test]
fn of_data() {
    let folder = Folder::new("data-messages");
    let text = "dim K, H\ninput x[K], y: class(3)\nsample input s[H]\nparam W[H, K], v[3, H]\nstate h[H] = s\n\
                h' = tanh(W @ x + h)\nloss softmax_cross_entropy(v @ h', y)\n";
    fs::write(folder.file("r.rec"), text).unwrap();
    fs::write(
        folder.file("none.rec"),
        "input x\nstate s\ns' = s + x\nloss s'\n",
    )
    .unwrap();
    let negative = "input x\nparam a ~ normal(-0.1)\nloss a * x\n";
    fs::write(folder.file("negative.rec"), negative).unwrap();
    fs::write(folder.file("x.csv"), "x\n1\n").unwrap();
    fs::write(folder.file("nan.csv"), "x\n1\nNA\n").unwrap();
    fs::write(folder.file("one.rec"), "input x\nparam a = 1\nloss a * x\n").unwrap();
    let data = || {
        Arrays::new()
            .with("x", Array3::<f64>::ones((4, 2, 3)))
            .with("y", Array2::<i64>::ones((4, 2)))
            .with("s", Array2::<f64>::ones((2, 5)))
    };
    let params = || {
        Arrays::new()
            .with("W", Array2::<f64>::ones((5, 3)))
            .with("v", Array2::<f64>::ones((3, 5)))
    };
    let file = |name: &str, arrays: Arrays| arrays.write(folder.file(name)).unwrap();
    file("p.safetensors", params());
    file("d.npz", data());
    let mut x = Array3::<f64>::ones((4, 2, 3));
    x[[2, 1, 0]] = f64::NAN;
    file("nan.npz", data().with("x", x));
    let mut s = Array2::<f64>::ones((2, 5));
    s[[1, 3]] = f64::INFINITY;
    file("inf.npz", data().with("s", s));
    let mut y = Array2::<i64>::ones((4, 2));
    y[[3, 0]] = 3;
    file("class.npz", data().with("y", y.clone()));
    y[[3, 0]] = -1;
    file("missing.npz", data().with("y", y));
    file("hot.npz", data().with("y", Array3::<f64>::ones((4, 2, 3))));
    file(
        "short.npz",
        data().with("x", Array3::<f64>::ones((0, 2, 3))),
    );
    file(
        "empty.npz",
        data().with("x", Array3::<f64>::ones((4, 0, 3))),
    );
    file("w.npz", params().with("W", Array2::<f64>::ones((3, 5))));
    file(
        "wv.safetensors",
        params()
            .with("W", Array2::<f64>::ones((3, 5)))
            .with("v", Array2::<f64>::ones((5, 3))),
    );
    file(
        "bad.npz",
        params().with("W", Array2::<f64>::ones((5, 3)) * f64::NAN),
    );
    file(
        "few.npz",
        Arrays::new().with("W", Array2::<f64>::ones((5, 3))),
    );
    for (line, fragments) in [
        (
            "grad r.rec -p p.safetensors -d nan.npz",
            &[
                "nan.npz: input `x` is not finite: step 2, sample 1, entry [0] (counted from 0) is NaN",
                "give the steps without data a mask of 0 (`mask input m` in the text of the recurrence)",
            ][..],
        ),
        (
            "check r.rec -p p.safetensors -d nan.npz",
            &["nan.npz: input `x`"],
        ),
        (
            "fit r.rec -p p.safetensors -d nan.npz -o o.npz",
            &["nan.npz: input `x`"],
        ),
        (
            "fit r.rec -p p.safetensors -d nan.npz -o o.npz --optimizer newton",
            &["nan.npz: input `x`"],
        ),
        (
            "derive r.rec -p p.safetensors -d short.npz",
            &["short.npz: ", "T = 0"],
        ),
        (
            "grad one.rec -d nan.csv",
            &[
                "nan.csv: line 3, column `x`: expected a value, found a missing one; to drop such rows, split the sequence",
                "give `--missing drop-row`, `--missing split` or `--missing mask`",
            ],
        ),
        (
            "grad r.rec -p p.safetensors -d inf.npz",
            &["inf.npz: sample input `s` is not finite: sample 1, entry [3]"],
        ),
        (
            "grad r.rec -p p.safetensors -d class.npz",
            &["class.npz: input `y`: step 3, sample 0", "counted from 0"],
        ),
        (
            "grad r.rec -p p.safetensors -d missing.npz",
            &["missing.npz: input `y`", "a mask of 0 (`mask input m`"],
        ),
        (
            "grad r.rec -p p.safetensors -d hot.npz",
            &["hot.npz: array `y`: expected classes", "`array.argmax(-1)`"],
        ),
        (
            "grad r.rec -p p.safetensors -d short.npz",
            &["short.npz: ", "T = 0"],
        ),
        (
            "grad r.rec -p p.safetensors -d empty.npz",
            &["empty.npz: ", "B = 0"],
        ),
        (
            "fit r.rec -p p.safetensors -d empty.npz -o o.npz",
            &["empty.npz: ", "B = 0"],
        ),
        ("check r.rec -d short.npz", &["short.npz: ", "T = 0"]),
        (
            "grad r.rec -p w.npz -d d.npz",
            &["w.npz: parameter `W` is transposed: expected shape [H, K] = [5, 3], found [3, 5]"],
        ),
        (
            "grad r.rec -p wv.safetensors -d d.npz",
            &["wv.safetensors: parameter `W` is transposed"],
        ),
        (
            "grad r.rec -p bad.npz -d d.npz",
            &["bad.npz: parameter `W` is not finite: entry [0, 0]"],
        ),
        (
            "grad r.rec -p few.npz -d d.npz",
            &["few.npz: parameter `v` is missing", "[3, H]"],
        ),
        (
            "fit none.rec -d x.csv -o o.npz",
            &["`none` has no parameters to fit", "`param a`", "`bptt run`"],
        ),
        (
            "check negative.rec",
            &["the spread is negative, expected a positive number"],
        ),
    ] {
        let arguments: Vec<&str> = line.split(' ').collect();
        let found = failure(&bptt(&folder, &arguments), 3);
        for fragment in fragments {
            assert!(
                found.contains(fragment),
                "{line}: {fragment} is not in\n{found}"
            );
        }
    }
}

/// Gradients go to the layout of PyTorch and back; they are no parameters.
#[test]
fn of_converted_gradients() {
    let folder = Folder::new("gradients");
    let data = Arrays::new()
        .with(
            "x",
            Array3::from_shape_fn((3, 2, 2), |(t, b, k)| (t + 2 * b + 3 * k) as f64 / 7.0),
        )
        .with("y", Array2::<i64>::ones((3, 2)));
    data.write(folder.file("d.npz")).unwrap();
    let run = |line: &str| success(&bptt(&folder, &line.split(' ').collect::<Vec<_>>()));
    run("grad lstm -d d.npz --dims H=3,O=2 -o g.npz");
    run("convert lstm -p g.npz --layout pytorch -o t.safetensors");
    run("convert lstm -p t.safetensors -o back.npz");
    let read = |name: &str| Arrays::read(folder.file(name)).unwrap();
    let (there, back) = (read("g.npz"), read("back.npz"));
    assert_eq!(back.iter().count(), there.iter().count());
    for (name, array) in there.iter() {
        assert_eq!(back.get(name), Some(array), "{name}");
    }
    let dict = read("t.safetensors");
    assert_eq!(dict.get("bias_ih_l0"), dict.get("bias_hh_l0"));
    for file in ["g.npz", "t.safetensors"] {
        let found = failure(
            &bptt(&folder, &["grad", "lstm", "-d", "d.npz", "-p", file]),
            3,
        );
        assert!(
            found.contains("so it has gradients or other results"),
            "{found}"
        );
    }
}
