//! A queue of messages, an archive and a stream in memory, as SQS, S3 and Kinesis behave for an operator: messages are held
//! by whoever receives them, come in copies, and are dropped one day; records expire. Each step can be a process's last.
#![allow(dead_code, reason = "each test file uses its own part")]

use crate::support::{Memory, Stopped, arrival, event};
use aggregator::{Aggregator, Settings};
use flate2::Compression;
use flate2::write::GzEncoder;
use ports::{
    Archive, ArchiveError, DeadLetter, DeadLetterOrigin, EventStream, Message, MessageQueue, MessageQueueError,
    Position, PutError, PutNew, PutReceipt, RecordsPage, SequenceNumber, Shard, ShardId, StreamEntry, StreamError,
    StreamRecord,
};
use redrive::{
    Filter, Letter, MessageLetters, Observer, Outcome, PayloadStreamArchive, Repairs, Run, RunOptions, StreamRedriver,
    Tally,
};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use telemetry::{DeviceId, RejectReason, Rejection};

pub const BUCKET: &str = "archive";
pub const STREAM_ARN: &str = "arn:aws:kinesis:eu-central-1:123456789012:stream/readings";

/// What a process's end leaves of the step it was in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Before,
    After,
}

pub struct Held {
    pub body: String,
    pub is_held: bool,
    pub receives: u32,
}

#[derive(Default)]
pub struct World {
    pub messages: BTreeMap<String, Held>,
    pub objects: BTreeMap<String, Vec<u8>>,
    /// What redriving has put.
    pub stream: Vec<StreamEntry>,
    /// What the stream still has of the records that were there before.
    pub kept: Vec<StreamRecord>,
    pub end: Option<(usize, End)>,
    pub ended: bool,
    pub written: usize,
    /// No more messages are handed out while so many are held; 0: any number.
    pub held_max: usize,
    /// Holds run out before the next messages are handed out.
    pub short_holds: bool,
}

#[derive(Clone, Default)]
pub struct Cloud(pub Arc<Mutex<World>>);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Cloud {
    pub fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    /// Takes a step, unless the process has ended or ends before it.
    fn step<T>(&self, take: impl FnOnce(&mut World) -> T) -> Result<T, BoxError> {
        let mut world = self.world();
        let end = match &mut world.end {
            Some((0, end)) => Some(*end),
            Some((left, _)) => {
                *left -= 1;
                None
            }
            None => None,
        };
        if world.ended || end == Some(End::Before) {
            world.ended = true;
            return Err("the process has ended".into());
        }
        let taken = take(&mut world);
        world.ended = end.is_some();
        if end.is_some() { Err("the process has ended".into()) } else { Ok(taken) }
    }

    /// Sends a message, as somebody else does.
    pub fn message(&self, id: impl Into<String>, body: impl Into<String>) {
        self.world().messages.insert(id.into(), Held { body: body.into(), is_held: false, receives: 0 });
    }

    /// Every hold runs out.
    pub fn holds_run_out(&self) {
        self.world().messages.values_mut().for_each(|message| message.is_held = false);
    }

    /// A dead letter, whole in the archive, with so many messages.
    pub fn letter(&self, letter: &DeadLetter, copies: usize) {
        let json = serde_json::to_string(letter).unwrap();
        let day = letter.arrived_at.utc_date();
        self.world().objects.insert(format!("dead-letters/dt={day}/{}.jsonl", letter.id), (json.clone() + "\n").into());
        for copy in 0..copies {
            self.message(format!("{copy}-{}", letter.id), json.clone());
        }
    }

    /// An object of the raw archive, with these lines, in two gzip members.
    pub fn archived(&self, hour: &str, lines: &[Vec<u8>]) {
        let mut object = Vec::new();
        for part in lines.chunks(lines.len().div_ceil(2).max(1)) {
            let mut member = GzEncoder::new(Vec::new(), Compression::fast());
            for line in part {
                member.write_all(line).unwrap();
                member.write_all(b"\n").unwrap();
            }
            object.extend(member.finish().unwrap());
        }
        self.world().objects.insert(format!("raw/{hour}/readings-1-part.gz"), object);
    }

