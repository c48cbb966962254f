//! Every message names something that the user can type: a table of wrong inputs, each with a fragment of the
//! remedy.

use std::fs;

use crate::command::{bptt, failure};
use crate::support::folder::Folder;
use bptt::data::Arrays;
use bptt::{Batch, Error, Params, Recurrence};
use ndarray::{Array2, Array3};

const START: &str = "dim H, C\ninput x[H], y[H], s, c: class(C)\nparam W[H, H], v[3], a\n\
                     state h[H]\nh' = tanh(W @ h + x)\n";

/// A line of a text, and a fragment of the correct form.
const LINES: &[(&str, &str)] = &[
    ("b = delay(s, 2)", "`lag(s, 2)`"),
    ("b = delay(s, 2)", "`delay(s, 2.0)`"),
    ("b = delay(s, 1)", "`delay(s)`"),
    ("b = delay(s, H)", "`delay(s, 1.0 * (…))`"),
    ("b = delay(s, -1)", "`advance(s)`"),
    ("b = delay(s, 0)", "`delay(s)`"),
    (
        "fn later(u, n) = delay(u, n)\nb = later(s, 2)",
        "`lag(u, 2)`",
    ),
    ("b = advance(s, 2)", "`advance(advance(x))`"),
    ("b = 0 < s < 1", "`0 < s and s < 1`"),
    ("b = 0 <= s + 1 < 2 * a", "`0 <= s + 1 and s + 1 < 2 * a`"),
    ("b = s == a == 1", "`s == a and a == 1`"),
    ("b = W^T @ x", "`W.T`"),
    ("b = W' @ x", "`W.T`"),
    ("b = x.T @ y", "`x @ y`"),
    ("b = x.T @ W", "`W.T @ x`"),
    ("b = x @ y.T", "`outer(x, y)`"),
    ("b = W^-1 @ x", "`1 / W`"),
    ("b = x'", "`advance(x)`"),
    ("b = h''", "`h'`"),
    ("b = x_t", "`delay(x)`"),
    ("b = h_t", "`h'`"),
    ("b = h_prev", "`h`"),
    ("b = h_{t-1}", "`delay(x)`"),
    ("b = x[t-1]", "`delay(x)`"),
    ("b = h[t-1]", "`h'`"),
    ("b = h(t-1)", "`h'`"),
    ("b = x(t)", "`delay(x)`"),
    ("b = s(1 - a)", "`s * (…)`"),
    ("b = x[-1]", "counted from 0"),
    ("b = v[3]", "`x[a:b]`"),
    ("b = v[0, 1]", "`x[a:b]`"),
    ("b = c[0]", "`one_hot(c)`"),
    ("b = c + 1", "`one_hot(c)`"),
    ("output o = c", "`one_hot(c)`"),
    ("b = exp(c)", "`one_hot(c)`"),
    ("b = 2x", "`2 * x`"),
    ("b = 2(s + 1)", "`a * b`"),
    ("b = a s", "`a * b`"),
    ("b = |s|", "`abs(x)`"),
    ("b = ‖x‖", "`norm(x)`"),
    ("b = e^s", "`exp(x)`"),
    ("b = True", "numbers 1 and 0"),
    ("b = log(s)", "`ln(x)`"),
    ("b = mean(s)", "`mean loss s`"),
    ("b = mean(W, 0)", "`mean(A, rows)`"),
    ("b = average(x)", "`mean(x)`"),
    ("b = mse(x, x)", "`mean((x - x)^2)`"),
    ("b = sigma(s)", "`sigmoid(x)`"),
    ("b = det(W)", "`exp(logdet(A))`"),
    ("b = clip(s, 0, 1)", "`clamp(x, a, b)`"),
    ("b = where(s > 0, s, 0)", "`select(c, a, b)`"),
    ("b = sum(W, 0)", "`sum(A, rows)`"),
    ("b = sum(W, 1)", "`sum(A, columns)`"),
    ("b = sum(W, axis=0)", "`sum(A, rows)`"),
    ("b = softmax(x, 0)", "`softmax(A, rows)`"),
    ("b = np.tanh(x)", "`tanh(…)`"),
    ("b = x.sum()", "`sum(x)`"),
    ("b = W.dot(x)", "`W @ x`"),
    ("b = dot(W, x)", "`A @ b`"),
    ("b = W * x", "`@`"),
    ("b = s @ a", "`*`"),
    ("b = max(s)", "it is defined for a vector or a matrix"),
    ("b = max(a, s, s)", "`max` takes 2 arguments, found 3"),
    ("b = argmax(W)", "`argmax(A, rows)`"),
    ("b = rows(x)", "stands beside a matrix"),
    ("b = surrogate(s)", "with the derivative of `b`"),
    ("b = detach(s)", "`stop_gradient(x)`"),
    ("b = W + x", "`A + rows(v)`"),
    ("b = x[0:H - 1]", "`dim H >= 2`"),
    ("b = max(s, a, 1)", "`max(a, max(b, c))`"),
    ("b = s ** 2", "`a^b`"),
    ("b = s² + s⁴", "`x^4`"),
    ("b = s % 2", "`#`"),
    ("b = s // 2", "`#`"),
    ("b = !s", "`not c`"),
    ("b = (s > 0) && (s < 1)", "`0 < x and x < 1`"),
    ("b = (s > 0) || (a > 0)", "`a or b`"),
    ("b = s > 0 ? s : 0", "`select(c, a, b)`"),
    ("b = if s > 0 then s else 0", "`select(c, a, b)`"),
    ("b = s if a else 0", "`select(c, a, b)`"),
    ("b = d = s", "`a == b`"),
    ("b += s", "`b = a + c`"),
    ("b <- s", "`a = e`"),
    ("b := s", "`a = e`"),
    ("b = 1,5 * s", "`.`"),
    ("b[t] = s", "`h'`"),
    ("b(t) = s", "`fn f(x) = …`"),
    ("h = tanh(x)", "`h' = …`"),
    ("s' = 1", "`state s`"),
    ("let b = s", "`a = e`"),
    ("b = [x, s]", "`concat(x, [s])`"),
    ("b = \"s\"", "`#`"),
    ("b = tanh s", "`tanh(x)`"),
    ("b = sin^2(s)", "`a * b`"),
    ("b = tanh", "`tanh(x)`"),
    ("b = s;", "ends with its line"),
    ("dim D = 5", "`Batch::size(\"D\", 5)`"),
    ("param p[0]", "this size is 0, expected at least 1"),
    ("param p[H, 0]", "`param w`"),
    ("input d: class(0)", "this size is 0"),
    ("b = sum(spread(s, [0]))", "this size is 0"),
    (
        "param p[4294967294]\nparam q[4294967295]",
        "at most 4294967294",
    ),
    ("param p[1e30]", "this size is too large"),
    ("final mean loss s", "`mean final loss e`"),
    ("loss mean s", "`mean loss e`"),
    ("loss final s", "`final loss e`"),
    ("input sample z", "`sample input z`"),
    ("input mask z", "`mask input z`"),
    ("state backward k", "`backward state k`"),
    ("output final z", "`final output z`"),
    ("param tangent z", "`tangent param z`"),
    ("param p q", "`param p, q`"),
    ("input z = 3", "`param z = …`"),
    ("loss = s", "`loss e`"),
    ("loss x", "`sum(x)`"),
    ("state k[H] = x\nk' = k", "`first(…)`"),
    ("state k", "`k' = …`"),
    ("b = ss + zz", "`param zz`"),
    ("b = d\nd = b", "`state`"),
    ("input z[Z]", "`dim Z`"),
    ("fn f(u, u) = u", "used again here"),
    ("fn f(u) = f(u)\nb = f(s)", "calls itself"),
    ("param p ~ gauss(1)", "`normal(a)`"),
    ("param p = sqrt(2)", "`= 0.1`"),
    ("b = spread(1, H)", "`spread(x, [H, K])`"),
    ("b = hold(a, often)", "`hold(x, step)`"),
    ("b = repeat(x, 3, H)", "`repeat(v, rows, n)`"),
    ("b = powi(s, 0.5)", "whole number"),
    ("b = powi(s, 99999999999)", "to 2147483647; `pow(x, a)`"),
    (
        "b = ((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((s))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))))",
        "`a = …`",
    ),
];

