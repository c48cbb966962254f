//! Prints the chapter on RNN and LSTM as one page for a browser, without scripts or network access:
//!
//! ```sh
//! cargo run --example chapter -- en > chapter.html
//! ```
//!
//! The text is `docs/rnn-and-lstm.en.md` (or `zh`); formulas become `MathML`, pictures are part of the page.

use std::error::Error;
use std::fmt::Write;
use std::path::Path;

use pulldown_cmark::{CodeBlockKind, CowStr, Event, Options, Parser, Tag, TagEnd, html};
use pulldown_latex::config::DisplayMode;
use pulldown_latex::{RenderConfig, Storage, push_mathml};

/// The style of derivations, which have the same formulas.
const STYLE: &str = include_str!("../src/derive/document/page.css");
const MORE_STYLE: &str = "\
main { max-width: 46rem; }
math[display=\"block\"] { margin: .3rem 0; }
.menv-alignlike { math-style: normal; }
.menv-alignlike > mtr > mtd { padding: .25em 0; text-align: left; text-align: -webkit-left; }
.menv-alignlike > mtr > mtd:nth-child(odd) { text-align: right; text-align: -webkit-right; }
.menv-alignlike > mtr > mtd:nth-child(even) { padding-left: .25em; }
.eq { margin: .8rem 0; padding: .2rem .8rem; }
table { border-collapse: collapse; font-size: .93rem; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
td math { white-space: nowrap; }
img { display: block; max-width: 100%; height: auto; margin: 0 auto; }
figcaption { max-width: 30rem; margin: .4rem auto 0; }
pre { overflow-x: auto; padding: .6rem .8rem; background: var(--card); border-radius: 6px; font-size: .82rem; line-height: 1.45; }
code { font-family: ui-monospace, \"DejaVu Sans Mono\", Menlo, Consolas, monospace; font-size: .88em; }
pre code { font-size: inherit; }
@media print { pre { white-space: pre-wrap; } details::details-content { content-visibility: visible; block-size: auto; } }
";

type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    let language = std::env::args().nth(1).unwrap_or_else(|| "en".into());
    if !["en", "zh"].contains(&language.as_str()) {
        return Err(format!("the language is `en` or `zh`, found `{language}`").into());
    }
    print!("{}", page(&language)?);
    Ok(())
}

fn docs() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/docs"))
}

/// The whole page.
fn page(language: &str) -> Result<String, Failure> {
    let text = std::fs::read_to_string(docs().join(format!("rnn-and-lstm.{language}.md")))?;
    let options = Options::ENABLE_TABLES | Options::ENABLE_MATH;
    let events: Vec<Event<'_>> = Parser::new_ext(&text, options).collect();
    let mut headings = Vec::new();
    let mut body = Vec::new();
    let mut rest = &events[..];
    while let [event, after @ ..] = rest {
        rest = after;
        match event {
            Event::Html(text) if text.starts_with("<!--") => {}
            Event::InlineMath(tex) => body.push(inline(breakable(tex.trim_matches('`'))?)),
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) if &**info == "math" => {
                let formula = mathml(&words(&mut rest), true)?;
                body.push(block(format!("<div class=\"eq wide\">{formula}</div>\n")));
            }
            Event::Start(Tag::Heading { level, .. }) => {
                let title = words(&mut { rest });
                let anchor = anchor(&title);
                body.push(block(format!("<{level} id=\"{anchor}\">")));
                headings.push((*level as usize, anchor, title));
            }
            // A paragraph of its own on the page, so a figure is inside of a `<p>` in the events only.
            Event::Start(Tag::Paragraph)
                if matches!(after, [Event::Start(Tag::Image { .. }), ..]) =>
            {
                let Event::Start(Tag::Image { dest_url, .. }) = &after[0] else {
                    continue;
                };
                rest = &after[1..];
                body.push(block(figure(dest_url, &words(&mut rest))?));
                rest = &rest[1..];
            }
            Event::Start(Tag::Link { dest_url, .. }) if !dest_url.starts_with('#') => {
                body.push(inline(file(dest_url, &words(&mut rest))));
            }
            // Chinese has no spaces between words.
            Event::SoftBreak if chinese(body.last(), after.first()) => {}
            Event::Start(Tag::Table(_)) => {
                body.push(block("<div class=\"wide\">".into()));
                body.push(event.clone());
            }
            Event::End(TagEnd::Table) => {
                body.push(event.clone());
                body.push(block("</div>\n".into()));
            }
            other => body.push(other.clone()),
        }
    }
    // The contents are behind the title.
    let contents = contents(language, &headings);
    let title_ends = |e: &Event<'_>| matches!(e, Event::End(TagEnd::Heading(_)));
    if let Some(at) = body.iter().position(title_ends) {
        body.insert(at + 1, block(contents));
    }
    let title = headings.first().map_or("", |(_, _, title)| title);
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"{language}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title}</title>\n<style>\n{STYLE}{MORE_STYLE}</style>\n</head>\n<body>\n<main>\n"
    );
    html::push_html(&mut out, body.into_iter());
    out.push_str("</main>\n</body>\n</html>\n");
    Ok(out)
}

