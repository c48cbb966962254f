//! Parses the printed LaTeX of a formula, by a strict grammar. A check can thus evaluate the printed formula, and not
//! only the term that it was printed from.
//!
//! ```text
//! sum     = ["-"] had { ("+" | "-") had }
//! had     = product { ("\odot" | "\otimes") product }
//! product = factor { factor }
//! factor  = primary { "^{\top}" | "^{" (number | steps | sum) "}" }
//! ```

use super::lexicon::{Lexicon, is_number, variable};
use super::show::is_step;
use super::tokens::{Scripted, begins, tokens};
use crate::derive::algebra::fold::{Fold, Operator};
use crate::derive::algebra::quantity::Head;
use crate::derive::algebra::term::{Along, Index, Span, Term, Time};

impl Lexicon {
    /// Reads a term.
    ///
    /// # Errors
    /// Reports the token found where another was expected.
    pub fn parse(&self, latex: &str) -> Result<Term, String> {
        parsed(self, &tokens(latex)?)
    }
}

fn parsed(lexicon: &Lexicon, tokens: &[String]) -> Result<Term, String> {
    let mut parser = Parser {
        lexicon,
        tokens,
        at: 0,
    };
    let term = parser.sum()?;
    match parser.peek() {
        None => Ok(term),
        Some(extra) => Err(format!("`{extra}` is left over")),
    }
}

