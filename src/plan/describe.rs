//! The description of a plan: its instructions in order, their operands and costs, and the values
//! kept.

use std::fmt::{self, Write};

use super::{Buffer, Instruction, Operand, Plan, Storage};
use crate::error::counted;
use crate::op::{Edge, Op};
use crate::shape::Rate;

/// The meaning of a row, as text.
const fn per(rate: Rate) -> &'static str {
    match rate {
        Rate::Static => "once",
        Rate::Sample => "for each sample",
        Rate::Step => "for each step and sample",
    }
}

const fn word(edge: Edge) -> &'static str {
    match edge {
        Edge::First => "first",
        Edge::Last => "last",
    }
}

impl Plan {
    /// A description of the plan.
    ///
    /// The text lists the passes over time, their loops and their work for many steps at once, with
    /// the operands, the floating-point operations and the numbers read and written per step and
    /// sample. The values kept from one pass to another follow. `x[t-1]` and `x[t+1]` are values of
    /// the previous and the next step; `%7` is a value without a name. A number takes 4 bytes in
    /// `f32` and 8 in `f64`.
    ///
    /// ```
    /// use bptt::{Wrt, cells::{Cell, Loss}};
    /// let model = Cell::rnn().model("rnn", Loss::SquaredError)?;
    /// let program = model.compile::<f64>(&[("H", 8), ("K", 3), ("O", 2)])?;
    /// let text = program.plan().describe();
    /// assert!(text.contains("h = tanh(a)"), "{text}");
    /// # Ok::<(), bptt::Error>(())
    /// ```
    #[must_use]
    pub fn describe(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, to: &mut String) -> fmt::Result {
        for (index, once) in self.once.iter().enumerate() {
            let Some(pass) = self.passes.get(index) else {
                self.group(to, "at the end", once.iter())?;
                break;
            };
            let before = format!("before pass {}", index + 1);
            self.group(to, &before, once.iter())?;
            let over = if pass.forward { "1 to T" } else { "T to 1" };
            writeln!(to, "pass {}, over t from {over}", index + 1)?;
            for stage in &pass.stages {
                let title = if stage.is_loop {
                    "  step by step"
                } else {
                    "  many steps at once"
                };
                self.group(to, title, stage.body.iter().map(|w| &w.instruction))?;
            }
        }
        self.memory(to)?;
        self.totals(to)
    }

