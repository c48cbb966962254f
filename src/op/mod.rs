//! The op table: all operations of recurrences, and the contract of each row.
//!
//! A row defines the value of an op and its derivative; no derivative rule exists outside this
//! folder. There are three families (see `docs/architecture.md`):
//!
//! | family | a row supplies | what follows |
//! |---|---|---|
//! | [`Pointwise`] | scalar value, symbolic partials | tangent, cotangent, every higher order |
//! | [`Linear`] and [`Time`] | shape, value, transpose | tangent, every higher order |
//! | [`Reduce`], [`Dense`] and [`CustomOp`] | shape, value, tangent | cotangent, every higher order |
//! | [`Declared`] | value, arguments that carry the derivative | tangent, cotangent, every higher order |

mod aligned;
mod axis;
mod call;
mod choice;
mod composed;
mod custom;
mod declared;
mod dense;
mod diagonal;
mod elementary;
mod entry;
mod expr;
mod factor;
mod family;
mod form;
mod gamma;
mod linear;
mod lowering;
mod notation;
mod partial;
mod parts;
mod pointwise;
mod pointwise_table;
mod products;
mod reduce;
mod spread;
mod time;
mod value;
mod whole;

pub(crate) use aligned::aligned;
pub use axis::{Axis, Over};
pub(crate) use call::{Call, Given, Takes};
pub(crate) use choice::Alias;
pub(crate) use custom::{Custom, wrong_shape};
pub use custom::{CustomOp, ScalarFunction};
pub use declared::Declared;
pub use dense::Dense;
pub(crate) use dense::{Slices, extent};
pub(crate) use diagonal::{Diag, Reshape};
pub(crate) use elementary::Elementary;
pub(crate) use entry::{Entry, EntryVisitor};
pub use expr::Expr;
pub(crate) use expr::{Build, Fault};
pub(crate) use family::{LinearRule, Linearity};
pub(crate) use form::Form;
pub use linear::Linear;
pub(crate) use lowering::{Contract, Extent, Lowering, Move, Strides, entries};
pub(crate) use notation::Spelling;
pub use notation::{Notation, Setting};
pub use parts::concat;
pub(crate) use parts::{Concat, Gather, Slice};
pub use pointwise::Pointwise;
pub(crate) use products::{Dot, MatMul, Transpose};
pub use reduce::Reduce;
pub(crate) use spread::{Broadcast, Sum};
pub use time::{Edge, Time};
pub(crate) use time::{Hold, Pick, Total};
pub(crate) use value::Number;
pub use value::{Scalar, Value};

use ndarray::ArrayD;

