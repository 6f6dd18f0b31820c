//! The event that Lambda sends for a batch of Kinesis records.
//!
//! `aws_lambda_events` 1.2 has a type for it, which is not used: it reads the arrival's fraction as a whole number of
//! milliseconds (`….05`, fifty milliseconds, as five), refuses the event where the fraction has more than three digits,
//! and owns every text. Here an event is read into the records that the handler takes, and nothing else of it is kept.

use base64_simd::STANDARD;
use ports::{ShardId, StreamRecord, StreamShard};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::Arc;
use telemetry::{Scanner, Timestamp};

/// A batch of records of one shard, as Lambda's JSON has it.
/// <https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html>
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordBatch(pub Vec<StreamRecord>);

impl<'de> Deserialize<'de> for RecordBatch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Checked as one value, because Lambda's runtime notes the path of each that it reads, which costs more.
        let event = <&RawValue>::deserialize(deserializer)?.get();
        records(event).map(RecordBatch).map_err(D::Error::custom)
    }
}

fn records(event: &str) -> Result<Vec<StreamRecord>, String> {
    let (mut records, mut wrong) = (None, None);
    let read = Scanner::new(event).members(|scanner, name| {
        if name.as_deref() != Ok("Records") {
            return scanner.raw().map(drop);
        }
        let records: &mut Vec<StreamRecord> = records.insert(Vec::new());
        scanner.elements(|scanner| {
            let json = JsonRecord::read(scanner)?;
            records.push(json.record(records.last()).map_err(|error| wrong = Some(error)).ok()?);
            Some(())
        })
    });
    match (read.and(records), wrong) {
        (Some(records), None) => Ok(records),
        // It is JSON, so that only an array or an object that is another value cannot be passed over.
        (_, wrong) => Err(wrong.unwrap_or_else(|| "`Records`: must be an array of records".to_owned())),
    }
}

/// The members of a record that mean something here, as JSON.
#[derive(Default)]
struct JsonRecord<'a> {
    partition_key: Option<&'a str>,
    sequence_number: Option<&'a str>,
    data: Option<&'a str>,
    arrival: Option<&'a str>,
    event_id: Option<&'a str>,
    event_source_arn: Option<&'a str>,
}

impl<'a> JsonRecord<'a> {
    fn read(scanner: &mut Scanner<'a>) -> Option<Self> {
        let mut json = JsonRecord::default();
        scanner.members(|scanner, name| {
            let slot = match name.as_deref() {
                Ok("eventID") => &mut json.event_id,
                Ok("eventSourceARN") => &mut json.event_source_arn,
                Ok("kinesis") => {
                    return scanner.members(|scanner, name| {
                        let value = scanner.raw()?;
                        match name.as_deref() {
                            Ok("partitionKey") => json.partition_key = Some(value),
                            Ok("sequenceNumber") => json.sequence_number = Some(value),
                            Ok("data") => json.data = Some(value),
                            Ok("approximateArrivalTimestamp") => json.arrival = Some(value),
                            _ => {}
                        }
                        Some(())
                    });
                }
                _ => return scanner.raw().map(drop),
            };
            *slot = Some(scanner.raw()?);
            Some(())
        })?;
        Some(json)
    }

    /// The record, which shares its shard's names with the one before it, `last`.
    fn record(&self, last: Option<&StreamRecord>) -> Result<StreamRecord, String> {
        let partition_key = text(self.partition_key, "partitionKey")?;
        let sequence_number = text(self.sequence_number, "sequenceNumber")?;
        let data = text(self.data, "data")?;
        // `shardId-…:<sequence number>` and `arn:…:stream/<name>`.
        let event_id = text(self.event_id.or(Some("\"\"")), "eventID")?;
        let event_source_arn = text(self.event_source_arn.or(Some("\"\"")), "eventSourceARN")?;
        let shard_id = event_id.split_once(':').map_or("", |(shard, _)| shard);
        let stream = event_source_arn.rsplit_once('/').map_or("", |(_, name)| name);
        let same = |shard: &&Arc<StreamShard>| shard.shard_id.0 == shard_id && shard.stream == stream;
        let shard = last.map(|last| &last.shard).filter(same).cloned();
        Ok(StreamRecord {
            shard: shard.unwrap_or_else(|| {
                Arc::new(StreamShard { stream: stream.to_owned(), shard_id: ShardId(shard_id.to_owned()) })
            }),
            sequence_number: sequence_number.parse().map_err(|error| format!("`sequenceNumber`: {error}"))?,
            partition_key: partition_key.into_owned(),
            data: STANDARD.decode_to_vec(data.as_bytes()).map_err(|_| "`data`: is not base64")?,
            arrived_at: arrival(self.arrival)?,
        })
    }
}

/// The text of a member, which must be there.
fn text<'a>(json: Option<&'a str>, member: &str) -> Result<Cow<'a, str>, String> {
    let json = json.ok_or_else(|| format!("`{member}`: is missing"))?;
    telemetry::string(json).ok_or_else(|| format!("`{member}`: must be a string"))
}

/// Seconds since the Unix epoch, with a fraction; a double holds them to the microsecond until long after 2100.
fn arrival(json: Option<&str>) -> Result<Timestamp, &'static str> {
    let json = json.ok_or("`approximateArrivalTimestamp`: is missing")?;
    let seconds: f64 = json.parse().map_err(|_| "`approximateArrivalTimestamp`: must be a number")?;
    // Beyond 64 bits the conversion saturates, and is out of range.
    let milliseconds = (seconds * 1_000.0).round() as i64;
    Timestamp::from_millisecond(milliseconds).ok_or("`approximateArrivalTimestamp`: is out of range")
}
