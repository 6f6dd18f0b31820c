//! The table's items, as DynamoDB attributes: contract `device-statistics` of docs/semantics.md.

use crate::number;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use ports::{
    ConfidenceInterval, Field, LedgerPageItem, MEMBERS, Member, MemberValue, StatisticsAttributes, StatisticsItem,
    StoreError,
};
use statistics::{CorruptState, DeviceState, LedgerPage};
use std::collections::HashMap;
use telemetry::{DeviceId, Timestamp};

pub(crate) type Attributes = HashMap<String, AttributeValue>;

/// The sort key of the one item a device has beside its ledger pages.
pub(crate) const STATISTICS: &str = "statistics";

/// The primary key of a device's item.
pub(crate) fn key(device_id: &DeviceId, item: &str) -> Attributes {
    Attributes::from([
        ("device_id".to_owned(), AttributeValue::S(device_id.as_str().to_owned())),
        ("item".to_owned(), AttributeValue::S(item.to_owned())),
    ])
}

/// The item `statistics` of a device, key included.
pub(crate) fn encode_statistics(device_id: &DeviceId, item: &StatisticsItem) -> Attributes {
    let mut attributes = key(device_id, STATISTICS);
    let mut set = |name: &str, value| attributes.insert(name.to_owned(), value);
    set("revision", integer(item.revision));
    for (member, value) in item.attributes.members() {
        let value = match value {
            MemberValue::Count(count) => integer(count),
            MemberValue::Number(number) => number::to_attribute(number),
            MemberValue::Interval(interval) => encode_interval(interval),
            MemberValue::Timestamp(timestamp) => encode_timestamp(timestamp),
        };
        set(member.name, value);
    }
    set("state", AttributeValue::B(Blob::new(item.state.clone())));
    attributes
}

/// What [`encode_statistics`] wrote. Where an attribute is not as the contract has it, a newer program may have written
/// the item otherwise: the state's version says so. Else the error names the attribute.
pub(crate) fn decode_statistics(attributes: Attributes) -> Result<StatisticsItem, StoreError> {
    refuse_newer("stored state", attributes.get("state"), DeviceState::check_version)?;
    statistics_item(attributes).map_err(StoreError::Corrupt)
}

fn statistics_item(mut attributes: Attributes) -> Result<StatisticsItem, String> {
    let state = match attributes.remove("state") {
        Some(AttributeValue::B(blob)) => blob.into_inner(),
        _ => return Err(not_a("state", "a binary")),
    };
    let from = &attributes;
    let mut readable = StatisticsAttributes::empty(Timestamp::UNIX_EPOCH);
    for Member { name, field, .. } in &MEMBERS {
        match field {
            Field::Count(at) => *at(&mut readable) = decode_integer(from, name)?,
            Field::Number(at) => *at(&mut readable) = decode_number(from, name)?,
            Field::Interval(at) => *at(&mut readable) = decode_interval(from, name)?,
            Field::Timestamp(at) => *at(&mut readable) = decode_timestamp(from, name)?,
            Field::Instant(at) => {
                *at(&mut readable) = decode_timestamp(from, name)?.ok_or_else(|| not_a(name, "a timestamp"))?;
            }
        }
    }
    Ok(StatisticsItem { revision: decode_integer(from, "revision")?, attributes: readable, state })
}

/// A ledger page of a device, key included.
pub(crate) fn encode_page(device_id: &DeviceId, page: &LedgerPageItem) -> Attributes {
    let mut attributes = key(device_id, &page.key);
    attributes.insert("page".to_owned(), AttributeValue::B(Blob::new(page.page.clone())));
    if let Some(expires_at) = page.expires_at {
        attributes.insert("expires_at".to_owned(), AttributeValue::N(expires_at.to_string()));
    }
    attributes
}

/// What [`encode_page`] wrote; with the same errors as [`decode_statistics`].
pub(crate) fn decode_page(attributes: Attributes) -> Result<LedgerPageItem, StoreError> {
    refuse_newer("stored ledger page", attributes.get("page"), LedgerPage::check_version)?;
    ledger_page(attributes).map_err(StoreError::Corrupt)
}

