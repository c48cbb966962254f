//! The reference size for errors, and the rounding errors of the compared numbers.

use super::differences::Estimate;
use super::{Noise, Route};
use crate::recurrence::{Batch, LOSS, Outputs, Params, Unrolled};
use crate::tape::Side;

/// The ratio of rounding errors in `f64` to those in `f32`.
const NARROWER: f64 = 1.0 / (1u64 << 29) as f64;
/// The factor allowed between a rounding error and the largest observed one.
pub(super) const MARGIN: f64 = 64.0;
/// An array smaller than the others, or than the loss, by this factor is negligible.
const NEGLIGIBLE: f64 = 1e-4;
/// The maximum error of a route relative to the size, however large rounding errors are.
const ALLOWED: f64 = 1e-6;

/// The sizes of some derivatives and of the loss, and their rounding errors.
pub(super) struct Magnitudes {
    names: Vec<String>,
    own: Vec<Magnitude>,
    pub(super) loss: Magnitude,
    overall: f64,
}

/// The largest entry of an array and its rounding error.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Magnitude {
    pub(super) largest: f64,
    /// The largest change caused by random rounding in `f64`.
    pub(super) rounding: f64,
    /// The largest difference caused by rounding to `f32`.
    narrow: f64,
}

impl Magnitude {
    /// The size of the terms that sum to the array, estimated from their rounding errors: near an optimum and in
    /// saturation it is much larger than the array.
    fn terms(self) -> f64 {
        self.rounding / f64::EPSILON
    }

    /// A bound on the rounding errors of the array.
    pub(super) fn noise(self) -> f64 {
        rounding_of(self.narrow).max(MARGIN * self.rounding)
    }
}

/// A bound on the rounding error in `f64` of a number whose error in `f32` is `narrow`.
pub(super) fn rounding_of(narrow: f64) -> f64 {
    MARGIN * NARROWER * narrow
}

impl Magnitudes {
    pub(super) fn new(
        unrolled: &Unrolled,
        values: &Outputs<f64>,
        params: &Params<f64>,
        batch: &Batch<f64>,
        sides: &[Side],
        (draws, noise): (usize, &mut Noise),
    ) -> Self {
        // An overflow in `f32` gives no information about rounding.
        let narrow = unrolled
            .evaluate::<f32>(&params.cast(), &batch.cast())
            .unwrap_or_default();
        let mut found = Self {
            names: Vec::new(),
            own: Vec::new(),
            loss: Magnitude::default(),
            overall: 0.0,
        };
        for (name, a) in values.iter() {
            let narrowed = narrow.get(name).into_iter().flatten();
            let own = Magnitude {
                largest: a.iter().fold(0.0, |m: f64, x| m.max(x.abs())),
                narrow: furthest(narrowed.map(|x| f64::from(*x)).zip(a.iter().copied())),
                rounding: 0.0,
            };
            found.names.push(name.into());
            found.own.push(own);
        }
        for _ in 0..draws {
            let drawn = unrolled.values_rounded(params, batch, noise);
            let Some(drawn) = drawn.ok().filter(|v| unrolled.kinks(v) == sides) else {
                continue;
            };
            let Ok(drawn) = unrolled.read(&drawn) else {
                continue;
            };
            for ((_, exact), ((_, drawn), own)) in
                values.iter().zip(drawn.iter().zip(&mut found.own))
            {
                let pairs = drawn.iter().copied().zip(exact.iter().copied());
                own.rounding = own.rounding.max(furthest(pairs));
            }
        }
        if let Some(i) = found.names.iter().position(|n| n == LOSS) {
            found.names.remove(i);
            found.loss = found.own.remove(i);
        }
        found.overall = found.own.iter().map(|m| m.largest).fold(0.0, f64::max);
        found
    }

    /// The magnitude of an array; `index` is its position among the outputs.
    pub(super) fn of(&self, index: usize, name: &str) -> Magnitude {
        let here = self.names.get(index).is_some_and(|n| n == name);
        let index = match here {
            true => Some(index),
            false => self.names.iter().position(|n| n == name),
        };
        index.map_or_else(Magnitude::default, |i| self.own[i])
    }

    /// The scale of an array; `alone` is true if only differences can test it.
    pub(super) fn scale(&self, index: usize, name: &str, alone: bool) -> Scale {
        let own = self.of(index, name);
        let loss = self.loss.largest.max(self.loss.terms());
        Scale {
            own,
            size: own
                .largest
                .max(NEGLIGIBLE * self.overall)
                .max(NEGLIGIBLE * loss.min(1.0))
                .max(f64::MIN_POSITIVE),
            bare: own.largest.max(NEGLIGIBLE * self.overall),
            terms: own.terms().max(NEGLIGIBLE * loss.min(1.0)),
            alone,
        }
    }
}

