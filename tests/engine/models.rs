//! Models with linear algebra: their likelihoods by other algorithms, and their certificates.

use bptt::{Batch, Params, Recurrence, check};
use ndarray::{Array1, Array2, Array3, array};

/// The logarithm of a Gaussian density without its constant, by the factors of the whole covariance matrix.
fn negative_log_density(y: &Array1<f64>, covariance: &Array2<f64>) -> f64 {
    let n = y.len();
    let mut l = Array2::<f64>::zeros((n, n));
    for i in 0..n {
        for j in 0..=i {
            let known: f64 = (0..j).map(|k| l[[i, k]] * l[[j, k]]).sum();
            let rest = covariance[[i, j]] - known;
            l[[i, j]] = if i == j {
                rest.sqrt()
            } else {
                rest / l[[j, j]]
            };
        }
    }
    let mut z = y.clone();
    for i in 0..n {
        let known: f64 = (0..i).map(|k| l[[i, k]] * z[k]).sum();
        z[i] = (z[i] - known) / l[[i, i]];
    }
    0.5 * z.dot(&z) + l.diag().mapv(f64::ln).sum()
}

/// The Kalman filter gives the density of all observations together, whose covariance is that of sums of shocks.
#[test]
fn a_state_space_model_has_the_density_of_its_observations() {
    let source = include_str!("../../examples/recurrences/state_space.rec");
    let r = Recurrence::parse("state_space.rec", source).unwrap();
    let f = array![[0.8, 0.3, 0.0], [-0.2, 0.6, 0.1], [0.1, 0.0, 0.9]];
    let h = array![[1.0, 0.5, -0.3], [0.2, -1.0, 0.4]];
    let (q, noise) = (array![-0.3, 0.2, -1.0], array![-0.5, 0.4]);
    let (m0, v0) = (array![0.4, -0.7, 0.1], array![0.3, -0.2, 0.5]);
    let (steps, p) = (5, 2);
    let y = Array3::from_shape_fn((steps, 1, p), |(t, _, i)| ((3 * t + 2 * i) as f64).sin());
    let params = Params::new()
        .with("F", f.clone())
        .with("H", h.clone())
        .with("q", q.clone())
        .with("r", noise.clone())
        .with("m0", m0.clone())
        .with("v0", v0.clone());
    let batch = Batch::new(steps, 1).with("y", y.clone());
    let found = r.evaluate(&params, &batch).unwrap().loss().unwrap();

    let shock = Array2::from_diag(&q.mapv(f64::exp));
    let mut mean = m0;
    let mut variances = vec![Array2::from_diag(&v0.mapv(f64::exp))];
    let mut apart = Array1::zeros(steps * p);
    for t in 0..steps {
        mean = f.dot(&mean);
        variances.push(f.dot(&variances[t]).dot(&f.t()) + &shock);
        let expected = h.dot(&mean);
        (0..p).for_each(|i| apart[t * p + i] = y[[t, 0, i]] - expected[i]);
    }
    let mut covariance = Array2::zeros((steps * p, steps * p));
    for t in 0..steps {
        let mut carried = variances[t + 1].clone();
        for later in t..steps {
            let block = h.dot(&carried).dot(&h.t());
            for i in 0..p {
                for j in 0..p {
                    covariance[[later * p + i, t * p + j]] = block[[i, j]];
                    covariance[[t * p + j, later * p + i]] = block[[i, j]];
                }
            }
            carried = f.dot(&carried);
        }
        for i in 0..p {
            covariance[[t * p + i, t * p + i]] += noise[i].exp();
        }
    }
    let expected = negative_log_density(&apart, &covariance);
    assert!(
        (found - expected).abs() < 1e-12 * expected.abs(),
        "{found}, not {expected}"
    );
    let certificate = check(&r, &params, &batch).unwrap();
    assert!(certificate.passed(), "{certificate}");
}

