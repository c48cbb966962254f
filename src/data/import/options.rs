//! The choices that a saved model leaves open.

/// The function of an `nn.RNN`, which its state dict does not store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nonlinearity {
    /// The default of PyTorch.
    Tanh,
    /// The other choice of PyTorch.
    Relu,
}

/// The function after every linear layer but a last one, which a state dict does not store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// The layers are linear.
    None,
    /// `relu`
    Relu,
    /// `tanh`
    Tanh,
    /// `sigmoid`
    Sigmoid,
    /// `gelu`
    Gelu,
    /// `silu`
    Silu,
}

/// The loss of the recurrence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ModelLoss {
    /// None: the recurrence needs no targets.
    #[default]
    None,
    /// The mean of the softmax cross-entropies, as `nn.CrossEntropyLoss` computes it.
    Softmax,
    /// The mean of the squared errors, as `nn.MSELoss` computes it.
    Squared,
}

/// The states before the first step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum States {
    /// Zero.
    #[default]
    Zero,
    /// Inputs, one vector for each sample: `h0`, `c0`.
    Inputs,
}

/// The choices that a saved model leaves open; see [`Arrays::import`](crate::data::Arrays::import).
#[derive(Clone, Debug, Default)]
pub struct Import {
    pub(super) nonlinearity: Option<Nonlinearity>,
    pub(super) activation: Option<Activation>,
    pub(super) loss: ModelLoss,
    pub(super) states: States,
    pub(super) order: Vec<String>,
    pub(super) ignored: Vec<String>,
}

impl Import {
    /// The choices of a model with one layer of LSTM or GRU: no loss, and states that start at zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The function of an `nn.RNN`.
    #[must_use]
    pub const fn nonlinearity(mut self, function: Nonlinearity) -> Self {
        self.nonlinearity = Some(function);
        self
    }

    /// The function after every linear layer but a last one.
    #[must_use]
    pub const fn activation(mut self, function: Activation) -> Self {
        self.activation = Some(function);
        self
    }

    /// The loss of the recurrence.
    #[must_use]
    pub const fn loss(mut self, loss: ModelLoss) -> Self {
        self.loss = loss;
        self
    }

    /// The states before the first step.
    #[must_use]
    pub const fn states(mut self, states: States) -> Self {
        self.states = states;
        self
    }

    /// The modules of the model in the order in which it applies them, by the prefixes of their arrays. By default
    /// it follows from their sizes.
    #[must_use]
    pub fn order(mut self, prefixes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.order = prefixes.into_iter().map(Into::into).collect();
        self
    }

    /// Arrays that are left out, by name or prefix.
    #[must_use]
    pub fn ignoring(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.ignored = names.into_iter().map(Into::into).collect();
        self
    }
}