#[test]
fn of_the_language() {
    let mut missing = Vec::new();
    for (line, fragment) in LINES {
        let text = format!("{START}{line}\n");
        let found = match Recurrence::parse("cell.rec", &text) {
            Err(found) => found.to_string(),
            Ok(_) => panic!("`{line}` is taken"),
        };
        if !found.contains(fragment) {
            missing.push(format!("{line}: {fragment} is not in\n{found}"));
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// The same for a whole text.
#[test]
fn of_the_library() {
    let text = format!("{START}b = v[0] + a\nloss sum(h'^2) * b\n");
    let r = Recurrence::parse("cell.rec", &text).unwrap();
    let none = Recurrence::parse("none.rec", "input x\noutput o = 2 * x\n").unwrap();
    let params = Params::new()
        .with("W", Array2::<f64>::ones((2, 2)))
        .with("v", ndarray::Array1::ones(3))
        .with("a", ndarray::arr0(1.0));
    let batch = Batch::new(2, 1)
        .with("x", Array3::<f64>::ones((2, 1, 2)))
        .with("y", Array3::<f64>::ones((2, 1, 2)))
        .with("s", Array2::<f64>::ones((2, 1)))
        .with_classes("c", Array2::zeros((2, 1)));
    let long = format!("{}\u{1b}[31m", "n".repeat(70_000));
    let bound = |params: &Params<f64>, batch: &Batch<f64>| r.evaluate(params, batch).unwrap_err();
    let errors: Vec<(Error, &str)> = vec![
        (
            none.gradient(bptt::Wrt::Parameters).unwrap_err(),
            "`r.loss(…)`",
        ),
        (
            none.gradient(bptt::Wrt::Parameters).unwrap_err(),
            "`final loss …`",
        ),
        (r.compile::<f64>(&[]).unwrap_err(), "`(\"H\", 8)`"),
        (r.compile::<f64>(&[("h", 3)]).unwrap_err(), "`H`"),
        (bound(&params, &batch), "`Batch::size(\"C\", 8)`"),
        (
            bound(&params, &batch.clone().size("Hidden", 6).size("C", 2)),
            "`H`, `C`",
        ),
        (
            bound(&params, &batch.clone().size("H", 3).size("C", 2)),
            "`Batch::size`",
        ),
        (bound(&Params::new(), &batch.clone().size("C", 2)), "[H, H]"),
        (
            bound(&params.clone().with("w", ndarray::arr0(1.0)), &batch),
            "`W`",
        ),
        (
            bound(&params.clone().with(&long, ndarray::arr0(1.0)), &batch),
            "`W`",
        ),
        (
            bound(&params, &batch.clone().with(&long, ndarray::arr0(1.0))),
            "`x`",
        ),
        (
            bound(
                &params.clone().with("a", ndarray::arr0(f64::NAN)),
                &batch.clone().size("C", 2),
            ),
            "`a` is not finite: it is NaN",
        ),
        (
            bound(
                &params,
                &batch.clone().size("C", 2).with("c", Array2::zeros((2, 1))),
            ),
            "array `c`: expected classes, found real numbers; give classes with `Batch::with_classes`",
        ),
        (
            bound(
                &params,
                &batch
                    .clone()
                    .size("C", 2)
                    .with_classes("s", Array2::zeros((2, 1))),
            ),
            "array `s`: expected real numbers, found classes; give real numbers with `Batch::with`",
        ),
        (r.gradient(&["hh"]).unwrap_err(), "`h`"),
        (r.gradient(&[&*long]).unwrap_err(), "`h`"),
        (r.gradient(&["c"]).unwrap_err(), "a class"),
        (batch.samples_of(&r, &[1]).unwrap_err(), "0 to 0"),
        (
            Recurrence::parse("a.rec", "input x\nloss y\n")
                .unwrap_err()
                .into(),
            "`input y`",
        ),
        (
            Recurrence::define(&long, |r| r.loss(r.param(&"n".repeat(256), ()))).unwrap_err(),
            "at most 255",
        ),
    ];
    for (error, fragment) in errors {
        let text = error.to_string();
        assert!(text.contains(fragment), "{fragment} is not in\n{text}");
        assert!(
            text.len() < 6_000 && !text.contains('\u{1b}'),
            "{} bytes",
            text.len()
        );
        assert_eq!(format!("{error:?}"), text, "`main` prints the `Debug`");
    }
}

#[test]
fn of_the_command_line() {
    let folder = Folder::new("messages");
    let text = "dim H\ninput x[H]\nparam W[H, H]\nstate h[H]\nh' = tanh(W @ h + x)\n";
    fs::write(folder.file("cell.rec"), format!("{text}loss sum(h'^2)\n")).unwrap();
    fs::write(folder.file("none.rec"), format!("{text}output h'\n")).unwrap();
    fs::write(
        folder.file("free.rec"),
        "dim H\nparam w[H]\ninput x\nloss x * sum(w)\n",
    )
    .unwrap();
    fs::write(folder.file("wrong.rec"), "input x\nloss log(x)\n").unwrap();
    let file = |name: &str, arrays: Arrays| arrays.write(folder.file(name)).unwrap();
    let x = Array3::<f64>::ones((3, 2, 2));
    file("d.npz", Arrays::new().with("x", x.clone()));
    file("z.npz", Arrays::new().with("z", x.clone()));
    file(
        "s.npz",
        Arrays::new().with("x", Array2::<f64>::ones((3, 2))),
    );
    let long = format!("{}\u{1b}[31m", "n".repeat(70_000));
    file("long.safetensors", Arrays::new().with(&long, x.clone()));
    file(
        "noted.safetensors",
        Arrays::new().with(&long, x.clone()).with("x", x),
    );
    fs::write(folder.file("d.txt"), "1").unwrap();
    fs::write(folder.file("empty.rec"), "# nothing\n\n").unwrap();
    fs::write(folder.file("large.rec"), "input x\nloss 1e308 * x * 100\n").unwrap();
    fs::write(folder.file("one.rec"), "input x\nparam a = 1\nloss a * x\n").unwrap();
    fs::write(folder.file("d.csv"), "x\n1\n").unwrap();
    fs::write(folder.file("text.csv"), "x,y\nten,1\n").unwrap();
    fs::write(folder.file("none.csv"), "x,y\n").unwrap();
    let one = || Arrays::new().with("x", Array2::<f64>::ones((2, 2)));
    file(
        "lengths.npz",
        one().with("lengths", ndarray::array![-1_i64, 2]),
    );
    file(
        "flags.npz",
        one().with("lengths", ndarray::array![true, true]),
    );

    // The exit code, the command and a fragment of the message.
    let lines: &[(i32, &str, &str)] = &[
        (3, "grad none.rec -d d.npz", "`final loss …`"),
        (3, "fit none.rec -d d.npz -o o.npz", "`final loss …`"),
        (
            3,
            "grad cell.rec -d d.npz --out g.json",
            ".npz or a .safetensors",
        ),
        (
            3,
            "grad cell.rec -d d.npz --out g.csv",
            ".npz or a .safetensors",
        ),
        (
            3,
            "grad cell.rec -d d.npz --out g.pt",
            ".npz or a .safetensors",
        ),
        (
            3,
            "grad cell.rec -d d.txt",
            ".npz, .npy, .safetensors, .csv or .tsv",
        ),
        (3, "grad cell.rec -d d.npz --dims Hidden=6", "known: `H`"),
        (
            3,
            "fit cell.rec -d d.npz --dims Hidden=6 -o o.npz",
            "known: `H`",
        ),
        (3, "check cell.rec --dims Hidden=6", "known: `H`"),
        (
            3,
            "show cell.rec --format stages --dims Hidden=6",
            "known: `H`",
        ),
        (
            3,
            "grad cell.rec -d d.npz --dims H=4",
            "--dims H=4 contradicts the array `x`",
        ),
        (3, "grad free.rec -d s.npz", "--dims H=…, such as H=8"),
        (
            2,
            "fit cell.rec -d d.npz -o o.npz --lr -1",
            "the learning rate must be positive, such as 0.01",
        ),
        (
            2,
            "fit cell.rec -d d.npz -o o.npz --lr 0",
            "the learning rate must be positive",
        ),
        (
            2,
            "fit cell.rec -d d.npz -o o.npz --lr nan",
            "the learning rate must be positive",
        ),
        (
            2,
            "fit cell.rec -d d.npz -o o.npz --clip -1",
            "the largest norm must be positive",
        ),
        (
            2,
            "fit cell.rec -d d.npz -o o.npz --optimizer sgd --momentum -1",
            "such as 0.9",
        ),
        (
            2,
            "fit cell.rec -d d.npz -o o.npz --optimizer sgd --momentum 1",
            "such as 0.9",
        ),
        (2, "fit cell.rec -d d.npz -o o.npz --steps -1", "from 0 on"),
        (2, "fit cell.rec -d d.npz -o o.npz --batch -1", "from 1 on"),
        (2, "fit cell.rec -d d.npz -o o.npz --batch 0", "from 1 on"),
        (2, "check cell.rec --seed -1", "from 0 on, found `-1`"),
        (
            2,
            "grad cell.rec -d d.npz --seed -1",
            "from 0 on, found `-1`",
        ),
        (2, "fit cell.rec -d d.npz -o o.npz --seed -1", "from 0 on"),
        (2, "derive cell.rec -d d.npz --seed -1", "from 0 on"),
        (2, "check cell.rec --seed 1.5", "from 0 on, found `1.5`"),
        (2, "check cell.rec --trials -1", "from 1 on, found `-1`"),
        (2, "check cell.rec --trials 0", "from 1 on, found `0`"),
        (2, "check cell.rec --steps -1", "from 1 on, found `-1`"),
        (
            2,
            "check cell.rec --memory -1",
            "such as 512M or 8G, found `-1`",
        ),
        (
            2,
            "--memory -8G check cell.rec",
            "such as 512M or 8G, found `-8G`",
        ),
        (2, "check cell.rec --memory 0", "such as 512M or 8G"),
        (
            2,
            "fit cell.rec -d d.npz -o o.npz --save-every -1",
            "from 1 on",
        ),
        (2, "check cell.rec --dims H", "H=3"),
        (2, "check cell.rec --dims H=-3", "from 1 on"),
        (3, "check lstn", "`lstm`"),
        (
            3,
            "show empty.rec",
            "empty.rec: is empty, expected a recurrence; `bptt new",
        ),
        (3, "check empty.rec", "empty.rec: is empty"),
        (3, "run large.rec -d d.csv", "`1e308 * x * 100` is inf"),
        (3, "grad one.rec -d text.csv", "text.csv: "),
        (
            3,
            "grad one.rec -d text.csv",
            "line 2: `x`: expected a number, found `ten`",
        ),
        (
            3,
            "grad one.rec -d none.csv",
            "none.csv: has a row of names and no row of numbers",
        ),
        (3, "grad one.rec -d lengths.npz", "lengths.npz: "),
        (
            3,
            "grad one.rec -d lengths.npz",
            "the length of sample 0 is -1, expected 1 to 2",
        ),
        (3, "grad one.rec -d flags.npz", "flags.npz: "),
        (3, "grad one.rec -d flags.npz", "`array.astype(np.int64)`"),
        (3, "show LSTM", "did you mean `lstm`?"),
        (3, "show GRU", "did you mean `gru`?"),
        (3, "show Logistic_Map", "did you mean `logistic_map`?"),
        (3, "grad cell.rec -d d.npz --wrt w", "did you mean `W`?"),
        (3, "check wrong.rec", "`ln(x)`"),
        (3, "grad cell.rec -d z.npz", "the file has: `z`"),
        (3, "grad cell.rec -d long.safetensors", "the file has: `nnn"),
        (3, "grad cell.rec -d d.npz -p long.safetensors", "`W`"),
        (3, "grad cell.rec -d d.npz --wrt V", "`W`"),
        (3, "new cell.txt", ".rec"),
    ];
    for (code, line, fragment) in lines {
        let arguments: Vec<&str> = line.split(' ').collect();
        let found = failure(&bptt(&folder, &arguments), *code);
        assert!(
            found.contains(fragment),
            "{line}: {fragment} is not in\n{found}"
        );
        assert!(
            found.len() < 6_000 && !found.contains('\u{1b}'),
            "{line}: {} bytes",
            found.len()
        );
        for stranger in ["Batch::size", "compile", "-- -1", "ShapeError", "gradient("] {
            assert!(
                !found.contains(stranger),
                "{line}: {stranger} is in\n{found}"
            );
        }
    }
    let noted = bptt(&folder, &["grad", "cell.rec", "-d", "noted.safetensors"]);
    let note = String::from_utf8(noted.stderr).unwrap();
    assert!(
        note.contains("not used") && note.len() < 1_000 && !note.contains('\u{1b}'),
        "{note}"
    );
}
