//! Error, bytes and time of the sketch beside those of published crates, in one run: `cargo bench -p statistics`.

#[path = "../tests/it/distributions/mod.rs"]
mod distributions;

use std::hint::black_box;
use std::time::Instant;

use datasketches::common::SearchCriteria;
use datasketches::kll::{KllFloat, KllSketch};
use datasketches::tdigest::TDigestMut;
use distributions::{DISTRIBUTIONS, Random, rank_error, sample};
use sketches_ddsketch::{Config, DDSketch};
use statistics::{CountedReading, DeviceState, Identity, Moments, QuantileSketch};
use tdigests::TDigest;

const VALUES: usize = 1_000_000;
const BYTES: usize = 448;
const QUANTILES: [f64; 3] = [0.5, 0.95, 0.99];

/// What one sketch made of one sample.
struct Outcome {
    answers: [f64; 3],
    bytes: usize,
    push_ns: f64,
}

/// Values between two looks at the clock.
const SLICE: usize = 20_000;

/// Adds the values by slices; the time is that of the fastest slice, because what else the machine does only ever adds.
fn timed<S>(
    values: &[f64],
    mut sketch: S,
    mut add: impl FnMut(&mut S, &[f64]),
    finish: impl FnOnce(S) -> ([f64; 3], usize),
) -> Outcome {
    let mut push_ns = f64::INFINITY;
    for slice in values.chunks(SLICE) {
        let start = Instant::now();
        add(&mut sketch, slice);
        push_ns = push_ns.min(start.elapsed().as_nanos() as f64 / slice.len() as f64);
    }
    let (answers, bytes) = finish(sketch);
    Outcome { answers, bytes, push_ns }
}

fn ours(values: &[f64]) -> Outcome {
    let add = |sketch: &mut QuantileSketch, slice: &[f64]| slice.iter().for_each(|value| sketch.push(*value));
    timed(values, QuantileSketch::new(BYTES), add, |sketch| {
        (QUANTILES.map(|q| sketch.quantile(q).unwrap_or(f64::NAN)), sketch.encode().len())
    })
}

fn ddsketch(values: &[f64], alpha: f64) -> Outcome {
    let add = |sketch: &mut DDSketch, slice: &[f64]| slice.iter().for_each(|value| sketch.add(*value));
    timed(values, DDSketch::new(Config::new(alpha, 2_048, 1e-9)), add, |sketch| {
        let answers = QUANTILES.map(|q| sketch.quantile(q).ok().flatten().unwrap_or(f64::NAN));
        (answers, sketch.to_java_bytes().len())
    })
}

/// Of DDSketches over a ladder of relative errors, the one with the least error of the median within our bytes.
fn ddsketch_within(values: &[f64], sorted: &[f64]) -> Outcome {
    let ladder = (0..26).map(|step| 1e-6 * 1.6f64.powi(step)).filter(|alpha| *alpha < 0.5);
    let outcomes = ladder.map(|alpha| ddsketch(values, alpha)).filter(|outcome| outcome.bytes <= BYTES);
    let median_error = |outcome: &Outcome| rank_error(sorted, 0.5, outcome.answers[0]);
    let best = outcomes.min_by(|one, two| median_error(one).total_cmp(&median_error(two)));
    best.unwrap_or_else(|| ddsketch(values, 0.5))
}

/// `tdigests` has no push: values go in by batches of 1,000, compressed to 28 centroids of 16 bytes after each.
fn tdigests(values: &[f64]) -> Outcome {
    let add = |digest: &mut Option<TDigest>, slice: &[f64]| {
        for batch in slice.chunks(1_000) {
            let batch = TDigest::from_values(batch.to_vec());
            let mut merged = digest.take().map_or(batch.clone(), |digest| digest.merge(&batch));
            merged.compress(BYTES / 16);
            *digest = Some(merged);
        }
    };
    timed(values, None, add, |digest| match digest {
        Some(digest) => (QUANTILES.map(|q| digest.estimate_quantile(q)), digest.centroids().len() * 16),
        None => ([f64::NAN; 3], 0),
    })
}

