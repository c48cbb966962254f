//! Converts nodes of a graph, at a step, to terms of named values.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexMap;

use crate::derive::algebra::function::{Function, arguments};
use crate::derive::algebra::normal::{
    add, divide, hadamard, inner, neg, product, scale, transpose,
};
use crate::derive::algebra::numbers::numbers_first;
use crate::derive::algebra::shapes::{is_number, size};
use crate::derive::algebra::simplify::summed;
use crate::derive::algebra::span::{part, stacked};
use crate::derive::algebra::term::{Along, Base, Index, Name, Quantity, Span, Term, Time};
use crate::error::{Error, Result};
use crate::op::{Axis, Broadcast, Edge, Linear, NodeId, Op, Over, Pointwise, Sum, Total};
use crate::op::{Notation, RegisterId};
use crate::shape::{Dim, Rate, Shape};
use crate::tape::{Direction, Node, Tape};

/// Converts nodes of a tape to terms.
pub(crate) struct Reader<'a> {
    pub(super) tape: &'a Tape,
    name: &'a str,
    /// The number of registers of the definition; they come first.
    pub(super) defined: usize,
    /// The meanings of nodes: a value, its differential or its δ.
    pub(crate) labels: HashMap<NodeId, (Quantity, Name)>,
    pub(crate) functions: RefCell<IndexMap<Name, Function>>,
}

impl<'a> Reader<'a> {
    /// A reader that knows the names of a tape.
    pub(crate) fn new(tape: &'a Tape, name: &'a str) -> Self {
        let labels = tape.names().map(|(_, id)| {
            (
                id,
                (Quantity::Value, tape.label(id).unwrap_or_default().into()),
            )
        });
        Self {
            tape,
            name,
            defined: tape.registers().len(),
            labels: labels.collect(),
            functions: RefCell::default(),
        }
    }

    fn refuse<T>(&self, reason: impl Into<String>) -> Result<T> {
        Err(Error::NotDerivable {
            recurrence: self.name.into(),
            reason: reason.into(),
        })
    }

    /// The value of a node at a step, by its name if it has one.
    pub(crate) fn term(&self, id: NodeId, at: &Option<Time>) -> Result<Term> {
        let at = self.time(id, at);
        Ok(match self.labels.get(&id) {
            Some((quantity, name)) => quantity.of([name], at),
            None => return self.written(id, &at),
        })
    }

    /// The step of a node if it varies with time.
    fn time(&self, id: NodeId, at: &Option<Time>) -> Option<Time> {
        let step = self.tape.ty(id).rate == Rate::Step;
        at.clone().filter(|_| step)
    }

    /// The named value that a register holds and its distance in steps, if there is one.
    pub(crate) fn held(&self, register: RegisterId) -> Option<(NodeId, i64)> {
        let r = self.tape.register(register);
        let shift = match r.direction() {
            Direction::Forward => -1,
            Direction::Backward => 1,
        };
        let def = r.def()?;
        match *self.tape.node(def).op() {
            _ if self.labels.contains_key(&def) => Some((def, shift)),
            Op::Read(inner) if self.tape.register(inner).direction() == r.direction() => {
                let (id, further) = self.held(inner)?;
                Some((id, further + shift))
            }
            _ => None,
        }
    }

    fn read(&self, register: RegisterId, at: &Option<Time>) -> Result<Term> {
        let Some(at) = at else {
            return self.refuse("a register is read outside of time");
        };
        // A cotangent that a register carries is zero beyond the ends, even if its node is that of a value with an
        // initial value.
        let sent = |id: &NodeId| {
            let value = matches!(self.labels.get(id), Some((Quantity::Value, _)));
            value && register.index() >= self.defined
        };
        if let Some((id, shift)) = self.held(register).filter(|(id, _)| !sent(id)) {
            return match self.starts_otherwise(register) {
                true => self.with_start(register, at),
                false => self.term(id, &Some(at.plus(shift))),
            };
        }
        // A register without a name carries a cotangent; beyond the end it is zero, as δ is.
        let r = self.tape.register(register);
        let Some(def) = r.def().filter(|_| r.init().is_none()) else {
            return self.refuse(format!("`{}` reads both ways in time", r.name()));
        };
        let carried = self.term(def, &Some(at.plus(one_step(r.direction()))))?;
        let parts = match carried {
            Term::Add(parts) => parts,
            one => vec![one],
        };
        // A δ beyond the end is zero, so it needs no condition. A δ that was carried in the other direction before is
        // not beyond the end.
        let ahead = one_step(r.direction());
        let beyond = |of: &Time| of.base != at.base || (of.offset - at.offset) * ahead > 0;
        let (told, sent): (Vec<_>, Vec<_>) = parts
            .into_iter()
            .partition(|part| part.ends_with_deltas(&beyond));
        let sent = match add(sent) {
            Term::Zero => Term::Zero,
            sent => guarded(r.direction(), at, sent),
        };
        Ok(add(told.into_iter().chain([sent])))
    }

