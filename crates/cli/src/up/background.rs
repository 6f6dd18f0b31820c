//! What goes on beside the pipeline: the archive, trimming, the simulated fleet.

use super::Holds;
use super::totals::Totals;
use anyhow::Context as _;
use embedded::{ArchiveLimits, EmbeddedStorage};
use producer::{Endpoint, FleetRun, Progress, run_fleet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// How often the stream is trimmed.
const TRIM_INTERVAL: Duration = Duration::from_secs(60);

/// How long a failed archive run waits before the next.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// The fleet's default pace.
const READINGS_PER_DEVICE_SECOND: f64 = 2.0;

/// Archives raw bodies as they fall due, until cancelled.
pub async fn archive(storage: EmbeddedStorage, cancelled: CancellationToken) {
    loop {
        let pause = match storage.archive_raw(ArchiveLimits::default(), false).await {
            Ok(run) => run.next_call_in,
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "archiving failed and will be tried again");
                RETRY_INTERVAL
            }
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = cancelled.cancelled() => return,
        }
    }
}

/// Archives what has not fallen due yet.
pub async fn archive_the_rest(storage: &EmbeddedStorage) {
    if let Err(error) = storage.archive_raw(ArchiveLimits::default(), true).await {
        warn!(error = &error as &dyn std::error::Error, "the newest readings will be archived by the next run");
    }
}

/// Trims the stream now and then, until cancelled.
pub async fn trim(storage: EmbeddedStorage, holds: Holds, cancelled: CancellationToken) {
    loop {
        tokio::select! {
            () = sleep(TRIM_INTERVAL) => {}
            () = cancelled.cancelled() => return,
        }
        tokio::select! {
            () = trim_once(&storage, &holds) => {}
            () = cancelled.cancelled() => return,
        }
    }
}

/// Trims the stream, once no backup is being made. May be dropped at any point.
pub async fn trim_once(storage: &EmbeddedStorage, holds: &Holds) {
    let _held = holds.upkeep.read().await;
    if let Err(error) = storage.trim().await {
        warn!(error = &error as &dyn std::error::Error, "trimming failed and will be tried again");
    }
}

/// Returns when everything accepted is processed, or after `limit`.
pub async fn wait_until_nothing_is_pending(totals: &Totals, limit: Duration) {
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        match totals.read().await {
            Ok(accounts) if accounts.pending == 0 => return,
            Ok(_) => sleep(Duration::from_millis(20)).await,
            Err(error) => return warn!(error = &error as &dyn std::error::Error, "cannot tell what is pending"),
        }
    }
    warn!("not everything was processed in time; the next run carries on");
}

/// A simulated fleet on a thread of its own.
pub struct Fleet {
    progress: Arc<Progress>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Fleet {
    /// Starts posting; does nothing for no devices.
    pub fn start(devices: u32, rate: Option<f64>, url: &str, api_key: &str) -> anyhow::Result<Self> {
        let progress = Arc::new(Progress::default());
        if devices == 0 {
            return Ok(Fleet { progress, thread: None });
        }
        let endpoint = Endpoint::new(url, api_key).context("cannot start the fleet")?;
        let devices = devices as usize;
        let readings_per_second = rate.unwrap_or(devices as f64 * READINGS_PER_DEVICE_SECOND);
        let run = FleetRun { devices, readings_per_second, seed: 1 };
        let counted = progress.clone();
        let thread = std::thread::Builder::new()
            .name("fleet".to_owned())
            .spawn(move || run_fleet(&endpoint, run, &counted))
            .context("cannot start the fleet")?;
        Ok(Fleet { progress, thread: Some(thread) })
    }

    /// Ends the fleet's posts and waits for those under way.
    pub async fn stop(self) {
        self.progress.stop();
        let Some(thread) = self.thread else { return };
        if tokio::task::spawn_blocking(move || thread.join()).await.is_ok_and(|ended| ended.is_err()) {
            warn!("the simulated fleet panicked");
        }
    }
}
