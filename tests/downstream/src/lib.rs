//! A crate that embeds the library without its default features. All it has are tests, which run
//! without optimisation, as those of a user's crate do.
