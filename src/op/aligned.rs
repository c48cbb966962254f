//! The axes along which an op keeps entries apart.

use super::Op;
use super::lowering::{Contract, Extent, Lowering, Move, Strides, entries};
use crate::shape::{Dim, Shape};

/// The number of leading axes along which an entry of the result depends on argument `arg` at the same index only: 2 for an
/// entrywise op of matrices, 1 for `A` in `A x` (row i of the result depends on row i of `A`), 0 for `x` in it.
///
/// It follows from the memory pattern of the op. Where the pattern does not tell, the answer is 0.
pub(crate) fn aligned(op: &Op, arg: usize, shapes: &[Shape], out: Shape) -> usize {
    let common = shapes[arg]
        .dims()
        .iter()
        .zip(&out.dims())
        .take_while(|(a, b)| a == b)
        .count();
    if common == 0 {
        return 0;
    }
    // Sizes with names are small here: a pattern is the same for all sizes.
    let fix = |dim: Dim| Dim::fixed(dim.as_fixed().unwrap_or(dim.least() + small(dim)));
    let extent = |shape: Shape| -> Extent {
        let shape = shape.map(fix).as_fixed().unwrap_or_default();
        [
            shape.first().copied().unwrap_or(1),
            shape.get(1).copied().unwrap_or(1),
        ]
    };
    let extents: Vec<Extent> = shapes.iter().map(|s| extent(*s)).collect();
    let (from, to) = (extents[arg], extent(out));
    let pattern = op.map_dims(&fix).lower(&extents, to);
    let keeps = |level: usize| {
        let index = |entry: usize, extent: Extent| match level {
            1 => entry / extent[1].max(1),
            _ => entry,
        };
        all_uses(&pattern, arg, &extents, to, &mut |a, b| {
            index(a, from) == index(b, to)
        })
    };
    (1..=common).rev().find(|level| keeps(*level)).unwrap_or(0)
}

/// A small size that differs from those of most other names.
fn small(dim: Dim) -> usize {
    dim.named_terms()
        .map(|(symbol, times)| times * (2 + symbol.index() % 5))
        .sum()
}

/// Returns true if all uses of an entry of the argument (the first number) in an entry of the result satisfy a condition;
/// false if the pattern does not tell.
fn all_uses(
    pattern: &Lowering,
    arg: usize,
    extents: &[Extent],
    to: Extent,
    is_right: &mut dyn FnMut(usize, usize) -> bool,
) -> bool {
    let from = extents[arg];
    match pattern {
        Lowering::Constant(_) | Lowering::Source => true,
        Lowering::Pointwise(_)
        | Lowering::Select
        | Lowering::Same
        | Lowering::Total
        | Lowering::Pick(_)
        | Lowering::Impulse(_) => (0..entries(to)).all(|i| is_right(i, i)),
        Lowering::Spread => (0..entries(to)).all(|i| is_right(0, i)),
        Lowering::Part(start) => (0..entries(to)).all(|i| is_right(start + i, i)),
        Lowering::Join => {
            let start: usize = extents[..arg].iter().map(|e| entries(*e)).sum();
            (0..entries(from)).all(|i| is_right(i, start + i))
        }
        Lowering::Transpose => {
            let [m, n] = from;
            (0..m).all(|i| (0..n).all(|j| is_right(i * n + j, j * m + i)))
        }
        Lowering::Product => {
            let product = Contract::product(extents[0], extents[1][1], false);
            contract(&product, arg, is_right)
        }
        Lowering::Outer { .. } => {
            let [m, n] = to;
            (0..m).all(|i| (0..n).all(|j| is_right([i, j][arg.min(1)], i * n + j)))
        }
        Lowering::Contract(pattern) => contract(pattern, arg, is_right),
        Lowering::Move(moves) => moves.get(arg).is_some_and(|moved| block(moved, is_right)),
        Lowering::Pool | Lowering::Reduce(_) | Lowering::Dense(_) | Lowering::Custom(_) => false,
    }
}

fn contract(p: &Contract, arg: usize, is_right: &mut dyn FnMut(usize, usize) -> bool) -> bool {
    (0..p.m).all(|i| {
        (0..p.k).all(|k| {
            (0..p.n).all(|j| {
                let used = [i * p.a[0] + k * p.a[1], k * p.b[0] + j * p.b[1]];
                is_right(used[arg.min(1)], i * p.n + j)
            })
        })
    })
}

fn block(moved: &Move, is_right: &mut dyn FnMut(usize, usize) -> bool) -> bool {
    let [rows, columns] = moved.extent;
    let at = |strides: &Strides, i: usize, j: usize| {
        strides.start + i * strides.rows + j * strides.columns
    };
    let is_fixed = moved.from.class == 0 && moved.to.class == 0;
    is_fixed
        && (0..rows)
            .all(|i| (0..columns).all(|j| is_right(at(&moved.from, i, j), at(&moved.to, i, j))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{Axis, Pointwise, Transpose};
    use crate::op::{MatMul, Total};
    use crate::shape::{Rate, Symbol};

    #[test]
    fn rows_stay_apart_where_the_op_keeps_them() {
        let dim = |i| Dim::named(Symbol::new(i, 1).expect("a small index"));
        let (n, k) = (dim(0), dim(1));
        let (vector, matrix) = (Shape::Vector(n), Shape::Matrix(n, k));
        let product: Op = MatMul { strong: false }.into();
        let of = |op: &Op, arg: usize, shapes: &[Shape], out: Shape| aligned(op, arg, shapes, out);
        let [square, other] = [Shape::Matrix(n, n), Shape::Vector(k)];
        assert_eq!(of(&product, 0, &[matrix, other], vector), 1);
        assert_eq!(of(&product, 1, &[square, vector], vector), 0);
        assert_eq!(of(&product, 0, &[square, square], square), 1);
        assert_eq!(of(&product, 1, &[square, square], square), 0);
        let mul: Op = Pointwise::Mul.into();
        assert_eq!(of(&mul, 1, &[matrix, matrix], matrix), 2);
        assert_eq!(of(&Transpose.into(), 0, &[square], square), 0);
        assert_eq!(of(&Total(Rate::Static).into(), 0, &[matrix], matrix), 2);
        let repeated = crate::op::Broadcast::repeated(vector, Axis::Columns, k).expect("a vector");
        assert_eq!(of(&repeated.into(), 0, &[vector], matrix), 1);
        let rows = crate::op::Broadcast::repeated(vector, Axis::Rows, n).expect("a vector");
        assert_eq!(of(&rows.into(), 0, &[vector], square), 0);
    }
}
