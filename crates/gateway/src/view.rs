//! What the gateway reads of the pipeline behind it.

use ports::{BackupProgress, BackupSummary, CuratedRow, StatisticsAttributes};
use redrive::{DeadLetters, Intents, QueueError};
use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use telemetry::{DeviceId, RejectReason, Timestamp};
use tokio::sync::mpsc;

/// A view of a pipeline: its devices, its accounts, and its dead letters.
pub trait PipelineView: Send + Sync {
    /// The queue of dead letters, which can be changed too.
    type Letters: DeadLetters + Intents;

    /// One device's statistics; `None` for a device with no data.
    fn device(
        &self,
        device_id: &DeviceId,
    ) -> impl Future<Output = Result<Option<StatisticsAttributes>, ViewError>> + Send;

    /// At most `limit` devices after `after`, in byte order of their names.
    fn devices(
        &self,
        after: Option<&DeviceId>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<(DeviceId, StatisticsAttributes)>, ViewError>> + Send;

    /// A device's states as curated files have them, in the order of their revisions, each once.
    fn history(&self, query: HistoryQuery) -> impl Future<Output = Result<History, ViewError>> + Send;

    /// What has come in, and what became of it.
    fn accounting(&self) -> impl Future<Output = Result<Accounting, ViewError>> + Send;

    /// Its dead letters.
    fn letters(&self) -> &Self::Letters;

    /// Copies the whole pipeline into the folder `target`, an absolute path, and reports its progress where the channel
    /// has room. The first report comes only once the target is accepted. Dropped, it stops.
    fn backup(
        &self,
        target: PathBuf,
        progress: mpsc::Sender<BackupProgress>,
    ) -> impl Future<Output = Result<BackupSummary, BackupFailure>> + Send;
}

/// Which states of a device to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryQuery {
    /// The device.
    pub device_id: DeviceId,
    /// Only those written at this instant, to the millisecond, or later.
    pub from: Option<Timestamp>,
    /// Only those written at this instant, to the millisecond, or earlier.
    pub to: Option<Timestamp>,
}

/// A device's states.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// The states.
    pub rows: Vec<CuratedRow>,
    /// How many files could not be read: what they have is missing.
    pub unreadable_files: usize,
}

/// What has come in, and what became of it, in distinct readings. With nothing pending, `accepted` is the sum of
/// `counted`, `duplicates` and the dead letters.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct Accounting {
    /// Readings stored in the stream.
    pub accepted: u64,
    /// Readings in the statistics.
    pub counted: u64,
    /// Readings that had been counted before.
    pub duplicates: u64,
    /// Readings that could not be counted, by reason.
    pub dead_letters: BTreeMap<RejectReason, u64>,
    /// Readings stored and not yet processed.
    pub pending: u64,
    /// How long the oldest pending record has waited, in seconds; 0 with nothing pending.
    pub backlog_age_seconds: f64,
    /// Readings in statistics and dead letters that were never accepted: 0, or something is wrong.
    pub unexplained: u64,
}

/// Why no backup was made.
#[derive(Debug, thiserror::Error)]
pub enum BackupFailure {
    /// The target cannot take it. Permanent.
    #[error("{0}")]
    Target(String),
    /// Copying failed: running it again carries on.
    #[error("{0}")]
    Failed(String),
}

/// Why the view could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// Passing: try again.
    #[error("the pipeline's storage is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<QueueError> for ViewError {
    fn from(QueueError::Unavailable(source): QueueError) -> Self {
        ViewError::Unavailable(source)
    }
}
