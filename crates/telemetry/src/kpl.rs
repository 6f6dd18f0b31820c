//! Records packed by the Kinesis Producer Library.
//!
//! An aggregate is the magic number, one protobuf message, and the 16 bytes of the message's MD5
//! (<https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md>):
//!
//! ```text
//! message AggregatedRecord { repeated string partition_key_table = 1; repeated string explicit_hash_key_table = 2;
//!                            repeated Record records = 3; }
//! message Record { required uint64 partition_key_index = 1; optional uint64 explicit_hash_key_index = 2;
//!                  required bytes data = 3; repeated Tag tags = 4; }
//! ```
//!
//! Libraries that cannot read an aggregate take it for a record of its own. Here a record that begins with the magic
//! number and is damaged is [`BadAggregate`], so that nothing packed is ever lost unseen.

mod wire;

use md5::{Digest as _, Md5};
use std::collections::HashMap;
use wire::{Field, Fields, push_bytes, push_varint};

const MAGIC: [u8; 4] = [0xf3, 0x89, 0x9a, 0xc2];
const DIGEST_BYTES: usize = 16;
/// Kinesis's limit of a partition key.
const PARTITION_KEY_CHARACTERS: usize = 256;
/// Records share their keys in the tables: a small aggregate could expand to one that exhausts memory. So what it
/// expands to, each record's own cost included, is at most this, or four times the aggregate where that is more.
const EXPANDED_BYTES: usize = 4 * 1024 * 1024;
/// What a record costs beside its key and data.
const RECORD_BYTES: usize = 128;

/// One record of an aggregate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubRecord {
    /// Its own partition key.
    pub partition_key: String,
    /// Its own explicit hash key.
    pub explicit_hash_key: Option<String>,
    /// Its data.
    pub data: Vec<u8>,
    /// Its place in the aggregate, from 0.
    pub sub_sequence_number: u64,
}

/// Why an aggregate cannot be taken apart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAggregate {
    /// It does not begin with the magic number.
    #[error("the KPL magic number is missing")]
    NoMagic,
    /// It ends before its digest.
    #[error("the KPL aggregate is too short to hold a digest")]
    TooShort,
    /// It is damaged.
    #[error("the MD5 of the KPL aggregate does not match")]
    DigestMismatch,
    /// The message is not protobuf.
    #[error("the KPL aggregate is not a protobuf message: {0}")]
    NotProtobuf(&'static str),
    /// A key is not UTF-8.
    #[error("`{0}` of the KPL aggregate holds a key that is not UTF-8")]
    KeyNotUtf8(&'static str),
    /// A partition key is longer than Kinesis takes them.
    #[error("`partition_key_table` of the KPL aggregate holds a key of over {PARTITION_KEY_CHARACTERS} characters")]
    KeyTooLong,
    /// A record lacks a member.
    #[error("record {record} of the KPL aggregate has no `{member}`")]
    Missing {
        /// The record's place, from 0.
        record: u64,
        /// The member.
        member: &'static str,
    },
    /// A record names a key that its table does not hold.
    #[error("record {record} of the KPL aggregate has a `{member}` outside its table")]
    IndexOutOfRange {
        /// The record's place, from 0.
        record: u64,
        /// The member.
        member: &'static str,
    },
    /// Taken apart it would be too large.
    #[error("the KPL aggregate expands to over {EXPANDED_BYTES} bytes")]
    TooLarge,
}

/// Whether the record begins as a KPL aggregate does.
pub fn is_aggregate(data: &[u8]) -> bool {
    data.starts_with(&MAGIC)
}

/// The records of an aggregate, in order.
///
/// # Errors
/// What is wrong with the aggregate, whatever the bytes; never some of its records.
pub fn deaggregate(data: &[u8]) -> Result<Vec<SubRecord>, BadAggregate> {
    let rest = data.strip_prefix(&MAGIC).ok_or(BadAggregate::NoMagic)?;
    let (message, digest) = rest.split_last_chunk::<DIGEST_BYTES>().ok_or(BadAggregate::TooShort)?;
    if Md5::digest(message).as_slice() != digest {
        return Err(BadAggregate::DigestMismatch);
    }
    let (mut partition_keys, mut explicit_hash_keys, mut records) = (Vec::new(), Vec::new(), Vec::new());
    for field in Fields::new(message) {
        // Tables may stand after the records that refer to them, and unknown fields anywhere.
        match field? {
            (1, field) => partition_keys.push(key("partition_key_table", field)?),
            (2, field) => explicit_hash_keys.push(key("explicit_hash_key_table", field)?),
            (3, field) => records.push(RawRecord::parse(records.len() as u64, bytes(field)?)?),
            _ => {}
        }
    }
    if partition_keys.iter().any(|key| key.chars().count() > PARTITION_KEY_CHARACTERS) {
        return Err(BadAggregate::KeyTooLong);
    }
    let room = EXPANDED_BYTES.max(message.len().saturating_mul(4));
    resolve(&partition_keys, &explicit_hash_keys, &records, room)
}

/// A record as it stands in the message: its keys by index.
struct RawRecord<'a> {
    partition_key_index: u64,
    explicit_hash_key_index: Option<u64>,
    data: &'a [u8],
}

