//! The aggregator under every fault, over as many schedules as `SIMULATION_SCHEDULES` says.

use simulation::{How, arbitrary, campaign, shrink, story};
use std::time::Instant;

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

#[test]
fn nothing_is_counted_twice_or_lost_whatever_fails() {
    let schedules = setting("SIMULATION_SCHEDULES").unwrap_or(200_000);
    let first = setting("SIMULATION_SEED").unwrap_or(1);
    let begun = Instant::now();
    let campaign = campaign(first, schedules, 2, &How::default());
    let seconds = begun.elapsed().as_secs_f64();
    println!("{}", campaign.coverage);
    println!("{} schedules, seeds {first} to {}, in {seconds:.1} s", campaign.schedules, first + schedules - 1);
    if let Some(seed) = campaign.failing_seed {
        let failing = arbitrary::schedule(seed);
        let outcome = simulation::run(&failing, &How::default());
        println!("seed {seed} fails at step {}: {}", outcome.steps, outcome.violation.unwrap());
        let (small, told) = shrink::shrink(&failing, &How::default());
        println!("{}", story::story(&small, &told));
        panic!("seed {seed}: {}", told.violation.unwrap());
    }
    assert_eq!(campaign.schedules, schedules);
    assert_eq!(campaign.coverage.missing(), [""; 0], "every fault and branch must have happened");
}
