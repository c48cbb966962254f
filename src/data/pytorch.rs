//! Converts between state dicts of PyTorch's `nn.RNN`, `nn.LSTM` and `nn.GRU` and the parameters of the cells
//! of this crate.
//!
//! PyTorch stacks the gates in one matrix and has two biases, of which only the sum matters in most cells:
//!
//! | PyTorch | here |
//! |---|---|
//! | `weight_ih_l0`, the rows of gate `q` | `W_q` `[H, K]`; `W_X` of an Elman network |
//! | `weight_hh_l0`, the rows of gate `q` | `U_q` `[H, H]`; `W_H` |
//! | `bias_ih_l0` + `bias_hh_l0`, the rows of gate `q` | `b_q` `[H]`; `b_h` |
//! | of gate `n` of a GRU | `b_n` and `b_u`, which are not added |
//! | `weight`, `bias` of the one `nn.Linear` | `W_O` `[O, H]`, `b_q` `[O]` |
//!
//! The order of the gates is `i, f, g, o` for an LSTM and `r, z, n` for a GRU. Layers `l0`, `l1`, … correspond
//! to the suffixes `_1`, `_2`, …; the two directions to `_fw` and `_bw`. Prefixes such as `lstm.` are ignored.
//!
//! In a state dict of gradients, both biases have the gradient of their sum.

use std::fmt;

use ndarray::{ArrayD, Axis, Slice, concatenate};

use super::convert::refused;
use super::roles::{self, Use};
use super::{Arrays, Element};
use crate::error::{Error, Result, counted, quoted};
use crate::op::Scalar;
use crate::recurrence::{Params, Recurrence};

/// A layer in one direction: the suffix of PyTorch's names, and the suffix of ours.
#[derive(Debug)]
struct Layer {
    theirs: String,
    ours: String,
}

/// The gates of a cell in PyTorch's order. For each gate, the names of the two matrices, of the bias, and of
/// the second bias if it is separate, else `""`.
type Gates = &'static [[&'static str; 4]];

const RNN: Gates = &[["W_X", "W_H", "b_h", ""]];
const LSTM: Gates = &[
    ["W_i", "U_i", "b_i", ""],
    ["W_f", "U_f", "b_f", ""],
    ["W_g", "U_g", "b_g", ""],
    ["W_o", "U_o", "b_o", ""],
];
const GRU: Gates = &[
    ["W_r", "U_r", "b_r", ""],
    ["W_z", "U_z", "b_z", ""],
    ["W_n", "U_n", "b_n", "b_u"],
];

/// The end of PyTorch's names of the backward direction.
const REVERSE: &str = "_reverse";

impl Arrays {
    /// Returns true if the names are those of a state dict.
    #[must_use]
    pub fn is_pytorch(&self) -> bool {
        self.iter()
            .any(|(name, _)| part(name, "weight_ih_l0").is_some())
    }

    /// Reads the parameters of a recurrence built from the cells of this crate from a PyTorch state dict; see
    /// the table in `docs/cli.md`.
    ///
    /// ```
    /// use bptt::{cells::{Cell, Loss}, data::Arrays};
    /// use ndarray::array;
    /// let state = Arrays::new()
    ///     .with("rnn.weight_ih_l0", array![[0.5_f32]])
    ///     .with("rnn.weight_hh_l0", array![[0.25_f32]])
    ///     .with("rnn.bias_ih_l0", array![1.0_f32])
    ///     .with("rnn.bias_hh_l0", array![2.0_f32])
    ///     .with("head.weight", array![[3.0_f32]])
    ///     .with("head.bias", array![4.0_f32]);
    /// let rnn = Cell::rnn().model("rnn", Loss::SquaredError)?;
    /// let params = state.pytorch_params::<f64>(&rnn)?;
    /// assert_eq!(params.get("b_h").map(|b| b[0]), Some(3.0));
    /// let back = Arrays::pytorch_state(&params, &rnn)?;
    /// assert_eq!(back.get("bias_ih_l0").map(|b| b.real::<f64>()[0]), Some(3.0));
    /// # Ok::<(), bptt::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the recurrence has no cell that PyTorch has, or an array is missing, left over or has
    /// a shape that the gates do not divide.
    pub fn pytorch_params<F: Scalar>(&self, recurrence: &Recurrence) -> Result<Params<F>> {
        self.of_pytorch(recurrence, Biases::Added)
    }

