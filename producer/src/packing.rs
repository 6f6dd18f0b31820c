//! From rows to stream records: one record a device, or KPL aggregates of many devices.
//!
//! A device's records must stay in their order. Kinesis keeps the order of what one shard takes, and Lambda, where it
//! handles several batches of a shard at once, the order of one partition key. So all records of a device are put under
//! one partition key for ever: the device itself, or, for aggregates, the key of its *hash range*. The hash keys are cut
//! into [`HASH_RANGES`] equal ranges; a device belongs to the range that the MD5 of its `device_id` lies in, an aggregate
//! holds devices of one range, and its partition key is a constant whose MD5 lies in that same range. This needs no
//! knowledge of the shards, and resharding moves a range whole. Where the shards' borders are borders of ranges (2, 4, … 64
//! equal shards) a device's aggregates even reach the shard of its own key; elsewhere a range on the border of two shards
//! goes to one of them.
//!
//! The records in an aggregate carry the outer key's MD5 as their explicit hash key: consumers of the Kinesis Client
//! Library drop records that do not hash into the shard that they were read from.

use crate::body::{BODY_BYTES_MAX, Form};
use crate::record::Record;
use crate::row::Row;
use md5::{Digest as _, Md5};
use telemetry::kpl::{SubRecord, aggregate};
use telemetry::{Reading, Rejection, decode_record, one_line};

/// Many enough to spread over 64 shards, and few enough that a range has devices to pack together.
const HASH_RANGES: usize = 64;

/// The most bytes of an aggregate of several devices: as of any other body. Kinesis bills a record in steps of 25 KB,
/// beside which a last step that is not full is little.
const AGGREGATE_BYTES_MAX: usize = BODY_BYTES_MAX;

/// What a record of an aggregate takes beside its data: keys' indexes, tags and lengths; and its device's key.
const SUB_RECORD_BYTES: usize = 16;

/// A record, and the rows it holds: of each device one list, in order.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) record: Record,
    pub(crate) devices: Vec<Vec<Row>>,
}

/// How rows become records.
pub(crate) struct Packing {
    /// Readings a JSON document: 1 makes single readings, more make series.
    batch: usize,
    /// The partition key of each hash range and its MD5; `None` where nothing is aggregated.
    ranges: Option<Vec<HashRange>>,
}

struct HashRange {
    partition_key: String,
    /// The key's MD5 as Kinesis writes it, in decimal.
    hash_key: String,
}

impl Packing {
    pub(crate) fn new(batch: usize, aggregated: bool) -> Self {
        Packing { batch, ranges: aggregated.then(|| (0..HASH_RANGES).map(HashRange::new).collect()) }
    }

    /// The JSON documents of a device's rows, in order, each on one line.
    pub(crate) fn documents(&self, rows: &[Row]) -> Vec<Vec<u8>> {
        let form = if self.batch == 1 { Form::Single } else { Form::Series };
        let mut body = Vec::new();
        rows.chunks(self.batch)
            .map(|rows| {
                form.encode(rows, &mut body);
                one_line(&body)
            })
            .collect()
    }

    /// What the documents of so many rows hold, row by row; `None` where a document has not one reading a row.
    pub(crate) fn decode(&self, documents: &[Vec<u8>], mut rows: usize) -> Vec<Option<Result<Reading, Rejection>>> {
        let mut decoded = Vec::with_capacity(rows);
        for document in documents {
            let expected = rows.min(self.batch);
            rows -= expected;
            let readings = decode_record(document);
            if readings.len() == expected {
                decoded.extend(readings.into_iter().map(|decoded| Some(decoded.outcome)));
            } else {
                decoded.resize_with(decoded.len() + expected, || None);
            }
        }
        decoded
    }

    /// Packs devices' rows, no device twice and each with its [`Packing::documents`]. A device's documents are all in
    /// one record, or, not aggregated, its single one is.
    pub(crate) fn pack(&self, devices: Vec<(Vec<Row>, Vec<Vec<u8>>)>) -> Vec<Parcel> {
        match &self.ranges {
            Some(ranges) => pack_aggregates(ranges, devices),
            None => devices.into_iter().flat_map(plain).collect(),
        }
    }
}

/// A record of a device alone. Who takes more rows than one document holds aggregates them.
fn plain((rows, documents): (Vec<Row>, Vec<Vec<u8>>)) -> Option<Parcel> {
    let partition_key = rows.first()?.reading.device_id.to_string();
    let data = documents.into_iter().next()?;
    Some(Parcel { record: Record { partition_key, data }, devices: vec![rows] })
}

impl HashRange {
    fn new(range: usize) -> Self {
        // One key in 64 lies in the range: among all numbers one does.
        let mut keys = (0u64..).map(|number| format!("aggregate-{number}"));
        let partition_key = keys.find(|key| range_of(key) == range).unwrap_or_default();
        HashRange { hash_key: hash(&partition_key).to_string(), partition_key }
    }
}

/// Kinesis' hash of a partition key.
fn hash(key: &str) -> u128 {
    u128::from_be_bytes(Md5::digest(key).into())
}

fn range_of(key: &str) -> usize {
    // The first of as many bits as number the ranges.
    (hash(key) >> (u128::BITS - HASH_RANGES.ilog2())) as usize
}

/// An aggregate that may grow.
#[derive(Default)]
struct Open {
    records: Vec<SubRecord>,
    devices: Vec<Vec<Row>>,
    bytes: usize,
}

impl Open {
    fn close(self, range: &HashRange) -> Option<Parcel> {
        let record = Record { partition_key: range.partition_key.clone(), data: aggregate(&self.records) };
        (!self.records.is_empty()).then_some(Parcel { record, devices: self.devices })
    }
}

fn pack_aggregates(ranges: &[HashRange], devices: Vec<(Vec<Row>, Vec<Vec<u8>>)>) -> Vec<Parcel> {
    let mut open: Vec<Open> = ranges.iter().map(|_| Open::default()).collect();
    let mut parcels = Vec::new();
    for (rows, documents) in devices {
        let Some(device) = rows.first().map(|row| row.reading.device_id.to_string()) else { continue };
        let range = range_of(&device);
        let bytes = device.len() + documents.iter().map(|document| document.len() + SUB_RECORD_BYTES).sum::<usize>();
        if open[range].bytes + bytes > AGGREGATE_BYTES_MAX {
            parcels.extend(std::mem::take(&mut open[range]).close(&ranges[range]));
        }
        let aggregate = &mut open[range];
        aggregate.bytes += bytes;
        aggregate.devices.push(rows);
        aggregate.records.extend(documents.into_iter().map(|data| SubRecord {
            partition_key: device.clone(),
            explicit_hash_key: Some(ranges[range].hash_key.clone()),
            data,
            sub_sequence_number: 0,
        }));
    }
    parcels.extend(open.into_iter().zip(ranges).filter_map(|(open, range)| open.close(range)));
    parcels
}

#[cfg(test)]
#[path = "packing_tests.rs"]
mod tests;
