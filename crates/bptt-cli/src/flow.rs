//! `bptt flow`: how far a gradient comes back in time, why, and what helps.

use bptt::flow::{Bin, Story};
use serde_json::json;

use crate::args::Flow;
use crate::reading::Absent;
use crate::report::{self, Report};
use crate::{Failure, input, progress};

/// The columns of a terminal that text is set for.
const WIDTH: usize = 78;

pub(crate) fn run(args: &Flow, report: &mut Report) -> Result<(), Failure> {
    let on = &args.on;
    let source = on.source(Absent::Refused);
    let (recurrence, batch, _) =
        input::recurrence_and_batch::<f64>(&on.cell, &source, &on.dims, report)?;
    let params = input::params(&recurrence, on.params.as_deref(), &batch, on.seed)?;
    let busy = progress::busy(report, "measuring the gradient");
    let story = recurrence.story(&params, &batch, args.lags);
    busy.clear();
    let mut story = story?;
    if let Some(steps) = args.truncate {
        story = story.truncated(steps);
    }
    let extent = format!(
        "{}, {}",
        bptt::counted(batch.steps(), "step"),
        bptt::counted(batch.samples(), "sample")
    );
    report.heading(recurrence.name(), &extent)?;
    report.line(format!("loss {}", report::digits(story.loss())))?;
    by_lag(&story, report)?;
    values(&story, report)?;
    report.line("")?;
    for sentence in story.verdict(args.lang) {
        folded(&sentence, report)?;
    }
    fields(&story, args, report);
    Ok(())
}

/// Some lags: 0, 1, 2, 5, 10, …, and the last one.
fn by_lag(story: &Story, report: &Report) -> Result<(), Failure> {
    let bins = story.lags().bins();
    let last = bins.len().saturating_sub(1);
    let is_shown = |lag: usize| {
        let power = 10_usize.pow(lag.max(1).ilog10());
        let is_round = lag.is_multiple_of(power) && [1, 2, 5].contains(&(lag / power));
        lag == 0 || lag == last || is_round
    };
    let head = ["steps back", "arrives", "gradient", "left out beyond"];
    let mut rows = vec![head.map(String::from).to_vec()];
    rows.extend(bins.iter().filter(|bin| is_shown(bin.lag)).map(|bin| {
        let name = match bin.further {
            true => format!("{} and more", bin.lag),
            false => bin.lag.to_string(),
        };
        let arrives = match bin.further {
            true => String::new(),
            false => short(bin.arrival),
        };
        vec![
            name,
            arrives,
            short(story.lags().norm_of(bin, true)),
            percent(bin),
        ]
    }));
    Ok(report::table(report, &rows)?)
}

fn values(story: &Story, report: &Report) -> Result<(), Failure> {
    if story.values().is_empty() {
        return Ok(());
    }
    report.line("")?;
    let head = [
        "value", "mean", "slope", "low end", "high end", "δ first", "δ last",
    ];
    let mut rows = vec![head.map(String::from).to_vec()];
    rows.extend(story.values().iter().map(|v| {
        let share = |x: Option<f64>| x.map_or(String::new(), |x| format!("{:.0} %", 100.0 * x));
        vec![
            v.name.to_string(),
            short(v.mean),
            share(v.slope),
            share(v.saturated.map(|ends| ends[0])),
            share(v.saturated.map(|ends| ends[1])),
            v.delta.first().copied().map_or(String::new(), short),
            v.delta.last().copied().map_or(String::new(), short),
        ]
    }));
    Ok(report::table(report, &rows)?)
}

fn percent(bin: &Bin) -> String {
    match bin.further {
        true => String::new(),
        false => format!("{:.1} %", 100.0 * bin.left_out),
    }
}

/// Three significant digits.
fn short(x: f64) -> String {
    match x.abs() {
        0.0 => "0".into(),
        a if (0.01..1000.0).contains(&a) => format!("{x:.3}"),
        _ => format!("{x:.2e}"),
    }
}

/// A sentence in lines of the width of a terminal. Chinese is broken between any two characters.
fn folded(sentence: &str, report: &Report) -> Result<(), Failure> {
    let wide = |c: char| if u32::from(c) >= 0x1100 { 2 } else { 1 };
    let width = |text: &str| text.chars().map(wide).sum::<usize>();
    let (mut line, mut word) = (String::new(), String::new());
    let mut lines = Vec::new();
    for c in sentence.chars().chain([' ']) {
        if c != ' ' && wide(c) == 1 {
            word.push(c);
            continue;
        }
        if width(&line) + width(&word) > WIDTH {
            lines.push(std::mem::take(&mut line).trim_end().to_owned());
        }
        line.push_str(&std::mem::take(&mut word));
        let stop = "，。；：、".contains(c);
        if width(&line) + wide(c) > WIDTH && !stop {
            lines.push(std::mem::take(&mut line).trim_end().to_owned());
        }
        if c != ' ' || !line.is_empty() {
            line.push(c);
        }
    }
    lines.push(line.trim_end().to_owned());
    lines.iter().try_for_each(|line| report.line(line))?;
    Ok(())
}

fn fields(story: &Story, args: &Flow, report: &mut Report) {
    let lags = story.lags();
    report.field("recurrence", || json!(story.name()));
    report.field("loss", || json!(story.loss()));
    report.field("lags", || {
        let one = |bin: &Bin| {
            json!({
                "lag": bin.lag,
                "further": bin.further,
                "arrival": bin.arrival,
                "gradient": lags.norm_of(bin, true),
                "left_out": bin.left_out,
                "norms": lags.parameters().iter().zip(&bin.norms)
                    .map(|(p, norm)| (p.name.to_string(), json!(norm)))
                    .collect::<serde_json::Map<_, _>>(),
            })
        };
        lags.bins().iter().map(one).collect()
    });
    report.field("memory", || json!(lags.memory(0.9)));
    report.field("values", || {
        let one = |v: &bptt::flow::ValueStats| {
            json!({
                "name": &*v.name,
                "mean": v.mean,
                "slope": v.slope,
                "saturated": v.saturated,
                "dead": v.dead,
                "delta": v.delta,
            })
        };
        story.values().iter().map(one).collect()
    });
    report.field("gates", || {
        let one = |g: &bptt::flow::Gate| {
            json!({ "gate": &*g.gate, "state": &*g.state, "mean": g.mean, "factor": g.factor })
        };
        story.gates().iter().map(one).collect()
    });
    report.field("matrices", || {
        let one =
            |m: &bptt::flow::Matrix| json!({ "parameter": &*m.parameter, "radius": m.radius });
        story.matrices().iter().map(one).collect()
    });
    report.field("verdict", || json!(story.verdict(args.lang)));
}
