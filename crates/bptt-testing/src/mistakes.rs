//! The catalogue of mistakes.
