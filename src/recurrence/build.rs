//! Defines recurrences.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::panic::Location;
use std::sync::Arc;

use indexmap::IndexMap;

use super::{Draft, Initial, LOSS, Recurrence, Roles, State};
use crate::error::{Mistake, Result};
use crate::op::{Build, Expr, NodeId, Op, RegisterId};
use crate::shape::{Dim, Kind, MAX_DIMS, MAX_LEAST, Rate, Shape, Type};
use crate::tape::{Derived, Direction, Role, Scope, Tape, check_name};

/// A recurrence under definition; see [`Recurrence::define`].
#[derive(Debug)]
pub struct Definition {
    pub(super) scope: Scope,
    names: RefCell<HashSet<Arc<str>>>,
    /// The states, each with the source line that declared it.
    pub(super) states: RefCell<Vec<(State, &'static Location<'static>)>>,
    outputs: RefCell<IndexMap<Arc<str>, NodeId>>,
    pub(super) losses: RefCell<Vec<NodeId>>,
    pub(super) roles: RefCell<Roles>,
    initials: RefCell<IndexMap<Arc<str>, Initial>>,
    /// The number of the step, if it is used.
    pub(super) step: Cell<Option<NodeId>>,
}

impl Definition {
    /// Records the role of a parameter or input that was read from the text of a derivative.
    pub(crate) fn set_leaf_role(&self, name: &str, role: Derived) {
        self.scope.set_role(name, role);
    }

    /// Records the role of an output that was read from the text of a derivative.
    pub(crate) fn set_output_role(&self, name: &str, role: Derived) {
        self.roles.borrow_mut().insert(name.into(), role);
    }
}

impl Recurrence {
    /// Defines a recurrence. The closure writes one step; `r` declares sizes, parameters, inputs, states and
    /// outputs.
    ///
    /// ```
    /// use bptt::Recurrence;
    /// let rnn = Recurrence::define("rnn", |r| {
    ///     let (hidden, inputs) = (r.dim("H"), r.dim("K"));
    ///     let w_h = r.param("W_H", [hidden, hidden]);
    ///     let w_x = r.param("W_X", [hidden, inputs]);
    ///     let b_h = r.param("b_h", [hidden]);
    ///     let x = r.input("x", [inputs]);
    ///     let h = r.state("h", [hidden]);
    ///     let h = r.next(h, (w_h.dot(h) + w_x.dot(x) + b_h).tanh());
    ///     r.output("h", h);
    /// })?;
    /// assert_eq!(rnn.states().collect::<Vec<_>>(), ["h"]);
    ///
    /// let error = Recurrence::define("wrong", |r| {
    ///     let w = r.param("w", [r.dim("H"), r.dim("K")]);
    ///     r.output("y", w.dot(r.state("h", [r.dim("H")])));
    /// }).unwrap_err();
    /// assert!(error.to_string().contains("the inner dimensions differ"));
    /// # Ok::<(), bptt::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Definition`](crate::Error::Definition) with all errors in the definition.
    pub fn define(name: &str, f: impl FnOnce(&Definition)) -> Result<Self> {
        let definition = Definition {
            scope: Scope::default(),
            names: RefCell::default(),
            states: RefCell::default(),
            outputs: RefCell::default(),
            losses: RefCell::default(),
            roles: RefCell::default(),
            initials: RefCell::default(),
            step: Cell::default(),
        };
        f(&definition);
        definition.finish(name)
    }
}

impl Definition {
    fn finish(self, name: &str) -> Result<Recurrence> {
        let states = self.states.take();
        for (state, at) in &states {
            if self
                .scope
                .with(|t| t.register(state.register).def().is_none())
            {
                let message = format!("state `{}` has no next value", state.name);
                self.scope.mistake(Mistake::new(message, at));
            }
        }
        let mut draft = Draft {
            states: states.into_iter().map(|(state, _)| state).collect(),
            initials: self.initials.take(),
            roles: self.roles.take(),
            ..Draft::default()
        };
        let losses = self.losses.take();
        let loss = Expr::sum_all(losses.into_iter().map(|id| self.scope.expr(id)));
        if let Some(loss) = loss.and_then(Expr::id) {
            draft.outputs.insert(LOSS.into(), loss);
        }
        draft.outputs.extend(self.outputs.take());
        draft.finish(self.scope, name)
    }

