//! Data for a recurrence, by rules that find mistakes.

use std::fmt;
use std::ops::RangeInclusive;

use bptt::check::random_data;
use bptt::{Batch, Error, Kind, Noise, Params, Rate, Recurrence, Result, Role, Wrt};
use ndarray::ArrayD;

/// The type of the numbers of foreign code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// Single precision, IEEE 754 binary32.
    F32,
    /// Double precision, IEEE 754 binary64.
    #[default]
    F64,
}

impl Precision {
    /// `f32` or `f64`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F64 => "f64",
        }
    }

    /// The nearest number of this type.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the rounding is the purpose"
    )]
    fn nearest(self, x: f64) -> f64 {
        match self {
            Self::F32 => f64::from(x as f32),
            Self::F64 => x,
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Sizes, lengths and numbers for one comparison.
#[derive(Clone)]
pub struct Case {
    /// The parameters.
    pub params: Params<f64>,
    /// The inputs: `[T, B, …]` per step, `[B, …]` per sample. Beyond the length of a sample they hold finite numbers that
    /// must have no effect.
    pub batch: Batch<f64>,
    /// The size of each named dimension.
    pub sizes: Vec<(String, usize)>,
    /// A direction for second order: an array for each parameter and input that has a gradient.
    pub direction: Params<f64>,
    /// The type in which every number above is exact.
    pub precision: Precision,
    /// The seed of the numbers.
    pub seed: u64,
}

impl Case {
    /// The parameter, or the input, with this name; classes are numbers.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "there are few classes")]
    pub fn array(&self, name: &str) -> Option<ArrayD<f64>> {
        let classes = |a: &ArrayD<usize>| a.mapv(|class| class as f64);
        let real = self.params.get(name).or_else(|| self.batch.get(name));
        real.cloned()
            .or_else(|| self.batch.classes(name).map(classes))
    }

    /// The number of steps of each sample.
    #[must_use]
    pub fn lengths(&self) -> Vec<usize> {
        self.batch.lengths().collect()
    }
}

/// The most entries of an array that are printed.
const SHOWN: usize = 12;

impl fmt::Debug for Case {
    /// The sizes, the lengths and the seed; `{:#?}` adds the arrays, the large ones by their shapes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Case({self})")?;
        if f.alternate() {
            let params = self.params.iter().map(|(name, _)| name);
            for name in params.chain(self.batch.names()) {
                let Some(array) = self.array(name) else {
                    continue;
                };
                match array.len() <= SHOWN {
                    true => write!(f, "\n{name} = {}", array.to_string().replace('\n', " "))?,
                    false => write!(f, "\n{name}: {:?}", array.shape())?,
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for Case {
    /// The sizes, the lengths and the seed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (dim, size) in &self.sizes {
            write!(f, "{dim} = {size}, ")?;
        }
        let lengths: Vec<String> = self.batch.lengths().map(|n| n.to_string()).collect();
        let lengths = lengths.join(", ");
        write!(f, "lengths [{lengths}], seed {}", self.seed)
    }
}

/// The sizes and the seed of a case.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) sizes: Vec<usize>,
    pub(crate) lengths: Vec<usize>,
    pub(crate) seed: u64,
}

/// Cases of a recurrence, from seeds.
///
/// # Rules
///
/// | rule | a mistake that is not seen otherwise |
/// |---|---|
/// | named sizes are at least 2 and differ | a transposed or a swapped array |
/// | at least 3 steps | truncation after one or two steps; the order of the Jacobians |
/// | at least 2 samples | a sum instead of a mean; samples that are mixed |
/// | samples differ in length, and the longest is not always the first | steps beyond the end that count; a state that goes on there |
/// | numbers beyond the length of a sample are finite and not zero | the same, where zeros would hide it |
/// | states start at numbers of order one, wherever a parameter or an input gives the start | a forgotten first step; the gradient of the start |
/// | no bias is zero, no weight is below 0.1 | a bias that is counted twice; a gate that has no effect |
/// | numbers are at most 1 | units that are saturated, whose derivative is nearly zero |
/// | inputs and targets differ at each step | terms that are taken from the neighbouring step |
/// | a condition, such as a reset or a mask in `select(reset > 0, 0, h)`, is 0 at about two thirds of the steps, and both values occur | a reset that is applied at the wrong step |
/// | numbers have three decimal digits, rounded to the type of the foreign code | a failure that is a difference of the data |
///
/// A loss or a gradient that is not finite, such as the logarithm of a negative number, is drawn again, every second
/// time with positive numbers alone. So is a case in which some gradient is zero.
///
/// ```
/// use bptt::Recurrence;
/// use bptt_testing::Cases;
/// let rnn = "dim H, K\ninput x[K]\nparam W[H, H], U[H, K]\nstate h[H]\nh' = tanh(W @ h + U @ x)\nloss sum(h')\n";
/// let rnn = Recurrence::parse("rnn.rec", rnn)?;
/// let case = Cases::new(&rnn).size("H", 4).draw(1)?;
/// assert_eq!(case.params.get("W").map(|w| w.shape()), Some(&[4, 4][..]));
/// assert!(case.batch.steps() >= 3 && case.batch.samples() >= 2);
/// # Ok::<(), bptt::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Cases<'r> {
    recurrence: &'r Recurrence,
    sizes: Vec<(String, usize)>,
    steps: RangeInclusive<usize>,
    samples: RangeInclusive<usize>,
    equal_lengths: bool,
    precision: Precision,
}

/// The most draws of numbers for one case.
const DRAWS: u64 = 12;

impl<'r> Cases<'r> {
    /// Cases with sizes of 2 to 5 (more, if there are many dimensions), 3 to 6 steps, and 2 or 3 samples, in `f64`.
    #[must_use]
    pub const fn new(recurrence: &'r Recurrence) -> Self {
        Self {
            recurrence,
            sizes: Vec::new(),
            steps: 3..=6,
            samples: 2..=3,
            equal_lengths: false,
            precision: Precision::F64,
        }
    }

    /// The recurrence.
    #[must_use]
    pub const fn recurrence(&self) -> &'r Recurrence {
        self.recurrence
    }

    /// A fixed size of a named dimension.
    #[must_use]
    pub fn size(mut self, dim: &str, size: usize) -> Self {
        self.sizes.push((dim.into(), size));
        self
    }

    /// The number of steps of the longest sample.
    #[must_use]
    pub fn steps(self, steps: RangeInclusive<usize>) -> Self {
        Self { steps, ..self }
    }

    /// The number of samples.
    #[must_use]
    pub fn samples(self, samples: RangeInclusive<usize>) -> Self {
        Self { samples, ..self }
    }

    /// All samples have the same length, for foreign code that knows no others.
    #[must_use]
    pub fn equal_lengths(self) -> Self {
        Self {
            equal_lengths: true,
            ..self
        }
    }

    /// The type of the numbers of the foreign code.
    #[must_use]
    pub fn precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    pub(crate) const fn numbers_in(&self) -> Precision {
        self.precision
    }

    pub(crate) const fn ranges(&self) -> (&RangeInclusive<usize>, &RangeInclusive<usize>, bool) {
        (&self.steps, &self.samples, self.equal_lengths)
    }

    /// The sizes that the dimensions without a fixed size are drawn from: more than there are such dimensions.
    pub(crate) fn candidates(&self) -> Vec<usize> {
        let tape = self.recurrence.tape();
        let least = tape.dims().map(|dim| tape.least_size(dim)).max();
        let first = least.unwrap_or(1).max(2);
        let fixed = |size: &usize| self.sizes.iter().any(|(_, n)| n == size);
        let free = (first..).filter(|size| !fixed(size));
        free.take(tape.dims().count().max(3) + 1).collect()
    }

    /// The size of each dimension; those that are not fixed take the next of `order`.
    pub(crate) fn assign(&self, order: &[usize]) -> Vec<usize> {
        let mut order = order.iter();
        let fixed = |dim: &str| self.sizes.iter().find(|(name, _)| name == dim);
        let dims = self.recurrence.tape().dims();
        dims.map(|dim| match fixed(dim) {
            Some((_, size)) => *size,
            None => order.next().copied().unwrap_or(2),
        })
        .collect()
    }

    /// The case of a seed: the same on every machine.
    ///
    /// # Errors
    /// If a size belongs to no dimension or is too small, a range is empty, the recurrence has no loss, or no data was
    /// found on which the loss and its gradient are finite.
    pub fn draw(&self, seed: u64) -> Result<Case> {
        let mut noise = Noise(Noise::mixed(seed ^ 0x5EED));
        let mut order = self.candidates();
        noise.shuffle(&mut order);
        let steps = within(&mut noise, &self.steps, "steps")?;
        let samples = within(&mut noise, &self.samples, "samples")?;
        let mut lengths: Vec<usize> = (0..samples)
            .map(|b| match b == 0 || self.equal_lengths {
                true => steps,
                false => 1 + noise.below(steps),
            })
            .collect();
        noise.shuffle(&mut lengths);
        self.build(&Plan {
            sizes: self.assign(&order),
            lengths,
            seed,
        })
    }

    pub(crate) fn build(&self, plan: &Plan) -> Result<Case> {
        let dims = self.recurrence.tape().dims();
        let sizes: Vec<(String, usize)> = dims
            .map(str::to_owned)
            .zip(plan.sizes.iter().copied())
            .collect();
        if let Some((name, _)) = self
            .sizes
            .iter()
            .find(|(n, _)| !sizes.iter().any(|s| s.0 == *n))
        {
            return Err(Error::UnknownName {
                what: "dimension",
                name: name.clone(),
                known: sizes.into_iter().map(|(name, _)| name).collect(),
            });
        }
        let gradient = self.recurrence.gradient(Wrt::Everything)?;
        let mut best: Option<Case> = None;
        let mut failure = None;
        for draw in 0..DRAWS {
            let case = self.numbers(plan, &sizes, draw)?;
            match gradient.evaluate(&case.params, &case.batch) {
                Err(error @ Error::NonFiniteValue { .. }) => failure = Some(error),
                Err(error) => return Err(error),
                Ok(found) => {
                    let dead = found.iter().any(|(_, a)| a.iter().all(|x| *x == 0.0));
                    match (dead, &best) {
                        (false, _) => return Ok(case),
                        (true, None) => best = Some(case),
                        (true, Some(_)) => {}
                    }
                }
            }
        }
        match (best, failure) {
            (Some(case), _) => Ok(case),
            (None, Some(error)) => Err(error),
            (None, None) => self.numbers(plan, &sizes, 0),
        }
    }

    /// Random numbers of the right shapes; every second draw is positive.
    fn numbers(&self, plan: &Plan, sizes: &[(String, usize)], draw: u64) -> Result<Case> {
        let borrowed: Vec<(&str, usize)> = sizes.iter().map(|(n, s)| (&**n, *s)).collect();
        let seed = Noise::mixed(plan.seed.wrapping_mul(DRAWS).wrapping_add(draw));
        let (mut params, mut batch) = random_data(self.recurrence, &borrowed, &plan.lengths, seed)?;
        let mut noise = Noise(seed);
        let conditions = self.recurrence.conditions()?;
        let mut direction = Params::new();
        for leaf in self.recurrence.tape().leaves() {
            let name = leaf.name();
            let array = match leaf.role() {
                Role::Parameter => params.get_mut(name),
                Role::Input if leaf.ty().kind == Kind::Real => batch.get_mut(name),
                Role::Input => None,
            };
            let Some(array) = array.filter(|_| leaf.classes().is_none()) else {
                continue;
            };
            if conditions.contains(&name) {
                choices(array, leaf.ty().rate, &mut noise);
                continue;
            }
            let positive = draw % 2 == 1;
            let short = |x: f64| short(if positive { x.abs() } else { x });
            array.mapv_inplace(|x| self.precision.nearest(short(x)));
            let shape = array.shape();
            let along = noise.array(shape).mapv(|x| x * 0.9 + 0.1f64.copysign(x));
            direction.insert(name, along.mapv(|x| self.precision.nearest(short(x))));
        }
        Ok(Case {
            params,
            batch,
            sizes: sizes.to_vec(),
            direction,
            precision: self.precision,
            seed: plan.seed,
        })
    }
}

/// The seed of the case of a trial.
pub(crate) const fn seed_of(seed: u64, trial: usize) -> u64 {
    seed.wrapping_add(trial as u64)
}

/// A random number of a range.
fn within(noise: &mut Noise, range: &RangeInclusive<usize>, what: &str) -> Result<usize> {
    let (first, last) = (*range.start(), *range.end());
    if first == 0 || last < first {
        return Err(Error::Array {
            reason: format!(
                "the range of {what} is {first}..={last}, expected at least one number, all above 0"
            ),
        });
    }
    Ok(first + noise.below(last - first + 1))
}

/// The number with three significant decimal digits.
fn short(x: f64) -> f64 {
    format!("{x:.2e}").parse().unwrap_or(x)
}

/// Zeros and ones: one at a random place and at about a third of the others, zero at another place.
fn choices(array: &mut ArrayD<f64>, rate: Rate, noise: &mut Noise) {
    let count = array.len();
    array.mapv_inplace(|_| f64::from(u8::from(noise.below(3) == 0)));
    let (one, zero) = (noise.below(count.max(1)), noise.below(count.max(1)));
    for (i, x) in array.iter_mut().enumerate() {
        if i == one {
            *x = 1.0;
        } else if i == zero && rate != Rate::Static {
            *x = 0.0;
        }
    }
}
