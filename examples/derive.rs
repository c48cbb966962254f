//! Derives the gradient of a network, checks every line and prints it:
//! `cargo run --release --example derive`.

use bptt::cells::{Cell, Loss};
use bptt::derive::{Format, Lang, Level};

fn main() -> Result<(), bptt::Error> {
    let mut derivation = Cell::gru().model("gru", Loss::SquaredError)?.derive()?;
    let checks = derivation.check(2)?;
    assert_eq!(checks.failed, 0, "every line holds");
    let text = derivation.render(Format::Text, Lang::En, Level::Sheet);
    // The reader may close the pipe early, as in `| head`.
    let _ = std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes());
    Ok(())
}
