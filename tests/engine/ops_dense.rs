//! Functions of whole arrays: values by plain loops, derivatives by differences, both types, the text, and every
//! engine, with lengths, samples and steps.

use crate::support::Noise;
use crate::support::engines::EveryEngine as _;
use crate::support::rows::{check_derivatives, check_single, point, printed};
use bptt::{Axis, Batch, Definition, Error, Expr, Params, Recurrence, Wrt, ops};
use ndarray::{Array1, Array2, ArrayD, array};

struct Case {
    define: for<'b> fn(Expr<'b>, Expr<'b>) -> Expr<'b>,
    text: &'static str,
    loops: fn(&Array2<f64>, &Array2<f64>) -> ArrayD<f64>,
}

/// A matrix of three rows that has an inverse, as has its symmetric part.
fn regular(r: &Definition) -> Expr<'_> {
    let eye = r.constant(1.0).spread([3]).diag();
    (r.param("a", [3, 3]) + 4.0 * eye).named("A")
}

/// The solution by Gauss and Jordan, with full pivoting.
fn solved(a: &Array2<f64>, b: &Array2<f64>) -> Array2<f64> {
    let n = a.nrows();
    let (mut a, mut x) = (a.clone(), b.clone());
    let mut order: Vec<usize> = (0..n).collect();
    for k in 0..n {
        let places = (k..n).flat_map(|i| (k..n).map(move |j| (i, j)));
        let largest = |p: &(usize, usize), q: &(usize, usize)| a[*p].abs().total_cmp(&a[*q].abs());
        let (i, j) = places.max_by(largest).unwrap();
        for c in 0..n {
            a.swap([k, c], [i, c]);
        }
        for c in 0..x.ncols() {
            x.swap([k, c], [i, c]);
        }
        for r in 0..n {
            a.swap([r, k], [r, j]);
        }
        order.swap(k, j);
        for i in (0..n).filter(|i| *i != k) {
            let factor = a[[i, k]] / a[[k, k]];
            for c in 0..n {
                a[[i, c]] -= factor * a[[k, c]];
            }
            for c in 0..x.ncols() {
                x[[i, c]] -= factor * x[[k, c]];
            }
        }
    }
    let mut solution = x.clone();
    for (k, place) in order.iter().enumerate() {
        for c in 0..x.ncols() {
            solution[[*place, c]] = x[[k, c]] / a[[k, k]];
        }
    }
    solution
}

/// By expansion along the first row.
fn det(a: &Array2<f64>) -> f64 {
    let minor = |j: usize| {
        let columns: Vec<usize> = (0..a.ncols()).filter(|c| *c != j).collect();
        Array2::from_shape_fn((a.nrows() - 1, a.ncols() - 1), |(r, c)| {
            a[[r + 1, columns[c]]]
        })
    };
    if a.is_empty() {
        return 1.0;
    }
    (0..a.ncols())
        .map(|j| if j % 2 == 0 { 1.0 } else { -1.0 } * a[[0, j]] * det(&minor(j)))
        .sum()
}

fn column(x: impl IntoIterator<Item = f64>) -> ArrayD<f64> {
    x.into_iter().collect::<Array1<f64>>().into_dyn()
}

fn along(a: &Array2<f64>, axis: Axis, f: impl Fn(&[f64]) -> f64) -> ArrayD<f64> {
    let lines: Vec<Vec<f64>> = match axis {
        Axis::Rows => a.columns().into_iter().map(|c| c.to_vec()).collect(),
        Axis::Columns => a.rows().into_iter().map(|r| r.to_vec()).collect(),
    };
    column(lines.iter().map(|line| f(line)))
}

fn exp_sum(x: &[f64]) -> f64 {
    x.iter().map(|x| x.exp()).sum()
}

