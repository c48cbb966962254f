//! Rendered documents: self-contained pages, in two languages and at three levels of detail.

use bptt::cells::{Cell, Loss};
use bptt::derive::{Derivation, Format, Lang, Level, Rule, Word};

fn checked(cell: Cell, name: &str) -> Derivation {
    let model = cell.model(name, Loss::SoftmaxCrossEntropy).unwrap();
    let mut derivation = model.derive().unwrap();
    derivation.check(1).unwrap();
    derivation
}

#[test]
fn a_page_is_complete_by_itself() {
    let mut lstm = Cell::lstm()
        .model("lstm", Loss::SquaredError)
        .unwrap()
        .derive()
        .unwrap();
    lstm.check(1).unwrap();
    let page = lstm.render(Format::Html, Lang::Zh, Level::Full);
    let foreign = [
        "<script", "src=", "@import", "url(", "http", "merror", "\\frac", "$`",
    ];
    let own = page
        .replace("marker-end=\"url(#tip)\"", "")
        .replace("http://www.w3.org/2000/svg", "");
    for text in foreign {
        let found = own.contains(text);
        assert!(!found, "{text}");
    }
    for link in page
        .split("href=\"#")
        .skip(1)
        .filter_map(|p| p.split('"').next())
    {
        let target = format!("id=\"{link}\"");
        assert!(page.contains(&target), "nothing is called {link}");
    }
    // Every element is closed.
    for tag in [
        "math", "mrow", "msub", "msup", "msubsup", "mfrac", "munder", "mtable", "div", "section",
        "details", "span", "svg", "text", "tspan", "a", "figure", "dd",
    ] {
        let opened =
            page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
    }
}

#[test]
fn languages_and_levels_are_chosen_without_scripts() {
    let rnn = checked(Cell::rnn(), "rnn");
    for (lang, level) in [(Lang::En, Level::Sheet), (Lang::Zh, Level::Full)] {
        let page = rnn.render(Format::Html, lang, level);
        for group in ["lang", "level"] {
            let checked = page.matches(&format!("name=\"{group}\"")).count();
            assert!(checked >= 2, "{group}");
        }
        let chosen = |id: &str| page.contains(&format!("id=\"{id}\" checked"));
        assert!(chosen(&format!("lang-{}", lang.code())));
        assert!(chosen(&format!("level-{}", level.name())));
        assert_eq!(page.matches(" checked>").count(), 2);
        // The page contains all parts, whichever are shown at first.
        assert!(page.contains("The error terms δ") && page.contains("误差项 δ 的递推"));
        for class in ["l-sheet", "l-normal", "l-full"] {
            assert!(page.contains(&format!(" {class}\" id=\"")), "{class}");
        }
        // Every sentence appears in both languages.
        let count = |code: &str| page.matches(&format!("<span lang=\"{code}\"")).count();
        assert_eq!(count("en"), count("zh"));
    }
}

#[test]
fn figures_show_paths_by_colour_and_by_dashes() {
    let page = checked(Cell::lstm(), "lstm").render(Format::Html, Lang::En, Level::Normal);
    for kind in ["step", "time", "carousel"] {
        assert!(
            page.contains(&format!("class=\"forward {kind}\"")),
            "{kind}"
        );
        assert!(page.contains(&format!("class=\"back {kind}\"")), "{kind}");
    }
    let dashes: Vec<&str> = [".back {", ".back.time {", ".back.carousel {"]
        .iter()
        .map(|rule| {
            let style = page.split(rule).nth(1).unwrap();
            style
                .split("stroke-dasharray: ")
                .nth(1)
                .unwrap()
                .split(';')
                .next()
                .unwrap()
        })
        .collect();
    assert!(dashes[0] != dashes[1] && dashes[1] != dashes[2] && dashes[0] != dashes[2]);
    // Each backward path links to the line of the error term at its end.
    assert!(page.contains("<a href=\"#delta.c\"><path class=\"back carousel\""));
    assert!(page.contains("class=\"heat\"") && page.contains("class=\"curves\""));
}

/// A value read from further back than the steps shown in the figure enters at its margin.
#[test]
fn figures_show_what_comes_from_far_back() {
    let edges = |lags: usize| {
        let delayed = (1..lags).fold("s".to_owned(), |x, _| format!("delay({x})"));
        let source = format!(
            "input x, y\nparam a\nstate s\nu = a * {delayed}\ns' = tanh(u + x)\n\
             loss squared_error(s', y)\n"
        );
        let recurrence = bptt::Recurrence::parse("far", &source).unwrap();
        let page = recurrence.derive().unwrap();
        let page = page.render(Format::Html, Lang::En, Level::Normal);
        page.matches("<path class=\"back").count()
    };
    assert!(
        edges(2) > edges(6) && edges(6) == edges(7),
        "{} {}",
        edges(2),
        edges(6)
    );
    assert!(edges(6) > 0);
}

#[test]
fn both_languages_say_everything() {
    let formulas = |text: &str| {
        let mut found: Vec<String> = text
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect();
        found.sort();
        found.dedup();
        found
    };
    let holes = |text: &str| {
        let mut found: Vec<String> = text
            .split('{')
            .skip(1)
            .filter_map(|p| p.split('}').next().map(str::to_owned))
            .collect();
        found.sort();
        found
    };
    for word in Word::ALL {
        let (en, zh) = (word.text(Lang::En), word.text(Lang::Zh));
        assert!(!en.is_empty() && !zh.is_empty(), "{word:?}");
        assert_eq!(formulas(en), formulas(zh), "{word:?}");
        assert_eq!(holes(en), holes(zh), "{word:?}");
        assert_ne!(en, zh, "{word:?}");
        let chinese = zh.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
        assert!(chinese, "{word:?}");
    }
    // Chinese text has Chinese punctuation.
    let cjk = |c: char| ('\u{4e00}'..='\u{9fff}').contains(&c);
    let texts = Word::ALL.iter().map(|w| w.text(Lang::Zh));
    for text in texts.chain(Rule::ALL.iter().map(|r| r.chinese())) {
        let outside: String = text.split('`').step_by(2).collect::<Vec<_>>().join("x");
        let chars: Vec<char> = outside.chars().collect();
        for pair in chars.windows(2) {
            let wrong = |a: char, b: char| cjk(a) && ",.;:?!()".contains(b);
            assert!(
                !wrong(pair[0], pair[1]) && !wrong(pair[1], pair[0]),
                "{text}"
            );
        }
    }
    for rule in Rule::ALL {
        assert!(!rule.english().is_empty() && !rule.chinese().is_empty());
        let twins = Rule::ALL.iter().filter(|r| r.id() == rule.id()).count();
        assert_eq!(twins, 1, "{}", rule.id());
    }
}
