//! Scalar functions applied entry by entry, one row each.
//!
//! A row defines the value and the partial derivatives of one entry. In a partial, `y` is the
//! result, so `tanh` is differentiated from its output alone. Tangents, cotangents, all higher
//! orders and the method of [`Expr`] follow from the row.

use std::f64::consts::{FRAC_2_SQRT_PI, PI};

use ndarray::Zip;

use super::Form::{self, Curved, Product, Quotient, Sum};
use super::call::{Call, Takes, ok};
use super::entry::OfNumbers;
use super::gamma;
use super::partial::Partial::{self, MinusOne, One, Zero};
use super::pointwise_table::{entry, method, optional, pointwise, setting};
use super::{
    Entry, EntryVisitor, Expr, Notation, Number, Reason, Scalar, Setting, Spelling, Value,
    common_shape,
};
use crate::shape::{Dim, Rate, Type};

const fn first(reasons: &[Reason]) -> Reason {
    match reasons {
        [reason, ..] => reason,
        [] => "",
    }
}

const EXPONENT: Reason = "the exponent must be a whole number from -2147483648 to 2147483647; `pow(x, a)` takes any other";

const ORDER: Reason = "the order must be a whole number from 0 to 2147483646: `polygamma(x, 1)`";

pointwise! {
    /// `a + b`.
    operator Add = add(a, b) -> y {
        eval: a + b,
        partials: [One, One],
        form: Sum(&[1, 1]),
        kink: None,
        sample: [(-3.0, 3.0), (-3.0, 3.0)],
        notation: Notation::infix("+", "+", 2),
    }
    /// `a - b`.
    operator Sub = sub(a, b) -> y {
        eval: a - b,
        partials: [One, MinusOne],
        form: Sum(&[1, -1]),
        kink: None,
        sample: [(-3.0, 3.0), (-3.0, 3.0)],
        notation: Notation::infix("-", "-", 2),
    }
    /// `a b`.
    operator Mul = mul(a, b) -> y {
        eval: a * b,
        partials: [b, a],
        form: Product,
        kink: None,
        sample: [(-3.0, 3.0), (-3.0, 3.0)],
        notation: Notation::infix("*", r"\odot", 3),
    }
    /// `a b`, but 0 wherever a factor is 0, even if the other is infinite or NaN.
    ///
    /// Derivative rules use it for factors that can be infinite, so that values without influence
    /// (the unused branch of a `select`, an inactive step) contribute zero.
    function StrongMul = strong_mul(a, b) -> y {
        eval: a.strong_mul(b),
        partials: [Partial::Strong(b), Partial::Strong(a)],
        form: Product,
        kink: None,
        sample: [(-3.0, 3.0), (-3.0, 3.0)],
        notation: Notation::infix("*", r"\odot", 3),
    }
    /// `a / b`.
    operator Div = div(a, b) -> y {
        eval: a / b,
        partials: [b.recip(), -(y / b)],
        form: Quotient,
        kink: None,
        poles: &[&[1.0, 0.0], &[0.0, 0.0]],
        safe: "x / select(z == 0, 1, z)",
        sample: [(-3.0, 3.0), (0.5, 3.0)],
        notation: Notation::infix("/", r"\oslash", 3),
    }
    /// `-x`.
    operator Neg = neg(x) -> y {
        eval: -x,
        partials: [MinusOne],
        form: Sum(&[-1]),
        kink: None,
        sample: [(-3.0, 3.0)],
        notation: Notation::Prefix { text: "-" },
    }
    /// The reciprocal `1 / x`.
    function Recip = recip(x) -> y {
        eval: x.recip(),
        partials: [-(y * y)],
        form: Curved,
        kink: None,
        poles: &[&[0.0]],
        safe: "recip(select(x == 0, 1, x))",
        sample: [(0.4, 3.0)],
        notation: Notation::call("recip", r"\operatorname{recip}"),
    }
    /// The exponential.
    function Exp = exp(x) -> y {
        eval: x.exp(),
        partials: [y],
        form: Curved,
        kink: None,
        poles: &[&[800.0]],
        safe: "exp(select(x < 80, x, 0))",
        sample: [(-2.0, 2.0)],
        notation: Notation::call("exp", r"\exp"),
    }
    /// The natural logarithm; it is finite for positive arguments.
    function Ln = ln(x) -> y {
        eval: x.ln(),
        partials: [x.recip()],
        form: Curved,
        kink: None,
        poles: &[&[0.0], &[-1.0]],
        safe: "ln(select(x > 0, x, 1))",
        sample: [(0.3, 4.0)],
        notation: Notation::call("ln", r"\ln"),
    }
    /// The square root; the derivative is finite for positive arguments.
    function Sqrt = sqrt(x) -> y {
        eval: x.sqrt(),
        partials: [0.5 / y],
        form: Curved,
        kink: None,
        poles: &[&[0.0], &[-1.0]],
        safe: "sqrt(select(x > 0, x, 1))",
        sample: [(0.3, 4.0)],
        notation: Notation::call("sqrt", r"\sqrt"),
    }
    /// The square `x²`.
    function Square = square(x) -> y {
        eval: x * x,
        partials: [2.0 * x],
        form: Curved,
        kink: None,
        sample: [(-2.0, 2.0)],
        notation: Notation::Suffix { text: "^2".into(), latex: "^{2}".into() },
    }
    /// A fixed integer power, entry by entry.
    function Powi = powi[n: i32 = 3](x) -> y {
        eval: x.powi(n),
        partials: [match n {
            0 => Zero,
            1 => One,
            _ => Partial::By(f64::from(n) * x.powi(n.saturating_sub(1))),
        }],
        form: Curved,
        kink: None,
        poles: if n < 0 { &[&[0.0]] } else { &[] },
        safe: "powi(select(x == 0, 1, x), n)",
        sample: [(0.5, 2.0)],
        notation: Notation::Suffix { text: format!("^{n}"), latex: format!("^{{{n}}}") },
    }
    /// A real power, entry by entry, for positive bases.
    function Powf = powf(x, p) -> y {
        eval: x.powf(p),
        // `0^p` is constant in `p > 0`, and `x^0` in `x`.
        partials: [p.strong_mul(x.powf(p - 1.0)), y.strong_mul(x.ln())],
        form: Curved,
        kink: None,
        poles: &[&[0.0, -1.0], &[0.0, 0.5], &[-1.0, 0.5], &[10.0, 400.0]],
        safe: "pow(select(x > 0, x, 1), p)",
        sample: [(0.4, 2.5), (-2.0, 2.0)],
        notation: Notation::call("pow", r"\operatorname{pow}"),
    }
    /// `exp(x) - 1`, also for small `x`.
    function Expm1 = expm1(x) -> y {
        numbers: |[x, _]| libm::expm1(x),
        // Not `y + 1`, which cancels for negative `x`.
        partials: [x.exp()],
        form: Curved,
        kink: None,
        poles: &[&[800.0]],
        safe: "expm1(select(x < 80, x, 0))",
        sample: [(-2.0, 2.0)],
        notation: Notation::call("expm1", r"\operatorname{expm1}"),
    }
    /// `ln(1 + x)`, also for small `x`; it is finite for arguments above −1.
    function Log1p = log1p(x) -> y {
        numbers: |[x, _]| libm::log1p(x),
        partials: [(1.0 + x).recip()],
        form: Curved,
        kink: None,
        poles: &[&[-1.0], &[-2.0]],
        safe: "log1p(select(x > -1, x, 0))",
        sample: [(-0.6, 3.0)],
        notation: Notation::call("log1p", r"\operatorname{log1p}"),
    }
    /// The error function `2 / √π ∫₀ˣ exp(-t²) dt`.
    function Erf = erf(x) -> y {
        numbers: |[x, _]| libm::erf(x),
        partials: [FRAC_2_SQRT_PI * (-x.square()).exp()],
        form: Curved,
        kink: None,
        range: (-1.0, 1.0),
        slope: (0.0, 1.129),
        sample: [(-2.0, 2.0)],
        notation: Notation::call("erf", r"\operatorname{erf}"),
    }
    /// `1 - erf(x)`, also for large `x`.
    function Erfc = erfc(x) -> y {
        numbers: |[x, _]| libm::erfc(x),
        partials: [-FRAC_2_SQRT_PI * (-x.square()).exp()],
        form: Curved,
        kink: None,
        range: (0.0, 2.0),
        slope: (-1.129, 0.0),
        sample: [(-2.0, 2.0)],
        notation: Notation::call("erfc", r"\operatorname{erfc}"),
    }
    /// The logarithm of the absolute value of the gamma function.
    function Lgamma = lgamma(x) -> y {
        numbers: |[x, _]| libm::lgamma(x),
        partials: [x.digamma()],
        form: Curved,
        kink: None,
        poles: &[&[0.0], &[-1.0]],
        safe: "lgamma(select(x > 0, x, 1))",
        sample: [(0.3, 4.0)],
        notation: Notation::call("lgamma", r"\operatorname{lgamma}"),
    }
    /// The derivative of `lgamma`.
    function Digamma = digamma(x) -> y {
        numbers: |[x, _]| gamma::digamma(x),
        partials: [x.polygamma(1)],
        form: Curved,
        kink: None,
        poles: &[&[0.0], &[-1.0]],
        safe: "digamma(select(x > 0, x, 1))",
        sample: [(0.3, 4.0)],
        notation: Notation::call("digamma", r"\operatorname{digamma}"),
    }
    /// The derivative of this order of `digamma`, for arguments from −1000 on.
    function Polygamma = polygamma[order: i32 = 1](x) -> y {
        numbers: |[x, order]| gamma::polygamma(x, order),
        partials: [x.polygamma(order.saturating_add(1))],
        form: Curved,
        kink: None,
        poles: &[&[0.0], &[-1.0]],
        safe: "polygamma(select(x > 0, x, 1), 1)",
        sample: [(0.3, 4.0)],
        notation: Notation::Call {
            text: "polygamma".into(),
            latex: r"\operatorname{polygamma}".into(),
            settings: vec![Setting::Size(Dim::fixed(order.unsigned_abs() as usize))],
        },
    }
    /// The inverse tangent.
    function Atan = atan(x) -> y {
        numbers: |[x, _]| libm::atan(x),
        partials: [(1.0 + x.square()).recip()],
        form: Curved,
        kink: None,
        range: (-1.571, 1.571),
        slope: (0.0, 1.0),
        sample: [(-3.0, 3.0)],
        notation: Notation::call("atan", r"\operatorname{arctan}"),
    }
    /// The inverse sine; the derivative is finite between −1 and 1.
    function Asin = asin(x) -> y {
        numbers: |[x, _]| libm::asin(x),
        partials: [((1.0 - x) * (1.0 + x)).sqrt().recip()],
        form: Curved,
        kink: None,
        poles: &[&[1.0], &[2.0]],
        safe: "asin(select(abs(x) < 1, x, 0))",
        sample: [(-0.8, 0.8)],
        notation: Notation::call("asin", r"\operatorname{arcsin}"),
    }
    /// The inverse cosine; the derivative is finite between −1 and 1.
    function Acos = acos(x) -> y {
        numbers: |[x, _]| libm::acos(x),
        partials: [-((1.0 - x) * (1.0 + x)).sqrt().recip()],
        form: Curved,
        kink: None,
        poles: &[&[1.0], &[2.0]],
        safe: "acos(select(abs(x) < 1, x, 0))",
        sample: [(-0.8, 0.8)],
        notation: Notation::call("acos", r"\operatorname{arccos}"),
    }
    /// The hyperbolic sine.
    function Sinh = sinh(x) -> y {
        numbers: |[x, _]| libm::sinh(x),
        partials: [x.cosh()],
        form: Curved,
        kink: None,
        poles: &[&[800.0]],
        safe: "sinh(select(abs(x) < 80, x, 0))",
        sample: [(-2.0, 2.0)],
        notation: Notation::call("sinh", r"\operatorname{sinh}"),
    }
    /// The hyperbolic cosine.
    function Cosh = cosh(x) -> y {
        numbers: |[x, _]| libm::cosh(x),
        partials: [x.sinh()],
        form: Curved,
        kink: None,
        poles: &[&[800.0]],
        safe: "cosh(select(abs(x) < 80, x, 0))",
        sample: [(-2.0, 2.0)],
        notation: Notation::call("cosh", r"\operatorname{cosh}"),
    }
    /// The inverse hyperbolic sine.
    function Asinh = asinh(x) -> y {
        numbers: |[x, _]| libm::asinh(x),
        partials: [(1.0 + x.square()).sqrt().recip()],
        form: Curved,
        kink: None,
        slope: (0.0, 1.0),
        sample: [(-3.0, 3.0)],
        notation: Notation::call("asinh", r"\operatorname{arsinh}"),
    }
    /// The angle of the point with the coordinates `other` and `self`, from −π to π.
    function Atan2 = atan2(a, b) -> y {
        numbers: |[a, b]| libm::atan2(a, b),
        partials: [b / (a.square() + b.square()), -a / (a.square() + b.square())],
        form: Curved,
        kink: None,
        poles: &[&[0.0, 0.0]],
        safe: "atan2(x, select(z == 0, 1, z))",
        range: (-3.15, 3.15),
        sample: [(0.3, 3.0), (-3.0, 3.0)],
        notation: Notation::call("atan2", r"\operatorname{atan2}"),
    }
    /// The largest whole number not above; the derivative is 0.
    function Floor = floor(x) -> y {
        numbers: |[x, _]| x.floor(),
        partials: [Zero],
        form: Curved,
        kink: Some((x * F::of(PI)).sin()),
        sample: [(-3.0, 3.0)],
        notation: Notation::call("floor", r"\operatorname{floor}"),
    }
    /// The smallest whole number not below; the derivative is 0.
    function Ceil = ceil(x) -> y {
        numbers: |[x, _]| x.ceil(),
        partials: [Zero],
        form: Curved,
        kink: Some((x * F::of(PI)).sin()),
        sample: [(-3.0, 3.0)],
        notation: Notation::call("ceil", r"\operatorname{ceil}"),
    }
    /// The sine.
    function Sin = sin(x) -> y {
        eval: x.sin(),
        partials: [x.cos()],
        form: Curved,
        kink: None,
        range: (-1.0, 1.0),
        slope: (-1.0, 1.0),
        sample: [(-3.0, 3.0)],
        notation: Notation::call("sin", r"\sin"),
    }
    /// The cosine.
    function Cos = cos(x) -> y {
        eval: x.cos(),
        partials: [-x.sin()],
        form: Curved,
        kink: None,
        range: (-1.0, 1.0),
        slope: (-1.0, 1.0),
        sample: [(-3.0, 3.0)],
        notation: Notation::call("cos", r"\cos"),
    }
    /// The hyperbolic tangent.
    function Tanh = tanh(x) -> y {
        eval: x.tanh(),
        partials: [1.0 - y * y],
        form: Curved,
        kink: None,
        range: (-1.0, 1.0),
        slope: (0.0, 1.0),
        sample: [(-2.0, 2.0)],
        notation: Notation::call("tanh", r"\tanh"),
    }
    /// The logistic function `1 / (1 + exp(-x))`.
    function Sigmoid = sigmoid(x) -> y {
        eval: x.sigmoid(),
        partials: [y * (1.0 - y)],
        form: Curved,
        kink: None,
        range: (0.0, 1.0),
        slope: (0.0, 0.25),
        sample: [(-3.0, 3.0)],
        notation: Notation::call("sigmoid", r"\sigma"),
    }
    /// `max(x, 0)`, with derivative 0 at 0.
    function Relu = relu(x) -> y {
        eval: x.larger(N::of(0.0)),
        partials: [x.full_like(0.0).less(x)],
        form: Curved,
        kink: Some(x),
        slope: (0.0, 1.0),
        sample: [(-3.0, 3.0)],
        notation: Notation::call("relu", r"\operatorname{relu}"),
    }
    /// `ln(1 + exp(x))`.
    function Softplus = softplus(x) -> y {
        eval: x.softplus(),
        partials: [x.sigmoid()],
        form: Curved,
        kink: None,
        slope: (0.0, 1.0),
        sample: [(-3.0, 3.0)],
        notation: Notation::call("softplus", r"\operatorname{softplus}"),
    }
    /// The absolute value, with derivative 0 at 0.
    function Abs = abs(x) -> y {
        eval: x.abs(),
        partials: [x.sign()],
        form: Curved,
        kink: Some(x),
        slope: (-1.0, 1.0),
        sample: [(-3.0, 3.0)],
        notation: Notation::call("abs", r"\operatorname{abs}"),
    }
    /// The sign: −1, 0 or 1; the derivative is 0.
    function Sign = sign(x) -> y {
        eval: x.sign(),
        partials: [Zero],
        form: Curved,
        kink: Some(x),
        range: (-1.0, 1.0),
        slope: (0.0, 0.0),
        sample: [(-3.0, 3.0)],
        notation: Notation::call("sign", r"\operatorname{sign}"),
    }
    /// The larger of two values, entry by entry; where they are equal, each gets half of the
    /// derivative.
    function Max = max(a, b) -> y {
        eval: a.larger(b),
        partials: [b.less(a) + 0.5 * a.equal(b), a.less(b) + 0.5 * a.equal(b)],
        form: Curved,
        kink: Some(a - b),
        sample: [(-3.0, 3.0), (-3.0, 3.0)],
        notation: Notation::call("max", r"\max"),
    }
    /// The smaller of two values, entry by entry; where they are equal, each gets half of the
    /// derivative.
    function Min = min(a, b) -> y {
        eval: -((-a).larger(-b)),
        partials: [a.less(b) + 0.5 * a.equal(b), b.less(a) + 0.5 * a.equal(b)],
        form: Curved,
        kink: Some(a - b),
        sample: [(-3.0, 3.0), (-3.0, 3.0)],
        notation: Notation::call("min", r"\min"),
    }
    /// 1 where `self < other`, else 0; the derivative is 0.
    function Less = less(a, b) -> y {
        eval: a.less(b),
        partials: [Zero, Zero],
        form: Curved,
        kink: Some(a - b),
        range: (0.0, 1.0),
        sample: [(-3.0, 3.0), (-3.0, 3.0)],
        notation: Notation::infix("<", "<", 1),
    }
    /// 1 where `self ≤ other`, else 0; the derivative is 0.
    function LessEq = less_eq(a, b) -> y {
        eval: a.less_eq(b),
        partials: [Zero, Zero],
        form: Curved,
        kink: Some(a - b),
        range: (0.0, 1.0),
        sample: [(-3.0, 3.0), (-3.0, 3.0)],
        notation: Notation::infix("<=", r"\le", 1),
    }
    /// 1 where `self = other`, else 0; the derivative is 0.
    function Equal = equal(a, b) -> y {
        eval: a.equal(b),
        partials: [Zero, Zero],
        form: Curved,
        kink: Some(a - b),
        range: (0.0, 1.0),
        sample: [(-3.0, 3.0), (-3.0, 3.0)],
        notation: Notation::infix("==", "=", 1),
    }
}