const CASES: &[Case] = &[
    Case {
        define: |a, b| a.solve(b),
        text: "solve(A, b)",
        loops: |a, b| solved(a, b).into_dyn(),
    },
    Case {
        define: |a, b| a.solve(b.t().sum_axis(Axis::Rows)),
        text: "solve(A, sum(b.T, rows))",
        loops: |a, b| {
            let sums = b.sum_axis(ndarray::Axis(1)).insert_axis(ndarray::Axis(1));
            column(solved(a, &sums).iter().copied())
        },
    },
    Case {
        define: |a, _| a.inverse(),
        text: "inverse(A)",
        loops: |a, _| solved(a, &Array2::eye(3)).into_dyn(),
    },
    Case {
        define: |a, _| a.log_det(),
        text: "logdet(A)",
        loops: |a, _| ndarray::arr0(det(a).ln()).into_dyn(),
    },
    Case {
        define: |a, _| a.cholesky(),
        text: "cholesky(A)",
        loops: |a, _| {
            let symmetric = (a + &a.t()) / 2.0;
            // The corners of a triangle by its leading minors; the rest by the definition.
            let mut l = Array2::<f64>::zeros((3, 3));
            for j in 0..3 {
                for i in j..3 {
                    let known: f64 = (0..j).map(|k| l[[i, k]] * l[[j, k]]).sum();
                    let rest = symmetric[[i, j]] - known;
                    l[[i, j]] = if i == j {
                        rest.sqrt()
                    } else {
                        rest / l[[j, j]]
                    };
                }
            }
            let rest = l.dot(&l.t()) - symmetric;
            assert!(rest.iter().all(|x| x.abs() < 1e-14), "{rest}");
            l.into_dyn()
        },
    },
    Case {
        define: |a, _| a.lower_triangle(),
        text: "tril(A)",
        loops: |a, _| {
            Array2::from_shape_fn((3, 3), |(i, j)| if i < j { 0.0 } else { a[[i, j]] }).into_dyn()
        },
    },
    Case {
        define: |_, b| b.cumulative_sum(Axis::Rows),
        text: "cumsum(b)",
        loops: |_, b| {
            Array2::from_shape_fn((3, 2), |(i, j)| (0..=i).map(|k| b[[k, j]]).sum()).into_dyn()
        },
    },
    Case {
        define: |_, b| b.cumulative_sum(Axis::Columns),
        text: "cumsum(b, columns)",
        loops: |_, b| {
            Array2::from_shape_fn((3, 2), |(i, j)| (0..=j).map(|k| b[[i, k]]).sum()).into_dyn()
        },
    },
    Case {
        define: |_, b| b.logsumexp_along(Axis::Rows),
        text: "logsumexp(b, rows)",
        loops: |_, b| along(b, Axis::Rows, |x| exp_sum(x).ln()),
    },
    Case {
        define: |_, b| b.softmax_along(Axis::Columns),
        text: "softmax(b, columns)",
        loops: |_, b| {
            let sums = along(b, Axis::Columns, exp_sum);
            Array2::from_shape_fn((3, 2), |(i, j)| b[[i, j]].exp() / sums[[i]]).into_dyn()
        },
    },
    Case {
        define: |_, b| b.log_softmax_along(Axis::Rows),
        text: "log_softmax(b, rows)",
        loops: |_, b| {
            let sums = along(b, Axis::Rows, exp_sum);
            Array2::from_shape_fn((3, 2), |(i, j)| b[[i, j]] - sums[[j]].ln()).into_dyn()
        },
    },
    Case {
        define: |_, b| b.largest(),
        text: "largest(b)",
        loops: |_, b| ndarray::arr0(b.iter().copied().fold(f64::MIN, f64::max)).into_dyn(),
    },
    Case {
        define: |_, b| b.smallest(),
        text: "smallest(b)",
        loops: |_, b| ndarray::arr0(b.iter().copied().fold(f64::MAX, f64::min)).into_dyn(),
    },
    Case {
        define: |_, b| b.largest_along(Axis::Columns),
        text: "largest(b, columns)",
        loops: |_, b| {
            along(b, Axis::Columns, |x| {
                x.iter().copied().fold(f64::MIN, f64::max)
            })
        },
    },
];

fn defined(case: &Case) -> Recurrence {
    let r = Recurrence::define("dense", |r| {
        let a = regular(r);
        let y = (case.define)(a, r.param("b", [3, 2]));
        r.output("y", y);
        r.loss(y.square().sum() + 0.1 * (a.sum() + y.sum()));
    });
    r.expect("it is sound")
}

#[test]
fn values_are_those_of_plain_loops() {
    for case in CASES {
        let r = defined(case);
        let data = point(&r, &[]);
        let a = data
            .array("a")
            .clone()
            .into_dimensionality::<ndarray::Ix2>()
            .unwrap();
        let b = data
            .array("b")
            .clone()
            .into_dimensionality::<ndarray::Ix2>()
            .unwrap();
        let found = r.evaluate(&data.0, &data.1).unwrap();
        let expected = (case.loops)(&(a + 4.0 * Array2::<f64>::eye(3)), &b);
        assert_eq!(found["y"].shape(), expected.shape(), "{}", case.text);
        for (found, expected) in found["y"].iter().zip(&expected) {
            let apart = (found - expected).abs();
            assert!(
                apart <= 1e-14 * expected.abs().max(1.0),
                "{}: {apart}",
                case.text
            );
        }
    }
}

