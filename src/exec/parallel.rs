//! Parallel execution: threads that wait for work, a barrier, and the division of work.

#![allow(
    unsafe_code,
    reason = "what a thread works on is borrowed for one task, which is longer than it works"
)]

use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{Builder, JoinHandle};

/// Spins, and after some time lets others run.
struct Patience {
    spins: u32,
}

impl Patience {
    fn wait(&mut self) {
        if let Some(rest) = self.spins.checked_sub(1) {
            self.spins = rest;
            std::hint::spin_loop();
        } else {
            std::thread::yield_now();
        }
    }
}

/// The number of spins of one of `count` workers before it yields. It is small if there are more
/// workers than processors, because the awaited worker may need this processor.
fn patience(count: usize) -> Patience {
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    let processors = *PROCESSORS.get_or_init(|| {
        let found = std::thread::available_parallelism();
        found.map_or(1, std::num::NonZero::get)
    });
    let spins = if count > processors { 10 } else { 10_000 };
    Patience { spins }
}

/// A barrier for workers. They spin, because waits are frequent and short.
#[derive(Debug, Default)]
pub(super) struct Barrier {
    arrived: AtomicUsize,
    round: AtomicUsize,
    /// True if a worker will not arrive any more.
    broken: AtomicBool,
}

/// The panic of a worker that waits for a worker that panicked.
struct Abandoned;

impl Barrier {
    /// Says that a worker will not come any more.
    pub(super) fn give_up(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }

    /// Waits until `count` workers are here.
    pub(super) fn wait(&self, count: usize) {
        let round = self.round.load(Ordering::Acquire);
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == count {
            self.arrived.store(0, Ordering::Relaxed);
            self.round.store(round.wrapping_add(1), Ordering::Release);
            return;
        }
        let mut patience = patience(count);
        while self.round.load(Ordering::Acquire) == round {
            if self.broken.load(Ordering::Relaxed) {
                resume_unwind(Box::new(Abandoned));
            }
            patience.wait();
        }
    }
}

/// Threads that wait for work. They end with their workspace.
#[derive(Debug, Default)]
pub(super) struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Signals a new task.
    changed: Condvar,
    /// The number of tasks so far; a thread runs each task once.
    tasks: AtomicUsize,
    /// The number of threads that still run the task.
    busy: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    task: Option<Task>,
    panic: Option<Box<dyn Any + Send>>,
    is_closing: bool,
}

/// A function of the index of the thread.
#[derive(Clone, Copy, Debug)]
struct Task(*const (dyn Fn(usize) + Sync));

// SAFETY: any thread may call the function, and it lives until all calls have ended.
unsafe impl Send for Task {}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The loop of the thread `index`; tasks up to number `seen` are not its own.
    fn serve(&self, index: usize, mut seen: usize) {
        loop {
            for _ in 0..2_000 {
                if self.tasks.load(Ordering::Acquire) != seen {
                    break;
                }
                std::hint::spin_loop();
            }
            let mut state = self.lock();
            while self.tasks.load(Ordering::Acquire) == seen && !state.is_closing {
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            let Some(task) = state.task.filter(|_| !state.is_closing) else {
                return;
            };
            drop(state);
            seen = self.tasks.load(Ordering::Acquire);
            // SAFETY: the task lives until no thread is busy.
            let end = catch_unwind(AssertUnwindSafe(|| unsafe { (*task.0)(index) }));
            if let Err(panic) = end
                && !panic.is::<Abandoned>()
            {
                self.lock().panic.get_or_insert(panic);
            }
            self.busy.fetch_sub(1, Ordering::Release);
        }
    }
}

impl Pool {
    /// Starts threads until there are `count`, or the system refuses; returns their number.
    pub(super) fn grow(&mut self, count: usize) -> usize {
        while self.threads.len() < count {
            let (shared, index) = (Arc::clone(&self.shared), self.threads.len() + 1);
            let seen = shared.tasks.load(Ordering::Acquire);
            let Ok(thread) = Builder::new().spawn(move || shared.serve(index, seen)) else {
                break;
            };
            self.threads.push(thread);
        }
        self.threads.len()
    }

    /// Calls `task` with 0 here, and with 1, 2, … on the threads, all at the same time; returns when
    /// all have. A panic of any of them goes on here.
    pub(super) fn run(&mut self, task: &(dyn Fn(usize) + Sync)) {
        // SAFETY: only the lifetime changes, and nobody calls it once this has returned.
        let forever = unsafe {
            std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static (dyn Fn(usize) + Sync)>(task)
        };
        let shared = &*self.shared;
        let mut state = shared.lock();
        state.task = Some(Task(forever));
        shared.busy.store(self.threads.len(), Ordering::Relaxed);
        shared.tasks.fetch_add(1, Ordering::Release);
        drop(state);
        shared.changed.notify_all();
        let own = catch_unwind(AssertUnwindSafe(|| task(0)));
        let mut patience = patience(self.threads.len() + 1);
        while shared.busy.load(Ordering::Acquire) > 0 {
            patience.wait();
        }
        let panic = shared.lock().panic.take();
        if let Some(panic) = panic.or(own.err()) {
            resume_unwind(panic);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().is_closing = true;
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // Panics were caught, so the result of the thread is irrelevant.
            drop(thread.join());
        }
    }
}

/// The part of `total` things that falls to one of `count` workers.
pub(super) fn share(total: usize, index: usize, count: usize) -> Range<usize> {
    total * index / count..total * (index + 1) / count
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls a task with every index below `count`, with a barrier in the middle.
    fn meet(pool: &mut Pool, count: usize, before: &(dyn Fn(usize) + Sync)) -> usize {
        let (barrier, met) = (Barrier::default(), AtomicUsize::new(0));
        pool.run(&|index| {
            let end = catch_unwind(AssertUnwindSafe(|| {
                before(index);
                barrier.wait(count);
                met.fetch_add(1, Ordering::Relaxed);
            }));
            if let Err(panic) = end {
                barrier.give_up();
                resume_unwind(panic);
            }
        });
        met.into_inner()
    }

    #[test]
    fn threads_run_one_task_after_the_other() {
        let mut pool = Pool::default();
        for others in [1, 3] {
            assert_eq!(pool.grow(others), others);
            for _ in 0..if cfg!(miri) { 10 } else { 100 } {
                assert_eq!(meet(&mut pool, others + 1, &|_| {}), others + 1);
            }
        }
        assert_eq!(pool.grow(2), 3, "threads are not ended before their time");
    }

    #[test]
    fn a_panic_of_any_worker_reaches_the_caller_and_nobody_waits_for_it() {
        let mut pool = Pool::default();
        pool.grow(3);
        for bad in 0..4 {
            let panics = |index: usize| {
                if index == bad {
                    resume_unwind(Box::new(bad));
                }
            };
            let end = catch_unwind(AssertUnwindSafe(|| meet(&mut pool, 4, &panics)));
            let panic = end.expect_err("it goes on");
            assert_eq!(panic.downcast_ref(), Some(&bad));
            assert_eq!(meet(&mut pool, 4, &|_| {}), 4, "they still work");
        }
    }
}
