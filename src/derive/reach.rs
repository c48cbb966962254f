//! How far a state reaches on one run: actual norms beside what bounds them.

use std::sync::Arc;

use super::arrays::V;
use super::evaluate::Instance;
use super::norms::spectral_norm;
use super::oracle::Oracle;
use super::term::{Base, Name, Term, Time};
use super::{Derivation, Part, jacobian};
use crate::error::Result;
use crate::recurrence::{Batch, Params};

/// Norms on one run of `T` steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Reach {
    /// The number of steps.
    pub steps: usize,
    /// Whether the data were given; otherwise they were drawn.
    pub given: bool,
    /// `‖∂s_t/∂s_k‖` for each `t = 1..T` and `k = 0..t`.
    pub norms: Vec<Vec<f64>>,
    /// `‖J_t‖` for each `t`.
    pub steps_norms: Vec<f64>,
    /// The factor `q` by which a step can stretch at most.
    pub ratio: f64,
    /// What is left along a path that is only scaled: a name, and for each `T − k = 0, 1, …` the norm
    /// of the product of its gates.
    pub carousel: Option<(Name, Vec<f64>)>,
}

impl Reach {
    /// The product of the norms of the steps from `k` to `t`: a bound for `norms[t − 1][k]`.
    #[must_use]
    pub fn product(&self, t: usize, k: usize) -> f64 {
        self.steps_norms
            .get(k..t)
            .map_or(1.0, |n| n.iter().product())
    }

    /// The average logarithm by which the whole run stretches a step: a finite-time Lyapunov
    /// exponent.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a number of steps is small")]
    pub fn exponent(&self) -> f64 {
        let whole = self.norms.last().and_then(|row| row.first()).copied();
        whole.map_or(0.0, |norm| norm.ln() / self.steps as f64)
    }
}

impl Derivation {
    /// Measures how far the states reach on a given run, the first sequence of a batch; documents
    /// then show that run. Without states that have a Jacobian there is nothing to measure.
    ///
    /// ```
    /// use bptt::cells::{Cell, Loss};
    /// use bptt::{Batch, Params};
    /// let rnn = Cell::rnn().model("rnn", Loss::SquaredError)?;
    /// let sizes = [("H", 3), ("K", 2), ("O", 1)];
    /// let params = Params::from_fn(&rnn, &sizes, |_, shape| {
    ///     ndarray::ArrayD::from_elem(shape, 0.1)
    /// })?;
    /// let batch = Batch::new(6, 1)
    ///     .with("x", ndarray::Array3::ones((6, 1, 2)))
    ///     .with("y", ndarray::Array3::zeros((6, 1, 1)));
    /// let mut derivation = rnn.derive()?;
    /// let reach = derivation.measure(&params, &batch)?;
    /// assert!(reach.is_some_and(|r| r.ratio < 1.0 && r.exponent() < 0.0));
    /// # Ok::<(), bptt::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the data do not fit, or the recurrence has no value on them.
    pub fn measure(&mut self, params: &Params<f64>, batch: &Batch<f64>) -> Result<Option<&Reach>> {
        let run = Oracle::on(self, params, batch)?.flows()?;
        self.reach = self.reached(&run, true);
        Ok(self.reach.as_ref())
    }

    /// What was measured last.
    #[must_use]
    pub const fn reach(&self) -> Option<&Reach> {
        self.reach.as_ref()
    }

    pub(crate) fn reached(&self, run: &Instance, given: bool) -> Option<Reach> {
        if self.states.is_empty() {
            return None;
        }
        let number = |term: &Term| match run.evaluate(term, &Vec::new()) {
            Ok(V::Array(a)) => Some(spectral_norm(&a)),
            Ok(V::Eye) => Some(1.0),
            _ => None,
        };
        let mut norms = Vec::new();
        let mut steps_norms = Vec::new();
        for t in 1..=run.steps {
            steps_norms.push(number(&Term::StateJacobian(Time::at(t)))?);
            let row = (0..t).map(|k| number(&Term::StateFlow(Time::at(t), Time::at(k))));
            norms.push(row.collect::<Option<Vec<f64>>>()?);
        }
        let largest = steps_norms.iter().copied().fold(0.0, f64::max);
        let q = Term::Letter(self.symbols.letters.ratio.into(), None);
        let steps = usize::try_from(run.steps).ok()?;
        Some(Reach {
            steps,
            given,
            norms,
            steps_norms,
            ratio: number(&q).unwrap_or(largest),
            carousel: self.carousel(run),
        })
    }

    fn carousel(&self, run: &Instance) -> Option<(Name, Vec<f64>)> {
        let line = self.equations.iter().find(|e| e.part == Part::Carousel)?;
        let Term::Value(name, _) = &line.left else {
            return None;
        };
        let mut product = None;
        super::generate::visit(&line.right, &mut |t| {
            if let (Term::HadProd(j, _, _, body), None) = (t, &product) {
                product = Some((*j, body.clone()));
            }
        });
        let (var, body) = product?;
        let left = (0..=run.steps).map(|gap| {
            let from = Time::at(run.steps - gap + 1);
            let kept = Term::HadProd(var, from, Time::at(run.steps), body.clone());
            match run.evaluate(&Term::MaxNorm(Box::new(kept)), &Vec::new()) {
                Ok(V::Array(a)) => a.first().copied(),
                _ => None,
            }
        });
        Some((Arc::clone(name), left.collect::<Option<Vec<f64>>>()?))
    }

    /// What is measured from the last step back, as formulas: the norm, the product that bounds it,
    /// the power that bounds that, and what a carousel keeps.
    pub(crate) fn reach_heads(&self) -> [Term; 3] {
        let (last, k) = (Time::last(), Time::var('k'));
        let tape = self.recurrence.tape();
        let number = |name: &Name| {
            let id = tape.named(name);
            id.is_some_and(|id| tape.ty(id).shape == crate::shape::Shape::Scalar)
        };
        let scalar = matches!(&self.states[..], [one] if number(one));
        let norm = |x| match scalar {
            true => Term::Call("abs".into(), vec![x]),
            false => Term::Norm(Box::new(x)),
        };
        let steps = norm(Term::StateJacobian(Time::var('j')));
        let gap = Time {
            base: Base::LastMinus('k'),
            offset: 0,
        };
        let q = Term::Letter(self.symbols.letters.ratio.into(), None);
        [
            norm(jacobian::flow(&self.states, last.clone(), k.clone())),
            Term::Prod('j', k.plus(1), last, Box::new(steps)),
            Term::PowSteps(Box::new(q), gap),
        ]
    }
}
