//! An in-memory pipeline: a stream that can be told to fail, and a view that counts what the stream holds.

use gateway::{Accounting, BackupFailure, History, HistoryQuery, PipelineView, ViewError};
use ports::{
    BackupProgress, BackupStage, BackupSummary, ConfidenceInterval, CuratedRow, DeadLetter, DeadLetterOrigin,
    EventStream, Position, PutError, PutReceipt, RecordsPage, SequenceNumber, Shard, ShardId, StatisticsAttributes,
    StreamEntry, StreamError,
};
use redrive::{DeadLetters, Intent, Intents, Noted, Page, PageRequest, QueueError};
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use telemetry::{DeviceId, Reading, Timestamp, decode_record};
use tokio::sync::mpsc;

/// What the stream does with the next entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Stored,
    Throttled,
    Refused,
    Unavailable,
}

/// Stream and view in one, shared by its clones.
#[derive(Clone, Default)]
pub struct MemoryPipeline {
    inner: Arc<Mutex<Inner>>,
    /// Nothing is stored while this is locked.
    pub busy: Arc<tokio::sync::RwLock<()>>,
}

#[derive(Default)]
struct Inner {
    records: Vec<StreamEntry>,
    readings: BTreeMap<DeviceId, Vec<Reading>>,
    dead_letters: Vec<DeadLetter>,
    intents: BTreeMap<String, [u8; 16]>,
    fates: VecDeque<Fate>,
    view_is_down: bool,
}

impl MemoryPipeline {
    /// The stream's next entries fare so; later ones are stored.
    pub fn fates(&self, fates: impl IntoIterator<Item = Fate>) {
        self.inner.lock().unwrap().fates = fates.into_iter().collect();
    }

    /// Whether reads of the view fail.
    pub fn set_view_down(&self, down: bool) {
        self.inner.lock().unwrap().view_is_down = down;
    }

    /// Every record stored so far.
    pub fn records(&self) -> Vec<StreamEntry> {
        self.inner.lock().unwrap().records.clone()
    }

    /// How many records are stored.
    pub fn len(&self) -> usize {
        self.inner.lock().unwrap().records.len()
    }
}

impl Inner {
    fn put(&mut self, entry: StreamEntry) -> Result<PutReceipt, PutError> {
        match self.fates.pop_front().unwrap_or(Fate::Stored) {
            Fate::Stored => {}
            Fate::Throttled => return Err(PutError::Throttled),
            Fate::Refused => return Err(PutError::Refused("the record is over the stream's limit".to_owned())),
            Fate::Unavailable => return Err(PutError::Unavailable("the disk is full".into())),
        }
        let sequence_number = SequenceNumber::from(self.records.len() as u64);
        let shard_id = ShardId("shardId-000000000000".to_owned());
        for decoded in decode_record(&entry.data) {
            match decoded.outcome {
                Ok(reading) => self.readings.entry(reading.device_id.clone()).or_default().push(reading),
                Err(rejection) => {
                    let origin = DeadLetterOrigin {
                        stream: "memory",
                        shard_id: &shard_id.0,
                        sequence_number: &sequence_number.to_string(),
                        sub_sequence_number: decoded.sub_sequence_number,
                        index: decoded.index,
                        partition_key: &entry.partition_key,
                        arrived_at: Timestamp::UNIX_EPOCH,
                    };
                    let letter = DeadLetter::new(&rejection, &entry.data, origin, Timestamp::UNIX_EPOCH);
                    self.dead_letters.push(letter);
                }
            }
        }
        self.records.push(entry);
        Ok(PutReceipt { shard_id, sequence_number })
    }

    fn up(&self) -> Result<&Self, ViewError> {
        if self.view_is_down { Err(ViewError::Unavailable("the disk is gone".into())) } else { Ok(self) }
    }
}

impl EventStream for MemoryPipeline {
    async fn put_records(&self, entries: Vec<StreamEntry>) -> Vec<Result<PutReceipt, PutError>> {
        let _is_free = self.busy.read().await;
        let mut inner = self.inner.lock().unwrap();
        entries.into_iter().map(|entry| inner.put(entry)).collect()
    }

    async fn list_shards(&self) -> Result<Vec<Shard>, StreamError> {
        Ok(Vec::new())
    }

    async fn get_records(&self, shard: &ShardId, _: Position, _: usize) -> Result<RecordsPage, StreamError> {
        Err(StreamError::NoSuchShard(shard.clone()))
    }

    async fn records_available(&self, _: &ShardId, _: Position) {}
}

fn unavailable(error: ViewError) -> QueueError {
    let ViewError::Unavailable(source) = error;
    QueueError::Unavailable(source)
}

/// Oldest first, whatever the order asked for.
impl DeadLetters for MemoryPipeline {
    async fn page(&self, request: &PageRequest) -> Result<Page, QueueError> {
        let inner = self.inner.lock().unwrap();
        let after = request.after.as_ref().map_or(0, |after| after.parse().unwrap_or(usize::MAX));
        let letters = inner.up().map_err(unavailable)?.dead_letters.iter().zip(1..).skip(after);
        Page::fill(request, letters.map(|(letter, place): (_, usize)| Ok((place.to_string(), letter.clone()))))
    }

    async fn release(&self, _: Vec<String>) -> Result<(), QueueError> {
        Ok(())
    }

