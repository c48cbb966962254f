//! The canonical text of a recurrence.
//!
//! The graph is cut into statements at states, outputs and named values, at values that are used more than
//! once, and where an expression grows too long. Statements are sorted by their dependencies, starting from the
//! states, the outputs, the losses and the remaining names. The order in which the graph was built has no
//! effect, so parsing and writing again changes nothing.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use indexmap::IndexMap;

use super::initial;
use super::lexer::is_name;
use super::lines::Lines;
use super::print_expr::Writer;
use super::roles::{check_roles, output_words};
use super::shifts::shifts;
use crate::error::{Error, Result};
use crate::op::{Broadcast, Linear, NodeId, Op, Over, RegisterId, Time};
use crate::recurrence::{Contents, Initial, LOSS, Recurrence};
use crate::tape::{Direction, Register, Role, Tape};

/// The greatest height of an expression without names.
const HEIGHT: usize = 24;

pub(super) fn source(recurrence: &Recurrence) -> Result<String> {
    let refuse = |reason: String| Error::NotInLanguage {
        recurrence: recurrence.name().into(),
        reason,
    };
    // Parsing merges equal delays of one value into one register.
    let recurrence = recurrence.with_together(shifts)?;
    let printer = Printer::new(&recurrence).map_err(refuse)?;
    printer.print().map_err(refuse)
}

/// The left-hand side of a statement.
#[derive(Clone, Debug)]
pub(super) enum Head {
    /// `h' =`
    Next,
    /// `a =`
    Value,
    /// `output a =`
    Output,
}

pub(super) struct Statement {
    pub(super) head: Head,
    /// The text that stands for the value in other expressions; empty if no name has been chosen yet.
    pub(super) name: String,
}

/// A state of the recurrence, or a register that can only be written as a state.
pub(super) struct State {
    pub(super) register: RegisterId,
    pub(super) name: String,
    /// The final value in each sequence, if it differs from the value carried at the end of the row.
    pub(super) end: Option<NodeId>,
    pub(super) inner: bool,
}

pub(super) struct Printer<'r> {
    pub(super) recurrence: &'r Recurrence,
    pub(super) tape: &'r Tape,
    initials: &'r IndexMap<Arc<str>, Initial>,
    pub(super) states: Vec<State>,
    /// The registers of `states`.
    pub(super) state_registers: HashSet<RegisterId>,
    pub(super) statements: HashMap<NodeId, Statement>,
    taken: HashSet<String>,
    /// Further names of values that have a statement or need none.
    aliases: Vec<(String, NodeId)>,
    pub(super) losses: Vec<NodeId>,
}

impl<'r> Printer<'r> {
    fn new(recurrence: &'r Recurrence) -> Result<Self, String> {
        let Contents {
            tape,
            states,
            outputs,
            roles,
            initials,
        } = recurrence.contents();
        check_roles(tape, roles)?;
        let mut printer = Self {
            recurrence,
            tape,
            initials,
            states: Vec::new(),
            state_registers: HashSet::new(),
            statements: HashMap::new(),
            taken: HashSet::new(),
            aliases: Vec::new(),
            losses: Vec::new(),
        };
        printer.take_leaves()?;
        printer.take_states(states)?;
        printer.take_names();
        printer.take_outputs(outputs)?;
        printer.cut();
        Ok(printer)
    }

