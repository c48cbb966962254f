//! Evaluates terms on given numbers.

use std::collections::HashMap;

use indexmap::IndexMap;
use ndarray::{Array2, Axis};

use super::arrays::{Found, SIZELESS, V, cut, had, iverson, kronecker, mul, plus, scalar};
use super::singular::{least_singular_value, spectral_norm};
use crate::derive::algebra::chain::Carried;
use crate::derive::algebra::conditions::is_condition;
use crate::derive::algebra::function::Function;
use crate::derive::algebra::quantity::{Beyond, Quantity, Symbol};
use crate::derive::algebra::term::{Base, Fold, Index, Name, Term, Time};
use crate::derive::record::derivation::Chain;
use crate::derive::record::equation::Letter;

/// The quantity that a number in an instance belongs to.
pub(crate) type Key = Symbol<i64>;

/// The numbers that terms refer to, on one run of `T` steps.
#[derive(Clone, Debug, Default)]
pub struct Instance {
    pub(crate) steps: i64,
    pub(crate) numbers: HashMap<Key, Array2<f64>>,
    pub(crate) classes: HashMap<Key, (usize, usize)>,
    pub(crate) functions: IndexMap<Name, Function>,
    pub(crate) letters: IndexMap<Name, Letter>,
    /// The states, in order.
    pub(crate) states: Vec<Carried>,
    /// The state carried backwards in time, in order.
    pub(crate) back: Vec<Carried>,
    pub(crate) sizes: Vec<usize>,
    /// The largest entry of any differential, and that of any gradient.
    pub(crate) largest: (f64, f64),
}

/// The rounding error of an evaluation, relative to the largest addend.
pub(super) const ROUNDING: f64 = 64.0 * f64::EPSILON;

/// The values of step variables, in a line about a chain of states.
#[derive(Clone, Debug)]
pub(crate) struct Steps {
    values: Vec<(char, i64)>,
    pub(super) chain: Chain,
}

impl Steps {
    pub(crate) const fn of(chain: Chain) -> Self {
        let values = Vec::new();
        Self { values, chain }
    }

    /// The same and the value of one more variable.
    pub(crate) fn with(&self, var: char, step: i64) -> Self {
        let mut more = self.clone();
        more.values.push((var, step));
        more
    }

    pub(super) fn value(&self, var: char) -> Option<i64> {
        let known = self.values.iter().rev().find(|(c, _)| *c == var);
        known.map(|(_, step)| *step)
    }
}

impl Instance {
    pub(super) fn step(&self, time: &Time, steps: &Steps) -> Result<i64, String> {
        let value = |v: char| {
            let known = steps.value(v);
            known.ok_or_else(|| format!("`{v}` stands for no step"))
        };
        let base = match time.base {
            Base::Zero => 0,
            Base::Last => self.steps,
            Base::Var(v) => value(v)?,
            Base::Minus(a, b) => value(a)? - value(b)?,
            Base::Lots(a, b, many) => {
                let many = many.max(1);
                (value(a)? - value(b)? + many - 1).div_euclid(many)
            }
            Base::LastMinus(v) => self.steps - value(v)?,
            Base::Window(t, width) => (value(t)? - value(width)? + 1).max(1),
            Base::ChunkEnd(v) => {
                let chunk = value('τ')?.max(1);
                self.steps
                    .min((value(v)? + chunk - 1).div_euclid(chunk) * chunk)
            }
        };
        Ok(base + time.offset)
    }

    /// The number that rounding errors of a quantity are relative to: a derivative that is zero in exact arithmetic is
    /// a sum of numbers as large as the other derivatives.
    pub(super) const fn rounded_by(&self, quantity: Quantity) -> f64 {
        use Quantity as Q;
        match quantity {
            Q::D | Q::DPlus | Q::DLoss => self.largest.0,
            Q::Delta | Q::Gradient | Q::StepGradient | Q::Costate | Q::Cut => self.largest.1,
            _ => 0.0,
        }
    }

