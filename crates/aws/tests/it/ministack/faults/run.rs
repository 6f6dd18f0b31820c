//! One schedule: a storm, in which everything may go wrong, then calm, in which everything comes to an end.

use crate::ministack::faults::chaos::Chaos;
use crate::ministack::faults::fault::{Coverage, Event};
use crate::ministack::faults::lambda::Lambda;
use crate::ministack::faults::lie::Lie;
use crate::ministack::faults::oracle::{End, Truth};
use crate::ministack::faults::world::{World, now};
use crate::server::{STREAM, active};
use aggregator::{Aggregator, LedgerMode, Settings};
use event_source_mapping::{Backoff, EventSource, EventSourceMapping, MappingConfig, NoDestination, run};
use ports::{
    CheckpointError, Checkpoints, EventStream as _, PutError, PutReceipt, SequenceNumber, ShardId, StreamEntry,
    SystemClock,
};
use simulation::content::{Entry, entry, garbage};
use simulation::model::{Schedule, Step};
use simulation::{Random, START_NS, arbitrary};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use telemetry::RejectReason;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::sleep;

const HOUR_NS: i128 = 3_600_000_000_000;
const DAY_NS: i128 = 24 * HOUR_NS;

/// How long everything that is pending may take once nothing fails any more.
const CALM_MAX: Duration = Duration::from_secs(120);

/// What one schedule came to.
pub struct Outcome {
    pub coverage: Coverage,
    /// What broke, and what had gone wrong before.
    pub violation: Option<(String, Vec<String>)>,
    pub readings: usize,
}

/// The fewest readings of a schedule: the simulation's small ones find little in the time that real services take.
const READINGS_MIN: usize = 16;

fn readings(schedule: &Schedule) -> usize {
    schedule.devices.iter().map(|device| device.readings.len()).sum()
}

/// The schedule of `seed`: one of the simulation's, moved to the present, without what operators do, and with more that
/// is bad or comes again.
fn schedule(seed: u64, chance: &mut Random) -> Schedule {
    let mut candidates = (0..).map(|n| arbitrary::schedule(seed << 16 | n));
    let mut schedule = candidates.find(|schedule| readings(schedule) >= READINGS_MIN).expect("one in six is as large");
    let now_ns = now().as_nanosecond();
    // By whole days, so that the readings' days are told apart as they were; an hour back, so that none is ahead.
    let shift_ns = (now_ns - HOUR_NS - START_NS).div_euclid(DAY_NS) * DAY_NS;
    for reading in schedule.devices.iter_mut().flat_map(|device| &mut device.readings) {
        reading.timestamp_ns += shift_ns;
    }
    if chance.one_in(3) {
        schedule.devices[0].readings[0].timestamp_ns = now_ns + 400 * DAY_NS;
    }
    let mut more = Vec::new();
    for reason in [RejectReason::MalformedJson, RejectReason::InvalidReading, RejectReason::BadAggregate] {
        more.extend(chance.one_in(2).then_some(Step::PutBad(reason)));
    }
    for step in &schedule.steps {
        if let Step::Put { record, .. } = step {
            more.extend(chance.one_in(3).then(|| Step::Put { record: record.clone(), again: true }));
        }
    }
    if !chance.one_in(3) {
        schedule.steps.insert(0, Step::StartPoller);
    }
    for step in more {
        schedule.steps.insert(chance.below(schedule.steps.len() + 1), step);
    }
    schedule.settings.ledger = LedgerMode::Full { retention: None };
    // The oracle expects a letter for each reading.
    schedule.settings.letters_per_record_max = Settings::default().letters_per_record_max;
    schedule
}

/// Runs the schedule of `seed`, over ports of which one may overlook something.
pub async fn play(seed: u64, lie: Option<Lie>) -> Outcome {
    let mut chance = Random::new(seed ^ 0xfa_017);
    let schedule = schedule(seed, &mut chance);
    let chaos = Chaos::new(seed, chance.pick(&[2, 3, 4, 8]), lie);
    let world = World::new(&chaos).await;
    let mut pipeline = Pipeline::new(&schedule, &world, &chaos, chance);
    pipeline.storm().await;
    let end = pipeline.calm().await;
    let verdict = match end {
        Ok(end) => {
            note_letters(&chaos, &end);
            end.verdict()
        }
        Err(stuck) => Err(stuck),
    };
    let violation = verdict.err().map(|broken| (broken, chaos.journal()));
    Outcome { coverage: chaos.coverage(), violation, readings: readings(&schedule) }
}

