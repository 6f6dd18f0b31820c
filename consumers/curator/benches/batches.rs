//! How fast change batches become rows, before Firehose, how small rows are as Parquet, and what merging a day does:
//! `cargo bench -p curator`.
//!
//! The first is from the event's JSON, as Lambda hands it over, to the lines of Firehose's records, on one thread, by the
//! processor time that it took, so that a busy machine says the same; where the system tells none, by the clock. The
//! second compares one file of the rows of 10,000 devices with the same rows as JSON lines in gzip at its usual level. The
//! third merges what a fleet delivered, and compares it with the same rows in gzip, file by file as they were delivered,
//! and sorted in one.

use curator::lambda::ChangeBatch;
use curator::{CURATED_PREFIX, Curator, HistoryQuery, MERGED_ROWS_MAX, Merger};
use embedded::FileArchive;
use flate2::Compression;
use flate2::write::GzEncoder;
use ports::{
    ArchiveFolder, ConfidenceInterval, CuratedDelivery, CuratedRow, DeliveryError, MemberValue, StatisticsAttributes,
};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use telemetry::{DeviceId, Timestamp};

const CHANGES: usize = 1000;
const RUN_TIME: Duration = Duration::from_secs(3);

/// Makes the lines, and takes them.
#[derive(Default)]
struct Lines(AtomicUsize);

impl CuratedDelivery for &Lines {
    async fn deliver(&self, rows: Vec<CuratedRow>) -> Vec<Result<(), DeliveryError>> {
        self.0.fetch_add(black_box(lines(&rows)).len(), Ordering::Relaxed);
        rows.iter().map(|_| Ok(())).collect()
    }
}

fn lines(rows: &[CuratedRow]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(rows.len() * 448);
    for row in rows {
        serde_json::to_writer(&mut bytes, row).expect("JSON");
        bytes.push(b'\n');
    }
    bytes
}

/// Readings with two decimals, as sensors have them, and the plain definitions of their statistics.
fn row(device: usize, random: &mut StdRng) -> CuratedRow {
    let level: f64 = [20.0, 50.0, 400.0, 1013.0][random.random_range(0..4)] + random.random_range(0.0..5.0);
    let count: u32 = random.random_range(20..400);
    let mut values: Vec<f64> = (0..count)
        .map(|_| {
            let noise: f64 = (0..12).map(|_| random.random_range(-0.5..0.5)).sum();
            ((level + noise * level / 50.0) * 100.0).round() / 100.0
        })
        .collect();
    values.sort_by(f64::total_cmp);
    let n = f64::from(count);
    let mean = values.iter().sum::<f64>() / n;
    let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
    let half = 1.97 * deviation / n.sqrt();
    let now = 1_769_860_800_000 - random.random_range(0..2000);
    let instant = |milliseconds| Timestamp::from_millisecond(milliseconds).expect("in range");
    CuratedRow {
        device_id: DeviceId::parse(format!("device-{device:05}")).expect("a name"),
        revision: u64::from(count / random.random_range(1..4)),
        statistics: StatisticsAttributes {
            count: u64::from(count),
            mean: Some(mean),
            median: Some((values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0),
            standard_deviation: Some(deviation),
            minimum: values.first().copied(),
            maximum: values.last().copied(),
            mean_confidence_95: Some(ConfidenceInterval { low: mean - half, high: mean + half }),
            anomaly_count: u64::from(random.random_ratio(1, 20)),
            first_timestamp: Some(instant(now - i64::from(count) * 500 - random.random_range(0..1000))),
            last_timestamp: Some(instant(now)),
            updated_at: instant(now + random.random_range(5..60)),
        },
    }
}

/// The change that DynamoDB tells of the row, its item as large as items are at most.
fn change(number: usize, row: &CuratedRow) -> Value {
    let text = |text: String| json!({ "S": text });
    let double = |value: Option<f64>| json!({ "N": format!("{}", value.expect("a number")) });
    let instant = |instant: Option<Timestamp>| text(instant.expect("an instant").to_string());
    let keys = json!({ "device_id": text(row.device_id.to_string()), "item": text("statistics".to_owned()) });
    let mut image = keys.clone();
    image["revision"] = json!({ "N": row.revision.to_string() });
    for (member, value) in row.statistics.members() {
        image[member.name] = match value {
            MemberValue::Count(count) => json!({ "N": count.to_string() }),
            MemberValue::Number(number) => double(number),
            MemberValue::Interval(ends) => {
                json!({ "M": { "low": double(ends.map(|ends| ends.low)), "high": double(ends.map(|ends| ends.high)) } })
            }
            MemberValue::Timestamp(at) => instant(at),
        };
    }
    // 700 bytes, as base64.
    image["state"] = json!({ "B": "QUJD".repeat(234) });
    json!({
        "eventID": format!("{number:032x}"), "eventName": "MODIFY", "eventVersion": "1.1", "eventSource": "aws:dynamodb",
        "awsRegion": "eu-central-1",
        "dynamodb": {
            "ApproximateCreationDateTime": 1_769_860_800.0, "Keys": keys, "NewImage": image,
            "SequenceNumber": format!("44215845000000000174504{number:05}"), "SizeBytes": 1000,
            "StreamViewType": "NEW_IMAGE",
        },
        "eventSourceARN": "arn:aws:dynamodb:eu-central-1:123456789012:table/device-statistics/stream/2026-01-31T00:00:00.000",
    })
}

fn speed() {
    let mut random = StdRng::seed_from_u64(1);
    let rows: Vec<CuratedRow> = (0..CHANGES).map(|device| row(device, &mut random)).collect();
    let changes: Vec<Value> = rows.iter().enumerate().map(|(number, row)| change(number, row)).collect();
    let event = json!({ "Records": changes }).to_string();
    let taken = Lines::default();
    let curator = Curator::new(&taken);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut batches = 0;
    let (started, before) = (Instant::now(), processor_time());
    while started.elapsed() < RUN_TIME {
        let ChangeBatch(changes) = serde_json::from_str(black_box(&event)).expect("an event");
        let handled = runtime.block_on(curator.handle(changes));
        assert_eq!((handled.report.rows, handled.report.unreadable), (CHANGES as u64, 0));
        batches += 1;
    }
    let elapsed = started.elapsed().as_secs_f64();
    let seconds = processor_time().zip(before).map_or(elapsed, |(after, before)| after - before);
    let per_second = (batches * CHANGES) as f64 / seconds;
    let megabytes = (batches * event.len()) as f64 / seconds / 1e6;
    println!(
        "{per_second:.0} rows/s per core, {megabytes:.0} MB/s of the event's JSON, {} bytes a change ({seconds:.2} s of processor \
         time in {elapsed:.2} s)",
        event.len() / CHANGES
    );
}

/// What this thread has had of a processor so far, in seconds; Linux alone tells.
fn processor_time() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(text.split(' ').next()?.parse::<u64>().ok()? as f64 / 1e9)
}

