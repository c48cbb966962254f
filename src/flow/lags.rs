//! The gradient of each parameter by the number of steps that it came back.

use std::sync::Arc;

use indexmap::IndexMap;
use ndarray::{ArrayD, Axis};

use super::chain::{Carried, Chain, add, norm};
use crate::error::Result;
use crate::exec::Real;
use crate::limit::check_memory;
use crate::op::Scalar;
use crate::recurrence::{Batch, Cut, Outputs, ParameterCopy, Params, Recurrence, Wrt};

/// The number of lags that [`Recurrence::lags`] tells apart unless told otherwise.
pub const LAGS: usize = 256;

/// The gradient of the loss, split by lag: the number of registers, that is of steps, between the use of a parameter and the
/// loss, `∂L/∂θ = Σ_τ G_τ` with `G_τ = Σ_t ∂L_t/∂θ_{t−τ}`.
///
/// A cotangent goes back one step when it passes from a value that was read to the value that was carried. A delay by three
/// steps is three registers. A use in an initial state lies one step before the first. For states that run backwards, a
/// lag counts steps towards the end. Values that steps share by other means than a register, such as a mean over steps,
/// count no step.
#[derive(Clone, Debug)]
pub struct Lags {
    pub(super) parameters: Vec<LaggedParameter>,
    pub(super) states: Vec<Arc<str>>,
    pub(super) bins: Vec<Bin>,
    pub(super) by_value: Vec<Share>,
    pub(super) by_state: Vec<Share>,
    pub(super) norm: f64,
    pub(super) direct: Vec<f64>,
}

/// A parameter whose gradient is split.
#[derive(Clone, Debug)]
pub struct LaggedParameter {
    /// The name.
    pub name: Arc<str>,
    /// The Euclidean norm of its gradient.
    pub norm: f64,
    /// True if a state depends on the parameter. The gradient of any other parameter has lag 0 alone.
    pub recurrent: bool,
}

/// The part of the gradient with one lag, or with all lags from one on.
#[derive(Clone, Debug)]
pub struct Bin {
    /// The lag, in steps.
    pub lag: usize,
    /// True for the last bin of a split that was ended: it has all further lags as well.
    pub further: bool,
    /// The Euclidean norm of the part of each parameter, in the order of [`Lags::parameters`].
    pub norms: Vec<f64>,
    /// The Euclidean norm of the cotangents of the values that each state reads, at all steps, in the order of [`Lags::states`].
    /// Zero in the last bin of a split that was ended.
    pub states: Vec<f64>,
    /// The share of a cotangent that arrives from `lag` steps later: the product of the factors by which the norm of all
    /// cotangents of the states changed at each step back. It is 1 at lag 0.
    pub arrival: f64,
    /// The norm of the gradient without this lag and those before it, relative to the norm of the gradient: the part that
    /// truncation after this lag leaves out. Zero to rounding in the last bin.
    pub left_out: f64,
    /// The angle in degrees between the gradient and its part up to this lag.
    pub angle: f64,
}

/// The part of the gradient of a parameter that passes through a named value or a state.
#[derive(Clone, Debug)]
pub struct Share {
    /// The parameter.
    pub parameter: Arc<str>,
    /// The first named value, or the first state, on the way from the parameter to the loss; `None` if there is none.
    pub through: Option<Arc<str>>,
    /// The Euclidean norm of this part.
    pub norm: f64,
    /// Its inner product with the gradient of the parameter, relative to the square of the norm of that. The shares of a
    /// parameter add up to 1.
    pub share: f64,
}

impl Lags {
    /// The parameters, in order of declaration.
    #[must_use]
    pub fn parameters(&self) -> &[LaggedParameter] {
        &self.parameters
    }

    /// The states, and other values that are carried from step to step.
    pub fn states(&self) -> impl Iterator<Item = &str> {
        self.states.iter().map(|name| &**name)
    }

    /// The parts, by lag. The last one may have all further lags.
    #[must_use]
    pub fn bins(&self) -> &[Bin] {
        &self.bins
    }

    /// The gradient of each parameter by the first named value that reads it: the gate, if the parameter is read by several.
    #[must_use]
    pub fn by_value(&self) -> &[Share] {
        &self.by_value
    }

    /// The gradient of each parameter by the state from which it came back: the state that the step of its use has carried.
    /// Without a state it is the part of lag 0; all lags are counted except those of a last bin that has further ones.
    #[must_use]
    pub fn by_state(&self) -> &[Share] {
        &self.by_state
    }

    /// The Euclidean norm of the gradient.
    #[must_use]
    pub const fn norm(&self) -> f64 {
        self.norm
    }

    /// For each step, the norm of the cotangents that the loss of that step sends to the values that the step reads: zero at
    /// a step without a loss of its own.
    #[must_use]
    pub fn direct(&self) -> &[f64] {
        &self.direct
    }

