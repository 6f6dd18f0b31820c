//! The sketch: its bytes for every order and merge tree, its exactness, its error and the bound it states.

use crate::distributions::{DISTRIBUTIONS, Random, rank_error, sample};
use proptest::prelude::*;
use statistics::{LEAST_BYTE_CAP, QuantileSketch};

/// Values of one of many kinds: what fits exactly, what does not, ties, decimals, extremes, zeros of both signs.
fn random_value(random: &mut Random, kind: u64) -> f64 {
    match kind {
        0 => random.normal(),
        1 => (random.normal() * 100.0).round() / 100.0,
        2 => random.below(40) as f64,
        3 => 1e9 + random.normal(),
        4 => f64::from_bits(random.bits() & !(1 << 62)) * 0.5,
        5 => [0.0, -0.0, 1e100, -1e100, f64::MIN_POSITIVE, 5e-324][random.below(6) as usize],
        6 => (random.normal() * 4.0).exp(),
        7 => 20.0 + random.below(400) as f64 / 10.0,
        _ => {
            let kind = random.below(8);
            random_value(random, kind)
        }
    }
}

fn shuffle<T>(random: &mut Random, items: &mut [T]) {
    for index in (1..items.len()).rev() {
        items.swap(index, random.below(index as u64 + 1) as usize);
    }
}

fn pushed(values: &[(f64, u64)], cap: usize) -> QuantileSketch {
    let mut sketch = QuantileSketch::new(cap);
    values.iter().for_each(|&(value, count)| push_counted(&mut sketch, cap, value, count));
    sketch
}

/// Pushes a value `count` times; a great count by merging sketches of 1, 2, 4, … of it.
fn push_counted(sketch: &mut QuantileSketch, cap: usize, value: f64, count: u64) {
    if count <= 256 {
        return (0..count).for_each(|_| sketch.push(value));
    }
    let mut power = QuantileSketch::new(cap);
    power.push(value);
    for bit in 0..64 - count.leading_zeros() {
        if count >> bit & 1 == 1 {
            sketch.merge(&power);
        }
        let half = power.clone();
        power.merge(&half);
    }
}

/// The values split at random into parts, and those merged in a random tree; some parts stored and read back.
fn merged_by_a_random_tree(random: &mut Random, values: &[(f64, u64)], cap: usize) -> QuantileSketch {
    let mut parts: Vec<QuantileSketch> = Vec::new();
    let mut rest = values;
    while !rest.is_empty() {
        let longest = 1 + random.below(64);
        let length = 1 + random.below(longest.min(rest.len() as u64)) as usize;
        let (part, others) = rest.split_at(length);
        let part = pushed(part, cap);
        parts.push(match random.below(4) {
            0 => QuantileSketch::decode(&part.encode(), cap).expect("what was encoded decodes"),
            _ => part,
        });
        rest = others;
    }
    while parts.len() > 1 {
        let other = parts.swap_remove(random.below(parts.len() as u64) as usize);
        let into = random.below(parts.len() as u64) as usize;
        parts[into].merge(&other);
    }
    parts.pop().unwrap_or_else(|| QuantileSketch::new(cap))
}

const ORDER_CASES: u64 = 1_000_000;

#[test]
fn the_bytes_are_the_same_for_every_order_and_merge_tree() {
    let mut cases = 0u64;
    let mut coarsened = 0u64;
    let mut random = Random(3);
    for case in 0..ORDER_CASES {
        let kind = random.below(12);
        let length = match case % 1_000 {
            0 => 600 + random.below(1_500),
            1..=20 => random.below(300),
            _ => random.below(28),
        };
        let cap = LEAST_BYTE_CAP + random.below(if case % 10 == 0 { 400 } else { 60 }) as usize;
        // Great counts, up to 2^64, in one case of sixteen: they take many merges.
        let least_shift = if case % 16 == 0 { 0 } else { 56 };
        let count = |random: &mut Random| match random.below(8) {
            0 => 1 + (random.bits() >> (least_shift + random.below(64 - least_shift))),
            _ => 1,
        };
        let mut values: Vec<(f64, u64)> =
            (0..length).map(|_| (random_value(&mut random, kind), count(&mut random))).collect();
        let expected = pushed(&values, cap).encode();
        assert!(expected.len() <= cap, "{} bytes over a cap of {cap}", expected.len());
        shuffle(&mut random, &mut values);
        let merged = merged_by_a_random_tree(&mut random, &values, cap);
        assert_eq!(merged.encode(), expected, "case {case}: {values:?} at {cap} bytes");
        coarsened += u64::from(merged.rank_error_bound() > 0.0);
        cases += 1;
    }
    assert_eq!(cases, 1_000_000);
    assert!(coarsened > cases / 10 && coarsened < cases * 9 / 10, "{coarsened} of {cases} coarsened");
}