fn gzip(rows: &[CuratedRow]) -> usize {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&lines(rows)).expect("memory");
    encoder.finish().expect("memory").len()
}

/// What this process holds in memory, or under the name `VmHWM` what it has held at most since the last such call, in
/// MiB; Linux alone tells.
fn memory(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    // 5: the most is what it is now.
    std::fs::write("/proc/self/clear_refs", "5").ok()?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? / 1024)
}

fn size() {
    let mut random = StdRng::seed_from_u64(2);
    let rows: Vec<CuratedRow> = (0..10_000).map(|device| row(device, &mut random)).collect();
    let gzip = gzip(&rows);
    let started = Instant::now();
    let parquet = curator::parquet_file::write(&rows).expect("a file").len();
    let elapsed = started.elapsed();
    let each = |bytes: usize| bytes as f64 / rows.len() as f64;
    println!(
        "bytes a row: JSON {:.1}, JSON in gzip {:.1}, Parquet {:.1}, which is {:.0}% of JSON in gzip; written in {:.0} ms",
        each(lines(&rows).len()),
        each(gzip),
        each(parquet),
        100.0 * parquet as f64 / gzip as f64,
        elapsed.as_secs_f64() * 1000.0
    );
}

/// A device as its readings are counted: each has two decimals, so that how often each value came says everything.
struct Device {
    level: f64,
    counts: BTreeMap<i64, u32>,
    count: i64,
    sum: f64,
    squares: f64,
    first: i64,
    anomalies: i64,
    /// From the last reading's instant until it was counted, in milliseconds.
    lag: i64,
}

impl Device {
    fn new(random: &mut StdRng, first: i64) -> Self {
        let level = [20.0, 50.0, 400.0, 1013.0][random.random_range(0..4)] + random.random_range(0.0..5.0);
        Device { level, counts: BTreeMap::new(), count: 0, sum: 0.0, squares: 0.0, first, anomalies: 0, lag: 0 }
    }

