//! The layers of a Keras model, recognised by the paths and shapes of its arrays: `lstm/lstm_cell/kernel`.

use indexmap::IndexMap;
use ndarray::{ArrayD, Axis, Slice, concatenate};

use super::module::{Body, Kind, Layer, Module, Origin, Stack, Tensor};
use super::options::Import;
use super::state::{check_unknown, kept, missing, refused, tensor, wrong};
use crate::data::Arrays;
use crate::error::Result;

const ACCEPTED: &str = "`kernel`, `recurrent_kernel` and `bias` of `lstm_cell`, `gru_cell` or `simple_rnn_cell` (also in \
    `forward_…` and `backward_…` of a Bidirectional), `kernel` and `bias` of a Dense, `embeddings` of an Embedding, `gamma` \
    and `beta` of a LayerNormalization";

/// The cells: the end of the folder of its arrays, and the kind.
const CELLS: [(&str, Kind); 3] = [
    ("lstm_cell", Kind::Lstm),
    ("gru_cell", Kind::Gru),
    ("simple_rnn_cell", Kind::Rnn),
];

/// The last parts of the paths.
const ENDS: [&str; 6] = [
    "kernel",
    "recurrent_kernel",
    "bias",
    "embeddings",
    "gamma",
    "beta",
];

/// The arrays of one layer by their ends; of a cell, in both directions.
#[derive(Debug, Default)]
struct Parts {
    plain: IndexMap<&'static str, Tensor>,
    cells: [IndexMap<&'static str, Tensor>; 2],
    kind: Option<Kind>,
}

/// If the names are paths of Keras.
pub(super) fn is_keras(arrays: &Arrays) -> bool {
    let ends = |name: &str| {
        name.rsplit_once('/')
            .is_some_and(|(_, end)| ENDS.contains(&end))
    };
    arrays.iter().any(|(name, _)| ends(name))
}

/// The layers in the order of the file, which is that of the model; and a remark on what is taken for granted.
pub(super) fn modules(arrays: &Arrays, options: &Import) -> Result<(Vec<Module>, Option<String>)> {
    let mut found: IndexMap<String, Parts> = IndexMap::new();
    let mut unknown = Vec::new();
    for (name, array) in kept(arrays, options)? {
        let Some((place, end)) = place(name) else {
            unknown.push(format!("`{name}` {:?}", array.shape()));
            continue;
        };
        let parts = found.entry(place.layer).or_default();
        let list = match place.cell {
            None => &mut parts.plain,
            Some((kind, is_backward)) => {
                parts.kind = Some(kind);
                &mut parts.cells[usize::from(is_backward)]
            }
        };
        if let Some(before) = list.insert(end, tensor(name, array)?) {
            return Err(refused(format!(
                "`{}` and `{name}` are both the `{end}` of one layer; give `Import::ignoring` one of them",
                before.source
            )));
        }
    }
    check_unknown(&unknown, ACCEPTED)?;
    let mut note = None;
    let mut modules = Vec::new();
    for (prefix, parts) in found {
        let Parts { plain, cells, kind } = parts;
        let module = |body| Module {
            origin: Origin::Keras,
            prefix: prefix.clone(),
            body,
        };
        if !plain.is_empty() {
            modules.push(module(plain_body(&prefix, plain)?));
        }
        if let Some(kind) = kind {
            modules.push(module(Body::Recurrent(stack(
                &prefix, kind, cells, &mut note,
            )?)));
        }
    }
    match modules.iter().any(|m| matches!(m.body, Body::Recurrent(_))) {
        true => Ok((modules, note)),
        false => Err(refused(format!(
            "no recurrent layer; the import reads {ACCEPTED}"
        ))),
    }
}

struct Place {
    layer: String,
    cell: Option<(Kind, bool)>,
}

/// The layer of a path, and its end: `sequential/bidirectional/forward_lstm/lstm_cell/kernel`.
fn place(name: &str) -> Option<(Place, &'static str)> {
    let mut parts: Vec<&str> = name.split('/').collect();
    let last = parts.pop()?;
    let end = ENDS.into_iter().find(|e| *e == last)?;
    let kind = parts.last().and_then(|part| {
        let numbered = |cell: &str| {
            part.strip_prefix(cell)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
        };
        CELLS.into_iter().find(|(cell, _)| numbered(cell))
    });
    let Some((_, kind)) = kind else {
        let layer = parts.join("/");
        return Some((Place { layer, cell: None }, end));
    };
    parts.pop();
    let mut is_backward = false;
    let direction = parts
        .last()
        .map(|p| (p.starts_with("forward_"), p.starts_with("backward_")));
    if let Some((forward, backward)) = direction
        && (forward || backward)
        && parts.len() > 1
    {
        is_backward = backward;
        parts.pop();
    }
    let cell = Some((kind, is_backward));
    Some((
        Place {
            layer: parts.join("/"),
            cell,
        },
        end,
    ))
}

fn full(prefix: &str, end: &str) -> String {
    match prefix {
        "" => end.into(),
        prefix => format!("{prefix}/{end}"),
    }
}

/// The matrix with one row for each value that it computes.
fn turned(tensor: Tensor) -> Tensor {
    let array = tensor.array.t().as_standard_layout().into_owned();
    Tensor { array, ..tensor }
}

fn plain_body(prefix: &str, mut parts: IndexMap<&'static str, Tensor>) -> Result<Body> {
    if let Some(embeddings) = parts.shift_remove("embeddings") {
        return match embeddings.array.ndim() {
            2 => Ok(Body::Embedding(embeddings)),
            _ => Err(wrong(&embeddings, "[C, D]".into())),
        };
    }
    if let Some(kernel) = parts.shift_remove("kernel") {
        if kernel.array.ndim() != 2 {
            return Err(wrong(&kernel, "[K, O] of a Dense".into()));
        }
        let kernel = turned(kernel);
        let bias = parts.shift_remove("bias");
        if let Some(bias) = &bias
            && bias.array.shape() != [kernel.rows()]
        {
            return Err(wrong(bias, format!("[{}]", kernel.rows())));
        }
        return Ok(Body::Linear(kernel, bias));
    }
    let Some(gamma) = parts.shift_remove("gamma") else {
        return Err(missing(full(prefix, "kernel"), "[K, O] of a Dense"));
    };
    let beta = parts.shift_remove("beta");
    if gamma.array.ndim() != 1 {
        return Err(wrong(
            &gamma,
            "[H] of a LayerNormalization over the last axis".into(),
        ));
    }
    match beta {
        Some(beta) if beta.array.shape() != gamma.array.shape() => {
            Err(wrong(&beta, format!("{:?}", gamma.array.shape())))
        }
        beta => Ok(Body::Norm(gamma, beta)),
    }
}

fn stack(
    prefix: &str,
    kind: Kind,
    cells: [IndexMap<&'static str, Tensor>; 2],
    note: &mut Option<String>,
) -> Result<Stack> {
    let mut layers = Vec::new();
    let mut known = None;
    for parts in cells.into_iter().filter(|p| !p.is_empty()) {
        let (kind, layer) = layer(prefix, kind, parts, note)?;
        let sizes = (kind, layer.of_state.columns(), layer.of_input.columns());
        if known.is_some_and(|k| k != sizes) {
            return Err(wrong(
                &layer.of_state,
                "the shape of the other direction".into(),
            ));
        }
        known = Some(sizes);
        layers.push(layer);
    }
    let (kind, hidden, _) =
        known.ok_or_else(|| missing(full(prefix, "kernel"), "[K, H of all gates]"))?;
    Ok(Stack {
        kind,
        layers: vec![layers],
        hidden,
        projected: hidden,
    })
}

/// A layer with its gates in the order of [`Kind::gates`], as rows.
fn layer(
    prefix: &str,
    kind: Kind,
    mut parts: IndexMap<&'static str, Tensor>,
    note: &mut Option<String>,
) -> Result<(Kind, Layer)> {
    let gates = kind.gates().len();
    let mut part = |end: &str| parts.shift_remove(end);
    let (kernel, recurrent, bias) = (part("kernel"), part("recurrent_kernel"), part("bias"));
    let recurrent = recurrent
        .ok_or_else(|| missing(full(prefix, "recurrent_kernel"), "[H, H of all gates]"))?;
    let kernel = kernel.ok_or_else(|| missing(full(prefix, "kernel"), "[K, H of all gates]"))?;
    let hidden = match *recurrent.array.shape() {
        [h, all] if h > 0 && h.checked_mul(gates) == Some(all) => h,
        _ => {
            return Err(wrong(
                &recurrent,
                format!("[H, {gates} H] of a layer {}", kind.module()),
            ));
        }
    };
    let rows = gates * hidden;
    if kernel.array.ndim() != 2 || kernel.array.shape()[1] != rows {
        return Err(wrong(&kernel, format!("[K, {rows}]")));
    }
    let (mut kind, mut one, mut two) = (kind, None, None);
    match (bias, kind) {
        (None, Kind::Gru) => {
            *note = Some(format!(
                "`{prefix}` has no bias, so that the file does not say where the reset gate acts; it is taken after the product, as by \
                 default (`reset_after=True`)"
            ));
        }
        (None, _) => {}
        (Some(bias), kind_of) => match (bias.array.shape(), kind_of) {
            ([2, n], Kind::Gru) if *n == rows => {
                let row = |at: usize| Tensor {
                    source: format!("{}[{at}]", bias.source),
                    array: bias.array.index_axis(Axis(0), at).to_owned(),
                };
                (one, two) = (Some(row(0)), Some(row(1)));
            }
            ([n], Kind::Gru) if *n == rows => {
                kind = Kind::GruBefore;
                one = Some(bias);
            }
            ([n], _) if *n == rows => one = Some(bias),
            (_, Kind::Gru) => {
                return Err(wrong(
                    &bias,
                    format!("[2, {rows}] with `reset_after`, [{rows}] without"),
                ));
            }
            _ => return Err(wrong(&bias, format!("[{rows}]"))),
        },
    }
    let ordered = |tensor: Tensor| in_order(tensor, kind, hidden);
    let layer = Layer {
        of_input: ordered(turned(kernel)),
        of_state: ordered(turned(recurrent)),
        bias: one.map(ordered),
        second_bias: two.map(ordered),
        projection: None,
    };
    Ok((kind, layer))
}

/// The rows of Keras, `i, f, c, o` and `z, r, h`, in our order.
fn in_order(tensor: Tensor, kind: Kind, hidden: usize) -> Tensor {
    if !matches!(kind, Kind::Gru | Kind::GruBefore) {
        return tensor;
    }
    let gate = |n: usize| {
        tensor
            .array
            .slice_axis(Axis(0), Slice::from(n * hidden..(n + 1) * hidden))
    };
    let array: ArrayD<f64> =
        concatenate(Axis(0), &[gate(1), gate(0), gate(2)]).unwrap_or_else(|_| tensor.array.clone());
    Tensor { array, ..tensor }
}
