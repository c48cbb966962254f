//! The memory limit: the memory of a large computation is estimated first, and the computation is
//! refused if it needs more than the limit.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::{Error, Result};

/// The limit in bytes set by the user; 0 if none is set.
static SET: AtomicUsize = AtomicUsize::new(0);

/// Requests of at most this many bytes are not compared with the free memory of the machine.
const SMALL: usize = 1 << 26;

/// The default limit, in bytes, if the free memory of the machine is not known.
const UNKNOWN: usize = 8 << 30;

/// The limit, in bytes, of the memory of one run, evaluation or file: the limit
/// [set](set_memory_limit) for the process, or else 80 % of the memory that is free now (on Linux,
/// the smaller of the free memory of the machine and of its control group; elsewhere, the limit is
/// 8 GiB).
///
/// Runs, evaluations, certificates and derivations are estimated before they begin, and are refused
/// with [`Error::OutOfMemory`] if they need more.
#[must_use]
pub fn memory_limit() -> usize {
    match SET.load(Ordering::Relaxed) {
        0 => available().map_or(UNKNOWN, |bytes| bytes / 5 * 4),
        limit => limit,
    }
}

/// Sets the limit, in bytes, of the memory of one run, evaluation or file, for the whole process.
/// `None` restores the default of [`memory_limit`]; `Some(0)` is a limit of one byte.
///
/// ```no_run
/// use bptt::{Batch, Error, Params, Recurrence};
/// let r = Recurrence::parse("r.rec", "input x\nstate s\ns' = s + x\nloss s'\n")?;
/// let batch = Batch::new(1000, 100).with("x", ndarray::Array2::<f64>::ones((1000, 100)));
/// bptt::set_memory_limit(Some(1 << 20));
/// let error = r.evaluate(&Params::new(), &batch).expect_err("it needs more than a mebibyte");
/// assert!(matches!(error, Error::OutOfMemory { limit, .. } if limit == 1 << 20));
/// bptt::set_memory_limit(None);
/// assert_eq!(r.evaluate(&Params::new(), &batch)?.loss()?, 50_050_000.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn set_memory_limit(bytes: Option<usize>) {
    SET.store(bytes.map_or(0, |b| b.max(1)), Ordering::Relaxed);
}

/// Returns an error if `bytes` exceeds the limit; `None` is a number that overflows `usize`.
///
/// # Errors
/// [`Error::OutOfMemory`].
pub(crate) fn check_memory(bytes: Option<usize>) -> Result<()> {
    let bytes = bytes.unwrap_or(usize::MAX);
    if bytes <= SMALL && SET.load(Ordering::Relaxed) == 0 {
        return Ok(());
    }
    match memory_limit() {
        limit if bytes <= limit => Ok(()),
        limit => Err(Error::OutOfMemory { bytes, limit }),
    }
}

/// The free memory in bytes, if the system reports it.
#[cfg(target_os = "linux")]
fn available() -> Option<usize> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let info = read("/proc/meminfo")?;
    let line = info.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    let machine = line.trim().strip_suffix(" kB")?.parse::<usize>().ok()? << 10;
    let number = |path: &str| read(path)?.trim().parse::<usize>().ok();
    let most = number("/sys/fs/cgroup/memory.max");
    let group = most.map(|most| {
        let used = number("/sys/fs/cgroup/memory.current").unwrap_or(0);
        // The system frees cached files when memory is needed, so they count as free.
        let stat = read("/sys/fs/cgroup/memory.stat").unwrap_or_default();
        let cached = stat.lines().find_map(|l| l.strip_prefix("inactive_file "));
        let cached = cached.and_then(|n| n.parse().ok()).unwrap_or(0);
        most.saturating_sub(used.saturating_sub(cached))
    });
    Some(group.map_or(machine, |group| group.min(machine)))
}

#[cfg(not(target_os = "linux"))]
const fn available() -> Option<usize> {
    None
}
