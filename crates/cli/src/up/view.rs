//! What the gateway reads of the embedded storage and of the curated files, and what it does with dead letters.

use super::Holds;
use super::totals::Totals;
use crate::dlq::on_disk::OnDisk;
use aggregator::Settings;
use curator::device_history;
use curator::parquet_file::ReadError;
use embedded::{BackupError, DeadLetterFilter, DeadLetterOrder, EmbeddedStorage, StorageFailure};
use gateway::{
    Accounting, BackupFailure, DeadLetterPage, DeadLetterQuery, History, HistoryQuery, PipelineView, RedriveFailure,
    RedriveLetter, ViewError,
};
use ports::{
    BackupProgress, BackupSummary, Clock as _, DeadLetter, StatisticsAttributes, StatisticsStore as _, SystemClock,
    with_causes,
};
use redrive::{
    Filter, Letter, Outgoing, ReasonCode, RedriveError, Redriver as _, StreamRedriver, records, whole_record,
};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use telemetry::{DeviceId, Timestamp};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Histories that are read at once: each keeps a thread and a disk busy, and its rows in memory.
const HISTORIES_AT_ONCE: usize = 2;

/// The pipeline of this machine.
#[derive(Clone)]
pub struct StorageView {
    storage: EmbeddedStorage,
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

    async fn dead_letters(&self, query: DeadLetterQuery<'_>) -> Result<DeadLetterPage, ViewError> {
        if let Some(id) = query.id {
            return self.dead_letter(id, query).await;
        }
        let device_id = query.device_id.cloned();
        let filter = DeadLetterFilter { reason: query.reason, device_id, since: query.since, until: query.until };
        let order = if query.oldest_first { DeadLetterOrder::OldestFirst } else { DeadLetterOrder::NewestFirst };
        match self.storage.dead_letters().list_in(order, query.after, query.limit, filter).await {
            Ok(page) => Ok(DeadLetterPage { dead_letters: page.letters, next: page.next }),
            // A place that no page ever named: nothing follows it.
            Err(StorageFailure::InvalidPlace(_)) => Ok(DeadLetterPage::default()),
            Err(failure) => Err(unavailable(failure)),
        }
    }

    async fn redrive(&self, letters: Vec<RedriveLetter>) -> Result<Vec<Result<(), RedriveFailure>>, ViewError> {
        // As far ahead as the aggregator takes them.
        let tolerance = Settings::default().future_tolerance;
        let now = SystemClock.now();
        let horizon = Timestamp::from_nanosecond(now.as_nanosecond() + tolerance.as_nanos() as i128).unwrap_or(now);
        let (mut well, mut prepared) = (Vec::new(), Vec::with_capacity(letters.len()));
        for RedriveLetter { id, bodies } in letters {
            let outgoing = match bodies {
                Some(bodies) => self.of_bodies(id, &bodies, horizon).await,
                None => self.whole_record(id).await,
            };
            prepared.push(outgoing.map(|outgoing| well.push(outgoing)));
        }
        let redriver = StreamRedriver { queue: OnDisk(self.storage.dead_letters()), stream: self.storage.stream() };
        let mut results = redriver.redrive(well).await.into_iter();
        let lost = || Err(RedriveError::Passing("no answer for it".to_owned()));
        let mut result = |prepared: Result<(), _>| prepared.and_then(|()| results.next().unwrap_or_else(lost));
        Ok(prepared.into_iter().map(|prepared| result(prepared).map_err(failure)).collect())
    }

    async fn delete_dead_letters(&self, ids: Vec<String>) -> Result<u64, ViewError> {
        let deleted = self.storage.dead_letters().delete_all(ids).await.map_err(unavailable)?;
        Ok(deleted.into_iter().filter(|was_there| *was_there).count() as u64)
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
            let copied = crate::backup::copy(&storage, &target, &holds, &report);
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
        StorageView { storage, totals, holds, histories, named: Arc::default() }
    }

    /// The records of bodies that are sent for a letter. A whole record's would delete a letter of many readings for a few.
    async fn of_bodies(&self, id: String, bodies: &[String], horizon: Timestamp) -> Result<Outgoing, RedriveError> {
        let letter = self.storage.dead_letters().get(&id).await;
        let letter = letter.map_err(|failure| RedriveError::Passing(with_causes(&failure)))?;
        if letter.is_some_and(|letter| letter.readings_by_reason.is_some()) {
            return Err(RedriveError::Refused("is a whole record: send it whole, without bodies".to_owned()));
        }
        outgoing(id, bodies, horizon)
    }

    /// The record of a letter of a whole record.
    async fn whole_record(&self, id: String) -> Result<Outgoing, RedriveError> {
        let letter = self.storage.dead_letters().get(&id).await;
        let letter = letter.map_err(|failure| RedriveError::Passing(with_causes(&failure)))?;
        let record = whole_record(&letter.ok_or(RedriveError::Gone)?).map_err(RedriveError::Refused)?;
        Ok(Outgoing { receipts: vec![id.clone()], id, records: vec![record], is_whole_record: true })
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

    /// The letter of that id, where it passes the rest of the query too.
    async fn dead_letter(&self, id: &str, query: DeadLetterQuery<'_>) -> Result<DeadLetterPage, ViewError> {
        let letter = self.storage.dead_letters().get(id).await.map_err(unavailable)?;
        let filter = Filter {
            reason: query.reason.map(ReasonCode::Rejected),
            device_id: query.device_id.map(ToString::to_string),
            since: query.since,
            until: query.until,
            ..Filter::default()
        };
        let passes = |letter: &DeadLetter| filter.matches(&Letter::Rejected(letter.clone()));
        // It is the first and the last: nothing follows.
        let letters = letter.filter(|letter| query.after.is_none() && passes(letter));
        Ok(DeadLetterPage { dead_letters: letters.into_iter().collect(), next: None })
    }
}

/// What is put for a letter: whoever asks, nothing goes into the stream that would only come back.
fn outgoing(id: String, bodies: &[String], horizon: Timestamp) -> Result<Outgoing, RedriveError> {
    let mut entries = Vec::with_capacity(bodies.len());
    for body in bodies {
        let records = records(body.as_bytes(), horizon).map_err(|error| RedriveError::Refused(error.to_string()))?;
        entries.extend(records.entries);
    }
    Ok(Outgoing { receipts: vec![id.clone()], id, records: entries, is_whole_record: false })
}

fn failure(error: RedriveError) -> RedriveFailure {
    let (passing, gone) = (error.is_passing(), error == RedriveError::Gone);
    let error = match error {
        RedriveError::Passing(why) => why,
        other => other.to_string(),
    };
    RedriveFailure { error, passing, gone }
}
