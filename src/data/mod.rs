//! Data files: named arrays in `.npz` and `.safetensors`, and what they are to a recurrence.
//!
//! [`Arrays`] is what such a file holds. [`Arrays::params`] and [`Arrays::batch`] turn it into the
//! data of a recurrence, [`Arrays::pytorch_params`] reads a state dict of PyTorch. Files come from
//! anywhere: one that is broken, or not what it says it is, is an error that names the array.
//!
//! | array | shape | type |
//! |---|---|---|
//! | an input per step | `[T, B, …]` | `f32`, `f64` |
//! | a class per step | `[T, B]` | an integer |
//! | an input per sample | `[B, …]` | `f32`, `f64` |
//! | a class per sample | `[B]` | an integer |
//! | `lengths`, optional | `[B]` | an integer |
//! | a parameter | as declared | `f32`, `f64` |
//!
//! Other arrays in a file of inputs are left out. A gradient is stored under the name and in the shape of what it is the gradient of.
//!
//! ```
//! use bptt::{Recurrence, data::Arrays};
//! use ndarray::{array, arr0};
//! # let folder = std::env::temp_dir().join(format!("bptt-doc-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder)?;
//! let decay = Recurrence::parse("decay.rec", "
//!     input seen
//!     param rate
//!     state x = 1
//!     x' = rate * x
//!     loss squared_error(x', seen)
//! ")?;
//! let data = folder.join("data.npz");
//! Arrays::new().with("seen", array![[0.5], [0.25]]).write(&data)?;
//! let batch = Arrays::read(&data)?.batch::<f64>(&decay)?;
//! let params = Arrays::new().with("rate", arr0(0.5)).params(&decay)?;
//! assert_eq!((batch.steps(), batch.samples()), (2, 1));
//! assert_eq!(decay.evaluate(&params, &batch)?.loss()?, 0.0);
//! # std::fs::remove_dir_all(folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod array;
mod convert;
mod csv;
mod file;
mod npy;
mod npz;
mod pytorch;
mod tensors;
mod whole;

pub use array::{Array, Element};
pub use whole::{can_write_whole, write_whole};

use std::path::Path;

use indexmap::IndexMap;
use ndarray::Dimension;

use crate::error::Result;
use crate::limit::memory_limit;
use crate::op::Scalar;
use crate::recurrence::{Outputs, Params};

/// The bytes of memory that a compressed file may expand to, unless told otherwise: 4 GiB.
pub const EXPANDED: u64 = 4 << 30;

/// How the names of arrays begin that keep the state of an unfinished fit beside its parameters.
/// [`Arrays::params`] leaves them out.
pub const FIT: &str = "fit/";

/// Named arrays, as a file holds them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Arrays {
    arrays: IndexMap<String, Array>,
}

impl Arrays {
    /// No arrays yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds or replaces an array.
    #[must_use]
    pub fn with<E: Element, D: Dimension>(
        mut self,
        name: &str,
        array: ndarray::Array<E, D>,
    ) -> Self {
        self.insert(name, E::array(array.into_dyn()));
        self
    }

    /// Adds or replaces an array.
    pub fn insert(&mut self, name: &str, array: Array) {
        self.arrays.insert(name.into(), array);
    }

    /// An array.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Array> {
        self.arrays.get(name)
    }

    /// Every array with its name, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Array)> {
        self.arrays.iter().map(|(n, a)| (&**n, a))
    }

    /// Reads a `.npz` or a `.safetensors` file; or a table, `.csv`, of one sequence: a row for each
    /// step below a row of names, where `y` is a number `[T, 1]` and `x[0]`, `x[1]`, … are the
    /// entries of a vector `[T, 1, n]`.
    ///
    /// # Errors
    /// When the file cannot be read, is damaged, or holds what is neither real numbers nor
    /// integers in C order and little-endian; when it is compressed and would expand to more than
    /// [`EXPANDED`] bytes.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        Self::read_limited(path, EXPANDED.min(memory_limit() as u64))
    }

    /// The same with another limit on what a compressed file may expand to, in bytes.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub fn read_limited(path: impl AsRef<Path>, limit: u64) -> Result<Self> {
        let path = path.as_ref();
        let read = match file::Format::of(path)? {
            file::Format::Npz => npz::read(&file::read(path, 1, npz::begins)?, limit),
            file::Format::Safetensors => {
                tensors::read(&file::read(path, tensors::MEMORY, tensors::begins)?)
            }
            file::Format::Csv => csv::read(&file::read(path, csv::MEMORY, |_| Ok(()))?),
        };
        read.map_err(|reason| file::refuse(path, reason))
    }

    /// Whether arrays can be written to this file, to be asked before work that would be lost:
    /// the name must end in `.npz` or `.safetensors`, and a file can be made in its folder.
    ///
    /// ```
    /// use bptt::data::Arrays;
    /// assert!(Arrays::can_write("gradient.txt").is_err());
    /// assert!(Arrays::can_write("no/such/folder/gradient.npz").is_err());
    /// ```
    ///
    /// # Errors
    /// When they cannot.
    pub fn can_write(path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        file::Format::to_write(path)?;
        can_write_whole(path)
    }

    /// Writes a `.npz` or a `.safetensors` file, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let bytes = match file::Format::to_write(path)? {
            file::Format::Safetensors => tensors::bytes(self),
            file::Format::Npz | file::Format::Csv => npz::bytes(self),
        };
        let bytes = bytes.map_err(|reason| file::refuse(path, reason))?;
        write_whole(path, &bytes)
    }
}

impl<'n, F: Scalar + Element> FromIterator<(&'n str, &'n ndarray::ArrayD<F>)> for Arrays {
    fn from_iter<I: IntoIterator<Item = (&'n str, &'n ndarray::ArrayD<F>)>>(named: I) -> Self {
        let named = named.into_iter();
        Self {
            arrays: named
                .map(|(n, a)| (n.into(), F::array(a.clone())))
                .collect(),
        }
    }
}

impl<F: Scalar + Element> From<&Params<F>> for Arrays {
    fn from(params: &Params<F>) -> Self {
        params.iter().collect()
    }
}

impl<F: Scalar + Element> From<&Outputs<F>> for Arrays {
    fn from(outputs: &Outputs<F>) -> Self {
        outputs.iter().collect()
    }
}
