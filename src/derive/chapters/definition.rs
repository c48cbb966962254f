//! The recurrence as given: every value, the initial states, and the loss.

use super::writer::Writer;
use crate::derive::algebra::simplify::summed;
use crate::derive::algebra::term::{Index, Quantity, Term, Time};
use crate::derive::record::line::Line;
use crate::derive::record::part::Part;
use crate::derive::record::relation::Range;
use crate::derive::record::rule::Rule;
use crate::error::Result;
use crate::tape::Direction;

impl Writer<'_> {
    pub(super) fn definition(&mut self) -> Result<()> {
        for (name, id) in self.values() {
            let (at, range) = self.range(id);
            let right = self.reader.written(id, &at)?;
            let shape = self.shape(id);
            let left = Quantity::Value.of([&name], at);
            let equation = self.push(Line::Definition(name), Part::Definition, left, right);
            equation.range = range;
            equation.shape = Some(shape);
            equation.rules = vec![Rule::Definition];
        }
        self.initial()?;
        let loss = self.recurrence.loss_node()?;
        let right = self.reader.written(loss, &None)?;
        let right = match self.recurrence.step_loss() {
            Some(term) => {
                let now = Time::var('t');
                let of_step = self.reader.written(term, &Some(now.clone()))?;
                let left = Quantity::Loss.of([], [now.clone()]);
                let equation = self.push(Line::StepLoss, Part::Definition, left, of_step);
                equation.range = Range::all();
                equation.rules = vec![Rule::Definition];
                summed(Index::all('t'), Quantity::Loss.of([], [now]))
            }
            None => right,
        };
        let left = Quantity::Loss.of([], []);
        let equation = self.push(Line::Loss, Part::Definition, left, right);
        equation.rules = vec![Rule::Definition];
        Ok(())
    }

    /// Writes the initial states: the values beyond the ends of the sequence.
    fn initial(&mut self) -> Result<()> {
        for (index, register) in self.recurrence.tape().registers().iter().enumerate() {
            let id = crate::op::RegisterId::new(index);
            // An initial state that differs between the registers of a value is written where it is read.
            let held = self.reader.held(id);
            let Some((def, shift)) = held.filter(|_| !self.reader.starts_otherwise(id)) else {
                continue;
            };
            let Some(name) = self.tape.label(def) else {
                continue;
            };
            let at = match register.direction() {
                Direction::Forward => Time::at(1 + shift),
                Direction::Backward => Time::last().plus(shift),
            };
            let right = match register.init() {
                Some(init) => self.reader.term(init, &None)?,
                None => Term::Zero,
            };
            let shape = self.shape(def);
            let id = Line::Start(name.into(), shift.unsigned_abs());
            let left = Quantity::Value.of([&name.into()], [at]);
            // A parameter h0 is printed like the state h at step 0; the line would say nothing.
            let looks = |t: &Term| self.symbols.show(t);
            if looks(&left) == looks(&right) || self.line(&id).is_some() {
                continue;
            }
            let equation = self.push(id, Part::Definition, left, right);
            equation.shape = Some(shape);
            equation.rules = vec![Rule::Definition];
        }
        Ok(())
    }
}
