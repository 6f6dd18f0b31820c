//! A batch of changes: its rows delivered, and answered.

use crate::change::{Change, Content};
use ports::{CuratedDelivery, DeliveryError, with_causes};
use std::collections::BTreeMap;
use tracing::error;

/// The curator over its port.
#[derive(Debug, Clone)]
pub struct Curator<D> {
    delivery: D,
}

/// What a batch came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BatchReport {
    /// Rows delivered.
    pub rows: u64,
    /// Changes that no row is made of: ledger pages, deletions.
    pub ignored: u64,
    /// Items that cannot be read, and are in no row.
    pub unreadable: u64,
    /// Rows that were not taken, and will be delivered again.
    pub failed_rows: u64,
}

/// What must be delivered again, and what happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchResult {
    /// The sequence number of the change from which the stream must deliver again; `None` when all is done.
    pub failed: Option<String>,
    /// What happened.
    pub report: BatchReport,
}

impl<D: CuratedDelivery> Curator<D> {
    /// A curator that delivers to `delivery`.
    pub fn new(delivery: D) -> Self {
        Curator { delivery }
    }

    /// Handles one batch. Of the rows that were not taken, the first in the stream's order is `failed`: the stream
    /// delivers it and everything behind it again, and a row that comes twice is one row.
    ///
    /// An item that cannot be read does not fail: it would hold up every device of its shard until the stream forgets
    /// them, and be no better for it. It is logged, counted and alarmed about, and stays in the table as it is.
    pub async fn handle(&self, changes: Vec<Change>) -> BatchResult {
        let mut report = BatchReport::default();
        let mut rows = Vec::with_capacity(changes.len());
        let mut sequence_numbers = Vec::with_capacity(changes.len());
        for change in changes {
            match change.content {
                Content::Row(row) => {
                    rows.push(*row);
                    sequence_numbers.push(change.sequence_number);
                }
                Content::Nothing => report.ignored += 1,
                Content::Unreadable(item) => {
                    report.unreadable += 1;
                    let device_id = item.device_id.as_ref().map_or("unknown", |device| device.as_str());
                    let sequence_number = change.sequence_number;
                    error!(error = item.why, device_id, sequence_number, "an item is not readable, and in no row");
                }
            }
        }
        let mut results = self.delivery.deliver(rows).await.into_iter();
        // One cause, which many rows have in common, is logged once.
        let mut failures: BTreeMap<String, u64> = BTreeMap::new();
        let mut first_failed = None;
        for sequence_number in sequence_numbers {
            // A row without an answer was not taken.
            let unanswered = || Err(DeliveryError::Unavailable("the delivery gave no answer".into()));
            match results.next().unwrap_or_else(unanswered) {
                Ok(()) => report.rows += 1,
                Err(error) => {
                    report.failed_rows += 1;
                    *failures.entry(with_causes(&error)).or_default() += 1;
                    first_failed.get_or_insert(sequence_number);
                }
            }
        }
        for (error, rows) in failures {
            error!(error, rows, "rows were not taken and will be delivered again");
        }
        BatchResult { failed: first_failed, report }
    }
}
