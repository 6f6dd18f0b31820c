//! Batches, and what becomes of them.

use crate::response::Verdict;
use ports::{SequenceNumber, StreamRecord};
use std::ops::{Deref, Range};
use std::sync::Arc;
use std::time::Duration;
use telemetry::Timestamp;

/// An instant, as the mapping needs it: records' ages go by the wall clock, waits by one that never jumps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock.
    pub wall: Timestamp,
    /// Time since any fixed origin.
    pub elapsed: Duration,
}

/// Records of one shard in stream order, cheap to clone and to split. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    records: Arc<Vec<StreamRecord>>,
    range: Range<usize>,
}

impl Batch {
    pub(crate) fn new(records: Vec<StreamRecord>) -> Self {
        let range = 0..records.len();
        Batch { records: Arc::new(records), range }
    }

    /// The batch's first `at` records, and the others.
    pub(crate) fn split_at(&self, at: usize) -> (Batch, Batch) {
        let middle = self.range.start + at;
        let part = |range| Batch { records: Arc::clone(&self.records), range };
        (part(self.range.start..middle), part(middle..self.range.end))
    }

    /// The sequence numbers of the batch's records.
    pub fn sequence_numbers(&self) -> impl Iterator<Item = SequenceNumber> {
        self.iter().map(|record| record.sequence_number)
    }
}

impl Deref for Batch {
    type Target = [StreamRecord];

    fn deref(&self) -> &[StreamRecord] {
        &self.records[self.range.clone()]
    }
}

/// What came of one invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invocation {
    /// The function said which records are done.
    Answered(Verdict),
    /// The function failed, or took too long.
    Failed,
    /// The batch never reached the function (throttled, a service error): no retry is used up.
    NotInvoked,
}

/// Why records are given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum DiscardCondition {
    /// They failed, and have no retry left.
    RetryAttemptsExhausted,
    /// They are older than `maximum_record_age`. AWS has been seen to write `RecordAgeExceeded`; the longer name, which
    /// some emulators write, is read as well.
    #[serde(alias = "MaximumRecordAgeExceeded")]
    RecordAgeExceeded,
}

/// Records that are given up, and go to the on-failure destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discard {
    /// Why.
    pub condition: DiscardCondition,
    /// How often they were sent to the function, as far as this mapping remembers: a restart forgets.
    pub approximate_invoke_count: u32,
    /// Whether the last invocation failed as a whole; `false` where the answer named a record, or there was none.
    pub function_error: bool,
    /// The records.
    pub batch: Batch,
}
