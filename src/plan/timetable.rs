//! The timetable of a run: which pass runs over which steps, in which order, and where it starts.
//!
//! The values that one pass keeps for another fill the rows of a *window* of consecutive steps. With a window of all steps each
//! pass runs once. In less memory, passes run over *units* of steps: what a register carries over the boundary
//! of a unit is saved in a *slot*, and an earlier pass runs again, from such a slot, over the unit that a later pass
//! needs. Timetables depend on sizes and on nothing else.

use std::ops::Range;

use super::chain::{Action, Mixed, Schedule, Source, least_runs, revolve};
use super::{Carry, Instruction, Operand, Plan, Storage};
use crate::shape::Rate;

/// The memory in which a program keeps values of its steps: beside parameters, inputs and results, all that a run needs.
///
/// Results are the same to the last bit in any memory. In less memory than all values need, a run keeps the states of some
/// steps and computes the values between them again when the pass back in time comes to them.
///
/// ```
/// use bptt::{Batch, Memory, Params, Recurrence, Wrt};
/// let decay = Recurrence::parse("decay.rec", "input x\nparam a\nstate s\ns' = tanh(a * s + x)\nloss s'^2\n")?;
/// let program = decay.gradient(Wrt::Parameters)?.compile::<f64>(&[])?;
/// let params = Params::new().with("a", ndarray::arr0(0.9));
/// let batch = Batch::new(1_000_000, 1).with("x", ndarray::Array2::from_elem((1_000_000, 1), 0.1));
/// let all = program.evaluate(&params, &batch)?;
/// let some = program.memory(Memory::Bytes(3_000_000)).evaluate(&params, &batch)?;
/// assert_eq!(all["a"], some["a"]);
/// # Ok::<(), bptt::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Memory {
    /// All values, if they fit into [`memory_limit`](crate::memory_limit), and otherwise what fits.
    #[default]
    Available,
    /// All values: each pass runs once.
    All,
    /// At most this many bytes.
    Bytes(usize),
    /// About the least memory in which no step runs forward more than twice for one pass back. It grows with the square
    /// root of the number of steps, from the memory of one chunk of work on, some 2 MiB: shorter sequences keep all.
    Sqrt,
}

/// One run of a pass over consecutive steps.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leg {
    /// The pass, as numbered by [`Plan`]'s description, counted from 0.
    pub pass: usize,
    /// The steps, counted from 0.
    pub times: Range<usize>,
    /// True if the pass ran over these steps before. Sums over steps and results are then complete and are left out.
    pub again: bool,
    /// The window in which the values of these steps are kept.
    pub window: usize,
    /// The slots with the values that registers carry into the first step, and into the last, from outside. Without one, they
    /// start there, or nothing reads them.
    pub restore: [Option<usize>; 2],
    /// The slots in which the values that registers carry backward from the first step, and forward from the last, are
    /// saved.
    pub save: [Option<usize>; 2],
}

/// The sizes that decide about a timetable, in bytes.
#[derive(Clone, Debug)]
pub(crate) struct Sizes {
    pub(crate) steps: usize,
    /// The steps of a chunk: units are whole chunks.
    pub(crate) chunk: usize,
    /// The memory that does not depend on the number of steps.
    pub(crate) fixed: usize,
    /// The values of one step that are kept for another pass.
    pub(crate) step: usize,
    /// For each pass, the values that its registers carry over a boundary.
    pub(crate) edges: Vec<usize>,
}

/// The order of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Timetable {
    /// For each pass, the legs that run before the work done once after it.
    pub(crate) legs: Vec<Vec<Leg>>,
    /// The steps of a window.
    pub(crate) unit: usize,
    pub(crate) windows: usize,
    /// For each pass, the number of slots.
    pub(crate) slots: Vec<usize>,
}

/// The bytes of a leg. Unit tests are so small that legs would take more memory than the values.
const PER_LEG: usize = if cfg!(test) { 1 } else { size_of::<Leg>() };
/// The most units of a timetable, since each has legs in memory.
const MOST_UNITS: usize = 4096;
/// The most units for which a schedule with kept units is searched.
const MIXED_UNITS: usize = 160;
/// The bytes of a window whose values are still in cache when the pass back reads them.
const NEAR: usize = 1 << 21;
/// The time of a run with larger windows, for 100 of one with smaller ones; measured by `examples/memory.rs`.
const FAR: u64 = 106;
/// The most portions of memory for the same.
const PORTIONS: usize = 128;