    pub(super) fn register(&self, id: RegisterId) -> &'r Register {
        self.tape.register(id)
    }

    fn take_leaves(&mut self) -> Result<(), String> {
        if let Some(dim) = self.tape.dims().find(|d| !is_name(d)) {
            return Err(format!("the size `{dim}` is not a valid name"));
        }
        self.taken.extend(self.tape.dims().map(str::to_owned));
        for leaf in self.tape.leaves() {
            if !is_name(leaf.name()) || !self.taken.insert(leaf.name().into()) {
                let what = match leaf.role() {
                    Role::Parameter => "parameter",
                    Role::Input => "input",
                };
                return Err(format!("the {what} `{}` is not a valid name", leaf.name()));
            }
        }
        Ok(())
    }

    /// An unused name similar to `text`.
    pub(super) fn free(&mut self, text: &str) -> String {
        let letter = |c: char| if c.is_alphanumeric() { c } else { '_' };
        let mut name: String = match is_name(text) {
            true => text.into(),
            false => text.chars().map(letter).collect(),
        };
        if !is_name(&name) || name == LOSS {
            name = "value".into();
        }
        let plain = name.clone();
        let mut count = 2;
        while !self.taken.insert(name.clone()) {
            name = format!("{plain}_{count}");
            count += 1;
        }
        name
    }

    pub(super) fn live(&self) -> Vec<bool> {
        let outputs = self.recurrence.outputs();
        let mut roots: Vec<NodeId> = outputs
            .filter_map(|n| self.recurrence.output(n).ok())
            .collect();
        roots.extend(self.tape.names().map(|(_, id)| id));
        for id in self.recurrence.state_registers() {
            roots.extend(self.register(id).def());
            roots.extend(self.register(id).init());
        }
        roots.extend(self.recurrence.state_ends());
        self.tape.live(roots)
    }

    /// Returns true for constants, sizes, leaves and states, which need no statement.
    pub(super) fn is_trivial(&self, id: NodeId) -> bool {
        match &self.tape.node(id).op {
            Op::Constant(_) | Op::Leaf(_) => true,
            Op::Read(r) => self.state_registers.contains(r),
            _ => self.tape.size_as_number(id).is_some(),
        }
    }

    /// Follows `Hold` and scalar broadcasts from `id` to a statement or another op.
    pub(super) fn core(&self, mut id: NodeId) -> NodeId {
        while !self.statements.contains_key(&id) && self.is_held(id) {
            id = self.tape.node(id).args[0];
        }
        id
    }

    /// Returns true for `Hold` and scalar broadcasts, which may be omitted in the text.
    fn is_held(&self, id: NodeId) -> bool {
        matches!(
            self.tape.node(id).op,
            Op::Time(Time::Hold(_))
                | Op::Linear(Linear::Broadcast(Broadcast {
                    over: Over::All,
                    ..
                }))
        )
    }

    fn take_names(&mut self) {
        for (name, id) in self.tape.names() {
            let leaf = matches!(&self.tape.node(id).op, Op::Leaf(l) if self.tape.leaf(*l).name() == &**name);
            let mut carriers = self.tape.carriers(id);
            let state = carriers
                .any(|r| self.state_registers.contains(&r) && self.register(r).name() == &**name);
            // A constant, leaf or state whose name is that of its output is named by the output.
            let output = self.is_trivial(id) && self.recurrence.output_node(name) == Some(id);
            if leaf || state || output {
                continue;
            }
            let name = self.free(name);
            if self.is_trivial(id) || self.statements.contains_key(&id) {
                self.aliases.push((name, id));
            } else {
                let head = Head::Value;
                self.statements.insert(id, Statement { head, name });
            }
        }
    }

    fn take_outputs(&mut self, outputs: &IndexMap<Arc<str>, NodeId>) -> Result<(), String> {
        for (name, id) in outputs {
            let (name, id) = (&**name, *id);
            if name == LOSS {
                self.losses = self.loss_terms(id);
                continue;
            }
            if !is_name(name) {
                return Err(format!("the output `{name}` is not a valid name"));
            }
            let new = !self.is_trivial(id) && !self.statements.contains_key(&id);
            if new && self.taken.insert(name.into()) {
                // An output does not name a constant, so a constant is written as `output a = …`.
                let head = match self.tape.fill(id) {
                    Some(_) => Head::Output,
                    None => Head::Value,
                };
                let name = name.into();
                self.statements.insert(id, Statement { head, name });
            }
        }
        Ok(())
    }

    /// Makes statements of values that are used more than once and of expressions that grow too long.
    fn cut(&mut self) {
        let live = self.live();
        let mut uses: HashMap<NodeId, usize> = HashMap::new();
        let mut edges = Vec::new();
        let sums = self.loss_sums();
        for (id, node) in self.tape.nodes().filter(|(id, _)| live[id.index()]) {
            if self.core(id) == id && !sums.contains(&id) {
                edges.extend_from_slice(&node.args);
            }
            if let Op::Read(r) = node.op {
                edges.extend(self.register(r).def());
                edges.extend(self.register(r).init());
            }
        }
        let outputs = self.recurrence.outputs().filter(|n| *n != LOSS);
        edges.extend(outputs.filter_map(|n| self.recurrence.output(n).ok()));
        edges.extend(self.recurrence.state_ends());
        let mut said = HashSet::new();
        for term in &self.losses {
            // A second statement of the same loss uses its value once more.
            edges.push(match said.insert(term) {
                true => *term,
                false => self.loss_parts(*term).1,
            });
        }
        for edge in edges {
            *uses.entry(self.core(edge)).or_default() += 1;
        }
        let mut heights: Vec<usize> = vec![0; self.tape.len()];
        for id in self.inside_out() {
            let mut height = 0;
            for part in self.parts(id) {
                if !self.statements.contains_key(&part) {
                    height = height.max(heights[part.index()] + 1);
                }
            }
            // A `Hold` or scalar broadcast does not count, as it may be missing when the text is parsed.
            if self.is_held(id) {
                height = height.saturating_sub(1);
            }
            let shared = uses.get(&id).is_some_and(|n| *n > 1) || height > HEIGHT;
            let own = self.core(id) == id && !self.is_trivial(id);
            if live[id.index()] && shared && own && !self.statements.contains_key(&id) {
                let (head, name) = (Head::Value, String::new());
                self.statements.insert(id, Statement { head, name });
            }
            heights[id.index()] = height;
        }
    }

    /// The values that the text of a value mentions: its arguments, and the value that a delay delays.
    fn parts(&self, id: NodeId) -> Vec<NodeId> {
        let node = self.tape.node(id);
        let mut parts: Vec<NodeId> = node.args.to_vec();
        if let Op::Read(r) = node.op
            && !self.is_trivial(id)
        {
            parts.extend(self.register(r).def());
            parts.extend(self.register(r).init());
        }
        parts
    }

    /// All values, each after its parts: a delay may come before the value that it delays.
    fn inside_out(&self) -> Vec<NodeId> {
        let mut order = Vec::with_capacity(self.tape.len());
        let mut begun = vec![false; self.tape.len()];
        for (root, _) in self.tape.nodes() {
            let mut stack = vec![(root, false)];
            while let Some((id, done)) = stack.pop() {
                if done {
                    order.push(id);
                } else if !std::mem::replace(&mut begun[id.index()], true) {
                    stack.push((id, true));
                    let parts = self.parts(id).into_iter();
                    stack.extend(
                        parts
                            .filter(|part| !begun[part.index()])
                            .map(|part| (part, false)),
                    );
                }
            }
        }
        order
    }

    /// The statements mentioned by an expression, in order of occurrence; the statement of `of` itself is
    /// expanded.
    fn mentioned(&self, of: NodeId, found: &mut Vec<NodeId>) {
        let mut stack = vec![(of, true)];
        while let Some((id, whole)) = stack.pop() {
            if !whole && self.statements.contains_key(&id) {
                found.push(id);
                continue;
            }
            let next = self.parts(id).into_iter().rev();
            stack.extend(next.map(|n| (n, false)));
        }
    }

    /// The statements in dependency order, depth first from the roots.
    fn ordered(&self, roots: &[NodeId]) -> Vec<NodeId> {
        let mut order = Vec::new();
        let mut seen: HashSet<NodeId> = HashSet::new();
        for root in roots {
            let mut starts = Vec::new();
            if self.statements.contains_key(root) {
                starts.push(*root);
            } else {
                self.mentioned(*root, &mut starts);
            }
            let mut stack: Vec<(NodeId, bool)> = starts.iter().rev().map(|s| (*s, false)).collect();
            while let Some((id, done)) = stack.pop() {
                if done {
                    order.push(id);
                } else if seen.insert(id) {
                    stack.push((id, true));
                    let mut next = Vec::new();
                    self.mentioned(id, &mut next);
                    stack.extend(next.into_iter().rev().map(|n| (n, false)));
                }
            }
        }
        order
    }

    /// Output statements must keep the order of `outputs`. Those after the first one out of order become plain
    /// statements and are listed as outputs at the end.
    fn keep_outputs_in_order(&mut self, order: &[NodeId], outputs: &[(&str, NodeId)]) {
        let heads = order
            .iter()
            .filter(|id| matches!(self.statements[*id].head, Head::Output));
        let heads: Vec<NodeId> = heads.copied().collect();
        let own = |i: usize| {
            let (name, id) = outputs[i];
            heads.get(i) == Some(&id) && self.statements[&id].name == name
        };
        let kept = (0..outputs.len()).take_while(|i| own(*i)).count();
        for id in &heads[kept..] {
            if let Some(statement) = self.statements.get_mut(id) {
                statement.head = Head::Value;
            }
        }
    }

    fn print(mut self) -> Result<String, String> {
        let registers: Vec<&Register> = self
            .states
            .iter()
            .map(|s| self.register(s.register))
            .collect();
        let mut roots: Vec<NodeId> = registers.iter().filter_map(|r| r.init()).collect();
        roots.extend(registers.iter().filter_map(|r| r.def()));
        let recurrence = self.recurrence;
        let outputs = recurrence.outputs().filter(|n| *n != LOSS);
        let outputs: Vec<(&str, NodeId)> = outputs
            .filter_map(|n| Some((n, recurrence.output(n).ok()?)))
            .collect();
        roots.extend(outputs.iter().map(|o| o.1));
        roots.extend(recurrence.state_ends());
        roots.extend(&self.losses);
        roots.extend(self.aliases.iter().map(|a| a.1));
        roots.extend(self.tape.names().map(|n| n.1));
        let order = self.ordered(&roots);
        self.keep_outputs_in_order(&order, &outputs);
        let mut count = 0;
        for id in &order {
            if self.statements[id].name.is_empty() {
                let name = loop {
                    count += 1;
                    let name = format!("v{count}");
                    if self.taken.insert(name.clone()) {
                        break name;
                    }
                };
                if let Some(statement) = self.statements.get_mut(id) {
                    statement.name = name;
                }
            }
        }
        let names = self.statements.iter();
        let states = self.states.iter();
        let writer = Writer {
            tape: self.tape,
            dims: self.tape.dim_names(),
            names: names.map(|(id, s)| (*id, s.name.clone())).collect(),
            states: states.map(|s| (s.register, s.name.clone())).collect(),
        };
        self.write(&writer, &order, &outputs)
    }

    fn write(
        &self,
        writer: &Writer<'_>,
        order: &[NodeId],
        outputs: &[(&str, NodeId)],
    ) -> Result<String, String> {
        let mut lines = Lines::default();
        for (dim, symbol) in self.tape.symbols() {
            let item = match symbol.least() {
                0 => dim.to_owned(),
                least => format!("{dim} >= {least}"),
            };
            lines.item("dim", item);
        }
        for leaf in self.tape.leaves() {
            let (keyword, mut item) = writer.leaf(leaf);
            if let Some(initial) = self.initials.get(leaf.name()) {
                item = format!("{item} {}", initial::text(*initial, |d| writer.dim(d))?);
            }
            lines.item(keyword, item);
        }
        for State {
            register,
            name,
            inner,
            end: _,
        } in &self.states
        {
            let register = self.register(*register);
            let keyword = match (register.direction(), inner) {
                (Direction::Forward, false) => "state",
                (Direction::Forward, true) => "inner state",
                (Direction::Backward, false) => "backward state",
                (Direction::Backward, true) => "inner backward state",
            };
            let mut item = format!("{name}{}", writer.shape(register.ty.shape));
            if let Some(init) = register.init() {
                item = format!("{item} = {}", writer.value(self.unheld(init))?);
            }
            lines.item(keyword, item);
        }
        lines.gap();
        for id in order {
            let Statement { head, name } = &self.statements[id];
            match head {
                Head::Next => {
                    let def = match self.tape.node(*id).op {
                        Op::Time(Time::Hold(_)) => self.tape.node(*id).args[0],
                        _ => *id,
                    };
                    let text = match def == *id {
                        true => writer.definition(def)?,
                        false => writer.value(def)?,
                    };
                    lines.line(format!("{name} = {text}"));
                }
                Head::Value => lines.line(format!("{name} = {}", writer.definition(*id)?)),
                Head::Output => {
                    let words = output_words(self.recurrence.role(name));
                    lines.line(format!("{words} {name} = {}", writer.definition(*id)?));
                }
            }
        }
        // When parsed, these become statements like the ones above.
        for (name, id) in &self.aliases {
            lines.line(format!("{name} = {}", writer.value(*id)?));
        }
        for State { register, name, .. } in &self.states {
            let Some(def) = self.register(*register).def() else {
                continue;
            };
            let own = format!("{name}'");
            if self.statements.get(&def).is_none_or(|s| s.name != own) {
                lines.line(format!("{own} = {}", writer.value(self.carried(def))?));
            }
        }
        for State { name, end, .. } in &self.states {
            if let Some(end) = end {
                lines.line(format!("final state {name} = {}", writer.value(*end)?));
            }
        }
        for (name, id) in outputs {
            let statement = self.statements.get(id);
            if statement.is_some_and(|s| matches!(s.head, Head::Output) && s.name == **name) {
                continue;
            }
            let words = output_words(self.recurrence.role(name));
            let text = writer.value(*id)?;
            lines.line(if text == **name || text == format!("{name}'") {
                format!("{words} {text}")
            } else {
                format!("{words} {name} = {text}")
            });
        }
        for loss in &self.losses {
            lines.line(self.loss(*loss, writer)?);
        }
        Ok(lines.finish())
    }

    /// Returns true if a value has no statement and is written in place.
    pub(super) fn is_inline(&self, id: NodeId) -> bool {
        !self.statements.contains_key(&id)
    }

    /// The argument of an unnamed `Hold`, else the value itself.
    pub(super) fn unheld(&self, id: NodeId) -> NodeId {
        match self.tape.node(id) {
            n if matches!(n.op, Op::Time(Time::Hold(_))) && !self.statements.contains_key(&id) => {
                n.args[0]
            }
            _ => id,
        }
    }
}
