//! Count, mean, spread and extremes, to the last digit.

use crate::double_double::DoubleDouble;
use crate::key::positive_zero;

/// Magnitudes up to which squares and products are formed; larger values go the way of [`Moments::push_enormous`].
const ENORMOUS: f64 = 1e150;

/// Count, mean, sum of squared deviations, minimum and maximum of a multiset of doubles.
///
/// Welford's update per value (*Note on a method for calculating corrected sums of squares and products*,
/// Technometrics 4, 1962), batches merged by the pairwise formula of Chan, Golub and LeVeque (*Algorithms for computing
/// the sample variance*, The American Statistician 37, 1983). Mean and sum of squares are each an unevaluated pair of
/// doubles.
///
/// Values must be finite: NaN and infinities are ignored, not counted. −0.0 is +0.0. The spread is exact to rounding
/// while magnitudes stay within 1e150; past that the count, mean, minimum and maximum still hold and the spread is
/// `None`. No NaN or infinity is ever returned.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Moments {
    pub(crate) count: u64,
    pub(crate) mean: DoubleDouble,
    /// Sum of squared deviations from the mean; infinite once a value was too enormous to be squared.
    pub(crate) m2: DoubleDouble,
    pub(crate) minimum: f64,
    pub(crate) maximum: f64,
}

/// The sum of squares that stands for "not representable": it stays so through every push and merge.
const LOST: DoubleDouble = DoubleDouble { hi: f64::INFINITY, lo: 0.0 };

impl Moments {
    /// Adds one value. Not finite: ignored.
    pub fn push(&mut self, value: f64) {
        if !value.is_finite() {
            return;
        }
        let value = positive_zero(value);
        self.extend_range(value, value);
        self.count += 1;
        if value.abs() > ENORMOUS || self.m2.hi == f64::INFINITY {
            return self.push_enormous(value, 1);
        }
        // Welford's update; the deviation from the new mean is that from the old one less the mean's own step.
        let before = DoubleDouble::from_sum(value, -self.mean.hi).plus_double(-self.mean.lo);
        let step = before.divided_by_reciprocal(self.count as f64, 1.0 / self.count as f64);
        self.mean = self.mean.plus(step);
        self.m2 = self.m2.plus(before.times(before.minus(step))).not_negative();
    }

    /// Adds all that another has counted.
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = other.clone();
            return;
        }
        self.extend_range(other.minimum, other.maximum);
        let before = self.count as f64;
        self.count += other.count;
        if other.m2.hi == f64::INFINITY || self.m2.hi == f64::INFINITY {
            return self.push_enormous(other.mean.value(), other.count);
        }
        let total = self.count as f64;
        let delta = other.mean.minus(self.mean);
        let share = delta.times_double(other.count as f64).divided_by_double(total);
        self.mean = self.mean.plus(share);
        self.m2 = self.m2.plus(other.m2).plus(delta.times(share).times_double(before));
    }

    /// Folds `count` values of mean `value` where squares would overflow: the mean alone, in a form that cannot.
    /// `self.count` already includes them.
    fn push_enormous(&mut self, value: f64, count: u64) {
        let share = count as f64 / self.count as f64;
        let mean = self.mean.value() * (1.0 - share) + value * share;
        self.mean = DoubleDouble { hi: mean.clamp(self.minimum, self.maximum), lo: 0.0 };
        self.m2 = LOST;
    }

    fn extend_range(&mut self, minimum: f64, maximum: f64) {
        if self.count == 0 {
            (self.minimum, self.maximum) = (minimum, maximum);
        } else {
            self.minimum = self.minimum.min(minimum);
            self.maximum = self.maximum.max(maximum);
        }
    }

    /// How many values were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The arithmetic mean; `None` when empty.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| positive_zero(self.mean.value().clamp(self.minimum, self.maximum)))
    }

    /// The sample standard deviation (n − 1); `None` under two values, and where the variance is too large for a double.
    pub fn standard_deviation(&self) -> Option<f64> {
        let variance = self.m2.divided_by_double(self.count.checked_sub(1).filter(|&rest| rest > 0)? as f64);
        let deviation = variance.value().max(0.0).sqrt();
        (self.m2.is_finite() && deviation.is_finite()).then_some(deviation)
    }

    /// The least value; `None` when empty.
    pub fn minimum(&self) -> Option<f64> {
        (self.count > 0).then_some(self.minimum)
    }

    /// The greatest value; `None` when empty.
    pub fn maximum(&self) -> Option<f64> {
        (self.count > 0).then_some(self.maximum)
    }
}
