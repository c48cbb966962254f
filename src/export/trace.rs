//! The expression of a pointwise op, made by calling its row with symbols in the place of numbers.
//!
//! So an op is written once: a new row is exported without a line here.

use std::cell::RefCell;
use std::ops::{Add, Div, Mul, Neg, Sub};

use super::tree::{Primitive, Tree};
use crate::op::{Entry, EntryVisitor, Number, Pointwise};

/// The operations that a row has called so far.
struct Calls {
    op: Pointwise,
    made: RefCell<Vec<(Primitive, Vec<Source>)>>,
}

/// The source of an argument.
#[derive(Clone, Copy)]
enum Source {
    Number(f64),
    Argument(usize),
    Call(usize),
}

/// A symbol in the place of a number; a constant of a row knows no calls.
#[derive(Clone, Copy)]
struct Symbol<'c> {
    source: Source,
    calls: Option<&'c Calls>,
}

impl<'c> Symbol<'c> {
    fn call<const N: usize>(primitive: Primitive, args: [Self; N]) -> Self {
        let calls = args.iter().find_map(|a| a.calls);
        let calls = calls.expect("an operation of a row has an argument of the row");
        let sources = args.iter().map(|a| a.source);
        calls.made.borrow_mut().push((primitive, sources.collect()));
        let index = calls.made.borrow().len() - 1;
        Self {
            source: Source::Call(index),
            calls: Some(calls),
        }
    }

    fn one(self, primitive: Primitive) -> Self {
        Self::call(primitive, [self])
    }

    fn two(self, primitive: Primitive, other: Self) -> Self {
        Self::call(primitive, [self, other])
    }
}

macro_rules! operator {
    ($($of:ident $method:ident),+) => {
        $(impl $of for Symbol<'_> {
            type Output = Self;
            fn $method(self, other: Self) -> Self {
                self.two(Primitive::$of, other)
            }
        })+
    };
}

operator!(Add add, Sub sub, Mul mul, Div div);

impl Neg for Symbol<'_> {
    type Output = Self;
    fn neg(self) -> Self {
        self.one(Primitive::Neg)
    }
}

impl Number for Symbol<'_> {
    fn of(x: f64) -> Self {
        Self {
            source: Source::Number(x),
            calls: None,
        }
    }
    fn recip(self) -> Self {
        Self::of(1.0) / self
    }
    fn exp(self) -> Self {
        self.one(Primitive::Exp)
    }
    fn ln(self) -> Self {
        self.one(Primitive::Ln)
    }
    fn sqrt(self) -> Self {
        self.one(Primitive::Sqrt)
    }
    fn powi(self, n: i32) -> Self {
        self.one(Primitive::Powi(n))
    }
    fn powf(self, p: Self) -> Self {
        self.two(Primitive::Powf, p)
    }
    fn sin(self) -> Self {
        self.one(Primitive::Sin)
    }
    fn cos(self) -> Self {
        self.one(Primitive::Cos)
    }
    fn tanh(self) -> Self {
        self.one(Primitive::Tanh)
    }
    fn sigmoid(self) -> Self {
        self.one(Primitive::Sigmoid)
    }
    fn softplus(self) -> Self {
        self.one(Primitive::Softplus)
    }
    fn abs(self) -> Self {
        self.one(Primitive::Abs)
    }
    fn sign(self) -> Self {
        self.one(Primitive::Sign)
    }
    fn larger(self, other: Self) -> Self {
        self.two(Primitive::Larger, other)
    }
    fn less(self, other: Self) -> Self {
        self.two(Primitive::Less, other)
    }
    fn less_eq(self, other: Self) -> Self {
        self.two(Primitive::LessEq, other)
    }
    fn equal(self, other: Self) -> Self {
        self.two(Primitive::Equal, other)
    }
    fn strong_mul(self, other: Self) -> Self {
        self.two(Primitive::StrongMul, other)
    }
    /// A function of numbers has the name of its row in every language.
    fn with(self, other: Self, _: fn([f64; 2]) -> f64) -> Self {
        let op = self.calls.map(|calls| calls.op);
        let op = op.expect("a function of a row has an argument of the row");
        let primitive = Primitive::Function(op.name());
        // A setting is a number.
        match op.arity() == 2 || other.calls.is_none() {
            true => self.two(primitive, other),
            false => self.one(primitive),
        }
    }
}

struct Trace<'c>([Symbol<'c>; 2]);

impl<'c> EntryVisitor for Trace<'c> {
    type Output = Symbol<'c>;
    fn visit<E: Entry>(self, entry: E) -> Symbol<'c> {
        entry.call(self.0)
    }
}

/// The expression of an op on these arguments.
pub(super) fn traced(op: Pointwise, args: [Tree; 2]) -> Tree {
    let calls = Calls {
        op,
        made: RefCell::default(),
    };
    let argument = |index| Symbol {
        source: Source::Argument(index),
        calls: Some(&calls),
    };
    let found = op.visit(Trace([argument(0), argument(1)])).source;
    tree(found, &calls.made.borrow(), &args)
}

fn tree(source: Source, made: &[(Primitive, Vec<Source>)], args: &[Tree; 2]) -> Tree {
    match source {
        Source::Number(x) => Tree::Number(x),
        Source::Argument(index) => args[index].clone(),
        Source::Call(index) => {
            let (primitive, sources) = &made[index];
            let args = sources.iter().map(|s| tree(*s, made, args));
            Tree::Apply(*primitive, args.collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_an_expression_of_its_arguments() {
        let args = || [Tree::Local(0), Tree::Local(1)];
        let found = traced(Pointwise::Relu, args());
        let expected = [Tree::Local(0), Tree::Number(0.0)];
        assert_eq!(found, Tree::of(Primitive::Larger, expected));
        let found = traced(Pointwise::Atan2, args());
        assert_eq!(found, Tree::of(Primitive::Function("atan2"), args()));
        let found = traced(Pointwise::Erf, args());
        assert_eq!(
            found,
            Tree::of(Primitive::Function("erf"), [Tree::Local(0)])
        );
    }

    /// Each row can be called with symbols.
    #[test]
    fn all_rows_have_an_expression() {
        for op in Pointwise::ALL {
            let found = traced(*op, [Tree::Local(0), Tree::Local(1)]);
            assert!(matches!(found, Tree::Apply(..)), "{}", op.name());
        }
    }
}