fn exact_quantile(sorted: &[f64], q: f64) -> f64 {
    let position = (sorted.len() - 1) as f64 * q;
    let (below, above) = (sorted[position.floor() as usize], sorted[position.ceil() as usize]);
    let fraction = position - position.floor();
    if below == above { below } else { below * (1.0 - fraction) + above * fraction }
}

#[test]
fn every_quantile_of_up_to_60_distinct_values_is_exact() {
    let mut random = Random(5);
    for distribution in &DISTRIBUTIONS {
        for distinct in 1..=60 {
            let mut values = distribution.sample(random.bits(), distinct);
            let repeated: Vec<f64> =
                (0..random.below(200)).map(|_| values[random.below(distinct as u64) as usize]).collect();
            values.extend(repeated);
            let mut sketch = QuantileSketch::new(448);
            values.iter().for_each(|value| sketch.push(*value));
            let stored = QuantileSketch::decode(&sketch.encode(), 448).unwrap();
            values.sort_unstable_by(f64::total_cmp);
            assert_eq!(stored.rank_error_bound(), 0.0);
            for step in 0..=1_000 {
                let q = f64::from(step) / 1_000.0;
                assert_eq!(stored.quantile(q), Some(exact_quantile(&values, q)), "{} at {q}", distribution.name);
            }
        }
    }
}

#[test]
fn a_million_values_keep_to_the_error_goals_and_to_the_stated_bound() {
    for distribution in &DISTRIBUTIONS {
        let values = sample(distribution, 23, 1_000_000);
        let mut sketch = QuantileSketch::new(448);
        values.iter().for_each(|value| sketch.push(*value));
        assert!(sketch.encode().len() <= 448);
        let mut sorted = values;
        sorted.sort_unstable_by(f64::total_cmp);
        let bound = sketch.rank_error_bound();
        for step in 0..=1_000 {
            let q = f64::from(step) / 1_000.0;
            let error = rank_error(&sorted, q, sketch.quantile(q).unwrap());
            assert!(error <= bound, "{}: {error} at {q}, over the bound {bound}", distribution.name);
        }
        let error = |q| rank_error(&sorted, q, sketch.quantile(q).unwrap());
        assert!(error(0.5) <= 0.000_5, "{}: median {}", distribution.name, error(0.5));
        assert!(error(0.95) <= 0.001 && error(0.99) <= 0.001, "{}", distribution.name);
    }
}

#[test]
fn one_enormous_value_costs_at_most_one_halving_of_the_resolution() {
    for seed in 0..20 {
        let values = DISTRIBUTIONS[0].sample(seed, 200_000);
        let mut sketch = QuantileSketch::new(448);
        values.iter().for_each(|value| sketch.push(*value));
        let before = sketch.rank_error_bound();
        sketch.push(1e100);
        sketch.push(-1e100);
        assert!(sketch.rank_error_bound() <= 2.0 * before + 1e-3);
    }
}

#[test]
fn empty_is_none_and_what_is_not_finite_is_not_counted() {
    let mut sketch = QuantileSketch::new(448);
    [f64::NAN, f64::INFINITY, f64::NEG_INFINITY].iter().for_each(|value| sketch.push(*value));
    assert_eq!((sketch.count(), sketch.quantile(0.5)), (0, None));
    assert_eq!(QuantileSketch::decode(&sketch.encode(), 448), Ok(sketch.clone()));
    sketch.push(4.0);
    assert_eq!(sketch.quantile(f64::NAN), None);
}

#[test]
fn negative_zero_is_zero() {
    let (mut negative, mut positive) = (QuantileSketch::new(448), QuantileSketch::new(448));
    negative.push(-0.0);
    positive.push(0.0);
    assert_eq!(negative.encode(), positive.encode());
    assert!(negative.quantile(0.5).is_some_and(|median| median.to_bits() == 0));
}