struct Parser<'a> {
    lexicon: &'a Lexicon,
    tokens: &'a [String],
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.tokens.get(self.at).map(|t| &**t)
    }

    /// Returns true if `token` follows the next one.
    fn follows(&self, token: &str) -> bool {
        self.tokens.get(self.at + 1).is_some_and(|t| t == token)
    }

    fn next(&mut self) -> Result<&'a str, String> {
        let token = self.peek().ok_or("the formula ends too early")?;
        self.at += 1;
        Ok(token)
    }

    fn eat(&mut self, token: &str) -> bool {
        let found = self.peek() == Some(token);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        match self.next()? {
            found if found == token => Ok(()),
            found => Err(format!("expected `{token}`, found `{found}`")),
        }
    }

    fn sum(&mut self) -> Result<Term, String> {
        let negative = self.eat("-");
        let first = self.hadamard()?;
        let mut parts = vec![if negative {
            Term::Neg(Box::new(first))
        } else {
            first
        }];
        loop {
            if self.eat("+") {
                parts.push(self.hadamard()?);
            } else if self.eat("-") {
                parts.push(Term::Neg(Box::new(self.hadamard()?)));
            } else {
                break;
            }
        }
        Ok(single(parts, Term::Add))
    }

    fn hadamard(&mut self) -> Result<Term, String> {
        let mut factors = vec![self.product()?];
        while self.eat(r"\odot") {
            factors.push(self.product()?);
        }
        let term = single(factors, Term::Had);
        if self.eat(r"\otimes") {
            let right = self.product()?;
            return Ok(Term::Kron(Box::new(term), Box::new(right)));
        }
        Ok(term)
    }

    fn product(&mut self) -> Result<Term, String> {
        let mut factors = Vec::new();
        loop {
            match self.peek() {
                Some(t) if !self.folds(t).is_empty() => {
                    factors.push(self.over()?);
                    break;
                }
                Some(r"\cdot") => {
                    self.at += 1;
                }
                Some(t) if begins(t) => factors.push(self.factor()?),
                _ => break,
            }
        }
        match factors.len() {
            0 => Err(format!(
                "expected a factor, found `{}`",
                self.peek().unwrap_or("the end")
            )),
            _ => Ok(single(factors, Term::Mul)),
        }
    }

    /// The operations over a range that this token may begin; `\max(a, b)` is a function.
    fn folds(&self, token: &str) -> Vec<Fold> {
        let begins = |f: &Fold| self.follows("_") && f.row().operator.latex() == token;
        Fold::ALL.iter().copied().filter(begins).collect()
    }

    /// `\sum_{j=1}^{T}` of a term of a sum; `\prod_{j=1}^{T}` or `\max_{1\le j\le T}` of a product.
    fn over(&mut self) -> Result<Term, String> {
        let folds = self.peek().map_or(Vec::new(), |t| self.folds(t));
        self.at += 1;
        self.expect("_")?;
        self.expect("{")?;
        let ends = self.follows("=");
        let is_this = |f: &&Fold| matches!(f.row().operator, Operator::Ends(_)) == ends;
        let fold = *folds.iter().find(is_this).ok_or("a range is missing")?;
        let (var, from, to);
        if ends {
            var = variable(self.next()?).ok_or("a variable is missing")?;
            self.expect("=")?;
            from = self.time()?;
            self.expect("}")?;
            self.expect("^")?;
            let end = self.lexicon.step(&self.braced()?);
            to = end.ok_or("the end of a range is no step")?;
        } else {
            from = self.time()?;
            self.expect(r"\le")?;
            var = variable(self.next()?).ok_or("a variable is missing")?;
            self.expect(r"\le")?;
            to = self.time()?;
            self.expect("}")?;
        }
        let body = match fold.is_linear() {
            true => self.hadamard()?,
            false => self.product()?,
        };
        Ok(Term::over(fold, Index::new(var, from, to), body))
    }

    /// A step, up to the first token that cannot belong to one.
    fn time(&mut self) -> Result<Time, String> {
        let start = self.at;
        while self
            .peek()
            .is_some_and(|t| !["}", "]", "<", "=", ",", r"\le"].contains(&t))
        {
            // Parentheses belong to the step.
            if self.next()? == "(" {
                while self.next()? != ")" {}
            }
        }
        let found = &self.tokens[start..self.at];
        self.lexicon
            .step(found)
            .ok_or_else(|| format!("`{}` is no step", found.concat()))
    }

    /// The tokens between braces.
    fn braced(&mut self) -> Result<Vec<String>, String> {
        self.expect("{")?;
        let start = self.at;
        let mut depth = 1;
        while depth > 0 {
            match self.next()? {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
        }
        Ok(self.tokens[start..self.at - 1].to_vec())
    }

    fn factor(&mut self) -> Result<Term, String> {
        let mut term = self.primary()?;
        if self.peek() == Some("_") && !matches!(term, Term::Norm(_)) {
            self.at += 1;
            let which = self.braced()?;
            let comma = which.iter().position(|t| t == ",");
            let [rows, columns] = match comma {
                Some(at) => [&which[..at], &which[at + 1..]],
                None => [&which[..], &[]],
            };
            let range = |along, tokens| span(self.lexicon, along, tokens);
            for span in match comma {
                None => [range(Along::Entries, rows)?, None],
                Some(_) => [range(Along::Rows, rows)?, range(Along::Columns, columns)?],
            } {
                term = match span {
                    Some(span) => Term::Part(span, Box::new(term)),
                    None => term,
                };
            }
        }
        while self.peek() == Some("^") {
            self.at += 1;
            let script = self.braced()?;
            term = match &*script.concat() {
                r"\top" => Term::T(Box::new(term)),
                n => match (n.parse(), self.lexicon.step(&script)) {
                    (Ok(n), _) => Term::Pow(Box::new(term), n),
                    (Err(_), Some(steps)) => Term::PowSteps(Box::new(term), steps),
                    (Err(_), None) => {
                        let exponent = parsed(self.lexicon, &script);
                        let exponent =
                            exponent.map_err(|e| format!("`{n}` is no exponent: {e}"))?;
                        Term::Call("powf".into(), vec![term, exponent])
                    }
                },
            };
        }
        Ok(term)
    }

    fn primary(&mut self) -> Result<Term, String> {
        let Some(token) = self.peek() else {
            return Err("the formula ends too early".into());
        };
        if token.starts_with(|c: char| c.is_ascii_digit()) {
            self.at += 1;
            let n: f64 = token
                .parse()
                .map_err(|_| format!("`{token}` is no number"))?;
            return Ok(if n == 0.0 { Term::Zero } else { Term::Num(n) });
        }
        match token {
            "(" => {
                self.at += 1;
                let term = self.sum()?;
                self.expect(")")?;
                Ok(term)
            }
            "[" => self.bracket(),
            r"\langle" => {
                self.at += 1;
                let a = self.sum()?;
                self.expect(",")?;
                let b = self.sum()?;
                self.expect(r"\rangle")?;
                Ok(Term::Inner(Box::new(a), Box::new(b)))
            }
            r"\lVert" => {
                self.at += 1;
                let x = self.sum()?;
                self.expect(r"\rVert")?;
                let x = Box::new(x);
                if self.eat("_") {
                    return match &*self.braced()?.concat() {
                        r"\infty" => Ok(Term::MaxNorm(x)),
                        r"\mathrm{F}" => Ok(Term::Frobenius(x)),
                        other => Err(format!("`{other}` is no norm")),
                    };
                }
                Ok(Term::Norm(x))
            }
            r"\lvert" => {
                self.at += 1;
                let x = self.sum()?;
                self.expect(r"\rvert")?;
                Ok(match self.lexicon.knows("abs") {
                    true => Term::Call("abs".into(), vec![x]),
                    // `|x|` of a scalar, `‖x‖` of others.
                    false => Term::Norm(Box::new(x)),
                })
            }
            r"\sqrt" => {
                self.at += 1;
                self.expect("{")?;
                let x = self.sum()?;
                self.expect("}")?;
                Ok(Term::Call("sqrt".into(), vec![x]))
            }
            r"\frac" => self.fraction(),
            r"\begin" => self.matrix(),
            _ => self.named(),
        }
    }

    fn bracket(&mut self) -> Result<Term, String> {
        self.expect("[")?;
        let start = self.at;
        if self.eat(r"\tau") && self.eat(r"\nmid") {
            let at = self.time()?;
            self.expect("]")?;
            return Ok(Term::Uncut(at));
        }
        self.at = start;
        // A letter that is the name of a constant value is not a step.
        let mut inside = self.tokens[start..].iter().take_while(|t| *t != "]");
        if !inside.any(|t| self.lexicon.is_constant(t) && !is_step(t))
            && let Ok(a) = self.time()
        {
            let less = self.eat("<");
            if (less || self.eat("="))
                && let Ok(b) = self.time()
            {
                self.expect("]")?;
                return Ok(if less {
                    Term::Before(a, b)
                } else {
                    Term::At(a, b)
                });
            }
        }
        self.at = start;
        let a = self.sum()?;
        let sign = self.next()?;
        let b = self.sum()?;
        self.expect("]")?;
        let [equal, select] = ["equal", "select"].map(|f| self.lexicon.knows(f));
        match (sign, b) {
            ("<", b) => Ok(Term::Call("less".into(), vec![a, b])),
            ("=", b) if equal && (b != Term::Zero || !select) => {
                Ok(Term::Call("equal".into(), vec![a, b]))
            }
            (r"\ne", Term::Zero) => {
                Ok(Term::Call("select".into(), vec![a, Term::Ones, Term::Zero]))
            }
            ("=", Term::Zero) => Ok(Term::Call("select".into(), vec![a, Term::Zero, Term::Ones])),
            _ => Err(format!("`{sign}` does not compare two values here")),
        }
    }

    fn fraction(&mut self) -> Result<Term, String> {
        self.expect(r"\frac")?;
        self.expect("{")?;
        if self.eat(r"\partial") {
            let plus = self.plus()?;
            let of = self.scripted()?;
            self.expect("}")?;
            self.expect("{")?;
            self.expect(r"\partial")?;
            let by = self.scripted()?;
            self.expect("}")?;
            return self.lexicon.quantity(Head::Partial { plus }, &[of, by]);
        }
        let a = self.sum()?;
        self.expect("}")?;
        self.expect("{")?;
        let b = self.sum()?;
        self.expect("}")?;
        Ok(match (&a, &b) {
            (Term::Num(a), Term::Num(b)) => Term::Num(a / b),
            _ => Term::Div(Box::new(a), Box::new(b)),
        })
    }

    /// Reads the `+` of `d⁺` and `∂⁺`.
    fn plus(&mut self) -> Result<bool, String> {
        let plus = self.eat("^");
        match plus && self.braced()?.concat() != "+" {
            true => Err("a differential to some power".into()),
            false => Ok(plus),
        }
    }

    fn matrix(&mut self) -> Result<Term, String> {
        self.expect(r"\begin")?;
        self.braced()?;
        let mut rows = vec![Vec::new()];
        loop {
            if self.eat("{") {
                self.expect("}")?;
            }
            let cell = self.sum()?;
            if let Some(row) = rows.last_mut() {
                row.push(cell);
            }
            match self.next()? {
                "&" => {}
                r"\\" => rows.push(Vec::new()),
                r"\end" => break,
                other => return Err(format!("`{other}` in a matrix")),
            }
        }
        self.braced()?;
        Ok(Term::Matrix(rows))
    }

    /// A letter or a word with its scripts; a `\top` in the superscript is left to the caller.
    fn scripted(&mut self) -> Result<Scripted, String> {
        let mut base = self.next()?.to_owned();
        if matches!(
            &*base,
            r"\mathit" | r"\mathbf" | r"\mathrm" | r"\operatorname" | r"\hat" | r"\tilde"
        ) {
            base = format!("{base}{{{}}}", self.braced()?.concat());
        }
        let (mut sub, mut sup) = (None, None);
        loop {
            let start = self.at;
            if sub.is_none() && self.eat("_") {
                let script = self.braced()?;
                // A span in the script is not part of the name.
                if script.iter().any(|t| t == ":") {
                    self.at = start;
                    break;
                }
                sub = Some(script);
            } else if sup.is_none() && self.eat("^") {
                let script = self.braced()?;
                let exponent = script.concat();
                let lexicon = self.lexicon;
                if exponent == r"\top"
                    || lexicon.is_letter(&base) && !lexicon.is_labelled(&base, &exponent)
                    || lexicon.is_value(&base, &sub) && is_number(&exponent)
                {
                    self.at = start;
                    break;
                }
                sup = Some(script);
            } else {
                break;
            }
        }
        Ok(Scripted { base, sub, sup })
    }

    fn named(&mut self) -> Result<Term, String> {
        let start = self.at;
        if self.peek() == Some(r"\mathrm") && self.tokens.get(self.at + 2).is_some_and(|t| t == "d")
        {
            self.at += 4;
            if self.eat("(") {
                let inner = self.sum()?;
                self.expect(")")?;
                return Ok(Term::DOf(Box::new(inner)));
            }
            let plus = self.plus()?;
            let of = self.scripted()?;
            return self.lexicon.quantity(Head::Differential { plus }, &[of]);
        }
        let head = self.scripted()?;
        let text: String = self.tokens[start..self.at].concat();
        if self.peek() == Some("(") {
            let least = format!(r"{}_{{\min}}", self.lexicon.least);
            let function = match &*text {
                r"\operatorname{diag}" => Some("diag".into()),
                text if text == least => Some("least".into()),
                text => self.lexicon.functions.get(text).cloned(),
            };
            if let Some(function) = function {
                self.at += 1;
                let mut args = vec![self.sum()?];
                while self.eat(",") {
                    args.push(self.sum()?);
                }
                self.expect(")")?;
                return Ok(match (&*function, &args[..]) {
                    ("diag", [x]) => Term::Diag(Box::new(x.clone())),
                    ("least", [x]) => Term::Least(Box::new(x.clone())),
                    _ => Term::Call(function, args),
                });
            }
        }
        if head.base == r"\mathbf{e}" {
            let class = head.sub.ok_or("a unit vector without a class")?;
            return Ok(Term::OneHot(Box::new(parsed(self.lexicon, &class)?)));
        }
        if let (r"\mathbf{I}", Some(size)) = (&*head.base, &head.sub) {
            return Ok(Term::EyeOf(Box::new(parsed(self.lexicon, size)?)));
        }
        self.lexicon.symbol(head)
    }
}

/// The entries, rows or columns `a:b`; all of them for `:`.
fn span(lexicon: &Lexicon, along: Along, tokens: &[String]) -> Result<Option<Span>, String> {
    if along != Along::Entries && tokens.concat() == ":" {
        return Ok(None);
    }
    let colon = tokens.iter().position(|t| t == ":");
    let colon = colon.ok_or_else(|| format!("`{}` is no range", tokens.concat()))?;
    let end = |tokens| Ok::<_, String>(Box::new(parsed(lexicon, tokens)?));
    Ok(Some(Span {
        along,
        first: end(&tokens[..colon])?,
        last: end(&tokens[colon + 1..])?,
    }))
}

fn single(mut parts: Vec<Term>, many: impl Fn(Vec<Term>) -> Term) -> Term {
    match parts.len() {
        1 => parts.remove(0),
        _ => many(parts),
    }
}
