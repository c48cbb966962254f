//! Data files: named arrays in `.npz`, `.npy` and `.safetensors`, tables in `.csv` and `.tsv`, and their conversion
//! to the data of a recurrence.
//!
//! [`Arrays`] is the content of such a file. [`Arrays::params`] and [`Arrays::batch`] convert it to the data of
//! a recurrence, [`Arrays::pytorch_params`] reads a PyTorch state dict. Files are not trusted: damaged or
//! mislabelled files give an error that names the array.
//!
//! | array | shape | type |
//! |---|---|---|
//! | an input per step | `[T, B, …]` | real |
//! | a class per step | `[T, B]` | integer |
//! | an input per sample | `[B, …]` | real |
//! | a class per sample | `[B]` | integer |
//! | `lengths`, optional | `[B]` | integer |
//! | a parameter | as declared | real |
//!
//! Real numbers are `f32`, `f64`, or integers that are represented exactly; for inputs also booleans, as 0 and 1.
//! Integers may be `f32` or `f64` if all of them are whole.
//!
//! [`ReadOptions`] reads only the arrays and columns that the inputs of a recurrence need. Other arrays in a file of
//! inputs are ignored. Each gradient is stored under its variable's name, in the same
//! shape.
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

mod alphabet;
mod array;
mod convert;
mod entries;
mod file;
mod import;
mod inputs;
mod map;
mod npy;
mod npz;
mod options;
mod pytorch;
mod reading;
mod roles;
mod table;
mod tensors;
mod unread;
mod whole;

pub use array::{Array, Element};
pub use import::{Activation, Import, Imported, ModelLoss, Nonlinearity, States};
#[cfg(feature = "onnx")]
pub use import::{to_onnx, updated_onnx};
pub use options::{Missing, ReadOptions};
pub use whole::{can_write_whole, write_whole};

use std::path::Path;

use indexmap::IndexMap;
use ndarray::Dimension;

use crate::error::{Error, Result};
use crate::op::Scalar;
use crate::recurrence::{Batch, Outputs, Params};

/// The formats of files.
const FORMATS: &[file::Format] = &[npz::FORMAT, npy::FORMAT, tensors::FORMAT, table::FORMAT];

/// The default limit on the memory that a compressed file may expand to, in bytes: 4 GiB.
pub const EXPANDED: u64 = 4 << 30;

/// The prefix of the names of arrays that store the state of an unfinished fit beside its parameters.
/// [`Arrays::params`] ignores them.
pub const FIT: &str = "fit/";

/// The name of the array with the mask of steps with missing values ([`Missing::Mask`]), unless the recurrence has a
/// mask.
pub const MASK: &str = "observed";

/// Named arrays, the content of a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Arrays {
    arrays: IndexMap<String, Array>,
    /// The reasons why other arrays of a file cannot be used, by name.
    refused: IndexMap<String, String>,
    /// The names of arrays and columns of a file that were not read.
    unused: Vec<String>,
    /// Remarks on the reading of a file.
    notes: Vec<String>,
    /// The texts of the classes of an input.
    alphabets: IndexMap<String, Vec<String>>,
    /// The names of the samples of a table, in their order.
    samples: Vec<String>,
    /// The line of the first row of a table that was left out.
    dropped: Option<usize>,
}

impl Arrays {
    /// An empty set of arrays.
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

    /// Removes an array.
    pub fn remove(&mut self, name: &str) -> Option<Array> {
        self.arrays.shift_remove(name)
    }

