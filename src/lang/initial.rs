//! Initial values of parameters: `= 0.1`, `= identity(1)`, or random, `~ uniform(1/sqrt(H))`.

use super::ast::{Expr, Infix, Kind, Start};
use super::diagnostic::Diagnostic;
use super::print_expr::number;
use super::resolve::Resolver;
use crate::recurrence::{Initial, Spread};
use crate::shape::{Dim, Shape};

const EXACT: &str = "expected a number or `identity(…)` of one, such as `= 0.1`";
const RANDOM: &str = "expected `uniform(a)`, `normal(a)`, `orthogonal(a)` or `glorot()`";
const SPREAD: &str = "expected a number such as `0.1`, or one over a root such as `1/sqrt(H)`";

impl Resolver<'_, '_> {
    /// The declared initial value of a parameter of this shape.
    pub(super) fn initial(&self, start: &Start, shape: Shape) -> Option<Initial> {
        let value = &start.value;
        let refuse = |text: &str| {
            self.fail(value.span, text);
            None
        };
        let initial = match (start.random, parts(value)) {
            (false, _) if value.literal().is_some() => Initial::Constant(value.literal()?),
            (false, Some(("identity", [x]))) => match x.literal() {
                Some(x) => Initial::Identity(x),
                None => return refuse(EXACT),
            },
            (false, _) => return refuse(EXACT),
            (true, Some(("uniform", [a]))) => Initial::Uniform(self.spread(a)?),
            (true, Some(("normal", [a]))) => Initial::Normal(self.spread(a)?),
            (true, Some(("glorot", []))) => Initial::Glorot,
            (true, Some(("orthogonal", [x]))) => match x.literal() {
                Some(x) => Initial::Orthogonal(x),
                None => return refuse(RANDOM),
            },
            (true, _) => return refuse(RANDOM),
        };
        match initial.misfit(shape) {
            Some(why) => refuse(why),
            None => Some(initial),
        }
    }

    fn spread(&self, e: &Expr) -> Option<Spread> {
        if let Some(factor) = e.literal() {
            let over_root = None;
            return Some(Spread { factor, over_root });
        }
        if let Kind::Infix(factor, rest) = &e.kind
            && let [(Infix::Div, root)] = &rest[..]
            && let (Some(factor), Some(("sqrt", [size]))) = (factor.literal(), parts(root))
        {
            let over_root = Some(self.dim(size, None)?);
            return Some(Spread { factor, over_root });
        }
        self.reports.push(Diagnostic::at(e.span, SPREAD));
        None
    }
}

/// The name and the arguments of a call.
fn parts(e: &Expr) -> Option<(&str, &[Expr])> {
    match &e.kind {
        Kind::Call(name, args) => Some((&name.text, args)),
        _ => None,
    }
}

/// The text after the shape of a parameter, with `=` or `~`.
pub(super) fn text(initial: Initial, dim: impl Fn(Dim) -> String) -> Result<String, String> {
    let of = |name: &str, x: f64| Ok(format!("{name}({})", number(x)?));
    let spread = |name: &str, s: Spread| {
        let factor = number(s.factor)?;
        Ok(match s.over_root {
            Some(size) => format!("~ {name}({factor}/sqrt({}))", dim(size)),
            None => format!("~ {name}({factor})"),
        })
    };
    match initial {
        Initial::Constant(x) => Ok(format!("= {}", number(x)?)),
        Initial::Identity(x) => of("= identity", x),
        Initial::Uniform(s) => spread("uniform", s),
        Initial::Normal(s) => spread("normal", s),
        Initial::Glorot => Ok("~ glorot()".into()),
        Initial::Orthogonal(x) => of("~ orthogonal", x),
    }
}
