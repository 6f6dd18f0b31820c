//! A quantile sketch that keeps to a cap in bytes, and whose bytes do not depend on the order of anything.

use std::borrow::Cow;

use crate::decimal::{ALL_DECIMALS, DecimalPlaces};
use crate::frequent_values::FrequentValues;
use crate::key::{Bucket, key_of, value_of};

/// The least cap: what the coarsest sketch, of one bucket, may need.
pub const LEAST_BYTE_CAP: usize = 48;

/// Pushed keys wait until there are this many, and are then sorted and folded together.
const PENDING_MAX: usize = 512;
/// Up to this many of them are put in their places one by one.
const FEW: usize = 4;

/// Quantiles of a multiset of doubles within a cap in bytes.
///
/// Each double becomes a 64-bit integer key of the same order. The sketch holds sorted (key, count) pairs, bit-encoded;
/// while the encoding is over the cap, every key is shifted right by one bit and equal ones are merged. It is exact
/// while the distinct values fit. The encoded bytes are a function of the multiset of values and the cap alone:
/// docs/statistics.md has the proof.
///
/// NaN and infinities are ignored; −0.0 is +0.0. Counts saturate at 2^64 − 1.
#[derive(Clone, Debug)]
pub struct QuantileSketch {
    pub(crate) byte_cap: usize,
    pub(crate) shift: u32,
    pub(crate) buckets: Vec<Bucket>,
    pending: Vec<u64>,
    pub(crate) total: u64,
    pub(crate) least_key: u64,
    pub(crate) greatest_key: u64,
    pub(crate) decimals: DecimalPlaces,
    /// Whether the encoding is known to be within the cap, with nothing pending.
    fits: bool,
    /// Buckets past which the size is checked between observations, to bound the memory.
    check_at: usize,
    /// The heaviest values at the moment when the buckets ceased to be exact, until they are asked for.
    heaviest: Option<Box<FrequentValues>>,
}

impl PartialEq for QuantileSketch {
    /// Equal where the encodings and the caps are.
    fn eq(&self, other: &Self) -> bool {
        let (one, two) = (self.settled(), other.settled());
        one.byte_cap == two.byte_cap
            && one.shift == two.shift
            && one.buckets == two.buckets
            && one.least_key == two.least_key
            && one.greatest_key == two.greatest_key
            && one.decimals == two.decimals
    }
}

impl QuantileSketch {
    /// An empty sketch whose encoding never takes more than `byte_cap` bytes (at least [`LEAST_BYTE_CAP`]).
    pub fn new(byte_cap: usize) -> Self {
        let byte_cap = byte_cap.max(LEAST_BYTE_CAP);
        Self {
            byte_cap,
            shift: 0,
            buckets: Vec::new(),
            pending: Vec::new(),
            total: 0,
            least_key: u64::MAX,
            greatest_key: 0,
            decimals: ALL_DECIMALS,
            fits: true,
            check_at: byte_cap,
            heaviest: None,
        }
    }

    /// Adds one value. Not finite: ignored.
    pub fn push(&mut self, value: f64) {
        if !value.is_finite() {
            return;
        }
        self.total = self.total.saturating_add(1);
        self.fits = false;
        self.pending.push(key_of(value));
        if self.pending.len() >= PENDING_MAX {
            self.fold_pending();
        }
    }

    /// Adds all that another sketch has counted. The cap becomes the smaller of the two.
    pub fn merge(&mut self, other: &Self) {
        self.byte_cap = self.byte_cap.min(other.byte_cap);
        self.fold_pending();
        // After the fold, which may find that what was pushed fits.
        self.fits = false;
        let other = if other.pending.is_empty() { Cow::Borrowed(other) } else { other.settled() };
        if other.total > 0 {
            self.total = self.total.saturating_add(other.total);
            self.extend_range(other.least_key, other.greatest_key);
            self.decimals.narrow_to_both(other.decimals);
            let coarser = self.shift.max(other.shift);
            self.coarsen(coarser - self.shift);
            let by = coarser - other.shift;
            let added = other.buckets.iter().map(|bucket| Bucket { key: shifted(bucket.key, by), ..*bucket });
            self.buckets = union(&self.buckets, added);
        }
        self.bound_memory();
    }

    /// How many values were counted.
    pub fn count(&self) -> u64 {
        self.total
    }

    pub(crate) fn least(&self) -> Option<f64> {
        let key = self.pending.iter().copied().min().unwrap_or(u64::MAX).min(self.least_key);
        (self.total > 0).then(|| value_of(key))
    }

