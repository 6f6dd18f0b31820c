//! Makes a schedule of a seed: small, and with limits so tight that every branch of the planner is near.

use crate::coverage::Fault;
use crate::model::{Device, Mapping, Part, READINGS_MAX, Reading, Record, Schedule, Step};
use crate::random::Random;
use crate::run::START_NS;
use aggregator::{LedgerMode, Settings};
use std::time::Duration;
use telemetry::{DeviceId, RejectReason};

const SECOND_NS: i128 = 1_000_000_000;
const DAY_NS: i128 = 86_400 * SECOND_NS;

/// The schedule of `seed`.
pub fn schedule(seed: u64) -> Schedule {
    let mut random = Random::new(seed ^ 0x5eed_5eed_5eed_5eed);
    let devices: Vec<Device> = (0..random.pick(&[1, 1, 1, 2, 3])).map(|at| device(at, &mut random)).collect();
    let mut settings = settings(&mut random);
    // Of its own seed, so that all else of a schedule is as it was before there was this setting.
    settings.letters_per_record_max = Random::new(seed ^ 0x01e7_7e25).pick(&[500, 500, 2, 1]);
    let mut of_caches = Random::new(seed ^ 0x000c_ac8e);
    // No cache, one state or two, or all of them.
    settings.cache_bytes_max = of_caches.pick(&[0, 4_000, 1 << 20, 1 << 20, 1 << 20]);
    let steps = steps(&devices, &settings, &mut random);
    let faults = match random.below(8) {
        0 => Vec::new(),
        1 => Fault::ALL.to_vec(),
        _ => Fault::ALL.iter().copied().filter(|_| random.one_in(3)).collect(),
    };
    let clock_behind_seconds = if faults.contains(&Fault::ClockBehind) { random.below(20 * 3_600) as i64 } else { 0 };
    Schedule {
        seed,
        instances: of_caches.between(1, 3),
        mapping: mapping(&mut random),
        fault_one_in: random.pick(&[4, 8, 16, 32]),
        devices,
        settings,
        steps,
        faults,
        clock_behind_seconds,
    }
}

/// A device's readings: most in order, some of them of one identity.
fn device(at: usize, random: &mut Random) -> Device {
    // The longer the name, the less room the window has.
    let name = if random.one_in(3) { format!("device-{at}") } else { format!("{at}{}", "d".repeat(127)) };
    let most = random.pick(&[3, 3, 5, 5, 8, READINGS_MAX]);
    let count = random.between(1, most);
    let with_event_id = random.pick(&[0, 0, 2, 1]);
    let style = random.below(5);
    let mut readings: Vec<Reading> = Vec::with_capacity(count);
    for n in 0..count {
        if n > 0 && random.one_in(12) {
            let same = random.below(n);
            readings.push(readings[same].clone());
            continue;
        }
        let timestamp_ns = START_NS - before(style, n as i128, random);
        let event_id =
            (with_event_id > 0 && random.one_in(with_event_id)).then(|| format!("event-{}", random.below(60)));
        readings.push(Reading { timestamp_ns, event_id });
    }
    // The name is 9 to 128 letters and digits.
    let id = DeviceId::parse(name).unwrap_or_else(|_| unreachable!("names of schedules are valid"));
    Device { id, readings }
}

/// How long before the schedule's start the `n`th reading was taken.
fn before(style: usize, n: i128, random: &mut Random) -> i128 {
    let jitter = random.below(1_000_000_000) as i128;
    let late = match random.below(12) {
        0 => random.below(48) as i128 * 3_600 * SECOND_NS,
        1 => random.below(200) as i128 * DAY_NS,
        _ => 0,
    };
    let regular = match style {
        0 => (40 - n) * 60 * SECOND_NS,
        1 => (40 - n) * SECOND_NS + jitter,
        2 => (40 - n) * DAY_NS,
        3 => (40 - n) / 8 * 3_600 * SECOND_NS + jitter % 3,
        _ => random.below(400) as i128 * 3_600 * SECOND_NS + jitter,
    };
    // A few lie in the future, for a while or too far.
    if random.one_in(200) { -(random.below(600) as i128) * SECOND_NS } else { regular + late }
}

fn mapping(random: &mut Random) -> Mapping {
    let gives_up = random.one_in(4);
    Mapping {
        batch_size: random.pick(&[1, 2, 5, 10, 30]),
        parallelization_factor: random.pick(&[1, 1, 2]),
        bisect: random.one_in(2),
        retries: (gives_up && random.one_in(2)).then(|| random.below(3) as u32),
        record_age_seconds: (gives_up && random.one_in(2)).then_some(60),
        failures_keep_payload: random.one_in(2),
    }
}

fn settings(random: &mut Random) -> Settings {
    Settings {
        ledger: ledger(random),
        pages_max: random.pick(&[1, 2, 3, 99]),
        page_bytes_max: random.pick(&[24, 60, 256 * 1_024]),
        item_bytes_reserved: random.pick(&[0, 300, 450, 600]),
        write_bytes_max: random.pick(&[80, 3_000_000]),
        concurrency: random.pick(&[1, 64]),
        replans_max: random.pick(&[0, 1, 8]),
        ..Settings::default()
    }
}

fn ledger(random: &mut Random) -> LedgerMode {
    match random.below(8) {
        0 | 1 => LedgerMode::Window,
        2 | 3 => LedgerMode::Full { retention: Some(Duration::from_secs(random.pick(&[1, 3, 40]) * 86_400)) },
        _ => LedgerMode::Full { retention: None },
    }
}

