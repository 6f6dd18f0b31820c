//! The ledger's cost in steady state: DynamoDB write units per device and batch, counted by the service's rules.
//!
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html>: a write unit for each
//! KiB begun of the larger of the item before and after; twice that in a transaction.

use aggregator::{Aggregator, Settings};
use ports::{
    Clock, DeadLetter, DeadLetterError, DeadLetterQueue, DeviceWrite, LedgerKeys, LedgerPart, SequenceNumber, ShardId,
    StatisticsItem, StatisticsStore, StoreError, StreamRecord, StreamShard, WriteError,
};
use simulation::size::{item_size, page_size, write_units};
use simulation::{Random, START_NS};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use telemetry::{DeviceId, Timestamp};

/// What a device's readings look like.
#[derive(Debug, Clone, Copy)]
struct Kind {
    /// Bytes of its name.
    name_bytes: usize,
    /// Whether timestamps are off their grid of ten seconds, by nanoseconds.
    jitter: bool,
    /// Whether readings carry an `event_id`.
    event_ids: bool,
}

/// Steady state, measured.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Cost {
    /// Write units per batch, on average.
    write_units: f64,
    /// Batches per transaction, on average.
    batches_a_transaction: f64,
    /// Bytes of all pages per reading.
    page_bytes_a_reading: f64,
}

#[derive(Default)]
struct Ledger {
    item: Option<StatisticsItem>,
    item_bytes: usize,
    units: usize,
    transactions: usize,
    page_bytes: usize,
}

/// One device's item, without faults; pages are weighed and thrown away, because steady state never reads them.
#[derive(Clone, Default)]
struct Scales(Arc<Mutex<Ledger>>);

impl Scales {
    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StatisticsStore for Scales {
    async fn read_statistics(&self, devices: &[DeviceId]) -> Vec<Result<Option<StatisticsItem>, StoreError>> {
        devices.iter().map(|_| Ok(self.lock().item.clone())).collect()
    }

    async fn read_ledger(&self, _: &DeviceId, _: &LedgerKeys, _: Option<&str>) -> Result<LedgerPart, StoreError> {
        Ok(LedgerPart::default())
    }

    async fn write(&self, write: DeviceWrite) -> Result<(), WriteError> {
        let mut ledger = self.lock();
        let after = item_size(write.device_id.as_str(), &write.item);
        let pages: Vec<usize> = write.pages.iter().map(|page| page_size(write.device_id.as_str(), page)).collect();
        ledger.units += write_units(after.max(ledger.item_bytes), &pages);
        ledger.transactions += usize::from(!pages.is_empty());
        ledger.page_bytes += pages.iter().sum::<usize>();
        ledger.item_bytes = after;
        ledger.item = Some(write.item);
        Ok(())
    }
}

impl DeadLetterQueue for Scales {
    async fn send(&self, letters: Vec<DeadLetter>) -> Vec<Result<(), DeadLetterError>> {
        letters.iter().map(|_| Ok(())).collect()
    }
}

impl Clock for Scales {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanosecond(START_NS).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

/// Measures `batches` batches of `readings` readings each, after a fifth as many to warm up.
fn steady_state(kind: Kind, readings: usize, batches: usize) -> Cost {
    let scales = Scales::default();
    let aggregator = Aggregator::new(scales.clone(), scales.clone(), scales.clone(), Settings::default());
    let name = format!("{:a<bytes$}", "sensor-0001-", bytes = kind.name_bytes);
    let mut random = Random::new(7);
    let warm_up = batches / 5;
    for batch in 0..warm_up + batches {
        if batch == warm_up {
            let mut ledger = scales.lock();
            (ledger.units, ledger.transactions, ledger.page_bytes) = (0, 0, 0);
        }
        let records: Vec<_> = (0..readings).map(|n| record(kind, &name, batch * readings + n, &mut random)).collect();
        let handled = pin!(aggregator.handle(&records)).poll(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(handled) = handled else { unreachable!("these ports never wait") };
        assert_eq!(handled.report.counted, readings as u64, "every reading is new");
    }
    let ledger = scales.lock();
    Cost {
        write_units: ledger.units as f64 / batches as f64,
        batches_a_transaction: batches as f64 / ledger.transactions.max(1) as f64,
        page_bytes_a_reading: ledger.page_bytes as f64 / (batches * readings) as f64,
    }
}

fn record(kind: Kind, name: &str, n: usize, random: &mut Random) -> StreamRecord {
    // Every ten seconds, all of them before the arrival.
    let jitter_ns = if kind.jitter { random.below(1_000_000_000) as i128 } else { 0 };
    let timestamp_ns = START_NS - 40_000_000_000_000_000 + n as i128 * 10_000_000_000 + jitter_ns;
    let timestamp = Timestamp::from_nanosecond(timestamp_ns).unwrap_or(Timestamp::UNIX_EPOCH);
    let hundredths = 2_000.0 + 500.0 * (n as f64 / 500.0).sin() + random.below(100) as f64;
    let event_id = if kind.event_ids { format!(",\"event_id\":\"{:016x}\"", random.bits()) } else { String::new() };
    let value = hundredths.round() / 100.0;
    let data = format!("{{\"device_id\":\"{name}\",\"timestamp\":\"{timestamp}\",\"value\":{value}{event_id}}}");
    let arrival = Timestamp::from_nanosecond(START_NS).unwrap_or(Timestamp::UNIX_EPOCH);
    StreamRecord {
        shard: Arc::new(StreamShard { stream: "streamgauge".to_owned(), shard_id: ShardId("shardId-0".to_owned()) }),
        sequence_number: SequenceNumber::from(n as u64),
        partition_key: name.to_owned(),
        data: data.into_bytes(),
        arrived_at: arrival,
    }
}

const REGULAR: Kind = Kind { name_bytes: 26, jitter: false, event_ids: false };

const KINDS: [(&str, Kind); 5] = [
    ("26-byte id, regular timestamps", REGULAR),
    ("128-byte id", Kind { name_bytes: 128, ..REGULAR }),
    ("nanosecond jitter", Kind { jitter: true, ..REGULAR }),
    ("event_ids", Kind { event_ids: true, ..REGULAR }),
    ("128-byte id, jitter, event_ids", Kind { name_bytes: 128, jitter: true, event_ids: true }),
];

#[test]
fn the_ledger_costs_little_more_than_the_item_itself() {
    let batches = [(1, 8_000), (10, 2_000), (500, 150)];
    println!("{:<32}{:>10}{:>14}{:>22}{:>16}", "", "readings", "write units", "batches/transaction", "page bytes");
    println!("{:<32}{:>10}{:>14}{:>22}{:>16}", "", "a batch", "a batch", "", "a reading");
    for (name, kind) in KINDS {
        for (readings, batches) in batches {
            let cost = steady_state(kind, readings, batches);
            println!(
                "{name:<32}{readings:>10}{:>14.3}{:>22.1}{:>16.2}",
                cost.write_units, cost.batches_a_transaction, cost.page_bytes_a_reading
            );
        }
    }
    for ((readings, batches), goal) in batches.into_iter().zip([1.15, 2.5, 8.0]) {
        let cost = steady_state(REGULAR, readings, batches);
        assert!(cost.write_units <= goal, "{} write units at {readings} a batch, over {goal}", cost.write_units);
    }
}
