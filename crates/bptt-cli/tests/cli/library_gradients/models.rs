//! The models of the library that are not networks, as loops.

use super::data::Sample;
use super::dual::{Dual, M, V, dot, map, plus, times, zip};

const LN_2_PI: f64 = 1.837_877_066_409_345_3;

/// Holt (1957).
pub(crate) fn exponential_smoothing(s: &Sample<'_>) -> Dual {
    let (alpha, beta) = (s.number("alpha").sigmoid(), s.number("beta").sigmoid());
    let (mut level, mut trend) = (s.number("level0"), s.number("trend0"));
    let mut loss = Dual::default();
    for t in s.steps() {
        let y = s.number_at("y", t);
        let forecast = level + trend;
        loss = loss + (forecast - y).square() * 0.5;
        let before = level;
        level = forecast + alpha * (y - forecast);
        trend = trend + beta * (level - before - trend);
    }
    loss
}

/// Bollerslev (1986); the variance before the data is the mean of the squared residuals.
pub(crate) fn garch11(s: &Sample<'_>) -> Dual {
    let [mu, omega, alpha, beta] = ["mu", "omega", "alpha", "beta"].map(|n| s.number(n));
    let squares: V = s
        .steps()
        .map(|t| (s.number_at("r", t) - mu).square())
        .collect();
    let count = f64::from(u32::try_from(squares.len()).expect("they are few"));
    let presample = squares.iter().copied().sum::<Dual>() / count;
    let (mut variance, mut last) = (presample, presample);
    let mut loss = Dual::default();
    for square in squares {
        variance = omega + alpha * last + beta * variance;
        loss = loss + (variance.ln() + square / variance + LN_2_PI) * 0.5;
        last = square;
    }
    loss
}

/// The residuals, and the variances that they cause, of GARCH(1, 1) with a weight for the square of each residual.
fn variances(
    s: &Sample<'_>,
    weight: impl Fn(Dual) -> Dual,
    mean_weight: Dual,
) -> Vec<(Dual, Dual)> {
    let [mu, omega, beta] = ["mu", "omega", "beta"].map(|n| s.number(n));
    let residuals: V = s.steps().map(|t| s.number_at("r", t) - mu).collect();
    let count = f64::from(u32::try_from(residuals.len()).expect("they are few"));
    let presample = residuals.iter().map(|e| e.square()).sum::<Dual>() / count;
    let mut variance = omega + (mean_weight + beta) * presample;
    let mut all = Vec::new();
    for e in residuals {
        all.push((e, variance));
        variance = omega + weight(e) * e.square() + beta * variance;
    }
    all
}

/// Bollerslev (1987).
pub(crate) fn garch_t(s: &Sample<'_>) -> Dual {
    let (alpha, nu) = (s.number("alpha"), s.number("ln_tail").exp() + 2.0);
    let half = (nu + 1.0) * 0.5;
    let mut loss = Dual::default();
    for (e, v) in variances(s, |_| alpha, alpha) {
        // The density of t = e / scale.
        let scale = (v * (nu - 2.0) / nu).powf(0.5);
        let t = e / scale;
        let norm = half.lgamma() - (nu * 0.5).lgamma() - (nu * std::f64::consts::PI).ln() * 0.5;
        loss = loss - norm + scale.ln() + half * (t.square() / nu + 1.0).ln();
    }
    loss
}

/// Glosten, Jagannathan and Runkle (1993).
pub(crate) fn gjr_garch(s: &Sample<'_>) -> Dual {
    let (alpha, gamma) = (s.number("alpha"), s.number("gamma"));
    let weight = |e: Dual| if e.value < 0.0 { alpha + gamma } else { alpha };
    let terms = variances(s, weight, alpha + gamma * 0.5).into_iter();
    terms
        .map(|(e, v)| (v.ln() + e.square() / v + LN_2_PI) * 0.5)
        .sum()
}

/// Allen (1994), with the counts as the number of failures in a series of trials.
pub(crate) fn sir_counts(s: &Sample<'_>) -> Dual {
    let [contact, recovery, size] =
        ["ln_contact", "ln_recovery", "ln_size"].map(|n| s.number(n).exp());
    let (mut susceptible, mut ill) = (Dual::from(762.0), Dual::from(1.0));
    let mut loss = Dual::default();
    for t in s.steps() {
        let infected = susceptible * (-(-contact * ill / 763.0).exp() + 1.0);
        susceptible = susceptible - infected;
        ill = ill * (-recovery).exp() + infected;
        // The logarithm of Γ(n + k) / (Γ(k) n!) p^k (1 − p)^n.
        let (n, p) = (s.number_at("in_bed", t), size / (size + ill));
        let ways = (n + size).lgamma() - size.lgamma() - (n + 1.0).lgamma();
        loss = loss - ways - size * p.ln() - n * (-p + 1.0).ln();
    }
    loss
}

