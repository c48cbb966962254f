//! States that start at inputs.

use bptt::Recurrence;

/// The most names that are tried for an input.
const NAMES: usize = 8;

/// A copy in which each state that starts at zero starts at an input for each sample instead, so that gradients through
/// the first step are seen. The input of the state `h` is `h0`, or the next free name: `h00`, ….
///
/// ```
/// use bptt::Recurrence;
/// let sum = Recurrence::parse("sum.rec", "input x\nstate s\ns' = s + x\nloss s'^2\n")?;
/// let sum = bptt_testing::with_start_inputs(&sum);
/// assert_eq!(sum.inputs().collect::<Vec<_>>(), ["x", "s0"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn with_start_inputs(recurrence: &Recurrence) -> Recurrence {
    let states: Vec<String> = recurrence.states().map(Into::into).collect();
    let mut found = recurrence.clone();
    for state in states {
        // Some name may be taken; a state with a start of its own has none.
        let names = (1..=NAMES).map(|zeros| format!("{state}{}", "0".repeat(zeros)));
        let started = |input: String| found.with_start_inputs(&[(&state, &input)]).ok();
        if let Some(started) = names.into_iter().find_map(started) {
            found = started;
        }
    }
    found
}
