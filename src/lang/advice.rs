//! Remedies that are written with the names and sizes at the place of the error.

use super::ast::{Expr, Kind, Range};
use super::eval::Frame;
use super::print_expr::size;
use super::resolve::Resolver;
use crate::op;
use crate::shape::{Dim, Shape, Type};

impl<'d, 'p> Resolver<'d, 'p> {
    /// The entry, row or column of a class, as in `W[c]` and `W[:, c]`.
    pub(super) fn of_class(
        &self,
        a: &Expr,
        ranges: &[Range],
        frame: Option<&Frame<'p, 'd>>,
    ) -> Option<String> {
        let value = self.text(a.span)?;
        let class = |range: &Range| {
            let name = range.start.as_ref().filter(|_| range.entry)?.word()?;
            let of_name = match frame.and_then(|f| f.arguments.get(name)) {
                Some(value) => (*value)?,
                None => self.lookup(name)??,
            };
            of_name
                .ty()
                .is_some_and(|t| !t.is_real())
                .then(|| name.to_owned())
        };
        let other = |range: &Range| {
            let text = |end: &Option<Expr>| match end {
                Some(e) => self.text(e.span),
                None => Some(""),
            };
            let (start, end) = (text(&range.start)?, text(&range.end)?);
            Some(match (range.entry, start, end) {
                (true, ..) => format!("[{start}]"),
                (_, "", "") => String::new(),
                _ => format!("[{start}:{end}]"),
            })
        };
        let call = match ranges {
            [row] => format!("gather({value}, {})", class(row)?),
            [row, column] => match (class(row), class(column)) {
                (Some(c), Some(d)) => format!("gather(gather({value}, {c}), {d})"),
                (Some(c), None) => format!("gather({value}, {c}){}", other(column)?),
                (None, Some(c)) => format!("gather_column({value}, {c}){}", other(row)?),
                (None, None) => return None,
            },
            _ => return None,
        };
        Some(format!("the part of a class is `{call}`"))
    }

    /// The vector of some scalars and vectors; `None` if there is an error in them.
    pub(super) fn joined(
        &self,
        parts: &'p [Expr],
        frame: Option<&Frame<'p, 'd>>,
    ) -> Option<String> {
        let mut vectors = Vec::new();
        let mut entries: Vec<String> = Vec::new();
        for part in parts {
            let (value, text) = (self.eval(part, frame)?, self.text(part.span)?);
            match value.shape()? {
                Shape::Scalar => entries.push(text.to_owned()),
                Shape::Vector(_) => {
                    vectors.extend(bracketed(&mut entries));
                    vectors.push(text.to_owned());
                }
                Shape::Matrix(..) => return None,
            }
        }
        vectors.extend(bracketed(&mut entries));
        Some(match &vectors[..] {
            [one] => one.clone(),
            _ => format!("concat({})", vectors.join(", ")),
        })
    }

    /// Statistics of the entries of an array, and their number.
    pub(super) fn of_entries(
        &self,
        function: &str,
        args: &'p [Expr],
        frame: Option<&Frame<'p, 'd>>,
    ) -> Option<String> {
        // `x.mean()` as `mean(x)`.
        let (owner, last) = function.rsplit_once('.').unwrap_or(("", function));
        if !["mean", "average", "mse", "std", "len", "size"].contains(&last) {
            return None;
        }
        let (x, value) = match (self.lookup(owner), args) {
            (Some(value), _) => (owner, value?),
            (None, [first, ..]) => (self.text(first.span)?, self.eval(first, frame)?),
            _ => return None,
        };
        let count = self.count(value)?;
        let number = value.shape() == Some(Shape::Scalar);
        let write = match (last, args) {
            ("len" | "size", _) => count,
            ("mean" | "average", _) if number => {
                return Some(format!(
                    "`{x}` is one number; the mean over all steps is a loss: `mean loss {x}`"
                ));
            }
            ("mean" | "average", _) => format!("mean({x})"),
            ("mse", [a, b]) => {
                let error = format!("({} - {})^2", self.factor(a)?, self.factor(b)?);
                match number {
                    true => format!("mean loss {error}"),
                    false => format!("mean({error})"),
                }
            }
            ("std", [a]) => format!("sqrt(mean(({} - mean({x}))^2))", self.factor(a)?),
            _ => return None,
        };
        Some(format!("write `{write}`"))
    }

    /// The number of entries of a real value, as an operand.
    fn count(&self, value: op::Expr<'d>) -> Option<String> {
        if !value.ty().is_some_and(Type::is_real) {
            return None;
        }
        Some(match value.shape()? {
            Shape::Scalar => "1".into(),
            Shape::Vector(n) => self.size_text(n),
            Shape::Matrix(n, m) => format!("({} * {})", self.size_text(n), self.size_text(m)),
        })
    }

    /// The text of an operand, in brackets if it needs them.
    fn factor(&self, e: &Expr) -> Option<String> {
        let text = self.text(e.span)?;
        Some(match e.kind {
            Kind::Infix(..) | Kind::Neg(_) => format!("({text})"),
            _ => text.into(),
        })
    }

    fn size_text(&self, dim: Dim) -> String {
        let text = size(dim, &self.dim_names);
        match text.contains(['+', '-', '*']) {
            true => format!("({text})"),
            false => text,
        }
    }
}

/// The vector of the scalars before a vector, if there are any.
fn bracketed(entries: &mut Vec<String>) -> Option<String> {
    let some = !entries.is_empty();
    some.then(|| format!("[{}]", std::mem::take(entries).join(", ")))
}
