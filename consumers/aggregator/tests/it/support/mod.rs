//! An in-memory store and queue with faults, and batches.
#![allow(dead_code, reason = "each test file uses its own part")]

use ports::{
    Clock, DeadLetter, DeadLetterError, DeadLetterQueue, DeviceWrite, LedgerKeys, LedgerPageItem, LedgerPart, ShardId,
    StatisticsItem, StatisticsStore, StoreError, StreamRecord, StreamShard, WriteError,
};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use telemetry::{DeviceId, Timestamp};

/// What the next operation on the store does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// It fails and nothing happens.
    Before,
    /// It happens, and its answer is lost.
    ReplyLost,
}

#[derive(Default)]
pub struct Table {
    pub items: BTreeMap<DeviceId, StatisticsItem>,
    pub pages: BTreeMap<(DeviceId, String), LedgerPageItem>,
    pub letters: BTreeMap<String, DeadLetter>,
    /// Faults to come, the last first; none left: no fault.
    pub faults: Vec<Fault>,
    /// For each read of items, of how many devices, and how many writes there had been.
    pub reads: Vec<(usize, usize)>,
    pub ledger_reads: usize,
    pub writes: usize,
    pub transactions: usize,
}

impl Table {
    fn note_read(&mut self, devices: usize) {
        self.reads.push((devices, self.writes));
    }
}

/// A table and a queue in memory.
#[derive(Clone, Default)]
pub struct Memory(pub Arc<Mutex<Table>>);

impl Memory {
    pub fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        self.0.lock().unwrap()
    }

    fn fault(&self) -> Fault {
        self.table().faults.pop().unwrap_or(Fault::None)
    }
}

fn lost() -> Box<dyn std::error::Error + Send + Sync> {
    "injected fault".into()
}

impl StatisticsStore for Memory {
    async fn read_statistics(&self, devices: &[DeviceId]) -> Vec<Result<Option<StatisticsItem>, StoreError>> {
        let read = |device| match self.fault() {
            Fault::None => Ok(self.table().items.get(device).cloned()),
            _ => Err(StoreError::Unavailable(lost())),
        };
        let items = devices.iter().map(read).collect();
        self.table().note_read(devices.len());
        // Others may come between a read and what is made of it.
        tokio::task::yield_now().await;
        items
    }

    /// One page a part.
    async fn read_ledger(
        &self,
        device_id: &DeviceId,
        keys: &LedgerKeys,
        after: Option<&str>,
    ) -> Result<LedgerPart, StoreError> {
        if self.fault() != Fault::None {
            return Err(StoreError::Unavailable(lost()));
        }
        let mut table = self.table();
        table.ledger_reads += 1;
        let is_asked = |key: &str| {
            (keys.first.as_str()..=keys.last.as_str()).contains(&key) && after.is_none_or(|after| after < key)
        };
        let mut pages = table.pages.iter().filter(|((device, key), _)| device == device_id && is_asked(key));
        let page = pages.next().map(|(_, page)| page.clone());
        let next_after = page.as_ref().map(|page| page.key.clone());
        Ok(LedgerPart { pages: page.into_iter().collect(), next_after })
    }

    async fn write(&self, write: DeviceWrite) -> Result<(), WriteError> {
        let fault = self.fault();
        if fault == Fault::Before {
            return Err(WriteError::Unavailable(lost()));
        }
        let mut table = self.table();
        let DeviceWrite { device_id, expected_revision, item, pages } = write;
        let key_of = |page: &LedgerPageItem| (device_id.clone(), page.key.clone());
        if table.items.get(&device_id).map(|item| item.revision) != expected_revision
            || pages.iter().any(|page| table.pages.contains_key(&key_of(page)))
        {
            return Err(WriteError::ConditionFailed);
        }
        assert!(pages.len() <= 99, "a transaction holds 99 pages beside the item");
        table.writes += 1;
        table.transactions += usize::from(!pages.is_empty());
        for page in pages {
            table.pages.insert(key_of(&page), page);
        }
        table.items.insert(device_id, item);
        if fault == Fault::ReplyLost { Err(WriteError::Unavailable(lost())) } else { Ok(()) }
    }
}

impl DeadLetterQueue for Memory {
    async fn send(&self, letters: Vec<DeadLetter>) -> Vec<Result<(), DeadLetterError>> {
        let mut results = Vec::new();
        for letter in letters {
            let fault = self.fault();
            if fault != Fault::Before {
                self.table().letters.insert(letter.id.clone(), letter);
            }
            results.push(if fault == Fault::None { Ok(()) } else { Err(DeadLetterError::Unavailable(lost())) });
        }
        results
    }
}

/// A clock that stands still.
#[derive(Clone, Copy)]
pub struct Stopped(pub Timestamp);

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        self.0
    }
}

pub fn timestamp(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

/// The moment at which every record of these tests arrives.
pub fn arrival() -> Timestamp {
    timestamp("2026-06-01T12:00:00Z")
}

/// A record for [`event`]: sequence number, partition key, data.
pub type Record = (u64, String, Vec<u8>);

/// The batch of these records.
pub fn event(records: &[Record]) -> Vec<StreamRecord> {
    let shard_id = ShardId("shardId-000000000000".to_owned());
    let shard = Arc::new(StreamShard { stream: "streamgauge".to_owned(), shard_id });
    let record = |(sequence_number, partition_key, data): &Record| StreamRecord {
        shard: Arc::clone(&shard),
        sequence_number: (*sequence_number).into(),
        partition_key: partition_key.clone(),
        data: data.clone(),
        arrived_at: arrival(),
    };
    records.iter().map(record).collect()
}

/// A single-reading record's data.
pub fn body(device: &str, timestamp: &str, value: f64, event_id: Option<&str>) -> Vec<u8> {
    let mut body = json!({"device_id": device, "timestamp": timestamp, "value": value});
    if let Some(event_id) = event_id {
        body["event_id"] = json!(event_id);
    }
    body.to_string().into_bytes()
}
