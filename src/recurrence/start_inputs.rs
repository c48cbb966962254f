//! Initial states as inputs.

use super::Recurrence;
use crate::error::{Error, Mistake, Result};
use crate::op::{Expr, RegisterId};
use crate::shape::{Rate, Type};
use crate::tape::{Edit, RegisterEdit, RegisterSite, Scope};

impl Recurrence {
    /// A copy in which some states that start at zero start at inputs, one for each sample: pairs of a state and the
    /// name of its new input.
    ///
    /// ```
    /// use bptt::{Batch, Params, Recurrence};
    /// use ndarray::array;
    /// let sum = Recurrence::parse("sum.rec", "input x\nstate s\ns' = s + x\noutput s'\n")?;
    /// let batch = Batch::new(2, 1).with("x", array![[1.0], [2.0]]).with("s0", array![10.0]);
    /// let found = sum.with_start_inputs(&[("s", "s0")])?.evaluate(&Params::new(), &batch)?;
    /// assert_eq!(found["s"], array![[11.0], [13.0]].into_dyn());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When there is no such state, a state has a start of its own, or a name is taken.
    pub fn with_start_inputs(&self, starts: &[(&str, &str)]) -> Result<Self> {
        let scope = Scope::default();
        for (dim, symbol) in self.tape.symbols() {
            scope.dim(dim, symbol.least());
        }
        let mut inputs = Vec::new();
        for (name, input) in starts {
            let state = self.states.iter().find(|s| !s.inner && *s.name == **name);
            let state = state.ok_or_else(|| Error::UnknownName {
                what: "state",
                name: (*name).into(),
                known: self.states().map(Into::into).collect(),
            })?;
            let register = self.tape.register(state.register);
            if register.init().is_some() {
                return Err(Error::Definition {
                    recurrence: self.name.clone(),
                    mistakes: vec![Mistake::anywhere(format!(
                        "the state `{name}` has a start of its own, so it cannot start at `{input}`"
                    ))],
                });
            }
            let ty = Type {
                rate: Rate::Sample,
                ..register.ty
            };
            inputs.push((state.register, self.new_input(&scope, input, ty)?));
        }
        let draft = self.transplant(&scope, &mut Starts { inputs });
        draft.finish(scope, &self.name)
    }
}

struct Starts<'b> {
    inputs: Vec<(RegisterId, Expr<'b>)>,
}

impl<'b> Edit<'b> for Starts<'b> {
    fn register(&mut self, site: RegisterSite<'_, 'b>) -> RegisterEdit<'b> {
        let own = self.inputs.iter().find(|(id, _)| *id == site.id);
        RegisterEdit {
            init: own.map(|(_, input)| *input).or(site.init),
            def: site.def,
        }
    }
}
