//! Curated data: what analysts query, one row per device and revision.

use crate::{StatisticsAttributes, StatisticsItem};
use serde::{Serialize, Serializer};
use std::future::Future;
use telemetry::{DeviceId, Timestamp};

/// One row of the curated table `device_statistics`: a device's statistics as one revision had them. Its key is
/// (`device_id`, `revision`); a row that is delivered twice is the same row.
///
/// Serialized it is the JSON document that Firehose turns into Parquet: one member a column, in the table's order, and
/// timestamps as `YYYY-MM-DD HH:MM:SS.mmm` in UTC, a form that both of Firehose's deserializers take
/// (<https://docs.aws.amazon.com/firehose/latest/dev/record-format-conversion.html>).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CuratedRow {
    /// The device.
    #[serde(serialize_with = "device_id")]
    pub device_id: DeviceId,
    /// The revision of the device's item.
    pub revision: i64,
    /// Readings counted.
    pub count: i64,
    /// Arithmetic mean.
    pub mean: Option<f64>,
    /// Median.
    pub median: Option<f64>,
    /// Sample standard deviation (n−1); `None` for one reading.
    pub standard_deviation: Option<f64>,
    /// Smallest value.
    pub minimum: Option<f64>,
    /// Largest value.
    pub maximum: Option<f64>,
    /// Lower end of the 95% confidence interval of the mean; `None` for one reading.
    pub mean_confidence_95_low: Option<f64>,
    /// Upper end of the 95% confidence interval of the mean; `None` for one reading.
    pub mean_confidence_95_high: Option<f64>,
    /// Readings that stood out from those before them.
    pub anomaly_count: i64,
    /// Earliest reading's timestamp.
    #[serde(serialize_with = "optional_instant")]
    pub first_timestamp: Option<Timestamp>,
    /// Latest reading's timestamp.
    #[serde(serialize_with = "optional_instant")]
    pub last_timestamp: Option<Timestamp>,
    /// When the revision was written.
    #[serde(serialize_with = "instant")]
    pub updated_at: Timestamp,
}

/// A number that a `bigint` column does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is beyond a column's 63 bits")]
pub struct ColumnOverflow(pub &'static str);

impl CuratedRow {
    /// The row of a device's item.
    ///
    /// # Errors
    /// [`ColumnOverflow`]: no item that was ever counted to.
    pub fn new(device_id: DeviceId, item: &StatisticsItem) -> Result<Self, ColumnOverflow> {
        Self::of_attributes(device_id, item.revision, &item.attributes)
    }

    /// The row of a revision's attributes.
    ///
    /// # Errors
    /// As [`CuratedRow::new`].
    pub fn of_attributes(
        device_id: DeviceId,
        revision: u64,
        attributes: &StatisticsAttributes,
    ) -> Result<Self, ColumnOverflow> {
        let integer = |name, number: u64| i64::try_from(number).map_err(|_| ColumnOverflow(name));
        Ok(CuratedRow {
            device_id,
            revision: integer("revision", revision)?,
            count: integer("count", attributes.count)?,
            mean: attributes.mean,
            median: attributes.median,
            standard_deviation: attributes.standard_deviation,
            minimum: attributes.minimum,
            maximum: attributes.maximum,
            mean_confidence_95_low: attributes.mean_confidence_95.map(|interval| interval.low),
            mean_confidence_95_high: attributes.mean_confidence_95.map(|interval| interval.high),
            anomaly_count: integer("anomaly_count", attributes.anomaly_count)?,
            first_timestamp: attributes.first_timestamp,
            last_timestamp: attributes.last_timestamp,
            updated_at: attributes.updated_at,
        })
    }
}

fn device_id<S: Serializer>(device_id: &DeviceId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(device_id.as_str())
}

fn instant<S: Serializer>(instant: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&instant.utc_millisecond())
}

fn optional_instant<S: Serializer>(instant: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match instant {
        Some(instant) => serializer.serialize_str(&instant.utc_millisecond()),
        None => serializer.serialize_none(),
    }
}

/// Where curated rows go: Firehose, or Parquet files.
pub trait CuratedDelivery: Send + Sync {
    /// Delivers the rows; the answer has one result a row, in order. `Ok` only for what was taken for good. A row may be
    /// delivered more than once.
    fn deliver(&self, rows: Vec<CuratedRow>) -> impl Future<Output = Vec<Result<(), DeliveryError>>> + Send;
}

/// Why a row was not taken.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// Passing: try again.
    #[error("curated data cannot be delivered")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}
