//! Durable puts and writes a second, lists, and how long a directory takes to open after a kill.
//!
//! `cargo bench -p embedded`, with the data in the folder for temporary files: set `TMPDIR` to one on the disk that is to
//! be measured. Every put and write counted here was acknowledged, so it was on that disk.

use embedded::{EmbeddedStorage, Options};
use ports::{DeviceWrite, EventStream, Position, StatisticsAttributes, StatisticsItem, StatisticsStore, StreamEntry};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use telemetry::{DeviceId, Timestamp};
use tokio::task::JoinSet;

const MEASURE: Duration = Duration::from_secs(4);
const DEVICES: usize = 10_000;

/// A series' body of about so many bytes.
fn body(device: usize, bytes: usize) -> Vec<u8> {
    let reading =
        |n: usize| format!(r#"{{"timestamp":"2026-01-31T{:02}:{:02}:00Z","value":21.5}}"#, n / 60 % 24, n % 60);
    let readings: Vec<_> = (0..(bytes / 52).clamp(1, 500)).map(reading).collect();
    format!(r#"{{"device_id":"device-{device:05}","readings":[{}]}}"#, readings.join(",")).into_bytes()
}

fn percentile(latencies: &mut [Duration], percent: usize) -> Duration {
    latencies.sort_unstable();
    latencies[(latencies.len() * percent / 100).min(latencies.len() - 1)]
}

async fn puts(storage: &EmbeddedStorage, tasks: usize, bytes: usize) {
    let mut running = JoinSet::new();
    let end = Instant::now() + MEASURE;
    for task in 0..tasks {
        let stream = storage.stream();
        let data = body(task, bytes);
        running.spawn(async move {
            let mut latencies = Vec::new();
            while Instant::now() < end {
                let entry = StreamEntry::new(format!("device-{task:05}"), data.clone());
                let began = Instant::now();
                assert!(stream.put_records(vec![entry]).await[0].is_ok());
                latencies.push(began.elapsed());
            }
            latencies
        });
    }
    let mut latencies = running.join_all().await.concat();
    println!(
        "put {} B from {tasks} tasks: {:.0}/s, {:.1} MB/s, p50 {:?}, p99 {:?}",
        body(0, bytes).len(),
        latencies.len() as f64 / MEASURE.as_secs_f64(),
        (latencies.len() * body(0, bytes).len()) as f64 / MEASURE.as_secs_f64() / 1e6,
        percentile(&mut latencies, 50),
        percentile(&mut latencies, 99),
    );
}

fn write(device: &DeviceId, expected_revision: Option<u64>) -> DeviceWrite {
    let attributes = StatisticsAttributes {
        count: 1000,
        mean: Some(21.5),
        median: Some(21.5),
        standard_deviation: Some(0.1),
        minimum: Some(20.0),
        maximum: Some(22.0),
        mean_confidence_95: None,
        anomaly_count: 0,
        first_timestamp: Some(Timestamp::UNIX_EPOCH),
        last_timestamp: Some(Timestamp::UNIX_EPOCH),
        updated_at: Timestamp::UNIX_EPOCH,
    };
    let item = StatisticsItem { revision: expected_revision.unwrap_or(0) + 1, attributes, state: vec![7; 850] };
    DeviceWrite { device_id: device.clone(), expected_revision, item, pages: Vec::new() }
}

/// `tasks` writers, each with its own part of the devices: a group is at most one write of each.
async fn writes(storage: &EmbeddedStorage, tasks: usize) {
    let written = Arc::new(AtomicUsize::new(0));
    let mut running = JoinSet::new();
    let began = Instant::now();
    for task in 0..tasks {
        let (store, written) = (storage.statistics(), Arc::clone(&written));
        running.spawn(async move {
            let devices: Vec<_> = (task..DEVICES).step_by(tasks).collect();
            for n in devices.iter().cycle() {
                if began.elapsed() > MEASURE {
                    break;
                }
                let device = DeviceId::parse(format!("device-{n:05}")).expect("a valid name");
                let item = store.read_device(&device).await.expect("a read");
                let write = write(&device, item.map(|item| item.revision));
                store.write(write).await.expect("written");
                written.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    running.join_all().await;
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "read and write items of 1 KiB, {tasks} at a time: {:.0}/s",
        written.load(Ordering::Relaxed) as f64 / seconds
    );
}

/// Puts until the stream's file holds so many bytes, then opens a copy of the directory as a kill would leave it.
async fn open_after_a_kill(storage: &EmbeddedStorage, folder: &Path, bytes: u64) {
    let image = tempfile::tempdir().expect("a folder");
    let mut stored = 0;
    while stored < bytes {
        let data = body(0, 26_000);
        stored += 100 * data.len() as u64;
        let entry = |n: usize| StreamEntry::new(format!("{n}"), data.clone());
        assert!(storage.stream().put_records((0..100).map(entry).collect()).await.iter().all(Result::is_ok));
    }
    for file in ["stream.redb", "statistics.redb"] {
        std::fs::copy(folder.join(file), image.path().join(file)).expect("copied");
        // Or opening would wait for the copy to reach the disk.
        std::fs::File::open(image.path().join(file)).and_then(|file| file.sync_all()).expect("on disk");
    }
    let began = Instant::now();
    let copy = EmbeddedStorage::open(image.path(), Options::default()).expect("opened");
    println!("open {} MB after a kill: {:?}", stored / 1_000_000, began.elapsed());
    copy.close().await;
}

fn resident_mebibytes() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse::<usize>().ok().map(|kibibytes| kibibytes / 1024)
}

fn main() {
    // `cargo test` runs benchmarks too, without this argument.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let began = Instant::now();
        let storage = EmbeddedStorage::open(folder.path(), Options::default()).expect("opened");
        println!("open a new directory: {:?}", began.elapsed());
        for (tasks, bytes) in [(1, 100), (64, 100), (64, 30_000)] {
            puts(&storage, tasks, bytes).await;
        }
        for tasks in [1, 25, 1000] {
            writes(&storage, tasks).await;
        }
        let began = Instant::now();
        let listed = storage.statistics().list(None, DEVICES).await.expect("a list").devices.len();
        println!("list {listed} devices: {:?}", began.elapsed());
        let began = Instant::now();
        let shard = storage.stream().list_shards().await.expect("shards").remove(0).id;
        let (mut position, mut read) = (Position::TrimHorizon, 0);
        loop {
            let page = storage.stream().get_records(&shard, position, 1000).await.expect("a page");
            if page.records.is_empty() {
                break;
            }
            read += page.records.iter().map(|record| record.data.len()).sum::<usize>();
            position = page.next.expect("an open shard");
        }
        println!("read a shard: {:.0} MB/s", read as f64 / 1e6 / began.elapsed().as_secs_f64());
        open_after_a_kill(&storage, folder.path(), 500_000_000).await;
        if let Some(mebibytes) = resident_mebibytes() {
            println!("resident: {mebibytes} MiB");
        }
        storage.close().await;
    });
}
