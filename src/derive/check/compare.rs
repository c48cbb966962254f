//! Checks every line: both sides, as printed, are evaluated on random runs, at every step in its range.

use ndarray::Array2;

use super::arrays::{SIZELESS, V};
use super::call::TIE;
use super::evaluate::{Instance, ROUNDING, Steps};
use super::oracle::{Oracle, STEPS};
use crate::derive::algebra::function::arguments;
use crate::derive::algebra::normal::inner;
use crate::derive::algebra::term::{Base, Fold, Quantity, Term, Time};
use crate::derive::notation::lexicon::Lexicon;
use crate::derive::record::derivation::{Chain, Checks, Derivation};
use crate::derive::record::equation::{Check, Equation};
use crate::derive::record::line::Line;
use crate::derive::record::relation::{Condition, Relation};
use crate::derive::record::words::Word;
use crate::error::Result;
use crate::op::Pointwise;
use crate::render::Dialect;
use crate::stack::with_room;

/// The largest relative difference at which two sides still count as equal.
pub const TOLERANCE: f64 = 1e-11;

impl Derivation {
    /// Checks every line on some random runs.
    ///
    /// Each side is written in LaTeX, read back by the grammar of [`Lexicon`] and evaluated; δ's, gradients and
    /// Jacobians are computed by injecting perturbations.
    ///
    /// # Errors
    /// If no run has a value, a custom op breaks its contract, or the runs exceed the memory limit.
    pub fn check(&mut self, runs: u64) -> Result<Checks> {
        self.check_with_progress(runs, &|_| {})
    }

    /// The same; `progress` is given the completed part of the runs, from 0 to 1.
    ///
    /// # Errors
    /// As [`Derivation::check`].
    pub fn check_with_progress(
        &mut self,
        runs: u64,
        progress: &(dyn Fn(f64) + Sync),
    ) -> Result<Checks> {
        with_room(|| self.check_here(runs, progress))
    }

    fn check_here(&mut self, runs: u64, progress: &(dyn Fn(f64) + Sync)) -> Result<Checks> {
        let kept = usize::try_from(runs).unwrap_or(usize::MAX);
        let run = |seed: u64, scale| {
            let oracle = Oracle::new(self, seed, STEPS, scale)?;
            oracle.check_memory(kept)?;
            oracle.instance(&|part| progress(((seed - 1) as f64 + part) / runs as f64))
        };
        let instances: Result<Vec<Instance>> = (1..=runs).map(|seed| run(seed, 1.0)).collect();
        let instances = instances?;
        let lexicon = self.lexicon();
        let lines = self.equations.iter();
        let mut checks: Vec<Check> = lines
            .map(|e| self.check_line(e, &lexicon, &instances))
            .collect();
        // A line with a condition may need smaller weights.
        let reason = Word::ConditionNeverMet;
        let unmet = Check::NotCheckable { reason };
        for (seed, scale) in (runs + 1..).zip([0.3, 0.1, 0.03, 0.01]) {
            if !checks.contains(&unmet) {
                break;
            }
            let small = [run(seed, scale)?];
            for (line, check) in self.equations.iter().zip(&mut checks) {
                if *check == unmet {
                    *check = self.check_line(line, &lexicon, &small);
                }
            }
        }
        for (equation, check) in self.equations.iter_mut().zip(checks) {
            equation.check = check;
        }
        if self.reaches.is_empty() && !(self.states.is_empty() && self.back.is_empty()) {
            self.reaches = self.reached_unasked()?;
        }
        Ok(self.checks())
    }

    /// A random run, with every number that the checks of lines need.
    ///
    /// # Errors
    /// If no run has a value, a custom op breaks its contract, or the run exceeds the memory limit.
    pub fn instance(&self, seed: u64) -> Result<Instance> {
        let oracle = Oracle::new(self, seed, STEPS, 1.0)?;
        oracle.check_memory(1)?;
        oracle.instance(&|_| {})
    }

    /// The results of the checks so far.
    #[must_use]
    pub fn checks(&self) -> Checks {
        let mut all = Checks::default();
        for equation in &self.equations {
            match &equation.check {
                Check::Passed { worst, .. } => {
                    all.passed += 1;
                    all.worst = all.worst.max(*worst);
                }
                Check::Bound { .. } | Check::Definition => all.passed += 1,
                Check::Failed { .. } => all.failed += 1,
                Check::Pending | Check::NotCheckable { .. } => all.unchecked += 1,
            }
        }
        all
    }

