//! The decision, pure: which readings of a device's group count, and what one conditional write must hold so that
//! none ever counts twice.
//!
//! Identities and statistics change in one write. In sequence order, each reading is
//!
//! 1. a duplicate or a conflict, if its identity stands in the state's window or came earlier in the group;
//! 2. looked up in its UTC day's ledger pages, if it is not above the floor;
//! 3. new, otherwise.
//!
//! The proof rests on the order of reading: the item first, then its pages. A page read before the item proves
//! nothing, so [`Found`] must come from reads that began after the item's read ended.

use crate::settings::{LedgerMode, Settings};
use statistics::{CountedReading, DeviceState, Identity, LedgerPage, UtcDay, Window};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// No page is split to be smaller than the item beside it.
const ITEM_BYTES: usize = 1_024;

/// What becomes of one reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// It is new: it counts.
    Counted,
    /// The same identity with the same value was counted before.
    Duplicate,
    /// The same identity with another value was counted before.
    Conflict,
    /// It is older than what the ledger can still decide.
    Late,
    /// The stored state or page that would decide it does not decode.
    Corrupt,
}

impl Outcome {
    /// Whether the reading becomes a dead letter.
    pub fn is_rejected(self) -> bool {
        !matches!(self, Outcome::Counted | Outcome::Duplicate)
    }
}

/// What one day's pages hold of the identities that were looked up: the checks of their values.
pub type DayFound = Result<BTreeMap<Identity, u16>, CorruptPages>;

/// One of a day's pages cannot be read as what it should be, so that nothing is known of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a ledger page of this day is corrupt")]
pub struct CorruptPages;

/// What was found on the ledger pages, by UTC day.
pub type Found = BTreeMap<UtcDay, DayFound>;

/// The identities to look up on the ledger pages, by UTC day.
pub type LookUps = BTreeMap<UtcDay, BTreeSet<Identity>>;

/// What a device's group comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// One outcome for each reading that the plan takes, in order: a prefix of the group, and the whole of it unless
    /// one write cannot hold it.
    pub outcomes: Vec<Outcome>,
    /// What is to be written; `None` where nothing counts.
    pub next: Option<Next>,
}

/// What one write changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Next {
    /// The new state.
    pub state: Box<DeviceState>,
    /// Its bytes.
    pub encoded: Vec<u8>,
    /// The pages that must be written with it.
    pub pages: Vec<PlannedPage>,
}

/// A new ledger page.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedPage {
    /// The page.
    pub page: LedgerPage,
    /// Its bytes.
    pub encoded: Vec<u8>,
}

/// How many readings of the group can be planned together, and which identities must be looked up for them, after the
/// item was read. They are of as many days as one write may hold pages: a backfill of years is not read before its
/// first write.
pub fn look_ups(state: Option<&DeviceState>, group: &[CountedReading], settings: &Settings) -> (usize, LookUps) {
    let mut look_ups = LookUps::new();
    let Some((state, floor)) = state.and_then(|state| Some((state, state.floor_ns()?))) else {
        return (group.len(), look_ups);
    };
    if settings.ledger == LedgerMode::Window {
        return (group.len(), look_ups);
    }
    for (reach, CountedReading { identity, .. }) in group.iter().enumerate() {
        let is_unledgered = state.unledgered_floor_ns().is_some_and(|lost| identity.timestamp_ns <= lost);
        if identity.timestamp_ns > floor || is_unledgered || state.find(identity).is_some() {
            continue;
        }
        let day = UtcDay::of(identity.timestamp_ns);
        if look_ups.len() >= settings.pages_max.max(1) && !look_ups.contains_key(&day) {
            return (reach, look_ups);
        }
        look_ups.entry(day).or_default().insert(*identity);
    }
    (group.len(), look_ups)
}

/// Plans a device's group: `state` as read, `found` on pages read after it, `now_ns` from a clock read after them.
///
/// The plan takes the longest prefix of the group, found by halving, that one write can hold; a single reading
/// always fits.
pub fn plan(
    device_id: &str,
    mut state: Option<Box<DeviceState>>,
    found: &Found,
    group: &[CountedReading],
    now_ns: i128,
    settings: &Settings,
) -> Plan {
    // The state measures its item by the device's name: a longer one leaves as much more room.
    let name = match settings.item_bytes_reserved {
        0 => Cow::Borrowed(device_id),
        reserved => Cow::Owned(format!("{device_id}{:reserved$}", "")),
    };
    let mut take = group.len();
    loop {
        // One reading is the last try, and has the state itself.
        let state = if take <= 1 { state.take().map(Cow::Owned) } else { state.as_ref().map(Cow::Borrowed) };
        let plan = plan_prefix(&name, state, found, &group[..take], now_ns, settings);
        if take <= 1 || plan.next.as_ref().is_none_or(|next| fits(&name, next, settings)) {
            return plan;
        }
        take /= 2;
    }
}

