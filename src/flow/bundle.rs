//! Several vectors of the state at several places.

use ndarray::{ArrayD, ArrayView2, ArrayViewMut2};

use super::Part;
use crate::error::Result;
use crate::recurrence::check_room;

/// For each of `rows` places, `count` vectors of the state; a vector is in parts. An array has shape `[1, rows, count, …]`, as a run of one step in
/// several directions expects it.
#[derive(Clone, Debug)]
pub(super) struct Bundle {
    count: usize,
    sizes: Vec<usize>,
    pub(super) parts: Vec<ArrayD<f64>>,
}

impl Bundle {
    pub(super) fn zeros(parts: &[Part], rows: usize, count: usize) -> Result<Self> {
        let array = |part: &Part| {
            let mut shape = vec![1, rows, count];
            shape.extend(&part.shape);
            check_room::<f64>(&part.name, &shape)?;
            Ok(ArrayD::zeros(shape))
        };
        Ok(Self {
            count,
            sizes: parts.iter().map(Part::size).collect(),
            parts: parts.iter().map(array).collect::<Result<_>>()?,
        })
    }

    /// The vectors of a row, part by part, each as a matrix `[count, entries]`.
    pub(super) fn row(&self, row: usize) -> impl Iterator<Item = ArrayView2<'_, f64>> {
        let parts = self.parts.iter().zip(&self.sizes);
        parts.filter_map(move |(part, size)| {
            let len = self.count * size;
            let entries = part
                .as_slice_memory_order()?
                .get(row * len..(row + 1) * len)?;
            ArrayView2::from_shape((self.count, *size), entries).ok()
        })
    }

    pub(super) fn row_mut(&mut self, row: usize) -> impl Iterator<Item = ArrayViewMut2<'_, f64>> {
        let count = self.count;
        let parts = self.parts.iter_mut().zip(&self.sizes);
        parts.filter_map(move |(part, size)| {
            let len = count * size;
            let entries = part
                .as_slice_memory_order_mut()?
                .get_mut(row * len..(row + 1) * len)?;
            ArrayViewMut2::from_shape((count, *size), entries).ok()
        })
    }
}
