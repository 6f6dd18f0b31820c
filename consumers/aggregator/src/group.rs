//! The groups of a batch: each device's item read or cached, planned and written, until the whole group is decided.

use crate::cache::{CachedState, StateCache};
use crate::decode::Group;
use crate::plan::{CorruptPages, DayFound, Found, LookUps, Outcome, Plan, PlannedPage, look_ups, plan};
use crate::settings::{LedgerMode, Settings};
use futures::{StreamExt as _, TryStreamExt as _};
use ports::{
    Clock, ConfidenceInterval, DeviceWrite, LedgerKeys, LedgerPageItem, StatisticsAttributes, StatisticsItem,
    StatisticsStore, StoreError, WriteError,
};
use statistics::{CorruptState, CountedReading, DeviceState, Identity, LedgerPage, UtcDay};
use std::collections::{BTreeMap, BTreeSet};
use telemetry::{DeviceId, Timestamp};
use tokio::sync::Semaphore;
use tracing::error;

/// A ledger page outlives its retention by this much, so that no clock that is a little off loses it too early.
const PAGE_EXPIRY_MARGIN_SECONDS: i64 = 24 * 3600;

/// Parts of the ledger that a batch holds at once: three megabytes of pages, and what they are wrapped in, are within
/// the 8 MiB that its look-ups may take, however many devices and days they are of.
const PARTS_AT_ONCE: usize = 3;

/// Items that are read in one call, as many as BatchGetItem takes, and calls ahead of the writes.
const ITEMS_A_READ: usize = 100;
const READS_AT_ONCE: usize = 2;

/// A passing failure of one device's group: it will be delivered again.
#[derive(Debug)]
pub(crate) struct GroupFailure {
    pub cause: Box<dyn std::error::Error + Send + Sync>,
}

impl GroupFailure {
    /// Whether it lasts until a newer program runs.
    pub fn is_of_a_newer_version(&self) -> bool {
        matches!(self.cause.downcast_ref(), Some(StoreError::NewerVersion { .. }))
    }
}

fn failure(error: impl std::error::Error + Send + Sync + 'static) -> GroupFailure {
    GroupFailure { cause: Box::new(error) }
}

/// A group that is done.
pub(crate) struct Decided {
    pub outcomes: Vec<Outcome>,
    /// What its last write left; `None` where there was none.
    pub statistics: Option<Box<StatisticsAttributes>>,
}

/// What a read of a device's item brought.
type ItemRead = Result<Option<StatisticsItem>, StoreError>;

enum Written {
    /// A prefix of the group is done, with these outcomes; where it was written, with these statistics.
    Prefix(Vec<Outcome>, Option<Box<StatisticsAttributes>>),
    /// Another writer came between: read and plan again.
    Overtaken,
    /// It was planned from a cached state, and no write proves it: plan again from a fresh read.
    Unproven,
}

/// A device's item as it was read, or cached.
#[derive(Default)]
struct Stored {
    revision: Option<u64>,
    state: Option<Box<DeviceState>>,
    is_cached: bool,
}

/// Writes groups.
pub(crate) struct GroupWriter<'a, S, C> {
    pub store: &'a S,
    pub clock: &'a C,
    pub settings: &'a Settings,
    pub cache: &'a StateCache,
    parts: Semaphore,
}

impl<'a, S: StatisticsStore, C: Clock> GroupWriter<'a, S, C> {
    /// The writer of one batch.
    pub fn new(store: &'a S, clock: &'a C, settings: &'a Settings, cache: &'a StateCache) -> Self {
        GroupWriter { store, clock, settings, cache, parts: Semaphore::new(PARTS_AT_ONCE) }
    }

    /// Writes a batch's groups, each whole or failed by itself. Those whose states are cached come first; the items of
    /// the others are read many at once, and no more of them than are soon written.
    pub async fn write_groups(&self, groups: Vec<Group>) -> Vec<(Group, Result<Decided, GroupFailure>)> {
        let (warm, cold): (Vec<Group>, _) = groups.into_iter().partition(|group| self.cache.holds(&group.device_id));
        let warm = futures::stream::iter(warm.into_iter().map(|group| (group, None)));
        let cold = futures::stream::iter(cold).chunks(ITEMS_A_READ);
        let cold = cold.map(|groups| self.read_items(groups)).buffered(READS_AT_ONCE).flat_map(futures::stream::iter);
        let write = |(group, item)| async move {
            let decided = self.write_group(&group, item).await;
            (group, decided)
        };
        warm.chain(cold).map(write).buffer_unordered(self.settings.concurrency.max(1)).collect().await
    }

