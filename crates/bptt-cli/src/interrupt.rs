//! Handles Ctrl-C: the first requests a stop at the next safe point, the second exits at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Handlers of SIGINT and SIGTERM.
#[derive(Debug)]
pub(crate) struct Interrupt {
    asked: Arc<AtomicBool>,
    signal: Arc<AtomicUsize>,
}

impl Interrupt {
    /// Installs the handlers: from now on, the first signal only sets a flag.
    pub(crate) fn listen() -> Self {
        let (asked, signal) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        for (number, value) in [(SIGINT, 2), (SIGTERM, 15)] {
            // The order matters: the first handler exits if an earlier signal has set the flag. If the system
            // refuses a handler, the signal ends the process as before.
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

    /// The exit code for the received signal, 128 plus its number.
    pub(crate) fn code(&self) -> Option<u8> {
        let signal = self.signal.load(Ordering::SeqCst);
        u8::try_from(signal)
            .ok()
            .filter(|s| *s > 0)
            .map(|s| 128 + s)
    }

    /// From now on, every signal exits at once.
    pub(crate) fn ignore_no_more(&self) {
        self.asked.store(true, Ordering::SeqCst);
    }
}
