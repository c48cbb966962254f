//! A formula in `MathML` Core, which browsers draw without a library.

use super::pres::{Accent, Big, Fence, Math, Sign, greek};
use crate::xml::escaped;

impl Math {
    /// A `<math>` element; a separate block if `display` is true.
    #[must_use]
    pub fn mathml(&self, display: bool) -> String {
        let style = if display { r#" display="block""# } else { "" };
        format!("<math{style}>{}</math>", element(self))
    }

    /// The formula as the content of a `<math>` element.
    #[must_use]
    pub fn element(&self) -> String {
        element(self)
    }
}

fn element(math: &Math) -> String {
    match math {
        Math::Ident(name) => match greek(name) {
            Some(letter) if letter.is_uppercase() => {
                format!(r#"<mi mathvariant="normal">{letter}</mi>"#)
            }
            Some(letter) => format!("<mi>{letter}</mi>"),
            None if name.chars().count() > 1 => {
                format!(r#"<mi class="word">{}</mi>"#, escaped(name))
            }
            None => format!("<mi>{}</mi>", escaped(name)),
        },
        Math::Upright(word) if word.chars().count() == 1 => {
            format!(r#"<mi mathvariant="normal">{}</mi>"#, escaped(word))
        }
        Math::Upright(word) => format!("<mi>{}</mi>", escaped(word)),
        Math::Bold(text) if text == "1" => "<mn>𝟏</mn>".into(),
        Math::Bold(text) if text == "I" => "<mi>𝐈</mi>".into(),
        Math::Bold(text) if text == "e" => "<mi>𝐞</mi>".into(),
        Math::Bold(text) | Math::Number(text) => format!("<mn>{}</mn>", escaped(text)),
        Math::Sign(sign) => operator(*sign),
        Math::Row(parts) if parts.is_empty() => String::new(),
        Math::Row(parts) => {
            let inner: String = parts
                .iter()
                .enumerate()
                .map(|(i, p)| part(parts, i, p))
                .collect();
            format!("<mrow>{inner}</mrow>")
        }
        Math::Script { base, sub, sup } => {
            let below = matches!(&**base, Math::Upright(word) if word == "max" || word == "min");
            let base = element(base);
            match (sub, sup) {
                (Some(sub), None) if below => format!("<munder>{base}{}</munder>", script(sub)),
                (Some(sub), Some(sup)) => {
                    format!("<msubsup>{base}{}{}</msubsup>", script(sub), script(sup))
                }
                (Some(sub), None) => format!("<msub>{base}{}</msub>", script(sub)),
                (None, Some(sup)) => format!("<msup>{base}{}</msup>", script(sup)),
                (None, None) => base,
            }
        }
        Math::Frac(a, b) => format!("<mfrac>{}{}</mfrac>", element(a), element(b)),
        Math::Fence(fence, body) => {
            let (open, close) = delimiters(*fence);
            let stretchy = if is_tall(body) { "true" } else { "false" };
            let mo = |form: &str, c: &str| {
                format!(r#"<mo form="{form}" fence="true" stretchy="{stretchy}">{c}</mo>"#)
            };
            let (open, close) = (mo("prefix", open), mo("postfix", close));
            format!("<mrow>{open}{}{close}</mrow>", element(body))
        }
        Math::Big { big, from, to } => {
            let sign = match big {
                Big::Sum => '∑',
                Big::Product => '∏',
                Big::HadamardProduct => '⨀',
            };
            let mo = format!(r#"<mo movablelimits="false" largeop="true">{sign}</mo>"#);
            if to.is_empty() {
                return format!("<munder>{mo}{}</munder>", script(from));
            }
            format!(
                "<munderover>{mo}{}{}</munderover>",
                script(from),
                script(to)
            )
        }
        Math::Matrix(rows) => {
            let rows: String = rows
                .iter()
                .map(|row| {
                    let cells: String = row
                        .iter()
                        .map(|c| format!("<mtd>{}</mtd>", element(c)))
                        .collect();
                    format!("<mtr>{cells}</mtr>")
                })
                .collect();
            format!(
                r#"<mrow><mo form="prefix" fence="true">[</mo><mtable>{rows}</mtable><mo form="postfix" fence="true">]</mo></mrow>"#
            )
        }
        Math::Accent(accent, base) => {
            let mark = match accent {
                Accent::Hat => '^',
                Accent::Bar => '¯',
                Accent::Dot => '˙',
                Accent::Tilde => '~',
            };
            format!(
                r#"<mover accent="true">{}<mo stretchy="false">{mark}</mo></mover>"#,
                element(base)
            )
        }
        Math::Root(body) => format!("<msqrt>{}</msqrt>", element(body)),
        Math::Marked(class, body) => {
            format!(
                r#"<mrow class="{}">{}</mrow>"#,
                escaped(class),
                element(body)
            )
        }
    }
}

/// An element of a row, with a thin space between two factors and none between a function and `(`.
fn part(parts: &[Math], i: usize, math: &Math) -> String {
    let before = i.checked_sub(1).and_then(|i| parts.get(i));
    match (before, math) {
        (None | Some(Math::Sign(Sign::Equal | Sign::Defined)), Math::Sign(Sign::Minus)) => {
            r#"<mo form="prefix">−</mo>"#.into()
        }
        (Some(before), after)
            if factor(before) && (factor(after) || *after == Math::Sign(Sign::Differential)) =>
        {
            format!("{THIN}{}", element(after))
        }
        // As in LaTeX, there is a thin space before a word.
        (Some(before), Math::Upright(word))
            if word.chars().count() > 1
                && (factor(before) || matches!(before, Math::Fence(Fence::Paren, _))) =>
        {
            format!("{THIN}{}", element(math))
        }
        _ => element(math),
    }
}

fn factor(math: &Math) -> bool {
    // A marked differential belongs to the next factor; `max` has its own space.
    if let Math::Script { base, .. } = math {
        let word = matches!(&**base, Math::Upright(w) if w == "max" || w == "min");
        return word || !matches!(**base, Math::Sign(_));
    }
    !matches!(
        math,
        Math::Sign(_) | Math::Big { .. } | Math::Upright(_) | Math::Fence(Fence::Paren, _)
    ) && !matches!(math, Math::Ident(n) if n == "sigma" || n == "ell")
}

const THIN: &str = r#"<mspace width="0.17em"/>"#;

/// A script, without space around operators or between factors.
fn script(math: &Math) -> String {
    const TIGHT: &str = r#"<mo lspace="0" rspace="0""#;
    element(math)
        .replace(THIN, "")
        .replace(r#" form="infix""#, "")
        .replace(TIGHT, "<mo")
        .replace("<mo ", &format!("{TIGHT} "))
        .replace("<mo>", &format!("{TIGHT}>"))
}

fn is_tall(body: &Math) -> bool {
    match body {
        Math::Frac(..) | Math::Big { .. } | Math::Matrix(_) => true,
        Math::Row(parts) => parts.iter().any(is_tall),
        Math::Fence(_, b) | Math::Marked(_, b) => is_tall(b),
        Math::Script { base, .. } => is_tall(base),
        _ => false,
    }
}

const fn delimiters(fence: Fence) -> (&'static str, &'static str) {
    match fence {
        Fence::Paren => ("(", ")"),
        Fence::Bracket => ("[", "]"),
        Fence::Brace => ("{", "}"),
        Fence::Angle => ("⟨", "⟩"),
        Fence::Norm => ("‖", "‖"),
        Fence::Abs => ("|", "|"),
        Fence::Ceil => ("⌈", "⌉"),
    }
}

fn operator(sign: Sign) -> String {
    let mo = |s: &str| format!("<mo>{s}</mo>");
    match sign {
        // A sign at the start of a continuation line is still a binary operator.
        Sign::Plus => r#"<mo form="infix">+</mo>"#.into(),
        Sign::Minus => r#"<mo form="infix">−</mo>"#.into(),
        Sign::Hadamard => mo("⊙"),
        Sign::Oslash => mo("⊘"),
        Sign::Cdot => mo("⋅"),
        Sign::Equal => mo("="),
        Sign::Defined => mo("≔"),
        Sign::LessEqual => mo("≤"),
        Sign::GreaterEqual => mo("≥"),
        Sign::Less => mo("&lt;"),
        Sign::Greater => mo("&gt;"),
        Sign::NotEqual => mo("≠"),
        Sign::In => mo("∈"),
        Sign::Times => mo("×"),
        Sign::Kronecker => mo("⊗"),
        Sign::NotDivides => mo("∤"),
        Sign::Comma => mo(","),
        Sign::Semicolon => mo(";"),
        Sign::Slash => r#"<mo stretchy="false">/</mo>"#.into(),
        Sign::Partial => r#"<mi mathvariant="normal">∂</mi>"#.into(),
        Sign::Differential => r#"<mi mathvariant="normal">d</mi>"#.into(),
        Sign::Top => r#"<mo lspace="0" rspace="0">⊤</mo>"#.into(),
        Sign::Dots => mo("⋯"),
        Sign::Infinity => mo("∞"),
        Sign::Implies => mo("⇒"),
        Sign::Equivalent => mo("⇔"),
        Sign::To => mo("→"),
        Sign::Nabla => r#"<mi mathvariant="normal">∇</mi>"#.into(),
        Sign::Prime => r#"<mo lspace="0" rspace="0">′</mo>"#.into(),
        Sign::Reals => "<mi>ℝ</mi>".into(),
        Sign::Thin => THIN.into(),
        Sign::Space => r#"<mspace width="0.6em"/>"#.into(),
        Sign::Colon => mo(":"),
    }
}
