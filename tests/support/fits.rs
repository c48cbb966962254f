//! Losses, data and Newton's method for the tests of fits.
#![allow(dead_code, reason = "each test file uses a part of this")]

use bptt::fit::{Known, Newton, Objective, hessian, over};
use bptt::{Batch, Error, Outputs, Params, Program, Recurrence, Workspace, Wrt};
use ndarray::{Array2, arr0};

/// Numbers of mean zero from a seed.
pub(crate) fn noise(seed: u64, count: usize) -> Vec<f64> {
    let mut state = seed;
    let mut next = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        f64::from(u32::try_from(state >> 33).unwrap()) / f64::from(1u32 << 31) - 0.5
    };
    (0..count).map(|_| next() + next() + next()).collect()
}

pub(crate) fn parse(text: &str) -> Recurrence {
    Recurrence::parse("test.rec", text).unwrap_or_else(|e| panic!("{e}"))
}

pub(crate) struct Loss<'a> {
    programs: [(Program<f64>, Workspace<f64>); 2],
    batch: &'a Batch<f64>,
}

impl Objective for Loss<'_> {
    fn gradient(&mut self, params: &Params<f64>) -> Result<Outputs<f64>, Error> {
        let (program, workspace) = &mut self.programs[0];
        program.run(params, self.batch, workspace).cloned_outputs()
    }
    fn hessian_vector(&mut self, params: &Params<f64>) -> Result<Outputs<f64>, Error> {
        let (program, workspace) = &mut self.programs[1];
        program.run(params, self.batch, workspace).cloned_outputs()
    }
}

pub(crate) trait Cloned {
    fn cloned_outputs(self) -> Result<Outputs<f64>, Error>;
}

impl Cloned for Result<&mut Outputs<f64>, Error> {
    fn cloned_outputs(self) -> Result<Outputs<f64>, Error> {
        self.map(|found| found.clone())
    }
}

/// Newton's method; the number of steps, if it converges.
pub(crate) fn minimise(
    r: &Recurrence,
    params: &mut Params<f64>,
    batch: &Batch<f64>,
) -> Result<usize, Error> {
    let directions: Vec<_> = params
        .iter()
        .map(|(n, a)| (format!("{n}.dot"), a.clone()))
        .collect();
    let mut along = params.clone();
    directions
        .into_iter()
        .for_each(|(name, array)| along.insert(&name, array));
    let compile = |r: Recurrence, params: &Params<f64>| {
        let program = r.compile_for(params, batch).unwrap();
        let workspace = program.workspace();
        (program, workspace)
    };
    let mut objective = Loss {
        programs: [
            compile(r.gradient(Wrt::Parameters)?, params),
            compile(r.hessian_vector(Wrt::Parameters)?, &along),
        ],
        batch,
    };
    let mut newton = Newton::new();
    for step in 1..=100 {
        if newton.step(params, &mut objective)?.converged {
            return Ok(step);
        }
    }
    panic!("not converged: {params:?}");
}

/// A loss over some of its arrays.
struct Partial {
    runs: [Run; 2],
}

/// A derivative, compiled at its first run.
struct Run {
    recurrence: Recurrence,
    known: Known<f64>,
    compiled: Option<(Program<f64>, Workspace<f64>)>,
}

impl Partial {
    fn run(&mut self, i: usize, arrays: &Params<f64>) -> Result<Outputs<f64>, Error> {
        let run = &mut self.runs[i];
        let (params, batch) = run.known.with(&run.recurrence, arrays)?;
        let (program, workspace) = run.compiled.get_or_insert_with(|| {
            let program = run.recurrence.compile_for(params, batch).unwrap();
            let workspace = program.workspace();
            (program, workspace)
        });
        program.run(params, batch, workspace).cloned_outputs()
    }
}

impl Objective for Partial {
    fn gradient(&mut self, params: &Params<f64>) -> Result<Outputs<f64>, Error> {
        self.run(0, params)
    }
    fn hessian_vector(&mut self, params: &Params<f64>) -> Result<Outputs<f64>, Error> {
        self.run(1, params)
    }
}

/// Newton's method over the named parameters and inputs: the minimum, the other data, and the Hessian.
pub(crate) fn minimised_over(
    r: &Recurrence,
    names: &[&str],
    params: &Params<f64>,
    batch: &Batch<f64>,
) -> (Params<f64>, Known<f64>, Array2<f64>) {
    let (mut known, mut arrays) = over(r, names, params, batch).unwrap();
    let derived = [r.gradient(names).unwrap(), r.hessian_vector(names).unwrap()];
    let mut objective = Partial {
        runs: derived.map(|recurrence| Run {
            recurrence,
            known: known.clone(),
            compiled: None,
        }),
    };
    let mut newton = Newton::new();
    let converged = (0..100).any(|_| newton.step(&mut arrays, &mut objective).unwrap().converged);
    assert!(converged, "{arrays:?}");
    let curvature = hessian(&arrays, &mut objective).unwrap();
    known.with(r, &arrays).unwrap();
    (arrays, known, curvature)
}

pub(crate) fn fitted(r: &Recurrence, mut params: Params<f64>, batch: &Batch<f64>) -> Params<f64> {
    minimise(r, &mut params, batch).unwrap();
    params
}

pub(crate) fn scalars(values: &[(&str, f64)]) -> Params<f64> {
    let start = Params::new();
    values
        .iter()
        .fold(start, |p, (name, x)| p.with(name, arr0(*x)))
}

pub(crate) fn returns(scale: f64) -> Batch<f64> {
    let text = include_str!("../../data/dmbp.csv");
    let numbers: Vec<f64> = text.lines().skip(1).map(|l| l.parse().unwrap()).collect();
    let y = Array2::from_shape_vec((numbers.len(), 1), numbers).unwrap();
    Batch::new(y.nrows(), 1).with("r", y * scale)
}

pub(crate) fn garch() -> Recurrence {
    parse(include_str!("../../examples/recurrences/garch11.rec"))
}

pub(crate) fn garch_start() -> Params<f64> {
    scalars(&[("mu", 0.0), ("omega", 0.05), ("alpha", 0.1), ("beta", 0.8)])
}

pub(crate) fn normal_data(steps: usize, samples: usize) -> Array2<f64> {
    Array2::from_shape_vec((steps, samples), noise(7, steps * samples)).unwrap() * 4.0 + 1.0
}
