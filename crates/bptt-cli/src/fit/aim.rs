//! The arrays over which a fit minimises the loss: all parameters, or those of `--over`.

use bptt::data::{Arrays, Element};
use bptt::fit::{Group, over};
use bptt::{Batch, Params, Real, Recurrence, Wrt};

use crate::Failure;
use crate::args::Fit;
use crate::conflicts::has_input;
use crate::engine::{Clipped, Kept, Program};

/// The names of the arrays that a fit changes: those of `--over`, or all but those of `--freeze`. Empty if it changes all
/// parameters.
pub(super) fn names(args: &Fit, recurrence: &Recurrence) -> Result<Vec<String>, Failure> {
    if args.freeze.is_empty() {
        return Ok(args.over().into_iter().map(str::to_owned).collect());
    }
    let frozen: Vec<Group> = args
        .freeze
        .iter()
        .map(|name| Group::named(name.trim()))
        .collect();
    let all: Vec<&str> = recurrence.parameters().collect();
    for group in &frozen {
        check_group("--freeze", group, &all, recurrence.name())?;
    }
    let moves = |name: &&str| !frozen.iter().any(|group| group.has(name));
    let moving: Vec<String> = all.into_iter().filter(moves).map(str::to_owned).collect();
    if moving.is_empty() {
        return Err(format!(
            "--freeze {} keeps all parameters of `{}`, and leaves none to fit; name fewer, or compute the loss with `bptt run`",
            args.freeze.join(","),
            recurrence.name()
        )
        .into());
    }
    Ok(moving)
}

/// Refuses groups without arrays.
pub(super) fn check_groups<F: Real>(
    args: &Fit,
    params: &Params<F>,
    recurrence: &Recurrence,
) -> Result<(), Failure> {
    let all: Vec<&str> = params.iter().map(|(name, _)| name).collect();
    let mut groups = args.group.iter();
    groups.try_for_each(|group| check_group("--group", group, &all, recurrence.name()))
}

fn check_group(option: &str, group: &Group, all: &[&str], of: &str) -> Result<(), Failure> {
    if all.iter().any(|name| group.has(name)) {
        return Ok(());
    }
    let known: Vec<String> = all.iter().map(|name| format!("`{name}`")).collect();
    Err(format!(
        "{option}: the fit of `{of}` changes no parameter `{}`; it has {}",
        bptt::printable(group.pattern()),
        known.join(", ")
    )
    .into())
}

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

    /// The data that the fit keeps.
    pub(super) const fn kept(&self) -> Option<&Kept<F>> {
        self.kept.as_ref()
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
