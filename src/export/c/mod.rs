//! C99: a header and a source file, with nothing but the standard library.

mod function;
mod header;
mod helpers;
mod instructions;
mod single;
mod source;
mod text;

use super::Backend;
use super::module::Module;
use crate::exec::Real;

/// The back end for C99.
pub(super) struct C;

impl<F: Real> Backend<F> for C {
    fn reserved(&self) -> Vec<&'static str> {
        reserved()
    }

    fn files(&self, module: &Module<'_, F>) -> Vec<(String, String)> {
        let name = &module.name;
        let files = [
            (format!("{name}.h"), header::header(module)),
            (format!("{name}.c"), source::source(module)),
        ];
        let is_single = size_of::<F>() == size_of::<f32>();
        let files = files.into_iter().map(|(name, text)| match is_single {
            true => (name, single::in_single_precision(&text)),
            false => (name, text),
        });
        files.collect()
    }
}

/// Words of C, of its headers and of C++, and the names in generated functions.
const WORDS: &[&str] = &[
    "alignas",
    "alignof",
    "and",
    "asm",
    "auto",
    "bool",
    "break",
    "case",
    "catch",
    "char",
    "class",
    "compl",
    "const",
    "constexpr",
    "continue",
    "decltype",
    "default",
    "delete",
    "do",
    "double",
    "else",
    "enum",
    "explicit",
    "export",
    "extern",
    "false",
    "float",
    "for",
    "friend",
    "goto",
    "if",
    "inline",
    "int",
    "long",
    "mutable",
    "namespace",
    "new",
    "noexcept",
    "not",
    "nullptr",
    "operator",
    "or",
    "private",
    "protected",
    "public",
    "register",
    "restrict",
    "return",
    "short",
    "signed",
    "sizeof",
    "static",
    "struct",
    "switch",
    "template",
    "this",
    "throw",
    "true",
    "try",
    "typedef",
    "typeid",
    "typename",
    "union",
    "unsigned",
    "using",
    "virtual",
    "void",
    "volatile",
    "while",
    "xor",
    "size_t",
    "ptrdiff_t",
    "wchar_t",
    "offsetof",
    "NULL",
    "NAN",
    "INFINITY",
    "HUGE_VAL",
    "isfinite",
    "isinf",
    "isnan",
    "isnormal",
    "signbit",
    "fpclassify",
    "params",
    "inputs",
    "input",
    "outputs",
    "workspace",
    "steps",
    "state",
    "is_valid",
    "main",
];

/// The words that a name cannot be.
fn reserved() -> Vec<&'static str> {
    let mut all = WORDS.to_vec();
    all.extend(single::MATH);
    all.extend(helpers::names());
    all
}

/// Adds lines at an indent.
fn line(text: &mut String, indent: usize, lines: &str) {
    for one in lines.lines() {
        text.push_str(&"    ".repeat(indent));
        text.push_str(one);
        text.push('\n');
    }
}
