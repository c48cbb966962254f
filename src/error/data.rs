//! The parts of messages about data: places of entries, and remedies.

/// "entry […]" for an index; "it" for a scalar, which has no index.
fn entry(index: &[usize]) -> String {
    match index {
        [] => "it".into(),
        index => format!("entry {index:?} (counted from 0)"),
    }
}

/// The place of an entry of a parameter or an input, for a message.
pub(super) fn entry_of(what: &str, index: &[usize]) -> String {
    let (place, rest) = match (what, index) {
        ("input", [step, sample, rest @ ..]) => (format!("step {step}, sample {sample}"), rest),
        ("sample input", [sample, rest @ ..]) => (format!("sample {sample}"), rest),
        _ => return entry(index),
    };
    match rest {
        [] => format!("{place} (counted from 0)"),
        rest => format!("{place}, entry {rest:?} (counted from 0)"),
    }
}

/// The functions that take data of a kind.
pub(super) fn given_with(kind: &str) -> &'static str {
    match kind {
        "classes" => "`Batch::with_classes`",
        _ => "`Batch::with`",
    }
}

/// Data that may stand instead of a class outside its range.
pub(super) fn instead_of_class(index: &[usize], value: usize, classes: usize) -> &'static str {
    match index {
        _ if value == classes => "; classes are counted from 0",
        [_, _] => {
            "; give a step without a class a mask of 0 (`Recurrence::with_mask`, or `mask input m` in the text)"
        }
        _ => "",
    }
}

/// Data that may stand instead of a number that is not finite.
pub(super) fn instead(what: &str) -> &'static str {
    match what {
        "input" => {
            ". Data must be finite also where no output uses it: write a finite number there, such as 0, or \
             give the steps without data a mask of 0 (`Recurrence::with_mask`, or `mask input m` in the text)"
        }
        "sample input" => {
            ". It counts at all steps, so that no mask of steps excludes it: write a finite number there, such as 0, \
             and 0 for this sample in a second `sample input known`: `select(known, x, 0)`; or leave the sample out"
        }
        "parameter" => {
            ". Data must be finite also where no output uses it: write a finite number there, such as 0"
        }
        _ => "",
    }
}

pub(super) fn of_many(entry: &[usize]) -> String {
    match entry {
        [] => String::new(),
        entry => format!(", entry {entry:?}"),
    }
}

pub(super) fn remedy(safe_form: Option<&str>) -> String {
    safe_form.map_or_else(String::new, |form| {
        format!("; where it does not matter, give it a safe argument, as in `{form}`")
    })
}

pub(super) fn class(value: usize) -> String {
    match value {
        usize::MAX => "a negative class".into(),
        _ => format!("class {value}"),
    }
}
