//! Generated code in single precision: that in double precision with other types, constants and functions.

/// The functions of `math.h` that generated code calls.
pub(super) const MATH: &[&str] = &[
    "acos", "asin", "asinh", "atan", "atan2", "ceil", "cos", "cosh", "erf", "erfc", "exp", "expm1",
    "fabs", "floor", "fmod", "lgamma", "log", "log1p", "pow", "round", "sin", "sinh", "sqrt",
    "tan", "tanh", "tgamma",
];

/// The code in single precision.
pub(super) fn in_single_precision(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let len = match first {
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |at| at + 2),
            '"' => rest[1..].find('"').map_or(rest.len(), |at| at + 2),
            'a'..='z' | 'A'..='Z' | '_' => word(rest),
            '0'..='9' => number(rest),
            _ => first.len_utf8(),
        };
        let (token, after) = rest.split_at(len);
        match token {
            "double" => out.push_str("float"),
            _ if MATH.contains(&token) && after.starts_with('(') => {
                out.push_str(token);
                out.push('f');
            }
            _ if first.is_ascii_digit() && token.contains(['.', 'e']) => {
                out.push_str(&constant(token));
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
fn constant(token: &str) -> String {
    match token.parse::<f64>() {
        #[expect(clippy::cast_possible_truncation, reason = "it is rounded")]
        Ok(x) if (x as f32).is_finite() => format!("{:?}f", x as f32),
        Ok(_) => "INFINITY".into(),
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
        assert_eq!(in_single_precision(code), expected);
    }
}