/// Whether one write can hold it: the pages of a transaction, and an item of one write unit.
fn fits(device_id: &str, next: &Next, settings: &Settings) -> bool {
    let bytes = || next.pages.iter().map(|page| page.encoded.len());
    // Identities of one instant share a page, whatever its size.
    bytes().all(|bytes| bytes <= settings.page_bytes_max.max(ITEM_BYTES))
        && bytes().sum::<usize>() <= settings.write_bytes_max
        && !next.state.is_over(device_id, next.encoded.len())
}

fn plan_prefix(
    device_id: &str,
    state: Option<Cow<'_, Box<DeviceState>>>,
    found: &Found,
    group: &[CountedReading],
    now_ns: i128,
    settings: &Settings,
) -> Plan {
    let mut judge =
        Judge { state: state.as_deref().map(Box::as_ref), found, now_ns, settings, of_this_group: Window::default() };
    let outcomes: Vec<Outcome> = group.iter().map(|reading| judge.outcome(reading)).collect();
    let counted: Vec<CountedReading> = group
        .iter()
        .zip(&outcomes)
        .filter(|(_, outcome)| **outcome == Outcome::Counted)
        .map(|(reading, _)| *reading)
        .collect();
    if counted.is_empty() {
        return Plan { outcomes, next: None };
    }
    let mut next = state.map_or_else(Box::default, Cow::into_owned);
    next.count(&counted);
    let mut encoded = next.encode();
    let mut new_pages = Vec::new();
    if next.is_over(device_id, encoded.len()) {
        match settings.ledger {
            LedgerMode::Full { .. } => {
                new_pages = next.spill_at_most(device_id, settings.page_bytes_max, settings.pages_max);
                if let LedgerMode::Full { retention: Some(retention) } = settings.ledger {
                    next.pages_expire_after(retention.as_secs());
                }
            }
            LedgerMode::Window => next.trim(device_id),
        }
        encoded = next.encode();
    }
    let pages = new_pages.into_iter().map(|page| PlannedPage { encoded: page.encode(), page }).collect();
    Plan { outcomes, next: Some(Next { state: next, encoded, pages }) }
}

struct Judge<'a> {
    state: Option<&'a DeviceState>,
    found: &'a Found,
    now_ns: i128,
    settings: &'a Settings,
    of_this_group: Window,
}

impl Judge<'_> {
    fn outcome(&mut self, reading: &CountedReading) -> Outcome {
        let identity = reading.identity;
        let before = self.of_this_group.find(&identity).or_else(|| self.state?.find(&identity));
        if let Some(check) = before {
            return same_identity(check, reading.value_check);
        }
        let outcome = match self.state.and_then(DeviceState::floor_ns) {
            Some(floor) if identity.timestamp_ns <= floor => self.below_the_floor(reading),
            _ => Outcome::Counted,
        };
        if outcome == Outcome::Counted {
            self.of_this_group.insert(identity, reading.value_check);
        }
        outcome
    }

    fn below_the_floor(&self, reading: &CountedReading) -> Outcome {
        let timestamp_ns = reading.identity.timestamp_ns;
        let unledgered = self.state.and_then(DeviceState::unledgered_floor_ns);
        let LedgerMode::Full { retention } = self.settings.ledger else { return Outcome::Late };
        if unledgered.is_some_and(|lost| timestamp_ns <= lost) {
            return Outcome::Late;
        }
        match self.found.get(&UtcDay::of(timestamp_ns)) {
            Some(Ok(found)) => {
                if let Some(check) = found.get(&reading.identity).copied() {
                    return same_identity(check, reading.value_check);
                }
            }
            // A day that was not read decides nothing, and neither does a page that cannot be read.
            Some(Err(_)) | None => return Outcome::Corrupt,
        }
        // A retention that was in force when a page was written decides when it is gone, whatever was set since.
        let expired = self.state.and_then(|state| state.expired_floor_ns(self.now_ns));
        if retention.is_some_and(|retention| timestamp_ns < self.now_ns - nanoseconds(retention))
            || expired.is_some_and(|expired| timestamp_ns <= expired)
        {
            return Outcome::Late;
        }
        Outcome::Counted
    }
}

fn same_identity(counted: u16, given: u16) -> Outcome {
    if counted == given { Outcome::Duplicate } else { Outcome::Conflict }
}

fn nanoseconds(duration: Duration) -> i128 {
    // Five hundred years of nanoseconds fit 64 bits; an i128 holds every Duration.
    duration.as_nanos() as i128
}
