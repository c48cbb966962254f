//! The execution of plans: programs and workspaces, the driver, and the numeric kernels.

mod apply;
mod bind;
mod binding;
mod directions;
mod driver;
mod edges;
mod forward;
mod interpret;
mod kept;
pub(crate) mod kernel;
mod lane_rows;
mod lanes;
mod leg;
mod long;
mod memory;
mod online;
mod origin;
mod outer_norms;
mod parallel;
mod prepared;
mod reference;
mod results;
mod room;
mod search;
mod slots;
mod step_actions;
mod step_inputs;
mod step_state;
mod stepper;
mod sums;
#[cfg(test)]
mod tests;
mod vector_loop;
mod watch;
mod workspace;

use std::sync::{Arc, Mutex, PoisonError};

use kernel::{Element, Isa};

pub use binding::Binding;
pub(crate) use outer_norms::{OuterNorms, Vectors, norm};
pub use results::OutputViews;
pub use stepper::Stepper;
pub use workspace::Workspace;

use crate::error::{Error, Result};
use crate::op::{NodeId, Op, Scalar};
use crate::plan::{Directions, Leg, Memory, Plan};
use crate::recurrence::{Batch, Given, Outputs, Params, Recurrence, View};
use crate::shape::{Dim, Rate, Shape, Type};
use driver::Run;
use ndarray::ArrayViewMutD;
use results::Place;
use room::{Extent, Wanted};
use stepper::Source;
use watch::Watch;

/// The floating-point type of a program: `f64` or `f32`.
#[expect(
    private_bounds,
    private_interfaces,
    reason = "what the engine needs is no concern of a user's"
)]
pub trait Real: Scalar + Element {
    /// Runs a binding. As a method of two types, and not a generic function, it is compiled once
    /// with this crate and not again in every crate that runs a program.
    #[doc(hidden)]
    fn compute<'w>(
        binding: Binding<'w, '_, Self>,
        place: Place,
    ) -> Result<(&'w Program<Self>, &'w mut Workspace<Self>)>;
    /// Finds the first value that is not finite.
    #[doc(hidden)]
    fn trace(binding: Binding<'_, '_, Self>) -> Result<Option<Error>>;
    /// Prepares a run step by step, on parameters of its own or on those of the source.
    #[doc(hidden)]
    fn stepper(source: Arc<Source<Self>>, has_own_params: bool) -> Result<Stepper<Self>>;
    /// Takes a step.
    #[doc(hidden)]
    fn step<'s>(stepper: &'s mut Stepper<Self>, inputs: &[Self]) -> Result<&'s [Self]>;
    /// The outputs that do not vary with the step.
    #[doc(hidden)]
    fn so_far(stepper: &mut Stepper<Self>) -> Result<Outputs<Self>>;
    /// Goes on with other parameters.
    #[doc(hidden)]
    fn set_params(stepper: &mut Stepper<Self>, params: &Params<Self>) -> Result<()>;
}

macro_rules! real {
    ($float:ty) => {
        #[expect(private_interfaces, reason = "as for the trait")]
        impl Real for $float {
            fn compute<'w>(
                binding: Binding<'w, '_, Self>,
                place: Place,
            ) -> Result<(&'w Program<Self>, &'w mut Workspace<Self>)> {
                binding.compute(place)
            }
            fn trace(binding: Binding<'_, '_, Self>) -> Result<Option<Error>> {
                binding.trace()
            }
            fn stepper(source: Arc<Source<Self>>, has_own_params: bool) -> Result<Stepper<Self>> {
                Stepper::new(source, has_own_params)
            }
            fn step<'s>(stepper: &'s mut Stepper<Self>, inputs: &[Self]) -> Result<&'s [Self]> {
                stepper.advance(inputs)
            }
            fn so_far(stepper: &mut Stepper<Self>) -> Result<Outputs<Self>> {
                stepper.finish()
            }
            fn set_params(stepper: &mut Stepper<Self>, params: &Params<Self>) -> Result<()> {
                stepper.change_params(params)
            }
        }
    };
}

real!(f64);
real!(f32);

