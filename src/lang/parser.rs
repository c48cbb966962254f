//! Parses tokens into statements: recursive descent with operator precedence.
//!
//! A statement that cannot be parsed is reported and skipped to the end of its line, so that all errors are
//! reported together.

use super::ast::{
    DimDecl, Equation, Expr, Function, Kind, LeafDecl, LeafKind, LossDecl, Name, OutputDecl,
    Program, RoleWord, Start, StateDecl,
};
use super::diagnostic::{Diagnostic, Reports, Span};
use super::habits::{goes_with, instead, second_statement, statement_elsewhere, without_type};
use super::lexer::tokens;
use super::token::Token;
use crate::error::nearest;

/// The keywords that begin a statement.
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
    "mask",
    "applied",
    "inner",
];

/// The statement was abandoned after a reported error.
pub(super) struct GivenUp;

pub(super) type Parsed<T> = Result<T, GivenUp>;

/// Reads a whole file.
pub(super) fn parse(source: &str, reports: &Reports) -> Program {
    let mut parser = Parser {
        source,
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

pub(super) struct Parser<'s, 'r> {
    pub(super) source: &'s str,
    tokens: Vec<(Token<'s>, Span)>,
    at: usize,
    /// The number of open brackets; within brackets, a newline has no meaning.
    nesting: usize,
    /// The depth of the recursion.
    pub(super) depth: usize,
    /// The positions of the open brackets.
    opened: Vec<Span>,
    pub(super) reports: &'r Reports,
    program: Program,
}

impl<'s> Parser<'s, '_> {
    pub(super) fn peek(&mut self) -> Token<'s> {
        if self.nesting > 0 {
            while self.tokens[self.at].0 == Token::Newline {
                self.at += 1;
            }
        }
        self.tokens[self.at].0
    }

    /// The token after the next one, on the same line or within the same brackets.
    pub(super) fn peek_second(&self) -> Token<'s> {
        let mut after = self.tokens.iter().skip(self.at + 1).map(|t| t.0);
        let token = after.find(|token| self.nesting == 0 || *token != Token::Newline);
        token.unwrap_or(Token::End)
    }

    pub(super) fn span(&mut self) -> Span {
        self.peek();
        self.tokens[self.at].1
    }

    pub(super) fn advance(&mut self) -> Span {
        let span = self.span();
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
        span
    }

    pub(super) fn take(&mut self, token: Token<'_>) -> Option<Span> {
        (self.peek() == token).then(|| self.advance())
    }

    pub(super) fn unexpected<T>(&mut self, expected: &str) -> Parsed<T> {
        // An unknown character is reported by the lexer.
        if self.peek() == Token::Unknown {
            return Err(GivenUp);
        }
        let found = self.peek().text();
        let span = self.span();
        let mut diagnostic = Diagnostic::at(span, format!("expected {expected}, found {found}"));
        let before = self.at.checked_sub(1).map(|i| self.tokens[i].0);
        let tokens = before.map(|before| (before, self.tokens[self.at].0));
        let inside = self.nesting > 0;
        if let Some(help) = tokens.and_then(|t| instead(t, expected, inside)) {
            diagnostic = diagnostic.help(help);
        }
        if let Some(open) = self.opened.last() {
            diagnostic = diagnostic.label(*open, "this is still open");
        }
        self.reports.push(diagnostic);
        Err(GivenUp)
    }

    fn expect(&mut self, token: Token<'_>) -> Parsed<Span> {
        match self.take(token) {
            Some(span) => Ok(span),
            None => self.unexpected(&token.text()),
        }
    }

    pub(super) fn open(&mut self, token: Token<'_>) -> Parsed<Span> {
        let span = self.expect(token)?;
        self.nesting += 1;
        self.opened.push(span);
        Ok(span)
    }

    pub(super) fn close(&mut self, token: Token<'_>, or: &str) -> Parsed<Span> {
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

    /// Continues at the next line after an error.
    fn skip_statement(&mut self, start: usize) {
        (self.nesting, self.depth) = (0, 0);
        self.opened.clear();
        // If a bracket was left open, the error appears at the start of a later line, which may be correct;
        // keep it.
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
        // A keyword is recognised by the token after it: `state = 1` is an equation.
        let second = self.peek_second();
        let before_name = matches!(second, Token::Name(_));
        let starts_expr = !matches!(second, Token::Equals | Token::Prime);
        match (word, second) {
            ("dim", _) if before_name => self.dims(),
            ("param" | "input" | "output", _) if before_name => self.given(None),
            ("sample", Token::Name("input")) => self.given(None),
            ("tangent" | "cotangent", Token::Name(_)) | ("final", Token::Name("output")) => {
                self.advance();
                self.given(RoleWord::of(word))
            }
            ("mask", Token::Name("input")) => {
                self.advance();
                self.leaves(LeafKind::Mask, None)
            }
            ("applied", Token::Name("mask")) => {
                self.advance();
                self.advance();
                match self.peek() {
                    Token::Name("input") => self.leaves(LeafKind::AppliedMask, None),
                    _ => self.unexpected("`input`"),
                }
            }
            ("final", Token::Name("state")) => {
                self.advance();
                self.ends()
            }
            ("inner", Token::Name("state" | "backward")) => {
                self.advance();
                let backward = self.take(Token::Name("backward")).is_some();
                match self.peek() {
                    Token::Name("state") => self.states(backward, true),
                    _ => self.unexpected("`state`"),
                }
            }
            ("state", _) if before_name => self.states(false, false),
            ("backward", Token::Name("state")) => {
                self.advance();
                self.states(true, false)
            }
            ("fn", _) if before_name => self.function(),
            ("loss" | "mean" | "final", _) if starts_expr => self.loss(),
            _ => self.equation(),
        }
    }

    /// Parses `item, item, …` after a keyword.
    fn list(&mut self, mut item: impl FnMut(&mut Self) -> Parsed<()>) -> Parsed<()> {
        let keyword = self.peek().text();
        self.advance();
        loop {
            let first = self.at;
            item(self)?;
            if let Token::Name(next) = self.peek()
                && self.at == first + 1
            {
                let (word, keyword) = (self.tokens[first].0.text(), keyword.trim_matches('`'));
                return self.two_names(keyword, word.trim_matches('`'), next);
            }
            if self.take(Token::Comma).is_none() {
                return Ok(());
            }
        }
    }

    /// Reports two adjacent names in a declaration; the first may be a misplaced keyword.
    fn two_names(&mut self, keyword: &str, word: &str, next: &str) -> Parsed<()> {
        let text = format!("expected `,` or the end of the line, found `{next}`");
        let help = match (keyword, word) {
            ("input", "sample" | "mask" | "applied" | "tangent" | "cotangent")
            | ("state", "backward" | "inner" | "final")
            | ("output", "final" | "tangent" | "cotangent")
            | ("param", "tangent" | "cotangent") => {
                format!("`{word}` comes first: `{word} {keyword} {next}`")
            }
            _ => second_statement(next, self.peek_second() == Token::Prime)
                .or_else(|| without_type(keyword, word, next))
                .unwrap_or_else(|| {
                    format!("names are separated by commas: `{keyword} {word}, {next}`")
                }),
        };
        let span = self.span();
        self.reports.push(Diagnostic::at(span, text).help(help));
        Err(GivenUp)
    }

    fn dims(&mut self) -> Parsed<()> {
        self.list(|p| {
            let name = p.name("the name of a size")?;
            let given = |token| match token {
                Token::Number(n, true) if n >= 1.0 => Some(n),
                _ => None,
            };
            if matches!(p.peek(), Token::Equals | Token::Colon | Token::Number(..)) {
                let size = given(p.peek()).or(given(p.peek_second())).unwrap_or(8.0);
                let text = format!("the size `{}` is given a value", name.text);
                let help = format!(
                    "sizes are inferred from the data, or given by \
                     `Batch::size(\"{}\", {size})`; a fixed size is a number: `x[{size}]`",
                    name.text
                );
                let span = p.span();
                p.reports.push(Diagnostic::at(span, text).help(help));
                return Err(GivenUp);
            }
            if matches!(p.peek(), Token::Greater | Token::Less | Token::LessEq) {
                let text = format!("a size has a least value, found {}", p.peek().text());
                let help = format!("the least size is written `dim {} >= 3`", name.text);
                let span = p.span();
                p.reports.push(Diagnostic::at(span, text).help(help));
                return Err(GivenUp);
            }
            let least = match p.take(Token::GreaterEq) {
                Some(_) if matches!(p.peek(), Token::Number(..)) => Some(p.primary()?),
                Some(_) => return p.unexpected("a number, the least size"),
                None => None,
            };
            p.program.dims.push(DimDecl { name, least });
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
        } else if self.peek() == Token::Open {
            return self.unexpected("`[`, `,` or the end of the line");
        }
        Ok(sizes)
    }

    /// A parameter, input or output declaration; it has a role if a derivative added it.
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
                if kind == LeafKind::Param {
                    let text = "only an input can be a class";
                    p.reports.push(Diagnostic::at(name.span.to(colon), text));
                }
            }
            if matches!(kind, LeafKind::Mask | LeafKind::AppliedMask)
                && (classes.is_some() || !shape.is_empty())
            {
                let text = format!("the mask `{}` is no scalar", name.text);
                let help = format!(
                    "one number says whether a step counts: `mask input {}`",
                    name.text
                );
                p.reports.push(Diagnostic::at(name.span, text).help(help));
            }
            let start = match kind {
                LeafKind::Param => p.start()?,
                _ if matches!(p.peek(), Token::Equals | Token::Tilde) => {
                    let text = format!("the input `{}` is given a value", name.text);
                    let help = format!(
                        "inputs come with the data; a constant is written `{0} = …`, a parameter \
                         that starts there `param {0} = …`",
                        name.text
                    );
                    let span = p.span();
                    p.reports.push(Diagnostic::at(span, text).help(help));
                    return Err(GivenUp);
                }
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

    fn states(&mut self, backward: bool, inner: bool) -> Parsed<()> {
        self.list(|p| {
            let name = p.name("the name of a state")?;
            let shape = p.shape()?;
            let init = match p.take(Token::Equals) {
                Some(_) => Some(p.expression()?),
                None => None,
            };
            p.program.states.push(StateDecl {
                inner,
                backward,
                name,
                shape,
                init,
            });
            Ok(())
        })
    }

    /// `final state h = e`: the value after each sequence.
    fn ends(&mut self) -> Parsed<()> {
        self.list(|p| {
            let name = p.name("the name of a state")?;
            p.expect(Token::Equals)?;
            let value = p.expression()?;
            p.program.ends.push(Equation { name, value });
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
            let ended = matches!(
                p.peek(),
                Token::Comma | Token::Newline | Token::End | Token::Name(_)
            );
            if !defines && !ended {
                return p.unexpected("a name, then `=`, `,` or the end of the line");
            }
            p.program.outputs.push(OutputDecl {
                role,
                name,
                value,
                defines,
            });
            Ok(())
        })
    }

    /// Reports an output that begins with its value.
    fn output_without_name(&mut self) -> Parsed<()> {
        let (found, span) = (self.peek().text(), self.span());
        let rest = self.source.get(span.start..).unwrap_or_default();
        let line = rest.split(['\n', '\r', '#']).next().unwrap_or_default();
        let value = match line.trim() {
            value if value.len() <= 60 => value,
            _ => "…",
        };
        let text = format!("expected the name of an output, found {found}");
        let help = format!("an output has a name: `output y = {value}`");
        self.reports.push(Diagnostic::at(span, text).help(help));
        Err(GivenUp)
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
        // The first of two adjacent names may be a misspelt keyword.
        let elsewhere = statement_elsewhere(&name.text).filter(|_| token != Token::Equals);
        if (matches!(token, Token::Name(_)) || elsewhere.is_some()) && !next {
            let others = KEYWORDS.iter().copied().filter(|k| *k != name.text);
            let near = nearest(&name.text, others);
            let (elsewhere, text) = match goes_with(&name.text) {
                Some(help) => (
                    Some(help.to_owned()),
                    format!("`{}` begins no statement like this", name.text),
                ),
                None => (elsewhere, format!("unknown statement `{}`", name.text)),
            };
            let diagnostic = Diagnostic::at(name.span, text);
            self.reports.push(match (elsewhere, near) {
                (Some(help), _) => diagnostic.help(help),
                (None, Some(_)) => diagnostic.suggest(near),
                (None, None) => diagnostic.help(
                    "an equation is written `a = e`; declarations begin with `dim`, `input`, \
                     `param`, `state`, `output`, `loss` or `fn`",
                ),
            });
            return Err(GivenUp);
        }
        if name.text == "output" && matches!(token, Token::Number(..) | Token::Minus) {
            return self.output_without_name();
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
}
