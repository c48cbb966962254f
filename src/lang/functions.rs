//! The functions of the language: the calls of the op table, and some compositions of them.

use super::ast::{self, Name};
use super::diagnostic::{Diagnostic, Span};
use super::eval::{Argument, Frame, number, truth};
use super::habits::{at_steps, function_elsewhere};
use super::resolve::Resolver;
use super::vocabulary::{is_known, names, row, settings, suggestion};
use crate::op::{
    self, Axis, Concat, Diag, Expr, Gather, Given, Linear, MatMul, Op, Pointwise, Reduce, Reshape,
    Takes, Transpose,
};
use crate::shape::{Dim, Rate, Shape, Type};

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
        // `max(x)` and `max(A, rows)` are over entries.
        let of_entries = match args {
            [_] => true,
            [_, word] => axis(word).is_some() && !self.is_value(word, frame),
            _ => false,
        };
        let text = match text {
            "max" if of_entries => "largest",
            "min" if of_entries => "smallest",
            text => text,
        };
        if let Some(row) = row(text) {
            return call.row(row);
        }
        if is_known(text) {
            return call.composed();
        }
        if let (Some(axis), [vector]) = (Axis::named(text), args) {
            return self.repeated(span, (axis, vector), None, frame);
        }
        self.report_unknown_function(name, args, frame);
        None
    }

    /// Returns true if a word is the name of a value here.
    fn is_value(&self, word: &ast::Expr, frame: Option<&Frame<'p, 'd>>) -> bool {
        let Some(word) = word.word() else {
            return true;
        };
        frame.is_some_and(|f| f.arguments.contains_key(word)) || self.table.contains_key(word)
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
            let beside = Axis::named(text).map(|axis| {
                format!(
                    "beside a matrix, an operand is `{0}(v)`, as in `A + {0}(v)`",
                    axis.text()
                )
            });
            match here.or(beside).or_else(|| function_elsewhere(text, value)) {
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

/// The most steps of `lag`; each is a value that is carried.
const MOST_LAGS: i32 = 1000;

const MEAN: &str = "write `mean(x)`, `mean(A, rows)` or `mean(A, columns)`; the mean over the steps is a loss: `mean loss e`";

const ARGMAX: &str =
    "write `argmax(x)` of a vector, `argmax(A, rows)` or `argmax(A, columns)` of a matrix";

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
        let args: Vec<&ast::Expr> = self.args[..count].iter().collect();
        let values = self.resolver.beside(&args, self.frame);
        let values = values.into_iter().zip(args);
        values
            .map(|(value, arg)| Some((value?, arg.span)))
            .collect()
    }

    fn fail<T>(&self, text: &str) -> Option<T> {
        let diagnostic = Diagnostic::at(self.span, format!("`{}`: {text}", self.name.text));
        self.resolver.report(diagnostic, self.frame);
        None
    }

    fn apply(&self, op: impl Into<Op>, args: &[Argument<'d>]) -> Option<Expr<'d>> {
        self.resolver
            .apply(op, args, &self.name.text, self.span, self.frame)
    }

    /// A call of a row of the table.
    fn row(&self, row: &op::Call) -> Option<Expr<'d>> {
        let (given, values) = self.read(row)?;
        if let ([of, classes], "gather" | "gather_column") = (&values[..], row.name)
            && let Some(count) = self.resolver.r.classes_of(classes.0)
        {
            return self.gathered(*of, *classes, count);
        }
        self.made(row, given, &values)
    }

    /// The settings and the values of a call.
    fn read(&self, row: &op::Call) -> Option<(Given, Vec<Argument<'d>>)> {
        let found = self.args.len();
        let count = match row.values {
            op::Call::MANY => found,
            count => count,
        };
        let most = count + row.settings.len();
        // The axis may be left out, unless its word is there.
        let optional = row.settings.first() == Some(&Takes::AxisIfAny)
            && self.args.get(count).and_then(axis).is_none();
        let absent = optional && found + 1 == most;
        let expected = match (row.values, optional) {
            (op::Call::MANY, _) => "at least 1".into(),
            (_, true) => format!("{} or {most}", most - 1),
            (_, false) => most.to_string(),
        };
        self.counted(absent || found == most && found > 0, &expected)?;
        let mut given = Given::default();
        let settings = row.settings.iter().skip(usize::from(absent));
        for (takes, e) in settings.zip(&self.args[count..]) {
            self.setting(row, *takes, e, &mut given)?;
        }
        Some((given, self.all(count)?))
    }

    /// Reads a setting.
    fn setting(
        &self,
        row: &op::Call,
        takes: Takes,
        e: &ast::Expr,
        given: &mut Given,
    ) -> Option<()> {
        let read = match (takes, &e.kind) {
            (Takes::Axis | Takes::AxisIfAny, _) => axis(e).map(|axis| given.axis = Some(axis)),
            (Takes::Rate, _) => rate(e).map(|rate| given.rate = Some(rate)),
            (Takes::Exponent, _) => e.whole().map(|n| given.exponent = n),
            (Takes::Order, _) => {
                let order = e.whole().filter(|n| (0..i32::MAX).contains(n));
                order.map(|n| given.exponent = n)
            }
            (Takes::Size, _) => {
                given.sizes.push(self.resolver.dim(e, self.frame)?);
                Some(())
            }
            (Takes::Shape, ast::Kind::Brackets(sizes)) => {
                given.shape = Some(self.resolver.shape(sizes, self.frame)?);
                Some(())
            }
            (Takes::Shape, _) => None,
        };
        read.or_else(|| self.fail(&misread(row, takes, e)))
    }

    /// The op of a row of the table with these settings and values.
    fn made(&self, row: &op::Call, mut given: Given, values: &[Argument<'d>]) -> Option<Expr<'d>> {
        given.types = values.iter().map(|v| v.0.ty()).collect::<Option<_>>()?;
        let op = match (row.make)(&given) {
            Ok(op) => op,
            Err(reason) => return self.fail(reason),
        };
        let joins = matches!(op, Op::Linear(Linear::Concat(Concat { axis: Axis::Rows })));
        if joins && given.types.iter().any(|t| t.shape == Shape::Scalar) {
            return self.scalars(values);
        }
        self.apply(op, values)
    }

    fn composed(&self) -> Option<Expr<'d>> {
        match &*self.name.text {
            "delay" | "advance" => self.shifted(),
            "one_hot" => self.one_hot(),
            "mean" => self.mean(),
            "argmax" => self.argmax(),
            "norm" => self.of_one(Expr::norm),
            "trace" => {
                let [matrix] = self.values(1)?[..] else {
                    return None;
                };
                Some(self.apply(Diag, &[matrix])?.sum())
            }
            "vec" => self.columns_below(),
            "eye" => {
                self.counted(self.args.len() == 1, "1")?;
                let size = self.resolver.dim(&self.args[0], self.frame)?;
                Some(
                    self.resolver
                        .r
                        .constant(1.0)
                        .spread(Shape::Vector(size))
                        .diag(),
                )
            }
            "lag" => self.lagged(),
            "not" => {
                self.counted(self.args.len() == 1, "1")?;
                let condition = self.resolver.real(&self.args[0], self.frame)?;
                Some(1.0 - truth(condition))
            }
            "number" => {
                let [(class, _)] = self.values(1)?[..] else {
                    return None;
                };
                let numbers = self.resolver.r.classes_of(class).is_some();
                match class.ty().is_some_and(Type::is_real) {
                    // No derivative passes through the number of a class.
                    true if numbers => Some(class.stop_gradient()),
                    true => self.fail("the argument is a number already, expected a class"),
                    false => Some(number(class)),
                }
            }
            "clamp" => {
                let [x, low, high] = self.values(3)?[..] else {
                    return None;
                };
                let above = (self.apply(Pointwise::Max, &[x, low])?, x.1);
                self.apply(Pointwise::Min, &[above, high])
            }
            "mod" => {
                let [x, of] = self.values(2)?[..] else {
                    return None;
                };
                let whole = (self.apply(Pointwise::Div, &[x, of])?.floor(), x.1);
                let taken = (self.apply(Pointwise::Mul, &[of, whole])?, of.1);
                self.apply(Pointwise::Sub, &[x, taken])
            }
            "log_sigmoid" => self.of_one(Expr::log_sigmoid),
            "silu" => self.of_one(Expr::silu),
            "gelu" => self.of_one(Expr::gelu),
            "elu" => self.of_one(Expr::elu),
            "softsign" => self.of_one(Expr::softsign),
            "hard_sigmoid" => self.of_one(Expr::hard_sigmoid),
            _ => self.loss(),
        }
    }

    /// `one_hot(c)` of a class or of an array of classes, `one_hot(x, n)` of a number or of a vector of numbers.
    fn one_hot(&self) -> Option<Expr<'d>> {
        let [given, count @ ..] = self.args else {
            return self.counted(false, "1 or 2").and(None);
        };
        self.counted(count.len() < 2, "1 or 2")?;
        let value = self.resolver.eval(given, self.frame)?;
        let known = self.resolver.r.classes_of(value);
        let classes = match count {
            [count] => Some(self.resolver.dim(count, self.frame)?),
            _ => known,
        };
        let real = value.ty().is_some_and(Type::is_real);
        match (classes, value.shape()?) {
            (_, _) if !real && count.is_empty() => {
                let one = (self.resolver.r.constant(1.0), self.span);
                self.made(row("scatter")?, Given::default(), &[one, (value, given.span)])
            }
            (Some(n), Shape::Scalar) if real => {
                Some(value.numbered(n).equal(value.spread(Shape::Vector(n))))
            }
            (Some(n), Shape::Vector(_)) => Some(value.one_hot_rows(n)),
            _ if !real => self.fail("the argument is a class, whose size is known: write `one_hot(c)`"),
            _ => self.fail("write `one_hot(c)` of a class, or `one_hot(x, n)` of a number with the number of classes"),
        }
    }

    /// `vec(A)`: the columns of a matrix in a vector.
    fn columns_below(&self) -> Option<Expr<'d>> {
        let [(matrix, span)] = self.values(1)?[..] else {
            return None;
        };
        let (rows, columns) = match matrix.shape()? {
            Shape::Matrix(rows, columns) => (rows, columns),
            shape => {
                let found = self.resolver.shape_text(shape);
                return self.fail(&format!("expected a matrix, found {found}"));
            }
        };
        let size = match (rows.as_fixed(), columns.as_fixed()) {
            (Some(n), _) => columns * n,
            (_, Some(n)) => rows * n,
            _ => {
                let text = "the number of entries is a product of two named sizes; expected a matrix with a number of \
                            rows or columns, as `A[2, K]`";
                return self.fail(text);
            }
        };
        let columns = (self.apply(Transpose, &[(matrix, span)])?, span);
        let shape = Shape::Vector(size);
        self.apply(Reshape { shape }, &[columns])
    }

    /// The entries or rows of an array of classes.
    fn gathered(&self, of: Argument<'d>, classes: Argument<'d>, count: Dim) -> Option<Expr<'d>> {
        let hot = match classes.0.shape()? {
            Shape::Vector(_) => (classes.0.one_hot_rows(count), classes.1),
            _ => return self.fail("only a vector of classes chooses entries or rows"),
        };
        match &*self.name.text {
            "gather" => self.apply(MatMul { strong: false }, &[hot, of]),
            _ => self.apply(MatMul { strong: false }, &[of, (hot.0.t(), hot.1)]),
        }
    }

    /// A function of one array of numbers.
    fn of_one(&self, function: fn(Expr<'d>) -> Expr<'d>) -> Option<Expr<'d>> {
        self.counted(self.args.len() == 1, "1")?;
        Some(function(self.resolver.real(&self.args[0], self.frame)?))
    }

    fn mean(&self) -> Option<Expr<'d>> {
        let (call, given, (value, span)) = self.along("mean", MEAN)?;
        if value.shape() == Some(Shape::Scalar) && value.ty().is_some_and(Type::is_real) {
            let of = self.resolver.text(span).unwrap_or("…");
            let help = format!("the mean over all steps is a loss: `mean loss {of}`");
            let diagnostic = Diagnostic::new("`mean`: the mean of one number is this number")
                .label(span, "this is a scalar");
            self.resolver.report(diagnostic.help(help), self.frame);
            return None;
        }
        let axis = given.axis;
        self.made(&call, given, &[(value, span)])?;
        Some(match axis {
            Some(axis) => value.mean_axis(axis),
            None => value.mean(),
        })
    }

    fn argmax(&self) -> Option<Expr<'d>> {
        let (call, given, (value, span)) = self.along("argmax", ARGMAX)?;
        let (axis, rank) = (given.axis, value.shape()?.rank());
        if rank == 0 || (rank == 2) != axis.is_some() {
            return self.fail(ARGMAX);
        }
        self.made(&call, given, &[(value, span)])?;
        Some(match axis.filter(|_| rank == 2) {
            Some(axis) => value.argmax_along(axis),
            None => value.argmax(),
        })
    }

    /// The setting and the value of a function of an array, or of its rows or columns.
    fn along(
        &self,
        name: &'static str,
        form: &'static str,
    ) -> Option<(op::Call, Given, Argument<'d>)> {
        let sum = settings(name)?;
        let call = op::Call { name, form, ..*sum };
        let (given, values) = self.read(&call)?;
        let [value] = values[..] else {
            return None;
        };
        Some((call, given, value))
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
            None => "a vector of one entry is `[s]`".into(),
        };
        r.report(diagnostic.help(help), self.frame);
        None
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

    /// `lag(x, n)`: the value `n` steps earlier, zero before the first step.
    fn lagged(&self) -> Option<Expr<'d>> {
        let r = self.resolver;
        self.counted(self.args.len() == 2, "2")?;
        let value = r.real(&self.args[0], self.frame)?;
        let steps = match self.args[1].whole() {
            Some(steps @ 0..=MOST_LAGS) => steps,
            _ => {
                let text =
                    format!("write `lag(x, 3)`, with a number of steps from 0 to {MOST_LAGS}");
                return self.fail(&text);
            }
        };
        Some((0..steps).fold(value, |value, _| r.r.delay(value)))
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
            _ => format!("two steps earlier is `lag({name}, 2)`"),
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
        match &*self.name.text {
            "squared_error" => {
                let error = self.apply(Pointwise::Sub, &[a, b])?;
                Some(0.5 * error.square().sum())
            }
            "softmax_cross_entropy" => {
                let log = -self.apply(Reduce::LogSoftmax, &[a])?;
                let axis = Axis::Rows;
                self.apply(Gather { axis }, &[(log, a.1), b])
            }
            _ => {
                let soft = self.apply(Pointwise::Softplus, &[a])?;
                let minus = self.apply(Pointwise::Neg, &[a])?;
                let other = self.apply(Pointwise::Softplus, &[(minus, a.1)])?;
                let yes = self.apply(Pointwise::Mul, &[b, (other, a.1)])?;
                Some((yes + (1.0 - b.0) * soft).sum())
            }
        }
    }
}

/// The axis that a word names.
fn axis(e: &ast::Expr) -> Option<Axis> {
    Axis::named(e.word()?)
}

fn rate(e: &ast::Expr) -> Option<Rate> {
    Rate::held(e.word()?)
}

/// The message about a setting that a row does not take.
fn misread(row: &op::Call, takes: Takes, e: &ast::Expr) -> String {
    let axis = match (takes, e.literal()) {
        (Takes::AxisIfAny, Some(0.0)) => Axis::Rows,
        (Takes::AxisIfAny, Some(1.0 | -1.0)) => Axis::Columns,
        _ => return row.form.into(),
    };
    let more = if row.settings.len() > 1 { ", …" } else { "" };
    let (name, word) = (row.name, axis.text());
    format!("axis {} is written `{name}(A, {word}{more})`", axis.index())
}
