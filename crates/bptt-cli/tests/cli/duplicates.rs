//! Duplicate names and options without effect are refused in every way of giving them.

use std::fs;
use std::io::Write;
use std::path::Path;

use crate::command::{bptt, failure, success};
use crate::support::folder::Folder;
use bptt::check::random_data;
use bptt::data::Arrays;
use bptt::{Batch, Params, Recurrence};
use ndarray::{Array1, Array2, array};

const CELL: &str = "dim H\ninput x[H]\nparam W[H, H], b[H] = 0\nstate h[H]\n\
                    h' = tanh(W @ h + b + x)\nloss sum(h'^2)\n";

fn recurrence() -> Recurrence {
    Recurrence::parse("cell.rec", CELL).unwrap()
}

fn refusal(path: &Path) -> String {
    Arrays::read(path).expect_err("this is refused").to_string()
}

/// Replaces bytes by a text of the same length.
fn replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len(), "as many bytes");
    let (from, to) = (from.as_bytes(), to.as_bytes());
    let mut bytes = bytes.to_vec();
    let places: Vec<usize> = (0..bytes.len())
        .filter(|i| bytes[*i..].starts_with(from))
        .collect();
    assert!(!places.is_empty(), "the bytes are there");
    for place in places {
        bytes[place..place + to.len()].copy_from_slice(to);
    }
    bytes
}

#[test]
fn in_files() {
    let folder = Folder::new("duplicates_in_files");
    let two = Arrays::new()
        .with("x", array![1.0, 2.0])
        .with("y", array![3.0, 4.0]);
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.file(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    for file in ["two.npz", "two.safetensors"] {
        two.write(folder.file(file)).unwrap();
        assert!(Arrays::read(folder.file(file)).is_ok());
    }
    let npz = fs::read(folder.file("two.npz")).unwrap();
    let path = write("twice.npz", &replaced(&npz, "y.npy", "x.npy"));
    assert!(refusal(&path).contains("array `x` occurs twice"));

    let tensors = fs::read(folder.file("two.safetensors")).unwrap();
    let path = write("twice.safetensors", &replaced(&tensors, "\"y\"", "\"x\""));
    assert!(
        refusal(&path).contains("the key `x` twice"),
        "{}",
        refusal(&path)
    );
    // The same name in another spelling.
    let path = folder.file("escaped.safetensors");
    Arrays::new()
        .with("x", array![1.0])
        .with("yyyyyy", array![2.0])
        .write(&path)
        .unwrap();
    let escaped = replaced(&fs::read(&path).unwrap(), "\"yyyyyy\"", "\"\\u0078\"");
    let path = write("escaped.safetensors", &escaped);
    assert!(
        refusal(&path).contains("the key `x` twice"),
        "{}",
        refusal(&path)
    );

    let descr = "'descr': '<f8', ";
    for (header, expected) in [
        (
            "'fortran_order': false, 'shape': (1,)",
            "neither `True` nor `False`",
        ),
        (
            "'fortran_order': 0, 'shape': (1,)",
            "neither `True` nor `False`",
        ),
        (
            "'fortran_order': False, 'shape': (1,), 'shape': (1,)",
            "one `shape`",
        ),
        (
            "'fortran_order': False, 'shape': (1,), 'descr': '<i8'",
            "one `descr`",
        ),
        (
            "'fortran_order': False, 'shape': (1,), \"fortran_order\": True",
            "one `fortran_order`",
        ),
    ] {
        let header = format!("{{{descr}{header}, }}\n");
        let mut array = b"\x93NUMPY\x01\x00".to_vec();
        array.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
        array.extend(header.as_bytes());
        array.extend(1f64.to_le_bytes());
        let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Stored);
        archive.start_file("x.npy", options).unwrap();
        archive.write_all(&array).unwrap();
        let path = write("header.npz", &archive.finish().unwrap().into_inner());
        let found = refusal(&path);
        assert!(found.contains(expected), "{found}");
    }

    for (text, expected) in [
        ("y,x,y\n1,2,3\n", "columns 1 and 3 are both named `y`"),
        ("x[0],x[0]\n1,2\n", "columns 1 and 2 are both named `x[0]`"),
        ("x,x[0]\n1,2\n", "once each"),
        ("1.0,2.0\n1,2\n", "a row of names first"),
        ("x,,y\n1,2,3\n", "column 2 has the field `2` and no name"),
    ] {
        let found = refusal(&write("table.csv", text.as_bytes()));
        assert!(found.contains(expected), "{found}");
    }

    let data = Arrays::new()
        .with("x", ndarray::Array3::<f64>::zeros((2, 2, 1)))
        .with("lengths", array![[2_i64], [1]]);
    let found = data.batch::<f64>(&recurrence()).unwrap_err().to_string();
    assert!(
        found.contains("`lengths`: expected shape [B], found [2, 1]"),
        "{found}"
    );
}

