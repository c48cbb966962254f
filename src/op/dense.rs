//! Functions of whole arrays: linear algebra of small matrices, and reductions and sums along an axis.

use ndarray::{ArrayD, Dimension, IxDyn};
use smallvec::SmallVec;

use super::axis::{Axis, Over, size};
use super::call::{Call, Given, Made, Takes, ok};
use super::factor::{Lu, cholesky};
use super::lowering::{Extent, Lowering};
use super::{Expr, MatMul, Notation, Op, Reason, Reduce, Scalar, Setting, Value};
use crate::shape::{Dim, Shape, Type};

/// Functions of whole arrays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dense {
    /// The solution `X` of `A X = B`.
    Solve,
    /// `A⁻¹`.
    Inverse,
    /// `ln det A`.
    LogDet,
    /// The lower triangular `L` with `L Lᵀ = (A + Aᵀ)/2`.
    Cholesky,
    /// The lower triangle of a matrix; if `half`, with half of the diagonal.
    Triangle {
        /// True if the diagonal is halved.
        half: bool,
    },
    /// The sums of the first 1, 2, … entries along an axis, or of the last ones.
    CumSum {
        /// The axis.
        axis: Axis,
        /// True if the sums start at the end.
        reverse: bool,
    },
    /// A reduction of each row or column.
    Along(Reduce, Axis),
    /// The largest or the smallest entry; the derivative is shared by equal ones.
    Extreme {
        /// True for the largest.
        largest: bool,
        /// The entries that are compared.
        over: Over,
    },
}

/// Arguments of a function as slices, with their numbers of rows and columns.
pub(crate) type Slices<'a, F> = SmallVec<[(&'a [F], Extent); 2]>;

