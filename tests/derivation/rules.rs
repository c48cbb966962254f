//! The rules of a derivation: each statement and each proof by entries holds for random matrices, and each can
//! be printed and parsed.

use bptt::derive::Rule;
use bptt::render::{Dialect, Math};
use ndarray::{Array1, Array2, Axis, concatenate, s};

/// Reproducible pseudo-random numbers between −1 and 1.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        #[expect(clippy::cast_precision_loss, reason = "53 bits are kept")]
        let unit = (self.0 >> 11) as f64 / (1_u64 << 53) as f64;
        2.0 * unit - 1.0
    }

    fn vector(&mut self, n: usize) -> Array1<f64> {
        Array1::from_shape_simple_fn(n, || self.next())
    }

    fn matrix(&mut self, m: usize, n: usize) -> Array2<f64> {
        Array2::from_shape_simple_fn((m, n), || self.next())
    }
}

/// `⟨A, B⟩`.
fn inner<D: ndarray::Dimension>(a: &ndarray::Array<f64, D>, b: &ndarray::Array<f64, D>) -> f64 {
    (a * b).sum()
}

fn outer(u: &Array1<f64>, v: &Array1<f64>) -> Array2<f64> {
    let column = u.clone().insert_axis(Axis(1));
    column.dot(&v.clone().insert_axis(Axis(0)))
}

fn norm(v: &Array1<f64>) -> f64 {
    inner(v, v).sqrt()
}

/// Estimates of the smallest and the largest ratio `‖a v‖ / ‖v‖`, from random vectors `v`: the first from
/// above, the second from below.
fn stretch(a: &Array2<f64>, random: &mut Random) -> (f64, f64) {
    let mut range = (f64::INFINITY, 0.0_f64);
    for _ in 0..4000 {
        let v = random.vector(a.ncols());
        let s = norm(&a.dot(&v)) / norm(&v);
        range = (range.0.min(s), range.1.max(s));
    }
    range
}