    /// The norm of the part of a bin, over all parameters, or those of the states only.
    #[must_use]
    pub fn norm_of(&self, bin: &Bin, recurrent: bool) -> f64 {
        let norms = bin.norms.iter().zip(&self.parameters);
        let counted = norms.filter(|(_, p)| p.recurrent || !recurrent);
        counted.fold(0.0, |norm: f64, (x, _)| norm.hypot(*x))
    }

    /// The effective memory: the smallest lag `m` such that the parts of lags `0 … m` have the share `share` (0.9: 90 %) of the sum of
    /// the norms of all parts, for the parameters of the states. `None` if this lag is in the last bin with further lags.
    ///
    /// Norms do not cancel, so the share grows with the lag; [`Bin::left_out`] is the norm of the sum.
    #[must_use]
    pub fn memory(&self, share: f64) -> Option<usize> {
        let norms: Vec<f64> = self
            .bins
            .iter()
            .map(|bin| self.norm_of(bin, true))
            .collect();
        let all: f64 = norms.iter().sum();
        let mut sum = 0.0;
        for (bin, norm) in self.bins.iter().zip(&norms) {
            sum += norm;
            if sum >= share * all {
                return (!bin.further).then_some(bin.lag);
            }
        }
        None
    }

    /// The smallest lag from which less than a share of a cotangent arrives: see [`Bin::arrival`].
    #[must_use]
    pub fn lost_after(&self, share: f64) -> Option<usize> {
        let mut told = self.bins.iter().filter(|bin| !bin.further);
        told.find(|bin| bin.arrival < share).map(|bin| bin.lag)
    }

    /// The bin of a lag, if it was told apart.
    #[must_use]
    pub fn at(&self, lag: usize) -> Option<&Bin> {
        self.bins.get(lag).filter(|bin| !bin.further)
    }

    /// The factor by which the norm of a cotangent changes at a step back: the geometric mean over the lags `1 … lag`.
    #[must_use]
    pub fn factor(&self, lag: usize) -> Option<f64> {
        let arrival = self.at(lag)?.arrival;
        let steps = u32::try_from(lag).ok().filter(|steps| *steps > 0)?;
        Some(arrival.powf(1.0 / f64::from(steps)))
    }
}

impl Recurrence {
    /// Splits the gradient by lag, up to `most` lags and a last part with all further ones: see [`Lags`].
    ///
    /// ```
    /// use bptt::{Batch, Params, Recurrence};
    /// use ndarray::{Array2, arr0};
    /// // s_3 = a³ s_0 + a² x_1 + a x_2 + x_3, L = s_3, so dL/da = Σ_τ τ a^{τ-1} x_{3-τ}.
    /// let r = Recurrence::parse("r.rec", "param a, b\ninput x\nstate s\ns' = a * s + b * x\nfinal loss s'\n")?;
    /// let params = Params::new().with("a", arr0(0.5)).with("b", arr0(1.0));
    /// let batch = Batch::new(4, 1).with("x", Array2::ones((4, 1)));
    /// let lags = r.lags(&params, &batch, 10)?;
    /// let b: Vec<f64> = lags.bins().iter().map(|bin| bin.norms[1]).collect();
    /// assert_eq!(b, [1.0, 0.5, 0.25, 0.125]);
    /// assert_eq!(lags.bins()[2].arrival, 0.25);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// Each lag costs a gradient of all steps at once, and the memory is that of three values of the states for each step.
    ///
    /// # Errors
    /// As for [`gradient`](Self::gradient) and [`compile`](Self::compile); [`Error::OutOfMemory`](crate::Error::OutOfMemory);
    /// [`Error::NonFiniteValue`](crate::Error::NonFiniteValue) if a value or the gradient is not finite.
    pub fn lags<F: Real>(&self, params: &Params<F>, batch: &Batch<F>, most: usize) -> Result<Lags> {
        self.lags_with(params, batch, most, |_, _| ())
    }

    /// The same; each part of the gradient is given to `each`, with its lag.
    ///
    /// # Errors
    /// As for [`lags`](Self::lags).
    pub fn lags_with<F: Real>(
        &self,
        params: &Params<F>,
        batch: &Batch<F>,
        most: usize,
        each: impl FnMut(usize, &Params<F>),
    ) -> Result<Lags> {
        let cut = self.cut()?;
        let gradient = self.gradient(Wrt::Parameters)?;
        let gradient = gradient
            .compile_for::<F>(params, batch)?
            .evaluate(params, batch)?;
        Split::new(&cut, params, batch, &gradient, each)?.run(most)
    }
}

type Arrays<F> = IndexMap<Arc<str>, ArrayD<F>>;

