//! The build order of the definitions in a file: each after its dependencies, independent of their order in the
//! file.

use std::collections::{HashMap, HashSet};

use super::ast::{Expr, Function, Kind};
use super::vocabulary;

/// A node of the dependency graph: the value of a state before the step (from its initial value), the value of
/// an equation, or the next value of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Item {
    State(usize),
    Value(usize),
    Next(usize),
}

/// The names mentioned by an expression.
#[derive(Clone, Debug, Default)]
pub(super) struct Mentions<'p> {
    pub(super) names: HashSet<&'p str>,
    pub(super) nexts: HashSet<&'p str>,
    functions: HashSet<&'p str>,
}

impl<'p> Mentions<'p> {
    fn collect(&mut self, expr: &'p Expr) {
        let mut stack = vec![expr];
        while let Some(expr) = stack.pop() {
            match &expr.kind {
                Kind::Number(..) => {}
                Kind::Name(name) => {
                    self.names.insert(name);
                }
                Kind::Next(name) => {
                    self.nexts.insert(name);
                }
                Kind::Neg(a) | Kind::Transpose(a) => stack.push(a),
                Kind::Infix(first, rest) => {
                    stack.push(first);
                    stack.extend(rest.iter().map(|(_, e)| e));
                }
                Kind::Call(name, args) => {
                    self.functions.insert(&name.text);
                    // Settings are axes, rates and sizes, not values.
                    stack.extend(args.iter().take(vocabulary::values(&name.text)));
                }
                Kind::Brackets(parts) => stack.extend(parts),
                // The bounds of a slice are sizes, not values.
                Kind::Slice(a, _) => stack.push(a),
            }
        }
    }

    /// The names of the functions that an expression calls.
    pub(super) fn called(expr: &'p Expr) -> HashSet<&'p str> {
        let mut own = Self::default();
        own.collect(expr);
        own.functions
    }

    /// The names mentioned by an expression and by the functions that it calls.
    pub(super) fn of(expr: &'p Expr, functions: &HashMap<&'p str, &'p Function>) -> Self {
        let mut all = Self::default();
        all.collect(expr);
        let mut open: Vec<&str> = all.functions.iter().copied().collect();
        while let Some(name) = open.pop() {
            let Some(function) = functions.get(name) else {
                continue;
            };
            let mut inner = Self::default();
            inner.collect(&function.body);
            for parameter in &function.parameters {
                inner.names.remove(&*parameter.text);
            }
            all.names.extend(inner.names);
            all.nexts.extend(inner.nexts);
            for called in inner.functions {
                if all.functions.insert(called) {
                    open.push(called);
                }
            }
        }
        all
    }
}

/// The items in dependency order, and the cycles that prevent one.
#[derive(Debug, Default)]
pub(super) struct Order {
    pub(super) items: Vec<Item>,
    pub(super) loops: Vec<Vec<Item>>,
}

/// A depth-first topological sort with an explicit stack, so that long files do not overflow the call stack.
pub(super) fn order(items: &[Item], dependencies: &HashMap<Item, Vec<Item>>) -> Order {
    #[derive(PartialEq)]
    enum Mark {
        Open,
        Done,
    }
    let mut marks: HashMap<Item, Mark> = HashMap::new();
    let mut order = Order::default();
    for root in items {
        if marks.contains_key(root) {
            continue;
        }
        let mut path = vec![(*root, 0)];
        marks.insert(*root, Mark::Open);
        while let Some((item, edge)) = path.last_mut() {
            let next = dependencies.get(item).and_then(|d| d.get(*edge)).copied();
            *edge += 1;
            let Some(next) = next else {
                marks.insert(*item, Mark::Done);
                order.items.push(*item);
                path.pop();
                continue;
            };
            match marks.get(&next) {
                Some(Mark::Done) => {}
                // At most 25 cycles are reported.
                Some(Mark::Open) if order.loops.len() >= 25 => {}
                Some(Mark::Open) => {
                    let start = path.iter().position(|(i, _)| *i == next).unwrap_or(0);
                    order
                        .loops
                        .push(path[start..].iter().map(|(i, _)| *i).collect());
                }
                None => {
                    marks.insert(next, Mark::Open);
                    path.push((next, 0));
                }
            }
        }
    }
    order
}
