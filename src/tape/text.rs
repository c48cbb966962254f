//! A tape as text: expressions in the recurrence language, and a listing of all nodes.

use std::fmt::{self, Write};

use super::Tape;
use crate::op::{Axis, Linear, NodeId, Notation, Op, Over, Pointwise, Sum};
use crate::shape::{Dim, Shape};

/// The depth at which an expression is cut with `…`.
const DEPTH: usize = 10;

impl Tape {
    /// The expression of a node in the recurrence language, expanded down to named nodes.
    #[must_use]
    pub fn expression(&self, id: NodeId) -> String {
        self.operand(id, 0, DEPTH)
    }

    /// The definition of a node: like [`expression`](Self::expression), but the node itself is
    /// expanded even if it has a name.
    #[must_use]
    pub fn definition(&self, id: NodeId) -> String {
        let node = self.node(id);
        self.written(&node.op, &node.args, 0, DEPTH)
    }

    /// The text of an op applied to nodes; the op need not accept them.
    pub(super) fn application(&self, op: &Op, args: &[NodeId]) -> String {
        format!("`{}`", self.written(op, args, 0, DEPTH))
    }

    /// The size of which a node is the value: the sum of that many ones.
    pub(crate) fn size_as_number(&self, id: NodeId) -> Option<Dim> {
        let node = self.node(id);
        if !matches!(node.op, Op::Linear(Linear::Sum(Sum(Over::All)))) {
            return None;
        }
        let ones = node.args[0];
        let (Some(1.0), Shape::Vector(size)) = (self.fill(ones), self.ty(ones).shape) else {
            return None;
        };
        let name = size.named_terms().next()?.0;
        (size == Dim::named(name)).then_some(size)
    }

    fn operand(&self, id: NodeId, strength: u8, depth: usize) -> String {
        if let Some(name) = self.label(id) {
            // `h'` is the next value of a state; `h` is its value before the step.
            let mut carriers = self.carriers(id);
            let next = carriers.any(|r| &*self.register(r).name == name);
            return if next {
                format!("{name}'")
            } else {
                name.into()
            };
        }
        if let Some(size) = self.size_as_number(id) {
            return size.text(&self.dim_names());
        }
        let node = self.node(id);
        if depth == 0 && !node.args.is_empty() {
            return "…".into();
        }
        self.written(&node.op, &node.args, strength, depth)
    }

    fn written(&self, op: &Op, args: &[NodeId], strength: u8, depth: usize) -> String {
        let depth = depth.saturating_sub(1);
        let notation = op.notation();
        let own = notation.strength();
        let text = match notation {
            Notation::Atom => self.atom(op),
            Notation::Silent => return self.operand(args[0], strength, depth + 1),
            Notation::Infix { text, .. } => {
                // The right operand of `-` and `/` binds more tightly than the left one.
                let [left, right] = [args[0], args[1]];
                let (l, r) = (
                    self.operand(left, own, depth),
                    self.operand(right, own + 1, depth),
                );
                format!("{l} {text} {r}")
            }
            Notation::Prefix { text } => format!("{text}{}", self.operand(args[0], own + 1, depth)),
            Notation::Suffix { text, .. } => {
                format!("{}{text}", self.operand(args[0], own + 1, depth))
            }
            Notation::Call { text, settings, .. } => {
                let names = self.dim_names();
                let parts: Vec<String> = args
                    .iter()
                    .map(|a| self.operand(*a, 0, depth))
                    .chain(settings.iter().map(|s| s.text(&|d| d.text(&names))))
                    .collect();
                format!("{text}({})", parts.join(", "))
            }
        };
        if own < strength {
            format!("({text})")
        } else {
            text
        }
    }

    /// Writes the line of a node, with a name as a comment.
    pub(crate) fn write_node(
        &self,
        f: &mut fmt::Formatter<'_>,
        id: NodeId,
        name: Option<&str>,
    ) -> fmt::Result {
        let node = self.node(id);
        let mut line = format!("%{} = {}", id.index(), mnemonic(&node.op));
        match &node.op {
            Op::Constant(_) | Op::Leaf(_) | Op::Read(_) => {
                write!(line, " {}", self.atom(&node.op))?;
            }
            _ => {
                for arg in &node.args {
                    write!(line, " %{}", arg.index())?;
                }
            }
        }
        let name = name.map(|n| format!("  # {n}")).unwrap_or_default();
        writeln!(f, "{line:<32} : {}{name}", node.ty.text(&self.dim_names()))
    }

    fn atom(&self, op: &Op) -> String {
        match op {
            Op::Constant(c) => crate::error::number(c.value()),
            Op::Leaf(leaf) => self.leaf(*leaf).name.to_string(),
            Op::Read(register) => self.register(*register).name.to_string(),
            _ => op.name().into(),
        }
    }
}

impl fmt::Display for Tape {
    /// One line per node, then the registers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (id, _) in self.nodes() {
            self.write_node(f, id, self.label(id))?;
        }
        for register in &self.registers {
            let show = |id: Option<NodeId>| id.map_or("0".into(), |i| format!("%{}", i.index()));
            writeln!(
                f,
                "register {} : {}, init {}, carries {}",
                register.name,
                register.direction.text(),
                show(register.init),
                show(register.def)
            )?;
        }
        Ok(())
    }
}

/// The name of an op, with the settings that distinguish it from ops of the same name.
fn mnemonic(op: &Op) -> String {
    match op {
        Op::Pointwise(Pointwise::Powi(n)) => format!("powi^{n}"),
        Op::Linear(Linear::Sum(Sum(Over::Axis(Axis::Rows)))) => "sum_rows".into(),
        Op::Linear(Linear::Sum(Sum(Over::Axis(Axis::Columns)))) => "sum_columns".into(),
        Op::Time(_) => match op.notation() {
            Notation::Call { text, .. } => text,
            _ => op.name().into(),
        },
        _ => op.name().into(),
    }
}
