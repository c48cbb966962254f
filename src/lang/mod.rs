//! The recurrence language: a recurrence as a text a person writes, `*.rec`.
//!
//! `docs/language.md` has the grammar with every construct shown. [`Recurrence::parse`] reads a
//! text; mistakes come back as [`Diagnostics`], all at once. [`Recurrence::source`] writes the
//! canonical text of any recurrence, a gradient as well.

mod ast;
mod diagnostic;
mod ends;
mod eval;
mod expressions;
mod functions;
mod habits;
mod initial;
mod lexer;
mod lines;
mod order;
mod parser;
mod print;
mod print_expr;
mod print_loss;
mod print_states;
mod resolve;
mod roles;
mod shifts;
mod sizes;
mod token;
mod vocabulary;

pub use diagnostic::{Diagnostic, Diagnostics};

use diagnostic::Reports;

use crate::error::Result;
use crate::recurrence::Recurrence;

impl Recurrence {
    /// Reads a recurrence from a text in the recurrence language. It is called as the file is,
    /// without folder and extension.
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
    /// Everything that is wrong with the text, with the lines in question.
    pub fn parse(file: &str, source: &str) -> Result<Self, Diagnostics> {
        let reports = Reports::default();
        let program = parser::parse(source, &reports);
        let stem = file.rsplit(['/', '\\']).next().unwrap_or(file);
        let name = stem.strip_suffix(".rec").unwrap_or(stem);
        let recurrence = resolve::resolve(name, &program, &reports);
        recurrence.ok_or_else(|| reports.finish(file, source))
    }

    /// The recurrence in the recurrence language, in one canonical form: reading it and writing
    /// it again gives the same text. Values that are used more than once and have no name are
    /// given one.
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
    /// [`Error::NotInLanguage`](crate::Error::NotInLanguage) for what the language has no words
    /// for: a [`CustomOp`](crate::CustomOp), a constant that is not finite, the name of a
    /// parameter, an input or an output that is no name of the language.
    pub fn source(&self) -> Result<String> {
        print::source(self)
    }
}
