//! Writes the recurrence of a saved model, and its parameters.

mod back;
mod chain;
mod keras;
mod module;
mod names;
#[cfg(feature = "onnx")]
mod onnx;
mod options;
mod state;
mod text;

#[cfg(feature = "onnx")]
pub use onnx::{to_onnx, updated_onnx};
pub use options::{Activation, Import, ModelLoss, Nonlinearity, States};

use std::path::Path;

use super::Arrays;
use crate::error::{Error, Result};
use crate::recurrence::{Batch, Params, Recurrence};

/// A recurrence that computes the same as a saved model.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The recurrence.
    pub recurrence: Recurrence,
    /// Its text, with the source of each parameter in comments.
    pub source: String,
    /// Its parameters.
    pub params: Arrays,
    /// Remarks for the user: arrays that became one parameter.
    pub notes: Vec<String>,
}

impl Imported {
    /// The recurrence of a saved model: an ONNX model in a `.onnx` file (with the feature `onnx`), or the state dict in a
    /// `.npz` or `.safetensors` file; see [`Arrays::import`].
    ///
    /// # Errors
    /// When the file cannot be read or is damaged, or holds a model without a recurrence.
    pub fn read(path: impl AsRef<Path>, options: &Import) -> Result<Self> {
        let path = path.as_ref();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        #[cfg(feature = "onnx")]
        if is_onnx(path) {
            return Self::onnx(&name, &onnx::bytes(path)?, options);
        }
        Arrays::read_model(path)?.import(&name, options)
    }
}

fn is_onnx(path: &Path) -> bool {
    path.extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("onnx"))
}

impl Arrays {
    /// The arrays of a saved model: the initializers in a `.onnx` file (with the feature `onnx`), else as
    /// [`read`](Self::read).
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn read_model(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        #[cfg(feature = "onnx")]
        if is_onnx(path) {
            return onnx::initializers(&onnx::bytes(path)?);
        }
        #[cfg(not(feature = "onnx"))]
        if is_onnx(path) {
            let reason = "ONNX models are read with the feature `onnx` of the crate";
            return Err(super::file::refuse(path, reason));
        }
        Self::read(path)
    }

    /// The recurrence of a state dict of PyTorch, which may have an `nn.Embedding`, `nn.RNN`, `nn.LSTM` or `nn.GRU` with any
    /// number of layers, one or two directions and a projection, their cells, `nn.LayerNorm` and `nn.Linear`, with any
    /// prefixes, or of the weights of Keras 3, under their paths; `docs/cli.md` has the names. `name` is the file of the model, for the text.
    ///
    /// ```
    /// use bptt::data::{Arrays, Import, Nonlinearity};
    /// use ndarray::array;
    /// let state = Arrays::new()
    ///     .with("rnn.weight_ih_l0", array![[0.5_f32]])
    ///     .with("rnn.weight_hh_l0", array![[0.25_f32]])
    ///     .with("head.weight", array![[3.0_f32], [1.0]])
    ///     .with("head.bias", array![0.5_f32, 0.0]);
    /// assert!(state.import("model.npz", &Import::new()).is_err(), "tanh or relu?");
    /// let imported = state.import("model.npz", &Import::new().nonlinearity(Nonlinearity::Tanh))?;
    /// assert!(imported.source.contains("h' = tanh(W_X @ x + W_H @ h)"));
    /// assert!(imported.source.contains("output o = W_O @ h'"));
    /// assert_eq!(imported.params.get("W_O").map(|w| w.shape()), Some(&[2, 1][..]));
    /// # Ok::<(), bptt::Error>(())
    /// ```
    ///
    /// # Errors
    /// When an array is unknown, missing or of a wrong shape, when the model leaves a choice open that the [`Import`] does
    /// not make, or when a choice has no effect.
    pub fn import(&self, name: &str, options: &Import) -> Result<Imported> {
        let (modules, taken) = match keras::is_keras(self) {
            true => keras::modules(self, options)?,
            false => (state::modules(self, options)?, None),
        };
        let (modules, note) = chain::ordered(modules, options)?;
        let mut writer = text::Writer::new(options);
        writer.notes.extend(taken.into_iter().chain(note));
        let source = writer.write(name, &modules)?;
        let recurrence = Recurrence::parse(name, &source).map_err(|error| Error::Array {
            reason: format!(
                "the text of this model is no recurrence, which is a mistake of the import: {error}"
            ),
        })?;
        let params: Params<f64> = writer.params.params(&recurrence)?;
        recurrence.known_sizes(&params, &Batch::new(1, 1))?;
        Ok(Imported {
            recurrence,
            source,
            params: writer.params,
            notes: writer.notes,
        })
    }
}
