//! Cycles within one step.

use super::diagnostic::{Diagnostic, Span};
use super::order::Item;
use super::resolve::Resolver;

impl Resolver<'_, '_> {
    fn item_text(&self, item: Item) -> (String, Span) {
        match item {
            Item::State(i) => {
                let name = &self.program.states[i].name;
                (name.text.clone(), name.span)
            }
            Item::Value(i) => (self.values[i].name.text.clone(), self.values[i].name.span),
            Item::Next(i) => {
                let name = &self.program.nexts[i].name;
                (format!("{}'", name.text), name.span)
            }
        }
    }

    pub(super) fn report_loop(&self, cycle: &[Item]) {
        let mut parts: Vec<(String, Span)> = cycle.iter().map(|i| self.item_text(*i)).collect();
        // Start the cycle at its first item in the file.
        let first = (0..parts.len()).min_by_key(|i| parts[*i].1.start);
        parts.rotate_left(first.unwrap_or(0));
        const MOST: usize = 6;
        let mut names: Vec<&str> = parts.iter().map(|(n, _)| &**n).take(MOST).collect();
        if parts.len() > MOST {
            names.push("…");
        }
        names.extend(parts.first().map(|(n, _)| &**n));
        let text = format!("a cycle within one step: {}", names.join(" → "));
        let name = parts.first().map_or("", |(n, _)| n);
        let help = match cycle {
            [Item::Value(_)] => format!(
                "a value that depends on its own past is a state: `state {name}`, and `{name}' = …` for `{name} = …`"
            ),
            [Item::Next(_)] => format!(
                "the value before the step is written without a prime: `{}`",
                name.trim_end_matches('\'')
            ),
            _ if cycle.iter().any(|i| matches!(i, Item::State(_))) => {
                "the value of a state before the first step cannot depend on the state: it is a parameter, as in \
                 `param h0` and `state h = h0`, a `sample input`, or `last(x)` of an input"
                    .into()
            }
            // Any of the primes may be one too many; the help is about the last.
            _ => match parts.iter().rev().find_map(|(n, _)| n.strip_suffix('\'')) {
                Some(state) => format!(
                    "`{state}'` is the value after the step, that before it is written without a prime: `{state}`"
                ),
                None => "a value may depend on its own past: declare it as a `state`".into(),
            },
        };
        let mut diagnostic = Diagnostic::new(text).help(help);
        for (_, span) in parts {
            diagnostic = diagnostic.label(span, "");
        }
        self.reports.push(diagnostic);
    }
}
