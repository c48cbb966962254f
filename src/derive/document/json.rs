//! A derivation as data for other programs; the fields are described in `docs/derivation.md`.

use std::fmt::Write;

use crate::derive::words::Lang;
use crate::derive::{Check, Derivation, Equation, Level, Relation};
use crate::render::{Charset, Dialect, Math};

pub(super) fn write(d: &Derivation, level: Level) -> String {
    let shown = d.equations.iter().filter(|e| e.level <= level);
    let equations: Vec<String> = shown.map(|e| equation(d, e, level)).collect();
    let checks = d.checks();
    let mut out = String::new();
    let _ = write!(
        out,
        "{{\n  \"schema\": 1,\n  \"recurrence\": {},\n  \"checks\": {{\"passed\": {}, \"failed\": {}, \
         \"unchecked\": {}, \"worst\": {:e}}},\n  \"states\": {},\n  \"equations\": [\n{}\n  ]\n}}\n",
        string(d.name()),
        checks.passed,
        checks.failed,
        checks.unchecked,
        checks.worst,
        list(d.states.iter().map(|s| string(s))),
        equations.join(",\n")
    );
    out
}

fn equation(d: &Derivation, e: &Equation, level: Level) -> String {
    let (left, right) = d.sides(e);
    let tex = |m: &Math| string(&m.latex(Dialect::Plain));
    let relation = match e.relation {
        Relation::Equal => "equal",
        Relation::Defined => "defined",
        Relation::AtMost => "at most",
    };
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
        format!("\"id\": {}", string(&e.id)),
        format!("\"part\": {}", string(e.part.heading().text(Lang::En))),
        format!("\"level\": {}", string(e.level.name())),
        format!("\"left\": {}", tex(&left)),
        format!("\"relation\": {}", string(relation)),
        format!("\"right\": {}", tex(&right)),
        format!("\"text\": {}", string(&d.formula(e).text(Charset::Unicode))),
        format!("\"range\": {}", list(range)),
    ];
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
        list(e.premises.iter().map(|p| string(p)))
    ));
    if level == Level::Full {
        let steps = e.steps.iter().map(|s| {
            let show = |t| tex(&d.symbols().show(t));
            let (rule, before, after) = (string(s.rule.id()), show(&s.before), show(&s.after));
            format!("{{\"rule\": {rule}, \"before\": {before}, \"after\": {after}}}")
        });
        fields.push(format!("\"steps\": {}", list(steps)));
    }
    fields.push(format!("\"check\": {}", check(&e.check)));
    format!("    {{{}}}", fields.join(", "))
}

fn check(check: &Check) -> String {
    match check {
        Check::Pending => "{\"state\": \"unchecked\"}".into(),
        Check::Passed { worst, trials } => {
            format!("{{\"state\": \"passed\", \"worst\": {worst:e}, \"trials\": {trials}}}")
        }
        Check::Bound { tightest, trials } => {
            format!("{{\"state\": \"bound\", \"tightest\": {tightest:e}, \"trials\": {trials}}}")
        }
        Check::Failed { reason } => {
            format!("{{\"state\": \"failed\", \"reason\": {}}}", string(reason))
        }
        Check::NotCheckable { reason } => {
            format!(
                "{{\"state\": \"not checkable\", \"reason\": {}}}",
                string(reason)
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
