//! Puts parameters back into the ONNX model that they were imported from.

use std::collections::BTreeSet;

use ndarray::ArrayD;
use prost::Message;

use super::super::Imported;
use super::super::back::Numbers;
use super::super::options::Import;
use super::super::state::refused;
use super::proto::{Graph, Model, Tensor, entry};
use super::{decoded, entries};
use crate::error::Result;
use crate::op::Scalar;
use crate::recurrence::Params;

/// The ONNX model with the parameters of a recurrence that [`Imported::onnx`] made of it in place of its initializers, with the
/// types that these have. Of two biases that are added, the second is zero.
///
/// ```
/// use bptt::Params;
/// use bptt::cells::{Cell, Loss};
/// use bptt::data::{Import, Imported, to_onnx, updated_onnx};
/// let rnn = Cell::rnn().model("rnn", Loss::SquaredError)?;
/// let sizes = [("H", 3), ("K", 2), ("O", 1)];
/// let model = to_onnx(&rnn, &Params::<f64>::initial(&rnn, &sizes, 1)?)?;
/// let imported = Imported::onnx("rnn.onnx", &model, &Import::new())?;
/// let fitted: Params<f64> = imported.params.params(&imported.recurrence)?;
/// let fitted: Params<f64> = fitted.iter().map(|(name, a)| (name, a + 1.0)).collect();
/// let again = Imported::onnx("rnn.onnx", &updated_onnx(&model, &fitted)?, &Import::new())?;
/// assert_eq!(again.params.get("b_h").map(|b| b.real::<f64>()[0]), Some(1.0));
/// # Ok::<(), bptt::Error>(())
/// ```
///
/// # Errors
/// When the model cannot be imported, or the parameters are others than those of its import; when a parameter is computed from several
/// initializers.
pub fn updated_onnx<F: Scalar>(bytes: &[u8], params: &Params<F>) -> Result<Vec<u8>> {
    let (mut model, graph) = decoded(bytes)?;
    let plain = Imported::onnx("model.onnx", bytes, &Import::new())?;
    let is_used = |name: &str| plain.params.get(name).is_some();
    let numbered = |starts: bool| -> Result<(Numbers, Vec<usize>, Imported)> {
        let mut numbers = Numbers::new();
        let mut changed = graph.clone();
        let (biases, first) = inputs_of_cells(&graph);
        let mut own = Vec::new();
        for (at, tensor) in changed.initializers.iter_mut().enumerate() {
            let is_real = matches!(
                tensor.ty,
                entry::F32 | entry::F64 | entry::F16 | entry::BF16
            );
            let known = entries::known(tensor).map_err(refused)?;
            if !is_real || known.array.ndim() == 0 || !starts && first.contains(&tensor.name) {
                continue;
            }
            let is_bias = biases.contains(&tensor.name);
            let half = known.array.shape().last().copied().unwrap_or(0) / 2;
            let is_second = |n: usize| is_bias && half > 0 && n % (2 * half) >= half;
            let array = numbers.number(own.len(), known.array.shape(), &is_second)?;
            *tensor = real(tensor, entry::F64, &array);
            own.push(at);
        }
        let model = Model {
            graph: Some(changed),
            ..model.clone()
        };
        let imported = Imported::onnx("model.onnx", &model.encode_to_vec(), &Import::new())?;
        Ok((numbers, own, imported))
    };
    // States that start at zero are no parameters, and must stay zero.
    let (numbers, own, imported) = match numbered(true) {
        Ok(found) if found.2.params.iter().all(|(name, _)| is_used(name)) => found,
        _ => numbered(false)?,
    };
    let before = own.iter().map(|at| {
        let known = entries::known(&graph.initializers[*at]).map_err(refused)?;
        Ok(known.array.mapv(F::of))
    });
    let before = before.collect::<Result<Vec<ArrayD<F>>>>()?;
    let found = numbers.back(&imported.params, params, before, false)?;
    let mut graph = graph;
    for (at, array) in own.iter().zip(&found) {
        let tensor = &mut graph.initializers[*at];
        let ty = if tensor.ty == entry::F64 {
            entry::F64
        } else {
            entry::F32
        };
        *tensor = real(tensor, ty, &array.mapv(Scalar::to_f64));
    }
    model.graph = Some(graph);
    let bytes = model.encode_to_vec();
    let again = Imported::onnx("model.onnx", &bytes, &Import::new())?;
    let is_same = |name: &str, array: &ArrayD<F>| {
        again.params.get(name).is_some_and(|a| {
            let near =
                |(a, b): (&f64, &F)| (a - Scalar::to_f64(*b)).abs() <= 1e-6 * a.abs().max(1e-3);
            a.real::<f64>().iter().zip(array).all(near)
        })
    };
    match params.iter().find(|(name, array)| !is_same(name, array)) {
        Some((name, _)) => Err(refused(format!(
            "the parameter `{name}` is computed from several initializers of the model or shares one, which cannot be changed by it"
        ))),
        None => Ok(bytes),
    }
}

/// The biases, and the first states, of recurrent nodes.
fn inputs_of_cells(graph: &Graph) -> (BTreeSet<String>, BTreeSet<String>) {
    let cells = graph
        .nodes
        .iter()
        .filter(|n| matches!(&*n.op, "RNN" | "LSTM" | "GRU"));
    let named = |at: usize| cells.clone().filter_map(move |n| n.inputs.get(at).cloned());
    let loops = graph
        .nodes
        .iter()
        .filter(|n| matches!(&*n.op, "Scan" | "Loop"));
    let carried = loops.flat_map(|n| n.inputs.iter().cloned());
    (
        named(3).collect(),
        named(5).chain(named(6)).chain(carried).collect(),
    )
}

fn real(before: &Tensor, ty: i32, array: &ArrayD<f64>) -> Tensor {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the model is in single precision"
    )]
    let raw = match ty {
        entry::F64 => array.iter().flat_map(|x| x.to_le_bytes()).collect(),
        _ => array
            .iter()
            .flat_map(|x| (*x as f32).to_le_bytes())
            .collect(),
    };
    Tensor {
        dims: before.dims.clone(),
        ty,
        name: before.name.clone(),
        raw,
        ..Default::default()
    }
}
