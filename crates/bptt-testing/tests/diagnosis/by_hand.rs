//! Hand-written networks with mistakes: forward and backward passes in plain loops, with none of the rules of `bptt`.

use std::collections::BTreeMap;

use bptt_testing::{Answer, Case};
use ndarray::{Array1, Array2, ArrayD, Axis, Ix1, Ix2};

pub(crate) type V = Array1<f64>;
pub(crate) type M = Array2<f64>;

/// The mistake that is made, by name; `right` makes none.
#[derive(Clone, Copy)]
pub(crate) struct Slip(pub(crate) &'static str);

impl Slip {
    pub(crate) fn is(self, name: &str) -> bool {
        self.0 == name
    }
}

pub(crate) struct Network<'c> {
    case: &'c Case,
    slip: Slip,
    gradients: BTreeMap<String, ArrayD<f64>>,
    loss: f64,
}

fn sigma(a: &V) -> V {
    a.mapv(|a| 1.0 / (1.0 + (-a).exp()))
}

fn tanh(a: &V) -> V {
    a.mapv(f64::tanh)
}

fn d_sigma(s: &V) -> V {
    s.mapv(|s| s * (1.0 - s))
}

fn d_tanh(y: &V) -> V {
    y.mapv(|y| 1.0 - y * y)
}

#[expect(clippy::cast_possible_truncation, reason = "this is the mistake")]
fn narrow(x: f64) -> f64 {
    f64::from(x as f32)
}

fn outer(a: &V, b: &V) -> ArrayD<f64> {
    let (a, b) = (a.view().insert_axis(Axis(1)), b.view().insert_axis(Axis(0)));
    a.dot(&b).into_dyn()
}

impl<'c> Network<'c> {
    pub(crate) fn new(case: &'c Case, slip: Slip) -> Self {
        Self {
            case,
            slip,
            gradients: BTreeMap::new(),
            loss: 0.0,
        }
    }

    fn m(&self, name: &str) -> M {
        self.case
            .params
            .get(name)
            .unwrap()
            .clone()
            .into_dimensionality::<Ix2>()
            .unwrap()
    }

    fn v(&self, name: &str) -> V {
        self.case
            .params
            .get(name)
            .unwrap()
            .clone()
            .into_dimensionality::<Ix1>()
            .unwrap()
    }

    fn x(&self, name: &str, t: usize, b: usize) -> V {
        let array = self.case.batch.get(name).unwrap();
        array
            .index_axis(Axis(0), t)
            .index_axis(Axis(0), b)
            .to_owned()
            .into_dimensionality()
            .unwrap()
    }

    fn start(&self, name: &str, b: usize) -> V {
        let array = self.case.batch.get(name).unwrap();
        array
            .index_axis(Axis(0), b)
            .to_owned()
            .into_dimensionality()
            .unwrap()
    }

    fn add(&mut self, name: &str, term: ArrayD<f64>) {
        match self.gradients.get_mut(name) {
            Some(sum) => *sum += &term,
            None => {
                self.gradients.insert(name.into(), term);
            }
        }
    }

    fn add_at(&mut self, name: &str, (t, b): (Option<usize>, usize), term: &V) {
        let like = self.case.batch.get(name).unwrap();
        let array = self
            .gradients
            .entry(name.into())
            .or_insert_with(|| ArrayD::zeros(like.shape()));
        let mut array = array.view_mut();
        if let Some(t) = t {
            array = array.index_axis_move(Axis(0), t);
        }
        let mut place = array.index_axis_move(Axis(0), b);
        place += &term.view().into_dyn();
    }

    fn length(&self, b: usize) -> usize {
        match self.slip.is("lengths ignored") {
            true => self.case.batch.steps(),
            false => self.case.lengths()[b],
        }
    }

    /// The readout and its loss; returns the derivative with respect to `h`.
    fn readout(&mut self, t: usize, b: usize, h: &V) -> V {
        let o = self.m("W_O").dot(h) + self.v("b_q");
        let y = self.x("y", t, b);
        let e = &o - &y;
        let factor = if self.slip.is("no half") { 2.0 } else { 1.0 };
        self.loss += 0.5 * factor * e.mapv(|e| e * e).sum();
        let e = e * factor;
        self.add("W_O", outer(&e, h));
        self.add("b_q", e.clone().into_dyn());
        self.m("W_O").t().dot(&e)
    }