    /// As [`pytorch_params`](Self::pytorch_params), for the gradients of the parameters: two biases that are added
    /// have the same gradient.
    ///
    /// # Errors
    /// As for [`pytorch_params`](Self::pytorch_params); also when the gradients of such biases differ.
    pub fn pytorch_gradients<F: Scalar>(&self, recurrence: &Recurrence) -> Result<Params<F>> {
        self.of_pytorch(recurrence, Biases::Equal)
    }

    fn of_pytorch<F: Scalar>(&self, recurrence: &Recurrence, biases: Biases) -> Result<Params<F>> {
        let own = Model::of(recurrence)?;
        if let Some(found) = Model::of_state(self).filter(|found| *found != own) {
            return Err(Error::Array {
                reason: format!(
                    "this is the state dict of {found}, and `{}` is {own}; {}",
                    recurrence.name(),
                    found.advice()
                ),
            });
        }
        let mut state = State {
            arrays: self,
            used: Vec::new(),
            biases,
        };
        let mut params = Params::new();
        for layer in layers(recurrence)? {
            state.read_layer(&layer, gates(recurrence, &layer.ours)?, &mut params)?;
        }
        if recurrence.parameters().any(|p| p == "W_O") {
            state.read_linear(&mut params)?;
        }
        let used = |name: &str| state.used.iter().any(|u| u == name);
        match self.iter().find(|(name, _)| !used(name)) {
            Some((name, _)) => Err(Error::UnknownName {
                what: "array of a state dict of this recurrence",
                name: name.into(),
                known: state.used,
            }),
            None => Ok(params),
        }
    }

    /// The parameters of a recurrence as a state dict of PyTorch, without prefixes; `weight` and
    /// `bias` are those of the `nn.Linear`. Where PyTorch has two biases, the second is zero.
    ///
    /// # Errors
    /// When the recurrence has no cell that PyTorch has, or a parameter is missing.
    pub fn pytorch_state<F: Scalar + Element>(
        params: &Params<F>,
        recurrence: &Recurrence,
    ) -> Result<Self> {
        Self::to_pytorch(params, recurrence, Biases::Added)
    }

    /// The gradients of the parameters as a state dict of PyTorch. Where PyTorch has two biases, both have the
    /// gradient of their sum.
    ///
    /// # Errors
    /// As for [`pytorch_state`](Self::pytorch_state).
    pub fn pytorch_state_of_gradients<F: Scalar + Element>(
        gradients: &Params<F>,
        recurrence: &Recurrence,
    ) -> Result<Self> {
        Self::to_pytorch(gradients, recurrence, Biases::Equal)
    }

    fn to_pytorch<F: Scalar + Element>(
        params: &Params<F>,
        recurrence: &Recurrence,
        biases: Biases,
    ) -> Result<Self> {
        let get = |name: &str| {
            params.get(name).ok_or_else(|| Error::Missing {
                what: "parameter",
                name: name.into(),
                expected: recurrence.expected_shape(name),
            })
        };
        let mut state = Self::new();
        for layer in layers(recurrence)? {
            let gates = gates(recurrence, &layer.ours)?;
            let joined = |of: &dyn Fn(&[&'static str; 4]) -> Result<ArrayD<F>>| {
                let parts = gates.iter().map(of).collect::<Result<Vec<_>>>()?;
                let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
                concatenate(Axis(0), &views).map_err(|_| Error::Array {
                    reason: format!(
                        "the parameters of the gates have different shapes: {}",
                        quoted(gates.iter().map(|g| g[0]))
                    ),
                })
            };
            let ours = |name: &str| get(&format!("{name}{}", layer.ours)).cloned();
            let second = |g: &[&'static str; 4]| match g[3] {
                "" if biases == Biases::Equal => ours(g[2]),
                "" => Ok(ArrayD::zeros(ours(g[2])?.raw_dim())),
                name => ours(name),
            };
            let mut insert = |name: &str, array| {
                state.insert(&format!("{name}{}", layer.theirs), F::array(array));
            };
            insert("weight_ih", joined(&|g| ours(g[0]))?);
            insert("weight_hh", joined(&|g| ours(g[1]))?);
            insert("bias_ih", joined(&|g| ours(g[2]))?);
            insert("bias_hh", joined(&second)?);
        }
        if recurrence.parameters().any(|p| p == "W_O") {
            state.insert("weight", F::array(get("W_O")?.clone()));
            state.insert("bias", F::array(get("b_q")?.clone()));
        }
        Ok(state)
    }
}

/// The relation of two biases of PyTorch to the bias here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Biases {
    /// Parameters: it is their sum.
    Added,
    /// Gradients: all three are the same.
    Equal,
}

