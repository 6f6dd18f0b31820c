//! One device: its state, its readable attributes and its ledger pages must be of one another.

use aggregator::attributes;
use ports::{ConfidenceInterval, LedgerPageItem, StatisticsAttributes, StatisticsItem};
use statistics::{DeviceState, Identity, LedgerPage, UtcDay};
use telemetry::DeviceId;

/// Attributes are computed with functions of the system's mathematics library, whose last digits differ between systems
/// that a directory may move between.
const RELATIVE_ERROR_MAX: f64 = 1e-9;

/// What is wrong with the device.
pub fn check(_: &DeviceId, item: &StatisticsItem, pages: &mut dyn Iterator<Item = LedgerPageItem>) -> Vec<String> {
    let state = match DeviceState::decode(&item.state) {
        Ok(state) => state,
        Err(error) => return vec![format!("its state doesn't decode: {error}")],
    };
    let mut problems = Vec::new();
    if !are_equal(&attributes(&state, item.attributes.updated_at), &item.attributes) {
        problems.push("its readable statistics are not those of its state".to_owned());
    }
    let mut ledger = Ledger { state: &state, item, identities: 0, day: None, expires: false };
    for page in pages {
        if let Err(why) = ledger.add(&page) {
            problems.push(format!("ledger page `{}`: {why}", page.key));
        }
    }
    if problems.is_empty()
        && let Err(why) = ledger.check_count()
    {
        problems.push(why);
    }
    problems
}

/// The identities of one device's pages.
struct Ledger<'a> {
    state: &'a DeviceState,
    item: &'a StatisticsItem,
    identities: u64,
    /// The day of the last page, and its identities so far: pages of one day may overlap in time.
    day: Option<(UtcDay, Vec<Identity>)>,
    expires: bool,
}

impl Ledger<'_> {
    fn add(&mut self, item: &LedgerPageItem) -> Result<(), String> {
        let page = LedgerPage::decode(&item.page).map_err(|error| format!("it doesn't decode: {error}"))?;
        let revision = item.key.rsplit('#').next().and_then(|revision| revision.parse().ok());
        let revision = revision.filter(|revision| page.sort_key(*revision) == item.key);
        let revision = revision.ok_or("its identities are not those of its key")?;
        if revision > self.item.revision {
            return Err(format!("it is of revision {revision}, but the item of revision {}", self.item.revision));
        }
        if self.state.floor_ns().is_none_or(|floor| page.last_timestamp_ns() > floor) {
            return Err("the state doesn't know that it was written".to_owned());
        }
        self.identities += page.len() as u64;
        self.expires |= item.expires_at.is_some();
        if page.entries().iter().any(|(identity, _)| self.state.find(identity).is_some()) {
            return Err("it holds a reading that the state holds too".to_owned());
        }
        self.add_to_day(&page)
    }

    /// A reading on two pages was counted twice.
    fn add_to_day(&mut self, page: &LedgerPage) -> Result<(), String> {
        let identities = page.entries().iter().map(|(identity, _)| *identity);
        let Some((_, before)) = self.day.as_mut().filter(|(day, _)| *day == page.day()) else {
            self.day = Some((page.day(), identities.collect()));
            return Ok(());
        };
        // Both are sorted, which makes the sort a merge.
        before.extend(identities);
        before.sort();
        if before.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err("it holds a reading that an earlier page of the day holds too".to_owned());
        }
        Ok(())
    }

    /// Every counted reading is in the window or on a page, unless pages expire or were never written.
    fn check_count(&self) -> Result<(), String> {
        let count = self.item.attributes.count;
        let held = self.identities + self.state.window_len() as u64;
        let may_lack = self.expires
            || self.state.unledgered_floor_ns().is_some()
            || self.state.expired_floor_ns(i128::MAX / 2).is_some();
        if held == count || (may_lack && held < count) {
            return Ok(());
        }
        Err(format!("it counts {count} readings, but state and ledger hold {held}"))
    }
}

fn are_equal(computed: &StatisticsAttributes, stored: &StatisticsAttributes) -> bool {
    let near = |one: Option<f64>, other: Option<f64>| match (one, other) {
        (Some(one), Some(other)) => (one - other).abs() <= RELATIVE_ERROR_MAX * one.abs().max(other.abs()),
        (one, other) => one == other,
    };
    let low = |of: &StatisticsAttributes| of.mean_confidence_95.map(|ConfidenceInterval { low, .. }| low);
    let high = |of: &StatisticsAttributes| of.mean_confidence_95.map(|ConfidenceInterval { high, .. }| high);
    near(computed.mean, stored.mean)
        && near(computed.median, stored.median)
        && near(computed.standard_deviation, stored.standard_deviation)
        && near(low(computed), low(stored))
        && near(high(computed), high(stored))
        && StatisticsAttributes {
            mean: stored.mean,
            median: stored.median,
            standard_deviation: stored.standard_deviation,
            mean_confidence_95: stored.mean_confidence_95,
            ..computed.clone()
        } == *stored
}

