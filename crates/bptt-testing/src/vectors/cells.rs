//! The cells that other libraries have, recognised by the names of the parameters.

use bptt::{Error, Recurrence, Result};

use super::layout::Layout;

/// A cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Rnn,
    Lstm,
    PeepholeLstm,
    /// The reset gate acts after the product.
    Gru,
    GruResetBefore,
}

/// The names of the parameters of a gate. A bias without a second one is added to nothing else.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gate {
    pub(super) of_input: &'static str,
    pub(super) of_state: &'static str,
    pub(super) bias: &'static str,
    pub(super) second_bias: Option<&'static str>,
}

const fn gate(
    [of_input, of_state, bias]: [&'static str; 3],
    second_bias: Option<&'static str>,
) -> Gate {
    Gate {
        of_input,
        of_state,
        bias,
        second_bias,
    }
}

const ELMAN: Gate = gate(["W_X", "W_H", "b_h"], None);
const I: Gate = gate(["W_i", "U_i", "b_i"], None);
const F: Gate = gate(["W_f", "U_f", "b_f"], None);
const G: Gate = gate(["W_g", "U_g", "b_g"], None);
const O: Gate = gate(["W_o", "U_o", "b_o"], None);
const R: Gate = gate(["W_r", "U_r", "b_r"], None);
const Z: Gate = gate(["W_z", "U_z", "b_z"], None);
const N: Gate = gate(["W_n", "U_n", "b_n"], Some("b_u"));
const N_BEFORE: Gate = gate(["W_n", "U_n", "b_n"], None);

impl Kind {
    /// Kinds whose parameters are among those of another follow it.
    const ALL: [Self; 5] = [
        Self::PeepholeLstm,
        Self::Lstm,
        Self::Gru,
        Self::GruResetBefore,
        Self::Rnn,
    ];

    /// The gates in the order of a library; none if it does not have the cell.
    pub(super) const fn gates(self, layout: Layout) -> &'static [Gate] {
        match (self, layout) {
            (Self::Rnn, _) => &[ELMAN],
            (Self::PeepholeLstm, Layout::Pytorch | Layout::Keras)
            | (Self::GruResetBefore, Layout::Pytorch) => &[],
            (Self::Lstm | Self::PeepholeLstm, Layout::Onnx) => &[I, O, F, G],
            (Self::Lstm | Self::PeepholeLstm, _) => &[I, F, G, O],
            (Self::Gru, Layout::Onnx | Layout::Keras) => &[Z, R, N],
            (Self::Gru, _) => &[R, Z, N],
            (Self::GruResetBefore, _) => &[Z, R, N_BEFORE],
        }
    }

    /// The weights of the peepholes, in the order of ONNX.
    pub(super) const fn peepholes(self) -> &'static [&'static str] {
        match self {
            Self::PeepholeLstm => &["p_i", "p_o", "p_f"],
            _ => &[],
        }
    }

    /// The states with the letters of their starts.
    pub(super) const fn states(self) -> &'static [&'static str] {
        match self {
            Self::Lstm | Self::PeepholeLstm => &["h", "c"],
            _ => &["h"],
        }
    }

    /// The name of the layer in Keras.
    pub(super) const fn layer(self) -> &'static str {
        match self {
            Self::Rnn => "simple_rnn",
            Self::Lstm | Self::PeepholeLstm => "lstm",
            Self::Gru | Self::GruResetBefore => "gru",
        }
    }

    /// The kind whose parameters have this suffix.
    fn of(recurrence: &Recurrence, suffix: &str) -> Option<Self> {
        let has = |name: &str| {
            let name = format!("{name}{suffix}");
            recurrence.parameters().any(|p| p == name)
        };
        Self::ALL.into_iter().find(|kind| {
            let gates = kind.gates(Layout::Bptt).iter();
            let names = gates.flat_map(|g| {
                let second = g.second_bias.into_iter();
                [g.of_input, g.of_state, g.bias].into_iter().chain(second)
            });
            names.chain(kind.peepholes().iter().copied()).all(has)
        })
    }
}

/// The cells of a recurrence.
pub(super) struct Stack {
    pub(super) kind: Kind,
    /// The suffixes of each layer: one, or that of the forward and that of the backward direction.
    pub(super) layers: Vec<Vec<String>>,
}

impl Stack {
    /// The cells of a recurrence that a library has.
    pub(super) fn of(recurrence: &Recurrence, layout: Layout) -> Result<Self> {
        let directions = |layer: &str| -> Vec<String> {
            let both = ["_fw", "_bw"].map(|way| format!("{layer}{way}"));
            let there = |suffix: &str| Kind::of(recurrence, suffix).is_some();
            match () {
                () if there(layer) => vec![layer.into()],
                () if both.iter().all(|s| there(s)) => both.into(),
                () => Vec::new(),
            }
        };
        let single = directions("");
        let layers: Vec<Vec<String>> = match single.is_empty() {
            false => vec![single],
            true => (1..)
                .map(|n| directions(&format!("_{n}")))
                .take_while(|ways| !ways.is_empty())
                .collect(),
        };
        let suffixes = || layers.iter().flatten();
        let kinds = suffixes().filter_map(|suffix| Kind::of(recurrence, suffix));
        let mut kinds = kinds.collect::<Vec<_>>();
        kinds.dedup();
        match kinds[..] {
            [kind] if !kind.gates(layout).is_empty() => Ok(Self { kind, layers }),
            _ => Err(Error::Array {
                reason: format!(
                    "`{}` has no cell that {} has, by the names of its parameters: expected those of {}; take the layout \
                     bptt, which has every recurrence",
                    recurrence.name(),
                    layout.title(),
                    match layout {
                        Layout::Onnx =>
                            "rnn, lstm, lstm_peephole, gru_reset_after or gru_reset_before",
                        Layout::Keras => "rnn, lstm, gru_reset_after or gru_reset_before",
                        _ => "rnn, lstm or gru_reset_after",
                    }
                ),
            }),
        }
    }
}
