//! What is told of records that are given up.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html>

use crate::batch::{Discard, DiscardCondition};
use crate::event::EventSource;
use ports::ShardId;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::future::Future;
use telemetry::Timestamp;

/// The invocation record of a discarded batch, as Lambda sends it to a queue, or, with `payload`, to S3.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InvocationRecord {
    /// The last invocation.
    pub request_context: RequestContext,
    /// How it ended; missing where the records were never sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_context: Option<ResponseContext>,
    /// The format's version: `1.0`.
    pub version: String,
    /// When the batch was discarded, to the millisecond.
    pub timestamp: String,
    /// Where the records stand in the stream.
    #[serde(rename = "KinesisBatchInfo")]
    pub kinesis_batch_info: KinesisBatchInfo,
    /// The whole event. "Only available in S3".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Box<RawValue>>,
}

/// The member `requestContext`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestContext {
    /// A UUID.
    pub request_id: String,
    /// The function.
    pub function_arn: String,
    /// Why the batch was discarded.
    pub condition: DiscardCondition,
    /// How often the records were sent.
    pub approximate_invoke_count: u32,
}

/// The member `responseContext`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResponseContext {
    /// 200: the function was reached.
    pub status_code: u16,
    /// `$LATEST`.
    pub executed_version: String,
    /// `Unhandled`, or `null` where the function did answer, and named a record that failed.
    pub function_error: Option<String>,
}

/// The member `KinesisBatchInfo`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KinesisBatchInfo {
    /// The shard.
    pub shard_id: String,
    /// The first record.
    pub start_sequence_number: String,
    /// The last record. With a parallelization factor over 1, records between the two may be another batch's.
    pub end_sequence_number: String,
    /// When the stream took the first record.
    pub approximate_arrival_of_first_record: String,
    /// When the stream took the last record.
    pub approximate_arrival_of_last_record: String,
    /// How many records.
    pub batch_size: usize,
    /// The stream.
    pub stream_arn: String,
}

/// A discarded batch, in both forms that Lambda's destinations take.
#[derive(Debug, Clone)]
pub struct DiscardedBatch {
    /// The record, without payload: the form for a queue.
    pub record: InvocationRecord,
    /// The event whose records were discarded: what the form for S3 has in addition.
    pub event: Vec<u8>,
    /// The key of the object in S3: `aws/lambda/<ESM-UUID>/<shardID>/YYYY/MM/DD/YYYY-MM-DDTHH.MM.SS-<Random UUID>`.
    pub object_key: String,
}

impl DiscardedBatch {
    /// The record of `discard`, given up at `now`. `request_id` and `object_id` are random UUIDs.
    pub fn new(
        source: &EventSource,
        shard: &ShardId,
        discard: &Discard,
        now: Timestamp,
        request_id: &str,
        object_id: &str,
    ) -> Self {
        let (first, last) = (&discard.batch[0], &discard.batch[discard.batch.len() - 1]);
        let timestamp = milliseconds(now);
        let record = InvocationRecord {
            request_context: RequestContext {
                request_id: request_id.to_owned(),
                function_arn: source.function_arn.clone(),
                condition: discard.condition,
                approximate_invoke_count: discard.approximate_invoke_count,
            },
            response_context: (discard.approximate_invoke_count > 0).then(|| ResponseContext {
                status_code: 200,
                executed_version: "$LATEST".to_owned(),
                function_error: discard.function_error.then(|| "Unhandled".to_owned()),
            }),
            version: "1.0".to_owned(),
            kinesis_batch_info: KinesisBatchInfo {
                shard_id: shard.0.clone(),
                start_sequence_number: first.sequence_number.to_string(),
                end_sequence_number: last.sequence_number.to_string(),
                approximate_arrival_of_first_record: milliseconds(first.arrived_at),
                approximate_arrival_of_last_record: milliseconds(last.arrived_at),
                batch_size: discard.batch.len(),
                stream_arn: source.stream_arn.clone(),
            },
            timestamp: timestamp.clone(),
            payload: None,
        };
        let object_key = format!(
            "aws/lambda/{}/{shard}/{}/{}-{object_id}",
            source.mapping_uuid,
            timestamp[..10].replace('-', "/"),
            timestamp[..19].replace(':', "."),
        );
        DiscardedBatch { record, event: source.event(&discard.batch), object_key }
    }

    /// The JSON for a queue: metadata alone.
    pub fn metadata_json(&self) -> Vec<u8> {
        // Strings and numbers under string keys always have a JSON form.
        serde_json::to_vec(&self.record).unwrap_or_default()
    }

    /// The JSON for S3: the whole event under `payload`.
    pub fn json_with_payload(&self) -> Vec<u8> {
        let mut json = self.metadata_json();
        // The object's closing brace makes room for one more member.
        json.pop();
        json.extend_from_slice(b",\"payload\":");
        json.extend_from_slice(&self.event);
        json.push(b'}');
        json
    }
}

/// `YYYY-MM-DDTHH:MM:SS.mmmZ`, always with the milliseconds.
fn milliseconds(at: Timestamp) -> String {
    let whole_seconds = at.as_millisecond().div_euclid(1000);
    let text = Timestamp::from_millisecond(whole_seconds * 1000).unwrap_or(at).to_string();
    format!("{}.{:03}Z", text.trim_end_matches('Z'), at.as_millisecond().rem_euclid(1000))
}

/// A destination for records that are given up.
pub trait OnFailure: Send + Sync {
    /// Keeps what is told of the batch. `Ok` only for what is durable: the checkpoint moves past the records then.
    fn record(&self, discarded: DiscardedBatch) -> impl Future<Output = Result<(), OnFailureError>> + Send;
}

/// The destination did not take the record; passing, it is tried again.
#[derive(Debug, thiserror::Error)]
#[error("the on-failure destination is unavailable")]
pub struct OnFailureError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// No destination: what is given up is gone but for a line in the log, as on Lambda without `DestinationConfig`.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoDestination;

impl OnFailure for NoDestination {
    async fn record(&self, discarded: DiscardedBatch) -> Result<(), OnFailureError> {
        let (info, condition) = (&discarded.record.kinesis_batch_info, discarded.record.request_context.condition);
        let (shard, first, last) = (&info.shard_id, &info.start_sequence_number, &info.end_sequence_number);
        tracing::error!(shard, first, last, records = info.batch_size, ?condition, "records discarded for good");
        Ok(())
    }
}
