//! Prints terms as formulas. Precedence, parentheses and signs are decided only here.

use crate::derive::algebra::fold::{Bare, Fold, Operator};
use crate::derive::algebra::quantity::{Glyph, Head, Letter, Look, Quantity, Stem, Symbol};
use std::borrow::Cow;
use std::ops::Deref;

use super::symbols::{Symbols, is_capital_t};
use crate::derive::algebra::term::{Along, Base, Index, Name, Span, Term, Time};
use crate::render::{Accent, Charset, Dialect, Fence, Math, Sign};

/// The precedence level of a formula.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Sum,
    Hadamard,
    Product,
    Atom,
}

/// The state of printing: the symbols, and the marked parts.
struct Page<'s> {
    symbols: &'s Symbols,
    class: &'s str,
    marked: &'s [&'s Term],
}

impl Deref for Page<'_> {
    type Target = Symbols;

    fn deref(&self) -> &Symbols {
        self.symbols
    }
}

impl Symbols {
    /// A term as a formula.
    #[must_use]
    pub fn show(&self, term: &Term) -> Math {
        self.show_marked(term, "", &[])
    }

    /// A term as a formula in which the given parts have a class. Parts are identified by address: other, equal parts
    /// are not marked.
    #[must_use]
    pub fn show_marked(&self, term: &Term, class: &str, marked: &[&Term]) -> Math {
        let page = Page {
            symbols: self,
            class,
            marked,
        };
        page.show(term)
    }

    /// A step as a formula.
    #[must_use]
    pub fn time(&self, time: &Time) -> Math {
        let base = match time.base {
            Base::Zero if time.offset < 0 => {
                return Math::row([Math::Sign(Sign::Minus), Math::number(-time.offset)]);
            }
            Base::Zero => return Math::number(time.offset),
            Base::Var(v) => variable(v),
            Base::Minus(a, b) => Math::relation(variable(a), Sign::Minus, variable(b)),
            Base::Lots(a, b, many) => {
                let steps = Math::relation(variable(a), Sign::Minus, variable(b)).paren();
                Math::relation(steps, Sign::Slash, Math::number(many)).fenced(Fence::Ceil)
            }
            Base::LastMinus(v) => Math::relation(
                Math::ident(self.letter(Letter::Length)),
                Sign::Minus,
                variable(v),
            ),
            Base::Window(t, width) => {
                let first = Math::row([
                    variable(t),
                    Math::Sign(Sign::Minus),
                    variable(width),
                    Math::Sign(Sign::Plus),
                    Math::number(1),
                ]);
                Math::call(Math::upright("max"), [Math::number(1), first])
            }
            Base::ChunkEnd(v) => Math::call(Math::ident("e"), [variable(v)]),
            Base::Last => Math::ident(self.letter(Letter::Length)),
        };
        match time.offset {
            0 => base,
            n if n > 0 => Math::row([base, Math::Sign(Sign::Plus), Math::number(n)]),
            n => Math::row([base, Math::Sign(Sign::Minus), Math::number(-n)]),
        }
    }
}