/// If text before and after a line break is Chinese.
fn chinese(before: Option<&Event<'_>>, after: Option<&Event<'_>>) -> bool {
    let (Some(Event::Text(before)), Some(Event::Text(after))) = (before, after) else {
        return false;
    };
    let wide = |c: char| !c.is_ascii();
    before.ends_with(wide) && after.starts_with(wide)
}

fn block(html: String) -> Event<'static> {
    Event::Html(CowStr::from(html))
}

fn inline(html: String) -> Event<'static> {
    Event::InlineHtml(CowStr::from(html))
}

/// The text up to the end of the element whose start came before, which is taken off.
fn words(rest: &mut &[Event<'_>]) -> String {
    let mut out = String::new();
    let mut depth = 1;
    while let [event, after @ ..] = *rest {
        *rest = after;
        match event {
            Event::Start(_) => depth += 1,
            Event::End(_) => depth -= 1,
            Event::Text(text) | Event::Code(text) | Event::InlineMath(text) => out.push_str(text),
            Event::SoftBreak => out.push(' '),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    out
}

/// A formula within a line. A browser breaks no line inside of a `<math>` element, so a long formula is several:
/// it may be broken before an operator that is inside of no parentheses.
fn breakable(tex: &str) -> Result<String, Failure> {
    const LONG: usize = 40;
    let mut pieces = vec![String::new()];
    let mut depth = 0;
    let mut rest = tex;
    while let Some(c) = rest.chars().next() {
        depth += i32::from("({[".contains(c)) - i32::from(")}]".contains(c));
        let operator = ["=", "+", r"\cdot ", r"\le "];
        let operator = operator.into_iter().find(|o| rest.starts_with(o));
        let taken = operator.map_or(c.len_utf8(), str::len);
        if operator.is_some() && depth == 0 && tex.len() > LONG {
            // With something before it, an operator has the space of one between two operands.
            pieces.push("{}".into());
        }
        if let Some(piece) = pieces.last_mut() {
            piece.push_str(&rest[..taken]);
        }
        rest = &rest[taken..];
    }
    let pieces: Result<Vec<_>, _> = pieces.iter().map(|p| mathml(p, false)).collect();
    Ok(pieces?.join("<wbr>"))
}

fn mathml(tex: &str, display: bool) -> Result<String, Failure> {
    // The same in commands that the parser knows.
    let tex = tex.replace(r"\mathop{\mathrm", r"{\operatorname");
    let tex = &tex.replace(":=", r"\coloneqq ");
    let storage = Storage::new();
    let parsed = pulldown_latex::Parser::new(tex, &storage);
    let parsed: Vec<_> = parsed
        .collect::<Result<_, _>>()
        .map_err(|e| format!("{tex}: {e}"))?;
    let display_mode = if display {
        DisplayMode::Block
    } else {
        DisplayMode::Inline
    };
    let config = RenderConfig {
        display_mode,
        ..RenderConfig::default()
    };
    let mut out = String::new();
    push_mathml(
        &mut out,
        parsed.into_iter().map(Ok::<_, std::fmt::Error>),
        config,
    )?;
    Ok(out)
}

/// The anchor of a heading, as GitHub makes it.
fn anchor(title: &str) -> String {
    let title = title.to_lowercase();
    let kept = title.chars().filter_map(|c| match c {
        ' ' => Some('-'),
        _ => (c.is_alphanumeric() || c == '-' || c == '_').then_some(c),
    });
    kept.collect()
}

fn contents(language: &str, headings: &[(usize, String, String)]) -> String {
    let title = if language == "zh" {
        "目录"
    } else {
        "Contents"
    };
    let mut out = format!("<nav><b>{title}</b><ol>\n");
    for (_, anchor, title) in headings.iter().filter(|(level, ..)| *level == 2) {
        let _ = writeln!(out, "<li><a href=\"#{anchor}\">{title}</a></li>");
    }
    out.push_str("</ol></nav>\n");
    out
}

/// A picture that is part of the page. Its style stays its own, as it would not inside of the page.
fn figure(name: &str, description: &str) -> Result<String, Failure> {
    let text = std::fs::read_to_string(docs().join(name))?;
    let mut data = String::new();
    for c in text.chars() {
        match c {
            '%' | '#' | '"' | '<' | '>' | '&' | '\n' => write!(data, "%{:02X}", u32::from(c))?,
            c => data.push(c),
        }
    }
    let description = escaped(description);
    Ok(format!(
        "<figure><img src=\"data:image/svg+xml;charset=utf-8,{data}\" alt=\"\">\
         <figcaption>{description}</figcaption></figure>\n"
    ))
}

/// A link to a file of the repository: its path, since the page is read elsewhere.
fn file(link: &str, text: &str) -> String {
    let link = link.split('#').next().unwrap_or(link);
    let path = match link.strip_prefix("../") {
        Some(path) => path.to_owned(),
        None => format!("docs/{link}"),
    };
    if path.ends_with(text) {
        format!("<code>{path}</code>")
    } else {
        format!("{} [<code>{path}</code>]", escaped(text))
    }
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;");
    text.replace('<', "&lt;").replace('"', "&quot;")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    /// The texts between the two marks.
    fn between<'p>(page: &'p str, start: &str, end: &str) -> Vec<&'p str> {
        let parts = page.split(start).skip(1);
        parts.map(|p| p.split(end).next().unwrap()).collect()
    }

    #[test]
    fn the_page_is_whole_and_needs_nothing_else() {
        for language in ["en", "zh"] {
            let page = page(language).unwrap();
            let source = docs().join(format!("rnn-and-lstm.{language}.md"));
            let source = std::fs::read_to_string(source).unwrap();
            // A command that the parser does not know is text of the page.
            let body = page.split_once("<main>").unwrap().1;
            let count = |text: &str| body.matches(text).count();
            let code = between(body, "<pre>", "</pre>").concat();
            assert_eq!(body.matches('\\').count(), code.matches('\\').count());
            for needed in [
                "<merror",
                "<script",
                "http:",
                "https:",
                "@import",
                "src=\"figures",
            ] {
                assert!(
                    !page
                        .replace("http://www.w3.org/2000/svg", "")
                        .contains(needed),
                    "{needed}"
                );
            }
            assert_eq!(
                count("display=\"block\""),
                source.matches("```math").count()
            );
            assert_eq!(count("<figure>"), source.matches("\n![").count());
            let names = between(&source, "](figures/", ")");
            let pictures = between(body, "src=\"data:image/svg+xml;charset=utf-8,", "\"");
            assert_eq!(pictures.len(), names.len(), "{language}");
            for (name, picture) in names.iter().zip(pictures) {
                let file = std::fs::read_to_string(docs().join("figures").join(name)).unwrap();
                assert_eq!(decoded(picture), file, "{name}");
            }
            assert!(!body.contains('`') && !body.contains("$$"), "{language}");
            let anchors = between(body, " id=\"", "\"");
            for link in between(body, "href=\"", "\"") {
                let anchor = link.strip_prefix('#').unwrap();
                let anchor = decoded(anchor);
                assert_eq!(
                    anchors.iter().filter(|a| **a == anchor).count(),
                    1,
                    "{link}"
                );
            }
        }
    }

    /// The text of an address, in which `%E7` is a byte.
    fn decoded(link: &str) -> String {
        let mut bytes = Vec::new();
        let mut rest = link;
        while let Some(c) = rest.chars().next() {
            let hex = rest
                .strip_prefix('%')
                .map(|r| u8::from_str_radix(&r[..2], 16).unwrap());
            bytes.extend(hex.map_or_else(|| c.to_string().into_bytes(), |b| vec![b]));
            rest = &rest[if hex.is_some() { 3 } else { c.len_utf8() }..];
        }
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_long_formula_breaks_before_operators_outside_of_parentheses() {
        let long = r"a=\mathop{\mathrm{diag}}(b+c)+0.5232\cdot 0.7616\cdot 0.3634";
        assert_eq!(breakable(long).unwrap().matches("<wbr>").count(), 4);
        assert_eq!(breakable("a=b+c").unwrap().matches("<wbr>").count(), 0);
    }

    #[test]
    fn a_broken_formula_is_an_error() {
        let error = mathml(r"\frac{a", false).unwrap_err().to_string();
        assert!(error.contains(r"\frac{a"), "{error}");
    }

    #[test]
    fn lines_of_chinese_are_joined_without_a_space() {
        let text = |t: &'static str| Event::Text(t.into());
        assert!(chinese(Some(&text("网络。")), Some(&text("文末"))));
        assert!(!chinese(Some(&text("RNN")), Some(&text("与"))));
        assert!(!chinese(Some(&text("网络。")), Some(&Event::SoftBreak)));
    }

    #[test]
    fn files_of_the_repository_are_named() {
        assert_eq!(
            file("derivations/", "derivations/"),
            "<code>docs/derivations/</code>"
        );
        assert_eq!(file("../a/b.rec", "it"), "it [<code>a/b.rec</code>]");
        assert_eq!(anchor("3. ∂L/∂W_X"), "3-lw_x");
    }
}