fn note_letters(chaos: &Chaos, end: &End<'_>) {
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for received in &end.letters {
        *times.entry(&received.letter.id).or_default() += 1;
        chaos.event(match received.letter.reason {
            RejectReason::MalformedJson => Event::MalformedJson,
            RejectReason::InvalidReading => Event::InvalidReading,
            RejectReason::BadAggregate => Event::BadAggregate,
            RejectReason::FutureTimestamp => Event::FutureTimestamp,
            RejectReason::PartitionKeyMismatch => Event::PartitionKeyMismatch,
            RejectReason::ConflictingDuplicate => Event::ConflictingDuplicate,
            // None is due in any schedule here: the verdict says so.
            RejectReason::Late | RejectReason::CorruptState => continue,
        });
    }
    times.values().filter(|times| **times > 1).for_each(|_| chaos.event(Event::LetterTwice));
}

/// Where Lambda remembers how far it is; this outlives every mapping.
#[derive(Debug, Default)]
struct Kept(Mutex<BTreeMap<ShardId, SequenceNumber>>);

impl Kept {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<ShardId, SequenceNumber>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Checkpoints for Kept {
    async fn load(&self, shard: &ShardId) -> Result<Option<SequenceNumber>, CheckpointError> {
        Ok(self.lock().get(shard).copied())
    }

    async fn save(&self, shard: &ShardId, sequence_number: SequenceNumber) -> Result<(), CheckpointError> {
        self.lock().insert(shard.clone(), sequence_number);
        Ok(())
    }
}

struct Pipeline<'a> {
    schedule: &'a Schedule,
    world: &'a World,
    chaos: &'a Arc<Chaos>,
    chance: Random,
    checkpoints: Arc<Kept>,
    mappings: Vec<JoinHandle<()>>,
    put: usize,
    acknowledged: Vec<(Entry, PutReceipt)>,
}

impl<'a> Pipeline<'a> {
    fn new(schedule: &'a Schedule, world: &'a World, chaos: &'a Arc<Chaos>, chance: Random) -> Self {
        let (checkpoints, mappings, acknowledged) = (Arc::default(), Vec::new(), Vec::new());
        Pipeline { schedule, world, chaos, chance, checkpoints, mappings, put: 0, acknowledged }
    }

    fn mapping(
        &mut self,
        function_timeout: Duration,
    ) -> EventSourceMapping<aws::KinesisEventStream, Kept, Lambda, NoDestination, SystemClock> {
        let (of, settings): (_, Settings) = (&self.schedule.mapping, self.schedule.settings.clone());
        let handler = Aggregator::new(self.world.store(), self.world.dead_letters(), SystemClock, settings);
        let chance = Mutex::new(Random::new(self.chance.bits()));
        // Each mapping cuts other batches, so that two that race have other things to say.
        let batch_size = self.chance.pick(&[of.batch_size, 1, 4, 25]);
        let function = Lambda { handler, chaos: Arc::clone(self.chaos), chance, one_in: 4 };
        EventSourceMapping {
            stream: Arc::new(self.world.stream()),
            checkpoints: Arc::clone(&self.checkpoints),
            function: Arc::new(function),
            on_failure: Arc::new(NoDestination),
            clock: Arc::new(SystemClock),
            config: MappingConfig {
                batch_size,
                parallelization_factor: of.parallelization_factor,
                bisect_batch_on_function_error: of.bisect,
                function_timeout,
                retry_backoff: Backoff { initial: Duration::from_millis(5), maximum: Duration::from_millis(100) },
                ..MappingConfig::new(EventSource::on_one_machine(STREAM, "aggregator"))
            },
            metrics: Arc::default(),
        }
    }

    fn start_mapping(&mut self) {
        let mapping = self.mapping(Duration::from_millis(400));
        let task = async { run(mapping, std::future::pending()).await.expect("valid settings") };
        self.mappings.push(tokio::spawn(task));
    }

    async fn storm(&mut self) {
        self.start_mapping();
        let mut waiting = Vec::new();
        for step in &self.schedule.steps {
            match step {
                Step::Put { record, again } => {
                    if *again {
                        self.chaos.event(Event::PutAgain);
                    }
                    if record.aggregate {
                        self.chaos.event(Event::Aggregate);
                    }
                    waiting.push(entry(self.schedule, record, now().as_nanosecond()));
                }
                Step::PutBad(reason) => waiting.push(garbage(self.schedule, *reason)),
                Step::Split | Step::Merge => self.reshard(matches!(step, Step::Split)).await,
                Step::StartPoller if self.mappings.len() < 2 => {
                    self.chaos.event(Event::SecondMapping);
                    self.start_mapping();
                }
                Step::CrashPoller => self.crash().await,
                Step::Rewind => {
                    self.chaos.event(Event::Rewound);
                    self.checkpoints.lock().pop_first();
                    self.crash().await;
                }
                // The rest is done by operators, or needs a clock that can be set.
                _ => {}
            }
            if self.chance.one_in(3) {
                self.put_all(std::mem::take(&mut waiting)).await;
            }
            if self.chance.one_in(16) {
                self.crash().await;
            }
        }
        self.put_all(waiting).await;
        sleep(Duration::from_millis(self.chance.between(100, 900) as u64)).await;
    }

