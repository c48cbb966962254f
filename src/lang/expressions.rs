//! Parses expressions by operator precedence.

use super::ast::{Expr, Infix, Kind, Name, Range};
use super::diagnostic::{Diagnostic, Span};
use super::parser::{GivenUp, Parsed, Parser};
use super::token::Token;

/// The greatest height of an expression.
const MAX_HEIGHT: usize = 128;

impl Parser<'_, '_> {
    pub(super) fn expression(&mut self) -> Parsed<Expr> {
        self.infix(1)
    }

    /// Runs `f` one level deeper, or reports an error if that is too deep.
    fn deeper(&mut self, f: impl FnOnce(&mut Self) -> Parsed<Expr>) -> Parsed<Expr> {
        self.depth += 1;
        if self.depth > MAX_HEIGHT {
            return self.too_deep();
        }
        let parsed = f(self)?;
        self.depth -= 1;
        if parsed.height > MAX_HEIGHT {
            return self.too_deep();
        }
        Ok(parsed)
    }

    fn too_deep<T>(&mut self) -> Parsed<T> {
        let text = format!("the expression nests more than {MAX_HEIGHT} levels");
        let help = "give an inner part a name in a line of its own: `a = …`";
        let span = self.span();
        self.reports.push(Diagnostic::at(span, text).help(help));
        Err(GivenUp)
    }

    fn infix(&mut self, least: u8) -> Parsed<Expr> {
        let mut left = match self.negated() {
            true if least <= COMPARISON => self.deeper(Self::not)?,
            _ => self.deeper(Self::sign)?,
        };
        // A chain of operators of equal precedence adds one level, however long it is.
        while let Some((_, strength)) = operator(self.peek()).filter(|(_, s)| *s >= least) {
            let mut rest: Vec<(Infix, Expr)> = Vec::new();
            while let Some((op, _)) = operator(self.peek()).filter(|(_, s)| *s == strength) {
                self.advance();
                rest.push((op, self.infix(strength + 1)?));
            }
            if strength == COMPARISON && rest.len() > 1 {
                return self.chained(&left, &rest);
            }
            left = Self::joined(left, rest);
            if left.height > MAX_HEIGHT {
                return self.too_deep();
            }
        }
        Ok(left)
    }

    /// `a < b < c` would compare a truth value with `c`.
    fn chained<T>(&self, first: &Expr, rest: &[(Infix, Expr)]) -> Parsed<T> {
        let span = rest.iter().fold(first.span, |s, (_, e)| s.to(e.span));
        let text = |e: &Expr| &self.source[e.span.start..e.span.end];
        let shown = &self.source[span.start..span.end];
        let mut parts = Vec::new();
        let mut left = first;
        for (op, right) in rest {
            parts.push(format!("{} {} {}", text(left), op.text(), text(right)));
            left = right;
        }
        let help = match shown.contains('\n') || shown.len() > 80 {
            true => "a < b and b < c".into(),
            false => parts.join(" and "),
        };
        let help = format!("that both hold is written `{help}`");
        let diagnostic = Diagnostic::at(span, "comparisons do not chain");
        self.reports.push(diagnostic.help(help));
        Err(GivenUp)
    }

    /// Returns true at the word `not` before an operand.
    fn negated(&mut self) -> bool {
        let operand = matches!(
            self.peek_second(),
            Token::Name(_) | Token::Number(..) | Token::Open
        );
        self.peek() == Token::Name("not") && operand
    }

    /// `not a < b` is the opposite of the whole comparison.
    fn not(&mut self) -> Parsed<Expr> {
        let span = self.advance();
        let operand = self.infix(COMPARISON)?;
        let whole = span.to(operand.span);
        let name = Name {
            text: "not".into(),
            span,
        };
        Ok(Expr::new(Kind::Call(name, vec![operand]), whole))
    }

    fn joined(left: Expr, rest: Vec<(Infix, Expr)>) -> Expr {
        let span = rest.last().map_or(left.span, |(_, e)| left.span.to(e.span));
        Expr::new(Kind::Infix(Box::new(left), rest), span)
    }

    fn power(base: Expr, exponent: Expr) -> Expr {
        Self::joined(base, vec![(Infix::Power, exponent)])
    }

    fn sign(&mut self) -> Parsed<Expr> {
        if let Some(minus) = self.take(Token::Minus) {
            let operand = self.deeper(Self::sign)?;
            let span = minus.to(operand.span);
            return Ok(Expr::new(Kind::Neg(Box::new(operand)), span));
        }
        let base = self.postfix()?;
        if self.take(Token::Caret).is_none() {
            return Ok(base);
        }
        let exponent = self.deeper(Self::sign)?;
        Ok(Self::power(base, exponent))
    }

