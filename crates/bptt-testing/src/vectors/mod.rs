//! Files of test vectors.
