//! The graph with a fault.

use std::rc::Rc;

use bptt::{
    Direction, Edge, Edit, Expr, NodeId, NodeSite, Notation, Op, Rate, Recurrence, Register,
    RegisterEdit, RegisterId, RegisterSite,
};

use super::fault::{Fault, Place, carried, complement_of, live};

/// A copy of a graph with a fault.
pub(super) struct Mutation<'g> {
    fault: Fault,
    place: &'g Place,
    graph: &'g Recurrence,
    /// The nodes that the loss depends on; the others belong to derivatives.
    forward: Vec<bool>,
    /// The parts of the partial derivatives of functions, by the node of the function.
    partials: Vec<(NodeId, Rc<[bool]>)>,
    applied: bool,
}

impl<'g> Mutation<'g> {
    pub(super) fn new(fault: Fault, place: &'g Place, graph: &'g Recurrence) -> Self {
        Self {
            fault,
            place,
            graph,
            forward: live(graph),
            partials: Vec::new(),
            applied: false,
        }
    }

    /// Returns true if the fault changed something.
    pub(super) const fn is_applied(&self) -> bool {
        self.applied
    }
}

impl<'b> Edit<'b> for Mutation<'_> {
    fn node(&mut self, site: NodeSite<'_, 'b>) -> Expr<'b> {
        let broken = match self.place {
            Place::Argument(id, i) if *id == site.id => self.argument(&site, *i),
            Place::Every(args, _) => self.arguments(&site, args),
            Place::Replace(id, i, other) if *id == site.id => {
                let mut args = site.args.clone();
                site.earlier(*other).map(|other| {
                    args[*i] = other;
                    site.with_args(&args)
                })
            }
            Place::EveryFunction(name) => {
                let tape = self.graph.tape();
                let functions = site.node.args().iter();
                let mut functions = functions.filter(|id| tape.node(**id).op().name() == *name);
                functions.find_map(|id| self.derivative(&site, *id))
            }
            Place::Node(id) if self.fault.is_of_a_function() => self.derivative(&site, *id),
            Place::Node(id) if *id == site.id => self.broken(&site),
            Place::Register(i) => self.read(&site, *i),
            Place::Cotangents(true) => {
                // A start has the derivative that is carried last.
                let is_first = matches!(site.node.op().notation(), Notation::Call { text, .. } if text == "first");
                let of_derivative =
                    !self.forward[site.id.index()] && site.node.op().name() == "pick";
                return match is_first && of_derivative {
                    true => site.args[0].last(),
                    false => site.copy(),
                };
            }
            _ => None,
        };
        self.applied |= broken.is_some();
        broken.unwrap_or_else(|| site.copy())
    }

    fn direction(&mut self, id: RegisterId, register: &Register) -> Direction {
        let here = match self.place {
            Place::Cotangents(_) => register.name().ends_with(".bar"),
            place => *place == Place::Register(id.index()),
        };
        if here && self.fault == Fault::ReverseTime {
            self.applied = true;
            return register.direction().reversed();
        }
        register.direction()
    }

    fn register(&mut self, site: RegisterSite<'_, 'b>) -> RegisterEdit<'b> {
        let mut edit = RegisterEdit {
            init: site.init,
            def: site.def,
        };
        if *self.place == Place::Register(site.id.index()) {
            match self.fault {
                Fault::CutCarry => edit.def = site.def.full_like(0.0),
                Fault::StartAtZero if edit.init.is_some() => edit.init = None,
                _ => return edit,
            }
            self.applied = true;
        }
        edit
    }
}

