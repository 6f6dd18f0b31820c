//! Whatever the store does, each identity counts once: against an oracle that knows no ledger.

use crate::support::{Fault, Memory, Record, Stopped, arrival, body, event};
use aggregator::{Aggregator, LedgerMode, Settings};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use telemetry::{RejectReason, Timestamp};

/// One posted reading: device, minutes before arrival and nanoseconds within, value, sender's name.
#[derive(Debug, Clone)]
struct Post {
    device: usize,
    minutes: i64,
    nanosecond: i64,
    value: i32,
    event_id: Option<u8>,
}

impl Post {
    fn device_id(&self) -> String {
        // The longest name leaves the window the least room, so that the ledger is used early.
        if self.device == 0 { "d".repeat(128) } else { format!("device-{}", self.device) }
    }

    fn timestamp(&self) -> Timestamp {
        let nanoseconds = i128::from(self.minutes) * 60_000_000_000 - i128::from(self.nanosecond);
        Timestamp::from_nanosecond(arrival().as_nanosecond() - nanoseconds).unwrap()
    }

    fn record(&self, sequence_number: u64) -> Record {
        let event_id = self.event_id.map(|id| format!("event-{id}"));
        let timestamp = self.timestamp().to_string();
        let data = body(&self.device_id(), &timestamp, f64::from(self.value), event_id.as_deref());
        (sequence_number, self.device_id(), data)
    }
}

fn post() -> impl Strategy<Value = Post> {
    // Mostly recent and in a narrow range, so that identities repeat; some hours, days and months late.
    let minutes = prop_oneof![6 => 0i64..240, 2 => 0i64..2_880, 1 => 0i64..200_000];
    let event_id = prop_oneof![4 => Just(None), 1 => (0u8..3).prop_map(Some)];
    (0usize..2, minutes, prop_oneof![3 => Just(0i64), 1 => 0i64..1000], 0i32..3, event_id).prop_map(
        |(device, minutes, nanosecond, value, event_id)| Post { device, minutes, nanosecond, value, event_id },
    )
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![6 => Just(Fault::None), 1 => Just(Fault::Before), 1 => Just(Fault::ReplyLost)]
}

/// What each device must hold: the first value of each identity; and the records that must be dead letters.
fn oracle(posts: &[Post]) -> (BTreeMap<String, Vec<f64>>, BTreeSet<String>) {
    let mut first: BTreeMap<(String, Timestamp, Option<u8>), i32> = BTreeMap::new();
    let mut values: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let mut conflicts = BTreeSet::new();
    for (sequence_number, post) in posts.iter().enumerate() {
        match first.entry((post.device_id(), post.timestamp(), post.event_id)) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(post.value);
                values.entry(post.device_id()).or_default().push(f64::from(post.value));
            }
            std::collections::btree_map::Entry::Occupied(entry) if *entry.get() != post.value => {
                conflicts.insert((sequence_number + 1).to_string());
            }
            std::collections::btree_map::Entry::Occupied(_) => {}
        }
    }
    (values, conflicts)
}

/// Delivers the posts in batches as Lambda does: from the lowest reported failure on, until all is done.
fn deliver(memory: &Memory, posts: &[Post], batch_size: usize, settings: Settings) {
    let aggregator = Aggregator::new(memory.clone(), memory.clone(), Stopped(arrival()), settings);
    let records: Vec<Record> = posts.iter().enumerate().map(|(i, post)| post.record(i as u64 + 1)).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut next = 0;
    while next < records.len() {
        let batch = &records[next..records.len().min(next + batch_size)];
        let handled = runtime.block_on(aggregator.handle(&event(batch)));
        let lowest = handled.failed.iter().min().map(|lowest| lowest.to_string().parse::<usize>().unwrap());
        next = lowest.map_or(next + batch.len(), |sequence_number| sequence_number - 1);
    }
}

