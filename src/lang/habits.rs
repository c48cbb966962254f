//! The notation of paper and of other languages, and its equivalent in this language.

use super::token::Token;
use super::vocabulary::is_known;
use crate::op::{Linear, Op};
use crate::shape::{Shape, Type};

/// Operators of other languages that begin with an operator of this one, longer ones first: the operator that was
/// meant, and a remedy.
pub(super) const OPERATORS_ELSEWHERE: &[(&str, Option<Token<'static>>, &str)] = &[
    ("\"\"\"", Some(Token::Unknown), COMMENT),
    ("===", Some(Token::TwoEquals), "it is written `==`"),
    (
        "//",
        None,
        "a comment begins with `#`, a quotient is `a / b`",
    ),
    ("/*", None, COMMENT),
    (
        "--",
        None,
        "a comment begins with `#`; the difference from a negative value is `a - (-b)`",
    ),
    ("**", Some(Token::Caret), "a power is written `a^b`"),
    (".*", Some(Token::Star), "an entrywise product is `a * b`"),
    ("./", Some(Token::Slash), "an entrywise quotient is `a / b`"),
    (".^", Some(Token::Caret), "an entrywise power is `a^b`"),
    (
        "->",
        Some(Token::Unknown),
        "a function is written `fn f(x) = …`, an equation `a = e`",
    ),
    (
        "=>",
        Some(Token::Unknown),
        "a function is written `fn f(x) = …`, a comparison `a >= b`",
    ),
    ("=<", Some(Token::LessEq), "it is written `<=`"),
];

const COMMENT: &str = "a comment begins with `#`, on each of its lines";

/// Operators of other languages, longer ones first, and their equivalents.
pub(super) const SIGNS_ELSEWHERE: &[(&str, &str)] = &[
    ("!", "it is written `not c`; a difference is `a != b`"),
    ("&&", AND),
    ("&", AND),
    ("∧", AND),
    ("||", "it is written `a or b`, a norm `norm(x)`"),
    (
        "|",
        "an absolute value is written `abs(x)`; a condition is `a or b`",
    ),
    ("∨", "it is written `a or b`"),
    ("‖", "a norm is written `norm(x)`"),
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
        "an earlier value is `delay(x)`, of a state `h` its name alone; a function is `fn f(x) = …`, a choice is `select(c, a, b)`",
    ),
    ("}", CHOICE),
    ("%", "a comment begins with `#`; a remainder is `mod(a, b)`"),
    (
        "\\",
        "a line goes on inside brackets; `A \\ b` is written `solve(A, b)`",
    ),
    ("\"", "there are no strings; a comment begins with `#`"),
    ("’", "the next value is written `h'`"),
    ("‘", "the next value is written `h'`"),
    ("–", "a minus is written `-`"),
    ("—", "a minus is written `-`"),
];

const AND: &str = "it is written `a and b`: `0 < x and x < 1`";
const CHOICE: &str = "a choice is written `select(c, a, b)`";
const DERIVED: &str = "derivatives are computed from the recurrence by `Recurrence::gradient`";
const EQUATION: &str = "an equation is written `a = e`";
const PRODUCT: &str = "a product is written `a * b` or `A @ b`";

