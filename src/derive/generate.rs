//! From a recurrence to its derivation.

use std::collections::HashSet;
use std::sync::Arc;

use indexmap::IndexMap;

use super::algebra::chain::Carried;
use super::algebra::normal::add;
use super::algebra::shapes::Function;
use super::algebra::simplify::{beside_step, summed};
use super::algebra::term::{Name, Term, Time, visit};
use super::notation::symbols::Symbols;
use super::reading::engine::{reader, tangent};
use super::reading::naming;
use super::reading::read::Reader;
use super::record::apart::Apart;
use super::record::derivation::Derivation;
use super::record::equation::{Check, Equation, Letter};
use super::record::part::{Level, Part};
use super::record::relation::{Range, Relation};
use super::record::rule::Rule;
use super::record::step::{Step, now, rules_of};
use super::rules::known::{Known, scalars};
use super::rules::proof::Made;
use super::{forms, jacobian, stack};
use crate::error::Result;
use crate::op::{NodeId, Op, Pointwise};
use crate::recurrence::{AdjointGraph, Recurrence};
use crate::shape::{Rate, Shape};
use crate::tape::{Direction, Register, Role, Tape};

impl Recurrence {
    /// The derivation of the gradient of the loss: equations for every named value, parameter,
    /// input and initial state, read off the graphs that compute it.
    ///
    /// ```
    /// use bptt::cells::{Cell, Loss};
    /// use bptt::render::Charset;
    /// let rnn = Cell::rnn().model("rnn", Loss::SquaredError)?;
    /// let derivation = rnn.derive()?;
    /// let line = derivation.equation("delta.h").map(|e| derivation.formula(e));
    /// assert_eq!(
    ///     line.map(|l| l.text(Charset::Unicode)).as_deref(),
    ///     Some("δʰₜ = W_Oᵀ δᵒₜ + W_Hᵀ δᵃₜ₊₁")
    /// );
    /// # Ok::<(), bptt::Error>(())
    /// ```
    ///
    /// # Errors
    /// When there is no loss, or something that a derivation has no words for: a register that
    /// reads another one which runs the other way.
    pub fn derive(&self) -> Result<Derivation> {
        self.derive_with(&[])
    }

    /// The same, with some names shown otherwise: `[("og", "o"), ("o", "z")]`.
    ///
    /// # Errors
    /// Also when two names would look the same.
    pub fn derive_with(&self, aliases: &[(&str, &str)]) -> Result<Derivation> {
        let apart = Apart::new(self);
        let alone = apart.recurrence(self).without_ends()?;
        let whole = alone.with_registers_together()?;
        let recurrence = naming::named(&whole)?;
        let tape = recurrence.tape();
        let varies = |id: NodeId| tape.ty(id).rate == Rate::Step;
        let shown: Vec<(Name, bool)> = tape
            .names()
            .map(|(name, id)| (Arc::clone(name), varies(id)))
            .collect();
        let initial = naming::starts(tape);
        let sizes: Vec<&str> = tape.dims().collect();
        let numbers = scalars(tape);
        let aliases = apart.aliases(aliases);
        let symbols = Symbols::new(self.name(), &shown, &aliases, &initial, &sizes, numbers)?;
        let back = |r: &Register| r.direction() == Direction::Backward;
        let mirrored = match tape.registers().iter().any(back) {
            true => Some(Self::derive_forward(
                recurrence.reversed()?,
                symbols.clone(),
            )?),
            false => None,
        };
        let mut derivation = Self::derive_forward(recurrence, symbols)?;
        derivation.apart = apart;
        if let Some(mirrored) = mirrored {
            derivation.add_mirrored(mirrored);
        }
        Ok(derivation)
    }

