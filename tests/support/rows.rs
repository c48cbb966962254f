//! Tools for the tests of the op table: data for a row, its derivatives, and `f32` compared with `f64`.

use bptt::{Batch, Notation, Op, Params, Rate, Recurrence, Role, Scalar, Wrt};
use ndarray::ArrayD;

use super::Noise;
use super::engines::EveryEngine as _;

/// The printed definition of an output.
pub(crate) fn printed(r: &Recurrence, output: &str) -> String {
    let text = r.to_string();
    let starts = [format!("  {output} = "), format!("  output {output} = ")];
    let mut lines = text.lines();
    let line = lines.find_map(|l| starts.iter().find_map(|s| l.strip_prefix(s.as_str())));
    line.unwrap_or_else(|| panic!("`{output}` is missing from\n{text}"))
        .into()
}

/// Returns true for silent ops; checks that all others have text and LaTeX.
pub(crate) fn is_silent(op: &Op) -> bool {
    let (text, latex) = match op.notation() {
        Notation::Silent => return true,
        Notation::Atom => panic!("{op:?} is not an atom"),
        Notation::Infix { text, latex, .. } => (text.to_owned(), latex.to_owned()),
        Notation::Prefix { text } => (text.to_owned(), text.to_owned()),
        Notation::Suffix { text, latex } | Notation::Call { text, latex, .. } => (text, latex),
    };
    assert!(!text.trim().is_empty(), "{op:?} has no text");
    assert!(!latex.trim().is_empty(), "{op:?} has no LaTeX");
    false
}

/// The lengths of the two samples.
pub(crate) const LENGTHS: [usize; 2] = [3, 2];

/// Parameters and inputs.
#[derive(Clone)]
pub(crate) struct Data(pub(crate) Params<f64>, pub(crate) Batch<f64>);

fn shape_of(leaf: &bptt::Leaf) -> Vec<usize> {
    let outer: &[usize] = match leaf.ty().rate {
        Rate::Static => &[],
        Rate::Sample => &[2],
        Rate::Step => &[3, 2],
    };
    let own = leaf.ty().shape.dims();
    let own = own.iter().map(|n| n.as_fixed().expect("fixed sizes"));
    outer.iter().copied().chain(own).collect()
}

/// Distinct numbers for the leaves of `r`, away from kinks. `ranges` has one range per leaf.
pub(crate) fn point(r: &Recurrence, ranges: &[(f64, f64)]) -> Data {
    let mut d = Data(Params::new(), Batch::new(3, 2).with_lengths(LENGTHS));
    for (n, leaf) in r.tape().leaves().iter().enumerate() {
        let shape = shape_of(leaf);
        let mut i = 0;
        if !leaf.ty().is_real() {
            let classes = ArrayD::from_shape_simple_fn(shape, || {
                i += 1;
                (2 * i) % 3
            });
            d.1 = d.1.with_classes(leaf.name(), classes);
            continue;
        }
        let (lo, hi) = ranges.get(n).copied().unwrap_or((-1.5, 1.5));
        let next = || {
            i += 1;
            let k = u32::try_from((7 * i + 3 * n) % 16).expect("small");
            lo + (hi - lo) * (f64::from(k) + if n == 0 { 0.25 } else { 0.75 }) / 16.0
        };
        d.put(leaf, ArrayD::from_shape_simple_fn(shape, next));
    }
    d
}

/// Random numbers for the leaves of `r` with this suffix.
pub(crate) fn directions(r: &Recurrence, mut d: Data, suffix: &str, noise: &mut Noise) -> Data {
    let leaves = r.tape().leaves().iter();
    for leaf in leaves.filter(|l| l.name().ends_with(suffix)) {
        d.put(leaf, noise.array(&shape_of(leaf)));
    }
    d
}

