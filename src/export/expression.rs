//! Expressions of numbers as text.

use super::dialect::{ATOM, Dialect, PREFIX, Word};
use super::memory::Place;
use super::tree::{Primitive, Tree};

/// An expression and its binding strength.
struct Text(String, u8);

impl Text {
    fn within(self, strength: u8) -> String {
        match self.1 < strength {
            true => format!("({})", self.0),
            false => self.0,
        }
    }
}

/// The text of an expression; `entry` writes an entry of a value, and `local` the name of a local value.
pub(super) fn expression(
    tree: &Tree,
    words: &dyn Dialect,
    entry: &mut dyn FnMut(&Place, bool) -> String,
    local: &dyn Fn(usize) -> String,
) -> String {
    write(tree, words, entry, local).0
}

fn write(
    tree: &Tree,
    words: &dyn Dialect,
    entry: &mut dyn FnMut(&Place, bool) -> String,
    local: &dyn Fn(usize) -> String,
) -> Text {
    match tree {
        Tree::Number(x) => {
            let strength = if x.is_sign_negative() { PREFIX } else { ATOM };
            Text(words.number(*x), strength)
        }
        Tree::Entry { place, spread } => Text(entry(place, *spread), ATOM),
        Tree::Local(index) => Text(local(*index), ATOM),
        // The helper computes its argument once.
        Tree::Apply(Primitive::Mul, args)
            if matches!(&args[0], Tree::Apply(..)) && args[0] == args[1] =>
        {
            Text(
                format!("square({})", write(&args[0], words, entry, local).0),
                ATOM,
            )
        }
        Tree::Apply(primitive, args) => {
            let mut args = args.iter().map(|arg| write(arg, words, entry, local));
            let mut next = || args.next().unwrap_or(Text(String::new(), ATOM));
            match words.word(*primitive) {
                Word::Infix(sign, strength) => {
                    let left = next().within(strength);
                    let right = next().within(strength + 1);
                    Text(format!("{left} {sign} {right}"), strength)
                }
                Word::Prefix => Text(format!("-{}", next().within(ATOM)), PREFIX),
                Word::Power(n) => Text(format!("power({}, {n})", next().0), ATOM),
                word => {
                    let name = match word {
                        Word::Library(name) => words.library(name),
                        Word::Call(name) => name.into(),
                        _ => String::new(),
                    };
                    let args: Vec<String> = args.map(|arg| arg.0).collect();
                    Text(format!("{name}({})", args.join(", ")), ATOM)
                }
            }
        }
    }
}
