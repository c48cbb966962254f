//! Fused programs as equations.

use super::{Code, Plan};
use crate::op::{Notation, Pointwise};

/// A text and its binding strength; see [`Notation::strength`].
#[derive(Clone, Debug)]
struct Text(String, u8);

/// The binding strength of a name.
const ATOM: u8 = 5;

impl Text {
    fn within(&self, strength: u8) -> String {
        if self.1 < strength {
            format!("({})", self.0)
        } else {
            self.0.clone()
        }
    }
}

impl Plan {
    /// The equations of a program, one per line. A value that is stored or used more than once has
    /// an equation of its own.
    pub(super) fn program(&self, index: usize) -> String {
        let program = &self.programs[index];
        let constants = program.constants.iter().map(|c| Text(c.to_string(), ATOM));
        let inputs = program
            .inputs
            .iter()
            .map(|i| Text(self.operand(&i.operand), ATOM));
        let outputs = program.outputs.iter().map(|o| Text(self.operand(o), ATOM));
        let registers = vec![Text(String::new(), ATOM); program.registers];
        let mut places: Vec<Text> = registers.into_iter().chain(constants).collect();
        places.extend(inputs.chain(outputs));
        let first_output = places.len() - program.outputs.len();
        let (mut lines, mut names) = (Vec::new(), 0);
        for (i, op) in program.ops.iter().enumerate() {
            let args = op.from.map(|place| places[usize::from(place)].clone());
            let text = write(op.code, &args);
            let to = usize::from(op.to);
            if to >= first_output {
                lines.push(format!("{} = {}", places[to].0, text.0));
            } else if program.uses(i) == 1 {
                places[to] = text;
            } else {
                names += 1;
                let name = format!("u{names}");
                lines.push(format!("{name} = {}", text.0));
                places[to] = Text(name, ATOM);
            }
        }
        lines.join("\n")
    }
}

fn write(code: Code, [a, b, c]: &[Text; 3]) -> Text {
    let product = |a: &Text, b: &Text| Text(format!("{} * {}", a.within(3), b.within(4)), 3);
    let sum =
        |a: &Text, sign: &str, b: &Text| Text(format!("{} {sign} {}", a.within(2), b.within(3)), 2);
    match code {
        Code::Copy => a.clone(),
        Code::Negate => Text(format!("-{}", a.within(4)), 3),
        Code::Add => sum(a, "+", b),
        Code::Subtract => sum(a, "-", b),
        Code::MultiplyAdd => sum(c, "+", &product(a, b)),
        Code::NegativeMultiplyAdd => sum(c, "-", &product(a, b)),
        Code::Select => Text(format!("select({}, {}, {})", a.0, b.0, c.0), ATOM),
        Code::Entry(op) => entry(op, a, b),
    }
}

fn entry(op: Pointwise, a: &Text, b: &Text) -> Text {
    let notation = op.notation();
    let own = notation.strength();
    let text = match notation {
        Notation::Infix { text, .. } => {
            format!("{} {text} {}", a.within(own), b.within(own + 1))
        }
        Notation::Prefix { text } => format!("{text}{}", a.within(own + 1)),
        Notation::Suffix { text, .. } => format!("{}{text}", a.within(own + 1)),
        Notation::Call { text, .. } if op.arity() == 2 => format!("{text}({}, {})", a.0, b.0),
        Notation::Call { text, .. } => format!("{text}({})", a.0),
        Notation::Atom | Notation::Silent => a.0.clone(),
    };
    Text(text, own)
}
