//! Linear algebra and functions along an axis.

use bptt::Axis;

use super::Form::{Matrix, Number, Vector};
use super::{Instruction, Writer};

impl<'d> Writer<'d> {
    /// A function of whole arrays.
    pub(super) fn dense(&mut self, (op, a, b, c): Instruction) {
        let axis = [Axis::Rows, Axis::Columns][usize::from(b % 2)];
        match (op / 5 % 15, c % 3) {
            (0, 1) => {
                let (v, n) = self.vector(a);
                let sums = v.expr.cumulative_sum(Axis::Rows) * 0.2;
                self.push(sums, Vector(n), v.bound, v.open);
            }
            (0, _) => {
                let (v, _) = self.vector(a);
                self.push(v.expr.largest(), Number, v.bound, v.open);
            }
            (1, 1) => {
                let (m, rows, columns) = self.matrix(a);
                self.push(
                    m.expr.softmax_along(axis),
                    Matrix(rows, columns),
                    1.0,
                    m.open,
                );
            }
            (1, _) => {
                let (v, n) = self.vector(a);
                let m = self.pick(Matrix(n, n), b);
                let diagonal = 0.2 * (v.expr.diag() + m.expr);
                let bound = 0.2 * (v.bound + m.bound);
                self.push(diagonal.diag(), Vector(n), bound, v.open || m.open);
            }
            (_, 1) => {
                let (v, n) = self.vector(a);
                let m = self.pick(Matrix(n, n), b);
                let eye = self.r.constant(1.0).spread([self.dim(n)]).diag();
                let solution = (m.expr * (0.08 / m.bound) + eye).solve(v.expr);
                self.push(solution, Vector(n), 2.0 * v.bound, v.open || m.open);
            }
            _ => {
                let (m, rows, columns) = self.matrix(a);
                let other = m.expr.reshape([self.dim(columns), self.dim(rows)]);
                self.push(other, Matrix(columns, rows), m.bound, m.open);
            }
        }
    }
}