    /// Returns true if this register, or one that it carries on, holds the same value as an earlier register with
    /// another initial value.
    pub(crate) fn starts_otherwise(&self, register: RegisterId) -> bool {
        let held = self.held(register);
        let init = |r: RegisterId| self.tape.register(r).init();
        let mut earlier = (0..register.index()).map(RegisterId::new);
        let other = |r: RegisterId| self.held(r) == held && init(r) != init(register);
        let def = self.tape.register(register).def();
        let unnamed = def.filter(|def| !self.labels.contains_key(def));
        let carried_on = unnamed.is_some_and(|def| match *self.tape.node(def).op() {
            Op::Read(inner) => self.starts_otherwise(inner),
            _ => false,
        });
        held.is_some() && (carried_on || earlier.any(other))
    }

    /// A read of a register whose initial value differs from that of others: `[1 < t] v_{t−1}` plus the initial value
    /// at the first step.
    fn with_start(&self, register: RegisterId, at: &Time) -> Result<Term> {
        let r = self.tape.register(register);
        let Some(def) = r.def() else {
            return Ok(Term::Zero);
        };
        let value = self.term(def, &Some(at.plus(one_step(r.direction()))))?;
        let inside = guarded(r.direction(), at, value);
        let Some(init) = r.init().filter(|_| guard(r.direction(), at).is_some()) else {
            return Ok(inside);
        };
        let first = match r.direction() {
            Direction::Forward => Time::at(1),
            Direction::Backward => Time::last(),
        };
        let begins = vec![Term::At(at.clone(), first)];
        Ok(add([inside, scale(begins, Some(self.term(init, &None)?))]))
    }

    /// The scalar that a node broadcasts, if the node is a broadcast.
    fn spread(&self, id: NodeId) -> Option<NodeId> {
        match self.labels.contains_key(&id) {
            true => None,
            false => self.spread_by(id),
        }
    }

    /// The same, whether the node has a name or not.
    fn spread_by(&self, id: NodeId) -> Option<NodeId> {
        let node = self.tape.node(id);
        match node.op() {
            Op::Linear(Linear::Broadcast(b)) if b.over == Over::All && !self.has_one_entry(id) => {
                Some(node.args()[0])
            }
            Op::Time(crate::op::Time::Hold(_)) => self.spread(node.args()[0]),
            _ => None,
        }
    }

