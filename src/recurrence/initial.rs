//! Initial values of parameters before a fit.

use ndarray::{Array1, Array2, ArrayD};

use super::{Params, Recurrence};
use crate::error::Result;
use crate::noise::Noise;
use crate::op::Scalar;
use crate::shape::{Dim, Shape};

/// A number, or a number over the root of a size: `0.1`, `1/√H`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The numerator.
    pub factor: f64,
    /// The size under the root, if any.
    pub over_root: Option<Dim>,
}

/// The initial value of a parameter before a fit.
///
/// ```
/// use bptt::{Initial, Params, Recurrence};
/// let r = Recurrence::define("start", |r| {
///     let w = r.param("W", [r.dim("H"), r.dim("H")]);
///     r.initial("W", Initial::Identity(0.5));
///     r.loss(w.sum());
/// })?;
/// let params = Params::<f64>::initial(&r, &[("H", 2)], 1)?;
/// assert_eq!(params.get("W"), Some(&ndarray::array![[0.5, 0.0], [0.0, 0.5]].into_dyn()));
/// # Ok::<(), bptt::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Initial {
    /// Every entry is this number.
    Constant(f64),
    /// This multiple of the identity matrix: Le, Jaitly and Hinton, *A simple way to initialize
    /// recurrent networks of rectified linear units* (2015).
    Identity(f64),
    /// Uniform between minus and plus this number.
    Uniform(Spread),
    /// Normal with mean zero and this standard deviation.
    Normal(Spread),
    /// Uniform within ±√(6 / (rows + columns)): Glorot and Bengio, *Understanding the difficulty
    /// of training deep feedforward neural networks* (AISTATS 2010), equation 16.
    Glorot,
    /// This multiple of a matrix with orthonormal rows or columns, whichever are fewer: Saxe,
    /// McClelland and Ganguli, *Exact solutions to the nonlinear dynamics of learning in deep
    /// linear neural networks* (ICLR 2014).
    Orthogonal(f64),
}

