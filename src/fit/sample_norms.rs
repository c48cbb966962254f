//! The norms of the gradients of each sample.

use std::sync::Arc;

use indexmap::IndexMap;
use ndarray::{Array1, ArrayViewD, Axis, Ix1, Ix2};

use crate::error::Result;
use crate::exec::{OuterNorms, Program, Real, Vectors, Workspace, norm};
use crate::exec::{OutputViews, kernel::Isa};
use crate::recurrence::{Batch, OuterFactors, Params, Part, Recurrence, Side, Wrt};
use crate::shape::Rate;

/// The norms of the [gradients of each sample](Recurrence::gradient_per_sample), without the gradients.
///
/// A matrix `W[H, K]` that multiplies a vector at each step has the gradient `Σ_t δ_t x_tᵀ`. The vectors `δ_t` and `x_t` are
/// outputs of one run of the gradient; they take `T B (H + K)` numbers instead of `B H K`. For each sample, the
/// norm follows from them in the cheaper of two ways: `Σ_ts (δ_t · δ_s)(x_t · x_s)`, in blocks of 64 steps, if `T (H + K) ≤ 1.25 H K`; else
/// the matrix of one sample at a time. The first way falls back on the second if its terms cancel
/// to less than a thousandth of `(Σ_t ‖δ_t‖ ‖x_t‖)²`. Several products with one matrix, slices of it, products of matrices of parameters and rows
/// chosen by a class (embeddings) are such sums as well. Parameters of any other use, such as biases, have
/// their gradients made: [`made`](Self::made) lists them.
///
/// ```
/// use bptt::{Recurrence, Wrt, check::random_data, fit::SampleNorms};
/// let text = "dim H, K\ninput x[K]\nparam W[H, H], U[H, K], b[H]\nstate h[H]\n\
///     h' = tanh(W @ h + U @ x + b)\nloss sum(h'^2)\n";
/// let rnn = Recurrence::parse("rnn.rec", text)?;
/// let sizes = [("H", 20), ("K", 30)];
/// let (params, batch) = random_data(&rnn, &sizes, &[5, 3, 4], 1)?;
/// let mut norms = SampleNorms::<f64>::new(&rnn, Wrt::Parameters, &sizes)?;
/// norms.run(&params, &batch)?;
/// assert_eq!(norms.made().collect::<Vec<_>>(), ["b"]);
///
/// let each = rnn.gradient_per_sample(Wrt::Parameters)?.evaluate(&params, &batch)?;
/// for (found, own) in norms.of_parameter("W").expect("a parameter").iter().zip(each["W"].outer_iter()) {
///     let expected = own.iter().map(|x| x * x).sum::<f64>().sqrt();
///     assert!((found - expected).abs() < 1e-12 * expected);
/// }
/// # Ok::<(), bptt::Error>(())
/// ```
#[derive(Debug)]
pub struct SampleNorms<F: Real> {
    program: Program<F>,
    workspace: Workspace<F>,
    parts: Vec<(Arc<str>, Part)>,
    workers: Vec<OuterNorms<F>>,
    /// The norms, those of all parameters of the first sample first.
    table: Vec<f64>,
    norms: IndexMap<Arc<str>, Array1<f64>>,
    joint: Array1<f64>,
    loss: F,
}