impl Timetable {
    /// Each pass once, over all steps.
    pub(crate) fn all(plan: &Plan, steps: usize) -> Self {
        let legs = (0..plan.passes.len()).map(|pass| {
            vec![Leg {
                pass,
                times: 0..steps,
                again: false,
                window: 0,
                restore: [None; 2],
                save: [None; 2],
            }]
        });
        Self {
            legs: legs.collect(),
            unit: steps,
            windows: 1,
            slots: vec![0; plan.passes.len()],
        }
    }

    /// The fastest known timetable within `limit` bytes; otherwise the least bytes that one needs.
    pub(crate) fn within(plan: &Plan, sizes: &Sizes, limit: usize) -> Result<Self, usize> {
        let all = Self::all(plan, sizes.steps);
        let least = all.bytes(sizes).unwrap_or(usize::MAX);
        if least <= limit {
            return Ok(all);
        }
        let flow = Flow::of(plan);
        if !flow.can_repeat {
            return Err(least);
        }
        let found = if flow.is_chain {
            chain(plan, sizes, limit)
        } else {
            None
        };
        let mut least = least;
        let steps = |units: usize| {
            let chunks = sizes.steps.div_ceil(sizes.chunk).div_ceil(units);
            chunks.saturating_mul(sizes.chunk)
        };
        let most = sizes.steps.div_ceil(sizes.chunk).min(MOST_UNITS);
        let mut units = 2;
        while found.is_none() && units <= most {
            let bytes = segmented_bytes(plan, sizes, &flow, steps(units));
            if bytes.is_some_and(|bytes| bytes <= limit) {
                return Ok(segmented(plan, sizes, &flow, steps(units)));
            }
            least = least.min(bytes.unwrap_or(usize::MAX));
            units += 1 + units / 32;
        }
        found.ok_or_else(|| least_chain(plan, sizes, &flow, limit, least))
    }

    /// The timetable of the least memory in which no unit runs forward more than twice for one pass back.
    pub(crate) fn sqrt(plan: &Plan, sizes: &Sizes) -> Self {
        let flow = Flow::of(plan);
        let chunks = sizes.steps.div_ceil(sizes.chunk);
        let bytes = |units: &usize| {
            let steps = chunks.div_ceil(*units).saturating_mul(sizes.chunk);
            segmented_bytes(plan, sizes, &flow, steps).unwrap_or(usize::MAX)
        };
        let best = (1..=chunks.min(MOST_UNITS)).min_by_key(bytes).unwrap_or(1);
        if best == 1 || !flow.can_repeat {
            return Self::all(plan, sizes.steps);
        }
        segmented(plan, sizes, &flow, chunks.div_ceil(best) * sizes.chunk)
    }

    /// The bytes that a run needs; `None` if they overflow.
    pub(crate) fn bytes(&self, sizes: &Sizes) -> Option<usize> {
        bytes(sizes, self.unit, self.windows, &self.slots)?.checked_add(self.own_bytes())
    }

    /// The bytes of the timetable itself.
    pub(crate) fn own_bytes(&self) -> usize {
        self.legs.iter().map(Vec::len).sum::<usize>() * PER_LEG
    }

    /// Returns true if each pass runs once over all steps.
    pub(crate) fn is_whole(&self) -> bool {
        self.legs.iter().all(|legs| legs.len() == 1)
    }
}

fn bytes(sizes: &Sizes, unit: usize, windows: usize, slots: &[usize]) -> Option<usize> {
    // A window has a row before its first step and a row after its last.
    let window = unit.checked_add(2)?.checked_mul(sizes.step)?;
    let slots = slots.iter().zip(&sizes.edges);
    let slots = slots.map(|(count, edges)| count.checked_mul(*edges));
    let slots = { slots }.try_fold(0usize, |all, bytes| all.checked_add(bytes?))?;
    let windows = window.checked_mul(windows)?;
    sizes.fixed.checked_add(windows)?.checked_add(slots)
}

