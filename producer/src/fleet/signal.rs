//! The signal of one simulated device: a daily cycle, autocorrelated noise, a slow drift, and now and then a fault.

use rand::Rng;
use rand::rngs::StdRng;
use std::f64::consts::TAU;

const DAY_MS: i64 = 86_400_000;

/// How much of the last noise stays in the next: an autoregressive process of first order.
const NOISE_KEPT: f64 = 0.9;

/// How often a healthy device fails: once in so many readings.
const READINGS_PER_FAULT: u32 = 2_000;

/// What a device measures, and how.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// The middle of its range.
    base: f64,
    /// How far devices of this kind differ from each other.
    spread: f64,
    /// The daily cycle's amplitude, highest in the afternoon where it is positive.
    daily: f64,
    /// The noise's standard deviation.
    noise: f64,
    /// How far the drift may take it.
    drift: f64,
    /// The sensor's range.
    range: (f64, f64),
    /// The decimals it reports.
    decimals: i32,
}

/// The kinds, in the order of a place's devices: temperature in °C, relative humidity in %, air pressure in hPa,
/// supply voltage in V, vibration in mm/s.
#[rustfmt::skip]
pub(super) const KINDS: [Kind; 5] = [
    Kind { name: "temperature", base: 21.0, spread: 3.0, daily: 4.0, noise: 0.25, drift: 1.0, range: (-40.0, 85.0), decimals: 2 },
    Kind { name: "humidity", base: 58.0, spread: 8.0, daily: -9.0, noise: 1.2, drift: 3.0, range: (0.0, 100.0), decimals: 1 },
    Kind { name: "pressure", base: 1013.0, spread: 4.0, daily: 0.8, noise: 0.3, drift: 6.0, range: (850.0, 1100.0), decimals: 2 },
    Kind { name: "voltage", base: 230.0, spread: 1.5, daily: -2.0, noise: 0.9, drift: 1.0, range: (0.0, 400.0), decimals: 1 },
    Kind { name: "vibration", base: 2.4, spread: 0.5, daily: 0.3, noise: 0.15, drift: 0.4, range: (0.0, 50.0), decimals: 3 },
];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// The last value again and again, for so many readings more.
    Stuck(u32),
    /// No reading at all, for so many more.
    DroppedOut(u32),
}

/// A device's signal and its state.
#[derive(Debug, Clone)]
pub(super) struct Signal {
    kind: &'static Kind,
    base: f64,
    phase: f64,
    noise: f64,
    drift: f64,
    fault: Fault,
    last: f64,
}

impl Signal {
    pub(super) fn new(kind: &'static Kind, rng: &mut StdRng) -> Self {
        let base = kind.base + kind.spread * (2.0 * rng.random::<f64>() - 1.0);
        // The cycle's top lies between noon and six in the afternoon, UTC.
        let phase = (6.0 + 6.0 * rng.random::<f64>()) / 24.0;
        Signal { kind, base, phase, noise: 0.0, drift: 0.0, fault: Fault::None, last: base }
    }

    /// The next reading, at this instant; `None` while the device has dropped out.
    pub(super) fn step(&mut self, at_ms: i64, rng: &mut StdRng) -> Option<f64> {
        let kind = self.kind;
        let innovation = kind.noise * (1.0 - NOISE_KEPT * NOISE_KEPT).sqrt();
        self.noise = NOISE_KEPT * self.noise + innovation * normal(rng);
        // A random walk on a weak spring, so that it wanders but stays near its range.
        self.drift += -1e-4 * self.drift + kind.drift * 0.014 * normal(rng);
        let spike = self.advance_fault(rng);
        match self.fault {
            Fault::DroppedOut(_) => return None,
            Fault::Stuck(_) => return Some(self.last),
            Fault::None => {}
        }
        let day = at_ms.rem_euclid(DAY_MS) as f64 / DAY_MS as f64;
        let cycle = kind.daily * (TAU * (day - self.phase)).sin();
        let value = self.base + cycle + self.noise + self.drift + spike;
        self.last = rounded(value.clamp(kind.range.0, kind.range.1), kind.decimals);
        Some(self.last)
    }

    /// What a reading made in spite of a drop-out shows.
    pub(super) fn value_while_dropped_out(&self) -> f64 {
        self.last
    }

    /// Begins or ends faults. What a spike adds to this reading, 0 for none.
    fn advance_fault(&mut self, rng: &mut StdRng) -> f64 {
        self.fault = match self.fault {
            Fault::Stuck(left) if left > 1 => Fault::Stuck(left - 1),
            Fault::DroppedOut(left) if left > 1 => Fault::DroppedOut(left - 1),
            Fault::None if rng.random_ratio(1, READINGS_PER_FAULT) => match rng.random_range(0..3) {
                0 => Fault::Stuck(rng.random_range(10..60)),
                1 => Fault::DroppedOut(rng.random_range(5..30)),
                _ => {
                    let size = self.kind.noise * rng.random_range(12.0..25.0);
                    return if rng.random() { size } else { -size };
                }
            },
            _ => Fault::None,
        };
        0.0
    }
}

/// A standard normal number (Box and Muller 1958).
fn normal(rng: &mut StdRng) -> f64 {
    // 1 − u lies in (0, 1], whose logarithm is finite.
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (TAU * rng.random::<f64>()).cos()
}

fn rounded(value: f64, decimals: i32) -> f64 {
    let scale = 10f64.powi(decimals);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    /// A reading a minute for thirty days.
    fn month(kind: &'static Kind, seed: u64) -> Vec<(i64, Option<f64>)> {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut signal = Signal::new(kind, &mut rng);
        (0..43_200).map(|minute| (minute, signal.step(minute * 60_000, &mut rng))).collect()
    }

    #[test]
    fn values_stay_in_the_sensors_range_and_have_its_decimals() {
        for kind in &KINDS {
            for (_, value) in month(kind, 1) {
                let Some(value) = value else { continue };
                assert!((kind.range.0..=kind.range.1).contains(&value), "{}: {value}", kind.name);
                // A spike is at most 25 standard deviations of the noise, beside six of the noise and five of the drift.
                let far = kind.spread + kind.daily.abs() + 31.0 * kind.noise + 5.0 * kind.drift;
                assert!((value - kind.base).abs() < far, "{}: {value} is far from {}", kind.name, kind.base);
                assert_eq!(value, rounded(value, kind.decimals));
            }
        }
    }

    #[test]
    fn afternoons_are_warmer_than_nights() {
        let readings = month(&KINDS[0], 2);
        let mean = |hours: std::ops::Range<i64>| {
            let chosen = readings.iter().filter(|(minute, _)| hours.contains(&(minute / 60 % 24)));
            let values: Vec<_> = chosen.filter_map(|(_, value)| *value).collect();
            values.iter().sum::<f64>() / values.len() as f64
        };
        assert!(mean(13..17) - mean(1..5) > 4.0, "{} and {}", mean(13..17), mean(1..5));
    }

    #[test]
    fn now_and_then_a_device_sticks_drops_out_or_spikes() {
        let readings = month(&KINDS[4], 3);
        assert!(readings.iter().any(|(_, value)| value.is_none()));
        assert!(readings.windows(10).any(|run| run.iter().all(|(_, value)| value.is_some() && *value == run[0].1)));
        let jump = |pair: &[(i64, Option<f64>)]| pair[0].1.zip(pair[1].1).map_or(0.0, |(a, b)| (b - a).abs());
        assert!(readings.windows(2).any(|pair| jump(pair) > 8.0 * KINDS[4].noise));
    }
}
