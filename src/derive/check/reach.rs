//! Measures the decay of the influence of a state on one run: actual norms next to their bounds.
//!
//! Norms are stored as logarithms: over a long run a product of Jacobians leaves the range of floating-point numbers
//! while its size still has meaning.

use std::sync::Arc;

use ndarray::Array2;

use super::arrays::V;
use super::evaluate::{Instance, Key, Steps};
use super::oracle::Oracle;
use super::singular::spectral_norm;
use crate::derive::algebra::chain::{Carried, flow};
use crate::derive::algebra::function::call;
use crate::derive::algebra::term::{Base, Fold, Index, Name, Quantity, Term, Time};
use crate::derive::chapters::mirror::{self, Mirror};
use crate::derive::notation::symbols;
use crate::derive::record::derivation::{Chain, Derivation, Kept, Origin, Reach};
use crate::derive::record::line::Line;
use crate::derive::record::part::Part;
use crate::error::Result;
use crate::op::Pointwise;
use crate::recurrence::{Batch, Params};
use crate::stack::with_room;

/// The number of steps of the run that a document shows unless data are given, and the sizes of its dimensions, in turn.
const SHOWN: usize = 40;
const SHOWN_SIZES: [usize; 4] = [12, 6, 4, 5];

/// The maximum number of intervals of steps between which norms are measured.
const MARKS: usize = 40;

impl Derivation {
    /// Measures the norms of products of Jacobians on a given run, the first sequence of a batch; documents then show
    /// that run. Without states that have a Jacobian, nothing is measured.
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
    /// If the data do not fit, or the recurrence has no value on them.
    pub fn measure(&mut self, params: &Params<f64>, batch: &Batch<f64>) -> Result<Option<&Reach>> {
        let (params, batch) = &self.apart.data(params, batch);
        let batch = batch.sequence(&self.recurrence, 0)?;
        self.reaches =
            with_room(|| self.reached(&Oracle::on(self, params, batch)?, Origin::Given))?;
        Ok(self.reach())
    }

    /// The last measurement.
    #[must_use]
    pub fn reach(&self) -> Option<&Reach> {
        self.reaches.first()
    }

    /// The last measurements, of the forward and the backward state, if there are such.
    #[must_use]
    pub fn reaches(&self) -> &[Reach] {
        &self.reaches
    }

    /// Measures on a run. The Jacobians are evaluated from their lines; if a line lacks a size, they are computed by
    /// forward mode.
    pub(super) fn reached(&self, oracle: &Oracle<'_>, origin: Origin) -> Result<Vec<Reach>> {
        let mut found = Vec::new();
        for chain in [Chain::Forward, Chain::Backward] {
            if self.state_of(chain).is_empty() {
                continue;
            }
            let mut reach = self.reached_on(chain, &mut oracle.values()?, origin);
            if reach.is_none() {
                reach = self.reached_on(chain, &mut oracle.steps_apart()?, origin);
            }
            found.extend(reach);
        }
        Ok(found)
    }

    /// Measures on a run of moderate length: from the initial parameters if they give one that shows something.
    pub(super) fn reached_unasked(&self) -> Result<Vec<Reach>> {
        if let Some(oracle) = Oracle::initial(self, SHOWN, SHOWN_SIZES)?
            && let Ok(found) = self.reached(&oracle, Origin::Initial)
        {
            let moves = |r: &Reach| r.step_logs.iter().any(|log| log.is_finite());
            if found.iter().all(moves) {
                return Ok(found);
            }
        }
        self.reached(&Oracle::new(self, 1, SHOWN, 1.0)?, Origin::Random)
    }

    fn state_of(&self, chain: Chain) -> &[Carried] {
        match chain {
            Chain::Forward => &self.states,
            Chain::Backward => &self.back,
        }
    }