/// A recurrent module of PyTorch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Model {
    gates: usize,
    layers: usize,
    is_bidirectional: bool,
}

impl Model {
    fn of(recurrence: &Recurrence) -> Result<Self> {
        let layers = layers(recurrence)?;
        let backward = layers.iter().filter(|l| l.theirs.ends_with(REVERSE));
        let backward = backward.count();
        Ok(Self {
            gates: gates(recurrence, &layers[0].ours)?.len(),
            layers: layers.len() - backward,
            is_bidirectional: backward > 0,
        })
    }

    /// The module of a state dict, if the shape of its first matrix is that of one.
    fn of_state(arrays: &Arrays) -> Option<Self> {
        let named = |end: &str| arrays.iter().find(|(name, _)| part(name, end).is_some());
        let (_, matrix) = named("weight_hh_l0")?;
        let gates = match matrix.shape() {
            [rows, columns] if *columns > 0 && rows % columns == 0 => rows / columns,
            _ => return None,
        };
        let layers = (0..).take_while(|n| named(&format!("weight_ih_l{n}")).is_some());
        let is_known = [RNN, GRU, LSTM].iter().any(|known| known.len() == gates);
        is_known.then(|| Self {
            gates,
            layers: layers.count(),
            is_bidirectional: named(&format!("weight_ih_l0{REVERSE}")).is_some(),
        })
    }

    /// The recurrence to be used for such a state dict.
    fn advice(self) -> String {
        let name = match (self.gates, self.layers, self.is_bidirectional) {
            (1, 1, false) => "rnn",
            (3, 1, false) => "gru_reset_after",
            (4, 1, false) => "lstm",
            (4, 2, false) => "lstm_stacked",
            (4, 1, true) => "lstm_bidirectional",
            _ => {
                return "write a recurrence with such layers, as `lstm_stacked` and `lstm_bidirectional` have them"
                    .into();
            }
        };
        format!("use `{name}`")
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cell = match self.gates {
            4 => "an `nn.LSTM`",
            3 => "an `nn.GRU`",
            _ => "an `nn.RNN`",
        };
        let directions = if self.is_bidirectional { 2 } else { 1 };
        write!(
            f,
            "{cell} of {} in {}",
            counted(self.layers, "layer"),
            counted(directions, "direction")
        )
    }
}

/// A state dict, and the names of the arrays read so far.
struct State<'a> {
    arrays: &'a Arrays,
    used: Vec<String>,
    biases: Biases,
}

