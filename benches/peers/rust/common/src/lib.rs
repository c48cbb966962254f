//! Data, checksums, timing loop and protocol shared by the Rust competitors.

pub mod laws;

use std::io::{BufRead, Write};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// One gradient: `t` steps, `b` samples, inputs `[k]`, states `[h]`.
#[derive(Clone, Debug)]
pub struct Case {
    pub cell: String,
    pub t: usize,
    pub b: usize,
    pub k: usize,
    pub h: usize,
    pub f64: bool,
}

impl Case {
    fn read(message: &Value) -> Option<Self> {
        let size = |name| usize::try_from(message[name].as_u64()?).ok();
        Some(Self {
            cell: message["cell"].as_str()?.into(),
            t: size("T")?,
            b: size("B")?,
            k: size("K")?,
            h: size("H")?,
            f64: message["dtype"] == "f64",
        })
    }
}

/// Number `index` of a stream, in [-1, 1) and exact in f32.
fn raw(seed: u32, index: usize) -> f64 {
    let mut x = (index as u32)
        .wrapping_mul(0x9E37_79B1)
        .wrapping_add(seed.wrapping_mul(0x85EB_CA77));
    x ^= x >> 16;
    x = x.wrapping_mul(0x7FEB_352D);
    x ^= x >> 15;
    x = x.wrapping_mul(0x846C_A68B);
    x ^= x >> 16;
    f64::from(x >> 8) * 0.5f64.powi(23) - 1.0
}

/// The data of a built-in cell, with gate blocks stacked, in `f64`; types of less precision round it once.
pub struct Problem {
    pub gates: usize,
    pub w_x: Vec<f64>,
    pub w_h: Vec<f64>,
    pub b: Vec<f64>,
    /// The second bias, zero except for the GRU.
    pub b_h: Vec<f64>,
    /// `[T, B, K]` and `[T, B, H]`.
    pub x: Vec<f64>,
    pub w_loss: Vec<f64>,
}

impl Problem {
    pub fn new(case: &Case) -> Result<Self, String> {
        let gates = match &*case.cell {
            "rnn_tanh" => 1,
            "lstm" => 4,
            "gru_reset_after" => 3,
            _ => return Err("no built-in cell".into()),
        };
        let Case { t, b, k, h, .. } = *case;
        let stream = |seed, n: usize, scale: f64| -> Vec<f64> {
            (0..n).map(|i| raw(seed, i) * scale).collect()
        };
        let root = |n: usize| 1.0 / (n as f64).sqrt();
        let second = if gates == 3 { 0.1 } else { 0.0 };
        Ok(Self {
            gates,
            w_x: stream(2, gates * h * k, root(k)),
            w_h: stream(3, gates * h * h, root(h)),
            b: stream(4, gates * h, 0.1),
            b_h: stream(5, gates * h, second),
            x: stream(1, t * b * k, 1.0),
            w_loss: stream(6, t * b * h, root(t * b * h)),
        })
    }
}

/// `[T, B, D]` as `[B, T, D]`.
pub fn batch_first(v: &[f64], t: usize, b: usize, d: usize) -> Vec<f64> {
    let rows = (0..b).flat_map(|j| (0..t).map(move |i| i * b + j));
    rows.flat_map(|row| v[row * d..][..d].iter().copied())
        .collect()
}

/// Loss and gradients in the layout of [`Problem`]; `b_h` is empty except for the GRU.
#[derive(Default)]
pub struct Found {
    pub loss: f64,
    pub w_x: Vec<f64>,
    pub w_h: Vec<f64>,
    pub b: Vec<f64>,
    pub b_h: Vec<f64>,
}

impl Found {
    fn checksum(&self) -> Value {
        let norm = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
        let dot =
            |v: &[f64], seed| -> f64 { v.iter().enumerate().map(|(i, x)| x * raw(seed, i)).sum() };
        let mut sums = json!({
            "loss": self.loss, "db_norm": norm(&self.b),
            "dW_H_norm": norm(&self.w_h), "dW_H_dot": dot(&self.w_h, 101),
            "dW_X_norm": norm(&self.w_x), "dW_X_dot": dot(&self.w_x, 102),
        });
        if !self.b_h.is_empty() {
            sums["dextra_norm"] = json!(norm(&self.b_h));
        }
        sums
    }
}

/// A prepared case.
pub trait Peer {
    /// Computes loss and gradients; this call is timed.
    fn run(&mut self);
    /// The results of the last run.
    fn found(&self) -> Found;
}

struct Ready {
    key: String,
    peer: Box<dyn Peer>,
    setup: f64,
    last: u128,
}

/// Answers cases read from standard input.
pub fn serve(build: impl Fn(&Case) -> Result<Box<dyn Peer>, String>) {
    let say = |answer: Value| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{answer}")
            .and_then(|()| out.flush())
            .expect("the driver listens");
    };
    say(json!({ "ready": true }));
    let mut ready: Option<Ready> = None;
    for line in std::io::stdin().lock().lines() {
        let message: Value = line
            .ok()
            .and_then(|l| serde_json::from_str(&l).ok())
            .unwrap_or_default();
        let mut answer = if message["cmd"] == "drop" {
            ready = None;
            json!({ "ok": true })
        } else {
            answer(&message, &mut ready, &build).unwrap_or_else(|e| json!({ "unsupported": e }))
        };
        answer["id"] = message["id"].clone();
        say(answer);
    }
}

fn answer(
    message: &Value,
    ready: &mut Option<Ready>,
    build: &impl Fn(&Case) -> Result<Box<dyn Peer>, String>,
) -> Result<Value, String> {
    let case = Case::read(message).ok_or("no case")?;
    if message["what"] != "gradient" {
        return Err("only gradients".into());
    }
    let flag = |name| message[name].as_bool().unwrap_or(false);
    let key = format!("{case:?}");
    let warm = !flag("no_warm");
    let mut now = match ready.take().filter(|r| r.key == key) {
        Some(ready) => ready,
        None => {
            let start = Instant::now();
            let mut peer = build(&case)?;
            if warm {
                peer.run();
            }
            let setup = start.elapsed().as_secs_f64();
            Ready {
                key,
                peer,
                setup,
                last: 0,
            }
        }
    };
    let seconds = message["min_seconds"].as_f64().unwrap_or(1.0);
    let times = measure(|| now.peer.run(), seconds, warm && now.last < 200_000_000);
    let middle = times.len() / 2;
    now.last = (times[middle] + times[(times.len() - 1) / 2]) / 2;
    let checksum = if flag("no_checksum") {
        json!({})
    } else {
        now.peer.found().checksum()
    };
    let found = json!({
        "median_ns": now.last as u64, "min_ns": times[0] as u64, "runs": times.len(),
        "setup_s": now.setup, "checksum": checksum,
    });
    *ready = Some(now);
    Ok(found)
}

/// The times of all runs in nanoseconds, sorted.
fn measure(mut run: impl FnMut(), seconds: f64, warm: bool) -> Vec<u128> {
    let start = Instant::now();
    for _ in 0..if warm { 2 } else { 0 } {
        run();
        if start.elapsed() > Duration::from_millis(500) {
            break;
        }
    }
    let (mut times, mut total) = (Vec::new(), 0.0);
    loop {
        let start = Instant::now();
        run();
        let time = start.elapsed();
        times.push(time.as_nanos());
        total += time.as_secs_f64();
        let sure = times.len() >= 5 || total >= 1.0 || seconds <= 0.0;
        if (total >= seconds && sure) || total >= 30.0 || times.len() >= 200_000 {
            break;
        }
    }
    times.sort_unstable();
    times
}