/// A split in progress.
struct Split<'a, F: Real, E> {
    cut: &'a Cut,
    params: &'a Params<F>,
    chain: Chain<'a, F>,
    gradient: Arrays<F>,
    /// The part of the gradient up to the present lag.
    so_far: Arrays<F>,
    /// The part of each copy of a parameter.
    copies: Vec<ArrayD<F>>,
    /// The sum of the cotangents that were carried.
    carried: Option<Carried<F>>,
    bins: Vec<Bin>,
    each: E,
}

impl<'a, F: Real, E: FnMut(usize, &Params<F>)> Split<'a, F, E> {
    fn new(
        cut: &'a Cut,
        params: &'a Params<F>,
        batch: &'a Batch<F>,
        gradient: &Outputs<F>,
        each: E,
    ) -> Result<Self> {
        let mut whole = IndexMap::new();
        for copy in &cut.parameters {
            if let Some(array) = gradient.get(&copy.parameter) {
                whole.insert(Arc::clone(&copy.parameter), array.clone());
            }
        }
        let like = |p: &ParameterCopy| Some(whole.get(&p.parameter)?.raw_dim());
        let shapes = cut.parameters.iter().filter_map(like);
        Ok(Self {
            copies: shapes.map(ArrayD::zeros).collect(),
            so_far: zeros(&whole),
            chain: Chain::new(cut, params, batch, true)?,
            cut,
            params,
            gradient: whole,
            carried: None,
            bins: Vec::new(),
            each,
        })
    }

    fn run(mut self, most: usize) -> Result<Lags> {
        let direct = self.chain.pull_loss()?.clone();
        let mut part = self.count(&direct);
        let mut reads = direct.clone();
        self.push(0, &part, &reads, 1.0)?;
        let mut arrival = 1.0;
        for lag in 1.. {
            let carried = self.chain.carry(&reads, |_| true);
            if carried.is_zero() {
                break;
            }
            if lag >= most.max(1) {
                let found = self.chain.further(self.params, &carried)?;
                let names = self.gradient.keys();
                let part = names.filter_map(|n| Some((Arc::clone(n), found.get(n)?.clone())));
                let part: Arrays<F> = part.collect();
                self.push(lag, &part, &Outputs::default(), 0.0)?;
                self.bins
                    .iter_mut()
                    .last()
                    .into_iter()
                    .for_each(|bin| bin.further = true);
                break;
            }
            reads = self.chain.pull_carried(&carried)?.clone();
            part = self.count(&reads);
            let before = carried.norm();
            if before > 0.0 {
                arrival *= self.norm_of_reads(&reads) / before;
            } else {
                arrival = 0.0;
            }
            match &mut self.carried {
                None => self.carried = Some(carried),
                Some(sum) => sum.add(&carried),
            }
            self.push(lag, &part, &reads, arrival)?;
        }
        self.finish(&direct)
    }

    fn norm_of_reads(&self, found: &Outputs<F>) -> f64 {
        norm(self.cut.registers.iter().filter_map(|r| found.get(&r.read)))
    }

    /// The gradient of each parameter: the sum over its copies, which are counted.
    fn count(&mut self, found: &Outputs<F>) -> Arrays<F> {
        let part = sum_of_copies(self.cut, &self.gradient, found);
        for (copy, sum) in self.cut.parameters.iter().zip(&mut self.copies) {
            if let Some(array) = found.get(&copy.leaf) {
                add(sum, array);
            }
        }
        part
    }

    fn push(
        &mut self,
        lag: usize,
        part: &Arrays<F>,
        reads: &Outputs<F>,
        arrival: f64,
    ) -> Result<()> {
        for (name, array) in part {
            add(&mut self.so_far[name], array);
        }
        let rest: Arrays<F> = self
            .gradient
            .iter()
            .map(|(name, a)| (Arc::clone(name), a - &self.so_far[name]))
            .collect();
        let size = norm(self.gradient.values());
        let relative = |x: f64| if size == 0.0 { 0.0 } else { x / size };
        let registers = self.cut.registers.iter();
        self.bins.push(Bin {
            lag,
            further: false,
            norms: part.values().map(|a| norm(std::iter::once(a))).collect(),
            states: registers
                .map(|r| norm(reads.get(&r.read).into_iter()))
                .collect(),
            arrival,
            left_out: relative(norm(rest.values())),
            angle: angle(&self.gradient, &self.so_far),
        });
        check_memory(
            self.bins
                .len()
                .checked_mul(size_of::<Bin>() + 8 * (part.len() + self.cut.registers.len())),
        )?;
        let mut shown = Params::new();
        for (name, array) in part {
            shown.insert(name, array.clone());
        }
        (self.each)(lag, &shown);
        Ok(())
    }