    fn answer(self) -> Answer {
        let mut scale = 1.0;
        let lengths = self.case.lengths();
        let total: usize = lengths.iter().sum();
        if self.slip.is("mean over samples") {
            scale = 1.0 / lengths.len() as f64;
        }
        if self.slip.is("mean over padded steps") {
            scale = 1.0 / (lengths.len() * self.case.batch.steps()) as f64;
        }
        if self.slip.is("mean over steps") {
            scale = 1.0 / total as f64;
        }
        let mut answer = Answer::new().loss(self.loss * scale);
        for (name, array) in self.gradients {
            let array = array * scale;
            let array = match self.slip {
                s if s.is("single precision") => array.mapv(narrow),
                s if s.is("bias gradient twice") && name.starts_with("b_") && name != "b_q" => {
                    array * 2.0
                }
                s if s.is("negative gradient") => -array,
                s if s.is("gradient of U transposed")
                    && (name == "U_i" || name == "W_H" || name == "U_z") =>
                {
                    array.reversed_axes()
                }
                _ => array,
            };
            answer = answer.gradient(&name, array);
        }
        answer
    }

    /// Elman's network.
    pub(crate) fn rnn(mut self) -> Answer {
        let slip = self.slip;
        let (w, u, bias) = (self.m("W_H"), self.m("W_X"), self.v("b_h"));
        for b in 0..self.case.batch.samples() {
            let length = self.length(b);
            let mut h = vec![self.start("h0", b)];
            if slip.is("starts at zero") {
                h[0].fill(0.0);
            }
            for t in 0..length {
                let before = match slip {
                    s if s.is("state ignored") && t > 0 => V::zeros(h[0].len()),
                    s if s.is("state from start") => h[0].clone(),
                    _ => h[t].clone(),
                };
                let product = match slip {
                    s if s.is("W transposed") => w.t().dot(&before),
                    _ => w.dot(&before),
                };
                let mut a = product + u.dot(&self.x("x", t, b));
                if !slip.is("no bias") {
                    a += &bias;
                }
                if slip.is("bias twice") {
                    a += &bias;
                }
                h.push(tanh(&a));
            }
            let saved = self.gradients.clone();
            let mut next = V::zeros(h[0].len());
            for t in (0..length).rev() {
                let direct = self.readout(t, b, &h[t + 1]);
                let dh = match slip {
                    s if s.is("readout only at the end") && t + 1 < length => next.clone(),
                    _ => direct + &next,
                };
                let da = match slip {
                    s if s.is("no tanh'") => dh.clone(),
                    s if s.is("tanh' at its value") => d_tanh(&tanh(&h[t + 1])) * &dh,
                    s if s.is("tanh' of the previous state") => d_tanh(&h[t]) * &dh,
                    _ => d_tanh(&h[t + 1]) * &dh,
                };
                let before = match slip {
                    s if s.is("state ignored") && t > 0 => V::zeros(h[0].len()),
                    s if s.is("state from start") => h[0].clone(),
                    s if s.is("outer with the new state") => h[t + 1].clone(),
                    s if s.is("first step forgotten in W_H") && t == 0 => V::zeros(h[0].len()),
                    _ => h[t].clone(),
                };
                self.add("W_H", outer(&da, &before));
                if !slip.is("W_X only at the end") || t + 1 == length {
                    self.add("W_X", outer(&da, &self.x("x", t, b)));
                } else {
                    self.add("W_X", ArrayD::zeros(u.shape()));
                }
                let mut db = da.clone();
                if slip.is("no bias") {
                    db.fill(0.0);
                }
                if slip.is("bias twice") {
                    db *= 2.0;
                }
                self.add("b_h", db.into_dyn());
                let dx = u.t().dot(&da);
                self.add_at("x", (Some(t), b), &dx);
                next = match slip {
                    s if s.is("truncated") => V::zeros(h[0].len()),
                    s if s.is("W not transposed") => w.dot(&da),
                    s if s.is("W transposed") => w.dot(&da),
                    s if s.is("state ignored") && t > 0 => V::zeros(h[0].len()),
                    s if s.is("state from start") => {
                        let from_here = w.t().dot(&da);
                        self.add_at("h0", (None, b), &from_here);
                        V::zeros(h[0].len())
                    }
                    _ => w.t().dot(&da),
                };
            }
            if slip.is("jacobians reversed") {
                for name in ["W_H", "W_X", "b_h", "x"] {
                    match saved.get(name) {
                        Some(array) => self.gradients.insert(name.into(), array.clone()),
                        None => self.gradients.remove(name),
                    };
                }
                next = self.reversed_rnn(b, &h, &w, &u);
            }
            if !slip.is("no gradient of the start") && !slip.is("starts at zero") {
                self.add_at("h0", (None, b), &next);
            } else {
                let zero = V::zeros(h[0].len());
                self.add_at("h0", (None, b), &zero);
            }
        }
        self.answer()
    }

