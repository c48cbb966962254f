//! Names that are not defined, or that have two meanings.

use super::ast::{LeafKind, Name};
use super::diagnostic::{Diagnostic, Span};
use super::habits::name_elsewhere;
use super::looks::look_alike;
use super::resolve::{Entry, Resolver};
use super::vocabulary;
use crate::op::Axis;

impl Resolver<'_, '_> {
    /// Reports a name that is already that of a size or a function; in an expression it would have two meanings.
    pub(super) fn clash(&self, name: &Name, what: &str) {
        let dims = self.program.dims.iter();
        let functions = self.program.functions.iter().map(|f| &f.name);
        let mut others = dims
            .map(|d| (&d.name, "a size"))
            .chain(functions.map(|f| (f, "a function")));
        let Some((first, other)) = others.find(|(n, w)| n.text == name.text && *w != what) else {
            return;
        };
        self.clashes.borrow_mut().insert(name.text.clone());
        let text = format!("the name `{}` is that of {other} and of {what}", name.text);
        let help = format!("give one of them another name, such as `{}_2`", name.text);
        let diagnostic = Diagnostic::new(text)
            .label(name.span, format!("{what} here"))
            .label(first.span, format!("{other} here"));
        self.reports.push(diagnostic.help(help));
    }

    pub(super) fn twice(&self, name: &Name, first: Option<Span>) {
        // In a statement that is reported, it may have been a type or a misspelt keyword.
        if self.program.suspects.contains(&name.text) {
            return;
        }
        let text = format!("the name `{}` is used twice", name.text);
        let mut diagnostic = Diagnostic::new(text).label(name.span, "");
        if let Some(first) = first {
            diagnostic = Diagnostic::new(diagnostic.message())
                .label(name.span, "used again here")
                .label(first, "first used here");
        }
        if self.program.states.iter().any(|s| s.name.text == name.text) {
            let help = format!("the next value of a state is written `{}' = …`", name.text);
            diagnostic = diagnostic.help(help);
        }
        self.reports.push(diagnostic);
    }

    /// Returns true if errors about a name would only follow from one that is reported.
    pub(super) fn is_reported(&self, name: &str) -> bool {
        self.program.suspects.contains(name)
            || self.clashes.borrow().contains(name)
            || self.reports.is_full()
    }

    /// Reports a mask that is used as a value; returns true if the name is that of a mask.
    pub(super) fn refuses_mask(&self, name: &str, span: Span) -> bool {
        let Some(Entry::Leaf(i)) = self.table.get(name) else {
            return false;
        };
        let leaf = &self.program.leaves[*i];
        if leaf.kind != LeafKind::Mask {
            return false;
        }
        let text = format!("`{name}` is a mask, expected a value");
        let help = format!(
            "where it is 0, the step is left out by itself; an input of zeros and ones is `input {name}`, and \
             `select({name}, a, b)` chooses by it"
        );
        let diagnostic =
            Diagnostic::at(span, text).label(leaf.name.span, "declared as a mask here");
        self.reports.push(diagnostic.help(help));
        true
    }

    /// Reports an undefined name.
    pub(super) fn undefined(&self, name: &str, span: Span, inner: Option<Vec<&str>>) {
        let help = format!(
            "declare it, as `param {name}`, `input {name}` or `state {name}`, or write `{name} = …`"
        );
        self.unknown(name, span, inner, help);
    }

    /// Reports an undefined name with a prime, at its first place only.
    pub(super) fn undefined_state(&self, name: &str, span: Span) {
        let help =
            format!("a name with a next value is that of a state, so declare one: `state {name}`");
        self.unknown(name, span, None, help);
        self.clashes.borrow_mut().insert(name.into());
    }

    fn unknown(&self, name: &str, span: Span, inner: Option<Vec<&str>>, declare: String) {
        if self.is_reported(name) {
            return;
        }
        if self.dims.contains_key(name) {
            self.fail(span, format!("`{name}` is a size, expected a value"));
            return;
        }
        if self.functions.contains_key(name) || vocabulary::is_known(name) {
            let text = format!("`{name}` is a function, expected a value");
            let help = format!("write its argument: `{name}(x)`, a power of it `{name}(x)^2`");
            self.reports.push(Diagnostic::at(span, text).help(help));
            return;
        }
        if name == "loss" {
            let text = "the loss is no value of an expression";
            let help = "give the value a name, as in `e = …`, then `loss e`";
            self.reports.push(Diagnostic::at(span, text).help(help));
            return;
        }
        if Axis::named(name).is_some() {
            let text = format!("`{name}` is an axis, expected a value");
            let help = format!(
                "an axis is written in the call that it belongs to, as in `sum(A, {name})`: functions of a file take values"
            );
            self.reports.push(Diagnostic::at(span, text).help(help));
            return;
        }
        let inner = inner.unwrap_or_default();
        let known = || self.table.keys().chain(&inner).copied();
        let unknown = Diagnostic::at(span, format!("`{name}` is not defined"));
        let help =
            look_alike(name, known()).or_else(|| name_elsewhere(name, |base| self.is_state(base)));
        let near = vocabulary::suggestion(name, known());
        self.reports.push(match (help, near) {
            (Some(help), _) => unknown.help(help),
            (None, Some(_)) => unknown.suggest(near),
            (None, None) => unknown.help(declare),
        });
    }
}