use crate::shape::{Dim, Kind, Rate, Shape, Type};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u32);

        impl $name {
            pub(crate) fn new(index: usize) -> Self {
                Self(u32::try_from(index).expect("an arena holds fewer than 2^32 entries"))
            }

            /// The index in the arena.
            #[must_use]
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

id!(
    /// A node of a tape.
    NodeId
);
id!(
    /// A leaf of a tape: a parameter or an input.
    LeafId
);
id!(
    /// A register of a tape.
    RegisterId
);

/// A constant; two constants are equal if their bits are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Constant(u64);

impl Constant {
    /// A constant with this value.
    #[must_use]
    pub const fn new(value: f64) -> Self {
        Self(value.to_bits())
    }

    /// The value.
    #[must_use]
    pub const fn value(self) -> f64 {
        f64::from_bits(self.0)
    }
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Op {
    /// A number.
    Constant(Constant),
    /// A parameter or an input.
    Leaf(LeafId),
    /// The read of a register: its definition one step earlier or later.
    Read(RegisterId),
    /// A scalar function applied entry by entry.
    Pointwise(Pointwise),
    /// Linear in each argument, or jointly in all of them.
    Linear(Linear),
    /// A reduction that is neither pointwise nor linear.
    Reduce(Reduce),
    /// A function of whole arrays.
    Dense(Dense),
    /// A value with a declared derivative.
    Declared(Declared),
    /// A change of rate.
    Time(Time),
    /// A custom op.
    Custom(Custom),
}

impl From<Pointwise> for Op {
    fn from(op: Pointwise) -> Self {
        Self::Pointwise(op)
    }
}

impl From<Reduce> for Op {
    fn from(op: Reduce) -> Self {
        Self::Reduce(op)
    }
}

/// The reason why an op does not accept its arguments, as an error message.
pub(crate) type Reason = &'static str;

impl Op {
    pub(crate) fn constant(value: f64) -> Self {
        Self::Constant(Constant::new(value))
    }

    /// The name in the table; it is also the name as a function.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Constant(_) => "constant",
            Self::Leaf(_) => "leaf",
            Self::Read(_) => "read",
            Self::Pointwise(op) => op.name(),
            Self::Linear(op) => op.name(),
            Self::Reduce(op) => op.name(),
            Self::Dense(op) => op.name(),
            Self::Declared(op) => op.name(),
            Self::Time(op) => op.name(),
            Self::Custom(op) => op.name(),
        }
    }

    /// The closed interval of the entries of the value, if it is bounded.
    #[must_use]
    pub fn range(&self) -> Option<(f64, f64)> {
        match self {
            Self::Pointwise(op) => op.range(),
            Self::Custom(op) => op.rule().range().filter(|(low, high)| low <= high),
            _ => None,
        }
    }

    /// The closed interval of the derivative of an entry, if the op has one argument and its derivative is bounded.
    #[must_use]
    pub fn slope(&self) -> Option<(f64, f64)> {
        match self {
            Self::Pointwise(op) => op.slope(),
            Self::Custom(op) => op.rule().slope().filter(|(low, high)| low <= high),
            _ => None,
        }
    }

    /// The type of the result, or the reason why the op does not accept the arguments. All
    /// arguments have one common rate.
    pub(crate) fn infer(&self, args: &[Type]) -> Result<Type, String> {
        let rate = args.iter().map(|t| t.rate).max().unwrap_or(Rate::Static);
        match self {
            Self::Constant(_) => Ok(Type::real((), Rate::Static)),
            Self::Leaf(_) | Self::Read(_) => unreachable!("leaves are declared with a type"),
            Self::Pointwise(op) => op.infer(args).map_err(Into::into),
            Self::Linear(op) => op.infer(args).map_err(Into::into),
            Self::Reduce(op) => op.infer(args).map_err(Into::into),
            Self::Dense(op) => op.infer(args).map_err(Into::into),
            Self::Declared(op) => op.infer(args).map_err(Into::into),
            Self::Time(op) => op.infer(args).map_err(Into::into),
            Self::Custom(op) => {
                if args.iter().any(|t| !t.is_real()) {
                    return Err("a custom op takes real arguments, not classes".into());
                }
                let shapes: Vec<Shape> = args.iter().map(|t| t.shape).collect();
                Ok(Type::real(op.rule().shape(&shapes)?, rate))
            }
        }
    }

    /// The value, for an op that depends only on its arguments.
    pub(crate) fn eval<F: Scalar>(&self, args: &[&Value<F>]) -> Value<F> {
        match self {
            Self::Constant(c) => Value::scalar(F::of(c.value())),
            Self::Leaf(_) | Self::Read(_) => unreachable!("the evaluator supplies leaves"),
            Self::Pointwise(op) => op.eval_arrays(args),
            Self::Linear(op) => op.eval(args),
            Self::Reduce(op) => op.eval(args),
            Self::Dense(op) => op.eval(args),
            Self::Declared(_) => Declared::eval(args),
            Self::Time(op) => op.eval(args),
            Self::Custom(op) => op.eval(args),
        }
    }

    /// The tangent of the result, an expression linear in the tangents `x_dot`; `None` is zero.
    pub(crate) fn tangent<'b>(
        &self,
        x: &[Expr<'b>],
        y: Expr<'b>,
        x_dot: &[Option<Expr<'b>>],
    ) -> Option<Expr<'b>> {
        match self {
            Self::Constant(_) | Self::Leaf(_) | Self::Read(_) => None,
            Self::Pointwise(op) => op.tangent(x, y, x_dot),
            Self::Linear(_) | Self::Time(_) => self.linear_tangent(x, x_dot),
            Self::Reduce(op) => op.tangent(x, y, x_dot),
            Self::Dense(op) => op.tangent(x, y, x_dot),
            Self::Declared(op) => op.tangent(x_dot),
            Self::Custom(op) => op.rule().tangent(x, y, x_dot),
        }
    }

    pub(crate) fn linearity(&self) -> Option<Linearity> {
        match self {
            Self::Linear(op) => Some(op.linearity()),
            Self::Time(op) => Some(op.linearity()),
            _ => None,
        }
    }

    fn linear_tangent<'b>(&self, x: &[Expr<'b>], x_dot: &[Option<Expr<'b>>]) -> Option<Expr<'b>> {
        if x_dot.iter().all(Option::is_none) {
            return None;
        }
        // The tangent of an alias needs no identity.
        if let Self::Linear(Linear::Alias(_)) = self {
            return x_dot[0];
        }
        match self.linearity()? {
            Linearity::Jointly(first) => {
                let args: Vec<Expr<'b>> = (0..x.len())
                    .map(|i| {
                        if i < first {
                            x[i]
                        } else {
                            x_dot[i].unwrap_or_else(|| x[i].zeros_like())
                        }
                    })
                    .collect();
                Some(Expr::apply(self.clone(), &args))
            }
            Linearity::Each => Expr::sum_all((0..x.len()).filter_map(|i| {
                let mut args = x.to_vec();
                args[i] = x_dot[i]?;
                Some(Expr::apply(self.clone(), &args))
            })),
        }
    }

    /// The cotangent of argument `i` of an op that is linear in this argument; `None` if the row
    /// has no transpose for it.
    pub(crate) fn transpose<'b>(
        &self,
        i: usize,
        x: &[Expr<'b>],
        y: Expr<'b>,
        y_bar: Expr<'b>,
    ) -> Option<Expr<'b>> {
        match self {
            Self::Constant(_) | Self::Leaf(_) | Self::Read(_) | Self::Reduce(_) => None,
            // The op is linear in argument `i`, so the partial derivative does not contain it.
            Self::Pointwise(op) => op.partial(i, x, y).times(y_bar),
            Self::Linear(op) => Some(op.transpose(i, x, y_bar)),
            Self::Time(op) => Some(op.transpose(i, x, y_bar)),
            Self::Dense(op) => op.transpose(x, y_bar),
            Self::Declared(op) => op.transpose(i, y_bar),
            Self::Custom(op) => op.rule().transpose(i, x, y_bar),
        }
    }

    /// Returns true if the op is jointly linear in the arguments marked in `active`.
    pub(crate) fn is_linear_in(&self, active: &[bool]) -> bool {
        let count = active.iter().filter(|a| **a).count();
        match self {
            Self::Constant(_) | Self::Leaf(_) | Self::Read(_) | Self::Declared(_) => count == 0,
            Self::Pointwise(op) => op.is_linear_in(active),
            Self::Reduce(_) => false,
            Self::Dense(op) => op.is_linear_in(active),
            Self::Custom(op) => op.rule().is_linear_in(active),
            Self::Linear(_) | Self::Time(_) => match self.linearity() {
                Some(Linearity::Jointly(first)) => {
                    active[..first.min(active.len())].iter().all(|a| !a)
                }
                _ => count <= 1,
            },
        }
    }

    /// Returns true if the derivative with respect to argument `i` is zero everywhere: the
    /// arguments of a comparison, the condition of a `select`, and a stopped value.
    pub(crate) fn is_constant_in(&self, i: usize) -> bool {
        match self {
            Self::Pointwise(op) => op.is_constant_in(i),
            Self::Declared(op) => !op.carries()[i],
            _ => matches!(self.linearity(), Some(Linearity::Jointly(first)) if i < first),
        }
    }

    /// Returns true if the result may be rounded. Copies, comparisons, and sums and products of
    /// integers are exact, so counters stay equal to the numbers they are compared with.
    pub(crate) fn rounds(&self, args: &[&Value<f64>], result: &ArrayD<f64>) -> bool {
        let whole = |a: &ArrayD<f64>| a.iter().all(|x| x.fract() == 0.0);
        let integers = || whole(result) && args.iter().all(|a| whole(a.real()));
        match self {
            Self::Constant(_) | Self::Leaf(_) | Self::Read(_) | Self::Declared(_) => false,
            Self::Pointwise(op) => {
                let comparison = (0..args.len()).all(|i| op.is_constant_in(i));
                let exact_on_integers = op.signs().is_some() || op.is_product();
                !(comparison || exact_on_integers && integers())
            }
            Self::Linear(op) => op.rounds() && !integers(),
            Self::Time(op) => op.rounds() && !integers(),
            Self::Reduce(_) | Self::Dense(_) | Self::Custom(_) => true,
        }
    }

    /// The memory pattern, for arguments and a result of these extents; all sizes are fixed.
    pub(crate) fn lower(&self, args: &[Extent], out: Extent) -> Lowering {
        match self {
            Self::Constant(c) => Lowering::Constant(c.value()),
            Self::Leaf(_) | Self::Read(_) => Lowering::Source,
            Self::Pointwise(op) => Lowering::Pointwise(*op),
            Self::Linear(op) => op.lower(args, out),
            Self::Reduce(op) => Lowering::Reduce(*op),
            Self::Dense(op) => op.lower(),
            Self::Declared(_) => Declared::lower(),
            Self::Time(op) => op.lower(args, out),
            Self::Custom(op) => Lowering::Custom(op.clone()),
        }
    }

    /// The op with a safe argument, e.g. `ln(select(x > 0, x, 1))`, if it has arguments at which it
    /// is not finite.
    #[must_use]
    pub fn safe_form(&self) -> Option<&'static str> {
        match self {
            Self::Pointwise(op) => op.safe_form(),
            Self::Dense(op) => op.safe_form(),
            _ => None,
        }
    }

    /// The notation of the op.
    #[must_use]
    pub fn notation(&self) -> Notation {
        match self {
            Self::Constant(_) | Self::Leaf(_) | Self::Read(_) => Notation::Atom,
            Self::Pointwise(op) => op.notation(),
            Self::Linear(op) => op.notation(),
            Self::Reduce(op) => op.notation(),
            Self::Dense(op) => op.notation(),
            Self::Declared(op) => op.notation(),
            Self::Time(op) => op.notation(),
            Self::Custom(op) => op.rule().notation(),
        }
    }

    /// The spelling of the op in the recurrence language; `None` if the language has none.
    pub(crate) fn spelling(&self) -> Option<Spelling> {
        match self {
            Self::Constant(_) | Self::Leaf(_) | Self::Read(_) | Self::Custom(_) => None,
            Self::Pointwise(op) => Some(op.spelling()),
            Self::Linear(op) => Some(op.spelling()),
            Self::Reduce(op) => Some(op.notation().into()),
            Self::Dense(op) => Some(op.notation().into()),
            Self::Declared(op) => Some(op.notation().into()),
            Self::Time(op) => Some(op.spelling()),
        }
    }

    /// True if a scalar argument stands for an array of the shape of the others.
    pub(crate) fn spreads(&self) -> bool {
        match self {
            Self::Pointwise(_) | Self::Declared(_) => true,
            Self::Linear(op) => op.spreads(),
            Self::Time(op) => op.spreads(),
            _ => false,
        }
    }

    /// The remedy for arguments that the op does not accept, in the recurrence language.
    pub(crate) fn remedy(&self, args: &[Type]) -> Option<&'static str> {
        match self {
            Self::Linear(op) => op.remedy(args),
            Self::Time(op) => op.remedy(args),
            Self::Reduce(op) => op.remedy(args),
            Self::Dense(op) => op.remedy(args),
            _ => None,
        }
    }

    pub(crate) fn map_dims(&self, f: &dyn Fn(Dim) -> Dim) -> Self {
        match self {
            Self::Linear(op) => Self::Linear(op.map_dims(f)),
            Self::Time(op) => Self::Time(op.map_dims(f)),
            other => other.clone(),
        }
    }
}

