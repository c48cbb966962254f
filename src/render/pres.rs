//! The presentation tree: the appearance of a formula, independent of the output format.

/// A formula or a part of one.
#[derive(Clone, Debug, PartialEq)]
pub enum Math {
    /// A letter, a Greek letter by its name (`omega`), or a word, in the style of a variable.
    Ident(String),
    /// An upright letter or word: `d`, `diag`, `softmax`.
    Upright(String),
    /// A bold digit: the vector of ones.
    Bold(String),
    /// A number, as text.
    Number(String),
    /// An operator or a relation.
    Sign(Sign),
    /// A sequence of parts.
    Row(Vec<Self>),
    /// A base with a subscript, a superscript or both.
    Script {
        /// The base of the scripts.
        base: Box<Self>,
        /// The subscript.
        sub: Option<Box<Self>>,
        /// The superscript.
        sup: Option<Box<Self>>,
    },
    /// A fraction.
    Frac(Box<Self>, Box<Self>),
    /// A formula between delimiters.
    Fence(Fence, Box<Self>),
    /// A sum or a product sign with its range; the body follows.
    Big {
        /// The operator.
        big: Big,
        /// The lower bound.
        from: Box<Self>,
        /// The upper bound; an empty row if the range is written below only.
        to: Box<Self>,
    },
    /// A matrix in brackets, row by row.
    Matrix(Vec<Vec<Self>>),
    /// A letter with a mark above it.
    Accent(Accent, Box<Self>),
    /// A square root.
    Root(Box<Self>),
    /// A part with an identifier, by which it can be highlighted, coloured and linked.
    Marked(String, Box<Self>),
}

/// Operators and relations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is called what it is")]
pub enum Sign {
    Plus,
    Minus,
    /// The entrywise product.
    Hadamard,
    /// The entrywise quotient.
    Oslash,
    /// The dot of a product of numbers.
    Cdot,
    Equal,
    /// The left side is defined by the right side.
    Defined,
    LessEqual,
    GreaterEqual,
    Less,
    Greater,
    NotEqual,
    In,
    Times,
    /// The Kronecker product.
    Kronecker,
    NotDivides,
    Comma,
    Semicolon,
    Slash,
    /// The partial `∂`.
    Partial,
    /// The differential `d`, upright.
    Differential,
    /// The transpose `⊤`.
    Top,
    Dots,
    Infinity,
    Implies,
    Equivalent,
    To,
    Nabla,
    Prime,
    /// The real numbers.
    Reals,
    /// A thin space between factors.
    Thin,
    /// A wider space, between statements.
    Space,
    Colon,
}

/// Delimiters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is called what it is")]
pub enum Fence {
    Paren,
    Bracket,
    Brace,
    /// The inner product `⟨ , ⟩`.
    Angle,
    /// The norm `‖ ‖`.
    Norm,
    Abs,
    /// The ceiling, `⌈ ⌉`.
    Ceil,
}

/// Operators with a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is called what it is")]
pub enum Big {
    Sum,
    Product,
    /// The entrywise product, `⨀`.
    HadamardProduct,
}

impl Big {
    /// The command of LaTeX.
    pub(crate) const fn latex(self) -> &'static str {
        match self {
            Self::Sum => r"\sum",
            Self::Product => r"\prod",
            Self::HadamardProduct => r"\bigodot",
        }
    }
}

/// Marks above a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is called what it is")]
pub enum Accent {
    Hat,
    Bar,
    Dot,
    Tilde,
}

impl Math {
    /// A variable.
    #[must_use]
    pub fn ident(name: &str) -> Self {
        Self::Ident(name.into())
    }

    /// An upright word.
    #[must_use]
    pub fn upright(name: &str) -> Self {
        Self::Upright(name.into())
    }

    /// A number.
    #[must_use]
    pub fn number(text: impl ToString) -> Self {
        Self::Number(text.to_string())
    }

