//! The list of linear and bilinear ops; the rows are in `products`, `spread`, `parts`, `choice` and `diagonal`.

use super::axis::{Axis, Over};
use super::choice::{Alias, Select};
use super::diagonal::{Diag, Reshape};
use super::family::{LinearRule, linear_family};
use super::parts::{Concat, Gather, Pad, Scatter, Slice};
use super::products::{Dot, MatMul, Outer, Transpose};
use super::spread::{Broadcast, Sum};
use crate::shape::{Dim, Shape};

const ROWS: Axis = Axis::Rows;
const ONE: Dim = Dim::fixed(1);

linear_family! {
    /// The linear and bilinear ops.
    Linear {
        MatMul: [MatMul { strong: false }, MatMul { strong: true }],
        Dot: [Dot],
        Outer: [Outer { strong: false }, Outer { strong: true }],
        Transpose: [Transpose],
        Sum: [Sum(Over::All), Sum(Over::Axis(Axis::Rows)), Sum(Over::Axis(Axis::Columns))],
        Broadcast: [Broadcast { shape: Shape::Scalar, over: Over::All }],
        Concat: [Concat { axis: ROWS }],
        Slice: [Slice { axis: ROWS, start: ONE, len: ONE }],
        Pad: [Pad { axis: ROWS, before: ONE, after: ONE }],
        Gather: [Gather { axis: ROWS }],
        Scatter: [Scatter { axis: ROWS, len: ONE }],
        Select: [Select],
        Diag: [Diag],
        Reshape: [Reshape { shape: Shape::Scalar }],
        Alias: [Alias(0)],
    }
}