    /// Records the largest entries.
    pub(super) fn measure(&mut self) {
        let of = |quantities: &[Quantity]| {
            let numbers = self.numbers.iter();
            let numbers = numbers.filter(|(key, _)| quantities.contains(&key.quantity));
            numbers
                .flat_map(|(_, array)| array)
                .fold(0.0, |most: f64, x| most.max(x.abs()))
        };
        self.largest = (
            of(&[Quantity::D]),
            of(&[Quantity::Delta, Quantity::Gradient]),
        );
    }

    /// Returns true if the run has this step.
    pub(super) fn has(&self, step: i64) -> bool {
        (1..=self.steps).contains(&step)
    }

    /// The key of a quantity for given values of the step variables.
    fn key(&self, symbol: &Symbol<Time>, at: &Steps) -> Result<Key, String> {
        let steps: Result<Vec<i64>, String> =
            symbol.steps.iter().map(|t| self.step(t, at)).collect();
        Ok(Key::new(symbol.quantity, &symbol.names, steps?))
    }

    pub(super) fn number(&self, key: &Key) -> Found {
        match self.numbers.get(key) {
            Some(array) => Ok(V::Array(array.clone())),
            None => {
                let (of, at) = (&key.names, &key.steps);
                Err(format!(
                    "there is no {:?} of {of:?} at {at:?}",
                    key.quantity
                ))
            }
        }
    }

