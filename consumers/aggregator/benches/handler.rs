//! The handler with Lambda's JSON, beside a peer: `cargo bench -p aggregator --features lambda --bench handler`.
//!
//! From the event's bytes to the response's, with a store that answers at once. The peer is what a Rust program without
//! this project's crates would do: `KinesisEvent`, serde_json, and a DDSketch a device, without a ledger: it counts twice
//! what is delivered twice. Figures are processor time of one thread; ratios are of one run.

#[path = "../tests/it/support/mod.rs"]
mod support;

use aggregator::lambda::{RecordBatch, response};
use aggregator::{Aggregator, Settings};
use aws_lambda_events::event::kinesis::KinesisEvent;
use aws_lambda_events::event::streams::KinesisEventResponse;
use event_source_mapping::EventSource;
use ports::{ShardId, StreamRecord, StreamShard};
use serde::{Deserialize, Serialize};
use sketches_ddsketch::{Config, DDSketch};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::{Memory, Stopped, arrival};
use telemetry::Timestamp;

const ROUNDS: usize = 40;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    for (records, devices, warm_up) in [(1_000, 10, 1), (10_000, 10_000, 1), (1_000, 1_000, 60)] {
        let mut events = Events { devices, next: 0 };
        let memory = Memory::default();
        let clock = Stopped(arrival());
        let aggregator = Aggregator::new(memory.clone(), memory.clone(), clock, Settings::default());
        let mut peer = Peer::default();
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for round in 0..warm_up + ROUNDS {
            let event = events.next(records);
            let begun = Instant::now();
            let RecordBatch(batch) = read(&event);
            let result = runtime.block_on(aggregator.handle(&batch));
            serde_json::to_vec(&response(&result.failed)).expect("a response");
            let took = begun.elapsed();
            assert_eq!(result.report.counted, records as u64);
            drop((batch, result));
            let begun = Instant::now();
            peer.handle(&event);
            if round >= warm_up {
                ours.push(took);
                theirs.push(begun.elapsed());
            }
        }
        let (ours, theirs) = (nanoseconds(ours, records), nanoseconds(theirs, records));
        let full = if warm_up > 1 { " with full states" } else { "" };
        println!(
            "{records} records of {devices} devices{full}, {} bytes of JSON a record: {ours:.0} ns a record, peer {theirs:.0} ns, ratio {:.2}",
            events.next(records).len() / records,
            ours / theirs
        );
    }
}

/// An event, read as `lambda_runtime` reads what a function takes.
fn read<'de, E: Deserialize<'de>>(event: &'de [u8]) -> E {
    let mut deserializer = serde_json::Deserializer::from_slice(event);
    serde_path_to_error::deserialize(&mut deserializer).expect("an event")
}

/// The median round's, for each record.
fn nanoseconds(mut rounds: Vec<Duration>, records: usize) -> f64 {
    rounds.sort_unstable();
    rounds[rounds.len() / 2].as_secs_f64() * 1e9 / records as f64
}

struct Events {
    devices: usize,
    next: usize,
}

impl Events {
    /// The next event: one reading a record, of each device in turn, a second apart.
    fn next(&mut self, records: usize) -> Vec<u8> {
        let shard_id = ShardId("shardId-000000000000".to_owned());
        let shard = Arc::new(StreamShard { stream: "streamgauge".to_owned(), shard_id });
        let record = |n: usize| {
            let device = format!("device-{:05}", n % self.devices);
            let second = 1_700_000_000 + (n / self.devices) as i64;
            let timestamp = Timestamp::from_millisecond(second * 1000).expect("in range");
            let value = 20.0 + ((n * 7919) % 1000) as f64 / 100.0;
            let data = format!("{{\"device_id\":\"{device}\",\"timestamp\":\"{timestamp}\",\"value\":{value}}}");
            StreamRecord {
                shard: Arc::clone(&shard),
                // As long as Kinesis's own.
                sequence_number: format!("4954511524349098501828006771497314458{n:019}").parse().expect("a number"),
                partition_key: device,
                data: data.into_bytes(),
                arrived_at: arrival(),
            }
        };
        let records: Vec<_> = (self.next..self.next + records).map(record).collect();
        self.next += records.len();
        EventSource::on_one_machine("streamgauge", "aggregator").event(&records)
    }
}

#[derive(Deserialize)]
struct PeerReading {
    device_id: String,
    timestamp: String,
    value: f64,
}

/// What the peer keeps of a device, and would store.
#[derive(Serialize)]
struct PeerState {
    count: u64,
    mean: f64,
    m2: f64,
    last: String,
    #[serde(skip)]
    sketch: DDSketch,
    quantiles: [Option<f64>; 3],
}

#[derive(Default)]
struct Peer {
    states: HashMap<String, PeerState>,
    stored: HashMap<String, Vec<u8>>,
}

impl Peer {
    fn handle(&mut self, event: &[u8]) {
        let event: KinesisEvent = read(event);
        let mut changed: HashMap<String, Vec<PeerReading>> = HashMap::new();
        for record in event.records {
            let reading: PeerReading = serde_json::from_slice(&record.kinesis.data).expect("a reading");
            Timestamp::parse(&reading.timestamp).expect("a timestamp");
            changed.entry(reading.device_id.clone()).or_default().push(reading);
        }
        for (device, readings) in changed {
            let state = self.states.entry(device.clone()).or_insert_with(|| PeerState {
                count: 0,
                mean: 0.0,
                m2: 0.0,
                last: String::new(),
                sketch: DDSketch::new(Config::defaults()),
                quantiles: [None; 3],
            });
            for PeerReading { timestamp, value, .. } in readings {
                state.count += 1;
                let delta = value - state.mean;
                state.mean += delta / state.count as f64;
                state.m2 += delta * (value - state.mean);
                state.sketch.add(value);
                state.last = timestamp;
            }
            state.quantiles = [0.05, 0.5, 0.95].map(|q| state.sketch.quantile(q).ok().flatten());
            self.stored.insert(device, serde_json::to_vec(&state).expect("a state"));
        }
        serde_json::to_vec(&KinesisEventResponse::default()).expect("a response");
    }
}
