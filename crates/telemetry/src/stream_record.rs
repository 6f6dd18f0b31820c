//! What a stream record holds: exactly a reading or a series, as UTF-8 JSON on one line, or a KPL aggregate of such
//! records.

use crate::body::{Path, Valid, object, reading, series_items, series_reading};
use crate::kpl;
use crate::scan::{Document, document};
use crate::{Reading, ReadingRef, RejectReason, Rejection};

/// One reading of a stream record, or the reason why there is none, borrowed from the record.
pub type DecodedReading<'a> = Decoded<ReadingRef<'a>, &'a str>;

/// One reading of a stream record, or the reason why there is none.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded<R, K> {
    /// The place in a KPL aggregate, where the record is one.
    pub sub_sequence_number: Option<u64>,
    /// The partition key inside a KPL aggregate, which stands for the record's own.
    pub partition_key: Option<K>,
    /// The place in a series, where the record is one.
    pub index: Option<u32>,
    /// The reading, or why it can never be counted.
    pub outcome: Result<R, Rejection>,
}

/// Takes a record apart. A bad reading of a series stands alone among its good ones; whatever cannot be taken apart
/// is one [`Rejection`], so that the answer is never empty but for an empty KPL aggregate.
pub fn decode_record(data: &[u8]) -> Vec<Decoded<Reading, String>> {
    let mut decoded = Vec::new();
    each_reading(data, |reading| {
        decoded.push(Decoded {
            sub_sequence_number: reading.sub_sequence_number,
            partition_key: reading.partition_key.map(str::to_owned),
            index: reading.index,
            outcome: reading.outcome.map(|reading| reading.to_reading()),
        });
    });
    decoded
}

/// Passes on what [`decode_record`] finds, one by one: a record may hold many times its own size in bad readings.
pub fn each_reading(data: &[u8], mut visit: impl FnMut(DecodedReading<'_>)) {
    each_part(data, |part, sub| decode_part(part, sub, &mut visit));
}

/// How many readings, good or bad, [`decode_record`] finds in a record: what accounting counts as accepted.
pub fn count_readings(data: &[u8]) -> u64 {
    let mut readings = 0;
    each_reading(data, |_| readings += 1);
    readings
}

/// For each reading that [`decode_record`] finds, in the same order, the payload that a dead letter carries: the
/// whole record, or a complete one-reading body for a reading of a series.
pub fn reading_payloads(data: &[u8]) -> Vec<Vec<u8>> {
    reading_payloads_at(data, |_| true)
}

/// As [`reading_payloads`], but only of the readings at the places, from 0, that are `wanted`.
pub fn reading_payloads_at(data: &[u8], wanted: impl Fn(usize) -> bool) -> Vec<Vec<u8>> {
    let (mut payloads, mut place) = (Vec::new(), 0);
    let mut push = |payload: &dyn Fn() -> Vec<u8>| {
        if wanted(place) {
            payloads.push(payload());
        }
        place += 1;
    };
    each_part(data, |part, _| match part {
        Part::Record(record) => {
            match document(record).as_ref().ok().filter(|document| is_series(document)).map(series_items) {
                Some(Ok((device, items))) => {
                    items.iter().for_each(|item| push(&|| one_reading_body(&device, item.json)))
                }
                _ => push(&|| record.to_vec()),
            }
        }
        Part::Bad(_) => push(&|| data.to_vec()),
    });
    payloads
}

/// A JSON body on one line: CR and LF, which JSON strings cannot hold, become spaces.
pub fn one_line(body: &[u8]) -> Vec<u8> {
    let mut line = Vec::with_capacity(body.len());
    push_line(body, &mut line);
    line
}

fn push_line(bytes: &[u8], lines: &mut Vec<u8>) {
    let start = lines.len();
    lines.extend_from_slice(bytes);
    for byte in &mut lines[start..] {
        *byte = if matches!(*byte, b'\r' | b'\n') { b' ' } else { *byte };
    }
}

/// Appends a record to `lines` as the archive keeps it, one JSON document a line: a KPL aggregate as its records, each
/// on a line of its own; what cannot be taken apart on one line as it is.
pub fn push_lines(data: &[u8], lines: &mut Vec<u8>) {
    each_part(data, |part, _| {
        let record = match part {
            Part::Record(record) => record,
            Part::Bad(_) => data,
        };
        push_line(record, lines);
        lines.push(b'\n');
    });
}

enum Part<'a> {
    Record(&'a [u8]),
    Bad(Rejection),
}

/// The place of a record in a KPL aggregate, and its partition key there.
#[derive(Clone, Copy)]
struct Sub<'a> {
    number: u64,
    partition_key: &'a str,
}

/// Calls `visit` with the record itself, or with each record of a KPL aggregate.
fn each_part(data: &[u8], mut visit: impl FnMut(Part<'_>, Option<Sub<'_>>)) {
    if !kpl::is_aggregate(data) {
        return visit(Part::Record(data), None);
    }
    match kpl::deaggregate(data) {
        Ok(records) => {
            for record in &records {
                let sub = Sub { number: record.sub_sequence_number, partition_key: &record.partition_key };
                visit(Part::Record(&record.data), Some(sub));
            }
        }
        Err(error) => visit(Part::Bad(Rejection::new(RejectReason::BadAggregate, error.to_string())), None),
    }
}

fn decode_part(part: Part<'_>, sub: Option<Sub<'_>>, visit: &mut impl FnMut(DecodedReading<'_>)) {
    let mut push = |index: Option<u32>, outcome: Result<ReadingRef<'_>, Rejection>| {
        visit(Decoded {
            sub_sequence_number: sub.map(|sub| sub.number),
            partition_key: sub.map(|sub| sub.partition_key),
            index,
            outcome,
        });
    };
    let document = match part {
        Part::Record(record) => document(record),
        Part::Bad(rejection) => Err(rejection),
    };
    let document = match document {
        Ok(document) => document,
        Err(rejection) => return push(None, Err(rejection)),
    };
    if !is_series(&document) {
        let outcome = object(&document.members, Path::BODY).and_then(|members| reading(members, Path::BODY));
        return push(None, outcome.as_ref().map(Valid::as_ref).map_err(Clone::clone));
    }
    match series_items(&document) {
        Ok((device, items)) => {
            for (index, item) in items.iter().enumerate() {
                let outcome = series_reading(&device, item, index);
                // At most 500 readings stand in a series.
                push(Some(index as u32), outcome.as_ref().map(Valid::as_ref).map_err(Clone::clone));
            }
        }
        Err(rejection) => push(None, Err(rejection)),
    }
}

/// Whether a record claims to be a series. A single reading that also names `readings` is refused as the reading it
/// claims to be.
fn is_series(document: &Document<'_>) -> bool {
    object(&document.members, Path::BODY)
        .is_ok_and(|members| members.readings.is_some() && members.timestamp.is_none() && members.value.is_none())
}

/// The body of one reading of a series: its own members, with the device put before them.
fn one_reading_body(device: &str, item: &str) -> Vec<u8> {
    let has_device = document(item.as_bytes())
        .is_ok_and(|document| object(&document.members, Path::BODY).is_ok_and(|members| members.device_id.is_some()));
    match item.strip_prefix('{') {
        Some(rest) if !has_device => {
            let separator = if rest.trim_start().starts_with('}') { "" } else { "," };
            format!("{{\"device_id\":\"{device}\"{separator}{rest}").into_bytes()
        }
        _ => item.as_bytes().to_vec(),
    }
}
