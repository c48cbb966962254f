//! Formulas on the page: one presentation tree with several output formats.
//!
//! [`Math`] describes the appearance of a formula, not its meaning. It is written as LaTeX (plain,
//! or the subset that GitHub accepts), as `MathML`, and as text in Unicode or ASCII.

mod latex;
mod mathml;
pub mod pres;
mod read;
mod text;

pub use latex::Dialect;
pub use pres::{Accent, Big, Fence, Math, Sign};
pub(crate) use pres::{greek, greek_name, greek_names};
pub(crate) use text::scripts;
pub use text::{Charset, text_width};
