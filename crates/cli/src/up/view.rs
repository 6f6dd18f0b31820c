//! What the gateway reads of the embedded storage and of the curated files.

use super::holds::{Holds, copy as copy_pipeline};
use super::totals::Totals;
use curator::device_history;
use curator::parquet_file::ReadError;
use embedded::{BackupError, EmbeddedDeadLetterQueue, EmbeddedStorage};
use gateway::{Accounting, BackupFailure, History, HistoryQuery, PipelineView, ViewError};
use ports::{BackupProgress, BackupSummary, StatisticsAttributes, StatisticsStore as _, with_causes};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use telemetry::DeviceId;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Histories that are read at once: each keeps a thread and a disk busy, and its rows in memory.
const HISTORIES_AT_ONCE: usize = 2;

/// The pipeline of this machine.
#[derive(Clone)]
pub struct StorageView {
    storage: EmbeddedStorage,
    letters: EmbeddedDeadLetterQueue,
    totals: Totals,
    holds: Holds,
    histories: Arc<Semaphore>,
    /// Unreadable curated files and items that the log has named.
    named: Arc<Mutex<BTreeSet<String>>>,
}

fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> ViewError {
    ViewError::Unavailable(Box::new(error))
}

impl PipelineView for StorageView {
    type Letters = EmbeddedDeadLetterQueue;

    async fn device(&self, device_id: &DeviceId) -> Result<Option<StatisticsAttributes>, ViewError> {
        let item = self.storage.statistics().read_device(device_id).await.map_err(unavailable)?;
        Ok(item.map(|item| item.attributes))
    }

    async fn devices(
        &self,
        after: Option<&DeviceId>,
        limit: usize,
    ) -> Result<Vec<(DeviceId, StatisticsAttributes)>, ViewError> {
        let list = self.storage.statistics().list(after, limit).await.map_err(unavailable)?;
        if let Some((devices, first)) = list.unreadable
            && self.is_named_first(&first.to_string())
        {
            warn!(
                error = with_causes(&first),
                devices, "stored statistics cannot be read, and their devices are in no list"
            );
        }
        Ok(list.devices.into_iter().map(|(device_id, item)| (device_id, item.attributes)).collect())
    }

    async fn history(&self, query: HistoryQuery) -> Result<History, ViewError> {
        // Nobody closes this semaphore. The permit goes with the work: who gives up waiting does not make room.
        let permit = Arc::clone(&self.histories).acquire_owned().await.map_err(unavailable)?;
        let folder = self.storage.archive();
        let HistoryQuery { device_id, from, to } = query;
        let read = move || {
            let _permit = permit;
            device_history(&folder, &curator::HistoryQuery { device_id, from, to })
        };
        let history = tokio::task::spawn_blocking(read).await.map_err(unavailable)?.map_err(unavailable)?;
        for (file, error) in &history.unreadable {
            self.name_unreadable(file, error);
        }
        Ok(History { rows: history.rows, unreadable_files: history.unreadable.len() })
    }

    async fn accounting(&self) -> Result<Accounting, ViewError> {
        self.totals.read().await.map_err(unavailable)
    }

    fn letters(&self) -> &EmbeddedDeadLetterQueue {
        &self.letters
    }

    async fn backup(
        &self,
        target: PathBuf,
        progress: mpsc::Sender<BackupProgress>,
    ) -> Result<BackupSummary, BackupFailure> {
        let stopped = CancellationToken::new();
        let _stop_when_dropped = stopped.clone().drop_guard();
        let (storage, holds) = (self.storage.clone(), self.holds.clone());
        let copy = move || {
            let report = |step| {
                // A slow client gets fewer steps.
                let _ = progress.try_send(step);
                !stopped.is_cancelled()
            };
            let copied = copy_pipeline(&storage, &target, &holds, &report);
            match &copied {
                Ok(_) => info!(target = %target.display(), "backup made"),
                Err(error) => warn!(target = %target.display(), error = with_causes(error), "no backup was made"),
            }
            copied
        };
        let copied = tokio::task::spawn_blocking(copy).await;
        let copied = copied.map_err(|error| BackupFailure::Failed(format!("the backup panicked: {error}")))?;
        copied.map_err(|error| match error {
            BackupError::Target(why) => BackupFailure::Target(why),
            error => BackupFailure::Failed(with_causes(&error)),
        })
    }
}

impl StorageView {
    pub fn new(storage: EmbeddedStorage, totals: Totals, holds: Holds) -> Self {
        let histories = Arc::new(Semaphore::new(HISTORIES_AT_ONCE));
        let letters = storage.dead_letters();
        StorageView { storage, letters, totals, holds, histories, named: Arc::default() }
    }

    /// Whether the log has not named it before.
    fn is_named_first(&self, unreadable: &str) -> bool {
        // A set is never left half-changed.
        self.named.lock().unwrap_or_else(PoisonError::into_inner).insert(unreadable.to_owned())
    }

    /// Says once of a file that it cannot be read.
    fn name_unreadable(&self, file: &str, error: &ReadError) {
        if self.is_named_first(file) {
            warn!(file, error = with_causes(error), "a curated file cannot be read, and what it has is in no history");
        }
    }
}
