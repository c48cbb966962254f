//! Standard errors and covariance matrices of estimates; their premises are checked.

use ndarray::{Array1, Array2, ArrayD};

use super::dense::Cholesky;
use super::hessian::hessian;
use super::objective::pack;
use super::verdict::{Point, entries, refuse};
use super::{Objective, gradients};
use crate::error::{Error, Premise, Result, counted, quoted};
use crate::exec::{Program, Workspace};
use crate::limit::check_memory;
use crate::recurrence::{Batch, Outputs, Params, Recurrence, Terms, Wrt};
use crate::shape::Rate;
use crate::tape::Derived;

/// Estimators of the covariance matrix of maximum likelihood estimates. `H` is the Hessian of the negative log
/// likelihood, `s_i` the gradient of the log likelihood of observation `i`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Covariance {
    /// `H⁻¹`, the inverse of the observed information.
    Hessian,
    /// `(Σ s_i s_iᵀ)⁻¹`, the outer product of gradients (Berndt, Hall, Hall and Hausman 1974).
    OuterProduct,
    /// `H⁻¹ (Σ s_i s_iᵀ) H⁻¹`, which requires only the right mean and variance, not the right distribution (Huber
    /// 1967, White 1982; for GARCH, Bollerslev and Wooldridge 1992).
    Sandwich,
}

impl Covariance {
    /// All estimators.
    pub const ALL: &'static [Self] = &[Self::Hessian, Self::OuterProduct, Self::Sandwich];

    /// The name in JSON and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hessian => "hessian",
            Self::OuterProduct => "opg",
            Self::Sandwich => "robust",
        }
    }
}

/// The curvature and the scores of a negative log likelihood at its minimum.
///
/// The loss is interpreted as a *sum* over observations, even if it is written with `mean`: a mean is multiplied by
/// its number of terms. A loss that mixes sums with means, or means over different numbers of terms, has no such
/// scale and is refused. A term of parameters alone is a log prior; it contributes to the Hessian and is not an
/// observation.
///
/// An observation is a step of a sample. If a term of the loss has one value per sample, as a final loss has, an
/// observation is a sample with all its terms. Scores of observations are assumed to be uncorrelated. This holds for
/// independent samples and, step by step, if each term is the likelihood of a step given the steps before it.
///
/// ```
/// use bptt::{Batch, Params, Recurrence, fit::{Covariance, infer}};
/// use ndarray::{arr0, array};
///
/// // The mean of a normal distribution with variance 4; the estimate is the mean of the data.
/// let text = "input x\nparam m\nmean loss 0.5 * (ln(8 * 3.141592653589793) + (x - m)^2 / 4)\n";
/// let normal = Recurrence::parse("normal.rec", text)?;
/// let batch = Batch::new(4, 1).with("x", array![[1.0], [2.0], [6.0], [7.0]]);
/// let params = Params::new().with("m", arr0(4.0));
/// let found = infer(&normal, &params, &batch)?;
/// let error = found.standard_errors(Covariance::Hessian)?;
/// assert!((error.get("m").map_or(0.0, |e| e.sum()) - (4.0f64 / 4.0).sqrt()).abs() < 1e-15);
/// // With the variance of the data in the place of 4: Σ (x − m)² / n².
/// let robust = found.covariance(Covariance::Sandwich)?;
/// assert!((robust[[0, 0]] - 26.0 / 16.0).abs() < 1e-14);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Inference {
    shapes: Vec<(String, Vec<usize>)>,
    /// The inverse of the Hessian.
    inverse: Array2<f64>,
    /// `Σ s sᵀ`, if the loss has observations.
    outer: Option<Array2<f64>>,
    observations: usize,
    unit: Rate,
    prior: bool,
}

