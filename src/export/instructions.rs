//! The instructions of a plan, as calls of helpers and loops.

use super::body::{Body, sum, times};
use super::module::part_of;
use super::tree::Line;
use crate::exec::Real;
use crate::op::{Axis, Contract, Dense, Edge, Extent, Move, Over, Reduce, Strides};
use crate::plan::{self, Instruction, Operand};

impl<F: Real> Body<'_, F> {
    pub(super) fn instruction(&mut self, instruction: &Instruction) {
        match instruction {
            Instruction::Program(index) => {
                let module = self.module;
                self.program(&module.plan().programs[*index]);
            }
            // A product reads its matrices where they are.
            Instruction::Pack(_) => {}
            Instruction::Gemm {
                out,
                start,
                segments,
                pack,
            } => {
                self.gemm(out, start.as_ref(), segments, *pack);
            }
            Instruction::OuterTotal { out, a, b, strong } => {
                for part in self.module.memory.parts(out) {
                    let (first, rows) = (part.start / b.len, part.len() / b.len);
                    let out = self.pointer(&part_of(out, part), 0);
                    let a = self.pointer(&part_of(a, first..first + rows), 0);
                    let right = self.pointer(b, 0);
                    let name = if *strong {
                        "add_strong_outer"
                    } else {
                        "add_outer"
                    };
                    self.line(&format!("{name}({out}, {a}, {rows}, {right}, {});", b.len));
                }
            }
            Instruction::Total { out, from, .. } => {
                for part in self.module.memory.parts(out) {
                    let (first, len) = (part.start, part.len());
                    let (out, from) = (part_of(out, part), part_of(from, first..first + len));
                    match len {
                        1 => {
                            let (to, from) = (self.module.place(&out), self.module.place(&from));
                            let value = self.read(&from, None);
                            self.write(&to, None, &value, true);
                        }
                        _ => {
                            let (to, from) = (self.pointer(&out, 0), self.pointer(&from, 0));
                            self.line(&format!("add({to}, {from}, {len});"));
                        }
                    }
                }
            }
            Instruction::MoveTotal {
                out,
                from,
                moved,
                class,
            } => {
                self.with_class(class.as_ref(), |body| body.moved(out, from, moved, true));
            }
            // There is one sample.
            Instruction::Pool { out, from } => self.copy(out, from),
            Instruction::Pick { out, from, edge } => match self.edge(*edge) {
                Some(condition) => self.block(&condition, |body| body.copy(out, from)),
                None => self.copy(out, from),
            },
            Instruction::Impulse { out, from, edge } => {
                self.clear(out);
                match self.edge(*edge) {
                    Some(condition) => self.block(&condition, |body| body.copy(out, from)),
                    None => self.copy(out, from),
                }
            }
            Instruction::Move { out, moves, class } => {
                let is_whole = match &moves[..] {
                    [(moved, from)] => {
                        is_copy(moved) && moved.extent[0] == out.len && from.len >= out.len
                    }
                    _ => false,
                };
                if !is_whole {
                    self.clear(out);
                }
                self.with_class(class.as_ref(), |body| {
                    for (moved, from) in moves {
                        body.moved(out, from, moved, false);
                    }
                });
            }
            Instruction::Contract {
                out,
                a,
                b,
                contract,
            } => {
                self.contract(out, [Some(a), b.as_ref()], contract);
            }
            Instruction::Reduce { out, from, op } => {
                let (out, x) = (self.pointer(out, 0), self.pointer(from, 0));
                self.line(&format!("{}({out}, {x}, {}, 1);", op.name(), from.len));
            }
            Instruction::Dense { out, args, op } => self.dense(out, args, *op),
            Instruction::Custom { .. } => unreachable!("custom ops are refused before"),
        }
    }

    fn program(&mut self, program: &plan::Program) {
        let lines = self.module.lines(program);
        let index = self.loops[0].clone();
        let has_locals = lines.iter().any(|line| matches!(line, Line::Local(..)));
        let (opening, index) = match (program.len, has_locals) {
            (1, false) => (None, None),
            (1, true) => (Some(String::new()), None),
            (len, _) => {
                let opening = self.words.over(&index, &len.to_string(), true);
                (Some(opening), Some(index.as_str()))
            }
        };
        let write = |body: &mut Self| {
            for line in &lines {
                match line {
                    Line::Local(number, value) => {
                        let value = body.expression(value, index);
                        body.declare_local(*number, &value);
                    }
                    Line::Store(place, value) => {
                        let value = body.expression(value, index);
                        body.write(place, index, &value, false);
                    }
                }
            }
        };
        match opening {
            Some(opening) => self.block(&opening, write),
            None => write(self),
        }
    }

    fn gemm(&mut self, out: &Operand, start: Option<&Operand>, segments: &[Operand], pack: usize) {
        match start {
            None => self.clear(out),
            Some(start) if start == out => {}
            Some(start) => self.copy(out, start),
        }
        let module = self.module;
        for part in &module.plan().packs[pack].parts {
            let [first, column] = part.at;
            let mut before = 0;
            for segment in segments {
                let from = first.max(before);
                let end = (first + part.k).min(before + segment.len);
                if from < end {
                    let (n, k) = (part.n, end - from);
                    let to = self.pointer(&part_of(out, column..column + n), 0);
                    let x = self.pointer(&part_of(segment, from - before..end - before), 0);
                    // The rows of the transpose are the columns of the matrix.
                    let is_rows = part.transposed || n == 1;
                    let stride = if part.transposed { part.columns } else { 1 };
                    let later = (from - first) * if is_rows { stride } else { 1 };
                    let matrix = self.pointer(&part.matrix, later);
                    let (name, stride) = match is_rows {
                        true => ("add_rows", stride),
                        false => ("add_columns", part.columns),
                    };
                    self.line(&format!("{name}({to}, {n}, {x}, {k}, {matrix}, {stride});"));
                }
                before += segment.len;
            }
        }
    }

    fn copy(&mut self, out: &Operand, from: &Operand) {
        let (to, from) = (self.pointer(out, 0), self.pointer(from, 0));
        self.line(&format!("copy({to}, {from}, {});", out.len));
    }

    fn clear(&mut self, out: &Operand) {
        let to = self.pointer(out, 0);
        self.line(&format!("clear({to}, {});", out.len));
    }

    /// The condition for a step to be at an edge; `None` if it always is.
    fn edge(&self, edge: Edge) -> Option<String> {
        let condition = match (edge, self.module.by_step) {
            (Edge::First, false) => format!("{} == 0", self.step),
            (Edge::First, true) => self.words.is_first().into(),
            (Edge::Last, false) => format!("{} + 1 == steps", self.step),
            // As if the sequence ended here.
            (Edge::Last, true) => return None,
        };
        Some(self.words.if_so(&condition))
    }

    /// Adds lines that use the number of a class.
    fn with_class(&mut self, class: Option<&Operand>, inner: impl FnOnce(&mut Self)) {
        let Some(class) = class else {
            return inner(self);
        };
        let place = self.module.place(class);
        let entry = self.read(&place, None);
        let leaf = self.module.leaf(class);
        let field = leaf.and_then(|leaf| self.module.records.inputs.field(leaf));
        let is_masked = leaf.is_some_and(|leaf| self.module.is_masked(leaf));
        let masked = field.and_then(|f| f.classes).filter(|_| is_masked);
        let chosen = self.words.class(&self.chosen, &entry, masked);
        self.block("", |body| {
            body.line(&chosen);
            inner(body);
        });
    }

    fn moved(&mut self, out: &Operand, from: &Operand, moved: &Move, adds: bool) {
        if is_copy(moved) {
            let (to, x) = (
                self.pointer(out, moved.to.start),
                self.pointer(from, moved.from.start),
            );
            let name = if adds { "add" } else { "copy" };
            return self.line(&format!("{name}({to}, {x}, {});", moved.extent[0]));
        }
        let [i, j, _] = self.loops.clone();
        let [rows, columns] = moved.extent;
        let chosen = self.chosen.clone();
        let index = |at: &Strides| {
            let row = if rows == 1 { 0 } else { at.rows };
            let column = if columns == 1 { 0 } else { at.columns };
            let terms = [
                at.start.to_string(),
                times(&chosen, at.class),
                times(&i, row),
                times(&j, column),
            ];
            sum(&terms)
        };
        let (to, x) = (index(&moved.to), index(&moved.from));
        let (out, from) = (self.module.place(out), self.module.place(from));
        let value = self.read(&from, Some(&x));
        self.over(&[(&i, rows), (&j, columns)], |body| {
            body.write(&out, Some(&to), &value, adds);
        });
    }

    /// Adds loops over several indices; those with one value are left out.
    fn over(&mut self, indices: &[(&str, usize)], inner: impl FnOnce(&mut Self)) {
        let several: Vec<_> = indices.iter().filter(|(_, n)| *n != 1).collect();
        for (index, n) in &several {
            self.open(&self.words.over(index, &n.to_string(), true));
        }
        inner(self);
        several.iter().for_each(|_| self.close());
    }

    fn contract(&mut self, out: &Operand, [a, b]: [Option<&Operand>; 2], contract: &Contract) {
        let [i, j, l] = self.loops.clone();
        let Contract { m, k, n, .. } = *contract;
        let mut factor = |operand: Option<&Operand>, terms: [String; 2]| {
            let place = self.module.place(operand?);
            Some(self.read(&place, Some(&sum(&terms))))
        };
        let along = |index: &str, count: usize, stride: usize| match count {
            1 => String::new(),
            _ => times(index, stride),
        };
        let x = factor(
            a,
            [along(&i, m, contract.a[0]), along(&l, k, contract.a[1])],
        );
        let y = factor(
            b,
            [along(&l, k, contract.b[0]), along(&j, n, contract.b[1])],
        );
        let x = x.unwrap_or_else(|| "1.0".into());
        let term = match (y, contract.strong) {
            (Some(y), true) => format!("strong({x}, {y})"),
            (Some(y), false) => format!("{x} * {y}"),
            (None, _) => x,
        };
        let place = self.module.place(out);
        let to = sum(&[along(&i, m, n), along(&j, n, 1)]);
        self.over(&[(&i, m), (&j, n)], |body| match k {
            1 => body.write(&place, Some(&to), &term, false),
            _ => {
                body.write(&place, Some(&to), "0.0", false);
                body.over(&[(&l, k)], |body| {
                    body.write(&place, Some(&to), &term, true);
                });
            }
        });
    }

    fn dense(&mut self, out: &Operand, args: &[(Operand, Extent)], op: Dense) {
        let Some((first, [rows, columns])) = args.first() else {
            return;
        };
        let (to, x) = (self.pointer(out, 0), self.pointer(first, 0));
        let n = *rows;
        let factored = |body: &mut Self, call: String| {
            body.block("", |body| {
                let [factors, order] = &body.scratch;
                let call = format!("{call}, {factors}, {order});");
                body.line(&body.words.factors(&body.scratch, n));
                body.line(&call);
            });
        };
        match op {
            Dense::Solve => {
                if let Some((right, [_, count])) = args.get(1) {
                    let b = self.pointer(right, 0);
                    factored(self, format!("solve({to}, {x}, {n}, {b}, {count}"));
                }
            }
            Dense::Inverse => factored(self, format!("inverse({to}, {x}, {n}")),
            Dense::LogDet => factored(self, format!("logdet({to}, {x}, {n}")),
            Dense::Cholesky => self.line(&format!("cholesky({to}, {x}, {n});")),
            Dense::Triangle { half } => {
                let diagonal = if half { "0.5" } else { "1.0" };
                self.line(&format!(
                    "lower_triangle({to}, {x}, {n}, {columns}, {diagonal});"
                ));
            }
            Dense::CumSum { axis, reverse } => {
                let name = if reverse {
                    "cumulative_sum_back"
                } else {
                    "cumulative_sum"
                };
                self.along(name, (out, first), (axis, [*rows, *columns]), false);
            }
            Dense::Along(op, axis) => {
                let is_one = op == Reduce::LogSumExp;
                self.along(op.name(), (out, first), (axis, [*rows, *columns]), is_one);
            }
            Dense::Extreme { largest, over } => {
                let name = if largest { "largest" } else { "smallest" };
                match over {
                    Over::All => self.line(&format!("{name}({to}, {x}, {}, 1);", rows * columns)),
                    Over::Axis(axis) => {
                        self.along(name, (out, first), (axis, [*rows, *columns]), true);
                    }
                }
            }
        }
    }

    /// Adds a call for each line along an axis of a matrix; if `is_one`, the value is one entry for each.
    fn along(
        &mut self,
        name: &str,
        (out, from): (&Operand, &Operand),
        (axis, [rows, columns]): (Axis, Extent),
        is_one: bool,
    ) {
        let (count, distance, step, len) = match axis {
            Axis::Rows => (columns, 1, columns, rows),
            Axis::Columns => (rows, columns, 1, columns),
        };
        let index = self.loops[0].clone();
        let mut later = |operand: &Operand, distance: usize| {
            let place = self.module.place(operand);
            let along = if count == 1 { 0 } else { distance };
            self.pointer_along(&place, &times(&index, along))
        };
        let (to, x) = (
            later(out, if is_one { 1 } else { distance }),
            later(from, distance),
        );
        self.over(&[(&index, count)], |body| {
            body.line(&format!("{name}({to}, {x}, {len}, {step});"));
        });
    }
}

/// True for consecutive entries to consecutive entries, without a class.
fn is_copy(moved: &Move) -> bool {
    let along = |at: &Strides| at.class == 0 && (at.rows == 1 || moved.extent[0] == 1);
    moved.extent[1] == 1 && along(&moved.from) && along(&moved.to)
}
