//! The bodies of the exported functions.

use super::body::{Body, line, sum, times};
use super::dialect::{Dialect, Problem};
use super::module::Module;
use super::phases::conditions;
use super::record::Field;
use crate::exec::Real;

impl<F: Real> Module<'_, F> {
    /// The beginning of constants.
    pub(super) fn upper(&self) -> String {
        self.name.to_ascii_uppercase()
    }

    /// The entries of the workspace that do not grow with the number of steps.
    pub(super) const fn workspace(&self) -> usize {
        self.memory.fixed + self.memory.beside
    }

    /// The equations of the recurrence; those of derivatives are cut.
    pub(super) fn equations(&self) -> String {
        const WIDTH: usize = 110;
        let text = self.program.recurrence().to_string();
        let short = |line: &str| match line.char_indices().nth(WIDTH) {
            Some((at, _)) => format!("{} …\n", &line[..at]),
            None => format!("{line}\n"),
        };
        text.lines().map(short).collect()
    }

    /// The check of the inputs of a step; none without inputs.
    pub(super) fn is_valid(&self, words: &dyn Dialect) -> Option<String> {
        let record = &self.records.inputs;
        if record.len == 0 {
            return None;
        }
        let mut text = String::new();
        let tape = self.program.recurrence().tape();
        let is_mask = |f: &&Field| tape.masks().any(|m| **m == *f.name);
        let masks: Vec<_> = record.fields.iter().filter(is_mask).collect();
        if !masks.is_empty() {
            let at = |mask: &&Field| mask.start.to_string();
            let bad = masks.iter().map(|m| {
                let from = words.from("inputs", Some(&at(m)));
                format!("!{}", words.all_finite(&from, 1))
            });
            let off = masks
                .iter()
                .map(|m| format!("{} == 0.0", words.read("inputs", &at(m))));
            let (bad, off): (Vec<String>, Vec<String>) = (bad.collect(), off.collect());
            for (condition, answer) in [(bad, false), (off, true)] {
                let (opening, answer) =
                    (words.if_so(&condition.join(" || ")), words.boolean(answer));
                line(
                    &mut text,
                    1,
                    &format!("{opening} {{\n    return {answer};\n}}"),
                );
            }
        }
        let all = conditions(record, "inputs", words).join(" && ");
        line(&mut text, 1, &words.answer(&all));
        Some(text)
    }

    /// A run over a sequence.
    pub(super) fn whole(&self, words: &dyn Dialect) -> String {
        let records = &self.records;
        let mut body = Body::new(self, words);
        body.refuse_if("steps == 0", Problem::NoSteps);
        body.check();
        let step = body.step.clone();
        if records.inputs.len > 0 {
            let (starts, inputs) = (records.starts.len, records.inputs.len);
            let at = sum(&[starts.to_string(), times(&step, inputs)]);
            let from = body.later("inputs", &at);
            body.block(&words.over(&step, "steps", true), |body| {
                body.refuse_if(&format!("!is_valid({from})"), Problem::BadInput);
            });
        }
        body.clear_sums();
        for (pass, spec) in self.plan().passes.iter().enumerate() {
            body.once(pass);
            body.begin(pass);
            body.steps(&words.over(&step, "steps", spec.forward), |body| {
                body.one_step(pass);
            });
        }
        body.once(self.plan().passes.len());
        body.copy_results();
        let rows = times("steps", records.rows.len);
        body.return_if_finite(&sum(&[records.results.len.to_string(), rows]));
        body.finish()
    }

    /// The entries of the workspace, as an expression.
    pub(super) fn room(&self) -> String {
        sum(&[
            self.workspace().to_string(),
            times("steps", self.memory.per_step),
        ])
    }

    /// The beginning of a sequence, one step at a time.
    pub(super) fn start(&self, words: &dyn Dialect) -> String {
        let mut body = Body::new(self, words);
        body.check();
        body.clear_sums();
        body.once(0);
        body.begin(0);
        body.return_if_finite("0");
        body.finish()
    }

    /// One step.
    pub(super) fn step(&self, words: &dyn Dialect) -> String {
        let mut body = Body::new(self, words);
        if self.records.inputs.len > 0 {
            body.refuse_if("!is_valid(inputs)", Problem::BadInput);
        }
        body.one_step(0);
        body.line(words.count_step());
        body.return_if_finite(&self.records.rows.len.to_string());
        body.finish()
    }

    /// The outputs so far.
    pub(super) fn so_far(&self, words: &dyn Dialect) -> String {
        let mut body = Body::new(self, words);
        body.once(1);
        body.copy_results();
        body.return_if_finite(&self.records.results.len.to_string());
        body.finish()
    }

    /// The lines that set sums to zero, after a line of the language and before another.
    pub(super) fn take(&self, words: &dyn Dialect, [first, last]: [&str; 2]) -> String {
        let mut body = Body::new(self, words);
        body.line(first);
        body.clear_sums();
        body.line(last);
        body.finish()
    }

    /// The values that depend on the parameters alone.
    pub(super) fn renew(&self, words: &dyn Dialect) -> String {
        let mut body = Body::new(self, words);
        let params = words.from(&words.state("params"), None);
        let all = conditions(&self.records.params, &params, words);
        if !all.is_empty() {
            body.refuse_if(&format!("!({})", all.join(" && ")), Problem::BadParameter);
        }
        body.once(0);
        body.return_if_finite("0");
        body.finish()
    }
}
