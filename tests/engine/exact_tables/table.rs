//! Reads the tables.

/// The unit roundoff of double precision.
pub(crate) const U: f64 = f64::EPSILON / 2.0;

/// The value of a quantity in `recurrence_oracles.csv`; `setting` is a prefix of its setting.
pub(crate) fn recurrence_oracle(case: &str, setting: &str, quantity: &str) -> f64 {
    let found = include_str!("../../data/recurrence_oracles.csv")
        .lines()
        .find_map(|line| {
            // The setting may contain commas.
            let (rest, value) = line.rsplit_once(',')?;
            let (rest, name) = rest.rsplit_once(',')?;
            let (own, place) = rest.split_once(',')?;
            let fits = place.trim_matches('"').starts_with(setting);
            (own == case && fits && name == quantity).then_some(value)
        });
    let value = found.unwrap_or_else(|| panic!("no {quantity} of {case} at {setting}"));
    value.parse().expect("the value is a number")
}

/// A quantity of a cell in `cell_oracles_30digits.csv`, in the order of its indices.
pub(crate) fn cell_oracle(model: &str, quantity: &str) -> Vec<f64> {
    let mut values = Vec::new();
    for line in include_str!("../../data/cell_oracles_30digits.csv").lines() {
        let fields: Vec<&str> = line.split(',').collect();
        if fields[..2] == [model, quantity] {
            let index: usize = fields[2].parse().expect("the index is a number");
            assert_eq!(
                index,
                values.len(),
                "the indices of {model} {quantity} are in order"
            );
            values.push(fields[3].parse().expect("the value is a number"));
        }
    }
    assert!(!values.is_empty(), "there is no {quantity} of {model}");
    values
}

/// The numbers of a series, the last field of each line after the header.
pub(crate) fn series(text: &str) -> Vec<f64> {
    let field = |line: &str| line.rsplit(',').next().map(str::parse);
    let number = |line| {
        field(line)
            .and_then(Result::ok)
            .expect("the value is a number")
    };
    text.lines().skip(1).map(number).collect()
}

/// Fails if the relative difference between `found` and `want` exceeds `tolerance`.
#[track_caller]
pub(crate) fn assert_close(what: &str, found: f64, want: f64, tolerance: f64) {
    let error = (found - want).abs();
    assert!(
        error <= tolerance * want.abs(),
        "{what}: found {found:e}, expected {want:e}, a relative error of {:e}",
        error / want.abs()
    );
}
