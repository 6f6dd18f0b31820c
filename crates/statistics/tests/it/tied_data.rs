//! Data with heavy ties among more distinct values than fit: the median against all the values, sorted.

use crate::distributions::{Random, rank_error};
use statistics::{CountedReading, DeviceState, Identity, QuantileSketch};

const SECOND: i128 = 1_000_000_000;
const CASES: u64 = 1_000;

/// Readings as sensors tie them: a few values that come again and again, among values that hardly do.
fn mixture(random: &mut Random) -> Vec<f64> {
    let longest = [1_000, 5_000, 20_000][random.below(3) as usize];
    let length = 700 + random.below(longest);
    let centre = [0.1, 33.0, 300.0, -7.5, 1e6][random.below(5) as usize];
    let spread = centre * [0.003, 0.1, 1.0][random.below(3) as usize];
    let decimals = 10f64.powi(random.below(5) as i32);
    let noise = random.below(3);
    let draw = move |random: &mut Random| {
        let value = centre + spread * random.normal();
        match noise {
            0 => value,
            // What summing and scaling leaves of decimals: 33.498000000000005.
            1 => (value * 1e3).round() * 1e-3 + (value * 40.0).round() * 1e-4,
            _ => value + (random.below(2) as f64) * 1e-9,
        }
    };
    let mut frequent: Vec<(f64, u64)> = Vec::new();
    for _ in 0..=random.below(7) {
        let beside = frequent.first().filter(|_| random.below(3) == 0);
        let value = match beside {
            Some((value, _)) => value * (1.0 + [1e-15, 1e-5, 1e-3][random.below(3) as usize]),
            None => (draw(random) * decimals).round() / decimals,
        };
        frequent.push((value, 1 + random.below(300)));
    }
    let readings = (0..length).map(|_| {
        let mut place = random.below(1_000);
        for (value, weight) in &frequent {
            if place < *weight {
                return *value;
            }
            place -= weight;
        }
        draw(random)
    });
    readings.collect()
}

/// As they come, or as a drifting process or a sorted file sends them.
fn ordered(random: &mut Random, mut values: Vec<f64>) -> Vec<f64> {
    match random.below(4) {
        0 => values.sort_unstable_by(f64::total_cmp),
        1 => values.chunks_mut(500).for_each(|part| part.sort_unstable_by(|one, two| two.total_cmp(one))),
        _ => {}
    }
    values
}

/// Counts values in batches of up to `longest`, stored and read back in between.
fn stored_state(random: &mut Random, values: &[f64], longest: u64) -> DeviceState {
    let (mut state, mut rest, mut second) = (DeviceState::new(), values, 0);
    while !rest.is_empty() {
        let (batch, later) = rest.split_at((1 + random.below(longest) as usize).min(rest.len()));
        let reading = |(index, value): (usize, &f64)| {
            let identity = Identity { timestamp_ns: (second + index as i128) * SECOND, event_id_hash: None };
            CountedReading { identity, value: *value, value_check: 0 }
        };
        state.count(&batch.iter().enumerate().map(reading).collect::<Vec<_>>());
        if state.is_over("sensor-0123456789-building", state.encode().len()) {
            drop(state.spill_at_most("sensor-0123456789-building", 100_000, usize::MAX));
        }
        state = DeviceState::decode(&state.encode()).expect("what was counted reads back");
        (rest, second) = (later, second + batch.len() as i128);
    }
    state
}

/// The median's rank error, and how much of the readings has the value of the true median.
fn judge(state: &DeviceState, values: &[f64]) -> (f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let median = state.summary().median.expect("readings were counted");
    let error = rank_error(&sorted, 0.5, median);
    let (one, two) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
    let ties = sorted.iter().filter(|value| **value == one && one == two).count();
    (error, ties as f64 / sorted.len() as f64)
}

/// The rank error of the median of the sketch alone.
fn sketch_error(values: &[f64]) -> f64 {
    let mut sketch = QuantileSketch::new(448);
    values.iter().for_each(|value| sketch.push(*value));
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    rank_error(&sorted, 0.5, sketch.quantile(0.5).expect("values were pushed"))
}

#[test]
fn a_median_that_is_tied_by_a_tenth_of_the_readings_is_found_and_no_answer_leaves_the_bound() {
    let mut random = Random(83);
    let (mut cases, mut tied, mut exact, mut worst, mut worst_of_all) = (0, 0, 0, 0.0f64, 0.0f64);
    let mut beyond_the_sketch = 0;
    for case in 0..CASES {
        let values = mixture(&mut random);
        let values = ordered(&mut random, values);
        let one_by_one = values.len() < 2_500 && random.below(8) == 0;
        let longest = if one_by_one { 1 } else { 2 + random.below(2_000) };
        let state = stored_state(&mut random, &values, longest);
        let (error, ties) = judge(&state, &values);
        let bound = state.median_rank_error_bound();
        assert!(error <= bound + 1e-12, "case {case}: {error} over the bound {bound}");
        cases += 1;
        worst_of_all = worst_of_all.max(error);
        if ties >= 0.1 {
            beyond_the_sketch += u32::from(sketch_error(&values) > 0.005);
            (tied, exact, worst) = (tied + 1, exact + i32::from(error == 0.0), worst.max(error));
            // Measured, not proved: of other seeds about one mixture in 600 is over (docs/statistics.md).
            assert!(error <= 0.005, "case {case}: {error} with ties of {ties}, bound {bound}");
        }
    }
    println!("{cases} cases, {tied} tied, of them {exact} exact, worst {worst}; worst of all {worst_of_all}");
    assert!(cases == 1_000 && tied > 500, "{tied} of {cases} cases had a tied median");
    // Most medians have an own bucket or none: enough of them must be beyond what the sketch alone can tell.
    assert!(beyond_the_sketch > 100, "{beyond_the_sketch} of {tied}");
}

/// A processor's load in steps of 0.2 as the cloud's monitoring sends it: most readings are one of ten values, with
/// what averaging leaves of the others.
#[test]
fn a_load_of_few_steps_among_averages_has_its_exact_median() {
    let mut random = Random(89);
    for round in 0..40 {
        let mut draw = || match random.below(100) {
            0..9 => 1.8,
            place @ 9..70 => (14 + (place - 9) / 7) as f64 / 10.0 + if place % 7 == 0 { 2.0 } else { 0.0 },
            70..80 => 1.8 + random.normal() * 1e-4,
            _ => (random.uniform() * 4_000.0).round() * 0.001 + 0.0001 / 3.0,
        };
        let values: Vec<f64> = (0..4_032).map(|_| draw()).collect();
        let state = stored_state(&mut Random(round), &values, 400);
        let (error, _) = judge(&state, &values);
        assert!(error <= 0.005 && error <= state.median_rank_error_bound() + 1e-12, "round {round}: {error}");
    }
}
