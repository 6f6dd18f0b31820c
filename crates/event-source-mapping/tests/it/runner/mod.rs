//! The runner on tokio, with time paused: what takes seconds here takes none.

mod world;

use self::world::{KeepingFunction, World, config};
use event_source_mapping::{MappingConfig, StartingPosition, run};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Runs the mapping for `time`, then lets it drain.
async fn run_for(world: &World, config: MappingConfig, time: Duration) {
    run(world.mapping(config), sleep(time)).await.unwrap();
}

/// Whether, of each partition key, records were done for the first time in stream order.
fn assert_first_successes_in_order(done: &[String]) {
    let mut last: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for record in done {
        let (key, number) = record.rsplit_once('/').unwrap();
        let numbers = last.entry(key).or_default();
        let number = number.parse().unwrap();
        if !numbers.contains(&number) {
            assert!(numbers.last().is_none_or(|last| *last < number), "{key}: {number} after {numbers:?}");
            numbers.push(number);
        }
    }
}

fn distinct(records: &[String]) -> usize {
    records.iter().collect::<std::collections::BTreeSet<_>>().len()
}

#[tokio::test(start_paused = true)]
async fn every_record_of_every_shard_is_delivered_once_where_nothing_fails() {
    let world = World::default();
    for shard in ["a", "b", "c"] {
        world.stream.add_shard(shard, &[]);
        for key in ["x", "y"] {
            world.stream.put(shard, key, 55);
        }
    }
    run_for(&world, MappingConfig { parallelization_factor: 3, ..config() }, Duration::from_secs(5)).await;
    let done = world.function.done();
    assert_eq!((done.len(), distinct(&done)), (330, 330));
    assert_first_successes_in_order(&done);
    assert_eq!(world.checkpoint("a"), Some(110));
    let metrics = world.metrics.snapshot();
    assert_eq!((metrics.records_invoked, metrics.function_errors, metrics.port_errors), (330, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn errors_and_panics_of_every_port_lose_nothing_and_stop_nothing() {
    let world = World::faulty();
    for shard in ["a", "b"] {
        world.stream.add_shard(shard, &[]);
        for key in ["x", "y", "z"] {
            world.stream.put(shard, key, 40);
        }
    }
    world.stream.add_shard("c", &["a", "b"]);
    world.stream.put("c", "x", 30);
    let config = MappingConfig { parallelization_factor: 2, ..config() };
    run_for(&world, config, Duration::from_secs(120)).await;
    let done = world.function.done();
    assert_eq!(distinct(&done), 270);
    assert_first_successes_in_order(&done);
    assert_eq!(world.checkpoint("c"), Some(30));
    let metrics = world.metrics.snapshot();
    assert!(metrics.port_errors > 0 && metrics.function_errors > 0, "{metrics:?}");
}

#[tokio::test(start_paused = true)]
async fn what_has_no_retry_left_goes_to_the_destination_though_it_fails_now_and_then() {
    let world = World::faulty();
    world.stream.add_shard("a", &[]);
    world.stream.put("a", "x", 100);
    let config = MappingConfig { maximum_retry_attempts: Some(0), batch_size: 5, ..config() };
    run_for(&world, config, Duration::from_secs(120)).await;
    let discarded: usize =
        world.destination.taken.lock().unwrap().iter().map(|batch| batch.record.kinesis_batch_info.batch_size).sum();
    assert!(discarded > 0);
    assert_eq!(distinct(&world.function.done()) + discarded, 100);
    assert_eq!(world.metrics.snapshot().records_discarded as usize, discarded);
    assert_eq!(world.checkpoint("a"), Some(100));
}

#[tokio::test(start_paused = true)]
async fn children_that_come_up_while_it_runs_are_read_after_their_parents() {
    let world = World::default();
    world.stream.add_shard("parent", &[]);
    world.stream.put("parent", "x", 35);
    let stream = Arc::clone(&world.stream);
    let reshard = async move {
        sleep(Duration::from_secs(2)).await;
        stream.put("parent", "x", 35);
        for child in ["child-1", "child-2"] {
            stream.add_shard(child, &["parent"]);
            stream.put(child, "x", 20);
        }
        sleep(Duration::from_secs(3)).await;
    };
    run(world.mapping(config()), reshard).await.unwrap();
    let done = world.function.done();
    assert_eq!((done.len(), distinct(&done)), (110, 110));
    let first_child = done.iter().position(|record| record.starts_with("child")).unwrap();
    assert_eq!(first_child, 70);
}

#[tokio::test(start_paused = true)]
async fn children_start_at_their_oldest_record_even_where_the_mapping_began_at_the_latest() {
    let world = World::default();
    world.stream.add_shard("parent", &[]);
    world.stream.put("parent", "x", 5);
    let config = MappingConfig { starting_position: StartingPosition::Latest, ..config() };
    run_for(&world, config.clone(), Duration::from_secs(1)).await;
    assert_eq!(world.function.done().len(), 0);
    // While no mapping runs, the parent gets more and is split.
    world.stream.put("parent", "x", 2);
    world.stream.add_shard("child", &["parent"]);
    world.stream.put("child", "x", 3);
    run_for(&world, config, Duration::from_secs(1)).await;
    let done = world.function.done();
    assert_eq!(done, ["parent/x/6", "parent/x/7", "child/x/1", "child/x/2", "child/x/3"]);
}

#[tokio::test(start_paused = true)]
async fn shutdown_finishes_the_batch_in_flight_and_saves_its_checkpoint() {
    let function = KeepingFunction { takes: Duration::from_secs(5), ..KeepingFunction::default() };
    let world = World { function: Arc::new(function), ..World::default() };
    world.stream.add_shard("a", &[]);
    world.stream.put("a", "x", 100);
    let start = Instant::now();
    run_for(&world, config(), Duration::from_secs(7)).await;
    assert_eq!(start.elapsed().as_secs(), 10, "the second batch is in flight from 5 s to 10 s");
    assert_eq!(world.function.done().len(), 20);
    assert_eq!(world.checkpoint("a"), Some(20));
    assert_eq!(world.function.sent.lock().unwrap().len(), 20, "nothing new was sent");
    run_for(&world, config(), Duration::from_secs(60)).await;
    let done = world.function.done();
    assert_eq!((done.len(), distinct(&done)), (100, 100), "a restart goes on where the first run ended");
}

#[tokio::test(start_paused = true)]
async fn a_function_that_takes_too_long_is_a_function_error() {
    let function = KeepingFunction { takes: Duration::from_secs(5), ..KeepingFunction::default() };
    let world = World { function: Arc::new(function), ..World::default() };
    world.stream.add_shard("a", &[]);
    world.stream.put("a", "x", 1);
    let config =
        MappingConfig { function_timeout: Duration::from_secs(3), maximum_retry_attempts: Some(1), ..config() };
    run_for(&world, config, Duration::from_secs(20)).await;
    assert_eq!(world.function.done().len(), 0);
    assert_eq!(world.function.sent.lock().unwrap().len(), 2);
    let taken = world.destination.taken.lock().unwrap();
    let context = taken[0].record.response_context.as_ref().unwrap();
    assert_eq!(context.function_error.as_deref(), Some("Unhandled"));
    assert_eq!(taken[0].record.request_context.request_id.len(), 36);
}

#[tokio::test(start_paused = true)]
async fn an_idle_shard_is_read_once_a_second_and_news_are_delivered_at_once() {
    let world = World::default();
    world.stream.add_shard("a", &[]);
    let (stream, function) = (Arc::clone(&world.stream), Arc::clone(&world.function));
    let news = async move {
        sleep(Duration::from_millis(100_500)).await;
        let reads = stream.reads.load(SeqCst);
        assert!((100..=102).contains(&reads), "{reads} reads in 100 s");
        stream.put("a", "x", 1);
        sleep(Duration::from_millis(10)).await;
        assert_eq!(function.done().len(), 1);
    };
    run(world.mapping(config()), news).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_expires_while_it_runs_ends_and_lets_its_children_start() {
    let world = World::default();
    world.stream.add_shard("a", &[]);
    world.stream.put("a", "x", 5);
    let stream = Arc::clone(&world.stream);
    let expiry = async move {
        sleep(Duration::from_secs(5)).await;
        stream.expire("a");
        stream.add_shard("b", &["a"]);
        stream.put("b", "x", 5);
        sleep(Duration::from_secs(30)).await;
    };
    run(world.mapping(config()), expiry).await.unwrap();
    assert_eq!(world.function.done().len(), 10);
}

#[tokio::test(start_paused = true)]
async fn settings_out_of_range_are_refused_at_once() {
    let world = World::default();
    let refused = run(world.mapping(MappingConfig { batch_size: 0, ..config() }), std::future::pending()).await;
    assert_eq!(refused.unwrap_err().broken, ["batch_size: must be 1 to 10000"]);
}
