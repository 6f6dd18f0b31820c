//! The event that Lambda sends for a batch of Kinesis records.
//!
//! `aws_lambda_events` 1.2 has a type for it, which is not used: it reads the arrival's fraction as a whole number of
//! milliseconds (`….05`, fifty milliseconds, as five), refuses the event where the fraction has more than three digits,
//! and owns every text. Here an event is read in one pass into the records that the handler takes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ports::{ShardId, StreamRecord, StreamShard};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use telemetry::Timestamp;

/// A batch of records of one shard, as Lambda's JSON has it.
/// <https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html>
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordBatch(pub Vec<StreamRecord>);

#[derive(Deserialize)]
struct JsonEvent {
    #[serde(rename = "Records")]
    records: Records,
}

#[derive(Deserialize)]
struct JsonEventRecord<'a> {
    #[serde(borrow)]
    kinesis: JsonRecord<'a>,
    /// `shardId-…:<sequence number>`.
    #[serde(rename = "eventID", borrow, default)]
    event_id: Cow<'a, str>,
    /// Ends in `stream/<name>`.
    #[serde(rename = "eventSourceARN", borrow, default)]
    event_source_arn: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonRecord<'a> {
    #[serde(borrow)]
    partition_key: Cow<'a, str>,
    #[serde(borrow)]
    sequence_number: Cow<'a, str>,
    #[serde(borrow)]
    data: Cow<'a, str>,
    approximate_arrival_timestamp: f64,
}

impl<'de> Deserialize<'de> for RecordBatch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let JsonEvent { records } = JsonEvent::deserialize(deserializer)?;
        Ok(RecordBatch(records.0))
    }
}

/// Records that are made as their JSON is read, so that nothing of it is kept.
struct Records(Vec<StreamRecord>);

impl<'de> Deserialize<'de> for Records {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(RecordsVisitor).map(Records)
    }
}

struct RecordsVisitor;

impl<'de> Visitor<'de> for RecordsVisitor {
    type Value = Vec<StreamRecord>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let mut records: Vec<StreamRecord> = Vec::new();
        while let Some(json) = sequence.next_element::<JsonEventRecord<'de>>()? {
            let record = record(&json, records.last()).map_err(A::Error::custom)?;
            records.push(record);
        }
        Ok(records)
    }
}

/// The record, which shares its shard's names with the one before it, `last`.
fn record(json: &JsonEventRecord<'_>, last: Option<&StreamRecord>) -> Result<StreamRecord, String> {
    let JsonRecord { partition_key, sequence_number, data, approximate_arrival_timestamp } = &json.kinesis;
    let shard_id = json.event_id.split_once(':').map_or("", |(shard, _)| shard);
    let stream = json.event_source_arn.rsplit_once('/').map_or("", |(_, name)| name);
    let same = |shard: &&Arc<StreamShard>| shard.shard_id.0 == shard_id && shard.stream == stream;
    let shard = last.map(|last| &last.shard).filter(same).cloned();
    Ok(StreamRecord {
        shard: shard.unwrap_or_else(|| {
            Arc::new(StreamShard { stream: stream.to_owned(), shard_id: ShardId(shard_id.to_owned()) })
        }),
        sequence_number: sequence_number.parse().map_err(|error| format!("`sequenceNumber`: {error}"))?,
        partition_key: partition_key.clone().into_owned(),
        data: STANDARD.decode(data.as_bytes()).map_err(|error| format!("`data`: {error}"))?,
        arrived_at: milliseconds(*approximate_arrival_timestamp)
            .ok_or("`approximateArrivalTimestamp`: is out of range")?,
    })
}

/// Seconds since the Unix epoch, with a fraction; a double holds them to the microsecond until long after 2100.
fn milliseconds(seconds: f64) -> Option<Timestamp> {
    // Beyond 64 bits the conversion saturates, and is out of range.
    Timestamp::from_millisecond((seconds * 1_000.0).round() as i64)
}
