//! Arithmetic on matrices, some of which take their size from their context.
//!
//! Everything is a matrix: a vector is one column, a number is 1 × 1.

use ndarray::{Array2, ArrayD, Axis, IxDyn, Slice};

use crate::derive::algebra::term::Along;

/// The reason why a value cannot be computed: ones, an identity or a zero take their size from a context outside the
/// line.
pub(crate) const SIZELESS: &str = "something takes its size from elsewhere";

/// A matrix, or a value whose size is not known yet.
#[derive(Clone, Debug)]
pub(crate) enum V {
    Array(Array2<f64>),
    /// A matrix filled with one number: ones times a factor.
    Fill(f64),
    /// A column, repeated to the width of the other operand: `w 𝟏ᵀ`.
    Columns(Array2<f64>),
    /// A row, repeated to the height of the other operand: `𝟏 wᵀ`.
    Rows(Array2<f64>),
    /// The identity, times a factor.
    Eye(f64),
    /// Zero of any size, also for a step beyond the ends.
    Zero,
}

impl V {
    /// The value as a matrix of a given size; `None` if it has another size.
    pub(crate) fn sized(self, dim: (usize, usize)) -> Option<Array2<f64>> {
        match self {
            Self::Array(a) => (a.dim() == dim).then_some(a),
            Self::Zero => Some(Array2::zeros(dim)),
            Self::Fill(x) => Some(Array2::from_elem(dim, x)),
            Self::Columns(c) => (c.nrows() == dim.0).then(|| Array2::zeros(dim) + c),
            Self::Rows(r) => (r.ncols() == dim.1).then(|| Array2::zeros(dim) + r),
            Self::Eye(x) => (dim.0 == dim.1).then(|| Array2::eye(dim.0) * x),
        }
    }
}

pub(crate) type Found = Result<V, String>;

pub(crate) fn scalar(x: f64) -> V {
    V::Array(Array2::from_elem((1, 1), x))
}

pub(crate) fn kronecker(a: &Array2<f64>, b: &Array2<f64>) -> Array2<f64> {
    let (m, n) = b.dim();
    let dim = (a.nrows() * m, a.ncols() * n);
    Array2::from_shape_fn(dim, |(i, j)| a[(i / m, j / n)] * b[(i % m, j % n)])
}

pub(crate) fn iverson(yes: bool) -> V {
    if yes { scalar(1.0) } else { V::Zero }
}

/// An array of rank 0 to 2 as a matrix.
pub(crate) fn matrix(a: &ArrayD<f64>) -> Array2<f64> {
    let dim = match *a.shape() {
        [] => (1, 1),
        [n] => (n, 1),
        [m, n] => (m, n),
        _ => (a.len(), 1),
    };
    let entries: Vec<f64> = a.iter().copied().collect();
    Array2::from_shape_vec(dim, entries).unwrap_or_else(|_| Array2::zeros(dim))
}

pub(crate) fn shaped(a: Array2<f64>, rank: usize) -> ArrayD<f64> {
    let dims: Vec<usize> = match rank {
        0 => Vec::new(),
        1 => vec![a.len()],
        _ => a.shape().to_vec(),
    };
    let entries: Vec<f64> = a.iter().copied().collect();
    ArrayD::from_shape_vec(IxDyn(&dims), entries).unwrap_or_else(|_| a.into_dyn())
}

/// The rows or columns `first` to `last`, counted from 1.
pub(crate) fn cut(whole: V, along: Along, (first, last): (usize, usize)) -> Found {
    let axis = match along {
        Along::Columns => Axis(1),
        Along::Rows | Along::Entries => Axis(0),
    };
    let part = |a: Array2<f64>| {
        let inside = 0 < first && first <= last && last <= a.len_of(axis);
        let part = || a.slice_axis(axis, Slice::from(first - 1..last)).to_owned();
        inside
            .then(part)
            .ok_or_else(|| format!("{first} to {last} of {:?}", a.dim()))
    };
    match whole {
        V::Array(a) => Ok(V::Array(part(a)?)),
        V::Columns(c) if axis == Axis(0) => Ok(V::Columns(part(c)?)),
        V::Eye(_) => Err(SIZELESS.into()),
        same => Ok(same),
    }
}

