//! The moments against exact integer arithmetic, and at the edges of the doubles.

use crate::distributions::Random;
use proptest::prelude::*;
use statistics::Moments;

/// One unit in which the test's values are whole numbers: 2^-20.
const UNIT: f64 = 1.0 / 1_048_576.0;

fn correct_digits(actual: f64, exact: f64) -> f64 {
    if actual == exact { 16.0 } else { -((actual - exact) / exact).abs().log10() }
}

/// Each batch value by value, and the batches merged.
fn in_batches(values: &[f64], batch: usize) -> Moments {
    let mut moments = Moments::default();
    for batch in values.chunks(batch) {
        let mut one = Moments::default();
        batch.iter().for_each(|value| one.push(*value));
        moments.merge(&one);
    }
    moments
}

#[test]
fn ten_million_values_of_mean_1e9_and_spread_1_keep_15_digits_in_batches_of_any_size() {
    const COUNT: usize = 10_000_000;
    let mut random = Random(1);
    let offsets: Vec<i64> = (0..COUNT).map(|_| (random.normal() / UNIT).round() as i64).collect();
    let values: Vec<f64> = offsets.iter().map(|offset| 1e9 + *offset as f64 * UNIT).collect();
    let sum: i128 = offsets.iter().map(|offset| i128::from(*offset)).sum();
    let squares: i128 = offsets.iter().map(|offset| i128::from(*offset) * i128::from(*offset)).sum();
    let count = COUNT as i128;
    // Both sides of the quotient are whole numbers below 2^127; only the last steps round.
    let variance = (count * squares - sum * sum) as f64 / (count * (count - 1)) as f64;
    let (deviation, mean) = (variance.sqrt() * UNIT, 1e9 + sum as f64 / count as f64 * UNIT);
    for batch in [1, 7, 500, 4_096, 1_000_003, COUNT] {
        let moments = in_batches(&values, batch);
        let digits = correct_digits(moments.standard_deviation().unwrap(), deviation);
        assert!(digits >= 15.0, "{digits:.2} digits in batches of {batch}");
        assert!(correct_digits(moments.mean().unwrap(), mean) >= 15.9);
        assert_eq!(moments.count(), COUNT as u64);
    }
}

#[test]
fn empty_and_single_are_none_where_undefined() {
    let mut moments = Moments::default();
    assert_eq!((moments.mean(), moments.minimum(), moments.maximum()), (None, None, None));
    moments.push(-7.5);
    assert_eq!((moments.mean(), moments.standard_deviation()), (Some(-7.5), None));
    moments.push(-7.5);
    assert_eq!(moments.standard_deviation(), Some(0.0));
}

#[test]
fn merge_with_empty_is_identity() {
    let moments = in_batches(&[3.0, 1.0, 4.0, 1.5], 1);
    let (mut one, mut two) = (moments.clone(), Moments::default());
    one.merge(&Moments::default());
    two.merge(&moments);
    assert_eq!((&one, &two), (&moments, &moments));
}

#[test]
fn negative_zero_is_zero() {
    for batch in [1, 8] {
        let moments = in_batches(&[-0.0; 8], batch);
        for value in [moments.mean(), moments.minimum(), moments.maximum(), moments.standard_deviation()] {
            assert_eq!(value.map(f64::to_bits), Some(0));
        }
    }
}

#[test]
fn what_is_not_finite_is_not_counted() {
    let values = [f64::NAN, 1.0, f64::INFINITY, 2.0, f64::NEG_INFINITY, 3.0];
    for batch in [1, 6] {
        let moments = in_batches(&values, batch);
        assert_eq!((moments.count(), moments.mean(), moments.maximum()), (3, Some(2.0), Some(3.0)));
    }
}

#[test]
fn magnitudes_of_1e100_keep_their_spread() {
    let moments = in_batches(&[1e100, -1e100, 1e100, -1e100, 0.0], 5);
    assert!(correct_digits(moments.standard_deviation().unwrap(), 1e100) > 15.0);
    assert_eq!(moments.mean(), Some(0.0));
}

#[test]
fn magnitudes_that_cannot_be_squared_lose_the_spread_alone() {
    let enormous = [f64::MAX, -f64::MAX, f64::MAX, 1.0, -f64::MAX, 2.0];
    for batch in [1, 2, 6] {
        let mut moments = in_batches(&enormous, batch);
        moments.merge(&in_batches(&[1.0, 2.0], 1));
        let mut other = in_batches(&[1.0, 2.0, 5.0], 1);
        other.merge(&moments);
        for moments in [&moments, &other] {
            assert_eq!(moments.standard_deviation(), None);
            assert!(moments.mean().is_some_and(f64::is_finite));
            assert_eq!((moments.minimum(), moments.maximum()), (Some(-f64::MAX), Some(f64::MAX)));
        }
        assert_eq!(moments.count(), 8);
    }
}

#[test]
fn the_least_subnormals_have_their_mean_and_range() {
    let moments = in_batches(&[5e-324, 1.5e-323, 5e-324, 1.5e-323], 4);
    assert_eq!((moments.minimum(), moments.maximum()), (Some(5e-324), Some(1.5e-323)));
    assert_eq!(moments.mean(), Some(1e-323));
    assert!(moments.standard_deviation().is_some_and(|deviation| (0.0..1e-160).contains(&deviation)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn merge_matches_a_single_accumulator(
        offset in prop::sample::select(vec![0.0, 1.0, -295.0, 1e9, 1e15]),
        parts in prop::collection::vec(prop::collection::vec(-1e3f64..1e3, 0..40), 1..8),
    ) {
        let parts: Vec<Vec<f64>> = parts.iter().map(|part| part.iter().map(|value| value + offset).collect()).collect();
        let mut merged = Moments::default();
        for part in &parts {
            merged.merge(&in_batches(part, part.len().max(1)));
        }
        let all = parts.concat();
        let single = in_batches(&all, 1);
        prop_assert_eq!(merged.count(), single.count());
        prop_assert_eq!((merged.minimum(), merged.maximum()), (single.minimum(), single.maximum()));
        if let (Some(one), Some(two)) = (merged.standard_deviation(), single.standard_deviation()) {
            prop_assert!((one - two).abs() <= 2e-15 * two, "{} and {}", one, two);
        }
        if let (Some(one), Some(two)) = (merged.mean(), single.mean()) {
            prop_assert!((one - two).abs() <= 4.5e-16 * two.abs(), "{} and {}", one, two);
        }
    }

    #[test]
    fn no_values_make_a_nan_or_an_infinity(bits in prop::collection::vec(any::<u64>(), 0..30), batch in 1usize..30) {
        let values: Vec<f64> = bits.into_iter().map(f64::from_bits).collect();
        let moments = in_batches(&values, batch);
        let all = [moments.mean(), moments.standard_deviation(), moments.minimum(), moments.maximum()];
        prop_assert!(all.iter().flatten().all(|value| value.is_finite()));
        if let (Some(mean), Some(minimum), Some(maximum)) = (moments.mean(), moments.minimum(), moments.maximum()) {
            prop_assert!(minimum <= mean && mean <= maximum);
        }
    }
}
