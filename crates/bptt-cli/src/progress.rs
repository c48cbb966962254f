//! Progress of work that takes long: a bar on the standard error if it is a terminal, cleared afterwards; elsewhere
//! a line at the times [`LONG`], twice that, four times that, and so on.

use std::io::{IsTerminal, stderr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::report::{Report, digits, note};

/// The interval between updates; work shorter than this shows no progress.
const PATIENCE: Duration = Duration::from_secs(1);
/// The time of the first line about work without steps, and the estimated time above which work is announced.
const LONG: Duration = Duration::from_secs(2);
/// The time of the first line about a fit.
const LONG_FIT: Duration = Duration::from_secs(5);
/// The time before the first estimate.
const FIRST_LOOK: Duration = Duration::from_millis(300);
/// The completed part that an early estimate needs.
const LEAST: f64 = 0.02;
/// The completed part beyond which work may go on that is not measured.
const MEASURED: f64 = 0.99;
/// The resolution of the bar.
const MARKS: u16 = 1000;

/// Work of unknown length: a spinner on a terminal.
pub(crate) struct Busy {
    spinner: ProgressBar,
    _lines: Option<Lines>,
}

/// Begins work of unknown length; [`Busy::clear`] ends it. The line is "`what` takes more than 2 seconds".
pub(crate) fn busy(report: &Report, what: &'static str) -> Busy {
    let line = move |after| Some(format!("{what} takes more than {}", rounded(after)));
    Busy {
        spinner: shown(report, 0, "  {spinner} {msg}  {elapsed}").with_message(what),
        _lines: (!stderr().is_terminal())
            .then(|| Lines::begin(report, LONG, line))
            .flatten(),
    }
}

impl Busy {
    pub(crate) fn clear(self) {
        self.spinner.finish_and_clear();
    }
}

/// A fit: a bar on a terminal, elsewhere lines with its steps and its loss.
pub(crate) struct Steps {
    bar: ProgressBar,
    /// The steps taken, and the last loss.
    taken: Arc<Mutex<(usize, f64)>>,
    _lines: Option<Lines>,
}

impl Steps {
    /// Begins a fit of `most` steps, of which the first `taken` are taken. A fit that `ends_early` may take fewer,
    /// so that the remaining time is not known.
    pub(crate) fn new(report: &Report, taken: usize, most: usize, ends_early: bool) -> Self {
        let bar = shown(report, most, "  {wide_bar} {pos}/{len}  {msg}  {eta} left");
        bar.set_position(taken as u64);
        let state = Arc::new(Mutex::new((taken, f64::NAN)));
        let here = Arc::clone(&state);
        let line = move |after| {
            let (now, loss) = *locked(&here);
            Some(step_line((taken, now, most), loss, after, ends_early))
        };
        let lines = (!is_drawn(report)).then(|| Lines::begin(report, LONG_FIT, line));
        Self {
            bar,
            taken: state,
            _lines: lines.flatten(),
        }
    }

    /// Another step is taken, which has found this loss.
    pub(crate) fn step(&self, taken: usize, loss: f64) {
        *locked(&self.taken) = (taken, loss);
        self.bar.set_message(format!("loss {}", digits(loss)));
        self.bar.inc(1);
    }

    pub(crate) fn clear(self) {
        self.bar.finish_and_clear();
    }
}

/// The line about a fit: its steps at the beginning, now and at the end, its loss and its time.
fn step_line(
    (first, now, most): (usize, usize, usize),
    loss: f64,
    after: Duration,
    ends_early: bool,
) -> String {
    if now <= first {
        return format!(
            "step {} of {most} takes more than {}",
            now + 1,
            rounded(after)
        );
    }
    let each = after.as_secs_f64() / (now - first) as f64;
    let left = Duration::try_from_secs_f64(each * most.saturating_sub(now) as f64);
    let left = match left {
        Ok(left) if !ends_early && now < most => format!(", about {} left", rounded(left)),
        _ => String::new(),
    };
    let of = if ends_early { "at most " } else { "" };
    format!(
        "step {now} of {of}{most} after {}, loss {}{left}",
        rounded(after),
        digits(loss)
    )
}

/// Lines on the standard error, each after twice the time of the one before, until this is dropped.
struct Lines(#[expect(dead_code, reason = "its end is the message")] Sender<()>);

impl Lines {
    /// Begins to wait for the first line; a quiet report has none.
    fn begin(
        report: &Report,
        first: Duration,
        line: impl Fn(Duration) -> Option<String> + Send + 'static,
    ) -> Option<Self> {
        let began = Instant::now();
        (!report.is_quiet()).then(|| {
            let (sender, receiver) = channel();
            thread::spawn(move || {
                let mut at = first;
                while receiver.recv_timeout(at.saturating_sub(began.elapsed()))
                    == Err(RecvTimeoutError::Timeout)
                {
                    line(at).iter().for_each(|text| note(text));
                    at = at.saturating_mul(2);
                }
            });
            Self(sender)
        })
    }
}

/// True if progress is drawn on a terminal.
fn is_drawn(report: &Report) -> bool {
    report.is_text() && stderr().is_terminal()
}

/// A value that no thread leaves half changed.
fn locked<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
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
/// [`LONG`]; else a bar on a terminal, or lines with the estimate elsewhere.
pub(crate) struct Gauge<'r> {
    report: &'r Report,
    what: &'static str,
    state: Arc<Measured>,
    /// Set when the work is announced; `Some` bar on a terminal only.
    bar: OnceLock<Option<ProgressBar>>,
    _lines: Option<Lines>,
}

/// The measured progress of work.
struct Measured {
    began: Instant,
    /// The time and the completed part of the first call, before which the work was prepared.
    first: OnceLock<(Duration, f64)>,
    /// The completed part of the last call.
    last: Mutex<f64>,
    /// True if the work is announced.
    announced: AtomicBool,
}

impl Measured {
    /// The estimated time left, at a time after the beginning.
    fn left(&self, after: Duration) -> Option<f64> {
        let (prepared, done) = *self.first.get()?;
        let part = *locked(&self.last);
        let rate = (part - done) / after.checked_sub(prepared)?.as_secs_f64();
        (rate > 0.0 && part < MEASURED).then(|| (1.0 - part) / rate)
    }

    /// The line about work that takes long.
    fn line(&self, what: &str, after: Duration) -> String {
        let time = rounded(after);
        let left = self.left(after).map(Duration::try_from_secs_f64);
        match (self.announced.load(Ordering::Relaxed), left) {
            (true, Some(Ok(left))) => format!(
                "{what}: {:.0} % after {time}, about {} left",
                100.0 * *locked(&self.last),
                rounded(left)
            ),
            _ => format!("{what} takes more than {time}"),
        }
    }
}

impl<'r> Gauge<'r> {
    /// Begins the work. If nothing has measured it after [`LONG`], a note says that it takes longer.
    pub(crate) fn new(report: &'r Report, what: &'static str) -> Self {
        let state = Arc::new(Measured {
            began: Instant::now(),
            first: OnceLock::new(),
            last: Mutex::new(0.0),
            announced: AtomicBool::new(false),
        });
        let (here, is_drawn) = (Arc::clone(&state), is_drawn(report));
        let line = move |after| {
            // The announcement is the first line, and on a terminal a bar the others.
            let is_told = here.announced.load(Ordering::Relaxed);
            let is_needed = match after > LONG {
                true => !is_drawn,
                false => !is_told,
            };
            is_needed.then(|| here.line(what, after))
        };
        Self {
            state,
            _lines: Lines::begin(report, LONG, line),
            report,
            what,
            bar: OnceLock::new(),
        }
    }

    /// Sets the completed part of the work, from 0 to 1.
    pub(crate) fn set(&self, part: f64) {
        let elapsed = self.state.began.elapsed();
        let (_, done) = *self.state.first.get_or_init(|| (elapsed, part));
        *locked(&self.state.last) = part;
        // A small part is no measure of the whole.
        let is_known = elapsed >= FIRST_LOOK && part - done >= LEAST || elapsed >= LONG;
        if self.bar.get().is_none()
            && is_known
            && let Some(left) = self.state.left(elapsed)
        {
            let total = elapsed.as_secs_f64() + left;
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
        self.state.announced.store(true, Ordering::Relaxed);
        if is_drawn(self.report) {
            let bar = shown(
                self.report,
                usize::from(MARKS),
                "  {wide_bar} {msg}  {eta} left",
            );
            let bar = bar.with_message(self.what);
            Some(bar.with_elapsed(self.state.began.elapsed()))
        } else {
            if let Ok(total) = Duration::try_from_secs_f64(total) {
                let what = self.what;
                self.report
                    .note(&format!("{what} takes about {}", rounded(total)));
            }
            None
        }
    }

    /// Clears the bar when the work has ended.
    pub(crate) fn clear(self) {
        if let Some(Some(bar)) = self.bar.get() {
            bar.finish_and_clear();
        }
    }
}

/// A time in seconds, minutes or hours, as a whole number.
fn rounded(time: Duration) -> String {
    match time.as_secs_f64() {
        s if s < 1.5 => "1 second".into(),
        s if s < 90.0 => format!("{s:.0} seconds"),
        s if s < 5400.0 => format!("{:.0} minutes", s / 60.0),
        s => format!("{:.0} hours", s / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn a_line_about_a_fit_has_its_steps_and_the_time_left() {
        for (steps, ends_early, line) in [
            ((0, 0, 9), false, "step 1 of 9 takes more than 10 seconds"),
            ((4, 4, 9), true, "step 5 of 9 takes more than 10 seconds"),
            (
                (0, 3, 9),
                false,
                "step 3 of 9 after 10 seconds, loss 0.5000000, about 20 seconds left",
            ),
            (
                (2, 3, 9),
                false,
                "step 3 of 9 after 10 seconds, loss 0.5000000, about 60 seconds left",
            ),
            (
                (8, 9, 9),
                false,
                "step 9 of 9 after 10 seconds, loss 0.5000000",
            ),
            (
                (0, 3, 9),
                true,
                "step 3 of at most 9 after 10 seconds, loss 0.5000000",
            ),
            (
                (0, 1, usize::MAX),
                true,
                "step 1 of at most 18446744073709551615 after 10 seconds, loss 0.5000000",
            ),
        ] {
            assert_eq!(step_line(steps, 0.5, seconds(10), ends_early), line);
        }
    }

    #[test]
    fn a_line_about_measured_work_has_its_part() {
        let state = Measured {
            began: Instant::now(),
            first: OnceLock::new(),
            last: Mutex::new(0.0),
            announced: AtomicBool::new(false),
        };
        assert_eq!(
            state.line("work", seconds(2)),
            "work takes more than 2 seconds"
        );
        state.first.set((seconds(1), 0.0)).unwrap();
        *locked(&state.last) = 0.25;
        assert_eq!(
            state.line("work", seconds(2)),
            "work takes more than 2 seconds"
        );
        state.announced.store(true, Ordering::Relaxed);
        assert_eq!(
            state.line("work", seconds(61)),
            "work: 25 % after 61 seconds, about 3 minutes left"
        );
        *locked(&state.last) = 1.0;
        assert_eq!(
            state.line("work", seconds(120)),
            "work takes more than 2 minutes"
        );
    }
}