/// The forward algorithm gives the sum over all paths of states.
#[test]
fn a_hidden_markov_model_sums_over_all_paths() {
    let source = include_str!("../../examples/recurrences/hidden_markov.rec");
    let r = Recurrence::parse("hidden_markov.rec", source).unwrap();
    let (states, symbols) = (3, 4);
    let start = array![0.3, -0.8, 0.5];
    let transition =
        Array2::from_shape_fn((states, states), |(i, j)| ((2 * i + 5 * j) as f64).cos());
    let emission =
        Array2::from_shape_fn((states, symbols), |(i, c)| ((7 * i + 3 * c) as f64).sin());
    let seen = [2, 0, 3, 1, 1];
    let params = Params::new()
        .with("start", start.clone())
        .with("transition", transition.clone())
        .with("emission", emission.clone());
    let classes = Array2::from_shape_fn((seen.len(), 1), |(t, _)| seen[t]);
    let batch = Batch::new(seen.len(), 1).with_classes("symbol", classes);
    let found = r.evaluate(&params, &batch).unwrap().loss().unwrap();

    let share = |x: &[f64], i: usize| x[i].exp() / x.iter().map(|x| x.exp()).sum::<f64>();
    let row = |m: &Array2<f64>, i: usize| m.row(i).to_vec();
    let mut total = 0.0;
    // The number of a path has a digit for each state.
    let digits = |t: usize| (0..t).fold(1, |n, _| n * states);
    for path in 0..digits(seen.len() + 1) {
        let state = |t: usize| path / digits(t) % states;
        let mut weight = share(&start.to_vec(), state(0));
        for (t, symbol) in seen.iter().enumerate() {
            weight *= share(&row(&transition, state(t)), state(t + 1));
            weight *= share(&row(&emission, state(t + 1)), *symbol);
        }
        total += weight;
    }
    assert!(
        (found + total.ln()).abs() < 1e-13,
        "{found}, not {}",
        -total.ln()
    );
    let certificate = check(&r, &params, &batch).unwrap();
    assert!(certificate.passed(), "{certificate}");
}

/// Conditions joined by words, for every combination, of comparisons and of numbers.
#[test]
fn conditions_are_joined_by_words() {
    let source = "
input a, b
output both = a > 0 and b > 0
output one = a > 0 or b > 0
output neither = not a > 0 and not (b > 0)
output differs = (a > 0) != (b > 0)
output order = a > 0 or b > 0 and a > 9
output numbers = (3 * a and -b) + 2 * (3 * a or -b) + 4 * not(b)
loss a
";
    let r = Recurrence::parse("r.rec", source).unwrap();
    let pairs = [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)];
    let column = |f: fn(&(f64, f64)) -> f64| Array2::from_shape_fn((4, 1), |(t, _)| f(&pairs[t]));
    let batch = Batch::new(4, 1)
        .with("a", column(|p| p.0))
        .with("b", column(|p| p.1));
    let found = r.evaluate(&Params::new(), &batch).unwrap();
    let truth = |f: fn(bool, bool) -> f64| -> Vec<f64> {
        pairs.iter().map(|(a, b)| f(*a > 0.0, *b > 0.0)).collect()
    };
    for (name, expected) in [
        ("both", truth(|a, b| f64::from(a && b))),
        ("one", truth(|a, b| f64::from(a || b))),
        ("neither", truth(|a, b| f64::from(!a && !b))),
        ("differs", truth(|a, b| f64::from(a != b))),
        ("order", truth(|a, _| f64::from(a))),
        (
            "numbers",
            truth(|a, b| f64::from(a && b) + 2.0 * f64::from(a || b) + 4.0 * f64::from(!b)),
        ),
    ] {
        let found: Vec<f64> = found[name].iter().copied().collect();
        assert_eq!(found, expected, "{name}");
    }
}

/// A lag counts its steps; before the first step there is zero.
#[test]
fn a_lag_is_the_value_some_steps_earlier() {
    let source = "input x\noutput none = lag(x, 0)\noutput one = lag(x, 1)\noutput three = lag(x^2, 3)\nloss x\n";
    let r = Recurrence::parse("r.rec", source).unwrap();
    let batch = Batch::new(5, 1).with("x", Array2::from_shape_fn((5, 1), |(t, _)| t as f64 + 2.0));
    let found = r.evaluate(&Params::new(), &batch).unwrap();
    for (name, expected) in [
        ("none", [2.0, 3.0, 4.0, 5.0, 6.0]),
        ("one", [0.0, 2.0, 3.0, 4.0, 5.0]),
        ("three", [0.0, 0.0, 0.0, 4.0, 9.0]),
    ] {
        assert_eq!(
            found[name].iter().copied().collect::<Vec<f64>>(),
            expected,
            "{name}"
        );
    }
}

