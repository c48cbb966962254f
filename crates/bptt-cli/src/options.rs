//! The advice of the library in terms of the command line.

/// Advice of the library, and the same for the command line.
const ADVICE: &[(&str, &str)] = &[
    (
        "`Recurrence::with_mask`, or `mask input m` in the text",
        "`mask input m` in the text of the recurrence",
    ),
    ("`Check::steps`", "`--steps`"),
    ("`Program::timeout`", "`--timeout`"),
    ("`Params::insert`", "`--params`"),
    (
        "choose `ReadOptions::missing`",
        "give `--missing drop-row`, `--missing split` or `--missing mask`",
    ),
    ("choose `Missing::Mask`", "give `--missing mask`"),
    ("(`ReadOptions::missing`)", "(`--missing mask`)"),
    (
        "(`ReadOptions::alphabet`)",
        "(`--params` of a fit to a table of texts)",
    ),
    (
        "run the whole sequence with `Program::run`",
        "run the whole sequence, without `--stream` or `--truncate`",
    ),
    ("`ReadOptions::decimal(',')`", "`--decimal ,`"),
    ("`ReadOptions::thousands('.')`", "`--thousands .`"),
    ("`ReadOptions::thousands(',')`", "`--thousands ,`"),
    ("`Recurrence::gradient`", "`bptt grad`"),
    ("`Import::nonlinearity`", "`--nonlinearity`"),
    ("`Import::activation`", "`--activation`"),
    ("`Import::loss`", "`--loss`"),
    ("`Import::states`", "`--states`"),
    ("`Import::order`", "`--order`"),
    ("`Import::ignoring`", "`--ignore`"),
    (
        "`Program::find_non_finite` finds where it began",
        "`bptt grad` finds where it began",
    ),
    ("compute in `f64`", "compute in f64: `--dtype f64`"),
];

/// The start of a column in Rust.
const COLUMN: &str = "`ReadOptions::column(\"";

/// The start of a size in Rust.
const SIZE: &str = "`Batch::size(\"";

/// The start of a memory limit in Rust.
const MEMORY: &str = "`bptt::set_memory_limit(Some(";

/// A message, with the functions of Rust in it replaced by options.
pub(crate) fn in_options(text: &str) -> String {
    let mut told = text.to_owned();
    for (rust, option) in ADVICE {
        if told.contains(rust) {
            told = told.replace(rust, option);
        }
    }
    while let Some((before, (input, column, after))) = told
        .split_once(COLUMN)
        .and_then(|(before, rest)| Some((before, column(rest)?)))
    {
        let quoted = column.contains(|c: char| !c.is_alphanumeric() && !":_-".contains(c));
        told = match quoted || input.contains('[') {
            true => format!("{before}`--columns '{input}={column}'`{after}"),
            false => format!("{before}`--columns {input}={column}`{after}"),
        };
    }
    while let Some((before, (name, size, after))) = told
        .split_once(SIZE)
        .and_then(|(before, rest)| Some((before, size(rest)?)))
    {
        told = format!("{before}`--dims {name}={size}`{after}");
    }
    while let Some((before, (count, unit, after))) = told
        .split_once(MEMORY)
        .and_then(|(before, rest)| Some((before, memory(rest)?)))
    {
        told = format!("{before}`--memory`, such as `--memory {count}{unit}`{after}");
    }
    told
}

/// The rest of a memory limit in Rust: its number, its unit and the text after it.
fn memory(rest: &str) -> Option<(&str, &str, &str)> {
    let (count, rest) = rest.split_once(" << ")?;
    let (shift, after) = rest.split_once("))`")?;
    Some((count, if shift == "20" { "M" } else { "G" }, after))
}

/// The rest of a column in Rust: its input, its name and the text after it.
fn column(rest: &str) -> Option<(&str, &str, &str)> {
    let (input, rest) = rest.split_once("\", \"")?;
    let (column, after) = rest.split_once("\")`")?;
    Some((input, column, after))
}

/// The rest of a size in Rust: its name, its number and the text after it.
fn size(rest: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = rest.split_once("\", ")?;
    let (size, after) = rest.split_once(")`")?;
    Some((name, size, after))
}

#[cfg(test)]
mod tests {
    use super::in_options;

    #[test]
    fn advice_of_the_library_becomes_commands_and_options() {
        for (rust, told) in [
            (
                "the end of the run (`Program::find_non_finite` finds where it began)",
                "the end of the run (`bptt grad` finds where it began)",
            ),
            (
                "a mask of 0 (`Recurrence::with_mask`, or `mask input m` in the text)",
                "a mask of 0 (`mask input m` in the text of the recurrence)",
            ),
            (
                "give it with `Batch::size(\"H\", 8)`.",
                "give it with `--dims H=8`.",
            ),
            (
                "as texts: `ReadOptions::column(\"y\", \"g:class\")`; or `ReadOptions::column(\"x[0]\", \"Day:days\")`",
                "as texts: `--columns y=g:class`; or `--columns 'x[0]=Day:days'`",
            ),
        ] {
            assert_eq!(in_options(rust), told);
        }
    }
}