#[test]
fn in_lists() {
    let r = recurrence();
    let twice = [("H", 3), ("H", 4)];
    let errors = [
        r.compile::<f64>(&twice).unwrap_err(),
        Params::<f64>::initial(&r, &twice, 1).unwrap_err(),
        random_data(&r, &twice, &[2], 1).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.to_string(), "size `H` is given twice");
    }
    let error = random_data(&r, &[("H", 3), ("K", 4)], &[2], 1).unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no dimension named `K`; known: `H`"
    );
    let error = Recurrence::parse("f.rec", "input x\nfn f(a, a) = a\nloss f(x, x)\n").unwrap_err();
    assert!(error.to_string().contains("the name `a` is used twice"));
}

/// Sizes chosen by the caller are checked before anything is allocated.
#[test]
fn huge_sizes_are_refused() {
    const MAX: usize = usize::MAX;
    let r = Recurrence::parse("r.rec", "param p\nstate s\ns' = s + p\nfinal loss s'\n").unwrap();
    let params = Params::new().with("p", ndarray::arr0(1.0));
    for (steps, samples) in [(1, MAX), (MAX, 1), (MAX, MAX), (MAX / 2, 3)] {
        let batch = Batch::<f64>::new(steps, samples);
        assert_eq!(batch.lengths().next(), Some(steps));
        assert!(r.evaluate(&params, &batch).is_err());
        assert!(r.compile_for(&params, &batch).is_err());
        assert!(batch.sequence(&r, 0).is_err() || samples == 1);
        assert!(bptt::check(&r, &params, &batch).is_err());
    }
    let cell = recurrence();
    for size in [0, MAX, MAX / 2, 1 << 40] {
        assert!(cell.compile::<f64>(&[("H", size)]).is_err(), "{size}");
        assert!(
            Params::<f64>::initial(&cell, &[("H", size)], 1).is_err(),
            "{size}"
        );
        assert!(
            random_data(&cell, &[("H", size)], &[1], 1).is_err(),
            "{size}"
        );
        let batch = Batch::<f64>::new(1, 1).size("H", size);
        assert!(cell.evaluate(&Params::new(), &batch).is_err(), "{size}");
    }
}

#[test]
fn on_the_command_line() {
    let folder = Folder::new("duplicates_on_the_command_line");
    fs::write(folder.file("cell.rec"), CELL).unwrap();
    fs::write(
        folder.file("plain.rec"),
        "input x\nparam a = 1\nloss (x - a)^2\n",
    )
    .unwrap();
    let data = Arrays::new().with("x", ndarray::Array3::<f64>::ones((3, 2, 2)));
    data.write(folder.file("d.npz")).unwrap();
    Arrays::new()
        .with("x", Array2::<f64>::ones((3, 1)))
        .write(folder.file("plain.npz"))
        .unwrap();
    Arrays::new()
        .with("W", Array2::<f64>::ones((2, 2)))
        .with("b", Array1::<f64>::ones(2))
        .write(folder.file("p.npz"))
        .unwrap();
    let refused = |line: &str, expected: &str| {
        let arguments: Vec<&str> = line.split(' ').collect();
        let found = failure(&bptt(&folder, &arguments), 2);
        assert!(found.contains(expected), "{line}: {found}");
    };
    for command in [
        "grad cell.rec -d d.npz",
        "run cell.rec -d d.npz",
        "check cell.rec",
    ] {
        refused(&format!("{command} --dims H=2,H=3"), "the size H twice");
        refused(
            &format!("{command} --dims H=2 --dims H=2"),
            "the size H twice",
        );
        refused(&format!("{command} --seed 1 --seed 2"), "multiple times");
    }
    let fit = "fit cell.rec -d d.npz --steps 1 -o o.npz";
    refused(
        &format!("{fit} --momentum 0.9"),
        "--momentum has no effect with Adam",
    );
    for option in [
        "--lr 0.1",
        "--schedule warm-up:5",
        "--momentum 0",
        "--decay 0.1",
        "--group a:rate=2",
        "--clip 1",
        "--clip-per-sample 1",
        "--batch 1",
    ] {
        let name = option.split(' ').next().unwrap();
        refused(
            &format!("{fit} --optimizer newton {option}"),
            &format!("{name} has no effect with --optimizer newton"),
        );
    }
    refused(
        &format!("{fit} --length 5"),
        "--length has no effect without --text",
    );
    refused(
        &format!("{fit} -p p.npz --seed 2"),
        "--seed has no effect with --params",
    );
    refused(
        "grad cell.rec -d d.npz -p p.npz --seed 2",
        "--seed has no effect with --params",
    );
    refused(
        "run plain.rec -d plain.npz --seed 2",
        "no parameter of `plain` starts at random",
    );
    refused(
        "derive plain.rec -d plain.npz --seed 2",
        "no parameter of `plain` starts at random",
    );
    refused(
        "check cell.rec -d d.npz -p p.npz --trials 2",
        "--trials has no effect",
    );
    refused(
        "show cell.rec --dims H=3",
        "--dims has no effect without --format stages; leave it out\n\nUsage: bptt show",
    );
    refused(
        "derive cell.rec --format json --lang en",
        "--lang has no effect with --format json",
    );
    let still = "fit cell.rec -d d.npz --steps 0 -o o.npz";
    for option in ["--lr 0.1", "--clip 1", "--clip-per-sample 1", "--batch 1"] {
        let name = option.split(' ').next().unwrap();
        refused(
            &format!("{still} {option}"),
            &format!("{name} has no effect with --steps 0"),
        );
    }
    refused(
        &format!("{still} --optimizer sgd --momentum 0.9"),
        "--momentum has no effect with --steps 0",
    );
    for line in [
        format!("{fit} --covariance --quiet"),
        format!("-q {fit} --covariance"),
    ] {
        refused(&line, "--covariance has no effect with --quiet");
    }
    refused("show --format dot", "--format has no effect without a CELL");
    refused("show --out x.txt", "--out has no effect without a CELL");

    refused(
        "grad cell.rec -d d.npz --wrt W,b,W",
        "--wrt names `W` twice",
    );

    // The same options are accepted if they have an effect.
    let accepted = |line: &str| {
        let arguments: Vec<&str> = line.split(' ').collect();
        success(&bptt(&folder, &arguments));
    };
    accepted(&format!("{fit} --optimizer sgd --momentum 0.9 --seed 3"));
    accepted(&format!("{fit} -p p.npz --batch 1 --seed 3"));
    accepted(&format!("{still} --save-every 1 --lr 0.5"));
    accepted("fit cell.rec -d d.npz --steps 2 -o o.npz --resume o.npz --lr 0.5");
    accepted("derive cell.rec --format json --level full --quiet");
    accepted("grad cell.rec -d d.npz --seed 3 --dims H=2");
    accepted("show cell.rec --format stages --dims H=3");

    let said = |line: &str, expected: &str| {
        let arguments: Vec<&str> = line.split(' ').collect();
        let found = failure(&bptt(&folder, &arguments), 3);
        assert!(found.contains(expected), "{line}: {found}");
    };
    said(
        "check cell.rec -p p.npz --dims H=9",
        "--dims H=9 contradicts the array `W`",
    );
}