impl Initial {
    /// The reason why this cannot be the initial value of a parameter of this shape.
    pub(crate) fn misfit(self, shape: Shape) -> Option<&'static str> {
        let (finite, matrix, negative) = match self {
            Self::Constant(x) => (x.is_finite(), false, false),
            Self::Identity(x) | Self::Orthogonal(x) => (x.is_finite(), true, false),
            Self::Uniform(s) | Self::Normal(s) => (s.factor.is_finite(), false, s.factor < 0.0),
            Self::Glorot => (true, true, false),
        };
        if !finite {
            Some("the number is not finite")
        } else if negative {
            Some(
                "the spread is negative, expected a positive number, as in `uniform(0.1)` or `normal(0.1)`",
            )
        } else if matrix && shape.rank() != 2 {
            Some("only a matrix can start like this")
        } else {
            None
        }
    }

    fn array(self, shape: &[usize], sizes: &[usize], noise: &mut Noise) -> ArrayD<f64> {
        let value = |s: Spread| {
            let size = s.over_root.map_or(1, |d| d.value(sizes));
            s.factor / root(size)
        };
        let (rows, columns) = match shape {
            [rows, columns] => (*rows, *columns),
            _ => (shape.iter().product(), 1),
        };
        match self {
            Self::Constant(x) => ArrayD::from_elem(shape, x),
            Self::Identity(x) => {
                Array2::from_shape_fn((rows, columns), |(i, j)| if i == j { x } else { 0.0 })
                    .into_dyn()
            }
            Self::Uniform(s) => noise.array(shape) * value(s),
            Self::Normal(s) => ArrayD::from_shape_simple_fn(shape, || noise.normal()) * value(s),
            Self::Glorot => noise.array(shape) * (6f64.sqrt() / root(rows + columns)),
            Self::Orthogonal(x) => orthogonal(rows, columns, noise).into_dyn() * x,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a size is far below 2^53")]
fn root(size: usize) -> f64 {
    (size as f64).sqrt()
}

/// Gram–Schmidt on rows of normal numbers, orthogonalised twice because of rounding.
fn orthogonal(rows: usize, columns: usize, noise: &mut Noise) -> Array2<f64> {
    let (few, many) = (rows.min(columns), rows.max(columns));
    let mut basis: Vec<Array1<f64>> = Vec::with_capacity(few);
    while basis.len() < few {
        let mut v = Array1::from_shape_simple_fn(many, || noise.normal());
        for _ in 0..2 {
            for b in &basis {
                let along = v.dot(b);
                v.scaled_add(-along, b);
            }
        }
        let norm = v.dot(&v).sqrt();
        if norm > 1e-6 {
            basis.push(v / norm);
        }
    }
    let wide = Array2::from_shape_fn((few, many), |(i, j)| basis[i][j]);
    if rows <= columns {
        wide
    } else {
        wide.reversed_axes()
    }
}

impl Recurrence {
    /// The initial value declared for a parameter.
    #[must_use]
    pub fn initial(&self, param: &str) -> Option<Initial> {
        self.initials.get(param).copied()
    }
}

impl<F: Scalar> Params<F> {
    /// The initial parameters of a recurrence: as declared, else [`Initial::Glorot`] for matrices and zero for
    /// all others. `sizes` gives the named dimensions.
    ///
    /// # Errors
    /// When a size is missing, or is of an unknown dimension.
    pub fn initial(recurrence: &Recurrence, sizes: &[(&str, usize)], seed: u64) -> Result<Self> {
        let size = |dim: &str| sizes.iter().find(|(n, _)| *n == dim).map_or(1, |(_, n)| *n);
        let values: Vec<usize> = recurrence.tape.dims().map(size).collect();
        let mut noise = Noise(seed);
        Self::from_fn(recurrence, sizes, |name, shape| {
            let otherwise = if shape.len() == 2 {
                Initial::Glorot
            } else {
                Initial::Constant(0.0)
            };
            let initial = recurrence.initial(name).unwrap_or(otherwise);
            initial.array(shape, &values, &mut noise).mapv(F::of)
        })
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Ix2;

    use super::*;

    #[test]
    fn orthogonal_matrices_are_orthogonal() {
        for shape in [[3, 5], [5, 3], [4, 4]] {
            let q = Initial::Orthogonal(2.0).array(&shape, &[], &mut Noise(1));
            let q = q.into_dimensionality::<Ix2>().unwrap();
            let product = if shape[0] <= shape[1] {
                q.dot(&q.t())
            } else {
                q.t().dot(&q)
            };
            let identity: Array2<f64> = 4.0 * Array2::eye(3.max(shape[0].min(shape[1])));
            let off = (&product - &identity).mapv(f64::abs);
            assert!(off.iter().all(|x| *x < 1e-14), "{product}");
        }
    }

    #[test]
    fn distributions_have_their_spread() {
        let spread = Spread {
            factor: 2.0,
            over_root: Some(Dim::fixed(16)),
        };
        let of = |initial: Initial| initial.array(&[100, 100], &[], &mut Noise(3));
        let square = |a: &ArrayD<f64>| a.mapv(|x| x * x).mean().unwrap();
        let uniform = of(Initial::Uniform(spread));
        assert!(uniform.iter().all(|x| x.abs() <= 0.5), "within ±2/√16");
        // The relative standard error of the mean square of 10000 numbers is about 1 %.
        assert!(
            (square(&uniform) - 0.25 / 3.0).abs() < 0.003,
            "{}",
            square(&uniform)
        );
        let normal = of(Initial::Normal(spread));
        assert!(
            (square(&normal) - 0.25).abs() < 0.012,
            "{}",
            square(&normal)
        );
        assert!(normal.mean().unwrap().abs() < 0.02, "centred");
        let glorot = of(Initial::Glorot);
        assert!(
            (square(&glorot) - 6.0 / 200.0 / 3.0).abs() < 4e-4,
            "{}",
            square(&glorot)
        );
    }
}
