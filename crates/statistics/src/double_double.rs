//! Numbers as an unevaluated sum of two doubles, `hi + lo` with `hi` the sum rounded: about 106 bits.
//!
//! T. J. Dekker, *A floating-point technique for extending the available precision*, Numer. Math. 18 (1971);
//! D. E. Knuth, *The Art of Computer Programming*, vol. 2, 4.2.2 (the sum of two doubles and its error).

/// An unevaluated sum `hi + lo`, where `hi` is the sum rounded to a double.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub(crate) struct DoubleDouble {
    pub(crate) hi: f64,
    pub(crate) lo: f64,
}

/// The rounded sum of two doubles, and its error, exactly.
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let b_rounded = sum - a;
    (sum, (a - (sum - b_rounded)) + (b - b_rounded))
}

/// As [`two_sum`], where `|a| >= |b|` or `a` is 0.
fn quick_two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    (sum, b - (sum - a))
}

/// Both halves of a double, 26 bits each: their products are exact.
fn split(a: f64) -> (f64, f64) {
    const SPLITTER: f64 = 134_217_729.0; // 2^27 + 1
    let scaled = SPLITTER * a;
    let high = scaled - (scaled - a);
    (high, a - high)
}

/// The rounded product of two doubles and its error, exactly while nothing over- or underflows.
fn two_product(a: f64, b: f64) -> (f64, f64) {
    let product = a * b;
    let (a_high, a_low) = split(a);
    let (b_high, b_low) = split(b);
    (product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low)
}

impl DoubleDouble {
    pub(crate) const ZERO: Self = Self { hi: 0.0, lo: 0.0 };

    pub(crate) fn from_sum(a: f64, b: f64) -> Self {
        let (hi, lo) = two_sum(a, b);
        Self { hi, lo }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        let (high, high_error) = two_sum(self.hi, other.hi);
        let (low, low_error) = two_sum(self.lo, other.lo);
        let (high, rest) = quick_two_sum(high, high_error + low);
        let (hi, lo) = quick_two_sum(high, rest + low_error);
        Self { hi, lo }
    }

    pub(crate) fn plus_double(self, other: f64) -> Self {
        let (sum, error) = two_sum(self.hi, other);
        let (hi, lo) = quick_two_sum(sum, error + self.lo);
        Self { hi, lo }
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        self.plus(Self { hi: -other.hi, lo: -other.lo })
    }

    pub(crate) fn times(self, other: Self) -> Self {
        let (product, error) = two_product(self.hi, other.hi);
        let (hi, lo) = quick_two_sum(product, error + (self.hi * other.lo + self.lo * other.hi));
        Self { hi, lo }
    }

    pub(crate) fn times_double(self, other: f64) -> Self {
        let (product, error) = two_product(self.hi, other);
        let (hi, lo) = quick_two_sum(product, error + self.lo * other);
        Self { hi, lo }
    }

    pub(crate) fn divided_by_double(self, divisor: f64) -> Self {
        let first = self.hi / divisor;
        let (product, error) = two_product(first, divisor);
        let rest = ((self.hi - product) - error) + self.lo;
        let (hi, lo) = quick_two_sum(first, rest / divisor);
        Self { hi, lo }
    }

    /// As [`Self::divided_by_double`], with the divisor's reciprocal at hand, which need not wait for `self`.
    pub(crate) fn divided_by_reciprocal(self, divisor: f64, reciprocal: f64) -> Self {
        let first = self.hi * reciprocal;
        let (product, error) = two_product(first, divisor);
        let rest = ((self.hi - product) - error) + self.lo;
        let (hi, lo) = quick_two_sum(first, rest * reciprocal);
        Self { hi, lo }
    }

    /// Itself, or 0 where rounding has left a sum of squares just below it.
    pub(crate) fn not_negative(self) -> Self {
        if self.hi < 0.0 { Self::ZERO } else { self }
    }

    pub(crate) fn value(self) -> f64 {
        self.hi + self.lo
    }

    pub(crate) fn is_finite(self) -> bool {
        self.hi.is_finite() && self.lo.is_finite()
    }
}
