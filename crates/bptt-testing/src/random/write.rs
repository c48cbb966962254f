//! Translates instructions to expressions; every instruction is legal for every pool of values.

mod dense;

use std::sync::Arc;

use bptt::{Axis, CustomOp, Definition, Dim, Direction, Edge, Expr, Rate, Shape, concat};

use super::{Instruction, Reach};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    H,
    K,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Number,
    Vector(Size),
    Matrix(Size, Size),
}

use Form::{Matrix, Number, Vector};
use Size::{H, K};

#[derive(Clone, Copy)]
struct Entry<'d> {
    expr: Expr<'d>,
    form: Form,
    /// A bound on the absolute value of the entries.
    bound: f64,
    /// True if it depends on a state whose next value is not yet set.
    open: bool,
}

/// A definition under construction, and the pool of values.
pub(super) struct Writer<'d> {
    r: &'d Definition,
    h: Dim,
    k: Dim,
    named_sizes: bool,
    reach: Reach,
    places: f64,
    pool: Vec<Entry<'d>>,
    step_class: Expr<'d>,
    sample_class: Expr<'d>,
    weight: Expr<'d>,
    custom: Arc<dyn CustomOp>,
    /// The direction of the open states: those whose next value is not yet set.
    direction: Option<Direction>,
    states: usize,
}

impl<'d> Writer<'d> {
    pub(super) fn new(
        r: &'d Definition,
        [h, k]: [Dim; 2],
        named_sizes: bool,
        reach: Reach,
        places: f64,
        custom: Arc<dyn CustomOp>,
    ) -> Self {
        let mut writer = Self {
            r,
            h,
            k,
            named_sizes,
            reach,
            places,
            pool: Vec::new(),
            step_class: r.class("step_class", h),
            sample_class: r.sample_class("sample_class", k),
            weight: r.input("weight", ()),
            custom,
            direction: None,
            states: 0,
        };
        writer.leaves();
        writer
    }

    pub(super) fn outputs(&self) {
        if let [.., a, b] = self.pool[..] {
            self.r.output("a", a.expr);
            self.r.output("b", b.expr.named("one").named("two"));
            self.r.output("c", self.weight.named("weight_again"));
        }
    }

    fn dim(&self, size: Size) -> Dim {
        if size == H { self.h } else { self.k }
    }

    fn shape(&self, form: Form) -> Shape {
        match form {
            Number => Shape::Scalar,
            Vector(n) => Shape::Vector(self.dim(n)),
            Matrix(m, n) => Shape::Matrix(self.dim(m), self.dim(n)),
        }
    }

    fn leaves(&mut self) {
        let r = self.r;
        let shape = |form| self.shape(form);
        let params = [
            Number,
            Vector(H),
            Vector(K),
            Matrix(H, H),
            Matrix(H, K),
            Matrix(K, K),
        ];
        let names = ["p", "p_h", "p_k", "p_hh", "p_hk", "p_kk"];
        let inputs = [Number, Vector(H), Vector(K)];
        let mut found = Vec::new();
        for (form, name) in params.into_iter().zip(names) {
            found.push((r.param(name, shape(form)), form));
        }
        found.push((found[4].0.t(), Matrix(K, H)));
        for (form, name) in inputs.into_iter().zip(["z", "z_h", "z_k"]) {
            found.push((r.sample_input(name, shape(form)), form));
        }
        for (form, name) in inputs.into_iter().zip(["x", "x_h", "x_k"]) {
            found.push((r.input(name, shape(form)), form));
        }
        r.param("unused", shape(Vector(H)));
        found.push((r.constant(0.75), Number));
        for (expr, form) in found {
            self.pool.push(Entry {
                expr,
                form,
                bound: 1.0,
                open: false,
            });
        }
    }

