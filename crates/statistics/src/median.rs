//! The median of a device: the sketch's bucket, and within it the exact values that are known to be frequent there.
//!
//! The bucket that holds the middle rank is right, and so are its count b and the count below it. What a tie needs is
//! the tied value to the last bit: an answer beside it by a hair misses its whole mass. Each frequent value v of counter
//! g in the bucket has g to g + E readings (`frequent_values`), and is taken as a point mass; the rest of b follows the
//! sketch's cubic between them. How E is shared out is a model, and only that; whatever it says, no answer leaves the
//! bucket, and [`DeviceState::median_rank_error_bound`] goes by the counters alone.

use crate::DeviceState;
use crate::decimal::{MOST_PLACES, decimal};
use crate::frequent_values::FrequentValues;
use crate::key::Bucket;
use crate::key::{key_of, value_of};
use crate::quantile_sketch::{QuantileSketch, shifted};
use crate::readout::decimals_within;

impl DeviceState {
    /// The mean of the two middle values where the count is even, as the model has them.
    pub(crate) fn median(&self) -> Option<f64> {
        let Some(frequent) = &self.frequent else {
            return self.sketch.quantile(0.5);
        };
        let last = self.sketch.total.checked_sub(1)?;
        let below = order_statistic(&self.sketch, frequent, last / 2);
        let above = order_statistic(&self.sketch, frequent, last.div_ceil(2));
        Some(if below == above { below } else { below * 0.5 + above * 0.5 })
    }

    /// How far the rank of the median may be from the middle, as a share of the count, whatever the readings were; 0
    /// while it is exact. At most the share of the bucket that holds the median; less where frequent values are known
    /// to lie beside it or to be it: their counters are lower bounds.
    pub fn median_rank_error_bound(&self) -> f64 {
        let (Some(frequent), Some(median)) = (&self.frequent, self.median()) else {
            return 0.0;
        };
        let (sketch, key) = (&self.sketch, key_of(median));
        let index = sketch.buckets.partition_point(|bucket| bucket.key < shifted(key, sketch.shift));
        let count_of = |buckets: &[Bucket]| buckets.iter().map(|bucket| bucket.count as f64).sum::<f64>();
        let before = count_of(&sketch.buckets[..index]);
        // The most readings that can lie below the median, and the fewest that can lie at or below it.
        let (mut below, mut up_to) = (before, before);
        if let Some(bucket) = sketch.buckets.get(index).filter(|bucket| bucket.key == shifted(key, sketch.shift)) {
            let ends = match sketch.is_single_value(index) {
                true => [key_of(sketch.within(index, 0.5)); 2],
                false => <[u64; 2]>::from(sketch.ends(bucket)),
            };
            let entries = frequent.entries();
            let within = entries.iter().filter(|entry| shifted(entry.key, sketch.shift) == bucket.key);
            let (lower, upper): (Vec<Bucket>, Vec<Bucket>) = within.partition(|entry| entry.key < key);
            let at: Vec<Bucket> = upper.iter().copied().filter(|entry| entry.key == key).collect();
            let all = before + bucket.count as f64;
            below = if key <= ends[0] { before } else { all - count_of(&upper) };
            up_to = if key >= ends[1] { all } else { before + count_of(&lower) + count_of(&at) };
            if key > ends[1] {
                below = all;
            }
            if key < ends[0] {
                up_to = before;
            }
        }
        let middle = (sketch.total - 1) as f64 / 2.0;
        (below - (middle + 1.0)).max(middle - up_to).max(0.0) / sketch.total as f64
    }
}

/// The estimate of the value at this index (from 0) of the sorted values.
fn order_statistic(sketch: &QuantileSketch, frequent: &FrequentValues, index: u64) -> f64 {
    let Some((place, index_within)) = sketch.locate(index) else {
        return sketch.order_statistic(index);
    };
    let bucket = &sketch.buckets[place];
    let masses = masses(sketch, frequent, place);
    let (first, last) = sketch.ends(bucket);
    let target = index_within as f64 + 0.5;
    let rest = (bucket.count as f64 - masses.iter().map(|(_, mass)| mass).sum::<f64>()).max(0.0);
    // The point masses passed so far, and the lowest value that is left.
    let (mut passed, mut lowest) = (0.0, value_of(first));
    let between = |passed: f64, low: f64, high: f64| {
        let share = if rest > 0.0 { ((target - passed) / rest).clamp(0.0, 1.0) } else { 0.5 };
        sketch.within(place, share).clamp(low, high)
    };
    for (key, mass) in masses {
        let below = if key > first { rest * sketch.share_up_to(place, key - 1) } else { 0.0 };
        if target < passed + below {
            return between(passed, lowest, value_of(key));
        }
        if target <= passed + below + mass {
            return value_of(key);
        }
        passed += mass;
        lowest = value_of(key);
    }
    between(passed, lowest, value_of(last))
}

