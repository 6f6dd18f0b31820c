//! The stream: shards of records in one database file.

use crate::StorageFailure;
use crate::binding::ArchiveSide;
use crate::database::Database;
use crate::directory_lock::DirectoryLock;
use crate::marks;
use crate::record::{self, instant};
use crate::shards::{Head, META, RECORDS, SHARDS, sequence_u64, shard_id, shard_number, shard_of};
use crate::stream_journal::{PreparedEntry, StreamJournal, StreamOperation};
use crate::writer::Writer;
use ports::{
    Clock, EventStream, Position, PutError, PutReceipt, RecordsPage, SequenceNumber, Shard, ShardId, StreamEntry,
    StreamError, StreamShard,
};
use redb::{ReadOnlyTable, ReadTransaction};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use telemetry::Timestamp;
use tokio::sync::watch;

/// The most bytes of data and partition key in one record, as Kinesis has it by default.
pub const RECORD_BYTES_MAX: usize = 1 << 20;
/// The most characters of a partition key.
const PARTITION_KEY_CHARACTERS_MAX: usize = 256;
/// A page of records ends with the record that reaches this many data bytes.
const PAGE_BYTES_MAX: usize = 1 << 20;

pub(crate) struct StreamParts {
    pub(crate) database: Arc<Database>,
    pub(crate) writer: Writer<StreamJournal>,
    pub(crate) heads: Vec<watch::Receiver<Head>>,
    pub(crate) shards: u16,
    pub(crate) name: String,
    /// When the stream was made, in milliseconds since the Unix epoch.
    pub(crate) created_at: u64,
    pub(crate) clock: Arc<dyn Clock>,
    /// Held while an object of the raw archive is written.
    pub(crate) archiving: Arc<tokio::sync::Mutex<()>>,
    /// What the archive's mark says; changed while `archiving` is held.
    pub(crate) archived: Mutex<ArchiveSide>,
    pub(crate) _lock: Arc<DirectoryLock>,
}

impl StreamParts {
    pub(crate) fn close(&self) {
        self.writer.stop();
        marks::note_closed(&self.database, META);
        self.database.close();
    }
}

impl Drop for StreamParts {
    fn drop(&mut self) {
        self.close();
    }
}

/// The durable, sharded stream of one data directory. Clones share it.
#[derive(Clone)]
pub struct EmbeddedStream {
    pub(crate) parts: Arc<StreamParts>,
}

impl EmbeddedStream {
    /// How many shards the stream has: the number it was created with, whatever the options said since.
    pub fn shard_count(&self) -> u16 {
        self.parts.shards
    }

    fn prepare(&self, entry: StreamEntry) -> Result<PreparedEntry, PutError> {
        let characters = entry.partition_key.chars().count();
        if !(1..=PARTITION_KEY_CHARACTERS_MAX).contains(&characters) {
            let rule = format!("a partition key has 1 to {PARTITION_KEY_CHARACTERS_MAX} characters, not {characters}");
            return Err(PutError::Refused(rule));
        }
        let bytes = entry.data.len() + entry.partition_key.len();
        if bytes > RECORD_BYTES_MAX {
            let rule = format!("data and partition key have at most {RECORD_BYTES_MAX} bytes together, not {bytes}");
            return Err(PutError::Refused(rule));
        }
        let shard = shard_of(&entry.partition_key, self.parts.shards);
        Ok(PreparedEntry { shard, entry })
    }

    fn shard(&self, id: &ShardId) -> Result<u16, StreamError> {
        shard_number(id, self.parts.shards).ok_or_else(|| StreamError::NoSuchShard(id.clone()))
    }

    /// Returns once a record is there that arrived at `at` or later.
    async fn arrived_available(&self, shard: u16, at: i64, mut heads: watch::Receiver<Head>) {
        let mut from = 0;
        loop {
            let newest = heads.borrow_and_update().sequence;
            let database = Arc::clone(&self.parts.database);
            let find = move || database.read(|read| first_at(&read.open_table(RECORDS)?, shard, from, at));
            match tokio::task::spawn_blocking(find).await {
                Ok(Ok(None)) => from = newest + 1,
                // A read that fails is the caller's to report.
                _ => return,
            }
            if heads.changed().await.is_err() {
                return;
            }
        }
    }
}

impl EventStream for EmbeddedStream {
    async fn put_records(&self, entries: Vec<StreamEntry>) -> Vec<Result<PutReceipt, PutError>> {
        let mut prepared = Vec::with_capacity(entries.len());
        let mut refused = Vec::with_capacity(entries.len());
        for entry in entries {
            match self.prepare(entry) {
                Ok(entry) => {
                    refused.push(Ok(entry.shard));
                    prepared.push(entry);
                }
                Err(error) => refused.push(Err(error)),
            }
        }
        let stored = if prepared.is_empty() {
            Ok(Vec::new())
        } else {
            let bytes = prepared.iter().map(|p| record::encoded_len(&p.entry.partition_key, &p.entry.data)).sum();
            self.parts.writer.try_write(StreamOperation::Put(prepared), bytes).await
        };
        let mut sequences = stored.map(Vec::into_iter);
        let mut receipt = |shard: u16| match &mut sequences {
            Ok(sequences) => {
                // The writer answers with one sequence number an entry.
                let sequence = sequences.next().ok_or(PutError::Unavailable(StorageFailure::Unanswered.boxed()))?;
                Ok(PutReceipt { shard_id: shard_id(shard), sequence_number: SequenceNumber::from(sequence) })
            }
            Err(StorageFailure::QueueFull) => Err(PutError::Throttled),
            Err(failure) => Err(PutError::Unavailable(failure.clone().boxed())),
        };
        refused.into_iter().map(|entry| entry.and_then(&mut receipt)).collect()
    }

