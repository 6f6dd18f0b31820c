//! Where every reading that was accepted has gone.

use crate::StorageFailure;
use crate::marks::accepted_offset;
use crate::processed::{dead_letter_totals, load_checkpoint};
use crate::record;
use crate::shards::{Head, RECORDS, sequence_u64, shard_id};
use crate::statistics::StatisticsParts;
use crate::statistics_journal::{COUNTED, TOTALS, total};
use crate::stream::StreamParts;
use crate::stream_journal::read_heads;
use redb::ReadTransaction;
use std::collections::BTreeMap;
use std::time::Duration;
use telemetry::RejectReason;

/// The pipeline's account of its readings. With nothing pending,
/// `accepted` = `counted` + `duplicates` + the sum of `dead_letters`, across restarts too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accounting {
    /// Readings in all records ever put, as [`telemetry::count_readings`] counts them, and across a stream that was lost
    /// those that had been processed.
    pub accepted: u64,
    /// Readings counted: the sum of every item's `count`.
    pub counted: u64,
    /// Readings that were processed and are neither counted nor dead letters. Derived: a batch may be delivered again,
    /// so that whoever counts duplicates as they pass counts some twice. While a batch is under way it may be too low.
    pub duplicates: u64,
    /// Readings in all distinct dead letters ever sent, by reason; reasons without any are absent. Deleting a letter takes
    /// nothing away.
    pub dead_letters: BTreeMap<RejectReason, u64>,
    /// Readings in records after the checkpoints.
    pub pending: u64,
    /// How long ago the oldest record after the checkpoints arrived; zero without any.
    pub backlog_age: Duration,
}

pub(crate) fn accounting(stream: &StreamParts, statistics: &StatisticsParts) -> Result<Accounting, StorageFailure> {
    // Statistics first: what is processed meanwhile then shows as pending, and never as more than was accepted.
    let processed = statistics.database.read(|transaction| processed(transaction, stream.shards))?;
    let (known, oldest) = stream.database.read(|transaction| accepted(transaction, &processed.through))?;
    let offset = |readings: u64| u64::try_from(i128::from(readings) + i128::from(processed.offset)).unwrap_or_default();
    let (accepted, processed_readings) = (offset(known), offset(processed.readings));
    let explained = processed.dead_letters.values().fold(processed.counted, |sum, sent| sum.saturating_add(*sent));
    let backlog_age = oldest.map_or(0, |arrived_at| stream.clock.now().as_millisecond().saturating_sub(arrived_at));
    Ok(Accounting {
        accepted,
        counted: processed.counted,
        duplicates: processed_readings.saturating_sub(explained),
        dead_letters: processed.dead_letters,
        pending: accepted.saturating_sub(processed_readings),
        // The clock may have been set back.
        backlog_age: Duration::from_millis(backlog_age.try_into().unwrap_or_default()),
    })
}

struct Processed {
    /// The last processed sequence of each shard, 0 where none is.
    through: Vec<u64>,
    readings: u64,
    /// What the stream does not know of all accepted readings.
    offset: i64,
    counted: u64,
    dead_letters: BTreeMap<RejectReason, u64>,
}

fn processed(transaction: &ReadTransaction, shards: u16) -> Result<Processed, StorageFailure> {
    let dead_letters = dead_letter_totals(transaction)?;
    let counted = total(&transaction.open_table(TOTALS)?, COUNTED)?;
    let offset = accepted_offset(transaction)?;
    let mut processed = Processed { through: Vec::new(), readings: 0, offset, counted, dead_letters };
    for shard in 0..shards {
        let checkpoint = load_checkpoint(transaction, &shard_id(shard))?;
        processed.through.push(checkpoint.map_or(0, |checkpoint| sequence_u64(checkpoint.sequence_number)));
        let readings = checkpoint.map_or(0, |checkpoint| checkpoint.readings);
        processed.readings = processed.readings.saturating_add(readings);
    }
    Ok(processed)
}

/// The readings ever put, and when the oldest record arrived that is not processed.
fn accepted(transaction: &ReadTransaction, through: &[u64]) -> Result<(u64, Option<i64>), StorageFailure> {
    let records = transaction.open_table(RECORDS)?;
    let heads = read_heads(transaction, through.len())?;
    let mut oldest: Option<i64> = None;
    for (shard, (head, through)) in heads.iter().zip(through).enumerate() {
        let Head { sequence, trimmed_sequence, .. } = *head;
        if sequence <= *through {
            continue;
        }
        // There are at most 65,535 shards.
        let pending = (shard as u16, (*through).max(trimmed_sequence) + 1)..=(shard as u16, u64::MAX);
        if let Some(stored) = records.range(pending)?.next() {
            let arrived_at = record::decode(stored?.1.value())?.header.arrived_at;
            oldest = Some(oldest.map_or(arrived_at, |oldest| oldest.min(arrived_at)));
        }
    }
    Ok((heads.iter().fold(0, |sum, head| sum.saturating_add(head.readings)), oldest))
}
