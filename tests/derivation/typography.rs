//! Typography of documents: widths, spaces, punctuation, scripts and colours, for all recurrences of the
//! library and one that reads its state two steps back, in both languages.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use crate::support::page::Node;
use crate::support::sources::LAGS;
use bptt::Recurrence;
use bptt::derive::{Derivation, Format, Lang, Level, Rule, Word};
use bptt::render::{Charset, Dialect, Math, Sign, text_width};

static DERIVATIONS: LazyLock<Vec<Derivation>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/recurrences");
    let files = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    let mut sources: Vec<(String, String)> = files
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect();
    assert!(sources.len() > 10, "the recurrences were found");
    sources.push(("lags".into(), LAGS.into()));
    sources.sort();
    let derived = sources.iter().map(|(name, source)| {
        let mut derivation = Recurrence::parse(name, source).unwrap().derive().unwrap();
        derivation.check(1).unwrap();
        derivation
    });
    derived.collect()
});

/// All documents in a format, each with its derivation.
fn documents(format: Format) -> impl Iterator<Item = (&'static Derivation, Lang, String)> {
    DERIVATIONS.iter().flat_map(move |d| {
        let langs = Lang::ALL.iter();
        langs.map(move |lang| (d, *lang, d.render(format, *lang, Level::Full)))
    })
}

fn ideograph(c: char) -> bool {
    ('\u{4e00}'..='\u{9fff}').contains(&c)
}

fn full_width(c: char) -> bool {
    "，。；：、？！（）".contains(c)
}

/// The width in terminal columns, for the characters that occur in documents.
fn columns(text: &str) -> usize {
    let width = |c: char| match c {
        '\u{300}'..='\u{36f}' => 0,
        c if ideograph(c) || full_width(c) => 2,
        _ => 1,
    };
    text.chars().map(width).sum()
}

/// Returns true if two adjacent characters in prose are wrongly spaced or punctuated.
fn ill_set(a: char, b: char) -> bool {
    let marks = |c: char| ",.;:?!()".contains(c);
    let latin = |c: char| c.is_alphanumeric() && !ideograph(c);
    let spaced = |c: char| full_width(c) || c == ' ';
    (ideograph(a) && (marks(b) || latin(b)))
        || (ideograph(b) && (marks(a) || latin(a)))
        || (full_width(a) && b == ' ')
        || (a == ' ' && spaced(b))
        || (a == ' ' && ",.;:?!)".contains(b))
}

fn well_set(prose: &str, of: &str) {
    let chars: Vec<char> = prose.chars().collect();
    for (i, pair) in chars.windows(2).enumerate() {
        let around = || chars[i.saturating_sub(12)..(i + 12).min(chars.len())].iter();
        let wrong = ill_set(pair[0], pair[1]);
        assert!(!wrong, "{of}: … {} …", around().collect::<String>());
    }
}

/// Splits a Markdown page into prose, with a mark in place of each formula, and formulas.
fn markdown(page: &str) -> (String, Vec<String>) {
    let (mut prose, mut formulas) = (String::new(), Vec::new());
    for (i, part) in page.split("```").enumerate() {
        if let (1, Some(formula)) = (i % 2, part.strip_prefix("math\n")) {
            formulas.push(formula.to_owned());
            continue;
        }
        let part = part.replace("$`", "`$").replace("`$", "\u{1}");
        for (i, piece) in part.split(['`', '\u{1}']).enumerate() {
            match i % 2 {
                0 => prose.push_str(piece),
                _ => {
                    prose.push('ℳ');
                    formulas.push(piece.to_owned());
                }
            }
        }
    }
    (prose, formulas)
}

#[test]
fn a_character_takes_the_columns_it_takes() {
    let widths = [
        ("δʰₜ = W_Hᵀ", 10),
        ("q̃ᵏ⁻¹", 4),
        ("J̃ₜ", 2),
        ("误差，", 6),
        ("（𝟏）", 5),
        ("⟨⊙∏‖", 4),
        ("", 0),
    ];
    for (text, width) in widths {
        assert_eq!(text_width(text), width, "{text}");
    }
}

