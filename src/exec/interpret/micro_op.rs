//! Micro-ops: a row of the op table, or a sum, on one vector of each argument.

#![allow(
    unsafe_code,
    reason = "operands are read through pointers, which the caller vouches for"
)]

use std::marker::PhantomData;
use std::ops::{Add, Div, Mul, Neg, Sub};

use crate::exec::kernel::math;
use crate::exec::kernel::{Element, Vector};
use crate::op::{Entry, EntryVisitor, Number, Pointwise, Scalar};
use crate::plan::Code;

/// A vector register as a [`Number`], for the rows of the op table.
#[derive(Clone, Copy)]
struct Lanes<V>(V);

macro_rules! operator {
    ($trait:ident, $method:ident) => {
        impl<V: Vector> $trait for Lanes<V> {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                Self($trait::$method(self.0, other.0))
            }
        }
    };
}

operator!(Add, add);
operator!(Sub, sub);
operator!(Mul, mul);
operator!(Div, div);

impl<V: Vector> Neg for Lanes<V> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl<V: Vector> Lanes<V> {
    #[inline(always)]
    fn indicator(mask: V::Mask) -> Self {
        let (one, zero) = (V::splat(V::Elem::ONE), V::splat(V::Elem::ZERO));
        Self(V::select(mask, one, zero))
    }
}

impl<V: Vector> Number for Lanes<V>
where
    V::Elem: Scalar,
{
    #[inline(always)]
    fn of(x: f64) -> Self {
        Self(V::splat(<V::Elem as Scalar>::of(x)))
    }
    #[inline(always)]
    fn recip(self) -> Self {
        Self(V::splat(V::Elem::ONE) / self.0)
    }
    #[inline(always)]
    fn exp(self) -> Self {
        Self(math::exp(self.0))
    }
    #[inline(always)]
    fn ln(self) -> Self {
        Self(math::ln(self.0))
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        Self(self.0.sqrt())
    }
    #[inline(always)]
    fn powi(self, n: i32) -> Self {
        Self(self.0.map(|x| V::Elem::entry(Pointwise::Powi(n), [x, x])))
    }
    #[inline(always)]
    fn powf(self, p: Self) -> Self {
        let (mut x, p) = (self.0.to_array(), p.0.to_array());
        for (i, x) in x.iter_mut().enumerate().take(V::LANES) {
            *x = V::Elem::entry(Pointwise::Powf, [*x, p[i]]);
        }
        // SAFETY: no vector has more lanes than the array.
        Self(unsafe { V::load(x.as_ptr()) })
    }
    #[inline(always)]
    fn sin(self) -> Self {
        Self(math::sin(self.0))
    }
    #[inline(always)]
    fn cos(self) -> Self {
        Self(math::cos(self.0))
    }
    #[inline(always)]
    fn tanh(self) -> Self {
        Self(math::tanh(self.0))
    }
    #[inline(always)]
    fn sigmoid(self) -> Self {
        Self(math::sigmoid(self.0))
    }
    #[inline(always)]
    fn softplus(self) -> Self {
        Self(math::softplus(self.0))
    }
    #[inline(always)]
    fn abs(self) -> Self {
        Self(self.0.abs())
    }
    #[inline(always)]
    fn sign(self) -> Self {
        let (one, zero) = (V::splat(V::Elem::ONE), V::splat(V::Elem::ZERO));
        let negative = V::select(self.0.lt(zero), -one, self.0);
        Self(V::select(zero.lt(self.0), one, negative))
    }
    #[inline(always)]
    fn larger(self, other: Self) -> Self {
        let larger = self.0.max(other.0);
        Self(V::select(self.0.eq(self.0), larger, self.0))
    }
    #[inline(always)]
    fn less(self, other: Self) -> Self {
        Self::indicator(self.0.lt(other.0))
    }
    #[inline(always)]
    fn less_eq(self, other: Self) -> Self {
        Self::indicator(self.0.le(other.0))
    }
    #[inline(always)]
    fn equal(self, other: Self) -> Self {
        Self::indicator(self.0.eq(other.0))
    }
    #[inline(always)]
    fn with(self, other: Self, function: fn([f64; 2]) -> f64) -> Self {
        let (mut x, other) = (self.0.to_array(), other.0.to_array());
        for (i, x) in x.iter_mut().enumerate().take(V::LANES) {
            let args = [Scalar::to_f64(*x), Scalar::to_f64(other[i])];
            *x = Scalar::of(function(args));
        }
        // SAFETY: no vector has more lanes than the array.
        Self(unsafe { V::load(x.as_ptr()) })
    }
    #[inline(always)]
    fn strong_mul(self, other: Self) -> Self {
        let zero = V::splat(V::Elem::ZERO);
        let product = V::select(self.0.eq(zero), zero, self.0 * other.0);
        Self(V::select(other.0.eq(zero), zero, product))
    }
}

