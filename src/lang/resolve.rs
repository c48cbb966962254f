//! Builds a recurrence from statements: resolves names, sorts by dependency, and calls the same [`Definition`]
//! that Rust programs use.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::ast::{self, Equation, Function, LeafKind, Name, Program};
use super::diagnostic::{Diagnostic, Reports, Span};
use super::order::{Item, Mentions, Order, order};
use super::vocabulary;
use crate::error::Error;
use crate::op::Expr;
use crate::recurrence::{Definition, Recurrence};
use crate::shape::{Dim, Rate, Shape, Type};

/// Builds the recurrence, or reports the errors.
pub(super) fn resolve(
    name: &str,
    source: &str,
    program: &Program,
    reports: &Reports,
) -> Option<Recurrence> {
    let defined = Recurrence::define(name, |r| Resolver::new(r, source, program, reports).run());
    if !reports.is_empty() {
        return None;
    }
    match defined.and_then(|recurrence| masked(recurrence, program)) {
        Ok(recurrence) => Some(recurrence),
        Err(Error::Definition { mistakes, .. }) => {
            for mistake in mistakes {
                // Errors of the finished graph are reported at the state that they name.
                let quoted: Vec<&str> = mistake.message.split('`').collect();
                let state = program
                    .states
                    .iter()
                    .find(|s| quoted.contains(&&*s.name.text));
                let mut diagnostic = Diagnostic::new(mistake.message.clone());
                if let Some(state) = state {
                    diagnostic = diagnostic.label(state.name.span, "");
                }
                reports.push(diagnostic);
            }
            None
        }
        Err(other) => {
            reports.push(Diagnostic::new(other.to_string()));
            None
        }
    }
}

/// The recurrence with the masks that its text declares.
fn masked(recurrence: Recurrence, program: &Program) -> Result<Recurrence, Error> {
    let masks = program.leaves.iter().filter(|l| l.kind == LeafKind::Mask);
    let mut names = masks.map(|mask| &*mask.name.text);
    names.try_fold(recurrence, |recurrence, name| recurrence.with_mask(name))
}

#[derive(Clone, Copy)]
pub(super) enum Entry {
    Leaf(usize),
    Item(Item),
}

/// `a = …` or `output a = …`.
pub(super) struct Value<'p> {
    pub(super) name: &'p Name,
    value: &'p ast::Expr,
    /// True if the node takes this name.
    labels: bool,
}

pub(super) struct Resolver<'d, 'p> {
    pub(super) r: &'d Definition,
    source: &'p str,
    pub(super) program: &'p Program,
    pub(super) reports: &'p Reports,
    pub(super) functions: HashMap<&'p str, &'p Function>,
    /// Names with two meanings or none, which are reported at one place only.
    pub(super) clashes: RefCell<HashSet<String>>,
    /// Functions that call themselves; they are not expanded.
    pub(super) endless: HashSet<&'p str>,
    pub(super) table: HashMap<&'p str, Entry>,
    pub(super) dims: HashMap<&'p str, Dim>,
    pub(super) dim_names: Vec<Arc<str>>,
    pub(super) values: Vec<Value<'p>>,
    nexts: HashMap<&'p str, usize>,
    /// The names of values that are written as whole numbers, with the number of a literal.
    pub(super) whole: HashMap<&'p str, Option<f64>>,
    leaves: Vec<Option<Expr<'d>>>,
    built: HashMap<Item, Option<Expr<'d>>>,
    /// The number of operations that calls have been expanded to.
    pub(super) work: Cell<usize>,
    pub(super) depth: Cell<usize>,
}

impl<'d, 'p> Resolver<'d, 'p> {
    fn new(r: &'d Definition, source: &'p str, program: &'p Program, reports: &'p Reports) -> Self {
        Self {
            r,
            source,
            program,
            reports,
            functions: HashMap::new(),
            clashes: RefCell::default(),
            endless: HashSet::new(),
            table: HashMap::new(),
            dims: HashMap::new(),
            dim_names: Vec::new(),
            values: Vec::new(),
            nexts: HashMap::new(),
            whole: HashMap::new(),
            leaves: Vec::new(),
            built: HashMap::new(),
            work: Cell::new(0),
            depth: Cell::new(0),
        }
    }