fn datasketches_tdigest(values: &[f64], k: u16) -> Outcome {
    let digest = TDigestMut::new(k).expect("k is at least 10");
    let add = |digest: &mut TDigestMut, slice: &[f64]| slice.iter().for_each(|value| digest.update(*value));
    timed(values, digest, add, |mut digest| {
        (QUANTILES.map(|q| digest.quantile(q).ok().flatten().unwrap_or(f64::NAN)), digest.serialize().len())
    })
}

fn datasketches_kll(values: &[f64], k: u16) -> Outcome {
    let sketch = KllSketch::<KllFloat<f64>>::new(k).expect("k is at least 8");
    let add = |sketch: &mut KllSketch<KllFloat<f64>>, slice: &[f64]| {
        slice.iter().filter_map(|value| KllFloat::<f64>::new(*value).ok()).for_each(|value| sketch.update(value));
    };
    timed(values, sketch, add, |sketch| {
        let answer = |q| sketch.quantile(q, SearchCriteria::Inclusive).ok().flatten();
        (QUANTILES.map(|q| answer(q).map_or(f64::NAN, |value| value.into_inner())), sketch.serialize().len())
    })
}

/// The largest `k` whose bytes stay within ours.
fn largest_k(values: &[f64], least: u16, fold: fn(&[f64], u16) -> Outcome) -> Outcome {
    let fits = |k: &u16| fold(&values[..values.len() / 20], *k).bytes <= BYTES;
    let mut k = (least..=60).rev().find(fits).unwrap_or(least);
    loop {
        let outcome = fold(values, k);
        if outcome.bytes <= BYTES || k == least {
            return outcome;
        }
        k -= 1;
    }
}

fn compare() {
    println!("| sample of 1,000,000 | sketch | median | p95 | p99 | bytes | ns a value |");
    println!("|---|---|---|---|---|---|---|");
    let mut worst: Vec<(&str, f64, usize, f64)> = Vec::new();
    for distribution in &DISTRIBUTIONS {
        let values = sample(distribution, 7, VALUES);
        let mut sorted = values.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let outcomes = [
            ("ours, 448", ours(&values)),
            ("sketches-ddsketch, default", ddsketch(&values, 0.01)),
            ("sketches-ddsketch, tuned to 448", ddsketch_within(&values, &sorted)),
            ("tdigests", tdigests(&values)),
            ("datasketches t-digest", largest_k(&values, 10, datasketches_tdigest)),
            ("datasketches KLL", largest_k(&values, 8, datasketches_kll)),
        ];
        for (name, outcome) in outcomes {
            let errors = [0, 1, 2].map(|i| match rank_error(&sorted, QUANTILES[i], outcome.answers[i]) {
                error if outcome.answers[i].is_nan() => error.max(1.0),
                error => error,
            });
            let [median, p95, p99] = errors.map(|error| format!("{:.3}%", error * 100.0));
            let (bytes, nanoseconds) = (outcome.bytes, outcome.push_ns);
            println!("| {} | {name} | {median} | {p95} | {p99} | {bytes} | {nanoseconds:.0} |", distribution.name);
            match worst.iter_mut().find(|(known, ..)| *known == name) {
                Some((_, error, most, slowest)) => {
                    *error = errors.iter().fold(*error, |a, b| a.max(*b));
                    *most = bytes.max(*most);
                    *slowest = nanoseconds.max(*slowest);
                }
                None => worst.push((name, errors.iter().fold(0.0, |a, b| b.max(a)), bytes, nanoseconds)),
            }
        }
    }
    println!("\n| sketch | worst rank error | most bytes | most ns a value |\n|---|---|---|---|");
    for (name, error, bytes, nanoseconds) in worst {
        println!("| {name} | {:.3}% | {bytes} | {nanoseconds:.0} |", error * 100.0);
    }
}