/// Velocity Verlet: kick, drift, kick.
pub(crate) fn leapfrog(s: &Sample<'_>) -> Dual {
    let (mass, dt) = (s.number("ln_mass").exp(), s.number("ln_dt").exp());
    let force = |q: &V| {
        let pull = -(mass / (dot(q, q) + 0.01).powf(1.5));
        map(q, |q| q * pull)
    };
    let (mut q, mut p) = (s.once("q0"), s.vector("p0"));
    let mut loss = Dual::default();
    for t in s.steps() {
        let half = zip(&p, &force(&q), |p, f| p + dt * f * 0.5);
        q = zip(&q, &half, |q, v| q + dt * v);
        p = zip(&half, &force(&q), |p, f| p + dt * f * 0.5);
        let error = zip(&q, &s.at("seen", t), |q, seen| q - seen);
        loss = loss + dot(&error, &error) * 0.5;
    }
    loss
}

/// May (1976).
pub(crate) fn logistic_map(s: &Sample<'_>) -> Dual {
    let (r, mut x) = (s.number("r"), s.number("start").sigmoid());
    let mut loss = Dual::default();
    for t in s.steps() {
        x = r * x * (-x + 1.0);
        loss = loss + (x - s.number_at("seen", t)).square() * 0.5;
    }
    loss
}

/// Fazel, Ge, Kakade and Mesbahi (2018).
pub(crate) fn lqr(s: &Sample<'_>) -> Dual {
    let (plant, entry, gain) = (s.matrix("A"), s.matrix("B"), s.matrix("K"));
    let weighted = |name: &str, v: &V| {
        let squares = zip(&s.vector(name), v, |w, v| w.exp() * v.square());
        squares.into_iter().sum::<Dual>() * 0.5
    };
    let mut state = s.once("s0");
    let mut cost = Dual::default();
    for t in s.steps() {
        let u = map(&times(&gain, &state), |u| -u);
        cost = cost + weighted("q", &state) + weighted("r", &u);
        let pushed = plus(&times(&plant, &state), &times(&entry, &u));
        state = plus(&pushed, &s.at("w", t));
    }
    cost + weighted("q", &state)
}

/// The cost of given controls.
pub(crate) fn lqr_controls(s: &Sample<'_>) -> Dual {
    let (plant, entry) = (s.matrix("A"), s.matrix("B"));
    let weighted = |name: &str, v: &V| {
        let squares = zip(&s.vector(name), v, |w, v| w.exp() * v.square());
        squares.into_iter().sum::<Dual>() * 0.5
    };
    let mut state = s.once("s0");
    let mut cost = Dual::default();
    for t in s.steps() {
        let u = s.at("u", t);
        cost = cost + weighted("q", &state) + weighted("r", &u);
        state = plus(&times(&plant, &state), &times(&entry, &u));
    }
    cost + weighted("q", &state)
}

/// The oscillator and its cost together, by the midpoint method.
pub(crate) fn van_der_pol(s: &Sample<'_>) -> Dual {
    let mut y = [0.0, 1.0, 0.0].map(Dual::from);
    for t in s.steps() {
        let u = s.number_at("u", t);
        let slope = |y: [Dual; 3]| {
            let [a, b, _] = y;
            [
                (-b.square() + 1.0) * a - b + u,
                a,
                a.square() + b.square() + u.square(),
            ]
        };
        let moved = |k: [Dual; 3], h: f64| std::array::from_fn(|i| y[i] + k[i] * h);
        y = moved(slope(moved(slope(y), 0.125)), 0.25);
    }
    y[2]
}

/// Durbin and Koopman (2001), with the first level and its variance given.
pub(crate) fn nile_local_level(s: &Sample<'_>) -> Dual {
    let (noise, walk) = (s.number("ln_noise").exp(), s.number("ln_walk").exp());
    let (mut level, mut variance) = (s.once("a1")[0], s.once("P1")[0]);
    let mut loss = Dual::default();
    for t in s.steps() {
        let innovation = s.number_at("y", t) - level;
        let spread = variance + noise;
        loss = loss + (spread.ln() + innovation.square() / spread + LN_2_PI) * 0.5;
        level = level + innovation * variance / spread;
        variance = variance * noise / spread + walk;
    }
    loss
}

