//! An ordered, sharded, durable stream of records: Kinesis, or its like on one machine.

use std::fmt;
use std::future::Future;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use telemetry::Timestamp;

/// A shard's name, such as `shardId-000000000000`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub String);

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A record's place in its shard. Kinesis writes it as a decimal number of up to 56 digits, which fits 24 bytes;
/// ordered as a number, which within one shard is the order of the records.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SequenceNumber([u8; 24]);

impl SequenceNumber {
    /// From its 24 bytes, most significant first.
    pub const fn from_be_bytes(bytes: [u8; 24]) -> Self {
        SequenceNumber(bytes)
    }

    /// Its 24 bytes, most significant first.
    pub const fn to_be_bytes(self) -> [u8; 24] {
        self.0
    }
}

impl From<u64> for SequenceNumber {
    fn from(value: u64) -> Self {
        let mut bytes = [0; 24];
        bytes[16..].copy_from_slice(&value.to_be_bytes());
        SequenceNumber(bytes)
    }
}

/// As many decimal digits as fit 64 bits.
const LIMB_DIGITS: usize = 19;
const LIMB_DIGITS_POWER: u64 = 10u64.pow(LIMB_DIGITS as u32);

impl SequenceNumber {
    /// Its 64-bit limbs, most significant first.
    fn limbs(self) -> [u64; 3] {
        let (limbs, _) = self.0.as_chunks();
        [0, 1, 2].map(|limb| u64::from_be_bytes(limbs[limb]))
    }
}

/// The number that eight digits write, of which pairs, then fours are put together side by side (D. Lemire, *Quickly
/// parsing eight digits*, 2018).
fn eight_digits(ascii: [u8; 8]) -> Option<u64> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let digits = u64::from_le_bytes(ascii) ^ (ONES * u64::from(b'0'));
    // Above 9, a byte's highest bit is set, or is by this addition.
    if (digits.wrapping_add(ONES * (0x7f - 9)) | digits) & (ONES << 7) != 0 {
        return None;
    }
    let pairs = digits.wrapping_mul(1 + (10 << 8)) >> 8;
    let fours = (pairs & 0x00ff_00ff_00ff_00ff).wrapping_mul(1 + (100 << 16)) >> 16;
    Some((fours & 0x0000_ffff_0000_ffff).wrapping_mul(1 + (10_000 << 32)) >> 32)
}

impl FromStr for SequenceNumber {
    type Err = ParseSequenceNumberError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || text.len() > 58 {
            return Err(ParseSequenceNumberError);
        }
        let (first, eights) = text.as_bytes().as_rchunks();
        let mut padded = [b'0'; 8];
        padded[8 - first.len()..].copy_from_slice(first);
        let mut limbs = [0u64; 3];
        for &eight in std::iter::once(&padded).chain(eights) {
            let mut carry = u128::from(eight_digits(eight).ok_or(ParseSequenceNumberError)?);
            for limb in limbs.iter_mut().rev() {
                let product = u128::from(*limb) * 100_000_000 + carry;
                *limb = product as u64;
                carry = product >> 64;
            }
            if carry != 0 {
                return Err(ParseSequenceNumberError);
            }
        }
        let mut bytes = [0; 24];
        for (place, limb) in bytes.chunks_mut(8).zip(limbs) {
            place.copy_from_slice(&limb.to_be_bytes());
        }
        Ok(SequenceNumber(bytes))
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut limbs = self.limbs();
        // 192 bits have at most 58 digits: four groups, the least significant first.
        let groups: [u64; 4] = std::array::from_fn(|_| {
            limbs.iter_mut().fold(0, |remainder, limb| {
                let dividend = u128::from(remainder) << 64 | u128::from(*limb);
                *limb = (dividend / u128::from(LIMB_DIGITS_POWER)) as u64;
                (dividend % u128::from(LIMB_DIGITS_POWER)) as u64
            })
        });
        let first = groups.iter().rposition(|group| *group != 0).unwrap_or(0);
        write!(f, "{}", groups[first])?;
        groups[..first].iter().rev().try_for_each(|group| write!(f, "{group:0LIMB_DIGITS$}"))
    }
}