    fn count(&mut self, random: &mut StdRng) {
        let noise: f64 = (0..12).map(|_| random.random_range(-0.5..0.5)).sum();
        let hundredths = ((self.level + noise * self.level / 50.0) * 100.0).round();
        let value = hundredths / 100.0 - self.level;
        *self.counts.entry(hundredths as i64).or_default() += 1;
        self.count += 1;
        self.sum += value;
        self.squares += value * value;
        self.lag = random.random_range(5..60);
        self.anomalies += i64::from(random.random_ratio(1, 20_000));
    }

    /// The value that so many are below.
    fn at(&self, place: i64) -> f64 {
        let mut below = 0;
        let found = self.counts.iter().find(|(_, count)| {
            below += i64::from(**count);
            below > place
        });
        *found.expect("a value").0 as f64 / 100.0
    }

    fn row(&self, name: usize, revision: i64, now: i64) -> CuratedRow {
        let n = self.count as f64;
        let mean = self.level + self.sum / n;
        let deviation = ((self.squares - self.sum * self.sum / n) / (n - 1.0)).sqrt();
        let half = 1.96 * deviation / n.sqrt();
        let instant = |milliseconds| Timestamp::from_millisecond(milliseconds).expect("in range");
        CuratedRow {
            device_id: DeviceId::parse(format!("device-{name:05}")).expect("a name"),
            revision: revision as u64,
            statistics: StatisticsAttributes {
                count: self.count as u64,
                mean: Some(mean),
                median: Some((self.at((self.count - 1) / 2) + self.at(self.count / 2)) / 2.0),
                standard_deviation: Some(deviation),
                minimum: Some(self.at(0)),
                maximum: Some(self.at(self.count - 1)),
                mean_confidence_95: Some(ConfidenceInterval { low: mean - half, high: mean + half }),
                anomaly_count: self.anomalies as u64,
                first_timestamp: Some(instant(self.first)),
                last_timestamp: Some(instant(now)),
                updated_at: instant(now + self.lag),
            },
        }
    }
}

/// What a fleet's deliveries have, one every five minutes: some thirty readings of each device, most of them a batch of
/// their own.
fn deliveries(devices: usize, deliveries: usize) -> Vec<Vec<CuratedRow>> {
    const DAY: i64 = 1_769_817_600_000;
    let mut random = StdRng::seed_from_u64(3);
    let mut fleet: Vec<(Device, i64)> = (0..devices)
        .map(|_| {
            let first = DAY - random.random_range(0..86_400_000);
            (Device::new(&mut random, first), 0)
        })
        .collect();
    let mut deliver = |delivery: usize| {
        let end = DAY + 300_000 * (delivery as i64 + 1);
        let mut of = |(number, (device, revision)): (usize, &mut (Device, i64))| {
            let readings = random.random_range(26..=34);
            (0..readings).for_each(|_| device.count(&mut random));
            *revision += readings - random.random_range(0..4);
            device.row(number, *revision, end - random.random_range(0..10_000))
        };
        fleet.iter_mut().enumerate().map(&mut of).collect()
    };
    (0..deliveries).map(&mut deliver).collect()
}

/// A closed day as it was delivered and as it is kept, each against the same rows as JSON in gzip.
fn merged_day(devices: usize, count: usize) {
    let delivered = deliveries(devices, count);
    let folder = tempfile::tempdir().expect("a folder");
    let archive = FileArchive::open(folder.path()).expect("an archive");
    let (mut parquet, mut json) = (0, 0);
    for (delivery, rows) in delivered.iter().enumerate() {
        let bytes = curator::parquet_file::write(rows).expect("a file");
        parquet += bytes.len();
        json += gzip(rows);
        let key = format!("{CURATED_PREFIX}dt=2026-01-31/{}-0.parquet", 1_769_817_900_000 + 300_000 * delivery);
        ArchiveFolder::put(&archive, &key, &bytes).expect("a file");
    }
    let merger = Merger::new(archive.clone(), MERGED_ROWS_MAX);
    let (started, before, held) = (Instant::now(), processor_time(), memory("VmRSS"));
    let done = merger.merge_day("2026-01-31", &|| false).expect("a merged day");
    let elapsed = started.elapsed().as_secs_f64();
    let seconds = processor_time().zip(before).map_or(elapsed, |(after, before)| after - before);
    let held = memory("VmHWM").zip(held).map_or(0, |(most, before)| most.saturating_sub(before));
    assert_eq!(done.deleted, count as u64);
    let keys = archive.keys(CURATED_PREFIX).expect("keys");
    let length = |key: &String| archive.open(key).and_then(|file| file.metadata()).expect("a file").len();
    let merged = keys.iter().map(length).sum::<u64>() as usize;
    let mut rows = delivered.concat();
    rows.sort_by(|a, b| (&a.device_id, a.revision).cmp(&(&b.device_id, b.revision)));
    let sorted_json = gzip(&rows);
    let each = |bytes: usize| bytes as f64 / rows.len() as f64;
    let percent = |bytes: usize, of: usize| 100.0 * bytes as f64 / of as f64;
    println!("{devices} devices, {count} deliveries, {} rows, bytes a row:", rows.len());
    println!(
        "  as delivered: JSON in gzip {:.1}, Parquet {:.1}, which is {:.0}%",
        each(json),
        each(parquet),
        percent(parquet, json)
    );
    println!(
        "  merged into {}: Parquet {:.1}, which is {:.0}% of JSON in gzip as delivered; JSON in gzip, sorted {:.1}, which makes \
         it {:.0}%",
        keys.len(),
        each(merged),
        percent(merged, json),
        each(sorted_json),
        percent(merged, sorted_json)
    );
    println!(
        "  merged and checked at {:.0} rows/s of processor time ({seconds:.2} s of it in {elapsed:.2} s), with {held} MiB",
        rows.len() as f64 / seconds
    );
}