/// Functions of other languages, and their equivalents.
const FUNCTIONS_ELSEWHERE: &[(&str, &str)] = &[
    ("log", "ln(x)"),
    ("log2", "ln(x) / ln(2)"),
    ("log10", "ln(x) / ln(10)"),
    ("tan", "sin(x) / cos(x)"),
    ("rsqrt", "1 / sqrt(x)"),
    ("logistic", "sigmoid(x)"),
    ("logsigmoid", "log_sigmoid(x)"),
    ("swish", "silu(x)"),
    ("leaky_relu", "max(x, 0.01 * x)"),
    ("average", "mean(x)"),
    ("avg", "mean(x)"),
    ("var", "mean((x - mean(x))^2)"),
    ("variance", "mean((x - mean(x))^2)"),
    ("rms", "sqrt(mean(x^2))"),
    ("l2", "norm(x)"),
    ("l2_norm", "norm(x)"),
    ("l1", "sum(abs(x))"),
    ("l1_norm", "sum(abs(x))"),
    ("Σ", "sum(x)"),
    ("where", "select(c, a, b)"),
    ("if", "select(c, a, b)"),
    ("ifelse", "select(c, a, b)"),
    ("cond", "select(c, a, b)"),
    ("clip", "clamp(x, a, b)"),
    ("arctan", "atan(x)"),
    ("arctan2", "atan2(y, x)"),
    ("arcsin", "asin(x)"),
    ("arccos", "acos(x)"),
    ("arcsinh", "asinh(x)"),
    ("gammaln", "lgamma(x)"),
    ("loggamma", "lgamma(x)"),
    ("fmod", "x - y * sign(x / y) * floor(abs(x / y))"),
    ("round", "floor(x + 0.5)"),
    ("trunc", "sign(x) * floor(abs(x))"),
    ("ceiling", "ceil(x)"),
    ("hardsigmoid", "hard_sigmoid(x)"),
    ("atanh", "0.5 * (log1p(x) - log1p(-x))"),
    ("acosh", "ln(x + sqrt((x - 1) * (x + 1)))"),
    ("cat", "concat(a, b)"),
    ("stack", "[a, b]"),
    ("vstack", "concat(A, B)"),
    ("hstack", "concat_columns(A, B)"),
    ("shift", "delay(x)"),
    ("prev", "delay(x)"),
    ("lead", "advance(x)"),
    ("inner", "dot(a, b)"),
    ("maximum", "max(a, b)"),
    ("minimum", "min(a, b)"),
    ("mse", "mean((a - b)^2)"),
    ("sigma", "sigmoid(x)"),
    ("bce", "binary_cross_entropy(logits, labels)"),
    ("cross_entropy", "softmax_cross_entropy(logits, class)"),
    ("zeros", "spread(0, [H, K])"),
    ("ones", "spread(1, [H, K])"),
    ("full", "spread(s, [H, K])"),
    (
        "identity",
        "eye(H)`, and for a parameter `param W[H, H] = identity(1)",
    ),
    ("inv", "inverse(A)"),
    ("det", "exp(logdet(A))"),
    ("chol", "cholesky(A)"),
    ("amax", "largest(x)"),
    ("amin", "smallest(x)"),
    ("flatten", "reshape(A, [6])"),
    ("sign", "(x > 0) - (x < 0)"),
    ("diff", "x - delay(x)"),
    ("len", "H` for a size `dim H"),
    ("size", "H` for a size `dim H"),
    ("linear", "W @ x + b"),
    ("dense", "W @ x + b"),
    ("embedding", "gather(E, c)"),
    ("array", "[a, b]"),
    ("tensor", "[a, b]"),
    ("fabs", "abs(x)"),
    ("std", "sqrt(mean((x - mean(x))^2))"),
    ("range", "step"),
    ("arange", "step"),
    ("argmin", "argmax(-x)"),
    ("detach", "stop_gradient(x)"),
    ("stopgrad", "stop_gradient(x)"),
    ("ste", "surrogate(floor(x), x)"),
];

/// Functions of other languages that cannot be written with those of this one.
const FUNCTIONS_ABSENT: &[&str] = &[
    "erfinv", "gamma", "bessel", "sort", "topk", "conv", "conv1d", "fft",
];

/// Words for the type of a number.
const TYPES: &[&str] = &[
    "float", "double", "real", "int", "scalar", "number", "bool", "f32", "f64", "float32",
    "float64", "vector", "matrix", "tensor",
];

/// The declaration without the type that another language has in it, as in `input float x`.
pub(super) fn without_type(keyword: &str, word: &str, name: &str) -> Option<String> {
    let help = match word {
        "vector" => format!("a vector has its size in its declaration: `{keyword} {name}[H]`"),
        "matrix" | "tensor" => {
            format!("a matrix has its sizes in its declaration: `{keyword} {name}[H, K]`")
        }
        _ => format!("numbers have no type: `{keyword} {name}`"),
    };
    TYPES.contains(&word).then_some(help)
}

/// The declarations that a keyword goes with, if it does not begin one alone.
pub(super) fn goes_with(word: &str) -> Option<&'static str> {
    Some(match word {
        "sample" => "it goes with `input`: `sample input w` is given once for each sequence",
        "mask" => {
            "it goes with `input`: `mask input m` is 1 at the steps that count, 0 at the others"
        }
        "applied" => {
            "it goes with `mask input`: `applied mask input m` in the text of a masked recurrence"
        }
        "backward" => "it goes with `state`: `backward state h` comes from the step after",
        "inner" => "it goes with `state`: `inner state h`",
        "mean" => "it goes with `loss`: `mean loss e`; the mean of a vector is `mean(x)`",
        "final" => {
            "it goes with `loss`, `output` or `state`: `final loss e`; `last(e)` is the last value"
        }
        _ => return None,
    })
}