/// Kermack and McKendrick (1927), by Euler's method.
pub(crate) fn sir_epidemic(s: &Sample<'_>) -> Dual {
    let (contact, recovery) = (s.number("ln_contact").exp(), s.number("ln_recovery").exp());
    let mut ill = s.number("ill0").sigmoid();
    let mut susceptible = -ill + 1.0;
    let mut loss = Dual::default();
    for t in s.steps() {
        let new = contact * susceptible * ill;
        loss = loss + (new - s.number_at("cases", t)).square() * 0.5;
        susceptible = susceptible - new;
        ill = ill + new - recovery * ill;
    }
    loss
}

/// Rabiner (1989), with probabilities and not their logarithms.
pub(crate) fn hidden_markov(s: &Sample<'_>) -> Dual {
    let shares = |scores: &V| {
        let powers = map(scores, Dual::exp);
        let all = powers.iter().copied().sum::<Dual>();
        map(&powers, |p| p / all)
    };
    let rows = |m: M| m.iter().map(shares).collect::<M>();
    let (transition, emission) = (rows(s.matrix("transition")), rows(s.matrix("emission")));
    let mut state = shares(&s.vector("start"));
    for t in s.steps() {
        let symbol = s.class("symbol", t);
        state = (0..state.len())
            .map(|j| {
                let reached = (0..state.len()).map(|i| state[i] * transition[i][j]);
                reached.sum::<Dual>() * emission[j][symbol]
            })
            .collect();
    }
    -state.into_iter().sum::<Dual>().ln()
}

/// Kim, Shephard and Chib (1998), given the shocks.
pub(crate) fn stochastic_volatility(s: &Sample<'_>) -> Dual {
    let [mu, persistence, size] = ["mu", "atanh_phi", "ln_sigma"].map(|n| s.number(n));
    let (phi, sigma) = (persistence.tanh(), size.exp());
    let first = s.once("shock0")[0];
    let mut away = sigma * (-phi.square() + 1.0).powf(-0.5) * first;
    let mut loss = first.square() * 0.5;
    for t in s.steps() {
        let (r, shock) = (s.number_at("r", t), s.number_at("shock", t));
        away = phi * away + sigma * shock;
        let h = mu + away;
        loss = loss + (h + r.square() / h.exp() + shock.square()) * 0.5;
    }
    loss
}

/// Kalman (1960) for two observations, one after the other: given the state, they are independent.
pub(crate) fn state_space(s: &Sample<'_>) -> Dual {
    let (moves, sees) = (s.matrix("F"), s.matrix("H"));
    let (shock, noise) = (
        map(&s.vector("q"), Dual::exp),
        map(&s.vector("r"), Dual::exp),
    );
    let diagonal = |v: &V| -> M {
        let row = |i: usize| {
            (0..v.len())
                .map(|j| if i == j { v[i] } else { Dual::default() })
                .collect()
        };
        (0..v.len()).map(row).collect()
    };
    let transposed = |m: &M| -> M {
        (0..m[0].len())
            .map(|j| m.iter().map(|row| row[j]).collect())
            .collect()
    };
    let mut mean = s.vector("m0");
    let mut variance = diagonal(&map(&s.vector("v0"), Dual::exp));
    let mut loss = Dual::default();
    for t in s.steps() {
        mean = times(&moves, &mean);
        // The columns of `F V`, and then the rows of `(F V) Fᵀ`.
        let moved = transposed(
            &transposed(&variance)
                .iter()
                .map(|c| times(&moves, c))
                .collect(),
        );
        let spread: M = moved.iter().map(|row| times(&moves, row)).collect();
        variance = spread
            .iter()
            .zip(&diagonal(&shock))
            .map(|(a, b)| plus(a, b))
            .collect();
        let seen = s.at("y", t);
        for (i, see) in sees.iter().enumerate() {
            let gain = times(&variance, see);
            let total = dot(see, &gain) + noise[i];
            let error = seen[i] - dot(see, &mean);
            loss = loss + (total.ln() + error.square() / total) * 0.5;
            mean = zip(&mean, &gain, |m, g| m + g * error / total);
            variance = (0..gain.len())
                .map(|r| zip(&variance[r], &gain, |v, g| v - gain[r] * g / total))
                .collect();
        }
    }
    loss
}
