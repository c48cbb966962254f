//! rust-lstm: `forward_with_cache` and `backward` of its LSTM cell, in f64. Its GRU resets before the
//! product.

use ndarray::{Array2, ArrayView2};
use peer_common::{Case, Found, Peer, Problem, serve};
use rust_lstm::layers::lstm_cell::LSTMCell;

struct Lstm {
    cell: LSTMCell,
    /// For each step, a matrix `[K, B]` and one `[H, B]`.
    x: Vec<Array2<f64>>,
    w_loss: Vec<Array2<f64>>,
    found: Found,
}

impl Lstm {
    fn new(case: &Case, p: &Problem) -> Self {
        let Case { t, b, k, h, .. } = *case;
        let matrix = |rows, columns, v: &Vec<f64>| {
            Array2::from_shape_vec((rows, columns), v.clone()).expect("the sizes fit")
        };
        let mut cell = LSTMCell::new(k, h);
        cell.w_ih = matrix(4 * h, k, &p.w_x);
        cell.w_hh = matrix(4 * h, h, &p.w_h);
        cell.b_ih = matrix(4 * h, 1, &p.b);
        let columns = |v: &[f64], d: usize| -> Vec<Array2<f64>> {
            let step = |i: usize| ArrayView2::from_shape((b, d), &v[i * b * d..][..b * d]);
            let own = |i| {
                step(i)
                    .expect("the sizes fit")
                    .t()
                    .as_standard_layout()
                    .into_owned()
            };
            (0..t).map(own).collect()
        };
        Self {
            cell,
            x: columns(&p.x, k),
            w_loss: columns(&p.w_loss, h),
            found: Found::default(),
        }
    }
}

impl Peer for Lstm {
    fn run(&mut self) {
        let zeros = Array2::zeros(self.w_loss[0].raw_dim());
        let (mut h, mut c) = (zeros.clone(), zeros.clone());
        let (mut caches, mut loss) = (Vec::with_capacity(self.x.len()), 0.0);
        for (x, w) in self.x.iter().zip(&self.w_loss) {
            let cache;
            (h, c, cache) = self.cell.forward_with_cache(x, &h, &c);
            loss += (&h * w).sum();
            caches.push(cache);
        }
        let mut gradient = self.cell.zero_gradients();
        let (mut dh, mut dc) = (zeros.clone(), zeros);
        for (cache, w) in caches.iter().zip(&self.w_loss).rev() {
            dh += w;
            let (step, _, dh_before, dc_before) = self.cell.backward(&dh, &dc, cache);
            gradient.accumulate(&step);
            (dh, dc) = (dh_before, dc_before);
        }
        let flat = |a: Array2<f64>| a.iter().copied().collect();
        self.found = Found {
            loss,
            w_x: flat(gradient.w_ih),
            w_h: flat(gradient.w_hh),
            b: flat(gradient.b_ih),
            b_h: Vec::new(),
        };
    }

    fn found(&self) -> Found {
        let Found {
            loss,
            w_x,
            w_h,
            b,
            b_h,
        } = &self.found;
        Found {
            loss: *loss,
            w_x: w_x.clone(),
            w_h: w_h.clone(),
            b: b.clone(),
            b_h: b_h.clone(),
        }
    }
}

fn main() {
    serve(|case| {
        if case.cell != "lstm" || !case.f64 {
            return Err("only the LSTM, in f64".into());
        }
        Ok(Box::new(Lstm::new(case, &Problem::new(case)?)))
    });
}