    pub(crate) fn greatest(&self) -> Option<f64> {
        let key = self.pending.iter().copied().max().unwrap_or(0).max(self.greatest_key);
        (self.total > 0).then(|| value_of(key))
    }

    fn extend_range(&mut self, least: u64, greatest: u64) {
        self.least_key = self.least_key.min(least);
        self.greatest_key = self.greatest_key.max(greatest);
    }

    /// Moves what waits in `pending` into the buckets.
    fn fold_pending(&mut self) {
        let (Some(&least), Some(&greatest)) = (self.pending.iter().min(), self.pending.iter().max()) else {
            return;
        };
        self.extend_range(least, greatest);
        for &key in &self.pending {
            self.decimals.narrow_to(value_of(key));
        }
        let shift = self.shift;
        self.pending.iter_mut().for_each(|key| *key = shifted(*key, shift));
        if self.pending.len() <= FEW {
            for &key in &self.pending {
                match self.buckets.binary_search_by_key(&key, |bucket| bucket.key) {
                    Ok(place) => self.buckets[place].count = self.buckets[place].count.saturating_add(1),
                    Err(place) => self.buckets.insert(place, Bucket { key, count: 1 }),
                }
            }
        } else {
            self.pending.sort_unstable();
            let added = self.pending.chunk_by(|one, two| one == two);
            self.buckets = union(&self.buckets, added.map(|run| Bucket { key: run[0], count: run.len() as u64 }));
        }
        self.pending.clear();
        self.bound_memory();
    }

    /// Keeps the number of buckets within a small multiple of what the cap can hold.
    fn bound_memory(&mut self) {
        if self.buckets.len() > self.check_at {
            self.fit();
            self.check_at = (2 * self.buckets.len()).max(self.byte_cap);
        }
    }

    /// Shifts until the encoding is within the cap: to the least shift with which it is.
    fn fit(&mut self) {
        let cap_bits = self.byte_cap as u64 * 8;
        while self.shift < 64 {
            let over = self.size_bits().saturating_sub(cap_bits);
            if over == 0 {
                break;
            }
            self.coarsen(self.shifts_that_cannot_fit(over) + 1);
        }
        self.fits = self.pending.is_empty();
    }

    /// How many further shifts certainly leave the encoding over the cap, which it is by `over` bits now.
    ///
    /// A shift takes at most two bits from each gap's code (its number loses at most two of its length, and with a
    /// parameter two less the code loses two), and merges no buckets that are further apart than it reaches.
    fn shifts_that_cannot_fit(&self, over: u64) -> u32 {
        let Some(closest) = self.buckets.windows(2).map(|pair| pair[1].key - pair[0].key).min() else {
            return 0;
        };
        let by_size = (over - 1) / (2 * (self.buckets.len() as u64 - 1));
        closest.ilog2().min(63 - self.shift).min(by_size.min(64) as u32)
    }

    /// Shifts every key right by `by` bits more, and merges what becomes equal.
    pub(crate) fn coarsen(&mut self, by: u32) {
        if by == 0 {
            return;
        }
        if self.shift == 0 {
            self.heaviest = Some(Box::new(FrequentValues::from_exact(&self.buckets)));
        }
        self.shift += by;
        for bucket in &mut self.buckets {
            bucket.key = shifted(bucket.key, by);
        }
        self.buckets.dedup_by(|next, kept| {
            let same = next.key == kept.key;
            if same {
                kept.count = kept.count.saturating_add(next.count);
            }
            same
        });
    }

    /// The most frequent of the values pushed so far, once, right after the push or the settling that made the sketch
    /// coarse: the last moment at which the count of each value is known.
    pub(crate) fn take_heaviest(&mut self) -> Option<FrequentValues> {
        self.heaviest.take().map(|heaviest| *heaviest)
    }

    /// Everything folded, and the shift the least with which the encoding fits. What a batch needed of memory is given
    /// back.
    pub(crate) fn settle(&mut self) {
        self.fold_pending();
        self.pending = Vec::new();
        if !self.fits {
            self.fit();
        }
        self.buckets.shrink_to_fit();
    }

    /// Bytes of memory behind its pointers.
    pub(crate) fn heap_bytes(&self) -> usize {
        let heaviest = self.heaviest.as_ref().map_or(0, |_| size_of::<FrequentValues>());
        self.buckets.capacity() * size_of::<Bucket>() + self.pending.capacity() * size_of::<u64>() + heaviest
    }

