//! A batch: taken apart, its groups written, its dead letters sent, and answered.

use crate::cache::StateCache;
use crate::decode::{Batch, Group, decode};
use crate::group::{Decided, GroupWriter};
use crate::plan::Outcome;
use crate::rejected::{Letter, Place, Rejected, RejectedReadings};
use crate::settings::Settings;
use ports::{
    Clock, DeadLetterError, DeadLetterQueue, SequenceNumber, StatisticsAttributes, StatisticsStore, StreamRecord,
    with_causes,
};
use statistics::CountedReading;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::Arc;
use telemetry::{DeviceId, RejectReason, Rejection};
use tracing::error;

/// The aggregator over its ports. Clones share one cache of device states.
#[derive(Debug, Clone)]
pub struct Aggregator<S, D, C> {
    store: S,
    dead_letters: D,
    clock: C,
    settings: Settings,
    cache: Arc<StateCache>,
}

/// What a batch came to, as this invocation saw it: a redelivered reading is a duplicate here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BatchReport {
    /// Readings counted.
    pub counted: u64,
    /// Readings of an identity and value that was counted before.
    pub duplicates: u64,
    /// Readings whose dead letters were sent, by reason.
    pub dead_letters: BTreeMap<RejectReason, u64>,
    /// Devices whose group failed and will be delivered again.
    pub failed_groups: u64,
    /// Those of them whose stored state or ledger page is of a newer version than this program.
    pub newer_version: u64,
}

/// What must be delivered again, and what happened.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BatchResult {
    /// The records that must be delivered again, in the batch's order; empty when all is done.
    pub failed: Vec<SequenceNumber>,
    /// What happened.
    pub report: BatchReport,
    /// What was counted, by device, as far as this invocation knows: nothing of a write without an answer.
    pub counted: Vec<Counted>,
}

/// What a batch changed of a device.
#[derive(Debug, Clone, PartialEq)]
pub struct Counted {
    /// The device.
    pub device_id: DeviceId,
    /// The readings that were counted.
    pub readings: Vec<CountedReading>,
    /// Its statistics with them.
    pub statistics: StatisticsAttributes,
}

impl<S: StatisticsStore, D: DeadLetterQueue, C: Clock> Aggregator<S, D, C> {
    /// An aggregator over these ports.
    pub fn new(store: S, dead_letters: D, clock: C, settings: Settings) -> Self {
        let cache = Arc::new(StateCache::new(settings.cache_bytes_max));
        Aggregator { store, dead_letters, clock, settings, cache }
    }

    /// Handles a batch of one shard's records. Dead letters are stored before the batch is answered, whether or not
    /// anything was written.
    pub async fn handle(&self, records: &[StreamRecord]) -> BatchResult {
        let Batch { groups, mut rejected } = decode(records, &self.settings);
        let mut report = BatchReport::default();
        let mut failed_records = BTreeSet::new();
        let mut failures = Failures::default();
        let writer = GroupWriter::new(&self.store, &self.clock, &self.settings, &self.cache);
        let results = writer.write_groups(groups).await;
        let mut undecided = BTreeSet::new();
        let mut newer = None;
        let mut counted = Vec::new();
        for (Group { device_id, mut readings, places }, decided) in results {
            match decided {
                Ok(Decided { outcomes, statistics }) => {
                    tally(&device_id, &places, &outcomes, &mut report, &mut rejected);
                    let mut outcomes = outcomes.into_iter();
                    readings.retain(|_| outcomes.next() == Some(Outcome::Counted));
                    counted.extend(statistics.map(|statistics| Counted {
                        device_id,
                        readings,
                        statistics: *statistics,
                    }));
                }
                Err(failure) => {
                    if failure.is_of_a_newer_version() {
                        report.newer_version += 1;
                        newer.get_or_insert((with_causes(failure.cause.as_ref()), device_id));
                    } else {
                        failures.add(failure.cause.as_ref(), &device_id);
                    }
                    report.failed_groups += 1;
                    failed_records.extend(places.first().map(|place| place.record));
                    undecided.extend(places.iter().map(|place| place.record));
                }
            }
        }
        for (error, Failed { times, first }) in failures.0 {
            error!(error, devices = times, device_id = first, "device groups failed and will be delivered again");
        }
        if let Some((error, device_id)) = newer {
            let (devices, device_id) = (report.newer_version, device_id.as_str());
            error!(error, devices, device_id, "stored state is of a newer version than this program");
        }
        failed_records.extend(rejected.leave_out(&undecided, records));
        self.send_dead_letters(records, rejected, &mut report, &mut failed_records).await;
        let failed = failed_records.iter().map(|record| records[*record].sequence_number).collect();
        BatchResult { failed, report, counted }
    }

