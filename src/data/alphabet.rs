//! The texts of classes as arrays, which are saved beside the parameters.

use ndarray::{Array2, ArrayD, Ix2};

use super::{Array, Arrays};
use crate::error::{Error, Result};

/// The prefix of the names of arrays with the texts of classes: [`Arrays::params`] ignores them.
const CLASSES: &str = "classes/";
/// The most signs of such an array.
const MOST_SIGNS: usize = 1 << 24;

impl Arrays {
    /// Adds the texts of the classes of an input, as an array `classes/` and its name of integers `[C, n]`: a row for
    /// each class, with the code points of its text and zeros behind them. [`params`](Self::params) ignores it.
    ///
    /// ```
    /// use bptt::data::Arrays;
    /// let mut arrays = Arrays::new();
    /// arrays.insert_alphabet("y", &["down".into(), "up".into()])?;
    /// let saved: Vec<_> = arrays.saved_alphabets().collect();
    /// assert_eq!(saved, [("y".into(), vec!["down".into(), "up".into()])]);
    /// # Ok::<(), bptt::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the texts are too many or too long: more than 2²⁴ entries.
    pub fn insert_alphabet(&mut self, input: &str, classes: &[String]) -> Result<()> {
        let longest = classes.iter().map(|text| text.chars().count()).max();
        let shape = (classes.len(), longest.unwrap_or(0).max(1));
        if shape.0.saturating_mul(shape.1) > MOST_SIGNS {
            return Err(Error::Array {
                reason: format!(
                    "the {} classes of `{input}` have texts of up to {} characters, expected at most {MOST_SIGNS} in \
                     all; read the input from a column of shorter texts",
                    shape.0, shape.1
                ),
            });
        }
        let mut signs = Array2::<i64>::zeros(shape);
        for (mut row, text) in signs.outer_iter_mut().zip(classes) {
            for (entry, sign) in row.iter_mut().zip(text.chars()) {
                *entry = i64::from(u32::from(sign));
            }
        }
        self.insert(&format!("{CLASSES}{input}"), Array::Int(signs.into_dyn()));
        Ok(())
    }

    /// The texts of classes that [`insert_alphabet`](Self::insert_alphabet) added, by input.
    pub fn saved_alphabets(&self) -> impl Iterator<Item = (String, Vec<String>)> {
        self.iter().filter_map(|(name, array)| {
            let input = name.strip_prefix(CLASSES)?;
            Some((input.to_owned(), texts(array)?))
        })
    }
}

/// True for the name of an array with the texts of classes.
pub(super) fn is_alphabet(name: &str) -> bool {
    name.starts_with(CLASSES)
}

fn texts(array: &Array) -> Option<Vec<String>> {
    let signs: &ArrayD<i64> = match array {
        Array::Int(signs) => signs,
        _ => return None,
    };
    let rows = signs.view().into_dimensionality::<Ix2>().ok()?;
    let sign = |code: &i64| u32::try_from(*code).ok().and_then(char::from_u32);
    let text = |row: ndarray::ArrayView1<'_, i64>| {
        let end = row.iter().rposition(|code| *code != 0).map_or(0, |i| i + 1);
        row.iter().take(end).map(sign).collect::<Option<String>>()
    };
    rows.outer_iter().map(text).collect()
}
