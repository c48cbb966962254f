//! The arrays over which a fit minimises the loss: all parameters, or those of `--over`.

use bptt::data::{Arrays, Element};
use bptt::fit::over;
use bptt::{Batch, Params, Real, Recurrence, Wrt};

use crate::Failure;
use crate::conflicts::has_input;
use crate::engine::{Clipped, Kept, Program};

/// The arrays that a fit changes, by name, and the data that it keeps.
#[derive(Debug)]
pub(super) struct Aim<'a, F> {
    names: Option<Vec<&'a str>>,
    kept: Option<Kept<F>>,
}

impl<'a, F: Real + Element> Aim<'a, F> {
    /// The aim of a fit over these names, or over all parameters if there are none, and the start of these arrays.
    pub(super) fn of(
        names: Vec<&'a str>,
        recurrence: &Recurrence,
        params: Params<F>,
        batch: &Batch<F>,
    ) -> Result<(Self, Params<F>), Failure> {
        if names.is_empty() {
            let (names, kept) = (None, None);
            return Ok((Self { names, kept }, params));
        }
        let (known, start) = over(recurrence, &names, &params, batch)?;
        let of_inputs = has_input(recurrence, &names);
        let (names, kept) = (Some(names), Some(Kept { known, of_inputs }));
        Ok((Self { names, kept }, start))
    }

    pub(super) fn wrt(&self) -> Wrt<'_> {
        self.names
            .as_ref()
            .map_or(Wrt::Parameters, |names| Wrt::Names(names))
    }

    /// A program whose runs are given the arrays that change.
    pub(super) fn program<'r>(&self, recurrence: &'r Recurrence) -> Program<'r, F> {
        Program::new(recurrence).keeping(self.kept.clone())
    }

    /// The gradient with that of each sample clipped at a norm.
    pub(super) fn clipped<'r>(&'r self, recurrence: &'r Recurrence, most: f64) -> Clipped<'r, F> {
        Clipped::new(recurrence, self.wrt(), most).keeping(self.kept.clone())
    }

    pub(super) fn cast<G: Real>(&self) -> Aim<'a, G> {
        let kept = self.kept.as_ref().map(|kept| Kept {
            known: kept.known.cast(),
            of_inputs: kept.of_inputs,
        });
        let names = self.names.clone();
        Aim { names, kept }
    }

    /// The arrays that are saved beside those that change. With inputs among them, the file is data for a run.
    pub(super) fn beside(&self) -> Arrays {
        let Some(kept) = &self.kept else {
            return Arrays::new();
        };
        let mut beside = Arrays::from(kept.known.params());
        if kept.of_inputs {
            for (name, array) in Arrays::from(kept.known.batch()).iter() {
                beside.insert(name, array.clone());
            }
        }
        for name in self.names.iter().flatten() {
            beside.remove(name);
        }
        beside
    }
}
