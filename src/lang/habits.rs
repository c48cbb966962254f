//! The notation of paper and of other languages, and its equivalent in this language.

use super::token::Token;
use super::vocabulary::is_known;
use crate::shape::{Shape, Type};

/// Operators of other languages, longer ones first, and their equivalents.
pub(super) const SIGNS_ELSEWHERE: &[(&str, &str)] = &[
    ("!=", DIFFERS),
    ("≠", DIFFERS),
    (
        "!",
        "`not c` is written `1 - c`, a difference `1 - (a == b)`",
    ),
    ("&&", AND),
    ("&", AND),
    ("∧", AND),
    (
        "||",
        "`a or b` is written `max(a, b)`, a norm `sqrt(dot(x, x))`",
    ),
    (
        "|",
        "an absolute value is written `abs(x)`, `a or b` as `max(a, b)`",
    ),
    ("∨", "`a or b` is written `max(a, b)`"),
    ("‖", "a norm is written `sqrt(dot(x, x))`"),
    (";", "a statement ends with its line"),
    ("×", PRODUCT),
    ("∘", PRODUCT),
    ("∗", PRODUCT),
    ("•", PRODUCT),
    ("⊗", "an outer product is written `outer(a, b)`"),
    ("÷", "a quotient is written `a / b`"),
    ("√", "a root is written `sqrt(x)`"),
    (
        "∑",
        "a sum is written `sum(x)`, over the steps `total_steps(x)`",
    ),
    ("∂", DERIVED),
    ("∇", DERIVED),
    ("∞", "numbers are finite; the largest is `1.7e308`"),
    ("←", EQUATION),
    ("→", EQUATION),
    ("≈", EQUATION),
    ("?", CHOICE),
    (
        "{",
        "an earlier value is `delay(x)`, of a state `h` its name alone; a choice is `select(c, a, b)`",
    ),
    ("}", CHOICE),
    ("%", "a comment begins with `#`"),
    (
        "\\",
        "a line goes on inside brackets; an inverse is not available",
    ),
    ("\"", "there are no strings; a comment begins with `#`"),
    ("’", "the next value is written `h'`"),
    ("‘", "the next value is written `h'`"),
    ("–", "a minus is written `-`"),
    ("—", "a minus is written `-`"),
];

const AND: &str = "`a and b` is written `a * b`, with conditions in brackets: `(0 < x) * (x < 1)`";
const CHOICE: &str = "a choice is written `select(c, a, b)`";
const DERIVED: &str = "derivatives are computed from the recurrence by `Recurrence::gradient`";
const DIFFERS: &str = "a difference of two numbers is tested by `1 - (a == b)`";
const EQUATION: &str = "an equation is written `a = e`";
const PRODUCT: &str = "a product is written `a * b` or `A @ b`";

/// Functions of other languages, and their equivalents.
const FUNCTIONS_ELSEWHERE: &[(&str, &str)] = &[
    ("log", "ln(x)"),
    ("log1p", "ln(1 + x)"),
    ("expm1", "exp(x) - 1"),
    ("log2", "ln(x) / ln(2)"),
    ("log10", "ln(x) / ln(10)"),
    ("tan", "sin(x) / cos(x)"),
    ("sinh", "0.5 * (exp(x) - exp(-x))"),
    ("cosh", "0.5 * (exp(x) + exp(-x))"),
    ("rsqrt", "1 / sqrt(x)"),
    ("logistic", "sigmoid(x)"),
    ("logsigmoid", "log_sigmoid(x)"),
    ("silu", "x * sigmoid(x)"),
    ("swish", "x * sigmoid(x)"),
    ("leaky_relu", "max(x, 0.01 * x)"),
    ("elu", "select(x > 0, x, exp(min(x, 0)) - 1)"),
    ("mean", "sum(x) / H"),
    ("Σ", "sum(x)"),
    ("norm", "sqrt(dot(x, x))"),
    ("where", "select(c, a, b)"),
    ("if", "select(c, a, b)"),
    ("ifelse", "select(c, a, b)"),
    ("cond", "select(c, a, b)"),
    ("clip", "min(max(x, a), b)"),
    ("clamp", "min(max(x, a), b)"),
    ("cat", "concat(a, b)"),
    ("stack", "concat(a, b)"),
    ("vstack", "concat(A, B)"),
    ("hstack", "concat_columns(A, B)"),
    ("lag", "delay(x)"),
    ("shift", "delay(x)"),
    ("prev", "delay(x)"),
    ("lead", "advance(x)"),
    ("inner", "dot(a, b)"),
    ("trace", "dot(A, B)` for the trace of `A.T @ B"),
    ("maximum", "max(a, b)"),
    ("minimum", "min(a, b)"),
    ("mse", "sum((a - b)^2) / H"),
    ("sigma", "sigmoid(x)"),
    ("bce", "binary_cross_entropy(logits, labels)"),
    ("cross_entropy", "softmax_cross_entropy(logits, class)"),
    ("zeros", "spread(0, [H, K])"),
    ("ones", "spread(1, [H, K])"),
    ("full", "spread(s, [H, K])"),
    ("cumsum", "s' = s + x` with `state s"),
    ("not", "1 - c"),
];