/// A compiled recurrence, for fixed sizes of its dimensions and any number of steps and samples.
///
/// It computes the same as [`Recurrence::evaluate`], up to rounding. A program is immutable; all
/// mutable state is in a [`Workspace`], so several threads can share a program.
///
/// ```
/// use bptt::{Batch, Params, Wrt, cells::{Cell, Loss}};
/// use ndarray::{Array2, Array3, ArrayD};
///
/// let model = Cell::lstm().model("lstm", Loss::SquaredError)?;
/// let program = model
///     .gradient(Wrt::Parameters)?
///     .compile::<f32>(&[("H", 8), ("K", 3), ("O", 2)])?;
///
/// let mut params = Params::from_fn(&model, &[("H", 8), ("K", 3), ("O", 2)], |_, shape| {
///     ArrayD::from_shape_fn(shape, |i| ((i[0] + 3) as f32 * 0.7).sin())
/// })?;
/// let batch = Batch::new(20, 4)
///     .with("x", Array3::from_shape_fn((20, 4, 3), |(t, b, i)| (t + b * i) as f32 * 0.1))
///     .with("y", Array3::zeros((20, 4, 2)));
///
/// let mut workspace = program.workspace();
/// let mut losses = Vec::new();
/// for _ in 0..10 {
///     // The first run allocates memory; later runs allocate nothing.
///     let gradient = program.run(&params, &batch, &mut workspace)?;
///     losses.push(gradient.loss()?);
///     for (name, g) in gradient.iter().filter(|(name, _)| *name != "loss") {
///         params.get_mut(name).expect("a gradient has the name of its parameter").scaled_add(-0.01, g);
///     }
/// }
/// assert!(losses[9] < losses[0]);
/// # Ok::<(), bptt::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Program<F> {
    recurrence: Recurrence,
    sizes: Vec<usize>,
    plan: Plan,
    /// Shared by all copies of the program and their workspaces. Another program can have the same
    /// number of buffers but larger ones.
    identity: Arc<()>,
    /// The instruction set for single rows.
    isa: Isa,
    /// The instruction set for many rows at once.
    wide: Isa,
    threads: usize,
    memory: Memory,
    /// The maximum number of steps of a chunk of time.
    longest_chunk: usize,
    /// The number of directions of a run, if arrays have an axis for them, and the leaves and outputs
    /// that have it.
    directions: Option<usize>,
    several: Directions,
    scalar: std::marker::PhantomData<F>,
}

impl Recurrence {
    /// Compiles the recurrence to a fast program.
    ///
    /// `sizes` has the size of every named dimension.
    ///
    /// # Errors
    /// [`Error::UnknownName`] for a dimension that does not exist, [`Error::UnknownSize`] for a
    /// dimension without a size, [`Error::Batch`] for a size that is zero or too large,
    /// [`Error::CustomOp`] if a custom op does not accept these sizes, [`Error::InstructionSet`] if the environment
    /// variable `BPTT_ISA` names an instruction set that this machine does not have.
    pub fn compile<F: Real>(&self, sizes: &[(&str, usize)]) -> Result<Program<F>> {
        Program::new(self, self.sizes_of(sizes)?)
    }

    /// Compiles the recurrence as [`compile`](Self::compile), with sizes inferred from data.
    ///
    /// # Errors
    /// If the data do not fit the recurrence.
    pub fn compile_for<F: Real>(&self, params: &Params<F>, batch: &Batch<F>) -> Result<Program<F>> {
        let sizes = self.bind(params, batch)?.sizes().to_vec();
        Program::new(self, sizes)
    }
}

impl<F: Real> Program<F> {
    fn new(recurrence: &Recurrence, sizes: Vec<usize>) -> Result<Self> {
        accept_sizes(recurrence, &sizes)?;
        Self::planned(recurrence, sizes, Directions::default())
    }

    /// A program for sizes that its custom ops accept.
    fn planned(recurrence: &Recurrence, sizes: Vec<usize>, several: Directions) -> Result<Self> {
        let usable = Isa::usable().map_err(|reason| Error::InstructionSet { reason })?;
        let plan = Plan::of(recurrence, &sizes, &several);
        // The executor reaches memory through pointers and trusts its plan.
        if let Err(fault) = plan.verify(recurrence, &sizes, &several) {
            panic!("the plan of `{}` is broken: {fault}", recurrence.name());
        }
        let longest = plan.programs.iter().map(|p| p.len).max().unwrap_or(0);
        Ok(Self {
            isa: Isa::for_rows::<F>(usable, longest),
            wide: Isa::best(usable),
            plan,
            identity: Arc::default(),
            recurrence: recurrence.clone(),
            sizes,
            threads: 1,
            memory: Memory::default(),
            longest_chunk: usize::MAX,
            directions: None,
            several,
            scalar: std::marker::PhantomData,
        })
    }

