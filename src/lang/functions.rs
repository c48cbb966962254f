//! The functions of the language: all rows of the op table, and some compositions of them.

use super::ast::{self, Name};
use super::diagnostic::{Diagnostic, Span};
use super::eval::{Argument, Frame};
use super::habits::{at_steps, function_elsewhere};
use super::resolve::Resolver;
use super::vocabulary::{OTHERS, names, pointwise, reduce, suggestion};
use crate::op::{
    Axis, Broadcast, Concat, Dot, Edge, Expr, Gather, Hold, Impulse, Linear, MatMul, Op, Outer,
    Over, Pad, Pick, Pointwise, Reduce, Scatter, Slice, Sum, Time, Total, Transpose,
};
use crate::shape::{Dim, Kind, Rate, Shape, Type};

impl<'d, 'p> Resolver<'d, 'p> {
    /// A call of a function defined in the file or built into the language.
    pub(super) fn call(
        &self,
        name: &'p Name,
        args: &'p [ast::Expr],
        span: Span,
        frame: Option<&Frame<'p, 'd>>,
    ) -> Option<Expr<'d>> {
        let text = &*name.text;
        if self.functions.contains_key(text) {
            return self.expand(name, args, span, frame);
        }
        let call = Call {
            resolver: self,
            name,
            args,
            span,
            frame,
        };
        if let Some(op) = pointwise(text) {
            let values = call.values(op.arity())?;
            return self.pointwise(op, &values, text, span, frame);
        }
        if let Some(op) = reduce(text) {
            return call.op(Op::Reduce(op), 1);
        }
        if OTHERS.contains(&text) {
            return call.other();
        }
        self.report_unknown_function(name, args, frame);
        None
    }

    pub(super) fn report_unknown_function(
        &self,
        name: &Name,
        args: &'p [ast::Expr],
        frame: Option<&Frame<'p, 'd>>,
    ) {
        let text = &*name.text;
        if self.is_reported(text) {
            return;
        }
        let diagnostic = if let Some(state) = self.is_state(text) {
            let help = format!(
                "a product is written `{text} * (…)`; {}",
                at_steps(text, state)
            );
            let text = format!("`{text}` is a value and cannot be called");
            Diagnostic::at(name.span, text).help(help)
        } else {
            let unknown = Diagnostic::at(name.span, format!("there is no function `{text}`"));
            let value = |name: &str| self.table.contains_key(name);
            let here = self.of_entries(text, args, frame);
            match here.or_else(|| function_elsewhere(text, value)) {
                Some(here) => unknown.help(here),
                None => {
                    let known = names().chain(self.functions.keys().copied());
                    unknown.suggest(suggestion(text, known))
                }
            }
        };
        self.report(diagnostic, frame);
    }
}

struct Call<'c, 'd, 'p> {
    resolver: &'c Resolver<'d, 'p>,
    name: &'p Name,
    args: &'p [ast::Expr],
    span: Span,
    frame: Option<&'c Frame<'p, 'd>>,
}

impl<'d> Call<'_, 'd, '_> {
    fn counted(&self, fits: bool, expected: &str) -> Option<()> {
        if !fits {
            let found = self.args.len();
            self.resolver
                .wrong_count(self.name, expected, found, self.span, self.frame);
        }
        fits.then_some(())
    }

