//! Sizes and shapes in a source text.

use super::ast::{self, Infix, Kind};
use super::diagnostic::{Diagnostic, Span};
use super::resolve::Resolver;
use crate::error::nearest;
use crate::shape::{Dim, MAX_TERMS, Shape};

impl Resolver<'_, '_> {
    pub(super) fn shape(&self, sizes: &[ast::Expr]) -> Option<Shape> {
        let dims: Vec<Option<Dim>> = sizes.iter().map(|s| self.size(s)).collect();
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
    pub(super) fn size(&self, e: &ast::Expr) -> Option<Dim> {
        let size = self.dim(e)?;
        if size.as_fixed() == Some(0) {
            let text = "this size is 0, expected at least 1";
            let help = "a scalar is declared without brackets, as in `param w`";
            self.reports.push(Diagnostic::at(e.span, text).help(help));
            return None;
        }
        Some(size)
    }

    /// A size: a number, a name, or a sum of these.
    pub(super) fn dim(&self, e: &ast::Expr) -> Option<Dim> {
        let size = match &e.kind {
            Kind::Number(n, _) if n.fract() == 0.0 => {
                let size = format!("{n}").parse().ok().map(Dim::fixed);
                let size = size.filter(|d| !d.is_invalid());
                if size.is_none() {
                    let most = u32::MAX - 1;
                    let text = format!("this size is too large, expected at most {most}");
                    let help = "a size that the data decides has a name, as in `dim H`";
                    self.reports.push(Diagnostic::at(e.span, text).help(help));
                    return None;
                }
                size
            }
            Kind::Name(name) => {
                let Some(dim) = self.dims.get(&**name) else {
                    self.undefined_size(name, e.span);
                    return None;
                };
                Some(*dim)
            }
            Kind::Infix(first, rest) if rest.iter().all(|(op, _)| is_of_sizes(*op)) => {
                let mut size = Some(self.dim(first)?);
                for (op, b) in rest {
                    let b = self.dim(b)?;
                    if size.is_some_and(|a| is_too_large(a, *op, b)) {
                        let text = format!(
                            "this size is too large, expected at most {} and factors of names up to {}",
                            u32::MAX - 1,
                            u16::MAX
                        );
                        let help = "a size that the data decides has a name, as in `dim H`";
                        self.reports.push(Diagnostic::at(e.span, text).help(help));
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
                self.fail(e.span, text);
                return None;
            }
        };
        let size = size.filter(|d| !d.is_invalid());
        if size.is_none() {
            let text = "this is not a size: expected a whole number, or a sum of at most three \
                        names with whole factors, that is never negative";
            self.fail(e.span, text);
        }
        size
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