    /// Chooses a suitable entry; recent ones are more likely, and number 0 is the most recent.
    fn choose(&self, fits: impl Fn(&Entry<'d>) -> bool, number: u8) -> Entry<'d> {
        let found: Vec<&Entry<'d>> = self.pool.iter().rev().filter(|e| fits(e)).collect();
        let number = usize::from(number);
        *found[(number * number * found.len()) >> 16]
    }

    fn pick(&self, form: Form, number: u8) -> Entry<'d> {
        self.choose(|e| e.form == form, number)
    }

    fn vector(&self, number: u8) -> (Entry<'d>, Size) {
        let e = self.choose(|e| matches!(e.form, Vector(_)), number);
        let Vector(n) = e.form else {
            unreachable!("a vector was asked for")
        };
        (e, n)
    }

    fn matrix(&self, number: u8) -> (Entry<'d>, Size, Size) {
        let e = self.choose(|e| matches!(e.form, Matrix(..)), number);
        let Matrix(m, n) = e.form else {
            unreachable!("a matrix was asked for")
        };
        (e, m, n)
    }

    /// `e`, or a value of its form that does not depend on an open state.
    fn closed(&self, e: Entry<'d>, number: u8) -> Entry<'d> {
        if e.open {
            self.choose(|c| c.form == e.form && !c.open, number)
        } else {
            e
        }
    }

    fn push(&mut self, expr: Expr<'d>, form: Form, bound: f64, open: bool) {
        const LARGEST: f64 = 2.0;
        let (expr, bound) = if bound > LARGEST {
            (expr * (LARGEST / bound), LARGEST)
        } else {
            (expr, bound)
        };
        self.pool.push(Entry {
            expr,
            form,
            bound,
            open,
        });
    }

    pub(super) fn phase(
        &mut self,
        states: &[Instruction],
        body: &[Instruction],
        direction: Direction,
    ) {
        self.direction = Some(direction);
        let forms = [Vector(H), Vector(K), Number, Matrix(H, K)];
        let mut open = Vec::new();
        for (form, start, number, _) in states.iter().copied() {
            let form = forms[usize::from(form) % 4];
            let name = format!("s{}", self.states);
            self.states += 1;
            let slow =
                |e: &Entry<'d>| e.form == form && !e.open && e.expr.rate() != Some(Rate::Step);
            let init = self.choose(slow, number).expr;
            let init = match start % 4 {
                0 => None,
                1 => Some(init),
                2 => Some(init.tanh()),
                _ => Some(init.sin()),
            };
            let state = match (direction, init) {
                (Direction::Forward, None) => self.r.state(&name, self.shape(form)),
                (Direction::Forward, Some(init)) => self.r.state_from(&name, init),
                (Direction::Backward, None) => self.r.backward_state(&name, self.shape(form)),
                (Direction::Backward, Some(init)) => self.r.backward_state_from(&name, init),
            };
            self.push(state, form, 2.0, true);
            open.push((state, form));
        }
        body.iter().for_each(|i| self.step(*i));
        for ((state, form), (_, lag, number, kind)) in open.into_iter().zip(states.iter().copied())
        {
            let value = self.pick(form, number).expr;
            let lagged = (0..lag % 3).fold(state, |e, _| self.shift(e, direction));
            let coupled = match form {
                Number => self.pool[0].expr * lagged,
                Vector(H) => self.pool[3].expr.dot(lagged),
                Vector(K) => self.pool[5].expr.dot(lagged),
                Matrix(..) => self.pool[3].expr.dot(lagged),
            };
            let next = match kind % 4 {
                0 => (coupled + value).tanh(),
                1 => (value - lagged).sigmoid(),
                2 => 0.5 * state + 0.5 * (coupled * value).tanh(),
                _ => value.tanh() - 0.25 * coupled.sin(),
            };
            let next = self.r.next(state, next);
            self.push(next, form, 2.0, true);
        }
        self.direction = None;
        self.pool.iter_mut().for_each(|e| e.open = false);
    }

    fn shift(&self, e: Expr<'d>, direction: Direction) -> Expr<'d> {
        match direction {
            Direction::Forward => self.r.delay(e),
            Direction::Backward => self.r.advance(e),
        }
    }

    /// Shifts a value in time; a shift against the direction of the open states requires a closed value.
    fn shifted(&mut self, direction: Direction, (_, a, count, from): Instruction) {
        let mut e = self.choose(|_| true, a);
        if self.direction != Some(direction) {
            e = self.closed(e, a);
        }
        let mut expr = e.expr;
        if direction == Direction::Forward && from % 3 == 0 {
            let slow =
                |c: &Entry<'d>| c.form == e.form && !c.open && c.expr.rate() != Some(Rate::Step);
            expr = self.r.delay_from(expr, self.choose(slow, from).expr);
        }
        for _ in 0..=count % 3 {
            expr = self.shift(expr, direction);
        }
        self.push(expr, e.form, e.bound.max(2.0), e.open);
    }

    pub(super) fn step(&mut self, i: Instruction) {
        match i.0 % 5 {
            0 | 1 => self.pointwise(i),
            2 | 3 => self.linear(i),
            _ => self.other(i),
        }
    }

    fn pointwise(&mut self, (op, a, b, c): Instruction) {
        let a = self.choose(|_| true, a);
        let b = self.pick(a.form, b);
        let (x, y, m, n) = (a.expr, b.expr, a.bound, b.bound);
        let positive = |x: Expr<'d>| x * x + 0.5;
        let largest = m * m + 0.5;
        let unary = |expr, bound| (expr, bound, a.open);
        let binary = |expr, bound| (expr, bound, a.open || b.open);
        let (expr, bound, open) = match op / 5 {
            0 | 1 => binary(x + y, m + n),
            2 => binary(x - y, m + n),
            3..=5 => binary(x * y, m * n),
            6 | 7 => binary(x / positive(y), 2.0 * m),
            8 => unary(-x, m),
            9 => unary((x.tanh() + 2.0).recip(), 1.0),
            10 | 11 => unary(x.exp(), m.exp()),
            12 => unary(positive(x).ln(), largest.ln().max(1.0)),
            13 => unary(positive(x).sqrt(), largest.sqrt()),
            14 => unary(x.square(), m * m),
            15 => match c % 6 {
                0 => unary(x.powi(2), m * m),
                1 => unary(x.powi(3), m.powi(3)),
                2 => unary(x.powi(4), m.powi(4)),
                3 => unary(positive(x).powi(-1), 2.0),
                4 => unary(positive(x).powi(-2), 4.0),
                _ => unary(x.powi(1) + x.powi(0), m + 1.0),
            },
            16..=18 => binary(positive(x).powf(y), largest.powf(n).max(2.0_f64.powf(n))),
            19 => unary(x.sin(), 1.0),
            20 => unary(x.cos(), 1.0),
            21..=23 => unary(x.tanh(), 1.0),
            24 | 25 => unary(x.sigmoid(), 1.0),
            26 | 27 => unary(x.relu(), m),
            28 | 29 => unary(x.softplus(), m + 1.0),
            30 | 31 => unary(x.abs(), m),
            32 => unary(x.sign(), 1.0),
            33..=35 => binary(x.max(y), m.max(n)),
            36..=38 => binary(x.min(y), m.max(n)),
            39 => binary(x.less(y), 1.0),
            40 => binary(x.less_eq(y), 1.0),
            41 => binary(x.equal(x.max(y)), 1.0),
            46..=48 => {
                // Away from whole numbers, at which rounding would decide.
                let between = x + 0.381;
                match c % 17 {
                    0 => unary(x.expm1(), m.exp()),
                    1 => unary(positive(x).log1p(), largest),
                    2 => unary(x.erf(), 1.0),
                    3 => unary(x.erfc(), 2.0),
                    4 => unary(positive(x).lgamma(), largest * largest.ln().max(1.0)),
                    5 => unary(positive(x).digamma(), largest.ln().max(2.0)),
                    6 => unary(positive(x).polygamma(1), 5.0),
                    7 => unary(x.atan(), 1.6),
                    8 => unary((0.9 * x.tanh()).asin(), 1.2),
                    9 => unary((0.9 * x.tanh()).acos(), 2.7),
                    10 => unary(x.sinh(), m.exp()),
                    11 => unary(x.cosh(), m.exp()),
                    12 => unary(x.asinh(), m),
                    13 => binary(x.atan2(positive(y)), 1.6),
                    14 => unary(between.floor(), m + 1.0),
                    15 => unary(between.ceil(), m + 2.0),
                    _ => unary(x.gelu(), m),
                }
            }
            _ => {
                let d = self.pick(a.form, c);
                let expr = x.less(y).select(d.expr, x * y);
                (expr, d.bound.max(m * n), a.open || b.open || d.open)
            }
        };
        self.push(expr, a.form, bound, open);
    }

    fn linear(&mut self, (op, a, b, c): Instruction) {
        const SIZE: f64 = 5.0;
        let size = |one: bool| if one { H } else { K };
        match op / 5 % 17 {
            0 | 1 => {
                let (m, rows, columns) = self.matrix(a);
                let v = self.pick(Vector(columns), b);
                let bound = SIZE * m.bound * v.bound;
                self.push(m.expr.dot(v.expr), Vector(rows), bound, m.open || v.open);
            }
            2 => {
                let (m, rows, columns) = self.matrix(a);
                let v = self.pick(Vector(rows), b);
                let bound = SIZE * m.bound * v.bound;
                self.push(v.expr.dot(m.expr), Vector(columns), bound, m.open || v.open);
            }
            3 => {
                let (m, rows, inner) = self.matrix(a);
                let columns = size(c % 2 == 0);
                let n = self.pick(Matrix(inner, columns), b);
                let bound = SIZE * m.bound * n.bound;
                self.push(
                    m.expr.dot(n.expr),
                    Matrix(rows, columns),
                    bound,
                    m.open || n.open,
                );
            }
            4 => {
                let ((v, m), (w, n)) = (self.vector(a), self.vector(b));
                let bound = v.bound * w.bound;
                self.push(v.expr.outer(w.expr), Matrix(m, n), bound, v.open || w.open);
            }
            5 => {
                let (v, n) = self.vector(a);
                let w = self.pick(Vector(n), b);
                let bound = SIZE * v.bound * w.bound;
                self.push(v.expr.dot(w.expr), Number, bound, v.open || w.open);
            }
            6 => {
                let e = self.choose(|_| true, a);
                let f = self.pick(e.form, b);
                let bound = SIZE * SIZE * e.bound * f.bound;
                self.push(e.expr.inner(f.expr), Number, bound, e.open || f.open);
            }
            7 => {
                let (m, rows, columns) = self.matrix(a);
                self.push(m.expr.t(), Matrix(columns, rows), m.bound, m.open);
            }
            8 => {
                let e = self.choose(|_| true, a);
                self.push(e.expr.sum(), Number, SIZE * SIZE * e.bound, e.open);
            }
            9 => {
                let (m, rows, columns) = self.matrix(a);
                let (axis, n) = if b % 2 == 0 {
                    (Axis::Rows, columns)
                } else {
                    (Axis::Columns, rows)
                };
                self.push(m.expr.sum_axis(axis), Vector(n), SIZE * m.bound, m.open);
            }
            10 => {
                let e = self.pick(Number, a);
                let n = size(b % 2 == 0);
                let form = if c % 2 == 0 {
                    Vector(n)
                } else {
                    Matrix(n, size(c % 4 == 1))
                };
                self.push(e.expr.spread(self.shape(form)), form, e.bound, e.open);
            }
            11 => {
                let ((v, n), count) = (self.vector(a), size(b % 2 == 0));
                let (axis, form) = if c % 2 == 0 {
                    (Axis::Rows, Matrix(count, n))
                } else {
                    (Axis::Columns, Matrix(n, count))
                };
                self.push(v.expr.repeat(axis, self.dim(count)), form, v.bound, v.open);
            }
            12 => {
                let ((v, m), (w, n)) = (self.vector(a), self.vector(b));
                // The first part, the second part, or a part across both.
                let start = match c % 3 {
                    0 => Dim::fixed(0),
                    1 if !self.named_sizes => Dim::fixed(1),
                    _ => self.dim(m),
                };
                let len = if c % 3 == 0 { m } else { n };
                let joined = concat([v.expr, w.expr]);
                let bound = v.bound.max(w.bound);
                self.push(
                    joined.slice(start, self.dim(len)),
                    Vector(len),
                    bound,
                    v.open || w.open,
                );
            }
            13 => {
                let (m, rows, columns) = self.matrix(a);
                let others = size(c % 2 == 0);
                let n = self.pick(Matrix(others, columns), b);
                let joined = concat([m.expr, n.expr]);
                let (start, len) = (self.dim(rows), self.dim(others));
                let bound = m.bound.max(n.bound);
                let (expr, form) = if c % 4 < 2 {
                    (joined.slice(start, len), Matrix(others, columns))
                } else {
                    (
                        joined.t().slice_columns(start, len),
                        Matrix(columns, others),
                    )
                };
                self.push(expr, form, bound, m.open || n.open);
            }
            14 => {
                let n = size(b % 2 == 0);
                let class = self.class(n);
                let (form, result) = match c % 3 {
                    0 => (Vector(n), Number),
                    1 => (Matrix(n, H), Vector(H)),
                    _ => (Matrix(n, K), Vector(K)),
                };
                let e = self.pick(form, a);
                self.push(e.expr.gather(class), result, e.bound, e.open);
            }
            15 => {
                let (n, m) = (size(b % 2 == 0), size(c % 2 == 0));
                let e = self.pick(Matrix(m, n), a);
                self.push(
                    e.expr.gather_column(self.class(n)),
                    Vector(m),
                    e.bound,
                    e.open,
                );
            }
            _ => {
                let n = size(b % 2 == 0);
                let e = self.pick(Number, a);
                let hot = self.class(n).one_hot();
                self.push(hot * e.expr, Vector(n), e.bound, e.open);
            }
        }
    }

    fn class(&self, size: Size) -> Expr<'d> {
        if size == H {
            self.step_class
        } else {
            self.sample_class
        }
    }

    fn other(&mut self, i: Instruction) {
        let (op, a, b, c) = i;
        match op / 5 % 15 {
            0..=2 if c % 3 > 0 => self.dense(i),
            0 => {
                let (v, _) = self.vector(a);
                self.push(v.expr.logsumexp(), Number, v.bound + 2.0, v.open);
            }
            1 => {
                let (v, n) = self.vector(a);
                self.push(v.expr.softmax(), Vector(n), 1.0, v.open);
            }
            2 => {
                let (v, n) = self.vector(a);
                self.push(v.expr.log_softmax(), Vector(n), 2.0 * v.bound + 2.0, v.open);
            }
            3 => {
                let e = self.choose(|_| true, a);
                self.push(
                    Expr::custom(&self.custom, [e.expr]),
                    e.form,
                    e.bound,
                    e.open,
                );
            }
            4..=6 => self.shifted(Direction::Forward, i),
            7 | 8 => self.shifted(Direction::Backward, i),
            13 | 14 if self.reach != Reach::Step => {
                let slow = |e: &Entry<'d>| !e.open && e.expr.rate() != Some(Rate::Step);
                let e = self.choose(slow, a);
                let edge = if b % 2 == 0 { Edge::First } else { Edge::Last };
                let impulse = e.expr.hold(Rate::Sample).impulse(edge);
                self.push(impulse, e.form, e.bound, false);
            }
            edge => {
                let e = self.choose(|_| true, a);
                let e = self.closed(e, b);
                let x = e.expr.hold(Rate::Step);
                // More than the number of places: a sum scaled to a mean would tie with the mean itself, and
                // rounding would decide a comparison of the two.
                let steps = 1.25 * self.places;
                let (expr, bound) = match edge {
                    _ if self.reach == Reach::Step => (x, e.bound),
                    9 => (x.first(), e.bound),
                    10 => (x.last(), e.bound),
                    11 if self.reach == Reach::Batch => (x.total(Rate::Static), steps * e.bound),
                    _ => (x.total(Rate::Sample), steps * e.bound),
                };
                self.push(expr, e.form, bound, false);
            }
        }
    }

    pub(super) fn loss(&mut self, (kind, a, b, c): Instruction) {
        let e = self.choose(|_| true, a);
        let f = self.pick(e.form, b);
        let number = e.expr.inner(f.expr) + self.pick(Number, c).expr;
        let r = self.r;
        // With independent samples, a shared value counts once per sample.
        let number = match (self.reach, number.rate()) {
            (Reach::Sample, Some(Rate::Static)) => number.hold(Rate::Sample),
            _ => number,
        };
        match kind % 8 {
            0 | 1 => r.loss(self.weight * number),
            2 => {
                let cross = self
                    .pick(Vector(H), a)
                    .expr
                    .softmax_cross_entropy(self.step_class);
                r.loss(self.weight * cross);
            }
            3 => r.loss(self.weight * e.expr.squared_error(f.expr)),
            _ if self.reach == Reach::Step => r.loss(self.weight * number.sin()),
            4 => r.final_loss(number),
            5 => r.loss(number),
            _ if self.reach == Reach::Sample => r.final_loss(number.sin()),
            6 => r.mean_loss(number),
            _ => r.mean_final_loss(number),
        }
    }
}
