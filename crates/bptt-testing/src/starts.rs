//! States that start at inputs.

use bptt::Recurrence;

/// The most names that are tried for an input.
const NAMES: usize = 8;

/// The usual name of the start of a state: `h0` for `h`, `h0_1` for `h_1`.
#[must_use]
pub fn start_of(state: &str) -> String {
    let end = state.find('_').unwrap_or(state.len());
    format!("{}0{}", &state[..end], &state[end..])
}

/// A copy in which each state that starts at zero starts at an input for each sample instead, so that gradients through
/// the first step are seen; and the pairs of a state and its input. The input is called [`start_of`] the state, with
/// zeros behind if that is taken.
///
/// ```
/// use bptt::Recurrence;
/// let sum = Recurrence::parse("sum.rec", "input x\nstate s\ns' = s + x\nloss s'^2\n")?;
/// let (sum, starts) = bptt_testing::with_start_inputs(&sum);
/// assert_eq!(sum.inputs().collect::<Vec<_>>(), ["s0", "x"]);
/// assert_eq!(starts, [("s".to_owned(), "s0".to_owned())]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn with_start_inputs(recurrence: &Recurrence) -> (Recurrence, Vec<(String, String)>) {
    let states: Vec<String> = recurrence.states().map(Into::into).collect();
    let mut found = recurrence.clone();
    let mut pairs = Vec::new();
    for state in states {
        // Some name may be taken; a state with a start of its own has none.
        let names = (0..NAMES).map(|zeros| format!("{}{}", start_of(&state), "0".repeat(zeros)));
        let started = names.into_iter().find_map(|input| {
            let started = found.with_start_inputs(&[(&state, &input)]).ok()?;
            Some((started, input))
        });
        if let Some((started, input)) = started {
            found = started;
            pairs.push((state, input));
        }
    }
    (found, pairs)
}
