//! What the stream's writer thread writes.

use crate::StorageFailure;
use crate::database::Database;
use crate::record::{self, RecordHeader};
use crate::shards::{ARCHIVE_CURSORS, Head, RECORDS, SHARDS};
use crate::writer::Journal;
use ports::{Clock, StreamEntry};
use redb::{ReadableTable, WriteTransaction};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// An entry that is within the limits.
pub(crate) struct PreparedEntry {
    pub(crate) shard: u16,
    pub(crate) readings: u64,
    pub(crate) entry: StreamEntry,
}

/// One request to the writer.
pub(crate) enum StreamOperation {
    /// Appends the entries; the outcome has the sequence number of each.
    Put(Vec<PreparedEntry>),
    /// Records that a shard is archived up to and including a record. The outcome is empty.
    Archived { shard: u16, sequence: u64 },
    /// Deletes a shard's records up to and including one. The outcome is empty.
    Trim { shard: u16, through: u64 },
}

/// The stream's journal: heads are read from the transaction, so that memory and disk cannot disagree after a failure.
pub(crate) struct StreamJournal {
    clock: Arc<dyn Clock>,
    heads: Vec<watch::Sender<Head>>,
    changed: BTreeMap<u16, Head>,
}

impl StreamJournal {
    pub(crate) fn new(clock: Arc<dyn Clock>, heads: Vec<watch::Sender<Head>>) -> Self {
        StreamJournal { clock, heads, changed: BTreeMap::new() }
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
        let StreamEntry { partition_key, data } = &prepared.entry;
        head.sequence += 1;
        // The system's clock may be set back; arrival within a shard may not.
        head.arrived_at = head.arrived_at.max(now);
        head.readings += prepared.readings;
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
        let through = through.min(head.sequence);
        for sequence in head.trimmed_sequence + 1..=through {
            let Some(stored) = self.records.remove((shard, sequence))? else { continue };
            head.trimmed_readings = record::decode(stored.value())?.header.readings;
            head.trimmed_sequence = sequence;
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
        let now = self.clock.now().as_millisecond();
        let mut tables = Tables {
            records: transaction.open_table(RECORDS)?,
            shards: transaction.open_table(SHARDS)?,
            heads: BTreeMap::new(),
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

/// Every shard's head, in the order of the shards.
pub(crate) fn read_heads(transaction: &redb::ReadTransaction, shards: usize) -> Result<Vec<Head>, StorageFailure> {
    let table = transaction.open_table(SHARDS)?;
    // There are at most 65,535 shards.
    (0..shards)
        .map(|shard| Ok(table.get(shard as u16)?.map_or_else(Head::default, |row| Head::from_row(row.value()))))
        .collect()
}