    /// A row of the parts; the parts of nested rows are inlined.
    #[must_use]
    pub fn row(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Vec::new();
        for part in parts {
            match part {
                Self::Row(inner) => all.extend(inner),
                part => all.push(part),
            }
        }
        match all.len() {
            1 => all.remove(0),
            _ => Self::Row(all),
        }
    }

    /// Adds a subscript. A formula that already has one becomes the base of a new script.
    #[must_use]
    pub fn with_sub(self, sub: Self) -> Self {
        match self {
            Self::Script {
                base,
                sub: None,
                sup,
            } => Self::Script {
                base,
                sub: Some(Box::new(sub)),
                sup,
            },
            base => Self::Script {
                base: Box::new(base),
                sub: Some(Box::new(sub)),
                sup: None,
            },
        }
    }

    /// Adds a superscript. A formula that already has one becomes the base of a new script.
    #[must_use]
    pub fn with_sup(self, sup: Self) -> Self {
        match self {
            Self::Script {
                base,
                sub,
                sup: None,
            } => Self::Script {
                base,
                sub,
                sup: Some(Box::new(sup)),
            },
            base => Self::Script {
                base: Box::new(base),
                sub: None,
                sup: Some(Box::new(sup)),
            },
        }
    }

    /// The transpose.
    #[must_use]
    pub fn transposed(self) -> Self {
        self.with_sup(Self::Sign(Sign::Top))
    }

    /// Returns true for an empty row.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Row(parts) if parts.is_empty())
    }

    /// Returns true for `⊤` and for a number, which follow all other superscripts.
    pub(crate) fn is_exponent(&self) -> bool {
        matches!(self, Self::Sign(Sign::Top) | Self::Number(_))
    }

    /// The formula between delimiters.
    #[must_use]
    pub fn fenced(self, fence: Fence) -> Self {
        Self::Fence(fence, Box::new(self))
    }

    /// The formula in parentheses.
    #[must_use]
    pub fn paren(self) -> Self {
        self.fenced(Fence::Paren)
    }

    /// A fraction.
    #[must_use]
    pub fn frac(numerator: Self, denominator: Self) -> Self {
        Self::Frac(Box::new(numerator), Box::new(denominator))
    }

    /// A function applied to arguments.
    #[must_use]
    pub fn call(function: Self, args: impl IntoIterator<Item = Self>) -> Self {
        Self::row([function, Self::list(args).paren()])
    }

    /// The parts, separated by commas.
    #[must_use]
    pub fn list(parts: impl IntoIterator<Item = Self>) -> Self {
        Self::joined(parts, Sign::Comma)
    }

    /// The parts, separated by a sign.
    #[must_use]
    pub fn joined(parts: impl IntoIterator<Item = Self>, sign: Sign) -> Self {
        let mut row = Vec::new();
        for (i, part) in parts.into_iter().enumerate() {
            if i > 0 {
                row.push(Self::Sign(sign));
            }
            row.push(part);
        }
        Self::row(row)
    }

    /// A sum or a product over a range, then its body.
    #[must_use]
    pub fn big(big: Big, from: Self, to: Self, body: Self) -> Self {
        let head = Self::Big {
            big,
            from: Box::new(from),
            to: Box::new(to),
        };
        Self::row([head, body])
    }

    /// `left = right`, or another relation.
    #[must_use]
    pub fn relation(left: Self, sign: Sign, right: Self) -> Self {
        Self::row([left, Self::Sign(sign), right])
    }

    /// Splits the formula into lines of about `width` symbols at most, before a `+` or `−` outside
    /// of all delimiters.
    #[must_use]
    pub fn lines(&self, width: usize) -> Vec<Self> {
        let Self::Row(parts) = self else {
            return vec![self.clone()];
        };
        if self.width() <= width {
            return vec![self.clone()];
        }
        let mut pieces: Vec<Vec<Self>> = vec![Vec::new()];
        for (i, part) in parts.iter().enumerate() {
            let sign = matches!(part, Self::Sign(Sign::Plus | Sign::Minus));
            let infix = i > 0 && !matches!(parts[i - 1], Self::Big { .. } | Self::Sign(_));
            if sign && infix {
                pieces.push(Vec::new());
            }
            if let Some(piece) = pieces.last_mut() {
                piece.push(part.clone());
            }
        }
        let mut lines: Vec<Vec<Self>> = Vec::new();
        for piece in pieces {
            let own: usize = piece.iter().map(Self::width).sum();
            match lines.last_mut() {
                Some(line) if line.iter().map(Self::width).sum::<usize>() + own <= width => {
                    line.extend(piece);
                }
                _ => lines.push(piece),
            }
        }
        lines.into_iter().map(Self::Row).collect()
    }

    /// The approximate width in symbols, for line breaks.
    #[must_use]
    pub fn width(&self) -> usize {
        match self {
            Self::Ident(s) | Self::Upright(s) | Self::Bold(s) | Self::Number(s) => {
                if greek(s).is_some() {
                    1
                } else {
                    s.chars().count()
                }
            }
            Self::Sign(Sign::Thin | Sign::Prime) => 0,
            Self::Sign(_) | Self::Big { .. } => 2,
            Self::Row(parts) => parts.iter().map(Self::width).sum(),
            Self::Script { base, sub, sup } => {
                let script = |s: &Option<Box<Self>>| s.as_ref().map_or(0, |s| s.width());
                base.width() + script(sub).max(script(sup)).div_ceil(2)
            }
            Self::Frac(a, b) => a.width().max(b.width()),
            Self::Fence(_, body) | Self::Root(body) => body.width() + 2,
            Self::Matrix(rows) => {
                let widths = rows.iter().map(|r| r.iter().map(|c| c.width() + 2).sum());
                widths.max().unwrap_or(0)
            }
            Self::Accent(_, base) | Self::Marked(_, base) => base.width(),
        }
    }
}

