//! Repeats the steps of a derivation.

use crate::derive::chapters::mirror::Mirror;
use crate::derive::reading::engine::{self, Reapply, adjoint, tangent};
use crate::derive::record::derivation::Derivation;
use crate::derive::record::rewrite::Rewrite;
use crate::derive::record::step::{Site, Step};
use crate::derive::rules::known::{Known, scalars};
use crate::error::{Error, Result};
use crate::stack::with_room;

impl Derivation {
    /// Applies the rule of a step again: in the engine, on a copy of its graph, or to the line before.
    ///
    /// # Errors
    /// [`Error::NotDerivable`] if the engine uses another rule there, or the rule does not turn the line before into
    /// the line after.
    pub fn replay(&self, step: &Step) -> Result<()> {
        with_room(|| self.replay_here(step))
    }

    fn replay_here(&self, step: &Step) -> Result<()> {
        let reader = engine::reader(&self.graph, &self.name);
        let again = match &step.site {
            Site::Tangent(id) => tangent(&reader, &self.graph, *id)?,
            Site::Adjoint(id) => adjoint(&reader, &self.graph, *id, Reapply::Engine)?,
            Site::Mirrored(_) => None,
            Site::Line(rewrite) => {
                let scalars = scalars(&self.graph.tape);
                let known = Known {
                    lines: &self.equations,
                    scalars: &scalars,
                    state: &self.states,
                    tape: &self.graph.tape,
                };
                let after = rewrite.apply(&step.before, &known);
                let site = step.site.clone();
                after.map(|after| Step::new(rewrite.rule(), site, step.before.clone(), after))
            }
        };
        let again = match &step.site {
            Site::Mirrored(rewrite) => self.mirrored_again(rewrite, step),
            _ => again,
        };
        let wrong = match again {
            Some(again) if again.rule != step.rule => "another rule is used there",
            Some(again) if again.before != step.before => "the rule is used on something else",
            Some(again) if again.after != step.after => "the rule gives something else",
            Some(again) if again.change != step.change => "another part is changed",
            Some(_) => return Ok(()),
            None => "no rule is used there",
        };
        Err(Error::NotDerivable {
            recurrence: self.name.clone(),
            reason: format!("step {} cannot be replayed: {wrong}", step.rule.id()),
        })
    }
}

impl Derivation {
    fn mirrored_again(&self, rewrite: &Rewrite, step: &Step) -> Option<Step> {
        let mirror = Mirror::of(&self.back);
        let scalars = scalars(&self.graph.tape);
        let known = Known {
            lines: &self.reversed,
            scalars: &scalars,
            state: &self.back,
            tape: &self.graph.tape,
        };
        let after = rewrite.apply(&mirror.term(&step.before)?, &known)?;
        let (site, before) = (step.site.clone(), step.before.clone());
        Some(Step::new(
            rewrite.rule(),
            site,
            before,
            mirror.term(&after)?,
        ))
    }
}
