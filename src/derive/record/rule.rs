//! The rules of a derivation, and the rules of each op.

use crate::op::{Form, Linear, Op};
use crate::render::Math;

macro_rules! rules {
    ($($(#[doc = $doc:literal])+ $rule:ident $id:literal $en:literal $zh:literal $tex:literal;)+) => {
        /// A rule, by its letter: D differentials, A adjoints, T time, J Jacobians, N norms.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Rule {
            $($(#[doc = $doc])+ $rule,)+
        }

        impl Rule {
            /// Every rule.
            pub const ALL: &'static [Self] = &[$(Self::$rule),+];

            /// The short name.
            #[must_use]
            pub const fn id(self) -> &'static str {
                match self { $(Self::$rule => $id,)+ }
            }

            /// The name in English.
            #[must_use]
            pub const fn english(self) -> &'static str {
                match self { $(Self::$rule => $en,)+ }
            }

            /// The name in Chinese.
            #[must_use]
            pub const fn chinese(self) -> &'static str {
                match self { $(Self::$rule => $zh,)+ }
            }

            /// The statement, in LaTeX.
            #[must_use]
            pub const fn statement(self) -> &'static str {
                match self { $(Self::$rule => $tex,)+ }
            }
        }
    };
}

rules! {
    /// Constants, and data that is not differentiated, have no differential.
    Constant "D0" "constant" "常数的微分为零" r"\mathrm{d}c=0";
    /// Sums and multiples.
    Linearity "D1" "linearity" "线性" r"\mathrm{d}(\alpha u+v)=\alpha\,\mathrm{d}u+\mathrm{d}v";
    /// A product of matrices.
    MatrixProduct "D2" "matrix product" "矩阵乘积法则" r"\mathrm{d}(AB)=\mathrm{d}A\,B+A\,\mathrm{d}B";
    /// An entrywise product.
    HadamardProduct "D3" "Hadamard product" "逐元素（Hadamard）积法则" r"\mathrm{d}(u\odot v)=\mathrm{d}u\odot v+u\odot\mathrm{d}v";
    /// An entrywise function.
    Elementwise "D4" "elementwise chain rule" "逐元素链式法则" r"\mathrm{d}\phi(u)=\phi'(u)\odot\mathrm{d}u";
    /// Stacking.
    Stacking "D5" "stacking" "分块拼接" r"\mathrm{d}[u;v]=[\mathrm{d}u;\mathrm{d}v]";
    /// A function that is not entrywise.
    Total "D6" "total differential" "全微分" r"\mathrm{d}\ell(u)=\langle\nabla\ell(u),\mathrm{d}u\rangle";
    /// Substitution of a proved equation.
    Substitution "D7" "substitution" "代入" r"u=v\Rightarrow f(u)=f(v)";
    /// A declared derivative.
    Declared "D8" "declared derivative" "指定的导数" r"\mathrm{d}\operatorname{surrogate}(u,v)=\mathrm{d}v";
    /// The inner product is linear.
    InnerLinearity "A1" "linearity of the inner product" "内积的线性" r"\langle\delta,u+v\rangle=\langle\delta,u\rangle+\langle\delta,v\rangle";
    /// The adjoint of a matrix.
    LeftAdjoint "A2" "adjoint of left multiplication" "左乘的伴随" r"\langle\delta,Au\rangle=\langle A^{\top}\delta,u\rangle";
    /// The adjoint of multiplying by a vector.
    RightAdjoint "A3" "adjoint of right multiplication" "右乘的伴随（外积）" r"\langle\delta,Uv\rangle=\langle\delta v^{\top},U\rangle";
    /// The adjoint of an entrywise product.
    HadamardAdjoint "A4" "adjoint of the Hadamard product" "Hadamard 积的伴随" r"\langle\delta,v\odot u\rangle=\langle v\odot\delta,u\rangle";
    /// The adjoint of stacking.
    StackingAdjoint "A5" "adjoint of stacking" "分块的伴随" r"\langle[\delta_{1};\delta_{2}],[u;v]\rangle=\langle\delta_{1},u\rangle+\langle\delta_{2},v\rangle";
    /// A value that is used twice receives the sum of both contributions.
    FanOut "A6" "fan-out accumulation" "分叉求和" r"\langle p,u\rangle+\langle q,u\rangle=\langle p+q,u\rangle";
    /// The adjoint of broadcasting is summation, and conversely.
    Broadcasting "A7" "adjoint of broadcasting" "广播的伴随（求和）" r"\langle\delta,\alpha\mathbf{1}\rangle=\langle\mathbf{1}^{\top}\delta,\alpha\rangle";
    /// The adjoint of any other op, from its row of the table.
    Row "A8" "adjoint by the row of the op table" "按算子表取伴随" r"\langle\delta,f\,u\rangle=\langle f^{\top}\delta,u\rangle";
    /// The chain rule on a graph.
    Consumer "C" "consumer rule" "分支求和的链式法则" r"\delta^{v}_{t}=\sum_{(y,s)}\left(\frac{\partial y_{s}}{\partial v_{t}}\right)^{\top}\delta^{y}_{s}";
    /// Identification of a gradient.
    Identification "I" "identification" "识别定理" r"\mathrm{d}L=\langle G,\mathrm{d}X\rangle\Rightarrow\frac{\partial L}{\partial X}=G";
    /// A parameter shared by all steps.
    WeightTying "T1" "weight tying" "参数共享" r"\frac{\partial L}{\partial W}=\sum_{t=1}^{T}\frac{\partial L}{\partial W^{(t)}}";
    /// A value read at t + 1 is the value defined at t.
    IndexShift "T2" "index shift" "时间平移" r"y_{t}=f(v_{t-1})\;\Leftrightarrow\;y_{t+1}=f(v_{t})";
    /// Zero beyond the ends.
    Boundary "T3" "boundary" "边界条件" r"\delta_{s}=0\;(s>T)";
    /// Induction over the steps.
    Unrolling "T4" "unrolling" "递推展开（归纳）" r"s_{t}=F(F(\cdots))";
    /// Exchanging the order of a double sum.
    Exchange "T5" "swapping a triangular double sum" "交换求和次序" r"\sum_{t=1}^{T}\sum_{k=1}^{t}=\sum_{k=1}^{T}\sum_{t=k}^{T}";
    /// Factoring by Horner's scheme.
    Horner "T6" "Horner factoring" "秦九韶（Horner）提取公因子" r"\sum_{t\ge k}\Pi_{t,k}^{\top}e_{t}=e_{k}+J_{k+1}^{\top}\sum_{t\ge k+1}\Pi_{t,k+1}^{\top}e_{t}";
    /// Products over steps have later steps on the left.
    OrderedProduct "T7" "ordered product" "有序连乘" r"\prod_{j=k+1}^{t}J_{j}=J_{t}J_{t-1}\cdots J_{k+1}";
    /// Omission of pairs of steps.
    Truncation "T8" "truncation" "截断" r"\sum_{t=1}^{T}\sum_{k=1}^{t}\to\sum_{t-k<\tau}";
    /// Identification of a Jacobian.
    ReadOff "J1" "read-off" "读出雅可比矩阵" r"\mathrm{d}y=A\,\mathrm{d}x\Rightarrow\frac{\partial y}{\partial x}=A";
    /// An entrywise product as a product with a diagonal matrix.
    Diagonal "J2" "diagonal matrix" "对角矩阵" r"v\odot u=\operatorname{diag}(v)u";
    /// Paths within a step.
    PathSum "J3" "path sum" "路径求和" r"\frac{\partial y}{\partial x}=\sum_{x\to y}\prod_{j}J_{j}";
    /// The norm of a product.
    Submultiplicative "N1" "submultiplicativity" "次可乘性" r"\lVert AB\rVert\le\lVert A\rVert\lVert B\rVert";
    /// The triangle inequality.
    Triangle "N2" "triangle inequality" "三角不等式" r"\lVert A+B\rVert\le\lVert A\rVert+\lVert B\rVert";
    /// The norm of a diagonal matrix.
    DiagonalNorm "N3" "norm of a diagonal matrix" "对角矩阵的范数" r"\lVert\operatorname{diag}(v)\rVert=\max_{i}\lvert v_{i}\rvert";
    /// The norms of a transpose and of a product of two vectors.
    OuterNorm "N4" "norms of a transpose and an outer product" "转置与外积的范数" r"\lVert A^{\top}\rVert=\lVert A\rVert,\;\lVert uv^{\top}\rVert_{\mathrm{F}}=\lVert u\rVert\lVert v\rVert";
    /// A lower bound on the stretch of a matrix.
    LowerBound "N5" "smallest singular value" "最小奇异值" r"\lVert Au\rVert\ge\sigma_{\min}(A)\lVert u\rVert";
    /// The ranges of gates and slopes.
    Ranges "N6" "ranges of gates and slopes" "门与导数的取值范围" r"0<\sigma<1,\;0<\sigma'\le\frac{1}{4},\;\lvert\tanh\rvert<1,\;0<\tanh'\le1";
    /// The sum of a geometric series.
    Geometric "N7" "geometric series" "几何级数" r"\sum_{n\ge0}q^{n}=\frac{1}{1-q}\;(q<1)";
    /// A value lies between the minimum and the maximum over all steps.
    Extremes "N8" "smallest and largest over the steps" "各时刻的最小值与最大值" r"\min_{j}x_{j}\le x_{t}\le\max_{j}x_{j}";
    /// The norm of a matrix of blocks.
    BlockNorm "N9" "norm of blocks" "分块矩阵的范数" r"\lVert[A;B]\rVert^{2}\le\lVert A\rVert^{2}+\lVert B\rVert^{2}";
    /// A bound on the norm of a vector by its largest absolute entry.
    EntryNorm "N10" "length and largest entry" "长度与最大元素" r"\lVert v\rVert\le\sqrt{n}\max_{i}\lvert v_{i}\rvert";
    /// A value that is at most ρ times the maximum of the last m shrinks by ρ every m steps.
    Contraction "N11" "contraction over several lags" "多步滞后下的收缩" r"x_{t}\le\rho\max_{l\le m}x_{t-l}\Rightarrow x_{t}\le\rho^{\lceil\frac{t-k}{m}\rceil}x_{k}\;(\rho\le1)";
    /// A definition.
    Definition "Def" "definition" "定义" r"u:=v";
}