fn assert_equals_oracle(memory: &Memory, posts: &[Post]) {
    let (values, conflicts) = oracle(posts);
    let table = memory.table();
    let counts: BTreeMap<String, u64> =
        table.items.iter().map(|(device, item)| (device.to_string(), item.attributes.count)).collect();
    let expected: BTreeMap<String, u64> = values.iter().map(|(device, v)| (device.clone(), v.len() as u64)).collect();
    assert_eq!(counts, expected);
    for (device, item) in &table.items {
        let mut sorted = values[device.as_str()].clone();
        sorted.sort_by(f64::total_cmp);
        let mean = sorted.iter().sum::<f64>() / sorted.len() as f64;
        assert!((item.attributes.mean.unwrap() - mean).abs() < 1e-12);
        let middle = (sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]) / 2.0;
        assert_eq!(item.attributes.median, Some(middle));
    }
    let dead: BTreeSet<String> = table.letters.values().map(|letter| letter.sequence_number.clone()).collect();
    assert_eq!(dead, conflicts);
    assert!(table.letters.values().all(|letter| letter.reason == RejectReason::ConflictingDuplicate));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_fault_of_store_or_queue_counts_a_reading_twice_or_loses_one(
        posts in proptest::collection::vec(post(), 1..600),
        faults in proptest::collection::vec(fault(), 0..60),
        batch_size in 1usize..120,
    ) {
        let memory = Memory::default();
        memory.table().faults = faults;
        deliver(&memory, &posts, batch_size, Settings::default());
        assert_equals_oracle(&memory, &posts);
    }

    #[test]
    fn posting_everything_again_in_any_order_changes_nothing(
        posts in proptest::collection::vec(post(), 1..400).prop_flat_map(|posts| {
            let again = Just(posts.clone()).prop_shuffle();
            (Just(posts), again)
        }),
        batch_size in 1usize..120,
    ) {
        let (mut posts, again) = posts;
        // Only what was counted is posted again: a conflicting reading would be a dead letter of its own.
        let memory = Memory::default();
        deliver(&memory, &posts, batch_size, Settings::default());
        let (_, conflicts) = oracle(&posts);
        let before = memory.table().items.clone();
        let mut sequence = 0;
        posts.retain(|_| { sequence += 1; !conflicts.contains(&sequence.to_string()) });
        let counted: BTreeMap<_, _> =
            posts.iter().map(|post| ((post.device_id(), post.timestamp(), post.event_id), post.value)).collect();
        let again: Vec<Post> = again
            .into_iter()
            .filter(|post| counted[&(post.device_id(), post.timestamp(), post.event_id)] == post.value)
            .collect();
        deliver(&memory, &again, batch_size, Settings::default());
        prop_assert_eq!(&memory.table().items, &before);
    }

    #[test]
    fn in_window_mode_every_reading_is_counted_a_duplicate_or_a_dead_letter(
        posts in proptest::collection::vec(post(), 1..600),
        faults in proptest::collection::vec(fault(), 0..60),
        batch_size in 1usize..120,
    ) {
        let memory = Memory::default();
        memory.table().faults = faults;
        deliver(&memory, &posts, batch_size, Settings { ledger: LedgerMode::Window, ..Settings::default() });
        let (values, _) = oracle(&posts);
        let table = memory.table();
        prop_assert!(table.pages.is_empty());
        for (device, item) in &table.items {
            prop_assert!(item.attributes.count <= values[device.as_str()].len() as u64, "never counted twice");
        }
        let identities: BTreeSet<_> = posts.iter().map(|p| (p.device_id(), p.timestamp(), p.event_id)).collect();
        let counted: u64 = table.items.values().map(|item| item.attributes.count).sum();
        let late: BTreeSet<_> = table.letters.values()
            .filter(|letter| letter.reason == RejectReason::Late)
            .map(|letter| {
                let post = &posts[letter.sequence_number.parse::<usize>().unwrap() - 1];
                (post.device_id(), post.timestamp(), post.event_id)
            })
            .collect();
        // An identity is counted, or it is late; one that was counted and came again after it left the window is both.
        prop_assert!(counted + late.len() as u64 >= identities.len() as u64, "nothing is lost");
    }
}
