//! The body of a function: its declarations, and the names of places in it.

use std::collections::{BTreeMap, HashMap};

use super::dialect::Dialect;
use super::expression::expression;
use super::memory::{Array, Home, Place};
use super::module::{Module, StateField};
use super::names::Names;
use super::record::{Field, Record};
use super::tree::Tree;
use crate::exec::Real;
use crate::plan::Operand;

/// Something with a name in a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Key {
    Leaf(usize),
    Result(usize),
    /// A row of a buffer, at a step beside the current one if shifted.
    Row {
        buffer: usize,
        shift: i8,
    },
    /// A value in such a row.
    Value {
        buffer: usize,
        value: usize,
        shift: i8,
    },
    /// The rows of a buffer at all steps.
    Rows(usize),
}

/// Declarations in the order in which they can stand.
type Declared = BTreeMap<(u8, Key), String>;

pub(super) struct Body<'m, F: Real> {
    pub(super) module: &'m Module<'m, F>,
    pub(super) words: &'m dyn Dialect,
    names: Names,
    known: HashMap<Key, String>,
    /// The declarations of the function, and those of the current loop over steps.
    outside: Declared,
    inside: Declared,
    text: String,
    indent: usize,
    /// Variables of loops over entries, of the loop over steps, and names of other local values.
    pub(super) loops: [String; 3],
    pub(super) step: String,
    pub(super) chosen: String,
    pub(super) scratch: [String; 2],
    local: String,
    state: Vec<StateField>,
}

impl<'m, F: Real> Body<'m, F> {
    pub(super) fn new(module: &'m Module<'m, F>, words: &'m dyn Dialect) -> Self {
        let mut names = Names::without(words.reserved());
        let mut known = HashMap::new();
        let records = &module.records;
        for field in [&records.params, &records.starts, &records.inputs]
            .iter()
            .flat_map(|record| &record.fields)
        {
            known.insert(Key::Leaf(field.index), names.fresh(&field.name));
        }
        for field in &records.results.fields {
            let name = module.value_name(&format!("output {}", field.name));
            known.insert(Key::Result(field.index), names.fresh(&name));
        }
        for (buffer, spec) in module.plan().buffers.iter().enumerate() {
            for (value, v) in spec.values.iter().enumerate() {
                let key = Key::Value {
                    buffer,
                    value,
                    shift: 0,
                };
                known.insert(key, names.fresh(&module.value_name(&v.name)));
            }
        }
        let loops = ["j", "k", "l"].map(|name| names.fresh(name));
        let is_taken = |c: char| {
            known.values().any(|name: &String| {
                name.starts_with(c) && name[1..].starts_with(|c: char| c.is_ascii_digit())
            })
        };
        let local = "uwvabcdxyz"
            .chars()
            .find(|c| !is_taken(*c))
            .map_or("local".into(), String::from);
        Self {
            module,
            words,
            known,
            outside: BTreeMap::new(),
            inside: BTreeMap::new(),
            text: String::new(),
            indent: 1,
            loops,
            step: names.fresh("t"),
            chosen: names.fresh("chosen"),
            scratch: ["factors", "order"].map(|name| names.fresh(name)),
            local,
            state: module.state(&words.reserved()),
            names,
        }
    }

    /// Adds a line of code.
    pub(super) fn line(&mut self, text: &str) {
        line(&mut self.text, self.indent, text);
    }

    /// Adds lines inside a block that begins with this line.
    pub(super) fn block(&mut self, opening: &str, inner: impl FnOnce(&mut Self)) {
        self.open(opening);
        inner(self);
        self.close();
    }

    pub(super) fn open(&mut self, opening: &str) {
        self.line(format!("{opening} {{").trim_start());
        self.indent += 1;
    }

    pub(super) fn close(&mut self) {
        self.indent -= 1;
        self.line("}");
    }

