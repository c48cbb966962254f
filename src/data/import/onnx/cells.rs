//! The equations of the recurrent operators, for one direction.

use ndarray::ArrayD;

use super::activation::Function;
use super::facts::Out;
use super::machine::Machine;
use super::page::Param;
use super::value::{Expr, Level, Size, digits};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    Rnn,
    Lstm,
    Gru,
}

/// If a cell may have a value of this name, with a suffix.
pub(super) fn is_value(name: &str) -> bool {
    let stem = name.split('_').next().unwrap_or(name);
    let cells = [Cell::Rnn, Cell::Lstm, Cell::Gru];
    cells.iter().any(|cell| cell.values().contains(&stem))
}

impl Cell {
    pub(super) const fn named(op: &str) -> Self {
        match op.as_bytes() {
            b"RNN" => Self::Rnn,
            b"LSTM" => Self::Lstm,
            _ => Self::Gru,
        }
    }

    /// The gates in the order of the rows in the file.
    pub(super) const fn gates(self) -> &'static [&'static str] {
        match self {
            Self::Rnn => &["h"],
            Self::Lstm => &["i", "o", "f", "g"],
            Self::Gru => &["z", "r", "n"],
        }
    }

    /// The gates in the order of the text.
    const fn written(self) -> &'static [&'static str] {
        match self {
            Self::Rnn => &["h"],
            Self::Lstm => &["i", "f", "g", "o"],
            Self::Gru => &["r", "z", "n"],
        }
    }

    /// The functions of a direction, if the file does not name them.
    pub(super) const fn functions(self) -> &'static [&'static str] {
        match self {
            Self::Rnn => &["Tanh"],
            Self::Lstm => &["Sigmoid", "Tanh", "Tanh"],
            Self::Gru => &["Sigmoid", "Tanh"],
        }
    }

    /// The names of the values in its equations.
    const fn values(self) -> &'static [&'static str] {
        match self {
            Self::Rnn => &["h"],
            Self::Lstm => &["h", "c", "i", "f", "g", "og"],
            Self::Gru => &["h", "r", "z", "n", "u"],
        }
    }

    pub(super) const fn states(self) -> &'static [&'static str] {
        match self {
            Self::Lstm => &["h", "c"],
            _ => &["h"],
        }
    }
}

/// The arrays of one gate.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    pub(super) of_input: ArrayD<f64>,
    pub(super) of_state: ArrayD<f64>,
    /// The biases of both.
    pub(super) biases: Option<[ArrayD<f64>; 2]>,
    pub(super) peephole: Option<ArrayD<f64>>,
}

/// A layer in one direction.
pub(super) struct Layer<'a> {
    pub(super) cell: Cell,
    pub(super) x: &'a Expr,
    pub(super) input: Size,
    pub(super) hidden: Size,
    /// In the order of the file.
    pub(super) gates: Vec<Gate>,
    pub(super) sources: Vec<String>,
    /// The states before the first step; `None` is zero.
    pub(super) starts: Vec<Option<Expr>>,
    pub(super) functions: Vec<(&'static Function, Vec<f64>)>,
    pub(super) clip: Option<f64>,
    /// The forget gate is one minus the input gate.
    pub(super) is_coupled: bool,
    /// The reset gate multiplies the product with the state.
    pub(super) resets_after: bool,
    pub(super) is_backward: bool,
    pub(super) suffix: String,
}

/// The sums of a gate before its function.
struct Sum {
    text: String,
}

/// Writes the layer; the names of its states.
pub(super) fn write(m: &mut Machine<'_>, mut layer: Layer<'_>) -> Out<Vec<String>> {
    layer.suffix = m.page.suffix(layer.cell.values(), &layer.suffix);
    let layer = &layer;
    let suffix = &layer.suffix;
    let states = layer.cell.states().iter();
    let states: Vec<String> = states.map(|s| format!("{s}{suffix}")).collect();
    let what = match layer.cell {
        Cell::Rnn => String::new(),
        _ => format!(": the rows of {}", layer.cell.gates().join(", ")),
    };
    m.page.declare(&layer.sources, &what, &[]);
    let h = &states[0];
    let mut sums = Vec::new();
    for gate in layer.cell.written() {
        let is_left_out = layer.is_coupled && *gate == "f";
        sums.push(match is_left_out {
            true => None,
            false => Some(sum(m, layer, gate, &states)?),
        });
    }
    let listed: Vec<String> = states
        .iter()
        .zip(&layer.starts)
        .map(|(name, start)| {
            let shape = format!("{name}[{}]", layer.hidden.text);
            match start {
                Some(start) => format!("{shape} = {}", start.text),
                None => shape,
            }
        })
        .collect();
    let word = if layer.is_backward {
        "backward state"
    } else {
        "state"
    };
    m.page.declaration(format!("{word} {}", listed.join(", ")));
    match (layer.cell, &sums[..]) {
        (Cell::Lstm, [Some(i), f, Some(g), Some(o)]) => {
            lstm(m, layer, &states, [Some(i), f.as_ref(), Some(g), Some(o)])?;
        }
        (Cell::Gru, [Some(r), Some(z), Some(n)]) => gru(m, layer, h, [r, z, n])?,
        (_, [Some(sum), ..]) => {
            let value = applied(m, layer, 0, &sum.text)?;
            m.page.equation(format!("{h}' = {value}"));
        }
        _ => {}
    }
    m.page.equation(String::new());
    Ok(states)
}

