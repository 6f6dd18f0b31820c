//! A failing schedule, told for people.

use crate::model::{Schedule, Step};
use crate::run::Outcome;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use telemetry::Timestamp;

/// What entered, what could go wrong, and all that happened up to the violation.
pub fn story(schedule: &Schedule, told: &Outcome) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    for (at, device) in schedule.devices.iter().enumerate() {
        let used = readings_used(schedule, at);
        if !used.is_empty() {
            _ = writeln!(text, "device {at}: a name of {} bytes", device.id.as_str().len());
        }
        for reading in used {
            let of = &device.readings[reading];
            let timestamp = Timestamp::from_nanosecond(of.timestamp_ns).unwrap_or(Timestamp::UNIX_EPOCH);
            let event_id = of.event_id.as_deref().map(|id| format!(", {id}")).unwrap_or_default();
            _ = writeln!(text, "    reading {reading}: {timestamp}{event_id}");
        }
    }
    _ = writeln!(text, "{:?}", schedule.settings);
    _ = writeln!(text, "{:?}", schedule.mapping);
    let faults: Vec<&str> = schedule.faults.iter().map(|fault| fault.text()).collect();
    _ = writeln!(text, "faults, once in {}: {}", schedule.fault_one_in, faults.join("; "));
    for line in &told.story {
        _ = writeln!(text, "{line}");
    }
    match &told.violation {
        Some(violation) => _ = writeln!(text, "seed {} breaks at step {}: {violation}", schedule.seed, told.steps),
        None => _ = writeln!(text, "seed {} breaks nothing", schedule.seed),
    }
    text
}

fn readings_used(schedule: &Schedule, device: usize) -> BTreeSet<usize> {
    let parts = schedule.steps.iter().flat_map(|step| match step {
        Step::Put { record, .. } => &record.parts[..],
        _ => &[],
    });
    parts.filter(|part| part.device == device).flat_map(|part| part.readings.iter().copied()).collect()
}