impl Data {
    fn put(&mut self, leaf: &bptt::Leaf, array: ArrayD<f64>) {
        match leaf.role() {
            Role::Parameter => self.0.insert(leaf.name(), array),
            Role::Input => self.1 = self.1.clone().with(leaf.name(), array),
        }
    }
    pub(crate) fn array(&self, name: &str) -> &ArrayD<f64> {
        self.0
            .get(name)
            .or_else(|| self.1.get(name))
            .expect("it is there")
    }
    fn array_mut(&mut self, name: &str) -> &mut ArrayD<f64> {
        match self.0.get_mut(name) {
            Some(a) => a,
            None => self.1.get_mut(name).expect("it is there"),
        }
    }
    /// The data with `f` applied to every number.
    pub(crate) fn map(&self, r: &Recurrence, f: impl Fn(f64) -> f64) -> Self {
        let mut d = self.clone();
        for leaf in r.tape().leaves().iter().filter(|l| l.ty().is_real()) {
            d.array_mut(leaf.name()).mapv_inplace(&f);
        }
        d
    }
    fn moved(&self, v: &Self, s: f64, names: &[&str]) -> Self {
        let mut d = self.clone();
        for n in names {
            let step = v.array(&format!("{n}.dot")) * s;
            *d.array_mut(n) += &step;
        }
        d
    }
    pub(crate) fn run(&self, r: &Recurrence) -> bptt::Outputs<f64> {
        r.on_every_engine(&self.0, &self.1).expect("it runs")
    }
}

fn dot(a: &ArrayD<f64>, b: &ArrayD<f64>) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Richardson extrapolation of central differences.
fn slope(f: impl Fn(f64) -> ArrayD<f64>) -> ArrayD<f64> {
    let d = |h: f64| (f(h) - f(-h)) / (2.0 * h);
    (d(1e-3) * 4.0 - d(2e-3)) / 3.0
}

#[track_caller]
fn close(what: &str, a: &ArrayD<f64>, b: &ArrayD<f64>, tolerance: f64) {
    assert_eq!(a.shape(), b.shape(), "{what}");
    for (a, b) in a.iter().zip(b) {
        assert!(
            (a - b).abs() <= tolerance * (1.0 + b.abs()),
            "{what} {a} {b}"
        );
    }
}

/// Checks tangent, transpose and second derivatives, each along three random directions.
pub(crate) fn check_derivatives(r: &Recurrence, ranges: &[(f64, f64)]) {
    let x = point(r, ranges);
    let is_input = |n: &&str| r.tape().leaves().iter().any(|l| l.name() == *n);
    let names: Vec<&str> = ["a", "b", "d"].into_iter().filter(is_input).collect();
    let wrt = Wrt::Names(&names);
    let noise = &mut Noise(names.len() as u64);
    let tangent = r.tangent(wrt).expect("it has one");
    let v: Vec<Data> = (0..3)
        .map(|_| directions(&tangent, x.clone(), ".dot", noise))
        .collect();
    let along = |v: &Data, g: &dyn Fn(&str) -> ArrayD<f64>| -> f64 {
        let parts = names
            .iter()
            .map(|n| dot(&g(n), v.array(&format!("{n}.dot"))));
        parts.sum()
    };
    let pullback = r.pullback(&["y"], wrt).expect("it has one");
    for v in &v {
        let jv = v.run(&tangent)["y.dot"].clone();
        let expected = slope(|h| x.moved(v, h, &names).run(r)["y"].clone());
        close(&format!("{r}tangent"), &jv, &expected, 1e-8);
        let u = directions(&pullback, x.clone(), ".bar", noise);
        let found = u.run(&pullback);
        let left = dot(u.array("y.bar"), &jv);
        let right = along(v, &|n| found[n].clone());
        assert!(
            (left - right).abs() <= 1e-12 * (1.0 + left.abs()),
            "{r}transpose {left} {right}"
        );
    }
    let hessian = r.hessian_vector(wrt).expect("it has one");
    let gradient = r.gradient(wrt).expect("it has one");
    let hv: Vec<_> = v.iter().map(|v| v.run(&hessian)).collect();
    for (v_i, hv_i) in v.iter().zip(&hv) {
        for n in &names {
            let expected = slope(|h| x.moved(v_i, h, &names).run(&gradient)[n].clone());
            close(&format!("{r}second order"), &hv_i[n], &expected, 1e-7);
        }
        for (v_j, hv_j) in v.iter().zip(&hv) {
            let a = along(v_i, &|n| hv_j[n].clone());
            let b = along(v_j, &|n| hv_i[n].clone());
            assert!(
                (a - b).abs() <= 1e-12 * (1.0 + a.abs()),
                "{r}symmetry {a} {b}"
            );
        }
    }
}

