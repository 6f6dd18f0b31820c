//! The one schema of the curated table `device_statistics`: Parquet files on one machine, the JSON that Firehose converts,
//! and the Glue table in Terraform all have these columns, in this order.

use ports::CuratedRow;
use telemetry::Timestamp;

/// One column.
pub struct Column {
    /// Its name: that of the readable attribute, flattened.
    pub name: &'static str,
    /// Its type, and where a row has its value.
    pub values: Values,
}

/// A column's type, with the way to a row's value. Texts and integers are always there.
pub enum Values {
    /// `string`.
    Text(fn(&CuratedRow) -> &str),
    /// `bigint`.
    Integer(fn(&CuratedRow) -> i64),
    /// `double`, or nothing.
    Double(fn(&CuratedRow) -> Option<f64>),
    /// `timestamp` in UTC to the millisecond, or nothing.
    Timestamp(fn(&CuratedRow) -> Option<Timestamp>),
}

const fn column(name: &'static str, values: Values) -> Column {
    Column { name, values }
}

/// The table's columns; the partition `dt`, the UTC day of delivery, comes on top.
pub const COLUMNS: [Column; 14] = [
    column("device_id", Values::Text(|row| row.device_id.as_str())),
    column("revision", Values::Integer(|row| row.revision)),
    column("count", Values::Integer(|row| row.count)),
    column("mean", Values::Double(|row| row.mean)),
    column("median", Values::Double(|row| row.median)),
    column("standard_deviation", Values::Double(|row| row.standard_deviation)),
    column("minimum", Values::Double(|row| row.minimum)),
    column("maximum", Values::Double(|row| row.maximum)),
    column("mean_confidence_95_low", Values::Double(|row| row.mean_confidence_95_low)),
    column("mean_confidence_95_high", Values::Double(|row| row.mean_confidence_95_high)),
    column("anomaly_count", Values::Integer(|row| row.anomaly_count)),
    column("first_timestamp", Values::Timestamp(|row| row.first_timestamp)),
    column("last_timestamp", Values::Timestamp(|row| row.last_timestamp)),
    column("updated_at", Values::Timestamp(|row| Some(row.updated_at))),
];
