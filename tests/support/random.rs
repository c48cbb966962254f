//! Properties of random recurrences: running them, and measuring differences.

use super::engines::EveryEngine as _;
use bptt::cells::{self, Cell, Start};
use bptt::{Batch, Dim, Outputs, Params, Rate, Recurrence, Wrt, concat};
use bptt_testing::random::Instance;

use ndarray::{ArrayD, IxDyn};
use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence, TestRunner};

pub(crate) fn config(cases: u32) -> Config {
    let failures = FileFailurePersistence::WithSource("regressions");
    Config {
        cases,
        failure_persistence: Some(Box::new(failures)),
        ..Config::default()
    }
}

/// Pseudo-random numbers in [-1, 1].
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        f64::from(u32::try_from(self.0 >> 32).unwrap()) / f64::from(1_u32 << 31) - 1.0
    }

    pub(crate) fn array(&mut self, shape: &[usize]) -> ArrayD<f64> {
        ArrayD::from_shape_simple_fn(IxDyn(shape), || self.next())
    }

    pub(crate) fn like(&mut self, outputs: &Outputs<f64>) -> Vec<(String, ArrayD<f64>)> {
        named(outputs)
            .map(|(n, a)| (n.into(), self.array(a.shape())))
            .collect()
    }
}

/// The outputs except the loss.
pub(crate) fn named(outputs: &Outputs<f64>) -> impl Iterator<Item = (&str, &ArrayD<f64>)> {
    outputs.iter().filter(|(n, _)| *n != "loss")
}

pub(crate) fn norm(a: &ArrayD<f64>) -> f64 {
    a.iter().fold(0.0, |m, x| m.max(x.abs()))
}

/// The largest entry of all derivatives.
pub(crate) fn overall(outputs: &Outputs<f64>) -> f64 {
    named(outputs).fold(0.0, |m, (_, a)| m.max(norm(a)))
}

/// The largest difference, relative to the largest entry of each array. Arrays that are tiny beside the others
/// are compared relative to those.
pub(crate) fn distance(a: &Outputs<f64>, b: &Outputs<f64>) -> f64 {
    let floor = 1e-2 * overall(a) + 1e-3;
    named(a).fold(0.0, |worst, (name, a)| {
        let b = b.get(name).unwrap_or_else(|| panic!("`{name}` is missing"));
        assert_eq!(a.shape(), b.shape(), "{name}");
        worst.max(norm(&(a - b)) / norm(a).max(floor))
    })
}

pub(crate) fn inner(a: &Outputs<f64>, v: &[(String, ArrayD<f64>)]) -> (f64, f64) {
    v.iter().fold((0.0, 0.0), |(sum, size), (name, v)| {
        let terms = &a[name.as_str()] * v;
        (sum + terms.sum(), size + terms.mapv(f64::abs).sum())
    })
}

pub(crate) fn is_param(r: &Recurrence, name: &str) -> bool {
    r.parameters().any(|p| p == name)
}

/// Adds arrays for the leaves of the recurrence whose names have this suffix.
pub(crate) fn with(
    i: &Instance,
    r: &Recurrence,
    suffix: &str,
    v: &[(String, ArrayD<f64>)],
) -> Instance {
    let mut out = i.clone();
    out.recurrence = r.clone();
    for (name, a) in v {
        let name = format!("{name}{suffix}");
        if is_param(r, &name) {
            out.params.insert(&name, a.clone());
        } else {
            out.batch = out.batch.with(&name, a.clone());
        }
    }
    out
}

/// Runs on every engine.
#[track_caller]
pub(crate) fn run(i: &Instance) -> Outputs<f64> {
    let found = i.recurrence.on_every_engine(&i.params, &i.batch);
    found.unwrap()
}

