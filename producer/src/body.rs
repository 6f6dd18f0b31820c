//! The bodies that are posted, and their paths.

use crate::row::Row;
use serde::Serialize;
use telemetry::DeviceId;

/// The most bytes of one body that the front door takes.
pub const BODY_BYTES_MAX: usize = 256 * 1024;

/// Which of the three bodies a post has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// One reading, to `/data`.
    Single,
    /// Readings of one device, to `/data/series`.
    Series,
    /// Readings of any devices, to `/data/batch`.
    Batch,
}

impl Form {
    pub(crate) fn path(self) -> &'static str {
        match self {
            Form::Single => "/data",
            Form::Series => "/data/series",
            Form::Batch => "/data/batch",
        }
    }

    /// The body for these rows. `Single` takes one row, `Series` rows of one device; none takes an empty slice.
    pub(crate) fn encode(self, rows: &[Row], out: &mut Vec<u8>) {
        out.clear();
        match self {
            Form::Single => write_complete(&rows[0], out),
            Form::Series => {
                out.extend_from_slice(br#"{"device_id":"#);
                write_json(&rows[0].reading.device_id, out);
                write_list(rows, out, write_element);
            }
            Form::Batch => {
                out.push(b'{');
                write_list(rows, out, write_complete);
            }
        }
    }
}

fn write_list(rows: &[Row], out: &mut Vec<u8>, write: fn(&Row, &mut Vec<u8>)) {
    if out.len() > 1 {
        out.push(b',');
    }
    out.extend_from_slice(br#""readings":["#);
    for (index, row) in rows.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(row, out);
    }
    out.extend_from_slice(b"]}");
}

/// A complete one-reading body.
fn write_complete(row: &Row, out: &mut Vec<u8>) {
    if let Some(json) = &row.json {
        return out.extend_from_slice(json.as_bytes());
    }
    out.extend_from_slice(br#"{"device_id":"#);
    write_json(&row.reading.device_id, out);
    out.push(b',');
    write_members(row, out);
}

/// A reading of a series, whose device stands outside it. A source's own JSON names the device again, which the
/// contract allows.
fn write_element(row: &Row, out: &mut Vec<u8>) {
    if let Some(json) = &row.json {
        return out.extend_from_slice(json.as_bytes());
    }
    out.push(b'{');
    write_members(row, out);
}

fn write_members(row: &Row, out: &mut Vec<u8>) {
    out.extend_from_slice(br#""timestamp":"#);
    write_json(&row.reading.timestamp, out);
    out.extend_from_slice(br#","value":"#);
    write_json(&row.reading.value, out);
    if let Some(event_id) = &row.reading.event_id {
        out.extend_from_slice(br#","event_id":"#);
        write_json(event_id.as_str(), out);
    }
    out.push(b'}');
}

fn write_json(value: &(impl Serialize + ?Sized), out: &mut Vec<u8>) {
    // Strings and finite numbers always serialise, and a Vec takes every write.
    serde_json::to_writer(out, value).expect("a string or a finite number serialises into memory");
}

/// No fewer bytes than the row takes in any body, its comma included; cheap, so that a queue can cut batches by it.
pub(crate) fn encoded_bytes_max(row: &Row) -> usize {
    // Keys and punctuation 50, timestamp at most 32, value at most 25, `event_id` twice its length when escaped.
    const MEMBERS: usize = 128;
    match &row.json {
        Some(json) => json.len() + 1,
        None => MEMBERS + row.reading.event_id.as_ref().map_or(0, |id| 16 + 2 * id.as_str().len()),
    }
}

/// Room that the frame of a series takes beside its readings.
pub(crate) fn frame_bytes(device: &DeviceId) -> usize {
    device.as_str().len() + 64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Origin;
    use proptest::prelude::*;
    use telemetry::{EventId, Reading, Timestamp, parse_reading, visit_batch, visit_series};

    fn rows() -> impl Strategy<Value = Vec<Row>> {
        let value = prop_oneof![-1e100..1e100f64, -1.0..1.0f64, Just(0.1 + 0.2), Just(1e-300)];
        let row = (-62_167_219_200_000_000_000i128..253_402_300_800_000_000_000, value, "[!-~]{0,128}").prop_map(
            |(nanosecond, value, event_id)| Row {
                reading: Reading {
                    device_id: DeviceId::parse("boiler-1").unwrap(),
                    timestamp: Timestamp::from_nanosecond(nanosecond).unwrap(),
                    value: value + 0.0,
                    event_id: EventId::parse(event_id).ok(),
                },
                json: None,
                origin: Origin { file: "test".into(), line: 1 },
            },
        );
        prop::collection::vec(row, 1..20)
    }

    proptest! {
        #[test]
        fn every_body_is_read_back_as_the_readings_it_was_made_of(rows in rows()) {
            let readings: Vec<_> = rows.iter().map(|row| row.reading.clone()).collect();
            let mut body = Vec::new();
            Form::Single.encode(&rows, &mut body);
            prop_assert_eq!(&parse_reading(&body).unwrap(), &readings[0]);
            Form::Series.encode(&rows, &mut body);
            let mut series = Vec::new();
            visit_series(&body, |_, reading| series.push(reading.to_reading())).unwrap();
            prop_assert_eq!(&series, &readings);
            let bound = rows.iter().map(encoded_bytes_max).sum::<usize>() + frame_bytes(&readings[0].device_id);
            prop_assert!(body.len() <= bound, "{} of at most {}", body.len(), bound);
            Form::Batch.encode(&rows, &mut body);
            let mut batch = Vec::new();
            visit_batch(&body, |reading, _| batch.push(reading.to_reading())).unwrap();
            prop_assert_eq!(&batch, &readings);
        }
    }
}
