//! One device's group: read, plan and write, until the whole of it is decided.

use crate::decode::Group;
use crate::mutant::Mutant;
use crate::plan::{CorruptPages, DayPages, Outcome, Pages, Plan, days_to_read, plan};
use crate::settings::{LedgerMode, Settings};
use futures::{StreamExt as _, TryStreamExt as _};
use ports::{
    Clock, ConfidenceInterval, DeviceWrite, LedgerPageItem, StatisticsAttributes, StatisticsItem, StatisticsStore,
    StoreError, WriteError,
};
use statistics::{CountedReading, DeviceState, LedgerPage, UtcDay};
use telemetry::{DeviceId, Timestamp};
use tracing::error;

/// A ledger page outlives its retention by this much, so that no clock that is a little off loses it too early.
const PAGE_EXPIRY_MARGIN_SECONDS: i64 = 24 * 3600;

/// Days of one device that are read at once.
const DAYS_AT_ONCE: usize = 8;

/// A passing failure of one device's group: it will be delivered again.
#[derive(Debug)]
pub(crate) struct GroupFailure {
    pub cause: Box<dyn std::error::Error + Send + Sync>,
}

fn failure(error: impl std::error::Error + Send + Sync + 'static) -> GroupFailure {
    GroupFailure { cause: Box::new(error) }
}

enum Written {
    /// A prefix of the group is done, with these outcomes.
    Prefix(Vec<Outcome>),
    /// Another writer came between: read and plan again.
    Overtaken,
}

/// A device's item as it was read.
#[derive(Default)]
struct Found {
    revision: Option<u64>,
    state: Option<DeviceState>,
}

/// Writes groups.
pub(crate) struct GroupWriter<'a, S, C> {
    pub store: &'a S,
    pub clock: &'a C,
    pub settings: &'a Settings,
    #[cfg(feature = "mutants")]
    pub memory: &'a crate::wrong::Memory,
}