    /// A mapping dies, with its invocations, and another begins from the checkpoints.
    async fn crash(&mut self) {
        self.chaos.event(Event::MappingCrash);
        let crashed = self.chance.below(self.mappings.len());
        self.mappings.swap_remove(crashed).abort();
        sleep(Duration::from_millis(self.chance.below(30) as u64)).await;
        self.start_mapping();
    }

    /// A producer puts until the stream has everything.
    async fn put_all(&mut self, entries: Vec<Entry>) {
        let stream = self.world.stream();
        self.put += entries.len();
        let mut waiting = entries;
        while !waiting.is_empty() {
            let of = |entry: &Entry| StreamEntry::new(entry.partition_key.clone(), entry.data.clone());
            let results = stream.put_records(waiting.iter().map(of).collect()).await;
            assert_eq!(results.len(), waiting.len(), "one result an entry");
            let mut again = Vec::new();
            for (entry, result) in waiting.into_iter().zip(results) {
                match result {
                    Ok(receipt) => self.acknowledged.push((entry, receipt)),
                    Err(PutError::Refused(why)) => panic!("refused: {why}"),
                    Err(_) => {
                        self.chaos.event(Event::ProducerRetry);
                        again.push(entry);
                    }
                }
            }
            waiting = again;
        }
    }

    async fn reshard(&mut self, split: bool) {
        let kinesis = &self.world.kinesis;
        let listed = kinesis.list_shards().stream_name(STREAM).send().await.expect("shards");
        let mut open: Vec<(String, u128, u128)> = listed
            .shards
            .unwrap_or_default()
            .into_iter()
            .filter(|shard| shard.sequence_number_range.as_ref().is_some_and(|r| r.ending_sequence_number.is_none()))
            .filter_map(|shard| {
                let range = shard.hash_key_range?;
                Some((shard.shard_id, range.starting_hash_key.parse().ok()?, range.ending_hash_key.parse().ok()?))
            })
            .collect();
        open.sort_by_key(|(_, first, _)| *first);
        let at = self.chance.below(open.len());
        if split {
            let (shard, first, last) = &open[at];
            let middle = first + (last - first) / 2;
            let request = kinesis.split_shard().stream_name(STREAM).shard_to_split(shard);
            request.new_starting_hash_key(middle.to_string()).send().await.expect("a split");
            self.chaos.event(Event::Split);
        } else if let Some((other, ..)) = open.get(at + 1) {
            let request = kinesis.merge_shards().stream_name(STREAM).shard_to_merge(&open[at].0);
            request.adjacent_shard_to_merge(other).send().await.expect("a merge");
            self.chaos.event(Event::Merge);
        }
        active(kinesis).await;
    }

    /// Nothing fails any more: what is pending comes to its end.
    async fn calm(&mut self) -> Result<End<'a>, String> {
        for mapping in self.mappings.drain(..) {
            mapping.abort();
            // It was told to end.
            _ = mapping.await;
        }
        self.chaos.set_calm(true);
        self.chaos.settle().await;
        let truth = self.world.truth().await;
        let (stop, stopped) = oneshot::channel::<()>();
        let mapping = self.mapping(Duration::from_secs(30));
        let metrics = Arc::clone(&mapping.metrics);
        let mapping = tokio::spawn(run(mapping, async { _ = stopped.await }));
        let done = async {
            while !self.is_done(&truth) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let in_time = tokio::time::timeout(CALM_MAX, done).await.is_ok();
        // It may have ended with a panic, which the next line tells.
        _ = stop.send(());
        mapping.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        if !in_time {
            let (done, metrics) = (self.checkpoints.lock().clone(), metrics.snapshot());
            let last =
                truth.iter().map(|record| (&record.shard_id, &record.sequence_number)).collect::<BTreeMap<_, _>>();
            return Err(format!("what is pending does not come to an end: {done:?} of {last:?}, {metrics:?}"));
        }
        let mut items = Vec::new();
        for device in &self.schedule.devices {
            items.push(self.world.item(&device.id).await);
        }
        let letters = self.world.letters().await;
        self.chaos.set_calm(false);
        let archived_ids = self.world.archived_ids().await?;
        let acknowledged = std::mem::take(&mut self.acknowledged);
        Ok(End { schedule: self.schedule, acknowledged, put: self.put, truth, items, letters, archived_ids })
    }

    /// Whether the checkpoints have passed every record.
    fn is_done(&self, truth: &[Truth]) -> bool {
        let checkpoints = self.checkpoints.lock();
        truth.iter().all(|record| {
            let number = record.sequence_number.parse::<SequenceNumber>().expect("a sequence number");
            checkpoints.get(&ShardId(record.shard_id.clone())).is_some_and(|done| *done >= number)
        })
    }
}
