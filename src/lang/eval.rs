//! Evaluates the syntax tree to expressions of a definition.

use std::collections::{HashMap, HashSet};

use super::ast::{self, Infix, Kind, Name, Range};
use super::diagnostic::{Diagnostic, Span};
use super::habits::{at_steps, remedy, usage};
use super::order::Mentions;
use super::resolve::Resolver;
use super::vocabulary::row;
use crate::op::{Axis, Expr, Op, Over, Pointwise, Slice, Sum, Transpose};
use crate::shape::{Dim, Kind as Content, Rate, Shape, Type};

/// The greatest depth of evaluation, through expressions and calls.
const MAX_DEPTH: usize = 200;

/// The most operations that calls of functions may expand to.
const MAX_WORK: usize = 200_000;

/// The arguments of the function being expanded.
pub(super) struct Frame<'p, 'd> {
    pub(super) arguments: HashMap<&'p str, Option<Expr<'d>>>,
    /// The names of arguments that are written as whole numbers.
    pub(super) whole: HashSet<&'p str>,
    /// The arguments that are written as sizes.
    pub(super) sizes: HashMap<&'p str, Dim>,
    pub(super) call: Span,
}

/// An argument and its position in the source.
pub(super) type Argument<'d> = (Expr<'d>, Span);

impl<'d, 'p> Resolver<'d, 'p> {
    pub(super) fn report(&self, diagnostic: Diagnostic, frame: Option<&Frame<'p, 'd>>) {
        self.reports.push(match frame {
            Some(frame) => diagnostic.label(frame.call, "in this call"),
            None => diagnostic,
        });
    }

