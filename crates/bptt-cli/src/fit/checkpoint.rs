//! The state of an unfinished fit, stored with the parameters in one file.
//!
//! | array | content |
//! |---|---|
//! | `W`, … | the parameters |
//! | `fit/steps` | the steps taken |
//! | `fit/converged` | 1 if no more steps are needed |
//! | `fit/settings` | the settings, as bytes of UTF-8 text |
//! | `fit/optimizer/…` | the arrays of `bptt::fit::State`, and `steps` |
//! | `fit/loss/first`, `fit/loss/highest`, `fit/loss/recent` | of the first step; the largest of the first window; of the last window |
//! | `fit/best/loss`, `fit/best/steps`, `fit/best/params/W`, … | the parameters with the lowest loss |

use std::path::Path;

use bptt::data::{Array, Arrays, Element, FIT};
use bptt::fit::State;
use bptt::{Params, Recurrence, Scalar};
use ndarray::{Array1, Dimension, arr0};

use super::losses::{Best, Losses};
use super::settings::Settings;
use crate::Failure;

/// An upper limit for the number of steps of a fit.
const MOST_STEPS: u64 = i32::MAX as u64;

/// A fit between two steps.
#[derive(Clone, Debug)]
pub(super) struct Progress<F> {
    /// The number of steps taken.
    pub(super) steps: usize,
    /// True if no more steps are needed.
    pub(super) converged: bool,
    pub(super) params: Params<F>,
    /// The state of the optimiser; `None` before the first step.
    pub(super) optimizer: Option<State<F>>,
    pub(super) losses: Losses<F>,
}

impl<F: Scalar + Element> Progress<F> {
    pub(super) fn start(params: Params<F>) -> Self {
        Self {
            steps: 0,
            converged: false,
            params,
            optimizer: None,
            losses: Losses::new(),
        }
    }

    /// The progress in another number type, without the best parameters.
    pub(super) fn cast<G: Scalar>(&self) -> Progress<G> {
        Progress {
            steps: self.steps,
            converged: self.converged,
            params: self.params.cast(),
            optimizer: self.optimizer.as_ref().map(|state| State {
                steps: state.steps,
                arrays: state.arrays.cast(),
            }),
            losses: Losses {
                first: self.losses.first,
                ..Losses::new()
            },
        }
    }

    /// The contents of the file.
    pub(super) fn arrays(&self, settings: &Settings) -> Arrays {
        let mut arrays = Arrays::from(&self.params);
        let mut add = |name: &str, array: Array| arrays.insert(&format!("{FIT}{name}"), array);
        let number = |x: f64| Array::F64(arr0(x).into_dyn());
        let integer = |n: u64| Array::Int(arr0(i64::try_from(n).unwrap_or(i64::MAX)).into_dyn());
        add("steps", integer(self.steps as u64));
        add("converged", integer(self.converged.into()));
        let text: Array1<i64> = settings.to_text().bytes().map(i64::from).collect();
        add("settings", Array::Int(text.into_dyn()));
        if let Some(state) = &self.optimizer {
            add("optimizer/steps", integer(state.steps));
            for (name, array) in state.arrays.iter() {
                add(&format!("optimizer/{name}"), F::array(array.clone()));
            }
        }
        if let Some(first) = self.losses.first {
            add("loss/first", number(first));
        }
        add("loss/highest", number(self.losses.highest));
        let recent: Array1<f64> = self.losses.recent.iter().copied().collect();
        add("loss/recent", Array::F64(recent.into_dyn()));
        if let Some(best) = &self.losses.best {
            add("best/loss", number(best.loss));
            add("best/steps", integer(best.steps as u64));
            for (name, array) in best.params.iter() {
                add(&format!("best/params/{name}"), F::array(array.clone()));
            }
        }
        arrays
    }
}

/// Checks that a file has the state of a fit with these settings.
pub(super) fn check(file: &Path, settings: &Settings) -> Result<(), Failure> {
    checked(file, settings).map(drop)
}

fn checked(file: &Path, settings: &Settings) -> Result<Found, Failure> {
    let in_file = |reason: String| Failure::from(format!("{}: {reason}", file.display()));
    let found = Found(Arrays::read(file)?);
    let text = found.text("settings").ok_or_else(|| {
        in_file(format!(
            "has no state of a fit to resume; --save-every N keeps it, and --params {} starts anew \
             from these parameters",
            file.display()
        ))
    })?;
    let differences = Settings::from_text(&text).differences(settings);
    if !differences.is_empty() {
        return Err(in_file(format!(
            "is the state of another fit: {}; to start anew from its parameters, give --params {}",
            differences.join("; "),
            file.display()
        )));
    }
    Ok(found)
}