    /// The derivation of a recurrence in which everything has a name, without what is said of chains
    /// that run backwards.
    fn derive_forward(recurrence: Self, symbols: Symbols) -> Result<Derivation> {
        let targets = targets(&recurrence);
        let names: Vec<&str> = targets.iter().map(|n| &**n).collect();
        let graph = recurrence.adjoint_graph(&names)?;
        let reader = reader(&graph, recurrence.name());
        let scalars = scalars(&graph.tape);
        let mut writer = Writer {
            recurrence: &recurrence,
            tape: &graph.tape,
            graph: &graph,
            reader: &reader,
            symbols: &symbols,
            scalars: &scalars,
            state: Vec::new(),
            letters: IndexMap::new(),
            equations: Vec::new(),
        };
        writer.definition()?;
        writer.differentials()?;
        writer.adjoints()?;
        writer.gradients()?;
        writer.initial_gradients()?;
        forms::master(&mut writer);
        forms::compact(&mut writer);
        stack::write(&mut writer);
        jacobian::write(&mut writer);
        forms::carousel(&mut writer);
        let Writer {
            state,
            equations,
            letters,
            ..
        } = writer;
        let functions = reader.functions.take();
        let kinks = naming::has_kinks(recurrence.tape());
        Ok(Derivation {
            name: recurrence.name().into(),
            graph: Arc::new(graph),
            symbols,
            functions,
            letters,
            states: state,
            back: Vec::new(),
            reversed: Vec::new(),
            reaches: Vec::new(),
            apart: Apart::default(),
            kinks,
            equations,
            recurrence,
        })
    }
}

/// What to differentiate with respect to: every real name, but not what only the loss reads.
fn targets(recurrence: &Recurrence) -> Vec<Name> {
    let tape = recurrence.tape();
    let carried = tape.registers().iter().filter_map(|r| r.def());
    let inner = tape
        .names()
        .map(|(_, id)| id)
        .filter(|id| !matches!(tape.node(*id).op(), Op::Leaf(_)));
    let used = tape.live(carried.chain(inner));
    let wanted = |id: NodeId| {
        let leaf = tape.leaves().iter().find(|l| l.node == id);
        let target = leaf.is_some_and(|l| l.role == Role::Input) && !used[id.index()];
        tape.ty(id).is_real() && !target
    };
    let mut found: Vec<(NodeId, Name)> = tape
        .names()
        .filter(|(name, id)| wanted(*id) && tape.label(*id) == Some(name))
        .map(|(name, id)| (id, Arc::clone(name)))
        .collect();
    found.sort();
    found.into_iter().map(|(_, name)| name).collect()
}

pub(crate) struct Writer<'a> {
    pub(crate) recurrence: &'a Recurrence,
    pub(crate) tape: &'a Tape,
    pub(crate) graph: &'a AdjointGraph,
    pub(crate) reader: &'a Reader<'a>,
    pub(crate) symbols: &'a Symbols,
    /// The values that are numbers.
    pub(crate) scalars: &'a HashSet<Name>,
    /// The state that Jacobians are about.
    pub(crate) state: Vec<Carried>,
    pub(crate) letters: IndexMap<Name, Letter>,
    pub(crate) equations: Vec<Equation>,
}