    /// Evaluates to a real value or a class; `None` after an error, which is reported.
    pub(super) fn eval(&self, e: &'p ast::Expr, frame: Option<&Frame<'p, 'd>>) -> Option<Expr<'d>> {
        if frame.is_some() {
            self.work.set(self.work.get() + 1);
            if self.work.get() > MAX_WORK {
                let text = format!("the functions expand to more than {MAX_WORK} operations");
                self.reports.push(Diagnostic::new(text));
                return None;
            }
        }
        if self.depth.get() >= MAX_DEPTH {
            let text = format!("the functions expand to more than {MAX_DEPTH} levels");
            let help = "name a part: `a = …`, and use `a` in the expression";
            self.report(Diagnostic::at(e.span, text).help(help), frame);
            return None;
        }
        self.depth.set(self.depth.get() + 1);
        let value = self.eval_inner(e, frame);
        self.depth.set(self.depth.get() - 1);
        value
    }

    fn eval_inner(&self, e: &'p ast::Expr, frame: Option<&Frame<'p, 'd>>) -> Option<Expr<'d>> {
        match &e.kind {
            Kind::Number(n, _) => Some(self.r.constant(*n)),
            Kind::Name(name) => self.name(name, e.span, frame),
            // An argument with a prime is reported in the body of the function.
            Kind::Next(name) if frame.is_some_and(|f| f.arguments.contains_key(&**name)) => None,
            Kind::Next(name) => self.lookup_next(name, e.span),
            Kind::Neg(a) => {
                let a = (self.eval(a, frame)?, a.span);
                self.apply(Pointwise::Neg, &[a], "-", e.span, frame)
            }
            Kind::Transpose(a) => {
                let a = (self.eval(a, frame)?, a.span);
                self.apply(Transpose, &[a], ".T", e.span, frame)
            }
            Kind::Infix(first, rest) => self.infix(first, rest, frame),
            Kind::Call(name, args) => self.call(name, args, e.span, frame),
            Kind::Slice(a, ranges) => self.cut(a, ranges, e.span, frame),
            Kind::Brackets(parts) => self.literal(parts, e.span, frame),
        }
    }

    /// Evaluates to a real value.
    pub(super) fn real(&self, e: &'p ast::Expr, frame: Option<&Frame<'p, 'd>>) -> Option<Expr<'d>> {
        let value = self.eval(e, frame)?;
        if value.ty().is_some_and(Type::is_real) {
            return Some(value);
        }
        self.report(self.not_a_number(e.word(), e.span), frame);
        None
    }

    fn not_a_number(&self, name: Option<&str>, span: Span) -> Diagnostic {
        let c = name.unwrap_or("c");
        let help = format!(
            "`gather(v, {c})` is its entry of a vector, `one_hot({c})` a vector with a 1 at its place, `number({c})` its number"
        );
        Diagnostic::at(span, "a class is not a number").help(help)
    }

    fn name(&self, name: &str, span: Span, frame: Option<&Frame<'p, 'd>>) -> Option<Expr<'d>> {
        if let Some(value) = frame.and_then(|f| f.arguments.get(name)) {
            return *value;
        }
        if self.refuses_mask(name, span) {
            return None;
        }
        if let Some(value) = self.lookup(name) {
            return value;
        }
        // A size used as a number: the sum of a vector of ones of that size.
        if let Some(size) = self.dims.get(name) {
            return Some(self.r.constant(1.0).count([*size].into()));
        }
        match name {
            "pi" | "π" => return Some(self.r.constant(std::f64::consts::PI)),
            "step" => return Some(self.r.step()),
            _ => {}
        }
        let inner = frame.map(|f| f.arguments.keys().copied().collect());
        self.undefined(name, span, inner);
        None
    }

    /// A chain of operators of equal precedence, from left to right.
    fn infix(
        &self,
        first: &'p ast::Expr,
        rest: &'p [(Infix, ast::Expr)],
        frame: Option<&Frame<'p, 'd>>,
    ) -> Option<Expr<'d>> {
        let (mut left, mut begun) = match self.as_beside(first) {
            Some(_) if rest[0].0 != Infix::Power => (None, false),
            _ => (self.eval(first, frame), true),
        };
        let mut span = first.span;
        for (op, b) in rest {
            let whole = span.to(b.span);
            left = if *op == Infix::Power {
                left.and_then(|a| self.power((a, span), b, whole, frame))
            } else {
                // Both operands are evaluated, so that errors in both are reported.
                let right = match (begun, self.as_beside(b)) {
                    (false, _) => {
                        let both = self.beside(&[first, b], frame);
                        left = both[0];
                        both[1]
                    }
                    (true, Some(beside)) => {
                        let matrix = match left.and_then(Expr::shape) {
                            Some(Shape::Matrix(m, n)) => Some((m, n)),
                            _ => None,
                        };
                        left.and_then(|_| self.repeated(b.span, beside, matrix, frame))
                    }
                    (true, None) => self.eval(b, frame),
                };
                begun = true;
                left.zip(right)
                    .and_then(|(l, r)| self.operate(*op, (l, span), (r, b.span), whole, frame))
            };
            span = whole;
        }
        left
    }

    fn operate(
        &self,
        op: Infix,
        left: Argument<'d>,
        right: Argument<'d>,
        span: Span,
        frame: Option<&Frame<'p, 'd>>,
    ) -> Option<Expr<'d>> {
        let (left, right) = match op {
            Infix::Equal
            | Infix::Differs
            | Infix::Less
            | Infix::LessEq
            | Infix::Greater
            | Infix::GreaterEq => ((number(left.0), left.1), (number(right.0), right.1)),
            _ => (left, right),
        };
        let (op_row, args) = match op {
            Infix::Add => (Pointwise::Add, [left, right]),
            Infix::Sub => (Pointwise::Sub, [left, right]),
            Infix::Mul => (Pointwise::Mul, [left, right]),
            Infix::Div => (Pointwise::Div, [left, right]),
            Infix::Less => (Pointwise::Less, [left, right]),
            Infix::LessEq => (Pointwise::LessEq, [left, right]),
            Infix::Greater => (Pointwise::Less, [right, left]),
            Infix::GreaterEq => (Pointwise::LessEq, [right, left]),
            Infix::Equal => (Pointwise::Equal, [left, right]),
            Infix::Product | Infix::Power => return self.product(left, right, span, frame),
            Infix::Differs => {
                let equal = self.apply(Pointwise::Equal, &[left, right], "!=", span, frame)?;
                return Some(1.0 - equal);
            }
            Infix::And => {
                let both = [(truth(left.0), left.1), (truth(right.0), right.1)];
                return self.apply(Pointwise::Mul, &both, "and", span, frame);
            }
            // Neither: both are false.
            Infix::Or => {
                let neither = [left, right].map(|(e, span)| (1.0 - truth(e), span));
                let neither = self.apply(Pointwise::Mul, &neither, "or", span, frame)?;
                return Some(1.0 - neither);
            }
        };
        self.apply(op_row, &args, op.text(), span, frame)
    }