pub(crate) fn slot<'a>(
    params: &'a mut Params<f64>,
    batch: &'a mut Batch<f64>,
    name: &str,
) -> &'a mut ArrayD<f64> {
    if params.get(name).is_some() {
        params.get_mut(name).unwrap()
    } else {
        batch.get_mut(name).unwrap()
    }
}

/// The derivative of `f` at 0 by Richardson extrapolation, or `None` if `f` is not smooth.
pub(crate) fn slope(f: &mut dyn FnMut(f64) -> f64, h: f64, tolerance: f64) -> Option<f64> {
    let mut d = |h: f64| (f(h) - f(-h)) / (2.0 * h);
    let d = [d(h), d(h / 2.0), d(h / 4.0), d(h / 8.0)];
    let e = [0, 1, 2].map(|i| (4.0 * d[i + 1] - d[i]) / 3.0);
    let r = [0, 1].map(|i| (16.0 * e[i + 1] - e[i]) / 15.0);
    ((r[0] - r[1]).abs() <= tolerance).then_some((64.0 * r[1] - r[0]) / 63.0)
}

/// Statistics of a property test.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) checked: usize,
    pub(crate) skipped: usize,
    /// The number of derivatives far from zero.
    pub(crate) curved: usize,
    pub(crate) worst: [f64; 4],
}

impl Seen {
    pub(crate) fn note(&mut self, i: usize, error: f64) {
        self.worst[i] = self.worst[i].max(error);
    }

    pub(crate) fn report(&self, what: &str) {
        println!("{what}: {self:?}");
        assert!(
            self.skipped * 10 <= self.checked + self.skipped,
            "{what}: skips are rare: {self:?}"
        );
    }
}

/// Runs a property on random instances, and sums up its statistics.
pub(crate) fn for_all(
    cases: u32,
    what: &str,
    s: impl Strategy<Value = Instance>,
    test: impl Fn(&Instance, &mut Seen) -> Result<(), TestCaseError>,
) {
    let seen = std::cell::RefCell::new(Seen::default());
    let mut config = config(cases);
    config.source_file = Some(file!());
    let mut runner = TestRunner::new(config);
    runner
        .run(&s, |i| test(&i, &mut seen.borrow_mut()))
        .unwrap_or_else(|e| panic!("{what}: {e}"));
    seen.borrow().report(what);
}

pub(crate) fn gradient(i: &Instance) -> Outputs<f64> {
    let recurrence = i.recurrence.gradient(Wrt::Everything).unwrap();
    run(&Instance {
        recurrence,
        ..i.clone()
    })
}

/// A bidirectional cell, with data.
pub(crate) fn bidirectional(cell: fn() -> Cell) -> Instance {
    let recurrence = Recurrence::define("bidirectional", |r| {
        let (hidden, outputs) = (Dim::fixed(3), Dim::fixed(4));
        let x = r.input("x", [2]);
        let forward = cell().suffix("_fw").start(Start::Input);
        let backward = cell().suffix("_bw").start(Start::Parameter).backward();
        let forward = forward.apply(r, x, hidden);
        let backward = backward.apply(r, x, hidden);
        let o = cells::readout(r, "", concat([forward, backward]), outputs);
        r.loss(o.squared_error(r.input("y", [outputs])));
    })
    .unwrap();
    let (steps, samples) = (5, 2);
    let mut numbers = Numbers(17);
    let mut params = Params::new();
    let mut batch = Batch::new(steps, samples);
    for leaf in recurrence.tape().leaves() {
        let mut shape = match leaf.ty().rate {
            Rate::Static => vec![],
            Rate::Sample => vec![samples],
            Rate::Step => vec![steps, samples],
        };
        shape.extend(leaf.ty().shape.dims().iter().map(|d| d.as_fixed().unwrap()));
        let array = numbers.array(&shape);
        if is_param(&recurrence, leaf.name()) {
            params.insert(leaf.name(), array);
        } else {
            batch = batch.with(leaf.name(), array);
        }
    }
    Instance {
        recurrence,
        params,
        batch,
    }
}
