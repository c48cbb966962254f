//! What workers share: a barrier, and a way to cut work.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Real;
use super::driver::{Crew, Job};
use super::workspace::Worker;

/// A place where workers wait for each other. They spin, since they wait often and shortly.
#[derive(Debug, Default)]
pub(super) struct Barrier {
    arrived: AtomicUsize,
    round: AtomicUsize,
}

impl Barrier {
    /// Waits until `count` workers are here.
    pub(super) fn wait(&self, count: usize) {
        let round = self.round.load(Ordering::Acquire);
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == count {
            self.arrived.store(0, Ordering::Relaxed);
            self.round.store(round.wrapping_add(1), Ordering::Release);
            return;
        }
        let mut spins = 0u32;
        while self.round.load(Ordering::Acquire) == round {
            spins += 1;
            if spins < 10_000 {
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
    }
}

/// Runs a job with these workers, one thread each.
pub(super) fn run<F: Real>(job: &Job<'_, F>, workers: &mut [Worker<F>]) {
    let count = workers.len();
    let Some((first, others)) = workers.split_first_mut() else {
        return;
    };
    let crew = |own, index| Crew {
        job,
        own,
        index,
        count,
    };
    if others.is_empty() {
        return crew(first, 0).run();
    }
    std::thread::scope(|scope| {
        for (i, own) in others.iter_mut().enumerate() {
            let mut crew = crew(own, i + 1);
            scope.spawn(move || crew.run());
        }
        crew(first, 0).run();
    });
}

/// The part of `total` things that falls to one of `count` workers.
pub(super) fn share(total: usize, index: usize, count: usize) -> Range<usize> {
    total * index / count..total * (index + 1) / count
}