    /// Adds a loop over steps, whose declarations come first.
    pub(super) fn steps(&mut self, opening: &str, inner: impl FnOnce(&mut Self)) {
        let before = std::mem::take(&mut self.text);
        self.indent += 1;
        inner(self);
        let found = std::mem::replace(&mut self.text, before);
        let declared = std::mem::take(&mut self.inside);
        self.indent -= 1;
        self.line(&format!("{opening} {{"));
        self.indent += 1;
        if self.module.records.inputs.len > 0
            && declared.keys().any(|(_, key)| matches!(key, Key::Leaf(_)))
        {
            let (starts, len) = (
                self.module.records.starts.len,
                self.module.records.inputs.len,
            );
            let at = sum(&[starts.to_string(), times(&self.step, len)]);
            let from = self.words.from("inputs", Some(&at));
            let input = self.words.alias("input", &from, true);
            self.line(&input);
        }
        declared.values().for_each(|text| self.line(text));
        self.text.push_str(&found);
        self.indent -= 1;
        self.line("}");
    }

    /// The text of the body, with its declarations.
    pub(super) fn finish(mut self) -> String {
        let found = std::mem::take(&mut self.text);
        // Those of a function without a loop stand at its beginning.
        let declared: Vec<String> = self
            .outside
            .into_values()
            .chain(self.inside.into_values())
            .collect();
        let mut text = String::new();
        declared
            .iter()
            .for_each(|declared| line(&mut text, 1, declared));
        text + &found
    }

    /// The name of a local value of a fused program.
    fn local(&self, index: usize) -> String {
        format!("{}{}", self.local, index + 1)
    }

    /// The text of an expression for the entry with this index.
    pub(super) fn expression(&mut self, tree: &Tree, index: Option<&str>) -> String {
        let local = format!("{}{{}}", self.local);
        let local = |i: usize| local.replace("{}", &(i + 1).to_string());
        let words = self.words;
        let mut entry =
            |place: &Place, spread: bool| self.read(place, if spread { None } else { index });
        expression(tree, words, &mut entry, &local)
    }

    pub(super) fn declare_local(&mut self, index: usize, value: &str) {
        let name = self.local(index);
        let declared = self.words.local(&name, value);
        self.line(&declared);
    }

    /// An entry of a place; without an index, the first.
    pub(super) fn read(&mut self, place: &Place, index: Option<&str>) -> String {
        let (name, at) = self.named(place);
        self.words.read(&name, &shifted(at, index))
    }

    /// Adds a line that sets an entry of a place, or adds to it.
    pub(super) fn write(&mut self, place: &Place, index: Option<&str>, value: &str, adds: bool) {
        let (name, at) = self.named(place);
        let text = self.words.write(&name, &shifted(at, index), value, adds);
        self.line(&text);
    }

    /// A pointer to the first entry of an operand, some entries later.
    pub(super) fn pointer(&mut self, operand: &Operand, later: usize) -> String {
        let place = self.module.place(operand);
        self.pointer_to(&place, later)
    }

    pub(super) fn pointer_to(&mut self, place: &Place, later: usize) -> String {
        self.pointer_along(place, &later.to_string())
    }

    /// The same at a distance that is an expression.
    pub(super) fn pointer_along(&mut self, place: &Place, later: &str) -> String {
        let (name, at) = self.named(place);
        self.later(&name, &sum(&[at.to_string(), later.into()]))
    }

    /// The entries of an array from an index on.
    pub(super) fn later(&self, base: &str, at: &str) -> String {
        self.words.from(base, (at != "0").then_some(at))
    }

    fn alias(&self, name: &str, base: &str, at: &str, is_input: bool) -> String {
        self.words.alias(name, &self.later(base, at), is_input)
    }

    /// The name of the array of a place, and the index of its first entry there.
    fn named(&mut self, place: &Place) -> (String, usize) {
        let records = &self.module.records;
        match place.array {
            Array::Params => self.field(&records.params, place, "params"),
            Array::Starts => self.field(&records.starts, place, "inputs"),
            Array::Inputs => self.field(&records.inputs, place, "input"),
            Array::Results => {
                let field = field_of(&records.results, place);
                let key = Key::Result(field.index);
                let (name, start) = (self.known[&key].clone(), field.start);
                let text = self.alias(&name, "outputs", &start.to_string(), false);
                self.outside.insert((2, key), text);
                (name, place.start - start)
            }
            Array::Buffer { index, shift } => self.in_buffer(place, index, shift),
        }
    }

