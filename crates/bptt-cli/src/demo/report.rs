//! Tables and charts of the demonstration, as plain text of at most 100 columns.

use std::io::{self, Write};

use bptt::{Outputs, Params};

use super::network::norm;

/// The length of the sunspot cycle, in years.
pub(crate) const CYCLE: usize = 11;
/// The number of years in the chart: three cycles.
pub(crate) const YEARS_BACK: usize = 3 * CYCLE;
/// The part of the gradient at which a bar is empty.
const FLOOR: f64 = 1e-6;
const BAR: usize = 12;

/// An underlined heading.
pub(crate) fn heading(out: &mut dyn Write, text: &str) -> io::Result<()> {
    writeln!(out, "\n{text}\n{}\n", "-".repeat(text.len()))
}

/// Wraps a text in lines of at most 96 characters.
pub(crate) fn paragraph(out: &mut dyn Write, text: &str) -> io::Result<()> {
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > 96 {
            writeln!(out, "{line}")?;
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    writeln!(out, "{line}")
}

/// One line for each parameter: its shape, its norm, and the norm of its gradient.
pub(crate) fn gradients(
    out: &mut dyn Write,
    params: &Params<f64>,
    gradient: &Outputs<f64>,
) -> io::Result<()> {
    writeln!(
        out,
        "  {:<10} {:<8} {:>10}   {:>13}",
        "parameter", "shape", "its norm", "gradient norm"
    )?;
    for (name, p) in params.iter() {
        let shape = format!("{:?}", p.shape());
        let own = norm(p.view());
        match gradient.get(name) {
            Some(g) => {
                let g = norm(g.view());
                writeln!(out, "  {name:<10} {shape:<8} {own:>10.4}   {g:>13.3e}")?;
            }
            None => writeln!(out, "  {name:<10} {shape:<8} {own:>10.4}   {:>13}", "none")?,
        }
    }
    Ok(())
}

/// The norm of the gradient k years back, for one network at one point of the fit.
#[derive(Debug)]
pub(crate) struct Reach {
    pub(crate) network: &'static str,
    pub(crate) when: &'static str,
    norms: Vec<f64>,
}

impl Reach {
    pub(crate) fn new(network: &'static str, when: &'static str, norms: Vec<f64>) -> Self {
        Self {
            network,
            when,
            norms,
        }
    }

    /// The norm k years back, relative to the norm at the last year.
    pub(crate) fn part(&self, back: usize) -> Option<f64> {
        let last = self.norms.first().filter(|n| **n > 0.0)?;
        Some(self.norms.get(back)? / last)
    }

    /// The greatest number of years back at which at least `part` of the gradient is left.
    pub(crate) fn years_above(&self, part: f64) -> usize {
        let above = |k: &usize| self.part(*k).is_some_and(|p| p >= part);
        (0..self.norms.len()).rev().find(above).unwrap_or(0)
    }
}

/// The norms of several columns, each with a bar on a logarithmic scale.
pub(crate) fn chart(out: &mut dyn Write, columns: &[Reach]) -> io::Result<()> {
    let titles = columns.iter().map(|c| format!("{} {}", c.network, c.when));
    let titles: Vec<String> = titles.map(|t| format!("  {t:<21}")).collect();
    writeln!(out, "   k{}", titles.concat().trim_end())?;
    for k in 0..=YEARS_BACK {
        let cells = columns.iter().map(|column| match column.part(k) {
            Some(part) => format!("  {part:<8.1e} {:<BAR$}", bar(part)),
            None => format!("  {:<21}", "-"),
        });
        let cells = cells.collect::<String>();
        let mark = if k > 0 && k % CYCLE == 0 { "<" } else { "" };
        writeln!(out, "{}", format!("  {k:>2}{cells}{mark}").trim_end())?;
    }
    Ok(())
}

/// A bar, full for 1 and empty for `FLOOR`.
fn bar(part: f64) -> String {
    let filled = (1..=BAR).filter(|i| {
        let fraction = (*i as f64 - 0.5) / BAR as f64;
        part >= FLOOR.powf(1.0 - fraction)
    });
    "#".repeat(filled.count())
}
