//! So many readings a second.

use std::time::Duration;

/// Spreads readings over time, evenly from the start, so that waiting for one group does not speed up the next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Readings a second; without it there is no waiting.
    pub rate: Option<f64>,
}

impl Pace {
    /// The most readings to send at once: a quarter of a second's, and always one.
    pub fn group_readings_max(self) -> u64 {
        self.rate.map_or(u64::MAX, |rate| (rate / 4.0).clamp(1.0, 1e12) as u64)
    }

    /// How long to wait before sending more, where `sent` readings went in `elapsed`.
    pub fn wait(self, sent: u64, elapsed: Duration) -> Duration {
        let due = self.rate.map_or(0.0, |rate| sent as f64 / rate);
        // A pause that no clock can hold is for ever.
        Duration::try_from_secs_f64(due).unwrap_or(Duration::MAX).saturating_sub(elapsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn no_more_than_the_rate_is_ever_sent(rate in 0.5f64..1e6, groups in 1usize..50) {
            let pace = Pace { rate: Some(rate) };
            let (mut elapsed, mut sent) = (Duration::ZERO, 0);
            for _ in 0..groups {
                elapsed += pace.wait(sent, elapsed);
                proptest::prop_assert!(sent as f64 <= rate * elapsed.as_secs_f64() * (1.0 + 1e-9) + 1e-3);
                sent += pace.group_readings_max();
            }
        }
    }

    #[test]
    fn without_a_rate_nothing_waits() {
        let pace = Pace { rate: None };
        assert_eq!((pace.wait(u64::MAX, Duration::ZERO), pace.group_readings_max()), (Duration::ZERO, u64::MAX));
    }
}
