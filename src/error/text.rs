//! Numbers, counts and places in messages.

/// The shortest decimal form of a number that reads back to the same bits; very small and very large
/// numbers have an exponent.
#[must_use]
pub fn number<F: ndarray::NdFloat>(x: F) -> String {
    let size = x.abs().to_f64().unwrap_or(f64::NAN);
    match size == 0.0 || !size.is_finite() || (1e-5..1e16).contains(&size) {
        true => format!("{x}"),
        false => format!("{x:e}"),
    }
}

/// A count with its noun: `1 step`, `2 steps`.
#[must_use]
pub fn counted(count: usize, thing: &str) -> String {
    let plural = match count {
        1 => "",
        _ if thing.ends_with('s') => "es",
        _ => "s",
    };
    format!("{count} {thing}{plural}")
}

/// A place of an array as the end of a sentence: ` at step 1, sample 0, entry [2] (counted from 0)`; empty for a number.
#[must_use]
pub fn placed(step: Option<usize>, sample: Option<usize>, entry: &[usize]) -> String {
    let mut parts = Vec::new();
    parts.extend(step.map(|t| format!("step {t}")));
    parts.extend(sample.map(|b| format!("sample {b}")));
    if !entry.is_empty() {
        parts.push(format!("entry {entry:?}"));
    }
    match parts.is_empty() {
        true => String::new(),
        false => format!(" at {} (counted from 0)", parts.join(", ")),
    }
}
