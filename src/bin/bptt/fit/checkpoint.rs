//! The state of an unfinished fit, kept beside the parameters in their file.
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
use ndarray::{Array1, arr0};

use super::losses::{Best, Losses};
use super::settings::Settings;
use crate::Failure;

/// A fit between two steps.
#[derive(Clone, Debug)]
pub(super) struct Progress<F> {
    /// The steps taken.
    pub(super) steps: usize,
    /// True if no more steps are needed.
    pub(super) converged: bool,
    pub(super) params: Params<F>,
    /// The state of the optimiser; none before the first step.
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

    /// The same in another type. The best parameters are left out.
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

    /// The content of the file.
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

/// Reads the state of a fit that had these settings.
pub(super) fn read<F: Scalar + Element>(
    file: &Path,
    recurrence: &Recurrence,
    settings: &Settings,
) -> Result<Progress<F>, Failure> {
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
    let params = found.0.params(recurrence);
    let params: Params<F> = params.map_err(|error| in_file(error.to_string()))?;
    let progress = found.progress(params);
    let progress = progress.map_err(|name| {
        in_file(format!(
            "the state of the fit is damaged: array `{FIT}{name}` is missing or not usable"
        ))
    })?;
    Ok(progress)
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

    fn integer(&self, name: &str) -> Option<u64> {
        match self.get(name)? {
            Array::Int(a) if a.ndim() == 0 => u64::try_from(*a.first()?).ok(),
            _ => None,
        }
    }

    fn count(&self, name: &str) -> Option<usize> {
        usize::try_from(self.integer(name)?).ok()
    }

    fn number(&self, name: &str) -> Option<f64> {
        match self.get(name)? {
            Array::F64(a) if a.ndim() == 0 => a.first().copied(),
            _ => None,
        }
    }

    /// The arrays whose names begin so, under the rest of their names.
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

    /// The state of the fit, or the name of an array that prevents it.
    fn progress<F: Scalar>(&self, params: Params<F>) -> Result<Progress<F>, &'static str> {
        let mut losses = Losses::new();
        losses.first = self.number("loss/first");
        losses.highest = self.number("loss/highest").ok_or("loss/highest")?;
        let recent = self.get("loss/recent").ok_or("loss/recent")?;
        losses.recent = recent.real::<f64>().into_iter().collect();
        if self.get("best/loss").is_some() {
            let best = Best {
                loss: self.number("best/loss").ok_or("best/loss")?,
                steps: self.count("best/steps").ok_or("best/steps")?,
                params: self.under("best/params/"),
            };
            let shapes = |p: &Params<F>| -> Vec<(String, Vec<usize>)> {
                let shape = |(n, a): (&str, &ndarray::ArrayD<F>)| (n.into(), a.shape().to_vec());
                let mut all: Vec<_> = p.iter().map(shape).collect();
                all.sort_unstable();
                all
            };
            if shapes(&best.params) != shapes(&params) {
                return Err("best/params/…");
            }
            losses.best = Some(best);
        }
        let all = self.under("optimizer/");
        let mut arrays = Params::new();
        for (name, array) in all.iter().filter(|(n, _)| *n != "steps") {
            arrays.insert(name, array.clone());
        }
        let steps = self.count("steps").ok_or("steps")?;
        let optimizer = match self.integer("optimizer/steps") {
            Some(steps) => Some(State { steps, arrays }),
            None if steps == 0 && arrays.iter().next().is_none() => None,
            None => return Err("optimizer/steps"),
        };
        Ok(Progress {
            steps,
            converged: self.count("converged").ok_or("converged")? == 1,
            params,
            optimizer,
            losses,
        })
    }
}
