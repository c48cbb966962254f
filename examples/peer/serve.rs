//! The protocol: one line in, one line out.

use std::time::Instant;

use serde_json::{Value, json};

use crate::case::{Case, Precision, Timing};
use crate::problem::{Problem, prepare};
use crate::timing::{measure, median};

/// A case with a median time above this, in nanoseconds, is not warmed up when it is repeated.
const SLOW: u128 = 200_000_000;

/// Answers one line at a time, and keeps the last case prepared.
pub(crate) struct Server {
    by_hand: bool,
    ready: Option<Ready>,
}

struct Ready {
    case: Case,
    problem: Box<dyn Problem>,
    setup_seconds: f64,
    last_median: u128,
}

impl Server {
    pub(crate) const fn new(by_hand: bool) -> Self {
        Self {
            by_hand,
            ready: None,
        }
    }

    pub(crate) fn answer(&mut self, line: &str) -> Value {
        let message: Value = match serde_json::from_str(line) {
            Ok(message) => message,
            Err(error) => return json!({ "id": null, "unsupported": format!("no JSON: {error}") }),
        };
        let mut answer = if message["cmd"] == "drop" {
            self.ready = None;
            json!({ "ok": true })
        } else {
            let found = Case::read(&message).and_then(|(case, timing)| self.time(case, timing));
            found.unwrap_or_else(|reason| json!({ "unsupported": reason }))
        };
        answer["id"] = message["id"].clone();
        answer
    }

    fn time(&mut self, case: Case, timing: Timing) -> Result<Value, String> {
        let ready = match self.ready.take().filter(|ready| ready.case == case) {
            Some(ready) => ready,
            None => self.prepare(case, timing)?,
        };
        let ready = self.ready.insert(ready);
        let warm = timing.warm && ready.last_median < SLOW;
        let run = || ready.problem.run_once();
        let times = measure(run, timing.min_seconds, warm).map_err(|e| e.to_string())?;
        ready.last_median = median(&times);
        let checksum = match timing.checksum {
            true => ready.problem.checksum(),
            false => json!({}),
        };
        Ok(json!({
            "median_ns": u64::try_from(ready.last_median).unwrap_or(u64::MAX),
            "min_ns": u64::try_from(times[0]).unwrap_or(u64::MAX),
            "runs": times.len(),
            "setup_s": ready.setup_seconds,
            "checksum": checksum,
        }))
    }

    fn prepare(&self, case: Case, timing: Timing) -> Result<Ready, String> {
        let start = Instant::now();
        let mut problem = match case.precision {
            Precision::F32 => prepare::<f32>(&case, self.by_hand)?,
            Precision::F64 => prepare::<f64>(&case, self.by_hand)?,
        };
        if timing.warm {
            problem.run_once().map_err(|e| e.to_string())?;
        }
        Ok(Ready {
            case,
            problem,
            setup_seconds: start.elapsed().as_secs_f64(),
            last_median: 0,
        })
    }
}