/// The names of the Greek letters.
const GREEK: &[(&str, char)] = &[
    ("alpha", 'α'),
    ("beta", 'β'),
    ("gamma", 'γ'),
    ("delta", 'δ'),
    ("epsilon", 'ε'),
    ("zeta", 'ζ'),
    ("eta", 'η'),
    ("theta", 'θ'),
    ("iota", 'ι'),
    ("kappa", 'κ'),
    ("lambda", 'λ'),
    ("mu", 'μ'),
    ("nu", 'ν'),
    ("xi", 'ξ'),
    ("pi", 'π'),
    ("rho", 'ρ'),
    ("sigma", 'σ'),
    ("tau", 'τ'),
    ("phi", 'φ'),
    ("chi", 'χ'),
    ("psi", 'ψ'),
    ("omega", 'ω'),
    ("ell", 'ℓ'),
    ("Gamma", 'Γ'),
    ("Delta", 'Δ'),
    ("Theta", 'Θ'),
    ("Lambda", 'Λ'),
    ("Xi", 'Ξ'),
    ("Pi", 'Π'),
    ("Sigma", 'Σ'),
    ("Phi", 'Φ'),
    ("Psi", 'Ψ'),
    ("Omega", 'Ω'),
];

/// The Greek letter with this name.
pub(crate) fn greek(name: &str) -> Option<char> {
    let found = GREEK.iter().find(|(known, _)| *known == name);
    found.map(|(_, letter)| *letter)
}

/// The names of the Greek letters.
pub(crate) fn greek_names() -> impl Iterator<Item = &'static str> {
    GREEK.iter().map(|(name, _)| *name)
}

/// The name of a Greek letter.
pub(crate) fn greek_name(letter: char) -> Option<&'static str> {
    let found = GREEK.iter().find(|(_, known)| *known == letter);
    found.map(|(name, _)| *name)
}
