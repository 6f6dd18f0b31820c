//! The event that Lambda sends for a batch of the table's change stream.
//!
//! `aws_lambda_events` has a type for it, which is not used: it decodes every attribute into owned values, the binary state
//! of each item included, and refuses the whole event where one attribute is of no type that it knows. Here an event is
//! read in one pass, nothing of it is copied but what a row holds, and an item that cannot be read fails alone.
//! <https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html>

use super::attribute::Attribute;
use crate::{Change, Content, Unreadable};
use ports::{ConfidenceInterval, CuratedRow, Field, MEMBERS, Member, StatisticsAttributes};
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::fmt;
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

/// What a row needs of an item: its revision, and the members in the order of [`MEMBERS`].
#[derive(Default)]
struct Image<'a> {
    revision: Attribute<'a>,
    members: [Attribute<'a>; MEMBERS.len()],
}

/// The name of an attribute, if a row needs it.
enum Name {
    Revision,
    Member(usize),
    Other,
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;

        impl Visitor<'_> for NameVisitor {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an attribute's name")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Name, E> {
                let member = MEMBERS.iter().position(|member| member.name == name).map_or(Name::Other, Name::Member);
                Ok(if name == "revision" { Name::Revision } else { member })
            }
        }

        deserializer.deserialize_identifier(NameVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Image<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ImageVisitor;

        impl<'de> Visitor<'de> for ImageVisitor {
            type Value = Image<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an item")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Image<'de>, A::Error> {
                let mut image = Image::default();
                while let Some(name) = map.next_key()? {
                    match name {
                        Name::Revision => image.revision = map.next_value()?,
                        Name::Member(place) => image.members[place] = map.next_value()?,
                        Name::Other => map.next_value::<IgnoredAny>().map(drop)?,
                    }
                }
                Ok(image)
            }
        }

        deserializer.deserialize_map(ImageVisitor)
    }
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
    let mut statistics = StatisticsAttributes::empty(Timestamp::UNIX_EPOCH);
    for (Member { name, field, .. }, attribute) in MEMBERS.iter().zip(&image.members) {
        match field {
            Field::Count(at) => *at(&mut statistics) = integer(name, attribute)?,
            Field::Number(at) => *at(&mut statistics) = double(name, attribute)?,
            Field::Interval(at) => *at(&mut statistics) = interval(name, attribute)?,
            Field::Timestamp(at) => *at(&mut statistics) = timestamp(name, attribute)?,
            Field::Instant(at) => {
                *at(&mut statistics) =
                    timestamp(name, attribute)?.ok_or_else(|| format!("`{name}` is not a timestamp"))?;
            }
        }
    }
    Ok(CuratedRow { device_id: device_id.clone(), revision: integer("revision", &image.revision)?, statistics })
}

/// An end beyond the range of DynamoDB's numbers is NULL; half an interval is none.
fn interval(name: &str, attribute: &Attribute<'_>) -> Result<Option<ConfidenceInterval>, String> {
    let ends = match attribute {
        Attribute::Null => return Ok(None),
        Attribute::Interval(ends) => ends,
        _ => return Err(format!("`{name}` is not a map of numbers or NULL")),
    };
    let low = double(&format!("{name}.low"), &ends.low)?;
    let high = double(&format!("{name}.high"), &ends.high)?;
    Ok(low.zip(high).map(|(low, high)| ConfidenceInterval { low, high }))
}

fn integer(name: &str, attribute: &Attribute<'_>) -> Result<u64, String> {
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
