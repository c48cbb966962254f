//! The operators RNN, LSTM and GRU: their arrays and attributes.

use ndarray::{ArrayD, Axis as Along, Slice};

use super::activation::{FUNCTIONS, Function};
use super::cells::{Cell, Gate, Layer, write};
use super::facts::Out;
use super::machine::{Call, Machine, Row, spread};
use super::pointwise::{filled, is_constant_along};
use super::value::{Axis, Body, Expr, Known, Label, Level, Size, Tensor, Value};
use crate::error::printable;

const ATTRIBUTES: &[&str] = &[
    "activations",
    "activation_alpha",
    "activation_beta",
    "clip",
    "direction",
    "hidden_size",
    "input_forget",
    "layout",
    "linear_before_reset",
    // Of version 1: it says which outputs are used.
    "output_sequence",
];

pub(super) const ROWS: &[Row] = &[row("RNN"), row("LSTM"), row("GRU")];

const fn row(op: &'static str) -> Row {
    let attributes = ATTRIBUTES;
    Row {
        op,
        inputs: (3, 8),
        attributes,
        run: recurrent,
    }
}

/// The direction and the position of a layer in the arrays, and its suffix.
struct Way {
    is_backward: bool,
    suffix: String,
}

fn recurrent(m: &mut Machine<'_>, call: Call<'_>) -> Out<Vec<Value>> {
    let cell = Cell::named(&call.node.op);
    let flag = |name: &str| call.int(name).unwrap_or(0) != 0;
    if flag("input_forget") && cell != Cell::Lstm {
        return Err(m.refuse("attribute `input_forget` belongs to an LSTM"));
    }
    if flag("linear_before_reset") && cell != Cell::Gru {
        return Err(m.refuse("attribute `linear_before_reset` belongs to a GRU"));
    }
    let layout = call.int("layout").unwrap_or(0);
    let (time, batch) = match layout {
        0 => (0, 1),
        1 => (1, 0),
        other => {
            return Err(m.refuse(format!(
                "attribute `layout`: expected 0 (steps first) or 1 (samples first), found {other}"
            )));
        }
    };
    let x = sequence(m, call, (time, batch))?;
    lengths(m, call, &x)?;
    let ways = ways(m, call)?;
    let weights = m.known(call, 1, "the weights W")?;
    let recurrence = m.known(call, 2, "the weights R")?;
    let bias = m.known(call, 3, "the biases B")?;
    let peepholes = match cell {
        Cell::Lstm => m.known(call, 7, "the peepholes P")?,
        _ => None,
    };
    let (Some(weights), Some(recurrence)) = (weights, recurrence) else {
        return Err(m.refuse("inputs 1 and 2, the weights W and R, are missing"));
    };
    let gates = cell.gates().len();
    let hidden = match (recurrence.array.shape(), call.int("hidden_size")) {
        ([_, _, h], None) => *h,
        ([_, _, h], Some(n)) if usize::try_from(n).ok() == Some(*h) => *h,
        (shape, n) => {
            let n = n.map_or_else(|| "H".into(), |n| n.to_string());
            return Err(m.refuse(format!(
                "input 2, the weights R, has the shape {shape:?}; expected [{}, {gates} {n}, {n}] as attribute `hidden_size` says",
                ways.len()
            )));
        }
    };
    let inputs = weights.array.shape().get(2).copied().unwrap_or(0);
    m.sized(&x.axes[2], inputs)?;
    if inputs == 0 || hidden == 0 {
        return Err(m.refuse("its weights have no entries"));
    }
    let rows = gates * hidden;
    for (name, array, expected) in [
        (
            "1, the weights W,",
            Some(&weights),
            vec![ways.len(), rows, inputs],
        ),
        (
            "2, the weights R,",
            Some(&recurrence),
            vec![ways.len(), rows, hidden],
        ),
        (
            "3, the biases B,",
            bias.as_ref(),
            vec![ways.len(), 2 * rows],
        ),
        (
            "7, the peepholes P,",
            peepholes.as_ref(),
            vec![ways.len(), 3 * hidden],
        ),
    ] {
        if let Some(known) = array
            && known.array.shape() != expected
        {
            return Err(m.refuse(format!(
                "input {name} has the shape {:?}; expected {expected:?}",
                known.array.shape()
            )));
        }
    }
    for known in [&weights, &recurrence] {
        if let Some(source) = &known.source
            && !m.page.of_cells.insert(source.name.clone())
        {
            let name = printable(&source.name);
            m.page.note(format!(
                "several recurrent nodes share `{name}`; here each has parameters of its own, equal at first"
            ));
        }
    }
    let size = m.page.size(m.facts, "H", hidden);
    let functions = functions(m, call, cell, ways.len())?;
    let clip = clip(m, call)?;
    let expr = m.flat(&x)?;
    let x_expr = m.named("x_in", &expr);
    let batch_axis = x.axes[batch].clone();
    let starts: Vec<Vec<Option<Expr>>> = (0..cell.states().len())
        .map(|state| initial(m, call, 5 + state, &ways, &size, (layout, &batch_axis)))
        .collect::<Out<_>>()?;
    let mut states: Vec<Vec<Expr>> = vec![Vec::new(); 3];
    for (way, one) in ways.iter().enumerate() {
        let rows_of = |known: &Known, at: usize| rows_of(known, way, at, hidden);
        let list = (0..gates).map(|g| Gate {
            of_input: rows_of(&weights, g),
            of_state: rows_of(&recurrence, g),
            biases: bias
                .as_ref()
                .map(|b| [rows_of(b, g), rows_of(b, gates + g)]),
            peephole: match g {
                0..3 => peepholes.as_ref().map(|p| rows_of(p, g)),
                _ => None,
            },
        });
        let sources = [
            Some(&weights),
            Some(&recurrence),
            bias.as_ref(),
            peepholes.as_ref(),
        ];
        let sources = sources.into_iter().flatten().map(|k| {
            let part = if ways.len() == 2 {
                format!("[{way}]")
            } else {
                String::new()
            };
            k.source
                .as_ref()
                .map_or(String::new(), |s| format!("{}{part}", s.name))
        });
        let layer = Layer {
            cell,
            x: &x_expr,
            input: x.axes[2].size.clone(),
            hidden: size.clone(),
            gates: list.collect(),
            sources: sources.collect(),
            starts: starts.iter().map(|s| s[way].clone()).collect(),
            functions: functions[way].clone(),
            clip,
            is_coupled: flag("input_forget"),
            resets_after: flag("linear_before_reset"),
            is_backward: one.is_backward,
            suffix: one.suffix.clone(),
        };
        let names = write(m, layer)?;
        let end = if one.is_backward { "first" } else { "last" };
        states[0].push(Expr::atom(format!("{}'", names[0])));
        for (n, name) in names.iter().enumerate() {
            states[1 + n].push(Expr::atom(format!("{end}({name}')")));
        }
    }
    m.layers.0 += 1;
    Ok(outputs(&x, states, &size, (layout, time, batch)))
}

