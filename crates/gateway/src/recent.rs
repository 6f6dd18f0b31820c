//! The latest readings and statistics of each device, in memory, for the dashboard's chart.
//!
//! A convenience, not a record: it forgets at a restart, and under memory pressure it forgets the devices that have
//! been silent the longest.

use crate::answer::{Interval, Number};
use ports::StatisticsAttributes;
use serde::Serialize;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use telemetry::{DeviceId, Timestamp};

/// The memory that [`RecentActivity::default`] may take, in bytes.
pub const DEFAULT_MEMORY_BYTES: usize = 16 * 1024 * 1024;

/// The most points of each kind that one device keeps, and the fewest it keeps however many devices there are.
const POINTS_MAX: usize = 300;
const POINTS_MIN: usize = 12;

/// What a device takes besides its points and its name: its map entry, two ring headers, allocation overhead.
const DEVICE_BYTES: usize = 224;

const POINT_PAIR_BYTES: usize = size_of::<ReadingPoint>() + size_of::<StatisticsPoint>();

/// One reading that was counted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct ReadingPoint {
    pub timestamp: Timestamp,
    pub value: Number,
}

/// A device's statistics, as they stood when its latest reading was `timestamp`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct StatisticsPoint {
    pub timestamp: Timestamp,
    pub count: u64,
    pub mean: Number,
    pub standard_deviation: Option<Number>,
    pub median: Number,
    pub mean_confidence_95: Option<Interval>,
    pub anomaly_count: u64,
}

/// What is known of one device, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Recent {
    pub device_id: String,
    pub readings: Vec<ReadingPoint>,
    pub statistics: Vec<StatisticsPoint>,
}

/// The latest readings and statistics of each device, within a fixed amount of memory.
///
/// A device keeps up to 300 points of each kind. With more devices than that leaves room for, each keeps fewer; with
/// still more, those that have been silent the longest are forgotten.
#[derive(Debug)]
pub struct RecentActivity {
    memory_bytes: usize,
    devices: Mutex<Devices>,
    writes: AtomicU64,
}

impl Default for RecentActivity {
    fn default() -> Self {
        Self::new(DEFAULT_MEMORY_BYTES)
    }
}

impl RecentActivity {
    /// An empty one that takes at most about `memory_bytes` bytes.
    pub fn new(memory_bytes: usize) -> Self {
        RecentActivity { memory_bytes, devices: Mutex::default(), writes: AtomicU64::new(0) }
    }

    /// Adds a device's readings that were counted: of those that it knows, it keeps the latest.
    pub fn record_readings(&self, device_id: &DeviceId, readings: impl Iterator<Item = (Timestamp, f64)>) {
        self.lock().update(device_id, self.memory_bytes, |device, points| {
            for (timestamp, value) in readings {
                let point = ReadingPoint { timestamp, value: Number(value) };
                // A late one goes to its place.
                let place = device.readings.partition_point(|kept| kept.timestamp <= timestamp);
                insert(&mut device.readings, place, point, points);
            }
        });
    }

    /// Adds a device's statistics after a write. Of several with one latest timestamp the last one stands.
    pub fn record_statistics(&self, device_id: &DeviceId, attributes: &StatisticsAttributes) {
        let (Some(timestamp), Some(mean), Some(median)) =
            (attributes.last_timestamp, attributes.mean, attributes.median)
        else {
            return;
        };
        let point = StatisticsPoint {
            timestamp,
            count: attributes.count,
            mean: Number(mean),
            standard_deviation: attributes.standard_deviation.map(Number),
            median: Number(median),
            mean_confidence_95: attributes.mean_confidence_95.map(Interval::from),
            anomaly_count: attributes.anomaly_count,
        };
        self.lock().update(device_id, self.memory_bytes, |device, points| {
            let end = device.statistics.len();
            match device.statistics.back_mut().filter(|last| last.timestamp == timestamp) {
                Some(last) => *last = point,
                None => insert(&mut device.statistics, end, point, points),
            }
        });
    }

    /// Counts what may have written statistics, whether it is known to have done so or not.
    pub fn count_write(&self) {
        self.writes.fetch_add(1, Ordering::Release);
    }

    /// How often statistics were written since the start: while it stays the same, no device has changed.
    pub(crate) fn writes(&self) -> u64 {
        self.writes.load(Ordering::Acquire)
    }

