//! The recurrence language: text files, `*.rec`.
//!
//! `docs/language.md` has the grammar, with an example of every construct. [`Recurrence::parse`] reads a text
//! and reports all errors together, as [`Diagnostics`]. [`Recurrence::source`] writes the canonical text of any
//! recurrence, including gradients.

mod advice;
mod ast;
mod bodies;
mod brackets;
mod cycles;
mod diagnostic;
mod ends;
mod eval;
mod expressions;
mod functions;
mod habits;
mod initial;
mod lexer;
mod lines;
mod looks;
mod names;
mod order;
mod parser;
mod print;
mod print_expr;
mod print_loss;
mod print_states;
mod products;
mod reference;
mod resolve;
mod roles;
mod shifts;
mod sizes;
mod token;
mod vocabulary;

#[cfg(feature = "onnx")]
pub(crate) use vocabulary::is_known as is_function;

pub use diagnostic::{Diagnostic, Diagnostics};
pub use reference::{Function, Subject, functions};

use diagnostic::Reports;

use crate::error::Result;
use crate::recurrence::Recurrence;
use crate::stack::with_room;

impl Recurrence {
    /// Parses a recurrence. Its name is the file name without folder and extension.
    ///
    /// ```
    /// let rnn = bptt::Recurrence::parse("rnn.rec", "
    ///     dim H, K
    ///     input x[K]
    ///     param W_H[H,H], W_X[H,K], b_h[H]
    ///     state h[H]
    ///     h' = tanh(W_H @ h + W_X @ x + b_h)
    ///     loss sum(h'^2)
    /// ")?;
    /// assert_eq!(rnn.name(), "rnn");
    /// assert_eq!(rnn.parameters().collect::<Vec<_>>(), ["W_H", "W_X", "b_h"]);
    /// # Ok::<(), bptt::Diagnostics>(())
    /// ```
    ///
    /// # Errors
    /// All errors in the text, each with its source lines.
    pub fn parse(file: &str, source: &str) -> Result<Self, Diagnostics> {
        with_room(|| {
            let reports = Reports::default();
            let program = parser::parse(source, &reports);
            let stem = file.rsplit(['/', '\\']).next().unwrap_or(file);
            let name = stem.strip_suffix(".rec").unwrap_or(stem);
            let recurrence = resolve::resolve(name, source, &program, &reports);
            recurrence.ok_or_else(|| reports.finish(file, source))
        })
    }

    /// The canonical text of the recurrence: parsing and writing it again gives the same text. Unnamed values
    /// that are used more than once get a name.
    ///
    /// ```
    /// use bptt::cells::{Cell, Loss};
    /// let rnn = Cell::rnn().model("rnn", Loss::SquaredError)?;
    /// let source = rnn.source()?;
    /// assert!(source.contains("h' = tanh(a)"), "{source}");
    /// assert_eq!(bptt::Recurrence::parse("rnn.rec", &source)?.source()?, source);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NotInLanguage`](crate::Error::NotInLanguage) for a [`CustomOp`](crate::CustomOp), a constant
    /// that is not finite, or a parameter, input or output whose name is not a name in the language.
    pub fn source(&self) -> Result<String> {
        with_room(|| print::source(self))
    }
}
