//! The syntax tree of a file: statements grouped by kind, and expressions.

use std::collections::HashSet;

use super::diagnostic::Span;

/// A name and its position in the source.
#[derive(Clone, Debug)]
pub(super) struct Name {
    pub(super) text: String,
    pub(super) span: Span,
}

/// An operator between two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Infix {
    Add,
    Sub,
    Mul,
    Div,
    Product,
    Power,
    Less,
    LessEq,
    Greater,
    GreaterEq,
    Equal,
    Differs,
    And,
    Or,
}

impl Infix {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Product => "@",
            Self::Power => "^",
            Self::Less => "<",
            Self::LessEq => "<=",
            Self::Greater => ">",
            Self::GreaterEq => ">=",
            Self::Equal => "==",
            Self::Differs => "!=",
            Self::And => "and",
            Self::Or => "or",
        }
    }
}

/// One place of a slice: `a:b`, either end of which may be left out, or `a`, one entry.
#[derive(Debug)]
pub(super) struct Range {
    pub(super) entry: bool,
    pub(super) start: Option<Expr>,
    pub(super) end: Option<Expr>,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// The value, and `true` if it is written without a decimal point and without an exponent.
    Number(f64, bool),
    Name(String),
    /// `h'`
    Next(String),
    Neg(Box<Expr>),
    Transpose(Box<Expr>),
    /// A chain of operators of equal precedence, from left to right; a sum of many terms is one level of the
    /// tree.
    Infix(Box<Expr>, Vec<(Infix, Expr)>),
    Call(Name, Vec<Expr>),
    Slice(Box<Expr>, Vec<Range>),
    /// `[H, K]`: the shape that `spread` takes, a vector of scalars, or a matrix of rows.
    Brackets(Vec<Expr>),
}

#[derive(Debug)]
pub(super) struct Expr {
    pub(super) kind: Kind,
    pub(super) span: Span,
    /// The height of the tree, bounded so that recursion over it is bounded.
    pub(super) height: usize,
}

impl Expr {
    pub(super) fn new(kind: Kind, span: Span) -> Self {
        let mut height = 0;
        let mut see = |e: &Self| height = height.max(e.height);
        match &kind {
            Kind::Number(..) | Kind::Name(_) | Kind::Next(_) => {}
            Kind::Neg(a) | Kind::Transpose(a) => see(a),
            Kind::Infix(first, rest) => {
                see(first);
                rest.iter().for_each(|(_, e)| see(e));
            }
            Kind::Call(_, args) | Kind::Brackets(args) => args.iter().for_each(see),
            Kind::Slice(a, ranges) => {
                see(a);
                let ends = ranges.iter().flat_map(|r| [&r.start, &r.end]);
                ends.flatten().for_each(see);
            }
        }
        Self {
            kind,
            span,
            height: height + 1,
        }
    }

    /// The value of a number literal, with or without a sign.
    pub(super) fn literal(&self) -> Option<f64> {
        match &self.kind {
            Kind::Number(n, _) => Some(*n),
            Kind::Neg(a) => match a.kind {
                Kind::Number(n, _) => Some(-n),
                _ => None,
            },
            _ => None,
        }
    }

    /// The value of a literal without a fraction.
    pub(super) fn whole(&self) -> Option<i32> {
        let n = self.literal().filter(|n| n.fract() == 0.0)?;
        format!("{n}").parse().ok()
    }

    /// The name, if the expression is a single name.
    pub(super) fn word(&self) -> Option<&str> {
        match &self.kind {
            Kind::Name(n) => Some(n),
            _ => None,
        }
    }
}

/// The kinds of parameters and inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeafKind {
    Param,
    Input,
    SampleInput,
    /// An input that marks the active steps; the definition is masked after it is read.
    Mask,
    /// The same in the text of a recurrence that is masked already.
    AppliedMask,
}

/// The word before a declaration that a derivative added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RoleWord {
    Tangent,
    Cotangent,
    Final,
}

impl RoleWord {
    pub(super) fn of(word: &str) -> Option<Self> {
        match word {
            "tangent" => Some(Self::Tangent),
            "cotangent" => Some(Self::Cotangent),
            "final" => Some(Self::Final),
            _ => None,
        }
    }
}

/// `H` or `H >= 2`.
#[derive(Debug)]
pub(super) struct DimDecl {
    pub(super) name: Name,
    pub(super) least: Option<Expr>,
}

#[derive(Debug)]
pub(super) struct LeafDecl {
    pub(super) kind: LeafKind,
    pub(super) role: Option<RoleWord>,
    pub(super) name: Name,
    pub(super) shape: Vec<Expr>,
    /// The number of classes, for an input that is a class.
    pub(super) classes: Option<Expr>,
    /// The initial value of a parameter before a fit.
    pub(super) start: Option<Start>,
}

/// `= e`, or `~ e` for a random initial value.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) random: bool,
    pub(super) value: Expr,
}

#[derive(Debug)]
pub(super) struct StateDecl {
    /// True for `inner state`: carried like a state, but not listed among the states of the recurrence.
    pub(super) inner: bool,
    pub(super) backward: bool,
    pub(super) name: Name,
    pub(super) shape: Vec<Expr>,
    pub(super) init: Option<Expr>,
}

/// `a = …` or, for a state, `h' = …`.
#[derive(Debug)]
pub(super) struct Equation {
    pub(super) name: Name,
    pub(super) value: Expr,
}

#[derive(Debug)]
pub(super) struct OutputDecl {
    pub(super) role: Option<RoleWord>,
    pub(super) name: Name,
    pub(super) value: Expr,
    /// True for `output a = e`, which defines `a` as well; false for `output a`.
    pub(super) defines: bool,
}

#[derive(Debug)]
pub(super) struct LossDecl {
    pub(super) mean: bool,
    pub(super) last: bool,
    pub(super) value: Expr,
}

#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: Name,
    pub(super) parameters: Vec<Name>,
    pub(super) body: Expr,
}

/// A whole file.
#[derive(Debug, Default)]
pub(super) struct Program {
    pub(super) dims: Vec<DimDecl>,
    pub(super) leaves: Vec<LeafDecl>,
    pub(super) states: Vec<StateDecl>,
    pub(super) equations: Vec<Equation>,
    pub(super) nexts: Vec<Equation>,
    /// `final state h = …`
    pub(super) ends: Vec<Equation>,
    pub(super) outputs: Vec<OutputDecl>,
    pub(super) losses: Vec<LossDecl>,
    pub(super) functions: Vec<Function>,
    /// Names in statements that could not be parsed; they are not reported as undefined.
    pub(super) suspects: HashSet<String>,
}
