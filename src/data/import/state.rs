//! The modules of a state dict of PyTorch, recognised by the names and shapes of its arrays.

use indexmap::IndexMap;

use super::module::{Body, Kind, Layer, Module, Origin, Stack, Tensor};
use super::options::Import;
use crate::data::roles::{self, Use};
use crate::data::{Array, Arrays};
use crate::error::{Error, Result, quoted};

/// The names that are accepted, for messages.
const ACCEPTED: &str = "`weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`, `weight_hr_l0` of an `nn.RNN`, `nn.LSTM` or \
    `nn.GRU` (also `_l1`, …, and `_reverse`), the same without `_l0` of a cell, `weight` and `bias` of an `nn.Linear` or \
    `nn.LayerNorm`, `weight` of an `nn.Embedding`";

/// The ends of the names of recurrent modules.
const ENDS: [&str; 5] = ["weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr"];

/// A layer of a recurrent module (0 of a cell), and whether it goes backward.
type Place = (usize, bool);

/// The arrays of one module by their ends.
#[derive(Debug, Default)]
struct Parts {
    plain: IndexMap<&'static str, Tensor>,
    recurrent: IndexMap<Place, IndexMap<&'static str, Tensor>>,
}

pub(super) fn refused(reason: String) -> Error {
    Error::Array { reason }
}

/// The arrays that are not ignored.
pub(super) fn kept<'a>(arrays: &'a Arrays, options: &Import) -> Result<Vec<(&'a str, &'a Array)>> {
    let ignored = |name: &str| {
        let covers = |i: &String| {
            name.strip_prefix(i.as_str()).is_some_and(|rest| {
                rest.is_empty() || rest.starts_with(['.', '/']) || i.ends_with(['.', '/'])
            })
        };
        options.ignored.iter().any(covers)
    };
    for name in &options.ignored {
        let mut names = arrays
            .iter()
            .map(|(n, _)| n)
            .chain(arrays.refused().map(|(n, _)| n));
        if !names.any(|n| n.starts_with(name.as_str())) {
            return Err(Error::UnknownName {
                what: "array to be ignored",
                name: name.clone(),
                known: arrays.iter().map(|(n, _)| n.into()).collect(),
            });
        }
    }
    if let Some((_, reason)) = arrays.refused().find(|(n, _)| !ignored(n)) {
        return Err(refused(reason.into()));
    }
    for (name, _) in arrays.iter() {
        let Some(module) = name.strip_suffix("running_mean").filter(|_| ignored(name)) else {
            continue;
        };
        let weight = format!("{module}weight");
        if arrays.get(&weight).is_some() && !ignored(&weight) {
            return Err(refused(format!(
                "`{weight}` beside `{name}` belongs to a batch norm, which the import does not read, and would be taken for a \
                 layer norm; leave the whole module out: give `Import::ignoring` the name `{}`",
                module.trim_end_matches(['.', '/'])
            )));
        }
    }
    Ok(arrays.iter().filter(|(n, _)| !ignored(n)).collect())
}

/// An array of the file, of real numbers.
pub(super) fn tensor(name: &str, array: &Array) -> Result<Tensor> {
    let numbers = roles::numbers::<f64>(array, Use::Parameter);
    let array = numbers.map_err(|reason| refused(format!("array `{name}`: {reason}")))?;
    Ok(Tensor {
        source: name.into(),
        array,
    })
}

/// Refuses arrays that the import has no use for.
pub(super) fn check_unknown(unknown: &[String], accepted: &str) -> Result<()> {
    match unknown.is_empty() {
        true => Ok(()),
        false => Err(refused(format!(
            "the import has no use for {}; it reads {accepted}; give `Import::ignoring` these names if the model computes the \
             same without them",
            unknown.join(", ")
        ))),
    }
}

