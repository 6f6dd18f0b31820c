//! What the proof of order-independence rests on (docs/statistics.md): at any one shift, the size never falls as values
//! are added; and the shift that a sketch settles on is the least that fits.

use crate::QuantileSketch;
use crate::quantile_sketch::LEAST_BYTE_CAP;

/// SplitMix64.
fn bits(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn value(state: &mut u64, kind: u64) -> f64 {
    let random = bits(state);
    match kind {
        0 => (random % 200) as f64 / 10.0,
        1 => (random % 1_000) as f64 - 500.0,
        2 => 1e9 + (random % 4_096) as f64 / 4_096.0,
        3 => f64::from_bits(random & !(1 << 62)),
        _ => (random >> 11) as f64 / (1u64 << 53) as f64 - 0.5,
    }
}

fn push_counted(sketch: &mut QuantileSketch, value: f64, count: u64) {
    let mut one = QuantileSketch::new(sketch.byte_cap);
    one.push(value);
    one.settle();
    (one.buckets[0].count, one.total) = (count, count);
    sketch.merge(&one);
}

/// A sketch of these values at this very shift, however large.
fn at_shift(values: &[(f64, u64)], shift: u32) -> QuantileSketch {
    let mut sketch = QuantileSketch::new(1 << 20);
    values.iter().for_each(|&(value, count)| push_counted(&mut sketch, value, count));
    sketch.coarsen(shift);
    sketch
}

fn random_values(state: &mut u64, kind: u64, length: u64) -> Vec<(f64, u64)> {
    (0..length)
        .map(|_| {
            let value = value(state, kind);
            let count = 1 + (bits(state) >> (bits(state) % 62 + 2)) * u64::from(bits(state).is_multiple_of(4));
            (value, count)
        })
        .collect()
}

#[test]
fn at_any_one_shift_the_size_never_falls_as_values_are_added() {
    let mut state = 1;
    let mut steps = 0u64;
    for case in 0..300 {
        let mut values = random_values(&mut state, case % 5, 40);
        // Crowd some keys together, and repeat some, so that gaps of every length are split.
        for index in 0..15 {
            let (near, _) = values[index];
            values.push((f64::from_bits(near.to_bits() ^ (1 << (bits(&mut state) % 40))), 1));
            values.push((near, 1));
        }
        for shift in (0..=64).step_by(1 + (case % 3) as usize) {
            let mut before = 0;
            for length in 0..=values.len() {
                let size = at_shift(&values[..length], shift).size_bits();
                assert!(size >= before, "{size} after {before} bits at shift {shift}: {:?}", &values[..length]);
                before = size;
                steps += 1;
            }
        }
    }
    assert!(steps > 500_000, "{steps}");
}

#[test]
fn a_sketch_settles_on_the_least_shift_that_fits() {
    let mut state = 2;
    for case in 0..4_000u64 {
        let length = 1 + bits(&mut state) % 80;
        let values = random_values(&mut state, case % 5, length);
        let cap = LEAST_BYTE_CAP + (bits(&mut state) % 200) as usize;
        let least = (0..=64).find(|shift| at_shift(&values, *shift).size_bits() <= cap as u64 * 8);
        let mut sketch = QuantileSketch::new(cap);
        values.iter().for_each(|&(value, count)| push_counted(&mut sketch, value, count));
        sketch.settle();
        assert_eq!(Some(sketch.shift), least, "{values:?} at {cap} bytes");
        assert_eq!(sketch.encode().len() as u64, sketch.size_bits().div_ceil(8));
    }
}
