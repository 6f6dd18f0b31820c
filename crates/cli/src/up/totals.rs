//! The pipeline's totals, and whether they add up.

use embedded::{EmbeddedStorage, StorageFailure};
use gateway::Accounting;
use std::sync::{Arc, Mutex, PoisonError};

/// Reads the totals. Clones share what was found before.
#[derive(Clone)]
pub struct Totals {
    storage: EmbeddedStorage,
    unexplained: Arc<Mutex<u64>>,
}

impl Totals {
    pub fn new(storage: EmbeddedStorage) -> Self {
        Totals { storage, unexplained: Arc::default() }
    }

    /// What has come in, and what became of it. Logs when the totals stop adding up, and when they do again.
    pub async fn read(&self) -> Result<Accounting, StorageFailure> {
        let accounts = self.storage.accounting().await?;
        let mut accounts = Accounting {
            accepted: accounts.accepted,
            counted: accounts.counted,
            duplicates: accounts.duplicates,
            dead_letters: accounts.dead_letters,
            pending: accounts.pending,
            backlog_age_seconds: accounts.backlog_age.as_secs_f64(),
            unexplained: 0,
        };
        let mut unexplained = self.unexplained.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *unexplained;
        *unexplained = unexplained_after(before, &accounts);
        accounts.unexplained = *unexplained;
        match (before, *unexplained) {
            (0, 1..) => tracing::error!(
                unexplained = *unexplained,
                accepted = accounts.accepted,
                counted = accounts.counted,
                "statistics and dead letters hold more readings than were accepted"
            ),
            (1.., 0) => tracing::info!("the totals add up again"),
            _ => {}
        }
        Ok(accounts)
    }
}

/// Readings in statistics and dead letters beyond those accepted, where `before` were found so far.
///
/// A batch is counted before its checkpoint is saved. Until then its readings are pending too, so `beyond` includes them
/// but never exceeds what is pending: in a healthy pipeline the answer is 0 at every moment. Whatever is above that is
/// wrong at once. Later batches hide it again, so it is kept until `beyond` itself falls below it.
fn unexplained_after(before: u64, accounts: &Accounting) -> u64 {
    let parts = accounts.dead_letters.values().chain([&accounts.counted, &accounts.duplicates, &accounts.pending]);
    // What is stored may be damaged.
    let beyond = parts.fold(0u64, |sum, part| sum.saturating_add(*part)).saturating_sub(accounts.accepted);
    before.max(beyond.saturating_sub(accounts.pending)).min(beyond)
}

#[cfg(test)]
mod tests {
    use super::*;
    use telemetry::RejectReason;

    /// As `embedded` derives them.
    fn accounts(accepted: u64, processed: u64, counted: u64, letters: u64) -> Accounting {
        Accounting {
            accepted,
            counted,
            duplicates: processed.saturating_sub(counted).saturating_sub(letters),
            dead_letters: [(RejectReason::Late, letters)].into(),
            pending: accepted.saturating_sub(processed),
            ..Accounting::default()
        }
    }

    #[test]
    fn a_batch_under_way_is_no_alarm() {
        // Ten readings, counted one by one, some of them duplicates or dead letters, before the checkpoint follows.
        for counted in 0..=10 {
            for letters in 0..=10 - counted {
                assert_eq!(unexplained_after(0, &accounts(10, 0, counted, letters)), 0);
                assert_eq!(unexplained_after(0, &accounts(10, 10, counted, letters)), 0);
                assert_eq!(unexplained_after(0, &accounts(1000, 10, 10 + counted, letters)), 0);
            }
        }
    }

    #[test]
    fn more_than_was_accepted_is_an_alarm_at_once() {
        assert_eq!(unexplained_after(0, &accounts(10, 10, 12, 1)), 3);
        assert_eq!(unexplained_after(0, &accounts(10, 0, 11, 0)), 1, "whatever the pending ones turn out to be");
        assert_eq!(unexplained_after(0, &accounts(10, 15, 10, 0)), 5, "a checkpoint beyond the stream");
        assert!(unexplained_after(0, &accounts(10, 10, u64::MAX, u64::MAX)) > 0, "damaged totals do not panic");
    }

    #[test]
    fn later_batches_do_not_hide_an_alarm() {
        let found = unexplained_after(0, &accounts(10, 10, 13, 0));
        assert_eq!(found, 3);
        for counted in 0..=100 {
            let busy = accounts(1010, 10, 13 + counted, 0);
            assert_eq!(unexplained_after(found, &busy), 3);
        }
        assert_eq!(unexplained_after(found, &accounts(1010, 1010, 1013, 0)), 3);
        assert_eq!(unexplained_after(found, &accounts(1010, 1010, 1012, 0)), 2);
        assert_eq!(unexplained_after(found, &accounts(1010, 1010, 1010, 0)), 0);
    }
}
