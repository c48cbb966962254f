//! Measures the gradients of each sample of an LSTM, their norms, and clipping: the time and the memory of one way,
//! `cargo run --release --example per_sample -- WAY H T B`, with `WAY` one of `gradient`, `made`, `norms`, `clip`.
//! `H` is the size of the state and of the inputs, in single precision on one thread.

use std::time::Instant;

use bptt::cells::{Cell, Loss};
use bptt::check::random_data;
use bptt::fit::{SampleClip, SampleNorms};
use bptt::{Recurrence, Wrt};

type Failure = Box<dyn std::error::Error>;

/// The most memory that this process has held, in MB, where the system tells.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let bytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    bytes.map_or(f64::NAN, |kb| kb / 1024.0)
}

/// The milliseconds of the fastest run of two seconds, after one that allocates.
fn best(mut run: impl FnMut() -> Result<(), bptt::Error>) -> Result<f64, bptt::Error> {
    run()?;
    let mut best = f64::INFINITY;
    let begun = Instant::now();
    while begun.elapsed().as_secs_f64() < 2.0 {
        let start = Instant::now();
        run()?;
        best = best.min(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(best)
}

fn measure(model: &Recurrence, way: &str, [h, t, b]: [usize; 3]) -> Result<String, Failure> {
    let sizes = [("H", h), ("K", h), ("O", 8)];
    let (params, batch) = random_data(model, &sizes, &vec![t; b], 1)?;
    let (mut params, batch) = (params.cast::<f32>(), batch.cast::<f32>());
    for name in model.parameters() {
        let array = params
            .get_mut(name)
            .ok_or("random data has all parameters")?;
        array.mapv_inplace(|x| x / (h as f32).sqrt());
    }
    let before = peak();
    let time = match way {
        "gradient" | "made" => {
            let gradient = match way {
                "made" => model.gradient_per_sample(Wrt::Parameters)?,
                _ => model.gradient(Wrt::Parameters)?,
            };
            let program = gradient.compile::<f32>(&sizes)?;
            let mut workspace = program.workspace();
            best(|| program.run(&params, &batch, &mut workspace).map(drop))?
        }
        "norms" => {
            let mut norms = SampleNorms::<f32>::new(model, Wrt::Parameters, &sizes)?;
            best(|| norms.run(&params, &batch))?
        }
        "clip" => {
            let mut clip = SampleClip::<f32>::new(model, Wrt::Parameters, &sizes)?;
            best(|| clip.run(&params, &batch, 1.0).map(drop))?
        }
        _ => return Err(format!("{way}: expected gradient, made, norms or clip").into()),
    };
    let memory = peak() - before;
    Ok(format!(
        "{way:<8} H = {h}, T = {t}, B = {b}: {time:.1} ms, {memory:.0} MB"
    ))
}

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [way, numbers @ ..] = &args[..] else {
        return Err("usage: per_sample gradient|made|norms|clip H T B".into());
    };
    let numbers: Vec<usize> = numbers
        .iter()
        .map(|n| n.parse())
        .collect::<Result<_, _>>()?;
    let [h, t, b] = numbers[..] else {
        return Err("usage: per_sample gradient|made|norms|clip H T B".into());
    };
    let model = Cell::lstm().model("lstm", Loss::SoftmaxCrossEntropy)?;
    println!("{}", measure(&model, way, [h, t, b])?);
    Ok(())
}
