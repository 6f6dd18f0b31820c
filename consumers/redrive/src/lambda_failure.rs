//! What Lambda says of a batch that it gave up.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html>: a message in a queue carries
//! where the records are in the stream, and nothing of them; an object in S3 carries the event too, as `payload`: a
//! string that holds the event's JSON.

use crate::hash::hash;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ports::StreamEntry;
use serde::Deserialize;
use std::fmt;
use telemetry::Timestamp;

/// A batch that was given up.
#[derive(Debug, Clone, PartialEq)]
pub struct LambdaFailure {
    /// A hash of stream, shard, range and arrival: the same for every copy of the record. The arrival is part of it
    /// because a stream that was recreated may count its sequence numbers from the start again.
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
    /// The key of the object in the archive that holds the form for S3.
    pub object_key: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    request_context: Option<WireContext>,
    timestamp: Option<String>,
    #[serde(rename = "KinesisBatchInfo")]
    batch: WireBatch,
    payload: Option<Payload>,
}

/// AWS writes the event as text; as an object it is taken too.
#[derive(Deserialize)]
#[serde(untagged)]
enum Payload {
    Text(String),
    Event(WirePayload),
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
        let event = match payload {
            None => None,
            Some(Payload::Event(event)) => Some(event),
            Some(Payload::Text(json)) => Some(serde_json::from_str::<WirePayload>(&json).ok()?),
        };
        let records = match event {
            None => None,
            Some(event) => Some(event.records.into_iter().map(entry).collect::<Option<_>>()?),
        };
        let at = |text: Option<String>| text.and_then(|text| Timestamp::parse(&text).ok());
        let first_arrival = at(batch.approximate_arrival_of_first_record);
        let arrival = first_arrival.map_or_else(String::new, |at| at.as_millisecond().to_string());
        let range = [&batch.start_sequence_number, &batch.end_sequence_number];
        let origin = [&batch.stream_arn, &batch.shard_id, range[0], range[1], &arrival].map(String::as_str);
        Some(LambdaFailure {
            id: hash(origin.join("\n").as_bytes()),
            condition: request_context.and_then(|context| context.condition).unwrap_or_default(),
            failed_at: at(timestamp),
            first_arrival,
            last_arrival: at(batch.approximate_arrival_of_last_record),
            stream_arn: batch.stream_arn,
            shard_id: batch.shard_id,
            start_sequence_number: batch.start_sequence_number,
            end_sequence_number: batch.end_sequence_number,
            batch_size: batch.batch_size,
            records,
            object_key: None,
        })
    }

    /// The name of the stream, the last part of its ARN.
    pub fn stream_name(&self) -> &str {
        self.stream_arn.rsplit_once('/').map_or(&self.stream_arn, |(_, name)| name)
    }

    /// Which records, and when they arrived: what an operator has to know of what is lost.
    pub fn range(&self) -> String {
        let LambdaFailure { shard_id, start_sequence_number, end_sequence_number, .. } = self;
        let at = |at: Option<Timestamp>| at.map_or_else(|| "an unknown time".to_owned(), |at| at.to_string());
        let (first, last) = (at(self.first_arrival), at(self.last_arrival));
        let stream = self.stream_name();
        format!("{stream}, {shard_id}, {start_sequence_number} to {end_sequence_number}, arrived {first} to {last}")
    }
}

fn entry(record: WireRecord) -> Option<StreamEntry> {
    let WireKinesis { partition_key, data } = record.kinesis;
    Some(StreamEntry::new(partition_key, STANDARD.decode(data).ok()?))
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
    /// The records, in order, as they stood in the stream; from the archive, every one that may have been among them.
    pub records: Vec<StreamEntry>,
    /// How many at least are gone from the stream and found nowhere else. The letter is not deleted then.
    pub lost: u64,
    /// What is to be known of where they came from, or why they are lost.
    pub note: Option<String>,
}
