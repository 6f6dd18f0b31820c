//! What the stream's writer thread writes.

use crate::StorageFailure;
use crate::database::Database;
use crate::record::{self, RecordHeader};
use crate::shards::{ARCHIVE_CURSORS, Head, RECORDS, SHARDS, next_sequence};
use crate::writer::Journal;
use ports::{Clock, StreamEntry};
use redb::{ReadableTable, WriteTransaction};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::watch;

/// An entry that is within the limits.
pub(crate) struct PreparedEntry {
    pub(crate) shard: u16,
    pub(crate) entry: StreamEntry,
}

/// One request to the writer.
pub(crate) enum StreamOperation {
    /// Appends the entries; the outcome has the sequence number of each.
    Put(Vec<PreparedEntry>),
    /// Records that a shard is archived up to and including a record. The outcome is empty.
    Archived { shard: u16, sequence: u64 },
    /// Deletes a shard's records up to and including one, which may be any number. The outcome is empty.
    Trim { shard: u16, through: u64 },
}

/// The stream's journal: heads are read from the transaction, so that memory and disk cannot disagree after a failure.
pub(crate) struct StreamJournal {
    clock: WatchedClock,
    /// The epoch of new sequence numbers.
    epoch: u64,
    heads: Vec<watch::Sender<Head>>,
    changed: BTreeMap<u16, Head>,
}

impl StreamJournal {
    pub(crate) fn new(clock: Arc<dyn Clock>, epoch: u64, heads: Vec<watch::Sender<Head>>) -> Self {
        let newest = heads.iter().map(|head| head.borrow().arrived_at).max().unwrap_or_default();
        StreamJournal { clock: WatchedClock::new(clock, newest), epoch, heads, changed: BTreeMap::new() }
    }

    fn publish(&self, shard: u16, head: Head) {
        if let Some(sender) = self.heads.get(usize::from(shard)) {
            sender.send_if_modified(|current| std::mem::replace(current, head) != head);
        }
    }
}

/// The tables of one transaction, and the heads it changes.
struct Tables<'t> {
    records: redb::Table<'t, (u16, u64), &'static [u8]>,
    shards: redb::Table<'t, u16, crate::shards::HeadRow>,
    heads: BTreeMap<u16, Head>,
    epoch: u64,
}

impl Tables<'_> {
    fn head(&mut self, shard: u16) -> Result<Head, StorageFailure> {
        if let Some(head) = self.heads.get(&shard) {
            return Ok(*head);
        }
        Ok(self.shards.get(shard)?.map_or_else(Head::default, |row| Head::from_row(row.value())))
    }

    fn append(&mut self, prepared: &PreparedEntry, now: i64) -> Result<u64, StorageFailure> {
        let mut head = self.head(prepared.shard)?;
        let StreamEntry { partition_key, data, readings } = &prepared.entry;
        head.sequence = next_sequence(head.sequence, self.epoch);
        // Sequence numbers keep the order. Arrival follows the clock, also back: a clock that was once years ahead would
        // otherwise date every later record in the future.
        head.arrived_at = now;
        head.readings += readings;
        head.bytes += data.len() as u64;
        let header = RecordHeader { arrived_at: head.arrived_at, readings: head.readings, bytes: head.bytes };
        let length = record::encoded_len(partition_key, data);
        let mut stored = self.records.insert_reserve((prepared.shard, head.sequence), length)?;
        record::encode(header, partition_key, data, stored.as_mut());
        drop(stored);
        self.heads.insert(prepared.shard, head);
        Ok(head.sequence)
    }

    fn trim(&mut self, shard: u16, through: u64) -> Result<(), StorageFailure> {
        let mut head = self.head(shard)?;
        let range = (shard, head.trimmed_sequence + 1)..=(shard, through.min(head.sequence));
        for stored in self.records.extract_from_if(range, |_, _| true)? {
            let (key, value) = stored?;
            head.trimmed_readings = record::decode(value.value())?.header.readings;
            head.trimmed_sequence = key.value().1;
        }
        self.heads.insert(shard, head);
        Ok(())
    }
}

impl Journal for StreamJournal {
    type Operation = StreamOperation;
    type Outcome = Vec<u64>;

    fn apply(
        &mut self,
        transaction: &WriteTransaction,
        operations: &[StreamOperation],
    ) -> Result<Vec<Vec<u64>>, StorageFailure> {
        self.changed.clear();
        let now = self.clock.now(Instant::now());
        let mut tables = Tables {
            records: transaction.open_table(RECORDS)?,
            shards: transaction.open_table(SHARDS)?,
            heads: BTreeMap::new(),
            epoch: self.epoch,
        };
        let mut outcomes = Vec::with_capacity(operations.len());
        for operation in operations {
            outcomes.push(match operation {
                StreamOperation::Put(entries) => {
                    entries.iter().map(|entry| tables.append(entry, now)).collect::<Result<_, _>>()?
                }
                StreamOperation::Archived { shard, sequence } => {
                    // The record is kept until the cursor has passed it, so it is there.
                    let bytes = tables.records.get((*shard, *sequence))?;
                    let bytes = bytes.map(|stored| record::decode(stored.value()).map(|record| record.header.bytes));
                    let bytes = bytes.transpose()?.unwrap_or_default();
                    transaction.open_table(ARCHIVE_CURSORS)?.insert(*shard, (*sequence, bytes))?;
                    Vec::new()
                }
                StreamOperation::Trim { shard, through } => {
                    tables.trim(*shard, *through)?;
                    Vec::new()
                }
            });
        }
        for (shard, head) in &tables.heads {
            tables.shards.insert(*shard, head.to_row())?;
        }
        self.changed = tables.heads;
        Ok(outcomes)
    }

