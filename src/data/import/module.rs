//! The modules of a saved model, as matrices with one row for each value that they compute.

use ndarray::ArrayD;

/// An array of the file and its name there.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tensor {
    pub(super) source: String,
    pub(super) array: ArrayD<f64>,
}

impl Tensor {
    pub(super) fn rows(&self) -> usize {
        self.array.shape().first().copied().unwrap_or(0)
    }

    pub(super) fn columns(&self) -> usize {
        self.array.shape().get(1).copied().unwrap_or(0)
    }
}

/// A kind of recurrent layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Rnn,
    Lstm,
    /// The GRU that resets after the product with the state.
    Gru,
    /// The GRU that resets the state before the product.
    GruBefore,
}

/// The program that a model comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    PyTorch,
    Keras,
}

impl Origin {
    /// The usual constant of a layer norm, which a file does not store, and its name.
    pub(super) const fn epsilon(self) -> [&'static str; 2] {
        match self {
            Self::PyTorch => ["1e-5", "`eps` of nn.LayerNorm"],
            Self::Keras => ["1e-3", "`epsilon` of a LayerNormalization of Keras"],
        }
    }

    /// The name of a simple recurrent layer.
    pub(super) const fn rnn(self) -> &'static str {
        match self {
            Self::PyTorch => "`nn.RNN`",
            Self::Keras => "SimpleRNN",
        }
    }
}

impl Kind {
    /// The gates in the order of the rows.
    pub(super) const fn gates(self) -> &'static [&'static str] {
        match self {
            Self::Rnn => &["h"],
            Self::Lstm => &["i", "f", "g", "o"],
            Self::Gru | Self::GruBefore => &["r", "z", "n"],
        }
    }

    pub(super) const fn module(self) -> &'static str {
        match self {
            Self::Rnn => "RNN",
            Self::Lstm => "LSTM",
            Self::Gru | Self::GruBefore => "GRU",
        }
    }
}

/// A recurrent layer in one direction. The rows of all gates are stacked.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Layer {
    pub(super) of_input: Tensor,
    pub(super) of_state: Tensor,
    pub(super) bias: Option<Tensor>,
    pub(super) second_bias: Option<Tensor>,
    pub(super) projection: Option<Tensor>,
}

/// A stack of recurrent layers. Each has one or two directions, the backward one last.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stack {
    pub(super) kind: Kind,
    pub(super) layers: Vec<Vec<Layer>>,
    /// The size of the state of a layer in one direction.
    pub(super) hidden: usize,
    /// The size of its output, which a projection makes smaller.
    pub(super) projected: usize,
}

/// The computation of a module.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Body {
    Embedding(Tensor),
    Linear(Tensor, Option<Tensor>),
    Norm(Tensor, Option<Tensor>),
    Recurrent(Stack),
}

/// A module and the prefix of its arrays, without the last dot.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Module {
    pub(super) origin: Origin,
    pub(super) prefix: String,
    pub(super) body: Body,
}

impl Module {
    /// The number of values that it takes; `None` for a class.
    pub(super) fn takes(&self) -> Option<usize> {
        match &self.body {
            Body::Embedding(_) => None,
            Body::Linear(weight, _) => Some(weight.columns()),
            Body::Norm(scale, _) => Some(scale.rows()),
            Body::Recurrent(stack) => {
                let first = stack.layers.first().and_then(|layer| layer.first());
                first.map(|layer| layer.of_input.columns())
            }
        }
    }

    /// The number of values that it gives.
    pub(super) fn gives(&self) -> usize {
        match &self.body {
            Body::Embedding(weight) => weight.columns(),
            Body::Linear(weight, _) => weight.rows(),
            Body::Norm(scale, _) => scale.rows(),
            Body::Recurrent(stack) => {
                let directions = stack.layers.first().map_or(1, Vec::len);
                directions * stack.projected
            }
        }
    }

    /// The name in messages.
    pub(super) fn name(&self) -> &str {
        match &*self.prefix {
            "" => "(no prefix)",
            prefix => prefix,
        }
    }

    pub(super) const fn kind(&self) -> &'static str {
        match &self.body {
            Body::Embedding(_) => "embedding",
            Body::Linear(..) => "linear",
            Body::Norm(..) => "layer norm",
            Body::Recurrent(stack) => stack.kind.module(),
        }
    }
}
