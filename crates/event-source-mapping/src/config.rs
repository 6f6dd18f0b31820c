//! The settings of an event source mapping, under Lambda's names.

use crate::event::EventSource;
use ports::Position;
use std::fmt;
use std::time::Duration;
use telemetry::Timestamp;

/// Lambda's payload limit of a synchronous invocation, 6 MB.
pub const MAXIMUM_BATCH_BYTES: usize = 6 * 1024 * 1024;
const MAXIMUM_BATCH_SIZE: usize = 10_000;
const MAXIMUM_PARALLELIZATION_FACTOR: usize = 10;
const MAXIMUM_RETRY_ATTEMPTS: u32 = 10_000;
const MAXIMUM_BATCHING_WINDOW: Duration = Duration::from_secs(300);
const RECORD_AGE_RANGE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(604_800));
const MAXIMUM_FUNCTION_TIMEOUT: Duration = Duration::from_secs(900);

/// Where a mapping starts in a shard that it has no checkpoint of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartingPosition {
    /// The oldest record kept: the only choice that misses nothing.
    TrimHorizon,
    /// After the newest record. Records put while the mapping is being created may be missed.
    Latest,
    /// The first record that arrived at this instant or later.
    AtTimestamp(Timestamp),
}

impl From<StartingPosition> for Position {
    fn from(start: StartingPosition) -> Self {
        match start {
            StartingPosition::TrimHorizon => Position::TrimHorizon,
            StartingPosition::Latest => Position::Latest,
            StartingPosition::AtTimestamp(at) => Position::AtTimestamp(at),
        }
    }
}

/// The waits between retries: `initial`, doubled with every failure in a row, up to `maximum`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The wait after the first failure.
    pub initial: Duration,
    /// The longest wait.
    pub maximum: Duration,
}

impl Backoff {
    /// The wait after `failures` failures in a row (1 or more).
    pub fn wait(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.initial.saturating_mul(1 << doublings).min(self.maximum)
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff { initial: Duration::from_millis(100), maximum: Duration::from_secs(30) }
    }
}

/// How records become batches, and what happens to a batch that fails.
#[derive(Debug, Clone, PartialEq)]
pub struct MappingConfig {
    /// The stream and the function, as events and on-failure records name them.
    pub source: EventSource,
    /// Most records in a batch: 1–10,000.
    pub batch_size: usize,
    /// How long a batch may gather; zero (Lambda's default) sends what is there at once. At most 300 s.
    pub maximum_batching_window: Duration,
    /// Most bytes of the event's JSON, the data in base64: 1 byte to 6 MB. A record that is larger by itself goes alone.
    pub maximum_batch_bytes: usize,
    /// Batches of one shard in flight at once, 1–10. All records of one partition key stay in order, in one lane.
    pub parallelization_factor: usize,
    /// Whether a batch that fails is split in two, to isolate the bad record. Splitting uses up no retries.
    pub bisect_batch_on_function_error: bool,
    /// Retries after the first attempt, at most 10,000; `None`: until it succeeds or grows too old.
    pub maximum_retry_attempts: Option<u32>,
    /// The oldest a record may be when it is sent: 60 s to 7 days; `None`: any age.
    pub maximum_record_age: Option<Duration>,
    /// Whether the function's answer names the records that failed (`ReportBatchItemFailures`).
    pub report_batch_item_failures: bool,
    /// Where to start without a checkpoint.
    pub starting_position: StartingPosition,
    /// How long one invocation may take: 1 ms to 900 s. Longer is a function error.
    pub function_timeout: Duration,
    /// Waits between retries of the function, and of every port.
    pub retry_backoff: Backoff,
}