    fn reached_on(&self, chain: Chain, run: &mut Instance, origin: Origin) -> Option<Reach> {
        let steps = usize::try_from(run.steps).ok()?;
        let marks = marks(steps);
        let mut step_logs = Vec::new();
        let mut pieces = Vec::new();
        for ends in marks.windows(2) {
            let mut piece: Option<Scaled> = None;
            for t in ends[0] + 1..=ends[1] {
                let jacobian = self.jacobian_at(chain, run, chain.step(t, run)?)?;
                let jacobian = Scaled::new(jacobian, 0.0);
                step_logs.push(jacobian.log_norm());
                piece = Some(match piece {
                    Some(before) => jacobian.after(&before),
                    None => jacobian,
                });
            }
            pieces.push(piece?);
        }
        let largest = step_logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        // If `q` is not defined by the norms themselves, it is larger than they are.
        let means = self.letters.get(&*self.ratio(chain)).map(|l| &l.means);
        let norms = |t: &Term| t.is(Quantity::StateJacobian) || t.is(Quantity::BackJacobian);
        let means = means.filter(|m| !m.any(&norms));
        let ratio = means.and_then(|m| number(run, m, chain));
        Some(Reach {
            steps,
            origin,
            backward: chain == Chain::Backward,
            logs: between(&pieces, Scaled::after, Scaled::log_norm),
            step_logs,
            ratio: ratio.unwrap_or(largest.exp()),
            carousels: self.carousels(chain, run, &marks),
            marks,
        })
    }

    /// `J_t` from the lines of its blocks, unless it is known already.
    fn jacobian_at(&self, chain: Chain, run: &mut Instance, t: i64) -> Option<Array2<f64>> {
        let (state, way) = (self.state_of(chain), chain.way());
        let whole = match chain {
            Chain::Forward => Quantity::StateJacobian.of([], [Time::at(t)]),
            Chain::Backward => Quantity::BackJacobian.of([], [Time::at(t)]),
        };
        let found = |run: &Instance| match run.evaluate(&whole, &Steps::of(chain)) {
            Ok(V::Array(a)) => Some(a),
            _ => None,
        };
        if let Some(known) = found(run) {
            return Some(known);
        }
        let mut blocks: Vec<(Key, Option<&Term>, (usize, usize))> = Vec::new();
        for of in state {
            for by in state {
                let line = Line::block(&of.name, &by.name, by.delay + 1);
                let line = match chain {
                    Chain::Forward => line,
                    Chain::Backward => mirror::renamed(line, Part::Jacobian),
                };
                let term = match of.delay {
                    0 => self.line(&line).map(|l| &l.right),
                    // A delay copies a value of the previous state.
                    delay if of.name == by.name && by.delay + 1 == delay => Some(&Term::Eye),
                    _ => None,
                };
                let size = |part: &Carried| {
                    let key = Key::new(Quantity::Value, [&part.name], [t]);
                    Some(run.numbers.get(&key)?.len())
                };
                let names = [&of.observed(way), &by.read(way)];
                let key = Key::new(Quantity::Jacobian, names, [t, t]);
                blocks.push((key, term, (size(of)?, size(by)?)));
            }
        }
        let keys: Vec<Key> = blocks.iter().map(|(key, ..)| key.clone()).collect();
        // A block may depend on others; repeat until no further block can be evaluated.
        while !blocks.is_empty() {
            let left = blocks.len();
            blocks.retain(|(key, term, dim)| {
                let value = match term {
                    Some(term) => run.evaluate(term, &Steps::of(chain).with('t', t)).ok(),
                    None => Some(V::Zero),
                };
                match value.and_then(|v| v.sized(*dim)) {
                    Some(array) => run.numbers.insert(key.clone(), array).is_some(),
                    None => true,
                }
            });
            if blocks.len() == left {
                return None;
            }
        }
        let whole = found(run);
        // The Jacobians of a long run would take too much memory.
        for key in &keys {
            run.numbers.remove(key);
        }
        whole
    }

    fn carousels(&self, chain: Chain, run: &Instance, marks: &[usize]) -> Vec<Kept> {
        let of_chain = |name: &Name| self.state_of(chain).iter().any(|c| c.name == *name);
        let lines = self.equations.iter().filter(|e| e.part == Part::Carousel);
        let kept = lines.filter_map(|line| {
            let Some((Quantity::Value, [state], _)) = line.left.symbol() else {
                return None;
            };
            of_chain(state).then_some(())?;
            self.line(&Line::CarouselNorm(Name::clone(state)))?;
            let mut product = None;
            crate::derive::algebra::term::visit(&line.right, &mut |t| {
                if let (Term::Over(Fold::HadProd, index, body), None) = (t, &product) {
                    product = Some((index.var, body.clone()));
                }
            });
            let (var, gate) = product?;
            let mut pieces = Vec::new();
            for ends in marks.windows(2) {
                let mut piece: Option<Array2<f64>> = None;
                for t in ends[0] + 1..=ends[1] {
                    let at = Steps::of(chain).with(var, chain.step(t, run)?);
                    let Ok(V::Array(gate)) = run.evaluate(&gate, &at) else {
                        return None;
                    };
                    let log = gate.mapv(|x| x.abs().ln());
                    piece = Some(match piece {
                        Some(before) => before + log,
                        None => log,
                    });
                }
                pieces.push(piece?);
            }
            let largest = |a: &Array2<f64>| a.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            Some(Kept {
                state: Arc::clone(state),
                logs: between(&pieces, |later, before| later + before, largest),
            })
        });
        kept.collect()
    }

