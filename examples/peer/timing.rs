//! The timing loop, the same for every competitor.

use std::time::{Duration, Instant};

/// The most time for one answer.
const LONGEST: Duration = Duration::from_secs(30);
/// The time after which warming up stops.
const WARM: Duration = Duration::from_millis(500);
/// The least number of runs, unless they are slow.
const RUNS: usize = 5;
const MOST_RUNS: usize = 200_000;

/// Runs `run` at most twice untimed if `warm` is set, then for at least `min_seconds`; returns the times of all
/// timed runs in nanoseconds, sorted.
pub(crate) fn measure<E>(
    mut run: impl FnMut() -> Result<(), E>,
    min_seconds: f64,
    warm: bool,
) -> Result<Vec<u128>, E> {
    let start = Instant::now();
    for _ in 0..if warm { 2 } else { 0 } {
        run()?;
        if start.elapsed() > WARM {
            break;
        }
    }
    let enough = Duration::try_from_secs_f64(min_seconds).unwrap_or(LONGEST);
    let (mut times, mut total) = (Vec::new(), Duration::ZERO);
    loop {
        let start = Instant::now();
        run()?;
        let time = start.elapsed();
        times.push(time.as_nanos());
        total += time;
        let sure = times.len() >= RUNS || total >= Duration::from_secs(1) || enough.is_zero();
        if (total >= enough && sure) || total >= LONGEST || times.len() >= MOST_RUNS {
            break;
        }
    }
    times.sort_unstable();
    Ok(times)
}

/// The median of sorted times.
pub(crate) fn median(times: &[u128]) -> u128 {
    let middle = times.len() / 2;
    if times.len() % 2 == 1 {
        times[middle]
    } else {
        (times[middle - 1] + times[middle]) / 2
    }
}
