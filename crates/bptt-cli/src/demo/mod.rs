//! The demonstration: two networks, their gradients, and a fit.

mod network;
mod report;
mod sunspots;

use std::io::Write;

use bptt::{Batch, Params, Recurrence, Wrt};
use serde_json::{Value, json};

use network::{HIDDEN, Network, RATE, STEPS, THRESHOLD};
use report::{CYCLE, Reach, chart, gradients, heading, paragraph};
use sunspots::{LAST_TRAINING_YEAR, MEAN, SCALE, Sunspots};

use crate::Failure;
use crate::report::Report;

pub(crate) fn run(to: &mut Report) -> Result<(), Failure> {
    let results = match to.is_text() {
        true => tell(&mut to.terminal())?,
        false => tell(&mut std::io::sink())?,
    };
    for (name, value) in results {
        to.field(name, || value);
    }
    Ok(())
}

/// The results by name, for the JSON output.
type Results = Vec<(&'static str, Value)>;

/// Writes the demonstration, and returns its results.
fn tell(out: &mut dyn Write) -> Result<Results, Failure> {
    let sunspots = Sunspots::read()?;
    let batch = sunspots.batch(LAST_TRAINING_YEAR)?;
    let mut networks = [Network::rnn()?, Network::lstm()?];

    writeln!(
        out,
        "bptt {}: differentiate a recurrence",
        env!("CARGO_PKG_VERSION")
    )?;
    writeln!(out)?;
    paragraph(
        out,
        "A recurrence computes the same step again and again: new state = f(old state, input, \
         parameters). You write the step; this program differentiates it through all of time. \
         Every number below is computed now, on the yearly sunspot numbers.",
    )?;

    data(out, &sunspots, &batch)?;
    heading(out, "2. The definitions")?;
    paragraph(
        out,
        "First the equations as on paper, then the definition as the library reads it. A matrix product \
         is written W @ x; h' is the state after the step, h the state before it.",
    )?;
    for network in &networks {
        definition(out, network)?;
    }
    heading(out, "3. The loss and its gradient")?;
    paragraph(
        out,
        "The loss is the mean, over the years, of half the squared error of the forecast. The \
         gradient says how the loss changes with each entry of each parameter. Its shape is the \
         shape of the parameter; its norm is the root of the sum of the squares of the entries.",
    )?;
    for network in &networks {
        let gradient = network.every.gradient(Wrt::Parameters)?;
        let found = gradient.evaluate(&network.params, &batch)?;
        writeln!(out, "\n{}: loss {:.6}", network.name, found.loss()?)?;
        gradients(out, &network.params, &found)?;
    }
    heading(out, "4. Is the gradient right?")?;
    paragraph(
        out,
        "The gradient comes from the equations of one step. Four other computations must give the same \
         numbers: reverse mode on the list of all operations of all steps (tape), forward mode, \
         differences of the loss itself, and the same again for second derivatives (2nd). The first \
         two agree up to rounding, about 1e-16; differences resolve about nine digits. x and y are \
         the data, one number per year.",
    )?;
    for network in &networks {
        certify(out, &network.every, &network.params, &batch)?;
    }

    let mut reached = Vec::new();
    for network in &networks {
        reached.push(vec![Reach::new(
            network.name,
            "before",
            network.reach(&batch)?,
        )]);
    }
    let results = fit(out, &sunspots, &batch, &mut networks)?;
    for (network, columns) in networks.iter().zip(&mut reached) {
        columns.push(Reach::new(network.name, "after", network.reach(&batch)?));
    }
    reach(out, &reached.into_iter().flatten().collect::<Vec<_>>())?;
    Ok(results)
}

fn data(out: &mut dyn Write, sunspots: &Sunspots, batch: &Batch<f64>) -> Result<(), Failure> {
    heading(out, "1. The data")?;
    let (first, last) = (sunspots.first_year, sunspots.last_year());
    let largest = sunspots.numbers.iter().copied().fold(0.0, f64::max);
    paragraph(
        out,
        &format!(
            "Sunspot numbers of the {} years {first} to {last}, between 0 and {largest}; they rise \
             and fall about every {CYCLE} years. The input x_t is the number of year t, the target \
             y_t that of the year after, both as (number - {MEAN}) / {SCALE}. The fit sees the \
             years to {LAST_TRAINING_YEAR}, as one sequence of T = {} steps; the years {} to \
             {last} are held out.",
            sunspots.numbers.len(),
            batch.steps(),
            LAST_TRAINING_YEAR + 1,
        ),
    )?;
    Ok(())
}

fn definition(out: &mut dyn Write, network: &Network) -> Result<(), Failure> {
    writeln!(out, "\n{}, state of size H = {HIDDEN}\n", network.name)?;
    for equation in network.equations {
        writeln!(out, "  // {equation}")?;
    }
    for line in network.every.to_string().lines() {
        writeln!(out, "  {line}")?;
    }
    Ok(())
}

/// Certifies the gradient of a network on the training years, at its initial parameters.
fn certify(
    out: &mut dyn Write,
    recurrence: &Recurrence,
    params: &Params<f64>,
    batch: &Batch<f64>,
) -> Result<(), Failure> {
    let certificate = bptt::check(recurrence, params, batch)?;
    writeln!(out)?;
    for line in certificate.to_string().lines() {
        writeln!(out, "  {line}")?;
    }
    if !certificate.passed() {
        return Err(format!("the gradient of {} is not certified", recurrence.name()).into());
    }
    Ok(())
}

/// Fits the networks and compares their forecasts of the held-out years with naive ones.
fn fit(
    out: &mut dyn Write,
    sunspots: &Sunspots,
    batch: &Batch<f64>,
    networks: &mut [Network],
) -> Result<Results, Failure> {
    heading(out, "5. A fit")?;
    paragraph(
        out,
        &format!(
            "{STEPS} steps of Adam (Kingma and Ba 2015) with rate {RATE}; a gradient longer than \
             {THRESHOLD} is shortened to {THRESHOLD} (Pascanu et al. 2013). Then each held-out year \
             is forecast from the true numbers of the years before it. The error is the root of the \
             mean squared error, in sunspot numbers.",
        ),
    )?;
    writeln!(out)?;
    let whole = sunspots.batch(sunspots.last_year())?;
    let first = sunspots.first_year;
    let (mut errors, mut fitted) = (Vec::new(), Vec::new());
    for network in networks.iter_mut() {
        let (before, after) = network.fit(batch)?;
        writeln!(
            out,
            "  {:<10} training loss {before:.4} before the fit, {after:.4} after",
            network.name
        )?;
        // The output at step t is the forecast of the year after year t.
        let outputs = network.outputs(&whole)?;
        let error = sunspots.held_out_rmse(|year| {
            let output = outputs.get(year - first - 1);
            Ok(MEAN + SCALE * output.ok_or("there is no forecast")?)
        })?;
        errors.push((network.name, error));
        // A gradient that is not certified has ended the demonstration earlier.
        fitted.push(json!({
            "name": network.name,
            "certified": true,
            "loss_before": before,
            "loss": after,
            "forecast_error": error,
        }));
    }
    let last_year = sunspots.held_out_rmse(|year| sunspots.number(year - 1))?;
    let cycle_ago = sunspots.held_out_rmse(|year| sunspots.number(year - CYCLE))?;

    let years = (LAST_TRAINING_YEAR + 1, sunspots.last_year());
    writeln!(out, "\n  forecast error, {} to {}", years.0, years.1)?;
    let naive = [
        ("same as last year".to_owned(), last_year),
        (format!("same as {CYCLE} years ago"), cycle_ago),
    ];
    let own = errors.iter().map(|(name, e)| ((*name).to_owned(), *e));
    for (name, error) in naive.into_iter().chain(own) {
        writeln!(out, "    {name:<22} {error:>6.2}")?;
    }
    writeln!(out)?;
    let best = last_year.min(cycle_ago);
    for (name, error) in errors {
        let change = 100.0 * (1.0 - error / best);
        let verdict = if error < best {
            format!("The {name} beats both naive forecasts: {change:.0} % below the better one.")
        } else {
            format!(
                "The {name} does not beat the better naive forecast: {:.0} % above it.",
                -change
            )
        };
        paragraph(out, &verdict)?;
    }
    let naive = json!({ "last_year": last_year, "cycle_ago": cycle_ago });
    Ok(vec![
        ("networks", fitted.into()),
        ("naive_forecast_error", naive),
    ])
}

fn reach(out: &mut dyn Write, columns: &[Reach]) -> Result<(), Failure> {
    heading(out, "6. How far back the gradient reaches")?;
    paragraph(
        out,
        &format!(
            "L is now the loss of the last forecast only, that of {LAST_TRAINING_YEAR}. The chart \
             shows the norm of dL/dh_{{T-k}}, the derivative with respect to the state k years \
             earlier, as a part of that at k=0. The bars are logarithmic: full at 1, empty at one \
             millionth. A short bar means that a fit learns little from events that long ago. \
             (The memory c of the LSTM carries more than h shows.) A < marks whole cycles of {CYCLE} \
             years.",
        ),
    )?;
    writeln!(out)?;
    chart(out, columns)?;
    writeln!(out)?;
    for column in columns {
        let Some(part) = column.part(CYCLE) else {
            continue;
        };
        let years = column.years_above(1e-2);
        let verdict = if years >= CYCLE {
            "at least one whole cycle"
        } else {
            "less than one cycle"
        };
        paragraph(
            out,
            &format!(
                "{} {} the fit: more than 1 % of the gradient is left up to {years} years back \
                 ({verdict}); {CYCLE} years back the fraction is {:.2e}.",
                column.network, column.when, part,
            ),
        )?;
    }
    for pair in columns.chunks_exact(2) {
        if let [before, after] = pair
            && let (Some(b), Some(a)) = (before.part(CYCLE), after.part(CYCLE))
            && b > 0.0
            && a > 0.0
        {
            let (factor, word) = if a >= b {
                (a / b, "larger")
            } else {
                (b / a, "smaller")
            };
            paragraph(
                out,
                &format!(
                    "In the {}, the fit made this fraction {factor:.1} times {word}.",
                    after.network
                ),
            )?;
        }
    }
    Ok(())
}