    fn check_line(&self, equation: &Equation, lexicon: &Lexicon, runs: &[Instance]) -> Check {
        let (left, right) = self.sides(equation);
        let (left, right) = (left.latex(Dialect::Plain), right.latex(Dialect::Plain));
        let read = |latex: &str| lexicon.parse(latex).map_err(|e| format!("{latex}: {e}"));
        let outcome = read(&left).and_then(|left| {
            let right = read(&right)?;
            let printed = compare(equation, &left, &right, runs)?;
            // The term and its printed form are the same formula.
            compare(equation, &equation.left, &equation.right, runs)?;
            match equation.relation {
                Relation::Defined => Ok(Check::Definition),
                _ => Ok(printed),
            }
        });
        outcome.unwrap_or_else(|reason| {
            if reason.contains(SIZELESS) {
                let reason = Word::WithoutSize;
                return Check::NotCheckable { reason };
            }
            if reason.contains(TIE) {
                let reason = Word::Tie;
                return Check::NotCheckable { reason };
            }
            if reason == NEVER {
                let reason = Word::ConditionNeverMet;
                return Check::NotCheckable { reason };
            }
            Check::Failed { reason }
        })
    }
}

/// The reason why a line with a condition was not evaluated.
const NEVER: &str = "its condition is met on no run";

/// Compares two sides of a line at every step of every run.
///
/// # Errors
/// A description of the difference, if there is one.
pub fn compare(
    equation: &Equation,
    left: &Term,
    right: &Term,
    runs: &[Instance],
) -> Result<Check, String> {
    let (mut difference, mut size, mut tightest): (f64, f64, f64) = (0.0, 0.0, 0.0);
    let mut trials = 0;
    // A sum that cancels has the rounding error of its addends.
    let rounding = |run: &Instance, at: &Steps| {
        ROUNDING * largest_addend(left, run, at).max(largest_addend(right, run, at))
    };
    for run in runs {
        for at in steps(equation, run) {
            if let Some(given) = &equation.given
                && !holds(given, run, &at)?
            {
                continue;
            }
            let a = run
                .evaluate(left, &at)
                .map_err(|e| format!("left at {at:?}: {e}"))?;
            let b = run
                .evaluate(right, &at)
                .map_err(|e| format!("right at {at:?}: {e}"))?;
            let Some((a, b)) = alike(a, b) else {
                return Err(format!("the sides have different shapes at {at:?}"));
            };
            let (apart, own) = (largest(&(&a - &b)), largest(&a).max(largest(&b)));
            if apart <= TOLERANCE * own || apart > rounding(run, &at) {
                difference = difference.max(apart);
            }
            size = size.max(own);
            if a.iter().chain(&b).any(|x| !x.is_finite()) {
                return Err(format!("a side is not finite at {at:?}"));
            }
            if equation.relation == Relation::AtMost {
                for (a, b) in a.iter().zip(&b) {
                    if *a > b * (1.0 + 1e-12) && a - b > rounding(run, &at) {
                        return Err(format!("{a} is more than {b} at {at:?}"));
                    }
                    tightest = tightest.max(a / b);
                }
            }
            trials += 1;
        }
    }
    if trials == 0 && equation.given.is_some() {
        return Err(NEVER.into());
    }
    if trials == 0 {
        return Err("there is no run on which it can be evaluated".into());
    }
    if equation.relation == Relation::AtMost {
        return Ok(Check::Bound { tightest, trials });
    }
    let worst = if size > 0.0 { difference / size } else { 0.0 };
    if worst <= TOLERANCE {
        Ok(Check::Passed { worst, trials })
    } else {
        Err(format!(
            "the sides differ by {worst:.1e} of the largest entry"
        ))
    }
}

fn largest(x: &Array2<f64>) -> f64 {
    x.iter().fold(0.0, |m: f64, x| m.max(x.abs()))
}

