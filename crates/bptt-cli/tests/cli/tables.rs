//! Tables on the command line: columns of the inputs, missing values, samples, numbers, classes and several files.

use std::fs;

use crate::command::{bptt, failure, json, success};
use crate::support::folder::Folder;
use bptt::data::Arrays;

const SUM: &str = "input x\nparam a = 1\nloss a * x\n";
const PRICES: &str =
    "Date,Close,Adj Close,Remark\n2024-01-02,1,2,\"a, b\"\n2024-01-03,NA,4,\n2024-01-04,4,8,c\n";

fn folder(name: &str) -> Folder {
    let folder = Folder::new(name);
    fs::write(folder.file("sum.rec"), SUM).unwrap();
    fs::write(folder.file("prices.csv"), PRICES).unwrap();
    folder
}

fn arguments(line: &str) -> Vec<&str> {
    line.split(' ')
        .map(|word| word.trim_matches('\''))
        .collect()
}

/// The loss that `bptt run` computes.
fn loss(folder: &Folder, line: &str) -> f64 {
    let line = format!("run sum.rec --json {line}");
    json(&success(&bptt(folder, &arguments(&line))))["loss"]
        .as_f64()
        .unwrap()
}

#[test]
fn columns_are_read_for_every_command() {
    let folder = folder("columns");
    let source = "--data prices.csv --columns x=Date:days";
    assert_eq!(loss(&folder, source), 19724.0 + 19725.0 + 19726.0);
    for command in ["grad", "check", "run", "fit", "derive"] {
        let more = match command {
            "fit" => "--steps 1 --out o.npz",
            _ => "--dims=",
        };
        let line = format!("{command} sum.rec {source} {more}");
        let line = line.trim_end_matches(" --dims=");
        let found = bptt(&folder, &arguments(line));
        let errors = String::from_utf8_lossy(&found.stderr);
        assert!(
            found.status.code() != Some(2) && found.status.code() != Some(3),
            "{line}: {errors}"
        );
        let note = "prices.csv: not used by `sum`: `Close`, `Adj Close`, `Remark`";
        assert!(errors.contains(note), "{line}: {errors}");
    }
    let spaced = [
        "run",
        "sum.rec",
        "--json",
        "-d",
        "prices.csv",
        "--columns",
        "x='Adj Close'",
    ];
    assert_eq!(json(&success(&bptt(&folder, &spaced)))["loss"], 14.0);
    let message = failure(&bptt(&folder, &arguments("run sum.rec -d prices.csv")), 3);
    assert!(
        message.contains(
            "there is no array `x`, which is an input of `sum`; the file has: `Date`, `Close`"
        ) && message.contains("such as `--columns x='Date'`"),
        "{message}"
    );
}

#[test]
fn missing_values_are_treated_as_chosen() {
    let folder = folder("missing");
    let source = "--data prices.csv --columns x=Close";
    let message = failure(
        &bptt(&folder, &arguments(&format!("run sum.rec {source}"))),
        3,
    );
    assert!(
        message.contains("prices.csv: line 3, column `Close`: expected a value"),
        "{message}"
    );
    assert!(
        message.contains("`--missing drop-row`, `--missing split` or `--missing mask`"),
        "{message}"
    );
    let run = |how: &str| {
        let line = format!("run sum.rec --json {source} --missing {how}");
        json(&success(&bptt(&folder, &arguments(&line))))
    };
    for (how, steps, samples) in [("drop-row", 2, 1), ("split", 1, 2), ("mask", 3, 1)] {
        let found = run(how);
        assert_eq!(
            (&found["steps"], &found["samples"]),
            (&steps.into(), &samples.into()),
            "{how}"
        );
        assert_eq!(found["loss"], 5.0, "{how}");
    }
    let masked = format!("check sum.rec {source} --missing mask");
    assert!(success(&bptt(&folder, &arguments(&masked))).contains("certified"));
    let derive = format!("derive sum.rec {source} --missing mask");
    let message = failure(&bptt(&folder, &arguments(&derive)), 3);
    assert!(
        message.contains("leave the rows out with --missing drop-row"),
        "{message}"
    );
    fs::write(
        folder.file("name.rec"),
        "input x\nparam observed = 1\nloss observed * x\n",
    )
    .unwrap();
    let named = format!("run name.rec {source} --missing mask");
    let message = failure(&bptt(&folder, &arguments(&named)), 3);
    assert!(
        message.contains("`name` has a parameter of that name: rename it"),
        "{message}"
    );
}