    fn field(&mut self, record: &Record, place: &Place, base: &str) -> (String, usize) {
        let field = field_of(record, place);
        let (key, name) = (
            Key::Leaf(field.index),
            self.known[&Key::Leaf(field.index)].clone(),
        );
        let is_inside = base == "input";
        let base = match (self.module.by_step, base) {
            (true, "params" | "inputs") => self.words.state(base),
            (true, _) => "inputs".into(),
            (false, base) => base.into(),
        };
        let at = field.start.to_string();
        let text = match is_inside && self.module.is_masked(field.index) {
            true => {
                let (len, from) = (field.len, self.later(&base, &at));
                let array = self.words.array(&name, len);
                format!("{array}\ncopy_finite({name}, {from}, {len});")
            }
            false => self.alias(&name, &base, &at, true),
        };
        let declared = if is_inside {
            &mut self.inside
        } else {
            &mut self.outside
        };
        declared.insert((2, key), text);
        (name, place.start - field.start)
    }

    fn in_buffer(&mut self, place: &Place, buffer: usize, shift: i8) -> (String, usize) {
        let module = self.module;
        let spec = &module.plan().buffers[buffer];
        let row = self.row(buffer, shift);
        // The entries of the row that are in memory.
        let entries = match module.carried(buffer, shift) {
            Some(carried) => carried.entries.clone(),
            None => 0..spec.width,
        };
        let values = spec.values.iter().enumerate();
        let values: Vec<_> = values.map(|(i, v)| (i, v.start, v.len)).collect();
        let holds =
            |v: &&(usize, usize, usize)| v.1 <= place.start && place.start + place.len <= v.1 + v.2;
        // A row of several values has the name of the first.
        let begins = || values.iter().find(|v| v.1 == place.start);
        let found = values
            .iter()
            .filter(holds)
            .min_by_key(|v| v.2)
            .or_else(begins);
        match found {
            Some((_, start, len)) if (*start, *len) == (entries.start, entries.len()) => {}
            Some((value, start, len)) if entries.start <= *start && start + len <= entries.end => {
                let key = Key::Value {
                    buffer,
                    value: *value,
                    shift,
                };
                let name = self.shifted(
                    key,
                    Key::Value {
                        buffer,
                        value: *value,
                        shift: 0,
                    },
                    shift,
                );
                let at = (start - entries.start).to_string();
                let text = self.alias(&name, &row, &at, false);
                let is_kept = matches!(module.memory.homes[buffer], Home::Kept { .. });
                let declared = if is_kept {
                    &mut self.inside
                } else {
                    &mut self.outside
                };
                declared.insert((3, key), text);
                return (name, place.start - start);
            }
            _ => {}
        }
        (row, place.start - entries.start)
    }

    /// The name of a row of a buffer, which is declared.
    fn row(&mut self, buffer: usize, shift: i8) -> String {
        let module = self.module;
        let spec = &module.plan().buffers[buffer];
        let key = Key::Row { buffer, shift };
        self.row_name(buffer);
        let name = self.shifted(key, Key::Row { buffer, shift: 0 }, shift);
        let (home, carried) = (&module.memory.homes[buffer], module.carried(buffer, shift));
        let own = |at: usize, field: &str| match module.by_step {
            true => self.alias(&name, &self.words.state(field), "0", false),
            false => self.alias(&name, "workspace", &at.to_string(), false),
        };
        let (rank, is_inside, text) = match (home, carried) {
            (_, Some(carried)) => match carried.at {
                None => (0, false, self.words.array(&name, carried.entries.len())),
                Some(at) => (1, false, own(at, &self.state_field(buffer, shift))),
            },
            (Home::Fixed(at) | Home::Step { at: Some(at) }, _) => {
                (1, false, own(*at, &self.state_field(buffer, 0)))
            }
            (Home::Kept { before, .. }, _) => {
                let rows = self.rows(buffer);
                let step = shifted_step(&self.step, *before as isize + isize::from(shift));
                let at = times(&step, spec.width);
                (2, true, self.alias(&name, &rows, &at, false))
            }
            _ => (0, false, self.words.array(&name, spec.width)),
        };
        let declared = if is_inside {
            &mut self.inside
        } else {
            &mut self.outside
        };
        declared.insert((rank, key), text);
        name
    }

