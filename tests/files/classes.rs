//! Columns of classes: texts, whole numbers, and one numbering for all inputs with the same number of classes.

use std::fs;

use crate::options::{numbers, read, recurrence, refusal, step};
use crate::support::folder::Folder;
use bptt::data::{Arrays, ReadOptions};
use ndarray::array;

/// A text is the same class in each column of inputs with the same number of classes, and in each file.
#[test]
fn one_text_is_one_class_of_a_size() {
    let pair = recurrence(
        "dim C, D\ninput x: class(C), y: class(C), z: class(D)\nparam p[C], q[D]\n\
         loss a * gather(p, x) * gather(p, y) * gather(q, z)",
    );
    let text = "x,y,z\nrain,sat,sat\nsat,wind,on\n";
    let found = read(text, &pair, &ReadOptions::new()).unwrap();
    assert_eq!(numbers(&found, "x"), step(&[0.0, 1.0]));
    assert_eq!(numbers(&found, "y"), step(&[1.0, 2.0]));
    assert_eq!(numbers(&found, "z"), step(&[1.0, 0.0]));
    for (name, texts) in [
        ("x", &["rain", "sat", "wind"][..]),
        ("y", &["rain", "sat", "wind"]),
        ("z", &["on", "sat"]),
    ] {
        assert_eq!(found.alphabet(name).unwrap(), texts, "{name}");
    }
    // The texts of one input are those of the other.
    let given = ReadOptions::new().alphabet("y", ["wind", "sat", "rain"]);
    let found = read(text, &pair, &given).unwrap();
    assert_eq!(numbers(&found, "x"), step(&[2.0, 1.0]));

    let folder = Folder::new("alphabets");
    let write = |name: &str, text: &str| {
        fs::write(folder.file(name), text).unwrap();
        folder.file(name)
    };
    let first = write("x.csv", "x,z\nsat,on\nrain,off\nwind,on\n");
    let second = write("y.csv", "y\nwind\nwind\nsat\n");
    let all = [first, second];
    let found = ReadOptions::new().read_all(&pair, &all).unwrap();
    assert_eq!(numbers(&found, "y"), step(&[2.0, 2.0, 1.0]));
    assert_eq!(found.alphabet("y").unwrap(), ["rain", "sat", "wind"]);
    write("y.csv", "y\nwind\nsnow\nsat\n");
    let found = ReadOptions::new().read_all(&pair, &all).unwrap();
    let message = found.batch::<f64>(&pair).unwrap_err().to_string();
    assert!(
        message.contains(
            "line 3: `y`: expected one of the classes `rain`, `sat`, `wind`, found `snow`"
        ),
        "{message}"
    );
    write("x.csv", "x,z\n0,on\n1,off\n2,on\n");
    let found = ReadOptions::new().read_all(&pair, &all);
    let message = found.unwrap_err().to_string();
    assert!(
        message.contains("y.csv: has texts for the classes `y`, and")
            && message.contains("x.csv` whole numbers for `x`"),
        "{message}"
    );
    // A size of a number has room for the texts of all inputs.
    let fixed = recurrence(
        "input x: class(2), y: class(2)\nparam p[2]\nloss a * gather(p, x) * gather(p, y)",
    );
    let message = refusal("x,y\non,up\noff,down\n", &fixed, &ReadOptions::new());
    assert!(
        message.contains("columns `x`, `y` have 4 texts"),
        "{message}"
    );
}

/// The entries of an array of classes are texts or whole numbers, numbered as one.
#[test]
fn arrays_of_classes_have_one_numbering() {
    let labels = recurrence(
        "dim S, C, K\nsample input lab[S]: class(C)\ninput x\nparam E[C, K]\nloss a * x * sum(gather(E, lab))",
    );
    let text = "x,l0,l1\n1,b,a\n2,b,a\n";
    for suffix in ["", ":class"] {
        let options = ReadOptions::new()
            .column("lab[0]", &format!("l0{suffix}"))
            .column("lab[1]", &format!("l1{suffix}"));
        let found = read(text, &labels, &options).unwrap();
        assert_eq!(numbers(&found, "lab"), array![[1.0, 0.0]].into_dyn());
        assert_eq!(found.alphabet("lab").unwrap(), ["a", "b"]);
    }
    let found = read("x,lab[0],lab[1]\n1,3,0\n", &labels, &ReadOptions::new()).unwrap();
    assert_eq!(numbers(&found, "lab"), array![[3.0, 0.0]].into_dyn());
    assert!(found.alphabet("lab").is_none());
    let booleans = Arrays::new()
        .with("x", array![[1.0]])
        .with("lab", array![[true, false]]);
    let message = booleans.batch::<f64>(&labels).unwrap_err().to_string();
    assert!(
        message.contains("array `lab`: expected integers, found booleans")
            && message.contains("`array.astype(np.int64)`"),
        "{message}"
    );
}

/// A misspelt number does not turn a column of numbers into one of texts.
#[test]
fn numbers_and_texts_are_not_mixed_in_a_column_of_classes() {
    let classes = recurrence(
        "dim C\ninput x: class(C), y: class(C)\nparam p[C]\nloss a * gather(p, x) * gather(p, y)",
    );
    for (text, expected) in [
        (
            "x,g\n10,0\n1O,0\n",
            "line 3, column `x`: expected a number, as `10` in line 2, column `x`, found `1O`; to read all fields as \
             texts: `ReadOptions::column(\"x\", \"x:class\")`",
        ),
        (
            "x,g\na,0\n0,1\n",
            "line 2, column `x`: expected a number, as `0` in line 2, column `g`, found `a`",
        ),
        (
            "x,g\na,b\n,b\nb,1\n",
            "line 4, column `g`: expected a text, as `a` in line 2, column `x`, found `1`; to read all fields as texts: \
             `ReadOptions::column(\"y\", \"g:class\")`",
        ),
        (
            "x,g\n1,0\n2,1.5\n",
            "line 3, column `g`: expected a class, a whole number from 0 on, found `1.5`",
        ),
    ] {
        let message = refusal(text, &classes, &ReadOptions::new().column("y", "g"));
        assert!(message.contains(expected), "{message}");
    }
    let options = ReadOptions::new().column("x", "x:class").column("y", "g");
    let found = read("x,g\n10,a\n1O,10\n", &classes, &options).unwrap();
    assert_eq!(found.alphabet("y").unwrap(), ["10", "1O", "a"]);
    assert_eq!(numbers(&found, "y"), step(&[2.0, 0.0]));
}
