//! `bptt certify`: compares a program with a recurrence.

use bptt::Recurrence;
use bptt_testing::process::Program;
use bptt_testing::{
    Answer, Case, Cases, Certificate, Certify, Failure as Unanswered, Finding, Foreign, Precision,
    Verdict,
};
use serde_json::{Value, json};

use crate::args::{self, Dtype};
use crate::interrupt::Interrupt;
use crate::options::in_options;
use crate::progress::Gauge;
use crate::report::{Report, bad, good};
use crate::{Done, Ending, Failure, cell};

pub(crate) fn run(args: &args::Certify, report: &mut Report) -> Result<Done, Failure> {
    let recurrence = cell::load_with_starts(&args.cell, args.start_inputs, report)?;
    let cases = cases(args, &recurrence);
    let interrupt = Interrupt::listen();
    let program = Program::new(&recurrence, &args.run).timeout(args.timeout);
    let signal = interrupt.clone();
    let program = program.stop_if(move || signal.code().is_some());
    let program = if args.files { program.files() } else { program };
    let certify = Certify::new(cases)
        .trials(args.trials)
        .seed(args.seed)
        .second_order(args.second_order)
        .diagnose(!args.no_diagnosis);
    let gauge = Gauge::new(report, "certifying");
    let mut counted = Counted {
        program,
        gauge: &gauge,
        trials: args.trials,
        answered: 0,
    };
    let certificate = certify.run(&mut counted);
    drop(counted);
    gauge.clear();
    if let Some(code) = interrupt.code() {
        return Err(Ending::failure(
            code,
            "interrupted; the program was stopped".into(),
        ));
    }
    interrupt.ignore_no_more();
    let certificate = certificate?;
    report.line(coloured(&certificate))?;
    report.field("recurrence", || json!(recurrence.name()));
    report.field("certified", || json!(certificate.passed()));
    describe(&certificate, args.dtype, report);
    Ok(match certificate.passed() {
        true => Done::Well,
        false => Done::NotCertified,
    })
}

fn cases<'r>(args: &args::Certify, recurrence: &'r Recurrence) -> Cases<'r> {
    let cases = Cases::new(recurrence)
        .steps(args.steps.clone())
        .samples(args.samples.clone())
        .precision(match args.dtype {
            Dtype::F32 => Precision::F32,
            Dtype::F64 => Precision::F64,
        });
    let sized = |cases: Cases<'r>, size: &args::Size| cases.size(&size.name, size.size);
    let cases = args.dims.iter().fold(cases, sized);
    if args.equal_lengths {
        cases.equal_lengths()
    } else {
        cases
    }
}

/// A program whose answers are counted.
struct Counted<'g, 'r> {
    program: Program,
    gauge: &'g Gauge<'r>,
    trials: usize,
    answered: usize,
}

impl Foreign for Counted<'_, '_> {
    #[expect(clippy::cast_precision_loss, reason = "there are few trials")]
    fn answer(&mut self, case: &Case, second_order: bool) -> Result<Answer, Unanswered> {
        // The first answer has the start of the program in it, which says nothing about the others.
        if self.answered > 0 {
            self.gauge.set(self.answered as f64 / self.trials as f64);
        }
        self.answered += 1;
        self.program.answer(case, second_order)
    }

    fn is_stopped(&self) -> bool {
        self.program.is_stopped()
    }
}

/// The text of the certificate, with the verdict in colour.
fn coloured(certificate: &Certificate) -> String {
    let (word, style): (_, fn(&str) -> String) = match certificate.verdict() {
        Verdict::Certified => ("certified", good),
        Verdict::Rejected => ("REJECTED", bad),
        Verdict::Failed => ("NO ANSWER", bad),
        _ => ("INCOMPLETE", bad),
    };
    let text = certificate.to_string();
    text.replacen(
        &format!("compared: {word}"),
        &format!("compared: {}", style(word)),
        1,
    )
}

/// Adds the fields of a certificate to the JSON object.
fn describe(certificate: &Certificate, dtype: Dtype, report: &mut Report) {
    report.field("verdict", || json!(certificate.verdict().name()));
    report.field("dtype", || json!(format!("{dtype:?}").to_lowercase()));
    report.field("findings", || {
        certificate.findings().iter().map(finding).collect()
    });
    report.field("unanswered", || {
        let unanswered = certificate.unanswered();
        let object = |(quantity, name): (bptt_testing::Quantity, &str)| {
            json!({ "quantity": quantity.name(), "name": name })
        };
        unanswered.map(object).collect()
    });
    report.field("trials", || {
        certificate.trials().iter().map(trial).collect()
    });
    if let Some(failure) = certificate.failure() {
        report.field(
            "failure",
            || json!({ "kind": failure.kind(), "message": in_options(failure.message()) }),
        );
    }
    if let Some(diagnosis) = certificate.diagnosis() {
        report.field("diagnosis", || json!(diagnosis.to_string()));
    }
}

fn finding(finding: &Finding) -> Value {
    json!({
        "quantity": finding.quantity.name(),
        "name": finding.name,
        "agrees": finding.agrees(),
        "error": finding.error,
        "tolerance": finding.tolerance,
        "expected": finding.expected,
        "found": finding.found,
        "step": finding.step,
        "sample": finding.sample,
        "entry": finding.entry,
        "trial": finding.trial,
        "compared": finding.compared,
    })
}

fn trial(case: &Case) -> Value {
    let sizes = case
        .sizes
        .iter()
        .map(|(dim, size)| (dim.clone(), json!(size)));
    json!({
        "sizes": sizes.collect::<Value>(),
        "lengths": case.lengths(),
        "seed": case.seed,
    })
}