/// The time that one call takes: the least of some runs, because what else the machine does only ever adds.
fn nanoseconds(runs: usize, calls: usize, mut call: impl FnMut()) -> f64 {
    let times = (0..runs).map(|_| {
        let start = Instant::now();
        (0..calls).for_each(|_| call());
        start.elapsed().as_nanos() as f64 / calls as f64
    });
    times.fold(f64::INFINITY, f64::min)
}

fn full_sketch(seed: u64) -> QuantileSketch {
    let mut sketch = QuantileSketch::new(BYTES);
    let mut random = Random(seed);
    (0..100_000).for_each(|_| sketch.push(random.normal()));
    QuantileSketch::decode(&sketch.encode(), BYTES).unwrap_or(sketch)
}

fn costs() {
    let values = sample(&DISTRIBUTIONS[0], 11, SLICE * 5);
    let per_value = |total: f64| total / SLICE as f64;
    let slice = &values[..SLICE];
    println!("\n| operation | ns |\n|---|---|");
    let push = nanoseconds(100, 1, || {
        let mut moments = Moments::default();
        slice.iter().for_each(|value| moments.push(*value));
        black_box(moments);
    });
    println!("| moments, push | {:.1} |", per_value(push));
    let push = nanoseconds(100, 1, || {
        let mut sketch = QuantileSketch::new(BYTES);
        slice.iter().for_each(|value| sketch.push(*value));
        black_box(sketch.encode());
    });
    println!("| sketch, push | {:.1} |", per_value(push));
    let (one, two) = (full_sketch(1), full_sketch(2));
    let merge = nanoseconds(40, 300, || {
        let mut merged = one.clone();
        merged.merge(&two);
        black_box(merged.quantile(0.5));
    });
    println!("| sketch, merge of two full ones, and its median | {merge:.0} |");
    println!("| sketch, encode | {:.0} |", nanoseconds(40, 300, || drop(black_box(one.encode()))));
    let bytes = one.encode();
    let decode = nanoseconds(40, 300, || drop(black_box(QuantileSketch::decode(&bytes, BYTES))));
    println!("| sketch, decode | {decode:.0} |");
    state_costs("device state", &values);
    state_costs("device state of tied data", &tied(13, SLICE * 5));
}

/// Two in three readings are one of ten values, a tenth steps apart; the others are continuous.
fn tied(seed: u64, length: usize) -> Vec<f64> {
    let mut random = Random(seed);
    let mut draw = || match random.below(15) {
        place @ 0..10 => 2.0 + place as f64 / 5.0,
        _ => 3.0 + random.normal(),
    };
    (0..length).map(|_| draw()).collect()
}

/// The median of tied data, out of the sketch alone and out of the device state.
fn compare_tied() {
    println!("\n| tied data, 1,000,000 readings | median | rank error | bound |\n|---|---|---|---|");
    // Float noise, so that no number of decimal places rounds the sketch's answer to the tie by luck.
    let mut values = tied(17, VALUES);
    values.iter_mut().for_each(|value| *value = *value * 0.1 * 3.0);
    let mut sorted = values.clone();
    sorted.sort_unstable_by(f64::total_cmp);
    let mut sketch = QuantileSketch::new(BYTES);
    values.iter().for_each(|value| sketch.push(*value));
    let mut state = DeviceState::new();
    let identity = |index: usize| Identity { timestamp_ns: index as i128 * 10_000_000_000, event_id_hash: None };
    let reading = |(index, value): (usize, &f64)| CountedReading {
        identity: identity(index),
        value: *value,
        value_check: index as u16,
    };
    state.count(&values.iter().enumerate().map(reading).collect::<Vec<_>>());
    let of_sketch = ("sketch alone", sketch.quantile(0.5), sketch.rank_error_bound());
    let of_state = ("device state", state.summary().median, state.median_rank_error_bound());
    for (name, median, bound) in [of_sketch, of_state] {
        let median = median.unwrap_or(f64::NAN);
        let error = rank_error(&sorted, 0.5, median) * 100.0;
        println!("| {name} | {median} | {error:.3}% | {:.3}% |", bound * 100.0);
    }
}