#[test]
fn derivatives_are_those_of_differences() {
    for case in CASES {
        check_derivatives(&defined(case), &[]);
    }
}

#[test]
fn single_precision_is_close_to_double_precision() {
    for case in CASES {
        let r = defined(case);
        check_single(&r, "y", &point(&r, &[]));
    }
}

#[test]
fn text_is_read_again() {
    for case in CASES {
        let r = defined(case);
        assert_eq!(printed(&r, "y").replace('ᵀ', ".T"), case.text);
        let source = r.source().unwrap();
        let again = Recurrence::parse("again.rec", &source).unwrap();
        assert_eq!(again.source().unwrap(), source);
        let gradient = r.gradient(Wrt::Parameters).unwrap().source().unwrap();
        Recurrence::parse("gradient.rec", &gradient).unwrap();
    }
}

/// A multivariate Kalman filter in a loop: solve and logdet at each step of each sample, on every engine.
#[test]
fn a_kalman_filter_on_every_engine() {
    let r = Recurrence::parse(
        "kalman.rec",
        "
dim N, P
param F[N, N], H[P, N], q[N], s[P]
input y[P]
state m[N], V[N, N] = eye(N)
p = F @ m
Q = F @ V @ F.T + diag(exp(q))
e = y - H @ p
S = H @ Q @ H.T + diag(exp(s))
K = solve(S, H @ Q).T
m' = p + K @ e
V' = Q - K @ S @ K.T
loss 0.5 * (logdet(S) + dot(e, solve(S, e)))
",
    )
    .unwrap();
    let params = Params::new()
        .with(
            "F",
            array![[0.9, 0.2, 0.0], [-0.1, 0.7, 0.3], [0.0, 0.1, 0.8]],
        )
        .with("H", array![[1.0, 0.2, -0.3], [0.1, -0.4, 0.9]])
        .with("q", array![-0.5, 0.1, -1.0])
        .with("s", array![-0.2, 0.3]);
    let y = ArrayD::from_shape_fn(ndarray::IxDyn(&[3, 2, 2]), |i| {
        (1.0 + i[0] as f64 * 0.7 + i[1] as f64 * 0.3 - i[2] as f64).sin()
    });
    let batch = Batch::new(3, 2).with_lengths([3, 2]).with("y", y);
    for derived in [
        r.clone(),
        r.gradient(Wrt::Parameters).unwrap(),
        r.hessian_vector(Wrt::Parameters).unwrap(),
    ] {
        let mut directed = params.clone();
        for leaf in derived
            .tape()
            .leaves()
            .iter()
            .filter(|l| l.name().ends_with(".dot"))
        {
            let of = params.get(leaf.name().trim_end_matches(".dot")).unwrap();
            directed.insert(leaf.name(), of.mapv(|x| 0.3 - x));
        }
        derived.on_every_engine(&directed, &batch).unwrap();
    }
    let certificate = bptt::check(&r, &params, &batch).unwrap();
    assert!(certificate.passed(), "{certificate}");
}

/// A singular matrix is an error with the step and the sample, and not one in a branch that is not taken.
#[test]
fn singular_matrices() {
    let r = |loss: &str| {
        let source = format!("input A[2, 2], b[2]\nparam w\nx = solve(A * w, b)\nloss {loss}\n");
        Recurrence::parse("r.rec", &source).unwrap()
    };
    let mut a = ArrayD::<f64>::zeros(ndarray::IxDyn(&[3, 1, 2, 2]));
    for t in 0..3 {
        a[[t, 0, 0, 0]] = 1.0;
        a[[t, 0, 1, 1]] = if t == 1 { 0.0 } else { 2.0 };
    }
    let batch = Batch::new(3, 1)
        .with("A", a)
        .with("b", ArrayD::ones(ndarray::IxDyn(&[3, 1, 2])));
    let params = Params::new().with("w", ndarray::arr0(2.0));
    let error = r("sum(x)").on_every_engine(&params, &batch).unwrap_err();
    let Error::NonFiniteValue {
        place, expression, ..
    } = &error
    else {
        panic!("{error}");
    };
    assert!(
        place.contains("step 1") && expression.contains("solve"),
        "{error}"
    );
    let chosen = r("select(sum(diag(A)[1:2]) > 0, sum(x[0:1]), 0)");
    let gradient = chosen.gradient(Wrt::Parameters).unwrap();
    let found = gradient.on_every_engine(&params, &batch).unwrap();
    // x₀ = 1/w at two steps.
    assert!(
        (found["w"].sum() + 2.0 / 4.0).abs() < 1e-15,
        "{:?}",
        found["w"]
    );
}

