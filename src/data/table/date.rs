//! Dates and times as numbers: the time since the start of 1970, in universal time.

/// The seconds of a day.
pub(super) const DAY: f64 = 86_400.0;

/// The seconds since 1970-01-01T00:00Z of a date `2024-01-31`, `2024/01/31` or `31.01.2024`, with or without a
/// time such as `T12:30`, `12:30:15.5`, `12:30Z` or `12:30+02:00`.
pub(super) fn seconds(text: &str) -> Option<f64> {
    let text = text.trim();
    let (date, time) = match text.find(['T', 't', ' ']) {
        Some(at) => (&text[..at], text[at + 1..].trim()),
        None => (text, ""),
    };
    let days = days(date)?;
    #[expect(
        clippy::cast_precision_loss,
        reason = "the days of ten thousand years are few"
    )]
    let start = days as f64 * DAY;
    match time {
        "" => Some(start),
        time => Some(start + seconds_of_day(time)?),
    }
}

/// The days since 1970-01-01.
fn days(date: &str) -> Option<i64> {
    let sign = date.chars().find(|c| !c.is_ascii_digit())?;
    let mut parts = date.split(sign);
    let (first, second, third) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let (year, month, day) = match sign {
        '-' | '/' if first.len() == 4 => (first, second, third),
        '.' if third.len() == 4 => (third, second, first),
        _ => return None,
    };
    let (year, month, day) = (digits(year, 4)?, digits(month, 2)?, digits(day, 2)?);
    if !(1..=12).contains(&month) || !(1..=length(year, month)).contains(&day) {
        return None;
    }
    let years = |to: i64| to * 365 + to.div_euclid(4) - to.div_euclid(100) + to.div_euclid(400);
    let months: i64 = (1..month).map(|m| length(year, m)).sum();
    Some(years(year - 1) - years(1969) + months + day - 1)
}

/// The days of a month in the Gregorian calendar.
const fn length(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// A number of at most as many digits.
fn digits(text: &str, most: usize) -> Option<i64> {
    let fits = (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| fits)
}

/// `12:30`, `12:30:15.5`, `12:30Z` or `12:30+02:00`.
#[expect(clippy::cast_precision_loss, reason = "hours and minutes are small")]
fn seconds_of_day(time: &str) -> Option<f64> {
    let minutes = |text: &str| {
        let (hour, minute) = text.split_once(':')?;
        let (hour, minute) = (digits(hour, 2)?, digits(minute, 2)?);
        (hour < 25 && minute < 60).then_some((hour * 60 + minute) as f64 * 60.0)
    };
    let (time, zone) = match time.strip_suffix(['Z', 'z']) {
        Some(time) => (time, 0.0),
        None => match time.rfind(['+', '-']) {
            Some(at) => {
                let ahead = minutes(&time[at + 1..])?;
                let zone = if time[at..].starts_with('-') {
                    -ahead
                } else {
                    ahead
                };
                (&time[..at], zone)
            }
            None => (time, 0.0),
        },
    };
    let time = time.trim();
    let (start, rest) = match time.match_indices(':').nth(1) {
        Some((at, _)) => (&time[..at], &time[at + 1..]),
        None => (time, "0"),
    };
    let is_number = rest.starts_with(|c: char| c.is_ascii_digit())
        && rest.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let second = rest
        .parse::<f64>()
        .ok()
        .filter(|s| is_number && *s < 61.0)?;
    Some(minutes(start)? + second - zone)
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn dates_are_counted_from_1970() {
        for (text, expected) in [
            ("1970-01-01", Some(0.0)),
            ("1970/1/2", Some(86400.0)),
            ("31.12.1969", Some(-86400.0)),
            ("2000-02-29", Some(951_782_400.0)),
            ("2024-03-01T12:30:15.5Z", Some(1_709_296_215.5)),
            ("2024-03-01 12:30+02:00", Some(1_709_289_000.0)),
            ("2024-03-01 12:30:00-0:30", Some(1_709_298_000.0)),
            ("1900-03-01", Some(-2_203_891_200.0)),
            ("1900-02-29", None),
            ("2023-02-29", None),
            ("2024-13-01", None),
            ("01/02/2024", None),
            ("2024-1", None),
            ("2024-01-01 25:61", None),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
