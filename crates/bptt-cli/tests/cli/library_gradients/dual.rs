//! Dual numbers, and the linear algebra needed by the loops.

use std::ops::{Add, Div, Mul, Neg, Sub};

/// `value + slope · ε` with `ε² = 0`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Dual {
    pub(crate) value: f64,
    pub(crate) slope: f64,
}

impl From<f64> for Dual {
    fn from(value: f64) -> Self {
        Self { value, slope: 0.0 }
    }
}

impl Dual {
    fn map(self, value: f64, derivative: f64) -> Self {
        Self {
            value,
            slope: derivative * self.slope,
        }
    }

    pub(crate) fn exp(self) -> Self {
        self.map(self.value.exp(), self.value.exp())
    }

    pub(crate) fn ln(self) -> Self {
        self.map(self.value.ln(), 1.0 / self.value)
    }

    pub(crate) fn powf(self, n: f64) -> Self {
        self.map(self.value.powf(n), n * self.value.powf(n - 1.0))
    }

    pub(crate) fn tanh(self) -> Self {
        self.map(self.value.tanh(), 1.0 / self.value.cosh().powi(2))
    }

    pub(crate) fn sigmoid(self) -> Self {
        Self::from(1.0) / (Self::from(1.0) + (-self).exp())
    }

    pub(crate) fn relu(self) -> Self {
        self.map(self.value.max(0.0), f64::from(u8::from(self.value > 0.0)))
    }

    /// The logarithm of the gamma function of a positive number, by Stirling's series.
    pub(crate) fn lgamma(self) -> Self {
        let (mut x, mut value, mut slope) = (self.value, 0.0, 0.0);
        while x < 20.0 {
            value -= x.ln();
            slope -= 1.0 / x;
            x += 1.0;
        }
        let (half_ln_2_pi, y) = (0.918_938_533_204_672_8, 1.0 / (x * x));
        value += (x - 0.5) * x.ln() - x + half_ln_2_pi;
        value += (1.0 / 12.0 - y * (1.0 / 360.0 - y * (1.0 / 1260.0 - y / 1680.0))) / x;
        slope += x.ln() - 0.5 / x;
        slope -= y * (1.0 / 12.0 - y * (1.0 / 120.0 - y * (1.0 / 252.0 - y / 240.0)));
        self.map(value, slope)
    }

    pub(crate) fn square(self) -> Self {
        self * self
    }
}

impl Neg for Dual {
    type Output = Self;
    fn neg(self) -> Self {
        self.map(-self.value, -1.0)
    }
}

impl<R: Into<Self>> Add<R> for Dual {
    type Output = Self;
    fn add(self, other: R) -> Self {
        let other = other.into();
        Self {
            value: self.value + other.value,
            slope: self.slope + other.slope,
        }
    }
}

impl<R: Into<Self>> Sub<R> for Dual {
    type Output = Self;
    fn sub(self, other: R) -> Self {
        self + -other.into()
    }
}

impl<R: Into<Self>> Mul<R> for Dual {
    type Output = Self;
    fn mul(self, other: R) -> Self {
        let other = other.into();
        Self {
            value: self.value * other.value,
            slope: self.slope * other.value + self.value * other.slope,
        }
    }
}

impl<R: Into<Self>> Div<R> for Dual {
    type Output = Self;
    fn div(self, other: R) -> Self {
        let other = other.into();
        let value = self.value / other.value;
        Self {
            value,
            slope: (self.slope - value * other.slope) / other.value,
        }
    }
}

impl std::iter::Sum for Dual {
    fn sum<I: Iterator<Item = Self>>(numbers: I) -> Self {
        numbers.fold(Self::default(), |a, b| a + b)
    }
}

/// A vector.
pub(crate) type V = Vec<Dual>;
/// A matrix, by rows.
pub(crate) type M = Vec<V>;

pub(crate) fn zeros(n: usize) -> V {
    vec![Dual::default(); n]
}

pub(crate) fn dot(a: &V, b: &V) -> Dual {
    assert_eq!(a.len(), b.len(), "the vectors are equally long");
    a.iter().zip(b).map(|(a, b)| *a * *b).sum()
}

pub(crate) fn times(m: &M, v: &V) -> V {
    m.iter().map(|row| dot(row, v)).collect()
}

/// Applies `f` to each entry of a vector.
pub(crate) fn map(a: &V, f: impl Fn(Dual) -> Dual) -> V {
    a.iter().map(|a| f(*a)).collect()
}

/// Applies `f` to each pair of entries of two vectors.
pub(crate) fn zip(a: &V, b: &V, f: impl Fn(Dual, Dual) -> Dual) -> V {
    assert_eq!(a.len(), b.len(), "the vectors are equally long");
    a.iter().zip(b).map(|(a, b)| f(*a, *b)).collect()
}

pub(crate) fn plus(a: &V, b: &V) -> V {
    zip(a, b, |a, b| a + b)
}

pub(crate) fn product(a: &V, b: &V) -> V {
    zip(a, b, |a, b| a * b)
}
