//! Numbers of options, with the range that each must have.

use bptt::fit::Truncation;

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
