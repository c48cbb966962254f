//! `final state h = …`: the final value of a state in each sequence, if it differs from the value that the
//! register carries at the end of the row.

use std::collections::HashMap;

use super::ast::Equation;
use super::diagnostic::{Diagnostic, Span};
use super::resolve::Resolver;

impl<'p> Resolver<'_, 'p> {
    pub(super) fn give_ends(&self) {
        let mut seen: HashMap<&'p str, Span> = HashMap::new();
        for end in &self.program.ends {
            match seen.insert(&end.name.text, end.name.span) {
                Some(first) => {
                    let text = format!("the final value of `{}` is given twice", end.name.text);
                    self.reports.push(
                        Diagnostic::new(text)
                            .label(end.name.span, "given again here")
                            .label(first, "first given here"),
                    );
                }
                None => drop(self.give_end(end)),
            }
        }
    }

    fn give_end(&self, Equation { name, value }: &'p Equation) -> Option<()> {
        match self.is_state(&name.text) {
            Some(true) => {}
            Some(false) => {
                let text = format!("`{0}` is not a state, so it has no final value", name.text);
                let help = format!("its value at the last step is `last({})`", name.text);
                self.reports
                    .push(Diagnostic::at(name.span, text).help(help));
                return None;
            }
            None => {
                self.undefined(&name.text, name.span, None);
                return None;
            }
        }
        let state = self.lookup(&name.text)??;
        let end = self.real(value, None)?;
        self.same_shape(name, state.shape()?, value.span, end)?;
        self.r.end(&name.text, end);
        Some(())
    }
}
