//! Ctrl-C during long work: the first asks for an end at the next good moment, the second ends at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Listens for Ctrl-C, and for the signal by which a system ends a process.
#[derive(Debug)]
pub(crate) struct Interrupt {
    asked: Arc<AtomicBool>,
    signal: Arc<AtomicUsize>,
}

impl Interrupt {
    /// From here on, the first signal is only remembered.
    pub(crate) fn listen() -> Self {
        let (asked, signal) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        for (number, value) in [(SIGINT, 2), (SIGTERM, 15)] {
            // In this order: a signal ends the process if another one came before. If the system
            // refuses, a signal ends the process as it did.
            let _ = flag::register_conditional_shutdown(number, 128 + value, Arc::clone(&asked))
                .and_then(|_| flag::register(number, Arc::clone(&asked)))
                .and_then(|_| {
                    flag::register_usize(
                        number,
                        Arc::clone(&signal),
                        usize::try_from(value).unwrap_or(0),
                    )
                });
        }
        Self { asked, signal }
    }

    /// The exit code of the signal that was sent, by the convention of shells.
    pub(crate) fn code(&self) -> Option<u8> {
        let signal = self.signal.load(Ordering::SeqCst);
        u8::try_from(signal)
            .ok()
            .filter(|s| *s > 0)
            .map(|s| 128 + s)
    }

    /// From here on, every signal ends the process at once.
    pub(crate) fn ignore_no_more(&self) {
        self.asked.store(true, Ordering::SeqCst);
    }
}
