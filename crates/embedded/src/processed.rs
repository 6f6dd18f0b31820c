//! What was processed: each shard's checkpoint, and the totals of what became of readings.

use crate::StorageFailure;
use crate::statistics_journal::{CHECKPOINTS, COUNTED, TOTALS, letters_total, total};
use ports::{SequenceNumber, ShardId};
use redb::ReadTransaction;
use std::collections::BTreeMap;
use telemetry::RejectReason;

/// Readings that are counted or dead letters.
pub(crate) fn explained(transaction: &ReadTransaction) -> Result<u64, StorageFailure> {
    let counted = total(&transaction.open_table(TOTALS)?, COUNTED)?;
    // What is stored may be damaged.
    Ok(dead_letter_totals(transaction)?.values().fold(counted, |sum, sent| sum.saturating_add(*sent)))
}

/// Readings in all distinct dead letters ever sent, by reason.
pub(crate) fn dead_letter_totals(transaction: &ReadTransaction) -> Result<BTreeMap<RejectReason, u64>, StorageFailure> {
    let totals = transaction.open_table(TOTALS)?;
    let mut dead_letters = BTreeMap::new();
    for reason in RejectReason::ALL {
        let sent = total(&totals, &letters_total(reason.as_str()))?;
        if sent > 0 {
            dead_letters.insert(reason, sent);
        }
    }
    Ok(dead_letters)
}

/// One shard's checkpoint.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Checkpoint {
    pub(crate) sequence_number: SequenceNumber,
    /// The readings of the shard's records up to and including it.
    pub(crate) readings: u64,
}

pub(crate) fn load_checkpoint(
    transaction: &ReadTransaction,
    shard: &ShardId,
) -> Result<Option<Checkpoint>, StorageFailure> {
    let Some(stored) = transaction.open_table(CHECKPOINTS)?.get(shard.0.as_str())? else { return Ok(None) };
    let (sequence_number, readings) = stored.value();
    let corrupt = |_| StorageFailure::Corrupt(format!("checkpoint of shard `{shard}`"));
    let sequence_number = SequenceNumber::from_be_bytes(sequence_number.try_into().map_err(corrupt)?);
    Ok(Some(Checkpoint { sequence_number, readings }))
}
