//! Guarantee: redriving counts nothing twice and loses nothing, wherever it is stopped and however often it is run.
//!
//! A queue and a stream in memory, where each step of a redrive can be the last: before it took effect, or after. The
//! real aggregator counts what stands in the stream. Letters are sent to the queue in copies, as SQS may hold them.

use crate::support::{Memory, Stopped, arrival, body, event, timestamp};
use aggregator::{Aggregator, Settings};
use ports::{
    DeadLetter, DeadLetterOrigin, EventStream, Position, PutError, PutReceipt, RecordsPage, SequenceNumber, Shard,
    ShardId, StreamEntry, StreamError,
};
use proptest::prelude::*;
use redrive::{
    Assignment, DeadLetters, Filter, Held, Intent, Intents, Letter, Noted, Observer, Outcome, Page, PageRequest,
    PayloadOnly, QueueError, Repairs, Run, RunOptions, StreamRedriver, Tally,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use telemetry::{DeviceId, RejectReason, Rejection, Timestamp};

/// What a process's end leaves of the step it was in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Before,
    After,
}

#[derive(Default)]
struct World {
    /// Receipt -> letter.
    queue: BTreeMap<String, Letter>,
    intents: BTreeMap<String, [u8; 16]>,
    stream: Vec<StreamEntry>,
    /// Steps until the process ends, and how it ends.
    end: Option<(usize, End)>,
    /// It has ended: nothing works any more.
    ended: bool,
    /// Whether notes are lost; a wrong protocol, to see this test fail.
    forgetful: bool,
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<World>>);

impl Shared {
    fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    /// Takes a step, unless the process has ended or ends before it.
    fn step<T>(&self, take: impl FnOnce(&mut World) -> T) -> Result<T, Box<dyn std::error::Error + Send + Sync>> {
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
}

impl DeadLetters for Shared {
    async fn page(&self, request: &PageRequest) -> Result<Page, QueueError> {
        let take = |world: &mut World| {
            let after = request.after.clone().unwrap_or_default();
            let mut found = world.queue.iter().filter(|(receipt, _)| **receipt > after);
            let held =
                |(receipt, letter): (&String, &Letter)| Held { receipt: receipt.clone(), letter: letter.clone() };
            // Pages so small that copies of one letter come on several.
            let letters: Vec<Held> = found.by_ref().take(3).map(held).collect();
            let next = found.next().and(letters.last().map(|held| held.receipt.clone()));
            Page { letters, next }
        };
        self.step(take).map_err(QueueError::Unavailable)
    }

    async fn release(&self, _: Vec<String>) -> Result<(), QueueError> {
        Ok(())
    }

    async fn delete(&self, receipts: Vec<String>) -> Result<u64, QueueError> {
        let take =
            |world: &mut World| receipts.iter().filter(|receipt| world.queue.remove(*receipt).is_some()).count() as u64;
        self.step(take).map_err(QueueError::Unavailable)
    }
}

impl Intents for Shared {
    async fn note(&self, intents: Vec<Intent>) -> Result<Vec<Noted>, QueueError> {
        let take = |world: &mut World| {
            let note = |Intent { id, form }| match *world.intents.entry(id).or_insert(form) {
                before if before == form || world.forgetful => Noted::Noted,
                _ => Noted::OtherForm,
            };
            intents.into_iter().map(note).collect()
        };
        self.step(take).map_err(QueueError::Unavailable)
    }
}

impl EventStream for Shared {
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

    async fn get_records(&self, shard: &ShardId, _: Position, _: usize) -> Result<RecordsPage, StreamError> {
        Err(StreamError::NoSuchShard(shard.clone()))
    }

