//! Models of the library, fitted to data, against other programs: `tests/data/fitted_models.py` runs them and writes
//! `fitted_models.csv`.

use bptt::fit::Sgd;
use bptt::{Batch, Params, Recurrence, Wrt, check};
use ndarray::{Array1, Array2, Array3, ArrayD, Axis, array};

use crate::support::fits::{fitted, minimised_over, parse, returns, scalars};

/// The numbers of one quantity of a model, in order.
pub(crate) fn oracle(model: &str, quantity: &str) -> Vec<f64> {
    let lines = include_str!("../data/fitted_models.csv").lines();
    let rows = lines.map(|line| line.split(',').collect::<Vec<_>>());
    let own = rows.filter(|row| row[0] == model && row[1] == quantity);
    let found: Vec<f64> = own.map(|row| row[3].parse().unwrap()).collect();
    assert!(!found.is_empty(), "{model}: {quantity}");
    found
}

fn table(text: &str) -> Array2<f64> {
    let rows: Vec<Vec<f64>> = text
        .lines()
        .skip(1)
        .map(|line| line.split(',').map(|x| x.parse().unwrap()).collect())
        .collect();
    Array2::from_shape_fn((rows.len(), rows[0].len()), |(t, i)| rows[t][i])
}

fn loss(r: &Recurrence, params: &Params<f64>, batch: &Batch<f64>) -> f64 {
    r.evaluate(params, batch).unwrap().loss().unwrap()
}

#[track_caller]
fn near<'a>(found: impl IntoIterator<Item = &'a f64>, expected: &[f64], tolerance: f64) {
    let found: Vec<f64> = found.into_iter().copied().collect();
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (x, y) in found.iter().zip(expected) {
        let off = (x - y).abs() / y.abs().max(0.1);
        assert!(
            off < tolerance,
            "{found:?}, not {expected:?}: off by {off:e}"
        );
    }
}

/// A model with scalar parameters is fitted from its own start.
fn fit_scalars(r: &Recurrence, model: &str, batch: &Batch<f64>, tolerance: f64) -> Params<f64> {
    let start = Params::initial(r, &[], 1).unwrap();
    let params = fitted(r, start, batch);
    near([&loss(r, &params, batch)], &oracle(model, "loss"), 1e-11);
    near(
        params.iter().map(|(_, x)| &x[[]]),
        &oracle(model, "estimates"),
        tolerance,
    );
    let certificate = check(r, &params, batch).unwrap();
    assert!(certificate.passed(), "{certificate}");
    params
}

/// The estimates that R's fGarch 4.0 prints for the same returns are those of scipy, and the likelihood is that of arch.
#[test]
fn garch_with_a_t_distribution_has_its_published_estimates() {
    let r = parse(include_str!("../../examples/recurrences/garch_t.rec"));
    let params = fit_scalars(&r, "garch_t", &returns(1.0), 1e-7);
    for (name, printed) in [
        ("mu", 0.002_249),
        ("omega", 0.002_319),
        ("alpha", 0.124_438),
        ("beta", 0.884_653),
        ("ln_tail", 4.118_427),
    ] {
        let found = match name {
            "ln_tail" => 2.0 + params[name][[]].exp(),
            _ => params[name][[]],
        };
        assert!(
            (found - printed).abs() <= 0.5e-6,
            "{name}: {found}, printed {printed}"
        );
    }
}

#[test]
fn a_garch_model_with_leverage_is_fitted_as_by_arch() {
    let r = parse(include_str!("../../examples/recurrences/gjr_garch.rec"));
    fit_scalars(&r, "gjr_garch", &returns(1.0), 1e-7);
}

#[test]
fn an_epidemic_is_fitted_to_counts() {
    let counts = table(include_str!("../../data/influenza.csv"));
    let in_bed = counts.column(1).to_owned().insert_axis(Axis(1));
    let r = parse(include_str!("../../examples/recurrences/sir_counts.rec"));
    let batch = Batch::new(14, 1).with("in_bed", in_bed);
    fit_scalars(&r, "sir_counts", &batch, 1e-7);
}

/// Three series with one factor, whose shocks have variance one.
#[test]
fn a_state_space_model_is_fitted_as_by_statsmodels() {
    let growth = table(include_str!("../data/us_growth.csv"));
    let (steps, p) = growth.dim();
    let r = parse(include_str!("../../examples/recurrences/state_space.rec"));
    let params = Params::new()
        .with("F", array![[0.5]])
        .with("H", array![[0.7], [0.6], [0.6]])
        .with("q", array![0.0])
        .with("r", array![-0.5, -0.5, -0.5])
        .with("m0", array![0.0])
        // The factor is zero before the first step.
        .with("v0", array![-80.0]);
    let y = growth.into_shape_with_order((steps, 1, p)).unwrap();
    let batch = Batch::new(steps, 1).with("y", y);
    let (found, mut known, _) = minimised_over(&r, &["F", "H", "r"], &params, &batch);
    for name in ["F", "H", "r"] {
        near(&found[name], &oracle("state_space", name), 1e-5);
    }
    let (params, batch) = known.with(&r, &found).unwrap();
    near(
        [&loss(&r, params, batch)],
        &oracle("state_space", "loss"),
        1e-9,
    );
    let certificate = check(&r, params, batch).unwrap();
    assert!(certificate.passed(), "{certificate}");
}

