//! When to try again.

use rand::Rng;
use std::time::Duration;
use telemetry::Timestamp;

const FIRST_DELAY_MAX: Duration = Duration::from_millis(100);
const DELAY_MAX: Duration = Duration::from_secs(10);

/// The wait before retry `attempt` (from 0): exponential backoff with full jitter, so that many senders that failed
/// together do not return together (Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog 2015).
pub fn backoff_delay(attempt: u32, rng: &mut impl Rng) -> Duration {
    let ceiling = FIRST_DELAY_MAX.saturating_mul(1 << attempt.min(16)).min(DELAY_MAX);
    ceiling.mul_f64(rng.random::<f64>())
}

/// The wait that a `Retry-After` header asks for: seconds, or an HTTP date (RFC 9110, 10.2.3) seen from `now`.
/// `None` for what is neither; zero for a date that has passed.
pub fn parse_retry_after(header: &str, now: Timestamp) -> Option<Duration> {
    let header = header.trim();
    if !header.is_empty() && header.bytes().all(|byte| byte.is_ascii_digit()) {
        // More seconds than fit are a wait without end: longer than any patience.
        return Some(Duration::from_secs(header.parse().unwrap_or(u64::from(u32::MAX))));
    }
    let until = http_date(header)?;
    let milliseconds = until.as_millisecond().saturating_sub(now.as_millisecond()).max(0);
    Some(Duration::from_millis(milliseconds.unsigned_abs()))
}

/// An IMF-fixdate, such as `Sun, 06 Nov 1994 08:49:37 GMT`: the one form that servers may generate.
fn http_date(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_, rest) = text.split_once(", ")?;
    let mut parts = rest.split(' ');
    let (day, month, year, time, zone) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if zone != "GMT" || parts.next().is_some() {
        return None;
    }
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    Timestamp::parse(&format!("{year}-{month:02}-{day}T{time}Z")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn retry_after_is_seconds_or_an_http_date() {
        let now = at("1994-11-06T08:49:00Z");
        assert_eq!(parse_retry_after("7", now), Some(Duration::from_secs(7)));
        assert_eq!(parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", now), Some(Duration::from_secs(37)));
        assert_eq!(parse_retry_after("Sun, 06 Nov 1994 08:48:37 GMT", now), Some(Duration::ZERO));
        for nonsense in ["", "-1", "soon", "Sun, 06 Nov 1994 08:49:37 CET", "Sun, 31 Nov 1994 08:49:37 GMT", "1.5"] {
            assert_eq!(parse_retry_after(nonsense, now), None, "{nonsense}");
        }
        assert!(parse_retry_after("99999999999999999999999", now).unwrap() > Duration::from_secs(86_400));
    }

    #[test]
    fn the_delay_doubles_up_to_its_ceiling_and_is_spread_over_all_of_it() {
        let mut rng = StdRng::seed_from_u64(1);
        for (attempt, ceiling_ms) in [(0, 100), (1, 200), (4, 1_600), (7, 10_000), (40, 10_000)] {
            let delays: Vec<_> = (0..2_000).map(|_| backoff_delay(attempt, &mut rng).as_secs_f64() * 1e3).collect();
            let mean = delays.iter().sum::<f64>() / 2_000.0;
            let ceiling = f64::from(ceiling_ms);
            assert!(delays.iter().all(|delay| *delay <= ceiling));
            assert!((mean / ceiling - 0.5).abs() < 0.05, "attempt {attempt}: mean {mean} of ceiling {ceiling}");
        }
    }
}
