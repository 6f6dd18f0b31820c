//! What one execution environment knows for its lifetime: its configuration, read once at cold start.

use aggregator::{LedgerMode, Settings};
use lambda::{ConfigurationError, Variables};
use std::time::Duration;

const SECONDS_A_DAY: u64 = 24 * 3600;

/// The configuration.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Context {
    /// `STATISTICS_TABLE`: the table's name.
    pub statistics_table: String,
    /// `DEAD_LETTER_QUEUE_URL`: the queue's URL.
    pub dead_letter_queue_url: String,
    /// `ARCHIVE_BUCKET`: the bucket whose `dead-letters/` holds every dead letter too.
    pub archive_bucket: String,
    /// `DEAD_LETTER_BYTES_MAX`: the queue's `MaximumMessageSize`, 1024 to 1048576; 262144 by default.
    pub dead_letter_bytes_max: usize,
    /// `METRICS_NAMESPACE`: the CloudWatch namespace; `Streamgauge` by default.
    pub metrics_namespace: String,
    /// `LEDGER_MODE` (`full`, the default, or `window`), `LEDGER_RETENTION_DAYS` (1 to 36500; unset: for ever),
    /// `FUTURE_TOLERANCE_SECONDS` (0 to 31536000; 300 by default), `CONCURRENCY` (1 to 1000; 64 by default).
    pub settings: Settings,
}

impl Context {
    /// From the process's environment.
    pub(crate) fn from_environment() -> Result<Self, ConfigurationError> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// From variables; an empty one is an unset one. Everything that is wrong is reported together.
    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigurationError> {
        let mut variables = Variables::new(variable);
        let defaults = Settings::default();
        let context = Context {
            statistics_table: variables.required("STATISTICS_TABLE"),
            dead_letter_queue_url: variables.required("DEAD_LETTER_QUEUE_URL"),
            archive_bucket: variables.required("ARCHIVE_BUCKET"),
            dead_letter_bytes_max: variables.number("DEAD_LETTER_BYTES_MAX", 1024..=1_048_576).unwrap_or(262_144),
            metrics_namespace: variables.get("METRICS_NAMESPACE").unwrap_or_else(|| "Streamgauge".to_owned()),
            settings: Settings {
                ledger: ledger(&mut variables),
                future_tolerance: variables
                    .number("FUTURE_TOLERANCE_SECONDS", 0..=31_536_000)
                    .map_or(defaults.future_tolerance, Duration::from_secs),
                concurrency: variables.number("CONCURRENCY", 1..=1000).unwrap_or(defaults.concurrency),
                ..defaults
            },
        };
        variables.finish(context)
    }
}

fn ledger<F: Fn(&str) -> Option<String>>(variables: &mut Variables<F>) -> LedgerMode {
    let retention_days = variables.number("LEDGER_RETENTION_DAYS", 1..=36_500);
    match variables.get("LEDGER_MODE").as_deref() {
        None | Some("full") => {
            let retention = retention_days.map(|days: u64| Duration::from_secs(days * SECONDS_A_DAY));
            return LedgerMode::Full { retention };
        }
        Some("window") if variables.get("LEDGER_RETENTION_DAYS").is_some() => {
            variables.problem("LEDGER_RETENTION_DAYS has no meaning when LEDGER_MODE is window");
        }
        Some("window") => {}
        Some(_) => variables.problem("LEDGER_MODE must be full or window"),
    }
    LedgerMode::Window
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUIRED: [(&str, &str); 3] =
        [("STATISTICS_TABLE", "table"), ("DEAD_LETTER_QUEUE_URL", "url"), ("ARCHIVE_BUCKET", "bucket")];

    fn read(variables: &[(&str, &str)]) -> Result<Context, ConfigurationError> {
        let find =
            |name: &str| variables.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned());
        Context::from_variables(find)
    }

    fn with_required(variables: &[(&str, &str)]) -> Result<Context, ConfigurationError> {
        read(&[&REQUIRED, variables].concat())
    }

    #[test]
    fn three_variables_are_enough() {
        let context = with_required(&[]).expect("a configuration");
        assert_eq!((context.statistics_table.as_str(), context.archive_bucket.as_str()), ("table", "bucket"));
        assert_eq!(context.dead_letter_queue_url, "url");
        assert_eq!(context.dead_letter_bytes_max, 262_144);
        assert_eq!(context.settings, Settings::default());
    }

    #[test]
    fn every_problem_is_reported_together_and_no_value_is_repeated() {
        let bad = [
            ("STATISTICS_TABLE", ""),
            ("LEDGER_MODE", "fill"),
            ("LEDGER_RETENTION_DAYS", "0"),
            ("FUTURE_TOLERANCE_SECONDS", "-1"),
            ("CONCURRENCY", "many"),
            ("DEAD_LETTER_BYTES_MAX", "1048577"),
        ];
        let error = read(&bad).expect_err("a bad configuration").to_string();
        for name in bad.iter().map(|(name, _)| *name).chain(["DEAD_LETTER_QUEUE_URL", "ARCHIVE_BUCKET"]) {
            assert!(error.contains(name), "{name} is missing in: {error}");
        }
        assert!(!error.contains("many") && !error.contains("fill"));
    }

    #[test]
    fn every_setting_is_read() {
        let variables = [
            ("LEDGER_MODE", "full"),
            ("LEDGER_RETENTION_DAYS", "30"),
            ("FUTURE_TOLERANCE_SECONDS", "60"),
            ("CONCURRENCY", "8"),
            ("DEAD_LETTER_BYTES_MAX", "1048576"),
            ("METRICS_NAMESPACE", "Fleet"),
        ];
        let context = with_required(&variables).expect("a configuration");
        let retention = Some(Duration::from_secs(30 * SECONDS_A_DAY));
        assert_eq!(context.settings.ledger, LedgerMode::Full { retention });
        assert_eq!(context.settings.future_tolerance, Duration::from_secs(60));
        assert_eq!(context.settings.concurrency, 8);
        assert_eq!((context.dead_letter_bytes_max, context.metrics_namespace.as_str()), (1_048_576, "Fleet"));
    }

    #[test]
    fn a_window_ledger_has_no_retention() {
        let window = with_required(&[("LEDGER_MODE", "window")]).expect("a configuration");
        assert_eq!(window.settings.ledger, LedgerMode::Window);
        let both = with_required(&[("LEDGER_MODE", "window"), ("LEDGER_RETENTION_DAYS", "1")]);
        assert!(both.expect_err("a contradiction").to_string().contains("LEDGER_RETENTION_DAYS"));
    }
}
