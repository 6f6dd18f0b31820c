//! Records that are given up, in a bucket, as Lambda's S3 destination keeps them.

use aws::S3Archive;
use event_source_mapping::{DiscardedBatch, NoDestination, OnFailure, OnFailureError};
use ports::Archive as _;

/// The bucket, where there is one.
pub struct OnFailureBucket(pub Option<S3Archive>);

impl OnFailure for OnFailureBucket {
    async fn record(&self, discarded: DiscardedBatch) -> Result<(), OnFailureError> {
        let Some(bucket) = &self.0 else { return NoDestination.record(discarded).await };
        let put = bucket.put(&discarded.object_key, discarded.json_with_payload()).await;
        put.map_err(|error| OnFailureError(Box::new(error)))
    }
}