    /// The same program, run by `threads` threads. The results are the same to the last bit. Only
    /// workspaces made from the returned program have these threads.
    #[must_use]
    pub fn threads(self, threads: usize) -> Self {
        Self { threads, ..self }
    }

    /// The same program, with another memory for the values of its steps. The results are the same to the last bit.
    ///
    /// # Errors
    /// Runs return [`Error::MemoryTooSmall`] if no timetable is known that needs so little.
    #[must_use]
    pub fn memory(self, memory: Memory) -> Self {
        Self { memory, ..self }
    }

    /// The order in which a run with this many steps and samples executes the passes of its plan, if no input is copied (inputs
    /// are copied if they are not C-contiguous, or samples differ in length and the longest do not come first).
    ///
    /// ```
    /// use bptt::{Memory, Recurrence, Wrt};
    /// let decay = Recurrence::parse("decay.rec", "input x\nparam a\nstate s\ns' = tanh(a * s + x)\nloss s'^2\n")?;
    /// let program = decay.gradient(Wrt::Parameters)?.compile::<f64>(&[])?;
    /// assert_eq!(program.legs(1_000_000, 1)?.len(), 2);
    /// let legs = program.memory(Memory::Sqrt).legs(1_000_000, 1)?;
    /// assert!(legs.iter().any(|leg| leg.again));
    /// # Ok::<(), bptt::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], [`Error::MemoryTooSmall`]; [`Error::Batch`] without steps or samples.
    pub fn legs(&self, steps: usize, samples: usize) -> Result<Vec<Leg>> {
        if steps == 0 || samples == 0 {
            let reason = "a run has at least one step and one sample".into();
            return Err(Error::Batch { reason });
        }
        let mut workspace = self.workspace();
        self.make_room(steps, samples, &mut workspace)?;
        Ok(workspace.timetable.legs.into_iter().flatten().collect())
    }

    /// The same program on another instruction set of this machine.
    #[cfg(test)]
    pub(crate) fn on(self, isa: Isa) -> Self {
        Self {
            isa,
            wide: isa,
            ..self
        }
    }

    /// The same program on another instruction set of this machine: `portable`, `avx2`, `avx512` or `neon`. The results
    /// are the same to the last bit, at another speed. A program is otherwise compiled for those of
    /// [`instruction_sets`]. Only workspaces made from the returned program fit it.
    ///
    /// ```
    /// use bptt::{Batch, Params, Recurrence};
    /// let r = Recurrence::parse("r.rec", "input x\nstate s\ns' = tanh(s + x)\nloss s'\n")?;
    /// let batch = Batch::new(9, 1).with("x", ndarray::Array2::from_elem((9, 1), 0.3));
    /// let program = r.compile::<f64>(&[])?;
    /// let slow = program.clone().on_instruction_set("portable")?;
    /// assert_eq!(slow.evaluate(&Params::new(), &batch)?, program.evaluate(&Params::new(), &batch)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InstructionSet`] if this machine has no such instruction set.
    pub fn on_instruction_set(self, name: &str) -> Result<Self> {
        let isa = Isa::named(name).map_err(|reason| Error::InstructionSet { reason })?;
        Ok(Self {
            isa,
            wide: isa,
            // Workspaces have matrices packed for one instruction set.
            identity: Arc::default(),
            ..self
        })
    }

    /// The instruction set for many rows at once.
    pub(crate) const fn wide(&self) -> Isa {
        self.wide
    }

    /// The same program, in chunks of at most this many steps.
    #[cfg(test)]
    pub(crate) fn in_chunks_of(self, longest_chunk: usize) -> Self {
        Self {
            longest_chunk,
            ..self
        }
    }

