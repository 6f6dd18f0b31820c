//! The latest readings and statistics of each device, in memory, for the dashboard's chart.
//!
//! A convenience, not a record: it forgets at a restart, and under memory pressure it forgets the devices that have
//! been silent the longest.

use crate::answer::Number;
use ports::StatisticsAttributes;
use serde::Serialize;
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use telemetry::{DeviceId, Reading, Timestamp};

/// The memory that [`RecentActivity::default`] may take, in bytes.
pub const DEFAULT_MEMORY_BYTES: usize = 16 * 1024 * 1024;

/// The most points of each kind that one device keeps, and the fewest it keeps however many devices there are.
const POINTS_MAX: usize = 300;
const POINTS_MIN: usize = 12;

/// What a device takes besides its points and its name: its map entry, two ring headers, allocation overhead.
const DEVICE_BYTES: usize = 224;

const POINT_PAIR_BYTES: usize = size_of::<ReadingPoint>() + size_of::<StatisticsPoint>();

/// One reading, as it was accepted.
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
}

impl Default for RecentActivity {
    fn default() -> Self {
        Self::new(DEFAULT_MEMORY_BYTES)
    }
}

impl RecentActivity {
    /// An empty one that takes at most about `memory_bytes` bytes.
    pub fn new(memory_bytes: usize) -> Self {
        RecentActivity { memory_bytes, devices: Mutex::default() }
    }

    /// Adds readings that were accepted, in their order.
    pub fn record_readings(&self, readings: &[Reading]) {
        let mut devices = self.lock();
        for of_device in readings.chunk_by(|a, b| a.device_id == b.device_id) {
            let latest = &of_device[of_device.len().saturating_sub(POINTS_MAX)..];
            devices.update(&of_device[0].device_id, self.memory_bytes, |device, points| {
                for reading in latest {
                    let point = ReadingPoint { timestamp: reading.timestamp, value: Number(reading.value) };
                    push(&mut device.readings, point, points);
                }
            });
        }
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
        };
        self.lock().update(device_id, self.memory_bytes, |device, points| {
            match device.statistics.back_mut().filter(|last| last.timestamp == timestamp) {
                Some(last) => *last = point,
                None => push(&mut device.statistics, point, points),
            }
        });
    }

    /// What is known of a device, in the order of the timestamps, a reading that was posted twice once.
    pub(crate) fn of(&self, device_id: &DeviceId) -> Option<Recent> {
        let (mut readings, mut statistics) = {
            let devices = self.lock();
            let device = devices.by_name.get(device_id.as_str())?;
            (Vec::from_iter(device.readings.iter().copied()), Vec::from_iter(device.statistics.iter().copied()))
        };
        readings.sort_by_key(|point| point.timestamp);
        readings.dedup();
        statistics.sort_by_key(|point| point.timestamp);
        Some(Recent { device_id: device_id.as_str().to_owned(), readings, statistics })
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

/// Adds a point to a ring of at most `points`, whose capacity never exceeds them.
fn push<T>(ring: &mut VecDeque<T>, point: T, points: usize) {
    if ring.len() >= points {
        ring.pop_front();
    } else if ring.len() == ring.capacity() {
        ring.reserve_exact(ring.len().max(4).min(points - ring.len()));
    }
    ring.push_back(point);
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
