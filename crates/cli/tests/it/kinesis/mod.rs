//! `streamgauge send --kinesis` and `mapping` against `ferrokinesis`, a Kinesis in this process: what stands in the stream is
//! what was sent, and the aggregator counts it.

mod mapping;
mod refused;
mod service;

use self::service::{Fault, Service};
use axum::http::StatusCode;
use ferrokinesis::store::StoreOptions;
use ports::{ShardId, StreamRecord};
use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};
use telemetry::{decode_record, parse_reading, visit_series};

/// The values of each device in the stream, in the order in which its shards are read, as far as they are readings of their
/// partition key.
fn values(records: &[(ShardId, StreamRecord)]) -> HashMap<String, Vec<f64>> {
    let mut devices: HashMap<String, Vec<f64>> = HashMap::new();
    for (_, record) in records {
        for decoded in decode_record(&record.data) {
            let key = decoded.partition_key.unwrap_or_else(|| record.partition_key.clone());
            let reading = decoded.outcome.unwrap();
            assert_eq!(reading.device_id.as_str(), key);
            devices.entry(key).or_default().push(reading.value);
        }
    }
    devices
}

/// Each device's values with those that a retry repeated left out.
fn first_of_each(devices: HashMap<String, Vec<f64>>) -> BTreeMap<String, Vec<f64>> {
    let first = |values: Vec<f64>| {
        let mut seen = std::collections::HashSet::new();
        values.into_iter().filter(|value| seen.insert(value.to_bits())).collect()
    };
    devices.into_iter().map(|(device, values)| (device, first(values))).collect()
}

/// JSON Lines of `devices` devices with `each` readings, device by turn; the values of each rise.
fn fleet(devices: usize, each: usize) -> String {
    let mut lines = String::new();
    for reading in 0..each {
        for device in 0..devices {
            let (minute, second) = (reading / 60, reading % 60);
            lines += &format!(
                "{{\"device_id\":\"device-{device}\",\"timestamp\":\"2026-01-01T00:{minute:02}:{second:02}Z\",\
                 \"value\":{reading}}}\n"
            );
        }
    }
    lines
}

fn rising(devices: usize, each: usize) -> BTreeMap<String, Vec<f64>> {
    let values: Vec<f64> = (0..each).map(|value| value as f64).collect();
    (0..devices).map(|device| (format!("device-{device}"), values.clone())).collect()
}

