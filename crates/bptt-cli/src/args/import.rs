//! The options of `bptt import`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

#[derive(Args, Debug)]
pub(crate) struct Import {
    /// Model: .onnx, or the arrays of PyTorch or Keras as .npz or .safetensors
    pub(crate) model: PathBuf,
    /// Output file for the recurrence: .rec
    #[arg(long, short, value_name = "FILE", required_unless_present = "cell")]
    pub(crate) out: Option<PathBuf>,
    /// Output file for the parameters: .npz or .safetensors
    #[arg(long, short, value_name = "FILE")]
    pub(crate) params: PathBuf,
    /// Recurrence whose parameters are filled from the arrays of the model: name in the library, or .rec file
    #[arg(long, value_name = "CELL", conflicts_with_all = ["out", "nonlinearity", "activation", "loss", "states", "order", "ignore"])]
    pub(crate) cell: Option<String>,
    /// Line that gives a parameter of --cell, e.g. 'b = cell.bias[0] + cell.bias[1]'; several times
    #[arg(long, value_name = "LINE", requires = "cell")]
    pub(crate) map: Vec<String>,
    /// File of such lines; # begins a comment
    #[arg(long, value_name = "FILE", requires = "cell", conflicts_with = "map")]
    pub(crate) map_file: Option<PathBuf>,
    /// Function of an nn.RNN, or of such a layer of Keras
    #[arg(long, value_name = "NAME")]
    pub(crate) nonlinearity: Option<Nonlinearity>,
    /// Function after every linear layer but a last one
    #[arg(long, value_name = "NAME")]
    pub(crate) activation: Option<Activation>,
    /// Loss of the recurrence
    #[arg(long, value_name = "NAME", default_value = "none")]
    pub(crate) loss: ModelLoss,
    /// States before the first step
    #[arg(long, value_name = "NAME", default_value = "zero")]
    pub(crate) states: States,
    /// Prefixes of the modules in the order in which the model applies them, e.g. embed,lstm,head;
    /// default: by their sizes
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub(crate) order: Vec<String>,
    /// Arrays, or prefixes of arrays, to be left out
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub(crate) ignore: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Nonlinearity {
    Tanh,
    Relu,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Activation {
    None,
    Relu,
    Tanh,
    Sigmoid,
    Gelu,
    Silu,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModelLoss {
    /// No loss, and no targets
    None,
    /// That of nn.CrossEntropyLoss
    Softmax,
    /// That of nn.MSELoss
    Squared,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum States {
    /// Zero
    Zero,
    /// Inputs h0, c0, one vector for each sample
    Inputs,
}
