//! How sure the mean is, and how unlikely a reading.

use statrs::distribution::{ContinuousCDF, StudentsT};
use std::sync::OnceLock;

use crate::Moments;

/// Readings that a state must hold before another is judged against it.
pub const ANOMALY_AFTER_COUNT: u64 = 30;
/// A reading further out is an anomaly: the |z| whose two-sided p-value under the normal distribution is 1e-6.
pub(crate) const ANOMALY_Z: f64 = 4.891_638_475_698_85;

/// The normal distribution's quantile at 0.975.
const NORMAL_QUANTILE: f64 = 1.959_963_984_540_054;
/// From this many degrees of freedom on, the quantile of Student's t is taken from its expansion about the normal one.
const EXPANDED_FROM: usize = 200;
/// The quantiles below, each computed when it is first asked for: every write of every device asks for one of them.
static SEARCHED: [OnceLock<Option<f64>>; EXPANDED_FROM] = [const { OnceLock::new() }; EXPANDED_FROM];

/// The 95% confidence interval of the mean, by Student's t with n − 1 degrees of freedom: (low, high).
///
/// `None` under two values, and where the spread or an end is too large for a double.
pub fn mean_confidence_95(moments: &Moments) -> Option<(f64, f64)> {
    let mean = moments.mean()?;
    let deviation = moments.standard_deviation()?;
    let count = moments.count() as f64;
    let half_width = student_quantile(moments.count() - 1)? * (deviation / count.sqrt());
    let (low, high) = (mean - half_width, mean + half_width);
    (low.is_finite() && high.is_finite()).then_some((low, high))
}

/// The quantile of Student's t at 0.975.
///
/// For many degrees of freedom by R. A. Fisher and E. A. Cornish's expansion about the normal quantile (*The percentile
/// points of distributions having known cumulants*, Technometrics 2, 1960; Abramowitz and Stegun 26.7.5), whose next
/// term is below 1e-11 here; statrs searches for it, and does not come to an end for hundreds of millions.
fn student_quantile(degrees_of_freedom: u64) -> Option<f64> {
    let freedom = degrees_of_freedom as f64;
    let searched = || Some(StudentsT::new(0.0, 1.0, freedom).ok()?.inverse_cdf(0.975));
    if let Some(quantile) = usize::try_from(degrees_of_freedom).ok().and_then(|index| SEARCHED.get(index)) {
        return *quantile.get_or_init(searched);
    }
    let z = NORMAL_QUANTILE;
    let square = z * z;
    let terms = [
        (square + 1.0) / 4.0,
        ((5.0 * square + 16.0) * square + 3.0) / 96.0,
        (((3.0 * square + 19.0) * square + 17.0) * square - 15.0) / 384.0,
        ((((79.0 * square + 776.0) * square + 1_482.0) * square - 1_920.0) * square - 945.0) / 92_160.0,
    ];
    Some(z + z * terms.iter().rev().fold(0.0, |sum, term| (sum + term) / freedom))
}

/// How many standard deviations a value lies from the mean of what came before it.
///
/// `None` under [`ANOMALY_AFTER_COUNT`] values, and where they have no spread or one too large for a double.
pub fn z_score(before: &Moments, value: f64) -> Option<f64> {
    if before.count() < ANOMALY_AFTER_COUNT {
        return None;
    }
    let deviation = before.standard_deviation().filter(|deviation| *deviation > 0.0)?;
    let z = (value - before.mean()?) / deviation;
    z.is_finite().then_some(z)
}