    /// The backward pass in the order of the forward pass, as Axon's `while` did it. It stands for the usual one.
    fn reversed_rnn(&mut self, b: usize, h: &[V], w: &M, u: &M) -> V {
        let mut carried = V::zeros(h[0].len());
        let w_o = self.m("W_O");
        for t in 0..h.len() - 1 {
            let e = w_o.dot(&h[t + 1]) + self.v("b_q") - self.x("y", t, b);
            let dh = w_o.t().dot(&e) + &carried;
            let da = d_tanh(&h[t + 1]) * &dh;
            self.add("W_H", outer(&da, &h[t]));
            self.add("W_X", outer(&da, &self.x("x", t, b)));
            self.add("b_h", da.clone().into_dyn());
            self.add_at("x", (Some(t), b), &u.t().dot(&da));
            carried = w.t().dot(&da);
        }
        carried
    }

    /// The LSTM with a forget gate.
    pub(crate) fn lstm(mut self) -> Answer {
        let slip = self.slip;
        let gates = ["i", "f", "g", "o"];
        let size = self.v("b_i").len();
        for b in 0..self.case.batch.samples() {
            let length = self.length(b);
            let (mut h, mut c) = (vec![self.start("h0", b)], vec![self.start("c0", b)]);
            let mut values: Vec<[V; 4]> = Vec::new();
            for t in 0..length {
                let before = if slip.is("h ignored") && t > 0 {
                    V::zeros(size)
                } else {
                    h[t].clone()
                };
                let pre = |gate: &str| {
                    let gate = match (slip.0, gate) {
                        ("i and f exchanged", "i") => "f",
                        ("i and f exchanged", "f") => "i",
                        _ => gate,
                    };
                    let mut a = self.m(&format!("W_{gate}")).dot(&self.x("x", t, b))
                        + self.m(&format!("U_{gate}")).dot(&before)
                        + self.v(&format!("b_{gate}"));
                    if slip.is("b counted twice") {
                        a += &self.v(&format!("b_{gate}"));
                    }
                    if slip.is("forget bias of one") && gate == "f" {
                        a += 1.0;
                    }
                    a
                };
                let i = sigma(&pre("i"));
                let f = sigma(&pre("f"));
                let g = if slip.is("sigmoid candidate") {
                    sigma(&pre("g"))
                } else {
                    tanh(&pre("g"))
                };
                let o = sigma(&pre("o"));
                let cell = match slip {
                    s if s.is("coupled gates") => &f * &c[t] + &(1.0 - &f) * &g,
                    _ => &f * &c[t] + &i * &g,
                };
                let shown = if slip.is("no tanh of c") {
                    cell.clone()
                } else {
                    tanh(&cell)
                };
                h.push(&o * &shown);
                c.push(cell);
                values.push([i, f, g, o]);
            }
            let (mut dh_next, mut dc_next) = (V::zeros(size), V::zeros(size));
            for t in (0..length).rev() {
                let [i, f, g, o] = &values[t];
                let dh = self.readout(t, b, &h[t + 1]) + &dh_next;
                let tc = if slip.is("no tanh of c") {
                    c[t + 1].clone()
                } else {
                    tanh(&c[t + 1])
                };
                let slope = match slip {
                    s if s.is("no tanh of c") || s.is("no tanh' of c") => V::ones(size),
                    s if s.is("tanh' of c itself") => d_tanh(&c[t + 1]),
                    _ => d_tanh(&tc),
                };
                let dc = match slip {
                    s if s.is("no path from h to c") => dc_next.clone(),
                    s if s.is("no carry of c") => &dh * o * &slope,
                    s if s.is("carry of c twice") => &dh * o * &slope + &dc_next * 2.0,
                    s if s.is("o left out") => &dh * &slope + &dc_next,
                    _ => &dh * o * &slope + &dc_next,
                };
                let c_before = if slip.is("new c in the forget gate") {
                    &c[t + 1]
                } else {
                    &c[t]
                };
                let d_i = match slip {
                    s if s.is("i for g") => &dc * i,
                    _ => &dc * g,
                };
                let slope_g = if slip.is("sigmoid candidate") {
                    d_sigma(g)
                } else {
                    d_tanh(g)
                };
                let maybe = |s: &V| match slip.is("sigmoid' at its value") {
                    true => sigma(s),
                    false => s.clone(),
                };
                let mut da = [
                    d_i * d_sigma(&maybe(i)),
                    &dc * c_before * d_sigma(&maybe(f)),
                    &dc * i * slope_g,
                    &dh * &tc * d_sigma(&maybe(o)),
                ];
                if slip.is("coupled gates") {
                    da[0].fill(0.0);
                    da[1] = &dc * &(&c[t] - g) * d_sigma(f);
                    da[2] = &dc * &(1.0 - f) * d_tanh(g);
                }
                if slip.is("a constant for sigmoid' of f") {
                    da[1] = &dc * c_before * f * 0.37;
                }
                if slip.is("no sigmoid' of f") {
                    da[1] = &dc * c_before;
                }
                if slip.is("tanh' for sigmoid' of o") {
                    da[3] = &dh * &tc * d_tanh(o);
                }
                if slip.is("no gradient of f") {
                    da[1].fill(0.0);
                }
                dh_next = V::zeros(size);
                let mut dx = V::zeros(self.case.batch.get("x").unwrap().shape()[2]);
                for (k, gate) in gates.iter().enumerate() {
                    let gate = match (slip.0, *gate) {
                        ("i and f exchanged", "i") => "f",
                        ("i and f exchanged", "f") => "i",
                        _ => gate,
                    };
                    let before = match slip {
                        s if s.is("h ignored") && t > 0 => V::zeros(size),
                        s if s.is("new h in U") => h[t + 1].clone(),
                        _ => h[t].clone(),
                    };
                    let counts = |array: ArrayD<f64>| match slip.is("first step only") && t > 0 {
                        true => ArrayD::zeros(array.shape()),
                        false => array,
                    };
                    self.add(
                        &format!("W_{gate}"),
                        counts(outer(&da[k], &self.x("x", t, b))),
                    );
                    self.add(&format!("U_{gate}"), counts(outer(&da[k], &before)));
                    let twice = if slip.is("b counted twice") { 2.0 } else { 1.0 };
                    self.add(&format!("b_{gate}"), counts((&da[k] * twice).into_dyn()));
                    if !(slip.is("g missing in dh") && gate == "g") {
                        let u = self.m(&format!("U_{gate}"));
                        dh_next += &match slip.is("U not transposed") {
                            true => u.dot(&da[k]),
                            false => u.t().dot(&da[k]),
                        };
                    }
                    dx += &self.m(&format!("W_{gate}")).t().dot(&da[k]);
                }
                self.add_at("x", (Some(t), b), &dx);
                dc_next = match slip {
                    s if s.is("f left out of the carry") => dc.clone(),
                    s if s.is("i for f in the carry") => &dc * i,
                    _ => &dc * f,
                };
                if slip.is("h ignored") && t > 0 || slip.is("h truncated") {
                    dh_next.fill(0.0);
                }
                if slip.is("c truncated") {
                    dc_next.fill(0.0);
                }
            }
            self.add_at("h0", (None, b), &dh_next);
            self.add_at("c0", (None, b), &dc_next);
        }
        self.answer()
    }