    async fn read_items(&self, groups: Vec<Group>) -> Vec<(Group, Option<ItemRead>)> {
        let devices: Vec<DeviceId> = groups.iter().map(|group| group.device_id.clone()).collect();
        let mut items = self.store.read_statistics(&devices).await.into_iter();
        // One without an answer is read by itself.
        groups.into_iter().map(|group| (group, items.next())).collect()
    }

    /// Plans and writes a device's group, in as many writes as it needs, until it is whole.
    async fn write_group(&self, group: &Group, mut read: Option<ItemRead>) -> Result<Decided, GroupFailure> {
        let mut outcomes = Vec::with_capacity(group.readings.len());
        let mut statistics = None;
        let (mut replans, mut is_fresh) = (0, false);
        while outcomes.len() < group.readings.len() {
            let readings = &group.readings[outcomes.len()..];
            match self.write_prefix(&group.device_id, readings, read.take(), is_fresh).await? {
                Written::Prefix(taken, written) => {
                    outcomes.extend(taken);
                    statistics = written.or(statistics);
                    is_fresh = false;
                }
                Written::Unproven => is_fresh = true,
                Written::Overtaken if replans < self.settings.replans_max => replans += 1,
                Written::Overtaken => return Err(GroupFailure { cause: "other writers kept coming between".into() }),
            }
        }
        Ok(Decided { outcomes, statistics })
    }

    /// One item, plan and conditional write. The item is read before its pages, and the clock after them: the plan's
    /// proof rests on it. A cached item was read earlier still.
    async fn write_prefix(
        &self,
        device_id: &DeviceId,
        readings: &[CountedReading],
        read: Option<ItemRead>,
        is_fresh: bool,
    ) -> Result<Written, GroupFailure> {
        let Some(Stored { revision: expected_revision, state, is_cached }) =
            self.stored(device_id, read, is_fresh).await?
        else {
            return Ok(Written::Prefix(vec![Outcome::Corrupt; readings.len()], None));
        };
        let (reach, look_ups) = look_ups(state.as_deref(), readings, self.settings);
        let readings = &readings[..reach];
        let found = self.look_up_days(device_id, look_ups).await?;
        let now = self.clock.now();
        let Plan { outcomes, next } =
            plan(device_id.as_str(), state, &found, readings, now.as_nanosecond(), self.settings);
        let revision = expected_revision.unwrap_or(0).checked_add(1);
        let is_proven = next.is_some() && revision.is_some() && !outcomes.iter().any(|outcome| outcome.is_rejected());
        if is_cached && !is_proven {
            return Ok(Written::Unproven);
        }
        let Some(next) = next else { return Ok(Written::Prefix(outcomes, None)) };
        let Some(revision) = revision else {
            error!(device_id = device_id.as_str(), "stored revision is the last there is");
            return Ok(Written::Prefix(vec![Outcome::Corrupt; readings.len()], None));
        };
        let statistics = attributes(&next.state, now);
        let item = StatisticsItem { revision, attributes: statistics.clone(), state: next.encoded };
        let pages = next.pages.into_iter().map(|page| self.page_item(page, revision)).collect();
        let write = DeviceWrite { device_id: device_id.clone(), expected_revision, item, pages };
        match self.store.write(write).await {
            Ok(()) => {
                self.cache.put(device_id, revision, next.state);
                Ok(Written::Prefix(outcomes, Some(Box::new(statistics))))
            }
            Err(WriteError::ConditionFailed) if is_cached => Ok(Written::Unproven),
            Err(WriteError::ConditionFailed) => Ok(Written::Overtaken),
            Err(error) => Err(failure(error)),
        }
    }

