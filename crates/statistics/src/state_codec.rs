//! The device state's binary form.
//!
//! Version (8 bits); whether anything is counted (1), and unless it is, nothing more. Then: the power of ten (4) that
//! divides the timestamps of this list; the latest timestamp (sign, number); how long before it the earliest is
//! (number); the floor below the latest (1, number); the unledgered floor below the floor (1, number); the newest
//! anomaly (1, number before the latest timestamp, value (64), z (32)); anomaly count (number); mean and sum of squares
//! (2 × 64 each); the sketch's length in bytes (10) and bytes, which also say count, minimum and maximum; where the sketch is not exact, the
//! frequent values (`frequent_codec`); the window.

use crate::bits::{BitReader, BitWriter};
use crate::device_state::SKETCH_BYTES;
use crate::double_double::DoubleDouble;
use crate::expiring::Expiring;
use crate::identity::{EARLIEST_NS, LATEST_NS};
use crate::identity_codec::{Entry, TIMESTAMP_BITS, divided, read_identities, write_identities};
use crate::window::Window;
use crate::{Anomaly, CorruptState, DeviceState, Moments, QuantileSketch};

const VERSION: u8 = 1;
/// The same, and after the floors: how long before the floor the latest identity on a page that expires lies (number),
/// and the shortest retention in seconds (number). Written only where pages expire.
const VERSION_WITH_EXPIRING_PAGES: u8 = 2;
/// A state is no longer than this: a window that grew within a batch is emptied before it is stored.
const MOST_BYTES: usize = 400 * 1_024;