impl fmt::Debug for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Not a decimal number of at most 24 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sequence number is a decimal number of at most 192 bits")]
pub struct ParseSequenceNumberError;

/// What a producer puts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamEntry {
    /// Chooses the shard, by its MD5: 1-256 characters.
    pub partition_key: String,
    /// The record's data.
    pub data: Vec<u8>,
    /// How many readings the data hold, good or bad, as [`telemetry::count_readings`] finds: what accounting counts as
    /// accepted.
    pub readings: u64,
}

impl StreamEntry {
    /// An entry whose readings are counted here, for callers that have not parsed the data.
    pub fn new(partition_key: impl Into<String>, data: impl Into<Vec<u8>>) -> Self {
        let data = data.into();
        StreamEntry { partition_key: partition_key.into(), readings: telemetry::count_readings(&data), data }
    }
}

/// The stream's word that an entry is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutReceipt {
    /// Where it was stored.
    pub shard_id: ShardId,
    /// Its place there.
    pub sequence_number: SequenceNumber,
}

/// A shard of a stream: where a record comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamShard {
    /// The stream's name.
    pub stream: String,
    /// The shard.
    pub shard_id: ShardId,
}

/// One record as the stream holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamRecord {
    /// Its shard, which the records of one read share.
    pub shard: Arc<StreamShard>,
    /// Its place in the shard.
    pub sequence_number: SequenceNumber,
    /// The producer's partition key.
    pub partition_key: String,
    /// The record's data.
    pub data: Vec<u8>,
    /// When the stream took it, to the millisecond.
    pub arrived_at: Timestamp,
}

/// A shard and its parents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// Its name.
    pub id: ShardId,
    /// The shard it was split or merged from, if any.
    pub parent: Option<ShardId>,
    /// The other shard it was merged from, if any.
    pub adjacent_parent: Option<ShardId>,
}

/// Where to start reading a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// The oldest record kept.
    TrimHorizon,
    /// After the newest record.
    Latest,
    /// The first record that arrived at this instant or later.
    AtTimestamp(Timestamp),
    /// At this record.
    AtSequenceNumber(SequenceNumber),
    /// After this record.
    AfterSequenceNumber(SequenceNumber),
}

/// What one read of a shard brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordsPage {
    /// Records in order; may be empty though more follow.
    pub records: Vec<StreamRecord>,
    /// Where to read on; `None` once a closed shard is read to its end.
    pub next: Option<Position>,
    /// How far behind the shard's newest record this page ends.
    pub behind_latest: Duration,
}

/// A stream of records.
pub trait EventStream: Send + Sync {
    /// Stores `entries`, each by itself: the answer has one result an entry, in order. `Ok` only for what is durable.
    fn put_records(&self, entries: Vec<StreamEntry>) -> impl Future<Output = Vec<Result<PutReceipt, PutError>>> + Send;

    /// Every shard that still holds records, parents before children.
    fn list_shards(&self) -> impl Future<Output = Result<Vec<Shard>, StreamError>> + Send;

    /// At most `limit` records of `shard` from `position` on.
    fn get_records(
        &self,
        shard: &ShardId,
        position: Position,
        limit: usize,
    ) -> impl Future<Output = Result<RecordsPage, StreamError>> + Send;

    /// Returns when `shard` may have records from `position` on: at once where the implementation can tell, after
    /// its polling interval where it cannot. A hint: a caller must be right without it.
    fn records_available(&self, shard: &ShardId, position: Position) -> impl Future<Output = ()> + Send;
}

/// Why an entry was not stored.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// The stream takes no more just now: try again later.
    #[error("the stream is throttling")]
    Throttled,
    /// The entry is over the stream's record limit, or its partition key is not 1-256 characters. Permanent.
    #[error("{0}")]
    Refused(String),
    /// Passing: try again.
    #[error("the stream is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why a shard could not be read.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// There is no such shard (any more).
    #[error("no shard `{0}`")]
    NoSuchShard(ShardId),
    /// Passing: try again.
    #[error("the stream is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}
