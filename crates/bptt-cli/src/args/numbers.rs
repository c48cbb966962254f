//! Numbers of options, with the range that each must have.

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