    /// The device's state: as `read`, or else cached, unless it must be fresh, or else read now. Nothing of it is cached
    /// afterwards. `None` where it cannot be read as what it should be.
    async fn stored(
        &self,
        device_id: &DeviceId,
        read: Option<ItemRead>,
        is_fresh: bool,
    ) -> Result<Option<Stored>, GroupFailure> {
        let cached = self.cache.take(device_id);
        let item = match (read, cached) {
            (Some(read), _) => read,
            (None, Some(CachedState { revision, state, .. })) if !is_fresh => {
                return Ok(Some(Stored { revision: Some(revision), state: Some(state), is_cached: true }));
            }
            _ => self.store.read_device(device_id).await,
        };
        let item = match item {
            Ok(Some(item)) => item,
            Ok(None) => return Ok(Some(Stored::default())),
            Err(StoreError::Corrupt(detail)) => {
                error!(device_id = device_id.as_str(), detail, "stored item is corrupt");
                return Ok(None);
            }
            Err(error) => return Err(failure(error)),
        };
        match DeviceState::decode(&item.state) {
            Ok(state) => {
                Ok(Some(Stored { revision: Some(item.revision), state: Some(Box::new(state)), is_cached: false }))
            }
            Err(CorruptState::NewerVersion { found, known }) => {
                Err(failure(StoreError::NewerVersion { what: "stored state".to_owned(), found, known }))
            }
            Err(error) => {
                error!(device_id = device_id.as_str(), %error, "stored state is corrupt");
                Ok(None)
            }
        }
    }

    async fn look_up_days(&self, device_id: &DeviceId, look_ups: LookUps) -> Result<Found, GroupFailure> {
        let look_up = |(day, wanted)| async move { Ok((day, self.look_up(device_id, day, wanted).await?)) };
        futures::stream::iter(look_ups).map(look_up).buffer_unordered(PARTS_AT_ONCE).try_collect().await
    }

    /// Looks identities of one day up on its pages, which are read part by part; those that begin after the latest
    /// of them are not read.
    async fn look_up(
        &self,
        device_id: &DeviceId,
        day: UtcDay,
        wanted: BTreeSet<Identity>,
    ) -> Result<DayFound, GroupFailure> {
        let wanted: Vec<Identity> = wanted.into_iter().collect();
        let Some(latest) = wanted.last() else { return Ok(Ok(BTreeMap::new())) };
        let (first, last) = LedgerPage::keys_until(day, latest.timestamp_ns);
        let keys = LedgerKeys { first, last };
        let (mut found, mut after) = (BTreeMap::new(), None);
        loop {
            // Nobody closes this semaphore.
            let _permit = self.parts.acquire().await.map_err(failure)?;
            let part = match self.store.read_ledger(device_id, &keys, after.as_deref()).await {
                Ok(part) => part,
                Err(StoreError::Corrupt(detail)) => {
                    error!(device_id = device_id.as_str(), %day, detail, "stored ledger page is corrupt");
                    return Ok(Err(CorruptPages));
                }
                Err(error) => return Err(failure(error)),
            };
            for page in &part.pages {
                match LedgerPage::look_up(&page.page, day, &wanted) {
                    Ok(entries) => found.extend(entries),
                    Err(CorruptState::NewerVersion { found, known }) => {
                        let what = format!("stored ledger page `{}`", page.key);
                        return Err(failure(StoreError::NewerVersion { what, found, known }));
                    }
                    Err(error) => {
                        error!(device_id = device_id.as_str(), page.key, %error, "stored ledger page is corrupt");
                        return Ok(Err(CorruptPages));
                    }
                }
            }
            after = part.next_after;
            if after.is_none() {
                return Ok(Ok(found));
            }
        }
    }

    fn page_item(&self, PlannedPage { page, encoded }: PlannedPage, revision: u64) -> LedgerPageItem {
        let expires_at = match self.settings.ledger {
            LedgerMode::Full { retention: Some(retention) } => {
                // The years 0000 to 9999 in seconds fit an i64.
                let end_of_day = (page.day().start_ns() / 1_000_000_000) as i64 + 86_400;
                let kept = i64::try_from(retention.as_secs()).unwrap_or(i64::MAX);
                Some(end_of_day.saturating_add(kept).saturating_add(PAGE_EXPIRY_MARGIN_SECONDS))
            }
            _ => None,
        };
        LedgerPageItem { key: page.sort_key(revision), page: encoded, expires_at }
    }
}

/// The readable attributes of a state.
pub fn attributes(state: &DeviceState, updated_at: Timestamp) -> StatisticsAttributes {
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