    /// The GRU that resets after the product.
    pub(crate) fn gru(mut self) -> Answer {
        let slip = self.slip;
        let size = self.v("b_r").len();
        let weights =
            ["r", "z", "n"].map(|g| (self.m(&format!("W_{g}")), self.m(&format!("U_{g}"))));
        let bias = ["b_r", "b_z", "b_n", "b_u"].map(|n| self.v(n));
        let [(w_r, u_r), (w_z, u_z), (w_n, u_n)] = &weights;
        let [b_r, b_z, b_n, b_u] = &bias;
        for b in 0..self.case.batch.samples() {
            let length = self.length(b);
            let mut h = vec![self.start("h0", b)];
            let mut values = Vec::new();
            for t in 0..length {
                let x = self.x("x", t, b);
                let before = match slip {
                    s if s.is("state ignored") && t > 0 => V::zeros(size),
                    s if s.is("state from start") => h[0].clone(),
                    _ => h[t].clone(),
                };
                let r = sigma(&(w_r.dot(&x) + u_r.dot(&before) + b_r));
                let z = sigma(&(w_z.dot(&x) + u_z.dot(&before) + b_z));
                let reset_before = slip.is("reset before");
                let u = if reset_before {
                    u_n.dot(&(&r * &before))
                } else {
                    u_n.dot(&before) + b_u
                };
                let n = match reset_before {
                    true => tanh(&(w_n.dot(&x) + b_n + &u + b_u)),
                    false => tanh(&(w_n.dot(&x) + b_n + &(&r * &u))),
                };
                let next = match slip {
                    s if s.is("z for 1 - z") => &z * &n + &(1.0 - &z) * &before,
                    _ => &(1.0 - &z) * &n + &z * &before,
                };
                h.push(next);
                values.push((x, before, r, z, u, n));
            }
            let mut next = V::zeros(size);
            for t in (0..length).rev() {
                let (x, before, r, z, u, n) = &values[t];
                let dh = self.readout(t, b, &h[t + 1]) + &next;
                let (mut dn, mut dz) = (&dh * &(1.0 - z), &dh * &(before - n));
                let mut carried = &dh * z;
                if slip.is("z for 1 - z backwards") {
                    (dn, carried) = (&dh * z, &dh * &(1.0 - z));
                }
                if slip.is("z for 1 - z") {
                    (dn, dz) = (&dh * z, &dh * &(n - before));
                    carried = &dh * &(1.0 - z);
                }
                if slip.is("sign of z") {
                    dz = &dh * &(n - before);
                }
                if slip.is("no direct path") {
                    carried.fill(0.0);
                }
                let da_n = dn * d_tanh(n);
                let (mut du, mut dr) = (&da_n * r, &da_n * u);
                let mut through = u_n.t().dot(&du);
                if slip.is("reset before") {
                    let inner = u_n.t().dot(&da_n);
                    dr = &inner * before;
                    through = &inner * r;
                    du = da_n.clone();
                }
                if slip.is("r left out") {
                    du = da_n.clone();
                    through = u_n.t().dot(&du);
                }
                let (da_r, da_z) = (dr * d_sigma(r), dz * d_sigma(z));
                let with = if slip.is("reset before") {
                    r * before
                } else {
                    before.clone()
                };
                let (d_product, with) = match slip.is("r at the state") {
                    true => (da_n.clone(), r * before),
                    false => (du.clone(), with),
                };
                for (gate, da, h) in [
                    ("r", &da_r, before),
                    ("z", &da_z, before),
                    ("n", &d_product, &with),
                ] {
                    self.add(&format!("U_{gate}"), outer(da, h));
                }
                for (gate, da) in [("r", &da_r), ("z", &da_z), ("n", &da_n)] {
                    self.add(&format!("W_{gate}"), outer(da, x));
                    self.add(&format!("b_{gate}"), da.clone().into_dyn());
                }
                self.add("b_u", du.clone().into_dyn());
                let dx = w_r.t().dot(&da_r) + w_z.t().dot(&da_z) + w_n.t().dot(&da_n);
                self.add_at("x", (Some(t), b), &dx);
                next = carried + through + u_r.t().dot(&da_r) + u_z.t().dot(&da_z);
                if slip.is("no r path") {
                    next -= &u_r.t().dot(&da_r);
                }
                if slip.is("state ignored") && t > 0 {
                    next.fill(0.0);
                }
                if slip.is("state from start") {
                    self.add_at("h0", (None, b), &next);
                    next.fill(0.0);
                }
                if slip.is("truncated") {
                    next.fill(0.0);
                }
            }
            self.add_at("h0", (None, b), &next);
        }
        self.answer()
    }
}