/// The equivalent of a call of an unknown function; `value` returns true for names of values.
pub(super) fn function_elsewhere(name: &str, value: impl Fn(&str) -> bool) -> Option<String> {
    if let Some((_, here)) = FUNCTIONS_ELSEWHERE.iter().find(|(n, _)| *n == name) {
        return Some(format!("write `{here}`"));
    }
    // `x.sum()`, `W.dot(x)`, `np.tanh(x)`.
    let (owner, last) = name.rsplit_once('.')?;
    if !is_known(last) {
        let (_, here) = FUNCTIONS_ELSEWHERE.iter().find(|(n, _)| *n == last)?;
        return Some(format!("write `{here}`"));
    }
    Some(match (value(owner), last) {
        (true, "dot" | "matmul") => format!("write `{owner} @ x`"),
        (true, _) => format!("write `{last}({owner})`"),
        (false, _) => format!("write `{last}(…)`"),
    })
}

/// The equivalent of an unknown name; `known` returns `None` for unknown names, else true for states.
pub(super) fn name_elsewhere(name: &str, known: impl Fn(&str) -> Option<bool>) -> Option<String> {
    const TRUTH: &str = "truth values are the numbers 1 and 0";
    let help = match name {
        "e" => "the exponential function is `exp(x)`, the number `exp(1)`",
        "pi" | "π" => "write the number: `3.141592653589793`",
        "inf" | "Inf" | "nan" | "NaN" => "numbers are finite",
        "true" | "True" | "false" | "False" => TRUTH,
        "T" => "a transpose is written `W.T`; a number of steps is `total_steps(hold(1, step))`",
        "t" => "the number of the step is a state: `state t` and `t' = t + 1`",
        "not" => "`not c` is written `1 - c`",
        _ => "",
    };
    if !help.is_empty() {
        return Some(help.into());
    }
    const ENDS: [&str; 8] = ["_t", "_tm1", "_prev", "_old", "_last", "_next", "_new", "_"];
    let base = ENDS.iter().find_map(|end| name.strip_suffix(end))?;
    known(base).map(|state| at_steps(base, state))
}

/// The notation for the values of `name` at this step and at a neighbouring one.
pub(super) fn at_steps(name: &str, state: bool) -> String {
    match state {
        true => format!(
            "steps have no index: `{name}` is the value before the step, `{name}'` that after it"
        ),
        false => format!(
            "steps have no index: `{name}` is the value at this step, `delay({name})` that one \
             step earlier"
        ),
    }
}

/// The usage of a function that was called with the wrong number of arguments.
pub(super) fn usage(name: &str, found: usize) -> Option<&'static str> {
    match (name, found) {
        ("max" | "min", 1) => Some("it compares two values entry by entry: `max(a, b)`"),
        ("max" | "min", _) => Some("of three values: `max(a, max(b, c))`"),
        ("advance", 2) => Some("two steps later is `advance(advance(x))`; it starts at zero"),
        ("softmax" | "log_softmax" | "logsumexp", 2) => Some("it takes one vector, and no axis"),
        ("select", _) => Some("`select(c, a, b)` is `a` where `c` is not zero, `b` elsewhere"),
        _ => None,
    }
}