impl Pointwise {
    /// The value for one entry of each argument.
    ///
    /// # Panics
    /// If the number of arguments is not [`arity`](Self::arity).
    pub fn eval<F: Scalar>(self, args: &[F]) -> F {
        assert_eq!(args.len(), self.arity(), "arguments of {}", self.name());
        F::entry(self, [args[0], args[args.len() - 1]])
    }

    /// The sign of each argument, if the op is a sum of its arguments.
    pub(crate) const fn signs(self) -> Option<&'static [i8]> {
        self.form().signs()
    }

    /// Returns true if the result is 1 or 0.
    pub(crate) const fn is_comparison(self) -> bool {
        matches!(self, Self::Less | Self::LessEq | Self::Equal)
    }

    /// Returns true for the plain product. `StrongMul` does not count: it differs for infinite
    /// factors.
    pub(crate) fn is_product(self) -> bool {
        self == Self::Mul
    }

    /// Returns true if the result can be infinite or NaN; overflow of sums and products does not
    /// count. For each argument, `args` has the same property, and the value if it is a known
    /// constant, or a number of which it is a multiple.
    pub(crate) fn has_pole(self, args: &[(bool, Option<f64>)]) -> bool {
        let divides = self.form() == Quotient || self == Self::Recip;
        let divisor = args.last().and_then(|arg| arg.1);
        let divides_by_number = divides && divisor.is_some_and(|x| x != 0.0 && x.is_finite());
        let own = !self.poles().is_empty() && !divides_by_number;
        !self.is_comparison() && (own || args.iter().any(|a| a.0))
    }

    pub(super) fn infer(self, args: &[Type]) -> Result<Type, Reason> {
        if args.len() != self.arity() {
            return Err("the number of arguments is wrong");
        }
        let shape = common_shape(args)?;
        Ok(Type::real(
            shape,
            args.first().map_or(Rate::Static, |t| t.rate),
        ))
    }

    pub(super) fn eval_arrays<F: Scalar>(self, args: &[&Value<F>]) -> Value<F> {
        match args {
            [x] => x.real().mapv(|x| self.eval(&[x])).into(),
            [a, b] => Zip::from(a.real())
                .and(b.real())
                .map_collect(|&a, &b| self.eval(&[a, b]))
                .into(),
            _ => unreachable!("arity is checked on insertion"),
        }
    }

    pub(super) fn tangent<'b>(
        self,
        x: &[Expr<'b>],
        y: Expr<'b>,
        x_dot: &[Option<Expr<'b>>],
    ) -> Option<Expr<'b>> {
        Expr::sum_all((0..x.len()).filter_map(|i| {
            let x_dot = x_dot[i]?;
            self.partial(i, x, y).times(x_dot)
        }))
    }

    pub(super) fn is_linear_in(self, active: &[bool]) -> bool {
        self.form().is_linear_in(active)
    }
}