/// The parameters of a gate, and its sum.
fn sum(m: &mut Machine<'_>, layer: &Layer<'_>, gate: &str, states: &[String]) -> Out<Sum> {
    let suffix = &layer.suffix;
    let at = layer
        .cell
        .gates()
        .iter()
        .position(|g| *g == gate)
        .unwrap_or(0);
    let Gate {
        of_input,
        of_state,
        biases,
        peephole,
    } = &layer.gates[at];
    let [w, u, b] = match layer.cell {
        Cell::Rnn => ["W_X", "W_H", "b_h"].map(|name| format!("{name}{suffix}")),
        _ => ["W", "U", "b"].map(|name| format!("{name}_{gate}{suffix}")),
    };
    let hidden = &layer.hidden;
    let mut params = vec![
        m.page
            .param(&w, &[hidden.clone(), layer.input.clone()], of_input.clone()),
        m.page
            .param(&u, &[hidden.clone(), hidden.clone()], of_state.clone()),
    ];
    let input = format!("{} @ {}", params[0].name, layer.x.at(Level::Power));
    let is_candidate = layer.cell == Cell::Gru && gate == "n";
    let is_reset = is_candidate && !layer.resets_after;
    let state = match is_reset {
        true => format!("{} @ (r{suffix} * {})", params[1].name, states[0]),
        false => format!("{} @ {}", params[1].name, states[0]),
    };
    let mut vector = |m: &mut Machine<'_>, name: &str, array: ArrayD<f64>| -> String {
        let param: Param = m.page.param(name, std::slice::from_ref(hidden), array);
        let text = format!(" + {}", param.name);
        params.push(param);
        text
    };
    let mut text = input;
    if is_candidate && layer.resets_after {
        let [mut one, mut two] = [String::new(), String::new()];
        if let Some([of_input, of_state]) = biases {
            one = vector(m, &b, of_input.clone());
            two = vector(m, &format!("b_u{suffix}"), of_state.clone());
        }
        m.page.equation(format!("u{suffix} = {state}{two}"));
        text += &format!("{one} + r{suffix} * u{suffix}");
    } else {
        text += &format!(" + {state}");
        if let Some(weights) = peephole {
            let c = if gate == "o" {
                format!("{}'", states[1])
            } else {
                states[1].clone()
            };
            let weights = vector(m, &format!("P_{gate}{suffix}"), weights.clone());
            text += &format!("{weights} * {c}");
        }
        if let Some([one, two]) = biases {
            text += &vector(m, &b, one + two);
        }
    }
    m.page.list(&params);
    Ok(Sum { text })
}

/// The function of a gate, of its clipped sum.
fn applied(m: &mut Machine<'_>, layer: &Layer<'_>, function: usize, sum: &str) -> Out<String> {
    let sum = match layer.clip {
        Some(clip) => format!("clamp({sum}, {}, {})", digits(-clip), digits(clip)),
        None => sum.to_owned(),
    };
    let (function, settings) = &layer.functions[function];
    Ok(function.of(m, &Expr::new(sum, Level::Sum), settings)?.text)
}

fn lstm(
    m: &mut Machine<'_>,
    layer: &Layer<'_>,
    states: &[String],
    sums: [Option<&Sum>; 4],
) -> Out<()> {
    let s = &layer.suffix;
    let [i, f, g, o] = sums.map(|sum| sum.map_or("", |s| s.text.as_str()));
    let value = applied(m, layer, 0, i)?;
    m.page.equation(format!("i{s} = {value}"));
    let value = match layer.is_coupled {
        true => format!("1 - i{s}"),
        false => applied(m, layer, 0, f)?,
    };
    m.page.equation(format!("f{s} = {value}"));
    let value = applied(m, layer, 1, g)?;
    m.page.equation(format!("g{s} = {value}"));
    let (h, c) = (&states[0], &states[1]);
    m.page.equation(format!("{c}' = f{s} * {c} + i{s} * g{s}"));
    let value = applied(m, layer, 0, o)?;
    m.page.equation(format!("og{s} = {value}"));
    // The cell state is no sum of a gate; onnxruntime does not clip it either.
    let (function, settings) = &layer.functions[2];
    let value = function.of(m, &Expr::atom(format!("{c}'")), settings)?.text;
    m.page.equation(format!("{h}' = og{s} * {value}"));
    Ok(())
}

fn gru(m: &mut Machine<'_>, layer: &Layer<'_>, h: &str, [r, z, n]: [&Sum; 3]) -> Out<()> {
    let s = &layer.suffix;
    let value = applied(m, layer, 0, &r.text)?;
    m.page.equation(format!("r{s} = {value}"));
    let value = applied(m, layer, 0, &z.text)?;
    m.page.equation(format!("z{s} = {value}"));
    let value = applied(m, layer, 1, &n.text)?;
    m.page.equation(format!("n{s} = {value}"));
    m.page
        .equation(format!("{h}' = (1 - z{s}) * n{s} + z{s} * {h}"));
    Ok(())
}
