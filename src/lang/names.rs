//! Names that are not defined, or that have two meanings.

use super::ast::Name;
use super::diagnostic::{Diagnostic, Span};
use super::habits::name_elsewhere;
use super::looks::look_alike;
use super::resolve::Resolver;
use super::vocabulary;

impl Resolver<'_, '_> {
    /// Reports a name that is already that of a size or a function; in an expression it would have two meanings.
    pub(super) fn clash(&self, name: &Name, what: &str) {
        let dims = self.program.dims.iter();
        let functions = self.program.functions.iter().map(|f| &f.name);
        let mut others = dims
            .map(|d| (d, "a size"))
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

    /// Reports an undefined name.
    pub(super) fn undefined(&self, name: &str, span: Span, inner: Option<Vec<&str>>) {
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
        let inner = inner.unwrap_or_default();
        let known = || self.table.keys().chain(&inner).copied();
        let unknown = Diagnostic::at(span, format!("`{name}` is not defined"));
        let help =
            look_alike(name, known()).or_else(|| name_elsewhere(name, |base| self.is_state(base)));
        let near = vocabulary::suggestion(name, known());
        self.reports.push(match (help, near) {
            (Some(help), _) => unknown.help(help),
            (None, Some(_)) => unknown.suggest(near),
            (None, None) => unknown.help(format!(
                "declare it, as `param {name}`, `input {name}` or `state {name}`, or write `{name} = …`"
            )),
        });
    }
}