/// Equal largest entries share the derivative.
#[test]
fn ties_share_the_derivative() {
    let r = Recurrence::parse("r.rec", "param a[4]\nfinal loss largest(a)\n").unwrap();
    let params = Params::new().with("a", array![1.0, 3.0, 3.0, -2.0]);
    let found = r
        .gradient(Wrt::Parameters)
        .unwrap()
        .evaluate(&params, &Batch::new(1, 1))
        .unwrap();
    assert_eq!(found["a"], array![0.0, 0.5, 0.5, 0.0].into_dyn());
}

#[test]
fn every_row_has_a_case() {
    for op in ops::Dense::ALL {
        // The other rows are derivatives of these.
        let internal = ["tril_half", "cumsum_back"].contains(&op.name());
        let known = CASES.iter().any(|case| case.text.starts_with(op.name()));
        assert!(internal || known, "{op:?}");
    }
}

/// Matrices whose diagonal gives no pivots: rows change their places, and the sign of the determinant with them.
#[test]
fn elimination_changes_the_order_of_rows() {
    let mut noise = Noise(7);
    let mut signs = [0; 2];
    for n in [2, 3, 4, 5] {
        let solve = Recurrence::define("solve", |r| {
            let (a, b) = (r.param("a", [n, n]), r.param("b", [n, 2]));
            r.output("x", a.solve(b));
            r.output("inverse", a.inverse());
            r.loss(a.solve(b).sum());
        });
        let solve = solve.expect("it is sound");
        let log_det = Recurrence::define("log_det", |r| r.loss(r.param("a", [n, n]).log_det()));
        let log_det = log_det.expect("it is sound");
        for _ in 0..20 {
            let matrix = |array: ArrayD<f64>| array.into_dimensionality::<ndarray::Ix2>().unwrap();
            let mut a = matrix(noise.array(&[n, n]));
            a.diag_mut().mapv_inplace(|x| 0.01 * x);
            let b = matrix(noise.array(&[n, 2]));
            let own = Params::new().with("a", a.clone());
            let both = own.clone().with("b", b.clone());
            let found = solve.on_every_engine(&both, &Batch::new(1, 1)).unwrap();
            for (name, right) in [("x", b), ("inverse", Array2::eye(n))] {
                let expected = solved(&a, &right).into_dyn();
                let size = expected.iter().fold(1.0, |m: f64, x| m.max(x.abs()));
                let apart = (&found[name] - &expected).mapv(f64::abs);
                // The condition of the matrix is about as large as its inverse.
                assert!(
                    apart.iter().all(|x| *x < 1e-13 * size * size),
                    "{name} of {a}"
                );
            }
            let expected = det(&a);
            signs[usize::from(expected > 0.0)] += 1;
            match log_det.on_every_engine(&own, &Batch::new(1, 1)) {
                Ok(found) => {
                    let apart = (found.loss().unwrap() - expected.ln()).abs();
                    assert!(apart < 1e-10, "{apart} of {a}");
                }
                Err(error) => assert!(expected < 0.0, "{error}"),
            }
        }
    }
    assert!(signs.iter().all(|count| *count > 10), "{signs:?}");
}

#[test]
fn a_singular_matrix_of_a_masked_step_has_no_influence() {
    let r = Recurrence::parse(
        "r",
        "mask input on\ninput x\nparam A[2, 2]\nB = A * x\nloss logdet(B) + sum(inverse(B)) + trace(cholesky(B @ B.T))\n",
    );
    let r = r.unwrap();
    let params = Params::new().with("A", array![[2.0, 0.3], [-0.4, 1.5]]);
    let batch = Batch::new(3, 1)
        .with("on", array![[1.0], [0.0], [1.0]])
        .with("x", array![[1.2], [0.0], [0.7]]);
    let gradient = r.gradient(Wrt::Everything).unwrap();
    let found = gradient.on_every_engine(&params, &batch).unwrap();
    assert_eq!(found["x"][[1, 0]], 0.0);
    let certificate = bptt::check(&r, &params, &batch).unwrap();
    assert!(certificate.passed(), "{certificate}");
}