/// The modules of a state dict, sorted by their prefixes. A matrix without a bias counts as linear, unless its name says
/// that it is an embedding.
pub(super) fn modules(arrays: &Arrays, options: &Import) -> Result<Vec<Module>> {
    let mut found: IndexMap<&str, Parts> = IndexMap::new();
    let mut unknown = Vec::new();
    for (name, array) in kept(arrays, options)? {
        let (prefix, end) = name.rsplit_once('.').unwrap_or(("", name));
        let tensor = || tensor(name, array);
        if let Some(end) = ["weight", "bias"].into_iter().find(|e| *e == end) {
            found
                .entry(prefix)
                .or_default()
                .plain
                .insert(end, tensor()?);
        } else if let Some((end, place)) = place(end) {
            let layers = &mut found.entry(prefix).or_default().recurrent;
            let before = layers.entry(place).or_default().insert(end, tensor()?);
            if let Some(before) = before {
                return Err(refused(format!(
                    "`{}` and `{name}` are both the `{end}` of one layer; give `Import::ignoring` one of them",
                    before.source
                )));
            }
        } else {
            unknown.push(format!("`{name}` {:?}", array.shape()));
        }
    }
    check_unknown(&unknown, ACCEPTED)?;
    let mut modules = Vec::new();
    for (prefix, parts) in found {
        let module = |body| Module {
            origin: Origin::PyTorch,
            prefix: prefix.into(),
            body,
        };
        let Parts { plain, recurrent } = parts;
        if !plain.is_empty() {
            modules.push(module(plain_body(prefix, plain)?));
        }
        if !recurrent.is_empty() {
            modules.push(module(Body::Recurrent(stack(prefix, recurrent)?)));
        }
    }
    if !modules.iter().any(|m| matches!(m.body, Body::Recurrent(_))) {
        let names = arrays.iter().map(|(n, _)| n);
        return Err(refused(format!(
            "no recurrent layer: expected `weight_ih_l0` and `weight_hh_l0`, or those of a cell, `weight_ih` and `weight_hh`, \
             after any prefix; the file has {}",
            quoted(names)
        )));
    }
    Ok(modules)
}

/// The end without the layer, and the place.
fn place(end: &str) -> Option<(&'static str, Place)> {
    let (kind, rest) = ENDS.iter().find_map(|e| Some((*e, end.strip_prefix(e)?)))?;
    let (number, is_reverse) = match rest.strip_suffix("_reverse") {
        Some(number) => (number, true),
        None => (rest, false),
    };
    let layer = match number.strip_prefix("_l") {
        Some(digits) => usize::from(digits.parse::<u16>().ok()?),
        None if rest.is_empty() => 0,
        None => return None,
    };
    Some((kind, (layer, is_reverse)))
}

fn full(prefix: &str, end: &str) -> String {
    match prefix {
        "" => end.into(),
        prefix => format!("{prefix}.{end}"),
    }
}

pub(super) fn missing(name: String, expected: &str) -> Error {
    Error::Missing {
        what: "array",
        name,
        expected: expected.into(),
    }
}

pub(super) fn wrong(tensor: &Tensor, expected: String) -> Error {
    Error::ArrayShape {
        what: "array",
        name: tensor.source.clone(),
        expected,
        found: tensor.array.shape().into(),
    }
}

/// The module of an array `weight`.
fn plain_body(prefix: &str, mut parts: IndexMap<&'static str, Tensor>) -> Result<Body> {
    let bias = parts.shift_remove("bias");
    let Some(weight) = parts.shift_remove("weight") else {
        return Err(refused(format!(
            "array `{}` is missing, which `{}` belongs to; if another module shares it, save it twice: `{{name: \
             array.clone() for name, array in model.state_dict().items()}}`",
            full(prefix, "weight"),
            full(prefix, "bias")
        )));
    };
    let rows = weight.rows();
    if let Some(bias) = &bias
        && bias.array.shape() != [rows]
    {
        return Err(wrong(bias, format!("[{rows}]")));
    }
    let is_embedding = prefix.to_lowercase().contains("emb");
    match (weight.array.shape(), bias) {
        ([_, _], None) if is_embedding => Ok(Body::Embedding(weight)),
        ([_, _], bias) => Ok(Body::Linear(weight, bias)),
        ([_], bias) => Ok(Body::Norm(weight, bias)),
        _ => Err(wrong(
            &weight,
            "[O, H] of a linear layer or [H] of a layer norm".into(),
        )),
    }
}