    /// Coarsens until the encoding takes at most `bytes`, for good; the cap for what comes later stays.
    pub(crate) fn give_way_to(&mut self, bytes: usize) {
        let cap = self.byte_cap;
        self.byte_cap = bytes.max(LEAST_BYTE_CAP).min(cap);
        self.fits = false;
        self.settle();
        self.byte_cap = cap;
    }

    /// Itself, settled; a copy only where it was not.
    pub(crate) fn settled(&self) -> Cow<'_, Self> {
        if self.fits {
            return Cow::Borrowed(self);
        }
        let mut copy = self.clone();
        copy.settle();
        Cow::Owned(copy)
    }

    /// The value at quantile `q` in `0..=1` (clamped): of n sorted values, the one at (n − 1)·q counted from 0, between
    /// two linearly (so the median of an even count is the mean of the middle two). `None` when empty or `q` is NaN.
    ///
    /// Exact while the distinct values fit; else within [`Self::rank_error_bound`] of its rank.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        if self.total == 0 || q.is_nan() {
            return None;
        }
        let sketch = self.settled();
        let position = (sketch.total - 1) as f64 * q.clamp(0.0, 1.0);
        let below = sketch.order_statistic(position.floor() as u64);
        let above = sketch.order_statistic(position.ceil() as u64);
        let fraction = position - position.floor();
        // Subnormals have few bits: halves of them round to steps that would not rise with q.
        let scale = if below.abs().max(above.abs()) < 1e-290 { 2f64.powi(200) } else { 1.0 };
        let between = below * scale * (1.0 - fraction) + above * scale * fraction;
        Some(if below == above { below } else { between / scale })
    }

    /// The estimate of the value at index `index` (from 0) of the sorted values.
    pub(crate) fn order_statistic(&self, index: u64) -> f64 {
        match self.locate(index) {
            Some((place, within)) => self.within(place, (within as f64 + 0.5) / self.buckets[place].count as f64),
            None if index == 0 => value_of(self.least_key),
            None => value_of(self.greatest_key),
        }
    }

    /// The bucket that holds this index of the sorted values, and the index within it; `None` for the least and the
    /// greatest value, which are known.
    pub(crate) fn locate(&self, index: u64) -> Option<(usize, u64)> {
        if index == 0 || index >= self.total - 1 {
            return None;
        }
        let mut before = 0u64;
        for (place, bucket) in self.buckets.iter().enumerate() {
            if index - before < bucket.count {
                return Some((place, index - before));
            }
            before = before.saturating_add(bucket.count);
        }
        None
    }

    /// How far, as a share of the count, the rank of an answer of [`Self::quantile`] can be from the rank asked for; 0
    /// while the sketch is exact.
    pub fn rank_error_bound(&self) -> f64 {
        let sketch = self.settled();
        if sketch.shift == 0 || sketch.total == 0 {
            return 0.0;
        }
        let mixed = (0..sketch.buckets.len()).filter(|&index| !sketch.is_single_value(index));
        let largest = mixed.map(|index| sketch.buckets[index].count).max().unwrap_or(0);
        largest as f64 / sketch.total as f64
    }
}

/// A key at a coarser shift; a shift of 64 leaves one bucket.
pub(crate) fn shifted(key: u64, by: u32) -> u64 {
    key.checked_shr(by).unwrap_or(0)
}

/// The first key of a bucket; 0 for a shift of 64.
pub(crate) fn unshifted(key: u64, by: u32) -> u64 {
    key.checked_shl(by).unwrap_or(0)
}

/// The union of two sorted lists of buckets; `added` may repeat a key.
fn union(buckets: &[Bucket], added: impl Iterator<Item = Bucket>) -> Vec<Bucket> {
    let mut all = Vec::with_capacity(buckets.len() + added.size_hint().0);
    let mut put = |bucket: Bucket| match all.last_mut() {
        Some(Bucket { key, count }) if *key == bucket.key => *count = count.saturating_add(bucket.count),
        _ => all.push(bucket),
    };
    let mut rest = buckets.iter();
    let mut next = rest.next();
    for bucket in added {
        while let Some(&earlier) = next.filter(|earlier| earlier.key <= bucket.key) {
            put(earlier);
            next = rest.next();
        }
        put(bucket);
    }
    next.into_iter().chain(rest).for_each(|&bucket| put(bucket));
    all
}