fn ledger_page(mut attributes: Attributes) -> Result<LedgerPageItem, String> {
    let key = match attributes.remove("item") {
        Some(AttributeValue::S(key)) => key,
        _ => return Err(not_a("item", "a string")),
    };
    let page = match attributes.remove("page") {
        Some(AttributeValue::B(blob)) => blob.into_inner(),
        _ => return Err(not_a("page", "a binary")),
    };
    let expires_at = match attributes.get("expires_at") {
        None => None,
        Some(AttributeValue::N(text)) => Some(text.parse().map_err(|_| not_a("expires_at", "an integer"))?),
        Some(_) => return Err(not_a("expires_at", "an integer")),
    };
    Ok(LedgerPageItem { key, page, expires_at })
}

fn refuse_newer(
    what: &str,
    attribute: Option<&AttributeValue>,
    check_version: fn(&[u8]) -> Result<(), CorruptState>,
) -> Result<(), StoreError> {
    let Some(AttributeValue::B(blob)) = attribute else { return Ok(()) };
    match check_version(blob.as_ref()) {
        Err(CorruptState::NewerVersion { found, known }) => {
            Err(StoreError::NewerVersion { what: what.to_owned(), found, known })
        }
        // Whether it is whole is for the reader of the bytes to say.
        _ => Ok(()),
    }
}

fn integer(value: u64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

fn encode_interval(interval: Option<ConfidenceInterval>) -> AttributeValue {
    interval.map_or(AttributeValue::Null(true), |ConfidenceInterval { low, high }| {
        AttributeValue::M(Attributes::from([
            ("low".to_owned(), number::to_attribute(Some(low))),
            ("high".to_owned(), number::to_attribute(Some(high))),
        ]))
    })
}

fn encode_timestamp(timestamp: Option<Timestamp>) -> AttributeValue {
    timestamp.map_or(AttributeValue::Null(true), |timestamp| AttributeValue::S(timestamp.to_string()))
}

fn decode_integer(attributes: &Attributes, name: &str) -> Result<u64, String> {
    match attributes.get(name) {
        Some(AttributeValue::N(text)) => text.parse().map_err(|_| not_a(name, "an integer")),
        _ => Err(not_a(name, "an integer")),
    }
}

fn decode_number(attributes: &Attributes, name: &str) -> Result<Option<f64>, String> {
    match attributes.get(name) {
        Some(AttributeValue::N(text)) => number::parse(text).map(Some).ok_or_else(|| not_a(name, "a finite number")),
        Some(AttributeValue::Null(true)) => Ok(None),
        _ => Err(not_a(name, "a number or NULL")),
    }
}

fn decode_interval(attributes: &Attributes, name: &str) -> Result<Option<ConfidenceInterval>, String> {
    match attributes.get(name) {
        Some(AttributeValue::M(ends)) => match (decode_number(ends, "low")?, decode_number(ends, "high")?) {
            (Some(low), Some(high)) => Ok(Some(ConfidenceInterval { low, high })),
            // An end beyond the range of DynamoDB's numbers is NULL; half an interval is none.
            _ => Ok(None),
        },
        Some(AttributeValue::Null(true)) => Ok(None),
        _ => Err(not_a(name, "a map or NULL")),
    }
}

fn decode_timestamp(attributes: &Attributes, name: &str) -> Result<Option<Timestamp>, String> {
    match attributes.get(name) {
        Some(AttributeValue::S(text)) => Timestamp::parse(text).map(Some).map_err(|_| not_a(name, "a timestamp")),
        Some(AttributeValue::Null(true)) => Ok(None),
        _ => Err(not_a(name, "a timestamp or NULL")),
    }
}

fn not_a(name: &str, kind: &str) -> String {
    format!("`{name}` is not {kind}")
}

#[cfg(test)]
#[path = "statistics_item_tests.rs"]
mod tests;
