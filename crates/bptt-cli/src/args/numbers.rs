//! Numbers of options, with the range that each must have.

use bptt::fit::{Group, Schedule, Truncation};

/// Parses a number and checks its range; `must` is the error.
fn number(text: &str, fits: fn(f64) -> bool, must: &str) -> Result<f64, String> {
    let number = text
        .parse()
        .ok()
        .filter(|x: &f64| x.is_finite() && fits(*x));
    number.ok_or_else(|| format!("{must}, found `{text}`"))
}

pub(super) fn learning_rate(text: &str) -> Result<f64, String> {
    number(
        text,
        |x| x > 0.0,
        "the learning rate must be positive, such as 0.01",
    )
}

pub(super) fn momentum(text: &str) -> Result<f64, String> {
    number(
        text,
        |x| (0.0..1.0).contains(&x),
        "the momentum must be from 0 to less than 1, such as 0.9",
    )
}

pub(super) fn decay(text: &str) -> Result<f64, String> {
    number(
        text,
        |x| x >= 0.0,
        "the decay must be at least 0, such as 0.01",
    )
}

/// `warm-up:100,cosine:900:0.1`.
pub(super) fn schedule(text: &str) -> Result<Schedule, String> {
    text.parse().map_err(|error: bptt::Error| error.to_string())
}

/// `b_*:rate=0.1,decay=0`.
pub(super) fn group(text: &str) -> Result<Group, String> {
    let form =
        || format!("expected names and settings, such as `b_*:rate=0.1,decay=0`, found `{text}`");
    let (names, settings) = text.split_once(':').ok_or_else(form)?;
    if names.trim().is_empty() {
        return Err(form());
    }
    let mut group = Group::named(names.trim());
    let mut seen: Vec<&str> = Vec::new();
    for setting in settings.split(',') {
        let (name, value) = setting.split_once('=').ok_or_else(form)?;
        let (name, value) = (name.trim(), value.trim());
        if seen.contains(&name) {
            return Err(format!("`{name}` is given twice in `{text}`; give it once"));
        }
        seen.push(name);
        group = match name {
            "rate" => group.rate(number(
                value,
                |x| x > 0.0,
                "the rate must be a positive factor (a parameter at rest is one of --freeze)",
            )?),
            "decay" => group.decay(decay(value)?),
            _ => return Err(form()),
        };
    }
    Ok(group)
}

pub(super) fn norm(text: &str) -> Result<f64, String> {
    number(
        text,
        |x| x > 0.0,
        "the largest norm must be positive, such as 1",
    )
}

/// `50`, or `10,50`: a gradient every ten steps, through fifty.
pub(super) fn truncation(text: &str) -> Result<Truncation, String> {
    let number = |part: &str| part.trim().parse::<usize>().ok().filter(|n| *n > 0);
    let (every, through) = text.split_once(',').unwrap_or((text, text));
    match (number(every), number(through)) {
        (Some(every), Some(through)) => {
            Truncation::new(every, through).map_err(|_| {
                format!(
                    "expected at least as many steps back as from update to update, such as `{every},{every}`, found `{text}`"
                )
            })
        }
        _ => Err(format!(
            "expected a number of steps, such as `50`, or two, such as `10,50`, found `{text}`"
        )),
    }
}