/// The largest number that rounding errors of a value can be relative to: an entry of an addend, or a product of entries
/// of factors.
fn largest_addend(term: &Term, run: &Instance, at: &Steps) -> f64 {
    let of = |term: &Term| largest_addend(term, run, at);
    // Expand a product of sums.
    let spread = |factors: &[Term], product: fn(Vec<Term>) -> Term| {
        let sum = factors.iter().position(|f| f.addends().len() > 1)?;
        let parts = factors[sum].addends().iter().map(|part| {
            let mut factors = factors.to_vec();
            factors[sum] = part.clone();
            of(&product(factors))
        });
        parts.reduce(f64::max)
    };
    let parts = match term {
        Term::Neg(x) | Term::T(x) => Some(of(x)),
        Term::Add(parts) => parts.iter().map(of).reduce(f64::max),
        Term::Mul(factors) => {
            spread(factors, Term::Mul).or_else(|| Some(factors.iter().map(of).product()))
        }
        Term::Had(factors) => {
            spread(factors, Term::Had).or_else(|| Some(factors.iter().map(of).product()))
        }
        Term::Inner(a, b) => spread(&[(**a).clone(), (**b).clone()], |mut pair| {
            let b = pair.pop().unwrap_or(Term::Zero);
            inner(pair.pop().unwrap_or(Term::Zero), b)
        })
        .or_else(|| Some(of(a) * of(b))),
        Term::Norm(x) => Some(of(x)),
        Term::Call(..) => arguments(term, Pointwise::Abs).and_then(|x| x.first().map(of)),
        Term::Over(Fold::Sum, index, body) => fixed(&index.from, at, run)
            .zip(fixed(&index.to, at, run))
            .and_then(|(from, to)| {
                let bodies =
                    (from..=to).map(|step| largest_addend(body, run, &at.with(index.var, step)));
                bodies.reduce(f64::max)
            }),
        // The immediate part is what remains of the total differential; use its addends.
        Term::Symbol(symbol) if symbol.quantity == Quantity::DPlus => {
            Some(of(&Quantity::D.of(&symbol.names, symbol.steps.clone())))
        }
        _ => None,
    };
    let least = match term {
        Term::Symbol(symbol) => run.rounded_by(symbol.quantity),
        _ => 0.0,
    };
    parts.unwrap_or_else(|| match run.evaluate(term, at) {
        Ok(V::Array(x) | V::Columns(x) | V::Rows(x)) => largest(&x).max(least),
        Ok(V::Fill(x) | V::Eye(x)) => x.abs(),
        Ok(V::Zero) | Err(_) => 0.0,
    })
}

/// Returns true if the condition of a line is met on a run.
fn holds(given: &Condition, run: &Instance, at: &Steps) -> Result<bool, String> {
    let number = |term: &Term| match run.evaluate(term, at)? {
        V::Array(a) if a.len() == 1 => Ok(a[(0, 0)]),
        V::Zero => Ok(0.0),
        _ => Err("a condition is about numbers".to_owned()),
    };
    let (left, right) = (number(&given.left)?, number(&given.right)?);
    Ok(left < right || !given.strict && left == right)
}

/// Two values in one size; a value without a size takes that of the other.
fn alike(a: V, b: V) -> Option<(Array2<f64>, Array2<f64>)> {
    match (a, b) {
        (V::Array(a), b) => b.sized(a.dim()).map(|b| (a, b)),
        (a, V::Array(b)) => a.sized(b.dim()).map(|a| (a, b)),
        (V::Columns(a), V::Columns(b)) | (V::Rows(a), V::Rows(b)) => {
            (a.dim() == b.dim()).then_some((a, b))
        }
        // All columns, or all rows, are alike.
        (V::Columns(a) | V::Rows(a), b @ (V::Fill(_) | V::Zero)) => {
            b.sized(a.dim()).map(|b| (a, b))
        }
        (a @ (V::Fill(_) | V::Zero), V::Columns(b) | V::Rows(b)) => {
            a.sized(b.dim()).map(|a| (a, b))
        }
        (V::Zero, V::Zero) => {
            let zero = Array2::zeros((1, 1));
            Some((zero.clone(), zero))
        }
        (V::Eye(a), V::Zero) => alike(V::Fill(a), V::Fill(0.0)),
        (V::Zero, V::Eye(b)) => alike(V::Fill(0.0), V::Fill(b)),
        (V::Fill(a), V::Fill(b)) | (V::Eye(a), V::Eye(b)) => {
            let one = |x| Array2::from_elem((1, 1), x);
            Some((one(a), one(b)))
        }
        _ => None,
    }
}

/// Every combination of steps in the range of a line.
fn steps(equation: &Equation, run: &Instance) -> Vec<Steps> {
    let chain = match equation.id {
        Line::Back(_) => Chain::Backward,
        _ => Chain::Forward,
    };
    let mut all: Vec<Steps> = vec![Steps::of(chain)];
    for (var, from, to) in &equation.range.vars {
        let mut more = Vec::new();
        for at in &all {
            let (Some(from), Some(to)) = (fixed(from, at, run), fixed(to, at, run)) else {
                continue;
            };
            for step in from..=to {
                more.push(at.with(*var, step));
            }
        }
        all = more;
    }
    all
}

fn fixed(time: &Time, at: &Steps, run: &Instance) -> Option<i64> {
    let value = |v: char| at.value(v);
    let base = match time.base {
        Base::Zero => 0,
        Base::Last => run.steps,
        Base::Var(v) => value(v)?,
        Base::Minus(a, b) => value(a)? - value(b)?,
        // No line has these in its range.
        Base::Lots(..) | Base::LastMinus(_) | Base::Window(..) | Base::ChunkEnd(_) => return None,
    };
    Some(base + time.offset)
}