#[test]
fn columns_of_tables_align() {
    let ends = |line: &str| -> Vec<usize> {
        let mut ends = Vec::new();
        let chars: Vec<char> = line.chars().collect();
        for i in 0..chars.len() {
            let gap = chars[i + 1..].iter().take(2).all(|c| *c == ' ');
            if chars[i] != ' ' && gap {
                ends.push(columns(&chars[..=i].iter().collect::<String>()));
            }
        }
        ends
    };
    let numbers = |line: &str| {
        let cells: Vec<&str> = line.split_whitespace().collect();
        let number = |c: &&str| c.starts_with(|c: char| c.is_ascii_digit());
        line.starts_with("   ") && cells.len() > 3 && cells.iter().all(number)
    };
    let (mut rows, mut marked) = (0, 0);
    for format in [Format::Text, Format::Ascii] {
        for (d, _, page) in documents(format) {
            let lines: Vec<&str> = page.lines().collect();
            for pair in lines.windows(2).filter(|pair| numbers(pair[1])) {
                assert_eq!(ends(pair[0]), ends(pair[1]), "{}:\n{pair:?}", d.name());
                rows += 1;
                marked += usize::from(pair[0].contains('\u{303}'));
            }
        }
    }
    assert!(rows > 500 && marked > 0, "{rows}, {marked}");
}

#[test]
fn no_line_of_text_is_wider_than_the_page() {
    for format in [Format::Text, Format::Ascii] {
        let charset = match format {
            Format::Text => Charset::Unicode,
            _ => Charset::Ascii,
        };
        for (d, _, page) in documents(format) {
            for line in page.lines() {
                assert!(columns(line) <= 100, "{}: {line}", d.name());
                assert_eq!(line.trim_end(), line, "{}", d.name());
            }
            // A broken formula is complete.
            let tight = |text: &str| text.split_whitespace().collect::<String>();
            let page = tight(&page);
            for equation in &d.equations {
                let formula = d.formula(equation).text(charset);
                assert!(page.contains(&tight(&formula)), "{}: {formula}", d.name());
            }
        }
    }
}

#[test]
fn long_lines_are_broken_before_a_sign_outside_of_delimiters() {
    let mut broken = 0;
    for d in DERIVATIONS.iter() {
        for equation in &d.equations {
            let (_, right) = d.sides(equation);
            let lines = right.lines(52);
            for line in &lines[1..] {
                let Math::Row(parts) = line else {
                    panic!("{line:?}")
                };
                let sign = matches!(parts[0], Math::Sign(Sign::Plus | Sign::Minus));
                assert!(sign, "{}: {}", equation.id, line.text(Charset::Unicode));
                broken += 1;
            }
            let joined: String = lines.iter().map(|l| l.latex(Dialect::Plain)).collect();
            let tight = |text: &str| text.replace(' ', "");
            assert_eq!(tight(&joined), tight(&right.latex(Dialect::Plain)));
        }
    }
    assert!(broken > 100, "{broken}");
}

#[test]
fn prose_is_set_as_each_language_sets_it() {
    for lang in Lang::ALL {
        for word in Word::ALL {
            let text = word.text(*lang).replace(['{', '}'], "x");
            let pieces = text.split('`').enumerate();
            let marked = pieces.map(|(i, p)| if i % 2 == 0 { p } else { "ℳ" });
            well_set(&marked.collect::<String>(), &format!("{word:?}"));
        }
    }
    for rule in Rule::ALL {
        well_set(rule.english(), rule.id());
        well_set(rule.chinese(), rule.id());
    }
    for (d, lang, page) in documents(Format::Markdown) {
        let (prose, _) = markdown(&page);
        well_set(&prose, &format!("{} {}", d.name(), lang.code()));
    }
    for (d, lang, page) in documents(Format::Text) {
        for line in page.lines() {
            // Spaces between the parts of a line, and in formulas, are not checked.
            let chinese: Vec<&str> = line.split(' ').filter(|w| w.contains(ideograph)).collect();
            if lang == Lang::Zh {
                chinese.iter().for_each(|word| well_set(word, d.name()));
            } else {
                assert!(chinese.is_empty(), "{}: {line}", d.name());
            }
        }
    }
    for (d, lang, page) in documents(Format::Html) {
        well_set(&Node::read(&page).spoken(lang.code()), d.name());
    }
}

