//! Reads, plans and writes: the I/O around the plan.

use crate::decode::{Batch, Group, Rejected, dead_letter, decode};
use crate::event::KinesisEvent;
use crate::plan::{Outcome, Pages, Plan, days_to_read, plan};
use crate::settings::{LedgerMode, Settings};
use aws_lambda_events::event::streams::KinesisEventResponse;
use futures::StreamExt as _;
use ports::{
    Clock, ConfidenceInterval, DeadLetter, DeadLetterQueue, DeviceWrite, LedgerPageItem, StatisticsAttributes,
    StatisticsItem, StatisticsStore, StoreError, WriteError,
};
use statistics::{CountedReading, DeviceState, LedgerPage, UtcDay};
use std::collections::{BTreeMap, BTreeSet};
use telemetry::{DeviceId, RejectReason, Rejection, Timestamp};
use tracing::{error, warn};

/// A ledger page outlives its retention by this much, so that no clock that is a little off loses it too early.
const PAGE_EXPIRY_MARGIN_SECONDS: i64 = 24 * 3600;

/// The aggregator over its ports.
#[derive(Debug, Clone)]
pub struct Aggregator<S, D, C> {
    store: S,
    dead_letters: D,
    clock: C,
    settings: Settings,
}

/// What a batch came to, as this invocation saw it: a redelivered reading is a duplicate here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BatchReport {
    /// Readings counted.
    pub counted: u64,
    /// Readings of an identity and value that was counted before.
    pub duplicates: u64,
    /// Dead letters sent, by reason.
    pub dead_letters: BTreeMap<RejectReason, u64>,
    /// Devices whose group failed and will be delivered again.
    pub failed_groups: u64,
}

/// The answer to Lambda, and what happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handled {
    /// The records from which Lambda must deliver again; empty when all is done.
    pub response: KinesisEventResponse,
    /// What happened.
    pub report: BatchReport,
}

/// A passing failure of one device's group: it will be delivered again.
struct GroupFailure {
    cause: Box<dyn std::error::Error + Send + Sync>,
}

impl<S: StatisticsStore, D: DeadLetterQueue, C: Clock> Aggregator<S, D, C> {
    /// An aggregator over these ports.
    pub fn new(store: S, dead_letters: D, clock: C, settings: Settings) -> Self {
        Aggregator { store, dead_letters, clock, settings }
    }

    /// Handles one batch. Dead letters are stored before the batch is answered, whether or not anything was written.
    pub async fn handle(&self, event: &KinesisEvent) -> Handled {
        let Batch { groups, mut rejected } = decode(event, &self.settings);
        let mut report = BatchReport::default();
        let mut failed_records = BTreeSet::new();
        let results: Vec<_> = futures::stream::iter(groups)
            .map(|group| async move {
                let outcomes = self.write_group(&group).await;
                (group, outcomes)
            })
            .buffer_unordered(self.settings.concurrency.max(1))
            .collect()
            .await;
        for (group, outcomes) in results {
            match outcomes {
                Ok(outcomes) => tally(&group, &outcomes, &mut report, &mut rejected),
                Err(failure) => {
                    warn!(error = %failure.cause, "device group failed and will be delivered again");
                    report.failed_groups += 1;
                    failed_records.extend(group.places.first().map(|place| place.record));
                }
            }
        }
        self.send_dead_letters(event, rejected, &mut report, &mut failed_records).await;
        let mut response = KinesisEventResponse::default();
        response.set_failures(failed_records.iter().map(|record| &event.records[*record].kinesis.sequence_number));
        Handled { response, report }
    }

    /// Plans and writes a device's group, in as many writes as it needs, until it is whole.
    async fn write_group(&self, group: &Group) -> Result<Vec<Outcome>, GroupFailure> {
        let mut outcomes = Vec::with_capacity(group.readings.len());
        let mut replans = 0;
        while outcomes.len() < group.readings.len() {
            match self.write_prefix(&group.device_id, &group.readings[outcomes.len()..]).await? {
                Written::Prefix(taken) => outcomes.extend(taken),
                Written::Overtaken if replans < self.settings.replans_max => replans += 1,
                Written::Overtaken => return Err(GroupFailure { cause: "other writers kept coming between".into() }),
            }
        }
        Ok(outcomes)
    }

    /// One read, plan and conditional write. The item is read before its pages: the plan's proof rests on it.
    async fn write_prefix(&self, device_id: &DeviceId, readings: &[CountedReading]) -> Result<Written, GroupFailure> {
        let corrupt = || Ok(Written::Prefix(vec![Outcome::Corrupt; readings.len()]));
        let item = match self.store.read_statistics(device_id).await {
            Ok(item) => item,
            Err(StoreError::Corrupt(detail)) => {
                error!(device_id = device_id.as_str(), detail, "stored item is corrupt");
                return corrupt();
            }
            Err(error) => return Err(failure(error)),
        };
        let state = match item.as_ref().map(|item| DeviceState::decode(&item.state)).transpose() {
            Ok(state) => state,
            Err(error) => {
                error!(device_id = device_id.as_str(), %error, "stored state is corrupt");
                return corrupt();
            }
        };
        let mut pages = Pages::new();
        for day in days_to_read(state.as_ref(), readings, &self.settings) {
            pages.insert(day, self.read_pages(device_id, day).await?);
        }
        let now = self.clock.now();
        let planned = plan(device_id.as_str(), state.as_ref(), &pages, readings, now.as_nanosecond(), &self.settings);
        let Plan { outcomes, state: Some(next), pages } = planned else {
            return Ok(Written::Prefix(planned.outcomes));
        };
        let expected_revision = item.map(|item| item.revision);
        let revision = expected_revision.unwrap_or(0) + 1;
        let item = StatisticsItem { revision, attributes: attributes(&next, now), state: next.encode() };
        let pages = pages.iter().map(|page| self.page_item(page, revision)).collect();
        let write = DeviceWrite { device_id: device_id.clone(), expected_revision, item, pages };
        match self.store.write(write).await {
            Ok(()) => Ok(Written::Prefix(outcomes)),
            Err(WriteError::ConditionFailed) => Ok(Written::Overtaken),
            Err(error) => Err(failure(error)),
        }
    }

