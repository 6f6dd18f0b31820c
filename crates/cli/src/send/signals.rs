//! Signals while readings are being sent.

use crate::signals::Signals;
use anyhow::Context as _;
use producer::Progress;
use std::sync::Arc;

/// Ends the run at the first signal, with what is in flight awaited, and the process at the second.
pub fn stop_at_a_signal(progress: Arc<Progress>) -> anyhow::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot listen for signals")?;
    let mut signals = runtime.block_on(async { Signals::new() })?;
    // It ends with the process.
    std::thread::spawn(move || {
        runtime.block_on(async {
            signals.first().await;
            progress.stop();
            signals.second().await;
            std::process::exit(1);
        });
    });
    Ok(())
}
