//! The simulation catches wrong protocols: each of them within the schedules of one default run.

use aggregator::{Mutant, Settings};
use simulation::{How, arbitrary, campaign, run, shrink, story};
use std::sync::Arc;

/// As many as `nothing_is_counted_twice_or_lost_whatever_fails` runs by default.
const BUDGET: u64 = 200_000;

fn how(mutant: Mutant) -> How {
    How { alter: Arc::new(move |settings: &mut Settings| settings.mutant = Some(mutant)), ..How::default() }
}

#[test]
fn every_wrong_protocol_is_caught() {
    let mut survivors = Vec::new();
    println!("{:>9}  {:<15}  wrong protocol", "schedules", "guarantee");
    for mutant in Mutant::ALL {
        let how = how(*mutant);
        let campaign = campaign(1, BUDGET, 2, &how);
        match campaign.failing_seed {
            Some(seed) => {
                let violation = run(&arbitrary::schedule(seed), &how).violation.expect("a failing seed fails again");
                let guarantee = format!("{:?}", violation.guarantee);
                println!("{seed:>9}  {guarantee:<15}  {}", mutant.text());
            }
            None => survivors.push(mutant.text()),
        }
    }
    assert!(Mutant::ALL.len() >= 12);
    assert_eq!(survivors, [""; 0], "these were not caught in {BUDGET} schedules");
}

#[test]
fn a_failing_schedule_shrinks_to_a_story_that_a_person_can_read() {
    for mutant in [Mutant::FailedConditionIsSuccess, Mutant::PageAfterItem, Mutant::CountedWithoutLookUp] {
        let how = how(mutant);
        let seed = campaign(1, BUDGET, 1, &how).failing_seed.expect("the mutant is caught");
        let (small, told) = shrink::shrink(&arbitrary::schedule(seed), &how);
        println!("# {}\n{}", mutant.text(), story::story(&small, &told));
        assert!(told.violation.is_some());
        assert!(small.steps.len() <= 12, "{} steps for {}", small.steps.len(), mutant.text());
        assert!(told.story.len() <= 80, "{} lines for {}", told.story.len(), mutant.text());
    }
}
