//! rust-lstm for `bptt certify`: `forward_with_cache` and `backward` of its cells, and its readout, in f64. Its GRU
//! computes `(1 - z) ⊙ h + z ⊙ n`, so the parameters of `z` change their sign on the way in and out.

use ndarray::{Array2, ArrayView2, s};
use peer_common::laws::{Found, No, Question, serve};
use rust_lstm::layers::gru_cell::GRUCell;
use rust_lstm::layers::linear::LinearLayer;
use rust_lstm::layers::lstm_cell::LSTMCell;
use rust_lstm::layers::peephole_lstm_cell::PeepholeLSTMCell;

type Matrix = Array2<f64>;
/// The gradients of the parameters by name, of the input, and of the states before.
type Back = (Vec<(String, Matrix)>, Matrix, Matrix, Matrix);

fn matrix(values: &[f64], rows: usize) -> Matrix {
    let columns = values.len() / rows;
    Array2::from_shape_vec((rows, columns), values.to_vec()).expect("the sizes fit")
}

/// `[B, D]` as one column for each sample.
fn columns(values: &[f64], samples: usize) -> Matrix {
    let rows = ArrayView2::from_shape((samples, values.len() / samples), values);
    rows.expect("the sizes fit")
        .t()
        .as_standard_layout()
        .into_owned()
}

fn flat(m: &Matrix) -> Vec<f64> {
    m.iter().copied().collect()
}

fn flat_columns(m: &Matrix) -> Vec<f64> {
    m.t().iter().copied().collect()
}

/// A step of a cell, with the step back.
trait Cell {
    type Cache;
    fn forward(&mut self, x: &Matrix, h: &Matrix, c: &Matrix) -> (Matrix, Matrix, Self::Cache);
    fn backward(&self, dh: &Matrix, dc: &Matrix, cache: &Self::Cache) -> Back;
}

struct Lstm(LSTMCell);

impl Cell for Lstm {
    type Cache = rust_lstm::layers::lstm_cell::LSTMCellCache;

    fn forward(&mut self, x: &Matrix, h: &Matrix, c: &Matrix) -> (Matrix, Matrix, Self::Cache) {
        self.0.forward_with_cache(x, h, c)
    }

    fn backward(&self, dh: &Matrix, dc: &Matrix, cache: &Self::Cache) -> Back {
        let (g, dx, dh, dc) = self.0.backward(dh, dc, cache);
        let size = self.0.hidden_size;
        let mut named = Vec::new();
        for (i, gate) in ["i", "f", "g", "o"].iter().enumerate() {
            for (part, m) in [("W", &g.w_ih), ("U", &g.w_hh), ("b", &g.b_ih)] {
                let block = m.slice(s![i * size..(i + 1) * size, ..]).to_owned();
                named.push((format!("{part}_{gate}"), block));
            }
        }
        (named, dx, dh, dc)
    }
}

struct Gru(GRUCell);

impl Cell for Gru {
    type Cache = rust_lstm::layers::gru_cell::GRUCellCache;

    fn forward(&mut self, x: &Matrix, h: &Matrix, c: &Matrix) -> (Matrix, Matrix, Self::Cache) {
        let (h, cache) = self.0.forward_with_cache(x, h);
        (h, c.clone(), cache)
    }

    fn backward(&self, dh: &Matrix, dc: &Matrix, cache: &Self::Cache) -> Back {
        let (g, dx, dh) = self.0.backward(dh, cache);
        let named = [
            ("W_r", g.w_ir),
            ("U_r", g.w_hr),
            ("b_r", g.b_ir),
            ("W_z", -g.w_iz),
            ("U_z", -g.w_hz),
            ("b_z", -g.b_iz),
            ("W_n", g.w_ih),
            ("U_n", g.w_hh),
            ("b_n", g.b_ih),
        ];
        let named = named.into_iter().map(|(name, m)| (name.into(), m));
        (named.collect(), dx, dh, dc.clone())
    }
}

struct Peephole(PeepholeLSTMCell);

impl Cell for Peephole {
    type Cache = rust_lstm::layers::peephole_lstm_cell::PeepholeLSTMCellCache;

    fn forward(&mut self, x: &Matrix, h: &Matrix, c: &Matrix) -> (Matrix, Matrix, Self::Cache) {
        self.0.forward_with_cache(x, h, c)
    }

    fn backward(&self, dh: &Matrix, dc: &Matrix, cache: &Self::Cache) -> Back {
        let (g, dx, dh, dc) = self.0.backward(dh, dc, cache);
        let named = [
            ("W_i", g.w_xi),
            ("U_i", g.w_hi),
            ("b_i", g.b_i),
            ("p_i", g.w_ci),
            ("W_f", g.w_xf),
            ("U_f", g.w_hf),
            ("b_f", g.b_f),
            ("p_f", g.w_cf),
            ("W_g", g.w_xc),
            ("U_g", g.w_hc),
            ("b_g", g.b_c),
            ("W_o", g.w_xo),
            ("U_o", g.w_ho),
            ("b_o", g.b_o),
            ("p_o", g.w_co),
        ];
        let named = named.into_iter().map(|(name, m)| (name.into(), m));
        (named.collect(), dx, dh, dc)
    }
}

