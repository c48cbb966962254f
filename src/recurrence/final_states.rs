//! The final values of the states as outputs.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Draft, Recurrence};
use crate::error::Result;
use crate::shape::Rate;
use crate::tape::{Derived, Direction, Scope, added_name};

impl Recurrence {
    /// A copy with an extra output `h.final` for each state `h`: its value after the last step of each sample,
    /// or, for a backward state, after the first. With [resets](Self::with_resets) it is an output per step:
    /// the value after the sequence that contains the step. If the name is taken, it is `h.final2`, and so on;
    /// [`output_for`](Self::output_for) returns it.
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
    /// If the initial states are inputs, a long sequence can be run in pieces: each piece starts from the final
    /// states of the one before. A gradient has the states of the original recurrence, so pieces can also be
    /// used for training (truncated backpropagation through time); [`fit::Truncated`](crate::fit::Truncated) does so for any
    /// initial states.
    ///
    /// ```
    /// use bptt::{Batch, Params, Recurrence, Wrt};
    /// use ndarray::array;
    /// let text = "param a\ninput x\nsample input s0\nstate s = s0\ns' = a * s + x\nloss s'^2\n";
    /// let recurrence = Recurrence::parse("sum.rec", text)?;
    /// let gradient = recurrence.gradient(Wrt::Parameters)?.with_final_states()?;
    /// let program = gradient.compile::<f64>(&[])?;
    /// let params = Params::new().with("a", ndarray::arr0(0.5));
    /// let mut workspace = program.workspace();
    /// let mut piece = Batch::new(2, 1).with("s0", array![0.0]).with("x", array![[0.0], [0.0]]);
    /// for x in [array![[1.0], [2.0]], array![[3.0], [4.0]]] {
    ///     piece.get_mut("x").expect("it was given").assign(&x);
    ///     let found = program.run(&params, &piece, &mut workspace)?;
    ///     piece.get_mut("s0").expect("it was given").assign(&found["s.final"]);
    /// }
    /// assert_eq!(piece.get("s0"), Some(&array![6.125].into_dyn()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Never, unless a custom op breaks its contract.
    pub fn with_final_states(&self) -> Result<Self> {
        let scope = Scope::new(self.tape.clone());
        let (mut outputs, mut roles) = (self.outputs.clone(), self.roles.clone());
        let known: HashSet<&Derived> = self.roles.values().collect();
        for state in self.states.iter().filter(|s| !s.inner) {
            let role = Derived::Final(Arc::clone(&state.name));
            let register = self.tape.register(state.register);
            let Some(def) = register.def().filter(|_| !known.contains(&role)) else {
                continue;
            };
            let value = scope.expr(def).hold(Rate::Step);
            let last = match (state.end, register.direction()) {
                (Some(end), _) => scope.expr(end),
                (None, Direction::Forward) => value.last(),
                (None, Direction::Backward) => value.first(),
            };
            if let Some(id) = last.id() {
                let name = added_name(&state.name, "final", |n| outputs.contains_key(n));
                outputs.insert(Arc::clone(&name), id);
                roles.insert(name, role);
            }
        }
        let draft = Draft {
            states: self.states.clone(),
            outputs,
            roles,
            initials: self.initials.clone(),
        };
        draft.finish(scope, &self.name)
    }
}
