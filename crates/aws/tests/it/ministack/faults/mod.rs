//! The real pipeline, from the producer to the table and the dead-letter queue, over services on which everything goes
//! wrong that does on AWS: counted once, nothing lost, or the run says which seed broke what.
//!
//! The stream is ferrokinesis in this process; table, queue and bucket are ministack's. Which call goes wrong, and how,
//! is chosen by the seed and the call's number among those of its operation; how calls of different operations
//! interleave is the machine's choice, so that a seed is a strong hint and no replay.

mod chaos;
mod entries;
mod fault;
mod lambda;
mod lie;
mod oracle;
mod refusal;
mod run;
mod world;

use fault::Coverage;
use futures::StreamExt as _;
use lie::Lie;
use run::{Outcome, play};
use std::time::Instant;

/// Schedules at once: they mostly wait.
const AT_ONCE: usize = 6;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

/// Plays schedules until one breaks something; says how many were played, and what broke.
async fn campaign(
    seeds: std::ops::Range<u64>,
    lie: Option<Lie>,
) -> (u64, usize, Coverage, Option<(u64, String, Vec<String>)>) {
    let one = |seed| async move { (seed, play(seed, lie).await) };
    let mut outcomes = futures::stream::iter(seeds).map(one).buffer_unordered(AT_ONCE);
    let (mut played, mut readings, mut coverage) = (0, 0, Coverage::default());
    while let Some((seed, Outcome { coverage: of_one, violation, readings: of_one_readings })) = outcomes.next().await {
        played += 1;
        readings += of_one_readings;
        coverage.merge(&of_one);
        if let Some((broken, journal)) = violation {
            return (played, readings, coverage, Some((seed, broken, journal)));
        }
    }
    (played, readings, coverage, None)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readings_are_counted_once_and_none_is_lost_whatever_fails_of_the_services() {
    let first = setting("FAULTS_SEED").unwrap_or(1);
    let schedules = setting("FAULTS_SCHEDULES").unwrap_or(60);
    let begun = Instant::now();
    let (played, readings, coverage, violation) = campaign(first..first + schedules, None).await;
    println!("{coverage}");
    let (seconds, faults) = (begun.elapsed().as_secs_f64(), coverage.faults());
    println!("{played} schedules from seed {first} on, {readings} readings, {faults} faults, in {seconds:.1} s");
    if let Some((seed, broken, journal)) = violation {
        println!("{}", journal.join("\n"));
        panic!("seed {seed}: {broken}");
    }
    assert_eq!(played, schedules);
    assert_eq!(coverage.missing(), [""; 0], "every fault must have befallen every call that it can");
}

/// Each of these, alone, is caught within so many schedules.
async fn are_caught(lies: &[Lie]) {
    const BUDGET: u64 = 100;
    let mut survivors = Vec::new();
    for lie in lies {
        let begun = Instant::now();
        match campaign(1..1 + BUDGET, Some(*lie)).await {
            (played, .., Some((seed, broken, _))) => {
                let seconds = begun.elapsed().as_secs_f64();
                println!("{played:>4} schedules, {seconds:>5.1} s  {}\n      seed {seed}: {broken}", lie.text());
            }
            (.., None) => survivors.push(lie.text()),
        }
    }
    assert_eq!(survivors, [""; 0], "these were not caught in {BUDGET} schedules");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_drops_failed_entries_is_caught() {
    are_caught(&[Lie::FailedRecordsAreStored]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes about a minute, and what it catches depends on how calls interleave"]
async fn every_wrong_port_is_caught() {
    are_caught(&Lie::ALL).await;
}
