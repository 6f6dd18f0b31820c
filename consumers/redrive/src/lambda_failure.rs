//! What Lambda says of a batch that it gave up.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html>: a message in a queue carries
//! where the records stand in the stream, and nothing of them; an object in S3 carries the event too, as `payload`.

use crate::letter::hash;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ports::StreamEntry;
use serde::Deserialize;
use std::fmt;
use telemetry::Timestamp;

/// A batch that was given up.
#[derive(Debug, Clone, PartialEq)]
pub struct LambdaFailure {
    /// A hash of stream, shard and range: the same for every copy of the record.
    pub id: String,
    /// Why, such as `RetryAttemptsExhausted`.
    pub condition: String,
    /// When it was given up.
    pub failed_at: Option<Timestamp>,
    /// The stream.
    pub stream_arn: String,
    /// The shard.
    pub shard_id: String,
    /// The first record.
    pub start_sequence_number: String,
    /// The last record.
    pub end_sequence_number: String,
    /// When the stream took the first record.
    pub first_arrival: Option<Timestamp>,
    /// When the stream took the last record.
    pub last_arrival: Option<Timestamp>,
    /// How many records.
    pub batch_size: u64,
    /// The records themselves, in the form for S3.
    pub records: Option<Vec<StreamEntry>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    request_context: Option<WireContext>,
    timestamp: Option<String>,
    #[serde(rename = "KinesisBatchInfo")]
    batch: WireBatch,
    payload: Option<WirePayload>,
}

#[derive(Deserialize)]
struct WireContext {
    condition: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireBatch {
    shard_id: String,
    start_sequence_number: String,
    end_sequence_number: String,
    approximate_arrival_of_first_record: Option<String>,
    approximate_arrival_of_last_record: Option<String>,
    batch_size: u64,
    stream_arn: String,
}

#[derive(Deserialize)]
struct WirePayload {
    #[serde(rename = "Records")]
    records: Vec<WireRecord>,
}

#[derive(Deserialize)]
struct WireRecord {
    kinesis: WireKinesis,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireKinesis {
    partition_key: String,
    data: String,
}

impl LambdaFailure {
    /// An invocation record in either form; `None` for what is none.
    pub fn parse(json: &str) -> Option<Self> {
        let Wire { request_context, timestamp, batch, payload } = serde_json::from_str(json).ok()?;
        let records = match payload {
            None => None,
            Some(payload) => Some(payload.records.into_iter().map(entry).collect::<Option<_>>()?),
        };
        let origin = [&batch.stream_arn, &batch.shard_id, &batch.start_sequence_number, &batch.end_sequence_number]
            .map(String::as_str);
        let at = |text: Option<String>| text.and_then(|text| Timestamp::parse(&text).ok());
        Some(LambdaFailure {
            id: hash(origin.join("\n").as_bytes()),
            condition: request_context.and_then(|context| context.condition).unwrap_or_default(),
            failed_at: at(timestamp),
            first_arrival: at(batch.approximate_arrival_of_first_record),
            last_arrival: at(batch.approximate_arrival_of_last_record),
            stream_arn: batch.stream_arn,
            shard_id: batch.shard_id,
            start_sequence_number: batch.start_sequence_number,
            end_sequence_number: batch.end_sequence_number,
            batch_size: batch.batch_size,
            records,
        })
    }
}

fn entry(record: WireRecord) -> Option<StreamEntry> {
    let WireKinesis { partition_key, data } = record.kinesis;
    Some(StreamEntry { partition_key, data: STANDARD.decode(data).ok()? })
}

impl fmt::Display for LambdaFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LambdaFailure { condition, batch_size, shard_id, start_sequence_number, end_sequence_number, .. } = self;
        let condition = if condition.is_empty() { "given up" } else { condition };
        write!(f, "{condition}: {batch_size} records of {shard_id}, {start_sequence_number} to {end_sequence_number}")
    }
}

/// What could be had again of a [`LambdaFailure`]'s records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FetchedRecords {
    /// The records, in order, as they stood in the stream.
    pub records: Vec<StreamEntry>,
    /// How many are gone from the stream and found nowhere else. Nothing of the range is deleted then.
    pub lost: u64,
}
