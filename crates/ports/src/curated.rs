//! Curated data: what analysts query, one row per device and revision.

use crate::{Field, MEMBERS, MemberValue, StatisticsAttributes};
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use std::future::Future;
use std::iter::once;
use std::sync::LazyLock;
use telemetry::{DeviceId, Timestamp};

/// One row of the curated table `device_statistics`: a device's statistics as one revision had them. Its key is
/// (`device_id`, `revision`); a row that is delivered twice is the same row.
///
/// Serialized it is the JSON document that Firehose turns into Parquet: one member a column, in the table's order, and
/// timestamps as `YYYY-MM-DD HH:MM:SS.mmm` in UTC, a form that both of Firehose's deserializers take
/// (<https://docs.aws.amazon.com/firehose/latest/dev/record-format-conversion.html>).
#[derive(Debug, Clone, PartialEq)]
pub struct CuratedRow {
    /// The device.
    pub device_id: DeviceId,
    /// The revision of the device's item.
    pub revision: u64,
    /// The statistics.
    pub statistics: StatisticsAttributes,
}

/// A column of the curated table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name: that of the record's member, flattened.
    pub name: String,
    /// Its type.
    pub kind: ColumnKind,
}

/// A column's type. Texts and integers are always there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// `string`.
    Text,
    /// `bigint`.
    Integer,
    /// `double`, or nothing.
    Double,
    /// `timestamp` in UTC to the millisecond, or nothing.
    Timestamp,
}

/// A row's value of a column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    /// `string`.
    Text(&'a str),
    /// `bigint`.
    Integer(i64),
    /// `double`, or nothing.
    Double(Option<f64>),
    /// `timestamp`, or nothing.
    Timestamp(Option<Timestamp>),
}

/// The table's columns; the partition `dt`, the UTC day of delivery, comes on top.
pub static COLUMNS: LazyLock<Vec<Column>> = LazyLock::new(|| {
    let column = |name: String, kind| Column { name, kind };
    let mut columns =
        vec![column("device_id".to_owned(), ColumnKind::Text), column("revision".to_owned(), ColumnKind::Integer)];
    for member in &MEMBERS {
        let name = member.name.to_owned();
        match member.field {
            Field::Count(_) => columns.push(column(name, ColumnKind::Integer)),
            Field::Number(_) => columns.push(column(name, ColumnKind::Double)),
            Field::Interval(_) => {
                columns.extend(["low", "high"].map(|end| column(format!("{name}_{end}"), ColumnKind::Double)));
            }
            Field::Timestamp(_) | Field::Instant(_) => columns.push(column(name, ColumnKind::Timestamp)),
        }
    }
    columns
});

impl CuratedRow {
    /// The row's values, in the order of [`COLUMNS`].
    pub fn cells(&self) -> impl Iterator<Item = Cell<'_>> {
        // Nothing counts to 2^63.
        let integer = |number: u64| Cell::Integer(i64::try_from(number).unwrap_or(i64::MAX));
        let key = [Cell::Text(self.device_id.as_str()), integer(self.revision)];
        let members = self.statistics.members().flat_map(move |(_, value)| {
            let (first, second) = match value {
                MemberValue::Count(count) => (integer(count), None),
                MemberValue::Number(number) => (Cell::Double(number), None),
                MemberValue::Interval(ends) => {
                    (Cell::Double(ends.map(|ends| ends.low)), Some(Cell::Double(ends.map(|ends| ends.high))))
                }
                MemberValue::Timestamp(instant) => (Cell::Timestamp(instant), None),
            };
            once(first).chain(second)
        });
        key.into_iter().chain(members)
    }
}

impl Serialize for CuratedRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(COLUMNS.len()))?;
        for (column, cell) in COLUMNS.iter().zip(self.cells()) {
            match cell {
                Cell::Text(text) => map.serialize_entry(&column.name, text)?,
                Cell::Integer(number) => map.serialize_entry(&column.name, &number)?,
                Cell::Double(number) => map.serialize_entry(&column.name, &number)?,
                Cell::Timestamp(instant) => {
                    map.serialize_entry(&column.name, &instant.map(|instant| instant.utc_millisecond()))?;
                }
            }
        }
        map.end()
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
