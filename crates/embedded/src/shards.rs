//! Which shard a partition key belongs to, and what is known of each shard.

use crate::StorageFailure;
use md5::{Digest, Md5};
use ports::{SequenceNumber, ShardId};
use redb::{ReadTransaction, TableDefinition};

/// (shard, sequence) -> header, partition key, data ([`crate::record`]).
pub(crate) const RECORDS: TableDefinition<(u16, u64), &[u8]> = TableDefinition::new("records");
/// shard -> [`Head`].
pub(crate) const SHARDS: TableDefinition<u16, HeadRow> = TableDefinition::new("shards");
/// shard -> the last archived sequence and the data bytes up to it.
pub(crate) const ARCHIVE_CURSORS: TableDefinition<u16, (u64, u64)> = TableDefinition::new("archive_cursors");
/// name -> number: the form's version, the number of shards, when the stream was created, the epoch, and the mark of
/// [`crate::binding`].
pub(crate) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");

pub(crate) type HeadRow = (u64, i64, u64, u64, u64, u64);

/// Where one shard stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// The newest record's sequence number; 0 before the first.
    pub(crate) sequence: u64,
    /// When it arrived, in milliseconds since the Unix epoch; a record before it may have arrived later by the clock.
    pub(crate) arrived_at: i64,
    /// Readings ever put.
    pub(crate) readings: u64,
    /// Data bytes ever put.
    pub(crate) bytes: u64,
    /// The newest record that was trimmed; 0 when none was.
    pub(crate) trimmed_sequence: u64,
    /// Readings up to and including it.
    pub(crate) trimmed_readings: u64,
}

impl Head {
    pub(crate) fn from_row(row: HeadRow) -> Self {
        let (sequence, arrived_at, readings, bytes, trimmed_sequence, trimmed_readings) = row;
        Head { sequence, arrived_at, readings, bytes, trimmed_sequence, trimmed_readings }
    }

    pub(crate) fn to_row(self) -> HeadRow {
        (self.sequence, self.arrived_at, self.readings, self.bytes, self.trimmed_sequence, self.trimmed_readings)
    }
}

/// A sequence number is an epoch and a counter of this many bits: 10,000 records a second fill it in 55 years.
const COUNTER_BITS: u32 = 44;
/// The last epoch.
pub(crate) const EPOCH_MAX: u64 = (1 << (u64::BITS - COUNTER_BITS)) - 1;

/// The epoch of a sequence number. Within one epoch a shard's numbers have no gap, and count from 1.
pub fn epoch_of(sequence: u64) -> u64 {
    sequence >> COUNTER_BITS
}

/// A sequence number without its epoch.
pub fn counter_of(sequence: u64) -> u64 {
    sequence & ((1 << COUNTER_BITS) - 1)
}

/// The sequence number after `newest`, in `epoch` at least.
pub fn next_sequence(newest: u64, epoch: u64) -> u64 {
    // Only a damaged file has the last number.
    newest.saturating_add(1).max((epoch << COUNTER_BITS) + 1)
}

/// The shard of a partition key: its MD5 as a 128-bit number, and the whole range split evenly, as Kinesis does for a
/// new stream.
pub(crate) fn shard_of(partition_key: &str, shards: u16) -> u16 {
    if shards <= 1 {
        return 0;
    }
    let hash = u128::from_be_bytes(Md5::digest(partition_key.as_bytes()).into());
    let count = u128::from(shards);
    // floor(2^128 / count): 2^128 itself does not fit, and is divisible only by powers of two.
    let width = u128::MAX / count + u128::from(count.is_power_of_two());
    // What the division leaves over belongs to the last shard.
    (hash / width).min(count - 1) as u16
}

/// A shard's name, as Kinesis forms it.
pub(crate) fn shard_id(shard: u16) -> ShardId {
    ShardId(format!("shardId-{shard:012}"))
}

/// The shard of that name, if it is one of `shards`.
pub(crate) fn shard_number(id: &ShardId, shards: u16) -> Option<u16> {
    let number = id.0.strip_prefix("shardId-")?.parse().ok()?;
    (number < shards && shard_id(number) == *id).then_some(number)
}

/// The sequence number as this stream counts; what is beyond 64 bits lies after every record.
pub(crate) fn sequence_u64(sequence_number: SequenceNumber) -> u64 {
    let bytes = sequence_number.to_be_bytes();
    match bytes.split_last_chunk() {
        Some((high, low)) if high.iter().all(|byte| *byte == 0) => u64::from_be_bytes(*low),
        _ => u64::MAX,
    }
}

/// The last archived record of a shard, and the data bytes up to it.
pub(crate) fn archive_cursor(transaction: &ReadTransaction, shard: u16) -> Result<(u64, u64), StorageFailure> {
    Ok(transaction.open_table(ARCHIVE_CURSORS)?.get(shard)?.map_or((0, 0), |stored| stored.value()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_fall_into_the_hash_ranges_that_kinesis_gives_three_shards() {
        // MD5("a") = 0cc1…, MD5("device-1") and so on are compared with the ranges that CreateStream documents.
        let second_starts = 113_427_455_640_312_821_154_458_202_477_256_070_485u128;
        for key in (0..1000).map(|n| format!("device-{n}")) {
            let hash = u128::from_be_bytes(Md5::digest(key.as_bytes()).into());
            let expected = if hash < second_starts { 0 } else { 1 + u16::from(hash >= 2 * second_starts) };
            assert_eq!(shard_of(&key, 3), expected);
        }
    }

    #[test]
    fn every_shard_gets_its_part_of_the_keys() {
        for shards in [1u16, 2, 4, 7, 16] {
            let mut keys = vec![0u32; shards.into()];
            for n in 0..16_000 {
                keys[usize::from(shard_of(&format!("device-{n}"), shards))] += 1;
            }
            let fair = 16_000 / u32::from(shards);
            assert!(keys.iter().all(|count| (fair * 8 / 10..=fair * 12 / 10).contains(count)), "{keys:?}");
        }
    }

    proptest! {
        #[test]
        fn a_shard_is_found_by_its_own_name_alone(shard: u16, shards: u16) {
            prop_assert_eq!(shard_number(&shard_id(shard), shards), (shard < shards).then_some(shard));
        }

        #[test]
        fn sequence_numbers_of_64_bits_come_back(sequence: u64) {
            prop_assert_eq!(sequence_u64(SequenceNumber::from(sequence)), sequence);
        }
    }

    #[test]
    fn a_higher_epoch_starts_its_own_numbers_and_keeps_the_order() {
        assert_eq!(next_sequence(0, 0), 1);
        assert_eq!(next_sequence(25, 0), 26);
        assert_eq!(next_sequence(25, 1), 17_592_186_044_417);
        assert_eq!(next_sequence(next_sequence(25, 1), 1), 17_592_186_044_418);
        assert_eq!([25, next_sequence(25, 1)].map(epoch_of), [0, 1]);
        assert_eq!(epoch_of(next_sequence(25, EPOCH_MAX)), 1_048_575);
    }

    #[test]
    fn names_of_another_form_are_no_shard() {
        for name in ["", "shardId-", "shardId-0", "shardId-+00000000000", "shardId-000000000000 ", "0"] {
            assert_eq!(shard_number(&ShardId(name.to_owned()), 4), None, "{name}");
        }
        assert_eq!(sequence_u64(SequenceNumber::from_be_bytes([255; 24])), u64::MAX);
    }
}
