//! A stream, checkpoints, a function and a destination in memory, each of which can be told to fail.

use event_source_mapping::{
    Backoff, Batch, DiscardedBatch, EventSource, EventSourceMapping, Function, FunctionError, MappingConfig, Metrics,
    OnFailure, OnFailureError, Verdict,
};
use ports::{
    CheckpointError, Checkpoints, Clock, EventStream, Position, PutError, PutReceipt, RecordsPage, SequenceNumber,
    Shard, ShardId, StreamEntry, StreamError, StreamRecord,
};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use telemetry::Timestamp;
use tokio::sync::Notify;

/// Fails now and then: every third call, and every seventh with a panic. Never, where it is off.
#[derive(Default)]
pub struct Faults {
    pub on: bool,
    calls: AtomicUsize,
}

type Source = Box<dyn std::error::Error + Send + Sync>;

impl Faults {
    pub fn on() -> Self {
        Faults { on: true, calls: AtomicUsize::new(0) }
    }

    fn check(&self) -> Result<(), Source> {
        let call = self.calls.fetch_add(1, SeqCst) + 1;
        assert!(!self.on || !call.is_multiple_of(7), "a fault of the test: a panic");
        if self.on && call.is_multiple_of(3) { Err("a fault of the test".into()) } else { Ok(()) }
    }
}

#[derive(Default)]
struct MemoryShard {
    parents: Vec<ShardId>,
    records: Vec<StreamRecord>,
    closed: bool,
    expired: bool,
}

#[derive(Default)]
pub struct MemoryStream {
    shards: Mutex<BTreeMap<ShardId, MemoryShard>>,
    news: Notify,
    pub faults: Faults,
    pub reads: AtomicUsize,
}

pub fn shard_id(name: &str) -> ShardId {
    ShardId(name.to_owned())
}

impl MemoryStream {
    pub fn add_shard(&self, name: &str, parents: &[&str]) {
        let parents: Vec<_> = parents.iter().map(|parent| shard_id(parent)).collect();
        let mut shards = self.shards.lock().unwrap();
        for parent in &parents {
            shards.get_mut(parent).unwrap().closed = true;
        }
        shards.insert(shard_id(name), MemoryShard { parents, ..MemoryShard::default() });
        self.news.notify_waiters();
    }

    pub fn expire(&self, name: &str) {
        self.shards.lock().unwrap().get_mut(&shard_id(name)).unwrap().expired = true;
        self.news.notify_waiters();
    }

    /// Puts `count` records of `key`; their data are key and running number.
    pub fn put(&self, shard: &str, key: &str, count: usize) {
        let mut shards = self.shards.lock().unwrap();
        let records = &mut shards.get_mut(&shard_id(shard)).unwrap().records;
        for _ in 0..count {
            let number = records.len() as u64 + 1;
            records.push(StreamRecord {
                shard: crate::driver::shard(shard),
                sequence_number: number.into(),
                partition_key: key.to_owned(),
                data: format!("{shard}/{key}/{number}").into_bytes(),
                arrived_at: Timestamp::UNIX_EPOCH,
            });
        }
        drop(shards);
        self.news.notify_waiters();
    }

    fn after(shard: &MemoryShard, position: Position) -> usize {
        let place = |sequence: SequenceNumber| sequence.to_string().parse::<usize>().unwrap();
        match position {
            Position::TrimHorizon | Position::AtTimestamp(_) => 0,
            Position::Latest => shard.records.len(),
            Position::AtSequenceNumber(sequence) => place(sequence) - 1,
            Position::AfterSequenceNumber(sequence) => place(sequence),
        }
    }
}

impl EventStream for MemoryStream {
    async fn put_records(&self, _: Vec<StreamEntry>) -> Vec<Result<PutReceipt, PutError>> {
        panic!("a mapping puts nothing")
    }

    async fn list_shards(&self) -> Result<Vec<Shard>, StreamError> {
        self.faults.check().map_err(StreamError::Unavailable)?;
        let shards = self.shards.lock().unwrap();
        let kept = shards.iter().filter(|(_, shard)| !shard.expired);
        Ok(kept
            .map(|(id, shard)| Shard {
                id: id.clone(),
                parent: shard.parents.first().cloned(),
                adjacent_parent: shard.parents.get(1).cloned(),
            })
            .collect())
    }

    async fn get_records(&self, id: &ShardId, position: Position, limit: usize) -> Result<RecordsPage, StreamError> {
        self.reads.fetch_add(1, SeqCst);
        self.faults.check().map_err(StreamError::Unavailable)?;
        let shards = self.shards.lock().unwrap();
        let shard = &shards[id];
        if shard.expired {
            return Err(StreamError::NoSuchShard(id.clone()));
        }
        let after = Self::after(shard, position);
        let records: Vec<_> = shard.records.iter().skip(after).take(limit).cloned().collect();
        let end = after + records.len();
        let at_tip = end == shard.records.len();
        let next = Position::AfterSequenceNumber((end as u64).into());
        let behind_latest = Duration::from_secs(u64::from(!at_tip));
        Ok(RecordsPage { records, next: (!(shard.closed && at_tip)).then_some(next), behind_latest })
    }

