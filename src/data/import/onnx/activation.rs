//! The functions that recurrent nodes apply, which are operators as well.

use super::facts::Out;
use super::machine::Machine;
use super::value::{Expr, digits};

/// A function of `x`, with its settings in braces.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: &'static str,
    /// The settings and their usual values.
    pub(super) settings: &'static [(&'static str, f64)],
    pub(super) text: &'static str,
    /// If a recurrent node may have it.
    pub(super) is_recurrent: bool,
}

const ALPHA: &str = "alpha";
const BETA: &str = "beta";

/// One row for each function.
pub(super) const FUNCTIONS: &[Function] = &[
    recurrent("Relu", &[], "relu(x)"),
    recurrent("Tanh", &[], "tanh(x)"),
    recurrent("Sigmoid", &[], "sigmoid(x)"),
    recurrent(
        "Affine",
        &[(ALPHA, 1.0), (BETA, 0.0)],
        "{alpha} * x + {beta}",
    ),
    recurrent(
        "LeakyRelu",
        &[(ALPHA, 0.01)],
        "select(x < 0, {alpha} * x, x)",
    ),
    recurrent(
        "ThresholdedRelu",
        &[(ALPHA, 1.0)],
        "select(x < {alpha}, 0, x)",
    ),
    recurrent(
        "ScaledTanh",
        &[(ALPHA, 1.0), (BETA, 1.0)],
        "{alpha} * tanh({beta} * x)",
    ),
    recurrent(
        "HardSigmoid",
        &[(ALPHA, 0.2), (BETA, 0.5)],
        "clamp({alpha} * x + {beta}, 0, 1)",
    ),
    recurrent(
        "Elu",
        &[(ALPHA, 1.0)],
        "max(x, 0) + {alpha} * expm1(min(x, 0))",
    ),
    recurrent("Softsign", &[], "softsign(x)"),
    recurrent("Softplus", &[], "softplus(x)"),
    plain(
        "Selu",
        &[
            (ALPHA, 1.673_263_192_176_818_8),
            ("gamma", 1.050_701_022_148_132_3),
        ],
        "{gamma} * (max(x, 0) + {alpha} * expm1(min(x, 0)))",
    ),
    plain(
        "Celu",
        &[(ALPHA, 1.0)],
        "max(x, 0) + {alpha} * expm1(min(x, 0) / {alpha})",
    ),
    plain("HardSwish", &[], "x * hard_sigmoid(x)"),
    plain("Mish", &[], "x * tanh(softplus(x))"),
    plain("Swish", &[(ALPHA, 1.0)], "x * sigmoid({alpha} * x)"),
    plain("Exp", &[], "exp(x)"),
    plain("Log", &[], "ln(x)"),
    plain("Abs", &[], "abs(x)"),
    plain("Sign", &[], "sign(x)"),
    plain("Floor", &[], "floor(x)"),
    plain("Ceil", &[], "ceil(x)"),
    plain("Erf", &[], "erf(x)"),
    plain("Sin", &[], "sin(x)"),
    plain("Cos", &[], "cos(x)"),
    plain("Atan", &[], "atan(x)"),
    plain("Asin", &[], "asin(x)"),
    plain("Acos", &[], "acos(x)"),
    plain("Sinh", &[], "sinh(x)"),
    plain("Cosh", &[], "cosh(x)"),
    plain("Asinh", &[], "asinh(x)"),
];

const fn recurrent(
    name: &'static str,
    settings: &'static [(&'static str, f64)],
    text: &'static str,
) -> Function {
    let is_recurrent = true;
    Function {
        name,
        settings,
        text,
        is_recurrent,
    }
}

const fn plain(
    name: &'static str,
    settings: &'static [(&'static str, f64)],
    text: &'static str,
) -> Function {
    let is_recurrent = false;
    Function {
        name,
        settings,
        text,
        is_recurrent,
    }
}

impl Function {
    /// The function of a value; one that is no function of the language is defined in the text.
    pub(super) fn of(&self, m: &mut Machine<'_>, x: &Expr, settings: &[f64]) -> Out<Expr> {
        if let Some(x) = settings.iter().find(|x| !x.is_finite()) {
            return Err(m.refuse(format!("a setting of {} is {x}", self.name)));
        }
        let mut body = self.text.to_owned();
        for ((name, _), value) in self.settings.iter().zip(settings) {
            body = body.replace(&format!("{{{name}}}"), &signed(*value));
        }
        if self.name == "Elu" && settings == [1.0] {
            body = "elu(x)".into();
        }
        let name = match body.strip_suffix("(x)") {
            Some(name) if name.chars().all(|c| c.is_alphanumeric() || c == '_') => name.to_owned(),
            _ => {
                let stem = snake(self.name);
                m.page.function(&stem, "x", &body)
            }
        };
        Ok(Expr::call(&name, &[&x.text]))
    }
}

/// A number that may follow an operator.
pub(super) fn signed(x: f64) -> String {
    match x < 0.0 {
        true => format!("({})", digits(x)),
        false => digits(x),
    }
}

/// `LeakyRelu` as `leaky_relu`.
fn snake(name: &str) -> String {
    let mut out = String::new();
    for (n, c) in name.char_indices() {
        if c.is_uppercase() && n > 0 {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}