impl State<'_> {
    /// The array whose name is `name` after a prefix; an error if there are several.
    fn take<F: Scalar>(&mut self, name: &str) -> Result<Option<ArrayD<F>>> {
        let mut against = self.arrays.refused();
        if let Some((full, _)) = against.find(|(n, _)| part(n, name).is_some()) {
            self.arrays.reason_against(full)?;
        }
        let mut found = self.arrays.iter().filter(|(n, _)| part(n, name).is_some());
        let Some((full, array)) = found.next() else {
            return Ok(None);
        };
        if let Some((other, _)) = found.next() {
            return Err(Error::UnknownName {
                what: "single array",
                name: name.into(),
                known: vec![full.into(), other.into()],
            });
        }
        let numbers = roles::numbers(array, Use::Parameter);
        let numbers = numbers.map_err(|reason| refused(full, &reason))?;
        self.used.push(full.into());
        Ok(Some(numbers))
    }

    fn read_layer<F: Scalar>(
        &mut self,
        layer: &Layer,
        gates: Gates,
        params: &mut Params<F>,
    ) -> Result<()> {
        let name = |what: &str| format!("{what}{}", layer.theirs);
        let (ih, hh) = (
            self.take::<F>(&name("weight_ih"))?,
            self.take(&name("weight_hh"))?,
        );
        let rows = match (&ih, &hh) {
            (_, Some(w)) | (Some(w), None) => w.shape().first().copied(),
            (None, None) => None,
        };
        // The rows of all gates, and the columns `H`.
        let all = rows.map_or_else(|| format!("{} H", gates.len()), |n| n.to_string());
        let one = rows.map_or_else(|| "H".into(), |n| (n / gates.len()).to_string());
        let need = |found: Option<_>, what: &str, shape: String| {
            found.ok_or_else(|| missing(&name(what), shape))
        };
        let ih: ArrayD<F> = need(ih, "weight_ih", format!("[{all}, K]"))?;
        let hh: ArrayD<F> = need(hh, "weight_hh", format!("[{all}, {one}]"))?;
        for (what, w, columns) in [("weight_ih", &ih, "K"), ("weight_hh", &hh, "H")] {
            if let ([r, c], Some(all)) = (w.shape(), hh.shape().iter().max())
                && r != all
                && c == all
            {
                let expected = format!("[{} H, {columns}]", gates.len());
                return Err(transposed(&name(what), expected, w.shape()));
            }
        }
        let inputs = split(&name("weight_ih"), &ih, gates.len())?;
        let states = split(&name("weight_hh"), &hh, gates.len())?;
        let [of_input, of_state] = ["bias_ih", "bias_hh"].map(|what| self.take::<F>(&name(what)));
        let (of_input, of_state) = match (of_input?, of_state?) {
            (Some(one), Some(two)) => (one, two),
            // A model with `bias=False` has zero biases.
            (None, None) => (
                ArrayD::zeros(vec![ih.len_of(Axis(0))]),
                ArrayD::zeros(vec![ih.len_of(Axis(0))]),
            ),
            (None, Some(_)) => return Err(missing(&name("bias_ih"), format!("[{all}]"))),
            (Some(_), None) => return Err(missing(&name("bias_hh"), format!("[{all}]"))),
        };
        let of_input = split(&name("bias_ih"), &of_input, gates.len())?;
        let of_state = split(&name("bias_hh"), &of_state, gates.len())?;
        let mut insert = |name: &str, array: &ArrayD<F>| {
            params.insert(&format!("{name}{}", layer.ours), array.clone());
        };
        for (g, [w, u, b, second]) in gates.iter().enumerate() {
            let (one, two) = (&of_input[g], &of_state[g]);
            if one.shape() != two.shape() {
                return Err(shape(&name("bias_hh"), one.shape(), two.shape()));
            }
            insert(w, &inputs[g]);
            insert(u, &states[g]);
            if second.is_empty() && self.biases == Biases::Added {
                insert(b, &(one + two));
            } else if second.is_empty() {
                if one != two {
                    return Err(Error::Array {
                        reason: format!(
                            "the gradients `{}` and `{}` differ, expected the same, since the biases are added",
                            name("bias_ih"),
                            name("bias_hh")
                        ),
                    });
                }
                insert(b, one);
            } else {
                insert(b, one);
                insert(second, two);
            }
        }
        Ok(())
    }

    /// Reads the `nn.Linear`, of which there is one.
    fn read_linear<F: Scalar>(&mut self, params: &mut Params<F>) -> Result<()> {
        let mut weights = self
            .arrays
            .iter()
            .filter_map(|(name, _)| part(name, "weight"));
        let prefix = weights
            .next()
            .ok_or_else(|| missing("weight", "[O, H]".into()))?;
        let [weight, bias] = ["weight", "bias"].map(|name| format!("{prefix}{name}"));
        let matrix: Option<ArrayD<F>> = self.take(&weight)?;
        let matrix = matrix.ok_or_else(|| missing(&weight, "[O, H]".into()))?;
        let rows = matrix.shape().first().copied().unwrap_or(0);
        let vector = self.take(&bias)?;
        let vector: ArrayD<F> = vector.ok_or_else(|| missing(&bias, format!("[{rows}]")))?;
        if let ([rows, columns], [outputs]) = (matrix.shape(), vector.shape())
            && rows != outputs
            && columns == outputs
        {
            return Err(transposed(&weight, "[O, H]".into(), matrix.shape()));
        }
        params.insert("W_O", matrix);
        params.insert("b_q", vector);
        Ok(())
    }
}

