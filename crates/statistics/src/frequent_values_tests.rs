//! What the counters promise, against the true counts, and that storing changes nothing of it.

use std::collections::BTreeMap;

use crate::frequent_values::{FREQUENT_VALUES, FrequentValues};
use crate::key::key_of;
use crate::{CountedReading, DeviceState, Identity};

const STREAMS: u64 = 2_000;
const DEVICES: u32 = 150;

/// SplitMix64, as in the tests' `distributions`.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((u128::from(z ^ (z >> 31)) * u128::from(end)) >> 64) as u64
    }

    /// A value of many where small numbers are the likelier the steeper the draw, or one that hardly repeats.
    fn tied(&mut self, steepness: u64, noise: u64) -> f64 {
        if self.below(100) < noise {
            return self.below(1 << 52) as f64 / (1u64 << 45) as f64;
        }
        (0..steepness).fold(40, |end, _| 1 + self.below(end)) as f64 * 0.1
    }
}

fn assert_promises(table: &FrequentValues, counts: &BTreeMap<u64, u64>, total: u64) {
    let most_missed = table.most_missed(total);
    let entries = table.entries();
    assert!(entries.len() <= FREQUENT_VALUES);
    for entry in &entries {
        assert!(counts.get(&entry.key).is_some_and(|count| entry.count <= *count), "a counter over its count");
    }
    for (key, count) in counts {
        let counter = entries.iter().find(|entry| entry.key == *key).map_or(0, |entry| entry.count);
        assert!(*count <= counter + most_missed, "{count} readings, {counter} counted, {most_missed} missed at most");
    }
}

#[test]
fn counters_never_pass_their_counts_nor_miss_more_than_is_out_of_account() {
    let mut random = Random(3);
    for _ in 0..STREAMS {
        let (steepness, noise, length) = (random.below(4), random.below(100), random.below(3_000));
        let mut table = FrequentValues::default();
        let mut counts = BTreeMap::new();
        for total in 1..=length {
            let value = random.tied(steepness, noise);
            table.push(value);
            *counts.entry(key_of(value)).or_default() += 1;
            if total.is_power_of_two() || total == length {
                assert_promises(&table, &counts, total);
            }
        }
    }
}

#[test]
fn a_device_keeps_the_promises_from_exact_counts_through_every_storing() {
    let mut random = Random(5);
    let mut started = 0;
    for _ in 0..DEVICES {
        let (steepness, noise, longest) =
            (random.below(4), 10 + random.below(90), [1, 20, 1_500][random.below(3) as usize]);
        let length = 1 + random.below(if longest == 1 { 1_000 } else { 3_000 });
        let (mut stored, mut whole, mut counts) = (DeviceState::new(), DeviceState::new(), BTreeMap::new());
        let mut total = 0;
        while total < length {
            let batch: Vec<CountedReading> = (0..1 + random.below(longest))
                .map(|index| {
                    let value = random.tied(steepness, noise);
                    *counts.entry(key_of(value)).or_default() += 1;
                    let identity = Identity { timestamp_ns: i128::from(total + index), event_id_hash: None };
                    CountedReading { identity, value, value_check: 0 }
                })
                .collect();
            total += batch.len() as u64;
            stored.count(&batch);
            whole.count(&batch);
            drop(stored.spill_at_most("sensor-0001", 100_000, usize::MAX));
            stored = DeviceState::decode(&stored.encode()).expect("what was counted reads back");
            if total.is_multiple_of(16) || total >= length {
                let Some(table) = &stored.frequent else { continue };
                assert_promises(table, &counts, total);
            }
        }
        // Spilling may have made the stored sketch coarser or coarse earlier; else nothing tells the two apart.
        if stored.sketch.shift == whole.sketch.shift {
            assert_eq!(stored.sketch, whole.sketch);
        }
        started += u32::from(stored.frequent.is_some());
    }
    assert!(started > DEVICES / 2, "{started} of {DEVICES} sketches became coarse");
}

#[test]
fn a_table_that_starts_from_exact_counts_keeps_the_promises() {
    let mut random = Random(7);
    for _ in 0..STREAMS {
        let mut counts = BTreeMap::new();
        let distinct = 1 + random.below(60);
        (0..distinct).for_each(|value| *counts.entry(key_of(value as f64)).or_default() += 1 + random.below(500));
        let buckets: Vec<_> = counts.iter().map(|(&key, &count)| crate::key::Bucket { key, count }).collect();
        let mut table = FrequentValues::from_exact(&buckets);
        let mut total = counts.values().sum();
        assert_promises(&table, &counts, total);
        for _ in 0..random.below(1_000) {
            let value = random.below(distinct + 20) as f64;
            table.push(value);
            *counts.entry(key_of(value)).or_default() += 1;
            total += 1;
        }
        assert_promises(&table, &counts, total);
    }
}
