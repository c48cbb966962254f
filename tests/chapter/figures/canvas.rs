//! A picture in SVG without references to other files, readable in light and in dark.

use std::fmt::Write;

/// The radius of the circle of a value, and half of the height of a box.
pub(crate) const RADIUS: f64 = 16.0;

/// The length of the head of an arrow.
const HEAD: f64 = 8.0;

/// The colours of lines: text, and three that differ for every kind of colour blindness (Okabe and Ito 2008).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    Ink,
    Blue,
    Orange,
    Green,
}

impl Colour {
    fn class(self) -> &'static str {
        match self {
            Self::Ink => "i",
            Self::Blue => "b",
            Self::Orange => "o",
            Self::Green => "g",
        }
    }
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pen {
    pub(crate) colour: Colour,
    pub(crate) width: f64,
    pub(crate) dashed: bool,
}

pub(crate) fn pen(colour: Colour, width: f64) -> Pen {
    Pen {
        colour,
        width,
        dashed: false,
    }
}

impl Pen {
    pub(crate) fn dashed(self) -> Self {
        Self {
            dashed: true,
            ..self
        }
    }

    fn attributes(self) -> String {
        let dashes = if self.dashed {
            " stroke-dasharray=\"5 4\""
        } else {
            ""
        };
        format!(
            "class=\"{}\" stroke-width=\"{}\"{dashes}",
            self.colour.class(),
            self.width
        )
    }
}

pub(crate) type Point = (f64, f64);

/// The end of a text that is at its point.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

pub(crate) struct Canvas {
    title: &'static str,
    size: Point,
    body: String,
}

impl Canvas {
    pub(crate) fn new(title: &'static str, width: f64, height: f64) -> Self {
        Self {
            title,
            size: (width, height),
            body: String::new(),
        }
    }

    fn push(&mut self, element: &str) {
        self.body.push_str(element);
        self.body.push('\n');
    }

    /// A line through some points.
    pub(crate) fn line(&mut self, points: &[Point], pen: Pen) {
        let mut path = String::new();
        for (i, (x, y)) in points.iter().enumerate() {
            let command = if i == 0 { 'M' } else { 'L' };
            write!(path, "{command}{x:.1} {y:.1}").unwrap();
        }
        self.push(&format!("<path d=\"{path}\" {}/>", pen.attributes()));
    }

    /// A line with a head at its last point.
    pub(crate) fn arrow(&mut self, points: &[Point], pen: Pen) {
        let [.., from, to] = points else {
            panic!("an arrow has two ends")
        };
        let length = (to.0 - from.0).hypot(to.1 - from.1);
        let along = ((to.0 - from.0) / length, (to.1 - from.1) / length);
        let back = |by: f64, aside: f64| {
            (
                to.0 - by * along.0 - aside * along.1,
                to.1 - by * along.1 + aside * along.0,
            )
        };
        let mut line = points.to_vec();
        *line.last_mut().unwrap() = back(HEAD - 2.0, 0.0);
        self.line(&line, pen);
        let (left, right) = (back(HEAD, 3.6), back(HEAD, -3.6));
        self.push(&format!(
            "<path d=\"M{:.1} {:.1}L{:.1} {:.1}L{:.1} {:.1}z\" class=\"{}f\"/>",
            to.0,
            to.1,
            left.0,
            left.1,
            right.0,
            right.1,
            pen.colour.class()
        ));
    }

    /// A circle around a formula; it hides what is behind it.
    pub(crate) fn value(&mut self, at: Point, formula: &str, pen: Pen) {
        self.push(&format!(
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"{RADIUS}\" {} style=\"fill:var(--paper)\"/>",
            at.0,
            at.1,
            pen.attributes()
        ));
        self.text((at.0, at.1 + 5.0), formula, Anchor::Middle, Colour::Ink);
    }

    /// A box around a formula.
    pub(crate) fn boxed(&mut self, at: Point, formula: &str, half: f64, pen: Pen) {
        self.push(&format!(
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"26\" rx=\"4\" {} \
             style=\"fill:var(--paper)\"/>",
            at.0 - half,
            at.1 - 13.0,
            2.0 * half,
            pen.attributes()
        ));
        self.text((at.0, at.1 + 5.0), formula, Anchor::Middle, Colour::Ink);
    }

    /// A small circle around the sign of an operation, `+` or `×`, drawn as lines.
    pub(crate) fn operation(&mut self, at: Point, sign: char, pen: Pen) {
        self.push(&format!(
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"9\" {} style=\"fill:var(--paper)\"/>",
            at.0,
            at.1,
            pen.attributes()
        ));
        let arm = if sign == '+' { (4.5, 0.0) } else { (3.3, 3.3) };
        for (x, y) in [arm, (-arm.1, arm.0)] {
            let ends = [(at.0 - x, at.1 - y), (at.0 + x, at.1 + y)];
            self.line(&ends, Pen { width: 1.6, ..pen });
        }
    }