    /// The value of a term for given values of the step variables.
    pub(crate) fn evaluate(&self, term: &Term, at: &Steps) -> Found {
        match term {
            Term::Num(n) => Ok(scalar(*n)),
            Term::Ones => Ok(V::Fill(1.0)),
            Term::Eye => Ok(V::Eye(1.0)),
            Term::Zero => Ok(V::Zero),
            #[expect(clippy::cast_precision_loss, reason = "a size is small")]
            Term::Size(_, dim) => Ok(scalar(dim.value_at(&self.sizes) as f64)),
            Term::Symbol(symbol) => self.symbol(&self.key(symbol, at)?, at),
            Term::DOf(_) => Err("a differential that is not worked out".into()),
            Term::Neg(x) => Ok(match self.evaluate(x, at)? {
                V::Zero => V::Zero,
                V::Fill(x) => V::Fill(-x),
                V::Array(a) => V::Array(-a),
                V::Columns(c) => V::Columns(-c),
                V::Rows(r) => V::Rows(-r),
                V::Eye(x) => V::Eye(-x),
            }),
            Term::Add(parts) => self.add(parts, at),
            Term::Had(parts) => self.fold(parts, at, &had),
            Term::Mul(parts) => self.product(parts, at),
            // Beyond the ends, the divisor may not exist.
            Term::Div(a, _) if is_condition(a) && matches!(self.evaluate(a, at)?, V::Zero) => {
                Ok(V::Zero)
            }
            Term::Div(a, b) => match (self.evaluate(a, at)?, self.evaluate(b, at)?) {
                (V::Zero, _) => Ok(V::Zero),
                (V::Array(a), V::Array(b)) if b.len() == 1 => {
                    let b = b[(0, 0)];
                    Ok(V::Array(a.mapv_into(|a| quotient(a, b))))
                }
                (V::Columns(c), V::Array(b)) if b.len() == 1 => Ok(V::Columns(c / b[(0, 0)])),
                (V::Rows(r), V::Array(b)) if b.len() == 1 => Ok(V::Rows(r / b[(0, 0)])),
                (V::Fill(x), V::Fill(y)) => Ok(V::Fill(quotient(x, y))),
                (a, V::Array(b)) => match a.sized(b.dim()) {
                    Some(mut a) => {
                        a.zip_mut_with(&b, |a, b| *a = quotient(*a, *b));
                        Ok(V::Array(a))
                    }
                    None => Err("a quotient of different shapes".into()),
                },
                _ => Err(SIZELESS.into()),
            },
            Term::T(x) => match self.evaluate(x, at)? {
                V::Array(a) => Ok(V::Array(a.reversed_axes())),
                V::Columns(c) => Ok(V::Rows(c.reversed_axes())),
                V::Rows(r) => Ok(V::Columns(r.reversed_axes())),
                any => Ok(any),
            },
            Term::Inner(a, b) => match (self.evaluate(a, at)?, self.evaluate(b, at)?) {
                (V::Zero, _) | (_, V::Zero) => Ok(V::Zero),
                (V::Array(a), b) | (b, V::Array(a)) => match b.sized(a.dim()) {
                    Some(b) => Ok(scalar((a * b).sum())),
                    None => Err("an inner product of different shapes".into()),
                },
                _ => Err(SIZELESS.into()),
            },
            Term::Diag(v) => match self.evaluate(v, at)? {
                V::Array(v) if v.ncols() == 1 => {
                    Ok(V::Array(Array2::from_diag(&v.column(0).to_owned())))
                }
                // Of a matrix, its diagonal.
                V::Array(m) if m.nrows() == m.ncols() => {
                    Ok(V::Array(m.diag().to_owned().insert_axis(Axis(1))))
                }
                V::Fill(x) => Ok(V::Eye(x)),
                V::Eye(x) => Ok(V::Fill(x)),
                V::Columns(c) => Ok(V::Array(c)),
                V::Rows(r) => Ok(V::Array(r.reversed_axes())),
                V::Zero => Ok(V::Zero),
                _ => Err("the diagonal matrix of something that is no vector".into()),
            },
            Term::Pow(x, n) => Ok(match self.evaluate(x, at)? {
                V::Array(a) => V::Array(a.mapv(|x| x.powi(*n))),
                V::Columns(c) => V::Columns(c.mapv(|x| x.powi(*n))),
                V::Rows(r) => V::Rows(r.mapv(|x| x.powi(*n))),
                // A scalar.
                V::Eye(x) => scalar(x.powi(*n)),
                V::Fill(x) => V::Fill(x.powi(*n)),
                V::Zero if *n == 0 => V::Fill(1.0),
                other => other,
            }),
            Term::PowSteps(x, n) => match (self.evaluate(x, at)?, self.step(n, at)?) {
                (V::Array(x), n) if x.len() == 1 => {
                    let n = i32::try_from(n).map_err(|e| e.to_string())?;
                    Ok(V::Array(x.mapv(|x| x.powi(n))))
                }
                (V::Zero, 0) => Ok(scalar(1.0)),
                (V::Zero, _) => Ok(V::Zero),
                _ => Err("a power of something that is no number".into()),
            },
            #[expect(clippy::cast_precision_loss, reason = "a number of steps is small")]
            Term::Steps(n) => Ok(scalar(self.step(n, at)? as f64)),
            Term::MaxNorm(x) => Ok(match self.evaluate(x, at)? {
                V::Eye(x) => scalar(x.abs()),
                V::Array(a) | V::Columns(a) | V::Rows(a) => {
                    scalar(a.iter().fold(0.0, |m: f64, x| m.max(x.abs())))
                }
                V::Fill(x) => scalar(x.abs()),
                other => other,
            }),
            Term::Frobenius(x) => Ok(match self.evaluate(x, at)? {
                V::Array(a) => scalar((&a * &a).sum().sqrt()),
                V::Zero => scalar(0.0),
                _ => return Err(SIZELESS.into()),
            }),
            Term::Least(x) => Ok(match self.evaluate(x, at)? {
                V::Array(a) => scalar(least_singular_value(&a)),
                V::Eye(x) => scalar(x.abs()),
                V::Columns(_) | V::Rows(_) => return Err(SIZELESS.into()),
                other => other,
            }),
            Term::Kron(a, b) => match (self.evaluate(a, at)?, self.evaluate(b, at)?) {
                (V::Array(a), V::Array(b)) => Ok(V::Array(kronecker(&a, &b))),
                (V::Zero, _) | (_, V::Zero) => Ok(V::Zero),
                _ => Err(SIZELESS.into()),
            },
            Term::Norm(x) => Ok(match self.evaluate(x, at)? {
                V::Array(a) if a.ncols() == 1 => scalar((&a * &a).sum().sqrt()),
                V::Array(a) => scalar(spectral_norm(&a)),
                V::Eye(x) => scalar(x.abs()),
                V::Fill(_) | V::Columns(_) | V::Rows(_) => return Err(SIZELESS.into()),
                other => other,
            }),
            Term::EyeOf(size) => Ok(V::Array(Array2::eye(self.index(size, at)?))),
            Term::Part(span, x) => {
                let (first, last) = (self.index(&span.first, at)?, self.index(&span.last, at)?);
                cut(self.evaluate(x, at)?, span.along, (first, last))
            }
            Term::OneHot(class) => {
                let (index, count) = self.class(class, at)?;
                let mut e = Array2::zeros((count, 1));
                e[(index, 0)] = 1.0;
                Ok(V::Array(e))
            }
            Term::Call(name, args) => self.call(name, args, at),
            Term::Before(a, b) => Ok(iverson(self.step(a, at)? < self.step(b, at)?)),
            Term::At(a, b) => Ok(iverson(self.step(a, at)? == self.step(b, at)?)),
            Term::Uncut(t) => {
                let chunk = self.step(&Time::var('τ'), at)?;
                Ok(iverson(self.step(t, at)?.rem_euclid(chunk.max(1)) != 0))
            }
            Term::Over(fold, index, body) => self.over(*fold, index, body, at),
            Term::Matrix(rows) => self.matrix(rows, at),
        }
    }