    /// The operation of a node in terms of its arguments, without using the node's own name.
    pub(crate) fn written(&self, id: NodeId, at: &Option<Time>) -> Result<Term> {
        let node = self.tape.node(id);
        let args = node.args();
        let arg = |i: usize| self.term(args[i], at);
        let scalar = node.ty().shape == Shape::Scalar;
        if let Some(inner) = self.spread_by(id).filter(|_| !scalar) {
            let factor = self.term(inner, at)?;
            return Ok(scale(vec![factor], Some(Term::Ones)));
        }
        Ok(match node.op() {
            Op::Constant(c) if c.value() == 0.0 => Term::Zero,
            Op::Constant(c) if c.value() < 0.0 => neg(Term::Num(-c.value())),
            Op::Constant(c) => Term::Num(c.value()),
            Op::Leaf(leaf) => {
                Quantity::Value.of([&self.tape.leaf(*leaf).name().into()], at.clone())
            }
            Op::Read(register) => self.read(*register, at)?,
            Op::Pointwise(op) => match op {
                Pointwise::Add => stacked(add([arg(0)?, arg(1)?])),
                Pointwise::Sub => add([arg(0)?, neg(arg(1)?)]),
                Pointwise::Neg => neg(arg(0)?),
                Pointwise::Mul | Pointwise::StrongMul => self.times(args, at, scalar)?,
                Pointwise::Div => match self.spread(args[1]).filter(|_| !scalar) {
                    Some(s) => {
                        let s = divide(Term::Num(1.0), self.term(s, at)?);
                        scale(vec![s], Some(arg(0)?))
                    }
                    None => divide(arg(0)?, arg(1)?),
                },
                Pointwise::Recip => match self.spread(args[0]).filter(|_| !scalar) {
                    Some(s) => {
                        let s = divide(Term::Num(1.0), self.term(s, at)?);
                        scale(vec![s], Some(Term::Ones))
                    }
                    None => divide(if scalar { Term::Num(1.0) } else { Term::Ones }, arg(0)?),
                },
                Pointwise::Square if scalar => Term::Pow(Box::new(arg(0)?), 2),
                Pointwise::Square => hadamard(vec![arg(0)?, arg(0)?]),
                Pointwise::Powi(n) => Term::Pow(Box::new(arg(0)?), *n),
                _ => self.call(id, at)?,
            },
            Op::Linear(op) => self.linear(id, op, at, scalar)?,
            Op::Reduce(_) | Op::Dense(_) | Op::Declared(_) | Op::Custom(_) => self.call(id, at)?,
            Op::Time(op) => self.timed(op, args[0], at)?,
        })
    }

    /// A product: scalars in front, then data, then the linear factor.
    fn times(&self, args: &[NodeId], at: &Option<Time>, scalar: bool) -> Result<Term> {
        let (mut scalars, mut bodies) = (Vec::new(), Vec::new());
        for arg in args {
            match self.spread(*arg).filter(|_| !scalar) {
                Some(inner) => scalars.push(self.term(inner, at)?),
                None if scalar => scalars.push(self.term(*arg, at)?),
                None => match self.term(*arg, at)? {
                    // A scalar times ones.
                    Term::Mul(factors) if self.is_number_of_ones(&factors) => {
                        scalars.extend(factors.into_iter().filter(|f| *f != Term::Ones));
                    }
                    body => bodies.push(body),
                },
            }
        }
        if scalar {
            return Ok(scale(scalars, None));
        }
        let body = match bodies.is_empty() {
            true => Term::Ones,
            false => hadamard(bodies),
        };
        Ok(scale(scalars, Some(body)))
    }

    /// Returns true for a scalar times ones, false for a matrix times ones.
    pub(super) fn is_number_of_ones(&self, factors: &[Term]) -> bool {
        let [numbers @ .., Term::Ones] = factors else {
            return false;
        };
        numbers.iter().all(|f| is_number(f, self.tape))
    }

    /// A product of matrices, with the scalars among the factors in front.
    pub(super) fn product(&self, factors: Vec<Term>) -> Term {
        let (mut scalars, mut rest) = (Vec::new(), Vec::new());
        let mut negative = false;
        for factor in factors {
            let factor = match factor {
                Term::Neg(x) => {
                    negative = !negative;
                    *x
                }
                factor => factor,
            };
            let inner = match factor {
                Term::Mul(inner) => inner,
                factor => vec![factor],
            };
            for factor in inner {
                if factor == Term::Zero || is_number(&factor, self.tape) {
                    scalars.push(factor);
                } else {
                    rest.push(factor);
                }
            }
        }
        let rest = match numbers_first(&Term::Mul(rest), self.tape) {
            Term::Mul(rest) => rest,
            one => vec![one],
        };
        let whole = match (scalars.is_empty(), rest.is_empty()) {
            (true, _) => product(rest),
            (false, true) => scale(scalars, None),
            (false, false) => scale(scalars, Some(product(rest))),
        };
        if negative { neg(whole) } else { whole }
    }