impl Mutation<'_> {
    /// A fault of several arguments of a node.
    fn arguments<'b>(&self, site: &NodeSite<'_, 'b>, all: &[(NodeId, usize)]) -> Option<Expr<'b>> {
        let here: Vec<usize> = all
            .iter()
            .filter(|(id, _)| *id == site.id)
            .map(|(_, i)| *i)
            .collect();
        match here[..] {
            [] => None,
            [_] if !self.fault.takes_an_argument() => self.broken(site),
            [i] => self.argument(site, i),
            // A square takes the value twice.
            _ => {
                let args = site.node.args().iter().enumerate();
                let args = args.map(|(i, id)| match here.contains(&i) {
                    true => self.neighbour(site, *id, site.args[i]),
                    false => Some(site.args[i]),
                });
                Some(site.with_args(&args.collect::<Option<Vec<_>>>()?))
            }
        }
    }

    /// The other value of a state that a fault takes: the new for the previous, the previous for the new, or the previous
    /// with zero for its start.
    fn neighbour<'b>(
        &self,
        site: &NodeSite<'_, 'b>,
        id: NodeId,
        copy: Expr<'b>,
    ) -> Option<Expr<'b>> {
        let tape = self.graph.tape();
        match (self.fault, tape.node(id).op()) {
            (Fault::NewForPrevious, Op::Read(_)) => site.earlier(carried(self.graph, id)?),
            (Fault::PreviousForNew, _) => {
                let is_read = |n: NodeId| carried(self.graph, n) == Some(id);
                let (read, _) = tape.nodes().find(|(n, _)| is_read(*n))?;
                site.earlier(read)
            }
            (Fault::ForgetStart, Op::Read(r)) => {
                let register = &tape.registers()[r.index()];
                let edge = match register.direction() {
                    Direction::Forward => Edge::First,
                    Direction::Backward => Edge::Last,
                };
                let init = site.earlier(register.init()?)?.hold(Rate::Sample);
                Some(copy - init.impulse(edge))
            }
            _ => None,
        }
    }

    /// A fault of one argument.
    fn argument<'b>(&self, site: &NodeSite<'_, 'b>, i: usize) -> Option<Expr<'b>> {
        let copy = site.copy();
        let fits =
            |e: Expr<'b>| (e.shape() == copy.shape() && e.rate() == copy.rate()).then_some(e);
        let args = &site.args;
        let other = || args.get(1 - i).copied();
        match (self.fault, site.node.op().name(), i) {
            (Fault::DropTerm, "add", _) | (Fault::DropTerm, "sub", 1) => fits(other()?),
            (Fault::DropTerm, "sub", 0) => fits(-other()?),
            (Fault::DoubleTerm, "add", _) | (Fault::DoubleTerm, "sub", 0) => Some(copy + args[i]),
            (Fault::DoubleTerm, "sub", 1) => Some(copy - args[i]),
            (Fault::DropFactor, "mul", _) => fits(other()?),
            (Fault::FlipSign, "neg", 0) => Some(args[0]),
            (Fault::FlipSign, "sub", 1) => Some(args[0] + args[1]),
            (Fault::FlipSign, "add", _) => Some(other()? - args[i]),
            (Fault::NewForPrevious | Fault::PreviousForNew | Fault::ForgetStart, ..) => {
                let id = *site.node.args().get(i)?;
                let twice = site.node.args().iter().filter(|arg| **arg == id).count() > 1;
                if twice && i > 0 {
                    return None;
                }
                let other = self.neighbour(site, id, args[i])?;
                let args = site.node.args().iter().zip(args);
                let args: Vec<Expr<'b>> = args
                    .map(|(a, e)| if *a == id { other } else { *e })
                    .collect();
                fits(site.with_args(&args))
            }
            (Fault::Transpose, "matmul", 0) => {
                let shape = args[0].shape()?;
                let dims = shape.dims();
                (dims.len() == 2 && dims[0] == dims[1]).then(|| args[0].t().dot(args[1]))
            }
            (Fault::MoveFactor, ..) => self.moved(site, i),
            (Fault::IgnoreCondition, "select", 1 | 2) => fits(args[i]),
            (Fault::ComplementUse, "mul", _) if !self.forward[site.id.index()] => {
                let id = site.node.args()[i];
                let is_gate = self.graph.tape().node(id).op().name() == "sigmoid";
                let mut args = args.clone();
                args[i] = match (is_gate, complement_of(self.graph, id)) {
                    (true, _) => args[i].full_like(1.0) - args[i],
                    (false, Some(gate)) => site.earlier(gate)?,
                    (false, None) => return None,
                };
                fits(site.with_args(&args))
            }
            _ => None,
        }
    }

    /// `r ⊙ (W v)` for `W (r ⊙ v)` and the reverse; a bias that is added to `W v` stays outside.
    fn moved<'b>(&self, site: &NodeSite<'_, 'b>, i: usize) -> Option<Expr<'b>> {
        let tape = self.graph.tape();
        let earlier = |id: NodeId| site.earlier(id);
        let arg = *site.node.args().get(i)?;
        let inner = tape.node(arg);
        match (site.node.op().name(), inner.op().name()) {
            ("matmul", "mul") if i == 1 => {
                let [a, b] = [earlier(inner.args()[0])?, earlier(inner.args()[1])?];
                // The factor is the one that is no state.
                let (factor, vector) = match tape.node(inner.args()[0]).op() {
                    Op::Read(_) => (b, a),
                    _ => (a, b),
                };
                let moved = factor * site.args[0].dot(vector);
                (moved.shape() == site.copy().shape()).then_some(moved)
            }
            ("outer", "mul") if i == 0 => {
                let [a, b] = [earlier(inner.args()[0])?, earlier(inner.args()[1])?];
                // The factor belongs to the forward pass.
                let (factor, rest) = match self.forward[inner.args()[0].index()] {
                    true => (a, b),
                    false => (b, a),
                };
                let vector = site.args[1];
                (vector.shape() == factor.shape()).then(|| rest.outer(factor * vector))
            }
            ("mul", "matmul") => {
                let factor = site.args[1 - i];
                let (w, v) = (earlier(inner.args()[0])?, earlier(inner.args()[1])?);
                (v.shape() == factor.shape()).then(|| w.dot(factor * v))
            }
            ("mul", "add") => {
                let factor = site.args[1 - i];
                let (product, bias) = (inner.args()[0], inner.args()[1]);
                let inner = tape.node(product);
                if inner.op().name() != "matmul" {
                    return None;
                }
                let (w, v) = (earlier(inner.args()[0])?, earlier(inner.args()[1])?);
                let bias = earlier(bias)?;
                (v.shape() == factor.shape()).then(|| w.dot(factor * v) + bias)
            }
            _ => None,
        }
    }

    /// A fault of a whole node.
    fn broken<'b>(&self, site: &NodeSite<'_, 'b>) -> Option<Expr<'b>> {
        let copy = site.copy();
        let fits =
            |e: Expr<'b>| (e.shape() == copy.shape() && e.rate() == copy.rate()).then_some(e);
        let args = &site.args;
        match (self.fault, site.node.op().name()) {
            (Fault::SwapFactors, "outer") => fits(args[1].outer(args[0])),
            (Fault::DropTranspose, "transpose") => fits(args[0]),
            (Fault::WrongEnd, "pick") => match site.node.op().notation() {
                Notation::Call { text, .. } if text == "first" => Some(args[0].last()),
                _ => Some(args[0].first()),
            },
            (Fault::OnlyLastStep, "total") if args[0].rate() == Some(Rate::Step) => {
                Some(args[0].last().total(site.node.ty().rate))
            }
            (Fault::OnlyFirstStep, "total") if args[0].rate() == Some(Rate::Step) => {
                Some(args[0].first().total(site.node.ty().rate))
            }
            (Fault::Detach, _) if self.is_cotangent(site) => Some(copy.full_like(0.0)),
            (Fault::Negate, _) if self.is_cotangent(site) => Some(-copy),
            (Fault::WrongClass, "scatter") => Some(copy.full_like(1.0) - copy),
            (Fault::Complement, "sigmoid") => Some(copy.full_like(1.0) - copy),
            (Fault::OtherFunction, "sigmoid") => Some(args[0].tanh()),
            (Fault::OtherFunction, "tanh") => Some(args[0].sigmoid()),
            (Fault::OtherFunction, "relu") => Some(args[0].tanh()),
            (Fault::DropFunction, _) if matches!(site.node.op(), Op::Pointwise(_)) => {
                (args.len() == 1 && site.node.op().name() != "neg").then(|| fits(args[0]))?
            }
            _ => None,
        }
    }

    /// A read that has its start at every step.
    fn read<'b>(&self, site: &NodeSite<'_, 'b>, register: usize) -> Option<Expr<'b>> {
        match site.node.op() {
            Op::Read(r) if r.index() == register && self.fault == Fault::StartAtEveryStep => {
                // From zero, this is a carry that is cut.
                site.init.map(|init| init.hold(Rate::Step))
            }
            _ => None,
        }
    }

    /// Returns true if the node is a sum or a product of a derivative that varies with the step.
    fn is_cotangent(&self, site: &NodeSite<'_, '_>) -> bool {
        let is_inner = matches!(
            site.node.op().name(),
            "mul" | "add" | "sub" | "matmul" | "select"
        );
        is_inner
            && !self.forward[site.id.index()]
            && site.node.ty().rate == Rate::Step
            && site.node.ty().shape.rank() > 0
    }

    /// A fault of the partial derivative of the function in the node `of`: the nodes that only it and constants lead to,
    /// and that the loss does not depend on.
    fn derivative<'b>(&mut self, site: &NodeSite<'_, 'b>, of: NodeId) -> Option<Expr<'b>> {
        let function = self.graph.tape().node(of);
        let is_function = matches!(function.op(), Op::Pointwise(_)) && function.args().len() == 1;
        if !is_function || !self.forward[of.index()] {
            return None;
        }
        let partials = self.partials(of);
        if !partials[site.id.index()] {
            return None;
        }
        let value = site.earlier(of)?;
        if self.fault == Fault::OtherDerivative {
            let other: fn(Expr<'_>) -> Expr<'_> = match function.op().name() {
                "sigmoid" => |x| x.tanh(),
                "tanh" => |x| x.sigmoid(),
                _ => return None,
            };
            let is_whole = self.is_whole_partial(site.id, &partials);
            return is_whole.then(|| slope(site, other, value))?;
        }
        let wrong = match self.fault {
            Fault::ArgumentForValue => site.earlier(function.args()[0])?,
            _ => site.apply(function.op(), &[value]),
        };
        let args = site.node.args().iter().zip(&site.args);
        let args: Vec<Expr<'b>> = args
            .map(|(id, a)| if *id == of { wrong } else { *a })
            .collect();
        site.node
            .args()
            .contains(&of)
            .then(|| site.with_args(&args))
    }

    /// Returns true if the node is the partial derivative itself: some value that uses it is not part of it.
    fn is_whole_partial(&self, id: NodeId, partials: &[bool]) -> bool {
        let mut users = self
            .graph
            .tape()
            .nodes()
            .filter(|(_, node)| node.args().contains(&id));
        users.any(|(user, _)| !partials[user.index()])
    }

    /// For each node, true if it belongs to a derivative, and depends on `of` and otherwise on constants only.
    fn partials(&mut self, of: NodeId) -> Rc<[bool]> {
        if let Some((_, known)) = self.partials.iter().find(|(known, _)| *known == of) {
            return Rc::clone(known);
        }
        let tape = self.graph.tape();
        let mut partial = vec![false; tape.len()];
        let mut constant = vec![false; tape.len()];
        // Arguments come before their users.
        for (id, node) in tape.nodes() {
            let at = id.index();
            let args = node.args();
            constant[at] = match node.op() {
                Op::Constant(_) => true,
                Op::Leaf(_) | Op::Read(_) => false,
                _ => args.iter().all(|arg| constant[arg.index()]),
            };
            let is_part = |arg: &NodeId| *arg == of || partial[arg.index()];
            partial[at] = !self.forward[at]
                && args.iter().any(is_part)
                && args.iter().all(|arg| is_part(arg) || constant[arg.index()]);
        }
        let partial: Rc<[bool]> = partial.into();
        self.partials.push((of, Rc::clone(&partial)));
        partial
    }
}