/// A number that is larger than the data has room for is taken, and told.
#[test]
fn numbers_without_an_effect_are_told() {
    let folder = Folder::new("numbers_without_an_effect");
    fs::write(folder.file("cell.rec"), CELL).unwrap();
    fs::write(folder.file("abc.txt"), "abcabcabcab").unwrap();
    let returns = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/dmbp.csv");
    fs::copy(returns, folder.file("r.csv")).unwrap();
    fs::write(
        folder.file("text.rec"),
        "dim C\ninput x: class(C), y: class(C)\nparam W[C, C] = 0\nloss softmax_cross_entropy(W @ one_hot(x), y)\n",
    )
    .unwrap();
    Arrays::new()
        .with("x", ndarray::Array3::<f64>::ones((3, 2, 2)))
        .write(folder.file("d.npz"))
        .unwrap();
    Arrays::new()
        .with("W", Array2::<f64>::ones((2, 2)))
        .with("b", Array1::<f64>::ones(2))
        .write(folder.file("p.npz"))
        .unwrap();
    let notes = |line: &str| {
        let arguments: Vec<&str> = line.split(' ').collect();
        let found = bptt(&folder, &arguments);
        assert_eq!(found.status.code(), Some(0), "{line}: {found:?}");
        String::from_utf8(found.stderr).unwrap()
    };
    let fit = "fit cell.rec -d d.npz -o o.npz";
    let text = "fit text.rec --text abc.txt -o t.npz --steps 1";
    let told = [
        (
            format!("{fit} --steps 1 --batch 9"),
            "--batch 9: there are 2 samples, and each step sees all\n",
        ),
        (
            format!("{fit} --steps 1 -p p.npz --batch 2 --seed 3"),
            "--seed 3 has no effect; leave it out",
        ),
        (
            format!("{fit} --steps 4 --save-every 9"),
            "--save-every 9: the fit ends after 4 steps, and is saved only then",
        ),
        (
            format!("{fit} --steps 4 --resume o.npz"),
            "o.npz: has taken 4 steps, and --steps 4 counts these too",
        ),
        (
            format!("{text} --length 99"),
            "--length 99: abc.txt has 11 characters, one sample of 10",
        ),
        (
            "check cell.rec --steps 99".into(),
            "--steps 99: the data has 5 steps, and no route can run on more; give longer data with --data",
        ),
        (
            "check cell.rec -d d.npz --steps 4".into(),
            "--steps 4: the data has 3 steps, and no route can run on more\n",
        ),
        (
            "fit garch11 -d r.csv --optimizer newton --save-every 50 -o g.npz".into(),
            "",
        ),
        (
            "fit garch11 -d r.csv --optimizer newton --resume g.npz -o g.npz".into(),
            "none is left to take",
        ),
    ];
    for (line, expected) in told {
        let found = notes(&line);
        match expected {
            "" => assert_eq!(found, "", "{line}"),
            _ => assert!(found.contains(expected), "{line}: {found}"),
        }
    }
    for line in [
        format!("{fit} --steps 1 --batch 2 --seed 3"),
        format!("{fit} --steps 4 --save-every 2"),
        format!("{text} --length 10"),
        "check cell.rec --steps 5".into(),
    ] {
        assert_eq!(notes(&line), "", "{line}");
    }
}