    /// What is known of a device, in the order of the timestamps.
    pub(crate) fn of(&self, device_id: &str) -> Option<Recent> {
        let (readings, mut statistics) = {
            let devices = self.lock();
            let device = devices.by_name.get(device_id)?;
            (Vec::from_iter(device.readings.iter().copied()), Vec::from_iter(device.statistics.iter().copied()))
        };
        statistics.sort_by_key(|point| point.timestamp);
        Some(Recent { device_id: device_id.to_owned(), readings, statistics })
    }

    fn lock(&self) -> MutexGuard<'_, Devices> {
        // Nothing here panics half-way; and if it did, a chart would miss a point.
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct Devices {
    by_name: HashMap<Box<str>, Device>,
    /// The memory taken by all devices, in bytes.
    bytes: usize,
    /// Counts the updates: the time by which devices are told silent.
    tick: u64,
}

#[derive(Debug, Default)]
struct Device {
    readings: VecDeque<ReadingPoint>,
    statistics: VecDeque<StatisticsPoint>,
    last_active: u64,
}

impl Device {
    fn bytes(&self, name: &str) -> usize {
        DEVICE_BYTES
            + name.len()
            + self.readings.capacity() * size_of::<ReadingPoint>()
            + self.statistics.capacity() * size_of::<StatisticsPoint>()
    }
}

impl Devices {
    /// Changes one device, which may keep as many points as the change is told, and stays within the memory.
    fn update(&mut self, device_id: &DeviceId, memory_bytes: usize, change: impl FnOnce(&mut Device, usize)) {
        let name = device_id.as_str();
        self.tick += 1;
        let share = memory_bytes / (self.by_name.len() + 1);
        let points = (share.saturating_sub(DEVICE_BYTES + name.len()) / POINT_PAIR_BYTES).clamp(POINTS_MIN, POINTS_MAX);
        if !self.by_name.contains_key(name) {
            self.by_name.insert(name.into(), Device::default());
            self.bytes += Device::default().bytes(name);
        }
        let Some(device) = self.by_name.get_mut(name) else { return };
        let before = device.bytes(name);
        change(device, points);
        trim(&mut device.readings, points);
        trim(&mut device.statistics, points);
        device.last_active = self.tick;
        self.bytes = self.bytes + device.bytes(name) - before;
        if self.bytes > memory_bytes {
            self.forget_the_silent(memory_bytes);
        }
    }

