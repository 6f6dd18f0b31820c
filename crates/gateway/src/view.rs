//! What the gateway reads of the pipeline behind it.

use ports::{BackupProgress, BackupSummary, CuratedRow, DeadLetter, StatisticsAttributes};
use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use telemetry::{DeviceId, RejectReason, Timestamp};
use tokio::sync::mpsc;

/// A view of a pipeline: its devices, its accounts, its dead letters. Of these alone it also changes something: it
/// sends dead letters back, and deletes them.
pub trait PipelineView: Send + Sync {
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

    /// At most `query.limit` dead letters that the query selects, each id once.
    fn dead_letters(
        &self,
        query: DeadLetterQuery<'_>,
    ) -> impl Future<Output = Result<DeadLetterPage, ViewError>> + Send;

    /// Sends dead letters back: for each, puts its bodies into the stream, and deletes it once all of them are stored.
    /// One result a letter, in order.
    fn redrive(
        &self,
        letters: Vec<RedriveLetter>,
    ) -> impl Future<Output = Result<Vec<Result<(), RedriveFailure>>, ViewError>> + Send;

    /// Deletes dead letters, durably, all or none; how many of them were there.
    fn delete_dead_letters(&self, ids: Vec<String>) -> impl Future<Output = Result<u64, ViewError>> + Send;

    /// Copies the whole pipeline into the folder `target`, an absolute path, and reports its progress where the channel
    /// has room. The first report comes only once the target is accepted. Dropped, it stops.
    fn backup(
        &self,
        target: PathBuf,
        progress: mpsc::Sender<BackupProgress>,
    ) -> impl Future<Output = Result<BackupSummary, BackupFailure>> + Send;
}

impl<V: PipelineView> PipelineView for std::sync::Arc<V> {
    fn device(
        &self,
        device_id: &DeviceId,
    ) -> impl Future<Output = Result<Option<StatisticsAttributes>, ViewError>> + Send {
        (**self).device(device_id)
    }

    fn devices(
        &self,
        after: Option<&DeviceId>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<(DeviceId, StatisticsAttributes)>, ViewError>> + Send {
        (**self).devices(after, limit)
    }

    fn history(&self, query: HistoryQuery) -> impl Future<Output = Result<History, ViewError>> + Send {
        (**self).history(query)
    }

    fn accounting(&self) -> impl Future<Output = Result<Accounting, ViewError>> + Send {
        (**self).accounting()
    }

    fn dead_letters(
        &self,
        query: DeadLetterQuery<'_>,
    ) -> impl Future<Output = Result<DeadLetterPage, ViewError>> + Send {
        (**self).dead_letters(query)
    }

    fn redrive(
        &self,
        letters: Vec<RedriveLetter>,
    ) -> impl Future<Output = Result<Vec<Result<(), RedriveFailure>>, ViewError>> + Send {
        (**self).redrive(letters)
    }

    fn delete_dead_letters(&self, ids: Vec<String>) -> impl Future<Output = Result<u64, ViewError>> + Send {
        (**self).delete_dead_letters(ids)
    }

    fn backup(
        &self,
        target: PathBuf,
        progress: mpsc::Sender<BackupProgress>,
    ) -> impl Future<Output = Result<BackupSummary, BackupFailure>> + Send {
        (**self).backup(target, progress)
    }
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

/// Which dead letters to list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeadLetterQuery<'a> {
    /// Where an earlier page ended: its `next`, or any other 1–128 of `A-Z a-z 0-9 . _ : -`, which is a position
    /// too: none of them is an error.
    pub after: Option<&'a str>,
    /// The most letters, at least 1.
    pub limit: usize,
    /// Only those with this reason.
    pub reason: Option<RejectReason>,
    /// Only those of this device.
    pub device_id: Option<&'a DeviceId>,
    /// Only the one of this id.
    pub id: Option<&'a str>,
    /// Only those given up at this instant, to the millisecond, or later.
    pub since: Option<Timestamp>,
    /// Only those given up at this instant, to the millisecond, or earlier.
    pub until: Option<Timestamp>,
    /// Whether the list begins with the oldest.
    pub oldest_first: bool,
}

/// A dead letter on its way back to the stream.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct RedriveLetter {
    /// The letter's id.
    pub id: String,
    /// What is put into the stream for it, each a reading or a series; `None`: the letter's own record, of a letter that
    /// is of a whole record.
    #[serde(default, deserialize_with = "present")]
    pub bodies: Option<Vec<String>>,
}

/// A member that may be left out, but is not null.
fn present<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<Vec<String>>, D::Error> {
    serde::Deserialize::deserialize(value).map(Some)
}

/// Why a dead letter did not go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedriveFailure {
    /// What is wrong.
    pub error: String,
    /// Whether trying again may help.
    pub passing: bool,
    /// Whether the letter is not there, be it that it went before.
    pub gone: bool,
}

/// A page of dead letters.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DeadLetterPage {
    /// The letters.
    pub dead_letters: Vec<DeadLetter>,
    /// What to pass as `after` to read on, 1–128 of `A-Z a-z 0-9 . _ : -`; `None` at the end.
    pub next: Option<String>,
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