impl Page<'_> {
    fn show(&self, term: &Term) -> Math {
        self.at_level(term, Level::Sum)
    }

    fn is_marked(&self, term: &Term) -> bool {
        self.marked.iter().any(|m| std::ptr::eq(*m, term))
    }

    fn has_marks(&self, term: &Term) -> bool {
        !self.marked.is_empty() && term.any(&|x| self.is_marked(x))
    }

    fn mark(&self, math: Math) -> Math {
        Math::Marked(self.class.into(), Box::new(math))
    }

    fn at_level(&self, term: &Term, level: Level) -> Math {
        let (math, own) = self.formula(term);
        if own < level { math.paren() } else { math }
    }

    fn formula(&self, term: &Term) -> (Math, Level) {
        let (math, level) = self.unmarked(term);
        match self.is_marked(term) {
            true => (self.mark(math), level),
            false => (math, level),
        }
    }

    fn unmarked(&self, term: &Term) -> (Math, Level) {
        let atom = |m: Math| (m, Level::Atom);
        match term {
            Term::Num(n) => number(*n),
            Term::Ones => atom(Math::Bold("1".into())),
            Term::Eye => atom(Math::Bold("I".into())),
            Term::EyeOf(size) => atom(Math::Bold("I".into()).with_sub(self.show(size))),
            Term::Part(span, x) => {
                let range = |span: &Span| {
                    let ends = [&span.first, &span.last].map(|i| self.show(i));
                    Math::joined(ends, Sign::Colon)
                };
                let (own, all) = (range(span), Math::Sign(Sign::Colon));
                let (x, which) = match (span.along, &**x) {
                    // Columns of a block of rows: both ranges in one subscript.
                    (Along::Columns, Term::Part(rows, x)) if rows.along == Along::Rows => {
                        (x, Math::list([range(rows), own]))
                    }
                    (Along::Entries, _) => (x, own),
                    (Along::Rows, _) => (x, Math::list([own, all])),
                    (Along::Columns, _) => (x, Math::list([all, own])),
                };
                let (of, level) = self.formula(x);
                match (&of, level) {
                    (Math::Ident(_), Level::Atom) => atom(of.with_sub(which)),
                    _ => atom(of.paren().with_sub(which)),
                }
            }
            Term::Zero => atom(Math::number(0)),
            Term::Size(name, _) => atom(Math::ident(name)),
            Term::Symbol(symbol) => atom(self.symbol(symbol)),
            Term::DOf(x) => {
                let x = self.show(x).paren();
                atom(Math::row([Math::Sign(Sign::Differential), x]))
            }
            Term::Neg(x) => {
                let x = self.addend(x);
                (Math::row([Math::Sign(Sign::Minus), x]), Level::Sum)
            }
            Term::Add(parts) => (self.sum(parts), Level::Sum),
            Term::Had(parts) => {
                // A sum at the end of a factor would extend over the factors after it.
                let factors = parts.iter().enumerate().map(|(i, part)| match part {
                    Term::Mul(of) if i + 1 < parts.len() && ends_in_sum(of) => {
                        self.show(part).paren()
                    }
                    part => self.at_level(part, Level::Product),
                });
                (Math::joined(factors, Sign::Hadamard), Level::Hadamard)
            }
            Term::Div(..) | Term::Mul(_) => {
                let factors = match term {
                    Term::Mul(parts) => parts,
                    whole => std::slice::from_ref(whole),
                };
                let factors = self.gathered(factors, |x| self.has_marks(x));
                match &factors[..] {
                    [] => atom(Math::number(1)),
                    [one] => match &**one {
                        Term::Div(a, b) => atom(Math::frac(self.show(a), self.show(b))),
                        one => self.formula(one),
                    },
                    factors => (self.product(factors), Level::Product),
                }
            }
            Term::T(x) => atom(self.raised(x, Math::Sign(Sign::Top))),
            Term::Pow(x, n) => atom(self.raised(x, Math::number(n))),
            Term::Inner(a, b) => {
                let both = Math::list([self.show(a), self.show(b)]);
                atom(both.fenced(Fence::Angle))
            }
            Term::Diag(v) => atom(Math::call(Math::upright("diag"), [self.show(v)])),
            Term::PowSteps(x, n) => atom(self.raised(x, self.time(n))),
            Term::Steps(n) => match (&n.base, n.offset) {
                (Base::Zero | Base::Last | Base::Var(_), 0) => atom(self.time(n)),
                _ => (self.time(n), Level::Sum),
            },
            Term::Norm(x) if self.is_number(x) => atom(self.show(x).fenced(Fence::Abs)),
            Term::Norm(x) => atom(self.show(x).fenced(Fence::Norm)),
            Term::MaxNorm(x) => {
                let norm = self.show(x).fenced(Fence::Norm);
                atom(norm.with_sub(Math::Sign(Sign::Infinity)))
            }
            Term::Frobenius(x) => {
                let norm = self.show(x).fenced(Fence::Norm);
                atom(norm.with_sub(Math::upright("F")))
            }
            Term::Least(x) => {
                let least = Math::ident(self.singular).with_sub(Math::upright("min"));
                atom(Math::call(least, [self.show(x)]))
            }
            Term::Kron(a, b) => {
                let (a, b) = (
                    self.at_level(a, Level::Product),
                    self.at_level(b, Level::Product),
                );
                (Math::relation(a, Sign::Kronecker, b), Level::Hadamard)
            }
            Term::OneHot(class) => atom(Math::Bold("e".into()).with_sub(self.show(class))),
            Term::Call(name, args) => atom(match term.indicator() {
                Some((of, zero)) => {
                    let sign = if zero { Sign::Equal } else { Sign::NotEqual };
                    let zero = Math::number(0);
                    Math::relation(self.show(of), sign, zero).fenced(Fence::Bracket)
                }
                None => self.call(name, args),
            }),
            Term::Before(a, b) => {
                atom(Math::relation(self.time(a), Sign::Less, self.time(b)).fenced(Fence::Bracket))
            }
            Term::At(a, b) => {
                atom(Math::relation(self.time(a), Sign::Equal, self.time(b)).fenced(Fence::Bracket))
            }
            Term::Uncut(at) => {
                let divides = Math::relation(variable('τ'), Sign::NotDivides, self.time(at));
                atom(divides.fenced(Fence::Bracket))
            }
            Term::Over(fold, index, body) => (self.over(*fold, index, body), Level::Sum),
            Term::Matrix(rows) => atom(Math::Matrix(
                rows.iter()
                    .map(|row| row.iter().map(|c| self.show(c)).collect())
                    .collect(),
            )),
        }
    }

    fn sum(&self, parts: &[Term]) -> Math {
        let mut row = Vec::new();
        let parts = self.beside_numbers(parts);
        for (i, part) in parts.iter().enumerate() {
            match &**part {
                Term::Neg(x) => {
                    let signed = Math::row([Math::Sign(Sign::Minus), self.addend(x)]);
                    match self.is_marked(part) {
                        true => row.push(self.mark(signed)),
                        false => row.push(signed),
                    }
                }
                part => {
                    if i > 0 {
                        row.push(Math::Sign(Sign::Plus));
                    }
                    row.push(self.addend(part));
                }
            }
        }
        Math::row(row)
    }

    /// A term of a sum. A sum with a range extends to the next sign, so it needs no parentheses.
    fn addend(&self, part: &Term) -> Math {
        match part {
            Term::Over(fold, ..) if fold.row().bare == Bare::Both => self.show(part),
            part => self.at_level(part, Level::Hadamard),
        }
    }

    fn product(&self, parts: &[Cow<'_, Term>]) -> Math {
        let mut row: Vec<Math> = Vec::new();
        for (i, part) in parts.iter().enumerate() {
            let part = &**part;
            let before = i.checked_sub(1).map(|i| &*parts[i]);
            let d = Head::Differential { plus: false };
            let differential = match before {
                Some(Term::Symbol(symbol)) => symbol.quantity.row().look.head == d,
                before => matches!(before, Some(Term::DOf(_))),
            };
            if differential {
                row.push(Math::Sign(Sign::Thin));
            }
            if matches!((before, part), (Some(Term::Num(_)), Term::Num(_))) {
                row.push(Math::Sign(Sign::Cdot));
            }
            let last = i + 1 == parts.len();
            row.push(match part {
                // A sum with a range at the end of a product needs no parentheses.
                Term::Over(fold, ..) if last && fold.row().bare != Bare::Never => self.show(part),
                part => self.at_level(part, Level::Product),
            });
        }
        Math::row(row)
    }

    fn symbol(&self, symbol: &Symbol<Time>) -> Math {
        let Look { head, glyphs } = symbol.quantity.row().look;
        let (mut names, mut steps) = (symbol.names.iter(), symbol.steps.iter());
        let signed = |sign: Sign, plus: bool, glyph: Math| {
            let plus = plus.then_some(Math::Sign(Sign::Plus));
            let sign = plus.into_iter().fold(Math::Sign(sign), Math::with_sup);
            Math::row([sign, glyph])
        };
        let mut glyphs = glyphs
            .iter()
            .map(|g| self.glyph(*g, &mut names, &mut steps));
        let (of, by) = (glyphs.next(), glyphs.next());
        let of = of.unwrap_or(Math::Row(Vec::new()));
        match (head, by) {
            (Head::Partial { plus }, Some(by)) => {
                let above = signed(Sign::Partial, plus, of);
                Math::frac(above, signed(Sign::Partial, false, by))
            }
            (Head::Differential { plus }, _) => signed(Sign::Differential, plus, of),
            _ => of,
        }
    }

    fn glyph<'n>(
        &self,
        glyph: Glyph,
        names: &mut impl Iterator<Item = &'n Name>,
        steps: &mut impl Iterator<Item = &'n Time>,
    ) -> Math {
        let at = if glyph.stepped { steps.next() } else { None };
        let at = at.map(|at| self.time(at));
        let mut name = || names.next().map_or("", |name| &**name);
        let base = match glyph.stem {
            Stem::Value => return self.value(name(), at),
            Stem::Abbreviation => self.base(glyph, name()),
            Stem::Letter(_) => self.base(glyph, ""),
        };
        let above: Vec<Math> = names
            .take(glyph.above)
            .map(|name| self.small(name))
            .collect();
        let base = match above.iter().all(is_letter) {
            _ if above.is_empty() => base,
            true => base.with_sup(Math::row(above)),
            false => base.with_sup(Math::list(above)),
        };
        match at {
            Some(at) => base.with_sub(at),
            None => base,
        }
    }

    fn over(&self, fold: Fold, index: &Index, body: &Term) -> Math {
        let (from, to) = (self.time(&index.from), self.time(&index.to));
        let var = variable(index.var);
        let body = match body {
            Term::Over(inner, ..) if fold.is_linear() && *inner == fold => self.show(body),
            body if fold.is_linear() => self.at_level(body, Level::Hadamard),
            body => self.at_level(body, Level::Product),
        };
        let below = |from, var, to| Math::joined([from, var, to], Sign::LessEqual);
        match fold.row().operator {
            Operator::Ends(big) => {
                let start = Math::relation(var, Sign::Equal, from);
                Math::big(big, start, to, body)
            }
            Operator::Below(big) => Math::big(big, below(from, var, to), Math::row([]), body),
            Operator::Word(word) => {
                let head = Math::upright(word).with_sub(below(from, var, to));
                Math::row([head, body])
            }
        }
    }

    /// A base with `⊤` or an exponent; a base that already has a superscript is put in parentheses.
    fn raised(&self, x: &Term, exponent: Math) -> Math {
        let (math, level) = self.formula(x);
        let shown = match &math {
            Math::Marked(_, inner) => inner,
            math => math,
        };
        let bare = match shown {
            Math::Script { sup, .. } => sup.is_none(),
            Math::Ident(_)
            | Math::Bold(_)
            | Math::Fence(..)
            | Math::Matrix(_)
            | Math::Accent(..) => true,
            _ => false,
        };
        if bare && level == Level::Atom {
            math.with_sup(exponent)
        } else {
            math.paren().with_sup(exponent)
        }
    }

    /// Returns true if an exponent looks like a number of steps.
    fn like_steps(&self, exponent: &Term) -> bool {
        let look = |name: &str| self.value(name, None).latex(Dialect::Plain);
        exponent.any(&|x| match x {
            Term::Symbol(symbol) => match (symbol.quantity, &symbol.steps[..]) {
                (Quantity::Value, []) => is_step(&look(&symbol.names[0])),
                (quantity, _) => quantity == Quantity::Length,
            },
            Term::Steps(_) => true,
            _ => false,
        })
    }

    fn call(&self, name: &str, args: &[Term]) -> Math {
        if let ("powf", [x, exponent]) = (name, args)
            && !self.like_steps(exponent)
        {
            let exponent = match self.show(exponent) {
                math if is_capital_t(&math) => math.paren(),
                math => math,
            };
            return self.show(x).paren().with_sup(exponent);
        }
        let shown: Vec<Math> = args.iter().map(|a| self.show(a)).collect();
        match (name, &shown[..]) {
            ("sigmoid", _) if self.sigmoid == "sigma" => Math::call(Math::ident("sigma"), shown),
            ("sqrt", [x]) => Math::Root(Box::new(x.clone())),
            ("abs", [x]) => x.clone().fenced(Fence::Abs),
            ("less" | "equal", [a, b]) => {
                let sign = if name == "less" {
                    Sign::Less
                } else {
                    Sign::Equal
                };
                Math::relation(a.clone(), sign, b.clone()).fenced(Fence::Bracket)
            }
            _ => {
                let word = match name.split_once(':') {
                    None => Math::upright(name),
                    Some((word, settings)) => Math::upright(word)
                        .with_sub(Math::list(settings.split(',').map(Math::ident))),
                };
                Math::call(word, shown)
            }
        }
    }
}

