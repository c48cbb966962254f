//! Parameters and outputs as collections: by index, as iterators, as one flat vector, and with a known rank.

use std::ops::{Index, IndexMut};

use ndarray::{Array, Array1, ArrayD, ArrayRef1, ArrayView, Dimension};

use super::{Outputs, Params};
use crate::error::{Error, Result, quoted};
use crate::op::Scalar;

impl<F: Scalar> Params<F> {
    /// All numbers in one vector: array by array in order of insertion, each in row-major order.
    ///
    /// ```
    /// use bptt::Params;
    /// use ndarray::array;
    /// let mut params = Params::new().with("W", array![[1.0, 2.0], [3.0, 4.0]]).with("b", array![5.0]);
    /// let theta = params.to_flat();
    /// assert_eq!(theta, array![1.0, 2.0, 3.0, 4.0, 5.0]);
    /// let twice = theta * 2.0;
    /// params.assign_flat(&twice)?;
    /// assert_eq!(params["W"], array![[2.0, 4.0], [6.0, 8.0]].into_dyn());
    /// # Ok::<(), bptt::Error>(())
    /// ```
    #[must_use]
    pub fn to_flat(&self) -> Array1<F> {
        self.arrays.values().flatten().copied().collect()
    }

    /// Sets all numbers from one vector, in the order of [`to_flat`](Self::to_flat).
    ///
    /// # Errors
    /// [`Error::ArrayShape`] when the vector does not have as many numbers as the arrays together; nothing is
    /// changed then.
    pub fn assign_flat(&mut self, flat: &ArrayRef1<F>) -> Result<()> {
        let count: usize = self.arrays.values().map(ArrayD::len).sum();
        if flat.len() != count {
            return Err(Error::ArrayShape {
                what: "vector",
                name: "of all parameters".into(),
                expected: format!("[{count}]"),
                found: vec![flat.len()],
            });
        }
        let numbers = self.arrays.values_mut().flatten();
        numbers.zip(flat).for_each(|(to, from)| *to = *from);
        Ok(())
    }
}

impl<F> Index<&str> for Params<F> {
    type Output = ArrayD<F>;

    /// The array of a parameter.
    ///
    /// # Panics
    /// When there is none of that name; [`Params::get`] does not.
    fn index(&self, name: &str) -> &ArrayD<F> {
        let known = self.arrays.keys();
        self.arrays.get(name).unwrap_or_else(|| {
            panic!(
                "no parameter named `{name}`; known: {}",
                quoted(known.map(|k| &**k))
            )
        })
    }
}

impl<F> IndexMut<&str> for Params<F> {
    /// The array of a parameter, mutable.
    ///
    /// # Panics
    /// When there is none of that name; [`Params::get_mut`] does not.
    fn index_mut(&mut self, name: &str) -> &mut ArrayD<F> {
        if !self.arrays.contains_key(name) {
            let known = self.arrays.keys().map(|k| &**k);
            panic!("no parameter named `{name}`; known: {}", quoted(known));
        }
        &mut self.arrays[name]
    }
}

/// Arrays by name, in order.
///
/// ```
/// use bptt::Params;
/// let params: Params<f64> = [("a", ndarray::arr0(1.0)), ("b", ndarray::arr0(2.0))].into_iter().collect();
/// let halves: Params<f64> = params.into_iter().map(|(name, array)| (name, array / 2.0)).collect();
/// assert_eq!(halves["b"], ndarray::arr0(1.0).into_dyn());
/// ```
impl<F: Scalar, N: Into<String>, D: Dimension> FromIterator<(N, Array<F, D>)> for Params<F> {
    fn from_iter<I: IntoIterator<Item = (N, Array<F, D>)>>(named: I) -> Self {
        let mut params = Self::new();
        params.extend(named);
        params
    }
}

impl<F: Scalar, N: Into<String>, D: Dimension> Extend<(N, Array<F, D>)> for Params<F> {
    fn extend<I: IntoIterator<Item = (N, Array<F, D>)>>(&mut self, named: I) {
        let named = named.into_iter();
        self.arrays
            .extend(named.map(|(name, array)| (name.into(), array.into_dyn())));
    }
}

impl<F> IntoIterator for Params<F> {
    type Item = (String, ArrayD<F>);
    type IntoIter = indexmap::map::IntoIter<String, ArrayD<F>>;

    fn into_iter(self) -> Self::IntoIter {
        self.arrays.into_iter()
    }
}

impl<F: Scalar> Outputs<F> {
    /// An output as an array of known rank.
    ///
    /// ```
    /// use bptt::{Batch, Params, Recurrence};
    /// let r = Recurrence::parse("r.rec", "input x[2]\noutput y = 2 * x\nloss sum(x)\n")?;
    /// let batch = Batch::new(1, 1).with("x", ndarray::array![[[1.0, 2.0]]]);
    /// let found = r.evaluate(&Params::new(), &batch)?;
    /// let y = found.view::<ndarray::Ix3>("y")?; // [T, B, 2]
    /// assert_eq!(y[[0, 0, 1]], 4.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::UnknownName`] when there is no such output, [`Error::ArrayShape`] when it has another rank.
    pub fn view<D: Dimension>(&self, name: &str) -> Result<ArrayView<'_, F, D>> {
        let array = self.get(name).ok_or_else(|| Error::UnknownName {
            what: "output",
            name: name.into(),
            known: self.iter().map(|(n, _)| n.into()).collect(),
        })?;
        array
            .view()
            .into_dimensionality()
            .map_err(|_| Error::ArrayShape {
                what: "output",
                name: name.into(),
                expected: format!("of rank {}", D::NDIM.unwrap_or_default()),
                found: array.shape().to_vec(),
            })
    }
}

impl<F> IntoIterator for Outputs<F> {
    type Item = (std::sync::Arc<str>, ArrayD<F>);
    type IntoIter = indexmap::map::IntoIter<std::sync::Arc<str>, ArrayD<F>>;

    fn into_iter(self) -> Self::IntoIter {
        self.arrays.into_iter()
    }
}