/// The arithmetic of a micro-op on one vector per argument. It is a trait and not a closure,
/// because its method must be inlined into the function with the vector instructions.
pub(super) trait Micro<T>: Copy {
    const ARGS: usize;
    fn call<V: Vector<Elem = T>>(self, a: V, b: V, c: V) -> V;
}

macro_rules! micro {
    ($name:ident($($arg:ident),+): $args:literal = $value:expr) => {
        #[derive(Clone, Copy)]
        struct $name;

        impl<T: Element> Micro<T> for $name {
            const ARGS: usize = $args;
            #[inline(always)]
            fn call<V: Vector<Elem = T>>(self, $($arg: V),+) -> V {
                $value
            }
        }
    };
}

micro!(Copied(a, _b, _c): 1 = a);
micro!(Negated(a, _b, _c): 1 = -a);
micro!(Added(a, b, _c): 2 = a + b);
micro!(Subtracted(a, b, _c): 2 = a - b);
micro!(MultipliedAdded(a, b, c): 3 = a.mul_add(b, c));
micro!(MultipliedSubtracted(a, b, c): 3 = a.neg_mul_add(b, c));
micro!(Selected(a, b, c): 3 = {
    let chosen = V::select(a.eq(V::splat(V::Elem::ZERO)), c, b);
    V::select(a.eq(a), chosen, a)
});

/// A row of the op table.
#[derive(Clone, Copy)]
struct Row<E>(E);

impl<T: Element + Scalar, E: Entry> Micro<T> for Row<E> {
    const ARGS: usize = E::ARITY;
    #[inline(always)]
    fn call<V: Vector<Elem = T>>(self, a: V, b: V, _: V) -> V {
        self.0.call([Lanes(a), Lanes(b)]).0
    }
}

/// The source of the arguments of a micro-op, and the use of its result.
pub(super) trait Operands<V: Vector> {
    type Output;

    /// # Safety
    /// The operands are valid.
    unsafe fn each<M: Micro<V::Elem>>(self, micro: M) -> Self::Output;
}

/// A row of the op table applied to operands.
struct At<V, O>(O, PhantomData<V>);

impl<V: Vector, O: Operands<V>> EntryVisitor for At<V, O>
where
    V::Elem: Scalar,
{
    type Output = O::Output;
    #[inline(always)]
    fn visit<E: Entry>(self, entry: E) -> O::Output {
        // SAFETY: guaranteed by the caller of `value`.
        unsafe { self.0.each(Row(entry)) }
    }
}

/// Applies a micro-op to operands.
///
/// # Safety
/// The operands are valid.
#[inline(always)]
pub(super) unsafe fn value<V: Vector, O: Operands<V>>(code: Code, operands: O) -> O::Output
where
    V::Elem: Scalar,
{
    unsafe {
        match code {
            Code::Entry(row) => row.visit(At(operands, PhantomData)),
            Code::Copy => operands.each(Copied),
            Code::Negate => operands.each(Negated),
            Code::Add => operands.each(Added),
            Code::Subtract => operands.each(Subtracted),
            Code::MultiplyAdd => operands.each(MultipliedAdded),
            Code::NegativeMultiplyAdd => operands.each(MultipliedSubtracted),
            Code::Select => operands.each(Selected),
        }
    }
}
