//! Matrix products in a source text, and the remedies for shapes that do not fit.

use super::diagnostic::{Diagnostic, Span};
use super::eval::{Argument, Frame};
use super::resolve::Resolver;
use crate::op::{Dot, Expr, MatMul, Op};
use crate::shape::Shape::{self, Matrix, Vector};
use crate::shape::Type;

impl<'d, 'p> Resolver<'d, 'p> {
    pub(super) fn product(
        &self,
        left: Argument<'d>,
        right: Argument<'d>,
        span: Span,
        frame: Option<&Frame<'p, 'd>>,
    ) -> Option<Expr<'d>> {
        let matmul: Op = MatMul { strong: false }.into();
        let (op, args) = match (left.0.shape(), right.0.shape()) {
            (Some(Vector(_)), Some(Vector(_))) => (Dot.into(), [left, right]),
            // A vector to the left of a matrix is a row vector, as in `Expr::dot`.
            (Some(Vector(n)), Some(Matrix(m, _))) if m == n => {
                (matmul, [(right.0.t(), right.1), left])
            }
            _ => (matmul, [left, right]),
        };
        let Some(help) = self.misfit(left, right) else {
            return self.apply(op, &args, "@", span, frame);
        };
        let shapes = [left, right].map(|(e, _)| e.shape().map(|s| self.shape_text(s)));
        let [Some(a), Some(b)] = shapes else {
            return None;
        };
        let text = format!("`@`: the inner dimensions differ: {a} @ {b}");
        let diagnostic = Diagnostic::new(text)
            .label(left.1, format!("this is {a}"))
            .label(right.1, format!("this is {b}"));
        self.report(diagnostic.help(help), frame);
        None
    }

    /// The remedy for two vectors or matrices whose inner dimensions differ; `None` for other products.
    fn misfit(&self, left: Argument<'d>, right: Argument<'d>) -> Option<String> {
        let real = |e: &Argument<'d>| e.0.ty().is_some_and(Type::is_real);
        if !real(&left) || !real(&right) {
            return None;
        }
        let [a, b] = [(left.1, "A"), (right.1, "B")].map(|(span, name)| self.operand(span, name));
        let found = |text: String, shape: Shape| format!("`{text}` is {}", self.shape_text(shape));
        let mut fits = Vec::new();
        match (left.0.shape()?, right.0.shape()?) {
            (Matrix(_, k), Vector(m) | Matrix(m, _)) if k == m => return None,
            (Vector(n), Vector(m) | Matrix(m, _)) if n == m => return None,
            (Vector(_), Vector(_)) => {
                return Some(format!("the outer product is `outer({a}, {b})`"));
            }
            (Matrix(n, k), Vector(m)) if n == m => {
                fits.push(found(format!("{} @ {b}", turned(&a)), Vector(k)));
            }
            (Vector(n), Matrix(m, k)) if n == k => {
                fits.push(found(format!("{b} @ {a}"), Vector(m)));
            }
            (Matrix(n, k), Matrix(m, l)) => {
                if k == l {
                    fits.push(found(format!("{a} @ {}", turned(&b)), Matrix(n, m)));
                }
                if n == m {
                    fits.push(found(format!("{} @ {b}", turned(&a)), Matrix(k, l)));
                }
                if l == n && fits.is_empty() {
                    fits.push(found(format!("{b} @ {a}"), Matrix(m, k)));
                }
            }
            (Matrix(..), Vector(_)) | (Vector(_), Matrix(..)) => {}
            _ => return None,
        }
        Some(match fits.is_empty() {
            true => "the last size on the left must be the first one on the right".into(),
            false => fits.join(", "),
        })
    }

    /// The text of an operand, in brackets unless it is a single factor; a long one is `name`.
    fn operand(&self, span: Span, name: &str) -> String {
        let text = self.text(span).unwrap_or(name);
        let mut depth = 0_usize;
        let single = text.chars().all(|c| {
            match c {
                '(' | '[' => depth += 1,
                ')' | ']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth > 0 || matches!(c, '.' | '_' | '\'' | ')' | ']') || c.is_alphanumeric()
        });
        match single {
            true => text.into(),
            false => format!("({text})"),
        }
    }
}

/// The transpose of an operand.
fn turned(text: &str) -> String {
    match text.strip_suffix(".T").or(text.strip_suffix('ᵀ')) {
        Some(plain) => plain.into(),
        None => format!("{text}.T"),
    }
}