/// The values that passes need from each other.
#[derive(Debug)]
struct Flow {
    /// For each pass, the earlier passes whose values it needs, also through others, in order.
    needs: Vec<Vec<usize>>,
    /// For each pass, true if a later one needs it.
    is_needed: Vec<bool>,
    /// True if some value is carried against the direction of its pass, or starts from a value that is known only later.
    is_crossed: bool,
    /// True if passes can run again: nothing that they read once was overwritten.
    can_repeat: bool,
    /// True if there is one pass, and one in the other direction that needs it.
    is_chain: bool,
}

impl Flow {
    fn of(plan: &Plan) -> Self {
        let count = plan.passes.len();
        let is_full = |o: &Operand| plan.buffers[o.buffer].storage == Storage::Full;
        let kept = |pass: usize, operands: fn(&Instruction, &Plan) -> Vec<Operand>| {
            let mut all: Vec<Operand> = Vec::new();
            for work in plan.passes[pass].stages.iter().flat_map(|s| &s.body) {
                all.extend(
                    operands(&work.instruction, plan)
                        .into_iter()
                        .filter(is_full),
                );
            }
            all
        };
        let written: Vec<Vec<Operand>> = (0..count)
            .map(|pass| kept(pass, |i, plan| i.writes(&plan.programs)))
            .collect();
        let mut needs: Vec<Vec<usize>> = Vec::new();
        for pass in 0..count {
            let read = kept(pass, |i, plan| i.reads(&plan.programs));
            let is_read = |p: &usize| {
                let written = &written[*p];
                read.iter().any(|r| written.iter().any(|w| w.overlaps(r)))
            };
            let direct: Vec<usize> = (0..pass).filter(is_read).collect();
            let through = direct.iter().flat_map(|p| needs[*p].clone());
            let mut all: Vec<usize> = through.chain(direct.iter().copied()).collect();
            all.sort_unstable();
            all.dedup();
            needs.push(all);
        }
        let is_needed: Vec<bool> = (0..count)
            .map(|pass| needs.iter().any(|n| n.contains(&pass)))
            .collect();
        let is_crossed = plan.carries.iter().any(|c| {
            is_needed[c.defined]
                && (c.forward != plan.passes[c.defined].forward || c.pass != c.defined)
        });
        let is_chain = count == 2
            && is_needed[0]
            && !is_crossed
            && plan.passes[0].forward != plan.passes[1].forward;
        Self {
            can_repeat: (0..count).all(|pass| !is_needed[pass] || can_repeat(plan, pass)),
            needs,
            is_needed,
            is_crossed,
            is_chain,
        }
    }
}

/// Returns true if nothing that a pass reads, apart from values per step, is overwritten after it began.
fn can_repeat(plan: &Plan, pass: usize) -> bool {
    let is_held = |o: &Operand| o.rate != Rate::Step;
    let work = |pass: usize| plan.passes[pass].stages.iter().flat_map(|s| &s.body);
    let again = work(pass).filter(|w| !w.instruction.ends_time());
    let read = again.flat_map(|w| w.instruction.reads(&plan.programs));
    let starts = plan.carries.iter().filter(|c| c.pass == pass);
    let read = read.chain(starts.filter_map(|c| c.init)).filter(is_held);
    let read: Vec<Operand> = read.collect();
    let later = plan.once[pass + 1..].iter().flatten();
    let in_time = (pass..plan.passes.len()).flat_map(|p| work(p).map(|w| &w.instruction));
    let mut written = later
        .chain(in_time)
        .flat_map(|i| i.writes(&plan.programs))
        .filter(is_held);
    written.all(|w| !read.iter().any(|r| r.overlaps(&w)))
}

/// The steps of each unit.
fn units(steps: usize, unit: usize) -> Vec<Range<usize>> {
    let first = (0..steps).step_by(unit.max(1));
    first
        .map(|first| first..(first + unit).min(steps))
        .collect()
}