pub(crate) fn plus(a: V, b: V) -> Found {
    match (a, b) {
        (V::Zero, b) => Ok(b),
        (a, V::Zero) => Ok(a),
        (V::Array(a), V::Array(b)) if a.dim() == b.dim() => Ok(V::Array(a + b)),
        (V::Array(a), V::Array(b)) => Err(format!("{:?} + {:?}", a.dim(), b.dim())),
        (V::Fill(x), V::Array(a)) | (V::Array(a), V::Fill(x)) => Ok(V::Array(a + x)),
        (V::Fill(x), V::Fill(y)) => Ok(V::Fill(x + y)),
        (V::Columns(a), V::Columns(b)) if a.dim() == b.dim() => Ok(V::Columns(a + b)),
        (V::Columns(c), V::Fill(x)) | (V::Fill(x), V::Columns(c)) => Ok(V::Columns(c + x)),
        (V::Columns(c), V::Array(a)) | (V::Array(a), V::Columns(c)) if a.nrows() == c.nrows() => {
            Ok(V::Array(a + c))
        }
        (V::Columns(c), V::Rows(r)) | (V::Rows(r), V::Columns(c)) => {
            Ok(V::Array(Array2::zeros((c.nrows(), r.ncols())) + c + r))
        }
        (V::Rows(a), V::Rows(b)) if a.dim() == b.dim() => Ok(V::Rows(a + b)),
        (V::Rows(r), V::Fill(x)) | (V::Fill(x), V::Rows(r)) => Ok(V::Rows(r + x)),
        (V::Rows(r), V::Array(a)) | (V::Array(a), V::Rows(r)) if a.ncols() == r.ncols() => {
            Ok(V::Array(a + r))
        }
        (V::Eye(x), V::Eye(y)) => Ok(V::Eye(x + y)),
        // The identity is square.
        (V::Eye(x), V::Columns(c)) | (V::Columns(c), V::Eye(x)) => {
            Ok(V::Array(Array2::<f64>::eye(c.nrows()) * x + c))
        }
        (V::Eye(x), V::Rows(r)) | (V::Rows(r), V::Eye(x)) => {
            Ok(V::Array(Array2::<f64>::eye(r.ncols()) * x + r))
        }
        (V::Eye(x), V::Array(a)) | (V::Array(a), V::Eye(x)) if a.nrows() == a.ncols() => {
            Ok(V::Array(&a + &(Array2::<f64>::eye(a.nrows()) * x)))
        }
        _ => Err(SIZELESS.into()),
    }
}

/// A product in which zero wins, as in the engine: a branch that is not taken may be infinite.
fn strong(x: f64, y: f64) -> f64 {
    if x == 0.0 || y == 0.0 { 0.0 } else { x * y }
}

fn times(a: Array2<f64>, x: f64) -> V {
    V::Array(a.mapv_into(|y| strong(x, y)))
}

pub(crate) fn had(a: V, b: V) -> Found {
    match (a, b) {
        (V::Fill(x), V::Array(a)) | (V::Array(a), V::Fill(x)) => Ok(times(a, x)),
        (V::Fill(x), V::Fill(y)) => Ok(V::Fill(strong(x, y))),
        (V::Array(mut a), V::Array(b)) if a.dim() == b.dim() => {
            a.zip_mut_with(&b, |x, y| *x = strong(*x, *y));
            Ok(V::Array(a))
        }
        (V::Array(a), V::Array(b)) => Err(format!("{:?} ⊙ {:?}", a.dim(), b.dim())),
        (V::Columns(c), V::Fill(x)) | (V::Fill(x), V::Columns(c)) => Ok(V::Columns(c * x)),
        (V::Columns(c), V::Array(a)) | (V::Array(a), V::Columns(c)) if a.nrows() == c.nrows() => {
            Ok(V::Array(a * c))
        }
        (V::Columns(c), V::Rows(r)) | (V::Rows(r), V::Columns(c)) => Ok(V::Array(c.dot(&r))),
        (V::Rows(r), V::Fill(x)) | (V::Fill(x), V::Rows(r)) => Ok(V::Rows(r * x)),
        (V::Rows(r), V::Array(a)) | (V::Array(a), V::Rows(r)) if a.ncols() == r.ncols() => {
            Ok(V::Array(a * r))
        }
        // A scalar is also an identity of one row.
        (V::Eye(x), V::Array(a)) | (V::Array(a), V::Eye(x)) if a.len() == 1 => Ok(V::Array(a * x)),
        _ => Err(SIZELESS.into()),
    }
}

