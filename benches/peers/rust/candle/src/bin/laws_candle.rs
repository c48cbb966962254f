//! candle for `bptt certify`: the LSTM and GRU of candle-nn, `loss.backward()`.

use candle_core::{D, DType, Device, Tensor, Var};
use candle_nn::rnn::{GRU, GRUConfig, GRUState, LSTM, LSTMConfig, LSTMState, RNN};
use candle_nn::{Linear, Module, VarBuilder, VarMap, ops};
use peer_common::laws::{Found, No, Question, serve};

fn host(t: &Tensor) -> Result<Vec<f64>, No> {
    Ok(t.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
}

fn answer(q: &Question) -> Result<Found, No> {
    let gates = match &*q.cell {
        "lstm" => 4,
        "gru_reset_after" => 3,
        "gru_reset_before" => {
            return Err(No::Unsupported("its GRU resets after the product".into()));
        }
        other => return Err(No::Unsupported(format!("candle-nn has no cell `{other}`"))),
    };
    if q.second_order {
        return Err(No::Unsupported(
            "`backward` gives no graph of gradients".into(),
        ));
    }
    let dtype = if q.f64 { DType::F64 } else { DType::F32 };
    let var = |values: &[f64], shape: &[usize]| -> Result<Var, No> {
        let tensor = Tensor::from_vec(values.to_vec(), shape, &Device::Cpu)?;
        Ok(Var::from_tensor(&tensor.to_dtype(dtype)?)?)
    };
    let (h, b, t) = (q.h, q.samples, q.steps);

    // The variables get their values before the layer reads them.
    let map = VarMap::new();
    let builder = VarBuilder::from_varmap(&map, dtype, &Device::Cpu);
    let [w_x, w_h, bias] = q.stacked()?;
    let mut second = vec![0.0; gates * h];
    if gates == 3 {
        second[2 * h..].copy_from_slice(q.get("b_u"));
    }
    let names = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"];
    let weights = [
        var(&w_x, &[gates * h, q.k])?,
        var(&w_h, &[gates * h, h])?,
        var(&bias, &[gates * h])?,
        var(&second, &[gates * h])?,
    ];
    for (name, weight) in names.iter().zip(&weights) {
        let mut data = map.data().lock().expect("nobody else holds it");
        data.insert((*name).into(), weight.clone());
    }

    let x = var(&q.batch_first("x"), &[b, t, q.k])?;
    let mut starts = Vec::new();
    for name in ["h0", "c0"].into_iter().filter(|name| q.has(name)) {
        starts.push((name, var(q.get(name), &[b, h])?));
    }
    let start = |i: usize| starts.get(i).map(|(_, v)| v.as_tensor().clone());
    let states: Vec<Tensor> = if gates == 4 {
        let net = LSTM::new(q.k, h, LSTMConfig::default(), builder)?;
        let states = match (start(0), start(1)) {
            (Some(h0), Some(c0)) => net.seq_init(&x, &LSTMState::new(h0, c0))?,
            _ => net.seq(&x)?,
        };
        states.into_iter().map(|s| s.h).collect()
    } else {
        let net = GRU::new(q.k, h, GRUConfig::default(), builder)?;
        let states = match start(0) {
            Some(h0) => net.seq_init(&x, &GRUState { h: h0 })?,
            None => net.seq(&x)?,
        };
        states.into_iter().map(|s| s.h).collect()
    };
    let (w_o, b_q) = (var(q.get("W_O"), &[q.o, h])?, var(q.get("b_q"), &[q.o])?);
    let head = Linear::new(w_o.as_tensor().clone(), Some(b_q.as_tensor().clone()));
    let outputs = head.forward(&Tensor::stack(&states, 0)?)?;
    let one_hot = var(&q.one_hot(), &[t, b, q.o])?.detach();
    let loss = (ops::log_softmax(&outputs, D::Minus1)? * one_hot)?
        .sum_all()?
        .neg()?;

    let gradients = loss.backward()?;
    let of = |v: &Var| -> Result<Vec<f64>, No> {
        let missing = || No::Error("`backward` gave no gradient for a variable".into());
        host(gradients.get(v).ok_or_else(missing)?)
    };
    let mut found = Found {
        loss: host(&loss)?[0],
        outputs: host(&outputs)?,
        ..Found::default()
    };
    found.parted(q, [of(&weights[0])?, of(&weights[1])?, of(&weights[2])?])?;
    if gates == 3 {
        found.gradient("b_u", of(&weights[3])?[2 * h..].to_vec());
    }
    found.gradient("W_O", of(&w_o)?);
    found.gradient("b_q", of(&b_q)?);
    found.gradient("x", q.steps_first(&of(&x)?));
    for (name, start) in &starts {
        found.gradient(name, of(start)?);
    }
    Ok(found)
}

fn main() {
    serve(answer);
}
