//! The state machine of one shard: reads ahead, deals records to lanes, and moves the checkpoint.

use crate::batch::{Batch, Discard, Invocation, Moment};
use crate::config::MappingConfig;
use crate::event::content_bytes;
use crate::lane::{Lane, LaneStep};
use ports::{Position, RecordsPage, SequenceNumber, ShardId};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// What the machine wants done. Each is answered once, by the method that its documentation names.
#[derive(Debug)]
pub enum Action {
    /// Read at most `limit` records from `position` on; answer with [`ShardMachine::read`] or
    /// [`ShardMachine::read_failed`].
    Read {
        /// Where to read.
        position: Position,
        /// Most records.
        limit: usize,
        /// The last page reached the shard's end: wait for news first.
        caught_up: bool,
    },
    /// Send the batch to the function; answer with [`ShardMachine::invoked`].
    Invoke {
        /// The lane, to name in the answer.
        lane: usize,
        /// The records.
        batch: Batch,
    },
    /// Hand the records to the on-failure destination; answer with [`ShardMachine::recorded`].
    RecordFailure {
        /// The lane, to name in the answer.
        lane: usize,
        /// The records, and why they are given up.
        discard: Discard,
    },
    /// Save the shard's checkpoint; answer with [`ShardMachine::saved`].
    SaveCheckpoint(SequenceNumber),
}

/// A record on its way: in stream order, so that the checkpoint is the end of the done ones at the front.
#[derive(Debug)]
struct Unfinished {
    sequence_number: SequenceNumber,
    done: bool,
}

#[derive(Debug)]
enum Reading {
    Idle { not_before: Duration },
    Out,
    Ended,
}

/// Lambda's poller for one shard, without its I/O: feed it answers, and do what it asks. It holds no clock and no
/// randomness, so that the same answers at the same moments always ask for the same.
#[derive(Debug)]
pub struct ShardMachine {
    config: Arc<MappingConfig>,
    /// What a record takes in an event beside its key and data.
    record_bytes: usize,
    position: Position,
    reading: Reading,
    read_failures: u32,
    caught_up: bool,
    last_read: Option<SequenceNumber>,
    mean_size: usize,
    lanes: Vec<Lane>,
    unfinished: VecDeque<Unfinished>,
    checkpoint: Option<SequenceNumber>,
    saved: Option<SequenceNumber>,
    saving: Option<SequenceNumber>,
    save_not_before: Duration,
    save_failures: u32,
    stopping: bool,
}

/// How often a save is tried again once the machine is stopping: what is not saved is only sent again.
const SAVES_WHILE_STOPPING: u32 = 5;
/// The size that records are taken to have before the first is seen.
const FIRST_GUESS_BYTES: usize = 4096;

impl ShardMachine {
    /// A machine for `shard`, from its `checkpoint`, or, where it has none, from `start`.
    pub fn new(
        config: Arc<MappingConfig>,
        shard: &ShardId,
        start: Position,
        checkpoint: Option<SequenceNumber>,
        now: Moment,
    ) -> Self {
        ShardMachine {
            record_bytes: config.source.record_bytes(shard),
            lanes: (0..config.parallelization_factor).map(|_| Lane::new(now)).collect(),
            config,
            position: checkpoint.map_or(start, Position::AfterSequenceNumber),
            reading: Reading::Idle { not_before: Duration::ZERO },
            read_failures: 0,
            caught_up: false,
            last_read: checkpoint,
            mean_size: FIRST_GUESS_BYTES,
            unfinished: VecDeque::new(),
            checkpoint,
            saved: checkpoint,
            saving: None,
            save_not_before: Duration::ZERO,
            save_failures: 0,
            stopping: false,
        }
    }

    /// The next thing to do, if there is any; ask until there is none, after every answer and at every
    /// [`ShardMachine::deadline`].
    pub fn next_action(&mut self, now: Moment) -> Option<Action> {
        if let Some(checkpoint) = self.due_save(now) {
            self.saving = Some(checkpoint);
            return Some(Action::SaveCheckpoint(checkpoint));
        }
        if self.stopping {
            return None;
        }
        let complete = matches!(self.reading, Reading::Ended);
        for (lane, machine) in self.lanes.iter_mut().enumerate() {
            match machine.step(&self.config, self.saved, complete, now) {
                Some(LaneStep::Invoke(batch)) => return Some(Action::Invoke { lane, batch }),
                Some(LaneStep::Record(discard)) => return Some(Action::RecordFailure { lane, discard }),
                None => {}
            }
        }
        let limit = self.read_limit(now)?;
        self.reading = Reading::Out;
        Some(Action::Read { position: self.position, limit, caught_up: self.caught_up })
    }

    /// When [`ShardMachine::next_action`] may have something though no answer has come, as [`Moment::elapsed`].
    pub fn deadline(&self) -> Option<Duration> {
        let save = (self.saving.is_none() && self.save_is_owed()).then_some(self.save_not_before);
        if self.stopping {
            return save;
        }
        let read = match self.reading {
            Reading::Idle { not_before } if self.has_room() => Some(not_before),
            _ => None,
        };
        self.lanes.iter().filter_map(|lane| lane.deadline(&self.config)).chain(save).chain(read).min()
    }