fn state_costs(name: &str, values: &[f64]) {
    let reading = |index: usize| {
        let identity = Identity { timestamp_ns: index as i128 * 10_000_000_000, event_id_hash: None };
        CountedReading { identity, value: values[index], value_check: index as u16 }
    };
    let readings: Vec<CountedReading> = (0..values.len()).map(reading).collect();
    let count = nanoseconds(100, 1, || {
        let mut state = DeviceState::new();
        state.count(&readings[..SLICE]);
        black_box(state.window_len());
    });
    println!("| {name}, count, per reading | {:.1} |", count / SLICE as f64);
    let mut state = DeviceState::new();
    state.count(&readings);
    drop(state.spill_at_most("sensor-0001", 100_000, usize::MAX));
    state.count(&readings[readings.len() - 20..]);
    println!("| {name}, encode | {:.0} |", nanoseconds(40, 200, || drop(black_box(state.encode()))));
    let bytes = state.encode();
    println!("| {name}, decode | {:.0} |", nanoseconds(40, 200, || drop(black_box(DeviceState::decode(&bytes)))));
    println!(
        "| {name}, is_over | {:.0} |",
        nanoseconds(40, 200, || {
            black_box(state.is_over("sensor-0001", state.encode().len()));
        })
    );
}

/// How many readings come between two spills, one a batch, and what that costs.
fn windows() {
    println!("\n| device | readings a spill | sketch bytes | write units a reading, one a batch |\n|---|---|---|---|");
    let second = 1_000_000_000u64;
    let kinds = [
        ("26-byte id, every 10 s, 2 decimals", 26, 0, false, true),
        ("26-byte id, every 10 s, tied data", 26, 0, false, true),
        ("26-byte id, every 10 s, all digits", 26, 0, false, false),
        ("26-byte id, jitter of 5 ms", 26, 5, false, true),
        ("26-byte id, jitter to the nanosecond", 26, 500_000_000, false, true),
        ("26-byte id, `event_id`s", 26, 0, true, true),
        ("128-byte id, every 10 s, 2 decimals", 128, 0, false, true),
        ("128-byte id, nanoseconds, `event_id`s, all digits", 128, 500_000_000, true, false),
    ];
    let tied_values = tied(19, 20_000);
    for (name, length, jitter, named, decimals) in kinds {
        let (device_id, mut random, mut state) = ("d".repeat(length), Random(3), DeviceState::new());
        let (mut spills, mut pages) = (0, 0);
        for index in 0..20_000u64 {
            let late = if jitter == 5 { random.below(jitter) * 1_000_000 } else { random.below(jitter.max(1)) };
            let timestamp_ns = i128::from(1_795_305_600 * second + index * 10 * second + late);
            let event_id_hash = named.then(|| random.bits());
            let value = 21.5 + 0.3 * random.normal();
            let value = match name.contains("tied") {
                true => tied_values[index as usize],
                false if decimals => (value * 100.0).round() / 100.0,
                false => value,
            };
            let identity = Identity { timestamp_ns, event_id_hash };
            state.count(&[CountedReading { identity, value, value_check: random.bits() as u16 }]);
            if state.is_over(&device_id, state.encode().len()) {
                spills += 1;
                pages += state.spill_at_most(&device_id, 300_000, usize::MAX).len();
            }
        }
        // A transaction costs twice: the item's two units and two a page, where the item alone is one.
        let units = 1.0 + f64::from(spills + 2 * pages as i32) / 20_000.0;
        let sketch = state.sketch_bytes();
        println!("| {name} | {:.0} | {sketch} | {units:.2} |", 20_000.0 / f64::from(spills));
    }
}

fn main() {
    compare();
    compare_tied();
    costs();
    windows();
}