/// Standard errors and covariances of all parameters of a recurrence whose loss is a negative log likelihood, at its
/// minimum.
///
/// # Errors
/// [`Error::NoStandardErrors`] if a premise does not hold: see [`Premise`]. Also if the loss or its
/// derivatives cannot be evaluated.
pub fn infer(
    recurrence: &Recurrence,
    params: &Params<f64>,
    batch: &Batch<f64>,
) -> Result<Inference> {
    let declared = recurrence.parameters_declared()?;
    if !declared.is_empty() {
        let names = quoted(declared.iter().map(|name| &**name));
        let reason = format!(
            "`surrogate` or `stop_gradient` declares the derivative by {names}, so the Hessian is not that of the log \
             likelihood; write the loss without them"
        );
        return Err(refuse(Premise::Smooth, reason));
    }
    let terms = recurrence.loss_terms()?;
    check_scale(&terms, params, batch)?;
    let gradient = terms.total.gradient(Wrt::Parameters)?;
    let curvature = terms.total.hessian_vector(Wrt::Parameters)?;
    let mut loss = Compiled::new(&gradient, &curvature, batch);
    let here = loss.gradient(params)?;
    let order: Vec<&str> = gradients(&here).map(|(name, _)| name).collect();
    let fitted = select(params, &order);
    let point = Point {
        loss: here.loss()?,
        shapes: shapes(&fitted),
        at: fitted.iter().flat_map(|(_, a)| a.iter().copied()).collect(),
        gradient: pack(&here),
        hessian: hessian(&fitted, &mut loss)?,
        unused: unused(&terms.total, &order),
    };
    let mut probe = |step: &Array1<f64>| {
        let moved = loss.gradient(&moved(&fitted, step))?;
        Ok((moved.loss()?, pack(&moved)))
    };
    let inverse = point.inverse(&mut probe)?;
    let scores = match &terms.each {
        Some(each) => Some(scores(each, &fitted, batch)?),
        None => None,
    };
    if let Some(scores) = &scores {
        point.check_interior(&inverse, scores)?;
    }
    let alone = match &terms.each {
        Some(each) => unused(each, &order),
        None => order.iter().map(|name| (*name).to_owned()).collect(),
    };
    point.check_priors(&inverse, &alone, &mut probe)?;
    let observations = match &terms.each {
        Some(_) => observations(&terms.observed, &fitted, batch)?,
        None => 0,
    };
    Ok(Inference {
        shapes: point.shapes,
        inverse,
        outer: scores.as_ref().map(|s| s.dot(&s.t())),
        observations,
        unit: terms.unit,
        prior: terms.prior,
    })
}

impl Inference {
    /// A covariance matrix: rows and columns are the [`entries`](Self::entries).
    ///
    /// # Errors
    /// [`Error::NoStandardErrors`] if outer products are requested and there are no more observations than
    /// parameters, or, for [`Covariance::OuterProduct`], if the loss has a log prior.
    pub fn covariance(&self, kind: Covariance) -> Result<Array2<f64>> {
        if kind == Covariance::Hessian {
            return Ok(self.inverse.clone());
        }
        let numbers = self.inverse.nrows();
        let (true, Some(outer)) = (self.observations > numbers, &self.outer) else {
            return Err(refuse(Premise::Observations, self.too_few()));
        };
        if kind == Covariance::Sandwich {
            return Ok(self.inverse.dot(outer).dot(&self.inverse));
        }
        if self.prior {
            let reason = "the loss has a term of parameters alone, which is no observation: its outer \
                          products do not estimate the curvature; use the Hessian";
            return Err(refuse(Premise::Observations, reason.into()));
        }
        if outer.iter().all(|x| *x == 0.0) {
            let reason = format!(
                "outer products of scores have no inverse: the scores of all {} are zero, as in a perfect fit; use the \
                 Hessian",
                counted(self.observations, "observation")
            );
            return Err(refuse(Premise::Observations, reason));
        }
        match Cholesky::of(outer) {
            Some(factors) => Ok(factors.inverse()),
            None => Err(refuse(Premise::Observations, self.too_few())),
        }
    }

    fn too_few(&self) -> String {
        let unit = match self.unit {
            Rate::Step => "a step",
            _ => "a sample",
        };
        format!(
            "outer products of scores need more observations than parameters, in more directions: the loss has \
             {}, and {} fitted (an observation is {unit}); use the Hessian",
            counted(self.observations, "observation"),
            match self.inverse.nrows() {
                1 => "1 number is".into(),
                n => format!("{n} numbers are"),
            },
        )
    }

    /// The standard errors: the square roots of the variances, as arrays like the parameters.
    ///
    /// # Errors
    /// As [`covariance`](Self::covariance).
    pub fn standard_errors(&self, kind: Covariance) -> Result<Params<f64>> {
        let covariance = self.covariance(kind)?;
        let mut rest = covariance.diag().into_iter().map(|v| v.sqrt());
        let mut errors = Params::new();
        for (name, shape) in &self.shapes {
            let take = |_| rest.next().unwrap_or(f64::NAN);
            errors.insert(name, ArrayD::from_shape_fn(shape.as_slice(), take));
        }
        Ok(errors)
    }

