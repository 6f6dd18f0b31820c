//! The event that Lambda sends for a batch of Kinesis records, for functions that are invoked by Lambda's API.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html>, "Example event".

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ports::{ShardId, StreamRecord};
use std::fmt::Write as _;

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
        let shard = records.first().map(|record| &record.shard.shard_id);
        let template = RecordTemplate::new(self, shard.unwrap_or(&ShardId(String::new())));
        let size: usize = records.iter().map(|record| template.size_bound(record)).sum();
        let mut json = String::with_capacity(size + ENVELOPE_BYTES);
        json.push_str("{\"Records\":[");
        for (index, record) in records.iter().enumerate() {
            if index > 0 {
                json.push(',');
            }
            template.push(&mut json, record);
        }
        json.push_str("]}");
        json.into_bytes()
    }
}

/// The bytes of an event that belong to no record.
pub(crate) const ENVELOPE_BYTES: usize = "{\"Records\":[]}".len();
/// A sequence number has at most 58 digits, and stands twice.
const SEQUENCE_DIGITS: usize = 58;
const TIMESTAMP_BYTES: usize = 16;

/// What all records of one shard's events share, rendered once.
#[derive(Debug, Clone)]
pub(crate) struct RecordTemplate {
    event_id_prefix: String,
    tail: String,
}

impl RecordTemplate {
    pub(crate) fn new(source: &EventSource, shard: &ShardId) -> Self {
        let mut event_id_prefix =
            String::from("},\"eventSource\":\"aws:kinesis\",\"eventVersion\":\"1.0\",\"eventID\":");
        push_json_string(&mut event_id_prefix, &shard.0);
        // The sequence number goes inside the same JSON string.
        event_id_prefix.pop();
        event_id_prefix.push(':');
        let mut tail = String::from("\",\"eventName\":\"aws:kinesis:record\",\"invokeIdentityArn\":");
        push_json_string(&mut tail, &source.invoke_identity_arn);
        tail.push_str(",\"awsRegion\":");
        push_json_string(&mut tail, &source.aws_region);
        tail.push_str(",\"eventSourceARN\":");
        push_json_string(&mut tail, &source.stream_arn);
        tail.push('}');
        RecordTemplate { event_id_prefix, tail }
    }

    fn push(&self, json: &mut String, record: &StreamRecord) {
        let sequence_number = record.sequence_number.to_string();
        json.push_str("{\"kinesis\":{\"kinesisSchemaVersion\":\"1.0\",\"partitionKey\":");
        push_json_string(json, &record.partition_key);
        json.push_str(",\"sequenceNumber\":\"");
        json.push_str(&sequence_number);
        json.push_str("\",\"data\":\"");
        STANDARD.encode_string(&record.data, json);
        json.push_str("\",\"approximateArrivalTimestamp\":");
        push_seconds(json, record.arrived_at.as_millisecond());
        json.push_str(&self.event_id_prefix);
        json.push_str(&sequence_number);
        json.push_str(&self.tail);
    }

    /// At least as many bytes as the record takes in an event, its comma included, and close to it: what batches are
    /// measured by, without rendering them.
    pub(crate) fn size_bound(&self, record: &StreamRecord) -> usize {
        const FIXED: usize =
            "{\"kinesis\":{\"kinesisSchemaVersion\":\"1.0\",\"partitionKey\":\"\",\"sequenceNumber\":\"\",\
            \"data\":\"\",\"approximateArrivalTimestamp\":,"
                .len();
        let key: usize = record.partition_key.bytes().map(|byte| if needs_escape(byte) { 6 } else { 1 }).sum();
        let data = record.data.len().div_ceil(3) * 4;
        FIXED + key + 2 * SEQUENCE_DIGITS + data + TIMESTAMP_BYTES + self.event_id_prefix.len() + self.tail.len()
    }
}

fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

fn push_json_string(json: &mut String, text: &str) {
    json.push('"');
    for character in text.chars() {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            // Writing to a String cannot fail.
            control if (control as u32) < 0x20 => _ = write!(json, "\\u{:04x}", control as u32),
            other => json.push(other),
        }
    }
    json.push('"');
}

/// Seconds with three decimals, exactly: a float would round.
fn push_seconds(json: &mut String, milliseconds: i64) {
    let sign = if milliseconds < 0 { "-" } else { "" };
    let magnitude = milliseconds.unsigned_abs();
    // Writing to a String cannot fail.
    _ = write!(json, "{sign}{}.{:03}", magnitude / 1000, magnitude % 1000);
}
