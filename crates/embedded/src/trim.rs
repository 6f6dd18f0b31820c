//! Retention: records that are old, processed and archived are deleted.

use crate::StorageFailure;
use crate::processed::load_checkpoint;
use crate::record;
use crate::shards::{Head, RECORDS, SHARDS, archive_cursor, sequence_u64, shard_id};
use crate::statistics::StatisticsParts;
use crate::stream::StreamParts;
use crate::stream_journal::StreamOperation;
use redb::ReadTransaction;
use std::time::Duration;

/// One transaction deletes at most this many records: posts wait while it runs.
const RECORDS_PER_TRANSACTION: u64 = 1000;

/// Deletes what is older than `retention` and has been passed by both the checkpoint and the archive's cursor; how many
/// records that were.
pub(crate) async fn trim(
    stream: &StreamParts,
    statistics: &StatisticsParts,
    retention: Duration,
) -> Result<u64, StorageFailure> {
    let retention = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
    let now = stream.clock.now().as_millisecond();
    let expired_at = now.saturating_sub(retention);
    let mut deleted = 0;
    for shard in 0..stream.shards {
        let checkpoint = statistics.database.read(|transaction| load_checkpoint(transaction, &shard_id(shard)))?;
        let Some(checkpoint) = checkpoint else { continue };
        let processed = sequence_u64(checkpoint.sequence_number);
        while let Some(batch) =
            stream.database.read(|transaction| next(transaction, shard, processed, now, expired_at))?
        {
            stream.writer.write(StreamOperation::Trim { shard, through: batch.through }, 64).await?;
            deleted += batch.records;
        }
    }
    Ok(deleted)
}

/// Records to be deleted in one transaction.
struct Batch {
    through: u64,
    records: u64,
}

/// The oldest records, as far as they are processed, archived and expired; `None` where there is none.
///
/// A record dated ahead of the clock was taken while the clock was wrong. It keeps no record behind it: it is older than
/// those, and goes with the first of them that has expired.
fn next(
    transaction: &ReadTransaction,
    shard: u16,
    processed: u64,
    now: i64,
    expired_at: i64,
) -> Result<Option<Batch>, StorageFailure> {
    let head = transaction.open_table(SHARDS)?.get(shard)?;
    let head = head.map_or_else(Head::default, |row| Head::from_row(row.value()));
    let last = processed.min(archive_cursor(transaction, shard)?.0);
    let first = head.trimmed_sequence + 1;
    if first > last {
        return Ok(None);
    }
    let mut batch = None;
    let mut looked_at = 0;
    for stored in transaction.open_table(RECORDS)?.range((shard, first)..=(shard, last))? {
        let (key, value) = stored?;
        let arrived_at = record::decode(value.value())?.header.arrived_at;
        looked_at += 1;
        if arrived_at < expired_at {
            batch = Some(Batch { through: key.value().1, records: looked_at });
        } else if arrived_at <= now {
            break;
        }
        if looked_at >= RECORDS_PER_TRANSACTION && batch.is_some() {
            break;
        }
    }
    Ok(batch)
}
