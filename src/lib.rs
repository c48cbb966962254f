//! Differentiate a recurrence.
#![warn(clippy::print_stdout)]

mod diff;
mod error;
pub mod fit;
mod op;
mod recurrence;
mod shape;
mod tape;

pub use error::{Error, Mistake, Result};
pub use op::{
    Axis, Constant, CustomOp, Edge, Expr, LeafId, NodeId, Notation, Op, RegisterId, Scalar,
    ScalarFunction, Setting, Value, concat, stack_rows,
};
pub use recurrence::{Batch, Definition, Outputs, Params, Recurrence, Unrolled, Wrt, cells};
pub use shape::{Dim, Kind, MAX_TERMS, Rate, Shape, Symbol, Type};
pub use tape::{Direction, Edit, Leaf, Node, NodeSite, Register, RegisterEdit, RegisterSite, Role, Tape};

/// The rows of the op table.
pub mod ops {
    pub use crate::op::{Linear, Over, Pointwise, Reduce, Time};
}
