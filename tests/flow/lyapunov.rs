//! Lyapunov exponents.
//!
//! The systems are eleven of the 18 in the table of dysts that were tried. `SprottF` agreed with it as well; Rössler, Thomas, `SprottE`,
//! Arneodo, Coullet and Dadras did not, and of these Thomas, Arneodo, Coullet and Dadras were nearer to the runs here when two neighbouring
//! trajectories were followed.

use bptt::{Batch, Error, Params, Recurrence};
use ndarray::{Array2, Axis};

use crate::trajectory::{data, examples, parsed};

/// A flow in three variables, as Runge and Kutta's method of order 4 steps through it.
struct System {
    name: &'static str,
    rates: [&'static str; 3],
    step: f64,
    start: [f64; 3],
    /// `maximum_lyapunov_estimated` in the table `chaotic_attractors.json` of dysts 0.96 (Gilpin 2021), which states no error.
    table: f64,
}

const fn flow(
    name: &'static str,
    rates: [&'static str; 3],
    step: f64,
    start: [f64; 3],
    table: f64,
) -> System {
    System {
        name,
        rates,
        step,
        start,
        table,
    }
}

const SYSTEMS: [System; 11] = [
    flow(
        "Lorenz",
        ["10*(y-x)", "28*x - x*z - y", "x*y - 2.667*z"],
        0.01,
        [-9.786929, -15.03852, 20.533978],
        0.8917,
    ),
    flow(
        "Chen",
        ["35*(y-x)", "-7*x - x*z + 28*y", "x*y-3*z"],
        0.005,
        [3.26897, 5.299046, 19.435349],
        2.0060,
    ),
    flow(
        "Halvorsen",
        [
            "-1.4*x-4*y-4*z-y^2",
            "-1.4*y-4*z-4*x-z^2",
            "-1.4*z-4*x-4*y-x^2",
        ],
        0.01,
        [-8.680741, -2.47414, 0.070776],
        0.6964,
    ),
    flow(
        "SprottB",
        ["y*z", "x-y", "1-x*y"],
        0.05,
        [1.687828, 1.484813, -0.537066],
        0.2067,
    ),
    flow(
        "SprottC",
        ["y*z", "x-y", "1-x^2"],
        0.05,
        [-0.471998, -0.271981, 1.941824],
        0.1581,
    ),
    flow(
        "SprottD",
        ["-y", "x+z", "x*z+3*y^2"],
        0.05,
        [-1.339691, -0.212383, 0.329822],
        0.1017,
    ),
    flow(
        "Rucklidge",
        ["-2*x+6.7*y-y*z", "x", "-z+y^2"],
        0.02,
        [1.925716, 3.192384, 5.782966],
        0.1936,
    ),
    flow(
        "GenesioTesi",
        ["y", "z", "-x-1.1*y-0.44*z+x^2"],
        0.05,
        [-0.053773, -0.261626, 0.335016],
        0.1051,
    ),
    flow(
        "ShimizuMorioka",
        ["y", "x-0.85*y-x*z", "-0.5*z+x^2"],
        0.05,
        [0.016839, 0.034894, 0.353468],
        0.0358,
    ),
    flow(
        "BurkeShaw",
        ["-10*(x+y)", "y-10*x*z", "10*x*y+13"],
        0.005,
        [-0.791532, 0.652445, 0.225178],
        2.3246,
    ),
    flow(
        "NewtonLiepnik",
        ["-0.4*x+y+10*y*z", "-x-0.4*y+5*x*z", "0.175*z-5*x*y"],
        0.02,
        [0.294308, 0.106495, 0.290811],
        0.1495,
    ),
];

impl System {
    fn recurrence(&self) -> Recurrence {
        let [a, b, c] = self.rates;
        let [x, y, z] = self.start;
        let h = self.step;
        let stage = |i: usize, factor: f64| {
            let j = i - 1;
            let arguments: Vec<String> = ["x", "y", "z"]
                .iter()
                .map(|s| {
                    if i == 1 {
                        (*s).to_string()
                    } else {
                        format!("{s} + {factor} * d{s}{j}")
                    }
                })
                .collect();
            let all = arguments.join(", ");
            format!("dx{i} = fx({all})\ndy{i} = fy({all})\ndz{i} = fz({all})\n")
        };
        let mut text = format!(
            "fn fx(x, y, z) = {a}\nfn fy(x, y, z) = {b}\nfn fz(x, y, z) = {c}\nstate x = {x}, y = {y}, z = {z}\n"
        );
        for (i, factor) in [0.0, h / 2.0, h / 2.0, h].into_iter().enumerate() {
            text += &stage(i + 1, factor);
        }
        for s in ["x", "y", "z"] {
            text += &format!(
                "{s}' = {s} + {} * (d{s}1 + 2 * d{s}2 + 2 * d{s}3 + d{s}4)\n",
                h / 6.0
            );
        }
        parsed(&text)
    }
}

/// The largest exponents of eleven flows are those of the table within three standard errors, which are at most a tenth of them; the exponent along the trajectory
/// is 0, up to the change of speed, and their sum is the mean divergence of the flow.
#[test]
fn flows_have_the_exponents_of_the_table() {
    for system in &SYSTEMS {
        let steps = 40_000;
        let flow = system
            .recurrence()
            .flow(&Params::new(), &Batch::new(steps, 1))
            .unwrap();
        let found = flow.lyapunov(0, 3, 2_000).unwrap();
        let (largest, error) = (
            found.exponents[0] / system.step,
            found.errors[0] / system.step,
        );
        let name = system.name;
        assert!(error < 0.1 * largest, "{name}: {largest} ± {error}");
        assert!(
            (largest - system.table).abs() < 3.0 * error,
            "{name}: {largest} ± {error}"
        );
        // The speed along the trajectory changes by a bounded factor.
        let measured = f64::from(u32::try_from(steps - 2_000).unwrap());
        assert!(
            found.exponents[1].abs() * measured < 1e3f64.ln(),
            "{name}: {:?}",
            found.exponents
        );
        let divergence = match name {
            "Lorenz" => -13.667,
            "Chen" => -10.0,
            "Halvorsen" => -4.2,
            "SprottB" | "SprottC" => -1.0,
            "Rucklidge" => -3.0,
            "GenesioTesi" => -0.44,
            "ShimizuMorioka" => -1.35,
            "BurkeShaw" => -9.0,
            "NewtonLiepnik" => -0.625,
            _ => continue,
        };
        let sum: f64 = found.exponents.iter().sum::<f64>() / system.step;
        assert!(
            (sum - divergence).abs() < 1e-4 * divergence.abs(),
            "{name}: {sum}"
        );
    }
}

fn henon() -> Recurrence {
    parsed("state x = 0.1, y = 0.1\nx' = 1 - 1.4 * x^2 + y\ny' = 0.3 * x\n")
}

#[test]
fn henons_exponents_sum_to_the_logarithm_of_its_determinant() {
    let flow = henon()
        .flow(&Params::new(), &Batch::new(100_000, 1))
        .unwrap();
    let found = flow.lyapunov(0, 2, 1_000).unwrap();
    let sum: f64 = found.exponents.iter().sum();
    assert!((sum - 0.3f64.ln()).abs() < 1e-13, "{sum}");
    assert!(
        (found.exponents[0] - 0.4192).abs() < 0.002,
        "{:?}",
        found.exponents
    );
    assert!(
        (found.exponents[0] - 0.41922).abs() < 3.0 * found.errors[0],
        "{:?}",
        found.errors
    );
    assert_eq!(found.blocks.dim(), (20, 2));
    assert_eq!(found.lengths.iter().sum::<usize>(), 99_000);
    let last = found.running().index_axis_move(Axis(0), 19);
    assert!(
        last.iter()
            .zip(&found.exponents)
            .all(|(a, b)| (a - b).abs() < 1e-13)
    );
    // One exponent alone is the first of all.
    let one = flow.lyapunov(0, 1, 1_000).unwrap();
    assert!((one.exponents[0] - found.exponents[0]).abs() < 1e-12);
}

#[test]
fn the_logistic_map_has_the_exponent_ln_2() {
    let map = parsed("state x = 0.3\nx' = 4 * x * (1 - x)\n");
    let flow = map.flow(&Params::new(), &Batch::new(200_000, 1)).unwrap();
    let found = flow.lyapunov(0, 1, 0).unwrap();
    assert!((found.exponents[0] - 2f64.ln()).abs() < 1e-4, "{found:?}");
}

/// `c` times an orthogonal matrix, by reflections.
pub(crate) fn orthogonal(n: usize, c: f64) -> Array2<f64> {
    let mut noise = bptt::Noise(5);
    let mut q = Array2::<f64>::eye(n);
    for _ in 0..n {
        let v = ndarray::Array1::from_shape_simple_fn(n, || noise.number());
        let share = q.dot(&v) * (2.0 / v.dot(&v));
        for (mut row, share) in q.outer_iter_mut().zip(&share) {
            row.scaled_add(-share, &v);
        }
    }
    q * c
}

/// A linear recurrence with `W = c Q` has the exponent `ln c` in each direction: 0 for an orthogonal one. Both ways are tried: by Jacobians of
/// small states and by tangents of large ones.
#[test]
fn scaled_orthogonal_matrices_have_equal_exponents() {
    let r = parsed("dim H\nparam W[H,H]\nstate h[H]\nh' = W @ h\n");
    for n in [6, 40] {
        for c in [1.0, 0.5, 1.25] {
            let params = Params::new().with("W", orthogonal(n, c));
            let flow = r.flow(&params, &Batch::new(60, 1)).unwrap();
            for count in [n, 3] {
                let found = flow.lyapunov(0, count, 10).unwrap();
                assert_eq!(found.exponents.len(), count);
                for exponent in &found.exponents {
                    assert!((exponent - c.ln()).abs() < 1e-13, "{n} {c}: {exponent}");
                }
            }
        }
    }
}

/// `ln |det A|` by elimination with pivots.
fn log_det(mut a: Array2<f64>) -> f64 {
    let n = a.nrows();
    let mut sum = 0.0;
    for k in 0..n {
        let pivot = (k..n)
            .max_by(|i, j| a[[*i, k]].abs().total_cmp(&a[[*j, k]].abs()))
            .unwrap();
        for j in 0..n {
            a.swap([k, j], [pivot, j]);
        }
        sum += a[[k, k]].abs().ln();
        for i in k + 1..n {
            let factor = a[[i, k]] / a[[k, k]];
            for j in k..n {
                a[[i, j]] -= factor * a[[k, j]];
            }
        }
    }
    sum
}

#[test]
fn exponents_sum_to_the_mean_logarithm_of_determinants() {
    let mut tried = 0;
    for recurrence in examples() {
        let (params, batch) = data(&recurrence, &[7, 9], 3);
        let flow = recurrence.flow(&params, &batch).unwrap();
        let n = flow.size();
        for sample in 0..2 {
            let steps = flow.steps(sample).unwrap();
            let found = flow.lyapunov(sample, n, 0).unwrap();
            let all: f64 = (1..=steps)
                .map(|t| log_det(flow.jacobian(sample, t).unwrap()))
                .sum();
            let expected = all / f64::from(u32::try_from(steps).unwrap());
            let sum: f64 = found.exponents.iter().sum();
            if !expected.is_finite() || expected < -30.0 {
                continue;
            }
            tried += 1;
            assert!(
                (sum - expected).abs() < 1e-10 * (1.0 + expected.abs()),
                "{}: {sum} {expected}",
                recurrence.name()
            );
        }
    }
    assert!(tried >= 8, "{tried}");
}

#[test]
fn lost_directions_have_no_finite_exponent() {
    let r = parsed("state x = 1, y = 1\nx' = 0.5 * (x + y)\ny' = 0.5 * (x + y)\n");
    let flow = r.flow(&Params::new(), &Batch::new(30, 1)).unwrap();
    let found = flow.lyapunov(0, 2, 5).unwrap();
    assert!(found.exponents[0].abs() < 1e-13);
    assert_eq!(found.exponents[1], f64::NEG_INFINITY);
    assert_eq!(found.errors[1], f64::INFINITY);
}

#[test]
fn refusals_say_the_range() {
    let flow = henon().flow(&Params::new(), &Batch::new(5, 1)).unwrap();
    for (sample, count, skip, part) in [
        (0, 0, 0, "1 to 2 Lyapunov exponents, not 0"),
        (0, 3, 0, "1 to 2 Lyapunov exponents, not 3"),
        (0, 1, 5, "the first 5 are skipped"),
        (1, 1, 0, "no sample 1"),
    ] {
        let error = flow.lyapunov(sample, count, skip).unwrap_err();
        assert!(
            matches!(error, Error::Batch { .. }) && error.to_string().contains(part),
            "{error}"
        );
    }
    let r = parsed("state x = 1\nx' = exp(1000 * x)\n");
    let error = r
        .flow(&Params::new(), &Batch::new(3, 1))
        .and_then(|f| f.lyapunov(0, 1, 0))
        .unwrap_err();
    assert!(error.to_string().contains("finite"), "{error}");
}
