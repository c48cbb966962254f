//! This library as a competitor in the benchmark of `benches/peers`: `peer serve` reads one case as JSON from
//! each line of its input, and answers with one line: times and a checksum of the results. `--by-hand` replaces
//! the LSTM of the library by one written out here.

mod case;
mod cells;
mod data;
mod engine;
mod problem;
mod serve;
#[cfg(test)]
mod tests;
mod timing;

use std::io::{self, BufRead, Write};
use std::process::ExitCode;

use serde_json::{Value, json};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let by_hand = match arguments[..] {
        ["serve"] => false,
        ["serve", "--by-hand"] => true,
        _ => {
            eprintln!("usage: peer serve [--by-hand]");
            return ExitCode::from(2);
        }
    };
    match talk(by_hand) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peer: {error}");
            ExitCode::FAILURE
        }
    }
}

fn talk(by_hand: bool) -> io::Result<()> {
    let mut server = serve::Server::new(by_hand);
    say(&json!({ "ready": true }))?;
    for line in io::stdin().lock().lines() {
        let line = line?;
        if !line.trim().is_empty() {
            say(&server.answer(&line))?;
        }
    }
    Ok(())
}

fn say(answer: &Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{answer}")?;
    out.flush()
}
