//! The value of a term on numbers that come from somewhere else.
//!
//! Everything is a matrix: a vector is one column, a number is 1 × 1.

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexMap;
use ndarray::{Array2, ArrayD, IxDyn};

use super::read::Function;
use super::term::{Base, Name, Term, Time};
use crate::op::{Linear, Op, Value};
use crate::shape::{Dim, Rate, Shape, Type};

/// What a number in an instance is the number of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Value(Name, Option<i64>),
    Delta(Name, Option<i64>),
    D(Name, Option<i64>),
    Gradient(Name, Option<i64>),
    Jacobian(Name, i64, Name, i64),
    Block(Name, Name, i64),
    Loss,
    DLoss,
}

/// Numbers for everything that terms speak of, on one run of `T` steps.
#[derive(Clone, Debug, Default)]
pub struct Instance {
    pub(crate) steps: i64,
    pub(crate) numbers: HashMap<Key, Array2<f64>>,
    pub(crate) classes: HashMap<(Name, Option<i64>), (usize, usize)>,
    pub(crate) functions: IndexMap<Name, Function>,
    /// The states, in order.
    pub(crate) states: Vec<Name>,
    pub(crate) sizes: Vec<usize>,
}

/// Why a value cannot be computed where ones, an identity or a zero take their size from a context
/// that is not part of the line.
pub(crate) const SIZELESS: &str = "something takes its size from elsewhere";

/// A value, or what takes on any shape.
#[derive(Clone, Debug)]
pub(crate) enum V {
    Array(Array2<f64>),
    /// Filled with one number: ones, times a factor.
    Fill(f64),
    Eye,
    /// Zero of any shape, also where a step lies beyond the ends.
    Zero,
}

type Found = Result<V, String>;

/// The values of the variables that stand for steps.
pub(crate) type Steps = Vec<(char, i64)>;

impl Instance {
    fn step(&self, time: &Time, steps: &Steps) -> Result<i64, String> {
        let value = |v: char| {
            let known = steps.iter().rev().find(|(c, _)| *c == v);
            known
                .map(|(_, step)| *step)
                .ok_or_else(|| format!("`{v}` stands for no step"))
        };
        let base = match time.base {
            Base::Zero => 0,
            Base::Last => self.steps,
            Base::Var(v) => value(v)?,
            Base::Minus(a, b) => value(a)? - value(b)?,
        };
        Ok(base + time.offset)
    }

    fn steps(&self, time: &Option<Time>, steps: &Steps) -> Result<Option<i64>, String> {
        time.as_ref().map(|t| self.step(t, steps)).transpose()
    }

    fn number(&self, key: &Key) -> Found {
        match self.numbers.get(key) {
            Some(array) => Ok(V::Array(array.clone())),
            None => Err(format!("there is no {key:?}")),
        }
    }

