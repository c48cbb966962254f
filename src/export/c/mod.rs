//! C99: a header and a source file, with nothing but the standard library.

mod header;
mod source;

use super::Backend;
use super::dialect::{Dialect, Problem};
use super::helpers::Helpers;
use super::module::Module;
use super::single::{self, Single};
use crate::exec::Real;

const HELPERS: Helpers = Helpers {
    text: include_str!("helpers.c"),
    keyword: "static ",
};

pub(super) const SINGLE: Single = Single {
    types: ["double", "float"],
    suffix: "f",
    infinity: "INFINITY",
};

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
            true => (name, single::in_single_precision(&text, SINGLE)),
            false => (name, text),
        });
        files.collect()
    }
}

impl Dialect for C {
    fn reserved(&self) -> Vec<&'static str> {
        reserved()
    }

    fn array(&self, name: &str, len: usize) -> String {
        format!("double {name}[{len}];")
    }

    fn alias(&self, name: &str, from: &str, is_input: bool) -> String {
        let only_read = if is_input { "const " } else { "" };
        format!("{only_read}double *const {name} = {from};")
    }

    fn from(&self, base: &str, at: Option<&str>) -> String {
        match at {
            Some(at) => format!("{base} + {at}"),
            None => base.into(),
        }
    }

    fn read(&self, name: &str, index: &str) -> String {
        format!("{name}[{index}]")
    }

    fn write(&self, name: &str, index: &str, value: &str, adds: bool) -> String {
        let sign = if adds { "+=" } else { "=" };
        format!("{name}[{index}] {sign} {value};")
    }

    fn local(&self, name: &str, value: &str) -> String {
        format!("const double {name} = {value};")
    }

    fn class(&self, name: &str, entry: &str, masked: Option<usize>) -> String {
        match masked {
            Some(classes) => format!("const size_t {name} = class_or_zero({entry}, {classes}.0);"),
            None => format!("const size_t {name} = (size_t){entry};"),
        }
    }

    fn factors(&self, [factors, order]: &[String; 2], n: usize) -> String {
        format!("double {factors}[{}];\nsize_t {order}[{n}];", n * n)
    }

    fn over(&self, index: &str, count: &str, forward: bool) -> String {
        match forward {
            true => format!("for (size_t {index} = 0; {index} < {count}; {index}++)"),
            false => format!("for (size_t {index} = {count}; {index}-- > 0;)"),
        }
    }

    fn if_so(&self, condition: &str) -> String {
        format!("if ({condition})")
    }

    fn state(&self, field: &str) -> String {
        format!("state->{field}")
    }

    fn is_first(&self) -> &'static str {
        "state->steps == 0"
    }

    fn library(&self, name: &str) -> String {
        name.into()
    }

    fn number(&self, x: f64) -> String {
        match x {
            x if x.is_nan() => "NAN".into(),
            x if x.is_infinite() => if x > 0.0 { "INFINITY" } else { "-INFINITY" }.into(),
            x => format!("{x:?}"),
        }
    }

    fn boolean(&self, answer: bool) -> &'static str {
        if answer { "1" } else { "0" }
    }

    fn answer(&self, condition: &str) -> String {
        format!("return {condition};")
    }

    fn count_step(&self) -> &'static str {
        "state->steps += 1;"
    }

    fn refuse(&self, name: &str, problem: Problem) -> String {
        let code = match problem {
            Problem::NoSteps => "NO_STEPS",
            Problem::BadParameter => "BAD_PARAMETER",
            Problem::BadInput => "BAD_INPUT",
        };
        format!("return {name}_{code};")
    }

    fn finish(&self, name: &str, len: &str) -> String {
        match len {
            "0" => format!("return {name}_OK;"),
            len => format!("return all_finite(outputs, {len}) ? {name}_OK : {name}_NOT_FINITE;"),
        }
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
    all.extend(HELPERS.names());
    all
}
