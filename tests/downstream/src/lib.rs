//! A crate that embeds the library without its default features. It has only tests, which run without
//! optimisation, as in a user's crate.
