//! Sizes and shapes in a source text.

use super::ast::{self, Infix, Kind, Name};
use super::diagnostic::{Diagnostic, Reports, Span};
use super::eval::Frame;
use super::resolve::Resolver;
use crate::error::nearest;
use crate::shape::{Dim, MAX_LEAST, MAX_TERMS, Shape};

impl<'d, 'p> Resolver<'d, 'p> {
    pub(super) fn shape(
        &self,
        sizes: &[ast::Expr],
        frame: Option<&Frame<'p, 'd>>,
    ) -> Option<Shape> {
        let dims: Vec<Option<Dim>> = sizes.iter().map(|s| self.size(s, frame)).collect();
        let dims: Vec<Dim> = dims.into_iter().collect::<Option<_>>()?;
        let shape = Shape::from_dims(&dims);
        if shape.is_none() {
            let span = sizes[0].span.to(sizes[sizes.len() - 1].span);
            self.fail(span, "a value has at most two axes");
        }
        shape
    }

    pub(super) fn shape_text(&self, shape: Shape) -> String {
        match shape {
            Shape::Scalar => "a scalar".into(),
            shape => shape.text(&self.dim_names),
        }
    }

    /// A size that is not 0.
    pub(super) fn size(&self, e: &ast::Expr, frame: Option<&Frame<'p, 'd>>) -> Option<Dim> {
        let size = self.dim(e, frame)?;
        if size.as_fixed() == Some(0) {
            let text = "this size is 0, expected at least 1";
            let help = "a scalar is declared without brackets, as in `param w`";
            self.reports.push(Diagnostic::at(e.span, text).help(help));
            return None;
        }
        Some(size)
    }

    /// The size that is written, if an expression is written as one; nothing is reported.
    pub(super) fn as_size(&self, e: &ast::Expr, frame: Option<&Frame<'p, 'd>>) -> Option<Dim> {
        let is_size = match &e.kind {
            Kind::Number(_, whole) => *whole,
            Kind::Name(name) => match frame {
                Some(frame) if frame.arguments.contains_key(&**name) => {
                    frame.sizes.contains_key(&**name)
                }
                _ => self.dims.contains_key(&**name),
            },
            Kind::Infix(first, rest) => {
                let mut parts = std::iter::once(&**first).chain(rest.iter().map(|(_, e)| e));
                rest.iter().all(|(op, _)| is_of_sizes(*op))
                    && parts.all(|part| self.as_size(part, frame).is_some())
            }
            _ => false,
        };
        let reports = is_size.then(Reports::default)?;
        let size = self.dim_with(e, frame, &reports);
        size.filter(|_| reports.is_empty())
    }

    /// A size: a number, a name, or a sum of these.
    pub(super) fn dim(&self, e: &ast::Expr, frame: Option<&Frame<'p, 'd>>) -> Option<Dim> {
        self.dim_with(e, frame, self.reports)
    }