    /// The array of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Array> {
        self.arrays.get(name)
    }

    /// The arrays with their names, in file order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Array)> {
        self.arrays.iter().map(|(n, a)| (&**n, a))
    }

    /// The arrays of a file that cannot be used, each with the reason: texts, complex numbers, records. The reason is
    /// an error when such an array is needed.
    pub fn refused(&self) -> impl Iterator<Item = (&str, &str)> {
        self.refused.iter().map(|(n, reason)| (&**n, &**reason))
    }

    /// The arrays and the columns of a file that [`ReadOptions::read`] did not read, as no input needs them.
    pub fn unused(&self) -> impl Iterator<Item = &str> {
        self.unused.iter().map(|name| &**name)
    }

    /// Remarks on the reading of a file: rows that were left out, a guessed encoding.
    pub fn notes(&self) -> impl Iterator<Item = &str> {
        self.notes.iter().map(|note| &**note)
    }

    /// The texts of the classes of an input, in the order of their numbers, if a column of texts was read.
    #[must_use]
    pub fn alphabet(&self, input: &str) -> Option<&[String]> {
        self.alphabets.get(input).map(|classes| &**classes)
    }

    /// The reason why an array of this name cannot be used.
    fn reason_against(&self, name: &str) -> Result<()> {
        match self.refused.get(name) {
            None => Ok(()),
            Some(reason) => Err(Error::Array {
                reason: reason.clone(),
            }),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.arrays.contains_key(name) || self.refused.contains_key(name)
    }

    /// Adds an array of a file, or the reason why it cannot be used, which is an error when it is needed.
    fn insert_read(&mut self, name: &str, array: Result<Array, String>) {
        match array {
            Ok(array) => self.insert(name, array),
            Err(reason) => drop(self.refused.insert(name.into(), reason)),
        }
    }

    /// Reads a `.npz` or a `.safetensors` file, one array from a `.npy` file, which has the name of the file, or one
    /// sequence from a `.csv` or `.tsv` table: a row of names, then a row
    /// for each step; `y` is a number, `[T, 1]`, and `x[0]`, `x[1]`, … are the entries of a vector,
    /// `[T, 1, n]`. The fields are separated by `,`, `;`, `|` or tab, as the row of names shows.
    /// [Missing values](Missing) are NaN. Narrow numbers are widened, and arrays may be in Fortran order or
    /// big-endian. An array or a column of other entries is among [`refused`](Self::refused).
    ///
    /// # Errors
    /// When the file cannot be read or is damaged; when a compressed file would expand to more than [`EXPANDED`]
    /// bytes.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        Self::read_limited(path, reading::expanded())
    }

    /// As [`read`](Self::read), with another limit on the expansion of a compressed file, in bytes.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub fn read_limited(path: impl AsRef<Path>, limit: u64) -> Result<Self> {
        let options = ReadOptions::new();
        reading::file(path.as_ref(), None, &options, (true, &Self::new()), limit)
    }

    /// Checks that arrays can be written to this file, before a computation whose results would be lost: the
    /// name must end in `.npz` or `.safetensors`, and a file can be created in its folder.
    ///
    /// ```
    /// use bptt::data::Arrays;
    /// assert!(Arrays::can_write("gradient.txt").is_err());
    /// assert!(Arrays::can_write("no/such/folder/gradient.npz").is_err());
    /// ```
    ///
    /// # Errors
    /// When arrays cannot be written to this file.
    pub fn can_write(path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        file::Format::to_write(path, FORMATS)?;
        can_write_whole(path)
    }

    /// Writes a `.npz` or a `.safetensors` file atomically.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let bytes = file::Format::to_write(path, FORMATS)?(self);
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
            ..Self::default()
        }
    }
}

impl<F: Scalar + Element> From<&Params<F>> for Arrays {
    fn from(params: &Params<F>) -> Self {
        params.iter().collect()
    }
}

impl<F: Scalar + Element> From<&Batch<F>> for Arrays {
    /// The inputs, and `lengths` if sequences differ in length: [`Arrays::batch`] reads them again.
    fn from(batch: &Batch<F>) -> Self {
        let mut arrays = Self::new();
        for name in batch.names() {
            if let Some(array) = batch.get(name) {
                arrays.insert(name, F::array(array.clone()));
            } else if let Some(classes) = batch.classes(name) {
                // A missing class is the largest number, and was -1.
                let class = |c: &usize| i64::try_from(*c).unwrap_or(-1);
                arrays.insert(name, Array::Int(classes.map(class)));
            }
        }
        if batch.lengths().any(|length| length != batch.steps()) {
            let lengths = batch.lengths().map(|n| i64::try_from(n).unwrap_or(-1));
            let lengths: ndarray::Array1<i64> = lengths.collect();
            arrays.insert(inputs::LENGTHS, Array::Int(lengths.into_dyn()));
        }
        arrays
    }
}

impl<F: Scalar + Element> From<&Outputs<F>> for Arrays {
    fn from(outputs: &Outputs<F>) -> Self {
        outputs.iter().collect()
    }
}