    async fn read_pages(
        &self,
        device_id: &DeviceId,
        day: UtcDay,
    ) -> Result<Result<Vec<LedgerPage>, statistics::CorruptState>, GroupFailure> {
        let items = match self.store.read_ledger(device_id, &LedgerPage::key_prefix(day)).await {
            Ok(items) => items,
            Err(error) => return Err(failure(error)),
        };
        let pages: Result<Vec<LedgerPage>, _> = items.iter().map(|item| LedgerPage::decode(&item.page)).collect();
        if let Err(error) = &pages {
            error!(device_id = device_id.as_str(), %day, %error, "stored ledger page is corrupt");
        }
        Ok(pages)
    }

    fn page_item(&self, page: &LedgerPage, revision: u64) -> LedgerPageItem {
        let expires_at = match self.settings.ledger {
            LedgerMode::Full { retention: Some(retention) } => {
                // Seconds since the epoch of any day up to the year 9999 fit an i64.
                let end_of_day = (page.day().start_ns() / 1_000_000_000) as i64 + 86_400;
                let kept = i64::try_from(retention.as_secs()).unwrap_or(i64::MAX);
                Some(end_of_day.saturating_add(kept).saturating_add(PAGE_EXPIRY_MARGIN_SECONDS))
            }
            _ => None,
        };
        LedgerPageItem { key: page.sort_key(revision), page: page.encode(), expires_at }
    }

    async fn send_dead_letters(
        &self,
        event: &KinesisEvent,
        mut rejected: Vec<Rejected>,
        report: &mut BatchReport,
        failed_records: &mut BTreeSet<usize>,
    ) {
        if rejected.is_empty() {
            return;
        }
        rejected.sort_by_key(|rejected| (rejected.place.record, rejected.place.reading));
        let letters = dead_letters(event, &rejected, self.clock.now());
        let results = self.dead_letters.send(letters).await;
        for (rejected, result) in rejected.iter().zip(results) {
            match result {
                Ok(()) => *report.dead_letters.entry(rejected.rejection.reason).or_default() += 1,
                Err(error) => {
                    warn!(%error, "dead letter was not taken and its record will be delivered again");
                    failed_records.insert(rejected.place.record);
                }
            }
        }
    }
}

enum Written {
    /// A prefix of the group is done, with these outcomes.
    Prefix(Vec<Outcome>),
    /// Another writer came between: read and plan again.
    Overtaken,
}

fn failure(error: impl std::error::Error + Send + Sync + 'static) -> GroupFailure {
    GroupFailure { cause: Box::new(error) }
}

/// The dead letters of a batch; each record's payloads are taken apart once.
fn dead_letters(event: &KinesisEvent, rejected: &[Rejected], failed_at: Timestamp) -> Vec<DeadLetter> {
    rejected
        .chunk_by(|a, b| a.place.record == b.place.record)
        .flat_map(|of_record| {
            let record = &event.records[of_record[0].place.record];
            let payloads = telemetry::reading_payloads(&record.kinesis.data);
            of_record.iter().map(move |rejected| dead_letter(record, rejected, &payloads, failed_at))
        })
        .collect()
}

fn tally(group: &Group, outcomes: &[Outcome], report: &mut BatchReport, rejected: &mut Vec<Rejected>) {
    for (place, outcome) in group.places.iter().zip(outcomes) {
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
        let device_id = Some(group.device_id.clone());
        let rejection = Rejection { reason, detail: detail.to_owned(), device_id };
        // A reading that came in a KPL aggregate had its device as its own partition key, or it would not be here.
        let partition_key = place.sub_sequence_number.map(|_| group.device_id.as_str().to_owned());
        rejected.push(Rejected { place: *place, rejection, partition_key });
    }
}

/// The readable attributes of a state.
fn attributes(state: &DeviceState, updated_at: Timestamp) -> StatisticsAttributes {
    let summary = state.summary();
    StatisticsAttributes {
        count: summary.count,
        mean: summary.mean,
        median: summary.median,
        standard_deviation: summary.standard_deviation,
        minimum: summary.minimum,
        maximum: summary.maximum,
        mean_confidence_95: summary.mean_confidence_95.map(|(low, high)| ConfidenceInterval { low, high }),
        anomaly_count: summary.anomaly_count,
        first_timestamp: summary.first_timestamp_ns.and_then(Timestamp::from_nanosecond),
        last_timestamp: summary.last_timestamp_ns.and_then(Timestamp::from_nanosecond),
        updated_at,
    }
}
