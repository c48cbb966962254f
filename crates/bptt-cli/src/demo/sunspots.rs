//! The yearly sunspot numbers, and batches of them.

use bptt::Batch;
use ndarray::Array3;

use crate::Failure;

const CSV: &str = include_str!("../../../../data/sunspots.csv");
/// The scale of the inputs: `(number − MEAN) / SCALE`.
pub(crate) const SCALE: f64 = 50.0;
/// A round number near the mean of the training years.
pub(crate) const MEAN: f64 = 50.0;
/// The last year used by the fit.
pub(crate) const LAST_TRAINING_YEAR: usize = 1920;

/// The sunspot number of each year.
#[derive(Debug)]
pub(crate) struct Sunspots {
    pub(crate) first_year: usize,
    pub(crate) numbers: Vec<f64>,
}

impl Sunspots {
    pub(crate) fn read() -> Result<Self, Failure> {
        let mut first_year = None;
        let mut numbers = Vec::new();
        for (line, text) in CSV.lines().enumerate().skip(1) {
            let bad = || {
                format!(
                    "sunspots, line {}: expected `year,number`: {text}",
                    line + 1
                )
            };
            let (year, number) = text.split_once(',').ok_or_else(bad)?;
            let year: usize = year.trim().parse().map_err(|_| bad())?;
            numbers.push(number.trim().parse().map_err(|_| bad())?);
            if *first_year.get_or_insert(year) + numbers.len() != year + 1 {
                return Err(format!("sunspots, line {}: a year is missing", line + 1).into());
            }
        }
        let first_year = first_year.ok_or("sunspots: no years")?;
        Ok(Self {
            first_year,
            numbers,
        })
    }

    pub(crate) fn last_year(&self) -> usize {
        self.first_year + self.numbers.len() - 1
    }

    pub(crate) fn number(&self, year: usize) -> Result<f64, Failure> {
        let index = year.checked_sub(self.first_year);
        let number = index.and_then(|i| self.numbers.get(i)).copied();
        number.ok_or_else(|| format!("there is no sunspot number for {year}").into())
    }

    /// One sequence: the input is the scaled number of each year from the first one on, the target is that of
    /// the next year; `last_target` is the year of the last target.
    pub(crate) fn batch(&self, last_target: usize) -> Result<Batch<f64>, Failure> {
        let years = self.first_year..last_target;
        let scaled = |year| Ok::<_, Failure>((self.number(year)? - MEAN) / SCALE);
        let x = years.clone().map(scaled).collect::<Result<Vec<_>, _>>()?;
        let y = years
            .map(|t| scaled(t + 1))
            .collect::<Result<Vec<_>, _>>()?;
        let steps = x.len();
        let column = |values| Array3::from_shape_vec((steps, 1, 1), values);
        Ok(Batch::new(steps, 1)
            .with("x", column(x)?)
            .with("y", column(y)?))
    }

    /// The root mean squared error of a forecast over the held-out years.
    pub(crate) fn held_out_rmse(
        &self,
        forecast: impl Fn(usize) -> Result<f64, Failure>,
    ) -> Result<f64, Failure> {
        let years = LAST_TRAINING_YEAR + 1..=self.last_year();
        let count = years.clone().count() as f64;
        let squares = years
            .map(|year| Ok((forecast(year)? - self.number(year)?).powi(2)))
            .collect::<Result<Vec<f64>, Failure>>()?;
        Ok((squares.iter().sum::<f64>() / count).sqrt())
    }
}
