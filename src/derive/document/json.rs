//! A derivation as data for other programs; the fields are described in `docs/derivation.md`.

use std::fmt::Write;

use super::used;
use super::{columns, gaps};
use crate::derive::algebra::chain::Carried;
use crate::derive::algebra::change::Place;
use crate::derive::chapters::theorem;
use crate::derive::record::derivation::{Derivation, Reach};
use crate::derive::record::equation::{Check, Equation};
use crate::derive::record::part::Level;
use crate::derive::record::relation::Relation;
use crate::derive::record::rule::Rule;
use crate::derive::record::words::Lang;
use crate::render::{Charset, Dialect, Math};

pub(super) fn write(d: &Derivation, level: Level) -> String {
    let theorem = theorem::lines(d);
    let instances = theorem::instances(d);
    let theorem = theorem.iter().zip(instances).map(|(line, instances)| {
        let latex = string(&line.latex(Dialect::Plain));
        let instances = list(instances.into_iter().map(|e| string(&e.id.to_string())));
        format!("{{\"latex\": {latex}, \"state\": \"general\", \"instances\": {instances}}}")
    });
    let rules = used(d, level).into_iter().map(rule);
    let runs = list(d.reaches().iter().map(|r| run(d, r)));
    let shown = d.equations.iter().filter(|e| e.level <= level);
    let equations: Vec<String> = shown.map(|e| equation(d, e, level)).collect();
    let forward = d.states.iter().map(|s| state(s, "forward"));
    let states = forward.chain(d.back.iter().map(|s| state(s, "backward")));
    let checks = d.checks();
    let mut out = String::new();
    let _ = write!(
        out,
        "{{\n  \"schema\": 4,\n  \"recurrence\": {},\n  \"checks\": {{\"passed\": {}, \"failed\": {}, \
         \"unchecked\": {}, \"worst\": {:e}}},\n  \"states\": {},\n  \"runs\": {runs},\n  \"theorem\": {},\n  \"rules\": {},\n  \"equations\": [\n{}\n  ]\n}}\n",
        string(d.name()),
        checks.passed,
        checks.failed,
        checks.unchecked,
        checks.worst,
        list(states),
        list(theorem),
        list(rules),
        equations.join(",\n")
    );
    out
}

fn state(carried: &Carried, direction: &str) -> String {
    let (name, delay) = (string(&carried.name), carried.delay);
    format!("{{\"name\": {name}, \"delay\": {delay}, \"direction\": \"{direction}\"}}")
}

fn rule(rule: Rule) -> String {
    let mut fields = vec![
        format!("\"id\": {}", string(rule.id())),
        format!("\"en\": {}", string(rule.english())),
        format!("\"zh\": {}", string(rule.chinese())),
        format!("\"statement\": {}", string(rule.statement())),
    ];
    fields.extend(rule.proof().map(|p| format!("\"proof\": {}", string(p))));
    format!("{{{}}}", fields.join(", "))
}

