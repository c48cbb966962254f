//! Random names for everything in a recurrence.
#![allow(dead_code, reason = "each test file uses a part of this")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;

use bptt::Recurrence;
use proptest::prelude::*;

/// Names used by derivatives, derivations, the printer and the language.
pub(crate) const NAMES: &[&str] = &[
    "w",
    "w.dot",
    "w.dot2",
    "w.dot.dot",
    "w.bar",
    "w.bar.dot",
    "w.final",
    "w.T2",
    "w.final.dot",
    "h",
    "h.dot",
    "h.bar",
    "h.bar.dot",
    "h.final",
    "h.final2",
    "h.final.bar",
    "h.before",
    "h.after",
    "delta",
    "delta.h",
    "grad.w",
    "loss.dot",
    "loss.bar",
    "loss.step",
    "loss.final",
    "losses",
    "state",
    "input",
    "output",
    "param",
    "final",
    "mean",
    "dim",
    "fn",
    "sample",
    "backward",
    "tangent",
    "cotangent",
    "step",
    "rows",
    "columns",
    "class",
    "hold",
    "before",
    "after",
    "tanh",
    "sum",
    "sigma",
    "σ",
    "θ",
    "größe",
    "δ_1",
    "名",
    "T",
    "L",
    "d",
    "e",
    "reset",
    "lengths",
    "v1",
    "v2",
    "v1.dot",
    "value",
    "value_2",
    "a_h",
    "m",
    "u_2",
    "start",
    "plus",
    "closed",
    "start.dot",
    "_",
    "_x",
    "_1",
    "a__b",
    "a_b",
    "a_b_",
    "__",
    "_.dot",
    "h_final",
    "w_dot",
    "w_dot_2",
    "v₁",
    "v_1",
    "W_s",
    "W",
    "s0",
    "lambda",
    "λ",
    "theta",
    "Phi",
    "Φ",
    "rho",
    "mu",
    "mu_t",
    "gamma",
    "tau",
    "t",
    "k",
    "j",
    "s",
    "q",
    "a",
    "a_i",
    "a_f",
    "v",
    "n_2",
    "J",
    "J_h",
    "I",
    "N",
    "M",
    "R",
    "G",
    "F",
    "W_H",
    "W_T",
    "h0",
    "h_0",
    "h_t",
    "x1",
    "e_t",
    "e1",
    "tau_2",
    "diag",
    "max",
    "min",
    "exp",
    "exp_2",
    "ln",
    "log",
    "sqrt",
    "abs",
    "select",
    "equal",
    "less",
    "sigmoid",
    "powf",
    "top",
    "partial",
    "infty",
    "Jac",
    "slope",
    "ratio",
    "length",
];

/// The plain names of a recurrence; see [`text`].
pub(crate) const PLAIN: &[&str] = &["W", "b", "c", "x", "y", "z0", "s", "k", "q", "r", "f", "H"];
/// The outputs, which may share names with other items.
pub(crate) const OUTPUTS: &[&str] = &["o", "p"];
pub(crate) const PARAMETERS: &[&str] = &["W", "b", "c"];
pub(crate) const LEAVES: &[&str] = &["W", "b", "c", "x", "y", "z0"];
pub(crate) const STATES: &[&str] = &["s", "k"];
pub(crate) const VALUES: &[&str] = &["q", "r"];

/// The number of cases, unless `PROPTEST_CASES` gives another.
pub(crate) fn cases(own: u32) -> u32 {
    let asked = std::env::var("PROPTEST_CASES").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(own)
}

pub(crate) type Names = HashMap<&'static str, String>;

pub(crate) fn plain() -> Names {
    let all = PLAIN.iter().chain(OUTPUTS);
    all.map(|name| (*name, (*name).to_owned())).collect()
}

/// The language has a function of this name.
fn is_built_in(name: &str) -> bool {
    let text = format!("input x\nfn {name}(u) = u\nloss {name}(x)\n");
    let refused = Recurrence::parse("function", &text).err();
    refused.is_some_and(|error| {
        let clash = format!("there already is a function `{name}`");
        error.to_string().contains(&clash)
    })
}

/// Random distinct names; those of outputs may coincide with others.
pub(crate) fn names() -> impl Strategy<Value = Names> {
    let own = prop::sample::subsequence(NAMES, PLAIN.len()).prop_shuffle();
    let outputs = prop::sample::subsequence(NAMES, OUTPUTS.len()).prop_shuffle();
    // A function with the name of a built-in one is refused.
    let place = PLAIN.iter().position(|name| *name == "f").unwrap();
    let own = own.prop_filter("a function", move |own| !is_built_in(own[place]));
    (own, outputs).prop_map(|(own, outputs)| {
        let own = PLAIN.iter().zip(own);
        let outputs = OUTPUTS.iter().zip(outputs);
        own.chain(outputs)
            .map(|(from, to)| (*from, to.to_owned()))
            .collect()
    })
}

/// A recurrence with every kind of declaration.
pub(crate) fn text(names: &Names) -> String {
    let [w, b, c, x, y, z0, s, k, q, r, f, h] = PLAIN.map_names(names);
    let [o, p] = OUTPUTS.map_names(names);
    // An output may have the name of another item, and must not be mistaken for it.
    format!(
        "dim {h}\n\
         param {w}[{h}, {h}] ~ orthogonal(0.5), {b}[{h}] = 0.1, {c} = 0.3\n\
         input {x}[{h}], {y}\n\
         sample input {z0}[{h}]\n\
         state {s}[{h}] = {z0}\n\
         backward state {k}\n\
         fn {f}(u) = {c} * u + {c}\n\
         {q} = {w} @ {s} + {x} + delay({b} * {x})\n\
         {s}' = tanh({q})\n\
         {r} = {f}(sum({s}')) * {y}\n\
         {k}' = {c} * {k} + {r}\n\
         output {o} = 2 * {s}', {p} = {r} * {k}'\n\
         loss {k}'^2 + {c}^2 * {r}\n\
         final loss squared_error({s}', {b})\n"
    )
}

pub(crate) trait MapNames<const N: usize> {
    fn map_names<'n>(&self, names: &'n Names) -> [&'n str; N];
}

impl<const N: usize> MapNames<N> for [&'static str] {
    fn map_names<'n>(&self, names: &'n Names) -> [&'n str; N] {
        std::array::from_fn(|i| &*names[self[i]])
    }
}