    pub fn letters(&self) -> MessageLetters<Cloud, Cloud, Stopped> {
        MessageLetters::new(self.clone(), Some((BUCKET.to_owned(), self.clone())), Stopped(arrival()))
    }

    /// One run of the command, which may end early.
    pub fn run(&self, repairs: Repairs, filter: Filter, end: Option<(usize, End)>) -> Option<(Tally, Vec<Outcome>)> {
        let mut world = self.world();
        (world.end, world.ended) = (end, false);
        drop(world);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let letters = self.letters();
        let redriver = StreamRedriver { queue: &letters, stream: self };
        let options = RunOptions { repairs, filter, ..RunOptions::default() };
        let failed_records = PayloadStreamArchive { stream: |_: &str| self.clone(), archive: Some(self.clone()) };
        let clock = Stopped(arrival());
        let run = Run { queue: &letters, redriver: Some(&redriver), failed_records: &failed_records, clock: &clock };
        let mut outcomes = Outcomes::default();
        let tally = runtime.block_on(async {
            let tally = run.run(&options, &mut outcomes).await;
            let _ = letters.delete_leftovers().await;
            // A process that has ended gives nothing back.
            let _ = letters.close().await;
            tally
        });
        tally.ok().map(|tally| (tally, outcomes.0))
    }

    /// Counts what redriving has put, in batches that are delivered twice.
    pub fn count(&self) -> Memory {
        self.count_after(Memory::default())
    }

    /// The same, upon what was counted before.
    pub fn count_after(&self, memory: Memory) -> Memory {
        let stream = self.world().stream.clone();
        let aggregator = Aggregator::new(memory.clone(), memory.clone(), Stopped(arrival()), Settings::default());
        let records: Vec<_> = (1_000..)
            .zip(&stream)
            .map(|(number, entry)| (number, entry.partition_key.clone(), entry.data.clone()))
            .collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for batch in records.chunks(7) {
            for _ in 0..2 {
                runtime.block_on(aggregator.handle(&event(batch)));
            }
        }
        memory
    }
}

pub fn counted(memory: &Memory, device: &str) -> u64 {
    memory.table().items.get(&DeviceId::parse(device).unwrap()).map_or(0, |item| item.attributes.count)
}

#[derive(Default)]
struct Outcomes(Vec<Outcome>);

impl Observer for Outcomes {
    fn outcome(&mut self, _: &Letter, outcome: &Outcome) {
        self.0.push(outcome.clone());
    }
}

pub fn dead_letter(place: usize, reason: RejectReason, payload: &[u8]) -> DeadLetter {
    let origin = DeadLetterOrigin {
        stream: "readings",
        shard_id: "shardId-000000000000",
        sequence_number: &place.to_string(),
        sub_sequence_number: None,
        index: None,
        partition_key: "wrong",
        arrived_at: arrival(),
    };
    DeadLetter::new(&Rejection::new(reason, "x"), payload, origin, arrival())
}

impl MessageQueue for Cloud {
    async fn receive(&self, hold: Duration) -> Result<Vec<Message>, MessageQueueError> {
        assert!(hold >= Duration::from_secs(60), "a hold that nobody can work in");
        let take = |world: &mut World| {
            let held = world.messages.values().filter(|message| message.is_held).count();
            if world.held_max > 0 && held >= world.held_max {
                return Err(MessageQueueError::TooManyHeld);
            }
            let short_holds = world.short_holds;
            let mut free: Vec<_> =
                world.messages.iter_mut().filter(|(_, message)| !message.is_held || short_holds).collect();
            free.sort_by_key(|(_, message)| message.receives);
            let hand_out = |(id, message): (&String, &mut Held)| {
                (message.is_held, message.receives) = (true, message.receives + 1);
                Message { id: id.clone(), receipt: format!("{id}#{}", message.receives), body: message.body.clone() }
            };
            // So few at once that copies of one letter come apart.
            Ok(free.into_iter().take(3).map(hand_out).collect())
        };
        self.step(take).map_err(MessageQueueError::Unavailable)?
    }

