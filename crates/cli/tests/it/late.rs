//! Late readings of busy days: what they cost in memory, and that the others go on.
//!
//! `.ci/run late` runs these at full size, on an optimised program.

use crate::support::{PATIENCE, Pipeline, assert_reconciled};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// 2026-01-31T00:00:00Z.
const DAY_START_SECONDS: i64 = 1_769_817_600;
const DAY_NS: i64 = 86_400_000_000_000;
const MIB: u64 = 1 << 20;

/// How many readings a test posts: few, or as many as the environment says.
fn size(variable: &str, few: usize) -> usize {
    std::env::var(variable).ok().map_or(few, |text| text.parse().expect("a number"))
}

/// The instant `at_ns` nanoseconds into the day.
fn timestamp(at_ns: i64) -> String {
    let at = telemetry::Timestamp::from_nanosecond(i128::from(DAY_START_SECONDS) * 1_000_000_000 + i128::from(at_ns));
    at.expect("within RFC 3339's years").to_string()
}

/// A device's post: readings `from`, `from + step`, … below `of`, evenly over the day.
fn body(device: &str, indexes: impl Iterator<Item = usize>, of: usize) -> Value {
    let gap_ns = DAY_NS / of as i64;
    let readings: Vec<Value> = indexes
        .map(|index| json!({"timestamp": timestamp(index as i64 * gap_ns), "value": (index % 977) as f64 / 100.0}))
        .collect();
    json!({"device_id": device, "readings": readings})
}

fn post(pipeline: &Pipeline, path: &str, body: &Value) {
    // A full pipeline says when to come again.
    loop {
        match pipeline.post(path, body) {
            (200, _) => return,
            (429 | 503, _) => std::thread::sleep(Duration::from_millis(50)),
            (status, answer) => panic!("{status}: {answer}"),
        }
    }
}

/// Posts everything over a few connections, 500 readings a post.
fn fill(pipeline: &Pipeline, devices: &[String], readings: usize) {
    let posts: Vec<(usize, usize)> =
        (0..readings).step_by(500).flat_map(|from| (0..devices.len()).map(move |device| (from, device))).collect();
    let lanes = devices.len().min(8);
    std::thread::scope(|scope| {
        for lane in 0..lanes {
            let mine = posts.iter().filter(move |(_, device)| device % lanes == lane);
            scope.spawn(move || {
                for &(from, device) in mine {
                    let indexes = from..(from + 500).min(readings);
                    post(pipeline, "/data/series", &body(&devices[device], indexes, readings));
                }
            });
        }
    });
}

/// Bytes of memory by the kernel's account: `VmRSS` now, or `VmHWM`, the peak.
fn memory(pipeline: &Pipeline, of: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pipeline.id())).expect("Linux's /proc");
    let line = status.lines().find(|line| line.starts_with(of)).expect("a line of memory");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("KiB") * 1024
}

/// Lets the peak begin at what is resident now.
fn reset_peak(pipeline: &Pipeline) {
    std::fs::write(format!("/proc/{}/clear_refs", pipeline.id()), "5").expect("its own process");
}

fn count(pipeline: &Pipeline, device: &str) -> Value {
    pipeline.get(&format!("/?device_id={device}")).1["count"].clone()
}

/// Sends each device one reading of the middle of its full day, which nothing has counted yet, and another twice.
fn one_late_reading_each(devices: usize, readings: usize) {
    let directory = tempfile::tempdir().unwrap();
    let pipeline = Pipeline::start(directory.path(), &["--port", "0"]);
    let devices: Vec<String> = (0..devices).map(|number| format!("device-{number}")).collect();
    fill(&pipeline, &devices, readings);
    pipeline.settled();
    let before = memory(&pipeline, "VmRSS:");
    reset_peak(&pipeline);

    let gap_ns = DAY_NS / readings as i64;
    let late = json!({"timestamp": timestamp((readings as i64 / 2) * gap_ns + gap_ns / 2), "value": 1.0});
    let again =
        json!({"timestamp": timestamp((readings as i64 / 2) * gap_ns), "value": (readings / 2 % 977) as f64 / 100.0});
    let start = Instant::now();
    for device in &devices {
        post(&pipeline, "/data/series", &json!({"device_id": device, "readings": [late, again]}));
    }
    while devices.iter().any(|device| count(&pipeline, device) != readings + 1) {
        assert!(start.elapsed() < PATIENCE, "the late readings are not counted");
        std::thread::sleep(Duration::from_millis(10));
    }
    let visible_in = start.elapsed();
    let accounts = pipeline.settled();
    let (peak, total) = (memory(&pipeline, "VmHWM:"), devices.len() * readings);
    println!(
        "{total} readings of {} devices, a late one each: visible in {visible_in:?}, {} -> {} MiB",
        devices.len(),
        before / MIB,
        peak / MIB
    );
    assert_reconciled(&accounts);
    assert_eq!((&accounts["duplicates"], &accounts["counted"]), (&json!(devices.len()), &json!(total + devices.len())));
    assert!(peak <= 256 * MIB, "{} MiB", peak / MIB);
    assert!(peak.saturating_sub(before) <= 32 * MIB, "{} MiB -> {} MiB", before / MIB, peak / MIB);
    assert!(visible_in <= Duration::from_secs(5), "{visible_in:?}");
}

#[test]
fn a_late_reading_of_a_busy_day_costs_little_memory() {
    one_late_reading_each(1, size("STREAMGAUGE_LATE_DAY", 40_000));
}

#[test]
fn late_readings_of_many_devices_at_once_cost_little_memory() {
    one_late_reading_each(64, size("STREAMGAUGE_LATE_DEVICES_DAY", 1_000));
}

#[test]
fn slightly_shuffled_posts_stay_within_memory() {
    let readings = size("STREAMGAUGE_SHUFFLED", 40_000);
    let directory = tempfile::tempdir().unwrap();
    let pipeline = Pipeline::start(directory.path(), &["--port", "0"]);
    // Each of four posters takes every fourth reading of the next 2,000, so that their posts interleave.
    let (next, tenths) = (AtomicUsize::new(0), std::sync::Mutex::new(Vec::new()));
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let post_number = next.fetch_add(1, Ordering::Relaxed);
                    let block = post_number / 4 * 2_000;
                    if block >= readings {
                        return;
                    }
                    let indexes = (block + post_number % 4..(block + 2_000).min(readings)).step_by(4);
                    post(&pipeline, "/data/series", &body("shuffled", indexes, readings));
                    tenths.lock().unwrap().push(start.elapsed());
                    // Posted is not yet counted: the rates that count are those of readings counted.
                    while pipeline.get("/pipeline").1["pending"].as_u64() > Some(20_000) {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                }
            });
        }
    });
    let accounts = pipeline.settled();
    let ended = tenths.into_inner().unwrap();
    let tenth = ended.len() / 10;
    let first = ended[tenth - 1].as_secs_f64();
    let last = (start.elapsed() - ended[ended.len() - 1 - tenth]).as_secs_f64();
    let peak = memory(&pipeline, "VmHWM:");
    println!(
        "{readings} readings, four posters: first tenth in {first:.2} s, last in {last:.2} s, ratio {:.2}; {} MiB",
        first / last,
        peak / MIB
    );
    assert_reconciled(&accounts);
    assert_eq!((&accounts["counted"], &count(&pipeline, "shuffled")), (&json!(readings), &json!(readings)));
    assert!(peak <= 120 * MIB, "{} MiB", peak / MIB);
    if readings >= 2_000_000 {
        assert!(first / last >= 0.5, "the last tenth took {last:.2} s, the first {first:.2} s");
    }
}
