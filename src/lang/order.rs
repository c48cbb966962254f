//! In which order to build what a file defines: by what depends on what, not by what is written
//! first.

use std::collections::{HashMap, HashSet};

use super::ast::{Expr, Function, Kind};

/// Something that is built: a state's value before the step (from its initial value), the value of
/// an equation, or a state's next value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Item {
    State(usize),
    Value(usize),
    Next(usize),
}

/// What an expression mentions.
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
                    stack.extend(args);
                }
                Kind::Shape(sizes) => stack.extend(sizes),
                // Sizes are no values.
                Kind::Slice(a, _) => stack.push(a),
            }
        }
    }

    /// What an expression mentions itself and through the functions it calls.
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

/// The items such that each comes after those it depends on, and the loops that make that
/// impossible.
#[derive(Debug, Default)]
pub(super) struct Order {
    pub(super) items: Vec<Item>,
    pub(super) loops: Vec<Vec<Item>>,
}

/// Sorts depth first with an explicit stack: a long file is no deep recursion.
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
                // What is left out is in the shadow of the loops that are reported.
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
