//! Reports standard errors and covariances of a fit.

use bptt::fit::{Covariance, Inference, infer};
use bptt::{Batch, Error, Params, Premise, Recurrence};
use ndarray::Array2;
use serde_json::{Map, Value, json};

use crate::Failure;
use crate::args::{Errors, Fit, Optimizer};
use crate::report::{self, Report};

/// The statistics of a fit that are reported: standard errors and a covariance matrix.
pub(super) struct Statistics {
    kind: Errors,
    found: Inference,
    errors: Params<f64>,
    covariance: Array2<f64>,
}

fn kind(errors: Errors) -> Covariance {
    match errors {
        Errors::Hessian => Covariance::Hessian,
        Errors::Opg => Covariance::OuterProduct,
        Errors::Robust => Covariance::Sandwich,
    }
}

impl Statistics {
    pub(super) fn new(
        recurrence: &Recurrence,
        params: &Params<f64>,
        batch: &Batch<f64>,
        errors: Errors,
    ) -> Result<Self, Error> {
        let found = infer(recurrence, params, batch)?;
        Ok(Self {
            kind: errors,
            errors: found.standard_errors(kind(errors))?,
            covariance: found.covariance(kind(errors))?,
            found,
        })
    }

    pub(super) fn text(
        &self,
        report: &Report,
        params: &Params<f64>,
        args: &Fit,
    ) -> Result<(), Failure> {
        report::estimates(report, params, &self.errors)?;
        if args.covariance {
            report::matrix(report, &self.found.entries(), &self.covariance)?;
        }
        let unit = match self.found.unit() {
            bptt::Rate::Step => "a step of a sample",
            _ => "a sample",
        };
        let observations = bptt::counted(self.found.observations(), "observation");
        let outer = format!("the outer products of the gradients of {observations}, each {unit}");
        let from = match self.kind {
            Errors::Hessian => "the inverse Hessian".into(),
            Errors::Opg => outer,
            Errors::Robust => format!("the inverse Hessian and {outer}"),
        };
        Ok(report.line(format!("  standard errors from {from}"))?)
    }

    pub(super) fn fields(&self, report: &mut Report, params: &Params<f64>) {
        report.field("parameters", || nested(params));
        report.field("standard_errors", || nested(&self.errors));
        let each = |field: &dyn Fn(Covariance) -> Option<Value>| -> Value {
            let kinds = Covariance::ALL.iter().copied();
            let fields = kinds.map(|kind| (kind.name().to_owned(), json!(field(kind))));
            Value::Object(Map::from_iter(fields))
        };
        let found = &self.found;
        report.field("errors", || {
            each(&|kind| Some(nested(&found.standard_errors(kind).ok()?)))
        });
        report.field("covariance", || {
            each(&|kind| {
                Some(report::nested(
                    found.covariance(kind).ok()?.view().into_dyn(),
                ))
            })
        });
        report.field("entries", || json!(found.entries()));
        report.field("observations", || json!(found.observations()));
    }
}

/// Returns true if there are no standard errors because the fit has not converged.
pub(super) const fn is_early(statistics: &Result<Statistics, Error>) -> bool {
    matches!(
        statistics,
        Err(Error::NoStandardErrors {
            premise: Premise::Converged,
            ..
        })
    )
}

/// The message about missing standard errors, with a command that may produce them.
pub(super) fn told(error: &Error, args: &Fit, goes_on: bool) -> String {
    let out = args.out.display();
    let more = match error {
        Error::NoStandardErrors {
            premise: Premise::Converged | Premise::Minimum,
            ..
        } if args.optimizer != Optimizer::Newton => {
            format!("; try --optimizer newton --params {out}")
        }
        Error::NoStandardErrors {
            premise: Premise::Converged,
            ..
        } if goes_on => format!("; try more --steps with --params {out}"),
        Error::NoStandardErrors {
            premise: Premise::Converged,
            ..
        } => "; try another start (--params)".into(),
        Error::NoStandardErrors {
            premise: Premise::Observations,
            ..
        } => ": --errors hessian".into(),
        _ => String::new(),
    };
    format!("{error}{more}")
}

/// The arrays by name, as nested lists.
fn nested(params: &Params<f64>) -> Value {
    let fields = params
        .iter()
        .map(|(n, a)| (n.to_owned(), report::nested(a.view())));
    Value::Object(fields.collect())
}
