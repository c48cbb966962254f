//! Test vectors as arrays of a file, and back.

use std::path::Path;

use bptt::data::{Array, Arrays};
use bptt::{Error, Result};
use indexmap::IndexMap;
use ndarray::{Array1, arr0};

use super::layout::Layout;
use super::vector::{Vector, Vectors};
use crate::Precision;

/// The version of the file.
const FORMAT: i64 = 1;

impl Vectors {
    /// The arrays of a file.
    #[must_use]
    pub fn arrays(&self) -> Arrays {
        let count = i64::try_from(self.vectors.len()).unwrap_or(i64::MAX);
        let mut arrays = Arrays::new()
            .with("format", arr0(FORMAT))
            .with("count", arr0(count))
            .with("seed", arr0(self.seed.cast_signed()))
            .with("recurrence", codes(&self.recurrence))
            .with("source", codes(&self.source))
            .with("layout", codes(self.layout.name()))
            .with("precision", codes(self.precision.name()));
        for vector in &self.vectors {
            for (path, array) in vector.arrays() {
                arrays.insert(&format!("{}/{path}", vector.number), array.clone());
            }
        }
        arrays
    }

    /// Writes a `.npz` or `.safetensors` file. The same vectors give the same bytes.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        self.arrays().write(path)
    }

    /// Reads a file that [`write`](Self::write) has written.
    ///
    /// # Errors
    /// If the file cannot be read, or is no file of test vectors of this version.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let of_file = |reason: String| Error::File {
            path: path.display().to_string(),
            reason,
        };
        Self::of(&Arrays::read(path)?).map_err(of_file)
    }

    fn of(arrays: &Arrays) -> std::result::Result<Self, String> {
        let whole = |name: &str| match arrays.get(name) {
            Some(Array::Int(a)) if a.len() == 1 => a.first().copied(),
            _ => None,
        };
        match whole("format") {
            Some(FORMAT) => {}
            Some(other) => {
                return Err(format!(
                    "has test vectors of format {other}, expected {FORMAT}; read it with the release that wrote it, or \
                     write it again with `bptt vectors`"
                ));
            }
            None => {
                return Err(
                    "has no array `format`, expected a file of test vectors, as `bptt vectors` writes them".into(),
                );
            }
        }
        let missing = |name: &str| format!("has no array `{name}` of test vectors");
        let said = |name: &str| text(arrays, name).ok_or_else(|| missing(name));
        let layout = said("layout")?;
        let count = whole("count").and_then(|n| usize::try_from(n).ok());
        let mut found: IndexMap<usize, Vector> = IndexMap::new();
        for (name, array) in arrays.iter() {
            let Some((number, path)) = name.split_once('/') else {
                continue;
            };
            let number = number
                .parse()
                .map_err(|_| format!("has an array `{name}`, which begins with no number"))?;
            let vector = found.entry(number).or_insert_with(|| Vector {
                number,
                arrays: IndexMap::new(),
            });
            vector.arrays.insert(path.into(), array.clone());
        }
        found.sort_unstable_keys();
        if count != Some(found.len()) || found.keys().copied().ne(0..found.len()) {
            return Err(format!(
                "has the arrays of {}, expected as many as `count` says",
                bptt::counted(found.len(), "test vector")
            ));
        }
        Ok(Self {
            recurrence: said("recurrence")?,
            source: said("source")?,
            layout: Layout::named(&layout).ok_or_else(|| {
                format!("has the layout {layout:?}, expected bptt, pytorch, onnx or keras")
            })?,
            precision: match &*said("precision")? {
                "f32" => Precision::F32,
                _ => Precision::F64,
            },
            seed: whole("seed")
                .ok_or_else(|| missing("seed"))?
                .cast_unsigned(),
            vectors: found.into_values().collect(),
        })
    }
}

/// The code points of a text.
fn codes(text: &str) -> Array1<i64> {
    text.chars().map(|c| i64::from(u32::from(c))).collect()
}

fn text(arrays: &Arrays, name: &str) -> Option<String> {
    let Some(Array::Int(codes)) = arrays.get(name) else {
        return None;
    };
    let sign = |code: &i64| u32::try_from(*code).ok().and_then(char::from_u32);
    codes.iter().map(sign).collect()
}
