//! Cases as a strategy of `proptest`.

use proptest::prelude::{Just, Strategy, any};

use crate::Cases;
use crate::case::{Case, Plan};

impl Cases<'_> {
    /// These cases as a strategy. A failing case shrinks to the fewest samples and steps, then to the smallest sizes.
    ///
    /// ```
    /// use bptt::{Recurrence, Wrt};
    /// use bptt_testing::Cases;
    /// use proptest::test_runner::TestRunner;
    /// let text = "param a\ninput x, y\nstate s\ns' = a * s + x\nloss (s' - y)^2\n";
    /// let decay = Recurrence::parse("decay.rec", text)?;
    /// let gradient = decay.gradient(Wrt::Parameters)?;
    /// let tried = TestRunner::deterministic().run(&Cases::new(&decay).strategy(), |case| {
    ///     gradient.evaluate(&case.params, &case.batch).expect("the data fits");
    ///     Ok(())
    /// });
    /// assert!(tried.is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    /// If a case cannot be drawn, with the message of [`Cases::draw`]; try `draw(1)` first.
    pub fn strategy(&self) -> impl Strategy<Value = Case> + use<'_> {
        let (steps, samples, equal) = self.ranges();
        let sizes = Just(self.candidates()).prop_shuffle();
        let extent = (samples.clone(), steps.clone());
        let plan =
            (extent, sizes, any::<u64>()).prop_flat_map(move |((samples, steps), sizes, seed)| {
                let least = if equal { steps } else { 1 };
                let others = proptest::collection::vec(least..=steps, samples.saturating_sub(1));
                (others, 0..samples).prop_map(move |(mut lengths, longest)| {
                    lengths.insert(longest.min(lengths.len()), steps);
                    (lengths, sizes.clone(), seed)
                })
            });
        plan.prop_map(|(lengths, order, seed)| {
            let plan = Plan {
                sizes: self.assign(&order),
                lengths,
                seed,
            };
            self.build(&plan)
                .unwrap_or_else(|e| panic!("no case for `{}`: {e}", self.recurrence().name()))
        })
    }
}
