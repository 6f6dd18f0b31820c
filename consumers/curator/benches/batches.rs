//! How fast change batches become rows, before Firehose, and how small rows are as Parquet: `cargo bench -p curator`.
//!
//! The first is from the event's JSON, as Lambda hands it over, to the lines of Firehose's records, on one thread, by the
//! processor time that it took, so that a busy machine says the same; where the system tells none, by the clock. The
//! second compares one file of the rows of 10,000 devices with the same rows as JSON lines in gzip at its usual level.

use curator::{ChangeBatch, Curator};
use flate2::Compression;
use flate2::write::GzEncoder;
use ports::{CuratedDelivery, CuratedRow, DeliveryError};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
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
    let count = random.random_range(20..400);
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
        revision: i64::from(count / random.random_range(1..4)),
        count: i64::from(count),
        mean: Some(mean),
        median: Some((values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0),
        standard_deviation: Some(deviation),
        minimum: values.first().copied(),
        maximum: values.last().copied(),
        mean_confidence_95_low: Some(mean - half),
        mean_confidence_95_high: Some(mean + half),
        anomaly_count: i64::from(random.random_ratio(1, 20)),
        first_timestamp: Some(instant(now - i64::from(count) * 500 - random.random_range(0..1000))),
        last_timestamp: Some(instant(now)),
        updated_at: instant(now + random.random_range(5..60)),
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
    image["count"] = json!({ "N": row.count.to_string() });
    image["anomaly_count"] = json!({ "N": row.anomaly_count.to_string() });
    image["mean"] = double(row.mean);
    image["median"] = double(row.median);
    image["standard_deviation"] = double(row.standard_deviation);
    image["minimum"] = double(row.minimum);
    image["maximum"] = double(row.maximum);
    image["mean_confidence_95"] =
        json!({ "M": { "low": double(row.mean_confidence_95_low), "high": double(row.mean_confidence_95_high) } });
    image["first_timestamp"] = instant(row.first_timestamp);
    image["last_timestamp"] = instant(row.last_timestamp);
    image["updated_at"] = instant(Some(row.updated_at));
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
        let batch: ChangeBatch = serde_json::from_str(black_box(&event)).expect("an event");
        let handled = runtime.block_on(curator.handle(batch));
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

fn size() {
    let mut random = StdRng::seed_from_u64(2);
    let rows: Vec<CuratedRow> = (0..10_000).map(|device| row(device, &mut random)).collect();
    let json = lines(&rows);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&json).expect("memory");
    let gzip = encoder.finish().expect("memory");
    let started = Instant::now();
    let parquet = curator::parquet_file::write(&rows).expect("a file");
    let elapsed = started.elapsed();
    let each = |bytes: &[u8]| bytes.len() as f64 / rows.len() as f64;
    println!(
        "bytes a row: JSON {:.1}, JSON in gzip {:.1}, Parquet {:.1}, which is {:.0}% of JSON in gzip; written in {:.0} ms",
        each(&json),
        each(&gzip),
        each(&parquet),
        100.0 * parquet.len() as f64 / gzip.len() as f64,
        elapsed.as_secs_f64() * 1000.0
    );
}

fn main() {
    speed();
    size();
}