#[test]
fn samples_numbers_and_several_files_are_read() {
    let folder = folder("samples");
    fs::write(
        folder.file("long.csv"),
        "who;day;x\nb;2;1.000,5\na;1;2\nb;1;3\n",
    )
    .unwrap();
    let line = "run sum.rec --json -d long.csv --id who --sort day --decimal , --thousands .";
    let found = json(&success(&bptt(&folder, &arguments(line))));
    assert_eq!((&found["steps"], &found["samples"]), (&2.into(), &2.into()));
    assert_eq!(found["loss"], 1005.5);
    fs::write(
        folder.file("two.rec"),
        "input x, y\nparam a = 1\nloss a * x * y\n",
    )
    .unwrap();
    fs::write(folder.file("x.csv"), "x\n1\n2\n").unwrap();
    fs::write(folder.file("y.tsv"), "t\ty\n0\t3\n0\t4\n").unwrap();
    let line = "run two.rec --json -d x.csv -d y.tsv";
    assert_eq!(
        json(&success(&bptt(&folder, &arguments(line))))["loss"],
        11.0
    );
    let message = failure(
        &bptt(&folder, &arguments("run two.rec -d x.csv -d x.csv")),
        3,
    );
    assert!(
        message.contains("x.csv: has `x`, as one of the files before it (`x.csv`) has"),
        "{message}"
    );
    let message = failure(
        &bptt(
            &folder,
            &arguments("grad two.rec -d x.csv -d y.tsv -o y.npz -d y.npz"),
        ),
        3,
    );
    assert!(message.contains("y.npz: cannot be read"), "{message}");
}

/// The classes of a fit are those of the commands that read its parameters.
#[test]
fn texts_of_classes_are_saved_with_the_parameters() {
    let folder = folder("classes");
    let source = "dim C\ninput y: class(C)\nparam p[C]\nloss softmax_cross_entropy(p, y)\n";
    fs::write(folder.file("c.rec"), source).unwrap();
    fs::write(folder.file("train.csv"), "y\nlow\nhigh\nmid\nlow\n").unwrap();
    fs::write(folder.file("test.csv"), "y\nmid\n").unwrap();
    fs::write(folder.file("other.csv"), "y\nmid\nnone\n").unwrap();
    success(&bptt(
        &folder,
        &arguments("fit c.rec -d train.csv --steps 5 -o p.npz"),
    ));
    success(&bptt(
        &folder,
        &arguments("convert c.rec -p p.npz -o p.safetensors"),
    ));
    for file in ["p.npz", "p.safetensors"] {
        let saved = Arrays::read(folder.file(file)).unwrap();
        let classes: Vec<_> = saved.saved_alphabets().collect();
        assert_eq!(
            classes,
            [("y".into(), ["high", "low", "mid"].map(Into::into).to_vec())]
        );
        let line = format!("grad c.rec -d test.csv -p {file} --json");
        let found = json(&success(&bptt(&folder, &arguments(&line))));
        let gradient: Vec<f64> = serde_json::from_value(found["gradients"]["p"].clone()).unwrap();
        assert!(
            gradient[2] < 0.0 && gradient[0] > 0.0 && gradient[1] > 0.0,
            "{gradient:?}"
        );
    }
    let message = failure(
        &bptt(&folder, &arguments("grad c.rec -d other.csv -p p.npz")),
        3,
    );
    assert!(
        message.contains(
            "other.csv: line 3: `y`: expected one of the classes `high`, `low`, `mid`, found `none`"
        ),
        "{message}"
    );
}

