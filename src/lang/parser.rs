//! From tokens to statements: recursive descent with binding strengths.
//!
//! A statement that cannot be read is reported and skipped up to the end of its line, and the next
//! one is read, so that several mistakes come back at once.

use super::ast::{
    Equation, Expr, Function, Infix, Kind, LeafDecl, LeafKind, LossDecl, Name, OutputDecl, Program,
    Range, RoleWord, Start, StateDecl,
};
use super::diagnostic::{Diagnostic, Reports, Span};
use super::lexer::{Token, tokens};
use crate::error::nearest;

/// How deeply expressions may nest, and how many operators may stand in a row.
pub(super) const MAX_HEIGHT: usize = 128;

/// What a statement may begin with, other than the name of a value.
const KEYWORDS: &[&str] = &[
    "dim",
    "input",
    "sample",
    "param",
    "state",
    "backward",
    "output",
    "loss",
    "mean",
    "final",
    "fn",
    "tangent",
    "cotangent",
];

/// A statement was given up; the mistake is reported.
struct GivenUp;

type Parsed<T> = Result<T, GivenUp>;

/// Reads a whole file.
pub(super) fn parse(source: &str, reports: &Reports) -> Program {
    let mut parser = Parser {
        tokens: tokens(source, reports),
        at: 0,
        nesting: 0,
        depth: 0,
        opened: Vec::new(),
        reports,
        program: Program::default(),
    };
    parser.file();
    parser.program
}

