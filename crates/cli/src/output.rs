//! Standard output, for people and for programs.

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use std::io::{ErrorKind, Write as _};

/// How to print.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// For programs
    Json,
}

/// Writes a line for people. Where standard error is gone, as with a closed terminal, there is nobody to tell.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "streamgauge: {line}");
}

/// Prints text whose every part may be anyone's: no control character but the line feed gets through. `false` when
/// nobody reads any more, as after `head`.
pub fn print(text: &str) -> Result<bool> {
    let mut out = std::io::stdout().lock();
    match out.write_all(redrive::printable(text).as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        written => written.map(|()| true).context("cannot write to standard output"),
    }
}
