//! A simulated fleet: devices with plausible names and signals, the same for the same seed.

mod signal;

use crate::row::{Origin, Refusal, Row};
use rand::SeedableRng;
use rand::rngs::StdRng;
use signal::{KINDS, Signal};
use std::sync::Arc;
use telemetry::{DeviceId, Reading, Timestamp};

/// Where simulated devices stand.
const SITES: [&str; 5] = ["greenhouse", "cold-store", "pump-house", "workshop", "rooftop"];

/// One simulated device.
#[derive(Debug, Clone)]
pub struct SimulatedDevice {
    id: DeviceId,
    /// What stands for a file's name in messages.
    pub(crate) origin: Arc<str>,
    signal: Signal,
    rng: StdRng,
}

impl SimulatedDevice {
    /// The device number `index` of the fleet with this seed: always the same name and the same signal.
    pub fn new(index: usize, seed: u64) -> Self {
        let kind = &KINDS[index % KINDS.len()];
        let place = index / KINDS.len();
        let name = format!("{}-{:02}-{}", SITES[place % SITES.len()], place / SITES.len() + 1, kind.name);
        let mut rng = StdRng::seed_from_u64(seed ^ (index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let origin = format!("simulated {name}").into();
        // The names are made of letters, digits and hyphens, and are far shorter than the limit.
        let id = DeviceId::parse(name).expect("a simulated device's name is valid");
        SimulatedDevice { id, origin, signal: Signal::new(kind, &mut rng), rng }
    }

    /// The device's name, such as `greenhouse-01-temperature`.
    pub fn id(&self) -> &DeviceId {
        &self.id
    }

    /// What the device reads at this instant; `None` while it has dropped out. Each call is the signal's next step.
    pub fn read(&mut self, at: Timestamp) -> Option<f64> {
        self.signal.step(at.as_millisecond(), &mut self.rng)
    }
}

/// A number of simulated devices.
#[derive(Debug, Clone)]
pub struct Fleet {
    /// The devices, by number.
    pub devices: Vec<SimulatedDevice>,
}

impl Fleet {
    /// The first `devices` devices of the fleet with this seed.
    pub fn new(devices: usize, seed: u64) -> Self {
        Fleet { devices: (0..devices).map(|index| SimulatedDevice::new(index, seed)).collect() }
    }
}

/// A given number of readings of every device of a fleet, at even intervals up to an instant.
pub struct FleetSource {
    fleet: Fleet,
    /// Per device: readings made, and the instant of the last.
    made: Vec<(u64, i64)>,
    readings_each: u64,
    interval_ms: i64,
    end_ms: i64,
    /// Devices that take turns, and how many readings each makes in its turn.
    width: usize,
    run: usize,
    run_left: usize,
    device: usize,
    group: usize,
}

impl FleetSource {
    /// `readings_each` readings of every device, `interval_ms` (at least 1) apart, the last at about `end`; `run`
    /// readings of each of `width` devices in turn (both at least 1). A device that drops out leaves a gap, never
    /// fewer readings, as far as there is time before `end`.
    pub fn new(fleet: Fleet, readings_each: u64, interval_ms: u32, end: Timestamp, width: usize, run: usize) -> Self {
        let interval_ms = i64::from(interval_ms.max(1));
        let end_ms = end.as_millisecond();
        // A twentieth more than the readings need, so that drop-outs have room.
        let span = i64::try_from(readings_each + readings_each / 20).unwrap_or(i64::MAX).saturating_mul(interval_ms);
        let made = vec![(0, end_ms.saturating_sub(span)); fleet.devices.len()];
        FleetSource {
            fleet,
            made,
            readings_each,
            interval_ms,
            end_ms,
            width: width.max(1),
            run: run.max(1),
            run_left: run.max(1),
            device: 0,
            group: 0,
        }
    }

    /// Whose turn it is; `None` when all have made their readings.
    fn turn(&mut self) -> Option<usize> {
        let devices = self.fleet.devices.len();
        while self.group < devices {
            if self.run_left > 0 && self.made[self.device].0 < self.readings_each {
                self.run_left -= 1;
                return Some(self.device);
            }
            self.run_left = self.run;
            self.device += 1;
            let end = (self.group + self.width).min(devices);
            if self.device == end {
                // The devices of a group keep step: when its last has made its readings, all have.
                if self.made[end - 1].0 == self.readings_each {
                    self.group = end;
                }
                self.device = self.group;
            }
        }
        None
    }
}

impl Iterator for FleetSource {
    type Item = Result<Row, Refusal>;

    fn next(&mut self) -> Option<Self::Item> {
        let index = self.turn()?;
        let device = &mut self.fleet.devices[index];
        let (made, at_ms) = &mut self.made[index];
        *made += 1;
        loop {
            *at_ms = at_ms.saturating_add(self.interval_ms);
            let needed = i64::try_from(self.readings_each - *made).unwrap_or(i64::MAX).saturating_mul(self.interval_ms);
            let room_for_a_gap = at_ms.saturating_add(needed) < self.end_ms;
            let timestamp = Timestamp::from_millisecond(*at_ms)?;
            let value = match device.read(timestamp) {
                Some(value) => value,
                None if room_for_a_gap => continue,
                None => device.signal.value_while_dropped_out(),
            };
            let reading = Reading { device_id: device.id.clone(), timestamp, value, event_id: None };
            return Some(Ok(Row { reading, json: None, origin: Origin { file: device.origin.clone(), line: *made } }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, HashSet};
    use telemetry::MAX_MAGNITUDE;

    fn rows(devices: usize, seed: u64, each: u64, width: usize, run: usize) -> Vec<Row> {
        let end = Timestamp::parse("2026-01-31T12:00:00Z").unwrap();
        FleetSource::new(Fleet::new(devices, seed), each, 1_000, end, width, run).map(Result::unwrap).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_readings_and_another_seed_others() {
        assert_eq!(rows(7, 1, 500, 3, 10), rows(7, 1, 500, 3, 10));
        assert_ne!(rows(7, 1, 500, 3, 10), rows(7, 2, 500, 3, 10));
    }

    #[test]
    fn the_order_in_which_devices_take_turns_changes_no_device() {
        let by_device = |rows: Vec<Row>| {
            let mut devices: BTreeMap<String, Vec<Reading>> = BTreeMap::new();
            for row in rows {
                devices.entry(row.reading.device_id.to_string()).or_default().push(row.reading);
            }
            devices
        };
        assert_eq!(by_device(rows(7, 1, 500, 1, 1)), by_device(rows(7, 1, 500, 5, 37)));
    }

    #[test]
    fn every_device_makes_its_readings_with_rising_timestamps_none_after_the_end() {
        let end = Timestamp::parse("2026-01-31T12:00:00Z").unwrap();
        let mut last = BTreeMap::new();
        for row in rows(25, 3, 5_000, 8, 500) {
            let (count, timestamp) = last.entry(row.reading.device_id).or_insert((0, Timestamp::UNIX_EPOCH));
            assert!(row.reading.timestamp > *timestamp && row.reading.timestamp <= end);
            assert!(row.reading.value.abs() <= MAX_MAGNITUDE);
            (*count, *timestamp) = (*count + 1, row.reading.timestamp);
        }
        assert_eq!(last.len(), 25);
        assert!(last.values().all(|(count, _)| *count == 5_000));
    }

    #[test]
    fn ten_thousand_devices_have_ten_thousand_names() {
        let fleet = Fleet::new(10_000, 1);
        assert_eq!(fleet.devices.iter().map(|device| device.id().as_str()).collect::<HashSet<_>>().len(), 10_000);
        assert_eq!(fleet.devices[0].id().as_str(), "greenhouse-01-temperature");
        assert_eq!(fleet.devices[9_999].id().as_str(), "rooftop-400-vibration");
    }
}
