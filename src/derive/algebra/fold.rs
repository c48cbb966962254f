//! Sums, products and other operations over a range of steps, one row each.

use crate::render::Big;

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) operator: Operator,
    pub(crate) bare: Bare,
    /// The operation that is equal with time reversed.
    pub(crate) reversed: Fold,
}

/// The sign of an operation over a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    /// The first step below the sign, the last one above.
    Ends(Big),
    /// The range below the sign.
    Below(Big),
    /// The range below a word; the values are numbers.
    Word(&'static str),
}

/// Where no parentheses are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bare {
    /// In a sum, and as the last factor of a product.
    Both,
    LastFactor,
    Never,
}

impl Operator {
    /// The command of LaTeX.
    pub(crate) fn latex(self) -> String {
        match self {
            Self::Ends(big) | Self::Below(big) => big.latex().to_owned(),
            Self::Word(word) => format!(r"\{word}"),
        }
    }
}

macro_rules! folds {
    ($(#[doc = $doc:literal] $fold:ident $kind:ident($sign:expr) $bare:ident $($reversed:ident)?;)+) => {
        /// An operation over a range of steps.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Fold {
            $(#[doc = $doc] $fold,)+
        }

        impl Fold {
            /// Every operation.
            pub const ALL: &'static [Self] = &[$(Self::$fold),+];

            pub(crate) const fn row(self) -> Row {
                match self {
                    $(Self::$fold => Row {
                        operator: Operator::$kind($sign),
                        bare: Bare::$bare,
                        reversed: [$(Self::$reversed,)? self][0],
                    },)+
                }
            }
        }
    };
}

folds! {
    /// A sum.
    Sum Ends(Big::Sum) Both;
    /// A product, the latest step on the left.
    Prod Ends(Big::Product) Both ProdUp;
    /// A product, the earliest step on the left.
    ProdUp Below(Big::Product) Both Prod;
    /// An entrywise product.
    HadProd Ends(Big::HadamardProduct) Never;
    /// The maximum.
    Max Word("max") LastFactor;
    /// The minimum.
    Min Word("min") LastFactor;
}

impl Fold {
    /// Returns true for a sum: it is linear in its body, which extends to the next sign.
    pub(crate) fn is_linear(self) -> bool {
        self == Self::Sum
    }

    /// Returns true if the values are numbers.
    pub(crate) const fn of_numbers(self) -> bool {
        matches!(self.row().operator, Operator::Word(_))
    }
}
