//! A place of a recurrence, and the error for a value there that is not finite.

use crate::error::Error;
use crate::op::{NodeId, Op, Pointwise, Scalar, Value};
use crate::shape::Rate;
use crate::tape::Tape;

/// A node of the recurrence at one sample and step (0 where it does not vary with them).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) node: NodeId,
    pub(super) sample: usize,
    pub(super) step: usize,
}

impl Place {
    /// The place of a node that varies with nothing.
    pub(super) const fn once(node: NodeId) -> Self {
        Self {
            node,
            sample: 0,
            step: 0,
        }
    }
}

/// The error for a value that is not finite, made at a place of a recurrence.
pub(super) fn not_finite<F: Scalar>(tape: &Tape, at: Place, value: &Value<F>) -> Error {
    let Place { node, sample, step } = at;
    let place = match tape.ty(node).rate {
        Rate::Static => "no particular step".into(),
        Rate::Sample => format!("sample {sample}, counted from 0"),
        Rate::Step => format!("step {step} of sample {sample}, counted from 0"),
    };
    let entries = match value {
        Value::Real(array) => array.indexed_iter().find(|(_, x)| !x.is_finite()),
        Value::Class(_) => None,
    };
    let (entry, value) = entries.map_or((Vec::new(), f64::NAN), |(entry, x)| {
        let entry = ndarray::Dimension::as_array_view(&entry).to_vec();
        (entry, Scalar::to_f64(*x))
    });
    Error::NonFiniteValue {
        expression: format!("`{}`", tape.definition(node)),
        place,
        entry,
        value,
        safe_form: safe_form(tape, node),
    }
}

/// How an operation is written to keep away from its poles. The derivative of a root is a quotient by the
/// root; its remedy is that of the root.
fn safe_form(tape: &Tape, node: NodeId) -> Option<&'static str> {
    let root = Op::Pointwise(Pointwise::Sqrt);
    let node = tape.node(node);
    let divisor = match node.op() {
        Op::Pointwise(Pointwise::Div | Pointwise::Recip) => node.args().last(),
        _ => None,
    };
    match divisor {
        Some(divisor) if *tape.node(*divisor).op() == root => root.safe_form(),
        _ => node.op().safe_form(),
    }
}