/// The prefix of a name that ends in `end`.
fn part<'n>(name: &'n str, end: &str) -> Option<&'n str> {
    let prefix = name.strip_suffix(end)?;
    (prefix.is_empty() || prefix.ends_with('.')).then_some(prefix)
}

/// The layers of a recurrence, recognised by the suffixes of its parameters.
fn layers(recurrence: &Recurrence) -> Result<Vec<Layer>> {
    let has = |suffix: &str| {
        let first = [GRU, LSTM, RNN].map(|g| format!("{}{suffix}", g[0][1]));
        recurrence
            .parameters()
            .any(|p| first.iter().any(|f| f == p))
    };
    let layer = |theirs: String, ours: String| Layer { theirs, ours };
    let mut found = Vec::new();
    if has("") {
        found.push(layer("_l0".into(), String::new()));
    }
    if has("_fw") && has("_bw") {
        found.push(layer("_l0".into(), "_fw".into()));
        found.push(layer(format!("_l0{REVERSE}"), "_bw".into()));
    }
    let stacked = (1..).take_while(|n| has(&format!("_{n}")));
    found.extend(stacked.map(|n| layer(format!("_l{}", n - 1), format!("_{n}"))));
    if found.is_empty() {
        return Err(none(recurrence));
    }
    Ok(found)
}

/// The gates of the cell with this suffix.
fn gates(recurrence: &Recurrence, suffix: &str) -> Result<Gates> {
    let has = |name: &str| {
        recurrence
            .parameters()
            .any(|p| p == format!("{name}{suffix}"))
    };
    let all = |gates: Gates| gates.iter().flatten().all(|n| n.is_empty() || has(n));
    let peepholes = has("p_i");
    [LSTM, GRU, RNN]
        .into_iter()
        .find(|gates| all(gates) && !peepholes)
        .ok_or_else(|| none(recurrence))
}

fn none(recurrence: &Recurrence) -> Error {
    Error::UnknownName {
        what: "cell of PyTorch",
        name: recurrence.name().into(),
        known: vec![
            "rnn, rnn_relu, lstm, gru_reset_after, lstm_stacked, lstm_bidirectional".into(),
        ],
    }
}

/// Splits a stacked array into `count` gates.
fn split<F: Scalar>(name: &str, array: &ArrayD<F>, count: usize) -> Result<Vec<ArrayD<F>>> {
    let rows = array.shape().first().copied().unwrap_or(0);
    if rows == 0 || rows % count != 0 {
        let expected = format!("a multiple of {count} rows");
        return Err(Error::ArrayShape {
            what: "array",
            name: name.into(),
            expected,
            found: array.shape().into(),
        });
    }
    let size = rows / count;
    let part = |g| {
        array
            .slice_axis(Axis(0), Slice::from(g * size..(g + 1) * size))
            .to_owned()
    };
    Ok((0..count).map(part).collect())
}

fn missing(name: &str, expected: String) -> Error {
    Error::Missing {
        what: "array",
        name: name.into(),
        expected,
    }
}

fn transposed(name: &str, expected: String, found: &[usize]) -> Error {
    Error::Transposed {
        name: name.into(),
        expected,
        shape: found.iter().rev().copied().collect(),
        found: found.into(),
    }
}

fn shape(name: &str, expected: &[usize], found: &[usize]) -> Error {
    Error::ArrayShape {
        what: "array",
        name: name.into(),
        expected: format!("{expected:?}"),
        found: found.into(),
    }
}
