//! Files of test vectors: data of a recurrence with its loss, outputs and derivatives, which a program in any language
//! is held to without this library. `docs/test-vectors.md` describes the file, with readers in Python, C and Rust.
//!
//! ```
//! use bptt::Recurrence;
//! use bptt_testing::vectors::{Layout, Vectors};
//! use bptt_testing::{Answer, Cases, Precision};
//! use ndarray::arr0;
//!
//! let text = "param a\ninput x\nstate s\ns' = a * s + x\nloss s'^2\n";
//! let decay = Recurrence::parse("decay.rec", text)?;
//! let written = Vectors::draw(&Cases::new(&decay), 3, 1, Layout::Bptt)?;
//! # let folder = std::env::temp_dir().join(format!("bptt-vectors-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder)?;
//! # let file = folder.join("decay.npz");
//! written.write(&file)?;
//!
//! // A test of code that has no other relation to `bptt`.
//! for vector in Vectors::read(&file)?.iter() {
//!     let (a, x) = (vector.number("params/a")?, vector.real("inputs/x")?);
//!     let (mut loss, mut da) = (0.0, 0.0);
//!     for (b, length) in vector.lengths().into_iter().enumerate() {
//!         let (mut s, mut ds) = (0.0, 0.0);
//!         for t in 0..length {
//!             (s, ds) = (a * s + x[[t, b]], s + a * ds);
//!             loss += s * s;
//!             da += 2.0 * s * ds;
//!         }
//!     }
//!     vector.check(&Answer::new().loss(loss).gradient("a", arr0(da)), Precision::F64)?;
//!     assert!(vector.check(&Answer::new().loss(loss).gradient("a", arr0(-da)), Precision::F64).is_err());
//! }
//! # std::fs::remove_dir_all(folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod arrangement;
mod cells;
mod draw;
mod file;
mod layout;
mod vector;

pub use layout::Layout;
pub use vector::{Vector, Vectors};
