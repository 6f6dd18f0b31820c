//! Reading quantiles and ranks out of the sketch's buckets.
//!
//! What is stored is only how many values each bucket holds. Within a bucket the cumulative count is taken as the
//! monotone cubic through its ends whose slopes are weighted harmonic means of the neighbouring densities (F. N. Fritsch
//! and J. Butland, *A method for constructing local monotone piecewise cubic interpolants*, SIAM J. Sci. Stat. Comput.
//! 5, 1984): for a smooth density its error falls with the cube of the bucket's width, a straight line's with the
//! square. The answer stays within its bucket whatever the shape, so the stated bound holds all the same.
//!
//! Where every value is a decimal of so many places, a bucket holds the few decimals in its range, and answers are
//! rounded to one of them.

use crate::decimal::{coefficient_near, decimal};
use crate::key::Bucket;
use crate::key::value_of;
use crate::quantile_sketch::{QuantileSketch, unshifted};

/// Buckets of a wider shift than this span octaves, and are interpolated by key: there, by the logarithm.
const WIDEST_LINEAR_SHIFT: u32 = 52;

/// A bucket as an interval of the real line (or of keys), with its share of the count.
#[derive(Clone, Copy, Debug)]
struct Segment {
    low: f64,
    high: f64,
    count: f64,
    /// Where values are decimals: the coefficients of the least and the greatest that the bucket can hold.
    decimals: Option<(i64, i64)>,
    /// Whether the bucket's range was cut short by the least or the greatest value.
    at_least_value: bool,
    at_greatest_value: bool,
}

impl Segment {
    fn density(&self) -> f64 {
        self.count / (self.high - self.low)
    }
}

impl QuantileSketch {
    /// The least and greatest key that a value of this bucket can have.
    pub(crate) fn ends(&self, bucket: &Bucket) -> (u64, u64) {
        let first = unshifted(bucket.key, self.shift);
        let last = first + (unshifted(1, self.shift).wrapping_sub(1));
        (first.max(self.least_key), last.min(self.greatest_key))
    }

    /// Whether positions are values; else they are keys.
    fn by_value(&self) -> bool {
        self.shift <= WIDEST_LINEAR_SHIFT
    }

    fn segment(&self, index: usize) -> Segment {
        let bucket = &self.buckets[index];
        let (first, last) = self.ends(bucket);
        let mut segment = Segment {
            low: first as f64,
            high: last as f64,
            count: bucket.count as f64,
            decimals: None,
            at_least_value: first == self.least_key,
            at_greatest_value: last == self.greatest_key,
        };
        if self.by_value() {
            (segment.low, segment.high) = (value_of(first), value_of(last));
            if let Some(places) = self.decimals.fewest() {
                let step = decimal(1, places).unwrap_or(1.0);
                segment.decimals = decimals_within(segment.low, segment.high, places);
                if let Some((least, greatest)) = segment.decimals {
                    segment.low = decimal(least, places).unwrap_or(segment.low) - step / 2.0;
                    segment.high = decimal(greatest, places).unwrap_or(segment.high) + step / 2.0;
                }
            }
        }
        segment
    }

    /// Whether all values of a bucket are surely one and the same.
    pub(crate) fn is_single_value(&self, index: usize) -> bool {
        let (first, last) = self.ends(&self.buckets[index]);
        first == last || self.segment(index).decimals.is_some_and(|(least, greatest)| least == greatest)
    }

    /// The density at the border between a bucket and a neighbour, as a multiple of the bucket's own density.
    fn border_slope(&self, segment: &Segment, neighbour: Option<usize>, is_end: bool) -> f64 {
        let Some(neighbour) = neighbour else {
            return 1.0;
        };
        let neighbour = self.segment(neighbour);
        let gap = if neighbour.low > segment.low { neighbour.low - segment.high } else { segment.low - neighbour.high };
        let (width, other_width) = (segment.high - segment.low, neighbour.high - neighbour.low);
        if gap > 1e-3 * width || is_end {
            return if is_end { 1.0 } else { 0.0 };
        }
        let (own, other) = (segment.density(), neighbour.density());
        // Fritsch and Butland's weights: the wider neighbour's density counts for less.
        let (own_weight, other_weight) = (2.0 * other_width + width, 2.0 * width + other_width);
        let mean = (own_weight + other_weight) / (own_weight / own + other_weight / other);
        let slope = mean / own;
        if slope.is_finite() { slope.clamp(0.0, 3.0) } else { 1.0 }
    }

