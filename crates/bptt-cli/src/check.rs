//! `bptt check`: certifies a recurrence on given or random data.

use bptt::check::{Check, Remark, Verdict, random_data};
use bptt::{Batch, Certificate, Error, Params, Recurrence};
use serde_json::json;

use crate::args;
use crate::options::in_options;
use crate::progress::Gauge;
use crate::reading::{Absent, Source};
use crate::report::{Report, bad, good};
use crate::{Done, Failure, cell, input};

/// The sizes of random data, assigned in turn to the named sizes; they differ, so that a mix-up of sizes is
/// detected.
const SIZES: [usize; 6] = [3, 2, 4, 5, 6, 7];
const LENGTHS: [usize; 2] = [5, 3];
/// The most draws of random data for one trial; data is redrawn if the recurrence is not finite on it, such as
/// `ln` of −1, the certificate is incomplete, or a parameter or input has no effect there.
const DRAWS: u64 = 8;
/// The most draws in search of data on which everything has an effect.
const FLAT_DRAWS: u64 = 4;

pub(crate) fn run(args: &args::Check, report: &mut Report) -> Result<Done, Failure> {
    let subject = Subject::read(args, report)?;
    let there = subject.batch.as_ref().map_or(LENGTHS[0], Batch::steps);
    if let Some(steps) = args.steps.filter(|steps| *steps > there) {
        let more = match subject.batch {
            Some(_) => "",
            None => "; give longer data with --data",
        };
        report.note(&format!(
            "--steps {steps}: the data has {}, and no route can run on more{more}",
            bptt::counted(there, "step")
        ));
    }
    let mut verdicts = Vec::new();
    let mut findings = Vec::new();
    for trial in 0..args.trials {
        let gauge = Gauge::new(report, "certifying");
        let seed = args.seed.wrapping_add(trial * DRAWS);
        let certificate = subject.certify(seed, &|part| gauge.set(part));
        gauge.clear();
        let certificate = certificate?;
        report.line(coloured(&certificate))?;
        verdicts.push(certificate.verdict());
        findings.push(certificate);
        if !subject.is_random() {
            break;
        }
    }
    let all = |v: Verdict| verdicts.iter().all(|x| *x == v);
    let done = if all(Verdict::Certified) {
        Done::Well
    } else {
        Done::NotCertified
    };
    report.field("recurrence", || json!(subject.recurrence.name()));
    report.field("certified", || json!(done == Done::Well));
    report.field("trials", || findings.iter().map(trial).collect());
    Ok(done)
}

/// The text of the certificate, with the verdict in colour.
fn coloured(certificate: &Certificate) -> String {
    let (word, style): (_, fn(&str) -> String) = match certificate.verdict() {
        Verdict::Certified => ("unresolved: certified", good),
        Verdict::Rejected => ("unresolved: REJECTED", bad),
        _ => ("unresolved: INCOMPLETE", bad),
    };
    let text = certificate.to_string();
    let (before, word) = word.split_once(' ').unwrap_or(("", word));
    text.replacen(
        &format!("{before} {word}"),
        &format!("{before} {}", style(word)),
        1,
    )
}

fn trial(certificate: &Certificate) -> serde_json::Value {
    let findings = certificate.findings().iter().map(|f| {
        json!({
            "name": f.name,
            "route": format!("{:?}", f.route),
            "error": f.error,
            "tolerance": f.tolerance,
            "compared": f.compared,
            "skipped": f.skipped,
            "step": f.step,
            "sample": f.sample,
            "entry": f.entry,
            "direction": f.direction,
        })
    });
    let remarks = certificate.remarks().map(|(name, remark)| {
        json!({ "name": name, "remark": remark.name(), "text": in_options(remark.sentence()) })
    });
    let verdict = format!("{:?}", certificate.verdict()).to_lowercase();
    let extent = certificate.extent();
    json!({
        "verdict": verdict,
        "findings": findings.collect::<Vec<_>>(),
        "remarks": remarks.collect::<Vec<_>>(),
        "second_order": certificate.is_of_second_order(),
        "extent": {
            "steps": extent.steps,
            "of_steps": extent.of_steps,
            "samples": extent.samples,
            "of_samples": extent.of_samples,
        },
    })
}

/// The worth of a certificate on random data, in ascending order; only the last is not drawn again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    Undefined,
    Incomplete,
    /// Something has no effect on this data.
    Flat,
    Whole,
}