    /// Forgets the devices that have been silent the longest, an eighth at a time so that it is seldom needed.
    fn forget_the_silent(&mut self, memory_bytes: usize) {
        while self.bytes > memory_bytes && self.by_name.len() > 1 {
            let mut activity: Vec<u64> = self.by_name.values().map(|device| device.last_active).collect();
            let eighth = (activity.len() / 8).max(1);
            let (_, oldest_kept, _) = activity.select_nth_unstable(eighth);
            let oldest_kept = *oldest_kept;
            let bytes = &mut self.bytes;
            self.by_name.retain(|name, device| {
                let keep = device.last_active >= oldest_kept;
                if !keep {
                    *bytes -= device.bytes(name);
                }
                keep
            });
        }
    }
}

/// Puts a point at its place in a ring of at most `points`, whose capacity never exceeds them: a full one loses its first.
fn insert<T>(ring: &mut VecDeque<T>, place: usize, point: T, points: usize) {
    if ring.len() < points {
        if ring.len() == ring.capacity() {
            ring.reserve_exact(ring.len().max(4).min(points - ring.len()));
        }
        ring.insert(place, point);
    } else if place > 0 {
        ring.pop_front();
        ring.insert(place - 1, point);
    }
}

/// Gives back what a device may no longer keep.
fn trim<T>(ring: &mut VecDeque<T>, points: usize) {
    if ring.len() > points {
        ring.drain(..ring.len() - points);
    }
    // Not at every step down: as the fleet grows, each device's share shrinks with every newcomer.
    if ring.capacity() > points + points / 4 {
        ring.shrink_to(points);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str) -> DeviceId {
        DeviceId::parse(name).unwrap()
    }

    fn record(recent: &RecentActivity, name: &str, seconds: impl Iterator<Item = i64>) {
        let reading = |second| (Timestamp::from_millisecond(second * 1000).unwrap(), second as f64);
        recent.record_readings(&device(name), seconds.map(reading));
    }

    fn statistics(second: i64, count: u64) -> StatisticsAttributes {
        let timestamp = Timestamp::from_millisecond(second * 1000).unwrap();
        StatisticsAttributes {
            count,
            mean: Some(1.0),
            median: Some(1.0),
            standard_deviation: None,
            minimum: Some(1.0),
            maximum: Some(1.0),
            mean_confidence_95: None,
            anomaly_count: 0,
            first_timestamp: Some(timestamp),
            last_timestamp: Some(timestamp),
            updated_at: timestamp,
        }
    }

    /// What the rings and the map hold, recounted.
    fn recounted(recent: &RecentActivity) -> usize {
        recent.lock().by_name.iter().map(|(name, device)| device.bytes(name)).sum()
    }

    #[test]
    fn a_device_keeps_its_latest_300_readings() {
        let recent = RecentActivity::default();
        record(&recent, "d", 0..500);
        record(&recent, "d", [500].into_iter());
        let readings = recent.of("d").unwrap().readings;
        let values: Vec<_> = readings.iter().map(|point| point.value.0).collect();
        assert_eq!(values, (201..=500).map(f64::from).collect::<Vec<_>>());
    }

    #[test]
    fn of_several_statistics_with_one_latest_timestamp_the_last_stands() {
        let recent = RecentActivity::default();
        for (second, count) in [(1, 1), (1, 2), (2, 3), (2, 4)] {
            recent.record_statistics(&device("d"), &statistics(second, count));
        }
        let counts: Vec<_> = recent.of("d").unwrap().statistics.iter().map(|point| point.count).collect();
        assert_eq!(counts, [2, 4]);
    }

    #[test]
    fn late_readings_go_to_their_place_and_push_out_no_later_one() {
        let recent = RecentActivity::default();
        record(&recent, "d", 1000..1299);
        record(&recent, "d", [500, 900, 1100, 400].into_iter());
        let seconds: Vec<_> = recent.of("d").unwrap().readings.iter().map(|point| point.value.0).collect();
        let mut expected: Vec<_> = (1000..1299).chain([1100]).map(f64::from).collect();
        expected.sort_by(f64::total_cmp);
        assert_eq!(seconds, expected);
    }

    #[test]
    fn ten_thousand_devices_share_the_memory_and_none_is_forgotten() {
        let recent = RecentActivity::default();
        for second in 0..40 {
            for number in 0..10_000 {
                let name = format!("device-{number}");
                record(&recent, &name, [second].into_iter());
                recent.record_statistics(&device(&name), &statistics(second, 1));
            }
        }
        let devices = recent.lock();
        assert_eq!(devices.by_name.len(), 10_000);
        assert!(devices.bytes <= DEFAULT_MEMORY_BYTES, "{}", devices.bytes);
        assert!(devices.by_name.values().all(|device| device.readings.len() >= POINTS_MIN));
    }

    #[test]
    fn the_devices_that_were_silent_the_longest_are_forgotten_first() {
        let recent = RecentActivity::new(100_000);
        for number in 0..1000 {
            record(&recent, &format!("device-{number}"), [1].into_iter());
            record(&recent, "busy", [number].into_iter());
        }
        assert!(recent.of("busy").is_some());
        assert!(recent.of("device-999").is_some());
        assert!(recent.of("device-0").is_none());
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]
        #[test]
        fn the_memory_is_accounted_for_and_never_exceeded(
            steps in proptest::collection::vec((0u8..40, 0usize..400, proptest::bool::ANY), 1..120)
        ) {
            const MEMORY: usize = 60_000;
            let recent = RecentActivity::new(MEMORY);
            for (at, (number, readings, snapshot)) in steps.into_iter().enumerate() {
                let name = format!("device-{number}");
                record(&recent, &name, 0..readings as i64);
                if snapshot {
                    recent.record_statistics(&device(&name), &statistics(at as i64, 1));
                }
                let bytes = recent.lock().bytes;
                proptest::prop_assert_eq!(bytes, recounted(&recent));
                proptest::prop_assert!(bytes <= MEMORY, "{} bytes", bytes);
            }
        }
    }
}
