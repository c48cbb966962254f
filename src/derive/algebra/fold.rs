//! Sums, products and other operations over a range of steps, one row each.

use crate::render::Big;

/// An operation over a range of steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fold {
    /// A sum.
    Sum,
    /// A product, the latest step on the left.
    Prod,
    /// A product, the earliest step on the left.
    ProdUp,
    /// An entrywise product.
    HadProd,
    /// The maximum.
    Max,
    /// The minimum.
    Min,
}

/// The sign of an operation over a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    /// The first step below the sign, the last one above.
    Ends(Big),
    /// The range below the sign.
    Below(Big),
    /// The range below a word.
    Word(&'static str),
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

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) operator: Operator,
    /// The operation that is equal with time reversed.
    pub(crate) reversed: Fold,
    /// Linear in its body, and read up to the next sign of a sum.
    pub(crate) linear: bool,
    /// The values of the body are numbers.
    pub(crate) of_numbers: bool,
    /// Printed without parentheses as a term of a sum.
    pub(crate) bare_addend: bool,
    /// Printed without parentheses as the last factor.
    pub(crate) bare_factor: bool,
}

impl Fold {
    /// Every operation.
    pub const ALL: [Self; 6] = [
        Self::Sum,
        Self::Prod,
        Self::ProdUp,
        Self::HadProd,
        Self::Max,
        Self::Min,
    ];

    pub(crate) const fn row(self) -> Row {
        let product = Row {
            operator: Operator::Ends(Big::Product),
            reversed: self,
            linear: false,
            of_numbers: false,
            bare_addend: true,
            bare_factor: true,
        };
        let extreme = Row {
            of_numbers: true,
            bare_addend: false,
            ..product
        };
        match self {
            Self::Sum => Row {
                operator: Operator::Ends(Big::Sum),
                linear: true,
                ..product
            },
            Self::Prod => Row {
                reversed: Self::ProdUp,
                ..product
            },
            Self::ProdUp => Row {
                operator: Operator::Below(Big::Product),
                reversed: Self::Prod,
                ..product
            },
            Self::HadProd => Row {
                operator: Operator::Ends(Big::HadamardProduct),
                bare_addend: false,
                bare_factor: false,
                ..product
            },
            Self::Max => Row {
                operator: Operator::Word("max"),
                ..extreme
            },
            Self::Min => Row {
                operator: Operator::Word("min"),
                ..extreme
            },
        }
    }
}
