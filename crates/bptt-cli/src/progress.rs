//! Progress of work that takes longer than a second, shown on the standard error if it is a terminal, and
//! cleared afterwards.

use std::io::{IsTerminal, stderr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::report::{Report, note};

/// The interval between updates; work shorter than this shows no progress.
const PATIENCE: Duration = Duration::from_secs(1);

/// A progress bar for work in steps.
pub(crate) fn bar(report: &Report, steps: usize) -> ProgressBar {
    shown(report, steps, "  {wide_bar} {pos}/{len}  {msg}  {eta} left")
}

/// Work of unknown length: a spinner on a terminal, elsewhere a note if it takes long.
pub(crate) struct Busy(ProgressBar, Option<Sender<()>>);

/// Begins work of unknown length; [`Busy::clear`] ends it.
pub(crate) fn busy(report: &Report, what: &'static str) -> Busy {
    let spinner = shown(report, 0, "  {spinner} {msg}  {elapsed}").with_message(what);
    let note = !stderr().is_terminal();
    Busy(spinner, note.then(|| wait(report, what, None)).flatten())
}

impl Busy {
    pub(crate) fn clear(self) {
        drop(self.1);
        self.0.finish_and_clear();
    }
}

/// Notes that the work takes longer than [`LONG`], unless it was announced or the returned end of the channel was
/// dropped before.
fn wait(
    report: &Report,
    what: &'static str,
    announced: Option<Arc<AtomicBool>>,
) -> Option<Sender<()>> {
    (!report.is_quiet()).then(|| {
        let (sender, receiver) = channel();
        thread::spawn(move || {
            let is_over = receiver.recv_timeout(LONG) != Err(RecvTimeoutError::Timeout);
            if !is_over && !announced.is_some_and(|a| a.load(Ordering::Relaxed)) {
                note(&format!(
                    "{what} takes more than {} seconds",
                    LONG.as_secs()
                ));
            }
        });
        sender
    })
}

fn shown(report: &Report, steps: usize, template: &str) -> ProgressBar {
    if !report.is_text() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(template);
    let bar = ProgressBar::new(steps as u64)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_finish(indicatif::ProgressFinish::AndClear);
    bar.enable_steady_tick(PATIENCE);
    bar
}

/// A gauge for work that reports its completed part. Nothing is shown if the estimated time is at most
/// [`LONG`]; else a bar on a terminal, or one line with the estimate elsewhere.
pub(crate) struct Gauge<'r> {
    report: &'r Report,
    what: &'static str,
    began: Instant,
    /// The time and the completed part of the first call, before which the work was prepared.
    first: OnceLock<(Duration, f64)>,
    /// Set when the work is announced; `Some` bar on a terminal only.
    bar: OnceLock<Option<ProgressBar>>,
    /// True if the work is announced.
    announced: Arc<AtomicBool>,
    /// Ends the wait for an announcement when it is dropped.
    _wait: Option<Sender<()>>,
}

/// The estimated time above which work is announced.
const LONG: Duration = Duration::from_secs(2);
/// The time before the first estimate.
const FIRST_LOOK: Duration = Duration::from_millis(300);
/// The completed part that an early estimate needs.
const LEAST: f64 = 0.02;
/// The resolution of the bar.
const MARKS: u16 = 1000;

impl<'r> Gauge<'r> {
    /// Begins the work. If nothing has measured it after [`LONG`], a note says that it takes longer.
    pub(crate) fn new(report: &'r Report, what: &'static str) -> Self {
        let announced = Arc::new(AtomicBool::new(false));
        let wait = wait(report, what, Some(Arc::clone(&announced)));
        Self {
            announced,
            _wait: wait,
            report,
            what,
            began: Instant::now(),
            first: OnceLock::new(),
            bar: OnceLock::new(),
        }
    }

    /// Sets the completed part of the work, from 0 to 1.
    pub(crate) fn set(&self, part: f64) {
        let elapsed = self.began.elapsed();
        let (prepared, done) = *self.first.get_or_init(|| (elapsed, part));
        // A small part is no measure of the whole.
        let is_known = elapsed >= FIRST_LOOK && part - done >= LEAST || elapsed >= LONG;
        if self.bar.get().is_none() && is_known && part > done {
            let rate = (part - done) / (elapsed - prepared).as_secs_f64();
            let total = elapsed.as_secs_f64() + (1.0 - part) / rate;
            if total > LONG.as_secs_f64() {
                self.bar.get_or_init(|| self.announce(total));
            }
        }
        if let Some(Some(bar)) = self.bar.get() {
            let reached = (0..=MARKS)
                .rev()
                .find(|m| f64::from(*m) <= f64::from(MARKS) * part);
            bar.set_position(reached.unwrap_or(0).into());
        }
    }

    fn announce(&self, total: f64) -> Option<ProgressBar> {
        self.announced.store(true, Ordering::Relaxed);
        if self.report.is_text() && stderr().is_terminal() {
            let bar = shown(
                self.report,
                usize::from(MARKS),
                "  {wide_bar} {msg}  {eta} left",
            );
            let bar = bar.with_message(self.what);
            Some(bar.with_elapsed(self.began.elapsed()))
        } else {
            let what = self.what;
            self.report
                .note(&format!("{what} takes about {}", rounded(total)));
            None
        }
    }

    /// Clears the bar when the work has ended.
    pub(crate) fn clear(&self) {
        if let Some(Some(bar)) = self.bar.get() {
            bar.finish_and_clear();
        }
    }
}

/// A time in seconds, minutes or hours, as a whole number.
fn rounded(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{s:.0} seconds"),
        s if s < 5400.0 => format!("{:.0} minutes", s / 60.0),
        s => format!("{:.0} hours", s / 3600.0),
    }
}
