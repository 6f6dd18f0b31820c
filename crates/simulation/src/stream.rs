//! The virtual stream: shards that split and merge, and records that stay.

use crate::content::{Entry, Occurrence, expected};
use crate::model::Schedule;
use crate::random::Random;
use ports::{Position, RecordsPage, SequenceNumber, Shard, ShardId, StreamRecord, StreamShard};
use std::sync::Arc;
use std::time::Duration;
use telemetry::{RejectReason, Timestamp};

/// The hash key space; small, because schedules are.
const HASH_KEYS: u32 = 16;

/// A stored record.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub sequence: u64,
    pub partition_key: String,
    pub data: Vec<u8>,
    pub arrived_at: Timestamp,
    pub occurrences: Vec<Occurrence>,
    /// The mapping gave it up: it stands in the on-failure destination, or was redriven from there.
    pub discarded: bool,
    /// It was put again when the stream was recreated.
    pub replayed: bool,
}

#[derive(Debug)]
pub(crate) struct VirtualShard {
    source: Arc<StreamShard>,
    parents: [Option<usize>; 2],
    hash_keys: (u32, u32),
    pub open: bool,
    pub records: Vec<Stored>,
    next_sequence: u64,
}

#[derive(Debug)]
pub(crate) struct VirtualStream {
    pub shards: Vec<VirtualShard>,
}

impl VirtualStream {
    pub fn new(shards: u32) -> Self {
        let width = HASH_KEYS / shards;
        let shards = (0..shards)
            .map(|n| {
                let last = if n + 1 == shards { HASH_KEYS } else { (n + 1) * width };
                VirtualShard::new(n as usize, [None, None], (n * width, last), 1_000)
            })
            .collect();
        VirtualStream { shards }
    }

    /// Stores a record; says in which shard and where there.
    pub fn put(&mut self, entry: Entry, now_ns: i128, random: &mut Random) -> (usize, usize) {
        let hash_key = entry.partition_key.bytes().fold(7u32, |hash, byte| hash.wrapping_mul(31) ^ u32::from(byte));
        let hash_key = (hash_key >> 8) % HASH_KEYS;
        let holds = |shard: &VirtualShard| shard.open && (shard.hash_keys.0..shard.hash_keys.1).contains(&hash_key);
        // The open shards always share the whole space of hash keys.
        let at = self.shards.iter().position(holds).unwrap_or(0);
        let shard = &mut self.shards[at];
        let sequence = shard.next_sequence;
        shard.next_sequence += 1 + random.below(5) as u64;
        // The stream's clock never runs backwards, and counts milliseconds.
        let arrived_at = Timestamp::from_millisecond((now_ns / 1_000_000) as i64).unwrap_or(Timestamp::UNIX_EPOCH);
        let Entry { partition_key, data, occurrences } = entry;
        shard.records.push(Stored {
            sequence,
            partition_key,
            data,
            arrived_at,
            occurrences,
            discarded: false,
            replayed: false,
        });
        (at, shard.records.len() - 1)
    }

    /// Splits a shard; says whether its children's sequence numbers begin below its own, or `None` if none can split.
    pub fn split(&mut self, random: &mut Random) -> Option<bool> {
        let can = |shard: &VirtualShard| shard.open && shard.hash_keys.1 - shard.hash_keys.0 >= 2;
        let at = self.choose(random, can)?;
        self.shards[at].open = false;
        let (first, last) = self.shards[at].hash_keys;
        let middle = (first + last) / 2;
        let lower = random.one_in(2);
        for hash_keys in [(first, middle), (middle, last)] {
            let sequence = self.child_sequence(at, lower, random);
            self.shards.push(VirtualShard::new(self.shards.len(), [Some(at), None], hash_keys, sequence));
        }
        Some(lower)
    }

    /// Merges two neighbours.
    pub fn merge(&mut self, random: &mut Random) -> Option<bool> {
        let neighbour = |of: &VirtualShard| {
            self.shards.iter().position(|shard| shard.open && of.open && shard.hash_keys.0 == of.hash_keys.1)
        };
        let at = self.choose(random, |shard| neighbour(shard).is_some())?;
        let other = neighbour(&self.shards[at])?;
        let hash_keys = (self.shards[at].hash_keys.0, self.shards[other].hash_keys.1);
        self.shards[at].open = false;
        self.shards[other].open = false;
        let lower = random.one_in(2);
        let sequence = self.child_sequence(at, lower, random);
        self.shards.push(VirtualShard::new(self.shards.len(), [Some(at), Some(other)], hash_keys, sequence));
        Some(lower)
    }