/// The slots of each pass if passes run in segments of `unit` steps: all boundaries of a pass that runs again, and
/// the last one of any other.
fn segmented_slots(sizes: &Sizes, flow: &Flow, unit: usize) -> Vec<usize> {
    let boundaries = sizes.steps.div_ceil(unit) - 1;
    let needed = flow.is_needed.iter();
    needed
        .map(|needed| {
            if *needed {
                boundaries
            } else {
                boundaries.min(1)
            }
        })
        .collect()
}

fn segmented_bytes(plan: &Plan, sizes: &Sizes, flow: &Flow, unit: usize) -> Option<usize> {
    let runs: usize = flow.needs.iter().map(|n| n.len() + 1).sum();
    let legs = sizes
        .steps
        .div_ceil(unit)
        .checked_mul(runs.max(plan.passes.len()))?;
    bytes(sizes, unit, 1, &segmented_slots(sizes, flow, unit))?
        .checked_add(legs.checked_mul(PER_LEG)?)
}

/// Segments of `unit` steps, in one window. Each pass goes over all of them once, and for each, the passes that
/// it needs run again, from the boundaries.
fn segmented(plan: &Plan, sizes: &Sizes, flow: &Flow, unit: usize) -> Timetable {
    let units = units(sizes.steps, unit);
    let last = units.len() - 1;
    let mut legs = Vec::with_capacity(plan.passes.len());
    // The unit in the window, and the passes whose values it has.
    let mut held: (usize, Vec<usize>) = (0, Vec::new());
    for (pass, spec) in plan.passes.iter().enumerate() {
        let mut own = Vec::new();
        for i in 0..units.len() {
            let index = if spec.forward { i } else { last - i };
            let slot = |pass: usize, boundary: usize| match flow.is_needed[pass] {
                true => Some(boundary),
                false => Some(0),
            };
            let ends = |pass: usize| {
                let start = index.checked_sub(1).and_then(|b| slot(pass, b));
                let end = if index < last {
                    slot(pass, index)
                } else {
                    None
                };
                [start, end]
            };
            let needs = &flow.needs[pass];
            let is_held =
                !flow.is_crossed && held.0 == index && needs.iter().all(|p| held.1.contains(p));
            if !is_held {
                held = (index, needs.clone());
                own.extend(needs.iter().map(|pass| Leg {
                    pass: *pass,
                    times: units[index].clone(),
                    again: true,
                    window: 0,
                    restore: ends(*pass),
                    save: [None; 2],
                }));
            }
            held.1.push(pass);
            let [start, end] = ends(pass);
            own.push(Leg {
                pass,
                times: units[index].clone(),
                again: false,
                window: 0,
                restore: match spec.forward {
                    true => [start, None],
                    false => [None, end],
                },
                save: [start, end],
            });
        }
        own.shrink_to_fit();
        legs.push(own);
    }
    Timetable {
        legs,
        unit,
        windows: 1,
        slots: segmented_slots(sizes, flow, unit),
    }
}

