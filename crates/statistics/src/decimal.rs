//! Which numbers of decimal places suffice to write values exactly.

/// Most decimal places that are recognised.
pub(crate) const MOST_PLACES: u32 = 9;
/// Coefficients beyond this are not recognised: within it, each decimal is its own double, and comes back exactly.
const GREATEST_COEFFICIENT: f64 = (1u64 << 50) as f64;

const POWERS: [f64; MOST_PLACES as usize + 1] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// For each number of places from 0 to 9, whether every value so far is the double nearest to a decimal of that many
/// places and a coefficient of at most 2^50. A set that only shrinks, by intersection: the order does not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DecimalPlaces(pub(crate) u16);

/// What holds of no values.
pub(crate) const ALL_DECIMALS: DecimalPlaces = DecimalPlaces((1 << (MOST_PLACES + 1)) - 1);

impl DecimalPlaces {
    /// Drops the numbers of places with which this value cannot be written.
    pub(crate) fn narrow_to(&mut self, value: f64) {
        let mut places = self.0.trailing_zeros();
        while places <= MOST_PLACES {
            if let Some(coefficient) = coefficient(value, places) {
                // The same number with more places has a coefficient ten times as large for each.
                let mut magnitude = coefficient.unsigned_abs() as f64;
                let mut above = places + 1;
                while above <= MOST_PLACES {
                    magnitude *= 10.0;
                    if magnitude > GREATEST_COEFFICIENT {
                        self.0 &= (1 << above) - 1;
                        break;
                    }
                    above += 1;
                }
                return;
            }
            self.0 &= !(1 << places);
            places = self.0.trailing_zeros();
        }
    }

    pub(crate) fn narrow_to_both(&mut self, other: Self) {
        self.0 &= other.0;
    }

    /// The least number of places that writes every value exactly.
    pub(crate) fn fewest(self) -> Option<u32> {
        (self.0 != 0).then(|| self.0.trailing_zeros())
    }
}

/// The integer `k` of at most 2^50 for which `value` is the double nearest to `k / 10^places`.
pub(crate) fn coefficient(value: f64, places: u32) -> Option<i64> {
    let power = POWERS[places as usize];
    let rounded = (value * power).round_ties_even();
    (rounded.abs() <= GREATEST_COEFFICIENT && rounded / power == value).then_some(rounded as i64)
}

/// The double nearest to `coefficient / 10^places`, for a coefficient of at most 2^50.
pub(crate) fn decimal(coefficient: i64, places: u32) -> Option<f64> {
    let magnitude = coefficient.unsigned_abs() as f64;
    (magnitude <= GREATEST_COEFFICIENT).then(|| coefficient as f64 / POWERS[places as usize])
}

/// The coefficient of the decimal of so many places nearest to a value, or nearly; saturates at 2^62.
pub(crate) fn coefficient_near(value: f64, places: u32) -> i64 {
    const SATURATED: f64 = (1u64 << 62) as f64;
    (value * POWERS[places as usize]).round_ties_even().clamp(-SATURATED, SATURATED) as i64
}
