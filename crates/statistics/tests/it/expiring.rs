//! Pages that expire leave a mark that outlives a change of the retention.

use proptest::prelude::*;
use statistics::{CountedReading, DeviceState, Identity};

const DAY_S: u64 = 86_400;
const DAY_NS: i128 = 86_400_000_000_000;
const START_NS: i128 = 1_795_305_600_000_000_000;

fn counted(days: std::ops::Range<i128>) -> DeviceState {
    let mut state = DeviceState::new();
    count(&mut state, days);
    state
}

fn count(state: &mut DeviceState, days: std::ops::Range<i128>) {
    let reading = |day: i128| CountedReading {
        identity: Identity { timestamp_ns: START_NS + day * DAY_NS, event_id_hash: None },
        value: day as f64,
        value_check: day as u16,
    };
    state.count(&days.map(reading).collect::<Vec<_>>());
}

#[test]
fn nothing_has_expired_where_no_page_expires() {
    let mut state = counted(0..5);
    assert_eq!(state.expired_floor_ns(i128::MAX / 2), None);
    state.spill_at_most("d", 1_000, usize::MAX);
    assert_eq!(state.expired_floor_ns(i128::MAX / 2), None);
}

#[test]
fn the_shortest_retention_stays_in_force_for_what_it_covered_and_for_nothing_newer() {
    let mut state = counted(0..5);
    state.spill_at_most("d", 1_000, usize::MAX);
    state.pages_expire_after(10 * DAY_S);
    count(&mut state, 5..8);
    state.spill_at_most("d", 1_000, usize::MAX);
    state.pages_expire_after(90 * DAY_S);
    // Pages written later, without a retention, are not covered.
    count(&mut state, 8..20);
    state.spill_at_most("d", 1_000, usize::MAX);
    assert_eq!(state.expired_floor_ns(START_NS + 12 * DAY_NS), Some(START_NS + 2 * DAY_NS - 1));
    assert_eq!(state.expired_floor_ns(START_NS + 1_000 * DAY_NS), Some(START_NS + 7 * DAY_NS));
}

proptest! {
    #[test]
    fn what_expires_survives_the_stored_form(
        first in 1i128..100, second in 0i128..100, retention_s in any::<u64>(), jitter in 0i128..1_000
    ) {
        let mut state = counted(0..first);
        state.count(&[CountedReading {
            identity: Identity { timestamp_ns: START_NS + jitter, event_id_hash: Some(1) }, value: 1.0, value_check: 1,
        }]);
        state.spill_at_most("d", 1_000, usize::MAX);
        state.pages_expire_after(retention_s);
        count(&mut state, first..first + second);
        let stored = state.encode();
        prop_assert_eq!(DeviceState::decode(&stored).unwrap(), state);
    }
}