    /// The value of a term, when variables stand for these steps.
    pub(crate) fn evaluate(&self, term: &Term, at: &Steps) -> Found {
        match term {
            Term::Num(n) => Ok(scalar(*n)),
            Term::Ones => Ok(V::Fill(1.0)),
            Term::Eye => Ok(V::Eye),
            Term::Zero => Ok(V::Zero),
            #[expect(clippy::cast_precision_loss, reason = "a number of steps is small")]
            Term::Length => Ok(scalar(self.steps as f64)),
            #[expect(clippy::cast_precision_loss, reason = "a size is small")]
            Term::Size(_, dim) => Ok(scalar(dim.value_at(&self.sizes) as f64)),
            Term::Value(name, t) => self.number(&Key::Value(Arc::clone(name), self.steps(t, at)?)),
            Term::Delta(name, t) => {
                let t = self.steps(t, at)?;
                match t {
                    // Nothing beyond the ends has any influence.
                    Some(t) if t > self.steps || t < 1 => Ok(V::Zero),
                    t => self.number(&Key::Delta(Arc::clone(name), t)),
                }
            }
            Term::D(name, t) => self.number(&Key::D(Arc::clone(name), self.steps(t, at)?)),
            Term::DOf(_) => Err("a differential that is not worked out".into()),
            Term::Loss => self.number(&Key::Loss),
            Term::DLoss => self.number(&Key::DLoss),
            Term::Gradient(name, t) => {
                self.number(&Key::Gradient(Arc::clone(name), self.steps(t, at)?))
            }
            Term::Jacobian(of, t, by, k) => {
                let (t, k) = (self.step(t, at)?, self.step(k, at)?);
                if t == k && of == by {
                    return Ok(V::Eye);
                }
                self.number(&Key::Jacobian(Arc::clone(of), t, Arc::clone(by), k))
            }
            Term::Block(of, by, t) => {
                let t = self.step(t, at)?;
                if t > self.steps {
                    return Ok(V::Zero);
                }
                self.number(&Key::Block(Arc::clone(of), Arc::clone(by), t))
            }
            Term::StateJacobian(t) => {
                let t = self.step(t, at)?;
                if t > self.steps {
                    return Ok(V::Zero);
                }
                self.blocks(|of, by| Key::Block(Arc::clone(of), Arc::clone(by), t))
            }
            Term::StateFlow(t, k) => {
                let (t, k) = (self.step(t, at)?, self.step(k, at)?);
                if t == k {
                    return Ok(V::Eye);
                }
                // Injected before step k + 1, which is after step k for the state as a whole.
                self.blocks(|of, by| Key::Jacobian(Arc::clone(of), t, before(by), k + 1))
            }
            Term::Neg(x) => Ok(match self.evaluate(x, at)? {
                V::Zero => V::Zero,
                V::Fill(x) => V::Fill(-x),
                V::Array(a) => V::Array(-a),
                V::Eye => return Err("−I has no size here".into()),
            }),
            Term::Add(parts) => self.add(parts, at),
            Term::Had(parts) => self.fold(parts, at, &had),
            Term::Mul(parts) => self.fold(parts, at, &mul),
            Term::Div(a, b) => match (self.evaluate(a, at)?, self.evaluate(b, at)?) {
                (V::Zero, _) => Ok(V::Zero),
                (V::Array(a), V::Array(b)) if b.len() == 1 => Ok(V::Array(a / b[(0, 0)])),
                (V::Array(a), V::Array(b)) if a.dim() == b.dim() => Ok(V::Array(a / b)),
                (V::Fill(x), V::Array(b)) => Ok(V::Array(b.mapv(|b| x / b))),
                (V::Fill(x), V::Fill(y)) => Ok(V::Fill(x / y)),
                _ => Err("a quotient of different shapes".into()),
            },
            Term::T(x) => Ok(match self.evaluate(x, at)? {
                V::Array(a) => V::Array(a.reversed_axes()),
                any => any,
            }),
            Term::Inner(a, b) => match (self.evaluate(a, at)?, self.evaluate(b, at)?) {
                (V::Zero, _) | (_, V::Zero) => Ok(V::Zero),
                (V::Array(a), V::Array(b)) if a.dim() == b.dim() => Ok(scalar((a * b).sum())),
                (V::Array(a), V::Fill(x)) | (V::Fill(x), V::Array(a)) => Ok(scalar(a.sum() * x)),
                _ => Err("an inner product of different shapes".into()),
            },
            Term::Diag(v) => match self.evaluate(v, at)? {
                V::Array(v) if v.ncols() == 1 => {
                    Ok(V::Array(Array2::from_diag(&v.column(0).to_owned())))
                }
                V::Fill(1.0) => Ok(V::Eye),
                V::Zero => Ok(V::Zero),
                _ => Err("the diagonal matrix of something that is no vector".into()),
            },
            Term::Pow(x, n) => Ok(match self.evaluate(x, at)? {
                V::Array(a) => V::Array(a.mapv(|x| x.powi(*n))),
                other => other,
            }),
            Term::Norm(x) => Ok(match self.evaluate(x, at)? {
                V::Array(a) if a.ncols() == 1 => scalar((&a * &a).sum().sqrt()),
                V::Array(a) => scalar(spectral_norm(&a)),
                V::Eye => scalar(1.0),
                other => other,
            }),
            Term::OneHot(class) => {
                let Term::Value(name, t) = &**class else {
                    return Err("a unit vector needs a class".into());
                };
                let key = (Arc::clone(name), self.steps(t, at)?);
                let (index, count) = self.classes.get(&key).ok_or("an unknown class")?;
                let mut e = Array2::zeros((*count, 1));
                e[(*index, 0)] = 1.0;
                Ok(V::Array(e))
            }
            Term::Call(name, args) => self.call(name, args, at),
            Term::Before(a, b) => Ok(iverson(self.step(a, at)? < self.step(b, at)?)),
            Term::At(a, b) => Ok(iverson(self.step(a, at)? == self.step(b, at)?)),
            Term::Sum(var, from, to, body) => {
                let (from, to) = (self.step(from, at)?, self.step(to, at)?);
                let mut total = V::Zero;
                for step in from..=to {
                    let mut at = at.clone();
                    at.push((*var, step));
                    total = plus(total, self.evaluate(body, &at)?)?;
                }
                Ok(total)
            }
            Term::Prod(var, from, to, body) => {
                let (from, to) = (self.step(from, at)?, self.step(to, at)?);
                let mut product = V::Eye;
                for step in from..=to {
                    let mut at = at.clone();
                    at.push((*var, step));
                    product = mul(self.evaluate(body, &at)?, product)?;
                }
                Ok(product)
            }
            Term::HadProd(var, from, to, body) => {
                let (from, to) = (self.step(from, at)?, self.step(to, at)?);
                let mut product = V::Fill(1.0);
                for step in from..=to {
                    let mut at = at.clone();
                    at.push((*var, step));
                    product = had(self.evaluate(body, &at)?, product)?;
                }
                Ok(product)
            }
            Term::Matrix(rows) => self.matrix(rows, at),
        }
    }

