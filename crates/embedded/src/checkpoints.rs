//! How far the event source mapping has come, with what accounting needs to know about that place.

use crate::StorageFailure;
use crate::processed::load_checkpoint;
use crate::record;
use crate::shards::{RECORDS, SHARDS, sequence_u64, shard_number};
use crate::statistics::StatisticsParts;
use crate::statistics_journal::StatisticsOperation;
use crate::stream::StreamParts;
use ports::{CheckpointError, Checkpoints, SequenceNumber, ShardId};
use redb::ReadTransaction;
use std::sync::Arc;

/// The checkpoints of one data directory. Clones share them.
#[derive(Clone)]
pub struct EmbeddedCheckpoints {
    pub(crate) statistics: Arc<StatisticsParts>,
    pub(crate) stream: Arc<StreamParts>,
}

impl Checkpoints for EmbeddedCheckpoints {
    async fn load(&self, shard: &ShardId) -> Result<Option<SequenceNumber>, CheckpointError> {
        let checkpoint = self.statistics.database.read(|transaction| load_checkpoint(transaction, shard));
        let checkpoint = checkpoint.map_err(|failure| CheckpointError(failure.boxed()))?;
        Ok(checkpoint.map(|checkpoint| checkpoint.sequence_number))
    }

    async fn save(&self, shard: &ShardId, sequence_number: SequenceNumber) -> Result<(), CheckpointError> {
        let readings = match shard_number(shard, self.stream.shards) {
            Some(number) => self.stream.database.read(|stream| readings_through(stream, number, sequence_number)),
            None => Ok(0),
        };
        let save = async {
            let operation = StatisticsOperation::SaveCheckpoint {
                shard: shard.0.clone(),
                sequence_number: sequence_number.to_be_bytes(),
                readings: readings?,
            };
            self.statistics.writer.write(operation, 64 + shard.0.len()).await
        };
        save.await.map(|_| ()).map_err(|failure| CheckpointError(failure.boxed()))
    }
}

/// The readings of a shard's records up to and including a place, which may lie before or after all that are kept.
fn readings_through(
    transaction: &ReadTransaction,
    shard: u16,
    sequence_number: SequenceNumber,
) -> Result<u64, StorageFailure> {
    let sequence = sequence_u64(sequence_number);
    if let Some(stored) = transaction.open_table(RECORDS)?.get((shard, sequence))? {
        return Ok(record::decode(stored.value())?.header.readings);
    }
    let Some(head) = transaction.open_table(SHARDS)?.get(shard)?.map(|row| crate::shards::Head::from_row(row.value()))
    else {
        return Ok(0);
    };
    Ok(match sequence {
        0 => 0,
        _ if sequence <= head.trimmed_sequence => head.trimmed_readings,
        _ => head.readings,
    })
}
