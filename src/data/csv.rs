//! A table in text form: one row for each step of one sequence, one column for each input.

use indexmap::IndexMap;
use ndarray::{ArrayD, Dimension, IxDyn};

use super::{Array, Arrays};

/// The bytes of memory per byte of a table. A number can be as short as a digit and a comma, and is stored both
/// in a growing column and in its array; a column has a list of its own.
pub(super) const MEMORY: usize = 24;

/// Reads a table with the names of the columns in the first row: `y` is a number per step, `[T, 1]`, and
/// `x[0]`, `x[1]`, … are the entries of a vector, `[T, 1, n]`.
pub(super) fn read(bytes: &[u8]) -> Result<Arrays, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "is not text")?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = text
        .lines()
        .enumerate()
        .filter(|(_, l)| !l.trim().is_empty());
    let header = lines.next().ok_or("is empty, expected a row of names")?.1;
    let names: Vec<&str> = header.split(',').map(unquoted).collect();
    if names.iter().any(|n| n.parse::<f64>().is_ok()) {
        return Err(format!(
            "expected a row of names first, such as `y,x[0],x[1]`, found `{header}`"
        ));
    }
    if let [only] = names[..]
        && only.contains([';', '\t'])
    {
        return Err(format!(
            "expected fields separated by commas, found `{header}`"
        ));
    }
    if let Some(i) = names.iter().position(|n| n.is_empty()) {
        return Err(format!("column {} has no name", i + 1));
    }
    let mut columns: Vec<Vec<f64>> = vec![Vec::new(); names.len()];
    for (i, line) in lines {
        let fields: Vec<&str> = line.split(',').map(unquoted).collect();
        if fields.len() != names.len() {
            let (expected, found) = (names.len(), fields.len());
            return Err(format!(
                "line {}: expected {expected} fields, found {found}",
                i + 1
            ));
        }
        for ((column, name), field) in columns.iter_mut().zip(&names).zip(fields) {
            let number = field.parse().map_err(|_| {
                format!(
                    "line {}: `{name}`: expected a number, found `{field}`",
                    i + 1
                )
            });
            column.push(number?);
        }
    }
    let mut groups: IndexMap<&str, Vec<Vec<f64>>> = IndexMap::new();
    let mut vectors: Vec<&str> = Vec::new();
    for (name, column) in names.iter().zip(columns) {
        let (base, index) = match name.strip_suffix(']').and_then(|n| n.split_once('[')) {
            Some((base, index)) => (base, Some(index)),
            None => (*name, None),
        };
        let group = groups.entry(base).or_default();
        let expected = index.map(|_| group.len().to_string());
        if index != expected.as_deref() || (index.is_none() && !group.is_empty()) {
            return Err(format!(
                "column `{name}`: expected `{base}`, or `{base}[0]`, `{base}[1]`, …, once each"
            ));
        }
        vectors.extend(index.map(|_| base));
        group.push(column);
    }
    let mut arrays = Arrays::new();
    for (name, group) in groups {
        let (steps, width) = (group[0].len(), group.len());
        let mut shape = vec![steps, 1];
        shape.extend(vectors.contains(&name).then_some(width));
        // The index has no third axis for a number.
        let entry = |i: IxDyn| group[i.as_array_view().get(2).copied().unwrap_or(0)][i[0]];
        arrays.insert(name, Array::F64(ArrayD::from_shape_fn(shape, entry)));
    }
    Ok(arrays)
}

fn unquoted(field: &str) -> &str {
    let field = field.trim();
    let inside = field.strip_prefix('"').and_then(|f| f.strip_suffix('"'));
    inside.unwrap_or(field)
}