    /// The names of the fitted numbers, in the order of the rows of a covariance matrix: `mu`, `W[0, 1]`.
    #[must_use]
    pub fn entries(&self) -> Vec<String> {
        entries(&self.shapes)
    }

    /// The number of observations: the steps of samples, or the samples, that count in the loss, even if their score
    /// is zero. A mask excludes those where it is zero.
    #[must_use]
    pub const fn observations(&self) -> usize {
        self.observations
    }

    /// The unit of observation: [`Rate::Step`], a step of a sample, or [`Rate::Sample`].
    #[must_use]
    pub const fn unit(&self) -> Rate {
        self.unit
    }
}

/// Refuses a loss whose terms have different scales.
fn check_scale(terms: &Terms, params: &Params<f64>, batch: &Batch<f64>) -> Result<()> {
    if terms.scaled {
        let reason = "a number of steps or samples is a factor or a divisor within a term of the loss, which is then \
                      no log likelihood of an observation; write a sum as `loss e`, a mean as `mean loss e`";
        return Err(refuse(Premise::Scale, reason.into()));
    }
    let Some(counts) = &terms.counts else {
        return Ok(());
    };
    let found = counts.compile_for(params, batch)?.evaluate(params, batch)?;
    let mut numbers: Vec<f64> = found.iter().map(|(_, n)| n.sum()).collect();
    if terms.sums > 0 || terms.prior {
        numbers.push(1.0);
    }
    let differ = numbers.windows(2).any(|w| w[0] != w[1]);
    if !differ {
        return Ok(());
    }
    let means = numbers[..terms.means].iter().map(ToString::to_string);
    let means = means.collect::<Vec<_>>().join(" and ");
    let terms_word = if means == "1" { "term" } else { "terms" };
    let rest = match (terms.sums > 0, terms.prior) {
        (true, _) => " and sums",
        (false, true) => {
            " and a term of parameters alone, which counts once (hold it, `hold(…, step)`, to count at every step)"
        }
        (false, false) => "",
    };
    let reason = format!(
        "the loss adds up means over {means} {terms_word}{rest}, which is no log likelihood on any scale; write each part \
         as a sum: `loss` instead of `mean loss`"
    );
    Err(refuse(Premise::Scale, reason))
}

/// A loss and its derivatives, compiled once.
struct Compiled<'a> {
    gradient: &'a Recurrence,
    hessian: &'a Recurrence,
    batch: &'a Batch<f64>,
    programs: [Option<(Program<f64>, Workspace<f64>)>; 2],
}

impl<'a> Compiled<'a> {
    fn new(gradient: &'a Recurrence, hessian: &'a Recurrence, batch: &'a Batch<f64>) -> Self {
        Self {
            gradient,
            hessian,
            batch,
            programs: [None, None],
        }
    }
}

/// Runs a recurrence, compiled at the first call.
fn run(
    program: &mut Option<(Program<f64>, Workspace<f64>)>,
    recurrence: &Recurrence,
    params: &Params<f64>,
    batch: &Batch<f64>,
) -> Result<Outputs<f64>> {
    let (program, workspace) = match program {
        Some(known) => known,
        None => {
            let compiled = recurrence.compile_for(params, batch)?;
            let workspace = compiled.workspace();
            program.insert((compiled, workspace))
        }
    };
    Ok(program.run(params, batch, workspace)?.clone())
}

impl Objective for Compiled<'_> {
    fn gradient(&mut self, params: &Params<f64>) -> Result<Outputs<f64>> {
        run(&mut self.programs[0], self.gradient, params, self.batch)
    }
    fn hessian_vector(&mut self, params: &Params<f64>) -> Result<Outputs<f64>> {
        let (program, workspace) = match &mut self.programs[1] {
            Some(known) => known,
            None => {
                let names: Vec<&str> = self.gradient.parameters().collect();
                let one = select(params, &names);
                let sizes = self.gradient.known_sizes(&one, self.batch)?;
                let entries = one.iter().map(|(_, a)| a.len()).sum();
                let compiled = self.hessian.compile(&sizes)?;
                let compiled = compiled.directions(block(entries))?;
                let workspace = compiled.workspace();
                self.programs[1].insert((compiled, workspace))
            }
        };
        Ok(program.run(params, self.batch, workspace)?.clone())
    }
    fn direction(&self, parameter: &str) -> String {
        direction(self.hessian, parameter)
    }
    fn directions(&self, entries: usize) -> Option<usize> {
        Some(block(entries))
    }
}

