//! The arrangement of arrays in other libraries.

/// The names, the order and the shapes of the arrays of test vectors: those of the recurrence, or of another library.
///
/// | | parameters of a layer | gates | inputs and outputs |
/// |---|---|---|---|
/// | `bptt` | as in the recurrence | | `[T, B, …]`, states `[B, H]` |
/// | `pytorch` | `weight_ih_l0` `[G H, K]`, `weight_hh_l0` `[G H, H]`, `bias_ih_l0`, `bias_hh_l0` `[G H]`; `weight` `[O, H]`, `bias` `[O]` | `i f g o`; `r z n` | `[T, B, …]`; `h_0`, `c_0` `[D, B, H]` |
/// | `onnx` | `W` `[D, G H, K]`, `R` `[D, G H, H]`, `B` `[D, 2 G H]`, `P` `[D, 3 H]` | `i o f c`; `z r h` | `X` `[T, B, K]`, `sequence_lens` `[B]`; `initial_h`, `initial_c` `[D, B, H]` |
/// | `keras` | `lstm/lstm_cell/kernel` `[K, G H]`, `recurrent_kernel` `[H, G H]`, `bias` `[G H]` or `[2, G H]`; `dense/kernel` `[H, O]`, `dense/bias` `[O]` | `i f c o`; `z r h` | `[B, T, …]`, `mask` `[B, T]` |
///
/// `G` is the number of gates, `D` of directions. Where a library adds two biases, the first is twice ours and the second its negative, and
/// so is the second part of the direction; their gradients and Hessian products are both those of the sum. All other
/// arrays keep their names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// The arrays of the recurrence.
    #[default]
    Bptt,
    /// `nn.RNN`, `nn.LSTM`, `nn.GRU` of PyTorch, and `nn.Linear`.
    Pytorch,
    /// The nodes RNN, LSTM and GRU of ONNX.
    Onnx,
    /// `SimpleRNN`, `LSTM`, `GRU` of Keras, and `Dense`.
    Keras,
}

impl Layout {
    /// Every layout.
    pub const ALL: [Self; 4] = [Self::Bptt, Self::Pytorch, Self::Onnx, Self::Keras];

    /// The name in files and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bptt => "bptt",
            Self::Pytorch => "pytorch",
            Self::Onnx => "onnx",
            Self::Keras => "keras",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|layout| layout.name() == name)
    }

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Bptt => "bptt",
            Self::Pytorch => "PyTorch",
            Self::Onnx => "ONNX",
            Self::Keras => "Keras",
        }
    }
}