/// Keys and estimated counts of the frequent values of a bucket.
///
/// Its other values are taken to be about as many as in the emptier of the two buckets beside it; whatever else is left
/// of the bucket's count is what the counters have missed, by [`missed_at_most`] at the most.
fn masses(sketch: &QuantileSketch, frequent: &FrequentValues, place: usize) -> Vec<(u64, f64)> {
    let bucket = &sketch.buckets[place];
    let (entries, missed) = missed_at_most(sketch, frequent, bucket.key);
    let others_beside = |key: Option<u64>| {
        let found = sketch.buckets.binary_search_by_key(&key?, |beside| beside.key).ok()?;
        let (entries, missed) = missed_at_most(sketch, frequent, key?);
        let frequent: f64 = entries.iter().zip(missed).map(|(entry, missed)| entry.count as f64 + missed).sum();
        Some((sketch.buckets[found].count as f64 - frequent).max(0.0))
    };
    let others = [bucket.key.checked_sub(1), bucket.key.checked_add(1)].map(|key| others_beside(key).unwrap_or(0.0));
    let counted: f64 = entries.iter().map(|entry| entry.count as f64).sum();
    let left = (bucket.count as f64 - counted - others[0].min(others[1])).max(0.0);
    let all: f64 = missed.iter().sum();
    let share = if all > left { left / all } else { 1.0 };
    let mut masses: Vec<(u64, f64)> =
        entries.iter().zip(missed).map(|(entry, missed)| (entry.key, entry.count as f64 + share * missed)).collect();
    explain_excess(sketch, frequent, place, others[0].max(others[1]), &mut masses);
    masses
}

/// Where most of a bucket is beyond both the point masses and what lies beside it, a tie is in it that the counters show
/// poorly or not at all: its value is taken for those of the table all the same, or else for the one decimal of the
/// fewest places in the bucket, because people and sensors send such. E is the limit for each here too.
fn explain_excess(
    sketch: &QuantileSketch,
    frequent: &FrequentValues,
    place: usize,
    others: f64,
    masses: &mut Vec<(u64, f64)>,
) {
    let count = sketch.buckets[place].count as f64;
    let excess = count - others - masses.iter().map(|(_, mass)| mass).sum::<f64>();
    if excess <= count / 2.0 || sketch.is_single_value(place) {
        return;
    }
    // What each may grow by to its counter and E.
    let most = frequent.most_missed(sketch.total) as f64;
    let counters = missed_at_most(sketch, frequent, sketch.buckets[place].key).0;
    let mut room: Vec<f64> =
        counters.iter().zip(&*masses).map(|(entry, (_, mass))| entry.count as f64 + most - mass).collect();
    if masses.is_empty() {
        let (first, last) = sketch.ends(&sketch.buckets[place]);
        masses.extend(shortest_decimal(first, last).map(|key| (key, 0.0)));
        room.resize(masses.len(), most);
    }
    let all: f64 = room.iter().sum();
    let share = if all > excess { excess / all } else { 1.0 };
    masses.iter_mut().zip(room).for_each(|((_, mass), room)| *mass += share * room);
}

/// The key of the decimal of the fewest places between two keys, where there is only one.
fn shortest_decimal(first: u64, last: u64) -> Option<u64> {
    let within = |places| Some((decimals_within(value_of(first), value_of(last), places)?, places));
    let ((least, greatest), places) = (0..=MOST_PLACES).find_map(within)?;
    if least == greatest { decimal(least, places).map(key_of) } else { None }
}

/// The frequent values of the bucket of this key, and how many readings the counter of each may well have missed.
///
/// A value that comes oftener than the counters fall was in the table at nearly every fall: its counter misses E. One
/// that comes less often has a counter of chance, about √n at most, and misses less, in proportion.
fn missed_at_most(sketch: &QuantileSketch, frequent: &FrequentValues, key: u64) -> (Vec<Bucket>, Vec<f64>) {
    let mut entries = frequent.entries();
    entries.retain(|entry| shifted(entry.key, sketch.shift) == key);
    let most = frequent.most_missed(sketch.total) as f64;
    let chance = (sketch.total as f64).sqrt();
    let missed = entries.iter().map(|entry| most * (entry.count as f64 / chance).min(1.0)).collect();
    (entries, missed)
}
