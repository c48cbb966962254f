//! Parameters from arrays of any names.

use bptt::Recurrence;
use bptt::data::Arrays;
use ndarray::{Array2, Array3, array};

const CELL: &str = "
dim H, K
input x[K]
param W[H, K], U[H, H], b[H], s = 1
state h[H]
h' = tanh(W @ x + U @ h + s * b)
loss sum(h')
";

fn file() -> Arrays {
    let wave = |shape: (usize, usize)| Array2::from_shape_fn(shape, |(i, j)| (10 * i + j) as f64);
    let cube = Array3::from_shape_fn((2, 2, 3), |(i, j, k)| (100 * i + 10 * j + k) as f64);
    Arrays::new()
        .with("cell/kernel", wave((3, 4)))
        .with("all.T", wave((4, 2)))
        .with("odd name", array![5.0, 6.0])
        .with("cube", cube)
        .with("s", ndarray::arr0(0.5))
}

fn cell() -> Recurrence {
    Recurrence::parse("cell.rec", CELL).unwrap()
}

#[test]
fn parts_transposes_and_sums_are_taken() {
    let lines = [
        "W = cell/kernel[:, 2:].T",
        "",
        "U = (all.T[:2] + all.T[-2:].T).T",
        "b = \"odd name\" + cube[-1, :, 0] + cube[0, 1, 0:2]",
    ];
    let found = file().mapped(&cell(), &lines).unwrap();
    let get = |name: &str| found.get(name).unwrap().real::<f64>();
    assert_eq!(
        get("W"),
        array![[2.0, 12.0, 22.0], [3.0, 13.0, 23.0]].into_dyn()
    );
    // The first part is [[0, 1], [10, 11]], the second one [[20, 21], [30, 31]].
    assert_eq!(get("U"), array![[20.0, 31.0], [31.0, 42.0]].into_dyn());
    assert_eq!(
        get("b"),
        array![5.0 + 100.0 + 10.0, 6.0 + 110.0 + 11.0].into_dyn()
    );
    assert_eq!(get("s"), ndarray::arr0(0.5).into_dyn());
}

#[test]
fn a_mistake_is_told_with_its_line() {
    let good = ["W = cell/kernel[:, :2].T", "U = all.T[:2]"];
    let refuse = |line: &str, words: &[&str]| {
        let lines = [good[0], good[1], line];
        let error = file().mapped(&cell(), &lines).unwrap_err().to_string();
        for word in words {
            assert!(error.contains(word), "{word}: {error}");
        }
    };
    refuse("b", &["line 3, `b`", "expected a line such as"]);
    refuse(
        "c = cube",
        &[
            "line 3",
            "`c` is no parameter of `cell`",
            "`W`, `U`, `b`, `s`",
        ],
    );
    refuse("W = cube", &["`W` has a line before"]);
    refuse(
        "b = bias",
        &["no array `bias`", "`cell/kernel`", "`odd name`"],
    );
    refuse(
        "b = cube[0]",
        &["the result has shape [2, 3], expected [H] of `b`"],
    );
    refuse(
        "b = cube[0, 0, ::-1]",
        &["`cube` [2, 2, 3]", "`::-1`: a step in a range"],
    );
    refuse(
        "b = cube[0, 2]",
        &[
            "`cube` [2, 2, 3]",
            "`2` is not inside of the 2 entries of axis 1",
        ],
    );
    refuse(
        "b = cube[0, 0, 1:4]",
        &["`1:4` is not inside of the 3 entries of axis 2"],
    );
    refuse("b = cube[0, 0, 2:2]", &["`2:2` has no entries"]);
    refuse("b = cube[0, 0, 0, 0]", &["has 4 places"]);
    refuse("b = cube[a]", &["`a`: expected a whole number"]);
    refuse("b = cube[0", &["a bracket is not closed"]);
    refuse("b = (cube[0, 0]", &["a parenthesis is not closed"]);
    refuse("b = \"odd", &["a quotation mark is not closed"]);
    refuse("b = ", &["expected the name of an array"]);
    refuse("b = cube.T", &["an array with 3 axes"]);
    refuse(
        "b = cube[0, 0] - cube[0, 1]",
        &["found `- cube[0, 1]`", "sums, parts and transposes"],
    );
    refuse(
        "b = cube[0, 0] + all.T",
        &["`cube[0, 0]` [3], `all.T` [4, 2]"],
    );
    refuse(
        &format!("b = {}cube", "(".repeat(40)),
        &["more than 32 parentheses"],
    );
    refuse("", &["parameter `b` [H] has no line", "`b = cell/kernel`"]);
    // `H` is 2 in the other lines.
    refuse("b = cube[0, 0]", &["`b`"]);
}