/// Two regimes of small, middle and large returns.
#[test]
fn a_hidden_markov_model_is_fitted_as_by_expectation_maximisation() {
    let size = |r: &f64| usize::from(r.abs() >= 0.25) + usize::from(r.abs() >= 0.6);
    let symbols = returns(1.0).get("r").unwrap().map(size);
    let r = parse(include_str!("../../examples/recurrences/hidden_markov.rec"));
    let params = Params::new()
        .with("start", array![0.0, 0.0])
        .with("transition", array![[2.0, 0.0], [0.0, 1.5]])
        .with("emission", array![[0.7, 0.0, -1.0], [-0.3, 0.0, 0.5]]);
    let batch = Batch::new(symbols.shape()[0], 1).with_classes("symbol", symbols);
    let (found, mut known, _) = minimised_over(&r, &["transition", "emission"], &params, &batch);
    for (name, array) in found.iter() {
        let shares = array.mapv(f64::exp);
        let sums = shares.sum_axis(Axis(1)).insert_axis(Axis(1));
        near(&(shares / sums), &oracle("hidden_markov", name), 1e-6);
    }
    let (params, batch) = known.with(&r, &found).unwrap();
    near(
        [&loss(&r, params, batch)],
        &oracle("hidden_markov", "loss"),
        1e-11,
    );
}

/// The most probable path, from its shocks.
#[test]
fn a_path_of_volatility_is_the_most_probable_one() {
    let r = parse(include_str!(
        "../../examples/recurrences/stochastic_volatility.rec"
    ));
    let all = returns(1.0);
    let few = all
        .get("r")
        .unwrap()
        .slice(ndarray::s![..400, ..])
        .to_owned();
    let params = scalars(&[("mu", -1.0), ("atanh_phi", 1.8), ("ln_sigma", -1.5)]);
    let batch = Batch::new(400, 1).with("r", few.into_dimensionality::<ndarray::Ix2>().unwrap());
    let (found, mut known, _) = minimised_over(&r, &["shock", "shock0"], &params, &batch);
    let (params, batch) = known.with(&r, &found).unwrap();
    let outputs = r.evaluate(params, batch).unwrap();
    near(
        [&outputs.loss().unwrap()],
        &oracle("stochastic_volatility", "loss"),
        1e-12,
    );
    let path = outputs["variance"].mapv(f64::ln);
    let some: Vec<f64> = path.iter().copied().step_by(50).collect();
    near(&some, &oracle("stochastic_volatility", "path"), 1e-11);
}

/// Hares and lynxes, in some of the years 1900 to 1920.
fn pelts() -> Batch<f64> {
    let all = table(include_str!("../data/lynx_hare.csv"));
    let years = [0, 1, 2, 3, 5, 6, 9, 10, 11, 12, 15, 17, 18, 20];
    let n = years.len();
    let dt = Array2::from_shape_fn((n, 1), |(t, _)| {
        let before = if t == 0 { 0 } else { years[t - 1] };
        f64::from(years[t] - before) / 20.0
    });
    let seen = Array3::from_shape_fn((n, 1, 2), |(t, _, i)| {
        (all[[usize::try_from(years[t]).unwrap(), i + 1]] / 20.0).ln()
    });
    Batch::new(n, 1).with("dt", dt).with("seen", seen)
}

/// Steps of Runge and Kutta's method over irregular times are near the solution of the differential equation.
#[test]
fn a_network_as_a_differential_equation_has_the_gradient_of_its_solution() {
    let r = parse(include_str!("../../examples/recurrences/neural_ode.rec"));
    let mut params = Params::new()
        .with("W_1", Array2::zeros((3, 2)))
        .with("b_1", Array1::zeros(3))
        .with("W_2", Array2::zeros((2, 3)))
        .with("b_2", Array1::zeros(2))
        .with("z0", Array1::zeros(2));
    let flat: Array1<f64> = (1..20).map(|i| f64::from(i).sin()).collect();
    params.assign_flat(&flat).unwrap();
    let batch = pelts();
    let names: Vec<&str> = vec!["W_1", "b_1", "W_2", "b_2", "z0"];
    let gradient = r
        .gradient(&names[..])
        .unwrap()
        .evaluate(&params, &batch)
        .unwrap();
    near(
        [&gradient.loss().unwrap()],
        &oracle("neural_ode", "loss"),
        1e-5,
    );
    let slopes: Vec<f64> = names
        .iter()
        .flat_map(|n| gradient[*n].iter().copied())
        .collect();
    near(&slopes, &oracle("neural_ode", "gradient"), 1e-4);
}

