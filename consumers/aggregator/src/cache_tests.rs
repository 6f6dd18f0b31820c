use super::StateCache;
use statistics::{CountedReading, DeviceState, Identity};
use telemetry::DeviceId;

fn device(n: usize) -> DeviceId {
    DeviceId::parse(format!("device-{n}")).expect("a valid name")
}

fn state(readings: usize) -> Box<DeviceState> {
    let reading = |n: usize| {
        let identity = Identity { timestamp_ns: n as i128 * 7_000, event_id_hash: None };
        CountedReading { identity, value: n as f64 * 0.37, value_check: n as u16 }
    };
    let mut state = DeviceState::new();
    state.count(&(0..readings).map(reading).collect::<Vec<_>>());
    Box::new(state)
}

#[test]
fn the_least_recently_written_leave_first_and_bytes_add_up() {
    // An identity takes 48 bytes, and the vector may be twice as long.
    let least = size_of::<DeviceState>() + 100 * 48;
    let cache = StateCache::new(20 * least);
    for n in 0..20 {
        cache.put(&device(n), 1, state(100));
        cache.put(&device(0), 1 + n as u64, state(100));
    }
    let held: Vec<usize> = (0..20).filter(|n| cache.holds(&device(*n))).collect();
    let newest: Vec<usize> = std::iter::once(0).chain(21 - held.len()..20).collect();
    assert!((8..20).contains(&held.len()), "{held:?}");
    assert_eq!(held, newest);
    assert_eq!(cache.take(&device(0)).map(|entry| (entry.revision, entry.state)), Some((20, state(100))));
    held[1..].iter().for_each(|n| drop(cache.take(&device(*n))));
    assert_eq!(cache.lock().bytes, 0);
    assert!(cache.take(&device(0)).is_none());
}

#[test]
fn a_state_larger_than_the_cache_is_not_kept() {
    let cache = StateCache::new(4_000);
    cache.put(&device(1), 1, state(1));
    cache.put(&device(2), 1, state(1_000));
    assert!(!cache.holds(&device(2)));
    assert_eq!(cache.lock().bytes, 0);
}