    /// A point where a line branches.
    pub(crate) fn joint(&mut self, at: Point, colour: Colour) {
        self.push(&format!(
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" class=\"{}f\"/>",
            at.0,
            at.1,
            colour.class()
        ));
    }

    /// A square, filled or outlined.
    pub(crate) fn square(&mut self, at: Point, side: f64, filled: bool, colour: Colour) {
        let class = if filled { "f" } else { "" };
        self.push(&format!(
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{side:.1}\" height=\"{side:.1}\" class=\"{}{class}\"/>",
            at.0,
            at.1,
            colour.class()
        ));
    }

    /// A formula: letters are italic, `_{…}` is a subscript and `^{…}` a superscript.
    pub(crate) fn text(&mut self, at: Point, formula: &str, anchor: Anchor, colour: Colour) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        self.push(&format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" class=\"{}f\">{}</text>",
            at.0,
            at.1,
            colour.class(),
            spans(formula)
        ));
    }

    pub(crate) fn finish(self) -> String {
        let (width, height) = self.size;
        let colours = |paper: &str, lines: [(&str, &str); 4]| {
            let mut out = format!("svg{{--paper:{paper}}}#paper{{fill:{paper}}}");
            for (class, colour) in lines {
                write!(out, ".{class}{{stroke:{colour}}}.{class}f{{fill:{colour}}}").unwrap();
            }
            out
        };
        let light = colours(
            "#ffffff",
            [
                ("i", "#24292f"),
                ("b", "#0066aa"),
                ("o", "#c84c00"),
                ("g", "#007a55"),
            ],
        );
        let dark = colours(
            "#0d1117",
            [
                ("i", "#e6edf3"),
                ("b", "#56b4e9"),
                ("o", "#f0932b"),
                ("g", "#3ccf9f"),
            ],
        );
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" role=\"img\">\n<title>{}</title>\n<style>\
             text{{font:15px \"STIX Two Text\",\"Times New Roman\",Tinos,serif}}\
             .n{{font-style:normal}}.v{{font-style:italic}}.s{{font-size:11px}}\
             path,circle,rect{{fill:none}}\n{light}\n@media (prefers-color-scheme:dark){{{dark}}}</style>\n\
             <rect id=\"paper\" width=\"{width}\" height=\"{height}\" rx=\"6\"/>\n{}</svg>\n",
            self.title, self.body
        )
    }
}

/// The parts of a formula: a text, and the distance of its line from that of the whole.
fn parts(formula: &str) -> Vec<(String, f64)> {
    let mut out = vec![(String::new(), 0.0)];
    let mut letters = formula.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '_' | '^' if letters.peek() == Some(&'{') => {
                let inner = letters.by_ref().skip(1).take_while(|l| *l != '}');
                let inner: String = inner.collect();
                out.push((inner, if letter == '_' { 4.0 } else { -6.0 }));
                out.push((String::new(), 0.0));
            }
            letter => out.last_mut().unwrap().0.push(letter),
        }
    }
    out.retain(|(text, _)| !text.is_empty());
    out
}

fn spans(formula: &str) -> String {
    let mut out = String::new();
    let mut line = 0.0;
    for (text, wanted) in parts(formula) {
        let script = if wanted == 0.0 { "" } else { " s" };
        for run in runs(&text) {
            let style = if is_variable(&run) { "v" } else { "n" };
            let shift = if wanted == line {
                String::new()
            } else {
                format!(" dy=\"{}\"", wanted - line)
            };
            line = wanted;
            write!(out, "<tspan class=\"{style}{script}\"{shift}>{run}</tspan>").unwrap();
        }
    }
    out
}

/// Splits a text into names of one letter and the rest.
fn runs(text: &str) -> Vec<String> {
    let words = text.split_inclusive(|c: char| !c.is_alphabetic());
    let mut out = Vec::new();
    for word in words {
        let name = word.trim_end_matches(|c: char| !c.is_alphabetic());
        for part in [name, &word[name.len()..]] {
            if !part.is_empty() {
                out.push(part.to_owned());
            }
        }
    }
    out
}

/// Single letters are variables; words such as `tanh` and capitals such as `RNN` are not.
fn is_variable(run: &str) -> bool {
    let mut letters = run.chars();
    letters.next().is_some_and(char::is_alphabetic) && letters.next().is_none()
}

#[test]
fn formulas_have_scripts() {
    assert_eq!(
        parts("h_{t-1} = 10^{2}"),
        [
            ("h".into(), 0.0),
            ("t-1".into(), 4.0),
            (" = 10".into(), 0.0),
            ("2".into(), -6.0)
        ]
    );
    assert_eq!(
        spans("h_{t}x"),
        "<tspan class=\"v\">h</tspan><tspan class=\"v s\" dy=\"4\">t</tspan>\
         <tspan class=\"v\" dy=\"-4\">x</tspan>"
    );
    assert_eq!(runs("tanh(a)"), ["tanh", "(", "a", ")"]);
}