    fn committed(&mut self) {
        for (shard, head) in std::mem::take(&mut self.changed) {
            self.publish(shard, head);
        }
    }

    fn failed(&mut self, database: &Database) {
        self.changed.clear();
        // The failed commit may have reached the disk: whoever waits for records must hear of them. Where the file
        // cannot be read now, the next commit publishes.
        let Ok(heads) = database.read(|transaction| read_heads(transaction, self.heads.len())) else { return };
        for (shard, head) in heads.into_iter().enumerate() {
            self.publish(shard as u16, head);
        }
    }
}

/// How far the clock may be from where it should be before that is reported.
const JUMP_MILLISECONDS: i64 = 60_000;

/// A clock that reports its jumps, once each.
struct WatchedClock {
    clock: Arc<dyn Clock>,
    /// When it was read last: by a clock that can't be set, and what it said in milliseconds.
    last: Option<(Instant, i64)>,
    /// The newest record's arrival when the stream was opened.
    newest: i64,
}

impl WatchedClock {
    fn new(clock: Arc<dyn Clock>, newest: i64) -> Self {
        WatchedClock { clock, last: None, newest }
    }

    /// Milliseconds since the Unix epoch, read at `instant`.
    fn now(&mut self, instant: Instant) -> i64 {
        let now = self.clock.now().as_millisecond();
        if let Some(expected) = self.jump(instant, now) {
            tracing::warn!(
                before = %record::instant(expected),
                now = %record::instant(now),
                "the clock jumped; sequence numbers keep the order, arrival times follow the clock"
            );
        }
        self.last = Some((instant, now));
        now
    }

    /// What the clock should say, where that is far from what it says.
    fn jump(&self, instant: Instant, now: i64) -> Option<i64> {
        match self.last {
            Some((before, said)) => {
                let elapsed = instant.saturating_duration_since(before).as_millis();
                let expected = said.saturating_add(elapsed.try_into().unwrap_or(i64::MAX));
                (now.abs_diff(expected) > JUMP_MILLISECONDS as u64).then_some(expected)
            }
            // While the program was stopped the clock may have gone on, but not back.
            None => (now < self.newest.saturating_sub(JUMP_MILLISECONDS)).then_some(self.newest),
        }
    }
}

/// Every shard's head, in the order of the shards.
pub(crate) fn read_heads(transaction: &redb::ReadTransaction, shards: usize) -> Result<Vec<Head>, StorageFailure> {
    let table = transaction.open_table(SHARDS)?;
    // There are at most 65,535 shards.
    (0..shards)
        .map(|shard| Ok(table.get(shard as u16)?.map_or_else(Head::default, |row| Head::from_row(row.value()))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::time::Duration;
    use telemetry::Timestamp;

    struct Set(AtomicI64);

    impl Clock for Set {
        fn now(&self) -> Timestamp {
            Timestamp::from_millisecond(self.0.load(Ordering::Relaxed)).expect("in range")
        }
    }

    #[test]
    fn a_jump_of_the_clock_is_seen_once_in_either_direction() {
        let clock = Arc::new(Set(AtomicI64::new(1_000_000)));
        let mut watched = WatchedClock::new(clock.clone(), 1_050_000);
        let start = Instant::now();
        let mut jumps = Vec::new();
        // (seconds by the clock that can't be set, milliseconds that the other one says)
        for (seconds, said) in [(0, 1_000_000), (100, 1_100_000), (101, 9_000_000), (102, 9_001_000), (103, 1_103_000)]
        {
            clock.0.store(said, Ordering::Relaxed);
            let instant = start + Duration::from_secs(seconds);
            jumps.push(watched.jump(instant, said));
            assert_eq!(watched.now(instant), said);
        }
        assert_eq!(jumps, [None, None, Some(1_101_000), None, Some(9_002_000)]);
    }

    #[test]
    fn a_clock_that_went_back_while_stopped_is_seen() {
        let watched = WatchedClock::new(Arc::new(Set(AtomicI64::new(0))), 9_000_000);
        assert_eq!(watched.jump(Instant::now(), 1_000_000), Some(9_000_000));
        assert_eq!(watched.jump(Instant::now(), 8_990_000), None);
    }
}