/// The timetable of a chain with the fewest steps that run again, among several lengths of units.
fn chain(plan: &Plan, sizes: &Sizes, limit: usize) -> Option<Timetable> {
    let chunks = sizes.steps.div_ceil(sizes.chunk);
    let state = sizes.edges[0].max(1);
    let mut best: Option<(u64, Timetable)> = None;
    let mut length = chunks.div_ceil(2);
    while length > 0 {
        let unit = length.saturating_mul(sizes.chunk);
        let n = sizes.steps.div_ceil(unit);
        let next = length - length.div_ceil(6).min(length);
        if n > MOST_UNITS {
            break;
        }
        length = next;
        // The state in hand, and that of the pass back, have a slot each; a unit has a leg back.
        let of_legs = |runs: u64| (runs + n as u64).saturating_mul(PER_LEG as u64);
        let free = bytes(sizes, unit, 1, &[1, 1]).and_then(|base| limit.checked_sub(base));
        let Some(free) = free else { continue };
        // Schedules have few runs of each unit; the memory for their legs is set aside.
        let Some(free) = free.checked_sub(usize::try_from(of_legs(4 * n as u64)).ok()?) else {
            continue;
        };
        let window = unit.saturating_add(2).saturating_mul(sizes.step);
        let window = window.saturating_add(state);
        let schedule = if n <= MIXED_UNITS {
            let portion = state.max(free / PORTIONS + 1);
            let memory = (1 + free / portion).min(PORTIONS);
            let mixed = Mixed::new(n, memory, window.div_ceil(portion));
            (mixed.runs(n, memory), mixed.schedule(n, memory))
        } else {
            let memory = (1 + free / state).min(n);
            (least_runs(n, memory), Schedule::default())
        };
        let (runs, mut schedule) = schedule;
        let far = if window > NEAR { FAR } else { 100 };
        let cost = runs.saturating_mul(unit as u64).saturating_mul(far);
        if best.as_ref().is_some_and(|(least, _)| *least <= cost) || runs > 64 * n as u64 {
            continue;
        }
        if n > MIXED_UNITS {
            schedule = revolve(n, (1 + free / state).min(n));
        }
        let table = of_chain(plan, sizes, unit, &schedule);
        if table.bytes(sizes).is_some_and(|bytes| bytes <= limit) {
            best = Some((cost, table));
        }
    }
    best.map(|(_, table)| table)
}

/// The least bytes in which a chain has a timetable, above `limit` and at most `enough`.
fn least_chain(plan: &Plan, sizes: &Sizes, flow: &Flow, limit: usize, enough: usize) -> usize {
    let (mut low, mut high) = (limit, enough);
    while flow.is_chain && high - low > high / 100 {
        let middle = low + (high - low) / 2;
        match chain(plan, sizes, middle) {
            Some(_) => high = middle,
            None => low = middle,
        }
    }
    high
}

/// The timetable of a schedule.
fn of_chain(plan: &Plan, sizes: &Sizes, unit: usize, schedule: &Schedule) -> Timetable {
    let units = units(sizes.steps, unit);
    let forward = plan.passes[0].forward;
    let times = |index: usize| match forward {
        true => units[index].clone(),
        false => units[units.len() - 1 - index].clone(),
    };
    // A pass is entered behind its steps, and left ahead of them.
    let ends = |forward: bool, behind: Option<usize>, ahead: Option<usize>| match forward {
        true => ([behind, None], [None, ahead]),
        false => ([None, behind], [ahead, None]),
    };
    let is_forward = |action: &&Action| matches!(action, Action::Forward { .. });
    let sweep = schedule.actions.iter().take_while(is_forward).count();
    let rest = schedule.actions.len() - sweep;
    let mut legs = [Vec::with_capacity(sweep), Vec::with_capacity(rest)];
    let (mut era, mut reached) = (0, 0);
    for action in &schedule.actions {
        let leg = match *action {
            Action::Forward {
                unit,
                from,
                window,
                save,
            } => {
                let behind = match from {
                    Source::Start => None,
                    // The state in hand has the first slot.
                    Source::Last => Some(0),
                    Source::Slot(slot) => Some(slot + 1),
                };
                let ahead = save.map_or(0, |slot| slot + 1);
                let (restore, save) = ends(forward, behind, Some(ahead));
                let again = unit < reached;
                reached = reached.max(unit + 1);
                Leg {
                    pass: 0,
                    times: times(unit),
                    again,
                    window,
                    restore,
                    save,
                }
            }
            Action::Backward { unit, window } => {
                let behind = (unit + 1 < units.len()).then_some(0);
                era = 1;
                let (restore, save) = ends(!forward, behind, Some(0));
                Leg {
                    pass: 1,
                    times: times(unit),
                    again: false,
                    window,
                    restore,
                    save,
                }
            }
        };
        legs[era].push(leg);
    }
    Timetable {
        legs: legs.into(),
        unit,
        windows: schedule.windows,
        slots: vec![schedule.slots + 1, 1],
    }
}

impl Carry {
    /// Returns true if a leg places the value beside its steps: it computes it, or is the first to know its initial
    /// value.
    pub(crate) fn is_placed_by(&self, leg: &Leg) -> bool {
        self.defined == leg.pass || (self.pass == leg.pass && !leg.again)
    }
}