    /// Folds factors; one that is zero makes the product zero whatever the others are, also where
    /// they do not exist.
    fn fold(&self, parts: &[Term], at: &Steps, f: &dyn Fn(V, V) -> Found) -> Found {
        let values: Vec<Found> = parts.iter().map(|p| self.evaluate(p, at)).collect();
        if values.iter().any(|v| matches!(v, Ok(V::Zero))) {
            return Ok(V::Zero);
        }
        let mut values = values.into_iter();
        let first = values.next().ok_or("an empty product")??;
        values.try_fold(first, |product, v| f(product, v?))
    }

    fn add(&self, parts: &[Term], at: &Steps) -> Found {
        parts
            .iter()
            .try_fold(V::Zero, |total, part| plus(total, self.evaluate(part, at)?))
    }

    fn blocks(&self, key: impl Fn(&Name, &Name) -> Key) -> Found {
        let mut rows = Vec::new();
        for of in &self.states {
            let mut row = Vec::new();
            for by in &self.states {
                match self.number(&key(of, by))? {
                    V::Array(a) => row.push(a),
                    _ => return Err(SIZELESS.into()),
                }
            }
            rows.push(row);
        }
        joined(&rows)
    }

    fn matrix(&self, rows: &[Vec<Term>], at: &Steps) -> Found {
        let values: Result<Vec<Vec<V>>, String> = rows
            .iter()
            .map(|r| r.iter().map(|c| self.evaluate(c, at)).collect())
            .collect();
        let values = values?;
        if values.iter().flatten().all(|v| matches!(v, V::Zero)) {
            return Ok(V::Zero);
        }
        // A block without a size of its own takes it from its row and its column.
        let height = |i: usize| {
            values[i].iter().find_map(|v| match v {
                V::Array(a) => Some(a.nrows()),
                _ => None,
            })
        };
        let width = |j: usize| {
            values.iter().find_map(|r| match &r[j] {
                V::Array(a) => Some(a.ncols()),
                _ => None,
            })
        };
        let mut sized = Vec::new();
        for (i, row) in values.iter().enumerate() {
            let mut out = Vec::new();
            for (j, v) in row.iter().enumerate() {
                let (h, w) = (height(i).or(width(j)), width(j).or(height(i)));
                out.push(match (v, h, w) {
                    (V::Array(a), ..) => a.clone(),
                    (V::Zero, Some(h), Some(w)) => Array2::zeros((h, w)),
                    (V::Eye, Some(h), Some(w)) if h == w => Array2::eye(h),
                    _ => return Err(SIZELESS.into()),
                });
            }
            sized.push(out);
        }
        joined(&sized)
    }

