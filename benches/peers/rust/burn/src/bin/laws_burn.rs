//! burn for `bptt certify`: the Rnn, Lstm and Gru of burn::nn on its CPU backend `flex`, `loss.backward()`.

use std::cell::Cell;

use burn::module::Param;
use burn::nn::{
    GateController, Gru, GruConfig, LinearConfig, Lstm, LstmConfig, LstmState, Rnn, RnnConfig,
    RnnState,
};
use burn::tensor::activation::log_softmax;
use burn::tensor::{DType, Device, FloatDType, Gradients, Tensor, TensorData};
use peer_common::laws::{Found, No, Question, serve};

enum Net {
    Rnn(Rnn),
    Lstm(Lstm),
    Gru(Gru),
}

impl Net {
    fn states(&self, x: Tensor<3>, start: &[Tensor<2>]) -> Tensor<3> {
        match (self, start) {
            (Self::Rnn(net), []) => net.forward(x, None).0,
            (Self::Rnn(net), [h, ..]) => net.forward(x, Some(RnnState::new(h.clone()))).0,
            (Self::Lstm(net), [h, c]) => {
                let state = LstmState::new(c.clone(), h.clone());
                net.forward(x, Some(state)).0
            }
            (Self::Lstm(net), _) => net.forward(x, None).0,
            (Self::Gru(net), start) => net.forward(x, start.first().cloned()),
        }
    }

    /// The gates in the order of [`Question::gates`].
    fn gates(&mut self) -> Vec<&mut GateController> {
        match self {
            Self::Rnn(net) => vec![&mut net.gate],
            Self::Lstm(net) => vec![
                &mut net.input_gate,
                net.forget_gate
                    .as_mut()
                    .expect("a forget gate is the default"),
                &mut net.cell_gate,
                &mut net.output_gate,
            ],
            Self::Gru(net) => vec![&mut net.reset_gate, &mut net.update_gate, &mut net.new_gate],
        }
    }
}

fn host<const D: usize>(t: &Tensor<D>) -> Vec<f64> {
    let data = t.clone().into_data().convert_dtype(DType::F64);
    data.try_to_vec().expect("it was converted")
}

/// A matrix `[rows, columns]` as `[columns, rows]`.
fn transposed(v: &[f64], rows: usize) -> Vec<f64> {
    let columns = v.len() / rows;
    let column = |j: usize| (0..rows).map(move |i| v[i * columns + j]);
    (0..columns).flat_map(column).collect()
}

thread_local!(static PRECISION: Cell<Option<DType>> = const { Cell::new(None) });

/// The device, set to the precision of the case, which can be set only once.
fn device(dtype: DType) -> Result<Device, No> {
    let mut device = Device::flex();
    if PRECISION.get() != Some(dtype) {
        let float = match dtype {
            DType::F64 => FloatDType::F64,
            _ => FloatDType::F32,
        };
        let fixed = |e| No::Error(format!("the precision is fixed: {e:?}"));
        device.configure(float).map_err(fixed)?;
        PRECISION.set(Some(dtype));
    }
    Ok(device.autodiff())
}