fn steps(devices: &[Device], settings: &Settings, random: &mut Random) -> Vec<Step> {
    let mut steps = puts(devices, random);
    let switches = if random.one_in(3) { random.between(1, 3) } else { 0 };
    for _ in 0..switches {
        let ledger = ledger(random);
        insert(&mut steps, Step::Deploy(Settings { ledger, ..settings.clone() }), random);
    }
    for _ in 0..random.below(4) {
        let step = random.pick(&[Step::Split, Step::Merge]);
        insert(&mut steps, step, random);
    }
    if random.one_in(6) {
        let device = random.below(devices.len());
        let damage = random.pick(&[Step::CorruptState(device), Step::CorruptPage(device)]);
        let at = insert(&mut steps, damage, random);
        let repair = random.between(at + 1, steps.len());
        steps.insert(repair, Step::Repair);
        if random.one_in(2) {
            steps.push(Step::Redrive { asked: false });
        }
    }
    for (step, one_in) in [
        (Step::Rewind, 4),
        (Step::RecreateStream, 8),
        (Step::StartPoller, 4),
        (Step::CrashPoller, 6),
        (Step::Redrive { asked: false }, 3),
        (Step::Redrive { asked: true }, 6),
        (Step::RedriveDiscarded, 4),
        (Step::PutBad(random.pick(BAD)), 5),
        (Step::Pass(random.pick(&[30, 400, 90_000])), 4),
    ] {
        if random.one_in(one_in) {
            insert(&mut steps, step, random);
        }
    }
    let expires = |ledger: &LedgerMode| matches!(ledger, LedgerMode::Full { retention: Some(_) });
    let retention = steps.iter().any(|step| matches!(step, Step::Deploy(settings) if expires(&settings.ledger)));
    if retention || expires(&settings.ledger) {
        for _ in 0..random.below(4) {
            let days = random.pick(&[1, 2, 4, 45]);
            insert(&mut steps, Step::Pass(days * 86_400), random);
        }
        if random.one_in(3) {
            come_again_later(&mut steps, settings, random);
        }
    }
    steps
}

/// When pages have expired, everything is put again, perhaps after the retention was lifted or lengthened.
fn come_again_later(steps: &mut Vec<Step>, settings: &Settings, random: &mut Random) {
    let put = |step: &Step| if let Step::Put { record, .. } = step { Some(record.clone()) } else { None };
    let again: Vec<Record> = steps.iter().filter_map(put).filter(|_| random.one_in(2)).collect();
    if random.one_in(2) {
        let retention = random.pick(&[None, Some(Duration::from_secs(60 * 86_400))]);
        steps.push(Step::Deploy(Settings { ledger: LedgerMode::Full { retention }, ..settings.clone() }));
    }
    steps.push(Step::Pass(random.pick(&[3, 6, 50]) * 86_400));
    steps.push(Step::Expire);
    steps.extend(again.into_iter().map(|record| Step::Put { record, again: true }));
}

const BAD: &[RejectReason] = &[RejectReason::MalformedJson, RejectReason::InvalidReading, RejectReason::BadAggregate];

/// Puts a step somewhere, and says where.
fn insert(steps: &mut Vec<Step>, step: Step, random: &mut Random) -> usize {
    let at = random.below(steps.len() + 1);
    steps.insert(at, step);
    at
}

/// Every reading is put at least once; some again, soon or at the very end.
fn puts(devices: &[Device], random: &mut Random) -> Vec<Step> {
    let mut parts: Vec<Part> = Vec::new();
    for (device, of) in devices.iter().enumerate() {
        let mut order: Vec<usize> = (0..of.readings.len()).collect();
        for _ in 0..random.below(of.readings.len()) {
            let (one, other) = (random.below(order.len()), random.below(order.len()));
            order.swap(one, other);
        }
        let longest = random.pick(&[1, 4, 12, 40]);
        let mut rest = &order[..];
        while !rest.is_empty() {
            let (readings, others) = rest.split_at(random.between(1, longest).min(rest.len()));
            rest = others;
            let series = readings.len() > 1 || random.one_in(4);
            parts.push(Part { device, readings: readings.to_vec(), series, foreign_key: random.one_in(150) });
        }
    }
    // The devices' parts are mixed, each device's in order.
    let mut queues: Vec<std::collections::VecDeque<Part>> = devices.iter().map(|_| Default::default()).collect();
    parts.into_iter().for_each(|part| queues[part.device].push_back(part));
    let mut steps = Vec::new();
    let aggregates = random.one_in(3);
    let again_one_in = random.pick(&[2, 4, 10, 10]);
    while queues.iter().any(|queue| !queue.is_empty()) {
        let take = if aggregates { random.between(1, 3) } else { 1 };
        let mut of_record = Vec::new();
        while of_record.len() < take && queues.iter().any(|queue| !queue.is_empty()) {
            let queue = random.below(queues.len());
            of_record.extend(queues[queue].pop_front());
        }
        let record = Record { parts: of_record, aggregate: aggregates };
        steps.push(Step::Put { record: record.clone(), again: false });
        if random.one_in(again_one_in) {
            let at = random.between(steps.len().saturating_sub(3), steps.len());
            steps.insert(at.max(1), Step::Put { record: record.clone(), again: true });
        }
        if random.one_in(again_one_in * 2) {
            steps.push(Step::Put { record, again: true });
            let last = steps.len() - 1;
            let other = random.below(steps.len());
            steps.swap(last, other);
        }
    }
    if random.one_in(3) {
        let again: Vec<Record> = steps
            .iter()
            .filter_map(|step| if let Step::Put { record, .. } = step { Some(record.clone()) } else { None })
            .filter(|_| random.one_in(3))
            .collect();
        steps.extend(again.into_iter().map(|record| Step::Put { record, again: true }));
    }
    steps
}