/// Words that begin statements of other languages, and their equivalents.
const STATEMENTS_ELSEWHERE: &[(&str, &str)] = &[
    ("def", "a function is written `fn f(x) = …`"),
    ("function", "a function is written `fn f(x) = …`"),
    ("func", "a function is written `fn f(x) = …`"),
    ("fun", "a function is written `fn f(x) = …`"),
    ("let", EQUATION),
    ("const", EQUATION),
    ("var", EQUATION),
    ("set", EQUATION),
    ("for", LOOP),
    ("while", LOOP),
    ("do", LOOP),
    ("if", CHOICE),
    ("import", IMPORT),
    ("from", IMPORT),
    ("using", IMPORT),
    ("include", IMPORT),
    (
        "return",
        "a result is written `output y`, or `output y = …`",
    ),
    ("print", "a result is written `output y`, or `output y = …`"),
    ("yield", "a result is written `output y`, or `output y = …`"),
    ("minimize", "the function to minimise is written `loss e`"),
    ("minimise", "the function to minimise is written `loss e`"),
    ("maximize", "what is to be maximised is written `loss -(e)`"),
    ("objective", "the function to minimise is written `loss e`"),
    ("cost", "the function to minimise is written `loss e`"),
    ("parameter", "parameters are declared by `param w[H]`"),
    ("parameters", "parameters are declared by `param w[H]`"),
    ("weight", "parameters are declared by `param w[H]`"),
    (
        "float",
        "numbers have no type: `param w`, `input x`, or `a = e`",
    ),
    (
        "double",
        "numbers have no type: `param w`, `input x`, or `a = e`",
    ),
    (
        "real",
        "numbers have no type: `param w`, `input x`, or `a = e`",
    ),
    (
        "int",
        "a size is declared by `dim H`, a class by `input c: class(H)`",
    ),
    (
        "vector",
        "a vector is declared by `param b[H]`, `input x[K]` or `state h[H]`",
    ),
    ("matrix", "a matrix is declared by `param W[H, K]`"),
];

const IMPORT: &str = "nothing is imported: functions such as `exp(x)` and `tanh(x)` are there";
const LOOP: &str = "there are no loops: every line holds at every step, and `h' = …` is the next value of a state `h`";

/// Statements of several words.
const APART: &[&str] = &[
    "mean loss",
    "final loss",
    "mean final loss",
    "sample input",
    "mask input",
    "backward state",
    "inner state",
    "final state",
    "final output",
];

/// The equivalent of a statement that begins with an unknown word.
pub(super) fn statement_elsewhere(word: &str) -> Option<String> {
    let mut apart = APART.iter();
    if let Some(words) = apart.find(|words| words.replace(' ', "_") == word) {
        return Some(format!("its words are written apart: `{words} …`"));
    }
    let found = STATEMENTS_ELSEWHERE.iter().find(|(w, _)| *w == word);
    found.map(|(_, help)| (*help).to_owned())
}

/// Words that begin a statement.
const BEGINNINGS: &[&str] = &[
    "dim", "input", "sample", "param", "state", "backward", "output", "loss", "fn", "mask", "inner",
];

/// The remedy for two statements on one line, if the second seems to begin with `word`, which may have a prime.
pub(super) fn second_statement(word: &str, prime: bool) -> Option<String> {
    match prime {
        true => Some(on_a_new_line(&format!("{word}' ="))),
        false => BEGINNINGS.contains(&word).then(|| on_a_new_line(word)),
    }
}

fn on_a_new_line(beginning: &str) -> String {
    format!("a statement begins on a new line: `{beginning} …`")
}

