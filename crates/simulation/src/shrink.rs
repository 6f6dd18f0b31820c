//! Makes a failing schedule small enough for a person to read.

use crate::model::{Schedule, Step};
use crate::oracle::Guarantee;
use crate::run::{Outcome, run, run_told};

/// How many orders of events are tried for every smaller schedule.
const SEEDS: u64 = 24;

/// A schedule that breaks the same guarantee with fewer steps, faults and readings, and its run with the story told.
pub fn shrink(schedule: &Schedule) -> (Schedule, Outcome) {
    let mut smallest = schedule.clone();
    let Some(violation) = run(&smallest).violation else {
        return (smallest, run_told(schedule));
    };
    let guarantee = violation.guarantee;
    loop {
        let before = weight(&smallest);
        for candidate in candidates(&smallest) {
            // Some candidates were made from what has shrunk since; each must be smaller than the smallest.
            if weight(&candidate) < weight(&smallest)
                && let Some(found) = fails(candidate, guarantee)
            {
                smallest = found;
            }
        }
        if weight(&smallest) == before {
            break;
        }
    }
    let told = run_told(&smallest);
    (smallest, told)
}

/// What a person has to read.
fn weight(schedule: &Schedule) -> usize {
    let put = |step: &Step| match step {
        Step::Put { record, .. } => 1 + record.parts.iter().map(|part| part.readings.len()).sum::<usize>(),
        _ => 1,
    };
    2 * schedule.steps.iter().map(put).sum::<usize>()
        + 2 * schedule.faults.len()
        + schedule.mapping.batch_size
        + usize::from(schedule.mapping.bisect)
        + schedule.mapping.parallelization_factor
}

fn fails(candidate: Schedule, guarantee: Guarantee) -> Option<Schedule> {
    let seed = candidate.seed;
    (0..SEEDS)
        .map(|more| Schedule { seed: seed.wrapping_add(more), ..candidate.clone() })
        .find(|candidate| run(candidate).violation.is_some_and(|violation| violation.guarantee == guarantee))
}

fn candidates(schedule: &Schedule) -> Vec<Schedule> {
    let mut candidates = Vec::new();
    let mut without = |change: &dyn Fn(&mut Schedule)| {
        let mut candidate = schedule.clone();
        change(&mut candidate);
        candidates.push(candidate);
    };
    without(&|one| one.faults.clear());
    let steps = schedule.steps.len();
    let mut width = steps / 2;
    while width > 0 {
        for from in (0..steps).step_by(width) {
            without(&|one| _ = one.steps.drain(from..steps.min(from + width)));
        }
        width /= 2;
    }
    for fault in 0..schedule.faults.len() {
        without(&|one| _ = one.faults.remove(fault));
    }
    for step in 0..steps {
        let Step::Put { record, .. } = &schedule.steps[step] else { continue };
        for part in 0..record.parts.len() {
            for reading in 0..record.parts[part].readings.len() {
                without(&|one| drop_reading(&mut one.steps[step], part, reading));
            }
        }
    }
    without(&|one| one.mapping.batch_size = 1);
    without(&|one| one.mapping.bisect = false);
    without(&|one| one.mapping.parallelization_factor = 1);
    candidates
}

fn drop_reading(step: &mut Step, part: usize, reading: usize) {
    let Step::Put { record, .. } = step else { return };
    if record.parts[part].readings.len() > 1 {
        record.parts[part].readings.remove(reading);
    } else if record.parts.len() > 1 {
        record.parts.remove(part);
    }
}
