//! Splits LaTeX into tokens.

/// Commands, letters, numbers and signs; spaces separate tokens and are dropped.
pub(super) fn tokens(latex: &str) -> Result<Vec<String>, String> {
    let chars: Vec<char> = latex.chars().collect();
    let mut tokens: Vec<String> = Vec::new();
    let mut i = 0;
    while i < chars.len() {
        let start = i;
        i += 1;
        match chars[start] {
            ' ' => continue,
            '\\' => {
                if chars.get(i).is_some_and(|c| c.is_alphabetic()) {
                    while chars.get(i).is_some_and(|c| c.is_alphabetic()) {
                        i += 1;
                    }
                } else if chars.get(i) == Some(&',') {
                    i += 1;
                    continue;
                } else {
                    i += 1;
                }
            }
            c if c.is_ascii_digit() => {
                while chars
                    .get(i)
                    .is_some_and(|c| c.is_ascii_digit() || *c == '.')
                {
                    i += 1;
                }
            }
            c if c.is_alphanumeric() || "{}()[]^_+-=<>,&/:".contains(c) => {}
            c => return Err(format!("`{c}` is not part of a formula")),
        }
        let token: String = chars[start..i.min(chars.len())].iter().collect();
        // The height of a delimiter has no meaning.
        if token != r"\left" && token != r"\right" {
            tokens.push(token);
        }
    }
    Ok(tokens)
}

/// Returns true if a factor can begin with this token.
pub(super) fn begins(token: &str) -> bool {
    !matches!(
        token,
        ")" | "]"
            | "}"
            | ","
            | "+"
            | "-"
            | "="
            | "<"
            | "&"
            | "^"
            | "_"
            | r"\odot"
            | r"\otimes"
            | r"\rangle"
            | r"\rVert"
            | r"\rvert"
            | r"\\"
            | r"\end"
            | r"\le"
            | r"\ne"
    )
}

/// A letter with its subscript and superscript, as LaTeX.
pub(super) struct Scripted {
    pub(super) base: String,
    pub(super) sub: Option<Vec<String>>,
    pub(super) sup: Option<Vec<String>>,
}
