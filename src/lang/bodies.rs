//! Errors in the bodies of functions, whether or not the functions are called.

use std::collections::{HashMap, HashSet};

use super::ast::{Expr, Function, Kind, Name};
use super::diagnostic::Diagnostic;
use super::order::{Item, Mentions, order};
use super::resolve::Resolver;
use super::vocabulary;
use crate::op::Axis;
use crate::shape::Rate;

/// The argument of a built-in function can be a word that is no value.
fn is_axis_or_rate(word: &str) -> bool {
    Axis::named(word).is_some() || Rate::held(word).is_some()
}

impl<'p> Resolver<'_, 'p> {
    /// Reports undefined names, and functions that call themselves.
    pub(super) fn check_functions(&mut self) {
        let program = self.program;
        for function in &program.functions {
            self.check_arguments(function);
            self.check_body(function);
        }
        let declared: HashMap<&str, usize> = program
            .functions
            .iter()
            .enumerate()
            .map(|(i, f)| (&*f.name.text, i))
            .collect();
        let items: Vec<Item> = (0..program.functions.len()).map(Item::Value).collect();
        let mut dependencies = HashMap::new();
        for (item, function) in items.iter().zip(&program.functions) {
            let called = Mentions::called(&function.body);
            let mut on: Vec<Item> = called
                .iter()
                .filter_map(|name| declared.get(name).copied().map(Item::Value))
                .collect();
            on.sort_unstable();
            dependencies.insert(*item, on);
        }
        let mut endless = HashSet::new();
        for cycle in order(&items, &dependencies).loops {
            let mut names: Vec<&Name> = Vec::new();
            for item in cycle {
                if let Item::Value(i) = item {
                    names.push(&program.functions[i].name);
                }
            }
            endless.extend(names.iter().map(|name| &*name.text));
            self.report_endless(&names);
        }
        self.endless = endless;
    }

    fn report_endless(&self, names: &[&Name]) {
        let text = match names {
            [name] => format!("the function `{}` calls itself", name.text),
            _ => {
                let listed: Vec<&str> = names
                    .iter()
                    .chain(names.first())
                    .map(|n| &*n.text)
                    .collect();
                format!(
                    "functions call each other without end: {}",
                    listed.join(" → ")
                )
            }
        };
        let help = "a call stands for the body of the function; a value that depends on its own past is a `state`";
        let mut diagnostic = Diagnostic::new(text).help(help);
        for name in names {
            diagnostic = diagnostic.label(name.span, "");
        }
        self.reports.push(diagnostic);
    }

    fn check_arguments(&self, function: &'p Function) {
        let mut seen: HashMap<&str, &Name> = HashMap::new();
        for argument in &function.parameters {
            if let Some(first) = seen.insert(&argument.text, argument) {
                self.twice(argument, Some(first.span));
            } else if self.dims.contains_key(&*argument.text) {
                self.clash(argument, "an argument");
            }
        }
    }

    fn check_body(&self, function: &'p Function) {
        let own = |name: &str| function.parameters.iter().any(|p| p.text == name);
        let mut stack = vec![&function.body];
        while let Some(e) = stack.pop() {
            match &e.kind {
                Kind::Number(..) => {}
                Kind::Name(name) if own(name) => {}
                Kind::Name(name) => {
                    let known = self.table.contains_key(&**name)
                        || self.dims.contains_key(&**name)
                        || vocabulary::is_constant(name);
                    if !known {
                        let arguments = function.parameters.iter().map(|p| &*p.text).collect();
                        self.undefined(name, e.span, Some(arguments));
                    }
                }
                Kind::Next(name) if own(name) => {
                    let f = &function.name.text;
                    let text =
                        format!("`{name}` is an argument of `{f}`, so there is no `{name}'`");
                    let help =
                        format!("write `{name}` here, and call it with the next value: `{f}(h')`");
                    self.reports.push(Diagnostic::at(e.span, text).help(help));
                }
                Kind::Next(name) => drop(self.lookup_next(name, e.span)),
                Kind::Neg(a) | Kind::Transpose(a) => stack.push(a),
                Kind::Infix(first, rest) => {
                    stack.push(first);
                    stack.extend(rest.iter().map(|(_, e)| e));
                }
                Kind::Call(name, args) => {
                    self.check_call(name, args, e);
                    let built_in = vocabulary::is_known(&name.text);
                    let word = |e: &&Expr| built_in && e.word().is_some_and(is_axis_or_rate);
                    stack.extend(args.iter().filter(|e| !word(e)));
                }
                Kind::Brackets(parts) => stack.extend(parts),
                Kind::Slice(a, ranges) => {
                    let ends = ranges.iter().flat_map(|r| [&r.start, &r.end]).flatten();
                    let mut ends = ends.map(|end| Mentions::of(end, &self.functions));
                    // A call decides whether an argument is a size.
                    if !ends.any(|end| end.names.iter().any(|name| own(name))) {
                        self.refuses_index(a, ranges, None);
                    }
                    stack.push(a);
                }
            }
        }
    }

    fn check_call(&self, name: &Name, args: &[Expr], e: &Expr) {
        match self.functions.get(&*name.text) {
            Some(function) if function.parameters.len() != args.len() => {
                let expected = function.parameters.len().to_string();
                self.wrong_count(name, &expected, args.len(), e.span, None);
            }
            Some(_) => {}
            None if vocabulary::is_known(&name.text) => {}
            None if Axis::named(&name.text).is_some() && args.len() == 1 => {}
            None => self.report_unknown_function(name, &[], None),
        }
    }
}