/// The texts of an array of classes are those of all its columns; they fix the size and are saved for each input.
#[test]
fn inputs_with_the_same_classes_have_one_numbering() {
    let folder = folder("numbering");
    let source = "dim S, C, K\nsample input lab[S]: class(C)\ninput y: class(C)\nparam E[C, K], p[C]\n\
                  loss softmax_cross_entropy(p, y) + sum(gather(E, lab)^2)\n";
    fs::write(folder.file("c.rec"), source).unwrap();
    fs::write(folder.file("train.csv"), "y,l0,l1\nb,c,a\nd,c,a\n").unwrap();
    let columns = "--dims K=2 --columns lab[0]=l0,lab[1]=l1";
    let line = format!("fit c.rec -d train.csv {columns} --steps 2 -o p.npz");
    success(&bptt(&folder, &arguments(&line)));
    let saved = Arrays::read(folder.file("p.npz")).unwrap();
    assert_eq!(saved.get("p").unwrap().shape(), [4]);
    let texts = ["a", "b", "c", "d"].map(String::from).to_vec();
    let mut classes: Vec<_> = saved.saved_alphabets().collect();
    classes.sort();
    assert_eq!(
        classes,
        [("lab".into(), texts.clone()), ("y".into(), texts)]
    );
    fs::write(folder.file("test.csv"), "y,l0,l1\nb,1,a\n").unwrap();
    let line = format!("run c.rec -d test.csv {columns}");
    let message = failure(&bptt(&folder, &arguments(&line)), 3);
    assert!(
        message.contains("found `a`; to read all fields as texts: `--columns 'lab[1]=l1:class'`"),
        "{message}"
    );
    fs::write(folder.file("days.csv"), "x\n2024-01-02\n").unwrap();
    let message = failure(&bptt(&folder, &arguments("run sum.rec -d days.csv")), 3);
    assert!(
        message.contains("to read dates as numbers: `--columns x=x:days`"),
        "{message}"
    );
    fs::write(folder.file("x.csv"), "x\n1\nNA\n").unwrap();
    fs::write(folder.file("y.csv"), "y\n1\n2\n").unwrap();
    fs::write(
        folder.file("two.rec"),
        "input x, y\nparam a = 1\nloss a * x * y\n",
    )
    .unwrap();
    let line = "run two.rec -d x.csv -d y.csv --missing drop-row";
    let message = failure(&bptt(&folder, &arguments(line)), 3);
    assert!(
        message.contains("x.csv: line 3 has a missing value")
            && message.contains("give `--missing mask`"),
        "{message}"
    );
}

#[test]
fn options_without_an_effect_are_refused() {
    let folder = folder("refused");
    for (line, expected) in [
        (
            "run sum.rec -d d.npz --id who",
            "--id has no effect without a table",
        ),
        (
            "run sum.rec -d d.npz --missing split",
            "--missing has no effect without a table",
        ),
        (
            "run sum.rec -d prices.csv --columns x=Close,x=Date",
            "--columns names `x` twice",
        ),
        (
            "run sum.rec -d prices.csv --columns x",
            "expected INPUT=COLUMN, such as x=Close",
        ),
        (
            "run sum.rec -d prices.csv --decimal 12",
            "expected one sign, such as `,`",
        ),
        (
            "run sum.rec -d prices.csv --thousands .",
            "give another --decimal, such as --thousands . --decimal ,",
        ),
        (
            "run sum.rec -d prices.csv --thousands , --decimal ,",
            "give another --decimal, such as --thousands , --decimal .",
        ),
        (
            "run sum.rec -d prices.csv --missing never",
            "drop-row, split, mask",
        ),
        ("check sum.rec --columns x=Close", "--data"),
    ] {
        let message = failure(&bptt(&folder, &arguments(line)), 2);
        assert!(message.contains(expected), "{line}: {message}");
    }
    for (line, expected) in [
        (
            "run sum.rec -d prices.csv --columns z=Close",
            "input named `z`",
        ),
        (
            "run sum.rec -d prices.csv --columns x=Open",
            "there is no column `Open`; the table has",
        ),
        (
            "run sum.rec -d prices.csv --columns x=Close --id who",
            "there is no column `who`",
        ),
        (
            "run sum.rec -d prices.csv --columns x=Remark",
            "line 2: `Remark`: expected a number, found `a, b`",
        ),
    ] {
        let message = failure(&bptt(&folder, &arguments(line)), 3);
        assert!(message.contains(expected), "{line}: {message}");
    }
}