    fn run(mut self) {
        self.declare_functions();
        self.declare_dims();
        self.declare_leaves();
        self.declare_items();
        self.check_functions();
        let order = self.order();
        for cycle in &order.loops {
            self.report_loop(cycle);
        }
        let stuck: HashSet<Item> = order.loops.iter().flatten().copied().collect();
        for item in order.items {
            let value = if stuck.contains(&item) {
                None
            } else {
                self.build(item)
            };
            self.built.insert(item, value);
            if let (Item::Value(i), Some(_)) = (item, value) {
                let Value { name, value, .. } = self.values[i];
                if self.is_whole(value, None) {
                    self.whole.insert(&name.text, value.literal());
                }
            }
        }
        self.finish();
    }

    pub(super) fn fail(&self, span: Span, text: impl Into<String>) {
        self.reports.push(Diagnostic::at(span, text));
    }

    /// The text at a place, if it is short and on one line.
    pub(super) fn text(&self, span: Span) -> Option<&'p str> {
        let text = self.source.get(span.start..span.end)?;
        (text.len() <= 60 && !text.contains('\n')).then_some(text)
    }

    fn declare_functions(&mut self) {
        for function in &self.program.functions {
            let name = &function.name;
            if vocabulary::is_known(&name.text) {
                let text = format!("there already is a function `{}`", name.text);
                self.fail(name.span, text);
            } else if let Some(first) = self.functions.get(&*name.text) {
                self.twice(name, Some(first.name.span));
            } else {
                self.functions.insert(&name.text, function);
            }
        }
    }

    fn declare_dims(&mut self) {
        for ast::DimDecl { name, least } in &self.program.dims {
            if self.dims.contains_key(&*name.text) {
                let mut dims = self.program.dims.iter();
                let first = dims.find(|d| d.name.text == name.text).map(|d| d.name.span);
                self.twice(name, first);
                continue;
            }
            if name.text == "loss" {
                self.fail(name.span, "the name `loss` is taken");
                continue;
            }
            if self.functions.contains_key(&*name.text) {
                self.clash(name, "a size");
                continue;
            }
            let least = least
                .as_ref()
                .map_or(0, |least| self.least_size(name, least));
            let dim = self.r.dim_at_least(&name.text, least);
            self.dims.insert(&name.text, dim);
            self.dim_names.push((*name.text).into());
        }
    }

    /// Registers a name for a value.
    fn take(&mut self, name: &'p Name, entry: Entry) -> bool {
        if name.text == "loss" {
            let text = "the name `loss` is reserved for the loss in the results";
            let help = "a loss is written `loss e`, without `=`";
            self.reports
                .push(Diagnostic::at(name.span, text).help(help));
            return false;
        }
        if let Some(first) = self.table.get(&*name.text) {
            self.twice(name, Some(self.declared_at(*first)));
            return false;
        }
        if self.dims.contains_key(&*name.text) || self.functions.contains_key(&*name.text) {
            self.clash(name, "a value");
            return false;
        }
        self.table.insert(&name.text, entry);
        true
    }

    fn declared_at(&self, entry: Entry) -> Span {
        match entry {
            Entry::Leaf(i) => self.program.leaves[i].name.span,
            Entry::Item(Item::State(i)) => self.program.states[i].name.span,
            Entry::Item(Item::Value(i)) => self.values[i].name.span,
            Entry::Item(Item::Next(i)) => self.program.nexts[i].name.span,
        }
    }

    fn declare_leaves(&mut self) {
        for (i, leaf) in self.program.leaves.iter().enumerate() {
            self.leaves.push(None);
            if !self.take(&leaf.name, Entry::Leaf(i)) {
                continue;
            }
            // The finished definition is masked; until then, the name is taken.
            if leaf.kind == LeafKind::Mask {
                continue;
            }
            let (r, name) = (self.r, &*leaf.name.text);
            self.leaves[i] = match (&leaf.classes, leaf.kind) {
                (Some(classes), kind) => {
                    let own = self.size(classes, None).zip(self.shape(&leaf.shape, None));
                    own.map(|(n, shape)| match (kind, shape) {
                        (LeafKind::SampleInput, Shape::Scalar) => r.sample_class(name, n),
                        (LeafKind::SampleInput, shape) => r.sample_class_array(name, shape, n),
                        (_, Shape::Scalar) => r.class(name, n),
                        (_, shape) => r.class_array(name, shape, n),
                    })
                }
                (None, kind) => self.shape(&leaf.shape, None).map(|shape| match kind {
                    LeafKind::Param => {
                        let param = r.param(name, shape);
                        let start = leaf.start.as_ref();
                        if let Some(initial) = start.and_then(|s| self.initial(s, shape)) {
                            r.initial(name, initial);
                        }
                        param
                    }
                    LeafKind::Input => r.input(name, shape),
                    LeafKind::Mask | LeafKind::AppliedMask => r.mask(name),
                    LeafKind::SampleInput => r.sample_input(name, shape),
                }),
            };
            self.mark(leaf.role, &leaf.name, false);
        }
    }

    fn declare_items(&mut self) {
        let program = self.program;
        for (i, state) in program.states.iter().enumerate() {
            self.take(&state.name, Entry::Item(Item::State(i)));
        }
        for equation in &program.equations {
            self.add_value(&equation.name, &equation.value, true);
        }
        for output in program.outputs.iter().filter(|o| o.defines) {
            // An output may have the name of another item, such as a state or a size.
            let name = &*output.name.text;
            let taken = self.table.contains_key(name)
                || self.dims.contains_key(name)
                || self.functions.contains_key(name);
            if !taken && name != "loss" {
                self.add_value(&output.name, &output.value, false);
            }
        }
        for (i, next) in program.nexts.iter().enumerate() {
            let name = &*next.name.text;
            match self.table.get(name) {
                Some(Entry::Item(Item::State(_))) => {}
                // The duplicate name is reported at its declaration.
                Some(_) if program.states.iter().any(|s| s.name.text == name) => continue,
                Some(_) => {
                    let text = format!("`{name}` is not a state, so it has no next value");
                    let help = format!("declare it as a state: `state {name}`");
                    self.reports
                        .push(Diagnostic::at(next.name.span, text).help(help));
                    continue;
                }
                None => {
                    self.undefined_state(name, next.name.span);
                    continue;
                }
            }
            if let Some(first) = self.nexts.get(name) {
                let text = format!("the state `{name}` is given a next value twice");
                let first = program.nexts[*first].name.span;
                self.reports.push(
                    Diagnostic::new(text)
                        .label(next.name.span, "given again here")
                        .label(first, "first given here")
                        .help(format!(
                            "a value on the way has a name of its own: `a = …`, then `{name}' = a + …`"
                        )),
                );
            } else {
                self.nexts.insert(name, i);
            }
        }
        let equations: HashSet<&str> = program.equations.iter().map(|e| &*e.name.text).collect();
        for state in &program.states {
            let name = &*state.name.text;
            let is_state = matches!(self.table.get(name), Some(Entry::Item(Item::State(_))));
            // An equation with the name of the state is reported as such.
            let known = self.nexts.contains_key(name)
                || program.suspects.contains(name)
                || equations.contains(name);
            if is_state && !known {
                let text = format!("the state `{name}` has no next value");
                let help = format!("give its next value: `{name}' = …`");
                self.reports
                    .push(Diagnostic::at(state.name.span, text).help(help));
            }
        }
    }

    fn add_value(&mut self, name: &'p Name, value: &'p ast::Expr, labels: bool) {
        let i = self.values.len();
        self.values.push(Value {
            name,
            value,
            labels,
        });
        self.take(name, Entry::Item(Item::Value(i)));
    }

    fn equation(&self, item: Item) -> Option<&'p ast::Expr> {
        match item {
            Item::State(i) => self.program.states[i].init.as_ref(),
            Item::Value(i) => Some(self.values[i].value),
            Item::Next(i) => Some(&self.program.nexts[i].value),
        }
    }

    fn order(&self) -> Order {
        let states = (0..self.program.states.len()).map(Item::State);
        let values = (0..self.values.len()).map(Item::Value);
        let nexts = self.program.nexts.iter().enumerate();
        let nexts = nexts
            .filter(|(i, n)| self.nexts.get(&*n.name.text) == Some(i))
            .map(|(i, _)| Item::Next(i));
        let items: Vec<Item> = states.chain(values).chain(nexts).collect();
        let mut dependencies = HashMap::new();
        for item in &items {
            let mut on = Vec::new();
            if let Some(expr) = self.equation(*item) {
                let mentions = Mentions::of(expr, &self.functions);
                on.extend(
                    mentions
                        .names
                        .iter()
                        .filter_map(|n| match self.table.get(n) {
                            Some(Entry::Item(item)) => Some(*item),
                            _ => None,
                        }),
                );
                let nexts = mentions.nexts.iter();
                on.extend(nexts.filter_map(|n| Some(Item::Next(*self.nexts.get(n)?))));
            }
            if let Item::Next(i) = item
                && let Some(Entry::Item(state)) = self.table.get(&*self.program.nexts[*i].name.text)
            {
                on.push(*state);
            }
            // Sort by position in the file; the order of a hash table is not deterministic.
            on.sort_unstable();
            dependencies.insert(*item, on);
        }
        order(&items, &dependencies)
    }

    fn build(&self, item: Item) -> Option<Expr<'d>> {
        match item {
            Item::State(i) => {
                let built = self.build_state(i)?;
                if self.program.states[i].inner {
                    self.r.inner(&self.program.states[i].name.text);
                }
                Some(built)
            }
            Item::Value(i) => {
                let value = &self.values[i];
                let built = self.eval(value.value, None)?;
                if value.labels {
                    return Some(built.named(&value.name.text));
                }
                Some(built)
            }
            Item::Next(i) => self.build_next(&self.program.nexts[i]),
        }
    }

    fn build_state(&self, i: usize) -> Option<Expr<'d>> {
        let (r, state) = (self.r, &self.program.states[i]);
        let name = &*state.name.text;
        let shape = self.shape(&state.shape, None)?;
        let Some(init) = &state.init else {
            return Some(if state.backward {
                r.backward_state(name, shape)
            } else {
                r.state(name, shape)
            });
        };
        let mut start = self.real(init, None)?;
        if start.shape() == Some(Shape::Scalar) {
            start = start.spread(shape);
        }
        if start.rate() == Some(Rate::Step) {
            let text = format!("the initial value of `{name}` varies with the step");
            let help = "use `first(…)` or `last(…)` of it, or declare it as a `sample input`";
            self.reports
                .push(Diagnostic::at(init.span, text).help(help));
            return None;
        }
        self.same_shape(&state.name, shape, init.span, start)?;
        Some(if state.backward {
            r.backward_state_from(name, start)
        } else {
            r.state_from(name, start)
        })
    }

    pub(super) fn same_shape(
        &self,
        name: &Name,
        shape: Shape,
        span: Span,
        value: Expr<'d>,
    ) -> Option<()> {
        let found = value.shape()?;
        if found == shape {
            return Some(());
        }
        let (expected, found) = (self.shape_text(shape), self.shape_text(found));
        let text = format!("`{}` is {expected}, found {found}", name.text);
        self.reports.push(
            Diagnostic::new(text)
                .label(span, format!("expected {expected}, found {found}"))
                .label(name.span, format!("this is {expected}")),
        );
        None
    }

    fn build_next(&self, next: &'p Equation) -> Option<Expr<'d>> {
        let value = self.real(&next.value, None)?;
        let Some(Entry::Item(Item::State(i))) = self.table.get(&*next.name.text) else {
            return None;
        };
        let state = self.built.get(&Item::State(*i)).copied().flatten()?;
        let declared = &self.program.states[*i].name;
        self.same_shape(declared, state.shape()?, next.value.span, value)?;
        Some(self.r.next(state, value))
    }

    fn finish(&self) {
        let mut seen: HashMap<&str, Span> = HashMap::new();
        for output in &self.program.outputs {
            let name = &*output.name.text;
            if let Some(first) = seen.insert(name, output.name.span) {
                self.twice(&output.name, Some(first));
                continue;
            }
            if name == "loss" {
                let text = "the name `loss` is reserved for the loss in the results";
                self.fail(output.name.span, text);
                continue;
            }
            // The value of that name was built from this output.
            let value = match (output.defines, self.table.get(name)) {
                (true, Some(Entry::Item(Item::Value(i)))) if !self.values[*i].labels => {
                    match self.built.get(&Item::Value(*i)).copied().flatten() {
                        // An output must be real.
                        Some(value) if !value.ty().is_some_and(Type::is_real) => {
                            self.real(&output.value, None)
                        }
                        value => value,
                    }
                }
                _ => self.real(&output.value, None),
            };
            if let Some(value) = value {
                self.r.output(name, value);
            }
            self.mark(output.role, &output.name, true);
        }
        self.give_ends();
        for loss in &self.program.losses {
            let Some(value) = self.real(&loss.value, None) else {
                continue;
            };
            if value.shape() != Some(Shape::Scalar) {
                let found = value
                    .shape()
                    .map(|s| self.shape_text(s))
                    .unwrap_or_default();
                let text = format!("a loss must be a scalar, found {found}");
                let of = self.text(loss.value.span).unwrap_or("…");
                let help = format!("use `sum({of})`");
                self.reports
                    .push(Diagnostic::at(loss.value.span, text).help(help));
                continue;
            }
            match (loss.mean, loss.last) {
                (false, false) => self.r.loss(value),
                (true, false) => self.r.mean_loss(value),
                (false, true) => self.r.final_loss(value),
                (true, true) => self.r.mean_final_loss(value),
            }
        }
        Definition::order_states(self.r, self.program.states.iter().map(|s| &*s.name.text));
    }

    /// Returns `Some(true)` for states, `Some(false)` for other values, and `None` for other names.
    pub(super) fn is_state(&self, name: &str) -> Option<bool> {
        let entry = self.table.get(name)?;
        Some(matches!(entry, Entry::Item(Item::State(_))))
    }

    /// The value of a name.
    pub(super) fn lookup(&self, name: &str) -> Option<Option<Expr<'d>>> {
        Some(match self.table.get(name)? {
            Entry::Leaf(i) => self.leaves[*i],
            Entry::Item(item) => self.built.get(item).copied().flatten(),
        })
    }

    /// The value of `h'`.
    pub(super) fn lookup_next(&self, name: &str, span: Span) -> Option<Expr<'d>> {
        match self.table.get(name) {
            Some(Entry::Item(Item::State(_))) => {
                let i = self.nexts.get(name)?;
                self.built.get(&Item::Next(*i)).copied().flatten()
            }
            Some(_) => {
                let text = format!("`{name}` is not a state, so there is no `{name}'`");
                let help = format!(
                    "one step later is `advance({name})`, a transpose `{name}.T`, this step's value `{name}`"
                );
                self.reports.push(Diagnostic::at(span, text).help(help));
                None
            }
            None => {
                self.undefined_state(name, span);
                None
            }
        }
    }
}
