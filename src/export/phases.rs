//! The parts of a function: checks, what is done once, the steps of a pass, the outputs.

use super::body::{Body, sum, times};
use super::dialect::{Dialect, Problem};
use super::memory::{Array, Home, Place};
use super::record::{Field, Record};
use crate::exec::Real;
use crate::plan::{Carry, Instruction, Operand};

/// Conditions for the numbers of a record to be finite and numbers of classes.
pub(super) fn conditions(record: &Record, array: &str, words: &dyn Dialect) -> Vec<String> {
    let mut all = vec![words.all_finite(array, record.len)];
    all.retain(|_| record.len > 0);
    all.extend(
        record
            .fields
            .iter()
            .filter_map(|f| of_classes(f, array, words)),
    );
    all
}

fn of_classes(field: &Field, array: &str, words: &dyn Dialect) -> Option<String> {
    let classes = field.classes?;
    let start = (field.start > 0).then(|| field.start.to_string());
    let from = words.from(array, start.as_deref());
    Some(words.all_classes(&from, field.len, classes))
}

impl<F: Real> Body<'_, F> {
    pub(super) fn refuse_if(&mut self, condition: &str, problem: Problem) {
        let refusal = self.words.refuse(&self.module.upper(), problem);
        self.block(&self.words.if_so(condition), |body| body.line(&refusal));
    }

    /// Checks the parameters and the inputs that do not vary with the step.
    pub(super) fn check(&mut self) {
        let records = &self.module.records;
        for (record, array, problem) in [
            (&records.params, "params", Problem::BadParameter),
            (&records.starts, "inputs", Problem::BadInput),
        ] {
            let all = conditions(record, array, self.words);
            if !all.is_empty() {
                self.refuse_if(&format!("!({})", all.join(" && ")), problem);
            }
        }
    }

    pub(super) fn clear_sums(&mut self) {
        for place in self.module.sums() {
            let to = self.pointer_to(&place, 0);
            self.line(&format!("clear({to}, {});", place.len));
        }
    }

    pub(super) fn once(&mut self, index: usize) {
        let once: Vec<&Instruction> = self.module.plan().once[index].iter().collect();
        once.into_iter().for_each(|i| self.instruction(i));
    }

    /// Sets the registers of a pass to their initial values.
    pub(super) fn begin(&mut self, pass: usize) {
        let module = self.module;
        let carries = module.plan().carries.iter().filter(|c| c.pass == pass);
        for carry in carries {
            let Some(to) = self.beginning(carry) else {
                continue;
            };
            let len = carry.value.len;
            match &carry.init {
                Some(init) => {
                    let from = self.pointer(init, 0);
                    self.line(&format!("copy({to}, {from}, {len});"));
                }
                None => self.line(&format!("clear({to}, {len});")),
            }
        }
    }

    /// A pointer to the value of a register before the first step of its pass.
    pub(super) fn beginning(&mut self, carry: &Carry) -> Option<String> {
        let value = &carry.value;
        if let Home::Kept { .. } = self.module.memory.homes[value.buffer] {
            return Some(self.beside(value, carry.forward));
        }
        let shift = if carry.forward { -1 } else { 1 };
        let carried = self.module.carried(value.buffer, shift)?;
        let inside =
            carried.entries.start <= value.start && value.start + value.len <= carried.entries.end;
        inside.then(|| self.pointer(&Operand { shift, ..*value }, 0))
    }

    /// The instructions of a step of a pass, its outputs, and what the next step reads.
    pub(super) fn one_step(&mut self, pass: usize) {
        let module = self.module;
        for stage in &module.plan().passes[pass].stages {
            for work in &stage.body {
                self.instruction(&work.instruction);
            }
        }
        for (operand, at) in module.rows_of(pass) {
            let at = match module.by_step {
                true => at.to_string(),
                false => {
                    let (before, len) = (module.records.results.len, module.records.rows.len);
                    sum(&[before.to_string(), times(&self.step, len), at.to_string()])
                }
            };
            let to = self.later("outputs", &at);
            let from = self.pointer(&operand, 0);
            self.line(&format!("copy({to}, {from}, {});", operand.len));
        }
        for carried in module.memory.carried.iter().filter(|c| c.pass == pass) {
            let place = |shift| Place {
                array: Array::Buffer {
                    index: carried.buffer,
                    shift,
                },
                start: carried.entries.start,
                len: carried.entries.len(),
            };
            let (to, from) = (
                self.pointer_to(&place(carried.shift), 0),
                self.pointer_to(&place(0), 0),
            );
            self.line(&format!("copy({to}, {from}, {});", carried.entries.len()));
        }
    }

    pub(super) fn copy_results(&mut self) {
        for (operand, at) in self.module.results() {
            let from = self.pointer(&operand, 0);
            let to = self.later("outputs", &at.to_string());
            self.line(&format!("copy({to}, {from}, {});", operand.len));
        }
    }

    pub(super) fn return_if_finite(&mut self, len: &str) {
        let end = self.words.finish(&self.module.upper(), len);
        self.line(&end);
    }
}