    async fn records_available(&self, id: &ShardId, position: Position) {
        loop {
            let news = self.news.notified();
            {
                let shards = self.shards.lock().unwrap();
                let shard = &shards[id];
                if shard.closed || shard.expired || Self::after(shard, position) < shard.records.len() {
                    return;
                }
            }
            news.await;
        }
    }
}

#[derive(Default)]
pub struct MemoryCheckpoints {
    pub saved: Mutex<BTreeMap<ShardId, SequenceNumber>>,
    pub faults: Faults,
}

impl Checkpoints for MemoryCheckpoints {
    async fn load(&self, shard: &ShardId) -> Result<Option<SequenceNumber>, CheckpointError> {
        self.faults.check().map_err(CheckpointError)?;
        Ok(self.saved.lock().unwrap().get(shard).copied())
    }

    async fn save(&self, shard: &ShardId, sequence_number: SequenceNumber) -> Result<(), CheckpointError> {
        self.faults.check().map_err(CheckpointError)?;
        self.saved.lock().unwrap().insert(shard.clone(), sequence_number);
        Ok(())
    }
}

/// Keeps the data of every record it is sent, in order, and answers after `takes`.
#[derive(Default)]
pub struct KeepingFunction {
    pub sent: Mutex<Vec<String>>,
    pub done: Mutex<Vec<String>>,
    pub takes: Duration,
    pub faults: Faults,
}

impl KeepingFunction {
    pub fn done(&self) -> Vec<String> {
        self.done.lock().unwrap().clone()
    }
}

impl Function for KeepingFunction {
    async fn invoke(&self, batch: &Batch) -> Result<Verdict, FunctionError> {
        let text = |record: &StreamRecord| String::from_utf8(record.data.clone()).unwrap();
        let records: Vec<_> = batch.iter().map(text).collect();
        self.sent.lock().unwrap().extend(records.clone());
        self.faults.check().map_err(FunctionError::Unhandled)?;
        tokio::time::sleep(self.takes).await;
        self.done.lock().unwrap().extend(records);
        Ok(Verdict::Success)
    }
}

#[derive(Default)]
pub struct KeepingDestination {
    pub taken: Mutex<Vec<DiscardedBatch>>,
    pub faults: Faults,
}

impl OnFailure for KeepingDestination {
    async fn record(&self, discarded: DiscardedBatch) -> Result<(), OnFailureError> {
        self.faults.check().map_err(OnFailureError)?;
        self.taken.lock().unwrap().push(discarded);
        Ok(())
    }
}

/// Stands still: no test here is about age.
pub struct StandingClock;

impl Clock for StandingClock {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
}

#[derive(Default)]
pub struct World {
    pub stream: Arc<MemoryStream>,
    pub checkpoints: Arc<MemoryCheckpoints>,
    pub function: Arc<KeepingFunction>,
    pub destination: Arc<KeepingDestination>,
    pub metrics: Arc<Metrics>,
}

type Mapping = EventSourceMapping<MemoryStream, MemoryCheckpoints, KeepingFunction, KeepingDestination, StandingClock>;

impl World {
    pub fn faulty() -> Self {
        World {
            stream: Arc::new(MemoryStream { faults: Faults::on(), ..MemoryStream::default() }),
            checkpoints: Arc::new(MemoryCheckpoints { faults: Faults::on(), ..MemoryCheckpoints::default() }),
            function: Arc::new(KeepingFunction { faults: Faults::on(), ..KeepingFunction::default() }),
            destination: Arc::new(KeepingDestination { faults: Faults::on(), ..KeepingDestination::default() }),
            metrics: Arc::default(),
        }
    }

    pub fn mapping(&self, config: MappingConfig) -> Mapping {
        EventSourceMapping {
            stream: Arc::clone(&self.stream),
            checkpoints: Arc::clone(&self.checkpoints),
            function: Arc::clone(&self.function),
            on_failure: Arc::clone(&self.destination),
            clock: Arc::new(StandingClock),
            config,
            metrics: Arc::clone(&self.metrics),
        }
    }

    pub fn checkpoint(&self, shard: &str) -> Option<u64> {
        let saved = self.checkpoints.saved.lock().unwrap();
        saved.get(&shard_id(shard)).map(|sequence| sequence.to_string().parse().unwrap())
    }
}

pub fn config() -> MappingConfig {
    MappingConfig {
        batch_size: 10,
        retry_backoff: Backoff { initial: Duration::from_millis(10), maximum: Duration::from_millis(200) },
        ..MappingConfig::new(EventSource::on_one_machine("readings", "aggregator"))
    }
}
