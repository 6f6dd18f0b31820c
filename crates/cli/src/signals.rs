//! What ends a command that has something to bring to its end: Ctrl-C, SIGTERM, and SIGHUP of a terminal that was closed.

use anyhow::{Context as _, Result};
use std::io::IsTerminal as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The bit of SIGHUP in a mask of signals: the lowest, as its number is 1.
const HANGUP_BIT: u128 = 1;

/// Listens from when it is made.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// `None` where the command was started under `nohup`, and is to outlive its terminal.
    hangup: Option<Signal>,
}

impl Signals {
    /// Starts to listen, in a runtime.
    ///
    /// # Errors
    /// Where the system lets nobody listen.
    pub fn new() -> Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        let hangup = if ignores_hangup() { None } else { Some(listen(SignalKind::hangup())?) };
        Ok(Signals { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())?, hangup })
    }

    /// Waits for the signal that begins the end.
    pub async fn first(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = hangup => {}
        }
    }

    /// Waits for the signal that ends at once. SIGHUP doesn't: shell and system both send it when a terminal is closed.
    pub async fn second(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Whether SIGHUP was ignored when the command started. Listening would end that.
fn ignores_hangup() -> bool {
    match std::fs::read_to_string("/proc/self/status") {
        Ok(status) => is_hangup_ignored(&status),
        // Elsewhere the mask can't be read; what `nohup` starts has no terminal on standard error.
        Err(_) => !std::io::stderr().is_terminal(),
    }
}

fn is_hangup_ignored(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u128::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & HANGUP_BIT != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_says_whether_hangup_is() {
        for (mask, is_ignored) in [("0000000000000001", true), ("0000000000001003", true), ("0000000000001002", false)]
        {
            let status = format!("Name:\tx\nSigBlk:\tffffffffffffffff\nSigIgn:\t{mask}\nSigCgt:\tffffffffffffffff\n");
            assert_eq!(is_hangup_ignored(&status), is_ignored, "{mask}");
        }
        assert!(!is_hangup_ignored("no mask"));
    }
}