fn equation(d: &Derivation, e: &Equation, level: Level) -> String {
    let (left, right) = d.sides(e);
    let tex = |m: &Math| string(&m.latex(Dialect::Plain));
    let relation = name_of(e.relation);
    let range = e.range.vars.iter().map(|(var, from, to)| {
        let step = |t| string(&d.symbols.time(t).text(Charset::Unicode));
        format!(
            "{{\"var\": {}, \"from\": {}, \"to\": {}}}",
            string(&var.to_string()),
            step(from),
            step(to)
        )
    });
    let mut fields = vec![
        format!("\"id\": {}", string(&e.id.to_string())),
        format!("\"part\": {}", string(e.part.heading().text(Lang::En))),
        format!("\"level\": {}", string(e.level.name())),
        format!("\"left\": {}", tex(&left)),
        format!("\"relation\": {}", string(relation)),
        format!("\"right\": {}", tex(&right)),
        format!("\"text\": {}", string(&d.formula(e).text(Charset::Unicode))),
        format!("\"range\": {}", list(range)),
    ];
    if let Some(given) = &e.given {
        fields.push(format!("\"given\": {}", tex(&d.condition(given))));
    }
    if let Some(shape) = &e.shape {
        fields.push(format!(
            "\"shape\": {}",
            list(shape.iter().map(|s| string(s)))
        ));
    }
    fields.push(format!(
        "\"rules\": {}",
        list(e.rules.iter().map(|r| string(r.id())))
    ));
    fields.push(format!(
        "\"premises\": {}",
        list(e.premises.iter().map(|p| string(&p.to_string())))
    ));
    if level == Level::Full {
        let steps = e.steps.iter().map(|s| {
            let show = |t| tex(&d.symbols().show(t));
            let (rule, before, after) = (string(s.rule.id()), show(&s.before), show(&s.after));
            let relation = string(s.relation().map_or("becomes", name_of));
            let place = |term, place: &Place| {
                let path = list(place.path.iter().map(ToString::to_string));
                let parts = list(place.find(term).into_iter().map(show));
                let run = match place.run {
                    Some((from, to)) => format!("[{from}, {to}]"),
                    None => "null".into(),
                };
                format!("{{\"path\": {path}, \"run\": {run}, \"parts\": {parts}}}")
            };
            let was = place(&s.before, &s.change.before);
            let now = place(&s.after, &s.change.after);
            format!(
                "{{\"rule\": {rule}, \"before\": {before}, \"relation\": {relation}, \
                 \"after\": {after}, \"changed\": {{\"before\": {was}, \"after\": {now}}}}}"
            )
        });
        fields.push(format!("\"steps\": {}", list(steps)));
    }
    fields.push(format!("\"check\": {}", check(&e.check)));
    format!("    {{{}}}", fields.join(", "))
}

const fn name_of(relation: Relation) -> &'static str {
    match relation {
        Relation::Equal => "equal",
        Relation::Defined => "defined",
        Relation::AtMost => "at most",
    }
}

/// The measurements of a run; norms as logarithms, which are always in range.
fn run(d: &Derivation, reach: &Reach) -> String {
    let numbers = |v: &[f64]| list(v.iter().map(|x| number(*x)));
    let counts = |v: &[usize]| list(v.iter().map(usize::to_string));
    let rows = |rows: &[Vec<f64>]| list(rows.iter().map(|row| numbers(row)));
    let columns = columns(d, reach).into_iter().map(|c| {
        let head = string(&c.head.latex(Dialect::Plain));
        format!("{{\"of\": {head}, \"logs\": {}}}", numbers(&c.logs))
    });
    let carousels = reach.carousels.iter().map(|kept| {
        let state = string(&kept.state);
        format!("{{\"state\": {state}, \"logs\": {}}}", rows(&kept.logs))
    });
    let fields = [
        ("steps", reach.steps.to_string()),
        ("origin", string(reach.origin.name())),
        ("backward", reach.backward.to_string()),
        ("ratio", number(reach.ratio)),
        ("exponent", number(reach.exponent())),
        ("gaps", counts(&gaps(reach))),
        ("columns", list(columns)),
        ("marks", counts(&reach.marks)),
        ("logs", rows(&reach.logs)),
        ("step_logs", numbers(&reach.step_logs)),
        ("carousels", list(carousels)),
    ];
    let fields: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("\"{name}\": {value}"))
        .collect();
    format!("{{{}}}", fields.join(", "))
}

/// A number; JSON has no infinities.
fn number(x: f64) -> String {
    if x.is_finite() {
        format!("{x:e}")
    } else {
        "null".into()
    }
}

fn check(check: &Check) -> String {
    match check {
        Check::Pending => "{\"state\": \"unchecked\"}".into(),
        Check::Passed { worst, trials } => {
            format!("{{\"state\": \"passed\", \"worst\": {worst:e}, \"trials\": {trials}}}")
        }
        Check::Definition => "{\"state\": \"definition\"}".into(),
        Check::Bound { tightest, trials } => {
            format!("{{\"state\": \"bound\", \"tightest\": {tightest:e}, \"trials\": {trials}}}")
        }
        Check::Failed { reason } => {
            format!("{{\"state\": \"failed\", \"reason\": {}}}", string(reason))
        }
        Check::NotCheckable { reason } => {
            format!(
                "{{\"state\": \"not checkable\", \"reason\": {}}}",
                string(reason.text(Lang::En))
            )
        }
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

fn string(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
