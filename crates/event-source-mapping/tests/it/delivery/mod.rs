//! What the mapping promises, whatever fails: random streams with splits and merges, random answers, lost state.
//!
//! The mapping's pure machines are driven by a tape of random bytes that decides which answer comes next and what it
//! is; an exhausted tape lets everything succeed, so that every run ends. A run fails when
//! - a record is neither delivered to success nor to the on-failure destination by the time all shards are drained;
//! - of one partition key in one shard, a record is finished for the first time before an earlier one;
//! - a checkpoint is saved that passes an unfinished record;
//! - a shard is read before its parents are drained, or a record was sent of it before all of theirs were finished;
//! - two batches that are out at once share a partition key, or a batch breaks its limits;
//! - a machine holds more than one batch a lane out and one read ahead.

mod world;

use self::world::{Plan, ShardPlan, World};
use event_source_mapping::{Backoff, EventSource, MappingConfig};
use proptest::prelude::*;
use std::time::Duration;

fn config() -> impl Strategy<Value = MappingConfig> {
    (
        1..8usize,
        prop_oneof![Just(0), 1..20u64],
        prop_oneof![Just(6_000_000), 600..3000usize],
        1..5usize,
        any::<bool>(),
        prop_oneof![Just(None), (0..3u32).prop_map(Some)],
        prop_oneof![Just(None), (60..90u64).prop_map(Some)],
        any::<bool>(),
    )
        .prop_map(|(batch_size, window, bytes, lanes, bisect, retries, age, report)| MappingConfig {
            batch_size,
            maximum_batching_window: Duration::from_secs(window),
            maximum_batch_bytes: bytes,
            parallelization_factor: lanes,
            bisect_batch_on_function_error: bisect,
            maximum_retry_attempts: retries,
            maximum_record_age: age.map(Duration::from_secs),
            report_batch_item_failures: report,
            retry_backoff: Backoff { initial: Duration::from_secs(1), maximum: Duration::from_secs(8) },
            ..MappingConfig::new(EventSource::on_one_machine("readings", "aggregator"))
        })
}

/// Up to six shards: each new one splits one that is open, or merges two.
fn shards() -> impl Strategy<Value = Vec<ShardPlan>> {
    let shard = (prop::collection::vec(0..6u8, 0..25), any::<prop::sample::Index>(), any::<bool>());
    prop::collection::vec(shard, 1..7).prop_map(|shards| {
        let mut plans: Vec<ShardPlan> = Vec::new();
        for (index, (keys, parent, merge)) in shards.into_iter().enumerate() {
            let parents = match index {
                0 => vec![],
                _ if merge && index > 1 => vec![parent.index(index - 1), index - 1],
                _ => vec![parent.index(index)],
            };
            plans.push(ShardPlan { keys, parents });
        }
        plans
    })
}

fn plan() -> impl Strategy<Value = Plan> {
    (config(), shards(), prop::collection::vec(any::<u8>(), 0..600)).prop_map(|(config, shards, tape)| Plan {
        config,
        shards,
        tape,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_record_is_delivered_in_order_and_no_checkpoint_passes_one_that_is_not(plan in plan()) {
        World::new(plan).run();
    }
}

#[test]
fn the_random_runs_reach_every_fault_and_branch() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut total = world::Coverage::default();
    for _ in 0..400 {
        total += World::new(plan().new_tree(&mut runner).unwrap().current()).run();
    }
    for (name, count) in total.named() {
        assert!(count > 0, "{name} never happened in 400 runs: {total:?}");
    }
}