/// The loss of a Kalman filter with four states that are seen with noise, written out with fixed sizes.
fn filtered(f: &[[f64; 4]; 4], y: &Array3<f64>) -> f64 {
    type M = [[f64; 4]; 4];
    let product = |a: &M, b: &M| {
        let mut c: M = [[0.0; 4]; 4];
        for i in 0..4 {
            for k in 0..4 {
                for j in 0..4 {
                    c[i][j] += a[i][k] * b[k][j];
                }
            }
        }
        c
    };
    let transposed = |a: &M| std::array::from_fn(|i| std::array::from_fn(|j| a[j][i]));
    let turned: M = transposed(f);
    let (mut mean, mut variance) = ([0.0; 4], [[0.0; 4]; 4]);
    (0..4).for_each(|i| variance[i][i] = 1.0);
    let mut loss = 0.0;
    for t in 0..y.len_of(ndarray::Axis(0)) {
        let predicted: [f64; 4] = std::array::from_fn(|i| (0..4).map(|j| f[i][j] * mean[j]).sum());
        let mut spread = product(&product(f, &variance), &turned);
        (0..4).for_each(|i| spread[i][i] += 0.1);
        let error: [f64; 4] = std::array::from_fn(|i| y[[t, 0, i]] - predicted[i]);
        let (mut l, mut log_det) = ([[0.0; 4]; 4], 0.0);
        for i in 0..4 {
            for j in 0..=i {
                let mut rest = spread[i][j] + if i == j { 0.2 } else { 0.0 };
                rest -= (0..j).map(|k| l[i][k] * l[j][k]).sum::<f64>();
                l[i][j] = if i == j {
                    f64::sqrt(rest)
                } else {
                    rest / l[j][j]
                };
            }
            log_det += 2.0 * f64::ln(l[i][i]);
        }
        let solve = |b: [f64; 4]| {
            let mut x = b;
            for i in 0..4 {
                for k in 0..i {
                    x[i] -= l[i][k] * x[k];
                }
                x[i] /= l[i][i];
            }
            for i in (0..4).rev() {
                for k in i + 1..4 {
                    x[i] -= l[k][i] * x[k];
                }
                x[i] /= l[i][i];
            }
            x
        };
        // The covariance is symmetric: a row of the gain is the solution for a row.
        let gain: M = std::array::from_fn(|i| solve(spread[i]));
        let weighted = solve(error);
        loss += 0.5 * (log_det + (0..4).map(|i| error[i] * weighted[i]).sum::<f64>());
        mean = std::array::from_fn(|i| {
            predicted[i] + (0..4).map(|j| gain[i][j] * error[j]).sum::<f64>()
        });
        let taken = product(&gain, &spread);
        variance = std::array::from_fn(|i| std::array::from_fn(|j| spread[i][j] - taken[i][j]));
    }
    loss
}

/// The time of a Kalman filter with four states, beside the same filter by hand:
/// `cargo test --release --test engine -- --ignored --nocapture kalman_filter_beside`.
#[test]
#[ignore = "measures time, on a machine without other work"]
fn a_kalman_filter_beside_one_by_hand() {
    let source = "dim N\nparam F[N, N]\ninput y[N]\nstate m[N], V[N, N] = eye(N)\np = F @ m\n\
                  Q = F @ V @ F.T + 0.1 * eye(N)\ne = y - p\nS = Q + 0.2 * eye(N)\nK = solve(S, Q).T\n\
                  m' = p + K @ e\nV' = Q - K @ Q\nloss 0.5 * (logdet(S) + dot(e, solve(S, e)))\n";
    let r = Recurrence::parse("kalman.rec", source).unwrap();
    let f: [[f64; 4]; 4] = std::array::from_fn(|i| {
        std::array::from_fn(|j| {
            if i == j {
                0.9
            } else {
                0.02 * (i as f64 - j as f64)
            }
        })
    });
    let y = Array3::from_shape_fn((10_000, 1, 4), |(t, _, i)| {
        ((t * (i + 1)) as f64 * 0.1).sin()
    });
    let params = Params::new().with("F", Array2::from_shape_fn((4, 4), |(i, j)| f[i][j]));
    let batch = Batch::new(10_000, 1).with("y", y.clone());
    let program = r.compile::<f64>(&[("N", 4)]).unwrap();
    let mut workspace = program.workspace();
    let mut least = [f64::INFINITY; 2];
    for _ in 0..40 {
        let start = std::time::Instant::now();
        let expected = std::hint::black_box(filtered(&f, &y));
        least[0] = least[0].min(start.elapsed().as_secs_f64());
        let start = std::time::Instant::now();
        let found = program.run(&params, &batch, &mut workspace).unwrap();
        least[1] = least[1].min(start.elapsed().as_secs_f64());
        let found = found.loss().unwrap();
        assert!(
            (found - expected).abs() < 1e-9 * expected.abs(),
            "{found}, not {expected}"
        );
    }
    let [by_hand, engine] = least.map(|seconds| seconds / 1e4 * 1e6);
    println!(
        "by hand {by_hand:.3} µs a step, engine {engine:.3}, ratio {:.1}",
        engine / by_hand
    );
}