    /// The measured quantities as formulas, from step `k` to the last: the norm, the product that bounds it, and the
    /// power that bounds that product.
    pub(crate) fn reach_heads(&self, reach: &Reach) -> [Term; 3] {
        let chain = reach.chain();
        let state = self.state_of(chain);
        let (last, k) = (Time::last(), Time::var('k'));
        let tape = self.recurrence.tape();
        let number = |name: &Name| {
            let id = tape.named(name);
            id.is_some_and(|id| tape.ty(id).shape == crate::shape::Shape::Scalar)
        };
        let scalar = matches!(state, [one] if number(&one.name));
        let norm = |x| match scalar {
            true => call(Pointwise::Abs, vec![x]),
            false => Term::Norm(Box::new(x)),
        };
        let steps = norm(Quantity::StateJacobian.of([], [Time::var('j')]));
        let gap = Time {
            base: Base::LastMinus('k'),
            offset: 0,
        };
        let q = Quantity::Letter.of([&self.symbols.letters.ratio.into()], []);
        let heads = [
            norm(flow(state, last.clone(), k.clone())),
            Term::over(Fold::Prod, Index::new('j', k.plus(1), last), steps),
            Term::PowSteps(Box::new(q), gap),
        ];
        match chain {
            Chain::Forward => heads,
            Chain::Backward => heads.map(|head| {
                let turned = Mirror::of(state).term(&head);
                turned.unwrap_or(head)
            }),
        }
    }

    /// The letter of the bound of the norm of one Jacobian.
    pub(crate) fn ratio(&self, chain: Chain) -> Name {
        let ratio = self.symbols.letters.ratio;
        match chain {
            Chain::Forward => ratio.into(),
            Chain::Backward => symbols::other(ratio),
        }
    }
}

impl Chain {
    const fn way(self) -> i64 {
        match self {
            Self::Forward => -1,
            Self::Backward => 1,
        }
    }

    /// The step of the sequence at a place of the chain, counted from its start.
    fn step(self, place: usize, run: &Instance) -> Option<i64> {
        let place = i64::try_from(place).ok()?;
        Some(match self {
            Self::Forward => place,
            Self::Backward => run.steps + 1 - place,
        })
    }
}

/// The steps between which norms are measured.
fn marks(steps: usize) -> Vec<usize> {
    let apart = steps.div_ceil(MARKS).max(1);
    (0..steps).step_by(apart).chain([steps]).collect()
}

/// The logarithms of the products of all runs of consecutive pieces: a row for each last piece, an entry for each first
/// piece.
fn between<P: Clone>(
    pieces: &[P],
    after: impl Fn(&P, &P) -> P,
    log: impl Fn(&P) -> f64,
) -> Vec<Vec<f64>> {
    let mut rows: Vec<Vec<f64>> = vec![Vec::new(); pieces.len()];
    for start in 0..pieces.len() {
        let mut product: Option<P> = None;
        for (piece, row) in pieces.iter().zip(&mut rows).skip(start) {
            let whole = match &product {
                Some(before) => after(piece, before),
                None => piece.clone(),
            };
            row.push(log(&whole));
            product = Some(whole);
        }
    }
    rows
}

/// A matrix times a power of `e`, so that its entries stay near one.
#[derive(Clone, Debug)]
struct Scaled {
    matrix: Array2<f64>,
    log: f64,
}

impl Scaled {
    fn new(mut matrix: Array2<f64>, mut log: f64) -> Self {
        let largest = matrix.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
        if largest > 0.0 {
            matrix /= largest;
            log += largest.ln();
        }
        Self { matrix, log }
    }

    /// The product with an earlier matrix on the right.
    fn after(&self, before: &Self) -> Self {
        Self::new(self.matrix.dot(&before.matrix), self.log + before.log)
    }

    fn log_norm(&self) -> f64 {
        self.log + spectral_norm(&self.matrix).ln()
    }
}

fn number(run: &Instance, term: &Term, chain: Chain) -> Option<f64> {
    match run.evaluate(term, &Steps::of(chain)) {
        Ok(V::Array(a)) => a.first().copied(),
        Ok(V::Zero) => Some(0.0),
        _ => None,
    }
}