    fn power(
        &self,
        base: Argument<'d>,
        b: &'p ast::Expr,
        span: Span,
        frame: Option<&Frame<'p, 'd>>,
    ) -> Option<Expr<'d>> {
        let whole = b.whole();
        let matrix = base.0.shape().is_some_and(|s| s.rank() == 2);
        // These powers have another meaning on paper than entry by entry.
        let help = match (whole, b.word()) {
            (Some(..0), _) => "entry by entry it is `1 / W`, of matrices `inverse(W)`",
            (_, Some("T" | "t")) => "a transpose is written `W.T`",
            _ => "",
        };
        if matrix && !help.is_empty() {
            let text = "a power of a matrix is taken entry by entry";
            self.report(Diagnostic::at(span, text).help(help), frame);
            return None;
        }
        match whole {
            Some(2) => self.apply(Pointwise::Square, &[base], "^", span, frame),
            Some(n) => self.apply(Pointwise::Powi(n), &[base], "^", span, frame),
            None => {
                let exponent = (self.eval(b, frame)?, b.span);
                self.apply(Pointwise::Powf, &[base, exponent], "^", span, frame)
            }
        }
    }

    fn cut(
        &self,
        a: &'p ast::Expr,
        ranges: &'p [Range],
        span: Span,
        frame: Option<&Frame<'p, 'd>>,
    ) -> Option<Expr<'d>> {
        let whole = self.real(a, frame)?;
        let dims = whole.shape()?.dims();
        let refuse = |text: String, help: &str| {
            let found = self.shape_text(whole.shape()?);
            let text = Diagnostic::at(span, text).label(a.span, format!("this is {found}"));
            self.report(text.help(help), frame);
            None
        };
        if self.refuses_index(a, ranges, frame) {
            return None;
        }
        if ranges.len() > dims.len() {
            let most = dims.len();
            let text = format!(
                "too many indices: expected at most {most}, found {}",
                ranges.len()
            );
            if most == 0 {
                let name = a.word().unwrap_or("x");
                let help = at_steps(name, self.is_state(name).unwrap_or(false));
                return refuse(text, &format!("{help}, `last({name})` the last one"));
            }
            return refuse(
                text,
                "entries of a vector are `x[a:b]`, of a matrix `M[a:b, c:d]`",
            );
        }
        let mut value = whole;
        for (i, range) in ranges.iter().enumerate() {
            let axis = if i == 0 { Axis::Rows } else { Axis::Columns };
            if let Some(n) = range
                .start
                .as_ref()
                .and_then(ast::Expr::literal)
                .filter(|n| *n < 0.0)
            {
                let text = format!("the index {n} is negative");
                return refuse(text, "entries are counted from 0, and not from the end");
            }
            let start = match &range.start {
                Some(start) => self.dim(start, frame)?,
                None => Dim::fixed(0),
            };
            let end = match &range.end {
                Some(end) => self.dim(end, frame)?,
                None if range.entry => start + Dim::fixed(1),
                None => dims[i],
            };
            let inside = dims[i].checked_sub(end);
            let Some(len) = end.checked_sub(start).filter(|_| inside.is_some()) else {
                let part = if range.entry { "entry" } else { "slice" };
                let text =
                    format!("the {part} is not inside the value for every size of the dimensions");
                return refuse(
                    text,
                    "entries are counted from 0, `x[a:b]` ends before `b`; of `[H]` only `0:H` is certain, and after `dim H >= 2` the entries 0 and 1 too",
                );
            };
            let op = Slice { axis, start, len };
            value = self.apply(op, &[(value, a.span)], "[…]", span, frame)?;
        }
        // One entry of an axis: the axis is gone.
        let entry = |i: usize| ranges.get(i).is_some_and(|r| r.entry);
        let over = match (entry(0), entry(1)) {
            (false, false) => return Some(value),
            (true, false) if dims.len() == 2 => Over::Axis(Axis::Rows),
            (false, true) => Over::Axis(Axis::Columns),
            _ => Over::All,
        };
        self.apply(Sum(over), &[(value, a.span)], "[…]", span, frame)
    }

    /// Reports an index that is not a size, as in `x[t-1]`; returns true if there is one.
    pub(super) fn refuses_index(
        &self,
        a: &ast::Expr,
        ranges: &'p [Range],
        frame: Option<&Frame<'p, 'd>>,
    ) -> bool {
        let Some(step) = ranges.iter().find_map(|r| self.step_index(r, frame)) else {
            return false;
        };
        let text = "an index counts entries, and is made of numbers and sizes";
        let name = a.word().unwrap_or("x");
        let help = self
            .of_class(a, ranges, frame)
            .unwrap_or_else(|| at_steps(name, self.is_state(name).unwrap_or(false)));
        self.report(Diagnostic::at(step, text).help(help), frame);
        true
    }

    /// The position of an index that is not a size, as in `x[t-1]`.
    fn step_index(&self, range: &'p Range, frame: Option<&Frame<'p, 'd>>) -> Option<Span> {
        let is_argument = |n: &str| frame.is_some_and(|f| f.arguments.contains_key(n));
        let ends = [&range.start, &range.end];
        let end = ends.into_iter().flatten().find(|e| {
            let mentions = Mentions::of(e, &self.functions);
            let mut names = mentions.names.iter();
            names.any(|n| {
                !self.dims.contains_key(n) && !self.program.suspects.contains(*n) && !is_argument(n)
            }) || !mentions.nexts.is_empty()
        })?;
        Some(end.span)
    }

    /// Applies an op, or reports why it does not accept the arguments.
    pub(super) fn apply(
        &self,
        op: impl Into<Op>,
        args: &[Argument<'d>],
        what: &str,
        span: Span,
        frame: Option<&Frame<'p, 'd>>,
    ) -> Option<Expr<'d>> {
        let op = op.into();
        if matches!(&op, Op::Pointwise(op) if !op.is_comparison())
            && let Some((_, of)) = args.iter().find(|(e, _)| self.r.classes_of(*e).is_some())
        {
            self.report(self.not_a_number(self.text(*of), *of), frame);
            return None;
        }
        let aligned = op.spreads().then(|| aligned(args));
        let args = aligned.as_deref().unwrap_or(args);
        let types: Vec<Type> = args.iter().map(|(e, _)| e.ty()).collect::<Option<_>>()?;
        let rate = types.iter().map(|t| t.rate).max().unwrap_or(Rate::Static);
        let held: Vec<Type> = types.iter().map(|t| t.at(rate)).collect();
        match op.infer(&held) {
            Ok(_) => {
                let args: Vec<Expr<'d>> = args.iter().map(|a| a.0).collect();
                let value = Expr::apply(op, &args);
                value.id().is_some().then_some(value)
            }
            Err(reason) => {
                let mut diagnostic = Diagnostic::new(format!("`{what}`: {reason}"));
                for (ty, (_, span)) in types.iter().zip(args) {
                    let text = match ty.kind {
                        Content::Class(_) => "this is a class".into(),
                        Content::Real => format!("this is {}", self.shape_text(ty.shape)),
                    };
                    diagnostic = diagnostic.label(*span, text);
                }
                if args.is_empty() {
                    diagnostic = diagnostic.label(span, "");
                }
                if let Some(help) = remedy(&op, what, &types) {
                    diagnostic = diagnostic.help(help);
                }
                self.report(diagnostic, frame);
                None
            }
        }
    }

    /// Replaces a call by the body of the function.
    pub(super) fn expand(
        &self,
        name: &'p Name,
        args: &'p [ast::Expr],
        span: Span,
        frame: Option<&Frame<'p, 'd>>,
    ) -> Option<Expr<'d>> {
        let function = *self.functions.get(&*name.text)?;
        if self.endless.contains(&*name.text) {
            return None;
        }
        let count = function.parameters.len();
        if count != args.len() {
            self.wrong_count(name, &count.to_string(), args.len(), span, frame);
            return None;
        }
        let values = args.iter().map(|a| self.eval(a, frame));
        let names = || function.parameters.iter().map(|p| &*p.text);
        let whole = names().zip(args).filter(|(_, a)| self.is_whole(a, frame));
        let sizes = names()
            .zip(args)
            .filter_map(|(name, a)| Some((name, self.as_size(a, frame)?)));
        let inner = Frame {
            whole: whole.map(|(name, _)| name).collect(),
            sizes: sizes.collect(),
            arguments: names().zip(values).collect(),
            call: frame.map_or(span, |f| f.call),
        };
        self.eval(&function.body, Some(&inner))
    }

    pub(super) fn wrong_count(
        &self,
        name: &Name,
        expected: &str,
        found: usize,
        span: Span,
        frame: Option<&Frame<'p, 'd>>,
    ) {
        let plural = if expected.ends_with('1') { "" } else { "s" };
        let text = format!(
            "`{}` takes {expected} argument{plural}, found {found}",
            name.text
        );
        let diagnostic = Diagnostic::at(span, text);
        let own = self.functions.get(&*name.text).map(|f| {
            let arguments: Vec<&str> = f.parameters.iter().map(|p| &*p.text).collect();
            format!("it is defined as `{}({})`", name.text, arguments.join(", "))
        });
        let usage = || usage(&name.text, found).or_else(|| row(&name.text)?.usage);
        let help = own.or_else(|| usage().map(Into::into));
        self.report(
            match help {
                Some(help) => diagnostic.help(help),
                None => diagnostic,
            },
            frame,
        );
    }

    /// Returns true if a value is written with whole numbers and sizes only, so that it could be mistaken for a
    /// number of steps.
    pub(super) fn is_whole(&self, e: &ast::Expr, frame: Option<&Frame<'p, 'd>>) -> bool {
        match &e.kind {
            Kind::Number(_, whole) => *whole,
            Kind::Neg(a) => self.is_whole(a, frame),
            Kind::Infix(first, rest) => {
                let sum = |op| matches!(op, Infix::Add | Infix::Sub | Infix::Mul);
                self.is_whole(first, frame)
                    && rest
                        .iter()
                        .all(|(op, b)| sum(*op) && self.is_whole(b, frame))
            }
            Kind::Name(name) => match frame.filter(|f| f.arguments.contains_key(&**name)) {
                Some(frame) => frame.whole.contains(&**name),
                None if self.table.contains_key(&**name) => self.whole.contains_key(&**name),
                None => self.dims.contains_key(&**name),
            },
            _ => false,
        }
    }
}

/// The arguments, with real scalars broadcast to the shape of the first argument that is not a scalar.
fn aligned<'d>(args: &[Argument<'d>]) -> Vec<Argument<'d>> {
    let real = |e: &Expr<'d>| e.ty().is_some_and(Type::is_real);
    let shape = args
        .iter()
        .filter_map(|(e, _)| e.shape())
        .find(|s| *s != Shape::Scalar);
    let spread = |e: Expr<'d>| match shape {
        Some(shape) if e.shape() == Some(Shape::Scalar) && real(&e) => e.spread(shape),
        _ => e,
    };
    args.iter().map(|(e, span)| (spread(*e), *span)).collect()
}

/// The number of a class; another value is itself.
pub(super) fn number(value: Expr<'_>) -> Expr<'_> {
    match value.ty().map(|t| t.kind) {
        Some(Content::Class(count)) => value.numbered(count).gather(value),
        _ => value,
    }
}

/// 1 where a condition holds, else 0; a number that is not zero holds, as in `select`.
pub(super) fn truth(condition: Expr<'_>) -> Expr<'_> {
    match condition.ty().is_some_and(Type::is_real) && !condition.is_flag() {
        true => 1.0 - condition.equal(condition.full_like(0.0)),
        false => condition,
    }
}
