//! The rate and the decay of each parameter.

use super::Group;

/// The settings of a step that may differ between parameters.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rates {
    pub(super) rate: f64,
    pub(super) decay: f64,
    pub(super) groups: Vec<Group>,
}

impl Rates {
    pub(super) const fn new(rate: f64) -> Self {
        Self {
            rate,
            decay: 0.0,
            groups: Vec::new(),
        }
    }

    /// The step size of a parameter, and the factor that its entries decay by in one step.
    pub(super) fn of(&self, name: &str) -> (f64, f64) {
        let group = self.groups.iter().find(|group| group.has(name));
        let rate = self.rate * group.map_or(1.0, |group| group.rate);
        let decay = group.and_then(|group| group.decay).unwrap_or(self.decay);
        (rate, 1.0 - rate * decay)
    }
}
