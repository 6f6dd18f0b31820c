//! The values that a device sends most often, with counts that are surely not too high.
//!
//! J. Misra and D. Gries, *Finding repeated elements*, Science of Computer Programming 2, 1982: a table of k values with
//! counters. A value in the table raises its counter; another takes a free place; where there is none, every counter
//! falls by one, and so each fall takes k + 1 readings out of account: k counted ones and the new one. Hence of n
//! readings with counters of sum s there were at most E = (n − s) / (k + 1) falls, and each value's true count lies
//! between its counter (0 for one outside the table) and its counter + E. P. K. Agarwal et al., *Mergeable summaries*
//! (PODS 2012), show that the table of exact counts less the (k + 1)th greatest is as good a start.

use std::cmp::Reverse;

use crate::key::{Bucket, NEGATIVE_ZERO_KEY, key_of};

/// Places in the table: a value of more than a thirteenth of the readings is surely in it.
pub(crate) const FREQUENT_VALUES: usize = 12;

/// A Misra-Gries table of the exact values that fell most often.
#[derive(Clone, Debug)]
pub(crate) struct FrequentValues {
    keys: [u64; FREQUENT_VALUES],
    /// Each counter plus `falls`; a place whose mark is not above `falls` is free. So the fall of all counters, which
    /// continuous readings cause at every thirteenth, is one addition.
    marks: [u64; FREQUENT_VALUES],
    falls: u64,
}

impl Default for FrequentValues {
    fn default() -> Self {
        Self { keys: [NEGATIVE_ZERO_KEY; FREQUENT_VALUES], marks: [0; FREQUENT_VALUES], falls: 0 }
    }
}

impl PartialEq for FrequentValues {
    /// Equal where the same values have the same counters.
    fn eq(&self, other: &Self) -> bool {
        self.entries() == other.entries()
    }
}

impl FrequentValues {
    /// The table of readings whose distinct values are all known, with their counts.
    pub(crate) fn from_exact(buckets: &[Bucket]) -> Self {
        let mut heaviest = buckets.to_vec();
        heaviest.sort_unstable_by_key(|bucket| Reverse(bucket.count));
        let falls = heaviest.get(FREQUENT_VALUES).map_or(0, |bucket| bucket.count);
        let kept = heaviest.into_iter().take_while(|bucket| bucket.count > falls).take(FREQUENT_VALUES);
        Self::from_entries(kept.map(|bucket| Bucket { count: bucket.count - falls, ..bucket }))
    }

    /// The table of these values and counters, of which there are at most [`FREQUENT_VALUES`].
    pub(crate) fn from_entries(entries: impl Iterator<Item = Bucket>) -> Self {
        let mut table = Self::default();
        for (place, entry) in entries.enumerate().take(FREQUENT_VALUES) {
            (table.keys[place], table.marks[place]) = (entry.key, entry.count);
        }
        table
    }

    /// Counts one value.
    pub(crate) fn push(&mut self, value: f64) {
        let key = key_of(value);
        // Both scans go over all places, so that they compile to comparisons without branches.
        let mut known = FREQUENT_VALUES;
        let mut free = FREQUENT_VALUES;
        for place in 0..FREQUENT_VALUES {
            known = if self.keys[place] == key { place } else { known };
            free = if self.marks[place] <= self.falls { place } else { free };
        }
        let place = if known < FREQUENT_VALUES { known } else { free };
        match self.marks.get_mut(place) {
            Some(mark) => {
                *mark = (*mark).max(self.falls).saturating_add(1);
                self.keys[place] = key;
            }
            None => self.falls += 1,
        }
    }

    /// Keys and counters of the values in the table, by key.
    pub(crate) fn entries(&self) -> Vec<Bucket> {
        let live = self.keys.iter().zip(&self.marks).filter(|(_, mark)| **mark > self.falls);
        let mut entries: Vec<Bucket> = live.map(|(&key, mark)| Bucket { key, count: mark - self.falls }).collect();
        entries.sort_unstable_by_key(|entry| entry.key);
        entries
    }

    /// Of `total` readings, how many of one value its counter has missed at the most.
    pub(crate) fn most_missed(&self, total: u64) -> u64 {
        let counted = self.entries().iter().fold(0u64, |sum, entry| sum.saturating_add(entry.count));
        total.saturating_sub(counted) / (FREQUENT_VALUES as u64 + 1)
    }
}
