//! All devices as they stood at one moment.

use super::overview::Overview;
use crate::{PipelineView, ViewError};
use ports::{Clock, StatisticsAttributes};
use std::cmp::Ordering;
use std::sync::Arc;
use std::time::{Duration, Instant};
use telemetry::DeviceId;
use tokio::sync::Mutex;

/// Devices read at once.
const PAGE: usize = 1000;
/// Once something was written, a snapshot is taken anew after this long at the soonest, or this many times as long as it
/// took.
const KEPT_AT_LEAST: Duration = Duration::from_millis(900);
const KEPT_TIMES_AS_LONG: u32 = 10;
/// The devices are read again after this long though nothing is known to have been written: a write whose outcome nobody
/// learned may still have been done.
const READ_AT_LEAST: Duration = Duration::from_secs(30);

/// All devices as they stood at one moment.
pub(super) struct Snapshot {
    /// In byte order of their names. None is without readings.
    pub devices: Arc<Devices>,
    /// For each device its place in the order of names that people expect: `pump-9` before `pump-10`.
    pub rank: Arc<[u32]>,
    /// What they come to.
    pub overview: Overview,
}

impl Snapshot {
    /// Where a device stands in `devices`.
    pub fn place_of(&self, device: &DeviceId) -> Option<usize> {
        self.devices.binary_search_by(|(other, _)| other.as_str().cmp(device.as_str())).ok()
    }
}

/// The last snapshot, for all who look at once.
#[derive(Default)]
pub(crate) struct SnapshotCache(Mutex<Option<Kept>>);

struct Kept {
    good_until: Instant,
    /// When the devices were read.
    read_at: Instant,
    /// How many writes there had been before it was read.
    writes: u64,
    snapshot: Arc<Snapshot>,
}

impl SnapshotCache {
    /// A snapshot that is a second old at most or, where taking one takes long, ten times as long as that. While nothing
    /// is written the devices are read again every half a minute only; `writes` counts what was.
    pub(super) async fn get<V: PipelineView>(
        &self,
        view: &V,
        clock: &dyn Clock,
        writes: u64,
    ) -> Result<Arc<Snapshot>, ViewError> {
        let mut kept = self.0.lock().await;
        if let Some(kept) = kept.as_ref().filter(|kept| Instant::now() < kept.good_until) {
            return Ok(Arc::clone(&kept.snapshot));
        }
        let began = Instant::now();
        let is_as_it_was = |kept: &&Kept| kept.writes == writes && kept.read_at.elapsed() < READ_AT_LEAST;
        let (devices, rank, read_at) = match kept.as_ref().filter(is_as_it_was) {
            Some(Kept { snapshot, read_at, .. }) => {
                (Arc::clone(&snapshot.devices), Arc::clone(&snapshot.rank), *read_at)
            }
            None => {
                let devices = read_all(view).await?;
                let before = kept.as_ref().map(|kept| &kept.snapshot);
                let rank = match before.filter(|before| has_the_same_names(&before.devices, &devices)) {
                    Some(before) => Arc::clone(&before.rank),
                    None => ranks(&devices).into(),
                };
                (Arc::new(devices), rank, began)
            }
        };
        // How long ago each was written changes by itself.
        let overview = Overview::of(&devices, clock.now());
        let snapshot = Arc::new(Snapshot { devices, rank, overview });
        let keep = KEPT_AT_LEAST.max(began.elapsed() * KEPT_TIMES_AS_LONG);
        *kept = Some(Kept { good_until: Instant::now() + keep, read_at, writes, snapshot: Arc::clone(&snapshot) });
        Ok(snapshot)
    }

    /// Forgets the snapshot: nobody looks any more.
    pub(super) async fn forget(&self) {
        *self.0.lock().await = None;
    }
}

type Devices = Vec<(DeviceId, StatisticsAttributes)>;

async fn read_all<V: PipelineView>(view: &V) -> Result<Devices, ViewError> {
    let mut devices: Devices = Vec::new();
    loop {
        let page = view.devices(devices.last().map(|(device, _)| device), PAGE).await?;
        let more = page.len() == PAGE;
        devices.extend(page);
        if !more {
            devices.retain(|(_, attributes)| attributes.count > 0);
            return Ok(devices);
        }
    }
}

fn has_the_same_names(before: &Devices, now: &Devices) -> bool {
    before.len() == now.len() && before.iter().zip(now).all(|((before, _), (now, _))| before == now)
}

fn ranks(devices: &Devices) -> Vec<u32> {
    let mut order: Vec<usize> = (0..devices.len()).collect();
    order.sort_unstable_by(|a, b| by_name(devices[*a].0.as_str(), devices[*b].0.as_str()));
    let mut rank = vec![0; devices.len()];
    for (place, device) in (0..).zip(order) {
        rank[device] = place;
    }
    rank
}

/// As people order names: letters without regard to case, and digits in a row as the number that they are.
fn by_name(a: &str, b: &str) -> Ordering {
    let (mut rest_a, mut rest_b) = (a.as_bytes(), b.as_bytes());
    loop {
        let (Some(&first_a), Some(&first_b)) = (rest_a.first(), rest_b.first()) else {
            // The shorter first; of those alike but for case or leading zeros, in byte order.
            return rest_a.len().cmp(&rest_b.len()).then_with(|| a.cmp(b));
        };
        let order = if first_a.is_ascii_digit() && first_b.is_ascii_digit() {
            let (number_a, number_b) = (digits(&mut rest_a), digits(&mut rest_b));
            number_a.len().cmp(&number_b.len()).then_with(|| number_a.cmp(number_b))
        } else {
            (rest_a, rest_b) = (&rest_a[1..], &rest_b[1..]);
            first_a.to_ascii_lowercase().cmp(&first_b.to_ascii_lowercase())
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// Takes the digits that a text begins with, without leading zeros.
fn digits<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, behind) = rest.split_at(length);
    *rest = behind;
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    &digits[zeros..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_ordered_as_people_expect() {
        let expected = ["a", "A2", "a2", "a02b", "a10", "b1", "pump-9", "pump-10", "pump-10.1", "pump-10.11"];
        let mut names = expected;
        names.reverse();
        names.sort_by(|a, b| by_name(a, b));
        assert_eq!(names, expected);
    }

    proptest! {
        #[test]
        fn the_order_of_names_is_total(names in prop::collection::vec("[aB01.-]{1,6}", 3)) {
            let [a, b, c] = [&names[0], &names[1], &names[2]];
            prop_assert_eq!(by_name(a, b), by_name(b, a).reverse());
            prop_assert_eq!(by_name(a, b).is_eq(), a == b);
            if by_name(a, b).is_le() && by_name(b, c).is_le() {
                prop_assert!(by_name(a, c).is_le());
            }
        }
    }
}
