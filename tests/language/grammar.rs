//! The grammar is parsed from `docs/language.md`: texts generated from it are accepted by the parser, and texts
//! of the library and of the page conform to it.

use std::collections::{BTreeSet, HashMap};

use crate::support::Noise;
use crate::support::library::{folder, library, parse};
use bptt::Recurrence;

/// The right-hand side of a rule.
#[derive(Clone, Debug)]
enum Form {
    /// A token.
    Text(String),
    Rule(String),
    Row(Vec<Self>),
    Choice(Vec<Self>),
    /// `[ … ]`
    Maybe(Box<Self>),
    /// `{ … }`
    Many(Box<Self>),
}

type Grammar = HashMap<String, Form>;

/// Lexical rules, whose right-hand sides are words.
const LEXICAL: [&str; 5] = ["name", "part", "number", "newline", "comment"];

fn page() -> String {
    std::fs::read_to_string(folder("docs/language.md")).unwrap()
}

fn grammar() -> Grammar {
    let page = page();
    let block = page.split("## Grammar\n\n```text\n").nth(1).unwrap();
    let block = format!("\n{}", block.split("```").next().unwrap());
    let mut rules = Grammar::new();
    for rule in block.split(" ;") {
        // A remark in parentheses may follow a rule, up to the end of its line.
        let rule = rule.trim_start_matches(|c| c != '\n').trim();
        let Some((name, form)) = rule.split_once('=') else {
            continue;
        };
        if !LEXICAL.contains(&name.trim()) {
            let mut symbols = symbols(form);
            symbols.reverse();
            let form = choice(&mut symbols);
            assert!(symbols.is_empty(), "{rule}: {symbols:?}");
            rules.insert(name.trim().into(), form);
        }
    }
    rules
}

/// The words, quoted tokens and symbols of a rule.
fn symbols(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let len = match first {
            '"' => rest[1..].find('"').unwrap() + 2,
            c if c.is_alphabetic() => rest
                .find(|c: char| !c.is_alphabetic())
                .unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        found.push(rest[..len].to_owned());
        rest = rest[len..].trim_start();
    }
    found
}

/// Parses alternatives; the next symbol is the last of the list.
fn choice(symbols: &mut Vec<String>) -> Form {
    let mut forms = vec![row(symbols)];
    while symbols.last().is_some_and(|s| s == "|") {
        symbols.pop();
        forms.push(row(symbols));
    }
    Form::Choice(forms)
}

fn row(symbols: &mut Vec<String>) -> Form {
    let mut forms = Vec::new();
    while let Some(symbol) = symbols.pop() {
        let mut inner = |close: &str| {
            let form = choice(symbols);
            assert_eq!(
                symbols.pop().as_deref(),
                Some(close),
                "what opens is closed"
            );
            form
        };
        forms.push(match &*symbol {
            "(" => inner(")"),
            "[" => Form::Maybe(Box::new(inner("]"))),
            "{" => Form::Many(Box::new(inner("}"))),
            "|" | ")" | "]" | "}" => {
                symbols.push(symbol);
                break;
            }
            quoted if quoted.starts_with('"') => Form::Text(quoted.trim_matches('"').into()),
            word => Form::Rule(word.into()),
        });
    }
    Form::Row(forms)
}

/// Generates random texts of the grammar.
struct Writer<'g> {
    grammar: &'g Grammar,
    noise: Noise,
    text: String,
}

impl Writer<'_> {
    fn pick(&mut self, count: usize) -> usize {
        usize::try_from(self.noise.bits() % count as u64).unwrap()
    }

    /// The least depth of rules in a form.
    fn height(&self, form: &Form, limit: usize) -> usize {
        match form {
            Form::Text(_) | Form::Maybe(_) | Form::Many(_) => 0,
            Form::Row(forms) => forms
                .iter()
                .map(|f| self.height(f, limit))
                .max()
                .unwrap_or(0),
            Form::Choice(forms) => forms.iter().map(|f| self.height(f, limit)).min().unwrap(),
            Form::Rule(_) if limit == 0 => 100,
            Form::Rule(name) => match self.grammar.get(name) {
                Some(form) => 1 + self.height(form, limit - 1),
                None => 0,
            },
        }
    }

    fn write(&mut self, form: &Form, depth: usize) {
        const DEEPEST: usize = 14;
        match form {
            Form::Text(text) => self.text += &format!("{text} "),
            Form::Rule(name) if name == "newline" => self.text.push('\n'),
            Form::Rule(name) if name == "name" => {
                let names = ["a", "b_1", "H", "θ", "x.dot", "rows", "state", "h"];
                let name = names[self.pick(names.len())];
                self.text += &format!("{name} ");
            }
            Form::Rule(name) if name == "number" => {
                let numbers = ["0", "1", "2.5", "1e-3", "3.25E+2"];
                let number = numbers[self.pick(numbers.len())];
                self.text += &format!("{number} ");
            }
            Form::Rule(name) => {
                let form = self
                    .grammar
                    .get(name)
                    .unwrap_or_else(|| panic!("no rule {name}"));
                self.write(&form.clone(), depth + 1);
            }
            Form::Row(forms) => forms.iter().for_each(|f| self.write(f, depth)),
            Form::Choice(forms) => {
                let least = forms.iter().map(|f| self.height(f, DEEPEST)).min().unwrap();
                let low = |f: &&Form| depth < DEEPEST || self.height(f, DEEPEST) == least;
                let forms: Vec<&Form> = forms.iter().filter(low).collect();
                let form = forms[self.pick(forms.len())];
                self.write(form, depth);
            }
            Form::Maybe(form) => {
                if depth < DEEPEST && self.pick(3) == 0 {
                    self.write(form, depth);
                }
            }
            Form::Many(form) => {
                let count = if depth < DEEPEST {
                    [0, 0, 0, 1, 2][self.pick(5)]
                } else {
                    0
                };
                (0..count).for_each(|_| self.write(form, depth));
            }
        }
    }
}

