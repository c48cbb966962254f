//! Numbers and expressions in C.

use crate::export::memory::Place;
use crate::export::tree::{Primitive, Tree};

/// An expression and its binding strength.
struct Text(String, u8);

const SUM: u8 = 1;
const PRODUCT: u8 = 2;
const PREFIX: u8 = 3;
const ATOM: u8 = 4;

impl Text {
    fn within(self, strength: u8) -> String {
        match self.1 < strength {
            true => format!("({})", self.0),
            false => self.0,
        }
    }
}

/// A number as a constant.
pub(super) fn number(x: f64) -> String {
    match x {
        x if x.is_nan() => "NAN".into(),
        x if x.is_infinite() => if x > 0.0 { "INFINITY" } else { "-INFINITY" }.into(),
        x => format!("{x:?}"),
    }
}

/// The text of a primitive.
enum Word {
    Infix(&'static str, u8),
    Prefix,
    /// A function of the language or of the helpers.
    Call(&'static str),
    /// A function with a whole number behind its arguments.
    Power(i32),
}

const fn word(primitive: Primitive) -> Word {
    match primitive {
        Primitive::Add => Word::Infix("+", SUM),
        Primitive::Sub => Word::Infix("-", SUM),
        Primitive::Mul => Word::Infix("*", PRODUCT),
        Primitive::Div => Word::Infix("/", PRODUCT),
        Primitive::Neg => Word::Prefix,
        Primitive::Exp => Word::Call("exp"),
        Primitive::Ln => Word::Call("log"),
        Primitive::Sqrt => Word::Call("sqrt"),
        Primitive::Powi(n) => Word::Power(n),
        Primitive::Powf => Word::Call("pow"),
        Primitive::Sin => Word::Call("sin"),
        Primitive::Cos => Word::Call("cos"),
        Primitive::Tanh => Word::Call("tanh"),
        Primitive::Sigmoid => Word::Call("sigmoid"),
        Primitive::Softplus => Word::Call("softplus"),
        Primitive::Abs => Word::Call("fabs"),
        Primitive::Sign => Word::Call("sign"),
        Primitive::Larger => Word::Call("larger"),
        Primitive::Less => Word::Call("less"),
        Primitive::LessEq => Word::Call("less_eq"),
        Primitive::Equal => Word::Call("equal"),
        Primitive::StrongMul => Word::Call("strong"),
        Primitive::Select => Word::Call("choose"),
        Primitive::Function(name) => Word::Call(name),
    }
}

/// The text of an expression; `entry` writes an entry of a value, and `local` the name of a local value.
pub(super) fn expression(
    tree: &Tree,
    entry: &mut dyn FnMut(&Place, bool) -> String,
    local: &dyn Fn(usize) -> String,
) -> String {
    write(tree, entry, local).0
}

fn write(
    tree: &Tree,
    entry: &mut dyn FnMut(&Place, bool) -> String,
    local: &dyn Fn(usize) -> String,
) -> Text {
    match tree {
        Tree::Number(x) => {
            let strength = if x.is_sign_negative() { PREFIX } else { ATOM };
            Text(number(*x), strength)
        }
        Tree::Entry { place, spread } => Text(entry(place, *spread), ATOM),
        Tree::Local(index) => Text(local(*index), ATOM),
        // The helper computes its argument once.
        Tree::Apply(Primitive::Mul, args)
            if matches!(&args[0], Tree::Apply(..)) && args[0] == args[1] =>
        {
            Text(format!("square({})", write(&args[0], entry, local).0), ATOM)
        }
        Tree::Apply(primitive, args) => {
            let mut args = args.iter().map(|arg| write(arg, entry, local));
            let mut next = || args.next().unwrap_or(Text(String::new(), ATOM));
            match word(*primitive) {
                Word::Infix(sign, strength) => {
                    let left = next().within(strength);
                    let right = next().within(strength + 1);
                    Text(format!("{left} {sign} {right}"), strength)
                }
                Word::Prefix => Text(format!("-{}", next().within(ATOM)), PREFIX),
                Word::Power(n) => Text(format!("power({}, {n})", next().0), ATOM),
                Word::Call(name) => {
                    let args: Vec<String> = args.map(|arg| arg.0).collect();
                    Text(format!("{name}({})", args.join(", ")), ATOM)
                }
            }
        }
    }
}