impl Writer<'_> {
    pub(crate) fn shape(&self, id: NodeId) -> Vec<String> {
        let names = self.tape.dim_names();
        let dims = self.tape.ty(id).shape.dims();
        let mut dims: Vec<String> = dims.iter().map(|d| d.text(&names)).collect();
        if dims.len() == 1 {
            dims.push("1".into());
        }
        dims
    }

    pub(crate) fn range(&self, id: NodeId) -> (Option<Time>, Range) {
        match self.tape.ty(id).rate {
            Rate::Step => (now(), Range::all()),
            _ => (None, Range::once()),
        }
    }

    pub(crate) fn push(
        &mut self,
        id: String,
        part: Part,
        left: Term,
        right: Term,
    ) -> &mut Equation {
        let at = self.equations.len();
        let right = beside_step(&left, right);
        self.equations.push(Equation {
            id,
            part,
            left,
            relation: Relation::Equal,
            right,
            range: Range::once(),
            given: None,
            shape: None,
            rules: Vec::new(),
            premises: Vec::new(),
            steps: Vec::new(),
            level: Level::Sheet,
            check: Check::Pending,
        });
        &mut self.equations[at]
    }

    /// Makes a function known that no line of the engine has used.
    pub(crate) fn function(&self, name: &str, op: Pointwise) {
        let function = Function {
            ranks: vec![0; op.arity()],
            op: Op::Pointwise(op),
        };
        let mut known = self.reader.functions.borrow_mut();
        known.entry(name.into()).or_insert(function);
    }

    /// The right side of a line.
    pub(crate) fn right(&self, id: &str) -> Option<&Term> {
        let found = self.equations.iter().find(|e| e.id == id);
        found.map(|e| &e.right)
    }

    /// Introduces a letter by a line that defines it, and gives the term that stands for it.
    pub(crate) fn define(
        &mut self,
        name: impl Into<Name>,
        var: Option<char>,
        part: Part,
        means: Term,
    ) -> Term {
        let name: Name = name.into();
        let letter = Term::Letter(Arc::clone(&name), var.map(Time::var));
        let id = format!("let.{name}");
        let equation = self.push(id, part, letter.clone(), means.clone());
        equation.relation = Relation::Defined;
        equation.rules = vec![Rule::Definition];
        equation.range = match var {
            Some('t') => Range::all(),
            Some(var) => Range {
                vars: vec![(var, Time::at(1), Time::last())],
            },
            None => Range::once(),
        };
        self.letters.insert(name, Letter { var, means });
        letter
    }

    /// The named values that are computed, in order, each with its first name.
    pub(super) fn values(&self) -> Vec<(Name, NodeId)> {
        let tape = self.recurrence.tape();
        let mut values: Vec<(NodeId, Name)> = tape
            .names()
            .filter(|(name, id)| {
                !matches!(tape.node(*id).op(), Op::Leaf(_)) && tape.label(*id) == Some(name)
            })
            .map(|(name, id)| (id, Arc::clone(name)))
            .collect();
        values.sort();
        values.into_iter().map(|(id, name)| (name, id)).collect()
    }

    fn definition(&mut self) -> Result<()> {
        for (name, id) in self.values() {
            let (at, range) = self.range(id);
            let right = self.reader.written(id, &at)?;
            let shape = self.shape(id);
            let left = Term::Value(Arc::clone(&name), at);
            let equation = self.push(format!("def.{name}"), Part::Definition, left, right);
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
                let left = Term::StepLoss(now.clone());
                let equation = self.push("def.loss.t".into(), Part::Definition, left, of_step);
                equation.range = Range::all();
                equation.rules = vec![Rule::Definition];
                summed('t', Time::at(1), Time::last(), Term::StepLoss(now))
            }
            None => right,
        };
        let equation = self.push("def.loss".into(), Part::Definition, Term::Loss, right);
        equation.rules = vec![Rule::Definition];
        Ok(())
    }

    /// What states start from: the values beyond the ends.
    fn initial(&mut self) -> Result<()> {
        for (index, register) in self.recurrence.tape().registers().iter().enumerate() {
            let id = crate::op::RegisterId::new(index);
            // A start that is not that of others is written where it is read.
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
            let id = format!("init.{name}.{}", shift.unsigned_abs());
            let left = Term::Value(name.into(), Some(at));
            // A parameter h0 looks like the state h at step 0: nothing is left to be said.
            let looks = |t: &Term| self.symbols.show(t);
            if looks(&left) == looks(&right) || self.equations.iter().any(|e| e.id == id) {
                continue;
            }
            let equation = self.push(id, Part::Definition, left, right);
            equation.shape = Some(shape);
            equation.rules = vec![Rule::Definition];
        }
        Ok(())
    }

    /// The tangent that a value has by itself, without its perturbation, and its sign.
    pub(crate) fn own_tangent(&self, id: NodeId) -> Option<(NodeId, bool)> {
        let tangent = *self.graph.tangents.get(&id)?;
        let Some(seed) = self.graph.seeds.get(&id).copied() else {
            return Some((tangent, false));
        };
        if tangent == seed {
            return None;
        }
        let node = self.tape.node(tangent);
        match (node.op(), node.args()) {
            (Op::Pointwise(Pointwise::Add), [a, b]) if *b == seed => Some((*a, false)),
            (Op::Pointwise(Pointwise::Add), [a, b]) if *a == seed => Some((*b, false)),
            (Op::Pointwise(Pointwise::Sub), [a, b]) if *a == seed => Some((*b, true)),
            _ => None,
        }
    }

    fn differentials(&mut self) -> Result<()> {
        for (name, id) in self.values() {
            let Some((own, negative)) = self.own_tangent(id) else {
                continue;
            };
            let (at, range) = self.range(id);
            let right = self.reader.term(own, &at)?;
            let right = if negative {
                super::algebra::normal::neg(right)
            } else {
                right
            };
            let steps = self.tangent_steps(id)?;
            let shape = self.shape(id);
            let left = Term::D(Arc::clone(&name), at);
            let equation = self.push(format!("d.{name}"), Part::Differentials, left, right);
            equation.range = range;
            equation.shape = Some(shape);
            equation.rules = rules_of(&steps);
            equation.premises = vec![format!("def.{name}")];
            equation.steps = steps;
            equation.level = Level::Normal;
        }
        Ok(())
    }

    /// The uses of tangent rules between a named value and those it is computed from.
    fn tangent_steps(&self, root: NodeId) -> Result<Vec<Step>> {
        let mut order = Vec::new();
        let (mut seen, mut stack) = (HashSet::new(), vec![(root, false)]);
        while let Some((id, done)) = stack.pop() {
            let inner = id == root || !self.reader.labels.contains_key(&id);
            if !inner || matches!(self.tape.node(id).op(), Op::Read(_) | Op::Leaf(_)) {
                continue;
            }
            if done {
                order.push(id);
            } else if seen.insert(id) {
                stack.push((id, true));
                stack.extend(self.tape.node(id).args().iter().map(|a| (*a, false)));
            }
        }
        let mut steps = Vec::new();
        for id in order {
            let silent = matches!(self.tape.node(id).op(), Op::Time(_));
            if silent || self.tape.ty(id).rate != Rate::Step {
                continue;
            }
            if let Some(step) = tangent(self.reader, self.graph, id)?
                && Term::DOf(Box::new(step.after.clone())) != step.before
            {
                steps.push(step);
            }
        }
        Ok(steps)
    }

    pub(crate) fn cotangent(&self, name: &str) -> Option<NodeId> {
        let found = self
            .graph
            .cotangents
            .iter()
            .find(|((n, _), _)| **n == *name);
        found.and_then(|(_, cotangent)| *cotangent)
    }

    fn gradients(&mut self) -> Result<()> {
        for (name, id) in self.values().into_iter().rev() {
            let (at, range) = self.range(id);
            if !self.graph.cotangents.iter().any(|((n, _), _)| *n == name) {
                continue;
            }
            let left = Term::Delta(Arc::clone(&name), at.clone());
            let right = self.symbols.in_order(self.below(&name, &left, &at)?);
            let shape = self.shape(id);
            let readers = self.readers(&name);
            let equation = self.push(format!("delta.{name}"), Part::Recursion, left, right);
            equation.range = range;
            equation.shape = Some(shape);
            equation.rules = vec![Rule::Consumer, Rule::FanOut];
            if readers.iter().any(|(_, shifted)| *shifted) {
                equation.rules.extend([Rule::IndexShift, Rule::Boundary]);
            }
            equation.premises = readers.into_iter().map(|(r, _)| r).collect();
            forms::boundary(self, &name);
        }
        let leaves: Vec<(Name, NodeId, Role)> = self
            .recurrence
            .tape()
            .leaves()
            .iter()
            .map(|l| (l.name().into(), l.node, l.role))
            .collect();
        for (name, id, role) in leaves {
            if !self.graph.cotangents.iter().any(|((n, _), _)| *n == name) {
                continue;
            }
            let (at, range) = self.range(id);
            let right = match self.cotangent(&name) {
                Some(cotangent) => {
                    let whole = reversed(self.reader.term(cotangent, &at)?);
                    self.symbols.in_order(whole)
                }
                None => Term::Zero,
            };
            let shape = self.shape(id);
            let readers = self.readers(&name);
            let (part, rules) = match role {
                Role::Parameter => (
                    Part::Parameters,
                    vec![Rule::RightAdjoint, Rule::WeightTying, Rule::Identification],
                ),
                Role::Input => (Part::Inputs, vec![Rule::Consumer, Rule::Identification]),
            };
            if role == Role::Parameter {
                forms::of_step(self, &name, &right);
            }
            let left = Term::Gradient(Arc::clone(&name), at);
            let equation = self.push(format!("grad.{name}"), part, left, right);
            equation.range = range;
            equation.shape = Some(shape);
            equation.rules = rules;
            equation.premises = readers.into_iter().map(|(r, _)| r).collect();
        }
        Ok(())
    }

    /// The gradient with respect to what a state starts from, also where it starts at zero.
    fn initial_gradients(&mut self) -> Result<()> {
        for (index, register) in self.recurrence.tape().registers().iter().enumerate() {
            let id = crate::op::RegisterId::new(index);
            let forward = register.direction() == Direction::Forward && register.init().is_none();
            let held = self.reader.held(id).filter(|_| forward);
            let Some((def, -1)) = held.filter(|_| !self.reader.starts_otherwise(id)) else {
                continue;
            };
            let Some(name) = self.tape.label(def).map(Name::from) else {
                continue;
            };
            let lambda = self.graph.transposed.get(&id);
            let lambda = lambda.and_then(|r| self.tape.register(*r).def());
            let Some(lambda) = lambda else {
                continue;
            };
            let at = Time::at(0);
            let whole = reversed(self.reader.term(lambda, &Some(Time::at(1)))?);
            let right = self.symbols.in_order(whole);
            let shape = self.shape(def);
            let readers = self.readers(&name);
            let left = Term::Gradient(Arc::clone(&name), Some(at));
            let line = format!("grad.{name}.0");
            let equation = self.push(line, Part::Inputs, left, right);
            equation.shape = Some(shape);
            equation.rules = vec![Rule::Consumer, Rule::Boundary];
            equation.premises = readers.into_iter().map(|(r, _)| r).collect();
        }
        Ok(())
    }

    /// δ one step down from its name.
    fn below(&self, name: &Name, left: &Term, at: &Option<Time>) -> Result<Term> {
        let Some(cotangent) = self.cotangent(name) else {
            return Ok(Term::Zero);
        };
        match self.reader.term(cotangent, at)? {
            own if own == *left => Ok(reversed(self.reader.written(cotangent, at)?)),
            other => Ok(other),
        }
    }

    /// The lines that read a value, and whether they do so at another step.
    fn readers(&self, name: &str) -> Vec<(String, bool)> {
        let mut found = Vec::new();
        for e in self.equations.iter().filter(|e| e.part == Part::Adjoints) {
            let mut shifted = None;
            visit(&e.right, &mut |t| {
                if let Term::D(n, at) = t
                    && **n == *name
                {
                    let other = at.as_ref().is_some_and(|t| t.offset != 0);
                    shifted = Some(shifted.unwrap_or(false) || other);
                }
            });
            if let Some(shifted) = shifted {
                found.push((e.id.clone(), shifted));
            }
        }
        found
    }

    /// Whether a value is a number.
    pub(crate) fn is_scalar(&self, id: NodeId) -> bool {
        self.tape.ty(id).shape == Shape::Scalar
    }
}

/// Contributions in the order of the definition: they were added up from its end.
fn reversed(term: Term) -> Term {
    match term {
        Term::Add(parts) => add(parts.into_iter().rev()),
        term => term,
    }
}

impl Writer<'_> {
    /// A line that rules have made.
    pub(crate) fn prove(
        &mut self,
        id: String,
        part: Part,
        left: Term,
        made: Made,
    ) -> &mut Equation {
        let equation = self.push(id, part, left, made.term);
        equation.rules = rules_of(&made.steps);
        equation.premises = made.premises;
        equation.steps = made.steps;
        equation
    }

    /// What rules may look up.
    pub(crate) fn known(&self) -> Known<'_> {
        Known {
            lines: &self.equations,
            scalars: self.scalars,
            state: &self.state,
            tape: self.tape,
        }
    }
}