    fn postfix(&mut self) -> Parsed<Expr> {
        let mut value = self.primary()?;
        loop {
            match self.peek() {
                Token::Transpose => {
                    let span = value.span.to(self.advance());
                    value = Expr::new(Kind::Transpose(Box::new(value)), span);
                }
                Token::Superscript(n) => {
                    let exponent = Expr::new(Kind::Number(n, true), self.advance());
                    value = Self::power(value, exponent);
                }
                Token::OpenBracket => {
                    self.open(Token::OpenBracket)?;
                    let mut ranges = vec![self.range()?];
                    while self.take(Token::Comma).is_some() {
                        ranges.push(self.range()?);
                    }
                    let end = self.close(Token::CloseBracket, "`,` or ")?;
                    let span = value.span.to(end);
                    value = Expr::new(Kind::Slice(Box::new(value), ranges), span);
                }
                _ => return Ok(value),
            }
            if value.height > MAX_HEIGHT {
                return self.too_deep();
            }
        }
    }

    /// `a:b`, or `a` for one entry.
    fn range(&mut self) -> Parsed<Range> {
        let start = match self.peek() {
            Token::Colon => None,
            _ => Some(self.expression()?),
        };
        let stops = [Token::Comma, Token::CloseBracket];
        let entry = start.is_some() && stops.contains(&self.peek());
        if !entry {
            if self.peek() != Token::Colon {
                return self.unexpected("`:`");
            }
            self.advance();
        }
        let end = match stops.contains(&self.peek()) {
            true => None,
            false => Some(self.expression()?),
        };
        Ok(Range { entry, start, end })
    }

    fn arguments(&mut self, close: Token<'_>) -> Parsed<(Vec<Expr>, Span)> {
        let mut args = Vec::new();
        if self.peek() != close {
            args.push(self.expression()?);
            while self.take(Token::Comma).is_some() {
                args.push(self.expression()?);
            }
        }
        let end = self.close(close, "an operator, `,` or ")?;
        Ok((args, end))
    }

    pub(super) fn primary(&mut self) -> Parsed<Expr> {
        match self.peek() {
            Token::Number(n, whole) => Ok(Expr::new(Kind::Number(n, whole), self.advance())),
            Token::Name(text) => {
                let span = self.advance();
                if let Some(prime) = self.take(Token::Prime) {
                    return Ok(Expr::new(Kind::Next(text.into()), span.to(prime)));
                }
                if self.peek() != Token::Open {
                    return Ok(Expr::new(Kind::Name(text.into()), span));
                }
                self.open(Token::Open)?;
                let (args, end) = self.arguments(Token::Close)?;
                let name = Name {
                    text: text.into(),
                    span,
                };
                Ok(Expr::new(Kind::Call(name, args), span.to(end)))
            }
            Token::Open => {
                let start = self.open(Token::Open)?;
                let inner = self.expression()?;
                let end = self.close(Token::Close, "an operator or ")?;
                Ok(Expr {
                    span: start.to(end),
                    ..inner
                })
            }
            Token::OpenBracket => {
                let start = self.open(Token::OpenBracket)?;
                let (parts, end) = self.arguments(Token::CloseBracket)?;
                Ok(Expr::new(Kind::Brackets(parts), start.to(end)))
            }
            _ => self.unexpected("an expression"),
        }
    }
}

/// The precedence of comparisons, above that of `or` and `and`.
const COMPARISON: u8 = 3;

/// A binary operator and its precedence.
fn operator(token: Token<'_>) -> Option<(Infix, u8)> {
    Some(match token {
        Token::Less => (Infix::Less, COMPARISON),
        Token::LessEq => (Infix::LessEq, COMPARISON),
        Token::Greater => (Infix::Greater, COMPARISON),
        Token::GreaterEq => (Infix::GreaterEq, COMPARISON),
        Token::Name("or") => (Infix::Or, 1),
        Token::Name("and") => (Infix::And, 2),
        Token::TwoEquals => (Infix::Equal, COMPARISON),
        Token::Differs => (Infix::Differs, COMPARISON),
        Token::Plus => (Infix::Add, 4),
        Token::Minus => (Infix::Sub, 4),
        Token::Star => (Infix::Mul, 5),
        Token::Slash => (Infix::Div, 5),
        Token::At => (Infix::Product, 5),
        _ => return None,
    })
}
