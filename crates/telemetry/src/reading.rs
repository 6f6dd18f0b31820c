//! A reading and its parts.

use crate::Timestamp;
use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// The largest magnitude of a value.
pub const MAX_MAGNITUDE: f64 = 1e100;

/// The most readings in one series or batch.
pub const MAX_READINGS: usize = 500;

/// A device's name: 1–128 of `A-Z a-z 0-9 . _ : -`, first a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceId(Arc<str>);

impl DeviceId {
    /// The rule, in words that follow the member's name.
    pub const RULE: &str =
        "must be a string of 1 to 128 characters of A-Z a-z 0-9 . _ : - that begins with a letter or digit";

    /// Checks and takes a name.
    ///
    /// # Errors
    /// [`DeviceId::RULE`], where the name breaks it.
    pub fn parse(text: impl AsRef<str>) -> Result<Self, &'static str> {
        let text = text.as_ref();
        if Self::is_valid(text) { Ok(DeviceId::checked(text)) } else { Err(Self::RULE) }
    }

    /// A name that was checked before.
    pub(crate) fn checked(text: &str) -> Self {
        DeviceId(text.into())
    }

    pub(crate) fn is_valid(text: &str) -> bool {
        let bytes = text.as_bytes();
        (1..=128).contains(&bytes.len())
            && bytes[0].is_ascii_alphanumeric()
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(byte))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// So that a map of devices can be asked by name.
impl Borrow<str> for DeviceId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl serde::Serialize for DeviceId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// The sender's own name for a reading: 1–128 visible ASCII characters (`!` to `~`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EventId(String);

impl EventId {
    /// The rule, in words that follow the member's name.
    pub const RULE: &str = "must be a string of 1 to 128 visible ASCII characters";

    /// Checks and takes a name.
    ///
    /// # Errors
    /// [`EventId::RULE`], where the name breaks it.
    pub fn parse(text: impl Into<String>) -> Result<Self, &'static str> {
        let text = text.into();
        if Self::is_valid(&text) { Ok(EventId(text)) } else { Err(Self::RULE) }
    }

    pub(crate) fn is_valid(text: &str) -> bool {
        (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One valid reading. Its identity is device and timestamp and, where there is one, `event_id`.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The device.
    pub device_id: DeviceId,
    /// When the device read it.
    pub timestamp: Timestamp,
    /// What it read: finite, magnitude at most [`MAX_MAGNITUDE`], never −0.0.
    pub value: f64,
    /// The sender's own name for it.
    pub event_id: Option<EventId>,
}

/// A valid reading, borrowed from the body that holds it.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct ReadingRef<'a> {
    /// The device's name.
    pub device_id: &'a str,
    /// When the device read it.
    pub timestamp: Timestamp,
    /// What it read: finite, magnitude at most [`MAX_MAGNITUDE`], never −0.0.
    pub value: f64,
    /// The sender's own name for it.
    pub event_id: Option<&'a str>,
}

impl ReadingRef<'_> {
    /// The device. Its name was checked when the reading was.
    pub fn to_device_id(&self) -> DeviceId {
        DeviceId::checked(self.device_id)
    }

    /// The reading by itself.
    pub fn to_reading(&self) -> Reading {
        let event_id = self.event_id.map(|text| EventId(text.to_owned()));
        Reading { device_id: self.to_device_id(), timestamp: self.timestamp, value: self.value, event_id }
    }
}