    /// The name of the rows of a buffer at all steps, which is declared.
    fn rows(&mut self, buffer: usize) -> String {
        let memory = &self.module.memory;
        let Home::Kept {
            per_step, beside, ..
        } = memory.homes[buffer]
        else {
            return "workspace".into();
        };
        let key = Key::Rows(buffer);
        let name = match self.known.get(&key) {
            Some(name) => name.clone(),
            None => {
                let row = self.row_name(buffer);
                self.names.fresh(&format!("all_{row}"))
            }
        };
        self.known.insert(key, name.clone());
        let at = sum(&[
            (memory.fixed + beside).to_string(),
            times("steps", per_step),
        ]);
        let text = self.alias(&name, "workspace", &at, false);
        self.outside.insert((1, key), text);
        name
    }

    /// A pointer to entries of a row beside the steps: before the first or after the last.
    pub(super) fn beside(&mut self, value: &Operand, forward: bool) -> String {
        let rows = self.rows(value.buffer);
        let Home::Kept { before, .. } = self.module.memory.homes[value.buffer] else {
            return rows;
        };
        let width = self.module.plan().buffers[value.buffer].width;
        let row = match forward {
            true => String::new(),
            false => times(&shifted_step("steps", before as isize), width),
        };
        self.later(&rows, &sum(&[row, value.start.to_string()]))
    }

    /// The name of a row at the current step.
    fn row_name(&mut self, buffer: usize) -> String {
        let key = Key::Row { buffer, shift: 0 };
        if let Some(name) = self.known.get(&key) {
            return name.clone();
        }
        let spec = &self.module.plan().buffers[buffer];
        let first = Key::Value {
            buffer,
            value: 0,
            shift: 0,
        };
        let name = match &spec.values[..] {
            [one] if one.len == spec.width => self.known[&first].clone(),
            _ => self.names.fresh(&self.module.row_name(buffer)),
        };
        self.known.insert(key, name.clone());
        name
    }

    /// The name of the field of a state with a row.
    fn state_field(&self, buffer: usize, shift: i8) -> String {
        let mut fields = self.state.iter();
        let found = fields.find(|f| (f.buffer, f.shift) == (buffer, shift));
        found.map_or(String::new(), |f| f.name.clone())
    }

    /// A name for the same at another step.
    fn shifted(&mut self, key: Key, base: Key, shift: i8) -> String {
        if let Some(name) = self.known.get(&key) {
            return name.clone();
        }
        let suffix = if shift < 0 { "before" } else { "after" };
        let base = &self.known[&base];
        let name = self.names.fresh(&format!("{base}_{suffix}"));
        self.known.insert(key, name.clone());
        name
    }
}

fn field_of<'r>(record: &'r Record, place: &Place) -> &'r Field {
    let inside = |start: usize, len: usize| start <= place.start && place.start < start + len;
    let found = record.fields.iter().find(|f| inside(f.start, f.len));
    found.expect("a place of a record lies in a field")
}

/// An index some entries later.
fn shifted(at: usize, index: Option<&str>) -> String {
    match (index, at) {
        (None, at) => at.to_string(),
        (Some(index), 0) => index.into(),
        (Some(index), at) => format!("{at} + {index}"),
    }
}

/// Adds lines at an indent.
pub(super) fn line(text: &mut String, indent: usize, lines: &str) {
    for one in lines.lines() {
        text.push_str(&"    ".repeat(indent));
        text.push_str(one);
        text.push('\n');
    }
}

/// A product with a constant; empty if it is zero.
pub(super) fn times(factor: &str, constant: usize) -> String {
    let is_sum = factor.contains(' ');
    match constant {
        0 => String::new(),
        1 => factor.into(),
        n if is_sum => format!("({factor}) * {n}"),
        n => format!("{factor} * {n}"),
    }
}

/// A sum of terms that are not zero.
pub(super) fn sum(terms: &[String]) -> String {
    let terms = terms.iter().filter(|t| !t.is_empty() && *t != "0");
    let terms: Vec<&str> = terms.map(String::as_str).collect();
    match terms.is_empty() {
        true => "0".into(),
        false => terms.join(" + "),
    }
}

fn shifted_step(step: &str, by: isize) -> String {
    match by {
        0 => step.into(),
        by if by > 0 => format!("{step} + {by}"),
        by => format!("{step} - {}", -by),
    }
}