#[test]
fn every_script_has_braces_and_github_knows_every_command() {
    let braced = |formula: &str, of: &str| {
        let chars: Vec<char> = formula.chars().collect();
        for i in 1..chars.len() {
            if "_^".contains(chars[i]) && chars[i - 1] != '\\' {
                assert_eq!(chars.get(i + 1), Some(&'{'), "{of}: {formula}");
            }
        }
        let depth = |c| formula.matches(c).count();
        assert_eq!(depth('{'), depth('}'), "{of}: {formula}");
        assert!(formula.is_ascii(), "{of}: {formula}");
    };
    let banned = [
        "\\operatorname",
        "\\mbox",
        "\\phantom",
        "\\textcolor",
        "$$",
        "^*",
        "\\text",
    ];
    for (d, _, page) in documents(Format::Markdown) {
        for word in banned {
            assert!(!page.contains(word), "{}: {word}", d.name());
        }
        assert_eq!(page.matches("```").count() % 2, 0, "every fence is closed");
        let formulas = page
            .split("```math\n")
            .skip(1)
            .map(|p| p.split("```").next());
        let inline = page.split("$`").skip(1).map(|p| p.split("`$").next());
        for formula in formulas.chain(inline) {
            braced(formula.unwrap(), d.name());
        }
    }
    for (d, lang, page) in documents(Format::Tex) {
        for piece in page.split('$').skip(1).step_by(2) {
            braced(piece, d.name());
        }
        for piece in page.split("\\begin{aligned}").skip(1) {
            braced(piece.split("\\end{aligned}").next().unwrap(), d.name());
        }
        // The remaining text has only letters of its language and symbols that are in all common fonts.
        let foreign =
            |c: char| !c.is_ascii() && !(lang == Lang::Zh && (ideograph(c) || full_width(c)));
        let foreign: String = page.chars().filter(|c| foreign(*c)).collect();
        assert_eq!(foreign.replace(['·', '−'], ""), "", "{}", d.name());
    }
}

#[test]
fn a_minus_is_a_minus() {
    for d in DERIVATIONS.iter() {
        for equation in &d.equations {
            let text = d.formula(equation).text(Charset::Unicode);
            assert!(!text.contains('-'), "{text}");
        }
    }
    let number = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit() || c == ' ');
    for format in [Format::Text, Format::Markdown] {
        for (d, _, page) in documents(format) {
            let prose = match format {
                Format::Text => page,
                _ => markdown(&page).0,
            };
            for (at, _) in prose.match_indices('-') {
                let (before, after) = (prose[..at].chars().last(), prose[at + 1..].chars().next());
                let line = prose[..at].rsplit('\n').next().unwrap();
                let bullet = line.trim().is_empty() && after == Some(' ');
                let table = [before, after].contains(&Some('-'));
                let minus = number(after) && !bullet && !table;
                assert!(!minus, "{}: {line}-", d.name());
            }
        }
    }
}

/// A script with a letter that has no small form in Unicode is written after `^` or `_`.
#[test]
fn letters_without_a_small_form_stand_on_the_line() {
    for letter in ('a'..='z').chain('A'..='Z') {
        let script = |m: Math| m.text(Charset::Unicode);
        let name = letter.to_string();
        let below = script(Math::ident("W").with_sub(Math::ident(&name)));
        match "aehijklmnoprstuvx".contains(letter) {
            true => assert!(below.chars().count() == 2 && !below.is_ascii(), "{below}"),
            false => assert_eq!(below, format!("W_{letter}")),
        }
        let above = script(Math::ident("W").with_sup(Math::ident(&name)));
        match letter.is_lowercase() && letter != 'q' {
            true => assert!(above.chars().count() == 2 && !above.is_ascii(), "{above}"),
            false => assert_eq!(above, format!("W^{letter}")),
        }
    }
    let two = Math::list([Math::ident("f"), Math::number(1)]);
    assert_eq!(
        Math::ident("W").with_sub(two).text(Charset::Unicode),
        "W_{f,1}"
    );
}

#[test]
fn text_in_pages_is_text() {
    for (d, _, page) in documents(Format::Html) {
        let body = page.split("</style>").nth(1).unwrap();
        let shown: String = Node::read(&page)
            .all()
            .into_iter()
            .map(|n| n.text.as_str())
            .filter(|text| !text.contains("{ color-scheme"))
            .collect();
        for mark in ["\\", "$", "`", "&nbsp;", "&amp;amp;", "  ", " ,", "**"] {
            let at = shown.find(mark).map(|at| shown[at..].lines().next());
            assert!(at.is_none(), "{}: {mark:?} in {at:?}", d.name());
        }
        assert!(!body.contains("merror"), "{}", d.name());
        let mut ids: Vec<&str> = Vec::new();
        let root = Node::read(&page);
        for node in root.all() {
            let empty = node.children.is_empty() && node.text.is_empty();
            let filled = [
                "math", "mrow", "mi", "mn", "mo", "msub", "msup", "li", "p", "dd", "h2",
            ];
            assert!(
                !(empty && filled.contains(&&*node.name)),
                "{}: {node:?}",
                d.name()
            );
            ids.extend(node.attribute("id"));
        }
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count, "{}: an id stands twice", d.name());
    }
}