impl<'a> RawRecord<'a> {
    fn parse(record: u64, message: &'a [u8]) -> Result<Self, BadAggregate> {
        let (mut partition_key_index, mut explicit_hash_key_index, mut data) = (None, None, None);
        for field in Fields::new(message) {
            match field? {
                (1, field) => partition_key_index = Some(number(field)?),
                (2, field) => explicit_hash_key_index = Some(number(field)?),
                (3, field) => data = Some(bytes(field)?),
                _ => {}
            }
        }
        let missing = |member| BadAggregate::Missing { record, member };
        Ok(RawRecord {
            partition_key_index: partition_key_index.ok_or(missing("partition_key_index"))?,
            explicit_hash_key_index,
            data: data.ok_or(missing("data"))?,
        })
    }
}

fn resolve(
    partition_keys: &[&str],
    explicit_hash_keys: &[&str],
    records: &[RawRecord<'_>],
    mut room: usize,
) -> Result<Vec<SubRecord>, BadAggregate> {
    let mut sub_records = Vec::with_capacity(records.len());
    for (record, raw) in (0..).zip(records) {
        let in_table = |table: &[&str], index: u64, member| {
            let key = usize::try_from(index).ok().and_then(|index| table.get(index).map(|key| (*key).to_owned()));
            key.ok_or(BadAggregate::IndexOutOfRange { record, member })
        };
        let partition_key = in_table(partition_keys, raw.partition_key_index, "partition_key_index")?;
        let explicit_hash_key = raw
            .explicit_hash_key_index
            .map(|index| in_table(explicit_hash_keys, index, "explicit_hash_key_index"))
            .transpose()?;
        let size =
            RECORD_BYTES + partition_key.len() + explicit_hash_key.as_ref().map_or(0, String::len) + raw.data.len();
        room = room.checked_sub(size).ok_or(BadAggregate::TooLarge)?;
        sub_records.push(SubRecord {
            partition_key,
            explicit_hash_key,
            data: raw.data.to_vec(),
            sub_sequence_number: record,
        });
    }
    Ok(sub_records)
}

fn number(field: Field<'_>) -> Result<u64, BadAggregate> {
    match field {
        Field::Varint(value) => Ok(value),
        _ => Err(BadAggregate::NotProtobuf("an index has the wrong wire type")),
    }
}

fn bytes(field: Field<'_>) -> Result<&[u8], BadAggregate> {
    match field {
        Field::Bytes(bytes) => Ok(bytes),
        _ => Err(BadAggregate::NotProtobuf("a key, record or data has the wrong wire type")),
    }
}

fn key<'a>(table: &'static str, field: Field<'a>) -> Result<&'a str, BadAggregate> {
    std::str::from_utf8(bytes(field)?).map_err(|_| BadAggregate::KeyNotUtf8(table))
}

/// Packs records into one aggregate, in order, as the Kinesis Producer Library does: every distinct key stands once.
/// The place of each record becomes its sub-sequence number, whatever it is before.
pub fn aggregate(records: &[SubRecord]) -> Vec<u8> {
    let mut message = Vec::new();
    let partition_keys = push_table(&mut message, 1, records.iter().map(|record| record.partition_key.as_str()));
    let explicit_hash_keys =
        push_table(&mut message, 2, records.iter().filter_map(|record| record.explicit_hash_key.as_deref()));
    for record in records {
        let mut packed = Vec::with_capacity(record.data.len() + 16);
        push_varint(&mut packed, 1, partition_keys[record.partition_key.as_str()]);
        if let Some(key) = &record.explicit_hash_key {
            push_varint(&mut packed, 2, explicit_hash_keys[key.as_str()]);
        }
        push_bytes(&mut packed, 3, &record.data);
        push_bytes(&mut message, 3, &packed);
    }
    let digest = Md5::digest(&message);
    [&MAGIC[..], &message, digest.as_slice()].concat()
}

/// Writes every distinct key in the order of its first use, and returns the indexes.
fn push_table<'a>(message: &mut Vec<u8>, field: u64, keys: impl Iterator<Item = &'a str>) -> HashMap<&'a str, u64> {
    let mut indexes = HashMap::new();
    for key in keys {
        let next = indexes.len() as u64;
        indexes.entry(key).or_insert_with(|| {
            push_bytes(message, field, key.as_bytes());
            next
        });
    }
    indexes
}