impl Symbols {
    /// The letter of a glyph, with its accent; `name` is that of an abbreviation.
    pub(super) fn base(&self, glyph: Glyph, name: &str) -> Math {
        let base = match glyph.stem {
            Stem::Letter(own) => Math::ident(self.letter(own)),
            _ => letter(name),
        };
        match glyph.accent {
            Some(accent) => Math::Accent(accent, Box::new(base)),
            None => base,
        }
    }
}

/// Returns true for a single character: two of these next to each other are read as a product.
fn is_letter(name: &Math) -> bool {
    name.text(Charset::Unicode).chars().count() == 1
}

/// A letter of the derivation; letters of the backward chain have a tilde.
pub(crate) fn letter(name: &str) -> Math {
    match name.strip_suffix('~') {
        Some(name) => Math::Accent(Accent::Tilde, Box::new(Math::ident(name))),
        None => Math::ident(name),
    }
}

/// Returns true if the letter is a step variable in some line.
pub(super) fn is_step(latex: &str) -> bool {
    matches!(latex, "t" | "k" | "j" | "s" | r"\tau")
}

/// A step variable.
pub(crate) fn variable(var: char) -> Math {
    match var {
        'τ' => Math::ident("tau"),
        var => Math::ident(&var.to_string()),
    }
}