/// The error of a rule on random numbers; for an inequality, the amount of its violation.
fn error(rule: Rule, r: &mut Random) -> f64 {
    let (m, n) = (3, 4);
    let (a, b) = (r.matrix(m, n), r.matrix(n, 2));
    let (da, db) = (r.matrix(m, n), r.matrix(n, 2));
    let (u, v, du, dv) = (r.vector(m), r.vector(m), r.vector(m), r.vector(m));
    let (x, delta, w) = (r.vector(n), r.vector(m), r.vector(m));
    let alpha = r.next();
    let gap = |a: &Array1<f64>, b: &Array1<f64>| (a - b).mapv(f64::abs).sum();
    let gap2 = |a: &Array2<f64>, b: &Array2<f64>| (a - b).mapv(f64::abs).sum();
    // A differential omits quadratic terms.
    match rule {
        Rule::Constant => {
            let later = u.clone();
            gap(&(&later - &u), &Array1::zeros(m))
        }
        Rule::Linearity => {
            let change = (alpha * (&u + &du) + (&v + &dv)) - (alpha * &u + &v);
            gap(&change, &(alpha * &du + &dv))
        }
        Rule::MatrixProduct => {
            let change = (&a + &da).dot(&(&b + &db)) - a.dot(&b) - da.dot(&db);
            gap2(&change, &(da.dot(&b) + a.dot(&db)))
        }
        Rule::HadamardProduct => {
            let change = (&u + &du) * (&v + &dv) - &u * &v - &du * &dv;
            gap(&change, &(&du * &v + &u * &dv))
        }
        Rule::Elementwise => {
            let h = 1e-6;
            let change =
                ((&u + &(h * &du)).mapv(f64::tanh) - (&u - &(h * &du)).mapv(f64::tanh)) / (2.0 * h);
            let y = u.mapv(f64::tanh);
            1e-4 * gap(&change, &((1.0 - &y * &y) * &du))
        }
        Rule::Stacking => {
            let stack = |a: &Array1<f64>, b: &Array1<f64>| concatenate![Axis(0), *a, *b];
            let change = stack(&(&u + &du), &(&v + &dv)) - stack(&u, &v);
            gap(&change, &stack(&du, &dv))
        }
        Rule::Total => {
            let change = inner(&(&u + &du), &(&u + &du)) - inner(&u, &u) - inner(&du, &du);
            change - inner(&(2.0 * &u), &du)
        }
        // The value that changes as the derivative declares.
        Rule::Declared => gap(&((&u + &(&v + &dv) - &v) - &u), &dv),
        Rule::Substitution => gap(&u.mapv(f64::exp), &u.clone().mapv(f64::exp)),
        Rule::InnerLinearity => inner(&delta, &(&u + &v)) - inner(&delta, &u) - inner(&delta, &v),
        Rule::LeftAdjoint => inner(&delta, &a.dot(&x)) - inner(&a.t().dot(&delta), &x),
        Rule::RightAdjoint => inner(&delta, &a.dot(&x)) - inner(&outer(&delta, &x), &a),
        Rule::HadamardAdjoint => inner(&delta, &(&v * &u)) - inner(&(&v * &delta), &u),
        Rule::StackingAdjoint => {
            let (both, stacked) = (concatenate![Axis(0), delta, w], concatenate![Axis(0), u, v]);
            inner(&both, &stacked) - inner(&delta, &u) - inner(&w, &v)
        }
        Rule::FanOut => inner(&u, &w) + inner(&v, &w) - inner(&(&u + &v), &w),
        Rule::Broadcasting => inner(&delta, &Array1::from_elem(m, alpha)) - delta.sum() * alpha,
        // Any linear map: here a cumulative sum, whose adjoint sums from the other end.
        Rule::Row => {
            let n = delta.len();
            let forwards: Array1<f64> = (0..n).map(|i| u.slice(s![..=i]).sum()).collect();
            let backwards: Array1<f64> = (0..n).map(|i| delta.slice(s![i..]).sum()).collect();
            inner(&delta, &forwards) - inner(&backwards, &u)
        }
        // Two uses of one value: the adjoint of the sum of paths.
        Rule::Consumer | Rule::PathSum => {
            let both = concatenate![Axis(0), a, da];
            let read = both.dot(&x);
            let sent = a.t().dot(&delta) + da.t().dot(&w);
            inner(&concatenate![Axis(0), delta, w], &read) - inner(&sent, &x)
        }
        Rule::Identification | Rule::ReadOff => {
            let mut worst: f64 = 0.0;
            for ((i, j), entry) in a.indexed_iter() {
                let mut unit = Array2::zeros((m, n));
                unit[(i, j)] = 1.0;
                worst = worst.max((inner(&a, &unit) - entry).abs());
            }
            worst
        }
        // W used twice, as two copies with one name.
        Rule::WeightTying => {
            let square = r.matrix(n, n);
            let change = r.matrix(n, n);
            let twice = |w: &Array2<f64>, z: &Array2<f64>| w.dot(&z.dot(&x));
            let tied = twice(&(&square + &change), &(&square + &change)) - twice(&square, &square);
            let apart = twice(&change, &square) + twice(&square, &change) + twice(&change, &change);
            gap(&tied, &apart)
        }
        // The five rules of time, on one linear recurrence s_t = J_t s_{t−1} with e_t sent at each t.
        Rule::IndexShift
        | Rule::Boundary
        | Rule::Unrolling
        | Rule::Exchange
        | Rule::Horner
        | Rule::OrderedProduct
        | Rule::Truncation => time(rule, r),
        Rule::Diagonal => gap(&(&v * &u), &Array2::from_diag(&v).dot(&u)),
        Rule::Submultiplicative => {
            let (one, two, both) = (stretch(&a, r).1, stretch(&b, r).1, stretch(&a.dot(&b), r).1);
            // The norms of the factors are underestimated slightly.
            (both - 1.05 * one * two).max(0.0)
        }
        Rule::Triangle => (norm(&(&u + &v)) - norm(&u) - norm(&v)).max(0.0),
        Rule::DiagonalNorm => {
            let largest = v.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
            let seen = stretch(&Array2::from_diag(&v), r).1;
            (seen - largest).max(0.0) + (0.9 * largest - seen).max(0.0)
        }
        Rule::OuterNorm => {
            let all = outer(&u, &x);
            inner(&all, &all).sqrt() - norm(&u) * norm(&x)
        }
        Rule::LowerBound => {
            // The observed ratio is not below the smallest singular value, 1 / ‖A⁻¹‖, which for a diagonal
            // matrix is the smallest entry.
            let least = v.iter().fold(f64::INFINITY, |m, x| m.min(x.abs()));
            let seen = stretch(&Array2::from_diag(&v), r).0;
            (least - seen).max(0.0)
        }
        Rule::Ranges => {
            let mut worst: f64 = 0.0;
            for i in -400..=400 {
                let z = f64::from(i) / 20.0;
                let (s, t) = (1.0 / (1.0 + (-z).exp()), z.tanh());
                worst = worst.max(s * (1.0 - s) - 0.25).max(1.0 - t * t - 1.0);
                worst = worst.max(s - 1.0).max(-s).max(t.abs() - 1.0);
            }
            worst
        }
        Rule::Geometric => {
            let q = 0.9 * alpha.abs();
            let sum: f64 = (0..2000).map(|n| q.powi(n)).sum();
            sum - 1.0 / (1.0 - q)
        }
        Rule::Extremes => {
            let largest = u.iter().fold(f64::NEG_INFINITY, |m, x| m.max(*x));
            let smallest = u.iter().fold(f64::INFINITY, |m, x| m.min(*x));
            let beyond = |x: &f64| (x - largest).max(smallest - x).max(0.0);
            // A product of magnitudes lies between the powers of the smallest and the largest.
            let sizes = u.mapv(f64::abs);
            let power = sizes.iter().fold(0.0, |m: f64, x| m.max(*x)).powi(3);
            u.iter().map(beyond).sum::<f64>() + (sizes.product() - power).max(0.0)
        }
        Rule::BlockNorm => {
            // The same vectors for the blocks and the whole, so that the estimates are comparable.
            let (mut one, mut two, mut both) = (0.0_f64, 0.0_f64, 0.0_f64);
            let stack = concatenate![Axis(0), a, da];
            for _ in 0..500 {
                let v = r.vector(n);
                let stretched = |a: &Array2<f64>| (norm(&a.dot(&v)) / norm(&v)).powi(2);
                one = one.max(stretched(&a));
                two = two.max(stretched(&da));
                both = both.max(stretched(&stack));
            }
            (both - one - two).max(0.0)
        }
        Rule::EntryNorm => {
            let largest = x.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
            (norm(&x) - 2.0 * largest).max(0.0)
        }
        Rule::Contraction => contraction(r),
        Rule::Definition => 0.0,
    }
}

