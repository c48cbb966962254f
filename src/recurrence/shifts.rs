//! Values of earlier and later steps, and the number of the step.

use super::Definition;
use crate::op::{Expr, RegisterId};
use crate::shape::{Rate, Shape};
use crate::tape::{Direction, Register};

impl Definition {
    #[track_caller]
    fn shifted<'d>(
        &'d self,
        value: Expr<'d>,
        direction: Direction,
        init: Option<Expr<'_>>,
    ) -> Expr<'d> {
        if !self.check_own(value, "the value to shift in time") {
            return self.scope.poison();
        }
        if let Some(init) = init
            && !self.check_own(init, "the initial value")
        {
            return self.scope.poison();
        }
        let value = value.hold(Rate::Step);
        let (Some(id), Some(shape)) = (value.id(), value.shape()) else {
            return value;
        };
        if !self.check_real(id, "the value to shift in time") {
            return self.scope.poison();
        }
        let text = self.scope.with(|t| t.expression(id));
        let name = match direction {
            Direction::Forward => format!("before({text})"),
            Direction::Backward => format!("after({text})"),
        };
        if init.is_some_and(|i| i.shape() != Some(shape)) {
            self.fail(format!("`{name}`: the initial value has another shape"));
            return self.scope.poison();
        }
        // Equal delays of one value share a register, as equal ops share a node. The names of registers do not
        // matter, but a state that carries the same value keeps its own register.
        let start = init.map(|i| i.hold(Rate::Sample)).and_then(Expr::id);
        let states = self.states.borrow();
        let known = self.scope.with(|t| {
            let same = |r: &Register| (r.direction(), r.init()) == (direction, start);
            // Registers are numbered in order of declaration.
            let state = |r: &RegisterId| states.binary_search_by_key(r, |(s, _)| s.register);
            let carriers = t.carriers(id).filter(|r| same(t.register(*r)));
            t.read_of(carriers.filter(|r| state(r).is_err()).min()?)
        });
        if let Some(read) = known {
            return self.scope.expr(read);
        }
        let (register, read) = self.register(name.into(), direction, shape, init);
        let init = self.scope.with(|t| t.register(register).init());
        self.scope.set_register(register, init, id);
        read
    }

    /// The value one step earlier, zero at the first step: `delay(h)` is `h_{t-2}` for a state
    /// `h_{t-1}`.
    #[track_caller]
    pub fn delay<'d>(&'d self, value: Expr<'d>) -> Expr<'d> {
        self.shifted(value, Direction::Forward, None)
    }

    /// The value one step earlier, `init` at the first step.
    #[track_caller]
    pub fn delay_from<'d>(&'d self, value: Expr<'d>, init: Expr<'_>) -> Expr<'d> {
        self.shifted(value, Direction::Forward, Some(init))
    }

    /// The value one step later, zero at the last step.
    #[track_caller]
    pub fn advance<'d>(&'d self, value: Expr<'d>) -> Expr<'d> {
        self.shifted(value, Direction::Backward, None)
    }

    /// The number of the step: 0 at the first step of a sequence, 1 at the next.
    ///
    /// ```
    /// use bptt::{Batch, Params, Recurrence};
    /// let r = Recurrence::define("steps", |r| r.output("n", r.step()))?;
    /// let found = r.evaluate(&Params::<f64>::new(), &Batch::new(3, 1))?;
    /// assert_eq!(found["n"], ndarray::array![[0.0], [1.0], [2.0]].into_dyn());
    /// # Ok::<(), bptt::Error>(())
    /// ```
    pub fn step(&self) -> Expr<'_> {
        if let Some(read) = self.step.get() {
            return self.scope.expr(read);
        }
        let (register, read) =
            self.register("step".into(), Direction::Forward, Shape::Scalar, None);
        self.step.set(read.id());
        if let Some(next) = (read + 1.0).id() {
            self.scope.set_register(register, None, next);
        }
        read
    }
}