pub(crate) fn mul(a: V, b: V) -> Found {
    match (a, b) {
        (V::Eye(x), V::Eye(y)) => Ok(V::Eye(x * y)),
        (V::Eye(x), V::Array(a)) | (V::Array(a), V::Eye(x)) => Ok(match a.len() {
            // A scalar times the identity is a multiple of the identity.
            1 => V::Eye(strong(a[(0, 0)], x)),
            _ => times(a, x),
        }),
        (V::Eye(x), V::Fill(y)) | (V::Fill(y), V::Eye(x)) => Ok(V::Fill(x * y)),
        (V::Zero, _) | (_, V::Zero) => Ok(V::Zero),
        (V::Array(a), V::Array(b)) if a.len() == 1 => Ok(times(b, a[(0, 0)])),
        (V::Array(a), V::Array(b)) if b.len() == 1 => Ok(times(a, b[(0, 0)])),
        (V::Array(a), V::Array(b)) if a.ncols() == b.nrows() => Ok(V::Array(a.dot(&b))),
        (V::Array(a), V::Array(b)) => Err(format!("{:?} times {:?}", a.dim(), b.dim())),
        (V::Fill(_), V::Array(b)) if b.len() == 1 => Err(SIZELESS.into()),
        // Ones before a row can only be a column; before any other matrix they are a row: the sum.
        (V::Fill(x), V::Array(b)) if b.nrows() == 1 => Ok(V::Rows(b * x)),
        (V::Fill(x), V::Array(b)) => {
            let sum = b.sum_axis(Axis(0)).insert_axis(Axis(0));
            Ok(V::Array(sum * x))
        }
        (V::Array(a), V::Fill(x)) if a.len() == 1 => Ok(V::Fill(a[(0, 0)] * x)),
        // Ones after a matrix are as high as the matrix is wide, and as wide as the next factor.
        (V::Array(a), V::Fill(x)) => {
            let sum = a.sum_axis(Axis(1)).insert_axis(Axis(1));
            Ok(V::Columns(sum * x))
        }
        (V::Eye(x), V::Columns(c)) | (V::Columns(c), V::Eye(x)) => Ok(V::Columns(c * x)),
        (V::Array(a), V::Columns(c)) if a.len() == 1 => Ok(V::Columns(c * a[(0, 0)])),
        (V::Columns(c), V::Array(a)) if a.len() == 1 => Ok(V::Columns(c * a[(0, 0)])),
        (V::Array(a), V::Columns(c)) if a.ncols() == c.nrows() => Ok(V::Columns(a.dot(&c))),
        (V::Eye(x), V::Rows(r)) | (V::Rows(r), V::Eye(x)) => Ok(V::Rows(r * x)),
        (V::Array(a), V::Rows(r)) | (V::Rows(r), V::Array(a)) if a.len() == 1 => {
            Ok(V::Rows(r * a[(0, 0)]))
        }
        (V::Rows(r), V::Array(a)) if r.ncols() == a.nrows() => Ok(V::Rows(r.dot(&a))),
        (V::Array(a), V::Rows(r)) => {
            let sums = a.sum_axis(Axis(1)).insert_axis(Axis(1));
            Ok(V::Array(sums.dot(&r)))
        }
        (V::Columns(c), V::Array(a)) => {
            let sums = a.sum_axis(Axis(0)).insert_axis(Axis(0));
            Ok(V::Array(c.dot(&sums)))
        }
        _ => Err(SIZELESS.into()),
    }
}

pub(crate) fn joined(rows: &[Vec<Array2<f64>>]) -> Found {
    let joined: Result<Vec<Array2<f64>>, _> = rows
        .iter()
        .map(|r| {
            let views: Vec<_> = r.iter().map(|a| a.view()).collect();
            ndarray::concatenate(Axis(1), &views)
        })
        .collect();
    let joined = joined.map_err(|e| e.to_string())?;
    let views: Vec<_> = joined.iter().map(|a| a.view()).collect();
    let whole = ndarray::concatenate(Axis(0), &views).map_err(|e| e.to_string())?;
    Ok(V::Array(whole))
}
