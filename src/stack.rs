//! Room on the stack for recursion that follows a user's expressions.

use std::panic::resume_unwind;
use std::sync::{Mutex, PoisonError};
use std::thread::{Builder, scope};

/// The stack of a thread that follows expressions, in bytes; the system provides a page when it is first used.
const ROOM: usize = 256 << 20;

/// Runs `work` on a thread with a large stack, whatever the stack of the caller; on the caller's own where there are
/// no threads.
pub(crate) fn with_room<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    let work = Mutex::new(Some(work));
    let run = || {
        let work = work.lock().unwrap_or_else(PoisonError::into_inner).take();
        work.map(|work| work())
    };
    let done = scope(|scope| {
        let thread = Builder::new().stack_size(ROOM).spawn_scoped(scope, run);
        thread
            .ok()
            .map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    });
    match done.flatten().or_else(run) {
        Some(result) => result,
        None => unreachable!("the work is done once"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depth(n: usize) -> usize {
        let pad = [n; 64];
        if n == 0 {
            0
        } else {
            1 + depth(std::hint::black_box(pad)[0] - 1)
        }
    }

    #[test]
    fn deep_recursion_has_room_on_a_small_stack() {
        let small = Builder::new().stack_size(64 << 10);
        let found = small.spawn(|| with_room(|| depth(100_000)));
        assert_eq!(
            found.expect("a thread").join().expect("no overflow"),
            100_000
        );
    }

    #[test]
    #[should_panic(expected = "as it was")]
    fn a_panic_continues_in_the_caller() {
        with_room(|| panic!("as it was"));
    }
}
