//! A tape under construction, on which expressions are built.

use std::cell::RefCell;
use std::panic::Location;
use std::sync::Arc;

use super::{Derived, Direction, Role, Tape};
use crate::error::{LONGEST_NAME, Mistake};
use crate::op::{Build, Expr, Fault, Hold, LeafId, NodeId, Op, RegisterId};
use crate::shape::{Dim, Rate, Type};

/// A tape that grows through shared references, and the mistakes found so far.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    tape: RefCell<Tape>,
    mistakes: RefCell<Vec<Mistake>>,
}

impl Scope {
    pub(crate) fn new(tape: Tape) -> Self {
        Self {
            tape: RefCell::new(tape),
            mistakes: RefCell::default(),
        }
    }

    pub(crate) fn finish(self) -> (Tape, Vec<Mistake>) {
        (self.tape.into_inner(), self.mistakes.into_inner())
    }

    pub(crate) fn with<R>(&self, f: impl FnOnce(&Tape) -> R) -> R {
        f(&self.tape.borrow())
    }

    pub(crate) fn expr(&self, id: NodeId) -> Expr<'_> {
        Expr::new(self, Some(id))
    }

    pub(crate) fn poison(&self) -> Expr<'_> {
        Expr::new(self, None)
    }

    pub(crate) fn mistake(&self, mistake: Mistake) {
        self.mistakes.borrow_mut().push(mistake);
    }

    pub(crate) fn dim(&self, name: &str, least: u8) -> Dim {
        let dim = self.tape.borrow_mut().dim(name, least);
        dim.unwrap_or(Dim::INVALID)
    }

    /// Gives a leaf the pole and the flag of the value of another tape that it stands for.
    pub(crate) fn stands_for(&self, leaf: NodeId, other: &Tape, value: NodeId) {
        self.tape.borrow_mut().stands_for(leaf, other, value);
    }

    /// Declares the input with this name as a mask of active steps.
    pub(crate) fn mask(&self, name: Arc<str>) {
        self.tape.borrow_mut().add_mask(name);
    }

    pub(crate) fn leaf(&self, name: Arc<str>, role: Role, ty: Type) -> (LeafId, Expr<'_>) {
        let mut tape = self.tape.borrow_mut();
        let leaf = tape.add_leaf(name, role, ty);
        (leaf, self.expr(tape.leaf(leaf).node))
    }

    /// Declares that the entries of a leaf are numbers of classes.
    pub(crate) fn set_classes(&self, id: LeafId, classes: Option<Dim>) {
        self.tape.borrow_mut().set_classes(id, classes);
    }

    /// Records the role that a derivative gives to a leaf.
    pub(crate) fn set_derived(&self, id: LeafId, derived: Option<Derived>) {
        self.tape.borrow_mut().set_derived(id, derived);
    }

    /// Records the role of the leaf with this name, if it exists.
    pub(crate) fn set_role(&self, name: &str, derived: Derived) {
        let leaf = self.with(|t| t.leaf_names.get(name).copied());
        if let Some(leaf) = leaf {
            self.set_derived(leaf, Some(derived));
        }
    }

    pub(crate) fn register(
        &self,
        name: Arc<str>,
        direction: Direction,
        ty: Type,
        init: Option<NodeId>,
    ) -> (RegisterId, Expr<'_>) {
        let (id, read) = self
            .tape
            .borrow_mut()
            .add_register(name, direction, ty, init);
        (id, self.expr(read))
    }

    pub(crate) fn set_register(&self, id: RegisterId, init: Option<NodeId>, def: NodeId) {
        self.tape.borrow_mut().set_register(id, init, def);
    }

    /// Gives a copied node the name of its original.
    pub(crate) fn rename(&self, id: NodeId, name: &str) {
        self.tape.borrow_mut().set_name(id, name);
    }

    /// The message of a mistake in the arguments of an op: the expression, the reason, and the
    /// types.
    fn describe(&self, op: &Op, args: &[NodeId], reason: &str) -> String {
        let tape = self.tape.borrow();
        let names = tape.dim_names();
        let found: Vec<String> = args
            .iter()
            .map(|a| format!("`{}` is {}", tape.expression(*a), tape.ty(*a).text(&names)))
            .collect();
        format!(
            "{}: {reason}: {}",
            tape.application(op, args),
            found.join(", ")
        )
    }
}

impl Build for Scope {
    fn apply(
        &self,
        op: Op,
        args: &[Option<NodeId>],
        at: &'static Location<'static>,
    ) -> Option<NodeId> {
        let given: Vec<NodeId> = args.iter().copied().collect::<Option<_>>()?;
        let mut args = given.clone();
        let result = {
            let mut tape = self.tape.borrow_mut();
            let rate = args
                .iter()
                .map(|a| tape.ty(*a).rate)
                .max()
                .unwrap_or(Rate::Static);
            for arg in &mut args {
                if tape.ty(*arg).rate < rate {
                    *arg = tape.push_valid(Hold(rate).into(), &[*arg]);
                }
            }
            tape.push(op.clone(), &args)
        };
        match result {
            Ok(id) => Some(id),
            Err(reason) => {
                self.fail(
                    Fault::Arguments {
                        op,
                        args: given,
                        reason,
                    },
                    at,
                );
                None
            }
        }
    }

    fn identity(&self, id: NodeId) -> Option<u32> {
        let tape = self.tape.borrow();
        let known = tape.label(id).is_some()
            || tape.fill(id).is_some()
            || matches!(tape.node(id).op, Op::Leaf(_) | Op::Read(_))
            || tape.carriers(id).next().is_some();
        known.then(|| u32::try_from(tape.len()).unwrap_or(u32::MAX))
    }

    fn has_pole(&self, id: NodeId) -> bool {
        self.tape.borrow().has_pole(id)
    }

    fn is_flag(&self, id: NodeId) -> bool {
        self.tape.borrow().is_flag(id)
    }

    fn varies(&self, id: NodeId) -> bool {
        self.tape.borrow().held(id).1 != Rate::Static
    }

    fn type_of(&self, id: NodeId) -> Type {
        self.tape.borrow().ty(id)
    }

    fn fail(&self, fault: Fault, at: &'static Location<'static>) {
        let message = match fault {
            Fault::Arguments { op, args, reason } => self.describe(&op, &args, &reason),
            Fault::Other(text) => text,
        };
        self.mistake(Mistake::new(message, at));
    }

    fn name(&self, id: NodeId, name: &str, at: &'static Location<'static>) {
        if let Err(message) = check_name(name) {
            self.mistake(Mistake::new(message, at));
        } else if !self.tape.borrow_mut().set_name(id, name) {
            self.mistake(Mistake::new(format!("the name `{name}` is used twice"), at));
        }
    }
}

/// Returns an error unless `name` is valid: a letter or underscore, then letters, digits and
/// underscores. `loss` is reserved. Derivatives have several such parts joined by dots, e.g.
/// `W.dot`.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let sound = |part: &str| {
        part.starts_with(|c: char| c.is_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_alphanumeric() || c == '_')
    };
    if !name.split('.').all(sound) {
        return Err(format!(
            "`{name}` is not a name: expected a letter, then letters, digits and `_`"
        ));
    }
    if name.chars().nth(LONGEST_NAME).is_some() {
        return Err(format!(
            "the name `{name}` is too long: expected at most {LONGEST_NAME} characters"
        ));
    }
    if name == "loss" {
        return Err("the name `loss` is reserved for the loss in the results".into());
    }
    Ok(())
}