    /// The value of a quantity at given steps.
    fn symbol(&self, key: &Key, at: &Steps) -> Found {
        let (quantity, back) = (key.quantity, &self.back);
        let carried = |chain: &[Carried], name: &Name| chain.iter().any(|c| c.name == *name);
        match (quantity, &key.names[..], &key.steps[..]) {
            (Quantity::Letter, [name], t) => self.letter(name, t, at.chain, Term::clone),
            (Quantity::Delta | Quantity::Gradient, [name], t)
                if self.letters.contains_key(name) =>
            {
                self.letter(name, t, at.chain, |means| stacked(means, quantity))
            }
            (_, _, [t, ..]) if quantity.row().beyond == Beyond::Zero && !self.has(*t) => {
                Ok(V::Zero)
            }
            #[expect(clippy::cast_precision_loss, reason = "a number of steps is small")]
            (Quantity::Length, ..) => Ok(scalar(self.steps as f64)),
            (Quantity::Costate, [name], [t]) => self.costate(name, *t),
            (Quantity::Cut, [name], [k]) => self.cut(name, *k, at),
            (Quantity::Jacobian, [of, by], [t, k]) if t == k && of == by => {
                let value = Key::new(Quantity::Value, [of], [*t.max(&1)]);
                let value = self.numbers.get(&value);
                Ok(value.map_or(V::Eye(1.0), |x| V::Array(Array2::eye(x.len()))))
            }
            // A value does not depend on later values of its chain.
            (Quantity::Jacobian, [of, _], [t, k])
                if t < k && carried(&self.states, of) || t > k && carried(back, of) =>
            {
                Ok(V::Zero)
            }
            (Quantity::Block, [of, by], [t]) => {
                self.direct(of, *t, by, if carried(back, by) { 1 } else { -1 })
            }
            (Quantity::Direct, [of, by], [t, k]) => self.direct(of, *t, by, k - t),
            (Quantity::StateJacobian, _, [t]) => self.flow(&self.states, -1, (*t, *t)),
            (Quantity::BackJacobian, _, [t]) => self.flow(back, 1, (*t, *t)),
            (Quantity::StateFlow | Quantity::BackFlow, _, [t, k]) if t == k => Ok(V::Eye(1.0)),
            // Step k + 1 reads the whole state after step k.
            (Quantity::StateFlow, _, [t, k]) => self.flow(&self.states, -1, (*t, k + 1)),
            (Quantity::BackFlow, _, [t, k]) => self.flow(back, 1, (*t, k - 1)),
            _ => self.number(key),
        }
    }

    /// The index of a class, and the number of classes.
    pub(super) fn class(&self, term: &Term, at: &Steps) -> Result<(usize, usize), String> {
        match term {
            Term::Symbol(symbol) if symbol.quantity == Quantity::Value => {
                let class = self.classes.get(&self.key(symbol, at)?);
                class.copied().ok_or_else(|| "an unknown class".to_owned())
            }
            _ => Err("a class is expected".into()),
        }
    }

