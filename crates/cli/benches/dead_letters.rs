//! 100,000 dead letters: how fast they are counted and sent again, and in how much memory.
//!
//! Every figure is measured in this run on this machine, with the real command against a `streamgauge up` of its own,
//! and then with the command on the data directory itself, its data on disk.

use embedded::{EmbeddedStorage, Options};
use ports::{DeadLetter, DeadLetterOrigin, DeadLetterQueue};
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use telemetry::{RejectReason, Rejection, Timestamp};

const KEY: &str = "the-key-of-a-benchmark";
const LETTERS: usize = 100_000;
const DEVICES: usize = 1000;

fn at(millisecond: usize) -> Timestamp {
    Timestamp::from_millisecond(1_700_000_000_000 + millisecond as i64).unwrap()
}

fn letter(place: usize) -> DeadLetter {
    let device = place % DEVICES;
    let second = at(place / DEVICES * 1000);
    let payload = format!("{{\"device_id\":\"device-{device:04}\",\"timestamp\":\"{second}\",\"value\":{place}.25}}");
    let sequence_number = place.to_string();
    let origin = DeadLetterOrigin {
        stream: "streamgauge",
        shard_id: "shardId-000000000000",
        sequence_number: &sequence_number,
        sub_sequence_number: None,
        index: None,
        partition_key: "wrong",
        arrived_at: at(place),
    };
    let rejection =
        Rejection::new(RejectReason::PartitionKeyMismatch, "`device_id`: is not the record's partition key");
    DeadLetter::new(&rejection, payload.as_bytes(), origin, at(place))
}

fn fill(directory: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let storage = EmbeddedStorage::open(directory, Options::default()).unwrap();
        for first in (0..LETTERS).step_by(5000) {
            let sent = storage.dead_letters().send((first..first + 5000).map(letter).collect()).await;
            assert!(sent.iter().all(Result::is_ok));
        }
        storage.close().await;
    });
}

/// Peak resident memory in MiB, where /proc tells it.
fn peak_memory(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).map_or(f64::NAN, |kib| kib / 1024.0)
}

fn up(directory: &Path) -> (Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_streamgauge"))
        .args(["up", "--port", "0", "--data-dir"])
        .arg(directory)
        .env("STREAMGAUGE_API_KEY", KEY)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready: Value = serde_json::from_str(&line).unwrap();
    (child, ready["ingest"].as_str().unwrap().to_owned())
}

/// Runs the command to its end, which must be well, and prints what it took.
fn measure(name: &str, arguments: &[&str]) {
    let start = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_streamgauge"))
        .arg("dlq")
        .args(arguments)
        .env("STREAMGAUGE_API_KEY", KEY)
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut memory: f64 = 0.0;
    let status = loop {
        memory = memory.max(peak_memory(child.id()));
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let seconds = start.elapsed().as_secs_f64();
    assert!(status.success(), "{name}: {status}");
    println!("{name}: {seconds:.1} s, {:.0} letters/s, at most {memory:.0} MiB", LETTERS as f64 / seconds);
}

fn main() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("endpoint");
    fill(&path);
    let (mut pipeline, url) = up(&path);
    let endpoint = ["--endpoint", url.as_str()];
    println!("{LETTERS} dead letters of {DEVICES} devices, through the endpoint");
    measure("  summary", &[&["summary"], &endpoint[..]].concat());
    println!("  the pipeline: at most {:.0} MiB so far", peak_memory(pipeline.id()));
    measure("  redrive, dry run", &[&["redrive"], &endpoint[..]].concat());
    measure("  redrive --apply", &[&["redrive", "--apply"], &endpoint[..]].concat());
    println!("  the pipeline: at most {:.0} MiB", peak_memory(pipeline.id()));
    let _ = pipeline.kill();
    let _ = pipeline.wait();

    let path = directory.path().join("directory");
    fill(&path);
    let data_dir = ["--data-dir", path.to_str().unwrap()];
    println!("in the data directory itself");
    measure("  summary", &[&["summary"], &data_dir[..]].concat());
    measure("  redrive --apply", &[&["redrive", "--apply"], &data_dir[..]].concat());
}
