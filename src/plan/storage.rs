//! The lifetimes of values in memory.

/// The lifetime of the values of a buffer, and the rate of its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Storage {
    /// The memory of the caller, for a leaf of the recurrence.
    Leaf(usize),
    /// One row.
    Static,
    /// A row per sample.
    Sample,
    /// A row per sample, for the current step.
    Local,
    /// A row per sample and step of a chunk of time.
    Chunk,
    /// A row per sample and step.
    Full,
}