    #[track_caller]
    pub(super) fn fail(&self, message: impl Into<String>) {
        self.scope
            .mistake(Mistake::new(message, Location::caller()));
    }

    /// Checks and reserves the name of a leaf or a state.
    #[track_caller]
    fn take_name(&self, name: &str) -> Arc<str> {
        let known = self.names.borrow().contains(name);
        if let Err(message) = check_name(name) {
            self.fail(message);
        } else if known || self.scope.with(|t| t.named(name)).is_some() {
            self.fail(format!("the name `{name}` is used twice"));
        } else if self.scope.with(|t| t.dims().any(|d| d == name)) {
            self.fail(both(name));
        }
        let name: Arc<str> = name.into();
        self.names.borrow_mut().insert(Arc::clone(&name));
        name
    }

    /// A named size, inferred from the data; the same name is the same size.
    #[track_caller]
    pub fn dim(&self, name: &str) -> Dim {
        self.dim_at_least(name, 0)
    }

    /// A named dimension that the data must give at least this size, so that `h - 1` is a size as well.
    ///
    /// ```
    /// use bptt::{Dim, Recurrence};
    /// let r = Recurrence::define("differences", |r| {
    ///     let h = r.dim_at_least("H", 2);
    ///     let less = h.checked_sub(Dim::fixed(1)).expect("H is at least 2");
    ///     let x = r.input("x", [h]);
    ///     r.output("d", x.slice(1, less) - x.slice(0, less));
    /// })?;
    /// assert!(r.source()?.starts_with("dim H >= 2"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn dim_at_least(&self, name: &str, least: u8) -> Dim {
        if least > MAX_LEAST {
            self.fail(format!(
                "the least size of `{name}` is {least}, expected at most {MAX_LEAST}"
            ));
            return Dim::INVALID;
        }
        if let Err(message) = check_name(name) {
            self.fail(message);
        } else if self.names.borrow().contains(name) {
            self.fail(both(name));
        }
        let dim = self.scope.dim(name, least);
        if dim.is_invalid() {
            self.fail(format!("a recurrence has at most {MAX_DIMS} named sizes"));
        }
        dim
    }

    /// Refuses invalid types of leaves and states.
    #[track_caller]
    fn check_type(&self, name: &str, ty: Type) -> bool {
        let known = self.scope.with(|t| t.dims().count());
        let foreign = |d: &Dim| d.named_terms().any(|(s, _)| s.index() >= known);
        let dims = match ty.kind {
            Kind::Real => ty.shape.dims().to_vec(),
            Kind::Class(n) => vec![n],
        };
        let wrong = if dims.iter().any(foreign) {
            ": a dimension belongs to another recurrence"
        } else if dims.iter().any(|d| d.as_fixed() == Some(0)) {
            ": a size 0, expected at least 1"
        } else if dims.iter().any(|d| d.is_invalid()) {
            ""
        } else {
            return true;
        };
        let names = self.scope.with(Tape::dim_names);
        let what = match ty.kind {
            Kind::Real => ty.shape.text(&names),
            Kind::Class(n) => format!("class({})", n.text(&names)),
        };
        self.fail(format!("the shape of `{name}` is {what}{wrong}"));
        false
    }

    /// Refuses an expression that belongs to another definition.
    #[track_caller]
    pub(super) fn check_own(&self, value: Expr<'_>, what: &str) -> bool {
        let own = value.belongs_to(&self.scope);
        if !own {
            self.fail(format!("{what} belongs to another recurrence"));
        }
        own
    }

    /// Refuses a class where a real number is needed.
    #[track_caller]
    pub(super) fn check_real(&self, id: NodeId, what: &str) -> bool {
        let ty = self.scope.type_of(id);
        if !ty.is_real() {
            let text = self.scope.with(|t| {
                format!(
                    "{what} `{}` is {}, expected real numbers",
                    t.expression(id),
                    ty.text(&t.dim_names())
                )
            });
            self.fail(text);
        }
        ty.is_real()
    }

    #[track_caller]
    fn leaf(&self, name: &str, role: Role, ty: Type) -> Expr<'_> {
        let taken = self.take_name(name);
        if !self.check_type(name, ty) {
            return self.scope.poison();
        }
        let (_, leaf) = self.scope.leaf(Arc::clone(&taken), role, ty);
        if let Some(id) = leaf.id() {
            self.scope.rename(id, &taken);
        }
        leaf
    }

    /// A parameter: `()` is a scalar, `[n]` a vector, `[m, n]` a matrix.
    #[track_caller]
    pub fn param(&self, name: &str, shape: impl Into<Shape>) -> Expr<'_> {
        self.leaf(name, Role::Parameter, Type::real(shape, Rate::Static))
    }

    /// Sets the initial value of a parameter before a fit, used by [`Params::initial`](super::Params::initial).
    #[track_caller]
    pub fn initial(&self, param: &str, initial: Initial) {
        let shape = self.scope.with(|t| {
            let Op::Leaf(leaf) = t.node(t.named(param)?).op else {
                return None;
            };
            let leaf = t.leaf(leaf);
            (leaf.role == Role::Parameter).then_some(leaf.ty.shape)
        });
        match shape.map(|s| initial.misfit(s)) {
            None => self.fail(format!("there is no parameter named `{param}`")),
            Some(Some(why)) => self.fail(format!("the start of `{param}`: {why}")),
            Some(None) => drop(self.initials.borrow_mut().insert(param.into(), initial)),
        }
    }

    /// An input given for every step of every sample, data `[T, B, …shape]`.
    #[track_caller]
    pub fn input(&self, name: &str, shape: impl Into<Shape>) -> Expr<'_> {
        self.leaf(name, Role::Input, Type::real(shape, Rate::Step))
    }

    /// An input given once for every sample, data `[B, …shape]`, such as an initial state.
    #[track_caller]
    pub fn sample_input(&self, name: &str, shape: impl Into<Shape>) -> Expr<'_> {
        self.leaf(name, Role::Input, Type::real(shape, Rate::Sample))
    }

    /// An integer in `0..classes` for every step of every sample, data `[T, B]`.
    #[track_caller]
    pub fn class(&self, name: &str, classes: impl Into<Dim>) -> Expr<'_> {
        self.leaf(name, Role::Input, Type::class(classes.into(), Rate::Step))
    }

    /// An integer in `0..classes` for every sample, data `[B]`.
    #[track_caller]
    pub fn sample_class(&self, name: &str, classes: impl Into<Dim>) -> Expr<'_> {
        self.leaf(name, Role::Input, Type::class(classes.into(), Rate::Sample))
    }

    /// An array of integers in `0..classes` for every step of every sample, data `[T, B, …shape]` of whole numbers. It has no
    /// derivative.
    #[track_caller]
    pub fn class_array(
        &self,
        name: &str,
        shape: impl Into<Shape>,
        classes: impl Into<Dim>,
    ) -> Expr<'_> {
        let classes = classes.into();
        self.numbered(self.input(name, shape), classes)
    }

    /// An array of integers in `0..classes` for every sample, data `[B, …shape]` of whole numbers. It has no derivative.
    ///
    /// ```
    /// use bptt::{Batch, Params, Recurrence};
    /// use ndarray::{array, Array3};
    /// let r = Recurrence::define("marked", |r| {
    ///     let (c, s) = (r.dim("C"), r.dim("S"));
    ///     let label = r.sample_class_array("label", [s], c);
    ///     r.loss((label.one_hot_rows(c).dot(r.input("x", [c]))).sum());
    /// })?;
    /// let batch = Batch::new(1, 1)
    ///     .with("x", Array3::from_shape_fn((1, 1, 3), |(_, _, i)| i as f64))
    ///     .with("label", array![[2.0, 0.0]]);
    /// assert_eq!(r.evaluate(&Params::new(), &batch)?.loss()?, 2.0);
    /// # Ok::<(), bptt::Error>(())
    /// ```
    #[track_caller]
    pub fn sample_class_array(
        &self,
        name: &str,
        shape: impl Into<Shape>,
        classes: impl Into<Dim>,
    ) -> Expr<'_> {
        let classes = classes.into();
        self.numbered(self.sample_input(name, shape), classes)
    }

    #[track_caller]
    fn numbered<'d>(&'d self, leaf: Expr<'d>, classes: Dim) -> Expr<'d> {
        if let Some(id) = leaf.id() {
            let index = self.scope.with(|tape| match tape.node(id).op() {
                Op::Leaf(index) => Some(*index),
                _ => None,
            });
            if let Some(index) = index {
                self.scope.set_classes(index, Some(classes));
            }
        }
        leaf
    }

    /// The number of classes of an input that is an array of class numbers.
    pub(crate) fn classes_of(&self, value: Expr<'_>) -> Option<Dim> {
        let id = value.id()?;
        self.scope.with(|tape| match tape.node(id).op() {
            Op::Leaf(leaf) => tape.leaf(*leaf).classes(),
            _ => None,
        })
    }

    /// The number `value`.
    pub fn constant(&self, value: f64) -> Expr<'_> {
        self.scope.poison().constant(value)
    }

    #[track_caller]
    pub(super) fn register(
        &self,
        name: Arc<str>,
        direction: Direction,
        shape: Shape,
        init: Option<Expr<'_>>,
    ) -> (RegisterId, Expr<'_>) {
        // Not a closure, which would hide the caller's line from the error.
        let init = match init {
            Some(e) if e.rate() == Some(Rate::Step) => {
                self.fail(format!(
                    "state `{name}`: the initial value varies with the step; use `first` or `last`"
                ));
                None
            }
            Some(e) => {
                let what = format!("state `{name}`: the initial value");
                match e.id() {
                    Some(id) if self.check_real(id, &what) => e.hold(Rate::Sample).id(),
                    _ => None,
                }
            }
            None => None,
        };
        self.scope
            .register(name, direction, Type::real(shape, Rate::Step), init)
    }

    /// A mask input, 1 at active steps. At a step where it is 0, entries of other inputs that are not finite,
    /// or classes out of range, read as 0.
    #[track_caller]
    pub(crate) fn mask(&self, name: &str) -> Expr<'_> {
        let active = self.input(name, ());
        self.scope.mask(name.into());
        active
    }

    /// Sets the final value of a state: at every step, its value after the sequence that contains the step.
    pub(crate) fn end(&self, state: &str, value: Expr<'_>) {
        let value = value.hold(Rate::Step);
        let mut states = self.states.borrow_mut();
        if let Some((state, _)) = states.iter_mut().find(|(s, _)| *s.name == *state) {
            state.end = value.id();
        }
    }

    /// Marks a state as `inner`: written in the text, but not listed among the states.
    pub(crate) fn inner(&self, state: &str) {
        let mut states = self.states.borrow_mut();
        if let Some((state, _)) = states.iter_mut().find(|(s, _)| *s.name == *state) {
            state.inner = true;
        }
    }

    /// Sorts the states by name; in a text, the order of declaration may differ from the build order.
    pub(crate) fn order_states<'n>(&self, names: impl Iterator<Item = &'n str>) {
        let mut places: HashMap<&str, usize> = HashMap::new();
        for (place, name) in names.enumerate() {
            places.entry(name).or_insert(place);
        }
        let mut states = self.states.borrow_mut();
        states.sort_by_key(|(state, _)| places.get(&*state.name).copied());
    }

    #[track_caller]
    fn declare_state(
        &self,
        name: &str,
        direction: Direction,
        shape: Option<Shape>,
        init: Option<Expr<'_>>,
    ) -> Expr<'_> {
        let name = self.take_name(name);
        if let Some(init) = init
            && !self.check_own(init, &format!("the initial value of state `{name}`"))
        {
            return self.scope.poison();
        }
        let Some(shape) = shape else {
            return self.scope.poison();
        };
        if !self.check_type(&name, Type::real(shape, Rate::Step)) {
            return self.scope.poison();
        }
        let (register, read) = self.register(Arc::clone(&name), direction, shape, init);
        let at = Location::caller();
        self.states.borrow_mut().push((
            State {
                name,
                register,
                end: None,
                inner: false,
            },
            at,
        ));
        read
    }

    /// A state that starts at zero. The result is its value before the step, `h_{t-1}`.
    #[track_caller]
    pub fn state(&self, name: &str, shape: impl Into<Shape>) -> Expr<'_> {
        self.declare_state(name, Direction::Forward, Some(shape.into()), None)
    }

    /// A state that starts at `init`: a parameter, a per-sample input, or an expression of such.
    #[track_caller]
    pub fn state_from(&self, name: &str, init: Expr<'_>) -> Expr<'_> {
        self.declare_state(name, Direction::Forward, init.shape(), Some(init))
    }

    /// A state that runs backwards from zero. The result is its value at the step after, `h_{t+1}`.
    #[track_caller]
    pub fn backward_state(&self, name: &str, shape: impl Into<Shape>) -> Expr<'_> {
        self.declare_state(name, Direction::Backward, Some(shape.into()), None)
    }

    /// A state that runs backwards from `init`.
    #[track_caller]
    pub fn backward_state_from(&self, name: &str, init: Expr<'_>) -> Expr<'_> {
        self.declare_state(name, Direction::Backward, init.shape(), Some(init))
    }

    /// Sets the next value of a state, and returns it.
    #[track_caller]
    pub fn next<'d>(&'d self, state: Expr<'_>, value: Expr<'d>) -> Expr<'d> {
        if !self.check_own(state, "the state given to `next`") {
            return self.scope.poison();
        }
        if !self.check_own(value, "the value given to `next`") {
            self.close(state);
            return self.scope.poison();
        }
        let (Some(read), Some(id), Some(found)) = (state.id(), value.id(), value.shape()) else {
            // The error that poisoned an operand is already reported; close the state silently.
            self.close(state);
            return value;
        };
        let states = self.states.borrow();
        let known = self.scope.with(|tape| {
            let register = tape.register_read_by(read)?;
            // Registers are numbered in order of declaration.
            let at = states.binary_search_by_key(&register, |(s, _)| s.register);
            Some(states[at.ok()?].0.clone())
        });
        let Some(State { name, register, .. }) = known else {
            let text = self.scope.with(|t| t.expression(read));
            self.fail(format!("`next` needs a state, found `{text}`"));
            return value;
        };
        let (expected, init, done) = self.scope.with(|tape| {
            let r = tape.register(register);
            (r.ty.shape, r.init(), r.def().is_some())
        });
        if done {
            self.fail(format!("state `{name}` is given a next value twice"));
            return value;
        }
        if expected != found {
            let text = self.scope.with(|tape| {
                let names = tape.dim_names();
                format!(
                    "state `{name}` is {}, but its next value `{}` is {}",
                    expected.text(&names),
                    value.id().map(|id| tape.expression(id)).unwrap_or_default(),
                    found.text(&names)
                )
            });
            self.fail(text);
            self.close(state);
            return value;
        }
        let what = format!("state `{name}`: the next value");
        if !self.check_real(id, &what) {
            self.close(state);
            return self.scope.poison();
        }
        let value = value.hold(Rate::Step).distinct();
        if let Some(id) = value.id() {
            self.scope.set_register(register, init, id);
            if self.scope.with(|t| t.named(&name).is_some_and(|n| n != id)) {
                self.fail(format!("the name `{name}` is used twice"));
            }
            self.scope.rename(id, &name);
        }
        value
    }

    /// Gives a state an arbitrary next value, so that one error is not reported twice.
    fn close(&self, state: Expr<'_>) {
        let Some(read) = state.id() else { return };
        let register = self.scope.with(|tape| tape.register_read_by(read));
        if let Some(register) = register {
            self.scope.set_register(register, None, read);
        }
    }

    /// Makes a value an output. An unnamed value takes the name of the output.
    #[track_caller]
    pub fn output(&self, name: &str, value: Expr<'_>) {
        if let Err(message) = check_name(name) {
            self.fail(message);
        }
        if !self.check_own(value, &format!("output `{name}`")) {
            return;
        }
        let Some(id) = value.id() else { return };
        if !self.scope.type_of(id).is_real() {
            self.fail(format!("output `{name}` is a class, expected real numbers"));
        } else if self.outputs.borrow().contains_key(name) {
            self.fail(format!("the output `{name}` is declared twice"));
        } else {
            let taken = self.names.borrow().contains(name);
            if !taken
                && self.scope.with(|t| {
                    t.label(id).is_none()
                        && t.named(name).is_none()
                        && t.fill(id).is_none()
                        && t.dims().all(|d| d != name)
                })
            {
                self.scope.rename(id, name);
            }
            self.outputs.borrow_mut().insert(name.into(), id);
        }
    }
}

/// The message about a name that is that of a size and of a value.
fn both(name: &str) -> String {
    format!("the name `{name}` is that of a size and of a value; give one of them another name")
}
