//! The states after the last step, as outputs.

use super::{Draft, Recurrence};
use crate::error::Result;
use crate::shape::Rate;
use crate::tape::{Direction, Scope};

impl Recurrence {
    /// A copy with an extra output `h.final` for each state `h`: its value after the last step of
    /// each sample, or, for a backward state, after the first.
    ///
    /// ```
    /// use bptt::{Batch, Params, Recurrence};
    /// use ndarray::array;
    /// let sum = Recurrence::parse("sum.rec", "input x\nstate s\ns' = s + x\n")?;
    /// let batch = Batch::new(3, 1).with("x", array![[1.0], [2.0], [3.0]]);
    /// let found = sum.with_final_states()?.evaluate(&Params::new(), &batch)?;
    /// assert_eq!(found["s.final"], array![6.0].into_dyn());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Never, unless a custom op breaks its contract.
    pub fn with_final_states(&self) -> Result<Self> {
        let scope = Scope::new(self.tape.clone());
        let mut outputs = self.outputs.clone();
        for state in &self.states {
            let register = self.tape.register(state.register);
            let Some(def) = register.def() else { continue };
            let value = scope.expr(def).hold(Rate::Step);
            let last = match register.direction() {
                Direction::Forward => value.last(),
                Direction::Backward => value.first(),
            };
            outputs.extend(
                last.id()
                    .map(|id| (format!("{}.final", state.name).into(), id)),
            );
        }
        let draft = Draft {
            states: self.states.clone(),
            outputs,
            initials: self.initials.clone(),
        };
        draft.finish(scope, &self.name)
    }
}
