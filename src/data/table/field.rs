//! The numbers in the fields of a table.

use std::borrow::Cow;

/// Fields that are a missing value, in lower case.
const MISSING: [&str; 8] = ["", "na", "nan", "null", "?", ".", "n/a", "#n/a"];

/// True for a missing value.
pub(super) fn is_missing(field: &str) -> bool {
    // The longest of them has four characters.
    field.len() <= 4 && MISSING.iter().any(|word| field.eq_ignore_ascii_case(word))
}

/// The signs in the numbers of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signs {
    /// The decimal sign.
    pub(super) decimal: char,
    /// The separator of thousands.
    pub(super) thousands: Option<char>,
}

impl Signs {
    /// The number in a field; a missing value is NaN.
    pub(super) fn number(self, field: &str) -> Result<f64, String> {
        let spelled = match (self.decimal, self.thousands) {
            ('.', None) => Some(Cow::Borrowed(field)),
            _ => self.spelled(field).map(Cow::Owned),
        };
        match spelled.and_then(|spelled| spelled.parse::<f64>().ok()) {
            Some(x) if x.is_infinite() && field.contains(is_digit) => Err(format!(
                "`{field}` is beyond the range of f64, at most 1.8e308; write a smaller number"
            )),
            Some(x) => Ok(x),
            None if is_missing(field) => Ok(f64::NAN),
            None => Err(format!(
                "expected a number, found `{}`{}",
                crate::error::printable(field),
                self.cure(field)
            )),
        }
    }

    /// The number as Rust spells it; `None` if a sign is in a wrong place.
    fn spelled(self, field: &str) -> Option<String> {
        let (whole, rest) = match field.find([self.decimal, 'e', 'E']) {
            Some(at) => field.split_at(at),
            None => (field, ""),
        };
        let mut number = match self.thousands.filter(|sign| whole.contains(*sign)) {
            None => whole.to_owned(),
            Some(sign) => {
                let mut groups = whole.split(sign);
                let first = groups.next()?;
                let digits = first.strip_prefix(['-', '+']).unwrap_or(first);
                let is_group = |group: &str| group.len() == 3 && group.chars().all(is_digit);
                let is_first = (1..=3).contains(&digits.len()) && digits.chars().all(is_digit);
                if !is_first || !groups.all(is_group) {
                    return None;
                }
                whole.replace(sign, "")
            }
        };
        // With a decimal comma, a point is no part of a number.
        if self.decimal != '.' && field.contains('.') && self.thousands != Some('.') {
            return None;
        }
        match rest.strip_prefix(self.decimal) {
            Some(digits) => {
                number.push('.');
                number.push_str(digits);
            }
            None => number.push_str(rest),
        }
        Some(number)
    }

    fn cure(self, field: &str) -> String {
        let other = |decimal, thousands| {
            let signs = Self { decimal, thousands };
            let spelled = signs.spelled(field);
            spelled.is_some_and(|spelled| spelled.parse::<f64>().is_ok())
        };
        if self.decimal == '.' && field.contains(',') {
            let comma = other(',', None).then_some("`ReadOptions::decimal(',')`");
            let mixed = other(',', Some('.'))
                .then_some("`ReadOptions::decimal(',')` and `ReadOptions::thousands('.')`");
            let groups = other('.', Some(',')).then_some("`ReadOptions::thousands(',')`");
            match (comma.or(mixed), groups) {
                (Some(decimal), Some(groups)) => {
                    return format!(
                        "; with a decimal comma: {decimal}; with separators of thousands: {groups}"
                    );
                }
                (Some(decimal), None) => return format!("; with a decimal comma: {decimal}"),
                (None, Some(groups)) => {
                    return format!("; with separators of thousands: {groups}");
                }
                (None, None) => {}
            }
        }
        let minus = field.replace('\u{2212}', "-");
        if minus != field && self.number(&minus).is_ok() {
            return format!("; its minus sign is U+2212, write `{minus}`");
        }
        match &*field.to_lowercase() {
            "true" => "; write `1`".into(),
            "false" => "; write `0`".into(),
            text if text.starts_with(char::is_alphabetic) => {
                "; a missing value is an empty field, or `NA`; texts are read by an input that is declared as `class(C)`"
                    .into()
            }
            _ => "; a missing value is an empty field, or `NA`".into(),
        }
    }
}

pub(super) const fn is_digit(c: char) -> bool {
    c.is_ascii_digit()
}

#[cfg(test)]
mod tests {
    use super::Signs;

    #[test]
    fn signs_are_read_in_their_places_only() {
        let cases: [(char, Option<char>, &str, Option<f64>); 17] = [
            ('.', None, "1.5", Some(1.5)),
            ('.', None, "1,5", None),
            (',', None, "1,5", Some(1.5)),
            (',', None, "-1,5e3", Some(-1500.0)),
            (',', None, "1.5", None),
            (',', None, "15", Some(15.0)),
            (',', Some('.'), "1.234.567,25", Some(1_234_567.25)),
            (',', Some('.'), "1.5", None),
            ('.', Some(','), "1,234.5", Some(1234.5)),
            ('.', Some(','), "-1,234", Some(-1234.0)),
            ('.', Some(','), "1,23", None),
            ('.', Some(','), "1234,567", None),
            ('.', Some(','), ",234", None),
            ('.', Some(','), "1.234,567", None),
            ('.', Some('\''), "1'234.5", Some(1234.5)),
            ('.', Some(' '), "1 234", Some(1234.0)),
            ('.', Some(','), "1e5", Some(1e5)),
        ];
        for (decimal, thousands, field, expected) in cases {
            let found = Signs { decimal, thousands }.number(field);
            assert_eq!(found.ok(), expected, "{field} with {decimal} {thousands:?}");
        }
    }
}