fn file(dir: &tempfile::TempDir, name: &str, text: &str) -> String {
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_worked_example_is_counted_whichever_way_it_is_packed() {
    let dir = tempfile::tempdir().unwrap();
    let csv = file(
        &dir,
        "kitchen.csv",
        "timestamp,value\n2026-01-01 00:00:00,35\n2026-01-01 00:01:00,40\n2026-01-01 00:02:00,123\n",
    );
    for arguments in [&["--batch", "1"][..], &[], &["--aggregate"], &["--aggregate", "--batch", "1"]] {
        let service = Service::start(4);
        let summary = service.send_all(&[&["--csv", &csv], arguments].concat());
        assert_eq!((&summary["accepted"], &summary["refused"], &summary["retried"]), (&3.into(), &0.into(), &0.into()));
        // Sent again, it is in the stream twice, and counted once.
        service.send_all(&[&["--csv", &csv], arguments].concat());
        let data_dir = tempfile::tempdir().unwrap();
        let statistics = service.count(data_dir.path(), &["kitchen"]).remove(0).expect("the device has statistics");
        assert_eq!((statistics.count, statistics.mean, statistics.median), (3, Some(66.0), Some(40.0)));
        // Sample standard deviation: the root of (31² + 26² + 57²) / 2.
        assert!((statistics.standard_deviation.unwrap() - 2443.0f64.sqrt()).abs() < 1e-12, "{arguments:?}");
    }
}

#[test]
fn a_record_is_exactly_a_reading_or_a_series_on_one_line_under_its_devices_key() {
    let service = Service::start(4);
    let dir = tempfile::tempdir().unwrap();
    let lines = file(&dir, "in.jsonl", &fleet(20, 7));
    for (batch, records) in [("1", 140), ("3", 60), ("500", 20)] {
        let before = service.records().len();
        let summary = service.send_all(&["--jsonl", &lines, "--batch", batch]);
        assert_eq!((&summary["posts"], &summary["accepted"]), (&records.into(), &140.into()));
        let all = service.records();
        assert_eq!(all.len() - before, records);
    }
    for (_, record) in service.records() {
        assert!(!record.data.contains(&b'\n') && std::str::from_utf8(&record.data).is_ok());
        let device = match visit_series(&record.data, |_, _| {}) {
            Ok((device, _)) => device,
            Err(_) => parse_reading(&record.data).unwrap().device_id,
        };
        assert_eq!(device.as_str(), record.partition_key);
    }
    let thrice = values(&service.records());
    assert!(thrice.values().all(|values| values.len() == 21));
    assert_eq!(first_of_each(thrice), rising(20, 7));
}

#[test]
fn standard_input_is_put_as_it_comes() {
    let service = Service::start(2);
    let mut sender = service.command(&["--jsonl", "-", "--aggregate"]);
    let mut sender = sender.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = sender.stdin.take().unwrap();
    input.write_all(fleet(3, 1).as_bytes()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while values(&service.records()).len() < 3 {
        assert!(Instant::now() < deadline, "nothing was put before the input ended");
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(input);
    assert!(sender.wait_with_output().unwrap().status.success());
    assert_eq!(first_of_each(values(&service.records())), rising(3, 1));
}

/// A shard takes 1,000 records a second: of 3,000 most are refused again and again, one by one, in answers that are 200.
#[test]
fn a_fleet_through_a_throttling_stream_arrives_whole_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let lines = file(&dir, "in.jsonl", &fleet(1_500, 2));
    let options = StoreOptions { enforce_limits: true, ..StoreOptions::default() };
    let service = Service::start_with(1, options, |_| Fault::None);
    let summary = service.send_all(&["--jsonl", &lines, "--batch", "1"]);
    assert_eq!((&summary["accepted"], &summary["refused"]), (&3_000.into(), &0.into()));
    let retried = summary["retried"].as_u64().unwrap();
    assert!(retried > 0, "{summary}");
    assert_eq!(summary["posts"].as_u64().unwrap(), 3_000 + retried, "only what was refused is put again: {summary}");
    let records = service.records();
    assert_eq!(records.len(), 3_000, "each once");
    let found: BTreeMap<_, _> = values(&records).into_iter().collect();
    assert_eq!(found, rising(1_500, 2));
}

#[test]
fn after_answers_that_were_lost_nothing_is_missing_and_nothing_counts_twice() {
    let dir = tempfile::tempdir().unwrap();
    let lines = file(&dir, "in.jsonl", &fleet(40, 30));
    for arguments in [&["--batch", "10"][..], &["--batch", "10", "--aggregate"]] {
        // Two of three answers are lost, or say that Kinesis is not there.
        let service = Service::start_with(2, StoreOptions::default(), |call| match call % 3 {
            0 => Fault::StoredAndLost,
            1 => Fault::Answer(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", "not now"),
            _ => Fault::None,
        });
        let summary = service.send_all(&[&["--jsonl", &lines], arguments].concat());
        assert_eq!((&summary["accepted"], &summary["sent"]), (&1_200.into(), &1_200.into()));
        let found = values(&service.records());
        assert!(found.values().map(Vec::len).sum::<usize>() > 1_200, "something was stored twice");
        assert_eq!(first_of_each(found), rising(40, 30));
        let data_dir = tempfile::tempdir().unwrap();
        let devices: Vec<String> = (0..40).map(|device| format!("device-{device}")).collect();
        let devices: Vec<&str> = devices.iter().map(String::as_str).collect();
        for statistics in service.count(data_dir.path(), &devices) {
            let statistics = statistics.unwrap();
            assert_eq!((statistics.count, statistics.mean), (30, Some(14.5)));
        }
    }
}

#[test]
fn a_simulated_fleet_is_aggregated_in_order_across_a_split_of_a_shard() {
    let service = Service::start(2);
    let run = |readings: &str| {
        let fleet = ["--devices", "300", "--readings", readings, "--aggregate", "--batch", "2", "--concurrency", "3"];
        service.send_all(&fleet)
    };
    assert_eq!(run("5")["accepted"], 1_500);
    let before = service.records().len();
    // A split in the middle of the first half of the hash keys, between two runs of the same fleet.
    service.split("shardId-000000000000");
    let summary = run("5");
    assert_eq!(summary["accepted"], 1_500);
    let records = service.records();
    assert_eq!(records.len() - before, summary["posts"].as_u64().unwrap() as usize);
    assert!((records.len() as u64) < 1_500, "{} records for 3,000 readings", records.len());

    // A device's readings rise in time within each run, whichever shards they went to.
    let mut devices: HashMap<String, Vec<(String, i128)>> = HashMap::new();
    for (_, record) in &records {
        for decoded in decode_record(&record.data) {
            let reading = decoded.outcome.unwrap();
            let at = (record.partition_key.clone(), reading.timestamp.as_nanosecond());
            devices.entry(reading.device_id.to_string()).or_default().push(at);
        }
    }
    assert_eq!(devices.len(), 300);
    for (device, readings) in devices {
        assert_eq!(readings.len(), 10);
        assert!(readings.iter().all(|(key, _)| *key == readings[0].0), "{device} has one partition key: {readings:?}");
        for run in readings.chunks(5) {
            assert!(run.windows(2).all(|pair| pair[0].1 < pair[1].1), "{device}: {readings:?}");
        }
    }
}

#[test]
fn an_interrupt_awaits_what_is_in_flight_and_exits_1() {
    let service = Service::start(2);
    let mut sender = service.command(&["--jsonl", "-", "--format", "json"]);
    let mut sender = sender.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = sender.stdin.take().unwrap();
    input.write_all(fleet(5, 4).as_bytes()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while service.records().is_empty() {
        assert!(Instant::now() < deadline, "nothing was put");
        std::thread::sleep(Duration::from_millis(20));
    }
    let killed = std::process::Command::new("kill").arg("-INT").arg(sender.id().to_string()).status().unwrap();
    assert!(killed.success());
    let output = sender.wait_with_output().unwrap();
    drop(input);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let stored: usize = values(&service.records()).values().map(Vec::len).sum();
    assert_eq!(summary["accepted"], stored, "what was stored is what is said to be: {summary}");
    assert!(summary["halted"].as_str().unwrap().starts_with("stopped"), "{summary}");
}
