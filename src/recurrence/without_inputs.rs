//! Recurrences without some of their inputs.

use std::collections::HashSet;

use super::bind::expected_shape;
use super::{Draft, Recurrence};
use crate::error::{Error, Result};
use crate::op::NodeId;
use crate::tape::{Leaf, Role, Scope};

impl Recurrence {
    /// A copy without some inputs, and without the outputs that depend on them: a network without its labels has no
    /// loss, and runs on inputs alone.
    ///
    /// ```
    /// use bptt::{Batch, Params, Recurrence};
    /// use ndarray::{arr0, array};
    /// let text = "input x, y\nparam w\nstate h\nh' = tanh(w * h + x)\noutput h'\nmean loss (h' - y)^2\n";
    /// let network = Recurrence::parse("network.rec", text)?;
    /// let alone = network.without_inputs(&["y"])?;
    /// assert_eq!(alone.outputs().collect::<Vec<_>>(), ["h"]);
    /// let batch = Batch::new(2, 1).with("x", array![[0.1], [0.2]]);
    /// let found = alone.evaluate(&Params::new().with("w", arr0(0.5)), &batch)?;
    /// assert_eq!(found["h"].shape(), [2, 1]);
    /// assert!(network.without_inputs(&["x"]).is_err(), "nothing is left");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When there is no such input; [`Error::Missing`] when every output depends on one of them, or one is a mask.
    pub fn without_inputs(&self, names: &[&str]) -> Result<Self> {
        let mut gone: HashSet<NodeId> = HashSet::new();
        for name in names {
            let leaf = self.leaves(Role::Input).find(|leaf| leaf.name() == *name);
            let leaf = leaf.ok_or_else(|| Error::UnknownName {
                what: "input",
                name: (*name).into(),
                known: self.inputs().map(Into::into).collect(),
            })?;
            gone.insert(leaf.node);
        }
        let needs = |id: NodeId| {
            let live = self.tape.live([id]);
            gone.iter().any(|leaf| live[leaf.index()])
        };
        let mut outputs = self.outputs.clone();
        outputs.retain(|_, id| !needs(*id));
        let is_mask = |name: &&&str| self.tape.masks().any(|mask| **mask == ***name);
        let needed = match outputs.is_empty() {
            true => names.first(),
            false => names.iter().find(is_mask),
        };
        if let Some(leaf) = needed.and_then(|name| self.tape.leaf_named(name)) {
            return Err(Error::Missing {
                what: "input",
                name: leaf.name().into(),
                expected: expected_shape(self, leaf),
            });
        }
        let mut roles = self.roles.clone();
        roles.retain(|name, _| outputs.contains_key(name));
        let draft = Draft {
            states: self.states.clone(),
            outputs,
            roles,
            initials: self.initials.clone(),
        };
        let kept = |leaf: &Leaf| !names.contains(&leaf.name());
        draft.finish_pruned(Scope::new(self.tape.clone()), &self.name, kept)
    }
}