    async fn records_available(&self, _: &ShardId, _: Position) {}
}

struct Silent;
impl Observer for Silent {
    fn outcome(&mut self, _: &Letter, _: &Outcome) {}
}

fn letter(place: usize, reason: RejectReason, payload: &[u8]) -> Letter {
    let origin = DeadLetterOrigin {
        stream: "streamgauge",
        shard_id: "shardId-000000000000",
        sequence_number: &place.to_string(),
        sub_sequence_number: None,
        index: None,
        partition_key: "wrong",
        arrived_at: arrival(),
    };
    Letter::Rejected(DeadLetter::new(&Rejection::new(reason, "x"), payload, origin, arrival()))
}

/// Letters whose payload is good, one a second, each in `copies`; the receipts of the copies lie apart.
fn fill(world: &mut World, letters: usize, copies: usize, value: &str) -> BTreeSet<Timestamp> {
    let mut timestamps = BTreeSet::new();
    for place in 0..letters {
        let at = format!("2026-06-01T10:00:{place:02}Z");
        let text = String::from_utf8(body("d", &at, place as f64, None)).unwrap();
        let value_at = text.find("\"value\":").unwrap() + 8;
        let payload = if value.is_empty() { text } else { format!("{}{value}}}", &text[..value_at]) };
        timestamps.insert(timestamp(&at));
        for copy in 0..copies {
            let letter = letter(place, RejectReason::PartitionKeyMismatch, payload.as_bytes());
            world.queue.insert(format!("{copy}-{place:03}"), letter);
        }
    }
    timestamps
}

/// One run of the command, which may end early.
fn run(shared: &Shared, repairs: Repairs, end: Option<(usize, End)>) -> Option<Tally> {
    let mut world = shared.world();
    (world.end, world.ended) = (end, false);
    drop(world);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let redriver = StreamRedriver { queue: shared, stream: shared };
    let options = RunOptions { repairs, filter: Filter::default(), ..RunOptions::default() };
    let clock = Stopped(arrival());
    let run = Run { queue: shared, redriver: Some(&redriver), failed_records: &PayloadOnly, clock: &clock };
    runtime.block_on(run.run(&options, &mut Silent)).ok()
}

/// Counts what stands in the stream, in batches that are delivered twice.
fn count(shared: &Shared) -> (Memory, u64) {
    let (memory, stream) = (Memory::default(), shared.world().stream.clone());
    let aggregator = Aggregator::new(memory.clone(), memory.clone(), Stopped(arrival()), Settings::default());
    let records: Vec<_> =
        (1..).zip(&stream).map(|(number, entry)| (number, entry.partition_key.clone(), entry.data.clone())).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for batch in records.chunks(7) {
        for _ in 0..2 {
            runtime.block_on(aggregator.handle(&event(batch)));
        }
    }
    let counted = memory.table().items.get(&DeviceId::parse("d").unwrap()).map_or(0, |item| item.attributes.count);
    (memory, counted)
}

fn set(value: f64) -> Repairs {
    let assignments = vec![Assignment::parse(&format!("value={value}")).unwrap()];
    Repairs { assignments, ..Repairs::default() }
}

/// A second repair that gives a letter another identity: what could count twice.
fn another_identity(run: usize) -> Repairs {
    Repairs { assignments: vec![Assignment::parse(&format!("event_id=run-{run}")).unwrap()], ..Repairs::default() }
}

/// Records in the stream, letters in the queue.
fn sizes(shared: &Shared) -> (usize, usize) {
    let world = shared.world();
    (world.stream.len(), world.queue.len())
}

fn ends() -> impl Strategy<Value = Vec<(usize, End)>> {
    prop::collection::vec((0usize..12, prop_oneof![Just(End::Before), Just(End::After)]), 0..8)
}

proptest! {
    #[test]
    fn runs_killed_between_any_two_steps_count_every_letter_once(
        letters in 1usize..12, copies in 1usize..4, ends in ends(),
    ) {
        let shared = Shared::default();
        let timestamps = fill(&mut shared.world(), letters, copies, "");
        for end in ends {
            run(&shared, Repairs::default(), Some(end));
        }
        let last = run(&shared, Repairs::default(), None).unwrap();
        prop_assert!(last.is_complete());
        prop_assert_eq!(shared.world().queue.len(), 0);
        let (memory, counted) = count(&shared);
        prop_assert_eq!(counted, timestamps.len() as u64);
        prop_assert_eq!(memory.table().letters.len(), 0);
    }

    #[test]
    fn a_letter_changed_in_two_ways_is_counted_once_and_the_second_refused(
        letters in 1usize..6, copies in 1usize..3, ends in ends(),
    ) {
        let shared = Shared::default();
        let timestamps = fill(&mut shared.world(), letters, copies, "");
        for (attempt, end) in ends.into_iter().enumerate() {
            run(&shared, another_identity(attempt), Some(end));
        }
        let noted = shared.world().intents.len();
        let last = run(&shared, Repairs::default(), None).unwrap();
        let refused = last.failed as usize;
        let (_, counted) = count(&shared);
        // What was noted in another form is left, whether it was put or not; all else goes.
        prop_assert!(refused <= noted * copies);
        prop_assert_eq!(sizes(&shared).1 == 0, refused == 0);
        let left: BTreeSet<String> = shared.world().queue.values().map(|letter| letter.id().to_owned()).collect();
        prop_assert!(counted <= timestamps.len() as u64, "{} of {}", counted, timestamps.len());
        prop_assert!(counted as usize + left.len() >= timestamps.len(), "{} and {} left", counted, left.len());
    }
}

#[test]
fn without_the_note_a_letter_changed_in_two_ways_would_count_twice() {
    let shared = Shared::default();
    fill(&mut shared.world(), 1, 1, "");
    shared.world().forgetful = true;
    // The page, the note, the put, and the end before the deletion.
    run(&shared, another_identity(1), Some((3, End::Before)));
    assert_eq!(sizes(&shared), (1, 1));
    run(&shared, Repairs::default(), None).unwrap();
    assert_eq!(count(&shared).1, 2);
}

#[test]
fn a_repair_is_checked_before_anything_is_sent() {
    let shared = Shared::default();
    fill(&mut shared.world(), 5, 2, "\"x\"");
    let tally = run(&shared, Repairs::default(), None).unwrap();
    // Copies on one page are one letter.
    assert_eq!((tally.refused, tally.sent), (tally.letters, 0));
    assert_eq!(sizes(&shared), (0, 10));
    assert!(run(&shared, set(5.0), None).unwrap().is_complete());
    assert_eq!(shared.world().queue.len(), 0);
    assert_eq!(count(&shared).1, 5);
}
