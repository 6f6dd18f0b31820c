//! The event that Lambda sends for a batch of Kinesis records, for functions that are invoked by Lambda's API.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html>, "Example event".

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ports::{ShardId, StreamRecord};
use serde::Serialize;

/// The names that stand in events and in on-failure records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventSource {
    /// The stream's ARN; its last part is the stream's name.
    pub stream_arn: String,
    /// The function's ARN.
    pub function_arn: String,
    /// The role that the function runs as.
    pub invoke_identity_arn: String,
    /// The region's name.
    pub aws_region: String,
    /// The mapping's own UUID, part of the keys of on-failure objects.
    pub mapping_uuid: String,
}

impl EventSource {
    /// Names for a pipeline on one machine, in the form of AWS's.
    pub fn on_one_machine(stream: &str, function: &str) -> Self {
        EventSource {
            stream_arn: format!("arn:aws:kinesis:local:000000000000:stream/{stream}"),
            function_arn: format!("arn:aws:lambda:local:000000000000:function:{function}"),
            invoke_identity_arn: format!("arn:aws:iam::000000000000:role/{function}"),
            aws_region: "local".to_owned(),
            mapping_uuid: "00000000-0000-4000-8000-000000000000".to_owned(),
        }
    }

    /// The event's JSON for records of one shard.
    pub fn event(&self, records: &[StreamRecord]) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Event<'a> {
            records: Vec<EventRecord<'a>>,
        }
        // Texts and finite numbers always have a JSON form.
        serde_json::to_vec(&Event { records: records.iter().map(|record| self.record(record)).collect() })
            .unwrap_or_default()
    }

    fn record<'a>(&'a self, record: &'a StreamRecord) -> EventRecord<'a> {
        let sequence_number = record.sequence_number.to_string();
        EventRecord {
            event_id: format!("{}:{sequence_number}", record.shard.shard_id),
            kinesis: KinesisRecord {
                kinesis_schema_version: "1.0",
                partition_key: &record.partition_key,
                sequence_number,
                data: STANDARD.encode(&record.data),
                // A double holds the milliseconds of ten thousand years.
                approximate_arrival_timestamp: record.arrived_at.as_millisecond() as f64 / 1000.0,
            },
            event_source: "aws:kinesis",
            event_version: "1.0",
            event_name: "aws:kinesis:record",
            invoke_identity_arn: &self.invoke_identity_arn,
            aws_region: &self.aws_region,
            event_source_arn: &self.stream_arn,
        }
    }

    /// At least as many bytes as everything takes that an event says of a record of `shard` beside its key and data, its
    /// comma included.
    pub(crate) fn record_bytes(&self, shard: &ShardId) -> usize {
        // What an event's other texts take, each as long as it is escaped.
        let texts: [&str; 4] = [&self.invoke_identity_arn, &self.aws_region, &self.stream_arn, &shard.0];
        FIXED_BYTES + 2 * SEQUENCE_DIGITS + TIMESTAMP_BYTES + texts.map(escaped_bytes).iter().sum::<usize>()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EventRecord<'a> {
    kinesis: KinesisRecord<'a>,
    event_source: &'static str,
    event_version: &'static str,
    #[serde(rename = "eventID")]
    event_id: String,
    event_name: &'static str,
    invoke_identity_arn: &'a str,
    aws_region: &'a str,
    #[serde(rename = "eventSourceARN")]
    event_source_arn: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KinesisRecord<'a> {
    kinesis_schema_version: &'static str,
    partition_key: &'a str,
    sequence_number: String,
    data: String,
    approximate_arrival_timestamp: f64,
}

/// The bytes of an event that belong to no record.
pub(crate) const ENVELOPE_BYTES: usize = "{\"Records\":[]}".len();
/// A sequence number has at most 58 digits, and is there twice.
const SEQUENCE_DIGITS: usize = 58;
const TIMESTAMP_BYTES: usize = 16;
/// Names and punctuation of a record.
const FIXED_BYTES: usize = 280;

/// At least as many bytes as a record's key and data take in an event.
pub(crate) fn content_bytes(record: &StreamRecord) -> usize {
    escaped_bytes(&record.partition_key) + record.data.len().div_ceil(3) * 4
}

fn escaped_bytes(text: &str) -> usize {
    text.bytes().map(|byte| if byte < 0x20 || byte == b'"' || byte == b'\\' { 6 } else { 1 }).sum()
}