impl Rule {
    /// The rule by which an op is linearised.
    pub(crate) fn of_tangent(op: &Op) -> Self {
        match op {
            Op::Constant(_) => Self::Constant,
            Op::Leaf(_) | Op::Read(_) => Self::Substitution,
            Op::Pointwise(op) => match op.form() {
                Form::Sum(_) => Self::Linearity,
                Form::Product => Self::HadamardProduct,
                Form::Quotient | Form::Curved => Self::Elementwise,
            },
            Op::Linear(Linear::MatMul(_) | Linear::Outer(_) | Linear::Dot(_)) => {
                Self::MatrixProduct
            }
            Op::Linear(Linear::Concat(_) | Linear::Slice(_) | Linear::Pad(_)) => Self::Stacking,
            Op::Linear(_) | Op::Time(_) => Self::Linearity,
            Op::Reduce(_) | Op::Dense(_) | Op::Custom(_) => Self::Total,
            Op::Declared(_) => Self::Declared,
        }
    }

    /// The rule by which an op is transposed in one of its arguments.
    pub(crate) fn of_adjoint(op: &Op, arg: usize) -> Self {
        match (op, arg) {
            (Op::Pointwise(op), _) => match op.form() {
                Form::Product | Form::Quotient => Self::HadamardAdjoint,
                Form::Sum(_) | Form::Curved => Self::InnerLinearity,
            },
            (Op::Linear(Linear::MatMul(_)), 0) => Self::RightAdjoint,
            (Op::Linear(Linear::MatMul(_) | Linear::Transpose(_) | Linear::Outer(_)), _) => {
                Self::LeftAdjoint
            }
            (Op::Linear(Linear::Dot(_) | Linear::Sum(_) | Linear::Broadcast(_)), _) => {
                Self::Broadcasting
            }
            (Op::Linear(Linear::Concat(_) | Linear::Slice(_) | Linear::Pad(_)), _) => {
                Self::StackingAdjoint
            }
            (Op::Linear(Linear::Alias(_)), _) => Self::Substitution,
            (Op::Time(_), _) => Self::WeightTying,
            _ => Self::Row,
        }
    }

