//! What all devices come to: how many there are, how fresh they are, how their statistics are distributed.

use crate::answer::Number;
use ports::StatisticsAttributes;
use serde::Serialize;
use telemetry::{DeviceId, Timestamp};

/// The most bars of a distribution.
const BARS: usize = 24;
/// Numbers above zero that are further apart than this are shown in powers of ten.
const LOGARITHMIC_FROM: f64 = 1000.0;
/// The most devices of a list.
const LISTED: usize = 8;
/// The ages by which devices are told fresh or silent, in seconds.
const AGES: [u64; 5] = [10, 60, 600, 3600, 86_400];

/// What all devices come to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Overview {
    pub devices: u64,
    pub readings: u64,
    pub anomalies: u64,
    pub devices_with_anomalies: u64,
    /// When a device was last written.
    pub newest_update: Option<Timestamp>,
    /// Devices by the time since they were last written.
    pub freshness: Vec<Age>,
    pub means: Option<Distribution>,
    pub standard_deviations: Option<Distribution>,
    /// The devices with the largest share of anomalies, largest first.
    pub most_anomalous: Vec<Anomalous>,
    /// The devices that have been silent the longest, longest first.
    pub longest_silent: Vec<Silent>,
}

/// Devices of an age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Age {
    /// Younger than this and no younger than the one before; `None` without a bound.
    pub under_seconds: Option<u64>,
    pub devices: u64,
}

/// How the values of a statistic are distributed over the devices.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Distribution {
    /// Whether the bars are equally wide by their exponents.
    pub logarithmic: bool,
    /// The bars' edges, one more than there are bars; each bar has its upper edge, the first its lower one too.
    pub edges: Vec<Number>,
    pub bars: Vec<u64>,
    /// Devices that lie far below and above the others.
    pub below: u64,
    pub above: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Anomalous {
    pub device_id: String,
    pub anomaly_count: u64,
    pub count: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Silent {
    pub device_id: String,
    pub updated_at: Timestamp,
}

type Device = (DeviceId, StatisticsAttributes);

impl Overview {
    /// Of `devices`, as seen at `now`.
    pub fn of(devices: &[Device], now: Timestamp) -> Self {
        let numbers = |of: fn(&StatisticsAttributes) -> Option<f64>| {
            Distribution::of(devices.iter().filter_map(|(_, attributes)| of(attributes)).collect())
        };
        Overview {
            devices: devices.len() as u64,
            readings: devices.iter().map(|(_, attributes)| attributes.count).sum(),
            anomalies: devices.iter().map(|(_, attributes)| attributes.anomaly_count).sum(),
            devices_with_anomalies: devices.iter().filter(|(_, attributes)| attributes.anomaly_count > 0).count()
                as u64,
            newest_update: devices.iter().map(|(_, attributes)| attributes.updated_at).max(),
            freshness: freshness(devices, now),
            means: numbers(|attributes| attributes.mean),
            standard_deviations: numbers(|attributes| attributes.standard_deviation),
            most_anomalous: most_anomalous(devices),
            longest_silent: longest_silent(devices),
        }
    }
}

fn freshness(devices: &[Device], now: Timestamp) -> Vec<Age> {
    let bounds = AGES.into_iter().map(Some).chain([None]);
    let mut ages: Vec<Age> = bounds.map(|under_seconds| Age { under_seconds, devices: 0 }).collect();
    for (_, attributes) in devices {
        let milliseconds = now.as_millisecond() - attributes.updated_at.as_millisecond();
        let is_under = |bound: Option<u64>| bound.is_none_or(|seconds| milliseconds < seconds as i64 * 1000);
        if let Some(age) = ages.iter_mut().find(|age| is_under(age.under_seconds)) {
            age.devices += 1;
        }
    }
    ages
}

fn most_anomalous(devices: &[Device]) -> Vec<Anomalous> {
    let share = |of: &StatisticsAttributes| of.anomaly_count as f64 / of.count.max(1) as f64;
    let mut found: Vec<&Device> = devices.iter().filter(|(_, attributes)| attributes.anomaly_count > 0).collect();
    found.sort_by(|(_, a), (_, b)| share(b).total_cmp(&share(a)));
    let anomalous = |(device, of): &&Device| Anomalous {
        device_id: device.as_str().to_owned(),
        anomaly_count: of.anomaly_count,
        count: of.count,
    };
    found.iter().take(LISTED).map(anomalous).collect()
}

fn longest_silent(devices: &[Device]) -> Vec<Silent> {
    let mut all: Vec<&Device> = devices.iter().collect();
    if all.len() > LISTED {
        all.select_nth_unstable_by_key(LISTED, |(_, attributes)| attributes.updated_at);
        all.truncate(LISTED);
    }
    all.sort_by_key(|(_, attributes)| attributes.updated_at);
    let silent = |(device, of): &&Device| Silent { device_id: device.as_str().to_owned(), updated_at: of.updated_at };
    all.iter().map(silent).collect()
}

impl Distribution {
    /// `None` of no values.
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_unstable_by(f64::total_cmp);
        let (&lowest, &highest) = (values.first()?, values.last()?);
        // Devices that measure different things: some in units, some in millions.
        let positive = values.partition_point(|value| *value <= 0.0);
        let least = values.get(positive).copied().unwrap_or(highest);
        let logarithmic = positive * 10 <= values.len() && spans_magnitudes(&values[positive..]);
        let (low, high) = if logarithmic { (least.log10(), highest.log10()) } else { fenced(&values, lowest, highest) };
        let bars = if low < high { BARS.min(values.len().max(4)) } else { 1 };
        let edge = |index: usize| {
            let at = low + (high - low) * (index as f64 / bars as f64);
            if logarithmic { 10f64.powf(at) } else { at }
        };
        let mut edges: Vec<f64> = (0..=bars).map(edge).collect();
        // Not by way of a logarithm: the outermost values stand in the outermost bars.
        (edges[0], edges[bars]) = if logarithmic { (least, highest) } else { (low, high) };
        let (below, end) =
            (values.partition_point(|value| *value < edges[0]), values.partition_point(|value| *value <= edges[bars]));
        let mut counts = Vec::with_capacity(bars);
        let mut counted = below;
        for (index, edge) in edges.iter().enumerate().skip(1) {
            let upto = if index == bars { end } else { values.partition_point(|value| value <= edge).max(counted) };
            counts.push((upto - counted) as u64);
            counted = upto;
        }
        let edges = edges.into_iter().map(Number).collect();
        Some(Distribution { logarithmic, edges, bars: counts, below: below as u64, above: (values.len() - end) as u64 })
    }
}