/// The number of columns of a Hessian that are computed in one run.
fn block(entries: usize) -> usize {
    const COLUMNS: usize = 8;
    entries.clamp(1, COLUMNS)
}

/// The name of the direction of a parameter.
fn direction(tangent: &Recurrence, parameter: &str) -> String {
    let role = Derived::Tangent(parameter.into());
    tangent.leaf_for(&role).unwrap_or(parameter).into()
}

/// The number of observations that count in the loss.
fn observations(observed: &Recurrence, params: &Params<f64>, batch: &Batch<f64>) -> Result<usize> {
    let found = run(&mut None, observed, params, batch)?;
    let weights = found.get(Terms::OUTPUT).into_iter().flatten();
    Ok(weights.filter(|weight| **weight > 0.0).count())
}

/// The gradient of each observation, by forward mode: one row for each fitted number, one column for each
/// observation.
fn scores(each: &Recurrence, params: &Params<f64>, batch: &Batch<f64>) -> Result<Array2<f64>> {
    let tangent = each.tangent(Wrt::Parameters)?;
    let role = Derived::Tangent(Terms::OUTPUT.into());
    let output = tangent.output_for(&role).unwrap_or(Terms::OUTPUT);
    let mut program = None;
    let mut rows: Vec<f64> = Vec::new();
    let mut along = params.clone();
    for (name, array) in params.iter() {
        along.insert(
            &direction(&tangent, name),
            ArrayD::<f64>::zeros(array.shape()),
        );
    }
    let numbers: usize = params.iter().map(|(_, a)| a.len()).sum();
    for (name, array) in params.iter() {
        for entry in 0..array.len() {
            let mut unit = ArrayD::<f64>::zeros(array.shape());
            unit.iter_mut().skip(entry).take(1).for_each(|x| *x = 1.0);
            along.insert(&direction(&tangent, name), unit);
            let found = run(&mut program, &tangent, &along, batch)?;
            let found = found.get(output).into_iter().flatten().copied();
            if rows.is_empty() {
                let (count, _) = found.size_hint();
                let entries = numbers.checked_mul(count);
                check_memory(entries.and_then(|n| n.checked_mul(size_of::<f64>())))?;
                rows.reserve_exact(entries.unwrap_or(0));
            }
            rows.extend(found);
        }
        along.insert(
            &direction(&tangent, name),
            ArrayD::<f64>::zeros(array.shape()),
        );
    }
    let count = rows.len() / numbers.max(1);
    let reason = || "scores of different length".into();
    Array2::from_shape_vec((numbers, count), rows).map_err(|_| Error::Batch { reason: reason() })
}

/// The fitted parameters, in the order of the gradient.
fn select(params: &Params<f64>, names: &[&str]) -> Params<f64> {
    let mut chosen = Params::new();
    for name in names {
        if let Some(array) = params.get(name) {
            chosen.insert(name, array.clone());
        }
    }
    chosen
}

/// The parameters after a step, with entries in their order.
fn moved(params: &Params<f64>, step: &Array1<f64>) -> Params<f64> {
    let (mut moved, mut rest) = (Params::new(), step.iter());
    for (name, array) in params.iter() {
        let mut array = array.clone();
        array.iter_mut().zip(&mut rest).for_each(|(x, p)| *x += p);
        moved.insert(name, array);
    }
    moved
}

/// The names among these on which the loss does not depend.
fn unused(loss: &Recurrence, names: &[&str]) -> Vec<String> {
    let live = loss.tape().live(loss.output_nodes().map(|(_, id)| id));
    let used = |name: &str| {
        let leaves = loss.tape().leaves().iter();
        let mut own = leaves.filter(|leaf| leaf.name() == name);
        own.any(|leaf| live[leaf.node.index()])
    };
    let unused = names.iter().filter(|name| !used(name));
    unused.map(|name| (*name).to_owned()).collect()
}

fn shapes(params: &Params<f64>) -> Vec<(String, Vec<usize>)> {
    let shape = |(name, a): (&str, &ArrayD<f64>)| (name.to_owned(), a.shape().to_vec());
    params.iter().map(shape).collect()
}
