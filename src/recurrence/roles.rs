//! The roles of leaves and outputs that derivatives add.

use std::collections::HashSet;
use std::sync::Arc;

use indexmap::IndexMap;

use super::Recurrence;
use crate::tape::{Derived, Leaf, added_name};

/// The roles of outputs, by name.
pub(crate) type Roles = IndexMap<Arc<str>, Derived>;

impl Recurrence {
    /// The role of an output added by a derivative or by [`with_final_states`](Self::with_final_states); `None`
    /// for the loss and for outputs of the definition.
    ///
    /// ```
    /// use bptt::{Derived, Recurrence, Wrt};
    /// let r = Recurrence::parse("r.rec", "param w\ninput x\nstate h\nh' = w * h + x\nloss h'\n")?;
    /// let gradient = r.gradient(Wrt::Parameters)?.with_final_states()?;
    /// assert_eq!(gradient.role("w"), Some(&Derived::Cotangent("w".into())));
    /// assert_eq!(gradient.role("h.final"), Some(&Derived::Final("h".into())));
    /// assert_eq!(gradient.role("loss"), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn role(&self, output: &str) -> Option<&Derived> {
        self.roles.get(output)
    }

    pub(crate) const fn roles(&self) -> &Roles {
        &self.roles
    }

    /// The output with a role; the last one added if there are several.
    ///
    /// It is `y.dot` for `Derived::Tangent("y")`, or `y.dot2` if the definition has an output
    /// `y.dot`.
    #[must_use]
    pub fn output_for(&self, role: &Derived) -> Option<&str> {
        let found = self.roles.iter().rev().find(|(_, r)| *r == role);
        found.map(|(name, _)| &**name)
    }

    /// The parameter or input with a role; the last one added if there are several.
    ///
    /// ```
    /// use bptt::{Derived, Recurrence, Wrt};
    /// let r = Recurrence::parse("r.rec", "param w, w.dot\nloss w^2 + w.dot^2\n")?;
    /// let tangent = r.tangent(Wrt::Parameters)?;
    /// let direction = |name: &str| tangent.leaf_for(&Derived::Tangent(name.into()));
    /// assert_eq!(direction("w"), Some("w.dot2"), "`w.dot` is a parameter");
    /// assert_eq!(direction("w.dot"), Some("w.dot.dot"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn leaf_for(&self, role: &Derived) -> Option<&str> {
        let mut leaves = self.tape.leaves().iter().rev();
        leaves.find(|l| l.derived() == Some(role)).map(Leaf::name)
    }

    /// A name with two parts that nothing has.
    pub(crate) fn free_name(&self, of: &str, part: &str) -> String {
        let taken = self.taken();
        added_name(of, part, |name| taken.contains(name)).to_string()
    }

    /// The names of sizes, parameters, inputs, states and named values.
    pub(super) fn taken(&self) -> HashSet<&str> {
        let leaves = self.tape.leaves().iter().map(Leaf::name);
        let values = self.tape.names().map(|(name, _)| &**name);
        let names = leaves.chain(values).chain(self.states());
        names.chain(self.tape.dims()).collect()
    }
}
