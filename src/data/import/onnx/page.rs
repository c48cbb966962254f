//! The text of the recurrence of an ONNX model: names, sizes, declarations, functions and equations, and its parameters.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use ndarray::ArrayD;

use super::facts::Facts;
use super::value::{Expr, Size, Source};
use crate::data::{Arrays, Element};
use crate::error::printable;
use crate::lang::is_function;

/// The longest line of a list of sources.
const LINE: usize = 110;

/// The longest name that is taken from the model.
const LONGEST_NAME: usize = 24;

/// A parameter of the text.
#[derive(Clone, Debug)]
pub(super) struct Param {
    pub(super) name: String,
    pub(super) dims: Vec<Size>,
}

#[derive(Debug, Default)]
pub(super) struct Page {
    sizes: IndexMap<String, usize>,
    taken: BTreeSet<String>,
    pub(super) inputs: Vec<String>,
    declarations: Vec<String>,
    functions: IndexMap<String, String>,
    pub(super) equations: Vec<String>,
    pub(super) outputs: Vec<String>,
    /// The parameters of initializers that are used whole.
    whole: BTreeMap<String, (Source, Param)>,
    pub(super) params: Arrays,
    pub(super) notes: Vec<String>,
    /// The bytes of all texts and expressions so far.
    pub(super) length: usize,
    /// The entries of all parameters and computed constants so far.
    pub(super) entries: usize,
    /// The initializers of recurrent nodes so far.
    pub(super) of_cells: BTreeSet<String>,
}

impl Page {
    /// The size `n`, under the name that another size of this stem has, or a new one.
    pub(super) fn size(&mut self, facts: &Facts, stem: &str, n: usize) -> Size {
        // An axis of size 1 is repeated, which the reader of the recurrence must see.
        if facts.is_numeric || n == 1 {
            return Size::number(n);
        }
        let is_of_stem = |name: &str| {
            name.strip_prefix(stem)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
        };
        let known = self
            .sizes
            .iter()
            .find(|(name, size)| **size == n && is_of_stem(name));
        let name = match known {
            Some((name, _)) => name.clone(),
            None => {
                let name = self.unique(stem);
                self.sizes.insert(name.clone(), n);
                name
            }
        };
        let text = facts.name(&name).to_owned();
        Size {
            number: Some(n),
            text,
        }
    }

    /// The first of these names that is free, or one made of the last.
    pub(super) fn first_free(&mut self, stems: [&str; 2]) -> String {
        let [one, other] = stems;
        match self.taken.contains(one) {
            true => self.unique(other),
            false => self.unique(one),
        }
    }

    /// A name that no other value, size or function has.
    pub(super) fn unique(&mut self, stem: &str) -> String {
        let is_free = |name: &str| {
            !self.taken.contains(name) && !is_function(name) && !RESERVED.contains(&name)
        };
        let name = match is_free(stem) {
            true => stem.to_owned(),
            false => (2..)
                .map(|n| format!("{stem}_{n}"))
                .find(|name| is_free(name))
                .unwrap_or_default(),
        };
        self.taken.insert(name.clone());
        name
    }

    /// The suffix, made longer until all these names with it are free; they are taken.
    pub(super) fn suffix(&mut self, stems: &[&str], suffix: &str) -> String {
        let mut suffix = suffix.to_owned();
        let clashes = |page: &Self, suffix: &str| {
            stems
                .iter()
                .any(|stem| page.taken.contains(&format!("{stem}{suffix}")))
        };
        while clashes(self, &suffix) {
            suffix.push_str("_a");
        }
        self.taken
            .extend(stems.iter().map(|stem| format!("{stem}{suffix}")));
        suffix
    }

    /// A parameter, not yet declared.
    pub(super) fn param(&mut self, stem: &str, dims: &[Size], array: ArrayD<f64>) -> Param {
        let name = self.unique(stem);
        self.entries = self.entries.saturating_add(array.len());
        self.params.insert(&name, f64::array(array));
        Param {
            name,
            dims: dims.to_vec(),
        }
    }

    /// The parameter that an initializer became before, and if it is the transpose of this source.
    pub(super) fn known(&self, source: &Source) -> Option<(&Param, bool)> {
        let (before, param) = self.whole.get(&source.name)?;
        Some((param, before.is_transposed != source.is_transposed))
    }

    pub(super) fn remember(&mut self, source: &Source, param: &Param) {
        let entry = (source.clone(), param.clone());
        self.whole.insert(source.name.clone(), entry);
    }

    /// Declares parameters, with their sources in a comment.
    pub(super) fn declare(&mut self, sources: &[String], what: &str, params: &[Param]) {
        let mut line = String::from("#");
        let named = sources.iter().filter(|s| !s.is_empty());
        let named: Vec<&String> = named.collect();
        for (n, source) in named.iter().enumerate() {
            let end = if n + 1 == named.len() { what } else { "," };
            let word = format!(" {}{end}", comment(source));
            if line.len() + word.len() > LINE && line.len() > 1 {
                let full = std::mem::replace(&mut line, "#".into());
                self.declarations.push(full);
            }
            line += &word;
        }
        if !named.is_empty() {
            self.declarations.push(line);
        }
        self.list(params);
    }