    fn dim_with(
        &self,
        e: &ast::Expr,
        frame: Option<&Frame<'p, 'd>>,
        reports: &Reports,
    ) -> Option<Dim> {
        let report = |diagnostic| match frame {
            Some(frame) => reports.push(Diagnostic::label(diagnostic, frame.call, "in this call")),
            None => reports.push(diagnostic),
        };
        let size = match &e.kind {
            Kind::Number(n, _) if n.fract() == 0.0 => {
                let size = format!("{n}").parse().ok().map(Dim::fixed);
                let size = size.filter(|d| !d.is_invalid());
                if size.is_none() {
                    let most = u32::MAX - 1;
                    let text = format!("this size is too large, expected at most {most}");
                    let help = "a size that the data decides has a name, as in `dim H`";
                    report(Diagnostic::at(e.span, text).help(help));
                    return None;
                }
                size
            }
            Kind::Name(name) if frame.is_some_and(|f| f.arguments.contains_key(&**name)) => {
                let size = frame.and_then(|f| f.sizes.get(&**name));
                if size.is_none() {
                    let text = format!(
                        "the argument `{name}` is used as a size, but is none in this call"
                    );
                    let help = "a size is a number, a name declared by `dim`, or a sum of them";
                    report(Diagnostic::at(e.span, text).help(help));
                    return None;
                }
                size.copied()
            }
            Kind::Name(name) => {
                let Some(dim) = self.dims.get(&**name) else {
                    self.undefined_size(name, e.span);
                    return None;
                };
                Some(*dim)
            }
            Kind::Infix(first, rest) if rest.iter().all(|(op, _)| is_of_sizes(*op)) => {
                let mut size = Some(self.dim_with(first, frame, reports)?);
                for (op, b) in rest {
                    let b = self.dim_with(b, frame, reports)?;
                    if size.is_some_and(|a| is_too_large(a, *op, b)) {
                        let text = format!(
                            "this size is too large, expected at most {} and factors of names up to {}",
                            u32::MAX - 1,
                            u16::MAX
                        );
                        let help = "a size that the data decides has a name, as in `dim H`";
                        report(Diagnostic::at(e.span, text).help(help));
                        return None;
                    }
                    size = size.and_then(|a| match op {
                        Infix::Add => Some(a + b),
                        Infix::Sub => a.checked_sub(b),
                        _ => match (a.as_fixed(), b.as_fixed()) {
                            (Some(n), _) => Some(b * n),
                            (_, Some(n)) => Some(a * n),
                            _ => None,
                        },
                    });
                }
                size
            }
            _ => {
                let text = "expected a size, such as `H`, `3` or `2*H + 1`";
                report(Diagnostic::at(e.span, text));
                return None;
            }
        };
        let size = size.filter(|d| !d.is_invalid());
        if size.is_none() {
            let text = "this is not a size: expected a whole number, or a sum of at most three \
                        names with whole factors, that is never negative";
            report(self.least_sizes(e, Diagnostic::at(e.span, text)));
        }
        size
    }

    /// The number after `dim H >=`.
    pub(super) fn least_size(&self, name: &Name, least: &ast::Expr) -> u8 {
        let number = match least.kind {
            Kind::Number(n, true) => format!("{n}").parse().ok(),
            _ => None,
        };
        let number = number.filter(|least| *least <= MAX_LEAST);
        number.unwrap_or_else(|| {
            let text = format!("this is no least size of `{}`", name.text);
            let help = format!(
                "it is a whole number up to {MAX_LEAST}: `dim {} >= 2`",
                name.text
            );
            self.reports
                .push(Diagnostic::at(least.span, text).help(help));
            0
        })
    }

    /// Adds the least sizes that could make a difference a size.
    fn least_sizes(&self, e: &ast::Expr, diagnostic: Diagnostic) -> Diagnostic {
        let Kind::Infix(first, rest) = &e.kind else {
            return diagnostic;
        };
        let less = rest.iter().filter(|(op, _)| *op == Infix::Sub);
        let less: Option<f64> = less.map(|(_, b)| b.literal()).sum();
        match (first.word().filter(|n| self.dims.contains_key(n)), less) {
            (Some(name), Some(less)) if less > 0.0 && less.fract() == 0.0 => diagnostic.help(
                format!("declare the least size: `dim {name} >= {}`", less + 1.0),
            ),
            _ => diagnostic,
        }
    }

    fn undefined_size(&self, name: &str, span: Span) {
        if self.is_reported(name) {
            return;
        }
        let near = nearest(name, self.dims.keys().copied());
        let diagnostic = Diagnostic::at(span, format!("`{name}` is not a size"));
        self.reports.push(match near {
            Some(_) => diagnostic.suggest(near),
            None if self.table.contains_key(name) => {
                diagnostic.help("a size is a number or a name declared by `dim`")
            }
            None => diagnostic.help(format!("declare it: `dim {name}`")),
        });
    }
}

/// Returns true if a sum of few names, or a product with a number, is no size because a number in it is too large.
fn is_too_large(a: Dim, op: Infix, b: Dim) -> bool {
    match op {
        Infix::Add => {
            let is_own = |symbol| a.named_terms().any(|(own, _)| own == symbol);
            let more = b.named_terms().filter(|(symbol, _)| !is_own(*symbol));
            a.named_terms().count() + more.count() <= MAX_TERMS && (a + b).is_invalid()
        }
        Infix::Mul => match (a.as_fixed(), b.as_fixed()) {
            (Some(n), _) => (b * n).is_invalid(),
            (_, Some(n)) => (a * n).is_invalid(),
            _ => false,
        },
        _ => false,
    }
}

/// Returns true for operators that sizes may use.
const fn is_of_sizes(op: Infix) -> bool {
    matches!(op, Infix::Add | Infix::Sub | Infix::Mul)
}
