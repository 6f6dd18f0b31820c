//! What an operator changes of a letter before it is sent again.

use crate::locate::members;
use ports::StreamEntry;
use std::collections::HashMap;
use telemetry::{Rejection, Timestamp, one_line, parse_reading, visit_batch, visit_series};

/// The members of a reading that are strings.
const STRINGS: [&str; 3] = ["device_id", "timestamp", "event_id"];

/// `member=value`: what a member is set to in every letter that is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    member: String,
    /// The value, as JSON.
    json: String,
}

impl Assignment {
    /// Parses `member=value`. For `device_id`, `timestamp` and `event_id` the value is text, with or without JSON's
    /// quotes; for `value` it is a number; for any other member it is JSON or, where it is none, text.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (member, value) = text.split_once('=').ok_or("must be member=value")?;
        if member.is_empty() || member == "readings" {
            return Err("must name a member of a single reading, such as value=12.5".to_owned());
        }
        let is_json = serde_json::from_str::<serde::de::IgnoredAny>(value).is_ok();
        let is_string = serde_json::from_str::<String>(value).is_ok();
        let is_number = serde_json::from_str::<f64>(value).is_ok();
        // A string always has a JSON form.
        let quoted = || serde_json::Value::String(value.to_owned()).to_string();
        let json = match member {
            "value" if is_number => value.trim().to_owned(),
            "value" => return Err("value: must be a JSON number".to_owned()),
            _ if STRINGS.contains(&member) && !is_string => quoted(),
            _ if is_json => value.trim().to_owned(),
            _ => quoted(),
        };
        Ok(Assignment { member: member.to_owned(), json })
    }

    fn is_identity_or_value(&self) -> bool {
        self.member == "value" || self.member == "timestamp" || self.member == "event_id"
    }
}

/// What is changed of which letters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repairs {
    /// Set in every letter that has no body of its own among `bodies`.
    pub assignments: Vec<Assignment>,
    /// id -> the new body: a reading, a series or a batch.
    pub bodies: HashMap<String, Vec<u8>>,
}

impl Repairs {
    /// Whether a letter of this id would be sent changed.
    pub fn touches(&self, id: &str) -> bool {
        !self.assignments.is_empty() || self.bodies.contains_key(id)
    }

    /// The body to send for a letter: the new one, or the payload with the assignments made, or the payload.
    ///
    /// # Errors
    /// Why the assignments cannot be made in this payload.
    pub fn body(&self, id: &str, payload: &[u8]) -> Result<Vec<u8>, String> {
        match self.bodies.get(id) {
            Some(body) => Ok(body.clone()),
            None if self.assignments.is_empty() => Ok(payload.to_vec()),
            None => assign(payload, &self.assignments),
        }
    }
}

/// The object with its members set; what is not set stays the same, character by character. A member named twice is there
/// once afterwards.
fn assign(payload: &[u8], assignments: &[Assignment]) -> Result<Vec<u8>, String> {
    let no_object = "the payload is not a JSON object: change it with --map-file, or export and import";
    let text = std::str::from_utf8(payload).map_err(|_| no_object)?.trim();
    if !text.starts_with('{') || serde_json::from_str::<serde::de::IgnoredAny>(text).is_err() {
        return Err(no_object.to_owned());
    }
    let mut members = members(text);
    if members.iter().any(|(name, _)| name == "readings") && assignments.iter().any(Assignment::is_identity_or_value) {
        return Err("the payload is a series: change it with --map-file, or export and import".to_owned());
    }
    for Assignment { member, json } in assignments {
        let mut place = members.len();
        if let Some(first) = members.iter().position(|(name, _)| name == member) {
            place = first;
            members.retain(|(name, _)| name != member);
        }
        members.insert(place, (member.clone(), json));
    }
    let member = |(name, json): &(String, &str)| format!("{}:{json}", serde_json::Value::String(name.clone()));
    Ok(format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(",")).into_bytes())
}

/// The records of a body, each under its readings' device, and how many readings they hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Records {
    /// What is put into the stream.
    pub entries: Vec<StreamEntry>,
    /// Readings in all of them.
    pub readings: u64,
}

/// Why a body cannot be sent.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BodyError {
    /// It is no reading, series or batch.
    #[error("{0}")]
    Rejected(#[from] Rejection),
    /// A reading lies ahead of what the stream would take now.
    #[error("`timestamp`: {0} still lies ahead")]
    Ahead(Timestamp),
}