/// The syntax errors in a text, without errors of meaning.
fn syntax_errors(source: &str) -> Vec<String> {
    let Err(found) = Recurrence::parse("grammar.rec", source) else {
        return Vec::new();
    };
    let messages = found.iter().map(|d| d.message().to_owned());
    let syntax = |m: &String| {
        (m.starts_with("expected ") && m.contains(", found "))
            || m.starts_with("unknown statement")
            || [
                "is given a value",
                "comparisons do not chain",
                "is not a number",
                "not part of the language",
            ]
            .iter()
            .any(|s| m.ends_with(s))
    };
    messages.filter(syntax).collect()
}

#[test]
fn what_the_grammar_allows_is_read() {
    let grammar = grammar();
    let mut written = BTreeSet::new();
    for seed in 0..4000 {
        let mut writer = Writer {
            grammar: &grammar,
            noise: Noise(seed),
            text: String::new(),
        };
        writer.write(&grammar["statement"], 0);
        let text = writer.text;
        // `state = 1` is an equation, `state a = 1` is not.
        let words: Vec<&str> = text.split_whitespace().collect();
        if words.starts_with(&["state", "'"]) || words.starts_with(&["state", "="]) {
            continue;
        }
        let errors = syntax_errors(&text);
        assert!(errors.is_empty(), "{errors:?}\n{text}");
        written.extend(words.first().map(|w| (*w).to_owned()));
    }
    for keyword in [
        "dim",
        "sample",
        "input",
        "param",
        "backward",
        "state",
        "output",
        "mean",
        "fn",
        "tangent",
        "cotangent",
    ] {
        assert!(written.contains(keyword), "{keyword} was written");
    }
}

/// The tokens of a text, spelled as in the grammar; `None` if the lexer would refuse one.
fn tokens(source: &str) -> Option<Vec<String>> {
    const SAME: &[(&str, &str)] = &[
        ("ᵀ", ".T"),
        ("⊙", "*"),
        ("·", "@"),
        ("⋅", "@"),
        ("−", "-"),
        ("′", "'"),
        ("≤", "<="),
        ("≥", ">="),
        ("≠", "!="),
    ];
    const SIGNS: &[&str] = &[
        ".T", "<=", ">=", "==", "!=", "+", "-", "*", "/", "@", "^", "<", ">", "=", "(", ")", "[",
        "]", ",", ":", "~", "'", "²", "³",
    ];
    let mut text: String = source
        .lines()
        .map(|l| format!("{}\n", l.split('#').next().unwrap()))
        .collect();
    for (paper, plain) in SAME {
        text = text.replace(paper, plain);
    }
    let (mut found, mut nesting, mut rest) = (Vec::new(), 0_usize, &*text);
    while let Some(first) = rest.chars().next() {
        let inside = |c: char| (c.is_alphanumeric() && !"²³".contains(c)) || c == '_' || c == '.';
        let len = if first.is_whitespace() {
            if first == '\n' && nesting == 0 {
                found.push("newline".into());
            }
            rest = &rest[first.len_utf8()..];
            continue;
        } else if first.is_ascii_digit() {
            let end = rest.char_indices().find(|(i, c)| {
                let sign = "+-".contains(*c) && rest[..*i].ends_with(['e', 'E']);
                !c.is_ascii_digit() && !".eE".contains(*c) && !sign
            });
            let len = end.map_or(rest.len(), |(i, _)| i);
            rest[..len].parse::<f64>().ok()?;
            len
        } else if first.is_alphabetic() || first == '_' {
            let len = rest.find(|c| !inside(c)).unwrap_or(rest.len());
            rest[..len].strip_suffix(".T").map_or(len, str::len)
        } else {
            SIGNS.iter().find(|s| rest.starts_with(**s))?.len()
        };
        match first {
            '(' | '[' => nesting += 1,
            ')' | ']' => nesting = nesting.saturating_sub(1),
            _ => {}
        }
        found.push(rest[..len].to_owned());
        rest = &rest[len..];
    }
    Some(found)
}

