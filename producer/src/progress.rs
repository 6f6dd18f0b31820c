//! The running account of what was sent.

use crate::row::Refusal;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// How many refusals are kept for the summary. All are counted.
pub const LISTED_REFUSALS_MAX: usize = 100;

/// Counters that may be read at any time while readings are being sent.
#[derive(Debug, Default)]
pub struct Progress {
    /// Readings posted at least once.
    pub(crate) sent: AtomicU64,
    pub(crate) accepted: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) retried: AtomicU64,
    pub(crate) posts: AtomicU64,
    pub(crate) bytes_read: AtomicU64,
    /// Whether the endpoint ever answered.
    pub(crate) reached: AtomicBool,
    pub(crate) stop: AtomicBool,
    pub(crate) refusals: Mutex<Vec<Refusal>>,
}

impl Progress {
    /// Readings posted at least once.
    pub fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// Readings that the endpoint has acknowledged.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Relaxed)
    }

    /// Readings (and rows that can be no readings) that were refused, here or by the endpoint.
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// Posts that were sent again after a passing failure.
    pub fn retried(&self) -> u64 {
        self.retried.load(Relaxed)
    }

    /// Bytes of the source files that were read.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Relaxed)
    }

    /// Ends the run at the next opportunity: what is in flight is answered, nothing new is posted.
    pub fn stop(&self) {
        self.stop.store(true, Relaxed);
    }

    /// Whether the run was told to end.
    pub fn stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }

    pub(crate) fn refuse(&self, refusal: Refusal) {
        self.refused.fetch_add(refusal.readings, Relaxed);
        // A list of refusals is whole after every push: a panic elsewhere cannot have left it torn.
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if refusals.len() < LISTED_REFUSALS_MAX {
            refusals.push(refusal);
        }
    }
}
