//! Several vectors of the state at several places.

use ndarray::{Array2, ArrayView2, ArrayViewD, ArrayViewMut2, ArrayViewMutD};

use super::Part;
use crate::error::Result;
use crate::recurrence::check_room;

/// For each of `rows` places, `count` vectors of the state; a vector is in parts. The array of a part has shape `[1, rows, count, …]`, as a run of one
/// step in several directions expects it.
#[derive(Clone, Debug)]
pub(super) struct Bundle {
    count: usize,
    parts: Vec<Piece>,
}

#[derive(Clone, Debug)]
struct Piece {
    shape: Vec<usize>,
    size: usize,
    entries: Vec<f64>,
}

impl Bundle {
    pub(super) fn zeros(parts: &[Part], rows: usize, count: usize) -> Result<Self> {
        let piece = |part: &Part| {
            let mut shape = vec![1, rows, count];
            shape.extend(&part.shape);
            check_room::<f64>(&part.name, &shape)?;
            Ok(Piece {
                size: part.size(),
                entries: vec![0.0; rows * count * part.size()],
                shape,
            })
        };
        Ok(Self {
            count,
            parts: parts.iter().map(piece).collect::<Result<_>>()?,
        })
    }

    /// The unit vectors, at each place.
    pub(super) fn units(parts: &[Part], rows: usize) -> Result<Self> {
        let size = parts.iter().map(Part::size).sum();
        let mut bundle = Self::zeros(parts, rows, size)?;
        for row in 0..rows {
            for (part, mut units) in parts.iter().zip(bundle.row_mut(row)) {
                for entry in 0..part.size() {
                    units[[part.start + entry, entry]] = 1.0;
                }
            }
        }
        Ok(bundle)
    }

    /// The arrays of the parts.
    pub(super) fn arrays(&self) -> impl Iterator<Item = ArrayViewD<'_, f64>> {
        let parts = self.parts.iter();
        parts.filter_map(|p| ArrayViewD::from_shape(&p.shape[..], &p.entries).ok())
    }

    pub(super) fn arrays_mut(&mut self) -> impl Iterator<Item = ArrayViewMutD<'_, f64>> {
        let parts = self.parts.iter_mut();
        parts.filter_map(|p| ArrayViewMutD::from_shape(&p.shape[..], &mut p.entries).ok())
    }

    /// The vectors of a row, part by part, each as a matrix `[count, entries]`.
    pub(super) fn row(&self, row: usize) -> impl Iterator<Item = ArrayView2<'_, f64>> {
        let count = self.count;
        self.parts.iter().filter_map(move |piece| {
            let len = count * piece.size;
            let entries = piece.entries.get(row * len..(row + 1) * len)?;
            ArrayView2::from_shape((count, piece.size), entries).ok()
        })
    }

    pub(super) fn row_mut(&mut self, row: usize) -> impl Iterator<Item = ArrayViewMut2<'_, f64>> {
        let count = self.count;
        self.parts.iter_mut().filter_map(move |piece| {
            let len = count * piece.size;
            let entries = piece.entries.get_mut(row * len..(row + 1) * len)?;
            ArrayViewMut2::from_shape((count, piece.size), entries).ok()
        })
    }

    /// The vectors of a row, as the rows of a matrix `[count, n]`.
    pub(super) fn matrix(&self, row: usize) -> Array2<f64> {
        let parts: Vec<ArrayView2<'_, f64>> = self.row(row).collect();
        let joined = ndarray::concatenate(ndarray::Axis(1), &parts);
        joined.unwrap_or_else(|_| Array2::zeros((self.count, 0)))
    }

    /// Replaces the vectors of a row by the rows of a matrix `[count, n]`.
    pub(super) fn set_matrix(&mut self, row: usize, matrix: &ArrayView2<'_, f64>) {
        let mut start = 0;
        for mut part in self.row_mut(row) {
            let end = start + part.ncols();
            part.assign(&matrix.slice(ndarray::s![.., start..end]));
            start = end;
        }
    }
}
