//! The states after the last step, as outputs.

use super::{Draft, LOSS, Recurrence};
use crate::error::Result;
use crate::shape::Rate;
use crate::tape::{Direction, Scope};

/// What the name of a state's value after the last step ends in; no name of a user's has a dot.
const FINAL: &str = ".final";

/// Whether an output is the gradient of its name: not the loss, and not a state after the last step.
pub(crate) fn is_gradient(output: &str) -> bool {
    output != LOSS && !output.ends_with(FINAL)
}

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
    /// A long sequence can be run in pieces, when the states start from inputs: each piece starts
    /// with what the states were after the one before. A gradient keeps the states of what it is the
    /// gradient of, so this also trains on pieces (truncated backpropagation through time).
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
                    .map(|id| (format!("{}{FINAL}", state.name).into(), id)),
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
