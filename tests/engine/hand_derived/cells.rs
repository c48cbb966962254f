//! The published forward and backward passes, for one sequence.
//!
//! `δ` of a quantity is the derivative of the loss with respect to it. Time starts at 0; the initial state
//! belongs to step −1.

use std::collections::BTreeMap;

use bptt::Params;
use ndarray::{Array1, Array2, ArrayD, Axis, Ix1, Ix2};

/// A vector.
pub(crate) type V = Array1<f64>;
/// A matrix.
pub(crate) type M = Array2<f64>;

/// One sequence and its initial states.
#[derive(Debug)]
pub(crate) struct Sequence {
    pub(crate) x: Vec<V>,
    pub(crate) h0: V,
    pub(crate) c0: V,
}

/// The derivatives with respect to the initial states.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) h: V,
    pub(crate) c: Option<V>,
}

/// Derivatives by name of the parameter, summed over sequences, and derivatives with respect to the inputs of
/// the current sequence.
#[derive(Debug, Default)]
pub(crate) struct Gradients {
    pub(crate) parameters: BTreeMap<String, ArrayD<f64>>,
    pub(crate) x: Vec<V>,
}

impl Gradients {
    fn add(&mut self, name: &str, term: ArrayD<f64>) {
        match self.parameters.get_mut(name) {
            Some(sum) => *sum += &term,
            None => {
                self.parameters.insert(name.into(), term);
            }
        }
    }

    /// Adds `Σ_t δ_t`.
    pub(crate) fn add_sum<'a>(&mut self, name: &str, deltas: impl IntoIterator<Item = &'a V>) {
        deltas
            .into_iter()
            .for_each(|d| self.add(name, d.clone().into_dyn()));
    }

    /// Adds `Σ_t δ_t v_tᵀ`.
    pub(crate) fn add_outer<'a>(
        &mut self,
        name: &str,
        terms: impl Iterator<Item = (&'a V, &'a V)>,
    ) {
        terms.for_each(|(d, v)| self.add(name, outer(d, v).into_dyn()));
    }

    /// Adds `Σ_t δ_t ⊙ v_t`.
    pub(crate) fn add_product<'a>(
        &mut self,
        name: &str,
        terms: impl Iterator<Item = (&'a V, &'a V)>,
    ) {
        terms.for_each(|(d, v)| self.add(name, (d * v).into_dyn()));
    }
}

/// The readout: returns `Δ_t`, the derivative of the loss with respect to `h_t` without the effect of later
/// steps.
pub(crate) type Readout<'a> = &'a mut dyn FnMut(usize, &V, &mut Gradients) -> V;