/// The amount by which a sequence with three lags, whose factors sum to ρ, exceeds its bound, a power of ρ.
fn contraction(r: &mut Random) -> f64 {
    const LAGS: usize = 3;
    let factors = r.vector(LAGS).mapv(f64::abs);
    let ratio = factors.sum().min(0.9);
    let factors = &factors * (ratio / factors.sum());
    let mut x = vec![0.0; LAGS - 1];
    x.push(1.0);
    let mut worst = 0.0_f64;
    for steps in 1..12 {
        let earlier = x.iter().rev().zip(&factors);
        let next: f64 = earlier.map(|(x, factor)| factor * x).sum();
        let power = i32::try_from(usize::div_ceil(steps, LAGS)).unwrap();
        worst = worst.max(next - ratio.powi(power));
        x.push(next);
    }
    worst.max(0.0)
}

fn time(rule: Rule, r: &mut Random) -> f64 {
    const T: usize = 6;
    let j: Vec<Array2<f64>> = (0..=T + 1).map(|_| r.matrix(3, 3)).collect();
    let e: Vec<Array1<f64>> = (0..=T + 1).map(|_| r.vector(3)).collect();
    let product =
        |t: usize, k: usize| (k + 1..=t).fold(Array2::eye(3), |p: Array2<f64>, i| j[i].dot(&p));
    let gap = |a: &Array1<f64>, b: &Array1<f64>| (a - b).mapv(f64::abs).sum();
    let sent = |t: usize, k: usize| product(t, k).t().dot(&e[t]);
    let closed = |k: usize| (k..=T).fold(Array1::zeros(3), |s, t| s + sent(t, k));
    let start = r.vector(3);
    let run = |to: usize| (1..=to).fold(start.clone(), |s, t| j[t].dot(&s));
    match rule {
        Rule::IndexShift => {
            // Σ_t ⟨e_t, s_{t−1}⟩ = Σ_t ⟨e_{t+1}, s_t⟩ over the steps that both have.
            let read: f64 = (1..=T).map(|t| inner(&e[t], &run(t - 1))).sum();
            let given: f64 = (0..T).map(|t| inner(&e[t + 1], &run(t))).sum();
            read - given
        }
        Rule::Boundary => gap(&closed(T), &e[T]),
        Rule::Unrolling => gap(&run(T), &product(T, 0).dot(&start)),
        Rule::Exchange => {
            let one: f64 = (1..=T)
                .flat_map(|t| (1..=t).map(move |k| (t, k)))
                .map(|(t, k)| sent(t, k).sum())
                .sum();
            let two: f64 = (1..=T)
                .flat_map(|k| (k..=T).map(move |t| (t, k)))
                .map(|(t, k)| sent(t, k).sum())
                .sum();
            one - two
        }
        Rule::Horner => (1..T)
            .map(|k| gap(&closed(k), &(&e[k] + &j[k + 1].t().dot(&closed(k + 1)))))
            .sum(),
        Rule::OrderedProduct => {
            let three = j[4].dot(&j[3]).dot(&j[2]);
            (product(4, 1) - three).mapv(f64::abs).sum()
        }
        _ => {
            let all: f64 = (1..=T)
                .flat_map(|t| (1..=t).map(move |k| (t, k)))
                .map(|(t, k)| sent(t, k).sum())
                .sum();
            let near = |near: bool| -> f64 {
                let pairs = (1..=T).flat_map(|t| (1..=t).map(move |k| (t, k)));
                pairs
                    .filter(|(t, k)| (t - k < 2) == near)
                    .map(|(t, k)| sent(t, k).sum())
                    .sum()
            };
            all - near(true) - near(false)
        }
    }
}

#[test]
fn every_rule_holds_by_itself() {
    let mut random = Random(20);
    for rule in Rule::ALL {
        for _ in 0..5 {
            let error = error(*rule, &mut random).abs();
            assert!(error < 1e-11, "{}: {error:e}", rule.id());
        }
    }
}

#[test]
fn statements_are_formulas() {
    let written = |latex: &str| Math::read(latex).map(|m| m.latex(Dialect::Plain));
    let close = |text: &str| text.replace([' ', '\''], "").replace(r"^{\prime}", "");
    for rule in Rule::ALL {
        for latex in [Some(rule.statement()), rule.proof()].into_iter().flatten() {
            let again = written(latex).unwrap_or_else(|e| panic!("{}: {latex}: {e}", rule.id()));
            // Compare without sizes of delimiters and without spaces.
            let bare = |t: &str| close(t).replace(r"\left", "").replace(r"\right", "");
            assert_eq!(bare(&again), bare(latex), "{}", rule.id());
        }
    }
    assert!(Math::read(r"\unknown{x}").is_err());
    assert!(Math::read("(x").is_err());
}