fn worth(found: &Result<Certificate, Error>) -> Worth {
    match found {
        Err(Error::NonFiniteValue { .. }) => Worth::Undefined,
        Ok(certificate) if certificate.verdict() == Verdict::Incomplete => Worth::Incomplete,
        Ok(certificate)
            if certificate.passed() && certificate.remarks().any(|(_, r)| r == Remark::Flat) =>
        {
            Worth::Flat
        }
        _ => Worth::Whole,
    }
}

/// A recurrence and the data given for it.
struct Subject {
    recurrence: Recurrence,
    params: Option<Params<f64>>,
    batch: Option<Batch<f64>>,
    sizes: Vec<(String, usize)>,
    steps: Option<usize>,
}

impl Subject {
    fn read(args: &args::Check, report: &Report) -> Result<Self, Failure> {
        let (recurrence, batch) = match &args.data[..] {
            [] => (cell::load(&args.cell)?, None),
            files => {
                let source = Source {
                    files,
                    reading: &args.reading,
                    params: args.params.as_deref(),
                    absent: Absent::Refused,
                };
                let (recurrence, batch, _) =
                    input::recurrence_and_batch(&args.cell, &source, &args.dims, report)?;
                (recurrence, Some(batch))
            }
        };
        let params = match &args.params {
            Some(file) => Some(input::read_params(&recurrence, file)?),
            None => None,
        };
        let empty = (
            Params::new(),
            input::with_sizes(Batch::new(1, 1), &args.dims),
        );
        let given = batch.as_ref().unwrap_or(&empty.1);
        let known = recurrence.known_sizes(params.as_ref().unwrap_or(&empty.0), given)?;
        let known = |dim: &str| known.iter().find(|(n, _)| *n == dim).map(|(_, size)| *size);
        let sizes = recurrence.tape().dims().zip(SIZES.iter().cycle());
        let sizes = sizes.map(|(dim, size)| (dim.to_owned(), known(dim).unwrap_or(*size)));
        Ok(Self {
            sizes: sizes.collect(),
            steps: args.steps,
            recurrence,
            params,
            batch,
        })
    }

    const fn is_random(&self) -> bool {
        self.params.is_none() || self.batch.is_none()
    }

    fn certify(&self, seed: u64, progress: &(dyn Fn(f64) + Sync)) -> Result<Certificate, Failure> {
        let sizes: Vec<(&str, usize)> = self.sizes.iter().map(|(n, s)| (&**n, *s)).collect();
        let mut last = Err(Error::NoLoss {
            recurrence: self.recurrence.name().into(),
        });
        let mut best = Worth::Undefined;
        for draw in 0..DRAWS {
            let (params, batch) =
                random_data(&self.recurrence, &sizes, &LENGTHS, seed.wrapping_add(draw))?;
            let mut params = self.params.clone().unwrap_or(params);
            let given = self.batch.clone().unwrap_or(batch);
            // Some sizes, such as a number of classes, are in no array.
            let mut batch = sizes
                .iter()
                .fold(given, |b, (dim, size)| b.size(dim, *size));
            // Some data must be positive, such as variances; every second draw is all positive.
            if draw % 2 == 1 {
                self.make_positive(&mut params, &mut batch);
            }
            let check = Check::new(&self.recurrence)
                .steps(self.steps.unwrap_or(usize::MAX))
                .seed(seed)
                .progress(progress);
            let found = check.run(&params, &batch);
            let worth = worth(&found);
            if draw == 0 || worth >= best {
                (last, best) = (found, worth);
            }
            if worth == Worth::Whole
                || (best == Worth::Flat && draw + 1 >= FLAT_DRAWS)
                || !self.is_random()
            {
                break;
            }
        }
        Ok(last?)
    }

    fn make_positive(&self, params: &mut Params<f64>, batch: &mut Batch<f64>) {
        if self.params.is_none() {
            for name in self.recurrence.parameters() {
                params
                    .get_mut(name)
                    .into_iter()
                    .for_each(|a| a.mapv_inplace(f64::abs));
            }
        }
        if self.batch.is_none() {
            for name in self.recurrence.inputs() {
                batch
                    .get_mut(name)
                    .into_iter()
                    .for_each(|a| a.mapv_inplace(f64::abs));
            }
        }
    }
}