    /// The meaning of a letter, or a term derived from it.
    fn letter(&self, name: &Name, at: &[i64], chain: Chain, made: impl Fn(&Term) -> Term) -> Found {
        let letter = self.letters.get(name);
        let letter = letter.ok_or_else(|| format!("`{name}` is not known"))?;
        let steps = match letter.var.zip(at.first()) {
            Some((var, step)) => Steps::of(chain).with(var, *step),
            None => Steps::of(chain),
        };
        self.evaluate(&made(&letter.means), &steps)
    }

    /// An operation over a range of steps.
    fn over(&self, fold: Fold, index: &Index, body: &Term, at: &Steps) -> Found {
        let (from, to) = (self.step(&index.from, at)?, self.step(&index.to, at)?);
        let mut values = (from..=to).map(|step| self.evaluate(body, &at.with(index.var, step)));
        match fold {
            Fold::Sum => values.try_fold(V::Zero, |total, x| plus(total, x?)),
            Fold::Prod => values.try_fold(V::Eye(1.0), |later, x| mul(x?, later)),
            Fold::ProdUp => values.try_fold(V::Eye(1.0), |earlier, x| mul(earlier, x?)),
            Fold::HadProd => values.try_fold(V::Fill(1.0), |rest, x| had(x?, rest)),
            Fold::Max => extreme(values, f64::max),
            Fold::Min => extreme(values, f64::min),
        }
    }

    /// A size or an index as an integer.
    fn index(&self, size: &Term, at: &Steps) -> Result<usize, String> {
        match self.evaluate(size, at)? {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "sizes are small whole numbers"
            )]
            V::Array(a) if a.len() == 1 && a[(0, 0)] >= 0.0 => Ok(a[(0, 0)] as usize),
            _ => Err("a size that is no number".into()),
        }
    }

    /// λ of a state; before the first step it is the gradient of the initial state.
    fn costate(&self, name: &Name, t: i64) -> Found {
        let back = self.back.iter().any(|c| c.name == *name);
        let beyond = if back { t < 1 } else { t > self.steps };
        match self.has(t) {
            _ if beyond => Ok(V::Zero),
            true => self.number(&Key::new(Quantity::Costate, [name], [t])),
            false => self.number(&Key::new(Quantity::Gradient, [name], [t])),
        }
    }

    /// δ of a value without flow from beyond the end of its chunk: the sum of the contributions of the losses up to
    /// that end.
    fn cut(&self, name: &Name, k: i64, at: &Steps) -> Found {
        if k > self.steps {
            return Ok(V::Zero);
        }
        let chunk = at.with('k', k);
        let end = Time {
            base: Base::ChunkEnd('k'),
            offset: 0,
        };
        let mut total = V::Zero;
        for t in k..=self.step(&end, &chunk)? {
            let sent = Key::new(Quantity::StepGradient, [name], [t, k]);
            total = plus(total, self.number(&sent)?)?;
        }
        Ok(total)
    }

    fn add(&self, parts: &[Term], at: &Steps) -> Found {
        parts
            .iter()
            .try_fold(V::Zero, |total, part| plus(total, self.evaluate(part, at)?))
    }
}

/// A quotient in which a zero above wins, as in a product.
fn quotient(above: f64, below: f64) -> f64 {
    if above == 0.0 { 0.0 } else { above / below }
}

/// The largest or smallest of some numbers.
fn extreme(values: impl Iterator<Item = Found>, better: fn(f64, f64) -> f64) -> Found {
    let numbers = values.map(|value| match value? {
        V::Array(a) if a.len() == 1 => Ok(a[(0, 0)]),
        V::Zero => Ok(0.0),
        _ => Err("the largest of something that is no number".to_owned()),
    });
    let best = numbers.reduce(|a, b| Ok(better(a?, b?)));
    best.ok_or("the largest of nothing")?.map(scalar)
}

/// A stack with each value replaced by its gradient or δ.
fn stacked(means: &Term, quantity: Quantity) -> Term {
    match means.symbol() {
        Some((Quantity::Value, names, at)) => quantity.of(names, at.iter().cloned()),
        _ => means.map(&mut |part| stacked(part, quantity)),
    }
}