    fn choose(&self, random: &mut Random, can: impl Fn(&VirtualShard) -> bool) -> Option<usize> {
        let able: Vec<usize> = (0..self.shards.len()).filter(|at| can(&self.shards[*at])).collect();
        (!able.is_empty()).then(|| random.pick(&able))
    }

    fn child_sequence(&self, parent: usize, lower: bool, random: &mut Random) -> u64 {
        if lower { random.below(900) as u64 } else { self.shards[parent].next_sequence + random.below(900) as u64 }
    }

    pub fn listing(&self) -> Vec<Shard> {
        let id = |at: Option<usize>| at.map(|at| self.shards[at].id().clone());
        self.shards
            .iter()
            .map(|shard| Shard {
                id: shard.id().clone(),
                parent: id(shard.parents[0]),
                adjacent_parent: id(shard.parents[1]),
            })
            .collect()
    }

    pub fn position_of(&self, shard: &ShardId) -> Option<usize> {
        self.shards.iter().position(|candidate| candidate.id() == shard)
    }
}

impl VirtualShard {
    fn new(number: usize, parents: [Option<usize>; 2], hash_keys: (u32, u32), next_sequence: u64) -> Self {
        let shard_id = ShardId(format!("shardId-{number:012}"));
        let source = Arc::new(StreamShard { stream: "streamgauge".to_owned(), shard_id });
        VirtualShard { source, parents, hash_keys, open: true, records: Vec::new(), next_sequence }
    }

    pub fn id(&self) -> &ShardId {
        &self.source.shard_id
    }

    /// The index of the first record from `position` on.
    fn index(&self, position: Position) -> usize {
        match position {
            Position::AfterSequenceNumber(sequence) => {
                self.records.partition_point(|record| SequenceNumber::from(record.sequence) <= sequence)
            }
            Position::AtSequenceNumber(sequence) => {
                self.records.partition_point(|record| SequenceNumber::from(record.sequence) < sequence)
            }
            Position::AtTimestamp(at) => self.records.partition_point(|record| record.arrived_at < at),
            Position::TrimHorizon => 0,
            Position::Latest => self.records.len(),
        }
    }

    /// Whether a read from here on would bring anything new: records, or the shard's end.
    pub fn has_news(&self, position: Position) -> bool {
        !self.open || self.index(position) < self.records.len()
    }

    pub fn read(&self, position: Position, limit: usize) -> RecordsPage {
        let from = self.index(position);
        let to = self.records.len().min(from + limit);
        let records: Vec<StreamRecord> =
            self.records[from..to].iter().map(|stored| stored.record(&self.source)).collect();
        let ended = !self.open && to == self.records.len();
        let next = match records.last() {
            Some(last) => Position::AfterSequenceNumber(last.sequence_number),
            None => position,
        };
        let behind = if to == self.records.len() { Duration::ZERO } else { Duration::from_millis(1) };
        RecordsPage { records, next: (!ended).then_some(next), behind_latest: behind }
    }

    pub fn find(&self, sequence: SequenceNumber) -> Option<usize> {
        self.records.binary_search_by_key(&sequence, |record| record.sequence.into()).ok()
    }
}

impl Stored {
    fn record(&self, shard: &Arc<StreamShard>) -> StreamRecord {
        StreamRecord {
            shard: Arc::clone(shard),
            sequence_number: self.sequence.into(),
            partition_key: self.partition_key.clone(),
            data: self.data.clone(),
            arrived_at: self.arrived_at,
        }
    }

    /// The same record, to be put again at `now_ns`.
    pub fn entry(&self, schedule: &Schedule, now_ns: i128) -> Entry {
        let again = |one: &Occurrence| {
            let expected = match one.expected {
                Some(RejectReason::FutureTimestamp) | None => expected(schedule, one.content, now_ns),
                other => other,
            };
            Occurrence { has_letter: false, expected, ..*one }
        };
        let occurrences = self.occurrences.iter().map(again).collect();
        Entry { partition_key: self.partition_key.clone(), data: self.data.clone(), occurrences }
    }
}