/// The subject of a function of the recurrence language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Subject {
    /// One entry of each argument.
    Entries,
    /// Vectors and matrices.
    Arrays,
    /// Derivatives that are declared.
    Declarations,
    /// Steps and samples.
    Time,
    /// Losses.
    Losses,
}

/// The calls of all rows of the table.
pub(crate) fn calls() -> impl Iterator<Item = (Subject, &'static Call)> {
    let of = |subject| move |call| (subject, call);
    let arrays = Linear::CALLS.iter().copied().flatten();
    let arrays = arrays.chain(Reduce::CALLS).chain(Dense::CALLS);
    let time = Time::CALLS.iter().copied().flatten();
    let entries = Pointwise::CALLS.iter().map(of(Subject::Entries));
    let declared = Declared::CALLS.iter().map(of(Subject::Declarations));
    let others = arrays
        .map(of(Subject::Arrays))
        .chain(time.map(of(Subject::Time)));
    entries.chain(others).chain(declared)
}

/// The common shape of real arguments that must have equal shapes.
pub(crate) fn common_shape(args: &[Type]) -> Result<Shape, Reason> {
    let Some((first, rest)) = args.split_first() else {
        return Err("it needs an argument");
    };
    if args.iter().any(|t| matches!(t.kind, Kind::Class(_))) {
        return Err("a class is not a number; use `gather`, `one_hot` or `number`");
    }
    if rest.iter().any(|t| t.shape != first.shape) {
        return Err("the shapes differ");
    }
    Ok(first.shape)
}