#[cfg(test)]
mod tests {
    use super::*;
    use statistics::CountedReading;
    use telemetry::Timestamp;

    const SECOND: i128 = 1_000_000_000;

    fn device() -> DeviceId {
        DeviceId::parse("a").unwrap()
    }

    /// A device that counted `count` readings, one a second, with the pages that its window was moved to.
    fn counted(count: i128) -> (StatisticsItem, Vec<LedgerPageItem>) {
        let (mut state, mut pages, mut revision) = (DeviceState::new(), Vec::new(), 0);
        for second in 0..count {
            let identity = Identity { timestamp_ns: second * SECOND, event_id_hash: None };
            state.count(&[CountedReading { identity, value: second as f64 / 8.0, value_check: 7 }]);
            revision += 1;
            if state.is_over("a", state.encode().len()) {
                let spilled = state.spill_at_most("a", 256, usize::MAX);
                pages.extend(spilled.iter().map(|page| LedgerPageItem {
                    key: page.sort_key(revision),
                    page: page.encode(),
                    expires_at: None,
                }));
            }
        }
        let attributes = attributes(&state, Timestamp::UNIX_EPOCH);
        (StatisticsItem { revision, attributes, state: state.encode() }, pages)
    }

    fn problems(item: &StatisticsItem, pages: &[LedgerPageItem]) -> String {
        check(&device(), item, &mut pages.iter().cloned()).join("; ")
    }

    #[test]
    fn a_device_that_fits_together_has_no_problems() {
        let (item, pages) = counted(1000);
        assert!(pages.len() > 3);
        assert_eq!(problems(&item, &pages), "");
    }

    #[test]
    fn readable_statistics_that_are_not_the_states_are_reported() {
        let (item, pages) = counted(1000);
        let changes: [fn(&mut StatisticsAttributes); 8] = [
            |attributes| attributes.count += 1,
            |attributes| attributes.mean = attributes.mean.map(|mean| mean * 1.000_001),
            |attributes| attributes.median = None,
            |attributes| attributes.standard_deviation = Some(1.0),
            |attributes| attributes.minimum = Some(0.1),
            |attributes| attributes.mean_confidence_95 = None,
            |attributes| attributes.anomaly_count += 1,
            |attributes| attributes.last_timestamp = attributes.first_timestamp,
        ];
        for change in changes {
            let mut changed = item.clone();
            change(&mut changed.attributes);
            assert!(problems(&changed, &pages).contains("not those of its state"), "{:?}", changed.attributes);
        }
        // The last digits may be another machine's.
        let mut near = item.clone();
        near.attributes.mean = item.attributes.mean.map(|mean| mean * (1.0 + 1e-14));
        assert_eq!(problems(&near, &pages), "");
        let mut state = item.clone();
        state.state[0] = 99;
        assert!(problems(&state, &pages).contains("its state doesn't decode: version 99"));
    }

    #[test]
    fn pages_that_are_not_the_states_are_reported() {
        let (item, pages) = counted(1000);
        let change = |change: fn(&mut Vec<LedgerPageItem>)| {
            let mut changed = pages.clone();
            change(&mut changed);
            problems(&item, &changed)
        };
        assert!(change(|pages| pages[1].page[0] = 99).contains("it doesn't decode"));
        assert!(change(|pages| pages[1].page = pages[0].page.clone()).contains("not those of its key"));
        assert!(change(|pages| pages.insert(1, pages[0].clone())).contains("an earlier page of the day"));
        assert!(change(|pages| drop(pages.pop())).contains("but state and ledger hold"));
        let (_, more) = counted(3000);
        assert!(problems(&item, &more).contains("is of revision"));
        let late = |item: &StatisticsItem| StatisticsItem { revision: u64::MAX, ..item.clone() };
        assert!(problems(&late(&item), &more).contains("the state doesn't know"));
    }

    #[test]
    fn a_reading_in_window_and_ledger_is_reported() {
        let (mut item, mut pages) = counted(1000);
        let mut state = DeviceState::decode(&item.state).unwrap();
        let late = Identity { timestamp_ns: state.floor_ns().unwrap(), event_id_hash: Some(1) };
        state.count(&[CountedReading { identity: late, value: 1.0, value_check: 7 }]);
        item = StatisticsItem {
            state: state.encode(),
            attributes: attributes(&state, item.attributes.updated_at),
            revision: item.revision + 1,
        };
        assert_eq!(problems(&item, &pages), "");
        let page = LedgerPage::new(UtcDay::of(0), vec![(late, 7)]).unwrap();
        pages.push(LedgerPageItem { key: page.sort_key(1), page: page.encode(), expires_at: None });
        assert!(problems(&item, &pages).contains("a reading that the state holds too"));
    }

    #[test]
    fn pages_that_expire_may_be_gone() {
        let (item, mut pages) = counted(1000);
        pages.remove(0);
        assert!(problems(&item, &pages).contains("but state and ledger hold"));
        pages.iter_mut().for_each(|page| page.expires_at = Some(1));
        assert_eq!(problems(&item, &pages), "");
    }
}