#[test]
fn counts_saturate_in_every_order() {
    let counts = [u64::MAX, 3, u64::MAX - 1, 1];
    let build = |order: [usize; 4]| {
        let mut sketch = QuantileSketch::new(64);
        order.iter().for_each(|&index| push_counted(&mut sketch, 64, index as f64, counts[index]));
        push_counted(&mut sketch, 64, 2.0, u64::MAX);
        (sketch.encode(), sketch.count(), sketch.quantile(0.5).is_some())
    };
    assert_eq!(build([0, 1, 2, 3]), build([3, 1, 0, 2]));
    assert_eq!(build([0, 1, 2, 3]).1, u64::MAX);
}

/// Folding what was pushed may coarsen the sketch in the middle of a merge; what is merged must still be made to fit.
#[test]
fn a_merge_into_pending_pushes_keeps_to_the_cap() {
    let values: Vec<(f64, u64)> = (0..140).map(|step| (f64::from(step) * std::f64::consts::PI, 1)).collect();
    for split in 1..140 {
        let mut merged = pushed(&values[..split], 64);
        merged.merge(&pushed(&values[split..], 64));
        assert_eq!(merged.encode(), pushed(&values, 64).encode(), "split at {split}");
    }
}

#[test]
fn merging_sketches_of_two_caps_keeps_to_the_smaller() {
    let values = DISTRIBUTIONS[0].sample(1, 5_000);
    let all: Vec<(f64, u64)> = values.iter().map(|value| (*value, 1)).collect();
    let mut wide = pushed(&all[..2_000], 448);
    let mut narrow = pushed(&all[2_000..], 100);
    let narrow_before = narrow.clone();
    narrow.merge(&wide);
    wide.merge(&narrow_before);
    assert_eq!(wide.encode(), narrow.encode());
    assert_eq!(wide.encode(), pushed(&all, 100).encode());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn quantiles_rise_with_q_within_the_range_and_are_never_nan(
        seed in any::<u64>(), kind in 0u64..9, length in 1usize..3_000, cap in 48usize..500,
    ) {
        let mut random = Random(seed);
        let values: Vec<f64> = (0..length).map(|_| random_value(&mut random, kind)).collect();
        let mut sketch = QuantileSketch::new(cap);
        values.iter().for_each(|value| sketch.push(*value));
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        prop_assert_eq!(sketch.quantile(0.0), Some(least));
        prop_assert_eq!(sketch.quantile(1.0), Some(greatest));
        let mut before = least;
        for step in 0..=200 {
            let quantile = sketch.quantile(f64::from(step) / 200.0).unwrap();
            prop_assert!(quantile >= before && quantile <= greatest, "{} after {}", quantile, before);
            before = quantile;
        }
    }

    #[test]
    fn the_rank_of_a_quantile_is_within_the_stated_bound(seed in any::<u64>(), kind in 0u64..9, length in 1usize..3_000) {
        let mut random = Random(seed);
        let mut values: Vec<f64> = (0..length).map(|_| random_value(&mut random, kind)).collect();
        let mut sketch = QuantileSketch::new(100);
        values.iter().for_each(|value| sketch.push(*value));
        values.sort_unstable_by(f64::total_cmp);
        let bound = sketch.rank_error_bound() + 1e-12;
        for step in 0..=100 {
            let q = f64::from(step) / 100.0;
            let error = rank_error(&values, q, sketch.quantile(q).unwrap());
            prop_assert!(error <= bound, "{} at {}, bound {}", error, q, bound);
        }
    }

    #[test]
    fn a_stored_sketch_reads_back_equal(seed in any::<u64>(), kind in 0u64..9, length in 0usize..2_000, cap in 48usize..500) {
        let mut random = Random(seed);
        let values: Vec<(f64, u64)> = (0..length).map(|_| (random_value(&mut random, kind), 1)).collect();
        let sketch = pushed(&values, cap);
        let stored = QuantileSketch::decode(&sketch.encode(), cap);
        prop_assert_eq!(stored.as_ref(), Ok(&sketch));
        prop_assert_eq!(stored.unwrap().count(), length as u64);
    }
}

#[test]
fn quantiles_between_subnormals_rise_with_q() {
    let mut sketch = QuantileSketch::new(448);
    [2u64, 3, 5, 6].iter().for_each(|units| sketch.push(f64::from_bits(*units)));
    let quantiles: Vec<_> = (0..=1_000).map(|step| sketch.quantile(f64::from(step) / 1_000.0)).collect();
    assert!(quantiles.is_sorted_by(|one, two| one <= two), "{quantiles:?}");
}