/// Runs in `f32` and in `f64` on numbers exact in both, and compares `output`, within 4 units of roundoff of
/// the sum of the magnitudes of its terms, computed from the magnitudes of the data.
pub(crate) fn check_single(r: &Recurrence, output: &str, x: &Data) {
    let x = x.map(r, |x| f64::from(f32::of(x)));
    let mut params = Params::<f32>::new();
    let mut batch = Batch::<f32>::new(3, 2).with_lengths(LENGTHS);
    for leaf in r.tape().leaves() {
        if let Some(classes) = x.1.classes(leaf.name()) {
            batch = batch.with_classes(leaf.name(), classes.clone());
            continue;
        }
        let narrow = x.array(leaf.name()).mapv(f32::of);
        match leaf.role() {
            Role::Parameter => params.insert(leaf.name(), narrow),
            Role::Input => batch = batch.with(leaf.name(), narrow),
        }
    }
    let single = r.evaluate(&params, &batch).expect("it runs");
    let double = x.run(r);
    let sizes = x.map(r, f64::abs).run(r);
    let sizes = sizes[output].iter().zip(&double[output]);
    let sizes = sizes.map(|(s, b)| s.abs().max(b.abs()));
    assert_eq!(single[output].shape(), double[output].shape(), "{r}");
    for ((a, b), size) in single[output].iter().zip(&double[output]).zip(sizes) {
        let error = (f64::from(*a) - b).abs();
        assert!(
            error <= 4.0 * f64::from(f32::EPSILON) * size,
            "{r}in single precision {a}, in double {b}"
        );
    }
}

/// A line of `data/op_values.csv`.
pub(crate) struct Line {
    pub(crate) op: &'static str,
    pub(crate) args: Vec<f64>,
    pub(crate) value: Vec<f64>,
    pub(crate) partials: Vec<f64>,
}

/// The lines of `data/op_values.csv`, computed with mpmath at 60 digits: each argument is the exact value of
/// the printed double, and results have 30 digits. The partials of a vector row are those of its first entry
/// (`logsumexp`: of its only one).
pub(crate) fn lines() -> impl Iterator<Item = Line> {
    fn numbers(s: &str) -> Vec<f64> {
        let parts = s.split(';');
        parts.map(|x| x.parse().expect("a number")).collect()
    }
    let lines = include_str!("../data/op_values.csv").lines().skip(1);
    lines.map(|line| {
        let fields: Vec<&str> = line.split(',').collect();
        Line {
            op: fields[0],
            args: numbers(fields[1]),
            value: numbers(fields[2]),
            partials: numbers(fields[3]),
        }
    })
}

impl Line {
    /// Compares with a tolerance of 8 units of roundoff of the number itself, plus `slack` of the entry.
    #[track_caller]
    pub(crate) fn assert(
        &self,
        what: &str,
        found: &[f64],
        expected: &[f64],
        slack: impl Fn(usize) -> f64,
    ) {
        assert_eq!(found.len(), expected.len(), "{} {:?}", self.op, self.args);
        for (i, (a, b)) in found.iter().zip(expected).enumerate() {
            assert!(
                (a - b).abs() <= 8.0 * f64::EPSILON * b.abs() + slack(i),
                "{what} of {} at {:?}: {a:e}, not {b:e}",
                self.op,
                self.args
            );
        }
    }
}
