//! Programs in other languages.
