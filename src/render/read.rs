//! The reader of formulas in LaTeX, for the subset in which rules are stated.

use super::pres::{Accent, Big, Fence, Math, Sign, greek};

impl Math {
    /// Reads a formula. Writing the result gives the same LaTeX.
    ///
    /// ```
    /// use bptt::render::{Dialect, Math};
    /// let formula = Math::read(r"\lVert AB\rVert \le \frac{1}{4}").map(|f| f.latex(Dialect::Plain));
    /// assert_eq!(formula.as_deref(), Ok(r"\lVert AB\rVert \le \frac{1}{4}"));
    /// ```
    ///
    /// # Errors
    /// The part that is not understood, as a message.
    pub fn read(latex: &str) -> Result<Self, String> {
        let mut reader = Reader {
            rest: latex.trim_start(),
        };
        let formula = reader.row(&[])?;
        match reader.rest {
            "" => Ok(formula),
            rest => Err(format!("`{rest}` is left over")),
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> &'a str {
        let rest = self.rest;
        let length = match rest.chars().next() {
            None => 0,
            Some(':') if rest.starts_with(":=") => 2,
            Some('\\') => {
                let word = rest[1..].find(|c: char| !c.is_ascii_alphabetic());
                match word.unwrap_or(rest.len() - 1) {
                    0 => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
                    n => n + 1,
                }
            }
            Some(c) if c.is_ascii_digit() => rest
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len()),
            Some(c) => c.len_utf8(),
        };
        &rest[..length]
    }

    fn next(&mut self) -> &'a str {
        let token = self.peek();
        self.rest = self.rest[token.len()..].trim_start();
        token
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        match self.next() {
            found if found == token => Ok(()),
            found => Err(format!("expected `{token}`, found `{found}`")),
        }
    }

    /// Reads a sequence of parts up to one of the tokens `ends`, which is not consumed.
    fn row(&mut self, ends: &[&str]) -> Result<Math, String> {
        let mut parts = Vec::new();
        while !self.rest.is_empty() && !ends.contains(&self.peek()) {
            let mut part = self.part()?;
            while let mark @ ("_" | "^" | "'") = self.peek() {
                self.next();
                part = match mark {
                    "_" => part.with_sub(self.braced()?),
                    "^" => part.with_sup(self.braced()?),
                    _ => part.with_sup(Math::Sign(Sign::Prime)),
                };
            }
            parts.push(part);
        }
        Ok(Math::row(parts))
    }

    fn braced(&mut self) -> Result<Math, String> {
        self.expect("{")?;
        let inner = self.row(&["}"])?;
        self.expect("}")?;
        Ok(inner)
    }

    /// Reads the letters between braces.
    fn word(&mut self) -> Result<String, String> {
        self.expect("{")?;
        let end = self.rest.find('}').ok_or("a brace is not closed")?;
        let word = self.rest[..end].to_owned();
        self.rest = self.rest[end + 1..].trim_start();
        Ok(word)
    }

    fn fenced(&mut self, fence: Fence, close: &str) -> Result<Math, String> {
        let inner = self.row(&[close, r"\right"])?;
        if self.peek() == r"\right" {
            self.next();
        }
        self.expect(close)?;
        Ok(inner.fenced(fence))
    }

    fn part(&mut self) -> Result<Math, String> {
        let token = self.next();
        if token == r"\left" {
            return self.part();
        }
        Ok(match token {
            "(" => self.fenced(Fence::Paren, ")")?,
            "[" => self.fenced(Fence::Bracket, "]")?,
            r"\langle" => self.fenced(Fence::Angle, r"\rangle")?,
            r"\lVert" => self.fenced(Fence::Norm, r"\rVert")?,
            r"\lvert" => self.fenced(Fence::Abs, r"\rvert")?,
            r"\lceil" => self.fenced(Fence::Ceil, r"\rceil")?,
            r"\frac" => Math::frac(self.braced()?, self.braced()?),
            r"\sqrt" => Math::Root(Box::new(self.braced()?)),
            r"\hat" => Math::Accent(Accent::Hat, Box::new(self.braced()?)),
            r"\mathrm" => match self.word()? {
                d if d == "d" => Math::Sign(Sign::Differential),
                word => Math::upright(&word),
            },
            r"\mathbf" => Math::Bold(self.word()?),
            r"\operatorname" => Math::upright(&self.word()?),
            r"\sum" | r"\prod" => self.big(token)?,
            token => self.simple(token)?,
        })
    }

    /// Reads a sum or a product; it may have a lower bound only.
    fn big(&mut self, token: &str) -> Result<Math, String> {
        let big = if token == r"\sum" {
            Big::Sum
        } else {
            Big::Product
        };
        self.expect("_")?;
        let from = self.braced()?;
        let to = match self.peek() {
            "^" => {
                self.next();
                self.braced()?
            }
            _ => Math::Row(Vec::new()),
        };
        Ok(Math::Big {
            big,
            from: Box::new(from),
            to: Box::new(to),
        })
    }

    fn simple(&self, token: &str) -> Result<Math, String> {
        const SIGNS: &[(&str, Sign)] = &[
            ("+", Sign::Plus),
            ("-", Sign::Minus),
            ("=", Sign::Equal),
            (":=", Sign::Defined),
            ("<", Sign::Less),
            (">", Sign::Greater),
            (",", Sign::Comma),
            (";", Sign::Semicolon),
            (r"\le", Sign::LessEqual),
            (r"\ge", Sign::GreaterEqual),
            (r"\odot", Sign::Hadamard),
            (r"\otimes", Sign::Kronecker),
            (r"\cdot", Sign::Cdot),
            (r"\cdots", Sign::Dots),
            (r"\partial", Sign::Partial),
            (r"\nabla", Sign::Nabla),
            (r"\top", Sign::Top),
            (r"\to", Sign::To),
            (r"\Rightarrow", Sign::Implies),
            (r"\Leftrightarrow", Sign::Equivalent),
            (r"\,", Sign::Thin),
            (r"\;", Sign::Space),
        ];
        if let Some((_, sign)) = SIGNS.iter().find(|(t, _)| *t == token) {
            return Ok(Math::Sign(*sign));
        }
        if let Some(name) = token.strip_prefix('\\') {
            return match name {
                "tanh" | "max" | "min" | "ln" => Ok(Math::upright(name)),
                name if greek(name).is_some() => Ok(Math::ident(name)),
                _ => Err(format!("`{token}` is not understood")),
            };
        }
        match token.chars().next() {
            Some(c) if c.is_ascii_digit() => Ok(Math::number(token)),
            Some(c) if c.is_alphabetic() => Ok(Math::ident(token)),
            _ => Err(format!("`{token}` is not understood")),
        }
    }
}