impl MappingConfig {
    /// Lambda's defaults, but from `TRIM_HORIZON` (Lambda has no default there), reporting batch item failures, and
    /// with a time-out of 60 s.
    pub fn new(source: EventSource) -> Self {
        MappingConfig {
            source,
            batch_size: 100,
            maximum_batching_window: Duration::ZERO,
            maximum_batch_bytes: MAXIMUM_BATCH_BYTES,
            parallelization_factor: 1,
            bisect_batch_on_function_error: false,
            maximum_retry_attempts: None,
            maximum_record_age: None,
            report_batch_item_failures: true,
            starting_position: StartingPosition::TrimHorizon,
            function_timeout: Duration::from_secs(60),
            retry_backoff: Backoff::default(),
        }
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// All settings that are out of range, together.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        let (youngest, oldest) = RECORD_AGE_RANGE;
        let backoff = self.retry_backoff;
        let rules = [
            ((1..=MAXIMUM_BATCH_SIZE).contains(&self.batch_size), "batch_size: must be 1 to 10000"),
            (
                self.maximum_batching_window <= MAXIMUM_BATCHING_WINDOW,
                "maximum_batching_window: must be at most 300 seconds",
            ),
            (
                (1..=MAXIMUM_BATCH_BYTES).contains(&self.maximum_batch_bytes),
                "maximum_batch_bytes: must be 1 to 6291456 (6 MB)",
            ),
            (
                (1..=MAXIMUM_PARALLELIZATION_FACTOR).contains(&self.parallelization_factor),
                "parallelization_factor: must be 1 to 10",
            ),
            (
                self.maximum_retry_attempts.is_none_or(|attempts| attempts <= MAXIMUM_RETRY_ATTEMPTS),
                "maximum_retry_attempts: must be at most 10000, or none for no limit",
            ),
            (
                self.maximum_record_age.is_none_or(|age| (youngest..=oldest).contains(&age)),
                "maximum_record_age: must be 60 to 604800 seconds, or none for no limit",
            ),
            (
                !self.function_timeout.is_zero() && self.function_timeout <= MAXIMUM_FUNCTION_TIMEOUT,
                "function_timeout: must be over 0 and at most 900 seconds",
            ),
            (
                !backoff.initial.is_zero() && backoff.initial <= backoff.maximum,
                "retry_backoff: initial must be over 0 and at most maximum",
            ),
        ];
        let broken: Vec<_> = rules.into_iter().filter(|(holds, _)| !holds).map(|(_, rule)| rule).collect();
        if broken.is_empty() { Ok(()) } else { Err(InvalidConfig { broken }) }
    }
}

/// Settings out of their ranges.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct InvalidConfig {
    /// One line a setting: its name and its rule.
    pub broken: Vec<&'static str>,
}

impl fmt::Display for InvalidConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.broken.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> MappingConfig {
        MappingConfig::new(EventSource::on_one_machine("readings", "aggregator"))
    }

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(config().validate(), Ok(()));
    }

    #[test]
    fn every_bad_setting_is_reported_together() {
        let bad = MappingConfig {
            batch_size: 10_001,
            maximum_batching_window: Duration::from_secs(301),
            maximum_batch_bytes: 0,
            parallelization_factor: 11,
            maximum_retry_attempts: Some(10_001),
            maximum_record_age: Some(Duration::from_secs(59)),
            function_timeout: Duration::ZERO,
            retry_backoff: Backoff { initial: Duration::from_secs(2), maximum: Duration::from_secs(1) },
            ..config()
        };
        let names: Vec<_> =
            bad.validate().unwrap_err().broken.iter().map(|rule| rule.split(':').next().unwrap()).collect();
        assert_eq!(
            names,
            [
                "batch_size",
                "maximum_batching_window",
                "maximum_batch_bytes",
                "parallelization_factor",
                "maximum_retry_attempts",
                "maximum_record_age",
                "function_timeout",
                "retry_backoff"
            ]
        );
    }

    #[test]
    fn the_wait_doubles_up_to_its_maximum() {
        let backoff = Backoff { initial: Duration::from_millis(100), maximum: Duration::from_secs(1) };
        let waits: Vec<_> = [1, 2, 3, 4, 5, 40].map(|failures| backoff.wait(failures).as_millis()).into();
        assert_eq!(waits, [100, 200, 400, 800, 1000, 1000]);
    }
}