    fn call(&self, name: &Name, args: &[Term], at: &Steps) -> Found {
        let function = self
            .functions
            .get(name)
            .ok_or_else(|| format!("`{name}` is not a known function"))?;
        let mut values = Vec::new();
        let mut like: Option<(usize, usize)> = None;
        let classes = function.ranks.contains(&usize::MAX);
        for (arg, rank) in args.iter().zip(&function.ranks) {
            if *rank == usize::MAX {
                let Term::Value(n, t) = arg else {
                    return Err("a class is expected".into());
                };
                let key = (Arc::clone(n), self.steps(t, at)?);
                values.push(Err(self.classes.get(&key).ok_or("an unknown class")?.0));
                continue;
            }
            let v = self.evaluate(arg, at)?;
            if let V::Array(a) = &v {
                like =
                    Some(like.map_or(a.dim(), |l| if a.len() > l.0 * l.1 { a.dim() } else { l }));
            }
            values.push(Ok(v));
        }
        let pointwise = matches!(function.op, Op::Pointwise(_));
        if let Op::Linear(linear) = &function.op {
            // What is linear is zero at zero; two ops are so in all arguments together only.
            let together = matches!(linear, Linear::Concat(_) | Linear::Select(_));
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
                        V::Zero if like.is_some() || *rank == 0 => Array2::zeros(dim),
                        V::Fill(x) if like.is_some() => Array2::from_elem(dim, x),
                        V::Zero | V::Fill(_) => return Err(SIZELESS.into()),
                        V::Eye => return Err("I as an argument".into()),
                    };
                    Ok(Value::Real(shaped(
                        array,
                        if pointwise { 2 } else { *rank },
                    )))
                }
            })
            .collect();
        let args = args?;
        // An op on shapes of its own must be asked whether these are such.
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
        match op.eval(&refs) {
            Value::Real(a) => Ok(V::Array(matrix(&a))),
            Value::Class(_) => Err("a function gave a class".into()),
        }
    }
}

/// The type of an argument; a class has none that matters here.
fn type_of(value: &Value<f64>) -> Option<Type> {
    let Value::Real(a) = value else {
        return Some(Type::real((), Rate::Static));
    };
    let dims: Vec<Dim> = a.shape().iter().map(|n| Dim::fixed(*n)).collect();
    Some(Type::real(Shape::from_dims(&dims)?, Rate::Static))
}

/// The name under which what is read of a state is perturbed.
pub(crate) fn before(state: &str) -> Name {
    format!("{state}.before").into()
}

pub(crate) fn scalar(x: f64) -> V {
    V::Array(Array2::from_elem((1, 1), x))
}

fn iverson(yes: bool) -> V {
    if yes { scalar(1.0) } else { V::Zero }
}

/// An array of rank 0 to 2 as a matrix.
pub(crate) fn matrix(a: &ArrayD<f64>) -> Array2<f64> {
    let dim = match *a.shape() {
        [] => (1, 1),
        [n] => (n, 1),
        [m, n] => (m, n),
        _ => (a.len(), 1),
    };
    let entries: Vec<f64> = a.iter().copied().collect();
    Array2::from_shape_vec(dim, entries).unwrap_or_else(|_| Array2::zeros(dim))
}

fn shaped(a: Array2<f64>, rank: usize) -> ArrayD<f64> {
    let dims: Vec<usize> = match rank {
        0 => Vec::new(),
        1 => vec![a.len()],
        _ => a.shape().to_vec(),
    };
    let entries: Vec<f64> = a.iter().copied().collect();
    ArrayD::from_shape_vec(IxDyn(&dims), entries).unwrap_or_else(|_| a.into_dyn())
}

fn plus(a: V, b: V) -> Found {
    match (a, b) {
        (V::Zero, b) => Ok(b),
        (a, V::Zero) => Ok(a),
        (V::Array(a), V::Array(b)) if a.dim() == b.dim() => Ok(V::Array(a + b)),
        (V::Array(a), V::Array(b)) => Err(format!("{:?} + {:?}", a.dim(), b.dim())),
        (V::Fill(x), V::Array(a)) | (V::Array(a), V::Fill(x)) => Ok(V::Array(a + x)),
        (V::Fill(x), V::Fill(y)) => Ok(V::Fill(x + y)),
        (V::Eye, V::Array(a)) | (V::Array(a), V::Eye) if a.nrows() == a.ncols() => {
            Ok(V::Array(&a + &Array2::<f64>::eye(a.nrows())))
        }
        _ => Err(SIZELESS.into()),
    }
}