/// How long one device's course takes to read, out of files of a whole week of 10,000 devices, and of one day of them as it
/// was delivered. The week is one day seven times: what takes time is to find the rows.
fn history() {
    const DEVICES: usize = 10_000;
    const DELIVERIES: i64 = 288;
    let mut random = StdRng::seed_from_u64(4);
    let mut fleet: Vec<CuratedRow> = (0..DEVICES).map(|device| row(device, &mut random)).collect();
    let folder = tempfile::tempdir().expect("a folder");
    let archive = FileArchive::open(folder.path()).expect("an archive");
    for delivery in 1..=DELIVERIES {
        for row in &mut fleet {
            row.revision = 100 * delivery as u64;
            let row = &mut row.statistics;
            let shift = random.random_range(-1e-3..1e-3);
            let ends = row.mean_confidence_95.iter_mut().flat_map(|ends| [&mut ends.low, &mut ends.high]);
            for value in row.mean.iter_mut().chain(ends) {
                *value += shift;
            }
            row.standard_deviation = row.standard_deviation.map(|value| value + shift * 0.7);
        }
        let bytes = curator::parquet_file::write(&fleet).expect("a file");
        let key = format!("{CURATED_PREFIX}dt=2026-01-01/{}-0.parquet", 1_769_817_900_000 + 300_000 * delivery);
        ArchiveFolder::put(&archive, &key, &bytes).expect("a file");
    }
    ask(&archive, "one day as delivered", DELIVERIES);
    Merger::new(archive.clone(), MERGED_ROWS_MAX).merge_day("2026-01-01", &|| false).expect("a merged day");
    for key in archive.keys(CURATED_PREFIX).expect("keys") {
        let bytes = std::fs::read(folder.path().join(&key)).expect("a file");
        for day in 2..=7 {
            let other = key.replace("2026-01-01", &format!("2026-01-0{day}"));
            ArchiveFolder::put(&archive, &other, &bytes).expect("a file");
        }
    }
    ask(&archive, "seven days merged", DELIVERIES);
}

fn ask(archive: &FileArchive, what: &str, rows: i64) {
    let mut random = StdRng::seed_from_u64(5);
    let mut times: Vec<(f64, f64)> = (0..30)
        .map(|_| {
            let name = format!("device-{:05}", random.random_range(0..10_000));
            let query = HistoryQuery { device_id: DeviceId::parse(name).expect("a name"), from: None, to: None };
            let (started, before) = (Instant::now(), processor_time());
            let found = curator::device_history(archive, &query).expect("a history");
            let elapsed = started.elapsed().as_secs_f64();
            assert_eq!((found.rows.len() as i64, found.unreadable.len()), (rows, 0));
            (processor_time().zip(before).map_or(elapsed, |(after, before)| after - before), elapsed)
        })
        .collect();
    times.sort_by(|a, b| a.0.total_cmp(&b.0));
    let files = archive.keys(CURATED_PREFIX).expect("keys").len();
    let milliseconds = |seconds: f64| seconds * 1000.0;
    println!(
        "one device of 10,000, {what}, {files} files: median {:.0} ms, slowest {:.0} ms of processor time; by the clock {:.0} ms",
        milliseconds(times[times.len() / 2].0),
        milliseconds(times[times.len() - 1].0),
        milliseconds(times[times.len() / 2].1),
    );
}

fn main() {
    if std::env::args().any(|argument| argument == "history") {
        return history();
    }
    speed();
    size();
    merged_day(200, 288);
    merged_day(10_000, 25);
    history();
}
