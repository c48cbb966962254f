//! Learning rates that change during a fit.

use std::f64::consts::PI;
use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result, number};

/// A part of a [`Schedule`], which begins where the part before it ends.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Phase {
    /// From nearly 0 to the full rate along a straight line, in this number of steps: the factor of step `i`, counted
    /// from 0, is `(i + 1) / steps`.
    WarmUp {
        /// The number of steps.
        steps: u64,
    },
    /// The full rate, for this number of steps.
    Constant {
        /// The number of steps.
        steps: u64,
    },
    /// From the full rate to a part of it, along half a cosine: Loshchilov and Hutter, *SGDR: stochastic gradient descent
    /// with warm restarts* (ICLR 2017), equation 5. The factor of step `i` is `to + (1 − to)(1 + cos(π i / steps)) / 2`.
    Cosine {
        /// The number of steps.
        steps: u64,
        /// The factor at the end.
        to: f64,
    },
    /// A factor of `by` after every `every` steps, until the fit ends: that of step `i` is `by^⌊i / every⌋`.
    Steps {
        /// The number of steps between two changes.
        every: u64,
        /// The factor of one change.
        by: f64,
    },
}

impl Phase {
    /// The number of its steps; `None` if it does not end.
    const fn steps(self) -> Option<u64> {
        match self {
            Self::WarmUp { steps } | Self::Constant { steps } | Self::Cosine { steps, .. } => {
                Some(steps)
            }
            Self::Steps { .. } => None,
        }
    }

    /// The factor of its step `i`, counted from 0.
    #[expect(clippy::cast_precision_loss, reason = "2⁵³ steps take years")]
    fn factor(self, i: u64) -> f64 {
        let i = i as f64;
        match self {
            Self::WarmUp { steps } => (i + 1.0) / steps as f64,
            Self::Constant { .. } => 1.0,
            Self::Cosine { steps, to } => {
                to + (1.0 - to) * (1.0 + (PI * i / steps as f64).cos()) / 2.0
            }
            Self::Steps { every, by } => by.powf((i / every as f64).floor()),
        }
    }

    /// The factor that holds after it.
    fn last(self) -> f64 {
        match self {
            Self::Cosine { to, .. } => to,
            _ => 1.0,
        }
    }
}

/// A learning rate that changes during a fit, as factors of the rate of an optimiser.
///
/// The phases are rows of data, one after the other, and each is relative to the full rate. After the last one, its final
/// factor holds. A schedule has no memory: the factor of a step is a function of its number, so that a resumed fit
/// takes the same steps.
///
/// As text, phases are separated by commas, and their numbers by colons:
///
/// | phase | text |
/// |---|---|
/// | warm-up in 100 steps | `warm-up:100` |
/// | full rate for 50 steps | `constant:50` |
/// | half a cosine of 900 steps, down to a tenth (default: 0) | `cosine:900:0.1` |
/// | half the rate after every 300 steps | `steps:300:0.5` |
///
/// ```
/// use bptt::{Batch, Params, Recurrence, Wrt, fit::{Adam, Phase, Schedule}};
/// let r = Recurrence::parse("parabola.rec", "param w\nloss (w - 1)^2\n")?;
/// let gradient = r.gradient(Wrt::Parameters)?;
/// let (mut params, batch) = (Params::new().with("w", ndarray::arr0(3.0)), Batch::new(1, 1));
///
/// let rows = [Phase::WarmUp { steps: 10 }, Phase::Cosine { steps: 290, to: 0.0 }];
/// let schedule = Schedule::new(rows)?;
/// assert_eq!(schedule, "warm-up:10,cosine:290:0".parse()?);
/// let (rate, mut adam) = (0.1, Adam::new(0.1));
/// for step in 0..300 {
///     adam.set_rate(rate * schedule.factor(step));
///     let found = gradient.evaluate(&params, &batch)?;
///     adam.step(&mut params, &found)?;
/// }
/// assert!((params["w"].sum() - 1.0_f64).abs() < 1e-2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule(Vec<Phase>);

impl Schedule {
    /// A schedule of these phases.
    ///
    /// # Errors
    /// [`Error::Schedule`] if a phase has no steps or a factor that is negative or not finite, or follows one that does not end.
    pub fn new(phases: impl IntoIterator<Item = Phase>) -> Result<Self> {
        let phases: Vec<Phase> = phases.into_iter().collect();
        for (at, phase) in phases.iter().enumerate() {
            let refuse = |reason: String| {
                Err(Error::Schedule {
                    phase: phase.to_string(),
                    reason,
                })
            };
            let (Phase::WarmUp { steps: n }
            | Phase::Constant { steps: n }
            | Phase::Cosine { steps: n, .. }
            | Phase::Steps { every: n, .. }) = *phase;
            if n == 0 {
                return refuse("expected at least one step".into());
            }
            if let Phase::Cosine { to: factor, .. } | Phase::Steps { by: factor, .. } = *phase
                && !(factor.is_finite() && factor >= 0.0)
            {
                return refuse(format!(
                    "expected a factor of at least 0, found {}",
                    number(factor)
                ));
            }
            if let Some(next) = phases.get(at + 1)
                && phase.steps().is_none()
            {
                return refuse(format!(
                    "does not end, so that `{next}` never begins: put it last"
                ));
            }
        }
        Ok(Self(phases))
    }

    /// The factor of the learning rate in a step, counted from 0.
    #[must_use]
    pub fn factor(&self, step: u64) -> f64 {
        let mut begin = 0_u64;
        for phase in &self.0 {
            let at = step - begin;
            match phase.steps() {
                Some(steps) if at >= steps => begin += steps,
                _ => return phase.factor(at),
            }
        }
        self.0.last().map_or(1.0, |phase| phase.last())
    }

    /// The phases.
    #[must_use]
    pub fn phases(&self) -> &[Phase] {
        &self.0
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WarmUp { steps } => write!(f, "warm-up:{steps}"),
            Self::Constant { steps } => write!(f, "constant:{steps}"),
            Self::Cosine { steps, to } => write!(f, "cosine:{steps}:{to}"),
            Self::Steps { every, by } => write!(f, "steps:{every}:{by}"),
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phases: Vec<String> = self.0.iter().map(Phase::to_string).collect();
        f.write_str(&phases.join(","))
    }
}

impl FromStr for Phase {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts: Vec<&str> = text.trim().split(':').map(str::trim).collect();
        let steps = parts.get(1).and_then(|part| part.parse().ok());
        let factor = parts.get(2).map(|part| part.parse().ok());
        let phase = match (parts.first().copied(), steps, factor, parts.len()) {
            (Some("warm-up"), Some(steps), None, _) => Some(Self::WarmUp { steps }),
            (Some("constant"), Some(steps), None, _) => Some(Self::Constant { steps }),
            (Some("cosine"), Some(steps), None, _) => Some(Self::Cosine { steps, to: 0.0 }),
            (Some("cosine"), Some(steps), Some(Some(to)), 3) => Some(Self::Cosine { steps, to }),
            (Some("steps"), Some(every), Some(Some(by)), 3) => Some(Self::Steps { every, by }),
            _ => None,
        };
        phase.ok_or_else(|| Error::Schedule {
            phase: text.trim().into(),
            reason: "expected `warm-up:100`, `constant:50`, `cosine:900:0.1` or `steps:300:0.5`"
                .into(),
        })
    }
}

impl FromStr for Schedule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let phases: Result<Vec<Phase>> = text.split(',').map(str::parse).collect();
        Self::new(phases?)
    }
}