    async fn delete(&self, ids: Vec<String>) -> Result<u64, QueueError> {
        let mut inner = self.inner.lock().unwrap();
        let before = inner.up().map_err(unavailable)?.dead_letters.len();
        inner.dead_letters.retain(|letter| !ids.contains(&letter.id));
        Ok((before - inner.dead_letters.len()) as u64)
    }
}

impl Intents for MemoryPipeline {
    async fn note(&self, intents: Vec<Intent>) -> Result<Vec<Noted>, QueueError> {
        let mut inner = self.inner.lock().unwrap();
        inner.up().map_err(unavailable)?;
        let note = |Intent { id, form }| match *inner.intents.entry(id).or_insert(form) {
            before if before == form => Noted::Noted,
            _ => Noted::OtherForm,
        };
        Ok(intents.into_iter().map(note).collect())
    }
}

impl PipelineView for MemoryPipeline {
    type Letters = Self;

    async fn device(&self, device_id: &DeviceId) -> Result<Option<StatisticsAttributes>, ViewError> {
        Ok(self.inner.lock().unwrap().up()?.readings.get(device_id).map(|readings| attributes(readings)))
    }

    async fn devices(
        &self,
        after: Option<&DeviceId>,
        limit: usize,
    ) -> Result<Vec<(DeviceId, StatisticsAttributes)>, ViewError> {
        let inner = self.inner.lock().unwrap();
        let devices = inner.up()?.readings.iter().filter(|(device, _)| after.is_none_or(|after| *device > after));
        Ok(devices.take(limit).map(|(device, readings)| (device.clone(), attributes(readings))).collect())
    }

    /// A revision for each reading, written at its timestamp.
    async fn history(&self, query: HistoryQuery) -> Result<History, ViewError> {
        let inner = self.inner.lock().unwrap();
        let readings = inner.up()?.readings.get(&query.device_id).cloned().unwrap_or_default();
        let row = |revision: usize| {
            let state = attributes(&readings[..revision]);
            let statistics = StatisticsAttributes { updated_at: readings[revision - 1].timestamp, ..state };
            CuratedRow { device_id: query.device_id.clone(), revision: revision as u64, statistics }
        };
        let asked = |CuratedRow { statistics: StatisticsAttributes { updated_at: at, .. }, .. }: &CuratedRow| {
            query.from.is_none_or(|from| from <= *at) && query.to.is_none_or(|to| *at <= to)
        };
        let rows = (1..=readings.len()).map(row).filter(asked).collect();
        Ok(History { rows, unreadable_files: 0 })
    }

    async fn accounting(&self) -> Result<Accounting, ViewError> {
        let inner = self.inner.lock().unwrap();
        let counted = inner.up()?.readings.values().map(|readings| readings.len() as u64).sum();
        let mut dead_letters = BTreeMap::new();
        for letter in &inner.dead_letters {
            *dead_letters.entry(letter.reason).or_default() += 1;
        }
        let accepted = counted + inner.dead_letters.len() as u64;
        Ok(Accounting { accepted, counted, dead_letters, ..Accounting::default() })
    }

    fn letters(&self) -> &Self {
        self
    }

    /// Copies nothing. `/taken` is refused, `/slow` never ends, `/full` fails on the way.
    async fn backup(
        &self,
        target: PathBuf,
        progress: mpsc::Sender<BackupProgress>,
    ) -> Result<BackupSummary, BackupFailure> {
        self.inner.lock().unwrap().up().map_err(|error| BackupFailure::Failed(error.to_string()))?;
        if target == Path::new("/taken") {
            return Err(BackupFailure::Target("/taken is not empty".to_owned()));
        }
        for position in 0..2 {
            progress.send(BackupProgress { stage: BackupStage::Stream, position, total: 2 }).await.unwrap();
        }
        if target == Path::new("/slow") {
            std::future::pending::<()>().await;
        }
        if target == Path::new("/full") {
            return Err(BackupFailure::Failed("the disk is full".to_owned()));
        }
        Ok(BackupSummary { records: 2, ..BackupSummary::default() })
    }
}

/// The statistics of readings, by the textbook.
fn attributes(readings: &[Reading]) -> StatisticsAttributes {
    let mut values: Vec<f64> = readings.iter().map(|reading| reading.value).collect();
    values.sort_by(f64::total_cmp);
    let n = values.len() as f64;
    // Divided first: a hundred values of 1e100 have a mean, whatever their sum.
    let mean = values.iter().map(|value| value / n).sum::<f64>();
    let spread =
        (values.len() > 1).then(|| (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt());
    let half = values.len() / 2;
    let median = if values.len() % 2 == 1 { values[half] } else { values[half - 1] / 2.0 + values[half] / 2.0 };
    StatisticsAttributes {
        count: values.len() as u64,
        mean: Some(mean),
        median: Some(median),
        standard_deviation: spread,
        minimum: values.first().copied(),
        maximum: values.last().copied(),
        mean_confidence_95: spread.map(|spread| ConfidenceInterval { low: mean - spread, high: mean + spread }),
        anomaly_count: 0,
        first_timestamp: readings.iter().map(|reading| reading.timestamp).min(),
        last_timestamp: readings.iter().map(|reading| reading.timestamp).max(),
        updated_at: Timestamp::UNIX_EPOCH,
    }
}
