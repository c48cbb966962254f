//! Vectors and matrices in brackets, and vectors beside a matrix.

use super::ast::{self, Kind};
use super::diagnostic::{Diagnostic, Span};
use super::eval::{Argument, Frame};
use super::resolve::Resolver;
use crate::op::{Axis, Broadcast, Concat, Expr, Over, Reshape};
use crate::shape::{Dim, Shape};

impl<'d, 'p> Resolver<'d, 'p> {
    /// `[a, b]`: the vector of scalars, or the matrix with these rows.
    pub(super) fn literal(
        &self,
        parts: &'p [ast::Expr],
        span: Span,
        frame: Option<&Frame<'p, 'd>>,
    ) -> Option<Expr<'d>> {
        if parts.is_empty() {
            let help = "a vector has an entry or more: `[0, 1]`";
            let diagnostic = Diagnostic::at(span, "there is nothing in the brackets");
            self.report(diagnostic.help(help), frame);
            return None;
        }
        let values: Vec<_> = parts.iter().map(|p| self.real(p, frame)).collect();
        let values: Vec<Expr<'d>> = values.into_iter().collect::<Option<_>>()?;
        let shapes: Vec<Shape> = values.iter().map(|v| v.shape()).collect::<Option<_>>()?;
        let one = Dim::fixed(1);
        let mut rows: Vec<Argument<'d>> = Vec::new();
        for ((value, shape), part) in values.into_iter().zip(&shapes).zip(parts) {
            let row = match (shapes[0], *shape) {
                (Shape::Scalar, Shape::Scalar) => value.spread(Shape::Vector(one)),
                (Shape::Vector(m), Shape::Vector(n)) if m == n => {
                    let shape = Shape::Matrix(one, n);
                    self.apply(
                        Reshape { shape },
                        &[(value, part.span)],
                        "[…]",
                        part.span,
                        frame,
                    )?
                }
                _ => {
                    self.report(self.mixed(parts, &shapes, span), frame);
                    return None;
                }
            };
            rows.push((row, part.span));
        }
        match rows[..] {
            [(only, _)] => Some(only),
            _ => self.apply(Concat { axis: Axis::Rows }, &rows, "[…]", span, frame),
        }
    }

    fn mixed(&self, parts: &[ast::Expr], shapes: &[Shape], span: Span) -> Diagnostic {
        let text = "brackets hold scalars, the entries of a vector, or vectors of one length, the rows of a matrix";
        let mut diagnostic = Diagnostic::new(text);
        for (part, shape) in parts.iter().zip(shapes) {
            diagnostic =
                diagnostic.label(part.span, format!("this is {}", self.shape_text(*shape)));
        }
        if shapes.iter().any(|s| s.rank() == 2) {
            let help = "matrices are joined by `concat(A, B)`, one below the other, or `concat_columns(A, B)`";
            return diagnostic.help(help);
        }
        let part = |(part, shape): (&ast::Expr, &Shape)| {
            let text = self.text(part.span)?;
            Some(match shape {
                Shape::Scalar => format!("[{text}]"),
                _ => text.to_owned(),
            })
        };
        let joined: Option<Vec<String>> = parts.iter().zip(shapes).map(part).collect();
        match joined.filter(|_| shapes.contains(&Shape::Scalar) && span.end > span.start) {
            Some(joined) => diagnostic.help(format!(
                "they are joined by `concat({})`",
                joined.join(", ")
            )),
            None => diagnostic,
        }
    }

    /// The vector and the axis of `rows(v)` and `columns(v)`.
    pub(super) fn as_beside(&self, e: &'p ast::Expr) -> Option<(Axis, &'p ast::Expr)> {
        let Kind::Call(name, args) = &e.kind else {
            return None;
        };
        let [vector] = &args[..] else {
            return None;
        };
        let axis = Axis::named(&name.text)?;
        (!self.functions.contains_key(&*name.text)).then_some((axis, vector))
    }

    /// Evaluates values that stand beside each other; one of them may be `rows(v)`, whose rows are all `v`, next to a matrix.
    pub(super) fn beside(
        &self,
        values: &[&'p ast::Expr],
        frame: Option<&Frame<'p, 'd>>,
    ) -> Vec<Option<Expr<'d>>> {
        let plain = values.iter().map(|e| match self.as_beside(e) {
            Some(_) => None,
            None => self.eval(e, frame),
        });
        let mut found: Vec<Option<Expr<'d>>> = plain.collect();
        let matrix = found
            .iter()
            .flatten()
            .find_map(|value| match value.shape()? {
                Shape::Matrix(m, n) => Some((m, n)),
                _ => None,
            });
        let failed = values
            .iter()
            .zip(&found)
            .any(|(e, v)| v.is_none() && self.as_beside(e).is_none());
        for (e, value) in values.iter().zip(&mut found) {
            if let Some((axis, vector)) = self.as_beside(e).filter(|_| !failed) {
                *value = self.repeated(e.span, (axis, vector), matrix, frame);
            }
        }
        found
    }

    /// `rows(v)` or `columns(v)` next to a value that may be a matrix.
    pub(super) fn repeated(
        &self,
        span: Span,
        (axis, vector): (Axis, &'p ast::Expr),
        matrix: Option<(Dim, Dim)>,
        frame: Option<&Frame<'p, 'd>>,
    ) -> Option<Expr<'d>> {
        let value = self.real(vector, frame)?;
        let word = axis.text();
        let Some((rows, columns)) = matrix else {
            let of = self.text(vector.span).unwrap_or("v");
            let text = format!("`{word}` stands beside a matrix, and there is none here");
            let help = format!(
                "it is the whole operand of `+`, `-`, `*`, `/` or a comparison: `A + {word}(2 * {of})`, not `A + 2 * {word}({of})`; \
                 `repeat({of}, {word}, n)` is a matrix of its own"
            );
            self.report(Diagnostic::at(span, text).help(help), frame);
            return None;
        };
        let Shape::Vector(n) = value.shape()? else {
            let text = format!("`{word}` takes a vector");
            let found = self.shape_text(value.shape()?);
            let diagnostic = Diagnostic::new(text).label(vector.span, format!("this is {found}"));
            self.report(diagnostic, frame);
            return None;
        };
        let shape = match axis {
            Axis::Rows => Shape::Matrix(rows, n),
            Axis::Columns => Shape::Matrix(n, columns),
        };
        let over = Over::Axis(axis);
        self.apply(
            Broadcast { shape, over },
            &[(value, vector.span)],
            word,
            span,
            frame,
        )
    }
}
