//! A reading on its way to the front door, and the account of one that cannot go.

use std::fmt;
use std::sync::Arc;
use telemetry::Reading;

/// Where a reading came from, as messages name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The file as it was named, `-` for standard input, or `simulated` and the device.
    pub file: Arc<str>,
    /// The line, from 1; of a simulated device, the reading's ordinal.
    pub line: u64,
}

/// One valid reading and its origin.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The reading.
    pub reading: Reading,
    /// Its JSON object as the source had it, where the source was JSON: members that are not interpreted are posted
    /// too, because the archive keeps them.
    pub json: Option<Box<str>>,
    /// Where it came from.
    pub origin: Origin,
}

/// Readings that were not taken, and why.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Refusal {
    /// The file of the first of them.
    #[serde(serialize_with = "text")]
    pub file: Arc<str>,
    /// The line of the first of them, from 1.
    pub line: u64,
    /// How many readings (or rows that are no readings) this is about.
    pub readings: u64,
    /// The member and the rule, or what the endpoint said.
    pub message: String,
}

fn text<S: serde::Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

impl Refusal {
    /// One row that is refused.
    pub fn of_row(origin: &Origin, message: impl Into<String>) -> Self {
        Refusal { file: origin.file.clone(), line: origin.line, readings: 1, message: message.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)?;
        if self.readings > 1 { write!(f, " ({} readings)", self.readings) } else { Ok(()) }
    }
}