fn answer(q: &Question) -> Result<Found, No> {
    if q.second_order {
        return Err(No::Unsupported(
            "the gradients of `backward` have no graph".into(),
        ));
    }
    let dtype = if q.f64 { DType::F64 } else { DType::F32 };
    let device = device(dtype)?;
    let (k, h, o, b, t) = (q.k, q.h, q.o, q.samples, q.steps);
    let data = |v: Vec<f64>, shape: &[usize]| TensorData::new(v, shape).convert_dtype(dtype);
    let matrix = |v: Vec<f64>, shape: [usize; 2]| -> Tensor<2> {
        Tensor::from_data(data(v, &shape), (&device, dtype))
    };
    let vector = |v: &[f64]| -> Tensor<1> {
        Tensor::from_data(data(v.to_vec(), &[v.len()]), (&device, dtype))
    };
    let cube = |v: Vec<f64>, shape: [usize; 3]| -> Tensor<3> {
        Tensor::from_data(data(v, &shape), (&device, dtype))
    };
    let after = q.cell == "gru_reset_after";
    let mut net = match &*q.cell {
        "rnn" => Net::Rnn(RnnConfig::new(k, h, true).init(&device)),
        "lstm" => Net::Lstm(LstmConfig::new(k, h, true).init(&device)),
        "gru_reset_after" | "gru_reset_before" => {
            let config = GruConfig::new(k, h, true).with_reset_after(after);
            Net::Gru(config.init(&device))
        }
        other => return Err(No::Unsupported(format!("burn has no cell `{other}`"))),
    };
    let names = q.gates()?;
    for (gate, [w, u, bias]) in net.gates().into_iter().zip(&names) {
        let second = match after && w == "W_n" {
            true => q.get("b_u").to_vec(),
            false => vec![0.0; h],
        };
        let (input, hidden) = (&mut gate.input_transform, &mut gate.hidden_transform);
        input.weight = Param::from_tensor(matrix(transposed(q.get(w), h), [k, h]));
        hidden.weight = Param::from_tensor(matrix(transposed(q.get(u), h), [h, h]));
        input.bias = Some(Param::from_tensor(vector(q.get(bias))));
        hidden.bias = Some(Param::from_tensor(vector(&second)));
    }
    let mut head = LinearConfig::new(h, o).init(&device);
    head.weight = Param::from_tensor(matrix(transposed(q.get("W_O"), o), [h, o]));
    head.bias = Some(Param::from_tensor(vector(q.get("b_q"))));

    let x = cube(q.batch_first("x"), [b, t, k]).require_grad();
    let starts: Vec<(&str, Tensor<2>)> = ["h0", "c0"]
        .into_iter()
        .filter(|name| q.has(name))
        .map(|name| {
            let start = matrix(q.get(name).to_vec(), [b, h]);
            (name, start.require_grad())
        })
        .collect();
    let start: Vec<Tensor<2>> = starts.iter().map(|(_, s)| s.clone()).collect();
    let outputs = head.forward(net.states(x.clone(), &start));
    let by_sample = |v: Vec<f64>| peer_common::batch_first(&v, t, b, v.len() / (t * b));
    let mut y = None;
    let loss = if q.cell == "rnn" {
        let target = cube(q.batch_first("y"), [b, t, o]).require_grad();
        y = Some(target.clone());
        let within = q.within().into_iter();
        let within = within
            .flat_map(|w| std::iter::repeat_n(w / 2.0, o))
            .collect();
        let difference = outputs.clone() - target;
        (difference.clone() * difference * cube(by_sample(within), [b, t, o])).sum()
    } else {
        let one_hot = cube(by_sample(q.one_hot()), [b, t, o]);
        -(log_softmax(outputs.clone(), 2) * one_hot).sum()
    };

    let gradients = loss.backward();
    let mut found = Found {
        loss: host(&loss)[0],
        outputs: q.steps_first(&host(&outputs)),
        ..Found::default()
    };
    for (gate, [w, u, bias]) in net.gates().into_iter().zip(&names) {
        let (input, hidden) = (&gate.input_transform, &gate.hidden_transform);
        found.gradient(w, transposed(&of(&input.weight.val(), &gradients)?, k));
        found.gradient(u, transposed(&of(&hidden.weight.val(), &gradients)?, h));
        found.gradient(bias, of_bias(&input.bias, &gradients)?);
        if after && w == "W_n" {
            found.gradient("b_u", of_bias(&hidden.bias, &gradients)?);
        }
    }
    found.gradient("W_O", transposed(&of(&head.weight.val(), &gradients)?, h));
    found.gradient("b_q", of_bias(&head.bias, &gradients)?);
    found.gradient("x", q.steps_first(&of(&x, &gradients)?));
    if let Some(y) = &y {
        found.gradient("y", q.steps_first(&of(y, &gradients)?));
    }
    for (name, start) in &starts {
        found.gradient(name, of(start, &gradients)?);
    }
    Ok(found)
}

fn of<const D: usize>(t: &Tensor<D>, gradients: &Gradients) -> Result<Vec<f64>, No> {
    let missing = || No::Error("`backward` gave no gradient for a tensor".into());
    Ok(host(&t.grad(gradients).ok_or_else(missing)?))
}

fn of_bias(bias: &Option<Param<Tensor<1>>>, gradients: &Gradients) -> Result<Vec<f64>, No> {
    let missing = || No::Error("a bias is missing".into());
    of(&bias.as_ref().ok_or_else(missing)?.val(), gradients)
}

fn main() {
    serve(answer);
}