    /// The shape of the cumulative count within a bucket: the slopes at its low and high end, 1 being even.
    fn slopes(&self, index: usize) -> (f64, f64) {
        let segment = self.segment(index);
        let above = (index + 1 < self.buckets.len()).then_some(index + 1);
        let low = self.border_slope(&segment, index.checked_sub(1), segment.at_least_value);
        let high = self.border_slope(&segment, above, segment.at_greatest_value);
        (low, high)
    }

    /// The value at `share` (in `0..=1`) of a bucket's count.
    pub(crate) fn within(&self, index: usize, share: f64) -> f64 {
        let (first, last) = self.ends(&self.buckets[index]);
        if first == last {
            return value_of(first);
        }
        let segment = self.segment(index);
        let (low_slope, high_slope) = self.slopes(index);
        let place = inverse(low_slope, high_slope, share);
        let position = segment.low + (segment.high - segment.low) * place;
        if !self.by_value() {
            return value_of((position as u64).clamp(first, last));
        }
        let (least, greatest) = (value_of(first), value_of(last));
        match (segment.decimals, self.decimals.fewest()) {
            (Some((least, greatest)), Some(places)) => {
                let nearest = coefficient_near(position, places).clamp(least, greatest);
                decimal(nearest, places).unwrap_or(position)
            }
            _ => position.clamp(least, greatest),
        }
    }

    /// The share of a bucket's count at or below the value of this key, which lies within the bucket.
    pub(crate) fn share_up_to(&self, index: usize, key: u64) -> f64 {
        if key >= self.ends(&self.buckets[index]).1 {
            return 1.0;
        }
        let segment = self.segment(index);
        let (low_slope, high_slope) = self.slopes(index);
        let position = match (self.by_value(), segment.decimals, self.decimals.fewest()) {
            (false, ..) => key as f64,
            (true, Some((least, greatest)), Some(places)) => {
                // All of the decimal's own step, if the value reaches it.
                let value = value_of(key);
                let nearest = coefficient_near(value, places);
                let reached =
                    if decimal(nearest, places).is_some_and(|at| at <= value) { nearest } else { nearest - 1 };
                let step = decimal(1, places).unwrap_or(1.0);
                decimal(reached.clamp(least - 1, greatest), places).unwrap_or(value) + step / 2.0
            }
            (true, ..) => value_of(key),
        };
        let width = segment.high - segment.low;
        let place = if width > 0.0 { ((position - segment.low) / width).clamp(0.0, 1.0) } else { 1.0 };
        cubic(low_slope, high_slope, place).clamp(0.0, 1.0)
    }
}

/// The coefficients of the least and the greatest decimal in `low..=high`, if there is one.
pub(crate) fn decimals_within(low: f64, high: f64, places: u32) -> Option<(i64, i64)> {
    let mut least = coefficient_near(low, places);
    while decimal(least, places)? < low {
        least += 1;
    }
    let mut greatest = coefficient_near(high, places);
    while decimal(greatest, places)? > high {
        greatest -= 1;
    }
    (least <= greatest).then_some((least, greatest))
}

/// The cubic on `0..=1` from 0 to 1 with these slopes at its ends; it rises throughout for slopes of 0 to 3.
fn cubic(low_slope: f64, high_slope: f64, place: f64) -> f64 {
    let cubed = low_slope + high_slope - 2.0;
    let squared = 3.0 - 2.0 * low_slope - high_slope;
    ((cubed * place + squared) * place + low_slope) * place
}

/// Where that cubic reaches `share`, by bisection: it rises, so there is one place, and halving finds any double.
fn inverse(low_slope: f64, high_slope: f64, share: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..48 {
        let middle = (low + high) / 2.0;
        if cubic(low_slope, high_slope, middle) < share {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low + high) / 2.0
}
