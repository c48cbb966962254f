//! The tokens of the language, and what an error message calls them.

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Token<'s> {
    Name(&'s str),
    /// A number, and whether it is written without a point and an exponent.
    Number(f64, bool),
    Plus,
    Minus,
    Star,
    Slash,
    At,
    Caret,
    Less,
    LessEq,
    Greater,
    GreaterEq,
    Equals,
    TwoEquals,
    Differs,
    Open,
    Close,
    OpenBracket,
    CloseBracket,
    Comma,
    Colon,
    Prime,
    Tilde,
    /// `.T` or `ᵀ`
    Transpose,
    /// `²` or `³`
    Superscript(f64),
    /// Something that is not part of the language, and is reported.
    Unknown,
    Newline,
    End,
}

impl Token<'_> {
    /// The token, as an error message calls it.
    pub(super) fn text(self) -> String {
        let sign = match self {
            Self::Name(name) => return format!("`{name}`"),
            Self::Number(..) => return "a number".into(),
            Self::Newline => return "the end of the line".into(),
            Self::End => return "the end of the file".into(),
            Self::Plus => "+",
            Self::Minus => "-",
            Self::Star => "*",
            Self::Slash => "/",
            Self::At => "@",
            Self::Caret => "^",
            Self::Less => "<",
            Self::LessEq => "<=",
            Self::Greater => ">",
            Self::GreaterEq => ">=",
            Self::Equals => "=",
            Self::TwoEquals => "==",
            Self::Differs => "!=",
            Self::Open => "(",
            Self::Close => ")",
            Self::OpenBracket => "[",
            Self::CloseBracket => "]",
            Self::Comma => ",",
            Self::Colon => ":",
            Self::Prime => "'",
            Self::Tilde => "~",
            Self::Transpose => ".T",
            Self::Superscript(_) => return "a superscript".into(),
            Self::Unknown => return "a sign of another language".into(),
        };
        format!("`{sign}`")
    }
}
