//! What a producer puts: the bytes of a schedule's records, and what each reading in them is.

use crate::model::{Record, Schedule};
use std::fmt::Write as _;
use telemetry::{RejectReason, Timestamp};

/// What one reading of a stream record is, as the oracle knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// This reading of this device.
    Reading {
        /// Which device.
        device: usize,
        /// Which of its readings.
        reading: usize,
    },
    /// Bytes that are refused for this reason.
    Garbage(RejectReason),
}

/// One reading of a stored record.
#[derive(Debug, Clone, Copy)]
pub struct Occurrence {
    /// What it is.
    pub content: Content,
    /// Why it can never be counted, whatever the ledger holds.
    pub expected: Option<RejectReason>,
    /// Its place in a KPL aggregate.
    pub sub_sequence_number: Option<u64>,
    /// Its place in a series.
    pub index: Option<u32>,
    /// A dead letter was stored for it.
    pub has_letter: bool,
}

/// What is to be stored.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its partition key.
    pub partition_key: String,
    /// Its bytes.
    pub data: Vec<u8>,
    /// The readings in it.
    pub occurrences: Vec<Occurrence>,
}

/// The value of a device's reading: a power of two of its own.
pub fn value_of(reading: usize) -> f64 {
    (1u64 << reading) as f64
}

/// The partition key of a record that was put under another's.
pub const FOREIGN_KEY: &str = "another-device";

/// Why a reading that arrives at `now_ns` under its device's key can never be counted.
pub fn expected(schedule: &Schedule, content: Content, now_ns: i128) -> Option<RejectReason> {
    let (device, reading) = match content {
        Content::Garbage(reason) => return Some(reason),
        Content::Reading { device, reading } => (device, reading),
    };
    // Arrivals count milliseconds.
    let ahead_ns = schedule.devices[device].readings[reading].timestamp_ns - now_ns / 1_000_000 * 1_000_000;
    let tolerance_ns = schedule.settings.future_tolerance.as_nanos() as i128;
    (ahead_ns > tolerance_ns).then_some(RejectReason::FutureTimestamp)
}

/// The bytes of a record, and what they are. `now_ns` is its arrival.
pub fn entry(schedule: &Schedule, record: &Record, now_ns: i128) -> Entry {
    let mut occurrences = Vec::new();
    let mut parts = Vec::with_capacity(record.parts.len());
    for (sub, part) in record.parts.iter().enumerate() {
        let device = &schedule.devices[part.device];
        for (index, reading) in part.readings.iter().enumerate() {
            let content = Content::Reading { device: part.device, reading: *reading };
            let foreign = part.foreign_key.then_some(RejectReason::PartitionKeyMismatch);
            occurrences.push(Occurrence {
                content,
                expected: foreign.or_else(|| expected(schedule, content, now_ns)),
                sub_sequence_number: record.aggregate.then_some(sub as u64),
                index: part.series.then_some(index as u32),
                has_letter: false,
            });
        }
        let key = if part.foreign_key { FOREIGN_KEY } else { device.id.as_str() };
        parts.push((key, body(schedule, part.device, &part.readings, part.series)));
    }
    let partition_key = parts[0].0.to_owned();
    let data = if record.aggregate {
        let records: Vec<(&str, &[u8])> = parts.iter().map(|(key, data)| (*key, data.as_bytes())).collect();
        crate::kpl::aggregate(&records)
    } else {
        parts.swap_remove(0).1.into_bytes()
    };
    Entry { partition_key, data, occurrences }
}

/// The body of one reading or a series.
fn body(schedule: &Schedule, device: usize, readings: &[usize], series: bool) -> String {
    let device = &schedule.devices[device];
    let mut body = format!("{{\"device_id\":\"{}\",", device.id.as_str());
    if series {
        body.push_str("\"readings\":[");
    }
    for (at, index) in readings.iter().enumerate() {
        let reading = &device.readings[*index];
        let timestamp = Timestamp::from_nanosecond(reading.timestamp_ns).unwrap_or(Timestamp::UNIX_EPOCH);
        let open = if series { "{" } else { "" };
        let comma = if at > 0 { "," } else { "" };
        // Writing to a String cannot fail.
        _ = write!(body, "{comma}{open}\"timestamp\":\"{timestamp}\",\"value\":{}", value_of(*index));
        if let Some(event_id) = &reading.event_id {
            _ = write!(body, ",\"event_id\":\"{event_id}\"");
        }
        body.push_str(if series { "}" } else { "" });
    }
    body.push_str(if series { "]}" } else { "}" });
    body
}

/// Bytes that are refused for `reason`.
pub fn garbage(schedule: &Schedule, reason: RejectReason) -> Entry {
    let key = schedule.devices[0].id.as_str();
    let data = match reason {
        RejectReason::BadAggregate => {
            let mut data = crate::kpl::aggregate(&[(key, b"{}")]);
            // A wrong checksum.
            data.pop();
            data.push(data[4] ^ 0x55);
            data
        }
        RejectReason::InvalidReading => format!("{{\"device_id\":\"{key}\",\"value\":1}}").into_bytes(),
        _ => b"{\"device_id\":".to_vec(),
    };
    let occurrence = Occurrence {
        content: Content::Garbage(reason),
        expected: Some(reason),
        sub_sequence_number: None,
        index: None,
        has_letter: false,
    };
    Entry { partition_key: key.to_owned(), data, occurrences: vec![occurrence] }
}
