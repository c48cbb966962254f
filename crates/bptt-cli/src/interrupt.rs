//! Handles Ctrl-C: the first requests a stop at the next safe point, the second exits at once. The end of the
//! terminal also requests a stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Handlers of SIGINT, SIGTERM and SIGHUP.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt {
    asked: Arc<AtomicBool>,
    saved: Arc<AtomicBool>,
    signal: Arc<AtomicUsize>,
}

impl Interrupt {
    /// Installs the handlers: from now on, the first signal only sets a flag.
    pub(crate) fn listen() -> Self {
        let (asked, saved) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let signal = Arc::<AtomicUsize>::default();
        let keep = |number, value| {
            flag::register_usize(
                number,
                Arc::clone(&signal),
                usize::try_from(value).unwrap_or(0),
            )
        };
        for (number, value) in [(SIGINT, 2), (SIGTERM, 15)] {
            // The order matters: the first handler exits if an earlier signal has set the flag. If the system
            // refuses a handler, the signal ends the process as before.
            let _ = flag::register_conditional_shutdown(number, 128 + value, Arc::clone(&asked))
                .and_then(|_| flag::register(number, Arc::clone(&asked)))
                .and_then(|_| keep(number, value));
        }
        #[cfg(unix)]
        if !hangup::is_ignored() {
            // A terminal that closes can send the signal twice, from the shell and from the system, and a
            // service manager sends it with SIGTERM; so none of these is the second Ctrl-C.
            use signal_hook::consts::SIGHUP;
            let _ = flag::register_conditional_shutdown(SIGHUP, 128 + 1, Arc::clone(&saved))
                .and_then(|_| keep(SIGHUP, 1));
        }
        Self {
            asked,
            saved,
            signal,
        }
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
        self.saved.store(true, Ordering::SeqCst);
    }
}

#[cfg(unix)]
mod hangup {
    use std::io::{IsTerminal, stderr, stdout};

    /// True if the process was started to survive its terminal, as by `nohup`; a handler would undo that.
    pub(super) fn is_ignored() -> bool {
        let status = std::fs::read_to_string("/proc/self/status");
        let ignored = status.ok().and_then(|status| in_status(&status));
        // Where the system does not tell: `nohup` leaves neither output at a terminal.
        ignored.unwrap_or_else(|| !stdout().is_terminal() && !stderr().is_terminal())
    }

    /// The first bit of the ignored signals in the file `status` of a process.
    fn in_status(status: &str) -> Option<bool> {
        let mut lines = status.lines();
        let mask = lines.find_map(|line| line.strip_prefix("SigIgn:"))?;
        let last = mask.trim().chars().next_back()?;
        Some(last.to_digit(16)? % 2 == 1)
    }

    #[cfg(test)]
    mod tests {
        use super::in_status;

        #[test]
        fn the_first_signal_is_the_lowest_bit() {
            for (status, ignored) in [
                (
                    "Name:\tbptt\nSigBlk:\t0000000000000001\nSigIgn:\t0000000000000001\n",
                    Some(true),
                ),
                (
                    "SigBlk:\t0000000000000001\nSigIgn:\t0000000000001000\n",
                    Some(false),
                ),
                ("SigIgn:\t000000000000100b\n", Some(true)),
                ("SigIgn:\t\n", None),
                ("Name:\tbptt\n", None),
            ] {
                assert_eq!(in_status(status), ignored, "{status}");
            }
        }
    }
}
