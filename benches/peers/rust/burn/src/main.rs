//! burn on its CPU backend `flex`: the Rnn, Lstm and Gru of burn::nn, and autodiff.

use std::cell::Cell;

use burn::module::Param;
use burn::nn::{GateController, Gru, GruConfig, Lstm, LstmConfig, Rnn, RnnConfig};
use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};
use peer_common::{Case, Found, Peer, Problem, batch_first, serve};

enum Net {
    Rnn(Rnn),
    Lstm(Lstm),
    Gru(Gru),
}

impl Net {
    fn outputs(&self, x: Tensor<3>) -> Tensor<3> {
        match self {
            Self::Rnn(net) => net.forward(x, None).0,
            Self::Lstm(net) => net.forward(x, None).0,
            Self::Gru(net) => net.forward(x, None),
        }
    }

    fn gates(&mut self) -> Vec<&mut GateController> {
        const FORGETS: &str = "a forget gate is the default";
        match self {
            Self::Rnn(net) => vec![&mut net.gate],
            Self::Lstm(net) => vec![
                &mut net.input_gate,
                net.forget_gate.as_mut().expect(FORGETS),
                &mut net.cell_gate,
                &mut net.output_gate,
            ],
            Self::Gru(net) => vec![&mut net.reset_gate, &mut net.update_gate, &mut net.new_gate],
        }
    }
}

/// The gradients of a gate: `[K, H]`, `[H, H]` and the two biases.
type Gate = (Tensor<2>, Tensor<2>, Tensor<1>, Tensor<1>);

struct Burn {
    case: Case,
    gru: bool,
    net: Net,
    x: Tensor<3>,
    w_loss: Tensor<3>,
    found: Option<(Tensor<1>, Vec<Gate>)>,
}

fn tensor<const D: usize>(
    v: Vec<f64>,
    shape: [usize; D],
    dtype: DType,
    device: &Device,
) -> Tensor<D> {
    Tensor::from_data(
        TensorData::new(v, shape).convert_dtype(dtype),
        (device, dtype),
    )
}

fn host<const D: usize>(t: &Tensor<D>) -> Vec<f64> {
    let data = t.clone().into_data().convert_dtype(DType::F64);
    data.to_vec().expect("it was converted")
}

/// A matrix `[rows, columns]` as `[columns, rows]`.
fn transposed(v: &[f64], rows: usize, columns: usize) -> Vec<f64> {
    let column = |j: usize| (0..rows).map(move |i| v[i * columns + j]);
    (0..columns).flat_map(column).collect()
}

thread_local!(static PRECISION: Cell<Option<DType>> = const { Cell::new(None) });

/// The device, set to the precision of the case, which can be set only once.
fn device(dtype: DType) -> Result<Device, String> {
    let mut device = Device::flex();
    if PRECISION.get() != Some(dtype) {
        let float = if dtype == DType::F64 {
            FloatDType::F64
        } else {
            FloatDType::F32
        };
        device
            .configure(float)
            .map_err(|e| format!("the precision is fixed: {e:?}"))?;
        PRECISION.set(Some(dtype));
    }
    Ok(device.autodiff())
}

impl Burn {
    fn new(case: &Case, p: &Problem) -> Result<Self, String> {
        let Case { t, b, k, h, .. } = *case;
        let dtype = if case.f64 { DType::F64 } else { DType::F32 };
        let device = device(dtype)?;
        let mut net = match p.gates {
            4 => Net::Lstm(LstmConfig::new(k, h, true).init(&device)),
            3 => Net::Gru(
                GruConfig::new(k, h, true)
                    .with_reset_after(true)
                    .init(&device),
            ),
            _ => Net::Rnn(RnnConfig::new(k, h, true).init(&device)),
        };
        for (i, gate) in net.gates().into_iter().enumerate() {
            let matrix = |v: &[f64], d: usize| {
                let block = transposed(&v[i * h * d..][..h * d], h, d);
                Param::from_tensor(tensor(block, [d, h], dtype, &device))
            };
            let bias = |v: &[f64]| {
                let block = v[i * h..][..h].to_vec();
                Some(Param::from_tensor(tensor(block, [h], dtype, &device)))
            };
            gate.input_transform.weight = matrix(&p.w_x, k);
            gate.hidden_transform.weight = matrix(&p.w_h, h);
            gate.input_transform.bias = bias(&p.b);
            gate.hidden_transform.bias = bias(&p.b_h);
        }
        Ok(Self {
            net,
            x: tensor(batch_first(&p.x, t, b, k), [b, t, k], dtype, &device),
            w_loss: tensor(batch_first(&p.w_loss, t, b, h), [b, t, h], dtype, &device),
            gru: p.gates == 3,
            case: case.clone(),
            found: None,
        })
    }
}

impl Peer for Burn {
    fn run(&mut self) {
        const USED: &str = "every parameter is used";
        let loss = (self.net.outputs(self.x.clone()) * self.w_loss.clone()).sum();
        let mut gradients = loss.backward();
        let gates = self.net.gates().into_iter().map(|gate| {
            let (input, hidden) = (&gate.input_transform, &gate.hidden_transform);
            let bias = |p: &Option<Param<Tensor<1>>>| p.as_ref().expect(USED).val();
            (
                input.weight.val().grad_remove(&mut gradients).expect(USED),
                hidden.weight.val().grad_remove(&mut gradients).expect(USED),
                bias(&input.bias).grad_remove(&mut gradients).expect(USED),
                bias(&hidden.bias).grad_remove(&mut gradients).expect(USED),
            )
        });
        let gates = gates.collect();
        self.found = Some((loss.inner(), gates));
    }

    fn found(&self) -> Found {
        let Some((loss, gates)) = &self.found else {
            return Found::default();
        };
        let Case { k, h, .. } = self.case;
        let mut found = Found {
            loss: host(loss)[0],
            ..Found::default()
        };
        for (w_x, w_h, b, b_h) in gates {
            found.w_x.extend(transposed(&host(w_x), k, h));
            found.w_h.extend(transposed(&host(w_h), h, h));
            found.b.extend(host(b));
            if self.gru {
                found.b_h.extend(host(b_h));
            }
        }
        found
    }
}

fn main() {
    serve(|case| Ok(Box::new(Burn::new(case, &Problem::new(case)?)?)));
}
