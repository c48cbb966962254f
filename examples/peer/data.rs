//! The data given to every competitor: hashes of the index, the same in every language.

use bptt::Scalar;
use ndarray::ArrayD;

/// A parameter in the layout shared by all competitors, with gate blocks stacked by rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tensor {
    /// `W_X`, `[G H, K]`.
    InputWeights,
    /// `W_H`, `[G H, H]`; of coRNN `[H, 2 H]`.
    StateWeights,
    /// `b`, `[G H]`.
    Bias,
    /// `b_H`, `[G H]`: the second bias of the GRU.
    StateBias,
    /// `p`, `[3, H]`.
    Peepholes,
    /// `W_P`, `[H, H]`.
    Projection,
    /// `b_P`, `[H]`.
    ProjectionBias,
}

impl Tensor {
    pub(crate) const fn seed(self) -> u32 {
        match self {
            Self::InputWeights => 2,
            Self::StateWeights => 3,
            Self::Bias => 4,
            Self::StateBias => 5,
            Self::Peepholes => 7,
            Self::Projection => 8,
            Self::ProjectionBias => 9,
        }
    }
}

/// The seed of the inputs `[T, B, K]`.
pub(crate) const INPUTS: u32 = 1;
/// The seed of the weights of the loss, `[T, B, H]`.
pub(crate) const LOSS_WEIGHTS: u32 = 6;
/// The seeds of the directions for directional derivatives of `W_H` and `W_X`.
pub(crate) const STATE_DIRECTION: u32 = 101;
pub(crate) const INPUT_DIRECTION: u32 = 102;

/// Number `index` of stream `seed`, in [−1, 1) and exact in `f32`.
pub(crate) fn raw(seed: u32, index: usize) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the hash is defined modulo 2^32"
    )]
    let mut x = (index as u32)
        .wrapping_mul(0x9E37_79B1)
        .wrapping_add(seed.wrapping_mul(0x85EB_CA77));
    x ^= x >> 16;
    x = x.wrapping_mul(0x7FEB_352D);
    x ^= x >> 15;
    x = x.wrapping_mul(0x846C_A68B);
    x ^= x >> 16;
    f64::from(x >> 8) / f64::from(1 << 23) - 1.0
}

/// An array filled in row-major order by `value` of 0, 1, 2, …
pub(crate) fn filled<F: Scalar>(shape: &[usize], value: impl Fn(usize) -> f64) -> ArrayD<F> {
    let mut index = 0;
    ArrayD::from_shape_simple_fn(shape, || {
        index += 1;
        F::of(value(index - 1))
    })
}
