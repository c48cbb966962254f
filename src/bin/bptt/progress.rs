//! What is shown while something takes longer than a second: on the standard error, where that is a
//! terminal, and nothing of it stays.

use std::io::{IsTerminal, stderr};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::report::Report;

/// So long, nobody wonders.
const PATIENCE: Duration = Duration::from_secs(1);

/// A bar for work in steps.
pub(crate) fn bar(report: &Report, steps: usize) -> ProgressBar {
    shown(report, steps, "  {wide_bar} {pos}/{len}  {msg}  {eta} left")
}

/// A sign that there is work under way.
pub(crate) fn busy(report: &Report, what: &'static str) -> ProgressBar {
    shown(report, 0, "  {spinner} {msg}  {elapsed}").with_message(what)
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

/// A gauge for work that reports the part that is done. Nothing shows unless the work will take longer
/// than [`LONG`]; then a terminal gets a bar, anything else a line with the estimate.
pub(crate) struct Gauge<'r> {
    report: &'r Report,
    what: &'static str,
    began: Instant,
    /// Set when the work is announced; the bar is for a terminal only.
    bar: OnceLock<Option<ProgressBar>>,
}

/// Work that takes longer is announced.
const LONG: Duration = Duration::from_secs(2);
/// An estimate needs some work to go by.
const FIRST_LOOK: Duration = Duration::from_millis(300);
/// The marks on the bar.
const MARKS: u16 = 1000;

impl<'r> Gauge<'r> {
    pub(crate) fn new(report: &'r Report, what: &'static str) -> Self {
        Self {
            report,
            what,
            began: Instant::now(),
            bar: OnceLock::new(),
        }
    }

    /// This part of the work is done, from 0 to 1.
    pub(crate) fn set(&self, part: f64) {
        let elapsed = self.began.elapsed();
        if self.bar.get().is_none() && elapsed >= FIRST_LOOK && part > 0.0 {
            let total = elapsed.as_secs_f64() / part;
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

    /// The work is done, or has failed.
    pub(crate) fn clear(&self) {
        if let Some(Some(bar)) = self.bar.get() {
            bar.finish_and_clear();
        }
    }
}

/// A time in seconds, minutes or hours, to one or two digits.
fn rounded(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{s:.0} seconds"),
        s if s < 5400.0 => format!("{:.0} minutes", s / 60.0),
        s => format!("{:.0} hours", s / 3600.0),
    }
}
