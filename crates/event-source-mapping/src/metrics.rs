//! Counters of a running mapping.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Counters that a running mapping keeps, readable at any time. They start at zero with the process.
#[derive(Debug, Default)]
pub struct Metrics {
    pub(crate) invocations: AtomicU64,
    pub(crate) function_errors: AtomicU64,
    pub(crate) records_invoked: AtomicU64,
    pub(crate) records_discarded: AtomicU64,
    pub(crate) port_errors: AtomicU64,
    pub(crate) checkpoints_saved: AtomicU64,
    pub(crate) iterator_age_milliseconds: AtomicU64,
}

/// The counters at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct MetricsSnapshot {
    /// Invocations that came to an end, whichever.
    pub invocations: u64,
    /// Those that failed, timed out, panicked or did not reach the function.
    pub function_errors: u64,
    /// Records sent to the function, each time counted.
    pub records_invoked: u64,
    /// Records that the on-failure destination took.
    pub records_discarded: u64,
    /// Failures of the stream, the checkpoints or the on-failure destination, each tried again.
    pub port_errors: u64,
    /// Checkpoints saved.
    pub checkpoints_saved: u64,
    /// "How old the last record in the batch was when processing finished", for the batch that finished last.
    pub iterator_age: Duration,
}

impl Metrics {
    /// The counters now.
    pub fn snapshot(&self) -> MetricsSnapshot {
        MetricsSnapshot {
            invocations: self.invocations.load(Relaxed),
            function_errors: self.function_errors.load(Relaxed),
            records_invoked: self.records_invoked.load(Relaxed),
            records_discarded: self.records_discarded.load(Relaxed),
            port_errors: self.port_errors.load(Relaxed),
            checkpoints_saved: self.checkpoints_saved.load(Relaxed),
            iterator_age: Duration::from_millis(self.iterator_age_milliseconds.load(Relaxed)),
        }
    }
}

pub(crate) fn add(counter: &AtomicU64, amount: usize) {
    counter.fetch_add(amount as u64, Relaxed);
}
