//! The statistics record of a device, and the one table of its members.
//!
//! From [`MEMBERS`] come the answer of `GET /`, DynamoDB's attributes and the columns of curated files; the OpenAPI
//! schema, the Glue table and the documents are checked against it.

use serde::Serialize;
use telemetry::Timestamp;

/// What people and dashboards read of a device's statistics.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StatisticsAttributes {
    /// Readings counted.
    pub count: u64,
    /// Arithmetic mean.
    pub mean: Option<f64>,
    /// Median: the mean of the two middle values for an even count.
    pub median: Option<f64>,
    /// Sample standard deviation (n−1); `None` under two readings.
    pub standard_deviation: Option<f64>,
    /// Smallest value.
    pub minimum: Option<f64>,
    /// Largest value.
    pub maximum: Option<f64>,
    /// 95% confidence interval of the mean (Student's t); `None` under two readings.
    pub mean_confidence_95: Option<ConfidenceInterval>,
    /// Readings that stood out from the state before them.
    pub anomaly_count: u64,
    /// Earliest reading's timestamp.
    pub first_timestamp: Option<Timestamp>,
    /// Latest reading's timestamp.
    pub last_timestamp: Option<Timestamp>,
    /// When this revision was written.
    pub updated_at: Timestamp,
}

/// A closed interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ConfidenceInterval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// A member of [`StatisticsAttributes`].
#[derive(Debug, Clone, Copy)]
pub struct Member {
    /// Its name in answers and attributes; in files an interval has two columns, `…_low` and `…_high`.
    pub name: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// What it says.
    pub meaning: &'static str,
    /// Its type, and where it is.
    pub field: Field,
}

/// A member's type, and its place in the record.
#[derive(Debug, Clone, Copy)]
pub enum Field {
    /// A count.
    Count(fn(&mut StatisticsAttributes) -> &mut u64),
    /// A number, or none.
    Number(fn(&mut StatisticsAttributes) -> &mut Option<f64>),
    /// Two numbers, or none.
    Interval(fn(&mut StatisticsAttributes) -> &mut Option<ConfidenceInterval>),
    /// An instant, or none.
    Timestamp(fn(&mut StatisticsAttributes) -> &mut Option<Timestamp>),
    /// An instant that is always there.
    Instant(fn(&mut StatisticsAttributes) -> &mut Timestamp),
}

/// What a member holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MemberValue {
    /// A count.
    Count(u64),
    /// A number, or none.
    Number(Option<f64>),
    /// Two numbers, or none.
    Interval(Option<ConfidenceInterval>),
    /// An instant, or none.
    Timestamp(Option<Timestamp>),
}

const OF_THE_READINGS: &str = "the readings' own";
const READINGS: &str = "readings";
const UTC: &str = "UTC";

const fn member(name: &'static str, unit: &'static str, meaning: &'static str, field: Field) -> Member {
    Member { name, unit, meaning, field }
}

/// The members, in the order of answers and columns.
pub static MEMBERS: [Member; 11] = [
    member("count", READINGS, "readings counted", Field::Count(|of| &mut of.count)),
    member("mean", OF_THE_READINGS, "arithmetic mean", Field::Number(|of| &mut of.mean)),
    member("median", OF_THE_READINGS, "middle value", Field::Number(|of| &mut of.median)),
    member(
        "standard_deviation",
        OF_THE_READINGS,
        "sample standard deviation (n−1)",
        Field::Number(|of| &mut of.standard_deviation),
    ),
    member("minimum", OF_THE_READINGS, "smallest value", Field::Number(|of| &mut of.minimum)),
    member("maximum", OF_THE_READINGS, "largest value", Field::Number(|of| &mut of.maximum)),
    member(
        "mean_confidence_95",
        OF_THE_READINGS,
        "95% confidence interval of the mean (Student's t)",
        Field::Interval(|of| &mut of.mean_confidence_95),
    ),
    member("anomaly_count", READINGS, "readings that stood out", Field::Count(|of| &mut of.anomaly_count)),
    member("first_timestamp", UTC, "earliest reading", Field::Timestamp(|of| &mut of.first_timestamp)),
    member("last_timestamp", UTC, "latest reading", Field::Timestamp(|of| &mut of.last_timestamp)),
    member("updated_at", UTC, "when this was written", Field::Instant(|of| &mut of.updated_at)),
];

impl StatisticsAttributes {
    /// The record of no readings.
    pub fn empty(updated_at: Timestamp) -> Self {
        StatisticsAttributes {
            count: 0,
            mean: None,
            median: None,
            standard_deviation: None,
            minimum: None,
            maximum: None,
            mean_confidence_95: None,
            anomaly_count: 0,
            first_timestamp: None,
            last_timestamp: None,
            updated_at,
        }
    }

    /// Every member with its value, in the order of [`MEMBERS`].
    pub fn members(&self) -> impl Iterator<Item = (&'static Member, MemberValue)> {
        let mut copy = self.clone();
        MEMBERS.iter().map(move |member| {
            let value = match member.field {
                Field::Count(at) => MemberValue::Count(*at(&mut copy)),
                Field::Number(at) => MemberValue::Number(*at(&mut copy)),
                Field::Interval(at) => MemberValue::Interval(*at(&mut copy)),
                Field::Timestamp(at) => MemberValue::Timestamp(*at(&mut copy)),
                Field::Instant(at) => MemberValue::Timestamp(Some(*at(&mut copy))),
            };
            (member, value)
        })
    }
}