    fn linear(&self, id: NodeId, op: &Linear, at: &Option<Time>, scalar: bool) -> Result<Term> {
        let args = self.tape.node(id).args();
        let arg = |i: usize| self.term(args[i], at);
        let factor = |i: usize| Ok::<_, Error>(self.factor(args[i], arg(i)?, |x| x));
        let turned = |i: usize| Ok::<_, Error>(self.factor(args[i], arg(i)?, transpose));
        Ok(match op {
            Linear::MatMul(_) => self.contracted(factor(0)?, factor(1)?, args[1]),
            Linear::Outer(_) => self.product(vec![arg(0)?, transpose(arg(1)?)]),
            Linear::Transpose(_) => match arg(0)? {
                // Ones take their size from the context.
                filled if self.is_filled(id, &filled) => filled,
                // `(v 𝟏ᵀ)ᵀ = 𝟏 vᵀ`.
                Term::Mul(factors) if factors.last() == Some(&transpose(Term::Ones)) => {
                    self.row(Term::Mul(factors))
                }
                matrix => transpose(matrix),
            },
            Linear::Dot(_) if self.tape.ty(args[0]).shape.rank() == 1 => {
                // The differential or δ comes last.
                let (a, b) = (arg(0)?, arg(1)?);
                let (a, b) = if a.is_linear_part() { (b, a) } else { (a, b) };
                self.contracted(self.row(a), b, args[0])
            }
            Linear::Dot(_) => inner(arg(0)?, arg(1)?),
            Linear::Sum(Sum(Over::All)) if self.has_one_entry(args[0]) => arg(0)?,
            Linear::Sum(Sum(Over::All)) if self.tape.fill(args[0]).is_some() => {
                let count = self.tape.fill(args[0]).unwrap_or_default();
                let names = self.tape.dim_names();
                let dims = self.tape.ty(args[0]).shape.dims();
                let sizes = dims.iter().map(|d| size(*d, &names));
                scale(
                    std::iter::once(Term::Num(count)).chain(sizes).collect(),
                    None,
                )
            }
            Linear::Sum(Sum(Over::All)) if self.tape.ty(args[0]).shape.rank() == 1 => {
                match arg(0)? {
                    Term::Had(xs) if xs.len() == 2 && xs[0] == xs[1] => {
                        Term::Pow(Box::new(Term::Norm(Box::new(xs[0].clone()))), 2)
                    }
                    x => self.sum_of_entries(x),
                }
            }
            Linear::Broadcast(b) if b.over == Over::All && (scalar || self.has_one_entry(id)) => {
                arg(0)?
            }
            Linear::Sum(Sum(Over::All)) => match Self::sum_of_matrix(arg(0)?) {
                Some(found) => found,
                None => self.call(id, at)?,
            },
            Linear::Sum(Sum(Over::Axis(axis))) => match axis {
                Axis::Rows => self.contracted(turned(0)?, Term::Ones, args[0]),
                Axis::Columns => {
                    let columns = self.tape.ty(args[0]).shape.dims().get(1).copied();
                    self.over(factor(0)?, Term::Ones, columns)
                }
            },
            Linear::Broadcast(Broadcast {
                over: Over::Axis(axis),
                ..
            }) => match axis {
                Axis::Rows => self.product(vec![Term::Ones, transpose(arg(0)?)]),
                Axis::Columns => self.product(vec![arg(0)?, transpose(Term::Ones)]),
            },
            Linear::Concat(c) if c.axis == Axis::Rows => {
                let parts: Result<Vec<_>> = (0..args.len()).map(arg).collect();
                let parts = parts?;
                match parts.contains(&Term::Zero) {
                    true => self.placed(id, parts),
                    false => Term::Matrix(parts.into_iter().map(|part| vec![part]).collect()),
                }
            }
            Linear::Concat(_) => {
                let parts: Result<Vec<_>> = (0..args.len()).map(arg).collect();
                Term::Matrix(vec![parts?])
            }
            Linear::Slice(slice) => {
                let along = Self::along(slice.axis);
                let span = Span::new(along, slice.start, slice.len, &self.tape.dim_names());
                part(span, arg(0)?, self.tape)
            }
            Linear::Pad(pad) => {
                let axis = pad.axis;
                let sizes = |id: NodeId| {
                    let shape = self.tape.ty(id).shape.dims();
                    shape.get(axis.index()).copied().unwrap_or(Dim::fixed(1))
                };
                let names = self.tape.dim_names();
                let eye = Term::EyeOf(Box::new(size(sizes(id), &names)));
                let place = |along| {
                    let span = Span::new(along, pad.before, sizes(args[0]), &names);
                    Term::Part(span, Box::new(eye.clone()))
                };
                match axis {
                    Axis::Rows => self.product(vec![place(Along::Columns), factor(0)?]),
                    Axis::Columns => self.product(vec![factor(0)?, place(Along::Rows)]),
                }
            }
            Linear::Gather(gather) => {
                let class = Term::OneHot(Box::new(arg(1)?));
                match gather.axis {
                    Axis::Rows if scalar => self.product(vec![transpose(class), arg(0)?]),
                    Axis::Rows => self.product(vec![turned(0)?, class]),
                    Axis::Columns => self.product(vec![factor(0)?, class]),
                }
            }
            Linear::Scatter(scatter) => {
                let class = Term::OneHot(Box::new(arg(1)?));
                match (scatter.axis, self.tape.ty(args[0]).shape) {
                    (_, Shape::Scalar) => scale(vec![arg(0)?], Some(class)),
                    (Axis::Rows, _) => self.product(vec![class, transpose(arg(0)?)]),
                    (Axis::Columns, _) => self.product(vec![arg(0)?, transpose(class)]),
                }
            }
            Linear::Diag(_) if self.tape.ty(args[0]).shape.rank() == 1 => match arg(0)? {
                Term::Zero => Term::Zero,
                vector => Term::Diag(Box::new(vector)),
            },
            Linear::Alias(_) => arg(0)?,
            Linear::Select(_) => self.selected(id, at, scalar)?,
            _ => self.call(id, at)?,
        })
    }