impl Dense {
    /// All rows of the table, with example settings.
    pub const ALL: &'static [Self] = &[
        Self::Solve,
        Self::Inverse,
        Self::LogDet,
        Self::Cholesky,
        Self::Triangle { half: false },
        Self::Triangle { half: true },
        Self::CumSum {
            axis: Axis::Rows,
            reverse: false,
        },
        Self::CumSum {
            axis: Axis::Columns,
            reverse: true,
        },
        Self::Along(Reduce::LogSumExp, Axis::Rows),
        Self::Along(Reduce::Softmax, Axis::Columns),
        Self::Along(Reduce::LogSoftmax, Axis::Rows),
        Self::Extreme {
            largest: true,
            over: Over::All,
        },
        Self::Extreme {
            largest: false,
            over: Over::Axis(Axis::Columns),
        },
    ];

    pub(super) const CALLS: &'static [Call] = &[
        Call::new(
            "solve",
            "the `x` with `a @ x` equal to `b`, a vector or a matrix, by elimination with pivoting",
            2,
            &[],
            |_| ok(Self::Solve),
        )
        .usage("write `solve(A, b)`, the `x` with `A @ x` equal to `b`"),
        Call::new("inverse", "the inverse of a matrix", 1, &[], |_| {
            ok(Self::Inverse)
        }),
        Call::new("logdet", "the logarithm of the determinant", 1, &[], |_| {
            ok(Self::LogDet)
        }),
        Call::new(
            "cholesky",
            "the lower triangular `L` with `L @ L.T` equal to `(x + x.T) / 2`",
            1,
            &[],
            |_| ok(Self::Cholesky),
        ),
        Call::new("tril", "the lower triangle", 1, &[], |_| {
            ok(Self::Triangle { half: false })
        }),
        Call::new(
            "tril_half",
            "the lower triangle with half of the diagonal, in the derivative of `cholesky`",
            1,
            &[],
            |_| ok(Self::Triangle { half: true }),
        ),
        Call::new(
            "cumsum",
            "the sums of the first 1, 2, … entries, of a vector or of each row or column",
            1,
            &[Takes::AxisIfAny],
            |given| Self::cumulative(given, false),
        ),
        Call::new(
            "cumsum_back",
            "the sums of the last ones",
            1,
            &[Takes::AxisIfAny],
            |given| Self::cumulative(given, true),
        ),
        Call::new(
            "largest",
            "the largest entry, of all or of each row or column; equal ones share the derivative",
            1,
            &[Takes::AxisIfAny],
            |given| Self::extreme(given, true),
        ),
        Call::new(
            "smallest",
            "the smallest entry, likewise",
            1,
            &[Takes::AxisIfAny],
            |given| Self::extreme(given, false),
        ),
    ];

    fn cumulative(given: &Given, reverse: bool) -> Made {
        let axis = given.axis_or_rows();
        ok(Self::CumSum { axis, reverse })
    }

    fn extreme(given: &Given, largest: bool) -> Made {
        let over = given.axis.map_or(Over::All, Over::Axis);
        ok(Self::Extreme { largest, over })
    }

    /// The name of the function.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Solve => "solve",
            Self::Inverse => "inverse",
            Self::LogDet => "logdet",
            Self::Cholesky => "cholesky",
            Self::Triangle { half: false } => "tril",
            Self::Triangle { half: true } => "tril_half",
            Self::CumSum { reverse: false, .. } => "cumsum",
            Self::CumSum { reverse: true, .. } => "cumsum_back",
            Self::Along(reduce, _) => reduce.name(),
            Self::Extreme { largest: true, .. } => "largest",
            Self::Extreme { largest: false, .. } => "smallest",
        }
    }

    const fn axis(self) -> Option<Axis> {
        match self {
            Self::CumSum { axis, .. }
            | Self::Along(_, axis)
            | Self::Extreme {
                over: Over::Axis(axis),
                ..
            } => Some(axis),
            _ => None,
        }
    }

    pub(super) fn infer(self, args: &[Type]) -> Result<Type, Reason> {
        super::axis::all_real(args)?;
        let (first, second) = match (self, args) {
            (Self::Solve, [a, b]) => (a, Some(b.shape)),
            (Self::Solve, _) => {
                return Err("it takes two arguments, a matrix and a vector or matrix");
            }
            (_, [a]) => (a, None),
            _ => return Err("it takes one argument"),
        };
        let square = match first.shape {
            Shape::Matrix(m, n) if m == n => Some(m),
            _ => None,
        };
        let along = |axis: Axis| size(first.shape, axis);
        let shape = match self {
            Self::Solve => match (square, second) {
                (Some(n), Some(b @ (Shape::Vector(m) | Shape::Matrix(m, _)))) if m == n => b,
                (Some(_), _) => return Err("the right-hand side needs as many rows as the matrix"),
                (None, _) => return Err("the first argument must be a square matrix"),
            },
            Self::Inverse | Self::Cholesky | Self::Triangle { .. } => {
                square.ok_or("it is defined for a square matrix")?;
                first.shape
            }
            Self::LogDet => {
                square.ok_or("it is defined for a square matrix")?;
                Shape::Scalar
            }
            Self::CumSum { axis, .. } => {
                along(axis).ok_or("there is no such axis")?;
                first.shape
            }
            Self::Along(reduce, axis) => {
                let Shape::Matrix(..) = first.shape else {
                    return Err("only a matrix has rows and columns to choose from");
                };
                match reduce {
                    Reduce::LogSumExp => Shape::Vector(along(axis.other()).unwrap_or(Dim::INVALID)),
                    _ => first.shape,
                }
            }
            Self::Extreme { over, .. } => match (over, first.shape) {
                (_, Shape::Scalar) => return Err("it is defined for a vector or a matrix"),
                (Over::All, _) => Shape::Scalar,
                (Over::Axis(axis), Shape::Matrix(..)) => {
                    Shape::Vector(along(axis.other()).unwrap_or(Dim::INVALID))
                }
                _ => return Err("only a matrix has rows and columns to choose from"),
            },
        };
        Ok(Type { shape, ..*first })
    }

    pub(super) fn remedy(self, args: &[Type]) -> Option<&'static str> {
        if matches!(self, Self::Along(..)) {
            return Some("of a vector, the axis is left out: `softmax(x)`");
        }
        let matrix = matches!(args.first()?.shape, Shape::Matrix(m, n) if m != n);
        (self == Self::Solve && matrix)
            .then_some("least squares of more rows than columns: `solve(A.T @ A, A.T @ b)`")
    }

    /// The number of entries of the value for arguments of these numbers of rows and columns; `None` if it has none.
    pub(crate) fn entries(self, args: &[Extent]) -> Option<usize> {
        let [[rows, columns], right @ ..] = args else {
            return None;
        };
        let along = |axis: Axis| [*rows, *columns][axis.other().index()];
        match (self, right) {
            (Self::Solve, [[n, count]]) => (rows == columns && rows == n).then_some(n * count),
            (Self::Solve, _) | (_, [_, ..]) => None,
            (Self::Inverse | Self::Cholesky | Self::Triangle { .. }, _) => {
                (rows == columns).then_some(rows * columns)
            }
            (Self::LogDet, _) => (rows == columns).then_some(1),
            (Self::Along(Reduce::LogSumExp, axis), _) => Some(along(axis)),
            (Self::CumSum { .. } | Self::Along(..), _) => Some(rows * columns),
            (Self::Extreme { over, .. }, _) => Some(match over {
                Over::All => 1,
                Over::Axis(axis) => along(axis),
            }),
        }
    }

    /// Writes the value for the entries of the arguments to `out`.
    pub(crate) fn row<F: Scalar>(self, args: &Slices<'_, F>, out: &mut [F]) {
        let (x, [rows, columns]) = args[0];
        match self {
            Self::Solve => {
                let (b, [_, count]) = args[1];
                Lu::of(x, rows).solve(b, count, out);
            }
            Self::Inverse => {
                let lu = Lu::of(x, rows);
                let mut unit: SmallVec<[F; 64]> = SmallVec::from_elem(F::zero(), rows * rows);
                (0..rows).for_each(|i| unit[i * rows + i] = F::one());
                lu.solve(&unit, rows, out);
            }
            Self::LogDet => out[0] = Lu::of(x, rows).log_det(),
            Self::Cholesky => cholesky(x, rows, out),
            Self::Triangle { half } => {
                for i in 0..rows {
                    for j in 0..columns {
                        let at = i * columns + j;
                        out[at] = match i.cmp(&j) {
                            std::cmp::Ordering::Greater => x[at],
                            std::cmp::Ordering::Equal if half => F::of(0.5) * x[at],
                            std::cmp::Ordering::Equal => x[at],
                            std::cmp::Ordering::Less => F::zero(),
                        };
                    }
                }
            }
            Self::CumSum { axis, reverse } => {
                for line in lines(axis, rows, columns) {
                    let mut sum = F::zero();
                    for i in 0..line.len {
                        let at = line.at(if reverse { line.len - 1 - i } else { i });
                        sum += x[at];
                        out[at] = sum;
                    }
                }
            }
            Self::Along(reduce, axis) => {
                for (count, line) in lines(axis, rows, columns).enumerate() {
                    if line.step == 1 {
                        let entries = line.start..line.start + line.len;
                        let (of, own) = (&x[entries.clone()], count..count + 1);
                        let to = if reduce == Reduce::LogSumExp {
                            own
                        } else {
                            entries
                        };
                        reduce.eval_row(of, &mut out[to]);
                        continue;
                    }
                    let of: SmallVec<[F; 64]> = (0..line.len).map(|i| x[line.at(i)]).collect();
                    if reduce == Reduce::LogSumExp {
                        reduce.eval_row(&of, &mut out[count..=count]);
                        continue;
                    }
                    let mut made: SmallVec<[F; 64]> = SmallVec::from_elem(F::zero(), line.len);
                    reduce.eval_row(&of, &mut made);
                    (0..line.len).for_each(|i| out[line.at(i)] = made[i]);
                }
            }
            Self::Extreme { largest, over } => {
                let extreme = |entries: &mut dyn Iterator<Item = F>| {
                    // NaN if any entry is NaN, as entry by entry.
                    let better = |best: F, x: F| match x.is_nan()
                        || (if largest { x > best } else { x < best })
                    {
                        true => x,
                        false => best,
                    };
                    let stays = |best: F, x: F| if best.is_nan() { best } else { better(best, x) };
                    entries.reduce(stays).unwrap_or(F::nan())
                };
                match over {
                    Over::All => out[0] = extreme(&mut x.iter().copied()),
                    Over::Axis(axis) => {
                        for (count, line) in lines(axis, rows, columns).enumerate() {
                            out[count] = extreme(&mut (0..line.len).map(|i| x[line.at(i)]));
                        }
                    }
                }
            }
        }
    }

    pub(super) fn eval<F: Scalar>(self, args: &[&Value<F>]) -> Value<F> {
        let whole: SmallVec<[std::borrow::Cow<'_, [F]>; 2]> = args
            .iter()
            .map(|a| match a.real().as_slice() {
                Some(entries) => entries.into(),
                None => a.real().iter().copied().collect::<Vec<_>>().into(),
            })
            .collect();
        let shapes = args.iter().map(|a| a.real().shape());
        let slices: Slices<'_, F> = whole
            .iter()
            .map(|s| &**s)
            .zip(shapes.clone().map(extent))
            .collect();
        let first = args[0].real().shape();
        let dims: SmallVec<[usize; 2]> = match self {
            Self::Solve => args[1].real().shape().into(),
            Self::LogDet
            | Self::Extreme {
                over: Over::All, ..
            } => SmallVec::new(),
            Self::Along(Reduce::LogSumExp, axis)
            | Self::Extreme {
                over: Over::Axis(axis),
                ..
            } => SmallVec::from_elem(first[axis.other().index()], 1),
            _ => first.into(),
        };
        let mut out = vec![F::zero(); dims.iter().product()];
        self.row(&slices, &mut out);
        ArrayD::from_shape_vec(IxDyn(&dims), out)
            .expect("the number of entries is that of the shape")
            .into()
    }

    pub(super) fn tangent<'b>(
        self,
        x: &[Expr<'b>],
        y: Expr<'b>,
        x_dot: &[Option<Expr<'b>>],
    ) -> Option<Expr<'b>> {
        if self == Self::Solve {
            let moved = x_dot[0].map(|a_dot| -a_dot.dot(y));
            let rest = Expr::sum_all(x_dot[1].into_iter().chain(moved))?;
            return Some(x[0].solve(rest));
        }
        let (x, x_dot) = (x[0], x_dot[0]?);
        let shape = x.shape()?;
        // The value at a singular matrix is NaN; without influence, it contributes zero.
        let strong = |a: Expr<'b>, b: Expr<'b>| Expr::apply(MatMul { strong: true }, &[a, b]);
        Some(match self {
            Self::Solve => return None,
            Self::Inverse => -strong(strong(y, x_dot), y),
            Self::LogDet => x.inverse().t().applied_to(x_dot).sum(),
            Self::Cholesky => {
                let symmetric = 0.5 * (x_dot + x_dot.t());
                let inside = y.solve(y.solve(symmetric).t()).t();
                strong(y, Expr::apply(Self::Triangle { half: true }, &[inside]))
            }
            Self::Triangle { .. } | Self::CumSum { .. } => Expr::apply(self, &[x_dot]),
            Self::Along(reduce, axis) => {
                let over = Over::Axis(axis);
                let back = |e: Expr<'b>| e.broadcast(shape, over);
                let weights = Expr::apply(Self::Along(Reduce::Softmax, axis), &[x]);
                let mean = |weights: Expr<'b>| weights.applied_to(x_dot).sum_over(over);
                match reduce {
                    Reduce::LogSumExp => mean(weights),
                    Reduce::Softmax => y.applied_to(x_dot) - y.applied_to(back(mean(y))),
                    Reduce::LogSoftmax => x_dot - back(mean(weights)),
                }
            }
            Self::Extreme { over, .. } => {
                let back = |e: Expr<'b>| match over {
                    Over::All => e.spread(shape),
                    over => e.broadcast(shape, over),
                };
                let best = x.equal(back(y));
                let share = best / back(best.sum_over(over));
                share.applied_to(x_dot).sum_over(over)
            }
        })
    }

    /// The kinks of the function: for each entry, its side of the largest or the smallest one, which is the value.
    pub(crate) fn sides<F: Scalar>(
        self,
        x: &ArrayD<F>,
        y: &ArrayD<F>,
        sides: &mut Vec<Option<std::cmp::Ordering>>,
    ) {
        let Self::Extreme { over, .. } = self else {
            return;
        };
        let place = |index: &[usize]| match over {
            Over::Axis(axis) => index.get(axis.other().index()).copied().unwrap_or(0),
            Over::All => 0,
        };
        let best: Vec<F> = y.iter().copied().collect();
        for (index, entry) in x.indexed_iter() {
            let index = index.as_array_view().to_vec();
            sides.push(entry.partial_cmp(&best[place(&index)]));
        }
    }

    /// Returns true if the op is jointly linear in the arguments marked in `active`.
    pub(crate) fn is_linear_in(self, active: &[bool]) -> bool {
        match self {
            Self::Solve => !active[0],
            Self::Triangle { .. } | Self::CumSum { .. } => true,
            _ => active.iter().all(|a| !a),
        }
    }

    /// The cotangent of the argument in which the op is linear.
    pub(super) fn transpose<'b>(self, x: &[Expr<'b>], y_bar: Expr<'b>) -> Option<Expr<'b>> {
        match self {
            Self::Solve => Some(x[0].t().solve(y_bar)),
            Self::Triangle { .. } => Some(Expr::apply(self, &[y_bar])),
            Self::CumSum { axis, reverse } => {
                let reverse = !reverse;
                Some(Expr::apply(Self::CumSum { axis, reverse }, &[y_bar]))
            }
            _ => None,
        }
    }

    /// True if the value can be infinite or NaN for finite arguments.
    pub(crate) const fn has_pole(self) -> bool {
        matches!(
            self,
            Self::Solve | Self::Inverse | Self::LogDet | Self::Cholesky
        )
    }

    pub(super) const fn safe_form(self) -> Option<&'static str> {
        match self {
            Self::Solve => Some("solve(A + 1e-9 * eye(n), b)"),
            Self::Inverse => Some("inverse(A + 1e-9 * eye(n))"),
            Self::LogDet => Some("logdet(A + 1e-9 * eye(n))"),
            Self::Cholesky => Some("cholesky(A + 1e-9 * eye(n))"),
            _ => None,
        }
    }

    pub(super) const fn lower(self) -> Lowering {
        Lowering::Dense(self)
    }

    pub(super) fn notation(self) -> Notation {
        let name = self.name();
        Notation::Call {
            text: name.into(),
            latex: format!(r"\operatorname{{{}}}", name.replace('_', "")),
            settings: self
                .axis()
                .filter(|axis| !matches!(self, Self::CumSum { .. }) || *axis != Axis::Rows)
                .map(|axis| Setting::Word(axis.text()))
                .into_iter()
                .collect(),
        }
    }
}

impl From<Dense> for Op {
    fn from(op: Dense) -> Self {
        Self::Dense(op)
    }
}

/// A row or a column of a matrix that is stored row by row.
struct Line {
    start: usize,
    step: usize,
    len: usize,
}

impl Line {
    const fn at(&self, i: usize) -> usize {
        self.start + i * self.step
    }
}

/// The lines along an axis: along the rows, each column is one.
fn lines(axis: Axis, rows: usize, columns: usize) -> impl Iterator<Item = Line> {
    let (count, distance, step, len) = match axis {
        Axis::Rows => (columns, 1, columns, rows),
        Axis::Columns => (rows, columns, 1, columns),
    };
    (0..count).map(move |i| Line {
        start: i * distance,
        step,
        len,
    })
}

pub(crate) fn extent(shape: &[usize]) -> Extent {
    let at = |i: usize| shape.get(i).copied().unwrap_or(1);
    [at(0), at(1)]
}
