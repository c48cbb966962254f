//! The ends of a fit at which the last parameters are no minimum: they did not move, or the loss falls without end.

use bptt::{Batch, Derived, Outputs, Params, Real, Scalar};

use crate::args::{Fit, Optimizer};
use crate::engine::Program;
use crate::report::digits;

/// The constant of Adam that its steps are relative to.
const EPSILON: f64 = 1e-8;
/// A motion below this part of the parameters is none.
const UNMOVED: f64 = 1e-9;
/// A change of the loss below this part of it, if the parameters changed by their size, is none.
const LEVEL: f64 = 1e-6;
/// A loss below minus this multiple of the loss before has no minimum.
const ENDLESS: f64 = 1e30;

/// Numbers that moved by less than this part of their size show nothing about the shape of the loss.
const SHORT: f64 = 1e-3;
/// Slopes that differ by less than this part are those of a straight line.
const STRAIGHT: f64 = 1e-9;
/// The loss falls ever more steeply if its slope grows by this factor from each place to the next.
const STEEPER: f64 = 1.1;
/// The places where the slope is compared, in distances from the start to the end of the fit. A loss with a
/// minimum may fall more steeply from the first to the second, and does not everywhere.
const AWAY: [f64; 5] = [0.0, 1.0, 2.0, 100.0, 10_000.0];

/// The last step of a fit: its loss, and the largest entry of its gradient before and after clipping.
#[derive(Clone, Copy, Debug)]
pub(super) struct Last {
    pub(super) loss: f64,
    pub(super) slope: f64,
    pub(super) clipped: f64,
}

/// The largest entry of a gradient.
pub(super) fn slope<F: Real>(gradient: &Outputs<F>) -> f64 {
    let slopes = gradient
        .iter()
        .filter(|(name, _)| gradient.role(name).is_some());
    largest(slopes.flat_map(|(_, array)| array.iter().copied()))
}

/// The reason and a remedy, if the parameters did not move in `steps` steps although the loss has a slope.
pub(super) fn unmoved<F: Real>(
    start: &Params<F>,
    now: &Params<F>,
    last: Last,
    steps: usize,
    args: &Fit,
) -> Option<String> {
    let size = match largest(start.iter().flat_map(|(_, array)| array.iter().copied())) {
        0.0 => 1.0,
        size => size,
    };
    if last.slope * size <= LEVEL * last.loss.abs() {
        return None;
    }
    let pairs = start
        .iter()
        .filter_map(|(name, array)| Some((array, now.get(name)?)));
    let motion = largest(pairs.flat_map(|(from, to)| {
        let changes = from.iter().zip(to);
        changes.map(|(from, to)| *to - *from).collect::<Vec<_>>()
    }));
    #[expect(clippy::cast_precision_loss, reason = "a rough comparison")]
    let allowed = args.lr * steps as f64;
    let taken = bptt::counted(steps, "step");
    let is_adam = args.optimizer != Optimizer::Sgd;
    let slope = last.clipped;
    let faint = is_adam && slope < 0.01 * EPSILON && motion < 0.01 * allowed;
    if !faint && motion > UNMOVED * size {
        return None;
    }
    let far = match motion {
        0.0 => "did not move".to_owned(),
        motion => format!("hardly moved, by at most {motion:.0e}"),
    };
    let remedy = if slope < LEVEL * last.slope {
        "--clip leaves almost nothing of the gradients; try --clip 1, or leave it out".to_owned()
    } else if faint {
        format!(
            "the gradients are at most {slope:.0e}, far below the constant {EPSILON:.0e} that Adam adds to them; multiply \
             the loss by {:.0e}, or try --optimizer newton",
            10f64.powf(-slope.log10().floor())
        )
    } else {
        let rate = match is_adam {
            true => 0.01 * size,
            false => 0.01 * size / slope,
        };
        format!(
            "--lr {} is too small for parameters of size {} and gradients of size {}; try --lr {rate:.0e}",
            bptt::number(args.lr),
            digits(size),
            digits(slope)
        )
    };
    Some(format!("the parameters {far} in {taken}: {remedy}"))
}

/// The reason and a remedy, if the loss has fallen beyond every scale.
pub(super) fn endless(before: f64, after: f64, steps: usize) -> Option<String> {
    (after < -ENDLESS * before.abs().max(1.0)).then(|| {
        format!(
            "the loss falls without end, from {} to {} in {}: check the sign of the loss, or bound it by another term, such as \
             `loss a^2` for a parameter `a`",
            bptt::number(before),
            bptt::number(after),
            bptt::counted(steps, "step")
        )
    })
}

/// The reason and a remedy, if the loss falls from the start over the end and far beyond it without a sign of a
/// minimum: along a straight line, or ever more steeply.
pub(super) fn falling<F: Real>(
    gradient: &mut Program<'_, F>,
    start: &Params<F>,
    end: &Params<F>,
    batch: &Batch<F>,
) -> Option<String> {
    const CURE: &str = "check the sign of the loss, or bound it by another term, such as `loss a^2` for a parameter `a`";
    let at = |times: f64| {
        end.iter().fold(Params::new(), |all, (name, array)| {
            let from = start.get(name).unwrap_or(array);
            all.with(name, from + (array - from) * F::of(times))
        })
    };
    let mut found = Vec::new();
    for times in AWAY {
        found.push(gradient.attempt(&at(times), batch).ok()?);
    }
    let straight = match Scalar::to_f64(F::epsilon()) {
        fine if fine < 1e-12 => STRAIGHT,
        coarse => 100.0 * coarse,
    };
    let mut all = [0.0; AWAY.len()];
    for (name, role) in found[0]
        .iter()
        .filter_map(|(n, _)| Some((n, found[0].role(n)?)))
    {
        let Derived::Cotangent(of) = role else {
            continue;
        };
        let (from, to) = (start.get(of)?, end.get(of)?);
        for (index, from) in from.indexed_iter() {
            let from = Scalar::to_f64(*from);
            let moved = Scalar::to_f64(to[&index]) - from;
            let slopes = std::array::from_fn(|i| Scalar::to_f64(found[i][name][&index]));
            let slopes: [f64; AWAY.len()] = slopes;
            for (sum, slope) in all.iter_mut().zip(slopes) {
                *sum += slope * moved;
            }
            let size = if from == 0.0 { 1.0 } else { from.abs() };
            let level = |slope: f64| (slope - slopes[0]).abs() <= straight * slopes[0].abs();
            if moved * slopes[0] < 0.0
                && moved.abs() > SHORT * size
                && slopes.into_iter().all(level)
            {
                return Some(format!(
                    "the loss still falls, in a straight line when `{of}` moves, and has no minimum in sight: {CURE}"
                ));
            }
        }
    }
    let is_steeper = all.windows(2).all(|pair| pair[1] < STEEPER * pair[0]);
    (all[0] < 0.0 && is_steeper).then(|| {
        format!("the loss still falls, and ever more steeply, with no minimum in sight: {CURE}")
    })
}

fn largest<F: Real>(numbers: impl Iterator<Item = F>) -> f64 {
    numbers.map(|x| x.to_f64().abs()).fold(0.0, f64::max)
}