    const fn along(axis: Axis) -> Along {
        match axis {
            Axis::Rows => Along::Rows,
            Axis::Columns => Along::Columns,
        }
    }

    /// A selection: `[c ≠ 0] a + [c = 0] b`.
    fn selected(&self, id: NodeId, at: &Option<Time>, scalar: bool) -> Result<Term> {
        let node = self.tape.node(id);
        let [condition, yes, no] = node.args() else {
            return self.refuse("a choice is not between two values");
        };
        let number = self.spread(*condition).filter(|_| !scalar);
        let asked = self.term(number.unwrap_or(*condition), at)?;
        let one_number = scalar || number.is_some();
        let comparisons = [Pointwise::Less, Pointwise::Equal];
        let (then, otherwise) = match asked {
            // A comparison is 0 or 1 already.
            holds
                if comparisons
                    .iter()
                    .any(|op| arguments(&holds, *op).is_some()) =>
            {
                let one = if one_number {
                    Term::Num(1.0)
                } else {
                    Term::Ones
                };
                (holds.clone(), add([one, neg(holds)]))
            }
            of => {
                let select: Name = node.op().name().into();
                self.known(&select, node);
                let by = |xs: [Term; 3]| Term::Call(Arc::clone(&select), xs.into());
                let then = by([of.clone(), Term::Ones, Term::Zero]);
                (then, by([of, Term::Zero, Term::Ones]))
            }
        };
        let part = |chosen: Term, value: Term| match one_number {
            true => scale(vec![chosen], Some(value)),
            false => hadamard(vec![chosen, value]),
        };
        let (yes, no) = (self.term(*yes, at)?, self.term(*no, at)?);
        Ok(add([part(then, yes), part(otherwise, no)]))
    }

    /// Records the op of a function and the ranks of its arguments.
    fn known(&self, name: &Name, node: &Node) {
        let rank = |id: &NodeId| match self.tape.ty(*id).kind {
            crate::shape::Kind::Real => self.tape.ty(*id).shape.rank(),
            crate::shape::Kind::Class(_) => usize::MAX,
        };
        let function = Function {
            op: node.op().clone(),
            ranks: node.args().iter().map(rank).collect(),
        };
        let mut functions = self.functions.borrow_mut();
        functions.entry(Arc::clone(name)).or_insert(function);
    }