    async fn release(&self, receipts: Vec<String>) -> Result<(), MessageQueueError> {
        let take = |world: &mut World| {
            for (id, receives) in receipts.iter().filter_map(|receipt| receipt.split_once('#')) {
                // An old receipt gives nothing back.
                let message = world.messages.get_mut(id).filter(|message| message.receives.to_string() == receives);
                message.into_iter().for_each(|message| message.is_held = false);
            }
        };
        self.step(take).map_err(MessageQueueError::Unavailable)
    }

    async fn delete(&self, receipts: Vec<String>) -> Result<(), MessageQueueError> {
        let take = |world: &mut World| {
            for (id, _) in receipts.iter().filter_map(|receipt| receipt.split_once('#')) {
                world.messages.remove(id);
            }
        };
        self.step(take).map_err(MessageQueueError::Unavailable)
    }
}

impl Archive for Cloud {
    async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), ArchiveError> {
        self.step(|world| {
            world.written += 1;
            world.objects.insert(key.to_owned(), bytes);
        })
        .map_err(ArchiveError::Unavailable)
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, ArchiveError> {
        self.step(|world| world.objects.get(key).cloned()).map_err(ArchiveError::Unavailable)
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, ArchiveError> {
        let after = after.unwrap_or_default();
        let list = |world: &mut World| {
            let keys = world.objects.keys().filter(|key| key.starts_with(prefix) && key.as_str() > after);
            keys.take(limit).cloned().collect()
        };
        self.step(list).map_err(ArchiveError::Unavailable)
    }
}

impl PutNew for Cloud {
    async fn put_new(&self, key: &str, bytes: Vec<u8>) -> Result<bool, ArchiveError> {
        let take = |world: &mut World| {
            if world.objects.contains_key(key) {
                return false;
            }
            world.written += 1;
            world.objects.insert(key.to_owned(), bytes);
            true
        };
        self.step(take).map_err(ArchiveError::Unavailable)
    }
}

impl EventStream for Cloud {
    async fn put_records(&self, entries: Vec<StreamEntry>) -> Vec<Result<PutReceipt, PutError>> {
        let count = entries.len();
        let put = self.step(|world| world.stream.extend(entries));
        let receipt = || PutReceipt { shard_id: ShardId("s".to_owned()), sequence_number: SequenceNumber::from(1) };
        let lost = || PutError::Unavailable("the process has ended".into());
        (0..count).map(|_| put.as_ref().map(|()| receipt()).map_err(|_| lost())).collect()
    }

    async fn list_shards(&self) -> Result<Vec<Shard>, StreamError> {
        Ok(Vec::new())
    }

    async fn get_records(&self, shard: &ShardId, position: Position, _: usize) -> Result<RecordsPage, StreamError> {
        if shard.0 != "shardId-000000000000" {
            return Err(StreamError::NoSuchShard(shard.clone()));
        }
        let read = |world: &mut World| {
            let is_after = |record: &&StreamRecord| match position {
                Position::TrimHorizon => true,
                Position::AtTimestamp(at) => record.arrived_at >= at,
                Position::AfterSequenceNumber(number) => record.sequence_number > number,
                other => panic!("an expired record's number may be refused: {other:?}"),
            };
            let records: Vec<StreamRecord> = world.kept.iter().filter(is_after).take(4).cloned().collect();
            let next = records.last().map_or(position, |last| Position::AfterSequenceNumber(last.sequence_number));
            RecordsPage { records, next: Some(next), behind_latest: Duration::ZERO }
        };
        self.step(read).map_err(StreamError::Unavailable)
    }

    async fn records_available(&self, _: &ShardId, _: Position) {}
}
