//! The event that Lambda sends for a batch of Kinesis records.
//!
//! `aws_lambda_events` 1.2 reads the arrival's fraction as a whole number of milliseconds: `….05`, fifty milliseconds,
//! as five, and it refuses the event where the fraction has more than three digits. So the event is read here, to the
//! millisecond, into that crate's own type.

use aws_lambda_events::encodings::SecondTimestamp;
use aws_lambda_events::event::kinesis::{KinesisEvent, KinesisEventRecord};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::DateTime;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use telemetry::Timestamp;

/// A batch of records of one shard, as Lambda's JSON has it: reads into the event with every arrival as it was sent.
/// <https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html>
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "JsonEvent")]
pub struct KinesisBatch(pub KinesisEvent);

/// When the stream took the record, to the millisecond.
pub fn arrived_at(record: &KinesisEventRecord) -> Timestamp {
    let arrival = &record.kinesis.approximate_arrival_timestamp.0;
    // `KinesisBatch` reads no arrival out of range; an event made in another way is as old as can be.
    Timestamp::from_millisecond(arrival.timestamp_millis()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// A record of an event, without the names of its shard and stream.
pub fn event_record(
    partition_key: String,
    sequence_number: String,
    data: Vec<u8>,
    arrived_at: Timestamp,
) -> KinesisEventRecord {
    let mut record = KinesisEventRecord::default();
    record.kinesis.partition_key = partition_key;
    record.kinesis.sequence_number = sequence_number;
    record.kinesis.data.0 = data;
    // The years 0000 to 9999 are in the range of both types.
    let arrival = DateTime::from_timestamp_millis(arrived_at.as_millisecond()).unwrap_or_default();
    record.kinesis.approximate_arrival_timestamp = SecondTimestamp(arrival);
    record
}

#[derive(Deserialize)]
struct JsonEvent {
    #[serde(rename = "Records")]
    records: Vec<JsonEventRecord>,
}

#[derive(Deserialize)]
struct JsonEventRecord {
    kinesis: JsonRecord,
    #[serde(rename = "eventID", default)]
    event_id: Option<String>,
    #[serde(rename = "eventSourceARN", default)]
    event_source_arn: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonRecord {
    partition_key: String,
    sequence_number: String,
    #[serde(deserialize_with = "base64_data")]
    data: Vec<u8>,
    #[serde(deserialize_with = "milliseconds")]
    approximate_arrival_timestamp: Timestamp,
}

impl From<JsonEvent> for KinesisBatch {
    fn from(event: JsonEvent) -> Self {
        let mut batch = KinesisEvent::default();
        batch.records = event.records.into_iter().map(record).collect();
        KinesisBatch(batch)
    }
}

fn record(json: JsonEventRecord) -> KinesisEventRecord {
    let JsonRecord { partition_key, sequence_number, data, approximate_arrival_timestamp } = json.kinesis;
    let mut record = event_record(partition_key, sequence_number, data, approximate_arrival_timestamp);
    record.event_id = json.event_id;
    record.event_source_arn = json.event_source_arn;
    record
}

fn base64_data<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = <Cow<'de, str>>::deserialize(deserializer)?;
    STANDARD.decode(text.as_bytes()).map_err(D::Error::custom)
}

/// Seconds since the Unix epoch, with a fraction; a double holds them to the microsecond until long after 2100.
fn milliseconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let milliseconds = (f64::deserialize(deserializer)? * 1_000.0).round();
    // Beyond 64 bits the conversion saturates, and is out of range.
    Timestamp::from_millisecond(milliseconds as i64).ok_or_else(|| D::Error::custom("the arrival is out of range"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(text: &str) -> Result<String, serde_json::Error> {
        let event = format!(
            "{{\"Records\":[{{\"kinesis\":{{\"partitionKey\":\"d\",\"sequenceNumber\":\"1\",\"data\":\"e30=\",\
             \"approximateArrivalTimestamp\":{text}}}}}]}}"
        );
        serde_json::from_str(&event).map(|batch: KinesisBatch| arrived_at(&batch.0.records[0]).to_string())
    }

    #[test]
    fn a_fraction_of_a_second_is_read_as_a_fraction() {
        for (text, expected) in [
            ("1545084650.987", "2018-12-17T22:10:50.987Z"),
            ("1545084650.05", "2018-12-17T22:10:50.05Z"),
            ("1545084650.5", "2018-12-17T22:10:50.5Z"),
            ("1545084650.050", "2018-12-17T22:10:50.05Z"),
            ("1545084650", "2018-12-17T22:10:50Z"),
            ("1.545084650987E9", "2018-12-17T22:10:50.987Z"),
            ("1545084650.98749", "2018-12-17T22:10:50.987Z"),
        ] {
            assert_eq!(arrival(text).unwrap(), expected, "{text}");
        }
        assert!(arrival("1e30").is_err());
    }

    #[test]
    fn every_millisecond_of_a_second_comes_through() {
        for millisecond in 0..1_000 {
            let read = arrival(&format!("1780272000.{millisecond:03}")).unwrap();
            assert_eq!(Timestamp::parse(&read).unwrap().as_millisecond(), 1_780_272_000_000 + millisecond);
        }
    }
}