/// Checks a body by the rules of the front door and makes the records that it would: one for a reading or a series, one
/// a reading for a batch. No reading may be later than `horizon`.
///
/// # Errors
/// [`BodyError`], naming the member that is wrong and its rule.
pub fn records(body: &[u8], horizon: Timestamp) -> Result<Records, BodyError> {
    let entry = |device_id: &str, data, readings| StreamEntry { partition_key: device_id.to_owned(), data, readings };
    let names = std::str::from_utf8(body).map(|text| members(text.trim())).unwrap_or_default();
    let has = |wanted: &str| names.iter().any(|(name, _)| name == wanted);
    let (mut ahead, mut entries) = (None, Vec::new());
    let mut check = |timestamp: Timestamp| ahead = ahead.or(Some(timestamp).filter(|timestamp| *timestamp > horizon));
    let readings = if !has("readings") {
        let reading = parse_reading(body)?;
        check(reading.timestamp);
        entries.push(entry(reading.device_id.as_str(), one_line(body), 1));
        1
    } else if has("device_id") || has("timestamp") || has("value") {
        let (device_id, readings) = visit_series(body, |_, reading| check(reading.timestamp))?;
        entries.push(entry(device_id.as_str(), one_line(body), readings));
        readings
    } else {
        visit_batch(body, |reading, body| {
            check(reading.timestamp);
            entries.push(entry(reading.device_id, one_line(body.as_bytes()), 1));
        })?;
        entries.len() as u64
    };
    ahead.map_or(Ok(Records { entries, readings }), |timestamp| Err(BodyError::Ahead(timestamp)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(payload: &str, texts: &[&str]) -> Result<String, String> {
        let assignments = texts.iter().map(|text| Assignment::parse(text)).collect::<Result<Vec<_>, _>>()?;
        assign(payload.as_bytes(), &assignments).map(|body| String::from_utf8(body).unwrap())
    }

    #[test]
    fn a_member_is_set_by_the_type_that_a_reading_gives_it() {
        assert_eq!(set("{}", &["value=12.5"]).unwrap(), r#"{"value":12.5}"#);
        assert_eq!(set("{}", &["device_id=12"]).unwrap(), r#"{"device_id":"12"}"#);
        assert_eq!(set("{}", &["device_id=\"a\""]).unwrap(), r#"{"device_id":"a"}"#);
        assert_eq!(set("{}", &["event_id=a=b"]).unwrap(), r#"{"event_id":"a=b"}"#);
        assert_eq!(set("{}", &["unit=C", "n=1", "o={\"a\":[1]}"]).unwrap(), r#"{"unit":"C","n":1,"o":{"a":[1]}}"#);
        for bad in ["value", "value=x", "value=\"1\"", "value=", "=1", "readings=[]"] {
            assert!(set("{}", &[bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_not_set_stays_character_by_character_and_twice_becomes_once() {
        let payload = r#" {"value" : "x","extra": 1.10e+2 , "value":2, "device_id":"d"} "#;
        assert_eq!(set(payload, &["value=3"]).unwrap(), r#"{"value":3,"extra":1.10e+2,"device_id":"d"}"#);
    }

    #[test]
    fn what_is_no_object_or_a_series_is_not_set() {
        for payload in ["", "[]", "{", "{\"a\":1,}", "null", r#"{"device_id":"d","readings":[]}"#] {
            assert!(set(payload, &["value=1"]).is_err(), "{payload}");
        }
        assert!(set(r#"{"device_id":"?","readings":[]}"#, &["device_id=d"]).unwrap().contains("\"d\""));
    }

    #[test]
    fn a_body_becomes_the_records_that_the_front_door_would_make() {
        let horizon = Timestamp::parse("2026-06-01T00:00:00Z").unwrap();
        let reading = |device: &str, at: &str| format!(r#"{{"device_id":"{device}","timestamp":"{at}","value":1}}"#);
        let (early, late) = ("2026-01-01T00:00:00Z", "2026-06-01T00:00:00.000000001Z");
        let one = records(reading("a", early).as_bytes(), horizon).unwrap();
        assert_eq!((one.readings, one.entries[0].partition_key.as_str()), (1, "a"));
        let batch = format!("{{\"readings\":[{},\n{}]}}", reading("a", early), reading("b", early));
        let two = records(batch.as_bytes(), horizon).unwrap();
        assert_eq!((two.readings, two.entries.len(), two.entries[1].partition_key.as_str()), (2, 2, "b"));
        let series = format!(
            "{{\"device_id\":\"a\",\n\"readings\":[{{\"timestamp\":\"{early}\",\"value\":1}},{{\"timestamp\":\"{early}\",\"value\":2}}]}}"
        );
        let series = records(series.as_bytes(), horizon).unwrap();
        assert_eq!((series.readings, series.entries.len()), (2, 1));
        assert!(!series.entries[0].data.contains(&b'\n'));
        assert!(matches!(records(reading("a", late).as_bytes(), horizon), Err(BodyError::Ahead(_))));
        assert!(matches!(records(b"{", horizon), Err(BodyError::Rejected(_))));
    }

    proptest! {
        #[test]
        fn what_is_sent_is_always_counted_by_the_stream_as_so_many_good_readings(
            bytes in prop::collection::vec(any::<u8>(), 0..40),
            value in any::<f64>(),
            extra in "\\PC{0,8}",
        ) {
            let horizon = Timestamp::parse("2026-06-01T00:00:00Z").unwrap();
            let json = serde_json::json!({"device_id": "d", "timestamp": "2026-01-01T00:00:00Z", "value": value, "x": extra});
            for body in [bytes.clone(), json.to_string().into_bytes()] {
                if let Ok(records) = records(&body, horizon) {
                    let decoded: Vec<_> =
                        records.entries.iter().flat_map(|entry| telemetry::decode_record(&entry.data)).collect();
                    prop_assert_eq!(decoded.len() as u64, records.readings);
                    prop_assert!(decoded.iter().all(|decoded| decoded.outcome.is_ok()));
                }
            }
        }
    }
}