fn had(a: V, b: V) -> Found {
    match (a, b) {
        (V::Fill(x), V::Array(a)) | (V::Array(a), V::Fill(x)) => Ok(V::Array(a * x)),
        (V::Fill(x), V::Fill(y)) => Ok(V::Fill(x * y)),
        (V::Array(a), V::Array(b)) if a.dim() == b.dim() => Ok(V::Array(a * b)),
        (V::Array(a), V::Array(b)) => Err(format!("{:?} ⊙ {:?}", a.dim(), b.dim())),
        _ => Err(SIZELESS.into()),
    }
}

fn mul(a: V, b: V) -> Found {
    match (a, b) {
        (V::Eye, b) => Ok(b),
        (a, V::Eye) => Ok(a),
        (V::Array(a), V::Array(b)) if a.len() == 1 => Ok(V::Array(b * a[(0, 0)])),
        (V::Array(a), V::Array(b)) if b.len() == 1 => Ok(V::Array(a * b[(0, 0)])),
        (V::Array(a), V::Array(b)) if a.ncols() == b.nrows() => Ok(V::Array(a.dot(&b))),
        (V::Array(a), V::Array(b)) => Err(format!("{:?} times {:?}", a.dim(), b.dim())),
        // Ones before a vector can only be a row: the sum.
        (V::Fill(_), V::Array(b)) if b.nrows() == 1 => Err(SIZELESS.into()),
        (V::Fill(x), V::Array(b)) => {
            let sum = b.sum_axis(ndarray::Axis(0)).insert_axis(ndarray::Axis(0));
            Ok(V::Array(sum * x))
        }
        (V::Array(a), V::Fill(x)) if a.len() == 1 => Ok(V::Fill(a[(0, 0)] * x)),
        _ => Err(SIZELESS.into()),
    }
}

fn joined(rows: &[Vec<Array2<f64>>]) -> Found {
    let joined: Result<Vec<Array2<f64>>, _> = rows
        .iter()
        .map(|r| {
            let views: Vec<_> = r.iter().map(|a| a.view()).collect();
            ndarray::concatenate(ndarray::Axis(1), &views)
        })
        .collect();
    let joined = joined.map_err(|e| e.to_string())?;
    let views: Vec<_> = joined.iter().map(|a| a.view()).collect();
    let whole = ndarray::concatenate(ndarray::Axis(0), &views).map_err(|e| e.to_string())?;
    Ok(V::Array(whole))
}

/// The largest singular value, by Jacobi rotations of `AᵀA`.
pub(crate) fn singular_values(a: &Array2<f64>) -> Vec<f64> {
    // One-sided Jacobi: rotate columns until they are orthogonal.
    let mut u = if a.nrows() < a.ncols() {
        a.t().to_owned()
    } else {
        a.clone()
    };
    let n = u.ncols();
    for _ in 0..60 {
        let mut off: f64 = 0.0;
        for p in 0..n {
            for q in p + 1..n {
                let (x, y) = (u.column(p).to_owned(), u.column(q).to_owned());
                let (aa, bb, ab) = (x.dot(&x), y.dot(&y), x.dot(&y));
                if ab == 0.0 {
                    continue;
                }
                off = off.max(ab.abs() / (aa * bb).sqrt().max(f64::MIN_POSITIVE));
                let zeta = (bb - aa) / (2.0 * ab);
                let t = zeta.signum() / (zeta.abs() + zeta.hypot(1.0));
                let t = if zeta == 0.0 { 1.0 } else { t };
                let c = 1.0 / t.hypot(1.0);
                let s = c * t;
                u.column_mut(p).assign(&(&x * c - &y * s));
                u.column_mut(q).assign(&(&x * s + &y * c));
            }
        }
        if off < 1e-15 {
            break;
        }
    }
    let mut values: Vec<f64> = u.columns().into_iter().map(|c| c.dot(&c).sqrt()).collect();
    values.sort_by(|a, b| b.total_cmp(a));
    values
}

pub(crate) fn spectral_norm(a: &Array2<f64>) -> f64 {
    singular_values(a).first().copied().unwrap_or(0.0)
}