/// With one state to attend to, the network is Elman's.
#[test]
fn attention_to_one_state_is_an_elman_network() {
    let r = parse(include_str!("../../examples/recurrences/attention.rec"));
    let elman = parse(include_str!("../../examples/recurrences/rnn.rec"));
    let number = |i: usize| (1.3 * i as f64 + 0.4).sin();
    let array = |shape: &[usize]| {
        ArrayD::from_shape_vec(shape, (0..shape.iter().product()).map(number).collect()).unwrap()
    };
    let shared = Params::new()
        .with("W_H", array(&[3, 3]))
        .with("W_X", array(&[3, 2]))
        .with("b_h", array(&[3]))
        .with("W_O", array(&[1, 3]))
        .with("b_q", array(&[1]));
    let all = shared
        .clone()
        .with("W_Q", array(&[3, 2]))
        .with("W_K", array(&[3, 3]));
    let batch = Batch::new(6, 1)
        .with("x", array(&[6, 1, 2]))
        .with("y", array(&[6, 1, 1]));
    let attend = |l: usize| r.evaluate(&all.clone().with("lags", array(&[1 + l])), &batch);

    let two = attend(1).unwrap();
    let one = elman.evaluate(&shared, &batch).unwrap();
    for t in 0..2 {
        let (a, b) = (two["o"][[t, 0, 0]], one["o"][[t, 0, 0]]);
        assert!(
            (a - b).abs() < 1e-14,
            "at most one state is known at step {t}: {a} {b}"
        );
    }
    assert!((two["o"][[2, 0, 0]] - one["o"][[2, 0, 0]]).abs() > 1e-3);
    for l in [1, 4] {
        let weights = attend(l).unwrap()["weights"].clone();
        for (t, row) in weights.axis_iter(Axis(0)).enumerate() {
            assert!((row.sum() - 1.0).abs() < 1e-14, "{row}");
            let unknown = row.iter().skip(t.max(1));
            assert!(
                t == 0 || unknown.copied().all(|w| w == 0.0),
                "step {t}: {row}"
            );
        }
    }
    let certificate = check(&r, &all.with("lags", array(&[4])), &batch).unwrap();
    assert!(certificate.passed(), "{certificate}");
}

/// The losses and the spikes on the way of PyTorch's gradient descent.
#[test]
fn a_spiking_network_learns_as_in_pytorch() {
    let r = parse(include_str!("../../examples/recurrences/spiking.rec"));
    let wave = |shape: &[usize], by: f64| -> ArrayD<f64> {
        let count: usize = shape.iter().product();
        let all = (0..count).map(|i| by * (1.7 * f64::from(u32::try_from(i).unwrap()) + 0.4).sin());
        ArrayD::from_shape_vec(shape, all.collect()).unwrap()
    };
    let labels: Array1<usize> = (0..6).map(|b| b % 3).collect();
    let batch = Batch::new(12, 6)
        .with("x", wave(&[12, 6, 2], 2.0))
        .with_classes("label", labels);
    let mut params = Params::new()
        .with("W", wave(&[5, 2], 6.0))
        .with("V", wave(&[5, 5], 1.0))
        .with("W_o", wave(&[3, 5], 1.0))
        .with("ln_decay", ndarray::arr0(-1.0))
        .with("ln_leak", ndarray::arr0(-0.5));
    let gradient = r.gradient(Wrt::Parameters).unwrap();
    let program = gradient.compile_for::<f64>(&params, &batch).unwrap();
    let mut descent = Sgd::new(0.02);
    for step in 0..=60 {
        let found = program.evaluate(&params, &batch).unwrap();
        if step == 0 {
            near(&found["W"], &oracle("spiking", "gradient W"), 1e-11);
            near(
                &found["ln_leak"],
                &oracle("spiking", "gradient ln_leak"),
                1e-11,
            );
            assert!(check(&r, &params, &batch).unwrap().passed());
        }
        if step % 15 == 0 {
            let loss = found.loss().unwrap();
            near([&loss], &oracle("spiking", &format!("loss {step}")), 1e-9);
            let spikes = r.evaluate(&params, &batch).unwrap()["s"].sum();
            assert_eq!([spikes], oracle("spiking", &format!("spikes {step}"))[..]);
        }
        if step < 60 {
            descent.step(&mut params, &found).unwrap();
        }
    }
    near(&params["V"], &oracle("spiking", "V"), 1e-9);
}