/// The correct form of a common error, from the tokens around it; `inside` is true within brackets.
pub(super) fn instead(
    (before, found): (Token<'_>, Token<'_>),
    expected: &str,
    inside: bool,
) -> Option<String> {
    const PRODUCT: &str = "a product is written `a * b` or `A @ b`";
    const CHOICE: &str = "a choice is written `select(c, a, b)`";
    let operator = expected.starts_with("an operator");
    let help = match (before, found) {
        (Token::Star, Token::Star) => "a power is written `a^b`",
        (Token::Slash, Token::Slash) => "a comment begins with `#`",
        (Token::Name("if"), _) | (_, Token::Name("if" | "then" | "else")) => CHOICE,
        (_, Token::Name("and")) => "`a and b` is written `a * b`: `(0 < x) * (x < 1)`",
        (_, Token::Name("or")) => "`a or b` is written `max(a, b)`",
        (Token::Name("not"), _) => "`not c` is written `1 - c`",
        // After the end of a line, the cause is an unclosed bracket.
        (Token::Newline, _) => return None,
        (Token::Name(f), Token::Name(_) | Token::Number(..)) if operator && is_known(f) => {
            return Some(format!("a call has brackets: `{f}(x)`"));
        }
        (Token::Number(..), Token::Comma) if operator && !inside => {
            "a decimal point is written `.`"
        }
        (Token::Name("mean"), Token::Name(_)) if operator => {
            "a mean is written `mean loss e`, that of a vector `sum(x) / H`"
        }
        (Token::Name("final"), Token::Name(_)) if operator => {
            "the value at the last step is written `final loss e` or `last(e)`"
        }
        (_, Token::Name(_) | Token::Number(..) | Token::Open) if operator => PRODUCT,
        (_, Token::Equals) if operator && inside => {
            "arguments have no names, only places: `sum(A, rows)`, `softmax(x)`"
        }
        (_, Token::Equals) if operator => {
            "an equation has one `=`; `a == b` is 1 where the two are equal"
        }
        (_, Token::Plus | Token::Minus | Token::Star | Token::Slash)
            if expected.starts_with("`=`") =>
        {
            "a new value has a name of its own, `b = a + c`, or is that of a state, `h' = h + c`"
        }
        (_, Token::Name("mean")) if expected == "`loss`" => {
            "the words have this order: `mean final loss e`"
        }
        (Token::Prime, Token::Prime) => "the next value has one prime: `h'`",
        (_, Token::OpenBracket | Token::Open) if expected.starts_with("`=`") => {
            "steps have no index: `h'` is the next value of a state `h`; a function is `fn f(x) = …`"
        }
        (_, Token::Less | Token::Colon | Token::Tilde) if expected.starts_with("`=`") => {
            "an equation is written `a = e`"
        }
        _ if expected.starts_with("`:`") => {
            "a slice is written `x[a:b]`, an earlier value `delay(x)` or as a state"
        }
        _ => return None,
    };
    Some(help.into())
}

/// The correct form of a common error, from an op and the types that it does not accept.
pub(super) fn remedy(what: &str, types: &[Type]) -> Option<&'static str> {
    use Shape::{Matrix, Scalar, Vector};
    let shapes: Vec<Shape> = types.iter().map(|t| t.shape).collect();
    if types.iter().any(|t| !t.is_real()) && !what.starts_with("gather") {
        return Some(
            "`gather(v, c)` is the entry of a class, `one_hot(c)` a vector with a 1 at its place",
        );
    }
    match (what, &shapes[..]) {
        (".T" | "transpose", [Vector(_)]) => Some(
            "of vectors, `x @ y` is the inner and `outer(x, y)` the outer product, `x @ W` is `W.T @ x`",
        ),
        ("*", [Matrix(_, n), Vector(m) | Matrix(m, _)]) | ("*", [Vector(n), Matrix(m, _)])
            if n == m =>
        {
            Some("`*` works entry by entry; the matrix product is `@`")
        }
        ("@" | "matmul", [Scalar, _] | [_, Scalar]) => {
            Some("the product with a number is written `*`")
        }
        ("@" | "matmul", [Matrix(n, _), Vector(m)]) if n == m => {
            Some("the transpose of the matrix fits: `A.T @ v`, written `.T`")
        }
        ("dot", [Matrix(..), _] | [_, Matrix(..)]) => Some("the matrix product is written `A @ b`"),
        ("softmax" | "log_softmax" | "logsumexp", [Matrix(..)]) => {
            Some("it takes one vector; give each row a step or a sample of its own")
        }
        ("+" | "-" | "*" | "/", [Vector(_), Matrix(..)] | [Matrix(..), Vector(_)]) => Some(
            "a vector is not spread over a matrix; `repeat(v, rows, n)` is a matrix with the rows `v`",
        ),
        _ => None,
    }
}