/// A forward and a backward pass.
pub(crate) type Backpropagation = fn(&Params<f64>, &Sequence, Readout<'_>, &mut Gradients) -> Start;

pub(crate) fn matrix(p: &Params<f64>, name: &str) -> M {
    let array = p.get(name).expect("every parameter was drawn").clone();
    array.into_dimensionality::<Ix2>().expect("it is a matrix")
}

pub(crate) fn vector(p: &Params<f64>, name: &str) -> V {
    let array = p.get(name).expect("every parameter was drawn").clone();
    array.into_dimensionality::<Ix1>().expect("it is a vector")
}

/// A parameter vector, or zeros if the cell has no such parameter.
fn vector_or_zeros(p: &Params<f64>, name: &str, len: usize) -> V {
    if p.get(name).is_some() {
        vector(p, name)
    } else {
        V::zeros(len)
    }
}

fn outer(a: &V, b: &V) -> M {
    let (a, b) = (a.view().insert_axis(Axis(1)), b.view().insert_axis(Axis(0)));
    a.dot(&b)
}

fn sigma(a: &V) -> V {
    a.mapv(|a| 1.0 / (1.0 + (-a).exp()))
}

/// `σ'` as a function of `σ`.
fn d_sigma(s: &V) -> V {
    s.mapv(|s| s * (1.0 - s))
}

fn tanh(a: &V) -> V {
    a.mapv(f64::tanh)
}

/// `tanh'` as a function of `tanh`.
fn d_tanh(y: &V) -> V {
    y.mapv(|y| 1.0 - y * y)
}

/// The values one step earlier: the initial value, then all but the last.
fn before<'a>(initial: &'a V, values: &'a [V]) -> impl Iterator<Item = &'a V> + Clone {
    std::iter::once(initial).chain(values).take(values.len())
}

/// Elman's network: `h_t = φ(W_H h_{t−1} + W_X x_t + b_h)`, with `φ'` as a function of `φ`.
fn elman(
    p: &Params<f64>,
    s: &Sequence,
    readout: Readout<'_>,
    g: &mut Gradients,
    phi: fn(&V) -> V,
    d_phi: fn(&V) -> V,
) -> Start {
    let (w_h, w_x) = (matrix(p, "W_H"), matrix(p, "W_X"));
    let b_h = vector_or_zeros(p, "b_h", s.h0.len());
    let mut h: Vec<V> = Vec::new();
    for x in &s.x {
        let a = w_h.dot(h.last().unwrap_or(&s.h0)) + w_x.dot(x) + &b_h;
        h.push(phi(&a));
    }
    // δh_t = Δ_t + W_Hᵀ δa_{t+1}        δa_t = φ'(a_t) ⊙ δh_t
    let mut da = vec![V::zeros(s.h0.len()); h.len()];
    let mut from_next = V::zeros(s.h0.len());
    for t in (0..h.len()).rev() {
        let dh = readout(t, &h[t], g) + &from_next;
        da[t] = d_phi(&h[t]) * dh;
        from_next = w_h.t().dot(&da[t]);
    }
    g.x = da.iter().map(|d| w_x.t().dot(d)).collect();
    g.add_outer("W_X", da.iter().zip(&s.x));
    g.add_outer("W_H", da.iter().zip(before(&s.h0, &h)));
    if p.get("b_h").is_some() {
        g.add_sum("b_h", &da);
    }
    Start {
        h: from_next,
        c: None,
    }
}

pub(crate) fn tanh_rnn(p: &Params<f64>, s: &Sequence, r: Readout<'_>, g: &mut Gradients) -> Start {
    elman(p, s, r, g, tanh, d_tanh)
}

pub(crate) fn relu_rnn(p: &Params<f64>, s: &Sequence, r: Readout<'_>, g: &mut Gradients) -> Start {
    let relu = |a: &V| a.mapv(|a| a.max(0.0));
    let d_relu = |y: &V| y.mapv(|y| if y > 0.0 { 1.0 } else { 0.0 });
    elman(p, s, r, g, relu, d_relu)
}

/// The LSTM of Gers, Schmidhuber and Cummins (2000), without peepholes.
pub(crate) fn lstm(p: &Params<f64>, s: &Sequence, r: Readout<'_>, g: &mut Gradients) -> Start {
    greff(p, s, r, g, false)
}

pub(crate) fn peephole_lstm(
    p: &Params<f64>,
    s: &Sequence,
    r: Readout<'_>,
    g: &mut Gradients,
) -> Start {
    greff(p, s, r, g, true)
}

/// The appendix of Greff et al. (2015), "LSTM: a search space odyssey", in its notation: `z` is the block input
/// (our `g`), `y` the output (our `h`), `R` the recurrent weights (our `U`).
fn greff(
    p: &Params<f64>,
    s: &Sequence,
    readout: Readout<'_>,
    g: &mut Gradients,
    peepholes: bool,
) -> Start {
    let n = s.h0.len();
    let w = |q: &str| matrix(p, &format!("W_{q}"));
    let u = |q: &str| matrix(p, &format!("U_{q}"));
    let bias = |q: &str| vector(p, &format!("b_{q}"));
    let peephole = |q: &str| vector_or_zeros(p, &format!("p_{q}"), n);
    let (w_z, w_i, w_f, w_o) = (w("g"), w("i"), w("f"), w("o"));
    let (r_z, r_i, r_f, r_o) = (u("g"), u("i"), u("f"), u("o"));
    let (b_z, b_i, b_f, b_o) = (bias("g"), bias("i"), bias("f"), bias("o"));
    let (p_i, p_f, p_o) = (peephole("i"), peephole("f"), peephole("o"));

    let (mut z, mut i, mut f, mut o) = (vec![], vec![], vec![], vec![]);
    let (mut c, mut y): (Vec<V>, Vec<V>) = (vec![], vec![]);
    for (t, x) in s.x.iter().enumerate() {
        let (y_1, c_1) = if t == 0 {
            (&s.h0, &s.c0)
        } else {
            (&y[t - 1], &c[t - 1])
        };
        z.push(tanh(&(w_z.dot(x) + r_z.dot(y_1) + &b_z)));
        i.push(sigma(&(w_i.dot(x) + r_i.dot(y_1) + &p_i * c_1 + &b_i)));
        f.push(sigma(&(w_f.dot(x) + r_f.dot(y_1) + &p_f * c_1 + &b_f)));
        c.push(&z[t] * &i[t] + c_1 * &f[t]);
        o.push(sigma(&(w_o.dot(x) + r_o.dot(y_1) + &p_o * &c[t] + &b_o)));
        y.push(tanh(&c[t]) * &o[t]);
    }

    let steps = y.len();
    // One entry more than steps: δ^{T+1} = 0.
    let zeros = || vec![V::zeros(n); steps + 1];
    let (mut dz, mut di, mut df, mut d_o) = (zeros(), zeros(), zeros(), zeros());
    let mut dc = zeros();
    let from_next = |dz: &V, di: &V, df: &V, d_o: &V| {
        r_z.t().dot(dz) + r_i.t().dot(di) + r_f.t().dot(df) + r_o.t().dot(d_o)
    };
    for t in (0..steps).rev() {
        let c_1 = if t == 0 { &s.c0 } else { &c[t - 1] };
        let tanh_c = tanh(&c[t]);
        let dy = readout(t, &y[t], g) + from_next(&dz[t + 1], &di[t + 1], &df[t + 1], &d_o[t + 1]);
        d_o[t] = &dy * &tanh_c * d_sigma(&o[t]);
        dc[t] =
            &dy * &o[t] * d_tanh(&tanh_c) + &p_o * &d_o[t] + &p_i * &di[t + 1] + &p_f * &df[t + 1];
        if t + 1 < steps {
            dc[t] = &dc[t] + &dc[t + 1] * &f[t + 1];
        }
        df[t] = &dc[t] * c_1 * d_sigma(&f[t]);
        di[t] = &dc[t] * &z[t] * d_sigma(&i[t]);
        dz[t] = &dc[t] * &i[t] * d_tanh(&z[t]);
    }
    let start = Start {
        h: from_next(&dz[0], &di[0], &df[0], &d_o[0]),
        c: Some(&p_i * &di[0] + &p_f * &df[0] + &dc[0] * &f[0]),
    };

    let x_of = |t: usize| {
        w_z.t().dot(&dz[t]) + w_i.t().dot(&di[t]) + w_f.t().dot(&df[t]) + w_o.t().dot(&d_o[t])
    };
    g.x = (0..steps).map(x_of).collect();
    for (gate, d) in [("g", &dz), ("i", &di), ("f", &df), ("o", &d_o)] {
        let d = &d[..steps];
        g.add_outer(&format!("W_{gate}"), d.iter().zip(&s.x));
        g.add_outer(&format!("U_{gate}"), d.iter().zip(before(&s.h0, &y)));
        g.add_sum(&format!("b_{gate}"), d);
    }
    if peepholes {
        g.add_product("p_i", di[..steps].iter().zip(before(&s.c0, &c)));
        g.add_product("p_f", df[..steps].iter().zip(before(&s.c0, &c)));
        g.add_product("p_o", d_o[..steps].iter().zip(&c));
    }
    start
}

/// The GRU of Cho et al. (2014): `n = tanh(W_n x + U_n (r ⊙ h_{t−1}) + b_n)`.
pub(crate) fn gru_reset_before(
    p: &Params<f64>,
    s: &Sequence,
    readout: Readout<'_>,
    g: &mut Gradients,
) -> Start {
    let [r_gate, z_gate, n_gate] = ["r", "z", "n"].map(|q| Gate::new(p, q));
    let (mut r, mut z, mut n) = (vec![], vec![], vec![]);
    let mut h: Vec<V> = vec![];
    for x in &s.x {
        let h_1 = h.last().unwrap_or(&s.h0).clone();
        let r_t = sigma(&(r_gate.w.dot(x) + r_gate.u.dot(&h_1) + &r_gate.b));
        let z_t = sigma(&(z_gate.w.dot(x) + z_gate.u.dot(&h_1) + &z_gate.b));
        let n_t = tanh(&(n_gate.w.dot(x) + n_gate.u.dot(&(&r_t * &h_1)) + &n_gate.b));
        h.push((1.0 - &z_t) * &n_t + &z_t * &h_1);
        r.push(r_t);
        z.push(z_t);
        n.push(n_t);
    }
    let steps = h.len();
    let zeros = || vec![V::zeros(s.h0.len()); steps];
    let (mut dr, mut dz, mut dn) = (zeros(), zeros(), zeros());
    let mut from_next = V::zeros(s.h0.len());
    for t in (0..steps).rev() {
        let h_1 = if t == 0 { &s.h0 } else { &h[t - 1] };
        let dh = readout(t, &h[t], g) + &from_next;
        dn[t] = &dh * (1.0 - &z[t]) * d_tanh(&n[t]);
        dz[t] = &dh * (h_1 - &n[t]) * d_sigma(&z[t]);
        let reset = n_gate.u.t().dot(&dn[t]);
        dr[t] = &reset * h_1 * d_sigma(&r[t]);
        from_next =
            &dh * &z[t] + &reset * &r[t] + r_gate.u.t().dot(&dr[t]) + z_gate.u.t().dot(&dz[t]);
    }
    let reset: Vec<V> = r
        .iter()
        .zip(before(&s.h0, &h))
        .map(|(r, h)| r * h)
        .collect();
    g.x = gate_inputs(steps, [(&r_gate, &dr), (&z_gate, &dz), (&n_gate, &dn)]);
    for (gate, d) in [("r", &dr), ("z", &dz), ("n", &dn)] {
        g.add_outer(&format!("W_{gate}"), d.iter().zip(&s.x));
        g.add_sum(&format!("b_{gate}"), d);
    }
    g.add_outer("U_r", dr.iter().zip(before(&s.h0, &h)));
    g.add_outer("U_z", dz.iter().zip(before(&s.h0, &h)));
    g.add_outer("U_n", dn.iter().zip(&reset));
    Start {
        h: from_next,
        c: None,
    }
}

/// The GRU of cuDNN: `u = U_n h_{t−1} + b_u`, `n = tanh(W_n x + b_n + r ⊙ u)`.
pub(crate) fn gru_reset_after(
    p: &Params<f64>,
    s: &Sequence,
    readout: Readout<'_>,
    g: &mut Gradients,
) -> Start {
    let [r_gate, z_gate, n_gate] = ["r", "z", "n"].map(|q| Gate::new(p, q));
    let b_u = vector(p, "b_u");
    let (mut r, mut z, mut n, mut u) = (vec![], vec![], vec![], vec![]);
    let mut h: Vec<V> = vec![];
    for x in &s.x {
        let h_1 = h.last().unwrap_or(&s.h0).clone();
        let r_t = sigma(&(r_gate.w.dot(x) + r_gate.u.dot(&h_1) + &r_gate.b));
        let z_t = sigma(&(z_gate.w.dot(x) + z_gate.u.dot(&h_1) + &z_gate.b));
        let u_t = n_gate.u.dot(&h_1) + &b_u;
        let n_t = tanh(&(n_gate.w.dot(x) + &n_gate.b + &r_t * &u_t));
        h.push((1.0 - &z_t) * &n_t + &z_t * &h_1);
        r.push(r_t);
        z.push(z_t);
        n.push(n_t);
        u.push(u_t);
    }
    let steps = h.len();
    let zeros = || vec![V::zeros(s.h0.len()); steps];
    let (mut dr, mut dz, mut dn, mut du) = (zeros(), zeros(), zeros(), zeros());
    let mut from_next = V::zeros(s.h0.len());
    for t in (0..steps).rev() {
        let h_1 = if t == 0 { &s.h0 } else { &h[t - 1] };
        let dh = readout(t, &h[t], g) + &from_next;
        dn[t] = &dh * (1.0 - &z[t]) * d_tanh(&n[t]);
        dz[t] = &dh * (h_1 - &n[t]) * d_sigma(&z[t]);
        du[t] = &dn[t] * &r[t];
        dr[t] = &dn[t] * &u[t] * d_sigma(&r[t]);
        from_next = &dh * &z[t]
            + n_gate.u.t().dot(&du[t])
            + r_gate.u.t().dot(&dr[t])
            + z_gate.u.t().dot(&dz[t]);
    }
    g.x = gate_inputs(steps, [(&r_gate, &dr), (&z_gate, &dz), (&n_gate, &dn)]);
    for (gate, d) in [("r", &dr), ("z", &dz), ("n", &dn)] {
        g.add_outer(&format!("W_{gate}"), d.iter().zip(&s.x));
        g.add_sum(&format!("b_{gate}"), d);
    }
    g.add_outer("U_r", dr.iter().zip(before(&s.h0, &h)));
    g.add_outer("U_z", dz.iter().zip(before(&s.h0, &h)));
    g.add_outer("U_n", du.iter().zip(before(&s.h0, &h)));
    g.add_sum("b_u", &du);
    Start {
        h: from_next,
        c: None,
    }
}

/// The weights of one gate.
struct Gate {
    w: M,
    u: M,
    b: V,
}

impl Gate {
    fn new(p: &Params<f64>, q: &str) -> Self {
        Self {
            w: matrix(p, &format!("W_{q}")),
            u: matrix(p, &format!("U_{q}")),
            b: vector(p, &format!("b_{q}")),
        }
    }
}

/// `δx_t = Σ_q W_qᵀ δq_t`.
fn gate_inputs<const N: usize>(steps: usize, gates: [(&Gate, &Vec<V>); N]) -> Vec<V> {
    let inputs = gates[0].0.w.ncols();
    let at = |t: usize| {
        gates.iter().fold(V::zeros(inputs), |sum, (gate, d)| {
            sum + gate.w.t().dot(&d[t])
        })
    };
    (0..steps).map(at).collect()
}