    fn finish(mut self, direct: &Outputs<F>) -> Result<Lags> {
        let mut by_state = Vec::new();
        let registers = self.cut.registers.iter();
        let reads: Vec<&ArrayD<F>> = registers.filter_map(|r| direct.get(&r.read)).collect();
        let steps = reads.first().map_or(0, |read| read.len_of(Axis(0)));
        let at = |step: usize| {
            let views = reads.iter().map(|read| read.index_axis(Axis(0), step));
            let squares =
                views.map(|view| view.iter().map(|x| Scalar::to_f64(*x).powi(2)).sum::<f64>());
            squares.sum::<f64>().sqrt()
        };
        let by_step = (0..steps).map(at).collect();
        let direct = sum_of_copies(self.cut, &self.gradient, direct);
        by_state.extend(self.shares(None, &direct));
        if let Some(sum) = self.carried.take() {
            for (index, register) in self.cut.registers.iter().enumerate() {
                let mut one = sum.clone();
                one.keep(index);
                let found = self.chain.pull_carried(&one)?.clone();
                let part = sum_of_copies(self.cut, &self.gradient, &found);
                by_state.extend(self.shares(Some(&register.name), &part));
            }
        }
        let copies = self.cut.parameters.iter().zip(&self.copies);
        let by_value = copies.map(|(copy, array)| {
            share(
                &copy.parameter,
                copy.through.as_ref(),
                array,
                &self.gradient[&copy.parameter],
            )
        });
        let by_value: Vec<Share> = by_value.filter(|share| share.norm > 0.0).collect();
        let recurrent = self.cut.recurrent_parameters();
        let parameters = self.gradient.iter().map(|(name, array)| LaggedParameter {
            name: Arc::clone(name),
            norm: norm(std::iter::once(array)),
            recurrent: recurrent.contains(name),
        });
        Ok(Lags {
            parameters: parameters.collect(),
            states: self
                .cut
                .registers
                .iter()
                .map(|r| Arc::clone(&r.name))
                .collect(),
            norm: norm(self.gradient.values()),
            bins: self.bins,
            by_value,
            by_state,
            direct: by_step,
        })
    }

    fn shares(&self, through: Option<&Arc<str>>, part: &Arrays<F>) -> Vec<Share> {
        let of = part
            .iter()
            .map(|(name, array)| share(name, through, array, &self.gradient[name]));
        of.filter(|share| share.norm > 0.0).collect()
    }
}

fn zeros<F: Scalar>(like: &Arrays<F>) -> Arrays<F> {
    let zeros = like
        .iter()
        .map(|(name, a)| (Arc::clone(name), ArrayD::zeros(a.raw_dim())));
    zeros.collect()
}

/// The gradient of each parameter, from those of its copies.
fn sum_of_copies<F: Scalar>(cut: &Cut, like: &Arrays<F>, found: &Outputs<F>) -> Arrays<F> {
    let mut part = zeros(like);
    for copy in &cut.parameters {
        if let (Some(sum), Some(array)) = (part.get_mut(&copy.parameter), found.get(&copy.leaf)) {
            add(sum, array);
        }
    }
    part
}

fn share<F: Scalar>(
    parameter: &Arc<str>,
    through: Option<&Arc<str>>,
    part: &ArrayD<F>,
    whole: &ArrayD<F>,
) -> Share {
    let size = norm(std::iter::once(whole));
    let inner = inner([(part, whole)].into_iter(), size.max(f64::MIN_POSITIVE));
    Share {
        parameter: Arc::clone(parameter),
        through: through.map(Arc::clone),
        norm: norm(std::iter::once(part)),
        share: if size == 0.0 { 0.0 } else { inner / size },
    }
}

/// `⟨a, b⟩ / scale`, without overflow.
fn inner<'a, F: Scalar>(
    pairs: impl Iterator<Item = (&'a ArrayD<F>, &'a ArrayD<F>)>,
    scale: f64,
) -> f64 {
    let entries = pairs.flat_map(|(a, b)| a.iter().zip(b.iter()));
    entries
        .map(|(a, b)| Scalar::to_f64(*a) * (Scalar::to_f64(*b) / scale))
        .sum()
}

/// The angle between two gradients, in degrees.
fn angle<F: Scalar>(a: &Arrays<F>, b: &Arrays<F>) -> f64 {
    let (long, short) = (norm(a.values()), norm(b.values()));
    if long == 0.0 || short == 0.0 {
        return if long == short { 0.0 } else { 90.0 };
    }
    // From the chord between the unit vectors, since an arc cosine near 1 loses half of the digits.
    let chord: f64 = a
        .iter()
        .filter_map(|(name, x)| Some((x, b.get(name)?)))
        .flat_map(|(x, y)| x.iter().zip(y.iter()))
        .map(|(x, y)| (Scalar::to_f64(*x) / long - Scalar::to_f64(*y) / short).powi(2))
        .sum();
    (2.0 * (chord.sqrt() / 2.0).min(1.0).asin()).to_degrees()
}
