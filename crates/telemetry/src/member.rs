//! A JSON object taken apart into its members, each as the text it was, without interpreting them.

use crate::{RejectReason, Rejection};
use serde::de::{Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

/// How deep a record's JSON may be nested, its outer object counted as 1: as deep as most JSON parsers go.
const DEPTH_MAX: usize = 128;

/// The members of an object that mean something here, as raw JSON.
#[derive(Default)]
pub(crate) struct Members<'a> {
    pub device_id: Option<&'a str>,
    pub timestamp: Option<&'a str>,
    pub value: Option<&'a str>,
    pub event_id: Option<&'a str>,
    pub readings: Option<&'a str>,
}

/// Checks that `bytes` are one JSON document of UTF-8, and returns its text without surrounding white space.
pub(crate) fn json_text(bytes: &[u8]) -> Result<&str, Rejection> {
    let malformed = |detail: String| Rejection::new(RejectReason::MalformedJson, detail);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        malformed(format!("the body is not UTF-8: the byte at position {} is wrong", error.valid_up_to()))
    })?;
    let raw: &RawValue =
        serde_json::from_str(text).map_err(|error| malformed(format!("the body is not one JSON document: {error}")))?;
    Ok(raw.get())
}

/// Takes one object apart. `path` is what a message puts before a member's name, such as `readings[3].`.
pub(crate) fn members<'a>(json: &'a str, path: &str) -> Result<Members<'a>, Rejection> {
    let whole = if path.is_empty() { "the body".to_owned() } else { format!("`{}`", path.trim_end_matches('.')) };
    if !json.starts_with('{') {
        return Err(invalid(format!("{whole}: must be a JSON object")));
    }
    // A reading in `readings` lies in that array, which lies in the outer object.
    let depth = if path.is_empty() { 1 } else { 3 };
    let mut deserializer = serde_json::Deserializer::from_str(json);
    serde::Deserializer::deserialize_map(&mut deserializer, MembersVisitor { depth }).map_err(|error| {
        // The text was checked before, so the only errors left are the visitor's own.
        let text = error.to_string();
        invalid(format!("{whole}: {}", text.split(" at line").next().unwrap_or_default()))
    })
}

/// The elements of an array, each as raw JSON; `None` if `json` is not an array.
pub(crate) fn elements(json: &str) -> Option<Vec<&RawValue>> {
    if !json.starts_with('[') {
        return None;
    }
    serde_json::from_str(json).ok()
}

/// A rejection with the reason `invalid_reading`.
pub(crate) fn invalid(detail: String) -> Rejection {
    Rejection::new(RejectReason::InvalidReading, detail)
}

/// How deep brackets and braces are nested in a JSON document: 0 for a string or a number.
fn depth_of(json: &str) -> usize {
    let (mut depth, mut deepest, mut in_string) = (0usize, 0, false);
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => in_string = !in_string,
            // Whatever is escaped ends no string.
            b'\\' if in_string => drop(bytes.next()),
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

struct MembersVisitor {
    /// How deep the object lies in its record.
    depth: usize,
}

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Members::default();
        let mut others: HashSet<Cow<'de, str>> = HashSet::new();
        while let Some(Name(name)) = map.next_key()? {
            let slot = match name.as_ref() {
                "device_id" => Some(&mut members.device_id),
                "timestamp" => Some(&mut members.timestamp),
                "value" => Some(&mut members.value),
                "event_id" => Some(&mut members.event_id),
                "readings" => Some(&mut members.readings),
                _ => None,
            };
            let raw: &'de RawValue = map.next_value()?;
            let repeated = match slot {
                // The members that mean something have rules that no deep nesting meets.
                Some(slot) => slot.replace(raw.get()).is_some(),
                None if self.depth + depth_of(raw.get()) > DEPTH_MAX => {
                    let member = quoted(&name);
                    return Err(A::Error::custom(format_args!(
                        "the member {member} is nested too deep; JSON is taken to a depth of {DEPTH_MAX}"
                    )));
                }
                None => !others.insert(name.clone()),
            };
            if repeated {
                return Err(A::Error::custom(format_args!("the member {} is named twice", quoted(&name))));
            }
        }
        Ok(members)
    }
}

/// A member's name for a message: as JSON writes it, cut to a readable length.
fn quoted(name: &str) -> String {
    let short: String = name.chars().take(64).collect();
    format!("{short:?}")
}

/// A member's name, borrowed where it holds no escapes.
struct Name<'de>(Cow<'de, str>);

impl<'de> serde::Deserialize<'de> for Name<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}