    /// The sizes of the dimensions, in order of declaration.
    pub(crate) fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    /// True for a program that runs in several directions at once.
    pub(crate) const fn has_directions(&self) -> bool {
        self.directions.is_some()
    }

    /// The plan of the program.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The recurrence.
    #[must_use]
    pub const fn recurrence(&self) -> &Recurrence {
        &self.recurrence
    }

    /// The sizes of a shape.
    pub(crate) fn shape_of(&self, shape: Shape) -> Vec<usize> {
        shape.values(&self.sizes)
    }

    /// An empty workspace for runs of this program.
    #[must_use]
    pub fn workspace(&self) -> Workspace<F> {
        let shared = (self.threads, self.directions.unwrap_or(1));
        Workspace::new(&self.plan, &self.identity, &self.recurrence, shared)
    }

    /// Reserves memory for runs over this many steps and samples; returns an error above the memory
    /// limit.
    pub(crate) fn make_room(
        &self,
        steps: usize,
        samples: usize,
        workspace: &mut Workspace<F>,
    ) -> Result<()> {
        let wanted = self.wanted(steps, samples);
        workspace.prepare(&self.plan, self.isa, wanted)
    }

    const fn wanted(&self, steps: usize, samples: usize) -> Wanted {
        let chunk = self.longest_chunk;
        Wanted {
            extent: Extent {
                steps,
                samples,
                chunk,
                lanes: match self.directions {
                    Some(count) => count,
                    None => 1,
                },
                tile: 0,
            },
            memory: self.memory,
            copies: 0,
        }
    }

    /// Runs the program once, in a new workspace.
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    pub fn evaluate(&self, params: &Params<F>, batch: &Batch<F>) -> Result<Outputs<F>> {
        let mut workspace = self.workspace();
        self.run(params, batch, &mut workspace)?;
        Ok(workspace.outputs)
    }

    /// Runs the program. The outputs are valid until the next use of the workspace.
    ///
    /// C-contiguous arrays are used in place, without a copy. [`bind`](Self::bind) runs on arrays
    /// outside of [`Params`] and [`Batch`].
    ///
    /// # Errors
    /// If the data do not fit the recurrence or the sizes of the program; if a NaN or an infinity
    /// reaches an output ([`find_non_finite`](Self::find_non_finite) finds its origin);
    /// [`Error::OutOfMemory`], before the computation, if the run would need more memory than
    /// [`memory_limit`](crate::memory_limit); [`Error::CustomOp`] if a custom op fails.
    ///
    /// # Panics
    /// If the workspace was made by another program.
    pub fn run<'w>(
        &self,
        params: &Params<F>,
        batch: &Batch<F>,
        workspace: &'w mut Workspace<F>,
    ) -> Result<&'w mut Outputs<F>> {
        let binding = self.bind(workspace).params(params).batch(batch);
        binding.run()?;
        Ok(&mut workspace.outputs)
    }

    /// A run on arrays that need not be in [`Params`] or a [`Batch`]; C-contiguous ones are not
    /// copied.
    ///
    /// # Panics
    /// If the workspace was made by another program.
    pub fn bind<'w, 'a>(&'w self, workspace: &'w mut Workspace<F>) -> Binding<'w, 'a, F> {
        assert!(
            Arc::ptr_eq(&workspace.identity, &self.identity),
            "a workspace is used with the program that made it"
        );
        Binding::new(self, workspace)
    }

    /// Runs the plan on checked data.
    fn execute(
        &self,
        given: &Given<'_, F>,
        workspace: &mut Workspace<F>,
        places: &mut [Option<ArrayViewMutD<'_, F>>],
        place: Place,
    ) -> Result<()> {
        let wanted = Wanted {
            copies: self.copies(given),
            ..self.wanted(given.steps, given.samples)
        };
        workspace.prepare(&self.plan, self.isa, wanted)?;
        self.order(given, workspace)?;
        self.connect(given, workspace)?;
        workspace.by_step = self.by_step(workspace, places, place);
        self.run_legs(workspace, None).map(|_| ())
    }

    /// The same with all values kept, and a search for values that are not finite after each chunk of time.
    fn execute_watched(
        &self,
        given: &Given<'_, F>,
        workspace: &mut Workspace<F>,
        watch: Watch<F>,
    ) -> Result<Option<Watch<F>>> {
        let wanted = Wanted {
            memory: Memory::All,
            ..self.wanted(given.steps, given.samples)
        };
        workspace.prepare(&self.plan, self.isa, wanted)?;
        self.order(given, workspace)?;
        self.connect(given, workspace)?;
        self.run_legs(workspace, Some(watch))
    }

    /// The bytes of the inputs that are copied because of their memory layout or their order.
    fn copies(&self, given: &Given<'_, F>) -> usize {
        let lengths = (0..given.samples).map(|b| given.length(b));
        let is_sorted = lengths.is_sorted_by(|a, b| a >= b);
        let leaves = self.recurrence.tape().leaves().iter();
        let bytes = leaves.zip(&given.arrays).map(|(leaf, view)| {
            let permuted = !is_sorted && leaf.ty().rate != Rate::Static;
            match view {
                Some(View::Real(a)) if permuted || !a.is_standard_layout() => {
                    a.len().saturating_mul(size_of::<F>())
                }
                Some(View::Class(a)) if permuted || !a.is_standard_layout() => {
                    a.len().saturating_mul(size_of::<usize>())
                }
                _ => 0,
            }
        });
        bytes.fold(0, usize::saturating_add)
    }

    fn run_legs(
        &self,
        workspace: &mut Workspace<F>,
        watch: Option<Watch<F>>,
    ) -> Result<Option<Watch<F>>> {
        let isas = [self.isa, self.wide];
        let (run, workers, pool) = Run::of(&self.plan, isas, workspace, watch);
        driver::execute(&run, workers, pool);
        let Run {
            results,
            failure,
            watch,
            ..
        } = run;
        let failure = failure.into_inner();
        let failure = failure.unwrap_or_else(PoisonError::into_inner);
        let seen = watch.map(Mutex::into_inner);
        let seen = seen.map(|watch| watch.unwrap_or_else(PoisonError::into_inner));
        let results = results.into_inner();
        workspace.by_step = results.unwrap_or_else(PoisonError::into_inner);
        workspace.by_step.clear();
        failure.map_or(Ok(seen), Err)
    }
}

