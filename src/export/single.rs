//! Generated code in single precision: that in double precision with other types, constants and functions.

/// The functions of `math.h` that generated code calls.
pub(super) const MATH: &[&str] = &[
    "acos", "asin", "asinh", "atan", "atan2", "ceil", "cos", "cosh", "erf", "erfc", "exp", "expm1",
    "fabs", "floor", "fmod", "lgamma", "log", "log1p", "pow", "round", "sin", "sinh", "sqrt",
    "tan", "tanh", "tgamma",
];

/// The words of a language that change: the type, the suffix of a constant, the beginning of a call of the library.
#[derive(Clone, Copy, Debug)]
pub(super) struct Single {
    pub(super) types: [&'static str; 2],
    pub(super) suffix: &'static str,
    pub(super) infinity: &'static str,
}

/// The code in single precision.
pub(super) fn in_single_precision(code: &str, single: Single) -> String {
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let len = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |at| at + 2),
            '"' => rest[1..].find('"').map_or(rest.len(), |at| at + 2),
            'a'..='z' | 'A'..='Z' | '_' => word(rest),
            '0'..='9' => number(rest),
            _ => first.len_utf8(),
        };
        let (token, after) = rest.split_at(len);
        match token {
            _ if token == single.types[0] => out.push_str(single.types[1]),
            _ if MATH.contains(&token) && after.starts_with('(') => {
                out.push_str(token);
                out.push('f');
            }
            _ if first.is_ascii_digit() && token.contains(['.', 'e']) => {
                out.push_str(&constant(token, single));
            }
            _ => out.push_str(token),
        }
        rest = after;
    }
    out
}

fn word(text: &str) -> usize {
    let ends = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    text.find(ends).unwrap_or(text.len())
}

fn number(text: &str) -> usize {
    let mut last = ' ';
    let ends = |c: char| {
        let signs = (c == '-' || c == '+') && last == 'e';
        last = c;
        !(c.is_ascii_alphanumeric() || c == '.' || signs)
    };
    text.find(ends).unwrap_or(text.len())
}

/// A constant of the nearest number in single precision.
fn constant(token: &str, single: Single) -> String {
    match token.parse::<f64>() {
        #[expect(clippy::cast_possible_truncation, reason = "it is rounded")]
        Ok(x) if (x as f32).is_finite() => format!("{:?}{}", x as f32, single.suffix),
        Ok(_) => single.infinity.into(),
        Err(_) => token.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_constants_and_functions_change() {
        let code = "/* a double: 1.5 */ const double exp2 = exp(x) + 0.1 * 1e-7 - x1[3] + exp; size_t n = 10u;";
        let expected = "/* a double: 1.5 */ const float exp2 = expf(x) + 0.1f * 1e-7f - x1[3] + exp; size_t n = 10u;";
        assert_eq!(
            in_single_precision(code, crate::export::c::SINGLE),
            expected
        );
    }
}
