//! The event that Lambda sends for a batch of the table's change stream.
//!
//! `aws_lambda_events` has a type for it, which is not used: it decodes every attribute into owned values, the binary state
//! of each item included, and refuses the whole event where one attribute is of no type that it knows. Here an event is
//! read in one pass, nothing of it is copied but what a row holds, and an item that cannot be read fails alone.
//! <https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html>

use super::attribute::{Attribute, Ends};
use crate::{Change, Content, Unreadable};
use ports::CuratedRow;
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use telemetry::{DeviceId, Timestamp};

/// The sort key of the item that rows are made of.
const STATISTICS: &str = "statistics";

/// A batch of changes, in the stream's order.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangeBatch(pub Vec<Change>);

#[derive(Deserialize)]
struct JsonEvent<'a> {
    #[serde(rename = "Records", borrow)]
    records: Vec<JsonRecord<'a>>,
}

#[derive(Deserialize)]
struct JsonRecord<'a> {
    #[serde(rename = "eventName", default)]
    event_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    dynamodb: JsonChange<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct JsonChange<'a> {
    #[serde(default)]
    approximate_creation_date_time: Option<f64>,
    #[serde(borrow, default)]
    keys: Keys<'a>,
    #[serde(borrow, default)]
    new_image: Option<Image<'a>>,
    #[serde(default)]
    sequence_number: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Keys<'a> {
    #[serde(borrow)]
    device_id: Attribute<'a>,
    #[serde(borrow)]
    item: Attribute<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Image<'a> {
    #[serde(borrow)]
    revision: Attribute<'a>,
    #[serde(borrow)]
    count: Attribute<'a>,
    #[serde(borrow)]
    mean: Attribute<'a>,
    #[serde(borrow)]
    median: Attribute<'a>,
    #[serde(borrow)]
    standard_deviation: Attribute<'a>,
    #[serde(borrow)]
    minimum: Attribute<'a>,
    #[serde(borrow)]
    maximum: Attribute<'a>,
    #[serde(borrow)]
    mean_confidence_95: Attribute<'a>,
    #[serde(borrow)]
    anomaly_count: Attribute<'a>,
    #[serde(borrow)]
    first_timestamp: Attribute<'a>,
    #[serde(borrow)]
    last_timestamp: Attribute<'a>,
    #[serde(borrow)]
    updated_at: Attribute<'a>,
}

impl<'de> Deserialize<'de> for ChangeBatch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let event = JsonEvent::deserialize(deserializer)?;
        Ok(ChangeBatch(event.records.into_iter().map(change).collect()))
    }
}

fn change(record: JsonRecord<'_>) -> Change {
    let JsonRecord { event_name, dynamodb: change } = record;
    let is_deletion = event_name.as_deref() == Some("REMOVE");
    let seconds = change.approximate_creation_date_time;
    Change {
        content: if is_deletion { Content::Nothing } else { content(&change.keys, change.new_image.as_ref()) },
        // Seconds with a fraction; beyond 64 bits the conversion saturates, and is out of range.
        created_at: seconds.and_then(|seconds| Timestamp::from_millisecond((seconds * 1000.0).round() as i64)),
        // An empty one makes Lambda deliver the whole batch again, should it have to be reported.
        sequence_number: change.sequence_number.unwrap_or_default(),
    }
}

fn content(keys: &Keys<'_>, image: Option<&Image<'_>>) -> Content {
    let device_id = keys.device_id.text().and_then(|text| DeviceId::parse(text).ok());
    let unreadable = |device_id, why: &str| Content::Unreadable(Unreadable { device_id, why: why.to_owned() });
    match keys.item.text() {
        Some(STATISTICS) => {}
        // Ledger pages, and whatever else a device may come to have.
        Some(_) => return Content::Nothing,
        None => return unreadable(device_id, "the key `item` is not a string"),
    }
    let Some(device_id) = device_id else { return unreadable(None, "the key `device_id` is not a device's name") };
    let Some(image) = image else {
        return unreadable(Some(device_id), "there is no new image: the stream's view type must be NEW_IMAGE");
    };
    match row(&device_id, image) {
        Ok(row) => Content::Row(Box::new(row)),
        Err(why) => Content::Unreadable(Unreadable { device_id: Some(device_id), why }),
    }
}

fn row(device_id: &DeviceId, image: &Image<'_>) -> Result<CuratedRow, String> {
    let (low, high) = match &image.mean_confidence_95 {
        Attribute::Null => (None, None),
        Attribute::Interval(ends) => interval(ends)?,
        _ => return Err("`mean_confidence_95` is not a map of numbers or NULL".to_owned()),
    };
    Ok(CuratedRow {
        device_id: device_id.clone(),
        revision: integer("revision", &image.revision)?,
        count: integer("count", &image.count)?,
        mean: double("mean", &image.mean)?,
        median: double("median", &image.median)?,
        standard_deviation: double("standard_deviation", &image.standard_deviation)?,
        minimum: double("minimum", &image.minimum)?,
        maximum: double("maximum", &image.maximum)?,
        mean_confidence_95_low: low,
        mean_confidence_95_high: high,
        anomaly_count: integer("anomaly_count", &image.anomaly_count)?,
        first_timestamp: timestamp("first_timestamp", &image.first_timestamp)?,
        last_timestamp: timestamp("last_timestamp", &image.last_timestamp)?,
        updated_at: timestamp("updated_at", &image.updated_at)?.ok_or("`updated_at` is not a timestamp")?,
    })
}

/// An end beyond the range of DynamoDB's numbers is NULL; half an interval is none.
fn interval(ends: &Ends<'_>) -> Result<(Option<f64>, Option<f64>), String> {
    let (low, high) = (double("mean_confidence_95.low", &ends.low)?, double("mean_confidence_95.high", &ends.high)?);
    Ok(low.zip(high).unzip())
}

fn integer(name: &str, attribute: &Attribute<'_>) -> Result<i64, String> {
    attribute.integer().ok_or_else(|| format!("`{name}` is not an integer from 0 to 2^63-1"))
}

fn double(name: &str, attribute: &Attribute<'_>) -> Result<Option<f64>, String> {
    attribute.double().ok_or_else(|| format!("`{name}` is not a finite number or NULL"))
}

fn timestamp(name: &str, attribute: &Attribute<'_>) -> Result<Option<Timestamp>, String> {
    match attribute {
        Attribute::Null => Ok(None),
        Attribute::Text(text) => Timestamp::parse(text).map(Some).map_err(|_| format!("`{name}` is not a timestamp")),
        _ => Err(format!("`{name}` is not a timestamp or NULL")),
    }
}