/// Attributes that override the layout rules of browsers for formulas.
#[test]
fn formulas_in_pages_say_how_they_are_spaced() {
    for (d, _, page) in documents(Format::Html) {
        let root = Node::read(&page);
        for node in root.all() {
            let parts = match &*node.name {
                "msub" | "msup" | "munder" | "mover" | "mfrac" => 2,
                "msubsup" | "munderover" => 3,
                _ => 0,
            };
            assert!(
                parts == 0 || node.children.len() == parts,
                "{}: {node:?}",
                d.name()
            );
            let scripts = ["msub", "msup", "msubsup", "munder", "munderover"];
            if scripts.contains(&&*node.name) {
                for script in node.children[1..].iter().flat_map(Node::all) {
                    let tight = ["lspace", "rspace"].map(|s| script.attribute(s) == Some("0"));
                    assert!(
                        script.name != "mo" || tight == [true; 2],
                        "{}: {script:?}",
                        d.name()
                    );
                    assert_ne!(script.attribute("width"), Some("0.17em"), "{}", d.name());
                }
            }
            let text: String = node.children.iter().map(|c| c.text.as_str()).collect();
            if node.name == "mo" {
                if "∑∏⨀".contains(&text) {
                    assert_eq!(node.attribute("movablelimits"), Some("false"), "{node:?}");
                }
                if "(){}⟨⟩‖|⌈⌉".contains(&text) {
                    assert!(node.attribute("stretchy").is_some(), "{node:?}");
                }
                assert!(!"-*'".contains(&text), "{node:?}");
            }
        }
    }
}

/// The luminance contrast of two colours, as defined by WCAG.
fn contrast(a: &str, b: &str) -> f64 {
    let luminance = |colour: &str| {
        let digits = colour.trim_start_matches('#');
        let digits: String = match digits.len() {
            3 => digits.chars().flat_map(|c| [c, c]).collect(),
            _ => digits.into(),
        };
        let part = |at: usize| {
            let value = f64::from(u8::from_str_radix(&digits[at..at + 2], 16).unwrap()) / 255.0;
            match value <= 0.04045 {
                true => value / 12.92,
                false => ((value + 0.055) / 1.055).powf(2.4),
            }
        };
        0.2126 * part(0) + 0.7152 * part(2) + 0.0722 * part(4)
    };
    let (a, b) = (luminance(a) + 0.05, luminance(b) + 0.05);
    a.max(b) / a.min(b)
}

#[test]
fn colours_can_be_read_in_both_schemes() {
    assert!((contrast("#fff", "#000000") - 21.0).abs() < 1e-9);
    assert!((contrast("#777777", "#fff") - 4.478).abs() < 1e-3);
    let page = DERIVATIONS[0].render(Format::Html, Lang::En, Level::Sheet);
    let schemes: Vec<&str> = page.split(":root {").skip(1).collect();
    assert_eq!(schemes.len(), 2, "light and dark");
    for scheme in schemes {
        let rule = scheme.split('}').next().unwrap();
        let colours = rule.split(';').filter_map(|p| p.trim().strip_prefix("--"));
        let colours: Vec<(&str, &str)> = colours.map(|c| c.split_once(": ").unwrap()).collect();
        let of = |name: &str| colours.iter().find(|(n, _)| *n == name).unwrap().1;
        assert!(colours.len() > 10, "{colours:?}");
        for (name, colour) in &colours {
            // Backgrounds, hairlines and shadows are not text.
            if ["paper", "card", "line", "shade"].contains(name) {
                continue;
            }
            for under in ["paper", "card"] {
                let found = contrast(colour, of(under));
                assert!(found >= 4.5, "{name} on {under}: {found:.2}");
            }
        }
    }
}