    fn group<'a>(
        &'a self,
        to: &mut String,
        title: &str,
        instructions: impl Iterator<Item = &'a Instruction>,
    ) -> fmt::Result {
        let mut instructions = instructions.peekable();
        if instructions.peek().is_none() {
            return Ok(());
        }
        writeln!(to, "{title}")?;
        let indent = title.len() - title.trim_start().len() + 2;
        for instruction in instructions {
            for line in self.instruction(instruction).lines() {
                writeln!(to, "{:indent$}{line}", "")?;
            }
            let (flops, moved) = (self.flops(instruction), self.moved(instruction));
            if flops + moved > 0 {
                let per = per(instruction.rate(&self.programs));
                let inner = indent + 4;
                let (flops, moved) = (counted(flops, "flop"), counted(moved, "number"));
                writeln!(to, "{:inner$}{flops}, {moved} {per}", "")?;
            }
        }
        Ok(())
    }

    /// The result of an instruction, as a formula.
    pub(crate) fn instruction(&self, instruction: &Instruction) -> String {
        let name = |o: &Operand| self.operand(o);
        match instruction {
            Instruction::Program(index) => self.program(*index),
            Instruction::Pack(index) => {
                let pack = &self.packs[*index];
                let parts = pack.parts.iter().map(|p| {
                    let transposed = if p.transposed { "ᵀ" } else { "" };
                    format!("{}{transposed}", name(&p.matrix))
                });
                let parts = parts.collect::<Vec<_>>().join(" ");
                format!("pack {} × {}: {parts}", pack.n, pack.k)
            }
            Instruction::Gemm {
                out,
                start,
                segments,
                pack,
            } => {
                let sign = match start {
                    None => "=".to_owned(),
                    Some(start) if start == out => "+=".to_owned(),
                    Some(start) => format!("= {} +", name(start)),
                };
                let pack = &self.packs[*pack];
                format!(
                    "{} {sign} matrix {} × {} · {}",
                    name(out),
                    pack.n,
                    pack.k,
                    self.list(segments)
                )
            }
            Instruction::OuterTotal { out, a, b, .. } => {
                format!("{} += Σ {} · {}ᵀ", name(out), name(a), name(b))
            }
            Instruction::Total { out, from, .. } => format!("{} += Σ {}", name(out), name(from)),
            Instruction::Pool { out, from } => {
                format!("{} = Σ {} over the samples", name(out), name(from))
            }
            Instruction::MoveTotal { out, from, .. } => {
                format!("{} += Σ {}, each at its place", name(out), name(from))
            }
            Instruction::Pick { out, from, edge } => {
                format!("{} = {} at the {} step", name(out), name(from), word(*edge))
            }
            Instruction::Impulse { out, from, edge } => {
                format!(
                    "{} = {} at the {} step, else 0",
                    name(out),
                    name(from),
                    word(*edge)
                )
            }
            Instruction::Move { out, moves, .. } => {
                let from: Vec<Operand> = moves.iter().map(|(_, from)| *from).collect();
                format!("{} = moved {}", name(out), self.list(&from))
            }
            Instruction::Contract { out, a, b, .. } => {
                let b = b.as_ref().map(|b| format!(", {}", name(b)));
                format!(
                    "{} = product of {}{}",
                    name(out),
                    name(a),
                    b.unwrap_or_default()
                )
            }
            Instruction::Reduce { out, from, op } => {
                format!("{} = {}({})", name(out), Op::Reduce(*op).name(), name(from))
            }
            Instruction::Dense { out, args, op } => {
                let args: Vec<Operand> = args.iter().map(|(a, _)| *a).collect();
                format!("{} = {}({})", name(out), op.name(), self.list(&args))
            }
            Instruction::Custom { out, args, op, .. } => {
                let args: Vec<Operand> = args.iter().map(|(a, _)| *a).collect();
                {
                    let op = Op::Custom(op.clone());
                    format!("{} = {}({})", name(out), op.name(), self.list(&args))
                }
            }
        }
    }

    /// The values kept, longest storage first.
    fn memory(&self, to: &mut String) -> fmt::Result {
        let kinds = [
            (
                Storage::Full,
                "kept for the whole sequence, for each step and sample",
            ),
            (
                Storage::Chunk,
                "kept for a chunk of time, for each step and sample",
            ),
            (Storage::Local, "kept within a step, for each sample"),
            (Storage::Sample, "one for each sample"),
            (Storage::Static, "one for all"),
        ];
        writeln!(to, "memory")?;
        for (storage, title) in kinds {
            let buffers: Vec<&Buffer> = self
                .buffers
                .iter()
                .filter(|b| b.storage == storage)
                .collect();
            if buffers.is_empty() {
                continue;
            }
            let width: usize = buffers.iter().map(|b| b.width).sum();
            let names = buffers
                .iter()
                .flat_map(|b| &b.values)
                .map(|v| v.name.as_str());
            let names = names.collect::<Vec<_>>().join(", ");
            writeln!(to, "  {title}: {}: {names}", counted(width, "number"))?;
        }
        let packs: usize = self.packs.iter().map(|p| p.k * p.n).sum();
        writeln!(to, "  packed matrices: {}", counted(packs, "number"))
    }

    fn totals(&self, to: &mut String) -> fmt::Result {
        let counts = self.counts();
        writeln!(to, "in total")?;
        for (direction, tally) in &counts.loops {
            writeln!(
                to,
                "  {} loop: {} and {} a step",
                direction.text(),
                counted(tally.products, "product"),
                counted(tally.programs, "fused pass")
            )?;
        }
        let (outside, once) = (counts.outside, counts.once.flops + counts.per_sample.flops);
        writeln!(
            to,
            "  outside loops: {}, {} of outer products, {}",
            counted(outside.products, "product"),
            counted(outside.outer_products, "sum"),
            counted(outside.programs, "fused pass")
        )?;
        let step = counts.flops(1, 1) - once;
        let products = counts.product_flops(1, 1)
            - counts.once.product_flops
            - counts.per_sample.product_flops;
        writeln!(
            to,
            "  {} for each step and sample, {products} of them in matrix products",
            counted(step, "flop")
        )
    }

    fn list(&self, operands: &[Operand]) -> String {
        let names: Vec<String> = operands.iter().map(|o| self.operand(o)).collect();
        names.join(" ")
    }

    /// The names of the values in an operand.
    pub(crate) fn operand(&self, operand: &Operand) -> String {
        let end = operand.start + operand.len;
        let step = match operand.shift {
            0 => "",
            s if s < 0 => "[t-1]",
            _ => "[t+1]",
        };
        let values = self.buffers[operand.buffer].values.iter();
        let covered = values.filter(|v| v.start < end && operand.start < v.start + v.len);
        let names = covered.map(|v| {
            let (from, to) = (operand.start.max(v.start), end.min(v.start + v.len));
            if to - from == v.len {
                format!("{}{step}", v.name)
            } else {
                format!("{}{step}({}..{})", v.name, from - v.start, to - v.start)
            }
        });
        let names: Vec<String> = names.collect();
        match &names[..] {
            [one] => one.clone(),
            _ => format!("[{}]", names.join(" ")),
        }
    }
}
