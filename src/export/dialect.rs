//! The words of a target language in the bodies of functions.

use super::tree::Primitive;

/// How an operation on numbers is written.
pub(super) enum Word {
    /// Between its arguments, with its binding strength.
    Infix(&'static str, u8),
    Prefix,
    /// A function of the helpers.
    Call(&'static str),
    /// A function of the language's library.
    Library(&'static str),
    /// A function with a whole number behind its argument.
    Power(i32),
}

/// The binding strengths of expressions.
pub(super) const SUM: u8 = 1;
pub(super) const PRODUCT: u8 = 2;
pub(super) const PREFIX: u8 = 3;
pub(super) const ATOM: u8 = 4;

/// Reasons for a function to end early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    NoSteps,
    BadParameter,
    BadInput,
}

/// The words of a language. Declarations, loops and calls have the same structure in all of them.
pub(super) trait Dialect {
    /// The words that are no identifiers.
    fn reserved(&self) -> Vec<&'static str>;
    /// Declares an array of numbers.
    fn array(&self, name: &str, len: usize) -> String;
    /// Declares a name for entries of an array; those of an input are only read.
    fn alias(&self, name: &str, from: &str, is_input: bool) -> String;
    /// The entries of an array from an index on; `None` for all of them.
    fn from(&self, base: &str, at: Option<&str>) -> String;
    /// An entry.
    fn read(&self, name: &str, index: &str) -> String;
    /// A statement that sets an entry, or adds to it.
    fn write(&self, name: &str, index: &str, value: &str, adds: bool) -> String;
    /// Declares a local number.
    fn local(&self, name: &str, value: &str) -> String;
    /// Declares a local index: the number of a class, or zero if a masked entry is none.
    fn class(&self, name: &str, entry: &str, masked: Option<usize>) -> String;
    /// Declares room for factors of a matrix and the order of its rows.
    fn factors(&self, names: &[String; 2], n: usize) -> String;
    /// The beginning of a loop upwards, or downwards.
    fn over(&self, index: &str, count: &str, forward: bool) -> String;
    fn if_so(&self, condition: &str) -> String;
    /// A part of the state of a step.
    fn state(&self, field: &str) -> String;
    /// True if this is the first step of a stepper.
    fn is_first(&self) -> &'static str;
    /// The name of a function of the library.
    fn library(&self, name: &str) -> String;
    fn number(&self, x: f64) -> String;
    fn boolean(&self, answer: bool) -> &'static str;
    /// The end of a function whose value is a condition.
    fn answer(&self, condition: &str) -> String;
    /// Counts a step of a stepper.
    fn count_step(&self) -> &'static str;
    fn refuse(&self, name: &str, problem: Problem) -> String;
    /// The end of a function whose outputs have this many numbers, which may be none.
    fn finish(&self, name: &str, len: &str) -> String;
    /// A condition for numbers to be finite, and for them to be numbers of classes.
    fn all_finite(&self, array: &str, len: usize) -> String {
        format!("all_finite({array}, {len})")
    }
    fn all_classes(&self, array: &str, len: usize, classes: usize) -> String {
        format!("all_classes({array}, {len}, {classes}.0)")
    }
    fn word(&self, primitive: Primitive) -> Word {
        match primitive {
            Primitive::Add => Word::Infix("+", SUM),
            Primitive::Sub => Word::Infix("-", SUM),
            Primitive::Mul => Word::Infix("*", PRODUCT),
            Primitive::Div => Word::Infix("/", PRODUCT),
            Primitive::Neg => Word::Prefix,
            Primitive::Exp => Word::Library("exp"),
            Primitive::Ln => Word::Library("log"),
            Primitive::Sqrt => Word::Library("sqrt"),
            Primitive::Powi(n) => Word::Power(n),
            Primitive::Powf => Word::Library("pow"),
            Primitive::Sin => Word::Library("sin"),
            Primitive::Cos => Word::Library("cos"),
            Primitive::Tanh => Word::Library("tanh"),
            Primitive::Sigmoid => Word::Call("sigmoid"),
            Primitive::Softplus => Word::Call("softplus"),
            Primitive::Abs => Word::Library("fabs"),
            Primitive::Sign => Word::Call("sign"),
            Primitive::Larger => Word::Call("larger"),
            Primitive::Less => Word::Call("less"),
            Primitive::LessEq => Word::Call("less_eq"),
            Primitive::Equal => Word::Call("equal"),
            Primitive::StrongMul => Word::Call("strong"),
            Primitive::Select => Word::Call("choose"),
            Primitive::Function(name) => Word::Library(name),
        }
    }
}
