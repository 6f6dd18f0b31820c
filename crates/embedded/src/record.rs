//! A stream record as the database holds it.

use crate::StorageFailure;
use ports::{SequenceNumber, StreamRecord, StreamShard};
use std::sync::Arc;
use telemetry::Timestamp;

/// Arrival, readings, bytes and the length of the partition key stand before key and data.
const HEADER_BYTES: usize = 8 + 8 + 8 + 2;

/// What stands before a record's key and data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    /// When the stream took it, in milliseconds since the Unix epoch.
    pub(crate) arrived_at: i64,
    /// The readings of this shard's records up to and including this one.
    pub(crate) readings: u64,
    /// The data bytes of this shard's records up to and including this one.
    pub(crate) bytes: u64,
}

pub(crate) fn encoded_len(partition_key: &str, data: &[u8]) -> usize {
    HEADER_BYTES + partition_key.len() + data.len()
}

/// Writes a record into `out`, which is [`encoded_len`] long.
pub(crate) fn encode(header: RecordHeader, partition_key: &str, data: &[u8], out: &mut [u8]) {
    let (head, body) = out.split_at_mut(HEADER_BYTES);
    head[..8].copy_from_slice(&header.arrived_at.to_le_bytes());
    head[8..16].copy_from_slice(&header.readings.to_le_bytes());
    head[16..24].copy_from_slice(&header.bytes.to_le_bytes());
    // A key has at most 256 characters, so at most 1,024 bytes.
    head[24..26].copy_from_slice(&(partition_key.len() as u16).to_le_bytes());
    body[..partition_key.len()].copy_from_slice(partition_key.as_bytes());
    body[partition_key.len()..].copy_from_slice(data);
}

/// A stored record, borrowed.
pub(crate) struct StoredRecord<'a> {
    pub(crate) header: RecordHeader,
    pub(crate) partition_key: &'a str,
    pub(crate) data: &'a [u8],
}

pub(crate) fn decode(stored: &[u8]) -> Result<StoredRecord<'_>, StorageFailure> {
    decode_checked(stored).ok_or_else(|| StorageFailure::Corrupt("a stream record has an unknown form".to_owned()))
}

fn decode_checked(stored: &[u8]) -> Option<StoredRecord<'_>> {
    let (arrived_at, rest) = stored.split_first_chunk()?;
    let (readings, rest) = rest.split_first_chunk()?;
    let (bytes, rest) = rest.split_first_chunk()?;
    let (key_length, rest) = rest.split_first_chunk()?;
    let (partition_key, data) = rest.split_at_checked(u16::from_le_bytes(*key_length).into())?;
    let header = RecordHeader {
        arrived_at: i64::from_le_bytes(*arrived_at),
        readings: u64::from_le_bytes(*readings),
        bytes: u64::from_le_bytes(*bytes),
    };
    Some(StoredRecord { header, partition_key: std::str::from_utf8(partition_key).ok()?, data })
}

impl StoredRecord<'_> {
    pub(crate) fn to_stream_record(&self, shard: &Arc<StreamShard>, sequence: u64) -> StreamRecord {
        StreamRecord {
            shard: Arc::clone(shard),
            sequence_number: SequenceNumber::from(sequence),
            partition_key: self.partition_key.to_owned(),
            data: self.data.to_vec(),
            arrived_at: instant(self.header.arrived_at),
        }
    }
}

/// The instant of a stored number of milliseconds, which came from a [`Timestamp`] and so is in its range.
pub(crate) fn instant(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::UNIX_EPOCH)
}
