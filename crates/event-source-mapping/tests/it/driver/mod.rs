//! Drives one shard's machine by hand: serves its reads from a list of records, acknowledges its saves, and hands its
//! invocations and discards to the test, letting time pass where the machine waits.

// Each test file uses its own part.
#![allow(dead_code)]

use event_source_mapping::{Action, Discard, EventSource, Invocation, MappingConfig, Moment, ShardMachine, Verdict};
use ports::{Position, RecordsPage, SequenceNumber, ShardId, StreamRecord, StreamShard};
use std::sync::Arc;
use std::time::Duration;
use telemetry::Timestamp;

pub const SHARD: &str = "shardId-000000000000";
const START_MILLISECONDS: i64 = 1_700_000_000_000;

pub fn config() -> MappingConfig {
    MappingConfig::new(EventSource::on_one_machine("readings", "aggregator"))
}

pub fn wall(elapsed: Duration) -> Timestamp {
    Timestamp::from_millisecond(START_MILLISECONDS + elapsed.as_millis() as i64).unwrap()
}

pub fn shard(id: &str) -> Arc<StreamShard> {
    Arc::new(StreamShard { stream: "readings".to_owned(), shard_id: ShardId(id.to_owned()) })
}

pub fn record(sequence_number: u64, partition_key: &str) -> StreamRecord {
    StreamRecord {
        shard: shard(SHARD),
        sequence_number: sequence_number.into(),
        partition_key: partition_key.into(),
        data: format!("data {sequence_number}").into_bytes(),
        arrived_at: wall(Duration::ZERO),
    }
}

/// Records 1 to `count` of one partition key.
pub fn records(count: u64) -> Vec<StreamRecord> {
    (1..=count).map(|sequence_number| record(sequence_number, "device")).collect()
}

/// The answer that names the `place`th record of its batch, from 0, as the lowest that failed.
pub fn failing_at(place: usize) -> Invocation {
    Invocation::Answered(if place == 0 { Verdict::Failure } else { Verdict::PartialSuccess(place) })
}

pub fn success() -> Invocation {
    Invocation::Answered(Verdict::Success)
}

#[derive(Debug)]
pub enum Step {
    Invoke(usize, Vec<u64>),
    Discard(usize, Discard),
}

pub struct Driver {
    pub machine: ShardMachine,
    pub elapsed: Duration,
    pub stream: Vec<StreamRecord>,
    pub closed: bool,
    /// Every checkpoint that was saved.
    pub saved: Vec<u64>,
    /// How many of the next saves fail.
    pub failing_saves: usize,
}

pub fn number(sequence_number: SequenceNumber) -> u64 {
    sequence_number.to_string().parse().unwrap()
}

impl Driver {
    pub fn new(config: MappingConfig, stream: Vec<StreamRecord>) -> Self {
        Self::from_checkpoint(config, stream, None)
    }

    pub fn from_checkpoint(config: MappingConfig, stream: Vec<StreamRecord>, checkpoint: Option<u64>) -> Self {
        config.validate().unwrap();
        let now = Moment { wall: wall(Duration::ZERO), elapsed: Duration::ZERO };
        let checkpoint = checkpoint.map(SequenceNumber::from);
        let start = config.starting_position.into();
        let machine = ShardMachine::new(Arc::new(config), &ShardId(SHARD.into()), start, checkpoint, now);
        Driver { machine, elapsed: Duration::ZERO, stream, closed: false, saved: Vec::new(), failing_saves: 0 }
    }

    pub fn now(&self) -> Moment {
        Moment { wall: wall(self.elapsed), elapsed: self.elapsed }
    }

    pub fn pass(&mut self, time: Duration) {
        self.elapsed += time;
    }

    /// The next invocation or discard that is due now, if there is one.
    pub fn due(&mut self) -> Option<Step> {
        let mut idle_reads = 0;
        while let Some(action) = self.machine.next_action(self.now()) {
            match action {
                Action::Read { position, limit, .. } => {
                    let page = self.page(position, limit);
                    idle_reads += usize::from(page.records.is_empty());
                    self.machine.read(page, self.now());
                    if idle_reads > 1 {
                        return None;
                    }
                }
                Action::SaveCheckpoint(checkpoint) => {
                    let fails = self.failing_saves > 0;
                    self.failing_saves -= usize::from(fails);
                    if !fails {
                        self.saved.push(number(checkpoint));
                    }
                    self.machine.saved(!fails, self.now());
                }
                Action::Invoke { lane, batch } => {
                    return Some(Step::Invoke(lane, batch.sequence_numbers().map(number).collect()));
                }
                Action::RecordFailure { lane, discard } => return Some(Step::Discard(lane, discard)),
            }
        }
        None
    }

    /// Like [`Driver::due`], letting time pass up to ten minutes.
    pub fn step(&mut self) -> Option<Step> {
        let end = self.elapsed + Duration::from_secs(600);
        loop {
            if let Some(step) = self.due() {
                return Some(step);
            }
            let soon = self.elapsed + Duration::from_millis(100);
            let next = self.machine.deadline().filter(|deadline| *deadline > self.elapsed).unwrap_or(soon);
            if next > end {
                return None;
            }
            self.elapsed = next;
        }
    }

    /// The records of the next invocation, which then ends with `invocation`.
    pub fn invoke(&mut self, invocation: Invocation) -> Vec<u64> {
        match self.step() {
            Some(Step::Invoke(lane, sequence_numbers)) => {
                self.machine.invoked(lane, invocation, self.now());
                sequence_numbers
            }
            other => panic!("expected an invocation, not {other:?}"),
        }
    }

    /// The next discard, which the destination takes.
    pub fn discard(&mut self) -> (Discard, Vec<u64>) {
        match self.step() {
            Some(Step::Discard(lane, discard)) => {
                self.machine.recorded(lane, true, self.now());
                let sequence_numbers = discard.batch.sequence_numbers().map(number).collect();
                (discard, sequence_numbers)
            }
            other => panic!("expected a discard, not {other:?}"),
        }
    }

    pub fn finished(&mut self) -> bool {
        self.step().is_none()
    }

    fn page(&self, position: Position, limit: usize) -> RecordsPage {
        let last = self.stream.last().map_or(0, |record| number(record.sequence_number));
        let after = match position {
            Position::TrimHorizon => 0,
            Position::Latest => last,
            Position::AfterSequenceNumber(at) => number(at),
            other => panic!("no test reads from {other:?}"),
        };
        let records: Vec<_> =
            self.stream.iter().filter(|record| number(record.sequence_number) > after).take(limit).cloned().collect();
        let end = records.last().map_or(after, |record| number(record.sequence_number));
        let next = (!(self.closed && end >= last)).then_some(Position::AfterSequenceNumber(end.into()));
        RecordsPage { records, next, behind_latest: Duration::from_millis(u64::from(end < last)) }
    }
}
