//! How far each shard has been processed.

use crate::{SequenceNumber, ShardId};
use std::future::Future;

/// Durable checkpoints of an event source mapping, one a shard.
pub trait Checkpoints: Send + Sync {
    /// The sequence number of the last record of `shard` that is done, if any is.
    fn load(&self, shard: &ShardId) -> impl Future<Output = Result<Option<SequenceNumber>, CheckpointError>> + Send;

    /// Records that everything in `shard` up to and including `sequence_number` is done. Durable when it returns.
    fn save(
        &self,
        shard: &ShardId,
        sequence_number: SequenceNumber,
    ) -> impl Future<Output = Result<(), CheckpointError>> + Send;
}

/// A checkpoint could not be read or saved; passing, try again.
#[derive(Debug, thiserror::Error)]
#[error("checkpoint storage is unavailable")]
pub struct CheckpointError(#[source] pub Box<dyn std::error::Error + Send + Sync>);