/// Reads the state of a fit with these settings: of all parameters, or of the arrays in `start`.
pub(super) fn read<F: Scalar + Element>(
    file: &Path,
    recurrence: &Recurrence,
    settings: &Settings,
    start: Option<&Params<F>>,
) -> Result<Progress<F>, Failure> {
    let in_file = |reason: String| Failure::from(format!("{}: {reason}", file.display()));
    let found = checked(file, settings)?;
    let params = match start {
        None => found
            .0
            .params(recurrence)
            .map_err(|error| error.to_string()),
        Some(start) => found.of(start),
    };
    let params: Params<F> = params.map_err(in_file)?;
    let progress = finite("", &params).and_then(|()| found.progress(params, settings));
    progress.map_err(|reason| {
        in_file(format!(
            "the state of the fit is damaged: {reason}; give --params {} with parameters that are whole, or fit anew",
            file.display()
        ))
    })
}

/// Refuses arrays with non-finite entries.
fn finite<F: Scalar>(prefix: &str, arrays: &Params<F>) -> Result<(), String> {
    for (name, array) in arrays.iter() {
        if let Some((index, x)) = array.indexed_iter().find(|(_, x)| !x.is_finite()) {
            return Err(format!(
                "array `{prefix}{name}`: expected finite numbers, found {x} at {:?} (counted from 0)",
                index.as_array_view().to_vec()
            ));
        }
    }
    Ok(())
}

/// Refuses arrays whose names or shapes differ from those of the parameters.
fn alike<F: Scalar>(prefix: &str, found: &Params<F>, params: &Params<F>) -> Result<(), String> {
    for (name, expected) in params.iter() {
        let expected = expected.shape();
        match found.get(name).map(|a| a.shape()) {
            Some(shape) if shape == expected => {}
            Some(shape) => {
                return Err(format!(
                    "array `{prefix}{name}`: expected shape {expected:?}, found {shape:?}"
                ));
            }
            None => return Err(format!("array `{prefix}{name}` is missing")),
        }
    }
    let strange = found.iter().find(|(name, _)| params.get(name).is_none());
    match strange {
        Some((name, _)) => Err(format!(
            "array `{prefix}{name}` belongs to no parameter; take it out"
        )),
        None => finite(prefix, found),
    }
}

/// The arrays of a file.
struct Found(Arrays);

impl Found {
    fn get(&self, name: &str) -> Option<&Array> {
        self.0.get(&format!("{FIT}{name}"))
    }

    fn text(&self, name: &str) -> Option<String> {
        let Array::Int(codes) = self.get(name)? else {
            return None;
        };
        let bytes = codes.iter().map(|c| u8::try_from(*c).ok());
        String::from_utf8(bytes.collect::<Option<_>>()?).ok()
    }

    /// An integer of at most `most`.
    fn integer(&self, name: &str, most: u64) -> Result<u64, String> {
        let shown = match self.get(name) {
            None => return Err(format!("array `{FIT}{name}` is missing")),
            Some(Array::Int(a)) if a.ndim() == 0 => {
                let found = a.first().copied().unwrap_or(-1);
                match u64::try_from(found) {
                    Ok(n) if n <= most => return Ok(n),
                    _ => found.to_string(),
                }
            }
            Some(other) => described(other),
        };
        Err(format!(
            "array `{FIT}{name}`: expected a whole number from 0 to {most}, found {shown}"
        ))
    }

    /// A finite number.
    fn number(&self, name: &str) -> Result<f64, String> {
        let shown = match self.get(name) {
            None => return Err(format!("array `{FIT}{name}` is missing")),
            Some(Array::F64(a)) if a.ndim() == 0 => {
                let found = a.first().copied().unwrap_or(f64::NAN);
                // Before the first loss, the highest loss is −∞.
                if found.is_finite() || (name == "loss/highest" && found == f64::NEG_INFINITY) {
                    return Ok(found);
                }
                found.to_string()
            }
            Some(other) => described(other),
        };
        Err(format!(
            "array `{FIT}{name}`: expected a finite number, found {shown}"
        ))
    }

    /// The arrays whose names begin with `prefix`, by the rest of their names.
    fn under<F: Scalar>(&self, prefix: &str) -> Params<F> {
        let prefix = format!("{FIT}{prefix}");
        let mut found = Params::new();
        for (name, array) in self.0.iter() {
            if let Some(rest) = name.strip_prefix(&prefix) {
                found.insert(rest, array.real());
            }
        }
        found
    }

    /// The arrays with the names and shapes of those in `start`.
    fn of<F: Scalar>(&self, start: &Params<F>) -> Result<Params<F>, String> {
        let mut found = Params::new();
        for (name, _) in start.iter() {
            if let Some(array) = self.0.get(name) {
                found.insert(name, array.real());
            }
        }
        alike("", &found, start).map(|()| found)
    }

