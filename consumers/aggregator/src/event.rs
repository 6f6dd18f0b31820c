//! The event that Lambda sends for a batch of Kinesis records.
//!
//! Our own, because `aws_lambda_events` 1.2 reads the arrival's fraction as a whole number of milliseconds: `….05`,
//! fifty milliseconds, as five, and it refuses the event where the fraction has more than three digits.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use telemetry::Timestamp;

/// A batch of records of one shard. <https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html>
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct KinesisEvent {
    /// The records, in the order of their sequence numbers.
    #[serde(rename = "Records")]
    pub records: Vec<KinesisEventRecord>,
}

/// One record, and where it came from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct KinesisEventRecord {
    /// The record.
    pub kinesis: KinesisRecord,
    /// `<shard id>:<sequence number>`.
    #[serde(rename = "eventID", default)]
    pub event_id: Option<String>,
    /// The stream's ARN.
    #[serde(rename = "eventSourceARN", default)]
    pub event_source_arn: Option<String>,
}

/// The record as the stream holds it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KinesisRecord {
    /// The producer's partition key.
    pub partition_key: String,
    /// Its place in the shard: a decimal number.
    pub sequence_number: String,
    /// Its data, decoded.
    #[serde(deserialize_with = "base64_data")]
    pub data: Vec<u8>,
    /// When the stream took it, to the millisecond.
    #[serde(deserialize_with = "seconds")]
    pub approximate_arrival_timestamp: Timestamp,
}

fn base64_data<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = <Cow<'de, str>>::deserialize(deserializer)?;
    STANDARD.decode(text.as_bytes()).map_err(D::Error::custom)
}

/// Seconds since the Unix epoch, with a fraction; a double holds them to the microsecond until long after 2100.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let milliseconds = (f64::deserialize(deserializer)? * 1_000.0).round();
    // Beyond 64 bits the conversion saturates, and is out of range.
    Timestamp::from_millisecond(milliseconds as i64).ok_or_else(|| D::Error::custom("the arrival is out of range"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(text: &str) -> Result<String, serde_json::Error> {
        let record = format!(
            "{{\"partitionKey\":\"d\",\"sequenceNumber\":\"1\",\"data\":\"e30=\",\"approximateArrivalTimestamp\":{text}}}"
        );
        serde_json::from_str(&record).map(|record: KinesisRecord| record.approximate_arrival_timestamp.to_string())
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