/// The equivalent of a call of an unknown function; `value` returns true for names of values.
pub(super) fn function_elsewhere(name: &str, value: impl Fn(&str) -> bool) -> Option<String> {
    if let Some((_, here)) = FUNCTIONS_ELSEWHERE.iter().find(|(n, _)| *n == name) {
        return Some(format!("write `{here}`"));
    }
    if FUNCTIONS_ABSENT.contains(&name) {
        return Some(
            "the language does not have it; in a Rust program, `Expr::custom` adds an operation with its derivative"
                .into(),
        );
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
        "inf" | "Inf" | "nan" | "NaN" => "numbers are finite",
        "true" | "True" | "false" | "False" => TRUTH,
        "T" => "a transpose is written `W.T`; a number of steps is `total_steps(hold(1, step))`",
        "t" => "the number of the step is `step`, from 0 on",
        "None" | "null" | "nil" => "a state without an initial value starts at zero",
        "dt" => "a step of time is a number or a parameter: `param dt = 0.1`",
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
        ("max", 1) => Some(
            "it compares two values; the largest entry of a vector is `largest(x)`, and `logsumexp(x)` is a smooth one",
        ),
        ("min", 1) => Some(
            "it compares two values; the smallest entry of a vector is `smallest(x)`, and `-logsumexp(-x)` is a smooth one",
        ),
        ("max", _) => Some("of three values: `max(a, max(b, c))`"),
        ("min", _) => Some("of three values: `min(a, min(b, c))`"),
        ("advance", 2) => Some("two steps later is `advance(advance(x))`; it starts at zero"),
        ("norm", 2) => Some(
            "it takes one array and is the Euclidean norm of all its entries; the norms of the columns of a matrix are \
             `sqrt(sum(A^2, rows))`, of its rows `sqrt(sum(A^2, columns))`",
        ),
        ("softmax" | "log_softmax" | "logsumexp", 2) => {
            Some("it takes a vector, or a matrix and `rows` or `columns`")
        }
        ("delay", _) => Some("`delay(x)` is `x` one step earlier, `delay(x, 1.0)` starts at 1"),
        ("advance", _) => Some("`advance(x)` is `x` one step later"),
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
        (_, Token::Minus) if expected.starts_with("a declaration") => "a comment begins with `#`",
        (Token::Name("lambda"), _) => "a function is written `fn f(x) = …`",
        (Token::Name("loss"), Token::Colon) => "a loss is written `loss e`",
        (Token::Name("output"), Token::Open) => {
            "an output is written `output a`, or `output y = …`"
        }
        _ if expected == "`class`" => {
            "numbers have no type: `param w`; a class is declared by `input c: class(3)`"
        }
        _ if expected.starts_with("`[`") => {
            "a shape is written `W[H, K]`; steps have no index, `input x` is the value at this step"
        }
        _ if expected.starts_with("a name,") => "an output has a name: `output y = …`",
        (_, Token::Slash) if expected.starts_with("`=`") => {
            "a derivative in time is a step of a state: `h' = h + dt * (…)`"
        }
        (Token::Name(sum), Token::Name(_)) if operator && sum.starts_with("sum_") => {
            "a sum over the entries is `sum(a)`, over the steps `total_steps(a)`"
        }
        (Token::Name("if"), _) | (_, Token::Name("if" | "then" | "else")) => CHOICE,
        (Token::Name("not"), _) => {
            "`not` stands before a name, a number or a bracket: `not (a < b)`"
        }
        // After the end of a line, the cause is an unclosed bracket.
        (Token::Newline, _) => return None,
        (Token::Name("mean"), Token::Name(_)) if operator => {
            "a mean is written `mean loss e`, that of a vector `mean(x)`"
        }
        (Token::Name(f), Token::Name(_) | Token::Number(..)) if operator && is_known(f) => {
            return Some(format!("a call has brackets: `{f}(x)`"));
        }
        (Token::Number(..), Token::Comma) if operator && !inside => {
            "a decimal point is written `.`"
        }
        (Token::Name("final"), Token::Name(_)) if operator => {
            "the value at the last step is written `final loss e` or `last(e)`"
        }
        (_, Token::Name(word)) if operator && !inside && BEGINNINGS.contains(&word) => {
            return Some(on_a_new_line(word));
        }
        (_, Token::Name(_) | Token::Number(..) | Token::Open) if operator => PRODUCT,
        (Token::Name("axis" | "dim" | "axes"), Token::Equals) if operator && inside => {
            "arguments have no names, only places: axis 0 is `sum(A, rows)`, axis 1 is `sum(A, columns)`"
        }
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
        (Token::Name(word), _) if expected == "`loss`" => return goes_with(word).map(Into::into),
        (Token::Name(word @ ("sample" | "mask" | "applied" | "backward" | "inner")), _)
            if expected.starts_with("`=`") =>
        {
            return goes_with(word).map(Into::into);
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

/// The correct form of a common error, from an op, its text, and the types that it does not accept.
pub(super) fn remedy(op: &Op, what: &str, types: &[Type]) -> Option<&'static str> {
    use Shape::{Matrix, Vector};
    if types.iter().any(|t| !t.is_real()) && !matches!(op, Op::Linear(Linear::Gather(_))) {
        return Some(
            "`gather(v, c)` is the entry of a class, `one_hot(c)` a vector with a 1 at its place",
        );
    }
    let shapes: Vec<Shape> = types.iter().map(|t| t.shape).collect();
    match (what, &shapes[..]) {
        ("*", [Matrix(_, n), Vector(m) | Matrix(m, _)]) | ("*", [Vector(n), Matrix(m, _)])
            if n == m =>
        {
            Some("`*` works entry by entry; the matrix product is `@`")
        }
        ("+" | "-" | "*" | "/", [Matrix(n, k), Matrix(l, m)]) if n == m && k == l => {
            Some("the transpose of one of them fits, as in `A + B.T`")
        }
        ("+" | "-" | "*" | "/", [Vector(_), Matrix(..)] | [Matrix(..), Vector(_)]) => Some(
            "a vector is not spread over a matrix; beside one, `rows(v)` has the rows `v`, as in `A + rows(v)`",
        ),
        _ => op.remedy(types),
    }
}