/// The input, whose axes are those of the layout.
fn sequence(m: &mut Machine<'_>, call: Call<'_>, (time, batch): (usize, usize)) -> Out<Tensor> {
    let x = match m.need(call, 0)? {
        Value::Tensor(x) => x,
        _ => return Err(m.refuse("input 0, X, does not depend on an input of the graph")),
    };
    if x.axes.len() != 3 {
        return Err(m.refuse(format!(
            "input 0, X, has the axes {}; expected steps, samples and entries",
            x.described()
        )));
    }
    if m.is_in_body {
        return Err(m.refuse("a recurrent node inside of a loop; a recurrence has one time"));
    }
    m.expect(&x, time, Label::Time)?;
    // The one sample of a model without an axis of samples.
    if x.axes[batch].label != Label::One {
        m.expect(&x, batch, Label::Batch)?;
    }
    match x.axes[2].label {
        // A number for each step is a vector with one entry.
        Label::One => {
            let expr = m.shaped(&x)?;
            let mut axes = x.axes.clone();
            axes[2] = Axis::feature(Size::number(1));
            let expr = spread(&expr, &[Size::number(1)]);
            Ok(Tensor::new(axes, expr, x.is_per_step))
        }
        _ => m.expect(&x, 2, Label::Feature).map(|()| x),
    }
}

/// The lengths of the sequences must be those of the data.
fn lengths(m: &mut Machine<'_>, call: Call<'_>, x: &Tensor) -> Out<()> {
    let given = m.input(call, 4)?;
    let steps = x
        .axes
        .iter()
        .find(|a| a.label == Label::Time)
        .and_then(|a| a.size.number);
    let input = match given {
        None => None,
        Some(Value::Tensor(Tensor {
            body: Body::Integers(input),
            ..
        })) => Some(input),
        #[expect(clippy::cast_precision_loss, reason = "lengths are small")]
        Some(Value::Known(known))
            if steps.is_some() && known.constant() == steps.map(|n| n as f64) =>
        {
            None
        }
        Some(_) => {
            return Err(m.refuse(
                "input 4, `sequence_lens`: expected an input of the graph, which is the array `lengths` of the data, or none",
            ));
        }
    };
    match (m.facts.lengths, input) {
        (Some(known), Some(input)) if known != input => {
            return Err(
                m.refuse("input 4, `sequence_lens`, is another one than that of a node before")
            );
        }
        (None, Some(input)) => {
            m.facts.lengths = Some(input);
            m.inputs[input].is_lengths = true;
            return Err(super::facts::Stop::Again);
        }
        (Some(_), None) => m.without_lengths = Some(m.at.clone()),
        _ => {}
    }
    match (m.facts.lengths, &m.without_lengths) {
        (Some(input), Some(node)) => Err(m.refuse(format!(
            "{node} reads all steps, and another node only those of `sequence_lens`; give `{}` to both",
            printable(&m.inputs[input].source)
        ))),
        _ => Ok(()),
    }
}