/// The maximum number of characters of a number in decimals.
const LONGEST: usize = 8;

/// A number: an integer, a fraction with a small denominator, a reciprocal, or decimals.
fn number(n: f64) -> (Math, Level) {
    if n < 0.0 {
        let (positive, _) = number(-n);
        return (Math::row([Math::Sign(Sign::Minus), positive]), Level::Sum);
    }
    // Tenths and fifths are as short in decimals.
    for denominator in [2, 3, 4, 6, 7, 8, 9, 11, 12_u32] {
        let numerator = n * f64::from(denominator);
        if n.fract() != 0.0 && numerator.fract() == 0.0 && numerator < 100.0 {
            let fraction = Math::frac(Math::number(numerator), Math::number(denominator));
            return (fraction, Level::Atom);
        }
    }
    // A reciprocal with many decimals.
    let whole = n.recip().round();
    if n.to_string().len() > LONGEST && whole <= 1000.0 && whole.recip() == n {
        let fraction = Math::frac(Math::number(1), Math::number(whole));
        return (fraction, Level::Atom);
    }
    (Math::number(n), Level::Atom)
}

/// Returns true if a product is printed with a sum without parentheses at its end.
fn ends_in_sum(factors: &[Term]) -> bool {
    matches!(factors.last(), Some(Term::Over(fold, ..)) if fold.row().bare != Bare::Never)
}