impl<F: Real> SampleNorms<F> {
    /// Compiles the norms of the gradients with respect to `wrt`, for these sizes of the named dimensions.
    ///
    /// # Errors
    /// As for [`Recurrence::gradient_per_sample`] and [`Recurrence::compile`].
    pub fn new<'a>(
        recurrence: &Recurrence,
        wrt: impl Into<Wrt<'a>>,
        sizes: &[(&str, usize)],
    ) -> Result<Self> {
        let factors = recurrence.outer_factors(wrt.into())?;
        let program = factors.recurrence.compile(sizes)?;
        Ok(Self::of(factors, program))
    }

    /// The same, with sizes inferred from data.
    ///
    /// # Errors
    /// As for [`new`](Self::new); also if the data do not fit the recurrence.
    pub fn for_data<'a>(
        recurrence: &Recurrence,
        wrt: impl Into<Wrt<'a>>,
        params: &Params<F>,
        batch: &Batch<F>,
    ) -> Result<Self> {
        let factors = recurrence.outer_factors(wrt.into())?;
        let program = factors.recurrence.compile_for(params, batch)?;
        Ok(Self::of(factors, program))
    }

    fn of(factors: OuterFactors, program: Program<F>) -> Self {
        Self {
            workspace: program.workspace(),
            workers: vec![OuterNorms::new()],
            table: Vec::new(),
            norms: IndexMap::new(),
            joint: Array1::default(0),
            loss: F::zero(),
            parts: factors.parts,
            program,
        }
    }

    /// The same, computed by `threads` threads. The results are the same to the last bit.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.program = self.program.threads(threads);
        self.workspace = self.program.workspace();
        self.workers.resize_with(threads.max(1), OuterNorms::new);
        self
    }

    /// The names of the parameters whose gradients of all samples are made, `[B, …]`: they are no sums of outer products.
    pub fn made(&self) -> impl Iterator<Item = &str> {
        let made = |part: &&(Arc<str>, Part)| matches!(part.1, Part::Whole);
        self.parts.iter().filter(made).map(|(name, _)| &**name)
    }

    /// Computes the norms of all samples.
    ///
    /// # Errors
    /// As for [`Program::run`].
    pub fn run(&mut self, params: &Params<F>, batch: &Batch<F>) -> Result<()> {
        let binding = self.program.bind(&mut self.workspace);
        let views = binding.params(params).batch(batch).run_in_place()?;
        self.loss = views.loss()?;
        let samples = batch.samples();
        let lengths: Vec<usize> = batch.lengths().collect();
        let parts: Vec<Found<'_, F>> = self
            .parts
            .iter()
            .map(|(name, part)| Found::of(&self.program, &views, name, part))
            .collect::<Option<_>>()
            .expect("the parts are outputs of the program");
        let isa = self.program.wide();
        self.table.clear();
        self.table.resize(samples * parts.len(), 0.0);
        let share = samples.div_ceil(self.workers.len()).max(1);
        let rows = self.table.chunks_mut(share * parts.len().max(1));
        let (parts, lengths) = (&parts, &lengths);
        let work = |worker: &mut OuterNorms<F>, first: usize, rows: &mut [f64]| {
            let each = rows.chunks_mut(parts.len().max(1));
            for (b, row) in each.enumerate().map(|(i, row)| (first + i, row)) {
                for (to, part) in row.iter_mut().zip(parts) {
                    *to = part.norm(worker, isa, b, lengths[b]);
                }
            }
        };
        std::thread::scope(|scope| {
            for (i, (worker, rows)) in self.workers.iter_mut().zip(rows).enumerate().rev() {
                match i {
                    0 => work(worker, 0, rows),
                    _ => drop(scope.spawn(move || work(worker, i * share, rows))),
                }
            }
        });
        self.collect(samples);
        Ok(())
    }

    fn collect(&mut self, samples: usize) {
        let count = self.parts.len();
        for (p, (name, _)) in self.parts.iter().enumerate() {
            let own = (0..samples).map(|b| self.table[b * count + p]);
            self.norms.insert(Arc::clone(name), own.collect());
        }
        let row = |b| self.table[b * count..(b + 1) * count].iter().copied();
        self.joint = (0..samples).map(|b| norm(row(b))).collect();
    }

    /// The norms over all parameters together, `[B]`, of the last [`run`](Self::run).
    #[must_use]
    pub const fn joint(&self) -> &Array1<f64> {
        &self.joint
    }

    /// The norms of the gradients of a parameter, `[B]`, of the last [`run`](Self::run).
    #[must_use]
    pub fn of_parameter(&self, name: &str) -> Option<&Array1<f64>> {
        self.norms.get(name)
    }

    /// The norms of all parameters, with their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Array1<f64>)> {
        self.norms.iter().map(|(name, norms)| (&**name, norms))
    }

    /// The loss of the last [`run`](Self::run).
    #[must_use]
    pub const fn loss(&self) -> F {
        self.loss
    }
}

/// The gradients of a parameter in the outputs of a run.
enum Found<'w, F> {
    /// An array with an axis of the samples.
    Whole(ArrayViewD<'w, F>, Axis),
    Outer([usize; 2], Vec<[Output<'w, F>; 2]>),
}

/// A side of an outer product in the outputs of a run.
struct Output<'w, F> {
    array: ArrayViewD<'w, F>,
    is_class: bool,
    rate: Rate,
}

impl<'w, F: Real> Found<'w, F> {
    fn of(
        program: &Program<F>,
        views: &OutputViews<'w, F>,
        name: &str,
        part: &Part,
    ) -> Option<Self> {
        let Part::Outer(shape, terms) = part else {
            let axis = match program.recurrence().output_type(name)?.rate {
                Rate::Step => Axis(1),
                _ => Axis(0),
            };
            return Some(Self::Whole(views.get(name)?, axis));
        };
        let [rows, columns] = program.shape_of(*shape)[..] else {
            return None;
        };
        let side = |side: &Side| {
            let (Side::Dense(output) | Side::Class(output)) = side;
            Some(Output {
                array: views.get(output)?,
                is_class: matches!(side, Side::Class(_)),
                rate: program.recurrence().output_type(output)?.rate,
            })
        };
        let terms = terms.iter().map(|(a, b)| Some([side(a)?, side(b)?]));
        Some(Self::Outer([rows, columns], terms.collect::<Option<_>>()?))
    }

    /// The norm of the gradient of sample `b`.
    fn norm(&self, worker: &mut OuterNorms<F>, isa: Isa, b: usize, length: usize) -> f64 {
        match self {
            Self::Whole(array, axis) => norm(array.index_axis(*axis, b).iter().copied()),
            Self::Outer(size, terms) => {
                let sides = terms.iter().map(|[a, b_side]| {
                    let [left, right] = [a, b_side].map(|side| side.of_sample(b, length));
                    Some([left?, right?])
                });
                let sides: Option<Vec<_>> = sides.collect();
                worker.norm(isa, *size, &sides.unwrap_or_default())
            }
        }
    }
}

impl<F: Real> Output<'_, F> {
    /// The vectors of a sample, one for each of its steps, or a single one.
    fn of_sample(&self, b: usize, length: usize) -> Option<Vectors<'_, F>> {
        let rows = match self.rate {
            Rate::Step => self.array.slice_each_axis(|axis| match axis.axis {
                Axis(0) => (0..length).into(),
                Axis(1) => (b..=b).into(),
                _ => (..).into(),
            }),
            _ => self.array.slice_each_axis(|axis| match axis.axis {
                Axis(0) => (b..=b).into(),
                _ => (..).into(),
            }),
        };
        let rows = match self.rate {
            Rate::Step => rows.index_axis_move(Axis(1), 0),
            _ => rows,
        };
        Some(match self.is_class {
            true => Vectors::Classes(rows.into_dimensionality::<Ix1>().ok()?),
            false => Vectors::Dense(rows.into_dimensionality::<Ix2>().ok()?),
        })
    }
}