/// The partial derivative of a function of one number, as the engine derives it, with `value` for the value of the function.
fn slope<'b>(
    site: &NodeSite<'_, 'b>,
    function: fn(Expr<'_>) -> Expr<'_>,
    value: Expr<'b>,
) -> Option<Expr<'b>> {
    let alone = Recurrence::define("slope", |r| r.loss(function(r.input("x", ())))).ok()?;
    let gradient = alone.gradient(&["x"]).ok()?;
    let tape = gradient.tape();
    let (of, _) = tape.nodes().find(|(_, node)| {
        let is_leaf = |arg: &NodeId| matches!(tape.node(*arg).op(), Op::Leaf(_));
        matches!(node.op(), Op::Pointwise(_)) && node.args().iter().all(is_leaf)
    })?;
    rebuilt(site, &gradient, gradient.output_node("x")?, (of, value))
}

/// A node of another graph of single numbers, with the value of one node given.
fn rebuilt<'b>(
    site: &NodeSite<'_, 'b>,
    graph: &Recurrence,
    id: NodeId,
    (of, value): (NodeId, Expr<'b>),
) -> Option<Expr<'b>> {
    let node = graph.tape().node(id);
    match node.op() {
        _ if id == of => Some(value),
        Op::Constant(c) => Some(value.full_like(c.value())),
        Op::Time(_) => rebuilt(site, graph, *node.args().first()?, (of, value)),
        Op::Pointwise(_) => {
            let args = node.args().iter();
            let args: Option<Vec<_>> = args
                .map(|arg| rebuilt(site, graph, *arg, (of, value)))
                .collect();
            Some(site.apply(node.op(), &args?))
        }
        _ => None,
    }
}