    /// Declares more parameters of the same sources.
    pub(super) fn list(&mut self, params: &[Param]) {
        let one = |p: &Param| {
            let dims: Vec<&str> = p.dims.iter().map(|d| d.text.as_str()).collect();
            match dims.is_empty() {
                true => p.name.clone(),
                false => format!("{}[{}]", p.name, dims.join(", ")),
            }
        };
        if !params.is_empty() {
            let all: Vec<String> = params.iter().map(one).collect();
            self.declarations.push(format!("param {}", all.join(", ")));
        }
    }

    pub(super) fn declaration(&mut self, line: String) {
        self.declarations.push(line);
    }

    /// A function of one value `x`, defined once.
    pub(super) fn function(&mut self, stem: &str, arguments: &str, body: &str) -> String {
        let end = format!("({arguments}) = {body}");
        if let Some((name, _)) = self.functions.iter().find(|(_, e)| **e == end) {
            return name.clone();
        }
        let name = self.unique(stem);
        self.functions.insert(name.clone(), end);
        name
    }

    /// Gives an expression a name.
    pub(super) fn define(&mut self, stem: &str, expr: &Expr) -> Expr {
        let name = self.unique(stem);
        self.equation(format!("{name} = {}", expr.text));
        Expr::atom(name)
    }

    /// Gives an expression a name that is taken for it.
    pub(super) fn define_as(&mut self, name: &str, expr: &Expr) -> Expr {
        self.equation(format!("{name} = {}", expr.text));
        Expr::atom(name)
    }

    pub(super) fn equation(&mut self, line: String) {
        self.length = self.length.saturating_add(line.len());
        self.equations.push(line);
    }

    pub(super) fn note(&mut self, text: String) {
        if !self.notes.contains(&text) {
            self.notes.push(text);
        }
    }

    /// The whole text.
    pub(super) fn text(&self, facts: &Facts, title: &str) -> String {
        let mut lines = vec![format!("# Imported from {}.", comment(title))];
        let declared = self
            .inputs
            .iter()
            .chain(&self.declarations)
            .chain(&self.equations)
            .chain(&self.outputs);
        let words: BTreeSet<&str> = declared
            .filter(|line| !line.starts_with('#'))
            .flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_'))
            .collect();
        let is_used = |name: &str| facts.name(name) == name && words.contains(name);
        let all = self.sizes.iter().filter(|(name, _)| is_used(name));
        let sizes: Vec<String> = all
            .clone()
            .map(|(name, n)| format!("{name} = {n}"))
            .collect();
        if !sizes.is_empty() {
            lines.push(format!("# Sizes of the file: {}.", sizes.join(", ")));
            let names: Vec<&str> = all.map(|(name, _)| name.as_str()).collect();
            lines.push(format!("dim {}", names.join(", ")));
        }
        lines.extend(self.inputs.iter().cloned());
        lines.extend(self.declarations.iter().cloned());
        lines.push(String::new());
        lines.extend(
            self.functions
                .iter()
                .map(|(name, end)| format!("fn {name}{end}")),
        );
        lines.extend(self.equations.iter().cloned());
        lines.extend(self.outputs.iter().cloned());
        lines.join("\n") + "\n"
    }
}

/// Words that would be read as something else, beside functions.
const RESERVED: &[&str] = &[
    "loss", "pi", "rows", "columns", "step", "sample", "T", "and", "or", "not",
];

/// Names of a file in one line of a comment.
pub(super) fn comment(text: &str) -> String {
    printable(&text.replace(['\n', '\r'], " ")).into_owned()
}

/// The last parts of a name of the model as a name of the language: `fc.weight` is `W_fc`.
pub(super) fn stem(raw: &str, otherwise: &str) -> String {
    let raw = raw.strip_suffix("_output_0").unwrap_or(raw);
    let parts: Vec<String> = raw
        .split(['.', '/', ':'])
        .map(|part| {
            let kept = part
                .chars()
                .filter(|c| c.is_ascii_alphanumeric() || *c == '_');
            kept.collect()
        })
        .filter(|part: &String| !part.is_empty())
        .collect();
    // Exporters number what has no name.
    let is_numbered = |text: &str| {
        text.strip_prefix("val_")
            .is_some_and(|n| n.chars().all(|c| c.is_ascii_digit()))
    };
    if parts.first().is_some_and(|p| p == "onnx") || parts.iter().any(|p| is_numbered(p)) {
        return otherwise.into();
    }
    let is_name = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.len() <= LONGEST_NAME
    };
    let letter = |letter: &str, of: &str| match is_name(of) {
        true => format!("{letter}_{of}"),
        false => letter.to_owned(),
    };
    match &parts[..] {
        [.., of, last] if last == "weight" => letter("W", of),
        [.., of, last] if last == "bias" => letter("b", of),
        [one] if is_name(one) => one.clone(),
        [.., of, last]
            if is_name(last)
                && last.starts_with(|c: char| c.is_ascii_uppercase())
                && is_name(of) =>
        {
            of.to_lowercase()
        }
        [.., last] if is_name(last) => last.to_lowercase(),
        _ => otherwise.into(),
    }
}