    /// The values of the arguments, of which there must be `count`.
    fn values(&self, count: usize) -> Option<Vec<Argument<'d>>> {
        self.counted(self.args.len() == count, &count.to_string())?;
        self.all(self.args.len())
    }

    /// The values of the first `count` arguments.
    fn all(&self, count: usize) -> Option<Vec<Argument<'d>>> {
        let args = self.args[..count].iter();
        let values: Vec<_> = args
            .map(|a| Some((self.resolver.eval(a, self.frame)?, a.span)))
            .collect();
        values.into_iter().collect()
    }

    fn fail(&self, text: &str) -> Option<Expr<'d>> {
        let diagnostic = Diagnostic::at(self.span, format!("`{}`: {text}", self.name.text));
        self.resolver.report(diagnostic, self.frame);
        None
    }

    fn apply(&self, op: Op, args: &[Argument<'d>]) -> Option<Expr<'d>> {
        self.resolver
            .apply(op, args, &self.name.text, self.span, self.frame)
    }

    fn op(&self, op: Op, count: usize) -> Option<Expr<'d>> {
        let values = self.values(count)?;
        self.apply(op, &values)
    }

    fn linear(&self, op: Linear, count: usize) -> Option<Expr<'d>> {
        self.op(Op::Linear(op), count)
    }

    /// The axis named by argument `i`, `rows` or `columns`.
    fn axis(&self, i: usize) -> Option<Axis> {
        Axis::named(self.args.get(i)?.word()?)
    }

    /// `f(x, from, to)` or `f(x, axis, from, to)`.
    fn placed(&self, op: impl FnOnce(Axis, Dim, Dim) -> Linear) -> Option<Expr<'d>> {
        let axis = self.axis(1);
        let skip = 1 + usize::from(axis.is_some());
        self.counted(
            self.args.len() == skip + 2,
            "a value, perhaps an axis, and 2",
        )?;
        let dim = |i: usize| self.resolver.dim(&self.args[skip + i]);
        let (from, to) = (dim(0)?, dim(1)?);
        let op = op(axis.unwrap_or(Axis::Rows), from, to);
        self.apply(Op::Linear(op), &self.all(1)?)
    }

    fn other(&self) -> Option<Expr<'d>> {
        let r = self.resolver;
        match &*self.name.text {
            "powi" => {
                self.counted(self.args.len() == 2, "2")?;
                let n = self.args[1].literal().filter(|n| n.fract() == 0.0);
                let Some(n) = n.and_then(|n| format!("{n}").parse().ok()) else {
                    return self.fail(
                        "the exponent must be a whole number from -2147483648 to 2147483647; \
                         `pow(x, a)` takes any other",
                    );
                };
                self.apply(Op::Pointwise(Pointwise::Powi(n)), &self.all(1)?)
            }
            "matmul" => self.linear(Linear::MatMul(MatMul { strong: false }), 2),
            "dot" => {
                let values = self.values(2)?;
                if values.iter().all(|v| v.0.shape() == Some(Shape::Scalar)) {
                    return r.pointwise(Pointwise::Mul, &values, "dot", self.span, self.frame);
                }
                self.apply(Op::Linear(Linear::Dot(Dot)), &values)
            }
            "outer" => self.linear(Linear::Outer(Outer { strong: false }), 2),
            "strong_matmul" => self.linear(Linear::MatMul(MatMul { strong: true }), 2),
            "strong_outer" => self.linear(Linear::Outer(Outer { strong: true }), 2),
            "transpose" => self.linear(Linear::Transpose(Transpose), 1),
            "sum" => self.sum(),
            "spread" => self.spread(),
            "repeat" => self.repeat(),
            "concat" | "concat_columns" => {
                self.counted(!self.args.is_empty(), "at least 1")?;
                let axis = match &*self.name.text {
                    "concat" => Axis::Rows,
                    _ => Axis::Columns,
                };
                let values = self.values(self.args.len())?;
                let scalar = values.iter().any(|v| v.0.shape() == Some(Shape::Scalar));
                if axis == Axis::Rows && scalar {
                    return self.scalars(&values);
                }
                self.apply(Op::Linear(Linear::Concat(Concat { axis })), &values)
            }
            "slice" => self.placed(|axis, start, len| Linear::Slice(Slice { axis, start, len })),
            "pad" => self.placed(|axis, before, after| {
                Linear::Pad(Pad {
                    axis,
                    before,
                    after,
                })
            }),
            "gather" => self.linear(Linear::Gather(Gather { axis: Axis::Rows }), 2),
            "gather_column" => {
                let axis = Axis::Columns;
                self.linear(Linear::Gather(Gather { axis }), 2)
            }
            "scatter" => self.scatter(Axis::Rows, self.values(2)?),
            "scatter_column" => self.scatter(Axis::Columns, self.values(2)?),
            "one_hot" => {
                let class = self.values(1)?;
                let one = (r.r.constant(1.0), self.span);
                self.scatter(Axis::Rows, vec![one, class[0]])
            }
            "select" => r.select(&self.values(3)?, self.span, self.frame),
            "log_sigmoid" => {
                let minus = self.op(Op::Pointwise(Pointwise::Neg), 1)?;
                Some(-minus.softplus())
            }
            _ => self.in_time(),
        }
    }

    /// Reports `concat(a, b)` of scalars.
    fn scalars(&self, values: &[Argument<'d>]) -> Option<Expr<'d>> {
        let r = self.resolver;
        let mut diagnostic = Diagnostic::new("`concat`: a scalar cannot be joined to others");
        for (value, span) in values {
            let text = format!("this is {}", r.shape_text(value.shape()?));
            diagnostic = diagnostic.label(*span, text);
        }
        let help = match r.joined(self.args, self.frame) {
            Some(vector) => format!("as vectors they are joined: `{vector}`"),
            None => "a vector of one entry is `spread(s, [1])`".into(),
        };
        r.report(diagnostic.help(help), self.frame);
        None
    }

    fn in_time(&self) -> Option<Expr<'d>> {
        let time = |op| self.op(Op::Time(op), 1);
        match &*self.name.text {
            "hold" => {
                self.counted(self.args.len() == 2, "2")?;
                let Some(rate) = self.args[1].word().and_then(Rate::held) else {
                    return self.fail("write `hold(x, step)` or `hold(x, sample)`");
                };
                let value = self.all(1)?;
                if value[0].0.rate() == Some(rate) {
                    return Some(value[0].0);
                }
                self.apply(Op::Time(Time::Hold(Hold(rate))), &value)
            }
            "total" => time(Time::Total(Total(Rate::Static))),
            "total_steps" => time(Time::Total(Total(Rate::Sample))),
            "first" => time(Time::Pick(Pick(Edge::First))),
            "last" => time(Time::Pick(Pick(Edge::Last))),
            "impulse_first" => time(Time::Impulse(Impulse(Edge::First))),
            "impulse_last" => time(Time::Impulse(Impulse(Edge::Last))),
            "delay" | "advance" => self.shifted(),
            _ => self.loss(),
        }
    }

    fn sum(&self) -> Option<Expr<'d>> {
        self.counted(matches!(self.args.len(), 1 | 2), "1 or 2")?;
        let over = match (self.args.len(), self.axis(1)) {
            (1, _) => Over::All,
            (_, Some(axis)) => Over::Axis(axis),
            _ => match self.args[1].literal() {
                Some(0.0) => return self.fail("axis 0 is written `sum(A, rows)`"),
                Some(1.0 | -1.0) => return self.fail("axis 1 is written `sum(A, columns)`"),
                _ => {
                    return self.fail(
                        "write `sum(x)`, `sum(A, rows)` or `sum(A, columns)`; a sum over the steps is \
                         `total_steps(x)`",
                    );
                }
            },
        };
        let value = self.all(1)?;
        if over == Over::All && value[0].0.ty() == value[0].0.rate().map(|r| Type::real((), r)) {
            return Some(value[0].0);
        }
        self.apply(Op::Linear(Linear::Sum(Sum(over))), &value)
    }

    fn spread(&self) -> Option<Expr<'d>> {
        self.counted(self.args.len() == 2, "2")?;
        let ast::Kind::Shape(sizes) = &self.args[1].kind else {
            return self.fail("write the shape in brackets: `spread(x, [H, K])`");
        };
        let shape = self.resolver.shape(sizes)?;
        let over = Over::All;
        let op = Linear::Broadcast(Broadcast { shape, over });
        self.apply(Op::Linear(op), &self.all(1)?)
    }

    fn repeat(&self) -> Option<Expr<'d>> {
        self.counted(self.args.len() == 3, "3")?;
        let Some(axis) = self.axis(1) else {
            return self.fail("write `repeat(v, rows, n)` or `repeat(v, columns, n)`");
        };
        let count = self.resolver.dim(&self.args[2])?;
        let value = self.all(1)?;
        let Some(Shape::Vector(n)) = value[0].0.shape() else {
            return self.fail("only a vector can be repeated into a matrix");
        };
        let shape = match axis {
            Axis::Rows => Shape::Matrix(count, n),
            Axis::Columns => Shape::Matrix(n, count),
        };
        let over = Over::Axis(axis);
        self.apply(
            Op::Linear(Linear::Broadcast(Broadcast { shape, over })),
            &value,
        )
    }

    fn scatter(&self, axis: Axis, values: Vec<Argument<'d>>) -> Option<Expr<'d>> {
        let Some(Kind::Class(len)) = values[1].0.ty().map(|t| t.kind) else {
            return self.fail("expected a class, found a real value");
        };
        self.apply(Op::Linear(Linear::Scatter(Scatter { axis, len })), &values)
    }

    fn shifted(&self) -> Option<Expr<'d>> {
        let r = self.resolver;
        let delay = self.name.text == "delay";
        let two = delay && self.args.len() == 2;
        let expected = if delay { "1 or 2" } else { "1" };
        self.counted(two || self.args.len() == 1, expected)?;
        let value = r.real(&self.args[0], self.frame)?;
        if !delay {
            return Some(r.r.advance(value));
        }
        if !two {
            return Some(r.r.delay(value));
        }
        if r.is_whole(&self.args[1], self.frame) {
            return self.lag();
        }
        let mut init = r.real(&self.args[1], self.frame)?;
        let shape = value.shape()?;
        if init.shape() == Some(Shape::Scalar) {
            init = init.spread(shape);
        }
        if init.rate() == Some(Rate::Step) {
            return self.fail("the start varies with the step; use `first(…)` or `last(…)` of it");
        }
        if init.shape() != Some(shape) {
            let (expected, found) = (r.shape_text(shape), r.shape_text(init.shape()?));
            return self.fail(&format!(
                "expected a start that is {expected}, found {found}"
            ));
        }
        Some(r.r.delay_from(value, init))
    }

    /// Reports `delay(x, 2)`, which could mean an initial value of two or a delay of two steps.
    fn lag(&self) -> Option<Expr<'d>> {
        let r = self.resolver;
        let name = self.args[0].word().unwrap_or("x");
        let constant = self.args[1].word().filter(|_| self.frame.is_none());
        let constant = constant.filter(|k| r.whole.contains_key(k));
        let number = match constant {
            Some(k) => r.whole.get(k).copied().flatten(),
            None => self.args[1].literal(),
        };
        let steps = match number {
            Some(n) if n < 0.0 => format!("a later value is `advance({name})`"),
            Some(0.0) => format!("`delay({name})` starts at zero"),
            Some(1.0) => format!("one step earlier is `delay({name})`"),
            _ => format!("two steps earlier is `delay(delay({name}))`"),
        };
        let start = match (constant, number) {
            (Some(k), Some(n)) => format!("{k} = {n:.1}"),
            (Some(k), None) => format!("delay({name}, 1.0 * {k})"),
            (None, Some(n)) => format!("delay({name}, {n:.1})"),
            (None, None) => format!("delay({name}, 1.0 * (…))"),
        };
        let text = "`delay`: the second argument is the start, not a number of steps";
        let help = format!("{steps}; a start has a point: `{start}`");
        let diagnostic = Diagnostic::at(self.args[1].span, text).help(help);
        r.report(diagnostic, self.frame);
        None
    }

    fn loss(&self) -> Option<Expr<'d>> {
        let values = self.values(2)?;
        let [a, b] = [values[0], values[1]];
        let r = self.resolver;
        let pointwise =
            |op, args: &[_]| r.pointwise(op, args, &self.name.text, self.span, self.frame);
        match &*self.name.text {
            "squared_error" => {
                let error = pointwise(Pointwise::Sub, &[a, b])?;
                Some(0.5 * error.square().sum())
            }
            "softmax_cross_entropy" => {
                let log = -self.apply(Op::Reduce(Reduce::LogSoftmax), &[a])?;
                let axis = Axis::Rows;
                self.apply(
                    Op::Linear(Linear::Gather(Gather { axis })),
                    &[(log, a.1), b],
                )
            }
            _ => {
                let soft = pointwise(Pointwise::Softplus, &[a])?;
                let minus = pointwise(Pointwise::Neg, &[a])?;
                let other = pointwise(Pointwise::Softplus, &[(minus, a.1)])?;
                let yes = pointwise(Pointwise::Mul, &[b, (other, a.1)])?;
                Some((yes + (1.0 - b.0) * soft).sum())
            }
        }
    }
}