/// Whether numbers above zero, in order, lie far apart even without the lowest and the highest twentieth.
fn spans_magnitudes(sorted: &[f64]) -> bool {
    let at = |fraction: f64| sorted.get((sorted.len().saturating_sub(1) as f64 * fraction).round() as usize);
    at(0.05).zip(at(0.95)).is_some_and(|(low, high)| high / low >= LOGARITHMIC_FROM)
}

/// The range without what lies far outside: Tukey's far-out fences, three interquartile ranges beyond the quartiles.
/// A few devices of another kind do not squeeze all others into one bar.
fn fenced(sorted: &[f64], lowest: f64, highest: f64) -> (f64, f64) {
    let at = |fraction: f64| sorted[((sorted.len() - 1) as f64 * fraction).round() as usize];
    let (low, high) = (at(0.25), at(0.75));
    let reach = 3.0 * (high - low);
    if !(reach > 0.0 && reach.is_finite()) {
        return (lowest, highest);
    }
    let inside = |value: &&f64| **value >= low - reach && **value <= high + reach;
    let first = sorted.iter().find(inside).copied().unwrap_or(lowest);
    (first, sorted.iter().rev().find(inside).copied().unwrap_or(highest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_millisecond(second * 1000).unwrap()
    }

    fn device(name: &str, count: u64, anomaly_count: u64, updated: i64) -> Device {
        let attributes = StatisticsAttributes {
            count,
            mean: Some(count as f64),
            median: None,
            standard_deviation: None,
            minimum: None,
            maximum: None,
            mean_confidence_95: None,
            anomaly_count,
            first_timestamp: None,
            last_timestamp: None,
            updated_at: at(updated),
        };
        (DeviceId::parse(name).unwrap(), attributes)
    }

    #[test]
    fn the_fleet_is_counted_by_age_and_by_share_of_anomalies() {
        let devices = [device("a", 100, 1, 0), device("b", 10, 1, 99_989), device("c", 5, 0, 99_991)];
        let overview = Overview::of(&devices, at(100_000));
        let ages: Vec<u64> = overview.freshness.iter().map(|age| age.devices).collect();
        assert_eq!(ages, [1, 1, 0, 0, 0, 1]);
        assert_eq!((overview.devices, overview.readings, overview.anomalies), (3, 115, 2));
        assert_eq!(overview.devices_with_anomalies, 2);
        let anomalous: Vec<_> = overview.most_anomalous.iter().map(|of| of.device_id.as_str()).collect();
        assert_eq!(anomalous, ["b", "a"]);
        let silent: Vec<_> = overview.longest_silent.iter().map(|of| of.device_id.as_str()).collect();
        assert_eq!(silent, ["a", "b", "c"]);
        assert_eq!(overview.newest_update, Some(at(99_991)));
        assert_eq!(overview.standard_deviations, None);
    }

    #[test]
    fn a_device_ahead_of_the_clock_is_fresh() {
        assert_eq!(freshness(&[device("a", 1, 0, 200)], at(100))[0].devices, 1);
    }

    #[test]
    fn a_few_far_away_do_not_squeeze_the_others() {
        let mut values: Vec<f64> = (0..100).map(f64::from).collect();
        values.extend([-1e9, 1e9, 2e9]);
        let distribution = Distribution::of(values).unwrap();
        assert_eq!((distribution.logarithmic, distribution.below, distribution.above), (false, 1, 2));
        assert_eq!((distribution.edges[0], distribution.edges[24]), (Number(0.0), Number(99.0)));
        assert!(distribution.bars.iter().all(|bar| (4..=5).contains(bar)), "{distribution:?}");
    }

    #[test]
    fn values_of_many_magnitudes_are_shown_in_powers_of_ten() {
        let distribution = Distribution::of(vec![1.0, 10.0, 100.0, 1000.0, 10_000.0]).unwrap();
        assert!(distribution.logarithmic);
        assert_eq!(distribution.bars.iter().filter(|bar| **bar == 1).count(), 5);
        assert_eq!((distribution.below, distribution.above), (0, 0));
    }

    #[test]
    fn values_that_are_all_alike_stand_in_one_bar() {
        let distribution = Distribution::of(vec![7.0; 50]).unwrap();
        assert_eq!((distribution.bars, distribution.edges), (vec![50], vec![Number(7.0), Number(7.0)]));
        assert_eq!(Distribution::of(Vec::new()), None);
    }

    proptest! {
        #[test]
        fn every_value_stands_in_the_bar_that_its_edges_say(
            values in prop::collection::vec(
                prop_oneof![-1e3..1e3f64, -1e100..1e100f64, Just(0.0), Just(-0.0), 1e-9..1e9f64], 1..200,
            ),
        ) {
            let distribution = Distribution::of(values.clone()).unwrap();
            let edges: Vec<f64> = distribution.edges.iter().map(|edge| edge.0).collect();
            prop_assert_eq!(edges.len(), distribution.bars.len() + 1);
            prop_assert!(edges.windows(2).all(|pair| pair[0] <= pair[1]), "{:?}", edges);
            let all = distribution.bars.iter().sum::<u64>() + distribution.below + distribution.above;
            prop_assert_eq!(all, values.len() as u64);
            for (index, bar) in distribution.bars.iter().enumerate() {
                let (from, to) = (edges[index], edges[index + 1]);
                let inside = |value: &&f64| (**value > from || index == 0 && **value == from) && **value <= to;
                prop_assert_eq!(values.iter().filter(inside).count() as u64, *bar, "bar {}", index);
            }
        }
    }
}
