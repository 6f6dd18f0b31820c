//! Retention: records that are old, processed and archived are deleted.

use crate::StorageFailure;
use crate::checkpoints;
use crate::raw_archive::cursor;
use crate::shards::{Head, RECORDS, SHARDS, sequence_u64, shard_id};
use crate::statistics::StatisticsParts;
use crate::stream::{StreamParts, first_at};
use crate::stream_journal::StreamOperation;
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
    let expired_at = stream.clock.now().as_millisecond().saturating_sub(retention);
    let mut deleted = 0;
    for shard in 0..stream.shards {
        let checkpoint = statistics.database.read(|transaction| checkpoints::load(transaction, &shard_id(shard)))?;
        let Some(checkpoint) = checkpoint else { continue };
        let processed = sequence_u64(checkpoint.sequence_number);
        let (from, through) = stream.database.read(|transaction| {
            let head = transaction.open_table(SHARDS)?.get(shard)?;
            let head = head.map_or_else(Head::default, |row| Head::from_row(row.value()));
            let first_kept = first_at(&transaction.open_table(RECORDS)?, shard, head, expired_at)?;
            let archived = cursor(transaction, shard)?.0;
            Ok((head.trimmed_sequence + 1, processed.min(archived).min(first_kept - 1)))
        })?;
        let mut next = from;
        while next <= through {
            let last = through.min(next + RECORDS_PER_TRANSACTION - 1);
            stream.writer.write(StreamOperation::Trim { shard, through: last }, 64).await?;
            deleted += last + 1 - next;
            next = last + 1;
        }
    }
    Ok(deleted)
}