    async fn send_dead_letters(
        &self,
        records: &[StreamRecord],
        rejected: RejectedReadings,
        report: &mut BatchReport,
        failed_records: &mut BTreeSet<usize>,
    ) {
        let letters = rejected.letters(records, self.clock.now());
        if letters.is_empty() {
            return;
        }
        let of_letters: Vec<_> = letters.iter().map(|Letter { record, letter }| (*record, letter.readings())).collect();
        let letters = letters.into_iter().map(|Letter { letter, .. }| letter).collect();
        let mut results = self.dead_letters.send(letters).await.into_iter();
        let mut failures = Failures::default();
        for (record, readings) in of_letters {
            // A letter without an answer was not taken.
            let unanswered = || Err(DeadLetterError::Unavailable("the queue gave no answer".into()));
            match results.next().unwrap_or_else(unanswered) {
                Ok(()) => {
                    for (reason, count) in readings {
                        *report.dead_letters.entry(reason).or_default() += count;
                    }
                }
                Err(error) => {
                    failures.add(&error, &records[record].sequence_number);
                    failed_records.insert(record);
                }
            }
        }
        for (error, Failed { times, first }) in failures.0 {
            error!(
                error,
                dead_letters = times,
                sequence_number = first,
                "dead letters were not taken and their records will be delivered again"
            );
        }
    }
}

/// What failed in a batch, by its error: a permission or a table that is missing fails every device for one reason,
/// which is logged once.
#[derive(Default)]
struct Failures(BTreeMap<String, Failed>);

struct Failed {
    times: u64,
    /// The first that it happened to.
    first: String,
}

impl Failures {
    fn add(&mut self, error: &(dyn Error + 'static), of: &impl ToString) {
        let text = with_causes(error);
        self.0.entry(text).or_insert_with(|| Failed { times: 0, first: of.to_string() }).times += 1;
    }
}

fn tally(
    device_id: &DeviceId,
    places: &[Place],
    outcomes: &[Outcome],
    report: &mut BatchReport,
    rejected: &mut RejectedReadings,
) {
    for (place, outcome) in places.iter().zip(outcomes) {
        let (reason, detail) = match outcome {
            Outcome::Counted => {
                report.counted += 1;
                continue;
            }
            Outcome::Duplicate => {
                report.duplicates += 1;
                continue;
            }
            Outcome::Conflict => (
                RejectReason::ConflictingDuplicate,
                "`value`: differs from the value already counted for this device, timestamp and event_id",
            ),
            Outcome::Late => (RejectReason::Late, "`timestamp`: is older than what the ledger still decides"),
            Outcome::Corrupt => (RejectReason::CorruptState, "the device's stored state cannot be read"),
        };
        let rejection = Rejection { reason, detail: detail.to_owned(), device_id: Some(device_id.clone()) };
        // A reading that came in a KPL aggregate had its device as its own partition key, or it would not be here.
        let partition_key = place.sub_sequence_number.map(|_| device_id.as_str().to_owned());
        rejected.push(Rejected { place: *place, rejection, partition_key });
    }
}