fn ways(m: &Machine<'_>, call: Call<'_>) -> Out<Vec<Way>> {
    let suffix = match m.layers {
        (_, 1) => String::new(),
        (n, _) => format!("_{}", n + 1),
    };
    let way = |is_backward: bool, end: &str| Way {
        is_backward,
        suffix: format!("{suffix}{end}"),
    };
    match call.text("direction").as_deref() {
        None | Some("forward") => Ok(vec![way(false, "")]),
        Some("reverse") => Ok(vec![way(true, "")]),
        Some("bidirectional") => Ok(vec![way(false, "_fw"), way(true, "_bw")]),
        Some(other) => Err(m.refuse(format!(
            "attribute `direction`: expected forward, reverse or bidirectional, found {other:?}"
        ))),
    }
}

fn clip(m: &Machine<'_>, call: Call<'_>) -> Out<Option<f64>> {
    match call.float("clip") {
        Some(0.0) => Ok(None),
        Some(x) if x > 0.0 && x.is_finite() => Ok(Some(x)),
        Some(x) => Err(m.refuse(format!(
            "attribute `clip`: expected a positive number, found {x}"
        ))),
        None => Ok(None),
    }
}

type Functions = Vec<(&'static Function, Vec<f64>)>;

/// The functions of each direction, with their settings, which are listed in the order of the functions that have one.
fn functions(m: &Machine<'_>, call: Call<'_>, cell: Cell, ways: usize) -> Out<Vec<Functions>> {
    let usual = cell.functions();
    let names: Vec<String> = match call.attribute("activations") {
        None => usual.repeat(ways).iter().map(|n| (*n).to_owned()).collect(),
        Some(a) => a
            .strings
            .iter()
            .map(|s| String::from_utf8_lossy(s).into_owned())
            .collect(),
    };
    if names.len() != usual.len() * ways {
        return Err(m.refuse(format!(
            "attribute `activations`: expected {} names, {} for each direction, found {}",
            usual.len() * ways,
            usual.len(),
            names.len()
        )));
    }
    let list = |name: &str| {
        call.attribute(name)
            .map_or(&[][..], |a| &a.floats[..])
            .iter()
    };
    let (mut alphas, mut betas) = (list("activation_alpha"), list("activation_beta"));
    let mut all = Vec::new();
    for name in &names {
        let found = FUNCTIONS.iter().filter(|f| f.is_recurrent);
        let Some(function) = found.clone().find(|f| f.name.eq_ignore_ascii_case(name)) else {
            let known: Vec<&str> = found.map(|f| f.name).collect();
            return Err(m.refuse(format!(
                "attribute `activations`: {:?} is none of {}",
                printable(name),
                known.join(", ")
            )));
        };
        let settings = function.settings.iter().map(|(setting, usual)| {
            let next = match *setting {
                "alpha" => alphas.next(),
                _ => betas.next(),
            };
            next.map_or(*usual, |x| f64::from(*x))
        });
        all.push((function, settings.collect::<Vec<f64>>()));
    }
    let left = [
        ("activation_alpha", alphas.len()),
        ("activation_beta", betas.len()),
    ];
    if let Some((name, n)) = left.into_iter().find(|(_, n)| *n > 0) {
        return Err(m.refuse(format!(
            "attribute `{name}` has {n} more numbers than the functions {} have such settings",
            names.join(", ")
        )));
    }
    Ok(all.chunks(usual.len()).map(<[_]>::to_vec).collect())
}

/// The rows of a gate in one direction.
fn rows_of(known: &Known, way: usize, gate: usize, hidden: usize) -> ArrayD<f64> {
    let one = known.array.index_axis(Along(0), way);
    one.slice_axis(Along(0), Slice::from(gate * hidden..(gate + 1) * hidden))
        .to_owned()
}

/// The states before the first step, by direction; `None` is zero.
fn initial(
    m: &mut Machine<'_>,
    call: Call<'_>,
    at: usize,
    ways: &[Way],
    size: &Size,
    (layout, batch_axis): (i64, &Axis),
) -> Out<Vec<Option<Expr>>> {
    let name = if at == 5 { "initial_h" } else { "initial_c" };
    let value = match m.input(call, at)? {
        None => return Ok(vec![None; ways.len()]),
        Some(value) if filled(&value) == Some(0.0) => return Ok(vec![None; ways.len()]),
        Some(value) => value,
    };
    let (way, batch) = if layout == 0 { (0, 1) } else { (1, 0) };
    let hidden = size.number.unwrap_or(0);
    match value {
        Value::Known(known) => {
            let shape = known.array.shape();
            if shape.len() != 3 || shape[way] != ways.len() || shape[2] != hidden {
                return Err(m.refuse(format!(
                    "input {at}, `{name}`, has the shape {shape:?}; expected [{}, B, {hidden}]",
                    ways.len()
                )));
            }
            if !is_constant_along(&known.array, batch) {
                return Err(m.refuse(format!(
                    "input {at}, `{name}`, is an initializer that differs between samples; make it an input of the graph"
                )));
            }
            let mut starts = Vec::new();
            for (n, one) in ways.iter().enumerate() {
                let array = known.array.index_axis(Along(batch), 0);
                let array = array.index_axis(Along(0), n).to_owned();
                let mut source = known.source.clone();
                if ways.len() > 1
                    && let Some(source) = &mut source
                {
                    source.name += &format!("[{n}]");
                }
                let known = Known {
                    source: None,
                    ..Known::new(array, known.kind)
                };
                let stem = format!("{}0{}", if at == 5 { "h" } else { "c" }, one.suffix);
                let param = m
                    .page
                    .param(&stem, std::slice::from_ref(size), (*known.array).clone());
                let from = source.map_or_else(|| "a constant of the model".into(), |s| s.name);
                m.page.declare(&[from], "", std::slice::from_ref(&param));
                starts.push(Some(Expr::atom(param.name)));
            }
            Ok(starts)
        }
        Value::Tensor(tensor) => {
            if tensor.axes.len() != 3 {
                return Err(m.refuse(format!(
                    "input {at}, `{name}`, has the axes {}; expected three",
                    tensor.described()
                )));
            }
            if tensor.is_per_step {
                return Err(m.refuse(format!(
                    "input {at}, `{name}`, differs between steps; expected one value for each sample"
                )));
            }
            if tensor.axes[batch].label != Label::One && batch_axis.label == Label::Batch {
                m.expect(&tensor, batch, Label::Batch)?;
            }
            m.expect(&tensor, 2, Label::Feature)?;
            m.equal(&Axis::feature(size.clone()), &tensor.axes[2])?;
            match (tensor.axes[way].label, ways.len()) {
                (Label::Open(origin), n) => {
                    let label = if n == 1 { Label::One } else { Label::Feature };
                    Err(m.facts.learn(origin, label))
                }
                (Label::One, 1) => Ok(vec![Some(m.flat(&tensor)?)]),
                (Label::Feature, n) => {
                    m.sized(&tensor.axes[way], n)?;
                    if let Body::Rows(rows) = &tensor.body {
                        return Ok(rows.iter().cloned().map(Some).collect());
                    }
                    m.counted(&tensor.axes[way])?;
                    let expr = m.shaped(&tensor)?;
                    let expr = m.named("start", &expr);
                    Ok((0..n)
                        .map(|n| Some(Expr::atom(format!("{}[{n}]", expr.at(Level::Atom)))))
                        .collect())
                }
                _ => Err(m.refuse(format!(
                    "input {at}, `{name}`, has the axes {}; expected {} along axis {way}",
                    tensor.described(),
                    ways.len()
                ))),
            }
        }
        _ => Err(m.refuse(format!("input {at}, `{name}`, is no array of numbers"))),
    }
}

/// `Y`, `Y_h` and `Y_c`.
fn outputs(
    x: &Tensor,
    states: Vec<Vec<Expr>>,
    size: &Size,
    (layout, time, batch): (i64, usize, usize),
) -> Vec<Value> {
    let hidden = Axis::feature(size.clone());
    let mut values = Vec::new();
    for (n, rows) in states.into_iter().enumerate() {
        if rows.is_empty() {
            continue;
        }
        let ways = match rows.len() {
            1 => Axis::one(),
            n => Axis::feature(Size::number(n)),
        };
        let (time, batch) = (x.axes[time].clone(), x.axes[batch].clone());
        let axes = match (n, layout) {
            (0, 0) => vec![time, ways, batch, hidden.clone()],
            (0, _) => vec![batch, time, ways, hidden.clone()],
            (_, 0) => vec![ways, batch, hidden.clone()],
            _ => vec![batch, ways, hidden.clone()],
        };
        let body = match <[Expr; 1]>::try_from(rows) {
            Ok([one]) => Body::Expr(one),
            Err(rows) => Body::Rows(rows),
        };
        values.push(Value::Tensor(Tensor {
            axes,
            body,
            is_per_step: n == 0,
            logits: None,
        }));
    }
    values
}