impl<S: StatisticsStore, C: Clock> GroupWriter<'_, S, C> {
    /// Plans and writes a device's group, in as many writes as it needs, until it is whole.
    pub async fn write_group(&self, group: &Group) -> Result<Vec<Outcome>, GroupFailure> {
        let mut outcomes = Vec::with_capacity(group.readings.len());
        let mut replans = 0;
        while outcomes.len() < group.readings.len() {
            match self.write_prefix(&group.device_id, &group.readings[outcomes.len()..]).await? {
                Written::Prefix(taken) => outcomes.extend(taken),
                Written::Overtaken if replans < self.settings.replans_max => replans += 1,
                Written::Overtaken => return Err(GroupFailure { cause: "other writers kept coming between".into() }),
            }
            if self.settings.is(Mutant::RestOfGroupDropped) && !outcomes.is_empty() {
                outcomes.resize(group.readings.len(), Outcome::Duplicate);
            }
        }
        Ok(outcomes)
    }

    /// One read, plan and conditional write. The item is read before its pages, and the clock after them: the plan's
    /// proof rests on it.
    async fn write_prefix(&self, device_id: &DeviceId, readings: &[CountedReading]) -> Result<Written, GroupFailure> {
        let early = self.clock.now();
        let mut before = Pages::new();
        if self.settings.is(Mutant::PagesReadBeforeItem) {
            let days = readings.iter().map(|reading| UtcDay::of(reading.identity.timestamp_ns)).collect();
            before = self.read_days(device_id, days).await?;
        }
        let Some(found) = self.read_item(device_id).await? else {
            return Ok(Written::Prefix(vec![Outcome::Corrupt; readings.len()]));
        };
        let (reach, days) = days_to_read(found.state.as_ref(), readings, self.settings);
        let readings = &readings[..reach];
        let days = days.into_iter().filter(|day| !before.contains_key(day)).collect();
        let mut pages = self.read_days(device_id, days).await?;
        pages.append(&mut before);
        let late = self.clock.now();
        let now = if self.settings.is(Mutant::ClockReadBeforePages) { early } else { late };
        let Plan { outcomes, state, pages } =
            plan(device_id.as_str(), found.state.as_ref(), &pages, readings, now.as_nanosecond(), self.settings);
        let Some(next) = state else { return Ok(Written::Prefix(outcomes)) };
        let Some(revision) = found.revision.unwrap_or(0).checked_add(1) else {
            error!(device_id = device_id.as_str(), "stored revision is the last there is");
            return Ok(Written::Prefix(vec![Outcome::Corrupt; readings.len()]));
        };
        let item = StatisticsItem { revision, attributes: attributes(&next, now), state: next.encode() };
        let pages = pages.iter().map(|page| self.page_item(page, revision, now)).collect();
        let write = DeviceWrite { device_id: device_id.clone(), expected_revision: found.revision, item, pages };
        match self.write(write).await {
            Ok(()) => Ok(Written::Prefix(outcomes)),
            Err(WriteError::ConditionFailed) if self.settings.is(Mutant::FailedConditionIsSuccess) => {
                Ok(Written::Prefix(outcomes))
            }
            Err(WriteError::Unavailable(_)) if self.settings.is(Mutant::FailedWriteIsSuccess) => {
                Ok(Written::Prefix(outcomes))
            }
            Err(WriteError::ConditionFailed) => Ok(Written::Overtaken),
            Err(error) => Err(failure(error)),
        }
    }

    #[cfg(not(feature = "mutants"))]
    async fn write(&self, write: DeviceWrite) -> Result<(), WriteError> {
        self.store.write(write).await
    }

    #[cfg(feature = "mutants")]
    async fn write(&self, write: DeviceWrite) -> Result<(), WriteError> {
        crate::wrong::write(self.store, self.settings, write).await
    }

    /// The item; `None` where it cannot be read as what it should be.
    async fn read_item(&self, device_id: &DeviceId) -> Result<Option<Found>, GroupFailure> {
        let item = match self.store.read_statistics(device_id).await {
            Ok(Some(item)) => item,
            Ok(None) => return Ok(Some(Found::default())),
            Err(StoreError::Corrupt(detail)) => {
                error!(device_id = device_id.as_str(), detail, "stored item is corrupt");
                return Ok(None);
            }
            Err(error) => return Err(failure(error)),
        };
        let revision = Some(item.revision);
        match DeviceState::decode(&item.state) {
            Ok(state) => Ok(Some(Found { revision, state: Some(state) })),
            Err(_) if self.settings.is(Mutant::CorruptStateOverwritten) => Ok(Some(Found { revision, state: None })),
            Err(error) => {
                error!(device_id = device_id.as_str(), %error, "stored state is corrupt");
                Ok(None)
            }
        }
    }

    async fn read_days(&self, device_id: &DeviceId, days: Vec<UtcDay>) -> Result<Pages, GroupFailure> {
        let read = |day| async move { Ok((day, self.read_day(device_id, day).await?)) };
        futures::stream::iter(days).map(read).buffer_unordered(DAYS_AT_ONCE).try_collect().await
    }

    async fn read_day(&self, device_id: &DeviceId, day: UtcDay) -> Result<DayPages, GroupFailure> {
        #[cfg(feature = "mutants")]
        if let Some(pages) = self.memory.pages(self.settings, device_id, day) {
            return Ok(pages);
        }
        let items = match self.store.read_ledger(device_id, &LedgerPage::key_prefix(day)).await {
            Ok(items) => items,
            Err(StoreError::Corrupt(detail)) => {
                error!(device_id = device_id.as_str(), %day, detail, "stored ledger page is corrupt");
                return Ok(self.corrupt_pages());
            }
            Err(_) if self.settings.is(Mutant::UnreadPageIsAbsent) => return Ok(Ok(Vec::new())),
            Err(error) => return Err(failure(error)),
        };
        let mut pages = Vec::with_capacity(items.len());
        for item in items {
            match LedgerPage::decode(&item.page) {
                // A page that stands under another day's key would be looked for in vain.
                Ok(page) if page.day() == day || self.settings.is(Mutant::PageOfAnotherDay) => pages.push(page),
                Ok(_) => {
                    error!(device_id = device_id.as_str(), key = item.key, "stored ledger page is of another day");
                    return Ok(self.corrupt_pages());
                }
                Err(error) => {
                    error!(device_id = device_id.as_str(), key = item.key, %error, "stored ledger page is corrupt");
                    return Ok(self.corrupt_pages());
                }
            }
        }
        #[cfg(feature = "mutants")]
        self.memory.keep_pages(self.settings, device_id, day, &pages);
        Ok(Ok(pages))
    }

    fn corrupt_pages(&self) -> DayPages {
        if self.settings.is(Mutant::CorruptPageIsEmpty) { Ok(Vec::new()) } else { Err(CorruptPages) }
    }

    fn page_item(&self, page: &LedgerPage, revision: u64, now: Timestamp) -> LedgerPageItem {
        let margin = match self.settings.is(Mutant::PagesExpireEarly) {
            true => -3 * PAGE_EXPIRY_MARGIN_SECONDS,
            false => PAGE_EXPIRY_MARGIN_SECONDS,
        };
        let expires_at = match self.settings.ledger {
            LedgerMode::Full { retention: Some(retention) } => {
                // The years 0000 to 9999 in seconds fit an i64.
                let end_of_day = (page.day().start_ns() / 1_000_000_000) as i64 + 86_400;
                let kept = i64::try_from(retention.as_secs()).unwrap_or(i64::MAX);
                Some(end_of_day.saturating_add(kept).saturating_add(margin))
            }
            _ => None,
        };
        let mut key = page.sort_key(revision);
        if self.settings.is(Mutant::PageOfAnotherDay) {
            let (own, today) = (LedgerPage::key_prefix(page.day()), UtcDay::of(now.as_nanosecond()));
            key = key.replace(&own, &LedgerPage::key_prefix(today));
        }
        LedgerPageItem { key, page: page.encode(), expires_at }
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
