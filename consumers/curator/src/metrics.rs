//! What is measured of a batch.

use curator::{BatchReport, Change};
use lambda::{Metric, since};
use serde_json::Value;
use std::time::Instant;
use telemetry::Timestamp;

/// A batch as it came in.
#[derive(Debug)]
pub(crate) struct Received {
    changes: usize,
    /// The times of the first and the last change, in milliseconds.
    created: Option<(i64, i64)>,
    at: Timestamp,
    started: Instant,
}

impl Received {
    /// A batch of these changes, which came at `at`.
    pub(crate) fn new(batch: &[Change], at: Timestamp) -> Self {
        let created = || batch.iter().filter_map(|change| change.created_at).map(Timestamp::as_millisecond);
        Received { changes: batch.len(), created: created().min().zip(created().max()), at, started: Instant::now() }
    }

    /// The document of the batch, which is done at `done`.
    pub(crate) fn document(&self, report: &BatchReport, done: Timestamp, namespace: &str, function: &str) -> Value {
        let (first, last) = self.created.unwrap_or((done.as_millisecond(), self.at.as_millisecond()));
        let metrics = vec![
            Metric::count("BatchChanges", self.changes),
            Metric::count("RowsDelivered", report.rows),
            Metric::count("ChangesIgnored", report.ignored),
            Metric::count("UnreadableItems", report.unreadable),
            Metric::count("FailedRows", report.failed_rows),
            Metric::milliseconds("IteratorAge", since(last, self.at)),
            Metric::milliseconds("BatchDuration", self.started.elapsed()),
            Metric::milliseconds("Latency", since(first, done)),
        ];
        lambda::document(namespace, function, done, metrics)
    }
}