    fn timed(&self, op: &crate::op::Time, arg: NodeId, at: &Option<Time>) -> Result<Term> {
        use crate::op::Time as T;
        Ok(match op {
            T::Hold(_) => self.term(arg, at)?,
            T::Total(Total(_)) if self.tape.ty(arg).rate != Rate::Step => self.term(arg, &None)?,
            T::Total(_) => {
                if let Some(n) = self.tape.fill(arg) {
                    let ones = self.tape.ty(arg).shape != Shape::Scalar;
                    let total = vec![Term::Num(n), Quantity::Length.of([], [])];
                    return Ok(scale(total, ones.then_some(Term::Ones)));
                }
                let used = |c: char| at.as_ref().is_some_and(|t| t.base == Base::Var(c));
                let var = if used('t') { 's' } else { 't' };
                let sum = |body| summed(Index::all(var), body);
                match self.term(arg, &Some(Time::var(var)))? {
                    // A sum of numbers times ones is a number times ones.
                    Term::Mul(mut factors) if self.is_number_of_ones(&factors) => {
                        factors.pop();
                        scale(vec![sum(scale(factors, None))], Some(Term::Ones))
                    }
                    body => sum(body),
                }
            }
            T::Pool(_) => {
                return self.refuse(
                    "a sum over samples stands in it, and a derivation is that of one sample",
                );
            }
            T::Pick(pick) => self.term(arg, &Some(step_at(pick.0)))?,
            T::Impulse(impulse) => {
                let end = step_at(impulse.0);
                let Some(at) = at else {
                    return self.refuse("an impulse stands outside of time");
                };
                let body = self.term(arg, &None)?;
                scale(vec![Term::At(at.clone(), end)], Some(body))
            }
        })
    }

    /// A function call.
    fn call(&self, id: NodeId, at: &Option<Time>) -> Result<Term> {
        let node = self.tape.node(id);
        let args: Result<Vec<Term>> = node.args().iter().map(|a| self.term(*a, at)).collect();
        let args = args?;
        let settings = match node.op().notation() {
            Notation::Call { settings, .. } => settings,
            _ => Vec::new(),
        };
        let dims = self.tape.dim_names();
        let settings = settings.iter().map(|s| s.text(&|d| d.text(&dims)));
        let settings: Vec<String> = settings.collect();
        let name: Name = match &settings[..] {
            [] => node.op().name().into(),
            all => format!("{}:{}", node.op().name(), all.join(",")).into(),
        };
        self.known(&name, node);
        // A function of equal entries is one number times ones.
        let filled = |(id, x): (&NodeId, &Term)| *x == Term::Zero || self.is_filled(*id, x);
        let pointwise = matches!(node.op(), Op::Pointwise(_)) && node.ty().shape != Shape::Scalar;
        if pointwise && node.args().iter().zip(&args).all(filled) {
            let numbers = args.into_iter().map(Self::number_of).collect();
            return Ok(scale(vec![Term::Call(name, numbers)], Some(Term::Ones)));
        }
        Ok(Term::Call(name, args))
    }
}

/// The first or the last step.
pub(crate) const fn step_at(edge: Edge) -> Time {
    match edge {
        Edge::First => Time::at(1),
        Edge::Last => Time::last(),
    }
}

/// The distance to the step from which a register of this direction is read.
const fn one_step(direction: Direction) -> i64 {
    match direction {
        Direction::Forward => -1,
        Direction::Backward => 1,
    }
}

/// The condition that a value is carried to step `at`; `None` if it always holds.
fn guard(direction: Direction, at: &Time) -> Option<Term> {
    let ahead = one_step(direction);
    let always = matches!(at.base, Base::Var(_)) && at.offset * ahead < 0;
    (!always).then(|| match direction {
        Direction::Forward => Term::Before(Time::at(1), at.clone()),
        Direction::Backward => Term::Before(at.clone(), Time::last()),
    })
}

/// A carried value times its condition, unless it already has a stronger one.
fn guarded(direction: Direction, at: &Time, carried: Term) -> Term {
    let stronger = guard(direction, &at.plus(one_step(direction)));
    let stands = |f: &Term| stronger.as_ref() == Some(f);
    match carried.unsigned() {
        Term::Mul(factors) if factors.iter().any(stands) => carried,
        _ => scale(guard(direction, at).into_iter().collect(), Some(carried)),
    }
}
