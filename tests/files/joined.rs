//! Several tables with samples, joined by the names of the samples.

use std::fs;

use crate::options::{numbers, recurrence, step};
use crate::support::folder::Folder;
use bptt::Recurrence;
use bptt::data::{Missing, ReadOptions};
use ndarray::array;

#[test]
fn a_table_with_a_row_per_sample_is_joined_by_the_names_of_the_samples() {
    let folder = Folder::new("joined");
    let write = |name: &str, text: &str| {
        fs::write(folder.file(name), text).unwrap();
        folder.file(name)
    };
    let long = write("long.csv", "who,effect\nb,5\na,1\nb,6\nc,9\n");
    let r = Recurrence::parse(
        "r.rec",
        "input effect\nsample input dose, age\nloss effect * dose + age\n",
    )
    .unwrap();
    let options = ReadOptions::new().id("who");
    let read = |rows: &str| {
        let one = write("one.csv", rows);
        options.read_all(&r, &[long.clone(), one])
    };
    let found = read("who,dose,age\na,10,1\nd,40,4\nc,30,3\nb,20,2\n").unwrap();
    assert_eq!(
        found.get("dose").unwrap().real::<f64>(),
        array![20.0, 10.0, 30.0].into_dyn()
    );
    assert_eq!(
        found.get("age").unwrap().real::<f64>(),
        array![2.0, 1.0, 3.0].into_dyn()
    );
    assert!(
        found
            .notes()
            .any(|note| note.contains("omitted 1 sample") && note.contains("`d`"))
    );
    // The same from the table with a row per sample on.
    let one = write("one.csv", "who,dose,age\na,10,1\nc,30,3\nb,20,2\n");
    let found = options.read_all(&r, &[one, long.clone()]).unwrap();
    assert_eq!(
        found.get("dose").unwrap().real::<f64>(),
        array![10.0, 30.0, 20.0].into_dyn()
    );
    let effect = found.get("effect").unwrap().real::<f64>();
    assert_eq!(effect, array![[1.0, 9.0, 5.0], [0.0, 0.0, 6.0]].into_dyn());
    let text = read("who,dose,age\na,10,1\nb,20,2\n")
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("no row of the sample `c`") && text.contains("one.csv"),
        "{text}"
    );
}

/// Rows that are left out of one table alone would be paired with other rows of another.
#[test]
fn rows_are_not_left_out_of_one_of_several_tables() {
    let folder = Folder::new("pairs");
    let write = |name: &str, text: &str| {
        fs::write(folder.file(name), text).unwrap();
        folder.file(name)
    };
    let both = recurrence("input x, y\nsample input z\nloss a * x * y * z");
    let files = [
        write("x.csv", "x,z\n1,5\nNA,5\n3,5\n"),
        write("y.csv", "y\nNA\n20\n30\n"),
    ];
    for missing in [Missing::DropRow, Missing::Split] {
        let options = ReadOptions::new().missing(missing);
        let text = options.read_all(&both, &files).unwrap_err().to_string();
        assert!(
            text.contains("x.csv: line 3 has a missing value")
                && text.contains("y.csv")
                && text.contains("choose `Missing::Mask`"),
            "{text}"
        );
    }
    // A table of inputs per sample alone has no rows of steps.
    let files = [
        write("x.csv", "x,y\n1,5\nNA,5\n3,5\n"),
        write("z.csv", "z\n7\n"),
    ];
    let options = ReadOptions::new().missing(Missing::DropRow);
    let found = options.read_all(&both, &files).unwrap();
    assert_eq!(numbers(&found, "x"), step(&[1.0, 3.0]));
}

#[test]
fn samples_of_two_tables_have_as_many_steps_and_an_order_of_their_own() {
    let folder = Folder::new("steps");
    let write = |name: &str, text: &str| {
        fs::write(folder.file(name), text).unwrap();
        folder.file(name)
    };
    let both = recurrence("input x, y\nsample input z\nloss a * x * y * z");
    let x = write("x.csv", "who,t,x\na,2,1\na,1,2\nb,1,3\nb,2,4\nb,3,5\n");
    let options = ReadOptions::new().id("who");
    for rows in [
        "who,y\na,1\na,2\na,3\nb,1\nb,2\nb,3\n",
        "who,y\nb,1\nb,2\na,1\na,2\na,3\n",
    ] {
        let y = write("y.csv", rows);
        let found = options.read_all(&both, &[x.clone(), y]);
        let text = found.unwrap_err().to_string();
        assert!(
            text.contains("y.csv: the sample `a` has 3 steps, and 2 in") && text.contains("x.csv"),
            "{text}"
        );
    }
    let z = write("z.csv", "who,z\na,1\nb,2\n");
    let found = options.sort("t").read_all(&both, &[x, z]).unwrap();
    assert_eq!(
        numbers(&found, "x"),
        array![[2.0, 3.0], [1.0, 4.0], [0.0, 5.0]].into_dyn()
    );
    assert_eq!(numbers(&found, "z"), array![1.0, 2.0].into_dyn());
}
