//! candle: the LSTM and GRU of candle-nn, and a tanh RNN written with its tensors, as candle-nn has none;
//! `loss.backward()`.

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::rnn::{GRU, GRUConfig, LSTM, LSTMConfig, RNN};
use candle_nn::{VarBuilder, VarMap};
use peer_common::{Case, Found, Peer, Problem, batch_first, serve};

enum Net {
    Rnn,
    Lstm(LSTM),
    Gru(GRU),
}

struct Candle {
    net: Net,
    /// `W_X`, `W_H`, `b`, and the second bias of LSTM and GRU.
    vars: Vec<Var>,
    x: Tensor,
    w_loss: Tensor,
    gru: bool,
    found: Option<(Tensor, Vec<Tensor>)>,
}

fn tensor(values: &[f64], shape: &[usize], dtype: DType) -> Result<Tensor> {
    Tensor::from_vec(values.to_vec(), shape, &Device::Cpu)?.to_dtype(dtype)
}

fn host(t: &Tensor) -> Result<Vec<f64>> {
    t.to_dtype(DType::F64)?.flatten_all()?.to_vec1()
}

impl Candle {
    fn new(case: &Case, p: &Problem) -> Result<Self> {
        let Case { t, b, k, h, .. } = *case;
        let dtype = if case.f64 { DType::F64 } else { DType::F32 };
        let map = VarMap::new();
        let builder = VarBuilder::from_varmap(&map, dtype, &Device::Cpu);
        let net = match p.gates {
            4 => Net::Lstm(LSTM::new(k, h, LSTMConfig::default(), builder)?),
            3 => Net::Gru(GRU::new(k, h, GRUConfig::default(), builder)?),
            _ => Net::Rnn,
        };
        let rows = p.gates * h;
        let mut vars = Vec::new();
        for (name, values, shape) in [
            ("weight_ih_l0", &p.w_x, &[rows, k][..]),
            ("weight_hh_l0", &p.w_h, &[rows, h]),
            ("bias_ih_l0", &p.b, &[rows]),
            ("bias_hh_l0", &p.b_h, &[rows]),
        ] {
            let value = tensor(values, shape, dtype)?;
            let known = map
                .data()
                .lock()
                .expect("nobody else holds it")
                .get(name)
                .cloned();
            match known {
                Some(var) => {
                    var.set(&value)?;
                    vars.push(var);
                }
                None if name != "bias_hh_l0" => vars.push(Var::from_tensor(&value)?),
                None => {}
            }
        }
        Ok(Self {
            net,
            vars,
            x: tensor(&batch_first(&p.x, t, b, k), &[b, t, k], dtype)?,
            w_loss: tensor(&batch_first(&p.w_loss, t, b, h), &[b, t, h], dtype)?,
            gru: p.gates == 3,
            found: None,
        })
    }

    /// `[B, T, H]`.
    fn outputs(&self) -> Result<Tensor> {
        let outputs: Vec<Tensor> = match &self.net {
            Net::Lstm(net) => net.seq(&self.x)?.into_iter().map(|s| s.h).collect(),
            Net::Gru(net) => net.seq(&self.x)?.into_iter().map(|s| s.h).collect(),
            Net::Rnn => {
                let (b, steps, _) = self.x.dims3()?;
                let (w_x, w_h) = (self.vars[0].t()?, self.vars[1].t()?);
                let mut h = Tensor::zeros((b, w_h.dim(0)?), self.x.dtype(), &Device::Cpu)?;
                let mut outputs = Vec::with_capacity(steps);
                for t in 0..steps {
                    let x = self.x.narrow(1, t, 1)?.squeeze(1)?.contiguous()?;
                    let sum = (x.matmul(&w_x)? + h.matmul(&w_h)?)?;
                    h = sum.broadcast_add(&self.vars[2])?.tanh()?;
                    outputs.push(h.clone());
                }
                outputs
            }
        };
        Tensor::stack(&outputs, 1)
    }

    fn gradient(&self) -> Result<(Tensor, Vec<Tensor>)> {
        let loss = (self.outputs()? * &self.w_loss)?.sum_all()?;
        let mut gradients = loss.backward()?;
        let found = self
            .vars
            .iter()
            .map(|v| gradients.remove(v).expect("every parameter is used"));
        Ok((loss.detach(), found.collect()))
    }
}

impl Peer for Candle {
    fn run(&mut self) {
        self.found = Some(self.gradient().expect("the shapes fit"));
    }

    fn found(&self) -> Found {
        let Some((loss, gradients)) = &self.found else {
            return Found::default();
        };
        let get = |t: &Tensor| host(t).expect("it can be copied");
        Found {
            loss: get(loss)[0],
            w_x: get(&gradients[0]),
            w_h: get(&gradients[1]),
            b: get(&gradients[2]),
            b_h: if self.gru {
                get(&gradients[3])
            } else {
                Vec::new()
            },
        }
    }
}

fn main() {
    serve(|case| {
        let problem = Problem::new(case)?;
        Ok(Box::new(
            Candle::new(case, &problem).map_err(|e| e.to_string())?,
        ))
    });
}
