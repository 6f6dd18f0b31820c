//! Ctrl-C and SIGTERM while readings are being sent.

use anyhow::Context as _;
use producer::Progress;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};

/// Ends the run at the first signal, with what is in flight awaited, and the process at the second.
pub fn stop_at_a_signal(progress: Arc<Progress>) -> anyhow::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot listen for signals")?;
    let (mut interrupt, mut terminate) = runtime.block_on(async {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        anyhow::Ok((listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?))
    })?;
    // It ends with the process.
    std::thread::spawn(move || {
        runtime.block_on(async {
            for ends_now in [false, true] {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if ends_now {
                    std::process::exit(1);
                }
                progress.stop();
            }
        });
    });
    Ok(())
}
