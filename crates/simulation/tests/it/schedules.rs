//! The aggregator under every fault, over as many schedules as `SIMULATION_SCHEDULES` says.

use simulation::model::READINGS_MAX;
use simulation::{arbitrary, campaign, run, run_told, shrink, story};
use std::collections::BTreeSet;
use std::time::Instant;

/// A schedule is mostly small, short-lived pieces of memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

/// > A reading is counted at most once, however often it is posted, delivered, redriven or replayed.
///
/// > Every reading that the stream took is counted, or stands in the dead-letter queue or the on-failure destination,
/// > whole.
///
/// > What was counted stays counted, and the statistics are at every moment those of exactly the readings counted.
///
/// > Whatever is delivered, a write keeps the limits of the service: no batch is too large to be processed.
///
/// > When nothing fails any more, everything that is pending comes to an end.
#[test]
fn nothing_is_counted_twice_or_lost_whatever_fails() {
    let schedules = setting("SIMULATION_SCHEDULES").unwrap_or(10_000);
    let first = setting("SIMULATION_SEED").unwrap_or(1);
    let begun = Instant::now();
    let campaign = campaign(first, schedules, 2);
    let seconds = begun.elapsed().as_secs_f64();
    println!("{}", campaign.coverage);
    println!("{} schedules, seeds {first} to {}, in {seconds:.1} s", campaign.schedules, first + schedules - 1);
    if let Some(seed) = campaign.failing_seed {
        let failing = arbitrary::schedule(seed);
        let outcome = run(&failing);
        println!("seed {seed} fails at step {}: {}", outcome.steps, outcome.violation.unwrap());
        let (small, told) = shrink::shrink(&failing);
        println!("shrunk to {} steps, told in {} lines", small.steps.len(), told.story.len());
        println!("{}", story::story(&small, &told));
        panic!("seed {seed}: {}", told.violation.unwrap());
    }
    assert_eq!(campaign.schedules, schedules);
    assert_eq!(campaign.coverage.missing(), [""; 0], "every fault and branch must have happened");
}

#[test]
fn a_seed_replays_to_the_same_step() {
    for seed in 0..300 {
        let schedule = arbitrary::schedule(seed);
        let (first, second) = (run(&schedule), run(&schedule));
        assert_eq!(first, second, "seed {seed}");
        let told = run_told(&schedule);
        assert_eq!((first.steps, first.trace), (told.steps, told.trace), "telling the story changes nothing");
    }
}

#[test]
fn readings_have_values_whose_checks_differ() {
    // Otherwise a conflict could pass as a duplicate, once in 65,536, and the oracle would not understand.
    let checks: BTreeSet<u16> = (0..READINGS_MAX).map(|n| telemetry::value_check((1u64 << n) as f64)).collect();
    assert_eq!(checks.len(), READINGS_MAX);
}
