//! What leaves a window that spans more days than one write can hold pages.

use statistics::{CountedReading, DeviceState, Identity};

const DAY_NS: i128 = 86_400_000_000_000;
const START_NS: i128 = 1_795_305_600_000_000_000;

fn daily(days: std::ops::Range<i128>) -> Vec<CountedReading> {
    days.map(|day| CountedReading {
        identity: Identity { timestamp_ns: START_NS + day * DAY_NS, event_id_hash: None },
        value: day as f64,
        value_check: day as u16,
    })
    .collect()
}

#[test]
fn the_oldest_pages_leave_the_floor_rises_to_them_and_the_rest_stays() {
    let mut state = DeviceState::new();
    let readings = daily(0..150);
    state.count(&readings);
    let pages = state.spill_at_most("sensor-0001", 100_000, 99);
    assert_eq!((pages.len(), state.window_len()), (99, 51));
    assert_eq!(state.floor_ns(), Some(readings[98].identity.timestamp_ns));
    for (day, reading) in readings.iter().enumerate() {
        let on_a_page = pages.iter().find_map(|page| page.find(&reading.identity));
        let in_the_window = state.find(&reading.identity);
        assert_eq!(on_a_page.is_some(), day < 99);
        assert_eq!(on_a_page.xor(in_the_window), Some(reading.value_check), "day {day} stands in exactly one place");
    }
    assert_eq!(DeviceState::decode(&state.encode()).unwrap(), state);
}

#[test]
fn a_late_reading_in_the_window_leaves_the_floor_where_it_was() {
    let mut state = DeviceState::new();
    state.count(&daily(10..12));
    state.spill_at_most("sensor-0001", 100_000, usize::MAX);
    state.count(&daily(0..4));
    let pages = state.spill_at_most("sensor-0001", 100_000, 1);
    assert_eq!((pages.len(), state.window_len()), (1, 3));
    assert_eq!(state.floor_ns(), Some(START_NS + 11 * DAY_NS));
}
