//! The device state: what it counts, what it stores, and what leaves it.

use statistics::{CountedReading, DeviceState, Identity, UtcDay};

const SECOND: i128 = 1_000_000_000;
const START: i128 = 1_795_305_600 * SECOND;

fn reading(timestamp_ns: i128, value: f64) -> CountedReading {
    let identity = Identity { timestamp_ns, event_id_hash: None };
    CountedReading { identity, value, value_check: (timestamp_ns / SECOND) as u16 }
}

#[test]
fn the_worked_example_comes_out() {
    let mut state = DeviceState::new();
    let readings = [35.0, 40.0, 123.0].iter().enumerate().map(|(i, v)| reading(START + i as i128 * SECOND, *v));
    state.count(&readings.collect::<Vec<_>>());
    let summary = state.summary();
    assert_eq!((summary.count, summary.mean, summary.median), (3, Some(66.0), Some(40.0)));
    assert_eq!((summary.minimum, summary.maximum), (Some(35.0), Some(123.0)));
    assert!((summary.standard_deviation.unwrap() - 49.426_713_424_6).abs() < 1e-9);
}

#[test]
fn a_spilled_window_stands_in_pages_and_the_item_fits() {
    let mut state = DeviceState::new();
    let mut recorded = Vec::new();
    let mut paged = Vec::new();
    for index in 0..20_000 {
        let reading = reading(START + index * 10 * SECOND, 20.0 + (index % 977) as f64 / 100.0);
        state.count(&[reading]);
        recorded.push(reading.identity);
        if state.is_over("sensor-0001") {
            let pages = state.spill("sensor-0001", 100_000);
            assert!(!state.is_over("sensor-0001"));
            assert_eq!((state.window_len(), state.floor_ns()), (0, Some(reading.identity.timestamp_ns)));
            paged.extend(pages);
        }
        let stored = state.encode();
        assert!(state.item_size("sensor-0001") <= 1_024);
        state = DeviceState::decode(&stored).unwrap();
    }
    assert!(recorded.len() / paged.len() >= 20, "{} pages", paged.len());
    for identity in &recorded {
        let check = (identity.timestamp_ns / SECOND) as u16;
        let in_pages = paged.iter().find_map(|page| page.find(identity));
        assert_eq!(in_pages.or(state.find(identity)), Some(check));
    }
    for page in &paged {
        assert_eq!(page.day(), UtcDay::of(page.first_timestamp_ns()));
    }
}

#[test]
fn a_trimmed_window_fits_and_both_floors_rise_to_the_latest_instant_dropped() {
    let mut state = DeviceState::new();
    let readings: Vec<_> = (0..5_000).map(|i| reading(START + i * 7 * SECOND, i as f64)).collect();
    state.count(&readings);
    state.trim("sensor-0001");
    assert!(!state.is_over("sensor-0001") && state.window_len() >= 8);
    let kept = state.window_len();
    let newest_dropped = readings[5_000 - kept - 1].identity;
    assert_eq!(state.floor_ns(), Some(newest_dropped.timestamp_ns));
    assert_eq!(state.unledgered_floor_ns(), state.floor_ns());
    assert_eq!(state.find(&newest_dropped), None);
    assert!(state.find(&readings[5_000 - kept].identity).is_some());
}