fn stack(prefix: &str, places: IndexMap<Place, IndexMap<&'static str, Tensor>>) -> Result<Stack> {
    let depth = places.keys().map(|(layer, _)| layer + 1).max().unwrap_or(0);
    let directions = 1 + usize::from(places.keys().any(|(_, reverse)| *reverse));
    if depth > places.len() {
        let gap = (0..depth).find(|n| !places.contains_key(&(*n, false)));
        let name = format!("weight_ih_l{}", gap.unwrap_or(0));
        return Err(missing(
            full(prefix, &name),
            "[rows of all gates, size of the input]",
        ));
    }
    let mut places = places;
    let mut known: Option<(Kind, usize, usize)> = None;
    let mut layers = Vec::new();
    for number in 0..depth {
        let mut layer = Vec::new();
        for is_reverse in [false, true].into_iter().take(directions) {
            let mut parts = places
                .shift_remove(&(number, is_reverse))
                .unwrap_or_default();
            let end = if is_reverse { "_reverse" } else { "" };
            let mut part = |kind: &'static str| parts.shift_remove(kind);
            let need = |found: Option<Tensor>, kind: &str, expected: &str| {
                found.ok_or_else(|| {
                    missing(full(prefix, &format!("{kind}_l{number}{end}")), expected)
                })
            };
            let built = Layer {
                of_input: need(
                    part("weight_ih"),
                    "weight_ih",
                    "[rows of all gates, size of the input]",
                )?,
                of_state: need(
                    part("weight_hh"),
                    "weight_hh",
                    "[rows of all gates, size of the state]",
                )?,
                bias: part("bias_ih"),
                second_bias: part("bias_hh"),
                projection: part("weight_hr"),
            };
            let (kind, hidden, projected) = sizes(&built)?;
            if let Some(first) = known
                && first != (kind, hidden, projected)
            {
                return Err(wrong(
                    &built.of_state,
                    format!(
                        "[{}, {}] as in layer 0",
                        first.0.gates().len() * first.1,
                        first.2
                    ),
                ));
            }
            known = Some((kind, hidden, projected));
            let rows = kind.gates().len() * hidden;
            let columns = match number {
                0 => built.of_input.columns(),
                _ => directions * projected,
            };
            if built.of_input.array.shape() != [rows, columns] {
                let expected = match number {
                    0 => format!("[{rows}, K]"),
                    _ => format!("[{rows}, {columns}]"),
                };
                return Err(wrong(&built.of_input, expected));
            }
            for bias in [&built.bias, &built.second_bias].into_iter().flatten() {
                if bias.array.shape() != [rows] {
                    return Err(wrong(bias, format!("[{rows}]")));
                }
            }
            layer.push(built);
        }
        if let [forward, backward] = &layer[..]
            && forward.of_input.columns() != backward.of_input.columns()
        {
            let expected = format!("{:?}", forward.of_input.array.shape());
            return Err(wrong(&backward.of_input, expected));
        }
        layers.push(layer);
    }
    let (kind, hidden, projected) =
        known.ok_or_else(|| missing(full(prefix, "weight_hh_l0"), "[rows, H]"))?;
    Ok(Stack {
        kind,
        layers,
        hidden,
        projected,
    })
}

/// The kind of a layer, the size of its state and of its output, by the shapes of the products with the state.
fn sizes(layer: &Layer) -> Result<(Kind, usize, usize)> {
    let weight = &layer.of_state;
    let expected = || {
        wrong(
            weight,
            "[H, H] of an RNN, [3 H, H] of a GRU or [4 H, H] of an LSTM".into(),
        )
    };
    let [rows, columns] = *weight.array.shape() else {
        return Err(expected());
    };
    if let Some(projection) = &layer.projection {
        let hidden = rows / 4;
        if rows % 4 != 0 || projection.array.shape() != [columns, hidden] {
            return Err(wrong(
                projection,
                format!("[{columns}, {hidden}] of an LSTM with `proj_size`"),
            ));
        }
        return Ok((Kind::Lstm, hidden, columns));
    }
    let kinds = [Kind::Rnn, Kind::Gru, Kind::Lstm];
    let kind = kinds
        .into_iter()
        .find(|k| columns > 0 && rows == k.gates().len() * columns);
    kind.map(|kind| (kind, columns, columns))
        .ok_or_else(expected)
}
