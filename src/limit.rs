//! How much memory may be used: what needs much is estimated first and refused when it is too much.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::{Error, Result};

/// The limit that was set; 0 when none was.
static SET: AtomicUsize = AtomicUsize::new(0);

/// Less than this is not compared with the memory that the machine has left.
const SMALL: usize = 1 << 26;

/// The limit where the system does not say how much memory it has left.
const UNKNOWN: usize = 8 << 30;

/// The most bytes that one run, evaluation or file may take: the limit that was
/// [set](set_memory_limit), or 80 % of the memory that the machine has left now (on Linux, also of
/// that of the control group; elsewhere 8 GiB).
///
/// Runs, evaluations, certificates and derivations are estimated before they begin, and are refused
/// with [`Error::OutOfMemory`] when they need more.
#[must_use]
pub fn memory_limit() -> usize {
    match SET.load(Ordering::Relaxed) {
        0 => available().map_or(UNKNOWN, |bytes| bytes / 5 * 4),
        limit => limit,
    }
}

/// Sets the most bytes that one run, evaluation or file may take, for the whole process; `None` goes
/// back to the default.
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

/// Refuses what needs more bytes than may be used; `None` is more than can be counted.
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

/// The bytes of memory that the machine has left, as far as the system says.
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
        // Cached files are given up when memory is needed.
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
