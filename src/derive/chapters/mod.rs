//! The chapters of a derivation, from the definition of the recurrence to the bounds. Each derives its lines from
//! earlier ones.

pub(crate) mod adjoints;
pub(crate) mod bounds;
pub(crate) mod bridge;
pub(crate) mod carousel;
pub(crate) mod costate;
pub(crate) mod definition;
pub(crate) mod deltas;
pub(crate) mod differentials;
pub(crate) mod gradients;
pub(crate) mod jacobian;
pub(crate) mod mirror;
pub(crate) mod pairing;
pub(crate) mod recursion;
pub(crate) mod responses;
pub(crate) mod stack;
pub(crate) mod theorem;
pub(crate) mod truncation;
pub(crate) mod writer;

use std::sync::Arc;

use indexmap::IndexMap;

use crate::derive::algebra::term::Name;
use crate::derive::notation::symbols::Symbols;
use crate::derive::reading::engine::reader;
use crate::derive::reading::naming;
use crate::derive::record::apart::Apart;
use crate::derive::record::derivation::Derivation;
use crate::derive::rules::known::scalars;
use crate::error::{Error, Result};
use crate::op::{NodeId, Op};
use crate::recurrence::Recurrence;
use crate::shape::Rate;
use crate::stack::with_room;
use crate::tape::{Direction, Register, Role};
use writer::Writer;

/// Beyond these numbers of states and of named values, the chapters on the whole state are omitted: a matrix with a
/// block for each pair of states is neither readable nor quickly derived.
const MOST_STATES: usize = 24;
const MOST_VALUES: usize = 64;

/// Beyond this number of named values and of functions, there is no derivation.
const MOST_NAMED: usize = 1000;

impl Recurrence {
    /// The derivation of the gradient of the loss: equations for every named value, parameter, input and initial state,
    /// read from the graphs that compute it.
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
    /// If there is no loss, or a register reads one of the other direction, which a derivation cannot express.
    pub fn derive(&self) -> Result<Derivation> {
        self.derive_with(&[])
    }

    /// The same, with some names displayed differently: `[("og", "o"), ("o", "z")]`.
    ///
    /// # Errors
    /// Also if two names would be displayed alike.
    pub fn derive_with(&self, aliases: &[(&str, &str)]) -> Result<Derivation> {
        with_room(|| self.derive_here(aliases))
    }

    fn derive_here(&self, aliases: &[(&str, &str)]) -> Result<Derivation> {
        let values = naming::values(self)?;
        if values > MOST_NAMED {
            return Err(Error::NotDerivable {
                recurrence: self.name().into(),
                reason: format!(
                    "it has {values} names and functions, expected at most {MOST_NAMED}; arrays, such as \
                     `state h[H]`, take the place of many numbers"
                ),
            });
        }
        let apart = Apart::new(self);
        let alone = apart.recurrence(self).without_unused()?;
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

    /// The derivation of a recurrence in which everything has a name, without the lines about chains that run
    /// backwards.
    fn derive_forward(recurrence: Self, symbols: Symbols) -> Result<Derivation> {
        let targets = targets(&recurrence);
        let states = recurrence.tape().registers().len();
        let values = recurrence.tape().names().filter(|(_, id)| {
            let tape = recurrence.tape();
            tape.ty(*id).rate == Rate::Step && !matches!(tape.node(*id).op(), Op::Leaf(_))
        });
        let values = values.count();
        let is_large = states > MOST_STATES || values > MOST_VALUES;
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
        theorem::master(&mut writer);
        recursion::compact(&mut writer);
        if !is_large {
            stack::write(&mut writer);
        }
        if !is_large && jacobian::write(&mut writer) {
            responses::write(&mut writer);
            double_sums(&mut writer);
            costate::write(&mut writer);
            bounds::write(&mut writer);
        }
        carousel::write(&mut writer);
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
            is_large,
            equations,
            recurrence,
        })
    }
}

/// The double sum of every parameter, each with its truncations and their remainders.
fn double_sums(writer: &mut Writer<'_>) {
    let Some(mut bridge) = bridge::write(writer) else {
        return;
    };
    for gradient in bridge::gradients(writer) {
        if let Some(sums) = bridge.double_sum(writer, gradient) {
            truncation::write(writer, &bridge, &sums);
        }
    }
}

/// The names to differentiate with respect to: every real name except inputs that only the loss reads.
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
        tape.is_differentiable(id) && !target
    };
    let mut found: Vec<(NodeId, Name)> = tape
        .names()
        .filter(|(name, id)| wanted(*id) && tape.label(*id) == Some(name))
        .map(|(name, id)| (id, Arc::clone(name)))
        .collect();
    found.sort();
    found.into_iter().map(|(_, name)| name).collect()
}
