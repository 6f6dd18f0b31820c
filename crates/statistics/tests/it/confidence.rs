//! The confidence interval of the mean, and anomalies.

use statistics::{CountedReading, DeviceState, Identity, Moments, mean_confidence_95, z_score};
use statrs::function::erf::erfc;

/// Quantiles of Student's t at 0.975 by degrees of freedom, as printed in tables and by R's `qt`.
const STUDENT: [(u64, f64); 10] = [
    (1, 12.706_204_736_432_1),
    (2, 4.302_652_729_911_28),
    (3, 3.182_446_305_284_26),
    (5, 2.570_581_835_636_31),
    (9, 2.262_157_162_740_99),
    (29, 2.045_229_642_132_7),
    (99, 1.984_216_951_508_68),
    (199, 1.971_956_544_249_39),
    (200, 1.971_896_223_633_91),
    (999, 1.962_341_461_133_45),
];

/// The chance that a normal variable is at least as far from its mean as `z` standard deviations, on either side.
fn two_sided_p_value(z: f64) -> f64 {
    erfc(z.abs() / std::f64::consts::SQRT_2)
}

#[test]
fn the_interval_is_students_t_times_the_standard_error() {
    for (freedom, quantile) in STUDENT {
        let mut moments = Moments::default();
        (0..=freedom).for_each(|index| moments.push((index * index % 17) as f64));
        let (low, high) = mean_confidence_95(&moments).unwrap();
        let half = quantile * moments.standard_deviation().unwrap() / ((freedom + 1) as f64).sqrt();
        let mean = moments.mean().unwrap();
        assert!(((high - mean) / half - 1.0).abs() < 1e-9, "{freedom}: {} for {half}", high - mean);
        assert!(((mean - low) / half - 1.0).abs() < 1e-9);
    }
}

#[test]
fn the_interval_of_a_billion_readings_is_the_normal_one() {
    let mut moments = Moments::default();
    (0..100).for_each(|index| moments.push(f64::from(index)));
    for _ in 0..23 {
        moments.merge(&moments.clone());
    }
    let (low, high) = mean_confidence_95(&moments).unwrap();
    let error = moments.standard_deviation().unwrap() / (moments.count() as f64).sqrt();
    assert!(((high - low) / (2.0 * error) - 1.959_963_984_540_05).abs() < 1e-6);
}

#[test]
fn under_two_readings_there_is_no_interval_and_equal_readings_have_an_empty_one() {
    let mut moments = Moments::default();
    assert_eq!(mean_confidence_95(&moments), None);
    moments.push(4.0);
    assert_eq!(mean_confidence_95(&moments), None);
    moments.push(4.0);
    assert_eq!(mean_confidence_95(&moments), Some((4.0, 4.0)));
}

#[test]
fn the_p_value_is_the_tail_of_the_normal_distribution_on_both_sides() {
    for (z, p) in [(0.0, 1.0), (1.0, 0.317_310_507_863), (1.959_963_984_54, 0.05), (4.891_638_475_698_85, 1e-6)] {
        assert!((two_sided_p_value(z) / p - 1.0).abs() < 1e-9, "{z}: {}", two_sided_p_value(z));
        assert_eq!(two_sided_p_value(-z), two_sided_p_value(z));
    }
}

fn state_of(values: &[f64]) -> DeviceState {
    let mut state = DeviceState::new();
    let reading = |(index, value): (usize, &f64)| CountedReading {
        identity: Identity { timestamp_ns: index as i128 * 1_000_000_000, event_id_hash: None },
        value: *value,
        value_check: 0,
    };
    state.count(&values.iter().enumerate().map(reading).collect::<Vec<_>>());
    state
}

/// So many values of mean 20 and sample standard deviation near 1, in turn 19 and 21.
fn steady(count: usize) -> Vec<f64> {
    (0..count).map(|index| if index % 2 == 0 { 19.0 } else { 21.0 }).collect()
}

#[test]
fn a_reading_is_judged_against_the_state_before_it_from_thirty_readings_on() {
    let with = |count: usize, value: f64| {
        let mut values = steady(count);
        values.push(value);
        state_of(&values).summary()
    };
    assert_eq!(with(28, 1_000.0).anomaly_count, 0);
    assert_eq!(with(30, 24.0).anomaly_count, 0);
    let summary = with(30, 25.5);
    let before = state_of(&steady(30)).summary();
    let z = 5.5 / before.standard_deviation.unwrap();
    let anomaly = summary.last_anomaly.unwrap();
    assert_eq!((summary.anomaly_count, anomaly.timestamp_ns, anomaly.value), (1, 30_000_000_000, 25.5));
    assert!((anomaly.z - z).abs() < 1e-6 * z);
}

#[test]
fn the_threshold_is_a_p_value_of_one_in_a_million() {
    let before = state_of(&steady(1_000)).summary();
    let deviation = before.standard_deviation.unwrap();
    for (z, is_anomaly) in [(4.891_63, 0), (4.891_65, 1), (-4.891_63, 0), (-4.891_65, 1)] {
        let mut values = steady(1_000);
        values.push(20.0 + z * deviation);
        assert_eq!(state_of(&values).summary().anomaly_count, is_anomaly, "{z}");
        assert_eq!(u64::from(two_sided_p_value(z) < 1e-6), is_anomaly);
    }
}

#[test]
fn readings_without_spread_judge_nothing() {
    let mut values = vec![5.0; 100];
    values.push(6.0);
    assert_eq!(state_of(&values).summary().anomaly_count, 0);
    let mut moments = Moments::default();
    (0..100).for_each(|_| moments.push(5.0));
    assert_eq!(z_score(&moments, 6.0), None);
}