fn furthest(pairs: impl Iterator<Item = (f64, f64)>) -> f64 {
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// The reference size for the errors of one array.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scale {
    pub(super) own: Magnitude,
    /// The largest entry of the array, unless it is negligible next to the other arrays or the loss (if the loss is
    /// small).
    pub(super) size: f64,
    /// The size without regard to the loss.
    bare: f64,
    /// The size of the terms that sum to the array, and at least a negligible part of the loss: differences of the
    /// loss hardly resolve less.
    terms: f64,
    /// True if only differences can test the array, since its derivative uses the rule of a custom op.
    pub(super) alone: bool,
}

/// The result of a comparison.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Seen {
    /// The relative error and the tolerance.
    Compared { error: f64, tolerance: f64 },
    /// The derivative is within the rounding errors of the differences, which show no more than that.
    Bounded { error: f64, tolerance: f64 },
    /// Rounding errors hide the derivative.
    Hidden,
    /// The differences do not converge.
    Bent,
}

impl Seen {
    /// Returns true if the route disagrees.
    pub(super) fn refutes(self) -> bool {
        match self {
            Self::Compared { error, tolerance } | Self::Bounded { error, tolerance } => {
                error.is_nan() || error > tolerance
            }
            Self::Hidden | Self::Bent => false,
        }
    }
}

impl Scale {
    /// The scale of two arrays that are perturbed together.
    pub(super) fn larger(self, other: Self) -> Self {
        let own = Magnitude {
            largest: self.own.largest.max(other.own.largest),
            rounding: self.own.rounding.max(other.own.rounding),
            narrow: self.own.narrow.max(other.own.narrow),
        };
        Self {
            own,
            size: self.size.max(other.size),
            bare: self.bare.max(other.bare),
            terms: self.terms.max(other.terms),
            alone: self.alone || other.alone,
        }
    }

    /// Compares numbers of this size by an exact route. Near an optimum a gradient is a small difference of large
    /// terms; rounding errors of the terms are tolerated unless they hide the whole derivative.
    pub(super) fn exact(self, difference: f64, size: f64, tolerance: f64) -> Seen {
        self.within(
            difference,
            (self.own.largest.max(size), self.own.noise()),
            tolerance,
        )
    }

    /// The same for numbers from other data, of this size and with this error in `f32`.
    pub(super) fn on_all_steps(self, difference: f64, size: f64, narrow: f64) -> Seen {
        let noise = match narrow.is_finite() {
            true => rounding_of(narrow),
            false => 0.0,
        };
        self.within(difference, (size, noise), Route::AllSteps.tolerance())
    }

    fn within(self, difference: f64, (size, noise): (f64, f64), tolerance: f64) -> Seen {
        let difference = difference.abs();
        let granted = noise.min(ALLOWED * self.size.max(size));
        let allowed = size + granted / tolerance;
        let error = difference / allowed.max(f64::MIN_POSITIVE);
        match error > tolerance && difference <= noise {
            true => Seen::Hidden,
            false => Seen::Compared { error, tolerance },
        }
    }

    /// The size of the derivative that differences are refined to resolve.
    pub(super) const fn goal(self) -> f64 {
        match self.alone {
            true => self.own.largest,
            false => self.size,
        }
    }

    /// Returns true if every entry is zero up to rounding.
    pub(super) fn is_zero(self) -> bool {
        self.own.largest <= self.own.noise()
    }

    /// Compares a derivative with an estimate by differences, within the resolution of the differences.
    pub(super) fn compare(self, estimate: Estimate, found: f64, tolerance: f64) -> Seen {
        /// Differences are resolved if their error is at most this part of the tolerance.
        const RESOLVED: f64 = 0.5;
        /// They are also resolved if it is at most this part of the derivative; the tolerance then grows with it.
        const PART: f64 = 1e-4;
        /// The same if there is no other route.
        const PART_ALONE: f64 = 1e-5;
        /// The allowed ratio of the difference to the estimated error.
        const UNSURE: f64 = 8.0;
        let Estimate {
            value,
            error,
            rounding,
            ..
        } = estimate;
        let difference = (value - found).abs();
        let larger = value.abs().max(found.abs());
        let (size, part) = match self.alone {
            true => (self.own.largest.max(value.abs()), PART_ALONE),
            false => (self.bare.max(value.abs()), PART),
        };
        let against = |size: f64| difference / size.max(f64::MIN_POSITIVE);
        if self.alone && size == 0.0 {
            return Seen::Hidden;
        }
        if error <= RESOLVED * tolerance * size {
            let error = against(size);
            Seen::Compared { error, tolerance }
        } else if error <= part * larger {
            let tolerance = tolerance.max(UNSURE * error / larger);
            let error = against(larger);
            Seen::Compared { error, tolerance }
        } else if !self.alone && error <= RESOLVED * tolerance * self.terms {
            let error = against(self.terms);
            Seen::Compared { error, tolerance }
        } else if error > UNSURE * rounding {
            Seen::Bent
        } else if self.alone && difference <= UNSURE * error {
            Seen::Hidden
        } else {
            let error = against(UNSURE * error / tolerance);
            Seen::Bounded { error, tolerance }
        }
    }
}