impl DeviceState {
    /// The state's bytes: the one canonical form of this state.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = self.write_statistics();
        self.write_window(&mut writer, &self.window.entries());
        writer.finish()
    }

    /// What comes before the window.
    pub(crate) fn write_statistics(&self) -> BitWriter {
        let mut writer = BitWriter::default();
        let version = if self.expiring.is_some() { VERSION_WITH_EXPIRING_PAGES } else { VERSION };
        writer.write(u64::from(version), 8);
        writer.write_bool(self.range_ns.is_some());
        let Some((first_ns, last_ns)) = self.range_ns else {
            return writer;
        };
        let unit = self.power_of_ten(first_ns, last_ns);
        let number = |ns: i128| divided(ns as u128, 10u128.pow(unit));
        writer.write(u64::from(unit), 4);
        writer.write_bool(last_ns < 0);
        writer.write_number(number(last_ns.abs()));
        writer.write_number(number(last_ns - first_ns));
        let optional = |writer: &mut BitWriter, above: i128, ns: Option<i128>| {
            writer.write_bool(ns.is_some());
            if let Some(ns) = ns {
                writer.write_number(number(above - ns));
            }
        };
        optional(&mut writer, last_ns, self.floor_ns);
        if let Some(floor_ns) = self.floor_ns {
            optional(&mut writer, floor_ns, self.unledgered_floor_ns);
            if let Some(expiring) = self.expiring {
                writer.write_number(number(floor_ns - expiring.floor_ns));
                writer.write_number(u128::from(expiring.retention_s));
            }
        }
        writer.write_number(u128::from(self.anomaly_count));
        optional(&mut writer, last_ns, self.last_anomaly.map(|anomaly| anomaly.timestamp_ns));
        if let Some(anomaly) = self.last_anomaly {
            writer.write_f64(anomaly.value);
            writer.write(u64::from((anomaly.z as f32).to_bits()), 32);
        }
        for half in [self.moments.mean.hi, self.moments.mean.lo, self.moments.m2.hi, self.moments.m2.lo] {
            writer.write_f64(half);
        }
        let sketch = self.sketch.encode();
        writer.write(sketch.len() as u64, 10);
        writer.write_bytes(&sketch);
        self.write_frequent(&mut writer);
        writer
    }

    /// These entries, as the window; a state that has counted nothing has none, and doesn't say so.
    pub(crate) fn write_window(&self, writer: &mut BitWriter, entries: &[Entry]) {
        if let Some((_, last_ns)) = self.range_ns {
            write_identities(writer, entries, |first| last_ns - first);
        }
    }

    fn power_of_ten(&self, first_ns: i128, last_ns: i128) -> u32 {
        let anomaly_ns = self.last_anomaly.map(|anomaly| anomaly.timestamp_ns);
        let expiring_ns = self.expiring.map(|expiring| expiring.floor_ns);
        let all = [Some(first_ns), Some(last_ns), self.floor_ns, self.unledgered_floor_ns, expiring_ns, anomaly_ns];
        all.iter().flatten().fold(15, |power, ns| {
            let rest = (ns.unsigned_abs() % 10u128.pow(15)) as u64;
            (0..=power).rev().find(|&power| rest.is_multiple_of(10u64.pow(power))).unwrap_or(0)
        })
    }

    /// Reads the version alone, and fails where this build doesn't know it.
    ///
    /// A store calls it before it reads what it keeps beside the state, because a newer build may keep that otherwise.
    pub fn check_version(bytes: &[u8]) -> Result<(), CorruptState> {
        match *bytes.first().ok_or(CorruptState::Truncated)? {
            VERSION | VERSION_WITH_EXPIRING_PAGES => Ok(()),
            found => Err(CorruptState::of_version(found, VERSION_WITH_EXPIRING_PAGES)),
        }
    }

    /// Reads what [`Self::encode`] wrote; any other bytes are an error.
    pub fn decode(bytes: &[u8]) -> Result<Self, CorruptState> {
        // First, because a newer version may allow more bytes.
        Self::check_version(bytes)?;
        if bytes.len() > MOST_BYTES {
            return Err(CorruptState::TooLong { bytes: bytes.len(), cap: MOST_BYTES });
        }
        let mut reader = BitReader::new(bytes);
        let version = reader.read(8)? as u8;
        let mut state = Self::new();
        if reader.read_bool()? {
            state.read_timestamps(&mut reader, version)?;
            state.read_moments(&mut reader)?;
            state.read_frequent(&mut reader)?;
            let last_ns = state.range_ns.map_or(0, |(_, last)| last);
            state.window = Window::from_sorted(read_identities(&mut reader, |distance| last_ns - distance)?);
            state.check()?;
        }
        if state.encode() == bytes { Ok(state) } else { Err(CorruptState::NotCanonical) }
    }

    fn read_timestamps(&mut self, reader: &mut BitReader<'_>, version: u8) -> Result<(), CorruptState> {
        let power = reader.read(4)? as u32;
        let unit = 10i128.pow(power);
        let distance = |reader: &mut BitReader<'_>| -> Result<i128, CorruptState> {
            let units = reader.read_number(TIMESTAMP_BITS)? as i128;
            units.checked_mul(unit).filter(|ns| *ns <= LATEST_NS - EARLIEST_NS).ok_or(OUT_OF_RANGE)
        };
        let negative = reader.read_bool()?;
        let last_ns = distance(reader)? * if negative { -1 } else { 1 };
        let first_ns = last_ns - distance(reader)?;
        self.range_ns = Some((first_ns, last_ns));
        if reader.read_bool()? {
            let floor_ns = last_ns - distance(reader)?;
            self.floor_ns = Some(floor_ns);
            if reader.read_bool()? {
                self.unledgered_floor_ns = Some(floor_ns - distance(reader)?);
            }
            if version == VERSION_WITH_EXPIRING_PAGES {
                let floor_ns = floor_ns - distance(reader)?;
                self.expiring = Some(Expiring { floor_ns, retention_s: reader.read_number(64)? as u64 });
            }
        }
        self.anomaly_count = reader.read_number(64)? as u64;
        if reader.read_bool()? {
            let timestamp_ns = last_ns - distance(reader)?;
            let value = reader.read_finite()?;
            let z = f64::from(f32::from_bits(reader.read(32)? as u32));
            self.last_anomaly = Some(Anomaly { timestamp_ns, value, z });
        }
        Ok(())
    }

    fn read_moments(&mut self, reader: &mut BitReader<'_>) -> Result<(), CorruptState> {
        let mean = DoubleDouble { hi: reader.read_finite()?, lo: reader.read_finite()? };
        let m2 = DoubleDouble { hi: f64::from_bits(reader.read(64)?), lo: reader.read_finite()? };
        let length = reader.read(10)? as usize;
        self.sketch = QuantileSketch::decode(&reader.read_bytes(length)?, SKETCH_BYTES)?;
        let (minimum, maximum) = (self.sketch.least(), self.sketch.greatest());
        let (Some(minimum), Some(maximum)) = (minimum, maximum) else {
            return Err(CorruptState::Invariant("a state with timestamps has counted something"));
        };
        self.moments = Moments { count: self.sketch.count(), mean, m2, minimum, maximum };
        if mean.hi + mean.lo != mean.hi || mean.hi < minimum || mean.hi > maximum {
            return Err(CorruptState::Invariant("the mean lies between minimum and maximum"));
        }
        let lost = m2.hi == f64::INFINITY && m2.lo == 0.0;
        let sum_of_squares = m2.hi.is_finite() && m2.hi + m2.lo == m2.hi && m2.hi >= 0.0;
        if !(lost || sum_of_squares) {
            return Err(CorruptState::Invariant("the sum of squares is not negative"));
        }
        if minimum == maximum && (mean.hi != minimum || m2.hi != 0.0 && !lost) {
            return Err(CorruptState::Invariant("equal readings have their value for a mean, and no spread"));
        }
        // T. Popoviciu's inequality (1935): the variance is at most a quarter of the range squared. Where squares
        // underflow they are too coarse to compare.
        let half_range = maximum / 2.0 - minimum / 2.0;
        if !lost && half_range > 1e-140 && m2.hi > half_range * half_range * self.sketch.count() as f64 * (1.0 + 1e-9) {
            return Err(CorruptState::Invariant("the spread is within the range"));
        }
        Ok(())
    }

    /// What the fields say of one another.
    fn check(&self) -> Result<(), CorruptState> {
        let Some((first_ns, last_ns)) = self.range_ns else {
            return Ok(());
        };
        let within = |ns: Option<i128>| ns.is_none_or(|ns| (first_ns..=last_ns).contains(&ns));
        let anomaly_ns = self.last_anomaly.map(|anomaly| anomaly.timestamp_ns);
        let window = self.window.entries();
        let ends = [window.first(), window.last()].map(|entry| entry.map(|(identity, _)| identity.timestamp_ns));
        let expiring_ns = self.expiring.map(|expiring| expiring.floor_ns);
        let timestamps = [self.floor_ns, self.unledgered_floor_ns, expiring_ns, anomaly_ns, ends[0], ends[1]];
        if first_ns < EARLIEST_NS || last_ns > LATEST_NS || !timestamps.into_iter().all(within) {
            return Err(OUT_OF_RANGE);
        }
        if self.window.len() as u64 > self.moments.count() || self.anomaly_count > self.moments.count() {
            return Err(CorruptState::Invariant("no more identities or anomalies than readings"));
        }
        if self.last_anomaly.is_some() != (self.anomaly_count > 0) {
            return Err(CorruptState::Invariant("the newest anomaly is kept where there was one"));
        }
        let plausible = |anomaly: &Anomaly| {
            let value = self.moments.minimum <= anomaly.value && anomaly.value <= self.moments.maximum;
            value && anomaly.z.is_finite() && anomaly.value.to_bits() != (-0.0f64).to_bits()
        };
        if !self.last_anomaly.as_ref().is_none_or(plausible) {
            return Err(CorruptState::Invariant("the newest anomaly is one of the readings"));
        }
        Ok(())
    }
}

const OUT_OF_RANGE: CorruptState = CorruptState::Invariant("timestamps lie between the first and the last");