    /// A page was read.
    pub fn read(&mut self, page: RecordsPage, now: Moment) {
        self.read_failures = 0;
        let at_tip = page.behind_latest.is_zero();
        if let (Position::Latest, true, Some(Position::AfterSequenceNumber(tip))) =
            (self.position, page.records.is_empty(), page.next)
        {
            // From here on "latest" is a place: a restart must not start after what is put meanwhile.
            self.checkpoint = self.checkpoint.max(Some(tip));
            self.last_read = self.last_read.max(Some(tip));
        }
        for record in page.records {
            if self.last_read.is_some_and(|last| record.sequence_number <= last) {
                continue;
            }
            self.last_read = Some(record.sequence_number);
            self.unfinished.push_back(Unfinished { sequence_number: record.sequence_number, done: false });
            let size = self.record_bytes + content_bytes(&record);
            self.mean_size = (self.mean_size * 7 + size) / 8;
            let lane = lane_of(&record.partition_key, self.lanes.len());
            self.lanes[lane].buffer(record, size, &self.config, now);
        }
        self.caught_up = at_tip;
        self.reading = match page.next {
            Some(next) => {
                self.position = next;
                Reading::Idle { not_before: Duration::ZERO }
            }
            None => Reading::Ended,
        };
    }

    /// The read failed: it is tried again, later.
    pub fn read_failed(&mut self, now: Moment) {
        self.read_failures = self.read_failures.saturating_add(1);
        let wait = self.config.retry_backoff.wait(self.read_failures);
        self.reading = Reading::Idle { not_before: now.elapsed + wait };
    }

    /// The shard is gone: its records have expired, and there is nothing more to read.
    pub fn shard_gone(&mut self) {
        self.reading = Reading::Ended;
    }

    /// The invocation of `lane` came to an end.
    pub fn invoked(&mut self, lane: usize, invocation: Invocation, now: Moment) {
        let done = self.lanes.get_mut(lane).and_then(|machine| machine.invoked(invocation, &self.config, now));
        self.finish(lane, done);
    }

    /// The on-failure destination took what `lane` gave up, or did not.
    pub fn recorded(&mut self, lane: usize, taken: bool, now: Moment) {
        let done = self.lanes.get_mut(lane).and_then(|machine| machine.recorded(taken, &self.config, now));
        self.finish(lane, done);
    }

    /// The checkpoint was saved, or was not.
    pub fn saved(&mut self, saved: bool, now: Moment) {
        let saving = self.saving.take();
        if saved {
            self.saved = self.saved.max(saving);
            self.save_failures = 0;
        } else {
            self.save_failures = self.save_failures.saturating_add(1);
            self.save_not_before = now.elapsed + self.config.retry_backoff.wait(self.save_failures);
        }
    }

    /// Starts nothing new: what is out is still answered, and its checkpoint saved.
    pub fn stop(&mut self) {
        if !self.stopping {
            self.stopping = true;
            self.save_failures = 0;
        }
    }

    /// Whether a machine that was stopped has nothing out any more, and its checkpoint saved.
    pub fn has_stopped(&self) -> bool {
        self.stopping && self.saving.is_none() && !self.lanes.iter().any(Lane::is_out) && !self.save_is_owed()
    }

    /// Whether the shard is closed, read to its end, and all of it done and saved: its children may start.
    pub fn is_drained(&self) -> bool {
        matches!(self.reading, Reading::Ended) && self.unfinished.is_empty() && !self.save_is_owed()
    }

    /// How many records the machine holds that are not done.
    pub fn records_held(&self) -> usize {
        self.unfinished.iter().filter(|record| !record.done).count()
    }

    fn finish(&mut self, lane: usize, done: Option<Batch>) {
        let Some(done) = done else { return };
        for sequence_number in done.sequence_numbers() {
            if let Ok(index) = self.unfinished.binary_search_by_key(&sequence_number, |record| record.sequence_number) {
                self.unfinished[index].done = true;
            }
        }
        while let Some(&Unfinished { sequence_number, done: true }) = self.unfinished.front() {
            self.unfinished.pop_front();
            self.checkpoint = Some(sequence_number);
        }
        if let Some(checkpoint) = self.checkpoint {
            self.lanes[lane].close_gate(checkpoint);
        }
    }

    fn save_is_owed(&self) -> bool {
        let given_up = self.stopping && self.save_failures >= SAVES_WHILE_STOPPING;
        self.checkpoint > self.saved && !given_up
    }

    fn due_save(&self, now: Moment) -> Option<SequenceNumber> {
        let due = self.saving.is_none() && self.save_is_owed() && self.save_not_before <= now.elapsed;
        self.checkpoint.filter(|_| due)
    }

    /// Read-ahead ends at one batch a lane, in records and in bytes.
    fn has_room(&self) -> bool {
        let (records, bytes) = self.room();
        records > 0 && bytes > 0
    }

    fn room(&self) -> (usize, usize) {
        let lanes = self.lanes.len();
        let (records, bytes) = self.lanes.iter().map(Lane::buffered).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
        let records = (self.config.batch_size * lanes).saturating_sub(records);
        (records, (self.config.maximum_batch_bytes * lanes).saturating_sub(bytes))
    }

    fn read_limit(&self, now: Moment) -> Option<usize> {
        let Reading::Idle { not_before } = self.reading else { return None };
        let (records, bytes) = self.room();
        let fits = (bytes / self.mean_size.max(1)).max(1);
        (not_before <= now.elapsed && records > 0 && bytes > 0).then_some(records.min(fits).min(10_000))
    }
}

/// The lane of a partition key, the same for ever: FNV-1a, whose high bits are mixed into the low ones.
fn lane_of(partition_key: &str, lanes: usize) -> usize {
    let hash = partition_key
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    ((hash ^ (hash >> 32)) % lanes as u64) as usize
}