/// The instruction sets for which programs are compiled, from the weakest to the best: those of this machine, or the
/// one that the environment variable `BPTT_ISA` names. The variable is read once, by the first program. No result
/// depends on the instruction set.
///
/// ```
/// let found = bptt::instruction_sets()?;
/// assert!(std::env::var_os("BPTT_ISA").is_some() || found[0] == "portable");
/// # Ok::<(), bptt::Error>(())
/// ```
///
/// # Errors
/// [`Error::InstructionSet`] if `BPTT_ISA` names none of this machine; it lists those that there are. So does every
/// [`Recurrence::compile`].
pub fn instruction_sets() -> Result<Vec<&'static str>> {
    match Isa::usable() {
        Ok(usable) => Ok(usable.iter().map(|isa| isa.word()).collect()),
        Err(reason) => Err(Error::InstructionSet { reason }),
    }
}

/// Returns an error if a custom op does not accept the sizes of its arguments, or its result has
/// another shape than it declared.
fn accept_sizes(recurrence: &Recurrence, sizes: &[usize]) -> Result<()> {
    let tape = recurrence.tape();
    let live = tape.live(recurrence.output_nodes().map(|(_, id)| id));
    for (id, node) in tape.nodes().filter(|(id, _)| live[id.index()]) {
        let Op::Custom(custom) = node.op() else {
            continue;
        };
        let refuse = |reason| Error::CustomOp {
            op: custom.rule().name().into(),
            reason,
        };
        let fixed = |id: NodeId| {
            let ty = tape.ty(id);
            let shape = ty.shape.map(|d: Dim| Dim::fixed(d.value(sizes)));
            Type { shape, ..ty }
        };
        let args: Vec<Type> = node.args().iter().map(|a| fixed(*a)).collect();
        let (expected, found) = (fixed(id), node.op().infer(&args).map_err(refuse)?);
        if found.shape != expected.shape {
            let [expected, found] = [expected, found].map(|ty| ty.shape.text(&[]));
            let reason = format!("expected shape {expected}, as in the definition, found {found}");
            return Err(refuse(reason));
        }
    }
    Ok(())
}
