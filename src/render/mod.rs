//! Mathematics on the page: one presentation tree, several ways to write it.
//!
//! [`Math`] says how a formula looks, not what it means. Whoever has meaning to show makes one, and
//! gets LaTeX (plain, or the part of it that GitHub accepts), `MathML`, and text in Unicode or ASCII.

mod latex;
mod mathml;
pub mod pres;
mod read;
mod text;

pub use latex::Dialect;
pub(crate) use mathml::escape;
pub use pres::{Accent, Big, Fence, Math, Sign};
pub(crate) use pres::{greek, greek_name, greek_names};
pub(crate) use text::scripts;
pub use text::{Charset, text_width};