    /// The state of the fit, or the reason why it cannot be read.
    fn progress<F: Scalar>(
        &self,
        params: Params<F>,
        settings: &Settings,
    ) -> Result<Progress<F>, String> {
        let count = |name| {
            let found = self.integer(name, MOST_STEPS)?;
            usize::try_from(found).map_err(|error| error.to_string())
        };
        let steps = count("steps")?;
        let mut losses = Losses::new();
        if steps > 0 || self.get("loss/first").is_some() {
            losses.first = Some(self.number("loss/first")?);
        }
        losses.highest = self.number("loss/highest")?;
        losses.recent = match self.get("loss/recent") {
            Some(Array::F64(a)) if a.ndim() == 1 => a.iter().copied().collect(),
            Some(other) => {
                return Err(format!(
                    "array `{FIT}loss/recent`: expected a row of numbers, found {}",
                    described(other)
                ));
            }
            None => return Err(format!("array `{FIT}loss/recent` is missing")),
        };
        finite(&format!("{FIT}loss/"), &self.under::<f64>("loss/rec"))
            .map_err(|reason| reason.replace("loss/ent", "loss/recent"))?;
        let all: Params<F> = self.under("best/");
        if all.iter().next().is_some() {
            let best = Best {
                loss: self.number("best/loss")?,
                steps: count("best/steps")?,
                params: self.under("best/params/"),
            };
            alike(&format!("{FIT}best/params/"), &best.params, &params)?;
            losses.best = Some(best);
        }
        let optimizer = match steps {
            0 if self.get("optimizer/steps").is_none() => None,
            _ => Some(self.optimizer(steps, &params, settings)?),
        };
        Ok(Progress {
            steps,
            converged: self.integer("converged", 1)? == 1,
            params,
            optimizer,
            losses,
        })
    }

    /// The state of the optimiser after `steps` steps.
    fn optimizer<F: Scalar>(
        &self,
        steps: usize,
        params: &Params<F>,
        settings: &Settings,
    ) -> Result<State<F>, String> {
        let own = self.integer("optimizer/steps", MOST_STEPS)?;
        let (kinds, counted): (&[&str], u64) = match settings.get("--optimizer") {
            // A step over the data has several updates.
            Some("adam" | "adamw") if settings.get("--truncate").is_some() => {
                (&["first", "second"], own.max(steps as u64))
            }
            Some("adam" | "adamw") => (&["first", "second"], steps as u64),
            Some("sgd") => (&["velocity"], 0),
            _ => (&[], 0),
        };
        if own != counted {
            return Err(format!(
                "array `{FIT}optimizer/steps`: expected {counted} after {}, found {own}",
                bptt::counted(steps, "step")
            ));
        }
        let all: Params<F> = self.under("optimizer/");
        let mut arrays = Params::new();
        for (name, array) in all.iter().filter(|(n, _)| *n != "steps") {
            arrays.insert(name, array.clone());
        }
        finite(&format!("{FIT}optimizer/"), &arrays)?;
        for kind in kinds {
            let prefix = format!("optimizer/{kind}.");
            let found = self.under(&prefix);
            // An optimizer has no state before its first step.
            if steps > 0 || found.iter().next().is_some() {
                alike(&format!("{FIT}{prefix}"), &found, params)?;
            }
        }
        if kinds.is_empty() {
            self.newton(steps, &arrays, params)?;
        }
        Ok(State { steps: own, arrays })
    }

    /// Checks the state of Newton's method.
    fn newton<F: Scalar>(
        &self,
        steps: usize,
        arrays: &Params<F>,
        params: &Params<F>,
    ) -> Result<(), String> {
        let numbers: usize = params.iter().map(|(_, a)| a.len()).sum();
        for (name, shape) in [
            ("size", vec![numbers]),
            ("kept", vec![numbers]),
            ("loss", vec![]),
            ("radius", vec![]),
            ("length", vec![]),
            ("decrement", vec![]),
        ] {
            match arrays.get(name).map(|a| a.shape()) {
                Some(found) if found != shape => {
                    return Err(format!(
                        "array `{FIT}optimizer/{name}`: expected shape {shape:?}, found {found:?}"
                    ));
                }
                None if steps > 0 && ["size", "kept", "loss"].contains(&name) => {
                    return Err(format!("array `{FIT}optimizer/{name}` is missing"));
                }
                _ => {}
            }
        }
        let back: Params<F> = self.under("optimizer/back.");
        match back.iter().next().is_some() || arrays.get("length").is_some() {
            true => alike(&format!("{FIT}optimizer/back."), &back, params),
            false => Ok(()),
        }
    }
}

/// The description of an unexpected array, for an error message.
fn described(array: &Array) -> String {
    let kind = match array {
        Array::Int(_) => "whole numbers",
        Array::Bool(_) => "booleans",
        _ => "real numbers",
    };
    format!("{kind} of shape {:?}", array.shape())
}