/// Finds the possible ends of a form that starts at a token.
struct Reader<'g> {
    grammar: &'g Grammar,
    tokens: Vec<String>,
    known: HashMap<(String, usize), BTreeSet<usize>>,
}

impl Reader<'_> {
    fn ends(&mut self, form: &Form, at: usize) -> BTreeSet<usize> {
        let token = self.tokens.get(at);
        let one = |fits: bool| fits.then_some(at + 1).into_iter().collect();
        match form {
            Form::Text(text) => one(token == Some(text)),
            Form::Rule(name) if name == "newline" => one(token.is_some_and(|t| t == "newline")),
            Form::Rule(name) if name == "name" => one(token.is_some_and(|t| {
                t != "newline" && t.starts_with(|c: char| c.is_alphabetic() || c == '_')
            })),
            Form::Rule(name) if name == "number" => {
                one(token.is_some_and(|t| t.starts_with(|c: char| c.is_ascii_digit())))
            }
            Form::Rule(name) => {
                let key = (name.clone(), at);
                if let Some(known) = self.known.get(&key) {
                    return known.clone();
                }
                let form = self
                    .grammar
                    .get(name)
                    .unwrap_or_else(|| panic!("no rule {name}"));
                let found = self.ends(form, at);
                self.known.insert(key, found.clone());
                found
            }
            Form::Row(forms) => forms.iter().fold(BTreeSet::from([at]), |starts, form| {
                starts
                    .into_iter()
                    .flat_map(|s| self.ends(form, s))
                    .collect()
            }),
            Form::Choice(forms) => forms.iter().flat_map(|f| self.ends(f, at)).collect(),
            Form::Maybe(form) => {
                let mut found = self.ends(form, at);
                found.insert(at);
                found
            }
            Form::Many(form) => {
                let (mut found, mut open) = (BTreeSet::from([at]), vec![at]);
                while let Some(start) = open.pop() {
                    let ends = self.ends(form, start);
                    open.extend(ends.into_iter().filter(|end| found.insert(*end)));
                }
                found
            }
        }
    }
}

fn is_allowed(grammar: &Grammar, source: &str) -> bool {
    let Some(tokens) = tokens(source) else {
        return false;
    };
    let end = tokens.len();
    let mut reader = Reader {
        grammar,
        tokens,
        known: HashMap::new(),
    };
    reader.ends(&grammar["file"], 0).contains(&end)
}

#[test]
fn what_is_read_is_allowed_by_the_grammar() {
    let grammar = grammar();
    let page = page();
    let blocks = page.split("```rec\n").skip(1);
    let blocks = blocks.map(|b| {
        (
            "a block".to_owned(),
            b.split("```").next().unwrap().to_owned(),
        )
    });
    let golden = std::fs::read_to_string(folder("tests/golden/every_op.rec")).unwrap();
    let texts = library()
        .into_iter()
        .chain(blocks)
        .chain([("every_op".to_owned(), golden)]);
    for (name, source) in texts {
        assert!(is_allowed(&grammar, &source), "{name}\n{source}");
        let recurrence = parse(&name, &source);
        let canonical = recurrence.source().unwrap();
        assert!(is_allowed(&grammar, &canonical), "{name}\n{canonical}");
        if recurrence.outputs().any(|o| o == "loss") {
            let gradient = recurrence.gradient(bptt::Wrt::Everything).unwrap();
            let canonical = gradient.source().unwrap();
            assert!(is_allowed(&grammar, &canonical), "{name}\n{canonical}");
        }
    }
}

/// The parser and the grammar agree on texts with a token removed from a statement.
#[test]
fn what_is_not_read_is_not_allowed() {
    let grammar = grammar();
    let mut refused = 0;
    for name in ["rnn_relu", "logistic_map", "leapfrog", "lstm_bidirectional"] {
        let (_, source) = library().into_iter().find(|(n, _)| n == name).unwrap();
        let source = source
            .lines()
            .map(|l| format!("{}\n", l.split('#').next().unwrap()));
        let source: String = source.collect();
        for (at, sign) in source
            .char_indices()
            .filter(|(_, c)| "=()[],+*/@'~".contains(*c))
        {
            let changed = format!("{}{}", &source[..at], &source[at + sign.len_utf8()..]);
            let errors = syntax_errors(&changed);
            assert_eq!(
                is_allowed(&grammar, &changed),
                errors.is_empty(),
                "{errors:?}\n{changed}"
            );
            refused += usize::from(!errors.is_empty());
        }
    }
    assert!(refused > 100, "only {refused} were refused");
}