struct Parser<'s, 'r> {
    tokens: Vec<(Token<'s>, Span)>,
    at: usize,
    /// How many brackets are open: inside, the end of a line means nothing.
    nesting: usize,
    /// How deep the recursion is.
    depth: usize,
    /// The brackets that are open.
    opened: Vec<Span>,
    reports: &'r Reports,
    program: Program,
}

impl<'s> Parser<'s, '_> {
    fn peek(&mut self) -> Token<'s> {
        if self.nesting > 0 {
            while self.tokens[self.at].0 == Token::Newline {
                self.at += 1;
            }
        }
        self.tokens[self.at].0
    }

    /// The token after the next one, on the same line.
    fn peek_second(&self) -> Token<'s> {
        self.tokens.get(self.at + 1).map_or(Token::End, |t| t.0)
    }

    fn span(&mut self) -> Span {
        self.peek();
        self.tokens[self.at].1
    }

    fn advance(&mut self) -> Span {
        let span = self.span();
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
        span
    }

    fn take(&mut self, token: Token<'_>) -> Option<Span> {
        (self.peek() == token).then(|| self.advance())
    }

    fn unexpected<T>(&mut self, expected: &str) -> Parsed<T> {
        let found = self.peek().text();
        let span = self.span();
        let mut diagnostic = Diagnostic::at(span, format!("expected {expected}, found {found}"));
        if let Some(help) = self.instead(expected) {
            diagnostic = diagnostic.help(help);
        }
        if let Some(open) = self.opened.last() {
            diagnostic = diagnostic.label(*open, "this is still open");
        }
        self.reports.push(diagnostic);
        Err(GivenUp)
    }

    /// What was probably meant, from the tokens around the mistake.
    fn instead(&self, expected: &str) -> Option<&'static str> {
        let before = self.at.checked_sub(1).map(|i| self.tokens[i].0)?;
        match (before, self.tokens[self.at].0) {
            (Token::Star, Token::Star) => Some("a power is written `a^b`"),
            (Token::Name("if"), _) => Some("a choice is written `select(c, a, b)`"),
            // Behind the end of a line it is a bracket that was forgotten.
            (Token::Newline, _) => None,
            (_, Token::Name(_) | Token::Number(_) | Token::Open)
                if expected.starts_with("an operator") =>
            {
                Some("a product is written `a * b` or `A @ b`")
            }
            _ if expected.starts_with("`:`") => {
                Some("a slice is written `x[a:b]`, an earlier value `delay(x)` or as a state")
            }
            _ => None,
        }
    }

    fn expect(&mut self, token: Token<'_>) -> Parsed<Span> {
        match self.take(token) {
            Some(span) => Ok(span),
            None => self.unexpected(&token.text()),
        }
    }

    fn open(&mut self, token: Token<'_>) -> Parsed<Span> {
        let span = self.expect(token)?;
        self.nesting += 1;
        self.opened.push(span);
        Ok(span)
    }

    fn close(&mut self, token: Token<'_>, or: &str) -> Parsed<Span> {
        if self.peek() != token {
            return self.unexpected(&format!("{or}{}", token.text()));
        }
        let span = self.span();
        self.nesting -= 1;
        self.opened.pop();
        self.advance();
        Ok(span)
    }

    fn name(&mut self, what: &str) -> Parsed<Name> {
        match self.peek() {
            Token::Name(text) => Ok(Name {
                text: text.into(),
                span: self.advance(),
            }),
            _ => self.unexpected(what),
        }
    }

    fn file(&mut self) {
        while self.peek() != Token::End {
            if self.take(Token::Newline).is_some() {
                continue;
            }
            let start = self.at;
            let ended = self.statement().and_then(|()| match self.peek() {
                Token::Newline | Token::End => Ok(()),
                _ => self.unexpected("an operator or the end of the line"),
            });
            if ended.is_err() {
                self.skip_statement(start);
            }
        }
    }

    /// Goes on at the next line after a mistake.
    fn skip_statement(&mut self, start: usize) {
        (self.nesting, self.depth) = (0, 0);
        self.opened.clear();
        // Where a bracket was left open, the mistake shows on a later line, which may be sound.
        let fresh = self.at > start && self.tokens[self.at - 1].0 == Token::Newline;
        if !fresh {
            while !matches!(self.tokens[self.at].0, Token::Newline | Token::End) {
                self.at += 1;
            }
        }
        for (token, _) in &self.tokens[start..self.at] {
            if let Token::Name(name) = token {
                self.program.suspects.insert((*name).into());
            }
        }
    }

    fn statement(&mut self) -> Parsed<()> {
        let Token::Name(word) = self.peek() else {
            return self.unexpected("a declaration or an equation");
        };
        // A keyword is one only before what it introduces: `state = 1` is an equation.
        let second = self.peek_second();
        let before_name = matches!(second, Token::Name(_));
        let starts_expr = !matches!(second, Token::Equals | Token::Prime | Token::OpenBracket);
        match (word, second) {
            ("dim", _) if before_name => self.dims(),
            ("param" | "input" | "output", _) if before_name => self.given(None),
            ("sample", Token::Name("input")) => self.given(None),
            ("tangent" | "cotangent", Token::Name(_)) | ("final", Token::Name("output")) => {
                self.advance();
                self.given(RoleWord::of(word))
            }
            ("state", _) if before_name => self.states(false),
            ("backward", Token::Name("state")) => {
                self.advance();
                self.states(true)
            }
            ("fn", _) if before_name => self.function(),
            ("loss" | "mean" | "final", _) if starts_expr => self.loss(),
            _ => self.equation(),
        }
    }

    /// Reads `item, item, …` after a keyword.
    fn list(&mut self, mut item: impl FnMut(&mut Self) -> Parsed<()>) -> Parsed<()> {
        self.advance();
        item(self)?;
        while self.take(Token::Comma).is_some() {
            item(self)?;
        }
        Ok(())
    }

    fn dims(&mut self) -> Parsed<()> {
        self.list(|p| {
            let name = p.name("the name of a size")?;
            p.program.dims.push(name);
            Ok(())
        })
    }

    /// `[H, K]`, or nothing for a scalar.
    fn shape(&mut self) -> Parsed<Vec<Expr>> {
        let mut sizes = Vec::new();
        if self.peek() == Token::OpenBracket {
            self.open(Token::OpenBracket)?;
            if self.peek() != Token::CloseBracket {
                sizes.push(self.expression()?);
                while self.take(Token::Comma).is_some() {
                    sizes.push(self.expression()?);
                }
            }
            self.close(Token::CloseBracket, "`,` or ")?;
        }
        Ok(sizes)
    }

    /// A parameter, an input or an output; a derivative added it when it has a role.
    fn given(&mut self, role: Option<RoleWord>) -> Parsed<()> {
        match (self.peek(), self.peek_second()) {
            (Token::Name("output"), _) => self.outputs(role),
            (Token::Name("param"), _) => self.leaves(LeafKind::Param, role),
            (Token::Name("input"), _) => self.leaves(LeafKind::Input, role),
            (Token::Name("sample"), Token::Name("input")) => {
                self.advance();
                self.leaves(LeafKind::SampleInput, role)
            }
            _ => self.unexpected("`param`, `input`, `sample input` or `output`"),
        }
    }

    fn leaves(&mut self, kind: LeafKind, role: Option<RoleWord>) -> Parsed<()> {
        self.list(|p| {
            let name = p.name("a name")?;
            let shape = p.shape()?;
            let mut classes = None;
            if let Some(colon) = p.take(Token::Colon) {
                if p.peek() != Token::Name("class") {
                    return p.unexpected("`class`");
                }
                p.advance();
                p.open(Token::Open)?;
                classes = Some(p.expression()?);
                p.close(Token::Close, "")?;
                if kind == LeafKind::Param || !shape.is_empty() {
                    let text = "only a scalar input can be a class";
                    p.reports.push(Diagnostic::at(name.span.to(colon), text));
                }
            }
            let start = match kind {
                LeafKind::Param => p.start()?,
                _ => None,
            };
            p.program.leaves.push(LeafDecl {
                kind,
                role,
                name,
                shape,
                classes,
                start,
            });
            Ok(())
        })
    }

    /// `= 0.1` or `~ uniform(0.1)`, or nothing.
    fn start(&mut self) -> Parsed<Option<Start>> {
        let random = self.take(Token::Tilde).is_some();
        if !random && self.take(Token::Equals).is_none() {
            return Ok(None);
        }
        let value = self.expression()?;
        Ok(Some(Start { random, value }))
    }

    fn states(&mut self, backward: bool) -> Parsed<()> {
        self.list(|p| {
            let name = p.name("the name of a state")?;
            let shape = p.shape()?;
            let init = match p.take(Token::Equals) {
                Some(_) => Some(p.expression()?),
                None => None,
            };
            p.program.states.push(StateDecl {
                backward,
                name,
                shape,
                init,
            });
            Ok(())
        })
    }

    fn outputs(&mut self, role: Option<RoleWord>) -> Parsed<()> {
        self.list(|p| {
            let name = p.name("the name of an output")?;
            let prime = p.take(Token::Prime);
            let (value, defines) = match (prime, p.peek()) {
                (None, Token::Equals) => {
                    p.advance();
                    (p.expression()?, true)
                }
                (None, _) => {
                    let kind = Kind::Name(name.text.clone());
                    (Expr::new(kind, name.span), false)
                }
                (Some(prime), _) => {
                    let kind = Kind::Next(name.text.clone());
                    (Expr::new(kind, name.span.to(prime)), false)
                }
            };
            p.program.outputs.push(OutputDecl {
                role,
                name,
                value,
                defines,
            });
            Ok(())
        })
    }

    fn loss(&mut self) -> Parsed<()> {
        let mut flag = |word| self.take(Token::Name(word)).is_some();
        let (mean, last) = (flag("mean"), flag("final"));
        if !flag("loss") {
            return self.unexpected("`loss`");
        }
        let value = self.expression()?;
        self.program.losses.push(LossDecl { mean, last, value });
        Ok(())
    }

    fn function(&mut self) -> Parsed<()> {
        self.advance();
        let name = self.name("the name of a function")?;
        self.open(Token::Open)?;
        let mut parameters = Vec::new();
        if self.peek() != Token::Close {
            parameters.push(self.name("the name of an argument")?);
            while self.take(Token::Comma).is_some() {
                parameters.push(self.name("the name of an argument")?);
            }
        }
        self.close(Token::Close, "`,` or ")?;
        self.expect(Token::Equals)?;
        let body = self.expression()?;
        self.program.functions.push(Function {
            name,
            parameters,
            body,
        });
        Ok(())
    }

    fn equation(&mut self) -> Parsed<()> {
        let name = self.name("a name")?;
        let next = self.take(Token::Prime).is_some();
        let token = self.peek();
        // The first of two names may be a keyword with a slip of the pen.
        if matches!(token, Token::Name(_)) && !next {
            let near = nearest(&name.text, KEYWORDS.iter().copied());
            if near.is_some() {
                let text = format!("`{}` begins no statement", name.text);
                let diagnostic = Diagnostic::at(name.span, text);
                self.reports.push(diagnostic.suggest(near));
                return Err(GivenUp);
            }
        }
        if token != Token::Equals {
            return self.unexpected(if next { "`=`" } else { "`=` or `'`" });
        }
        self.advance();
        let value = self.expression()?;
        let equation = Equation { name, value };
        if next {
            self.program.nexts.push(equation);
        } else {
            self.program.equations.push(equation);
        }
        Ok(())
    }

    fn expression(&mut self) -> Parsed<Expr> {
        self.infix(1)
    }

    /// Runs `f` one level deeper, unless that is too deep.
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
        let help = "give a part of it a name of its own";
        let span = self.span();
        self.reports.push(Diagnostic::at(span, text).help(help));
        Err(GivenUp)
    }

    fn infix(&mut self, least: u8) -> Parsed<Expr> {
        let mut left = self.deeper(Self::sign)?;
        loop {
            let (op, strength) = match self.peek() {
                Token::Less => (Infix::Less, 1),
                Token::LessEq => (Infix::LessEq, 1),
                Token::Greater => (Infix::Greater, 1),
                Token::GreaterEq => (Infix::GreaterEq, 1),
                Token::TwoEquals => (Infix::Equal, 1),
                Token::Plus => (Infix::Add, 2),
                Token::Minus => (Infix::Sub, 2),
                Token::Star => (Infix::Mul, 3),
                Token::Slash => (Infix::Div, 3),
                Token::At => (Infix::Product, 3),
                _ => return Ok(left),
            };
            if strength < least {
                return Ok(left);
            }
            self.advance();
            let right = self.infix(strength + 1)?;
            left = Self::pair(op, left, right);
            if left.height > MAX_HEIGHT {
                return self.too_deep();
            }
        }
    }

    fn pair(op: Infix, left: Expr, right: Expr) -> Expr {
        let span = left.span.to(right.span);
        Expr::new(Kind::Infix(op, Box::new(left), Box::new(right)), span)
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
        Ok(Self::pair(Infix::Power, base, exponent))
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
                    let exponent = Expr::new(Kind::Number(n), self.advance());
                    value = Self::pair(Infix::Power, value, exponent);
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

    fn range(&mut self) -> Parsed<Range> {
        let start = if self.peek() == Token::Colon {
            None
        } else {
            Some(self.expression()?)
        };
        if self.peek() != Token::Colon {
            return self.unexpected("`:`");
        }
        self.advance();
        let stops = [Token::Comma, Token::CloseBracket];
        let end = if stops.contains(&self.peek()) {
            None
        } else {
            Some(self.expression()?)
        };
        Ok(Range { start, end })
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

    fn primary(&mut self) -> Parsed<Expr> {
        match self.peek() {
            Token::Number(n) => Ok(Expr::new(Kind::Number(n), self.advance())),
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
                let (sizes, end) = self.arguments(Token::CloseBracket)?;
                Ok(Expr::new(Kind::Shape(sizes), start.to(end)))
            }
            _ => self.unexpected("an expression"),
        }
    }
}
