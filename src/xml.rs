//! Text in XML and HTML.

/// A text with the reserved characters escaped.
pub(crate) fn escaped(text: &str) -> String {
    let with = |c| match c {
        '&' => "&amp;".into(),
        '<' => "&lt;".into(),
        '>' => "&gt;".into(),
        '"' => "&quot;".into(),
        c => String::from(c),
    };
    text.chars().map(with).collect()
}
