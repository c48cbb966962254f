//! Output files that are inputs of the same command.

use std::fs;

use crate::command::{bptt, failure, success};
use crate::support::folder::Folder;
use bptt::data::Arrays;
use ndarray::Array2;

const CELL: &str = "input x\nparam a = 1\nmean loss (x - a)^2\n";

fn folder(name: &str) -> Folder {
    let folder = Folder::new(name);
    fs::write(folder.file("c.rec"), CELL).unwrap();
    let x = Array2::from_shape_fn((4, 2), |(t, b)| (t + b) as f64);
    let data = Arrays::new().with("x", x);
    data.write(folder.file("d.npz")).unwrap();
    fs::create_dir(folder.file("sub")).unwrap();
    folder
}

fn run(folder: &Folder, line: &str) -> std::process::Output {
    bptt(folder, &line.split(' ').collect::<Vec<_>>())
}

/// The command line is wrong, whatever the spelling of the path, and the input keeps its content.
#[test]
fn an_output_does_not_replace_an_input() {
    let folder = folder("overwrite");
    success(&run(&folder, "fit c.rec -d d.npz --steps 2 -o p.npz"));
    // A file whose name is that of a recurrence of the library is no input.
    fs::copy(folder.file("c.rec"), folder.file("lstm")).unwrap();
    success(&run(&folder, "show lstm --out lstm"));
    let kept = ["c.rec", "d.npz", "p.npz"].map(|name| fs::read(folder.file(name)).unwrap());
    let recurrence = "would replace the recurrence";
    let data = "would replace the data; choose another name, such as --out d-out.npz";
    let params = "would replace the parameters; choose another name, such as --out p-out.npz";
    for (line, words) in [
        ("derive c.rec --out c.rec", recurrence),
        ("derive c.rec --format html --out c.rec", "--out c-out.html"),
        (
            "derive c.rec -d d.npz -p p.npz -o p.npz",
            "would replace the parameters",
        ),
        ("show c.rec --out c.rec", "such as --out c-out.rec"),
        (
            "show c.rec --out ./c.rec",
            "would replace the recurrence `c.rec`",
        ),
        ("show sub/../c.rec --out c.rec", recurrence),
        ("show c.rec --format svg --out sub/../c.rec", recurrence),
        ("grad c.rec -d d.npz -o d.npz", data),
        ("grad c.rec -d d.npz -p p.npz -o p.npz", params),
        (
            "run c.rec -d ./d.npz -o d.npz",
            "would replace the data `./d.npz`",
        ),
        ("run c.rec -d d.npz -o c.rec", recurrence),
        ("fit c.rec -d d.npz -o d.npz", data),
        ("fit c.rec -d d.npz -p p.npz -o d.npz", data),
        ("fit c.rec -d d.npz --resume p.npz -o d.npz", data),
        ("fit c.rec --text c.rec -o c.rec", recurrence),
        ("fit lstm --text d.npz -o d.npz", "would replace the text"),
        ("convert c.rec -p p.npz -o p.npz --dtype f32", params),
        ("export c.rec -p p.npz -o p.npz", params),
        ("vectors c.rec -o c.rec", recurrence),
    ] {
        let found = failure(&run(&folder, line), 2);
        assert!(found.contains(words), "{line}: {words} is not in\n{found}");
        let there = ["c.rec", "d.npz", "p.npz"].map(|name| fs::read(folder.file(name)).unwrap());
        assert!(there == kept, "{line}: the inputs are as they were");
    }
}

#[test]
fn a_fit_replaces_its_own_parameters() {
    let folder = folder("improved");
    for line in [
        "fit c.rec -d d.npz --steps 2 --save-every 1 -o p.npz",
        "fit c.rec -d d.npz --steps 4 --save-every 1 --resume p.npz -o p.npz",
        "fit c.rec -d d.npz --steps 2 -p p.npz -o p.npz",
    ] {
        success(&run(&folder, line));
    }
}

#[cfg(unix)]
#[test]
fn a_link_to_an_input_is_that_input() {
    let folder = folder("linked");
    std::os::unix::fs::symlink("d.npz", folder.file("link.npz")).unwrap();
    std::os::unix::fs::symlink(".", folder.file("here")).unwrap();
    for line in [
        "grad c.rec -d d.npz -o link.npz",
        "grad c.rec -d link.npz -o d.npz",
        "grad c.rec -d d.npz -o here/d.npz",
    ] {
        let found = failure(&run(&folder, line), 2);
        assert!(
            found.contains("would replace the data `"),
            "{line}: {found}"
        );
    }
    // A device is no file, and may be both.
    success(&run(&folder, "show c.rec --out /dev/null"));
}
