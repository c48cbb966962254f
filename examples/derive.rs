//! Prints the derivation of a recurrence, every line with its check:
//! `cargo run --release --example derive -- lstm`.

use bptt::cells::{Cell, Loss};
use bptt::derive::{Check, Level, Part};
use bptt::render::Charset;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "rnn".into());
    let loss = Loss::SquaredError;
    let recurrence = match &*name {
        "rnn" => Cell::rnn().model("rnn", loss)?,
        "lstm" => Cell::lstm().model("lstm", loss)?,
        "gru" => Cell::gru().model("gru", loss)?,
        file => bptt::Recurrence::parse(file, &std::fs::read_to_string(file)?)?,
    };
    let mut derivation = recurrence.derive()?;
    let checks = derivation.check(2)?;
    for part in Part::ALL {
        println!("\n{part:?}");
        for equation in derivation.lines(*part, Level::Normal) {
            let line = derivation.formula(equation).text(Charset::Unicode);
            match &equation.check {
                Check::Passed { worst, trials } => println!("  {line}   [{worst:.0e}, n={trials}]"),
                check => println!("  {line}   {check:?}"),
            }
        }
    }
    println!("\n{checks:?}");
    Ok(())
}