/// Backpropagation through time, step by step.
fn through_time<C: Cell>(mut cell: C, q: &Question) -> Result<Found, No> {
    let (steps, samples) = (q.steps, q.samples);
    let start = |name: &str| match q.has(name) {
        true => columns(q.get(name), samples),
        false => Matrix::zeros((q.h, samples)),
    };
    let (mut h, mut c) = (start("h0"), start("c0"));
    let head = LinearLayer::from_weights(matrix(q.get("W_O"), q.o), matrix(q.get("b_q"), q.o));
    let (one_hot, within) = (q.one_hot(), q.within());
    let (mut found, mut past) = (Found::default(), Vec::new());
    for t in 0..steps {
        let x = columns(&q.get("x")[t * samples * q.k..][..samples * q.k], samples);
        let cache;
        (h, c, cache) = cell.forward(&x, &h, &c);
        let mut head = head.clone();
        let outputs = head.forward(&h);
        found.outputs.extend(flat_columns(&outputs));
        let class = columns(&one_hot[t * samples * q.o..][..samples * q.o], samples);
        let mut slope = Matrix::zeros(outputs.raw_dim());
        for b in (0..samples).filter(|b| within[t * samples + b] > 0.0) {
            let scores = outputs.column(b);
            let largest = scores.fold(f64::NEG_INFINITY, |m, s| m.max(*s));
            let sum: f64 = scores.iter().map(|s| (s - largest).exp()).sum();
            let score = scores.dot(&class.column(b));
            found.loss += sum.ln() + largest - score;
            let chances = scores.mapv(|s| (s - largest).exp() / sum);
            slope.column_mut(b).assign(&(chances - class.column(b)));
        }
        past.push((cache, head, slope));
    }
    let mut sums: std::collections::BTreeMap<String, Matrix> = Default::default();
    let mut add = |name: &str, m: Matrix| {
        let sum = sums.entry(name.into());
        *sum.or_insert_with(|| Matrix::zeros(m.raw_dim())) += &m;
    };
    let zeros = Matrix::zeros((q.h, samples));
    let (mut dh, mut dc) = (zeros.clone(), zeros);
    let mut dx = vec![Vec::new(); steps];
    for (t, (cache, head, slope)) in past.iter().enumerate().rev() {
        let (of_head, above) = head.backward(slope);
        add("W_O", of_head.weight);
        add("b_q", of_head.bias);
        let (named, of_x, of_h, of_c) = cell.backward(&(dh + above), &dc, cache);
        named.into_iter().for_each(|(name, m)| add(&name, m));
        dx[t] = flat_columns(&of_x);
        (dh, dc) = (of_h, of_c);
    }
    for (name, sum) in &sums {
        found.gradient(name, flat(sum));
    }
    found.gradient("x", dx.concat());
    for (name, d) in [("h0", &dh), ("c0", &dc)] {
        if q.has(name) {
            found.gradient(name, flat_columns(d));
        }
    }
    Ok(found)
}

fn answer(q: &Question) -> Result<Found, No> {
    if !q.f64 {
        return Err(No::Unsupported("its numbers are f64".into()));
    }
    if q.second_order {
        return Err(No::Unsupported("it has no second derivatives".into()));
    }
    let m = |name: &str| matrix(q.get(name), q.h);
    match &*q.cell {
        "lstm" => {
            let [w_x, w_h, b] = q.stacked()?;
            let mut cell = LSTMCell::new(q.k, q.h);
            cell.w_ih = matrix(&w_x, 4 * q.h);
            cell.w_hh = matrix(&w_h, 4 * q.h);
            cell.b_ih = matrix(&b, 4 * q.h);
            through_time(Lstm(cell), q)
        }
        "gru_reset_before" => {
            let mut cell = GRUCell::new(q.k, q.h);
            (cell.w_ir, cell.w_hr, cell.b_ir) = (m("W_r"), m("U_r"), m("b_r"));
            (cell.w_iz, cell.w_hz, cell.b_iz) = (-m("W_z"), -m("U_z"), -m("b_z"));
            (cell.w_ih, cell.w_hh, cell.b_ih) = (m("W_n"), m("U_n"), m("b_n"));
            through_time(Gru(cell), q)
        }
        "lstm_peephole" => {
            let mut cell = PeepholeLSTMCell::new(q.k, q.h);
            (cell.w_xi, cell.w_hi, cell.b_i, cell.w_ci) = (m("W_i"), m("U_i"), m("b_i"), m("p_i"));
            (cell.w_xf, cell.w_hf, cell.b_f, cell.w_cf) = (m("W_f"), m("U_f"), m("b_f"), m("p_f"));
            (cell.w_xc, cell.w_hc, cell.b_c) = (m("W_g"), m("U_g"), m("b_g"));
            (cell.w_xo, cell.w_ho, cell.b_o, cell.w_co) = (m("W_o"), m("U_o"), m("b_o"), m("p_o"));
            through_time(Peephole(cell), q)
        }
        "gru_reset_after" => Err(No::Unsupported("its GRU resets before the product".into())),
        other => Err(No::Unsupported(format!("rust-lstm has no cell `{other}`"))),
    }
}

fn main() {
    serve(answer);
}