/// The general theorem of a derivation: LaTeX and ids of the instances of each line, from its JSON.
fn theorem(d: &Derivation) -> Vec<(String, Vec<String>)> {
    let page = d.render(Format::Json, Lang::En, Level::Full);
    let json: serde_json::Value = serde_json::from_str(&page).unwrap();
    let lines = json["theorem"].as_array().unwrap().iter().map(|line| {
        let ids = line["instances"].as_array().unwrap().iter();
        let ids = ids.map(|id| id.as_str().unwrap().to_owned()).collect();
        (line["latex"].as_str().unwrap().to_owned(), ids)
    });
    lines.collect()
}

/// All texts between two marks.
fn between<'a>(text: &'a str, open: &'a str, close: &'a str) -> Vec<&'a str> {
    let pieces = text.split(open).skip(1);
    pieces.filter_map(|p| p.split(close).next()).collect()
}

fn mark(lang: Lang) -> &'static str {
    match lang {
        Lang::En => "general",
        _ => "一般式",
    }
}

#[test]
fn a_general_line_is_marked_and_names_its_instances() {
    for (d, lang, page) in documents(Format::Markdown) {
        let blocks: Vec<&str> = page.split("```math\n").collect();
        for (latex, ids) in theorem(d) {
            let block = blocks
                .iter()
                .find(|b| b.split("\n```").next() == Some(&latex));
            let notes = block.unwrap().split("<sub>").nth(1).unwrap();
            let notes = notes.split("</sub>").next().unwrap();
            assert!(notes.starts_with(mark(lang)), "{}: {notes}", d.name());
            assert_eq!(between(notes, "](#", ")"), ids, "{}", d.name());
            for id in ids {
                let anchors = page.matches(&format!("<a id=\"{id}\">")).count();
                assert_eq!(anchors, 1, "{}: {id}", d.name());
            }
        }
    }
    for (d, lang, page) in documents(Format::Tex) {
        for (latex, ids) in theorem(d) {
            let notes = page.split(&format!("\\[\n{latex}\n\\]")).nth(1).unwrap();
            let notes = notes.split("\n\n").next().unwrap();
            assert!(notes.contains(mark(lang)), "{}: {notes}", d.name());
            let found = between(notes, "\\eqref{", "}");
            assert_eq!(found.len(), ids.len(), "{}: {notes}", d.name());
            for (label, id) in found.iter().zip(ids) {
                assert_eq!(*label, id.replace('_', "-"));
                assert_eq!(page.matches(&format!("\\label{{{label}}}")).count(), 1);
            }
        }
    }
}

#[test]
fn a_general_line_of_text_and_of_a_page_is_marked_too() {
    for format in [Format::Text, Format::Ascii] {
        for (d, lang, page) in documents(format) {
            let tight: String = page.split_whitespace().collect();
            let (open, stop) = match lang {
                Lang::En => ("(", ";"),
                _ => ("（", "；"),
            };
            let theorem = theorem(d);
            let heads = tight.matches(&format!("{open}{}", mark(lang))).count();
            assert_eq!(heads, theorem.len(), "{}", d.name());
            for (_, ids) in theorem.iter().filter(|(_, ids)| !ids.is_empty()) {
                let comma = if lang == Lang::Zh { "、" } else { "," };
                assert!(tight.contains(&ids.join(comma)), "{}: {ids:?}", d.name());
                for id in ids {
                    let lines = tight.matches(&format!("{open}{id}{stop}")).count();
                    assert_eq!(lines, 1, "{}: {id}", d.name());
                }
            }
        }
    }
    for (d, lang, page) in documents(Format::Html) {
        let root = Node::read(&page);
        let general: Vec<&Node> = root.named("div").filter(|n| n.is("line general")).collect();
        let theorem = theorem(d);
        assert_eq!(general.len(), theorem.len(), "{}", d.name());
        for (line, (_, ids)) in general.iter().zip(theorem) {
            let badge = line.named("span").find(|n| n.is("badge")).unwrap();
            assert_eq!(badge.spoken(lang.code()), mark(lang));
            let links: Vec<&str> = line
                .named("a")
                .filter_map(|a| a.attribute("href"))
                .collect();
            let ids: Vec<String> = ids.iter().map(|id| format!("#{id}")).collect();
            assert_eq!(links, ids, "{}", d.name());
            for (link, of) in line.named("a").zip(&ids) {
                let target = |n: &&&Node| n.attribute("id") == Some(&of[1..]);
                let target = *root.all().iter().find(target).unwrap();
                let number = target.named("a").find(|a| a.is("no")).unwrap();
                assert_eq!(number.spoken("en"), link.spoken("en"), "{of}");
            }
        }
    }
}
