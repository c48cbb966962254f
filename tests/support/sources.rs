//! Recurrences used by several tests.

/// A state with two lags.
pub(crate) const LAGS: &str = "
dim H, K
input x[K], y[H]
param A[H, H], B[H, H], W[H, K], b[H]
state h[H]
h' = tanh(A @ h + B @ delay(h) + W @ x + b)
loss 0.5 * sum((h' - y)^2)
";

/// Two states, one of which reads the other within the step.
pub(crate) const PAIR: &str = "
dim H
input x[H], y[H]
param A[H, H], B[H, H], P[H, H], Q[H, H]
state h[H], s[H]
a = A @ h + P @ s + x
h' = tanh(a)
s' = tanh(Q @ h' + B @ s)
loss 0.5 * sum((s' - y)^2)
";
