//! An application of each row that is not pointwise.

use super::*;

pub(super) const CASES: &[Case] = &[
    Case {
        row: "alias",
        define: |r| y(r, r.param("a", [3]).named("same")),
        text: "same",
        loops: |d| d.array("a").clone(),
    },
    Case {
        row: "diag",
        define: |r| y(r, r.param("a", [3]).diag()),
        text: "diag(a)",
        loops: |d| {
            let a = d.array("a");
            array(&[3, 3], |i| if i[0] == i[1] { a[[i[0]]] } else { 0.0 })
        },
    },
    Case {
        row: "diag",
        define: |r| y(r, r.param("a", [3, 3]).diag()),
        text: "diag(a)",
        loops: |d| array(&[3], |i| d.array("a")[[i[0], i[0]]]),
    },
    Case {
        row: "reshape",
        define: |r| y(r, r.param("a", [2, 3]).reshape([3, 2])),
        text: "reshape(a, [3, 2])",
        loops: |d| {
            let a = d.array("a");
            let at = |i: &[usize]| i[0] * 2 + i[1];
            array(&[3, 2], |i| a[[at(i) / 3, at(i) % 3]])
        },
    },
    Case {
        row: "logsumexp",
        define: |r| y(r, r.param("a", [3]).logsumexp()),
        text: "logsumexp(a)",
        loops: |d| scalar(exp_sum(d).ln()),
    },
    Case {
        row: "softmax",
        define: |r| y(r, r.param("a", [3]).softmax()),
        text: "softmax(a)",
        loops: |d| d.array("a").mapv(f64::exp) / exp_sum(d),
    },
    Case {
        row: "log_softmax",
        define: |r| y(r, r.param("a", [3]).log_softmax()),
        text: "log_softmax(a)",
        loops: |d| d.array("a") - exp_sum(d).ln(),
    },
    Case {
        row: "matmul",
        define: |r| y(r, r.param("a", [2, 3]).dot(r.param("b", [3]))),
        text: "a @ b",
        loops: |d| {
            let (a, b) = (d.array("a"), d.array("b"));
            array(&[2], |i| (0..3).map(|k| a[[i[0], k]] * b[[k]]).sum())
        },
    },
    Case {
        row: "matmul",
        define: |r| y(r, r.param("a", [2, 3]).dot(r.param("b", [3, 4]))),
        text: "a @ b",
        loops: |d| {
            let (a, b) = (d.array("a"), d.array("b"));
            array(&[2, 4], |i| {
                (0..3).map(|k| a[[i[0], k]] * b[[k, i[1]]]).sum()
            })
        },
    },
    Case {
        row: "matmul",
        define: |r| y(r, r.param("a", [3]).dot(r.param("b", [3, 2]))),
        text: "bᵀ @ a",
        loops: |d| {
            let (a, b) = (d.array("a"), d.array("b"));
            array(&[2], |i| (0..3).map(|k| a[[k]] * b[[k, i[0]]]).sum())
        },
    },
    Case {
        row: "dot",
        define: |r| y(r, r.param("a", [3]).dot(r.param("b", [3]))),
        text: "dot(a, b)",
        loops: |d| scalar((0..3).map(|i| d.array("a")[[i]] * d.array("b")[[i]]).sum()),
    },
    Case {
        row: "dot",
        define: |r| y(r, r.param("a", [3, 2]).inner(r.param("b", [3, 2]))),
        text: "dot(a, b)",
        loops: |d| {
            let (a, b) = (d.array("a"), d.array("b"));
            scalar((0..6).map(|i| a[[i / 2, i % 2]] * b[[i / 2, i % 2]]).sum())
        },
    },
    Case {
        row: "outer",
        define: |r| y(r, r.param("a", [3]).outer(r.param("b", [2]))),
        text: "outer(a, b)",
        loops: |d| array(&[3, 2], |i| d.array("a")[[i[0]]] * d.array("b")[[i[1]]]),
    },
    Case {
        row: "transpose",
        define: |r| y(r, r.param("a", [3, 2]).t()),
        text: "aᵀ",
        loops: |d| array(&[2, 3], |i| d.array("a")[[i[1], i[0]]]),
    },
    Case {
        row: "sum",
        define: |r| y(r, r.param("a", [3, 2]).sum()),
        text: "sum(a)",
        loops: |d| scalar((0..6).map(|i| d.array("a")[[i / 2, i % 2]]).sum()),
    },
    Case {
        row: "sum",
        define: |r| y(r, r.param("a", [4]).sum()),
        text: "sum(a)",
        loops: |d| scalar((0..4).map(|i| d.array("a")[[i]]).sum()),
    },
    Case {
        row: "sum",
        define: |r| y(r, r.param("a", [3, 2]).sum_axis(Axis::Rows)),
        text: "sum(a, rows)",
        loops: |d| array(&[2], |j| (0..3).map(|i| d.array("a")[[i, j[0]]]).sum()),
    },
    Case {
        row: "sum",
        define: |r| y(r, r.param("a", [3, 2]).sum_axis(Axis::Columns)),
        text: "sum(a, columns)",
        loops: |d| array(&[3], |i| (0..2).map(|j| d.array("a")[[i[0], j]]).sum()),
    },
    Case {
        row: "sum",
        define: |r| y(r, r.param("a", [3, 2]).mean()),
        text: "sum(a) / 6",
        loops: |d| scalar((0..6).map(|i| d.array("a")[[i / 2, i % 2]]).sum::<f64>() / 6.0),
    },
    Case {
        row: "sum",
        define: |r| y(r, r.param("a", [3, 2]).mean_axis(Axis::Rows)),
        text: "sum(a, rows) / 3",
        loops: |d| {
            array(&[2], |j| {
                (0..3).map(|i| d.array("a")[[i, j[0]]]).sum::<f64>() / 3.0
            })
        },
    },
    Case {
        row: "sum",
        define: |r| y(r, r.param("a", [3, 2]).mean_axis(Axis::Columns)),
        text: "sum(a, columns) / 2",
        loops: |d| {
            array(&[3], |i| {
                (0..2).map(|j| d.array("a")[[i[0], j]]).sum::<f64>() / 2.0
            })
        },
    },
    Case {
        row: "sum",
        define: |r| y(r, r.param("a", [3, 2]).norm()),
        text: "sqrt(sum(a * a))",
        loops: |d| {
            scalar(
                (0..6)
                    .map(|i| d.array("a")[[i / 2, i % 2]].powi(2))
                    .sum::<f64>()
                    .sqrt(),
            )
        },
    },
    Case {
        row: "broadcast",
        define: |r| y(r, r.param("a", ()).spread([3, 2])),
        text: "a",
        loops: |d| array(&[3, 2], |_| d.array("a").sum()),
    },
    Case {
        row: "broadcast",
        define: |r| y(r, r.param("a", [3]).repeat(Axis::Rows, 2)),
        text: "repeat(a, rows)",
        loops: |d| array(&[2, 3], |i| d.array("a")[[i[1]]]),
    },
    Case {
        row: "broadcast",
        define: |r| y(r, r.param("a", [3]).repeat(Axis::Columns, 2)),
        text: "repeat(a, columns)",
        loops: |d| array(&[3, 2], |i| d.array("a")[[i[0]]]),
    },
    Case {
        row: "concat",
        define: |r| y(r, concat([r.param("a", [3]), r.param("b", [2])])),
        text: "concat(a, b)",
        loops: |d| {
            array(&[5], |i| match i[0] {
                i @ 0..3 => d.array("a")[[i]],
                i => d.array("b")[[i - 3]],
            })
        },
    },
    Case {
        row: "concat",
        define: |r| {
            let (a, b) = (r.param("a", [1, 2]), r.param("b", [3, 2]));
            y(r, concat([a, b, r.param("d", [2, 2])]));
        },
        text: "concat(a, b, d)",
        loops: |d| {
            array(&[6, 2], |i| match i[0] {
                0 => d.array("a")[[0, i[1]]],
                k @ 1..4 => d.array("b")[[k - 1, i[1]]],
                k => d.array("d")[[k - 4, i[1]]],
            })
        },
    },
    Case {
        row: "slice",
        define: |r| y(r, r.param("a", [4]).slice(1, 2)),
        text: "slice(a, rows, 1, 2)",
        loops: |d| array(&[2], |i| d.array("a")[[i[0] + 1]]),
    },
    Case {
        row: "slice",
        define: |r| y(r, r.param("a", [4, 3]).slice(2, 2)),
        text: "slice(a, rows, 2, 2)",
        loops: |d| array(&[2, 3], |i| d.array("a")[[i[0] + 2, i[1]]]),
    },
    Case {
        row: "slice",
        define: |r| y(r, r.param("a", [3, 4]).slice_columns(0, 3)),
        text: "slice(a, columns, 0, 3)",
        loops: |d| array(&[3, 3], |i| d.array("a")[[i[0], i[1]]]),
    },
    Case {
        row: "pad",
        define: |r| y(r, r.param("a", [4]).slice(1, 2)),
        text: "pad(y.bar, rows, 1, 1)",
        loops: |d| {
            array(&[4], |i| match i[0] {
                i @ 1..3 => d.array("y.bar")[[i - 1]],
                _ => 0.0,
            })
        },
    },
    Case {
        row: "pad",
        define: |r| y(r, r.param("a", [2, 5]).slice_columns(2, 1)),
        text: "pad(y.bar, columns, 2, 2)",
        loops: |d| {
            array(&[2, 5], |i| match i[1] {
                2 => d.array("y.bar")[[i[0], 0]],
                _ => 0.0,
            })
        },
    },
    Case {
        row: "gather",
        define: |r| y(r, r.input("a", [3]).gather(r.class("c", 3))),
        text: "gather(a, c)",
        loops: |d| steps(&[], |t, b, _| d.array("a")[[t, b, class(d, t, b)]]),
    },
    Case {
        row: "gather",
        define: |r| y(r, r.param("a", [3, 2]).gather(r.class("c", 3))),
        text: "gather(a, c)",
        loops: |d| steps(&[2], |t, b, j| d.array("a")[[class(d, t, b), j[0]]]),
    },
    Case {
        row: "gather",
        define: |r| y(r, r.param("a", [2, 3]).gather_column(r.class("c", 3))),
        text: "gather_column(a, c)",
        loops: |d| steps(&[2], |t, b, i| d.array("a")[[i[0], class(d, t, b)]]),
    },
    Case {
        row: "scatter",
        define: |r| y(r, r.input("a", [3]) * r.class("c", 3).one_hot()),
        text: "a * scatter(1, c)",
        loops: |d| {
            steps(&[3], |t, b, i| {
                if i[0] == class(d, t, b) {
                    d.array("a")[[t, b, i[0]]]
                } else {
                    0.0
                }
            })
        },
    },
    Case {
        row: "scatter",
        define: |r| y(r, r.input("a", [3]).gather(r.class("c", 3))),
        text: "scatter(y.bar, c)",
        loops: |d| {
            steps(&[3], |t, b, i| {
                if i[0] == class(d, t, b) {
                    d.array("y.bar")[[t, b]]
                } else {
                    0.0
                }
            })
        },
    },
    Case {
        row: "scatter",
        define: |r| y(r, r.input("a", [3, 2]).gather(r.class("c", 3))),
        text: "scatter(y.bar, c)",
        loops: |d| {
            steps(&[3, 2], |t, b, i| {
                if i[0] == class(d, t, b) {
                    d.array("y.bar")[[t, b, i[1]]]
                } else {
                    0.0
                }
            })
        },
    },
    Case {
        row: "scatter",
        define: |r| y(r, r.input("a", [2, 3]).gather_column(r.class("c", 3))),
        text: "scatter_column(y.bar, c)",
        loops: |d| {
            steps(&[2, 3], |t, b, i| {
                if i[1] == class(d, t, b) {
                    d.array("y.bar")[[t, b, i[0]]]
                } else {
                    0.0
                }
            })
        },
    },
    Case {
        row: "select",
        define: |r| {
            let c = r.param("c", [3]);
            let on = c.full_like(0.0).less(c);
            y(r, on.select(r.param("a", [3]), r.param("b", [3])));
        },
        text: "select(0 < c, a, b)",
        loops: |d| {
            array(&[3], |i| {
                let taken = if d.array("c")[i] > 0.0 { "a" } else { "b" };
                d.array(taken)[i]
            })
        },
    },
    Case {
        row: "select",
        define: |r| {
            let on = r.input("b", [3]).less(r.param("d", ()));
            y(r, on.select(r.sample_input("a", ()), on.constant(0.5)));
        },
        text: "select(b < d, a, 0.5)",
        loops: |d| {
            steps(&[3], |t, b, i| {
                if d.array("b")[[t, b, i[0]]] < d.array("d").sum() {
                    d.array("a")[[b]]
                } else {
                    0.5
                }
            })
        },
    },
    Case {
        row: "Hold(Hold(Sample))",
        define: |r| y(r, r.param("a", [2]) * r.sample_input("b", [2])),
        text: "a * b",
        loops: |d| {
            array(&[2, 2], |i| {
                d.array("a")[[i[1]]] * d.array("b")[[i[0], i[1]]]
            })
        },
    },
    Case {
        row: "Hold(Hold(Step))",
        define: |r| y(r, r.sample_input("a", [2]) * r.input("b", [2])),
        text: "a * b",
        loops: |d| {
            steps(&[2], |t, b, i| {
                d.array("a")[[b, i[0]]] * d.array("b")[[t, b, i[0]]]
            })
        },
    },
    Case {
        row: "Hold(Hold(Step))",
        define: |r| y(r, r.param("a", [2]).hold(Rate::Step)),
        text: "a",
        loops: |d| steps(&[2], |_, _, i| d.array("a")[[i[0]]]),
    },
    Case {
        row: "Total(Total(Sample))",
        define: |r| y(r, r.input("a", [2]).total(Rate::Sample)),
        text: "total_steps(a)",
        loops: |d| {
            array(&[2, 2], |i| {
                (0..LENGTHS[i[0]])
                    .map(|t| d.array("a")[[t, i[0], i[1]]])
                    .sum()
            })
        },
    },
    Case {
        row: "Total(Total(Static))",
        define: |r| y(r, r.input("a", [2]).total(Rate::Static)),
        text: "total(a)",
        loops: |d| {
            let all = [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1)];
            array(&[2], |i| {
                all.iter().map(|(t, b)| d.array("a")[[*t, *b, i[0]]]).sum()
            })
        },
    },
    Case {
        row: "Total(Total(Static))",
        define: |r| y(r, r.sample_input("a", [2]).total(Rate::Static)),
        text: "total(a)",
        loops: |d| array(&[2], |i| d.array("a")[[0, i[0]]] + d.array("a")[[1, i[0]]]),
    },
    Case {
        row: "Pool(Pool)",
        define: |r| y(r, r.input("a", [2]).total_samples()),
        text: "total_samples(a)",
        loops: |d| {
            array(&[3, 2, 2], |i| {
                let running = (0..2).filter(|b| i[0] < LENGTHS[*b]);
                let sum = running.map(|b| d.array("a")[[i[0], b, i[2]]]).sum();
                if i[0] < LENGTHS[i[1]] { sum } else { 0.0 }
            })
        },
    },
    Case {
        row: "Pick(Pick(First))",
        define: |r| y(r, r.input("a", [2]).first()),
        text: "first(a)",
        loops: |d| array(&[2, 2], |i| d.array("a")[[0, i[0], i[1]]]),
    },
    Case {
        row: "Pick(Pick(Last))",
        define: |r| y(r, r.input("a", [2]).last()),
        text: "last(a)",
        loops: |d| array(&[2, 2], |i| d.array("a")[[LENGTHS[i[0]] - 1, i[0], i[1]]]),
    },
    Case {
        row: "Impulse(Impulse(First))",
        define: |r| y(r, r.input("a", [2]).first()),
        text: "impulse_first(y.bar)",
        loops: |d| {
            steps(&[2], |t, b, i| {
                if t == 0 {
                    d.array("y.bar")[[b, i[0]]]
                } else {
                    0.0
                }
            })
        },
    },
    Case {
        row: "Impulse(Impulse(Last))",
        define: |r| y(r, r.input("a", [2]).last()),
        text: "impulse_last(y.bar)",
        loops: |d| {
            steps(&[2], |t, b, i| {
                if t + 1 == LENGTHS[b] {
                    d.array("y.bar")[[b, i[0]]]
                } else {
                    0.0
                }
            })
        },
    },
];
