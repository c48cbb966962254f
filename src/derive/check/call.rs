//! The values of functions.

use ndarray::Array2;

use super::arrays::{Found, SIZELESS, V, matrix, shaped};
use super::evaluate::{Instance, ROUNDING, Steps};
use crate::derive::algebra::term::{Name, Quantity, Term, Time};
use crate::op::{Linearity, Op, Pointwise, Value};
use crate::shape::{Dim, Rate, Shape, Type};

/// The reason why a comparison has no value: its sides are equal but for rounding errors.
pub(super) const TIE: &str = "rounding decides a comparison";

impl Instance {
    /// A term without its conditions, and with all values at a step of the run.
    fn inside(&self, term: &Term, at: &Steps) -> Result<Term, String> {
        Ok(match (term, term.symbol()) {
            (Term::Before(..) | Term::At(..), _) => Term::Num(1.0),
            (_, Some((Quantity::Value, [name], [t]))) => {
                let step = self.step(t, at)?.clamp(1, self.steps);
                Quantity::Value.of([name], [Time::at(step)])
            }
            _ => {
                let mut failed = None;
                let inside = term.map(&mut |part| {
                    self.inside(part, at).unwrap_or_else(|reason| {
                        failed = Some(reason);
                        Term::Zero
                    })
                });
                return failed.map_or(Ok(inside), Err);
            }
        })
    }

    pub(super) fn call(&self, name: &Name, args: &[Term], at: &Steps) -> Found {
        let function = self
            .functions
            .get(name)
            .ok_or_else(|| format!("`{name}` is not a known function"))?;
        let mut values = Vec::new();
        let mut like: Option<(usize, usize)> = None;
        let classes = function.ranks.contains(&usize::MAX);
        for (arg, rank) in args.iter().zip(&function.ranks) {
            if *rank == usize::MAX {
                values.push(Err(self.class(arg, at)?.0));
                continue;
            }
            let v = match self.evaluate(arg, at)? {
                // Zero by a condition, or beyond the ends, has the size of other steps.
                V::Zero if *arg != Term::Zero && matches!(function.op, Op::Pointwise(_)) => {
                    match self.inside(arg, at).and_then(|arg| self.evaluate(&arg, at)) {
                        Ok(V::Array(a)) => V::Array(Array2::zeros(a.dim())),
                        _ => V::Zero,
                    }
                }
                v => v,
            };
            if let V::Array(a) = &v {
                like =
                    Some(like.map_or(a.dim(), |l| if a.len() > l.0 * l.1 { a.dim() } else { l }));
            }
            values.push(Ok(v));
        }
        let pointwise = matches!(function.op, Op::Pointwise(_));
        let number = pointwise && args.iter().all(|x| matches!(x, Term::Zero | Term::Num(_)));
        if let (Op::Linear(_), Some(linearity)) = (&function.op, function.op.linearity()) {
            let together = linearity != Linearity::Each;
            let mut zeros = values.iter().map(|v| matches!(v, Ok(V::Zero)));
            let zero = if together {
                zeros.all(|z| z)
            } else {
                zeros.any(|z| z)
            };
            if zero {
                return Ok(V::Zero);
            }
        }
        if let Op::Dense(op) = &function.op {
            let zero = |v: &Result<V, usize>| matches!(v, Ok(V::Zero));
            let zeros: Vec<bool> = values.iter().map(zero).collect();
            if zeros.contains(&true) && op.is_linear_in(&zeros) {
                return Ok(V::Zero);
            }
        }
        let args: Result<Vec<Value<f64>>, String> = values
            .into_iter()
            .zip(&function.ranks)
            .map(|(v, rank)| match v {
                Err(class) => Ok(Value::Class(class)),
                Ok(v) => {
                    let dim = like.unwrap_or((1, 1));
                    let array = match v {
                        V::Array(a) if pointwise && a.len() == 1 => {
                            Array2::from_elem(dim, a[(0, 0)])
                        }
                        V::Array(a) => a,
                        V::Zero if like.is_some() || *rank == 0 || number => Array2::zeros(dim),
                        V::Fill(x) if like.is_some() => Array2::from_elem(dim, x),
                        V::Zero | V::Fill(_) | V::Columns(_) | V::Rows(_) => {
                            return Err(SIZELESS.into());
                        }
                        // The derivative of a scalar with respect to itself.
                        V::Eye(x) if *rank == 0 => Array2::from_elem((1, 1), x),
                        // An identity has as many rows as the other arguments.
                        V::Eye(x) if like.is_some() && !pointwise => Array2::eye(dim.0) * x,
                        V::Eye(_) => return Err("I as an argument".into()),
                    };
                    // A function may have arguments of other ranks elsewhere.
                    let rank = match pointwise || array.ncols() > 1 {
                        true => 2,
                        false => *rank,
                    };
                    Ok(Value::Real(shaped(array, rank)))
                }
            })
            .collect();
        let args = args?;
        // An op on actual sizes must infer its type first.
        let sizes = self.sizes.clone();
        let op = function.op.map_dims(&|d| Dim::fixed(d.value_at(&sizes)));
        if !pointwise {
            let types: Option<Vec<Type>> = args.iter().map(type_of).collect();
            let types = types.ok_or(SIZELESS)?;
            if !classes {
                op.infer(&types)?;
            }
        }
        let refs: Vec<&Value<f64>> = args.iter().collect();
        if matches!(op, Op::Pointwise(Pointwise::Less | Pointwise::Equal)) && is_tie(&refs) {
            return Err(TIE.into());
        }
        match op.eval(&refs) {
            Value::Real(a) => Ok(V::Array(matrix(&a))),
            Value::Class(_) => Err("a function gave a class".into()),
        }
    }
}

/// Returns true if rounding errors decide a comparison of two values.
fn is_tie(values: &[&Value<f64>]) -> bool {
    let [Value::Real(a), Value::Real(b)] = values else {
        return false;
    };
    let mut pairs = a.iter().zip(b);
    pairs.any(|(a, b)| a != b && (a - b).abs() <= ROUNDING * a.abs().max(b.abs()))
}

/// The type of an argument; a class gets that of a scalar.
fn type_of(value: &Value<f64>) -> Option<Type> {
    let Value::Real(a) = value else {
        return Some(Type::real((), Rate::Static));
    };
    let dims: Vec<Dim> = a.shape().iter().map(|n| Dim::fixed(*n)).collect();
    Some(Type::real(Shape::from_dims(&dims)?, Rate::Static))
}