    async fn list_shards(&self) -> Result<Vec<Shard>, StreamError> {
        let shard = |number| Shard { id: shard_id(number), parent: None, adjacent_parent: None };
        Ok((0..self.parts.shards).map(shard).collect())
    }

    async fn get_records(&self, id: &ShardId, position: Position, limit: usize) -> Result<RecordsPage, StreamError> {
        let shard = self.shard(id)?;
        let database = Arc::clone(&self.parts.database);
        let of = Arc::new(StreamShard { stream: self.parts.name.clone(), shard_id: id.clone() });
        let page = move || database.read(|transaction| read_page(transaction, shard, &of, position, limit));
        let page = tokio::task::spawn_blocking(page).await.unwrap_or(Err(StorageFailure::Unanswered));
        page.map_err(|failure| StreamError::Unavailable(failure.boxed()))
    }

    async fn records_available(&self, shard: &ShardId, position: Position) {
        let Ok(shard) = self.shard(shard) else { return };
        let Some(heads) = self.parts.heads.get(usize::from(shard)) else {
            // There will never be a record; the caller learns why when it reads.
            return;
        };
        let mut heads = heads.clone();
        let wanted = match position {
            Position::TrimHorizon => heads.borrow().trimmed_sequence.saturating_add(1),
            Position::Latest => heads.borrow().sequence.saturating_add(1),
            Position::AtSequenceNumber(at) => sequence_u64(at),
            Position::AfterSequenceNumber(after) => sequence_u64(after).saturating_add(1),
            Position::AtTimestamp(at) => return self.arrived_available(shard, ceiling_millisecond(at), heads).await,
        };
        // The sender lives as long as the stream; once it is gone there is nothing to wait for.
        let _ = heads.wait_for(|head| head.sequence >= wanted).await;
    }
}

/// The first millisecond at or after an instant.
fn ceiling_millisecond(at: Timestamp) -> i64 {
    let floor = at.as_millisecond();
    floor + i64::from(instant(floor) < at)
}

type Records = ReadOnlyTable<(u16, u64), &'static [u8]>;

fn read_page(
    transaction: &ReadTransaction,
    shard: u16,
    of: &Arc<StreamShard>,
    position: Position,
    limit: usize,
) -> Result<RecordsPage, StorageFailure> {
    let records = transaction.open_table(RECORDS)?;
    let head =
        transaction.open_table(SHARDS)?.get(shard)?.map_or_else(Head::default, |row| Head::from_row(row.value()));
    let oldest = head.trimmed_sequence + 1;
    let start = match position {
        Position::TrimHorizon => oldest,
        Position::Latest => head.sequence + 1,
        Position::AtSequenceNumber(at) => sequence_u64(at).max(oldest),
        Position::AfterSequenceNumber(after) => sequence_u64(after).saturating_add(1).max(oldest),
        Position::AtTimestamp(at) => first_at(&records, shard, oldest, ceiling_millisecond(at))?.unwrap_or(u64::MAX),
    };
    let mut page = Vec::new();
    let mut bytes = 0;
    let mut last_arrived_at = head.arrived_at;
    for stored in records.range((shard, start)..=(shard, u64::MAX))?.take(limit) {
        let (key, value) = stored?;
        let record = record::decode(value.value())?;
        bytes += record.data.len();
        last_arrived_at = record.header.arrived_at;
        page.push(record.to_stream_record(of, key.value().1));
        if bytes >= PAGE_BYTES_MAX {
            break;
        }
    }
    let next = match (page.last(), position) {
        (Some(last), _) => Position::AfterSequenceNumber(last.sequence_number),
        // What arrives next must be after *this* moment's newest, not after that of the next call.
        (None, Position::Latest) => Position::AfterSequenceNumber(SequenceNumber::from(head.sequence)),
        (None, position) => position,
    };
    let behind = u64::try_from(head.arrived_at.saturating_sub(last_arrived_at)).unwrap_or_default();
    Ok(RecordsPage { records: page, next: Some(next), behind_latest: Duration::from_millis(behind) })
}

/// The first record from `from` on that arrived at `at` or later. Arrival follows the clock, which may be set back: every
/// record has to be looked at.
fn first_at(records: &Records, shard: u16, from: u64, at: i64) -> Result<Option<u64>, StorageFailure> {
    for stored in records.range((shard, from)..=(shard, u64::MAX))? {
        let (key, value) = stored?;
        if record::decode(value.value())?.header.arrived_at >= at {
            return Ok(Some(key.value().1));
        }
    }
    Ok(None)
}
