//! What is shown while something takes longer than a second: on the standard error, where that is a
//! terminal, and nothing of it stays.

use std::time::Duration;

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