    /// The statement as a formula.
    #[must_use]
    pub fn formula(self) -> Math {
        Math::read(self.statement()).unwrap_or_else(|_| Math::upright(self.id()))
    }

    /// A proof in terms of entries, in LaTeX; only for rules that have a short one.
    #[must_use]
    pub const fn proof(self) -> Option<&'static str> {
        Some(match self {
            Self::MatrixProduct => {
                r"\mathrm{d}\sum_{j}A_{ij}B_{jk}=\sum_{j}(\mathrm{d}A_{ij}\,B_{jk}+A_{ij}\,\mathrm{d}B_{jk})"
            }
            Self::HadamardProduct => {
                r"\mathrm{d}(u_{i}v_{i})=\mathrm{d}u_{i}\,v_{i}+u_{i}\,\mathrm{d}v_{i}"
            }
            Self::Elementwise => r"\mathrm{d}\phi(u_{i})=\phi'(u_{i})\,\mathrm{d}u_{i}",
            Self::InnerLinearity => {
                r"\sum_{i}\delta_{i}(u_{i}+v_{i})=\sum_{i}\delta_{i}u_{i}+\sum_{i}\delta_{i}v_{i}"
            }
            Self::LeftAdjoint => {
                r"\sum_{i,j}\delta_{i}A_{ij}u_{j}=\sum_{j}\left(\sum_{i}A_{ij}\delta_{i}\right)u_{j}"
            }
            Self::RightAdjoint => {
                r"\sum_{i,j}\delta_{i}U_{ij}v_{j}=\sum_{i,j}(\delta_{i}v_{j})U_{ij}"
            }
            Self::HadamardAdjoint => r"\sum_{i}\delta_{i}v_{i}u_{i}=\sum_{i}(v_{i}\delta_{i})u_{i}",
            Self::FanOut => r"\sum_{i}p_{i}u_{i}+\sum_{i}q_{i}u_{i}=\sum_{i}(p_{i}+q_{i})u_{i}",
            Self::Broadcasting => r"\sum_{i}\delta_{i}\alpha=\left(\sum_{i}\delta_{i}\right)\alpha",
            Self::Identification => r"G_{ij}=\langle G,E_{ij}\rangle",
            Self::Diagonal => r"v_{i}u_{i}=\sum_{j}\operatorname{diag}(v)_{ij}u_{j}",
            _ => return None,
        })
    }

    /// The proof as a formula.
    #[must_use]
    pub fn proof_formula(self) -> Option<Math> {
        Math::read(self.proof()?).ok()
    }
}
